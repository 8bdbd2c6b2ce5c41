//! The sample database: a web shop of 22 related tables and 100,000 rows, made by SQL alone and the
//! same in every run, but for its times: they all lie before the instant of its newest data.

use anyhow::{Context as _, Result};
use jiff::{Timestamp, ToSpan as _};

use super::super::{Dump, SAMPLE_DATABASE, SampleVariant};
use super::{Postgres, Server};

impl Postgres {
    /// Makes the sample database on a server of its own, dumps it in each of the variants and stops
    /// the server. `newest` is the time of the newest order; `password` is that of all its roles.
    ///
    /// # Errors
    /// When the server does not come up or the SQL fails.
    pub async fn sample(
        &self,
        newest: Timestamp,
        password: &str,
        variants: &[SampleVariant],
    ) -> Result<Vec<Dump>> {
        let server = self.start_server("source").await?;
        let dumps = async {
            server
                .admin()
                .execute_with(
                    "postgres",
                    include_str!("sample_roles.sql"),
                    &[("password", password)],
                )
                .await
                .context("cannot create the sample's roles")?;
            let mut dumps = Vec::with_capacity(variants.len());
            // How much older the data in the database is than said, while it is whole.
            let mut holds = None;
            for variant in variants {
                let age = variant.age();
                if holds != Some(age) {
                    let newest = newest
                        .checked_sub(age.hours())
                        .context("the newest data would lie before all time")?;
                    fill(&server, newest)
                        .await
                        .context("cannot fill the sample database")?;
                    holds = Some(age);
                }
                if *variant == SampleVariant::Emptied {
                    server
                        .execute(SAMPLE_DATABASE, "TRUNCATE orders CASCADE;")
                        .await?;
                    holds = None;
                }
                dumps.push(self.dump(&server, SAMPLE_DATABASE).await?);
            }
            Ok(dumps)
        };
        let dumps = dumps.await;
        server.stop().await;
        dumps
    }
}

/// Makes the sample database anew.
async fn fill(server: &Server, newest: Timestamp) -> Result<()> {
    let anew = "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop OWNER shop_admin;";
    server.execute("postgres", anew).await?;
    let newest = newest.to_string();
    server
        .admin()
        .execute_with(
            SAMPLE_DATABASE,
            include_str!("sample.sql"),
            &[("newest", &newest)],
        )
        .await?;
    Ok(())
}

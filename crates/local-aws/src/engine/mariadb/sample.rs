//! The sample database in MariaDB: the same shop as in PostgreSQL, row for row, in MySQL's types, with
//! what old MySQL databases have besides: zero dates, text in latin1, times without a zone.

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::super::{Dump, SAMPLE_DATABASE, SampleVariant};
use super::MariaDb;
use super::server::{Server, quoted};

/// Orders and all that refers to one.
const EMPTYING: &str = "SET foreign_key_checks = 0; TRUNCATE refunds; TRUNCATE payments; \
    TRUNCATE shipments; TRUNCATE coupon_uses; TRUNCATE order_lines; TRUNCATE orders;";

impl MariaDb {
    /// Makes the sample database on servers of its own and dumps it in each of the variants.
    /// `newest` is the time of the newest order; `password` is that of all its users.
    ///
    /// # Errors
    /// When a server does not come up or the SQL fails.
    pub async fn sample(
        &self,
        newest: Timestamp,
        password: &str,
        variants: &[SampleVariant],
    ) -> Result<Vec<Dump>> {
        // Whole databases at rest, by how much older than said their data is, hours.
        let mut whole: Vec<(i64, Dump)> = Vec::new();
        let mut dumps = Vec::with_capacity(variants.len());
        for (number, variant) in variants.iter().enumerate() {
            let age = variant.age();
            let known = whole.iter().find(|(known, _)| *known == age);
            let filled = match known {
                Some((_, dump)) => dump.clone(),
                None => {
                    let newest = newest
                        .checked_sub(age.hours())
                        .context("the newest data would lie before all time")?;
                    let server = self.start_server(&format!("source-{number}")).await?;
                    fill(&server, newest, password)
                        .await
                        .context("cannot fill the sample database")?;
                    let dump = self.dump(server, SAMPLE_DATABASE).await?;
                    whole.push((age, dump.clone()));
                    dump
                }
            };
            dumps.push(match (variant, &filled) {
                (SampleVariant::Emptied, Dump::MariaDb(dump)) => {
                    let name = format!("source-{number}-emptied");
                    let server = self.start_from(&dump.data, &name).await?;
                    server.execute(SAMPLE_DATABASE, EMPTYING).await?;
                    self.dump(server, SAMPLE_DATABASE).await?
                }
                _ => filled,
            });
        }
        Ok(dumps)
    }
}

/// Makes the sample database and its users.
async fn fill(server: &Server, newest: Timestamp, password: &str) -> Result<()> {
    let newest = newest
        .to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string();
    let script = format!(
        "SET @newest = TIMESTAMP {};\nSET @password = {};\n{}",
        quoted(&newest),
        quoted(password),
        include_str!("sample.sql")
    );
    server.execute("mysql", &script).await?;
    Ok(())
}

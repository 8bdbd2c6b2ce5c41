//! `sql` checks: one query, one value, read-only. One file for each family of engines.

mod bounded;
mod mysql;
mod postgres;

use std::time::Duration;

use restore_proof_core::check::{Target, Trouble};
use restore_proof_core::expectation::Value;
use restore_proof_core::policy::{SqlCheck, time_zone};

use super::tls::Connector;
use super::{Access, Login};

/// A database server and how to get in.
struct Server<'a> {
    host: &'a str,
    port: u16,
    /// Where the query is asked, if anything says so.
    database: Option<&'a str>,
    login: &'a Login,
    connector: &'a Connector,
}

/// The one value that the check's query answers.
pub(super) async fn value(
    check: &SqlCheck,
    target: &Target,
    access: &Access,
    limit: Duration,
) -> Result<Value, Trouble> {
    let cannot = |why: &str| Trouble::CannotTell(why.to_owned());
    let Target::Database {
        host,
        port,
        engine,
        database,
        settings_differ: _,
    } = target
    else {
        return Err(cannot("sql checks need a database, not a machine"));
    };
    let login = access.login.as_ref().map_err(|why| cannot(why))?;
    let server = Server {
        host,
        port: *port,
        database: check
            .database
            .as_deref()
            .or(login.dbname.as_deref())
            .or(database.as_deref()),
        login,
        connector: access.databases.as_ref().map_err(|why| cannot(why))?,
    };
    let zone = time_zone(&check.time_zone)
        .ok_or_else(|| cannot(&format!("unknown time zone {}", check.time_zone)))?;
    match engine.as_str() {
        "postgres" | "aurora-postgresql" => {
            postgres::value(&check.query, &server, &zone, limit).await
        }
        "mysql" | "mariadb" | "aurora-mysql" => mysql::value(&check.query, &server, &zone, limit)
            .await?
            .for_expectation(&check.expect),
        other => Err(cannot(&format!(
            "sql checks on engine {other} are not supported"
        ))),
    }
}

//! Real database servers for restored databases: PostgreSQL and MariaDB, the latter for RDS's engines
//! `mysql` and `mariadb`. And a sample database worth restoring, in either.
//!
//! A recovery point of a database is a [`Dump`], which knows the engine it is of; restoring it is
//! starting a [`Server`] of its own with the dump in it. As on Amazon RDS the source's users and
//! passwords work on the copy, connections over TCP need TLS and a password, and nobody is a superuser
//! but the service's own `rdsadmin`, who is reachable only from this machine.

mod iam;
mod mariadb;
mod postgres;
mod tls;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

pub use mariadb::MariaDb;
pub use postgres::Postgres;
pub use tls::Authority;

/// The user that administers a server, as on Amazon RDS; nobody can log in as it over the network.
const SUPERUSER: &str = "rdsadmin";
/// Where all servers listen. Their certificate is for this name and for 127.0.0.1.
const HOST: &str = "localhost";
/// How long a server may take to come up before that counts as a failure.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// The sample database's name.
pub const SAMPLE_DATABASE: &str = "shop";
/// The user that owns it, as the master user of an RDS instance does.
pub const MASTER_USER: &str = "shop_admin";
/// A user of it that may read everything and change nothing.
pub const READER_USER: &str = "restore_check";
/// A user of it like the former, who logs in by a token of IAM alone.
pub const IAM_USER: &str = "iam_check";
/// How many rows all its tables hold together.
pub const SAMPLE_ROWS: u32 = 100_000;

/// In which state the sample database is dumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleVariant {
    /// All is well: the newest data is as old as said.
    Fresh,
    /// The same data, but the newest of it is this many hours older than said: a replica that
    /// stopped, or a copy of an old snapshot.
    Stale(i64),
    /// The orders, and with them all that refers to one, are gone.
    Emptied,
}

impl SampleVariant {
    /// How much older than said the data is, hours.
    fn age(self) -> i64 {
        match self {
            SampleVariant::Stale(hours) => hours,
            SampleVariant::Fresh | SampleVariant::Emptied => 0,
        }
    }
}

/// What is needed to make a server like the one it was taken from: a database's data and the server's
/// users with their passwords (as hashes). Cheap to clone; the files live as long as the state folder.
#[derive(Clone, Debug)]
pub enum Dump {
    /// Of a PostgreSQL server.
    Postgres(postgres::Dump),
    /// Of a MariaDB server.
    MariaDb(mariadb::Dump),
}

impl Dump {
    /// The name of the dumped database, which a restored server will have.
    #[must_use]
    pub fn database(&self) -> &str {
        match self {
            Dump::Postgres(dump) => &dump.database,
            Dump::MariaDb(dump) => &dump.database,
        }
    }

    /// How large the dump is, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Dump::Postgres(dump) => dump.size,
            Dump::MariaDb(dump) => dump.size,
        }
    }

    /// Starts a server with the dump in it. `name` is that of its folder and must be new;
    /// `master_user` is the user that owns the instance on RDS and must be among the dump's; `tokens_of` is the Region
    /// of whose tokens users of IAM log in, none where RDS's `EnableIAMDatabaseAuthentication` is off.
    ///
    /// # Errors
    /// When the user is missing, the server does not come up or the dump cannot be loaded; no server
    /// is left running then.
    pub async fn restore(
        &self,
        name: &str,
        master_user: &str,
        tokens_of: Option<&str>,
    ) -> Result<Server> {
        Ok(match self {
            Dump::Postgres(dump) => {
                Server::Postgres(dump.restore(name, master_user, tokens_of).await?)
            }
            Dump::MariaDb(dump) => {
                Server::MariaDb(dump.restore(name, master_user, tokens_of).await?)
            }
        })
    }
}

/// A running server of our own. Stopped at once when dropped.
#[derive(Debug)]
pub enum Server {
    /// PostgreSQL.
    Postgres(postgres::Server),
    /// MariaDB.
    MariaDb(mariadb::Server),
}

impl Server {
    /// The host to connect to.
    #[must_use]
    pub fn host(&self) -> &'static str {
        HOST
    }

    /// The TCP port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Server::Postgres(server) => server.admin().port,
            Server::MariaDb(server) => server.port(),
        }
    }

    /// The superuser's way in, which does not keep the server running.
    #[must_use]
    pub fn admin(&self) -> Admin {
        match self {
            Server::Postgres(server) => Admin::Postgres(server.admin().clone()),
            Server::MariaDb(server) => Admin::MariaDb(server.admin().clone()),
        }
    }

    /// Stops the server and removes its data.
    pub async fn stop(self) {
        match self {
            Server::Postgres(server) => server.stop().await,
            Server::MariaDb(server) => server.stop().await,
        }
    }
}

/// The superuser's way into a server, by a socket only this machine has. Cheap to clone; of no use
/// once the server has stopped.
#[derive(Clone, Debug)]
pub enum Admin {
    /// PostgreSQL.
    Postgres(postgres::Admin),
    /// MariaDB.
    MariaDb(mariadb::Admin),
}

impl Admin {
    /// Runs SQL in a database, stopping at the first error, and returns the rows: one per line,
    /// columns separated by `|`.
    ///
    /// # Errors
    /// The engine's message.
    pub async fn execute(&self, database: &str, sql: &str) -> Result<String> {
        match self {
            Admin::Postgres(admin) => admin.execute(database, sql).await,
            Admin::MariaDb(admin) => admin.execute(database, sql).await,
        }
    }

    /// Gives a user another password.
    ///
    /// # Errors
    /// When there is no such user, or the server has gone. The message does not have the password.
    pub async fn set_password(&self, user: &str, password: &str) -> Result<()> {
        let done = match self {
            Admin::Postgres(admin) => admin.set_password(user, password).await,
            Admin::MariaDb(admin) => admin.set_password(user, password).await,
        };
        // Engines quote the statement they refuse.
        done.map_err(|error| {
            anyhow::anyhow!(
                "user `{user}` keeps its password: {}",
                format!("{error:#}").replace(password, "****")
            )
        })
    }
}

/// A server's name is that of its folder.
fn check_name(name: &str, taken: &[&str]) -> Result<()> {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if name.is_empty() || !plain || taken.contains(&name) {
        bail!("`{name}` is no name for a server's folder");
    }
    Ok(())
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// The last lines of a server's log.
fn tail(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(6)..].join("; ")
}

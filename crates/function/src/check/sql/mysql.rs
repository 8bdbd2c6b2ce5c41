//! MySQL and MariaDB.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable;
use mysql_async::{Column, Conn, DriverError, Error, Opts, OptsBuilder, SslOpts};
use restore_proof_core::ceiling;
use restore_proof_core::check::Trouble;
use restore_proof_core::check::mysql::{Answer, Kind, Missing, read, sorted};
use restore_proof_core::expectation::Value;

use super::bounded::{Bounded, Budget};
use super::{Server, Unanswered, Wanted};
use crate::check::tls::Connector;
use crate::check::{chain, tls_words};

/// The largest packet, and with it the largest value, that is read, bytes.
const LARGEST_PACKET: usize = 16 << 20;
/// The most that is read from a server before the rows, bytes; in memory it may become thirteen times as much.
const LARGEST_PREAMBLE: usize = 2 << 20;
/// The character set of columns that hold bytes (`binary`).
const BINARY: u16 = 63;

/// Errors of logins that are refused: access denied, plugin not loaded, account locked (MySQL's error reference, and MariaDB's
/// for the last).
const REFUSED_LOGINS: [u16; 5] = [1045, 1698, 1524, 3118, 4151];

/// A connection that is logged in.
pub(super) struct Connection {
    client: Conn,
    budget: Arc<Budget>,
    is_mariadb: bool,
    /// The names that were sent when it was opened, which the server's messages may repeat.
    names: String,
}

impl Connection {
    /// Connects and logs in.
    pub(super) async fn open(server: &Server, limit: Duration) -> Result<Connection, Trouble> {
        let budget = Arc::new(Budget::first(LARGEST_PREAMBLE));
        let place = (server.host.clone(), server.port);
        let port = Bounded::connect(&place, limit, &budget)
            .await?
            .lend()
            .await?;
        let logged_in = log_in(options(server).tcp_port(port).into()).await;
        let (client, version) = match (logged_in, &server.database) {
            (Ok(logged_in), _) => logged_in,
            // There it can be asked for the name in other letters.
            (Err(error), Some(_)) if missing(&error, "").is_some() => {
                let nowhere = Server {
                    database: None,
                    ..server.clone()
                };
                let mut connection = Box::pin(Connection::open(&nowhere, limit)).await?;
                connection.names = server.names();
                return Err(connection.judge_error(error, "").await);
            }
            (Err(error), _) => {
                let is_refused =
                    matches!(&error, Error::Server(error) if REFUSED_LOGINS.contains(&error.code));
                let trouble = told(&budget, trouble(error, &[&server.names()]));
                return Err(if is_refused {
                    server.login.refused(trouble)
                } else {
                    trouble
                });
            }
        };
        Ok(Connection {
            client,
            budget,
            is_mariadb: version.is_some_and(|version| version.contains("MariaDB")),
            names: server.names(),
        })
    }

    /// The rows that the query answers, in a clean session. After an error the connection is not to be used again.
    pub(super) async fn rows(
        &mut self,
        query: &str,
        wanted: Wanted,
        zone: &TimeZone,
        limit: Duration,
    ) -> Result<Vec<Vec<Answer>>, Unanswered> {
        // The driver takes as many columns as a server announces, and keeps them all. The rows are let through when it has
        // shown that they are as many as are wanted.
        self.budget.renew_first(LARGEST_PREAMBLE);
        self.clean(wanted, limit)
            .await
            .map_err(|error| Unanswered::Unclean(told(&self.budget, trouble(error, &[]))))?;
        self.ask(query, wanted, zone)
            .await
            .map_err(|trouble| Unanswered::Ended(told(&self.budget, trouble)))
    }

    /// What an error speaks against. A name that is missing may be there in other letters: the server is asked.
    async fn judge_error(&mut self, error: Error, query: &str) -> Trouble {
        let Some(missing) = missing(&error, query) else {
            return trouble(error, &[query, &self.names]);
        };
        let asked = self
            .client
            .exec_first(missing.question(), (missing.parameter(),))
            .await;
        match asked {
            Ok(Some((setting, stored))) => {
                let stored: String = stored;
                missing
                    .judge(setting, &stored, &[query, &self.names])
                    .unwrap_or_else(|| trouble(error, &[query, &self.names]))
            }
            Ok(None) | Err(_) => trouble(error, &[query, &self.names]),
        }
    }

    /// How much was read from the server, bytes.
    pub(super) fn read_so_far(&self) -> usize {
        self.budget.read_so_far()
    }

    /// Ends what the last check left, and begins a transaction.
    async fn clean(&mut self, wanted: Wanted, limit: Duration) -> Result<(), Error> {
        if !self.client.reset().await? {
            return Err(DriverError::ConnectionClosed.into());
        }
        self.client
            .query_drop(session(self.is_mariadb, wanted, limit))
            .await
    }

    async fn ask(
        &mut self,
        query: &str,
        wanted: Wanted,
        zone: &TimeZone,
    ) -> Result<Vec<Vec<Answer>>, Trouble> {
        // Preparing refuses text with several statements, which the driver would let pass, so that none of them can end the
        // transaction; and it tells what answers nothing from what answers a table.
        let statement = match self.client.prep(query).await {
            Ok(statement) => statement,
            Err(error) => return Err(self.judge_error(error, query).await),
        };
        let kinds: Vec<Kind> = statement.columns().iter().map(kind).collect();
        wanted.columns(kinds.len())?;
        let sent = [query, &self.names];
        let trouble = |error| trouble(error, &sent);
        let mut answer = self.client.query_iter(query).await.map_err(trouble)?;
        if answer.columns_ref().len() != kinds.len() {
            return Err(Trouble::CannotTell(
                "the query answers otherwise than the server said".to_owned(),
            ));
        }
        self.budget.add_last(LARGEST_PACKET);
        let mut rows = Vec::new();
        while let Some(mut row) = answer.next().await.map_err(trouble)? {
            wanted.one_more(rows.len())?;
            let mut values = Vec::with_capacity(kinds.len());
            for (index, kind) in kinds.iter().enumerate() {
                values.push(match row.take(index) {
                    Some(mysql_async::Value::Bytes(bytes)) => read(*kind, &bytes, zone)?,
                    // The text protocol has text and NULL.
                    _ => Answer::of(Value::Null),
                });
            }
            rows.push(values);
        }
        // Behind a last semicolon there may be a comment, which answers something too.
        answer.drop_result().await.map_err(trouble)?;
        Ok(rows)
    }
}

/// Logs in; answers also the server's version.
async fn log_in(options: Opts) -> Result<(Conn, Option<String>), Error> {
    let mut client = Conn::new(options).await?;
    let version = client.query_first("select version()").await?;
    Ok((client, version))
}

/// The name that an error says to be missing, if that is what it says.
fn missing(error: &Error, query: &str) -> Option<Missing> {
    match error {
        Error::Server(error) => Missing::of(error.code, &error.message, query),
        _ => None,
    }
}

/// What went wrong, unless it is that the server said too much: the driver says only that the connection was closed.
fn told(budget: &Budget, trouble: Trouble) -> Trouble {
    if budget.is_exceeded() {
        too_large()
    } else {
        trouble
    }
}

/// The settings, which lack the port: the driver connects to one of this machine.
fn options(server: &Server) -> OptsBuilder {
    let tls = match &server.connector {
        Connector::Plain => None,
        Connector::Tls { roots: None, .. } => {
            Some(SslOpts::default().with_danger_accept_invalid_certs(true))
        }
        Connector::Tls {
            roots: Some(pem), ..
        } => Some(
            SslOpts::default()
                .with_disable_built_in_roots(true)
                .with_root_certs(vec![pem.to_vec().into()]),
        ),
    };
    // It is the server's name that the certificate must be for.
    let tls = tls.map(|tls| tls.with_danger_tls_hostname_override(Some(server.host.clone())));
    OptsBuilder::default()
        .ip_or_hostname(Ipv4Addr::LOCALHOST.to_string())
        .user(Some(&server.login.username))
        .pass(Some(&server.login.password))
        .db_name(server.database.as_deref())
        // With it a server that cannot encrypt is refused before the login.
        .ssl_opts(tls)
        .secure_auth(true)
        // RDS asks for a token of IAM by `mysql_clear_password`. Without TLS none gets here.
        .enable_cleartext_plugin(server.login.is_token)
        // The server's word for a socket on this host is not taken.
        .prefer_socket(false)
        .max_allowed_packet(Some(LARGEST_PACKET))
        .wait_timeout(Some(60))
        .stmt_cache_size(0)
}

/// Nothing is written, nothing runs for ever, and text means the same whatever the server's settings are. Sent as one text.
fn session(is_mariadb: bool, wanted: Wanted, limit: Duration) -> String {
    // One more than is wanted tells that there are several.
    let rows = wanted.most_rows() + 1;
    let seconds = limit.as_secs().max(1);
    let longest = if is_mariadb {
        format!("max_statement_time = {}", limit.as_secs_f64().max(0.001))
    } else {
        format!("max_execution_time = {}", limit.as_millis().max(1))
    };
    // A restored copy's statistics are those of its source, of up to a day before (MySQL's manual,
    // "The INFORMATION_SCHEMA TABLES Table"). MySQL 5.7 keeps none, and takes this for a comment.
    let fresh = if is_mariadb {
        ""
    } else {
        " /*!80000 , information_schema_stats_expiry = 0 */"
    };
    format!(
        "set names utf8mb4; \
         set session time_zone = '+00:00', {longest}, lock_wait_timeout = {seconds}, \
         innodb_lock_wait_timeout = {seconds}, sql_select_limit = {rows}{fresh}; \
         set session transaction read only; start transaction read only"
    )
}

/// What a column holds.
fn kind(column: &Column) -> Kind {
    use ColumnType::*;

    match column.column_type() {
        MYSQL_TYPE_TINY
        | MYSQL_TYPE_SHORT
        | MYSQL_TYPE_INT24
        | MYSQL_TYPE_LONG
        | MYSQL_TYPE_LONGLONG
        | MYSQL_TYPE_FLOAT
        | MYSQL_TYPE_DOUBLE
        | MYSQL_TYPE_DECIMAL
        | MYSQL_TYPE_NEWDECIMAL
        | MYSQL_TYPE_YEAR => Kind::Number,
        MYSQL_TYPE_BIT => Kind::Bits,
        MYSQL_TYPE_DATE | MYSQL_TYPE_NEWDATE => Kind::Date,
        MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2 => Kind::DateTime,
        MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2 => Kind::Timestamp,
        _ if column.character_set() == BINARY => Kind::Bytes,
        // `char(n)`: also `enum` and `set`, whose values have no padding.
        MYSQL_TYPE_STRING => Kind::Padded,
        _ => Kind::Text,
    }
}

/// Sorts an error of the server or of the driver: does it speak against the data, or did we just not get to see it?
/// `sent` is what we have sent.
fn trouble(error: Error, sent: &[&str]) -> Trouble {
    match error {
        Error::Server(error) => sorted(error.code, &error.state, &error.message, sent),
        Error::Driver(DriverError::PacketTooLarge) => too_large(),
        Error::Io(mysql_async::IoError::Io(error))
            if error.to_string().contains("max_allowed_packet") =>
        {
            too_large()
        }
        // The driver's words hold nothing of what was read.
        Error::Io(mysql_async::IoError::Io(error)) => Trouble::CannotTell(chain(&error)),
        error @ Error::Driver(
            DriverError::ConnectionClosed | DriverError::NoClientSslFlagFromServer,
        ) => Trouble::CannotTell(chain(&error)),
        // Other words of the driver may quote the server: the name of a plugin, a packet.
        error => Trouble::CannotTell(tls_words(&error).unwrap_or_else(|| {
            ceiling::text_or(
                &error.to_string(),
                "the server answers what the client does not understand",
            )
        })),
    }
}

fn too_large() -> Trouble {
    Trouble::CannotTell(format!(
        "the answer is larger than {} MiB",
        LARGEST_PACKET >> 20
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_of_the_kinds_that_they_hold() {
        use ColumnType::*;

        /// utf8mb4_general_ci.
        const UTF8MB4: u16 = 45;
        for (column_type, character_set, expected) in [
            (MYSQL_TYPE_TINY, BINARY, Kind::Number),
            (MYSQL_TYPE_LONGLONG, BINARY, Kind::Number),
            (MYSQL_TYPE_NEWDECIMAL, BINARY, Kind::Number),
            (MYSQL_TYPE_YEAR, BINARY, Kind::Number),
            (MYSQL_TYPE_BIT, BINARY, Kind::Bits),
            (MYSQL_TYPE_DATE, BINARY, Kind::Date),
            (MYSQL_TYPE_DATETIME, BINARY, Kind::DateTime),
            (MYSQL_TYPE_TIMESTAMP, BINARY, Kind::Timestamp),
            (MYSQL_TYPE_TIME, BINARY, Kind::Bytes),
            (MYSQL_TYPE_BLOB, BINARY, Kind::Bytes),
            (MYSQL_TYPE_BLOB, UTF8MB4, Kind::Text),
            (MYSQL_TYPE_VAR_STRING, UTF8MB4, Kind::Text),
            (MYSQL_TYPE_STRING, UTF8MB4, Kind::Padded),
            (MYSQL_TYPE_STRING, BINARY, Kind::Bytes),
        ] {
            let column = Column::new(column_type).with_character_set(character_set);
            assert_eq!(kind(&column), expected, "{column_type:?}");
        }
    }
}

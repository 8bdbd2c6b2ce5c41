//! PostgreSQL.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::join;
use jiff::tz::TimeZone;
use restore_proof_core::check::Trouble;
use restore_proof_core::check::data::Rows;
use restore_proof_core::check::postgres::{
    Kind, ServerError, read, sorted, sorted_while_reading, unreadable,
};
use restore_proof_core::expectation::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::bounded::{Bounded, Budget};
use super::{Server, Unanswered, Wanted};
use crate::check::chain;
use crate::check::tls::Connector;

/// The most that is read from a server for one check, bytes: all that it says, the value among it.
const LARGEST_ANSWER: usize = 16 << 20;
/// The longest that asking the server to stop a statement may take.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);
/// The most that is read from a server that is asked to stop a statement, bytes.
const LARGEST_GREETING: usize = 64 << 10;
/// The server setting with the encoding of the database's text (PostgreSQL's manual, "Preset Options"); told at login.
const SERVER_ENCODING: &str = "server_encoding";

/// The class of SQLSTATE with logins that are refused (PostgreSQL's manual, appendix "Error Codes").
const REFUSED_LOGINS: &str = "28";

/// A connection that is logged in.
pub(super) struct Connection {
    client: Client,
    budget: Arc<Budget>,
    /// The server, as far as cancelling needs it.
    place: (String, u16),
    connector: Connector,
    /// The time-out that the session began with.
    opened_with: Duration,
    /// The encoding of the database's text, in PostgreSQL's words; empty when the server did not tell.
    encoding: String,
    /// The names that were sent when it was opened, which the server's messages may repeat.
    names: String,
}

impl Connection {
    /// Connects and logs in.
    pub(super) async fn open(server: &Server, limit: Duration) -> Result<Connection, Trouble> {
        let database = server.database.as_ref().ok_or_else(|| {
            Trouble::CannotTell("neither the check nor the login names a database".to_owned())
        })?;
        let mut config = tokio_postgres::Config::new();
        config
            .user(&server.login.username)
            .password(&server.login.password)
            .dbname(database)
            .application_name("restore-proof")
            .options(session_options(limit));
        let place = (server.host.clone(), server.port);
        let budget = Arc::new(Budget::new(LARGEST_ANSWER));
        let stream = Bounded::connect(&place, limit, &budget).await?;
        let logged_in = match &server.connector {
            Connector::Tls { config: tls, .. } => {
                config.ssl_mode(SslMode::Require);
                log_in(&config, stream, make_tls(tls, &place.0)?).await
            }
            Connector::Plain => {
                config.ssl_mode(SslMode::Disable);
                log_in(&config, stream, NoTls).await
            }
        };
        let (client, encoding) = logged_in.map_err(|error| {
            let code = error.code().map(|code| code.code().to_owned());
            let sent = [server.names()];
            let sent = [sent[0].as_str()];
            let trouble = trouble_or_too_large(&budget, || sorted_error(error, "", &sent, sorted));
            if code.is_some_and(|code| code.starts_with(REFUSED_LOGINS)) {
                server.login.refused(trouble)
            } else {
                trouble
            }
        })?;
        Ok(Connection {
            client,
            budget,
            place,
            connector: server.connector.clone(),
            opened_with: limit,
            encoding,
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
    ) -> Result<Rows, Unanswered> {
        self.budget.renew(LARGEST_ANSWER);
        let answered = self.ask(query, wanted, zone, limit).await;
        // The client says only that the connection was closed.
        let answered = match answered {
            Err(_) if self.budget.is_exceeded() => Err(Unanswered::GoesOn(too_large())),
            answered => answered,
        };
        if let Err(Unanswered::GoesOn(_)) = answered {
            // Nobody can tell whether it was heard; the statement's time-out ends what was not.
            let _ = tokio::time::timeout(CANCEL_TIMEOUT, self.cancel()).await;
        }
        answered
    }

    /// How much was read from the server, bytes.
    pub(super) fn read_so_far(&self) -> usize {
        self.budget.read_so_far()
    }

    async fn ask(
        &self,
        query: &str,
        wanted: Wanted,
        zone: &TimeZone,
        limit: Duration,
    ) -> Result<Rows, Unanswered> {
        let sent = [query, &self.names];
        let sorted_by = |error, sort: fn(&ServerError<'_>) -> Trouble| {
            sorted_error(error, &self.encoding, &sent, sort)
        };
        let ended = |error| Unanswered::Ended(sorted_by(error, sorted));
        let reading = |error| Unanswered::Ended(sorted_by(error, sorted_while_reading));
        // Preparing refuses text with several statements, so that none of them can end the transaction. Both are sent at
        // once, and answered at once.
        let clean = clean_session(limit, self.opened_with);
        let (cleaned, prepared) = join(
            self.client.batch_execute(&clean),
            self.client.prepare(query),
        )
        .await;
        cleaned.map_err(|error| Unanswered::Unclean(sorted_by(error, sorted)))?;
        let statement = prepared.map_err(ended)?;
        let columns = statement.columns().iter();
        let kinds: Vec<Kind> = columns.map(|column| kind(column.type_())).collect();
        wanted.columns(kinds.len()).map_err(Unanswered::Ended)?;
        // As it is written: a cursor or a limit would have the server plan it otherwise, and not in parallel.
        let answer = self.client.simple_query_raw(query).await.map_err(reading)?;
        let mut answer = pin!(answer);
        let mut rows = Vec::new();
        while let Some(message) = answer.try_next().await.map_err(reading)? {
            let SimpleQueryMessage::Row(row) = message else {
                continue;
            };
            wanted.one_more(rows.len()).map_err(Unanswered::GoesOn)?;
            let mut values = Vec::with_capacity(kinds.len());
            for (index, kind) in kinds.iter().enumerate() {
                // The server has sent text, and what is not UTF-8 is all that can be wrong with it.
                let text = row
                    .try_get(index)
                    .map_err(|_| Unanswered::Ended(unreadable(&self.encoding)))?;
                values.push(text.map_or(Value::Null, |text| read(*kind, text, zone)));
            }
            rows.push(values);
        }
        Ok(rows)
    }

    /// Asks the server to stop what it is doing for this connection.
    async fn cancel(&self) -> Result<(), Trouble> {
        let token = self.client.cancel_token();
        let budget = Arc::new(Budget::new(LARGEST_GREETING));
        let stream = Bounded::connect(&self.place, CANCEL_TIMEOUT, &budget).await?;
        let cancelled = match &self.connector {
            Connector::Tls { config, .. } => {
                let tls = make_tls(config, &self.place.0)?;
                token.cancel_query_raw(stream, tls).await
            }
            Connector::Plain => token.cancel_query_raw(stream, NoTls).await,
        };
        cancelled.map_err(|error| Trouble::CannotTell(chain(&error)))
    }
}

fn make_tls(
    config: &Arc<rustls::ClientConfig>,
    host: &str,
) -> Result<<MakeRustlsConnect as MakeTlsConnect<Bounded<TcpStream>>>::TlsConnect, Trouble> {
    let mut tls = MakeRustlsConnect::new((**config).clone());
    MakeTlsConnect::<Bounded<TcpStream>>::make_tls_connect(&mut tls, host)
        .map_err(|error| Trouble::CannotTell(chain(&error)))
}

/// Logs in; answers the client and the encoding of the database's text.
async fn log_in<T>(
    config: &tokio_postgres::Config,
    stream: Bounded<TcpStream>,
    tls: T,
) -> Result<(Client, String), tokio_postgres::Error>
where
    T: TlsConnect<Bounded<TcpStream>>,
    T::Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = config.connect_raw(stream, tls).await?;
    let encoding = connection.parameter(SERVER_ENCODING).unwrap_or_default();
    let encoding = encoding.to_owned();
    // Its error reaches the client's calls.
    tokio::spawn(connection);
    Ok((client, encoding))
}

/// What every session begins with, and what `reset all` leads back to: nothing is written, nothing runs for ever, text means
/// the same whatever the server's settings are, and rows that a policy hides are an error and not missing.
fn session_options(limit: Duration) -> String {
    let milliseconds = limit.as_millis().max(1);
    format!(
        "-c default_transaction_read_only=on -c statement_timeout={milliseconds} -c lock_timeout={milliseconds} \
         -c idle_in_transaction_session_timeout=60000 -c timezone=UTC -c datestyle=ISO -c intervalstyle=iso_8601 \
         -c client_encoding=UTF8 -c row_security=off"
    )
}

/// Ends what the last check left, and begins a transaction. Settings, roles, cursors and what is listened to end with a
/// transaction that is rolled back (PostgreSQL's manual, "SET", "DECLARE", "LISTEN"), which is all that a check runs in, and a
/// read-only one leaves neither temporary tables nor sequences; locks of the session do not. `discard all` would do the same,
/// but takes no company and forgets what the client has prepared.
fn clean_session(limit: Duration, opened_with: Duration) -> String {
    let limits = if limit == opened_with {
        // What `reset all` leads back to.
        String::new()
    } else {
        let milliseconds = limit.as_millis().max(1);
        format!("set statement_timeout = {milliseconds}; set lock_timeout = {milliseconds}; ")
    };
    format!(
        "rollback; reset all; select pg_catalog.pg_advisory_unlock_all(); {limits}begin transaction read only"
    )
}

/// What a column holds.
fn kind(column: &Type) -> Kind {
    match *column {
        Type::BOOL => Kind::Boolean,
        Type::INT2
        | Type::INT4
        | Type::INT8
        | Type::OID
        | Type::FLOAT4
        | Type::FLOAT8
        | Type::NUMERIC => Kind::Number,
        Type::DATE => Kind::Date,
        Type::TIMESTAMP => Kind::Timestamp,
        Type::TIMESTAMPTZ => Kind::Timestamptz,
        Type::BPCHAR => Kind::Padded,
        _ => Kind::Other,
    }
}

/// Sorts an error of PostgreSQL: does it speak against the data, or did we just not get to see it?
fn sorted_error(
    error: tokio_postgres::Error,
    encoding: &str,
    sent: &[&str],
    sort: impl FnOnce(&ServerError<'_>) -> Trouble,
) -> Trouble {
    match error.as_db_error() {
        Some(db) => sort(&ServerError {
            code: db.code().code(),
            message: db.message(),
            routine: db.routine().unwrap_or_default(),
            encoding,
            sent,
        }),
        None => Trouble::CannotTell(chain(&error)),
    }
}

/// What an error says, unless it is that the server said too much.
fn trouble_or_too_large(budget: &Budget, trouble: impl FnOnce() -> Trouble) -> Trouble {
    if budget.is_exceeded() {
        too_large()
    } else {
        trouble()
    }
}

fn too_large() -> Trouble {
    Trouble::CannotTell(format!(
        "the answer is larger than {} MiB",
        LARGEST_ANSWER >> 20
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_of_the_kinds_that_they_hold() {
        for (column, expected) in [
            (Type::BOOL, Kind::Boolean),
            (Type::INT8, Kind::Number),
            (Type::NUMERIC, Kind::Number),
            (Type::DATE, Kind::Date),
            (Type::TIMESTAMP, Kind::Timestamp),
            (Type::TIMESTAMPTZ, Kind::Timestamptz),
            (Type::BPCHAR, Kind::Padded),
            (Type::TEXT, Kind::Other),
            (Type::INTERVAL, Kind::Other),
            (Type::BOOL_ARRAY, Kind::Other),
        ] {
            assert_eq!(kind(&column), expected, "{column}");
        }
    }
}

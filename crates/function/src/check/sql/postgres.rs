//! PostgreSQL.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use jiff::tz::TimeZone;
use restore_proof_core::check::Trouble;
use restore_proof_core::check::postgres::{Kind, read, sorted, sorted_while_reading};
use restore_proof_core::expectation::Value;
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Server;
use super::bounded::{Bounded, Budget};
use crate::check::apart::apart;
use crate::check::chain;
use crate::check::tls::Connector;

/// The most that is read from a server for one check, bytes: all that it says, the value among it.
const LARGEST_ANSWER: usize = 16 << 20;

/// The one value that the query answers.
pub(super) async fn value(
    query: &str,
    server: &Server<'_>,
    zone: &TimeZone,
    limit: Duration,
) -> Result<Value, Trouble> {
    let database = server.database.ok_or_else(|| {
        Trouble::CannotTell("neither the check nor the login names a database".to_owned())
    })?;
    let mut config = tokio_postgres::Config::new();
    config
        .user(&server.login.username)
        .password(&server.login.password)
        .dbname(database)
        .application_name("restore-proof")
        .options(session_options(limit));
    let place = (server.host.to_owned(), server.port);
    let connector = server.connector.clone();
    let query = query.trim().trim_end_matches(';').trim_end().to_owned();
    let zone = zone.clone();
    // The client's connection is a task of its own, which would read the rest of an answer that nobody waits for any more.
    // Here it ends with the check.
    apart(limit, move || async move {
        let budget = Arc::new(Budget::new(LARGEST_ANSWER));
        let answered = async {
            let stream = Bounded::connect(&place, limit, &budget).await?;
            let client = log_in(config, stream, &place.0, connector).await?;
            ask(&client, &query, &zone).await
        }
        .await;
        match answered {
            // The client says only that the connection was closed.
            Err(_) if budget.is_exceeded() => Err(Trouble::CannotTell(format!(
                "the answer is larger than {} MiB",
                LARGEST_ANSWER >> 20
            ))),
            answered => answered,
        }
    })
    .await
}

async fn log_in(
    mut config: tokio_postgres::Config,
    stream: Bounded<TcpStream>,
    host: &str,
    connector: Connector,
) -> Result<Client, Trouble> {
    Ok(match connector {
        Connector::Tls { config: tls, .. } => {
            config.ssl_mode(SslMode::Require);
            let mut tls = MakeRustlsConnect::new((*tls).clone());
            let tls = MakeTlsConnect::<Bounded<TcpStream>>::make_tls_connect(&mut tls, host)
                .map_err(|error| Trouble::CannotTell(chain(&error)))?;
            let (client, connection) = config.connect_raw(stream, tls).await.map_err(trouble)?;
            // Its error reaches the client's calls.
            tokio::spawn(connection);
            client
        }
        Connector::Plain => {
            config.ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(trouble)?;
            tokio::spawn(connection);
            client
        }
    })
}

/// Nothing is written, nothing runs for ever, and text means the same whatever the server's settings are.
fn session_options(limit: Duration) -> String {
    let milliseconds = limit.as_millis().max(1);
    format!(
        "-c default_transaction_read_only=on -c statement_timeout={milliseconds} -c lock_timeout={milliseconds} \
         -c idle_in_transaction_session_timeout=60000 -c timezone=UTC -c datestyle=ISO -c intervalstyle=iso_8601 \
         -c client_encoding=UTF8 -c cursor_tuple_fraction=1.0"
    )
}

async fn ask(client: &Client, query: &str, zone: &TimeZone) -> Result<Value, Trouble> {
    client
        .batch_execute("begin transaction read only")
        .await
        .map_err(trouble)?;
    // Preparing refuses text with several statements, so that none of them can end the transaction.
    let statement = client.prepare(query).await.map_err(trouble)?;
    let kind = match statement.columns() {
        [column] => kind(column.type_()),
        columns => {
            return Err(Trouble::CannotTell(format!(
                "the query answers {} columns; it must answer one value",
                columns.len()
            )));
        }
    };
    // A cursor takes queries only, and hands out as few rows as wished.
    client
        .batch_execute(&format!(
            "declare restore_proof_check no scroll cursor for {query}\n"
        ))
        .await
        .map_err(trouble)?;
    let answer = client
        .simple_query_raw("fetch 2 from restore_proof_check")
        .await
        .map_err(trouble_while_reading)?;
    let mut answer = pin!(answer);
    let mut first = None;
    while let Some(message) = answer.try_next().await.map_err(trouble_while_reading)? {
        let SimpleQueryMessage::Row(row) = message else {
            continue;
        };
        if first.is_some() {
            return Err(Trouble::CannotTell(
                "the query answers several rows; it must answer one value".to_owned(),
            ));
        }
        first = Some(row);
    }
    let Some(row) = first else {
        return Ok(Value::NoRow);
    };
    let text = row.try_get(0).map_err(trouble)?;
    Ok(text.map_or(Value::Null, |text| read(kind, text, zone)))
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
        _ => Kind::Other,
    }
}

/// Sorts an error of PostgreSQL: does it speak against the data, or did we just not get to see it?
fn trouble(error: tokio_postgres::Error) -> Trouble {
    match error.as_db_error() {
        Some(db) => sorted(db.code().code(), db.message()),
        None => Trouble::CannotTell(chain(&error)),
    }
}

/// The same of an error that came while data was read, and may quote it.
fn trouble_while_reading(error: tokio_postgres::Error) -> Trouble {
    match error.as_db_error() {
        Some(db) => sorted_while_reading(db.code().code(), db.message()),
        None => trouble(error),
    }
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
            (Type::TEXT, Kind::Other),
            (Type::INTERVAL, Kind::Other),
            (Type::BOOL_ARRAY, Kind::Other),
        ] {
            assert_eq!(kind(&column), expected, "{column}");
        }
    }
}

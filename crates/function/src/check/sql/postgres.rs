//! PostgreSQL.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use restore_proof_core::expectation::Value;
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Server;
use super::bounded::{Bounded, Budget};
use crate::check::apart::apart;
use crate::check::tls::Connector;
use crate::check::{Trouble, chain};

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
        [column] => column.type_().clone(),
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
        .map_err(trouble)?;
    let mut answer = pin!(answer);
    let mut first = None;
    while let Some(message) = answer.try_next().await.map_err(trouble)? {
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
    Ok(text.map_or(Value::Null, |text| read(&kind, text, zone)))
}

/// The value that PostgreSQL wrote as text.
fn read(kind: &Type, text: &str, zone: &TimeZone) -> Value {
    let other = || Value::Text(text.to_owned());
    match *kind {
        Type::BOOL => Value::Boolean(text == "t"),
        Type::INT2
        | Type::INT4
        | Type::INT8
        | Type::OID
        | Type::FLOAT4
        | Type::FLOAT8
        | Type::NUMERIC => Value::from_number_text(text),
        Type::DATE => text
            .parse::<Date>()
            .map_or_else(|_| other(), |date| Value::from_date(text, date, zone)),
        Type::TIMESTAMP => text
            .parse::<DateTime>()
            .map_or_else(|_| other(), |local| Value::from_local(text, local, zone)),
        // The session's time zone is UTC.
        Type::TIMESTAMPTZ => match text
            .strip_suffix("+00")
            .map(|local| format!("{local}Z").parse::<Timestamp>())
        {
            Some(Ok(instant)) => Value::Timestamp {
                text: text.to_owned(),
                instant,
                assumed_zone: None,
            },
            _ => other(),
        },
        _ => other(),
    }
}

/// Sorts an error of PostgreSQL: does it speak against the data, or did we just not get to see it?
fn trouble(error: tokio_postgres::Error) -> Trouble {
    match error.as_db_error() {
        Some(db) => server_trouble(db.code(), db.message()),
        None => Trouble::CannotTell(chain(&error)),
    }
}

fn server_trouble(code: &SqlState, message: &str) -> Trouble {
    // The message of other classes may quote the data.
    let quotes_no_data = ["08", "25", "28", "3D", "3F", "42", "53", "57"]
        .iter()
        .any(|class| code.code().starts_with(class));
    let words = if quotes_no_data {
        format!("{message} (SQLSTATE {})", code.code())
    } else {
        format!("PostgreSQL answers SQLSTATE {}", code.code())
    };
    let missing = [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::INVALID_CATALOG_NAME,
    ];
    let damaged = [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED];
    let lacks_file = *code == SqlState::UNDEFINED_FILE && names_file_of_data(message);
    if missing.contains(code) {
        Trouble::Wrong(words)
    } else if damaged.contains(code) || lacks_file {
        Trouble::Wrong(format!("the data is damaged: {words}"))
    } else {
        Trouble::CannotTell(words)
    }
}

/// Whether a message names a file that tables, or what became of their transactions, are kept in (PostgreSQL's manual, "Database File Layout"), and neither one for
/// passing results nor one of the program, as an extension that is not installed is.
fn names_file_of_data(message: &str) -> bool {
    const FOLDERS: [&str; 5] = [
        "base/",
        "global/",
        "pg_multixact/",
        "pg_tblspc/",
        "pg_xact/",
    ];
    FOLDERS.iter().any(|folder| message.contains(folder)) && !message.contains("pgsql_tmp")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use restore_proof_core::policy::time_zone;

    fn berlin() -> TimeZone {
        time_zone("Europe/Berlin").unwrap()
    }

    #[test]
    fn text_of_postgresql_becomes_values() {
        let instant = |value: Value| match value {
            Value::Timestamp { instant, .. } | Value::Date { instant, .. } => instant.to_string(),
            other => panic!("{other:?}"),
        };
        let zoned = read(&Type::TIMESTAMPTZ, "2026-11-21 01:02:03.5+00", &berlin());
        assert_eq!(instant(zoned), "2026-11-21T01:02:03.5Z");
        let local = read(&Type::TIMESTAMP, "2026-07-21 01:02:03", &berlin());
        assert_eq!(instant(local), "2026-07-20T23:02:03Z");
        assert_eq!(
            instant(read(&Type::DATE, "2026-11-21", &berlin())),
            "2026-11-20T23:00:00Z"
        );
        assert_eq!(read(&Type::BOOL, "t", &berlin()), Value::Boolean(true));
        assert!(matches!(
            read(&Type::NUMERIC, "12.50", &berlin()),
            Value::Number { number: 12.5, .. }
        ));
    }

    #[test]
    fn a_file_that_is_missing_is_damage_where_data_is_kept() {
        for message in [
            "could not open file \"base/16384/16385\": No such file or directory",
            "could not open file \"global/1262\": No such file or directory",
            "could not open file \"pg_xact/0001\": No such file or directory",
            "could not open file \"pg_tblspc/16400/PG_17_202406281/5/16401\": No such file or directory",
        ] {
            match server_trouble(&SqlState::UNDEFINED_FILE, message) {
                Trouble::Wrong(words) => assert!(!words.contains("No such file"), "{words}"),
                other => panic!("{message}: {other:?}"),
            }
        }
        for message in [
            "could not access file \"$libdir/postgis-3\": No such file or directory",
            "could not open file \"/etc/hostname\" for reading: No such file or directory",
            "could not open temporary file \"base/pgsql_tmp/pgsql_tmp1.0\": No such file or directory",
        ] {
            match server_trouble(&SqlState::UNDEFINED_FILE, message) {
                Trouble::CannotTell(words) => assert!(words.contains("58P01"), "{words}"),
                other => panic!("{message}: {other:?}"),
            }
        }
        for code in [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED] {
            assert!(matches!(server_trouble(&code, ""), Trouble::Wrong(_)));
        }
    }

    #[test]
    fn what_no_clock_shows_stays_text() {
        for (kind, text) in [
            (Type::TIMESTAMPTZ, "infinity"),
            (Type::TIMESTAMP, "-infinity"),
            (Type::DATE, "infinity"),
            (Type::TIMESTAMPTZ, "0044-03-15 12:00:00+00 BC"),
            (Type::TIMESTAMP, "294276-12-31 23:59:59"),
            (Type::TEXT, "2026-11-21"),
        ] {
            assert_eq!(
                read(&kind, text, &berlin()),
                Value::Text(text.to_owned()),
                "{text}"
            );
        }
    }
}

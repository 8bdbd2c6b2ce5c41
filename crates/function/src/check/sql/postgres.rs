//! PostgreSQL.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use restore_proof_core::expectation::Value;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Server;
use crate::check::tls::Connector;
use crate::check::{Trouble, chain};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
        .host(server.host)
        .port(server.port)
        .user(&server.login.username)
        .password(&server.login.password)
        .dbname(database)
        .application_name("restore-proof")
        .connect_timeout(CONNECT_TIMEOUT.min(limit))
        .options(session_options(limit));
    let client = match server.connector {
        Connector::Tls { config: tls, .. } => {
            config.ssl_mode(SslMode::Require);
            let (client, connection) = config
                .connect(MakeRustlsConnect::new((**tls).clone()))
                .await
                .map_err(trouble)?;
            // Its error reaches the client's calls; when the client goes, it ends.
            tokio::spawn(connection);
            client
        }
        Connector::Plain => {
            config.ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect(NoTls).await.map_err(trouble)?;
            tokio::spawn(connection);
            client
        }
    };
    ask(&client, query, zone).await
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
    // A cursor's query ends where the text ends.
    let query = query.trim().trim_end_matches(';').trim_end();
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
        .simple_query("fetch 2 from restore_proof_check")
        .await
        .map_err(trouble)?;
    let mut rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0)),
        _ => None,
    });
    match (rows.next(), rows.next()) {
        (None, _) => Ok(Value::NoRow),
        (Some(_), Some(_)) => Err(Trouble::CannotTell(
            "the query answers several rows; it must answer one value".to_owned(),
        )),
        (Some(None), None) => Ok(Value::Null),
        (Some(Some(text)), None) => Ok(read(&kind, text, zone)),
    }
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
    let Some(db) = error.as_db_error() else {
        return Trouble::CannotTell(chain(&error));
    };
    let code = db.code();
    // The message of other classes may quote the data.
    let quotes_no_data = ["08", "25", "28", "3D", "3F", "42", "53", "57"]
        .iter()
        .any(|class| code.code().starts_with(class));
    let words = if quotes_no_data {
        format!("{} (SQLSTATE {})", db.message(), code.code())
    } else {
        format!("PostgreSQL answers SQLSTATE {}", code.code())
    };
    let missing = [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::INVALID_CATALOG_NAME,
    ];
    let damaged = [
        SqlState::DATA_CORRUPTED,
        SqlState::INDEX_CORRUPTED,
        SqlState::UNDEFINED_FILE,
    ];
    if missing.contains(code) {
        Trouble::Wrong(words)
    } else if damaged.contains(code) {
        Trouble::Wrong(format!("the data is damaged: {words}"))
    } else {
        Trouble::CannotTell(words)
    }
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

//! MySQL and MariaDB.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable;
use mysql_async::{Column, Conn, DriverError, Error, Opts, OptsBuilder, SslOpts};
use restore_proof_core::check::Trouble;
use restore_proof_core::check::mysql::{Answer, Kind, read, sorted};
use restore_proof_core::expectation::Value;

use super::Server;
use super::bounded::{Bounded, Budget};
use crate::check::apart::apart;
use crate::check::chain;
use crate::check::tls::Connector;

/// The largest packet, and with it the largest value, that is read, bytes.
const LARGEST_PACKET: usize = 16 << 20;
/// The most that is read from a server before the rows, bytes; in memory it may become thirteen times as much.
const LARGEST_PREAMBLE: usize = 2 << 20;
/// The character set of columns that hold bytes (`binary`).
const BINARY: u16 = 63;

/// The one value that the query answers.
pub(super) async fn value(
    query: &str,
    server: &Server<'_>,
    zone: &TimeZone,
    limit: Duration,
) -> Result<Answer, Trouble> {
    let options = options(server);
    let place = (server.host.to_owned(), server.port);
    let query = query.trim().trim_end_matches(';').trim_end().to_owned();
    let zone = zone.clone();
    // The driver reads the rest of an answer that nobody wants any more, however long it is, in a task of its own. Here it
    // ends with the check.
    apart(limit, move || async move {
        let budget = Arc::new(Budget::first(LARGEST_PREAMBLE));
        let answered = async {
            // The driver takes as many columns as a server announces, and keeps them all. The rows are let through when
            // it has shown that it is one.
            let port = Bounded::connect(&place, limit, &budget)
                .await?
                .lend()
                .await?;
            let options = options.tcp_port(port).into();
            ask(options, &query, &zone, limit, &budget).await
        }
        .await;
        match answered {
            // The driver says only that the connection was closed.
            Err(_) if budget.is_exceeded() => Err(too_large()),
            answered => answered,
        }
    })
    .await
}

/// The settings, which lack the port: the driver connects to one of this machine.
fn options(server: &Server<'_>) -> OptsBuilder {
    let tls = match server.connector {
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
    let tls = tls.map(|tls| tls.with_danger_tls_hostname_override(Some(server.host.to_owned())));
    OptsBuilder::default()
        .ip_or_hostname(Ipv4Addr::LOCALHOST.to_string())
        .user(Some(&server.login.username))
        .pass(Some(&server.login.password))
        .db_name(server.database)
        // With it a server that cannot encrypt is refused before the login.
        .ssl_opts(tls)
        .secure_auth(true)
        .enable_cleartext_plugin(false)
        // The server's word for a socket on this host is not taken.
        .prefer_socket(false)
        .max_allowed_packet(Some(LARGEST_PACKET))
        .wait_timeout(Some(60))
        .stmt_cache_size(0)
}

async fn ask(
    options: Opts,
    query: &str,
    zone: &TimeZone,
    limit: Duration,
    budget: &Budget,
) -> Result<Answer, Trouble> {
    let mut connection = Conn::new(options).await.map_err(trouble)?;
    let version: Option<String> = connection
        .query_first("select version()")
        .await
        .map_err(trouble)?;
    let is_mariadb = version.is_some_and(|version| version.contains("MariaDB"));
    for setting in session(is_mariadb, limit) {
        connection.query_drop(setting).await.map_err(trouble)?;
    }
    // Preparing refuses text with several statements, which the driver would let pass, so that none of them can end the
    // transaction; and it tells what answers nothing from what answers a table.
    let statement = connection.prep(query).await.map_err(trouble)?;
    let column = match &*statement.columns() {
        [column] => column.clone(),
        columns => {
            return Err(Trouble::CannotTell(format!(
                "the query answers {} columns; it must answer one value",
                columns.len()
            )));
        }
    };
    let mut answer = connection.query_iter(query).await.map_err(trouble)?;
    if answer.columns_ref().len() != 1 {
        return Err(Trouble::CannotTell(
            "the query answers otherwise than the server said".to_owned(),
        ));
    }
    budget.add_last(LARGEST_PACKET);
    let Some(mut row) = answer.next().await.map_err(trouble)? else {
        return Ok(Answer::of(Value::NoRow));
    };
    if answer.next().await.map_err(trouble)?.is_some() {
        return Err(Trouble::CannotTell(
            "the query answers several rows; it must answer one value".to_owned(),
        ));
    }
    Ok(match row.take(0) {
        Some(mysql_async::Value::Bytes(bytes)) => read(kind(&column), &bytes, zone),
        // The text protocol has text and NULL.
        _ => Answer::of(Value::Null),
    })
}

/// Nothing is written, nothing runs for ever, and text means the same whatever the server's settings are.
fn session(is_mariadb: bool, limit: Duration) -> Vec<String> {
    let seconds = limit.as_secs().max(1);
    let longest = if is_mariadb {
        format!("max_statement_time = {}", limit.as_secs_f64().max(0.001))
    } else {
        format!("max_execution_time = {}", limit.as_millis().max(1))
    };
    vec![
        "set names utf8mb4".to_owned(),
        "set session time_zone = '+00:00'".to_owned(),
        format!("set session {longest}"),
        format!("set session lock_wait_timeout = {seconds}"),
        format!("set session innodb_lock_wait_timeout = {seconds}"),
        // One more than is wanted tells that there are several.
        "set session sql_select_limit = 2".to_owned(),
        "set session transaction read only".to_owned(),
        "start transaction read only".to_owned(),
    ]
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
        _ => Kind::Text,
    }
}

/// Sorts an error of the server or of the driver: does it speak against the data, or did we just not get to see it?
fn trouble(error: Error) -> Trouble {
    match error {
        Error::Server(error) => sorted(error.code, &error.state, &error.message),
        Error::Driver(DriverError::PacketTooLarge) => too_large(),
        Error::Io(mysql_async::IoError::Io(error))
            if error.to_string().contains("max_allowed_packet") =>
        {
            too_large()
        }
        // The driver's words hold nothing of what was read.
        Error::Io(mysql_async::IoError::Io(error)) => Trouble::CannotTell(chain(&error)),
        error => Trouble::CannotTell(chain(&error)),
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
        ] {
            let column = Column::new(column_type).with_character_set(character_set);
            assert_eq!(kind(&column), expected, "{column_type:?}");
        }
    }
}

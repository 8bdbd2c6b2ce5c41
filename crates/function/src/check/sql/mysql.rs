//! MySQL and MariaDB.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable;
use mysql_async::{Column, Conn, DriverError, Error, Opts, OptsBuilder, ServerError, SslOpts};
use restore_proof_core::expectation::{Expectation, Value};

use super::Server;
use super::bounded::{Bounded, Budget};
use crate::check::apart::apart;
use crate::check::tls::Connector;
use crate::check::{Trouble, chain};

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

/// What the query answered.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    value: Value,
    /// Whether it is a date or a time of which a part is zero: MySQL's way of saying that there is none.
    is_zero_time: bool,
}

impl Answer {
    /// The value, when it can be judged. A zero where a point in time is wanted is no mistake of the check.
    pub(super) fn for_expectation(self, expect: &Expectation) -> Result<Value, Trouble> {
        match (self.is_zero_time, expect) {
            (true, Expectation::MaxAge(_)) => Err(Trouble::Wrong(format!(
                "the value is the zero date {}, which is no point in time; expected: {expect}",
                self.value.text().unwrap_or_default()
            ))),
            _ => Ok(self.value),
        }
    }

    fn of(value: Value) -> Answer {
        Answer {
            value,
            is_zero_time: false,
        }
    }
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
        Some(mysql_async::Value::Bytes(bytes)) => read(&column, &bytes, zone),
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

/// The value that the server wrote as text.
fn read(column: &Column, bytes: &[u8], zone: &TimeZone) -> Answer {
    use ColumnType::*;

    let text = String::from_utf8_lossy(bytes);
    let kind = column.column_type();
    Answer::of(match kind {
        MYSQL_TYPE_TINY
        | MYSQL_TYPE_SHORT
        | MYSQL_TYPE_INT24
        | MYSQL_TYPE_LONG
        | MYSQL_TYPE_LONGLONG
        | MYSQL_TYPE_FLOAT
        | MYSQL_TYPE_DOUBLE
        | MYSQL_TYPE_DECIMAL
        | MYSQL_TYPE_NEWDECIMAL
        | MYSQL_TYPE_YEAR => Value::from_number_text(&text),
        MYSQL_TYPE_BIT if bytes.len() <= 8 => {
            let number = bytes
                .iter()
                .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            Value::from_number_text(&number.to_string())
        }
        MYSQL_TYPE_DATE
        | MYSQL_TYPE_NEWDATE
        | MYSQL_TYPE_DATETIME
        | MYSQL_TYPE_DATETIME2
        | MYSQL_TYPE_TIMESTAMP
        | MYSQL_TYPE_TIMESTAMP2 => {
            let value = match kind {
                MYSQL_TYPE_DATE | MYSQL_TYPE_NEWDATE => text
                    .parse::<Date>()
                    .map(|date| Value::from_date(&text, date, zone))
                    .ok(),
                MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2 => text
                    .parse::<DateTime>()
                    .map(|local| Value::from_local(&text, local, zone))
                    .ok(),
                // The session's time zone is UTC.
                _ => format!("{text}Z")
                    .parse::<Timestamp>()
                    .map(|instant| Value::Timestamp {
                        text: text.to_string(),
                        instant,
                        assumed_zone: None,
                    })
                    .ok(),
            };
            let is_zero_time = is_zero_time(&text);
            return Answer {
                value: value
                    .filter(|_| !is_zero_time)
                    .unwrap_or_else(|| Value::Text(text.into_owned())),
                is_zero_time,
            };
        }
        // Bytes that are no text are shown as the engine's own notation shows them.
        _ if column.character_set() == BINARY && matches!(text, Cow::Owned(_)) => {
            Value::Text(bytes.iter().fold("0x".to_owned(), |mut hex, byte| {
                use std::fmt::Write;
                // Writing to a String cannot fail.
                let _ = write!(hex, "{byte:02X}");
                hex
            }))
        }
        _ => Value::Text(text.into_owned()),
    })
}

/// Whether the year, the month or the day of a date is zero: `0000-00-00`, `2026-00-00`.
fn is_zero_time(text: &str) -> bool {
    let date = text.split(' ').next().unwrap_or_default();
    date.split('-')
        .any(|part| part.bytes().all(|byte| byte == b'0'))
}

/// Sorts an error of the server or of the driver: does it speak against the data, or did we just not get to see it?
fn trouble(error: Error) -> Trouble {
    match error {
        Error::Server(error) => server_trouble(&error),
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

/// Error numbers are those of MySQL's and MariaDB's reference manuals; the numbers below 1000 are the storage engines'
/// (`perror`).
fn server_trouble(error: &ServerError) -> Trouble {
    let ServerError {
        code,
        message,
        state,
    } = error;
    // Messages about values may quote the data. These are about tables, columns, logins, locks and limits.
    let quotes_no_data = is_damage(*code)
        || matches!(
            code,
            1030 | 1033
                ..=1035
                    | 1040
                    | 1044
                    | 1045
                    | 1046
                    | 1049
                    | 1052
                    | 1054
                    | 1055
                    | 1064
                    | 1109
                    | 1129
                    | 1130
                    | 1140
                    | 1142
                    | 1143
                    | 1146
                    | 1194
                    | 1195
                    | 1203
                    | 1205
                    | 1213
                    | 1222
                    | 1226
                    | 1227
                    | 1235
                    | 1241
                    | 1242
                    | 1251
                    | 1290
                    | 1295
                    | 1305
                    | 1317
                    | 1356
                    | 1370
                    | 1449
                    | 1524
                    | 1712
                    | 1792
                    | 1812
                    | 1820
                    | 1862
                    | 1877
                    | 1932
                    | 1969
                    | 3024
                    | 3118
                    | 3159
                    | 4151
        );
    let words = if quotes_no_data {
        format!("{message} (error {code})")
    } else {
        format!("the server answers error {code} (SQLSTATE {state})")
    };
    let damaged = |words| Trouble::Wrong(format!("the data is damaged: {words}"));
    match code {
        1049 | 1054 | 1146 => Trouble::Wrong(words),
        // 1356 stands for a view over what is missing and for one that its definer may not read: nobody can tell which.
        _ if is_about_temporary_table(message) => Trouble::CannotTell(words),
        1033..=1035 | 1194 | 1195 | 1712 | 1812 | 1877 | 1932 => damaged(words),
        1030 if engine_error(message).is_some_and(is_damage) => damaged(words),
        _ if is_damage(*code) => damaged(words),
        _ => Trouble::CannotTell(words),
    }
}

/// Whether a number of the storage engines speaks of files that are broken, cut off or not there.
fn is_damage(number: u16) -> bool {
    matches!(number, 126 | 127 | 130 | 144 | 145 | 175 | 176 | 180 | 194)
}

/// Whether a message names one of the server's own temporary tables: what breaks there, mostly for want of room, was in no
/// backup. Tables of the data are named without a folder, or by one below the server's (`./shop/orders`).
fn is_about_temporary_table(message: &str) -> bool {
    message.contains("#sql")
        || message
            .split(['\'', '"', '`', ' '])
            .filter(|word| word.starts_with('/'))
            .any(|path| path.split('/').any(|folder| folder == "tmp"))
}

/// The storage engine's own number in `Got error 127 …`.
fn engine_error(message: &str) -> Option<u16> {
    message
        .split(' ')
        .find_map(|word| word.trim_end_matches(':').parse().ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use restore_proof_core::policy::time_zone;

    /// utf8mb4_general_ci.
    const UTF8MB4: u16 = 45;

    fn column(kind: ColumnType, character_set: u16) -> Column {
        Column::new(kind).with_character_set(character_set)
    }

    fn value(kind: ColumnType, bytes: &[u8]) -> Value {
        let berlin = time_zone("Europe/Berlin").unwrap();
        let answer = read(&column(kind, BINARY), bytes, &berlin);
        assert!(!answer.is_zero_time);
        answer.value
    }

    fn instant(kind: ColumnType, text: &str) -> String {
        match value(kind, text.as_bytes()) {
            Value::Timestamp { instant, .. } | Value::Date { instant, .. } => instant.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_of_the_server_becomes_values() {
        use ColumnType::*;

        for (kind, text, number) in [
            (MYSQL_TYPE_TINY, "1", 1.0),
            (MYSQL_TYPE_SHORT, "-7", -7.0),
            (MYSQL_TYPE_LONG, "12000", 12000.0),
            (
                MYSQL_TYPE_LONGLONG,
                "18446744073709551615",
                18446744073709551615.0,
            ),
            (MYSQL_TYPE_NEWDECIMAL, "12.50", 12.5),
            (MYSQL_TYPE_DOUBLE, "1e20", 1e20),
            (MYSQL_TYPE_YEAR, "2026", 2026.0),
        ] {
            let expected = Value::Number {
                text: text.to_owned(),
                number,
            };
            assert_eq!(value(kind, text.as_bytes()), expected);
        }
        assert_eq!(
            value(MYSQL_TYPE_BIT, &[1, 2]),
            Value::from_number_text("258")
        );
        assert_eq!(
            instant(MYSQL_TYPE_TIMESTAMP, "2026-11-21 01:02:03.500000"),
            "2026-11-21T01:02:03.5Z"
        );
        assert_eq!(
            instant(MYSQL_TYPE_DATETIME, "2026-07-21 01:02:03"),
            "2026-07-20T23:02:03Z"
        );
        assert_eq!(
            instant(MYSQL_TYPE_DATE, "2026-11-21"),
            "2026-11-20T23:00:00Z"
        );
    }

    #[test]
    fn text_and_bytes_are_told_apart() {
        use ColumnType::*;
        let read = |kind, set, bytes: &[u8]| read(&column(kind, set), bytes, &TimeZone::UTC).value;
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(
            read(MYSQL_TYPE_VAR_STRING, UTF8MB4, "größer 🦀".as_bytes()),
            text("größer 🦀")
        );
        assert_eq!(read(MYSQL_TYPE_BLOB, BINARY, b"plain"), text("plain"));
        assert_eq!(read(MYSQL_TYPE_BLOB, BINARY, &[0xff, 0x00]), text("0xFF00"));
        assert_eq!(read(MYSQL_TYPE_JSON, UTF8MB4, b"[1]"), text("[1]"));
        assert_eq!(
            read(MYSQL_TYPE_TIME, BINARY, b"-838:59:59"),
            text("-838:59:59")
        );
    }

    #[test]
    fn zero_dates_are_no_times() {
        use ColumnType::*;
        let hour = Expectation::MaxAge(Duration::from_secs(3600));
        for (kind, text) in [
            (MYSQL_TYPE_DATE, "0000-00-00"),
            (MYSQL_TYPE_DATE, "2026-00-00"),
            (MYSQL_TYPE_DATE, "2026-11-00"),
            (MYSQL_TYPE_DATE, "0000-01-01"),
            (MYSQL_TYPE_DATETIME, "0000-00-00 00:00:00"),
            (MYSQL_TYPE_DATETIME, "2026-00-21 01:02:03.000000"),
            (MYSQL_TYPE_TIMESTAMP, "0000-00-00 00:00:00"),
        ] {
            let read = || read(&column(kind, BINARY), text.as_bytes(), &TimeZone::UTC);
            assert_eq!(read().value, Value::Text(text.to_owned()));
            match read().for_expectation(&hour) {
                Err(Trouble::Wrong(detail)) => assert!(detail.contains(text), "{detail}"),
                other => panic!("{text}: {other:?}"),
            }
            assert!(read().for_expectation(&Expectation::NotEmpty).is_ok());
        }
        // What no calendar shows, is text and no zero date.
        let odd = read(
            &column(MYSQL_TYPE_DATE, BINARY),
            b"2026-02-31",
            &TimeZone::UTC,
        );
        assert_eq!(odd, Answer::of(Value::Text("2026-02-31".to_owned())));
    }

    fn sorted(code: u16, message: &str) -> Trouble {
        server_trouble(&ServerError {
            code,
            message: message.to_owned(),
            state: "HY000".to_owned(),
        })
    }

    #[test]
    fn errors_are_sorted() {
        for (code, message) in [
            (1146, "Table 'shop.invoices' doesn't exist"),
            (1054, "Unknown column 'paid_by' in 'SELECT'"),
            (1049, "Unknown database 'shop_eu'"),
            (
                1194,
                "Table 'orders' is marked as crashed and should be repaired",
            ),
            (1712, "Index PRIMARY is corrupted"),
            (
                126,
                "Index for table './shop/orders' is corrupt; try to repair it",
            ),
            (1030, "Got error 127 from storage engine Aria"),
            (
                1030,
                "Got error 175 \"File too short; Expected more data in file\" from storage engine Aria",
            ),
            (
                1877,
                "Table `shop`.`orders` is corrupted. Please drop the table and recreate.",
            ),
            (1030, "Got error 194 \"Tablespace is missing\""),
            (
                1034,
                "Incorrect key file for table './tmp/orders.MYI'; try to repair it",
            ),
            (1932, "Table 'shop.orders' doesn't exist in engine"),
        ] {
            match sorted(code, message) {
                Trouble::Wrong(words) => assert!(words.contains(message), "{words}"),
                other => panic!("{code}: {other:?}"),
            }
        }
        for (code, message) in [
            (
                1045,
                "Access denied for user 'reader'@'10.0.0.1' (using password: YES)",
            ),
            (
                1142,
                "SELECT command denied to user 'reader'@'10.0.0.1' for table 'orders'",
            ),
            (1064, "You have an error in your SQL syntax"),
            (1030, "Got error 28 from storage engine"),
            (
                1030,
                "Got error 122 - 'Internal (unspecified) error in handler' from storage engine",
            ),
            (
                1030,
                "Got error 127 from storage engine Aria for table '#sql_1_0'",
            ),
            (
                1356,
                "View 'shop.v' references invalid table(s) or column(s) or function(s) or definer/invoker of view lack rights to use them",
            ),
            (
                126,
                "Incorrect key file for table '/rdsdbdata/tmp/#sql_1a_0.MYI'; try to repair it",
            ),
            (
                1034,
                "Incorrect key file for table '/rdsdbdata/tmp/MYabc'; try to repair it",
            ),
            (
                1034,
                "Incorrect key file for table '#sql-temptable-1-2'; try to repair it",
            ),
            (
                145,
                "Table './shop/#sql-1_2' is marked as crashed and should be repaired",
            ),
            (
                1205,
                "Lock wait timeout exceeded; try restarting transaction",
            ),
            (
                1969,
                "Query execution was interrupted (max_statement_time exceeded)",
            ),
            (
                3024,
                "Query execution was interrupted, maximum statement execution time exceeded",
            ),
            (1792, "Cannot execute statement in a READ ONLY transaction"),
        ] {
            match sorted(code, message) {
                Trouble::CannotTell(words) => assert!(words.contains(message), "{words}"),
                other => panic!("{code}: {other:?}"),
            }
        }
    }

    #[test]
    fn messages_that_may_quote_data_are_not_shown() {
        for code in [1292, 1366, 1062, 1690, 3140, 1105, 1644] {
            match sorted(code, "Truncated incorrect value: 'Erika Mustermann'") {
                Trouble::CannotTell(words) => assert!(!words.contains("Erika"), "{words}"),
                other => panic!("{code}: {other:?}"),
            }
        }
    }
}

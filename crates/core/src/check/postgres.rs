//! What PostgreSQL answers: values from their text, and what its errors speak against.

mod conditions;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::{Trouble, overheard};
use crate::expectation::Value;

/// SQLSTATEs of a table, a column, a schema, a database that is not there (PostgreSQL's manual, "Error Codes").
const MISSING: [&str; 4] = ["42P01", "42703", "3F000", "3D000"];
/// SQLSTATEs of data and of an index that are corrupted.
const DAMAGED: [&str; 2] = ["XX001", "XX002"];
/// SQLSTATE of something that the user may not do.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// SQLSTATEs of text that is not in the database's encoding, or has no equal in UTF-8.
const ENCODING: [&str; 2] = ["22021", "22P05"];
/// SQLSTATE of a file that is not there.
const UNDEFINED_FILE: &str = "58P01";

/// What a column holds, as far as its text is read in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `boolean`.
    Boolean,
    /// `bigint`, `numeric`, `double precision` and their kin.
    Number,
    /// `date`.
    Date,
    /// `timestamp without time zone`.
    Timestamp,
    /// `timestamp with time zone`, in the session's zone, which is UTC.
    Timestamptz,
    /// `char(n)`: filled up with blanks, which no comparison in SQL sees (PostgreSQL's manual, "Character Types").
    Padded,
    /// Anything else.
    Other,
}

/// The value that PostgreSQL wrote as text.
pub fn read(kind: Kind, text: &str, zone: &TimeZone) -> Value {
    let other = || Value::Text(text.to_owned());
    match kind {
        Kind::Boolean => Value::Boolean(text == "t"),
        Kind::Number => Value::from_number_text(text),
        Kind::Date => text
            .parse::<Date>()
            .map_or_else(|_| other(), |date| Value::from_date(text, date, zone)),
        Kind::Timestamp => text
            .parse::<DateTime>()
            .map_or_else(|_| other(), |local| Value::from_local(text, local, zone)),
        // The session's time zone is UTC.
        Kind::Timestamptz => match text
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
        Kind::Padded => Value::padded(text),
        Kind::Other => other(),
    }
}

/// Classes of SQLSTATE whose messages are about connections, transactions, resources and the operator, and never quote data.
const ABOUT_THE_SERVER: &[&str] = &["08", "25", "53", "57"];
/// Classes about logins and names: those of the query, until data is read.
const ABOUT_NAMES: &[&str] = &["28", "3D", "3F", "42"];

/// An error as the server tells it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerError<'e> {
    /// The SQLSTATE.
    pub code: &'e str,
    /// The message, in the server's language.
    pub message: &'e str,
    /// The function of PostgreSQL's source that found it; empty when it is not told.
    pub routine: &'e str,
    /// The encoding of the database's text (`server_encoding`); empty when it is not known.
    pub encoding: &'e str,
    /// What we have sent: the query, the login and where it leads.
    pub sent: &'e [&'e str],
}

/// Sorts an error of the server by its SQLSTATE: does it speak against the data, or did we just not get to see it?
pub fn sorted(error: &ServerError<'_>) -> Trouble {
    let shown = [ABOUT_THE_SERVER, ABOUT_NAMES].concat();
    sorted_showing(&shown, error)
}

/// The same of an error that came while data was read. A query may take data for names, as `email::regclass` and
/// `query_to_xml(…)` do, and then a message about names quotes it.
pub fn sorted_while_reading(error: &ServerError<'_>) -> Trouble {
    sorted_showing(ABOUT_THE_SERVER, error)
}

/// What is said of text that is not what it should be, in the encoding of the database.
pub fn unreadable(encoding: &str) -> Trouble {
    Trouble::CannotTell(format!(
        "the value is text that cannot be read as UTF-8; {}",
        about_encoding(encoding)
    ))
}

fn about_encoding(encoding: &str) -> String {
    let encoding = match encoding {
        "" => "unknown",
        known => known,
    };
    format!(
        "the database's encoding (server_encoding) is {encoding}; ask for a number, as length(…), or for bytes, as \
         encode(convert_to(…, '{encoding}'), 'hex')"
    )
}

/// Shows messages of these classes alone.
fn sorted_showing(classes: &[&str], error: &ServerError<'_>) -> Trouble {
    let ServerError {
        code,
        message,
        sent,
        ..
    } = *error;
    let quotes_no_data = classes.iter().any(|class| code.starts_with(class));
    let condition = conditions::in_words(code);
    let words = if quotes_no_data {
        format!("{}: {condition}", overheard::message(message, sent))
    } else {
        format!("PostgreSQL refused: {condition}")
    };
    let lacks_file = code == UNDEFINED_FILE && names_file_of_data(message);
    if MISSING.contains(&code) {
        Trouble::Wrong(words)
    } else if DAMAGED.contains(&code) || lacks_file {
        Trouble::Wrong(format!("the data is damaged: {words}"))
    } else if is_row_security(error) {
        Trouble::CannotTell(format!(
            "row level security hides rows of a table from the user that the check logs in as, so that their number would say \
             nothing of the backup; log in as the table's owner or a user with BYPASSRLS, or ask a view that the table's \
             owner owns: {words}"
        ))
    } else if ENCODING.contains(&code) {
        Trouble::CannotTell(format!("{words}; {}", about_encoding(error.encoding)))
    } else {
        Trouble::CannotTell(words)
    }
}

/// Whether the server refuses a query that a policy would hide rows from, as sessions with `row_security = off` have it do
/// (`check_enable_rls` in PostgreSQL's `src/backend/utils/misc/rls.c`; the message depends on the server's language).
fn is_row_security(error: &ServerError<'_>) -> bool {
    error.code == INSUFFICIENT_PRIVILEGE
        && (error.routine == "check_enable_rls" || error.message.contains("row-level security"))
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
    use crate::policy::time_zone;

    fn berlin() -> TimeZone {
        time_zone("Europe/Berlin").unwrap()
    }

    #[test]
    fn text_of_postgresql_becomes_values() {
        let instant = |value: Value| match value {
            Value::Timestamp { instant, .. } | Value::Date { instant, .. } => instant.to_string(),
            other => panic!("{other:?}"),
        };
        let zoned = read(Kind::Timestamptz, "2026-11-21 01:02:03.5+00", &berlin());
        assert_eq!(instant(zoned), "2026-11-21T01:02:03.5Z");
        let local = read(Kind::Timestamp, "2026-07-21 01:02:03", &berlin());
        assert_eq!(instant(local), "2026-07-20T23:02:03Z");
        assert_eq!(
            instant(read(Kind::Date, "2026-11-21", &berlin())),
            "2026-11-20T23:00:00Z"
        );
        assert_eq!(
            read(Kind::Padded, "EUR       ", &berlin()),
            Value::padded("EUR")
        );
        assert_eq!(read(Kind::Boolean, "t", &berlin()), Value::Boolean(true));
        assert!(matches!(
            read(Kind::Number, "12.50", &berlin()),
            Value::Number { number: 12.5, .. }
        ));
    }

    fn error<'e>(code: &'e str, message: &'e str) -> ServerError<'e> {
        ServerError {
            code,
            message,
            ..ServerError::default()
        }
    }

    #[test]
    fn rows_that_a_policy_hides_are_not_missing() {
        let message =
            "query would be affected by row-level security policy for table \"tenant_orders\"";
        let in_german = ServerError {
            code: "42501",
            message: "Anfrage würde von Policy für Sicherheit auf Zeilenebene betroffen sein",
            routine: "check_enable_rls",
            encoding: "UTF8",
            sent: &[],
        };
        for trouble in [
            sorted(&error("42501", message)),
            sorted_while_reading(&error("42501", message)),
            sorted(&in_german),
        ] {
            match trouble {
                Trouble::CannotTell(words) => {
                    assert!(words.contains("row level security hides rows"), "{words}");
                    assert!(words.contains("insufficient_privilege (42501)"), "{words}");
                }
                other => panic!("{other:?}"),
            }
        }
        let refused = ServerError {
            sent: &["select count(*) from orders"],
            ..error("42501", "permission denied for table orders")
        };
        match sorted(&refused) {
            Trouble::CannotTell(words) => assert_eq!(
                words,
                "permission denied for table orders: insufficient_privilege (42501)"
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_that_cannot_be_read_is_told_with_its_encoding() {
        let cannot = ServerError {
            code: "22P05",
            message: "character with byte sequence 0x90 has no equivalent",
            encoding: "WIN1252",
            ..ServerError::default()
        };
        for (trouble, encoding) in [
            (sorted_while_reading(&cannot), "WIN1252"),
            (unreadable("SQL_ASCII"), "SQL_ASCII"),
            (unreadable(""), "unknown"),
        ] {
            match trouble {
                Trouble::CannotTell(words) => {
                    let named = format!("(server_encoding) is {encoding}");
                    assert!(words.contains(&named), "{words}");
                    assert!(!words.contains("0x90"), "{words}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_file_that_is_missing_is_damage_where_data_is_kept() {
        for message in [
            "could not open file \"base/16384/16385\": No such file or directory",
            "could not open file \"global/1262\": No such file or directory",
            "could not open file \"pg_xact/0001\": No such file or directory",
            "could not open file \"pg_tblspc/16400/PG_17_202406281/5/16401\": No such file or directory",
        ] {
            match sorted(&error(UNDEFINED_FILE, message)) {
                Trouble::Wrong(words) => assert!(!words.contains("No such file"), "{words}"),
                other => panic!("{message}: {other:?}"),
            }
        }
        for message in [
            "could not access file \"$libdir/postgis-3\": No such file or directory",
            "could not open file \"/etc/hostname\" for reading: No such file or directory",
            "could not open temporary file \"base/pgsql_tmp/pgsql_tmp1.0\": No such file or directory",
        ] {
            match sorted(&error(UNDEFINED_FILE, message)) {
                Trouble::CannotTell(words) => assert!(words.contains("58P01"), "{words}"),
                other => panic!("{message}: {other:?}"),
            }
        }
        for code in DAMAGED {
            assert!(matches!(sorted(&error(code, "")), Trouble::Wrong(_)));
        }
    }

    #[test]
    fn a_name_that_was_read_is_not_shown() {
        let message = "relation \"anna@mail.example\" does not exist";
        for (trouble, shown) in [
            (sorted(&error("42P01", message)), true),
            (sorted_while_reading(&error("42P01", message)), false),
            (sorted(&error("22P02", message)), false),
            (sorted_while_reading(&error("22P02", message)), false),
        ] {
            let (Trouble::Wrong(words) | Trouble::Unnamed(words) | Trouble::CannotTell(words)) =
                trouble;
            assert_eq!(words.contains("anna"), shown, "{words}");
        }
        assert!(matches!(
            sorted_while_reading(&error("42P01", message)),
            Trouble::Wrong(_)
        ));
    }

    #[test]
    fn what_no_clock_shows_stays_text() {
        for (kind, text) in [
            (Kind::Timestamptz, "infinity"),
            (Kind::Timestamp, "-infinity"),
            (Kind::Date, "infinity"),
            (Kind::Timestamptz, "0044-03-15 12:00:00+00 BC"),
            (Kind::Timestamp, "294276-12-31 23:59:59"),
            (Kind::Other, "2026-11-21"),
        ] {
            assert_eq!(
                read(kind, text, &berlin()),
                Value::Text(text.to_owned()),
                "{text}"
            );
        }
    }
}

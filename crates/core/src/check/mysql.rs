//! What MySQL and MariaDB answer: values from their text, and what their errors speak against.

mod errors;
mod letters;

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::{Trouble, overheard};
use crate::ceiling::time;
use crate::expectation::{Expectation, Value};

pub use letters::Missing;

/// What a column holds, as far as its text is read in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `int`, `decimal`, `double`, `year` and their kin.
    Number,
    /// `bit`: the bits as bytes, the highest first.
    Bits,
    /// `date`.
    Date,
    /// `datetime`: it names no zone.
    DateTime,
    /// `timestamp`: in the session's zone, which is UTC.
    Timestamp,
    /// Anything else of the character set `binary`.
    Bytes,
    /// `char(n)`: a server may show it with its padding (`PAD_CHAR_TO_FULL_LENGTH`).
    Padded,
    /// Anything else.
    Text,
}

/// What the query answered.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// What it is read as.
    pub value: Value,
    /// Whether it is a date or a time of which a part is zero: MySQL's way of saying that there is none.
    pub is_zero_time: bool,
}

impl Answer {
    /// The value, when it can be judged. A zero where a point in time is wanted is no mistake of the check.
    ///
    /// # Errors
    /// What speaks against the backup.
    pub fn for_expectation(self, expect: &Expectation) -> Result<Value, Trouble> {
        match (self.is_zero_time, expect) {
            (true, Expectation::MaxAge(_)) => Err(zero_time(&self.value, expect)),
            _ => Ok(self.value),
        }
    }

    /// A value that is no zero time.
    pub fn of(value: Value) -> Answer {
        Answer {
            value,
            is_zero_time: false,
        }
    }
}

fn zero_time(value: &Value, expect: &Expectation) -> Trouble {
    Trouble::Wrong(format!(
        "the value is the zero date {}, which is no point in time; expected: {expect}",
        time(value.text().unwrap_or_default())
    ))
}

/// Refuses a zero where a point in time is wanted, as [`Answer::for_expectation`] does.
///
/// # Errors
/// What speaks against the backup.
pub(super) fn refuse_zero_time(value: &Value, expect: &Expectation) -> Result<(), Trouble> {
    match value {
        Value::Text(text) if is_zero_time(text) => Err(zero_time(value, expect)),
        _ => Ok(()),
    }
}

/// The value that the server wrote as text.
///
/// # Errors
/// When it is text that cannot be read.
pub fn read(kind: Kind, bytes: &[u8], zone: &TimeZone) -> Result<Answer, Trouble> {
    let text = String::from_utf8_lossy(bytes);
    Ok(Answer::of(match kind {
        Kind::Number => Value::from_number_text(&text),
        Kind::Bits if bytes.len() <= 8 => {
            let number = bytes
                .iter()
                .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            Value::from_number_text(&number.to_string())
        }
        Kind::Date | Kind::DateTime | Kind::Timestamp => return Ok(read_time(kind, &text, zone)),
        // Bytes that are no text are shown as the engine's own notation shows them.
        Kind::Bits | Kind::Bytes if matches!(text, Cow::Owned(_)) => {
            Value::Text(bytes.iter().fold("0x".to_owned(), |mut hex, byte| {
                use std::fmt::Write;
                // Writing to a String cannot fail.
                let _ = write!(hex, "{byte:02X}");
                hex
            }))
        }
        // The server converts text to what the session asks for, but for text that says to be that already.
        Kind::Text | Kind::Padded if matches!(text, Cow::Owned(_)) => {
            return Err(Trouble::CannotTell(
                "the value is text that cannot be read: it is stored as utf8mb4 (its character set) and holds bytes that \
                 are no UTF-8; ask for its bytes, as hex(…), or for its characters as they were meant, as convert(cast(… \
                 as binary) using latin1)"
                    .to_owned(),
            ));
        }
        Kind::Padded => Value::padded(&text),
        Kind::Bits | Kind::Bytes | Kind::Text => Value::Text(text.into_owned()),
    }))
}

fn read_time(kind: Kind, text: &str, zone: &TimeZone) -> Answer {
    let value = match kind {
        Kind::Date => text
            .parse::<Date>()
            .map(|date| Value::from_date(text, date, zone))
            .ok(),
        Kind::DateTime => text
            .parse::<DateTime>()
            .map(|local| Value::from_local(text, local, zone))
            .ok(),
        // The session's time zone is UTC.
        _ => format!("{text}Z")
            .parse::<Timestamp>()
            .map(|instant| Value::Timestamp {
                text: text.to_owned(),
                instant,
                assumed_zone: None,
            })
            .ok(),
    };
    let is_zero_time = is_zero_time(text);
    Answer {
        value: value
            .filter(|_| !is_zero_time)
            .unwrap_or_else(|| Value::Text(text.to_owned())),
        is_zero_time,
    }
}

/// Whether it is a date, perhaps with a time, whose year, month or day is zero: `0000-00-00`, `2026-00-00 01:02:03.5`.
fn is_zero_time(text: &str) -> bool {
    let (date, time) = text.split_once(' ').unwrap_or((text, ""));
    let parts: Vec<&[u8]> = date.split('-').map(str::as_bytes).collect();
    let is_date = parts.iter().map(|part| part.len()).eq([4, 2, 2])
        && parts.iter().all(|part| part.iter().all(u8::is_ascii_digit));
    // `01:02:03.000000` is the longest.
    let is_time = time.len() <= 15
        && time
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    is_date
        && is_time
        && parts
            .iter()
            .any(|part| part.iter().all(|byte| *byte == b'0'))
}

/// Sorts an error of the server: does it speak against the data, or did we just not get to see it?
///
/// `sent` is what we have sent: the query, the login and where it leads. Error numbers are those of MySQL's and MariaDB's reference manuals; the numbers below 1000 are the storage engines'
/// (`perror`).
pub fn sorted(code: u16, state: &str, message: &str, sent: &[&str]) -> Trouble {
    let name = errors::in_words(code, state);
    let words = if errors::quotes_no_data(code) {
        format!("{}: {name}", overheard::message(message, sent))
    } else {
        format!("the server refused: {name}")
    };
    let damaged = |words| Trouble::Wrong(format!("the data is damaged: {words}"));
    match code {
        1049 | 1054 | 1146 => Trouble::Unnamed(words),
        // 1356 stands for a view over what is missing and for one that its definer may not read: nobody can tell which.
        _ if is_about_temporary_table(message) => Trouble::CannotTell(words),
        1033..=1035 | 1194 | 1195 | 1712 | 1812 | 1877 | 1932 => damaged(words),
        1030 if engine_error(message).is_some_and(is_damage) => damaged(words),
        _ if is_damage(code) => damaged(words),
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
    use crate::ceiling::seen;
    use crate::policy::time_zone;
    use std::time::Duration;

    fn value(kind: Kind, bytes: &[u8]) -> Value {
        let berlin = time_zone("Europe/Berlin").unwrap();
        let answer = read(kind, bytes, &berlin).unwrap();
        assert!(!answer.is_zero_time);
        answer.value
    }

    fn instant(kind: Kind, text: &str) -> String {
        match value(kind, text.as_bytes()) {
            Value::Timestamp { instant, .. } | Value::Date { instant, .. } => instant.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_of_the_server_becomes_values() {
        for (kind, text, number) in [
            (Kind::Number, "1", 1.0),
            (Kind::Number, "-7", -7.0),
            (Kind::Number, "12000", 12000.0),
            (Kind::Number, "18446744073709551615", 18446744073709551615.0),
            (Kind::Number, "12.50", 12.5),
            (Kind::Number, "1e20", 1e20),
            (Kind::Number, "2026", 2026.0),
        ] {
            let expected = Value::Number {
                text: text.to_owned(),
                number,
            };
            assert_eq!(value(kind, text.as_bytes()), expected);
        }
        assert_eq!(value(Kind::Bits, &[1, 2]), Value::from_number_text("258"));
        let most = Value::from_number_text("18446744073709551615");
        assert_eq!(value(Kind::Bits, &[0xff; 8]), most);
        // `bit` has at most 64 bits; more is something else.
        let more = Value::Text("0xFFFFFFFFFFFFFFFFFF".to_owned());
        assert_eq!(value(Kind::Bits, &[0xff; 9]), more);
        assert_eq!(
            instant(Kind::Timestamp, "2026-11-21 01:02:03.500000"),
            "2026-11-21T01:02:03.5Z"
        );
        assert_eq!(
            instant(Kind::DateTime, "2026-07-21 01:02:03"),
            "2026-07-20T23:02:03Z"
        );
        assert_eq!(instant(Kind::Date, "2026-11-21"), "2026-11-20T23:00:00Z");
    }

    #[test]
    fn text_and_bytes_are_told_apart() {
        let read = |kind, bytes: &[u8]| read(kind, bytes, &TimeZone::UTC).unwrap().value;
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(read(Kind::Text, "größer 🦀".as_bytes()), text("größer 🦀"));
        assert_eq!(read(Kind::Bytes, b"plain"), text("plain"));
        assert_eq!(read(Kind::Bytes, &[0xff, 0x00]), text("0xFF00"));
        assert_eq!(read(Kind::Text, b"[1]"), text("[1]"));
        assert_eq!(read(Kind::Bytes, b"-838:59:59"), text("-838:59:59"));
    }

    #[test]
    fn text_that_is_no_text_is_named_and_padding_is_left_out() {
        for kind in [Kind::Text, Kind::Padded] {
            match read(kind, b"M\xfcller", &TimeZone::UTC) {
                Err(Trouble::CannotTell(words)) => assert!(words.contains("utf8mb4"), "{words}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(value(Kind::Padded, b"EUR   "), Value::padded("EUR"));
        assert_eq!(value(Kind::Text, b"EUR "), Value::Text("EUR ".to_owned()));
    }

    #[test]
    fn zero_dates_are_no_times() {
        let hour = Expectation::MaxAge(Duration::from_secs(3600));
        for (kind, text) in [
            (Kind::Date, "0000-00-00"),
            (Kind::Date, "2026-00-00"),
            (Kind::Date, "2026-11-00"),
            (Kind::Date, "0000-01-01"),
            (Kind::DateTime, "0000-00-00 00:00:00"),
            (Kind::DateTime, "2026-00-21 01:02:03.000000"),
            (Kind::Timestamp, "0000-00-00 00:00:00"),
        ] {
            let read = || read(kind, text.as_bytes(), &TimeZone::UTC).unwrap();
            assert_eq!(read().value, Value::Text(text.to_owned()));
            match read().for_expectation(&hour) {
                Err(Trouble::Wrong(detail)) => assert!(detail.contains(text), "{detail}"),
                other => panic!("{text}: {other:?}"),
            }
            assert!(read().for_expectation(&Expectation::NotEmpty).is_ok());
        }
        // What is no date is no zero date either, whatever a server sends.
        for text in [
            "",
            "-",
            "0",
            "-1",
            "Erika-0-Mustermann",
            "0000-00-00x",
            "0000-00-00 Erika",
            "00-00-00",
        ] {
            let read = read(Kind::Date, text.as_bytes(), &TimeZone::UTC).unwrap();
            assert_eq!(read, Answer::of(Value::Text(text.to_owned())));
        }
        // What no calendar shows, is text and no zero date.
        let odd = read(Kind::Date, b"2026-02-31", &TimeZone::UTC).unwrap();
        assert_eq!(odd, Answer::of(Value::Text("2026-02-31".to_owned())));
    }

    fn sorted(code: u16, message: &str) -> Trouble {
        super::sorted(code, "HY000", message, &[])
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
            (
                1034,
                "Incorrect key file for table '/rdsdbdata/db/shop/orders.MYI'; try to repair it",
            ),
            (1932, "Table 'shop.orders' doesn't exist in engine"),
        ] {
            match sorted(code, message) {
                Trouble::Wrong(words) | Trouble::Unnamed(words) => {
                    assert!(seen(&words).contains(message), "{words}");
                }
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
                Trouble::CannotTell(words) => assert!(seen(&words).contains(message), "{words}"),
                other => panic!("{code}: {other:?}"),
            }
        }
    }

    #[test]
    fn messages_that_may_quote_data_are_not_shown() {
        for code in [1292, 1366, 1062, 1690, 3140, 1105, 1644] {
            match sorted(code, "Truncated incorrect value: 'Erika Mustermann'") {
                Trouble::CannotTell(words) => {
                    assert!(!words.contains("Erika"), "{words}");
                    assert!(words.contains("the server refused: ER_"), "{words}");
                }
                other => panic!("{code}: {other:?}"),
            }
        }
        let words = sorted(1142, "SELECT command denied").told().1;
        assert_eq!(
            words,
            "SELECT command denied: ER_TABLEACCESS_DENIED_ERROR (1142)"
        );
    }
}

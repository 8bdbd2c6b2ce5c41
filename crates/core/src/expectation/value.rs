//! What a query answered, or a place in a JSON document.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// The one value a query answered, whatever engine it came from, or that stands in a JSON document.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// The query answered no row.
    NoRow,
    /// The value is NULL.
    Null,
    /// True or false.
    Boolean(bool),
    /// A number.
    Number {
        /// As the engine wrote it, all digits.
        text: String,
        /// The nearest 64-bit floating point number; may be NaN or infinite.
        number: f64,
    },
    /// A point in time.
    Timestamp {
        /// As the engine wrote it.
        text: String,
        /// The point in time meant.
        instant: Timestamp,
        /// The time zone it was read in, when the value itself names none.
        assumed_zone: Option<String>,
    },
    /// A day.
    Date {
        /// As the engine wrote it.
        text: String,
        /// The day's first moment in the time zone.
        instant: Timestamp,
        /// The time zone the day was read in.
        zone: String,
    },
    /// Text of SQL's type `char(n)`, without the blanks that fill it up: no comparison sees them (ISO/IEC 9075-2, PAD SPACE).
    Padded(String),
    /// Anything else.
    Text(String),
}

impl Value {
    /// A number from what the engine wrote, such as `numeric` with any number of digits. Text that is no
    /// number becomes [`Value::Text`].
    pub fn from_number_text(text: &str) -> Value {
        match text.trim().parse::<f64>() {
            Ok(number) => Value::Number {
                text: text.trim().to_owned(),
                number,
            },
            Err(_) => Value::Text(text.to_owned()),
        }
    }

    /// Text of SQL's type `char(n)`.
    pub fn padded(text: &str) -> Value {
        Value::Padded(without_padding(text).to_owned())
    }

    /// The nearest value of a JSON value: lists and objects are their compact text.
    pub fn from_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(truth) => Value::Boolean(*truth),
            serde_json::Value::Number(number) => Value::from_number_text(&number.to_string()),
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                Value::Text(json.to_string())
            }
        }
    }

    /// A day, read as its first moment in `zone`: a backup is never made younger by a guess. A day at the
    /// end of what can be computed becomes [`Value::Text`].
    pub fn from_date(text: &str, date: Date, zone: &TimeZone) -> Value {
        // Midnight may not exist (a clock put forward at midnight): then the first moment after it.
        match date.to_zoned(zone.clone()) {
            Ok(start) => Value::Date {
                text: text.to_owned(),
                instant: start.timestamp(),
                zone: zone_name(zone),
            },
            Err(_) => Value::Text(text.to_owned()),
        }
    }

    /// A timestamp without a zone, read in `zone`. Times that a change of the clock doubles or leaves
    /// out are read in the compatible way (RFC 5545: the earlier one, or the later one by the gap). What
    /// cannot be computed becomes [`Value::Text`].
    pub fn from_local(text: &str, local: DateTime, zone: &TimeZone) -> Value {
        match zone.to_ambiguous_zoned(local).compatible() {
            Ok(zoned) => Value::Timestamp {
                text: text.to_owned(),
                instant: zoned.timestamp(),
                assumed_zone: Some(zone_name(zone)),
            },
            Err(_) => Value::Text(text.to_owned()),
        }
    }

    /// The value as text; none for NULL and for no row.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::NoRow | Value::Null => None,
            Value::Boolean(true) => Some("true"),
            Value::Boolean(false) => Some("false"),
            Value::Number { text, .. }
            | Value::Timestamp { text, .. }
            | Value::Date { text, .. }
            | Value::Padded(text)
            | Value::Text(text) => Some(text),
        }
    }
}

/// Text without the blanks that fill it up.
pub(super) fn without_padding(text: &str) -> &str {
    text.trim_end_matches(' ')
}

fn zone_name(zone: &TimeZone) -> String {
    match (zone.iana_name(), zone.to_fixed_offset()) {
        (Some(name), _) => name.to_owned(),
        (None, Ok(offset)) => format!("UTC{offset}"),
        (None, Err(_)) => "a time zone of its own".to_owned(),
    }
}

/// A number for people: plain digits as long as they are few, otherwise with an exponent.
pub fn number_text(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e15).contains(&size) || !number.is_finite() {
        format!("{number}")
    } else {
        format!("{number:e}")
    }
}

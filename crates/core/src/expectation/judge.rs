//! The judgement: every expectation against every kind of value.

use jiff::{SignedDuration, Timestamp};

use super::value::without_padding;
use super::{
    CheckOutcome, Clocks, Constant, Expectation, Judgement, LONGEST_VALUE,
    NEWER_THAN_BACKUP_AT_MOST, Value, compile_regex, signed,
};
use crate::ceiling::{Datum, LONGEST_NUMBER, LONGEST_TIME, number, time, truth};
use crate::reader::{exact_duration, readable_duration};

/// An outcome and the sentence that explains it.
type Ruling = (CheckOutcome, String);

impl Expectation {
    /// Judges what a query answered. Every input has a judgement; none is an error or a panic.
    pub fn judge(&self, value: &Value, clocks: &Clocks) -> Judgement {
        self.judge_from(Origin::Query, value, clocks)
    }

    /// Judges a value of a JSON answer, as [`Expectation::judge`] does with its nearest [`Value`], but for the null and
    /// for lists and objects: they have no order and no equal, but may be empty, and their compact text may match.
    pub fn judge_json(&self, json: &serde_json::Value, clocks: &Clocks) -> Judgement {
        let value = Value::from_json(json);
        let mut judgement = self.judge_from(Origin::Json, &value, clocks);
        let (what, empty) = match json {
            serde_json::Value::Array(list) => ("a list", list.is_empty()),
            serde_json::Value::Object(object) => ("an object", object.is_empty()),
            _ => return judgement,
        };
        let ruling = match self {
            Expectation::Matches(_) => return judgement,
            Expectation::NotEmpty if empty => {
                failed(format!("the value is {what} without entries"))
            }
            Expectation::NotEmpty => passed(format!("the value is {what} with entries")),
            _ => errored(format!(
                "the value is {what}, which cannot be judged by the expectation \"{self}\"; point at one value in it"
            )),
        };
        (judgement.outcome, judgement.detail) = ruling;
        judgement
    }

    fn judge_from(&self, origin: Origin, value: &Value, clocks: &Clocks) -> Judgement {
        let age = Age::of(value, clocks);
        let (outcome, detail) = self.rule(origin, value, &age);
        let (age_at_backup, age_against_now) = match age {
            Age::Known { at_backup, now, .. } => (Some(at_backup), Some(now)),
            Age::None | Age::TooNew { .. } => (None, None),
        };
        Judgement {
            outcome,
            value: value
                .text()
                .map(|text| text.chars().take(LONGEST_VALUE).collect()),
            value_number: match value {
                Value::Number { number, .. } if number.is_finite() => Some(*number),
                _ => None,
            },
            datum: datum(value),
            is_expected: outcome == CheckOutcome::Passed && self.is_said_by(value),
            expectation: self.to_string(),
            detail,
            age_at_backup,
            age_against_now,
            measured: Vec::new(),
            warning: None,
        }
    }

    /// Whether the policy says the value itself, character by character: numbers that are equal may be written with many
    /// more digits.
    fn is_said_by(&self, value: &Value) -> bool {
        let Expectation::Equals(constant) = self else {
            return false;
        };
        match constant {
            Constant::Text(text) => match value {
                Value::Text(is) => is == text,
                Value::Padded(is) => is == without_padding(text),
                _ => false,
            },
            Constant::Integer(_) | Constant::Number(_) | Constant::Boolean(_) => {
                value.text() == Some(constant.to_string().as_str())
            }
        }
    }

    fn rule(&self, origin: Origin, value: &Value, age: &Age) -> Ruling {
        match value {
            Value::NoRow => {
                return failed(format!("the query answered no row; expected: {self}"));
            }
            Value::Null => {
                let null = match origin {
                    Origin::Query => "NULL: the table holds no such row, or the column is empty",
                    Origin::Json => "the value is null",
                };
                return failed(format!("{null}; expected: {self}"));
            }
            Value::Number { number, .. } if !number.is_finite() => {
                return errored(format!(
                    "the value is {number}, which cannot be compared; expected: {self}"
                ));
            }
            _ => {}
        }
        match self {
            Expectation::Equals(constant) => self.rule_equals(origin, constant, value),
            Expectation::Min(least) => self.rule_number(origin, value, |number| number >= *least),
            Expectation::Max(most) => self.rule_number(origin, value, |number| number <= *most),
            Expectation::Between(least, most) => {
                self.rule_number(origin, value, |number| number >= *least && number <= *most)
            }
            Expectation::MaxAge(most) => self.rule_age(origin, signed(*most), value, age),
            Expectation::NotEmpty => match value {
                Value::Text(text) | Value::Padded(text) if text.is_empty() => {
                    failed("the value is an empty text")
                }
                _ => passed(format!("the value is {}", told(value))),
            },
            Expectation::Matches(pattern) => match (compile_regex(pattern), value.text()) {
                (Err(problem), _) => errored(problem),
                (Ok(regex), Some(text)) if regex.is_match(text) => {
                    passed(format!("the value is {}, {self}", told(value)))
                }
                _ => failed(format!("the value is {}; expected: {self}", told(value))),
            },
        }
    }

    fn rule_number(&self, origin: Origin, value: &Value, holds: impl Fn(f64) -> bool) -> Ruling {
        let Value::Number { text, number: came } = value else {
            return self.cannot_judge(origin, "a number", value);
        };
        self.found(holds(*came), &number(short(text)))
    }

    fn rule_equals(&self, origin: Origin, constant: &Constant, value: &Value) -> Ruling {
        match (constant, value) {
            (Constant::Integer(wanted), Value::Number { text, number: came }) => {
                let equal = match whole_number(text) {
                    Whole::Exactly(is) => is == i128::from(*wanted),
                    Whole::No => false,
                    Whole::Unknown => *came == *wanted as f64,
                };
                self.found(equal, &number(short(text)))
            }
            (Constant::Number(wanted), Value::Number { text, number: came }) => {
                self.found(came == wanted, &number(short(text)))
            }
            (Constant::Integer(_) | Constant::Number(_), _) => {
                self.cannot_judge(origin, "a number", value)
            }
            (Constant::Boolean(wanted), Value::Boolean(is)) => {
                self.found(wanted == is, &truth(*is))
            }
            (Constant::Boolean(_), _) => self.cannot_judge(origin, "true or false", value),
            (Constant::Text(wanted), Value::Text(is)) if wanted == is => {
                passed("the text is the expected one")
            }
            (Constant::Text(wanted), Value::Padded(is)) if without_padding(wanted) == is => {
                passed("the text is the expected one")
            }
            (Constant::Text(_), Value::Text(_) | Value::Padded(_)) => failed(format!(
                "the value is another text than the expected one: {}",
                told(value)
            )),
            (Constant::Text(_), _) => self.cannot_judge(origin, "text", value),
        }
    }

    fn rule_age(&self, origin: Origin, most: SignedDuration, value: &Value, age: &Age) -> Ruling {
        match age {
            Age::None => {
                let endless = matches!(value.text(), Some("infinity" | "-infinity"));
                if endless {
                    return errored("the value is an infinite time, which has no age");
                }
                self.cannot_judge(origin, "a timestamp or a date", value)
            }
            Age::TooNew { by, assumed } => errored(format!(
                "the newest data is {} newer than the recovery point; {}{assumed}",
                time(minutes(*by)),
                match origin {
                    Origin::Query => "is time_zone right?",
                    Origin::Json => "does it name the right offset?",
                }
            )),
            Age::Known {
                at_backup, assumed, ..
            } if *at_backup <= most => passed(format!(
                "the newest data was {} old when the backup was made, at most {} is allowed{assumed}",
                time(readable_duration(*at_backup)),
                readable_duration(most)
            )),
            Age::Known {
                at_backup, assumed, ..
            } => failed(format!(
                "the newest data was {} old when the backup was made, at most {} is allowed{assumed}",
                time(told_apart(*at_backup, most)),
                readable_duration(most)
            )),
        }
    }

    /// The ruling about a value that may be shown.
    fn found(&self, holds: bool, shown: &str) -> Ruling {
        if holds {
            passed(format!("the value is {shown}; expected: {self}"))
        } else {
            failed(format!("the value is {shown}; expected: {self}"))
        }
    }

    fn cannot_judge(&self, origin: Origin, needed: &str, value: &Value) -> Ruling {
        let hint = match (self, origin) {
            (Expectation::Equals(Constant::Text(_)), Origin::Query) => {
                "; write the expected value without quotes, or cast the value to text in the query"
            }
            (Expectation::Equals(Constant::Text(_)), Origin::Json) => {
                "; write the expected value without quotes"
            }
            (Expectation::MaxAge(_), Origin::Json) => {
                "; a timestamp is a text with an offset, such as 2026-11-21T06:00:00Z"
            }
            _ => "",
        };
        errored(format!(
            "the value is {}, but {needed} is needed for the expectation \"{self}\"{hint}",
            told(value)
        ))
    }
}

/// Where a value comes from: what is said about it depends on it, what is ruled does not.
#[derive(Clone, Copy)]
enum Origin {
    Query,
    Json,
}

/// How old a value is.
enum Age {
    /// It is no point in time.
    None,
    /// It is newer than the backup by more than clocks differ.
    TooNew { by: SignedDuration, assumed: String },
    /// Its ages, neither negative.
    Known {
        at_backup: SignedDuration,
        now: SignedDuration,
        assumed: String,
    },
}

impl Age {
    fn of(value: &Value, clocks: &Clocks) -> Age {
        let (instant, assumed): (Timestamp, String) = match value {
            Value::Timestamp {
                instant,
                assumed_zone: None,
                ..
            } => (*instant, String::new()),
            Value::Timestamp {
                instant,
                assumed_zone: Some(zone),
                ..
            } => (
                *instant,
                format!(" (it names no time zone, read as {zone})"),
            ),
            Value::Date { instant, zone, .. } => (
                *instant,
                format!(" (a date without a time, read as the start of that day, 00:00 {zone})"),
            ),
            Value::Text(text) | Value::Padded(text) => match text_instant(text) {
                Some(instant) => (instant, String::new()),
                None => return Age::None,
            },
            _ => return Age::None,
        };
        // The difference of two timestamps always fits: both lie within the years -9999 to 9999.
        let at_backup = clocks.recovery_point_created.duration_since(instant);
        if at_backup < -NEWER_THAN_BACKUP_AT_MOST {
            return Age::TooNew {
                by: -at_backup,
                assumed,
            };
        }
        Age::Known {
            at_backup: at_backup.max(SignedDuration::ZERO),
            now: clocks.now.duration_since(instant).max(SignedDuration::ZERO),
            assumed,
        }
    }
}

/// The point in time that a text names with its offset (RFC 3339): applications and tables keep times as text, too.
/// One without an offset, or with anything around it, is a text.
fn text_instant(text: &str) -> Option<Timestamp> {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range)
            .is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()))
    };
    // The parser of the crate takes more than RFC 3339, also hours without minutes and names of zones.
    let looks = digits(0..4)
        && text.get(4..5) == Some("-")
        && matches!(text.get(10..11), Some("T" | "t" | " "))
        && text.get(13..14) == Some(":")
        && text.get(16..17) == Some(":")
        && !text.contains('[');
    looks.then(|| text.parse().ok()).flatten()
}

/// A time ahead, in words that begin with minutes where people think in minutes.
fn minutes(duration: SignedDuration) -> String {
    let minutes = duration.as_mins();
    if minutes < 120 {
        format!("{minutes} minutes")
    } else {
        readable_duration(duration)
    }
}

/// `age` so that it reads longer than `limit`, as it is.
fn told_apart(age: SignedDuration, limit: SignedDuration) -> String {
    let short = readable_duration(age);
    if short != readable_duration(limit) {
        return short;
    }
    let exact = exact_duration(age);
    if exact != exact_duration(limit) {
        return exact;
    }
    format!("a fraction of a second more than {exact}")
}

/// What kind of thing a value is: one that is too long for its kind carries text.
fn datum(value: &Value) -> Option<Datum> {
    let within = |text: &str, longest, datum| {
        if text.len() <= longest {
            datum
        } else {
            Datum::Text
        }
    };
    match value {
        Value::NoRow | Value::Null => None,
        Value::Boolean(_) => Some(Datum::Truth),
        Value::Number { text, .. } => Some(within(text, LONGEST_NUMBER, Datum::Number)),
        Value::Timestamp { text, .. } | Value::Date { text, .. } => {
            Some(within(text, LONGEST_TIME, Datum::Time))
        }
        Value::Text(text) | Value::Padded(text) => Some(match text_instant(text) {
            Some(_) => within(text, LONGEST_TIME, Datum::Time),
            None => Datum::Text,
        }),
    }
}

/// What came, without showing text from the data.
fn told(value: &Value) -> String {
    match value {
        Value::Number { text, .. } => format!("the number {}", number(short(text))),
        Value::Boolean(is) => format!("the boolean {}", truth(*is)),
        Value::Timestamp { text, .. } => format!("the timestamp {}", time(short(text))),
        Value::Date { text, .. } => format!("the date {}", time(short(text))),
        Value::Text(text) | Value::Padded(text) => match text.chars().count() {
            0 => "an empty text".to_owned(),
            count => format!(
                "text of {} {}",
                number(count),
                if count == 1 {
                    "character"
                } else {
                    "characters"
                }
            ),
        },
        Value::NoRow => "no row".to_owned(),
        Value::Null => "NULL".to_owned(),
    }
}

/// A number's or a time's text within a sentence.
fn short(text: &str) -> String {
    match text.char_indices().nth(40) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Whether a number's text says a whole number.
enum Whole {
    Exactly(i128),
    No,
    /// An exponent, or digits beyond 128 bits: only 64-bit floating point can tell, as near as it does.
    Unknown,
}

/// The whole number `text` says, also written with zeros behind the point.
fn whole_number(text: &str) -> Whole {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    match whole.parse() {
        _ if !fraction.bytes().all(|b| b.is_ascii_digit()) => Whole::Unknown,
        Err(_) => Whole::Unknown,
        Ok(number) if fraction.bytes().all(|b| b == b'0') => Whole::Exactly(number),
        Ok(_) => Whole::No,
    }
}

fn passed(detail: impl Into<String>) -> Ruling {
    (CheckOutcome::Passed, detail.into())
}

fn failed(detail: impl Into<String>) -> Ruling {
    (CheckOutcome::Failed, detail.into())
}

fn errored(detail: impl Into<String>) -> Ruling {
    (CheckOutcome::Errored, detail.into())
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;

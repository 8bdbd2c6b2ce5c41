//! What a check's value must be, and the judgement of what came.
//!
//! A wrong value speaks against the backup (`failed`); a value that cannot be judged speaks against
//! the check (`errored`). The two are never mixed.

mod judge;
mod value;

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use value::{Value, number_text};

use crate::ceiling::{Datum, Marked};
use crate::policy::readable_duration;

/// How much later than the recovery point the newest data may seem to be: clocks differ, and AWS
/// Backup's creation date is that of the job. More than this is a wrong time zone or a wrong column.
pub const NEWER_THAN_BACKUP_AT_MOST: SignedDuration = SignedDuration::from_secs(5 * 60);

/// The longest value a record keeps, in characters.
pub const LONGEST_VALUE: usize = 1024;

/// The most memory a compiled regex may take, in bytes.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// The data is what it should be.
    Passed,
    /// The data is not what it should be.
    Failed,
    /// The check could not tell.
    Errored,
}

impl CheckOutcome {
    /// The word the record and the messages use.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckOutcome::Passed => "passed",
            CheckOutcome::Failed => "failed",
            CheckOutcome::Errored => "errored",
        }
    }
}

impl fmt::Display for CheckOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a check's value must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// The very value.
    Equals(Constant),
    /// A number, not less than this.
    Min(f64),
    /// A number, not more than this.
    Max(f64),
    /// A number from the first to the second, both included.
    Between(f64, f64),
    /// A point in time, at most this long before the recovery point was created.
    MaxAge(#[serde(with = "crate::wire::seconds")] Duration),
    /// A row with a value that is neither NULL nor the empty text.
    NotEmpty,
    /// A value whose text holds a match of this regular expression (syntax of Rust's `regex` crate).
    Matches(String),
}

impl Expectation {
    /// Whether a value that meets it can be a point in time, so that it can measure the data's age.
    pub fn can_be_a_time(&self) -> bool {
        matches!(self, Expectation::MaxAge(_) | Expectation::NotEmpty)
    }
}

impl fmt::Display for Expectation {
    /// In words: `at least 100000`, `at most 15m old`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expectation::Equals(constant) => write!(f, "equal to {constant}"),
            Expectation::Min(least) => write!(f, "at least {}", number_text(*least)),
            Expectation::Max(most) => write!(f, "at most {}", number_text(*most)),
            Expectation::Between(least, most) => {
                write!(
                    f,
                    "between {} and {}",
                    number_text(*least),
                    number_text(*most)
                )
            }
            Expectation::MaxAge(age) => {
                write!(f, "at most {} old", readable_duration(signed(*age)))
            }
            Expectation::NotEmpty => f.write_str("not empty"),
            Expectation::Matches(pattern) => write!(f, "matching /{pattern}/"),
        }
    }
}

/// A value written in a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constant {
    /// Text, compared character by character.
    Text(String),
    /// A whole number, compared exactly.
    Integer(i64),
    /// Any other number, compared as 64-bit floating point.
    Number(f64),
    /// True or false.
    Boolean(bool),
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Constant::Text(text) => write!(f, "{text:?}"),
            Constant::Integer(number) => number.fmt(f),
            Constant::Number(number) => f.write_str(&number_text(*number)),
            Constant::Boolean(truth) => truth.fmt(f),
        }
    }
}

/// The two points in time from which the age of data is measured.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// When AWS Backup created the recovery point (`CreationDate`).
    pub recovery_point_created: Timestamp,
    /// Now, when the check runs.
    pub now: Timestamp,
}

/// One thing that a check measured beside its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured, with its unit.
    pub name: String,
    /// The number, if it is one.
    pub number: Option<f64>,
    /// What a number cannot say.
    pub text: Option<Marked>,
}

/// What became of one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Whether the value is what it should be, is not, or cannot be judged.
    pub outcome: CheckOutcome,
    /// The value as text, at most [`LONGEST_VALUE`] characters; none for NULL and for no row.
    pub value: Option<String>,
    /// The value when it is a finite number.
    pub value_number: Option<f64>,
    /// What kind of thing the value is; none when there is none.
    pub datum: Option<Datum>,
    /// Whether the value is the very one that the policy names.
    pub is_expected: bool,
    /// What was expected, in words, for example `at most 15m old`.
    pub expectation: String,
    /// A sentence about the outcome, in which what comes from the data is marked ([`crate::ceiling`]).
    pub detail: String,
    /// The value's age when the recovery point was created, when it is a point in time that is not
    /// newer than the backup by more than [`NEWER_THAN_BACKUP_AT_MOST`]; never negative.
    pub age_at_backup: Option<SignedDuration>,
    /// The same value's age now; never negative.
    pub age_against_now: Option<SignedDuration>,
    /// What was measured beside the value.
    pub measured: Vec<Measurement>,
    /// What the value should be and is not, in words without data; none if it is, or nothing was said of it. It changes no
    /// outcome.
    pub warning: Option<String>,
}

/// Compiles the regular expression of a `matches` expectation within a bounded size.
///
/// # Errors
/// What is wrong with the expression, in one line.
pub fn compile_regex(pattern: &str) -> Result<regex::Regex, String> {
    compile_within(pattern, REGEX_SIZE_LIMIT).map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("the regex is too large: compiled it takes more than {limit} bytes")
        }
        // The crate draws a picture over several lines; its last line says what is wrong.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or("").trim();
            format!("bad regex: {}", last.trim_start_matches("error: "))
        }
    })
}

fn compile_within(pattern: &str, bytes: usize) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern)
        .size_limit(bytes)
        .dfa_size_limit(bytes)
        .build()
}

/// Compiles as [`compile_regex`] does, and tells what it took at most, in bytes.
pub(crate) fn measure_regex(pattern: &str) -> (usize, Result<(), String>) {
    // Time and memory grow with the limit, also of what fails. Few regexes need more than the first.
    let smaller = [8 << 10, 64 << 10].into_iter().find(|bytes| {
        let compiled = compile_within(pattern, *bytes);
        !matches!(compiled, Err(regex::Error::CompiledTooBig(_)))
    });
    let size = smaller.unwrap_or(REGEX_SIZE_LIMIT);
    (size, compile_regex(pattern).map(drop))
}

/// Durations of a policy always fit: they are far below the limit of [`SignedDuration`].
fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regex_takes_the_smallest_room_it_fits_into() {
        for (pattern, bytes) in [
            ("^SSH-2", 8 << 10),
            ("\\w", 64 << 10),
            ("\\w{9}", 1 << 20),
            ("(", 8 << 10),
        ] {
            let (size, compiled) = measure_regex(pattern);
            assert_eq!(size, bytes, "{pattern}");
            assert_eq!(compiled.is_ok(), pattern != "(", "{pattern}");
        }
        let (size, compiled) = measure_regex("\\w{1000}");
        assert_eq!(size, 1 << 20);
        let problem = compiled.expect_err("too large");
        assert!(problem.contains("more than 1048576 bytes"), "{problem}");
    }

    #[test]
    fn words_are_those_the_ledger_keeps() {
        for outcome in [
            CheckOutcome::Passed,
            CheckOutcome::Failed,
            CheckOutcome::Errored,
        ] {
            assert_eq!(serde_json::json!(outcome), outcome.as_str());
            assert_eq!(outcome.to_string(), outcome.as_str());
        }
    }
}

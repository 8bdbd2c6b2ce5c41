//! What database servers answer: a value's text or an error's words, and what is ruled about it.
//!
//! The input: a line of words (`postgres` or `mysql`, the kind of the column or `error CODE`, the time zone, when the
//! recovery point was created), a line with the expectation as the ledger keeps it, and then what the server sent.
#![no_main]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use libfuzzer_sys::{Corpus, fuzz_target};
use restore_proof_core::ceiling::Ceiling;
use restore_proof_core::check::{Trouble, mysql, postgres, result, ruling};
use restore_proof_core::expectation::{
    CheckOutcome, Clocks, Constant, Expectation, Judgement, LONGEST_VALUE, Value, compile_regex,
};
use restore_proof_core::policy::{Check, CheckKind, SqlCheck, time_zone};
use restore_proof_core::validation::CheckResult;

/// The longest sentence about a check, characters.
const LONGEST_WORDS: usize = 2000;

fuzz_target!(|data: &[u8]| -> Corpus {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let (Some(words), Some(expect), Some(sent)) = (lines.next(), lines.next(), lines.next()) else {
        return Corpus::Reject;
    };
    let (Ok(words), Ok(expect)) = (std::str::from_utf8(words), serde_json::from_slice(expect))
    else {
        return Corpus::Reject;
    };
    let words: Vec<&str> = words.split(' ').collect();
    let [engine, kind, zone, created] = words[..] else {
        return Corpus::Reject;
    };
    if kind == "error" {
        errors(engine, zone, &String::from_utf8_lossy(sent));
        return Corpus::Keep;
    }
    let zone = time_zone(zone).unwrap_or(TimeZone::UTC);
    let created: Timestamp = created
        .parse()
        .unwrap_or(Timestamp::from_second(1_763_683_200).expect("2025"));
    let clocks = Clocks {
        recovery_point_created: created,
        now: created
            .saturating_add(Duration::from_secs(3600))
            .expect("an hour"),
    };
    let Some(ruled) = ruled(engine, kind, &zone, sent, &expect, &clocks) else {
        return Corpus::Reject;
    };
    assert_eq!(
        Some(&ruled),
        self::ruled(engine, kind, &zone, sent, &expect, &clocks).as_ref()
    );
    recorded(&ruled, &expect);
    Corpus::Keep
});

/// What is ruled, judged by what was read.
fn ruled(
    engine: &str,
    kind: &str,
    zone: &TimeZone,
    sent: &[u8],
    expect: &Expectation,
    clocks: &Clocks,
) -> Option<Judgement> {
    let value = match (engine, kind) {
        ("json", _) => {
            let json = serde_json::from_slice(sent).ok()?;
            let judgement = expect.judge_json(&json, clocks);
            if !json.is_array() && !json.is_object() {
                right(
                    &judgement,
                    expect,
                    &Value::from_json(&json),
                    clocks,
                    &|text| expect.judge_json(&text.into(), clocks),
                );
            }
            return Some(judgement);
        }
        ("mysql", _) => {
            let kind = match kind {
                "number" => mysql::Kind::Number,
                "bits" => mysql::Kind::Bits,
                "date" => mysql::Kind::Date,
                "datetime" => mysql::Kind::DateTime,
                "timestamp" => mysql::Kind::Timestamp,
                "bytes" => mysql::Kind::Bytes,
                _ => mysql::Kind::Text,
            };
            match mysql::read(kind, sent, zone).and_then(|answer| answer.for_expectation(expect)) {
                Ok(value) => value,
                Err(Trouble::Wrong(words)) => {
                    zero_date(sent, expect, &words);
                    return Some(ruling(CheckOutcome::Failed, words));
                }
                // Text that is no UTF-8.
                Err(Trouble::CannotTell(words)) => {
                    assert!(std::str::from_utf8(sent).is_err(), "{words}");
                    return None;
                }
                Err(Trouble::Unnamed(words)) => panic!("{words}"),
            }
        }
        (_, "none") => Value::NoRow,
        (_, "null") => Value::Null,
        _ => {
            let kind = match kind {
                "boolean" => postgres::Kind::Boolean,
                "number" => postgres::Kind::Number,
                "date" => postgres::Kind::Date,
                "timestamp" => postgres::Kind::Timestamp,
                "timestamptz" => postgres::Kind::Timestamptz,
                _ => postgres::Kind::Other,
            };
            // The client refuses text that is not UTF-8.
            postgres::read(kind, std::str::from_utf8(sent).ok()?, zone)
        }
    };
    let judgement = expect.judge(&value, clocks);
    right(&judgement, expect, &value, clocks, &|text| {
        expect.judge(&Value::Text(text), clocks)
    });
    Some(judgement)
}

/// Only a date that is one, but for a zero in it, is none in MySQL's way of saying so.
fn zero_date(sent: &[u8], expect: &Expectation, words: &str) {
    assert!(matches!(expect, Expectation::MaxAge(_)), "{words}");
    let text = std::str::from_utf8(sent).expect("a zero date is text");
    assert!(text.len() <= 40, "a zero date of {} bytes", text.len());
    let date = text.get(..10).expect("a date");
    let digits = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    assert!(digits, "{text:?} is called a date");
    assert!(
        &date[..4] == "0000" || &date[5..7] == "00" || &date[8..] == "00",
        "{text:?} has no zero"
    );
}

/// The same ruling by other means: `failed` and `passed` only where a value was read and compared.
/// `of_text` judges another text that came the same way.
fn right(
    judgement: &Judgement,
    expect: &Expectation,
    value: &Value,
    clocks: &Clocks,
    of_text: &dyn Fn(String) -> Judgement,
) {
    use CheckOutcome::{Errored, Failed, Passed};
    let holds = |holds: bool| if holds { Passed } else { Failed };
    let number = match value {
        Value::Number { number, .. } => Some(*number),
        _ => None,
    };
    let expected = match (expect, value) {
        (_, Value::NoRow | Value::Null) => Some(Failed),
        (_, Value::Number { number, .. }) if !number.is_finite() => Some(Errored),
        (Expectation::Min(least), _) => Some(number.map_or(Errored, |is| holds(is >= *least))),
        (Expectation::Max(most), _) => Some(number.map_or(Errored, |is| holds(is <= *most))),
        (Expectation::Between(least, most), _) => {
            Some(number.map_or(Errored, |is| holds(*least <= is && is <= *most)))
        }
        (Expectation::MaxAge(most), _) => Some(match judgement.age_at_backup {
            Some(age) => {
                holds(age <= SignedDuration::try_from(*most).unwrap_or(SignedDuration::MAX))
            }
            None => Errored,
        }),
        (Expectation::NotEmpty, Value::Text(text)) => Some(holds(!text.is_empty())),
        (Expectation::NotEmpty, _) => Some(Passed),
        (Expectation::Matches(pattern), _) => Some(match (compile_regex(pattern), value.text()) {
            (Err(_), _) | (_, None) => Errored,
            (Ok(regex), Some(text)) => holds(regex.is_match(text)),
        }),
        (Expectation::Equals(Constant::Text(wanted)), Value::Text(is)) => Some(holds(wanted == is)),
        (Expectation::Equals(Constant::Boolean(wanted)), Value::Boolean(is)) => {
            Some(holds(wanted == is))
        }
        // Exact whole numbers are more than floating point can tell apart, in one direction.
        (Expectation::Equals(Constant::Integer(wanted)), Value::Number { number, .. }) => {
            if *number == *wanted as f64 {
                None
            } else {
                Some(Failed)
            }
        }
        (Expectation::Equals(Constant::Number(wanted)), Value::Number { number, .. }) => {
            Some(holds(wanted == number))
        }
        (Expectation::Equals(_), _) => Some(Errored),
    };
    assert_ne!(
        (expected, judgement.outcome),
        (None, Errored),
        "{judgement:?}"
    );
    assert_eq!(
        expected.unwrap_or(judgement.outcome),
        judgement.outcome,
        "{judgement:?}"
    );

    let instant = match value {
        Value::Timestamp { instant, .. } | Value::Date { instant, .. } => Some(*instant),
        Value::Text(text) => text
            .parse::<Timestamp>()
            .ok()
            .filter(|_| judgement.age_at_backup.is_some()),
        _ => None,
    };
    let age = |since: Timestamp| instant.map(|instant| since.duration_since(instant));
    if let Some(known) = judgement.age_at_backup {
        let age = age(clocks.recovery_point_created).expect("only a time has an age");
        assert!(age >= SignedDuration::from_secs(-300), "{age} is too new");
        assert_eq!(known, age.max(SignedDuration::ZERO));
    } else if let (Value::Timestamp { .. } | Value::Date { .. }, Some(age)) =
        (value, age(clocks.recovery_point_created))
    {
        assert!(
            age < SignedDuration::from_secs(-300),
            "a time without an age"
        );
    }

    // Text from the data is never said: another text of the same length is spoken of in the same words.
    if let Value::Text(text) = value {
        let other = of_text("¤".repeat(text.chars().count()));
        if other.outcome == judgement.outcome && judgement.age_at_backup.is_none() && !endless(text)
        {
            assert_eq!(other.detail, judgement.detail);
        }
    }
}

fn endless(text: &str) -> bool {
    matches!(text, "infinity" | "-infinity") || text.parse::<Timestamp>().is_ok()
}

/// What the record keeps of it is bounded, and comes back from the ledger as it was.
fn recorded(judgement: &Judgement, expect: &Expectation) {
    assert!(!judgement.detail.is_empty());
    assert!(
        judgement
            .value
            .as_ref()
            .is_none_or(|value| value.chars().count() <= LONGEST_VALUE)
    );
    assert!(judgement.value_number.is_none_or(f64::is_finite));
    assert!(
        judgement
            .age_at_backup
            .is_none_or(|age| age >= SignedDuration::ZERO)
    );
    let check = Check {
        name: "check".to_owned(),
        group: None,
        timeout: Duration::from_secs(1),
        kind: CheckKind::Sql(SqlCheck {
            database: None,
            query: "select 1".to_owned(),
            expect: expect.clone(),
            time_zone: "UTC".to_owned(),
            data_age: true,
        }),
    };
    let result = result(&check, judgement.clone(), Duration::from_millis(1500));
    let seen = result.detail.at(Ceiling::Text);
    // What stands for a credential may be longer than it.
    assert!(seen.chars().count() <= 5 * LONGEST_WORDS);
    assert!(
        !seen.contains(['\u{1}', '\u{2}', '\u{3}']),
        "a mark is seen"
    );
    let json = serde_json::to_string(&result).expect("a result is JSON");
    let back: CheckResult = serde_json::from_str(&json).expect("a result is read");
    assert_eq!(back, result);
    let frozen = serde_json::to_string(&check).expect("a check is JSON");
    let back: Check = serde_json::from_str(&frozen).expect("a check is read");
    assert_eq!(back, check);
}

/// An error speaks against the data only when it is one that does; what may quote data is not shown.
fn errors(engine: &str, code: &str, message: &str) {
    let sorted = |message: &str| match engine {
        "mysql" => mysql::sorted(code.parse().unwrap_or(1105), "HY000", message, &[]),
        _ => postgres::sorted(&postgres::ServerError {
            code,
            message,
            routine: "",
            encoding: "",
            sent: &[],
        }),
    };
    let words = |trouble: Trouble| match trouble {
        Trouble::Wrong(words) => words.replace("the data is damaged: ", ""),
        Trouble::Unnamed(words) | Trouble::CannotTell(words) => words,
    };
    // Words that say nothing and are no part of a path.
    let plain = "?".repeat(message.len());
    let (said, of_plain) = (words(sorted(message)), words(sorted(&plain)));
    assert!(!said.is_empty());
    let shown = if engine == "mysql" {
        of_plain.starts_with(&plain) && !plain.is_empty()
    } else {
        ["08", "25", "28", "3D", "3F", "42", "53", "57"]
            .iter()
            .any(|class| code.starts_with(class))
    };
    if !shown && !message.is_empty() {
        assert_eq!(said, of_plain, "the words quote what the server said");
    }
    let speaks_against = match engine {
        "mysql" => matches!(
            code.parse().unwrap_or(1105_u16),
            126 | 127 | 130 | 144 | 145 | 175 | 176 | 180 | 194 | 1030 | 1033
                ..=1035 | 1049 | 1054 | 1146 | 1194 | 1195 | 1712 | 1812 | 1877 | 1932
        ),
        _ => matches!(
            code,
            "42P01" | "42703" | "3F000" | "3D000" | "XX001" | "XX002" | "58P01"
        ),
    };
    assert!(
        speaks_against || matches!(sorted(message), Trouble::CannotTell(_)),
        "{code} speaks against the data"
    );
}

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::civil::{Date, DateTime, date};
use jiff::tz::{Offset, TimeZone};

use super::*;
use crate::ceiling::seen;
use CheckOutcome::{Errored, Failed, Passed};

fn clocks() -> Clocks {
    Clocks {
        recovery_point_created: "2026-11-20T03:00:00Z".parse().unwrap(),
        now: "2026-11-21T05:30:00Z".parse().unwrap(),
    }
}

fn number(text: &str) -> Value {
    Value::from_number_text(text)
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn at(instant: &str) -> Value {
    Value::Timestamp {
        text: instant.into(),
        instant: instant.parse().unwrap(),
        assumed_zone: None,
    }
}

fn max_age(text: &str) -> Expectation {
    Expectation::MaxAge(crate::policy::parse_duration(text).unwrap())
}

fn equals(constant: Constant) -> Expectation {
    Expectation::Equals(constant)
}

/// The judgement has this outcome, and this stands in its detail.
#[track_caller]
fn judged(
    expectation: &Expectation,
    value: &Value,
    outcome: CheckOutcome,
    in_detail: &str,
) -> Judgement {
    let mut judgement = expectation.judge(value, &clocks());
    judgement.detail = seen(&judgement.detail);
    assert_eq!(
        judgement.outcome, outcome,
        "{expectation} of {value:?}: {}",
        judgement.detail
    );
    assert!(judgement.detail.contains(in_detail), "{}", judgement.detail);
    judgement
}

#[test]
fn numbers_are_compared() {
    let judgement = judged(
        &Expectation::Min(100_000.0),
        &number("99999"),
        Failed,
        "the value is 99999; expected: at least 100000",
    );
    assert_eq!(judgement.value.as_deref(), Some("99999"));
    assert_eq!(judgement.value_number, Some(99_999.0));
    assert_eq!(judgement.expectation, "at least 100000");
    judged(&Expectation::Min(100_000.0), &number("100000"), Passed, "");
    judged(
        &Expectation::Max(5.0),
        &number("5.0001"),
        Failed,
        "at most 5",
    );
    judged(&Expectation::Max(5.0), &number("-1e300"), Passed, "");
    judged(
        &Expectation::Between(1.0, 5.0),
        &number("5"),
        Passed,
        "between 1 and 5",
    );
    judged(
        &Expectation::Between(1.0, 5.0),
        &number("0.5"),
        Failed,
        "between 1 and 5",
    );
    for odd in ["NaN", "inf", "-Infinity", "1e999"] {
        let judgement = judged(
            &Expectation::Max(5.0),
            &number(odd),
            Errored,
            "cannot be compared",
        );
        assert_eq!(judgement.value_number, None);
    }
    judged(
        &Expectation::Min(1.0),
        &text("12"),
        Errored,
        "value is text of 2 characters, but a number is needed",
    );
    judged(
        &Expectation::Min(1.0),
        &Value::Boolean(true),
        Errored,
        "the value is the boolean true",
    );
    judged(
        &Expectation::Min(1.0),
        &at("2026-11-20T00:00:00Z"),
        Errored,
        "the value is the timestamp 2026-11-20T00:00:00Z",
    );
}

#[test]
fn what_the_policy_says_itself_is_no_news_and_what_is_equal_may_be() {
    let is_expected = |constant, value: &Value| {
        let judgement = equals(constant).judge(value, &clocks());
        assert_eq!(judgement.outcome, Passed);
        judgement.is_expected
    };
    let words = || Constant::Text("EUR".to_owned());
    assert!(is_expected(words(), &text("EUR")));
    assert!(is_expected(words(), &Value::padded("EUR  ")));
    assert!(is_expected(Constant::Integer(12), &number("12")));
    assert!(is_expected(Constant::Number(1.5), &number("1.5")));
    assert!(is_expected(Constant::Boolean(true), &Value::Boolean(true)));
    // As equal, and with room for a row of data behind it.
    let digits = format!("1.5{}7071", "0".repeat(30));
    assert!(!is_expected(Constant::Number(1.5), &number(&digits)));
    assert!(!is_expected(Constant::Integer(12), &number("12.000")));
    assert!(!is_expected(
        Constant::Number(1e15),
        &number("1000000000000000")
    ));
}

#[test]
fn equality_is_exact_where_it_can_be() {
    let big = equals(Constant::Integer(9_007_199_254_740_993));
    judged(&big, &number("9007199254740993"), Passed, "");
    judged(&big, &number("9007199254740993.000"), Passed, "");
    judged(
        &big,
        &number("9007199254740992"),
        Failed,
        "expected: equal to 9007199254740993",
    );
    judged(&big, &number("9007199254740993.5"), Failed, "");
    for exponent in ["1e3", "1.0e3"] {
        let thousand = equals(Constant::Integer(1000));
        judged(&thousand, &number(exponent), Passed, "");
    }
    judged(&equals(Constant::Integer(1)), &number("1.0e3"), Failed, "");
    judged(
        &equals(Constant::Integer(i64::MIN)),
        &number("-9223372036854775808"),
        Passed,
        "",
    );
    judged(
        &equals(Constant::Integer(1)),
        &number(&"9".repeat(100)),
        Failed,
        "99…",
    );
    judged(&equals(Constant::Number(0.5)), &number("0.50"), Passed, "");
    judged(&equals(Constant::Integer(0)), &number("-0"), Passed, "");
    judged(
        &equals(Constant::Integer(0)),
        &Value::Boolean(false),
        Errored,
        "a number is needed",
    );
    judged(
        &equals(Constant::Boolean(true)),
        &Value::Boolean(true),
        Passed,
        "",
    );
    judged(
        &equals(Constant::Boolean(true)),
        &Value::Boolean(false),
        Failed,
        "the value is false",
    );
    judged(
        &equals(Constant::Boolean(true)),
        &number("1"),
        Errored,
        "true or false is needed",
    );
    judged(
        &equals(Constant::Text("paid".into())),
        &text("paid"),
        Passed,
        "",
    );
    judged(
        &equals(Constant::Text("paid".into())),
        &text("Paid"),
        Failed,
        "another text",
    );
    judged(
        &equals(Constant::Text("42".into())),
        &number("42"),
        Errored,
        "without quotes",
    );
}

#[test]
fn nothing_is_a_failure_and_not_an_error() {
    for expectation in [
        equals(Constant::Integer(0)),
        Expectation::Min(0.0),
        Expectation::Max(0.0),
        Expectation::Between(0.0, 0.0),
        max_age("1h"),
        Expectation::NotEmpty,
        Expectation::Matches("^$".into()),
    ] {
        let judgement = judged(
            &expectation,
            &Value::Null,
            Failed,
            "NULL: the table holds no such row",
        );
        assert_eq!((judgement.value, judgement.value_number), (None, None));
        judged(
            &expectation,
            &Value::NoRow,
            Failed,
            "the query answered no row",
        );
    }
    judged(&Expectation::NotEmpty, &text(""), Failed, "an empty text");
    judged(&Expectation::NotEmpty, &text(" "), Passed, "");
    judged(&Expectation::NotEmpty, &number("0"), Passed, "the number 0");
}

#[test]
fn texts_are_matched_and_not_shown() {
    let pattern = Expectation::Matches(r"^20\d{6}".into());
    let judgement = judged(&pattern, &text("20261120_init"), Passed, "");
    assert_eq!(judgement.value.as_deref(), Some("20261120_init"));
    let judgement = judged(
        &pattern,
        &text("jane@example.com"),
        Failed,
        "text of 16 characters",
    );
    assert!(!judgement.detail.contains("jane"));
    judged(&pattern, &number("20261120"), Passed, "");
    judged(
        &Expectation::Matches("(".into()),
        &text("a"),
        Errored,
        "bad regex",
    );
}

#[test]
fn padding_is_not_compared() {
    let text = |text: &str| equals(Constant::Text(text.into()));
    for (expectation, value, outcome) in [
        (text("EUR"), "EUR       ", Passed),
        (text("EUR  "), "EUR       ", Passed),
        (text("EUR"), "EURO      ", Failed),
        (text("EUR"), "  EUR     ", Failed),
        (text(""), "          ", Passed),
        (Expectation::NotEmpty, "          ", Failed),
        (Expectation::NotEmpty, " x        ", Passed),
        (Expectation::Matches("^EUR$".into()), "EUR       ", Passed),
    ] {
        judged(&expectation, &Value::padded(value), outcome, "");
    }
    // Text that is no `char(n)` is compared blank by blank.
    judged(&text("EUR"), &Value::Text("EUR ".into()), Failed, "");
}

#[test]
fn long_values_are_cut_between_characters() {
    let judgement = judged(
        &Expectation::NotEmpty,
        &text(&"ü".repeat(5000)),
        Passed,
        "5000 characters",
    );
    assert_eq!(judgement.value.unwrap(), "ü".repeat(1024));
}

#[test]
fn ages_are_measured_against_the_backup() {
    let judgement = judged(
        &max_age("15m"),
        &at("2026-11-20T02:50:00Z"),
        Passed,
        "10m old when the backup was made",
    );
    assert_eq!(judgement.age_at_backup, Some(SignedDuration::from_mins(10)));
    assert_eq!(
        judgement.age_against_now,
        Some(SignedDuration::from_mins(26 * 60 + 40))
    );
    assert_eq!(judgement.expectation, "at most 15m old");
    judged(&max_age("15m"), &at("2026-11-20T02:45:00Z"), Passed, "");
    judged(
        &max_age("15m"),
        &at("2026-11-20T02:44:59Z"),
        Failed,
        "was 15m 1s old",
    );
    judged(
        &max_age("1d"),
        &at("2026-11-19T02:59:59Z"),
        Failed,
        "was 1d 1s old",
    );
    judged(
        &max_age("15m"),
        &at("2026-11-20T02:44:59.5Z"),
        Failed,
        "a fraction of a second more than 15m",
    );
    let judgement = judged(
        &max_age("35d"),
        &at("2006-11-20T03:00:00Z"),
        Failed,
        "was 7305d old",
    );
    assert_eq!(
        judgement.age_at_backup,
        Some(SignedDuration::from_hours(7305 * 24))
    );
}

#[test]
fn times_ahead_are_told_in_minutes_below_two_hours() {
    for (instant, ahead) in [
        ("2026-11-20T04:59:59Z", "is 119 minutes newer"),
        ("2026-11-20T05:00:00Z", "is 2h newer"),
    ] {
        judged(&max_age("15m"), &at(instant), Errored, ahead);
    }
}

#[test]
fn data_newer_than_its_backup_is_a_mistake_of_the_check() {
    let judgement = judged(
        &max_age("15m"),
        &at("2026-11-20T03:05:00Z"),
        Passed,
        "0s old",
    );
    assert_eq!(judgement.age_at_backup, Some(SignedDuration::ZERO));
    let judgement = judged(
        &max_age("15m"),
        &at("2026-11-20T04:00:00Z"),
        Errored,
        "the newest data is 60 minutes newer than the recovery point; is time_zone right?",
    );
    assert_eq!(
        (judgement.age_at_backup, judgement.age_against_now),
        (None, None)
    );
    judged(
        &max_age("15m"),
        &at("2026-11-20T03:05:00.1Z"),
        Errored,
        "5 minutes newer",
    );
    judged(
        &max_age("15m"),
        &at("9999-12-30T00:00:00Z"),
        Errored,
        "newer",
    );
    // Only max_age judges the age; a value that is merely there is there.
    let judgement = judged(
        &Expectation::NotEmpty,
        &at("2026-11-20T04:00:00Z"),
        Passed,
        "",
    );
    assert_eq!(judgement.age_at_backup, None);
}

#[test]
fn ages_need_a_time() {
    judged(&max_age("1h"), &text("infinity"), Errored, "infinite time");
    judged(&max_age("1h"), &text("-infinity"), Errored, "infinite time");
    judged(
        &max_age("1h"),
        &text("yesterday"),
        Errored,
        "a timestamp or a date is needed",
    );
    judged(
        &max_age("1h"),
        &number("1763600000"),
        Errored,
        "the number 1763600000",
    );
    let judgement = judged(
        &Expectation::NotEmpty,
        &at("2026-11-20T02:00:00Z"),
        Passed,
        "",
    );
    assert_eq!(judgement.age_at_backup, Some(SignedDuration::from_hours(1)));
}

#[test]
fn dates_count_from_their_first_moment() {
    let berlin = crate::policy::time_zone("Europe/Berlin").unwrap();
    let value = Value::from_date("2026-11-20", date(2026, 11, 20), &berlin);
    // 00:00 in Berlin is 23:00 UTC of the day before: four hours before the backup.
    let judgement = judged(
        &max_age("5h"),
        &value,
        Passed,
        "read as the start of that day, 00:00 Europe/Berlin",
    );
    assert_eq!(judgement.age_at_backup, Some(SignedDuration::from_hours(4)));
    judged(&max_age("3h"), &value, Failed, "4h old");
    // Midnight did not exist in São Paulo on 2018-11-04.
    let sao_paulo = crate::policy::time_zone("America/Sao_Paulo").unwrap();
    let Value::Date { instant, .. } = Value::from_date("2018-11-04", date(2018, 11, 4), &sao_paulo)
    else {
        panic!("a date")
    };
    assert_eq!(instant, "2018-11-04T03:00:00Z".parse().unwrap());
}

#[test]
fn local_times_say_in_which_zone_they_were_read() {
    let berlin = crate::policy::time_zone("Europe/Berlin").unwrap();
    let local = |text: &str| Value::from_local(text, text.parse().unwrap(), &berlin);
    judged(
        &max_age("15m"),
        &local("2026-11-20 03:55:00"),
        Passed,
        "5m old when the backup was made, at most 15m is allowed (it names no time zone, read as Europe/Berlin)",
    );
    let instant = |value: Value| match value {
        Value::Timestamp { instant, .. } => instant.to_string(),
        other => panic!("{other:?}"),
    };
    // Twice there: the first. Not there: as if the clock had not been changed yet.
    assert_eq!(
        instant(local("2026-10-25 02:30:00")),
        "2026-10-25T00:30:00Z"
    );
    assert_eq!(
        instant(local("2026-03-29 02:30:00")),
        "2026-03-29T01:30:00Z"
    );
}

#[test]
fn no_value_makes_it_panic() {
    let zones = [
        TimeZone::UTC,
        crate::policy::time_zone("Pacific/Kiritimati").unwrap(),
        crate::policy::time_zone("America/Sao_Paulo").unwrap(),
        TimeZone::fixed(Offset::MAX),
        TimeZone::fixed(Offset::MIN),
    ];
    let mut values = vec![
        Value::NoRow,
        Value::Null,
        Value::Boolean(true),
        text(""),
        text("\u{0}\u{202e}é\u{301}"),
        text(&"€".repeat(3000)),
        text("infinity"),
    ];
    for odd in [
        "NaN",
        "inf",
        "-inf",
        "0",
        "-0",
        "1e308",
        "1e-320",
        "9223372036854775808",
        ".",
        "1.",
        ".5",
        "+1",
        "--1",
    ] {
        values.push(number(odd));
        for number in [f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, f64::MAX] {
            values.push(Value::Number {
                text: odd.into(),
                number,
            });
        }
    }
    values.push(number(&"123456789.".repeat(500)));
    values.push(number(&"9".repeat(5000)));
    let instants = [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH];
    for instant in instants {
        for assumed_zone in [None, Some("x".repeat(5000))] {
            values.push(Value::Timestamp {
                text: "é".repeat(99),
                instant,
                assumed_zone,
            });
        }
    }
    for zone in &zones {
        for day in [Date::MIN, Date::MAX, Date::ZERO, date(2018, 11, 4)] {
            values.push(Value::from_date(&day.to_string(), day, zone));
        }
        for time in [
            DateTime::MIN,
            DateTime::MAX,
            DateTime::ZERO,
            date(2018, 11, 4).at(0, 30, 0, 0),
        ] {
            values.push(Value::from_local(&time.to_string(), time, zone));
        }
    }
    let numbers = [
        0.0,
        -0.0,
        f64::NAN,
        f64::INFINITY,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
    ];
    let mut expectations = vec![
        Expectation::NotEmpty,
        Expectation::Matches(String::new()),
        Expectation::Matches("[".into()),
        Expectation::Matches("(?s).*".into()),
        Expectation::MaxAge(Duration::ZERO),
        Expectation::MaxAge(Duration::MAX),
        equals(Constant::Text("é".repeat(5000))),
        equals(Constant::Boolean(false)),
        equals(Constant::Integer(i64::MIN)),
    ];
    for a in numbers {
        expectations.extend([
            Expectation::Min(a),
            Expectation::Max(a),
            equals(Constant::Number(a)),
        ]);
        expectations.extend(numbers.map(|b| Expectation::Between(a, b)));
    }
    for value in &values {
        for expectation in &expectations {
            for recovery_point_created in instants {
                for now in instants {
                    let judgement = expectation.judge(
                        value,
                        &Clocks {
                            recovery_point_created,
                            now,
                        },
                    );
                    assert!(!judgement.detail.is_empty());
                    assert!(
                        judgement
                            .value
                            .is_none_or(|value| value.chars().count() <= LONGEST_VALUE)
                    );
                    assert!(judgement.value_number.is_none_or(f64::is_finite));
                    assert!(judgement.age_at_backup.is_none_or(|age| !age.is_negative()));
                    assert!(
                        judgement
                            .age_against_now
                            .is_none_or(|age| !age.is_negative())
                    );
                }
            }
        }
    }
}

#[test]
fn expectations_read_well() {
    let say = |expectation: Expectation| expectation.to_string();
    assert_eq!(say(max_age("90m")), "at most 1h 30m old");
    assert_eq!(say(Expectation::Between(1.0, 5.5)), "between 1 and 5.5");
    assert_eq!(say(Expectation::Max(1e20)), "at most 1e20");
    assert_eq!(
        say(equals(Constant::Text("a\"b".into()))),
        "equal to \"a\\\"b\""
    );
    assert_eq!(say(Expectation::Matches("^x$".into())), "matching /^x$/");
    assert_eq!(say(Expectation::NotEmpty), "not empty");
}

/// The judgement of a JSON value has this outcome, and this stands in its detail.
#[track_caller]
fn judged_json(
    expectation: &Expectation,
    json: serde_json::Value,
    outcome: CheckOutcome,
    in_detail: &str,
) -> Judgement {
    let mut judgement = expectation.judge_json(&json, &clocks());
    judgement.detail = seen(&judgement.detail);
    assert_eq!(
        judgement.outcome, outcome,
        "{expectation} of {json}: {}",
        judgement.detail
    );
    assert!(judgement.detail.contains(in_detail), "{}", judgement.detail);
    judgement
}

#[test]
fn json_values_are_judged_as_those_of_queries() {
    use serde_json::json;

    let ok = equals(Constant::Text("ok".into()));
    judged_json(&ok, json!("ok"), Passed, "");
    judged_json(&ok, json!("OK"), Failed, "another text");
    judged_json(
        &ok,
        json!(true),
        Errored,
        "write the expected value without quotes",
    );
    judged_json(
        &ok,
        json!(null),
        Failed,
        "the value is null; expected: equal to \"ok\"",
    );
    judged_json(&equals(Constant::Boolean(true)), json!(true), Passed, "");
    judged_json(&equals(Constant::Boolean(true)), json!("true"), Errored, "");
    judged_json(
        &equals(Constant::Integer(9_007_199_254_740_993)),
        json!(9_007_199_254_740_993_i64),
        Passed,
        "",
    );
    judged_json(&equals(Constant::Integer(3)), json!(3.0), Passed, "");
    let judgement = judged_json(
        &Expectation::Min(100.0),
        json!(99),
        Failed,
        "the value is 99",
    );
    assert_eq!(judgement.value_number, Some(99.0));
    judged_json(
        &Expectation::Min(100.0),
        json!("100"),
        Errored,
        "a number is needed",
    );
    judged_json(&Expectation::NotEmpty, json!(""), Failed, "an empty text");
    judged_json(&Expectation::NotEmpty, json!(0), Passed, "");
}

#[test]
fn json_lists_and_objects_are_empty_or_not_and_match_as_text() {
    use serde_json::json;

    let matching = Expectation::Matches("\"id\":7".into());
    let judgement = judged_json(&matching, json!([{"id": 7}]), Passed, "");
    assert_eq!(judgement.value.as_deref(), Some("[{\"id\":7}]"));
    judged_json(&matching, json!({"id": 8}), Failed, "");
    judged_json(
        &Expectation::NotEmpty,
        json!([0]),
        Passed,
        "a list with entries",
    );
    judged_json(
        &Expectation::NotEmpty,
        json!([]),
        Failed,
        "a list without entries",
    );
    judged_json(
        &Expectation::NotEmpty,
        json!({}),
        Failed,
        "an object without entries",
    );
    judged_json(
        &Expectation::Min(1.0),
        json!([5]),
        Errored,
        "the value is a list, which cannot be judged by the expectation \"at least 1\"; point at one value in it",
    );
    // Not even its own text is equal to it: nobody writes the compact one.
    judged_json(
        &equals(Constant::Text("{}".into())),
        json!({}),
        Errored,
        "an object",
    );
    let long = judged_json(
        &Expectation::NotEmpty,
        json!(["x".repeat(5000)]),
        Passed,
        "",
    );
    assert_eq!(long.value.unwrap().chars().count(), LONGEST_VALUE);
}

#[test]
fn a_time_written_as_text_has_an_age() {
    use serde_json::json;

    let judgement = judged_json(
        &max_age("15m"),
        json!("2026-11-20T02:50:00Z"),
        Passed,
        "10m old",
    );
    assert_eq!(judgement.age_at_backup, Some(SignedDuration::from_mins(10)));
    judged_json(
        &max_age("15m"),
        json!("2026-11-20T03:44:59.9+01:00"),
        Failed,
        "15m",
    );
    judged_json(
        &max_age("15m"),
        json!("2026-11-20T04:00:00Z"),
        Errored,
        "does it name the right offset?",
    );
    // A column of text holds the same.
    judged(
        &max_age("15m"),
        &text("2026-11-20 02:50:00+00:00"),
        Passed,
        "10m old",
    );
    for other in [
        "2026-11-20",
        "2026-11-20T02:50:00",
        "2026-11-20T02:50:00Z ",
        "2026-11-20T02:50:00+00:00[UTC]",
        "20261120T025000Z",
        "2026-11-20T02Z",
        "2026-13-20T02:50:00Z",
        "1763600000",
        "",
    ] {
        judged_json(
            &max_age("15m"),
            json!(other),
            Errored,
            "such as 2026-11-21T06:00:00Z",
        );
    }
    judged_json(
        &max_age("15m"),
        json!(1_763_600_000),
        Errored,
        "the number 1763600000",
    );
    // As a text it stays one.
    let same = equals(Constant::Text("2026-11-20T02:50:00Z".into()));
    judged_json(&same, json!("2026-11-20T02:50:00Z"), Passed, "");
}

#[test]
fn numbers_come_back_from_the_ledger_as_they_were() {
    for seventh in 1..2000 {
        let number = f64::from(seventh) / 7.0 * 1e-9;
        let expect = equals(Constant::Number(number));
        let frozen = serde_json::to_string(&expect).unwrap();
        let expect = serde_json::from_str::<Expectation>(&frozen).unwrap();
        judged(
            &expect,
            &Value::from_number_text(&number.to_string()),
            Passed,
            "",
        );
    }
}

#![allow(clippy::unwrap_used)]
use std::cell::RefCell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::ceiling::{Ceiling, Marked, seen};
use crate::policy::{CheckKind, parse};

/// A data check of these lines of TOML.
fn check(lines: &str) -> DataCheck {
    let policy = format!(
        "version = \"1\"\n[limits]\nlargest_scan = \"100 MiB\"\n[[rules]]\nname = \"r\"\nfrequency = \"daily\"\n\
         match = {{}}\ncredentials = \"reset\"\n[[rules.checks]]\nname = \"c\"\n{lines}\n"
    );
    let check = parse(&policy).unwrap().rules.remove(0).checks.remove(0);
    match check.kind {
        CheckKind::Data(data) => data,
        other => panic!("{other:?}"),
    }
}

fn clocks() -> Clocks {
    Clocks {
        recovery_point_created: "2026-11-21T12:00:00Z".parse().unwrap(),
        now: "2026-11-21T13:00:00Z".parse().unwrap(),
    }
}

/// What becomes of a check when the server answers so, one row for each statement; and what it was asked.
fn looked(
    check: &DataCheck,
    engine: Engine,
    answers: &[&[Value]],
) -> (Result<Judgement, Trouble>, Vec<String>) {
    let asked = RefCell::new(Vec::new());
    let ask = async |statement: String| {
        let answer = answers.get(asked.borrow().len()).expect("another answer");
        asked.borrow_mut().push(statement);
        Ok(vec![answer.to_vec()])
    };
    let clocks = clocks();
    let judgement = {
        let looking = pin!(look(check, engine, &clocks, ask));
        match looking.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(judgement) => judgement,
            Poll::Pending => panic!("nothing is waited for"),
        }
    };
    assert_eq!(asked.borrow().len(), answers.len(), "all are asked");
    (judgement, asked.into_inner())
}

fn number(number: f64) -> Value {
    Value::from_number_text(&number.to_string())
}

fn timestamp(text: &str) -> Value {
    Value::Timestamp {
        text: text.to_owned(),
        instant: text.parse().unwrap(),
        assumed_zone: None,
    }
}

/// Of a small table.
const SMALL: [Value; 2] = [Value::Null, Value::Null];

/// Of a table of 1000 MiB, ten times as large as is read whole.
fn large(rows: f64) -> [Value; 2] {
    [number(f64::from(1000 << 20)), number(rows)]
}

#[test]
fn names_are_quoted_whatever_they_hold() {
    use statements::{literal, qualified, quoted};
    assert_eq!(quoted(Engine::Postgres, "a\"; drop"), "\"a\"\"; drop\"");
    assert_eq!(quoted(Engine::MySql, "a`; drop"), "`a``; drop`");
    assert_eq!(literal("a'b"), "'a''b'");
    let table: TableName = "\"a.b\".c".parse().unwrap();
    assert_eq!(qualified(Engine::Postgres, &table), "\"a.b\".\"c\"");
    assert_eq!(qualified(Engine::MySql, &table), "`a.b`.`c`");
    let table: TableName = "Orders".parse().unwrap();
    assert_eq!(qualified(Engine::Postgres, &table), "\"public\".\"Orders\"");
    assert_eq!(qualified(Engine::MySql, &table), "`Orders`");
}

#[test]
fn rows_are_counted_and_judged_by_both_bounds() {
    let check = check(
        "kind = \"row_count\"\ntable = \"orders\"\nexpect = { min = 10 }\nwarn = { min = 100 }",
    );
    for (rows, outcome, warns) in [
        (100.0, CheckOutcome::Passed, false),
        (99.0, CheckOutcome::Passed, true),
        (10.0, CheckOutcome::Passed, true),
        (9.0, CheckOutcome::Failed, true),
        (0.0, CheckOutcome::Failed, true),
    ] {
        let (judgement, asked) = looked(&check, Engine::Postgres, &[&SMALL, &[number(rows)]]);
        let judgement = judgement.unwrap();
        assert_eq!(judgement.outcome, outcome, "{rows}");
        assert_eq!(judgement.warning.is_some(), warns, "{rows}");
        assert_eq!(judgement.value_number, Some(rows));
        assert_eq!(
            asked[1],
            "select count(*) from \"public\".\"orders\" as \"orders\""
        );
        assert_eq!(
            seen(&judgement.detail),
            format!("orders has {rows} rows; expected: at least 10 rows")
        );
        let hidden = Marked::from(judgement.detail).at(Ceiling::None);
        assert!(
            hidden.starts_with("orders has [number withheld] rows"),
            "{hidden}"
        );
    }
    let equals = self::check("kind = \"row_count\"\ntable = \"t\"\nexpect = { equals = 7 }");
    let (judgement, _) = looked(&equals, Engine::MySql, &[&SMALL, &[number(7.0)]]);
    assert!(judgement.unwrap().is_expected);
}

/// What is not counted passes where it meets its bound by far, and fails nothing.
#[test]
fn an_estimate_passes_by_far_or_tells_nothing() {
    let check = check("kind = \"row_count\"\ntable = \"t\"\nexpect = { min = 1000 }");
    for (rows, outcome) in [
        (1500.0, CheckOutcome::Passed),
        (1499.0, CheckOutcome::Errored),
        (499.0, CheckOutcome::Errored),
        (1.0, CheckOutcome::Errored),
    ] {
        let (judgement, asked) = looked(&check, Engine::MySql, &[&large(rows)]);
        let judgement = judgement.unwrap();
        assert_eq!(judgement.outcome, outcome, "{rows}");
        assert_eq!(asked.len(), 1, "the table is not read");
        let words = seen(&judgement.detail);
        assert!(
            words.contains("estimate") && words.contains("100 MiB"),
            "{words}"
        );
    }
    // A tenth of the pages.
    for (counted, outcome) in [
        (150.0, CheckOutcome::Passed),
        (149.0, CheckOutcome::Errored),
        (100.0, CheckOutcome::Errored),
    ] {
        let answers: [&[Value]; 2] = [&large(0.0), &[number(counted)]];
        let (judgement, asked) = looked(&check, Engine::Postgres, &answers);
        let judgement = judgement.unwrap();
        assert_eq!(judgement.outcome, outcome, "{counted}");
        assert_eq!(judgement.value_number, Some(counted * 10.0));
        assert!(
            asked[1].ends_with("tablesample system (10) repeatable (1)"),
            "{}",
            asked[1]
        );
    }
    for few in [99.0, 0.0] {
        let answers: [&[Value]; 2] = [&large(0.0), &[number(few)]];
        let (trouble, _) = looked(&check, Engine::Postgres, &answers);
        let Err(Trouble::CannotTell(words)) = trouble else {
            panic!("{trouble:?}");
        };
        assert!(words.contains("too few rows"), "{words}");
    }
    let unknown: [Value; 2] = [number(f64::from(1000 << 20)), Value::Null];
    let (trouble, _) = looked(&check, Engine::MySql, &[&unknown]);
    assert!(matches!(trouble, Err(Trouble::CannotTell(words)) if words.contains("no estimate")));
}

#[test]
fn numbers_within_bounds_meet_an_expectation_wherever_they_lie_or_not() {
    for (bounds, expect, holds) in [
        ((5.0, 7.0), Expectation::Min(5.0), Some(true)),
        ((5.0, 7.0), Expectation::Min(6.0), None),
        ((5.0, 7.0), Expectation::Min(8.0), Some(false)),
        ((5.0, 7.0), Expectation::Max(7.0), Some(true)),
        ((5.0, 7.0), Expectation::Max(4.0), Some(false)),
        ((5.0, 7.0), Expectation::Between(5.0, 7.0), Some(true)),
        ((5.0, 7.0), Expectation::Between(6.0, 9.0), None),
        ((5.0, 7.0), Expectation::Between(8.0, 9.0), Some(false)),
        ((5.0, 7.0), Expectation::Equals(Constant::Integer(6)), None),
        (
            (6.0, 6.0),
            Expectation::Equals(Constant::Integer(6)),
            Some(true),
        ),
        (
            (5.0, 7.0),
            Expectation::Equals(Constant::Integer(8)),
            Some(false),
        ),
    ] {
        assert_eq!(is_within(bounds, &expect), holds, "{bounds:?} {expect}");
    }
}

#[test]
fn the_newest_row_is_judged_at_the_time_of_the_backup() {
    let check = check(
        "kind = \"freshness\"\ntable = \"orders\"\ncolumn = \"created_at\"\nexpect = { max_age = \"15m\" }\nwarn = { max_age = \"5m\" }",
    );
    for (newest, outcome, warns) in [
        ("2026-11-21T11:56:00Z", CheckOutcome::Passed, false),
        ("2026-11-21T11:50:00Z", CheckOutcome::Passed, true),
        ("2026-11-21T11:40:00Z", CheckOutcome::Failed, true),
        // Newer than the backup by hours: a wrong time zone.
        ("2026-11-21T14:00:00Z", CheckOutcome::Errored, true),
    ] {
        let answers: [&[Value]; 2] = [&SMALL, &[timestamp(newest)]];
        let (judgement, asked) = looked(&check, Engine::MySql, &answers);
        let judgement = judgement.unwrap();
        assert_eq!(judgement.outcome, outcome, "{newest}");
        assert_eq!(judgement.warning.is_some(), warns, "{newest}");
        assert_eq!(
            asked[1],
            "select max(`created_at`) from `orders` as `orders`"
        );
    }
    let (judgement, _) = looked(&check, Engine::MySql, &[&SMALL, &[Value::Null]]);
    let judgement = judgement.unwrap();
    assert_eq!(judgement.outcome, CheckOutcome::Failed);
    assert!(
        judgement
            .detail
            .starts_with("orders has no row with a value in created_at")
    );
    let zero = Value::Text("0000-00-00 00:00:00".to_owned());
    let (trouble, _) = looked(&check, Engine::MySql, &[&SMALL, &[zero]]);
    assert!(matches!(trouble, Err(Trouble::Wrong(words)) if words.contains("zero date")));
}

#[test]
fn the_newest_row_of_a_large_table_is_found_by_an_index_alone() {
    let check = check(
        "kind = \"freshness\"\ntable = \"t\"\ncolumn = \"c\"\nexpect = { max_age = \"15m\" }",
    );
    for engine in [Engine::Postgres, Engine::MySql] {
        let newest = timestamp("2026-11-21T11:56:00Z");
        let answers: [&[Value]; 3] = [&large(1.0), &[number(1.0)], &[newest]];
        let (judgement, _) = looked(&check, engine, &answers);
        assert_eq!(judgement.unwrap().outcome, CheckOutcome::Passed);
        let (trouble, _) = looked(&check, engine, &[&large(1.0), &[number(0.0)]]);
        let Err(Trouble::CannotTell(words)) = trouble else {
            panic!("{trouble:?}");
        };
        assert!(words.contains("no index begins with c"), "{words}");
    }
}

#[test]
fn bad_rows_are_counted_in_rows_or_percent() {
    let answer = [number(3.0), number(1000.0)];
    for (lines, outcome, value) in [
        ("", CheckOutcome::Failed, 3.0),
        ("expect = { max = 3 }", CheckOutcome::Passed, 3.0),
        ("expect = { max = 2 }", CheckOutcome::Failed, 3.0),
        (
            "unit = \"percent\"\nexpect = { max = 0.3 }",
            CheckOutcome::Passed,
            0.3,
        ),
        (
            "unit = \"percent\"\nexpect = { max = 0.2 }",
            CheckOutcome::Failed,
            0.3,
        ),
    ] {
        for (kind, statement) in [
            (
                "kind = \"missing\"\ntable = \"t\"\ncolumn = \"c\"",
                "select count(*) - count(\"c\"), count(*) from \"public\".\"t\" as \"t\"",
            ),
            (
                "kind = \"duplicate\"\ntable = \"t\"\ncolumns = [\"a\", \"b\"]",
                "select coalesce(sum(g.n - 1), 0), coalesce(sum(g.n), 0) from (select count(*) as n from \
                 \"public\".\"t\" as \"t\" where \"a\" is not null and \"b\" is not null group by \"a\", \"b\") as g",
            ),
            (
                "kind = \"failed_rows\"\ntable = \"t\"\ncondition = \"a < 0 -- no\"",
                "select count(case when (\na < 0 -- no\n) then 1 end), count(*) from \"public\".\"t\" as \"t\"",
            ),
        ] {
            let check = check(&format!("{kind}\n{lines}"));
            let (judgement, asked) = looked(&check, Engine::Postgres, &[&SMALL, &answer]);
            let judgement = judgement.unwrap();
            assert_eq!(judgement.outcome, outcome, "{lines}");
            assert_eq!(judgement.value_number, Some(value), "{lines}");
            assert_eq!(asked[1], statement);
            assert!(seen(&judgement.detail).starts_with("3 of 1000 rows of t "));
        }
    }
}

#[test]
fn references_are_looked_up_column_by_column() {
    let check = check(
        "kind = \"references\"\ntable = \"l\"\ncolumns = [\"a\", \"b\"]\nto = \"shop.o\"\nto_columns = [\"x\", \"y\"]",
    );
    let answers: [&[Value]; 4] = [&SMALL, &SMALL, &[number(2.0)], &[number(9.0)]];
    let (judgement, asked) = looked(&check, Engine::MySql, &answers);
    let judgement = judgement.unwrap();
    assert_eq!(judgement.outcome, CheckOutcome::Failed);
    assert_eq!(
        seen(&judgement.detail),
        "2 of 9 rows of l refer to no row of shop.o; expected: at most 0 rows"
    );
    assert_eq!(
        asked[2],
        "select count(*) from `l` as `referring` where `referring`.`a` is not null and `referring`.`b` is not null and \
         not exists (select 1 from `shop`.`o` as `referred` where `referred`.`x` = `referring`.`a` and `referred`.`y` = \
         `referring`.`b`)"
    );
    // What is referred to is large, and nothing finds its rows.
    let answers: [&[Value]; 3] = [&SMALL, &large(1.0), &[number(0.0)]];
    let (trouble, _) = looked(&check, Engine::MySql, &answers);
    let Err(Trouble::CannotTell(words)) = trouble else {
        panic!("{trouble:?}");
    };
    assert!(
        words.contains("shop.o is larger") && words.contains("begins with x"),
        "{words}"
    );
    let answers: [&[Value]; 5] = [
        &SMALL,
        &large(1.0),
        &[number(1.0)],
        &[number(0.0)],
        &[number(9.0)],
    ];
    let (judgement, _) = looked(&check, Engine::MySql, &answers);
    assert_eq!(judgement.unwrap().outcome, CheckOutcome::Passed);
}

#[test]
fn a_manifest_is_reconciled_table_by_table() {
    let check = check(
        "kind = \"manifest\"\ntable = \"m\"\ncolumn = \"at\"\nexpect = { max_age = \"15m\" }\ntables = [\"orders\", \"a.b\"]\ntolerance = 1",
    );
    let fresh = [timestamp("2026-11-21T11:56:00Z")];
    let stale = [timestamp("2026-11-20T11:56:00Z")];
    for (newest, said, orders, outcome, words) in [
        (
            &fresh,
            number(1000.0),
            1000.0,
            CheckOutcome::Passed,
            "2 tables are as it says",
        ),
        (
            &fresh,
            number(1000.0),
            990.0,
            CheckOutcome::Passed,
            "2 tables are as it says",
        ),
        (
            &fresh,
            number(1000.0),
            989.0,
            CheckOutcome::Failed,
            "orders has 989 rows, and the manifest says 1000",
        ),
        (
            &stale,
            number(1000.0),
            1000.0,
            CheckOutcome::Failed,
            "was 1d",
        ),
    ] {
        let answers: [&[Value]; 8] = [
            &SMALL,
            newest,
            &[said, fresh[0].clone()],
            &SMALL,
            &[number(orders)],
            &[number(7.0), fresh[0].clone()],
            &SMALL,
            &[number(7.0)],
        ];
        let (judgement, asked) = looked(&check, Engine::Postgres, &answers);
        let judgement = judgement.unwrap();
        let detail = seen(&judgement.detail);
        assert_eq!(judgement.outcome, outcome, "{detail}");
        assert!(detail.contains(words), "{detail}");
        assert_eq!(
            asked[5],
            "select max(\"row_count\"), max(\"at\") from \"public\".\"m\" where \"table_name\" = 'a.b' and \"at\" = \
             (select max(\"at\") from \"public\".\"m\" where \"table_name\" = 'a.b')"
        );
    }
    // A table of which the manifest says nothing is not counted.
    let answers: [&[Value]; 6] = [
        &SMALL,
        &fresh,
        &[Value::Null, Value::Null],
        &[number(7.0), fresh[0].clone()],
        &SMALL,
        &[number(7.0)],
    ];
    let (judgement, _) = looked(&check, Engine::MySql, &answers);
    let judgement = judgement.unwrap();
    assert_eq!(judgement.outcome, CheckOutcome::Failed);
    assert!(
        judgement
            .detail
            .starts_with("the manifest says nothing of orders")
    );
    // A count that was written long before the others.
    let answers: [&[Value]; 8] = [
        &SMALL,
        &fresh,
        &[number(5.0), stale[0].clone()],
        &SMALL,
        &[number(5.0)],
        &[number(7.0), fresh[0].clone()],
        &SMALL,
        &[number(7.0)],
    ];
    let (judgement, _) = looked(&check, Engine::Postgres, &answers);
    let judgement = judgement.unwrap();
    assert_eq!(judgement.outcome, CheckOutcome::Failed);
    let detail = seen(&judgement.detail);
    assert!(detail.starts_with("the count of orders: "), "{detail}");
    // What is no number speaks for nothing.
    let answers: [&[Value]; 3] = [&SMALL, &fresh, &[Value::Null, fresh[0].clone()]];
    let (trouble, _) = looked(&check, Engine::Postgres, &answers);
    assert!(matches!(trouble, Err(Trouble::CannotTell(words)) if words.contains("no number")));
}

/// That no row is bad is true of no rows at all.
#[test]
fn a_table_without_rows_passes_with_a_warning() {
    let check = check("kind = \"missing\"\ntable = \"t\"\ncolumn = \"c\"\nunit = \"percent\"");
    let answer = [number(0.0), number(0.0)];
    let (judgement, _) = looked(&check, Engine::MySql, &[&SMALL, &answer]);
    let judgement = judgement.unwrap();
    assert_eq!(judgement.outcome, CheckOutcome::Passed);
    assert!(judgement.warning.unwrap().contains("at least one row"));
}

#[test]
fn a_sample_shows_bad_rows_and_its_share_fails_nothing() {
    let rows = check("kind = \"missing\"\ntable = \"t\"\ncolumn = \"c\"\nexpect = { max = 100 }");
    let percent = check(
        "kind = \"missing\"\ntable = \"t\"\ncolumn = \"c\"\nunit = \"percent\"\nexpect = { max = 1 }",
    );
    for (check, bad, outcome) in [
        // Of the whole table ten times as many.
        (&rows, 5.0, CheckOutcome::Passed),
        (&rows, 6.0, CheckOutcome::Errored),
        (&rows, 100.0, CheckOutcome::Errored),
        (&rows, 101.0, CheckOutcome::Failed),
        (&percent, 50.0, CheckOutcome::Passed),
        (&percent, 51.0, CheckOutcome::Errored),
        // The oldest rows may all be so.
        (&percent, 10_000.0, CheckOutcome::Errored),
    ] {
        let answer = [number(bad), number(10_000.0)];
        let (judgement, asked) = looked(check, Engine::MySql, &[&large(100_000.0), &answer]);
        let judgement = judgement.unwrap();
        assert_eq!(judgement.outcome, outcome, "{bad}");
        assert!(
            asked[1].contains("(select * from `t` limit 10000) as `t`"),
            "{}",
            asked[1]
        );
        assert!(seen(&judgement.detail).contains("of a sample of 10 percent"));
        let measured: Vec<_> = judgement
            .measured
            .iter()
            .map(|one| (one.name.as_str(), one.number))
            .collect();
        assert_eq!(
            measured,
            [
                ("rows looked at", Some(10_000.0)),
                (SCANNED, Some(100.0)),
                ("sample, percent of the table", Some(10.0)),
            ]
        );
    }
}

#[test]
fn what_is_no_number_is_told() {
    let check = check("kind = \"row_count\"\ntable = \"t\"");
    for answer in [
        vec![],
        vec![Value::Null],
        vec![number(1.0), number(2.0)],
        vec![Value::from_number_text("NaN")],
    ] {
        let (trouble, _) = looked(&check, Engine::Postgres, &[&SMALL, &answer]);
        assert!(matches!(trouble, Err(Trouble::CannotTell(_))), "{answer:?}");
    }
}

#[test]
fn a_frozen_check_comes_back_as_it_was() {
    for lines in [
        "kind = \"row_count\"\ntable = \"t\"\nexpect = { equals = 7 }\ntimeout = \"5m\"",
        "kind = \"freshness\"\ntable = \"a.t\"\ncolumn = \"c\"\nexpect = { max_age = \"15m\" }\ndatabase = \"d\"",
        "kind = \"missing\"\ntable = \"t\"\ncolumn = \"c\"\nunit = \"percent\"\nwarn = { max = 0.5 }\nexpect = { max = 1.5 }",
        "kind = \"duplicate\"\ntable = \"t\"\ncolumns = [\"c\"]",
        "kind = \"failed_rows\"\ntable = \"t\"\ncondition = \"c < 0\"",
        "kind = \"relationships\"\ntable = \"t\"\ncolumns = [\"c\"]\nto = \"o\"\nto_columns = [\"id\"]",
    ] {
        let policy = format!(
            "version = \"1\"\n[[rules]]\nname = \"r\"\nfrequency = \"daily\"\nmatch = {{}}\ncredentials = \"reset\"\n\
             [[rules.checks]]\nname = \"c\"\n{lines}\n"
        );
        let rule = parse(&policy).unwrap().rules.remove(0);
        let frozen = serde_json::to_string(&rule).unwrap();
        let thawed: crate::policy::Rule = serde_json::from_str(&frozen).unwrap();
        assert_eq!(thawed, rule, "{frozen}");
    }
}

#![allow(clippy::unwrap_used)]
//! The reckoning on a history whose figures are reckoned by hand.

use jiff::civil::date;
use serde_json::{Value, json};

use super::*;
use crate::ceiling::Ceiling;
use crate::record::Record;
use crate::validation::Validation;

/// November 2026, to its 29th day.
fn november() -> Period {
    Period {
        from: date(2026, 11, 1),
        to: date(2026, 11, 29),
    }
}

/// A record of a validation that was opened at noon of a day of November 2026, passed and restored; `others` replaces columns.
fn record(id: &str, resource: &str, day: i8, others: Value) -> Value {
    let mut record = json!({
        "format": 1, "validation_id": id, "verdict": "passed", "verdict_reason": format!("why {id}"), "proof": "restored",
        "scenario": "cross_account", "recovery_point_arn": format!("arn:point:{id}"),
        "recovery_point_created": format!("2026-11-{day:02} 11:00:00.000"), "backup_vault_name": "central", "resource_type": "RDS",
        "source_resource_arn": resource, "source_account": "222233334444", "source_class": "db.t4g.micro",
        "restored_class": "db.t4g.micro", "opened_time": format!("2026-11-{day:02} 12:00:00.000"), "restore_job_id": format!("job {id}"),
        "recovery_time_objective": "not_set", "data_age_objective": "not_set", "cleanup": "deleted", "attempts": [{"job": "1"}],
        "checks": [], "findings": [], "usage": [], "verdict_time": format!("2026-11-{day:02} 12:30:00.000"), "later": {"column": 1}
    });
    for (name, value) in others.as_object().unwrap() {
        record[name] = value.clone();
    }
    record
}

fn report_of(period: Period, inventory: Option<Vec<Listed>>, records: &[Value]) -> Report {
    let mut reckoning = Reckoning::new(period, None, inventory);
    for record in records {
        reckoning.read("file", record.to_string().as_bytes());
    }
    reckoning.finish()
}

fn report(records: &[Value]) -> Report {
    report_of(november(), None, records)
}

#[test]
fn every_column_that_is_read_is_one_of_the_records() {
    let mut validation =
        Validation::open("stack", "point", "vault", None, jiff::Timestamp::UNIX_EPOCH);
    validation.verdict = Some(Verdict::NotTested);
    let written = Record::of(&validation, Ceiling::Text).unwrap();
    let line: Line = serde_json::from_str(&written.line()).unwrap();
    let written = serde_json::to_value(&written).unwrap();
    let read = serde_json::to_value(&line).unwrap();
    for (name, value) in read.as_object().unwrap() {
        assert_eq!(written.get(name), Some(value), "{name}");
    }
}

#[test]
fn the_newest_recovery_point_that_was_restored_and_passed_is_named_and_gaps_come_first() {
    let report = report(&[
        record("a1", "orders", 10, json!({ "recovery_time": 7.0 })),
        // Validated later, of an older backup: it proves, but one does not restore from it.
        record(
            "a2",
            "orders",
            20,
            json!({ "recovery_point_created": "2026-11-09 11:00:00.000", "recovery_time": 9.0 }),
        ),
        record(
            "a3",
            "orders",
            28,
            json!({ "verdict": "failed", "checks": [{"name": "fresh", "outcome": "failed", "detail": "old"}] }),
        ),
        record("b1", "billing", 5, json!({})),
        // What was only read proves nothing.
        record("c1", "crm ü 🦀", 27, json!({ "proof": "read" })),
        record(
            "d1",
            "drafts",
            1,
            json!({ "verdict": "not_tested", "proof": null, "restore_job_id": null }),
        ),
    ]);
    let rows: Vec<_> = report
        .resources
        .iter()
        .map(|one| (one.source_resource_arn.as_str(), one.days, one.standing))
        .collect();
    assert_eq!(
        rows,
        [
            ("crm ü 🦀", None, Standing::NeverProved),
            ("drafts", None, Standing::NeverProved),
            ("billing", Some(24), Standing::Proved),
            ("orders", Some(9), Standing::Failing),
        ]
    );
    let orders = &report.resources[3];
    let proof = orders.proof.as_ref().unwrap();
    assert_eq!(
        (proof.validation_id.as_str(), proof.recovery_time),
        ("a1", Some(7.0))
    );
    assert_eq!(
        orders.last_proved.unwrap().to_string(),
        "2026-11-20 12:30:00.000"
    );
    let latest = orders.latest.as_ref().unwrap();
    assert_eq!(
        (
            latest.validation_id.as_str(),
            latest.checks_not_passed.len()
        ),
        ("a3", 1)
    );
    let expected = Coverage {
        resources: 4,
        proved_in_period: 2,
        never_proved: 2,
        share: Some(50.0),
        ..Coverage::default()
    };
    assert_eq!(report.coverage, expected);
    let backwards: Vec<_> = report.resources.iter().map(|one| one.days).collect();
    assert_eq!(backwards, [None, None, Some(24), Some(9)]);
}

#[test]
fn totals_count_what_the_auditors_month_counts() {
    let none = json!({ "proof": null, "restore_job_id": null });
    let with = |verdict: &str| {
        let mut others = none.clone();
        others["verdict"] = json!(verdict);
        others
    };
    let report = report(&[
        record(
            "a",
            "orders",
            1,
            json!({ "recovery_time": 10.0, "recovery_time_objective": "met", "attempts": [{}, {}, {}] }),
        ),
        record(
            "b",
            "orders",
            2,
            json!({ "recovery_time": 20.0, "recovery_time_objective": "missed", "data_age_objective": "missed" }),
        ),
        record(
            "c",
            "orders",
            3,
            json!({ "verdict": "failed", "cleanup": "left_behind" }),
        ),
        record("d", "billing", 4, with("restore_failed")),
        record("e", "billing", 5, with("copy_failed")),
        record("f", "billing", 6, with("inconclusive")),
        record("g", "crm", 7, json!({ "verdict": "unchecked" })),
        record("h", "crm", 8, with("not_tested")),
        // Read: neither a restore nor judged, whether it passed or failed.
        record(
            "i",
            "bucket",
            9,
            json!({ "proof": "read", "resource_type": "S3", "recovery_time": 1.0 }),
        ),
        record(
            "j",
            "bucket",
            10,
            json!({ "proof": "read", "resource_type": "S3", "verdict": "failed" }),
        ),
        // It names no resource.
        record(
            "k",
            "",
            11,
            json!({ "verdict": "copy_failed", "proof": null, "source_resource_arn": null, "resource_type": null }),
        ),
    ]);
    assert_eq!(
        report.totals,
        Totals {
            recovery_points: 11,
            resources: 4,
            restored: 4,
            proved: 2,
            read_without_restore: 2,
            failed: 2,
            restore_failed: 1,
            copy_failed: 2,
            inconclusive: 1,
            unchecked: 1,
            not_tested: 1,
            judged: 4,
            success_rate: Some(50.0),
            average_recovery_time: Some(15.0),
            recovery_time_missed: 1,
            data_age_missed: 1,
            left_behind: 1,
            retried: 1,
        }
    );
    let types: Vec<_> = report
        .by_type
        .iter()
        .map(|one| {
            (
                one.resource_type.as_deref(),
                one.totals.recovery_points,
                one.totals.success_rate,
            )
        })
        .collect();
    assert_eq!(
        types,
        [
            (None, 1, None),
            (Some("RDS"), 8, Some(50.0)),
            (Some("S3"), 2, None)
        ]
    );
    assert_eq!(report.read.without_resource, 1);
    assert_eq!(report.resources.len(), 4);
    let failed: Vec<_> = report
        .failed
        .listed
        .iter()
        .map(|one| one.record.validation_id.as_str())
        .collect();
    assert_eq!(failed, ["k", "j", "e", "d", "c"]);
    let copies: Vec<_> = report
        .copy_failures
        .listed
        .iter()
        .map(|one| one.record.validation_id.as_str())
        .collect();
    assert_eq!(copies, ["k", "e"]);
    assert_eq!(report.left_behind.listed[0].record.validation_id, "c");
}

#[test]
fn percentiles_are_by_nearest_rank() {
    let times = |minutes: &[f64]| {
        let records: Vec<_> = minutes
            .iter()
            .enumerate()
            .map(|(n, minutes)| {
                record(
                    &format!("v{n}"),
                    "orders",
                    1 + (n % 28) as i8,
                    json!({ "recovery_time": minutes }),
                )
            })
            .collect();
        report(&records).recovery_time.unwrap()
    };
    let one = times(&[3.0]);
    assert_eq!((one.median, one.p95, one.longest), (3.0, 3.0, 3.0));
    // The second of four, and the fourth: 4 × 0.95 = 3.8.
    let four = times(&[40.0, 10.0, 30.0, 20.0]);
    assert_eq!(
        (four.average, four.median, four.p95, four.longest),
        (25.0, 20.0, 40.0, 40.0)
    );
    let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
    let hundred = times(&hundred);
    assert_eq!(
        (hundred.median, hundred.p95, hundred.longest),
        (50.0, 95.0, 100.0)
    );
    let huge = times(&[1e308, 1.5e308, 1e308]);
    assert!(huge.average.is_finite() && huge.average > 1e308, "{huge:?}");
}

#[test]
fn another_class_and_targets_stand_beside_the_times() {
    let report = report(&[
        record(
            "a",
            "orders",
            1,
            json!({ "recovery_time": 10.0, "recovery_time_target": 30.0, "restored_class": "db.t4g.large" }),
        ),
        record(
            "b",
            "orders",
            2,
            json!({ "recovery_time": 40.0, "recovery_time_target": 20.0, "recovery_time_objective": "missed" }),
        ),
        record(
            "c",
            "orders",
            3,
            json!({ "recovery_time": 1.0, "source_class": null, "scenario": "cross_region" }),
        ),
        // Neither restored and passed nor measured.
        record(
            "d",
            "orders",
            4,
            json!({ "recovery_time": 99.0, "verdict": "failed" }),
        ),
        record("e", "orders", 5, json!({ "recovery_time": null })),
    ]);
    let times = report.recovery_time.unwrap();
    assert_eq!(
        (
            times.restores,
            times.target,
            times.missed,
            times.other_class
        ),
        (3, Some(30.0), 1, 1)
    );
    let kinds: Vec<_> = report
        .recovery_time_by_type
        .iter()
        .map(|one| (one.scenario.as_deref().unwrap(), one.times.restores))
        .collect();
    assert_eq!(kinds, [("cross_account", 2), ("cross_region", 1)]);
    // The newest proof is of the class that the source has.
    assert!(!report.resources[0].proof.as_ref().unwrap().on_another_class);
}

#[test]
fn data_age_is_that_of_the_backups_whatever_the_verdict() {
    let report = report(&[
        record(
            "b",
            "orders",
            20,
            json!({ "data_age": 9.0, "data_age_target": 8.0, "data_age_objective": "missed" }),
        ),
        record(
            "a",
            "orders",
            1,
            json!({ "data_age": 5.0, "data_age_target": 10.0 }),
        ),
        record(
            "c",
            "orders",
            21,
            json!({ "verdict": "failed", "data_age": 1e300 }),
        ),
        record("d", "orders", 22, json!({})),
    ]);
    let ages = report.resources[0].data_age.as_ref().unwrap();
    assert_eq!((ages.measured, ages.oldest, ages.latest), (3, 1e300, 1e300));
    assert_eq!((ages.target, ages.missed), (Some(10.0), 1));
    assert_eq!(report.data_age.as_ref(), Some(ages));
}

#[test]
fn a_resource_fails_from_the_first_bad_verdict_in_a_row_and_flaps_when_it_changes_twice() {
    let days = |resource: &str, verdicts: &str| -> Vec<Value> {
        let verdicts = verdicts.chars().zip(1..);
        verdicts
            .map(|(letter, day)| {
                let verdict = match letter {
                    '+' => "passed",
                    '-' => "failed",
                    'r' => "restore_failed",
                    _ => "inconclusive",
                };
                record(
                    &format!("{resource}{day}"),
                    resource,
                    day,
                    json!({ "verdict": verdict }),
                )
            })
            .collect()
    };
    let mut records = [
        days("fails", "++-r?"),
        days("flaps", "+-+"),
        days("once", "-+"),
        days("both", "-+?-"),
        days("fine", "?+?+"),
    ]
    .concat();
    // In whatever order they come.
    records.reverse();
    let report = report(&records);
    let failing: Vec<_> = report
        .failing
        .iter()
        .map(|one| {
            (
                one.source_resource_arn.as_str(),
                one.in_a_row,
                one.since.day().day(),
                one.newest.verdict_reason.as_str(),
            )
        })
        .collect();
    assert_eq!(
        failing,
        [("fails", 2, 3, "why fails4"), ("both", 1, 4, "why both4")]
    );
    assert_eq!(report.failing[0].newest.verdict, Verdict::RestoreFailed);
    let flapping: Vec<_> = report
        .flapping
        .iter()
        .map(|one| {
            (
                one.source_resource_arn.as_str(),
                one.changes,
                one.good,
                one.bad,
            )
        })
        .collect();
    assert_eq!(flapping, [("both", 2, 1, 2), ("flaps", 2, 2, 1)]);
}

#[test]
fn the_period_before_is_compared_and_what_is_later_is_left_out() {
    let week = Period {
        from: date(2026, 11, 8),
        to: date(2026, 11, 14),
    };
    let records = [
        record("old", "orders", 1, json!({ "verdict": "failed" })),
        record("edge", "orders", 7, json!({})),
        record("first", "orders", 8, json!({})),
        record("last", "orders", 14, json!({})),
        record(
            "later",
            "orders",
            15,
            json!({ "verdict": "failed", "cleanup": "left_behind" }),
        ),
    ];
    let report = report_of(week, None, &records);
    assert_eq!(
        (report.totals.recovery_points, report.totals.success_rate),
        (2, Some(100.0))
    );
    let before = report.before.as_ref().unwrap();
    assert_eq!(
        (before.period.from, before.period.to),
        (date(2026, 11, 1), date(2026, 11, 7))
    );
    assert_eq!(
        (before.totals.recovery_points, before.totals.success_rate),
        (2, Some(50.0))
    );
    assert!(before.complete);
    assert_eq!((report.read.records, report.read.later), (4, 1));
    assert!(report.left_behind.listed.is_empty());
    // Days are counted to the period's end.
    assert_eq!(report.resources[0].days, Some(0));
    let partial = report_of(week, None, &records[1..]);
    assert!(!partial.before.unwrap().complete);
}

/// The command must ask the stack that the record lies in, and look back as far as the record is old.
#[test]
fn the_command_of_a_runbook_finds_the_record() {
    for (function, words) in [
        (None, "--since 2026-11-10"),
        (Some("rp-two"), "--function rp-two --since 2026-11-10"),
    ] {
        let mut reckoning = Reckoning::new(november(), None, None);
        if let Some(name) = function {
            reckoning.of_function(name);
        }
        for (id, day) in [("a", 3), ("b", 10)] {
            let record = record(id, "orders", day, json!({}));
            reckoning.read("file", record.to_string().as_bytes());
        }
        let report = reckoning.finish();
        let proof = report.resources[0].proof.as_ref().unwrap();
        assert_eq!(
            proof.runbook,
            format!("restore-proof runbook {words} orders")
        );
    }
}

#[test]
fn an_inventory_adds_what_never_landed_and_how_often_is_wanted() {
    let listed = |arn: &str, target_days| Listed {
        arn: arn.to_owned(),
        owner: Some(format!("owner of {arn}")),
        target_days,
    };
    let inventory = vec![
        listed("orders", Some(8)),
        listed("billing", Some(30)),
        listed("ghost", Some(30)),
        listed("new", None),
    ];
    let mut reckoning = Reckoning::new(november(), None, Some(inventory));
    // What is listed is known from the beginning, and once.
    assert_eq!(reckoning.resources(), 4);
    for (id, resource, known) in [
        ("a", "orders", 4),
        ("b", "billing", 4),
        ("c", "unlisted", 5),
    ] {
        let record = record(id, resource, 20, json!({}));
        reckoning.read("file", record.to_string().as_bytes());
        assert_eq!(reckoning.resources(), known);
    }
    let report = reckoning.finish();
    assert_eq!(report.resources.len(), 5);
    let rows: Vec<_> = report
        .resources
        .iter()
        .map(|one| (one.source_resource_arn.as_str(), one.standing, one.overdue))
        .collect();
    assert_eq!(
        rows,
        [
            ("ghost", Standing::NeverLanded, true),
            ("new", Standing::NeverLanded, false),
            ("billing", Standing::Proved, false),
            ("orders", Standing::Stale, true),
            ("unlisted", Standing::Proved, false),
        ]
    );
    assert_eq!(
        report.resources[3].owner.as_deref(),
        Some("owner of orders")
    );
    let coverage = &report.coverage;
    assert_eq!(
        (
            coverage.resources,
            coverage.proved_in_period,
            coverage.never_landed
        ),
        (5, 3, 2)
    );
    assert_eq!(
        (coverage.overdue, coverage.not_listed, coverage.share),
        (2, Some(1), Some(60.0))
    );
}

#[test]
fn what_could_not_be_told_stands_by_kind_with_the_newest_reason() {
    let report = report(&[
        record(
            "a",
            "x",
            3,
            json!({ "verdict": "inconclusive", "fault_class": "permission" }),
        ),
        record(
            "b",
            "x",
            5,
            json!({ "verdict": "inconclusive", "fault_class": "permission" }),
        ),
        record(
            "c",
            "y",
            4,
            json!({ "verdict": "inconclusive", "fault_class": "permission" }),
        ),
        record("d", "z", 1, json!({ "verdict": "not_tested" })),
    ]);
    let rows: Vec<_> = report
        .untold
        .iter()
        .map(|one| {
            (
                one.verdict,
                one.fault_class.as_deref(),
                one.validations,
                one.resources,
                one.newest_reason.as_str(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            (Verdict::Inconclusive, Some("permission"), 3, 2, "why b"),
            (Verdict::NotTested, None, 1, 1, "why d"),
        ]
    );
}

#[test]
fn usage_is_summed_by_class_and_priced_where_a_price_is_known() {
    let used = |minutes: f64| json!([{ "what": "restored_resource", "amount": minutes, "unit": "minutes" }]);
    let report = report(&[
        record(
            "a",
            "x",
            1,
            json!({ "usage": used(30.0), "restored_class": "m5.large", "resource_type": "EC2" }),
        ),
        record(
            "b",
            "x",
            2,
            json!({ "usage": used(90.0), "restored_class": "m5.large", "resource_type": "EC2" }),
        ),
        record(
            "c",
            "y",
            3,
            json!({ "usage": used(60.0), "restored_class": "db.serverless" }),
        ),
    ]);
    let rows: Vec<_> = report
        .usage
        .iter()
        .map(|one| {
            (
                one.restored_class.as_deref().unwrap(),
                one.times,
                one.amount,
                one.estimate,
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("m5.large", 2, 120.0, Some(0.192)),
            ("db.serverless", 1, 60.0, None)
        ]
    );
    assert_eq!(
        (report.cost.estimate, report.cost.without_price),
        (0.192, 1)
    );
}

#[test]
fn what_is_no_record_is_counted_and_named() {
    let good = record("a", "orders", 1, json!({}));
    let later = record("b", "orders", 1, json!({ "verdict": "glorious" }));
    let text = format!("{good}\n\n  \nnot JSON\n{{}}\n{later}\n\u{fffd}\n{good}");
    let mut reckoning = Reckoning::new(november(), None, None);
    let mut bytes = text.into_bytes();
    bytes.extend(b"\n\xff\xfe{\n");
    reckoning.read("dt=2026-11-01/x.json", &bytes);
    let report = reckoning.finish();
    assert_eq!((report.read.records, report.read.unreadable), (2, 5));
    let places = &report.read.unreadable_places;
    assert!(
        places[0].starts_with("dt=2026-11-01/x.json, line 4: "),
        "{places:?}"
    );
    assert!(places[2].contains("glorious"), "{places:?}");
}

#[test]
fn no_list_grows_without_an_end() {
    let records: Vec<_> = (0..LONGEST_LIST + 5)
        .map(|n| record(&format!("v{n:05}"), &format!("r{n}"), 1, json!({ "verdict": "failed", "cleanup": "left_behind", "verdict_reason": "é".repeat(5000) })))
        .collect();
    let report = report(&records);
    assert_eq!(
        (report.failed.count, report.failed.listed.len()),
        (1005, LONGEST_LIST)
    );
    assert_eq!(report.failed.listed[0].record.validation_id, "v01004");
    // The oldest are what costs most.
    assert_eq!(report.left_behind.listed[0].record.validation_id, "v00000");
    assert_eq!(
        report.failed.listed[0]
            .record
            .verdict_reason
            .chars()
            .count(),
        LONGEST_TEXT + 1
    );
}

#[test]
fn nothing_is_reported_of_nothing() {
    let report = report(&[]);
    assert_eq!(report.totals, Totals::default());
    assert_eq!(
        (report.recovery_time, report.before, report.coverage.share),
        (None, None, None)
    );
}

#[test]
fn an_inventory_that_could_not_be_used_is_told_of() {
    let mut reckoning = Reckoning::new(november(), None, None);
    reckoning.without_inventory("line 2: the ARN is missing");
    let report = reckoning.finish();
    assert_eq!(
        report.read.inventory_error.as_deref(),
        Some("line 2: the ARN is missing")
    );
    assert_eq!(report.coverage.not_listed, None);
}

/// Over the ends of months and years, as far back as the period before begins and 90 days at least.
#[test]
fn what_is_read_of_a_bucket_begins_before_the_period() {
    let looked = |days, to: Date| Period::last(days, to).unwrap().looked_from();
    assert_eq!(looked(1, date(2027, 1, 1)), date(2026, 10, 4));
    assert_eq!(looked(7, date(2026, 11, 28)), date(2026, 8, 31));
    assert_eq!(looked(45, date(2026, 11, 29)), date(2026, 9, 1));
    assert_eq!(looked(46, date(2026, 11, 29)), date(2026, 8, 30));
    assert_eq!(looked(366, date(2026, 12, 31)), date(2024, 12, 30));

    let keys = RecordKeys::of(date(2026, 12, 31), date(2026, 12, 31));
    let lies_in = |key: &str| {
        key.starts_with(keys.prefix) && keys.after.as_str() < key && key < keys.end.as_str()
    };
    assert!(lies_in("records/dt=2026-12-31/0.json"));
    assert!(lies_in("records/dt=2026-12-31/~.json"));
    assert!(!lies_in("records/dt=2026-12-30/~.json"));
    assert!(!lies_in("records/dt=2027-01-01/0.json"));
    let opened = "2026-12-31T23:59:59Z".parse().unwrap();
    let validation = Validation::open("stack", "point", "vault", None, opened);
    assert!(lies_in(&validation.record_key()));
    assert!(RecordKeys::of(Date::MAX, Date::MAX).end > format!("records/dt={}/x", Date::MAX));
}

#[test]
fn periods_are_of_whole_days() {
    let last = Period::last(30, date(2026, 11, 29)).unwrap();
    assert_eq!((last.from, last.days()), (date(2026, 10, 31), 30));
    let before = last.before().unwrap();
    assert_eq!(
        (before.from, before.to),
        (date(2026, 10, 1), date(2026, 10, 30))
    );
    assert_eq!(Period::last(1, last.to).unwrap().days(), 1);
    assert_eq!(Period::last(u32::MAX, last.to), None);
}

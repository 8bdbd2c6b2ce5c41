//! The message people get: a subject and a body that is read at a glance.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::SignedDuration;

use crate::policy::{Notify, readable_duration};
use crate::record::Record;
use crate::validation::{Cleanup, Validation};
use crate::verdict::Verdict;

/// The longest message SNS takes, bytes (SNS `Publish`).
pub const LONGEST_BODY: usize = 262_144;
/// The longest subject SNS takes is 100 characters, exclusive (SNS `Publish`).
const LONGEST_SUBJECT: usize = 99;

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// ASCII in one line, under 100 characters.
    pub subject: String,
    /// At most [`LONGEST_BODY`] bytes.
    pub body: String,
    /// For subscription filters.
    pub attributes: BTreeMap<&'static str, String>,
}

/// Whether people are to hear of the verdict. What the policy chose not to test is in the records alone: it would
/// drown the rest.
pub fn is_wanted(validation: &Validation) -> bool {
    let notify = validation
        .rule
        .as_ref()
        .map_or(Notify::Always, |rule| rule.notify);
    match (validation.verdict, notify) {
        (None | Some(Verdict::NotTested), _) | (_, Notify::Never) => false,
        (_, Notify::Always) => true,
        (Some(verdict), Notify::Problems) => {
            verdict != Verdict::Passed || missed_objective(validation)
        }
    }
}

fn missed_objective(validation: &Validation) -> bool {
    Record::of(validation).is_some_and(|record| {
        [record.recovery_time_objective, record.data_age_objective].contains(&Some("missed"))
    })
}

/// The message about the verdict.
pub fn of_verdict(validation: &Validation, record: &Record, records_uri: &str) -> Message {
    let word = match validation.verdict {
        Some(Verdict::Passed) => "PASSED",
        Some(Verdict::Failed) => "FAILED",
        Some(Verdict::Inconclusive) => "INCONCLUSIVE",
        Some(Verdict::Unchecked) => "UNCHECKED",
        Some(Verdict::RestoreFailed) => "RESTORE FAILED",
        Some(Verdict::CopyFailed) => "COPY FAILED",
        Some(Verdict::NotTested) | None => "NOT TESTED",
    };
    let source = source_name(record);
    let about = match validation.verdict {
        Some(Verdict::Passed) if missed_objective(validation) => {
            format!("backup of {source} is good, objective missed")
        }
        Some(Verdict::Passed) => format!("backup of {source} restores and holds its data"),
        Some(Verdict::Failed) => format!("backup of {source} restores with wrong data"),
        Some(Verdict::Inconclusive) => format!("backup of {source} could not be judged"),
        Some(Verdict::Unchecked) => format!("backup of {source} restores, nothing checked"),
        Some(Verdict::RestoreFailed) => format!("backup of {source} does not restore"),
        Some(Verdict::CopyFailed) => format!("backup of {source} was not copied"),
        Some(Verdict::NotTested) | None => format!("backup of {source}"),
    };
    Message {
        subject: subject(&format!("{word}: {about}")),
        body: capped(body(
            record,
            &format!("{word}: {}", record.verdict_reason),
            records_uri,
        )),
        attributes: attributes(record, "verdict"),
    }
}

/// The message about a resource that was left behind.
pub fn of_left_behind(record: &Record, records_uri: &str) -> Message {
    let name = record
        .restored_instance_id
        .as_deref()
        .unwrap_or("a restored resource");
    let reason = record
        .cleanup_reason
        .as_deref()
        .unwrap_or("the reason is not known");
    let headline = format!(
        "LEFT BEHIND: {name} still exists: {reason}\nIt costs money and holds production data. Deletion is tried again daily."
    );
    Message {
        subject: subject(&format!("LEFT BEHIND: {name} of {}", source_name(record))),
        body: capped(body(record, &headline, records_uri)),
        attributes: attributes(record, "left_behind"),
    }
}

fn source_name(record: &Record) -> String {
    let arn = record
        .source_resource_arn
        .as_deref()
        .unwrap_or(&record.recovery_point_arn);
    arn.parse().map_or_else(
        |_| arn.to_owned(),
        |arn: crate::arn::Arn| arn.name().to_owned(),
    )
}

fn subject(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .take(LONGEST_SUBJECT)
        .collect()
}

fn capped(mut body: String) -> String {
    const CUT: &str = "\n… cut: too long for a message; the record has it all\n";
    if body.len() > LONGEST_BODY {
        let mut end = LONGEST_BODY - CUT.len();
        while !body.is_char_boundary(end) {
            end -= 1;
        }
        body.truncate(end);
        body.push_str(CUT);
    }
    body
}

fn attributes(record: &Record, kind: &str) -> BTreeMap<&'static str, String> {
    let given = [
        ("kind", Some(kind.to_owned())),
        ("verdict", Some(record.verdict.to_owned())),
        (
            "recovery_time_objective",
            record.recovery_time_objective.map(str::to_owned),
        ),
        (
            "data_age_objective",
            record.data_age_objective.map(str::to_owned),
        ),
        ("cleanup", Some(record.cleanup.to_owned())),
        ("resource_type", record.resource_type.clone()),
        ("rule", record.policy_rule.clone()),
        ("source_account", record.source_account.clone()),
    ];
    // SNS refuses empty attribute values.
    given
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?)))
        .collect()
}

fn body(record: &Record, headline: &str, records_uri: &str) -> String {
    let mut out = format!("{headline}\n\n");
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<16}{value}");
    };
    line(
        "source",
        record.source_resource_arn.as_deref().unwrap_or("not known"),
    );
    if let Some(created) = &record.recovery_point_created {
        line("backed up", &format!("{created} UTC"));
    }
    line("recovery point", &record.recovery_point_arn);
    line("vault", &record.backup_vault_name);
    let objective = |measured: Option<f64>, target: Option<f64>, objective: Option<&str>| {
        let measured = measured.map_or("not measured".to_owned(), readable_minutes);
        match (target, objective) {
            (Some(target), Some(word)) => {
                format!("{measured}, target {}: {word}", readable_minutes(target))
            }
            (Some(target), None) => format!("{measured}, target {}", readable_minutes(target)),
            _ => measured,
        }
    };
    if record.restore_job_id.is_some() {
        line(
            "recovery time",
            &objective(
                record.recovery_time,
                record.recovery_time_target,
                record.recovery_time_objective,
            ),
        );
        line(
            "data age",
            &objective(
                record.data_age,
                record.data_age_target,
                record.data_age_objective,
            ),
        );
    }
    let cleanup = match (
        &record.cleanup_reason,
        &record.kept_until,
        &record.restored_instance_id,
    ) {
        (_, Some(until), Some(name)) if record.cleanup == Cleanup::KeptUntil.as_str() => {
            format!("{name} is kept until {until} UTC")
        }
        (Some(reason), _, _) => format!("{}: {reason}", record.cleanup.replace('_', " ")),
        (None, _, Some(name)) if record.cleanup == Cleanup::Pending.as_str() => {
            format!("{name} is deleted next")
        }
        _ => record.cleanup.replace('_', " "),
    };
    line("cleanup", &cleanup);
    if !record.checks.is_empty() {
        out.push_str("\nchecks\n");
        for check in &record.checks {
            let mark = match check.outcome {
                "passed" => "ok     ",
                "failed" => "FAILED ",
                _ => "ERRORED",
            };
            let _ = writeln!(
                out,
                "  {mark}  {}: {} (expected: {})",
                check.name, check.detail, check.expectation
            );
        }
    }
    if !record.findings.is_empty() {
        out.push_str("\nnoticed\n");
        for finding in &record.findings {
            let _ = writeln!(out, "  - {finding}");
        }
    }
    out.push('\n');
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<16}{value}");
    };
    if let Some(rule) = &record.policy_rule {
        line("policy rule", rule);
    }
    line(
        "validation",
        &format!("{}, attempt {}", record.validation_id, record.attempt),
    );
    line("record", records_uri);
    out
}

fn readable_minutes(minutes: f64) -> String {
    readable_duration(SignedDuration::from_secs((minutes * 60.0).round() as i64))
}

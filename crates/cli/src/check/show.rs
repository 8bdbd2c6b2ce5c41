//! What became of the checks, for people and for programs.

use std::fmt::Write as _;

use restore_proof_core::expectation::CheckOutcome;
use restore_proof_core::validation::CheckResult;
use restore_proof_core::verdict::Verdict;
use serde_json::{Value, json};

use super::{Became, Report, SHOWN, word};
use crate::output::{
    self, BLUE, BOLD, Cell, DIM, GREEN, RED, YELLOW, cell, count, printable, table, took,
};

/// Prints it.
pub(super) fn print(report: &Report, json: bool) -> std::io::Result<()> {
    if json {
        output::say_json(&document(report))
    } else {
        output::say(&text(report))
    }
}

fn text(report: &Report) -> String {
    let mut out = format!(
        "{BOLD}{}{BOLD:#} on {}\n\n",
        printable(&report.rule),
        printable(&report.target)
    );
    let heading = |text: &str| Cell(BLUE, text.to_owned());
    let mut rows = vec![
        ["check", "kind", "outcome", "value", "expected", "took"]
            .map(heading)
            .into(),
    ];
    for became in &report.became {
        rows.push(match became {
            Became::Skipped(check, _) => vec![
                cell(check.name.clone()),
                cell(check.kind.name()),
                Cell(YELLOW, "skipped".to_owned()),
            ],
            Became::Ran(result) => vec![
                cell(result.name.clone()),
                cell(result.kind.clone()),
                Cell(style(result.outcome), result.outcome.to_string()),
                cell(result.value.clone().unwrap_or_else(|| "–".to_owned())),
                cell(result.expectation.clone()),
                Cell(DIM, took(result.duration_minutes)),
            ],
        });
    }
    if report.became.is_empty() {
        let _ = writeln!(out, "  The rule has no checks.");
    } else {
        out += &table(2, &rows);
    }
    out.push('\n');
    for became in &report.became {
        let (style, name, why) = match became {
            Became::Skipped(check, why) => (YELLOW, &check.name, (*why).to_owned()),
            Became::Ran(result) if result.outcome != CheckOutcome::Passed => {
                (style(result.outcome), &result.name, result.detail.at(SHOWN))
            }
            Became::Ran(_) => continue,
        };
        let _ = writeln!(
            out,
            "  {style}{}:{style:#} {}",
            printable(name),
            printable(&why)
        );
    }
    for note in &report.notes {
        let _ = writeln!(out, "  {DIM}note:{DIM:#} {}", printable(note));
    }
    let style = match report.verdict {
        Verdict::Passed => GREEN,
        Verdict::Failed => RED,
        _ => YELLOW,
    };
    if !out.ends_with("\n\n") {
        out.push('\n');
    }
    let skipped = skipped(report);
    let skipped = match skipped {
        0 => String::new(),
        _ => format!("; {} skipped", count(skipped, "check")),
    };
    let _ = writeln!(
        out,
        "{style}{}:{style:#} {}{skipped}",
        report.verdict.as_str(),
        // What went wrong stands above.
        printable(
            report
                .reason
                .at(SHOWN)
                .split("; ")
                .next()
                .unwrap_or_default()
        )
    );
    out
}

fn skipped(report: &Report) -> usize {
    let skipped = |became: &&Became| matches!(became, Became::Skipped(..));
    report.became.iter().filter(skipped).count()
}

fn style(outcome: CheckOutcome) -> clap::builder::styling::Style {
    match outcome {
        CheckOutcome::Passed => GREEN,
        CheckOutcome::Failed => RED,
        CheckOutcome::Errored => YELLOW,
    }
}

/// A result with the words as they are read.
fn shown(result: &CheckResult) -> Value {
    let measured: Vec<_> = result
        .measured
        .iter()
        .map(|one| {
            let text = one.text.as_ref().map(|text| text.at(SHOWN));
            json!({ "name": one.name, "number": one.number, "text": text })
        })
        .collect();
    json!({
        "name": result.name,
        "kind": result.kind,
        "outcome": result.outcome.as_str(),
        "value": result.value,
        "value_number": result.value_number,
        "expectation": result.expectation,
        "detail": result.detail.at(SHOWN),
        "duration_minutes": result.duration_minutes,
        "age_at_backup_minutes": result.age_at_backup_minutes,
        "age_against_now_minutes": result.age_against_now_minutes,
        "measured": measured,
        "group": result.group,
    })
}

fn document(report: &Report) -> Value {
    let checks: Vec<_> = report
        .became
        .iter()
        .map(|became| match became {
            Became::Skipped(check, why) => json!({
                "name": check.name,
                "kind": check.kind.name(),
                "outcome": "skipped",
                "detail": why,
            }),
            Became::Ran(result) => shown(result),
        })
        .collect();
    json!({
        "rule": report.rule,
        "target": report.target,
        "tls": word(report.tls),
        "backed_up_at": report.backed_up_at.to_string(),
        "verdict": report.verdict.as_str(),
        "reason": report.reason.at(SHOWN),
        "checks": checks,
        "notes": report.notes,
    })
}

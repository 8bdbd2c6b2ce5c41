//! What became of the checks, for people and for programs.

use std::fmt::Write as _;

use restore_proof_core::expectation::CheckOutcome;
use restore_proof_core::verdict::Verdict;
use serde_json::{Value, json};

use super::{Became, Report, word};
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
            Became::Skipped(check, why) => (YELLOW, &check.name, *why),
            Became::Ran(result) if result.outcome != CheckOutcome::Passed => {
                (style(result.outcome), &result.name, result.detail.as_str())
            }
            Became::Ran(_) => continue,
        };
        let _ = writeln!(
            out,
            "  {style}{}:{style:#} {}",
            printable(name),
            printable(why)
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
        printable(report.reason.split("; ").next().unwrap_or_default())
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
            Became::Ran(result) => json!(result),
        })
        .collect();
    json!({
        "rule": report.rule,
        "target": report.target,
        "tls": word(report.tls),
        "backed_up_at": report.backed_up_at.to_string(),
        "verdict": report.verdict.as_str(),
        "reason": report.reason,
        "checks": checks,
        "notes": report.notes,
    })
}

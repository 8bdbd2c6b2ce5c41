//! The report as JUnit's XML, which build servers show: a test case for each resource.

use askama::Template;
use restore_proof_core::report::{Report, Resource, Standing};
use restore_proof_core::verdict::Verdict;

use crate::words::one_line;

#[derive(Template)]
#[template(path = "report.xml")]
struct Suite {
    title: String,
    cases: Vec<Case>,
    failures: usize,
    errors: usize,
    skipped: usize,
}

struct Case {
    class: String,
    name: String,
    seconds: Option<String>,
    end: End,
}

/// How a case ends: its kind and why.
enum End {
    Passed,
    Failed(&'static str, String),
    Errored(&'static str, String),
    Skipped(String),
}

/// The suite.
pub(super) fn shown(report: &Report, title: &str) -> String {
    let cases: Vec<Case> = report.resources.iter().map(case).collect();
    let count = |is: fn(&End) -> bool| cases.iter().filter(|case| is(&case.end)).count();
    let suite = Suite {
        title: title.to_owned(),
        failures: count(|end| matches!(end, End::Failed(..))),
        errors: count(|end| matches!(end, End::Errored(..))),
        skipped: count(|end| matches!(end, End::Skipped(..))),
        cases,
    };
    suite.render().expect("a template is written to memory")
}

fn case(one: &Resource) -> Case {
    let proof = one.proof.as_ref();
    Case {
        class: xml(one.resource_type.as_deref().unwrap_or("unknown")),
        name: xml(&one.source_resource_arn),
        seconds: proof
            .and_then(|proof| proof.recovery_time)
            .map(|minutes| format!("{:.3}", minutes * 60.0)),
        end: end(one),
    }
}

fn end(one: &Resource) -> End {
    let Some(latest) = &one.latest else {
        let words = "the inventory names it, and nothing of it ever landed";
        return End::Failed("never_landed", words.to_owned());
    };
    let why = xml(&latest.verdict_reason);
    let verdict = latest.verdict.as_str();
    // What was told before the period is no news of it.
    let said = match (one.validations, latest.verdict) {
        (0, _) => End::Skipped("no validation in this period".to_owned()),
        (_, Verdict::Failed | Verdict::RestoreFailed | Verdict::CopyFailed) => {
            End::Failed(verdict, why)
        }
        (_, Verdict::Inconclusive) => End::Errored(verdict, why),
        (_, Verdict::Unchecked | Verdict::NotTested) => End::Skipped(format!("{verdict}: {why}")),
        (_, Verdict::Passed) if latest.proof.as_deref() != Some("restored") => {
            End::Skipped("only read where it lies, not restored".to_owned())
        }
        (_, Verdict::Passed) => End::Passed,
    };
    match (said, one.standing) {
        (End::Passed | End::Skipped(_), Standing::Failing) => End::Failed(
            "failing",
            "the newest telling verdict speaks against the backup".to_owned(),
        ),
        (End::Passed | End::Skipped(_), _) if one.overdue => End::Failed(
            "overdue",
            "not proved for longer than the inventory wants".to_owned(),
        ),
        (said, _) => said,
    }
}

/// A text without the characters that XML 1.0 has not; markup is escaped by the template.
fn xml(text: &str) -> String {
    one_line(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

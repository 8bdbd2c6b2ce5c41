//! A report in the forms that people read: words and tables once ([`Outline`]), shown as a page, Markdown or JUnit's XML;
//! and the report itself as JSON.
//! What a report says is reckoned in `restore_proof_core::report`; nothing is decided here, and there is no I/O.

mod chart;
mod html;
mod junit;
mod markdown;
mod outline;
mod runbook;
pub mod words;

use restore_proof_core::report::Report;
use restore_proof_core::runbook::ProvedRecord;

pub use outline::{Cell, Column, Figure, Outline, Row, Section, Tone};

/// The report as one page that needs nothing else.
pub fn page(report: &Report) -> String {
    html::shown(report, &Outline::of(report))
}

/// The report as one JSON document.
pub fn json(report: &Report) -> String {
    let mut text =
        serde_json::to_string_pretty(report).expect("text, numbers and lists are always JSON");
    text.push('\n');
    text
}

/// The report as Markdown.
pub fn markdown(report: &Report) -> String {
    markdown::shown(&Outline::of(report))
}

/// The report as JUnit's XML.
pub fn junit(report: &Report) -> String {
    junit::shown(report, &Outline::of(report).title)
}

/// The runbook of a restore that passed, as Markdown.
pub fn runbook(record: &ProvedRecord) -> String {
    runbook::shown(record)
}

//! `restore-proof policy check`: a policy's mistakes like a compiler's, or what the policy does.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use restore_proof_core::check::estimate::Estimate;
use restore_proof_core::policy::{self, CheckKind, Mistakes, Policy};
use serde_json::{Value, json};

use super::{mistakes, words};
use crate::exit;
use crate::output::{BLUE, BOLD, GREEN, RED, YELLOW, count, printable, say, say_json, warn};

/// What became of one file.
enum Looked {
    Good(Policy),
    Wrong(Mistakes),
    Unreadable(String),
}

/// Checks policy files: mistakes go to standard error, what good policies do to standard output.
///
/// # Errors
/// When the output cannot be written. Files that cannot be read are told, and count in the exit code.
pub(crate) fn run(files: &[PathBuf], json: bool) -> anyhow::Result<ExitCode> {
    let (mut found, mut wrong, mut unreadable) = (0, 0, 0);
    let mut documents = Vec::new();
    for file in files {
        let name = super::name(file);
        let (text, looked) = match super::read(file) {
            Err(error) => (String::new(), Looked::Unreadable(error)),
            Ok(text) => match policy::parse(&text) {
                Ok(policy) => (text, Looked::Good(policy)),
                Err(mistakes) => (text, Looked::Wrong(mistakes)),
            },
        };
        match &looked {
            Looked::Good(_) => {}
            Looked::Unreadable(_) => unreadable += 1,
            Looked::Wrong(mistakes) => {
                found += mistakes.0.len();
                wrong += 1;
            }
        }
        if json {
            documents.push(document(&name, &looked)?);
            continue;
        }
        match &looked {
            Looked::Good(policy) => {
                say(&describe(&name, policy))?;
                for warning in warnings(policy) {
                    warn(&format!(
                        "{YELLOW}warning:{YELLOW:#} {}\n",
                        printable(&warning)
                    ))?;
                }
            }
            Looked::Wrong(mistakes) => warn(&mistakes::told(&name, &text, mistakes))?,
            Looked::Unreadable(error) => warn(&format!(
                "{RED}error:{RED:#} cannot read {BOLD}{name}{BOLD:#}: {error}\n"
            ))?,
        }
    }
    if json {
        say_json(&json!({ "files": documents, "mistakes": found, "unreadable": unreadable }))?;
    } else if found > 0 {
        let sum = match wrong {
            1 => count(found, "mistake"),
            _ => format!("{} in {}", count(found, "mistake"), count(wrong, "file")),
        };
        warn(&format!("{RED}{sum}{RED:#}\n"))?;
    }
    Ok(ExitCode::from(match (unreadable, found) {
        (0, 0) => exit::FINE,
        (0, _) => exit::BAD_NEWS,
        _ => exit::USAGE,
    }))
}

/// One file for programs. Durations are seconds, sizes are bytes.
fn document(name: &str, looked: &Looked) -> anyhow::Result<Value> {
    Ok(match looked {
        Looked::Good(policy) => json!({
            "file": name,
            "ok": true,
            "version": policy.version,
            "sha256": policy.fingerprint,
            "limits": serde_json::to_value(&policy.limits)?,
            "rules": serde_json::to_value(&policy.rules)?,
            "mistakes": [],
            "warnings": warnings(policy),
        }),
        Looked::Wrong(mistakes) => {
            let mistakes: Vec<_> = mistakes
                .0
                .iter()
                .map(|mistake| {
                    json!({
                        "line": mistake.line,
                        "column": mistake.column,
                        "width": mistake.width,
                        "place": mistake.place,
                        "message": mistake.message,
                    })
                })
                .collect();
            json!({ "file": name, "ok": false, "mistakes": mistakes })
        }
        Looked::Unreadable(error) => json!({ "file": name, "ok": false, "error": error }),
    })
}

/// What is no mistake and probably not meant.
fn warnings(policy: &Policy) -> Vec<String> {
    let mut warnings = Vec::new();
    for rule in &policy.rules {
        for check in &rule.checks {
            if let CheckKind::Sql(sql) = &check.kind
                && let Some(estimate) = Estimate::of(&sql.query)
            {
                warnings.push(format!(
                    "rule {:?}, check {:?}: {estimate}",
                    rule.name, check.name
                ));
            }
        }
    }
    warnings
}

/// What a policy does, rule by rule.
fn describe(file: &str, policy: &Policy) -> String {
    let mut out = format!(
        "{BOLD}{file}{BOLD:#}: {GREEN}no mistakes{GREEN:#}. Version {:?}, {}, SHA-256 {}\n",
        policy.version,
        count(policy.rules.len(), "rule"),
        policy.fingerprint
    );
    let limits = words::limits(&policy.limits);
    if !limits.is_empty() {
        let _ = write!(out, "\n{BOLD}Limits{BOLD:#}\n");
        out.push_str(&lines(limits));
    }
    for (index, rule) in policy.rules.iter().enumerate() {
        let _ = write!(
            out,
            "\n{BOLD}{}. {}{BOLD:#}\n",
            index + 1,
            printable(&rule.name)
        );
        out.push_str(&lines(words::facts(rule)));
    }
    out.push_str("\nThe first rule that matches decides; what no rule matches is not restored.\n");
    out
}

fn lines(facts: Vec<(&'static str, String)>) -> String {
    facts
        .into_iter()
        .map(|(label, text)| format!("   {BLUE}{label:<12}{BLUE:#} {text}\n"))
        .collect()
}

//! `restore-proof policy`: what works on policy files.

pub(crate) mod check;
pub(crate) mod explain;
mod mistakes;
pub(crate) mod schema;
pub(crate) mod words;

use std::path::Path;

use restore_proof_core::policy::{self, Policy, Rule};

use crate::exit::Problem;
use crate::output;

/// Reads a file of text; `-` is standard input.
///
/// # Errors
/// Why it cannot be read, in words.
pub(crate) fn read(file: &Path) -> Result<String, String> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let bytes = bytes.map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "it is not UTF-8 text (byte {} is not)",
            error.utf8_error().valid_up_to() + 1
        )
    })
}

/// A file's name for people.
pub(crate) fn name(file: &Path) -> String {
    output::printable(&file.display().to_string())
}

/// Reads a policy that must be without mistakes; those it has go to standard error.
///
/// # Errors
/// When it cannot be read or has mistakes.
pub(crate) fn load(file: &Path) -> anyhow::Result<Policy> {
    let name = name(file);
    let text = read(file)
        .map_err(|error| Problem::usage(format!("cannot read the policy {name}: {error}")))?;
    Ok(match policy::parse(&text) {
        Ok(policy) => policy,
        Err(found) => {
            output::warn(&mistakes::told(&name, &text, &found))?;
            let count = output::count(found.0.len(), "mistake");
            let help = format!(
                "`restore-proof policy check {name}` shows them; nothing is restored by such a policy"
            );
            return Err(Problem::usage(format!("the policy {name} has {count}"))
                .help(help)
                .into());
        }
    })
}

/// The rule of this name.
///
/// # Errors
/// When the policy has none; the message names those it has.
pub(crate) fn rule<'p>(policy: &'p Policy, name: &str) -> Result<&'p Rule, Problem> {
    policy
        .rules
        .iter()
        .find(|rule| rule.name == name)
        .ok_or_else(|| {
            let names: Vec<_> = policy
                .rules
                .iter()
                .map(|rule| format!("{:?}", rule.name))
                .collect();
            Problem::usage(format!("the policy has no rule {name:?}"))
                .help(format!("its rules are {}", names.join(", ")))
        })
}

//! `restore-proof policy schema`: the JSON Schema of policy files, for editors.

use std::process::ExitCode;

use restore_proof_core::policy;

use crate::output;

/// Prints the schema.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    output::say_json(&policy::schema())?;
    Ok(ExitCode::SUCCESS)
}

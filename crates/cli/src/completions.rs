//! `restore-proof completions`: what a shell needs to complete commands and options.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::output;

/// Prints the completions of a shell.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut crate::Cli::command(),
        "restore-proof",
        &mut script,
    );
    output::print(io::stdout(), &String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

//! `restore-proof`: the demo on one machine, and the tools around a policy.

mod demo;
mod policy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Restores every backup that lands, checks what is in it, and proves it.
#[derive(Debug, Parser)]
#[command(name = "restore-proof", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays the whole path on this machine: copies land, are restored, checked and recorded
    Demo(demo::Args),
    /// Works on policy files
    #[command(subcommand)]
    Policy(PolicyCommand),
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Finds every mistake in policy files, or says what they do
    ///
    /// Exit code: 0 no mistakes, 1 mistakes, 2 a file that cannot be read.
    Check {
        /// Policy files (TOML)
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(args) => demo::run(args),
        Command::Policy(PolicyCommand::Check { files }) => policy::check(&files),
    };
    done.unwrap_or_else(|error| {
        // Nothing is left to do when standard error is gone too.
        let _ = policy::print(anstream::stderr(), &format!("error: {error:#}\n"));
        ExitCode::FAILURE
    })
}

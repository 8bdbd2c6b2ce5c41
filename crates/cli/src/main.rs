//! `restore-proof`: the demo on one machine, and the tools around a policy.

mod aws;
mod check;
mod completions;
mod demo;
mod doctor;
mod exit;
mod operate;
mod output;
mod policy;
mod report;
mod runbook;
mod source;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use exit::Problem;
use output::{BLUE, RED};

/// Restores every backup that lands, checks what is in it, and proves it.
#[derive(Debug, Parser)]
#[command(name = "restore-proof", version, after_help = exit::CODES)]
struct Cli {
    /// Print one JSON document (with --watch: one for each change, a line each) and nothing else
    #[arg(long, global = true)]
    json: bool,
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
    /// Runs a rule's checks against any database or site, as the function would
    Check(check::Args),
    /// Asks the deployed function to validate a recovery point now
    Validate(validate::Args),
    /// Shows how the deployed function's work gets on: pause, slots, who waits, what is open
    Status(operate::StatusArgs),
    /// Lets the deployed function begin no restore until `resume`; what runs is checked and deleted as ever
    Pause(operate::PauseArgs),
    /// Lets the deployed function begin restores again, those that waited first
    Resume(operate::Args),
    /// Examines the deployed stack: what would keep a validation from working, and what mends it
    Doctor(doctor::Args),
    /// Says over a period what is proved and what is not: recovery times, coverage, failures, trend, cost
    Report(report::Args),
    /// Writes how the last proven restore of a resource is done by hand, as Markdown, from its record
    Runbook(runbook::Args),
    /// Prints what a shell needs to complete commands and options
    ///
    /// For example: restore-proof completions bash > /etc/bash_completion.d/restore-proof
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Finds every mistake in policy files, or says what they do
    ///
    /// Exit code: 0 no mistakes, 1 mistakes, 2 a file that cannot be read.
    Check {
        /// Policy files (TOML); `-` is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Says what a policy makes of an event: which rule decides and why, what is restored how, what is checked
    Explain(Box<policy::explain::Args>),
    /// Prints the JSON Schema of policy files, for editors
    Schema,
}

fn main() -> ExitCode {
    let Cli { json, command } = Cli::parse();
    run(command, json).unwrap_or_else(|error| {
        let problem = error.downcast_ref::<Problem>();
        let code = problem.map_or(exit::BAD_NEWS, |problem| problem.code);
        let help = problem.and_then(|problem| problem.help.as_deref());
        let what = output::printable(&format!("{error:#}"));
        let more = help.map_or_else(String::new, |help| {
            format!("  {BLUE}help:{BLUE:#} {}\n", output::printable(help))
        });
        // Nothing is left to do when standard error is gone too.
        let _ = output::warn(&format!("{RED}error:{RED:#} {what}\n{more}"));
        if json {
            let document =
                serde_json::json!({ "error": format!("{error:#}"), "help": help, "exit_code": code });
            let _ = output::say_json(&document);
        }
        ExitCode::from(code)
    })
}

fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
    match command {
        Command::Completions { .. } if json => {
            Err(Problem::usage("--json does not go with this command")
                .help("completions are for a shell")
                .into())
        }
        Command::Demo(args) => demo::run(&args, json),
        Command::Policy(PolicyCommand::Check { files }) => policy::check::run(&files, json),
        Command::Policy(PolicyCommand::Explain(args)) => policy::explain::run(&args, json),
        Command::Policy(PolicyCommand::Schema) => policy::schema::run(),
        Command::Check(args) => check::run(&args, json),
        Command::Validate(args) => validate::run(&args, json),
        Command::Status(args) => operate::status(&args, json),
        Command::Pause(args) => operate::pause(&args, json),
        Command::Resume(args) => operate::resume(&args, json),
        Command::Doctor(args) => doctor::run(&args, json),
        Command::Report(args) => report::run(&args, json),
        Command::Runbook(args) => runbook::run(&args, json),
        Command::Completions { shell } => completions::run(shell),
    }
}

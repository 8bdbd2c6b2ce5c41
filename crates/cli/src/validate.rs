//! `restore-proof validate`: asks the deployed function to validate a recovery point, and watches it.

mod watch;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use restore_proof_core::policy::parse_duration;
use serde_json::{Value, json};

use crate::aws::{self, Function};
use crate::exit::{self, Problem};
use crate::output::{self, BLUE, Cell, GREEN, RED, YELLOW, cell, paint, printable, table};

/// Options of `validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES, after_long_help = long_help())]
pub(crate) struct Args {
    /// ARN of the recovery point
    #[arg(value_name = "RECOVERY_POINT_ARN")]
    recovery_point_arn: String,
    /// Name of the vault it lies in
    #[arg(long, value_name = "NAME")]
    vault: String,
    /// Name or ARN of the function: the stack's parameter NamePrefix
    #[arg(long, value_name = "NAME", default_value = "restore-proof")]
    function: String,
    /// Any word: with another one, the same recovery point is validated once more
    #[arg(long, value_name = "WORD")]
    request_id: Option<String>,
    /// Follow it until nothing is left to do
    #[arg(long)]
    watch: bool,
    /// With --watch: how often to ask
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = every)]
    every: Duration,
}

fn long_help() -> String {
    format!(
        "The validation goes on by itself in AWS, watched or not; asking for the same one again shows how it is. It restores \
         a resource, which costs money.\n\n\
         AWS: Region and credentials come from the environment (AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, \
         AWS_SESSION_TOKEN), from the shared files (~/.aws/config and ~/.aws/credentials, AWS_PROFILE, also roles to assume \
         and web identity), from a container or an instance. Single sign-on and credential_process are not read: \
         `eval \"$(aws configure export-credentials --format env)\"` puts what they give into the environment. \
         AWS_ENDPOINT_URL is obeyed. The permission needed is lambda:InvokeFunction.\n\n{}",
        exit::CODES
    )
}

/// How often to ask: at least a second apart.
pub(crate) fn every(text: &str) -> Result<Duration, String> {
    let every = parse_duration(text).map_err(|problem| problem.to_string())?;
    if every < Duration::from_secs(1) {
        return Err("at least 1s".to_owned());
    }
    Ok(every)
}

/// How a validation is, as the function tells it.
#[derive(Clone, Debug, PartialEq)]
struct State(Value);

impl State {
    fn text(&self, key: &str) -> Option<&str> {
        self.0[key].as_str().filter(|text| !text.is_empty())
    }

    fn id(&self) -> &str {
        self.text("validation_id").unwrap_or_default()
    }

    fn stage(&self) -> &str {
        self.text("stage").unwrap_or("unknown")
    }

    fn is_closed(&self) -> bool {
        self.stage() == "closed"
    }

    /// By verdict; a validation that has none yet is on its way, and well.
    fn exit_code(&self) -> u8 {
        match self.text("verdict") {
            Some("passed") | None => exit::FINE,
            Some("failed" | "restore_failed" | "copy_failed") => exit::BAD_NEWS,
            Some(_) => exit::CANNOT_TELL,
        }
    }
}

/// Starts the validation, and watches it if that is wished.
///
/// # Errors
/// When the function cannot be invoked or will not do it.
pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let done = runtime.block_on(async {
        tokio::select! {
            state = validate(args, json) => state.map(Some),
            _ = tokio::signal::ctrl_c() => Ok(None),
        }
    });
    runtime.shutdown_background();
    match done? {
        Some(state) => Ok(ExitCode::from(state.exit_code())),
        None => {
            output::warn(
                "\nNo longer watched. The validation, if it was begun, goes on by itself.\n",
            )?;
            Ok(ExitCode::from(exit::INTERRUPTED))
        }
    }
}

async fn validate(args: &Args, json: bool) -> anyhow::Result<State> {
    let function = Function::find(&args.function).await?;
    let mut request = json!({
        "recovery_point_arn": args.recovery_point_arn,
        "backup_vault_name": args.vault,
    });
    if let Some(word) = &args.request_id {
        request["request_id"] = json!(word);
    }
    let asked = function.ask(&json!({ "validate": request })).await?;
    if let Some(why) = asked["ignored"].as_str() {
        return Err(Problem::usage(format!("the function will not do it: {why}")).into());
    }
    let state = State(asked);
    if state.id().is_empty() {
        return Err(aws::is_another(&args.function).into());
    }
    if args.watch {
        return watch::until_closed(&function, state, args, json).await;
    }
    if json {
        output::say_json(&state.0)?;
    } else {
        output::say(&summary(&state))?;
        if !state.is_closed() {
            output::say(
                "It goes on by itself. To see how it is, ask again, with --watch to follow it.\n",
            )?;
        }
    }
    Ok(state)
}

/// How a validation is, for people.
fn summary(state: &State) -> String {
    let mut rows = Vec::new();
    let mut fact = |name: &str, value: Cell| rows.push(vec![Cell(BLUE, name.to_owned()), value]);
    fact("validation", cell(state.id()));
    fact("stage", cell(state.stage()));
    if let Some(verdict) = state.text("verdict") {
        fact("verdict", Cell(verdict_style(verdict), verdict.to_owned()));
    }
    if let Some(reason) = state.text("reason") {
        fact("reason", cell(reason));
    }
    if state.is_closed() || state.text("cleanup") != Some("pending") {
        let cleanup = state.text("cleanup").unwrap_or("unknown");
        let style = match cleanup {
            "left_behind" => RED,
            "kept_until" => YELLOW,
            _ => output::PLAIN,
        };
        fact("cleanup", Cell(style, cleanup.to_owned()));
    }
    let mut out = table(0, &rows);
    let none = Vec::new();
    let checks = state.0["checks"].as_array().unwrap_or(&none);
    let rows: Vec<Vec<Cell>> = checks
        .iter()
        .map(|check| {
            let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
            let outcome = text("outcome");
            let style = match outcome.as_str() {
                "passed" => GREEN,
                "failed" => RED,
                _ => YELLOW,
            };
            vec![
                Cell(style, outcome),
                cell(text("name")),
                cell(text("detail")),
            ]
        })
        .collect();
    if !rows.is_empty() {
        out.push('\n');
        out += &table(2, &rows);
        out.push('\n');
    }
    out
}

fn verdict_style(verdict: &str) -> clap::builder::styling::Style {
    match verdict {
        "passed" => GREEN,
        "failed" | "restore_failed" | "copy_failed" => RED,
        _ => YELLOW,
    }
}

/// A verdict in its colour.
fn verdict_word(verdict: &str) -> String {
    paint(verdict_style(verdict), &printable(verdict))
}

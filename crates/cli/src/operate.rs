//! `restore-proof status`, `pause` and `resume`: how the deployed function's work gets on, and "not now".

use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::policy::readable_duration;
use serde_json::{Value, json};

use crate::aws::{self, Function};
use crate::exit::{self, Problem};
use crate::output::{self, BLUE, Cell, GREEN, PLAIN, RED, YELLOW, cell, paint, printable, table};
use crate::validate::every;

/// How often in a row the function may not be reached while its status is watched.
const TROUBLES: u32 = 5;
/// Clears a terminal and begins at its top.
const CLEARED: &str = "\u{1b}[2J\u{1b}[H";

/// Options of `resume`, and of the others too.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES)]
pub(crate) struct Args {
    /// Name or ARN of the function: the stack's parameter NamePrefix
    #[arg(long, value_name = "NAME", default_value = "restore-proof")]
    function: String,
}

/// Options of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    of: Args,
    /// Show it again and again, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// With --watch: how often to ask
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = every)]
    every: Duration,
}

/// Options of `pause`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    of: Args,
    /// Why, for whoever asks for the status; at most 200 characters
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// How the work gets on.
///
/// # Errors
/// When the function cannot be invoked.
pub(crate) fn status(args: &StatusArgs, json: bool) -> anyhow::Result<ExitCode> {
    if !args.watch {
        return ask(&args.of, &json!({ "status": {} }), json);
    }
    runtime()?.block_on(async {
        tokio::select! {
            ended = watch(args, json) => match ended {
                Ok(never) => match never {},
                Err(error) => Err(error),
            },
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(exit::INTERRUPTED)),
        }
    })
}

/// Shows the status again and again: in a terminal in place of the last, elsewhere whenever it is another, in JSON each time
/// on a line of its own.
async fn watch(args: &StatusArgs, json: bool) -> anyhow::Result<Infallible> {
    let name = &args.of.function;
    let function = Function::find(name).await?;
    let is_terminal = std::io::stdout().is_terminal();
    let mut shown = String::new();
    let mut troubles = 0;
    loop {
        match function.ask(&json!({ "status": {} })).await {
            Ok(told) if !told["slots"].is_object() => return Err(aws::is_another(name).into()),
            Ok(told) => {
                troubles = 0;
                let now = Timestamp::now();
                let text = summary(&told, now);
                if json {
                    output::say_json_line(&told)?;
                } else if is_terminal {
                    output::print(std::io::stdout(), CLEARED)?;
                    let at = now.strftime("%H:%M:%S UTC");
                    output::say(&format!("{}  {at}, Ctrl-C ends\n\n{text}", printable(name)))?;
                } else if text != shown {
                    let before = if shown.is_empty() { "" } else { "\n" };
                    output::say(&format!("{before}{text}"))?;
                    shown = text;
                }
            }
            Err(problem) => {
                troubles += 1;
                if troubles >= TROUBLES {
                    return Err(problem.into());
                }
                let words = printable(&problem.to_string());
                output::warn(&format!("{} {words}\n", paint(YELLOW, "trouble")))?;
            }
        }
        tokio::time::sleep(args.every).await;
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")
}

/// No restore is begun from now on.
///
/// # Errors
/// When the function cannot be invoked or will not do it.
pub(crate) fn pause(args: &PauseArgs, json: bool) -> anyhow::Result<ExitCode> {
    let mut wish = json!({});
    if let Some(reason) = &args.reason {
        wish["reason"] = json!(reason);
    }
    ask(&args.of, &json!({ "pause": wish }), json)
}

/// Restores are begun again.
///
/// # Errors
/// When the function cannot be invoked.
pub(crate) fn resume(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    ask(args, &json!({ "resume": {} }), json)
}

fn ask(args: &Args, wish: &Value, json: bool) -> anyhow::Result<ExitCode> {
    let told = runtime()?.block_on(async {
        let function = Function::find(&args.function).await?;
        function.ask(wish).await
    })?;
    // An older function knows none of these wishes.
    if let Some(why) = told["ignored"]
        .as_str()
        .filter(|why| why.starts_with("pause "))
    {
        return Err(Problem::usage(format!("the function will not do it: {why}")).into());
    }
    if !told["slots"].is_object() {
        return Err(aws::is_another(&args.function).into());
    }
    if json {
        output::say_json(&told)?;
    } else {
        output::say(&summary(&told, Timestamp::now()))?;
    }
    Ok(ExitCode::from(exit::FINE))
}

/// The status for people.
fn summary(told: &Value, now: Timestamp) -> String {
    let mut rows = Vec::new();
    let mut fact = |name: &str, value: Cell| rows.push(vec![Cell(BLUE, name.to_owned()), value]);
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    match &told["paused"] {
        Value::Null => fact(
            "restores",
            Cell(GREEN, "are begun as copies land".to_owned()),
        ),
        pause => {
            let why = pause["reason"].as_str().map(printable);
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            let words = format!("paused {}{why}", ago(&pause["since"], now));
            fact("restores", Cell(YELLOW, words));
        }
    }
    let slots = &told["slots"];
    let words = format!(
        "{} of {} taken",
        number(&slots["taken"]),
        number(&slots["limit"])
    );
    fact("slots", cell(words));
    let none = Vec::new();
    let lines = told["waiting"].as_array().unwrap_or(&none);
    let waiting: Vec<String> = lines
        .iter()
        .map(|line| {
            let resource_type = line["resource_type"].as_str().unwrap_or_default();
            let (count, since) = (number(&line["count"]), ago(&line["since"], now));
            format!(
                "{count} of {}, the first came {since}",
                printable(resource_type)
            )
        })
        .collect();
    let waiting = if waiting.is_empty() {
        "nobody".to_owned()
    } else {
        waiting.join("; ")
    };
    fact("waiting", cell(waiting));
    let open = number(&told["open"]);
    fact("open", cell(open.to_string()));
    let mut out = table(0, &rows);

    let validations = told["validations"].as_array().unwrap_or(&none);
    if validations.is_empty() {
        return out;
    }
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or("-").to_owned();
    let mut rows: Vec<Vec<Cell>> = vec![
        ["validation", "stage", "source", "for", "verdict"]
            .map(|head| Cell(BLUE, head.to_owned()))
            .into(),
    ];
    rows.extend(validations.iter().map(|one| {
        let stage = match (one["has_slot"].as_bool(), one["waits_since"].is_null()) {
            (Some(false), false) => "waiting".to_owned(),
            _ => text(one, "stage"),
        };
        let source = one["source_resource_arn"].as_str();
        let source = source.or(one["recovery_point_arn"].as_str()).unwrap_or("-");
        let lasts = SignedDuration::from_secs(one["open_for_seconds"].as_i64().unwrap_or_default());
        let verdict = text(one, "verdict");
        let style = match verdict.as_str() {
            "passed" | "-" => PLAIN,
            "failed" | "restore_failed" | "copy_failed" => RED,
            _ => YELLOW,
        };
        vec![
            cell(text(one, "validation_id")),
            cell(stage),
            cell(source),
            cell(readable_duration(lasts)),
            Cell(style, verdict),
        ]
    }));
    out.push('\n');
    out += &table(0, &rows);
    for one in validations {
        if let Some(trouble) = one["trouble"].as_str() {
            let id = printable(one["validation_id"].as_str().unwrap_or_default());
            out += &format!(
                "{} {id}: {}\n",
                paint(YELLOW, "trouble"),
                printable(trouble)
            );
        }
    }
    let shown = validations.len() as u64;
    if open > shown {
        out += &format!("and {} more\n", open - shown);
    }
    out
}

/// `3h ago`.
fn ago(at: &Value, now: Timestamp) -> String {
    match at.as_str().and_then(|at| at.parse::<Timestamp>().ok()) {
        Some(at) => format!("{} ago", readable_duration(now.duration_since(at))),
        None => "at a time that is not told".to_owned(),
    }
}

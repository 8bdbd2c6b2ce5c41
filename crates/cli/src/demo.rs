//! `restore-proof demo`: an AWS on this machine, the real function in it, real databases and web servers, and copies
//! that land healthy, stale, damaged, failing or lost.

mod judge;
mod keep;
mod progress;
mod record;
mod report;
mod rush;
mod screen;
mod secrets;
mod seeds;
mod stage;
mod story;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use restore_proof_core::report::Period;
use restore_proof_local_aws::bystander;
use restore_proof_local_aws::engine::SAMPLE_ROWS;
use restore_proof_local_aws::process::{StateFolder, processes_in};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{self, Problem};
use crate::output;
use judge::Outcome;
use progress::Progress;
use record::Record;
use rush::Rush;
use screen::{Screen, Tone};
use secrets::Secrets;
use seeds::Stock;
use stage::{Props, Stage};
use story::Case;

/// How long the demo waits for the last validation to close.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the children have to be gone after they were told to end.
const FAREWELL: Duration = Duration::from_secs(10);
/// Between two copies that land one after the other.
const BETWEEN_COPIES: Duration = Duration::from_millis(250);
/// The copy whose message and record are shown in full: what most people want to see.
const SHOWN: &str = "web-broken";

/// Options of the demo.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The function's program [default: `bootstrap` beside this program]
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
    /// The deployment template that environment, rules and schedules are read from
    #[arg(long, value_name = "FILE", default_value = "template.yaml")]
    template: PathBuf,
    /// Where the records are copied to at the end; holds those of the last run only
    #[arg(long, value_name = "FOLDER", default_value = "demo-out/records")]
    records: PathBuf,
    /// Show all messages or all records in full, not one of each
    #[arg(long, value_name = "WHAT")]
    show: Vec<Show>,
    /// Append every AWS request and answer to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Leave the state folder on disk: logs, and all that the account held in the end
    #[arg(long)]
    keep: bool,
    /// Secrets to use instead of random ones, for a search: JSON with reset_key, postgres_password, mysql_password
    /// and metadata
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
}

/// What can be shown in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Show {
    /// The messages, as mail shows them.
    Messages,
    /// The records, as Athena shows them.
    Records,
}

/// How the demo ended.
enum End {
    /// It was played to its end.
    Played(Played),
    /// Somebody wanted it to stop.
    Interrupted,
}

/// What is known when the demo was played.
struct Played {
    /// What is not as it must be.
    faults: Vec<String>,
    /// What is told of it as JSON, without the faults.
    document: Value,
}

/// Plays the demo. Exit code 0 means that everything was as it must be, 1 that something was not,
/// 130 that it was interrupted. Whatever happens, nothing of it is left running. With `json` nothing is printed
/// but one document, at the end.
///
/// # Errors
/// When it cannot be played: an engine, the function or the template is missing or unusable.
pub fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let screen = Screen::new(json);
    let began = Instant::now();
    let mut state = StateFolder::create()?;
    if args.keep {
        state.keep();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let played = runtime.block_on(play_or_stop(args, screen, state.path()));
    // Ends every task, and with it what the task holds: servers and programs that still run.
    runtime.shutdown_timeout(Duration::from_secs(5));
    let left = wait_until_gone(state.path());
    let kept = args.keep.then(|| state.path().to_owned());
    drop(state);
    let Played {
        mut faults,
        mut document,
    } = match played.map_err(cannot_play)? {
        End::Interrupted => {
            screen.say("\nInterrupted. Everything was stopped and removed.")?;
            return Ok(ExitCode::from(exit::INTERRUPTED));
        }
        End::Played(played) => played,
    };
    faults.extend(
        left.into_iter()
            .map(|process| format!("a process was left running: {process}")),
    );
    if json {
        document["as_expected"] = faults.is_empty().into();
        document["faults"] = json!(faults);
        document["seconds"] = (began.elapsed().as_millis() as f64 / 1000.0).into();
        document["state_folder"] = json!(kept);
        output::say_json(&document)?;
    }
    if let Some(folder) = kept {
        screen.say(&format!("\nThe state folder stays: {}", folder.display()))?;
    }
    if faults.is_empty() {
        let verdict = format!(
            "Every verdict and cleanup is as expected, and nothing is left running ({:.0} s).",
            began.elapsed().as_secs_f64()
        );
        screen.say(&format!("\n{}", screen.paint(Tone::Good, &verdict)))?;
        return Ok(ExitCode::SUCCESS);
    }
    screen.say(&format!(
        "\n{}",
        screen.paint(Tone::Bad, "This is not as it must be:")
    ))?;
    for fault in faults {
        screen.say(&format!("  - {fault}"))?;
    }
    Ok(ExitCode::from(exit::BAD_NEWS))
}

/// Writes the report over the records beside their folder, and says where.
fn write_page(records: &Path, now: Timestamp) -> Result<PathBuf> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let period = Period {
        from: today.yesterday().unwrap_or(today),
        to: today,
    };
    let report = crate::report::of_folder(records, period, None)?;
    let mut page = records.as_os_str().to_owned();
    page.push(".html");
    let page = PathBuf::from(page);
    fs::write(&page, restore_proof_report::page(&report))
        .with_context(|| format!("cannot write {}", page.display()))?;
    Ok(page)
}

/// That it could not be played says nothing about how it would have ended.
fn cannot_play(error: anyhow::Error) -> anyhow::Error {
    if error.is::<Problem>() {
        return error;
    }
    Problem::cannot_run(format!("{error:#}")).into()
}

/// What was given on the command line cannot be used.
fn unusable(error: anyhow::Error) -> anyhow::Error {
    Problem::usage(format!("{error:#}")).into()
}

async fn play_or_stop(args: &Args, screen: Screen, folder: &Path) -> Result<End> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
    tokio::select! {
        end = play(args, screen, folder) => end.map(End::Played),
        _ = interrupt.recv() => Ok(End::Interrupted),
        _ = terminate.recv() => Ok(End::Interrupted),
        _ = hang_up.recv() => Ok(End::Interrupted),
    }
}

async fn play(args: &Args, screen: Screen, folder: &Path) -> Result<Played> {
    report::empty(&args.records).map_err(unusable)?;
    let secrets = match &args.secrets {
        Some(file) => Secrets::read(file).map_err(unusable)?,
        None => Secrets::random()?,
    };
    let heading = |text: &str| screen.say(&format!("\n{}\n", screen.paint(Tone::Strong, text)));
    let prose = |text: &str| {
        let lines = screen::wrap(text, screen.width().saturating_sub(1));
        screen.say(&lines.join("\n"))
    };
    let title = "Restore Proof, on this machine";
    screen.say(&format!("{}\n", screen.paint(Tone::Strong, title)))?;
    prose(&format!(
        "Setting the stage: a shop of 22 tables and {} rows, in PostgreSQL and MySQL, on instances of RDS and in clusters of Aurora; web servers …",
        screen::thousands(SAMPLE_ROWS),
    ))?;
    let began = Instant::now();
    let (backup_at, newest_data) = story::times(Timestamp::now());
    let bootstrap = match &args.bootstrap {
        Some(path) => path.clone(),
        None => std::env::current_exe()
            .context("where is this program?")?
            .with_file_name("bootstrap"),
    };
    let mut stage = Stage::set(Props {
        folder,
        bootstrap: &std::path::absolute(bootstrap).context("where is the function?")?,
        template: &args.template,
        record: args.record.as_deref(),
        newest_data,
        secrets: &secrets,
        limit: story::LIMIT,
    })
    .await?;
    screen.say(&format!(
        "done in {:.1} s.\n",
        began.elapsed().as_secs_f64()
    ))?;
    introduce(screen, &stage, &args.template)?;

    let stock = Stock {
        dumps: stage.dumps.clone(),
        backup_at,
        metadata_secret: secrets.metadata,
    };
    heading("Copies land, one after the other")?;
    let cases = story::cases();
    let mut faults = land_and_watch(screen, &stage, &stock, &cases, BETWEEN_COPIES).await?;

    heading("Six copies land together, and two may be restored at a time")?;
    stage.redeploy(story::RUSH_LIMIT).await?;
    let rush_cases = story::rush();
    let rush_landed = stage.world.now();
    faults.extend(land_and_watch(screen, &stage, &stock, &rush_cases, Duration::ZERO).await?);
    let rush = Rush::seen(&stage.world, rush_landed, &rush_cases);

    let world = &stage.world;
    let outcomes = Outcome::all(world, &cases);
    let rush_outcomes = Outcome::all(world, &rush_cases);
    let messages = world.messages();
    let written = report::export(world, &args.records)?;
    let page = write_page(&args.records, world.now())?;

    heading("Verdicts")?;
    screen.say(&report::verdicts(screen, &outcomes, true))?;
    screen.say(&report::verdicts(screen, &rush_outcomes, false))?;
    screen.say(rush.drawn(screen).trim_end())?;

    heading(&format!("Messages to the topic ({})", messages.len()))?;
    screen.say(&report::subjects(screen, &messages))?;
    let shown = outcomes.iter().find(|outcome| outcome.case.name == SHOWN);
    let shown = shown.and_then(|outcome| outcome.record.as_ref());
    let all = args.show.contains(&Show::Messages);
    prose(if all {
        "As mail shows them:"
    } else {
        "One of them as mail shows it (all of them: --show messages):"
    })?;
    for message in &messages {
        let about_it = |record: &Record| {
            record.verdict != "passed" && message.body.contains(&record.validation_id)
        };
        if all || shown.is_some_and(about_it) {
            screen.say(&format!("\n{}", report::mail(screen, message).trim_end()))?;
        }
    }

    heading("Records")?;
    let all = args.show.contains(&Show::Records);
    prose(if all {
        "As Athena shows them, the columns as lines:"
    } else {
        "The same one as Athena shows it, the columns as lines (all of them: --show records):"
    })?;
    let records = Record::all(world);
    for record in &records {
        if all || shown.is_some_and(|shown| shown.validation_id == record.validation_id) {
            screen.say(&format!("\n{}", report::row(screen, record).trim_end()))?;
        }
    }
    screen.say("")?;
    prose(&format!(
        "{written} files, one JSON object on one line each, as they lie in S3. For example with DuckDB:"
    ))?;
    screen.say(&format!(
        "\n  duckdb -c \"select source_resource_arn, verdict, cleanup\n    \
         from read_json('{}/*/*.json', hive_partitioning = true)\"",
        args.records.display()
    ))?;

    heading("What is a colleague's stays hers")?;
    screen.say(report::colleague(screen, world).trim_end())?;

    heading("A report")?;
    prose(&format!(
        "What the records say, for whoever answers for the backups, as one page to open in a browser: {}",
        page.display()
    ))?;

    for outcome in outcomes.iter().chain(&rush_outcomes) {
        faults.extend(outcome.faults.iter().cloned());
    }
    faults.extend(rush.faults());
    faults.extend(judge::faults(&stage, cases.len() + rush_cases.len()));
    if !faults.is_empty() {
        faults.extend(complaints(&stage.lambda.log_path()));
    }
    if args.keep {
        keep::write(&stage, &folder.join("account"))?;
    }
    let document = json!({
        "copies": outcomes.iter().chain(&rush_outcomes).map(described).collect::<Vec<_>>(),
        "rush": {
            "copies": rush_cases.len(),
            "limit": story::RUSH_LIMIT,
            "most_at_once": rush.most_at_once(),
            "longest_wait_seconds": rush.longest_wait,
        },
        "messages": messages.iter().map(keep::message).collect::<Vec<_>>(),
        "records": args.records,
        "report": page,
        "aws_calls": world.calls().len(),
        "calls_that_touch_the_colleagues": judge::calls_that_touch(world).len(),
    });
    stage.strike().await;
    Ok(Played { faults, document })
}

/// What there is on the stage.
fn introduce(screen: Screen, stage: &Stage, template: &Path) -> Result<()> {
    let facts = [
        (
            "AWS",
            format!(
                "{} plays account {} in {}, vault {}",
                stage.url,
                stage::ACCOUNT,
                stage::REGION,
                stage::VAULT
            ),
        ),
        (
            "function",
            format!(
                "the real one, with environment, rules and schedules of {}",
                template.display()
            ),
        ),
        ("in a hurry", stage.hurry()),
        (
            "meanwhile",
            format!(
                "a colleague restores {} by hand, as {}, and has a machine where machines are restored to: both must \
                 stay untouched",
                story::COLLEAGUES_COPY,
                bystander::DATABASE
            ),
        ),
    ];
    for (name, fact) in facts {
        let lines = screen::wrap(&fact, screen.width().saturating_sub(16));
        screen.say(&format!(
            "  {}  {}",
            screen.paint(Tone::Dim, &screen::fit(name, 10)),
            lines.join("\n              ")
        ))?;
    }
    Ok(())
}

/// Lets copies land and draws what becomes of them, until every one is closed. Answers which are not.
async fn land_and_watch(
    screen: Screen,
    stage: &Stage,
    stock: &Stock,
    cases: &[Case],
    apart: Duration,
) -> Result<Vec<String>> {
    let world = &stage.world;
    let mut progress = Progress::new(screen, cases.to_vec());
    let mut waiting: Vec<&Case> = cases.iter().rev().collect();
    let started = Instant::now();
    let mut next_copy = started;
    loop {
        while Instant::now() >= next_copy
            && let Some(case) = waiting.pop_if(|case| case.may_land(world))
        {
            case.land(stage, stock);
            progress.landed(case.name);
            if case.name == story::COLLEAGUES_COPY {
                story::colleague_has_a_machine(world);
                bystander::restores(world, case.recovery_point_arn()).map_err(|refusal| {
                    anyhow::anyhow!("the colleague's restore was refused: {refusal}")
                })?;
            }
            next_copy += apart;
        }
        progress.draw(world)?;
        let quiet = stage.lambda.pending() == 0;
        // The hourly sweep has come by.
        let watched = judge::told_of_machine(world) > 0;
        if progress.all_closed() && watched && quiet || started.elapsed() > PATIENCE {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(progress
        .unfinished()
        .into_iter()
        .map(|unfinished| format!("not over after {} s: {unfinished}", PATIENCE.as_secs()))
        .collect())
}

/// A copy's outcome as JSON.
fn described(outcome: &Outcome) -> Value {
    let case = &outcome.case;
    let actual = outcome.record.as_ref().map(|record| {
        json!({
            "verdict": record.verdict,
            "reason": record.reason,
            "cleanup": record.cleanup,
            "cleanup_reason": record.cleanup_reason,
            "restores": outcome.restores,
            "validation_id": record.validation_id,
        })
    });
    json!({
        "copy": case.name,
        "about": case.about,
        "source_resource_arn": case.source_arn(),
        "recovery_point_arn": case.recorded_arn(),
        "expected": { "verdict": case.verdict, "cleanup": case.cleanup, "restores": case.restores },
        "actual": actual,
        "as_expected": outcome.faults.is_empty(),
    })
}

/// The last errors and warnings of the function's log.
fn complaints(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let serious = |line: &&str| {
        line.contains("\"ERROR\"") || line.contains("\"WARN\"") || !line.starts_with('{')
    };
    let mut lines: Vec<_> = text.lines().rev().filter(serious).take(20).collect();
    lines.reverse();
    lines
        .into_iter()
        .map(|line| format!("the function's log: {line}"))
        .collect()
}

/// Waits until no process runs in the folder any more; returns those that do not go.
fn wait_until_gone(folder: &Path) -> Vec<String> {
    let began = Instant::now();
    loop {
        let left = processes_in(folder);
        if left.is_empty() || began.elapsed() > FAREWELL {
            return left;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

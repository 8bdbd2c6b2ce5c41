//! `restore-proof demo`: an AWS on this machine, the real function in it, real databases, and copies
//! that land healthy, stale, damaged, failing or lost.

mod progress;
mod record;
mod report;
mod screen;
mod stage;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use restore_proof_local_aws::engine::SAMPLE_ROWS;
use restore_proof_local_aws::process::{StateFolder, processes_in};
use tokio::signal::unix::{SignalKind, signal};

use progress::Progress;
use screen::{Screen, Tone};
use stage::{Props, Stage};

/// How long the demo waits for the last validation to close.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the children have to be gone after they were told to end.
const FAREWELL: Duration = Duration::from_secs(10);

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
    /// Append every AWS request and answer to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Leave the state folder (databases' and function's logs) on disk
    #[arg(long)]
    keep: bool,
}

/// How the demo ended.
enum End {
    /// It was played to its end, with these faults.
    Played(Vec<String>),
    /// Somebody wanted it to stop.
    Interrupted,
}

/// Plays the demo. Exit code 0 means that everything was as it must be, 1 that something was not,
/// 130 that it was interrupted. Whatever happens, nothing of it is left running.
///
/// # Errors
/// When it cannot be played: PostgreSQL, the function or the template is missing or unusable.
pub fn run(args: Args) -> Result<ExitCode> {
    let screen = Screen::new();
    let mut state = StateFolder::create()?;
    if args.keep {
        state.keep();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let played = runtime.block_on(play_or_stop(&args, screen, state.path()));
    // Ends every task, and with it what the task holds: servers and programs that still run.
    runtime.shutdown_timeout(Duration::from_secs(5));
    let left = wait_until_gone(state.path());
    if args.keep {
        println!("\nThe state folder stays: {}", state.path().display());
    }
    drop(state);
    match played? {
        End::Interrupted => {
            println!("\nInterrupted. Everything was stopped and removed.");
            Ok(ExitCode::from(130))
        }
        End::Played(mut faults) => {
            faults.extend(
                left.into_iter()
                    .map(|process| format!("a process was left running: {process}")),
            );
            println!();
            if faults.is_empty() {
                let verdict =
                    "Every verdict and cleanup is as expected, and nothing is left running.";
                println!("{}", screen.paint(Tone::Good, verdict));
                return Ok(ExitCode::SUCCESS);
            }
            println!("{}", screen.paint(Tone::Bad, "This is not as it must be:"));
            for fault in faults {
                println!("  - {fault}");
            }
            Ok(ExitCode::FAILURE)
        }
    }
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

async fn play(args: &Args, screen: Screen, folder: &Path) -> Result<Vec<String>> {
    report::empty(&args.records)?;
    println!(
        "{}\n\nSetting the stage: a database with 22 tables and {} rows, and three backups of it …",
        screen.paint(Tone::Strong, "Restore Proof, on this machine"),
        screen::thousands(SAMPLE_ROWS),
    );
    let began = Instant::now();
    let (backup_at, newest_data) = story::times(Timestamp::now());
    let bootstrap = match &args.bootstrap {
        Some(path) => path.clone(),
        None => std::env::current_exe()
            .context("where is this program?")?
            .with_file_name("bootstrap"),
    };
    let stage = Stage::set(Props {
        folder,
        bootstrap: &std::path::absolute(bootstrap).context("where is the function?")?,
        template: &args.template,
        record: args.record.as_deref(),
        newest_data,
    })
    .await?;
    println!("done in {:.1} s.\n", began.elapsed().as_secs_f64());
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
                args.template.display()
            ),
        ),
        ("in a hurry", stage.hurry()),
        (
            "meanwhile",
            format!(
                "a colleague restores {} by hand, as {}: it must stay untouched",
                story::COLLEAGUES_SOURCE,
                story::COLLEAGUES_INSTANCE
            ),
        ),
    ];
    for (name, fact) in facts {
        let lines = screen::wrap(&fact, screen.width().saturating_sub(16));
        println!(
            "  {}  {}",
            screen.paint(Tone::Dim, &screen::fit(name, 10)),
            lines.join("\n              ")
        );
    }

    println!("\n{}\n", screen.paint(Tone::Strong, "Copies land"));
    let cases = story::cases();
    let mut progress = Progress::new(screen, cases.clone());
    let mut waiting = cases.iter();
    let started = Instant::now();
    let mut next_copy = Instant::now();
    let mut colleague_came = false;
    loop {
        if Instant::now() >= next_copy
            && let Some(case) = waiting.next()
        {
            case.land(&stage.world, &stage.dumps, backup_at);
            progress.landed(case.source);
            if !colleague_came {
                story::colleague_restores(&stage.world)?;
                colleague_came = true;
            }
            next_copy = Instant::now() + Duration::from_millis(400);
        }
        progress.draw(&stage.world)?;
        let quiet = stage.lambda.pending() == 0;
        if progress.all_closed() && quiet || started.elapsed() > PATIENCE {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let mut faults = Vec::new();
    for unfinished in progress.unfinished() {
        faults.push(format!(
            "not over after {} s: {unfinished}",
            PATIENCE.as_secs()
        ));
    }
    let written = report::export(&stage.world, &args.records)?;
    println!("\n{}", report::verdicts(screen, &stage.world, &cases));
    println!("{}", report::messages(screen, &stage.world));
    println!("{}", report::colleague(screen, &stage.world));
    println!("{}\n", screen.paint(Tone::Strong, "Records"));
    println!(
        "  {written} files, one JSON object on one line each, as they lie in S3. For example with DuckDB:"
    );
    println!(
        "  duckdb -c \"select source_resource_arn, verdict, cleanup from read_json('{}/*/*.json', hive_partitioning = true)\"",
        args.records.display()
    );
    faults.extend(report::faults(&stage.world, &stage.lambda, &cases));
    if !faults.is_empty() {
        faults.extend(complaints(&stage.lambda.log_path()));
    }
    stage.strike().await;
    Ok(faults)
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

//! `restore-proof report`: what the records say over a period, for those who answer for the backups and for their auditor.

mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use restore_proof_core::report::{Listed, Period, Reckoning, Report, Rhythm, inventory};
use restore_proof_report::Outline;
use serde_json::{Value, json};

use crate::aws::{self, Bucket, Function};
use crate::exit::{self, Problem};
use crate::output;
use crate::source;

/// The longest period, days.
const MAX_DAYS: u32 = 3660;

/// Options of the report.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES)]
pub(crate) struct Args {
    /// The first day (UTC), such as 2026-11-01
    #[arg(long, value_name = "DAY", conflicts_with = "last")]
    from: Option<Date>,
    /// The last day (UTC) [default: today]
    #[arg(long, value_name = "DAY")]
    to: Option<Date>,
    /// So many days up to the last one, such as 7d [default: 30d]
    #[arg(long, value_name = "DAYS", value_parser = days)]
    last: Option<u32>,
    /// Read the records below this folder
    #[arg(long, value_name = "FOLDER", group = "source")]
    records: Option<PathBuf>,
    /// Read the records in this S3 bucket
    #[arg(long, value_name = "NAME", group = "source")]
    bucket: Option<String>,
    /// Read the records in the results bucket of this function: the stack's parameter NamePrefix [default: restore-proof]
    #[arg(long, value_name = "NAME", group = "source")]
    function: Option<String>,
    /// In a bucket, read records from this day on, to know what was proved before [default: the period's length before it, and 90 days at least]
    #[arg(long, value_name = "DAY", conflicts_with = "records")]
    since: Option<Date>,
    /// What there is: CSV with the columns arn, owner, target (days between two proofs, such as 30d)
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
    /// Have the function make its report of the days before today now, and store it: daily or weekly
    #[arg(
        long,
        value_name = "RHYTHM",
        conflicts_with_all = ["from", "to", "last", "records", "bucket", "since", "inventory", "form", "output", "fail_on_bad"]
    )]
    make: Option<Make>,
    /// How it is shown
    #[arg(long, value_name = "FORM", default_value = "terminal")]
    form: Form,
    /// Write it to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// End with exit code 1 when a verdict of the period speaks against a backup, 3 when there is none or a record cannot be read
    #[arg(long)]
    fail_on_bad: bool,
}

/// What the function makes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Make {
    /// The report of the day before.
    Daily,
    /// The report of the seven days before.
    Weekly,
}

/// How a report is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Tables for a terminal.
    Terminal,
    /// One page that needs no other file.
    Html,
    /// Markdown with tables.
    Markdown,
    /// One JSON document.
    Json,
    /// JUnit's XML, a test case for each resource.
    Junit,
}

/// Makes a report.
///
/// # Errors
/// When the options do not fit together, or records, inventory or output cannot be read or written.
pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    if let Some(rhythm) = args.make {
        return make(args, rhythm, json);
    }
    let form = match (json, args.form) {
        (false, form) => form,
        (true, Form::Terminal | Form::Json) => Form::Json,
        (true, Form::Html | Form::Markdown | Form::Junit) => {
            return Err(Problem::usage("--json does not go with another --form").into());
        }
    };
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let period = period(args, today)?;
    let listed = args.inventory.as_deref().map(read_inventory).transpose()?;
    let report = match &args.records {
        Some(folder) => of_folder(folder, period, listed)?,
        None => of_bucket(args, period, listed)?,
    };
    let text = shown(&report, form);
    match &args.output {
        Some(file) => fs::write(file, text)
            .map_err(|error| Problem::usage(format!("cannot write {}: {error}", file.display())))?,
        // Without colours for a file or a pipe: all but the form for terminals has none.
        None => output::say(&text)?,
    }
    Ok(ExitCode::from(if args.fail_on_bad {
        code(&report)
    } else {
        exit::FINE
    }))
}

/// Has the function make its report, and says where it lies.
fn make(args: &Args, rhythm: Make, json: bool) -> anyhow::Result<ExitCode> {
    let rhythm = match rhythm {
        Make::Daily => Rhythm::Daily.as_str(),
        Make::Weekly => Rhythm::Weekly.as_str(),
    };
    let name = function(args);
    let told = runtime()?.block_on(async {
        let function = Function::find(name).await?;
        function.ask(&json!({ "report": rhythm })).await
    })?;
    let days = |told: &Value| {
        let day = |key: &str| output::printable(told[key].as_str().unwrap_or_default());
        (day("from"), day("to"))
    };
    if let Some(why) = told["not_made"].as_str() {
        let (from, to) = days(&told);
        let why = output::printable(why);
        return Err(Problem::cannot_run(format!("{name} made no report: {why}"))
            .help(format!(
                "make it here: restore-proof report --function {name} --from {from} --to {to} --form html --output report.html"
            ))
            .into());
    }
    let Some(page) = told["report"].as_str() else {
        return Err(aws::is_another(name).into());
    };
    if json {
        output::say_json(&told)?;
    } else {
        let (from, to) = days(&told);
        output::say(&format!(
            "The {rhythm} report from {from} to {to}, over {}, lies at\n{}\n",
            restore_proof_report::words::count(
                usize::try_from(told["records"].as_u64().unwrap_or_default())?,
                "record"
            ),
            output::printable(page)
        ))?;
    }
    Ok(ExitCode::from(exit::FINE))
}

/// The function that is asked.
fn function(args: &Args) -> &str {
    args.function.as_deref().unwrap_or("restore-proof")
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")
}

/// The report over the records below a folder.
///
/// # Errors
/// When a folder or file cannot be read.
pub(crate) fn of_folder(
    folder: &Path,
    period: Period,
    listed: Option<Vec<Listed>>,
) -> Result<Report, Problem> {
    let mut reckoning = Reckoning::new(period, None, listed);
    source::folder(folder, &mut reckoning)?;
    Ok(reckoning.finish())
}

fn of_bucket(args: &Args, period: Period, listed: Option<Vec<Listed>>) -> anyhow::Result<Report> {
    let since = args.since.unwrap_or_else(|| period.looked_from());
    let from = since.min(period.from);
    let mut reckoning = Reckoning::new(period, Some(from), listed);
    if args.bucket.is_none() {
        reckoning.of_function(function(args));
    }
    runtime()?.block_on(async {
        let bucket = match &args.bucket {
            Some(name) => Bucket::find(name).await?,
            None => Bucket::of_function(function(args)).await?,
        };
        source::bucket(&bucket, from, period.to, &mut reckoning).await
    })?;
    Ok(reckoning.finish())
}

fn shown(report: &Report, form: Form) -> String {
    match form {
        Form::Terminal => terminal::shown(&Outline::of(report)),
        Form::Html => restore_proof_report::page(report),
        Form::Markdown => restore_proof_report::markdown(report),
        Form::Json => restore_proof_report::json(report),
        Form::Junit => restore_proof_report::junit(report),
    }
}

/// The exit code for pipelines.
fn code(report: &Report) -> u8 {
    if report.failed.count > 0 {
        exit::BAD_NEWS
    } else if report.totals.recovery_points == 0 || report.read.unreadable > 0 {
        exit::CANNOT_TELL
    } else {
        exit::FINE
    }
}

fn period(args: &Args, today: Date) -> Result<Period, Problem> {
    let to = args.to.unwrap_or(today);
    let from = match args.from {
        Some(from) => Some(from),
        None => Period::last(args.last.unwrap_or(30), to).map(|period| period.from),
    };
    match from {
        Some(from) if from > to => Err(Problem::usage(format!(
            "the period ends on {to}, before it begins on {from}"
        ))),
        Some(from) if Period { from, to }.days() <= MAX_DAYS => Ok(Period { from, to }),
        Some(_) | None => Err(Problem::usage(format!(
            "the period is longer than {MAX_DAYS} days"
        ))),
    }
}

fn days(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('d').unwrap_or(text).parse().ok();
    number
        .filter(|days| (1..=MAX_DAYS).contains(days))
        .ok_or_else(|| format!("give a number of days up to {MAX_DAYS}, such as 30d"))
}

fn read_inventory(file: &Path) -> Result<Vec<Listed>, Problem> {
    let text = fs::read_to_string(file)
        .map_err(|error| Problem::usage(format!("cannot read {}: {error}", file.display())))?;
    inventory(&text).map_err(|error| {
        Problem::usage(format!("{}: {error}", file.display())).help(
            "its first line names the columns arn, owner and target; owner and target may be left out",
        )
    })
}

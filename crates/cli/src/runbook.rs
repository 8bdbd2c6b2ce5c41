//! `restore-proof runbook`: how the last proven restore of a resource is done by hand, from its record.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use restore_proof_core::report::Period;
use restore_proof_core::runbook::{NoRunbook, ProvedRecord, file_name};
use serde_json::json;

use crate::aws::Bucket;
use crate::exit::{self, Problem};
use crate::output::{self, one_line};
use crate::source::{self, Records};

/// How far back a bucket is read, days.
const BACK: u32 = 90;

/// Options of the runbook.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES)]
pub(crate) struct Args {
    /// ARN of the resource; without it all resources that were proved
    resource: Option<String>,
    /// Read this record, or the records below this folder
    #[arg(long, value_name = "PATH", group = "source")]
    records: Option<PathBuf>,
    /// Read the records in this S3 bucket
    #[arg(long, value_name = "NAME", group = "source")]
    bucket: Option<String>,
    /// Read the records in the results bucket of this function: the stack's parameter NamePrefix [default: restore-proof]
    #[arg(long, value_name = "NAME", group = "source")]
    function: Option<String>,
    /// In a bucket, read records from this day (UTC) on [default: 90 days back]
    #[arg(long, value_name = "DAY", conflicts_with = "records")]
    since: Option<Date>,
    /// Write a file for each resource into this folder
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// The newest proof of each resource, by what it is about.
#[derive(Default)]
struct Proofs {
    /// Of this resource alone; none for all.
    of: Option<String>,
    newest: BTreeMap<String, ProvedRecord>,
    unreadable: Vec<String>,
}

impl Records for Proofs {
    fn read(&mut self, place: &str, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n') {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let record = match ProvedRecord::read(line) {
                Ok(record) => record,
                Err(NoRunbook::NotProved(_)) => continue,
                Err(why @ (NoRunbook::Unreadable(_) | NoRunbook::UnknownType(_))) => {
                    self.unreadable(place, &why.to_string());
                    continue;
                }
            };
            let about = record.about().to_owned();
            let is_wanted = self.of.as_ref().is_none_or(|of| *of == about);
            let known = self.newest.get(&about);
            if is_wanted && known.is_none_or(|known| known.rank() < record.rank()) {
                self.newest.insert(about, record);
            }
        }
    }

    fn unreadable(&mut self, place: &str, why: &str) {
        self.unreadable.push(format!("{place} {why}"));
    }
}

/// Makes runbooks.
///
/// # Errors
/// When records cannot be read, none is of a restore that passed, or a file cannot be written.
pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let mut proofs = Proofs {
        of: args.resource.clone(),
        ..Proofs::default()
    };
    match &args.records {
        Some(path) => source::folder(path, &mut proofs)?,
        None => of_bucket(args, &mut proofs)?,
    }
    for place in proofs.unreadable.iter().take(20) {
        output::warn(&format!("not read: {}\n", one_line(place)))?;
    }
    if proofs.newest.is_empty() {
        let what = args.resource.as_ref().map_or_else(
            || "no record is of a restore that passed".to_owned(),
            |arn| format!("no record of {arn} is of a restore that passed"),
        );
        let help = "runbooks are made of restores whose checks all passed; --since reads further back in a bucket";
        return Err(Problem {
            code: exit::CANNOT_TELL,
            ..Problem::usage(what).help(help)
        }
        .into());
    }
    let books = proofs.newest.values().map(|record| {
        let text = restore_proof_report::runbook(record);
        (record, text)
    });
    let books: Vec<(&ProvedRecord, String)> = books.collect();
    if let Some(folder) = &args.output {
        write(folder, &books)?;
    }
    if json {
        let books = books.iter().map(|(record, text)| {
            json!({
                "resource": record.about(),
                "recovery_point_arn": record.recovery_point_arn,
                "validation_id": record.validation_id,
                "record": record.record_key(),
                "file": args.output.as_ref().map(|folder| folder.join(file_name(record.about()))),
                "runbook": text,
            })
        });
        output::say_json(&json!({ "runbooks": books.collect::<Vec<_>>() }))?;
    } else if let Some(folder) = &args.output {
        let made = output::count(books.len(), "runbook");
        output::say(&format!("{made} in {}\n", folder.display()))?;
    } else if let [(_, text)] = books.as_slice() {
        output::say(text)?;
    } else {
        let names = books
            .iter()
            .map(|(record, _)| format!("\n  {}", one_line(record.about())));
        return Err(Problem::usage(format!(
            "there are {}:{}",
            output::count(books.len(), "resource"),
            names.collect::<String>()
        ))
        .help("name one of them, or give --output FOLDER for a file each")
        .into());
    }
    Ok(ExitCode::from(exit::FINE))
}

fn of_bucket(args: &Args, into: &mut Proofs) -> anyhow::Result<()> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let back = Period::last(BACK, today).map(|period| period.from);
    let from = args.since.or(back).unwrap_or(today);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    runtime.block_on(async {
        let bucket = match &args.bucket {
            Some(name) => Bucket::find(name).await?,
            None => {
                let function = args.function.as_deref().unwrap_or("restore-proof");
                Bucket::of_function(function).await?
            }
        };
        source::bucket(&bucket, from, today, into).await
    })?;
    Ok(())
}

fn write(folder: &Path, books: &[(&ProvedRecord, String)]) -> Result<(), Problem> {
    let cannot =
        |path: &Path, error| Problem::usage(format!("cannot write {}: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| cannot(folder, error))?;
    for (record, text) in books {
        let file = folder.join(file_name(record.about()));
        fs::write(&file, text).map_err(|error| cannot(&file, error))?;
    }
    Ok(())
}

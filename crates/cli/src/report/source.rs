//! Where the records of a report are read from: a folder, or the results bucket.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;
use restore_proof_core::report::Reckoning;
use tokio::task::JoinSet;

use crate::aws::Bucket;
use crate::exit::Problem;

/// A larger file is no record.
const LARGEST: u64 = 16 << 20;
/// How many records are fetched at one time.
const AT_ONCE: usize = 16;

/// Reads every `.json` file below a folder.
///
/// # Errors
/// When a folder or file cannot be read.
pub(super) fn folder(folder: &Path, into: &mut Reckoning) -> Result<(), Problem> {
    let cannot = |path: &Path, error: io::Error| {
        Problem::usage(format!("cannot read {}: {error}", path.display()))
    };
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(|error| cannot(&folder, error))?;
        let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        paths.sort();
        for path in paths {
            let about = fs::metadata(&path).map_err(|error| cannot(&path, error))?;
            let ends_so = path
                .extension()
                .is_some_and(|end| end == "json" || end == "jsonl");
            if about.is_dir() {
                folders.push(path);
            } else if ends_so && about.len() > LARGEST {
                into.unreadable(&path.to_string_lossy(), "too large for a record");
            } else if ends_so {
                let text = fs::read(&path).map_err(|error| cannot(&path, error))?;
                into.read(&path.to_string_lossy(), &text);
            }
        }
    }
    Ok(())
}

/// Reads the records of these days from a bucket.
///
/// # Errors
/// When S3 refuses or cannot be reached.
pub(super) async fn bucket(
    bucket: &Bucket,
    from: Date,
    to: Date,
    into: &mut Reckoning,
) -> Result<(), Problem> {
    let progress = if !io::stderr().is_terminal() {
        ProgressBar::hidden()
    } else {
        let style = ProgressStyle::with_template("{msg} {pos} records, {elapsed}");
        ProgressBar::new_spinner().with_style(style.unwrap_or(ProgressStyle::default_spinner()))
    };
    let mut day = from;
    loop {
        progress.set_message(format!("reading {day}:"));
        let mut keys = bucket
            .keys(&format!("records/dt={day}/"))
            .await?
            .into_iter();
        let mut fetched = JoinSet::new();
        loop {
            while fetched.len() < AT_ONCE
                && let Some((key, size)) = keys.next()
            {
                if size > LARGEST {
                    into.unreadable(&key, "too large for a record");
                    continue;
                }
                let bucket = bucket.clone();
                fetched.spawn(async move { bucket.object(&key).await.map(|body| (key, body)) });
            }
            let Some(done) = fetched.join_next().await else {
                break;
            };
            let done =
                done.map_err(|error| Problem::cannot_run(format!("reading failed: {error}")))?;
            match done? {
                (key, Some(body)) => into.read(&key, &body),
                (key, None) => into.unreadable(&key, "gone since it was listed"),
            }
            progress.inc(1);
        }
        match day.tomorrow() {
            Ok(next) if next <= to => day = next,
            _ => break,
        }
    }
    progress.finish_and_clear();
    Ok(())
}

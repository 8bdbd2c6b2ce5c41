//! Where records are read from: a file or folder, or the results bucket.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;
use restore_proof_core::report::{Reckoning, RecordKeys};
use tokio::task::JoinSet;

use crate::aws::Bucket;
use crate::exit::Problem;

/// A larger file is no record.
const LARGEST: u64 = 16 << 20;
/// How many records are fetched at one time.
const AT_ONCE: usize = 16;

/// What records are read for.
pub(crate) trait Records {
    /// The records of a file or an object, a line each.
    fn read(&mut self, place: &str, text: &[u8]);
    /// That there is no record at a place, and why.
    fn unreadable(&mut self, place: &str, why: &str);
}

impl Records for Reckoning {
    fn read(&mut self, place: &str, text: &[u8]) {
        Reckoning::read(self, place, text);
    }

    fn unreadable(&mut self, place: &str, why: &str) {
        Reckoning::unreadable(self, place, why);
    }
}

/// Reads every `.json` file below a folder, or the file that is named.
///
/// # Errors
/// When a folder or file cannot be read.
pub(crate) fn folder(folder: &Path, into: &mut dyn Records) -> Result<(), Problem> {
    let cannot = |path: &Path, error: io::Error| {
        Problem::usage(format!("cannot read {}: {error}", path.display()))
    };
    if folder.is_file() {
        let text = fs::read(folder).map_err(|error| cannot(folder, error))?;
        into.read(&folder.to_string_lossy(), &text);
        return Ok(());
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.map_err(|error| cannot(&folder, error))?;
        entries.sort_by_key(fs::DirEntry::path);
        for entry in entries {
            let path = entry.path();
            // A link to a folder is not followed: it may lead back here.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
                continue;
            }
            let ends_so = path
                .extension()
                .is_some_and(|end| end == "json" || end == "jsonl");
            if !ends_so {
                continue;
            }
            let size = fs::metadata(&path)
                .map_err(|error| cannot(&path, error))?
                .len();
            if size > LARGEST {
                into.unreadable(&path.to_string_lossy(), "too large for a record");
            } else {
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
pub(crate) async fn bucket(
    bucket: &Bucket,
    from: Date,
    to: Date,
    into: &mut dyn Records,
) -> Result<(), Problem> {
    let keys = bucket.keys(&RecordKeys::of(from, to)).await?;
    let progress = if io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{wide_bar} {pos} of {len} records");
        ProgressBar::new(keys.len() as u64)
            .with_style(style.unwrap_or(ProgressStyle::default_bar()))
    } else {
        ProgressBar::hidden()
    };
    let mut keys = keys.into_iter();
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
        let broken = |error| Problem::cannot_run(format!("reading the bucket broke off: {error}"));
        match done.map_err(broken)?? {
            (key, Some(body)) => into.read(&key, &body),
            (key, None) => into.unreadable(&key, "deleted after it was listed"),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

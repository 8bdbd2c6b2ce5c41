//! What came of it: the table of verdicts, the messages, the colleague, the records, and whether all
//! of it is as it must be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use restore_proof_local_aws::World;
use restore_proof_local_aws::runtime_api::Lambda;

use super::record::Record;
use super::screen::{Screen, Tone, fit, wrap};
use super::stage::{BUCKET, is_ours};
use super::story::{COLLEAGUES_INSTANCE, Case};

/// Everything that is not as it must be; nothing, when the demo is a success.
pub fn faults(world: &World, lambda: &Lambda, cases: &[Case]) -> Vec<String> {
    let mut faults = Vec::new();
    let records = Record::all(world);
    let jobs = world.restore_jobs();
    for case in cases {
        let source = case.source;
        match *records
            .iter()
            .filter(|record| record.source_arn == case.source_arn())
            .collect::<Vec<_>>()
        {
            [] => faults.push(format!("{source}: there is no record")),
            [record] => {
                if record.verdict != case.verdict {
                    faults.push(format!(
                        "{source}: the verdict is {} and must be {}",
                        record.verdict, case.verdict
                    ));
                }
                if record.cleanup != case.cleanup {
                    faults.push(format!(
                        "{source}: the cleanup is {} and must be {}",
                        record.cleanup, case.cleanup
                    ));
                }
            }
            ref several => faults.push(format!(
                "{source}: there are {} records instead of one",
                several.len()
            )),
        }
        let restores = jobs.iter().filter(|job| {
            job.recovery_point_arn == case.recovery_point_arn()
                && job
                    .metadata
                    .get("DBInstanceIdentifier")
                    .is_some_and(|name| is_ours(name))
        });
        let restores = restores.count();
        if restores != case.restores {
            faults.push(format!(
                "{source}: there were {restores} restores of ours instead of {}",
                case.restores
            ));
        }
    }
    if records.len() > cases.len() {
        faults.push(format!(
            "there are {} records of {} copies",
            records.len(),
            cases.len()
        ));
    }
    for instance in world.db_instances() {
        if is_ours(&instance.identifier) {
            faults.push(format!(
                "{} was left running ({})",
                instance.identifier, instance.status
            ));
        }
    }
    let touched = world
        .calls()
        .into_iter()
        .filter(|call| call.mutating && call.mentions(COLLEAGUES_INSTANCE));
    faults.extend(touched.map(|call| format!("{} named the colleague's instance", call.name())));
    match world
        .db_instances()
        .into_iter()
        .find(|instance| instance.identifier == COLLEAGUES_INSTANCE)
    {
        None => faults.push("the colleague's instance is gone".to_owned()),
        Some(instance) if instance.status != "available" => {
            faults.push(format!("the colleague's instance is {}", instance.status));
        }
        Some(instance) => {
            let host = instance.host.unwrap_or_default();
            if std::net::TcpStream::connect((host.as_str(), instance.port)).is_err() {
                faults.push("the colleague's database does not answer".to_owned());
            }
        }
    }
    let mut errors: BTreeMap<String, usize> = BTreeMap::new();
    for error in lambda.failures() {
        *errors.entry(error).or_default() += 1;
    }
    for (error, times) in errors {
        faults.push(format!("the function failed {times} times: {error}"));
    }
    faults
}

/// The table of verdicts, with the reason of each below it.
pub fn verdicts(screen: Screen, world: &World, cases: &[Case]) -> String {
    const WIDTHS: [usize; 6] = [14, 15, 15, 14, 9, 18];
    let row = |cells: [&str; 6]| -> Vec<String> {
        cells
            .iter()
            .zip(WIDTHS)
            .map(|(cell, width)| fit(cell, width))
            .collect()
    };
    let records = Record::all(world);
    let mut text = format!("{}\n\n", screen.paint(Tone::Strong, "Verdicts"));
    let head = row([
        "source",
        "verdict",
        "expected",
        "recovery time",
        "data age",
        "cleanup",
    ]);
    text.push_str(&format!(
        "  {}\n",
        screen.paint(Tone::Dim, head.join("  ").trim_end())
    ));
    for case in cases {
        let record = records
            .iter()
            .find(|record| record.source_arn == case.source_arn());
        let verdict = record.map_or("none", |record| record.verdict.as_str());
        let cleanup = record.map_or("none", |record| record.cleanup.as_str());
        let recovery = record
            .and_then(|record| record.recovery_minutes)
            .map_or("–".to_owned(), seconds);
        let age = record
            .and_then(|record| record.data_age_minutes)
            .map_or("–".to_owned(), readable_age);
        let as_expected = verdict == case.verdict && cleanup == case.cleanup;
        let cells = row([case.source, verdict, case.verdict, &recovery, &age, cleanup]);
        let verdict_tone = match (as_expected, verdict) {
            (false, _) => Tone::Bad,
            (true, "passed") => Tone::Good,
            (true, "not_tested") => Tone::Plain,
            (true, _) => Tone::Open,
        };
        let mark = if as_expected {
            screen.paint(Tone::Good, "✓")
        } else {
            screen.paint(Tone::Bad, "✗")
        };
        text.push_str(&format!(
            "  {}  {}  {}  {}  {}  {} {mark}\n",
            screen.paint(Tone::Strong, &cells[0]),
            screen.paint(verdict_tone, &cells[1]),
            cells[2],
            cells[3],
            cells[4],
            cells[5],
        ));
        let mut about = case.about.to_owned();
        if let Some(record) = record {
            about.push_str(" → ");
            about.push_str(&record.reason);
            if let Some(reason) = &record.cleanup_reason {
                about.push_str(&format!("; cleanup: {reason}"));
            }
        }
        for line in wrap(&about, screen.width().saturating_sub(6)) {
            text.push_str(&format!("    {}\n", screen.paint(Tone::Dim, &line)));
        }
    }
    text
}

/// The messages that went to the topic: subjects, and how the bodies begin.
pub fn messages(screen: Screen, world: &World) -> String {
    let messages = world.messages();
    let mut text = format!(
        "{}\n\n",
        screen.paint(
            Tone::Strong,
            &format!("Messages to the topic ({})", messages.len())
        )
    );
    for message in messages {
        let subject = message
            .subject
            .unwrap_or_else(|| "(without a subject)".to_owned());
        text.push_str(&format!("  {}\n", screen.paint(Tone::Strong, &subject)));
        for line in message
            .body
            .lines()
            .filter(|line| !line.trim().is_empty())
            .take(3)
        {
            let line = fit(line, screen.width().saturating_sub(6));
            text.push_str(&format!(
                "    {}\n",
                screen.paint(Tone::Dim, line.trim_end())
            ));
        }
    }
    text
}

/// How the colleague's instance fared.
pub fn colleague(screen: Screen, world: &World) -> String {
    let calls = world.calls();
    let mutating = calls.iter().filter(|call| call.mutating).count();
    let naming = calls
        .iter()
        .filter(|call| call.mutating && call.mentions(COLLEAGUES_INSTANCE))
        .count();
    let instance = world
        .db_instances()
        .into_iter()
        .find(|instance| instance.identifier == COLLEAGUES_INSTANCE);
    let state = instance.map_or("gone".to_owned(), |instance| {
        let host = instance.host.unwrap_or_else(|| "no address".to_owned());
        format!("{} at {host}:{}", instance.status, instance.port)
    });
    let text = format!(
        "{COLLEAGUES_INSTANCE}, restored by hand from a recovery point under test, is {state}. Of the function's {} AWS \
         calls {mutating} change something; {naming} of those name it.",
        calls.len(),
    );
    let lines = wrap(&text, screen.width().saturating_sub(4));
    format!(
        "{}\n\n  {}\n",
        screen.paint(Tone::Strong, "The colleague's instance"),
        lines.join("\n  ")
    )
}

/// Copies the records as they lie in S3 to a folder, which keeps only what this run wrote.
///
/// # Errors
/// When the folder holds something that is no record of an earlier run, or cannot be written.
pub fn export(world: &World, folder: &Path) -> Result<usize> {
    empty(folder)?;
    let mut written = 0;
    for key in world.object_keys(BUCKET) {
        let (Some(path), Some(version)) = (
            key.strip_prefix("records/"),
            world.object_versions(BUCKET, &key).pop(),
        ) else {
            continue;
        };
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::write(&path, &version.body)
            .with_context(|| format!("cannot write {}", path.display()))?;
        written += 1;
    }
    Ok(written)
}

/// Makes a folder for records, or removes those of an earlier run from it, and nothing else: it was
/// given by hand, perhaps with a slip.
///
/// # Errors
/// When the folder holds anything else, or cannot be emptied.
pub fn empty(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()));
    }
    let entries = |path: &Path| -> Result<Vec<fs::DirEntry>> {
        fs::read_dir(path)
            .and_then(Iterator::collect)
            .with_context(|| format!("cannot read the folder {}", path.display()))
    };
    let days = entries(folder)?;
    for day in &days {
        let ours = day.file_name().to_string_lossy().starts_with("dt=")
            && day.file_type().is_ok_and(|kind| kind.is_dir())
            && entries(&day.path())?
                .iter()
                .all(|file| file.path().extension().is_some_and(|end| end == "json"));
        if !ours {
            bail!(
                "{} holds {}, which is no record of an earlier run: give --records another folder",
                folder.display(),
                day.file_name().to_string_lossy()
            );
        }
    }
    for day in days {
        fs::remove_dir_all(day.path())
            .with_context(|| format!("cannot remove {}", day.path().display()))?;
    }
    Ok(())
}

fn seconds(minutes: f64) -> String {
    format!("{:.1} s", minutes * 60.0)
}

fn readable_age(minutes: f64) -> String {
    match minutes {
        under if under < 90.0 => format!("{under:.0} min"),
        under if under < 36.0 * 60.0 => format!("{:.0} h", under / 60.0),
        over => format!("{:.0} days", over / 60.0 / 24.0),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_records_of_earlier_runs_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let records = folder.path().join("records");
        empty(&records).unwrap();
        let day = records.join("dt=2026-11-20");
        fs::create_dir(&day).unwrap();
        fs::write(day.join("a.json"), "{}").unwrap();
        empty(&records).unwrap();
        assert!(records.exists() && !day.exists());

        fs::create_dir(&day).unwrap();
        fs::write(day.join("a.json"), "{}").unwrap();
        fs::write(records.join("thesis.txt"), "years of work").unwrap();
        let error = empty(&records).unwrap_err().to_string();
        assert!(error.contains("thesis.txt"), "{error}");
        assert!(day.join("a.json").exists());
    }

    #[test]
    fn ages_are_told_in_a_fitting_unit() {
        assert_eq!(readable_age(4.0), "4 min");
        assert_eq!(readable_age(4324.0), "3 days");
        assert_eq!(readable_age(300.0), "5 h");
        assert_eq!(seconds(0.05), "3.0 s");
    }
}

//! What came of it, for people: the table of verdicts, the messages, a record, the colleague's things.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use restore_proof_local_aws::bystander::{DATABASE, MACHINE};
use restore_proof_local_aws::{Message, World};
use serde_json::Value;

use super::judge::{Outcome, calls_that_touch, told_of_machine};
use super::record::{Cell, Record};
use super::screen::{Screen, Tone, fit, fold, wrap};
use super::stage::{BUCKET, TOPIC_DISPLAY_NAME};

/// The table of verdicts; with `told` there is the reason of each below it.
pub fn verdicts(screen: Screen, outcomes: &[Outcome], told: bool) -> String {
    const WIDTHS: [usize; 6] = [14, 14, 14, 13, 8, 17];
    const EXPECTED: usize = 2;
    // Where there is no room for all, the mark at the end must do instead of what was expected.
    let narrow = screen.width() < 99;
    let row = |cells: [&str; 6], tones: [Tone; 6]| -> String {
        let mut shown = Vec::new();
        for (number, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
            if !(narrow && number == EXPECTED) {
                shown.push(screen.paint(tones[number], &fit(cell, width)));
            }
        }
        shown.join("  ")
    };
    let names = [
        "copy",
        "verdict",
        "expected",
        "recovery time",
        "data age",
        "cleanup",
    ];
    let mut text = format!("  {}\n", row(names, [Tone::Dim; 6]).trim_end());
    for outcome in outcomes {
        let (case, record) = (&outcome.case, outcome.record.as_ref());
        let verdict = record.map_or("none", |record| record.verdict.as_str());
        let cleanup = record.map_or("none", |record| record.cleanup.as_str());
        let recovery = record
            .and_then(|record| record.recovery_minutes)
            .map_or("–".to_owned(), seconds);
        let age = record
            .and_then(|record| record.data_age_minutes)
            .map_or("–".to_owned(), readable_age);
        let as_expected = outcome.faults.is_empty();
        let cells = [case.name, verdict, case.verdict, &recovery, &age, cleanup];
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
        let plain = Tone::Plain;
        let tones = [Tone::Strong, verdict_tone, plain, plain, plain, plain];
        text.push_str(&format!("  {} {mark}\n", row(cells, tones)));
        if !told {
            continue;
        }
        let mut about = case.about.to_owned();
        // Messages and records know it by this name alone.
        if case.source() != case.name {
            about.push_str(&format!(" ({})", case.source()));
        }
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

/// The subjects of the messages that went to the topic.
pub fn subjects(screen: Screen, messages: &[Message]) -> String {
    messages
        .iter()
        .map(|message| {
            let subject = message.subject.as_deref().unwrap_or("(without a subject)");
            format!(
                "  {}\n",
                fit(subject, screen.width().saturating_sub(3)).trim_end()
            )
        })
        .collect()
}

/// A message as Amazon SNS sends it by mail.
pub fn mail(screen: Screen, message: &Message) -> String {
    // Its own address; the name is the topic's.
    let from = format!("From:    {TOPIC_DISPLAY_NAME} <no-reply@sns.amazonaws.com>");
    let subject = format!(
        "Subject: {}",
        message
            .subject
            .as_deref()
            .unwrap_or("AWS Notification Message")
    );
    let headers = [from.as_str(), subject.as_str()];
    let mut text = String::new();
    for header in headers {
        for line in fold(header, screen.width().saturating_sub(5), 9) {
            text.push_str(&framed(screen, &screen.paint(Tone::Strong, &line)));
        }
    }
    text.push_str(&framed(screen, ""));
    for line in message.body.trim_end().lines() {
        // Names are set in 16 columns, checks in 11; the rest is prose.
        let indent = match line.find("  ") {
            Some(0) => 11,
            Some(_) => 16,
            None => 0,
        };
        for line in fold(line, screen.width().saturating_sub(5), indent) {
            text.push_str(&framed(screen, &line));
        }
    }
    text
}

/// A record as Athena shows a row of the table: each column and its value. Those that are null are named below.
pub fn row(screen: Screen, record: &Record) -> String {
    const NAME: usize = 24;
    let mut text = String::new();
    let mut nulls = Vec::new();
    for (column, cell) in &record.columns {
        let values = match cell {
            Cell::Value(Value::Null) => {
                nulls.push(column.as_str());
                continue;
            }
            // A list of rows is long: each on lines of its own.
            Cell::List(items) if items.iter().any(|item| matches!(item, Cell::Row(_))) => {
                items.iter().map(athena).collect()
            }
            cell => vec![athena(cell)],
        };
        for (number, value) in values.iter().enumerate() {
            let name = if number == 0 { column.as_str() } else { "" };
            let cell = format!("{}{value}", fit(name, NAME));
            for (at, line) in fold(&cell, screen.width().saturating_sub(5), NAME)
                .into_iter()
                .enumerate()
            {
                let (name, value) = split_at_column(&line, NAME);
                let shown = if at == 0 {
                    format!("{}{value}", screen.paint(Tone::Strong, name))
                } else {
                    line
                };
                text.push_str(&framed(screen, &shown));
            }
        }
    }
    let nulls = fold(
        &format!("{}{}", fit("null", NAME), nulls.join(", ")),
        screen.width().saturating_sub(5),
        NAME,
    );
    for line in nulls {
        text.push_str(&framed(screen, &screen.paint(Tone::Dim, &line)));
    }
    text
}

/// A value of a record in Athena's words: rows are `{name=value, …}`, lists `[…]`.
fn athena(cell: &Cell) -> String {
    match cell {
        Cell::Value(Value::String(text)) => text.clone(),
        Cell::Value(other) => other.to_string(),
        Cell::List(items) => {
            let items: Vec<_> = items.iter().map(athena).collect();
            format!("[{}]", items.join(", "))
        }
        Cell::Row(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, cell)| format!("{name}={}", athena(cell)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

fn split_at_column(line: &str, column: usize) -> (&str, &str) {
    let at = line
        .char_indices()
        .nth(column)
        .map_or(line.len(), |(at, _)| at);
    line.split_at(at)
}

/// A line of something quoted.
fn framed(screen: Screen, line: &str) -> String {
    let edge = screen.paint(Tone::Dim, "│");
    format!("{}\n", format!("  {edge} {line}").trim_end())
}

/// How the colleague's things fared.
pub fn colleague(screen: Screen, world: &World) -> String {
    let calls = world.calls();
    let mutating = calls.iter().filter(|call| call.mutating).count();
    let naming = calls_that_touch(world).len();
    let instance = world
        .db_instances()
        .into_iter()
        .find(|instance| instance.identifier == DATABASE);
    let database = instance.map_or("gone".to_owned(), |instance| {
        let host = instance.host.unwrap_or_else(|| "no address".to_owned());
        format!("{} at {host}:{}", instance.status, instance.port)
    });
    let machine = world
        .ec2_instances()
        .into_iter()
        .find(|machine| machine.id == MACHINE)
        .map_or("gone".to_owned(), |machine| machine.state);
    let text = format!(
        "{DATABASE}, restored by hand from a recovery point under test, is {database}. \
         {MACHINE}, a machine of hers in the subnet that machines are restored to, is {machine}. Of the \
         function's {} AWS calls {mutating} change something; {naming} of those name anything of hers \
         but to tell people of it: {} did for her machine, which no validation accounts for.",
        calls.len(),
        match told_of_machine(world) {
            1 => "one message".to_owned(),
            times => format!("{times} messages"),
        },
    );
    let lines = wrap(&text, screen.width().saturating_sub(4));
    format!("  {}\n", lines.join("\n  "))
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

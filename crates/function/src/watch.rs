//! The watcher of the work itself: what each sweep measures, and what people are told of beside verdicts. What it
//! finds becomes metrics; the alarms on them are in `template.yaml`.

mod unknown;
pub(crate) mod vaults;

use jiff::SignedDuration;
use restore_proof_core::validation::Validation;
use serde_json::json;

use crate::App;
use crate::aws::AwsError;
use crate::failure;
use crate::ledger::{Listed, Slots};
use crate::publish::{self, Metric};
use crate::queue::Line;

pub use unknown::report_unknown;

/// A validation that has been due for so long and was not moved is overdue: thirty sweeps have come by since.
const OVERDUE: SignedDuration = SignedDuration::from_mins(30);

/// Measures how the work gets on, by what the sweep has read. What could not be read is not measured. Of very many open
/// or waiting validations so many at least are counted as one call reads (1 MB, some ten thousand).
///
/// # Errors
/// When CloudWatch Logs does not answer.
pub async fn measure(
    app: &App,
    open: Option<&[Listed]>,
    slots: Option<&Slots>,
    lines: Option<&[Line]>,
) -> failure::Result<()> {
    let now = app.now();
    // No verdict in this event; so the metric is there also when there is none, and an alarm can ask for it.
    let mut measured = vec![Metric::count("Validations", 0)];
    if let Some(open) = open {
        let overdue = open.iter().filter(|one| one.at <= now - OVERDUE).count();
        measured.push(Metric::count("OverdueValidations", overdue));
    }
    if let Some(lines) = lines {
        let waiting: usize = lines.iter().map(|line| line.waiting().len()).sum();
        let first = lines.iter().filter_map(|line| line.waiting().first());
        let waited = first.map(|first| now.duration_since(first.at)).max();
        measured.push(Metric::count("WaitingValidations", waiting));
        measured.push(Metric::seconds("LongestWait", waited.unwrap_or_default()));
        if let Some(open) = open {
            measured.push(Metric::count("OpenValidations", open.len() + waiting));
        }
    }
    if let Some(slots) = slots {
        measured.push(Metric::count("RunningRestores", slots.taken()));
        let paused = slots.paused().map(|pause| now.duration_since(pause.since));
        let hours = paused.map_or(0, |lasts| lasts.as_hours());
        measured.push(Metric::count(
            "PausedHours",
            usize::try_from(hours).unwrap_or(0),
        ));
    }
    publish::log_event(&app.aws, &app.config, "sweep", json!({}), &measured, now).await?;
    Ok(())
}

/// Tells of a validation that has its verdict and has met nothing but errors for long: there is no deadline for the
/// deletion, so people must look.
///
/// # Errors
/// When CloudWatch Logs does not answer.
pub(crate) async fn tell_overdue(app: &App, validation: &Validation) -> Result<(), AwsError> {
    let trouble = validation.trouble.as_ref();
    let facts = json!({
        "validation_id": validation.id,
        "stage": validation.stage.as_str(),
        "troubled_since": trouble.map(|trouble| trouble.since),
        "last_error": trouble.map(|trouble| &trouble.words),
    });
    let measured = [Metric::count("OverdueValidations", 1)];
    let now = app.now();
    publish::log_event(&app.aws, &app.config, "overdue", facts, &measured, now).await
}

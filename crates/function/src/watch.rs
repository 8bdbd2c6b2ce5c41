//! The watcher of the work itself: what each sweep measures, and what people are told of beside verdicts. What it
//! finds becomes metrics; the alarms on them are in `template.yaml`.

mod unknown;
pub(crate) mod vaults;

use jiff::{SignedDuration, Timestamp};
use restore_proof_core::resource_type::ResourceType;
use restore_proof_core::validation::Validation;
use serde_json::json;

use crate::App;
use crate::aws::AwsError;
use crate::publish::{self, Metric};

pub use unknown::report_unknown;

/// A validation that has been due for so long and was not moved is overdue: six sweeps have come by since.
const OVERDUE: SignedDuration = SignedDuration::from_mins(30);

/// Measures how the work gets on, at the end of a sweep: the same few reads, whatever there is to do.
///
/// # Errors
/// When the ledger or CloudWatch Logs does not answer.
pub async fn measure(app: &App) -> anyhow::Result<()> {
    let now = app.now();
    let overdue = app.ledger.count_due(now - OVERDUE).await?;
    let due = app.ledger.count_due(Timestamp::MAX).await?;
    let (mut waiting, mut waited) = (0, SignedDuration::ZERO);
    for resource_type in ResourceType::names() {
        waiting += app.ledger.count_waiting(resource_type).await?;
        let first = app.ledger.waiting(resource_type, 1, None).await?;
        let since = first
            .listed
            .first()
            .map(|first| now.duration_since(first.at));
        waited = waited.max(since.unwrap_or_default());
    }
    let running = app.ledger.slots().await?.taken();
    let measured = [
        Metric::count("OverdueValidations", overdue),
        Metric::count("OpenValidations", due + waiting),
        Metric::count("WaitingValidations", waiting),
        Metric::seconds("LongestWait", waited),
        Metric::count("RunningRestores", running),
        // No verdict in this event; so the metric is there also when there is none, and an alarm can ask for it.
        Metric::count("Validations", 0),
    ];
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

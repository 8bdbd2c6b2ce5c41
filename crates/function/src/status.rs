//! How the work gets on, for people who ask; and pause and resume.

use futures_util::future;
use jiff::Timestamp;
use restore_proof_core::resource_type::ResourceType;
use restore_proof_core::validation::Validation;
use serde_json::{Value, json};
use tracing::info;

use crate::App;
use crate::failure;
use crate::ledger::{Listed, Slots};
use crate::queue;

/// The most open validations that the status lists one by one: they fit on a screen.
const TOLD: usize = 25;

/// From now on no restore is begun. What runs goes on, and so do deletions.
///
/// # Errors
/// When the ledger does not answer.
pub async fn pause(app: &App, reason: Option<&str>) -> failure::Result<Value> {
    if app.ledger.pause(reason, app.now()).await? {
        info!(
            "restores are paused: {}",
            reason.unwrap_or("no reason was given")
        );
    }
    status(app).await
}

/// Restores are begun again: the sweep calls who waits, the longest waiting first.
///
/// # Errors
/// When the ledger does not answer.
pub async fn resume(app: &App) -> failure::Result<Value> {
    if app.ledger.resume(app.now()).await? {
        info!("restores are begun again");
    }
    status(app).await
}

/// Whether restores are paused, who has a slot, who waits, and what is open.
///
/// # Errors
/// When the ledger does not answer.
pub async fn status(app: &App) -> failure::Result<Value> {
    let types = ResourceType::ALL.iter().map(|one| one.name());
    let (slots, open, lines) = future::try_join3(
        app.ledger.slots(),
        app.ledger.open_page(None),
        queue::lines(app, types, None),
    )
    .await?;
    let waiting: Vec<Value> = lines
        .iter()
        .filter(|line| !line.waiting().is_empty())
        .map(|line| {
            json!({
                "resource_type": line.resource_type(),
                "count": line.waiting().len(),
                "since": line.waiting().first().map(|first| first.at),
            })
        })
        .collect();
    let mut ids: Vec<&str> = slots.holders().into_iter().collect();
    ids.extend(open.listed.iter().map(id));
    let first_waiting = lines.iter().flat_map(|line| line.waiting()).map(id);
    ids.extend(first_waiting);
    let mut told = Vec::new();
    for id in ids {
        if told.len() < TOLD && !told.contains(&id) {
            told.push(id);
        }
    }
    let found = future::try_join_all(told.iter().map(|id| app.ledger.find(id))).await?;
    let all_waiting: usize = lines.iter().map(|line| line.waiting().len()).sum();
    Ok(json!({
        "paused": slots.paused().map(|pause| json!({
            "since": pause.since, "reason": pause.reason,
        })),
        "slots": { "taken": slots.taken(), "limit": app.config.max_concurrent_restores },
        "waiting": waiting,
        "open": open.listed.len() + all_waiting,
        "validations": found
            .into_iter()
            .flatten()
            .map(|validation| described(&validation, &slots, app.now()))
            .collect::<Vec<Value>>(),
    }))
}

fn id(listed: &Listed) -> &str {
    &listed.id
}

/// One validation, in the words of `show`.
fn described(validation: &Validation, slots: &Slots, now: Timestamp) -> Value {
    let point = &validation.recovery_point;
    json!({
        "validation_id": validation.id,
        "stage": validation.stage.as_str(),
        "resource_type": point.resource_type,
        "source_resource_arn": point.resource_arn,
        "recovery_point_arn": point.arn,
        "has_slot": slots.holders().contains(validation.id.as_str()),
        "waits_since": validation.queued_since,
        "verdict": validation.verdict.map(|verdict| verdict.as_str()),
        "trouble": validation.trouble.as_ref().map(|trouble| &trouble.words),
        "open_for_seconds": now.duration_since(validation.opened_at).as_secs(),
    })
}

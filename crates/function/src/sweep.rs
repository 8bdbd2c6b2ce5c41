//! The scheduled pass: what is due is invoked, what events lost is found. It runs no checks itself.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::validation::Validation;
use serde_json::json;
use tracing::warn;

use crate::aws::failed;
use crate::config::Config;
use crate::{App, backup, queue};

/// Kept of a sweep for those who wait for a slot.
const KEPT_FOR_THE_LINES: SignedDuration = SignedDuration::from_mins(5);
/// How many invocations are under way at once.
const AT_ONCE: usize = 16;
/// How far back recovery points are looked for; a copy is dated by its source, which may be days older.
const POINTS_SINCE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How far back restore jobs are looked for.
const JOBS_SINCE: SignedDuration = SignedDuration::from_hours(48);
/// A restore job younger than this may not have reached the ledger yet.
const JOB_SETTLES: SignedDuration = SignedDuration::from_hours(1);

/// Invokes the function for each validation that is due, as far as time allows, the longest due first; then for those
/// that wait and may have a slot. Answers how many.
///
/// # Errors
/// When the ledger or S3 does not answer. An invocation that fails is made again by the next sweep.
pub async fn due(app: &App, deadline: Timestamp) -> anyhow::Result<usize> {
    let now = app.now();
    let (mut invoked, mut start) = (0, None);
    loop {
        let page = app.ledger.due(now, start).await?;
        invoked += invoke_all(app, page.listed.into_iter().map(|due| due.id).collect()).await;
        start = page.next;
        if start.is_none() || app.now() + KEPT_FOR_THE_LINES >= deadline {
            break;
        }
    }
    Ok(invoked + invoke_all(app, queue::callable(app).await?).await)
}

/// What the hourly sweep found.
#[derive(Debug)]
pub struct Found {
    /// Recovery points that no event told of: so many validations were opened.
    pub opened: usize,
    /// Restore jobs of our role that no validation knows.
    pub jobs_of_nobody: usize,
}

/// Opens validations of recovery points that no event told of, and reports restore jobs of our role that no
/// validation knows.
///
/// # Errors
/// When AWS Backup or the ledger does not answer.
pub async fn lost(app: &App, nonce: &str) -> anyhow::Result<Found> {
    let now = app.now();
    let installed = app.ledger.installed_at(now).await?;
    let mut landed = BTreeMap::new();
    for vault in vaults(&app.config) {
        for point in backup::recovery_points_since(&app.aws, vault, now - POINTS_SINCE).await? {
            let landed_at = point.completed_at.or(point.created_at);
            let whole = matches!(point.status.as_str(), "COMPLETED" | "AVAILABLE");
            if !whole || landed_at.is_none_or(|at| at < installed) {
                continue;
            }
            let vault_arn = app.config.vault_arn(vault);
            let mut validation =
                Validation::open(&app.config.name_prefix, &point.arn, &vault_arn, None, now);
            validation.recovery_point.resource_arn = point.resource_arn;
            validation.recovery_point.resource_type = point.resource_type;
            landed.insert(validation.id.clone(), validation);
        }
    }
    let ids = landed.keys().cloned().collect();
    let mut opened = Vec::new();
    for id in app.ledger.without_validation(ids).await? {
        if app.ledger.open(&landed[&id], nonce).await? {
            opened.push(id);
        }
    }
    let jobs_of_nobody = report_unknown_jobs(app, now).await?;
    queue::give_back_lost(app).await?;
    Ok(Found {
        opened: invoke_all(app, opened).await,
        jobs_of_nobody,
    })
}

/// The vaults to look through, each once: those of copies and those of backups, which may name the same.
fn vaults(config: &Config) -> BTreeSet<&str> {
    let both = config.vaults.iter().chain(&config.backup_job_vaults);
    both.map(String::as_str).collect()
}

/// A job of our role that no validation knows is reported, never touched: whose it is cannot be told. Answers how many.
async fn report_unknown_jobs(app: &App, now: Timestamp) -> anyhow::Result<usize> {
    let jobs = backup::restore_jobs_since(&app.aws, now - JOBS_SINCE).await?;
    let ours = jobs.iter().filter(|job| {
        let settled = job
            .created_at
            .is_some_and(|created| now.duration_since(created) > JOB_SETTLES);
        settled && job.role_arn.as_deref() == Some(app.config.restore_role_arn.as_str())
    });
    let ids = ours.map(|job| job.id.as_str()).collect();
    let of_nobody = app.ledger.jobs_of_nobody(ids).await?;
    for id in &of_nobody {
        warn!(restore_job.id = %id, "restore job {id} ran under our role, and no validation knows it; what it created is left alone");
    }
    Ok(of_nobody.len())
}

async fn invoke_all(app: &App, ids: Vec<String>) -> usize {
    stream::iter(ids)
        .map(|id| async move {
            let payload = json!({ "advance": { "validation_id": id } }).to_string();
            let result = app
                .aws
                .lambda
                .invoke()
                .function_name(&app.config.function_name)
                .invocation_type(aws_sdk_lambda::types::InvocationType::Event)
                .payload(aws_sdk_lambda::primitives::Blob::new(payload))
                .send()
                .await
                .map_err(failed("lambda:Invoke"));
            match result {
                Ok(_) => 1,
                Err(error) => {
                    warn!(validation.id = %id, "validation {id} could not be invoked; the next sweep does: {error}");
                    0
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .fold(0, |sum, one| async move { sum + one })
        .await
}

//! The scheduled pass: what is due is invoked, what events lost is found. It runs no checks itself.

use futures_util::FutureExt;
use std::collections::BTreeMap;

use futures_util::{StreamExt, future, stream};
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::validation::{Validation, validation_id};
use serde_json::json;
use tracing::warn;

use crate::aws::failed;
use crate::backup::DescribedPoint;
use crate::failure::{self, Failure};
use crate::ledger::{Outcome, Page};
use crate::watch::vaults;
use crate::{App, backup, queue, watch};

/// Kept of a sweep for those who wait for a slot.
const KEPT_FOR_THE_LINES: SignedDuration = SignedDuration::from_mins(5);
/// How many invocations are under way at once.
const AT_ONCE: usize = 16;
/// How far back recovery points are looked for that landed.
const LANDED_SINCE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How much older they may be themselves: a copy is dated by what it is a copy of, which may be weeks older.
const COPIED_AFTER: SignedDuration = SignedDuration::from_hours(28 * 24);
/// How far back restore jobs are looked for.
const JOBS_SINCE: SignedDuration = SignedDuration::from_hours(48);
/// A restore job younger than this may not have reached the ledger yet.
const JOB_SETTLES: SignedDuration = SignedDuration::from_hours(1);

/// Invokes the function for each validation that is due, as far as time allows, the longest due first; then for those
/// that wait and may have a slot; and measures how the work gets on. Nothing that goes wrong with one of these keeps the
/// others from being done. Returns how many were invoked.
///
/// # Errors
/// When the ledger, S3 or CloudWatch Logs does not answer: the first such error, after all the rest was done. An
/// invocation that fails is made again by the next sweep.
pub async fn due(app: &App, deadline: Timestamp) -> failure::Result<usize> {
    let mut parts = Parts::default();
    let now = app.now();
    let (open, slots) = future::join(app.ledger.open_page(None), app.ledger.slots()).await;
    let open = parts.of("what is due", open);
    let slots = parts.of("slots", slots);
    let mut lines = None;
    if let Some(slots) = &slots {
        let named = queue::lines(app, slots.lines(), None).await;
        lines = parts.of("who waits", named);
    }
    let counted = open.as_ref().map(|page| page.listed.clone());
    let measured = watch::measure(app, counted.as_deref(), slots.as_ref(), lines.as_deref());
    let (measured, invoked) = future::join(measured, invoke_due(app, open, now, deadline)).await;
    parts.of("measuring", measured);
    let mut invoked = parts.of("all that is due", invoked).unwrap_or_default();
    if let (Some(slots), Some(lines)) = (slots, lines) {
        let struck_off = queue::strike_off_empty(app, &slots, &lines).await;
        parts.of("empty lines", struck_off);
        let called = queue::callable(app, &slots, lines).await;
        let called = parts.of("free slots", called).unwrap_or_default();
        invoked += invoke_all(app, called).await;
    }
    parts.end()?;
    Ok(invoked)
}

/// Invokes the function for what is due of this page of what is open, and of those that follow.
async fn invoke_due(
    app: &App,
    mut page: Option<Page>,
    now: Timestamp,
    deadline: Timestamp,
) -> failure::Result<usize> {
    let mut invoked = 0;
    while let Some(Page { listed, next }) = page.take() {
        let open = listed.len();
        let due = listed.into_iter().filter(|one| one.at <= now);
        let due: Vec<String> = due.map(|one| one.id).collect();
        // What follows is due later than the last of these.
        let next = next.filter(|_| due.len() == open);
        invoked += invoke_all(app, due).await;
        if let Some(start) = next
            && app.now() + KEPT_FOR_THE_LINES < deadline
        {
            page = Some(app.ledger.open_page(Some(start)).await?);
        }
    }
    Ok(invoked)
}

/// What the hourly sweep found.
#[derive(Debug)]
pub struct Found {
    /// Recovery points that no event told of: so many validations were opened.
    pub opened: usize,
    /// Restore jobs of our role that no validation knows.
    pub jobs_of_nobody: usize,
    /// Vaults that could not be read, in which nothing lands, or that no parameter names.
    pub vaults: usize,
    /// Resources in our network that no open validation accounts for.
    pub unknown: usize,
}

/// Opens validations of recovery points that no event told of; measures how old the oldest without a verdict is; and
/// reports vaults, restore jobs and resources that nobody accounts for. What goes wrong with one of these, or with one
/// vault, keeps none of the others from being done.
///
/// # Errors
/// When AWS Backup, the ledger or another service does not answer: the first such error, after all the rest was done.
/// A vault that is not there or refuses is no error but a finding.
pub async fn lost(app: &App, nonce: &str, deadline: Timestamp) -> failure::Result<Found> {
    let mut parts = Parts::default();
    let points = Box::pin(look_through_vaults(app, nonce, &mut parts)).await;
    let (opened, vaults) = parts.of("the vaults", points).unwrap_or_default();
    let now = app.now();
    let jobs_of_nobody = report_unknown_jobs(app, now).await;
    let lost_slots = queue::give_back_lost(app).await;
    let unknown = Box::pin(watch::report_unknown(app)).await;
    // Last, since there may be many vaults that are no business of ours.
    let until = deadline - KEPT_FOR_THE_LINES;
    let unnamed = Box::pin(vaults::report_unnamed(app, now - LANDED_SINCE, until)).await;
    let found = Found {
        opened,
        vaults: vaults + parts.of("unnamed vaults", unnamed).unwrap_or_default(),
        jobs_of_nobody: parts.of("restore jobs", jobs_of_nobody).unwrap_or_default(),
        unknown: parts.of("the network", unknown).unwrap_or_default(),
    };
    parts.of("slots", lost_slots);
    parts.end()?;
    Ok(found)
}

/// Opens what no event told of in the vaults, and reports how they are. Returns how many validations were opened, and how
/// many vaults there is something to say about.
async fn look_through_vaults(
    app: &App,
    nonce: &str,
    parts: &mut Parts,
) -> failure::Result<(usize, usize)> {
    let now = app.now();
    let since = now - LANDED_SINCE;
    let installed = app.ledger.installed_at(now).await?;
    let watched = vaults::read(app, since - COPIED_AFTER).await;
    let mut landed = BTreeMap::new();
    for vault in &watched {
        let vault_arn = app.config.vault_arn(&vault.name);
        let points = vault.points.iter().flatten();
        for (point, at) in points.filter_map(|point| Some((point, landed_at(point)?))) {
            if at >= installed.max(since) {
                let id = validation_id(&app.config.name_prefix, &vault_arn, &point.arn, None);
                landed.insert(id, (at, point, vault_arn.clone()));
            }
        }
    }
    let outcomes = app.ledger.outcomes(landed.keys().cloned().collect());
    let outcomes = outcomes.await?;
    let mut opened = Vec::new();
    for (id, (_, point, vault_arn)) in &landed {
        if outcomes.contains_key(id) {
            continue;
        }
        let prefix = &app.config.name_prefix;
        let mut validation = Validation::open(prefix, &point.arn, vault_arn, None, now);
        validation.recovery_point.resource_arn = point.resource_arn.clone();
        validation.recovery_point.resource_type = point.resource_type.clone();
        let new = app.ledger.open(&validation, nonce).await;
        if parts.of(&point.arn, new) == Some(true) {
            opened.push(id.clone());
        }
    }
    let opened = invoke_all(app, opened).await;
    let landed: Vec<_> = landed
        .iter()
        .map(|(id, (at, ..))| (*at, outcomes.get(id).copied().unwrap_or(Outcome::Open)))
        .collect();
    let findings = Box::pin(vaults::report(app, &watched, &landed, since, now)).await;
    let findings = parts.of("what vaults hold", findings).unwrap_or_default();
    // Of a vault that does not answer nothing can be told: the function's error says so.
    for vault in watched {
        if let Err(error) = vault.points
            && !vaults::is_finding(&error)
        {
            parts.of::<()>(&format!("vault {}", vault.name), Err(error.into()));
        }
    }
    Ok((opened, findings))
}

/// When a recovery point landed, whole or in part; none while it has not, and when it is on its way out.
pub fn landed_at(point: &DescribedPoint) -> Option<Timestamp> {
    let is_there = matches!(point.status.as_str(), "COMPLETED" | "AVAILABLE" | "PARTIAL");
    point.completed_at.or(point.created_at).filter(|_| is_there)
}

/// The parts of a sweep: an error of one is logged, and the others are done all the same.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    first_error: Option<Failure>,
}

impl Parts {
    /// The result of a part that went well.
    pub(crate) fn of<T>(&mut self, what: &str, result: failure::Result<T>) -> Option<T> {
        match result {
            Ok(done) => Some(done),
            Err(error) => {
                warn!("the sweep goes on without {what}: {error:#}");
                self.first_error.get_or_insert(error);
                None
            }
        }
    }

    /// The first error there was.
    pub(crate) fn end(self) -> failure::Result<()> {
        self.first_error.map_or(Ok(()), Err)
    }
}

/// A job of our role that no validation knows is reported, never touched: whose it is cannot be told. Answers how many.
async fn report_unknown_jobs(app: &App, now: Timestamp) -> failure::Result<usize> {
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
.boxed()
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

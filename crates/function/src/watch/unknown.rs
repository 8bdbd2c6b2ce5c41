//! What lies in our network and belongs to no open validation. It is reported, never touched: a colleague who restores
//! into our subnets by hand makes exactly that.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use restore_proof_core::arn::Arn;
use restore_proof_core::message;
use restore_proof_core::name::validation_named;
use restore_proof_core::resource_type::MarkedBy;
use restore_proof_core::validation::{RestoreJob, Stage};
use serde_json::json;
use tracing::warn;

use crate::failure;
use crate::publish::{self, Metric};
use crate::resource::{self, Neighbour};
use crate::{App, backup};

/// Younger than this, whose it is may not be written down yet.
const SETTLES: SignedDuration = SignedDuration::from_hours(1);
/// How much older than what it makes a restore job may be: longer than a restore is waited for.
const JOB_BEFORE: SignedDuration = SignedDuration::from_hours(72);
/// The most that people are told of in one sweep; the next one goes on.
const MOST_TOLD: usize = 20;

/// Looks for what no open validation accounts for, tells people of each once, and measures how much there is. Two
/// listings, a third when there are machines, and a few reads for each thing found.
///
/// # Errors
/// When AWS does not answer.
pub async fn report_unknown(app: &App) -> failure::Result<usize> {
    let now = app.now();
    let settled = |one: &Neighbour| {
        one.created_at
            .is_some_and(|at| now.duration_since(at) > SETTLES)
    };
    let mut unknown = Vec::new();
    // Asked for at most once, and only when something is there that nothing but its restore job accounts for.
    let mut jobs = None;
    // Of other types the stack has no permission to ask.
    for &resource_type in &app.config.types {
        let mut there = resource::network_inventory(&app.aws, &app.config, resource_type).await?;
        there.retain(settled);
        let oldest = there.iter().filter_map(|one| one.created_at).min();
        for one in there {
            let is_accounted = match resource_type.facts().marked_by {
                MarkedBy::Name => is_accounted_by_name(app, &one).await?,
                MarkedBy::Subnet => {
                    if let (None, Some(oldest)) = (&jobs, oldest) {
                        let since = oldest - JOB_BEFORE;
                        jobs = Some(backup::restore_jobs_since(&app.aws, since).await?);
                    }
                    is_accounted_by_job(app, &one, jobs.as_deref().unwrap_or_default()).await?
                }
            };
            if !is_accounted {
                unknown.push(one);
            }
        }
    }
    let measured = [Metric::count("UnknownResources", unknown.len())];
    publish::log_event(&app.aws, &app.config, "network", json!({}), &measured, now).await?;
    let mut told = 0;
    for one in &unknown {
        if told < MOST_TOLD && tell(app, one, now).await? {
            told += 1;
        }
    }
    Ok(unknown.len())
}

/// Whether it bears the name that an open validation has planned.
async fn is_accounted_by_name(app: &App, one: &Neighbour) -> failure::Result<bool> {
    let Some(id) = validation_named(&app.config.name_prefix, &one.name) else {
        return Ok(false);
    };
    let Some(validation) = app.ledger.find(id).await? else {
        return Ok(false);
    };
    let planned = validation
        .intent
        .is_some_and(|intent| intent.target_name == one.name);
    Ok(planned && validation.stage != Stage::Closed)
}

/// Whether it was made, or may be being made, by a restore job of an open validation.
async fn is_accounted_by_job(
    app: &App,
    one: &Neighbour,
    jobs: &[RestoreJob],
) -> failure::Result<bool> {
    let may_have_made = |job: &&RestoreJob| match &job.created_resource_arn {
        Some(made) => *made == one.arn,
        // While it runs it names nothing: then the image tells.
        None => {
            let image = job
                .recovery_point_arn
                .as_deref()
                .and_then(|arn| arn.parse().ok());
            let image = image.map(|arn: Arn| arn.name().to_owned());
            !job.has_ended() && image.is_some() && image == one.image
        }
    };
    let ours = Some(app.config.restore_role_arn.as_str());
    let jobs = jobs.iter().filter(|job| job.role_arn.as_deref() == ours);
    let mut asked = BTreeSet::new();
    for job in jobs.filter(may_have_made) {
        let Some(id) = app.ledger.validation_of_job(&job.id).await? else {
            continue;
        };
        if !asked.insert(id.clone()) {
            continue;
        }
        let validation = app.ledger.find(&id).await?;
        if validation.is_some_and(|validation| validation.stage != Stage::Closed) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Tells people, unless they were told. Answers whether it did.
async fn tell(app: &App, one: &Neighbour, now: Timestamp) -> failure::Result<bool> {
    // What is made anew under the same name is something else.
    let created = one.created_at.map(|at| at.to_string()).unwrap_or_default();
    let what = format!("{}#{created}", one.arn);
    if app.ledger.was_told_of(&what).await? {
        return Ok(false);
    }
    let reason = match validation_named(&app.config.name_prefix, &one.name) {
        Some(id) => format!(
            "it bears our name, and validation {id} is closed, unknown or has planned another"
        ),
        None => "no restore job of an open validation made it".to_owned(),
    };
    warn!(resource.arn = %one.arn, "{} lies in the isolated network: {reason}; it is left alone", one.arn);
    let facts = json!({
        "resource_arn": one.arn,
        "resource_type": one.resource_type.name(),
        "created": created,
        "reason": reason,
    });
    publish::log_event(&app.aws, &app.config, "unknown_resource", facts, &[], now).await?;
    let message = message::of_unknown_resource(
        &one.arn,
        one.resource_type.name(),
        &created,
        &reason,
        &app.config.name_prefix,
    );
    publish::send(&app.aws, &app.config, &message).await?;
    app.ledger.remember_told_of(&what, now).await?;
    Ok(true)
}

//! The proof that a restored resource is ours. Nothing is prepared, checked or deleted without it.
//!
//! A colleague's recovery in the same account may look much like ours. What tells them apart is our own
//! ledger, the role, the name, and the order of things; every leg must hold.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Arn;
use crate::validation::{Intent, Origin, Part, PartKind, RestoreJob, Step, StepState};

/// By what a restored resource is known as the one that was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It has this name, which is made of our prefix, the validation's id and the attempt.
    Name(String),
    /// A restore that takes no name: it lies in this subnet, the isolated one.
    Subnet(String),
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Mark::Name(name) => write!(f, "name {name}"),
            Mark::Subnet(subnet) => write!(f, "subnet {subnet}"),
        }
    }
}

/// A resource as its own service describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its ARN.
    pub arn: String,
    /// By which its service knows it: its name, or its id.
    pub name: String,
    /// What shows that it was planned by us.
    pub mark: Mark,
    /// When it was created, once that is known.
    pub created_at: Option<Timestamp>,
}

/// A resource proved to be ours. Only [`prove`] makes one, and deletion consumes it.
#[derive(Debug)]
pub struct OwnedResource {
    name: String,
}

impl OwnedResource {
    /// The name by which its service knows it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why a resource is not provably ours, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not provably ours: {0}")]
pub struct NotOurs(pub String);

/// Proves that `found` is what `job` created for `intent`.
///
/// # Errors
/// The first leg that does not hold. What a leg needs and AWS does not tell counts as not holding.
pub fn prove(
    intent: &Intent,
    recovery_point_arn: &str,
    restore_role_arn: &str,
    job: &RestoreJob,
    found: &Found,
) -> Result<OwnedResource, NotOurs> {
    let not_ours = |why: String| Err(NotOurs(why));

    // Leg 1: the ledger holds the intent for this very job.
    if intent.restore_job_id.as_deref() != Some(job.id.as_str()) {
        return not_ours(format!(
            "the ledger knows no intent for restore job {}",
            job.id
        ));
    }
    // Leg 2: the job ran under the role that nobody else uses, for the recovery point under test.
    if job.role_arn.as_deref() != Some(restore_role_arn) {
        return not_ours(format!("restore job {} did not run under our role", job.id));
    }
    if job.recovery_point_arn.as_deref() != Some(recovery_point_arn) {
        return not_ours(format!(
            "restore job {} restored another recovery point",
            job.id
        ));
    }
    // Leg 3: it is what the job names, and it bears the planned name or lies where it was planned to lie.
    if job.created_resource_arn.as_deref() != Some(found.arn.as_str()) {
        return not_ours(format!(
            "restore job {} does not name {}",
            job.id, found.name
        ));
    }
    if found.mark != intent.mark {
        return not_ours(format!(
            "{} has {}, and {} was planned",
            found.name, found.mark, intent.mark
        ));
    }
    // Leg 4: it did not exist before the job.
    match (found.created_at, job.created_at) {
        (Some(found_at), Some(job_at)) if found_at > job_at => {}
        (Some(_), Some(_)) => {
            return not_ours(format!(
                "{} is older than restore job {}",
                found.name, job.id
            ));
        }
        _ => return not_ours(format!("when {} was created is not known", found.name)),
    }
    Ok(OwnedResource {
        name: found.name.clone(),
    })
}

/// A part as its own service describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPart {
    /// What it is.
    pub kind: PartKind,
    /// Its name or id.
    pub id: String,
    /// When it was created, once that is known.
    pub created_at: Option<Timestamp>,
    /// The resources it is attached to or belongs to, by name or id.
    pub belongs_to: Vec<String>,
    /// Since when it is attached to the resource it was looked up by.
    pub attached_at: Option<Timestamp>,
}

/// A part proved to be ours. Only [`prove_part`] makes one, and deletion consumes it.
#[derive(Debug)]
pub struct OwnedPart {
    kind: PartKind,
    id: String,
}

impl OwnedPart {
    /// What it is.
    pub fn kind(&self) -> PartKind {
        self.kind
    }

    /// The name or id by which its service knows it.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The resource that a part belongs to, as far as is known of it when the part is to be proved.
#[derive(Clone, Copy, Debug)]
pub enum Whole<'a> {
    /// Proved ours just now.
    Proved(&'a OwnedResource),
    /// Ended, of this name or id: a machine is gone before its volumes are.
    Ended(&'a str),
}

impl Whole<'_> {
    fn name(&self) -> &str {
        match self {
            Whole::Proved(owned) => owned.name(),
            Whole::Ended(name) => name,
        }
    }
}

/// Proves that a part is ours: the ledger noted it; it was made by our restore job, or by a step of ours for a resource
/// that is proved ours, after the step was wished; and nobody else uses it.
///
/// # Errors
/// The first leg that does not hold. What a leg needs and AWS does not tell counts as not holding.
pub fn prove_part(
    noted: &[Part],
    steps: &BTreeMap<Step, StepState>,
    whole: Whole<'_>,
    job: &RestoreJob,
    found: &FoundPart,
) -> Result<OwnedPart, NotOurs> {
    let what = format!("{} {}", found.kind.noun(), found.id);
    let not_ours = |why: String| Err(NotOurs(format!("{what} {why}")));
    let mut noted = noted.iter();
    let Some(part) = noted.find(|part| part.kind == found.kind && part.id == found.id) else {
        return not_ours(format!("was not noted with {}", whole.name()));
    };
    match part.origin {
        Origin::RestoreJob => {
            if !while_running(job, found.created_at) {
                return not_ours(format!("was not made by restore job {}", job.id));
            }
        }
        Origin::Step(step) => {
            let Whole::Proved(_) = whole else {
                return not_ours(format!("belongs to {}, which has ended", whole.name()));
            };
            let wished_at = steps.get(&step).map(|state| state.wished_at);
            if !matches!((found.created_at, wished_at), (Some(made), Some(wished)) if made > wished)
            {
                return not_ours("was not made after we wished for it".to_owned());
            }
            if found.belongs_to.is_empty() {
                return not_ours(format!("does not belong to {}", whole.name()));
            }
        }
    }
    let mut others = found.belongs_to.iter();
    if let Some(other) = others.find(|other| *other != whole.name()) {
        return not_ours(format!("is attached to {other}"));
    }
    Ok(OwnedPart {
        kind: found.kind,
        id: found.id.clone(),
    })
}

/// Whether a part that is attached to a restored resource of ours came with it: made, and attached, while the job ran.
/// What somebody attaches afterwards is not ours, even if it was made in those minutes.
pub fn is_of_restore(job: &RestoreJob, part: &FoundPart) -> bool {
    while_running(job, part.created_at) && while_running(job, part.attached_at)
}

fn while_running(job: &RestoreJob, at: Option<Timestamp>) -> bool {
    match (at, job.created_at, job.completed_at) {
        (Some(at), Some(began), Some(ended)) => at > began && at <= ended,
        _ => false,
    }
}

/// Whether a restore job found in a listing is the one that an intent without a job id has started: our role,
/// our recovery point, and in the job's own metadata the planned values of the keys it is recognised by
/// ([`crate::plan::recognised_by`]).
pub fn adopts(
    intent: &Intent,
    recovery_point_arn: &str,
    restore_role_arn: &str,
    job: &RestoreJob,
    recognised_by: &[&str],
    job_metadata: &BTreeMap<String, String>,
) -> bool {
    // AWS Backup does not keep the case of keys everywhere.
    let value = |metadata: &BTreeMap<String, String>, key: &str| {
        metadata
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value.clone())
    };
    job.role_arn.as_deref() == Some(restore_role_arn)
        && job.recovery_point_arn.as_deref() == Some(recovery_point_arn)
        && !recognised_by.is_empty()
        && recognised_by.iter().all(|key| {
            let planned = value(&intent.metadata, key);
            let known = value(job_metadata, key);
            planned.is_some() && planned.as_deref().map(meaning) == known.as_deref().map(meaning)
        })
}

/// A value of restore metadata: lists are JSON inside the text, and one more space means nothing.
fn meaning(value: &str) -> serde_json::Value {
    match serde_json::from_str(value) {
        Ok(json @ (serde_json::Value::Array(_) | serde_json::Value::Object(_))) => json,
        _ => serde_json::Value::from(value),
    }
}

/// The name in the ARN of what a job created.
pub fn created_name(job: &RestoreJob) -> Option<String> {
    let arn: Arn = job.created_resource_arn.as_deref()?.parse().ok()?;
    Some(arn.name().to_owned())
}

#[cfg(test)]
mod tests;

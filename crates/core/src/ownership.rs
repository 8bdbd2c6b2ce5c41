//! The proof that a restored resource is ours. Nothing is prepared, checked or deleted without it.
//!
//! A colleague's recovery in the same account may look much like ours. What tells them apart is our own
//! ledger, the role, the name, and the order of things; every leg must hold.

use jiff::Timestamp;

use crate::arn::Arn;
use crate::validation::{Intent, RestoreJob};

/// A resource as its own service describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
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
    // Leg 3: it is what the job names, and it has the planned name.
    if job.created_resource_arn.as_deref() != Some(found.arn.as_str()) {
        return not_ours(format!(
            "restore job {} does not name {}",
            job.id, found.name
        ));
    }
    if found.name != intent.target_name {
        return not_ours(format!(
            "{} is not the planned name {}",
            found.name, intent.target_name
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

/// Whether a restore job found in a listing is the one that an intent without a job id has started: our role,
/// our recovery point, and the planned name in the job's own metadata.
pub fn adopts(
    intent: &Intent,
    recovery_point_arn: &str,
    restore_role_arn: &str,
    job: &RestoreJob,
    name_in_metadata: Option<&str>,
) -> bool {
    job.role_arn.as_deref() == Some(restore_role_arn)
        && job.recovery_point_arn.as_deref() == Some(recovery_point_arn)
        && name_in_metadata == Some(intent.target_name.as_str())
}

/// The name in the ARN of what a job created.
pub fn created_name(job: &RestoreJob) -> Option<String> {
    let arn: Arn = job.created_resource_arn.as_deref()?.parse().ok()?;
    Some(arn.name().to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const ROLE: &str = "arn:aws:iam::111122223333:role/restore-proof-restore";
    const POINT: &str = "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-1";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number")
    }

    fn intent() -> Intent {
        Intent {
            attempt: 1,
            target_name: "rp-1-1".to_owned(),
            idempotency_token: "t".to_owned(),
            metadata: BTreeMap::new(),
            planned_at: at(50),
            restore_job_id: Some("job-1".to_owned()),
        }
    }

    fn job() -> RestoreJob {
        RestoreJob {
            id: "job-1".to_owned(),
            recovery_point_arn: Some(POINT.to_owned()),
            role_arn: Some(ROLE.to_owned()),
            created_at: Some(at(100)),
            completed_at: Some(at(200)),
            status: "COMPLETED".to_owned(),
            status_message: None,
            created_resource_arn: Some(
                "arn:aws:rds:eu-central-1:111122223333:db:rp-1-1".to_owned(),
            ),
            size_bytes: None,
        }
    }

    fn found() -> Found {
        Found {
            arn: "arn:aws:rds:eu-central-1:111122223333:db:rp-1-1".to_owned(),
            name: "rp-1-1".to_owned(),
            created_at: Some(at(150)),
        }
    }

    #[test]
    fn all_legs_hold() {
        let owned = prove(&intent(), POINT, ROLE, &job(), &found()).expect("ours");
        assert_eq!(owned.name(), "rp-1-1");
        assert!(adopts(&intent(), POINT, ROLE, &job(), Some("rp-1-1")));
    }

    #[test]
    fn one_missing_leg_is_enough_to_keep_hands_off() {
        let refused = |intent: Intent, job: RestoreJob, found: Found, why: &str| {
            let error = prove(&intent, POINT, ROLE, &job, &found).expect_err(why);
            assert!(
                error.to_string().contains(why),
                "{error} should speak of {why}"
            );
        };
        refused(
            Intent {
                restore_job_id: None,
                ..intent()
            },
            job(),
            found(),
            "no intent",
        );
        refused(
            intent(),
            RestoreJob {
                id: "job-2".to_owned(),
                ..job()
            },
            found(),
            "no intent",
        );
        refused(
            intent(),
            RestoreJob {
                role_arn: None,
                ..job()
            },
            found(),
            "our role",
        );
        refused(
            intent(),
            RestoreJob {
                role_arn: Some(format!("{ROLE}2")),
                ..job()
            },
            found(),
            "our role",
        );
        refused(
            intent(),
            RestoreJob {
                recovery_point_arn: None,
                ..job()
            },
            found(),
            "another recovery point",
        );
        refused(
            intent(),
            RestoreJob {
                created_resource_arn: None,
                ..job()
            },
            found(),
            "does not name",
        );
        refused(
            intent(),
            job(),
            Found {
                arn: "arn:aws:rds:eu-central-1:1:db:rp-1-1".to_owned(),
                ..found()
            },
            "does not name",
        );
        refused(
            Intent {
                target_name: "rp-2-1".to_owned(),
                ..intent()
            },
            job(),
            found(),
            "planned name",
        );
        refused(
            intent(),
            job(),
            Found {
                created_at: None,
                ..found()
            },
            "not known",
        );
        refused(
            intent(),
            RestoreJob {
                created_at: None,
                ..job()
            },
            found(),
            "not known",
        );
        refused(
            intent(),
            job(),
            Found {
                created_at: Some(at(99)),
                ..found()
            },
            "older",
        );
        refused(
            intent(),
            job(),
            Found {
                created_at: Some(at(100)),
                ..found()
            },
            "older",
        );
    }

    #[test]
    fn adoption_wants_role_recovery_point_and_name() {
        assert!(!adopts(&intent(), POINT, ROLE, &job(), None));
        assert!(!adopts(&intent(), POINT, ROLE, &job(), Some("rp-1-2")));
        assert!(!adopts(
            &intent(),
            POINT,
            "arn:aws:iam::111122223333:role/admin",
            &job(),
            Some("rp-1-1")
        ));
        assert!(!adopts(
            &intent(),
            "arn:other",
            ROLE,
            &job(),
            Some("rp-1-1")
        ));
    }
}

//! What is restored: found, looked at, deleted, confirmed gone. One file for each resource type; what the state
//! machine asks of all of them is asked here, once for each question.

pub mod ec2;
mod groups;
pub mod neighbours;
pub mod rds;

use std::collections::BTreeMap;

use jiff::Timestamp;
use restore_proof_core::arn::Arn;
use restore_proof_core::ownership::{Found, OwnedResource};
use restore_proof_core::policy::Rule;
use restore_proof_core::resource_type::ResourceType;
use restore_proof_core::validation::{RecoveryPoint, RestoreJob};

use crate::aws::{Aws, AwsError};
use crate::check::Target;
use crate::config::Config;

/// A restored resource as its own service describes it.
#[derive(Clone, Debug)]
pub enum Resource {
    /// A DB instance.
    Rds(rds::Instance),
    /// A machine.
    Ec2(ec2::Machine),
}

/// How a resource is.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Ready for checks, which go to this target.
    Ready(Target),
    /// It is being made, and will be ready.
    Preparing,
    /// It will not be ready; why, in words.
    Broken(String),
    /// It is being deleted.
    Deleting,
    /// It is shown still, and exists no more.
    Gone,
}

/// What became of the wish to delete.
#[derive(Debug)]
pub enum Deletion {
    /// AWS took it, or has taken it before.
    Asked,
    /// AWS refuses; the reason in its words.
    Blocked(String),
}

/// What the service itself knows of the recovery point.
#[derive(Clone, Debug, Default)]
pub struct BackedUp {
    /// When the original of a copy was made.
    pub created_at: Option<Timestamp>,
    /// Its tags (AWS Backup lists tags only of types it manages fully).
    pub tags: BTreeMap<String, String>,
    /// Names of the block devices of a machine's image.
    pub devices: Vec<String>,
}

impl Resource {
    /// What ownership is proved by.
    pub fn found(&self) -> &Found {
        match self {
            Resource::Rds(instance) => &instance.found,
            Resource::Ec2(machine) => &machine.found,
        }
    }

    /// How it is.
    pub fn condition(&self, config: &Config) -> Condition {
        match self {
            Resource::Rds(instance) => instance.condition(),
            Resource::Ec2(machine) => machine.condition(config),
        }
    }

    /// Whether it leaves its state by itself, so that a deletion refused now is taken soon.
    pub fn is_passing(&self) -> bool {
        match self {
            Resource::Rds(instance) => instance.is_passing(),
            Resource::Ec2(machine) => machine.is_passing(),
        }
    }

    /// What the plan asked for and what the metadata cannot force, asserted on the result: where it lies, behind what, and
    /// that the groups it is behind let nothing out. Each problem in words; none when it is isolated and encrypted as it
    /// should be.
    ///
    /// # Errors
    /// When EC2 refuses or does not answer: that says nothing of the isolation.
    pub async fn isolation_problems(
        &self,
        aws: &Aws,
        config: &Config,
        rule: &Rule,
        point: &RecoveryPoint,
    ) -> Result<Vec<String>, AwsError> {
        let (problems, groups) = match self {
            Resource::Rds(instance) => (
                rds::isolation_problems(instance, config, point),
                &instance.security_groups,
            ),
            Resource::Ec2(machine) => (
                ec2::isolation_problems(machine, config, rule, point),
                &machine.security_groups,
            ),
        };
        if !problems.is_empty() {
            return Ok(problems);
        }
        // Ours by now; and what they let out anybody may have changed since the network was made.
        groups::ways_out(aws, groups).await
    }
}

/// Describes a resource; none when its service says that there is none of this name.
///
/// # Errors
/// When the service refuses or does not answer; an answer without the resource is an error too, never "gone".
pub async fn find(
    aws: &Aws,
    config: &Config,
    resource_type: ResourceType,
    name: &str,
) -> Result<Option<Resource>, AwsError> {
    Ok(match resource_type {
        ResourceType::Rds => rds::find(aws, name).await?.map(Resource::Rds),
        ResourceType::Ec2 => ec2::find(aws, config, name).await?.map(Resource::Ec2),
    })
}

/// The name or id of what a restore job says it made; none when it names nothing of this type.
pub fn made_by(resource_type: ResourceType, job: &RestoreJob) -> Option<String> {
    let arn: Arn = job.created_resource_arn.as_deref()?.parse().ok()?;
    let (service, kind) = match resource_type {
        ResourceType::Rds => ("rds", "db"),
        ResourceType::Ec2 => ("ec2", "instance"),
    };
    let (is, name) = arn.resource.split_once(['/', ':'])?;
    (arn.service == service && is == kind).then(|| name.to_owned())
}

/// What a restore job that ended without naming anything may have left: of the planned name, or launched from the
/// recovery point's image where a restore takes no name. It is not provably ours; its names are for people.
///
/// # Errors
/// When the service refuses or does not answer.
pub async fn left_unnamed(
    aws: &Aws,
    config: &Config,
    resource_type: ResourceType,
    target_name: &str,
    recovery_point_arn: &str,
    job_created_at: Option<Timestamp>,
) -> Result<Vec<String>, AwsError> {
    match resource_type {
        ResourceType::Rds => {
            let found = find(aws, config, resource_type, target_name).await?;
            Ok(found.iter().map(|one| one.found().name.clone()).collect())
        }
        ResourceType::Ec2 => {
            let image = recovery_point_arn.parse::<Arn>();
            match (image, job_created_at) {
                (Ok(image), Some(since)) => {
                    ec2::launched_from(aws, config, image.name(), since).await
                }
                _ => Ok(Vec::new()),
            }
        }
    }
}

/// Deletes what is proved to be ours.
///
/// # Errors
/// When the service does not answer, or asks to try again.
pub async fn delete(
    aws: &Aws,
    resource_type: ResourceType,
    owned: OwnedResource,
) -> Result<Deletion, AwsError> {
    match resource_type {
        ResourceType::Rds => rds::delete(aws, owned).await,
        ResourceType::Ec2 => ec2::delete(aws, owned).await,
    }
}

/// What the service itself knows of a recovery point, which has the ARN of the snapshot or image it is: nothing of other
/// types. None when the service does not know a snapshot or image.
///
/// # Errors
/// When the service refuses or does not answer.
pub async fn backed_up(aws: &Aws, recovery_point_arn: &str) -> Result<Option<BackedUp>, AwsError> {
    let Ok(arn) = recovery_point_arn.parse::<Arn>() else {
        return Ok(Some(BackedUp::default()));
    };
    match (arn.service.as_str(), arn.resource.split_once(['/', ':'])) {
        ("rds", _) => rds::snapshot(aws, arn.name()).await,
        ("ec2", Some(("image", id))) => ec2::image(aws, id).await,
        _ => Ok(Some(BackedUp::default())),
    }
}

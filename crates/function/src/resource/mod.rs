//! What is restored: looked at, made ready, deleted, confirmed gone. One file for each resource type; the state machine
//! asks each question here and knows no type.

mod aurora;
mod ec2;
pub mod groups;
mod rds;
pub mod routes;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use restore_proof_core::arn::Arn;
use restore_proof_core::ownership::{Found, FoundPart, OwnedPart, OwnedResource};
use restore_proof_core::policy::{Credentials, Rule};
use restore_proof_core::resource_type::{Image, InstanceType, MarkedBy, ResourceType};
use restore_proof_core::validation::{Part, PartKind, RestoredNetwork, Step, Validation};

use crate::App;
use crate::aws::{Aws, AwsError};
use crate::check::{Login, Target};
use crate::config::Config;

/// A restored resource as its own service describes it.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What ownership is proved by.
    pub found: Found,
    /// How it is.
    pub condition: Condition,
    /// Whether it leaves its state by itself, so that a deletion refused now is taken soon.
    pub is_passing: bool,
    /// What is not as it was planned of where it lies, how it is reached and by what it is encrypted, each in words.
    pub isolation: Vec<String>,
    /// Where it lies.
    pub network: RestoredNetwork,
    /// Its instance class or type.
    pub class: Option<String>,
    /// The parts attached to it that its deletion leaves.
    pub came_with: Vec<FoundPart>,
    /// What somebody else has put into it, in words: as long as it is there nothing is deleted.
    pub used_by: Option<String>,
    /// The engine, of a database; for example `postgres`.
    pub engine: Option<String>,
    /// Its master user, of a database.
    pub master: Option<Master>,
    /// How long, from the end of the restore, what its checks find says nothing yet unless they pass: a machine boots.
    pub boot_timeout: Option<Duration>,
}

/// Who may do everything in a restored database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// The user's name.
    pub user: String,
    /// The database that was made with the source, if one was.
    pub database: Option<String>,
}

/// How a resource is.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Ready for checks, which go to this target.
    Ready(Target),
    /// It is being made or changed, and will be ready.
    Changing,
    /// It answers, so that its recovery is over; what is to be done to it before its checks must wait.
    Busy,
    /// It will be ready once this is done.
    Needs(Step),
    /// It will not be ready; why, in words.
    Broken(String),
    /// It is being deleted.
    Deleting,
    /// It is shown still, and exists no more.
    Gone,
}

/// What became of the wish to take a step.
#[derive(Debug)]
pub enum Prepared {
    /// AWS took it, or has taken it before; it works some time later.
    Asked,
    /// Not in the state the resource is in now, or not with the capacity AWS has now; why, in words.
    NotNow(String),
    /// AWS refuses; why, in words that hold nothing of what was sent.
    Refused(String),
}

/// What became of the wish to delete.
#[derive(Debug)]
pub enum Deletion {
    /// AWS took it, or has taken it before.
    Asked,
    /// AWS refuses; the reason in its words.
    Blocked(String),
}

/// A part as its own service describes it.
#[derive(Clone, Debug)]
pub struct SeenPart {
    /// What ownership is proved by.
    pub found: FoundPart,
    /// How it is.
    pub state: PartState,
}

/// How a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// It can be deleted.
    There,
    /// It can be deleted soon: it is being made or changed, or what holds it has not let go of it yet.
    Passing,
    /// It is being deleted.
    Deleting,
}

/// What the service itself knows of the recovery point.
#[derive(Clone, Debug, Default)]
pub struct BackedUp {
    /// When the original of a copy was made.
    pub created_at: Option<Timestamp>,
    /// Its tags (AWS Backup lists tags only of types it manages fully).
    pub tags: BTreeMap<String, String>,
    /// A machine's image.
    pub image: Image,
    /// What encrypts the snapshot.
    pub key: SnapshotKey,
}

/// What encrypts a snapshot, as its own service says. AWS Backup may name its vault's key instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SnapshotKey {
    /// The service does not say, or was not asked.
    #[default]
    Unknown,
    /// Nothing.
    None,
    /// The key of this ARN.
    Arn(String),
}

impl SnapshotKey {
    /// What RDS says of a snapshot.
    fn of(encrypted: Option<bool>, key_arn: Option<&str>) -> SnapshotKey {
        match (encrypted, key_arn) {
            (Some(true), Some(arn)) => SnapshotKey::Arn(arn.to_owned()),
            (Some(false), _) => SnapshotKey::None,
            (Some(true) | None, _) => SnapshotKey::Unknown,
        }
    }

    /// The ARN of the key, where AWS Backup has named this one.
    pub fn or(self, named: Option<String>) -> Option<String> {
        match self {
            SnapshotKey::Unknown => named,
            SnapshotKey::None => None,
            SnapshotKey::Arn(arn) => Some(arn),
        }
    }
}

/// Something in our network, whoever made it: looked at, never touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its ARN.
    pub arn: String,
    /// Its name or id.
    pub name: String,
    /// What it is a restore of, if it is one.
    pub resource_type: ResourceType,
    /// When it was created, once that is known.
    pub created_at: Option<Timestamp>,
    /// The image a machine was launched from.
    pub image: Option<String>,
}

/// Describes the resource of this name that was restored for a validation; none when its service says that there is none.
///
/// # Errors
/// When the service refuses or does not answer; an answer without the resource is an error too, never "gone".
pub async fn look(
    app: &App,
    validation: &Validation,
    resource_type: ResourceType,
    name: &str,
) -> Result<Option<Restored>, AwsError> {
    match resource_type {
        ResourceType::Aurora => aurora::look(&app.aws, &app.config, validation, name).await,
        ResourceType::Ec2 => ec2::look(&app.aws, &app.config, validation, name).await,
        ResourceType::Rds => rds::look(&app.aws, &app.config, validation, name).await,
    }
}

/// What the groups let out that a restored resource of ours is behind, each in words; nothing when they let nothing out.
/// What they let out anybody may have changed since the network was made.
///
/// # Errors
/// When EC2 refuses or does not answer: that says nothing of the isolation.
pub async fn ways_out(aws: &Aws, restored: &Restored) -> Result<Vec<String>, AwsError> {
    // Some types lie behind none.
    if restored.network.groups.is_empty() {
        return Ok(Vec::new());
    }
    groups::ways_out(aws, &restored.network.groups).await
}

/// The routes by which the isolated network leads out, each in words; nothing if it does not. All its subnets are asked
/// about: databases may lie in each of them. Where they lead anybody may have changed since the network was made.
///
/// # Errors
/// When EC2 refuses or does not answer: that says nothing of the isolation.
pub async fn routes_out(app: &App) -> Result<Vec<String>, AwsError> {
    routes::ways_out(&app.aws, &app.config.vpc, &app.config.subnets).await
}

/// Describes a part; none when its service says that there is none.
///
/// # Errors
/// As [`look`].
pub async fn look_at_part(aws: &Aws, part: &Part) -> Result<Option<SeenPart>, AwsError> {
    match part.kind {
        PartKind::Volume => ec2::look_at_volume(aws, &part.id).await,
        PartKind::DbInstance => rds::look_at_member(aws, &part.id).await,
    }
}

/// What is known when a step is taken.
#[derive(Clone, Copy, Debug)]
pub struct Preparation<'a> {
    /// The resource, proved ours.
    pub owned: &'a OwnedResource,
    /// As it was seen just before.
    pub restored: &'a Restored,
    /// What the rule says.
    pub rule: &'a Rule,
    /// The password to be set, where the step sets one.
    pub login: Option<&'a Login>,
}

/// Takes a step on a resource that is proved ours.
///
/// # Errors
/// When the service does not answer, or asks to try again.
pub async fn prepare(
    aws: &Aws,
    resource_type: ResourceType,
    step: Step,
    of: Preparation<'_>,
) -> Result<Prepared, AwsError> {
    match resource_type {
        ResourceType::Aurora => aurora::prepare(aws, step, of).await,
        ResourceType::Ec2 => Ok(not_a_step_of(resource_type, step)),
        ResourceType::Rds => rds::prepare(aws, step, of).await,
    }
}

/// No look asks for such a step.
fn not_a_step_of(resource_type: ResourceType, step: Step) -> Prepared {
    Prepared::Refused(format!(
        "{step:?} is no step of type {}",
        resource_type.name()
    ))
}

/// Gives a resource that is proved ours the tag that says whose it is. Nothing is proved by it.
///
/// # Errors
/// When the service refuses or does not answer.
pub async fn tag(
    aws: &Aws,
    resource_type: ResourceType,
    owned: &OwnedResource,
    arn: &str,
    validation_id: &str,
) -> Result<(), AwsError> {
    match resource_type.facts().marked_by {
        // EC2 takes ids.
        MarkedBy::Subnet => ec2::tag(aws, owned, validation_id).await,
        MarkedBy::Name => rds::tag(aws, arn, validation_id).await,
    }
}

/// What a restore job that ended without naming anything may have left: of the planned name, or launched from the
/// recovery point's image where a restore takes no name. It is not provably ours; its names are for people.
///
/// # Errors
/// When the service refuses or does not answer.
pub async fn orphan_candidates(
    app: &App,
    validation: &Validation,
    resource_type: ResourceType,
    target_name: &str,
    job_created_at: Option<Timestamp>,
) -> Result<Vec<String>, AwsError> {
    match resource_type.facts().marked_by {
        MarkedBy::Name => {
            let found = look(app, validation, resource_type, target_name).await?;
            Ok(found.into_iter().map(|one| one.found.name).collect())
        }
        MarkedBy::Subnet => {
            let image = validation.recovery_point.arn.parse::<Arn>();
            match (image, job_created_at) {
                (Ok(image), Some(since)) => {
                    ec2::launched_from(&app.aws, &app.config, image.name(), since).await
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
        ResourceType::Aurora => aurora::delete(aws, owned).await,
        ResourceType::Ec2 => ec2::delete(aws, owned).await,
        ResourceType::Rds => rds::delete(aws, owned).await,
    }
}

/// Deletes a part that is proved to be ours.
///
/// # Errors
/// When the service does not answer, or asks to try again.
pub async fn delete_part(aws: &Aws, owned: OwnedPart) -> Result<Deletion, AwsError> {
    match owned.kind() {
        PartKind::Volume => ec2::delete_volume(aws, owned).await,
        PartKind::DbInstance => rds::delete_member(aws, owned).await,
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
        ("rds", Some(("cluster-snapshot", name))) => aurora::snapshot(aws, name).await,
        ("rds", _) => rds::snapshot(aws, arn.name()).await,
        ("ec2", Some(("image", id))) => ec2::image(aws, id).await,
        _ => Ok(Some(BackedUp::default())),
    }
}

/// What AWS says of the instance type that a rule asks for; none where it asks for none, and of types for which AWS is not
/// asked.
///
/// # Errors
/// When the service refuses or does not answer.
pub async fn chosen_type(
    aws: &Aws,
    resource_type: ResourceType,
    rule: &Rule,
) -> Result<Option<InstanceType>, AwsError> {
    match resource_type {
        ResourceType::Ec2 => match rule.types.ec2.asked_type(&rule.restore) {
            Some(name) => ec2::instance_type(aws, name).await.map(Some),
            None => Ok(None),
        },
        ResourceType::Aurora | ResourceType::Rds => Ok(None),
    }
}

/// What lies in our network of the kind that a restore of this type makes, whoever made it.
///
/// # Errors
/// When the service refuses or does not answer.
pub async fn network_inventory(
    aws: &Aws,
    config: &Config,
    resource_type: ResourceType,
) -> Result<Vec<Neighbour>, AwsError> {
    match resource_type {
        ResourceType::Aurora => aurora::network_inventory(aws, config).await,
        ResourceType::Ec2 => ec2::network_inventory(aws, config).await,
        ResourceType::Rds => rds::network_inventory(aws, config).await,
    }
}

/// Whether the rule wants a password of the copy's own.
pub fn wants_password(rule: &Rule) -> bool {
    rule.login() == Some(&Credentials::Reset)
}

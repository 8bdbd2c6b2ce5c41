//! RDS DB instances.

mod status;

use std::collections::BTreeMap;

use aws_sdk_rds::types::{DbInstance, Tag};
use restore_proof_core::name::validation_named;
use restore_proof_core::ownership::{Found, FoundPart, Mark, OwnedPart, OwnedResource};
use restore_proof_core::resource_type::{Image, ResourceType};
use restore_proof_core::validation::{
    PartKind, RecoveryPoint, RestoredNetwork, Step, VALIDATION_TAG, Validation,
};

pub(super) use status::State;

use super::{
    BackedUp, Condition, Deletion, Master, Neighbour, PartState, Preparation, Prepared, Restored,
    SeenPart, SnapshotKey, not_a_step_of, wants_password,
};
use crate::aws::{Aws, AwsError, call, failed, timestamp};
use crate::check::Target;
use crate::config::Config;

/// A DB instance as RDS describes it.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// What ownership is proved by.
    pub found: Found,
    /// `available`, `creating`, `deleting`, …
    pub status: String,
    /// Host and port, once it has them.
    pub endpoint: Option<(String, u16)>,
    /// For example `postgres`.
    pub engine: String,
    /// For example `db.t4g.medium`.
    pub class: Option<String>,
    /// The database that was made with the source, if one was.
    pub database: Option<String>,
    /// Its master user.
    pub master_user: Option<String>,
    /// A new master password is waiting to be set.
    pub password_pending: bool,
    /// Whether it has a public address.
    pub public: bool,
    /// Name of its subnet group.
    pub subnet_group: Option<String>,
    /// Id of the VPC of that group.
    pub vpc: Option<String>,
    /// Ids of the subnets of that group.
    pub subnets: Vec<String>,
    /// Ids of its security groups.
    pub security_groups: Vec<String>,
    /// `IPV4`, or `DUAL` with addresses of IPv6 too; none when RDS does not say.
    pub network_type: Option<String>,
    /// ARNs of roles attached to it, by which it can call AWS by itself.
    pub roles: Vec<String>,
    /// ARN of the key that encrypts its storage; none when it is not encrypted.
    pub storage_key_arn: Option<String>,
}

impl Instance {
    fn condition(&self, validation: &Validation) -> Condition {
        let wants = validation.rule.as_ref().is_some_and(wants_password);
        let needs_password = wants && validation.done_at(Step::Password).is_none();
        let state = State::of(&self.status);
        match (state, &self.endpoint) {
            (State::Available, Some(_)) if needs_password => Condition::Needs(Step::Password),
            // RDS sets a password in the state available only (ModifyDBInstance, InvalidDBInstanceState).
            (State::Busy, Some(_)) if needs_password => Condition::Busy,
            (State::Available | State::Busy, Some(_)) if self.password_pending => {
                Condition::Changing
            }
            (State::Available | State::Busy, Some((host, port))) => {
                Condition::Ready(Target::Database {
                    host: host.clone(),
                    port: *port,
                    engine: self.engine.clone(),
                    database: self.database.clone(),
                    settings_differ: validation.settings_differ,
                })
            }
            (State::Available | State::Busy, None) => Condition::Changing,
            (State::Passing | State::Deleting | State::Broken | State::Unknown, _) => {
                not_answering(state, &self.status)
            }
        }
    }
}

/// The condition of a database that does not answer.
pub(super) fn not_answering(state: State, status: &str) -> Condition {
    match state {
        State::Deleting => Condition::Deleting,
        State::Broken => Condition::Broken(format!("the restored database is {status}")),
        State::Available | State::Busy | State::Passing | State::Unknown => Condition::Changing,
    }
}

/// Describes the instance of this name that was restored for a validation; none when RDS says that there is none.
pub(super) async fn look(
    aws: &Aws,
    config: &Config,
    validation: &Validation,
    name: &str,
) -> Result<Option<Restored>, AwsError> {
    let Some(instance) = find(aws, name).await? else {
        return Ok(None);
    };
    Ok(Some(Restored {
        condition: instance.condition(validation),
        is_passing: State::of(&instance.status).passes(),
        isolation: isolation_problems(&instance, config, &validation.recovery_point),
        came_with: Vec::new(),
        used_by: None,
        engine: Some(instance.engine),
        master: instance.master_user.map(|user| Master {
            user,
            database: instance.database,
        }),
        boot_timeout: None,
        found: instance.found,
        network: RestoredNetwork {
            vpc: instance.vpc,
            subnets: instance.subnets,
            groups: instance.security_groups,
        },
        class: instance.class,
    }))
}

/// Describes an instance as RDS does; none when it says that there is none of this name. An answer without the instance
/// is an error too, never "gone".
pub(super) async fn describe(aws: &Aws, name: &str) -> Result<Option<DbInstance>, AwsError> {
    const OPERATION: &str = "rds:DescribeDBInstances";
    let result = call(
        OPERATION,
        aws.rds
            .describe_db_instances()
            .db_instance_identifier(name)
            .send(),
    )
    .await;
    let answer = match result {
        Ok(answer) => answer,
        Err(error) if error.is(&["DBInstanceNotFound", "DBInstanceNotFoundFault"]) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let strange = |message: String| AwsError {
        operation: OPERATION,
        code: None,
        message,
    };
    let [instance] = answer.db_instances() else {
        let count = answer.db_instances().len();
        return Err(strange(format!(
            "the answer holds {count} instances, not the one asked for"
        )));
    };
    if instance.db_instance_identifier() != Some(name) {
        return Err(strange("the answer names another instance".to_owned()));
    }
    Ok(Some(instance.clone()))
}

/// An instance of this name; none when RDS says that there is none.
async fn find(aws: &Aws, name: &str) -> Result<Option<Instance>, AwsError> {
    let Some(instance) = describe(aws, name).await? else {
        return Ok(None);
    };
    let strange = |message: String| AwsError {
        operation: "rds:DescribeDBInstances",
        code: None,
        message,
    };
    let (Some(arn), Some(name)) = (
        instance.db_instance_arn(),
        instance.db_instance_identifier(),
    ) else {
        return Err(strange("the answer names no instance".to_owned()));
    };
    let encrypted = instance.storage_encrypted().unwrap_or(false);
    let subnet_group = instance.db_subnet_group();
    Ok(Some(Instance {
        found: Found {
            arn: arn.to_owned(),
            name: name.to_owned(),
            mark: Mark::Name(name.to_owned()),
            created_at: instance.instance_create_time().and_then(timestamp),
        },
        status: instance.db_instance_status().unwrap_or_default().to_owned(),
        endpoint: instance.endpoint().and_then(|endpoint| {
            Some((
                endpoint.address()?.to_owned(),
                u16::try_from(endpoint.port()?).ok()?,
            ))
        }),
        engine: instance.engine().unwrap_or_default().to_owned(),
        class: instance.db_instance_class().map(str::to_owned),
        database: instance
            .db_name()
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        master_user: instance.master_username().map(str::to_owned),
        password_pending: instance
            .pending_modified_values()
            .is_some_and(|pending| pending.master_user_password().is_some()),
        public: instance.publicly_accessible().unwrap_or(false),
        subnet_group: subnet_group
            .and_then(|group| group.db_subnet_group_name())
            .map(str::to_owned),
        vpc: subnet_group
            .and_then(|group| group.vpc_id())
            .map(str::to_owned),
        subnets: subnet_group
            .map(|group| group.subnets())
            .unwrap_or_default()
            .iter()
            .filter_map(|subnet| subnet.subnet_identifier().map(str::to_owned))
            .collect(),
        security_groups: instance
            .vpc_security_groups()
            .iter()
            .filter_map(|group| group.vpc_security_group_id().map(str::to_owned))
            .collect(),
        network_type: instance.network_type().map(str::to_owned),
        roles: instance
            .associated_roles()
            .iter()
            .map(|role| role.role_arn().unwrap_or_default().to_owned())
            .collect(),
        storage_key_arn: instance
            .kms_key_id()
            .filter(|_| encrypted)
            .map(str::to_owned),
    }))
}

/// What the plan asked for and what the metadata cannot force, asserted on the result. Each problem in words;
/// none when the instance is isolated and encrypted as it should be.
fn isolation_problems(instance: &Instance, config: &Config, point: &RecoveryPoint) -> Vec<String> {
    let mut problems = Vec::new();
    let network = &config.network;
    if instance.public {
        problems.push("the restored database is publicly accessible".to_owned());
    }
    if instance.subnet_group.as_deref() != Some(network.db_subnet_group.as_str()) {
        problems.push(format!(
            "the restored database lies in subnet group {}, not in {}",
            instance.subnet_group.as_deref().unwrap_or("(none)"),
            network.db_subnet_group
        ));
    }
    let foreign = instance
        .security_groups
        .iter()
        .find(|group| !network.db_security_groups.contains(group));
    if instance.security_groups.is_empty() || foreign.is_some() {
        problems.push(format!(
            "the restored database is behind security group {}, not behind {}",
            foreign.map_or("(none)", String::as_str),
            network.db_security_groups.join(", ")
        ));
    }
    if let Some(kind) = &instance.network_type
        && kind != "IPV4"
    {
        problems.push(format!(
            "the restored database has addresses of IPv6 (network type {kind})"
        ));
    }
    for role in &instance.roles {
        problems.push(format!("the restored database may act as role {role}"));
    }
    // RestoreDBInstanceFromDBSnapshot takes no key: the storage has the key of the snapshot.
    match (&point.encryption_key_arn, &instance.storage_key_arn) {
        (Some(_), None) => {
            problems.push("the backup is encrypted, the restored database is not".to_owned())
        }
        (Some(wanted), Some(is)) if wanted != is => {
            problems.push(format!(
                "the restored database is encrypted with {is}, the backup with {wanted}"
            ));
        }
        _ => {}
    }
    problems
}

/// Deletes an instance that is proved to be ours, without a final snapshot and with its automated backups.
pub(super) async fn delete(aws: &Aws, owned: OwnedResource) -> Result<Deletion, AwsError> {
    let result = call(
        "rds:DeleteDBInstance",
        aws.rds
            .delete_db_instance()
            .db_instance_identifier(owned.name())
            .skip_final_snapshot(true)
            .delete_automated_backups(true)
            .send(),
    )
    .await;
    asked(result.map(|_| ()))
}

/// Deletes an instance of a cluster that is proved to be ours. The data stays with the cluster.
pub(super) async fn delete_member(aws: &Aws, owned: OwnedPart) -> Result<Deletion, AwsError> {
    let result = call(
        "rds:DeleteDBInstance",
        aws.rds
            .delete_db_instance()
            .db_instance_identifier(owned.id())
            .skip_final_snapshot(true)
            .send(),
    )
    .await;
    asked(result.map(|_| ()))
}

pub(super) fn asked(result: Result<(), AwsError>) -> Result<Deletion, AwsError> {
    match result {
        Ok(()) => Ok(Deletion::Asked),
        // Gone in between: what follows confirms it.
        Err(error) if error.is(&["DBInstanceNotFound", "DBInstanceNotFoundFault"]) => {
            Ok(Deletion::Asked)
        }
        // Whatever else it answers, it will answer again.
        Err(error) if !error.may_pass() => Ok(Deletion::Blocked(error.message)),
        Err(error) => Err(error),
    }
}

/// Describes an instance of a cluster; none when RDS says that there is none.
pub(super) async fn look_at_member(aws: &Aws, name: &str) -> Result<Option<SeenPart>, AwsError> {
    let Some(instance) = describe(aws, name).await? else {
        return Ok(None);
    };
    let status = instance.db_instance_status().unwrap_or_default();
    let created_at = instance.instance_create_time().and_then(timestamp);
    let state = match State::of(status) {
        State::Deleting => PartState::Deleting,
        State::Busy | State::Passing => PartState::Passing,
        State::Available | State::Broken | State::Unknown => PartState::There,
    };
    Ok(Some(SeenPart {
        found: FoundPart {
            kind: PartKind::DbInstance,
            id: name.to_owned(),
            created_at,
            belongs_to: instance
                .db_cluster_identifier()
                .map(str::to_owned)
                .into_iter()
                .collect(),
            attached_at: None,
        },
        state,
    }))
}

/// Takes a step on an instance that is proved ours.
pub(super) async fn prepare(
    aws: &Aws,
    step: Step,
    of: Preparation<'_>,
) -> Result<Prepared, AwsError> {
    match step {
        Step::Password => {
            let request = aws
                .rds
                .modify_db_instance()
                .db_instance_identifier(of.owned.name())
                .set_master_user_password(of.login.map(|login| login.password.clone()))
                .apply_immediately(true)
                .send();
            password_taken(call("rds:ModifyDBInstance", request).await.map(drop))
        }
        Step::Capacity | Step::Writer => Ok(not_a_step_of(ResourceType::Rds, step)),
    }
}

/// What RDS made of a request with a password. Its words may quote what was sent, and stay here.
pub(super) fn password_taken(result: Result<(), AwsError>) -> Result<Prepared, AwsError> {
    taken(result.map_err(|error| {
        let message = match &error.code {
            Some(code) => format!("RDS refuses to set a master password: {code}"),
            None => "RDS did not take the request".to_owned(),
        };
        AwsError { message, ..error }
    }))
}

/// What RDS made of a request: what speaks of a state or of its capacity may be taken later.
pub(super) fn taken(result: Result<(), AwsError>) -> Result<Prepared, AwsError> {
    let error = match result {
        Ok(()) => return Ok(Prepared::Asked),
        Err(error) => error,
    };
    let code = error.code.as_deref().unwrap_or_default();
    if code.starts_with("InvalidDBInstanceState")
        || code.starts_with("InvalidDBClusterState")
        || code.starts_with("Insufficient")
    {
        Ok(Prepared::NotNow(error.message))
    } else if error.may_pass() {
        Err(error)
    } else {
        Ok(Prepared::Refused(error.message))
    }
}

/// Gives what is ours the tag of its validation.
pub(super) async fn tag(aws: &Aws, arn: &str, validation_id: &str) -> Result<(), AwsError> {
    let request = aws
        .rds
        .add_tags_to_resource()
        .resource_name(arn)
        .tags(
            Tag::builder()
                .key(VALIDATION_TAG)
                .value(validation_id)
                .build(),
        )
        .send();
    call("rds:AddTagsToResource", request).await?;
    Ok(())
}

/// Describes the snapshot of a recovery point; none when RDS does not know it.
pub(super) async fn snapshot(aws: &Aws, name: &str) -> Result<Option<BackedUp>, AwsError> {
    let result = call(
        "rds:DescribeDBSnapshots",
        aws.rds
            .describe_db_snapshots()
            .db_snapshot_identifier(name)
            // Without it RDS returns automated and manual snapshots only (RDS API reference, DescribeDBSnapshots).
            .snapshot_type("awsbackup")
            .send(),
    )
    .await;
    let answer = match result {
        Ok(answer) => answer,
        Err(error) if error.is(&["DBSnapshotNotFound", "DBSnapshotNotFoundFault"]) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let Some(snapshot) = answer.db_snapshots().first() else {
        return Ok(None);
    };
    Ok(Some(BackedUp {
        created_at: snapshot.original_snapshot_create_time().and_then(timestamp),
        tags: tags(snapshot.tag_list()),
        image: Image::default(),
        key: SnapshotKey::of(snapshot.encrypted(), snapshot.kms_key_id()),
    }))
}

pub(super) fn tags(list: &[Tag]) -> BTreeMap<String, String> {
    let tags = list.iter().filter_map(|tag| {
        Some((
            tag.key()?.to_owned(),
            tag.value().unwrap_or_default().to_owned(),
        ))
    });
    tags.collect()
}

/// The databases in our subnets, or with a name as we give.
pub(super) async fn network_inventory(
    aws: &Aws,
    config: &Config,
) -> Result<Vec<Neighbour>, AwsError> {
    let mut pages = aws.rds.describe_db_instances().into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("rds:DescribeDBInstances"))?;
        for instance in page.db_instances() {
            let (Some(arn), Some(name)) = (
                instance.db_instance_arn(),
                instance.db_instance_identifier(),
            ) else {
                continue;
            };
            let group = instance.db_subnet_group();
            let in_our_group = group.and_then(|group| group.db_subnet_group_name())
                == Some(config.network.db_subnet_group.as_str());
            // Anybody can make another group of our subnets.
            let in_our_subnets = group.is_some_and(|group| {
                let mut subnets = group.subnets().iter();
                subnets.any(|subnet| {
                    let id = subnet.subnet_identifier().unwrap_or_default();
                    config.subnets.iter().any(|ours| ours == id)
                })
            });
            let is_named_by_us = validation_named(&config.name_prefix, name).is_some();
            let status = instance.db_instance_status().unwrap_or_default();
            let is_ending = State::of(status) == State::Deleting;
            // A writer that we gave a cluster is found with it.
            let writer = instance.db_cluster_identifier();
            let writer = writer.and_then(|cluster| Step::Writer.makes(cluster));
            if writer.is_some_and(|writer| writer.id == name) {
                continue;
            }
            if (in_our_group || in_our_subnets || is_named_by_us) && !is_ending {
                found.push(Neighbour {
                    arn: arn.to_owned(),
                    name: name.to_owned(),
                    resource_type: ResourceType::Rds,
                    created_at: instance.instance_create_time().and_then(timestamp),
                    image: None,
                });
            }
        }
    }
    Ok(found)
}

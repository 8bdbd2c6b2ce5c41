//! RDS DB instances.

use std::collections::BTreeMap;

use jiff::Timestamp;
use restore_proof_core::arn::Arn;
use restore_proof_core::ownership::{Found, OwnedResource};
use restore_proof_core::validation::RecoveryPoint;

use crate::aws::{Aws, AwsError, failed, timestamp};
use crate::config::Config;

/// A DB instance as RDS describes it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// What ownership is proved by.
    pub found: Found,
    /// `available`, `creating`, `deleting`, …
    pub status: String,
    /// Host and port, once it has them.
    pub endpoint: Option<(String, u16)>,
    /// For example `postgres`.
    pub engine: String,
    /// Whether it has a public address.
    pub public: bool,
    /// Name of its subnet group.
    pub subnet_group: Option<String>,
    /// Ids of its security groups.
    pub security_groups: Vec<String>,
    /// ARN of the key that encrypts its storage; none when it is not encrypted.
    pub storage_key_arn: Option<String>,
}

/// What became of the wish to delete.
#[derive(Debug)]
pub enum Deletion {
    /// RDS took it, or has taken it before.
    Asked,
    /// RDS refuses; the reason in its words.
    Blocked(String),
}

/// Describes an instance; none when RDS says that there is none of this name.
///
/// # Errors
/// When RDS refuses or does not answer; an answer without the instance is an error too, never "gone".
pub async fn find(aws: &Aws, name: &str) -> Result<Option<Instance>, AwsError> {
    const OPERATION: &str = "rds:DescribeDBInstances";
    let result = aws
        .rds
        .describe_db_instances()
        .db_instance_identifier(name)
        .send()
        .await
        .map_err(failed(OPERATION));
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
    let (Some(arn), Some(name)) = (
        instance.db_instance_arn(),
        instance.db_instance_identifier(),
    ) else {
        return Err(strange("the answer names no instance".to_owned()));
    };
    let encrypted = instance.storage_encrypted().unwrap_or(false);
    Ok(Some(Instance {
        found: Found {
            arn: arn.to_owned(),
            name: name.to_owned(),
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
        public: instance.publicly_accessible().unwrap_or(false),
        subnet_group: instance
            .db_subnet_group()
            .and_then(|group| group.db_subnet_group_name())
            .map(str::to_owned),
        security_groups: instance
            .vpc_security_groups()
            .iter()
            .filter_map(|group| group.vpc_security_group_id().map(str::to_owned))
            .collect(),
        storage_key_arn: instance
            .kms_key_id()
            .filter(|_| encrypted)
            .map(str::to_owned),
    }))
}

/// What the plan asked for and what the metadata cannot force, asserted on the result. Each problem in words;
/// none when the instance is isolated and encrypted as it should be.
pub fn isolation_problems(
    instance: &Instance,
    config: &Config,
    point: &RecoveryPoint,
) -> Vec<String> {
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
///
/// # Errors
/// When RDS does not answer, or asks to try again.
pub async fn delete(aws: &Aws, owned: OwnedResource) -> Result<Deletion, AwsError> {
    let result = aws
        .rds
        .delete_db_instance()
        .db_instance_identifier(owned.name())
        .skip_final_snapshot(true)
        .delete_automated_backups(true)
        .send()
        .await
        .map_err(failed("rds:DeleteDBInstance"));
    match result {
        Ok(_) => Ok(Deletion::Asked),
        // Gone in between: what follows confirms it.
        Err(error) if error.is(&["DBInstanceNotFound", "DBInstanceNotFoundFault"]) => {
            Ok(Deletion::Asked)
        }
        Err(error)
            if error.is_access_denied()
                || error.is(&[
                    "InvalidDBInstanceState",
                    "InvalidDBInstanceStateFault",
                    "InvalidParameterCombination",
                ]) =>
        {
            Ok(Deletion::Blocked(error.message))
        }
        Err(error) => Err(error),
    }
}

/// What RDS knows of the snapshot behind a recovery point.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When the original of a copied snapshot was made.
    pub original_created_at: Option<Timestamp>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Describes the snapshot of a recovery point (AWS Backup lists tags only of types it manages fully). Nothing is known
/// when RDS does not know the snapshot.
///
/// # Errors
/// When RDS refuses or does not answer.
pub async fn snapshot(aws: &Aws, recovery_point_arn: &str) -> Result<Snapshot, AwsError> {
    let Ok(arn) = recovery_point_arn.parse::<Arn>() else {
        return Ok(Snapshot::default());
    };
    if arn.service != "rds" {
        return Ok(Snapshot::default());
    }
    let result = aws
        .rds
        .describe_db_snapshots()
        .db_snapshot_identifier(arn.name())
        .send()
        .await
        .map_err(failed("rds:DescribeDBSnapshots"));
    let answer = match result {
        Ok(answer) => answer,
        Err(error) if error.is(&["DBSnapshotNotFound", "DBSnapshotNotFoundFault"]) => {
            return Ok(Snapshot::default());
        }
        Err(error) => return Err(error),
    };
    let Some(snapshot) = answer.db_snapshots().first() else {
        return Ok(Snapshot::default());
    };
    Ok(Snapshot {
        original_created_at: snapshot.original_snapshot_create_time().and_then(timestamp),
        tags: snapshot
            .tag_list()
            .iter()
            .filter_map(|tag| {
                Some((
                    tag.key()?.to_owned(),
                    tag.value().unwrap_or_default().to_owned(),
                ))
            })
            .collect(),
    })
}

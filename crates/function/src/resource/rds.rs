//! RDS DB instances.

use restore_proof_core::ownership::{Found, Mark, OwnedResource};
use restore_proof_core::validation::RecoveryPoint;

use super::{BackedUp, Condition, Deletion};
use crate::aws::{Aws, AwsError, failed, timestamp};
use crate::check::Target;
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
    pub(super) fn condition(&self) -> Condition {
        match (self.status.as_str(), &self.endpoint) {
            ("available", Some((host, port))) => Condition::Ready(Target::Database {
                host: host.clone(),
                port: *port,
                engine: self.engine.clone(),
                database: self.database.clone(),
            }),
            ("deleting", _) => Condition::Deleting,
            ("failed" | "storage-full" | "inaccessible-encryption-credentials", _) => {
                Condition::Broken(format!("the restored database is {}", self.status))
            }
            (status, _) if status.starts_with("incompatible-") => {
                Condition::Broken(format!("the restored database is {status}"))
            }
            _ => Condition::Preparing,
        }
    }

    /// States that a DB instance leaves by itself (RDS user guide, "Viewing Amazon RDS DB instance status").
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self.status.as_str(),
            "backing-up"
                | "configuring-enhanced-monitoring"
                | "configuring-iam-database-auth"
                | "configuring-log-exports"
                | "creating"
                | "maintenance"
                | "modifying"
                | "moving-to-vpc"
                | "rebooting"
                | "renaming"
                | "resetting-master-credentials"
                | "starting"
                | "stopping"
                | "storage-initialization"
                | "storage-optimization"
                | "upgrading"
        )
    }
}

/// Describes an instance; none when RDS says that there is none of this name.
///
/// # Errors
/// When RDS refuses or does not answer; an answer without the instance is an error too, never "gone".
pub(super) async fn find(aws: &Aws, name: &str) -> Result<Option<Instance>, AwsError> {
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
        database: instance
            .db_name()
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        master_user: instance.master_username().map(str::to_owned),
        password_pending: instance
            .pending_modified_values()
            .is_some_and(|pending| pending.master_user_password().is_some()),
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
pub(super) fn isolation_problems(
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
///
/// # Errors
/// When RDS does not answer, or asks to try again.
pub(super) async fn delete(aws: &Aws, owned: OwnedResource) -> Result<Deletion, AwsError> {
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
        // Whatever else it answers, it will answer again.
        Err(error) if !error.may_pass() => Ok(Deletion::Blocked(error.message)),
        Err(error) => Err(error),
    }
}

/// What became of the wish to set a password.
#[derive(Debug)]
pub enum PasswordSet {
    /// RDS took it; it works some time later.
    Asked,
    /// Not in the state the instance is in now.
    NotNow,
    /// RDS refuses; its error code, since its words may quote what was sent.
    Refused(String),
}

/// Asks RDS to give the master user of a restored instance, proved to be ours, a password of our own.
///
/// # Errors
/// When RDS does not answer, or asks to try again.
pub async fn set_password(
    aws: &Aws,
    owned: &OwnedResource,
    password: &str,
) -> Result<PasswordSet, AwsError> {
    let result = aws
        .rds
        .modify_db_instance()
        .db_instance_identifier(owned.name())
        .master_user_password(password)
        .apply_immediately(true)
        .send()
        .await
        .map_err(failed("rds:ModifyDBInstance"));
    let error = match result {
        Ok(_) => return Ok(PasswordSet::Asked),
        Err(error) => error,
    };
    match &error.code {
        Some(code) if code.starts_with("InvalidDBInstanceState") => Ok(PasswordSet::NotNow),
        // RDS may be asked again; its words may quote what was sent, and stay here.
        _ if error.may_pass() => Err(AwsError {
            message: "RDS did not take the request".to_owned(),
            ..error
        }),
        code => Ok(PasswordSet::Refused(code.clone().unwrap_or_default())),
    }
}

/// Describes the snapshot of a recovery point; none when RDS does not know it.
pub(super) async fn snapshot(aws: &Aws, name: &str) -> Result<Option<BackedUp>, AwsError> {
    let result = aws
        .rds
        .describe_db_snapshots()
        .db_snapshot_identifier(name)
        // Without it RDS returns automated and manual snapshots only (RDS API reference, DescribeDBSnapshots).
        .snapshot_type("awsbackup")
        .send()
        .await
        .map_err(failed("rds:DescribeDBSnapshots"));
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
        devices: Vec::new(),
    }))
}

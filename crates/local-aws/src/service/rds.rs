//! RDS: DB instances, Aurora's DB clusters and the snapshots of both (query protocol, XML).

mod cluster;
mod member;
pub(crate) mod modify;
mod tags;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::wire::reply::RDS_NAMESPACE;
use crate::wire::{HIDDEN, Reply, Request, ServiceError};
use crate::world::events::millis;
use crate::world::metadata::{self, snapshot_name, source_name};
use crate::world::restore;
use crate::world::seed::RecoveryPoint;
use crate::world::state::{Instance, State};

use super::Answer;

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    match request.operation.as_str() {
        "DescribeDBInstances" => describe_instances(state, request),
        "DescribeDBSnapshots" => describe_snapshots(state, request),
        "ModifyDBInstance" => modify::modify(state, request),
        "DeleteDBInstance" => delete(state, request),
        "CreateDBInstance" => member::create(state, request),
        "DescribeDBClusters" => cluster::describe(state, request),
        "ModifyDBCluster" => cluster::modify(state, request),
        "DeleteDBCluster" => cluster::delete(state, request),
        "DescribeDBClusterSnapshots" => cluster::describe_snapshots(state, request),
        "AddTagsToResource" => tags::add(state, request),
        "ListTagsForResource" => tags::list(state, request),
        _ => Err(ServiceError::not_played(request)),
    }
}

fn describe_instances(state: &mut State, request: &Request) -> Answer {
    refuse_filters(request)?;
    let mut shown: Vec<String> = Vec::new();
    match request.param("DBInstanceIdentifier") {
        Some(name) => {
            let identifier = identifier_of(name);
            let found = state
                .instances
                .get_mut(&identifier)
                .ok_or_else(|| not_found(&identifier))?;
            // Right after a restore a describe may still know nothing of it.
            if found.hidden_describes > 0 && found.db.created_at.is_some() {
                found.hidden_describes -= 1;
                return Err(not_found(&identifier));
            }
            shown.push(identifier);
        }
        None => shown.extend(state.instances.keys().cloned()),
    }
    let (page, marker) = page(state, request, shown)?;
    let shown = page.iter().filter_map(|name| state.instances.get(name));
    let instances: Value = shown
        .map(|instance| instance_json(state, instance, pending(state, instance)))
        .collect();
    let result = json!({"DBInstances": instances, "Marker": marker});
    Ok(reply(state, "DescribeDBInstances", &result))
}

/// An answer with what the operation results in.
fn reply(state: &mut State, operation: &str, result: &Value) -> Reply {
    let request_id = state.new_uuid("request");
    Reply::query(operation, RDS_NAMESPACE, &request_id, result)
}

/// Whether a describe shows a new password on its way.
fn pending(state: &State, instance: &Instance) -> bool {
    let reset = instance.reset.as_ref();
    reset.is_some_and(|reset| reset.shows(state.now))
}

/// An error of the code `InvalidParameterCombination`.
fn bad_combination(message: &str) -> ServiceError {
    ServiceError::new("InvalidParameterCombination", 400, message)
}

/// An error of the code `InvalidParameterValue`.
fn bad_value(message: &str) -> ServiceError {
    ServiceError::new("InvalidParameterValue", 400, message)
}

/// A parameter that must be there.
fn needed<'a>(request: &'a Request, name: &str) -> Result<&'a str, ServiceError> {
    let given = request.param(name).filter(|value| !value.is_empty());
    given.ok_or_else(|| {
        bad_value(&format!(
            "The parameter {name} must be provided and must not be blank."
        ))
    })
}

/// Whether a parameter is there and true.
fn flag(request: &Request, name: &str) -> bool {
    let given = request.param(name);
    given.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Refuses parameters that are not played, by name.
fn only(request: &Request, played: &[&str]) -> Result<(), ServiceError> {
    let known = |name: &str| {
        let list = |known: &&str| {
            known
                .strip_suffix('*')
                .is_some_and(|start| name.starts_with(start))
        };
        matches!(name, "Action" | "Version")
            || played.iter().any(|known| *known == name || list(known))
    };
    match request.params.iter().find(|(name, _)| !known(name)) {
        None => Ok(()),
        Some((other, _)) => {
            let operation = &request.operation;
            let message = format!("local-aws does not play rds:{operation} with {other}");
            Err(ServiceError::new("NotImplemented", 501, &message))
        }
    }
}

fn delete(state: &mut State, request: &Request) -> Answer {
    let identifier = identifier_of(needed(request, "DBInstanceIdentifier")?);
    let skips = flag(request, "SkipFinalSnapshot");
    let final_snapshot = request
        .param("FinalDBSnapshotIdentifier")
        .filter(|name| !name.is_empty());
    let found = state.instances.get(&identifier);
    let is_member = found.is_some_and(|instance| instance.db.cluster.is_some());
    // Snapshots of Aurora are the cluster's: an instance of it has none, and need not be told to skip it (Aurora user
    // guide, "Deleting a DB instance from an Aurora DB cluster"; words: cloud-custodian #1153), unless it is gone already
    // (terraform-provider-aws #33539).
    if is_member && final_snapshot.is_some() {
        return Err(bad_combination(
            "FinalDBSnapshotIdentifier can not be specified when deleting a cluster instance",
        ));
    }
    if !is_member && !skips && final_snapshot.is_none() {
        return Err(bad_combination(
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
        ));
    }
    if skips && final_snapshot.is_some() {
        return Err(bad_combination(
            "FinalDBSnapshotIdentifier can not be specified when deleting an instance with SkipFinalSnapshot.",
        ));
    }
    if final_snapshot.is_some() {
        return Err(ServiceError::new(
            "NotImplemented",
            501,
            "local-aws does not play rds:DeleteDBInstance with a final snapshot",
        ));
    }
    let instance = state
        .instances
        .get(&identifier)
        .ok_or_else(|| not_found(&identifier))?;
    if matches!(instance.db.status.as_str(), "deleting" | "creating") {
        let message = match instance.db.status.as_str() {
            "deleting" => format!("Instance {identifier} is already being deleted."),
            status => {
                format!("Instance {identifier} is currently {status} - it can not be deleted.")
            }
        };
        return Err(ServiceError::new("InvalidDBInstanceState", 400, &message));
    }
    if instance.db.deletion_protection {
        return Err(bad_combination(
            "Cannot delete protected DB Instance, please disable deletion protection and try again.",
        ));
    }
    restore::begin_deletion(state, &identifier);
    let instance = state.instances.get(&identifier);
    let instance = instance.map(|instance| instance_json(state, instance, false));
    Ok(reply(
        state,
        "DeleteDBInstance",
        &json!({ "DBInstance": instance }),
    ))
}

/// What a world holds are snapshots of AWS Backup. RDS returns them for `SnapshotType=awsbackup` alone: without a
/// type "both automated and manual snapshots are returned", and an identifier does not do without the type either
/// (RDS API reference, DescribeDBSnapshots: "the SnapshotType parameter must also be specified").
fn describe_snapshots(state: &mut State, request: &Request) -> Answer {
    let found = snapshots(
        state,
        request,
        ":snapshot:",
        "DBSnapshotIdentifier",
        "DBInstanceIdentifier",
    )?;
    if let (Some(wanted), true) = (request.param("DBSnapshotIdentifier"), found.is_empty()) {
        let message = format!("DBSnapshot {wanted} not found.");
        return Err(ServiceError::new("DBSnapshotNotFound", 404, &message));
    }
    let (page, marker) = page(state, request, found)?;
    let points = state.recovery_points.iter();
    let points = points.filter(|point| page.contains(&point.arn));
    let shown: Value = points.map(snapshot_json).collect();
    let result = json!({"DBSnapshots": shown, "Marker": marker});
    Ok(reply(state, "DescribeDBSnapshots", &result))
}

/// The ARNs of the snapshots asked for, of instances or of clusters.
fn snapshots(
    state: &State,
    request: &Request,
    kind: &str,
    snapshot: &str,
    source: &str,
) -> Result<Vec<String>, ServiceError> {
    refuse_filters(request)?;
    let of_backup = match request.param("SnapshotType") {
        Some("awsbackup") => true,
        None | Some("automated" | "manual" | "shared" | "public") => false,
        Some(other) => return Err(bad_value(&format!("Invalid snapshot type: {other}"))),
    };
    let (snapshot, source) = (request.param(snapshot), request.param(source));
    let points = state.recovery_points.iter();
    Ok(points
        .filter(|point| of_backup && point.arn.contains(kind))
        .filter(|point| {
            snapshot.is_none_or(|wanted| wanted == point.arn || wanted == snapshot_name(point))
        })
        .filter(|point| source.is_none_or(|wanted| wanted == source_name(point)))
        .map(|point| point.arn.clone())
        .collect())
}

/// An identifier may be given as name, in any case, or as ARN.
fn identifier_of(name: &str) -> String {
    name.rsplit_once(":db:")
        .map_or(name, |(_, name)| name)
        .to_ascii_lowercase()
}

fn not_found(identifier: &str) -> ServiceError {
    ServiceError::new(
        "DBInstanceNotFound",
        404,
        &format!("DBInstance {identifier} not found."),
    )
}

fn refuse_filters(request: &Request) -> Result<(), ServiceError> {
    if request
        .params
        .iter()
        .any(|(name, _)| name.starts_with("Filters."))
    {
        let message = format!(
            "local-aws does not play rds:{} with filters",
            request.operation
        );
        return Err(ServiceError::new("NotImplemented", 501, &message));
    }
    Ok(())
}

fn page(
    state: &State,
    request: &Request,
    found: Vec<String>,
) -> Result<(Vec<String>, Option<String>), ServiceError> {
    let invalid = |what: &str| {
        ServiceError::new(
            "InvalidParameterValue",
            400,
            &format!("Invalid value for {what}"),
        )
    };
    let start: usize = match request.param("Marker") {
        None => 0,
        Some(marker) => marker.parse().map_err(|_| invalid("Marker"))?,
    };
    let asked: usize = match request.param("MaxRecords") {
        None => 100,
        Some(text) => text
            .parse()
            .ok()
            .filter(|n| (20..=100).contains(n))
            .ok_or_else(|| invalid("MaxRecords"))?,
    };
    let end = start.saturating_add(asked.min(state.options.page_size).max(1));
    let marker = (end < found.len()).then(|| end.to_string());
    Ok((
        found.into_iter().skip(start).take(end - start).collect(),
        marker,
    ))
}

/// A DB instance, with or without a password that is pending.
fn instance_json(state: &State, instance: &Instance, password_pending: bool) -> Value {
    let db = &instance.db;
    let endpoint = db
        .host
        .as_ref()
        .map(|host| json!({"Address": host, "Port": db.port, "HostedZoneId": "Z1RLNUO7B9Q6NB"}));
    let roles: Value = (db.associated_roles.iter())
        .map(|role| json!({"RoleArn": role, "Status": "ACTIVE"}))
        .collect();
    json!({
        "DBInstanceIdentifier": db.identifier,
        "DBClusterIdentifier": db.cluster,
        "PromotionTier": db.cluster.as_ref().map(|_| 1),
        "DBInstanceClass": db.instance_class,
        "Engine": db.engine,
        "DBInstanceStatus": db.status,
        "MasterUsername": db.master_username,
        "DBName": Some(&db.database_name).filter(|name| !name.is_empty()),
        "Endpoint": endpoint,
        "AllocatedStorage": db.allocated_storage,
        "InstanceCreateTime": db.created_at.map(millis),
        "PreferredBackupWindow": "02:00-02:30",
        "BackupRetentionPeriod": db.backup_retention_days,
        "DBSecurityGroups": [],
        "VpcSecurityGroups": groups_json(&db.security_groups),
        "DBParameterGroups": [{"DBParameterGroupName": db.parameter_group, "ParameterApplyStatus": "in-sync"}],
        "AvailabilityZone": db.availability_zone,
        "DBSubnetGroup": subnet_group_json(state, &db.subnet_group),
        "PreferredMaintenanceWindow": "sun:03:00-sun:03:30",
        "PendingModifiedValues": {"MasterUserPassword": password_pending.then_some(HIDDEN)},
        "MultiAZ": db.multi_az,
        "EngineVersion": db.engine_version,
        "AutoMinorVersionUpgrade": true,
        "ReadReplicaDBInstanceIdentifiers": [],
        "LicenseModel": metadata::license(&db.engine),
        "OptionGroupMemberships": [{"OptionGroupName": db.option_group, "Status": "in-sync"}],
        "PubliclyAccessible": db.publicly_accessible,
        "Iops": db.iops,
        "StorageType": db.storage_type,
        "DbInstancePort": 0,
        "StorageEncrypted": db.kms_key_arn.is_some(),
        "KmsKeyId": db.kms_key_arn,
        "DbiResourceId": resource_id("db", &db.identifier),
        "CACertificateIdentifier": "rds-ca-rsa2048-g1",
        "DomainMemberships": [],
        "CopyTagsToSnapshot": db.copy_tags_to_snapshot,
        "MonitoringInterval": 0,
        "DBInstanceArn": state.instance_arn(&db.identifier),
        "IAMDatabaseAuthenticationEnabled": db.iam_authentication,
        "PerformanceInsightsEnabled": false,
        "EnabledCloudwatchLogsExports": db.cloudwatch_exports,
        "DeletionProtection": db.deletion_protection,
        "AssociatedRoles": roles,
        "TagList": tags_json(&db.tags),
        "CustomerOwnedIpEnabled": false,
        "NetworkType": db.network_type,
        "BackupTarget": "region",
    })
}

fn resource_id(kind: &str, identifier: &str) -> String {
    format!("{kind}-{}", identifier.replace('-', "").to_uppercase())
}

fn groups_json(groups: &[String]) -> Value {
    let membership = |group: &String| json!({"VpcSecurityGroupId": group, "Status": "active"});
    groups.iter().map(membership).collect()
}

fn subnet_group_json(state: &State, name: &str) -> Value {
    let subnets: Value = (state.subnets_of_group.get(name).into_iter().flatten())
        .map(|subnet| json!({"SubnetIdentifier": subnet, "SubnetStatus": "Active"}))
        .collect();
    json!({
        "DBSubnetGroupName": name,
        "DBSubnetGroupDescription": name,
        "VpcId": state.subnet_groups.get(name),
        "SubnetGroupStatus": "Complete",
        "Subnets": subnets,
    })
}

fn tags_json(tags: &BTreeMap<String, String>) -> Value {
    let tag = |(key, value): (&String, &String)| json!({"Key": key, "Value": value});
    tags.iter().map(tag).collect()
}

fn snapshot_json(point: &RecoveryPoint) -> Value {
    let source = &point.database;
    json!({
        "DBSnapshotIdentifier": snapshot_name(point),
        "DBInstanceIdentifier": source_name(point),
        "SnapshotCreateTime": millis(point.completed_at.unwrap_or(point.created_at)),
        "Engine": source.engine,
        "AllocatedStorage": source.allocated_storage,
        "Status": "available",
        "Port": source.port,
        "AvailabilityZone": source.availability_zone,
        "VpcId": source.vpc_id,
        "InstanceCreateTime": "2024-03-01T09:00:00.000Z",
        "MasterUsername": source.master_username,
        "EngineVersion": source.engine_version,
        "LicenseModel": metadata::license(&source.engine),
        "SnapshotType": "awsbackup",
        "OptionGroupName": source.option_group,
        "PercentProgress": 100,
        "StorageType": source.storage_type,
        "Encrypted": point.kms_key_arn.is_some(),
        "KmsKeyId": point.kms_key_arn,
        "DBSnapshotArn": point.arn,
        "IAMDatabaseAuthenticationEnabled": false,
        "ProcessorFeatures": [],
        "TagList": tags_json(&point.tags),
        "OriginalSnapshotCreateTime": millis(point.original_created_at.unwrap_or(point.created_at)),
        "SnapshotTarget": "region",
    })
}

#[cfg(test)]
mod tests;

//! Aurora's DB clusters and their snapshots.

use serde_json::{Value, json};

use crate::wire::{HIDDEN, Request, ServiceError};
use crate::world::aurora::{self, ClusterState};
use crate::world::events::millis;
use crate::world::metadata;
use crate::world::seed::{RecoveryPoint, ServerlessV2Range};
use crate::world::state::{State, later};

use super::super::Answer;
use super::modify::{self, Reset};
use super::{
    bad_combination, bad_value, flag, groups_json, needed, only, page, refuse_filters, reply,
    resource_id, snapshot_name, snapshots, source_name, tags_json,
};

/// An identifier may be given as name, in any case, or as ARN.
pub(super) fn identifier_of(name: &str) -> String {
    name.rsplit_once(":cluster:")
        .map_or(name, |(_, name)| name)
        .to_ascii_lowercase()
}

pub(super) fn not_found(identifier: &str) -> ServiceError {
    let message = format!("DBCluster {identifier} not found.");
    ServiceError::new("DBClusterNotFoundFault", 404, &message)
}

fn bad_state(message: &str) -> ServiceError {
    ServiceError::new("InvalidDBClusterStateFault", 400, message)
}

pub(super) fn describe(state: &mut State, request: &Request) -> Answer {
    refuse_filters(request)?;
    let mut found: Vec<String> = Vec::new();
    match request.param("DBClusterIdentifier") {
        Some(name) => {
            let identifier = identifier_of(name);
            let cluster = state.clusters.get_mut(&identifier);
            let cluster = cluster.ok_or_else(|| not_found(&identifier))?;
            // Right after a restore a describe may still know nothing of it.
            if cluster.hidden_describes > 0 && cluster.db.status != "creating" {
                cluster.hidden_describes -= 1;
                return Err(not_found(&identifier));
            }
            found.push(identifier);
        }
        None => found.extend(state.clusters.keys().cloned()),
    }
    let (page, marker) = page(state, request, found)?;
    let shown: Value = page
        .iter()
        .filter_map(|name| state.clusters.get(name))
        .map(|cluster| {
            let reset = cluster.reset.as_ref();
            let pending = reset.is_some_and(|reset| reset.shows(state.now));
            cluster_json(state, cluster, pending)
        })
        .collect();
    let result = json!({"DBClusters": shown, "Marker": marker});
    Ok(reply(state, "DescribeDBClusters", &result))
}

/// The answer of an operation on one cluster.
fn answer_with(state: &mut State, operation: &str, identifier: &str) -> Answer {
    let cluster = state.clusters.get(identifier);
    // The answer itself names what was asked for.
    let shown = cluster.map(|cluster| cluster_json(state, cluster, cluster.reset.is_some()));
    Ok(reply(state, operation, &json!({ "DBCluster": shown })))
}

/// Plays a capacity range and a new password. Both are applied at once whatever `ApplyImmediately` says (Aurora user
/// guide, "Settings for Amazon Aurora").
pub(super) fn modify(state: &mut State, request: &Request) -> Answer {
    let identifier = identifier_of(needed(request, "DBClusterIdentifier")?);
    only(
        request,
        &[
            "DBClusterIdentifier",
            "ApplyImmediately",
            "MasterUserPassword",
            "ServerlessV2ScalingConfiguration.MinCapacity",
            "ServerlessV2ScalingConfiguration.MaxCapacity",
        ],
    )?;
    let now = state.now;
    let cluster = state.clusters.get_mut(&identifier);
    let cluster = cluster.ok_or_else(|| not_found(&identifier))?;
    if cluster.db.status != "available" {
        // Words: aws-controllers-k8s/community #1107.
        return Err(bad_state(&format!(
            "DB cluster is not available for modification with status {}",
            cluster.db.status
        )));
    }
    let range = range(request)?;
    if range.is_some() && !has_serverless_v2(&cluster.db.engine_version) {
        return Err(bad_combination(&format!(
            "Aurora Serverless v2 is not supported for the engine version {}",
            cluster.db.engine_version
        )));
    }
    let password = request.param("MasterUserPassword");
    if let Some(password) = password {
        modify::check(&cluster.db.engine, password)?;
    }
    if let Some(range) = range {
        cluster.db.serverless_v2 = Some(range);
        let until = later(now, cluster.db.behaviour.modifying_takes);
        cluster.phases.push_back(("modifying".to_owned(), until));
    }
    if let Some(password) = password {
        let behaviour = &cluster.db.behaviour.master_password;
        cluster.reset = Some(Reset::new(now, behaviour, password));
    }
    aurora::settle(state);
    answer_with(state, "ModifyDBCluster", &identifier)
}

/// Aurora MySQL 2 has no Serverless v2 (Aurora user guide, "Supported Regions and Aurora DB engines for Aurora
/// Serverless v2").
pub(super) fn has_serverless_v2(engine_version: &str) -> bool {
    !engine_version.contains("mysql_aurora.2.")
}

/// The capacity range of a request: 0 to 256 in steps of a half, the most at least 1 (API reference,
/// ServerlessV2ScalingConfiguration).
fn range(request: &Request) -> Result<Option<ServerlessV2Range>, ServiceError> {
    let bound = |which: &str| -> Result<Option<f64>, ServiceError> {
        let name = format!("ServerlessV2ScalingConfiguration.{which}Capacity");
        let Some(text) = request.param(&name) else {
            return Ok(None);
        };
        let number = text.parse().ok();
        let in_steps =
            |number: &f64| (0.0..=256.0).contains(number) && (number * 2.0).fract() == 0.0;
        number.filter(in_steps).map(Some).ok_or_else(|| {
            bad_value(&format!(
                "Serverless v2 {}imum capacity {text} isn't valid. It must be from 0 to 256, in steps of 0.5.",
                which.to_lowercase()
            ))
        })
    };
    match (bound("Min")?, bound("Max")?) {
        (None, None) => Ok(None),
        (Some(min), Some(max)) if max < 1.0 || min > max => Err(bad_value(&format!(
            "Serverless v2 maximum capacity {max} isn't valid. The maximum capacity must be at least 1.0 and not below the \
             minimum capacity."
        ))),
        (Some(min), Some(max)) => Ok(Some(ServerlessV2Range { min, max })),
        _ => Err(bad_combination(
            "You must specify both the minimum and the maximum capacity of the Serverless v2 scaling configuration.",
        )),
    }
}

pub(super) fn delete(state: &mut State, request: &Request) -> Answer {
    let identifier = identifier_of(needed(request, "DBClusterIdentifier")?);
    only(
        request,
        &[
            "DBClusterIdentifier",
            "SkipFinalSnapshot",
            "FinalDBSnapshotIdentifier",
            "DeleteAutomatedBackups",
        ],
    )?;
    let skips = flag(request, "SkipFinalSnapshot");
    let named = request.param("FinalDBSnapshotIdentifier");
    match named.filter(|name| !name.is_empty()) {
        None if !skips => {
            return Err(bad_combination(
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
            ));
        }
        // Words: crossplane-contrib/provider-aws #1423.
        Some(_) if skips => {
            return Err(bad_combination(
                "You cannot specify both FinalDBSnapshotIdentifier and SkipFinalSnapshot",
            ));
        }
        Some(_) => {
            return Err(ServiceError::new(
                "NotImplemented",
                501,
                "local-aws does not play rds:DeleteDBCluster with a final snapshot",
            ));
        }
        None => {}
    }
    let has_members =
        aurora::members(state, &identifier).any(|member| member.db.status != "deleting");
    let cluster = state.clusters.get_mut(&identifier);
    let cluster = cluster.ok_or_else(|| not_found(&identifier))?;
    if matches!(cluster.db.status.as_str(), "deleting" | "creating") {
        return Err(bad_state(&format!(
            "Cluster {identifier} is currently {} - it can not be deleted.",
            cluster.db.status
        )));
    }
    // The order in which RDS looks at these is not known; words: moto #6998, which asked AWS.
    if cluster.db.deletion_protection {
        return Err(bad_combination(
            "Cannot delete protected Cluster, please disable deletion protection and try again.",
        ));
    }
    if has_members {
        return Err(bad_state(
            "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
        ));
    }
    if let Some(refusal) = &mut cluster.db.behaviour.deletion_refused
        && refusal.strikes()
    {
        return Err(ServiceError::new(&refusal.code, 400, &refusal.message));
    }
    aurora::begin_deletion(state, &identifier);
    answer_with(state, "DeleteDBCluster", &identifier)
}

fn cluster_json(state: &State, cluster: &ClusterState, password_pending: bool) -> Value {
    let db = &cluster.db;
    let members: Value = aurora::members(state, &db.identifier)
        .map(|member| {
            json!({
                "DBInstanceIdentifier": member.db.identifier,
                "IsClusterWriter": cluster.writer.as_ref() == Some(&member.db.identifier),
                "DBClusterParameterGroupStatus": "in-sync",
                "PromotionTier": 1,
            })
        })
        .collect();
    let roles: Value = (db.associated_roles.iter())
        .map(|role| json!({"RoleArn": role, "Status": "ACTIVE"}))
        .collect();
    let range = db.serverless_v2;
    let range = range.map(|range| json!({"MinCapacity": range.min, "MaxCapacity": range.max}));
    let pending = password_pending.then(|| json!({"MasterUserPassword": HIDDEN}));
    json!({
        // Always 1 with Aurora, whose storage grows by itself (API reference, DBCluster).
        "AllocatedStorage": 1,
        "AvailabilityZones": db.availability_zones,
        "BackupRetentionPeriod": db.backup_retention_days,
        "DatabaseName": Some(&db.database_name).filter(|name| !name.is_empty()),
        "DBClusterIdentifier": db.identifier,
        "DBClusterParameterGroup": db.parameter_group,
        "DBSubnetGroup": db.subnet_group,
        "Status": db.status,
        "Endpoint": db.host,
        "ReaderEndpoint": db.host.replacen(".cluster-", ".cluster-ro-", 1),
        "MultiAZ": false,
        "Engine": db.engine,
        "EngineVersion": db.engine_version,
        "Port": db.port,
        "MasterUsername": db.master_username,
        "PreferredBackupWindow": "02:00-02:30",
        "PreferredMaintenanceWindow": "sun:03:00-sun:03:30",
        "ReadReplicaIdentifiers": [],
        "DBClusterMembers": members,
        "VpcSecurityGroups": groups_json(&db.security_groups),
        "HostedZoneId": "Z1RLNUO7B9Q6NB",
        "StorageEncrypted": db.kms_key_arn.is_some(),
        "KmsKeyId": db.kms_key_arn,
        "DbClusterResourceId": resource_id("cluster", &db.identifier),
        "DBClusterArn": state.cluster_arn(&db.identifier),
        "AssociatedRoles": roles,
        "IAMDatabaseAuthenticationEnabled": db.iam_authentication,
        "ClusterCreateTime": millis(db.created_at),
        "EnabledCloudwatchLogsExports": db.cloudwatch_exports,
        "PendingModifiedValues": pending,
        "EngineMode": db.engine_mode,
        "PubliclyAccessible": db.ways_in.publicly_accessible,
        "AutoMinorVersionUpgrade": true,
        "DeletionProtection": db.deletion_protection,
        "HttpEndpointEnabled": db.ways_in.http_endpoint_enabled,
        "ActivityStreamStatus": "stopped",
        "CopyTagsToSnapshot": db.copy_tags_to_snapshot,
        "CrossAccountClone": false,
        "DomainMemberships": [],
        "TagList": tags_json(&db.tags),
        "NetworkType": db.network_type,
        "ServerlessV2ScalingConfiguration": range,
        "VPCNetworkingEnabled": db.ways_in.vpc_networking_enabled,
        "InternetAccessGatewayEnabled": db.ways_in.internet_access_gateway_enabled,
    })
}

/// As snapshots of instances: those of AWS Backup are shown for `SnapshotType=awsbackup` alone (API reference,
/// DescribeDBClusterSnapshots). They tell no original creation time.
pub(super) fn describe_snapshots(state: &mut State, request: &Request) -> Answer {
    let (name, source) = ("DBClusterSnapshotIdentifier", "DBClusterIdentifier");
    let found = snapshots(state, request, ":cluster-snapshot:", name, source)?;
    if let (Some(wanted), true) = (request.param(name), found.is_empty()) {
        let message = format!("DBClusterSnapshot {wanted} not found.");
        return Err(ServiceError::new(
            "DBClusterSnapshotNotFoundFault",
            404,
            &message,
        ));
    }
    let (page, marker) = page(state, request, found)?;
    let points = state.recovery_points.iter();
    let points = points.filter(|point| page.contains(&point.arn));
    let shown: Value = points.map(snapshot_json).collect();
    let result = json!({"DBClusterSnapshots": shown, "Marker": marker});
    Ok(reply(state, "DescribeDBClusterSnapshots", &result))
}

fn snapshot_json(point: &RecoveryPoint) -> Value {
    let source = &point.cluster;
    json!({
        "AvailabilityZones": source.availability_zones,
        "DBClusterSnapshotIdentifier": snapshot_name(point),
        "DBClusterIdentifier": source_name(point),
        "SnapshotCreateTime": millis(point.completed_at.unwrap_or(point.created_at)),
        "Engine": source.engine,
        "EngineMode": source.engine_mode,
        // In GiB; 0 where RDS does not know it (API reference, DBClusterSnapshot).
        "AllocatedStorage": 0,
        "Status": "available",
        "Port": source.port,
        "VpcId": source.vpc_id,
        "ClusterCreateTime": "2024-03-01T09:00:00.000Z",
        "MasterUsername": source.master_username,
        "EngineVersion": source.engine_version,
        "LicenseModel": metadata::license(&source.engine),
        "SnapshotType": "awsbackup",
        "PercentProgress": 100,
        "StorageEncrypted": point.kms_key_arn.is_some(),
        "KmsKeyId": point.kms_key_arn,
        "DBClusterSnapshotArn": point.arn,
        "IAMDatabaseAuthenticationEnabled": false,
        "TagList": tags_json(&point.tags),
    })
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;

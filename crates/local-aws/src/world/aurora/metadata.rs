//! Restore metadata of Aurora: what AWS gives for a recovery point, and what becomes of what it is given back.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::world::metadata::{
    BAD_IDENTIFIER, check_security_groups, flag, get, is_identifier, json_list, no_subnet_group,
    number, rds_error, refuse_keys, snapshot_name, source_name,
};
use crate::world::seed::{DbCluster, RecoveryPoint};
use crate::world::state::State;

use super::{default_group, endpoint};

/// Keys `StartRestoreJob` takes for Aurora, strictly: those of the developer guide's pages "Restoring an Amazon Aurora
/// cluster" and "Restore testing inferred metadata".
const ACCEPTED: &[&str] = &[
    "AvailabilityZones",
    "BacktrackWindow",
    "CopyTagsToSnapshot",
    "DatabaseName",
    "DBClusterIdentifier",
    "DBClusterParameterGroupName",
    "DBSubnetGroupName",
    "EnableCloudwatchLogsExports",
    "EnableIAMDatabaseAuthentication",
    "Engine",
    "EngineMode",
    "EngineVersion",
    "KmsKeyId",
    "OptionGroupName",
    "Port",
    "ScalingConfiguration",
    "VpcSecurityGroupIds",
];

/// What GetRecoveryPointRestoreMetadata answers: the source as it was at backup time, with names of the source account
/// and with keys that StartRestoreJob then rejects.
pub(crate) fn of_recovery_point(point: &RecoveryPoint) -> BTreeMap<String, String> {
    let source = &point.cluster;
    let list = |values: &[String]| Value::from(values).to_string();
    let metadata = [
        ("AvailabilityZones", list(&source.availability_zones)),
        ("CopyTagsToSnapshot", "true".to_owned()),
        ("DBClusterIdentifier", source_name(point).to_owned()),
        (
            "DBClusterParameterGroupName",
            source.parameter_group.clone(),
        ),
        ("DBSnapshotIdentifier", snapshot_name(point).to_owned()),
        ("DBSubnetGroupName", source.subnet_group.clone()),
        ("DatabaseName", source.database_name.clone()),
        (
            "EnableCloudwatchLogsExports",
            list(&source.cloudwatch_exports),
        ),
        ("EnableIAMDatabaseAuthentication", "false".to_owned()),
        ("Engine", source.engine.clone()),
        ("EngineMode", source.engine_mode.clone()),
        ("EngineVersion", source.engine_version.clone()),
        ("Port", source.port.to_string()),
        ("ScalingConfiguration", "null".to_owned()),
        ("VpcSecurityGroupIds", list(&source.security_groups)),
        (
            "aws:backup:request-id",
            "6b8c6e0e-1f1b-4e0e-9d8a-2f7f2f0c6b11".to_owned(),
        ),
    ];
    let key = source.kms_key_arn.clone().map(|key| ("KmsKeyId", key));
    let all = metadata.into_iter().chain(key);
    all.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The cluster a restore makes, or the message its job fails with.
pub(crate) fn plan(
    state: &State,
    point: &RecoveryPoint,
    metadata: &BTreeMap<String, String>,
) -> Result<DbCluster, String> {
    refuse_keys(metadata, ACCEPTED)?;
    let source = &point.cluster;
    let given = |key: &str| get(metadata, key).filter(|value| !value.is_empty());
    let refused = |message: String| Err(rds_error(&message, "InvalidParameterCombination"));
    let identifier = new_identifier(state, given("DBClusterIdentifier"))?;
    let Some(engine) = given("Engine") else {
        return Err("Invalid restore metadata. You must specify Engine".to_owned());
    };
    if engine != source.engine {
        return refused(format!(
            "The engine {engine} isn't compatible with the engine {} of the snapshot.",
            source.engine
        ));
    }
    // Upgrades on the way are not played. Words: terraform-provider-aws #4779.
    let version = given("EngineVersion").unwrap_or(&source.engine_version);
    if version != source.engine_version {
        return refused(format!("Cannot find version {version} for {engine}"));
    }
    let mode = given("EngineMode").unwrap_or(&source.engine_mode);
    if mode != "provisioned" {
        // Aurora Serverless v1 ended on 31 March 2025. Words: terraform-provider-aws #40473.
        return Err(rds_error(
            &format!("The engine mode {mode} you requested is currently unavailable."),
            "InvalidParameterValue",
        ));
    }
    if given("ScalingConfiguration").is_some_and(|value| value.trim() != "null") {
        return refused(format!(
            "You can't specify a scaling configuration for the engine mode {mode}."
        ));
    }
    if given("BacktrackWindow").is_some_and(|value| value != "0") && engine != "aurora-mysql" {
        return refused("Backtrack is not enabled for the DB engine.".to_owned());
    }
    let subnet_group = given("DBSubnetGroupName")
        .unwrap_or("default")
        .to_lowercase();
    let security_groups = json_list(metadata, "VpcSecurityGroupIds")?;
    // A world that plays AWS Backup only knows nothing of the network.
    if state.options.rds_endpoint.is_none() {
        let vpc = state.subnet_groups.get(&subnet_group);
        let vpc = vpc.ok_or_else(|| no_subnet_group(&subnet_group))?;
        // Words: fog/fog-aws #279.
        check_security_groups(state, vpc, &security_groups, |group, other| {
            format!("Database is in {vpc}, but Ec2 Security Group {group} is in {other}")
        })?;
    }
    let zones = json_list(metadata, "AvailabilityZones")?;
    let region = &state.options.region;
    if let Some(zone) = zones.iter().find(|zone| !zone.starts_with(region.as_str())) {
        return Err(rds_error(
            &format!(
                "Availability zones '[{zone}]' are unavailable in this region, please choose another zone set."
            ),
            "InvalidParameterValue",
        ));
    }
    let parameter_group = match given("DBClusterParameterGroupName") {
        None => default_group(engine, version),
        Some(name) if name == default_group(engine, version) => name.to_owned(),
        Some(name) if state.cluster_parameter_groups.contains(name) => name.to_owned(),
        Some(name) => {
            return Err(rds_error(
                &format!("DBClusterParameterGroup not found: {name}"),
                "DBClusterParameterGroupNotFound",
            ));
        }
    };
    if let Some(name) = given("OptionGroupName").filter(|name| !name.starts_with("default:")) {
        return Err(rds_error(
            &format!("Specified OptionGroupName: {name} not found."),
            "OptionGroupNotFoundFault",
        ));
    }
    let key = match given("KmsKeyId") {
        None => point.kms_key_arn.clone(),
        Some(key) => Some(own_key(state, key)?),
    };
    let port = match number::<u32>(metadata, "Port")? {
        None => source.port,
        Some(port) => u16::try_from(port)
            .ok()
            .filter(|port| *port >= 1150)
            .ok_or_else(|| {
                rds_error(
                    &format!("Invalid port {port}. Must be 1150-65535"),
                    "InvalidParameterValue",
                )
            })?,
    };
    let behaviour = point.behaviour.cluster.clone();
    Ok(DbCluster {
        host: endpoint(&identifier),
        identifier,
        status: "creating".to_owned(),
        created_at: state.now,
        port,
        engine: engine.to_owned(),
        engine_version: version.to_owned(),
        engine_mode: mode.to_owned(),
        master_username: source.master_username.clone(),
        database_name: given("DatabaseName")
            .unwrap_or(&source.database_name)
            .to_owned(),
        serverless_v2: None,
        deletion_protection: behaviour.protects_itself,
        kms_key_arn: key,
        availability_zones: if zones.is_empty() {
            ["a", "b", "c"].map(|zone| format!("{region}{zone}")).into()
        } else {
            zones
        },
        subnet_group,
        security_groups,
        network_type: "IPV4".to_owned(),
        ways_in: behaviour.ways_in,
        associated_roles: Vec::new(),
        parameter_group,
        backup_retention_days: 1,
        copy_tags_to_snapshot: flag(metadata, "CopyTagsToSnapshot")?.unwrap_or(false),
        iam_authentication: flag(metadata, "EnableIAMDatabaseAuthentication")?.unwrap_or(false),
        cloudwatch_exports: json_list(metadata, "EnableCloudwatchLogsExports")?,
        // RDS gives a restored cluster the snapshot's tags, except AWS's own.
        tags: (point.tags.iter())
            .filter(|(key, _)| !key.starts_with("aws:"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        behaviour,
    })
}

fn new_identifier(state: &State, given: Option<&str>) -> Result<String, String> {
    let Some(identifier) = given else {
        return Err("Invalid restore metadata. You must specify DBClusterIdentifier".to_owned());
    };
    if !is_identifier(identifier) {
        return Err(rds_error(
            &format!("The parameter DBClusterIdentifier {BAD_IDENTIFIER}"),
            "InvalidParameterValue",
        ));
    }
    let identifier = identifier.to_ascii_lowercase();
    let planned = state.jobs.open().any(|job| {
        let plan = job.source.as_ref();
        let planned = plan.and_then(|plan| plan.cluster.as_ref());
        planned.is_some_and(|planned| planned.identifier == identifier)
    });
    if planned || state.clusters.contains_key(&identifier) {
        return Err(rds_error(
            "DB Cluster already exists",
            "DBClusterAlreadyExistsFault",
        ));
    }
    Ok(identifier)
}

/// A key that a restore may be encrypted with: one of this account and Region. Words: as of KMSKeyNotAccessibleFault
/// elsewhere in RDS.
fn own_key(state: &State, key: &str) -> Result<String, String> {
    let own = format!(
        "arn:aws:kms:{}:{}:key/",
        state.options.region, state.options.account
    );
    if key.starts_with(&own) {
        return Ok(key.to_owned());
    }
    Err(rds_error(
        &format!(
            "Specified KMS key [{key}] does not exist, is not enabled or you do not have permissions to access it."
        ),
        "KMSKeyNotAccessibleFault",
    ))
}

//! Restore metadata of RDS: what AWS gives for a recovery point, and what becomes of what it is
//! given back.

use std::collections::BTreeMap;

use super::seed::{DbInstance, RecoveryPoint};
use super::state::State;

/// Keys `StartRestoreJob` takes for RDS, strictly: those of the developer guide's page "Restore testing inferred
/// metadata", and of its page "Restoring an RDS database" the parameters of RestoreDBInstanceFromDBSnapshot and
/// RestoreDBInstanceToPointInTime that were there when AWS Backup began to restore RDS (boto3 #2033 lists them).
/// Whether it passes on younger ones, `NetworkType` and `StorageThroughput` among them, no page says.
const ACCEPTED: &[&str] = &[
    "AllocatedStorage",
    "AutoMinorVersionUpgrade",
    "AvailabilityZone",
    "CopyTagsToSnapshot",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBName",
    "DBParameterGroupName",
    "DBSubnetGroupName",
    "DeletionProtection",
    "Domain",
    "DomainIAMRoleName",
    "EnableCloudwatchLogsExports",
    "EnableIAMDatabaseAuthentication",
    "Engine",
    "Iops",
    "LicenseModel",
    "MultiAZ",
    "OptionGroupName",
    "Port",
    "ProcessorFeatures",
    "PubliclyAccessible",
    "RestoreTime",
    "StorageType",
    "TdeCredentialArn",
    "TdeCredentialPassword",
    "UseDefaultProcessorFeatures",
    "UseLatestRestorableTime",
    "VpcSecurityGroupIds",
    // For information only, without effect (AWS Backup developer guide, restoring RDS).
    "EngineVersion",
    "KmsKeyId",
    "Encrypted",
    "vpcId",
];

/// What GetRecoveryPointRestoreMetadata answers: the source as it was at backup time, with names
/// of the source account and with keys that StartRestoreJob then rejects.
pub(crate) fn of_recovery_point(point: &RecoveryPoint) -> BTreeMap<String, String> {
    if let Some(metadata) = &point.restore_metadata {
        return metadata.clone();
    }
    if point.resource_type == "EC2" {
        return super::ec2::metadata::of_recovery_point(point);
    }
    if point.resource_type == "Aurora" {
        return super::aurora::metadata::of_recovery_point(point);
    }
    let source = &point.database;
    let list = |values: &[String]| {
        serde_json::to_string(values).expect("a list of strings always serializes")
    };
    let mut metadata: BTreeMap<String, String> = [
        ("AllocatedStorage", source.allocated_storage.to_string()),
        ("AutoMinorVersionUpgrade", "true".to_owned()),
        ("AvailabilityZone", source.availability_zone.clone()),
        ("CopyTagsToSnapshot", "true".to_owned()),
        ("DBInstanceClass", source.instance_class.clone()),
        ("DBInstanceIdentifier", source_name(point).to_owned()),
        ("DBName", source.database_name.clone()),
        ("DBParameterGroupName", source.parameter_group.clone()),
        ("DBSnapshotIdentifier", snapshot_name(point).to_owned()),
        ("DBSubnetGroupName", source.subnet_group.clone()),
        ("DeletionProtection", source.deletion_protection.to_string()),
        (
            "EnableCloudwatchLogsExports",
            list(&source.cloudwatch_exports),
        ),
        ("EnableIAMDatabaseAuthentication", "false".to_owned()),
        ("Encrypted", source.kms_key_arn.is_some().to_string()),
        ("Engine", source.engine.clone()),
        ("EngineVersion", source.engine_version.clone()),
        (
            "InformationalOnly:MasterUsername",
            source.master_username.clone(),
        ),
        ("InformationalOnly:VpcId", source.vpc_id.clone()),
        ("LicenseModel", license(&source.engine).to_owned()),
        ("MultiAZ", source.multi_az.to_string()),
        ("OptionGroupName", source.option_group.clone()),
        ("Port", source.port.to_string()),
        ("ProcessorFeatures", "[]".to_owned()),
        ("PubliclyAccessible", source.publicly_accessible.to_string()),
        ("StorageType", source.storage_type.clone()),
        ("UseDefaultProcessorFeatures", "false".to_owned()),
        ("VpcSecurityGroupIds", list(&source.security_groups)),
        (
            "aws:backup:request-id",
            "6b8c6e0e-1f1b-4e0e-9d8a-2f7f2f0c6b11".to_owned(),
        ),
        ("vpcId", source.vpc_id.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if let Some(key) = &source.kms_key_arn {
        metadata.insert("KmsKeyId".to_owned(), key.clone());
    }
    // RDS tells IOPS of gp3 too, also where it takes none (crossplane-contrib/provider-aws #1630).
    let (iops, throughput) = match (source.storage_type.as_str(), source.allocated_storage) {
        ("gp3", ..GP3_STRIPED_FROM) => (Some(3000), 125),
        ("gp3", _) => (Some(12_000), 500),
        _ => (None, 0),
    };
    if let Some(iops) = source.iops.or(iops) {
        metadata.insert("Iops".to_owned(), iops.to_string());
    }
    metadata.insert("StorageThroughput".to_owned(), throughput.to_string());
    metadata
}

/// The instance a restore makes, or the message its job fails with.
pub(crate) fn plan_instance(
    state: &State,
    point: &RecoveryPoint,
    metadata: &BTreeMap<String, String>,
) -> Result<DbInstance, String> {
    refuse_keys(metadata, ACCEPTED)?;
    let source = &point.database;
    let given = |key: &str| get(metadata, key).map(str::to_owned);
    let identifier = new_identifier(state, metadata)?;

    // A world that plays AWS Backup only knows nothing of the network.
    let knows_network = state.options.rds_endpoint.is_none();
    let subnet_group = given("DBSubnetGroupName")
        .unwrap_or_else(|| "default".to_owned())
        .to_lowercase();
    let security_groups = json_list(metadata, "VpcSecurityGroupIds")?;
    let vpc = if knows_network {
        Some(check_network(state, &subnet_group, &security_groups)?)
    } else {
        None
    };
    let multi_az = flag(metadata, "MultiAZ")?.unwrap_or(source.multi_az);
    let zone = given("AvailabilityZone");
    if multi_az && zone.is_some() {
        return Err(rds_error(
            "Requesting a specific availability zone is not valid for Multi-AZ instances.",
            "InvalidParameterCombination",
        ));
    }
    if let Some(zone) = zone
        .as_ref()
        .filter(|zone| !zone.starts_with(&state.options.region))
    {
        return Err(rds_error(
            &format!("{zone} is not a valid availability zone."),
            "InvalidParameterValue",
        ));
    }
    let option_group = option_group(state, point, given("OptionGroupName"), vpc)?;
    let storage = storage(source, metadata)?;
    if given("DBName").is_some_and(|name| !name.is_empty()) {
        // Only Oracle and SQL Server take one, and neither runs here.
        return Err(rds_error(
            "DBName must be null when Restoring for this Engine.",
            "InvalidParameterValue",
        ));
    }
    let parameter_group =
        given("DBParameterGroupName").unwrap_or_else(|| default_parameter_group(point));
    if !parameter_group.starts_with("default.")
        && !state.parameter_groups.contains(&parameter_group)
    {
        return Err(rds_error(
            &format!("DBParameterGroup not found: {parameter_group}"),
            "DBParameterGroupNotFound",
        ));
    }
    let behaviour = point.behaviour.instance.clone();
    Ok(DbInstance {
        identifier,
        cluster: None,
        status: "creating".to_owned(),
        created_at: None,
        host: None,
        port: port(source, metadata)?,
        engine: source.engine.clone(),
        engine_version: source.engine_version.clone(),
        instance_class: given("DBInstanceClass").unwrap_or_else(|| source.instance_class.clone()),
        master_username: source.master_username.clone(),
        database_name: source.database_name.clone(),
        allocated_storage: storage.gib,
        storage_type: storage.kind,
        iops: storage.iops,
        publicly_accessible: flag(metadata, "PubliclyAccessible")?
            .unwrap_or(source.publicly_accessible),
        multi_az,
        deletion_protection: behaviour.protects_itself
            || flag(metadata, "DeletionProtection")?.unwrap_or(source.deletion_protection),
        // A restore takes no key: it follows the snapshot.
        kms_key_arn: point.kms_key_arn.clone(),
        availability_zone: zone.unwrap_or_else(|| format!("{}a", state.options.region)),
        subnet_group,
        security_groups,
        // The subnet group decides it (RDS API reference); those here have no IPv6.
        network_type: "IPV4".to_owned(),
        associated_roles: Vec::new(),
        parameter_group,
        option_group,
        backup_retention_days: 1,
        copy_tags_to_snapshot: flag(metadata, "CopyTagsToSnapshot")?.unwrap_or(false),
        iam_authentication: flag(metadata, "EnableIAMDatabaseAuthentication")?.unwrap_or(false),
        cloudwatch_exports: json_list(metadata, "EnableCloudwatchLogsExports")?,
        // RDS gives a restored instance the snapshot's tags, except AWS's own.
        tags: point
            .tags
            .iter()
            .filter(|(key, _)| !key.starts_with("aws:"))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        behaviour,
    })
}

/// The name of a snapshot of RDS, as its ARN ends.
pub(crate) fn snapshot_name(point: &RecoveryPoint) -> &str {
    let name = point.arn.split_once("snapshot:");
    name.map_or(point.arn.as_str(), |(_, name)| name)
}

/// The name of the resource that was backed up.
pub(crate) fn source_name(point: &RecoveryPoint) -> &str {
    let name = point.source_resource_arn.rsplit(':').next();
    name.unwrap_or_default()
}

/// Refuses keys that AWS Backup does not know.
pub(super) fn refuse_keys(
    metadata: &BTreeMap<String, String>,
    accepted: &[&str],
) -> Result<(), String> {
    for key in metadata.keys() {
        let accepted = accepted.iter().any(|known| known.eq_ignore_ascii_case(key));
        if !accepted {
            return Err(format!(
                "Invalid restore metadata. Unsupported metadata key: {key}"
            ));
        }
    }
    Ok(())
}

/// What RDS says of an identifier that is none.
pub(crate) const BAD_IDENTIFIER: &str = "is not a valid identifier. Identifiers must begin with a letter; must contain \
     only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens.";

/// Whether RDS takes a name as identifier of an instance or cluster.
pub(crate) fn is_identifier(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !name.ends_with('-')
        && !name.contains("--")
}

fn new_identifier(state: &State, metadata: &BTreeMap<String, String>) -> Result<String, String> {
    let Some(identifier) = get(metadata, "DBInstanceIdentifier") else {
        return Err("Invalid restore metadata. You must specify DBInstanceIdentifier".to_owned());
    };
    if !is_identifier(identifier) {
        return Err(rds_error(
            &format!("The parameter DBInstanceIdentifier {BAD_IDENTIFIER}"),
            "InvalidParameterValue",
        ));
    }
    let identifier = identifier.to_ascii_lowercase();
    let in_use = state.instances.contains_key(&identifier)
        || state.jobs.open().any(|job| {
            let planned = job.source.as_ref().and_then(|plan| plan.instance.as_ref());
            planned.is_some_and(|planned| planned.identifier == identifier)
        });
    if in_use {
        return Err(rds_error(
            "DB instance already exists",
            "DBInstanceAlreadyExists",
        ));
    }
    Ok(identifier)
}

/// The VPC a restore lands in.
fn check_network<'a>(
    state: &'a State,
    subnet_group: &str,
    security_groups: &[String],
) -> Result<&'a str, String> {
    let vpc = state.subnet_groups.get(subnet_group);
    let vpc = vpc.ok_or_else(|| no_subnet_group(subnet_group))?;
    check_security_groups(state, vpc, security_groups, |_, other| {
        format!(
            "The DB instance and EC2 security group are in different VPCs. The DB instance is in {vpc} and the EC2 security \
             group is in {other}"
        )
    })?;
    Ok(vpc)
}

pub(super) fn no_subnet_group(name: &str) -> String {
    if name == "default" {
        return "No default subnet detected in VPC. Please contact AWS Support to recreate default Subnets."
            .to_owned();
    }
    rds_error(
        &format!("DB subnet group '{name}' does not exist."),
        "DBSubnetGroupNotFoundFault",
    )
}

/// Refuses security groups that are not there, or in another VPC; `words` says so of a group and its VPC.
pub(super) fn check_security_groups(
    state: &State,
    vpc: &str,
    groups: &[String],
    words: impl Fn(&str, &str) -> String,
) -> Result<(), String> {
    for group in groups {
        match state.security_groups.get(group) {
            None => {
                return Err(rds_error(
                    &format!("Invalid security group , groupId= {group}, groupName=."),
                    "InvalidParameterValue",
                ));
            }
            // The code: terraform-aws-rds #560.
            Some(other) if other.vpc_id != vpc => {
                return Err(rds_error(
                    &words(group, &other.vpc_id),
                    "InvalidParameterCombination",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The option group a restore gets: the one named, or the snapshot's, which is the source's. One that is not a
/// default belongs to an account and is bound to a VPC; words: boto #2917.
fn option_group(
    state: &State,
    point: &RecoveryPoint,
    named: Option<String>,
    vpc: Option<&str>,
) -> Result<String, String> {
    let default = default_option_group(point);
    let source = &point.database;
    let (group, bound_to) = match named {
        Some(named) => {
            let known = state.option_groups.get(&named);
            if known.is_none() && named != default {
                return Err(rds_error(
                    &format!("Specified OptionGroupName: {named} not found."),
                    "OptionGroupNotFoundFault",
                ));
            }
            (named, known.cloned().flatten())
        }
        None if source.option_group.starts_with("default:") => (default, None),
        None => (source.option_group.clone(), Some(source.vpc_id.clone())),
    };
    match (bound_to, vpc) {
        (Some(bound_to), Some(vpc)) if bound_to != vpc => Err(rds_error(
            &format!(
                "The option group {group} is associated with a different VPC than the request."
            ),
            "InvalidParameterCombination",
        )),
        _ => Ok(group),
    }
}

/// From this size on gp3 is striped and takes IOPS and throughput; Oracle from 200 GiB (RDS user guide, "Amazon RDS
/// DB instance storage").
const GP3_STRIPED_FROM: u32 = 400;

struct Storage {
    kind: String,
    gib: u32,
    iops: Option<u32>,
}

/// The storage of a restore, within the limits of the RDS user guide's page "Amazon RDS DB instance storage". RDS's
/// words are as people report them: cloud-platform-user-guide #1911 (size), terraform-provider-aws #9667 (IOPS),
/// cloud-platform-environments #3972 (ratio), tf_aws_rds #22 (io1 without), troposphere #2153 (gp3).
fn storage(
    source: &super::seed::SourceDatabase,
    metadata: &BTreeMap<String, String>,
) -> Result<Storage, String> {
    let refused = |what: String| Err(rds_error(&what, "InvalidParameterCombination"));
    let engine = &source.engine;
    let kind = get(metadata, "StorageType").unwrap_or(&source.storage_type);
    let gib = number(metadata, "AllocatedStorage")?.unwrap_or(source.allocated_storage);
    let (least, most) = match kind {
        "io1" | "io2" => (100, 65_536),
        "gp2" | "gp3" => (20, 65_536),
        "standard" => (5, 3072),
        _ => {
            return Err(rds_error(
                &format!("Invalid storage type: {kind}"),
                "InvalidParameterValue",
            ));
        }
    };
    // A disk smaller than the snapshot's is refused in the same words.
    if !(least.max(source.allocated_storage)..=most).contains(&gib) {
        return refused(format!(
            "Invalid storage size for engine name {engine} and storage type {kind}: {gib}"
        ));
    }
    let asked: Option<u32> = number(metadata, "Iops")?;
    let for_storage = format!("for engine name {engine} and storage type {kind}");
    let ratio = asked.map(|iops| f64::from(iops) / f64::from(gib));
    let most_ratio = if kind == "io1" { 50.0 } else { 1000.0 };
    let iops = match (kind, asked) {
        ("gp3", Some(_)) if gib < GP3_STRIPED_FROM => {
            return refused(format!(
                "You can't specify IOPS or storage throughput for engine {engine} and a storage size less than \
                 {GP3_STRIPED_FROM}."
            ));
        }
        ("gp3", Some(iops)) if (12_000..=64_000).contains(&iops) => Some(iops),
        ("io1" | "io2", Some(iops)) if (1000..=256_000).contains(&iops) => {
            if let Some(ratio) = ratio.filter(|ratio| !(0.5..=most_ratio).contains(ratio)) {
                return refused(format!(
                    "Invalid iops to max storage (GB) ratio {for_storage}: {ratio:.4}"
                ));
            }
            Some(iops)
        }
        (_, Some(iops)) => return refused(format!("Invalid iops value {for_storage}: {iops}")),
        // Not asked for, they are the backup's, which has none for another type of storage.
        ("io1" | "io2", None) if !source.storage_type.starts_with("io") => {
            return refused(format!(
                "The storage type {kind} requires iops to be specified."
            ));
        }
        ("io1" | "io2", None) => source.iops,
        (_, None) => None,
    };
    Ok(Storage {
        kind: kind.to_owned(),
        gib,
        iops,
    })
}

/// The port of a restore: the one asked for, or the source's. The metadata of some points has 0.
fn port(
    source: &super::seed::SourceDatabase,
    metadata: &BTreeMap<String, String>,
) -> Result<u16, String> {
    match number::<u32>(metadata, "Port")? {
        Some(port) if !(1150..=65_535).contains(&port) => Err(rds_error(
            &format!("Invalid port {port}. Must be 1150-65535"),
            "InvalidParameterValue",
        )),
        Some(port) => Ok(u16::try_from(port).unwrap_or(u16::MAX)),
        None if source.port > 0 => Ok(source.port),
        None => Ok(match source.engine.as_str() {
            "mysql" | "mariadb" => 3306,
            _ => 5432,
        }),
    }
}

/// The one licence that an open-source engine is used under.
pub(crate) fn license(engine: &str) -> &'static str {
    match engine {
        "mysql" | "mariadb" | "aurora-mysql" => "general-public-license",
        _ => "postgresql-license",
    }
}

/// The version that names an engine's groups: `15` of PostgreSQL 15.8, `8.0` of MySQL 8.0.40.
fn major_version(source: &super::seed::SourceDatabase) -> String {
    let parts = match source.engine.as_str() {
        "mysql" | "mariadb" => 2,
        _ => 1,
    };
    let version: Vec<_> = source.engine_version.split('.').take(parts).collect();
    version.join(".")
}

fn default_parameter_group(point: &RecoveryPoint) -> String {
    let source = &point.database;
    format!("default.{}{}", source.engine, major_version(source))
}

fn default_option_group(point: &RecoveryPoint) -> String {
    let source = &point.database;
    let major = major_version(source).replace('.', "-");
    format!("default:{}-{major}", source.engine)
}

/// A value by its key, whose case AWS Backup does not mind.
pub(crate) fn get<'a>(metadata: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    metadata
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(key))
        .map(|(_, value)| value.as_str())
}

pub(super) fn flag(metadata: &BTreeMap<String, String>, key: &str) -> Result<Option<bool>, String> {
    match get(metadata, key) {
        None => Ok(None),
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(value) if value.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(value) => Err(format!(
            "Invalid restore metadata. {key} must be true or false, not {value:?}"
        )),
    }
}

pub(super) fn number<N: std::str::FromStr>(
    metadata: &BTreeMap<String, String>,
    key: &str,
) -> Result<Option<N>, String> {
    match get(metadata, key) {
        None => Ok(None),
        Some(value) => match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!(
                "Invalid restore metadata. {key} must be a number in range, not {value:?}"
            )),
        },
    }
}

/// Lists are JSON arrays inside the string.
pub(super) fn json_list(
    metadata: &BTreeMap<String, String>,
    key: &str,
) -> Result<Vec<String>, String> {
    match get(metadata, key) {
        None | Some("") => Ok(Vec::new()),
        Some(value) => serde_json::from_str(value).map_err(|_| {
            format!(
                "Invalid restore metadata. {key} must be a JSON array of strings, not {value:?}"
            )
        }),
    }
}

/// The way AWS Backup passes on an error of RDS.
pub(super) fn rds_error(message: &str, code: &str) -> String {
    format!("{message} (Service: Rds, Status Code: 400, Error Code: {code})")
}

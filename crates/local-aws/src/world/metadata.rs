//! Restore metadata of RDS: what AWS gives for a recovery point, and what becomes of what it is
//! given back.

use std::collections::BTreeMap;

use super::seed::{DbInstance, RecoveryPoint};
use super::state::State;

/// Keys `StartRestoreJob` takes for RDS: the parameters of RestoreDBInstanceFromDBSnapshot and
/// RestoreDBInstanceToPointInTime (botocore's RDS model), without the snapshot itself.
const ACCEPTED: &[&str] = &[
    "AllocatedStorage",
    "AutoMinorVersionUpgrade",
    "AvailabilityZone",
    "BackupRetentionPeriod",
    "BackupTarget",
    "CACertificateIdentifier",
    "CopyTagsToSnapshot",
    "CustomIamInstanceProfile",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBName",
    "DBParameterGroupName",
    "DBSubnetGroupName",
    "DedicatedLogVolume",
    "DeletionProtection",
    "Domain",
    "DomainAuthSecretArn",
    "DomainDnsIps",
    "DomainFqdn",
    "DomainIAMRoleName",
    "DomainOu",
    "EnableCloudwatchLogsExports",
    "EnableCustomerOwnedIp",
    "EnableIAMDatabaseAuthentication",
    "Engine",
    "EngineLifecycleSupport",
    "Iops",
    "LicenseModel",
    "ManageMasterUserPassword",
    "MasterUserSecretKmsKeyId",
    "MaxAllocatedStorage",
    "MultiAZ",
    "NetworkType",
    "OptionGroupName",
    "Port",
    "PreferredBackupWindow",
    "ProcessorFeatures",
    "PubliclyAccessible",
    "RestoreTime",
    "StorageThroughput",
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
    let source = &point.database;
    let list = |values: &[String]| {
        serde_json::to_string(values).expect("a list of strings always serializes")
    };
    let identifier = point
        .source_resource_arn
        .rsplit(':')
        .next()
        .unwrap_or_default();
    let snapshot = point
        .arn
        .split_once(":snapshot:")
        .map_or("awsbackup:job-unknown", |(_, name)| name);
    let mut metadata: BTreeMap<String, String> = [
        ("AllocatedStorage", source.allocated_storage.to_string()),
        ("AutoMinorVersionUpgrade", "true".to_owned()),
        ("AvailabilityZone", source.availability_zone.clone()),
        ("CopyTagsToSnapshot", "true".to_owned()),
        ("DBInstanceClass", source.instance_class.clone()),
        ("DBInstanceIdentifier", identifier.to_owned()),
        ("DBName", source.database_name.clone()),
        ("DBParameterGroupName", source.parameter_group.clone()),
        ("DBSnapshotIdentifier", snapshot.to_owned()),
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
    metadata
}

/// The instance a restore makes, or the message its job fails with.
pub(crate) fn plan_instance(
    state: &State,
    point: &RecoveryPoint,
    metadata: &BTreeMap<String, String>,
) -> Result<DbInstance, String> {
    refuse_keys(metadata)?;
    let source = &point.database;
    let given = |key: &str| get(metadata, key).map(str::to_owned);
    let identifier = new_identifier(state, metadata)?;

    // A world that plays AWS Backup only knows nothing of the network.
    let knows_network = state.options.rds_endpoint.is_none();
    let subnet_group = given("DBSubnetGroupName")
        .unwrap_or_else(|| "default".to_owned())
        .to_lowercase();
    let security_groups = json_list(metadata, "VpcSecurityGroupIds")?;
    if knows_network {
        check_network(state, &subnet_group, &security_groups)?;
    }
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
    let option_group = given("OptionGroupName").unwrap_or_else(|| source.option_group.clone());
    // An option group belongs to an account and is not inherited from a copy of another account.
    let named_option_group = given("OptionGroupName").is_some();
    if named_option_group
        && !option_group.starts_with("default:")
        && !state.option_groups.contains(&option_group)
    {
        return Err(rds_error(
            &format!("Specified OptionGroupName: {option_group} not found."),
            "OptionGroupNotFoundFault",
        ));
    }
    let option_group = if named_option_group {
        option_group
    } else {
        default_option_group(point)
    };
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
        status: "creating".to_owned(),
        created_at: None,
        host: None,
        port: number(metadata, "Port")?.unwrap_or(source.port),
        engine: source.engine.clone(),
        engine_version: source.engine_version.clone(),
        instance_class: given("DBInstanceClass").unwrap_or_else(|| source.instance_class.clone()),
        master_username: source.master_username.clone(),
        database_name: source.database_name.clone(),
        allocated_storage: number(metadata, "AllocatedStorage")?
            .unwrap_or(source.allocated_storage),
        storage_type: given("StorageType").unwrap_or_else(|| source.storage_type.clone()),
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
        network_type: given("NetworkType").unwrap_or_else(|| "IPV4".to_owned()),
        associated_roles: Vec::new(),
        parameter_group,
        option_group,
        backup_retention_days: number(metadata, "BackupRetentionPeriod")?.unwrap_or(1),
        copy_tags_to_snapshot: flag(metadata, "CopyTagsToSnapshot")?.unwrap_or(false),
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

fn refuse_keys(metadata: &BTreeMap<String, String>) -> Result<(), String> {
    for key in metadata.keys() {
        let accepted = ACCEPTED.iter().any(|known| known.eq_ignore_ascii_case(key));
        if !accepted {
            return Err(format!(
                "Invalid restore metadata. Unsupported metadata key: {key}"
            ));
        }
    }
    Ok(())
}

fn new_identifier(state: &State, metadata: &BTreeMap<String, String>) -> Result<String, String> {
    let Some(identifier) = get(metadata, "DBInstanceIdentifier") else {
        return Err("Invalid restore metadata. You must specify DBInstanceIdentifier".to_owned());
    };
    let valid = identifier.len() <= 63
        && identifier.starts_with(|first: char| first.is_ascii_alphabetic())
        && identifier
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !identifier.ends_with('-')
        && !identifier.contains("--");
    if !valid {
        return Err(rds_error(
            "The parameter DBInstanceIdentifier is not a valid identifier. Identifiers must begin with a letter; must \
             contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two \
             consecutive hyphens.",
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

fn check_network(
    state: &State,
    subnet_group: &str,
    security_groups: &[String],
) -> Result<(), String> {
    let Some(vpc) = state.subnet_groups.get(subnet_group) else {
        return Err(if subnet_group == "default" {
            "No default subnet detected in VPC. Please contact AWS Support to recreate default Subnets.".to_owned()
        } else {
            rds_error(
                &format!("DB subnet group '{subnet_group}' does not exist."),
                "DBSubnetGroupNotFoundFault",
            )
        });
    };
    for group in security_groups {
        match state.security_groups.get(group) {
            None => {
                return Err(rds_error(
                    &format!("Invalid security group , groupId= {group}, groupName=."),
                    "InvalidParameterValue",
                ));
            }
            Some(other) if other.vpc_id != *vpc => {
                return Err(rds_error(
                    &format!(
                        "The DB instance and EC2 security group are in different VPCs. The DB instance is in {vpc} \
                         and the EC2 security group is in {}",
                        other.vpc_id
                    ),
                    "InvalidVPCNetworkStateFault",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The one licence that an open-source engine is used under.
pub(crate) fn license(engine: &str) -> &'static str {
    match engine {
        "mysql" | "mariadb" => "general-public-license",
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

fn number<N: std::str::FromStr>(
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
fn rds_error(message: &str, code: &str) -> String {
    format!("{message} (Service: Rds, Status Code: 400, Error Code: {code})")
}

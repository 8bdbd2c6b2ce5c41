//! Restore requests of RDS DB instances.
//!
//! Sources: AWS Backup developer guide, "Restoring an Amazon RDS database" and "Restore testing inferred metadata"
//! (keys), the parameters of RDS `RestoreDBInstanceFromDBSnapshot`, which AWS Backup passes the metadata to, and the
//! RDS user guide, "Amazon RDS DB instance storage" (limits).

use std::collections::BTreeMap;

use crate::policy::Rule;

use super::{Network, Plan, PlannedKey};

mod storage;

/// Names the restored instance.
pub const NAME_KEY: &str = "DBInstanceIdentifier";

/// Keys of the backup that are taken over. All others are left out: some fail the job
/// (`DBSnapshotIdentifier`, `InformationalOnly:*`, `aws:backup:request-id`), some point at the source
/// account (subnet, security, option and parameter groups, domain, key), some AWS Backup documents nowhere, and the
/// rest is not needed.
const FROM_BACKUP: [(&str, &str); 7] = [
    ("DBInstanceClass", "as large as the source was"),
    ("Engine", "the backup's engine"),
    ("LicenseModel", "licensed as the source was"),
    ("Port", "clients find it where the source listened"),
    (
        "StorageType",
        "stored as the source was, so that times compare",
    ),
    ("Iops", "as fast as the source was, so that times compare"),
    ("AllocatedStorage", "as large as the source was"),
];

/// Keys that are left out for a reason of their own.
const LEFT_OUT: [(&str, &str); 2] = [
    (
        "StorageThroughput",
        "AWS Backup documents no such key; the storage has what its type and size give",
    ),
    (
        "NetworkType",
        "AWS Backup documents no such key; the isolated subnets have no IPv6 addresses",
    ),
];

/// Set last, over everything else.
const SAFETY: [(&str, &str, &str); 6] = [
    (
        "PubliclyAccessible",
        "false",
        "a copy of production is never reachable from the internet",
    ),
    (
        "MultiAZ",
        "false",
        "a standby would be paid for and never used",
    ),
    (
        "DeletionProtection",
        "false",
        "what is restored must be deletable",
    ),
    (
        "CopyTagsToSnapshot",
        "false",
        "no snapshot is to outlive the copy under the source's tags",
    ),
    (
        "EnableIAMDatabaseAuthentication",
        "false",
        "checks log in with the backup's own users",
    ),
    (
        "AutoMinorVersionUpgrade",
        "false",
        "the engine that was backed up is the one that is checked",
    ),
];

/// Keys a policy may override, besides the instance class.
pub(super) const OVERRIDABLE: [&str; 8] = [
    "AllocatedStorage",
    "DBInstanceClass",
    "DBParameterGroupName",
    "Iops",
    "LicenseModel",
    "OptionGroupName",
    "Port",
    "StorageType",
];

/// Keys that no policy may set, with the reason: most are safety's.
pub(super) const FORBIDDEN: [(&str, &str); 19] = [
    (NAME_KEY, "the name proves that a restored database is ours"),
    (
        "PubliclyAccessible",
        "a restored copy is never reachable from the internet",
    ),
    ("MultiAZ", "a standby would be paid for and never used"),
    ("DeletionProtection", "what is restored must be deletable"),
    (
        "DBSubnetGroupName",
        "restores stay in the stack's isolated network",
    ),
    (
        "VpcSecurityGroupIds",
        "restores stay behind the stack's security groups",
    ),
    ("VpcId", "restores stay in the stack's isolated network"),
    (
        "NetworkType",
        "the isolated subnets decide it, and AWS Backup documents no such key",
    ),
    (
        "StorageThroughput",
        "AWS Backup documents no such key; the storage has what its type and size give",
    ),
    ("AvailabilityZone", "the isolated subnets decide the zone"),
    ("CopyTagsToSnapshot", "no snapshot is to outlive the copy"),
    (
        "EnableIAMDatabaseAuthentication",
        "checks log in with the backup's own users",
    ),
    (
        "EnableCloudwatchLogsExports",
        "logs of a copy would carry production data out of it",
    ),
    ("Domain", "a copy must not join a production directory"),
    (
        "DomainIAMRoleName",
        "a copy must not join a production directory",
    ),
    (
        "KmsKeyId",
        "the key follows the recovery point; a restore cannot choose it",
    ),
    (
        "DBSnapshotIdentifier",
        "AWS Backup sets it and fails the job when it is given",
    ),
    ("Engine", "the engine is the backup's"),
    ("EngineVersion", "the version is the backup's"),
];

pub(super) fn plan(
    stored: &BTreeMap<String, String>,
    rule: &Rule,
    network: &Network,
    target_name: &str,
) -> Plan {
    let mut keys = BTreeMap::new();
    let mut set = |key: &str, value: Option<&str>, reason: &'static str| {
        keys.insert(key.to_owned(), planned(value, reason));
    };

    for (key, value) in stored {
        let known = FROM_BACKUP
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key));
        match known {
            // "0" for some points.
            Some((name @ "Port", _))
                if is_number(value) && value_problem(name, value).is_some() =>
            {
                set(
                    name,
                    None,
                    "RDS takes ports from 1150 to 65535; the engine's own will do",
                );
            }
            // AWS Backup stores an unset value as empty text or "null".
            Some((name, reason)) if !value.is_empty() && value != "null" => {
                set(name, Some(value), reason)
            }
            Some((name, _)) => set(name, None, "not set in the backup"),
            None => match LEFT_OUT
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
            {
                Some((name, reason)) => set(name, None, reason),
                None => set(
                    key,
                    None,
                    "not needed to restore, or bound to the source's account",
                ),
            },
        }
    }
    if let Some((value, reason)) = option_group(stored) {
        set("OptionGroupName", value.as_deref(), reason);
    }

    for (key, value) in &rule.restore {
        // The policy was refused if it held any other key; this keeps a request safe even so.
        if let Some(name) = OVERRIDABLE
            .iter()
            .find(|name| name.eq_ignore_ascii_case(key))
        {
            set(name, Some(value), "the policy's override");
        }
    }
    if let Some(class) = &rule.instance_class {
        set(
            "DBInstanceClass",
            Some(class),
            "the policy's instance_class",
        );
    }

    let problem = storage::settle(stored, rule, &mut keys);

    let mut set = |key: &str, value: Option<&str>, reason: &'static str| {
        keys.insert(key.to_owned(), planned(value, reason));
    };
    let groups = serde_json::Value::from(network.db_security_groups.clone()).to_string();
    set(
        "DBSubnetGroupName",
        Some(&network.db_subnet_group),
        "the stack's isolated subnets",
    );
    set(
        "VpcSecurityGroupIds",
        Some(&groups),
        "the stack's security group without a way out",
    );
    for (name, value, reason) in SAFETY {
        set(name, Some(value), reason);
    }
    set(NAME_KEY, Some(target_name), "names the restore as ours");
    Plan { keys, problem }
}

fn planned(value: Option<&str>, reason: &'static str) -> PlannedKey {
    PlannedKey {
        value: value.map(str::to_owned),
        reason,
    }
}

fn is_number(value: &str) -> bool {
    value.parse::<u64>().is_ok()
}

/// What the backup says of a key, whose case AWS Backup does not keep everywhere; empty if nothing.
fn said<'a>(stored: &'a BTreeMap<String, String>, wanted: &str) -> &'a str {
    let found = stored
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(wanted));
    found.map_or("", |(_, value)| value.as_str())
}

/// The option group, where the backup names one. One of the source's own is bound to its account and VPC, and RDS
/// takes it from the snapshot unless it is told another: "The option group … is associated with a different VPC than
/// the request." Where the source has its engine's default, so has the copy, unasked.
fn option_group(stored: &BTreeMap<String, String>) -> Option<(Option<String>, &'static str)> {
    let own = match said(stored, "OptionGroupName") {
        "" | "null" => return None,
        name => !name.starts_with("default:"),
    };
    if !own {
        return Some((
            None,
            "the default of the backup's engine, which RDS gives unasked",
        ));
    }
    let default = default_option_group(said(stored, "Engine"), said(stored, "EngineVersion"));
    let reason = match default {
        Some(_) => "the source's own is bound to its account and VPC: its engine's default instead",
        None => "the source's own is bound to its account and VPC",
    };
    Some((default, reason))
}

/// The name of an engine's default option group, for example `default:mysql-8-0`; none if the version does not tell
/// (RDS user guide, "Working with option groups").
fn default_option_group(engine: &str, version: &str) -> Option<String> {
    let parts: Vec<&str> = version.split('.').collect();
    let first: u32 = parts.first()?.parse().ok()?;
    let one_names_it = match engine {
        "postgres" => first >= 10,
        "mysql" | "mariadb" => false,
        _ if engine.starts_with("oracle-") => first >= 18,
        _ if engine.starts_with("sqlserver-") || engine.starts_with("db2-") => false,
        _ => return None,
    };
    let second = if one_names_it {
        None
    } else {
        Some(parts.get(1)?)
    };
    if second.is_some_and(|second| second.parse::<u32>().is_err()) {
        return None;
    }
    let major: Vec<&str> = std::iter::once(parts[0]).chain(second.copied()).collect();
    Some(format!("default:{engine}-{}", major.join("-")))
}

/// What speaks against a value, not empty, of a key that a policy may override.
pub(super) fn value_problem(name: &str, value: &str) -> Option<String> {
    let number = || value.parse::<u32>().ok();
    match name {
        "Port" if !number().is_some_and(|port| (1150..=65535).contains(&port)) => {
            Some("Port is a number from 1150 to 65535".to_owned())
        }
        "AllocatedStorage" | "Iops" if number().is_none_or(|n| n == 0) => {
            Some(format!("{name} is a positive whole number"))
        }
        "DBInstanceClass" if !value.starts_with("db.") => {
            Some("an instance class begins with \"db.\", for example db.t4g.medium".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;

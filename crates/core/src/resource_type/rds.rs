//! RDS DB instances.
//!
//! Sources: AWS Backup developer guide, "Restoring an Amazon RDS database" and "Restore testing inferred metadata"
//! (keys), the parameters of RDS `RestoreDBInstanceFromDBSnapshot`, which AWS Backup passes the metadata to, and the
//! RDS user guide, "Amazon RDS DB instance storage" (limits).

mod storage;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::keys::{Key, Own, Table, key};
use crate::reader::Item;

use super::{
    ArnShape, Deadlines, DeletionOrder, Facts, Fits, Keys, MarkedBy, Reason, Request, RuleKeys,
    Told, TypeKeys, ValueProblem, anything,
};

pub(super) static FACTS: Facts = Facts {
    name: "RDS",
    noun: "database",
    created: ArnShape {
        service: "rds",
        kind: Some("db"),
    },
    marked_by: MarkedBy::Name,
    deletion: DeletionOrder::WholeFirst,
    restore_billed_by_size: false,
    // RDS restores within minutes to hours whatever the size, since it loads the data afterwards: twice the day that AWS
    // may take for types that copy it all is an end for every one.
    deadlines: Deadlines {
        restored: SignedDuration::from_hours(48),
        ready: SignedDuration::from_hours(6),
        without_progress: SignedDuration::from_hours(3),
    },
    keys: Keys {
        name: Some((NAME_KEY, "names the restore as ours")),
        class: Some("DBInstanceClass"),
        recognised_by: &[NAME_KEY],
        from_backup: FROM_BACKUP,
        left_out: LEFT_OUT,
        others_left_out: "not needed to restore, or bound to the source's account",
        overridable: OVERRIDABLE,
        forbidden: FORBIDDEN,
        settle,
        network: &[
            (
                "DBSubnetGroupName",
                |network| network.db_subnet_group.clone(),
                "the stack's isolated subnets",
            ),
            (
                "VpcSecurityGroupIds",
                |network| serde_json::Value::from(network.db_security_groups.clone()).to_string(),
                "the stack's security group without a way out",
            ),
        ],
        safety: SAFETY,
    },
    rule_keys: RuleKeys {
        name: "rds",
        table: &TABLE,
        read,
        class: ("instance_class", Some("DBInstanceClass")),
        chosen_class: |request| request.says("DBInstanceClass").map(str::to_owned),
        told: |keys| {
            let class = keys.rds.instance_class.iter();
            class
                .map(|class| Told {
                    label: "class",
                    words: class.clone(),
                    is_warning: false,
                })
                .collect()
        },
    },
    fits: Fits {
        sql: Ok(()),
        http: Err("a restored database answers no HTTP; check it with kind \"sql\" or \"connect\""),
        connect: Ok(()),
        no_port: true,
        public_address: Err("a restored database has no public address"),
        credentials: Ok(()),
        boots: |_| None,
    },
    not_this: &[(
        "cluster-snapshot:",
        "Multi-AZ DB clusters (a cluster of an RDS engine, which AWS Backup lists as RDS)",
    )],
};

/// What a rule says of RDS DB instances alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RdsKeys {
    /// DB instance class to restore to, for example `db.t4g.medium`; otherwise that of the backup.
    pub instance_class: Option<String>,
}

static TABLE: Table = Table {
    words: "What concerns RDS DB instances alone.",
    keys: &[&INSTANCE_CLASS],
};

static INSTANCE_CLASS: Key<Own<String>> = key(
    "instance_class",
    "DB instance class to restore to. Default: that of the backup.",
    DB_INSTANCE_CLASS,
);

/// A DB instance class.
pub(super) const DB_INSTANCE_CLASS: Own<String> = Own {
    read: read_class,
    schema: || json!({ "type": "string", "pattern": "^db(\\.[a-z0-9-]+)+$", "examples": ["db.t4g.medium"] }),
};

fn read_class(item: &Item<'_>) -> Option<String> {
    let class = item.text()?;
    let word = |part: &str| {
        let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !part.is_empty() && part.bytes().all(sound)
    };
    let sound = class
        .strip_prefix("db.")
        .is_some_and(|rest| rest.split('.').all(word));
    if !sound {
        item.mistake("must be a DB instance class such as \"db.t4g.medium\"");
        return None;
    }
    Some(class.to_owned())
}

fn read(item: &Item<'_>, keys: &mut TypeKeys) -> Option<()> {
    let mut section = item.section()?;
    let instance_class = section.get(&INSTANCE_CLASS);
    section.finish();
    keys.rds = RdsKeys {
        instance_class: instance_class?,
    };
    Some(())
}

/// Names the restored instance.
const NAME_KEY: &str = "DBInstanceIdentifier";

/// Keys of the backup that are taken over. All others are left out: some fail the job
/// (`DBSnapshotIdentifier`, `InformationalOnly:*`, `aws:backup:request-id`), some point at the source
/// account (subnet, security, option and parameter groups, domain, key), some AWS Backup documents nowhere, and the
/// rest is not needed.
const FROM_BACKUP: &[Reason] = &[
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
const LEFT_OUT: &[Reason] = &[
    (
        "StorageThroughput",
        "AWS Backup documents no such key; the storage has what its type and size give",
    ),
    (
        "NetworkType",
        "AWS Backup documents no such key; the isolated subnets have no IPv6 addresses",
    ),
    // The engine's default is named instead, where it must be.
    ("OptionGroupName", "not set in the backup"),
];

/// Set last, over everything else.
const SAFETY: &[(&str, &str, &str)] = &[
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
const OVERRIDABLE: &[(&str, ValueProblem)] = &[
    ("AllocatedStorage", positive),
    ("DBInstanceClass", |_, value| {
        (!value.starts_with("db."))
            .then(|| "an instance class begins with \"db.\", for example db.t4g.medium".to_owned())
    }),
    ("DBParameterGroupName", anything),
    ("Iops", positive),
    ("LicenseModel", anything),
    ("OptionGroupName", anything),
    ("Port", port),
    ("StorageType", anything),
];

fn positive(name: &str, value: &str) -> Option<String> {
    let number = value.parse::<u32>().unwrap_or_default();
    (number == 0).then(|| format!("{name} is a positive whole number"))
}

pub(super) fn port(name: &str, value: &str) -> Option<String> {
    let port = value.parse::<u32>().unwrap_or_default();
    (!(1150..=65535).contains(&port)).then(|| format!("{name} is a number from 1150 to 65535"))
}

/// Keys that no policy may set, with the reason: most are safety's.
const FORBIDDEN: &[Reason] = &[
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

/// Port, option group and storage, and the class that the rule names.
fn settle(request: &mut Request<'_>) -> Option<String> {
    // "0" for some points.
    let said = request.said("Port");
    if request.asked("Port").is_none() && is_number(said) && port("Port", said).is_some() {
        let reason = "RDS takes ports from 1150 to 65535; the engine's own will do";
        request.set("Port", None, reason);
    }
    if request.asked("OptionGroupName").is_none()
        && let Some((value, reason)) = option_group(request)
    {
        request.set("OptionGroupName", value.as_deref(), reason);
    }
    if let Some(class) = &request.types.rds.instance_class {
        let reason = "the policy's rds.instance_class";
        request.set("DBInstanceClass", Some(class), reason);
    }
    storage::settle(request)
}

pub(super) fn is_number(value: &str) -> bool {
    value.parse::<u64>().is_ok()
}

/// The option group, where the backup names one. One of the source's own is bound to its account and VPC, and RDS
/// takes it from the snapshot unless it is told another: "The option group … is associated with a different VPC than
/// the request." Where the source has its engine's default, so has the copy, unasked.
fn option_group(request: &Request<'_>) -> Option<(Option<String>, &'static str)> {
    let own = match request.said("OptionGroupName") {
        "" => return None,
        name => !name.starts_with("default:"),
    };
    if !own {
        return Some((
            None,
            "the default of the backup's engine, which RDS gives unasked",
        ));
    }
    let default = default_option_group(request.said("Engine"), request.said("EngineVersion"));
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

#[cfg(test)]
mod tests;

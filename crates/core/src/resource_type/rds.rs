//! RDS DB instances.
//!
//! Sources: AWS Backup developer guide, "Restoring an Amazon RDS database" and "Restore testing inferred metadata"
//! (keys), the parameters of RDS `RestoreDBInstanceFromDBSnapshot`, which AWS Backup passes the metadata to, and the
//! RDS user guide, "Amazon RDS DB instance storage" (limits).

mod recovery;
mod settings;
mod storage;
mod support;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::keys::{Key, Own, Table, key};
use crate::reader::Item;

use super::recovery::decides_every_key;
use super::{
    ArnShape, Deadlines, DeletionOrder, Facts, Fits, Keys, MarkedBy, Reason, Request, RuleKeys,
    SERVERLESS, Told, TypeKeys, ValueProblem, anything,
};

pub(super) use settings::{GROUP, settle_parameter_group};
pub(super) use support::settle as settle_support;

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
    recovery: recovery::RECOVERY,
    rule_keys: RuleKeys {
        name: "rds",
        table: &TABLE,
        read,
        class: ("instance_class", Some("DBInstanceClass")),
        chosen_class: |request| request.says("DBInstanceClass").map(str::to_owned),
        told,
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

// What a new key is worth in a recovery must be decided in `recovery.rs`.
const _: () = assert!(
    decides_every_key(recovery::RECOVERY.keys, &FACTS.keys),
    "a key of the tables is not decided in recovery.rs"
);

/// What a rule says of RDS DB instances alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RdsKeys {
    /// DB instance class to restore to, for example `db.t4g.medium`; otherwise that of the backup.
    pub instance_class: Option<String>,
    /// DB parameter group of this account; otherwise the default of the backup's engine.
    pub parameter_group: Option<String>,
    /// Option group of this account; otherwise the default of the backup's engine.
    pub option_group: Option<String>,
    /// Whether a backup is restored whose engine is past its standard support, which RDS bills for.
    pub extended_support: bool,
}

impl Default for RdsKeys {
    fn default() -> RdsKeys {
        RdsKeys {
            instance_class: None,
            parameter_group: None,
            option_group: None,
            extended_support: true,
        }
    }
}

static TABLE: Table = Table {
    words: "What concerns RDS DB instances alone.",
    keys: &[
        &INSTANCE_CLASS,
        &PARAMETER_GROUP,
        &OPTION_GROUP,
        &EXTENDED_SUPPORT,
    ],
};

static INSTANCE_CLASS: Key<Own<String>> = key(
    "instance_class",
    "DB instance class to restore to. Default: that of the backup.",
    DB_INSTANCE_CLASS,
);

static PARAMETER_GROUP: Key<Own<String>> = key(
    "parameter_group",
    "DB parameter group of the account that restores, for a source that had one of its own. Default: that of the engine.",
    GROUP,
);

static OPTION_GROUP: Key<Own<String>> = key(
    "option_group",
    "Option group of the account that restores. Default: that of the engine.",
    GROUP,
);

/// Whether an engine past its standard support is restored.
pub(super) static EXTENDED_SUPPORT: Key<Own<bool>> = key(
    "extended_support",
    "Whether a backup is restored whose engine is past its standard support: RDS bills the copy for Extended Support, by the vCPU-hour. With false it is not_tested. Default: true.",
    Own {
        read: |item| item.boolean(),
        schema: || json!({ "type": "boolean" }),
    },
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
    let parameter_group = section.get(&PARAMETER_GROUP);
    let option_group = section.get(&OPTION_GROUP);
    let extended_support = section.get(&EXTENDED_SUPPORT);
    section.finish();
    keys.rds = RdsKeys {
        instance_class: instance_class?,
        parameter_group: parameter_group?,
        option_group: option_group?,
        extended_support: extended_support?.unwrap_or(true),
    };
    Some(())
}

fn told(keys: &TypeKeys) -> Vec<Told> {
    let keys = &keys.rds;
    let named = [
        ("class", keys.instance_class.as_ref()),
        ("parameters", keys.parameter_group.as_ref()),
        ("options", keys.option_group.as_ref()),
    ];
    let named = named.into_iter().filter_map(|(label, words)| {
        Some(Told {
            label,
            words: words?.clone(),
            is_warning: false,
        })
    });
    named.chain(told_support(keys.extended_support)).collect()
}

/// That a rule restores nothing that RDS bills for Extended Support.
pub(super) fn told_support(is_wanted: bool) -> Option<Told> {
    (!is_wanted).then(|| Told {
        label: "support",
        words: "no engine past its standard support".to_owned(),
        is_warning: false,
    })
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
    ("BackupRetentionPeriod", NO_RETENTION),
    // The engine's default is named instead, where it must be.
    ("OptionGroupName", "not set in the backup"),
];

/// Since 2025 RestoreDBInstanceFromDBSnapshot takes the key; no page says that AWS Backup passes it on.
pub(super) const NO_RETENTION: &str = "AWS Backup documents no such key; a copy is checked while RDS backs it up, and its automated backups are deleted with it";

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
    ("BackupRetentionPeriod", NO_RETENTION),
    ("AvailabilityZone", "the isolated subnets decide the zone"),
    ("CopyTagsToSnapshot", "no snapshot is to outlive the copy"),
    (IAM_KEY, "the rule's credentials decide it"),
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

/// Port, groups and storage, the class that the rule names, and what the engine costs.
fn settle(request: &mut Request<'_>) -> Option<String> {
    // "0" for some points.
    let said = request.said("Port");
    if request.asked("Port").is_none() && is_number(said) && port("Port", said).is_some() {
        let reason = "RDS takes ports from 1150 to 65535; the engine's own will do";
        request.set("Port", None, reason);
    }
    let keys = &request.types.rds;
    if let Some(class) = &keys.instance_class {
        let reason = "the policy's rds.instance_class";
        request.set("DBInstanceClass", Some(class), reason);
    }
    settle_support(request, keys.extended_support);
    let refused = settle_iam(request);
    let parameters = ("rds.parameter_group", keys.parameter_group.as_deref());
    let refused = refused.or(settle_parameter_group(
        request,
        "DBParameterGroupName",
        parameters,
    ));
    let refused = refused.or(settings::settle_option_group(request));
    let refused = refused.or_else(|| refused_class(request));
    let refused = refused.or_else(|| refused_licence(request));
    // Each of them settles keys, whatever the others refuse.
    let storage = storage::settle(request);
    refused.or(storage)
}

/// Whether the copy takes tokens of IAM as logins, whatever its source did.
pub(super) const IAM_KEY: &str = "EnableIAMDatabaseAuthentication";

/// The copy takes tokens of IAM when checks log in by one, and only then. Returns what RDS would refuse (RDS user guide,
/// "IAM database authentication for MariaDB, MySQL, and PostgreSQL", availability).
pub(super) fn settle_iam(request: &mut Request<'_>) -> Option<String> {
    if !request.logs_in_by_iam {
        let reason = "no check logs in by a token of IAM";
        request.set(IAM_KEY, Some("false"), reason);
        return None;
    }
    request.set(IAM_KEY, Some("true"), "checks log in by a token of IAM");
    let (engine, version) = (request.said("Engine"), request.said("EngineVersion"));
    match engine {
        // What the backup does not say RDS may take.
        "" | "mysql" | "postgres" | "aurora-mysql" | "aurora-postgresql" => None,
        "mariadb" => {
            const TOO_OLD: [&str; 6] = ["10.0.", "10.1.", "10.2.", "10.3.", "10.4.", "10.5."];
            let is_too_old = TOO_OLD.iter().any(|old| version.starts_with(old));
            is_too_old.then(|| {
                format!(
                    "the rule has credentials of IAM, and MariaDB {version} takes no tokens of IAM as logins; it does \
                     from 10.6 on. Use a secret, or \"reset\""
                )
            })
        }
        _ => Some(format!(
            "the rule has credentials of IAM and SQL checks, and neither is supported for {engine}: only MySQL, MariaDB \
             and PostgreSQL are looked into"
        )),
    }
}

/// Only instances of a cluster are serverless.
fn refused_class(request: &Request<'_>) -> Option<String> {
    let class = request.says("DBInstanceClass")?;
    let is_asked =
        request.types.rds.instance_class.is_some() || request.asked("DBInstanceClass").is_some();
    (is_asked && class == SERVERLESS).then(|| {
        format!("the policy asks for the class {class}, which only instances of an Aurora cluster have. Name another")
    })
}

/// What RDS refuses of a licence that the policy asks for (RDS API reference, RestoreDBInstanceFromDBSnapshot).
fn refused_licence(request: &Request<'_>) -> Option<String> {
    let asked = request.asked("LicenseModel")?;
    let engine = request.said("Engine");
    let takes: &[&str] = match engine {
        "mysql" | "mariadb" => &["general-public-license"],
        "postgres" => &["postgresql-license"],
        _ if engine.starts_with("sqlserver-") => &["license-included", "bring-your-own-media"],
        _ if engine.starts_with("oracle-") => &["bring-your-own-license", "license-included"],
        _ if engine.starts_with("db2-") => &["bring-your-own-license", "marketplace-license"],
        _ => return None,
    };
    (!takes.contains(&asked)).then(|| {
        let takes = takes.join(" or ");
        format!("the policy's restore keys ask for LicenseModel = {asked:?}; RDS takes {takes} for {engine}. Change or remove it")
    })
}

pub(super) fn is_number(value: &str) -> bool {
    value.parse::<u64>().is_ok()
}

#[cfg(test)]
mod tests;

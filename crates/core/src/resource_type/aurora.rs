//! Aurora clusters, of PostgreSQL and of MySQL.
//!
//! Sources: AWS Backup developer guide, "Restoring an Amazon Aurora cluster" and "Restore testing inferred metadata"
//! (keys), the parameters of RDS `RestoreDBClusterFromSnapshot`, which AWS Backup passes the metadata to, and the
//! Aurora user guide, "Requirements and limitations for Aurora Serverless v2".

mod recovery;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::keys::{Key, Own, Table, key};
use crate::reader::Item;

use super::rds::{
    DB_INSTANCE_CLASS, EXTENDED_SUPPORT, GROUP, IAM_KEY, NO_RETENTION, is_number, port, settle_iam,
    settle_parameter_group, settle_support, told_support,
};
use super::recovery::decides_every_key;
use super::{
    ArnShape, Deadlines, DeletionOrder, Facts, Fits, Keys, MarkedBy, Reason, Request, RuleKeys,
    Told, TypeKeys, ValueProblem, anything,
};

pub(super) static FACTS: Facts = Facts {
    name: "Aurora",
    noun: "cluster",
    created: ArnShape {
        service: "rds",
        kind: Some("cluster"),
    },
    marked_by: MarkedBy::Name,
    // DeleteDBCluster is refused while an instance is there.
    deletion: DeletionOrder::PartsFirst,
    restore_billed_by_size: false,
    // As for a DB instance; that its writer takes ten minutes more is within it.
    deadlines: Deadlines {
        restored: SignedDuration::from_hours(48),
        ready: SignedDuration::from_hours(6),
        without_progress: SignedDuration::from_hours(3),
    },
    keys: Keys {
        class: None,
        name: Some((NAME_KEY, "names the restore as ours")),
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
        name: "aurora",
        table: &TABLE,
        read,
        class: ("instance_class", None),
        chosen_class: |request| Some(request.types.aurora.instance_class.clone()),
        told,
    },
    fits: Fits {
        sql: Ok(()),
        http: Err("a restored cluster answers no HTTP; check it with kind \"sql\" or \"connect\""),
        connect: Ok(()),
        no_port: true,
        public_address: Err("a restored cluster has no public address"),
        credentials: Ok(()),
        boots: |_| None,
    },
    not_this: &[],
};

// What a new key is worth in a recovery must be decided in `recovery.rs`.
const _: () = assert!(
    decides_every_key(recovery::RECOVERY.keys, &FACTS.keys),
    "a key of the tables is not decided in recovery.rs"
);

/// The class of instances that grow and shrink with the work, in ACUs (Aurora Serverless v2).
pub const SERVERLESS: &str = "db.serverless";

/// What a rule says of Aurora clusters alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuroraKeys {
    /// DB instance class of the writer that the restored cluster gets; [`SERVERLESS`] unless the rule says otherwise.
    pub instance_class: String,
    /// How far a serverless writer may shrink, ACUs in steps of a half.
    pub min_capacity: f64,
    /// How far a serverless writer may grow, ACUs in steps of a half.
    pub max_capacity: f64,
    /// DB cluster parameter group of this account; otherwise the default of the backup's engine.
    pub parameter_group: Option<String>,
    /// Whether a backup is restored whose engine is past its standard support, which RDS bills for.
    pub extended_support: bool,
}

impl AuroraKeys {
    /// Whether the writer is serverless, so that its cluster must be told a range of capacity before.
    pub fn is_serverless(&self) -> bool {
        self.instance_class == SERVERLESS
    }
}

impl Default for AuroraKeys {
    fn default() -> AuroraKeys {
        AuroraKeys {
            instance_class: SERVERLESS.to_owned(),
            min_capacity: 0.5,
            max_capacity: 1.0,
            parameter_group: None,
            extended_support: true,
        }
    }
}

static TABLE: Table = Table {
    words: "What concerns Aurora clusters alone.",
    keys: &[
        &INSTANCE_CLASS,
        &MIN_CAPACITY,
        &MAX_CAPACITY,
        &PARAMETER_GROUP,
        &EXTENDED_SUPPORT,
    ],
};

static PARAMETER_GROUP: Key<Own<String>> = key(
    "parameter_group",
    "DB cluster parameter group of the account that restores, for a source that had one of its own. Default: that of the engine.",
    GROUP,
);

static INSTANCE_CLASS: Key<Own<String>> = key(
    "instance_class",
    "DB instance class of the writer: a cluster is restored without an instance. Default: db.serverless.",
    DB_INSTANCE_CLASS,
);

/// Range: RDS API reference, `ServerlessV2ScalingConfiguration`. What a version takes of it, RDS alone knows: older ones
/// no 0, and no more than 128.
static MIN_CAPACITY: Key<Own<f64>> = key(
    "min_capacity",
    "How far a writer of class db.serverless may shrink, in ACUs of about 2 GiB, from 0 to 256 in steps of 0.5. Default: 0.5.",
    Own {
        read: |item| read_capacity(item, 0.0),
        schema: || json!({ "type": "number", "minimum": 0, "maximum": 256, "multipleOf": 0.5 }),
    },
);

static MAX_CAPACITY: Key<Own<f64>> = key(
    "max_capacity",
    "How far a writer of class db.serverless may grow, in ACUs of about 2 GiB, from 1 to 256 in steps of 0.5. Default: 1.",
    Own {
        read: |item| read_capacity(item, 1.0),
        schema: || json!({ "type": "number", "minimum": 1, "maximum": 256, "multipleOf": 0.5 }),
    },
);

fn read_capacity(item: &Item<'_>, least: f64) -> Option<f64> {
    let capacity = item.number()?;
    if (least..=256.0).contains(&capacity) && (capacity * 2.0).fract() == 0.0 {
        return Some(capacity);
    }
    item.mistake(format!("must be from {least} to 256 ACUs in steps of 0.5"));
    None
}

fn read(item: &Item<'_>, keys: &mut TypeKeys) -> Option<()> {
    let mut section = item.section()?;
    let instance_class = section.get(&INSTANCE_CLASS);
    let min_item = section.quiet(MIN_CAPACITY.name);
    let max_item = section.quiet(MAX_CAPACITY.name);
    let min_capacity = section.get(&MIN_CAPACITY);
    let max_capacity = section.get(&MAX_CAPACITY);
    let parameter_group = section.get(&PARAMETER_GROUP);
    let extended_support = section.get(&EXTENDED_SUPPORT);
    section.finish();
    let default = AuroraKeys::default();
    let keys_read = AuroraKeys {
        instance_class: instance_class?.unwrap_or(default.instance_class),
        min_capacity: min_capacity?.unwrap_or(default.min_capacity),
        max_capacity: max_capacity?.unwrap_or(default.max_capacity),
        parameter_group: parameter_group?,
        extended_support: extended_support?.unwrap_or(true),
    };
    if !keys_read.is_serverless()
        && let Some(item) = min_item.as_ref().or(max_item.as_ref())
    {
        item.mistake(
            "is for a writer of class db.serverless; this one's class says how large it is",
        );
        return None;
    }
    if keys_read.min_capacity > keys_read.max_capacity
        && let Some(item) = min_item
    {
        item.mistake(format!(
            "is more than max_capacity, {}",
            keys_read.max_capacity
        ));
        return None;
    }
    keys.aurora = keys_read;
    Some(())
}

fn told(keys: &TypeKeys) -> Vec<Told> {
    let keys = &keys.aurora;
    let default = AuroraKeys::default();
    let writer = |keys: &AuroraKeys| {
        let range = if keys.is_serverless() {
            format!(", {} to {} ACUs", keys.min_capacity, keys.max_capacity)
        } else {
            String::new()
        };
        format!("{}{range}", keys.instance_class)
    };
    let is_own = writer(keys) != writer(&default);
    let named = [
        ("writer", is_own.then(|| writer(keys))),
        ("parameters", keys.parameter_group.clone()),
    ];
    let named = named.into_iter().filter_map(|(label, words)| {
        Some(Told {
            label,
            words: words?,
            is_warning: false,
        })
    });
    named.chain(told_support(keys.extended_support)).collect()
}

/// Names the restored cluster.
const NAME_KEY: &str = "DBClusterIdentifier";

/// Keys of the backup that are taken over. Without a version the Region's default would come.
const FROM_BACKUP: &[Reason] = &[
    ("Engine", "the backup's engine"),
    (
        "EngineVersion",
        "the backup's version, not the Region's default",
    ),
    ("EngineMode", "instances are the cluster's own"),
    ("Port", "clients find it where the source listened"),
];

/// Keys that are left out for a reason of their own.
const LEFT_OUT: &[Reason] = &[
    ("AvailabilityZones", "the isolated subnets decide the zones"),
    (
        "KmsKeyId",
        "the key follows the recovery point; a restore cannot choose it",
    ),
    (
        "DBClusterParameterGroupName",
        "it is bound to the source's account; the engine's default will do",
    ),
    (
        "OptionGroupName",
        "clusters have their engine's default, which cannot be changed",
    ),
    (
        "EnableCloudwatchLogsExports",
        "logs of a copy would carry production data out of it",
    ),
    ("ScalingConfiguration", "it is Aurora Serverless v1's"),
    ("BackupRetentionPeriod", NO_RETENTION),
    (
        "BacktrackWindow",
        "nobody goes back in time in a copy, and it would be paid for",
    ),
    (
        "DeletionProtection",
        "AWS Backup documents no such key; without it a restored cluster can be deleted",
    ),
];

/// Set last, over everything else.
const SAFETY: &[(&str, &str, &str)] = &[(
    "CopyTagsToSnapshot",
    "false",
    "no snapshot is to outlive the copy under the source's tags",
)];

/// Keys a policy may override.
const OVERRIDABLE: &[(&str, ValueProblem)] =
    &[("DBClusterParameterGroupName", anything), ("Port", port)];

/// Keys that no policy may set, with the reason: most are safety's.
const FORBIDDEN: &[Reason] = &[
    (NAME_KEY, "the name proves that a restored cluster is ours"),
    (
        "DBSubnetGroupName",
        "restores stay in the stack's isolated network",
    ),
    (
        "VpcSecurityGroupIds",
        "restores stay behind the stack's security groups",
    ),
    ("AvailabilityZones", "the isolated subnets decide the zones"),
    ("BackupRetentionPeriod", NO_RETENTION),
    ("CopyTagsToSnapshot", "no snapshot is to outlive the copy"),
    (IAM_KEY, "the rule's credentials decide it"),
    (
        "EnableCloudwatchLogsExports",
        "logs of a copy would carry production data out of it",
    ),
    (
        "DeletionProtection",
        "what is restored must be deletable, and AWS Backup documents no such key",
    ),
    (
        "PubliclyAccessible",
        "a restored copy is never reachable from the internet",
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
    (
        "EngineMode",
        "a restored cluster has instances of its own; aurora = { instance_class = … } says of which class",
    ),
    (
        "ScalingConfiguration",
        "it is Aurora Serverless v1's; write aurora = { min_capacity = …, max_capacity = … }",
    ),
];

/// "All DB instance classes support IAM database authentication, except for db.t2.small and db.t3.small" (Amazon Aurora user
/// guide, "IAM database authentication", of Aurora MySQL).
fn refused_iam_class(request: &Request<'_>) -> Option<String> {
    let class = request.types.aurora.instance_class.as_str();
    let is_refused = request.logs_in_by_iam
        && request.said("Engine") == "aurora-mysql"
        && ["db.t2.small", "db.t3.small"].contains(&class);
    is_refused.then(|| {
        format!("the rule has credentials of IAM, and Aurora MySQL takes no tokens of IAM as logins on {class}. Name another class")
    })
}

/// Port and engine mode; whether the engine takes the writer's class.
fn settle(request: &mut Request<'_>) -> Option<String> {
    let said = request.said("Port");
    if request.asked("Port").is_none() && is_number(said) && port("Port", said).is_some() {
        let reason = "RDS takes ports from 1150 to 65535; the engine's own will do";
        request.set("Port", None, reason);
    }
    let mode = request.said("EngineMode");
    if mode == "serverless" {
        return Some(
            "the backup is one of Aurora Serverless v1 (EngineMode = \"serverless\"), which AWS ended on 31 March 2025 \
             and no longer restores"
                .to_owned(),
        );
    }
    if !mode.is_empty() && mode != "provisioned" {
        let reason = "only the mode provisioned is restored, and it is the default";
        request.set("EngineMode", None, reason);
    }
    let keys = &request.types.aurora;
    settle_support(request, keys.extended_support);
    let refused = settle_iam(request).or_else(|| refused_iam_class(request));
    let parameters = ("aurora.parameter_group", keys.parameter_group.as_deref());
    let refused = refused.or(settle_parameter_group(
        request,
        "DBClusterParameterGroupName",
        parameters,
    ));
    if refused.is_some() {
        return refused;
    }
    let (engine, version) = (request.said("Engine"), request.said("EngineVersion"));
    if request.types.aurora.is_serverless()
        && let Some(least) = too_old_for_serverless(engine, version)
    {
        return Some(format!(
            "{engine} {version} has no {SERVERLESS}, which begins with {least}. Let the rule ask for a class that the \
             version has, such as aurora = {{ instance_class = \"db.t3.medium\" }}"
        ));
    }
    None
}

/// The least version that has serverless instances, where the backup's is older (Aurora user guide, "Supported Regions
/// and Aurora DB engines for Aurora Serverless v2"); what is no version is not too old.
fn too_old_for_serverless(engine: &str, version: &str) -> Option<&'static str> {
    let major: u32 = version.split('.').next()?.parse().ok()?;
    match engine {
        // Versions 1 and 2 are compatible with MySQL 5.6 and 5.7, and are called so.
        "aurora" | "aurora-mysql" if major < 8 => Some("Aurora MySQL 3"),
        "aurora-postgresql" if major < 13 => Some("Aurora PostgreSQL 13"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

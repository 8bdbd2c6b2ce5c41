//! EC2 instances.
//!
//! Sources: AWS Backup developer guide, "Restore an Amazon EC2 instance" (restore metadata), and what others
//! found of it: the stored metadata cannot be sent back as it is.

mod recovery;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::keys::{Key, Own, Span, Table, Words, key};
use crate::reader::Item;
use crate::wire;

use super::recovery::decides_every_key;
use super::{
    ArnShape, Deadlines, DeletionOrder, Facts, Fits, Keys, MarkedBy, Reason, Request, RuleKeys,
    Told, TypeKeys, ValueProblem, anything,
};

pub(super) static FACTS: Facts = Facts {
    name: "EC2",
    noun: "machine",
    created: ArnShape {
        service: "ec2",
        kind: Some("instance"),
    },
    marked_by: MarkedBy::Subnet,
    deletion: DeletionOrder::WholeFirst,
    restore_billed_by_size: false,
    // As for a database: the volumes load their data after the restore.
    deadlines: Deadlines {
        restored: SignedDuration::from_hours(48),
        ready: SignedDuration::from_hours(6),
        without_progress: SignedDuration::from_hours(3),
    },
    keys: Keys {
        name: None,
        class: Some("InstanceType"),
        recognised_by: &["SubnetId", "SecurityGroupIds"],
        from_backup: FROM_BACKUP,
        left_out: LEFT_OUT,
        others_left_out: "not needed to restore, or bound to the source",
        overridable: OVERRIDABLE,
        forbidden: FORBIDDEN,
        settle,
        network: &[
            (
                "SubnetId",
                |network| network.machine_subnet.clone(),
                "the stack's isolated subnet",
            ),
            (
                "SecurityGroupIds",
                |network| Value::from(network.machine_security_groups.clone()).to_string(),
                "the stack's security group without a way out",
            ),
        ],
        safety: SAFETY,
    },
    recovery: recovery::RECOVERY,
    rule_keys: RuleKeys {
        name: "ec2",
        table: &TABLE,
        read,
        class: ("instance_type", Some("InstanceType")),
        chosen_class: |request| request.says("InstanceType").map(str::to_owned),
        told,
    },
    fits: Fits {
        sql: Err(
            "a restored EC2 instance is no database; check it with kind \"http\" or \"connect\"",
        ),
        http: Ok(()),
        connect: Ok(()),
        no_port: false,
        public_address: Ok(()),
        credentials: Err("is a database's: checks of a machine do not log in"),
        boots: |keys| Some(keys.ec2.boot_timeout),
    },
    not_this: &[],
};

// What a new key is worth in a recovery must be decided in `recovery.rs`.
const _: () = assert!(
    decides_every_key(recovery::RECOVERY.keys, &FACTS.keys),
    "a key of the tables is not decided in recovery.rs"
);

/// The longest a restored machine may take to boot.
pub const LONGEST_BOOT_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// What a rule says of EC2 instances alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ec2Keys {
    /// EC2 instance type to restore to, for example `t3.small`; otherwise that of the backup.
    pub instance_type: Option<String>,
    /// Which instance profile a restored machine gets.
    pub instance_profile: InstanceProfile,
    /// How long a restored machine may take to boot, from the end of the restore: until then a check that does not
    /// pass says nothing and is tried again.
    #[serde(with = "wire::seconds")]
    pub boot_timeout: Duration,
}

impl Ec2Keys {
    /// The instance type that a rule asks for, by its key or by its `restore` table; none for that of the backup.
    pub fn asked_type<'a>(&'a self, overrides: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let of_table = || {
            let mut all = overrides.iter();
            let asked = all.find(|(key, _)| key.eq_ignore_ascii_case("InstanceType"));
            asked.map(|(_, kind)| kind.as_str())
        };
        self.instance_type.as_deref().or_else(of_table)
    }
}

impl Default for Ec2Keys {
    fn default() -> Ec2Keys {
        Ec2Keys {
            instance_type: None,
            instance_profile: InstanceProfile::None,
            boot_timeout: Duration::from_secs(10 * 60),
        }
    }
}

/// Which instance profile a restored machine gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceProfile {
    /// None: a copy of production has no permissions in AWS.
    #[default]
    None,
    /// The backup's own. AWS Backup attaches no other.
    Original,
}

static TABLE: Table = Table {
    words: "What concerns EC2 instances alone.",
    keys: &[&INSTANCE_TYPE, &INSTANCE_PROFILE, &BOOT_TIMEOUT],
};

static INSTANCE_TYPE: Key<Own<String>> = key(
    "instance_type",
    "EC2 instance type to restore to. Default: that of the backup.",
    Own {
        read: |item| {
            let value = item.text()?;
            match instance_type_problem(value) {
                Some(problem) => {
                    item.mistake(problem);
                    None
                }
                None => Some(value.to_owned()),
            }
        },
        schema: || json!({ "type": "string", "pattern": "^[a-z0-9-]+\\.[a-z0-9-]+$", "examples": ["t3.small"] }),
    },
);

static INSTANCE_PROFILE: Key<Words<InstanceProfile>> = key(
    "instance_profile",
    "The instance profile of the restored copy. Default: none, so that a copy of production has no permissions in AWS; original is the backup's own, for AWS Backup attaches no other.",
    Words(&[
        ("none", InstanceProfile::None),
        ("original", InstanceProfile::Original),
    ]),
);

static BOOT_TIMEOUT: Key<Span> = key(
    "boot_timeout",
    "How long booting may take, from the end of the restore, at most 1h. Until then a check that does not pass is tried again. Default: 10m.",
    Span {
        range: Duration::ZERO..=LONGEST_BOOT_TIMEOUT,
        wrong: "a machine that has not booted after 1h is not waited for any longer",
    },
);

fn read(item: &Item<'_>, keys: &mut TypeKeys) -> Option<()> {
    let mut section = item.section()?;
    let instance_type = section.get(&INSTANCE_TYPE);
    let instance_profile = section.get(&INSTANCE_PROFILE);
    let boot_timeout = section.get(&BOOT_TIMEOUT);
    section.finish();
    keys.ec2 = Ec2Keys {
        instance_type: instance_type?,
        instance_profile: instance_profile?.unwrap_or_default(),
        boot_timeout: boot_timeout?.unwrap_or(Ec2Keys::default().boot_timeout),
    };
    Some(())
}

fn told(keys: &TypeKeys) -> Vec<Told> {
    let keys = &keys.ec2;
    let instance_type = keys.instance_type.as_ref().map(|kind| Told {
        label: "type",
        words: kind.clone(),
        is_warning: false,
    });
    let profile = (keys.instance_profile == InstanceProfile::Original).then(|| Told {
        label: "profile",
        words: "that of the source: the copy has the source's permissions in AWS".to_owned(),
        is_warning: true,
    });
    instance_type.into_iter().chain(profile).collect()
}

/// Keys of the backup that are taken over. All others are left out: some carry ids of the source
/// (`NetworkInterfaces`, `KeyName`, `Placement`), some fail the job when they are sent back as they came
/// (`CpuOptions`, `aws:backup:request-id`), and the rest is not needed.
const FROM_BACKUP: &[Reason] = &[
    ("InstanceType", "as large as the source was"),
    (
        "EbsOptimized",
        "its volumes are as fast as the source's were",
    ),
    (
        "CreditSpecification",
        "its processors are as fast as the source's were",
    ),
    (
        "HibernationOptions",
        "AWS Backup wants it as the source had it",
    ),
];

/// What suits the source's type may be refused for another: performance of volumes, processor credits, hibernation.
const OF_SOURCES_TYPE: [&str; 3] = ["EbsOptimized", "CreditSpecification", "HibernationOptions"];

/// Keys that are left out for a reason of their own.
const LEFT_OUT: &[Reason] = &[
    (
        "NetworkInterfaces",
        "it carries the id and the address of the source's network interface",
    ),
    (
        "CpuOptions",
        "AWS Backup refuses what it stored itself; the instance type has its own",
    ),
    (
        "Placement",
        "it names the source's zone and hosts; the isolated subnet decides the zone",
    ),
    (
        "CapacityReservationSpecification",
        "the source's reservation is production's",
    ),
    (
        "KeyName",
        "the key pair may not exist in this account, and nobody logs in",
    ),
    (
        "IamInstanceProfileName",
        "a copy of production has no permissions in AWS",
    ),
    (
        "UserData",
        "what the source ran at its first start is not to run again",
    ),
    ("InstanceMarketOptions", "a check must not be interrupted"),
    ("aws:backup:request-id", "it belongs to the backup job"),
    // Made anew, from these and the devices of the image.
    (
        "BlockDeviceMappings",
        "neither the backup nor its image names a device",
    ),
];

/// Set last, over everything else.
const SAFETY: &[(&str, &str, &str)] = &[
    (
        "RequireIMDSv2",
        "true",
        "a request forged by the restored application gets no metadata",
    ),
    (
        "DisableApiTermination",
        "false",
        "what is restored must be deletable",
    ),
    (
        "InstanceInitiatedShutdownBehavior",
        "stop",
        "only we end it, after the record is written",
    ),
    (
        "Monitoring",
        "{\"State\":\"disabled\"}",
        "detailed monitoring would be paid for and never read",
    ),
];

/// Keys a policy may override, besides the instance type.
const OVERRIDABLE: &[(&str, ValueProblem)] = &[
    ("CreditSpecification", anything),
    ("EbsOptimized", |name, value| {
        (!matches!(value, "true" | "false")).then(|| format!("{name} is \"true\" or \"false\""))
    }),
    ("InstanceType", |_, value| instance_type_problem(value)),
];

/// Keys that are safety's, with the reason why no policy may set them.
const FORBIDDEN: &[Reason] = &[
    ("SubnetId", "restores stay in the stack's isolated network"),
    (
        "SecurityGroupIds",
        "restores stay behind the stack's security groups",
    ),
    ("VpcId", "restores stay in the stack's isolated network"),
    (
        "NetworkInterfaces",
        "a restored machine has one interface, in the isolated network",
    ),
    ("Placement", "the isolated subnet decides the zone"),
    ("KeyName", "nobody logs in to a restored machine"),
    (
        "IamInstanceProfileName",
        "write ec2 = { instance_profile = \"original\" } for the backup's own; AWS Backup attaches no other",
    ),
    (
        "UserData",
        "AWS Backup does not keep user data, and a copy must not run it again",
    ),
    (
        "RequireIMDSv2",
        "a request forged by the restored application must get no metadata",
    ),
    (
        "DisableApiTermination",
        "what is restored must be deletable",
    ),
    (
        "InstanceInitiatedShutdownBehavior",
        "only the function ends a restored machine",
    ),
    (
        "BlockDeviceMappings",
        "every volume is encrypted and goes with its machine",
    ),
    (
        "CapacityReservationSpecification",
        "the source's reservation is production's",
    ),
    ("InstanceMarketOptions", "a check must not be interrupted"),
];

/// The type and the instance profile that the rule names, and the block devices. Returns what EC2 would refuse.
fn settle(request: &mut Request<'_>) -> Option<String> {
    let keys = &request.types.ec2;
    if keys.asked_type(request.overrides).is_some() {
        for key in OF_SOURCES_TYPE {
            if request.keys.contains_key(key) && request.asked(key).is_none() {
                let reason = "the policy's instance type may not take it";
                request.set(key, None, reason);
            }
        }
    }
    if let Some(kind) = &keys.instance_type {
        let reason = "the policy's ec2.instance_type";
        request.set("InstanceType", Some(kind), reason);
    }
    let profile = request.said("IamInstanceProfileName");
    if keys.instance_profile == InstanceProfile::Original && !profile.is_empty() {
        let reason = "the policy's ec2.instance_profile = \"original\"";
        request.set("IamInstanceProfileName", Some(profile), reason);
    }
    let mappings = devices(
        request.said("BlockDeviceMappings"),
        &request.source.image.devices,
        request.network.volume_key_arn.as_deref(),
        request.is_recovery,
    );
    let reason = match mappings {
        Some(_) => "every volume is encrypted and goes with its machine",
        None => "neither the backup nor its image names a device",
    };
    request.set("BlockDeviceMappings", mappings.as_deref(), reason);
    let products = &request.source.image.product_codes;
    if !products.is_empty() {
        // EC2 user guide, "Paid AMIs in the AWS Marketplace": otherwise RunInstances answers OptInRequired.
        request.findings.push(format!(
            "the image is of a product of AWS Marketplace ({}): EC2 starts it only in an account that has accepted the \
             product's terms",
            products.join(", ")
        ));
    }
    refused_type(request)
}

/// What EC2 refuses of the instance type that the policy asks for, with the image of this backup.
fn refused_type(request: &Request<'_>) -> Option<String> {
    let (image, chosen) = (&request.source.image, request.source.chosen_type.as_ref()?);
    let asks = format!("the policy asks for the instance type {}", chosen.name);
    if !chosen.exists {
        return Some(format!(
            "{asks}, which EC2 does not know in this Region. Name another"
        ));
    }
    let lacks =
        |has: &[String], needed: &str| !has.is_empty() && !has.iter().any(|one| one == needed);
    if let Some(architecture) = &image.architecture
        && lacks(&chosen.architectures, architecture)
    {
        return Some(format!(
            "{asks}, whose architecture is {}; the image of the backup is {architecture}. Name a type of {architecture}",
            chosen.architectures.join(" or ")
        ));
    }
    // `uefi-preferred` boots either way, and an image that names none boots as its type does (EC2 user guide, "Instance
    // launch behavior with Amazon EC2 boot modes").
    match image.boot_mode.as_deref() {
        Some(mode @ ("uefi" | "legacy-bios")) if lacks(&chosen.boot_modes, mode) => Some(format!(
            "{asks}, which boots by {}; the image of the backup needs the boot mode {mode}. Name a type that has it",
            chosen.boot_modes.join(" or ")
        )),
        _ => None,
    }
}

/// The block device mappings of the request: each device of the backup, encrypted. Those of our copy are deleted with it; in a
/// recovery they are as the backup says of the source's, and where it does not say, the request does not either.
/// What AWS Backup does not take in a request (`SnapshotId`, `OutpostArn`) is left out.
fn devices(
    stored: &str,
    of_image: &[String],
    key_arn: Option<&str>,
    is_recovery: bool,
) -> Option<String> {
    let mut mappings: Vec<(String, Map<String, Value>)> = Vec::new();
    let stored: Vec<Value> = serde_json::from_str(stored).unwrap_or_default();
    for device in &stored {
        let field = |object: &Value, name: &str| {
            object
                .as_object()?
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        let name = field(device, "DeviceName");
        let Some((name, ebs)) = name
            .as_ref()
            .and_then(Value::as_str)
            .zip(field(device, "Ebs"))
        else {
            continue;
        };
        // EC2 refuses a device that is there twice.
        if mappings.iter().any(|(known, _)| known == name) {
            continue;
        }
        let kind = field(&ebs, "VolumeType");
        // EC2 refuses both for types that have them fixed (EC2 API reference, `EbsBlockDevice`).
        let performance: &[&str] = match kind.as_ref().and_then(Value::as_str) {
            Some("gp3") => &["Iops", "Throughput"],
            Some("io1" | "io2") => &["Iops"],
            _ => &[],
        };
        let taken = ["VolumeType", "VolumeSize", "DeleteOnTermination"]
            .iter()
            .chain(performance)
            .filter_map(|key| {
                Some((
                    (*key).to_owned(),
                    field(&ebs, key).filter(|value| !value.is_null())?,
                ))
            });
        mappings.push((name.to_owned(), taken.collect()));
    }
    for name in of_image {
        if !mappings.iter().any(|(known, _)| known == name) {
            mappings.push((name.clone(), Map::new()));
        }
    }
    if mappings.is_empty() {
        return None;
    }
    let mappings: Vec<Value> = mappings
        .into_iter()
        .map(|(name, mut ebs)| {
            ebs.insert("Encrypted".to_owned(), json!(true));
            if !is_recovery {
                ebs.insert("DeleteOnTermination".to_owned(), json!(true));
            }
            if let Some(arn) = key_arn {
                ebs.insert("KmsKeyId".to_owned(), json!(arn));
            }
            json!({ "DeviceName": name, "Ebs": ebs })
        })
        .collect();
    Some(Value::from(mappings).to_string())
}

/// What speaks against an instance type; none when it looks like one.
fn instance_type_problem(value: &str) -> Option<String> {
    let looks = value.split_once('.').is_some_and(|(family, size)| {
        let word = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        family != "db" && word(family) && word(size)
    });
    (!looks).then(|| "an instance type looks like t3.small".to_owned())
}

#[cfg(test)]
mod tests;

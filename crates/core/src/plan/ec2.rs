//! Restore requests of EC2 instances.
//!
//! Sources: AWS Backup developer guide, "Restore an Amazon EC2 instance" (restore metadata), and what others
//! found of it: the stored metadata cannot be sent back as it is.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::policy::{InstanceProfile, Rule};

use super::{Network, Plan, PlannedKey, Source};

/// The keys that put a machine into our network. A restored machine takes no name: a restore job is recognised by them.
pub const NETWORK_KEYS: [&str; 2] = ["SubnetId", "SecurityGroupIds"];

/// Keys of the backup that are taken over. All others are left out: some carry ids of the source
/// (`NetworkInterfaces`, `KeyName`, `Placement`), some fail the job when they are sent back as they came
/// (`CpuOptions`, `aws:backup:request-id`), and the rest is not needed.
const FROM_BACKUP: [(&str, &str); 4] = [
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

/// Keys that are left out for a reason of their own.
const LEFT_OUT: [(&str, &str); 9] = [
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
];

/// Set last, over everything else.
const SAFETY: [(&str, &str, &str); 4] = [
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
pub(super) const OVERRIDABLE: [&str; 3] = ["CreditSpecification", "EbsOptimized", "InstanceType"];

/// Keys that are safety's, with the reason why no policy may set them.
pub(super) const FORBIDDEN: [(&str, &str); 14] = [
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
        "write instance_profile = \"original\" for the backup's own; AWS Backup attaches no other",
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

pub(super) fn plan(source: &Source, rule: &Rule, network: &Network) -> Plan {
    let mut keys = BTreeMap::new();
    let mut set = |key: &str, value: Option<&str>, reason: &'static str| {
        keys.insert(
            key.to_owned(),
            PlannedKey {
                value: value.map(str::to_owned),
                reason,
            },
        );
    };
    let same = |name: &str, key: &str| name.eq_ignore_ascii_case(key);

    // What suits the source's type may be refused for another: EbsOptimized, processor credits, hibernation.
    let rule_chooses_type =
        rule.instance_type.is_some() || rule.restore.keys().any(|key| same("InstanceType", key));
    let mut stored_profile = None;
    let mut stored_devices = None;
    for (key, value) in &source.metadata {
        let is_set = !matches!(value.as_str(), "" | "null" | "{}" | "[]");
        if same("BlockDeviceMappings", key) {
            stored_devices = Some(value.as_str());
            continue;
        }
        if same("IamInstanceProfileName", key) && is_set {
            stored_profile = Some(value.as_str());
        }
        let left_out = LEFT_OUT.iter().find(|(name, _)| same(name, key));
        match (
            FROM_BACKUP.iter().find(|(name, _)| same(name, key)),
            left_out,
        ) {
            (Some((name, _)), _) if rule_chooses_type && *name != "InstanceType" => {
                set(name, None, "the policy's instance type may not take it")
            }
            (Some((name, reason)), _) if is_set => set(name, Some(value), reason),
            (Some((name, _)), _) => set(name, None, "not set in the backup"),
            (None, Some((name, reason))) => set(name, None, reason),
            (None, None) => set(key, None, "not needed to restore, or bound to the source"),
        }
    }

    for (key, value) in &rule.restore {
        // The policy was refused if it held any other key; this keeps a request safe even so.
        if let Some(name) = OVERRIDABLE.iter().find(|name| same(name, key)) {
            set(name, Some(value), "the policy's override");
        }
    }
    if let Some(kind) = &rule.instance_type {
        set("InstanceType", Some(kind), "the policy's instance_type");
    }
    if let (InstanceProfile::Original, Some(profile)) = (rule.instance_profile, stored_profile) {
        set(
            "IamInstanceProfileName",
            Some(profile),
            "the policy's instance_profile = \"original\"",
        );
    }

    match devices(
        stored_devices,
        &source.devices,
        network.volume_key_arn.as_deref(),
    ) {
        Some(mappings) => set(
            "BlockDeviceMappings",
            Some(&mappings),
            "every volume is encrypted and goes with its machine",
        ),
        None => set(
            "BlockDeviceMappings",
            None,
            "neither the backup nor its image names a device",
        ),
    }
    let groups = Value::from(network.machine_security_groups.clone()).to_string();
    set(
        "SubnetId",
        Some(&network.machine_subnet),
        "the stack's isolated subnet",
    );
    set(
        "SecurityGroupIds",
        Some(&groups),
        "the stack's security group without a way out",
    );
    for (name, value, reason) in SAFETY {
        set(name, Some(value), reason);
    }
    Plan {
        keys,
        problem: None,
    }
}

/// The block device mappings of the request: each device of the backup, encrypted, and deleted with its machine.
/// What AWS Backup does not take in a request (`SnapshotId`, `OutpostArn`) is left out.
fn devices(stored: Option<&str>, of_image: &[String], key_arn: Option<&str>) -> Option<String> {
    let mut mappings: Vec<(String, Map<String, Value>)> = Vec::new();
    let stored: Vec<Value> = stored
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
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
        let taken = ["VolumeType", "VolumeSize"]
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
            ebs.insert("DeleteOnTermination".to_owned(), json!(true));
            if let Some(arn) = key_arn {
                ebs.insert("KmsKeyId".to_owned(), json!(arn));
            }
            json!({ "DeviceName": name, "Ebs": ebs })
        })
        .collect();
    Some(Value::from(mappings).to_string())
}

/// What speaks against a value, not empty, of a key that a policy may override.
pub(super) fn value_problem(name: &str, value: &str) -> Option<String> {
    match name {
        "EbsOptimized" if !matches!(value, "true" | "false") => {
            Some("EbsOptimized is \"true\" or \"false\"".to_owned())
        }
        "InstanceType" => instance_type_problem(value),
        _ => None,
    }
}

/// What speaks against an instance type; none when it looks like one.
pub(crate) fn instance_type_problem(value: &str) -> Option<String> {
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

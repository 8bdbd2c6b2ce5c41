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
    Plan { keys }
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
mod tests {
    use super::*;

    fn network() -> Network {
        Network {
            db_subnet_group: "isolated".to_owned(),
            db_security_groups: vec!["sg-db".to_owned()],
            machine_subnet: "subnet-1".to_owned(),
            machine_security_groups: vec!["sg-1".to_owned()],
            volume_key_arn: Some("arn:aws:kms:eu-central-1:111122223333:key/1".to_owned()),
        }
    }

    fn rule(toml: &str) -> Rule {
        let text = format!(
            "version = \"1\"\n[[rules]]\nname = \"r\"\nmatch = {{ resource_type = \"EC2\" }}\nfrequency = \"daily\"\n{toml}"
        );
        crate::policy::parse(&text)
            .expect("a policy")
            .rules
            .remove(0)
    }

    /// What AWS Backup stores of a web server with a public address.
    fn source() -> Source {
        let metadata = [
            ("InstanceType", "m5.4xlarge"),
            ("KeyName", "ops"),
            ("SubnetId", "subnet-prod"),
            ("SecurityGroupIds", "[\"sg-prod\"]"),
            ("VpcId", "vpc-prod"),
            ("Architecture", "x86_64"),
            ("IamInstanceProfileName", "shop-prod"),
            ("CpuOptions", "{\"CoreCount\":8,\"ThreadsPerCore\":2}"),
            ("CreditSpecification", "{}"),
            ("InstanceInitiatedShutdownBehavior", "terminate"),
            ("DisableApiTermination", "true"),
            ("RequireIMDSv2", "false"),
            ("EbsOptimized", "true"),
            (
                "NetworkInterfaces",
                "[{\"NetworkInterfaceId\":\"eni-1\",\"PrivateIpAddress\":\"10.0.0.7\"}]",
            ),
            ("Placement", "{\"AvailabilityZone\":\"eu-central-1a\"}"),
            ("aws:backup:request-id", "abc"),
            (
                "BlockDeviceMappings",
                "[{\"DeviceName\":\"/dev/xvda\",\"Ebs\":{\"SnapshotId\":\"snap-1\",\"VolumeSize\":30,\"VolumeType\":\"gp3\",\"Encrypted\":false,\"DeleteOnTermination\":false}}]",
            ),
        ];
        Source {
            metadata: metadata
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            devices: vec!["/dev/xvda".to_owned(), "/dev/xvdb".to_owned()],
        }
    }

    #[test]
    fn only_allowed_keys_are_sent_and_safety_wins() {
        let plan = plan(&source(), &rule("instance_type = \"t3.small\""), &network());
        let metadata = plan.metadata();
        let mappings: Value = serde_json::from_str(&metadata["BlockDeviceMappings"]).expect("JSON");
        let key = "arn:aws:kms:eu-central-1:111122223333:key/1";
        assert_eq!(
            mappings,
            json!([
                { "DeviceName": "/dev/xvda", "Ebs": { "VolumeSize": 30, "VolumeType": "gp3", "Encrypted": true, "DeleteOnTermination": true, "KmsKeyId": key } },
                { "DeviceName": "/dev/xvdb", "Ebs": { "Encrypted": true, "DeleteOnTermination": true, "KmsKeyId": key } },
            ])
        );
        let others: BTreeMap<&str, &str> = metadata
            .iter()
            .filter(|(name, _)| *name != "BlockDeviceMappings")
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let wanted = [
            ("DisableApiTermination", "false"),
            ("InstanceInitiatedShutdownBehavior", "stop"),
            ("InstanceType", "t3.small"),
            ("Monitoring", "{\"State\":\"disabled\"}"),
            ("RequireIMDSv2", "true"),
            ("SecurityGroupIds", "[\"sg-1\"]"),
            ("SubnetId", "subnet-1"),
        ];
        assert_eq!(others, wanted.into());
        assert!(plan.keys.values().all(|planned| !planned.reason.is_empty()));
        for key in source().metadata.keys() {
            assert!(plan.keys.contains_key(key), "{key} has a reason");
        }
    }

    #[test]
    fn what_suits_the_sources_type_goes_with_it_alone() {
        let sent = |toml: &str| {
            let metadata = plan(&source(), &rule(toml), &network()).metadata();
            metadata.get("EbsOptimized").cloned()
        };
        assert_eq!(sent(""), Some("true".to_owned()));
        assert_eq!(sent("instance_type = \"t2.small\""), None);
        assert_eq!(sent("restore = { instancetype = \"t2.small\" }"), None);
    }

    #[test]
    fn performance_is_asked_for_where_a_volume_takes_it() {
        for (kind, kept) in [
            ("gp2", &[][..]),
            ("gp3", &["Iops", "Throughput"]),
            ("io2", &["Iops"]),
            ("st1", &[]),
        ] {
            let stored = json!([{ "DeviceName": "/dev/xvda", "Ebs": { "VolumeType": kind, "Iops": 300, "Throughput": 125 } }]);
            let mappings = devices(Some(&stored.to_string()), &[], None).expect("one device");
            let mappings: Value = serde_json::from_str(&mappings).expect("JSON");
            for key in ["Iops", "Throughput"] {
                let there = mappings[0]["Ebs"].get(key).is_some();
                assert_eq!(there, kept.contains(&key), "{kind} {key}");
            }
        }
    }

    #[test]
    fn the_backups_own_instance_profile_is_for_the_policy_to_ask_for() {
        let profile = |toml: &str| {
            plan(&source(), &rule(toml), &network())
                .metadata()
                .get("IamInstanceProfileName")
                .cloned()
        };
        assert_eq!(profile(""), None);
        assert_eq!(
            profile("instance_profile = \"original\""),
            Some("shop-prod".to_owned())
        );
    }

    #[test]
    fn a_device_that_is_stored_twice_is_asked_for_once() {
        let mut source = source();
        source.metadata.insert(
            "BlockDeviceMappings".to_owned(),
            r#"[{"DeviceName":"/dev/xvda","Ebs":{"VolumeSize":30}},{"DeviceName":"/dev/xvda","Ebs":{"VolumeSize":8}}]"#
                .to_owned(),
        );
        let metadata = plan(&source, &rule(""), &network()).metadata();
        let mappings: Value = serde_json::from_str(&metadata["BlockDeviceMappings"]).expect("JSON");
        let devices: Vec<_> = mappings
            .as_array()
            .expect("a list")
            .iter()
            .map(|mapping| {
                (
                    mapping["DeviceName"].as_str(),
                    mapping["Ebs"]["VolumeSize"].as_u64(),
                )
            })
            .collect();
        assert_eq!(
            devices,
            [(Some("/dev/xvda"), Some(30)), (Some("/dev/xvdb"), None)]
        );
    }

    #[test]
    fn without_any_known_device_none_is_made_up() {
        let plan = plan(&Source::default(), &rule(""), &network());
        assert!(!plan.metadata().contains_key("BlockDeviceMappings"));
    }
}

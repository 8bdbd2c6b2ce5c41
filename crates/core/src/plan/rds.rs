//! Restore requests of RDS DB instances.
//!
//! Sources: AWS Backup developer guide, "Restoring an Amazon RDS database" (restore metadata), and the
//! parameters of RDS `RestoreDBInstanceFromDBSnapshot`, which AWS Backup passes the metadata to.

use std::collections::BTreeMap;

use crate::policy::Rule;

use super::{Network, Plan, PlannedKey};

/// Names the restored instance.
pub const NAME_KEY: &str = "DBInstanceIdentifier";

/// Keys of the backup that are taken over. All others are left out: some fail the job
/// (`DBSnapshotIdentifier`, `InformationalOnly:*`, `aws:backup:request-id`), some point at the source
/// account (subnet, security, option and parameter groups, domain, key), and the rest is not needed.
const FROM_BACKUP: [(&str, &str); 8] = [
    ("DBInstanceClass", "as large as the source was"),
    ("Engine", "the backup's engine"),
    ("LicenseModel", "licensed as the source was"),
    ("Port", "clients find it where the source listened"),
    (
        "StorageType",
        "stored as the source was, so that times compare",
    ),
    ("Iops", "as fast as the source was, so that times compare"),
    (
        "StorageThroughput",
        "as fast as the source was, so that times compare",
    ),
    ("AllocatedStorage", "as large as the source was"),
];

/// Set last, over everything else.
const SAFETY: [(&str, &str, &str); 7] = [
    (
        "NetworkType",
        "IPV4",
        "the isolated subnets have no IPv6 addresses",
    ),
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
pub(super) const OVERRIDABLE: [&str; 9] = [
    "AllocatedStorage",
    "DBInstanceClass",
    "DBParameterGroupName",
    "Iops",
    "LicenseModel",
    "OptionGroupName",
    "Port",
    "StorageThroughput",
    "StorageType",
];

/// Keys that are safety's, with the reason why no policy may set them.
pub(super) const FORBIDDEN: [(&str, &str); 17] = [
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
        keys.insert(
            key.to_owned(),
            PlannedKey {
                value: value.map(str::to_owned),
                reason,
            },
        );
    };

    for (key, value) in stored {
        let known = FROM_BACKUP
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key));
        match known {
            Some((name @ ("Iops" | "StorageThroughput"), _))
                if !takes_performance(stored, name) =>
            {
                set(
                    name,
                    None,
                    "RDS takes it neither for this storage type nor for this size",
                );
            }
            // AWS Backup stores an unset value as empty text or "null".
            Some((name, reason)) if !value.is_empty() && value != "null" => {
                set(name, Some(value), reason)
            }
            Some((name, _)) => set(name, None, "not set in the backup"),
            None => set(
                key,
                None,
                "not needed to restore, or bound to the source's account",
            ),
        }
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
    Plan { keys }
}

/// Whether RDS takes this key for the backup's storage. It wants IOPS for provisioned storage; for gp3 it refuses both
/// below 400 GiB, where the baseline is fixed (RDS user guide, "Amazon RDS DB instance storage").
fn takes_performance(stored: &BTreeMap<String, String>, key: &str) -> bool {
    let value = |wanted: &str| {
        let found = stored
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(wanted));
        found.map_or("", |(_, value)| value.as_str())
    };
    match value("StorageType") {
        "io1" | "io2" => key == "Iops",
        "gp3" => value("AllocatedStorage")
            .parse::<u32>()
            .is_ok_and(|gib| gib >= 400),
        _ => false,
    }
}

/// What speaks against a value, not empty, of a key that a policy may override.
pub(super) fn value_problem(name: &str, value: &str) -> Option<String> {
    let number = || value.parse::<u32>().ok();
    match name {
        "Port" if !number().is_some_and(|port| (1150..=65535).contains(&port)) => {
            Some("Port is a number from 1150 to 65535".to_owned())
        }
        "AllocatedStorage" | "Iops" | "StorageThroughput" if number().is_none_or(|n| n == 0) => {
            Some(format!("{name} is a positive whole number"))
        }
        "DBInstanceClass" if !value.starts_with("db.") => {
            Some("an instance class begins with \"db.\", for example db.t4g.medium".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ResourceType, override_problem};

    fn rule(toml: &str) -> Rule {
        let text = format!(
            "version = \"1\"\n[[rules]]\nname = \"r\"\nmatch = {{}}\nfrequency = \"daily\"\n{toml}"
        );
        crate::policy::parse(&text)
            .expect("a policy")
            .rules
            .remove(0)
    }

    /// What AWS Backup answers for a public, protected, Multi-AZ database of another account.
    fn stored() -> BTreeMap<String, String> {
        [
            ("DBInstanceIdentifier", "orders-prod"),
            ("DBSnapshotIdentifier", "awsbackup:copyjob-1"),
            ("InformationalOnly:Encrypted", "true"),
            ("aws:backup:request-id", "abc"),
            ("AvailabilityZone", "eu-central-1a"),
            ("DBSubnetGroupName", "prod"),
            ("VpcSecurityGroupIds", "[\"sg-prod\"]"),
            ("OptionGroupName", "default:prod"),
            ("PubliclyAccessible", "true"),
            ("multiAZ", "true"),
            ("DeletionProtection", "true"),
            ("KmsKeyId", "arn:aws:kms:eu-central-1:222233334444:key/1"),
            ("EnableCloudwatchLogsExports", "[\"postgresql\"]"),
            ("dbInstanceClass", "db.r6g.4xlarge"),
            ("Port", "5432"),
            ("Iops", ""),
            ("SomethingNew", "1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    fn network() -> Network {
        Network {
            db_subnet_group: "isolated".to_owned(),
            db_security_groups: vec!["sg-1".to_owned()],
            machine_subnet: "subnet-1".to_owned(),
            machine_security_groups: vec!["sg-2".to_owned()],
            volume_key_arn: None,
        }
    }

    #[test]
    fn only_allowed_keys_are_sent_and_safety_wins() {
        let plan = plan(
            &stored(),
            &rule("instance_class = \"db.t4g.medium\""),
            &network(),
            "rp-x-1",
        );
        let wanted = [
            ("AutoMinorVersionUpgrade", "false"),
            ("CopyTagsToSnapshot", "false"),
            ("DBInstanceClass", "db.t4g.medium"),
            ("DBInstanceIdentifier", "rp-x-1"),
            ("DBSubnetGroupName", "isolated"),
            ("DeletionProtection", "false"),
            ("EnableIAMDatabaseAuthentication", "false"),
            ("MultiAZ", "false"),
            ("NetworkType", "IPV4"),
            ("Port", "5432"),
            ("PubliclyAccessible", "false"),
            ("VpcSecurityGroupIds", "[\"sg-1\"]"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(plan.metadata(), wanted.into());
        assert!(plan.keys.values().all(|planned| !planned.reason.is_empty()));
        assert!(
            stored()
                .keys()
                .all(|key| plan.keys.keys().any(|k| k.eq_ignore_ascii_case(key)))
        );
    }

    #[test]
    fn storage_performance_is_sent_only_where_rds_takes_it() {
        for (storage, gib, sent) in [
            ("gp3", "399", &[][..]),
            ("gp3", "400", &["Iops", "StorageThroughput"]),
            ("io1", "100", &["Iops"]),
            ("io2", "100", &["Iops"]),
            ("gp2", "500", &[]),
        ] {
            let mut stored = stored();
            for (key, value) in [
                ("StorageType", storage),
                ("AllocatedStorage", gib),
                ("Iops", "3000"),
                ("StorageThroughput", "125"),
            ] {
                stored.insert(key.to_owned(), value.to_owned());
            }
            let metadata = plan(&stored, &rule(""), &network(), "rp-x-1").metadata();
            let performance: Vec<_> = metadata
                .keys()
                .filter(|key| ["Iops", "StorageThroughput"].contains(&key.as_str()))
                .collect();
            assert_eq!(performance, sent, "{storage} {gib}");
        }
    }

    #[test]
    fn overrides_replace_what_the_backup_says() {
        let plan = plan(
            &stored(),
            &rule("restore = { port = \"6000\" }"),
            &network(),
            "rp-x-1",
        );
        assert_eq!(plan.metadata()["Port"], "6000");
        assert_eq!(plan.metadata()["DBInstanceClass"], "db.r6g.4xlarge");
    }

    #[test]
    fn overrides_that_weaken_safety_are_refused() {
        let problem =
            |key: &str, value: &str| override_problem(Some(ResourceType::Rds), key, value);
        for (key, _) in FORBIDDEN {
            assert!(problem(&key.to_lowercase(), "x").is_some(), "{key}");
        }
        for (key, value, _) in SAFETY {
            assert!(problem(key, value).is_some(), "{key}");
        }
        assert_eq!(problem("Port", "5433"), None);
        assert!(problem("Port", "80").is_some());
        assert!(problem("Prot", "5433").is_some());
    }

    #[test]
    fn what_the_backup_does_not_set_is_left_out_with_that_reason() {
        for unset in ["", "null"] {
            let mut stored = stored();
            stored.insert("LicenseModel".to_owned(), unset.to_owned());
            let plan = plan(&stored, &rule(""), &network(), "rp-x-1");
            let planned = &plan.keys["LicenseModel"];
            assert_eq!(planned.value, None, "{unset:?}");
            assert_eq!(planned.reason, "not set in the backup");
        }
    }

    #[test]
    fn values_that_rds_would_refuse_are_refused_with_the_policy() {
        let problem =
            |key: &str, value: &str| override_problem(Some(ResourceType::Rds), key, value);
        for (key, good) in [
            ("Port", "1150"),
            ("Port", "65535"),
            ("AllocatedStorage", "1"),
            ("Iops", "3000"),
            ("StorageThroughput", "125"),
            ("DBInstanceClass", "db.t4g.medium"),
            ("StorageType", "gp3"),
        ] {
            assert_eq!(problem(key, good), None, "{key} {good}");
        }
        for (key, bad, words) in [
            ("Port", "1149", "from 1150 to 65535"),
            ("Port", "65536", "from 1150 to 65535"),
            ("Port", "mysql", "from 1150 to 65535"),
            ("AllocatedStorage", "0", "AllocatedStorage is a positive"),
            ("Iops", "many", "Iops is a positive"),
            ("StorageThroughput", "-1", "StorageThroughput is a positive"),
            ("DBInstanceClass", "t4g.medium", "begins with \"db.\""),
            ("StorageType", "", "StorageType is empty"),
        ] {
            let told = problem(key, bad).unwrap_or_default();
            assert!(told.contains(words), "{key} {bad:?}: {told}");
        }
    }
}

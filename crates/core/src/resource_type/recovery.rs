//! What a recovery by hand takes of a restore that was proved: of each key of the request, what was proved with and what to
//! use, and what people have to do beside it. The facts of each type decide about its keys; here is how they are walked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Keys, PlannedKey, Source};

/// What a recovery is to use for a key of the restore request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// What the request of a rule without wishes of its own asks for: the source's value, where AWS takes it.
    AsPlanned,
    /// What the backup says of the source, as it is; if it says nothing and the key was sent, this placeholder.
    AsSource(&'static str),
    /// What only whoever recovers knows: this placeholder.
    Yours(&'static str),
    /// This placeholder where the source had one of its own, since that is bound to its account; left out otherwise.
    LikeSources(&'static str),
    /// It is left out.
    LeftOut,
    /// It is left out of the request, and set afterwards where the source had it.
    Afterwards,
    /// It may hold secrets: neither the source's value nor ours is told.
    Withheld,
}

/// A key of restore metadata, what a recovery is to use for it, and why.
pub type Decision = (&'static str, Recovery, &'static str);

/// What there is to know of a recovery by hand of one type.
#[derive(Debug)]
pub struct RecoveryFacts {
    /// Every key that the type's tables name, decided.
    pub keys: &'static [Decision],
    /// What is to be done once the restore job is complete, in order.
    pub afterwards: &'static [Afterwards],
    /// What a restore does not bring back, each with what to do about it.
    pub not_restored: &'static [(&'static str, &'static str)],
}

/// Something to be done after a restore.
#[derive(Debug)]
pub struct Afterwards {
    /// What, in a sentence.
    pub what: &'static str,
    /// The commands of the AWS CLI that do it, placeholders among them; `$CREATED` is the name or id of what was restored.
    pub command: &'static str,
    /// The permissions that whoever runs them needs, as IAM calls them.
    pub rights: &'static [&'static str],
    /// Whether a recovery is not complete without it; else it is for who needs it.
    pub is_needed: bool,
}

/// A key of a restore request that was proved, and what a recovery is to use for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedKey {
    /// The key of AWS Backup's restore metadata.
    pub key: String,
    /// The value that was sent; none if it was not, or may not be told.
    pub proved_with: Option<String>,
    /// The value to use, or a placeholder in angle brackets; none if the key is to be left out.
    pub recovery: Option<String>,
    /// Why.
    pub why: String,
}

/// Whether each key that a type's tables name is decided: no key can be added without it, since this is evaluated when the
/// type's facts are compiled.
pub(super) const fn decides_every_key(decided: &[Decision], keys: &Keys) -> bool {
    let mut all = match keys.name {
        Some((name, _)) => is_decided(decided, name),
        None => true,
    };
    let mut at = 0;
    while at < keys.from_backup.len() {
        all = all && is_decided(decided, keys.from_backup[at].0);
        at += 1;
    }
    at = 0;
    while at < keys.left_out.len() {
        all = all && is_decided(decided, keys.left_out[at].0);
        at += 1;
    }
    at = 0;
    while at < keys.overridable.len() {
        all = all && is_decided(decided, keys.overridable[at].0);
        at += 1;
    }
    at = 0;
    while at < keys.forbidden.len() {
        all = all && is_decided(decided, keys.forbidden[at].0);
        at += 1;
    }
    at = 0;
    while at < keys.network.len() {
        all = all && is_decided(decided, keys.network[at].0);
        at += 1;
    }
    at = 0;
    while at < keys.safety.len() {
        all = all && is_decided(decided, keys.safety[at].0);
        at += 1;
    }
    all
}

const fn is_decided(decided: &[Decision], key: &str) -> bool {
    let mut at = 0;
    while at < decided.len() {
        if is_same(decided[at].0.as_bytes(), key.as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

/// `==` of texts is not for constants.
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The keys of a request that was proved, or that a recovery takes beside them, in order. `plain` is the plan of a rule
/// without wishes, with placeholders in place of our network.
pub(crate) fn requested(
    facts: &RecoveryFacts,
    source: &Source,
    proved: &BTreeMap<String, PlannedKey>,
    plain: &BTreeMap<String, PlannedKey>,
) -> Vec<RequestedKey> {
    let sent = |keys: &BTreeMap<String, PlannedKey>, key: &str| keys.get(key)?.value.clone();
    let decided = facts.keys.iter().filter_map(|(key, recovery, why)| {
        let (proved_with, said) = (sent(proved, key), source.said(key));
        let mut row = RequestedKey {
            key: (*key).to_owned(),
            proved_with,
            recovery: None,
            why: (*why).to_owned(),
        };
        let mut tells_source = true;
        match recovery {
            Recovery::AsPlanned => row.recovery = sent(plain, key),
            Recovery::AsSource(otherwise) => {
                let otherwise = row.proved_with.is_some().then_some(*otherwise);
                row.recovery = said.or(otherwise).map(str::to_owned);
            }
            Recovery::Yours(placeholder) => row.recovery = Some((*placeholder).to_owned()),
            Recovery::LikeSources(placeholder) => {
                let is_own =
                    |said: &&str| !said.starts_with("default.") && !said.starts_with("default:");
                row.recovery = said.filter(is_own).map(|_| (*placeholder).to_owned());
            }
            Recovery::LeftOut => {}
            Recovery::Afterwards => {
                said?;
            }
            Recovery::Withheld => {
                if row.proved_with.take().is_none() && said.is_none() {
                    return None;
                }
                tells_source = false;
            }
        }
        let is_seen = row.proved_with.is_some()
            || row.recovery.is_some()
            || matches!(recovery, Recovery::Afterwards | Recovery::Withheld);
        if let Some(said) =
            said.filter(|said| tells_source && row.recovery.as_deref() != Some(*said))
        {
            row.why = format!("{}; the source had {said}", row.why);
        }
        is_seen.then_some(row)
    });
    // None is sent that is not decided; should one be, its value is not told.
    let undecided = proved.iter().filter(|(key, planned)| {
        planned.value.is_some() && !facts.keys.iter().any(|(known, ..)| known == key)
    });
    let undecided = undecided.map(|(key, _)| RequestedKey {
        key: key.clone(),
        proved_with: None,
        recovery: None,
        why: "nothing is decided about this key".to_owned(),
    });
    let mut rows: Vec<RequestedKey> = decided.chain(undecided).collect();
    rows.sort_by(|one, other| one.key.cmp(&other.key));
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::civil::date;

    use super::*;
    use crate::plan::{Network, Plan, plan};
    use crate::policy::{Limits, Rule};
    use crate::resource_type::{Image, ResourceType};

    const OURS: [&str; 7] = [
        "restore-proof-r-0123456789abcdef0123-1",
        "restore-proof",
        "isolated",
        "sg-ours-1",
        "subnet-ours",
        "sg-ours-2",
        "key/ours",
    ];

    fn planned(resource_type: ResourceType, metadata: &[(&str, &str)], rule: &str) -> Plan {
        let network = Network {
            db_subnet_group: OURS[2].to_owned(),
            db_security_groups: vec![OURS[3].to_owned()],
            machine_subnet: OURS[4].to_owned(),
            machine_security_groups: vec![OURS[5].to_owned()],
            volume_key_arn: Some(format!("arn:aws:kms:eu-central-1:111122223333:{}", OURS[6])),
        };
        let metadata = metadata.iter();
        let source = Source {
            metadata: metadata
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            image: Image {
                devices: vec!["/dev/xvda".to_owned()],
                ..Image::default()
            },
            chosen_type: None,
        };
        let today = date(2026, 11, 28);
        let limits = Limits::default();
        plan(
            resource_type,
            &source,
            &ruled(rule),
            &limits,
            &network,
            OURS[0],
            today,
        )
    }

    fn ruled(toml: &str) -> Rule {
        let text = format!(
            "version = \"1\"\n[[rules]]\nname = \"r\"\nmatch = {{}}\nfrequency = \"daily\"\n{toml}"
        );
        crate::policy::parse(&text)
            .expect("a policy")
            .rules
            .remove(0)
    }

    /// The rows as key, what was proved with, and what to use.
    fn rows(plan: &Plan) -> Vec<(&str, Option<&str>, Option<&str>)> {
        let rows = plan.recovery.iter();
        rows.map(|row| {
            (
                row.key.as_str(),
                row.proved_with.as_deref(),
                row.recovery.as_deref(),
            )
        })
        .collect()
    }

    #[test]
    fn a_database_is_recovered_as_its_source_was() {
        let stored = [
            ("DBInstanceIdentifier", "orders"),
            ("dbInstanceClass", "db.r6g.large"),
            ("Engine", "mysql"),
            ("EngineVersion", "8.0.39"),
            ("MultiAZ", "true"),
            ("DeletionProtection", "true"),
            ("PubliclyAccessible", "false"),
            ("CopyTagsToSnapshot", "true"),
            ("DBSubnetGroupName", "production"),
            ("VpcSecurityGroupIds", "[\"sg-production\"]"),
            ("DBParameterGroupName", "orders-mysql80"),
            ("OptionGroupName", "orders-audit"),
            ("BackupRetentionPeriod", "14"),
            ("EnableCloudwatchLogsExports", "[\"error\"]"),
            ("KmsKeyId", "arn:aws:kms:eu-central-1:222233334444:key/1"),
            ("Port", "0"),
            ("aws:backup:request-id", "abc"),
        ];
        let plan = planned(
            ResourceType::Rds,
            &stored,
            "rds.instance_class = \"db.t4g.micro\"",
        );
        let sg = "[\"<security group of the database>\"]";
        let or = "<true or false>";
        assert_eq!(
            rows(&plan),
            [
                ("AutoMinorVersionUpgrade", Some("false"), Some(or)),
                ("BackupRetentionPeriod", None, None),
                ("CopyTagsToSnapshot", Some("false"), Some("true")),
                (
                    "DBInstanceClass",
                    Some("db.t4g.micro"),
                    Some("db.r6g.large")
                ),
                (
                    "DBInstanceIdentifier",
                    Some(OURS[0]),
                    Some("<name of the restored database>")
                ),
                (
                    "DBParameterGroupName",
                    None,
                    Some("<DB parameter group with the settings of the source>")
                ),
                (
                    "DBSubnetGroupName",
                    Some("isolated"),
                    Some("<DB subnet group>")
                ),
                ("DeletionProtection", Some("false"), Some("true")),
                ("EnableCloudwatchLogsExports", None, Some("[\"error\"]")),
                ("EnableIAMDatabaseAuthentication", Some("false"), Some(or)),
                ("Engine", Some("mysql"), Some("mysql")),
                ("MultiAZ", Some("false"), Some("true")),
                (
                    "OptionGroupName",
                    Some("default:mysql-8-0"),
                    Some("<option group with the options of the source>")
                ),
                ("PubliclyAccessible", Some("false"), Some("false")),
                ("VpcSecurityGroupIds", Some("[\"sg-ours-1\"]"), Some(sg)),
            ]
        );
        let why = |key: &str| {
            let row = plan.recovery.iter().find(|row| row.key == key);
            row.expect("a row").why.as_str()
        };
        assert!(
            why("BackupRetentionPeriod").ends_with("set it after the restore; the source had 14")
        );
        assert!(why("DBParameterGroupName").ends_with("; the source had orders-mysql80"));
        assert!(!why("MultiAZ").contains("the source had"));
    }

    #[test]
    fn a_cluster_is_recovered_as_its_source_was() {
        let stored = [
            ("DBClusterIdentifier", "orders"),
            ("Engine", "aurora-postgresql"),
            ("EngineVersion", "15.4"),
            ("EngineMode", "provisioned"),
            ("Port", "5433"),
            ("DBClusterParameterGroupName", "default.aurora-postgresql15"),
            ("EnableIAMDatabaseAuthentication", "true"),
            ("BacktrackWindow", "null"),
        ];
        let plan = planned(ResourceType::Aurora, &stored, "");
        let sg = "[\"<security group of the database>\"]";
        assert_eq!(
            rows(&plan),
            [
                ("CopyTagsToSnapshot", Some("false"), Some("<true or false>")),
                (
                    "DBClusterIdentifier",
                    Some(OURS[0]),
                    Some("<name of the restored cluster>")
                ),
                (
                    "DBSubnetGroupName",
                    Some("isolated"),
                    Some("<DB subnet group>")
                ),
                (
                    "EnableIAMDatabaseAuthentication",
                    Some("false"),
                    Some("true")
                ),
                (
                    "Engine",
                    Some("aurora-postgresql"),
                    Some("aurora-postgresql")
                ),
                ("EngineMode", Some("provisioned"), Some("provisioned")),
                ("EngineVersion", Some("15.4"), Some("15.4")),
                ("Port", Some("5433"), Some("5433")),
                ("VpcSecurityGroupIds", Some("[\"sg-ours-1\"]"), Some(sg)),
            ]
        );
    }

    #[test]
    fn a_machine_is_recovered_as_its_source_was_and_its_user_data_is_not_told() {
        let stored = [
            ("InstanceType", "m5.large"),
            ("EbsOptimized", "true"),
            ("SubnetId", "subnet-production"),
            ("SecurityGroupIds", "[\"sg-production\"]"),
            ("KeyName", "operations"),
            ("IamInstanceProfileName", "shop-production"),
            ("UserData", "echo hunter2"),
            ("RequireIMDSv2", "false"),
            ("DisableApiTermination", "true"),
        ];
        let plan = planned(
            ResourceType::Ec2,
            &stored,
            "ec2.instance_type = \"t3.small\"",
        );
        let row = |key: &str| {
            let row = plan.recovery.iter().find(|row| row.key == key);
            row.map(|row| {
                (
                    row.proved_with.as_deref(),
                    row.recovery.as_deref(),
                    row.why.as_str(),
                )
            })
        };
        assert_eq!(
            row("InstanceType").map(|row| (row.0, row.1)),
            Some((Some("t3.small"), Some("m5.large")))
        );
        // The rule's type may not take it; the source's does.
        assert_eq!(
            row("EbsOptimized").map(|row| (row.0, row.1)),
            Some((None, Some("true")))
        );
        assert_eq!(
            row("SubnetId").map(|row| (row.0, row.1)),
            Some((Some("subnet-ours"), Some("<subnet of the instance>")))
        );
        assert_eq!(
            row("KeyName").map(|row| (row.0, row.1)),
            Some((None, Some("<key pair>")))
        );
        assert_eq!(
            row("DisableApiTermination").map(|row| (row.0, row.1)),
            Some((Some("false"), Some("true")))
        );
        let devices = row("BlockDeviceMappings").expect("devices");
        assert!(
            devices.0.is_some_and(|proved| proved.contains("key/ours")),
            "{devices:?}"
        );
        assert!(
            devices
                .1
                .is_some_and(|recovery| recovery.contains("<ARN of the KMS key of its volumes>")),
            "{devices:?}"
        );
        let profile = row("IamInstanceProfileName").expect("a profile");
        assert_eq!((profile.0, profile.1), (None, None));
        assert!(
            profile.2.ends_with("the source had shop-production"),
            "{profile:?}"
        );
        let withheld = row("UserData").expect("that it was there");
        assert_eq!((withheld.0, withheld.1), (None, None));
        assert!(
            withheld.2.starts_with("it may hold secrets"),
            "{withheld:?}"
        );
        assert!(!format!("{:?}", plan.recovery).contains("hunter2"));
    }

    /// Whatever a backup says: every key that is sent has a row, and nothing of ours is to be used.
    #[test]
    fn nothing_of_ours_is_to_be_used_for_a_recovery() {
        let mut seed: u64 = 20_261_128;
        let mut below = |most: usize| {
            // Knuth's constants for 64 bits.
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap_or_default() % most
        };
        const VALUES: [&str; 12] = [
            "",
            "null",
            "[]",
            "true",
            "false",
            "0",
            "5432",
            "mysql",
            "8.0.39",
            "default:mysql-8-0",
            "own",
            "[{\"DeviceName\":\"/dev/sda1\",\"Ebs\":{\"VolumeType\":\"gp3\",\"Iops\":3000}}]",
        ];
        let of_type = |resource_type| match resource_type {
            ResourceType::Rds => [
                "",
                "rds.instance_class = \"db.t4g.micro\"",
                "rds.option_group = \"audit\"",
            ],
            ResourceType::Aurora => [
                "",
                "aurora.parameter_group = \"audit\"",
                "restore = { Port = \"5433\" }",
            ],
            ResourceType::Ec2 => [
                "",
                "ec2.instance_type = \"t3.small\"",
                "ec2.instance_profile = \"original\"",
            ],
        };
        for round in 0..3000 {
            let resource_type = ResourceType::ALL[round % 3];
            let facts = resource_type.facts();
            let mut stored = vec![("SomethingNew", "1")];
            for (key, ..) in facts.recovery.keys {
                if below(3) > 0 {
                    stored.push((*key, VALUES[below(VALUES.len())]));
                }
            }
            let rule = of_type(resource_type)[below(3)];
            let plan = planned(resource_type, &stored, rule);
            let told: BTreeSet<&str> = plan.recovery.iter().map(|row| row.key.as_str()).collect();
            for key in plan.metadata().keys() {
                assert!(told.contains(key.as_str()), "{key} of {stored:?}");
            }
            assert_eq!(told.len(), plan.recovery.len(), "a key is told twice");
            for row in &plan.recovery {
                assert_ne!(row.why, "nothing is decided about this key", "{row:?}");
                let used = format!(
                    "{} {}",
                    row.recovery.as_deref().unwrap_or_default(),
                    row.why
                );
                for ours in OURS {
                    assert!(!used.contains(ours), "{row:?} of {stored:?}");
                }
            }
        }
    }
}

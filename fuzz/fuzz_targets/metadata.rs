//! Restore metadata, hostile or just unheard of, and what becomes of it in a restore request.
//!
//! The input is lines `key=value`: the metadata of the backup, and behind a line `---` what the rule overrides, unchecked.
//! A line without `=` sets something else: `RDS`, `EC2`, `class C`, `type T`, `original`, `key K`, `device D`.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::{Corpus, fuzz_target};
use restore_proof_core::ownership::Mark;
use restore_proof_core::plan::{
    Network, Plan, Source, mark, override_problem, plan, recognised_by,
};
use restore_proof_core::policy::{Limits, Rule, parse};
use restore_proof_core::resource_type::{InstanceProfile, ResourceType};
use serde_json::{Value, json};

const NAME: &str = "rp-orders-1";
const TODAY: jiff::civil::Date = jiff::civil::date(2026, 11, 28);

/// All that a request for a database may hold, and what may be overridden in it.
const RDS_KEYS: [&str; 18] = [
    "AllocatedStorage",
    "AutoMinorVersionUpgrade",
    "CopyTagsToSnapshot",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBParameterGroupName",
    "DBSubnetGroupName",
    "DeletionProtection",
    "EnableIAMDatabaseAuthentication",
    "Engine",
    "Iops",
    "LicenseModel",
    "MultiAZ",
    "OptionGroupName",
    "Port",
    "PubliclyAccessible",
    "StorageType",
    "VpcSecurityGroupIds",
];
const RDS_OVERRIDES: [&str; 8] = [
    "AllocatedStorage",
    "DBInstanceClass",
    "DBParameterGroupName",
    "Iops",
    "LicenseModel",
    "OptionGroupName",
    "Port",
    "StorageType",
];
/// What it holds whatever the backup and the rule say.
const RDS_SAFE: [(&str, &str); 9] = [
    ("AutoMinorVersionUpgrade", "false"),
    ("CopyTagsToSnapshot", "false"),
    ("DBInstanceIdentifier", NAME),
    ("DBSubnetGroupName", "isolated"),
    ("DeletionProtection", "false"),
    ("EnableIAMDatabaseAuthentication", "false"),
    ("MultiAZ", "false"),
    ("PubliclyAccessible", "false"),
    ("VpcSecurityGroupIds", "[\"sg-db\"]"),
];

/// The same of a cluster.
const AURORA_KEYS: [&str; 10] = [
    "CopyTagsToSnapshot",
    "DBClusterIdentifier",
    "DBClusterParameterGroupName",
    "DBSubnetGroupName",
    "EnableIAMDatabaseAuthentication",
    "Engine",
    "EngineMode",
    "EngineVersion",
    "Port",
    "VpcSecurityGroupIds",
];
const AURORA_OVERRIDES: [&str; 2] = ["DBClusterParameterGroupName", "Port"];
const AURORA_SAFE: [(&str, &str); 5] = [
    ("CopyTagsToSnapshot", "false"),
    ("DBClusterIdentifier", NAME),
    ("DBSubnetGroupName", "isolated"),
    ("EnableIAMDatabaseAuthentication", "false"),
    ("VpcSecurityGroupIds", "[\"sg-db\"]"),
];

/// The same of a machine.
const EC2_KEYS: [&str; 12] = [
    "BlockDeviceMappings",
    "CreditSpecification",
    "DisableApiTermination",
    "EbsOptimized",
    "HibernationOptions",
    "IamInstanceProfileName",
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "Monitoring",
    "RequireIMDSv2",
    "SecurityGroupIds",
    "SubnetId",
];
const EC2_OVERRIDES: [&str; 3] = ["CreditSpecification", "EbsOptimized", "InstanceType"];
const EC2_SAFE: [(&str, &str); 6] = [
    ("DisableApiTermination", "false"),
    ("InstanceInitiatedShutdownBehavior", "stop"),
    ("Monitoring", "{\"State\":\"disabled\"}"),
    ("RequireIMDSv2", "true"),
    ("SecurityGroupIds", "[\"sg-machine\"]"),
    ("SubnetId", "subnet-isolated"),
];

/// What is planned, and from what.
struct Case {
    resource_type: ResourceType,
    source: Source,
    rule: Rule,
    network: Network,
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    let case = read(text);
    let Case {
        resource_type,
        source,
        rule,
        network,
    } = &case;
    let limits = &Limits::default();
    let planned = || plan(*resource_type, source, rule, limits, network, NAME, TODAY);
    assert_eq!(planned(), planned());
    let planned = planned();
    reasoned(&planned, source);
    isolated(&case, &planned.metadata());
    from_somewhere(&case, &planned.metadata());
    overrides_keep_out(&case, &planned.metadata());
    if *resource_type == ResourceType::Ec2 {
        volumes_are_ours(&case, &planned.metadata());
    }
    Corpus::Keep
});

fn read(text: &str) -> Case {
    let words = "version = \"1\"\n[[rules]]\nname = \"r\"\nmatch = {}\nfrequency = \"daily\"\n";
    let mut case = Case {
        resource_type: ResourceType::Rds,
        source: Source::default(),
        rule: parse(words).expect("a policy").rules.remove(0),
        network: Network {
            db_subnet_group: "isolated".to_owned(),
            db_security_groups: vec!["sg-db".to_owned()],
            machine_subnet: "subnet-isolated".to_owned(),
            machine_security_groups: vec!["sg-machine".to_owned()],
            volume_key_arn: None,
        },
    };
    let mut overrides = false;
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=') {
            let to = if overrides {
                &mut case.rule.restore
            } else {
                &mut case.source.metadata
            };
            to.insert(key.to_owned(), value.to_owned());
            continue;
        }
        match line.split_once(' ').unwrap_or((line, "")) {
            ("---", _) => overrides = true,
            ("Aurora", _) => case.resource_type = ResourceType::Aurora,
            ("RDS", _) => case.resource_type = ResourceType::Rds,
            ("EC2", _) => case.resource_type = ResourceType::Ec2,
            ("class", class) => case.rule.types.rds.instance_class = Some(class.to_owned()),
            ("type", kind) => case.rule.types.ec2.instance_type = Some(kind.to_owned()),
            ("original", _) => case.rule.types.ec2.instance_profile = InstanceProfile::Original,
            ("key", arn) => case.network.volume_key_arn = Some(arn.to_owned()),
            ("device", name) => case.source.image.devices.push(name.to_owned()),
            _ => {}
        }
    }
    case
}

/// Every key that the backup has was looked at, and every key says why it is what it is.
fn reasoned(planned: &Plan, source: &Source) {
    for (key, planned) in &planned.keys {
        assert!(!planned.reason.is_empty(), "{key} has no reason");
    }
    for key in source.metadata.keys() {
        let same = |name: &String| name.eq_ignore_ascii_case(key);
        assert!(planned.keys.keys().any(same), "{key} was not looked at");
    }
}

/// Nothing is asked for that is not allowed, and what makes it safe is always asked for, once.
fn isolated(case: &Case, request: &BTreeMap<String, String>) {
    let (allowed, safe): (&[&str], &[(&str, &str)]) = match case.resource_type {
        ResourceType::Aurora => (&AURORA_KEYS, &AURORA_SAFE),
        ResourceType::Rds => (&RDS_KEYS, &RDS_SAFE),
        ResourceType::Ec2 => (&EC2_KEYS, &EC2_SAFE),
    };
    for key in request.keys() {
        assert!(allowed.contains(&key.as_str()), "{key} is asked for");
    }
    for (key, value) in safe {
        assert_eq!(request.get(*key).map(String::as_str), Some(*value), "{key}");
    }
    let original = case.rule.types.ec2.instance_profile == InstanceProfile::Original;
    assert!(original || !request.contains_key("IamInstanceProfileName"));
    match mark(case.resource_type, &case.network, NAME) {
        Mark::Name(name) => assert_eq!(request[recognised_by(case.resource_type)[0]], name),
        Mark::Subnet(subnet) => assert_eq!(request["SubnetId"], subnet),
    }
    for key in recognised_by(case.resource_type) {
        assert!(
            request.contains_key(*key),
            "a job cannot be recognised without {key}"
        );
    }
}

/// What is neither ours nor the rule's stands in the backup, as it is. An engine's default option group is the plan's.
fn from_somewhere(case: &Case, request: &BTreeMap<String, String>) {
    let ours: Vec<&str> = match case.resource_type {
        ResourceType::Aurora => AURORA_SAFE.iter().map(|(key, _)| *key).collect(),
        ResourceType::Rds => RDS_SAFE.iter().map(|(key, _)| *key).collect(),
        ResourceType::Ec2 => EC2_SAFE
            .iter()
            .map(|(key, _)| *key)
            .chain(["BlockDeviceMappings"])
            .collect(),
    };
    let chosen = match case.resource_type {
        // The writer's class is no key of the request.
        ResourceType::Aurora => &None,
        ResourceType::Rds => &case.rule.types.rds.instance_class,
        ResourceType::Ec2 => &case.rule.types.ec2.instance_type,
    };
    for (key, value) in request
        .iter()
        .filter(|(key, _)| !ours.contains(&key.as_str()))
        .filter(|(key, value)| *key != "OptionGroupName" || !value.starts_with("default:"))
    {
        let holds = |map: &BTreeMap<String, String>| {
            map.iter()
                .any(|(name, is)| name.eq_ignore_ascii_case(key) && is == value)
        };
        assert!(
            holds(&case.source.metadata)
                || holds(&case.rule.restore)
                || Some(value) == chosen.as_ref(),
            "{key} = {value:?} comes from nowhere"
        );
    }
}

/// An override that a policy may hold is one of few keys, and is obeyed unless the rule itself says otherwise.
fn overrides_keep_out(case: &Case, request: &BTreeMap<String, String>) {
    let (allowed, choice): (&[&str], _) = match case.resource_type {
        ResourceType::Aurora => (&AURORA_OVERRIDES, ("", &None)),
        ResourceType::Rds => (
            &RDS_OVERRIDES,
            ("DBInstanceClass", &case.rule.types.rds.instance_class),
        ),
        ResourceType::Ec2 => (
            &EC2_OVERRIDES,
            ("InstanceType", &case.rule.types.ec2.instance_type),
        ),
    };
    for (key, value) in &case.rule.restore {
        if let Some(problem) = override_problem(Some(case.resource_type), key, value) {
            assert!(!problem.is_empty());
            continue;
        }
        assert!(!value.is_empty());
        let same = |name: &str| name.eq_ignore_ascii_case(key);
        let name = allowed.iter().find(|name| same(name));
        let name = name.unwrap_or_else(|| panic!("{key} may be overridden"));
        let once = case.rule.restore.keys().filter(|other| same(other)).count() == 1;
        if once && (choice.0 != *name || choice.1.is_none()) {
            assert_eq!(request.get(*name), Some(value), "{name} is not obeyed");
        }
    }
}

/// Each volume once, encrypted, gone with its machine, and under our key if we have one.
fn volumes_are_ours(case: &Case, request: &BTreeMap<String, String>) {
    let Some(mappings) = request.get("BlockDeviceMappings") else {
        assert!(
            case.source.image.devices.is_empty(),
            "volumes are forgotten"
        );
        return;
    };
    let mappings: Value = serde_json::from_str(mappings).expect("JSON");
    let mut names: Vec<&str> = Vec::new();
    for mapping in mappings.as_array().expect("a list") {
        let mapping = mapping.as_object().expect("an object");
        assert!(
            mapping
                .keys()
                .all(|key| matches!(key.as_str(), "DeviceName" | "Ebs"))
        );
        names.push(mapping["DeviceName"].as_str().expect("a name"));
        let ebs = mapping["Ebs"].as_object().expect("an object");
        for key in ebs.keys() {
            let known = [
                "DeleteOnTermination",
                "Encrypted",
                "Iops",
                "KmsKeyId",
                "Throughput",
                "VolumeSize",
                "VolumeType",
            ];
            assert!(
                known.contains(&key.as_str()),
                "{key} of a volume is asked for"
            );
        }
        assert_eq!(ebs["Encrypted"], json!(true));
        assert_eq!(ebs["DeleteOnTermination"], json!(true));
        assert_eq!(
            ebs.get("KmsKeyId").cloned(),
            case.network.volume_key_arn.clone().map(Value::from)
        );
    }
    for device in &case.source.image.devices {
        assert!(names.contains(&device.as_str()), "{device} is forgotten");
    }
    names.sort_unstable();
    assert!(
        names.is_sorted_by(|a, b| a < b),
        "a device twice: {names:?}"
    );
}

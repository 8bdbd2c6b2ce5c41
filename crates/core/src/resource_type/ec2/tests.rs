use std::collections::BTreeMap;

use jiff::civil::{Date, date};

use super::*;
use crate::plan::{Image, InstanceType, Network, Plan, Source, override_problem};
use crate::policy::{Limits, Rule};
use crate::resource_type::ResourceType;

const TODAY: Date = date(2026, 11, 28);

fn plan(source: &Source, rule: &Rule, network: &Network) -> Plan {
    crate::plan::plan(
        ResourceType::Ec2,
        source,
        rule,
        &Limits::default(),
        network,
        "rp-x-1",
        TODAY,
    )
}

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
        image: Image {
            devices: vec!["/dev/xvda".to_owned(), "/dev/xvdb".to_owned()],
            ..Image::default()
        },
        chosen_type: None,
    }
}

#[test]
fn only_allowed_keys_are_sent_and_safety_wins() {
    let plan = plan(
        &source(),
        &rule("ec2.instance_type = \"t3.small\""),
        &network(),
    );
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
    assert_eq!(sent("ec2.instance_type = \"t2.small\""), None);
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
        let mappings = devices(&stored.to_string(), &[], None, false).expect("one device");
        let mappings: Value = serde_json::from_str(&mappings).expect("JSON");
        for key in ["Iops", "Throughput"] {
            let there = mappings[0]["Ebs"].get(key).is_some();
            assert_eq!(there, kept.contains(&key), "{kind} {key}");
        }
    }
}

/// Whoever pastes the recovery must not get a machine whose data ends with it, unless the source's did.
#[test]
fn volumes_end_with_a_recovered_machine_only_where_the_sources_did() {
    let mut source = source();
    let stored = json!([
        { "DeviceName": "/dev/xvda", "Ebs": { "DeleteOnTermination": true } },
        { "DeviceName": "/dev/sdf", "Ebs": { "deleteOnTermination": false } },
        { "DeviceName": "/dev/sdg", "Ebs": {} },
    ]);
    let key = "BlockDeviceMappings".to_owned();
    source.metadata.insert(key, stored.to_string());
    let plan = plan(&source, &rule(""), &network());
    let row = plan
        .recovery
        .iter()
        .find(|row| row.key == "BlockDeviceMappings");
    let row = row.expect("a row");
    let ends = |mappings: &Option<String>| {
        let mappings = mappings.as_deref().expect("mappings");
        let mappings: Vec<Value> = serde_json::from_str(mappings).expect("JSON");
        let ends = mappings.iter().map(|one| {
            let name = one["DeviceName"].as_str().expect("a name");
            (name.to_owned(), one["Ebs"]["DeleteOnTermination"].as_bool())
        });
        ends.collect::<Vec<_>>()
    };
    let of = |each: [Option<bool>; 4]| {
        let names = ["/dev/xvda", "/dev/sdf", "/dev/sdg", "/dev/xvdb"].map(str::to_owned);
        names.into_iter().zip(each).collect::<Vec<_>>()
    };
    assert_eq!(ends(&row.proved_with), of([Some(true); 4]));
    assert_eq!(
        ends(&row.recovery),
        of([Some(true), Some(false), None, None])
    );
    assert!(row.why.contains("as the source's did"), "{}", row.why);
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
        profile("ec2.instance_profile = \"original\""),
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

#[test]
fn what_the_backup_does_not_set_is_left_out_with_that_reason() {
    for unset in ["", "null", "{}", "[]"] {
        let mut source = source();
        for key in ["HibernationOptions", "IamInstanceProfileName"] {
            source.metadata.insert(key.to_owned(), unset.to_owned());
        }
        let plan = plan(
            &source,
            &rule("ec2.instance_profile = \"original\""),
            &network(),
        );
        let planned = &plan.keys["HibernationOptions"];
        assert_eq!(planned.value, None, "{unset:?}");
        assert_eq!(planned.reason, "not set in the backup");
        assert_eq!(plan.keys["IamInstanceProfileName"].value, None, "{unset:?}");
    }
}

#[test]
fn what_ec2_would_refuse_is_refused_with_the_policy() {
    let problem = |key: &str, value: &str| override_problem(Some(ResourceType::Ec2), key, value);
    for (key, good) in [
        ("EbsOptimized", "true"),
        ("EbsOptimized", "false"),
        ("InstanceType", "t3.small"),
        ("InstanceType", "u-6tb1.metal"),
        ("CreditSpecification", "{\"CpuCredits\":\"standard\"}"),
    ] {
        assert_eq!(problem(key, good), None, "{key} {good}");
    }
    for (key, bad, words) in [
        ("EbsOptimized", "yes", "\"true\" or \"false\""),
        ("InstanceType", "small", "looks like t3.small"),
        ("InstanceType", "t3.", "looks like t3.small"),
        ("InstanceType", ".small", "looks like t3.small"),
        ("InstanceType", "T3.small", "looks like t3.small"),
        ("InstanceType", "t3.small ", "looks like t3.small"),
        ("InstanceType", "db.t3", "looks like t3.small"),
        ("CreditSpecification", "", "CreditSpecification is empty"),
    ] {
        let told = problem(key, bad).unwrap_or_default();
        assert!(told.contains(words), "{key} {bad:?}: {told}");
    }
    for (key, _) in FORBIDDEN {
        let told = problem(&key.to_lowercase(), "x").unwrap_or_default();
        assert!(
            told.starts_with(&format!("{key} cannot be overridden: ")),
            "{told}"
        );
    }
}

/// An instance type as EC2 describes it.
fn instance_type(name: &str, architecture: &str, boot_modes: &[&str]) -> InstanceType {
    InstanceType {
        name: name.to_owned(),
        exists: true,
        architectures: vec![architecture.to_owned()],
        boot_modes: boot_modes.iter().map(|mode| (*mode).to_owned()).collect(),
    }
}

#[test]
fn case_23_a_type_that_cannot_start_the_image_is_a_problem_of_the_policy() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/cases/23-policy-wrong-architecture.toml"
    );
    let text = std::fs::read_to_string(path).expect("a case");
    let policy = crate::policy::parse(&text).expect("a policy");
    let rule = &policy.rules[0];
    assert_eq!(rule.types.ec2.asked_type(&rule.restore), Some("t3.small"));
    let problem = |image: (&str, Option<&str>), chosen: Option<InstanceType>| {
        let source = Source {
            image: Image {
                architecture: Some(image.0.to_owned()),
                boot_mode: image.1.map(str::to_owned),
                ..Image::default()
            },
            chosen_type: chosen,
            ..Source::default()
        };
        plan(&source, rule, &network()).problem
    };
    let t3 = || {
        Some(instance_type(
            "t3.small",
            "x86_64",
            &["legacy-bios", "uefi"],
        ))
    };
    let t2 = || Some(instance_type("t2.micro", "x86_64", &["legacy-bios"]));
    let t4g = || Some(instance_type("t4g.small", "arm64", &["uefi"]));
    let silent = InstanceType {
        architectures: Vec::new(),
        boot_modes: Vec::new(),
        ..instance_type("t3.small", "", &[])
    };
    let missing = InstanceType {
        exists: false,
        ..silent.clone()
    };
    for (image, chosen, words) in [
        (
            ("arm64", None),
            t3(),
            "rule \"other machines\": the policy asks for the instance type t3.small, whose architecture is x86_64; the \
             image of the backup is arm64",
        ),
        (("x86_64", None), t4g(), "whose architecture is arm64"),
        (("x86_64", Some("uefi")), t2(), "needs the boot mode uefi"),
        (
            ("arm64", Some("legacy-bios")),
            t4g(),
            "needs the boot mode legacy-bios",
        ),
        (
            ("x86_64", None),
            Some(missing),
            "does not know in this Region",
        ),
    ] {
        let told = problem(image, chosen).unwrap_or_default();
        assert!(told.contains(words), "{told}");
    }
    for (image, chosen) in [
        (("x86_64", None), t3()),
        (("x86_64", Some("uefi")), t3()),
        (("x86_64", Some("uefi-preferred")), t2()),
        (("x86_64", Some("legacy-bios")), t2()),
        (("arm64", Some("uefi")), t4g()),
        (("arm64", None), Some(silent)),
        (("arm64", None), None),
    ] {
        assert_eq!(problem(image, chosen), None, "{image:?}");
    }
}

#[test]
fn an_image_of_the_marketplace_is_told() {
    let source = Source {
        image: Image {
            product_codes: vec!["aw0evgkw8e5c1q413zgy5pjce".to_owned()],
            ..Image::default()
        },
        ..Source::default()
    };
    let text = "version = \"1\"\n[[rules]]\nname = \"r\"\nmatch = {}\nfrequency = \"daily\"\n";
    let rule = crate::policy::parse(text)
        .expect("a policy")
        .rules
        .remove(0);
    let told = plan(&source, &rule, &network());
    assert_eq!(told.problem, None, "an account may have accepted its terms");
    assert!(
        told.findings[0].contains("aw0evgkw8e5c1q413zgy5pjce")
            && told.findings[0].contains("Marketplace"),
        "{:?}",
        told.findings
    );
}

use std::collections::BTreeMap;

use jiff::civil::{Date, date};

use super::*;
use crate::plan::{Network, Plan, Source, override_problem};
use crate::policy::{Limits, Rule};
use crate::resource_type::ResourceType;

const TODAY: Date = date(2026, 11, 28);

fn plan(
    stored: &BTreeMap<String, String>,
    rule: &Rule,
    network: &Network,
    target_name: &str,
) -> Plan {
    let source = Source {
        metadata: stored.clone(),
        ..Source::default()
    };
    crate::plan::plan(
        ResourceType::Rds,
        &source,
        rule,
        &Limits::default(),
        network,
        target_name,
        TODAY,
    )
}

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
        &rule("rds.instance_class = \"db.t4g.medium\""),
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

/// The backup of an engine on some storage.
fn stored_on(engine: &str, storage: &str, gib: &str, iops: &str) -> BTreeMap<String, String> {
    let mut stored = stored();
    for (key, value) in [
        ("Engine", engine),
        ("StorageType", storage),
        ("AllocatedStorage", gib),
        ("Iops", iops),
        ("StorageThroughput", "500"),
    ] {
        stored.insert(key.to_owned(), value.to_owned());
    }
    stored
}

#[test]
fn iops_are_sent_only_where_rds_takes_them() {
    for (engine, storage, gib, iops, sent) in [
        ("postgres", "gp3", "399", "12000", false),
        ("postgres", "gp3", "400", "12000", true),
        ("postgres", "gp3", "400", "64000", true),
        ("postgres", "gp3", "400", "11999", false),
        ("postgres", "gp3", "400", "64001", false),
        ("postgres", "gp3", "large", "12000", false),
        ("oracle-ee", "gp3", "200", "12000", true),
        ("oracle-ee", "gp3", "199", "12000", false),
        ("mysql", "io1", "100", "1000", true),
        ("mysql", "io1", "100", "999", false),
        ("mysql", "io1", "100", "5000", true),
        ("mysql", "io1", "100", "5001", false),
        ("mysql", "io1", "10000", "5000", true),
        ("mysql", "io1", "10001", "5000", false),
        ("mysql", "io2", "100", "5001", true),
        ("mysql", "io2", "256", "256001", false),
        ("mysql", "gp2", "500", "3000", false),
        ("mysql", "standard", "500", "3000", false),
        ("sqlserver-se", "io1", "100", "1000", false),
    ] {
        let stored = stored_on(engine, storage, gib, iops);
        let plan = plan(&stored, &rule(""), &network(), "rp-x-1");
        let planned = &plan.keys["Iops"];
        assert_eq!(
            planned.value.is_some(),
            sent,
            "{engine} {storage} {gib} {iops}"
        );
        assert_eq!(
            plan.problem, None,
            "what the backup says is no mistake of a policy"
        );
        assert!(
            sent || planned.reason.contains("storage"),
            "{}",
            planned.reason
        );
    }
}

/// An io1 source restored to cheaper storage: IOPS follow what is asked for, not what was.
#[test]
fn iops_follow_the_storage_that_is_asked_for() {
    let io1 = stored_on("mysql", "io1", "100", "5000");
    let planned = |stored: &BTreeMap<String, String>, toml: &str| {
        let plan = plan(stored, &rule(toml), &network(), "rp-x-1");
        assert_eq!(plan.problem, None, "{toml}");
        let metadata = plan.metadata();
        (
            metadata["StorageType"].clone(),
            metadata.get("Iops").cloned(),
        )
    };
    let is = |kind: &str, iops: Option<&str>| (kind.to_owned(), iops.map(str::to_owned));
    assert_eq!(planned(&io1, ""), is("io1", Some("5000")));
    assert_eq!(
        planned(&io1, "restore = { StorageType = \"gp3\" }"),
        is("gp3", None)
    );
    assert_eq!(
        planned(&io1, "restore = { storagetype = \"gp2\" }"),
        is("gp2", None)
    );
    assert_eq!(
        planned(&io1, "restore = { StorageType = \"io2\" }"),
        is("io2", Some("5000"))
    );
    assert_eq!(
        planned(
            &io1,
            "restore = { StorageType = \"gp3\", AllocatedStorage = \"400\", Iops = \"12000\" }"
        ),
        is("gp3", Some("12000"))
    );
    let gp3 = stored_on("mysql", "gp3", "100", "3000");
    assert_eq!(
        planned(&gp3, "restore = { StorageType = \"io1\", Iops = \"1000\" }"),
        is("io1", Some("1000"))
    );
}

#[test]
fn storage_that_rds_refuses_for_this_backup_is_a_problem_of_the_policy() {
    let io1 = stored_on("mysql", "io1", "100", "5000");
    let gp3 = stored_on("mysql", "gp3", "100", "3000");
    let small = stored_on("mysql", "gp3", "20", "3000");
    let sql_server = stored_on("sqlserver-se", "gp3", "100", "3000");
    for (stored, overrides, words) in [
        (
            &gp3,
            "AllocatedStorage = \"20\"",
            "AllocatedStorage = \"20\", less than the backup's",
        ),
        (
            &gp3,
            "AllocatedStorage = \"99\"",
            "RDS restores to no smaller disk",
        ),
        (&gp3, "AllocatedStorage = \"65537\"", "from 20 to 65536 GiB"),
        (
            &gp3,
            "StorageType = \"standard\", AllocatedStorage = \"3073\"",
            "from 5 to 3072 GiB",
        ),
        (
            &small,
            "StorageType = \"io1\", Iops = \"1000\"",
            "from 100 to 65536 GiB",
        ),
        (
            &small,
            "StorageType = \"io2\", Iops = \"1000\", AllocatedStorage = \"99\"",
            "from 100 to 65536 GiB",
        ),
        (
            &gp3,
            "Iops = \"3000\"",
            "Iops = \"3000\", which RDS does not take",
        ),
        (
            &io1,
            "Iops = \"5001\"",
            "Iops = \"5001\", which RDS does not take",
        ),
        (
            &io1,
            "StorageType = \"gp2\", Iops = \"5000\"",
            "Iops = \"5000\", which RDS does not take",
        ),
        (
            &gp3,
            "StorageType = \"io1\"",
            "StorageType = \"io1\" without Iops",
        ),
        (
            &gp3,
            "StorageType = \"gp9\"",
            "StorageType = \"gp9\", which RDS does not know",
        ),
        (&sql_server, "AllocatedStorage = \"200\"", "SQL Server"),
        (&sql_server, "StorageType = \"gp2\"", "SQL Server"),
    ] {
        let toml = format!("restore = {{ {overrides} }}");
        let plan = plan(stored, &rule(&toml), &network(), "rp-x-1");
        let told = plan.problem.unwrap_or_default();
        assert!(told.contains(words), "{overrides}: {told}");
        assert!(
            told.starts_with("rule \"r\": the policy's restore keys ask for "),
            "{told}"
        );
    }
    for good in [
        "AllocatedStorage = \"100\"",
        "AllocatedStorage = \"65536\"",
        "Port = \"5433\"",
    ] {
        let toml = format!("restore = {{ {good} }}");
        assert_eq!(
            plan(&gp3, &rule(&toml), &network(), "rp-x-1").problem,
            None,
            "{good}"
        );
    }
    // What is not known of the backup is no problem of the policy.
    let toml = "restore = { AllocatedStorage = \"20\" }";
    assert_eq!(
        plan(&stored(), &rule(toml), &network(), "rp-x-1").problem,
        None
    );
}

#[test]
fn storage_of_sql_server_is_the_backups() {
    let stored = stored_on("sqlserver-se", "io1", "100", "1000");
    let plan = plan(&stored, &rule(""), &network(), "rp-x-1");
    for key in ["AllocatedStorage", "Iops", "StorageType"] {
        assert_eq!(plan.keys[key].value, None, "{key}");
        assert!(plan.keys[key].reason.contains("SQL Server"), "{key}");
    }
}

#[test]
fn nothing_is_sent_that_aws_backup_does_not_document() {
    let mut stored = stored_on("mysql", "gp3", "400", "12000");
    stored.insert("NetworkType".to_owned(), "DUAL".to_owned());
    let plan = plan(&stored, &rule(""), &network(), "rp-x-1");
    for key in ["StorageThroughput", "NetworkType"] {
        assert_eq!(plan.keys[key].value, None);
        assert!(
            plan.keys[key].reason.contains("documents no such key"),
            "{key}"
        );
    }
}

#[test]
fn a_port_that_rds_refuses_is_left_out_with_the_reason() {
    for (port, sent) in [
        ("0", false),
        ("1149", false),
        ("65536", false),
        ("1150", true),
        ("65535", true),
    ] {
        let mut stored = stored();
        stored.insert("Port".to_owned(), port.to_owned());
        let plan = plan(&stored, &rule(""), &network(), "rp-x-1");
        assert_eq!(plan.keys["Port"].value.is_some(), sent, "{port}");
        assert!(sent || plan.keys["Port"].reason.contains("1150 to 65535"));
    }
    let mut stored = stored();
    stored.insert("Port".to_owned(), "0".to_owned());
    let overridden = plan(
        &stored,
        &rule("restore = { Port = \"5433\" }"),
        &network(),
        "rp-x-1",
    );
    assert_eq!(overridden.metadata()["Port"], "5433");
}

#[test]
fn the_sources_own_option_group_gives_way_to_its_engines_default() {
    let group = |engine: &str, version: &str, own: &str, toml: &str| {
        let mut stored = stored();
        for (key, value) in [
            ("Engine", engine),
            ("EngineVersion", version),
            ("optionGroupName", own),
        ] {
            stored.insert(key.to_owned(), value.to_owned());
        }
        stored.remove("OptionGroupName");
        let plan = plan(&stored, &rule(toml), &network(), "rp-x-1");
        plan.keys["OptionGroupName"].clone()
    };
    for (engine, version, default) in [
        ("mysql", "8.0.39", Some("default:mysql-8-0")),
        ("mysql", "8.4.3", Some("default:mysql-8-4")),
        ("mariadb", "10.11.9", Some("default:mariadb-10-11")),
        ("postgres", "16.4", Some("default:postgres-16")),
        ("postgres", "10.23", Some("default:postgres-10")),
        ("postgres", "9.6.24", Some("default:postgres-9-6")),
        (
            "oracle-ee",
            "19.0.0.0.ru-2024-10.rur-2024-10.r1",
            Some("default:oracle-ee-19"),
        ),
        (
            "oracle-se2",
            "12.2.0.1.ru-2021-01.rur-2021-01.r1",
            Some("default:oracle-se2-12-2"),
        ),
        (
            "sqlserver-se",
            "15.00.4415.2.v1",
            Some("default:sqlserver-se-15-00"),
        ),
        (
            "db2-se",
            "11.5.9.0.sb00000000.r1",
            Some("default:db2-se-11-5"),
        ),
        ("mysql", "8", None),
        ("mysql", "8.x", None),
        ("mysql", "", None),
        ("custom-oracle-ee", "19.my_cev1", None),
    ] {
        let planned = group(engine, version, "prod", "");
        assert_eq!(planned.value.as_deref(), default, "{engine} {version}");
        assert!(planned.reason.contains("bound to its account and VPC"));
        let unasked = group(engine, version, "default:any", "");
        assert_eq!(unasked.value, None);
    }
    let chosen = group(
        "mysql",
        "8.0.39",
        "prod",
        "restore = { OptionGroupName = \"of-ours\" }",
    );
    assert_eq!(chosen.value.as_deref(), Some("of-ours"));
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

/// A file of `tests/cases`.
fn case(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cases/");
    std::fs::read_to_string(format!("{folder}{name}")).expect("a case")
}

/// The plan for a case's restore metadata under the first rule of its policy.
fn plan_case(metadata: &str, policy: &str) -> Plan {
    let answer: serde_json::Value = serde_json::from_str(&case(metadata)).expect("JSON");
    let stored = serde_json::from_value(answer["RestoreMetadata"].clone()).expect("texts");
    let policy = crate::policy::parse(&case(policy)).expect("a policy");
    plan(&stored, &policy.rules[0], &network(), "rp-x-1")
}

#[test]
fn case_01_iops_of_an_io1_source_are_not_asked_for_of_gp3() {
    let plan = plan_case(
        "01-metadata-io1-source.json",
        "01-policy-cheaper-storage.toml",
    );
    assert_eq!(plan.problem, None);
    let metadata = plan.metadata();
    assert_eq!(metadata["StorageType"], "gp3");
    assert_eq!(metadata["AllocatedStorage"], "100");
    assert_eq!(metadata["DBInstanceClass"], "db.t4g.medium");
    for key in ["Iops", "StorageThroughput"] {
        assert!(!metadata.contains_key(key), "{key}");
    }
}

#[test]
fn case_02_a_smaller_disk_is_told_with_rule_and_key() {
    let plan = plan_case("01-metadata-io1-source.json", "02-policy-smaller-disk.toml");
    let told = plan.problem.expect("a problem");
    assert!(
        told.starts_with("rule \"smaller disk than the source\": ")
            && told.contains("AllocatedStorage = \"20\", less than the backup's"),
        "{told}"
    );
}

#[test]
fn case_06_a_parameter_group_of_the_sources_own_is_a_finding() {
    let plan = plan_case(
        "06-metadata-mysql-lower-case.json",
        "06-policy-mixed-case.toml",
    );
    assert!(plan.settings_differ);
    let told = plan.findings.join("\n");
    assert!(
        told.contains("shop-prod-lowercase") && told.contains("lower_case_table_names"),
        "{told}"
    );
    assert!(!plan.metadata().contains_key("DBParameterGroupName"));
}

#[test]
fn case_07_backup_retention_is_refused_with_the_reason() {
    let policy = case("07-policy-no-backup-of-the-copy.toml");
    let told = crate::policy::parse(&policy)
        .expect_err("a mistake")
        .to_string();
    assert!(
        told.contains(
            "BackupRetentionPeriod cannot be overridden: AWS Backup documents no such key"
        ),
        "{told}"
    );
}

#[test]
fn case_38_a_port_of_zero_is_left_out() {
    let plan = plan_case("38-metadata-port-zero.json", "00-policy-catch-all.toml");
    let port = &plan.keys["Port"];
    assert_eq!((port.value.as_deref(), plan.problem), (None, None));
    assert!(port.reason.contains("1150 to 65535"), "{}", port.reason);
}

/// The backup of an engine that had these groups.
fn grouped(
    engine: &str,
    version: &str,
    parameters: &str,
    options: &str,
) -> BTreeMap<String, String> {
    let mut stored = stored();
    for (key, value) in [
        ("Engine", engine),
        ("EngineVersion", version),
        ("DBParameterGroupName", parameters),
        ("OptionGroupName", options),
    ] {
        stored.insert(key.to_owned(), value.to_owned());
    }
    stored
}

#[test]
fn groups_of_the_source_are_told_unless_they_are_its_engines_or_the_rule_names_others() {
    let told = |stored: &BTreeMap<String, String>, toml: &str| {
        let plan = plan(stored, &rule(toml), &network(), "rp-x-1");
        assert_eq!(plan.problem, None, "{toml}");
        let named = ["DBParameterGroupName", "OptionGroupName"]
            .map(|key| plan.metadata().get(key).cloned());
        (plan.findings.len(), plan.settings_differ, named)
    };
    let text = |text: &str| Some(text.to_owned());
    let default = grouped("mysql", "8.4.3", "default.mysql8.4", "default:mysql-8-4");
    assert_eq!(told(&default, ""), (0, false, [None, None]));
    let own = grouped("mysql", "8.4.3", "orders", "audit");
    assert_eq!(told(&own, ""), (2, true, [None, text("default:mysql-8-4")]));
    let chosen = "rds = { parameter_group = \"ours\", option_group = \"our-audit\" }";
    assert_eq!(
        told(&own, chosen),
        (0, false, [text("ours"), text("our-audit")])
    );
    let overridden = "restore = { DBParameterGroupName = \"ours\" }";
    assert_eq!(
        told(&own, overridden),
        (1, false, [text("ours"), text("default:mysql-8-4")])
    );
}

#[test]
fn what_rds_refuses_for_the_backups_engine_is_a_problem_of_the_policy() {
    let postgres = grouped(
        "postgres",
        "16.4",
        "default.postgres16",
        "default:postgres-16",
    );
    for (toml, words) in [
        (
            "rds = { parameter_group = \"default.mysql8.0\" }",
            "its default is default.postgres16",
        ),
        (
            "restore = { DBParameterGroupName = \"default.postgres15\" }",
            "its default is default.postgres16",
        ),
        (
            "rds = { option_group = \"default:mysql-8-0\" }",
            "its default is default:postgres-16",
        ),
        (
            "restore = { LicenseModel = \"license-included\" }",
            "RDS takes postgresql-license for postgres",
        ),
        (
            "rds = { instance_class = \"db.serverless\" }",
            "only instances of an Aurora cluster have",
        ),
    ] {
        let plan = plan(&postgres, &rule(toml), &network(), "rp-x-1");
        let told = plan.problem.unwrap_or_default();
        assert!(told.contains(words), "{toml}: {told}");
        assert!(told.starts_with("rule \"r\": the policy"), "{told}");
    }
    for good in [
        "rds = { parameter_group = \"default.postgres16\", option_group = \"default:postgres-16\" }",
        "restore = { LicenseModel = \"postgresql-license\" }",
    ] {
        let plan = plan(&postgres, &rule(good), &network(), "rp-x-1");
        assert_eq!(plan.problem, None, "{good}");
    }
}

/// The source may have had it on or off.
#[test]
fn tokens_of_iam_are_taken_when_checks_log_in_by_one() {
    let check = "[[rules.checks]]\nname = \"c\"\nkind = \"sql\"\nquery = \"select 1\"\nexpect = { equals = 1 }";
    for (credentials, engine, version, sent, refused) in [
        ("{ secret = \"s\" }", "postgres", "16.4", "false", false),
        ("\"reset\"", "mysql", "8.4.3", "false", false),
        ("\"iam\"", "postgres", "16.4", "true", false),
        ("{ iam = \"a\" }", "mysql", "8.4.3", "true", false),
        ("\"iam\"", "mariadb", "10.11.9", "true", false),
        ("\"iam\"", "mariadb", "10.5.20", "true", true),
        ("\"iam\"", "oracle-ee", "19.0.0.0", "true", true),
        ("\"iam\"", "sqlserver-se", "15.00", "true", true),
        ("\"reset\"", "sqlserver-se", "15.00", "false", false),
        ("\"iam\"", "", "", "true", false),
    ] {
        for before in ["true", "false"] {
            let mut stored = grouped(engine, version, "", "");
            stored.insert(IAM_KEY.to_owned(), before.to_owned());
            let rule = rule(&format!("credentials = {credentials}\n{check}"));
            let plan = plan(&stored, &rule, &network(), "rp-x-1");
            assert_eq!(plan.metadata()[IAM_KEY], sent, "{credentials} {engine}");
            let told = plan.problem.unwrap_or_default();
            assert_eq!(told.contains("credentials of IAM"), refused, "{told}");
        }
    }
    let idle = plan(
        &stored(),
        &rule("credentials = \"iam\""),
        &network(),
        "rp-x-1",
    );
    assert_eq!(idle.metadata()[IAM_KEY], "false", "nothing logs in");
}

#[test]
fn an_engine_past_its_support_is_told_or_left_out_as_the_rule_says() {
    let old = grouped(
        "postgres",
        "12.19",
        "default.postgres12",
        "default:postgres-12",
    );
    let plan_of = |toml: &str| plan(&old, &rule(toml), &network(), "rp-x-1");
    let told = plan_of("");
    assert_eq!(told.left_out, None);
    assert!(
        told.findings[0].contains("postgres 12.19 ended on 2025-02-28")
            && told.findings[0].contains("Extended Support"),
        "{:?}",
        told.findings
    );
    let refused = plan_of("rds = { extended_support = false }");
    assert!(refused.findings.is_empty());
    let why = refused.left_out.expect("a reason");
    assert!(why.contains("extended_support = false"), "{why}");
    let young = grouped(
        "postgres",
        "16.4",
        "default.postgres16",
        "default:postgres-16",
    );
    let young = plan(
        &young,
        &rule("rds = { extended_support = false }"),
        &network(),
        "rp-x-1",
    );
    assert_eq!((young.left_out, young.findings), (None, Vec::new()));
}

#[test]
fn group_names_that_are_none_are_refused_with_the_policy() {
    for bad in ["", "-a", "1a", "a b", "a\\nb"] {
        let text = format!(
            "version = \"1\"\n[[rules]]\nname = \"r\"\nmatch = {{}}\nfrequency = \"daily\"\nrds.parameter_group = \"{bad}\"\n"
        );
        assert!(crate::policy::parse(&text).is_err(), "{bad:?}");
    }
}

#[test]
fn overrides_that_weaken_safety_are_refused() {
    let problem = |key: &str, value: &str| override_problem(Some(ResourceType::Rds), key, value);
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
    let problem = |key: &str, value: &str| override_problem(Some(ResourceType::Rds), key, value);
    for (key, good) in [
        ("Port", "1150"),
        ("Port", "65535"),
        ("AllocatedStorage", "1"),
        ("Iops", "3000"),
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
        ("DBInstanceClass", "t4g.medium", "begins with \"db.\""),
        ("StorageType", "", "StorageType is empty"),
    ] {
        let told = problem(key, bad).unwrap_or_default();
        assert!(told.contains(words), "{key} {bad:?}: {told}");
    }
}

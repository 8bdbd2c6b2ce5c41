use std::collections::BTreeMap;

use jiff::civil::{Date, date};

use super::*;
use crate::plan::{Network, Plan, Source, override_problem};
use crate::policy::{Limits, Policy};
use crate::resource_type::ResourceType;

const TODAY: Date = date(2026, 11, 28);

fn policy(toml: &str) -> Result<Policy, String> {
    let text = format!(
        "version = \"1\"\n[[rules]]\nname = \"r\"\nmatch = {{ resource_type = \"Aurora\" }}\nfrequency = \"daily\"\n{toml}"
    );
    crate::policy::parse(&text).map_err(|mistakes| mistakes.to_string())
}

/// What AWS Backup answers for a cluster of another account, as far as it is changed.
fn stored(changes: &[(&str, &str)]) -> Source {
    let mut metadata: BTreeMap<String, String> = [
        ("EngineVersion", "16.4"),
        ("KmsKeyId", "arn:aws:kms:eu-central-1:222233334444:key/1"),
        ("EngineMode", "provisioned"),
        ("AvailabilityZones", "[\"eu-central-1a\",\"eu-central-1b\"]"),
        ("Port", "5432"),
        ("DatabaseName", ""),
        ("DBSubnetGroupName", "prod-aurora"),
        ("VpcSecurityGroupIds", "[\"sg-prod\"]"),
        ("ScalingConfiguration", "null"),
        ("EnableIAMDatabaseAuthentication", "true"),
        ("DBClusterParameterGroupName", "prod-aurora-pg16"),
        ("copyTagsToSnapshot", "true"),
        ("Engine", "aurora-postgresql"),
        ("EnableCloudwatchLogsExports", "[\"postgresql\"]"),
        ("dbClusterIdentifier", "app-shared"),
        ("DBSnapshotIdentifier", "awsbackup:job-1"),
        ("aws:backup:request-id", "abc"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    for (key, value) in changes {
        metadata.insert((*key).to_owned(), (*value).to_owned());
    }
    Source {
        metadata,
        ..Source::default()
    }
}

fn plan(changes: &[(&str, &str)], toml: &str) -> Plan {
    let network = Network {
        db_subnet_group: "isolated".to_owned(),
        db_security_groups: vec!["sg-1".to_owned()],
        machine_subnet: "subnet-1".to_owned(),
        machine_security_groups: vec!["sg-2".to_owned()],
        volume_key_arn: None,
    };
    let rule = &policy(toml).expect("a policy").rules[0];
    let limits = Limits::default();
    let source = stored(changes);
    crate::plan::plan(
        ResourceType::Aurora,
        &source,
        rule,
        &limits,
        &network,
        "rp-x-1",
        TODAY,
    )
}

#[test]
fn only_allowed_keys_are_sent_and_safety_wins() {
    let sent = plan(&[], "");
    assert_eq!(sent.problem, None);
    let wanted = [
        ("CopyTagsToSnapshot", "false"),
        ("DBClusterIdentifier", "rp-x-1"),
        ("DBSubnetGroupName", "isolated"),
        ("EnableIAMDatabaseAuthentication", "false"),
        ("Engine", "aurora-postgresql"),
        ("EngineMode", "provisioned"),
        ("EngineVersion", "16.4"),
        ("Port", "5432"),
        ("VpcSecurityGroupIds", "[\"sg-1\"]"),
    ];
    let wanted = wanted.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(sent.metadata(), wanted.into());
    for key in [
        "AvailabilityZones",
        "KmsKeyId",
        "DBClusterParameterGroupName",
    ] {
        let left_out = &sent.keys[key];
        assert!(
            left_out.value.is_none() && left_out.reason.len() > 20,
            "{left_out:?}"
        );
    }
}

#[test]
fn other_engine_modes_and_ports_are_left_to_rds() {
    let sent = plan(&[("EngineMode", "parallelquery"), ("Port", "0")], "").metadata();
    assert!(!sent.contains_key("EngineMode") && !sent.contains_key("Port"));
    let sent = plan(&[("Port", "0")], "restore = { port = \"5433\" }").metadata();
    assert_eq!(sent["Port"], "5433");
}

#[test]
fn what_has_no_serverless_instances_is_a_problem_unless_the_rule_names_a_class() {
    let problem = |engine: &str, version: &str, toml: &str| {
        plan(&[("Engine", engine), ("EngineVersion", version)], toml).problem
    };
    let (mysql, postgres) = ("aurora-mysql", "aurora-postgresql");
    for (engine, version) in [
        (mysql, "5.7.mysql_aurora.2.11.4"),
        ("aurora", "5.6.mysql_aurora.1.23.4"),
        (postgres, "12.19"),
    ] {
        let told = problem(engine, version, "").unwrap_or_default();
        assert!(told.contains("has no db.serverless"), "{told}");
        let class = "aurora.instance_class = \"db.t3.medium\"";
        assert_eq!(problem(engine, version, class), None);
    }
    for (engine, version) in [
        (mysql, "8.0.mysql_aurora.3.05.2"),
        (postgres, "13.6"),
        (postgres, ""),
    ] {
        assert_eq!(problem(engine, version, ""), None, "{version}");
    }
    let first = plan(&[("EngineMode", "serverless")], "")
        .problem
        .unwrap_or_default();
    assert!(first.contains("Aurora Serverless v1"), "{first}");
}

#[test]
fn overrides_that_weaken_safety_are_refused() {
    let aurora = Some(ResourceType::Aurora);
    for (key, _) in FORBIDDEN {
        let told = override_problem(aurora, &key.to_lowercase(), "x").unwrap_or_default();
        assert!(told.contains("cannot be overridden"), "{key}: {told}");
    }
    for (key, value, _) in SAFETY {
        assert!(override_problem(aurora, key, value).is_some(), "{key}");
    }
    assert_eq!(override_problem(aurora, "Port", "5433"), None);
    assert!(override_problem(aurora, "Port", "80").is_some());
}

#[test]
fn the_rules_keys_are_read() {
    let read = |toml: &str| policy(toml).map(|policy| policy.rules[0].types.aurora.clone());
    assert_eq!(read(""), Ok(AuroraKeys::default()));
    let serverless = AuroraKeys {
        instance_class: "db.serverless".to_owned(),
        min_capacity: 2.0,
        max_capacity: 8.5,
        ..AuroraKeys::default()
    };
    assert_eq!(
        read("aurora = { min_capacity = 2, max_capacity = 8.5 }"),
        Ok(serverless)
    );
    let class = read("aurora = { instance_class = \"db.t4g.medium\" }").expect("a class");
    assert!(!class.is_serverless());
    for (toml, mistake) in [
        (
            "min_capacity = 0.3",
            "aurora.min_capacity: must be from 0 to 256 ACUs in steps of 0.5",
        ),
        ("min_capacity = -0.5", "aurora.min_capacity: must be from 0"),
        (
            "max_capacity = 0.5",
            "aurora.max_capacity: must be from 1 to 256",
        ),
        (
            "max_capacity = 256.5",
            "aurora.max_capacity: must be from 1 to 256",
        ),
        (
            "max_capacity = \"1\"",
            "aurora.max_capacity: must be a number",
        ),
        (
            "min_capacity = 2",
            "aurora.min_capacity: is more than max_capacity, 1",
        ),
        (
            "instance_class = \"t4g.medium\"",
            "aurora.instance_class: must be a DB instance class",
        ),
        (
            "instance_class = \"db.t4g.medium\", max_capacity = 4",
            "aurora.max_capacity: is for a writer of class db.serverless",
        ),
        ("max_acu = 4", "aurora.max_acu: unknown key"),
    ] {
        let told = read(&format!("aurora = {{ {toml} }}")).expect_err(toml);
        assert!(told.contains(mistake), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn a_writer_of_a_class_that_is_not_allowed_is_not_made() {
    let network = Network {
        db_subnet_group: "isolated".to_owned(),
        db_security_groups: vec!["sg-1".to_owned()],
        machine_subnet: "subnet-1".to_owned(),
        machine_security_groups: vec!["sg-2".to_owned()],
        volume_key_arn: None,
    };
    let policy = policy("").expect("a policy");
    let problem = |allowed: &str| {
        let limits = Limits {
            classes_allowed: vec![crate::policy::Glob::new(allowed).expect("a glob")],
            ..Limits::default()
        };
        let rule = &policy.rules[0];
        let aurora = ResourceType::Aurora;
        crate::plan::plan(
            aurora,
            &stored(&[]),
            rule,
            &limits,
            &network,
            "rp-x-1",
            TODAY,
        )
        .problem
    };
    assert_eq!(problem("db.serverless"), None);
    let told = problem("db.t4g.*").unwrap_or_default();
    assert!(
        told.contains("the class db.serverless is none of"),
        "{told}"
    );
}

#[test]
fn a_parameter_group_of_the_sources_own_is_told_unless_the_rule_names_one() {
    let own = [("DBClusterParameterGroupName", "prod-aurora-pg16")];
    let told = plan(&own, "");
    assert!(told.settings_differ);
    assert!(
        told.findings[0].contains("prod-aurora-pg16"),
        "{:?}",
        told.findings
    );
    let named = plan(&own, "aurora = { parameter_group = \"ours\" }");
    assert!(!named.settings_differ && named.findings.is_empty());
    assert_eq!(named.metadata()["DBClusterParameterGroupName"], "ours");
    let foreign = plan(
        &[],
        "aurora = { parameter_group = \"default.aurora-mysql8.0\" }",
    );
    assert!(
        foreign
            .problem
            .unwrap_or_default()
            .contains("default.aurora-postgresql16")
    );
}

#[test]
fn an_engine_past_its_support_is_told_or_left_out_as_the_rule_says() {
    let old = [
        ("EngineVersion", "13.9"),
        ("DBClusterParameterGroupName", "default.aurora-postgresql13"),
    ];
    let told = plan(&old, "");
    assert!(
        told.findings[0].contains("Extended Support"),
        "{:?}",
        told.findings
    );
    let refused = plan(&old, "aurora = { extended_support = false }");
    assert!(refused.left_out.is_some() && refused.findings.is_empty());
}

#[test]
fn tokens_of_iam_are_taken_when_checks_log_in_by_one() {
    let check = "[[rules.checks]]\nname = \"c\"\nkind = \"sql\"\nquery = \"select 1\"\nexpect = { equals = 1 }";
    for (engine, class, is_refused) in [
        ("aurora-postgresql", "db.serverless", false),
        ("aurora-postgresql", "db.t3.small", false),
        ("aurora-mysql", "db.t3.medium", false),
        ("aurora-mysql", "db.t3.small", true),
    ] {
        let toml =
            format!("credentials = \"iam\"\naurora = {{ instance_class = \"{class}\" }}\n{check}");
        let version = if engine == "aurora-mysql" {
            "8.0.mysql_aurora.3.08.0"
        } else {
            "16.4"
        };
        let plan = plan(&[("Engine", engine), ("EngineVersion", version)], &toml);
        assert_eq!(plan.metadata()[IAM_KEY], "true");
        assert_eq!(plan.problem.is_some(), is_refused, "{:?}", plan.problem);
    }
}

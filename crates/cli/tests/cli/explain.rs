//! `restore-proof policy explain`, `policy schema` and `completions` as people run them.

use crate::common::{Ran, file, root, run};
use serde_json::json;

const POLICY: &str = "examples/policy.toml";

/// Explains a sample event; more arguments behind it.
fn explain(event: &str, more: &[&str]) -> Ran {
    let event = format!("tests/events/{event}");
    let mut arguments = vec!["policy", "explain", POLICY, "--event", &event];
    arguments.extend(more);
    run(&arguments)
}

#[test]
fn the_rule_that_decides_is_named_and_why_the_others_do_not() {
    let ran = explain("copy-job-landed.json", &[]);
    ran.assert(
        0,
        &[
            "a copy has landed",
            "1. orders databases: does not match",
            "✗  source_arn     arn:aws:rds:eu-central-1:222233334444:db:orders is not like arn:aws:rds:*:*:db:orders-*",
            "✗  account        222233334444 is not 111122223333",
            "other RDS databases: matches",
            "other RDS databases, at most one copy a week of each resource",
            "PubliclyAccessible               false",
            "a copy of production is never reachable from the internet",
            "<isolated DB subnet group>",
            "get-recovery-point-restore-metadata --backup-vault-name central --recovery-point-arn arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-orders",
            "the verdict is `unchecked`, never `passed`",
        ],
    );
    assert!(!ran.out.contains('\u{1b}'), "no colours into a pipe");
}

/// What the function says of a point in an air-gapped vault, and of a continuous backup.
#[test]
fn what_this_version_does_not_restore_is_said_as_the_function_says_it() {
    let own = "arn:aws:backup:eu-central-1:111122223333:recovery-point";
    for (arn, words) in [
        (
            format!("{own}:55555555-2222-3333-4444-555555555555"),
            "air-gapped vault",
        ),
        (
            format!("{own}:continuous:db-abc-1a2b3c4d"),
            "restored to a point in time",
        ),
    ] {
        let wish =
            json!({ "validate": { "recovery_point_arn": arn, "backup_vault_name": "central" } });
        let event = file("not-restored.json", &wish.to_string());
        let source = "arn:aws:rds:eu-central-1:222233334444:db:shop";
        let given = [
            "--resource-type",
            "RDS",
            "--source-arn",
            source,
            "--no-tags",
            "--json",
        ];
        let arguments = [
            ["policy", "explain", POLICY, "--event", &event].as_slice(),
            &given,
        ]
        .concat();
        let document = run(&arguments).json();
        assert_eq!(document["outcome"], "not_tested", "{document:#}");
        let reason = document["left_out"].as_str().unwrap();
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn what_is_not_told_is_asked_for_and_not_guessed() {
    let source = "arn:aws:rds:eu-central-1:222233334444:db:orders-eu";
    let ran = explain("copy-job-landed.json", &["--source-arn", source]);
    ran.assert(
        3,
        &[
            "1. orders databases: may match",
            "it depends on tags.env",
            "--tag KEY=VALUE",
        ],
    );
    assert!(!ran.out.contains("sent to AWS Backup"), "{}", ran.out);
    let document = explain("copy-job-landed.json", &["--source-arn", source, "--json"]).json();
    assert_eq!(document["outcome"], "undecided");
    assert_eq!(document["missing"], json!(["tags.env"]));

    let none = explain(
        "copy-job-landed.json",
        &["--source-arn", source, "--no-tags"],
    );
    none.assert(
        0,
        &[
            "tag env        is not there; wanted: prod",
            "other RDS databases: matches",
        ],
    );
}

#[test]
fn every_key_of_the_request_has_its_reason_and_every_check_its_words() {
    let metadata = file(
        "metadata.json",
        r#"{ "RecoveryPointArn": "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-orders",
             "RestoreMetadata": { "DBInstanceClass": "db.r6g.4xlarge", "Engine": "postgres", "Port": "6000",
                                  "aws:backup:request-id": "abc" } }"#,
    );
    let more = [
        "--source-arn",
        "arn:aws:rds:eu-central-1:222233334444:db:orders-eu",
        "--tag",
        "env=prod",
        "--db-subnet-group",
        "rp-subnets",
        "--metadata",
        &metadata,
    ];
    explain("copy-job-landed.json", &more).assert(
        0,
        &[
            "Rule 1 decides: orders databases, every copy.",
            "db.t4g.medium                           the policy's rds.instance_class",
            "6000                                    clients find it where the source listened",
            "in the DB subnet group rp-subnets, not public",
            "aws:backup:request-id  not needed to restore",
            "select count(*) from order_lines l left join orders o on o.id = l.order_id where o.id is null",
            "must be equal to 0; within 2m",
            "secret restore-proof/orders-db of Secrets Manager",
            "recovered within 2h, data at most 15m old",
            "it is deleted, 4h later if its data is wrong",
        ],
    );
    let document = explain("copy-job-landed.json", &[&more[..], &["--json"]].concat()).json();
    assert_eq!(document["outcome"], "restored");
    assert_eq!(document["rule"]["name"], "orders databases");
    assert_eq!(document["rules"].as_array().unwrap().len(), 1);
    let keys = document["restore"]["keys"].as_array().unwrap();
    assert!(
        keys.iter()
            .all(|key| !key["reason"].as_str().unwrap().is_empty())
    );
    let key = |name: &str| &keys.iter().find(|key| key["key"] == name).unwrap()["value"];
    assert_eq!(key("DBSubnetGroupName"), "rp-subnets");
    assert!(key("aws:backup:request-id").is_null());
    assert_eq!(document["restore"]["missing"], json!([]));
    let target = document["restore"]["target_name"].as_str().unwrap();
    assert_eq!(key("DBInstanceIdentifier"), target);
    // The stack would call it the same: `restore-proof-r-<validation>-<attempt>`.
    assert!(target.starts_with("restore-proof-r-") && target.ends_with("-1") && target.len() == 38);
}

/// What RDS would refuse of this backup is said where the request is explained.
#[test]
fn an_override_that_this_backup_does_not_fit_is_said_beforehand() {
    let policy = file(
        "smaller-disk.toml",
        "version = \"1\"\n[[rules]]\nname = \"smaller disk\"\nmatch = { resource_type = \"RDS\" }\n\
         frequency = \"daily\"\nrestore = { AllocatedStorage = \"20\" }\n",
    );
    let asks = |gib: &str, more: &[&str]| {
        let metadata = file(
            &format!("{gib}-gib.json"),
            &json!({ "Engine": "mysql", "StorageType": "gp3", "AllocatedStorage": gib })
                .to_string(),
        );
        let event = "tests/events/copy-job-landed.json";
        let asked = [
            "policy",
            "explain",
            &policy,
            "--event",
            event,
            "--metadata",
            &metadata,
        ];
        run(&[&asked, more].concat())
    };
    asks("100", &[]).assert(
        0,
        &["Not restored: rule \"smaller disk\": the policy's restore keys ask for AllocatedStorage = \"20\", less than the backup's"],
    );
    let document = asks("100", &["--json"]).json();
    assert_eq!(document["outcome"], "inconclusive");
    let problem = document["restore"]["problem"].as_str().unwrap();
    assert!(problem.contains("no smaller disk"), "{problem}");
    let fits = asks("20", &["--json"]).json();
    assert_eq!(
        (&fits["outcome"], &fits["restore"]["problem"]),
        (&json!("restored"), &json!(null))
    );
}

/// What the copy does not have of its source, and what it costs beside the instance. PostgreSQL 12 is past its support.
#[test]
fn what_is_to_know_of_a_restore_is_said() {
    let metadata = json!({
        "Engine": "postgres", "EngineVersion": "12.19", "DBParameterGroupName": "shop-postgres12",
    });
    let metadata = file("past-support.json", &metadata.to_string());
    let asks = |name: &str, keys: &str, more: &[&str]| {
        let policy = file(
            name,
            &format!(
                "version = \"1\"\n[[rules]]\nname = \"all\"\nmatch = {{}}\nfrequency = \"daily\"\n{keys}\n"
            ),
        );
        let event = "tests/events/copy-job-landed.json";
        let asked = [
            "policy",
            "explain",
            &policy,
            "--event",
            event,
            "--metadata",
            &metadata,
        ];
        run(&[&asked, more].concat())
    };
    asks("told.toml", "", &[]).assert(
        0,
        &[
            "To know: the standard support of postgres 12.19 ended on 2025-02-28: RDS bills the restored copy for Extended Support",
            "To know: the source had a parameter group of its own, shop-postgres12",
        ],
    );
    let document = asks("told.toml", "", &["--json"]).json();
    assert_eq!(document["outcome"], "restored");
    assert_eq!(document["restore"]["findings"].as_array().unwrap().len(), 2);
    let refusing = "rds = { extended_support = false, parameter_group = \"ours\" }";
    let document = asks("refused.toml", refusing, &["--json"]).json();
    assert_eq!(document["outcome"], "not_tested");
    let why = document["restore"]["left_out"].as_str().unwrap();
    assert!(why.contains("extended_support = false"), "{why}");
    assert_eq!(document["restore"]["findings"], json!([]));
}

#[test]
fn limits_and_samples_are_explained() {
    let asks = |sample: &str, size: u64| {
        let name = format!("limits-{size}-{}.toml", sample.trim_end_matches('%'));
        let policy = file(
            &name,
            &format!(
                "version = \"1\"\n[limits]\nconcurrent_restores_by_type = {{ RDS = 2 }}\nlargest_size = \"500 GiB\"\n\
                 [[rules]]\nname = \"all\"\nmatch = {{}}\nfrequency = \"daily\"\nsample = \"{sample}\"\n"
            ),
        );
        let text = std::fs::read_to_string(root().join("tests/events/copy-job-landed.json"));
        let mut event: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
        event["detail"]["backupSizeInBytes"] = json!(size);
        let event = file(&format!("{name}.json"), &event.to_string());
        let ask = |more: &[&str]| {
            run(&[&["policy", "explain", &policy, "--event", &event], more].concat())
        };
        (ask(&[]), ask(&["--json"]).json())
    };
    let (ran, document) = asks("100%", 500 << 30);
    ran.assert(
        0,
        &[
            "at most one copy a day of each resource, of a sample of 100%",
            "at one time  2 of type RDS; never more than",
            "a larger recovery point than 500 GiB is not tested",
        ],
    );
    assert_eq!(
        (&document["outcome"], &document["left_out"]),
        (&json!("restored"), &json!(null))
    );
    assert_eq!(
        document["policy"]["limits"]["concurrent_restores_by_type"]["RDS"],
        2
    );
    let (ran, document) = asks("100%", (500 << 30) + 1);
    ran.assert(
        0,
        &[
            "Left out: the recovery point has 536870912001 bytes",
            "`not_tested`",
        ],
    );
    assert_eq!(document["outcome"], "not_tested");
    assert!(document["restore"].is_null());
    // This validation is not among the first of ten thousand.
    let (ran, document) = asks("0.01%", 1 << 30);
    ran.assert(
        0,
        &[
            "Left out: not drawn: the rule's sample is 0.01%",
            "`not_tested`",
        ],
    );
    assert!(
        document["left_out"].as_str().unwrap().contains("0.01%"),
        "{document}"
    );
}

#[test]
fn a_machine_is_explained_with_its_devices() {
    let more = [
        "--tag",
        "app=shop",
        "--device",
        "/dev/xvda",
        "--subnet",
        "subnet-7",
    ];
    explain("copy-job-ec2-landed.json", &more).assert(
        0,
        &[
            "shop machines: matches",
            "A new EC2 instance in the subnet subnet-7, without an instance profile.",
            "\"DeviceName\":\"/dev/xvda\"",
            "a request forged by the restored application gets no metadata",
            "GET / (home page): status 200, holds \"Welcome\", within 2000 ms",
            "port 22 takes connections and greets with text matching",
        ],
    );
}

#[test]
fn other_events_are_explained_too() {
    let asked = r#"{"validate":{"recovery_point_arn":"arn:aws:rds:eu-central-1:111122223333:snapshot:x","backup_vault_name":"central"}}"#;
    let asked = file("validate.json", asked);
    let arguments = ["policy", "explain", POLICY, "--event", &asked];
    run(&arguments).assert(
        3,
        &["Somebody asks for a validation", "give --resource-type"],
    );

    explain("backup-job-landed.json", &["--no-tags"]).assert(0, &["Backup job", "is complete"]);
    explain("notification-copy-job.json", &[]).assert(
        3,
        &[
            "Nothing but the id is trusted",
            "aws backup describe-copy-job --copy-job-id 0175DE71-5784-589F-D8AC-541ACCB4CAC8",
        ],
    );
    explain("copy-job-failed.json", &[]).assert(0, &["failed: there is no copy", "`copy_failed`"]);
    explain("copy-job-running.json", &[]).assert(0, &["The function does nothing about it"]);
    explain("restore-job-completed.json", &[]).assert(0, &["The ledger knows whether it is ours"]);
    explain("copy-job-ebs-landed.json", &[]).assert(
        0,
        &[
            "Left out: resources of type EBS are not validated",
            "No rule is asked",
        ],
    );
}

/// Whatever an event holds: an answer, in words and as JSON.
#[test]
fn every_sample_event_is_explained() {
    let folder = root().join("tests/events");
    let mut events = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".json") {
            let ran = explain(&name, &["--json"]);
            assert!([0, 3].contains(&ran.code), "{name}: {}", ran.all());
            assert!(ran.json()["event"].as_str().unwrap().len() > 20, "{name}");
            events += 1;
        }
    }
    assert!(events > 40, "{events} events");
}

#[test]
fn what_cannot_be_used_is_said_with_its_place() {
    let broken = [
        "policy",
        "explain",
        "tests/policy/twenty-mistakes.toml",
        "--event",
        "x",
    ];
    run(&broken).assert(
        2,
        &[
            "twenty-mistakes.toml:33:24:",
            "error: the policy tests/policy/twenty-mistakes.toml has 20 mistakes",
            "help: ",
        ],
    );
    let nothing = ["policy", "explain", POLICY, "--event", "nowhere.json"];
    run(&nothing).assert(2, &["cannot read the event nowhere.json: No such file"]);
    let no_json = ["policy", "explain", POLICY, "--event", POLICY];
    run(&no_json).assert(2, &["the event examples/policy.toml is not JSON"]);
    let other = r#"{ "RecoveryPointArn": "arn:other", "RestoreMetadata": {} }"#;
    let other = file("other-metadata.json", other);
    explain("copy-job-landed.json", &["--metadata", &other])
        .assert(2, &["is that of another recovery point, arn:other"]);

    let failed = run(&[&nothing[..], &["--json"]].concat());
    assert_eq!(failed.json()["exit_code"], 2);
    assert!(
        failed.json()["error"]
            .as_str()
            .unwrap()
            .contains("nowhere.json")
    );
}

#[test]
fn policies_are_checked_for_programs_too() {
    let files = [
        "policy",
        "check",
        "--json",
        POLICY,
        "tests/policy/twenty-mistakes.toml",
        "nowhere.toml",
    ];
    let ran = run(&files);
    assert_eq!((ran.code, ran.err.as_str()), (2, ""));
    let document = ran.json();
    assert_eq!(
        (&document["mistakes"], &document["unreadable"]),
        (&json!(20), &json!(1))
    );
    assert_eq!(document["files"][0]["ok"], true);
    assert_eq!(document["files"][0]["rules"][0]["name"], "orders databases");
    assert_eq!(
        document["files"][1]["mistakes"].as_array().unwrap().len(),
        20
    );
    assert!(document["files"][2]["error"].is_string());
}

#[test]
fn the_schema_is_json() {
    let ran = run(&["policy", "schema"]);
    assert_eq!(ran.code, 0);
    let schema = ran.json();
    assert!(
        schema["$schema"].is_string() && schema["properties"]["rules"].is_object(),
        "{schema}"
    );
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        run(&["completions", shell]).assert(0, &["explain", "backed-up-at"]);
    }
    run(&["completions", "tcsh"]).assert(2, &["possible values"]);
}

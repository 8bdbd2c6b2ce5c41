//! `restore-proof runbook` as people run it.

use restore_proof_local_aws::{World, WorldOptions, serve};
use restore_proof_tests::{BUCKET, Scene, UNCHECKED};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{self, Ran};
use crate::report::{folder, record};

/// A record of a restore that passed, with its request.
fn proof(id: &str, resource: &str, day: u8) -> Value {
    let request = json!([
        { "key": "DBInstanceIdentifier", "proved_with": "restore-proof-r-0123456789abcdef0123-1",
          "recovery": "<name of the restored database>", "why": "it takes a new name" },
        { "key": "MultiAZ", "proved_with": "false", "recovery": "true", "why": "the source's setting" },
        { "key": "BackupRetentionPeriod", "proved_with": null, "recovery": null, "why": "set it afterwards; the source had 14" },
    ]);
    record(
        id,
        resource,
        day,
        json!({
            "attempt": 1, "restore_request": request, "restore_region": "eu-central-1", "restore_account": "111122223333",
            "restore_duration": 8.0, "preparation_duration": 1.5, "first_check_duration": 0.5,
            "checks": [{ "name": "orders are there", "kind": "sql", "outcome": "passed", "expectation": "at least 1", "duration": 0.5 }],
            "findings": ["the engine is past its support"],
        }),
    )
}

fn arn(resource: &str) -> String {
    format!("arn:aws:rds:eu-central-1:222233334444:db:{resource}")
}

fn runbook(folder: &TempDir, options: &[&str]) -> Ran {
    let of = ["runbook", "--records", folder.path().to_str().unwrap()];
    common::run(&[&of, options].concat())
}

/// The newest proof counts, in whatever order the records come, and nothing else does.
#[test]
fn a_resources_runbook_is_that_of_its_newest_proof() {
    let records = [
        proof("b1", "orders", 3),
        proof("a1", "orders", 10),
        record("c1", "orders", 20, json!({ "verdict": "failed" })),
        record("d1", "orders", 21, json!({ "proof": "read" })),
        proof("e1", "billing", 22),
    ];
    let shown = runbook(&folder(&records), &[&arn("orders")]);
    shown.assert(
        0,
        &[
            "# Runbook: restore arn:aws:rds:eu-central-1:222233334444:db:orders",
            "| proved by | validation a1, attempt 1 |",
            "| record | records/dt=2026-11-10/a1.json |",
            "export AWS_REGION=eu-central-1",
            "\"DBInstanceIdentifier\": \"<name of the restored database>\"",
            "\"MultiAZ\": \"true\"",
            "--recovery-point-arn arn:aws:rds:eu-central-1:111122223333:snapshot:a1",
            "--iam-role-arn '<ARN of a restore role of yours>'",
            "aws rds wait db-instance-available",
            "| orders are there | sql | at least 1 | 30 s |",
            "| MultiAZ | false | true | the source's setting |",
            "| BackupRetentionPeriod | left out | left out | set it afterwards; the source had 14 |",
            "| restore job | 8.0 min |",
            "| recovery time: all three | 12.5 min |",
            "## What the restore does not bring back",
            "- **Streams.**",
            "- the engine is past its support",
        ],
    );
    assert!(
        !shown.out.contains("BackupRetentionPeriod\":"),
        "{}",
        shown.out
    );
}

#[test]
fn all_resources_are_written_into_a_folder() {
    let records = [proof("a1", "orders", 3), proof("e1", "billing", 22)];
    let folder = folder(&records);
    let several = runbook(&folder, &[]);
    several.assert(
        2,
        &["there are 2 resources", "db:billing", "--output FOLDER"],
    );
    let to = tempfile::tempdir().unwrap();
    let to_path = to.path().join("books");
    let written = runbook(&folder, &["--output", to_path.to_str().unwrap()]);
    written.assert(0, &["2 runbooks in "]);
    let mut files: Vec<String> = std::fs::read_dir(&to_path)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert!(
        files[0].starts_with("billing-") && files[1].starts_with("orders-"),
        "{files:?}"
    );
    let text = std::fs::read_to_string(to_path.join(&files[1])).unwrap();
    assert!(text.contains("validation a1"), "{text}");
    let json = runbook(&folder, &["--json"]);
    let told: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(told["runbooks"][1]["resource"], json!(arn("orders")));
    assert_eq!(
        told["runbooks"][1]["record"],
        "records/dt=2026-11-03/a1.json"
    );
}

/// A record of an older version does not say what the request was; the rest it does.
#[test]
fn an_older_record_says_what_is_missing() {
    let folder = folder(&[record("a1", "orders", 3, json!({}))]);
    runbook(&folder, &[&arn("orders")]).assert(
        0,
        &[
            "an older version of Restore Proof wrote it",
            "aws backup get-recovery-point-restore-metadata --backup-vault-name central",
            "| recovery time: all three | 12.5 min |",
        ],
    );
}

#[test]
fn what_was_never_proved_has_no_runbook() {
    let records = folder(&[record("a1", "orders", 3, json!({ "verdict": "failed" }))]);
    let none = runbook(&records, &[&arn("orders")]);
    none.assert(3, &["no record of arn:aws:rds:eu-central-1:222233334444:db:orders is of a restore that passed"]);
    assert_eq!(none.out, "");
    runbook(&records, &[]).assert(3, &["no record is of a restore that passed"]);
    std::fs::write(records.path().join("x.json"), "{").unwrap();
    runbook(&records, &[]).assert(3, &["not read: ", "is no record"]);
    let missing = common::run(&["runbook", "--records", "/nowhere"]);
    missing.assert(2, &["cannot read /nowhere"]);
}

/// Names and values come from AWS and from policies: they end no table, no block and no command.
#[test]
fn what_a_record_says_is_text_and_one_word() {
    let mut hostile = proof("a1", "orders", 3);
    hostile["recovery_point_arn"] = json!("arn:$(touch /tmp/x)\n```\nrm -rf ~");
    hostile["backup_vault_name"] = json!("`id`'; id");
    hostile["restore_request"][1]["recovery"] = json!("true\nEND\nrm -rf ~\n");
    hostile["checks"][0]["name"] = json!("a|b\n<img src=x>");
    let shown = runbook(&folder(&[hostile]), &[&arn("orders")]);
    shown.assert(
        0,
        &[
            "'arn:$(touch /tmp/x) ``` rm -rf ~'",
            "a\\|b &lt;img src=x&gt;",
        ],
    );
    for line in shown.out.lines() {
        assert!(!line.starts_with("rm "), "{line}");
    }
    assert_eq!(shown.out.lines().filter(|line| *line == "END").count(), 1);
    assert!(
        shown.out.contains("true\\u000aEND\\u000arm"),
        "{}",
        shown.out
    );
}

/// The report leads to it.
#[test]
fn a_report_says_how_to_get_the_runbook() {
    let folder = folder(&[proof("a1", "orders", 10)]);
    let of = [
        "report",
        "--records",
        folder.path().to_str().unwrap(),
        "--to",
        "2026-11-30",
    ];
    let told = common::run(&[&of[..], &["--form", "json"]].concat());
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let proof = &told["resources"][0]["proof"];
    assert_eq!(proof["record_key"], "records/dt=2026-11-10/a1.json");
    let command = format!("restore-proof runbook --since 2026-11-10 {}", arn("orders"));
    assert_eq!(proof["runbook"], json!(command));
    let page = common::run(&[&of[..], &["--form", "html"]].concat());
    page.assert(0, &[&command, "records/dt=2026-11-10/a1.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_read_from_the_deployed_functions_bucket() {
    let scene = Scene::set(UNCHECKED).await;
    let options = WorldOptions {
        s3_list_permission: true,
        ..WorldOptions::default()
    };
    let bucket = World::new(options);
    let text = format!("{}\n", proof("a1", "orders", 10));
    bucket.put_object(BUCKET, "records/dt=2026-11-10/a1.json", text);
    let s3 = serve(bucket, ([127, 0, 0, 1], 0).into()).await.unwrap();
    for (from, code, said) in [
        (["--since", "2026-11-01"], 0, "validation a1, attempt 1"),
        (["--since", "2026-11-11"], 3, "is of a restore that passed"),
        (["--bucket", "nobodys"], 4, "there is no bucket nobodys"),
    ] {
        let mut program = common::program(&[&["runbook", &arn("orders")], &from[..]].concat());
        program.env("AWS_ENDPOINT_URL_S3", s3.url());
        crate::validate::ran(&scene, program)
            .await
            .assert(code, &[said]);
    }
}

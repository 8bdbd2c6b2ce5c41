//! What arrives from outside: documented events, their quirks, and what nobody should send.
//!
//! Each JSON file beside this one is an event as EventBridge delivers it. Four are samples of the AWS Backup developer
//! guide ("Monitoring AWS Backup events using EventBridge"), with their 13-digit accounts; the others follow its tables and
//! events that were captured.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use restore_proof_core::event::{self, CopyState, Sweep, Trigger};
use restore_proof_local_aws::{Fault, Times};
use restore_proof_tests::{LEDGER, Scene, UNCHECKED, root};
use serde_json::{Value, json};

/// Every file, and what it is read as.
const FILES: [(&str, &str); 31] = [
    ("backup-job-completed", "ignored: events \"Backup Job"),
    ("copy-job-another-account", "copy completed"),
    ("copy-job-another-region", "copy completed"),
    ("copy-job-completed", "copy completed"),
    (
        "copy-job-completed-without-copy",
        "ignored: the copy job is COMPLETED but names no",
    ),
    (
        "copy-job-created",
        "ignored: the copy job has not ended: CREATED",
    ),
    (
        "copy-job-detail-is-text",
        "ignored: the copy job event names no state",
    ),
    ("copy-job-failed", "copy failed"),
    (
        "copy-job-failed-of-nothing",
        "ignored: the failed copy job has neither",
    ),
    ("copy-job-landed", "copy completed"),
    ("copy-job-landed-size-as-text", "copy completed"),
    ("copy-job-landed-wrong-types-around", "copy completed"),
    (
        "copy-job-of-somebody-else",
        "ignored: the event is not from aws.backup",
    ),
    ("copy-job-partial", "copy partial"),
    (
        "copy-job-running",
        "ignored: the copy job has not ended: RUNNING",
    ),
    ("copy-job-vault-not-an-arn", "copy completed"),
    ("copy-job-vault-without-name", "copy completed"),
    (
        "copy-job-without-detail",
        "ignored: the copy job event names no state",
    ),
    (
        "copy-job-wrong-types",
        "ignored: the copy job event names no state",
    ),
    ("not-an-object", "ignored: the payload is not a JSON object"),
    (
        "recovery-point-completed",
        "ignored: events \"Recovery Point",
    ),
    ("restore-job-aborted", "restore"),
    ("restore-job-completed", "restore"),
    (
        "restore-job-created",
        "ignored: the restore job has not ended: CREATED",
    ),
    ("restore-job-dynamodb-fully-managed", "restore"),
    ("restore-job-ec2-of-2023", "restore"),
    ("restore-job-failed", "restore"),
    (
        "restore-job-running",
        "ignored: the restore job has not ended: RUNNING",
    ),
    (
        "restore-job-without-id",
        "ignored: the restore job event names no restoreJobId",
    ),
    (
        "restore-job-wrong-status",
        "ignored: the restore job event names no status",
    ),
    (
        "scheduled-event",
        "ignored: the event is not from aws.backup",
    ),
];

fn folder() -> PathBuf {
    root().join("tests/events")
}

fn fixture(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What a payload is read as, in the words of [`FILES`].
fn read(payload: &Value) -> String {
    match event::read(payload) {
        Trigger::Copy(copy) => match copy.state {
            CopyState::Completed => "copy completed".to_owned(),
            CopyState::Failed => "copy failed".to_owned(),
            CopyState::Partial => "copy partial".to_owned(),
        },
        Trigger::Restore(_) => "restore".to_owned(),
        Trigger::Sweep(Sweep::Due) => "sweep due".to_owned(),
        Trigger::Sweep(Sweep::Lost) => "sweep lost".to_owned(),
        Trigger::Advance { .. } => "advance".to_owned(),
        Trigger::Validate(_) => "validate".to_owned(),
        Trigger::Ignored(reason) => format!("ignored: {reason}"),
    }
}

/// The ledger holds no validation, and nothing was asked of AWS that changes anything.
fn assert_nothing_opened(scene: &Scene, what: &str) {
    assert!(scene.world.table_items(LEDGER).is_empty(), "{what}");
    let changed: Vec<_> = scene
        .world
        .calls()
        .iter()
        .filter(|call| call.mutating)
        .map(|call| call.name())
        .collect();
    assert!(changed.is_empty(), "{what}: {changed:?}");
}

/// Invokes with a fixture and closes the validation it opened. Answers the record.
async fn record_of(scene: &Scene, name: &str) -> Value {
    let answer = scene.invoke(fixture(name)).await;
    let id = answer["validation_id"].as_str().unwrap();
    scene.close(id).await
}

#[test]
fn every_file_is_read_as_expected() {
    let mut there: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    there.sort();
    assert_eq!(there, FILES.map(|(name, _)| name.to_owned()));
    for (name, wanted) in FILES {
        let is = read(&fixture(name));
        assert!(is.starts_with(wanted), "{name} is {is:?}, not {wanted:?}");
    }
}

#[test]
fn all_of_a_landed_copy_is_read() {
    for name in ["copy-job-landed", "copy-job-landed-size-as-text"] {
        let Trigger::Copy(copy) = event::read(&fixture(name)) else {
            panic!("{name} is no copy");
        };
        assert_eq!(copy.size_bytes, Some(3_221_225_472), "{name}");
        assert_eq!(
            copy.copy_job_id.as_deref(),
            Some("0175DE71-5784-589F-D8AC-541ACCB4CAC8")
        );
        assert_eq!(
            copy.completed_at.map(|at| at.to_string()).as_deref(),
            Some("2020-07-15T22:07:58.111Z")
        );
        assert_eq!(copy.resource_type.as_deref(), Some("RDS"));
        assert_eq!(
            copy.source_recovery_point_arn.as_deref(),
            Some("arn:aws:rds:eu-central-1:222233334444:snapshot:awsbackup:job-orders")
        );
    }
    let Trigger::Copy(copy) = event::read(&fixture("copy-job-failed")) else {
        panic!("it is no copy");
    };
    assert_eq!(copy.recovery_point_arn, None, "{{}} is no ARN");
}

/// Whatever stands in the place of any one value, reading it ends in a trigger.
#[test]
fn no_value_of_any_file_can_be_replaced_so_that_reading_panics() {
    let strange = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(1.5e300),
        json!(""),
        json!("é\u{0}\n"),
        json!("x".repeat(10_000)),
        json!([]),
        json!({}),
        json!([[{}]]),
    ];
    for (name, _) in FILES {
        let event = fixture(name);
        let mut paths = Vec::new();
        collect(&event, String::new(), &mut paths);
        for path in paths {
            for value in &strange {
                let mut changed = event.clone();
                *changed.pointer_mut(&path).unwrap() = value.clone();
                read(&changed);
            }
        }
    }
}

fn collect(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                collect(inner, format!("{path}/{key}"), paths);
            }
        }
        Value::Array(array) => {
            for (index, inner) in array.iter().enumerate() {
                collect(inner, format!("{path}/{index}"), paths);
            }
        }
        _ => {}
    }
    paths.push(path);
}

#[tokio::test]
async fn what_is_ignored_succeeds_and_opens_nothing() {
    let scene = Scene::set(UNCHECKED).await;
    let ignored = FILES
        .iter()
        .filter(|(_, wanted)| wanted.starts_with("ignored") || *wanted == "restore")
        .map(|(name, _)| *name)
        .chain(["copy-job-vault-not-an-arn", "copy-job-vault-without-name"]);
    for name in ignored {
        let answer = scene.try_invoke(fixture(name)).await.unwrap();
        assert!(answer["ignored"].is_string(), "{name}: {answer}");
        assert_nothing_opened(&scene, name);
    }
}

#[tokio::test]
async fn payloads_that_are_no_events_are_ignored() {
    let scene = Scene::set(UNCHECKED).await;
    let id = "0123456789abcdef0123";
    let point = "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-1";
    for payload in [
        json!(null),
        json!(true),
        json!(7),
        json!("sweep"),
        json!([]),
        json!([{ "sweep": "due" }]),
        json!({}),
        json!({ "Records": [{ "Sns": { "Message": "An AWS Backup job was completed" } }] }),
        json!({ "detail-type": null }),
        json!({ "detail-type": "Copy Job State Change" }),
        json!({ "detail-type": "Copy Job State Change", "source": ["aws.backup"] }),
        json!({ "sweep": "all" }),
        json!({ "sweep": null }),
        json!({ "sweep": "due", "advance": { "validation_id": id } }),
        json!({ "advance": {} }),
        json!({ "advance": id }),
        json!({ "advance": { "validation_id": "" } }),
        json!({ "validate": {} }),
        json!({ "validate": point }),
        json!({ "validate": { "recovery_point_arn": point } }),
        json!({ "validate": { "recovery_point_arn": 7, "backup_vault_name": "central" } }),
        json!({ "validate": { "recovery_point_arn": "", "backup_vault_name": "central" } }),
        json!({ "validate": { "recovery_point_arn": point, "backup_vault_name": "" } }),
        json!({ "validate": { "recovery_point_arn": point, "backup_vault_name": "central", "when": "now" } }),
    ] {
        let what = payload.to_string();
        let answer = scene.try_invoke(payload).await.unwrap();
        assert!(answer["ignored"].is_string(), "{what}: {answer}");
        assert_nothing_opened(&scene, &what);
    }
}

#[tokio::test]
async fn a_copy_in_another_account_or_region_is_recorded_and_never_restored() {
    for name in [
        "copy-job-completed",
        "copy-job-another-account",
        "copy-job-another-region",
    ] {
        let scene = Scene::set(UNCHECKED).await;
        let record = record_of(&scene, name).await;
        assert_eq!(record["verdict"], "not_tested", "{name}");
        assert_eq!(record["cleanup"], "nothing_to_delete");
        let arn = &fixture(name)["detail"]["destinationRecoveryPointArn"];
        assert_eq!(record["recovery_point_arn"], *arn);
        let asked: Vec<_> = scene
            .world
            .calls()
            .into_iter()
            .filter(|call| call.service == "Backup" || call.service == "RDS")
            .map(|call| call.name())
            .collect();
        assert!(asked.is_empty(), "{name}: {asked:?}");
    }
}

/// The account that the event comes from does not matter: source accounts forward theirs.
#[tokio::test]
async fn a_copy_that_landed_here_is_validated_whoever_tells() {
    for name in [
        "copy-job-landed",
        "copy-job-landed-size-as-text",
        "copy-job-landed-wrong-types-around",
    ] {
        let scene = Scene::set(UNCHECKED).await;
        scene.add(scene.point("orders"));
        let record = record_of(&scene, name).await;
        assert_eq!(
            (&record["verdict"], &record["cleanup"]),
            (&json!("unchecked"), &json!("deleted")),
            "{name}"
        );
        assert_eq!(record["source_account"], "222233334444");
        scene.assert_clean();
    }
}

#[tokio::test]
async fn copies_that_failed_are_recorded_with_the_words_of_aws() {
    let scene = Scene::set(UNCHECKED).await;
    let record = record_of(&scene, "copy-job-failed").await;
    assert_eq!(record["verdict"], "copy_failed");
    let reason = record["verdict_reason"].as_str().unwrap();
    assert!(reason.contains("list tags"), "{reason}");
    assert_eq!(
        record["recovery_point_arn"],
        "arn:aws:rds:eu-central-1:222233334444:snapshot:awsbackup:job-orders",
        "there is no other"
    );
    let scene = Scene::set(UNCHECKED).await;
    let record = record_of(&scene, "copy-job-partial").await;
    assert_eq!(record["verdict"], "copy_failed");
}

/// What AWS Backup does not take for a recovery point is not asked for for ever.
#[tokio::test]
async fn a_recovery_point_that_aws_refuses_to_describe_ends_in_a_record() {
    let scene = Scene::set(UNCHECKED).await;
    let refused = Fault::error("InvalidParameterValueException", 400).times(Times::Forever);
    scene
        .world
        .faults()
        .fail("Backup.DescribeRecoveryPoint", refused);
    let wish = json!({ "validate": { "recovery_point_arn": "the latest", "backup_vault_name": "central" } });
    let answer = scene.try_invoke(wish).await.unwrap();
    let record = scene.close(answer["validation_id"].as_str().unwrap()).await;
    assert_eq!(record["verdict"], "not_tested");
    let reason = record["verdict_reason"].as_str().unwrap();
    assert!(
        reason.contains("InvalidParameterValueException"),
        "{reason}"
    );
}

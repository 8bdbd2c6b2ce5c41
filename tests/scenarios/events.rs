//! What arrives from outside: documented events, their quirks, and what nobody should send.
//!
//! Each JSON file beside this one is an event as EventBridge delivers it, or a notification as SNS does. Five are samples
//! of the AWS Backup developer guide ("Monitoring AWS Backup events using EventBridge", with their 13-digit accounts, and
//! "Notification options with AWS Backup"); the others follow its tables and events that were captured.

use std::path::PathBuf;

use restore_proof_core::event::{
    self, BackupJobEvent, BackupState, CopyState, JobRef, Sweep, Trigger,
};
use restore_proof_core::validation::Validation;
use restore_proof_local_aws::{Fault, RecoveryPoint, Times};
use restore_proof_tests::{LEDGER, PREFIX, SOURCE_ACCOUNT, Scene, UNCHECKED, root};
use serde_json::{Value, json};

/// Every file, and what it is read as.
const FILES: [(&str, &str); 66] = [
    (
        "backup-job-aborted",
        "ignored: the backup job is ABORTED: there is no recovery point",
    ),
    ("backup-job-another-account", "backup completed"),
    ("backup-job-another-region", "backup completed"),
    ("backup-job-completed", "backup completed"),
    ("backup-job-completed-with-issues", "backup completed"),
    (
        "backup-job-created",
        "ignored: the backup job has not ended: CREATED",
    ),
    (
        "backup-job-expired",
        "ignored: the backup job is EXPIRED: there is no recovery point",
    ),
    (
        "backup-job-failed",
        "ignored: the backup job is FAILED: there is no recovery point",
    ),
    ("backup-job-landed", "backup completed"),
    ("backup-job-of-copies-vault", "backup completed"),
    ("backup-job-partial", "backup partial"),
    (
        "backup-job-running",
        "ignored: the backup job has not ended: RUNNING",
    ),
    ("backup-job-vault-not-an-arn", "backup completed"),
    (
        "backup-job-without-recovery-point",
        "ignored: the backup job event names no recovery point",
    ),
    (
        "backup-job-without-vault",
        "ignored: the backup job event names no backupVaultArn",
    ),
    (
        "backup-job-wrong-types",
        "ignored: the backup job event names no state",
    ),
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
    ("copy-job-ebs-landed", "copy completed"),
    ("copy-job-ec2-landed", "copy completed"),
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
        "notification-backup-job",
        "notified: backup 1b2345b2-f22c-4dab-5eb6-bbc7890ed123",
    ),
    (
        "notification-copy-job",
        "notified: copy 0175DE71-5784-589F-D8AC-541ACCB4CAC8",
    ),
    (
        "notification-copy-job-successful",
        "notified: copy 0175DE71-5784-589F-D8AC-541ACCB4CAC8",
    ),
    (
        "notification-id-is-none",
        "ignored: \"../backup-jobs/AB123456-78C9-0123-456D-789012E34567\" is no id",
    ),
    (
        "notification-not-from-sns",
        "ignored: the record is not from SNS",
    ),
    (
        "notification-of-a-lookalike",
        "ignored: notifications \"COPY_JOBS\" are not used",
    ),
    (
        "notification-of-prose",
        "ignored: the notification has no attributes EventType and Id",
    ),
    (
        "notification-of-something-else",
        "ignored: notifications \"RECOVERY_POINT_MODIFIED\" are not used",
    ),
    (
        "notification-records-not-a-list",
        "ignored: Records is no list",
    ),
    (
        "notification-restore-job",
        "notified: restore AB123456-78C9-0123-456D-789012E34567",
    ),
    (
        "notification-several-jobs",
        "notified: copy 0175DE71-5784-589F-D8AC-541ACCB4CAC8, backup a827233a-d405-4a86-a440-759fa94f34dd, restore AB123456-78C9-0123-456D-789012E34567",
    ),
    (
        "notification-without-records",
        "ignored: the notification holds no records",
    ),
    (
        "notification-wrong-types",
        "ignored: the notification has no attributes EventType and Id",
    ),
    ("recovery-point-available", "recovery point"),
    ("recovery-point-completed", "recovery point"),
    (
        "recovery-point-creating",
        "ignored: the recovery point is not there: CREATING",
    ),
    ("recovery-point-landed", "recovery point"),
    ("recovery-point-partial", "recovery point"),
    (
        "recovery-point-without-arn",
        "ignored: the recovery point event names no recovery point",
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

/// A record of a notification about a job.
fn notification(kind: &str, id: &str) -> Value {
    json!({
        "EventSource": "aws:sns",
        "Sns": {
            "Message": "An AWS Backup job was completed successfully.",
            "MessageAttributes": {
                "EventType": { "Type": "String", "Value": kind },
                "Id": { "Type": "String", "Value": id },
            },
        },
    })
}

/// What a payload is read as, in the words of [`FILES`].
fn read(payload: &Value) -> String {
    match event::read(payload) {
        Trigger::Copy(copy) => match copy.state {
            CopyState::Completed => "copy completed".to_owned(),
            CopyState::Failed => "copy failed".to_owned(),
            CopyState::Partial => "copy partial".to_owned(),
        },
        Trigger::Backup(backup) => match backup.state {
            BackupState::Completed => "backup completed".to_owned(),
            BackupState::Partial => "backup partial".to_owned(),
        },
        Trigger::RecoveryPoint(_) => "recovery point".to_owned(),
        Trigger::Restore(_) => "restore".to_owned(),
        Trigger::Notified(jobs) => {
            let words: Vec<_> = jobs
                .iter()
                .map(|job| match job {
                    JobRef::Copy(id) => format!("copy {id}"),
                    JobRef::Backup(id) => format!("backup {id}"),
                    JobRef::Restore(id) => format!("restore {id}"),
                })
                .collect();
            format!("notified: {}", words.join(", "))
        }
        Trigger::Sweep(Sweep::Due) => "sweep due".to_owned(),
        Trigger::Sweep(Sweep::Lost) => "sweep lost".to_owned(),
        Trigger::Advance { .. } => "advance".to_owned(),
        Trigger::Validate(_) => "validate".to_owned(),
        Trigger::Show { .. } => "show".to_owned(),
        Trigger::Pause(_) => "pause".to_owned(),
        Trigger::Resume => "resume".to_owned(),
        Trigger::Status => "status".to_owned(),
        Trigger::Doctor => "doctor".to_owned(),
        Trigger::Report(rhythm) => format!("report {}", rhythm.as_str()),
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

#[test]
fn all_of_a_backup_is_read() {
    let Trigger::Backup(backup) = event::read(&fixture("backup-job-completed-with-issues")) else {
        panic!("it is no backup");
    };
    assert_eq!(
        backup,
        BackupJobEvent {
            account: Some("111122223333".to_owned()),
            state: BackupState::Completed,
            backup_job_id: Some("a827233a-d405-4a86-a440-759fa94f34dd".to_owned()),
            vault_arn: "arn:aws:backup:eu-central-1:111122223333:backup-vault:local".to_owned(),
            recovery_point_arn:
                "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:job-stock".to_owned(),
            resource_arn: Some("arn:aws:rds:eu-central-1:111122223333:db:stock".to_owned()),
            resource_type: Some("RDS".to_owned()),
            size_bytes: Some(36048),
            status_message: Some(
                "The backup job completed successfully, but some attributes could not be backed up"
                    .to_owned()
            ),
        }
    );
}

/// SNS delivers one record at a time; a payload of many is somebody's own, and every job in it is named once.
#[test]
fn many_records_are_read_and_no_job_twice() {
    let many: Vec<_> = (0..1000)
        .map(|number| notification("BACKUP_JOB", &format!("job-{}", number % 500)))
        .collect();
    match event::read(&json!({ "Records": many })) {
        Trigger::Notified(jobs) => assert_eq!(jobs.len(), 500),
        other => panic!("{other:?}"),
    }
    let mut nested = json!({});
    for _ in 0..100 {
        nested = json!({ "Records": [nested], "Sns": { "MessageAttributes": [] }, "EventSource": "aws:sns" });
    }
    assert!(matches!(event::read(&nested), Trigger::Ignored(_)));
}

/// Images and snapshots of EC2 name no account: that of the source comes from the resource.
#[test]
fn copies_of_machines_and_volumes_are_known_by_the_whole_arn() {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut ids = std::collections::BTreeSet::new();
    for (name, arn) in [
        (
            "copy-job-ec2-landed",
            "arn:aws:ec2:eu-central-1::image/ami-0a1b2c3d4e5f60002",
        ),
        (
            "copy-job-ebs-landed",
            "arn:aws:ec2:eu-central-1::snapshot/snap-0726fe70935586180",
        ),
    ] {
        let Trigger::Copy(copy) = event::read(&fixture(name)) else {
            panic!("{name} is no copy");
        };
        assert_eq!(copy.recovery_point_arn.as_deref(), Some(arn));
        let validation = Validation::of_copy(PREFIX, &copy, now);
        let point = &validation.recovery_point;
        assert_eq!(point.arn, arn);
        assert_eq!(point.source_account().as_deref(), Some(SOURCE_ACCOUNT));
        let swept = Validation::open(PREFIX, arn, &copy.destination_vault_arn, None, now);
        assert_eq!(swept.id, validation.id, "the sweep finds the same one");
        ids.insert(validation.id);
    }
    assert_eq!(ids.len(), 2);
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
        .chain(["copy-job-vault-not-an-arn", "copy-job-vault-without-name"])
        .chain([
            "backup-job-another-account",
            "backup-job-another-region",
            "backup-job-completed",
            "backup-job-vault-not-an-arn",
            // The developer guide's sample: of one account, about a vault of another.
            "recovery-point-completed",
        ]);
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
        json!({ "Records": null }),
        json!({ "Records": [] }),
        json!({ "Records": [{ "Sns": { "Message": "An AWS Backup job was completed" } }] }),
        json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": "An AWS Backup job was completed" } }] }),
        json!({ "Records": [[[[{ "EventSource": "aws:sns" }]]], { "Records": [{}] }] }),
        json!({ "Records": [notification("COPY_JOB", "")] }),
        json!({ "Records": [notification("COPY_JOB", "a job")] }),
        json!({ "Records": [notification("COPY_JOB", &"a".repeat(65))] }),
        json!({ "Records": [notification("COPY_JOB", "0175DE71\r\nHost: elsewhere")] }),
        json!({ "Records": [notification("RESTORE_JOB", "job#1")] }),
        json!({ "Records": [notification("", id)] }),
        json!({ "Records": [notification("S3_RESTORE_OBJECT_FAILED", id)] }),
        json!({ "detail-type": null }),
        json!({ "detail-type": "Copy Job State Change" }),
        json!({ "detail-type": "Copy Job State Change", "source": ["aws.backup"] }),
        json!({ "sweep": "all" }),
        json!({ "sweep": null }),
        json!({ "sweep": "due", "advance": { "validation_id": id } }),
        json!({ "advance": {} }),
        json!({ "advance": id }),
        json!({ "advance": { "validation_id": "" } }),
        json!({ "advance": { "validation_id": "slots" } }),
        json!({ "advance": { "validation_id": "installed" } }),
        json!({ "show": null }),
        json!({ "show": id }),
        json!({ "show": { "validation_id": "" } }),
        json!({ "show": { "validation_id": [id] } }),
        json!({ "show": { "validation_id": "slots" } }),
        json!({ "show": { "validation_id": format!("job#{id}") } }),
        json!({ "show": { "validation_id": id.to_uppercase() } }),
        json!({ "show": { "validation_id": id }, "sweep": "due" }),
        json!({ "show": { "validation_id": id } }),
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
        "recovery-point-landed",
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

/// A copy job belongs to the account that started it: its event comes from there, and names no recovery point here.
#[tokio::test]
async fn a_copy_that_failed_in_the_source_account_is_recorded_once_its_event_is_forwarded() {
    let case = root().join("tests/cases/28-copy-failed-in-the-source-account.json");
    let event = serde_json::from_str(&std::fs::read_to_string(case).unwrap()).unwrap();
    let scene = Scene::set(UNCHECKED).await;
    let record = scene.prove_by(&event).await;
    assert_eq!(record["verdict"], "copy_failed");
    assert_eq!(record["cleanup"], "nothing_to_delete");
    assert_eq!(record["source_account"], "222233334444");
    let reason = record["verdict_reason"].as_str().unwrap();
    assert!(
        reason.contains("member of the same organization"),
        "{reason}"
    );
    scene.assert_clean();
}

/// Snapshots of volumes end in a record that says what this version does not do.
#[tokio::test]
async fn a_copy_of_a_volume_is_recorded_as_not_tested() {
    let scene = Scene::set(UNCHECKED).await;
    let event = fixture("copy-job-ebs-landed");
    let text = |key: &str| event["detail"][key].as_str().unwrap().to_owned();
    scene.add(RecoveryPoint {
        arn: text("destinationRecoveryPointArn"),
        source_resource_arn: text("resourceArn"),
        resource_type: "EBS".to_owned(),
        ..scene.point("volume")
    });
    let record = record_of(&scene, "copy-job-ebs-landed").await;
    assert_eq!(record["verdict"], "not_tested");
    assert_eq!(record["cleanup"], "nothing_to_delete");
    assert_eq!(record["source_account"], SOURCE_ACCOUNT);
    let reason = record["verdict_reason"].as_str().unwrap();
    assert!(reason.contains("type EBS are not validated"), "{reason}");
    scene.assert_clean();
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

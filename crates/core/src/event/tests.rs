use super::*;
use serde_json::json;

fn copy(resource: &str, message: &str) -> Value {
    json!({
        "detail-type": "Copy Job State Change",
        "source": "aws.backup",
        "resources": [resource],
        "detail": {
            "state": "FAILED",
            "destinationBackupVaultArn": "arn:aws:backup:eu-central-1:111122223333:backup-vault:central",
            "statusMessage": message,
        },
    })
}

#[test]
fn a_copy_is_not_known_by_an_empty_arn() {
    assert!(matches!(read(&copy("arn:1", "no")), Trigger::Copy(_)));
    for resource in ["", &"a".repeat(2049)] {
        match read(&copy(resource, "no")) {
            Trigger::Ignored(why) => assert!(why.contains("neither an id"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn words_about_a_job_are_cut() {
    match read(&copy("arn:1", &"ä€".repeat(1000))) {
        Trigger::Copy(copy) => {
            let words = copy.status_message.unwrap_or_default();
            assert!(words.starts_with("ä€ä") && (2045..=2048).contains(&words.len()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wish_does_not_fill_the_log() {
    let long = "x".repeat(5000);
    for wish in [
        json!({ "recovery_point_arn": "a", "backup_vault_name": "b", long.clone(): 1 }),
        json!({ "recovery_point_arn": long.clone(), "backup_vault_name": "b" }),
        json!({ "recovery_point_arn": "a", "backup_vault_name": "b", "request_id": long }),
    ] {
        match read(&json!({ "validate": wish })) {
            Trigger::Ignored(why) => assert!(why.len() < 400, "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Why it is ignored.
fn ignored(payload: &Value) -> String {
    match read(payload) {
        Trigger::Ignored(why) => why,
        other => panic!("{other:?}"),
    }
}

const ID: &str = "7202bea7dbbd9194a072";

#[test]
fn wishes_are_read() {
    let validation_id = || ID.to_owned();
    let request = |request_id: Option<&str>| ValidateRequest {
        recovery_point_arn: "arn:1".to_owned(),
        backup_vault_name: "central".to_owned(),
        request_id: request_id.map(str::to_owned),
    };
    for (wish, trigger) in [
        (json!({ "sweep": "due" }), Trigger::Sweep(Sweep::Due)),
        (json!({ "sweep": "lost" }), Trigger::Sweep(Sweep::Lost)),
        (
            json!({ "advance": { "validation_id": ID } }),
            Trigger::Advance {
                validation_id: validation_id(),
            },
        ),
        (
            json!({ "show": { "validation_id": ID } }),
            Trigger::Show {
                validation_id: validation_id(),
            },
        ),
        (
            json!({ "validate": { "recovery_point_arn": "arn:1", "backup_vault_name": "central" } }),
            Trigger::Validate(request(None)),
        ),
        (
            json!({ "validate": { "recovery_point_arn": "arn:1", "backup_vault_name": "central", "request_id": "x" } }),
            Trigger::Validate(request(Some("x"))),
        ),
        (
            json!({ "pause": {} }),
            Trigger::Pause(PauseRequest { reason: None }),
        ),
        (
            json!({ "pause": { "reason": "a recovery" } }),
            Trigger::Pause(PauseRequest {
                reason: Some("a recovery".to_owned()),
            }),
        ),
        (json!({ "resume": {} }), Trigger::Resume),
        (json!({ "status": {} }), Trigger::Status),
        (json!({ "doctor": {} }), Trigger::Doctor),
        (json!({ "report": "daily" }), Trigger::Report(Rhythm::Daily)),
        (
            json!({ "report": "weekly" }),
            Trigger::Report(Rhythm::Weekly),
        ),
    ] {
        assert_eq!(read(&wish), trigger, "{wish}");
    }
}

#[test]
fn wishes_that_cannot_be_fulfilled_are_ignored_with_the_reason() {
    for (wish, why) in [
        (json!([]), "not a JSON object"),
        (json!({}), "neither an event"),
        (json!({ "sweep": "due", "show": {} }), "neither an event"),
        (json!({ "sweep": "all" }), "\"due\" or \"lost\""),
        (json!({ "report": "hourly" }), "\"daily\" or \"weekly\""),
        (json!({ "report": {} }), "\"daily\" or \"weekly\""),
        (json!({ "advance": {} }), "advance needs a validation_id"),
        (json!({ "pause": {}, "resume": {} }), "neither an event"),
        (json!({ "pause": true }), "pause cannot be read"),
        (
            json!({ "pause": { "until": "9:00" } }),
            "pause cannot be read",
        ),
        (
            json!({ "pause": { "reason": "x".repeat(201) } }),
            "more than 200 characters",
        ),
        (json!({ "show": {} }), "show needs a validation_id"),
        (
            json!({ "validate": { "recovery_point_arn": "", "backup_vault_name": "b" } }),
            "needs a recovery_point_arn and",
        ),
        (
            json!({ "validate": { "recovery_point_arn": "a", "backup_vault_name": "" } }),
            "needs a recovery_point_arn and",
        ),
        (
            json!({ "validate": { "recovery_point_arn": "a" } }),
            "cannot be read",
        ),
    ] {
        let told = ignored(&wish);
        assert!(told.contains(why), "{wish}: {told}");
    }
    for id in [
        "7202bea7dbbd9194a07",
        "7202bea7dbbd9194a0722",
        "7202BEA7DBBD9194A072",
        "7202bea7dbbd9194a07g",
        "7202bea7dbbd9194a07/",
    ] {
        ignored(&json!({ "show": { "validation_id": id } }));
    }
}

#[test]
fn texts_of_2048_bytes_are_taken_and_longer_ones_are_not() {
    let most = "x".repeat(2048);
    let wish = |key: &str, value: String| {
        let mut wish = json!({ "recovery_point_arn": "a", "backup_vault_name": "b" });
        wish[key] = json!(value);
        json!({ "validate": wish })
    };
    for key in ["recovery_point_arn", "backup_vault_name", "request_id"] {
        let taken = read(&wish(key, most.clone()));
        assert!(matches!(taken, Trigger::Validate(_)), "{key}");
        let told = ignored(&wish(key, format!("{most}x")));
        assert!(told.contains("more than 2048 bytes"), "{key}: {told}");
    }
    assert!(matches!(read(&copy(&most, "no")), Trigger::Copy(_)));
}

fn notification(kind: &str, id: &str) -> Value {
    json!({
        "EventSource": "aws:sns",
        "Sns": { "MessageAttributes": { "EventType": { "Value": kind }, "Id": { "Value": id } } },
    })
}

#[test]
fn notifications_name_each_job_once() {
    let records = json!({ "Records": [
        notification("RESTORE_JOB", "r"),
        notification("COPY_JOB", "c"),
        notification("COPY_JOB_FAILED", "c"),
        notification("BACKUP_JOB_COMPLETED", "b"),
        notification("COPY_JOBS", "d"),
        {},
    ] });
    let jobs = [
        JobRef::Copy("c".to_owned()),
        JobRef::Backup("b".to_owned()),
        JobRef::Restore("r".to_owned()),
    ];
    assert_eq!(read(&records), Trigger::Notified(jobs.to_vec()));
}

#[test]
fn a_job_is_named_by_letters_digits_and_hyphens() {
    let named = |id: &str| read(&json!({ "Records": [notification("COPY_JOB", id)] }));
    let most = "a".repeat(64);
    for id in [most.as_str(), "0175DE71-5784", "x"] {
        assert_eq!(
            named(id),
            Trigger::Notified(vec![JobRef::Copy(id.to_owned())])
        );
    }
    for id in ["a".repeat(65).as_str(), "../x", "a b", "ä", ""] {
        assert!(matches!(named(id), Trigger::Ignored(_)), "{id}");
    }
}

#[test]
fn notifications_that_cannot_be_used_are_ignored_with_the_reason() {
    let mut spaced = notification("COPY_JOB", "c");
    spaced["EventSource"] = json!("aws: sns");
    assert!(matches!(
        read(&json!({ "Records": [spaced] })),
        Trigger::Notified(_)
    ));
    let mut others = notification("COPY_JOB", "c");
    others["EventSource"] = json!("aws:sqs");
    for (records, why) in [
        (json!("none"), "Records is no list"),
        (json!([]), "holds no records"),
        (json!([others]), "not from SNS"),
        (
            json!([notification("COPY_JOB", "")]),
            "its prose is not read",
        ),
        (
            json!([notification("COPY_JOBS", "c")]),
            "\"COPY_JOBS\" are not used",
        ),
    ] {
        let told = ignored(&json!({ "Records": records }));
        assert!(told.contains(why), "{records}: {told}");
    }
}

fn job(kind: &str, detail: Value) -> Value {
    json!({
        "detail-type": format!("{kind} Job State Change"), "source": "aws.backup", "account": "222233334444",
        "time": "1970-01-01T00:00:09Z", "resources": ["arn:1"], "detail": detail,
    })
}

#[test]
fn a_copy_job_that_landed_is_read_whole() {
    let mut detail = json!({
        "state": "COMPLETED", "copyJobId": "copy-1", "backupSizeInBytes": 7,
        "creationDate": "1970-01-01T00:00:01Z", "completionDate": "1970-01-01T00:00:02Z",
        "sourceBackupVaultArn": "source",
        "destinationBackupVaultArn": "vault", "destinationRecoveryPointArn": "arn:2",
        "resourceArn": "db", "resourceType": "RDS", "statusMessage": "with issues",
    });
    let at = |second| Timestamp::from_second(second).ok();
    let text = |text: &str| Some(text.to_owned());
    let landed = CopyJobEvent {
        state: CopyState::Completed,
        account: text("222233334444"),
        source_vault_arn: text("source"),
        event_time: at(9),
        copy_job_id: text("copy-1"),
        created_at: at(1),
        completed_at: at(2),
        destination_vault_arn: "vault".to_owned(),
        recovery_point_arn: text("arn:2"),
        source_recovery_point_arn: text("arn:1"),
        resource_arn: text("db"),
        resource_type: text("RDS"),
        size_bytes: Some(7),
        status_message: text("with issues"),
    };
    for size in [json!(7), json!("7")] {
        detail["backupSizeInBytes"] = size;
        let read = read(&job("Copy", detail.clone()));
        assert_eq!(read, Trigger::Copy(landed.clone()));
    }
    detail["destinationRecoveryPointArn"] = json!({});
    let told = ignored(&job("Copy", detail.clone()));
    assert!(
        told.contains("names no destinationRecoveryPointArn"),
        "{told}"
    );
    detail["state"] = json!("PARTIAL");
    assert!(matches!(read(&job("Copy", detail)), Trigger::Copy(_)));
}

#[test]
fn a_backup_job_that_left_something_is_read_whole() {
    let detail = |state: &str| {
        json!({
            "state": state, "backupJobId": "backup-1", "backupVaultArn": "vault", "resourceArn": "db",
            "resourceType": "RDS", "backupSizeInBytes": "7", "statusMessage": "",
        })
    };
    for (word, state) in [
        ("COMPLETED", BackupState::Completed),
        ("PARTIAL", BackupState::Partial),
    ] {
        let backup = BackupJobEvent {
            account: Some("222233334444".to_owned()),
            state,
            backup_job_id: Some("backup-1".to_owned()),
            vault_arn: "vault".to_owned(),
            recovery_point_arn: "arn:1".to_owned(),
            resource_arn: Some("db".to_owned()),
            resource_type: Some("RDS".to_owned()),
            size_bytes: Some(7),
            status_message: None,
        };
        assert_eq!(read(&job("Backup", detail(word))), Trigger::Backup(backup));
    }
}

#[test]
fn jobs_that_have_not_ended_are_ignored_with_their_state() {
    for (kind, detail, why) in [
        (
            "Copy",
            json!({ "state": "RUNNING" }),
            "the copy job has not ended: RUNNING",
        ),
        ("Copy", json!({}), "the copy job event names no state"),
        (
            "Backup",
            json!({ "state": "RUNNING" }),
            "the backup job has not ended: RUNNING",
        ),
        (
            "Backup",
            json!({ "state": "FAILED" }),
            "the backup job is FAILED: there is no recovery point to prove",
        ),
        (
            "Backup",
            json!({ "state": "EXPIRED" }),
            "the backup job is EXPIRED: there is no recovery point to prove",
        ),
        ("Backup", json!({}), "the backup job event names no state"),
        (
            "Restore",
            json!({ "restoreJobId": "r", "status": "RUNNING" }),
            "the restore job has not ended: RUNNING",
        ),
        (
            "Restore",
            json!({ "restoreJobId": "r" }),
            "the restore job event names no status",
        ),
        (
            "Restore",
            json!({ "status": "COMPLETED" }),
            "the restore job event names no restoreJobId",
        ),
        (
            "Scan",
            json!({}),
            "events \"Scan Job State Change\" are not used",
        ),
    ] {
        assert_eq!(ignored(&job(kind, detail)), why);
    }
    let mut others = job(
        "Restore",
        json!({ "restoreJobId": "r", "status": "COMPLETED" }),
    );
    others["source"] = json!("shop");
    assert_eq!(ignored(&others), "the event is not from aws.backup");
}

#[test]
fn a_restore_job_that_ended_is_read() {
    for key in ["status", "state"] {
        for word in ["COMPLETED", "FAILED", "ABORTED"] {
            for arn in [None, Some("arn:1")] {
                let mut detail = json!({ "restoreJobId": "r", "createdResourceArn": arn });
                detail[key] = json!(word);
                let restore = RestoreJobEvent {
                    restore_job_id: "r".to_owned(),
                    created_resource_arn: arn.map(str::to_owned),
                };
                assert_eq!(read(&job("Restore", detail)), Trigger::Restore(restore));
            }
        }
    }
}

#[test]
fn a_recovery_point_that_is_there_is_read_whole() {
    let event = |status: &str| {
        json!({
            "detail-type": "Recovery Point State Change", "source": "aws.backup",
            "account": "111122223333", "resources": ["arn:1"],
            "detail": {
                "status": status, "backupVaultArn": "vault", "resourceArn": "db",
                "resourceType": "RDS", "completionDate": "1970-01-01T00:00:07Z",
            },
        })
    };
    let text = |text: &str| Some(text.to_owned());
    for status in ["COMPLETED", "PARTIAL", "AVAILABLE"] {
        let there = RecoveryPointEvent {
            account: "111122223333".to_owned(),
            completed_at: Timestamp::from_second(7).ok(),
            vault_arn: "vault".to_owned(),
            recovery_point_arn: "arn:1".to_owned(),
            resource_arn: text("db"),
            resource_type: text("RDS"),
        };
        assert_eq!(read(&event(status)), Trigger::RecoveryPoint(there));
    }
    for status in ["CREATING", "DELETING", "EXPIRED", "STOPPED", "completed"] {
        let why = format!("the recovery point is not there: {status}");
        assert_eq!(ignored(&event(status)), why);
    }
    for (missing, why) in [
        ("/detail/status", "the recovery point event names no status"),
        (
            "/detail/backupVaultArn",
            "the recovery point event names no backupVaultArn",
        ),
        (
            "/resources/0",
            "the recovery point event names no recovery point; the sweep finds it",
        ),
    ] {
        let mut event = event("COMPLETED");
        *event.pointer_mut(missing).expect("it is there") = json!({});
        assert_eq!(ignored(&event), why);
    }
}

/// Told by AWS Backup itself, by our account, or by that of the source's vault.
#[test]
fn a_copy_is_believed_of_whom_it_belongs_to() {
    let told = |account: Option<&str>, source: &str| {
        let detail = json!({
            "state": "COMPLETED", "copyJobId": "c", "sourceBackupVaultArn": source,
            "destinationBackupVaultArn": "vault", "destinationRecoveryPointArn": "arn:2",
        });
        let Trigger::Copy(copy) = read(&job("Copy", detail)) else {
            panic!("it is no copy");
        };
        CopyJobEvent {
            account: account.map(str::to_owned),
            ..copy
        }
        .believed_in("111122223333")
    };
    let source = "arn:aws:backup:eu-central-1:222233334444:backup-vault:production";
    assert_eq!(told(None, source), Ok(()));
    assert_eq!(told(Some("111122223333"), source), Ok(()));
    assert_eq!(told(Some("222233334444"), source), Ok(()));
    for (account, source) in [
        ("999900001111", source),
        ("222233334444", "production"),
        ("", source),
        ("", "arn:aws:backup:eu-central-1:backup-vault:production"),
    ] {
        let why = told(Some(account), source).expect_err("nobody's");
        assert!(why.contains("it is not believed"), "{why}");
    }
}

#[test]
fn an_event_without_an_account_is_nobodys() {
    let detail = json!({
        "state": "FAILED", "copyJobId": "c", "destinationBackupVaultArn": "vault",
        "sourceBackupVaultArn": "arn:aws:backup:eu-central-1::backup-vault:production",
    });
    let mut event = job("Copy", detail);
    event["account"] = json!({});
    let Trigger::Copy(copy) = read(&event) else {
        panic!("it is no copy");
    };
    assert!(copy.believed_in("111122223333").is_err());
}

//! What the function is invoked with: events of EventBridge, wishes of people and of itself. The input is the payload.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use restore_proof_core::event::{self, CopyState, JobRef, Trigger, read};
use serde_json::{Value, json};

/// The most that is taken of one text: names, ids and ARNs are shorter, words of AWS Backup are cut.
const LONGEST_TEXT: usize = 2048;
/// The longest reason in a log, characters.
const LONGEST_REASON: usize = 400;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(payload) = serde_json::from_slice::<Value>(data) else {
        return Corpus::Reject;
    };
    let trigger = read(&payload);
    assert_eq!(trigger, read(&payload), "what is read twice is the same");
    sound(&trigger);
    from_where_it_says(&trigger, &payload);
    not_looked_at(&trigger, &payload);
    Corpus::Keep
});

fn filled(text: &str) {
    assert!(!text.is_empty(), "an empty id");
    assert!(text.len() <= LONGEST_TEXT, "{} bytes of an id", text.len());
}

fn sound(trigger: &Trigger) {
    let fills = |text: &Option<String>| text.as_deref().map_or((), filled);
    match trigger {
        Trigger::Copy(copy) => {
            filled(&copy.destination_vault_arn);
            for text in [
                &copy.copy_job_id,
                &copy.source_vault_arn,
                &copy.recovery_point_arn,
                &copy.source_recovery_point_arn,
                &copy.resource_arn,
                &copy.resource_type,
                &copy.status_message,
            ] {
                fills(text);
            }
            assert!(copy.state != CopyState::Completed || copy.recovery_point_arn.is_some());
            // What a stranger says is believed of nobody, and an event without an account is a stranger's.
            let account = copy.account.as_deref();
            assert!(account.is_some(), "an event that nobody tells");
            if account == Some("") {
                assert!(copy.believed_in("111122223333").is_err());
            }
            let known_by = [
                &copy.copy_job_id,
                &copy.recovery_point_arn,
                &copy.source_recovery_point_arn,
            ];
            assert!(known_by.iter().any(|id| id.is_some()), "known by nothing");
        }
        Trigger::Backup(backup) => {
            filled(&backup.vault_arn);
            filled(&backup.recovery_point_arn);
            for text in [
                &backup.backup_job_id,
                &backup.resource_arn,
                &backup.resource_type,
                &backup.status_message,
            ] {
                fills(text);
            }
        }
        Trigger::RecoveryPoint(point) => {
            filled(&point.vault_arn);
            filled(&point.recovery_point_arn);
            for text in [&point.resource_arn, &point.resource_type] {
                fills(text);
            }
        }
        Trigger::Restore(restore) => filled(&restore.restore_job_id),
        Trigger::Notified(jobs) => {
            assert!(!jobs.is_empty(), "a notification of nothing");
            for JobRef::Copy(id) | JobRef::Backup(id) | JobRef::Restore(id) in jobs {
                filled(id);
            }
        }
        Trigger::Sweep(_)
        | Trigger::Resume
        | Trigger::Status
        | Trigger::Doctor
        | Trigger::Report(_) => {}
        Trigger::Pause(pause) => {
            let reason = pause.reason.as_deref().unwrap_or_default();
            assert!(reason.chars().count() <= event::LONGEST_REASON);
        }
        Trigger::Advance { validation_id } | Trigger::Show { validation_id } => {
            assert_eq!(validation_id.len(), 20);
            let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            assert!(validation_id.bytes().all(hexadecimal), "{validation_id:?}");
        }
        Trigger::Validate(request) => {
            filled(&request.recovery_point_arn);
            filled(&request.backup_vault_name);
            assert!(
                request
                    .request_id
                    .as_ref()
                    .is_none_or(|id| id.len() <= LONGEST_TEXT)
            );
        }
        Trigger::Ignored(reason) => {
            assert!(!reason.is_empty(), "ignored without a reason");
            let length = reason.chars().count();
            assert!(length <= LONGEST_REASON, "a reason of {length} characters");
        }
    }
}

/// Nobody but AWS Backup tells of its jobs, and only of those that have ended.
fn from_where_it_says(trigger: &Trigger, payload: &Value) {
    let (kind, ends): (&str, &[&str]) = match trigger {
        Trigger::Copy(_) => ("Copy Job State Change", &["COMPLETED", "FAILED", "PARTIAL"]),
        Trigger::Backup(_) => ("Backup Job State Change", &["COMPLETED", "PARTIAL"]),
        Trigger::RecoveryPoint(_) => (
            "Recovery Point State Change",
            &["COMPLETED", "PARTIAL", "AVAILABLE"],
        ),
        Trigger::Restore(_) => (
            "Restore Job State Change",
            &["COMPLETED", "FAILED", "ABORTED"],
        ),
        _ => return,
    };
    assert_eq!(payload["source"], "aws.backup");
    assert_eq!(payload["detail-type"], kind);
    let detail = &payload["detail"];
    let state = detail["state"].as_str().or(detail["status"].as_str());
    assert!(
        state.is_some_and(|state| ends.contains(&state)),
        "{state:?}"
    );
}

/// What AWS may add one day changes nothing.
fn not_looked_at(trigger: &Trigger, payload: &Value) {
    let mut more = payload.clone();
    let Some(object) = more.as_object_mut() else {
        return;
    };
    object.insert("addedLater".to_owned(), json!({ "state": "COMPLETED" }));
    if let Some(detail) = object.get_mut("detail").and_then(Value::as_object_mut) {
        detail.insert("addedLater".to_owned(), json!(["RUNNING", 1, null]));
    }
    assert_eq!(*trigger, read(&more), "something new changes what is read");
}

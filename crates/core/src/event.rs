//! What arrives, from EventBridge, from the schedules and from people, becomes a [`Trigger`].
//!
//! Every trigger is only a hint that some validation may be able to move. Shapes and their quirks are AWS
//! Backup's ("Monitoring AWS Backup events using EventBridge" in its developer guide): ids that are
//! missing, `{}` where an ARN is not known yet, sizes as numbers or as text, `state` or `status`.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// What the function is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// A copy job ended.
    Copy(CopyJobEvent),
    /// A restore job ended: ours, or somebody else's.
    Restore(RestoreJobEvent),
    /// The scheduled pass.
    Sweep(Sweep),
    /// Look at this validation again.
    Advance {
        /// Id of the validation.
        validation_id: String,
    },
    /// Somebody asks for the validation of a recovery point.
    Validate(ValidateRequest),
    /// Nothing to do; the reason says why, in words for the log.
    Ignored(String),
}

/// Which part of the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sweep {
    /// Validations whose due time has come.
    Due,
    /// Recovery points and restore jobs of which no event told.
    Lost,
}

/// How a copy job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// The copy has landed.
    Completed,
    /// There is no copy.
    Failed,
    /// There is part of a copy.
    Partial,
}

/// A copy job that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyJobEvent {
    /// How it ended.
    pub state: CopyState,
    /// When the event was made.
    pub event_time: Option<Timestamp>,
    /// Copy job id.
    pub copy_job_id: Option<String>,
    /// When the copy job was created.
    pub created_at: Option<Timestamp>,
    /// When the copy job ended.
    pub completed_at: Option<Timestamp>,
    /// ARN of the vault it was to land in; decides which account and Region are concerned.
    pub destination_vault_arn: String,
    /// ARN of the copy; none when there is none.
    pub recovery_point_arn: Option<String>,
    /// ARN of the recovery point that was copied.
    pub source_recovery_point_arn: Option<String>,
    /// ARN of the backed-up resource.
    pub resource_arn: Option<String>,
    /// AWS Backup's name of the resource type.
    pub resource_type: Option<String>,
    /// Size in bytes.
    pub size_bytes: Option<u64>,
    /// AWS Backup's words about a failure.
    pub status_message: Option<String>,
}

/// A restore job that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreJobEvent {
    /// Restore job id.
    pub restore_job_id: String,
}

/// A wish to validate one recovery point.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidateRequest {
    /// ARN of the recovery point.
    pub recovery_point_arn: String,
    /// Name of the vault it lies in.
    pub backup_vault_name: String,
    /// Any word: a recovery point is validated once for each.
    #[serde(default)]
    pub request_id: Option<String>,
}

/// Reads what the function was invoked with. Never fails: what cannot be used is [`Trigger::Ignored`].
pub fn read(payload: &Value) -> Trigger {
    let Some(object) = payload.as_object() else {
        return Trigger::Ignored("the payload is not a JSON object".to_owned());
    };
    if let Some(kind) = object.get("detail-type") {
        return read_event(kind.as_str().unwrap_or(""), payload);
    }
    match (
        object.get("sweep"),
        object.get("advance"),
        object.get("validate"),
    ) {
        (Some(sweep), None, None) => match Sweep::deserialize(sweep) {
            Ok(sweep) => Trigger::Sweep(sweep),
            Err(_) => Trigger::Ignored("a sweep is \"due\" or \"lost\"".to_owned()),
        },
        (None, Some(advance), None) => match text(advance, "validation_id") {
            Some(validation_id) => Trigger::Advance { validation_id },
            None => Trigger::Ignored("advance needs a validation_id".to_owned()),
        },
        (None, None, Some(validate)) => match ValidateRequest::deserialize(validate) {
            Ok(request)
                if request.recovery_point_arn.is_empty()
                    || request.backup_vault_name.is_empty() =>
            {
                Trigger::Ignored(
                    "validate needs a recovery_point_arn and a backup_vault_name".to_owned(),
                )
            }
            Ok(request) => Trigger::Validate(request),
            Err(error) => Trigger::Ignored(format!("validate cannot be read: {error}")),
        },
        _ => Trigger::Ignored(
            "neither an EventBridge event nor one of \"sweep\", \"advance\", \"validate\""
                .to_owned(),
        ),
    }
}

fn read_event(kind: &str, event: &Value) -> Trigger {
    if event["source"].as_str() != Some("aws.backup") {
        return Trigger::Ignored("the event is not from aws.backup".to_owned());
    }
    match kind {
        "Copy Job State Change" => read_copy_job(event),
        "Restore Job State Change" => read_restore_job(event),
        other => Trigger::Ignored(format!("events {:?} are not used", shorten(other))),
    }
}

fn read_copy_job(event: &Value) -> Trigger {
    let detail = &event["detail"];
    let state = match state(detail) {
        Some("COMPLETED") => CopyState::Completed,
        Some("FAILED") => CopyState::Failed,
        Some("PARTIAL") => CopyState::Partial,
        Some(other) => {
            return Trigger::Ignored(format!("the copy job has not ended: {}", shorten(other)));
        }
        None => return Trigger::Ignored("the copy job event names no state".to_owned()),
    };
    let Some(destination_vault_arn) = text(detail, "destinationBackupVaultArn") else {
        return Trigger::Ignored(
            "the copy job event names no destinationBackupVaultArn".to_owned(),
        );
    };
    let copy = CopyJobEvent {
        state,
        event_time: time(event, "time"),
        copy_job_id: text(detail, "copyJobId"),
        created_at: time(detail, "creationDate"),
        completed_at: time(detail, "completionDate"),
        destination_vault_arn,
        recovery_point_arn: text(detail, "destinationRecoveryPointArn"),
        source_recovery_point_arn: event["resources"][0].as_str().map(str::to_owned),
        resource_arn: text(detail, "resourceArn"),
        resource_type: text(detail, "resourceType"),
        size_bytes: number(detail, "backupSizeInBytes"),
        status_message: text(detail, "statusMessage"),
    };
    if state == CopyState::Completed && copy.recovery_point_arn.is_none() {
        return Trigger::Ignored(
            "the copy job is COMPLETED but names no destinationRecoveryPointArn; the sweep finds the copy"
                .to_owned(),
        );
    }
    if copy.copy_job_id.is_none()
        && copy.recovery_point_arn.is_none()
        && copy.source_recovery_point_arn.is_none()
    {
        return Trigger::Ignored(
            "the failed copy job has neither an id nor a recovery point to know it by".to_owned(),
        );
    }
    Trigger::Copy(copy)
}

fn read_restore_job(event: &Value) -> Trigger {
    let detail = &event["detail"];
    let Some(restore_job_id) = text(detail, "restoreJobId") else {
        return Trigger::Ignored("the restore job event names no restoreJobId".to_owned());
    };
    match state(detail) {
        Some("COMPLETED" | "FAILED" | "ABORTED") => {
            Trigger::Restore(RestoreJobEvent { restore_job_id })
        }
        Some(other) => {
            Trigger::Ignored(format!("the restore job has not ended: {}", shorten(other)))
        }
        None => Trigger::Ignored("the restore job event names no status".to_owned()),
    }
}

/// Backup and copy jobs say `state`, restore jobs `status`, and a new restore job `state` again.
fn state(detail: &Value) -> Option<&str> {
    detail["state"]
        .as_str()
        .or_else(|| detail["status"].as_str())
}

/// Text that is there and not empty; `{}` stands for an ARN that is not known.
fn text(object: &Value, key: &str) -> Option<String> {
    object[key]
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn time(object: &Value, key: &str) -> Option<Timestamp> {
    object[key].as_str()?.parse().ok()
}

fn number(object: &Value, key: &str) -> Option<u64> {
    match &object[key] {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

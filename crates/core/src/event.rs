//! What arrives, from EventBridge, from SNS, from the schedules and from people, becomes a [`Trigger`].
//!
//! Every trigger is only a hint that some validation may be able to move. Shapes and their quirks are AWS
//! Backup's ("Monitoring AWS Backup events using EventBridge" in its developer guide): ids that are
//! missing, `{}` where an ARN is not known yet, sizes as numbers or as text, `state` or `status`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::Index;

use crate::arn::Arn;
use crate::report::Rhythm;

/// The longest text that is taken, bytes. Names, ids and ARNs are shorter (AWS Backup takes ARNs of up to 1600 characters);
/// what is longer is not there, and words for people are cut.
const LONGEST_TEXT: usize = 2048;

/// What the function is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// A copy job ended.
    Copy(CopyJobEvent),
    /// A backup job ended with a recovery point.
    Backup(BackupJobEvent),
    /// A recovery point is there, however it came.
    RecoveryPoint(RecoveryPointEvent),
    /// A restore job ended: ours, or somebody else's.
    Restore(RestoreJobEvent),
    /// A vault notification named these jobs. Nothing else in it is trusted.
    Notified(Vec<JobRef>),
    /// The scheduled pass.
    Sweep(Sweep),
    /// Look at this validation again.
    Advance {
        /// Id of the validation.
        validation_id: String,
    },
    /// Somebody asks for the validation of a recovery point.
    Validate(ValidateRequest),
    /// Somebody asks how a validation is.
    Show {
        /// Id of the validation.
        validation_id: String,
    },
    /// Somebody asks that no restore is begun until they say so.
    Pause(PauseRequest),
    /// Restores may be begun again.
    Resume,
    /// Somebody asks how the work gets on.
    Status,
    /// Somebody asks which services answer the function.
    Doctor,
    /// A report is to be made, by a schedule or because somebody asks for it.
    Report(Rhythm),
    /// Nothing to do; the reason says why, in words for the log.
    Ignored(String),
}

/// A job that a notification names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobRef {
    /// Id of a copy job.
    Copy(String),
    /// Id of a backup job.
    Backup(String),
    /// Id of a restore job.
    Restore(String),
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

impl CopyState {
    /// From AWS Backup's word for the state of a copy job.
    ///
    /// # Errors
    /// When the job has not ended, in words for the log.
    pub fn ended(word: Option<&str>) -> Result<CopyState, String> {
        match word {
            Some("COMPLETED") => Ok(CopyState::Completed),
            Some("FAILED") => Ok(CopyState::Failed),
            Some("PARTIAL") => Ok(CopyState::Partial),
            Some(other) => Err(format!("the copy job has not ended: {}", shorten(other))),
            None => Err("the copy job event names no state".to_owned()),
        }
    }
}

/// A copy job that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyJobEvent {
    /// How it ended.
    pub state: CopyState,
    /// The account that the event says it is of, 12 digits. None if AWS Backup itself described the job.
    pub account: Option<String>,
    /// When the event was made.
    pub event_time: Option<Timestamp>,
    /// Copy job id.
    pub copy_job_id: Option<String>,
    /// When the copy job was created.
    pub created_at: Option<Timestamp>,
    /// When the copy job ended.
    pub completed_at: Option<Timestamp>,
    /// ARN of the vault it was copied from.
    pub source_vault_arn: Option<String>,
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

impl CopyJobEvent {
    /// Whether the event comes from whom it may come from, as seen from our account: a copy job belongs to the account
    /// that starts it, which is that of the source vault, or ours. Whoever may put events onto the bus could say
    /// anything else.
    ///
    /// # Errors
    /// When it does not, in words for the log.
    pub fn believed_in(&self, our_account: &str) -> Result<(), String> {
        let Some(account) = self.account.as_deref() else {
            return Ok(());
        };
        let source = self.source_vault_arn.as_deref();
        let source: Option<Arn> = source.and_then(|arn| arn.parse().ok());
        let is_its_own =
            !account.is_empty() && source.is_some_and(|source| source.account == account);
        if account == our_account || is_its_own {
            return Ok(());
        }
        Err(format!(
            "the event comes from account {}, which is neither ours nor that of its sourceBackupVaultArn; it is not believed, forward it from the source account",
            shorten(account)
        ))
    }

    /// The event itself, if it says what has landed, or of what nothing has.
    ///
    /// # Errors
    /// When it does not, in words for the log.
    pub fn usable(self) -> Result<CopyJobEvent, String> {
        if self.state == CopyState::Completed && self.recovery_point_arn.is_none() {
            return Err("the copy job is COMPLETED but names no destinationRecoveryPointArn; the sweep finds the copy".to_owned());
        }
        if self.copy_job_id.is_none()
            && self.recovery_point_arn.is_none()
            && self.source_recovery_point_arn.is_none()
        {
            return Err(
                "the failed copy job has neither an id nor a recovery point to know it by"
                    .to_owned(),
            );
        }
        Ok(self)
    }
}

/// How a backup job ended that left a recovery point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupState {
    /// The backup is there.
    Completed,
    /// Part of it is there.
    Partial,
}

impl BackupState {
    /// From AWS Backup's word for the state of a backup job.
    ///
    /// A backup job that failed, was stopped or began too late leaves nothing that could be proved, and no record says
    /// so: it is for the monitoring of the account that makes backups. A copy that failed has a record, since the vault
    /// it did not reach is the one whose copies are all accounted for. Part of a backup is a recovery point like any
    /// other, and ends in a record.
    ///
    /// # Errors
    /// When there is no recovery point, or not yet, in words for the log.
    pub fn ended(word: Option<&str>) -> Result<BackupState, String> {
        match word {
            Some("COMPLETED") => Ok(BackupState::Completed),
            Some("PARTIAL") => Ok(BackupState::Partial),
            Some(none @ ("FAILED" | "ABORTED" | "EXPIRED")) => Err(format!(
                "the backup job is {none}: there is no recovery point to prove"
            )),
            Some(other) => Err(format!("the backup job has not ended: {}", shorten(other))),
            None => Err("the backup job event names no state".to_owned()),
        }
    }
}

/// A backup job that ended with a recovery point.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupJobEvent {
    /// How it ended.
    pub state: BackupState,
    /// The account that the event says it is of, 12 digits. None if AWS Backup itself described the job.
    pub account: Option<String>,
    /// Backup job id.
    pub backup_job_id: Option<String>,
    /// ARN of the vault it landed in; decides whether it is one whose backups are validated.
    pub vault_arn: String,
    /// ARN of the backup.
    pub recovery_point_arn: String,
    /// ARN of the backed-up resource.
    pub resource_arn: Option<String>,
    /// AWS Backup's name of the resource type.
    pub resource_type: Option<String>,
    /// Size in bytes.
    pub size_bytes: Option<u64>,
    /// AWS Backup's words; with COMPLETED they mean "completed with issues".
    pub status_message: Option<String>,
}

/// A recovery point that is there, whole or in part.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveryPointEvent {
    /// The account that the event says it is of; empty if it names none.
    pub account: String,
    /// When it became what it is.
    pub completed_at: Option<Timestamp>,
    /// ARN of the vault it lies in.
    pub vault_arn: String,
    /// ARN of the recovery point.
    pub recovery_point_arn: String,
    /// ARN of the backed-up resource.
    pub resource_arn: Option<String>,
    /// AWS Backup's name of the resource type.
    pub resource_type: Option<String>,
}

/// A restore job that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreJobEvent {
    /// Restore job id.
    pub restore_job_id: String,
    /// ARN of what it made, if the event tells.
    pub created_resource_arn: Option<String>,
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

/// A wish that no restore is begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Why, for whoever asks how it is, at most [`LONGEST_REASON`] characters.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The longest reason of a pause, characters.
pub const LONGEST_REASON: usize = 200;

/// Reads what the function was invoked with. Never fails: what cannot be used is [`Trigger::Ignored`].
pub fn read(payload: &Value) -> Trigger {
    let Some(object) = payload.as_object() else {
        return Trigger::Ignored("the payload is not a JSON object".to_owned());
    };
    if let Some(kind) = object.get("detail-type") {
        return read_event(kind.as_str().unwrap_or(""), payload);
    }
    if let Some(records) = object.get("Records") {
        return read_notification(records).map_or_else(Trigger::Ignored, Trigger::Notified);
    }
    let mut asked = WISHES
        .iter()
        .filter_map(|(key, read)| Some((read, object.get(*key)?)));
    match (asked.next(), asked.next()) {
        (Some((read, wish)), None) => read(wish),
        (None, _) | (Some(_), Some(_)) => {
            let known: Vec<String> = WISHES.iter().map(|(key, _)| format!("{key:?}")).collect();
            Trigger::Ignored(format!(
                "neither an event, a vault notification nor one of {}",
                known.join(", ")
            ))
        }
    }
}

/// How a wish is read.
type Reader = fn(&Value) -> Trigger;

/// What people and the function itself may ask for, by its key in the payload.
const WISHES: [(&str, Reader); 9] = [
    ("sweep", read_sweep),
    ("advance", |wish| {
        of_validation("advance", wish, |validation_id| Trigger::Advance {
            validation_id,
        })
    }),
    ("validate", read_validate),
    ("show", |wish| {
        of_validation("show", wish, |validation_id| Trigger::Show {
            validation_id,
        })
    }),
    ("pause", read_pause),
    ("resume", |_| Trigger::Resume),
    ("status", |_| Trigger::Status),
    ("doctor", |_| Trigger::Doctor),
    ("report", read_report),
];

fn read_sweep(wish: &Value) -> Trigger {
    match Sweep::deserialize(wish) {
        Ok(sweep) => Trigger::Sweep(sweep),
        Err(_) => Trigger::Ignored("a sweep is \"due\" or \"lost\"".to_owned()),
    }
}

fn read_report(wish: &Value) -> Trigger {
    match Rhythm::deserialize(wish) {
        Ok(rhythm) => Trigger::Report(rhythm),
        Err(_) => Trigger::Ignored("a report is \"daily\" or \"weekly\"".to_owned()),
    }
}

fn of_validation(name: &str, wish: &Value, trigger: impl FnOnce(String) -> Trigger) -> Trigger {
    match validation_id(wish) {
        Some(id) => trigger(id),
        None => Trigger::Ignored(format!("{name} needs a validation_id")),
    }
}

fn read_validate(wish: &Value) -> Trigger {
    let is_long = |text: &str| text.len() > LONGEST_TEXT;
    match ValidateRequest::deserialize(wish) {
        Ok(request)
            if request.recovery_point_arn.is_empty() || request.backup_vault_name.is_empty() =>
        {
            Trigger::Ignored(
                "validate needs a recovery_point_arn and a backup_vault_name".to_owned(),
            )
        }
        Ok(request)
            if is_long(&request.recovery_point_arn)
                || is_long(&request.backup_vault_name)
                || request.request_id.as_deref().is_some_and(is_long) =>
        {
            Trigger::Ignored(format!(
                "validate holds a text of more than {LONGEST_TEXT} bytes"
            ))
        }
        Ok(request) => Trigger::Validate(request),
        Err(error) => unreadable("validate", &error),
    }
}

fn read_pause(wish: &Value) -> Trigger {
    match PauseRequest::deserialize(wish) {
        Ok(request)
            if request
                .reason
                .as_ref()
                .is_some_and(|reason| reason.chars().count() > LONGEST_REASON) =>
        {
            Trigger::Ignored(format!(
                "pause holds a reason of more than {LONGEST_REASON} characters"
            ))
        }
        Ok(request) => Trigger::Pause(request),
        Err(error) => unreadable("pause", &error),
    }
}

/// The error's own words may quote a name or a value.
fn unreadable(name: &str, error: &serde_json::Error) -> Trigger {
    let words: String = error.to_string().chars().take(300).collect();
    Trigger::Ignored(format!("{name} cannot be read: {words}"))
}

fn read_event(kind: &str, event: &Value) -> Trigger {
    if event["source"].as_str() != Some("aws.backup") {
        return Trigger::Ignored("the event is not from aws.backup".to_owned());
    }
    match kind {
        "Copy Job State Change" => {
            read_copy_job(event).map_or_else(Trigger::Ignored, Trigger::Copy)
        }
        "Backup Job State Change" => {
            read_backup_job(event).map_or_else(Trigger::Ignored, Trigger::Backup)
        }
        "Recovery Point State Change" => {
            read_recovery_point(event).map_or_else(Trigger::Ignored, Trigger::RecoveryPoint)
        }
        "Restore Job State Change" => {
            read_restore_job(event).map_or_else(Trigger::Ignored, Trigger::Restore)
        }
        other => Trigger::Ignored(format!("events {:?} are not used", shorten(other))),
    }
}

fn read_copy_job(event: &Value) -> Result<CopyJobEvent, String> {
    let detail = &event["detail"];
    let copy = CopyJobEvent {
        state: CopyState::ended(state(detail))?,
        event_time: time(event, "time"),
        // EventBridge names the account of each event; one without is nobody's.
        account: Some(text(event, "account").unwrap_or_default()),
        copy_job_id: text(detail, "copyJobId"),
        created_at: time(detail, "creationDate"),
        completed_at: time(detail, "completionDate"),
        source_vault_arn: text(detail, "sourceBackupVaultArn"),
        destination_vault_arn: text(detail, "destinationBackupVaultArn")
            .ok_or("the copy job event names no destinationBackupVaultArn")?,
        recovery_point_arn: text(detail, "destinationRecoveryPointArn"),
        source_recovery_point_arn: text(&event["resources"], 0),
        resource_arn: text(detail, "resourceArn"),
        resource_type: text(detail, "resourceType"),
        size_bytes: number(detail, "backupSizeInBytes"),
        status_message: words(detail, "statusMessage"),
    };
    copy.usable()
}

fn read_backup_job(event: &Value) -> Result<BackupJobEvent, String> {
    let detail = &event["detail"];
    Ok(BackupJobEvent {
        state: BackupState::ended(state(detail))?,
        account: Some(text(event, "account").unwrap_or_default()),
        backup_job_id: text(detail, "backupJobId"),
        vault_arn: text(detail, "backupVaultArn")
            .ok_or("the backup job event names no backupVaultArn")?,
        // The detail does not name it.
        recovery_point_arn: text(&event["resources"], 0)
            .ok_or("the backup job event names no recovery point; the sweep finds it")?,
        resource_arn: text(detail, "resourceArn"),
        resource_type: text(detail, "resourceType"),
        size_bytes: number(detail, "backupSizeInBytes"),
        status_message: words(detail, "statusMessage"),
    })
}

fn read_recovery_point(event: &Value) -> Result<RecoveryPointEvent, String> {
    let detail = &event["detail"];
    match state(detail) {
        Some("COMPLETED" | "PARTIAL" | "AVAILABLE") => {}
        Some(other) => {
            return Err(format!(
                "the recovery point is not there: {}",
                shorten(other)
            ));
        }
        None => return Err("the recovery point event names no status".to_owned()),
    }
    Ok(RecoveryPointEvent {
        account: text(event, "account").unwrap_or_default(),
        completed_at: time(detail, "completionDate"),
        vault_arn: text(detail, "backupVaultArn")
            .ok_or("the recovery point event names no backupVaultArn")?,
        // The detail does not name it.
        recovery_point_arn: text(&event["resources"], 0)
            .ok_or("the recovery point event names no recovery point; the sweep finds it")?,
        resource_arn: text(detail, "resourceArn"),
        resource_type: text(detail, "resourceType"),
    })
}

fn read_restore_job(event: &Value) -> Result<RestoreJobEvent, String> {
    let detail = &event["detail"];
    let restore_job_id =
        text(detail, "restoreJobId").ok_or("the restore job event names no restoreJobId")?;
    match state(detail) {
        Some("COMPLETED" | "FAILED" | "ABORTED") => Ok(RestoreJobEvent {
            restore_job_id,
            created_resource_arn: text(detail, "createdResourceArn"),
        }),
        Some(other) => Err(format!("the restore job has not ended: {}", shorten(other))),
        None => Err("the restore job event names no status".to_owned()),
    }
}

/// Vault notifications by way of SNS ("Notification options with AWS Backup" in its developer guide): prose for
/// people, and attributes of which the type and the id of the job are all that is taken. Every job is named once.
fn read_notification(records: &Value) -> Result<Vec<JobRef>, String> {
    let Some(records) = records.as_array() else {
        return Err("Records is no list".to_owned());
    };
    let mut jobs = BTreeSet::new();
    let mut reason = "the notification holds no records".to_owned();
    for record in records {
        match read_record(record) {
            Ok(job) => drop(jobs.insert(job)),
            Err(why) => reason = why,
        }
    }
    match jobs.is_empty() {
        true => Err(reason),
        false => Ok(jobs.into_iter().collect()),
    }
}

fn read_record(record: &Value) -> Result<JobRef, String> {
    // The developer guide's own samples write it with a space.
    let source = record["EventSource"].as_str().unwrap_or_default();
    if source.replace(' ', "") != "aws:sns" {
        return Err("the record is not from SNS".to_owned());
    }
    let attributes = &record["Sns"]["MessageAttributes"];
    let (Some(kind), Some(id)) = (
        text(&attributes["EventType"], "Value"),
        text(&attributes["Id"], "Value"),
    ) else {
        return Err(
            "the notification has no attributes EventType and Id; its prose is not read".to_owned(),
        );
    };
    if id.len() > 64 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(format!("{:?} is no id of a job", shorten(&id)));
    }
    // `BACKUP_JOB` in the samples; subscriptions speak of `BACKUP_JOB_COMPLETED`.
    let is = |word: &str| {
        let rest = kind.strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    if is("COPY_JOB") {
        Ok(JobRef::Copy(id))
    } else if is("BACKUP_JOB") {
        Ok(JobRef::Backup(id))
    } else if is("RESTORE_JOB") {
        Ok(JobRef::Restore(id))
    } else {
        Err(format!("notifications {:?} are not used", shorten(&kind)))
    }
}

/// The id of a validation; the ledger keeps other things besides, under ids of another form.
fn validation_id(wish: &Value) -> Option<String> {
    text(wish, "validation_id").filter(|id| {
        id.len() == 20
            && id
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// Backup and copy jobs say `state`, restore jobs `status`, and a new restore job `state` again.
fn state(detail: &Value) -> Option<&str> {
    detail["state"]
        .as_str()
        .or_else(|| detail["status"].as_str())
}

/// Text that is there, neither empty nor too long; `{}` stands for an ARN that is not known.
fn text(object: &Value, key: impl Index) -> Option<String> {
    object[key]
        .as_str()
        .filter(|text| !text.is_empty() && text.len() <= LONGEST_TEXT)
        .map(str::to_owned)
}

/// Words for people, as far as they are taken.
fn words(object: &Value, key: &str) -> Option<String> {
    let words = object[key].as_str().filter(|words| !words.is_empty())?;
    Some(words[..words.floor_char_boundary(LONGEST_TEXT)].to_owned())
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

#[cfg(test)]
mod tests;

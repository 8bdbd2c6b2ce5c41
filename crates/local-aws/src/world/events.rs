//! The events AWS Backup emits, in the shapes of its developer guide (page EventBridge).

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::World;
use super::behaviour::EventDelivery;
use super::seed::{BackupJob, CopyJob, RestoreJob};
use super::state::{Effect, Job, State, later};

impl World {
    /// The "Copy Job State Change" event of a copy job in its state: `CREATED` has four keys only,
    /// and without a destination recovery point AWS sends an empty object in its place.
    pub fn copy_job_event(&self, job: &CopyJob) -> Value {
        self.with_state(|state| {
            let mut detail = Map::new();
            let mut put = |key: &str, value: Value| detail.insert(key.to_owned(), value);
            put("creationDate", millis(job.created_at).into());
            put("state", job.state.as_str().into());
            put("sourceBackupVaultArn", job.source_vault_arn.as_str().into());
            put(
                "destinationBackupVaultArn",
                job.destination_vault_arn.as_str().into(),
            );
            if job.state != "CREATED" {
                put("copyJobId", job.id.as_str().into());
                // A number here, a string in backup and restore events.
                if job.size_bytes > 0 {
                    put("backupSizeInBytes", job.size_bytes.into());
                }
                put("iamRoleArn", job.iam_role_arn.as_str().into());
                put("resourceArn", job.resource_arn.as_str().into());
                put("resourceType", job.resource_type.as_str().into());
                put(
                    "destinationRecoveryPointArn",
                    match &job.destination_recovery_point_arn {
                        Some(arn) => arn.as_str().into(),
                        None => json!({}),
                    },
                );
                if let Some(at) = job.completed_at {
                    put("completionDate", millis(at).into());
                }
                if let Some(message) = &job.status_message {
                    put("statusMessage", message.as_str().into());
                }
            }
            let resources = vec![job.source_recovery_point_arn.clone()];
            let at = job.completed_at.unwrap_or(job.created_at);
            let detail = Value::Object(detail);
            let mut event = envelope(state, "Copy Job State Change", at, resources, detail);
            if let Some(account) = &job.account {
                event["account"] = account.as_str().into();
            }
            if let Some(region) = &job.region {
                event["region"] = region.as_str().into();
            }
            event
        })
    }

    /// The "Recovery Point State Change" event of a recovery point of this world in its status, with the members of
    /// the developer guide's sample: the recovery point itself is only in `resources`, and a copy is not told from a
    /// backup.
    pub fn recovery_point_event(&self, recovery_point_arn: &str) -> Option<Value> {
        self.with_state(|state| {
            let point = state.recovery_points.get(recovery_point_arn)?.clone();
            let expires_at = later(point.created_at, Duration::from_secs(100 * 24 * 3600));
            let mut detail = json!({
                "backupVaultName": point.vault,
                "backupVaultArn": state.vault_arn(&point.vault),
                "creationDate": millis(point.created_at),
                "iamRoleArn": point.iam_role_arn,
                "resourceType": point.resource_type,
                "resourceArn": point.source_resource_arn,
                "status": point.status,
                // Text, not a boolean.
                "isEncrypted": point.kms_key_arn.is_some().to_string(),
                "storageClass": point.storage_class,
                "lifecycle": { "deleteAfterDays": 100 },
                "calculatedLifeCycle": { "deleteAt": millis(expires_at) },
            });
            let at = point.completed_at.unwrap_or(point.created_at);
            if point.status != "CREATING" {
                detail["completionDate"] = millis(at).into();
            }
            let resources = vec![point.arn];
            Some(envelope(
                state,
                "Recovery Point State Change",
                at,
                resources,
                detail,
            ))
        })
    }

    /// The "Backup Job State Change" event of a backup job in its state. The recovery point is only
    /// in `resources`, and sizes are text.
    pub fn backup_job_event(&self, job: &BackupJob) -> Value {
        self.with_state(|state| {
            let mut detail = Map::new();
            let mut put = |key: &str, value: Value| detail.insert(key.to_owned(), value);
            put("backupJobId", job.id.as_str().into());
            put("backupVaultArn", state.vault_arn(&job.vault).into());
            put("backupVaultName", job.vault.as_str().into());
            put("creationDate", millis(job.created_at).into());
            put("iamRoleArn", job.iam_role_arn.as_str().into());
            put("resourceArn", job.resource_arn.as_str().into());
            put("resourceType", job.resource_type.as_str().into());
            put("state", job.state.as_str().into());
            put("startBy", millis(start_by(job)).into());
            let (percent, moved) = match job.state.as_str() {
                "COMPLETED" => (100, job.size_bytes),
                _ => (0, 0),
            };
            put("backupSizeInBytes", moved.to_string().into());
            put("bytesTransferred", moved.to_string().into());
            put("percentDone", percent.into());
            if let Some(at) = job.completed_at {
                put("completionDate", millis(at).into());
            }
            if let Some(message) = &job.status_message {
                put("statusMessage", message.as_str().into());
            }
            let resources = job.recovery_point_arn.iter().cloned().collect();
            let at = job.completed_at.unwrap_or(job.created_at);
            envelope(
                state,
                "Backup Job State Change",
                at,
                resources,
                Value::Object(detail),
            )
        })
    }

    /// The completed backup job that a recovery point of this world, no copy, was made by.
    pub fn backup_job_of(&self, recovery_point_arn: &str) -> Option<BackupJob> {
        self.with_state(|state| {
            let point = state.recovery_points.get(recovery_point_arn)?.clone();
            Some(BackupJob {
                id: state.new_uuid("backup-job").to_uppercase(),
                vault: point.vault,
                recovery_point_arn: Some(point.arn),
                resource_arn: point.source_resource_arn,
                resource_type: point.resource_type,
                size_bytes: point.size_bytes,
                created_at: point.created_at,
                completed_at: Some(point.completed_at.unwrap_or(point.created_at)),
                iam_role_arn: point.iam_role_arn,
                ..BackupJob::default()
            })
        })
    }

    /// What SNS gives a function subscribed to the topic that AWS Backup notifies for a vault.
    pub fn vault_notification(&self, topic_arn: &str, notice: &Notice) -> Value {
        self.with_state(|state| {
            let sns = format!("https://sns.{}.amazonaws.com", state.options.region);
            let subscription = format!("{topic_arn}:{}", state.new_uuid("subscription"));
            let attribute = |value: &str| json!({ "Type": "String", "Value": value });
            json!({
                "Records": [{
                    "EventSource": "aws:sns",
                    "EventVersion": "1.0",
                    "EventSubscriptionArn": subscription,
                    "Sns": {
                        "Type": "Notification",
                        "MessageId": state.new_uuid("message"),
                        "TopicArn": topic_arn,
                        "Subject": "Notification from AWS Backup",
                        "Message": notice.message,
                        "Timestamp": millis(state.now),
                        "SignatureVersion": "1",
                        // Lambda's caller is SNS itself: nobody verifies it there.
                        "Signature": "bm90IHNpZ25lZCwgbG9jYWwtYXdz",
                        "SigningCertUrl": format!("{sns}/SimpleNotificationService-local.pem"),
                        "UnsubscribeUrl": format!("{sns}/?Action=Unsubscribe&SubscriptionArn={subscription}"),
                        "MessageAttributes": {
                            "EventType": attribute(notice.event_type),
                            "State": attribute(&notice.state),
                            "AccountId": attribute(&state.options.account),
                            "Id": attribute(&notice.id),
                            "StartTime": attribute(&millis(notice.started_at)),
                        },
                    },
                }],
            })
        })
    }

    /// The completed copy job that a recovery point of this world came by.
    pub fn copy_job_of(&self, recovery_point_arn: &str) -> Option<CopyJob> {
        self.with_state(|state| {
            let point = state.recovery_points.get(recovery_point_arn)?.clone();
            let vault_arn = state.vault_arn(&point.vault);
            Some(CopyJob {
                id: state.new_uuid("copy-job").to_uppercase(),
                source_recovery_point_arn: point.arn.replace(":copyjob-", ":job-"),
                source_vault_arn: point
                    .source_vault_arn
                    .clone()
                    .unwrap_or_else(|| vault_arn.clone()),
                destination_vault_arn: vault_arn,
                destination_recovery_point_arn: Some(point.arn),
                resource_arn: point.source_resource_arn,
                resource_type: point.resource_type,
                size_bytes: point.size_bytes,
                created_at: point.created_at,
                completed_at: Some(point.completed_at.unwrap_or(point.created_at)),
                iam_role_arn: point.iam_role_arn,
                ..CopyJob::default()
            })
        })
    }
}

/// What AWS Backup tells a vault's topic of a job, made from the job. The shape is that of the samples
/// for backup jobs in its developer guide ("Notification options with AWS Backup") and of a real message
/// that a function logged in 2024; the guide has no sample for copy and restore jobs, whose words here
/// are built alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `BACKUP_JOB`, `COPY_JOB` or `RESTORE_JOB`.
    pub event_type: &'static str,
    /// The job's state or status.
    pub state: String,
    /// The job's id.
    pub id: String,
    /// When the job began.
    pub started_at: Timestamp,
    /// The prose.
    pub message: String,
}

impl From<&BackupJob> for Notice {
    fn from(job: &BackupJob) -> Notice {
        let about = [
            ("Recovery point ARN: ", job.recovery_point_arn.as_deref()),
            ("Backed up Resource ARN : ", Some(&*job.resource_arn)),
            ("Backup Job Id : ", Some(&*job.id)),
        ];
        notice(
            "BACKUP_JOB",
            "Backup",
            &job.state,
            &job.id,
            job.created_at,
            &about,
        )
    }
}

impl From<&CopyJob> for Notice {
    fn from(job: &CopyJob) -> Notice {
        let copy = job.destination_recovery_point_arn.as_deref();
        let about = [
            ("Recovery point ARN: ", copy),
            ("Resource ARN : ", Some(&*job.resource_arn)),
            ("Copy Job Id : ", Some(&*job.id)),
        ];
        notice(
            "COPY_JOB",
            "Backup copy",
            &job.state,
            &job.id,
            job.created_at,
            &about,
        )
    }
}

impl From<&RestoreJob> for Notice {
    fn from(job: &RestoreJob) -> Notice {
        let about = [
            (
                "Restored Resource ARN : ",
                job.created_resource_arn.as_deref(),
            ),
            ("Recovery point ARN: ", Some(&*job.recovery_point_arn)),
            ("Restore Job Id : ", Some(&*job.id)),
        ];
        notice(
            "RESTORE_JOB",
            "Backup restore",
            &job.status,
            &job.id,
            job.created_at,
            &about,
        )
    }
}

fn notice(
    event_type: &'static str,
    what: &str,
    state: &str,
    id: &str,
    started_at: Timestamp,
    about: &[(&str, Option<&str>)],
) -> Notice {
    let how = match state {
        "COMPLETED" => "was completed successfully",
        "FAILED" => "failed",
        "EXPIRED" => "failed to complete in time",
        "ABORTED" => "was stopped",
        _ => "was started",
    };
    let about = about
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}{}", (*value)?)));
    Notice {
        event_type,
        state: state.to_owned(),
        id: id.to_owned(),
        started_at,
        message: format!(
            "An AWS {what} job {how}. {}",
            about.collect::<Vec<_>>().join(". ")
        ),
    }
}

/// A backup must begin within eight hours, unless a plan says otherwise (AWS Backup's default).
pub(crate) fn start_by(job: &BackupJob) -> Timestamp {
    later(job.created_at, Duration::from_secs(8 * 3600))
}

/// Emits the "Restore Job State Change" event of a job's present status.
pub(crate) fn restore_job(state: &mut State, job: &Job) {
    let Some(plan) = &job.source else { return };
    let shown = &job.job;
    let mut detail = Map::new();
    let mut put = |key: &str, value: Value| detail.insert(key.to_owned(), value);
    put("restoreJobId", shown.id.as_str().into());
    put("creationDate", millis(shown.created_at).into());
    let mut resources = vec![shown.recovery_point_arn.clone()];
    match shown.status.as_str() {
        // Created: `state`, not `status`, and nothing else.
        "PENDING" => {
            put("state", "CREATED".into());
            resources.clear();
        }
        status => {
            put("status", status.into());
            put(
                "backupSizeInBytes",
                if status == "COMPLETED" {
                    plan.size_bytes.to_string()
                } else {
                    "0".to_owned()
                }
                .into(),
            );
            put("iamRoleArn", shown.iam_role_arn.as_str().into());
            put(
                "percentDone",
                if status == "COMPLETED" { 100 } else { 0 }.into(),
            );
            put("resourceType", shown.resource_type.as_str().into());
            if let Some(message) = &shown.status_message {
                put("statusMessage", message.as_str().into());
            }
            // A failed job's event names neither vault nor recovery point nor created resource.
            if status == "COMPLETED" {
                put("backupVaultArn", state.vault_arn(&shown.vault).into());
                put("recoveryPointArn", shown.recovery_point_arn.as_str().into());
                put(
                    "sourceResourceArn",
                    shown.source_resource_arn.clone().into(),
                );
                put(
                    "createdResourceArn",
                    shown.created_resource_arn.clone().into(),
                );
                put("completionDate", shown.completed_at.map(millis).into());
            }
        }
    }
    let delivery = plan.events;
    let event = envelope(
        state,
        "Restore Job State Change",
        state.now,
        resources,
        Value::Object(detail),
    );
    deliver(state, event, delivery);
}

/// Sends an event on its way: at once, late, twice or never.
fn deliver(state: &mut State, event: Value, delivery: EventDelivery) {
    if delivery.lost {
        return;
    }
    for _ in 0..=u8::from(delivery.doubled) {
        if delivery.late.is_zero() {
            state.outbox.push(Effect::Event(event.clone()));
        } else {
            let at = later(state.now, delivery.late);
            state.late_events.push((at, event.clone()));
        }
    }
}

/// An event of the world's own account and Region.
fn envelope(
    state: &mut State,
    detail_type: &str,
    at: Timestamp,
    resources: Vec<String>,
    detail: Value,
) -> Value {
    json!({
        "version": "0",
        "id": state.new_uuid("event"),
        "detail-type": detail_type,
        "source": "aws.backup",
        "account": state.options.account,
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": state.options.region,
        "resources": resources,
        "detail": detail,
    })
}

/// RFC 3339 with milliseconds and `Z`, as in AWS's events and RDS's XML.
pub(crate) fn millis(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%dT%H:%M:%S.%3fZ")
        .to_string()
}

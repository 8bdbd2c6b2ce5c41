//! The events AWS Backup emits, in the shapes of its developer guide (page EventBridge).

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::World;
use super::behaviour::EventDelivery;
use super::seed::CopyJob;
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
                put("backupSizeInBytes", job.size_bytes.into());
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
            let account = job
                .account
                .clone()
                .unwrap_or_else(|| state.options.account.clone());
            let resources = vec![job.source_recovery_point_arn.clone()];
            let at = job.completed_at.unwrap_or(job.created_at);
            envelope(
                state,
                "Copy Job State Change",
                &account,
                at,
                resources,
                Value::Object(detail),
            )
        })
    }

    /// The completed copy job that a recovery point of this world came by.
    pub fn copy_job_of(&self, recovery_point_arn: &str) -> Option<CopyJob> {
        self.with_state(|state| {
            let point = state
                .recovery_points
                .iter()
                .find(|point| point.arn == recovery_point_arn)?
                .clone();
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
    let account = state.options.account.clone();
    let delivery = plan.events;
    let event = envelope(
        state,
        "Restore Job State Change",
        &account,
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

fn envelope(
    state: &mut State,
    detail_type: &str,
    account: &str,
    at: Timestamp,
    resources: Vec<String>,
    detail: Value,
) -> Value {
    json!({
        "version": "0",
        "id": state.new_uuid("event"),
        "detail-type": detail_type,
        "source": "aws.backup",
        "account": account,
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

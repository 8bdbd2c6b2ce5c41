//! AWS Backup: recovery points and jobs (restJson1; timestamps are epoch seconds).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::wire::{Reply, Request, ServiceError};
use crate::world::events::start_by;
use crate::world::seed::RecoveryPoint;
use crate::world::state::{Job, State};
use crate::world::{StartRestore, metadata, restore};

use super::{Answer, json_body};

/// The types that a Region's settings name ("UpdateRegionSettings", AWS Backup API reference: its example and the developer
/// guide's "Service opt-in"), but for "Storage Gateway", whose space the API's own model does not let a type have.
const OPT_IN_TYPES: [&str; 13] = [
    "Aurora",
    "CloudFormation",
    "DocumentDB",
    "DynamoDB",
    "EBS",
    "EC2",
    "EFS",
    "FSx",
    "Neptune",
    "RDS",
    "Redshift",
    "S3",
    "VirtualMachine",
];

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    let value = match request.operation.as_str() {
        "StartRestoreJob" => start(state, request)?,
        "DescribeRestoreJob" => describe_job(state, job(state, request)?),
        "GetRestoreJobMetadata" => {
            let job = job(state, request)?;
            json!({"RestoreJobId": job.job.id, "Metadata": job.job.metadata})
        }
        "DescribeBackupJob" => backup_job(state, request)?,
        "DescribeCopyJob" => copy_job(state, request)?,
        "ListRestoreJobs" => list_jobs(state, request)?,
        "DescribeRecoveryPoint" => {
            let point = point(state, request)?;
            let mut described = describe_point(state, point);
            described.insert(
                "StorageClass".to_owned(),
                point.storage_class.as_str().into(),
            );
            Value::Object(described)
        }
        "GetRecoveryPointRestoreMetadata" => {
            let point = point(state, request)?;
            json!({
                "BackupVaultArn": state.vault_arn(&point.vault),
                "RecoveryPointArn": point.arn,
                "RestoreMetadata": metadata::of_recovery_point(point),
                "ResourceType": point.resource_type,
            })
        }
        "ListBackupVaults" => list_vaults(state, request)?,
        "GetBackupVaultAccessPolicy" => access_policy(state, request)?,
        "DescribeRegionSettings" => {
            let types = OPT_IN_TYPES.iter().map(|name| {
                let is_in = !state.opted_out.contains(*name);
                ((*name).to_owned(), Value::from(is_in))
            });
            json!({ "ResourceTypeOptInPreference": types.collect::<Map<_, _>>() })
        }
        "ListRecoveryPointsByBackupVault" => list_points(state, request)?,
        _ => return Err(ServiceError::not_played(request)),
    };
    Ok(Reply::json(&value))
}

fn start(state: &mut State, request: &Request) -> Result<Value, ServiceError> {
    let body = json_body(request)?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let missing = |key: &str| {
        ServiceError::new(
            "MissingParameterValueException",
            400,
            &format!("Missing required parameter {key}"),
        )
    };
    let metadata = body.get("Metadata").ok_or_else(|| missing("Metadata"))?;
    let metadata: BTreeMap<String, String> =
        serde_json::from_value(metadata.clone()).map_err(|_| {
            ServiceError::new(
                "SerializationException",
                400,
                "Metadata must map strings to strings",
            )
        })?;
    let start = StartRestore {
        recovery_point_arn: text("RecoveryPointArn").ok_or_else(|| missing("RecoveryPointArn"))?,
        iam_role_arn: text("IamRoleArn").unwrap_or_default(),
        metadata,
        idempotency_token: text("IdempotencyToken"),
    };
    let id = restore::start(state, &start)?;
    Ok(json!({"RestoreJobId": id}))
}

fn job<'a>(state: &'a State, request: &Request) -> Result<&'a Job, ServiceError> {
    let id = request.path.get(1).map(String::as_str).unwrap_or_default();
    state.jobs.get(id).ok_or_else(|| {
        ServiceError::new(
            "ResourceNotFoundException",
            400,
            &format!("Restore job not found: {id}"),
        )
    })
}

fn backup_job(state: &State, request: &Request) -> Result<Value, ServiceError> {
    let id = request.path.get(1).map(String::as_str).unwrap_or_default();
    let job = state
        .backup_jobs
        .get(&id.to_ascii_uppercase())
        .ok_or_else(|| not_found(&format!("Backup job not found: {id}")))?;
    let mut members = Map::new();
    let mut put = |key: &str, value: Value| members.insert(key.to_owned(), value);
    put("AccountId", state.options.account.as_str().into());
    put("BackupJobId", job.id.as_str().into());
    put("BackupVaultName", job.vault.as_str().into());
    put("BackupVaultArn", state.vault_arn(&job.vault).into());
    if let Some(arn) = &job.recovery_point_arn {
        put("RecoveryPointArn", arn.as_str().into());
    }
    put("ResourceArn", job.resource_arn.as_str().into());
    put("ResourceType", job.resource_type.as_str().into());
    put("CreationDate", epoch(job.created_at));
    put("StartBy", epoch(start_by(job)));
    put("State", job.state.as_str().into());
    put("IamRoleArn", job.iam_role_arn.as_str().into());
    put("IsParent", false.into());
    let (percent, size) = match job.state.as_str() {
        "COMPLETED" => ("100.0", job.size_bytes),
        _ => ("0.0", 0),
    };
    put("PercentDone", percent.into());
    put("BackupSizeInBytes", size.into());
    put("BytesTransferred", size.into());
    if let Some(at) = job.completed_at {
        put("CompletionDate", epoch(at));
    }
    if let Some(message) = &job.status_message {
        put("StatusMessage", message.as_str().into());
    }
    Ok(Value::Object(members))
}

fn copy_job(state: &State, request: &Request) -> Result<Value, ServiceError> {
    let id = request.path.get(1).map(String::as_str).unwrap_or_default();
    let job = state
        .copy_jobs
        .get(&id.to_ascii_uppercase())
        // A copy job belongs to the account and Region that started it: no other knows it.
        .filter(|job| {
            let ours = |member: &Option<String>, own: &str| {
                member.as_ref().is_none_or(|member| member == own)
            };
            ours(&job.account, &state.options.account) && ours(&job.region, &state.options.region)
        })
        .ok_or_else(|| not_found(&format!("Copy job not found: {id}")))?;
    let mut members = Map::new();
    let mut put = |key: &str, value: Value| members.insert(key.to_owned(), value);
    put("AccountId", state.options.account.as_str().into());
    put("CopyJobId", job.id.as_str().into());
    put("SourceBackupVaultArn", job.source_vault_arn.as_str().into());
    put(
        "SourceRecoveryPointArn",
        job.source_recovery_point_arn.as_str().into(),
    );
    put(
        "DestinationBackupVaultArn",
        job.destination_vault_arn.as_str().into(),
    );
    // Left out here, where the event has an empty object.
    if let Some(arn) = &job.destination_recovery_point_arn {
        put("DestinationRecoveryPointArn", arn.as_str().into());
    }
    put("ResourceArn", job.resource_arn.as_str().into());
    put("ResourceType", job.resource_type.as_str().into());
    put("CreationDate", epoch(job.created_at));
    put("State", job.state.as_str().into());
    if job.size_bytes > 0 {
        put("BackupSizeInBytes", job.size_bytes.into());
    }
    put("IamRoleArn", job.iam_role_arn.as_str().into());
    put("IsParent", false.into());
    if let Some(at) = job.completed_at {
        put("CompletionDate", epoch(at));
    }
    if let Some(message) = &job.status_message {
        put("StatusMessage", message.as_str().into());
    }
    Ok(json!({ "CopyJob": members }))
}

fn not_found(message: &str) -> ServiceError {
    ServiceError::new("ResourceNotFoundException", 400, message)
}

fn vault<'a>(state: &State, request: &'a Request) -> Result<&'a str, ServiceError> {
    let name = request.path.get(1).map(String::as_str).unwrap_or_default();
    match restore::admits(state, name) {
        true => Ok(name),
        false => Err(restore::insufficient_privileges()),
    }
}

fn point<'a>(state: &'a State, request: &Request) -> Result<&'a RecoveryPoint, ServiceError> {
    let vault = vault(state, request)?;
    let arn = request.path.get(3).map(String::as_str).unwrap_or_default();
    state
        .recovery_points
        .get(arn)
        .filter(|point| point.vault == vault)
        .ok_or_else(|| {
            ServiceError::new(
                "ResourceNotFoundException",
                400,
                &format!("Recovery point not found: {arn}"),
            )
        })
}

/// The members that describe and list have in common.
fn describe_point(state: &State, point: &RecoveryPoint) -> Map<String, Value> {
    let resource_name = point
        .source_resource_arn
        .rsplit(':')
        .next()
        .unwrap_or_default();
    let last_restore = state
        .jobs
        .of_point(&point.arn)
        .filter(|job| job.job.status == "COMPLETED")
        .filter_map(|job| job.job.completed_at)
        .max();
    let mut members = Map::new();
    let mut put = |key: &str, value: Value| members.insert(key.to_owned(), value);
    put("RecoveryPointArn", point.arn.as_str().into());
    put("BackupVaultName", point.vault.as_str().into());
    put("BackupVaultArn", state.vault_arn(&point.vault).into());
    if let Some(arn) = &point.source_vault_arn {
        put("SourceBackupVaultArn", arn.as_str().into());
    }
    put("ResourceArn", point.source_resource_arn.as_str().into());
    put("ResourceType", point.resource_type.as_str().into());
    put("ResourceName", resource_name.into());
    put("IamRoleArn", point.iam_role_arn.as_str().into());
    put("Status", point.status.as_str().into());
    put("CreationDate", epoch(point.created_at));
    put("InitiationDate", epoch(point.created_at));
    put(
        "CompletionDate",
        epoch(point.completed_at.unwrap_or(point.created_at)),
    );
    if point.size_bytes > 0 {
        put("BackupSizeInBytes", point.size_bytes.into());
    }
    put("IsEncrypted", point.kms_key_arn.is_some().into());
    if let Some(key) = point.named_key_arn.as_ref().or(point.kms_key_arn.as_ref()) {
        put("EncryptionKeyArn", key.as_str().into());
    }
    if let Some(at) = point.expires_at {
        put("CalculatedLifecycle", json!({ "DeleteAt": epoch(at) }));
    }
    if let Some(at) = last_restore {
        put("LastRestoreTime", epoch(at));
    }
    put("IsParent", point.is_parent.into());
    put("VaultType", "BACKUP_VAULT".into());
    members
}

fn describe_job(state: &State, job: &Job) -> Value {
    let shown = &job.job;
    let mut members = Map::new();
    let mut put = |key: &str, value: Value| members.insert(key.to_owned(), value);
    put("AccountId", state.options.account.as_str().into());
    put("RestoreJobId", shown.id.as_str().into());
    put("RecoveryPointArn", shown.recovery_point_arn.as_str().into());
    put("BackupVaultArn", state.vault_arn(&shown.vault).into());
    put("CreationDate", epoch(shown.created_at));
    put("Status", shown.status.as_str().into());
    // A string in the API, a number in events.
    put(
        "PercentDone",
        if shown.status == "COMPLETED" {
            "100.00%"
        } else {
            "0.00%"
        }
        .into(),
    );
    put("IamRoleArn", shown.iam_role_arn.as_str().into());
    put("ResourceType", shown.resource_type.as_str().into());
    put("IsParent", false.into());
    if let Some(arn) = &shown.source_resource_arn {
        put("SourceResourceArn", arn.as_str().into());
    }
    if let Some(at) = shown.completed_at {
        put("CompletionDate", epoch(at));
    }
    if let Some(message) = &shown.status_message {
        put("StatusMessage", message.as_str().into());
    }
    if let Some(arn) = &shown.created_resource_arn {
        put("CreatedResourceArn", arn.as_str().into());
    }
    if let Some(plan) = &shown.restore_testing_plan_arn {
        put("CreatedBy", json!({"RestoreTestingPlanArn": plan}));
    }
    if let Some(plan) = &job.source {
        put(
            "BackupSizeInBytes",
            if shown.status == "COMPLETED" {
                plan.size_bytes
            } else {
                0
            }
            .into(),
        );
        put("RecoveryPointCreationDate", epoch(plan.point_created_at));
    }
    Value::Object(members)
}

fn list_jobs(state: &State, request: &Request) -> Result<Value, ServiceError> {
    let after = time(request, "createdAfter")?;
    let before = time(request, "createdBefore")?;
    let complete_after = time(request, "completeAfter")?;
    let complete_before = time(request, "completeBefore")?;
    let wanted = |name: &str, value: Option<&str>| {
        request
            .query(name)
            .is_none_or(|wanted| Some(wanted) == value)
    };
    // Newest first, as AWS lists them.
    let found = state
        .jobs
        .iter()
        .rev()
        .filter(|job| {
            let job = &job.job;
            after.is_none_or(|at| job.created_at > at)
                && before.is_none_or(|at| job.created_at < at)
                && complete_after.is_none_or(|at| job.completed_at.is_some_and(|done| done > at))
                && complete_before.is_none_or(|at| job.completed_at.is_some_and(|done| done < at))
                && wanted("status", Some(&job.status))
                && wanted("resourceType", Some(&job.resource_type))
                && wanted("accountId", Some(&state.options.account))
                && wanted(
                    "restoreTestingPlanArn",
                    job.restore_testing_plan_arn.as_deref(),
                )
                && wanted("parentJobId", None)
        })
        .map(|job| || describe_job(state, job));
    page(state, request, "RestoreJobs", found)
}

fn list_vaults(state: &State, request: &Request) -> Result<Value, ServiceError> {
    const KIND: &str = "BACKUP_VAULT";
    let wanted = request.query("vaultType").is_none_or(|kind| kind == KIND)
        && request.query("shared") != Some("true");
    let found = state.vaults.values().filter(|_| wanted).map(|vault| {
        || {
            let points = state.recovery_points.iter();
            let points = points.filter(|point| point.vault == vault.name).count();
            let (region, account) = (&state.options.region, &state.options.account);
            let key = vault.key_arn.clone().unwrap_or_else(|| {
                format!("arn:aws:kms:{region}:{account}:key/0b5e0000-0000-4000-8000-000000000001")
            });
            let mut listed = json!({
                "BackupVaultName": vault.name,
                "BackupVaultArn": state.vault_arn(&vault.name),
                "VaultType": KIND,
                "CreationDate": vault.created_at.map(epoch),
                "EncryptionKeyArn": key,
                "NumberOfRecoveryPoints": points,
                "Locked": vault.locked_days.is_some(),
            });
            if let Some(days) = vault.locked_days {
                listed["MinRetentionDays"] = days.into();
            }
            listed
        }
    });
    page(state, request, "BackupVaultList", found)
}

fn access_policy(state: &State, request: &Request) -> Result<Value, ServiceError> {
    let name = vault(state, request)?;
    let policy = state
        .vaults
        .get(name)
        .and_then(|vault| vault.access_policy.as_deref());
    let none = || not_found(&format!("Backup vault {name} has no access policy"));
    Ok(json!({
        "BackupVaultName": name,
        "BackupVaultArn": state.vault_arn(name),
        "Policy": policy.ok_or_else(none)?,
    }))
}

fn list_points(state: &State, request: &Request) -> Result<Value, ServiceError> {
    let vault = vault(state, request)?;
    let after = time(request, "createdAfter")?;
    let before = time(request, "createdBefore")?;
    let wanted = |name: &str, value: Option<&str>| {
        request
            .query(name)
            .is_none_or(|wanted| Some(wanted) == value)
    };
    let found = state
        .recovery_points
        .iter()
        .filter(|point| {
            point.vault == vault
                && after.is_none_or(|at| point.created_at > at)
                && before.is_none_or(|at| point.created_at < at)
                && wanted("resourceArn", Some(&point.source_resource_arn))
                && wanted("resourceType", Some(&point.resource_type))
                && wanted("backupPlanId", None)
                && wanted("parentRecoveryPointArn", None)
        })
        .map(|point| || Value::Object(describe_point(state, point)));
    page(state, request, "RecoveryPoints", found)
}

/// One page of a list, whose entries are described by what is `found`; the token is the position, opaque to callers.
fn page(
    state: &State,
    request: &Request,
    key: &str,
    found: impl Iterator<Item = impl FnOnce() -> Value>,
) -> Result<Value, ServiceError> {
    let invalid = |what: &str| {
        ServiceError::new(
            "InvalidParameterValueException",
            400,
            &format!("Invalid {what}"),
        )
    };
    let start = match request.query("nextToken") {
        None => 0,
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|at| at.parse::<usize>().ok())
            .ok_or_else(|| invalid("NextToken"))?,
    };
    let asked = match request.query("maxResults") {
        None => usize::MAX,
        Some(text) => text
            .parse()
            .ok()
            .filter(|n| (1..=1000).contains(n))
            .ok_or_else(|| invalid("MaxResults"))?,
    };
    let size = asked.min(state.options.page_size).max(1);
    let end = start.saturating_add(size);
    let mut found = found.skip(start);
    let items: Vec<Value> = found.by_ref().take(size).map(|entry| entry()).collect();
    let more = found.next().is_some();
    let mut answer = Map::new();
    answer.insert(key.to_owned(), items.into());
    if more {
        answer.insert("NextToken".to_owned(), format!("page-{end}").into());
    }
    Ok(Value::Object(answer))
}

fn time(request: &Request, name: &str) -> Result<Option<Timestamp>, ServiceError> {
    request
        .query(name)
        .map(|text| {
            text.parse().map_err(|_| {
                ServiceError::new(
                    "InvalidParameterValueException",
                    400,
                    &format!("{name} is not a timestamp: {text}"),
                )
            })
        })
        .transpose()
}

/// Epoch seconds with milliseconds, as AWS Backup's JSON has them.
fn epoch(at: Timestamp) -> Value {
    json!(at.as_millisecond() as f64 / 1000.0)
}

#[cfg(test)]
mod tests;

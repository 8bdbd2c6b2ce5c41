//! AWS Backup: recovery points and restore jobs.

use futures_util::FutureExt;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use restore_proof_core::event::{BackupJobEvent, BackupState, CopyJobEvent, CopyState};
use restore_proof_core::validation::{Intent, RestoreJob};

use aws_sdk_backup::operation::describe_backup_job::DescribeBackupJobOutput;
use aws_sdk_backup::types::CopyJob;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::aws::{Aws, AwsError, call, date_time, failed, timestamp};

/// What AWS Backup answers for the id of a job that it does not know, or that is no id.
const UNKNOWN_JOB: [&str; 2] = [
    "ResourceNotFoundException",
    "InvalidParameterValueException",
];

/// A recovery point as AWS Backup describes it.
#[derive(Clone, Debug)]
pub struct DescribedPoint {
    /// ARN.
    pub arn: String,
    /// `COMPLETED`, `AVAILABLE`, `CREATING`, `PARTIAL`, `EXPIRED`, `DELETING`, `STOPPED`.
    pub status: String,
    /// AWS Backup's name of the resource type.
    pub resource_type: Option<String>,
    /// ARN of the backed-up resource.
    pub resource_arn: Option<String>,
    /// For a copy, when its source was created.
    pub created_at: Option<Timestamp>,
    /// For a copy, when the copy was complete.
    pub completed_at: Option<Timestamp>,
    /// Bytes.
    pub size_bytes: Option<u64>,
    /// ARN of the key that encrypts it.
    pub encryption_key_arn: Option<String>,
    /// When AWS Backup deletes it; none if that is never.
    pub expires_at: Option<Timestamp>,
}

/// A recovery point from the SDK's answer to a description or a listing: two types with the same fields.
macro_rules! described_point {
    ($point:expr, $arn:expr) => {
        DescribedPoint {
            arn: $arn,
            status: $point
                .status()
                .map(|status| status.as_str().to_owned())
                .unwrap_or_default(),
            resource_type: $point.resource_type.clone(),
            resource_arn: $point.resource_arn.clone(),
            created_at: $point.creation_date().and_then(timestamp),
            completed_at: $point.completion_date().and_then(timestamp),
            size_bytes: $point
                .backup_size_in_bytes()
                .and_then(|size| u64::try_from(size).ok()),
            encryption_key_arn: $point
                .encryption_key_arn
                .clone()
                .filter(|arn| !arn.is_empty()),
            expires_at: $point
                .calculated_lifecycle()
                .and_then(|lifecycle| lifecycle.delete_at())
                .and_then(timestamp),
        }
    };
}

/// A restore job, likewise.
macro_rules! restore_job {
    ($job:expr) => {
        RestoreJob {
            id: $job.restore_job_id.clone().unwrap_or_default(),
            recovery_point_arn: $job.recovery_point_arn.clone(),
            role_arn: $job.iam_role_arn.clone(),
            created_at: $job.creation_date().and_then(timestamp),
            completed_at: $job.completion_date().and_then(timestamp),
            status: $job
                .status()
                .map(|status| status.as_str().to_owned())
                .unwrap_or_default(),
            status_message: $job
                .status_message
                .clone()
                .filter(|message| !message.is_empty()),
            created_resource_arn: $job
                .created_resource_arn
                .clone()
                .filter(|arn| !arn.is_empty()),
            size_bytes: $job
                .backup_size_in_bytes()
                .and_then(|size| u64::try_from(size).ok()),
        }
    };
}

/// The most recovery points of one page (API reference of AWS Backup).
const POINTS_OF_A_PAGE: i32 = 1000;
/// The operation that lists what lies in a vault.
const LIST_POINTS: &str = "backup:ListRecoveryPointsByBackupVault";

/// Turns an SDK error of a call about a vault into ours. Of a vault that does not exist AWS Backup says
/// `AccessDeniedException`, "Insufficient privileges to perform this action", also to an administrator (boto3 issue 2269,
/// aws-sdk-js issue 2625): left as it is, that would send people looking for a permission.
fn failed_for_vault<E, R>(
    operation: &'static str,
    vault: &str,
) -> impl FnOnce(SdkError<E, R>) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    move |error| {
        let error = failed(operation)(error);
        // What an IAM policy refuses has other words, and is no matter of the vault.
        if !is_refused_by_vault(&error) {
            return error;
        }
        let message = format!(
            "vault {vault} does not exist in this account and Region, or its access policy refuses: {}",
            error.message
        );
        AwsError { message, ..error }
    }
}

/// Whether the answer says that the vault does not exist or that its access policy refuses.
pub fn is_refused_by_vault(error: &AwsError) -> bool {
    error.is(&["AccessDeniedException"]) && error.message.contains("Insufficient privileges")
}

/// A vault of this account and Region.
#[derive(Clone, Debug)]
pub struct Vault {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// How many recovery points lie in it.
    pub points: u64,
}

/// The vaults of this account and Region.
///
/// # Errors
/// When AWS Backup refuses or does not answer.
pub async fn vaults(aws: &Aws) -> Result<Vec<Vault>, AwsError> {
    let mut pages = aws.backup.list_backup_vaults().into_paginator().send();
    let mut vaults = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("backup:ListBackupVaults"))?;
        vaults.extend(page.backup_vault_list().iter().filter_map(|vault| {
            Some(Vault {
                name: vault.backup_vault_name.clone()?,
                created_at: vault.creation_date().and_then(timestamp),
                points: u64::try_from(vault.number_of_recovery_points()).unwrap_or_default(),
            })
        }));
    }
    Ok(vaults)
}

/// Whether a vault holds a recovery point that was created since a point in time.
///
/// # Errors
/// When AWS Backup refuses or does not answer.
pub async fn has_points_since(aws: &Aws, vault: &str, since: Timestamp) -> Result<bool, AwsError> {
    let answer = aws
        .backup
        .list_recovery_points_by_backup_vault()
        .backup_vault_name(vault)
        .by_created_after(date_time(since))
        .max_results(1)
        .send()
        .boxed()
        .await
        .map_err(failed_for_vault(LIST_POINTS, vault))?;
    Ok(!answer.recovery_points().is_empty())
}

/// Describes a recovery point; none when AWS Backup does not know it.
///
/// # Errors
/// When AWS Backup refuses or does not answer.
pub async fn describe_recovery_point(
    aws: &Aws,
    vault: &str,
    arn: &str,
) -> Result<Option<DescribedPoint>, AwsError> {
    let result = aws
        .backup
        .describe_recovery_point()
        .backup_vault_name(vault)
        .recovery_point_arn(arn)
        .send()
        .boxed()
        .await
        .map_err(failed_for_vault("backup:DescribeRecoveryPoint", vault));
    match result {
        Ok(point) => Ok(Some(described_point!(point, arn.to_owned()))),
        Err(error) if error.is(&["ResourceNotFoundException"]) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What AWS Backup keeps for restoring a recovery point. Sensitive: never logged.
///
/// # Errors
/// When AWS Backup refuses or does not answer.
pub async fn restore_metadata(
    aws: &Aws,
    vault: &str,
    arn: &str,
) -> Result<BTreeMap<String, String>, AwsError> {
    let answer = aws
        .backup
        .get_recovery_point_restore_metadata()
        .backup_vault_name(vault)
        .recovery_point_arn(arn)
        .send()
        .boxed()
        .await
        .map_err(failed_for_vault(
            "backup:GetRecoveryPointRestoreMetadata",
            vault,
        ))?;
    Ok(answer
        .restore_metadata
        .unwrap_or_default()
        .into_iter()
        .collect())
}

/// Starts the restore of an intent, or finds it started: the token makes a repetition harmless for under an hour.
///
/// # Errors
/// When AWS Backup refuses or does not answer.
pub async fn start_restore(
    aws: &Aws,
    recovery_point_arn: &str,
    resource_type: &str,
    role_arn: &str,
    intent: &Intent,
) -> Result<String, AwsError> {
    let metadata: HashMap<_, _> = intent.metadata.clone().into_iter().collect();
    let answer = call(
        "backup:StartRestoreJob",
        aws.backup
            .start_restore_job()
            .recovery_point_arn(recovery_point_arn)
            .resource_type(resource_type)
            .iam_role_arn(role_arn)
            .idempotency_token(&intent.idempotency_token)
            .set_metadata(Some(metadata))
            .send(),
    )
    .await?;
    answer.restore_job_id.ok_or_else(|| AwsError {
        operation: "backup:StartRestoreJob",
        code: None,
        message: "the answer names no restore job".to_owned(),
    })
}

/// Describes a restore job; none when AWS Backup does not know it.
///
/// # Errors
/// When AWS Backup refuses or does not answer.
pub async fn describe_restore_job(aws: &Aws, id: &str) -> Result<Option<RestoreJob>, AwsError> {
    let result = call(
        "backup:DescribeRestoreJob",
        aws.backup.describe_restore_job().restore_job_id(id).send(),
    )
    .await;
    match result {
        Ok(job) => Ok(Some(restore_job!(job))),
        Err(error) if error.is(&["ResourceNotFoundException"]) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Describes a copy job, as its event would tell of it; the reason, in words, when it is of no use.
///
/// # Errors
/// When AWS Backup refuses or does not answer.
pub async fn describe_copy_job(
    aws: &Aws,
    id: &str,
) -> Result<Result<CopyJobEvent, String>, AwsError> {
    let result = call(
        "backup:DescribeCopyJob",
        aws.backup.describe_copy_job().copy_job_id(id).send(),
    )
    .await;
    let job = match result {
        Ok(answer) => answer.copy_job,
        Err(error) if error.is(&UNKNOWN_JOB) => None,
        Err(error) => return Err(error),
    };
    // Copy jobs belong to one account, most likely the one copied from.
    let Some(job) = job else {
        return Ok(Err(format!(
            "AWS Backup knows no copy job {id} here; the sweep finds the copy"
        )));
    };
    Ok(read_copy_job(job))
}

fn read_copy_job(job: CopyJob) -> Result<CopyJobEvent, String> {
    let copy = CopyJobEvent {
        // Whoever asks AWS Backup itself need not ask who tells.
        account: None,
        state: CopyState::ended(job.state().map(|state| state.as_str()))?,
        event_time: None,
        created_at: job.creation_date().and_then(timestamp),
        completed_at: job.completion_date().and_then(timestamp),
        copy_job_id: filled(job.copy_job_id),
        source_vault_arn: filled(job.source_backup_vault_arn),
        destination_vault_arn: filled(job.destination_backup_vault_arn)
            .ok_or("the copy job names no DestinationBackupVaultArn")?,
        recovery_point_arn: filled(job.destination_recovery_point_arn),
        source_recovery_point_arn: filled(job.source_recovery_point_arn),
        resource_arn: filled(job.resource_arn),
        resource_type: filled(job.resource_type),
        size_bytes: job
            .backup_size_in_bytes
            .and_then(|size| u64::try_from(size).ok()),
        status_message: filled(job.status_message),
    };
    copy.usable()
}

/// Describes a backup job, as its event would tell of it; the reason, in words, when it is of no use.
///
/// # Errors
/// When AWS Backup refuses or does not answer.
pub async fn describe_backup_job(
    aws: &Aws,
    id: &str,
) -> Result<Result<BackupJobEvent, String>, AwsError> {
    let result = call(
        "backup:DescribeBackupJob",
        aws.backup.describe_backup_job().backup_job_id(id).send(),
    )
    .await;
    match result {
        Ok(job) => Ok(read_backup_job(job)),
        Err(error) if error.is(&UNKNOWN_JOB) => {
            Ok(Err(format!("AWS Backup knows no backup job {id} here")))
        }
        Err(error) => Err(error),
    }
}

fn read_backup_job(job: DescribeBackupJobOutput) -> Result<BackupJobEvent, String> {
    Ok(BackupJobEvent {
        account: None,
        state: BackupState::ended(job.state().map(|state| state.as_str()))?,
        backup_job_id: filled(job.backup_job_id),
        vault_arn: filled(job.backup_vault_arn).ok_or("the backup job names no BackupVaultArn")?,
        recovery_point_arn: filled(job.recovery_point_arn)
            .ok_or("the backup job names no recovery point")?,
        resource_arn: filled(job.resource_arn),
        resource_type: filled(job.resource_type),
        size_bytes: job
            .backup_size_in_bytes
            .and_then(|size| u64::try_from(size).ok()),
        status_message: filled(job.status_message),
    })
}

/// Text that is there and not empty.
fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The restore jobs that were created since a point in time.
///
/// # Errors
/// When AWS Backup refuses or does not answer.
pub async fn restore_jobs_since(aws: &Aws, since: Timestamp) -> Result<Vec<RestoreJob>, AwsError> {
    let mut pages = aws
        .backup
        .list_restore_jobs()
        .by_created_after(date_time(since))
        .into_paginator()
        .send();
    let mut jobs = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("backup:ListRestoreJobs"))?;
        jobs.extend(page.restore_jobs().iter().map(|job| restore_job!(job)));
    }
    Ok(jobs)
}

/// The metadata a restore job was started with. Sensitive: never logged. AWS Backup does not keep the case of
/// keys everywhere.
///
/// # Errors
/// When AWS Backup refuses or does not answer.
pub async fn restore_job_metadata(
    aws: &Aws,
    job_id: &str,
) -> Result<BTreeMap<String, String>, AwsError> {
    let answer = call(
        "backup:GetRestoreJobMetadata",
        aws.backup
            .get_restore_job_metadata()
            .restore_job_id(job_id)
            .send(),
    )
    .await?;
    Ok(answer.metadata.unwrap_or_default().into_iter().collect())
}

/// The recovery points of a vault that were created since a point in time. AWS Backup knows no other: a copy is dated by
/// what it is a copy of, however late it was made.
///
/// # Errors
/// When AWS Backup refuses or does not answer.
pub async fn recovery_points_since(
    aws: &Aws,
    vault: &str,
    since: Timestamp,
) -> Result<Vec<DescribedPoint>, AwsError> {
    let mut pages = aws
        .backup
        .list_recovery_points_by_backup_vault()
        .backup_vault_name(vault)
        .by_created_after(date_time(since))
        .max_results(POINTS_OF_A_PAGE)
        .into_paginator()
        .send();
    let mut points = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed_for_vault(LIST_POINTS, vault))?;
        points.extend(page.recovery_points().iter().filter_map(|point| {
            let arn = point.recovery_point_arn.clone()?;
            Some(described_point!(point, arn))
        }));
    }
    Ok(points)
}

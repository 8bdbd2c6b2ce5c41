//! What Restore Proof does: one event in, one step of some validation out.
//!
//! Every event is only a hint that some validation may be able to move. The ledger and AWS itself are the truth.

pub mod advance;
pub mod aws;
pub mod backup;
pub mod check;
pub mod config;
pub mod ledger;
pub mod policy_file;
pub mod publish;
pub mod resource;
pub mod sweep;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use restore_proof_core::arn::Arn;
use restore_proof_core::event::{self, CopyJobEvent, CopyState, Sweep, Trigger, ValidateRequest};
use restore_proof_core::validation::{Cleanup, Validation};
use restore_proof_core::verdict::Verdict;
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::aws::Aws;
use crate::config::Config;
use crate::ledger::{Ledger, Taken};

/// A lease outlives the invocation that took it by this: then nobody else works on it any more.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// Tells the time. Tests bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The function between invocations.
pub struct App {
    /// Settings.
    pub config: Config,
    /// Clients.
    pub aws: Aws,
    /// Validations.
    pub ledger: Ledger,
    /// How long to wait at most between two looks at a resource that is not ready.
    pub poll: Duration,
    clock: Clock,
}

impl App {
    /// A function with these settings and clients.
    pub fn new(config: Config, aws: Aws, clock: Clock) -> App {
        let ledger = Ledger::new(aws.dynamodb.clone(), &config.ledger_table);
        App {
            config,
            aws,
            ledger,
            poll: Duration::from_secs(5),
            clock,
        }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// Handles one invocation, which Lambda ends at `deadline`.
///
/// # Errors
/// When AWS refuses or does not answer: the event is to be delivered again.
pub async fn handle(app: &App, payload: &Value, deadline: Timestamp) -> anyhow::Result<Value> {
    let call = Call {
        app,
        nonce: uuid::Uuid::new_v4().to_string(),
        deadline,
    };
    match event::read(payload) {
        Trigger::Copy(copy) => call.copy(copy).await,
        Trigger::Restore(restore) => call.restore(&restore.restore_job_id).await,
        Trigger::Sweep(Sweep::Due) => Ok(json!({ "invoked": sweep::due(app).await? })),
        Trigger::Sweep(Sweep::Lost) => {
            Ok(json!({ "opened": sweep::lost(app, &call.nonce).await? }))
        }
        Trigger::Advance { validation_id } => call.advance(&validation_id).await,
        Trigger::Validate(request) => call.validate(request).await,
        Trigger::Ignored(reason) => {
            warn!("event ignored: {reason}");
            Ok(json!({ "ignored": reason }))
        }
    }
}

/// One invocation.
struct Call<'a> {
    app: &'a App,
    /// Tells this invocation's writes from all others.
    nonce: String,
    deadline: Timestamp,
}

impl Call<'_> {
    /// A copy job ended: opens its validation, or finds it.
    async fn copy(&self, copy: CopyJobEvent) -> anyhow::Result<Value> {
        let config = &self.app.config;
        let (stack, now) = (config.name_prefix.as_str(), self.app.now());
        let vault = copy.destination_vault_arn.parse::<Arn>().ok();
        // AWS Backup could never be asked about a vault without a name.
        let Some(vault) = vault.filter(|vault| !vault.name().is_empty()) else {
            warn!("event ignored: destinationBackupVaultArn is not the ARN of a vault");
            return Ok(json!({ "ignored": "destinationBackupVaultArn is not the ARN of a vault" }));
        };
        let mut validation = match (copy.state, &copy.recovery_point_arn) {
            (CopyState::Completed, Some(arn)) => Validation::of_copy(stack, &copy, arn, now),
            _ => Validation::of_failed_copy(stack, &copy, now),
        };
        // The event may come from the source's account: what counts is where the copy landed.
        if vault.account != config.account || vault.region != config.region {
            let reason = format!(
                "it lies in account {} and Region {}; this function validates account {} in {}",
                vault.account, vault.region, config.account, config.region
            );
            validation.settle(Cleanup::NothingToDelete, None, now);
            validation.decide(Verdict::NotTested, reason, now);
        }
        let id = validation.id.clone();
        let new = self.app.ledger.open(&validation, &self.nonce).await?;
        info!(validation.id = %id, copy_job.id = copy.copy_job_id.as_deref(), "copy job event of validation {id}{}", if new { "" } else { ", known already" });
        self.advance_with(&id, |known| {
            // The sweep may have found the recovery point before its event came.
            known.copy_job = known.copy_job.take().or(validation.copy_job);
        })
        .await
    }

    /// A restore job ended: only one that the ledger knows as ours means anything.
    async fn restore(&self, job_id: &str) -> anyhow::Result<Value> {
        match self.app.ledger.validation_of_job(job_id).await? {
            Some(id) => self.advance(&id).await,
            None => {
                info!(
                    restore_job.id = job_id,
                    "restore job {job_id} is not one of ours"
                );
                Ok(json!({ "ignored": format!("restore job {job_id} is not one of ours") }))
            }
        }
    }

    /// Somebody asks for the validation of a recovery point.
    async fn validate(&self, request: ValidateRequest) -> anyhow::Result<Value> {
        let config = &self.app.config;
        let vault_arn = config.vault_arn(&request.backup_vault_name);
        let wish = request.request_id.as_deref();
        let arn = &request.recovery_point_arn;
        let validation =
            Validation::open(&config.name_prefix, arn, &vault_arn, wish, self.app.now());
        self.app.ledger.open(&validation, &self.nonce).await?;
        self.advance(&validation.id).await
    }

    async fn advance(&self, id: &str) -> anyhow::Result<Value> {
        self.advance_with(id, |_| {}).await
    }

    /// Moves a validation, if nobody else does, after adding what this invocation knows.
    async fn advance_with(
        &self,
        id: &str,
        add: impl FnOnce(&mut Validation),
    ) -> anyhow::Result<Value> {
        let until = self.deadline + LEASE_MARGIN;
        let validation = match self
            .app
            .ledger
            .take(id, &self.nonce, self.app.now(), until)
            .await?
        {
            Taken::Lease(mut lease) => {
                add(&mut lease.validation);
                advance::advance(self.app, *lease, self.deadline).await?
            }
            Taken::Busy(validation) => {
                info!(validation.id = %id, "validation {id} is being moved by another invocation");
                *validation
            }
            Taken::Closed(validation) => *validation,
            Taken::Unknown => {
                warn!(validation.id = %id, "the ledger knows no validation {id}");
                return Ok(json!({ "ignored": format!("the ledger knows no validation {id}") }));
            }
        };
        Ok(json!({
            "validation_id": validation.id,
            "stage": validation.stage.as_str(),
            "verdict": validation.verdict.map(Verdict::as_str),
            "reason": validation.verdict_reason,
            "cleanup": validation.cleanup.as_str(),
        }))
    }
}

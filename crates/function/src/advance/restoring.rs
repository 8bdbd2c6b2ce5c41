//! Restoring: started once, recognised again after a death, and waited for.

use jiff::{SignedDuration, Timestamp};
use restore_proof_core::evidence;
use restore_proof_core::ownership::{self, Mark};
use restore_proof_core::plan;
use restore_proof_core::validation::{Cleanup, Intent, RestoreJob, Stage};
use restore_proof_core::verdict::Verdict;
use tracing::info;

use super::landed::not_out;
use super::restored::{Looked, UNSEEN_LOOKS};
use super::{Next, POLL, Run};
use crate::aws::AwsError;
use crate::failure::{self, Failure};
use crate::{backup, resource};

/// How long an idempotency token is trusted. AWS once documented an hour and says nothing today.
pub(super) const TOKEN_TRUSTED: SignedDuration = SignedDuration::from_mins(50);
/// How much before the intent a job's creation may be dated: clocks differ.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);

/// The restore job that an intent has started, as far as it can be told.
pub(super) enum Found {
    /// None: nothing was started.
    None,
    /// This one.
    Ours(String),
    /// One of these may be it; why it cannot be told.
    Unclear(Vec<String>, String),
}

impl Run<'_> {
    /// 1. Makes sure that the restore job of the intent is started. 2. Looks how it is.
    pub(super) async fn restoring(&mut self) -> failure::Result<Next> {
        let app = self.app;
        let Some(intent) = self.lease.validation.intent.clone() else {
            return Err(Failure::Other(format!(
                "validation {} is restoring without an intent",
                self.lease.validation.id
            )));
        };
        if self.lease.validation.retry_at.is_some() {
            return self.clear_away().await;
        }
        let Some(job_id) = intent.restore_job_id.clone() else {
            return self.start(intent).await;
        };
        // An answer "not found" for a job of ours is not believed: the job is asked for again.
        let Some(job) = backup::describe_restore_job(&app.aws, &job_id).await? else {
            let why =
                format!("AWS Backup does not know restore job {job_id}, which it has started");
            return Ok(Next::Stuck(why));
        };
        match job.status.as_str() {
            "COMPLETED" => {
                let now = self.now();
                let validation = self.validation();
                if let Some(message) = &job.status_message {
                    validation.find(format!(
                        "the restore job is COMPLETED with a message: {message}"
                    ));
                }
                validation.restore = Some(job);
                validation.restore_seen_at = Some(now);
                validation.stage = Stage::Restored;
                // Written with what follows: who dies before finds it again.
                Ok(Next::Again)
            }
            "FAILED" | "ABORTED" => self.restore_failed(&intent, job).await,
            _ => self.still_restoring(&intent).await,
        }
    }

    /// The restore was not made. Tried again when its fault may pass and nothing of it is left.
    async fn restore_failed(&mut self, intent: &Intent, job: RestoreJob) -> failure::Result<Next> {
        let now = self.now();
        let validation = self.validation();
        let key = validation.recovery_point.encryption_key_arn.as_deref();
        let evidence = evidence::of_failed_job(&job, key);
        validation.fault_class = Some(evidence.class());
        validation.restore_seen_at = Some(now);
        validation.retry_at = validation.try_again_at(evidence, &job, now);
        validation.restore = Some(job);
        if validation.retry_at.is_some() {
            return self.clear_away().await;
        }
        self.decide_failed(intent).await
    }

    /// Deletes what the failed restore has left, as after a verdict. When it is gone, the validation waits for its next attempt
    /// ([`Run::try_again`]); if it cannot be deleted, the verdict is that of this one.
    async fn clear_away(&mut self) -> failure::Result<Next> {
        let validation = &self.lease.validation;
        let job = validation.restore.as_ref();
        let is_named = job.is_some_and(|job| job.created_resource_arn.is_some());
        // As right after COMPLETED, AWS may not show yet what the job names: that is no first "not found".
        let mut unseen = match is_named && validation.missing_since.is_none() {
            true => UNSEEN_LOOKS,
            false => 0,
        };
        let mut looked = self.look().await?;
        while matches!(looked, Looked::Missing) && unseen > 0 && self.time_left() > POLL * 2 {
            unseen -= 1;
            self.app.pause().await;
            looked = self.look().await?;
        }
        self.delete_as_looked(looked).await
    }

    /// Waits for the next attempt, without a slot.
    pub(super) async fn try_again(&mut self) -> failure::Result<Next> {
        let Some(at) = self.lease.validation.retry_at else {
            return Err(Failure::Other(format!(
                "validation {} is not to be tried again",
                self.lease.validation.id
            )));
        };
        self.free_slot().await?;
        let validation = self.validation();
        validation.begin_attempt();
        info!(validation.id = %validation.id, "the restore of validation {} is tried again at {at}", validation.id);
        Ok(Next::At(at))
    }

    /// Sets the verdict of a restore job that failed and is not tried again.
    async fn decide_failed(&mut self, intent: &Intent) -> failure::Result<Next> {
        let Some(job) = self.lease.validation.restore.clone() else {
            return Err(Failure::Other(format!(
                "validation {} has no failed restore",
                self.lease.validation.id
            )));
        };
        // What has the planned name without being named by the job is not provably ours.
        if job.created_resource_arn.is_none()
            && let [name, ..] = self
                .orphan_candidates(intent, job.created_at)
                .await?
                .as_slice()
        {
            let reason = format!("{name} exists, and the failed restore job does not name it");
            let now = self.now();
            self.validation()
                .settle(Cleanup::LeftBehind, Some(reason), now);
        }
        self.decide_by_evidence(&job).await
    }

    /// The verdict that the words of a failed restore job support.
    pub(super) async fn decide_by_evidence(&mut self, job: &RestoreJob) -> failure::Result<Next> {
        let key = self
            .lease
            .validation
            .recovery_point
            .encryption_key_arn
            .as_deref();
        let evidence = evidence::of_failed_job(job, key);
        self.decide(evidence.verdict(), evidence::reason(evidence, job))
            .await
    }

    async fn start(&mut self, intent: Intent) -> failure::Result<Next> {
        let app = self.app;
        let point = self.lease.validation.recovery_point.clone();
        let resource_type = point.resource_type.as_deref().unwrap_or_default();
        let age = self.now().duration_since(intent.planned_at);
        // Planned before, by a run that did not get so far: since then restores may have been paused, and routes made.
        if !self.has_planned && age < TOKEN_TRUSTED {
            let is_paused = self.is_paused().await?;
            let isolated = not_out(&resource::routes_out(app).await?);
            if is_paused || isolated.is_err() {
                return match self.find_started(&intent).await? {
                    Found::Ours(job_id) => self.started(job_id).await,
                    Found::Unclear(jobs, why) => self.give_up_suspecting(jobs, why).await,
                    // When the token is forgotten a new attempt waits in line.
                    Found::None => isolated.map(|()| Next::At(self.look_again())),
                };
            }
        }
        if age < TOKEN_TRUSTED {
            let role = &app.config.restore_role_arn;
            match backup::start_restore(&app.aws, &point.arn, resource_type, role, &intent).await {
                Ok(job_id) => return self.started(job_id).await,
                Err(error) if is_refusal(&error) => {
                    // A reply may have been lost before: then the job is there all the same.
                    return match self.find_started(&intent).await? {
                        Found::Ours(job_id) => self.started(job_id).await,
                        Found::Unclear(jobs, why) => self.give_up_suspecting(jobs, why).await,
                        Found::None => {
                            let key = point.encryption_key_arn.as_deref();
                            let evidence = evidence::of_refused_start(&error.to_string(), key);
                            self.validation().fault_class = Some(evidence.class());
                            let reason =
                                format!("AWS Backup refused to start the restore: {error}");
                            self.decide_unrestored(evidence.verdict(), reason).await
                        }
                    };
                }
                Err(error) => return Err(error.into()),
            }
        }
        // The token may have been forgotten: starting again could restore twice.
        match self.find_started(&intent).await? {
            Found::Ours(job_id) => self.started(job_id).await,
            Found::Unclear(jobs, why) => self.give_up_suspecting(jobs, why).await,
            Found::None => self.begin_again().await,
        }
    }

    async fn is_paused(&self) -> failure::Result<bool> {
        Ok(self.app.ledger.slots().await?.paused().is_some())
    }

    async fn started(&mut self, job_id: String) -> failure::Result<Next> {
        let due = self.look_at_restore();
        let validation = self.validation();
        validation.due_at = Some(due);
        validation.trouble = None;
        if !self.take_job(job_id, false).await? {
            // Another validation of the same recovery point has adopted it.
            return self.begin_again().await;
        }
        Ok(Next::GivenBack)
    }

    /// Takes the restore job for this validation, unless another one has it; the lease is given back unless `keeps`.
    pub(super) async fn take_job(&mut self, job_id: String, keeps: bool) -> failure::Result<bool> {
        let now = self.now();
        if let Some(intent) = &mut self.validation().intent {
            intent.restore_job_id = Some(job_id.clone());
        }
        // By this the job's event finds its validation. Lost, the sweep looks at the job in time.
        let (ledger, lease) = (&self.app.ledger, &mut self.lease);
        let taken = ledger.write_with_job(lease, &job_id, keeps, now).await?;
        let validation = self.validation();
        if taken {
            let id = &validation.id;
            info!(validation.id = %id, restore_job.id = %job_id, "restore job {job_id} of validation {id}");
        } else if let Some(intent) = &mut validation.intent {
            intent.restore_job_id = None;
        }
        Ok(taken)
    }

    /// A new attempt, under a new name and token: nothing of this one was started.
    async fn begin_again(&mut self) -> failure::Result<Next> {
        self.validation().begin_attempt();
        self.write().await?;
        Ok(Next::Again)
    }

    /// Looks for the job that an intent has started: by our role, of our recovery point, with the planned name. Several
    /// that fit are nobody's.
    pub(super) async fn find_started(&self, intent: &Intent) -> failure::Result<Found> {
        let app = self.app;
        let point = self.lease.validation.recovery_point.clone();
        let role = &app.config.restore_role_arn;
        let keys = plan::recognised_by(self.resource_type()?);
        let (mut ours, mut unclear) = (Vec::new(), Vec::new());
        for job in backup::restore_jobs_since(&app.aws, intent.planned_at - CLOCKS_DIFFER).await? {
            let earlier = self.lease.validation.earlier_attempts.iter();
            if job.recovery_point_arn.as_deref() != Some(point.arn.as_str())
                || earlier
                    .map(|one| &one.restore_job_id)
                    .any(|id| *id == job.id)
            {
                continue;
            }
            // A job of another validation is nobody else's, even where a restore takes no name.
            let known = app.ledger.validation_of_job(&job.id).await?;
            if known.is_some_and(|id| id != self.lease.validation.id) {
                continue;
            }
            let metadata = backup::restore_job_metadata(&app.aws, &job.id).await?;
            if ownership::adopts(intent, &point.arn, role, &job, keys, &metadata) {
                ours.push(job.id);
            } else if matches!(intent.mark, Mark::Subnet(_))
                && job.role_arn.as_deref() == Some(role.as_str())
            {
                // Under our role, for our recovery point, nobody's in the ledger, and without a name that tells more.
                unclear.push(job.id);
            }
        }
        Ok(match (ours.as_slice(), unclear.as_slice()) {
            ([], []) => Found::None,
            ([only], _) => Found::Ours(only.clone()),
            ([], jobs) => {
                let why = format!(
                    "restore job {} may be ours, and does not say so; nothing is restored beside it",
                    jobs.join(", ")
                );
                Found::Unclear(unclear, why)
            }
            (jobs, _) => {
                let why = format!(
                    "restore jobs {} all fit the intent; whose is which cannot be told",
                    jobs.join(", ")
                );
                Found::Unclear(ours, why)
            }
        })
    }

    async fn give_up_suspecting(
        &mut self,
        jobs: Vec<String>,
        reason: String,
    ) -> failure::Result<Next> {
        let now = self.now();
        let validation = self.validation();
        validation.suspected_jobs = jobs;
        validation.settle(Cleanup::LeftBehind, Some(reason.clone()), now);
        self.decide(Verdict::Inconclusive, reason).await
    }

    /// What a restore job that ended without naming anything may have left, or one that began then and is forgotten.
    pub(super) async fn orphan_candidates(
        &self,
        intent: &Intent,
        job_created_at: Option<Timestamp>,
    ) -> failure::Result<Vec<String>> {
        let app = self.app;
        Ok(resource::orphan_candidates(
            app,
            &self.lease.validation,
            self.resource_type()?,
            &intent.target_name,
            job_created_at,
        )
        .await?)
    }
}

/// Whether AWS Backup has definitely not started anything by this call, and will not by the same call again.
fn is_refusal(error: &AwsError) -> bool {
    error.is_access_denied()
        || error.is(&[
            "InvalidParameterValueException",
            "MissingParameterValueException",
            "InvalidRequestException",
            "ResourceNotFoundException",
            "LimitExceededException",
        ])
}

//! Moves a validation as far as it will go. The one state machine; there is no second path for recovery.
//!
//! ```text
//! Landed ─► Restoring ─► Restored ─► Checked ─► Recorded ─► Deleting ─► Closed
//! ```
//!
//! Before an effect that creates or deletes something the ledger holds its intent, after it the result. An error
//! ends the run and gives the lease back with what was written last: the event is delivered again, and the
//! sweep comes by in any case. After the restore has ended, checks and messages cannot keep the deletion from
//! happening; only a record that cannot be written can.

mod cleanup;
mod landed;
mod patience;
mod restored;
mod restoring;
mod slot;
mod verdict;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use restore_proof_core::ceiling::Marked;
use restore_proof_core::message::{ProvedPoint, Standing};
use restore_proof_core::resource_type::ResourceType;
use restore_proof_core::validation::{Cleanup, Stage, Validation, not_found};
use restore_proof_core::verdict::Verdict;
use tracing::{info, warn};

use crate::App;
use crate::aws::AwsError;
use crate::check::Login;
use crate::failure::{self, Failure};
use crate::ledger::{Claim, Lease, Slots, StandingChange};
use crate::policy_file::PolicyFile;
pub use landed::{admit, elsewhere};

/// Kept of every run for the record and the deletion.
const KEPT_FOR_THE_END: SignedDuration = SignedDuration::from_secs(90);
/// A restore that runs is looked at so many times more seldom than a deletion, should no event tell of its end: with the
/// template's two minutes, every ten.
const RESTORE_LOOKED_AT: i32 = 5;
/// After an error.
const RETRY: SignedDuration = SignedDuration::from_secs(60);
/// After errors that have gone on for longer than [`patience::TROUBLE_AT_MOST`]: there is no hurry any more.
const RETRY_OLD_TROUBLE: SignedDuration = SignedDuration::from_hours(1);
/// How often a verdict is weighed against how its resource stands, while others change that.
const WEIGHED_AT_MOST: usize = 5;
/// What was left behind is tried again.
const DAILY: SignedDuration = SignedDuration::from_hours(24);
/// How often a waiting run looks.
pub(crate) const POLL: Duration = Duration::from_secs(5);

/// What is to happen after a step.
enum Next {
    /// Take the next step.
    Again,
    /// Come back then.
    At(Timestamp),
    /// Come back soon: something that should pass stands in the way, and is noted as an error would be.
    Stuck(String),
    /// Wait until called for a slot.
    Queued,
    /// Nothing is left to do.
    Done,
    /// The lease was given back with what was written last.
    GivenBack,
}

/// Why the way to the checks ends before them.
enum Stop {
    /// What is to happen instead.
    Next(Next),
    /// The step failed.
    Failed(Failure),
}

impl Stop {
    /// The step's own result.
    fn step(self) -> failure::Result<Next> {
        match self {
            Stop::Next(next) => Ok(next),
            Stop::Failed(failure) => Err(failure),
        }
    }
}

impl From<Next> for Stop {
    fn from(next: Next) -> Stop {
        Stop::Next(next)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

impl From<AwsError> for Stop {
    fn from(error: AwsError) -> Stop {
        Stop::Failed(error.into())
    }
}

/// One invocation at work on one validation.
struct Run<'a> {
    app: &'a App,
    lease: Lease,
    /// When Lambda ends this invocation.
    deadline: Timestamp,
    /// Who has a slot since this run has given one back; none as long as it has not.
    gave_back: Option<Slots>,
    /// The login that this run has set on the restored copy, for the checks.
    login: Option<Login>,
    /// Whether this very run has written the intent of the restore: then it has just got its slot.
    has_planned: bool,
    /// The policy, if it was read when the validation was opened.
    policy: Option<Result<PolicyFile, AwsError>>,
}

/// What became of a validation.
#[derive(Debug)]
pub struct Moved {
    /// As it stands.
    pub validation: Validation,
    /// Who has a slot since it gave one back, for another to have; none if it did not.
    pub gave_back: Option<Slots>,
}

/// Moves the validation as far as it will go and gives the lease back. `policy` is given by who has just read it.
///
/// # Errors
/// When AWS refuses or does not answer; the validation is due again in a minute.
pub async fn advance(
    app: &App,
    lease: Lease,
    policy: Option<Result<PolicyFile, AwsError>>,
    deadline: Timestamp,
) -> failure::Result<Moved> {
    let mut run = Run {
        app,
        lease,
        deadline,
        gave_back: None,
        login: None,
        has_planned: false,
        policy,
    };
    loop {
        let stage = run.lease.validation.stage;
        match run.step().await {
            Ok(Next::Again) => {
                let now = run.lease.validation.stage;
                if now != stage {
                    info!(validation.id = %run.lease.validation.id, stage = now.as_str(), "validation {} is {}", run.lease.validation.id, now.as_str());
                }
            }
            Ok(Next::At(due)) => {
                run.lease.validation.due_at = Some(due);
                run.lease.validation.trouble = None;
                return run.release().await;
            }
            Ok(Next::Stuck(why)) => {
                let (now, due) = (run.now(), run.look_again());
                warn!(validation.id = %run.lease.validation.id, "validation {} does not get on: {why}", run.lease.validation.id);
                run.lease.validation.meet_trouble(&why, now);
                run.lease.validation.due_at = Some(due);
                return run.release().await;
            }
            Ok(Next::Queued) => {
                // Waiting for a slot is no trouble, and no end of one.
                run.lease.validation.due_at = None;
                return run.release().await;
            }
            Ok(Next::Done) => {
                run.lease.validation.due_at = None;
                run.lease.validation.trouble = None;
                return run.release().await;
            }
            Ok(Next::GivenBack) => {
                return Ok(Moved {
                    validation: run.lease.validation,
                    gave_back: run.gave_back,
                });
            }
            Err(error) => {
                let now = app.now();
                let (put_off, gave_back) = (run.put_off(&error), run.gave_back.take());
                let run_knows = &run.lease.validation;
                let (logged, sent) = (run_knows.verdict_logged, run_knows.verdict_sent);
                let note = |validation: &mut Validation| {
                    // What people were told they need not be told again.
                    if validation.verdict.is_some() {
                        validation.verdict_logged |= logged;
                        validation.verdict_sent |= sent;
                    }
                    validation.meet_trouble(&error.to_string(), now);
                    let after = put_off.unwrap_or_else(|| patience::retry_after(validation));
                    validation.due_at = Some(now + after);
                };
                match (app.ledger.abandon(run.lease, note).await, put_off) {
                    (Ok(validation), Some(_)) => {
                        warn!(validation.id = %validation.id, "AWS has too many calls; validation {} is put off: {error:#}", validation.id);
                        return Ok(Moved {
                            validation,
                            gave_back,
                        });
                    }
                    (Ok(validation), None) => patience::tell_if_overdue(app, &validation).await,
                    // The error that matters is the first one; without the lease given back the sweep waits for its end.
                    (Err(second), _) => warn!("the lease could not be given back: {second}"),
                }
                return Err(error);
            }
        }
    }
}

impl Run<'_> {
    async fn release(self) -> failure::Result<Moved> {
        Ok(Moved {
            validation: self.app.ledger.release(self.lease).await?,
            gave_back: self.gave_back,
        })
    }

    async fn step(&mut self) -> failure::Result<Next> {
        if let Some(reason) = self.out_of_patience() {
            return Box::pin(self.give_up(reason)).await;
        }
        // Boxed: in one piece the whole way would be one future of many kilobytes.
        match self.lease.validation.stage {
            Stage::Landed => Box::pin(self.landed()).await,
            Stage::Restoring => Box::pin(self.restoring()).await,
            Stage::Restored => Box::pin(self.restored()).await,
            Stage::Checked => Box::pin(self.checked()).await,
            Stage::Recorded => Box::pin(self.recorded()).await,
            Stage::Deleting => Box::pin(self.deleting()).await,
            Stage::Closed => Box::pin(self.closed()).await,
        }
    }

    /// The type of what is restored.
    fn resource_type(&self) -> failure::Result<ResourceType> {
        let validation = &self.lease.validation;
        let name = validation.recovery_point.resource_type.as_deref();
        name.and_then(ResourceType::from_name).ok_or_else(|| {
            Failure::Other(format!(
                "validation {} is of type {name:?}, which is not validated",
                validation.id
            ))
        })
    }

    fn validation(&mut self) -> &mut Validation {
        &mut self.lease.validation
    }

    fn now(&self) -> Timestamp {
        self.app.now()
    }

    /// When to ask AWS again, should no event come before.
    fn look_again(&self) -> Timestamp {
        self.now() + self.app.config.confirm_gone
    }

    /// When to look at a restore that runs, should no event come before.
    fn look_at_restore(&self) -> Timestamp {
        self.now() + self.app.config.confirm_gone * RESTORE_LOOKED_AT
    }

    /// What is left of this run, without what is kept for its end; never negative.
    fn time_left(&self) -> Duration {
        let left = self.deadline.duration_since(self.now()) - KEPT_FOR_THE_END;
        Duration::try_from(left).unwrap_or_default()
    }

    /// Writes the validation as it stands: intent before effect, result after it.
    async fn write(&mut self) -> failure::Result<()> {
        self.app.ledger.write(&mut self.lease).await
    }

    /// Sets a verdict for which nothing was restored.
    async fn decide_unrestored(
        &mut self,
        verdict: Verdict,
        reason: impl Into<Marked>,
    ) -> failure::Result<Next> {
        let now = self.now();
        self.validation()
            .settle(Cleanup::NothingToDelete, None, now);
        self.decide(verdict, reason).await
    }

    /// Sets the verdict and writes it.
    async fn decide(
        &mut self,
        verdict: Verdict,
        reason: impl Into<Marked>,
    ) -> failure::Result<Next> {
        let now = self.now();
        self.validation().decide(verdict, reason, now);
        if verdict == Verdict::Inconclusive {
            // The next copy of the day is to be tested, since this one could not be.
            if let Some(claim) = self.claim() {
                self.app
                    .ledger
                    .give_back(&claim, &self.lease.validation.id)
                    .await?;
            }
        }
        self.write_verdict().await?;
        Ok(Next::Again)
    }

    /// Writes the verdict with what it says of the resource: what was proved, and how the resource stands, where a rule
    /// tells of changes. Two validations of one resource may do so at one time: who comes second weighs anew.
    async fn write_verdict(&mut self) -> failure::Result<()> {
        let Some(resource) = self.lease.validation.recovery_point.resource_arn.clone() else {
            return self.write().await;
        };
        for _ in 0..WEIGHED_AT_MOST {
            let change = self.weigh(&resource).await?;
            let proved = self.proof();
            let (ledger, lease) = (&self.app.ledger, &mut self.lease);
            if ledger
                .write_verdict(lease, &resource, proved.as_ref(), change.as_ref())
                .await?
            {
                return Ok(());
            }
        }
        // People hear once too often rather than never. How the resource stands is for the others to say; what was proved is not.
        self.validation().tells_change = None;
        let proved = self.proof();
        let (ledger, lease) = (&self.app.ledger, &mut self.lease);
        // Without a standing nothing is in the way of the verdict: a newer proof stays, and the verdict is written beside it.
        ledger
            .write_verdict(lease, &resource, proved.as_ref(), None)
            .await
            .map(drop)
    }

    /// Notes whether people hear of the verdict, where its rule tells of changes. Returns how the resource stands by it, if
    /// that is to be written.
    async fn weigh(&mut self, resource: &str) -> failure::Result<Option<StandingChange>> {
        if !Standing::counts(&self.lease.validation) {
            return Ok(None);
        }
        let (now, from) = (self.now(), self.app.ledger.standing(resource).await?);
        // What another version has written and nobody can read is as good as nothing.
        let last: Option<Standing> = from
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        let Some(weighed) = Standing::weigh(last.as_ref(), &self.lease.validation, now) else {
            return Ok(None);
        };
        self.validation().tells_change = Some(weighed.tells);
        Ok(weighed.standing.map(|to| StandingChange { from, to, now }))
    }

    /// That this recovery point was restored and passed. None if it did not.
    fn proof(&self) -> Option<ProvedPoint> {
        let validation = &self.lease.validation;
        let is_restored = validation.restore.is_some();
        if !is_restored || validation.verdict != Some(Verdict::Passed) {
            return None;
        }
        let point = &validation.recovery_point;
        Some(ProvedPoint {
            arn: point.arn.clone(),
            created_at: point.created_at?,
            proved_at: self.now(),
            record_key: Some(validation.record_key()),
        })
    }

    fn claim(&self) -> Option<Claim> {
        let validation = &self.lease.validation;
        let rule = validation.rule.as_ref()?;
        Claim::of(
            rule.frequency()?,
            validation.recovery_point.resource_arn.as_deref()?,
            validation.opened_at,
        )
    }

    /// Whether AWS's "not found" counts: when it was answered before, long enough ago. Otherwise it is noted, to be written
    /// with the lease's return, and the time to ask again is the error.
    fn missing_twice(&mut self) -> Result<(), Timestamp> {
        let (now, apart) = (self.now(), self.app.config.confirm_gone);
        not_found(&mut self.validation().missing_since, now, apart)
    }
}

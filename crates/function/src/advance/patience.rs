//! Patience with an end: before its verdict nothing is waited for and nothing is tried for ever. After it there is no
//! deadline, for what may exist is to be deleted however long that takes.

use jiff::{SignedDuration, Timestamp};
use restore_proof_core::validation::{Cleanup, Intent, Validation};
use restore_proof_core::verdict::Verdict;
use tracing::warn;

use super::restoring::{Found, TOKEN_TRUSTED};
use super::{Next, RETRY, RETRY_OLD_TROUBLE, Run};
use crate::{App, backup, failure, watch};

/// How long runs may meet nothing but errors before the verdict: a day, in which people hear of the errors and can
/// mend what is denied or down.
pub(super) const TROUBLE_AT_MOST: SignedDuration = SignedDuration::from_hours(24);
/// How long a recovery point may be `CREATING` from our first hearing of it: copies of terabytes into another Region
/// take days.
const CREATED_AT_MOST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long to wait after a run that met an error.
pub(super) fn retry_after(validation: &Validation) -> SignedDuration {
    if is_stuck(validation) {
        RETRY_OLD_TROUBLE
    } else {
        RETRY
    }
}

/// Whether it has its verdict, and nothing but errors for so long that people must look.
fn is_stuck(validation: &Validation) -> bool {
    validation.verdict.is_some() && validation.troubled_for() > TROUBLE_AT_MOST
}

/// Lets the alarm ring for a validation that is stuck behind its verdict.
pub(super) async fn tell_if_overdue(app: &App, validation: &Validation) {
    if is_stuck(validation)
        && let Err(problem) = watch::tell_overdue(app, validation).await
    {
        // The error that it is stuck on is told in any case.
        warn!(validation.id = %validation.id, "that it is overdue could not be logged: {problem}");
    }
}

impl Run<'_> {
    /// Why a validation without a verdict is not tried any more; none while it still is.
    pub(super) fn out_of_patience(&self) -> Option<String> {
        let validation = &self.lease.validation;
        let undecided = validation.verdict.is_none();
        let trouble = validation.trouble.as_ref()?;
        (undecided && trouble.lasted() >= TROUBLE_AT_MOST).then(|| {
            let hours = TROUBLE_AT_MOST.as_hours();
            format!(
                "it did not get on for {hours} hours; the last error: {}",
                trouble.words
            )
        })
    }

    /// Ends the waiting with the verdict that we could not tell. What was or may have been started is found and deleted
    /// afterwards.
    pub(super) async fn give_up(&mut self, reason: String) -> failure::Result<Next> {
        let now = self.now();
        let validation = self.validation();
        // What follows has its own troubles.
        validation.trouble = None;
        validation.missing_since = None;
        let open = match (&validation.intent, &validation.restore) {
            (None, _) => return self.decide_unrestored(Verdict::Inconclusive, reason).await,
            (Some(_), Some(_)) => None,
            (Some(intent), None) => Some(match &intent.restore_job_id {
                Some(id) => format!("restore job {id} has not ended, as far as is known"),
                None => "whether the restore was started is not known yet".to_owned(),
            }),
        };
        if open.is_some() {
            validation.settle(Cleanup::Pending, open, now);
        }
        self.decide(Verdict::Inconclusive, reason).await
    }

    /// The recovery point is not complete yet.
    pub(super) async fn being_created(&mut self) -> failure::Result<Next> {
        let age = self.now().duration_since(self.lease.validation.opened_at);
        if age <= CREATED_AT_MOST {
            return Ok(Next::At(self.look_again()));
        }
        let days = CREATED_AT_MOST.as_hours() / 24;
        let reason = format!("the recovery point was still CREATING after {days} days");
        self.decide_unrestored(Verdict::Inconclusive, reason).await
    }

    /// The restore job of this intent runs.
    pub(super) async fn still_restoring(&mut self, intent: &Intent) -> failure::Result<Next> {
        let at_most = self.resource_type()?.facts().deadlines.restored;
        if self.now().duration_since(intent.planned_at) <= at_most {
            return Ok(Next::At(self.look_at_restore()));
        }
        let hours = at_most.as_hours();
        let id = intent.restore_job_id.as_deref().unwrap_or_default();
        self.give_up(format!(
            "restore job {id} had not ended after {hours} hours"
        ))
        .await
    }

    /// After a verdict that did not wait for the end of the restore: finds out what became of it. Answers what is next
    /// until its end is known.
    pub(super) async fn find_out_end(&mut self) -> failure::Result<Option<Next>> {
        let app = self.app;
        let validation = &self.lease.validation;
        let Some(intent) = validation.intent.clone() else {
            return Ok(None);
        };
        // Whose the suspected jobs are is not known, nor will it be.
        if validation.restore.is_some() || !validation.suspected_jobs.is_empty() {
            return Ok(None);
        }
        let Some(id) = &intent.restore_job_id else {
            return self.search(&intent).await.map(Some);
        };
        let Some(job) = backup::describe_restore_job(&app.aws, id).await? else {
            return self.unknown_job(&intent, id).await.map(Some);
        };
        if !job.has_ended() {
            let why =
                format!("restore job {id} has not ended; what it makes is deleted once it has");
            return self.leave_behind(why).await.map(Some);
        }
        let now = self.now();
        let validation = self.validation();
        validation.restore = Some(job);
        validation.restore_seen_at = Some(now);
        validation.missing_since = None;
        // What is left behind from now on is another matter.
        validation.settle(Cleanup::Pending, None, now);
        validation.left_behind_sent = false;
        self.write().await?;
        Ok(None)
    }

    /// Looks for the restore job of an intent that no answer named.
    async fn search(&mut self, intent: &Intent) -> failure::Result<Next> {
        match self.find_started(intent).await? {
            Found::Ours(job_id) => {
                if self.take_job(job_id, true).await? {
                    return Ok(Next::Again);
                }
                // Another validation of the same recovery point has taken it since: it is theirs.
                self.close_nothing(None).await
            }
            Found::Unclear(jobs, why) => {
                self.validation().suspected_jobs = jobs;
                self.leave_behind(why).await
            }
            Found::None => {
                // The last request may have been sent just before, and be carried out still.
                let settled = intent.planned_at + TOKEN_TRUSTED * 2;
                if self.now() < settled {
                    return Ok(Next::At(settled));
                }
                match self.missing_twice() {
                    Ok(()) => self.close_nothing(None).await,
                    Err(again) => Ok(Next::At(again)),
                }
            }
        }
    }

    /// AWS Backup knows our restore job no more, so that nothing can be proved by it: what it may have left is for people.
    async fn unknown_job(&mut self, intent: &Intent, id: &str) -> failure::Result<Next> {
        let since = Some(intent.planned_at);
        if let Some(name) = self.orphan_candidates(intent, since).await?.first() {
            let why = format!(
                "AWS Backup knows restore job {id} no more, so that {name} is not provably ours"
            );
            self.validation().missing_since = None;
            return self.leave_behind(why).await;
        }
        match self.missing_twice() {
            Ok(()) => {
                let why =
                    format!("AWS Backup knows restore job {id} no more, and nothing of it exists");
                self.close_nothing(Some(why)).await
            }
            Err(again) => Ok(Next::At(again)),
        }
    }

    async fn close_nothing(&mut self, why: Option<String>) -> failure::Result<Next> {
        let now: Timestamp = self.now();
        self.validation().settle(Cleanup::NothingToDelete, why, now);
        self.close().await
    }

    /// What is still being created cannot be proved ours; that, too, has an end.
    pub(super) async fn not_deletable_yet(&mut self) -> failure::Result<Next> {
        if self.is_overdue()? {
            let why = "it is still being created, and cannot be deleted before".to_owned();
            return self.leave_behind(why).await;
        }
        Ok(Next::At(self.look_again()))
    }
}

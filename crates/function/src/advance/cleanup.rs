//! Recorded, Deleting and Closed: what was restored is deleted, confirmed gone, and the record is made final.

use futures_util::future;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::ownership::{self, OwnedResource, Whole};
use restore_proof_core::policy::Rule;
use restore_proof_core::record::Record;
use restore_proof_core::resource_type::DeletionOrder;
use restore_proof_core::validation::{Cleanup, RestoreJob, Stage, not_found};
use restore_proof_core::verdict::Verdict;
use tracing::{info, warn};

use super::restored::Looked;
use super::{DAILY, Next, RETRY, Run};
use crate::failure;
use crate::policy_file::{self, PolicyFile};
use crate::publish;
use crate::resource::{self, Deletion, PartState, Restored};

/// After this long a try is that of another day.
const TRIED_ANEW: SignedDuration = SignedDuration::from_hours(20);

impl Run<'_> {
    /// 1. Keeps a failed restore as long as the rule asks. 2. Proves ownership once more. 3. Writes the intent to delete.
    pub(super) async fn recorded(&mut self) -> failure::Result<Next> {
        if self.lease.validation.cleanup.is_final() {
            return self.close().await;
        }
        if let Some(until) = self.keep_until() {
            // What people look at does not keep other backups from being tested.
            self.free_slot().await?;
            return Ok(Next::At(until));
        }
        if let Some(next) = self.find_out_end().await? {
            return Ok(next);
        }
        let looked = self.look().await?;
        self.delete_as_looked(looked).await
    }

    /// Deletes what was looked at right before, or confirms that it is gone. The wish to delete is written before.
    pub(super) async fn delete_as_looked(&mut self, looked: Looked) -> failure::Result<Next> {
        match looked {
            Looked::Ours(restored, owned) => {
                if let Some(why) = restored.used_by {
                    return self.leave_behind(why).await;
                }
                self.note_parts(&restored);
                let now = self.now();
                let validation = self.validation();
                validation.missing_since = None;
                validation.deletion_asked_at.get_or_insert(now);
                validation.stage = Stage::Deleting;
                self.write().await?;
                self.delete(*restored, owned).await
            }
            Looked::Missing => self.missing().await,
            Looked::Gone => self.gone().await,
            Looked::NotYet => self.not_deletable_yet().await,
            Looked::Ending => self.ending().await,
            Looked::NotOurs(why) => self.leave_behind(why).await,
        }
    }

    /// Goes on with a deletion that was wished: deletes, or confirms that it is gone.
    pub(super) async fn deleting(&mut self) -> failure::Result<Next> {
        match self.look().await? {
            Looked::Ours(restored, owned) => {
                self.validation().missing_since = None;
                match restored.used_by {
                    Some(why) => self.leave_behind(why).await,
                    None => self.delete(*restored, owned).await,
                }
            }
            Looked::Missing => self.missing().await,
            Looked::Gone => self.gone().await,
            Looked::NotYet => self.not_deletable_yet().await,
            Looked::Ending => self.ending().await,
            Looked::NotOurs(why) => self.leave_behind(why).await,
        }
    }

    /// Deletes the resource and its parts in the order of its type.
    async fn delete(&mut self, restored: Restored, owned: OwnedResource) -> failure::Result<Next> {
        let app = self.app;
        let resource_type = self.resource_type()?;
        match resource_type.facts().deletion {
            DeletionOrder::WholeFirst => {}
            DeletionOrder::PartsFirst => {
                if let Some(next) = self.delete_parts(Whole::Proved(&owned)).await? {
                    return Ok(next);
                }
            }
        }
        info!(validation.id = %self.lease.validation.id, resource.name = owned.name(), "deleting {}", owned.name());
        match resource::delete(&app.aws, resource_type, owned).await? {
            Deletion::Asked if self.is_overdue()? => {
                let hours = self.without_progress()?.as_hours();
                let why =
                    format!("AWS takes its deletion, and it still exists after {hours} hours");
                self.leave_behind(why).await
            }
            Deletion::Asked => Ok(Next::At(self.look_again())),
            Deletion::Blocked(why) => match self.look().await? {
                // The SDK repeats a call whose answer was lost, and meets its own work.
                Looked::Missing | Looked::Gone | Looked::Ending => Ok(Next::At(self.look_again())),
                // Just restored, it may be backing up, for hours, or modifying itself: then it can be deleted.
                Looked::Ours(now, _)
                    if (restored.is_passing || now.is_passing)
                        && !self.is_tried_for(resource_type.facts().deadlines.ready) =>
                {
                    Ok(Next::At(self.now() + RETRY))
                }
                Looked::Ours(..) | Looked::NotYet | Looked::NotOurs(_) => {
                    self.leave_behind(why).await
                }
            },
        }
    }

    /// Waits for the end of what is ending, as long as that may take.
    async fn ending(&mut self) -> failure::Result<Next> {
        self.validation().missing_since = None;
        if self.is_overdue()? {
            let hours = self.without_progress()?.as_hours();
            let why = format!("it is being deleted, and was not gone after {hours} hours");
            return self.leave_behind(why).await;
        }
        Ok(Next::At(self.look_again()))
    }

    /// How long a deletion may take without anything being gone.
    fn without_progress(&self) -> failure::Result<SignedDuration> {
        Ok(self.resource_type()?.facts().deadlines.without_progress)
    }

    /// Whether this try at the deletion has taken too long without progress.
    pub(super) fn is_overdue(&mut self) -> failure::Result<bool> {
        let at_most = self.without_progress()?;
        Ok(self.is_tried_for(at_most))
    }

    /// Whether this try at the deletion has taken longer.
    fn is_tried_for(&mut self, at_most: SignedDuration) -> bool {
        let now = self.now();
        let tried_since = &mut self.validation().deletion_tried_since;
        match tried_since.map(|since| now.duration_since(since)) {
            Some(tried) if tried < TRIED_ANEW => tried > at_most,
            _ => {
                *tried_since = Some(now);
                false
            }
        }
    }

    /// Until when a failed restore is kept; none when it may go.
    pub(super) fn keep_until(&self) -> Option<jiff::Timestamp> {
        let validation = &self.lease.validation;
        let kept_for = validation
            .rule
            .as_ref()
            .and_then(|rule: &Rule| rule.keep_failed_for)?;
        let from = validation
            .verdict_at
            .filter(|_| validation.verdict == Some(Verdict::Failed))?;
        let until = validation
            .kept_until
            .or_else(|| from.checked_add(kept_for).ok())?;
        (self.now() < until).then_some(until)
    }

    /// Takes for gone what AWS twice said it does not know. Until then nothing is done to its parts, which are proved by
    /// what they belong to.
    async fn missing(&mut self) -> failure::Result<Next> {
        match self.missing_twice() {
            Ok(()) => self.gone().await,
            Err(again) => Ok(Next::At(again)),
        }
    }

    /// What AWS shows as ended is gone; its parts may not be.
    async fn gone(&mut self) -> failure::Result<Next> {
        let job = self.lease.validation.restore.as_ref();
        if let Some(name) = job.and_then(ownership::created_name)
            && let Some(next) = self.delete_parts(Whole::Ended(&name)).await?
        {
            return Ok(next);
        }
        self.close_deleted().await
    }

    /// Deletes the parts that are left, each proved right before. Answers what is next until AWS has twice said of each
    /// that it knows it no more.
    async fn delete_parts(&mut self, whole: Whole<'_>) -> failure::Result<Option<Next>> {
        let Some(job) = self.lease.validation.restore.clone() else {
            return Ok(None);
        };
        // One that is not to be deleted keeps none of the others.
        let (mut left, mut kept_by, mut again) = (None, None, None);
        for index in 0..self.lease.validation.parts.len() {
            match self.delete_part(index, whole, &job).await? {
                PartLeft::Gone => {}
                PartLeft::Missing(at) => again = again.max(Some(at)),
                PartLeft::There => {
                    let part = &self.lease.validation.parts[index];
                    left.get_or_insert_with(|| part.to_string());
                }
                PartLeft::Kept(why) => {
                    kept_by.get_or_insert(why);
                }
            }
        }
        if let Some(why) = kept_by {
            return self.leave_behind(why).await.map(Some);
        }
        if let Some(what) = left {
            if self.is_overdue()? {
                let hours = self.without_progress()?.as_hours();
                let why = format!("{what} was not gone after {hours} hours");
                return self.leave_behind(why).await.map(Some);
            }
            return Ok(Some(Next::At(self.look_again())));
        }
        Ok(again.map(Next::At))
    }

    async fn delete_part(
        &mut self,
        index: usize,
        whole: Whole<'_>,
        job: &RestoreJob,
    ) -> failure::Result<PartLeft> {
        let (app, now) = (self.app, self.now());
        let part = self.lease.validation.parts[index].clone();
        if part.gone_at.is_some() {
            return Ok(PartLeft::Gone);
        }
        let Some(seen) = resource::look_at_part(&app.aws, &part).await? else {
            let noted = &mut self.validation().parts[index];
            let counts = not_found(&mut noted.missing_since, now, app.config.confirm_gone);
            if counts.is_ok() {
                noted.gone_at = Some(now);
                // What is left has its time anew: a deletion is measured by its progress.
                self.validation().deletion_tried_since = None;
            }
            return Ok(counts.map_or_else(PartLeft::Missing, |()| PartLeft::Gone));
        };
        self.validation().parts[index].missing_since = None;
        // What is still being made cannot be proved ours, and what is ending is not touched again.
        if seen.state == PartState::Deleting
            || (seen.state == PartState::Passing && seen.found.created_at.is_none())
        {
            return Ok(PartLeft::There);
        }
        let validation = &self.lease.validation;
        let proved = ownership::prove_part(
            &validation.parts,
            &validation.steps,
            whole,
            job,
            &seen.found,
        );
        let owned = match proved {
            Ok(owned) => owned,
            Err(not_ours) => return Ok(PartLeft::Kept(not_ours.to_string())),
        };
        if seen.state == PartState::Passing {
            return Ok(PartLeft::There);
        }
        info!(validation.id = %validation.id, "deleting {part}");
        if let Deletion::Blocked(why) = resource::delete_part(&app.aws, owned).await? {
            // As above: it may be refused because it was taken before, or in a state that passes.
            let now = resource::look_at_part(&app.aws, &part).await?;
            if now.is_some_and(|seen| seen.state == PartState::There) {
                return Ok(PartLeft::Kept(why));
            }
        }
        Ok(PartLeft::There)
    }

    async fn close_deleted(&mut self) -> failure::Result<Next> {
        let now = self.now();
        let validation = self.validation();
        let named_nothing = validation
            .restore
            .as_ref()
            .is_some_and(|job| job.created_resource_arn.is_none());
        match validation.deletion_asked_at {
            Some(_) => validation.settle(Cleanup::Deleted, None, now),
            // Nothing was found of what the restore could have made, twice.
            None if named_nothing && validation.cleanup == Cleanup::Pending => {
                validation.settle(Cleanup::NothingToDelete, None, now);
            }
            None => {
                let reason = "it no longer existed when it was to be deleted".to_owned();
                validation.settle(Cleanup::AlreadyGone, Some(reason), now);
            }
        }
        self.close().await
    }

    /// Records what could not be deleted and why, tells people once, and tries again tomorrow.
    pub(super) async fn leave_behind(&mut self, why: String) -> failure::Result<Next> {
        let now = self.now();
        warn!(validation.id = %self.lease.validation.id, "left behind: {why}");
        let validation = self.validation();
        validation.settle(Cleanup::LeftBehind, Some(why), now);
        if validation.retry_at.is_some()
            && let Some(job) = validation.restore.clone()
        {
            // Beside what an attempt has left there is no other.
            return self.decide_by_evidence(&job).await;
        }
        validation.stage = Stage::Recorded;
        // The next try has as much time as the first.
        validation.deletion_asked_at = validation.deletion_asked_at.map(|_| now + DAILY);
        self.write_record().await?;
        self.write().await?;
        self.free_slot().await?;
        self.tell().await;
        self.log_cleanup().await?;
        let again = if self.all_told() { DAILY } else { RETRY };
        Ok(Next::At(now + again))
    }

    /// Makes the record final, and ends the validation.
    pub(super) async fn close(&mut self) -> failure::Result<Next> {
        if self.lease.validation.retry_at.is_some() {
            return self.try_again().await;
        }
        self.hear().await?;
        self.end(true).await
    }

    /// Gives the slot back and tells what is still to be told; closed only when all is told. The record is written beside
    /// it, if it `changed`.
    pub(super) async fn end(&mut self, changed: bool) -> failure::Result<Next> {
        if !self.all_told() {
            self.tell().await;
        }
        let told = self.all_told();
        let (recorded, freed, logged) = future::join3(
            async {
                if changed {
                    self.put_record().await?;
                }
                failure::Result::Ok(())
            },
            self.app.ledger.free_slot(&self.lease.validation.id),
            async {
                if told {
                    self.log_cleanup().await?;
                }
                failure::Result::Ok(())
            },
        )
        .await;
        if let Some(slots) = freed? {
            self.gave_back = Some(slots);
        }
        recorded?;
        logged?;
        if !told {
            return Ok(Next::At(self.look_again()));
        }
        self.validation().stage = Stage::Closed;
        if self.lease.validation.replan {
            return Ok(Next::At(self.look_again()));
        }
        Ok(Next::Done)
    }

    async fn log_cleanup(&self) -> failure::Result<()> {
        let validation = &self.lease.validation;
        let ceilings = validation.ceilings(self.app.config.values_leave);
        let Some(record) = Record::of(validation, ceilings.log) else {
            return Ok(());
        };
        Ok(publish::log_cleanup(&self.app.aws, &self.app.config, &record, self.now()).await?)
    }

    /// Closed, but for a validation that a broken policy kept from being planned: planned again once it is mended.
    pub(super) async fn closed(&mut self) -> failure::Result<Next> {
        if !self.lease.validation.replan {
            return Ok(Next::Done);
        }
        match policy_file::read(self.app).await? {
            PolicyFile::Broken { .. } => Ok(Next::At(self.look_again())),
            PolicyFile::Good(_) => {
                let validation = self.validation();
                validation.replan = false;
                validation.begin_attempt();
                self.write().await?;
                Ok(Next::Again)
            }
        }
    }
}

/// What is left of a part.
enum PartLeft {
    /// Nothing.
    Gone,
    /// AWS does not know it; then it is to be asked once more.
    Missing(Timestamp),
    /// It exists, and was or can soon be deleted.
    There,
    /// It is not to be deleted; why, in words.
    Kept(String),
}

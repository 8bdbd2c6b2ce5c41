//! Recorded, Deleting and Closed: what was restored is deleted, confirmed gone, and the record is made final.

use jiff::SignedDuration;
use restore_proof_core::ownership;
use restore_proof_core::policy::Rule;
use restore_proof_core::record::Record;
use restore_proof_core::validation::{Cleanup, Stage};
use restore_proof_core::verdict::Verdict;
use tracing::{info, warn};

use super::restored::Looked;
use super::{DAILY, Next, RETRY, Run};
use crate::policy_file::{self, PolicyFile};
use crate::publish;
use crate::resource::{self, Deletion, ec2};

/// How long a deletion may take, until what is left counts as left behind.
const DELETED_AT_MOST: SignedDuration = SignedDuration::from_hours(3);

/// After this long a try is that of another day.
const TRIED_ANEW: SignedDuration = SignedDuration::from_hours(20);

impl Run<'_> {
    /// 1. Keeps a failed restore as long as the rule asks. 2. Proves ownership once more. 3. Writes the intent to delete.
    pub(super) async fn recorded(&mut self) -> anyhow::Result<Next> {
        let now = self.now();
        let validation = &self.lease.validation;
        if validation.cleanup.is_final() {
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
        match self.look().await? {
            Looked::Ours(resource, _) => {
                self.note_volumes(&resource).await?;
                let validation = self.validation();
                validation.missing_since = None;
                validation.deletion_asked_at.get_or_insert(now);
                validation.stage = Stage::Deleting;
                self.write().await?;
                Ok(Next::Again)
            }
            Looked::Missing => self.missing().await,
            Looked::Gone => self.gone().await,
            Looked::NotYet => self.not_deletable_yet().await,
            Looked::Ending => self.ending().await,
            Looked::NotOurs(why) => self.leave_behind(why).await,
        }
    }

    /// Deletes, or confirms that it is gone.
    pub(super) async fn deleting(&mut self) -> anyhow::Result<Next> {
        let app = self.app;
        let (resource, owned) = match self.look().await? {
            Looked::Ours(resource, owned) => (resource, owned),
            Looked::Missing => return self.missing().await,
            Looked::Gone => return self.gone().await,
            Looked::NotYet => return self.not_deletable_yet().await,
            Looked::Ending => return self.ending().await,
            Looked::NotOurs(why) => return self.leave_behind(why).await,
        };
        self.validation().missing_since = None;
        info!(validation.id = %self.lease.validation.id, resource.name = owned.name(), "deleting {}", owned.name());
        match resource::delete(&app.aws, self.resource_type()?, owned).await? {
            Deletion::Asked if self.is_overdue() => {
                let hours = DELETED_AT_MOST.as_hours();
                let why =
                    format!("AWS takes its deletion, and it still exists after {hours} hours");
                self.leave_behind(why).await
            }
            Deletion::Asked => Ok(Next::At(self.look_again())),
            Deletion::Blocked(why) => match self.look().await? {
                // The SDK repeats a call whose answer was lost, and meets its own work.
                Looked::Missing | Looked::Gone | Looked::Ending => Ok(Next::At(self.look_again())),
                // Just restored, it may be backing up or modifying itself: soon it can be deleted.
                Looked::Ours(now, _)
                    if (resource.is_passing() || now.is_passing()) && !self.is_overdue() =>
                {
                    Ok(Next::At(self.now() + RETRY))
                }
                _ => self.leave_behind(why).await,
            },
        }
    }

    /// Waits for the end of what is ending, as long as that may take.
    async fn ending(&mut self) -> anyhow::Result<Next> {
        self.validation().missing_since = None;
        if self.is_overdue() {
            let hours = DELETED_AT_MOST.as_hours();
            let why = format!("it is being deleted, and was not gone after {hours} hours");
            return self.leave_behind(why).await;
        }
        Ok(Next::At(self.look_again()))
    }

    /// Whether this try at the deletion has taken too long.
    pub(super) fn is_overdue(&mut self) -> bool {
        let now = self.now();
        let tried_since = &mut self.validation().deletion_tried_since;
        match tried_since.map(|since| now.duration_since(since)) {
            Some(tried) if tried < TRIED_ANEW => tried > DELETED_AT_MOST,
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

    /// Takes for gone what AWS twice said it does not know.
    async fn missing(&mut self) -> anyhow::Result<Next> {
        if !self.lease.validation.volumes.is_empty() {
            return self.gone().await;
        }
        match self.missing_twice().await? {
            Ok(()) => self.close_deleted().await,
            Err(again) => Ok(Next::At(again)),
        }
    }

    /// Deletes the volumes that a machine has left, and closes when AWS twice said that it knows none of them.
    async fn gone(&mut self) -> anyhow::Result<Next> {
        let app = self.app;
        let validation = &self.lease.validation;
        let machine = validation
            .restore
            .as_ref()
            .and_then(ownership::created_name);
        let (Some(job), Some(machine), false) = (
            validation.restore.clone(),
            machine,
            validation.volumes.is_empty(),
        ) else {
            return self.close_deleted().await;
        };
        let mut left = None;
        // One that is not to be deleted keeps none of the others.
        let mut kept_by = None;
        for id in validation.volumes.clone() {
            let Some(volume) = ec2::find_volume(&app.aws, &id).await? else {
                continue;
            };
            left.get_or_insert_with(|| id.clone());
            if volume.state == "deleting" {
                continue;
            }
            let noted = &self.lease.validation.volumes;
            let owned = match ownership::prove_volume(noted, &machine, &job, &volume.found) {
                Ok(owned) => owned,
                Err(not_ours) => {
                    kept_by.get_or_insert(not_ours.to_string());
                    continue;
                }
            };
            // Termination has not let go of it yet.
            if !volume.found.attached_to.is_empty() || volume.state == "in-use" {
                continue;
            }
            info!(validation.id = %self.lease.validation.id, volume.id = owned.id(), "deleting {}", owned.id());
            if let Deletion::Blocked(why) = ec2::delete_volume(&app.aws, owned).await? {
                // As above: it may be refused because it was taken before.
                let now = ec2::find_volume(&app.aws, &id).await?;
                if now.is_some_and(|volume| volume.state != "deleting") {
                    kept_by.get_or_insert(why);
                }
            }
        }
        if let Some(why) = kept_by {
            return self.leave_behind(why).await;
        }
        if let Some(id) = left {
            self.validation().missing_since = None;
            if self.is_overdue() {
                let hours = DELETED_AT_MOST.as_hours();
                let why = format!("volume {id} was not gone after {hours} hours");
                return self.leave_behind(why).await;
            }
            return Ok(Next::At(self.look_again()));
        }
        match self.missing_twice().await? {
            Ok(()) => self.close_deleted().await,
            Err(again) => Ok(Next::At(again)),
        }
    }

    async fn close_deleted(&mut self) -> anyhow::Result<Next> {
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
    pub(super) async fn leave_behind(&mut self, why: String) -> anyhow::Result<Next> {
        let now = self.now();
        warn!(validation.id = %self.lease.validation.id, "left behind: {why}");
        let validation = self.validation();
        validation.settle(Cleanup::LeftBehind, Some(why), now);
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

    /// Makes the record final and tells what is still to be told; closed only when all is told.
    pub(super) async fn close(&mut self) -> anyhow::Result<Next> {
        self.write_record().await?;
        self.tell().await;
        self.free_slot().await?;
        if !self.all_told() {
            self.write().await?;
            return Ok(Next::At(self.look_again()));
        }
        self.log_cleanup().await?;
        self.validation().stage = Stage::Closed;
        self.write().await?;
        if self.lease.validation.replan {
            return Ok(Next::At(self.look_again()));
        }
        Ok(Next::Done)
    }

    async fn log_cleanup(&self) -> anyhow::Result<()> {
        let Some(record) = Record::of(&self.lease.validation) else {
            return Ok(());
        };
        Ok(publish::log_cleanup(&self.app.aws, &self.app.config, &record, self.now()).await?)
    }

    /// Closed, but for a validation that a broken policy kept from being planned: planned again once it is mended.
    pub(super) async fn closed(&mut self) -> anyhow::Result<Next> {
        if !self.lease.validation.replan {
            return Ok(Next::Done);
        }
        match policy_file::read(&self.app.aws, &self.app.config.policy).await? {
            PolicyFile::Broken { .. } => Ok(Next::At(self.look_again())),
            PolicyFile::Good(_) => {
                let validation = self.validation();
                validation.replan = false;
                validation.attempt += 1;
                validation.stage = Stage::Landed;
                validation.queued_since = None;
                validation.verdict = None;
                validation.verdict_reason = String::new();
                validation.verdict_at = None;
                validation.verdict_logged = false;
                validation.verdict_sent = false;
                validation.cleanup = Cleanup::Pending;
                validation.cleanup_reason = None;
                validation.cleanup_at = None;
                self.write().await?;
                Ok(Next::Again)
            }
        }
    }
}

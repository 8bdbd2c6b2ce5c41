//! Another attempt at a restore whose fault may pass.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Cleanup, RestoreJob, Stage, Validation};
use crate::evidence::Evidence;
use crate::resource_type::ResourceType;

/// A restore that ran for longer is not repeated unless the rule asks for it: it may be billed again.
const RAN_AT_MOST: SignedDuration = SignedDuration::from_hours(1);

impl Validation {
    /// When another attempt at the restore is worth making, after this job has failed and left this evidence; none when there
    /// is to be no other. It is at most the third.
    pub fn try_again_at(
        &self,
        evidence: Evidence,
        job: &RestoreJob,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let wait = *evidence.waits().get(self.earlier_attempts.len())?;
        match self.rule.as_ref().and_then(|rule| rule.retry) {
            Some(true) => {}
            Some(false) => return None,
            None if self.was_expensive(job) => return None,
            None => {}
        }
        let at = now + wait;
        let expires_at = self.recovery_point.expires_at;
        (!expires_at.is_some_and(|expires_at| expires_at <= at)).then_some(at)
    }

    fn was_expensive(&self, job: &RestoreJob) -> bool {
        let ran = job.created_at.zip(job.completed_at);
        let name = self.recovery_point.resource_type.as_deref();
        let resource_type = name.and_then(ResourceType::from_name);
        ran.is_some_and(|(from, to)| to.duration_since(from) > RAN_AT_MOST)
            || resource_type.is_some_and(|one| one.facts().restore_billed_by_size)
    }

    /// Begins a new attempt, under a new name and token, and forgets what is of this one alone. Its restore job, if it had one,
    /// is kept for the record.
    pub fn begin_attempt(&mut self) {
        self.earlier_attempts.extend(self.restore_attempt());
        self.attempt += 1;
        self.stage = Stage::Landed;
        self.queued_since = None;
        self.slot_taken_at = None;
        self.intent = None;
        self.restore = None;
        self.fault_class = None;
        self.restored_class = None;
        self.network = None;
        self.restore_seen_at = None;
        self.preparation_minutes = None;
        self.first_passed_check_minutes = None;
        self.parts = Vec::new();
        self.steps = BTreeMap::new();
        self.tagged = false;
        self.waiting_since = None;
        self.suspected_jobs = Vec::new();
        self.check_runs = 0;
        self.checks = Vec::new();
        self.verdict = None;
        self.verdict_reason = String::new();
        self.verdict_at = None;
        self.verdict_logged = false;
        self.verdict_sent = false;
        self.cleanup = Cleanup::Pending;
        self.cleanup_reason = None;
        self.cleanup_at = None;
        self.left_behind_sent = false;
        self.missing_since = None;
        self.deletion_asked_at = None;
        self.deletion_tried_since = None;
    }
}

//! Another attempt at a restore whose fault may pass.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Cleanup, RestoreJob, Stage, Validation};
use crate::ceiling::Marked;
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
        expires_at
            .is_none_or(|expires_at| expires_at > at)
            .then_some(at)
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
        self.recovery = Vec::new();
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
        self.verdict_reason = Marked::default();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::evidence::Passes;
    use crate::policy;
    use crate::validation::RestoreAttempt;
    use crate::verdict::FaultClass;

    const FULL: Evidence = Evidence::Ours(FaultClass::Capacity, Passes::InHours);
    const BUSY: Evidence = Evidence::Ours(FaultClass::Quota, Passes::Soon);

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    /// A validation whose rule says this of retries.
    fn validation(retry: Option<bool>) -> Validation {
        let text = "version = \"1\"\n[[rules]]\nname = \"r\"\nmatch = {}\nfrequency = \"daily\"\n";
        let mut rule = policy::parse(text).unwrap().rules.remove(0);
        rule.retry = retry;
        let mut validation = Validation::open("stack", "arn", "vault", None, at(0));
        validation.recovery_point.resource_type = Some("RDS".to_owned());
        validation.rule = Some(rule);
        validation
    }

    /// A job that ran for so many minutes.
    fn job(minutes: i64) -> RestoreJob {
        RestoreJob {
            id: "job".to_owned(),
            recovery_point_arn: None,
            role_arn: None,
            created_at: Some(at(0)),
            completed_at: Some(at(minutes)),
            status: "FAILED".to_owned(),
            status_message: None,
            created_resource_arn: None,
            size_bytes: None,
        }
    }

    fn earlier(count: usize) -> Vec<RestoreAttempt> {
        let attempt = RestoreAttempt {
            restore_job_id: "earlier".to_owned(),
            started_at: None,
            ended_at: None,
            fault_class: None,
            message: None,
            cleanup: Cleanup::NothingToDelete,
        };
        vec![attempt; count]
    }

    #[test]
    fn there_are_three_attempts_with_longer_and_longer_waits() {
        let mut validation = validation(None);
        let ours = Evidence::Ours(FaultClass::Request, Passes::No);
        for (evidence, waits) in [
            (BUSY, [Some(15), Some(60), None]),
            (FULL, [Some(60), Some(240), None]),
            (Evidence::Nothing, [Some(60), None, None]),
            (ours, [None; 3]),
            (Evidence::Backup, [None; 3]),
            (Evidence::Key, [None; 3]),
        ] {
            for (made, wait) in waits.into_iter().enumerate() {
                validation.earlier_attempts = earlier(made);
                let next = validation.try_again_at(evidence, &job(1), at(10));
                assert_eq!(next, wait.map(|wait| at(10 + wait)), "{evidence:?} {made}");
            }
        }
    }

    #[test]
    fn what_ran_for_long_is_repeated_only_if_the_rule_says_so() {
        for (retry, minutes, again) in [
            (None, 60, true),
            (None, 61, false),
            (Some(true), 61, true),
            (Some(false), 1, false),
        ] {
            let next = validation(retry).try_again_at(FULL, &job(minutes), at(100));
            assert_eq!(next.is_some(), again, "{retry:?} {minutes}");
        }
    }

    #[test]
    fn nothing_is_repeated_once_the_recovery_point_is_expired() {
        let mut validation = validation(None);
        for (expires, again) in [(71, true), (70, false), (5, false)] {
            validation.recovery_point.expires_at = Some(at(expires));
            let next = validation.try_again_at(FULL, &job(1), at(10));
            assert_eq!(next.is_some(), again, "{expires}");
        }
    }

    #[test]
    fn a_new_attempt_knows_nothing_of_the_one_before_but_its_job() {
        let mut validation = validation(None);
        let fresh = validation.clone();
        validation.retry_at = Some(at(70));
        validation.fault_class = Some(FaultClass::Capacity);
        validation.slot_taken_at = Some(at(1));
        validation.missing_since = Some(at(2));
        validation.deletion_asked_at = Some(at(3));
        validation.restore = Some(job(1));
        validation.settle(Cleanup::Deleted, None, at(4));
        validation.check_runs = 2;
        validation.stage = Stage::Deleting;
        validation.begin_attempt();
        assert_eq!(validation.attempt, 2);
        assert_eq!(validation.retry_at, Some(at(70)));
        validation.attempt = 1;
        validation.retry_at = None;
        assert_eq!(validation, fresh);
    }
}

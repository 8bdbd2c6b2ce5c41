//! The slot of a validation: taken before anything is asked of AWS Backup, waited for, given back.

use jiff::SignedDuration;
use restore_proof_core::policy::{Limits, readable_duration};
use restore_proof_core::resource_type::ResourceType;
use restore_proof_core::validation::Stage;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::Run;
use crate::aws::AwsError;
use crate::failure::{self, Failure};

/// What is too much for AWS now is tried again after so many seconds at least.
const PUT_OFF_LEAST: u64 = 60;
/// And within so many more, each validation at a time of its own.
const PUT_OFF_SPREAD: u64 = 240;

impl Run<'_> {
    /// Takes a slot within the limits, or notes since when it waits for one. Answers whether it has one.
    pub(super) async fn take_slot(
        &mut self,
        resource_type: ResourceType,
        limits: &Limits,
    ) -> failure::Result<bool> {
        let allowed = self.app.config.max_concurrent_restores;
        let name = resource_type.name();
        let (limit, of_type) = (limits.slots(allowed), limits.slots_of(name, allowed));
        let (id, now) = (&self.lease.validation.id, self.now());
        let ledger = &self.app.ledger;
        let taken = ledger.take_slot(id, name, limit, of_type, now).await?;
        let validation = self.validation();
        if taken {
            validation.slot_taken_at = Some(now);
        } else {
            validation.queued_since.get_or_insert(now);
        }
        Ok(taken)
    }

    /// Why it is not tested because of its waiting; none while it may wait. During a pause everybody may, and after it so
    /// long as if it had just come.
    pub(super) async fn waited_too_long(&self, limits: &Limits) -> failure::Result<Option<String>> {
        let Some(since) = self.lease.validation.queued_since else {
            return Ok(None);
        };
        let now = self.now();
        let waited = now.duration_since(since);
        let longest = SignedDuration::try_from(limits.longest_wait).unwrap_or(SignedDuration::MAX);
        if waited < longest {
            return Ok(None);
        }
        let slots = self.app.ledger.slots().await?;
        if since > slots.waits_too_long_since(longest, now) {
            return Ok(None);
        }
        let (from, paused) = match slots.resumed_at().filter(|ended| *ended > since) {
            Some(ended) => (ended, format!(" since {ended}, when a pause ended")),
            None => (since, String::new()),
        };
        Ok(Some(format!(
            "no slot among the concurrent restores was free in {}{paused}, and the policy's longest_wait is {}",
            readable_duration(now.duration_since(from)),
            readable_duration(longest)
        )))
    }

    /// Gives back the slot of a validation that stays where it landed, so that it keeps none while it waits for
    /// something else. Should that fail, it still has its slot when it goes on.
    pub(super) async fn leave_slot(&mut self) {
        if self.lease.validation.stage != Stage::Landed
            || self.validation().slot_taken_at.take().is_none()
        {
            return;
        }
        let id = &self.lease.validation.id;
        // Nobody is called for it: what keeps this one from going on may well keep the next, and the sweep comes by.
        if let Err(error) = self.app.ledger.free_slot(id).await {
            warn!(validation.id = %id, "the slot of validation {id} could not be given back: {error}");
        }
    }

    /// Gives the slot back, and notes if there was one: the longest waiting validation is to have it.
    pub(super) async fn free_slot(&mut self) -> failure::Result<()> {
        let id = &self.lease.validation.id;
        if let Some(slots) = self.app.ledger.free_slot(id).await? {
            self.gave_back = Some(slots);
        }
        Ok(())
    }

    /// When to try again what AWS had too many calls for, should that be what this error is. Nothing has been started
    /// that anybody waits for, and to be delivered again at once would only add calls.
    pub(super) fn put_off(&self, failure: &Failure) -> Option<SignedDuration> {
        let waits = matches!(
            self.lease.validation.stage,
            Stage::Landed | Stage::Restoring
        );
        let throttled = waits && failure.aws().is_some_and(AwsError::is_throttle);
        throttled.then(|| {
            let hash = Sha256::new()
                .chain_update(&self.lease.validation.id)
                .chain_update(self.lease.revision().to_be_bytes())
                .finalize();
            let spread =
                u64::from_be_bytes(std::array::from_fn(|byte| hash[byte])) % PUT_OFF_SPREAD;
            SignedDuration::from_secs((PUT_OFF_LEAST + spread).cast_signed())
        })
    }
}

//! A validation: the life of one recovery point under test, as the ledger keeps it.
//!
//! Stage, verdict, objectives and cleanup are separate values. The stage says what may happen next; whatever
//! creates or deletes something is preceded by its intent, so that a function that died in between leaves
//! behind what it was about to do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::arn::Arn;
use crate::ceiling::{Ceiling, Ceilings, Datum, Marked};
use crate::check;
use crate::event::{CopyJobEvent, CopyState};
use crate::expectation::{CheckOutcome, Measurement, number_text};
use crate::name;
use crate::ownership::Mark;
use crate::policy::Rule;
use crate::record::record_key;
use crate::resource_type::RequestedKey;
use crate::verdict::{FaultClass, Verdict};

mod part;
mod retry;
mod trouble;

pub use part::{Origin, Part, PartKind, Step, StepState, not_found};
pub use trouble::Trouble;

/// The tag that says on a restored resource which validation it is of. For people: nothing is proved by it.
pub const VALIDATION_TAG: &str = "restore-proof:validation";

/// How far a validation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The copy has landed; nothing is started.
    Landed,
    /// The restore is intended, started or running.
    Restoring,
    /// The restore job is complete; the resource is prepared and checked.
    Restored,
    /// The verdict is known; the record is to be written.
    Checked,
    /// The record is written; the resource may be deleted.
    Recorded,
    /// Deletion was asked for and is to be confirmed.
    Deleting,
    /// Nothing is left to do.
    Closed,
}

impl Stage {
    /// The word used in the ledger, in logs and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Landed => "landed",
            Stage::Restoring => "restoring",
            Stage::Restored => "restored",
            Stage::Checked => "checked",
            Stage::Recorded => "recorded",
            Stage::Deleting => "deleting",
            Stage::Closed => "closed",
        }
    }
}

/// What becomes of the restored resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleanup {
    /// Not finished.
    Pending,
    /// We deleted it, and AWS no longer knows it.
    Deleted,
    /// Somebody else had deleted it.
    AlreadyGone,
    /// Nothing was restored.
    NothingToDelete,
    /// Kept for people to look at, as the rule asks; deleted afterwards.
    KeptUntil,
    /// It could not be deleted, or is not provably ours. Tried again daily.
    LeftBehind,
}

impl Cleanup {
    /// The word used in the record, in logs and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Cleanup::Pending => "pending",
            Cleanup::Deleted => "deleted",
            Cleanup::AlreadyGone => "already_gone",
            Cleanup::NothingToDelete => "nothing_to_delete",
            Cleanup::KeptUntil => "kept_until",
            Cleanup::LeftBehind => "left_behind",
        }
    }

    /// Whether nothing of ours exists any more.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Cleanup::Deleted | Cleanup::AlreadyGone | Cleanup::NothingToDelete
        )
    }
}

/// What is known of the recovery point. All but the ARN and the vault are filled in from AWS Backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoveryPoint {
    /// ARN of the recovery point; for a failed copy that of the source.
    pub arn: String,
    /// ARN of the vault it lies in.
    pub vault_arn: String,
    /// Name of that vault.
    pub vault_name: String,
    /// AWS Backup's name of the resource type.
    pub resource_type: Option<String>,
    /// ARN of the backed-up resource.
    pub resource_arn: Option<String>,
    /// When the data was backed up: the earlier of AWS Backup's `CreationDate` and, where the service keeps
    /// one, the creation of the original snapshot.
    pub created_at: Option<Timestamp>,
    /// Size in bytes.
    pub size_bytes: Option<u64>,
    /// ARN of the key that encrypts it.
    pub encryption_key_arn: Option<String>,
    /// When AWS Backup deletes it; none if it says nothing of that.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

impl RecoveryPoint {
    /// Account of the backed-up resource, 12 digits.
    pub fn source_account(&self) -> Option<String> {
        let arn: Arn = self.resource_arn.as_deref()?.parse().ok()?;
        Some(arn.account).filter(|account| !account.is_empty())
    }
}

/// Whether this is the ARN of a continuous backup, from which any point in time can be restored: AWS Backup gives it one
/// ARN for its whole life, `arn:aws:backup:…:recovery-point:continuous:db-…`.
pub fn is_continuous(recovery_point_arn: &str) -> bool {
    recovery_point_arn
        .parse()
        .is_ok_and(|arn: Arn| arn.resource.starts_with("recovery-point:continuous:"))
}

/// Whether this is the ARN of a recovery point that AWS Backup keeps itself, `arn:aws:backup:…:recovery-point:<uuid>`. It
/// says nothing of the type: so is everything in a logically air-gapped vault called, a database or an EC2 instance as
/// well, and there is no snapshot or image to look up.
pub fn is_kept_by_aws_backup(recovery_point_arn: &str) -> bool {
    let arn = recovery_point_arn.parse();
    arn.is_ok_and(|arn: Arn| arn.service == "backup") && !is_continuous(recovery_point_arn)
}

/// What is known of the copy job that brought it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyJob {
    /// Copy job id.
    pub id: Option<String>,
    /// When the copy ended.
    pub completed_at: Option<Timestamp>,
    /// Whether it ended with part of a copy.
    #[serde(default)]
    pub is_partial: bool,
}

/// What an event told of a recovery point whose validation was already known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// The copy that brought it.
    pub copy_job: Option<CopyJob>,
    /// What was noticed, in words.
    pub findings: Vec<String>,
}

/// Which policy decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyUsed {
    /// What the file calls itself; none when it could not be read.
    pub version: Option<String>,
    /// S3's id of the version that was read; none when it was not read, and in a bucket without versions.
    #[serde(default)]
    pub version_id: Option<String>,
    /// SHA-256 of its text, lower-case hexadecimal; none when there was no text.
    pub fingerprint: Option<String>,
}

/// The restore that was decided on, written before it is started and never changed afterwards but for the
/// job's id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Which attempt of the validation.
    pub attempt: u32,
    /// What the restored resource is to be called, where a restore takes a name.
    pub target_name: String,
    /// By what it is known as the one that was planned.
    pub mark: Mark,
    /// Makes a repeated start of the same restore harmless for under an hour ([`Validation::idempotency_token`]).
    pub idempotency_token: String,
    /// The restore request's metadata. Never logged.
    pub metadata: BTreeMap<String, String>,
    /// When it was decided.
    pub planned_at: Timestamp,
    /// The restore job, once AWS Backup has named it.
    pub restore_job_id: Option<String>,
}

/// A restore job as AWS Backup describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestoreJob {
    /// Restore job id.
    pub id: String,
    /// ARN of the recovery point it restores.
    pub recovery_point_arn: Option<String>,
    /// ARN of the role it runs under.
    pub role_arn: Option<String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// `PENDING`, `RUNNING`, `COMPLETED`, `FAILED` or `ABORTED`.
    pub status: String,
    /// AWS Backup's words, if any.
    pub status_message: Option<String>,
    /// ARN of what it created.
    pub created_resource_arn: Option<String>,
    /// Size of the restored resource in bytes.
    pub size_bytes: Option<u64>,
}

impl RestoreJob {
    /// Whether AWS Backup does no more about it.
    pub fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "COMPLETED" | "FAILED" | "ABORTED")
    }
}

/// A restore job of an attempt that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreAttempt {
    /// Restore job id.
    pub restore_job_id: String,
    /// When it was created.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What kind of fault it ended with; none if it ended with none.
    pub fault_class: Option<FaultClass>,
    /// AWS Backup's words about it, if any.
    pub message: Option<String>,
    /// What became of what it restored.
    pub cleanup: Cleanup,
}

/// Where a restored resource lies in the network, as its service describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredNetwork {
    /// Id of the VPC; none if its service does not say.
    pub vpc: Option<String>,
    /// Ids of the subnets: of an EC2 instance those of its interfaces, of a database those of its subnet group.
    pub subnets: Vec<String>,
    /// Ids of the security groups.
    pub groups: Vec<String>,
}

/// What became of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check's name in the policy.
    pub name: String,
    /// Its kind, for example `sql`.
    pub kind: String,
    /// What became of it.
    pub outcome: CheckOutcome,
    /// The value that came, as text.
    pub value: Option<String>,
    /// The value as a number, if it is one.
    pub value_number: Option<f64>,
    /// What kind of thing the value is; none when there is none.
    #[serde(default)]
    pub datum: Option<Datum>,
    /// Whether the value is the very one that the policy names, which may be seen everywhere.
    #[serde(default)]
    pub is_expected: bool,
    /// What was expected, in words.
    pub expectation: String,
    /// Why it is so, in words.
    pub detail: Marked,
    /// How long it took, minutes.
    pub duration_minutes: f64,
    /// How old the newest data was when the backup was made, minutes; of the check that measures it.
    pub age_at_backup_minutes: Option<f64>,
    /// How old the newest data was when the check ran, minutes.
    pub age_against_now_minutes: Option<f64>,
    /// What was measured beside the value.
    #[serde(default)]
    pub measured: Vec<Measurement>,
    /// The group that the policy puts the check in.
    #[serde(default)]
    pub group: Option<String>,
}

impl CheckResult {
    /// What of the value may not be seen under this ceiling: its kind, if it may not.
    pub fn withheld(&self, ceiling: Ceiling) -> Option<Datum> {
        // Results of an earlier version do not say what their value is.
        let datum = self.datum.or(match (&self.value, self.value_number) {
            (None, _) => None,
            (Some(_), Some(_)) => Some(Datum::Number),
            (Some(_), None) => Some(Datum::Text),
        })?;
        (!self.is_expected && !ceiling.lets(datum)).then_some(datum)
    }

    /// The value and its number as they may be seen under this ceiling, or the kind of what may not be seen. A number of too
    /// many digits is seen rounded.
    pub fn seen(&self, ceiling: Ceiling) -> (Option<String>, Option<f64>, Option<Datum>) {
        match (self.withheld(ceiling), self.value_number) {
            (None, number) => (self.value.clone(), number, None),
            (Some(Datum::Text), Some(number)) if ceiling.lets(Datum::Number) => {
                (Some(number_text(number)), Some(number), None)
            }
            (Some(datum), _) => (None, None, Some(datum)),
        }
    }

    /// The number of a measurement, if it may be seen under this ceiling. How long a machine took and which status it answered
    /// are no data.
    pub(crate) fn measured_number(&self, measured: &Measurement, ceiling: Ceiling) -> Option<f64> {
        let is_hidden = check::reads_data(&self.kind) && !ceiling.lets(Datum::Number);
        measured.number.filter(|_| !is_hidden)
    }

    /// The same without what may not be seen under this ceiling. The ages stay: objectives are judged by them.
    #[must_use]
    pub fn lowered(mut self, ceiling: Ceiling) -> CheckResult {
        let (value, number, withheld) = self.seen(ceiling);
        if withheld.is_none() && value != self.value {
            self.datum = Some(Datum::Number);
        }
        (self.value, self.value_number) = (value, number);
        self.detail = self.detail.lowered(ceiling);
        let measured: Vec<_> = self
            .measured
            .iter()
            .map(|measured| self.measured_number(measured, ceiling))
            .collect();
        for (measured, number) in self.measured.iter_mut().zip(measured) {
            measured.number = number;
            measured.text = measured.text.take().map(|text| text.lowered(ceiling));
        }
        self
    }
}

/// The life of one recovery point under test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Hash of stack, vault and recovery point: every way to learn of a recovery point finds the same one.
    pub id: String,
    /// When the ledger first heard of it. Fixes the record's date partition.
    pub opened_at: Timestamp,
    /// How far it has come.
    pub stage: Stage,
    /// Which attempt at it, from 1. A new one begins when no restore was started, or a broken policy is mended.
    pub attempt: u32,
    /// What is under test.
    pub recovery_point: RecoveryPoint,
    /// The copy that brought it, when an event told.
    pub copy_job: Option<CopyJob>,
    /// The policy that decided.
    pub policy: Option<PolicyUsed>,
    /// The rule that matched, frozen.
    pub rule: Option<Rule>,
    /// Since when it waits for a slot among the concurrent restores; none before it found none, and once it has one.
    #[serde(default)]
    pub queued_since: Option<Timestamp>,
    /// When a slot among the concurrent restores was free.
    pub slot_taken_at: Option<Timestamp>,
    /// The restore decided on.
    pub intent: Option<Intent>,
    /// What a recovery by hand is to use in place of each key of that restore's request. Never logged.
    #[serde(default)]
    pub recovery: Vec<RequestedKey>,
    /// The restore job as it ended.
    pub restore: Option<RestoreJob>,
    /// Restore jobs of earlier attempts, oldest first.
    #[serde(default)]
    pub earlier_attempts: Vec<RestoreAttempt>,
    /// What kind of fault kept this attempt's restore from being made; none if none did.
    #[serde(default)]
    pub fault_class: Option<FaultClass>,
    /// Instance class or type of the source, by the backup's restore metadata.
    #[serde(default)]
    pub source_class: Option<String>,
    /// Instance class or type of the restored resource.
    #[serde(default)]
    pub restored_class: Option<String>,
    /// Whether the source had a parameter group of its own that the copy was not restored with: names in it may be told
    /// apart by other rules.
    #[serde(default)]
    pub settings_differ: bool,
    /// Where the restored resource lay when its isolation was asserted.
    #[serde(default)]
    pub network: Option<RestoredNetwork>,
    /// When another attempt is made, since the fault of this one may pass; none when there is to be no other.
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
    /// When we saw that it had ended.
    pub restore_seen_at: Option<Timestamp>,
    /// How long it took to make the resource ready for checks after we saw it, minutes.
    pub preparation_minutes: Option<f64>,
    /// From the start of the checks to the end of the first passed one, minutes.
    pub first_passed_check_minutes: Option<f64>,
    /// What must be deleted beside the restored resource, the gone among it.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// What was done to the restored resource before its checks.
    #[serde(default)]
    pub steps: BTreeMap<Step, StepState>,
    /// Whether the restored resource bears the validation's tag, or cannot be given it.
    #[serde(default)]
    pub tagged: bool,
    /// Since when the validation waits between two runs for the resource to be ready.
    #[serde(default)]
    pub waiting_since: Option<Timestamp>,
    /// Errors met run after run; none when the last run got on.
    #[serde(default)]
    pub trouble: Option<Trouble>,
    /// Restore jobs that all fit the intent, or one that may: whose is which cannot be told.
    #[serde(default)]
    pub suspected_jobs: Vec<String>,
    /// How often checks were begun: a check that ends the process is not begun for ever.
    pub check_runs: u32,
    /// What became of the checks.
    pub checks: Vec<CheckResult>,
    /// What was noticed besides, in words.
    pub findings: Vec<String>,
    /// What the validation says of the backup.
    pub verdict: Option<Verdict>,
    /// Why, in words.
    pub verdict_reason: Marked,
    /// When the verdict was known.
    pub verdict_at: Option<Timestamp>,
    /// What becomes of the restored resource.
    pub cleanup: Cleanup,
    /// Why, in words, when it is not as wished.
    pub cleanup_reason: Option<String>,
    /// When the cleanup became what it is.
    pub cleanup_at: Option<Timestamp>,
    /// Until when a failed restore is kept.
    pub kept_until: Option<Timestamp>,
    /// When AWS first answered that the resource does not exist; the second time counts.
    pub missing_since: Option<Timestamp>,
    /// When its service first answered that it does not know the snapshot or image that the recovery point is.
    #[serde(default)]
    pub snapshot_missing_since: Option<Timestamp>,
    /// When deletion was first asked for.
    pub deletion_asked_at: Option<Timestamp>,
    /// Since when it is being tried now; a new day's try begins anew.
    #[serde(default)]
    pub deletion_tried_since: Option<Timestamp>,
    /// Whether the verdict's log event was written.
    pub verdict_logged: bool,
    /// Whether people hear of the verdict by a rule that tells of changes; none where other rules decide. It is set with
    /// the verdict, so that every try at the message finds the same answer.
    #[serde(default)]
    pub tells_change: Option<bool>,
    /// Whether the verdict's message was sent, or its event alone where people are not to hear.
    pub verdict_sent: bool,
    /// Whether the message about something left behind was sent.
    pub left_behind_sent: bool,
    /// It was not tested because the rule asks for a share of what it matches, and another is it: neither a hole nor a
    /// limit, but what the policy's `sample` and `frequency` are for.
    #[serde(default)]
    pub left_out_by_rule: bool,
    /// The policy was broken: plan again once its text is another.
    pub replan: bool,
    /// When to look again; none when nothing is left to do, and while it waits for a slot.
    pub due_at: Option<Timestamp>,
}

impl Validation {
    /// A validation of a recovery point that nothing but the place is known of.
    pub fn open(
        stack: &str,
        arn: &str,
        vault_arn: &str,
        request_id: Option<&str>,
        now: Timestamp,
    ) -> Validation {
        let vault_name = vault_name(vault_arn);
        Validation {
            id: validation_id(stack, vault_arn, arn, request_id),
            opened_at: now,
            stage: Stage::Landed,
            attempt: 1,
            recovery_point: RecoveryPoint {
                arn: arn.to_owned(),
                vault_arn: vault_arn.to_owned(),
                vault_name,
                resource_type: None,
                resource_arn: None,
                created_at: None,
                size_bytes: None,
                encryption_key_arn: None,
                expires_at: None,
            },
            copy_job: None,
            policy: None,
            rule: None,
            queued_since: None,
            slot_taken_at: None,
            intent: None,
            recovery: Vec::new(),
            restore: None,
            earlier_attempts: Vec::new(),
            fault_class: None,
            source_class: None,
            settings_differ: false,
            restored_class: None,
            network: None,
            retry_at: None,
            restore_seen_at: None,
            preparation_minutes: None,
            first_passed_check_minutes: None,
            parts: Vec::new(),
            steps: BTreeMap::new(),
            tagged: false,
            waiting_since: None,
            trouble: None,
            suspected_jobs: Vec::new(),
            check_runs: 0,
            checks: Vec::new(),
            findings: Vec::new(),
            verdict: None,
            verdict_reason: Marked::default(),
            verdict_at: None,
            cleanup: Cleanup::Pending,
            cleanup_reason: None,
            cleanup_at: None,
            kept_until: None,
            missing_since: None,
            snapshot_missing_since: None,
            deletion_asked_at: None,
            deletion_tried_since: None,
            verdict_logged: false,
            tells_change: None,
            verdict_sent: false,
            left_behind_sent: false,
            left_out_by_rule: false,
            replan: false,
            due_at: Some(now),
        }
    }

    /// The validation of a copy that ended. What has landed, whole or in part, is known by its recovery point, so that
    /// the sweep and the recovery point's own event find the same one, and AWS Backup is asked what it is. A copy of which
    /// there is nothing is known by its job.
    pub fn of_copy(stack: &str, copy: &CopyJobEvent, now: Timestamp) -> Validation {
        let vault = copy.destination_vault_arn.as_str();
        let arn = copy.recovery_point_arn.as_deref();
        let (known_by, what) = match (arn, copy.state) {
            (Some(arn), CopyState::Completed | CopyState::Partial) => {
                return Validation::open(stack, arn, vault, None, now).told_by(copy);
            }
            (None, CopyState::Completed | CopyState::Partial) => (None, "the copy is PARTIAL"),
            (arn, CopyState::Failed) => (arn, "the copy failed"),
        };
        let source = copy.source_recovery_point_arn.as_deref().or(known_by);
        let job = copy.copy_job_id.as_deref().or(source);
        let id = format!("copy-job:{}", job.unwrap_or_default());
        let mut opened = Validation::open(stack, &id, vault, None, now).told_by(copy);
        opened.recovery_point.arn = known_by.or(source).unwrap_or_default().to_owned();
        let message = copy.status_message.as_deref();
        let message = message.unwrap_or("AWS Backup gives no reason");
        opened.settle(Cleanup::NothingToDelete, None, now);
        opened.decide(Verdict::CopyFailed, format!("{what}: {message}"), now);
        opened
    }

    /// Adds what an event told while the validation was already known. What is known stays.
    pub fn add(&mut self, heard: Heard) {
        self.copy_job = self.copy_job.take().or(heard.copy_job);
        for finding in heard.findings {
            self.find(finding);
        }
    }

    fn told_by(mut self, copy: &CopyJobEvent) -> Validation {
        self.recovery_point.resource_arn = copy.resource_arn.clone();
        self.recovery_point.resource_type = copy.resource_type.clone();
        self.recovery_point.size_bytes = copy.size_bytes;
        self.copy_job = Some(CopyJob {
            id: copy.copy_job_id.clone(),
            completed_at: copy.completed_at,
            is_partial: copy.state == CopyState::Partial,
        });
        let message = copy.status_message.as_deref();
        match (copy.state, message) {
            (CopyState::Completed, Some(message)) => self.find(format!(
                "the copy job is COMPLETED with a message: {message}"
            )),
            (CopyState::Partial, message) => self.find(format!(
                "the copy job is PARTIAL: {}",
                message.unwrap_or("AWS Backup gives no reason")
            )),
            (CopyState::Completed, None) | (CopyState::Failed, _) => {}
        }
        self
    }

    /// What of the restored data may leave of a stack with these ceilings: its rule may lower them.
    pub fn ceilings(&self, stack: Ceilings) -> Ceilings {
        let rule = self.rule.as_ref();
        stack.lowered_by(rule.map(|rule| rule.values_leave).unwrap_or_default())
    }

    /// Sets the verdict. It is set once for an attempt.
    pub fn decide(&mut self, verdict: Verdict, reason: impl Into<Marked>, now: Timestamp) {
        self.verdict = Some(verdict);
        self.verdict_reason = reason.into();
        self.verdict_at = Some(now);
        self.tells_change = None;
        self.retry_at = None;
        self.stage = Stage::Checked;
    }

    /// Sets the cleanup. Found the same again, it keeps the time when it became so.
    pub fn settle(&mut self, cleanup: Cleanup, reason: Option<String>, now: Timestamp) {
        if self.cleanup != cleanup || self.cleanup_at.is_none() {
            self.cleanup_at = Some(now);
        }
        self.cleanup = cleanup;
        self.cleanup_reason = reason;
    }

    /// The restore job of this attempt; none if it has started none.
    pub fn restore_attempt(&self) -> Option<RestoreAttempt> {
        let restore = self.restore.as_ref();
        Some(RestoreAttempt {
            restore_job_id: self.intent.as_ref()?.restore_job_id.clone()?,
            started_at: restore.and_then(|job| job.created_at),
            ended_at: restore.and_then(|job| job.completed_at),
            fault_class: self.fault_class,
            message: restore.and_then(|job| job.status_message.clone()),
            cleanup: self.cleanup,
        })
    }

    /// The parts that are not known to be gone.
    pub fn parts_left(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.gone_at.is_none())
    }

    /// When AWS took the request of a step; none before.
    pub fn done_at(&self, step: Step) -> Option<Timestamp> {
        self.steps.get(&step)?.done_at
    }

    /// Notes once what was noticed.
    pub fn find(&mut self, finding: impl Into<String>) {
        let finding = finding.into();
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// What the restored resource of this attempt is called: see [`name::target_name`].
    pub fn target_name(&self, prefix: &str) -> String {
        name::target_name(prefix, &self.id, self.attempt)
    }

    /// The token of this attempt's start of a restore, at most 46 characters: that of the same request is the same, that of any
    /// other another one. AWS Backup answers a token that it knows as it did the first time, also by the refusal, whatever
    /// the request asks now.
    pub fn idempotency_token(
        &self,
        resource_type: &str,
        role_arn: &str,
        metadata: &BTreeMap<String, String>,
    ) -> String {
        let pairs = metadata.iter();
        let request = [self.recovery_point.arn.as_str(), resource_type, role_arn]
            .into_iter()
            .chain(pairs.flat_map(|(key, value)| [key.as_str(), value.as_str()]));
        format!("{}-{}-{}", self.id, self.attempt, hash_of(request, 8))
    }

    /// The record's key in the results bucket: the same for the validation's whole life.
    pub fn record_key(&self) -> String {
        record_key(self.opened_at.to_zoned(TimeZone::UTC).date(), &self.id)
    }
}

/// The id of a validation: the first 80 bits of a hash, lower-case hexadecimal.
pub fn validation_id(
    stack: &str,
    vault_arn: &str,
    recovery_point_arn: &str,
    request_id: Option<&str>,
) -> String {
    let parts = [
        stack,
        vault_arn,
        recovery_point_arn,
        request_id.unwrap_or_default(),
    ];
    hash_of(parts.into_iter(), 10)
}

/// The first bytes of a hash of texts, lower-case hexadecimal.
pub(crate) fn hash_of<'t>(parts: impl Iterator<Item = &'t str>, bytes: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        // Keeps ("ab", "c") apart from ("a", "bc").
        hash.update([0]);
    }
    hash.finalize()
        .iter()
        .take(bytes)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The name in a vault's ARN, `arn:aws:backup:region:account:backup-vault:name`; the whole text if it is none.
pub fn vault_name(vault_arn: &str) -> String {
    vault_arn
        .parse()
        .map_or_else(|_| vault_arn.to_owned(), |arn: Arn| arn.name().to_owned())
}

#[cfg(test)]
mod tests;

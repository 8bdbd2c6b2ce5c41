//! What an event tells of a recovery point, and what must be looked up.

use std::collections::BTreeMap;

use restore_proof_core::admission::{Candidate, Size};
use restore_proof_core::arn::Arn;
use restore_proof_core::event::{
    BackupJobEvent, BackupState, CopyJobEvent, CopyState, JobRef, RecoveryPointEvent, Trigger,
};
use restore_proof_core::validation::{validation_id, vault_name};

use super::Args;

/// What an event is about. The texts are whole sentences.
pub(super) enum About {
    /// A recovery point that may be restored.
    RecoveryPoint(String),
    /// A copy that did not come to be.
    FailedCopy(String),
    /// Nothing that a policy decides on.
    Nothing(String),
}

impl About {
    pub(super) fn text(&self) -> &str {
        match self {
            About::RecoveryPoint(text) | About::FailedCopy(text) | About::Nothing(text) => text,
        }
    }
}

/// What is known of the recovery point; none is what the function looks up.
#[derive(Default)]
pub(super) struct Point {
    pub(super) recovery_point_arn: Option<String>,
    /// ARN of the vault; its account and Region are those that validate.
    pub(super) vault_arn: Option<String>,
    pub(super) vault_name: Option<String>,
    pub(super) resource_type: Option<String>,
    pub(super) source_arn: Option<String>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) size: Size,
    /// The account of the stack that is asked about.
    pub(super) stack_account: Option<String>,
    /// Its Region.
    pub(super) stack_region: Option<String>,
    /// Tells validations of one recovery point apart.
    request_id: Option<String>,
}

impl Point {
    /// What is known of it, for the core to decide.
    pub(super) fn candidate<'a>(&'a self, validation_id: Option<&'a str>) -> Candidate<'a> {
        Candidate {
            validation_id,
            arn: self.recovery_point_arn.as_deref(),
            vault_arn: self.vault_arn.as_deref(),
            vault_name: self.vault_name.as_deref(),
            resource_type: self.resource_type.as_deref(),
            source_arn: self.source_arn.as_deref(),
            tags: self.tags.as_ref(),
            size: self.size,
        }
    }

    /// The id of its validation in a stack of this name prefix.
    pub(super) fn validation_id(&self, name_prefix: &str) -> Option<String> {
        let wish = self.request_id.as_deref();
        Some(validation_id(
            name_prefix,
            self.vault_arn.as_deref()?,
            self.recovery_point_arn.as_deref()?,
            wish,
        ))
    }

    /// Adds what was given on the command line, over what the event tells.
    pub(super) fn given(&mut self, args: &Args) {
        self.resource_type = args.resource_type.clone().or(self.resource_type.take());
        self.source_arn = args.source_arn.clone().or(self.source_arn.take());
        self.vault_name = args.vault.clone().or(self.vault_name.take());
        if args.no_tags || !args.tags.is_empty() {
            self.tags = Some(args.tags.iter().cloned().collect());
        }
        self.size = args.size.map_or(self.size, Size::Bytes);
        // Each recovery point lies where its vault lies, save for one in a vault that another account shares.
        let lies_in = |arn: &Option<String>| arn.as_deref().and_then(|arn| arn.parse::<Arn>().ok());
        let arns = [lies_in(&self.recovery_point_arn), lies_in(&self.vault_arn)];
        let first = |of: fn(&Arn) -> &String| {
            let mut named = arns
                .iter()
                .flatten()
                .map(of)
                .filter(|word| !word.is_empty());
            named.next().cloned()
        };
        self.stack_account = args.account.clone().or(first(|arn| &arn.account));
        self.stack_region = args.region.clone().or(first(|arn| &arn.region));
        // Somebody who asks names a vault of the stack's own account.
        if let (None, Some(account), Some(region), Some(name), Some(arn)) = (
            &self.vault_arn,
            &self.stack_account,
            &self.stack_region,
            &self.vault_name,
            arns.iter().flatten().next(),
        ) {
            let partition = &arn.partition;
            self.vault_arn = Some(format!(
                "arn:{partition}:backup:{region}:{account}:backup-vault:{name}"
            ));
        }
    }
}

/// What an event that names sizes tells of it; what it does not, the function looks up.
fn size(bytes: Option<u64>) -> Size {
    bytes.map_or(Size::Unknown, Size::Bytes)
}

/// What a trigger is about.
pub(super) fn of(trigger: &Trigger) -> (About, Point) {
    match trigger {
        Trigger::Copy(copy) => of_copy(copy),
        Trigger::Backup(backup) => of_backup(backup),
        Trigger::RecoveryPoint(point) => of_recovery_point(point),
        Trigger::Validate(request) => {
            let text = match &request.request_id {
                Some(word) => format!("Somebody asks for a validation, as request {word:?}."),
                None => "Somebody asks for a validation.".to_owned(),
            };
            let point = Point {
                recovery_point_arn: Some(request.recovery_point_arn.clone()),
                vault_name: Some(request.backup_vault_name.clone()),
                request_id: request.request_id.clone(),
                ..Point::default()
            };
            (About::RecoveryPoint(text), point)
        }
        Trigger::Restore(job) => nothing(format!(
            "Restore job {} ended. The ledger knows whether it is ours; the policy decided when it was planned.",
            job.restore_job_id
        )),
        Trigger::Notified(jobs) => of_notified(jobs),
        Trigger::Show { validation_id } => nothing(format!(
            "Somebody asks how validation {validation_id} is. Nothing is decided by it."
        )),
        Trigger::Pause(_) | Trigger::Resume | Trigger::Status | Trigger::Doctor => nothing(
            "Somebody asks how the work gets on, or that no restore is begun for a while: it is about all validations."
                .to_owned(),
        ),
        Trigger::Report(_) => nothing(
            "A report is to be made: it is about all validations of its days.".to_owned(),
        ),
        Trigger::Sweep(_) => nothing(
            "A sweep: it is about all validations that are open, not about one recovery point."
                .to_owned(),
        ),
        Trigger::Advance { validation_id } => nothing(format!(
            "Validation {validation_id} is to be looked at again. The ledger knows which recovery point it is about."
        )),
        Trigger::Ignored(why) => nothing(format!("The function does nothing about it: {why}.")),
    }
}

fn nothing(text: String) -> (About, Point) {
    (About::Nothing(text), Point::default())
}

fn of_backup(backup: &BackupJobEvent) -> (About, Point) {
    let job = backup.backup_job_id.as_ref().map_or_else(
        || "A backup job".to_owned(),
        |id| format!("Backup job {id}"),
    );
    let said = backup.status_message.as_deref();
    let why = said.map_or_else(String::new, |said| format!(" AWS Backup says: {said}"));
    let about = match backup.state {
        BackupState::Completed => About::RecoveryPoint(format!(
            "{job} is complete. It counts if its vault is one of the stack's BackupJobVaultNames.{why}"
        )),
        BackupState::Partial => {
            About::FailedCopy(format!("{job} ended with part of a backup.{why}"))
        }
    };
    let point = Point {
        recovery_point_arn: Some(backup.recovery_point_arn.clone()),
        vault_name: Some(vault_name(&backup.vault_arn)),
        vault_arn: Some(backup.vault_arn.clone()),
        resource_type: backup.resource_type.clone(),
        source_arn: backup.resource_arn.clone(),
        size: size(backup.size_bytes),
        ..Point::default()
    };
    (about, point)
}

fn of_recovery_point(event: &RecoveryPointEvent) -> (About, Point) {
    let about = About::RecoveryPoint(
        "A recovery point is there. It counts if its vault is one of those that the stack's parameters name.".to_owned(),
    );
    let point = Point {
        recovery_point_arn: Some(event.recovery_point_arn.clone()),
        vault_name: Some(vault_name(&event.vault_arn)),
        vault_arn: Some(event.vault_arn.clone()),
        resource_type: event.resource_type.clone(),
        source_arn: event.resource_arn.clone(),
        ..Point::default()
    };
    (about, point)
}

/// A notification names jobs and nothing else that counts.
fn of_notified(jobs: &[JobRef]) -> (About, Point) {
    let (kind, id) = match jobs {
        [JobRef::Copy(id)] => ("copy", id),
        [JobRef::Backup(id)] => ("backup", id),
        [JobRef::Restore(id)] => {
            return nothing(format!(
                "Restore job {id} ended. The ledger knows whether it is ours; the policy decided when it was planned."
            ));
        }
        _ => {
            return nothing(format!(
                "A vault notification about {} jobs. Each is looked up in AWS Backup and goes its own way: explain the notification of one.",
                jobs.len()
            ));
        }
    };
    let text = format!(
        "A vault notification about {kind} job {id}. Nothing but the id is trusted; the function looks the job up, as does: \
         aws backup describe-{kind}-job --{kind}-job-id {id}"
    );
    (About::RecoveryPoint(text), Point::default())
}

fn of_copy(copy: &CopyJobEvent) -> (About, Point) {
    let job = copy
        .copy_job_id
        .as_ref()
        .map_or_else(|| "A copy job".to_owned(), |id| format!("Copy job {id}"));
    let said = copy.status_message.as_deref();
    let why = said.map_or_else(String::new, |said| format!(" AWS Backup says: {said}"));
    let about = match copy.state {
        CopyState::Completed => {
            About::RecoveryPoint(format!("{job} is complete: a copy has landed."))
        }
        CopyState::Failed => About::FailedCopy(format!("{job} failed: there is no copy.{why}")),
        CopyState::Partial => About::FailedCopy(format!("{job} ended with part of a copy.{why}")),
    };
    let point = Point {
        recovery_point_arn: copy.recovery_point_arn.clone(),
        vault_name: Some(vault_name(&copy.destination_vault_arn)),
        vault_arn: Some(copy.destination_vault_arn.clone()),
        resource_type: copy.resource_type.clone(),
        source_arn: copy.resource_arn.clone(),
        size: size(copy.size_bytes),
        ..Point::default()
    };
    (about, point)
}

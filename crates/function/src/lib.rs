//! What Restore Proof does: one event in, one step of some validation out.
//!
//! Every event is only a hint that some validation may be able to move. The ledger and AWS itself are the truth.

pub mod advance;
pub mod aws;
pub mod backup;
pub mod check;
pub mod config;
pub mod doctor;
pub mod failure;
pub mod ledger;
pub mod policy_file;
pub mod publish;
pub mod queue;
pub mod report;
pub mod reset;
pub mod resource;
pub mod status;
pub mod sweep;
pub mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, future};
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::arn::Arn;
use restore_proof_core::ceiling::Ceilings;
use restore_proof_core::event::{
    self, BackupJobEvent, BackupState, CopyJobEvent, JobRef, RecoveryPointEvent, RestoreJobEvent,
    Sweep, Trigger, ValidateRequest,
};
use restore_proof_core::name;
use restore_proof_core::validation::{Cleanup, Heard, Validation};
use restore_proof_core::verdict::Verdict;
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::aws::{Aws, AwsError};
use crate::config::Config;
use crate::ledger::{Lease, Ledger, Slots, Taken};
use crate::policy_file::PolicyFile;

/// A lease outlives the invocation that took it by this: then nobody else works on it any more.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// How late AWS Backup's events may come: it emits them every few minutes, without a guarantee ("Monitoring AWS Backup
/// events using EventBridge", AWS Backup developer guide).
const EVENTS_COME_LATE: SignedDuration = SignedDuration::from_hours(24);

/// What must be left of an invocation for it to begin with one more validation.
const KEPT_FOR_ONE_MORE: SignedDuration = SignedDuration::from_mins(2);

/// Tells the time. Tests bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The function between invocations.
pub struct App {
    /// Settings.
    pub config: Config,
    /// Clients.
    pub aws: Aws,
    /// Validations.
    pub ledger: Ledger,
    known_policy: policy_file::Known,
    /// How long to wait at most between two looks at a resource that is not ready.
    pub poll: Duration,
    clock: Clock,
}

impl App {
    /// A function with these settings and clients.
    pub fn new(config: Config, aws: Aws, clock: Clock) -> App {
        let ledger = Ledger::new(aws.dynamodb.clone(), &config.ledger_table);
        App {
            config,
            aws,
            ledger,
            known_policy: policy_file::Known::default(),
            poll: Duration::from_secs(5),
            clock,
        }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Waits before the next look at a resource that is not ready.
    async fn pause(&self) {
        self.aws.sleep(advance::POLL.min(self.poll)).await;
    }
}

/// Handles one invocation, which Lambda ends at `deadline`.
///
/// # Errors
/// When AWS refuses or does not answer: the event is to be delivered again.
pub async fn handle(app: &App, payload: &Value, deadline: Timestamp) -> failure::Result<Value> {
    let call = Call {
        app,
        nonce: uuid::Uuid::new_v4().to_string(),
        deadline,
    };
    match event::read(payload) {
        Trigger::Copy(copy) => call.copy(copy).boxed().await,
        Trigger::Backup(backup) => call.backup(backup).boxed().await,
        Trigger::RecoveryPoint(point) => call.recovery_point(point).boxed().await,
        Trigger::Restore(restore) => call.restore(&restore).boxed().await,
        Trigger::Notified(jobs) => call.notified(&jobs).boxed().await,
        Trigger::Sweep(Sweep::Due) => {
            let invoked = sweep::due(app, deadline).boxed().await?;
            Ok(json!({ "invoked": invoked }))
        }
        Trigger::Sweep(Sweep::Lost) => {
            let found = sweep::lost(app, &call.nonce, deadline).boxed().await?;
            Ok(json!({
                "opened": found.opened,
                "unknown_jobs": found.jobs_of_nobody,
                "unknown": found.unknown,
                "vaults": found.vaults,
            }))
        }
        Trigger::Advance { validation_id } => call.advance(&validation_id).boxed().await,
        Trigger::Validate(request) => call.validate(request).boxed().await,
        Trigger::Show { validation_id } => call.show(&validation_id).await,
        Trigger::Pause(pause) => status::pause(app, pause.reason.as_deref()).await,
        Trigger::Resume => status::resume(app).await,
        Trigger::Status => status::status(app).await,
        Trigger::Doctor => Ok(doctor::answers(app).await),
        Trigger::Report(rhythm) => report::make(app, rhythm, deadline).boxed().await,
        Trigger::Ignored(reason) => Ok(ignored(reason)),
    }
}

fn ignored(reason: String) -> Value {
    warn!("event ignored: {reason}");
    json!({ "ignored": reason })
}

/// Two stacks in one account must not both restore the same copy. That nobody names the vault the sweep reports.
fn not_watched(vault: &str) -> String {
    format!(
        "this stack does not watch vault {vault}; to have it validated here add it to BackupVaultNames"
    )
}

/// One invocation.
struct Call<'a> {
    app: &'a App,
    /// Tells this invocation's writes from all others.
    nonce: String,
    deadline: Timestamp,
}

impl Call<'_> {
    /// A copy job ended: opens its validation, or finds it.
    async fn copy(&self, copy: CopyJobEvent) -> failure::Result<Value> {
        let config = &self.app.config;
        if let Err(reason) = copy.believed_in(&config.account) {
            return Ok(ignored(reason));
        }
        let vault = copy.destination_vault_arn.parse::<Arn>().ok();
        // AWS Backup could never be asked about a vault without a name.
        let Some(vault) = vault.filter(|vault| !vault.name().is_empty()) else {
            let reason = "destinationBackupVaultArn is not the ARN of a vault";
            return Ok(ignored(reason.to_owned()));
        };
        let now = self.app.now();
        let mut validation = Validation::of_copy(&config.name_prefix, &copy, now);
        // The event may come from the source's account: what counts is where the copy landed, or was to land.
        if let Some(reason) = advance::elsewhere(config, &validation) {
            validation.settle(Cleanup::NothingToDelete, None, now);
            validation.decide(Verdict::NotTested, reason.to_string(), now);
        } else if !config.watched_vaults().contains(vault.name()) {
            return Ok(ignored(not_watched(vault.name())));
        }
        let copy_job = copy.copy_job_id.as_deref().unwrap_or_default();
        self.open_and_advance(validation, &format!("copy job {copy_job}"))
            .await
    }

    /// A backup job ended: opens the validation of its recovery point, or finds it. Most backups are validated as the
    /// copies that are made of them; those in the vaults that this stack watches are validated themselves.
    async fn backup(&self, backup: BackupJobEvent) -> failure::Result<Value> {
        let vault = match self.watched_vault(&backup.vault_arn, backup.account.as_deref()) {
            Ok(vault) => vault,
            Err(reason) => return Ok(ignored(reason)),
        };
        let mut validation = self.validation_of(&vault, &backup.recovery_point_arn);
        validation.recovery_point.resource_arn = backup.resource_arn;
        validation.recovery_point.resource_type = backup.resource_type;
        validation.recovery_point.size_bytes = backup.size_bytes;
        if let (BackupState::Completed, Some(message)) = (backup.state, &backup.status_message) {
            validation.find(format!(
                "the backup job is COMPLETED with a message: {message}"
            ));
        }
        let job = backup.backup_job_id.as_deref().unwrap_or_default();
        self.open_and_advance(validation, &format!("backup job {job}"))
            .await
    }

    /// A recovery point is there: opens its validation, or finds it.
    async fn recovery_point(&self, point: RecoveryPointEvent) -> failure::Result<Value> {
        let vault = match self.watched_vault(&point.vault_arn, Some(&point.account)) {
            Ok(vault) => vault,
            Err(reason) => return Ok(ignored(reason)),
        };
        // AWS Backup may tell of old ones again, and what was there before this stack is not tested unasked. Events come late:
        // of one that landed shortly before, none may come again.
        let installed = self.app.ledger.installed_at(self.app.now()).await?;
        if point
            .completed_at
            .is_some_and(|at| at < installed - EVENTS_COME_LATE)
        {
            return Ok(ignored(format!(
                "recovery point {} landed before this stack was installed",
                point.recovery_point_arn
            )));
        }
        let mut validation = self.validation_of(&vault, &point.recovery_point_arn);
        validation.recovery_point.resource_arn = point.resource_arn;
        validation.recovery_point.resource_type = point.resource_type;
        self.open_and_advance(validation, "the recovery point")
            .await
    }

    /// The name of the vault of an ARN, if this stack watches it. What lies in it our account tells of; anybody else who
    /// does has made it up. AWS Backup itself names no account.
    fn watched_vault(&self, arn: &str, told_by: Option<&str>) -> Result<String, String> {
        let config = &self.app.config;
        let Ok(vault) = arn.parse::<Arn>() else {
            return Err("backupVaultArn is not an ARN".to_owned());
        };
        if vault.account != config.account || vault.region != config.region {
            return Err(format!(
                "the recovery point lies in account {} and Region {}; this function validates account {} in {}",
                vault.account, vault.region, config.account, config.region
            ));
        }
        if let Some(account) = told_by.filter(|account| *account != config.account) {
            return Err(format!(
                "the event comes from account {account:?} and is about a vault of ours; it is not believed"
            ));
        }
        if !config.watched_vaults().contains(vault.name()) {
            return Err(not_watched(vault.name()));
        }
        Ok(vault.name().to_owned())
    }

    /// A validation of a recovery point in a vault of ours, as yet unopened.
    fn validation_of(&self, vault: &str, recovery_point_arn: &str) -> Validation {
        let config = &self.app.config;
        let vault_arn = config.vault_arn(vault);
        Validation::open(
            &config.name_prefix,
            recovery_point_arn,
            &vault_arn,
            None,
            self.app.now(),
        )
    }

    /// Opens a validation unless it is known, and moves it. What the event tells of a known one is kept beside it, since
    /// another invocation may be moving it just now.
    async fn open_and_advance(&self, validation: Validation, of: &str) -> failure::Result<Value> {
        let id = validation.id.clone();
        let heard = Heard {
            copy_job: validation.copy_job.clone(),
            findings: validation.findings.clone(),
        };
        let ledger = &self.app.ledger;
        let opened = ledger.open_and_take(validation, &self.nonce, self.lease_until());
        // What is new needs the policy next.
        let (opened, policy) = future::join(opened, policy_file::read(self.app)).await;
        if let Some(lease) = opened? {
            info!(validation.id = %id, "event of {of}: validation {id}");
            let moved = self.moved(lease, Some(policy)).await?;
            return Ok(self.after(moved).await);
        }
        info!(validation.id = %id, "event of {of}: validation {id}, known already");
        if heard != Heard::default() {
            ledger.note_heard(&id, &heard, self.app.now()).await?;
        }
        self.advance(&id).await
    }

    /// A notification named jobs. AWS Backup is asked what they are, and then it is as if their events had come. What
    /// goes wrong with one keeps no other waiting.
    async fn notified(&self, jobs: &[JobRef]) -> failure::Result<Value> {
        let mut answers = Vec::new();
        let mut first_error = None;
        for job in jobs {
            match self.named(job).await {
                Ok(answer) => answers.push(answer),
                Err(error) if first_error.is_none() => first_error = Some(error),
                Err(error) => warn!("another job of the same notification: {error:#}"),
            }
        }
        match first_error {
            Some(error) => Err(error),
            None => Ok(json!({ "jobs": answers })),
        }
    }

    async fn named(&self, job: &JobRef) -> failure::Result<Value> {
        let aws = &self.app.aws;
        match job {
            JobRef::Copy(id) => match backup::describe_copy_job(aws, id).await? {
                Ok(copy) => self.copy(copy).await,
                Err(reason) => Ok(ignored(reason)),
            },
            JobRef::Backup(id) => match backup::describe_backup_job(aws, id).await? {
                Ok(backup) => self.backup(backup).await,
                Err(reason) => Ok(ignored(reason)),
            },
            JobRef::Restore(id) => {
                let restore = RestoreJobEvent {
                    restore_job_id: id.clone(),
                    created_resource_arn: None,
                };
                self.restore(&restore).await
            }
        }
    }

    /// How a validation is: without a lease and without any effect. Neither restore metadata nor the values that checks
    /// read are told, and of the words about them what may be seen everywhere.
    async fn show(&self, id: &str) -> failure::Result<Value> {
        let Some(validation) = self.app.ledger.find(id).await? else {
            let reason = format!("the ledger knows no validation {id}");
            return Ok(json!({ "validation_id": id, "unknown": true, "ignored": reason }));
        };
        let ceiling = validation.ceilings(self.app.config.values_leave).lowest();
        let checks: Vec<_> = validation
            .checks
            .iter()
            .map(|check| {
                json!({
                    "name": check.name,
                    "kind": check.kind,
                    "outcome": check.outcome.as_str(),
                    "detail": check.detail.at(ceiling),
                })
            })
            .collect();
        let intent = validation.intent.as_ref();
        Ok(json!({
            "validation_id": validation.id,
            "stage": validation.stage.as_str(),
            "attempt": validation.attempt,
            "verdict": validation.verdict.map(Verdict::as_str),
            "reason": validation.verdict_reason.at(ceiling),
            "cleanup": validation.cleanup.as_str(),
            "cleanup_reason": validation.cleanup_reason,
            "checks": checks,
            "findings": validation.findings,
            "recovery_point_arn": validation.recovery_point.arn,
            "restore_job_id": intent.and_then(|intent| intent.restore_job_id.as_deref()),
            "due_at": validation.due_at,
            "queued_since": validation.queued_since,
            "troubled_since": validation.trouble.as_ref().map(|trouble| trouble.since),
            "last_error": validation.trouble.as_ref().map(|trouble| &trouble.words),
        }))
    }

    /// A restore job ended: only one that the ledger knows as ours means anything. What it made may have a name that tells
    /// its validation, and then nothing else is to be looked up: whose it is, is proved before anything is done to it.
    async fn restore(&self, restore: &RestoreJobEvent) -> failure::Result<Value> {
        let job_id = restore.restore_job_id.as_str();
        let created = restore.created_resource_arn.as_deref();
        let created: Option<Arn> = created.and_then(|arn| arn.parse().ok());
        let prefix = &self.app.config.name_prefix;
        let named = created.as_ref();
        let named = named.and_then(|arn| name::validation_named(prefix, arn.name()));
        let id = match named {
            Some(id) => Some(id.to_owned()),
            None => self.app.ledger.validation_of_job(job_id).await?,
        };
        match id {
            Some(id) => {
                let (now, until) = (self.app.now(), self.lease_until());
                let ledger = &self.app.ledger;
                // What has been restored is looked into next, by the checks of its rule.
                let taken = ledger.take_with_rule(&id, &self.nonce, now, until).await?;
                let met = self.meet(&id, taken).await?;
                Ok(self.told(&id, met).await)
            }
            None => {
                info!(
                    restore_job.id = job_id,
                    "restore job {job_id} is not one of ours"
                );
                Ok(json!({ "ignored": format!("restore job {job_id} is not one of ours") }))
            }
        }
    }

    /// Somebody asks for the validation of a recovery point.
    async fn validate(&self, request: ValidateRequest) -> failure::Result<Value> {
        let config = &self.app.config;
        let vault = request.backup_vault_name.as_str();
        let vault_arn = config.vault_arn(vault);
        let wish = request.request_id.as_deref();
        let arn = &request.recovery_point_arn;
        let validation =
            Validation::open(&config.name_prefix, arn, &vault_arn, wish, self.app.now());
        // Whoever asks is there to hear at once that the vault is not: a mistyped name would be tried for a day. What else
        // there may be to say of the recovery point goes into its record.
        if self.app.ledger.find(&validation.id).await?.is_none()
            && let Err(error) = backup::describe_recovery_point(&self.app.aws, vault, arn).await
            && backup::is_refused_by_vault(&error)
        {
            return Ok(ignored(error.to_string()));
        }
        let what = format!("a request for {arn}");
        self.open_and_advance(validation, &what).await
    }

    /// Moves a validation, if nobody else does.
    async fn advance(&self, id: &str) -> failure::Result<Value> {
        let met = self.take_and_move(id).await?;
        Ok(self.told(id, met).await)
    }

    async fn told(&self, id: &str, met: Met) -> Value {
        match met {
            Met::Moved(moved) => self.after(moved).await,
            Met::Left(validation) => standing(&validation, self.app.config.values_leave),
            Met::Unknown => {
                warn!(validation.id = %id, "the ledger knows no validation {id}");
                json!({ "ignored": format!("the ledger knows no validation {id}") })
            }
        }
    }

    /// What a moved validation leaves to be done: should it have given its slot back, the longest waiting one has its turn.
    async fn after(&self, moved: Box<advance::Moved>) -> Value {
        let answer = standing(&moved.validation, self.app.config.values_leave);
        if let Some(slots) = moved.gave_back {
            self.hand_on(&moved.validation.id, slots).await;
        }
        answer
    }

    async fn take_and_move(&self, id: &str) -> failure::Result<Met> {
        let (now, until) = (self.app.now(), self.lease_until());
        let taken = self.app.ledger.take(id, &self.nonce, now, until).await?;
        self.meet(id, taken).await
    }

    async fn meet(&self, id: &str, taken: Taken) -> failure::Result<Met> {
        Ok(match taken {
            Taken::Lease(lease) => Met::Moved(self.moved(*lease, None).await?),
            Taken::Busy(validation) => {
                info!(validation.id = %id, "validation {id} is being moved by another invocation");
                Met::Left(validation)
            }
            Taken::Closed(validation) => Met::Left(validation),
            Taken::Unknown => Met::Unknown,
        })
    }

    async fn moved(
        &self,
        lease: Lease,
        policy: Option<Result<PolicyFile, AwsError>>,
    ) -> failure::Result<Box<advance::Moved>> {
        // Boxed, since several ways lead here and the whole of a validation's life is in it: unboxed, every one of them
        // would carry its own on the stack, and the compiler its type.
        let moved = advance::advance(self.app, lease, policy, self.deadline).boxed();
        Ok(Box::new(moved.await?))
    }

    fn lease_until(&self) -> Timestamp {
        self.deadline + LEASE_MARGIN
    }

    /// Moves the longest waiting validation for which there is a slot; should it turn out to need none, the next. What
    /// goes wrong is told and nothing more: it is not what this invocation was called for, and the sweep comes by.
    async fn hand_on(&self, from: &str, mut slots: Slots) {
        let mut tried = BTreeSet::new();
        loop {
            let mut next = match queue::next(self.app, &slots, &tried).await {
                Ok(next) => next,
                Err(error) => {
                    return warn!(
                        "who is to have the slot cannot be told; the sweep fills it: {error:#}"
                    );
                }
            };
            if next.is_empty() {
                return;
            }
            // Where several give back at one time, all see the same beginning of the line. Whoever does not get the first
            // goes on at a place of its own, instead of meeting the same others at each.
            if let [_, others @ ..] = next.as_mut_slice() {
                let place = from.bytes().map(usize::from).sum::<usize>();
                let of = others.len().max(1);
                others.rotate_left(place % of);
            }
            for id in next {
                if self.app.now() + KEPT_FOR_ONE_MORE >= self.deadline {
                    return;
                }
                match self.take_and_move(&id).await {
                    Ok(Met::Moved(moved)) if moved.gave_back.is_none() => return,
                    Ok(_) => {}
                    Err(error) => {
                        return warn!(validation.id = %id, "validation {id}, which was to have the slot: {error:#}");
                    }
                }
                tried.insert(id);
            }
            slots = match self.app.ledger.slots().await {
                Ok(slots) => slots,
                Err(error) => {
                    return warn!(
                        "which slots are free cannot be told; the sweep fills them: {error}"
                    );
                }
            };
        }
    }
}

/// How a validation stands, as an answer.
fn standing(validation: &Validation, stack: Ceilings) -> Value {
    let ceiling = validation.ceilings(stack).lowest();
    json!({
        "validation_id": validation.id,
        "stage": validation.stage.as_str(),
        "verdict": validation.verdict.map(Verdict::as_str),
        "reason": validation.verdict_reason.at(ceiling),
        "cleanup": validation.cleanup.as_str(),
    })
}

/// What became of the wish to move a validation.
enum Met {
    /// It was moved.
    Moved(Box<advance::Moved>),
    /// It is left as it is: another invocation moves it, or nothing is left to do.
    Left(Box<Validation>),
    /// The ledger does not know it.
    Unknown,
}

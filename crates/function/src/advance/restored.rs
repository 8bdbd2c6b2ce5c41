//! Restored: the resource is proved ours, made ready, and looked into.

use std::time::Duration;

use futures_util::future;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::expectation::{CheckOutcome, Clocks};
use restore_proof_core::ownership::{self, OwnedResource};
use restore_proof_core::policy::Rule;
use restore_proof_core::record::minutes_between;
use restore_proof_core::resource_type::ResourceType;
use restore_proof_core::validation::{Cleanup, Origin, Part, Step, StepState};
use restore_proof_core::verdict::{self, Verdict};
use tracing::{info, warn};

use super::{Next, POLL, Run, Stop};
use crate::check::{self, Access, Login, Target};
use crate::failure::{self, Failure};
use crate::resource::{self, Condition, Preparation, Prepared, Restored};
use crate::{App, backup, reset};

/// How often checks are begun before they are given up: one that ends the process must not do so for ever.
const CHECK_RUNS: u32 = 2;
/// How long a run waits for the resource to be ready: the rest of its time belongs to the checks.
const MOST_WAITED: SignedDuration = SignedDuration::from_mins(5);
/// How often one run looks for a restored resource that AWS does not show, until that is noted as "not found". Waiting for
/// the next run would be charged to the backup as preparation.
pub(super) const UNSEEN_LOOKS: u32 = 6;
/// A booting machine is asked again in the same run only when so much of it is left, or what its checks may take.
const MOST_KEPT_FOR_CHECKS: Duration = Duration::from_secs(5 * 60);
/// AWS may not show a change at once: what it shows counts from then on, or once it has shown the change.
const STEP_SETTLES: SignedDuration = SignedDuration::from_secs(60);

/// What a restored resource turned out to be.
pub(super) enum Looked {
    /// Ours, as its service describes it.
    Ours(Box<Restored>, OwnedResource),
    /// Its service knows none of this name.
    Missing,
    /// Its service shows it as ended.
    Gone,
    /// Its service is still creating it and does not say yet since when it exists.
    NotYet,
    /// What our job names is ending, as we have asked.
    Ending,
    /// Not provably ours.
    NotOurs(String),
}

/// A resource that is ours and ready.
struct Ready {
    resource_type: ResourceType,
    restored: Box<Restored>,
    owned: OwnedResource,
    target: Target,
}

impl Run<'_> {
    /// 1. Proves ownership. 2. Waits until it is ready, and takes the steps it needs. 3. Asserts its isolation. 4. Runs the
    ///    checks, until a machine has booted.
    pub(super) async fn restored(&mut self) -> failure::Result<Next> {
        let runs = self.lease.validation.check_runs;
        let next = Box::pin(self.try_checks()).await.or_else(Stop::step);
        let validation = &mut self.lease.validation;
        if validation.verdict.is_none() && validation.check_runs > runs {
            // No process has ended: these checks are to be begun again in good order.
            validation.check_runs = runs;
            if next.is_err() {
                self.write().await?;
            }
        }
        if matches!(next, Ok(Next::At(_))) {
            let now = self.now();
            self.validation().waiting_since.get_or_insert(now);
        }
        next
    }

    async fn try_checks(&mut self) -> Result<Next, Stop> {
        let app = self.app;
        app.ledger.read_checks(&mut self.lease).await?;
        // Made for the first try, and kept for those that follow while a machine boots.
        let mut access = None;
        loop {
            let ready = Box::pin(self.ready()).await?;
            self.note_ready();
            let rule = self.rule()?;
            let Some(recovery_point_created) = self.lease.validation.recovery_point.created_at
            else {
                let id = &self.lease.validation.id;
                let words = format!("validation {id} was restored without a date");
                return Err(Failure::Other(words).into());
            };
            if rule.checks.is_empty() {
                self.assert_isolated(&ready.restored).await?;
                self.tag(&ready).await;
                let (verdict, reason) = verdict::of_checks(&[]);
                return Ok(self.decide(verdict, reason).await?);
            }
            if self.lease.validation.check_runs >= CHECK_RUNS && access.is_none() {
                let reason = format!(
                    "the checks were begun {CHECK_RUNS} times and ended the function each time"
                );
                self.validation().checks = check::not_begun(&rule, &reason);
                return Ok(self.decide(Verdict::Inconclusive, reason).await?);
            }
            let access = match &access {
                Some(access) => {
                    self.assert_isolated(&ready.restored).await?;
                    access
                }
                None => {
                    let reset = Box::pin(self.reset_login(&rule, &ready.restored)).await?;
                    access.insert(Box::pin(self.get_ready(&rule, &ready, reset)).await?)
                }
            };
            let now = self.now();
            let clocks = Clocks {
                recovery_point_created,
                now,
            };
            let left = self.time_left();
            let ran = Box::pin(check::run(&rule, &ready.target, access, clocks, left)).await;

            let all_passed = ran
                .results
                .iter()
                .all(|result| result.outcome == CheckOutcome::Passed);
            if !all_passed && self.is_booting(&ready.restored) {
                // What it answers says nothing yet, and its recovery is not over.
                let validation = self.validation();
                validation.preparation_minutes = None;
                validation.waiting_since = None;
                let needed: Duration = rule.checks.iter().map(|check| check.timeout).sum();
                if self.time_left() > needed.min(MOST_KEPT_FOR_CHECKS) + POLL {
                    app.pause().await;
                    continue;
                }
                return Ok(Next::At(self.look_again()));
            }

            let validation = self.validation();
            validation.waiting_since = None;
            validation.first_passed_check_minutes = ran
                .first_passed_after
                .map(|after| after.as_secs_f64() / 60.0);
            for finding in ran.findings.into_iter().chain(ran.warnings) {
                validation.find(finding);
            }
            // What may leave nowhere is not kept either.
            let kept = validation.ceilings(app.config.values_leave).highest();
            let results = ran.results.into_iter();
            validation.checks = results.map(|result| result.lowered(kept)).collect();
            let (verdict, reason) = verdict::of_checks(&validation.checks);
            return Ok(self.decide(verdict, reason).await?);
        }
    }

    /// Does what must be done before checks begin, all beside each other: asserts the isolation, counts the run, reads
    /// logins and certificates, and tags the resource.
    async fn get_ready(
        &mut self,
        rule: &Rule,
        ready: &Ready,
        reset: Option<Login>,
    ) -> Result<Access, Stop> {
        let app = self.app;
        let problems = ready.restored.isolation.clone();
        if !problems.is_empty() {
            return Err(self.not_isolated(problems).await?.into());
        }
        let tags = std::mem::replace(&mut self.validation().tagged, true);
        self.validation().check_runs += 1;
        let id = self.lease.validation.id.clone();
        let (ways_out, counted, access, ()) = future::join4(
            resource::ways_out(&app.aws, &ready.restored),
            app.ledger.write(&mut self.lease),
            Access::read(&app.aws, &app.config, rule, &ready.target, reset),
            async {
                if !tags {
                    tag(app, ready, &id).await;
                }
            },
        )
        .await;
        counted?;
        let problems = ways_out?;
        if problems.is_empty() {
            return Ok(access);
        }
        Err(self.not_isolated(problems).await?.into())
    }

    /// Notes how long it took until the resource could be looked into.
    fn note_ready(&mut self) {
        let now = self.now();
        let validation = self.validation();
        if validation.preparation_minutes.is_none() {
            // Ready at the first look after a wait: when it became so is not known, and our waiting is not the backup's.
            let ready_at = validation.waiting_since.unwrap_or(now);
            validation.preparation_minutes = validation
                .restore_seen_at
                .map(|seen| minutes_between(seen, ready_at));
        }
    }

    /// The rule that was frozen.
    fn rule(&self) -> failure::Result<Rule> {
        let validation = &self.lease.validation;
        if !self.lease.has_checks() {
            let words = format!("the checks of validation {} were not read", validation.id);
            return Err(Failure::Other(words));
        }
        validation.rule.clone().ok_or_else(|| {
            Failure::Other(format!(
                "validation {} was restored without a rule",
                validation.id
            ))
        })
    }

    /// Ends the validation unless the resource lies where it was planned, behind groups that let nothing out.
    async fn assert_isolated(&mut self, restored: &Restored) -> Result<(), Stop> {
        let mut problems = restored.isolation.clone();
        if problems.is_empty() {
            problems = resource::ways_out(&self.app.aws, restored).await?;
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(self.not_isolated(problems).await?.into())
    }

    async fn not_isolated(&mut self, problems: Vec<String>) -> failure::Result<Next> {
        for problem in &problems {
            self.validation().find(problem.clone());
        }
        let reason = format!("no check was begun: {}", problems.join("; "));
        self.decide(Verdict::Inconclusive, reason).await
    }

    /// Looks until the resource is ready, taking the steps it needs, or until there is another stage.
    async fn ready(&mut self) -> Result<Ready, Stop> {
        let mut unseen = 0;
        let patience = self.now() + MOST_WAITED;
        loop {
            let may_wait = self.now() < patience && self.time_left() > POLL * 2;
            let (restored, owned) = match self.look().await? {
                Looked::Ours(restored, owned) => (restored, owned),
                Looked::NotOurs(why) => {
                    return Err(self.give_up_unowned(why).await?.into());
                }
                Looked::NotYet | Looked::Ending => return Err(self.not_ready().await?.into()),
                Looked::Missing if unseen < UNSEEN_LOOKS && may_wait => {
                    // Right after COMPLETED AWS may not show it yet.
                    unseen += 1;
                    self.app.pause().await;
                    continue;
                }
                Looked::Missing => {
                    return Err(match self.missing_twice() {
                        Ok(()) => self.give_up_gone().await?.into(),
                        Err(again) => Next::At(again).into(),
                    });
                }
                Looked::Gone => return Err(self.give_up_gone().await?.into()),
            };
            let validation = self.validation();
            validation.missing_since = None;
            validation.network = Some(restored.network.clone());
            validation.restored_class = restored.class.clone();
            if self.note_parts(&restored) {
                self.write().await?;
            }
            match restored.condition.clone() {
                Condition::Ready(target) if !self.is_settling() => {
                    return Ok(Ready {
                        resource_type: self.resource_type()?,
                        restored,
                        owned,
                        target,
                    });
                }
                Condition::Needs(step) => {
                    Box::pin(self.take_step(step, &restored, &owned)).await?;
                }
                Condition::Broken(reason) => {
                    return Err(self.decide(Verdict::Inconclusive, reason).await?.into());
                }
                Condition::Gone => return Err(self.give_up_gone().await?.into()),
                Condition::Busy => {
                    self.note_ready();
                    if !may_wait {
                        return Err(self.not_ready().await?.into());
                    }
                    self.validation().waiting_since = None;
                    self.app.pause().await;
                }
                Condition::Changing => {
                    for state in self.validation().steps.values_mut() {
                        state.seen |= state.done_at.is_some();
                    }
                    if !may_wait {
                        return Err(self.not_ready().await?.into());
                    }
                    self.validation().waiting_since = None;
                    self.app.pause().await;
                }
                Condition::Ready(_) | Condition::Deleting if may_wait => {
                    self.validation().waiting_since = None;
                    self.app.pause().await;
                }
                Condition::Ready(_) | Condition::Deleting => {
                    return Err(self.not_ready().await?.into());
                }
            }
        }
    }

    /// Whether a step was taken so shortly before that AWS may not show what it changes.
    fn is_settling(&self) -> bool {
        let now = self.now();
        let mut steps = self.lease.validation.steps.values();
        steps.any(|state| {
            let just_done = |at: Timestamp| now.duration_since(at) < STEP_SETTLES;
            !state.seen && state.done_at.is_some_and(just_done)
        })
    }

    /// Comes back later, unless a step or the resource has had its time.
    async fn not_ready(&mut self) -> failure::Result<Next> {
        let now = self.now();
        let ready_at_most = self.resource_type()?.facts().deadlines.ready;
        let validation = self.validation();
        validation.waiting_since = None;
        // What is waited for is the last of the steps that were taken.
        let last = validation
            .steps
            .iter()
            .max_by_key(|(_, state)| state.wished_at);
        let late =
            last.filter(|(step, state)| now.duration_since(state.wished_at) > step.at_most());
        if let Some((step, _)) = late {
            let problem = too_late(*step);
            return self.give_up_step(problem).await;
        }
        let overdue = validation
            .restore_seen_at
            .is_some_and(|seen| now.duration_since(seen) > ready_at_most);
        if !overdue {
            return Ok(Next::At(self.look_again()));
        }
        let hours = ready_at_most.as_hours();
        let reason = format!("what was restored was not ready within {hours} hours");
        self.decide(Verdict::Inconclusive, reason).await
    }

    /// Whether a machine may still be booting.
    fn is_booting(&self, restored: &Restored) -> bool {
        let validation = &self.lease.validation;
        let restored_at = validation
            .restore
            .as_ref()
            .and_then(|job| job.completed_at)
            .or(validation.restore_seen_at);
        let until = restored_at
            .zip(restored.boot_timeout)
            .and_then(|(at, timeout)| at.checked_add(timeout).ok());
        until.is_some_and(|until| self.now() < until)
    }

    /// Takes a step: its isolation is asserted, the part that it makes noted and the wish written before AWS is asked.
    async fn take_step(
        &mut self,
        step: Step,
        restored: &Restored,
        owned: &OwnedResource,
    ) -> Result<(), Stop> {
        let app = self.app;
        let rule = self.rule()?;
        if !step.is_of_recovery() {
            self.note_ready();
        }
        self.assert_isolated(restored).await?;
        if rule.checks.is_empty() {
            // Nobody will look into it.
            let (verdict, reason) = verdict::of_checks(&[]);
            return Err(self.decide(verdict, reason).await?.into());
        }
        let login = match step {
            Step::Password => match self.own_login(restored).await {
                Ok(login) => Some(login),
                Err(problem) => return Err(self.give_up_step(problem).await?.into()),
            },
            Step::Capacity | Step::Writer => None,
        };
        let now = self.now();
        let validation = self.validation();
        let wished = StepState {
            wished_at: now,
            done_at: None,
            seen: false,
        };
        let wished_at = validation.steps.entry(step).or_insert(wished).wished_at;
        if let Some(part) = step.makes(owned.name())
            && !validation.parts.iter().any(|known| known.id == part.id)
        {
            validation.parts.push(part);
        }
        self.write().await?;
        let of = Preparation {
            owned,
            restored,
            rule: &rule,
            login: login.as_ref(),
        };
        match resource::prepare(&app.aws, self.resource_type()?, step, of).await? {
            Prepared::Asked => {
                let now = self.now();
                if let Some(state) = self.validation().steps.get_mut(&step) {
                    state.done_at = Some(now);
                }
                self.write().await?;
                info!(validation.id = %self.lease.validation.id, "step {step:?} was taken on {}", owned.name());
                self.login = login.or(self.login.take());
                Ok(())
            }
            Prepared::NotNow(why) if now.duration_since(wished_at) > step.at_most() => {
                let problem = format!("{}: {why}", too_late(step));
                Err(self.give_up_step(problem).await?.into())
            }
            Prepared::NotNow(_) => Err(Next::At(self.look_again()).into()),
            Prepared::Refused(problem) => Err(self.give_up_step(problem).await?.into()),
        }
    }

    /// The checks are not begun, because the resource could not be made ready for them.
    async fn give_up_step(&mut self, problem: String) -> failure::Result<Next> {
        self.validation().checks = check::not_begun(&self.rule()?, &problem);
        let (verdict, reason) = verdict::of_checks(&self.lease.validation.checks);
        self.decide(verdict, reason).await
    }

    /// The login of the master user under a password of our own, which a step has set on the copy; none when the policy
    /// does not ask for it.
    async fn reset_login(
        &mut self,
        rule: &Rule,
        restored: &Restored,
    ) -> Result<Option<Login>, Stop> {
        if !resource::wants_password(rule) {
            return Ok(None);
        }
        match self.own_login(restored).await {
            Ok(login) => Ok(Some(login)),
            Err(problem) => Err(self.give_up_step(problem).await?.into()),
        }
    }

    /// The master user's login under a password that is derived, so that it can be set again after a death and is kept
    /// nowhere.
    async fn own_login(&mut self, restored: &Restored) -> Result<Login, String> {
        if let Some(login) = self.login.take() {
            return Ok(login);
        }
        let app = self.app;
        let validation = &self.lease.validation;
        reset::login(
            &app.aws,
            &app.config.reset_key_secret,
            restored.master.as_ref(),
            &validation.id,
            validation.attempt,
        )
        .await
    }

    /// Tags the resource, unless it was.
    async fn tag(&mut self, ready: &Ready) {
        if !std::mem::replace(&mut self.validation().tagged, true) {
            tag(self.app, ready, &self.lease.validation.id).await;
        }
    }

    /// Notes what must be deleted beside the resource, while it can be told from other things. Returns whether there is
    /// something new to be written.
    pub(super) fn note_parts(&mut self, restored: &Restored) -> bool {
        let validation = &self.lease.validation;
        let Some(job) = &validation.restore else {
            return false;
        };
        let came_with = restored.came_with.iter();
        let new: Vec<Part> = came_with
            .filter(|found| ownership::is_of_restore(job, found))
            .filter(|found| !validation.parts.iter().any(|known| known.id == found.id))
            .map(|found| Part::new(found.kind, found.id.clone(), Origin::RestoreJob))
            .collect();
        let is_new = !new.is_empty();
        self.validation().parts.extend(new);
        is_new
    }

    /// Looks at what the restore job created, and proves that it is ours.
    pub(super) async fn look(&self) -> failure::Result<Looked> {
        let app = self.app;
        let validation = &self.lease.validation;
        let (Some(intent), Some(job)) = (&validation.intent, &validation.restore) else {
            return self.look_at_suspects().await;
        };
        let resource_type = self.resource_type()?;
        let arn = job.created_resource_arn.as_deref();
        let Some(name) = arn.and_then(|arn| resource_type.created_name(arn)) else {
            // It may have left something all the same: then that is not provably ours, and people are told.
            let left = self.orphan_candidates(intent, job.created_at).await?;
            return Ok(match left.first() {
                Some(name) => Looked::NotOurs(format!(
                    "not provably ours: restore job {} does not name {name}",
                    job.id
                )),
                None => Looked::Missing,
            });
        };
        let Some(restored) = resource::look(app, validation, resource_type, &name).await? else {
            return Ok(Looked::Missing);
        };
        match restored.condition {
            Condition::Gone => return Ok(Looked::Gone),
            Condition::Changing if restored.found.created_at.is_none() => {
                return Ok(Looked::NotYet);
            }
            // What is ending may have lost what it is proved by; nothing more is done to it.
            Condition::Deleting
                if validation.deletion_asked_at.is_some()
                    && job.created_resource_arn.as_ref() == Some(&restored.found.arn) =>
            {
                return Ok(Looked::Ending);
            }
            Condition::Ready(_)
            | Condition::Changing
            | Condition::Busy
            | Condition::Needs(_)
            | Condition::Broken(_)
            | Condition::Deleting => {}
        }
        let role = &app.config.restore_role_arn;
        let arn = &validation.recovery_point.arn;
        Ok(
            match ownership::prove(intent, arn, role, job, &restored.found) {
                Ok(owned) => Looked::Ours(Box::new(restored), owned),
                Err(not_ours) => Looked::NotOurs(not_ours.to_string()),
            },
        )
    }

    /// Looks whether anything is left of what restore jobs made of which ours could not be told. It is not touched.
    async fn look_at_suspects(&self) -> failure::Result<Looked> {
        let app = self.app;
        let validation = &self.lease.validation;
        let why = || {
            let known = validation.cleanup_reason.clone();
            Looked::NotOurs(known.unwrap_or_else(|| "no restore job is known".to_owned()))
        };
        if validation.suspected_jobs.is_empty() {
            return Ok(why());
        }
        for id in &validation.suspected_jobs {
            let job = backup::describe_restore_job(&app.aws, id).await?;
            let Some(job) = job.filter(|job| job.has_ended()) else {
                return Ok(why());
            };
            let resource_type = self.resource_type()?;
            let arn = job.created_resource_arn.as_deref();
            let Some(name) = arn.and_then(|arn| resource_type.created_name(arn)) else {
                continue;
            };
            let found = resource::look(app, validation, resource_type, &name).await?;
            if found.is_some_and(|one| !matches!(one.condition, Condition::Gone)) {
                return Ok(why());
            }
        }
        Ok(Looked::Missing)
    }

    async fn give_up_gone(&mut self) -> failure::Result<Next> {
        let now = self.now();
        let reason = "what was restored no longer exists; it was not deleted by us";
        let validation = self.validation();
        // Its parts may still be there.
        if validation.parts_left().next().is_none() {
            validation.settle(Cleanup::AlreadyGone, Some(reason.to_owned()), now);
        }
        self.decide(Verdict::Inconclusive, reason).await
    }

    async fn give_up_unowned(&mut self, why: String) -> failure::Result<Next> {
        let now = self.now();
        self.validation()
            .settle(Cleanup::LeftBehind, Some(why.clone()), now);
        self.decide(
            Verdict::Inconclusive,
            format!("what was restored was not looked at: {why}"),
        )
        .await
    }
}

/// Gives the resource the tag of its validation, for people who find it. Nothing depends on it.
async fn tag(app: &App, ready: &Ready, id: &str) {
    let (owned, arn) = (&ready.owned, &ready.restored.found.arn);
    if let Err(problem) = resource::tag(&app.aws, ready.resource_type, owned, arn, id).await {
        warn!(validation.id = %id, "{} could not be tagged: {problem}", owned.name());
    }
}

fn too_late(step: Step) -> String {
    let minutes = step.at_most().as_mins();
    format!("AWS has not {} within {minutes} minutes", step.words())
}

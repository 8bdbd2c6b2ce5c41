//! Restored: the resource is proved ours, made ready, and looked into.

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use restore_proof_core::expectation::{CheckOutcome, Clocks};
use restore_proof_core::ownership::{self, OwnedResource};
use restore_proof_core::policy::{Check, Credentials, Rule};
use restore_proof_core::record::minutes_between;
use restore_proof_core::validation::Cleanup;
use restore_proof_core::verdict::{self, Verdict};
use tracing::info;

use super::{Next, POLL, Run};
use crate::check::{self, Access, Login, Target};
use crate::resource::rds::{self, PasswordSet};
use crate::resource::{self, Condition, Resource};
use crate::{backup, reset};

/// How often checks are begun before they are given up: one that ends the process must not do so for ever.
const CHECK_RUNS: u32 = 2;
/// How long a run waits for the resource to be ready: the rest of its time belongs to the checks.
const MOST_WAITED: SignedDuration = SignedDuration::from_mins(5);
/// How often one run looks for a restored resource that AWS does not show, until that is noted as "not found". Waiting for
/// the next run would be charged to the backup as preparation.
const UNSEEN_LOOKS: u32 = 6;
/// A booting machine is asked again in the same run only when so much of it is left, or what its checks may take.
const MOST_KEPT_FOR_CHECKS: Duration = Duration::from_secs(5 * 60);
/// How long a restored resource may take to be ready, from our seeing the end of its restore.
const READY_AT_MOST: SignedDuration = SignedDuration::from_hours(6);
/// How long RDS may take to set a password, from the first wish.
const PASSWORD_SET_AT_MOST: SignedDuration = SignedDuration::from_mins(30);
/// RDS may not show a password that is being set at once: what it shows counts from then on.
const PASSWORD_SETTLES: SignedDuration = SignedDuration::from_secs(60);

/// What a restored resource turned out to be.
pub(super) enum Looked {
    /// Ours, as its service describes it.
    Ours(Box<Resource>, OwnedResource),
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
    resource: Box<Resource>,
    owned: OwnedResource,
    target: Target,
}

impl Run<'_> {
    /// 1. Proves ownership. 2. Waits until it is ready. 3. Asserts its isolation. 4. Sets a password, when the policy asks for
    ///    it. 5. Runs the checks, until the machine has booted.
    pub(super) async fn restored(&mut self) -> anyhow::Result<Next> {
        let runs = self.lease.validation.check_runs;
        let next = Box::pin(self.try_checks()).await;
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

    async fn try_checks(&mut self) -> anyhow::Result<Next> {
        let app = self.app;
        // Made for the first try, and kept for those that follow while a machine boots.
        let mut access = None;
        loop {
            let ready = match Box::pin(self.ready()).await? {
                ControlFlow::Continue(ready) => ready,
                ControlFlow::Break(next) => return Ok(next),
            };
            let now = self.now();
            let validation = self.validation();
            if validation.preparation_minutes.is_none() {
                // Ready at the first look after a wait: when it became so is not known, and our waiting is not the backup's.
                let ready_at = validation.waiting_since.unwrap_or(now);
                validation.preparation_minutes = validation
                    .restore_seen_at
                    .map(|seen| minutes_between(seen, ready_at));
            }
            let (Some(rule), Some(recovery_point_created)) = (
                validation.rule.clone(),
                validation.recovery_point.created_at,
            ) else {
                anyhow::bail!("validation {} was restored without a rule", validation.id);
            };
            let point = &validation.recovery_point;
            let isolation = ready
                .resource
                .isolation_problems(&app.aws, &app.config, &rule, point);
            let problems = isolation.await?;
            if !problems.is_empty() {
                for problem in &problems {
                    validation.find(problem.clone());
                }
                let reason = format!("no check was begun: {}", problems.join("; "));
                return self.decide(Verdict::Inconclusive, reason).await;
            }
            if rule.checks.is_empty() {
                let (verdict, reason) = verdict::of_checks(&[]);
                return self.decide(verdict, reason).await;
            }
            if validation.check_runs >= CHECK_RUNS && access.is_none() {
                let reason = format!(
                    "the checks were begun {CHECK_RUNS} times and ended the function each time"
                );
                validation.checks = check::not_begun(&rule, &reason);
                return self.decide(Verdict::Inconclusive, reason).await;
            }
            let access = match &access {
                Some(access) => access,
                None => {
                    let reset = match Box::pin(self.reset_login(&rule, &ready)).await? {
                        ControlFlow::Continue(login) => login,
                        ControlFlow::Break(next) => return Ok(next),
                    };
                    self.validation().check_runs += 1;
                    self.write().await?;
                    let ca_bundle = app.config.ca_bundle.as_ref();
                    access.insert(Access::read(&app.aws, &rule, ca_bundle, reset).await)
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
            if !all_passed && self.is_booting(&rule, &ready.resource) {
                // What it answers says nothing yet, and its recovery is not over.
                let validation = self.validation();
                validation.preparation_minutes = None;
                validation.waiting_since = None;
                let needed: Duration = rule.checks.iter().map(Check::timeout).sum();
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
            for finding in ran.findings {
                validation.find(finding);
            }
            validation.checks = ran.results;
            let (verdict, reason) = verdict::of_checks(&validation.checks);
            return self.decide(verdict, reason).await;
        }
    }

    /// Looks until the resource is ready, or there is another step to take.
    async fn ready(&mut self) -> anyhow::Result<ControlFlow<Next, Ready>> {
        let mut unseen = 0;
        let patience = self.now() + MOST_WAITED;
        loop {
            let may_wait = self.now() < patience && self.time_left() > POLL * 2;
            let (resource, owned) = match self.look().await? {
                Looked::Ours(resource, owned) => (resource, owned),
                Looked::NotOurs(why) => {
                    return self.give_up_unowned(why).await.map(ControlFlow::Break);
                }
                Looked::NotYet | Looked::Ending => return self.not_ready().await,
                Looked::Missing if unseen < UNSEEN_LOOKS && may_wait => {
                    // Right after COMPLETED AWS may not show it yet.
                    unseen += 1;
                    self.app.pause().await;
                    continue;
                }
                Looked::Missing => {
                    return match self.missing_twice().await? {
                        Ok(()) => self.give_up_gone().await.map(ControlFlow::Break),
                        Err(again) => Ok(ControlFlow::Break(Next::At(again))),
                    };
                }
                Looked::Gone => return self.give_up_gone().await.map(ControlFlow::Break),
            };
            self.validation().missing_since = None;
            self.note_volumes(&resource).await?;
            match resource.condition(&self.app.config) {
                Condition::Ready(target) => {
                    return Ok(ControlFlow::Continue(Ready {
                        resource,
                        owned,
                        target,
                    }));
                }
                Condition::Broken(reason) => {
                    let next = self.decide(Verdict::Inconclusive, reason).await?;
                    return Ok(ControlFlow::Break(next));
                }
                Condition::Gone => return self.give_up_gone().await.map(ControlFlow::Break),
                Condition::Preparing | Condition::Deleting if may_wait => {
                    self.validation().waiting_since = None;
                    self.app.pause().await;
                }
                Condition::Preparing | Condition::Deleting => return self.not_ready().await,
            }
        }
    }

    /// Comes back later, unless the resource has had its time.
    async fn not_ready(&mut self) -> anyhow::Result<ControlFlow<Next, Ready>> {
        let now = self.now();
        let validation = self.validation();
        validation.waiting_since = None;
        let overdue = validation
            .restore_seen_at
            .is_some_and(|seen| now.duration_since(seen) > READY_AT_MOST);
        let next = if overdue {
            let hours = READY_AT_MOST.as_hours();
            let reason = format!("what was restored was not ready within {hours} hours");
            self.decide(Verdict::Inconclusive, reason).await?
        } else {
            Next::At(self.look_again())
        };
        Ok(ControlFlow::Break(next))
    }

    /// Whether a machine may still be booting.
    fn is_booting(&self, rule: &Rule, resource: &Resource) -> bool {
        let validation = &self.lease.validation;
        let restored_at = validation
            .restore
            .as_ref()
            .and_then(|job| job.completed_at)
            .or(validation.restore_seen_at);
        let until: Option<Timestamp> =
            restored_at.and_then(|at| at.checked_add(rule.boot_timeout).ok());
        matches!(resource, Resource::Ec2(_)) && until.is_some_and(|until| self.now() < until)
    }

    /// The login of the master user under a password of our own, set on the copy; none when the policy does not ask
    /// for it. The password is derived, so that it can be set again after a death and is kept nowhere.
    async fn reset_login(
        &mut self,
        rule: &Rule,
        ready: &Ready,
    ) -> anyhow::Result<ControlFlow<Next, Option<Login>>> {
        let app = self.app;
        let Resource::Rds(instance) = &*ready.resource else {
            return Ok(ControlFlow::Continue(None));
        };
        if rule.credentials != Some(Credentials::Reset)
            || !rule.checks.iter().any(|check| check.logs_in())
        {
            return Ok(ControlFlow::Continue(None));
        }
        let validation = &self.lease.validation;
        let login = reset::login(
            &app.aws,
            &app.config.reset_key_secret,
            instance,
            &validation.id,
            validation.attempt,
        )
        .await;
        let login = match login {
            Ok(login) => login,
            Err(problem) => return self.give_up_login(rule, problem).await,
        };
        if validation.password_set_at.is_none() {
            let now = self.now();
            self.validation().password_wished_at.get_or_insert(now);
            self.write().await?;
            match rds::set_password(&app.aws, &ready.owned, &login.password).await? {
                PasswordSet::Asked => {}
                PasswordSet::NotNow => return self.password_not_yet(rule).await,
                PasswordSet::Refused(code) => {
                    let problem = format!("RDS refuses to set a master password: {code}");
                    return self.give_up_login(rule, problem).await;
                }
            }
            let now = self.now();
            self.validation().password_set_at = Some(now);
            self.write().await?;
            info!(validation.id = %self.lease.validation.id, "a master password was set on {}", ready.owned.name());
        }
        if self.password_settles().await? {
            Ok(ControlFlow::Continue(Some(login)))
        } else {
            self.password_not_yet(rule).await
        }
    }

    /// Comes back later, unless RDS has had its time.
    async fn password_not_yet(
        &mut self,
        rule: &Rule,
    ) -> anyhow::Result<ControlFlow<Next, Option<Login>>> {
        let wished_at = self.lease.validation.password_wished_at;
        if wished_at.is_some_and(|at| self.now().duration_since(at) > PASSWORD_SET_AT_MOST) {
            let minutes = PASSWORD_SET_AT_MOST.as_mins();
            let problem = format!("RDS has not set the master password within {minutes} minutes");
            return self.give_up_login(rule, problem).await;
        }
        Ok(ControlFlow::Break(Next::At(self.look_again())))
    }

    /// Waits until RDS has set the password: it showed the change and is done with it, or has had time enough to show it.
    async fn password_settles(&mut self) -> anyhow::Result<bool> {
        let mut shown = false;
        let patience = self.now() + MOST_WAITED;
        loop {
            let Looked::Ours(resource, _) = self.look().await? else {
                // Whatever became of it, the next run looks from the beginning.
                return Ok(false);
            };
            let Resource::Rds(instance) = &*resource else {
                return Ok(false);
            };
            let changing = instance.password_pending || instance.status != "available";
            shown |= changing;
            let had_time = self
                .lease
                .validation
                .password_set_at
                .is_some_and(|at| self.now().duration_since(at) >= PASSWORD_SETTLES);
            if !changing && (shown || had_time) {
                return Ok(true);
            }
            if self.now() >= patience || self.time_left() <= POLL * 2 {
                return Ok(false);
            }
            self.app.pause().await;
        }
    }

    async fn give_up_login(
        &mut self,
        rule: &Rule,
        problem: String,
    ) -> anyhow::Result<ControlFlow<Next, Option<Login>>> {
        self.validation().checks = check::not_begun(rule, &problem);
        let (verdict, reason) = verdict::of_checks(&self.lease.validation.checks);
        self.decide(verdict, reason).await.map(ControlFlow::Break)
    }

    /// Notes the volumes that the termination of a machine would leave, while they can be told from others.
    pub(super) async fn note_volumes(&mut self, resource: &Resource) -> anyhow::Result<()> {
        let (Resource::Ec2(machine), Some(job)) = (resource, &self.lease.validation.restore) else {
            return Ok(());
        };
        let noted = &self.lease.validation.volumes;
        let new: Vec<String> = machine
            .volumes
            .iter()
            .filter(|volume| !volume.goes_with_machine)
            .filter(|volume| ownership::is_of_restore(job, &volume.found))
            .map(|volume| volume.found.id.clone())
            .filter(|id| !noted.contains(id))
            .collect();
        if !new.is_empty() {
            self.validation().volumes.extend(new);
            self.write().await?;
        }
        Ok(())
    }

    /// Looks at what the restore job created, and proves that it is ours.
    pub(super) async fn look(&mut self) -> anyhow::Result<Looked> {
        let app = self.app;
        let validation = &self.lease.validation;
        let (Some(intent), Some(job)) = (&validation.intent, &validation.restore) else {
            return self.look_at_suspects().await;
        };
        let resource_type = self.resource_type()?;
        let Some(name) = resource::made_by(resource_type, job) else {
            // It may have left something all the same: then that is not provably ours, and people are told.
            let left = self.left_unnamed(intent, job.created_at).await?;
            return Ok(match left.first() {
                Some(name) => Looked::NotOurs(format!(
                    "not provably ours: restore job {} does not name {name}",
                    job.id
                )),
                None => Looked::Missing,
            });
        };
        let Some(found) = resource::find(&app.aws, &app.config, resource_type, &name).await? else {
            return Ok(Looked::Missing);
        };
        match found.condition(&app.config) {
            Condition::Gone => return Ok(Looked::Gone),
            Condition::Preparing if found.found().created_at.is_none() => {
                return Ok(Looked::NotYet);
            }
            // What is ending may have lost what it is proved by; nothing more is done to it.
            Condition::Deleting
                if validation.deletion_asked_at.is_some()
                    && job.created_resource_arn.as_ref() == Some(&found.found().arn) =>
            {
                return Ok(Looked::Ending);
            }
            _ => {}
        }
        let role = &app.config.restore_role_arn;
        let arn = &validation.recovery_point.arn;
        Ok(
            match ownership::prove(intent, arn, role, job, found.found()) {
                Ok(owned) => Looked::Ours(Box::new(found), owned),
                Err(not_ours) => Looked::NotOurs(not_ours.to_string()),
            },
        )
    }

    /// Looks whether anything is left of what restore jobs made of which ours could not be told. It is not touched.
    async fn look_at_suspects(&self) -> anyhow::Result<Looked> {
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
            let Some(name) = resource::made_by(resource_type, &job) else {
                continue;
            };
            let found = resource::find(&app.aws, &app.config, resource_type, &name).await?;
            if found.is_some_and(|one| !matches!(one.condition(&app.config), Condition::Gone)) {
                return Ok(why());
            }
        }
        Ok(Looked::Missing)
    }

    async fn give_up_gone(&mut self) -> anyhow::Result<Next> {
        let now = self.now();
        let reason = "what was restored no longer exists; it was not deleted by us";
        let validation = self.validation();
        // Its volumes may still be there.
        if validation.volumes.is_empty() {
            validation.settle(Cleanup::AlreadyGone, Some(reason.to_owned()), now);
        }
        self.decide(Verdict::Inconclusive, reason).await
    }

    async fn give_up_unowned(&mut self, why: String) -> anyhow::Result<Next> {
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

//! Landed: is there room for one more restore, what is to be restored, and what does the policy want of it?

use std::collections::BTreeMap;

use futures_util::future;
use jiff::tz::TimeZone;
use restore_proof_core::admission::{self, Admission, Candidate, Decision, Reason, Size, Stack};
use restore_proof_core::plan::{self, Source};
use restore_proof_core::policy::{Credentials, Policy, Rule, readable_size};
use restore_proof_core::resource_type::ResourceType;
use restore_proof_core::routes;
use restore_proof_core::validation::{Intent, PolicyUsed, Stage, Validation};
use restore_proof_core::verdict::{FaultClass, Verdict};

use super::{Next, Run};
use crate::backup;
use crate::config::Config;
use crate::failure::{self, Failure};
use crate::ledger::{Claim, Month};
use crate::policy_file::{self, PolicyFile};
use crate::resource::{self, BackedUp};

impl Run<'_> {
    /// Plans the restore, or decides that there is none. What stays here, for whatever reason, keeps no slot.
    pub(super) async fn landed(&mut self) -> failure::Result<Next> {
        // An event may come before its time.
        let retry_at = self.lease.validation.retry_at;
        if let Some(at) = retry_at.filter(|at| self.now() < *at) {
            return Ok(Next::At(at));
        }
        let next = self.plan().await;
        self.leave_slot().await;
        next
    }

    /// 1. Takes a slot. 2. Looks the recovery point up. 3. Asks the policy. 4. Claims the day or week. 5. Plans.
    /// 6. Asserts that the network leads nowhere. 7. Writes the intent.
    ///
    /// The slot comes first, so that nothing is asked of AWS Backup for what is going to wait all the same, and no more is
    /// asked at one time than there are slots, however many copies land together.
    async fn plan(&mut self) -> failure::Result<Next> {
        let app = self.app;
        let point = self.lease.validation.recovery_point.clone();
        let candidate = as_told(&self.lease.validation);
        if let Some(reason) = admission::without_policy(&stack(&app.config), &candidate) {
            return self.leave_out(reason).await;
        }
        // Read anew each time, so that a changed limit holds for those who wait.
        let policy = match self.policy.take() {
            Some(policy) => policy?,
            None => policy_file::read(app).await?,
        };
        let too_long = match &policy {
            PolicyFile::Good(policy) => self.waited_too_long(&policy.limits).await?,
            PolicyFile::Broken { .. } => None,
        };
        let mut has_slot = false;
        if let (PolicyFile::Good(policy), Ok(resource_type)) = (&policy, self.resource_type())
            && app.config.types.contains(&resource_type)
            && too_long.is_none()
        {
            has_slot = self.take_slot(resource_type, &policy.limits).await?;
            if !has_slot {
                return Ok(Next::Queued);
            }
        }
        // Beside each other, if the event told the type.
        let may_ask = |name: Option<&str>| {
            let resource_type = name.and_then(ResourceType::from_name);
            resource_type.is_some_and(|resource_type| app.config.types.contains(&resource_type))
        };
        let asked = may_ask(point.resource_type.as_deref());
        let (described, backed_up) = future::join(
            backup::describe_recovery_point(&app.aws, &point.vault_name, &point.arn),
            async {
                match asked {
                    true => resource::backed_up(&app.aws, &point.arn).await,
                    false => Ok(None),
                }
            },
        )
        .await;
        let described = match described {
            // Asked again, AWS Backup would answer the same for ever.
            Err(error)
                if error.is(&[
                    "InvalidParameterValueException",
                    "MissingParameterValueException",
                ]) =>
            {
                let reason = format!("AWS Backup rejected this recovery point ARN: {error}");
                return self.decide_unrestored(Verdict::NotTested, reason).await;
            }
            described => described?,
        };
        let Some(described) = described else {
            return match self.missing_twice() {
                Ok(()) if self.is_partial_copy() => {
                    let reason = "the copy is PARTIAL, and there is no recovery point of it";
                    self.decide_unrestored(Verdict::CopyFailed, reason).await
                }
                Ok(()) => {
                    self.decide_unrestored(
                        Verdict::NotTested,
                        "the recovery point does not exist (any more)",
                    )
                    .await
                }
                Err(again) => Ok(Next::At(again)),
            };
        };
        match described.status.as_str() {
            "COMPLETED" | "AVAILABLE" => {}
            "CREATING" => return self.being_created().await,
            "PARTIAL" => {
                return self
                    .decide_unrestored(Verdict::CopyFailed, "the recovery point is PARTIAL")
                    .await;
            }
            other => {
                let reason = format!("the recovery point is {other}");
                return self.decide_unrestored(Verdict::NotTested, reason).await;
            }
        }
        let type_name = described.resource_type.clone().or(point.resource_type);
        let is_in_types = type_name
            .as_deref()
            .and_then(ResourceType::from_name)
            .map(|resource_type| app.config.types.contains(&resource_type));
        let backed_up = match is_in_types {
            Some(true) if asked => backed_up?,
            Some(true) => resource::backed_up(&app.aws, &point.arn).await?,
            // There is neither a permission to ask its service nor a way to it.
            Some(false) | None => Some(BackedUp::default()),
        };
        let backed_up = match backed_up {
            Some(backed_up) => backed_up,
            // Without its tags another rule may match, or none: "not found" counts the second time only, here too.
            None => {
                let (now, apart) = (self.now(), app.config.confirm_gone);
                let validation = self.validation();
                let since = *validation.snapshot_missing_since.get_or_insert(now);
                if now.duration_since(since) < apart {
                    return Ok(Next::At(since + apart));
                }
                BackedUp::default()
            }
        };
        let validation = self.validation();
        validation.missing_since = None;
        validation.snapshot_missing_since = None;
        let known = &mut validation.recovery_point;
        known.resource_type = type_name;
        known.resource_arn = described.resource_arn.or(known.resource_arn.take());
        known.size_bytes = described.size_bytes.or(known.size_bytes);
        known.encryption_key_arn = backed_up.key.clone().or(described.encryption_key_arn);
        known.expires_at = described.expires_at;
        // For a copy one of the two may be the time of copying: the earlier is that of the data.
        known.created_at = [described.created_at, backed_up.created_at]
            .into_iter()
            .flatten()
            .min();
        let point = known.clone();
        let candidate = as_described(validation, &backed_up.tags);
        if let Some(reason) = admission::without_policy(&stack(&app.config), &candidate) {
            return self.leave_out(reason).await;
        }
        let policy = match policy {
            PolicyFile::Good(policy) => policy,
            PolicyFile::Broken { used, reason } => {
                validation.policy = Some(used);
                validation.replan = true;
                return self.decide_unrestored(Verdict::Inconclusive, reason).await;
            }
        };
        let admission = admit(&app.config, validation, &backed_up.tags, &policy);
        let rule = admission.rule.map(|(_, rule)| rule.clone());
        validation.policy = Some(PolicyUsed {
            version: Some(policy.version.clone()),
            version_id: policy.version_id.clone(),
            fingerprint: Some(policy.fingerprint.clone()),
        });
        validation.rule.clone_from(&rule);
        let (resource_type, rule) = match (admission.decision, rule) {
            (Decision::Restored(resource_type), Some(rule)) => (resource_type, rule),
            (Decision::NotTested(reason), _) => return self.leave_out(reason).await,
            (undecided @ (Decision::Restored(_) | Decision::Undecided(_)), _) => {
                return Err(Failure::Other(format!(
                    "all is known that is to be known, and still: {undecided:?}"
                )));
            }
        };
        if point.created_at.is_none() {
            let reason = "AWS Backup does not say when the recovery point was created";
            return self.decide_unrestored(Verdict::Inconclusive, reason).await;
        }

        let id = self.lease.validation.id.clone();
        if let (Some(largest), None) = (policy.limits.largest_size, point.size_bytes) {
            self.validation().find(format!(
                "AWS Backup does not tell the size of the recovery point, which was not compared with largest_size, {}",
                readable_size(largest)
            ));
        }
        if let Some(reason) = too_long {
            // The next copy of the day is to be tested, since this one is not.
            if let Some(claim) = self.claim() {
                app.ledger.give_back(&claim, &id).await?;
            }
            return self.decide_unrestored(Verdict::NotTested, reason).await;
        }
        // Its type was not known before it was looked up.
        if !has_slot && !self.take_slot(resource_type, &policy.limits).await? {
            return Ok(Next::Queued);
        }
        let opened_at = self.lease.validation.opened_at;
        let now = self.now();
        let claimed = async {
            let frequency = rule.frequency();
            match frequency.and_then(|often| {
                Claim::of(
                    often,
                    point.resource_arn.as_deref().unwrap_or_default(),
                    opened_at,
                )
            }) {
                Some(claim) => app.ledger.claim(&claim, &id, now).await,
                None => Ok(id.clone()),
            }
        };
        let metadata = backup::restore_metadata(&app.aws, &point.vault_name, &point.arn);
        let chosen_type = resource::chosen_type(&app.aws, resource_type, &rule);
        let routes_out = resource::routes_out(app);
        let (by, metadata, chosen_type, routes_out) =
            future::join4(claimed, metadata, chosen_type, routes_out).await;
        let by = by?;
        if by != id {
            let reason =
                format!("the rule asks for one a day or week, and validation {by} is the one");
            self.validation().left_out_by_rule = true;
            return self.decide_unrestored(Verdict::NotTested, reason).await;
        }
        let chosen_type = match chosen_type {
            Ok(chosen_type) => chosen_type,
            Err(error) if error.may_pass() => return Err(error.into()),
            // The network's stack may be older than the function, and not let the call through.
            Err(error) => {
                self.validation().find(format!(
                    "the instance type that the rule asks for was not compared with the image: {error}"
                ));
                None
            }
        };
        let source = Source {
            metadata: metadata?,
            image: backed_up.image,
            chosen_type,
        };
        let now = self.now();
        let validation = self.validation();
        let target_name = validation.target_name(&app.config.name_prefix);
        let network = app.config.network_of(validation);
        let plan = plan::plan(
            resource_type,
            &source,
            &rule,
            &policy.limits,
            &network,
            &target_name,
            now.to_zoned(TimeZone::UTC).date(),
        );
        if let Some(reason) = plan.left_out {
            // The next copy of the day may be of another version.
            if let Some(claim) = self.claim() {
                app.ledger.give_back(&claim, &id).await?;
            }
            self.validation().left_out_by_rule = true;
            return self.decide_unrestored(Verdict::NotTested, reason).await;
        }
        for finding in &plan.findings {
            validation.find(finding.clone());
        }
        let problem = plan.problem.clone();
        let problem = problem.or_else(|| login_problem(&app.config, &rule));
        if let Some(problem) = problem {
            validation.fault_class = Some(FaultClass::Request);
            return self.decide_unrestored(Verdict::Inconclusive, problem).await;
        }
        not_out(&routes_out?)?;
        validation.settings_differ = plan.settings_differ;
        validation.queued_since = None;
        validation.retry_at = None;
        validation.source_class = plan::source_class(resource_type, &source);
        let metadata = plan.metadata();
        validation.recovery = plan.recovery;
        let role = &app.config.restore_role_arn;
        validation.intent = Some(Intent {
            attempt: validation.attempt,
            idempotency_token: validation.idempotency_token(resource_type.name(), role, &metadata),
            mark: plan::mark(resource_type, &network, &target_name),
            target_name,
            metadata,
            planned_at: now,
            restore_job_id: None,
        });
        validation.stage = Stage::Restoring;
        let month = policy.limits.restores_per_month;
        let month = month.map(|most| Month::of(now, most));
        if !app.ledger.write_with_rule(&mut self.lease, month).await? {
            self.validation().intent = None;
            // The next copy of the day is to be tested, since this one is not.
            if let Some(claim) = self.claim() {
                app.ledger.give_back(&claim, &id).await?;
            }
            let reason = month.map_or_else(String::new, |month| month.full());
            return self.decide_unrestored(Verdict::NotTested, reason).await;
        }
        self.has_planned = true;
        Ok(Next::Again)
    }

    async fn leave_out(&mut self, reason: Reason) -> failure::Result<Next> {
        self.validation().left_out_by_rule = reason.is_by_rule();
        self.decide_unrestored(Verdict::NotTested, reason.to_string())
            .await
    }

    fn is_partial_copy(&self) -> bool {
        let copy_job = self.lease.validation.copy_job.as_ref();
        copy_job.is_some_and(|copy_job| copy_job.is_partial)
    }
}

/// What the policy makes of a recovery point that AWS has described. Nothing else in the function decides about that.
pub fn admit<'p>(
    config: &Config,
    validation: &Validation,
    tags: &BTreeMap<String, String>,
    policy: &'p Policy,
) -> Admission<'p> {
    admission::admit(&stack(config), &as_described(validation, tags), policy)
}

/// That the vault of a validation's recovery point lies in another account or Region.
pub fn elsewhere(config: &Config, validation: &Validation) -> Option<Reason> {
    admission::elsewhere(&stack(config), &as_told(validation))
}

/// That no route leads out of the network; where one does, people are called by the failure and mend it, as they do where a
/// permission is missing, and the validation goes on.
pub(super) fn not_out(ways: &[String]) -> failure::Result<()> {
    match ways {
        [] => Ok(()),
        _ => Err(Failure::NotIsolated(routes::refusal(ways))),
    }
}

/// Why the rule's checks could not log in to what is restored, if that is known beforehand.
fn login_problem(config: &Config, rule: &Rule) -> Option<String> {
    let Some(Credentials::Iam(user)) = rule.login() else {
        return None;
    };
    let problem = config.iam_database_user(user.as_deref()).err()?;
    Some(format!("rule {:?}: {problem}", rule.name))
}

fn stack(config: &Config) -> Stack<'_> {
    Stack {
        account: Some(&config.account),
        region: Some(&config.region),
        types: &config.types,
    }
}

/// A recovery point as an event tells of it. AWS is still to be asked about the rest.
fn as_told(validation: &Validation) -> Candidate<'_> {
    let point = &validation.recovery_point;
    Candidate {
        validation_id: Some(&validation.id),
        arn: Some(&point.arn),
        vault_arn: Some(&point.vault_arn),
        vault_name: Some(&point.vault_name),
        ..Candidate::default()
    }
}

/// A recovery point as AWS has described it.
fn as_described<'a>(
    validation: &'a Validation,
    tags: &'a BTreeMap<String, String>,
) -> Candidate<'a> {
    let point = &validation.recovery_point;
    Candidate {
        resource_type: Some(point.resource_type.as_deref().unwrap_or_default()),
        source_arn: Some(point.resource_arn.as_deref().unwrap_or_default()),
        tags: Some(tags),
        size: Size::told(point.size_bytes),
        ..as_told(validation)
    }
}

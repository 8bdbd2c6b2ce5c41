//! Landed: what is it, what does the policy want of it, and is there room for one more restore?

use restore_proof_core::plan::{self, ResourceType, Source};
use restore_proof_core::policy::Subject;
use restore_proof_core::validation::{Intent, PolicyUsed, Stage};
use restore_proof_core::verdict::Verdict;

use super::{Next, Run};
use crate::ledger::Claim;
use crate::policy_file::{self, PolicyFile};
use crate::{backup, resource};

impl Run<'_> {
    /// 1. Looks the recovery point up. 2. Asks the policy. 3. Claims the day or week. 4. Takes a slot. 5. Plans, and
    ///    writes the intent.
    pub(super) async fn landed(&mut self) -> anyhow::Result<Next> {
        let app = self.app;
        let point = self.lease.validation.recovery_point.clone();
        if point.is_continuous() {
            let reason = "a continuous backup is restored to a point in time, which this version does not do";
            return self.decide_unrestored(Verdict::NotTested, reason).await;
        }
        let described =
            backup::describe_recovery_point(&app.aws, &point.vault_name, &point.arn).await;
        let described = match described {
            // Asked again, AWS Backup would answer the same for ever.
            Err(error)
                if error.is(&[
                    "InvalidParameterValueException",
                    "MissingParameterValueException",
                ]) =>
            {
                let reason = format!("AWS Backup takes it for no recovery point: {error}");
                return self.decide_unrestored(Verdict::NotTested, reason).await;
            }
            described => described?,
        };
        let Some(described) = described else {
            return match self.missing_twice().await? {
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
        let backed_up = resource::backed_up(&app.aws, &point.arn).await?;
        let validation = self.validation();
        validation.missing_since = None;
        let known = &mut validation.recovery_point;
        known.resource_type = described.resource_type.or(known.resource_type.take());
        known.resource_arn = described.resource_arn.or(known.resource_arn.take());
        known.size_bytes = described.size_bytes.or(known.size_bytes);
        known.encryption_key_arn = described.encryption_key_arn;
        // For a copy one of the two may be the time of copying: the earlier is that of the data.
        known.created_at = [described.created_at, backed_up.created_at]
            .into_iter()
            .flatten()
            .min();
        let point = known.clone();

        let policy = match policy_file::read(&app.aws, &app.config.policy).await? {
            PolicyFile::Good(policy) => policy,
            PolicyFile::Broken { used, reason } => {
                validation.policy = Some(used);
                validation.replan = true;
                return self.decide_unrestored(Verdict::Inconclusive, reason).await;
            }
        };
        validation.policy = Some(PolicyUsed {
            version: Some(policy.version.clone()),
            fingerprint: Some(policy.fingerprint.clone()),
        });
        let account = point.source_account().unwrap_or_default();
        let subject = Subject {
            resource_type: point.resource_type.as_deref().unwrap_or_default(),
            source_arn: point.resource_arn.as_deref().unwrap_or_default(),
            account: &account,
            vault_name: &point.vault_name,
            tags: &backed_up.tags,
        };
        let Some(rule) = policy.rule_for(&subject).cloned() else {
            return self
                .decide_unrestored(Verdict::NotTested, "no rule of the policy matches")
                .await;
        };
        validation.rule = Some(rule.clone());
        let Some(resource_type) = ResourceType::from_name(subject.resource_type) else {
            let reason = format!(
                "resources of type {} are not validated by this version",
                subject.resource_type
            );
            return self.decide_unrestored(Verdict::NotTested, reason).await;
        };
        if point.created_at.is_none() {
            let reason = "AWS Backup does not say when the recovery point was created";
            return self.decide_unrestored(Verdict::Inconclusive, reason).await;
        }

        let id = self.lease.validation.id.clone();
        if let Some(claim) = Claim::of(
            rule.frequency,
            subject.source_arn,
            self.lease.validation.opened_at,
        ) {
            let by = app.ledger.claim(&claim, &id, self.now()).await?;
            if by != id {
                let reason =
                    format!("the rule asks for one a day or week, and validation {by} is the one");
                return self.decide_unrestored(Verdict::NotTested, reason).await;
            }
        }
        if !app
            .ledger
            .take_slot(&id, app.config.max_concurrent_restores)
            .await?
        {
            return Ok(Next::At(self.look_again()));
        }

        let source = Source {
            metadata: backup::restore_metadata(&app.aws, &point.vault_name, &point.arn).await?,
            devices: backed_up.devices,
        };
        let now = self.now();
        let validation = self.validation();
        let target_name = validation.target_name(&app.config.name_prefix);
        let plan = plan::plan(
            resource_type,
            &source,
            &rule,
            &app.config.network,
            &target_name,
        );
        validation.slot_taken_at = Some(now);
        validation.intent = Some(Intent {
            attempt: validation.attempt,
            idempotency_token: target_name.clone(),
            mark: plan::mark(resource_type, &app.config.network, &target_name),
            target_name,
            metadata: plan.metadata(),
            planned_at: now,
            restore_job_id: None,
        });
        validation.stage = Stage::Restoring;
        self.write().await?;
        Ok(Next::Again)
    }
}

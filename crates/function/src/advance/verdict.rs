//! Restored and Checked: the resource is proved ours, made ready, looked at, and the record is written.

use jiff::SignedDuration;
use restore_proof_core::expectation::Clocks;
use restore_proof_core::record::{Record, minutes_between};
use restore_proof_core::validation::{Cleanup, Stage};
use restore_proof_core::verdict::{self, Verdict};
use restore_proof_core::{message, ownership};
use tracing::{error, info};

use super::{Next, POLL, Run};
use crate::resource::rds::{self, Instance};
use crate::{check, publish};

/// How often checks are begun before they are given up: one that ends the process must not do so for ever.
const CHECK_RUNS: u32 = 2;
/// How long a run waits for the resource to be ready: the rest of its time belongs to the checks.
const MOST_WAITED: SignedDuration = SignedDuration::from_mins(5);
/// How often one run looks for a restored resource that AWS does not show, until that is noted as "not found". Waiting for
/// the next run would be charged to the backup as preparation.
const UNSEEN_LOOKS: u32 = 6;

/// What a restored resource turned out to be.
pub(super) enum Looked {
    /// Ours, as RDS describes it.
    Ours(Box<Instance>, ownership::OwnedResource),
    /// RDS knows none of this name.
    Missing,
    /// RDS is still creating it and does not say yet since when it exists.
    NotYet,
    /// Not provably ours.
    NotOurs(String),
}

impl Run<'_> {
    /// 1. Proves ownership. 2. Waits until it is ready. 3. Asserts its isolation. 4. Runs the checks.
    pub(super) async fn restored(&mut self) -> anyhow::Result<Next> {
        let mut unseen = 0;
        let patience = self.now() + MOST_WAITED;
        let (instance, host, port) = loop {
            let may_wait = self.now() < patience && self.time_left() > POLL * 2;
            let instance = match self.look().await? {
                Looked::Ours(instance, _) => instance,
                Looked::NotOurs(why) => return self.give_up_unowned(why).await,
                Looked::NotYet => return Ok(Next::At(self.look_again())),
                Looked::Missing if unseen < UNSEEN_LOOKS && may_wait => {
                    // Right after COMPLETED AWS may not show it yet.
                    unseen += 1;
                    tokio::time::sleep(POLL.min(self.app.poll)).await;
                    continue;
                }
                Looked::Missing => {
                    return match self.missing_twice().await? {
                        Ok(()) => {
                            let now = self.now();
                            let reason =
                                "what was restored no longer exists; it was not deleted by us";
                            self.validation().settle(
                                Cleanup::AlreadyGone,
                                Some(reason.to_owned()),
                                now,
                            );
                            self.decide(Verdict::Inconclusive, reason).await
                        }
                        Err(again) => Ok(Next::At(again)),
                    };
                }
            };
            self.validation().missing_since = None;
            match (instance.status.as_str(), instance.endpoint.clone()) {
                ("available", Some((host, port))) => break (instance, host, port),
                ("failed" | "storage-full" | "inaccessible-encryption-credentials", _) => {
                    let reason = format!("the restored database is {}", instance.status);
                    return self.decide(Verdict::Inconclusive, reason).await;
                }
                (status, _) if status.starts_with("incompatible-") => {
                    let reason = format!("the restored database is {status}");
                    return self.decide(Verdict::Inconclusive, reason).await;
                }
                _ if may_wait => tokio::time::sleep(POLL.min(self.app.poll)).await,
                _ => return Ok(Next::At(self.look_again())),
            }
        };

        let app = self.app;
        let now = self.now();
        let validation = self.validation();
        if validation.preparation_minutes.is_none() {
            validation.preparation_minutes = validation
                .restore_seen_at
                .map(|seen| minutes_between(seen, now));
        }
        let problems = rds::isolation_problems(&instance, &app.config, &validation.recovery_point);
        if !problems.is_empty() {
            for problem in &problems {
                validation.find(problem.clone());
            }
            let reason = format!("no check was begun: {}", problems.join("; "));
            return self.decide(Verdict::Inconclusive, reason).await;
        }
        let (Some(rule), Some(recovery_point_created)) = (
            validation.rule.clone(),
            validation.recovery_point.created_at,
        ) else {
            anyhow::bail!("validation {} was restored without a rule", validation.id);
        };
        if rule.checks.is_empty() {
            let (verdict, reason) = verdict::of_checks(&[]);
            return self.decide(verdict, reason).await;
        }
        if validation.check_runs >= CHECK_RUNS {
            let reason = format!(
                "the checks were begun {CHECK_RUNS} times and ended the function each time"
            );
            validation.checks = check::not_begun(&rule, &reason);
            return self.decide(Verdict::Inconclusive, reason).await;
        }
        validation.check_runs += 1;
        self.write().await?;

        let target = check::Target {
            host,
            port,
            engine: instance.engine.clone(),
        };
        let clocks = Clocks {
            recovery_point_created,
            now,
        };
        let ran = check::run(
            &app.aws,
            &rule,
            &target,
            app.config.ca_bundle.as_ref(),
            clocks,
            self.time_left(),
        )
        .await;
        let validation = self.validation();
        validation.first_passed_check_minutes = ran
            .first_passed_after
            .map(|after| after.as_secs_f64() / 60.0);
        for finding in ran.findings {
            validation.find(finding);
        }
        validation.checks = ran.results;
        let (verdict, reason) = verdict::of_checks(&validation.checks);
        self.decide(verdict, reason).await
    }

    /// Looks at what the restore job created, and proves that it is ours.
    pub(super) async fn look(&mut self) -> anyhow::Result<Looked> {
        let validation = &self.lease.validation;
        let (Some(intent), Some(job)) = (&validation.intent, &validation.restore) else {
            let known = validation.cleanup_reason.clone();
            return Ok(Looked::NotOurs(
                known.unwrap_or_else(|| "no restore job is known".to_owned()),
            ));
        };
        // A job that names nothing may have left something of the planned name; then the proof fails, and says so.
        let name = ownership::created_name(job).unwrap_or_else(|| intent.target_name.clone());
        let Some(instance) = rds::find(&self.app.aws, &name).await? else {
            return Ok(Looked::Missing);
        };
        let role = &self.app.config.restore_role_arn;
        let arn = &validation.recovery_point.arn;
        if instance.found.created_at.is_none() && instance.status == "creating" {
            return Ok(Looked::NotYet);
        }
        Ok(
            match ownership::prove(intent, arn, role, job, &instance.found) {
                Ok(owned) => Looked::Ours(Box::new(instance), owned),
                Err(not_ours) => Looked::NotOurs(not_ours.to_string()),
            },
        )
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

    /// Writes the record; then tells Logs and SNS.
    pub(super) async fn checked(&mut self) -> anyhow::Result<Next> {
        if let Some(until) = self.keep_until() {
            let now = self.now();
            let validation = self.validation();
            validation.kept_until = Some(until);
            validation.settle(
                Cleanup::KeptUntil,
                Some("the rule keeps failed restores".to_owned()),
                now,
            );
        }
        self.write_record().await?;
        self.validation().stage = Stage::Recorded;
        self.write().await?;
        self.tell().await;
        Ok(Next::Again)
    }

    /// Writes the record as the validation stands.
    pub(super) async fn write_record(&mut self) -> anyhow::Result<Record> {
        let app = self.app;
        let validation = &self.lease.validation;
        let Some(record) = Record::of(validation) else {
            anyhow::bail!("validation {} has no verdict to record", validation.id);
        };
        publish::write_record(&app.aws, &app.config, &validation.record_key(), &record).await?;
        Ok(record)
    }

    /// Tells what was not told yet. What cannot be told now is told by a later run; it never stands in the way of
    /// the deletion.
    pub(super) async fn tell(&mut self) {
        let app = self.app;
        let now = self.now();
        let uri = format!(
            "s3://{}/{}",
            app.config.results_bucket,
            self.lease.validation.record_key()
        );
        let validation = &mut self.lease.validation;
        let Some(record) = Record::of(validation) else {
            return;
        };
        if !validation.verdict_logged {
            match publish::log_verdict(&app.aws, &app.config, &record, validation.replan, now).await
            {
                Ok(()) => validation.verdict_logged = true,
                Err(problem) => error!("the verdict's log event is still to be written: {problem}"),
            }
        }
        if !validation.verdict_sent {
            let wanted = message::is_wanted(validation);
            let sent = async {
                if wanted {
                    publish::send(
                        &app.aws,
                        &app.config,
                        &message::of_verdict(validation, &record, &uri),
                    )
                    .await?;
                }
                Ok::<_, crate::aws::AwsError>(())
            };
            match sent.await {
                Ok(()) => validation.verdict_sent = true,
                Err(problem) => {
                    error!("the message about the verdict is still to be sent: {problem}")
                }
            }
        }
        if validation.cleanup == Cleanup::LeftBehind && !validation.left_behind_sent {
            match publish::send(
                &app.aws,
                &app.config,
                &message::of_left_behind(&record, &uri),
            )
            .await
            {
                Ok(()) => validation.left_behind_sent = true,
                Err(problem) => {
                    error!("the message about what was left behind is still to be sent: {problem}")
                }
            }
        }
        info!(validation.id = %validation.id, verdict = record.verdict, cleanup = record.cleanup, "validation {}: {}, {}", validation.id, record.verdict, record.cleanup);
    }

    /// Whether everything was told that people are to hear.
    pub(super) fn all_told(&self) -> bool {
        let validation = &self.lease.validation;
        validation.verdict_logged
            && validation.verdict_sent
            && (validation.cleanup != Cleanup::LeftBehind || validation.left_behind_sent)
    }
}

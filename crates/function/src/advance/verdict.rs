//! Checked: the record is written, and people are told.

use std::time::Duration;

use futures_util::{FutureExt, future};
use restore_proof_core::console;
use restore_proof_core::message::{self, Event, Proved, ProvedPoint, Runbook};
use restore_proof_core::record::{Record, day_of_key};
use restore_proof_core::runbook::{self, ProvedRecord};
use restore_proof_core::validation::{Cleanup, Stage, Validation};
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::{Next, Run};
use crate::aws::AwsError;
use crate::config::S3Uri;
use crate::failure::{self, Failure};
use crate::policy_file::read_object;
use crate::publish;

/// The longest that bad news waits for the runbook beside it.
const RUNBOOK_TIMEOUT: Duration = Duration::from_secs(20);

impl Run<'_> {
    /// Writes the record; then tells Logs and SNS.
    pub(super) async fn checked(&mut self) -> failure::Result<Next> {
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
        let validation = &self.lease.validation;
        if validation.cleanup.is_final() {
            return self.end(false).await;
        }
        if validation.restore.is_none() || self.keep_until().is_some() {
            self.write().await?;
            self.tell().await;
            return Ok(Next::Again);
        }
        // That it is recorded is written with the wish to delete.
        let (looked, told) = future::join(self.look(), self.send_news()).await;
        told.note(self.validation());
        match looked {
            Ok(looked) => self.delete_as_looked(looked).await,
            Err(error) => {
                self.write().await?;
                Err(error)
            }
        }
    }

    /// Writes the record as the validation stands, with what events told meanwhile.
    pub(super) async fn write_record(&mut self) -> failure::Result<()> {
        self.hear().await?;
        self.put_record().await
    }

    /// Adds what events told meanwhile.
    pub(super) async fn hear(&mut self) -> failure::Result<()> {
        if self.lease.validation.copy_job.is_none()
            && let Some(heard) = self.app.ledger.heard(&self.lease.validation.id).await?
        {
            self.validation().add(heard);
        }
        Ok(())
    }

    /// Writes the record as the validation stands.
    pub(super) async fn put_record(&self) -> failure::Result<()> {
        let (app, validation) = (self.app, &self.lease.validation);
        let ceilings = validation.ceilings(app.config.values_leave);
        let Some(record) = Record::of(validation, ceilings.record) else {
            return Err(Failure::Other(format!(
                "validation {} has no verdict to record",
                validation.id
            )));
        };
        let record = record.with_restore_request(validation);
        let key = validation.record_key();
        publish::write_record(&app.aws, &app.config, &key, &record, self.now()).await?;
        Ok(())
    }

    /// Tells what was not told yet. What cannot be told now is told by a later run; it never stands in the way of
    /// the deletion.
    pub(super) async fn tell(&mut self) {
        let told = self.send_news().await;
        told.note(self.validation());
    }

    /// Sends what was not told yet: the log event and the messages, beside each other.
    pub(super) async fn send_news(&self) -> Told {
        let (app, validation) = (self.app, &self.lease.validation);
        let mut told = Told::default();
        let ceilings = validation.ceilings(app.config.values_leave);
        let (Some(logged_record), Some(record)) = (
            Record::of(validation, ceilings.log),
            Record::of(validation, ceilings.message),
        ) else {
            return told;
        };
        let function = &app.config.name_prefix;
        let key = validation.record_key();
        let uri = format!("s3://{}/{key}", app.config.results_bucket);
        let tells_verdict = !validation.verdict_sent && message::is_wanted(validation);
        let tells_programs = !validation.verdict_sent && !tells_verdict;
        let tells_left_behind =
            !validation.left_behind_sent && validation.cleanup == Cleanup::LeftBehind;
        let logged = async {
            if validation.verdict_logged {
                return true;
            }
            let replan = validation.replan;
            let logged =
                publish::log_verdict(&app.aws, &app.config, &logged_record, replan, self.now())
                    .await;
            is_told(logged, "the verdict's log event is still to be written")
        };
        // Beside the log event, which does not wait for it.
        let proved = async {
            match tells_left_behind || tells_verdict && message::is_bad_news(validation) {
                true => self.proved().await,
                false => Ok(None),
            }
        }
        .boxed()
        .shared();
        let sent = async {
            if tells_programs {
                let event = Event::of_verdict(&record, &uri);
                let sent = publish::send_event(&app.aws, &app.config, &event).await;
                return is_told(sent, "the event about the verdict is still to be sent");
            }
            if !tells_verdict {
                return true;
            }
            let message =
                message::of_verdict(validation, &record, &uri, &proved.clone().await, function);
            let sent = publish::send(&app.aws, &app.config, &message).await;
            is_told(sent, "the message about the verdict is still to be sent")
        };
        let left_behind = async {
            if !tells_left_behind {
                return validation.left_behind_sent;
            }
            let message = message::of_left_behind(&record, &uri, &proved.clone().await, function);
            let sent = publish::send(&app.aws, &app.config, &message).await;
            is_told(
                sent,
                "the message about what was left behind is still to be sent",
            )
        };
        (told.logged, told.sent, told.left_behind) = future::join3(logged, sent, left_behind).await;
        info!(validation.id = %validation.id, verdict = record.verdict, cleanup = record.cleanup, "validation {}: {}, {}", validation.id, record.verdict, record.cleanup);
        told
    }

    /// The newest recovery point of the resource that was restored and passed, with its runbook. Where that cannot be read or
    /// written, people hear of the rest all the same.
    async fn proved(&self) -> Proved {
        let Some(resource) = &self.lease.validation.recovery_point.resource_arn else {
            return Err("the resource is not known".to_owned());
        };
        let proved = self.app.ledger.proved(resource).await;
        let Some(point) = proved.map_err(|problem| problem.to_string())? else {
            return Ok(None);
        };
        let config = &self.app.config;
        let written = timeout(RUNBOOK_TIMEOUT, self.write_runbook(resource, &point)).await;
        let runbook = match written.unwrap_or_else(|_| Err("S3 takes too long".to_owned())) {
            Ok(key) => Runbook::Written {
                uri: format!("s3://{}/{key}", config.results_bucket),
                console: console::object(
                    &config.partition,
                    &config.region,
                    &config.results_bucket,
                    &key,
                ),
            },
            Err(why) => {
                warn!("the runbook of {resource} is still to be written: {why}");
                Runbook::ToBeMade {
                    why,
                    command: runbook::command(
                        Some(&config.name_prefix),
                        point.record_key.as_deref().and_then(day_of_key),
                        resource,
                    ),
                }
            }
        };
        Ok(Some((point, runbook)))
    }

    /// Writes the runbook of a restore that passed, made of its record. Returns its key; the error says why it cannot.
    async fn write_runbook(&self, resource: &str, point: &ProvedPoint) -> Result<String, String> {
        let (aws, config) = (&self.app.aws, &self.app.config);
        let Some(key) = point.record_key.clone() else {
            return Err("an older version wrote the record of that restore".to_owned());
        };
        let record = S3Uri {
            bucket: config.results_bucket.clone(),
            key,
        };
        let read = read_object(aws, &record)
            .await
            .map_err(|error| error.to_string())?;
        let read = read.ok_or_else(|| format!("the record {} is too large", record.key))?;
        let proved =
            ProvedRecord::read(&read).map_err(|why| format!("the record {} {why}", record.key))?;
        let text = restore_proof_report::runbook(&proved);
        let key = runbook::key(resource);
        let written =
            publish::write_object(aws, config, &key, "text/markdown; charset=utf-8", text).await;
        written.map_err(|error| error.to_string())?;
        Ok(key)
    }

    /// Whether everything was told that people are to hear.
    pub(super) fn all_told(&self) -> bool {
        let validation = &self.lease.validation;
        validation.verdict_logged
            && validation.verdict_sent
            && (validation.cleanup != Cleanup::LeftBehind || validation.left_behind_sent)
    }
}

/// What people were told by the log event and the messages.
#[derive(Debug, Default)]
pub(super) struct Told {
    logged: bool,
    sent: bool,
    left_behind: bool,
}

impl Told {
    /// Notes it, to be written with what follows.
    pub(super) fn note(&self, validation: &mut Validation) {
        validation.verdict_logged |= self.logged;
        validation.verdict_sent |= self.sent;
        validation.left_behind_sent |= self.left_behind;
    }
}

fn is_told(result: Result<(), AwsError>, otherwise: &str) -> bool {
    if let Err(problem) = &result {
        error!("{otherwise}: {problem}");
    }
    result.is_ok()
}

//! Checked: the record is written, and people are told.

use restore_proof_core::message;
use restore_proof_core::record::Record;
use restore_proof_core::validation::{Cleanup, Stage};
use tracing::{error, info};

use super::{Next, Run};
use crate::publish;

impl Run<'_> {
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

    /// Writes the record as the validation stands, with what events told meanwhile.
    pub(super) async fn write_record(&mut self) -> anyhow::Result<Record> {
        let app = self.app;
        if self.lease.validation.copy_job.is_none()
            && let Some(heard) = app.ledger.heard(&self.lease.validation.id).await?
        {
            self.validation().add(heard);
        }
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

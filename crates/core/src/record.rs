//! The record: the one line about a validation that people query.
//!
//! One JSON object in one line and one file. Column names and types are frozen, for Athena tables stand on them: they may
//! grow, and what is here is never renamed, retyped or removed (`tests/formats`). Timestamps are text
//! `YYYY-MM-DD HH:MM:SS.fff` in UTC, durations are minutes as double, and every column is always there, `null` when it is
//! not known.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::arn::Arn;
use crate::ceiling::{Ceiling, Datum, looks_like_credential, without_credentials};
use crate::check::data::SCANNED;
use crate::resource_type::RequestedKey;
use crate::validation::{CheckResult, Cleanup, RestoreAttempt, Validation};
use crate::verdict::{FaultClass, Objective, Verdict};

/// The version of this format. A new one only adds to it.
pub const FORMAT: u32 = 1;

/// Where the record of a validation lies in the results bucket: in the folder of the day on which it was opened.
pub fn record_key(opened: Date, validation_id: &str) -> String {
    format!("records/dt={opened}/{validation_id}.json")
}

/// The day (UTC) that the record under this key lies under. None if it is no key of a record.
pub fn day_of_key(key: &str) -> Option<Date> {
    let (day, _) = key.strip_prefix("records/dt=")?.split_once('/')?;
    day.parse().ok()
}

/// The columns, in order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// int. Version of this format.
    pub format: u32,
    /// string. Known by every log line and message about the validation.
    pub validation_id: String,
    /// int. Which attempt at it, from 1.
    pub attempt: u32,
    /// string. passed, failed, inconclusive, unchecked, restore_failed, copy_failed or not_tested.
    pub verdict: &'static str,
    /// string. Why.
    pub verdict_reason: String,
    /// string. What kind of fault kept the restore from being made: account, permission, quota, capacity, request, network,
    /// licence, backup, key or unknown; null when none did.
    pub fault_class: Option<&'static str>,
    /// string. How the backup was proved: restored, or read where it lies; null when it was neither.
    pub proof: Option<&'static str>,
    /// string. cross_region when the source lies in another Region than the vault, whatever its account; else cross_account
    /// when it lies in another account; else same_account; null when the source is not known.
    pub scenario: Option<&'static str>,
    /// string. ARN of the recovery point; of the source's for a failed copy.
    pub recovery_point_arn: String,
    /// timestamp. When the data was backed up.
    pub recovery_point_created: Option<String>,
    /// timestamp. The point in time that a continuous backup was restored to.
    pub restore_point_time: Option<String>,
    /// string. Vault the recovery point lies in.
    pub backup_vault_arn: String,
    /// string. Its name.
    pub backup_vault_name: String,
    /// string. AWS Backup's name of the resource type.
    pub resource_type: Option<String>,
    /// string. ARN of the backed-up resource.
    pub source_resource_arn: Option<String>,
    /// string. Its account.
    pub source_account: Option<String>,
    /// string. Instance class or type of the source when it was backed up.
    pub source_class: Option<String>,
    /// bigint. Size of the recovery point, bytes.
    pub backup_size_bytes: Option<u64>,
    /// bigint. Size of the restored resource as the restore job states it, bytes.
    pub restored_size_bytes: Option<u64>,
    /// string. Copy job, when its event arrived.
    pub copy_job_id: Option<String>,
    /// timestamp. When the copy was complete, when its event arrived.
    pub copy_end_time: Option<String>,
    /// timestamp. When the validation was opened.
    pub opened_time: String,
    /// string. Restore job.
    pub restore_job_id: Option<String>,
    /// string. DB instance identifier or EC2 instance id of the restored copy.
    pub restored_instance_id: Option<String>,
    /// string. ARN of the restored copy, as the restore job names it.
    pub restored_resource_arn: Option<String>,
    /// string. Instance class or type of the restored copy.
    pub restored_class: Option<String>,
    /// string. Account that it was restored in.
    pub restore_account: Option<String>,
    /// string. Region that it was restored in.
    pub restore_region: Option<String>,
    /// struct. Where the restored copy lay in the network when its isolation was asserted.
    pub network: Option<NetworkColumns>,
    /// timestamp. When the restore job was created.
    pub restore_start_time: Option<String>,
    /// timestamp. When the restore job ended.
    pub restore_end_time: Option<String>,
    /// double, minutes. From the restore job's creation to its end.
    pub restore_duration: Option<f64>,
    /// double, minutes. From our seeing the end of the restore job to the resource being ready for checks.
    pub preparation_duration: Option<f64>,
    /// double, minutes. From the start of the checks to the end of the first that passed.
    pub first_check_duration: Option<f64>,
    /// double, minutes. Restore, preparation and first passed check: how long a recovery takes. Our waiting is not in it.
    pub recovery_time: Option<f64>,
    /// double, minutes. The rule's target.
    pub recovery_time_target: Option<f64>,
    /// string. met, missed, not_set; null when there is a target and nothing was measured.
    pub recovery_time_objective: Option<&'static str>,
    /// double, minutes. Age of the newest data when the backup was made.
    pub data_age: Option<f64>,
    /// double, minutes. The rule's target.
    pub data_age_target: Option<f64>,
    /// string. met, missed, not_set; null when there is a target and nothing was measured.
    pub data_age_objective: Option<&'static str>,
    /// double, minutes. Age of the newest data when the check ran.
    pub age_latest_db_tx: Option<f64>,
    /// double, minutes. How long the validation waited for its turn before the restore started.
    pub queue_duration: Option<f64>,
    /// double, minutes. From the end of the copy to our opening the validation.
    pub copy_event_lag: Option<f64>,
    /// double, minutes. From the end of the restore job to our seeing it.
    pub restore_event_lag: Option<f64>,
    /// string. pending, deleted, already_gone, nothing_to_delete, kept_until or left_behind.
    pub cleanup: &'static str,
    /// string. Why, when it is not as wished.
    pub cleanup_reason: Option<String>,
    /// timestamp. When the cleanup became what it is.
    pub cleanup_time: Option<String>,
    /// timestamp. Until when a failed restore is kept.
    pub kept_until: Option<String>,
    /// array of structs. Every restore job of the validation, oldest first.
    pub attempts: Vec<AttemptColumns>,
    /// array of structs. The restore request that was proved, and what a recovery by hand is to use in its place; empty unless
    /// the verdict is passed. In S3 alone: neither in log events nor in messages.
    pub restore_request: Vec<RequestColumns>,
    /// array of structs. What the validation used that is billed, as far as it is measured; empty until it is over.
    pub usage: Vec<UsageColumns>,
    /// array of structs. What became of each check.
    pub checks: Vec<CheckColumns>,
    /// array of strings. What was noticed besides.
    pub findings: Vec<String>,
    /// string. Rule of the policy that matched.
    pub policy_rule: Option<String>,
    /// string. What the policy file calls itself.
    pub policy_version: Option<String>,
    /// string. S3's id of the version of the policy file that was read; null in a bucket without versions.
    pub policy_version_id: Option<String>,
    /// string. SHA-256 of the policy file.
    pub policy_fingerprint: Option<String>,
    /// string. Version of this program.
    pub function_version: &'static str,
    /// timestamp. When the verdict was known.
    pub verdict_time: Option<String>,
}

/// Where a restored resource lies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkColumns {
    /// string. Id of the VPC.
    pub vpc: Option<String>,
    /// array of strings. Ids of the subnets.
    pub subnets: Vec<String>,
    /// array of strings. Ids of the security groups.
    pub groups: Vec<String>,
}

/// One restore job in the record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttemptColumns {
    /// string. Restore job.
    pub job: String,
    /// timestamp. When it was created.
    pub start: Option<String>,
    /// timestamp. When it ended.
    pub end: Option<String>,
    /// string. What kind of fault it ended with, as in `fault_class`.
    pub class: Option<&'static str>,
    /// string. AWS Backup's words about it.
    pub message: Option<String>,
    /// string. What became of what it restored, as in `cleanup`.
    pub cleanup: &'static str,
}

impl AttemptColumns {
    fn of(attempt: RestoreAttempt) -> AttemptColumns {
        AttemptColumns {
            job: attempt.restore_job_id,
            start: attempt.started_at.map(athena),
            end: attempt.ended_at.map(athena),
            class: attempt.fault_class.map(FaultClass::as_str),
            message: attempt.message.as_deref().map(shown),
            cleanup: attempt.cleanup.as_str(),
        }
    }
}

/// One key of the restore request in the record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestColumns {
    /// string. Key of AWS Backup's restore metadata.
    pub key: String,
    /// string. The value that was sent; null when the key was left out, or may not be told.
    pub proved_with: Option<String>,
    /// string. The value to use for a recovery, or a placeholder in angle brackets; null when the key is to be left out.
    pub recovery: Option<String>,
    /// string. Why.
    pub why: String,
}

impl RequestColumns {
    fn of(requested: &RequestedKey) -> RequestColumns {
        let mut why = shown(&requested.why);
        let mut sound = |value: &Option<String>| {
            let value = value.as_ref()?;
            if looks_like_credential(value) {
                "withheld: it looks like a credential".clone_into(&mut why);
                return None;
            }
            Some(value.clone())
        };
        RequestColumns {
            key: requested.key.clone(),
            proved_with: sound(&requested.proved_with),
            recovery: sound(&requested.recovery),
            why,
        }
    }
}

/// Something billed in the record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsageColumns {
    /// string. What was used: restored_resource, of the class in `restored_class`, or scanned_data, which checks without SQL read.
    pub what: &'static str,
    /// double. How much of it: of a restored resource the longest that it can have existed, from the start of its restore
    /// job to our knowing that it is gone; of scanned data what the servers estimate.
    pub amount: f64,
    /// string. The amount's unit: minutes, or MiB.
    pub unit: &'static str,
}

/// One check in the record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckColumns {
    /// string. The check's name in the policy.
    pub name: String,
    /// string. Its kind.
    pub kind: String,
    /// string. passed, failed or errored.
    pub outcome: &'static str,
    /// string. The value that came.
    pub value: Option<String>,
    /// double. The value, if it is a number.
    pub value_number: Option<f64>,
    /// struct. That there was a value, and why it is not here; null when it is, or when none came.
    pub value_withheld: Option<WithheldColumns>,
    /// string. What was expected.
    pub expectation: String,
    /// string. Why the outcome is what it is.
    pub detail: String,
    /// double, minutes. How long it took.
    pub duration: f64,
    /// string. The group that the policy puts it in.
    pub group: Option<String>,
    /// array of structs. What it measured beside the value.
    pub measured: Vec<MeasuredColumns>,
}

/// A value that may not leave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WithheldColumns {
    /// string. What kind of value it was: truth, number, time, text or credential.
    pub withheld: &'static str,
    /// string. Why it is not here.
    pub reason: String,
}

impl WithheldColumns {
    fn of(datum: Datum, ceiling: Ceiling) -> WithheldColumns {
        let reason = match (datum, ceiling) {
            (Datum::Credential, _) => "it looks like a credential",
            (_, Ceiling::None) => "no values may leave (ValuesLeave, values_leave)",
            (_, Ceiling::Numbers) => {
                "only numbers, truths and times may leave (ValuesLeave, values_leave)"
            }
            (_, Ceiling::Text) => "it may not leave",
        };
        WithheldColumns {
            withheld: datum.as_str(),
            reason: reason.to_owned(),
        }
    }
}

/// One measurement of a check in the record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasuredColumns {
    /// string. What was measured, with its unit.
    pub name: String,
    /// double. The number, if it is one.
    pub number: Option<f64>,
    /// string. What a number cannot say.
    pub text: Option<String>,
}

impl Record {
    /// The record of a validation as it stands, with what of the data may be seen under this ceiling: the log event and the
    /// message are made of records, too, each under its own. A validation without a verdict has none yet.
    pub fn of(validation: &Validation, ceiling: Ceiling) -> Option<Record> {
        let verdict = validation.verdict?;
        let point = &validation.recovery_point;
        let restore = validation.restore.as_ref();
        let minutes =
            |from: Option<Timestamp>, to: Option<Timestamp>| Some(minutes_between(from?, to?));
        let restore_duration = minutes(
            restore.and_then(|r| r.created_at),
            restore.and_then(|r| r.completed_at),
        );
        let recovery_time = (|| {
            Some(
                restore_duration?
                    + validation.preparation_minutes?
                    + validation.first_passed_check_minutes?,
            )
        })();
        let objectives = validation
            .rule
            .as_ref()
            .map(|rule| rule.objectives)
            .unwrap_or_default();
        let target =
            |duration: Option<std::time::Duration>| duration.map(|d| d.as_secs_f64() / 60.0);
        let measured = validation
            .checks
            .iter()
            .find(|check| check.age_at_backup_minutes.is_some());
        let data_age = measured.and_then(|check| check.age_at_backup_minutes);
        let copied_at = validation
            .copy_job
            .as_ref()
            .and_then(|job| job.completed_at);
        let job_id = validation
            .intent
            .as_ref()
            .and_then(|intent| intent.restore_job_id.clone());
        // What lies in a vault is restored in its account and Region.
        let vault: Option<Arn> = point.vault_arn.parse().ok();
        let restored_in = vault.as_ref().filter(|_| job_id.is_some());
        let attempts = validation.earlier_attempts.iter().cloned();
        Some(Record {
            format: FORMAT,
            validation_id: validation.id.clone(),
            attempt: validation.attempt,
            verdict: verdict.as_str(),
            verdict_reason: validation.verdict_reason.at(ceiling),
            fault_class: validation.fault_class.map(FaultClass::as_str),
            proof: restore
                .filter(|job| job.status == "COMPLETED")
                .map(|_| "restored"),
            scenario: vault.as_ref().and_then(|vault| scenario(validation, vault)),
            recovery_point_arn: point.arn.clone(),
            recovery_point_created: point.created_at.map(athena),
            // Continuous backups are not restored yet.
            restore_point_time: None,
            backup_vault_arn: point.vault_arn.clone(),
            backup_vault_name: point.vault_name.clone(),
            resource_type: point.resource_type.clone(),
            source_resource_arn: point.resource_arn.clone(),
            source_account: point.source_account(),
            source_class: validation.source_class.clone(),
            backup_size_bytes: point.size_bytes,
            restored_size_bytes: restore.and_then(|r| r.size_bytes),
            copy_job_id: validation.copy_job.as_ref().and_then(|job| job.id.clone()),
            copy_end_time: copied_at.map(athena),
            opened_time: athena(validation.opened_at),
            restore_account: restored_in.map(|vault| vault.account.clone()),
            restore_region: restored_in.map(|vault| vault.region.clone()),
            restore_job_id: job_id,
            restored_instance_id: restore.and_then(crate::ownership::created_name),
            restored_resource_arn: restore.and_then(|r| r.created_resource_arn.clone()),
            restored_class: validation.restored_class.clone(),
            network: validation.network.clone().map(|network| NetworkColumns {
                vpc: network.vpc,
                subnets: network.subnets,
                groups: network.groups,
            }),
            restore_start_time: restore.and_then(|r| r.created_at).map(athena),
            restore_end_time: restore.and_then(|r| r.completed_at).map(athena),
            restore_duration,
            preparation_duration: validation.preparation_minutes,
            first_check_duration: validation.first_passed_check_minutes,
            recovery_time,
            recovery_time_target: target(objectives.recovery_time),
            recovery_time_objective: Objective::of(recovery_time, target(objectives.recovery_time))
                .map(Objective::as_str),
            data_age: data_age.filter(|_| ceiling.lets(Datum::Time)),
            data_age_target: target(objectives.data_age),
            data_age_objective: Objective::of(data_age, target(objectives.data_age))
                .map(Objective::as_str),
            age_latest_db_tx: measured
                .and_then(|check| check.age_against_now_minutes)
                .filter(|_| ceiling.lets(Datum::Time)),
            // A slot without a restore was waited for by nobody.
            queue_duration: minutes(
                Some(validation.opened_at),
                validation
                    .slot_taken_at
                    .filter(|_| validation.intent.is_some()),
            ),
            copy_event_lag: minutes(copied_at, Some(validation.opened_at)).map(|lag| lag.max(0.0)),
            restore_event_lag: minutes(
                restore.and_then(|r| r.completed_at),
                validation.restore_seen_at,
            )
            .map(|lag| lag.max(0.0)),
            cleanup: validation.cleanup.as_str(),
            cleanup_reason: validation.cleanup_reason.as_deref().map(shown),
            cleanup_time: validation.cleanup_at.map(athena),
            kept_until: validation.kept_until.map(athena),
            attempts: attempts
                .chain(validation.restore_attempt())
                .map(AttemptColumns::of)
                .collect(),
            restore_request: Vec::new(),
            usage: usage(validation),
            checks: validation
                .checks
                .iter()
                .map(|check| CheckColumns::of(check, ceiling))
                .collect(),
            findings: validation
                .findings
                .iter()
                .map(|words| shown(words))
                .collect(),
            policy_rule: validation.rule.as_ref().map(|rule| rule.name.clone()),
            policy_version: validation
                .policy
                .as_ref()
                .and_then(|policy| policy.version.clone()),
            policy_version_id: validation
                .policy
                .as_ref()
                .and_then(|policy| policy.version_id.clone()),
            policy_fingerprint: validation
                .policy
                .as_ref()
                .and_then(|policy| policy.fingerprint.clone()),
            function_version: env!("CARGO_PKG_VERSION"),
            verdict_time: validation.verdict_at.map(athena),
        })
    }

    /// The same with the restore request, which is in nothing but the file in S3: it holds restore metadata.
    #[must_use]
    pub fn with_restore_request(mut self, validation: &Validation) -> Record {
        if validation.verdict == Some(Verdict::Passed) {
            let requested = validation.recovery.iter();
            self.restore_request = requested.map(RequestColumns::of).collect();
        }
        self
    }

    /// The file's text: one line with its end.
    pub fn line(&self) -> String {
        let mut line =
            serde_json::to_string(self).expect("text, numbers and lists are always JSON");
        line.push('\n');
        line
    }
}

impl CheckColumns {
    fn of(check: &CheckResult, ceiling: Ceiling) -> CheckColumns {
        let (value, value_number, withheld) = check.seen(ceiling);
        CheckColumns {
            name: shown(&check.name),
            kind: check.kind.clone(),
            outcome: check.outcome.as_str(),
            value,
            value_number,
            value_withheld: withheld.map(|datum| WithheldColumns::of(datum, ceiling)),
            expectation: shown(&check.expectation),
            detail: check.detail.at(ceiling),
            duration: check.duration_minutes,
            group: check.group.as_deref().map(shown),
            measured: check
                .measured
                .iter()
                .map(|measured| MeasuredColumns {
                    name: shown(&measured.name),
                    number: check.measured_number(measured, ceiling),
                    text: measured.text.as_ref().map(|text| text.at(ceiling)),
                })
                .collect(),
        }
    }
}

/// Words that are none of the data's, as they leave: whatever looks like a credential stays, wherever it comes from.
fn shown(words: &str) -> String {
    without_credentials(words).into_owned()
}

/// Whether the data came from afar: where the source lies against where its backup is restored.
fn scenario(validation: &Validation, vault: &Arn) -> Option<&'static str> {
    let source: Arn = validation
        .recovery_point
        .resource_arn
        .as_deref()?
        .parse()
        .ok()?;
    // The ARNs of some types name neither account nor Region, for example those of S3.
    if source.account.is_empty() || source.region.is_empty() {
        return None;
    }
    Some(if source.region != vault.region {
        "cross_region"
    } else if source.account != vault.account {
        "cross_account"
    } else {
        "same_account"
    })
}

/// What a validation used, once it is over.
fn usage(validation: &Validation) -> Vec<UsageColumns> {
    let Some(existed) = existed(validation) else {
        return Vec::new();
    };
    let measured = validation.checks.iter().flat_map(|check| &check.measured);
    let scanned: f64 = measured
        .filter(|one| one.name == SCANNED)
        .filter_map(|one| one.number)
        .sum();
    let mut usage = vec![UsageColumns {
        what: "restored_resource",
        amount: existed,
        unit: "minutes",
    }];
    if scanned > 0.0 {
        usage.push(UsageColumns {
            what: "scanned_data",
            amount: scanned,
            unit: "MiB",
        });
    }
    usage
}

/// How long the restored resource can have existed at most, minutes; none if there was none or it may still exist.
fn existed(validation: &Validation) -> Option<f64> {
    let job = validation.restore.as_ref()?;
    job.created_resource_arn.as_ref()?;
    match validation.cleanup {
        Cleanup::Deleted | Cleanup::AlreadyGone => {
            Some(minutes_between(job.created_at?, validation.cleanup_at?))
        }
        Cleanup::Pending | Cleanup::NothingToDelete | Cleanup::KeptUntil | Cleanup::LeftBehind => {
            None
        }
    }
}

/// A point in time as Athena reads it.
pub fn athena(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
}

/// From one point in time to another, minutes; negative when the second is earlier.
pub fn minutes_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() / 60.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::validation::{CopyJob, RestoreJob};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number")
    }

    /// A copy that landed after forty seconds, waited a minute for its turn, and was restored in five.
    fn validation() -> Validation {
        let vault = "arn:aws:backup:eu-central-1:111122223333:backup-vault:central";
        let mut validation = Validation::open("stack", "point", vault, None, at(100));
        validation.copy_job = Some(CopyJob {
            is_partial: false,
            id: None,
            completed_at: Some(at(40)),
        });
        let intent = json!({
            "attempt": 1, "target_name": "rp-1-1", "mark": { "name": "rp-1-1" }, "idempotency_token": "t",
            "metadata": {}, "planned_at": at(160), "restore_job_id": "job-1",
        });
        validation.intent = serde_json::from_value(intent).expect("an intent");
        let restore = json!({
            "id": "job-1", "status": "COMPLETED", "created_at": at(200), "completed_at": at(500),
            "created_resource_arn": "arn:aws:rds:eu-central-1:111122223333:db:rp-1-1",
        });
        let restore: RestoreJob = serde_json::from_value(restore).expect("a restore job");
        validation.restore = Some(restore);
        validation.slot_taken_at = Some(at(160));
        validation.restore_seen_at = Some(at(530));
        validation.preparation_minutes = Some(2.0);
        validation.first_passed_check_minutes = Some(0.5);
        validation.decide(Verdict::Unchecked, "the rule has no checks", at(600));
        validation
    }

    fn record(validation: &Validation) -> Record {
        Record::of(validation, Ceiling::Text).expect("a verdict")
    }

    #[test]
    fn a_recovery_takes_restore_preparation_and_first_check() {
        let whole = record(&validation());
        assert_eq!(whole.restore_duration, Some(5.0));
        assert_eq!(whole.recovery_time, Some(7.5));
        for forget in [
            |v: &mut Validation| v.restore = None,
            |v: &mut Validation| v.preparation_minutes = None,
            |v: &mut Validation| v.first_passed_check_minutes = None,
        ] {
            let mut validation = validation();
            forget(&mut validation);
            assert_eq!(record(&validation).recovery_time, None);
        }
    }

    #[test]
    fn waiting_is_told_apart() {
        let record = record(&validation());
        assert_eq!(record.queue_duration, Some(1.0));
        assert_eq!(record.copy_event_lag, Some(1.0));
        assert_eq!(record.restore_event_lag, Some(0.5));
    }

    #[test]
    fn nobody_waited_for_a_restore_that_was_not_intended() {
        let mut validation = validation();
        validation.intent = None;
        assert_eq!(record(&validation).queue_duration, None);
    }

    #[test]
    fn clocks_that_differ_make_no_negative_lag() {
        let mut validation = validation();
        validation.opened_at = at(30);
        validation.restore_seen_at = Some(at(499));
        let record = record(&validation);
        assert_eq!(record.copy_event_lag, Some(0.0));
        assert_eq!(record.restore_event_lag, Some(0.0));
    }

    #[test]
    fn objectives_are_met_by_what_was_measured() {
        let mut validation = validation();
        let objectives = |validation: &Validation| {
            let record = record(validation);
            (
                record.recovery_time_objective,
                record.recovery_time_target,
                record.data_age_objective,
                record.data_age_target,
            )
        };
        assert_eq!(
            objectives(&validation),
            (Some("not_set"), None, Some("not_set"), None)
        );
        let policy = "version = \"1\"\n[[rules]]\nname = \"r\"\nfrequency = \"daily\"\nmatch = {}\n\
                      objectives = { recovery_time = \"450s\" }\n";
        let mut rule = crate::policy::parse(policy)
            .expect("a policy")
            .rules
            .remove(0);
        rule.objectives.data_age = Some(Duration::from_secs(900));
        validation.rule = Some(rule);
        assert_eq!(
            objectives(&validation),
            (Some("met"), Some(7.5), None, Some(15.0))
        );
        let check = json!({
            "name": "c", "kind": "sql", "outcome": "passed", "expectation": "", "detail": "",
            "duration_minutes": 0.1,
        });
        let mut measured = check.clone();
        measured["age_at_backup_minutes"] = json!(16.0);
        measured["age_against_now_minutes"] = json!(20.0);
        validation.checks = serde_json::from_value(json!([check, measured])).expect("checks");
        assert_eq!(record(&validation).data_age, Some(16.0));
        assert_eq!(record(&validation).age_latest_db_tx, Some(20.0));
        assert_eq!(objectives(&validation).2, Some("missed"));
    }

    #[test]
    fn a_source_may_lie_afar() {
        let mut validation = validation();
        let mut scenario = |source: Option<&str>| {
            validation.recovery_point.resource_arn = source.map(str::to_owned);
            record(&validation).scenario
        };
        for (source, is) in [
            (
                "arn:aws:rds:eu-central-1:111122223333:db:shop",
                Some("same_account"),
            ),
            (
                "arn:aws:rds:eu-central-1:222233334444:db:shop",
                Some("cross_account"),
            ),
            (
                "arn:aws:rds:eu-west-1:111122223333:db:shop",
                Some("cross_region"),
            ),
            (
                "arn:aws:rds:eu-west-1:222233334444:db:shop",
                Some("cross_region"),
            ),
            ("arn:aws:s3:::shop", None),
            ("shop", None),
        ] {
            assert_eq!(scenario(Some(source)), is, "{source}");
        }
        assert_eq!(scenario(None), None);
    }

    #[test]
    fn nothing_is_told_of_a_restore_that_was_not_made() {
        let mut validation = validation();
        assert_eq!(record(&validation).proof, Some("restored"));
        let told = record(&validation);
        assert_eq!(told.restore_account.as_deref(), Some("111122223333"));
        assert_eq!(told.restore_region.as_deref(), Some("eu-central-1"));
        validation.restore.as_mut().expect("a job").status = "FAILED".to_owned();
        assert_eq!(record(&validation).proof, None);
        assert_eq!(record(&validation).attempts.len(), 1, "it was tried");
        validation.intent = None;
        let told = record(&validation);
        assert_eq!((told.restore_account, told.restore_region), (None, None));
        assert_eq!(told.attempts, []);
    }

    #[test]
    fn every_restore_job_is_an_attempt() {
        let mut validation = validation();
        let job = validation.restore.as_mut().expect("a job");
        job.status_message = Some("no capacity".to_owned());
        validation.fault_class = Some(FaultClass::Capacity);
        validation.settle(Cleanup::NothingToDelete, None, at(700));
        let (intent, restore) = (validation.intent.clone(), validation.restore.clone());
        let (verdict, now) = (Verdict::Unchecked, at(800));
        validation.begin_attempt();
        validation.decide(verdict, "", now);
        assert_eq!(
            record(&validation).attempts.len(),
            1,
            "nothing is started yet"
        );
        validation.begin_attempt();
        validation.decide(verdict, "", now);
        validation.intent = intent;
        validation.restore = restore.map(|job| RestoreJob {
            id: "job-2".to_owned(),
            status_message: None,
            ..job
        });
        let intent = validation.intent.as_mut().expect("an intent");
        intent.restore_job_id = Some("job-2".to_owned());
        validation.settle(Cleanup::Deleted, None, at(800));
        let told = record(&validation);
        assert_eq!((told.attempt, told.fault_class), (3, None));
        let attempt = |job: &str, class, message: Option<&str>, cleanup| AttemptColumns {
            job: job.to_owned(),
            start: Some(athena(at(200))),
            end: Some(athena(at(500))),
            class,
            message: message.map(str::to_owned),
            cleanup,
        };
        assert_eq!(
            told.attempts,
            [
                attempt(
                    "job-1",
                    Some("capacity"),
                    Some("no capacity"),
                    "nothing_to_delete"
                ),
                attempt("job-2", None, None, "deleted"),
            ]
        );
    }

    #[test]
    fn what_was_used_is_told_once_it_is_gone() {
        let mut validation = validation();
        for (cleanup, minutes) in [
            (Cleanup::Pending, None),
            (Cleanup::KeptUntil, None),
            (Cleanup::LeftBehind, None),
            (Cleanup::NothingToDelete, None),
            (Cleanup::Deleted, Some(10.0)),
            (Cleanup::AlreadyGone, Some(10.0)),
        ] {
            validation.settle(cleanup, None, at(800));
            let used = record(&validation).usage;
            let amounts: Vec<f64> = used.iter().map(|used| used.amount).collect();
            assert_eq!(amounts, Vec::from_iter(minutes), "{cleanup:?}");
        }
        let scans = |number: f64| {
            json!({ "name": "c", "kind": "missing", "outcome": "passed", "expectation": "", "detail": "", "duration_minutes": 0.1,
                    "measured": [{ "name": "rows looked at", "number": 7.0 }, { "name": SCANNED, "number": number }] })
        };
        validation.checks =
            serde_json::from_value(json!([scans(1.5), scans(2.25)])).expect("checks");
        let scanned = UsageColumns {
            what: "scanned_data",
            amount: 3.75,
            unit: "MiB",
        };
        assert_eq!(record(&validation).usage[1], scanned);
        let job = validation.restore.as_mut().expect("a job");
        job.created_resource_arn = None;
        assert_eq!(record(&validation).usage, []);
    }

    /// Restore metadata is in the file in S3 alone: a record is without it until it is asked for, and one that did not pass
    /// has none.
    #[test]
    fn the_restore_request_is_where_it_is_asked_for_alone() {
        let mut validation = validation();
        let row = |key: &str, value: &str| RequestedKey {
            key: key.to_owned(),
            proved_with: Some(value.to_owned()),
            recovery: Some(value.to_owned()),
            why: "because".to_owned(),
        };
        validation.recovery = vec![row("Port", "5432"), row("Odd", "password=hunter2")];
        validation.verdict = Some(Verdict::Passed);
        for ceiling in [Ceiling::None, Ceiling::Numbers, Ceiling::Text] {
            let record = Record::of(&validation, ceiling).expect("a verdict");
            assert_eq!(record.restore_request, []);
        }
        let record = record(&validation).with_restore_request(&validation);
        let [port, odd] = record.restore_request.as_slice() else {
            panic!("{:?}", record.restore_request);
        };
        assert_eq!(
            (
                port.key.as_str(),
                port.proved_with.as_deref(),
                port.recovery.as_deref()
            ),
            ("Port", Some("5432"), Some("5432"))
        );
        assert_eq!((&odd.proved_with, &odd.recovery), (&None, &None));
        assert_eq!(odd.why, "withheld: it looks like a credential");
        assert!(!record.line().contains("hunter2"));
        validation.verdict = Some(Verdict::Failed);
        let record = self::record(&validation).with_restore_request(&validation);
        assert_eq!(record.restore_request, []);
    }

    #[test]
    fn a_record_is_one_line_with_every_column() {
        let mut validation = validation();
        let line = record(&validation).line();
        assert!(line.ends_with("}\n"));
        assert_eq!(line.matches('\n').count(), 1);
        let columns: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(columns["verdict"], "unchecked");
        assert_eq!(columns["restored_instance_id"], "rp-1-1");
        assert_eq!(columns["restore_start_time"], "1970-01-01 00:03:20.000");
        assert!(columns["data_age"].is_null());
        validation.verdict = None;
        assert_eq!(Record::of(&validation, Ceiling::Text), None);
    }

    #[test]
    fn athena_reads_milliseconds() {
        let time: Timestamp = "2026-11-21T06:07:08.9876Z".parse().expect("a time");
        assert_eq!(athena(time), "2026-11-21 06:07:08.987");
    }
}

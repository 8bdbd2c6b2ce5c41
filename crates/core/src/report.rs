//! A report over a period: what the records say of an organisation's backups.
//!
//! Records go in one by one, in any order; the [`Report`] comes out. Its figures are those of the saved queries in
//! `infra/queries`. It knows neither clock nor files: the period's last day is its "today", and only what the records tell
//! is known.
//!
//! Percentiles are by nearest rank on all values: the smallest value that at least so many of a hundred do not exceed.

mod inventory;
mod line;
mod prices;
mod reckon;
mod rhythm;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Span;
use jiff::civil::Date;
use serde::Serialize;

use crate::verdict::Verdict;

pub use inventory::{InventoryError, Listed, inventory};
pub use line::{Line, Moment};
pub use reckon::Reckoning;
pub use rhythm::Rhythm;

/// The version of the report as JSON. A new one only adds to it.
pub const FORMAT: u32 = 1;

/// The most entries of each list that can grow with the number of records; their full number stands beside them.
pub const LONGEST_LIST: usize = 1000;

/// The longest text that is taken over from a record, characters.
pub const LONGEST_TEXT: usize = 600;

/// How many days up to the period's last one are looked at at least, to know what was proved before the period.
const LOOKED_BACK: u32 = 90;

/// Days, the first and the last among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Period {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
}

impl Period {
    /// So many days up to this one. None if there is no such day.
    pub fn last(days: u32, to: Date) -> Option<Period> {
        let back = Span::new().try_days(days.max(1) - 1).ok()?;
        let from = to.checked_sub(back).ok()?;
        Some(Period { from, to })
    }

    /// How many days it has.
    pub fn days(self) -> u32 {
        u32::try_from((self.to - self.from).get_days() + 1).unwrap_or_default()
    }

    /// The period of the same length right before it. None if there is no such day.
    pub fn before(self) -> Option<Period> {
        Period::last(self.days(), self.from.yesterday().ok()?)
    }

    /// Whether the day is one of its days.
    pub fn has(self, day: Date) -> bool {
        self.from <= day && day <= self.to
    }

    /// The first day whose records are looked at where not all are: the period before is compared, and what was proved
    /// within 90 days is known.
    pub fn looked_from(self) -> Date {
        let before = self.before().map_or(self.from, |before| before.from);
        let back = Period::last(LOOKED_BACK, self.to).map_or(self.from, |back| back.from);
        before.min(back)
    }
}

/// Where the records of some days lie in the results bucket: all keys with this prefix behind `after` and before `end`. A day's
/// keys are those of [`crate::validation::Validation::record_key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordKeys {
    /// All records have it.
    pub prefix: &'static str,
    /// No record of the first day or later has this key or one before it.
    pub after: String,
    /// No record of the last day or earlier has this key or one behind it.
    pub end: String,
}

impl RecordKeys {
    /// The keys of records from one day to another, both among them.
    pub fn of(from: Date, to: Date) -> RecordKeys {
        let folder = |day: Date| format!("records/dt={day}");
        RecordKeys {
            prefix: "records/dt=",
            after: folder(from),
            // The last day of all has none behind it; `~` stands behind all digits.
            end: to
                .tomorrow()
                .map_or_else(|_| "records/dt=~".to_owned(), folder),
        }
    }
}

/// What the records say over a period.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Version of this format.
    pub report_format: u32,
    /// The period.
    pub period: Period,
    /// What was read for it.
    pub read: Read,
    /// What is proved of the resources that are known, and what is not.
    pub coverage: Coverage,
    /// All resources that are known: those that were never proved first, then by the days since they were.
    pub resources: Vec<Resource>,
    /// The period in numbers.
    pub totals: Totals,
    /// The same by type.
    pub by_type: Vec<TypeTotals>,
    /// Recovery times of all that was restored and passed.
    pub recovery_time: Option<RecoveryTimes>,
    /// The same by type and scenario.
    pub recovery_time_by_type: Vec<TypeTimes>,
    /// Age of the newest data when the backups were made, over all resources.
    pub data_age: Option<DataAges>,
    /// Resources whose newest verdict of the period that speaks for or against the backup speaks against it.
    pub failing: Vec<Failing>,
    /// Resources whose verdicts changed between good and bad at least twice in the period.
    pub flapping: Vec<Flapping>,
    /// All verdicts of the period that speak against a backup, copies that failed among them, newest first.
    pub failed: Capped<BadNews>,
    /// Copies of the period that failed, newest first.
    pub copy_failures: Capped<BadNews>,
    /// Verdicts of the period that are neither for nor against the backup, by kind.
    pub untold: Vec<Untold>,
    /// The period of the same length before.
    pub before: Option<Before>,
    /// What was restored and is still there, oldest first; from whenever.
    pub left_behind: Capped<Left>,
    /// What the period used that is billed.
    pub usage: Vec<Usage>,
    /// What that may have cost.
    pub cost: Cost,
    /// The period day by day, days without a record left out.
    pub days: Vec<Day>,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Read {
    /// Records up to the period's last day.
    pub records: u64,
    /// Day of the oldest of them.
    pub oldest: Option<Date>,
    /// The day before which nothing was looked for; null when there was no such limit.
    pub looked_from: Option<Date>,
    /// Records of later days, which are not in any figure.
    pub later: u64,
    /// Records that name no resource: they are in the totals only.
    pub without_resource: u64,
    /// Lines that are no record, of whatever day.
    pub unreadable: u64,
    /// The first of them: where they stand, and why they are none.
    pub unreadable_places: Vec<String>,
    /// Why the inventory could not be used; null when it was, or there is none.
    pub inventory_error: Option<String>,
}

/// What is proved, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// Resources that are known: something of theirs landed, or the inventory names them.
    pub resources: u64,
    /// Restored and passed within the period.
    pub proved_in_period: u64,
    /// Restored and passed, but before the period.
    pub proved_before: u64,
    /// Landed and never proved, as far back as was read.
    pub never_proved: u64,
    /// Named by the inventory, and nothing of theirs ever landed.
    pub never_landed: u64,
    /// Not proved for longer than the inventory wants.
    pub overdue: u64,
    /// Landed, and missing in the inventory; null without one.
    pub not_listed: Option<u64>,
    /// Share of the resources that were proved in the period, percent.
    pub share: Option<f64>,
}

/// How a resource stands at the end of the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The inventory names it, and nothing of it ever landed.
    NeverLanded,
    /// Something landed, and nothing of it was ever restored and passed.
    NeverProved,
    /// Its newest telling verdict of the period speaks against the backup.
    Failing,
    /// It was proved, but not within the period, or longer ago than the inventory wants.
    Stale,
    /// It was restored and passed within the period.
    Proved,
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resource {
    /// Its account.
    pub source_account: Option<String>,
    /// AWS Backup's name of its type.
    pub resource_type: Option<String>,
    /// Its ARN.
    pub source_resource_arn: String,
    /// Who answers for it, by the inventory.
    pub owner: Option<String>,
    /// How many days may lie between two proofs, by the inventory.
    pub target_days: Option<u32>,
    /// How it stands.
    pub standing: Standing,
    /// The newest recovery point that was restored and passed.
    pub proof: Option<Proof>,
    /// When a recovery point of it was last proved.
    pub last_proved: Option<Moment>,
    /// Days since, at the end of the period.
    pub days: Option<i32>,
    /// Whether that is longer than the inventory wants.
    pub overdue: bool,
    /// The newest validation.
    pub latest: Option<Excerpt>,
    /// Validations in the period.
    pub validations: u64,
    /// Recovery times in the period.
    pub recovery_time: Option<RecoveryTimes>,
    /// Ages of the newest data in the period.
    pub data_age: Option<DataAges>,
}

/// A recovery point that was restored and passed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// The recovery point.
    pub recovery_point_arn: String,
    /// The vault it lies in.
    pub backup_vault_name: String,
    /// When the data was backed up.
    pub recovery_point_created: Option<Moment>,
    /// When it was proved.
    pub verdict_time: Option<Moment>,
    /// How long the recovery took, minutes.
    pub recovery_time: Option<f64>,
    /// The class that it was restored on.
    pub restored_class: Option<String>,
    /// The class of the source.
    pub source_class: Option<String>,
    /// Whether these are known and differ: then the source itself would take another time.
    pub on_another_class: bool,
    /// The validation.
    pub validation_id: String,
    /// Key of its record in the results bucket.
    pub record_key: String,
    /// The command that makes the runbook of it.
    pub runbook: String,
}

/// What a report tells of a record, so that nobody has to fetch it, and where it lies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Excerpt {
    /// The validation.
    pub validation_id: String,
    /// Key of the record in the results bucket.
    pub record_key: String,
    /// When it was opened.
    pub opened_time: Moment,
    /// Its verdict.
    pub verdict: Verdict,
    /// Why.
    pub verdict_reason: String,
    /// What kind of fault kept the restore from being made.
    pub fault_class: Option<String>,
    /// How the backup was proved: restored, or read; null when it was neither.
    pub proof: Option<String>,
    /// The recovery point; of a failed copy that of the source.
    pub recovery_point_arn: String,
    /// When the data was backed up.
    pub recovery_point_created: Option<Moment>,
    /// The vault.
    pub backup_vault_name: String,
    /// Rule of the policy that matched.
    pub policy_rule: Option<String>,
    /// How many restore jobs it took.
    pub restores: u64,
    /// The last of them.
    pub restore_job_id: Option<String>,
    /// What was restored.
    pub restored_resource_arn: Option<String>,
    /// The class that it was restored on.
    pub restored_class: Option<String>,
    /// How long the recovery took, minutes.
    pub recovery_time: Option<f64>,
    /// How long it may take by its rule, minutes.
    pub recovery_time_target: Option<f64>,
    /// met, missed or not_set.
    pub recovery_time_objective: Option<String>,
    /// How old the newest data was when the backup was made, minutes.
    pub data_age: Option<f64>,
    /// How old it may be by its rule, minutes.
    pub data_age_target: Option<f64>,
    /// met, missed or not_set.
    pub data_age_objective: Option<String>,
    /// How many checks passed.
    pub checks_passed: u64,
    /// The checks that did not pass, at most ten.
    pub checks_not_passed: Vec<CheckNotPassed>,
    /// What was noticed besides, at most ten.
    pub findings: Vec<String>,
    /// How its cleanup ended.
    pub cleanup: String,
    /// Why, where something is left.
    pub cleanup_reason: Option<String>,
    /// When it was told.
    pub verdict_time: Option<Moment>,
}

/// A check that did not pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckNotPassed {
    /// Its name in the policy.
    pub name: String,
    /// failed or errored.
    pub outcome: String,
    /// Why.
    pub detail: String,
}

/// Validations in numbers. Names and meanings are those of the saved query "The auditor's month".
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Recovery points that records name.
    pub recovery_points: u64,
    /// Resources among them.
    pub resources: u64,
    /// Restored, whatever the checks said.
    pub restored: u64,
    /// Restored and passed.
    pub proved: u64,
    /// Read where they lie, and not restored.
    pub read_without_restore: u64,
    /// With this verdict.
    pub failed: u64,
    /// With this verdict.
    pub restore_failed: u64,
    /// With this verdict.
    pub copy_failed: u64,
    /// With this verdict.
    pub inconclusive: u64,
    /// With this verdict.
    pub unchecked: u64,
    /// With this verdict.
    pub not_tested: u64,
    /// Those that the success rate is made of: passed, failed and restore_failed, without what was only read.
    pub judged: u64,
    /// Share of the proved among the judged, percent.
    pub success_rate: Option<f64>,
    /// Of the proved, minutes.
    pub average_recovery_time: Option<f64>,
    /// Missed their target of the recovery time.
    pub recovery_time_missed: u64,
    /// Missed their target of the data's age.
    pub data_age_missed: u64,
    /// Left something behind.
    pub left_behind: u64,
    /// Took more than one restore job.
    pub retried: u64,
}

/// The numbers of a type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TypeTotals {
    /// AWS Backup's name of the type; null when a record names none.
    pub resource_type: Option<String>,
    /// The numbers.
    #[serde(flatten)]
    pub totals: Totals,
}

/// The period before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Before {
    /// The period.
    pub period: Period,
    /// Whether it was read as a whole: records may be younger, or only a part was looked at.
    pub complete: bool,
    /// The numbers.
    pub totals: Totals,
}

/// How long recoveries took, minutes: only what was restored and passed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecoveryTimes {
    /// How many.
    pub restores: u64,
    /// On average.
    pub average: f64,
    /// Half of them took no longer.
    pub median: f64,
    /// 95 of a hundred took no longer.
    pub p95: f64,
    /// The worst.
    pub longest: f64,
    /// The longest that a rule allowed; null when none did.
    pub target: Option<f64>,
    /// How many missed their target.
    pub missed: u64,
    /// How many ran on another class than the source's.
    pub other_class: u64,
}

/// The recovery times of a type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TypeTimes {
    /// AWS Backup's name of the type.
    pub resource_type: Option<String>,
    /// Where the source lies: same_account, cross_account or cross_region.
    pub scenario: Option<String>,
    /// The times.
    #[serde(flatten)]
    pub times: RecoveryTimes,
}

/// How old the newest data was when backups were made, minutes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataAges {
    /// How many were measured.
    pub measured: u64,
    /// On average.
    pub average: f64,
    /// The worst.
    pub oldest: f64,
    /// The longest that a rule allowed; null when none did.
    pub target: Option<f64>,
    /// How many missed their target.
    pub missed: u64,
    /// That of the newest validation.
    pub latest: f64,
}

/// A resource that fails.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failing {
    /// Its account.
    pub source_account: Option<String>,
    /// Its type.
    pub resource_type: Option<String>,
    /// Its ARN.
    pub source_resource_arn: String,
    /// When the first of the bad verdicts in a row was opened, within the period.
    pub since: Moment,
    /// How many bad verdicts in a row.
    pub in_a_row: u64,
    /// The newest of them.
    #[serde(flatten)]
    pub newest: Excerpt,
}

/// A resource that comes and goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flapping {
    /// Its account.
    pub source_account: Option<String>,
    /// Its type.
    pub resource_type: Option<String>,
    /// Its ARN.
    pub source_resource_arn: String,
    /// How often its verdicts changed between good and bad.
    pub changes: u64,
    /// Verdicts that spoke for the backup.
    pub good: u64,
    /// Verdicts that spoke against it.
    pub bad: u64,
}

/// A verdict that speaks against a backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BadNews {
    /// The account.
    pub source_account: Option<String>,
    /// The type.
    pub resource_type: Option<String>,
    /// The resource; a copy that failed may name none.
    pub source_resource_arn: Option<String>,
    /// The checks that failed.
    pub failed_checks: Vec<String>,
    /// The copy job, when its event arrived.
    pub copy_job_id: Option<String>,
    /// Its record.
    #[serde(flatten)]
    pub record: Excerpt,
}

/// Verdicts of one kind that are neither for nor against the backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Untold {
    /// The verdict.
    pub verdict: Verdict,
    /// What kind of fault.
    pub fault_class: Option<String>,
    /// The type.
    pub resource_type: Option<String>,
    /// How many.
    pub validations: u64,
    /// Of how many resources.
    pub resources: u64,
    /// Why the newest.
    pub newest_reason: String,
    /// When the newest was opened.
    pub newest: Moment,
    /// The newest validation.
    pub newest_validation_id: String,
    /// Key of its record in the results bucket.
    pub newest_record_key: String,
}

/// Something restored that is still there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Left {
    /// The source's account.
    pub source_account: Option<String>,
    /// The type.
    pub resource_type: Option<String>,
    /// The source.
    pub source_resource_arn: Option<String>,
    /// Name or id of what was restored.
    pub restored_instance_id: Option<String>,
    /// Until when it is kept.
    pub kept_until: Option<Moment>,
    /// Its record: `cleanup` is left_behind, kept_until or pending.
    #[serde(flatten)]
    pub record: Excerpt,
}

/// What was used of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// What.
    pub what: String,
    /// The type.
    pub resource_type: Option<String>,
    /// The class that it ran on.
    pub restored_class: Option<String>,
    /// The amount's unit.
    pub unit: String,
    /// How often.
    pub times: u64,
    /// How much of it.
    pub amount: f64,
    /// What it may have cost; null when its price is not known.
    pub estimate: Option<f64>,
}

/// What the period may have cost. An estimate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// The sum of what has a price.
    pub estimate: f64,
    /// Its currency.
    pub currency: &'static str,
    /// When the prices were looked at.
    pub prices_of: Date,
    /// What prices they are, and what is not in them.
    pub basis: &'static str,
    /// How many of the kinds of usage have no price, and are not in the sum.
    pub without_price: u64,
}

/// A day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Day {
    /// The day.
    pub day: Date,
    /// How many validations that were opened on it ended with each verdict; verdicts that none has are left out.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// Half of the recoveries took no longer, minutes.
    pub median: Option<f64>,
    /// The worst recovery, minutes.
    pub longest: Option<f64>,
}

/// A list of at most [`LONGEST_LIST`] entries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Capped<T> {
    /// How many there were.
    pub count: u64,
    /// The first of them.
    pub listed: Vec<T>,
}

//! A record read back: the columns that a report needs, by the names that [`crate::record::Record`] writes.

use std::fmt;

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize, Serializer};

use crate::record::record_key;
use crate::verdict::Verdict;

/// A point in time of a record, in UTC, to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct Moment(DateTime);

impl Moment {
    /// Its day.
    pub fn day(self) -> Date {
        self.0.date()
    }
}

impl From<DateTime> for Moment {
    fn from(at: DateTime) -> Moment {
        Moment(at)
    }
}

/// As the record has it.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%d %H:%M:%S.%3f"))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A record's columns as far as a report needs them. Other columns are ignored, so that records of later versions are
/// read; columns of later versions may be missing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub struct Line {
    pub(super) validation_id: String,
    pub(super) verdict: Verdict,
    #[serde(default)]
    pub(super) verdict_reason: String,
    pub(super) fault_class: Option<String>,
    pub(super) proof: Option<String>,
    pub(super) scenario: Option<String>,
    pub(super) recovery_point_arn: String,
    pub(super) recovery_point_created: Option<Moment>,
    #[serde(default)]
    pub(super) backup_vault_name: String,
    pub(super) resource_type: Option<String>,
    pub(super) source_resource_arn: Option<String>,
    pub(super) source_account: Option<String>,
    pub(super) source_class: Option<String>,
    pub(super) copy_job_id: Option<String>,
    pub(super) opened_time: Moment,
    pub(super) restore_job_id: Option<String>,
    pub(super) restored_instance_id: Option<String>,
    pub(super) restored_resource_arn: Option<String>,
    pub(super) restored_class: Option<String>,
    pub(super) recovery_time: Option<f64>,
    pub(super) recovery_time_target: Option<f64>,
    pub(super) recovery_time_objective: Option<String>,
    pub(super) data_age: Option<f64>,
    pub(super) data_age_target: Option<f64>,
    pub(super) data_age_objective: Option<String>,
    #[serde(default)]
    pub(super) cleanup: String,
    pub(super) cleanup_reason: Option<String>,
    pub(super) kept_until: Option<Moment>,
    #[serde(default)]
    pub(super) attempts: Vec<LineAttempt>,
    #[serde(default)]
    pub(super) usage: Vec<LineUsage>,
    #[serde(default)]
    pub(super) checks: Vec<LineCheck>,
    #[serde(default)]
    pub(super) findings: Vec<String>,
    pub(super) policy_rule: Option<String>,
    pub(super) verdict_time: Option<Moment>,
}

/// A restore job; only that there was one is counted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct LineAttempt {}

/// Something billed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct LineUsage {
    pub(super) what: String,
    pub(super) amount: f64,
    pub(super) unit: String,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct LineCheck {
    pub(super) name: String,
    pub(super) outcome: String,
    #[serde(default)]
    pub(super) detail: String,
}

impl Line {
    /// Whether the recovery point was restored and all its checks passed. What was only read where it lies is no proof.
    pub(super) fn is_proof(&self) -> bool {
        self.verdict == Verdict::Passed && self.is_restored()
    }

    pub(super) fn is_restored(&self) -> bool {
        self.proof.as_deref() == Some("restored")
    }

    /// Whether it says of the backup that a restore works or not: what the success rate is made of.
    pub(super) fn is_judged(&self) -> bool {
        let judged = match self.verdict {
            Verdict::Passed | Verdict::Failed | Verdict::RestoreFailed => true,
            Verdict::CopyFailed
            | Verdict::Inconclusive
            | Verdict::Unchecked
            | Verdict::NotTested => false,
        };
        judged && (self.proof.is_none() || self.is_restored())
    }

    /// Whether the copy was restored on another class than its source has; none when either is not known.
    pub(super) fn is_on_another_class(&self) -> bool {
        matches!((&self.restored_class, &self.source_class), (Some(restored), Some(source)) if restored != source)
    }

    /// Key of the record in the results bucket.
    pub(super) fn record_key(&self) -> String {
        record_key(self.opened_time.day(), &self.validation_id)
    }

    /// Whether what was restored is still there, or nobody knows.
    pub(super) fn is_left(&self) -> bool {
        self.restore_job_id.is_some()
            && matches!(
                self.cleanup.as_str(),
                "left_behind" | "kept_until" | "pending"
            )
    }
}

//! What a validation says of the backup.

use serde::{Deserialize, Serialize};

use crate::ceiling::Marked;
use crate::expectation::CheckOutcome;
use crate::validation::CheckResult;

/// What a validation says of the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Restored, and every check holds.
    Passed,
    /// Restored, and at least one check found wrong data.
    Failed,
    /// No check failed, but something kept us from telling.
    Inconclusive,
    /// Restored; the rule has no checks.
    Unchecked,
    /// AWS Backup could not restore it, for a reason that lies in the backup.
    RestoreFailed,
    /// The copy itself failed or is partial.
    CopyFailed,
    /// The policy chose not to test it, or nothing here can.
    NotTested,
}

impl Verdict {
    /// The word used in the record, in logs and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Unchecked => "unchecked",
            Verdict::RestoreFailed => "restore_failed",
            Verdict::CopyFailed => "copy_failed",
            Verdict::NotTested => "not_tested",
        }
    }
}

/// The verdict of a rule's checks and why: any failed check speaks against the data, else any errored one
/// against the validation, else all hold. No checks at all are never a success.
pub fn of_checks(checks: &[CheckResult]) -> (Verdict, Marked) {
    let total = checks.len();
    let with = |outcome| checks.iter().filter(move |check| check.outcome == outcome);
    let counted = |count: usize, what: &str, outcome| {
        with(outcome).next().map_or_else(Marked::default, |check| {
            let name = &check.name;
            check
                .detail
                .within(|why| format!("{count} of {total} checks {what}; {name}: {why}"))
        })
    };
    let (failed, errored) = (
        with(CheckOutcome::Failed).count(),
        with(CheckOutcome::Errored).count(),
    );
    if checks.is_empty() {
        (Verdict::Unchecked, "the rule has no checks".into())
    } else if failed > 0 {
        let why = counted(failed, "failed", CheckOutcome::Failed);
        (Verdict::Failed, why)
    } else if errored > 0 {
        let why = counted(errored, "could not tell", CheckOutcome::Errored);
        (Verdict::Inconclusive, why)
    } else if total == 1 {
        (Verdict::Passed, "the check passed".into())
    } else {
        (Verdict::Passed, format!("all {total} checks passed").into())
    }
}

/// What kind of fault kept a restore from being made, that is, who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// The account as a whole: suspended, not opted in to the service or Region.
    Account,
    /// A role, a policy or a key does not allow it.
    Permission,
    /// A quota of the account, or too many calls.
    Quota,
    /// AWS has no such capacity there now.
    Capacity,
    /// What we asked for, or the policy's overrides of it.
    Request,
    /// Subnets, security groups or endpoints.
    Network,
    /// A licence that the source has and the copy lacks.
    Licence,
    /// The backup itself: gone, not whole, or not to be read back.
    Backup,
    /// The key that the copy is encrypted with cannot be used any more, by nobody.
    Key,
    /// AWS's words are not among those that are known.
    Unknown,
}

impl FaultClass {
    /// The word used in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultClass::Account => "account",
            FaultClass::Permission => "permission",
            FaultClass::Quota => "quota",
            FaultClass::Capacity => "capacity",
            FaultClass::Request => "request",
            FaultClass::Network => "network",
            FaultClass::Licence => "licence",
            FaultClass::Backup => "backup",
            FaultClass::Key => "key",
            FaultClass::Unknown => "unknown",
        }
    }
}

/// Whether what was aimed at was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The target is kept.
    Met,
    /// The target is not kept.
    Missed,
    /// The rule has no target.
    NotSet,
}

impl Objective {
    /// Measures against a target, both in minutes; none when there is a target and nothing was measured.
    pub fn of(measured: Option<f64>, target: Option<f64>) -> Option<Objective> {
        match (measured, target) {
            (_, None) => Some(Objective::NotSet),
            (Some(measured), Some(target)) if measured <= target => Some(Objective::Met),
            (Some(_), Some(_)) => Some(Objective::Missed),
            (None, Some(_)) => None,
        }
    }

    /// The word used in the record and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Objective::Met => "met",
            Objective::Missed => "missed",
            Objective::NotSet => "not_set",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceiling::Ceiling;

    fn checks(outcomes: &[CheckOutcome]) -> Vec<CheckResult> {
        outcomes
            .iter()
            .map(|outcome| CheckResult {
                name: format!("{outcome} check"),
                kind: "sql".to_owned(),
                outcome: *outcome,
                value: None,
                value_number: None,
                datum: None,
                is_expected: false,
                expectation: String::new(),
                detail: "why".into(),
                duration_minutes: 0.0,
                age_at_backup_minutes: None,
                age_against_now_minutes: None,
                measured: Vec::new(),
                group: None,
            })
            .collect()
    }

    #[test]
    fn failed_beats_errored_beats_passed() {
        use CheckOutcome::{Errored, Failed, Passed};
        for (outcomes, verdict, reason) in [
            (&[][..], Verdict::Unchecked, "no checks"),
            (&[Passed], Verdict::Passed, "the check passed"),
            (&[Passed, Passed], Verdict::Passed, "all 2"),
            (
                &[Passed, Errored],
                Verdict::Inconclusive,
                "1 of 2 checks could not tell; errored check: why",
            ),
            (
                &[Errored, Failed, Passed],
                Verdict::Failed,
                "1 of 3 checks failed; failed check: why",
            ),
        ] {
            let (is, why) = of_checks(&checks(outcomes));
            assert_eq!(is, verdict, "{outcomes:?}");
            let why = why.at(Ceiling::None);
            assert!(why.contains(reason), "{why}");
        }
    }

    #[test]
    fn objectives() {
        assert_eq!(Objective::of(Some(5.0), Some(5.0)), Some(Objective::Met));
        assert_eq!(Objective::of(Some(5.1), Some(5.0)), Some(Objective::Missed));
        assert_eq!(Objective::of(Some(5.1), None), Some(Objective::NotSet));
        assert_eq!(Objective::of(None, Some(5.0)), None);
    }

    #[test]
    fn words_are_those_the_ledger_keeps() {
        use Verdict::*;
        for verdict in [
            Passed,
            Failed,
            Inconclusive,
            Unchecked,
            RestoreFailed,
            CopyFailed,
            NotTested,
        ] {
            let kept = serde_json::json!(verdict);
            assert_eq!(kept, verdict.as_str());
        }
        for objective in [Objective::Met, Objective::Missed, Objective::NotSet] {
            let kept = serde_json::json!(objective);
            assert_eq!(kept, objective.as_str());
        }
        use FaultClass::*;
        for class in [
            Account, Permission, Quota, Capacity, Request, Network, Licence, Backup, Key, Unknown,
        ] {
            assert_eq!(serde_json::json!(class), class.as_str());
        }
    }
}

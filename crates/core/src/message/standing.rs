//! What people were told last of a resource, and whether they hear of its next verdict: `notify = "changes"`.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::missed_objective;
use crate::policy::Notify;
use crate::validation::Validation;
use crate::verdict::{FaultClass, Verdict};

/// While verdicts stay bad, the first one after so long is a reminder. A day under a week: what is tested on a weekday
/// comes a little earlier or later each time, and would otherwise be a reminder every second week.
pub const REMIND_AFTER: SignedDuration = SignedDuration::from_hours(6 * 24);

/// How a resource stands by the verdict that counts, and when people were last told. The ledger keeps one for each resource
/// whose rule tells of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The verdict that counts: that on the newest recovery point.
    pub verdict: Verdict,
    /// Whether an objective was missed.
    pub missed_objective: bool,
    /// When that recovery point was made; none if it is not known.
    pub created_at: Option<Timestamp>,
    /// When its validation was opened.
    pub opened_at: Timestamp,
    /// When people last heard of a verdict on the resource.
    pub told_at: Timestamp,
}

/// What follows from a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// Whether people hear of it.
    pub tells: bool,
    /// How the resource stands from now on; none if that has not changed.
    pub standing: Option<Standing>,
}

impl Standing {
    /// Whether a verdict must be weighed before it is written: its rule tells of changes, and it says something of a
    /// resource that is known.
    pub fn counts(validation: &Validation) -> bool {
        let rule = validation.rule.as_ref();
        rule.is_some_and(|rule| rule.notify == Notify::Changes)
            && validation.recovery_point.resource_arn.is_some()
            && !matches!(validation.verdict, None | Some(Verdict::NotTested))
    }

    /// Weighs a verdict against what people were told last; none of a validation without a verdict.
    ///
    /// They hear of the first verdict on a resource, of each that differs from the last, of one that is as bad as the last
    /// when they have heard nothing for [`REMIND_AFTER`], and of every key that is gone. A verdict on an older recovery point
    /// than the one that counts changes nothing: it came late, and the newer one says how the resource stands.
    pub fn weigh(
        last: Option<&Standing>,
        validation: &Validation,
        now: Timestamp,
    ) -> Option<Weighed> {
        let mut standing = Standing {
            verdict: validation.verdict?,
            missed_objective: missed_objective(validation),
            created_at: validation.recovery_point.created_at,
            opened_at: validation.opened_at,
            told_at: now,
        };
        let key_is_gone = validation.fault_class == Some(FaultClass::Key);
        let Some(last) = last else {
            return Some(Weighed {
                tells: true,
                standing: Some(standing),
            });
        };
        if standing.is_older_than(last) {
            return Some(Weighed {
                tells: key_is_gone,
                standing: None,
            });
        }
        let is_reminder = !standing.is_good() && now.duration_since(last.told_at) >= REMIND_AFTER;
        let tells = standing.differs_from(last) || is_reminder || key_is_gone;
        if !tells {
            standing.told_at = last.told_at;
        }
        Some(Weighed {
            tells,
            standing: Some(standing),
        })
    }

    fn is_good(&self) -> bool {
        self.verdict == Verdict::Passed && !self.missed_objective
    }

    fn differs_from(&self, last: &Standing) -> bool {
        (self.verdict, self.missed_objective) != (last.verdict, last.missed_objective)
    }

    /// Whether its recovery point is the older one; where that is not known, whether it was heard of earlier.
    fn is_older_than(&self, last: &Standing) -> bool {
        match (self.created_at, last.created_at) {
            (Some(this), Some(last)) => this < last,
            (None, _) | (_, None) => self.opened_at < last.opened_at,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message::is_wanted;
    use crate::validation::RestoreJob;

    const POLICY: &str = "version = \"t\"\n[[rules]]\nname = \"all\"\nmatch = {}\nmethods = [{ method = \"restore\", frequency = \"every-copy\" }]\nnotify = \"changes\"\n";

    fn day(day: f64) -> Timestamp {
        let start: Timestamp = "2026-11-01T06:00:00Z".parse().unwrap();
        start + SignedDuration::from_secs_f64(day * 86_400.0)
    }

    /// A validation of the recovery point that was made on this day, with this verdict on it.
    fn verdict(made: f64, verdict: Verdict) -> Validation {
        let vault = "arn:aws:backup:eu-central-1:111122223333:backup-vault:central";
        let arn = format!("arn:aws:rds:eu-central-1:111122223333:snapshot:s{made}");
        let mut validation = Validation::open("stack", &arn, vault, None, day(made));
        validation.recovery_point.resource_arn =
            Some("arn:aws:rds:eu-central-1:222233334444:db:orders".to_owned());
        validation.recovery_point.created_at = Some(day(made));
        validation.rule = Some(crate::policy::parse(POLICY).unwrap().rules.remove(0));
        validation.decide(verdict, "why", day(made));
        validation
    }

    /// The verdicts one after the other, each known at once: of which do people hear?
    fn told(verdicts: &[(f64, Verdict)]) -> Vec<f64> {
        let mut last = None;
        let mut told = Vec::new();
        for (made, word) in verdicts {
            let mut validation = verdict(*made, *word);
            let weighed = Standing::weigh(last.as_ref(), &validation, day(*made)).unwrap();
            validation.tells_change = Some(weighed.tells);
            assert_eq!(is_wanted(&validation), weighed.tells);
            if weighed.tells {
                told.push(*made);
            }
            last = weighed.standing.or(last);
        }
        told
    }

    #[test]
    fn people_hear_of_changes_and_are_reminded_of_what_stays_bad() {
        use Verdict::{Failed, Inconclusive, Passed, RestoreFailed};
        let days = |words: &[Verdict]| -> Vec<(f64, Verdict)> {
            let days = words.iter().enumerate();
            days.map(|(day, word)| (day as f64, *word)).collect()
        };
        assert_eq!(told(&days(&[Passed; 20])), [0.0], "good news is no news");
        assert_eq!(
            told(&days(&[
                Passed,
                Passed,
                Failed,
                Failed,
                Inconclusive,
                Passed,
                Passed
            ])),
            [0.0, 2.0, 4.0, 5.0]
        );
        assert_eq!(
            told(&days(&[Passed, Failed, RestoreFailed])),
            [0.0, 1.0, 2.0]
        );
        // Reminders of what stays bad, and of what nobody can tell.
        assert_eq!(told(&days(&[Failed; 15])), [0.0, 6.0, 12.0]);
        assert_eq!(told(&days(&[Inconclusive; 8])), [0.0, 6.0]);
        // What is tested once a week is a reminder each time, a little earlier or later.
        let weekly = [(0.0, Failed), (6.9, Failed), (14.1, Failed), (20.5, Failed)];
        assert_eq!(told(&weekly), [0.0, 6.9, 14.1, 20.5]);
    }

    #[test]
    fn a_verdict_that_comes_late_changes_nothing() {
        use Verdict::{Failed, Passed};
        let last = Standing::weigh(None, &verdict(5.0, Passed), day(5.2)).unwrap();
        let last = last.standing.unwrap();
        let late = Standing::weigh(Some(&last), &verdict(4.0, Failed), day(5.4)).unwrap();
        assert_eq!((late.tells, late.standing), (false, None));
        // The same recovery point once more, and one that was made at nobody knows what time, count.
        let again = Standing::weigh(Some(&last), &verdict(5.0, Failed), day(5.4)).unwrap();
        assert!(again.tells && again.standing.is_some());
        let mut unknown = verdict(6.0, Failed);
        unknown.recovery_point.created_at = None;
        assert!(
            Standing::weigh(Some(&last), &unknown, day(6.1))
                .unwrap()
                .tells
        );
        unknown.opened_at = day(4.9);
        assert!(
            !Standing::weigh(Some(&last), &unknown, day(6.1))
                .unwrap()
                .tells
        );
    }

    #[test]
    fn a_key_that_is_gone_is_told_each_time() {
        let gone = |made| {
            let mut validation = verdict(made, Verdict::RestoreFailed);
            validation.fault_class = Some(FaultClass::Key);
            validation
        };
        let last = Standing::weigh(None, &gone(1.0), day(1.0))
            .unwrap()
            .standing
            .unwrap();
        for made in [0.5, 1.0, 2.0] {
            assert!(
                Standing::weigh(Some(&last), &gone(made), day(2.0))
                    .unwrap()
                    .tells,
                "{made}"
            );
        }
    }

    /// A missed objective is a change like any other, and people are reminded of it.
    #[test]
    fn an_objective_that_is_missed_changes_how_a_resource_stands() {
        let slow = |made| {
            let mut validation = verdict(made, Verdict::Passed);
            let objectives = &mut validation.rule.as_mut().unwrap().objectives;
            objectives.recovery_time = Some(std::time::Duration::from_secs(60));
            validation.restore = Some(RestoreJob {
                id: "job-1".to_owned(),
                recovery_point_arn: None,
                role_arn: None,
                created_at: Some(day(made)),
                completed_at: Some(day(made) + SignedDuration::from_mins(10)),
                status: "COMPLETED".to_owned(),
                status_message: None,
                created_resource_arn: None,
                size_bytes: None,
            });
            validation.preparation_minutes = Some(0.0);
            validation.first_passed_check_minutes = Some(0.1);
            validation
        };
        let weigh = |last: &Standing, validation: &Validation, at: f64| {
            Standing::weigh(Some(last), validation, day(at)).unwrap()
        };
        let good = Standing::weigh(None, &verdict(1.0, Verdict::Passed), day(1.0)).unwrap();
        let good = good.standing.unwrap();
        assert!(!weigh(&good, &verdict(9.0, Verdict::Passed), 9.0).tells);
        let missed = weigh(&good, &slow(2.0), 2.0);
        assert!(missed.tells);
        let missed = missed.standing.unwrap();
        assert!(!weigh(&missed, &slow(3.0), 3.0).tells);
        assert!(weigh(&missed, &slow(8.0), 8.0).tells, "a reminder");
        assert!(
            weigh(&missed, &verdict(3.0, Verdict::Passed), 3.0).tells,
            "met again"
        );
    }

    /// The ledger keeps it for longer than a version lives.
    #[test]
    fn what_an_older_version_has_written_is_read() {
        let kept = r#"{"verdict":"restore_failed","missed_objective":false,"created_at":null,
            "opened_at":"2026-11-01T06:00:00Z","told_at":"2026-11-02T06:00:00Z"}"#;
        let known = Standing {
            verdict: Verdict::RestoreFailed,
            missed_objective: false,
            created_at: None,
            opened_at: day(0.0),
            told_at: day(1.0),
        };
        assert_eq!(serde_json::from_str::<Standing>(kept).unwrap(), known);
    }

    #[test]
    fn only_verdicts_of_rules_that_tell_of_changes_count() {
        assert!(Standing::counts(&verdict(1.0, Verdict::Passed)));
        assert!(!Standing::counts(&verdict(1.0, Verdict::NotTested)));
        let mut other = verdict(1.0, Verdict::Failed);
        other.rule.as_mut().unwrap().notify = Notify::Always;
        assert!(!Standing::counts(&other));
        other.rule = None;
        assert!(!Standing::counts(&other) && is_wanted(&other));
        let mut unknown = verdict(1.0, Verdict::Failed);
        unknown.recovery_point.resource_arn = None;
        assert!(
            !Standing::counts(&unknown) && is_wanted(&unknown),
            "never less than always"
        );
    }
}

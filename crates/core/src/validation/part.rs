//! What a restored resource has beside itself, and what we do to it between its restore and its checks.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A thing that belongs to a restored resource and must be deleted with it. The ledger notes it before anything is
/// done to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// By which its service knows it: its name or its id.
    pub id: String,
    /// Who made it.
    pub origin: Origin,
    /// When AWS first answered that it does not exist; the second time counts.
    #[serde(default)]
    pub missing_since: Option<Timestamp>,
    /// When it had answered so twice: nothing is left of it.
    #[serde(default)]
    pub gone_at: Option<Timestamp>,
}

impl Part {
    /// A part as it is noted.
    pub fn new(kind: PartKind, id: impl Into<String>, origin: Origin) -> Part {
        Part {
            kind,
            id: id.into(),
            origin,
            missing_since: None,
            gone_at: None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.noun(), self.id)
    }
}

/// The kinds of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// An EBS volume of a machine, by its id.
    Volume,
    /// A DB instance of a cluster, by its name.
    DbInstance,
}

impl PartKind {
    /// What people read.
    pub fn noun(self) -> &'static str {
        match self {
            PartKind::Volume => "volume",
            PartKind::DbInstance => "DB instance",
        }
    }
}

/// Who made a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The restore job, with the resource.
    RestoreJob,
    /// We, by a step whose wish stands in the ledger.
    Step(Step),
}

/// What is done to a restored resource before it can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A cluster is told how far its serverless instances may grow.
    Capacity,
    /// A cluster, which is restored without an instance, gets one that writes.
    Writer,
    /// The master user gets a password of the copy's own.
    Password,
}

impl Step {
    /// What is to be done, in words: "RDS has not … within an hour".
    pub fn words(self) -> &'static str {
        match self {
            Step::Capacity => "set the capacity of the cluster",
            Step::Writer => "made the cluster's writer available",
            Step::Password => "set the master password",
        }
    }

    /// Whether people who recover by hand have to do it too, so that it counts as recovery time. A password is set for us.
    pub fn is_of_recovery(self) -> bool {
        match self {
            Step::Capacity | Step::Writer => true,
            Step::Password => false,
        }
    }

    /// How long it may take, from the first wish. A writer takes some ten minutes; of a large cluster from another Region
    /// much longer is known.
    pub fn at_most(self) -> SignedDuration {
        match self {
            Step::Capacity | Step::Password => SignedDuration::from_hours(1),
            Step::Writer => SignedDuration::from_hours(2),
        }
    }

    /// The part that it makes beside a resource of this planned name; none if it makes none.
    pub fn makes(self, target_name: &str) -> Option<Part> {
        match self {
            Step::Capacity | Step::Password => None,
            Step::Writer => Some(Part::new(
                PartKind::DbInstance,
                format!("{target_name}-w"),
                Origin::Step(self),
            )),
        }
    }
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepState {
    /// When it was first wished: the intent, before each request.
    pub wished_at: Timestamp,
    /// When AWS took the request. It works some time later.
    #[serde(default)]
    pub done_at: Option<Timestamp>,
    /// Whether AWS has shown since then that it changes something.
    #[serde(default)]
    pub seen: bool,
}

/// Whether AWS's "not found" means gone: the second time only, `apart` after the first, which is noted in `since`.
///
/// # Errors
/// When to ask again.
pub fn not_found(
    since: &mut Option<Timestamp>,
    now: Timestamp,
    apart: SignedDuration,
) -> Result<(), Timestamp> {
    let first = *since.get_or_insert(now);
    if first < now && now.duration_since(first) >= apart {
        Ok(())
    } else {
        Err(first + apart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number")
    }

    #[test]
    fn not_found_means_gone_the_second_time_and_minutes_later() {
        let apart = SignedDuration::from_secs(120);
        let mut since = None;
        assert_eq!(not_found(&mut since, at(100), apart), Err(at(220)));
        assert_eq!(since, Some(at(100)));
        assert_eq!(not_found(&mut since, at(219), apart), Err(at(220)));
        assert_eq!(not_found(&mut since, at(220), apart), Ok(()));
        // One answer is not two, however short the time between them is to be.
        let mut since = None;
        assert!(not_found(&mut since, at(100), SignedDuration::ZERO).is_err());
        assert!(not_found(&mut since, at(100), SignedDuration::ZERO).is_err());
        assert!(not_found(&mut since, at(101), SignedDuration::ZERO).is_ok());
    }

    #[test]
    fn a_writer_is_part_of_the_recovery_and_a_password_is_not() {
        assert!(Step::Writer.is_of_recovery() && Step::Capacity.is_of_recovery());
        assert!(!Step::Password.is_of_recovery());
        assert_eq!(Step::Capacity.makes("rp"), None);
        assert_eq!(Step::Password.makes("rp"), None);
    }
}

//! What the status of a DB instance or cluster says of it.
//!
//! Source: RDS user guide, "Viewing Amazon RDS DB instance status"; Aurora user guide, "Viewing DB cluster status". What
//! these pages do not say: since 2025 RDS backs a restored instance up at once, for hours, and it answers all the while
//! (terraform-provider-aws #44104).

/// What a status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::resource) enum State {
    /// It answers, and takes every request.
    Available,
    /// It answers, and RDS is busy with something beside it: some requests must wait.
    Busy,
    /// It is being made or changed, and leaves this state by itself.
    Passing,
    /// It is being deleted.
    Deleting,
    /// It will not be available.
    Broken,
    /// Not one of those that are known.
    Unknown,
}

impl State {
    /// What a status says.
    pub(in crate::resource) fn of(status: &str) -> State {
        if status.starts_with("incompatible-") {
            return State::Broken;
        }
        let known = STATES.iter().find(|(known, _)| *known == status);
        known.map_or(State::Unknown, |(_, state)| *state)
    }

    /// Whether it leaves this state by itself.
    pub(in crate::resource) fn passes(self) -> bool {
        match self {
            State::Busy | State::Passing => true,
            State::Available | State::Deleting | State::Broken | State::Unknown => false,
        }
    }

    /// Whether a server answers.
    pub(in crate::resource) fn answers(self) -> bool {
        match self {
            State::Available | State::Busy => true,
            State::Passing | State::Deleting | State::Broken | State::Unknown => false,
        }
    }
}

/// Every status that is known, by its name, but for those that begin with `incompatible-`.
const STATES: &[(&str, State)] = &[
    ("available", State::Available),
    ("backing-up", State::Busy),
    ("configuring-enhanced-monitoring", State::Busy),
    ("configuring-iam-database-auth", State::Busy),
    ("configuring-log-exports", State::Busy),
    ("converting-to-vpc", State::Passing),
    ("creating", State::Passing),
    ("delete-precheck", State::Deleting),
    ("deleting", State::Deleting),
    ("failed", State::Broken),
    ("inaccessible-encryption-credentials", State::Broken),
    ("insufficient-capacity", State::Broken),
    ("maintenance", State::Passing),
    ("modifying", State::Passing),
    ("moving-to-vpc", State::Passing),
    ("rebooting", State::Passing),
    ("renaming", State::Passing),
    ("resetting-master-credentials", State::Passing),
    ("restore-error", State::Broken),
    ("starting", State::Passing),
    ("stopping", State::Passing),
    ("storage-config-upgrade", State::Busy),
    ("storage-full", State::Broken),
    // "It remains available for operations": it loads what it was restored from.
    ("storage-initialization", State::Busy),
    // "The DB instance is fully operational."
    ("storage-optimization", State::Busy),
    ("upgrading", State::Passing),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The status that RDS showed of a restored instance while it was backed up for three hours.
    #[test]
    fn a_database_that_is_backed_up_answers() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/cases/07-describe-db-instances-backing-up.json"
        );
        let text = std::fs::read_to_string(path).expect("a case");
        let case: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let status = case["DBInstances"][0]["DBInstanceStatus"].as_str();
        let state = State::of(status.expect("a status"));
        assert_eq!(state, State::Busy);
        assert!(state.answers() && state.passes());
    }

    #[test]
    fn what_is_made_changed_or_broken_does_not_answer() {
        for (status, state, passes) in [
            ("creating", State::Passing, true),
            ("rebooting", State::Passing, true),
            ("deleting", State::Deleting, false),
            ("incompatible-parameters", State::Broken, false),
            ("storage-full", State::Broken, false),
            ("stopped", State::Unknown, false),
        ] {
            assert_eq!(State::of(status), state, "{status}");
            assert_eq!(state.passes(), passes, "{status}");
            assert!(!state.answers(), "{status}");
        }
        assert!(State::Available.answers() && !State::Available.passes());
    }

    #[test]
    fn each_status_is_named_once() {
        assert!(STATES.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}

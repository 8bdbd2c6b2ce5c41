//! Errors that a validation meets run after run: noted, so that it is not tried for ever.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Validation;

/// When nobody tried for longer than this, that time does not count: the function was off, or it waited for a slot.
const NOBODY_TRIED: SignedDuration = SignedDuration::from_hours(2);
/// The most that is kept of an error's words, characters.
const LONGEST_WORDS: usize = 600;

/// Runs that did not get on, without one in between that did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// When the first of them ended; later by the time in which nobody tried.
    pub since: Timestamp,
    /// When the last of them ended.
    pub seen_at: Timestamp,
    /// What stood in the way of the last one, in words.
    pub words: String,
}

impl Trouble {
    /// Over how long a time runs were seen not to get on.
    pub fn lasted(&self) -> SignedDuration {
        self.seen_at.duration_since(self.since)
    }
}

impl Validation {
    /// Notes that a run did not get on, and why.
    pub fn meet_trouble(&mut self, words: &str, now: Timestamp) {
        let since = self.trouble.as_ref().map_or(now, |known| {
            let untried = now.duration_since(known.seen_at);
            if untried > NOBODY_TRIED {
                known.since + untried
            } else {
                known.since
            }
        });
        self.trouble = Some(Trouble {
            since,
            seen_at: now,
            words: words.chars().take(LONGEST_WORDS).collect(),
        });
    }

    /// How long it has met trouble; zero when the last run got on.
    pub fn troubled_for(&self) -> SignedDuration {
        self.trouble
            .as_ref()
            .map_or(SignedDuration::ZERO, Trouble::lasted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_nobody_tried_does_not_count() {
        let start = Timestamp::UNIX_EPOCH;
        let hours = SignedDuration::from_hours;
        let mut validation = Validation::open("stack", "arn", "vault", None, start);
        assert_eq!(validation.troubled_for(), SignedDuration::ZERO);
        for hour in [0, 1, 2] {
            validation.meet_trouble("denied", start + hours(hour));
        }
        assert_eq!(validation.troubled_for(), hours(2));
        // Two days in a line, and then the same again.
        for hour in [50, 51] {
            validation.meet_trouble("denied again", start + hours(hour));
        }
        assert_eq!(validation.troubled_for(), hours(3));
        let words = validation.trouble.map(|trouble| trouble.words);
        assert_eq!(words.as_deref(), Some("denied again"));
    }

    #[test]
    fn two_hours_between_two_runs_count_and_a_second_more_does_not() {
        for (seconds, lasted) in [(7200, 7200), (7201, 0)] {
            let start = Timestamp::UNIX_EPOCH;
            let mut validation = Validation::open("stack", "arn", "vault", None, start);
            for second in [0, seconds] {
                let now = start + SignedDuration::from_secs(second);
                validation.meet_trouble("denied", now);
            }
            assert_eq!(validation.troubled_for().as_secs(), lasted);
        }
    }

    #[test]
    fn words_about_trouble_are_cut() {
        let mut validation = Validation::open("stack", "arn", "vault", None, Timestamp::UNIX_EPOCH);
        validation.meet_trouble(&"ü".repeat(601), Timestamp::UNIX_EPOCH);
        let words = validation.trouble.map(|trouble| trouble.words);
        assert_eq!(words, Some("ü".repeat(600)));
    }
}

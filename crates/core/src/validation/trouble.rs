//! Errors that a validation meets run after run: noted, so that it is not tried for ever.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Validation;

/// The most that is kept of an error's words, characters.
const LONGEST_WORDS: usize = 600;

/// Runs that did not get on, without one in between that did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// When the first of them ended.
    pub since: Timestamp,
    /// When the last of them ended.
    pub seen_at: Timestamp,
    /// What stood in the way of the last one, in words.
    pub words: String,
}

impl Trouble {
    /// Over how long a time runs were seen not to get on. Time in which nobody tried does not count at its end.
    pub fn lasted(&self) -> SignedDuration {
        self.seen_at.duration_since(self.since)
    }
}

impl Validation {
    /// Notes that a run did not get on, and why.
    pub fn meet_trouble(&mut self, words: &str, now: Timestamp) {
        let since = self.trouble.as_ref().map_or(now, |known| known.since);
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

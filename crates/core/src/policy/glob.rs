//! Patterns with `*` and `?`, as people know them from AWS policies.

use serde::{Deserialize, Serialize};

/// A pattern for a whole text: `*` stands for any characters, also none and also `/` and `:`;
/// `?` for exactly one; everything else for itself, upper and lower case distinguished.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Glob(String);

impl Glob {
    /// The longest pattern, in characters: an ARN is never longer.
    pub const LONGEST: usize = 2048;

    /// Takes a pattern.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence: characters with a meaning in other
    /// pattern languages (they stand in no name of AWS) or an endless pattern.
    pub fn new(pattern: &str) -> Result<Glob, String> {
        if pattern.chars().count() > Self::LONGEST {
            return Err(format!("is longer than {} characters", Self::LONGEST));
        }
        match pattern
            .chars()
            .find(|c| matches!(c, '[' | ']' | '{' | '}' | '\\' | '^' | '$' | '|'))
        {
            Some(odd) => Err(format!("knows only the wildcards * and ?, not `{odd}`")),
            None => Ok(Glob(pattern.to_owned())),
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether no text can escape it.
    pub fn matches_everything(&self) -> bool {
        !self.0.is_empty() && self.0.chars().all(|c| c == '*')
    }

    /// Whether the pattern fits all of `text`.
    pub fn matches(&self, text: &str) -> bool {
        // On a mismatch only the last `*` has to give: it takes one character more. So the time is
        // bounded by the product of the lengths, whatever the pattern.
        let (mut pattern, mut rest) = (self.0.as_str(), text);
        let mut last_star: Option<(&str, &str)> = None;
        loop {
            let mut after = pattern.chars();
            let mut left = rest.chars();
            match (after.next(), left.next()) {
                (Some('*'), _) => {
                    pattern = after.as_str();
                    last_star = Some((pattern, rest));
                }
                (None, None) => return true,
                (Some(wanted), Some(is)) if wanted == '?' || wanted == is => {
                    pattern = after.as_str();
                    rest = left.as_str();
                }
                _ => {
                    let Some((behind, from)) = last_star else {
                        return false;
                    };
                    let mut from = from.chars();
                    if from.next().is_none() {
                        return false;
                    }
                    pattern = behind;
                    rest = from.as_str();
                    last_star = Some((behind, rest));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        let fits = |pattern: &str, text: &str| Glob::new(pattern).unwrap().matches(text);
        assert!(fits("*", ""));
        assert!(fits("**", "abc"));
        assert!(fits(
            "arn:aws:rds:*:*:db:orders-*",
            "arn:aws:rds:eu-central-1:111122223333:db:orders-7"
        ));
        assert!(!fits(
            "arn:aws:rds:*:*:db:orders-*",
            "arn:aws:rds:eu-central-1:111122223333:db:crm"
        ));
        assert!(fits("a?c", "aüc"));
        assert!(!fits("a?c", "ac"));
        assert!(fits("*ab*ab", "abcabab"));
        assert!(!fits("*ab*abc", "abcabab"));
        assert!(fits("", ""));
        assert!(!fits("", "a"));
        assert!(!fits("Prod", "prod"));
        assert!(!fits("a*", "ba"));
    }

    #[test]
    fn a_nasty_pattern_ends_quickly() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!Glob::new(&pattern).unwrap().matches(&"a".repeat(2000)));
    }

    #[test]
    fn other_pattern_languages_are_refused() {
        for pattern in ["db-[ab]", "{a,b}", "a\\*", "^a", "a$", "a|b"] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
        assert!(Glob::new(&"a".repeat(2049)).is_err());
    }

    #[test]
    fn only_stars_match_everything() {
        assert!(Glob::new("**").unwrap().matches_everything());
        assert!(!Glob::new("").unwrap().matches_everything());
        assert!(!Glob::new("*?").unwrap().matches_everything());
    }
}

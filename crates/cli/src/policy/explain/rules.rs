//! Which rule decides: every condition of every rule, down to the one that matches.

use std::collections::BTreeMap;

use restore_proof_core::policy::{Matcher, Policy, Rule, Subject};

use super::point::Point;

/// One thing a rule asks for.
pub(super) struct Condition {
    /// The key in the policy, `tags.env` for a tag.
    pub(super) key: String,
    /// What the rule wants.
    pub(super) wanted: String,
    /// What is there; none when there is nothing, or it is not known.
    pub(super) is: Option<String>,
    /// Whether it holds; none when it is not known.
    pub(super) holds: Option<bool>,
}

/// A rule that was asked.
pub(super) struct Asked<'p> {
    /// Its place in the policy, from 0.
    pub(super) index: usize,
    pub(super) rule: &'p Rule,
    pub(super) conditions: Vec<Condition>,
}

impl Asked<'_> {
    /// Whether the rule matches; none when it is not known.
    pub(super) fn matches(&self) -> Option<bool> {
        let mut all = Some(true);
        for condition in &self.conditions {
            match condition.holds {
                Some(false) => return Some(false),
                Some(true) => {}
                None => all = None,
            }
        }
        all
    }
}

/// What comes of it.
pub(super) enum Answer<'p> {
    /// This rule decides.
    Rule(usize, &'p Rule),
    /// No rule matches.
    NoRule,
    /// These keys of the recovery point must be known to decide.
    Undecided(Vec<String>),
}

/// Asks the rules in their order up to the first that surely matches.
pub(super) fn ask<'p>(policy: &'p Policy, point: &Point) -> Vec<Asked<'p>> {
    let mut asked = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        let conditions = conditions(&rule.matcher, point);
        asked.push(Asked {
            index,
            rule,
            conditions,
        });
        if asked.last().and_then(Asked::matches) == Some(true) {
            break;
        }
    }
    asked
}

/// The rule that decides, if it can be told.
pub(super) fn answer<'p>(asked: &[Asked<'p>]) -> Answer<'p> {
    let mut open: Vec<String> = Vec::new();
    for one in asked.iter().filter(|one| one.matches().is_none()) {
        for condition in one.conditions.iter().filter(|one| one.holds.is_none()) {
            if !open.contains(&condition.key) {
                open.push(condition.key.clone());
            }
        }
    }
    if !open.is_empty() {
        return Answer::Undecided(open);
    }
    asked
        .iter()
        .find(|one| one.matches() == Some(true))
        .map_or(Answer::NoRule, |one| Answer::Rule(one.index, one.rule))
}

/// Everything that a matcher asks for. Each is asked of the policy's own code, alone.
fn conditions(matcher: &Matcher, point: &Point) -> Vec<Condition> {
    let account = point.account();
    let none = BTreeMap::new();
    let subject = Subject {
        resource_type: point.resource_type.as_deref().unwrap_or_default(),
        source_arn: point.source_arn.as_deref().unwrap_or_default(),
        account: account.as_deref().unwrap_or_default(),
        vault_name: point.vault_name.as_deref().unwrap_or_default(),
        tags: point.tags.as_ref().unwrap_or(&none),
    };
    let mut conditions = Vec::new();
    let mut ask = |key: &str, wanted: &str, known: bool, is: Option<&str>, alone: Matcher| {
        conditions.push(Condition {
            key: key.to_owned(),
            wanted: wanted.to_owned(),
            is: is.map(str::to_owned),
            holds: known.then(|| alone.matches(&subject)),
        });
    };
    let all = Matcher::default;
    if let Some(wanted) = &matcher.resource_type {
        let is = point.resource_type.as_deref();
        let resource_type = Some(wanted.clone());
        let alone = Matcher {
            resource_type,
            ..all()
        };
        ask("resource_type", wanted, is.is_some(), is, alone);
    }
    if let Some(wanted) = &matcher.source_arn {
        let is = point.source_arn.as_deref();
        let alone = Matcher {
            source_arn: Some(wanted.clone()),
            ..all()
        };
        ask("source_arn", wanted.as_str(), is.is_some(), is, alone);
    }
    if let Some(wanted) = &matcher.account {
        let is = account.as_deref();
        let alone = Matcher {
            account: Some(wanted.clone()),
            ..all()
        };
        ask("account", wanted, is.is_some(), is, alone);
    }
    if let Some(wanted) = &matcher.vault {
        let is = point.vault_name.as_deref();
        let alone = Matcher {
            vault: Some(wanted.clone()),
            ..all()
        };
        ask("vault", wanted.as_str(), is.is_some(), is, alone);
    }
    for (key, wanted) in &matcher.tags {
        let known = point.tags.is_some();
        let is = subject.tags.get(key).map(String::as_str);
        let tags = BTreeMap::from([(key.clone(), wanted.clone())]);
        let alone = Matcher { tags, ..all() };
        let place = format!("tags.{key}");
        ask(&place, wanted.as_str(), known, is, alone);
    }
    conditions
}

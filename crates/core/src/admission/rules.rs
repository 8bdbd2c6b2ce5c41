//! Which rule decides: every condition of every rule, down to the one that matches.

use std::collections::BTreeMap;

use crate::policy::{Matcher, Policy, Rule, Subject};

use super::{Candidate, Fact};

/// One thing a rule asks for.
#[derive(Debug)]
pub struct Condition {
    /// What it asks about.
    pub fact: Fact,
    /// What the rule wants.
    pub wanted: String,
    /// What is there; none when there is nothing, or it is not known.
    pub is: Option<String>,
    /// Whether it holds; none when it is not known.
    pub holds: Option<bool>,
}

/// A rule that was asked.
#[derive(Debug)]
pub struct Asked<'p> {
    /// Its place in the policy, from 0.
    pub index: usize,
    /// The rule.
    pub rule: &'p Rule,
    /// All that it asks for; nothing if it matches everything.
    pub conditions: Vec<Condition>,
}

impl Asked<'_> {
    /// Whether the rule matches; none when it is not known.
    pub fn matches(&self) -> Option<bool> {
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

/// Asks the rules in their order up to the first that surely matches.
pub(super) fn ask<'p>(policy: &'p Policy, candidate: &Candidate<'_>) -> Vec<Asked<'p>> {
    let mut asked = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        let conditions = conditions(&rule.matcher, candidate);
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

/// The rule that decides, with its place, or none; the error is what must be known to tell.
pub(super) fn answer<'p>(asked: &[Asked<'p>]) -> Result<Option<(usize, &'p Rule)>, Vec<Fact>> {
    let mut open: Vec<Fact> = Vec::new();
    for one in asked.iter().filter(|one| one.matches().is_none()) {
        for condition in one.conditions.iter().filter(|one| one.holds.is_none()) {
            if !open.contains(&condition.fact) {
                open.push(condition.fact.clone());
            }
        }
    }
    if !open.is_empty() {
        return Err(open);
    }
    let mut matching = asked.iter().filter(|one| one.matches() == Some(true));
    Ok(matching.next().map(|one| (one.index, one.rule)))
}

/// Everything that a matcher asks for. Each is asked of the policy's own code, alone.
fn conditions(matcher: &Matcher, candidate: &Candidate<'_>) -> Vec<Condition> {
    let account = candidate.account();
    let none = BTreeMap::new();
    let subject = Subject {
        resource_type: candidate.resource_type.unwrap_or_default(),
        source_arn: candidate.source_arn.unwrap_or_default(),
        account: account.as_deref().unwrap_or_default(),
        vault_name: candidate.vault_name.unwrap_or_default(),
        tags: candidate.tags.unwrap_or(&none),
    };
    let mut conditions = Vec::new();
    let mut ask = |fact: Fact, wanted: &str, known: bool, is: Option<&str>, alone: Matcher| {
        conditions.push(Condition {
            fact,
            wanted: wanted.to_owned(),
            is: is.map(str::to_owned),
            holds: known.then(|| alone.matches(&subject)),
        });
    };
    let all = Matcher::default;
    if let Some(wanted) = &matcher.resource_type {
        let is = candidate.resource_type;
        let resource_type = Some(wanted.clone());
        let alone = Matcher {
            resource_type,
            ..all()
        };
        ask(Fact::ResourceType, wanted, is.is_some(), is, alone);
    }
    if let Some(wanted) = &matcher.source_arn {
        let is = candidate.source_arn;
        let alone = Matcher {
            source_arn: Some(wanted.clone()),
            ..all()
        };
        ask(Fact::SourceArn, wanted.as_str(), is.is_some(), is, alone);
    }
    if let Some(wanted) = &matcher.account {
        let is = account.as_deref();
        let alone = Matcher {
            account: Some(wanted.clone()),
            ..all()
        };
        ask(Fact::Account, wanted, is.is_some(), is, alone);
    }
    if let Some(wanted) = &matcher.vault {
        let is = candidate.vault_name;
        let alone = Matcher {
            vault: Some(wanted.clone()),
            ..all()
        };
        ask(Fact::Vault, wanted.as_str(), is.is_some(), is, alone);
    }
    for (key, wanted) in &matcher.tags {
        let known = candidate.tags.is_some();
        let is = subject.tags.get(key).map(String::as_str);
        let tags = BTreeMap::from([(key.clone(), wanted.clone())]);
        let alone = Matcher { tags, ..all() };
        ask(Fact::Tag(key.clone()), wanted.as_str(), known, is, alone);
    }
    conditions
}

//! EventBridge: which rules match an event, and what happens then. And SNS, as far as the function is
//! subscribed to a topic.
//!
//! Patterns follow EventBridge's documented rules for what templates use here: a pattern is an
//! object like the event, its leaves are lists of which one entry must match. Exact values,
//! `prefix`, `anything-but` and `exists` are known; any other operator is an error when the pattern
//! is read, so that a rule which would match on AWS and not here cannot go unnoticed.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::runtime_api::Lambda;
use crate::template::{DEFAULT_BUS, Rule, Subscription};

/// An event pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    fields: Vec<(String, Node)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// `$or`: the event itself must match one of these.
    Or(Vec<Pattern>),
    Object(Pattern),
    AnyOf(Vec<Test>),
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Equals(Value),
    Prefix(String),
    AnythingBut(Vec<Value>),
    AnythingButPrefix(String),
    Exists(bool),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is no pattern, or uses an operator that is not known here; the message names the place.
    pub fn parse(pattern: &Value) -> Result<Pattern> {
        let Value::Object(entries) = pattern else {
            bail!("an event pattern is an object, not {pattern}")
        };
        if entries.is_empty() {
            bail!("an event pattern must name at least one field");
        }
        let mut fields = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            let node = match value {
                Value::Array(patterns) if name == "$or" && patterns.len() > 1 => patterns
                    .iter()
                    .map(Pattern::parse)
                    .collect::<Result<_>>()
                    .map(Node::Or),
                _ if name == "$or" => bail!("`$or` takes a list of several patterns"),
                Value::Object(_) => Pattern::parse(value).map(Node::Object),
                Value::Array(tests) if !tests.is_empty() => tests
                    .iter()
                    .map(Test::parse)
                    .collect::<Result<_>>()
                    .map(Node::AnyOf),
                other => {
                    bail!("`{name}`: expected an object or a list that is not empty, not {other}")
                }
            };
            fields.push((name.clone(), node.with_context(|| format!("in `{name}`"))?));
        }
        Ok(Pattern { fields })
    }

    /// Whether an event matches: all fields of the pattern must.
    #[must_use]
    pub fn matches(&self, event: &Value) -> bool {
        self.fields.iter().all(|(name, node)| {
            let value = event.get(name);
            match (node, value) {
                (Node::Or(patterns), _) => patterns.iter().any(|pattern| pattern.matches(event)),
                // In a list of objects one must match as a whole.
                (Node::Object(pattern), Some(Value::Array(items))) => {
                    items.iter().any(|item| pattern.matches(item))
                }
                (Node::Object(pattern), value) => pattern.matches(value.unwrap_or(&Value::Null)),
                (Node::AnyOf(tests), value) => {
                    let leaves = leaves(value);
                    tests.iter().any(|test| test.matches(&leaves))
                }
            }
        })
    }
}

/// The values a list of tests is held against: the value itself or a list's items. An object is no
/// leaf: to a test it is as if the field were missing (`exists` works on leaves only).
fn leaves(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Object(_)) => Vec::new(),
        Some(Value::Array(items)) => items.iter().filter(|item| !item.is_object()).collect(),
        Some(scalar) => vec![scalar],
    }
}

impl Test {
    fn parse(test: &Value) -> Result<Test> {
        let Value::Object(operators) = test else {
            return match test {
                Value::Array(_) => bail!("a list within a list: {test}"),
                scalar => Ok(Test::Equals(scalar.clone())),
            };
        };
        let mut entries = operators.iter();
        match (entries.next(), entries.next()) {
            (Some((name, argument)), None) => match (name.as_str(), argument) {
                ("prefix", Value::String(prefix)) => Ok(Test::Prefix(prefix.clone())),
                ("exists", Value::Bool(wanted)) => Ok(Test::Exists(*wanted)),
                ("anything-but", Value::String(_) | Value::Number(_)) => {
                    Ok(Test::AnythingBut(vec![argument.clone()]))
                }
                ("anything-but", Value::Array(items))
                    if !items.is_empty()
                        && items
                            .iter()
                            .all(|item| item.is_string() || item.is_number()) =>
                {
                    Ok(Test::AnythingBut(items.clone()))
                }
                ("anything-but", Value::Object(inner)) if inner.len() == 1 => {
                    match inner.get("prefix") {
                        Some(Value::String(prefix)) => Ok(Test::AnythingButPrefix(prefix.clone())),
                        _ => bail!("the operator {test} is not known here"),
                    }
                }
                _ => bail!("the operator {test} is not known here"),
            },
            _ => bail!("{test} is no operator"),
        }
    }

    fn matches(&self, leaves: &[&Value]) -> bool {
        let some = |accepts: &dyn Fn(&Value) -> bool| leaves.iter().any(|leaf| accepts(leaf));
        match self {
            Test::Equals(wanted) => some(&|leaf| leaf == wanted),
            Test::Prefix(prefix) => some(&|leaf| {
                leaf.as_str()
                    .is_some_and(|text| text.starts_with(prefix.as_str()))
            }),
            Test::AnythingBut(unwanted) => some(&|leaf| !unwanted.contains(leaf)),
            Test::AnythingButPrefix(prefix) => some(&|leaf| {
                leaf.as_str()
                    .is_some_and(|text| !text.starts_with(prefix.as_str()))
            }),
            Test::Exists(wanted) => leaves.is_empty() != *wanted,
        }
    }
}

/// The buses with the function's rules, and the topics it is subscribed to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EventBus {
    rules: Arc<[Rule]>,
    subscriptions: Arc<[Subscription]>,
    lambda: Lambda,
}

impl EventBus {
    /// Buses whose rules all have this function as their target.
    #[must_use]
    pub fn new(rules: Vec<Rule>, lambda: Lambda) -> EventBus {
        EventBus {
            rules: rules.into(),
            subscriptions: Arc::new([]),
            lambda,
        }
    }

    /// The same, with the function subscribed to topics.
    #[must_use]
    pub fn with_subscriptions(mut self, subscriptions: Vec<Subscription>) -> EventBus {
        self.subscriptions = subscriptions.into();
        self
    }

    /// Takes what SNS gives a subscribed function: once for each subscription to the message's topic
    /// whose filter it passes, the function is invoked asynchronously. Returns the subscriptions' names.
    pub fn notify(&self, notification: &Value) -> Vec<String> {
        let taking = self
            .subscriptions
            .iter()
            .filter(|subscription| subscription.takes(notification));
        taking
            .map(|subscription| {
                self.lambda.invoke_later(notification.clone());
                subscription.name.clone()
            })
            .collect()
    }

    /// Takes an event of an AWS service, which all go to the default bus.
    pub fn put(&self, event: &Value) -> Vec<String> {
        self.put_on(DEFAULT_BUS, event)
    }

    /// Takes an event on a bus: once for each of its rules that match, the function is invoked asynchronously.
    /// Returns the rules' names.
    pub fn put_on(&self, bus: &str, event: &Value) -> Vec<String> {
        let matching = self
            .rules
            .iter()
            .filter(|rule| rule.bus == bus && rule.pattern.matches(event));
        matching
            .map(|rule| {
                self.lambda.invoke_later(event.clone());
                rule.name.clone()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn matches(pattern: Value, event: Value) -> bool {
        Pattern::parse(&pattern).unwrap().matches(&event)
    }

    #[test]
    fn all_fields_must_match_and_one_entry_of_each_list() {
        let pattern = json!({
            "source": ["aws.backup"],
            "detail-type": ["Copy Job State Change"],
            "detail": { "state": ["COMPLETED", "FAILED"] }
        });
        let event = |state: &str| json!({ "source": "aws.backup", "detail-type": "Copy Job State Change", "detail": { "state": state } });
        assert!(matches(pattern.clone(), event("FAILED")));
        assert!(!matches(pattern.clone(), event("RUNNING")));
        assert!(!matches(pattern.clone(), event("completed")));
        assert!(!matches(
            pattern.clone(),
            json!({ "source": "aws.backup", "detail": { "state": "FAILED" } })
        ));
        assert!(!matches(
            pattern,
            json!({ "source": "aws.backup", "detail-type": "Copy Job State Change" })
        ));
    }

    #[test]
    fn a_list_in_the_event_matches_by_any_of_its_items() {
        assert!(matches(
            json!({ "resources": [{ "prefix": "arn:b" }] }),
            json!({ "resources": ["arn:a", "arn:b1"] })
        ));
        assert!(!matches(
            json!({ "resources": ["arn:c"] }),
            json!({ "resources": ["arn:a", "arn:b"] })
        ));
        assert!(matches(
            json!({ "a": { "b": [1] } }),
            json!({ "a": [{ "b": 2 }, { "b": 1 }] })
        ));
    }

    #[test]
    fn one_of_several_patterns_is_enough_beside_the_rest() {
        let pattern = json!({ "s": ["x"], "$or": [{ "a": [1] }, { "b": { "c": [2] } }] });
        for (event, expected) in [
            (json!({ "s": "x", "a": 1 }), true),
            (json!({ "s": "x", "b": { "c": 2 } }), true),
            (json!({ "s": "x", "a": 2 }), false),
            (json!({ "s": "y", "a": 1 }), false),
        ] {
            assert_eq!(matches(pattern.clone(), event.clone()), expected, "{event}");
        }
    }

    #[test]
    fn anything_but_needs_a_value() {
        let pattern =
            json!({ "detail": { "state": [{ "anything-but": ["RUNNING", "CREATED"] }] } });
        assert!(matches(
            pattern.clone(),
            json!({ "detail": { "state": "FAILED" } })
        ));
        assert!(!matches(
            pattern.clone(),
            json!({ "detail": { "state": "CREATED" } })
        ));
        assert!(!matches(pattern, json!({ "detail": {} })));
        let prefix = json!({ "x": [{ "anything-but": { "prefix": "aws" } }] });
        assert!(matches(prefix.clone(), json!({ "x": "other" })));
        assert!(!matches(prefix, json!({ "x": "aws.backup" })));
    }

    #[test]
    fn exists_sees_only_leaves() {
        let exists = json!({ "detail": { "arn": [{ "exists": true }] } });
        assert!(matches(
            exists.clone(),
            json!({ "detail": { "arn": "arn:x" } })
        ));
        assert!(matches(
            exists.clone(),
            json!({ "detail": { "arn": null } })
        ));
        // A failed copy job's event has `{}` where the ARN would be.
        assert!(!matches(exists, json!({ "detail": { "arn": {} } })));
        let missing = json!({ "detail": { "arn": [{ "exists": false }] } });
        assert!(matches(missing.clone(), json!({ "detail": {} })));
        assert!(matches(missing.clone(), json!({})));
        assert!(!matches(missing, json!({ "detail": { "arn": "arn:x" } })));
    }

    #[test]
    fn types_are_told_apart() {
        assert!(!matches(json!({ "n": ["1"] }), json!({ "n": 1 })));
        assert!(matches(json!({ "n": [null] }), json!({ "n": null })));
        assert!(!matches(json!({ "n": [null] }), json!({})));
    }

    #[test]
    fn a_subscription_takes_its_topics_messages_that_pass_its_filter() {
        let filter = json!({ "Id": [{ "exists": true }], "EventType": ["COPY_JOB"] });
        let subscription = Subscription {
            name: "VaultNotifications".to_owned(),
            topic_arn: "arn:aws:sns:eu-central-1:111111111111:vaults".to_owned(),
            filter: Some(Pattern::parse(&filter).unwrap()),
        };
        let world = crate::World::new(crate::WorldOptions::default());
        let notice = crate::Notice::from(&crate::CopyJob {
            id: "job-1".to_owned(),
            ..crate::CopyJob::default()
        });
        let told = world.vault_notification(&subscription.topic_arn, &notice);
        assert!(subscription.takes(&told));
        let elsewhere = format!("{}-2", subscription.topic_arn);
        assert!(!subscription.takes(&world.vault_notification(&elsewhere, &notice)));
        let other = crate::Notice::from(&crate::BackupJob::default());
        let other = world.vault_notification(&subscription.topic_arn, &other);
        assert!(!subscription.takes(&other));
        let mut bare = told;
        bare["Records"][0]["Sns"]["MessageAttributes"] = json!({});
        assert!(!subscription.takes(&bare));
        let all = Subscription {
            filter: None,
            ..subscription
        };
        assert!(all.takes(&bare) && !all.takes(&json!({ "Records": [] })));
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for pattern in [
            json!({}),
            json!([]),
            json!({ "source": "aws.backup" }),
            json!({ "source": [] }),
            json!({ "n": [{ "numeric": [">", 1] }] }),
            json!({ "s": [{ "wildcard": "a*" }] }),
            json!({ "s": [{ "prefix": { "equals-ignore-case": "a" } }] }),
            json!({ "$or": [{ "a": ["b"] }] }),
            json!({ "$or": { "a": ["b"] } }),
            json!({ "$or": [{ "a": ["b"] }, { "a": [{ "numeric": [">", 1] }] }] }),
        ] {
            assert!(Pattern::parse(&pattern).is_err(), "{pattern}");
        }
        let error =
            Pattern::parse(&json!({ "detail": { "n": [{ "numeric": [">", 1] }] } })).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "in `detail`: in `n`: the operator {\"numeric\":[\">\",1]} is not known here"
        );
    }
}

//! Whether people hear of verdicts and alarms: the topic, its subscriptions and its key.

use std::collections::HashMap;

use aws_sdk_sns::types::Subscription;
use restore_proof_function::aws::{AwsError, call, failed};
use serde_json::Value;

use super::Findings;
use super::grants::{Grant, Principal, grant};
use super::key::{Key, Trouble};
use super::stack::Stack;

/// A topic, and who publishes to it beside the function.
struct Topic<'a> {
    arn: &'a str,
    /// What it is called in a sentence.
    words: &'static str,
    publisher: &'static str,
    /// What nobody hears of who is not subscribed.
    of: &'static str,
}

const ALARMS: &str = "cloudwatch.amazonaws.com";
const VAULTS: &str = "backup.amazonaws.com";

/// Who publishes, and of what.
struct Account<'a> {
    id: &'a str,
    /// The ARN of an alarm of this account: CloudWatch names it. What AWS Backup names is not documented.
    alarm: String,
}

impl Account<'_> {
    fn asks<'a>(&'a self, name: &'a str) -> Principal<'a> {
        Principal::Service {
            name,
            account: self.id,
            source: name.starts_with("cloudwatch.").then_some(&self.alarm),
        }
    }
}
/// What a publisher needs of the key ("Enable compatibility between event sources from AWS services and encrypted topics",
/// Amazon SNS developer guide).
const OF_KEY: [&str; 2] = ["kms:Decrypt", "kms:GenerateDataKey"];

pub(super) async fn examine(stack: &Stack, findings: &mut Findings) {
    let config = &stack.config;
    let account = Account {
        id: &config.account,
        alarm: format!(
            "arn:{}:cloudwatch:{}:{}:alarm:any",
            config.partition, config.region, config.account
        ),
    };
    let topics = [
        Topic {
            arn: &config.urgent_topic_arn,
            words: "urgent topic",
            publisher: ALARMS,
            of: "alarms and bad backups",
        },
        Topic {
            arn: &config.topic_arn,
            words: "topic",
            publisher: VAULTS,
            of: "verdicts",
        },
    ];
    for topic in &topics {
        examine_one(stack, findings, topic, &account).await;
    }
}

async fn examine_one(
    stack: &Stack,
    findings: &mut Findings,
    topic: &Topic<'_>,
    account: &Account<'_>,
) {
    let Topic { arn, words, of, .. } = topic;
    match subscriptions(stack, arn).await {
        Ok(there) => judge_subscriptions(findings, topic, &there),
        Err(error) if error.is(&["NotFound", "NotFoundException"]) => {}
        Err(error) => {
            findings.refused(
                "subscription",
                &format!("the {words}'s subscriptions"),
                &error,
            );
        }
    }
    let asked = stack.aws.sns.get_topic_attributes().topic_arn(*arn).send();
    match call("sns:GetTopicAttributes", asked).await {
        Ok(answer) => {
            let attributes = answer.attributes.unwrap_or_default();
            judge_policy(findings, topic, &attributes, account);
            examine_key(stack, findings, topic, &attributes, account).await;
        }
        Err(error) if error.is(&["NotFound", "NotFoundException"]) => findings.broken(
            "topic_policy",
            format!("the {words} {arn} does not exist: nobody hears of {of}"),
            "deploy the stack again: sam deploy; what is missing: aws cloudformation detect-stack-drift",
        ),
        Err(error) => findings.refused("topic_policy", &format!("the {words}"), &error),
    }
}

async fn subscriptions(stack: &Stack, topic: &str) -> Result<Vec<Subscription>, AwsError> {
    let asked = stack.aws.sns.list_subscriptions_by_topic();
    let mut pages = asked.topic_arn(topic).into_paginator().send();
    let mut there = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("sns:ListSubscriptionsByTopic"))?;
        there.extend(page.subscriptions.unwrap_or_default());
    }
    Ok(there)
}

fn judge_subscriptions(findings: &mut Findings, topic: &Topic<'_>, there: &[Subscription]) {
    let Topic { arn, words, of, .. } = topic;
    let there: Vec<_> = there.iter().filter(|one| !is_own_queue(one)).collect();
    // Else SNS says PendingConfirmation, or Deleted, in its place.
    let arns = there.iter().filter_map(|one| one.subscription_arn());
    let confirmed = arns.filter(|arn| arn.starts_with("arn:")).count();
    let waiting = there
        .iter()
        .filter(|one| one.subscription_arn() == Some("PendingConfirmation"))
        .count();
    let examined = "subscription";
    if confirmed > 0 {
        findings.fine(
            examined,
            format!("confirmed subscriptions of the {words}: {confirmed}"),
        );
    } else if waiting > 0 {
        findings.broken(
            examined,
            format!(
                "of the {words}'s subscriptions none is confirmed ({waiting} waiting): nobody hears of {of}"
            ),
            format!(
                "open the mail of AWS Notifications and follow its link; `aws sns subscribe --topic-arn {arn} --protocol \
                 email --notification-endpoint <address>` sends another"
            ),
        );
    } else {
        findings.broken(
            examined,
            format!("nobody is subscribed to the {words}: nobody hears of {of}"),
            format!(
                "the parameter NotificationEmail, or: aws sns subscribe --topic-arn {arn} --protocol email \
                 --notification-endpoint <address>"
            ),
        );
    }
}

/// Whether it is the stack's own queue of verdicts, which makes events of them: no people hear by it. CloudFormation
/// calls a queue without a name after its place in the template.
fn is_own_queue(one: &Subscription) -> bool {
    let name = one.endpoint().and_then(|arn| arn.rsplit(':').next());
    one.protocol() == Some("sqs") && name.is_some_and(|name| name.contains("-VerdictEvents-"))
}

fn judge_policy(
    findings: &mut Findings,
    topic: &Topic<'_>,
    attributes: &HashMap<String, String>,
    account: &Account<'_>,
) {
    let examined = "topic_policy";
    let Topic {
        arn,
        words,
        publisher,
        ..
    } = topic;
    let text = attributes.get("Policy").map_or("", String::as_str);
    let policy: Value = serde_json::from_str(text).unwrap_or_default();
    let why = match grant(&policy, account.asks(publisher), "SNS:Publish") {
        Grant::Allowed | Grant::ByAccount => {
            findings.fine(
                examined,
                format!("the {words}'s policy lets {publisher} publish"),
            );
            return;
        }
        Grant::Unclear(sid) => {
            findings.unseen(
                examined,
                format!(
                    "whether the {words}'s policy lets {publisher} publish: statement {sid} depends on what cannot be known \
                     here"
                ),
                "read that statement",
            );
            return;
        }
        Grant::Denied(sid) => format!("statement {sid} denies it"),
        Grant::Silent => "nothing allows it".to_owned(),
    };
    findings.broken(
        examined,
        format!("the {words}'s policy does not let {publisher} publish: {why}"),
        format!(
            "deploy the stack again, or: aws sns set-topic-attributes --topic-arn {arn} --attribute-name Policy \
             --attribute-value file://policy.json"
        ),
    );
}

async fn examine_key(
    stack: &Stack,
    findings: &mut Findings,
    topic: &Topic<'_>,
    attributes: &HashMap<String, String>,
    account: &Account<'_>,
) {
    let (examined, words) = ("topic_key", topic.words);
    let id = attributes.get("KmsMasterKeyId").filter(|id| !id.is_empty());
    let Some(id) = id else {
        findings.fine(
            examined,
            format!("the {words} has no key, and keeps no message from being sent"),
        );
        return;
    };
    match Key::find(&stack.api, id).await {
        Ok(key) => judge_key(findings, topic, &key, account),
        Err(error) if error.is(&["NotFoundException"]) => findings.broken(
            examined,
            format!("the {words}'s key {id} is gone: nothing can be published"),
            "the parameter KmsKeyArn: another key, or none; then deploy again",
        ),
        Err(error) => findings.refused(examined, &format!("the {words}'s key"), &error),
    }
}

fn judge_key(findings: &mut Findings, topic: &Topic<'_>, key: &Key, account: &Account<'_>) {
    let (examined, arn) = ("topic_key", &key.arn);
    let Topic {
        words, publisher, ..
    } = topic;
    if key.is_of_aws() {
        findings.broken(
            examined,
            format!("the {words} is encrypted under a key that AWS manages, whose policy lets {publisher} not use it"),
            "deploy the stack again: sam deploy gives it a key of its own",
        );
        return;
    }
    match key.trouble(account.asks(publisher), &OF_KEY) {
            Trouble::None => {
                findings.fine(examined, format!("{publisher} may use the {words}'s key"));
            }
            Trouble::Unusable(state, mended) => {
                let gone = format!("the {words}'s key {arn} is {state}: nothing can be published");
                findings.broken(examined, gone, mended);
            }
            Trouble::NotAllowed(why) => findings.broken(
                examined,
                format!("the policy of the {words}'s key {arn} does not let {publisher} use it, and what it publishes is lost without a word: {why}"),
                format!(
                    "add the statements of README, \"A key of yours\": aws kms put-key-policy --key-id {arn} --policy \
                     file://policy.json"
                ),
            ),
            Trouble::Unclear(sid) => findings.unseen(
                examined,
                format!(
                    "whether {publisher} may use the {words}'s key: statement {sid} of its policy depends on what cannot be \
                     known here"
                ),
                "read that statement",
            ),
            Trouble::Unseen(error) => {
                findings.refused(examined, &format!("the policy of the {words}'s key"), error);
            }
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Area, State};
    use super::*;

    fn states(judge: impl FnOnce(&mut Findings)) -> Vec<State> {
        let mut findings = Findings::of(Area::Topic);
        judge(&mut findings);
        findings.found.iter().map(|one| one.state).collect()
    }

    const URGENT: Topic<'_> = Topic {
        arn: "arn:aws:sns:eu-central-1:111122223333:restore-proof-urgent",
        words: "urgent topic",
        publisher: ALARMS,
        of: "alarms",
    };

    #[test]
    fn somebody_must_have_confirmed() {
        let subscription = |arn: &str| Subscription::builder().subscription_arn(arn).build();
        let judged = |arns: &[&str]| {
            let there: Vec<_> = arns.iter().map(|arn| subscription(arn)).collect();
            states(|findings| judge_subscriptions(findings, &URGENT, &there))[0]
        };
        assert_eq!(judged(&["arn:aws:sns:r:1:t:2"]), State::Fine);
        assert_eq!(
            judged(&["PendingConfirmation", "arn:aws:sns:r:1:t:2"]),
            State::Fine
        );
        assert_eq!(judged(&["PendingConfirmation"]), State::Broken);
        assert_eq!(judged(&["Deleted"]), State::Broken);
        assert_eq!(judged(&[]), State::Broken);
    }

    #[test]
    fn alarms_and_vaults_must_be_let_publish() {
        let judged = |topic: &Topic<'_>, services: Value, condition: Value| {
            let policy = json!({ "Statement": [{
                "Effect": "Allow", "Principal": { "Service": services }, "Action": "sns:Publish", "Resource": "*",
                "Condition": condition,
            }] });
            let attributes = HashMap::from([("Policy".to_owned(), policy.to_string())]);
            let account = Account {
                id: "111122223333",
                alarm: "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:any".to_owned(),
            };
            states(|findings| judge_policy(findings, topic, &attributes, &account))[0]
        };
        let of_verdicts = Topic {
            publisher: VAULTS,
            ..URGENT
        };
        for (topic, publisher, other) in [(&URGENT, ALARMS, VAULTS), (&of_verdicts, VAULTS, ALARMS)]
        {
            assert_eq!(judged(topic, json!(publisher), json!({})), State::Fine);
            assert_eq!(judged(topic, json!(other), json!({})), State::Broken);
            let ours = json!({ "StringEquals": { "aws:SourceAccount": "111122223333" } });
            assert_eq!(judged(topic, json!(publisher), ours), State::Fine);
            let others = json!({ "StringEquals": { "aws:SourceAccount": "999999999999" } });
            assert_eq!(judged(topic, json!(publisher), others), State::Broken);
        }
        // What AWS Backup names as its source is not documented.
        let alarms = json!({ "ArnLike": { "aws:SourceArn": "arn:aws:cloudwatch:*" } });
        assert_eq!(judged(&URGENT, json!(ALARMS), alarms.clone()), State::Fine);
        assert_eq!(judged(&of_verdicts, json!(VAULTS), alarms), State::Unseen);
    }
}

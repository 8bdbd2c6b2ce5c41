//! SNS: Publish, with its limits (query protocol, XML).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::wire::reply::SNS_NAMESPACE;
use crate::wire::{Reply, Request, ServiceError};
use crate::world::inspect::Message;
use crate::world::state::State;

use super::Answer;

/// Largest message with its attributes, bytes (SNS API reference, Publish).
const LARGEST_MESSAGE: usize = 262_144;

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    match request.operation.as_str() {
        "Publish" => publish(state, request),
        _ => Err(ServiceError::not_played(request)),
    }
}

fn publish(state: &mut State, request: &Request) -> Answer {
    let invalid = |what: &str| {
        ServiceError::new(
            "InvalidParameter",
            400,
            &format!("Invalid parameter: {what}"),
        )
    };
    let topic_arn = request
        .param("TopicArn")
        .or_else(|| request.param("TargetArn"))
        .unwrap_or_default();
    if !topic_arn.starts_with("arn:") {
        return Err(invalid(
            "TopicArn or TargetArn Reason: no value for required parameter",
        ));
    }
    if !state.topics.contains(topic_arn) {
        return Err(ServiceError::new("NotFound", 404, "Topic does not exist"));
    }
    let body = request.param("Message").unwrap_or_default();
    if body.is_empty() {
        return Err(invalid("Empty message"));
    }
    let subject = request.param("Subject");
    if let Some(subject) = subject {
        // Under 100 ASCII characters, no line breaks or control characters, not blank at the start.
        let printable = subject
            .chars()
            .all(|character| character.is_ascii() && !character.is_ascii_control());
        let starts_well = subject.starts_with(|first: char| first.is_ascii_graphic());
        if subject.len() >= 100 || !printable || !starts_well {
            return Err(invalid("Subject"));
        }
    }
    let (body, forms) = match request.param("MessageStructure") {
        None => (body.to_owned(), BTreeMap::new()),
        Some("json") => by_protocol(body).map_err(invalid)?,
        Some(_) => return Err(invalid("MessageStructure")),
    };
    let attributes = attributes(request)?;
    let size = request.param("Message").unwrap_or_default().len()
        + attributes
            .iter()
            .map(|(name, value)| name.len() + value.len() + "String".len())
            .sum::<usize>();
    if size > LARGEST_MESSAGE {
        return Err(invalid("Message too long"));
    }
    state.messages.push(Message {
        topic_arn: topic_arn.to_owned(),
        subject: subject.map(str::to_owned),
        body,
        forms,
        attributes,
        at: state.now,
    });
    let (id, request_id) = (state.new_uuid("message"), state.new_uuid("request"));
    let result = json!({"MessageId": id});
    Ok(Reply::query("Publish", SNS_NAMESPACE, &request_id, &result))
}

/// What a message has for each protocol, and for all others. SNS ignores a value that is no text, and keys that are no
/// protocols ("JSON-specific constraints" of `Publish`, SNS API reference). Its words are those that LocalStack has recorded of
/// it (`localstack/services/sns/provider.py`).
fn by_protocol(body: &str) -> Result<(String, BTreeMap<String, String>), &'static str> {
    const PROTOCOLS: [&str; 8] = [
        "application",
        "email",
        "email-json",
        "firehose",
        "http",
        "https",
        "lambda",
        "sqs",
    ];
    let unreadable = "Message Structure - JSON message body failed to parse";
    let parsed: Map<String, Value> = serde_json::from_str(body).map_err(|_| unreadable)?;
    let mut texts: BTreeMap<String, String> = parsed
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())))
        .collect();
    let missing = "Message Structure - No default entry in JSON message body";
    let default = texts.remove("default").ok_or(missing)?;
    texts.retain(|protocol, _| PROTOCOLS.contains(&protocol.as_str()));
    Ok((default, texts))
}

fn attributes(request: &Request) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut attributes = BTreeMap::new();
    for index in 1.. {
        let part =
            |suffix: &str| request.param(&format!("MessageAttributes.entry.{index}.{suffix}"));
        let Some(name) = part("Name") else { break };
        let invalid = |reason: &str| {
            let message = format!("The message attribute '{name}' {reason}");
            ServiceError::new("InvalidParameterValue", 400, &message)
        };
        let kind = part("Value.DataType").unwrap_or_default();
        if kind.is_empty() {
            return Err(invalid("must contain non-empty message attribute type."));
        }
        let value = part("Value.StringValue")
            .or_else(|| part("Value.BinaryValue"))
            .unwrap_or_default();
        if value.is_empty() {
            return Err(invalid(&format!(
                "must contain non-empty message attribute value for message attribute type '{kind}'."
            )));
        }
        attributes.insert(name.to_owned(), value.to_owned());
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests;

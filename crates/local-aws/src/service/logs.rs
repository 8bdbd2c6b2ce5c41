//! CloudWatch Logs: streams and their events (awsJson1.1).

use serde_json::{Value, json};

use crate::wire::{Reply, Request, ServiceError};
use crate::world::inspect::LogEvent;
use crate::world::state::State;

use super::{Answer, json_body, text};

/// Largest batch: the messages' bytes plus 26 for each (API reference, PutLogEvents).
const LARGEST_BATCH: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
const MOST_EVENTS: usize = 10_000;
const DAY_MS: i64 = 86_400_000;

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    let body = json_body(request)?;
    match request.operation.as_str() {
        "CreateLogStream" => create_stream(state, &body),
        "PutLogEvents" => put_events(state, &body),
        _ => Err(ServiceError::not_played(request)),
    }
}

fn missing(what: &str) -> ServiceError {
    ServiceError::new(
        "ResourceNotFoundException",
        400,
        &format!("The specified log {what} does not exist."),
    )
}

fn required<'a>(body: &'a Value, key: &str) -> Result<&'a str, ServiceError> {
    let found = text(body, key).filter(|value| !value.is_empty());
    found.ok_or_else(|| {
        let message = format!("1 validation error detected: Value null at '{key}' failed to satisfy constraint: Member must not be null");
        ServiceError::new("InvalidParameterException", 400, &message)
    })
}

fn create_stream(state: &mut State, body: &Value) -> Answer {
    let (group, stream) = (
        required(body, "logGroupName")?,
        required(body, "logStreamName")?,
    );
    if stream.len() > 512 || stream.contains([':', '*']) {
        let message = "1 validation error detected: Value at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [^:*]*";
        return Err(ServiceError::new("InvalidParameterException", 400, message));
    }
    let streams = state
        .log_groups
        .get_mut(group)
        .ok_or_else(|| missing("group"))?;
    if streams.contains_key(stream) {
        return Err(ServiceError::new(
            "ResourceAlreadyExistsException",
            400,
            "The specified log stream already exists",
        ));
    }
    streams.insert(stream.to_owned(), Vec::new());
    Ok(Reply::empty(200))
}

fn put_events(state: &mut State, body: &Value) -> Answer {
    let (group, stream) = (
        required(body, "logGroupName")?,
        required(body, "logStreamName")?,
    );
    let now = state.now.as_millisecond();
    let streams = state
        .log_groups
        .get_mut(group)
        .ok_or_else(|| missing("group"))?;
    let kept = streams.get_mut(stream).ok_or_else(|| missing("stream"))?;
    let invalid = |message: &str| ServiceError::new("InvalidParameterException", 400, message);
    let events = body
        .get("logEvents")
        .and_then(Value::as_array)
        .filter(|events| !events.is_empty());
    let events = events.ok_or_else(|| invalid("Log events must not be empty"))?;
    let mut parsed = Vec::new();
    for event in events {
        let (Some(timestamp_ms), Some(message)) = (
            event.get("timestamp").and_then(Value::as_i64),
            text(event, "message"),
        ) else {
            return Err(invalid("A log event needs timestamp and message"));
        };
        if message.is_empty() {
            return Err(invalid("Log event message must not be empty"));
        }
        parsed.push(LogEvent {
            stream: stream.to_owned(),
            timestamp_ms,
            message: message.to_owned(),
        });
    }
    let size: usize = parsed
        .iter()
        .map(|event| event.message.len() + EVENT_OVERHEAD)
        .sum();
    if size > LARGEST_BATCH || parsed.len() > MOST_EVENTS {
        return Err(invalid("Upload too large"));
    }
    if parsed
        .windows(2)
        .any(|pair| pair[0].timestamp_ms > pair[1].timestamp_ms)
    {
        return Err(invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    let span = parsed.last().map_or(0, |event| event.timestamp_ms)
        - parsed.first().map_or(0, |event| event.timestamp_ms);
    if span > DAY_MS {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    // More than 14 days old or more than two hours ahead: dropped, and said so.
    let too_old = parsed
        .iter()
        .take_while(|event| event.timestamp_ms < now - 14 * DAY_MS)
        .count();
    let first_too_new = parsed
        .iter()
        .position(|event| event.timestamp_ms > now + DAY_MS / 12);
    let mut answer =
        json!({"nextSequenceToken": "49590302901200000000000000000000000000000000000000000000"});
    let mut rejected = serde_json::Map::new();
    if too_old > 0 {
        rejected.insert("tooOldLogEventEndIndex".to_owned(), too_old.into());
    }
    if let Some(first) = first_too_new {
        rejected.insert("tooNewLogEventStartIndex".to_owned(), first.into());
    }
    if !rejected.is_empty() {
        answer["rejectedLogEventsInfo"] = Value::Object(rejected);
    }
    let end = first_too_new.unwrap_or(parsed.len());
    kept.extend(parsed.into_iter().take(end).skip(too_old));
    Ok(Reply::json(&answer))
}

#[cfg(test)]
mod tests;

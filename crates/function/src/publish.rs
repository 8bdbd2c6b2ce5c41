//! What people and queries get: the record in S3, events in CloudWatch Logs, messages through SNS.

use std::collections::BTreeMap;

use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_sdk_sns::operation::publish::builders::PublishFluentBuilder;
use aws_sdk_sns::types::MessageAttributeValue;
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::message::{Event, Message};
use restore_proof_core::record::Record;
use restore_proof_core::verdict::FaultClass;
use serde_json::{Value, json};

use crate::aws::{Aws, AwsError, failed};
use crate::config::Config;

/// The largest log event, bytes, with room for what CloudWatch adds (quota of `PutLogEvents`).
const LARGEST_LOG_EVENT: usize = 250_000;

/// Writes the record in place.
///
/// # Errors
/// When S3 refuses or does not answer: nothing may be deleted then.
pub async fn write_record(
    aws: &Aws,
    config: &Config,
    key: &str,
    record: &Record,
    now: Timestamp,
) -> Result<(), AwsError> {
    let lock = config.records_lock;
    let locked_until = lock.map(|lock| now + lock.lasts);
    aws.s3
        .put_object()
        .bucket(&config.results_bucket)
        .key(key)
        .content_type("application/json")
        // S3 compares it with what arrived, and takes no locked object without one.
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .set_object_lock_mode(lock.map(|lock| lock.mode.as_str().into()))
        .set_object_lock_retain_until_date(
            locked_until.map(|at| DateTime::from_secs(at.as_second())),
        )
        .body(ByteStream::from(record.line().into_bytes()))
        .send()
        .boxed()
        .await
        .map_err(failed("s3:PutObject"))?;
    Ok(())
}

/// Writes an object into the results bucket, in place of what was there.
///
/// # Errors
/// When S3 refuses or does not answer.
pub async fn write_object(
    aws: &Aws,
    config: &Config,
    key: &str,
    content_type: &str,
    body: String,
) -> Result<(), AwsError> {
    aws.s3
        .put_object()
        .bucket(&config.results_bucket)
        .key(key)
        .content_type(content_type)
        .body(ByteStream::from(body.into_bytes()))
        .send()
        .boxed()
        .await
        .map_err(failed("s3:PutObject"))?;
    Ok(())
}

/// Logs the verdict, with metrics in CloudWatch's embedded metric format.
///
/// # Errors
/// When CloudWatch Logs refuses or does not answer.
pub async fn log_verdict(
    aws: &Aws,
    config: &Config,
    record: &Record,
    policy_broken: bool,
    now: Timestamp,
) -> Result<(), AwsError> {
    let mut event = event("verdict", record);
    let speaks_against = matches!(record.verdict, "failed" | "restore_failed" | "copy_failed");
    let has_unusable_key = record.fault_class == Some(FaultClass::Key.as_str());
    let objectives = [record.recovery_time_objective, record.data_age_objective];
    let missed = objectives
        .iter()
        .filter(|objective| **objective == Some("missed"));
    let mut measured = vec![
        Metric::count("PolicyErrors", u8::from(policy_broken)),
        Metric::count("Validations", 1),
        Metric::count("FailedVerdicts", u8::from(speaks_against)),
        Metric::count("UnusableKeys", u8::from(has_unusable_key)),
        Metric::count("MissedObjectives", missed.count()),
    ];
    for (name, minutes) in [
        ("RecoveryTime", record.recovery_time),
        ("DataAge", record.data_age),
    ] {
        let took =
            minutes.and_then(|minutes| SignedDuration::try_from_secs_f64(minutes * 60.0).ok());
        measured.extend(took.map(|took| Metric::seconds(name, took)));
    }
    embed(&mut event, &measured, &[], config, now);
    let by_verdict = json!({
        "Namespace": namespace(config),
        "Dimensions": [["verdict"]],
        "Metrics": [{ "Name": "Validations", "Unit": "Count" }],
    });
    if let Some(directives) = event["_aws"]["CloudWatchMetrics"].as_array_mut() {
        directives.push(by_verdict);
    }
    log(aws, config, &event, now).await
}

/// A metric.
#[derive(Clone, Debug)]
pub struct Metric {
    name: &'static str,
    unit: &'static str,
    value: Value,
}

impl Metric {
    /// A number of things.
    pub fn count(name: &'static str, value: impl Into<Value>) -> Metric {
        Metric {
            name,
            unit: "Count",
            value: value.into(),
        }
    }

    /// A share, percent.
    pub fn percent(name: &'static str, value: f64) -> Metric {
        Metric {
            name,
            unit: "Percent",
            value: json!(value),
        }
    }

    /// An age, hours. CloudWatch has no unit of that length ("MetricDatum", CloudWatch API reference).
    pub fn hours(name: &'static str, value: SignedDuration) -> Metric {
        Metric {
            name,
            unit: "None",
            value: json!(value.as_secs_f64() / 3600.0),
        }
    }

    /// How long something took.
    pub fn seconds(name: &'static str, value: SignedDuration) -> Metric {
        Metric {
            name,
            unit: "Seconds",
            value: json!(value.as_secs_f64()),
        }
    }
}

/// The namespace of this stack's metrics in CloudWatch: of two stacks in one account, none counts for the other.
fn namespace(config: &Config) -> String {
    format!("RestoreProof/{}", config.name_prefix)
}

/// Puts metrics into a log event, in the embedded metric format: CloudWatch Logs makes metrics of them, counted apart by
/// the values of `dimensions`, which are keys of the event.
fn embed(
    event: &mut Value,
    metrics: &[Metric],
    dimensions: &[&str],
    config: &Config,
    now: Timestamp,
) {
    for metric in metrics {
        event[metric.name] = metric.value.clone();
    }
    let named: Vec<_> = metrics
        .iter()
        .map(|metric| json!({ "Name": metric.name, "Unit": metric.unit }))
        .collect();
    event["_aws"] = json!({
        "Timestamp": now.as_millisecond(),
        "CloudWatchMetrics": [{ "Namespace": namespace(config), "Dimensions": [dimensions], "Metrics": named }],
    });
}

/// Logs an event that is about no verdict: its kind, facts (a JSON object) and metrics.
///
/// # Errors
/// When CloudWatch Logs refuses or does not answer.
pub async fn log_event(
    aws: &Aws,
    config: &Config,
    kind: &str,
    facts: Value,
    metrics: &[Metric],
    now: Timestamp,
) -> Result<(), AwsError> {
    log_event_by(aws, config, kind, facts, metrics, &[], now).await
}

/// The same, with metrics that are counted apart by the values of these facts, which are text.
///
/// # Errors
/// As [`log_event`].
pub async fn log_event_by(
    aws: &Aws,
    config: &Config,
    kind: &str,
    facts: Value,
    metrics: &[Metric],
    dimensions: &[&str],
    now: Timestamp,
) -> Result<(), AwsError> {
    let mut event = json!({ "event": kind });
    if let (Value::Object(event), Value::Object(facts)) = (&mut event, facts) {
        event.extend(facts);
    }
    if !metrics.is_empty() {
        embed(&mut event, metrics, dimensions, config, now);
    }
    log(aws, config, &event, now).await
}

/// Logs what became of the restored resource. Without metrics: the verdict's event has counted the validation.
///
/// # Errors
/// When CloudWatch Logs refuses or does not answer.
pub async fn log_cleanup(
    aws: &Aws,
    config: &Config,
    record: &Record,
    now: Timestamp,
) -> Result<(), AwsError> {
    log(aws, config, &event("cleanup", record), now).await
}

fn event(kind: &str, record: &Record) -> Value {
    let mut event = json!({ "event": kind });
    let columns = serde_json::to_value(record).expect("text, numbers and lists are always JSON");
    if let (Value::Object(event), Value::Object(columns)) = (&mut event, columns) {
        event.extend(columns);
    }
    event
}

async fn log(aws: &Aws, config: &Config, event: &Value, now: Timestamp) -> Result<(), AwsError> {
    let mut text = event.to_string();
    if text.len() > LARGEST_LOG_EVENT {
        // The record in S3 has them.
        let mut shorter = event.clone();
        shorter["checks"] = json!([]);
        text = shorter.to_string();
    }
    let line = InputLogEvent::builder()
        .timestamp(now.as_millisecond())
        .message(text)
        .build()
        .map_err(|error| AwsError {
            operation: "logs:PutLogEvents",
            code: None,
            message: error.to_string(),
        })?;
    let stream = now.strftime("%Y-%m-%d").to_string();
    let put = || {
        aws.logs
            .put_log_events()
            .log_group_name(&config.records_log_group)
            .log_stream_name(&stream)
            .log_events(line.clone())
            .send()
    };
    match put().await.map_err(failed("logs:PutLogEvents")) {
        Err(error) if error.is(&["ResourceNotFoundException"]) => {}
        result => return result.map(drop),
    }
    let created = aws
        .logs
        .create_log_stream()
        .log_group_name(&config.records_log_group)
        .log_stream_name(&stream)
        .send()
        .boxed()
        .await
        .map_err(failed("logs:CreateLogStream"));
    match created {
        Err(error) if !error.is(&["ResourceAlreadyExistsException"]) => return Err(error),
        _ => {}
    }
    put().await.map_err(failed("logs:PutLogEvents")).map(drop)
}

/// Publishes a message in all its forms.
///
/// # Errors
/// When SNS refuses or does not answer.
pub async fn send(aws: &Aws, config: &Config, message: &Message) -> Result<(), AwsError> {
    let topic = if message.is_urgent {
        &config.urgent_topic_arn
    } else {
        &config.topic_arn
    };
    let publish = aws.sns.publish().topic_arn(topic);
    let publish = publish
        .subject(&message.subject)
        .message(message.published())
        .message_structure("json");
    sent(publish, &message.attributes).await
}

/// Publishes an event alone, to the topic that no people are subscribed to.
///
/// # Errors
/// When SNS refuses or does not answer.
pub async fn send_event(aws: &Aws, config: &Config, event: &Event) -> Result<(), AwsError> {
    let publish = aws.sns.publish().topic_arn(&config.events_topic_arn);
    sent(publish.message(&event.text), &event.attributes).await
}

async fn sent(
    mut publish: PublishFluentBuilder,
    attributes: &BTreeMap<&'static str, String>,
) -> Result<(), AwsError> {
    for (name, value) in attributes {
        let attribute = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()
            .map_err(|error| AwsError {
                operation: "sns:Publish",
                code: None,
                message: error.to_string(),
            })?;
        publish = publish.message_attributes(*name, attribute);
    }
    publish
        .send()
        .boxed()
        .await
        .map_err(failed("sns:Publish"))?;
    Ok(())
}

//! Vault notifications by way of SNS. The input is the payload, or one record's `Sns` object.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::{Corpus, fuzz_target};
use restore_proof_core::event::{JobRef, Trigger, read};
use serde_json::{Value, json};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(input) = serde_json::from_slice::<Value>(data) else {
        return Corpus::Reject;
    };
    let payload = match input.get("Records") {
        Some(_) => input,
        None => json!({ "Records": [{ "EventSource": "aws:sns", "Sns": input }] }),
    };
    if payload.get("detail-type").is_some() {
        return Corpus::Reject;
    }
    let trigger = read(&payload);
    match &trigger {
        Trigger::Notified(jobs) => named_by_attributes(jobs, &payload),
        Trigger::Ignored(reason) => assert!(!reason.is_empty() && reason.chars().count() <= 400),
        other => panic!("a notification became {other:?}"),
    }
    prose_says_nothing(&trigger, &payload);
    others_say_nothing(&trigger, &payload);
    Corpus::Keep
});

/// Each job once, in order, and its id is one that an attribute of a record from SNS holds.
fn named_by_attributes(jobs: &[JobRef], payload: &Value) {
    assert!(!jobs.is_empty(), "a notification of nothing");
    assert!(jobs.is_sorted_by(|a, b| a < b), "{jobs:?}");
    let records = payload["Records"].as_array().expect("a list");
    assert!(jobs.len() <= records.len());
    let named: BTreeSet<&str> = records
        .iter()
        .filter_map(|record| record["Sns"]["MessageAttributes"]["Id"]["Value"].as_str())
        .collect();
    for JobRef::Copy(id) | JobRef::Backup(id) | JobRef::Restore(id) in jobs {
        assert!(named.contains(id.as_str()), "{id} stands in no attribute");
        assert!((1..=64).contains(&id.len()));
        assert!(
            id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "{id:?}"
        );
    }
}

/// The prose is for people: whatever it says, the same is read.
fn prose_says_nothing(trigger: &Trigger, payload: &Value) {
    let mut other = payload.clone();
    for record in other["Records"].as_array_mut().into_iter().flatten() {
        if let Some(sns) = record.get_mut("Sns").and_then(Value::as_object_mut) {
            let prose =
                "A backup job was completed. Backup Job Id : 00000000-0000-0000-0000-000000000000";
            sns.insert("Message".to_owned(), json!(prose));
            sns.insert("Subject".to_owned(), json!("COPY_JOB_FAILED"));
        }
    }
    assert_eq!(*trigger, read(&other), "the prose was read");
}

/// Records from elsewhere add nothing, whatever they say.
fn others_say_nothing(trigger: &Trigger, payload: &Value) {
    let Trigger::Notified(jobs) = trigger else {
        return;
    };
    let mut other = payload.clone();
    let records = other["Records"].as_array_mut().expect("a list");
    let foreign = json!({
        "EventSource": "aws:sqs",
        "Sns": { "MessageAttributes": {
            "EventType": { "Value": "RESTORE_JOB" },
            "Id": { "Value": "00000000-0000-0000-0000-000000000000" },
        } },
    });
    records.insert(0, foreign.clone());
    records.push(foreign);
    match read(&other) {
        Trigger::Notified(still) => assert_eq!(*jobs, still),
        other => panic!("{other:?}"),
    }
}

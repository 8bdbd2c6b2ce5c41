//! What the account holds in the end, written to files for those who want to look into it: nothing is hidden or
//! left out, so that a search for secrets finds them if there are any.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use restore_proof_local_aws::Message;
use serde_json::{Value, json};

use super::stage::{BUCKET, LEDGER, RECORDS_LOG_GROUP, Stage};

/// Writes the ledger's items, all versions of all objects, messages, log events and failed invocations to `folder`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(stage: &Stage, folder: &Path) -> Result<()> {
    let world = &stage.world;
    let put = |name: &str, content: &[u8]| -> Result<()> {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    let lines = |values: Vec<Value>| -> String {
        values
            .into_iter()
            .map(|value| format!("{value}\n"))
            .collect()
    };
    put("ledger.jsonl", lines(world.table_items(LEDGER)).as_bytes())?;
    let messages = world.messages().iter().map(message).collect();
    put("messages.jsonl", lines(messages).as_bytes())?;
    let events = world.log_events(RECORDS_LOG_GROUP).into_iter().map(|event| {
        json!({ "stream": event.stream, "timestamp": event.timestamp_ms, "message": event.message })
    });
    put("records-log.jsonl", lines(events.collect()).as_bytes())?;
    put(
        "failed-invocations.jsonl",
        lines(stage.exhausted()).as_bytes(),
    )?;
    for key in world.object_keys(BUCKET) {
        for (number, version) in world.object_versions(BUCKET, &key).iter().enumerate() {
            put(
                &format!("bucket/{key}.version-{}", number + 1),
                &version.body,
            )?;
        }
    }
    Ok(())
}

/// A message as JSON.
pub fn message(message: &Message) -> Value {
    json!({
        "topic": message.topic_arn,
        "subject": message.subject,
        "body": message.body,
        "forms": message.forms,
        "attributes": message.attributes,
    })
}

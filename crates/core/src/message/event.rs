//! The form for programs: an event about each verdict. Its fields are columns of the record, under their names; its schema
//! is made of the same list, so that neither can leave the other. A queue gets it, and a pipe puts it on the event bus
//! (`template.yaml`), under the one key `record`: an event that was nothing but the queue's text would arrive without its
//! quotes ("Amazon EventBridge Pipes input transformation", Implicit body data parsing).

use serde_json::{Map, Value, json};

use crate::record::Record;

/// The version of this format. A new one only adds to it.
pub const VERSION: u32 = 1;
/// The `source` of the event on the bus.
pub const SOURCE: &str = "restore-proof";
/// Its `detail-type`.
pub const DETAIL_TYPE: &str = "Backup Validation State Change";

/// The longest text of one field, characters. All fields together stay far below the 256 KB of an event and of a message.
const LONGEST_TEXT: usize = 2_048;

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Words(&'static [&'static str]),
    Number,
    Count,
}

/// A column of the record in the event: its name, what it is, whether it may be null, what it says.
type Column = (&'static str, Kind, bool, &'static str);

const OBJECTIVES: &[&str] = &["met", "missed", "not_set"];

const COLUMNS: &[Column] = &[
    (
        "validation_id",
        Kind::Text,
        false,
        "Known by the record and by every log line and message about the validation.",
    ),
    (
        "attempt",
        Kind::Count,
        false,
        "Which attempt at it, from 1.",
    ),
    (
        "verdict",
        Kind::Words(&[
            "passed",
            "failed",
            "inconclusive",
            "unchecked",
            "restore_failed",
            "copy_failed",
            "not_tested",
        ]),
        false,
        "What the validation says of the backup.",
    ),
    ("verdict_reason", Kind::Text, false, "Why."),
    (
        "fault_class",
        Kind::Words(&[
            "account",
            "permission",
            "quota",
            "capacity",
            "request",
            "network",
            "licence",
            "backup",
            "key",
            "unknown",
        ]),
        true,
        "What kind of fault kept the restore from being made; null when none did.",
    ),
    (
        "proof",
        Kind::Words(&["restored", "read"]),
        true,
        "How the backup was proved; null when it was not.",
    ),
    (
        "recovery_point_arn",
        Kind::Text,
        false,
        "ARN of the recovery point; of the source's for a failed copy.",
    ),
    (
        "recovery_point_created",
        Kind::Text,
        true,
        "When the data was backed up.",
    ),
    (
        "backup_vault_arn",
        Kind::Text,
        false,
        "Vault the recovery point lies in.",
    ),
    ("backup_vault_name", Kind::Text, false, "Its name."),
    (
        "resource_type",
        Kind::Text,
        true,
        "AWS Backup's name of the resource type.",
    ),
    (
        "source_resource_arn",
        Kind::Text,
        true,
        "ARN of the backed-up resource.",
    ),
    ("source_account", Kind::Text, true, "Its account."),
    (
        "restored_resource_arn",
        Kind::Text,
        true,
        "ARN of the restored copy.",
    ),
    (
        "recovery_time",
        Kind::Number,
        true,
        "How long a recovery takes, minutes.",
    ),
    (
        "recovery_time_target",
        Kind::Number,
        true,
        "The rule's target, minutes.",
    ),
    (
        "recovery_time_objective",
        Kind::Words(OBJECTIVES),
        true,
        "Whether it was met; null when nothing was measured.",
    ),
    (
        "data_age",
        Kind::Number,
        true,
        "Age of the newest data when the backup was made, minutes.",
    ),
    (
        "data_age_target",
        Kind::Number,
        true,
        "The rule's target, minutes.",
    ),
    (
        "data_age_objective",
        Kind::Words(OBJECTIVES),
        true,
        "Whether it was met; null when nothing was measured.",
    ),
    (
        "cleanup",
        Kind::Words(&[
            "pending",
            "deleted",
            "already_gone",
            "nothing_to_delete",
            "kept_until",
            "left_behind",
        ]),
        false,
        "What became of the restored copy so far.",
    ),
    (
        "cleanup_reason",
        Kind::Text,
        true,
        "Why, when it is not as wished.",
    ),
    (
        "policy_rule",
        Kind::Text,
        true,
        "Rule of the policy that matched.",
    ),
    (
        "policy_version",
        Kind::Text,
        true,
        "What the policy file calls itself.",
    ),
    (
        "opened_time",
        Kind::Text,
        false,
        "When the validation was opened.",
    ),
    (
        "verdict_time",
        Kind::Text,
        true,
        "When the verdict was known.",
    ),
    (
        "function_version",
        Kind::Text,
        false,
        "Version of Restore Proof.",
    ),
];

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A verdict.
    Verdict,
    /// What was restored is not all deleted.
    Cleanup,
}

impl About {
    /// The word in the event, the one in the log's.
    pub const fn as_str(self) -> &'static str {
        match self {
            About::Verdict => "verdict",
            About::Cleanup => "cleanup",
        }
    }
}

/// What the event says, a JSON object. `record_uri` is where the whole record lies.
pub fn of(about: About, record: &Record, record_uri: &str) -> Value {
    let mut columns =
        serde_json::to_value(record).expect("text, numbers and lists are always JSON");
    let mut fields = Map::new();
    fields.insert("version".to_owned(), json!(VERSION));
    fields.insert("event".to_owned(), json!(about.as_str()));
    for (name, ..) in COLUMNS {
        fields.insert((*name).to_owned(), within_limits(columns[name].take()));
    }
    fields.insert("record_uri".to_owned(), json!(record_uri));
    fields.into()
}

fn within_limits(value: Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > LONGEST_TEXT => {
            let cut: String = text.chars().take(LONGEST_TEXT - 1).collect();
            Value::String(format!("{cut}…"))
        }
        value => value,
    }
}

/// The JSON Schema of the event's `detail`, draft 7.
pub fn schema() -> Value {
    let mut properties = Map::new();
    properties.insert(
        "version".to_owned(),
        json!({ "const": VERSION, "description": "Version of this format. A new one only adds to it." }),
    );
    properties.insert(
        "event".to_owned(),
        json!({
            "enum": [About::Verdict.as_str(), About::Cleanup.as_str()],
            "description": "verdict: a verdict is known. cleanup: what was restored is not all deleted.",
        }),
    );
    for (name, kind, may_be_null, words) in COLUMNS {
        let mut column = match kind {
            Kind::Text => json!({ "type": "string", "maxLength": LONGEST_TEXT }),
            Kind::Words(words) => json!({ "enum": words }),
            Kind::Number => json!({ "type": "number" }),
            Kind::Count => json!({ "type": "integer", "minimum": 1 }),
        };
        if *may_be_null {
            column = json!({ "anyOf": [column, { "type": "null" }] });
        }
        column["description"] = json!(words);
        properties.insert((*name).to_owned(), column);
    }
    properties.insert(
        "record_uri".to_owned(),
        json!({ "type": "string", "description": "Where the whole record lies, s3://bucket/key." }),
    );
    let required: Vec<_> = properties.keys().cloned().collect();
    let record = json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": true,
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": DETAIL_TYPE,
        "description": format!(
            "The detail of the event that Restore Proof puts on the default event bus (source {SOURCE}, detail-type \
             {DETAIL_TYPE}) for each verdict, and when what was restored is left behind. Its fields are columns of the \
             record: times are UTC, YYYY-MM-DD HH:MM:SS.fff."
        ),
        "type": "object",
        "required": ["record"],
        "properties": { "record": record },
        "additionalProperties": true,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn published() -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs/verdict-event.schema.json")
    }

    fn text() -> String {
        serde_json::to_string_pretty(&schema()).unwrap() + "\n"
    }

    #[test]
    fn the_published_schema_is_this_one() {
        let kept = std::fs::read_to_string(published()).unwrap();
        let how = "cargo test --locked --workspace --lib -- --ignored publish_the_schema";
        assert!(kept == text(), "the schema has changed; publish it: {how}");
    }

    #[test]
    #[ignore = "writes docs/verdict-event.schema.json"]
    fn publish_the_schema() {
        std::fs::write(published(), text()).unwrap();
    }
}

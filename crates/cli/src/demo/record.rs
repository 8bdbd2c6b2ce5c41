//! A record as it lies in S3, and the few columns of it that the demo shows or judges.

use restore_proof_local_aws::World;
use serde_json::{Map, Value};

use super::stage::BUCKET;
use super::story::Case;

/// A record as it lies in S3.
#[derive(Clone, Debug)]
pub struct Record {
    /// All its columns.
    pub columns: Map<String, Value>,
    /// The line as it lies there.
    text: String,
    /// `validation_id`.
    pub validation_id: String,
    /// `recovery_point_arn`.
    pub recovery_point_arn: String,
    /// `verdict`.
    pub verdict: String,
    /// `verdict_reason`.
    pub reason: String,
    /// `cleanup`.
    pub cleanup: String,
    /// `cleanup_reason`, when there is one.
    pub cleanup_reason: Option<String>,
    /// `recovery_time`, minutes.
    pub recovery_minutes: Option<f64>,
    /// `data_age`, minutes: the newest data's age when the backup was made.
    pub data_age_minutes: Option<f64>,
    /// `queue_duration`, minutes.
    pub queue_minutes: Option<f64>,
}

impl Record {
    /// All records that lie in the bucket, in their present version.
    pub fn all(world: &World) -> Vec<Record> {
        let keys = world.object_keys(BUCKET).into_iter();
        keys.filter(|key| key.starts_with("records/"))
            .filter_map(|key| world.object_versions(BUCKET, &key).pop())
            .map(|version| Record::read(&String::from_utf8_lossy(&version.body)))
            .collect()
    }

    /// Fields of it, or of a part of it, in the order in which they stand there. No name stands in two places, and
    /// within a text its quotes would be escaped.
    pub fn in_order<'r>(&self, fields: &'r Map<String, Value>) -> Vec<(&'r String, &'r Value)> {
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_by_key(|(name, _)| self.text.find(&format!("\"{name}\":")));
        fields
    }

    /// Whether it is about this case.
    pub fn is_of(&self, case: &Case) -> bool {
        self.recovery_point_arn == case.recorded_arn()
    }

    fn read(line: &str) -> Record {
        // What is no record is judged as one without columns.
        let columns: Map<String, Value> = serde_json::from_str(line).unwrap_or_default();
        let text = |name: &str| columns.get(name)?.as_str().map(str::to_owned);
        let number = |name: &str| columns.get(name)?.as_f64();
        Record {
            validation_id: text("validation_id").unwrap_or_default(),
            recovery_point_arn: text("recovery_point_arn").unwrap_or_default(),
            verdict: text("verdict").unwrap_or_default(),
            reason: text("verdict_reason").unwrap_or_default(),
            cleanup: text("cleanup").unwrap_or_default(),
            cleanup_reason: text("cleanup_reason"),
            recovery_minutes: number("recovery_time"),
            data_age_minutes: number("data_age"),
            queue_minutes: number("queue_duration"),
            columns,
            text: line.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_as_they_were_written() {
        let record = Record::read(
            r#"{"verdict":"failed","zone":null,"checks":[{"name":"\"cleanup\":","kind":"sql"}],"cleanup":"deleted"}"#,
        );
        let names: Vec<_> = record
            .in_order(&record.columns)
            .into_iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["verdict", "zone", "checks", "cleanup"]);
        assert_eq!(
            (record.verdict.as_str(), record.cleanup.as_str()),
            ("failed", "deleted")
        );
    }
}

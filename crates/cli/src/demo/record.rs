//! The few columns of a record that the demo shows or judges.

use restore_proof_local_aws::World;
use serde_json::Value;

/// A record as it lies in S3.
#[derive(Clone, Debug)]
pub struct Record {
    /// `source_resource_arn`.
    pub source_arn: String,
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
}

impl Record {
    /// All records that lie in the world's buckets.
    pub fn all(world: &World) -> Vec<Record> {
        world
            .records()
            .iter()
            .map(|(_, body)| Record::read(body))
            .collect()
    }

    fn read(body: &Value) -> Record {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        Record {
            source_arn: text("source_resource_arn").unwrap_or_default(),
            verdict: text("verdict").unwrap_or_default(),
            reason: text("verdict_reason").unwrap_or_default(),
            cleanup: text("cleanup").unwrap_or_default(),
            cleanup_reason: text("cleanup_reason"),
            recovery_minutes: body["recovery_time"].as_f64(),
            data_age_minutes: body["data_age"].as_f64(),
        }
    }
}

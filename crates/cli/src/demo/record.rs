//! A record as it lies in S3, and the few columns of it that the demo shows or judges.

use restore_proof_local_aws::World;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::stage::BUCKET;
use super::story::Case;

/// A record as it lies in S3.
#[derive(Clone, Debug)]
pub struct Record {
    /// All its columns, in order.
    pub columns: Vec<(String, Cell)>,
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

    /// Whether it is about this case.
    pub fn is_of(&self, case: &Case) -> bool {
        self.recovery_point_arn == case.recorded_arn()
    }

    fn read(line: &str) -> Record {
        // What is no record is judged as one without columns.
        let columns = match serde_json::from_str(line) {
            Ok(Cell::Row(columns)) => columns,
            _ => Vec::new(),
        };
        let value = |wanted: &str| {
            let mut all = columns.iter();
            all.find_map(|(name, cell)| match cell {
                Cell::Value(value) if name == wanted => Some(value),
                _ => None,
            })
        };
        let text = |name: &str| value(name)?.as_str().map(str::to_owned);
        let number = |name: &str| value(name)?.as_f64();
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
        }
    }
}

/// A value in a record. Fields stand in the order in which they were written, which `serde_json`'s own value forgets.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text, a number, or null.
    Value(Value),
    /// An array.
    List(Vec<Cell>),
    /// A struct, or the record itself.
    Row(Vec<(String, Cell)>),
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Cell, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Cell;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Value(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell, E> {
        Ok(Cell::Value(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
        Ok(Cell::Value(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
        Ok(Cell::Value(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
        Ok(Cell::Value(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cell, E> {
        Ok(Cell::Value(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Cell, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Cell::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Cell, A::Error> {
        let mut row = Vec::new();
        while let Some(field) = fields.next_entry()? {
            row.push(field);
        }
        Ok(Cell::Row(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_as_they_were_written() {
        let record = Record::read(
            r#"{"verdict":"failed","zone":null,"attempts":[{"job":"1","cleanup":"deleted"}],"cleanup":"deleted"}"#,
        );
        let names = |row: &[(String, Cell)]| -> Vec<String> {
            row.iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(
            names(&record.columns),
            ["verdict", "zone", "attempts", "cleanup"]
        );
        let Cell::List(attempts) = &record.columns[2].1 else {
            panic!("no list: {record:?}");
        };
        let Cell::Row(attempt) = &attempts[0] else {
            panic!("no row: {attempts:?}");
        };
        assert_eq!(names(attempt), ["job", "cleanup"]);
        assert_eq!(
            (record.verdict.as_str(), record.cleanup.as_str()),
            ("failed", "deleted")
        );
    }
}

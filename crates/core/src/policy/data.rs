//! Checks of a database's data whose statements are written by us: the policy names tables, columns and bounds.
//!
//! The names of the kinds are those of Soda's and dbt's checks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::expectation::Expectation;

/// The largest table that is read whole where the policy does not say, bytes. A restored volume is filled from a snapshot as it
/// is read, so that a first scan takes minutes where later ones take seconds.
pub const DEFAULT_LARGEST_SCAN: u64 = 1 << 30;

/// The most columns that one check may name.
pub const MOST_COLUMNS: usize = 16;

/// The most tables that one profile may name.
pub const MOST_TABLES: usize = 100;

/// The most facts that one check of a schema may name.
pub const MOST_FACTS: usize = 1000;

/// The longest name of a database, schema, table or column, characters: MySQL's and MariaDB's longest; PostgreSQL's is 63 bytes.
pub const LONGEST_IDENTIFIER: usize = 64;

/// A check of a database's data that needs no SQL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataCheck {
    /// Database to connect to; otherwise the one the secret names, or the one that was made with the DB instance.
    pub database: Option<String>,
    /// What is looked at.
    #[serde(flatten)]
    pub question: Question,
    /// What the number, or the point in time, must be.
    pub expect: Expectation,
    /// What it should be: if it is not, the check passes, and a finding says so.
    pub warn: Option<Expectation>,
    /// The largest table that is read whole, bytes. Of a larger one a sample is read.
    pub largest_scan: u64,
}

/// What a data check looks at, `kind` in the policy file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Question {
    /// How many rows a table has.
    RowCount(RowCount),
    /// How old the newest row of a table is.
    Freshness(Freshness),
    /// How many rows have no value in a column.
    Missing(Missing),
    /// How many rows repeat another in some columns.
    Duplicate(Duplicate),
    /// How many rows a condition is true of.
    FailedRows(FailedRows),
    /// How many rows refer to a row of another table that is not there.
    References(References),
    /// Whether the database holds what its source wrote about itself.
    Manifest(Manifest),
}

impl Question {
    /// The kind as the policy file and the record name it.
    pub fn name(&self) -> &'static str {
        match self {
            Question::RowCount(_) => "row_count",
            Question::Freshness(_) => "freshness",
            Question::Missing(_) => "missing",
            Question::Duplicate(_) => "duplicate",
            Question::FailedRows(_) => "failed_rows",
            Question::References(_) => "references",
            Question::Manifest(_) => "manifest",
        }
    }

    /// The unit of its bounds; none where they are no numbers of rows.
    pub fn unit(&self) -> Option<Unit> {
        match self {
            Question::RowCount(_) => Some(Unit::Rows),
            Question::Freshness(_) | Question::Manifest(_) => None,
            Question::Missing(missing) => Some(missing.unit),
            Question::Duplicate(duplicate) => Some(duplicate.unit),
            Question::FailedRows(failed) => Some(failed.unit),
            Question::References(references) => Some(references.unit),
        }
    }

    /// What it looks at, in words of the policy.
    pub fn subject(&self) -> String {
        match self {
            Question::RowCount(count) => count.table.to_string(),
            Question::Freshness(fresh) => format!("{} of {}", fresh.column, fresh.table),
            Question::Missing(missing) => format!("{} of {}", missing.column, missing.table),
            Question::Duplicate(duplicate) => {
                format!("{} of {}", duplicate.columns.join(", "), duplicate.table)
            }
            Question::FailedRows(failed) => {
                format!("rows of {} where {}", failed.table, failed.condition)
            }
            Question::References(references) => format!(
                "{} of {} to {} of {}",
                references.columns.join(", "),
                references.table,
                references.to_columns.join(", "),
                references.to
            ),
            Question::Manifest(manifest) => match &manifest.counts {
                None => format!("{} of {}", manifest.column, manifest.table),
                Some(counts) => {
                    let tables: Vec<_> = counts.tables.iter().map(ToString::to_string).collect();
                    format!("{} as {} says", tables.join(", "), manifest.table)
                }
            },
        }
    }
}

impl DataCheck {
    /// IANA name of the zone in which timestamps without one are read.
    pub fn time_zone(&self) -> &str {
        match &self.question {
            Question::Freshness(fresh) => &fresh.time_zone,
            Question::Manifest(manifest) => &manifest.time_zone,
            Question::RowCount(_)
            | Question::Missing(_)
            | Question::Duplicate(_)
            | Question::FailedRows(_)
            | Question::References(_) => "UTC",
        }
    }

    /// A bound with its unit, in words: `at most 0.5 percent of the rows`.
    pub fn in_words(&self, bound: &Expectation) -> String {
        match self.question.unit() {
            None => bound.to_string(),
            Some(Unit::Rows) => format!("{bound} rows"),
            Some(Unit::Percent) => format!("{bound} percent of the rows"),
        }
    }
}

/// What the schema of a database must have: tables, columns, indexes, grants, and whatever else there is to know of it, each
/// as a line ([`crate::check::schema`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaCheck {
    /// Database to connect to; otherwise the one the secret names, or the one that was made with the DB instance.
    pub database: Option<String>,
    /// What it must be.
    pub expect: SchemaWish,
    /// What it should be: if it is not, the check passes, and a finding says so.
    pub warn: Option<SchemaWish>,
}

/// What a database holds, in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileCheck {
    /// Database to connect to; otherwise the one the secret names, or the one that was made with the DB instance.
    pub database: Option<String>,
    /// Tables whose rows are measured one by one, at most [`MOST_TABLES`].
    pub tables: Vec<TableName>,
    /// The largest table that is read whole, bytes. Of a larger one the rows are estimated.
    pub largest_scan: u64,
}

/// What is wished of a schema. All that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SchemaWish {
    /// Facts that are there, each a line or its beginning up to a blank.
    pub has: Vec<String>,
    /// Facts that are not there.
    pub lacks: Vec<String>,
    /// The fingerprint of all facts.
    pub fingerprint: Option<String>,
}

/// How many rows a table has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowCount {
    /// The table.
    pub table: TableName,
}

/// How old the newest row of a table is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Freshness {
    /// The table.
    pub table: TableName,
    /// The column with the time that a row was written at.
    pub column: String,
    /// IANA name, known to [`crate::policy::time_zone`], in which timestamps without a zone are read.
    pub time_zone: String,
    /// Whether it says how new the newest data is.
    pub data_age: bool,
}

/// How many rows have no value in a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// The table.
    pub table: TableName,
    /// The column.
    pub column: String,
    /// What the bounds count in.
    pub unit: Unit,
}

/// How many rows repeat another in some columns. Rows without a value in one of them repeat none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Duplicate {
    /// The table.
    pub table: TableName,
    /// The columns, at most [`MOST_COLUMNS`].
    pub columns: Vec<String>,
    /// What the bounds count in.
    pub unit: Unit,
}

/// How many rows a condition is true of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedRows {
    /// The table.
    pub table: TableName,
    /// The condition, in the engine's SQL.
    pub condition: String,
    /// What the bounds count in.
    pub unit: Unit,
}

/// How many rows refer to a row of another table that is not there. Rows without a value in one of the columns refer to none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct References {
    /// The table that refers.
    pub table: TableName,
    /// Its columns, at most [`MOST_COLUMNS`].
    pub columns: Vec<String>,
    /// The table that is referred to.
    pub to: TableName,
    /// Its columns, as many.
    pub to_columns: Vec<String>,
    /// What the bounds count in.
    pub unit: Unit,
}

/// What a source writes about itself on a schedule, in a table of its own: when it did, and how many rows tables had then. A
/// database that was made anew passes every check of its own consistency; it has no manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The table that holds the manifest.
    pub table: TableName,
    /// The column with the time at which a row was written.
    pub column: String,
    /// IANA name, known to [`crate::policy::time_zone`], in which timestamps without a zone are read.
    pub time_zone: String,
    /// What the newest rows say of other tables; without it the manifest is a heartbeat.
    pub counts: Option<ManifestCounts>,
}

/// Numbers of rows in a manifest: one row of it for each table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestCounts {
    /// The column with the name of a table, as [`ManifestCounts::tables`] writes it.
    pub subject: String,
    /// The column with how many rows that table had.
    pub rows: String,
    /// The tables that are compared, at most [`MOST_TABLES`].
    pub tables: Vec<TableName>,
    /// By how many percent of what the manifest says a number may differ.
    pub tolerance: f64,
}

/// What bounds count in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Rows.
    #[default]
    Rows,
    /// Percent of the rows that were looked at.
    Percent,
}

/// The name of a table, as it is stored: upper and lower case count. Written `orders` or `shop.orders`; a part that holds a
/// dot or a quotation mark stands in double quotes, as in SQL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableName {
    /// The schema, which MySQL and MariaDB call a database; otherwise `public` in PostgreSQL, and the database that is
    /// connected to in MySQL and MariaDB.
    pub schema: Option<String>,
    /// The table, or view.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.schema.iter() {
            write_part(f, part)?;
            f.write_str(".")?;
        }
        write_part(f, &self.name)
    }
}

fn write_part(f: &mut fmt::Formatter<'_>, part: &str) -> fmt::Result {
    if part.contains(['.', '"']) {
        write!(f, "\"{}\"", part.replace('"', "\"\""))
    } else {
        f.write_str(part)
    }
}

impl From<TableName> for String {
    fn from(name: TableName) -> String {
        name.to_string()
    }
}

impl TryFrom<String> for TableName {
    type Error = String;

    fn try_from(text: String) -> Result<TableName, String> {
        text.parse()
    }
}

impl FromStr for TableName {
    type Err = String;

    fn from_str(text: &str) -> Result<TableName, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, behind) = match rest.strip_prefix('"') {
                Some(quoted) => read_quoted(quoted).ok_or_else(|| {
                    format!("`{text}` has a double quote that is not closed; write for example \"shop.orders\"")
                })?,
                None => {
                    let end = rest.find('.').unwrap_or(rest.len());
                    (rest[..end].to_owned(), &rest[end..])
                }
            };
            if part.contains('"') && !rest.starts_with('"') {
                return Err(format!(
                    "`{text}` has a double quote within a name; put all of that name in double quotes"
                ));
            }
            parts.push(identifier(&part)?);
            rest = match behind.strip_prefix('.') {
                Some(next) => next,
                None if behind.is_empty() => break,
                None => {
                    return Err(format!(
                        "`{text}` goes on behind a closing double quote; a dot stands between names"
                    ));
                }
            };
        }
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, _) => Ok(TableName { schema: None, name }),
            (Some(schema), Some(name), None) => Ok(TableName {
                schema: Some(schema),
                name,
            }),
            _ => Err(format!(
                "`{text}` has more than two names; write the table, or schema and table; another database is named by the key database"
            )),
        }
    }
}

/// A name up to its closing quote, and what stands behind it.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('"')?;
        name += before;
        match behind.strip_prefix('"') {
            Some(next) => {
                name.push('"');
                rest = next;
            }
            None => return Some((name, behind)),
        }
    }
}

/// A name of a schema, table or column.
///
/// # Errors
/// What is wrong with it. A backslash means something else to each engine, and may not stand in a name.
pub fn identifier(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("must not hold an empty name".to_owned());
    }
    if text.chars().count() > LONGEST_IDENTIFIER {
        return Err(format!(
            "must not hold a name of more than {LONGEST_IDENTIFIER} characters"
        ));
    }
    if text.contains(|c: char| c.is_control() || c == '\\') {
        return Err("must not hold control characters or a backslash".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_of_tables_are_read_exactly() {
        for (text, schema, name) in [
            ("orders", None, "orders"),
            ("Shop.Orders", Some("Shop"), "Orders"),
            ("\"my.shop\".orders", Some("my.shop"), "orders"),
            ("a.\"b\"\"c\"", Some("a"), "b\"c"),
            ("order lines", None, "order lines"),
            ("größe.🦀", Some("größe"), "🦀"),
            ("a'b.c`d;--", Some("a'b"), "c`d;--"),
        ] {
            let read: TableName = text.parse().unwrap();
            assert_eq!((read.schema.as_deref(), read.name.as_str()), (schema, name));
            assert_eq!(read.to_string(), text);
            let json = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<TableName>(&json).unwrap(), read);
        }
        for (text, words) in [
            ("", "empty"),
            (".orders", "empty"),
            ("shop.", "empty"),
            ("a.b.c", "more than two"),
            ("\"a", "not closed"),
            ("\"a\"b", "behind a closing"),
            ("a\"b", "within a name"),
            ("a\\b", "backslash"),
            ("a\nb", "control"),
            (&"x".repeat(65), "64 characters"),
        ] {
            let problem = text.parse::<TableName>().unwrap_err();
            assert!(problem.contains(words), "{text:?}: {problem}");
        }
    }
}

//! The statements of data checks. Names of the policy are quoted, and never text of the statement.

use std::fmt::Write as _;

use super::super::Engine;
use crate::policy::data::{
    Duplicate, FailedRows, Manifest, ManifestCounts, Missing, References, TableName,
};

/// A name as the engine takes it, whatever it holds. A quotation mark is doubled (PostgreSQL's manual, "Identifiers and Key
/// Words"; MySQL's, "Schema Object Names").
pub(super) fn quoted(engine: Engine, name: &str) -> String {
    match engine {
        Engine::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
        Engine::MySql => format!("`{}`", name.replace('`', "``")),
    }
}

/// A name as text to compare with. It holds no backslash, which means something else to each engine and mode.
pub(super) fn literal(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}

/// A table with its schema: PostgreSQL's is `public` where nothing says so, whatever the search path of a user is.
pub(super) fn qualified(engine: Engine, table: &TableName) -> String {
    let name = quoted(engine, &table.name);
    match (engine, &table.schema) {
        (_, Some(schema)) => format!("{}.{name}", quoted(engine, schema)),
        (Engine::Postgres, None) => format!("\"public\".{name}"),
        (Engine::MySql, None) => name,
    }
}

/// The schema to compare with.
fn schema(engine: Engine, table: &TableName) -> String {
    match (engine, &table.schema) {
        (_, Some(schema)) => literal(schema),
        (Engine::Postgres, None) => literal("public"),
        (Engine::MySql, None) => "database()".to_owned(),
    }
}

/// A sample of a table.
#[derive(Clone, Copy)]
pub(super) enum Sample {
    /// All of it.
    Whole,
    /// This share of its pages, drawn the same way each time.
    Pages(f64),
    /// So many rows, the first in the order of the primary key: MySQL draws no samples.
    First(u64),
}

impl Sample {
    /// The sample of this share; `rows` is how many rows the table has by the server's estimate.
    pub(super) fn of(engine: Engine, share: Option<f64>, rows: Option<f64>) -> Sample {
        match (engine, share) {
            (_, None) => Sample::Whole,
            (Engine::Postgres, Some(share)) => Sample::Pages(share),
            (Engine::MySql, Some(share)) => match rows {
                Some(rows) => Sample::First((rows * share).max(1.0) as u64),
                None => Sample::First(1),
            },
        }
    }
}

/// What stands behind `from`: the table, or a sample of it, under this name.
fn source(engine: Engine, table: &TableName, name: &str, sample: Sample) -> String {
    let (table, name) = (qualified(engine, table), quoted(engine, name));
    match sample {
        Sample::Whole => format!("{table} as {name}"),
        Sample::Pages(share) => {
            format!(
                "{table} as {name} tablesample system ({}) repeatable (1)",
                100.0 * share
            )
        }
        Sample::First(rows) => format!("(select * from {table} limit {rows}) as {name}"),
    }
}

/// How large a table is in bytes, with its partitions and children, and how many rows it has by the server's estimate. No row,
/// zero or NULL where the server does not say.
pub(in crate::check) fn size(engine: Engine, table: &TableName) -> String {
    let (schema, name) = (schema(engine, table), literal(&table.name));
    match engine {
        Engine::Postgres => format!(
            "with recursive tree (oid) as (select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on \
             n.oid = c.relnamespace where n.nspname = {schema} and c.relname = {name} and c.relkind in ('r', 'm', 'p') \
             union all select i.inhrelid from pg_catalog.pg_inherits i join tree on i.inhparent = tree.oid) \
             select coalesce(sum(pg_catalog.pg_table_size(tree.oid)), 0), null from tree"
        ),
        Engine::MySql => format!(
            "select data_length, table_rows from information_schema.tables where table_schema = {schema} and \
             table_name = {name}"
        ),
    }
}

/// How many indexes begin with a column, so that its greatest value is found without reading the table.
pub(super) fn indexes_from(engine: Engine, table: &TableName, column: &str) -> String {
    let (schema, name, column) = (schema(engine, table), literal(&table.name), literal(column));
    match engine {
        Engine::Postgres => format!(
            "select count(*) from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indrelid \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0] \
             join pg_catalog.pg_class x on x.oid = i.indexrelid join pg_catalog.pg_am m on m.oid = x.relam \
             where n.nspname = {schema} and c.relname = {name} and a.attname = {column} and i.indisvalid \
             and i.indpred is null and m.amname = 'btree'"
        ),
        Engine::MySql => format!(
            "select count(*) from information_schema.statistics where table_schema = {schema} and table_name = {name} \
             and column_name = {column} and seq_in_index = 1 and index_type = 'BTREE'"
        ),
    }
}

/// How many rows a table has, or this share of its pages.
pub(super) fn count(engine: Engine, table: &TableName, share: Option<f64>) -> String {
    let sample = share.map_or(Sample::Whole, Sample::Pages);
    let source = source(engine, table, &table.name, sample);
    format!("select count(*) from {source}")
}

/// The greatest value of a column.
pub(super) fn newest(engine: Engine, table: &TableName, column: &str) -> String {
    let source = source(engine, table, &table.name, Sample::Whole);
    format!("select max({}) from {source}", quoted(engine, column))
}

/// What the newest rows of a manifest about a table say how many rows it has, and when they were written; NULL if there are
/// none.
pub(super) fn said(
    engine: Engine,
    manifest: &Manifest,
    counts: &ManifestCounts,
    table: &TableName,
) -> String {
    let held = qualified(engine, &manifest.table);
    let [column, subject, rows] =
        [&manifest.column, &counts.subject, &counts.rows].map(|name| quoted(engine, name));
    let about = format!("{held} where {subject} = {}", literal(&table.to_string()));
    format!(
        "select max({rows}), max({column}) from {about} and {column} = (select max({column}) from {about})"
    )
}

/// How many rows have no value in a column, and how many there are.
pub(super) fn missing(engine: Engine, missing: &Missing, sample: Sample) -> String {
    let table = &missing.table;
    format!(
        "select count(*) - count({}), count(*) from {}",
        quoted(engine, &missing.column),
        source(engine, table, &table.name, sample)
    )
}

/// How many rows repeat another, and how many there are with a value in each column.
pub(super) fn duplicate(engine: Engine, duplicate: &Duplicate, sample: Sample) -> String {
    let table = &duplicate.table;
    let columns: Vec<String> = duplicate
        .columns
        .iter()
        .map(|column| quoted(engine, column))
        .collect();
    format!(
        "select coalesce(sum(g.n - 1), 0), coalesce(sum(g.n), 0) from (select count(*) as n from {} where {} group by {}) as g",
        source(engine, table, &table.name, sample),
        all_there(&columns),
        columns.join(", ")
    )
}

/// How many rows a condition is true of, and how many there are. A comment at the condition's end ends with its line.
pub(super) fn failed_rows(engine: Engine, failed: &FailedRows, sample: Sample) -> String {
    let table = &failed.table;
    format!(
        "select count(case when (\n{}\n) then 1 end), count(*) from {}",
        failed.condition,
        source(engine, table, &table.name, sample)
    )
}

/// How many rows refer to a row that is not there.
pub(super) fn orphans(engine: Engine, references: &References, sample: Sample) -> String {
    let referred = source(engine, &references.to, "referred", Sample::Whole);
    let referred_name = quoted(engine, "referred");
    let mut same = String::new();
    for (column, to) in referring_columns(engine, references)
        .iter()
        .zip(&references.to_columns)
    {
        let and = if same.is_empty() { "" } else { " and " };
        // Writing to a String cannot fail.
        let _ = write!(
            same,
            "{and}{referred_name}.{} = {column}",
            quoted(engine, to)
        );
    }
    format!(
        "{} and not exists (select 1 from {referred} where {same})",
        referring(engine, references, sample)
    )
}

/// How many rows refer to any.
pub(super) fn referring(engine: Engine, references: &References, sample: Sample) -> String {
    format!(
        "select count(*) from {} where {}",
        source(engine, &references.table, "referring", sample),
        all_there(&referring_columns(engine, references))
    )
}

fn referring_columns(engine: Engine, references: &References) -> Vec<String> {
    let name = quoted(engine, "referring");
    let columns = references.columns.iter();
    columns
        .map(|column| format!("{name}.{}", quoted(engine, column)))
        .collect()
}

fn all_there(columns: &[String]) -> String {
    let there: Vec<String> = columns
        .iter()
        .map(|column| format!("{column} is not null"))
        .collect();
    there.join(" and ")
}

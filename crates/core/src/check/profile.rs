//! What a database holds, in numbers: rows of named tables, and tables, rows and bytes in all.

use super::data::statements::size;
use super::data::{Counted, Rows, Scan, count, numbers};
use super::sight::Sight;
use super::{Engine, Trouble, ruling};
use crate::ceiling::{Datum, number};
use crate::expectation::{CheckOutcome, Judgement, Measurement, number_text};
use crate::policy::data::ProfileCheck;

/// Measures a database. It passes when there is a table in it, and all that are named. `ask` runs one statement and answers
/// its rows.
///
/// # Errors
/// When there is nothing to measure, or a named table is not there.
pub async fn look<A>(check: &ProfileCheck, engine: Engine, mut ask: A) -> Result<Judgement, Trouble>
where
    A: AsyncFnMut(String) -> Result<Rows, Trouble>,
{
    let sight = Sight::of(engine, &mut ask).await?;
    let [tables, unknown, rows, bytes] = numbers(&ask(totals(engine).to_owned()).await?)?;
    let mut measured = vec![
        measurement("tables", tables),
        measurement("rows of all tables (estimated)", rows),
        measurement("tables without an estimate of their rows", unknown),
        measurement(
            "size of all tables, MiB (estimated)",
            bytes / f64::from(1 << 20),
        ),
    ];
    let mut scanned = Vec::new();
    for table in &check.tables {
        let scan = Scan::of(&ask(size(engine, table)).await?, check.largest_scan);
        let Counted {
            rows, estimated, ..
        } = count(table, engine, &scan, &mut ask).await?;
        let how = if estimated.is_none() {
            "exact"
        } else {
            "estimated"
        };
        measured.push(measurement(&format!("rows of {table} ({how})"), rows));
        scanned.extend(scan.measured());
    }
    measured.append(&mut scanned);
    let (outcome, detail) = if tables > 0.0 {
        let words = format!(
            "{} tables with about {} rows; {} of them counted",
            number(number_text(tables)),
            number(number_text(rows)),
            check.tables.len()
        );
        (CheckOutcome::Passed, words)
    } else {
        sight.without("the database has no table".to_owned())
    };
    Ok(Judgement {
        value: Some(number_text(tables)),
        value_number: Some(tables),
        datum: Some(Datum::Number),
        measured,
        ..ruling(outcome, detail)
    })
}

fn measurement(name: &str, number: f64) -> Measurement {
    Measurement {
        name: name.to_owned(),
        number: Some((number * 10_000.0).round() / 10_000.0),
        text: None,
    }
}

/// How many tables there are, of how many the server has no estimate, how many rows it estimates, and how many bytes.
/// PostgreSQL's `reltuples` is -1 until a table is analysed (PostgreSQL's manual, "pg_class").
fn totals(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            "select count(*), count(case when c.reltuples < 0 then 1 end), \
             coalesce(sum(greatest(c.reltuples, 0)::float8), 0), coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0) \
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             where c.relkind in ('r', 'm') and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'"
        }
        Engine::MySql => {
            "select count(*), count(case when table_rows is null then 1 end), coalesce(sum(table_rows), 0), \
             coalesce(sum(data_length + index_length), 0) \
             from information_schema.tables where table_schema = database() and table_type not in ('VIEW', 'SYSTEM VIEW', 'SEQUENCE')"
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::expectation::Value;

    /// What becomes of a profile when the server answers so, one row for each statement.
    fn looked(tables: &[&str], engine: Engine, answers: &[&[f64]]) -> Judgement {
        let check = ProfileCheck {
            database: None,
            tables: tables.iter().map(|table| table.parse().unwrap()).collect(),
            largest_scan: 100 << 20,
        };
        let mut answers = answers.iter();
        let ask = async |_| {
            let row = answers.next().expect("another answer").iter();
            let value = |number: &f64| Value::from_number_text(&number.to_string());
            Ok(vec![row.map(value).collect()])
        };
        let looking = pin!(look(&check, engine, ask));
        match looking.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(judgement) => judgement.unwrap(),
            Poll::Pending => panic!("nothing is waited for"),
        }
    }

    #[test]
    fn rows_are_told_as_exact_or_estimated() {
        let large = f64::from(1000 << 20);
        let answers: [&[f64]; 6] = [
            &[1.0],
            &[1.0],
            &[22.0, 1.0, 100_000.0, large],
            &[8192.0, 0.0],
            &[7.0],
            &[large, 5000.0],
        ];
        let judgement = looked(&["orders", "shop.log"], Engine::MySql, &answers);
        assert_eq!(judgement.outcome, CheckOutcome::Passed);
        let measured: Vec<_> = judgement
            .measured
            .iter()
            .map(|one| (one.name.as_str(), one.number.unwrap()))
            .collect();
        assert_eq!(
            measured[..6],
            [
                ("tables", 22.0),
                ("rows of all tables (estimated)", 100_000.0),
                ("tables without an estimate of their rows", 1.0),
                ("size of all tables, MiB (estimated)", 1000.0),
                ("rows of orders (exact)", 7.0),
                ("rows of shop.log (estimated)", 5000.0),
            ]
        );
    }

    #[test]
    fn a_database_without_a_table_fails() {
        let none: &[f64] = &[0.0, 0.0, 0.0, 0.0];
        let postgres: &[&[f64]] = &[none];
        // The database, and how many rights the login has on all of it.
        let mysql: &[&[f64]] = &[&[1.0], &[1.0], none];
        for (engine, answers) in [(Engine::Postgres, postgres), (Engine::MySql, mysql)] {
            let judgement = looked(&[], engine, answers);
            assert_eq!(judgement.outcome, CheckOutcome::Failed);
            assert_eq!(judgement.detail, "the database has no table");
        }
        let judgement = looked(&[], Engine::MySql, &[&[1.0], &[0.0], none]);
        assert_eq!(judgement.outcome, CheckOutcome::Errored);
        assert!(
            judgement.detail.contains("may not select"),
            "{}",
            judgement.detail
        );
    }
}

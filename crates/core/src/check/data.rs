//! Data checks: which statements are asked, and what follows from the answers.
//!
//! A table is read whole only if it is not larger than the check's `largest_scan`, of which the server is asked before. Of a
//! larger one a sample is read. A sample can show that there are bad rows, and never that there are none elsewhere: the words
//! say what was looked at. What is estimated fails nothing: rows that lie beside each other are alike, so that nobody knows how
//! far a sample is from the truth.

pub(super) mod statements;

use super::{Engine, Trouble, mysql, ruling};
use crate::ceiling::{Datum, number};
use crate::expectation::{
    CheckOutcome, Clocks, Constant, Expectation, Judgement, Measurement, Value, number_text,
};
use crate::policy::data::{DataCheck, Freshness, Manifest, Question, References, TableName, Unit};
use crate::policy::readable_size;

/// Rows that a statement answers, each with its columns.
pub type Rows = Vec<Vec<Value>>;

/// The name of the measurement of how much a check has read.
pub const SCANNED: &str = "scanned, MiB (the server's estimate)";

/// How far from the truth an estimate may be and still pass, as a share of the truth. InnoDB's number of rows "may vary from
/// the actual value by as much as 40% to 50%" (MySQL's manual, "The INFORMATION_SCHEMA TABLES Table").
const OFF: f64 = 0.5;

/// The fewest rows of a sample that an estimate is made of.
const FEWEST: f64 = 100.0;

/// What is said of an estimate that does not meet its bound by far.
const CANNOT_TELL: &str =
    "which is an estimate and fails nothing; raise limits.largest_scan to have them counted";

/// Asks what the check wants to know, and judges the answers. `ask` runs one statement and answers its rows.
///
/// # Errors
/// When there is nothing to judge.
pub async fn look<A>(
    check: &DataCheck,
    engine: Engine,
    clocks: &Clocks,
    mut ask: A,
) -> Result<Judgement, Trouble>
where
    A: AsyncFnMut(String) -> Result<Rows, Trouble>,
{
    let table = check.question.table();
    let scan = Scan::of(
        &ask(statements::size(engine, table)).await?,
        check.largest_scan,
    );
    let mut judgement = match &check.question {
        Question::RowCount(_) => row_count(check, engine, &scan, &mut ask).await?,
        Question::Freshness(fresh) => {
            let Freshness { table, column, .. } = fresh;
            freshness(check, (table, column), engine, &scan, clocks, &mut ask).await?
        }
        Question::Manifest(manifest) => {
            self::manifest(check, manifest, engine, &scan, clocks, &mut ask).await?
        }
        Question::Missing(_)
        | Question::Duplicate(_)
        | Question::FailedRows(_)
        | Question::References(_) => bad_rows(check, engine, &scan, &mut ask).await?,
    };
    judgement.measured.extend(scan.measured());
    Ok(judgement)
}

impl Question {
    /// The table that is read.
    fn table(&self) -> &TableName {
        match self {
            Question::RowCount(count) => &count.table,
            Question::Freshness(fresh) => &fresh.table,
            Question::Missing(missing) => &missing.table,
            Question::Duplicate(duplicate) => &duplicate.table,
            Question::FailedRows(failed) => &failed.table,
            Question::References(references) => &references.table,
            Question::Manifest(manifest) => &manifest.table,
        }
    }
}

/// How much of a table is read.
pub(super) struct Scan {
    /// Its size, bytes; none where the server does not say, as of a view.
    size: Option<f64>,
    /// How many rows it has by the server's estimate.
    rows: Option<f64>,
    largest: u64,
}

impl Scan {
    /// By the answer to [`statements::size`]. A table that is not there has none: the next statement finds that out.
    pub(super) fn of(answer: &Rows, largest: u64) -> Scan {
        let row = answer.first().map(Vec::as_slice).unwrap_or_default();
        let number = |index: usize| match row.get(index) {
            Some(Value::Number { number, .. }) if *number > 0.0 => Some(*number),
            _ => None,
        };
        Scan {
            size: number(0),
            rows: number(1),
            largest,
        }
    }

    /// The share of the table that is read; none if it is read whole.
    fn share(&self) -> Option<f64> {
        let share = self.largest as f64 / self.size?;
        (share < 1.0).then_some(share)
    }

    /// What was looked at, in words behind those about it.
    fn in_words(&self) -> String {
        match self.share() {
            None => String::new(),
            Some(share) => format!(
                " of a sample of {} percent, since the table is larger than limits.largest_scan, {}",
                number(number_text(rounded(100.0 * share))),
                readable_size(self.largest)
            ),
        }
    }

    pub(super) fn measured(&self) -> Vec<Measurement> {
        let measurement = |name: &str, number: f64| Measurement {
            name: name.to_owned(),
            number: Some(rounded(number)),
            text: None,
        };
        let Some(size) = self.size else {
            return Vec::new();
        };
        let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
        let mut measured = vec![measurement(
            SCANNED,
            mebibytes(size.min(self.largest as f64)),
        )];
        if let Some(share) = self.share() {
            measured.push(measurement("sample, percent of the table", 100.0 * share));
        }
        measured
    }
}

/// A number with as many digits as anybody needs.
fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

/// How many rows a table has.
pub(super) struct Counted {
    /// The number, or the likeliest.
    pub(super) rows: f64,
    /// It lies from the first to the second of these.
    bounds: (f64, f64),
    /// How it was found, if it was not counted.
    pub(super) estimated: Option<&'static str>,
}

impl Counted {
    /// An estimate.
    fn about(rows: f64, how: &'static str) -> Counted {
        Counted {
            rows,
            bounds: (rows / (1.0 + OFF), rows / (1.0 - OFF)),
            estimated: Some(how),
        }
    }

    /// Whether it meets an expectation about numbers; none if nobody knows.
    fn meets(&self, expect: &Expectation) -> Option<bool> {
        is_within(self.bounds, expect).filter(|meets| *meets || self.estimated.is_none())
    }
}

/// Counts the rows of a table, or estimates them if it is too large to be read.
pub(super) async fn count<A>(
    table: &TableName,
    engine: Engine,
    scan: &Scan,
    ask: &mut A,
) -> Result<Counted, Trouble>
where
    A: AsyncFnMut(String) -> Result<Rows, Trouble>,
{
    match (scan.share(), engine) {
        (None, _) => {
            let [rows] = numbers(&ask(statements::count(engine, table, None)).await?)?;
            Ok(Counted {
                rows,
                bounds: (rows, rows),
                estimated: None,
            })
        }
        (Some(share), Engine::Postgres) => {
            let counted = statements::count(engine, table, Some(share));
            let [counted] = numbers(&ask(counted).await?)?;
            // Where most pages hold no rows, or the table's size is that of large values, a sample may hold next to none.
            if counted < FEWEST {
                return Err(Trouble::CannotTell(format!(
                    "{table} is larger than limits.largest_scan, {}, and a sample of it has too few rows for an estimate",
                    readable_size(scan.largest)
                )));
            }
            Ok(Counted::about(
                (counted / share).round(),
                "counted in a sample",
            ))
        }
        (Some(_), Engine::MySql) => {
            let rows = scan.rows.ok_or_else(|| {
                Trouble::CannotTell(format!(
                    "{table} is larger than limits.largest_scan, {}, and the server has no estimate of its rows",
                    readable_size(scan.largest)
                ))
            })?;
            Ok(Counted::about(
                rows,
                "the server's estimate, which may be off by half",
            ))
        }
    }
}

async fn row_count<A>(
    check: &DataCheck,
    engine: Engine,
    scan: &Scan,
    ask: &mut A,
) -> Result<Judgement, Trouble>
where
    A: AsyncFnMut(String) -> Result<Rows, Trouble>,
{
    let table = check.question.table();
    let counted = count(table, engine, scan, ask).await?;
    let rows = number(number_text(counted.rows));
    let what = match counted.estimated {
        None => format!("{table} has {rows} rows"),
        Some(how) => format!(
            "{table} has about {rows} rows ({how}, since the table is larger than limits.largest_scan, {})",
            readable_size(scan.largest)
        ),
    };
    Ok(match counted.meets(&check.expect) {
        Some(true) => judged(check, CheckOutcome::Passed, counted.rows, &what),
        Some(false) => judged(check, CheckOutcome::Failed, counted.rows, &what),
        None => judged(
            check,
            CheckOutcome::Errored,
            counted.rows,
            &format!("{what}, {CANNOT_TELL}"),
        ),
    })
}

/// Whether a number that lies within bounds meets an expectation about numbers; none if that depends on where it lies.
fn is_within((least, most): (f64, f64), expect: &Expectation) -> Option<bool> {
    let (low, high) = match expect {
        Expectation::Min(low) => (*low, f64::INFINITY),
        Expectation::Max(high) => (f64::NEG_INFINITY, *high),
        Expectation::Between(low, high) => (*low, *high),
        Expectation::Equals(Constant::Integer(number)) => (*number as f64, *number as f64),
        Expectation::Equals(Constant::Number(number)) => (*number, *number),
        // The policy's reader takes no other.
        Expectation::Equals(Constant::Text(_) | Constant::Boolean(_))
        | Expectation::MaxAge(_)
        | Expectation::NotEmpty
        | Expectation::Matches(_) => return None,
    };
    if least >= low && most <= high {
        Some(true)
    } else if most < low || least > high {
        Some(false)
    } else {
        None
    }
}

async fn freshness<A>(
    check: &DataCheck,
    (table, column): (&TableName, &str),
    engine: Engine,
    scan: &Scan,
    clocks: &Clocks,
    ask: &mut A,
) -> Result<Judgement, Trouble>
where
    A: AsyncFnMut(String) -> Result<Rows, Trouble>,
{
    if scan.share().is_some() {
        let indexed = statements::indexes_from(engine, table, column);
        let [indexes] = numbers(&ask(indexed).await?)?;
        // The newest row of a sample is older than the newest row.
        if indexes == 0.0 {
            return Err(Trouble::CannotTell(format!(
                "{table} is larger than limits.largest_scan, {}, and no index begins with {column}, so that the newest row \
                 cannot be found without reading all of it",
                readable_size(scan.largest)
            )));
        }
    }
    let answer = ask(statements::newest(engine, table, column)).await?;
    let newest = answer
        .first()
        .and_then(|row| row.first())
        .unwrap_or(&Value::NoRow);
    if engine == Engine::MySql {
        mysql::refuse_zero_time(newest, &check.expect)?;
    }
    let mut judgement = check.expect.judge(newest, clocks);
    judgement.detail = match newest {
        Value::NoRow | Value::Null => format!(
            "{table} has no row with a value in {column}; expected: {}",
            check.expect
        ),
        _ => format!("{column} of {table}: {}", judgement.detail),
    };
    let warns = |warn: &&Expectation| warn.judge(newest, clocks).outcome != CheckOutcome::Passed;
    judgement.warning = check
        .warn
        .as_ref()
        .filter(warns)
        .map(|warn| check.in_words(warn));
    Ok(judgement)
}

/// The newest row says when the source was alive; and tables are counted of which it says how many rows they had.
async fn manifest<A>(
    check: &DataCheck,
    manifest: &Manifest,
    engine: Engine,
    scan: &Scan,
    clocks: &Clocks,
    ask: &mut A,
) -> Result<Judgement, Trouble>
where
    A: AsyncFnMut(String) -> Result<Rows, Trouble>,
{
    let written = (&manifest.table, manifest.column.as_str());
    let mut judgement = freshness(check, written, engine, scan, clocks, ask).await?;
    let Some(counts) = &manifest.counts else {
        return Ok(judgement);
    };
    let mut differences = Vec::new();
    let mut in_doubt = Vec::new();
    for table in &counts.tables {
        let said = ask(statements::said(engine, manifest, counts, table)).await?;
        let (said, written) = match said.first().map(Vec::as_slice) {
            Some([_, Value::NoRow | Value::Null]) => {
                differences.push(format!("the manifest says nothing of {table}"));
                continue;
            }
            Some([Value::Number { number, .. }, written]) => (number, written),
            _ => {
                let words = format!("what the manifest says of {table} is no number");
                return Err(Trouble::CannotTell(words));
            }
        };
        // Each table's count may have been written by a statement of its own.
        let written = check.expect.judge(written, clocks);
        match written.outcome {
            CheckOutcome::Passed => {}
            CheckOutcome::Failed => {
                differences.push(format!("the count of {table}: {}", written.detail));
            }
            CheckOutcome::Errored => {
                in_doubt.push(format!("the count of {table}: {}", written.detail));
            }
        }
        let scan = Scan::of(
            &ask(statements::size(engine, table)).await?,
            check.largest_scan,
        );
        let counted = count(table, engine, &scan, ask).await?;
        let off = said * counts.tolerance / 100.0;
        let words = format!(
            "{table} has {}{} rows, and the manifest says {}",
            if counted.estimated.is_some() {
                "about "
            } else {
                ""
            },
            number(number_text(counted.rows)),
            number(number_text(*said))
        );
        match counted.meets(&Expectation::Between(said - off, said + off)) {
            Some(true) => {}
            Some(false) => differences.push(words),
            None => in_doubt.push(format!("{words}, {CANNOT_TELL}")),
        }
        judgement.measured.push(Measurement {
            name: format!("rows of {table}"),
            number: Some(counted.rows),
            text: None,
        });
        judgement.measured.extend(scan.measured());
    }
    let outcome = if !differences.is_empty() {
        CheckOutcome::Failed
    } else if !in_doubt.is_empty() && judgement.outcome == CheckOutcome::Passed {
        CheckOutcome::Errored
    } else {
        judgement.outcome
    };
    let words: Vec<String> = differences.into_iter().chain(in_doubt).collect();
    judgement.outcome = outcome;
    judgement.detail = if words.is_empty() {
        format!(
            "{}; {} tables are as it says",
            judgement.detail,
            counts.tables.len()
        )
    } else {
        format!("{}; {}", words.join("; "), judgement.detail)
    };
    Ok(judgement)
}

async fn bad_rows<A>(
    check: &DataCheck,
    engine: Engine,
    scan: &Scan,
    ask: &mut A,
) -> Result<Judgement, Trouble>
where
    A: AsyncFnMut(String) -> Result<Rows, Trouble>,
{
    let sample = statements::Sample::of(engine, scan.share(), scan.rows);
    let [bad, all] = match &check.question {
        Question::Missing(missing) => {
            numbers(&ask(statements::missing(engine, missing, sample)).await?)?
        }
        Question::Duplicate(duplicate) => {
            numbers(&ask(statements::duplicate(engine, duplicate, sample)).await?)?
        }
        Question::FailedRows(failed) => {
            numbers(&ask(statements::failed_rows(engine, failed, sample)).await?)?
        }
        Question::References(references) => {
            refuse_to_read(references, engine, scan, ask).await?;
            let orphans = statements::orphans(engine, references, sample);
            let [orphans] = numbers(&ask(orphans).await?)?;
            let [all] = numbers(&ask(statements::referring(engine, references, sample)).await?)?;
            [orphans, all]
        }
        Question::RowCount(_) | Question::Freshness(_) | Question::Manifest(_) => {
            return Err(no_numbers());
        }
    };
    let about = match &check.question {
        Question::Missing(missing) => format!("have no value in {}", missing.column),
        Question::Duplicate(duplicate) => {
            format!("repeat another in {}", duplicate.columns.join(", "))
        }
        Question::FailedRows(_) => "meet the condition of failed rows".to_owned(),
        Question::References(references) => format!("refer to no row of {}", references.to),
        Question::RowCount(_) | Question::Freshness(_) | Question::Manifest(_) => String::new(),
    };
    let what = format!(
        "{} of {} rows of {} {about}{}",
        number(number_text(bad)),
        number(number_text(all)),
        check.question.table(),
        scan.in_words()
    );
    let value = match check.question.unit() {
        Some(Unit::Percent) if all > 0.0 => rounded(100.0 * bad / all),
        Some(Unit::Percent) => 0.0,
        Some(Unit::Rows) | None => bad,
    };
    let Expectation::Max(most) = check.expect else {
        return Err(no_numbers());
    };
    let meets = match (scan.share(), check.question.unit()) {
        (None, _) => Some(value <= most),
        // A sample of nothing says nothing.
        (Some(_), _) if all == 0.0 => None,
        (Some(_), Some(Unit::Percent)) => (value <= most * (1.0 - OFF)).then_some(true),
        // Bad rows of a sample are bad rows of the table, and how many more there are is not known.
        (Some(_), Some(Unit::Rows) | None) if value > most => Some(false),
        (Some(share), Some(Unit::Rows) | None) => {
            (value / share <= most * (1.0 - OFF)).then_some(true)
        }
    };
    let mut judgement = match meets {
        Some(true) => judged(check, CheckOutcome::Passed, value, &what),
        Some(false) => judged(check, CheckOutcome::Failed, value, &what),
        None => {
            let what = format!("{what}, {CANNOT_TELL}");
            judged(check, CheckOutcome::Errored, value, &what)
        }
    };
    judgement.measured.push(Measurement {
        name: "rows looked at".to_owned(),
        number: Some(all),
        text: None,
    });
    // No row of none is bad: that speaks for nothing.
    if all == 0.0 && judgement.outcome == CheckOutcome::Passed {
        judgement.warning = Some("at least one row to look at".to_owned());
    }
    Ok(judgement)
}

/// Refuses to look up rows in a table that is too large to be read, unless an index finds them.
async fn refuse_to_read<A>(
    references: &References,
    engine: Engine,
    scan: &Scan,
    ask: &mut A,
) -> Result<(), Trouble>
where
    A: AsyncFnMut(String) -> Result<Rows, Trouble>,
{
    let to = &references.to;
    let referred = Scan::of(&ask(statements::size(engine, to)).await?, scan.largest);
    let Some(column) = references.to_columns.first() else {
        return Ok(());
    };
    if referred.share().is_some() {
        let indexed = statements::indexes_from(engine, to, column);
        let [indexes] = numbers(&ask(indexed).await?)?;
        if indexes == 0.0 {
            return Err(Trouble::CannotTell(format!(
                "{to} is larger than limits.largest_scan, {}, and no index begins with {column}",
                readable_size(scan.largest)
            )));
        }
    }
    Ok(())
}

/// The judgement of a number.
fn judged(check: &DataCheck, outcome: CheckOutcome, value: f64, what: &str) -> Judgement {
    let text = number_text(value);
    let warns = |warn: &&Expectation| is_within((value, value), warn) != Some(true);
    let is_expected =
        matches!(&check.expect, Expectation::Equals(constant) if constant.to_string() == text);
    Judgement {
        value: Some(text),
        value_number: Some(value),
        datum: Some(Datum::Number),
        is_expected: is_expected && outcome == CheckOutcome::Passed,
        warning: check
            .warn
            .as_ref()
            .filter(warns)
            .map(|warn| check.in_words(warn)),
        ..ruling(
            outcome,
            format!("{what}; expected: {}", check.in_words(&check.expect)),
        )
    }
}

/// The numbers in a statement's one row.
pub(super) fn numbers<const N: usize>(answer: &Rows) -> Result<[f64; N], Trouble> {
    let row = answer.first().ok_or_else(no_numbers)?;
    let mut numbers = [0.0; N];
    if row.len() != N {
        return Err(no_numbers());
    }
    for (number, value) in numbers.iter_mut().zip(row) {
        match value {
            Value::Number { number: is, .. } if is.is_finite() => *number = *is,
            _ => return Err(no_numbers()),
        }
    }
    Ok(numbers)
}

fn no_numbers() -> Trouble {
    Trouble::CannotTell("the server answers a count with something else than a number".to_owned())
}

#[cfg(test)]
mod tests;

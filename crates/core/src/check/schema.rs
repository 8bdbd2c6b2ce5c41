//! The schema of a database as lines, one for each fact, and what follows from them.
//!
//! A line begins with what it is about, such as `table public.orders` or `grant public.orders to reader SELECT`. All lines
//! together have a fingerprint: a schema that differs in anything has another one.

mod facts;

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::data::Rows;
use super::sight::Sight;
use super::{Engine, Trouble, ruling};
use crate::ceiling::{Datum, fingerprint as fingerprint_marked, number};
use crate::expectation::{CheckOutcome, Judgement, Measurement};
use crate::policy::data::{SchemaCheck, SchemaWish};

/// How many facts that are missing are named.
const MOST_NAMED: usize = 10;

/// Asks what the schema is, and judges it. `ask` runs one statement and answers its rows.
///
/// # Errors
/// When there is nothing to judge.
pub async fn look<A>(check: &SchemaCheck, engine: Engine, mut ask: A) -> Result<Judgement, Trouble>
where
    A: AsyncFnMut(String) -> Result<Rows, Trouble>,
{
    let sight = Sight::of(engine, &mut ask).await?;
    let mut facts = BTreeSet::new();
    for statement in facts::statements(engine) {
        let rows = ask((*statement).to_owned()).await?;
        // Each row is one column of text; what is NULL is no fact.
        let lines = rows.iter().filter_map(|row| row.first()?.text());
        facts.extend(lines.map(one_line));
    }
    Ok(judged(check, &facts, sight))
}

/// A fact within one line: a definition may have many.
fn one_line(fact: &str) -> String {
    fact.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The fingerprint of these facts: the first 16 digits of the SHA-256 of their lines, in the order of their bytes.
pub fn fingerprint(facts: &BTreeSet<String>) -> String {
    use std::fmt::Write as _;

    let mut hash = Sha256::new();
    for fact in facts {
        hash.update(fact.as_bytes());
        hash.update(b"\n");
    }
    let digest = hash.finalize();
    let digits = digest.iter().take(8);
    digits.fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn judged(check: &SchemaCheck, facts: &BTreeSet<String>, sight: Sight) -> Judgement {
    let fingerprint = fingerprint(facts);
    let tables = facts.iter().filter(|fact| fact.starts_with("table "));
    let tables = tables.count();
    let summary = format!(
        "the schema has {} facts, among them {} tables; its fingerprint is {}",
        number(facts.len()),
        number(tables),
        fingerprint_marked(&fingerprint)
    );
    let problems = problems(&check.expect, facts, &fingerprint);
    let (outcome, detail) = if !problems.is_empty() {
        let problems = problems.join("; ");
        sight.without(format!("{problems}; {summary}"))
    } else if tables == 0 {
        // A database that was just made has every property that nobody asks for.
        let words = format!("the database has no table; {summary}");
        sight.without(words)
    } else {
        (CheckOutcome::Passed, summary)
    };
    let invalid = facts
        .iter()
        .filter(|fact| fact.starts_with("index ") && fact.contains(" invalid "))
        .count();
    let mut warnings: Vec<String> = check
        .warn
        .iter()
        .filter(|warn| !self::problems(warn, facts, &fingerprint).is_empty())
        .map(in_words)
        .collect();
    if invalid > 0 {
        warnings.push("without an invalid index".to_owned());
    }
    let is_expected = check.expect.fingerprint.as_ref() == Some(&fingerprint);
    Judgement {
        value: Some(fingerprint),
        // Neither a name nor a row: what may be seen of numbers may be seen of it.
        datum: Some(Datum::Number),
        is_expected,
        measured: vec![
            measurement("facts of the schema", facts.len()),
            measurement("tables", tables),
            measurement("invalid indexes", invalid),
        ],
        warning: (!warnings.is_empty()).then(|| warnings.join(", and ")),
        ..ruling(outcome, detail)
    }
}

fn measurement(name: &str, number: usize) -> Measurement {
    Measurement {
        name: name.to_owned(),
        number: Some(number as f64),
        text: None,
    }
}

/// What a wish wants and the facts do not have, in words of the policy.
fn problems(wish: &SchemaWish, facts: &BTreeSet<String>, fingerprint: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let missing: Vec<&str> = wish
        .has
        .iter()
        .filter(|wanted| !is_among(wanted, facts))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        problems.push(format!("the schema lacks {}", some_of(&missing)));
    }
    let there: Vec<&str> = wish
        .lacks
        .iter()
        .filter(|unwanted| is_among(unwanted, facts))
        .map(String::as_str)
        .collect();
    if !there.is_empty() {
        problems.push(format!("the schema has {}", some_of(&there)));
    }
    if let Some(expected) = &wish.fingerprint
        && expected != fingerprint
    {
        problems.push(format!("the schema is another than that of {expected}"));
    }
    problems
}

/// Whether a fact is there: the whole line, or its beginning up to a blank.
fn is_among(wanted: &str, facts: &BTreeSet<String>) -> bool {
    let wanted = one_line(wanted);
    if facts.contains(&wanted) {
        return true;
    }
    let beginning = format!("{wanted} ");
    let behind = facts.range(beginning.clone()..).next();
    behind.is_some_and(|fact| fact.starts_with(&beginning))
}

fn some_of(facts: &[&str]) -> String {
    let named: Vec<String> = facts
        .iter()
        .take(MOST_NAMED)
        .map(|fact| format!("`{fact}`"))
        .collect();
    match facts.len().checked_sub(MOST_NAMED) {
        None | Some(0) => named.join(", "),
        Some(more) => format!("{} and {more} more", named.join(", ")),
    }
}

/// What a wish is, in words.
pub fn in_words(wish: &SchemaWish) -> String {
    let mut words = Vec::new();
    let count = |facts: &[String]| match facts.len() {
        1 => format!("`{}`", facts[0]),
        count => format!("{count} facts"),
    };
    if !wish.has.is_empty() {
        words.push(format!("with {}", count(&wish.has)));
    }
    if !wish.lacks.is_empty() {
        words.push(format!("without {}", count(&wish.lacks)));
    }
    if let Some(fingerprint) = &wish.fingerprint {
        words.push(format!("of the fingerprint {fingerprint}"));
    }
    if words.is_empty() {
        words.push("with a table".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ceiling::seen;

    fn facts(lines: &[&str]) -> BTreeSet<String> {
        lines.iter().map(|line| one_line(line)).collect()
    }

    fn wish(has: &[&str], lacks: &[&str], fingerprint: Option<&str>) -> SchemaWish {
        let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        SchemaWish {
            has: owned(has),
            lacks: owned(lacks),
            fingerprint: fingerprint.map(str::to_owned),
        }
    }

    fn check(expect: SchemaWish, warn: Option<SchemaWish>) -> SchemaCheck {
        SchemaCheck {
            database: None,
            expect,
            warn,
        }
    }

    const FACTS: [&str; 4] = [
        "table public.orders",
        "column public.orders.id bigint not null",
        "index public.orders.orders_pkey valid CREATE UNIQUE\n  INDEX orders_pkey",
        "table public.orders_old",
    ];

    #[test]
    fn a_fact_is_there_as_a_whole_or_up_to_a_blank() {
        let facts = facts(&FACTS);
        for (line, is_there) in [
            ("table public.orders", true),
            ("column public.orders.id", true),
            ("column public.orders.id bigint", true),
            ("column  public.orders.id\nbigint", true),
            ("column public.orders.id int", false),
            ("column public.orders.i", false),
            (
                "index public.orders.orders_pkey valid CREATE UNIQUE INDEX",
                true,
            ),
            ("index public.orders.orders_pkey invalid", false),
            ("table public.order", false),
            ("table public.zebras", false),
        ] {
            assert_eq!(is_among(line, &facts), is_there, "{line}");
        }
    }

    #[test]
    fn what_is_missing_or_should_not_be_there_fails_in_the_policys_words() {
        let all = facts(&FACTS);
        let outcome = |expect| {
            let judgement = judged(&check(expect, None), &all, Sight::All);
            (judgement.outcome, seen(&judgement.detail))
        };
        assert_eq!(outcome(wish(&[], &[], None)).0, CheckOutcome::Passed);
        let (failed, words) = outcome(wish(&["table public.orders", "table public.a"], &[], None));
        assert_eq!(failed, CheckOutcome::Failed);
        assert!(
            words.starts_with("the schema lacks `table public.a`; "),
            "{words}"
        );
        let (failed, words) = outcome(wish(&[], &["table public.orders_old"], None));
        assert_eq!(failed, CheckOutcome::Failed);
        assert!(
            words.starts_with("the schema has `table public.orders_old`"),
            "{words}"
        );
        let many: Vec<String> = (0..12).map(|n| format!("table t{n:02}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (_, words) = outcome(wish(&many, &[], None));
        assert!(words.contains("`table t09` and 2 more"), "{words}");
    }

    #[test]
    fn a_schema_that_differs_in_anything_has_another_fingerprint() {
        let all = facts(&FACTS);
        let known = fingerprint(&all);
        assert_eq!(known.len(), 16);
        let mut other = all.clone();
        other.insert("policy public.orders.tenant".to_owned());
        assert_ne!(fingerprint(&other), known);
        let expect = wish(&[], &[], Some(&known));
        let judgement = judged(&check(expect.clone(), None), &all, Sight::All);
        assert_eq!(judgement.outcome, CheckOutcome::Passed);
        assert_eq!(
            (judgement.value, judgement.is_expected),
            (Some(known), true)
        );
        let judgement = judged(&check(expect.clone(), None), &other, Sight::All);
        assert_eq!(judgement.outcome, CheckOutcome::Failed);
        let judgement = judged(
            &check(wish(&[], &[], None), Some(expect)),
            &other,
            Sight::All,
        );
        assert_eq!(judgement.outcome, CheckOutcome::Passed);
        assert!(judgement.warning.unwrap().contains("fingerprint"));
    }

    #[test]
    fn a_database_without_a_table_fails_and_an_invalid_index_warns() {
        let judgement = judged(
            &check(wish(&[], &[], None), None),
            &facts(&["role reader"]),
            Sight::All,
        );
        assert_eq!(judgement.outcome, CheckOutcome::Failed);
        assert!(judgement.detail.starts_with("the database has no table"));
        let invalid = facts(&["table t", "index public.t.i invalid CREATE INDEX i"]);
        let judgement = judged(&check(wish(&[], &[], None), None), &invalid, Sight::All);
        assert_eq!(judgement.outcome, CheckOutcome::Passed);
        assert_eq!(
            judgement.warning.as_deref(),
            Some("without an invalid index")
        );
    }
}

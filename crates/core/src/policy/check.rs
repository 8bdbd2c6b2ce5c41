//! Reading a rule's checks.
//!
//! A new kind of check is one more variant of [`CheckKind`], one more [`Kind`] and one function beside
//! [`sql`], [`http::read`] and [`connect::read`]; a new kind of data check a table of keys in [`data`].

mod connect;
pub(super) mod data;
mod http;

use std::time::Duration;

use super::rule::LONGEST_NAME;
use super::{
    Address, CHECK_TIMEOUT_RANGE, Check, CheckKind, DEFAULT_CHECK_TIMEOUT, Question, SqlCheck,
    time_zone,
};
use crate::expectation::{Constant, Expectation, measure_regex};
use crate::reader::{Item, Names, Section, hint, kind_of, optional};
use crate::resource_type::{Fit, ResourceType};

use toml::de::DeValue;

/// The keys of `expect`: exactly one is there.
const EXPECTATIONS: [&str; 7] = [
    "equals",
    "min",
    "max",
    "between",
    "max_age",
    "not_empty",
    "matches",
];

/// A check as far as it could be read, with what the rule as a whole must know about it.
pub(super) struct Draft<'t> {
    /// The check, when it has no mistake of its own.
    check: Option<Check>,
    /// Whether it logs in to what was restored.
    pub(super) needs_credentials: bool,
    /// `data_age = true`, where it says so.
    measures: Option<Item<'t>>,
    /// Whether it measures the data's age when no check says it does.
    could_measure: bool,
}

/// The kinds of checks by their words in the file.
#[derive(Clone, Copy)]
enum Kind {
    Sql,
    Http,
    Connect,
    Data(data::Kind),
}

impl Kind {
    /// All of them with their words.
    fn words() -> Vec<(&'static str, Kind)> {
        let data = data::Kind::WORDS.map(|(word, kind)| (word, Kind::Data(kind)));
        let others = [
            ("sql", Kind::Sql),
            ("http", Kind::Http),
            ("connect", Kind::Connect),
        ];
        others.into_iter().chain(data).collect()
    }

    /// Whether this kind fits a rule, which is about one resource type or about any.
    fn fits(self, about: Option<ResourceType>) -> Fit {
        let Some(about) = about else {
            return Ok(());
        };
        let fits = &about.facts().fits;
        match self {
            Kind::Sql | Kind::Data(_) => fits.sql,
            Kind::Http => fits.http,
            Kind::Connect => fits.connect,
        }
    }

    /// What a check without a `kind` was meant to be, so that its other mistakes show too.
    /// None if it may be of several kinds.
    fn guess(check: &Section<'_>) -> Option<Kind> {
        let any = |keys: &[&str]| keys.iter().any(|key| check.holds(key));
        if any(&["steps", "scheme", "host", "redirects"]) {
            Some(Kind::Http)
        } else if any(&["port", "greeting", "address"]) {
            Some(Kind::Connect)
        } else if any(&["table"]) {
            None
        } else {
            Some(Kind::Sql)
        }
    }
}

/// Reads a rule's list of checks; `about` is the resource type the rule is about, when it says so.
/// `largest_scan` is the largest table that is read whole, bytes.
pub(super) fn read_all<'t>(
    item: &Item<'t>,
    about: Option<ResourceType>,
    largest_scan: u64,
) -> Option<Vec<Draft<'t>>> {
    let mut names = Names::default();
    let drafts: Vec<Option<Draft<'t>>> = item
        .list()?
        .iter()
        .map(|item| Some(read(item.section()?, about, largest_scan, &mut names)))
        .collect();
    drafts.into_iter().collect()
}

/// Decides which check measures the data's age, and gives the checks when all were read.
pub(super) fn settle(drafts: Vec<Draft<'_>>, objectives: Option<&Item<'_>>) -> Option<Vec<Check>> {
    let mut claims = drafts.iter().filter_map(|draft| draft.measures.as_ref());
    let first = claims.next();
    for more in claims {
        let place = first.map_or("", |item| item.place.as_str());
        more.mistake(format!(
            "only one check of a rule can measure the data's age, and {place} does already"
        ));
    }
    let candidates = drafts.iter().filter(|draft| draft.could_measure).count();
    let by_default = first.is_none() && candidates == 1;
    let all_read = drafts.iter().all(|draft| draft.check.is_some());
    if let Some(target) = objectives.and_then(|item| item.quiet("data_age"))
        && all_read
        && first.is_none()
        && candidates != 1
    {
        target.mistake(if candidates == 0 {
            "no check measures the data's age: add one of kind freshness, or one of kind sql with expect = { max_age = \"…\" } whose query answers the newest timestamp"
        } else {
            "several checks could measure the data's age: say data_age = true in one of them"
        });
    }
    drafts
        .into_iter()
        .map(|draft| {
            let mut check = draft.check?;
            let data_age = draft.measures.is_some() || (by_default && draft.could_measure);
            match &mut check.kind {
                CheckKind::Sql(sql) => sql.data_age = data_age,
                CheckKind::Data(data) => {
                    if let Question::Freshness(fresh) = &mut data.question {
                        fresh.data_age = data_age;
                    }
                }
                CheckKind::Schema(_)
                | CheckKind::Profile(_)
                | CheckKind::Http(_)
                | CheckKind::Connect(_) => {}
            }
            Some(check)
        })
        .collect()
}

fn read<'t>(
    mut check: Section<'t>,
    about: Option<ResourceType>,
    largest_scan: u64,
    names: &mut Names,
) -> Draft<'t> {
    let name = check
        .required("name", "name = \"orders are there\"")
        .and_then(|item| names.take(item.line(LONGEST_NAME)?, &item));
    let kind_item = check.required(
        "kind",
        "kind = \"sql\", \"row_count\", \"http\" or \"connect\"",
    );
    let word = kind_item.as_ref().map(|item| item.one_of(&Kind::words()));
    if let (Some(item), Some(Some(kind))) = (&kind_item, word)
        && let Err(problem) = kind.fits(about)
    {
        item.mistake(problem);
    }
    let group = optional(check.optional("group"), |item| {
        item.line(LONGEST_NAME).map(str::to_owned)
    });
    let timeout = optional(check.optional("timeout"), read_timeout)
        .map(|timeout| timeout.unwrap_or(DEFAULT_CHECK_TIMEOUT));
    let known = match word {
        // Which keys an unknown kind has is anybody's guess.
        Some(None) => None,
        Some(Some(kind)) => Some(kind),
        None => Kind::guess(&check),
    };
    let (kind, needs_credentials, measures, could_measure) = match known {
        None => (None, false, None, false),
        Some(kind) => match kind {
            Kind::Sql => {
                let (sql, measures, could_measure) = sql(check);
                // A login is of no use where the kind itself is wrong.
                let logs_in = Kind::Sql.fits(about).is_ok();
                (sql.map(CheckKind::Sql), logs_in, measures, could_measure)
            }
            Kind::Http => {
                let http = http::read(check, timeout).map(CheckKind::Http);
                (http, false, None, false)
            }
            Kind::Connect => {
                let connect = connect::read(check, about).map(CheckKind::Connect);
                (connect, false, None, false)
            }
            Kind::Data(kind) => {
                let read = data::read(kind, check, largest_scan);
                let logs_in = Kind::Data(kind).fits(about).is_ok();
                (read.check, logs_in, read.measures, read.could_measure)
            }
        },
    };
    let read = || {
        Some(Check {
            name: name?.to_owned(),
            group: group?,
            timeout: timeout?,
            kind: kind?,
        })
    };
    Draft {
        check: read().filter(|_| kind_item.is_some()),
        needs_credentials,
        measures,
        could_measure,
    }
}

/// A check of kind `sql`; `data_age = true`, where it stands; whether it could measure the age unasked.
fn sql<'t>(mut check: Section<'t>) -> (Option<SqlCheck>, Option<Item<'t>>, bool) {
    // The longest name of a database in PostgreSQL is 63 bytes, in MariaDB and MySQL 64 characters.
    let database = optional(check.optional("database"), |item| {
        item.line(64).map(str::to_owned)
    });
    let query = check
        .required("query", "query = \"select count(*) from orders\"")
        .and_then(|item| read_query(&item));
    let expect_item = check.required("expect", "expect = { min = 1 }");
    let expect = expect_item.as_ref().and_then(read_expectation);
    let time_zone = optional(check.optional("time_zone"), read_time_zone);
    let data_age_item = check.optional("data_age");
    let data_age = optional(data_age_item.clone(), Item::boolean);
    check.finish();

    let measures = data_age_item.filter(|_| data_age == Some(Some(true)));
    if let (Some(item), Some(expect)) = (&measures, &expect)
        && !expect.can_be_a_time()
    {
        item.mistake(
            "this check cannot measure the data's age: its value is no timestamp; use it with max_age or not_empty",
        );
    }
    if let (Some(item), Some(expect), Some(query)) = (&expect_item, &expect, &query) {
        note_pointless(item, expect, query);
    }
    let could_measure = matches!(expect, Some(Expectation::MaxAge(_))) && data_age == Some(None);
    let read = || {
        Some(SqlCheck {
            database: database?,
            query: query?,
            expect: expect?,
            time_zone: time_zone?.unwrap_or_else(|| "UTC".to_owned()),
            data_age: data_age?.unwrap_or(false),
        })
    };
    (read(), measures, could_measure)
}

fn read_timeout(item: &Item<'_>) -> Option<Duration> {
    let timeout = item.duration()?;
    let (least, most) = CHECK_TIMEOUT_RANGE;
    if timeout < least || timeout > most {
        item.mistake("a check's timeout is between 1s and 10m");
        return None;
    }
    Some(timeout)
}

fn read_port(item: &Item<'_>) -> Option<u16> {
    let port = item.integer()?;
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    if port.is_none() {
        item.mistake("a port is a number from 1 to 65535");
    }
    port
}

fn read_address(item: &Item<'_>) -> Option<Address> {
    item.one_of(&[("private", Address::Private), ("public", Address::Public)])
}

fn read_query(item: &Item<'_>) -> Option<String> {
    let query = item.text()?;
    if query.trim().is_empty() {
        item.mistake("must not be empty");
        return None;
    }
    if query.contains('\0') {
        item.mistake("must not hold a NUL character: no database takes it");
        return None;
    }
    Some(query.to_owned())
}

/// Notes the two expectations that look right and would pass for an empty table, or never.
fn note_pointless(item: &Item<'_>, expect: &Expectation, query: &str) {
    let start: String = query
        .chars()
        .filter(|c| !c.is_whitespace())
        .take(16)
        .collect::<String>()
        .to_lowercase();
    let counts = start.starts_with("selectcount(");
    if *expect == Expectation::NotEmpty && counts {
        item.mistake("count() is never empty, it answers 0; write expect = { min = 1 }");
    } else if *expect == Expectation::NotEmpty && start.starts_with("selectexists(") {
        item.mistake("exists() is never empty, it answers false; write expect = { equals = true }");
    } else if matches!(expect, Expectation::MaxAge(_)) && counts {
        item.mistake("count() answers a number, which has no age; ask for the newest timestamp");
    }
}

fn read_time_zone(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    if time_zone(name).is_some() {
        return Some(name.to_owned());
    }
    let left = item.zones_to_compare();
    let known: Vec<String> = jiff::tz::TimeZoneDatabase::bundled()
        .available()
        .map(|name| name.to_string())
        .take(if left.get() > 0 { usize::MAX } else { 0 })
        .collect();
    left.set(left.get().saturating_sub(1));
    item.mistake(format!(
        "unknown time zone \"{name}\"; {}",
        hint(
            name,
            known.iter().map(String::as_str),
            "write an IANA name such as \"UTC\" or \"Europe/Berlin\""
        )
    ));
    None
}

fn read_expectation(item: &Item<'_>) -> Option<Expectation> {
    let mut section = item.section()?;
    let [equals, min, max, between, max_age, not_empty, matches] =
        EXPECTATIONS.map(|key| section.optional(key));
    let there: Vec<&str> = [
        &equals, &min, &max, &between, &max_age, &not_empty, &matches,
    ]
    .into_iter()
    .zip(EXPECTATIONS)
    .filter_map(|(item, key)| item.as_ref().map(|_| key))
    .collect();
    let read = [
        equals.map(|item| read_constant(&item).map(Expectation::Equals)),
        min.map(|item| item.number().map(Expectation::Min)),
        max.map(|item| item.number().map(Expectation::Max)),
        between.map(|item| read_between(&item)),
        max_age.map(|item| item.duration().map(Expectation::MaxAge)),
        not_empty.map(|item| read_not_empty(&item)),
        matches.map(|item| read_matches(&item)),
    ];
    match there.len() {
        0 if section.is_empty() => {
            item.mistake(format!(
                "is empty; write exactly one of {}",
                EXPECTATIONS.join(", ")
            ));
        }
        // Nothing but unknown keys, or one: their own mistakes say it all.
        0 | 1 => {}
        _ => {
            let hint = if there.contains(&"min") && there.contains(&"max") {
                "; for a range write between = [least, most]"
            } else {
                "; write one check, or one step, for each"
            };
            item.mistake(format!(
                "takes exactly one expectation, not {}{hint}",
                there.join(" and ")
            ));
        }
    }
    section.finish();
    if there.len() != 1 {
        return None;
    }
    read.into_iter().flatten().next().flatten()
}

fn read_constant(item: &Item<'_>) -> Option<Constant> {
    match item.value {
        DeValue::String(text) => Some(Constant::Text(text.to_string())),
        DeValue::Integer(_) => item.integer().map(Constant::Integer),
        DeValue::Float(_) => item.number().map(Constant::Number),
        DeValue::Boolean(truth) => Some(Constant::Boolean(*truth)),
        other => {
            item.mistake(format!(
                "must be one text, number, true or false, not {}: one value is compared",
                kind_of(other)
            ));
            None
        }
    }
}

fn read_between(item: &Item<'_>) -> Option<Expectation> {
    let ends = item.list()?;
    let [least, most] = ends.as_slice() else {
        item.mistake("must be two numbers, the least and the most, such as [1, 5]");
        return None;
    };
    let (least, most) = (least.number(), most.number());
    let (least, most) = (least?, most?);
    if least > most {
        item.mistake("is impossible: the first number is larger than the second");
        return None;
    }
    Some(Expectation::Between(least, most))
}

fn read_not_empty(item: &Item<'_>) -> Option<Expectation> {
    if item.boolean()? {
        return Some(Expectation::NotEmpty);
    }
    item.mistake(
        "can only be true; for a table that must be empty, count its rows and write max = 0",
    );
    None
}

fn read_matches(item: &Item<'_>) -> Option<Expectation> {
    let hint = "write not_empty = true to ask for any value";
    read_regex(item, hint).map(Expectation::Matches)
}

/// A regular expression; `instead` says what to write for one that matches everything.
fn read_regex(item: &Item<'_>, instead: &str) -> Option<String> {
    let pattern = item.text()?;
    if pattern.is_empty() {
        item.mistake(format!("an empty regex matches everything; {instead}"));
        return None;
    }
    let room = item.regex_room();
    if room.get() == 0 {
        item.mistake(
            "the regexes before it take all the room that a policy has for them; write simpler ones, such as [0-9] for \\d and [a-z] for \\w",
        );
        return None;
    }
    let (size, measured) = measure_regex(pattern);
    room.set(room.get().saturating_sub(size));
    measured
        .map_err(|problem| item.mistake(problem))
        .ok()
        .map(|()| pattern.to_owned())
}

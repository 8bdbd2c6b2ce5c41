//! What restored resources answer to checks, and what follows from it. All of it is hostile until proved otherwise.
//!
//! The function asks; what may be asked, how an answer is read and what it speaks against is decided here.

pub mod address;
pub mod body;
pub mod data;
pub mod estimate;
pub mod mysql;
mod overheard;
pub mod postgres;
pub mod profile;
pub mod redirect;
pub mod schema;
mod sight;

use std::net::IpAddr;
use std::time::Duration;

use crate::ceiling::{Datum, Marked, looks_like_credential};
use crate::cidr::Cidr;
use crate::expectation::{CheckOutcome, Judgement, Measurement};
use crate::policy::{Check, CheckKind, Rule};
use crate::validation::CheckResult;

/// The longest that the words about a check are, characters.
const LONGEST_WORDS: usize = 2000;

/// Engines by the protocol and the SQL that they speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL, and Aurora with its SQL.
    Postgres,
    /// MySQL, MariaDB, and Aurora with their SQL.
    MySql,
}

impl Engine {
    /// By RDS's name of the engine.
    pub fn named(name: &str) -> Option<Engine> {
        match name {
            "postgres" | "aurora-postgresql" => Some(Engine::Postgres),
            "mysql" | "mariadb" | "aurora-mysql" => Some(Engine::MySql),
            _ => None,
        }
    }
}

/// Whether checks of this kind, by its word in the policy, read data: all but those that talk to a machine.
pub fn reads_data(kind: &str) -> bool {
    !["http", "connect"].contains(&kind)
}

/// What checks are run against.
#[derive(Clone, Debug)]
pub enum Target {
    /// A restored database.
    Database {
        /// Host name.
        host: String,
        /// Port.
        port: u16,
        /// RDS's name of the engine, for example `postgres`.
        engine: String,
        /// The database that RDS says the server was made with, if any.
        database: Option<String>,
        /// Whether the source had a parameter group of its own that the copy does not have.
        settings_differ: bool,
    },
    /// A restored machine. Checks connect to these addresses and to no others.
    Machine {
        /// Its address in the isolated network.
        private: Option<IpAddr>,
        /// Its public address, if it has one.
        public: Option<IpAddr>,
        /// The isolated network: its private address is used only if it lies here.
        network: Cidr,
    },
    /// A site that somebody names, on their own machine and never in the function: checks connect to this address and to no
    /// other, whatever it is.
    Site {
        /// Where it is.
        address: IpAddr,
    },
}

/// Why a check has nothing to judge, in words in which what comes from the copy is marked ([`crate::ceiling`]).
#[derive(Debug)]
pub enum Trouble {
    /// The data is not there: it speaks against the backup.
    Wrong(String),
    /// What a check names is not there under this name, by the rules for names that the server's settings make: it speaks
    /// against the backup if the source had the same settings.
    Unnamed(String),
    /// It could not be looked at: it does not.
    CannotTell(String),
}

impl Trouble {
    /// The same, said of this target: where the source had other settings, a name that is not there proves nothing.
    pub fn of(self, target: &Target) -> Trouble {
        let settings_differ = match target {
            Target::Database {
                settings_differ, ..
            } => *settings_differ,
            Target::Machine { .. } | Target::Site { .. } => false,
        };
        match self {
            Trouble::Unnamed(words) if settings_differ => Trouble::CannotTell(format!(
                "{words}; the source had a parameter group of its own, and the copy tells names apart by its engine's \
                 default (lower_case_table_names, sql_mode)"
            )),
            Trouble::Wrong(_) | Trouble::Unnamed(_) | Trouble::CannotTell(_) => self,
        }
    }

    /// The outcome it makes, and why.
    pub fn told(self) -> (CheckOutcome, String) {
        match self {
            Trouble::Wrong(detail) | Trouble::Unnamed(detail) => (CheckOutcome::Failed, detail),
            Trouble::CannotTell(detail) => (CheckOutcome::Errored, detail),
        }
    }
}

/// A result for each check of a rule that was not even begun.
pub fn not_begun(rule: &Rule, why: &str) -> Vec<CheckResult> {
    rule.checks
        .iter()
        .map(|check| {
            let judgement = Judgement {
                expectation: expectation(check),
                ..ruling(CheckOutcome::Errored, why.to_owned())
            };
            result(check, judgement, Duration::ZERO)
        })
        .collect()
}

/// What a check expects, in words.
pub fn expectation(check: &Check) -> String {
    match &check.kind {
        CheckKind::Sql(sql) => sql.expect.to_string(),
        CheckKind::Profile(check) => match check.tables.len() {
            0 => "there is a table".to_owned(),
            1 => "there is a table, and the one that is named".to_owned(),
            tables => format!("there is a table, and the {tables} that are named"),
        },
        CheckKind::Schema(check) => schema::in_words(&check.expect),
        CheckKind::Data(data) => data.in_words(&data.expect),
        CheckKind::Http(http) => match http.steps.len() {
            1 => "1 step answers as expected".to_owned(),
            steps => format!("{steps} steps answer as expected"),
        },
        CheckKind::Connect(connect) => {
            let port = connect
                .port
                .map_or_else(|| "the port".to_owned(), |port| format!("port {port}"));
            match &connect.greeting {
                None => format!("{port} takes connections"),
                Some(pattern) => format!("{port} greets with text matching /{pattern}/"),
            }
        }
    }
}

/// A judgement without a value.
pub fn ruling(outcome: CheckOutcome, detail: String) -> Judgement {
    Judgement {
        outcome,
        value: None,
        value_number: None,
        datum: None,
        is_expected: false,
        // That of the check is set by the caller.
        expectation: String::new(),
        detail,
        age_at_backup: None,
        age_against_now: None,
        measured: Vec::new(),
        warning: None,
    }
}

/// Words of at most 2000 characters: what a database or a machine says may be in them.
pub fn cut(mut words: String) -> String {
    if let Some((end, _)) = words.char_indices().nth(LONGEST_WORDS) {
        let last = words[..end].char_indices().next_back();
        words.truncate(last.map_or(0, |(start, _)| start));
        words.push('…');
    }
    words
}

/// What became of a check, as the ledger keeps it.
pub fn result(check: &Check, judgement: Judgement, took: Duration) -> CheckResult {
    let measures = check.measures_data_age();
    let minutes = |age: Option<jiff::SignedDuration>| {
        age.filter(|_| measures).map(|age| age.as_secs_f64() / 60.0)
    };
    let mut judgement = judgement;
    if let (CheckOutcome::Passed, Some(warning)) = (judgement.outcome, &judgement.warning) {
        let words = format!("should be {warning}");
        judgement.detail = format!("{}; warning: {words}", judgement.detail);
        judgement.measured.push(Measurement {
            name: "warning".to_owned(),
            number: None,
            text: Some(words.into()),
        });
    }
    let is_credential = judgement
        .value
        .as_deref()
        .is_some_and(looks_like_credential);
    CheckResult {
        name: check.name.clone(),
        kind: check.kind.name().to_owned(),
        outcome: judgement.outcome,
        value: judgement.value.filter(|_| !is_credential),
        value_number: judgement.value_number.filter(|_| !is_credential),
        datum: if is_credential {
            Some(Datum::Credential)
        } else {
            judgement.datum
        },
        is_expected: judgement.is_expected && !is_credential,
        expectation: judgement.expectation,
        detail: Marked::from(cut(judgement.detail)),
        duration_minutes: took.as_secs_f64() / 60.0,
        age_at_backup_minutes: minutes(judgement.age_at_backup),
        age_against_now_minutes: minutes(judgement.age_against_now),
        measured: judgement.measured,
        group: check.group.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ceiling::Ceiling;
    use crate::policy::parse;

    fn detail(words: &str) -> String {
        let policy = parse(
            "version = \"1\"\n[[rules]]\nname = \"r\"\nfrequency = \"every-copy\"\n\
             match = { resource_type = \"EC2\" }\n\
             [[rules.checks]]\nname = \"ssh\"\nkind = \"connect\"\nport = 22\n",
        );
        let result = not_begun(&policy.unwrap().rules[0], words).remove(0);
        result.detail.at(Ceiling::None)
    }

    /// How long a machine took is none of its data; how many rows a table has is.
    #[test]
    fn numbers_of_data_are_withheld_and_those_of_machines_are_not() {
        let policy = |kind: &str, keys: &str| {
            parse(&format!(
                "version = \"1\"\n[[rules]]\nname = \"r\"\nfrequency = \"every-copy\"\nmatch = {{}}\n\
                 credentials = \"reset\"\n[[rules.checks]]\nname = \"c\"\nkind = \"{kind}\"\n{keys}\n"
            ))
        };
        for (kind, keys, is_data) in [
            ("connect", "port = 22", false),
            (
                "http",
                "port = 443\n[[rules.checks.steps]]\npath = \"/\"",
                false,
            ),
            ("sql", "query = \"select 1\"\nexpect = { equals = 1 }", true),
            ("row_count", "table = \"t\"", true),
            ("profile", "", true),
        ] {
            let rule = policy(kind, keys).unwrap().rules.remove(0);
            let mut result = not_begun(&rule, "no").remove(0);
            let measured = Measurement {
                name: "first step, ms".to_owned(),
                number: Some(7.0),
                text: None,
            };
            assert_eq!(
                result.measured_number(&measured, Ceiling::Numbers),
                Some(7.0)
            );
            let shown = (!is_data).then_some(7.0);
            assert_eq!(
                result.measured_number(&measured, Ceiling::None),
                shown,
                "{kind}"
            );
            result.measured.push(measured);
            let lowered = result.lowered(Ceiling::None);
            assert_eq!(lowered.measured[0].number, shown, "{kind}");
        }
    }

    #[test]
    fn words_are_cut_between_characters() {
        for whole in ["", "short", &"ü".repeat(2000)] {
            assert_eq!(detail(whole), whole);
        }
        for letter in ["x", "ü", "🦀"] {
            let expected = letter.repeat(1999) + "…";
            assert_eq!(detail(&letter.repeat(2001)), expected);
            assert_eq!(detail(&letter.repeat(1 << 20)), expected);
        }
    }

    fn checks(resource_type: &str, checks: &str) -> Rule {
        let policy = format!(
            "version = \"1\"\n[[rules]]\nname = \"r\"\nfrequency = \"daily\"\n\
             match = {{ resource_type = \"{resource_type}\" }}\n{checks}"
        );
        parse(&policy).unwrap().rules.remove(0)
    }

    #[test]
    fn what_was_not_begun_could_not_tell_and_says_what_it_would_have_expected() {
        let rule = checks(
            "EC2",
            "[[rules.checks]]\nname = \"ssh\"\nkind = \"connect\"\nport = 22\ngreeting = \"^SSH-2\"\n\
             [[rules.checks]]\nname = \"port\"\nkind = \"connect\"\nport = 25\n\
             [[rules.checks]]\nname = \"page\"\nkind = \"http\"\nport = 80\nsteps = [{ name = \"a\", path = \"/\" }]\n\
             [[rules.checks]]\nname = \"pages\"\nkind = \"http\"\nport = 80\n\
             steps = [{ name = \"a\", path = \"/\" }, { name = \"b\", path = \"/b\" }]\n",
        );
        let results = not_begun(&rule, "the time is over");
        let told: Vec<_> = results
            .iter()
            .map(|result| (result.name.as_str(), result.expectation.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("ssh", "port 22 greets with text matching /^SSH-2/"),
                ("port", "port 25 takes connections"),
                ("page", "1 step answers as expected"),
                ("pages", "2 steps answer as expected"),
            ]
        );
        for result in results {
            assert_eq!(result.outcome, CheckOutcome::Errored);
            assert_eq!(result.detail.at(Ceiling::None), "the time is over");
            assert_eq!(result.duration_minutes, 0.0);
        }
    }

    #[test]
    fn ages_are_those_of_the_check_that_measures_them() {
        let query =
            "kind = \"sql\"\ndatabase = \"d\"\nquery = \"select 1\"\nexpect = { max_age = \"1h\" }";
        let rule = checks(
            "RDS",
            &format!(
                "credentials = \"reset\"\n\
                 [[rules.checks]]\nname = \"a\"\n{query}\n\
                 [[rules.checks]]\nname = \"b\"\n{query}\ndata_age = true\n"
            ),
        );
        let ages = |check: &Check| {
            let judgement = Judgement {
                age_at_backup: Some(jiff::SignedDuration::from_mins(3)),
                age_against_now: Some(jiff::SignedDuration::from_secs(270)),
                ..ruling(CheckOutcome::Passed, String::new())
            };
            let result = result(check, judgement, Duration::from_secs(30));
            assert_eq!(result.duration_minutes, 0.5);
            (result.age_at_backup_minutes, result.age_against_now_minutes)
        };
        assert_eq!(ages(&rule.checks[0]), (None, None));
        assert_eq!(ages(&rule.checks[1]), (Some(3.0), Some(4.5)));
    }

    /// Case 06: MariaDB starts with other rules for names than the source had, and a table of another letter case "does not
    /// exist".
    #[test]
    fn a_name_that_is_not_there_fails_unless_the_source_had_other_settings() {
        let outcome = |settings_differ| {
            let target = Target::Database {
                host: "h".to_owned(),
                port: 3306,
                engine: "mariadb".to_owned(),
                database: None,
                settings_differ,
            };
            let (outcome, words) =
                mysql::sorted(1146, "42S02", "Table 'shop.Orders' doesn't exist", &[])
                    .of(&target)
                    .told();
            assert!(words.contains("shop.Orders"), "{words}");
            (outcome, words.contains("lower_case_table_names"))
        };
        assert_eq!(outcome(false), (CheckOutcome::Failed, false));
        assert_eq!(outcome(true), (CheckOutcome::Errored, true));
        let damaged = mysql::sorted(126, "HY000", "Index is corrupted", &[]);
        assert!(matches!(damaged, Trouble::Wrong(_)));
    }

    #[test]
    fn wrong_data_fails_and_what_cannot_be_told_does_not() {
        let words = || "why".to_owned();
        assert_eq!(
            Trouble::Wrong(words()).told(),
            (CheckOutcome::Failed, words())
        );
        assert_eq!(
            Trouble::CannotTell(words()).told(),
            (CheckOutcome::Errored, words())
        );
    }
}

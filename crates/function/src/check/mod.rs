//! Runs a rule's checks. They cannot fail as a whole: whatever goes wrong becomes the outcome `errored`.

mod access;
mod address;
mod apart;
mod connect;
mod credentials;
mod http;
mod sql;
mod tls;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use restore_proof_core::cidr::Cidr;
use restore_proof_core::expectation::{CheckOutcome, Clocks, Judgement};
use restore_proof_core::policy::{Check, CheckKind, Rule};
use restore_proof_core::validation::CheckResult;

pub use access::Access;
pub use credentials::Login;
pub use tls::Certificates;

/// The longest that the words about a check are, characters.
const LONGEST_WORDS: usize = 2000;

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

/// What became of all checks of a rule.
#[derive(Clone, Debug)]
pub struct Ran {
    /// In the order of the policy.
    pub results: Vec<CheckResult>,
    /// From the start to the end of the first passed check.
    pub first_passed_after: Option<Duration>,
    /// What was noticed besides, in words.
    pub findings: Vec<String>,
}

/// Why a check has nothing to judge.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The data is not there: it speaks against the backup.
    Wrong(String),
    /// It could not be looked at: it does not.
    CannotTell(String),
}

/// Runs the checks one after the other until `time_left` is used up.
pub async fn run(
    rule: &Rule,
    target: &Target,
    access: &Access,
    clocks: Clocks,
    time_left: Duration,
) -> Ran {
    let began = Instant::now();
    let mut results = Vec::new();
    let mut first_passed_after = None;
    for check in &rule.checks {
        let check_began = Instant::now();
        let left = time_left.saturating_sub(began.elapsed());
        let judgement = look(check, target, access, &clocks, left).await;
        if judgement.outcome == CheckOutcome::Passed && first_passed_after.is_none() {
            first_passed_after = Some(began.elapsed());
        }
        results.push(result(check, judgement, check_began.elapsed()));
    }
    Ran {
        results,
        first_passed_after,
        findings: access.findings(&rule.checks).into_iter().map(cut).collect(),
    }
}

/// Runs one check, for `left` at most.
async fn look(
    check: &Check,
    target: &Target,
    access: &Access,
    clocks: &Clocks,
    left: Duration,
) -> Judgement {
    let limit = check.timeout().min(left);
    let place = Place::default();
    let running = async {
        match &check.kind {
            CheckKind::Sql(sql) => sql::value(sql, target, access, limit)
                .await
                .map(|value| sql.expect.judge(&value, clocks)),
            CheckKind::Http(http) => http::run(http, target, access, *clocks, &place, limit).await,
            CheckKind::Connect(connect) => connect::run(connect, target, limit).await,
        }
    };
    let ran = tokio::time::timeout(limit, AssertUnwindSafe(running).catch_unwind()).await;
    let trouble = match ran {
        Ok(Ok(Ok(judgement))) => {
            return Judgement {
                expectation: expectation(check),
                ..judgement
            };
        }
        Ok(Ok(Err(trouble))) => trouble,
        Ok(Err(_)) => Trouble::CannotTell("the check panicked; this is a fault of ours".to_owned()),
        Err(_) if limit < check.timeout() => {
            Trouble::CannotTell("the function's time was used up".to_owned())
        }
        Err(_) => Trouble::CannotTell(format!("no answer within {} s", limit.as_secs())),
    };
    let (outcome, detail) = match trouble {
        Trouble::Wrong(detail) => (CheckOutcome::Failed, detail),
        Trouble::CannotTell(detail) => (CheckOutcome::Errored, detail),
    };
    Judgement {
        expectation: expectation(check),
        ..ruling(outcome, place.before(&detail))
    }
}

/// The step that a check has got to, known also when it was given up there.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<String>>);

impl Place {
    /// Begins a step.
    fn begin(&self, step: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = format!("step {step:?}: ");
    }

    /// A sentence with the step before it, if one was begun.
    fn before(&self, sentence: &str) -> String {
        let step = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{step}{sentence}")
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
fn expectation(check: &Check) -> String {
    match &check.kind {
        CheckKind::Sql(sql) => sql.expect.to_string(),
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
fn ruling(outcome: CheckOutcome, detail: String) -> Judgement {
    Judgement {
        outcome,
        value: None,
        value_number: None,
        // That of the check is set by the caller.
        expectation: String::new(),
        detail,
        age_at_backup: None,
        age_against_now: None,
    }
}

/// An error with all its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        // Some libraries repeat the cause in their own words.
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        cause = inner.source();
    }
    words
}

/// Words of at most [`LONGEST_WORDS`] characters: what a database or a machine says may be in them.
fn cut(mut words: String) -> String {
    if let Some((end, _)) = words.char_indices().nth(LONGEST_WORDS) {
        let last = words[..end].char_indices().next_back();
        words.truncate(last.map_or(0, |(start, _)| start));
        words.push('…');
    }
    words
}

fn result(check: &Check, judgement: Judgement, took: Duration) -> CheckResult {
    let measures = check.measures_data_age();
    let minutes = |age: Option<jiff::SignedDuration>| {
        age.filter(|_| measures).map(|age| age.as_secs_f64() / 60.0)
    };
    CheckResult {
        name: check.name.clone(),
        kind: check.kind.name().to_owned(),
        outcome: judgement.outcome,
        value: judgement.value,
        value_number: judgement.value_number,
        expectation: judgement.expectation,
        detail: cut(judgement.detail),
        duration_minutes: took.as_secs_f64() / 60.0,
        age_at_backup_minutes: minutes(judgement.age_at_backup),
        age_against_now_minutes: minutes(judgement.age_against_now),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use restore_proof_core::policy::parse;

    fn detail(words: &str) -> String {
        let policy = parse(
            "version = \"1\"\n[[rules]]\nname = \"r\"\nfrequency = \"every-copy\"\n\
             match = { resource_type = \"EC2\" }\n\
             [[rules.checks]]\nname = \"ssh\"\nkind = \"connect\"\nport = 22\n",
        );
        not_begun(&policy.unwrap().rules[0], words).remove(0).detail
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
}

//! Runs a rule's checks. They cannot fail as a whole: whatever goes wrong becomes the outcome `errored`.

mod access;
mod apart;
mod connect;
mod credentials;
mod http;
mod sql;
mod tls;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use restore_proof_core::ceiling;
use restore_proof_core::check::{Trouble, cut, expectation, result, ruling};
use restore_proof_core::expectation::{CheckOutcome, Clocks, Judgement};
use restore_proof_core::policy::{Check, CheckKind, Rule};
use restore_proof_core::validation::CheckResult;

pub use access::Access;
pub use credentials::Login;
pub use restore_proof_core::check::{Target, not_begun};
pub use tls::{Certificates, are_old as certificates_are_old};

/// What became of all checks of a rule.
#[derive(Clone, Debug)]
pub struct Ran {
    /// In the order of the policy.
    pub results: Vec<CheckResult>,
    /// From the start to the end of the first passed check.
    pub first_passed_after: Option<Duration>,
    /// What was noticed besides, in words.
    pub findings: Vec<String>,
    /// What checks that passed found not as it should be, in words without data.
    pub warnings: Vec<String>,
}

/// Runs the checks one after the other until `time_left` is used up.
pub async fn run(
    rule: &Rule,
    target: &Target,
    access: &Access,
    clocks: Clocks,
    time_left: Duration,
) -> Ran {
    run_telling(rule, target, access, clocks, time_left, |_| {}).await
}

/// The same, and tells of each check when it begins.
pub async fn run_telling(
    rule: &Rule,
    target: &Target,
    access: &Access,
    clocks: Clocks,
    time_left: Duration,
    begins: impl Fn(&Check),
) -> Ran {
    let began = Instant::now();
    let mut results = Vec::new();
    let mut warnings = Vec::new();
    let mut first_passed_after = None;
    let mut sessions = sql::Sessions::default();
    for check in &rule.checks {
        begins(check);
        let check_began = Instant::now();
        let left = time_left.saturating_sub(began.elapsed());
        let judgement = look(check, target, access, &clocks, &mut sessions, left).await;
        if judgement.outcome == CheckOutcome::Passed && first_passed_after.is_none() {
            first_passed_after = Some(began.elapsed());
        }
        if let (CheckOutcome::Passed, Some(warning)) = (judgement.outcome, &judgement.warning) {
            warnings.push(cut(format!(
                "the check {:?} passed, and warns: it should be {warning}",
                check.name
            )));
        }
        results.push(result(check, judgement, check_began.elapsed()));
    }
    Ran {
        results,
        first_passed_after,
        findings: access.findings(&rule.checks).into_iter().map(cut).collect(),
        warnings,
    }
}

/// Runs one check, for `left` at most.
async fn look(
    check: &Check,
    target: &Target,
    access: &Access,
    clocks: &Clocks,
    sessions: &mut sql::Sessions,
    left: Duration,
) -> Judgement {
    let limit = check.timeout.min(left);
    let place = Place::default();
    let running = async {
        match &check.kind {
            CheckKind::Sql(sql) => sql::run(sql, target, access, *clocks, sessions, limit).await,
            CheckKind::Data(data) => {
                sql::run_data(data, target, access, *clocks, sessions, limit).await
            }
            CheckKind::Schema(schema) => {
                sql::run_schema(schema, target, access, sessions, limit).await
            }
            CheckKind::Profile(profile) => {
                sql::run_profile(profile, target, access, sessions, limit).await
            }
            CheckKind::Http(http) => http::run(http, target, access, *clocks, &place, limit).await,
            CheckKind::Connect(connect) => {
                connect::run(connect, target, limit, limit < check.timeout).await
            }
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
        Err(_) if limit < check.timeout => {
            Trouble::CannotTell("the function's time was used up".to_owned())
        }
        Err(_) => Trouble::CannotTell(format!("no answer within {} s", limit.as_secs())),
    };
    let (outcome, detail) = trouble.of(target).told();
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

/// An error with all its causes, in one line, in which what the other side says of itself is marked.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(words) = tls_words(error) {
        return words;
    }
    let mut words = String::new();
    for cause in causes(error) {
        let more = told(cause);
        // Some libraries repeat the cause in their own words.
        if !words.ends_with(&more) {
            words = if words.is_empty() {
                more
            } else {
                format!("{words}: {more}")
            };
        }
    }
    words
}

/// An error, and what it comes from.
fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// What a library says of an error. The other side's words are in errors of input.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let words = error.to_string();
    match error.downcast_ref::<std::io::Error>() {
        Some(input) if input.get_ref().is_some() => {
            ceiling::text_or(&words, &input.kind().to_string())
        }
        _ => words,
    }
}

/// What is said of a TLS connection that could not be made, if that is the cause.
fn tls_words(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    causes(error).find_map(tls).map(of_tls)
}

fn tls<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    error.downcast_ref().or_else(|| {
        let input = error.downcast_ref::<std::io::Error>()?;
        input.get_ref()?.downcast_ref()
    })
}

/// What is said of a TLS connection that could not be made: all that stands in the other side's certificate is its own word.
fn of_tls(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error};
    let instead = match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "invalid peer certificate: it has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "invalid peer certificate: it is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "invalid peer certificate: certificate not valid for this name"
            }
            CertificateError::UnknownIssuer => "invalid peer certificate: UnknownIssuer",
            CertificateError::BadSignature => "invalid peer certificate: BadSignature",
            CertificateError::Revoked => "invalid peer certificate: Revoked",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "invalid peer certificate: it is not one of a server"
            }
            _ => "invalid peer certificate",
        },
        // Words of the protocol, each of which stands in its specification.
        Error::AlertReceived(_) | Error::PeerIncompatible(_) | Error::PeerMisbehaved(_) => {
            return error.to_string();
        }
        _ => "the TLS connection could not be made",
    };
    ceiling::text_or(&error.to_string(), instead)
}

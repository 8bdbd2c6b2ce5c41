//! Runs a rule's checks. They cannot fail as a whole: whatever goes wrong becomes the outcome `errored`.

mod credentials;
mod sql;
mod tls;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use restore_proof_core::expectation::{CheckOutcome, Clocks, Expectation, Judgement};
use restore_proof_core::policy::{Check, CheckKind, Rule};
use restore_proof_core::validation::CheckResult;

use crate::aws::Aws;
use crate::config::S3Uri;

pub use credentials::Login;

/// What checks are run against.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// RDS's name of the engine.
    pub engine: String,
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

/// Why a check has no value to judge.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The data is not there: it speaks against the backup.
    Wrong(String),
    /// It could not be looked at: it does not.
    CannotTell(String),
}

/// Runs the checks one after the other until `time_left` is used up.
pub async fn run(
    aws: &Aws,
    rule: &Rule,
    target: &Target,
    ca_bundle: Option<&S3Uri>,
    clocks: Clocks,
    time_left: Duration,
) -> Ran {
    let began = Instant::now();
    let mut findings = Vec::new();
    if rule.tls != restore_proof_core::policy::Tls::Verify {
        findings.push(format!(
            "the policy asks for tls = {:?}: the database's certificate was not verified",
            sql::tls_word(rule.tls)
        ));
    }
    let prepare = async {
        let login = Login::read(aws, rule.credentials.as_ref()).await?;
        let connector = tls::connector(aws, rule.tls, ca_bundle).await?;
        Ok::<_, String>((login, connector))
    };
    let prepared = match tokio::time::timeout(time_left, prepare).await {
        Ok(prepared) => prepared,
        Err(_) => Err("credentials and certificates could not be read in time".to_owned()),
    };
    let mut results = Vec::new();
    let mut first_passed_after = None;
    for check in &rule.checks {
        let check_began = Instant::now();
        let left = time_left.saturating_sub(began.elapsed());
        let judgement = match &prepared {
            Err(problem) => errored(expectation(check), problem.clone()),
            Ok((login, connector)) => {
                let CheckKind::Sql(sql) = &check.kind;
                let limit = sql.timeout.min(left);
                let running = AssertUnwindSafe(sql::value(sql, target, login, connector, limit))
                    .catch_unwind();
                let observed = match tokio::time::timeout(limit, running).await {
                    Ok(Ok(observed)) => observed,
                    Ok(Err(_)) => Err(Trouble::CannotTell(
                        "the check panicked; this is a fault of ours".to_owned(),
                    )),
                    Err(_) if limit < sql.timeout => Err(Trouble::CannotTell(
                        "the function's time was used up".to_owned(),
                    )),
                    Err(_) => Err(Trouble::CannotTell(format!(
                        "no answer within {} s",
                        limit.as_secs()
                    ))),
                };
                match observed {
                    Ok(value) => sql.expect.judge(&value, &clocks),
                    Err(Trouble::Wrong(detail)) => Judgement {
                        outcome: CheckOutcome::Failed,
                        ..errored(&sql.expect, detail)
                    },
                    Err(Trouble::CannotTell(detail)) => errored(&sql.expect, detail),
                }
            }
        };
        if judgement.outcome == CheckOutcome::Passed && first_passed_after.is_none() {
            first_passed_after = Some(began.elapsed());
        }
        results.push(result(check, judgement, check_began.elapsed()));
    }
    Ran {
        results,
        first_passed_after,
        findings,
    }
}

/// A result for each check of a rule that was not even begun.
pub fn not_begun(rule: &Rule, why: &str) -> Vec<CheckResult> {
    rule.checks
        .iter()
        .map(|check| {
            result(
                check,
                errored(expectation(check), why.to_owned()),
                Duration::ZERO,
            )
        })
        .collect()
}

fn expectation(check: &Check) -> &Expectation {
    let CheckKind::Sql(sql) = &check.kind;
    &sql.expect
}

fn errored(expectation: &Expectation, detail: String) -> Judgement {
    Judgement {
        outcome: CheckOutcome::Errored,
        value: None,
        value_number: None,
        expectation: expectation.to_string(),
        detail,
        age_at_backup: None,
        age_against_now: None,
    }
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
        detail: judgement.detail,
        duration_minutes: took.as_secs_f64() / 60.0,
        age_at_backup_minutes: minutes(judgement.age_at_backup),
        age_against_now_minutes: minutes(judgement.age_against_now),
    }
}

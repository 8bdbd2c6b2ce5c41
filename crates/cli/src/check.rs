//! `restore-proof check`: a rule's checks against any database or site, by the function's own code. To write checks
//! without waiting for a restore.

mod password;
mod show;
mod target;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use restore_proof_core::ceiling::{Ceiling, Marked};
use restore_proof_core::expectation::{CheckOutcome, Clocks};
use restore_proof_core::policy::{Check, CheckKind, Rule, Tls};
use restore_proof_core::validation::CheckResult;
use restore_proof_core::verdict::{self, Verdict};
use restore_proof_function::check::{self, Access, Certificates, Login, Target};

use crate::exit::{self, Problem};
use crate::policy;
use target::{Given, Place};

/// What of the data is shown: whoever types the command has the login to it.
const SHOWN: Ceiling = Ceiling::Text;

/// Nothing but the checks' own timeouts ends them.
const TIME_LEFT: Duration = Duration::from_secs(24 * 60 * 60);

/// Options of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES, after_long_help = long_help())]
pub(crate) struct Args {
    /// The policy file (TOML)
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The rule whose checks are run
    #[arg(long, value_name = "NAME")]
    rule: String,
    /// Where: postgres://user@host:5432/database, mysql://…, mariadb://…, http://host:8080 or https://…
    #[arg(long, value_name = "URL")]
    target: String,
    /// Run only this check of the rule; may be repeated
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,
    /// Certificates to verify by (PEM), instead of those of Amazon RDS
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How strictly to connect, instead of what the rule says
    #[arg(long, value_enum, value_name = "MODE")]
    tls: Option<TlsMode>,
    /// When the backup was made, from which max_age counts, for example 2026-11-20T03:00:00Z
    /// [default: now]
    #[arg(long, value_name = "TIME")]
    backed_up_at: Option<Timestamp>,
}

fn long_help() -> String {
    format!(
        "A database's password is read from the environment variable RESTORE_PROOF_PASSWORD, else from the URL, else asked \
         for on the terminal. It is never shown. The rule's own credentials are not used.\n\n\
         Queries run in a read-only transaction. http checks go to the scheme and port of the URL, connect checks to their \
         own port. Checks that do not fit the target are skipped.\n\n{}",
        exit::CODES
    )
}

/// `tls` of a rule.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum TlsMode {
    /// Encrypted, certificate verified
    Verify,
    /// Encrypted, whatever the certificate
    EncryptOnly,
    /// Not encrypted
    Off,
}

impl From<TlsMode> for Tls {
    fn from(mode: TlsMode) -> Tls {
        match mode {
            TlsMode::Verify => Tls::Verify,
            TlsMode::EncryptOnly => Tls::EncryptOnly,
            TlsMode::Off => Tls::Off,
        }
    }
}

/// What became of one check.
enum Became {
    Ran(CheckResult),
    /// It does not fit the target; why.
    Skipped(Check, &'static str),
}

/// All that is to be said at the end.
struct Report {
    rule: String,
    target: String,
    tls: Tls,
    backed_up_at: Timestamp,
    became: Vec<Became>,
    verdict: Verdict,
    reason: Marked,
    /// What to know besides, in words.
    notes: Vec<String>,
}

/// Runs a rule's checks.
///
/// # Errors
/// When they cannot be run at all.
pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let policy = policy::load(&args.policy)?;
    let mut rule = policy::rule(&policy, &args.rule)?.clone();
    let given = target::read(&args.target)?;
    only(&mut rule, &args.only)?;
    let certificates = match &args.ca {
        None => Certificates::BuiltIn,
        Some(file) => Certificates::Pem(std::fs::read(file).map_err(|error| {
            let name = policy::name(file);
            Problem::usage(format!("cannot read the certificates {name}: {error}"))
        })?),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let done = runtime.block_on(async {
        tokio::select! {
            report = all(args, rule, &given, certificates, json) => report.map(Some),
            _ = tokio::signal::ctrl_c() => Ok(None),
        }
    });
    // A lookup or a question may still wait in a thread of its own.
    runtime.shutdown_background();
    let Some(report) = done? else {
        return Ok(ExitCode::from(exit::INTERRUPTED));
    };
    show::print(&report, json)?;
    Ok(ExitCode::from(exit::of_verdict(report.verdict)))
}

/// Keeps the checks of these names.
fn only(rule: &mut Rule, names: &[String]) -> Result<(), Problem> {
    for name in names {
        if !rule.checks.iter().any(|check| check.name == *name) {
            let known: Vec<_> = rule
                .checks
                .iter()
                .map(|check| format!("{:?}", check.name))
                .collect();
            let help = match known.len() {
                0 => "it has none".to_owned(),
                _ => format!("its checks are {}", known.join(", ")),
            };
            let what = format!("the rule {:?} has no check {name:?}", rule.name);
            return Err(Problem::usage(what).help(help));
        }
    }
    if !names.is_empty() {
        rule.checks.retain(|check| names.contains(&check.name));
    }
    Ok(())
}

/// Runs one check after the other.
async fn all(
    args: &Args,
    mut rule: Rule,
    given: &Given,
    certificates: Certificates,
    json: bool,
) -> anyhow::Result<Report> {
    let mut notes = Vec::new();
    if let Some(mode) = args.tls {
        let tls = Tls::from(mode);
        if tls != rule.tls {
            notes.push(format!(
                "tls = {:?} by --tls, not {:?} as the rule says",
                word(tls),
                word(rule.tls)
            ));
        }
        rule.tls = tls;
    }
    let (target, more) = given.resolve(&mut rule).await?;
    notes.extend(more);
    let logs_in = |check: &Check| check.logs_in() && misfit(check, &target).is_none();
    let login = if rule.checks.iter().any(logs_in) {
        Some(login(given).await?)
    } else {
        None
    };
    let access = Access::given(login, rule.tls, certificates).map_err(Problem::usage)?;

    let backed_up_at = args.backed_up_at.unwrap_or_else(Timestamp::now);
    let clocks = Clocks {
        recovery_point_created: backed_up_at,
        now: Timestamp::now(),
    };
    let misfits: Vec<_> = rule
        .checks
        .iter()
        .map(|check| misfit(check, &target))
        .collect();
    let all = rule.checks.clone();
    rule.checks.retain(|check| misfit(check, &target).is_none());
    let spinner = spinner(json, rule.checks.len());
    let begins = |check: &Check| {
        spinner.set_message(crate::output::printable(&check.name));
        spinner.inc(1);
    };
    let ran = check::run_telling(&rule, &target, &access, clocks, TIME_LEFT, begins).await;
    // Words about tls would name the rule; ours may come from the command line.
    notes.extend(ran.findings.into_iter().filter(|_| args.tls.is_none()));
    notes.extend(ran.warnings);
    let mut results = ran.results.into_iter();
    let became: Vec<_> = std::iter::zip(all, misfits)
        .filter_map(|(check, misfit)| match misfit {
            Some(why) => Some(Became::Skipped(check, why)),
            None => results.next().map(Became::Ran),
        })
        .collect();
    spinner.finish_and_clear();
    let results: Vec<_> = became
        .iter()
        .filter_map(|became| match became {
            Became::Ran(result) => Some(result.clone()),
            Became::Skipped(..) => None,
        })
        .collect();
    let (verdict, reason) = match (results.len(), became.len()) {
        (0, 1..) => (
            Verdict::Unchecked,
            "no check of the rule fits the target".into(),
        ),
        _ => verdict::of_checks(&results),
    };
    notes.extend(hints(&results, given));
    Ok(Report {
        rule: rule.name,
        target: given.shown.clone(),
        tls: rule.tls,
        backed_up_at,
        became,
        verdict,
        reason,
        notes,
    })
}

/// How the target is logged in to.
async fn login(given: &Given) -> Result<Login, Problem> {
    let username = given.username.clone().ok_or_else(|| {
        Problem::usage("the target names no user").help(
            "write for example postgres://reader@host:5432/shop; a user that may only read is best",
        )
    })?;
    let password = password::find(given, &username).await?;
    Ok(Login::new(username, password, None))
}

/// Why a check does not fit the target; none when it does.
fn misfit(check: &Check, target: &Target) -> Option<&'static str> {
    match (&check.kind, target) {
        (
            CheckKind::Sql(_) | CheckKind::Schema(_) | CheckKind::Profile(_) | CheckKind::Data(_),
            Target::Database { .. },
        ) => None,
        (CheckKind::Schema(_) | CheckKind::Profile(_) | CheckKind::Data(_), _) => {
            Some("checks of data need a database: postgres://… or mysql://…")
        }
        (CheckKind::Sql(_), _) => Some("sql checks need a database: postgres://… or mysql://…"),
        (CheckKind::Http(_), Target::Database { .. }) => {
            Some("http checks need a site: http://… or https://…")
        }
        (CheckKind::Connect(connect), Target::Site { .. } | Target::Machine { .. })
            if connect.port.is_none() =>
        {
            Some("it connects to a database's own port: postgres://… or mysql://…")
        }
        (CheckKind::Http(_) | CheckKind::Connect(_), _) => None,
    }
}

/// What may help when something could not be told.
fn hints(results: &[CheckResult], given: &Given) -> Vec<String> {
    let errored = |words: &[&str]| {
        results.iter().any(|result| {
            let detail = result.detail.at(SHOWN).to_lowercase();
            result.outcome == CheckOutcome::Errored
                && words.iter().any(|word| detail.contains(word))
        })
    };
    let mut hints = Vec::new();
    if errored(&["certificate", "tls"]) {
        hints.push(
            "give the certificates to verify by with --ca FILE, or take any with --tls encrypt-only; a server without TLS \
             needs --tls off"
                .to_owned(),
        );
    }
    if let Place::Database { .. } = given.place
        && given.database.is_none()
        && errored(&["no database", "database \""])
    {
        hints.push("name the database behind a slash: …/shop".to_owned());
    }
    hints
}

fn word(tls: Tls) -> &'static str {
    match tls {
        Tls::Verify => "verify",
        Tls::EncryptOnly => "encrypt-only",
        Tls::Off => "off",
    }
}

/// Shows on a terminal which check is running.
fn spinner(json: bool, checks: usize) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new(checks as u64);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} of {len}  {wide_msg}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

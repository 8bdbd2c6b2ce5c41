//! `restore-proof doctor`: what would keep a validation from working, in the stack as it is deployed.
//!
//! Each area looks at one part of it and judges what it saw; none knows of another, and whatever becomes of one, the others
//! go on. What could not be looked at is never called fine.

mod alarms;
mod api;
mod cost;
mod endpoints;
mod events;
mod function;
mod grants;
mod key;
mod network;
mod policy;
mod quotas;
mod roles;
mod stack;
mod topic;
mod vaults;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use restore_proof_function::aws::AwsError;
use serde_json::{Value, json};

use crate::exit;
use crate::output::{self, BLUE, BOLD, DIM, GREEN, RED, YELLOW, count, one_line, paint};
use stack::Stack;

/// The longest that one area may take: some ask page after page.
const AREA_TIMEOUT: Duration = Duration::from_secs(120);

/// Options of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES, after_long_help = long_help())]
pub(crate) struct Args {
    /// Name or ARN of the function: the stack's parameter NamePrefix
    #[arg(long, value_name = "NAME", default_value = "restore-proof")]
    function: String,
}

fn long_help() -> String {
    format!(
        "Nothing is changed. Region and credentials come from where `validate --help` says. infra/doctor-policy.json holds \
         the permissions that all of it needs; without some of them the rest is examined all the same, and what could not \
         be seen is named with the permission that is missing.\n\n{}",
        exit::CODES
    )
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// As it should be.
    Fine,
    /// It would keep validations, or people's hearing of them, from working.
    Broken,
    /// These credentials do not show it.
    Unseen,
}

impl State {
    /// The word in JSON, and for people.
    fn word(self) -> &'static str {
        match self {
            State::Fine => "fine",
            State::Broken => "broken",
            State::Unseen => "unseen",
        }
    }
}

/// A part of what is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Area {
    /// The function itself.
    Function,
    /// The vaults that it watches.
    Vaults,
    /// Roles, and the resource types that AWS Backup may restore.
    Roles,
    /// The isolated network.
    Network,
    /// The way from the network to AWS.
    Endpoints,
    /// How much the account may have.
    Quotas,
    /// How people hear of verdicts.
    Topic,
    /// The policy file and what it names.
    Policy,
    /// How the function hears of recovery points.
    Events,
    /// The stack's alarms.
    Alarms,
    /// What it costs while nothing is restored.
    Cost,
}

impl Area {
    const ALL: [Area; 11] = [
        Area::Function,
        Area::Vaults,
        Area::Roles,
        Area::Network,
        Area::Endpoints,
        Area::Quotas,
        Area::Topic,
        Area::Policy,
        Area::Events,
        Area::Alarms,
        Area::Cost,
    ];

    fn name(self) -> &'static str {
        match self {
            Area::Function => "function",
            Area::Vaults => "vaults",
            Area::Roles => "roles",
            Area::Network => "network",
            Area::Endpoints => "endpoints",
            Area::Quotas => "quotas",
            Area::Topic => "topic",
            Area::Policy => "policy",
            Area::Events => "events",
            Area::Alarms => "alarms",
            Area::Cost => "cost",
        }
    }

    async fn examine(self, stack: &Stack, findings: &mut Findings) {
        match self {
            Area::Function => function::examine(stack, findings).await,
            Area::Vaults => vaults::examine(stack, findings).await,
            Area::Roles => roles::examine(stack, findings).await,
            Area::Network => network::examine(stack, findings).await,
            Area::Endpoints => endpoints::examine(stack, findings).await,
            Area::Quotas => quotas::examine(stack, findings).await,
            Area::Topic => topic::examine(stack, findings).await,
            Area::Policy => policy::examine(stack, findings).await,
            Area::Events => events::examine(stack, findings).await,
            Area::Alarms => alarms::examine(stack, findings).await,
            Area::Cost => cost::examine(stack, findings).await,
        }
    }
}

/// One thing that was looked at, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    area: Area,
    /// What was examined, in a word that does not change.
    examined: &'static str,
    state: State,
    words: String,
    /// The command or the parameter that mends it.
    remedy: Option<String>,
    /// Whether people are to know it although it is fine.
    is_told: bool,
}

/// What was found in one area.
pub(crate) struct Findings {
    area: Area,
    found: Vec<Finding>,
}

impl Findings {
    fn of(area: Area) -> Findings {
        Findings {
            area,
            found: Vec::new(),
        }
    }

    fn add(
        &mut self,
        examined: &'static str,
        state: State,
        words: impl Into<String>,
        remedy: Option<String>,
    ) {
        self.found.push(Finding {
            area: self.area,
            examined,
            state,
            words: words.into(),
            remedy,
            is_told: state != State::Fine,
        });
    }

    /// As it should be.
    fn fine(&mut self, examined: &'static str, words: impl Into<String>) {
        self.add(examined, State::Fine, words, None);
    }

    /// As it should be, and worth telling.
    fn note(&mut self, examined: &'static str, words: impl Into<String>) {
        self.fine(examined, words);
        if let Some(last) = self.found.last_mut() {
            last.is_told = true;
        }
    }

    /// Not as it should be, and what mends it.
    fn broken(
        &mut self,
        examined: &'static str,
        words: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(examined, State::Broken, words, Some(remedy.into()));
    }

    /// Not to be seen, for a reason that is no error of AWS, and what to do about it.
    fn unseen(
        &mut self,
        examined: &'static str,
        words: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(examined, State::Unseen, words, Some(remedy.into()));
    }

    /// Not to be seen, because a call did not succeed.
    fn refused(&mut self, examined: &'static str, what: &str, error: &AwsError) {
        let action = action_of(error.operation);
        if error.is_access_denied() {
            let words = format!("{what}: not to be seen without the permission {action}");
            let remedy = format!("allow these credentials {action}: infra/doctor-policy.json");
            self.unseen(examined, words, remedy);
        } else {
            let words = format!("{what}: {action} failed: {}", error.message);
            self.add(examined, State::Unseen, words, None);
        }
    }
}

/// The permission that an operation needs: of most it has the operation's name.
fn action_of(operation: &str) -> &str {
    match operation {
        "lambda:Invoke" => "lambda:InvokeFunction",
        "s3:ListObjectsV2" => "s3:ListBucket",
        other => other,
    }
}

/// Examines the stack.
///
/// # Errors
/// When there are no credentials, or no such function.
pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let done = runtime.block_on(async {
        tokio::select! {
            report = examine(&args.function) => report.map(Some),
            _ = tokio::signal::ctrl_c() => Ok(None),
        }
    });
    runtime.shutdown_background();
    let Some(report) = done? else {
        return Ok(ExitCode::from(exit::INTERRUPTED));
    };
    if json {
        output::say_json(&report.document())?;
    } else {
        output::say(&report.told())?;
    }
    Ok(ExitCode::from(report.exit_code()))
}

async fn examine(function: &str) -> anyhow::Result<Report> {
    let stack = match Stack::find(function).await? {
        stack::Looked::Seen(stack) => Arc::new(*stack),
        stack::Looked::Not(mut findings) => {
            findings.unseen(
                "everything_else",
                "the other areas: where to look, the function's settings say",
                "make the function's settings readable first",
            );
            return Ok(Report {
                of: json!({ "function": function }),
                found: findings.found,
            });
        }
    };
    let bar = progress();
    let mut running = Vec::new();
    for area in Area::ALL {
        let (stack, bar) = (Arc::clone(&stack), bar.clone());
        let task = tokio::spawn(async move {
            let mut findings = Findings::of(area);
            let done =
                tokio::time::timeout(AREA_TIMEOUT, area.examine(&stack, &mut findings)).await;
            if done.is_err() {
                let words = format!("not done after {} s", AREA_TIMEOUT.as_secs());
                findings.add("area", State::Unseen, words, None);
            }
            bar.inc(1);
            bar.set_message(area.name());
            findings.found
        });
        running.push((area, task));
    }
    let mut found = Vec::new();
    for (area, task) in running {
        found.extend(task.await.unwrap_or_else(|_| {
            let mut findings = Findings::of(area);
            let words = "a fault of this program ended the examination";
            findings.add("area", State::Unseen, words, None);
            findings.found
        }));
    }
    bar.finish_and_clear();
    Ok(Report {
        of: stack.described(),
        found,
    })
}

/// How many areas are done, on standard error while it is a terminal.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let all = Some(Area::ALL.len() as u64);
    let bar = ProgressBar::with_draw_target(all, ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {bar:28.green/dim} {pos}/{len} {msg}")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// All that was found.
struct Report {
    /// Which stack, for programs.
    of: Value,
    found: Vec<Finding>,
}

impl Report {
    fn number(&self, state: State) -> usize {
        self.found.iter().filter(|one| one.state == state).count()
    }

    fn exit_code(&self) -> u8 {
        match (self.number(State::Broken), self.number(State::Unseen)) {
            (0, 0) => exit::FINE,
            (0, _) => exit::UNSEEN,
            _ => exit::BROKEN,
        }
    }

    /// For programs: names and words of states stay, keys are added only.
    fn document(&self) -> Value {
        let findings = self.found.iter().map(|one| {
            json!({
                "area": one.area.name(),
                "examined": one.examined,
                "state": one.state.word(),
                "words": one.words,
                "remedy": one.remedy,
            })
        });
        let mut document = self.of.clone();
        document["findings"] = findings.collect();
        for state in [State::Fine, State::Broken, State::Unseen] {
            document[state.word()] = json!(self.number(state));
        }
        document
    }

    /// For people: a line for each area, and below it what is not fine.
    fn told(&self) -> String {
        let text = |key: &str| one_line(self.of[key].as_str().unwrap_or("unknown"));
        let mut out = format!(
            "{BOLD}{}{BOLD:#} in {}, account {}\n\n",
            text("function"),
            text("region"),
            text("account")
        );
        for area in Area::ALL {
            let of_area = || self.found.iter().filter(move |one| one.area == area);
            if of_area().next().is_none() {
                continue;
            }
            let numbers = [
                (State::Fine, GREEN, "fine"),
                (State::Broken, RED, "broken"),
                (State::Unseen, YELLOW, "not to be seen"),
            ];
            let numbers: Vec<String> = numbers
                .into_iter()
                .filter_map(|(state, style, word)| {
                    let number = of_area().filter(|one| one.state == state).count();
                    (number > 0).then(|| paint(style, &format!("{number} {word}")))
                })
                .collect();
            out += &format!("{BLUE}{:<10}{BLUE:#} {}\n", area.name(), numbers.join(", "));
            for one in of_area().filter(|one| one.is_told) {
                let (style, mark) = match one.state {
                    State::Fine => (DIM, "note"),
                    State::Broken => (RED, "broken"),
                    State::Unseen => (YELLOW, "unseen"),
                };
                out += &lines(&format!("  {mark:<8} "), style, &one.words);
                if let Some(remedy) = &one.remedy {
                    out += &lines("           ", BLUE, remedy);
                }
            }
        }
        let (broken, unseen) = (self.number(State::Broken), self.number(State::Unseen));
        let (style, sum) = match (broken, unseen) {
            (0, 0) => (
                GREEN,
                format!(
                    "Nothing keeps validations from working: {} examined.",
                    count(self.found.len(), "thing")
                ),
            ),
            (0, unseen) => (
                YELLOW,
                format!("Nothing broken was found, but {unseen} could not be seen."),
            ),
            (broken, 0) => (RED, format!("{broken} broken.")),
            (broken, unseen) => (
                RED,
                format!("{broken} broken, and {unseen} could not be seen."),
            ),
        };
        out += &format!("\n{}\n", paint(style, &sum));
        out
    }
}

/// A text behind a mark; in a terminal its further lines stand below its first. A command is not broken up elsewhere, so that
/// it can be copied.
fn lines(mark: &str, style: clap::builder::styling::Style, text: &str) -> String {
    let text = one_line(text);
    let room = output::width().map(|width| width.saturating_sub(mark.len()).max(20));
    let pieces = room.map_or_else(|| vec![text.clone()], |room| output::wrap(&text, room));
    let mut out = String::new();
    for (number, piece) in pieces.iter().enumerate() {
        let before = if number == 0 {
            mark.to_owned()
        } else {
            " ".repeat(mark.len())
        };
        out += &format!("{}{}\n", before, paint(style, piece));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(states: &[State]) -> Report {
        let mut findings = Findings::of(Area::Vaults);
        for state in states {
            findings.add("vault_exists", *state, "words", None);
        }
        Report {
            of: json!({ "function": "restore-proof" }),
            found: findings.found,
        }
    }

    #[test]
    fn what_is_broken_weighs_more_than_what_is_not_seen() {
        use State::{Broken, Fine, Unseen};
        assert_eq!(report(&[Fine]).exit_code(), exit::FINE);
        assert_eq!(report(&[Fine, Unseen]).exit_code(), exit::UNSEEN);
        assert_eq!(report(&[Unseen, Broken, Fine]).exit_code(), exit::BROKEN);
    }

    #[test]
    fn a_refusal_names_the_permission() {
        let mut findings = Findings::of(Area::Endpoints);
        let denied = AwsError {
            operation: "lambda:Invoke",
            code: Some("AccessDeniedException".to_owned()),
            message: "no".to_owned(),
        };
        findings.refused("endpoint_answers", "what the function hears", &denied);
        let found = &findings.found[0];
        assert_eq!(found.state, State::Unseen);
        assert!(found.words.contains("lambda:InvokeFunction"), "{found:?}");
        let silent = AwsError {
            code: None,
            ..denied
        };
        findings.refused("endpoint_answers", "what the function hears", &silent);
        assert_eq!(findings.found[1].state, State::Unseen);
    }

    #[test]
    fn a_healthy_area_is_one_line() {
        let told = report(&[State::Fine, State::Fine]).told();
        let lines: Vec<&str> = told.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 3, "{told}");
        assert!(lines[1].contains("2 fine"), "{told}");
    }
}

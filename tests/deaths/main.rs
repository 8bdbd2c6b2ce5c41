//! Real deaths: the real bootstrap is killed by SIGKILL again and again, against an AWS served on loopback; in the end
//! the world must look as if nobody had died.
//!
//!     TIME=5m make deaths      plays rounds for so long; one minute when nothing is said
//!     SEED=7 make deaths       plays the one round of this seed
//!
//! The seed fixes what lands when, and at which call a process is killed. Processes are real, so that a round is not
//! repeated to the letter, but nearly.

mod clock;
mod copies;
mod kills;
mod round;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use restore_proof_local_aws::process::StateFolder;

use clock::Library;
use kills::When;
use round::{Played, Props};

/// How many rounds are under way at once: much of the time each waits for processes to start.
const AT_ONCE: usize = 2;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("deaths: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let bootstrap = bootstrap()?;
    let time = match env::var("TIME") {
        Ok(text) => duration(&text)?,
        Err(_) => Duration::from_secs(60),
    };
    let only = match env::var("SEED") {
        Ok(seed) => Some(seed.parse::<u64>().context("SEED must be a number")?),
        Err(_) => None,
    };
    let first = only.unwrap_or_else(|| Timestamp::now().as_second().unsigned_abs());
    let mut state = StateFolder::create()?;
    let library = Library::build(state.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let began = Instant::now();
    let seeds = (first..).take_while(|seed| match only {
        Some(only) => *seed == only,
        None => began.elapsed() < time,
    });
    let mut total = Total::default();
    runtime.block_on(async {
        let mut rounds = stream::iter(seeds)
            .map(|seed| play(seed, &bootstrap, state.path(), &library))
            .buffer_unordered(AT_ONCE);
        while let Some((seed, played)) = rounds.next().await {
            total.add(seed, played);
        }
    });
    println!("{}", total.told(first, began.elapsed()));
    if total.violations == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    state.keep();
    println!("The logs of the rounds stay in {}", state.path().display());
    Ok(ExitCode::FAILURE)
}

async fn play(
    seed: u64,
    bootstrap: &Path,
    state: &Path,
    library: &Library,
) -> (u64, Result<Played>) {
    let folder = state.join(seed.to_string());
    let played = async {
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        let props = Props {
            seed,
            bootstrap,
            folder: &folder,
            library,
        };
        round::play(props).await
    };
    let played = played.await;
    if played.as_ref().is_ok_and(|played| played.wrong.is_empty()) {
        // Thousands of rounds are not to fill the disk.
        let _ = fs::remove_dir_all(&folder);
    }
    (seed, played)
}

/// The function's program, which cargo puts one folder above the tests.
fn bootstrap() -> Result<PathBuf> {
    let bootstrap = match env::var_os("BOOTSTRAP") {
        Some(path) => PathBuf::from(path),
        None => env::current_exe()
            .context("where is this program?")?
            .with_file_name("../bootstrap"),
    };
    let built = fs::metadata(&bootstrap).is_ok_and(|meta| meta.is_file());
    ensure!(
        built,
        "there is no function at {}: build it (cargo build --workspace --bins), or name it by BOOTSTRAP",
        bootstrap.display()
    );
    Ok(fs::canonicalize(bootstrap)?)
}

fn duration(text: &str) -> Result<Duration> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => bail!("TIME={text}: say it as in 90s, 5m or 1h"),
    };
    let number: u64 = number
        .parse()
        .with_context(|| format!("TIME={text}: say it as in 90s, 5m or 1h"))?;
    Ok(Duration::from_secs(number * seconds))
}

/// All rounds together.
#[derive(Default)]
struct Total {
    rounds: u64,
    violations: usize,
    validations: usize,
    invocations: u64,
    calls: usize,
    exhausted: usize,
    untold: usize,
    inconclusive: usize,
    world_hours: f64,
    /// By when it died, and at or after which call.
    deaths: BTreeMap<When, BTreeMap<Option<String>, usize>>,
    checking: usize,
}

impl Total {
    fn add(&mut self, seed: u64, played: Result<Played>) {
        self.rounds += 1;
        let played = match played {
            Ok(played) => played,
            Err(error) => {
                self.violations += 1;
                println!("seed {seed}: the round could not be played: {error:#}");
                return;
            }
        };
        if !played.wrong.is_empty() {
            println!("seed {seed}: again by: SEED={seed} make deaths");
            for wrong in &played.wrong {
                println!("  - {wrong}");
            }
            for death in &played.deaths {
                println!("    {:?} {:?} {:?}", death.when, death.call, death.checking);
            }
        }
        self.violations += played.wrong.len();
        self.validations += played.validations;
        self.invocations += played.invocations;
        self.calls += played.calls;
        self.exhausted += played.exhausted;
        self.untold += played.untold;
        self.inconclusive += played.inconclusive;
        self.world_hours += played.world_time.as_secs_f64() / 3600.0;
        for death in played.deaths {
            self.checking += usize::from(death.checking.is_some());
            let at = self.deaths.entry(death.when).or_default();
            *at.entry(death.call).or_default() += 1;
        }
    }

    fn told(&self, first: u64, took: Duration) -> String {
        let mut lines = Vec::new();
        let mut all = 0;
        for (when, calls) in &self.deaths {
            let deaths: usize = calls.values().sum();
            all += deaths;
            let how = match when {
                When::BeforeEffect => "at a call, before its effect",
                When::AfterEffect => "at a call, after its effect and before its answer",
                When::AnyMoment => "at any moment (the last call is named)",
            };
            let mut calls: Vec<_> = calls.iter().collect();
            calls.sort_by_key(|(_, deaths)| std::cmp::Reverse(**deaths));
            let calls = calls.into_iter().map(|(call, deaths)| {
                format!("{} {deaths}", call.as_deref().unwrap_or("none yet"))
            });
            lines.push(format!(
                "killed {how}: {deaths}: {}",
                calls.collect::<Vec<_>>().join(", ")
            ));
        }
        lines.push(format!(
            "deaths: seeds {first} to {}, {} rounds, {} validations, {all} processes killed ({} while checks ran), {} invocations \
             ({} failed for good), {} copies told by no event, {:.0} world hours, {} AWS calls, {} inconclusive by deaths, \
             violations {}, {:.0} s",
            (first + self.rounds).saturating_sub(1),
            self.rounds,
            self.validations,
            self.checking,
            self.invocations,
            self.exhausted,
            self.untold,
            self.world_hours,
            self.calls,
            self.inconclusive,
            self.violations,
            took.as_secs_f64(),
        ));
        lines.join("\n")
    }
}

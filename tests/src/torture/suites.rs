//! The lists of runs, and how they are worked off.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use restore_proof_local_aws::Call;

use super::harm::{Harm, Harms, Strike, lock, not_found};
use super::inspect::Severity;
use super::paths::{Arrival, PATHS, Path};
use super::run::{Outcome, Plan, run};
use super::shop::Shop;
use crate::CA_KEY;

/// What became of many runs.
#[derive(Debug, Default)]
pub struct Summary {
    /// Runs.
    pub runs: usize,
    /// Attempts at AWS calls.
    pub steps: usize,
    /// Invocations.
    pub invocations: usize,
    /// Those that died.
    pub deaths: usize,
    /// Those that failed.
    pub failures: usize,
    /// How many attempts met each harm.
    pub harms: BTreeMap<Harm, usize>,
    /// How many validations ended with each verdict.
    pub verdicts: BTreeMap<String, usize>,
    /// What did not hold: the run, and what in words.
    pub violations: Vec<(String, String)>,
}

impl Summary {
    fn add(&mut self, plan: &Plan, outcome: Outcome) {
        self.runs += 1;
        self.steps += outcome.tally.attempts;
        let [invocations, deaths, failures] = outcome.invocations;
        self.invocations += invocations;
        self.deaths += deaths;
        self.failures += failures;
        for (harm, count) in outcome.tally.harms {
            *self.harms.entry(harm).or_default() += count;
        }
        for verdict in outcome.verdicts {
            *self.verdicts.entry(verdict).or_default() += 1;
        }
        let name = name(plan);
        let found = outcome.violations.into_iter();
        self.violations
            .extend(found.map(|what| (name.clone(), what)));
    }

    /// Adds another summary to this one.
    pub fn merge(&mut self, other: Summary) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.invocations += other.invocations;
        self.deaths += other.deaths;
        self.failures += other.failures;
        for (harm, count) in other.harms {
            *self.harms.entry(harm).or_default() += count;
        }
        for (verdict, count) in other.verdicts {
            *self.verdicts.entry(verdict).or_default() += count;
        }
        self.violations.extend(other.violations);
    }
}

/// A plan in a few words.
pub fn name(plan: &Plan) -> String {
    match plan {
        Plan::One {
            path,
            harms,
            doubled,
            ..
        } => {
            let mut harms: Vec<_> = harms.iter().map(ToString::to_string).collect();
            harms.extend(doubled.map(|later| format!("doubled after {later:#}")));
            format!("{} [{}]", path.name, harms.join(", "))
        }
        Plan::Random { seed } => format!("SEED={seed}"),
    }
}

/// Runs all of them on as many threads as there are cores, until `end` at the latest.
pub fn run_all(
    shop: &Shop,
    plans: impl Iterator<Item = Plan> + Send,
    end: Option<Instant>,
) -> Summary {
    let plans = Mutex::new(plans);
    let summary = Mutex::new(Summary::default());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while end.is_none_or(|end| Instant::now() < end) {
                    let Some(plan) = lock(&plans).next() else {
                        return;
                    };
                    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| run(shop, &plan)));
                    let mut summary = lock(&summary);
                    if let Some(what) = ran.as_ref().ok().and_then(|ran| ran.violations.first()) {
                        eprintln!("{}: {what}", name(&plan));
                    }
                    match ran {
                        Ok(outcome) => summary.add(&plan, outcome),
                        Err(_) => summary
                            .violations
                            .push((name(&plan), "the run panicked".to_owned())),
                    }
                }
            });
        }
    });
    summary.into_inner().unwrap()
}

/// A run without any harm.
pub fn undisturbed(path: &'static Path) -> Plan {
    harmed(path, Vec::new(), Severity::Heals)
}

fn harmed(path: &'static Path, harms: Vec<Harms>, severity: Severity) -> Plan {
    Plan::One {
        path,
        harms,
        doubled: None,
        severity,
    }
}

/// Every way, undisturbed; the calls each makes.
pub fn calls_of(shop: &Shop, path: &'static Path) -> Outcome {
    run(shop, &undisturbed(path))
}

/// What `make test` makes of the single strikes, which are too many for it: another part in each turn. Any ten turns in a
/// row make all of them.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    turn: usize,
}

impl Sample {
    /// Of this turn.
    pub fn of(turn: usize) -> Sample {
        Sample { turn }
    }

    /// Of the turn in the environment variable `TURN`, which `scripts/test.sh` counts; turn 0 where there is none.
    pub fn of_this_run() -> Sample {
        let turn = std::env::var("TURN").map_or(0, |turn| turn.parse().unwrap());
        Sample { turn }
    }

    /// Whether it holds this strike, the so many-th of its way. On a main way all deaths, and at each call one of what is one
    /// class to the function: an error of the service, no answer and a broken connection. On another way every tenth strike.
    fn holds(self, path: &Path, row: usize, strike: &Strike) -> bool {
        if !path.is_main {
            return (row + self.turn).is_multiple_of(10);
        }
        let of_three = match strike.harm {
            Harm::Death => return true,
            Harm::Error | Harm::Throttle => 0,
            Harm::Timeout | Harm::NotFound => 1,
            Harm::Reset => 2,
        };
        (strike.nth + of_three + self.turn).is_multiple_of(3)
    }
}

/// On a main way every attempt meets every harm, once and for all retries, before and after its effect. On another way it
/// meets what ends a run, and what is repeated although it has taken effect; where the way begins like a main one, only from
/// where its restore has begun. (A call that only reads has no effect that anything could come after.)
pub fn singles(path: &'static Path, undisturbed: &Outcome) -> Vec<Strike> {
    let calls = &undisturbed.calls;
    let all_of_it = path.is_main;
    let begins_alike = !all_of_it && path.arrival == Arrival::Copy;
    let started = calls
        .iter()
        .position(|call| call.operation == "StartRestoreJob");
    let from = started.filter(|_| begins_alike).map_or(0, |nth| nth + 1);
    let mut strikes = Vec::new();
    for (nth, call) in calls.iter().enumerate().skip(from) {
        let everything = Harm::ALL.into_iter().flat_map(|harm| {
            let ways = [(false, false), (false, true), (true, false), (true, true)];
            ways.map(|(after_effect, all_retries)| Strike {
                nth,
                harm,
                after_effect,
                all_retries,
            })
        });
        strikes.extend(
            everything
                .filter(|strike| strike.is_possible(call) && (all_of_it || strike.tells(call))),
        );
    }
    strikes
}

impl Strike {
    /// Whether this call can meet it, and no other strike is the same.
    fn is_possible(&self, call: &Call) -> bool {
        let of_harm = match self.harm {
            Harm::Throttle => !self.after_effect,
            Harm::NotFound => {
                !self.after_effect && !self.all_retries && not_found(&call.operation).is_some()
            }
            Harm::Death => !self.all_retries,
            Harm::Error | Harm::Timeout | Harm::Reset => true,
        };
        of_harm && (call.mutating || !self.after_effect)
    }

    /// Whether it ends a run, or lets the SDK repeat what has taken effect.
    fn tells(&self, call: &Call) -> bool {
        match self.harm {
            Harm::Error => self.all_retries != self.after_effect,
            Harm::Death => self.after_effect || !call.mutating,
            Harm::NotFound => true,
            Harm::Throttle | Harm::Timeout | Harm::Reset => false,
        }
    }

    /// What may come of it: without its login or the certificates a check cannot tell.
    fn severity(&self, call: &Call) -> Severity {
        let is_of_check = call.operation == "GetSecretValue" || call.mentions(CA_KEY);
        if self.all_retries && is_of_check {
            Severity::MayCost
        } else {
            Severity::Heals
        }
    }
}

/// The single strikes of all ways that `is_wanted`.
fn singles_that(shop: &Shop, is_wanted: impl Fn(&Path, usize, &Strike) -> bool) -> Vec<Plan> {
    let mut plans = Vec::new();
    for path in PATHS {
        let outcome = calls_of(shop, path);
        for (row, strike) in singles(path, &outcome).into_iter().enumerate() {
            if is_wanted(path, row, &strike) {
                let severity = strike.severity(&outcome.calls[strike.nth]);
                plans.push(harmed(path, vec![Harms::Strike(strike)], severity));
            }
        }
    }
    plans
}

/// The single strikes of all ways.
pub fn all_singles(shop: &Shop) -> Vec<Plan> {
    singles_that(shop, |_, _, _| true)
}

/// Those of a sample.
pub fn some_singles(shop: &Shop, sample: Sample) -> Vec<Plan> {
    singles_that(shop, |path, row, strike| sample.holds(path, row, strike))
}

/// Those that the samples of these turns do not hold.
pub fn missed_singles(shop: &Shop, turns: &[usize]) -> Vec<Plan> {
    let held = |path: &Path, row, strike: &Strike| {
        let mut samples = turns.iter().map(|turn| Sample::of(*turn));
        samples.any(|sample| sample.holds(path, row, strike))
    };
    singles_that(shop, |path, row, strike| !held(path, row, strike))
}

/// Every way, with nothing done to it.
pub fn undisturbed_all() -> Vec<Plan> {
    PATHS.iter().map(undisturbed).collect()
}

fn main_paths() -> impl Iterator<Item = &'static Path> {
    PATHS.iter().filter(|path| path.is_main)
}

/// The event of the copy arrives twice, the second one at every moment of the first one's work: two invocations side by side.
pub fn doubled() -> Vec<Plan> {
    let moments = (0..40).map(|moment| SignedDuration::from_millis(moment * 14));
    let mut plans = Vec::new();
    for (path, moment) in main_paths().flat_map(|path| moments.clone().map(move |at| (path, at))) {
        plans.push(Plan::One {
            path,
            harms: Vec::new(),
            doubled: Some(moment),
            severity: Severity::Heals,
        });
    }
    plans
}

/// Each operation does not work for 65 minutes, longer than a lease and than AWS Backup remembers a token: from the
/// beginning, and once the restore runs.
pub fn outages(shop: &Shop) -> Vec<Plan> {
    let mut known = BTreeSet::new();
    let mut plans = Vec::new();
    let mut paths: Vec<&'static Path> = PATHS.iter().collect();
    paths.sort_by_key(|path| !path.is_main);
    for path in paths {
        for call in calls_of(shop, path).calls {
            if !known.insert((path.resource_type, call.name())) {
                continue;
            }
            for after in [0, 30] {
                let outage = Harms::Outage {
                    operation: call.name(),
                    after: SignedDuration::from_secs(after),
                    lasts: SignedDuration::from_mins(65),
                };
                plans.push(harmed(path, vec![outage], Severity::MayCost));
            }
        }
    }
    plans
}

/// The answer of `StartRestoreJob` is lost, by a death or otherwise, and the function comes back when its token is forgotten.
pub fn forgotten_tokens(shop: &Shop) -> Vec<Plan> {
    let mut plans = Vec::new();
    for path in main_paths() {
        let calls = calls_of(shop, path).calls;
        let started = calls
            .iter()
            .position(|call| call.operation == "StartRestoreJob");
        for (harm, all_retries) in [
            (Harm::Death, false),
            (Harm::Error, true),
            (Harm::Reset, true),
        ] {
            for minutes in [30, 55, 65, 180] {
                let lost = Harms::Strike(Strike {
                    nth: started.unwrap_or_default(),
                    harm,
                    after_effect: true,
                    all_retries,
                });
                let away = Harms::Outage {
                    operation: "DynamoDB.GetItem".to_owned(),
                    after: SignedDuration::from_secs(1),
                    lasts: SignedDuration::from_mins(minutes),
                };
                plans.push(harmed(path, vec![lost, away], Severity::Heals));
            }
        }
    }
    plans
}

/// All pairs of telling strikes on the main ways, in an order that a seed decides.
pub fn pairs(shop: &Shop, seed: u64) -> Vec<Plan> {
    let mut plans = Vec::new();
    for path in main_paths() {
        let calls = calls_of(shop, path).calls.len();
        // What follows a strike is longer than what it disturbs.
        for second in 1..calls + 12 {
            for first in 0..second.min(calls) {
                for (one, other) in both_of(first, second) {
                    let harms = vec![Harms::Strike(one), Harms::Strike(other)];
                    plans.push(harmed(path, harms, Severity::MayCost));
                }
            }
        }
    }
    fastrand::Rng::with_seed(seed).shuffle(&mut plans);
    plans
}

/// The telling strikes at two places.
fn both_of(first: usize, second: usize) -> impl Iterator<Item = (Strike, Strike)> {
    const TELLING: [(Harm, bool, bool); 4] = [
        (Harm::Death, false, false),
        (Harm::Death, true, false),
        (Harm::Error, false, true),
        (Harm::Error, true, false),
    ];
    let at = |nth, (harm, after_effect, all_retries)| Strike {
        nth,
        harm,
        after_effect,
        all_retries,
    };
    TELLING
        .into_iter()
        .flat_map(move |one| TELLING.map(|other| (at(first, one), at(second, other))))
}

/// Random runs from this seed on.
pub fn random_from(seed: u64) -> impl Iterator<Item = Plan> + Send {
    (seed..).map(|seed| Plan::Random { seed })
}

/// So much time, as it is written in the environment: `90s`, `10m`, `2h`.
pub fn time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(number * seconds))
}

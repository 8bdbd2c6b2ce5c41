//! `make torture`: all fault suites, then pairs of strikes and random runs until the time is over.
//!
//! - `TIME`: so long, as `90s`, `10m`, `2h`; ten minutes when it says nothing.
//! - `SEED`: this random run alone, call by call.
//! - `ONLY`: the runs alone whose name holds this text, call by call.
//! - `WAY`: only the ways whose name holds this text, and nothing random.
//! - `TURNS`: runs nothing, and lists the single harms that `make test` makes in none of these turns.
//! - `FROM`: the first seed; the seconds since 1970 when it says nothing.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use restore_proof_tests::torture::run::{Plan, run};
use restore_proof_tests::torture::shop::Shop;
use restore_proof_tests::torture::suites::{
    Summary, all_singles, doubled, forgotten_tokens, missed_singles, name, outages, pairs,
    random_from, run_all, time, undisturbed_all,
};

/// How long it takes when nobody says otherwise.
const TIME: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let of = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let given = (of("TIME"), of("SEED"), of("FROM"));
    let limit = given.0.as_deref().map_or(Some(TIME), time);
    let seed = given.1.as_deref().map(str::parse).transpose();
    let from = given.2.as_deref().map(str::parse).transpose();
    let (Some(limit), Ok(seed), Ok(from)) = (limit, seed, from) else {
        eprintln!("TIME is like 90s, 10m or 2h; SEED and FROM are numbers");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let shop = Shop::open();
    if let Some(seed) = seed {
        return show(&shop, &[Plan::Random { seed }]);
    }
    if let Some(turns) = of("TURNS") {
        let turns: Vec<usize> = turns.split_whitespace().flat_map(str::parse).collect();
        let missed = missed_singles(&shop, &turns);
        missed.iter().for_each(|plan| println!("{}", name(plan)));
        return ExitCode::from(u8::from(!missed.is_empty()));
    }
    let seeded = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let from: u64 = from.unwrap_or_else(|| seeded.map_or(1, |since| since.as_secs()));
    let known = || {
        let suites = [
            ("undisturbed", undisturbed_all()),
            ("every single harm", all_singles(&shop)),
            ("the event twice", doubled()),
            ("forgotten tokens", forgotten_tokens(&shop)),
            ("outages of 65 minutes", outages(&shop)),
        ];
        (suites, pairs(&shop, from))
    };
    let (mut suites, mut pairs) = known();
    let way = of("WAY");
    if let Some(text) = &way {
        let lists = suites
            .iter_mut()
            .map(|(_, plans)| plans)
            .chain([&mut pairs]);
        lists.for_each(|plans| plans.retain(|plan| is_on(plan, text)));
    }
    if let Some(text) = of("ONLY") {
        let plans = suites.into_iter().flat_map(|(_, plans)| plans).chain(pairs);
        let plans: Vec<_> = plans.filter(|plan| name(plan).contains(&text)).collect();
        return show(&shop, &plans);
    }

    let mut all = Summary::default();
    println!(
        "{:<20} {:>14} {:>10} {:>8} {:>8} {:>11}",
        "", "runs", "calls", "deaths", "harms", "violations"
    );
    let mut tell = |suite: &str, of: Option<usize>, summary: Summary| {
        let runs = match of {
            Some(of) => format!("{} of {of}", summary.runs),
            None => summary.runs.to_string(),
        };
        let harms: usize = summary.harms.values().sum();
        println!(
            "{suite:<20} {runs:>14} {:>10} {:>8} {harms:>8} {:>11}",
            summary.steps,
            summary.deaths,
            summary.violations.len()
        );
        all.merge(summary);
    };
    for (suite, plans) in suites {
        let summary = run_all(&shop, plans.into_iter(), None);
        tell(suite, None, summary);
    }
    // What is left of the time is for both alike.
    let left = limit.saturating_sub(began.elapsed()).max(limit / 10);
    let count = pairs.len();
    let summary = run_all(&shop, pairs.into_iter(), Some(Instant::now() + left / 2));
    tell("pairs of strikes", Some(count), summary);
    let random = random_from(from).take_while(|_| way.is_none());
    let summary = run_all(&shop, random, Some(Instant::now() + left / 2));
    let seeds = summary.runs;
    tell("random", None, summary);
    let harms: usize = all.harms.values().sum();
    println!(
        "{:<20} {:>14} {:>10} {:>8} {harms:>8} {:>11}",
        "all",
        all.runs,
        all.steps,
        all.deaths,
        all.violations.len()
    );

    let listed = |pairs: Vec<(String, usize)>| {
        let words: Vec<_> = pairs
            .into_iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        words.join(", ")
    };
    let by_harm = all
        .harms
        .iter()
        .map(|(harm, count)| (harm.name().to_owned(), *count));
    println!("harms: {}", listed(by_harm.collect()));
    println!(
        "verdicts: {}",
        listed(all.verdicts.clone().into_iter().collect())
    );
    println!(
        "invocations: {}, of which {} failed and {} died",
        all.invocations, all.failures, all.deaths
    );
    println!(
        "seeds: {from} to {}",
        from + (seeds as u64).saturating_sub(1)
    );
    println!(
        "time: {} s on {} cores",
        began.elapsed().as_secs(),
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    println!("violations: {}", all.violations.len());
    for (run, what) in &all.violations {
        println!("  {what}\n    {}", replay(run));
    }
    if all.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether this is a run on a way whose name holds this text.
fn is_on(plan: &Plan, text: &str) -> bool {
    match plan {
        Plan::One { path, .. } => path.name.contains(text),
        Plan::Random { .. } => false,
    }
}

/// The command that repeats a run.
fn replay(run: &str) -> String {
    if run.starts_with("SEED=") {
        format!("{run} make torture")
    } else {
        format!("ONLY='{run}' make torture")
    }
}

/// Runs these one after the other, and shows every call.
fn show(shop: &Shop, plans: &[Plan]) -> ExitCode {
    let mut all_hold = !plans.is_empty();
    for plan in plans {
        let outcome = run(shop, plan);
        println!("{}", name(plan));
        for call in &outcome.calls {
            let answer = match (&call.error, call.status) {
                (Some(error), _) => error.clone(),
                (None, Some(status)) => status.to_string(),
                (None, None) => "no answer".to_owned(),
            };
            let harm = match (call.injected, call.reached) {
                (true, true) => " (injected, after its effect)",
                (true, false) => " (injected)",
                (false, _) => "",
            };
            println!(
                "  {} {} {answer}{harm} {}",
                call.at,
                call.name(),
                call.resources.join(" ")
            );
        }
        println!("  verdicts: {}", outcome.verdicts.join(", "));
        for what in &outcome.violations {
            println!("  VIOLATION: {what}");
        }
        all_hold &= outcome.violations.is_empty();
    }
    println!("{} runs", plans.len());
    if all_hold {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

//! A round: copies land, the function is invoked as Lambda does it and killed now and then, and in the end the world
//! is inspected.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use restore_proof_local_aws::process::processes_in;
use restore_proof_local_aws::runtime_api::{Lambda, LambdaOptions, Outcome};
use restore_proof_local_aws::template::{Function, Schedule};
use restore_proof_local_aws::{World, WorldOptions, serve};
use restore_proof_tests::inspect::{Expected, inspect};
use restore_proof_tests::{ACCOUNT, LEDGER, REGION, RESTORE_ROLE, function, furnish};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::clock::{Library, WorldClock};
use crate::copies::{self, COLLEAGUES, Copy};
use crate::kills::{self, Death, Deaths};

/// When nobody does anything, so much time passes at once: short enough for late events and ends of restores.
const STEP: SignedDuration = SignedDuration::from_secs(20);
/// A validation takes hours of the world's time when its function dies again and again, not days.
const PATIENCE: SignedDuration = SignedDuration::from_hours(3 * 24);
/// And not minutes of ours.
const REAL_PATIENCE: Duration = Duration::from_secs(180);
/// People look at what has failed for good, and deliver it again.
const REDRIVEN_AFTER: SignedDuration = SignedDuration::from_hours(6);

/// What a round needs.
pub struct Props<'a> {
    /// All that is random.
    pub seed: u64,
    /// The function's program.
    pub bootstrap: &'a Path,
    /// A folder of the round's own.
    pub folder: &'a Path,
    /// Shows the function the world's time.
    pub library: &'a Library,
}

/// How a round went.
#[derive(Default)]
pub struct Played {
    /// All that is not as it must be.
    pub wrong: Vec<String>,
    /// The deaths.
    pub deaths: Vec<Death>,
    /// How many validations there were.
    pub validations: usize,
    /// How many invocations.
    pub invocations: u64,
    /// How many calls of AWS.
    pub calls: usize,
    /// How many invocations failed for good.
    pub exhausted: usize,
    /// How many copies were told only by the sweep.
    pub untold: usize,
    /// How many validations could not tell, because checks were killed each time they were begun.
    pub inconclusive: usize,
    /// How much of the world's time it took.
    pub world_time: SignedDuration,
}

/// An invocation to come.
struct Delivery {
    payload: Value,
    failures: u32,
}

struct Round<'a> {
    world: World,
    clock: &'a WorldClock,
    lambda: Lambda,
    function: Function,
    at_once: usize,
    limit: usize,
    copies: Vec<Copy>,
    /// By the time they are due and a number.
    agenda: BTreeMap<(Timestamp, usize), Delivery>,
    /// With the time of the next run.
    schedules: Vec<(Timestamp, Schedule)>,
    running: JoinSet<(Delivery, Result<Outcome>)>,
    next: usize,
    played: Played,
}

/// Plays one round.
///
/// # Errors
/// When it cannot be played. What the function does wrong is in [`Played::wrong`].
pub async fn play(props: Props<'_>) -> Result<Played> {
    let mut chance = Rng::with_seed(props.seed);
    let clock = WorldClock::new(props.library, props.folder)?;
    let world = World::new(WorldOptions {
        account: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
        clock: clock.reader(),
        deletion_takes: Duration::from_secs(60),
        ..WorldOptions::default()
    });
    if let Some(file) = std::env::var_os("RESTORE_PROOF_RECORD") {
        world.record_to(Path::new(&file))?;
    }
    furnish(&world, include_str!("policy.toml"));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = serve(world.clone(), address).await?;

    let at_once = 1 + chance.usize(..2);
    let limit = 2 + chance.usize(..3);
    let temporary = props.folder.join("tmp");
    fs::create_dir(&temporary).with_context(|| format!("make {}", temporary.display()))?;
    let mut function = function();
    function.environment.extend(clock.environment());
    let own = [
        ("MAX_CONCURRENT_RESTORES", limit.to_string()),
        ("TMPDIR", temporary.display().to_string()),
    ];
    function
        .environment
        .extend(own.map(|(name, value)| (name.to_owned(), value)));
    world.add_function(&function.name);
    let lambda = Lambda::new(LambdaOptions {
        function: function.clone(),
        bootstrap: props.bootstrap.to_owned(),
        folder: props.folder.to_owned(),
        endpoint_url: server.url(),
        account: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
        max_processes: at_once,
        // The rounds deliver again by themselves, in the world's time.
        retry_delay: Duration::ZERO,
        clock: clock.reader(),
    })?;

    // The stack has been there for a while: what landed before it is not ours.
    let installed = lambda.invoke(&json!({ "sweep": "lost" })).await?;
    ensure!(
        matches!(installed, Outcome::Answer(_)),
        "the first sweep failed: {installed:?}"
    );
    clock.pass(SignedDuration::from_hours(30))?;
    copies::colleague_works(&world);
    let begin = world.now();
    let schedules = function
        .schedules
        .iter()
        .map(|schedule| (begin + schedule.every, schedule.clone()));
    let mut round = Round {
        schedules: schedules.collect(),
        copies: copies::copies(&mut chance, begin),
        world: world.clone(),
        clock: &clock,
        lambda: lambda.clone(),
        function,
        at_once,
        limit,
        agenda: BTreeMap::new(),
        running: JoinSet::new(),
        next: 0,
        played: Played::default(),
    };
    let mut expected: Vec<_> = round.copies.iter().map(Copy::expected).collect();

    let deaths = Deaths::default();
    let killer = kills::kill(world.clone(), lambda.clone(), chance, deaths.clone());
    let killer = tokio::spawn(killer);
    let over = round.go_on(begin, &expected).await;
    killer.abort();
    lambda.stop().await;
    over?;

    let mut played = round.played;
    let deaths = std::mem::take(&mut *deaths.lock().unwrap_or_else(PoisonError::into_inner));
    for one in &mut expected {
        let killed = deaths
            .iter()
            .filter(|death| death.checking.as_deref() == Some(one.id.as_str()));
        // Checks that ended the function twice are not begun a third time.
        if killed.count() >= 2 {
            one.verdicts.push("inconclusive");
        }
    }
    played.deaths = deaths;
    played.validations = expected.len();
    played.invocations = lambda.invocations();
    played.calls = world.calls().len();
    played.world_time = world.now().duration_since(begin);
    played.inconclusive = world
        .records()
        .iter()
        .filter(|(_, record)| record["verdict"] == "inconclusive")
        .count();
    played.wrong.extend(inspect(&world, &expected, &COLLEAGUES));
    played.wrong.extend(time_problems(&world, begin));
    played.wrong.extend(traces(props.folder)?);
    Ok(played)
}

impl Round<'_> {
    /// Goes on until every validation is closed and nothing is to come but sweeps.
    async fn go_on(&mut self, begin: Timestamp, expected: &[Expected]) -> Result<()> {
        let started = Instant::now();
        loop {
            let now = self.world.now();
            self.land(now)?;
            self.collect(now);
            self.invoke_due(now);
            self.count_restores();
            if !self.running.is_empty() {
                tokio::select! {
                    Some(ended) = self.running.join_next() => {
                        let (delivery, outcome) = ended.context("an invocation's task")?;
                        self.ended(delivery, outcome?);
                    }
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
            } else if self.is_over(expected) {
                return Ok(());
            } else {
                self.clock.pass(STEP)?;
                self.world.settle();
            }
            let passed = now.duration_since(begin);
            if passed > PATIENCE || started.elapsed() > REAL_PATIENCE {
                let wrong = format!(
                    "not all validations are closed after {} h ({} s of ours)",
                    passed.as_hours(),
                    started.elapsed().as_secs()
                );
                self.played.wrong.push(wrong);
                self.running.shutdown().await;
                return Ok(());
            }
        }
    }

    fn land(&mut self, now: Timestamp) -> Result<()> {
        for copy in self.copies.extract_if(.., |copy| copy.lands_at <= now) {
            match copy.land(&self.world)? {
                Some(event) => self.world.emit(event),
                None => self.played.untold += 1,
            }
        }
        Ok(())
    }

    /// Takes what the world has for the function: events that a rule matches, invocations by itself, schedules.
    fn collect(&mut self, now: Timestamp) {
        let mut arrived = Vec::new();
        for event in self.world.take_events() {
            let rules = self.function.rules.iter();
            let matching = rules.filter(|rule| rule.pattern.matches(&event)).count();
            arrived.extend(std::iter::repeat_n(event, matching));
        }
        let invoked = self.world.take_invocations().into_iter();
        arrived.extend(invoked.map(|(_, payload)| payload));
        for (at, schedule) in &mut self.schedules {
            if *at <= now {
                *at += schedule.every;
                arrived.push(schedule.input.clone());
            }
        }
        for payload in arrived {
            let failures = 0;
            self.deliver(now, Delivery { payload, failures });
        }
    }

    fn deliver(&mut self, at: Timestamp, delivery: Delivery) {
        self.next += 1;
        self.agenda.insert((at, self.next), delivery);
    }

    fn invoke_due(&mut self, now: Timestamp) {
        while self.running.len() < self.at_once
            && let Some(first) = self.agenda.first_entry()
            && first.key().0 <= now
        {
            let delivery = first.remove();
            let lambda = self.lambda.clone();
            self.running.spawn(async move {
                let outcome = lambda.invoke(&delivery.payload).await;
                (delivery, outcome)
            });
        }
    }

    /// What failed is delivered again, a minute later and two, and then lies in the queue of what failed for good.
    fn ended(&mut self, mut delivery: Delivery, outcome: Outcome) {
        let Outcome::Failed { .. } = outcome else {
            return;
        };
        delivery.failures += 1;
        let now = self.world.now();
        if delivery.failures <= self.function.retries {
            let again = SignedDuration::from_mins(delivery.failures.into());
            self.deliver(now + again, delivery);
            return;
        }
        self.played.exhausted += 1;
        // Nothing else in AWS tells of a copy that failed.
        if delivery.payload["detail"]["state"] == "FAILED" {
            delivery.failures = 0;
            self.deliver(now + REDRIVEN_AFTER, delivery);
        }
    }

    /// Never more restores at one time than there may be.
    fn count_restores(&mut self) {
        let jobs = self.world.restore_jobs().into_iter();
        let under_way = jobs.filter(|job| {
            job.iam_role_arn == RESTORE_ROLE && matches!(&*job.status, "PENDING" | "RUNNING")
        });
        let under_way = under_way.count();
        if under_way > self.limit {
            let wrong = format!("{under_way} restores at one time, of {}", self.limit);
            self.played.wrong.push(wrong);
        }
    }

    fn is_over(&self, expected: &[Expected]) -> bool {
        let items = self.world.table_items(LEDGER);
        let closed = |one: &Expected| {
            let item = items.iter().find(|item| item["id"]["S"] == one.id);
            item.is_some_and(|item| item["stage"]["S"] == "closed" && item["due_at"].is_null())
        };
        self.copies.is_empty() && self.agenda.is_empty() && expected.iter().all(closed)
    }
}

/// The function must have lived in the world's time, or its leases and waits were none.
fn time_problems(world: &World, begin: Timestamp) -> Vec<String> {
    let items = world.table_items(LEDGER).into_iter();
    let documents = items
        .filter_map(|item| serde_json::from_str::<Value>(item["document"]["S"].as_str()?).ok());
    documents
        .filter_map(|document| document["opened_at"].as_str()?.parse::<Timestamp>().ok())
        .filter(|opened| *opened < begin || *opened > world.now())
        .map(|opened| format!("a validation was opened at {opened}, outside of the world's time"))
        .collect()
}

/// What the processes have left on this machine: they write nothing to its disk, and none of them is alive.
fn traces(folder: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for folder in [folder, &folder.join("tmp")] {
        let files = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
        for file in files {
            let name = file?.file_name();
            if !["clock", "function.log", "tmp"]
                .iter()
                .any(|ours| name == *ours)
            {
                wrong.push(format!("the function left {} on the disk", name.display()));
            }
        }
    }
    let alive = processes_in(folder).into_iter();
    wrong.extend(alive.map(|process| format!("still alive: {process}")));
    Ok(wrong)
}

//! A burst: thousands of copies land within a minute, AWS Backup takes a few calls a second, and few restores may run at one
//! time; in simulated time, after which everything that was written is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use jiff::{SignedDuration, Timestamp};
use restore_proof_function::App;
use restore_proof_function::aws::Aws;
use restore_proof_local_aws::{Attempt, FaultKind, Judge, When, World, WorldOptions};
use serde_json::{Value, json};

use super::harm::lock;
use super::lambda::{Lambda, reliable};
use super::paths::{Case, PATHS, Path};
use super::shop::Shop;
use super::time::Time;
use super::wire::{Wire, steady};
use crate::canary::Watch;
use crate::{BUCKET, LEDGER, LOG_GROUP, REGION, RESTORE_ROLE, Scene};

/// How many restores there may be at one time.
pub const BUDGET: usize = 40;
/// How many calls AWS Backup takes in a second, of whatever operation.
pub const BACKUP_CALLS_PER_SECOND: u32 = 4;
/// How many invocations of the function there may be at one time: what its account gives it. More wait, as on AWS.
const INVOCATIONS_AT_ONCE: usize = 100;
/// In a world that has been asked so often the requests are forgotten: they are counted here.
const FORGOTTEN_AFTER: u64 = 1_000;
/// All copies land within this time.
const LAND_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// The event of every tenth copy comes a second time, within this time.
const DOUBLED_WITHIN_SECONDS: i64 = 7_200;

/// Of a hundred copies so many go each way. The checks of the healthy and the damaged ask real servers.
const WAYS: [(&str, usize); 11] = [
    ("healthy database", 4),
    ("damaged database", 2),
    ("database that does not restore", 2),
    ("copy that failed", 1),
    ("backup that is no copy", 1),
    ("copy that nobody told of", 2),
    ("healthy machine", 15),
    ("healthy machine that leaves its volume", 3),
    ("damaged machine", 1),
    ("machine that does not restore", 1),
    ("unchecked database", 68),
];

/// What is counted while a burst is worked off.
#[derive(Debug, Default)]
struct Count {
    /// By `Service.Operation`: attempts, and how many of them were throttled.
    attempts: BTreeMap<String, (u64, u64)>,
    all: u64,
    /// The largest number of restores that was seen.
    most_restored: usize,
    /// The largest number of slots held that was seen.
    most_held: usize,
}

/// What became of a burst.
#[derive(Debug)]
pub struct Burst {
    /// How many copies landed.
    pub copies: usize,
    /// Restore jobs of ours.
    pub restores: usize,
    /// How many of the copies are restored when all goes well.
    pub to_restore: usize,
    /// Restore jobs of a recovery point that had one already.
    pub restored_twice: usize,
    /// Record objects.
    pub records: usize,
    /// Record objects of a validation that had one already.
    pub recorded_twice: usize,
    /// Validations with each verdict.
    pub verdicts: BTreeMap<String, usize>,
    /// The largest number of restores at one time: jobs that had not ended, and what they had made and was still there.
    pub most_restored: usize,
    /// The largest number of slots held at one time.
    pub most_held: usize,
    /// By operation: attempts at calls, and how many of them were throttled.
    pub operations: BTreeMap<String, (u64, u64)>,
    /// Invocations.
    pub invocations: usize,
    /// How many of them failed.
    pub failures: usize,
    /// From the first copy to the last deletion.
    pub world_time: SignedDuration,
    /// And in our time.
    pub real_time: Duration,
    /// What does not hold, in words.
    pub violations: Vec<String>,
}

/// Lets so many copies land, and works them off.
pub fn burst(shop: &Shop, copies: usize) -> Burst {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work_off(shop, copies))
}

async fn work_off(shop: &Shop, copies: usize) -> Burst {
    let began = Instant::now();
    fastrand::seed(1);
    let start: Timestamp = "2026-03-01T09:00:00Z".parse().unwrap();
    let time = Time::new(start);
    let clock = time.clone();
    let options = WorldOptions {
        clock: Arc::new(move || clock.now()),
        deletion_takes: Duration::from_secs(60),
        ..WorldOptions::default()
    };
    let rules: Vec<String> = PATHS.iter().map(Path::rule).collect();
    let policy = format!("version = \"burst\"\n{}", rules.join("\n"));
    let mut scene = Scene::in_world(options, &policy, Watch::blind(), |world, _, sdk| {
        sdk.http_client(world.http_client())
            .region(Region::new(REGION))
    })
    .await;
    shop.introduce(&scene.world);
    scene.app.config.max_concurrent_restores = u32::try_from(BUDGET).unwrap();
    let mut environments = Vec::new();
    for number in 0..INVOCATIONS_AT_ONCE {
        environments.push(environment(&scene, &time, number).await);
    }
    let scene = Arc::new(scene);
    let count = Arc::new(Mutex::new(Count::default()));
    let judge = throttle(scene.world.clone(), time.clone(), Arc::clone(&count));
    scene.world.faults().judge_by(judge);
    let dies = Arc::new(AtomicBool::new(false));
    let mut lambda = Lambda::new(Arc::clone(&scene), time.clone(), reliable(), dies);
    lambda.run_in(environments);
    // The stack is older than what lands: the sweep has been here before.
    lambda.send(json!({ "sweep": "lost" }));
    let mut violations = Vec::new();
    violations.extend(lambda.run(0).await.err());
    *lock(&count) = Count::default();
    let before = (lambda.invocations, lambda.failures);

    let begin = time.now();
    let cases = land(&scene, shop, &mut lambda, copies);
    violations.extend(lambda.run(copies).await.err());
    // The world holds the judge, and the judge the world.
    scene.world.faults().clear();

    let world_time = time.now().duration_since(begin);
    let count = std::mem::take(&mut *lock(&count));
    let found = Found::in_world(&scene);
    found.compare(&scene, &cases, &mut violations);
    if count.most_held > BUDGET || count.most_restored > BUDGET {
        violations.push(format!(
            "{} slots held and {} restores at one time of {BUDGET}",
            count.most_held, count.most_restored
        ));
    }
    let records = found.records.values();
    let mut verdicts = BTreeMap::new();
    for verdict in records.clone().flatten().flat_map(|one| &one.verdicts) {
        *verdicts.entry(verdict.clone()).or_default() += 1;
    }
    Burst {
        copies,
        restores: found.jobs.values().sum(),
        to_restore: cases.iter().filter(|case| is_restored(case)).count(),
        restored_twice: found.jobs.values().map(|jobs| jobs - 1).sum(),
        records: records.clone().map(Vec::len).sum(),
        recorded_twice: records.map(|records| records.len() - 1).sum(),
        verdicts,
        most_restored: count.most_restored,
        most_held: count.most_held,
        operations: count.attempts,
        invocations: lambda.invocations - before.0,
        failures: lambda.failures - before.1,
        world_time,
        real_time: began.elapsed(),
        violations,
    }
}

/// An execution environment of the function.
async fn environment(scene: &Scene, time: &Time, number: usize) -> App {
    // The SDK shares its budget of retries between all clients of a Region in one process, as these are here and not on AWS.
    let sdk = aws_config::defaults(BehaviorVersion::latest())
        .test_credentials()
        .region(Region::new(format!("{REGION}-{number}")))
        .http_client(Wire::new(scene.world.http_client(), time.clone(), steady()))
        .sleep_impl(time.clone())
        .time_source(time.clone())
        .load()
        .await;
    let clock = time.clone();
    App::new(
        scene.app.config.clone(),
        Aws::new(&sdk),
        Arc::new(move || clock.now()),
    )
}

/// Lets the copies land, in no order of their ways.
fn land(scene: &Scene, shop: &Shop, lambda: &mut Lambda, copies: usize) -> Vec<Case> {
    let begin = scene.now();
    let mut chance = fastrand::Rng::with_seed(1);
    let mut ways: Vec<&'static Path> = WAYS
        .iter()
        .flat_map(|(name, count)| {
            let way = PATHS.iter().find(|path| path.name == *name);
            std::iter::repeat_n(way.unwrap(), *count)
        })
        .collect();
    assert_eq!(ways.len(), 100);
    chance.shuffle(&mut ways);
    let mut cases = Vec::new();
    for number in 0..copies {
        let way = ways[number % ways.len()];
        let takes = Duration::from_secs(chance.u64(60..300));
        let case = way.begin_taking(scene, shop, u32::try_from(number).unwrap(), takes);
        if let Some(event) = case.event.clone() {
            let at = begin
                + LAND_WITHIN * i32::try_from(number).unwrap() / i32::try_from(copies).unwrap();
            if number % 10 == 0 {
                let again = SignedDuration::from_secs(chance.i64(0..DOUBLED_WITHIN_SECONDS));
                lambda.send_at(at + again, event.clone());
            }
            lambda.send_at(at, event);
        }
        cases.push(case);
    }
    cases
}

/// Counts all attempts, and throttles AWS Backup by the world's clock: what was not asked for is kept for one second. Looks
/// how much is restored and how many slots are held whenever either may have become more.
fn throttle(world: World, time: Time, count: Arc<Mutex<Count>>) -> Judge {
    let most = f64::from(BACKUP_CALLS_PER_SECOND);
    let mut allowed = most;
    let mut last = time.now();
    let mut look = false;
    Box::new(move |attempt: Attempt| {
        let mut count = lock(&count);
        let now = time.now();
        let passed = now.duration_since(last).as_secs_f64();
        last = now;
        allowed = (allowed + passed * most).min(most);
        let throttled = attempt.service == "Backup" && allowed < 1.0;
        if attempt.service == "Backup" && !throttled {
            allowed -= 1.0;
        }
        let name = format!("{}.{}", attempt.service, attempt.operation);
        let (attempts, refused) = count.attempts.entry(name).or_default();
        *attempts += 1;
        *refused += u64::from(throttled);
        count.all += 1;
        if count.all.is_multiple_of(FORGOTTEN_AFTER) {
            world.clear_calls();
        }
        // What the attempt before this one did is done.
        if look {
            let slots = world.table_item(LEDGER, "slots").unwrap_or_default();
            let held = slots["held"]["SS"].as_array().map_or(0, Vec::len);
            count.most_held = count.most_held.max(held);
            count.most_restored = count.most_restored.max(world.restores_there_are());
        }
        look = matches!(attempt.operation, "StartRestoreJob" | "UpdateItem");
        throttled.then_some((FaultKind::Throttle, When::BeforeEffect))
    })
}

/// Whether a restore job belongs to this case.
fn is_restored(case: &Case) -> bool {
    case.path.verdict != "copy_failed"
}

/// What a burst has left behind it.
#[derive(Default)]
struct Found {
    /// How many restore jobs of ours there were, by recovery point.
    jobs: BTreeMap<String, usize>,
    /// Record objects, by validation.
    records: BTreeMap<String, Vec<Recorded>>,
    /// Of which validations log events tell, and of which kind.
    logged: BTreeSet<(String, String)>,
    /// The words of all messages.
    told: BTreeSet<String>,
}

/// A record object.
#[derive(Debug)]
struct Recorded {
    /// The verdicts of all its versions.
    verdicts: BTreeSet<String>,
    /// The cleanup of the last one.
    cleanup: String,
}

impl Found {
    fn in_world(scene: &Scene) -> Found {
        let world = &scene.world;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut found = Found::default();
        for job in world.restore_jobs() {
            if job.iam_role_arn == RESTORE_ROLE {
                *found.jobs.entry(job.recovery_point_arn).or_default() += 1;
            }
        }
        for (key, record) in world.records() {
            let versions = world.object_versions(BUCKET, &key).into_iter();
            let versions =
                versions.map(|version| serde_json::from_slice(&version.body).unwrap_or_default());
            let recorded = Recorded {
                verdicts: versions
                    .map(|version: Value| text(&version["verdict"]))
                    .collect(),
                cleanup: text(&record["cleanup"]),
            };
            let id = text(&record["validation_id"]);
            found.records.entry(id).or_default().push(recorded);
        }
        for event in world.log_events(LOG_GROUP) {
            let event: Value = serde_json::from_str(&event.message).unwrap_or_default();
            let told = (text(&event["event"]), text(&event["validation_id"]));
            found.logged.insert(told);
        }
        for message in world.messages() {
            let words = message.body.split(|c: char| !c.is_ascii_alphanumeric());
            found.told.extend(words.map(str::to_owned));
        }
        found
    }

    /// Every case is to be found once, and nothing else.
    fn compare(&self, scene: &Scene, cases: &[Case], violations: &mut Vec<String>) {
        for case in cases {
            let mut wrong = |what: String| violations.push(format!("{}: {what}", case.path.name));
            let id = &case.id;
            let jobs = self.jobs.get(&case.point_arn).copied().unwrap_or_default();
            if jobs != usize::from(is_restored(case)) {
                wrong(format!("{jobs} restore jobs of {}", case.point_arn));
            }
            match self.records.get(id).map(Vec::as_slice) {
                Some([one]) if one.is_as_expected(case) => {}
                Some([one]) => wrong(format!("{one:?} of {id}")),
                records => wrong(format!(
                    "{} records of {id}",
                    records.unwrap_or_default().len()
                )),
            }
            for kind in ["verdict", "cleanup"] {
                if !self.logged.contains(&(kind.to_owned(), id.clone())) {
                    wrong(format!("no {kind} of {id} in the log"));
                }
            }
            if !self.told.contains(id) {
                wrong(format!("no message of {id}"));
            }
        }
        let known: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
        let unknown = self
            .records
            .keys()
            .filter(|id| !known.contains(id.as_str()));
        violations.extend(unknown.map(|id| format!("a record of {id}, which never landed")));
        let left = [scene.instances(), scene.machines(), scene.volumes()].concat();
        violations.extend(left.iter().map(|name| format!("{name} is left")));
        for item in scene.world.table_items(LEDGER) {
            if !item["held"].is_null() {
                violations.push(format!("slots are held: {}", item["held"]));
            }
            if !item["lease_owner"].is_null() || !item["due_partition"].is_null() {
                violations.push(format!("{} is leased or due", item["id"]));
            }
        }
    }
}

impl Recorded {
    fn is_as_expected(&self, case: &Case) -> bool {
        self.verdicts.iter().eq([case.path.verdict]) && self.cleanup == case.path.cleanup
    }
}

impl Burst {
    /// By service: attempts at calls, and how many of them were throttled.
    pub fn services(&self) -> BTreeMap<&str, (u64, u64)> {
        let mut services: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (operation, (attempts, throttled)) in &self.operations {
            let service = operation.split('.').next().unwrap_or_default();
            let sum = services.entry(service).or_default();
            sum.0 += attempts;
            sum.1 += throttled;
        }
        services
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_copy = |count: u64| count as f64 / self.copies as f64;
        let mut row = |name: &str, value: String| writeln!(f, "{name:<44} {value:>10}");
        row("copies within a minute", self.copies.to_string())?;
        row("restores started", self.restores.to_string())?;
        row(
            "  of a recovery point that had one",
            self.restored_twice.to_string(),
        )?;
        row("records", self.records.to_string())?;
        row(
            "  of a validation that had one",
            self.recorded_twice.to_string(),
        )?;
        for (verdict, count) in &self.verdicts {
            row(&format!("  {verdict}"), count.to_string())?;
        }
        row("restores allowed at one time", BUDGET.to_string())?;
        row(
            "  most restores seen at one time",
            self.most_restored.to_string(),
        )?;
        row("  most slots seen held", self.most_held.to_string())?;
        row("invocations", self.invocations.to_string())?;
        row("  failed", self.failures.to_string())?;
        let services = self.services();
        let sum = |of: fn(&(u64, u64)) -> u64| services.values().map(of).sum::<u64>();
        let all = (sum(|count| count.0), sum(|count| count.1));
        let calls = |(attempts, throttled): (u64, u64)| match throttled {
            0 => format!("{:.1}", per_copy(attempts)),
            _ => format!(
                "{:.1}, of which throttled {:.1}",
                per_copy(attempts),
                per_copy(throttled)
            ),
        };
        row("AWS calls per validation", calls(all))?;
        for (service, count) in &services {
            row(&format!("  {service}"), calls(*count))?;
        }
        let hours = self.world_time.as_secs_f64() / 3600.0;
        row("world hours", format!("{hours:.1}"))?;
        row("seconds of ours", self.real_time.as_secs().to_string())?;
        row("violations", self.violations.len().to_string())
    }
}

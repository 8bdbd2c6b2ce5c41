//! One run: a scene, what is done to it, and what was found afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_config::Region;
use jiff::{SignedDuration, Timestamp};
use restore_proof_local_aws::{Call, WorldOptions};
use serde_json::{Value, json};

use super::harm::{Harms, SharedTally, Tally, judge, lock};
use super::inspect::{self, Severity};
use super::lambda::{ARRIVES_AFTER, Lambda, Mail, reliable};
use super::paths::{Case, PATHS, Path};
use super::shop::Shop;
use super::time::Time;
use super::wire::{Latency, Wire, steady};
use crate::canary::Watch;
use crate::{REGION, Scene};

/// When runs begin that are not random.
const START: &str = "2026-03-01T09:00:00Z";

/// What a run is.
#[derive(Clone, Debug)]
pub enum Plan {
    /// One recovery point on one way, with these harms.
    One {
        /// The way.
        path: &'static Path,
        /// What is done to it.
        harms: Vec<Harms>,
        /// Its event arrives a second time, so much later.
        doubled: Option<SignedDuration>,
        /// What may come of that.
        severity: Severity,
    },
    /// Anything, decided by a seed.
    Random {
        /// The seed.
        seed: u64,
    },
}

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What did not hold, in words.
    pub violations: Vec<String>,
    /// Every attempt at an AWS call.
    pub calls: Vec<Call>,
    /// What it met.
    pub tally: Tally,
    /// Invocations, and how many of them died and failed.
    pub invocations: [usize; 3],
    /// Verdicts, by case.
    pub verdicts: Vec<String>,
}

/// Runs it, on this thread.
pub fn run(shop: &Shop, plan: &Plan) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run_here(shop, plan))
}

async fn run_here(shop: &Shop, plan: &Plan) -> Outcome {
    let start: Timestamp = START.parse().unwrap();
    match plan {
        Plan::One {
            path,
            harms,
            doubled,
            severity,
        } => {
            fastrand::seed(1);
            let mut stage = Stage::set(shop, &[path], start, harms, steady(), reliable()).await;
            let case = path.begin(&stage.scene, shop, 0);
            if let Some(event) = case.event.clone() {
                if let Some(later) = doubled {
                    stage
                        .lambda
                        .send_at(start + ARRIVES_AFTER + *later, event.clone());
                }
                stage.lambda.send(event);
            }
            stage.play(&[case], *severity).await
        }
        Plan::Random { seed } => random(shop, *seed, start).await,
    }
}

/// A scene in simulated time, with Lambda.
struct Stage {
    scene: Arc<Scene>,
    time: Time,
    lambda: Lambda,
    tally: SharedTally,
    harms: Vec<Harms>,
    dies: Arc<AtomicBool>,
}

impl Stage {
    async fn set(
        shop: &Shop,
        paths: &[&Path],
        start: Timestamp,
        harms: &[Harms],
        latency: Latency,
        mail: Mail,
    ) -> Stage {
        // The SDK shares its budget of retries between all clients of a Region: every run has a Region of its own, so that
        // it depends on no other.
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let region = format!("{REGION}-{}", RUNS.fetch_add(1, Ordering::Relaxed));
        let time = Time::new(start);
        let clock = time.clone();
        let options = WorldOptions {
            clock: Arc::new(move || clock.now()),
            // Longer than the SDK waits before it tries again: it meets what its first attempt has begun.
            deletion_takes: Duration::from_secs(60),
            ..WorldOptions::default()
        };
        let rules: Vec<String> = paths.iter().map(|path| path.rule()).collect();
        let policy = format!("version = \"torture\"\n{}", rules.join("\n"));
        // Runs by the thousand: to search all that they write would take longer than they do. What they send is, see `violations`.
        let watch = Watch::blind();
        let scene = Scene::in_world(options, &policy, watch, |world, _, sdk| {
            sdk.region(Region::new(region))
                .http_client(Wire::new(world.http_client(), time.clone(), latency))
                .sleep_impl(time.clone())
                .time_source(time.clone())
        })
        .await;
        shop.introduce(&scene.world);
        let scene = Arc::new(scene);
        let dies = Arc::new(AtomicBool::new(false));
        let lambda = Lambda::new(Arc::clone(&scene), time.clone(), mail, Arc::clone(&dies));
        Stage {
            scene,
            time,
            lambda,
            tally: Arc::default(),
            harms: harms.to_vec(),
            dies,
        }
    }

    async fn play(mut self, cases: &[Case], severity: Severity) -> Outcome {
        inspect::let_bystander_in(&self.scene, cases);
        let before = inspect::bystanders(&self.scene.world);
        let judge = judge(
            &self.harms,
            self.time.clone(),
            Arc::clone(&self.tally),
            Arc::clone(&self.dies),
        );
        self.scene.world.faults().judge_by(judge);
        let mut violations = Vec::new();
        if let Err(why) = self.lambda.run(cases.len()).await {
            violations.push(why);
        }
        violations.extend(inspect::violations(&self.scene, cases, &before, severity));
        let verdict = |case: &Case| {
            let records = self.scene.records();
            let record = records.iter().find(|one| one["validation_id"] == case.id);
            record.map_or_else(String::new, |one| {
                one["verdict"].as_str().unwrap_or_default().to_owned()
            })
        };
        // Otherwise the world would hold the judge, and the judge its clock.
        self.scene.world.faults().clear();
        Outcome {
            violations,
            calls: self.scene.world.calls(),
            tally: lock(&self.tally).clone(),
            invocations: [
                self.lambda.invocations,
                self.lambda.deaths,
                self.lambda.failures,
            ],
            verdicts: cases.iter().map(verdict).collect(),
        }
    }
}

/// A random run: some copies on some ways; events lost, doubled, late and so out of order; invocations side by side; attempts
/// that fail and deaths, for some hours.
async fn random(shop: &Shop, seed: u64, start: Timestamp) -> Outcome {
    let mut chance = fastrand::Rng::with_seed(seed);
    fastrand::seed(chance.u64(..));
    // Any time of the day, also shortly before midnight.
    let start = start + SignedDuration::from_mins(chance.i64(0..1440));
    let harms = Harms::Chance {
        per_mille: [0, 5, 20, 60, 150][chance.usize(0..5)],
        lasts: SignedDuration::from_mins(chance.i64(10..480)),
        seed: chance.u64(..),
    };
    let mut pace = chance.fork();
    let latency = Arc::new(std::sync::Mutex::new(move || {
        let slow = pace.u8(0..50) == 0;
        let most = if slow { 4000 } else { 60 };
        let mut some = || Duration::from_millis(pace.u64(1..most));
        (some(), some())
    }));
    let mut post = chance.fork();
    let mail: Mail = Box::new(move |payload, now| deliver(&mut post, payload, now));
    let paths: Vec<&'static Path> = PATHS.iter().collect();
    let mut stage = Stage::set(shop, &paths, start, &[harms], latency, mail).await;
    // The stack is older than what lands: the sweep has been here before.
    stage.lambda.send_at(start, json!({ "sweep": "lost" }));
    if let Err(why) = stage.lambda.run(0).await {
        panic!("the first sweep: {why}");
    }
    let count = chance.u32(1..6);
    let mut cases = Vec::new();
    for number in 0..count {
        let path = paths[chance.usize(0..paths.len())];
        let case = path.begin(&stage.scene, shop, number);
        let at = stage.time.now() + SignedDuration::from_secs(chance.i64(0..1800));
        if let Some(event) = case.event.clone() {
            // The event of a copy that failed is all that tells of it.
            let is_lost = path.arrival != super::paths::Arrival::FailedCopy && chance.u8(0..6) == 0;
            if !is_lost {
                stage.lambda.send_at(at, event.clone());
            }
            if chance.u8(0..4) == 0 {
                let again = at + SignedDuration::from_secs(chance.i64(0..3600));
                stage.lambda.send_at(again, event);
            }
        }
        cases.push(case);
    }
    stage.play(&cases, Severity::MayCost).await
}

/// When copies of an event or invocation arrive. Invocations are not lost: Lambda keeps them.
fn deliver(chance: &mut fastrand::Rng, payload: &Value, now: Timestamp) -> Vec<Timestamp> {
    let is_event = payload.get("detail-type").is_some();
    if is_event && chance.u8(0..6) == 0 {
        return Vec::new();
    }
    let copies = if chance.u8(0..6) == 0 { 2 } else { 1 };
    let mut arrive = || {
        let late = is_event && chance.u8(0..6) == 0;
        let most = if late { 3_600_000 } else { 2_000 };
        now + SignedDuration::from_millis(chance.i64(1..most))
    };
    (0..copies).map(|_| arrive()).collect()
}

//! What a validation and a sweep ask of AWS when all goes well: each call, and which calls are made beside each other.
//!
//! In simulated time each call takes the same time and nothing else takes any, so that the time in which a call is under
//! way, divided by how long one takes, is the number of calls in a row.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use aws_config::Region;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::resource_type::ResourceType;
use restore_proof_function::handle;
use restore_proof_local_aws::{
    Call, InstanceBehaviour, Machine, RecoveryPoint, RestoreBehaviour, WorldOptions,
};
use serde_json::{Value, json};

use super::shop::Shop;
use super::time::Time;
use super::wire::{Wire, steady};
use crate::canary::Watch;
use crate::{BUCKET, LEDGER, REGION, Scene, TIMEOUT, due_sweep_every};

/// How long a call takes there and back ([`steady`]).
const CALL_TAKES: SignedDuration = SignedDuration::from_millis(15);
/// How long a restore takes.
const RESTORE_TAKES: Duration = Duration::from_secs(8 * 60);
/// How long a deletion takes.
const DELETION_TAKES: Duration = Duration::from_secs(3 * 60);
/// The longest step of time: so late, at most, the world tells what has happened.
const STEP: SignedDuration = SignedDuration::from_secs(5);
/// A healthy validation is closed after so long.
const CLOSED_WITHIN: SignedDuration = SignedDuration::from_hours(2);

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// So many calls in a row were made before it; the first is 1. Calls of one step are beside each other.
    pub step: usize,
    /// `Service.Operation`, and what of the ledger or the bucket it is about.
    pub call: String,
}

/// One invocation of the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What it is invoked with, and how the validation then stands.
    pub name: String,
    /// Its calls, in the order of their beginning.
    pub calls: Vec<Made>,
}

/// The invocations of one story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// What happens.
    pub name: String,
    /// In their order; those that call nothing are left out.
    pub invocations: Vec<Invocation>,
}

impl Invocation {
    /// How many calls in a row it takes.
    pub fn in_a_row(&self) -> usize {
        let last = self.calls.iter().map(|made| made.step).max();
        last.unwrap_or_default()
    }
}

impl Story {
    /// All calls.
    pub fn all(&self) -> usize {
        self.invocations.iter().map(|one| one.calls.len()).sum()
    }

    /// How many there are in a row.
    pub fn in_a_row(&self) -> usize {
        self.invocations.iter().map(Invocation::in_a_row).sum()
    }

    /// How many are DynamoDB's.
    pub fn of_dynamodb(&self) -> usize {
        let calls = self.invocations.iter().flat_map(|one| &one.calls);
        calls
            .filter(|made| made.call.starts_with("`DynamoDB."))
            .count()
    }
}

impl fmt::Display for Story {
    /// The sum of a story.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, row, dynamodb) = (self.all(), self.in_a_row(), self.of_dynamodb());
        write!(
            formatter,
            "In all {all} calls, {row} in a row, {dynamodb} of DynamoDB."
        )
    }
}

/// All stories that `docs/calls.md` tells.
pub fn stories(shop: &Shop) -> Vec<Story> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut stories = Vec::new();
        for resource_type in ResourceType::ALL {
            stories.push(healthy(shop, resource_type).await);
        }
        stories.push(known_already(shop).await);
        stories.extend(sweeps(shop).await);
        stories
    })
}

/// A healthy validation, from the copy's event until it is closed. The sweep's own calls are not its.
async fn healthy(shop: &Shop, resource_type: ResourceType) -> Story {
    let stage = Stage::set(shop).await;
    let id = stage.lands(shop, resource_type).await;
    let mut invocations = stage.invocations.take();
    let mut next_sweep = stage.time.now() + due_sweep_every();
    let end = stage.time.now() + CLOSED_WITHIN;
    while stage.scene.item(&id)["stage"]["S"] != "closed" {
        assert!(stage.time.now() < end, "{:#}", stage.scene.item(&id));
        stage.time.go_to(stage.time.now() + STEP);
        stage.scene.world.settle();
        for event in stage.scene.world.take_events() {
            stage.invoke(&event).await;
        }
        if stage.time.now() >= next_sweep {
            next_sweep += due_sweep_every();
            invocations.extend(stage.invocations.take());
            stage.sweep("due").await;
            stage.invocations.take();
            for (_, payload) in stage.scene.world.take_invocations() {
                stage.invoke(&payload).await;
            }
        }
        invocations.extend(stage.invocations.take());
    }
    let record = stage.scene.record(&id);
    assert_eq!(
        (&record["verdict"], &record["cleanup"]),
        (&json!("passed"), &json!("deleted")),
        "{record:#}"
    );
    Story {
        name: format!("A healthy validation: {}", resource_type.name()),
        invocations,
    }
}

/// What is told of a validation a second time: the recovery point's own event after the copy's.
async fn known_already(shop: &Shop) -> Story {
    let stage = Stage::set(shop).await;
    let id = stage.lands(shop, ResourceType::Rds).await;
    stage.invocations.take();
    let arn = stage.scene.validation(&id)["recovery_point"]["arn"].clone();
    let event = stage
        .scene
        .world
        .recovery_point_event(arn.as_str().unwrap());
    stage.invoke(&event.unwrap()).await;
    let job = json!({
        "source": "aws.backup", "detail-type": "Restore Job State Change", "account": crate::ACCOUNT,
        "region": REGION, "resources": [],
        "detail": { "restoreJobId": "c0ffee00-0000-4000-8000-000000000001", "status": "COMPLETED" },
    });
    stage.invoke(&job).await;
    Story {
        name: "Events that move nothing".to_owned(),
        invocations: stage.invocations.take(),
    }
}

/// Sweeps for what is due, and the hourly one.
async fn sweeps(shop: &Shop) -> Vec<Story> {
    let stage = Stage::set(shop).await;
    let mut stories = Vec::new();
    let mut tell = |name: &str| {
        stories.push(Story {
            name: name.to_owned(),
            invocations: stage.invocations.take(),
        });
    };
    stage.sweep("due").await;
    tell("A sweep that finds nothing due");
    let id = stage.lands(shop, ResourceType::Rds).await;
    stage.invocations.take();
    stage
        .time
        .go_to(stage.time.now() + SignedDuration::from_mins(20));
    stage.sweep("due").await;
    assert_eq!(stage.scene.world.take_invocations().len(), 1, "{id}");
    tell("A sweep with one validation due");
    stage.sweep("lost").await;
    tell("The hourly sweep, with one open validation");
    stories
}

/// A stack that has been swept before, in simulated time, where one invocation is made after the other.
struct Stage {
    scene: Scene,
    time: Time,
    invocations: std::cell::RefCell<Vec<Invocation>>,
}

impl Stage {
    async fn set(shop: &Shop) -> Stage {
        fastrand::seed(1);
        let time = Time::new("2026-03-02T09:00:00Z".parse().unwrap());
        let clock = time.clone();
        let options = WorldOptions {
            clock: std::sync::Arc::new(move || clock.now()),
            deletion_takes: DELETION_TAKES,
            ..WorldOptions::default()
        };
        let scene = Scene::in_world(options, POLICY, Watch::blind(), |world, _, sdk| {
            sdk.region(Region::new(REGION))
                .http_client(Wire::new(world.http_client(), time.clone(), steady()))
                .sleep_impl(time.clone())
                .time_source(time.clone())
        })
        .await;
        shop.introduce(&scene.world);
        let stage = Stage {
            scene,
            time,
            invocations: std::cell::RefCell::default(),
        };
        // Makes the day's log stream, and notes since when the stack works.
        stage.sweep("due").await;
        stage.sweep("lost").await;
        stage.invocations.take();
        stage
    }

    /// Lets a copy of this type land. Returns its validation's id.
    async fn lands(&self, shop: &Shop, resource_type: ResourceType) -> String {
        let point = match resource_type {
            ResourceType::Ec2 => self.scene.machine_point(
                "5400",
                Machine {
                    ports: vec![8080],
                    files: [("/index.html".to_owned(), "Welcome".to_owned())].into(),
                    ..Machine::default()
                },
            ),
            ResourceType::Aurora => self.scene.cluster_point("shop"),
            ResourceType::Rds => self.scene.point("shop"),
        };
        let arn = self.scene.add(RecoveryPoint {
            behaviour: RestoreBehaviour {
                takes: RESTORE_TAKES,
                server: Some(shop.address()),
                instance: InstanceBehaviour::default(),
                ..RestoreBehaviour::default()
            },
            ..point
        });
        let job = self.scene.world.copy_job_of(&arn).unwrap();
        let answer = self.invoke(&self.scene.world.copy_job_event(&job)).await;
        answer["validation_id"].as_str().unwrap().to_owned()
    }

    async fn sweep(&self, which: &str) -> Value {
        self.invoke(&json!({ "sweep": which })).await
    }

    /// Invokes the function, lets time pass until it has ended, and keeps what it has called.
    async fn invoke(&self, payload: &Value) -> Value {
        let (time, world) = (&self.time, &self.scene.world);
        world.clear_calls();
        let mut work = pin!(tokio::task::unconstrained(handle(
            &self.scene.app,
            payload,
            time.now() + TIMEOUT
        )));
        let answer = poll_fn(|context| {
            loop {
                if let Poll::Ready(answer) = work.as_mut().poll(context) {
                    return Poll::Ready(answer);
                }
                // What it waits for besides happens on this machine, in real time.
                match time.next() {
                    Some(next) => {
                        time.go_to(next);
                        world.settle();
                    }
                    None => return Poll::Pending,
                }
            }
        });
        let answer = answer.await.unwrap();
        let calls = in_steps(&world.calls());
        if !calls.is_empty() {
            self.invocations.borrow_mut().push(Invocation {
                name: name(payload, &answer),
                calls,
            });
        }
        answer
    }
}

/// Numbers calls by how many in a row were made before each.
fn in_steps(calls: &[Call]) -> Vec<Made> {
    let (mut busy, mut from, mut until) = (SignedDuration::ZERO, Timestamp::MIN, Timestamp::MIN);
    let mut made = Vec::new();
    for call in calls {
        if call.at > until {
            busy += until.duration_since(from);
            from = call.at;
        }
        // A call is seen by the world on its way, always at the same moment of it.
        until = until.max(call.at + CALL_TAKES);
        let before = busy + call.at.duration_since(from);
        let step = before.as_millis() / CALL_TAKES.as_millis() + 1;
        made.push(Made {
            step: usize::try_from(step).unwrap(),
            call: described(call),
        });
    }
    made
}

/// What an invocation was for.
fn name(payload: &Value, answer: &Value) -> String {
    let what = match (&payload["detail-type"], &payload["sweep"]) {
        (Value::String(event), _) => event.clone(),
        (_, Value::String(which)) => format!("sweep {which}"),
        _ => "invoked by the sweep".to_owned(),
    };
    match answer["stage"].as_str() {
        Some(stage) => format!("{what}; then {stage}"),
        None => what,
    }
}

/// A call in words that are the same in each run.
fn described(call: &Call) -> String {
    let about = match call.service {
        "DynamoDB" => about_items(call),
        "S3" => call
            .resources
            .iter()
            .filter_map(|object| object.strip_prefix(&format!("{BUCKET}/")))
            .map(|key| key.split('/').next().unwrap_or(key).to_owned())
            .collect(),
        _ => Vec::new(),
    };
    [vec![format!("`{}`", call.name())], about]
        .concat()
        .join(" ")
}

/// The kinds of items, or the partitions of the index, that a call of DynamoDB names.
fn about_items(call: &Call) -> Vec<String> {
    let named = |text: &str| call.mentions(text);
    let mut about: Vec<&str> = [
        "slots",
        "installed",
        "job#",
        "rule#",
        "heard#",
        "tested#",
        "told#",
        "proved#",
        "standing#",
    ]
    .into_iter()
    .filter(|key| named(&format!("{{\"S\":\"{key}")))
    .map(|key| key.trim_end_matches('#'))
    .collect();
    let partitions: Vec<String> = ResourceType::ALL
        .iter()
        .map(|one| format!("waiting#{}", one.name()))
        .filter(|partition| named(&format!("{{\"S\":\"{partition}\"}}")))
        .collect();
    if call.operation == "Query" {
        about.extend(partitions.iter().map(String::as_str));
        if partitions.is_empty() {
            about.push("open");
        }
    }
    let is_id = |text: &String| text.len() == 20 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if call.resources.iter().any(is_id) {
        about.push("validation");
    }
    debug_assert!(named(LEDGER));
    about.into_iter().map(str::to_owned).collect()
}

/// One rule for both types: a claim of the week, a login and checks.
const POLICY: &str = r#"
version = "calls"

[[rules]]
name = "databases"
match = { resource_type = "RDS" }
frequency = "weekly"
credentials = { secret = "restore-proof/shop" }
  [[rules.checks]]
  name = "orders are there"
  kind = "sql"
  query = "select count(*) from orders"
  expect = { min = 1 }

[[rules]]
name = "clusters"
match = { resource_type = "Aurora" }
frequency = "weekly"
credentials = { secret = "restore-proof/shop" }
  [[rules.checks]]
  name = "orders are there"
  kind = "sql"
  query = "select count(*) from orders"
  expect = { min = 1 }

[[rules]]
name = "machines"
match = { resource_type = "EC2" }
frequency = "weekly"
  [[rules.checks]]
  name = "the shop answers"
  kind = "http"
  port = 8080
  steps = [{ path = "/", contains = "Welcome" }]
"#;

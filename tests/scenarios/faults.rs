//! Every call of a validation fails, one after the other: before its effect and after it, once and for all retries of the SDK.
//!
//! Whatever fails, the world must look the same in the end: one restore, one record, nothing left, nothing touched that
//! is not ours.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use restore_proof_core::validation::validation_id;
use restore_proof_local_aws::{
    Attachment, Call, DbInstance, Ec2Instance, Fault, FaultKind, Machine, RecoveryPoint,
    RestoreBehaviour, Times, Volume, WorldOptions,
};
use restore_proof_tests::{
    BUCKET, MACHINE_SECURITY_GROUP, PREFIX, SUBNET, SUBNET_GROUP, Scene, UNCHECKED, VAULT,
};
use serde_json::json;

/// How many runs are under way at once: most of their time they wait for the SDK to try again.
const AT_ONCE: usize = 64;

const ANNAS_DATABASE: &str = "anna-looks-for-lost-orders";
const ANNAS_MACHINE: &str = "i-0a22a000000000001";
const ANNAS_VOLUME: &str = "vol-0a22a000000000001";

/// A validation whose calls are to fail.
#[derive(Debug)]
struct Case {
    name: &'static str,
    policy: &'static str,
    /// What is restored; it lies in the vault of the scene.
    point: fn(&Scene) -> RecoveryPoint,
    verdict: &'static str,
    /// It looks so often, at most, while it waits for time to pass: the last strikes may find no call any more.
    polls: usize,
    /// Calls that it makes when none fails, so that it is what it is called.
    makes: &'static [&'static str],
}

const CASES: [Case; 4] = [
    Case {
        name: "a database without checks",
        policy: UNCHECKED,
        point: |scene| scene.point("orders"),
        verdict: "unchecked",
        polls: 0,
        makes: &["RDS.DeleteDBInstance"],
    },
    Case {
        name: "a database with a password of our own, and without a CA to verify it by",
        policy: r#"
version = "test"
[[rules]]
name = "shop"
match = { resource_type = "RDS" }
frequency = "every-copy"
credentials = "reset"
  [[rules.checks]]
  name = "orders are there"
  kind = "sql"
  query = "select count(*) from orders"
  expect = { min = 1 }
"#,
        point: |scene| scene.point("orders"),
        verdict: "inconclusive",
        polls: 30,
        makes: &["RDS.ModifyDBInstance", "RDS.DeleteDBInstance"],
    },
    Case {
        name: "a healthy machine",
        policy: r#"
version = "test"
[[rules]]
name = "shops"
match = { resource_type = "EC2" }
frequency = "every-copy"
  [[rules.checks]]
  name = "the shop answers"
  kind = "http"
  port = 8080
  steps = [{ path = "/", contains = "Welcome" }]
"#,
        point: |scene| {
            let page = ("/index.html".to_owned(), "Welcome".to_owned());
            let shop = Machine {
                ports: vec![8080],
                files: [page].into(),
                ..Machine::default()
            };
            scene.machine_point("0150a9", shop)
        },
        verdict: "passed",
        polls: 0,
        makes: &["EC2.TerminateInstances"],
    },
    Case {
        name: "a machine that leaves its volume",
        policy: UNCHECKED,
        point: |scene| {
            let leaves = Machine {
                volumes_stay: true,
                ..Machine::default()
            };
            scene.machine_point("0150a9", leaves)
        },
        verdict: "unchecked",
        polls: 0,
        makes: &["EC2.TerminateInstances", "EC2.DeleteVolume"],
    },
];

impl Case {
    /// Does this work while time passes quickly, where it would wait for time to pass.
    async fn waits_for<T>(&self, scene: &Scene, work: impl Future<Output = T>) -> T {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let mut work = Box::pin(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick(), if self.polls > 0 => scene.pass(SignedDuration::from_secs(1)),
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Strike {
    /// So many attempts pass first.
    after: u32,
    after_effect: bool,
    all_retries: bool,
}

impl Strike {
    fn fault(self) -> Fault {
        let kind = FaultKind::Error {
            code: "InternalFailure".to_owned(),
            status: 500,
        };
        let times = if self.all_retries {
            Times::OneCall
        } else {
            Times::Once
        };
        let fault = Fault::once(kind).times(times).skip(self.after);
        if self.after_effect {
            fault.after_effect()
        } else {
            fault
        }
    }
}

/// What others have in the same network.
fn colleagues(scene: &Scene) {
    let world = &scene.world;
    world.add_db_instance(DbInstance {
        identifier: ANNAS_DATABASE.to_owned(),
        created_at: Some(scene.now() + SignedDuration::from_secs(30)),
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbInstance::default()
    });
    world.add_ec2_instance(Ec2Instance {
        id: ANNAS_MACHINE.to_owned(),
        launched_at: scene.now() + SignedDuration::from_secs(30),
        subnet_id: SUBNET.to_owned(),
        security_groups: vec![MACHINE_SECURITY_GROUP.to_owned()],
        ..Ec2Instance::default()
    });
    world.add_volume(Volume {
        id: ANNAS_VOLUME.to_owned(),
        state: "in-use".to_owned(),
        created_at: scene.now() + SignedDuration::from_secs(30),
        attachment: Some(Attachment {
            attached_at: None,
            instance_id: ANNAS_MACHINE.to_owned(),
            device: "/dev/xvda".to_owned(),
            delete_on_termination: true,
        }),
        ..Volume::default()
    });
}

/// Validates one copy with this strike. Answers the attempts at calls that the world met, and whether one was struck.
async fn run(case: &'static Case, strike: Option<Strike>) -> (Vec<Call>, bool) {
    // Longer than the SDK waits before it tries again: it meets what its first attempt has begun.
    let options = WorldOptions {
        deletion_takes: Duration::from_secs(60),
        ..WorldOptions::default()
    };
    let mut scene = Scene::with_options(case.policy, options).await;
    // Few looks while a password is being set, which takes its time.
    scene.app.poll = Duration::from_millis(250);
    colleagues(&scene);
    let takes = Duration::from_secs(60);
    let mut behaviour = RestoreBehaviour::bare().taking(takes);
    behaviour.instance.master_password.takes = Duration::from_secs(20);
    let point = scene.add(RecoveryPoint {
        behaviour,
        ..(case.point)(&scene)
    });
    let event = scene
        .world
        .copy_job_event(&scene.world.copy_job_of(&point).unwrap());
    if let Some(strike) = strike {
        scene.world.faults().fail("*", strike.fault());
    }
    // Lambda delivers an event that failed twice more, a minute later and two.
    for minutes in 1..=3 {
        let answer = case
            .waits_for(&scene, scene.try_invoke(event.clone()))
            .await;
        if answer.is_ok() {
            break;
        }
        scene.pass(SignedDuration::from_mins(minutes));
    }
    let vault = scene.app.config.vault_arn(VAULT);
    let id = validation_id(PREFIX, &vault, &point, None);
    let record = case.waits_for(&scene, scene.close(&id)).await;

    let said = format!("{}, {strike:?}: {record:#}", case.name);
    assert_eq!(
        (&record["verdict"], &record["cleanup"]),
        (&json!(case.verdict), &json!("deleted")),
        "{said}"
    );
    assert_eq!(record["attempt"], 1, "{said}");
    assert_eq!(scene.world.restore_jobs().len(), 1, "one restore; {said}");
    let mut keys = scene.world.object_keys(BUCKET);
    keys.retain(|key| key.starts_with("records/"));
    assert_eq!(keys.len(), 1, "one record; {said}");
    assert!(!scene.world.messages().is_empty(), "a message; {said}");
    assert!(
        !scene.log_events("verdict", &id).is_empty(),
        "a log event; {said}"
    );
    assert_recorded_before_deleted(&scene.world.calls(), &said);
    for foreign in [ANNAS_DATABASE, ANNAS_MACHINE, ANNAS_VOLUME] {
        scene.assert_untouched(foreign);
    }
    scene.assert_clean_beside(&[ANNAS_MACHINE, ANNAS_VOLUME]);
    let calls = scene.world.calls();
    if strike.is_none() {
        for name in case.makes {
            assert!(calls.iter().any(|call| call.name() == *name), "{name}");
        }
    }
    (calls, scene.world.faults().hits() > 0)
}

fn assert_recorded_before_deleted(calls: &[Call], said: &str) {
    let recorded = calls
        .iter()
        .position(|call| call.name() == "S3.PutObject" && call.reached && call.error.is_none());
    let deletes = [
        "RDS.DeleteDBInstance",
        "EC2.TerminateInstances",
        "EC2.DeleteVolume",
    ];
    let deleted = calls
        .iter()
        .position(|call| call.reached && deletes.contains(&call.name().as_str()));
    assert!(
        recorded.unwrap() < deleted.unwrap(),
        "recorded before deleted; {said}"
    );
}

/// Lets every call of this validation fail: in every way, or only in those that `which` picks for the call.
async fn strike_all(case: &'static Case, which: fn(&Call, Strike) -> bool) {
    let (calls, _) = tokio::spawn(run(case, None)).await.unwrap();
    assert!(
        calls.len() > 30,
        "a validation takes some calls, this one {}",
        calls.len()
    );
    let strikes = calls.iter().zip(0..).flat_map(|(call, after)| {
        let ways = [(false, false), (false, true), (true, false), (true, true)];
        let strikes = ways.map(|(after_effect, all_retries)| Strike {
            after,
            after_effect,
            all_retries,
        });
        strikes
            .into_iter()
            .filter(move |strike| which(call, *strike))
    });
    let missed = stream::iter(strikes)
        .map(|strike| tokio::spawn(run(case, Some(strike))))
        .buffer_unordered(AT_ONCE)
        .filter(|finished| {
            let (_, struck) = finished.as_ref().unwrap();
            std::future::ready(!struck)
        })
        .count()
        .await;
    assert!(missed <= case.polls, "{missed} strikes met no call");
}

/// What ends a run, and what the SDK repeats although it has taken effect.
fn telling(call: &Call, strike: Strike) -> bool {
    let acts = call.mutating && matches!(call.service, "Backup" | "RDS" | "EC2");
    strike.all_retries || (strike.after_effect && acts)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_there_is_one_restore_one_record_and_nothing_left() {
    strike_all(&CASES[0], |_, _| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_while_a_password_is_set_the_copy_is_judged_once_and_deleted() {
    strike_all(&CASES[1], telling).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_a_good_machine_passes_and_is_ended() {
    strike_all(&CASES[2], telling).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_no_volume_of_a_machine_is_left() {
    strike_all(&CASES[3], telling).await;
}

//! Every alarm of the template is fed: there is a scene in which it rings, and in one where all is well it is silent.
//!
//! Metrics of the function's own are taken from the events that it has logged, what Lambda counts from the scene's
//! invocations, and what lies in the two queues from what Lambda and EventBridge put there.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use restore_proof_local_aws::alarm::{Alarm, AlarmState};
use restore_proof_local_aws::{
    DbInstance, Fault, Machine, RecoveryPoint, RestoreBehaviour, Times, bystander,
};
use restore_proof_tests::{
    BACKUP_JOB_VAULT, DAMAGED, LOG_GROUP, PREFIX, SUBNET_GROUP, Scene, UNCHECKED, alarms, function,
    metric_filters,
};
use serde_json::{Value, json};

use crate::verdicts::retries::KEY_IS_GOING;

/// A scene that was played, and when which queue got a message.
struct Played {
    scene: Scene,
    from: Timestamp,
    queued: Vec<(String, Timestamp)>,
}

impl Played {
    async fn set(policy: &str) -> Played {
        let scene = Scene::set(policy).await;
        let from = scene.now();
        // What lies in the vaults by now is not new.
        scene.invoke(json!({ "sweep": "lost" })).await;
        scene.pass(SignedDuration::from_mins(1));
        Played {
            from,
            scene,
            queued: Vec::new(),
        }
    }

    /// Both sweeps come by, every half hour for so many hours.
    async fn hours(&self, many: usize) {
        for _ in 0..2 * many {
            self.scene.pass(SignedDuration::from_mins(25));
            self.scene.invoke(json!({ "sweep": "lost" })).await;
            self.scene.sweep().await;
        }
    }

    /// A message lies in a queue from now on.
    fn queue(&mut self, arn: &str) {
        let name = arn.rsplit(':').next().unwrap();
        self.queued.push((name.to_owned(), self.scene.now()));
    }

    /// What CloudWatch has of an alarm's metric: values, and when each was measured.
    fn measured(&self, alarm: &Alarm) -> Vec<(Timestamp, f64)> {
        let dimension = |name: &str| {
            assert_eq!(alarm.dimensions.len(), 1, "{}", alarm.name);
            alarm.dimensions[name].as_str()
        };
        match (alarm.namespace.as_str(), alarm.metric.as_str()) {
            ("AWS/Lambda", metric) => {
                assert_eq!(dimension("FunctionName"), PREFIX);
                let invocations = self.scene.invocations().into_iter();
                let counted = invocations.map(|one| match metric {
                    "Invocations" => (one.began, 1.0),
                    "Errors" => (one.began, f64::from(u8::from(one.failed))),
                    other => panic!("nothing counts {other} here"),
                });
                counted.collect()
            }
            // A queue that holds nothing for long measures nothing.
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible") => {
                let name = dimension("QueueName");
                let of_queue = self.queued.iter().filter(|(queue, _)| queue == name);
                of_queue
                    .zip(1..)
                    .map(|((_, at), count)| (*at, f64::from(count)))
                    .collect()
            }
            (namespace, _) => {
                assert_eq!(
                    namespace,
                    format!("RestoreProof/{PREFIX}"),
                    "{}",
                    alarm.name
                );
                self.logged(alarm)
            }
        }
    }

    /// A metric of the function's own: embedded in its events, or counted by a filter.
    fn logged(&self, alarm: &Alarm) -> Vec<(Timestamp, f64)> {
        let filters = metric_filters();
        let mut filters = filters.iter();
        let filter =
            filters.find(|one| one.namespace == alarm.namespace && one.metric == alarm.metric);
        let events = self.scene.world.log_events(LOG_GROUP).into_iter();
        let values = events.filter_map(|logged| {
            let event: Value = serde_json::from_str(&logged.message).unwrap();
            let value = match filter {
                Some(filter) => filter.counts(&event),
                None => embedded(&event, alarm),
            };
            let at = Timestamp::from_millisecond(logged.timestamp_ms).unwrap();
            value.map(|value| (at, value))
        });
        values.collect()
    }

    /// On what an alarm rings, that all is well left out.
    fn rings(&self, alarm: &Alarm) -> Vec<AlarmState> {
        let rings = alarm.rings(&self.measured(alarm), self.from, self.scene.now());
        let states = rings.into_iter().map(|(_, state)| state);
        states.filter(|state| *state != AlarmState::Ok).collect()
    }
}

/// The alarm's metric as an event embeds it, with the alarm's dimensions and no others.
fn embedded(event: &Value, alarm: &Alarm) -> Option<f64> {
    let directives = event["_aws"]["CloudWatchMetrics"].as_array()?;
    let mut directives = directives.iter();
    let is_told = directives.any(|directive| {
        let mut metrics = directive["Metrics"].as_array().unwrap().iter();
        let mut sets = directive["Dimensions"].as_array().unwrap().iter();
        directive["Namespace"] == *alarm.namespace
            && metrics.any(|one| one["Name"] == *alarm.metric)
            && sets.any(|set| {
                let names = set.as_array().unwrap().iter();
                let values: BTreeMap<_, _> = names
                    .map(|name| name.as_str().unwrap())
                    .map(|name| (name, event[name].as_str().unwrap()))
                    .collect();
                let wanted = alarm.dimensions.iter();
                wanted
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .eq(values)
            })
    });
    is_told.then(|| event[alarm.metric.as_str()].as_f64().unwrap())
}

/// Three days on which copies land in both vaults and pass.
async fn all_is_well() -> Played {
    let played = Played::set(UNCHECKED).await;
    let scene = &played.scene;
    for day in 0..3 {
        for database in ["a", "b", "c", "d", "e"] {
            let point = scene.backup(&format!("{database}{day}"), RestoreBehaviour::bare());
            scene.lands(&point).await;
            scene.add(RecoveryPoint {
                vault: BACKUP_JOB_VAULT.to_owned(),
                ..scene.point(&format!("{database}{day}-local"))
            });
        }
        played.hours(24).await;
    }
    played
}

/// The scene in which an alarm rings.
async fn where_it_rings(alarm: &str) -> Played {
    match alarm {
        "PolicyErrorsAlarm" => proven("version = ", RestoreBehaviour::bare()).await,
        "VerdictFailedAlarm" => {
            let fails = RestoreBehaviour::fails(Duration::from_secs(4), DAMAGED);
            proven(UNCHECKED, fails).await
        }
        "UnusableKeyAlarm" => {
            let fails = RestoreBehaviour::fails(Duration::from_secs(4), KEY_IS_GOING);
            proven(UNCHECKED, fails).await
        }
        "ObjectivesMissedAlarm" => slower_than_its_objective().await,
        "OverdueAlarm" => nobody_moves_what_is_due().await,
        "PausedAlarm" => {
            let played = Played::set(UNCHECKED).await;
            played.scene.invoke(json!({ "pause": {} })).await;
            played.hours(25).await;
            played
        }
        "UnknownResourcesAlarm" => {
            let played = Played::set(UNCHECKED).await;
            played.scene.world.add_db_instance(DbInstance {
                identifier: bystander::DATABASE.to_owned(),
                created_at: Some(played.scene.now()),
                subnet_group: SUBNET_GROUP.to_owned(),
                ..DbInstance::default()
            });
            played.hours(2).await;
            played
        }
        "WithoutVerdictAlarm" => {
            let played = Played::set(UNCHECKED).await;
            let slow = RestoreBehaviour::bare().taking(Duration::from_secs(30 * 3600));
            played
                .scene
                .lands(&played.scene.backup("orders", slow))
                .await;
            played.hours(27).await;
            played
        }
        "NothingLandsAlarm" => {
            let played = Played::set(UNCHECKED).await;
            played.hours(51).await;
            played
        }
        "UnreadableVaultsAlarm" => {
            let mut played = Played::set(UNCHECKED).await;
            played.scene.app.config.vaults.push("missing".to_owned());
            played.hours(3).await;
            played
        }
        "UntestedAlarm" => the_policy_loses_a_rule().await,
        "LeftBehindAlarm" => {
            let mut behaviour = RestoreBehaviour::bare();
            behaviour.instance.protects_itself = true;
            let played = Played::set(UNCHECKED).await;
            played
                .scene
                .lands(&played.scene.backup("orders", behaviour))
                .await;
            for _ in 0..30 {
                played.scene.sweep().await;
            }
            played
        }
        "FunctionErrorsAlarm" => {
            let played = Played::set(UNCHECKED).await;
            let denied = Fault::error("AccessDeniedException", 400).times(Times::Forever);
            played.scene.world.faults().fail("DynamoDB.Query", denied);
            played
                .scene
                .try_invoke(json!({ "sweep": "due" }))
                .await
                .unwrap_err();
            played
        }
        "FunctionSilentAlarm" => {
            let played = Played::set(UNCHECKED).await;
            played.hours(2).await;
            played.scene.pass(SignedDuration::from_hours(2));
            played
        }
        "UndeliveredEventsAlarm" => {
            // EventBridge has given up on an event; each of the rules has it put into a queue.
            let mut played = Played::set(UNCHECKED).await;
            for rule in function().rules {
                played.queue(&rule.dead_letters.expect(&rule.name));
            }
            played
        }
        "ExhaustedRetriesAlarm" => an_event_fails_every_time().await,
        other => panic!("{other} rings in no scene: add one in which it must"),
    }
}

/// A copy lands and its validation is closed.
async fn proven(policy: &str, behaviour: RestoreBehaviour) -> Played {
    let played = Played::set(policy).await;
    let scene = &played.scene;
    scene.prove(&scene.backup("orders", behaviour)).await;
    played
}

/// Restored in five minutes, where one is allowed.
async fn slower_than_its_objective() -> Played {
    let policy = r#"
version = "test"
[[rules]]
name = "shops"
match = { resource_type = "EC2" }
frequency = "every-copy"
objectives = { recovery_time = "1m" }
  [[rules.checks]]
  name = "it listens"
  kind = "connect"
  port = 8080
"#;
    let played = Played::set(policy).await;
    let scene = &played.scene;
    let machine = Machine {
        ports: vec![8080],
        ..Machine::default()
    };
    let point = scene.add(RecoveryPoint {
        behaviour: RestoreBehaviour::bare().taking(Duration::from_secs(300)),
        ..scene.machine_point("0150a9", machine)
    });
    let id = scene.lands(&point).await;
    scene.pass(SignedDuration::from_mins(6));
    scene.close(&id).await;
    played
}

/// The sweep may not invoke the function.
async fn nobody_moves_what_is_due() -> Played {
    let played = Played::set(UNCHECKED).await;
    let scene = &played.scene;
    let slow = RestoreBehaviour::bare().taking(Duration::from_secs(3600));
    scene.lands(&scene.backup("orders", slow)).await;
    let refused = Fault::error("AccessDeniedException", 403).times(Times::Forever);
    scene.world.faults().fail("Lambda.Invoke", refused);
    for _ in 0..8 {
        scene.sweep().await;
    }
    played
}

/// Databases landed and were tested; then no rule is for them any more.
async fn the_policy_loses_a_rule() -> Played {
    let played = Played::set(UNCHECKED).await;
    let scene = &played.scene;
    for name in ["a", "b", "c", "d"] {
        scene
            .lands(&scene.backup(name, RestoreBehaviour::bare()))
            .await;
    }
    played.hours(30).await;
    scene.set_policy(&UNCHECKED.replace("match = {}", "match = { resource_type = \"EC2\" }"));
    for name in ["e", "f", "g", "h"] {
        scene
            .lands(&scene.backup(name, RestoreBehaviour::bare()))
            .await;
    }
    played.hours(3).await;
    played
}

/// The ledger refuses: the event's invocation fails as often as Lambda tries it, after one minute and after two more
/// ("How Lambda handles errors and retries with asynchronous invocation"), and goes to the function's on-failure queue.
async fn an_event_fails_every_time() -> Played {
    let mut played = Played::set(UNCHECKED).await;
    let scene = &played.scene;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let event = scene
        .world
        .copy_job_event(&scene.world.copy_job_of(&point).unwrap());
    let denied = Fault::error("AccessDeniedException", 400).times(Times::Forever);
    scene.world.faults().fail("DynamoDB.PutItem", denied);
    let deployed = function();
    for wait in 0..=deployed.retries {
        scene.pass(SignedDuration::from_mins(wait.into()));
        scene.try_invoke(event.clone()).await.unwrap_err();
    }
    played.queue(&deployed.on_failure.unwrap());
    played
}

#[tokio::test]
async fn every_alarm_rings_where_it_must() {
    for alarm in alarms() {
        let played = where_it_rings(&alarm.name).await;
        // CloudWatch looks at it once more.
        played.scene.pass(SignedDuration::from_mins(1));
        assert!(!played.rings(&alarm).is_empty(), "{} is silent", alarm.name);
    }
}

#[tokio::test]
async fn no_alarm_rings_where_all_is_well() {
    let played = all_is_well().await;
    for alarm in alarms() {
        let rings = played.rings(&alarm);
        assert!(rings.is_empty(), "{} rings: {rings:?}", alarm.name);
        // That it could ring is no accident: it had values to look at, but for what only trouble counts.
        let only_trouble = ["LeftBehind", "ApproximateNumberOfMessagesVisible"];
        let has_values = !played.measured(&alarm).is_empty();
        let counts_trouble = only_trouble.contains(&alarm.metric.as_str());
        assert_eq!(has_values, !counts_trouble, "{}", alarm.name);
    }
    // Of both vaults.
    assert_eq!(played.scene.records().len(), 30);
    assert!(
        played
            .scene
            .records()
            .iter()
            .all(|record| record["verdict"] == "unchecked")
    );
    assert!(played.scene.invocations().len() > 288);
}

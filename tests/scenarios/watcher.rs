//! The watcher is watched: what the sweeps measure, what the alarms stand on, and what lies in our network without a
//! validation.

use std::time::Duration;

use jiff::SignedDuration;
use restore_proof_local_aws::{
    DbInstance, Ec2Instance, Fault, Machine, NetworkInterface, RecoveryPoint, RestoreBehaviour,
    Times, bystander,
};
use restore_proof_tests::{
    DAMAGED, LOG_GROUP, MACHINE_SECURITY_GROUP, PREFIX, SUBNET, SUBNET_GROUP, Scene, UNCHECKED,
};
use serde_json::{Value, json};

/// The second isolated subnet: no machine of ours is restored into it.
const SUBNET_B: &str = "subnet-0150ca7ed0000000b";

/// All events of a kind in the records log, oldest first; each is what CloudWatch takes.
fn logged(scene: &Scene, kind: &str) -> Vec<Value> {
    let events = scene.world.log_events(LOG_GROUP).into_iter();
    let events = events.map(|event| serde_json::from_str::<Value>(&event.message).unwrap());
    let mut events: Vec<_> = events.collect();
    events.iter().for_each(assert_embedded_metrics);
    events.retain(|event| event["event"] == kind);
    events
}

/// The rules of the embedded metric format ("Specification: embedded metric format", CloudWatch user guide).
fn assert_embedded_metrics(event: &Value) {
    let Some(embedded) = event.get("_aws") else {
        return;
    };
    assert!(embedded["Timestamp"].is_i64(), "{event:#}");
    for directive in embedded["CloudWatchMetrics"].as_array().unwrap() {
        assert_eq!(directive["Namespace"], format!("RestoreProof/{PREFIX}"));
        for set in directive["Dimensions"].as_array().unwrap() {
            for name in set.as_array().unwrap() {
                let value = &event[name.as_str().unwrap()];
                assert!(value.as_str().is_some_and(|v| !v.is_empty()), "{event:#}");
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()), "{event:#}");
        for metric in metrics {
            let name = metric["Name"].as_str().unwrap();
            assert!(event[name].is_number(), "{name} is no number: {event:#}");
            let unit = metric["Unit"].as_str().unwrap();
            assert!(
                matches!(unit, "Count" | "Seconds" | "Percent" | "None"),
                "{event:#}"
            );
        }
    }
}

/// Whether a metric of this name is told to CloudWatch, without dimensions, and its value.
fn metric(event: &Value, name: &str) -> Option<f64> {
    let directives = event["_aws"]["CloudWatchMetrics"].as_array()?;
    let told = directives.iter().any(|directive| {
        let metrics = directive["Metrics"].as_array().unwrap();
        directive["Dimensions"] == json!([[]]) && metrics.iter().any(|one| one["Name"] == name)
    });
    event[name].as_f64().filter(|_| told)
}

fn last(scene: &Scene, kind: &str) -> Value {
    logged(scene, kind).pop().unwrap()
}

async fn sweep_lost(scene: &Scene) -> Value {
    scene.invoke(json!({ "sweep": "lost" })).await
}

/// Words about this in messages of what is not known.
fn told_of(scene: &Scene, name: &str) -> usize {
    let messages = scene.world.messages().into_iter();
    messages
        .filter(|message| message.attributes["kind"] == "unknown_resource")
        .filter(|message| message.body.contains(name) && message.subject.is_some())
        .count()
}

#[tokio::test]
async fn each_sweep_measures_how_the_work_gets_on() {
    let scene = Scene::set(UNCHECKED).await;
    scene.sweep().await;
    let idle = last(&scene, "sweep");
    for name in [
        "OverdueValidations",
        "OpenValidations",
        "WaitingValidations",
        "LongestWait",
        "RunningRestores",
        "Validations",
    ] {
        assert_eq!(metric(&idle, name), Some(0.0), "{name}: {idle:#}");
    }
    let takes = Duration::from_secs(3 * 3600);
    for database in ["orders", "stock"] {
        let point = scene.backup(database, RestoreBehaviour::bare().taking(takes));
        scene.lands(&point).await;
    }
    scene.sweep().await;
    let busy = last(&scene, "sweep");
    assert_eq!(metric(&busy, "OpenValidations"), Some(2.0));
    assert_eq!(metric(&busy, "RunningRestores"), Some(2.0));
    assert_eq!(metric(&busy, "OverdueValidations"), Some(0.0));
    scene.pass(SignedDuration::from_hours(4));
    for _ in 0..4 {
        scene.sweep().await;
    }
    let idle = last(&scene, "sweep");
    assert_eq!(metric(&idle, "OpenValidations"), Some(0.0));
    assert_eq!(metric(&idle, "RunningRestores"), Some(0.0));
}

/// Four slots, and six copies land.
#[tokio::test]
async fn those_who_wait_for_a_slot_are_counted_apart() {
    let scene = Scene::set(UNCHECKED).await;
    let takes = Duration::from_secs(10 * 3600);
    for database in ["a", "b", "c", "d", "e", "f"] {
        let point = scene.backup(database, RestoreBehaviour::bare().taking(takes));
        scene.lands(&point).await;
    }
    for _ in 0..9 {
        scene.sweep().await;
    }
    let sweep = last(&scene, "sweep");
    assert_eq!(metric(&sweep, "RunningRestores"), Some(4.0), "{sweep:#}");
    assert_eq!(metric(&sweep, "WaitingValidations"), Some(2.0));
    assert_eq!(metric(&sweep, "OpenValidations"), Some(6.0));
    assert_eq!(metric(&sweep, "OverdueValidations"), Some(0.0));
    let waited = metric(&sweep, "LongestWait").unwrap();
    assert!((2690.0..2800.0).contains(&waited), "{waited} seconds");
}

/// Nobody moves what is due: the function's invocations are refused.
#[tokio::test]
async fn what_is_due_and_not_moved_is_overdue() {
    let scene = Scene::set(UNCHECKED).await;
    let takes = Duration::from_secs(3600);
    let point = scene.backup("orders", RestoreBehaviour::bare().taking(takes));
    let id = scene.lands(&point).await;
    let refused = Fault::error("AccessDeniedException", 403).times(Times::Forever);
    let fault = scene.world.faults().fail("Lambda.Invoke", refused);
    for _ in 0..6 {
        scene.sweep().await;
    }
    let early = last(&scene, "sweep");
    assert_eq!(metric(&early, "OverdueValidations"), Some(0.0), "not yet");
    for _ in 0..2 {
        scene.sweep().await;
    }
    let late = last(&scene, "sweep");
    assert_eq!(metric(&late, "OverdueValidations"), Some(1.0), "{late:#}");
    scene.world.faults().remove(fault);
    scene.close(&id).await;
    scene.sweep().await;
    let mended = last(&scene, "sweep");
    assert_eq!(metric(&mended, "OverdueValidations"), Some(0.0));
}

/// After the verdict there is no deadline: what meets nothing but errors is told of once an hour.
#[tokio::test]
async fn what_is_stuck_behind_its_verdict_is_overdue() {
    let scene = Scene::set(UNCHECKED).await;
    let takes = Duration::from_secs(60);
    let point = scene.backup("orders", RestoreBehaviour::bare().taking(takes));
    let id = scene.lands(&point).await;
    let denied = Fault::error("AccessDenied", 403).times(Times::Forever);
    scene.world.faults().fail("S3.PutObject", denied);
    for _ in 0..30 {
        scene.pass(SignedDuration::from_mins(55));
        scene.sweep().await;
    }
    let told = logged(&scene, "overdue");
    assert!((3..=8).contains(&told.len()), "{} times", told.len());
    let event = told.last().unwrap();
    assert_eq!(metric(event, "OverdueValidations"), Some(1.0), "{event:#}");
    assert_eq!(event["validation_id"], id.as_str());
    assert!(
        event["last_error"]
            .as_str()
            .unwrap()
            .contains("s3:PutObject")
    );
    scene.world.faults().clear();
    scene.pass(SignedDuration::from_hours(1));
    scene.close(&id).await;
    scene.assert_clean();
}

#[tokio::test]
async fn verdicts_that_speak_against_a_backup_are_counted() {
    let scene = Scene::set(UNCHECKED).await;
    let fails = RestoreBehaviour::fails(Duration::from_secs(4), DAMAGED);
    let good = scene
        .prove(&scene.backup("stock", RestoreBehaviour::bare()))
        .await;
    let bad = scene.prove(&scene.backup("orders", fails)).await;
    for (record, against) in [(good, 0.0), (bad, 1.0)] {
        let id = record["validation_id"].as_str().unwrap();
        let verdict = scene.log_events("verdict", id).remove(0);
        assert_eq!(
            metric(&verdict, "FailedVerdicts"),
            Some(against),
            "{verdict:#}"
        );
        assert_eq!(metric(&verdict, "Validations"), Some(1.0));
        assert_eq!(metric(&verdict, "MissedObjectives"), Some(0.0));
    }
}

#[tokio::test]
async fn a_missed_objective_is_counted() {
    let scene = Scene::set(
        r#"
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
"#,
    )
    .await;
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
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "passed", "{record:#}");
    assert_eq!(record["recovery_time_objective"], "missed");
    let verdict = scene.log_events("verdict", &id).remove(0);
    assert_eq!(
        metric(&verdict, "MissedObjectives"),
        Some(1.0),
        "{verdict:#}"
    );
}

/// What Anna has restored into our network by hand.
fn anna_restores_by_hand(scene: &Scene) {
    scene.world.add_db_instance(DbInstance {
        identifier: bystander::DATABASE.to_owned(),
        created_at: Some(scene.now()),
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbInstance::default()
    });
    scene.world.add_ec2_instance(Ec2Instance {
        id: bystander::MACHINE.to_owned(),
        launched_at: scene.now(),
        subnet_id: SUBNET.to_owned(),
        security_groups: vec![MACHINE_SECURITY_GROUP.to_owned()],
        ..Ec2Instance::default()
    });
}

#[tokio::test]
async fn what_nobody_accounts_for_is_told_of_once_and_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    anna_restores_by_hand(&scene);
    scene.pass(SignedDuration::from_mins(50));
    assert_eq!(sweep_lost(&scene).await["unknown"], 0, "it may be young");
    assert_eq!(
        metric(&last(&scene, "network"), "UnknownResources"),
        Some(0.0)
    );
    for _ in 0..3 {
        scene.pass(SignedDuration::from_hours(1));
        assert_eq!(sweep_lost(&scene).await["unknown"], 2);
        // As long as they are there, the alarm rings.
        assert_eq!(
            metric(&last(&scene, "network"), "UnknownResources"),
            Some(2.0)
        );
    }
    for name in [bystander::DATABASE, bystander::MACHINE] {
        assert_eq!(told_of(&scene, name), 1, "{name}");
        scene.assert_untouched(name);
    }
    let events = logged(&scene, "unknown_resource");
    assert_eq!(events.len(), 2, "{events:#?}");
    for (resource_type, name) in [("EC2", bystander::MACHINE), ("RDS", bystander::DATABASE)] {
        let of_type = |event: &&Value| event["resource_type"] == resource_type;
        let event = events.iter().find(of_type).expect(resource_type);
        assert!(event["resource_arn"].as_str().unwrap().ends_with(name));
    }
    assert!(scene.records().is_empty());
}

/// The message that could not be sent is sent by the next sweep.
#[tokio::test]
async fn what_could_not_be_told_is_told_later() {
    let scene = Scene::set(UNCHECKED).await;
    anna_restores_by_hand(&scene);
    scene.pass(SignedDuration::from_hours(2));
    let denied = Fault::error("AuthorizationError", 403).times(Times::Forever);
    let fault = scene.world.faults().fail("SNS.Publish", denied);
    let error = scene
        .try_invoke(json!({ "sweep": "lost" }))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("sns:Publish"), "{error:#}");
    scene.world.faults().remove(fault);
    for _ in 0..2 {
        sweep_lost(&scene).await;
    }
    assert_eq!(told_of(&scene, bystander::DATABASE), 1);
    assert_eq!(told_of(&scene, bystander::MACHINE), 1);
}

/// Another group of our subnets, another of our two subnets, a second interface: it is our network all the same.
#[tokio::test]
async fn our_network_is_all_its_subnets_however_they_are_named() {
    let scene = Scene::set(UNCHECKED).await;
    scene
        .world
        .set_subnets_of_group("annas", &["subnet-0f00d0000000000bb", SUBNET_B]);
    scene
        .world
        .set_subnets_of_group("elsewhere", &["subnet-0f00d0000000000bb"]);
    for (name, group) in [("in-ours", "annas"), ("not-in-ours", "elsewhere")] {
        scene.world.add_db_instance(DbInstance {
            identifier: name.to_owned(),
            created_at: Some(scene.now()),
            subnet_group: group.to_owned(),
            ..DbInstance::default()
        });
    }
    let elsewhere = Ec2Instance {
        launched_at: scene.now(),
        subnet_id: "subnet-0f00d0000000000bb".to_owned(),
        ..Ec2Instance::default()
    };
    scene.world.add_ec2_instance(Ec2Instance {
        id: "i-0a22a000000000002".to_owned(),
        subnet_id: SUBNET_B.to_owned(),
        ..elsewhere.clone()
    });
    scene.world.add_ec2_instance(Ec2Instance {
        id: "i-0a22a000000000003".to_owned(),
        further_interfaces: vec![NetworkInterface {
            id: "eni-0a22a000000000003".to_owned(),
            subnet_id: SUBNET.to_owned(),
            private_address: "127.77.200.1".parse().unwrap(),
            security_groups: vec![],
        }],
        ..elsewhere.clone()
    });
    scene.world.add_ec2_instance(Ec2Instance {
        id: "i-0a22a000000000004".to_owned(),
        ..elsewhere
    });
    scene.pass(SignedDuration::from_hours(2));
    assert_eq!(sweep_lost(&scene).await["unknown"], 3);
    for (name, times) in [
        ("in-ours", 1),
        ("not-in-ours", 0),
        ("i-0a22a000000000002", 1),
        ("i-0a22a000000000003", 1),
        ("i-0a22a000000000004", 0),
    ] {
        let told = scene.world.messages().into_iter();
        let about = format!("UNKNOWN: {name} lies");
        let told = told.filter(|message| message.subject.as_deref().unwrap().starts_with(&about));
        assert_eq!(told.count(), times, "{name}");
    }
}

/// Of a validation that is open: restored for hours, kept, or left behind.
#[tokio::test]
async fn what_an_open_validation_has_restored_is_known() {
    let scene = Scene::set(UNCHECKED).await;
    let mut behaviour = RestoreBehaviour::bare();
    behaviour.instance.protects_itself = true;
    let database = scene.backup("orders", behaviour.clone());
    let machine = scene.add(RecoveryPoint {
        behaviour,
        ..scene.machine_point("0150a9", Machine::default())
    });
    let ids = [scene.lands(&database).await, scene.lands(&machine).await];
    for _ in 0..30 {
        scene.sweep().await;
    }
    for id in &ids {
        assert_eq!(scene.record(id)["cleanup"], "left_behind");
    }
    assert_eq!(sweep_lost(&scene).await["unknown"], 0);
    assert!(logged(&scene, "unknown_resource").is_empty());
}

/// A restore that takes hours: EC2 shows the machine, and the job does not name it yet.
#[tokio::test]
async fn what_a_running_job_of_ours_makes_is_known() {
    let scene = Scene::set(UNCHECKED).await;
    let takes = Duration::from_secs(10 * 3600);
    let point = scene.add(RecoveryPoint {
        behaviour: RestoreBehaviour::bare().taking(takes),
        ..scene.machine_point("0150a9", Machine::default())
    });
    scene.lands(&point).await;
    scene.pass(SignedDuration::from_mins(5));
    scene.pass(SignedDuration::from_hours(3));
    assert_eq!(scene.machines().len(), 1);
    assert_eq!(sweep_lost(&scene).await["unknown"], 0);
    // Anna's of another image is none of it.
    anna_restores_by_hand(&scene);
    scene.pass(SignedDuration::from_hours(2));
    assert_eq!(sweep_lost(&scene).await["unknown"], 2);
}

/// The validation is closed, and something of its name or of its job is there again.
#[tokio::test]
async fn what_a_closed_validation_has_restored_is_unknown() {
    let scene = Scene::set(UNCHECKED).await;
    let database = scene
        .prove(&scene.backup("orders", RestoreBehaviour::bare()))
        .await;
    let point = scene.add(scene.machine_point("0150a9", Machine::default()));
    let machine = scene.prove(&point).await;
    scene.pass(SignedDuration::from_hours(2));
    let name = format!(
        "{PREFIX}-r-{}-1",
        database["validation_id"].as_str().unwrap()
    );
    scene.world.add_db_instance(DbInstance {
        identifier: name.clone(),
        created_at: Some(scene.now()),
        ..DbInstance::default()
    });
    let id = machine["restored_instance_id"].as_str().unwrap();
    scene.world.add_ec2_instance(Ec2Instance {
        id: id.to_owned(),
        launched_at: scene.now(),
        subnet_id: SUBNET.to_owned(),
        ..Ec2Instance::default()
    });
    scene.pass(SignedDuration::from_hours(2));
    assert_eq!(sweep_lost(&scene).await["unknown"], 2);
    assert_eq!((told_of(&scene, &name), told_of(&scene, id)), (1, 1));
    // Each was ended once, by its own validation.
    assert!(scene.instances().contains(&name));
    assert!(scene.machines().contains(&id.to_owned()));
}

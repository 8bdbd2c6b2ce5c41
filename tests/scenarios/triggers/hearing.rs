//! Every copy is heard of and recorded once: by the copy job's event, by the recovery point's, by an event that its source
//! account forwards, or by the hourly sweep. What is made up is not believed.

use jiff::SignedDuration;
use restore_proof_core::validation::validation_id;
use restore_proof_local_aws::template::{DEFAULT_BUS, Rule};
use restore_proof_local_aws::{CopyJob, RecoveryPoint, RestoreBehaviour};
use restore_proof_tests::{
    ACCOUNT, BUS, PREFIX, REGION, SOURCE_ACCOUNT, Scene, UNCHECKED, VAULT, forwarding_rules,
    function_with,
};
use serde_json::{Value, json};

/// What of a copy reaches the central account.
#[derive(Clone, Copy, Debug, PartialEq)]
enum World {
    /// Nothing: the hourly sweep finds it.
    SweepAlone,
    /// The recovery point's event, as where another account starts the copy and forwards nothing.
    RecoveryPoints,
    /// The copy job's event, forwarded by the source account to this bus.
    Forwarded(&'static str),
    /// Both, the recovery point's first.
    Both,
    /// Both, the copy job's first, and each twice.
    BothTwice,
}

const WORLDS: [World; 6] = [
    World::SweepAlone,
    World::RecoveryPoints,
    World::Forwarded(DEFAULT_BUS),
    World::Forwarded(BUS),
    World::Both,
    World::BothTwice,
];

/// The rules of a deployment that takes forwarded events on this bus.
fn rules(bus: &str) -> Vec<Rule> {
    let choice = if bus == DEFAULT_BUS { "default" } else { "own" };
    function_with(&[("ForwardingBus", choice)]).rules
}

/// Puts an event on a bus: the function is invoked once for each rule that matches. Returns the answers.
async fn put(scene: &Scene, rules: &[Rule], bus: &str, event: &Value) -> Vec<Value> {
    let mut answers = Vec::new();
    for rule in rules {
        if rule.bus == bus && rule.pattern.matches(event) {
            answers.push(scene.invoke(event.clone()).await);
        }
    }
    answers
}

/// What the source account's rules forward of an event of its own.
fn forwarded(bus: &str, event: Value) -> Option<Value> {
    let rules = forwarding_rules(bus);
    let matching = rules.iter().filter(|rule| rule.pattern.matches(&event));
    (matching.count() == 1).then_some(event)
}

/// The copy job that brought a recovery point, as its source account sees it.
fn copy_of(scene: &Scene, point: &str) -> CopyJob {
    let source = format!("arn:aws:backup:{REGION}:{SOURCE_ACCOUNT}:backup-vault:production");
    CopyJob {
        source_vault_arn: source,
        ..scene.world.copy_job_of(point).unwrap()
    }
    .started_at_the_source()
}

/// A copy into the central vault that failed, from where this one came.
fn failed_copy(scene: &Scene, point: &str) -> CopyJob {
    CopyJob {
        id: "0F0E0D0C-0B0A-0908-0706-050403020100".to_owned(),
        state: "FAILED".to_owned(),
        status_message: Some("Access denied while trying to list tags".to_owned()),
        destination_recovery_point_arn: None,
        ..copy_of(scene, point)
    }
}

#[tokio::test]
async fn every_copy_is_one_record_whatever_events_come() {
    for world in WORLDS {
        let scene = Scene::set(UNCHECKED).await;
        let started = scene.now();
        scene.invoke(json!({ "sweep": "lost" })).await;
        scene.pass(SignedDuration::from_mins(1));
        let bus = match world {
            World::Forwarded(bus) => bus,
            _ => DEFAULT_BUS,
        };
        let rules = rules(bus);
        let whole = scene.backup("orders", RestoreBehaviour::bare());
        let partial = scene.add(RecoveryPoint {
            status: "PARTIAL".to_owned(),
            ..scene.point("stock")
        });
        for (point, state) in [(&whole, "COMPLETED"), (&partial, "PARTIAL")] {
            let copy = CopyJob {
                state: state.to_owned(),
                ..copy_of(&scene, point)
            };
            let landed = scene.world.recovery_point_event(point).unwrap();
            let copied = forwarded(bus, scene.world.copy_job_event(&copy)).unwrap();
            let events: &[(&str, &Value)] = match world {
                World::SweepAlone => &[],
                World::RecoveryPoints => &[(DEFAULT_BUS, &landed)],
                World::Forwarded(bus) => &[(bus, &copied)],
                World::Both => &[(DEFAULT_BUS, &landed), (DEFAULT_BUS, &copied)],
                World::BothTwice => &[
                    (DEFAULT_BUS, &copied),
                    (DEFAULT_BUS, &landed),
                    (DEFAULT_BUS, &copied),
                    (DEFAULT_BUS, &landed),
                ],
            };
            for (bus, event) in events {
                let answers = put(&scene, &rules, bus, event).await;
                assert_eq!(answers.len(), 1, "{world:?}: {event}");
                assert!(answers[0]["validation_id"].is_string(), "{answers:?}");
            }
        }
        let tells_of_failures = matches!(world, World::Forwarded(_));
        if tells_of_failures {
            let failed = scene.world.copy_job_event(&failed_copy(&scene, &whole));
            let answers = put(&scene, &rules, bus, &forwarded(bus, failed).unwrap()).await;
            assert_eq!(answers[0]["verdict"], "copy_failed", "{world:?}");
        }
        let opened = scene.invoke(json!({ "sweep": "lost" })).await["opened"].clone();
        let found = if world == World::SweepAlone { 2 } else { 0 };
        assert_eq!(opened, found, "{world:?}");
        let vault = format!("arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:{VAULT}");
        for (point, verdict, cleanup) in [
            (&whole, "unchecked", "deleted"),
            (&partial, "copy_failed", "nothing_to_delete"),
        ] {
            let record = scene
                .close(&validation_id(PREFIX, &vault, point, None))
                .await;
            assert_eq!(record["verdict"], verdict, "{world:?}: {record:#}");
            assert_eq!(record["cleanup"], cleanup, "{world:?}");
        }
        if tells_of_failures {
            let records = scene.records();
            let failed = records
                .iter()
                .find(|record| record["copy_job_id"] == "0F0E0D0C-0B0A-0908-0706-050403020100");
            let reason = failed.unwrap()["verdict_reason"].as_str().unwrap();
            assert!(reason.contains("list tags"), "{reason}");
        }
        for _ in 0..5 {
            scene.sweep().await;
        }
        let expected = 2 + usize::from(tells_of_failures);
        assert_eq!(scene.records().len(), expected, "{world:?}");
        assert_eq!(scene.world.restore_jobs().len(), 1, "{world:?}");
        scene.assert_clean();
        super::vaults::assert_quiet(&scene, started).await;
    }
}

/// The events of one copy come together: what each tells is in the record, whichever has the lease.
#[tokio::test]
async fn what_events_tell_at_one_time_is_all_recorded() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let copy = CopyJob {
        status_message: Some("some attributes were left out".to_owned()),
        ..copy_of(&scene, &point)
    };
    let copied = scene.world.copy_job_event(&copy);
    let landed = scene.world.recovery_point_event(&point).unwrap();
    let (first, second, third) = tokio::join!(
        scene.try_invoke(landed.clone()),
        scene.try_invoke(copied.clone()),
        scene.try_invoke(landed),
    );
    let id = first.unwrap()["validation_id"].as_str().unwrap().to_owned();
    for answer in [second, third] {
        assert_eq!(answer.unwrap()["validation_id"], id.as_str());
    }
    let record = scene.close(&id).await;
    assert_eq!(record["copy_job_id"], copy.id.as_str(), "{record:#}");
    assert!(record["copy_end_time"].is_string(), "{record:#}");
    let findings = record["findings"].to_string();
    assert!(
        findings.contains("some attributes were left out"),
        "{findings}"
    );
    scene.assert_clean();
}

/// Part of a copy ends the same whichever event comes first, and AWS Backup says what is there, not the event.
#[tokio::test]
async fn part_of_a_copy_is_what_aws_backup_says_it_is() {
    for (status, verdict) in [("PARTIAL", "copy_failed"), ("COMPLETED", "unchecked")] {
        let mut reasons = Vec::new();
        for copy_first in [true, false] {
            let scene = Scene::set(UNCHECKED).await;
            let point = scene.add(RecoveryPoint {
                status: status.to_owned(),
                ..scene.point("orders")
            });
            let copy = CopyJob {
                state: "PARTIAL".to_owned(),
                status_message: Some("2 of 3 members were copied".to_owned()),
                ..copy_of(&scene, &point)
            };
            let copied = scene.world.copy_job_event(&copy);
            let landed = scene.world.recovery_point_event(&point).unwrap();
            let (first, second) = match copy_first {
                true => (copied, landed),
                false => (landed, copied),
            };
            let id = scene.invoke(first).await["validation_id"].clone();
            scene.invoke(second).await;
            let record = scene.close(id.as_str().unwrap()).await;
            assert_eq!(record["verdict"], verdict, "{record:#}");
            // What there is nothing to restore of has its record at once: what comes later is not in it.
            if copy_first || status == "COMPLETED" {
                let findings = record["findings"].to_string();
                assert!(findings.contains("2 of 3 members"), "{record:#}");
            }
            reasons.push(record["verdict_reason"].clone());
        }
        assert_eq!(reasons[0], reasons[1]);
    }
}

/// AWS Backup may tell again of what landed long before the stack was there.
#[tokio::test]
async fn what_landed_before_the_stack_is_not_tested_unasked() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.add(RecoveryPoint {
        completed_at: Some(scene.now() - SignedDuration::from_hours(25)),
        ..scene.point("orders")
    });
    let event = scene.world.recovery_point_event(&point).unwrap();
    let answer = scene.invoke(event).await;
    let why = answer["ignored"].as_str().unwrap();
    assert!(why.contains("before this stack was installed"), "{why}");
    assert!(scene.world.restore_jobs().is_empty());
}

/// Who may put events on the bus could say anything; of a copy only its source's account is believed, or ours.
#[tokio::test]
async fn what_is_made_up_is_not_believed() {
    const STRANGER: &str = "999900001111";
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let copied = scene.world.copy_job_event(&copy_of(&scene, &point));
    let failed = scene.world.copy_job_event(&failed_copy(&scene, &point));
    let landed = scene.world.recovery_point_event(&point).unwrap();
    let by = |event: &Value, account: Value| {
        let mut forged = event.clone();
        forged["account"] = account;
        forged
    };
    let mut nobody = failed.clone();
    nobody.as_object_mut().unwrap().remove("account");
    for forged in [
        by(&copied, json!(STRANGER)),
        by(&failed, json!(STRANGER)),
        by(&failed, json!(null)),
        by(&failed, json!({ "is": SOURCE_ACCOUNT })),
        nobody,
        by(&landed, json!(STRANGER)),
        by(&landed, json!(SOURCE_ACCOUNT)),
    ] {
        let answer = scene.invoke(forged.clone()).await;
        super::assert_ignored(&scene, &answer, "not believed");
    }
    // A recovery point's event of another account does not even wake the function.
    let rules = rules(DEFAULT_BUS);
    let forged = by(&landed, json!(SOURCE_ACCOUNT));
    assert!(put(&scene, &rules, DEFAULT_BUS, &forged).await.is_empty());
    for honest in [&copied, &by(&copied, json!(ACCOUNT)), &landed] {
        let answer = scene.invoke(honest.clone()).await;
        assert!(answer["validation_id"].is_string(), "{answer}");
    }
}

/// What goes elsewhere stays where it is: copies to other accounts and Regions, and what has not ended.
#[test]
fn a_source_account_forwards_what_concerns_the_central_account() {
    let vault = |region: &str, account: &str| {
        json!(format!(
            "arn:aws:backup:{region}:{account}:backup-vault:{VAULT}"
        ))
    };
    let copy = |state: &str, destination: Value| {
        json!({
            "source": "aws.backup", "account": SOURCE_ACCOUNT,
            "detail-type": "Copy Job State Change",
            "detail": { "state": state, "destinationBackupVaultArn": destination },
        })
    };
    let job = |kind: &str, key: &str, state: &str, account: &str| {
        json!({
            "source": "aws.backup", "account": account,
            "detail-type": format!("{kind} Job State Change"), "detail": { key: state },
        })
    };
    for (event, expected) in [
        (copy("COMPLETED", vault(REGION, ACCOUNT)), true),
        (copy("FAILED", vault(REGION, ACCOUNT)), true),
        (copy("RUNNING", vault(REGION, ACCOUNT)), false),
        (copy("COMPLETED", vault(REGION, SOURCE_ACCOUNT)), false),
        (copy("COMPLETED", vault("us-east-1", ACCOUNT)), false),
        (job("Backup", "state", "FAILED", SOURCE_ACCOUNT), true),
        (job("Backup", "state", "RUNNING", SOURCE_ACCOUNT), false),
        (job("Backup", "state", "FAILED", ACCOUNT), false),
        (job("Restore", "status", "COMPLETED", SOURCE_ACCOUNT), true),
        (job("Restore", "status", "RUNNING", SOURCE_ACCOUNT), false),
    ] {
        let is_forwarded = forwarded(DEFAULT_BUS, event.clone()).is_some();
        assert_eq!(is_forwarded, expected, "{event}");
    }
}

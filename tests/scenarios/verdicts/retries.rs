//! Restores whose fault may pass: tried again, at most twice, and never beside what an attempt has left.

use super::*;

pub(crate) const KEY_IS_GOING: &str = "KMS key arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555 is pending deletion.";
const NOBODY_KNOWS: &str = "The frobnicator was not in the mood";

fn fails(message: &str) -> RestoreOutcome {
    RestoreOutcome::Fails {
        message: message.to_owned(),
    }
}

fn leaves(message: &str, named: bool) -> RestoreOutcome {
    RestoreOutcome::FailsLeaving {
        message: message.to_owned(),
        named,
    }
}

fn restore(first: &[RestoreOutcome]) -> RestoreBehaviour {
    RestoreBehaviour {
        takes: Duration::from_secs(4),
        first_outcomes: first.to_vec(),
        ..RestoreBehaviour::default()
    }
}

/// Class and cleanup of each attempt of a record.
fn attempts(record: &Value) -> Vec<(Option<&str>, &str)> {
    let attempts = record["attempts"].as_array().unwrap().iter();
    attempts
        .map(|one| (one["class"].as_str(), one["cleanup"].as_str().unwrap()))
        .collect()
}

/// How long after the one before it each restore job was created.
fn waits(scene: &Scene) -> Vec<SignedDuration> {
    let jobs = scene.world.restore_jobs();
    let mut created: Vec<_> = jobs.iter().map(|job| job.created_at).collect();
    created.sort();
    let pairs = created.windows(2);
    pairs.map(|pair| pair[1].duration_since(pair[0])).collect()
}

#[tokio::test]
async fn what_has_no_room_twice_is_restored_the_third_time_and_told_once() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", restore(&[fails(NO_ROOM), fails(NO_ROOM)]));
    let record = scene.prove(&point).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert_eq!(record["fault_class"], Value::Null);
    assert_eq!(record["attempt"], 3);
    let no_room = (Some("capacity"), "nothing_to_delete");
    assert_eq!(attempts(&record), [no_room, no_room, (None, "deleted")]);
    assert_says(&record["attempts"][0], "message", "sufficient db.t3.micro");
    let (an_hour, four) = (SignedDuration::from_hours(1), SignedDuration::from_hours(4));
    let waits = waits(&scene);
    assert!(waits[0] >= an_hour && waits[0] < an_hour * 2, "{waits:?}");
    assert!(waits[1] >= four && waits[1] < four + an_hour, "{waits:?}");
    assert_eq!(scene.world.messages().len(), 1);
    // The recovery time is that of the last attempt.
    assert!(
        record["restore_duration"].as_f64().unwrap() < 10.0,
        "{record:#}"
    );
    scene.assert_clean();
}

#[tokio::test]
async fn what_never_has_room_ends_after_three_attempts() {
    let scene = Scene::set(UNCHECKED).await;
    let never = RestoreBehaviour {
        outcome: fails(NO_ROOM),
        ..restore(&[])
    };
    let record = scene.prove(&scene.backup("orders", never)).await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    assert_eq!(record["fault_class"], "capacity");
    assert_eq!(attempts(&record).len(), 3);
    assert_eq!(scene.world.restore_jobs().len(), 3);
    assert_eq!(scene.world.messages().len(), 1);
    scene.assert_clean();
}

#[tokio::test]
async fn nobody_waits_for_the_slot_of_what_waits_for_its_next_attempt() {
    let policy = UNCHECKED.replace("[[rules]]", "[limits]\nconcurrent_restores = 1\n[[rules]]");
    let scene = Scene::set(&policy).await;
    let first = scene
        .lands(&scene.backup("orders", restore(&[fails(NO_ROOM)])))
        .await;
    for _ in 0..3 {
        scene.sweep().await;
    }
    assert_eq!(scene.validation(&first)["stage"], "landed");
    let second = scene.prove(&scene.backup("stock", restore(&[]))).await;
    assert_eq!(outcome(&second), ("unchecked", "deleted"));
    assert_eq!(scene.world.restore_jobs().len(), 2);
    assert_eq!(
        outcome(&scene.close(&first).await),
        ("unchecked", "deleted")
    );
}

#[tokio::test]
async fn an_event_does_not_bring_the_next_attempt_forward() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", restore(&[fails(NO_ROOM)]));
    let id = scene.lands(&point).await;
    for _ in 0..3 {
        scene.sweep().await;
    }
    assert_eq!(scene.validation(&id)["stage"], "landed");
    assert_eq!(scene.lands(&point).await, id);
    assert_eq!(scene.world.restore_jobs().len(), 1);
}

#[tokio::test]
async fn what_a_failed_attempt_has_left_is_deleted_before_the_next() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", restore(&[leaves(NO_ROOM, true)]));
    let record = scene.prove(&point).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert_eq!(
        attempts(&record),
        [(Some("capacity"), "deleted"), (None, "deleted")]
    );
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 2);
    scene.assert_clean();
}

#[tokio::test]
async fn beside_what_is_not_provably_ours_nothing_is_tried_again() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", restore(&[leaves(NO_ROOM, false)]));
    let id = scene.lands(&point).await;
    for _ in 0..30 {
        scene.sweep().await;
    }
    let record = scene.record(&id);
    assert_eq!(outcome(&record), ("inconclusive", "left_behind"));
    assert_eq!(record["fault_class"], "capacity");
    assert_eq!(scene.world.restore_jobs().len(), 1);
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 0);
}

#[tokio::test]
async fn a_sentence_that_nobody_knows_is_no_evidence_and_tried_again_once() {
    let scene = Scene::set(UNCHECKED).await;
    let never = RestoreBehaviour {
        outcome: fails(NOBODY_KNOWS),
        ..restore(&[])
    };
    let record = scene.prove(&scene.backup("orders", never)).await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    assert_eq!(record["fault_class"], "unknown");
    assert_says(&record, "verdict_reason", NOBODY_KNOWS);
    assert_eq!(scene.world.restore_jobs().len(), 2);
}

#[tokio::test]
async fn what_ran_for_long_is_tried_again_only_if_the_rule_says_so() {
    for (says, restores) in [("", 1), ("retry = true\n", 3), ("retry = false\n", 1)] {
        let scene = Scene::set(&format!("{UNCHECKED}{says}")).await;
        let never = RestoreBehaviour {
            takes: Duration::from_secs(3700),
            outcome: fails(NO_ROOM),
            ..restore(&[])
        };
        let record = scene.prove(&scene.backup("orders", never)).await;
        assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
        assert_eq!(scene.world.restore_jobs().len(), restores, "{says}");
    }
}

#[tokio::test]
async fn nothing_is_tried_again_after_the_recovery_point_expires() {
    for (minutes, restores) in [(30, 1), (120, 2)] {
        let scene = Scene::set(UNCHECKED).await;
        let never = RestoreBehaviour {
            outcome: fails(NO_ROOM),
            ..restore(&[])
        };
        let point = scene.add(RecoveryPoint {
            expires_at: Some(scene.now() + SignedDuration::from_mins(minutes)),
            behaviour: never,
            ..scene.point("orders")
        });
        let record = scene.prove(&point).await;
        assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
        assert_eq!(scene.world.restore_jobs().len(), restores, "{minutes}");
    }
}

#[tokio::test]
async fn a_key_that_is_going_is_the_copys_fault_and_not_tried_again() {
    let scene = Scene::set(UNCHECKED).await;
    let record = scene
        .prove(&scene.backup("orders", restore(&[fails(KEY_IS_GOING)])))
        .await;
    assert_eq!(outcome(&record), ("restore_failed", "nothing_to_delete"));
    assert_eq!(record["fault_class"], "key");
    assert_says(&record, "verdict_reason", "nobody can restore it");
    let id = record["validation_id"].as_str().unwrap();
    let verdict = scene.log_events("verdict", id).remove(0);
    assert_eq!(
        (&verdict["UnusableKeys"], &verdict["FailedVerdicts"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(scene.world.restore_jobs().len(), 1);
}

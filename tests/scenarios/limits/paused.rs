//! A pause: nobody gets a slot, whatever lands; what runs is ended in order; and afterwards all who wait have their turn.

use jiff::Timestamp;
use restore_proof_core::validation::validation_id;
use restore_proof_local_aws::alarm::AlarmState;
use restore_proof_tests::{LOG_GROUP, PREFIX, VAULT, alarms};

use super::*;

const REASON: &str = "a real recovery, ticket 4711";

/// One restore at a time, and nobody waits longer than an hour.
const POLICY: &str = r#"
version = "test"
[limits]
concurrent_restores = 1
longest_wait = "1h"
[[rules]]
name = "all"
match = {}
frequency = "every-copy"
"#;

async fn status(scene: &Scene) -> Value {
    scene.invoke(json!({ "status": {} })).await
}

fn started(scene: &Scene) -> Vec<String> {
    let jobs = scene.world.restore_jobs();
    jobs.into_iter().map(|job| job.recovery_point_arn).collect()
}

/// What each sweep measured of a pause, and when.
fn paused_hours(scene: &Scene) -> Vec<(Timestamp, f64)> {
    let mut hours = Vec::new();
    for logged in scene.world.log_events(LOG_GROUP) {
        let event: Value = serde_json::from_str(&logged.message).unwrap();
        if event["event"] == "sweep" {
            let at = Timestamp::from_millisecond(logged.timestamp_ms).unwrap();
            hours.push((at, event["PausedHours"].as_f64().unwrap()));
        }
    }
    hours
}

#[tokio::test]
async fn two_days_of_pause_begin_no_restore_and_lose_no_copy() {
    let scene = Scene::set(POLICY).await;
    // What runs when the pause begins.
    let running = scene.backup("running", RestoreBehaviour::bare());
    let first = scene.lands(&running).await;
    assert_eq!(started(&scene).len(), 1);
    let paused_at = scene.now();
    let told = scene.invoke(json!({ "pause": { "reason": REASON } })).await;
    assert_eq!(told["paused"]["reason"], REASON, "{told:#}");

    // Copies land on both days, and sweeps go on.
    let mut landed = Vec::new();
    for hours in 0..48 {
        if hours % 12 == 0 {
            let point = scene.backup(&format!("later-{hours}"), RestoreBehaviour::bare());
            landed.push((point.clone(), scene.lands(&point).await));
        }
        scene.pass(SignedDuration::from_mins(55));
        scene.sweep().await;
    }
    assert_eq!(
        scene.record(&first)["cleanup"],
        "deleted",
        "what ran was ended"
    );
    assert_eq!(
        started(&scene),
        std::slice::from_ref(&running),
        "and nothing was begun"
    );
    let told = status(&scene).await;
    assert_eq!(told["slots"]["taken"], 0, "{told:#}");
    assert_eq!(told["waiting"][0]["count"], landed.len(), "{told:#}");
    let alarms = alarms();
    let alarm = alarms
        .iter()
        .find(|alarm| alarm.name == "PausedAlarm")
        .unwrap();
    let measured = paused_hours(&scene);
    let rung = alarm.rings(&measured, paused_at, scene.now());
    let at = rung.iter().find(|(_, state)| *state == AlarmState::Alarm);
    let after = at.expect("it rings").0.duration_since(paused_at).as_hours();
    assert!((24..=26).contains(&after), "it rings after {after} h");
    for (_, id) in &landed {
        assert!(
            scene.validation(id)["verdict"].is_null(),
            "{id} has waited for 48 h and may"
        );
    }
    // Who asks for a pause again changes nothing of it.
    let again = scene
        .invoke(json!({ "pause": { "reason": "another" } }))
        .await;
    assert_eq!(again["paused"], told["paused"]);

    let told = scene.invoke(json!({ "resume": {} })).await;
    assert_eq!(told["paused"], Value::Null);
    for (_, id) in &landed {
        let record = scene.close(id).await;
        assert_eq!(record["verdict"], "unchecked", "{record:#}");
    }
    let mut wanted = vec![running];
    wanted.extend(landed.into_iter().map(|(point, _)| point));
    assert_eq!(started(&scene), wanted, "in the order in which they came");
    scene.assert_clean();
}

/// `longest_wait` begins anew with the end of a pause, and then holds as ever.
#[tokio::test]
async fn who_waits_after_a_pause_waits_no_longer_than_the_policy_says() {
    let scene = Scene::set(POLICY).await;
    scene.invoke(json!({ "pause": {} })).await;
    // It keeps the one slot for hours.
    let slow = scene.backup(
        "slow",
        RestoreBehaviour {
            takes: Duration::from_secs(5 * 60 * 60),
            ..RestoreBehaviour::bare()
        },
    );
    scene.lands(&slow).await;
    let other = scene.backup("other", RestoreBehaviour::bare());
    scene.pass(SignedDuration::from_secs(60));
    let other_id = scene.lands(&other).await;
    for _ in 0..36 {
        scene.sweep().await;
    }
    assert!(started(&scene).is_empty());
    scene.invoke(json!({ "resume": {} })).await;
    for _ in 0..6 {
        scene.sweep().await;
    }
    assert_eq!(started(&scene), [slow]);
    assert!(
        scene.validation(&other_id)["verdict"].is_null(),
        "half an hour is no hour"
    );
    for _ in 0..12 {
        scene.sweep().await;
    }
    let record = scene.record(&other_id);
    assert_eq!(record["verdict"], "not_tested", "{record:#}");
    let reason = record["verdict_reason"].as_str().unwrap();
    assert!(reason.contains("when a pause ended"), "{reason}");
}

#[tokio::test]
async fn a_pause_with_nonsense_in_it_is_refused_and_nothing_is_paused() {
    let scene = Scene::set(POLICY).await;
    for nonsense in [
        json!({ "until": "tomorrow" }),
        json!({ "reason": "x".repeat(201) }),
        json!(7),
    ] {
        let answer = scene.invoke(json!({ "pause": nonsense })).await;
        assert!(answer["ignored"].is_string(), "{answer}");
    }
    assert_eq!(status(&scene).await["paused"], Value::Null);
}

/// Planned before the pause, and not started: throttled, or dead. It does not begin, and has its turn afterwards.
#[tokio::test]
async fn what_was_planned_before_a_pause_is_not_begun_in_it() {
    for (operation, kind) in [
        ("Backup.StartRestoreJob", FaultKind::Throttle),
        (
            "Backup.GetRecoveryPointRestoreMetadata",
            FaultKind::Throttle,
        ),
    ] {
        let scene = Scene::set(POLICY).await;
        scene
            .world
            .faults()
            .fail(operation, Fault::once(kind).times(Times::OneCall));
        let point = scene.backup("planned", RestoreBehaviour::bare());
        let id = scene.lands(&point).await;
        assert!(started(&scene).is_empty(), "{operation}");
        scene.invoke(json!({ "pause": {} })).await;
        for _ in 0..24 {
            scene.sweep().await;
        }
        assert!(started(&scene).is_empty(), "{operation}");
        assert_eq!(status(&scene).await["slots"]["taken"], 0, "{operation}");
        scene.invoke(json!({ "resume": {} })).await;
        assert_eq!(
            scene.close(&id).await["verdict"],
            "unchecked",
            "{operation}"
        );
        assert_eq!(started(&scene), [point]);
        scene.assert_clean();
    }
}

/// The job was started and nobody heard of it: in the pause it is found, and what it restored is deleted.
#[tokio::test]
async fn what_was_started_before_a_pause_is_found_in_it() {
    let scene = Scene::set(POLICY).await;
    let lost = Fault::once(FaultKind::Reset)
        .times(Times::OneCall)
        .after_effect();
    scene.world.faults().fail("Backup.StartRestoreJob", lost);
    let point = scene.backup("started", RestoreBehaviour::bare());
    let copied = scene.world.copy_job_of(&point).unwrap();
    let landed = scene.try_invoke(scene.world.copy_job_event(&copied)).await;
    landed.expect_err("the answer was lost");
    let vault = scene.app.config.vault_arn(VAULT);
    let id = validation_id(PREFIX, &vault, &point, None);
    scene.invoke(json!({ "pause": {} })).await;
    assert_eq!(scene.close(&id).await["cleanup"], "deleted");
    assert_eq!(started(&scene), [point]);
    scene.assert_clean();
}

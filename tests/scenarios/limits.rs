//! Budgets: how many restores there may be, of what size, of which share, and how long a copy waits for its turn.

mod paused;
mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use restore_proof_core::policy::Sample;
use restore_proof_local_aws::{Fault, FaultKind, Machine, RecoveryPoint, RestoreBehaviour, Times};
use restore_proof_tests::{Scene, UNCHECKED};
use serde_json::{Value, json};

/// A policy of one rule for everything, with these limits.
fn limited(limits: &str) -> String {
    UNCHECKED.replace("[[rules]]", &format!("[limits]\n{limits}\n[[rules]]"))
}

/// A scene with these limits, whose stack allows so many restores.
async fn scene(limits: &str, allowed: u32) -> Scene {
    let mut scene = Scene::set(&limited(limits)).await;
    scene.app.config.max_concurrent_restores = allowed;
    scene
}

/// A restore of some length.
fn slow() -> RestoreBehaviour {
    RestoreBehaviour::bare().taking(Duration::from_secs(12 * 60))
}

/// So many databases land, a second apart. Answers the ids of their validations.
async fn databases(scene: &Scene, names: std::ops::Range<u32>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in names {
        let point = scene.backup(&format!("orders-{number}"), slow());
        ids.push(scene.lands(&point).await);
        scene.pass(SignedDuration::from_secs(1));
    }
    ids
}

/// So many machines land, a second apart. Answers the ids of their validations.
async fn machines(scene: &Scene, ids: std::ops::Range<u32>) -> Vec<String> {
    let mut landed = Vec::new();
    for number in ids {
        let point = RecoveryPoint {
            behaviour: slow(),
            ..scene.machine_point(&format!("{number:x}"), Machine::default())
        };
        landed.push(scene.lands(&scene.add(point)).await);
        scene.pass(SignedDuration::from_secs(1));
    }
    landed
}

/// Stages and how many of these validations are in each.
fn stages(scene: &Scene, ids: &[String]) -> BTreeMap<String, usize> {
    let mut stages = BTreeMap::new();
    for id in ids {
        let stage = scene.item(id)["stage"]["S"].as_str().unwrap().to_owned();
        *stages.entry(stage).or_default() += 1;
    }
    stages
}

/// Where the validation lies in the index of what is due: the partition; none when it is in none.
fn partition(scene: &Scene, id: &str) -> Option<String> {
    scene.item(id)["due_partition"]["S"]
        .as_str()
        .map(str::to_owned)
}

/// The ids that hold a slot, by the attribute of the slots' item.
fn held(scene: &Scene, attribute: &str) -> Vec<String> {
    let slots = scene.item("slots");
    let ids = slots[attribute]["SS"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    ids.iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

/// How many restores there are: jobs that run, and what they left that still exists.
fn restores(scene: &Scene) -> usize {
    let jobs = scene.world.restore_jobs();
    let running = jobs.iter().filter(|job| job.completed_at.is_none()).count();
    running.max(scene.instances().len() + scene.machines().len())
}

/// Sweeps until all are closed. Answers the most restores there were.
async fn close_all(scene: &Scene, ids: &[String]) -> usize {
    let mut most = 0;
    for _ in 0..400 {
        if stages(scene, ids).keys().all(|stage| stage == "closed") {
            return most;
        }
        scene.sweep().await;
        most = most.max(restores(scene));
    }
    panic!("not all are closed: {:?}", stages(scene, ids));
}

fn verdict(scene: &Scene, id: &str) -> String {
    scene.record(id)["verdict"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_policys_limit_counts_below_the_stacks_and_the_stacks_above_it() {
    for (limits, allowed, most) in [
        ("concurrent_restores = 2", 4, 2),
        ("concurrent_restores = 50", 3, 3),
        ("", 2, 2),
    ] {
        let scene = scene(limits, allowed).await;
        let ids = databases(&scene, 1..8).await;
        assert_eq!(scene.world.restore_jobs().len(), most, "{limits}");
        assert_eq!(close_all(&scene, &ids).await, most, "{limits}");
        assert!(ids.iter().all(|id| verdict(&scene, id) == "unchecked"));
        assert_eq!(scene.world.restore_jobs().len(), 7, "each once");
        scene.assert_clean();
    }
}

#[tokio::test]
async fn a_full_type_keeps_no_other_waiting() {
    let scene = scene("concurrent_restores_by_type = { RDS = 1, EC2 = 2 }", 10).await;
    let mut ids = databases(&scene, 1..5).await;
    assert_eq!(scene.world.restore_jobs().len(), 1, "one database");
    ids.extend(machines(&scene, 1..5).await);
    assert_eq!(scene.world.restore_jobs().len(), 3, "and two machines");
    assert_eq!(
        (
            held(&scene, "held").len(),
            held(&scene, "held_RDS").len(),
            held(&scene, "held_EC2").len()
        ),
        (3, 1, 2)
    );
    assert_eq!(partition(&scene, &ids[1]).unwrap(), "waiting#RDS");
    assert_eq!(partition(&scene, &ids[7]).unwrap(), "waiting#EC2");
    let mut most = (0, 0);
    for _ in 0..60 {
        scene.sweep().await;
        most = (
            most.0.max(scene.instances().len()),
            most.1.max(scene.machines().len()),
        );
        if stages(&scene, &ids).keys().all(|stage| stage == "closed") {
            break;
        }
    }
    assert_eq!(most, (1, 2));
    assert!(ids.iter().all(|id| verdict(&scene, id) == "unchecked"));
    scene.assert_clean();
}

#[tokio::test]
async fn among_types_too_the_longest_waiting_is_next() {
    let scene = scene("concurrent_restores = 1", 10).await;
    let first = databases(&scene, 1..2).await;
    let machine = machines(&scene, 1..2).await;
    let later = databases(&scene, 2..4).await;
    scene.close(&first[0]).await;
    assert_eq!(
        stages(&scene, &machine),
        [("restoring".to_owned(), 1)].into()
    );
    assert_eq!(stages(&scene, &later), [("landed".to_owned(), 2)].into());
}

#[tokio::test]
async fn what_is_too_large_is_not_tested_and_says_so() {
    let scene = scene("largest_size = \"500 GiB\"", 4).await;
    let of_size = |name: &str, size_bytes: u64| RecoveryPoint {
        size_bytes,
        ..scene.point(name)
    };
    let record = scene
        .prove(&scene.add(of_size("too-large", (500 << 30) + 1)))
        .await;
    assert_eq!(
        (&record["verdict"], &record["cleanup"]),
        (&json!("not_tested"), &json!("nothing_to_delete"))
    );
    let reason = record["verdict_reason"].as_str().unwrap();
    assert!(
        reason.contains("536870912001 bytes (500 GiB)") && reason.contains("largest_size, 500 GiB"),
        "{reason}"
    );
    assert!(scene.world.restore_jobs().is_empty());
    assert!(
        scene.world.messages().is_empty(),
        "nobody is written to about not_tested"
    );

    let fits = scene.prove(&scene.add(of_size("fits", 500 << 30))).await;
    assert_eq!(fits["verdict"], "unchecked");
    assert_eq!(fits["findings"], json!([]));
    let unknown = scene.prove(&scene.add(of_size("unknown", 0))).await;
    assert_eq!(unknown["verdict"], "unchecked");
    let finding = unknown["findings"][0].as_str().unwrap();
    assert!(
        finding.contains("does not tell the size") && finding.contains("500 GiB"),
        "{finding}"
    );
    scene.assert_clean();
}

#[tokio::test]
async fn of_a_sample_each_is_drawn_the_same_way_and_the_rest_claims_no_day() {
    let policy = UNCHECKED.replace("\"every-copy\"", "\"daily\"\nsample = \"50%\"");
    let mut scene = Scene::set(&policy).await;
    scene.app.config.max_concurrent_restores = 30;
    let half: Sample = "50%".parse().unwrap();
    // Away from midnight, so that the copies land on one day.
    let to_noon = 36 - i64::from(scene.now().to_zoned(jiff::tz::TimeZone::UTC).hour());
    scene.pass(SignedDuration::from_hours(to_noon));
    let copy = |database: &str, number: u32| RecoveryPoint {
        arn: format!(
            "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-{database}-{number}"
        ),
        ..scene.point(database)
    };
    let mut verdicts: BTreeMap<(bool, String), usize> = BTreeMap::new();
    for number in 0..24 {
        let id = scene
            .lands(&scene.add(copy(&format!("orders-{number}"), 1)))
            .await;
        let record = scene.close(&id).await;
        let drawn = half.draws(&id);
        let verdict = record["verdict"].as_str().unwrap().to_owned();
        if !drawn {
            let reason = record["verdict_reason"].as_str().unwrap();
            assert!(reason.contains("sample is 50%"), "{reason}");
        }
        *verdicts.entry((drawn, verdict)).or_default() += 1;
    }
    assert_eq!(verdicts.len(), 2, "{verdicts:?}");
    let drawn = verdicts[&(true, "unchecked".to_owned())];
    let not = verdicts[&(false, "not_tested".to_owned())];
    assert!(drawn.min(not) > 3, "{verdicts:?}");
    assert_eq!(scene.world.restore_jobs().len(), drawn);

    // Copies of one database: those before the first that is drawn leave the day to it, and it has it alone.
    let mut tested = Vec::new();
    for number in 0..12 {
        let id = scene.lands(&scene.add(copy("invoices", number))).await;
        let record = scene.close(&id).await;
        if half.draws(&id) {
            tested.push(record["verdict"].as_str().unwrap().to_owned());
        }
    }
    assert!(tested.len() > 1, "{tested:?}");
    assert_eq!(tested[0], "unchecked");
    assert!(
        tested[1..].iter().all(|verdict| verdict == "not_tested"),
        "{tested:?}"
    );
    scene.assert_clean();
}

#[tokio::test]
async fn whoever_waits_too_long_is_not_tested() {
    let policy =
        limited("concurrent_restores = 1\nlongest_wait = \"1h\"").replace("every-copy", "daily");
    let scene = Scene::set(&policy).await;
    let long = RestoreBehaviour::bare().taking(Duration::from_secs(5 * 3600));
    let first = scene.lands(&scene.backup("orders-0", long)).await;
    let ids = databases(&scene, 1..4).await;
    for _ in 0..11 {
        scene.sweep().await;
    }
    assert_eq!(stages(&scene, &ids), [("landed".to_owned(), 3)].into());
    scene.sweep().await;
    assert_eq!(stages(&scene, &ids), [("closed".to_owned(), 3)].into());
    for id in &ids {
        let record = scene.record(id);
        assert_eq!(
            (&record["verdict"], &record["cleanup"]),
            (&json!("not_tested"), &json!("nothing_to_delete"))
        );
        let reason = record["verdict_reason"].as_str().unwrap();
        assert!(
            reason.contains("no slot") && reason.contains("longest_wait is 1h"),
            "{reason}"
        );
        // What is known of it is in the record, and it has waited for nothing.
        assert_eq!(
            (&record["policy_rule"], &record["queue_duration"]),
            (&json!("all"), &Value::Null),
            "{record:#}"
        );
    }
    assert!(
        scene.world.messages().is_empty(),
        "nobody is written to about not_tested"
    );
    assert_eq!(held(&scene, "held"), std::slice::from_ref(&first));
    // None of them has claimed its day.
    let claims = scene
        .world
        .table_items(restore_proof_tests::LEDGER)
        .into_iter();
    let claims: Vec<_> = claims
        .filter(|item| item["claimed_by"].is_object())
        .collect();
    assert_eq!(claims.len(), 1, "{claims:#?}");
    assert_eq!(scene.close(&first).await["verdict"], "unchecked");
    scene.assert_clean();
}

#[tokio::test]
async fn whoever_waits_too_long_leaves_the_day_to_the_next_copy() {
    let policy =
        limited("concurrent_restores = 1\nlongest_wait = \"1h\"").replace("every-copy", "daily");
    let scene = Scene::set(&policy).await;
    // It has its turn and claims its day, and is put off at the last moment before the restore.
    let throttled = Fault::once(FaultKind::Throttle).times(Times::OneCall);
    let faults = scene.world.faults();
    faults.fail("Backup.GetRecoveryPointRestoreMetadata", throttled);
    let late = scene
        .lands(&scene.backup("orders", RestoreBehaviour::bare()))
        .await;
    let claims = || {
        let items = scene.world.table_items(restore_proof_tests::LEDGER);
        let claims = items.into_iter().filter_map(|item| {
            let by = item["claimed_by"]["S"].as_str()?;
            Some(by.to_owned())
        });
        claims.collect::<Vec<_>>()
    };
    assert_eq!(claims(), std::slice::from_ref(&late));
    // Meanwhile another has the slot.
    let long = RestoreBehaviour::bare().taking(Duration::from_secs(5 * 3600));
    let other = scene.lands(&scene.backup("invoices", long)).await;
    assert_eq!(held(&scene, "held"), std::slice::from_ref(&other));
    for _ in 0..16 {
        scene.sweep().await;
    }
    let record = scene.record(&late);
    assert_eq!(record["verdict"], "not_tested");
    assert_eq!(claims(), [other]);
}

/// The restore is counted with its intent, once: also that of a function that dies before it is started.
#[tokio::test]
async fn no_more_is_restored_in_a_month_than_the_policy_allows() {
    let scene = scene("restores_per_month = 2", 4).await;
    let hang = Fault::once(FaultKind::Hang);
    let faults = scene.world.faults();
    faults.fail("Backup.StartRestoreJob", hang);
    let first = scene.backup("orders-0", RestoreBehaviour::bare());
    let job = scene.world.copy_job_of(&first).unwrap();
    let event = scene.world.copy_job_event(&job);
    tokio::select! {
        answer = Box::pin(scene.try_invoke(event.clone())) => panic!("it lives: {answer:?}"),
        () = faults.hung() => {}
    }
    scene.pass(SignedDuration::from_mins(20));
    let record = scene.prove_by(&event).await;
    assert_eq!(record["verdict"], "unchecked", "{record:#}");
    let mut reasons = Vec::new();
    for database in ["orders-1", "orders-2"] {
        let point = scene.backup(database, RestoreBehaviour::bare());
        let record = scene.prove(&point).await;
        reasons.push((record["verdict"].clone(), record["verdict_reason"].clone()));
    }
    let month = scene.now().strftime("%Y-%m").to_string();
    let full = format!("the policy's restores_per_month is 2, and so many were started in {month}");
    assert_eq!(reasons[0].0, "unchecked");
    assert_eq!(reasons[1], (json!("not_tested"), json!(full)));
    assert_eq!(scene.world.restore_jobs().len(), 2);
    let counted = &scene.item(&format!("month#{month}"))["restores"]["N"];
    assert_eq!(counted, "2");
    scene.pass(SignedDuration::from_hours(32 * 24));
    let point = scene.backup("orders-3", RestoreBehaviour::bare());
    assert_eq!(scene.prove(&point).await["verdict"], "unchecked");
    scene.assert_clean();
}

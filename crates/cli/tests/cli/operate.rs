//! `restore-proof status`, `pause` and `resume` as people run them.

use restore_proof_local_aws::RestoreBehaviour;
use restore_proof_tests::{Scene, UNCHECKED};
use serde_json::{Value, json};

use crate::validate::{interrupted, run};

#[tokio::test(flavor = "multi_thread")]
async fn restores_are_paused_and_begun_again() {
    let scene = Scene::set(UNCHECKED).await;
    let idle = run(&scene, &["status"]).await;
    assert_eq!(idle.code, 0, "{}", idle.err);
    for said in ["are begun as copies land", "0 of ", "nobody"] {
        assert!(idle.out.contains(said), "{said}: {}", idle.out);
    }

    let paused = run(&scene, &["pause", "--reason", "ticket 4711"]).await;
    assert_eq!(paused.code, 0, "{}", paused.err);
    assert!(paused.out.contains("paused"), "{}", paused.out);
    assert!(paused.out.contains("ticket 4711"), "{}", paused.out);

    let point = scene.backup("orders", RestoreBehaviour::bare());
    let id = scene.lands(&point).await;
    let waiting = run(&scene, &["status"]).await;
    for said in ["1 of RDS", id.as_str(), "waiting", "db:orders"] {
        assert!(waiting.out.contains(said), "{said}: {}", waiting.out);
    }
    assert!(scene.world.restore_jobs().is_empty());

    let resumed = run(&scene, &["--json", "resume"]).await;
    let told: Value = serde_json::from_str(&resumed.out).unwrap();
    assert_eq!(told["paused"], Value::Null, "{told:#}");
    assert_eq!(scene.close(&id).await["verdict"], json!("unchecked"));
    let ended = run(&scene, &["--json", "status"]).await;
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        (&told["open"], &told["validations"]),
        (&json!(0), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_reason_or_no_function_is_said() {
    let scene = Scene::set(UNCHECKED).await;
    let long = "x".repeat(201);
    let refused = run(&scene, &["pause", "--reason", &long]).await;
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(
        refused.err.contains("more than 200 characters"),
        "{}",
        refused.err
    );
    let another = run(&scene, &["status", "--function", "another"]).await;
    assert_eq!(another.code, 4, "{}", another.err);
    assert!(
        another.err.contains("is this the right function"),
        "{}",
        another.err
    );
    assert!(
        scene
            .world
            .table_items(restore_proof_tests::LEDGER)
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_watched_until_somebody_interrupts_it() {
    let scene = Scene::set(UNCHECKED).await;
    let watch = ["--json", "status", "--watch", "--every", "1s"];
    let watched = interrupted(&scene, &watch).await;
    assert_eq!(watched.code, 130, "{}", watched.err);
    let looks: Vec<Value> = watched
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(looks.len() >= 2, "{}", watched.out);
    assert!(looks.iter().all(|look| look["open"] == json!(0)));
    // Without a terminal only what is new is shown.
    let watched = interrupted(&scene, &watch[1..]).await;
    assert_eq!(watched.code, 130, "{}", watched.err);
    assert_eq!(watched.out.matches("are begun as copies land").count(), 1);
    assert!(!watched.out.contains('\u{1b}'), "{}", watched.out);
}

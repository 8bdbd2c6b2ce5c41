//! Nothing is left running: every cleanup value, and what stands in the way of a deletion.

use restore_proof_local_aws::{InstanceBehaviour, Message};

use super::*;

/// What the versions of a record say of the cleanup, oldest first.
fn cleanups(scene: &Scene) -> Vec<String> {
    let key = record_keys(scene).remove(0);
    scene
        .world
        .object_versions(BUCKET, &key)
        .iter()
        .map(|version| {
            let record: Value = serde_json::from_slice(&version.body).unwrap();
            record["cleanup"].as_str().unwrap().to_owned()
        })
        .collect()
}

fn about_left_behind(scene: &Scene) -> Vec<Message> {
    let mut messages = scene.world.messages();
    messages.retain(|message| message.attributes["kind"] == "left_behind");
    messages
}

/// As somebody else would delete it, or we by hand.
async fn delete(scene: &Scene, name: &str) {
    let rds = &scene.app.aws.rds;
    let request = rds.delete_db_instance().db_instance_identifier(name);
    request.skip_final_snapshot(true).send().await.unwrap();
    scene.pass(SignedDuration::from_secs(10));
}

#[tokio::test]
async fn the_record_says_pending_before_anything_is_deleted() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let record = scene.prove(&point).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert_eq!(cleanups(&scene), ["pending", "deleted"]);
    let order: Vec<_> = scene
        .world
        .calls()
        .into_iter()
        .map(|call| call.name())
        .filter(|name| name == "S3.PutObject" || name == "RDS.DeleteDBInstance")
        .collect();
    assert_eq!(
        order,
        ["S3.PutObject", "RDS.DeleteDBInstance", "S3.PutObject"]
    );
}

#[tokio::test]
async fn gone_is_what_is_not_found_twice_and_minutes_apart() {
    let scene = Scene::set(UNCHECKED).await;
    let (id, _) = restored(&scene, "orders").await;
    scene.deliver().await;
    scene.pass(SignedDuration::from_secs(121));
    scene.invoke(json!({ "sweep": "due" })).await;
    scene.deliver().await;
    assert!(scene.instances().is_empty(), "RDS has forgotten it");
    assert_eq!(
        scene.record(&id)["cleanup"],
        "pending",
        "it was not found once only"
    );
    scene.pass(SignedDuration::from_secs(60));
    scene
        .invoke(json!({ "advance": { "validation_id": id } }))
        .await;
    assert_eq!(
        scene.record(&id)["cleanup"],
        "pending",
        "not minutes apart yet"
    );
    scene.pass(SignedDuration::from_secs(61));
    scene.invoke(json!({ "sweep": "due" })).await;
    scene.deliver().await;
    assert_eq!(scene.record(&id)["cleanup"], "deleted");
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 1);
}

#[tokio::test]
async fn already_gone_when_somebody_deleted_it_before_it_was_looked_at() {
    let scene = Scene::set(UNCHECKED).await;
    let (id, instance) = restored(&scene, "orders").await;
    delete(&scene, &instance.identifier).await;
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("inconclusive", "already_gone"));
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 1, "not by us");
    scene.assert_clean();
}

#[tokio::test]
async fn already_gone_when_somebody_deleted_it_before_we_could() {
    let scene = Scene::set(UNCHECKED).await;
    let (id, instance) = restored(&scene, "orders").await;
    let out = Fault::error("InternalError", 500).times(Times::Forever);
    let fault = scene.world.faults().fail("S3.PutObject", out);
    scene.deliver().await;
    delete(&scene, &instance.identifier).await;
    scene.world.faults().remove(fault);
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("unchecked", "already_gone"));
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 1, "not by us");
    scene.assert_clean();
}

#[tokio::test]
async fn a_protected_restore_is_left_behind_told_once_and_deleted_a_day_later() {
    let scene = Scene::set(UNCHECKED).await;
    let behaviour = RestoreBehaviour {
        instance: InstanceBehaviour {
            protects_itself: true,
            ..InstanceBehaviour::default()
        },
        ..RestoreBehaviour::bare()
    };
    let id = scene.lands(&scene.backup("orders", behaviour)).await;
    scene.sweep().await;
    let record = scene.record(&id);
    assert_eq!(outcome(&record), ("unchecked", "left_behind"));
    assert_says(&record, "cleanup_reason", "protect");
    assert_eq!(scene.instances().len(), 1);
    assert_eq!(scene.item("slots")["held"], Value::Null, "no slot is held");
    let messages = about_left_behind(&scene);
    assert_eq!(messages.len(), 1);
    assert!(
        messages[0]
            .body
            .contains(&format!("restore-proof-r-{id}-1"))
    );
    let tries = || calls(&scene, "RDS.DeleteDBInstance");
    let today = tries();
    for _ in 0..3 {
        scene.sweep().await;
    }
    assert_eq!(tries(), today, "the next try is tomorrow's");

    // A day later it is still protected; people have been told.
    scene.pass(SignedDuration::from_hours(24));
    scene.sweep().await;
    assert_eq!(tries(), today + 1);
    assert_eq!(
        scene.record(&id)["cleanup_time"],
        record["cleanup_time"],
        "left behind since yesterday"
    );
    assert_eq!(about_left_behind(&scene).len(), 1);

    let mut instance = scene.world.db_instances().remove(0);
    instance.deletion_protection = false;
    scene.world.add_db_instance(instance);
    scene.pass(SignedDuration::from_hours(24));
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert_eq!(record["cleanup_reason"], Value::Null);
    assert_eq!(record_keys(&scene).len(), 1);
    scene.assert_clean();
}

#[tokio::test]
async fn a_deletion_that_is_denied_is_left_behind_and_deleted_a_day_later() {
    let scene = Scene::set(UNCHECKED).await;
    let denied = Fault::error("AccessDenied", 403).times(Times::Forever);
    let fault = scene.world.faults().fail("RDS.DeleteDBInstance", denied);
    let id = scene
        .lands(&scene.backup("orders", RestoreBehaviour::bare()))
        .await;
    for _ in 0..3 {
        scene.sweep().await;
    }
    let record = scene.record(&id);
    assert_eq!(outcome(&record), ("unchecked", "left_behind"));
    assert_says(&record, "cleanup_reason", "AccessDenied");
    assert_eq!(about_left_behind(&scene).len(), 1);
    scene.world.faults().remove(fault);
    scene.pass(SignedDuration::from_hours(24));
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
    scene.assert_clean();
}

#[tokio::test]
async fn a_deletion_without_an_answer_is_tried_again_soon() {
    let scene = Scene::set(UNCHECKED).await;
    let out = Fault::error("InternalFailure", 500).times(Times::OneCall);
    scene.world.faults().fail("RDS.DeleteDBInstance", out);
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let record = scene.prove(&point).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert!(about_left_behind(&scene).is_empty());
    scene.assert_clean();
}

#[tokio::test]
async fn a_restore_that_is_busy_with_itself_is_deleted_soon_after() {
    let scene = Scene::set(UNCHECKED).await;
    let (id, mut instance) = restored(&scene, "orders").await;
    let out = Fault::error("InternalError", 500).times(Times::Forever);
    let fault = scene.world.faults().fail("S3.PutObject", out);
    scene.deliver().await;
    instance.status = "backing-up".to_owned();
    scene.world.add_db_instance(instance);
    let busy = Fault::error("InvalidDBInstanceState", 400);
    scene.world.faults().fail("RDS.DeleteDBInstance", busy);
    scene.world.faults().remove(fault);
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert!(about_left_behind(&scene).is_empty());
    scene.assert_clean();
}

#[tokio::test]
async fn nothing_is_deleted_while_the_record_cannot_be_written() {
    let scene = Scene::set(UNCHECKED).await;
    let out = Fault::error("InternalError", 500).times(Times::Forever);
    let fault = scene.world.faults().fail("S3.PutObject", out);
    let id = scene
        .lands(&scene.backup("orders", RestoreBehaviour::bare()))
        .await;
    for _ in 0..3 {
        scene.sweep().await;
    }
    assert_eq!(scene.instances().len(), 1);
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 0);
    assert!(scene.world.messages().is_empty(), "the record comes first");
    scene.world.faults().remove(fault);
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
    scene.assert_clean();
}

#[tokio::test]
async fn silence_of_logs_and_messages_does_not_keep_a_restore_alive() {
    for (broken, code) in [
        ("SNS.*", "InternalError"),
        ("Logs.*", "ServiceUnavailableException"),
    ] {
        let scene = Scene::set(UNCHECKED).await;
        let out = Fault::error(code, 500).times(Times::Forever);
        let fault = scene.world.faults().fail(broken, out);
        let id = scene
            .lands(&scene.backup("orders", RestoreBehaviour::bare()))
            .await;
        for _ in 0..6 {
            scene.sweep().await;
        }
        assert!(scene.instances().is_empty(), "{broken}");
        let record = scene.record(&id);
        assert_eq!(outcome(&record), ("unchecked", "deleted"), "{broken}");
        assert_ne!(
            scene.item(&id)["stage"]["S"],
            "closed",
            "there is something to tell"
        );
        scene.world.faults().remove(fault);
        let told = scene.close(&id).await;
        assert_eq!(told["cleanup_time"], record["cleanup_time"], "{broken}");
        assert_eq!(scene.world.messages().len(), 1, "{broken}");
        assert_eq!(scene.log_events("verdict", &id).len(), 1, "{broken}");
        assert_eq!(scene.log_events("cleanup", &id).len(), 1, "{broken}");
        scene.assert_clean();
    }
}

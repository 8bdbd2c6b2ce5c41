//! Which services answer the function, asked from inside: harmless, side by side, and each told as it is.

use restore_proof_local_aws::{Fault, FaultKind, Times};
use restore_proof_tests::{LEDGER, LOG_GROUP, Scene, UNCHECKED};
use serde_json::{Value, json};

const SERVICES: [&str; 9] = [
    "backup",
    "dynamodb",
    "ec2",
    "lambda",
    "logs",
    "rds",
    "s3",
    "secretsmanager",
    "sns",
];

async fn services(scene: &Scene) -> Value {
    let told = scene.invoke(json!({ "doctor": {} })).await;
    told["doctor"]["services"].clone()
}

#[tokio::test]
async fn every_service_answers_and_nothing_comes_of_it() {
    let scene = Scene::set(UNCHECKED).await;
    let told = services(&scene).await;
    for service in SERVICES {
        assert_eq!(told[service]["state"], "answered", "{service}: {told:#}");
    }
    assert_eq!(told.as_object().unwrap().len(), SERVICES.len(), "{told:#}");
    // Neither message nor log stream nor item nor invocation.
    assert!(scene.world.messages().is_empty());
    assert!(scene.world.log_events(LOG_GROUP).is_empty());
    assert!(scene.world.table_items(LEDGER).is_empty());
    assert!(scene.world.restore_jobs().is_empty());
    scene.assert_clean();
}

#[tokio::test]
async fn a_refusal_and_a_silence_are_told_and_stop_no_other() {
    let scene = Scene::set(UNCHECKED).await;
    let always = |fault: Fault| fault.times(Times::Forever);
    let faults = scene.world.faults();
    let refusal = Fault::error("AuthorizationError", 403);
    faults.fail("SNS.Publish", always(refusal));
    let silence = Fault::once(FaultKind::Timeout);
    faults.fail("Backup.ListBackupVaults", always(silence.clone()));
    faults.fail("DynamoDB.GetItem", always(silence));
    let told = services(&scene).await;
    let refused = json!({ "state": "refused", "code": "AuthorizationError" });
    assert_eq!(told["sns"], refused, "{told:#}");
    for service in ["backup", "dynamodb"] {
        assert_eq!(told[service]["state"], "no_answer", "{service}: {told:#}");
    }
    for service in ["ec2", "lambda", "logs", "rds", "s3", "secretsmanager"] {
        assert_eq!(told[service]["state"], "answered", "{service}: {told:#}");
    }
    // Asked once each: somebody waits for the answer.
    let asked = scene.world.calls();
    let vaults = asked
        .iter()
        .filter(|call| call.operation == "ListBackupVaults");
    assert_eq!(vaults.count(), 1);
}

#[tokio::test]
async fn a_pause_is_told() {
    let scene = Scene::set(UNCHECKED).await;
    let before = scene.invoke(json!({ "doctor": {} })).await;
    assert_eq!(before["doctor"]["paused"], Value::Null);
    scene
        .invoke(json!({ "pause": { "reason": "ticket 4711" } }))
        .await;
    let paused = scene.invoke(json!({ "doctor": {} })).await;
    assert_eq!(paused["doctor"]["paused"]["reason"], "ticket 4711");
}

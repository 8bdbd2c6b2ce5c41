//! What keeps the promises when the function dies, is invoked twice or is told nonsense: one safeguard, one small scene.
//!
//! `tests/mutants` takes each safeguard away in turn, and the scene that is named after it must notice.

mod gone;
mod once;
mod order;

use std::time::Duration;

use jiff::SignedDuration;
use restore_proof_core::validation::validation_id;
use restore_proof_local_aws::{Fault, FaultKind, RestoreBehaviour, Times};
use restore_proof_tests::{PREFIX, Scene, UNCHECKED, VAULT};
use serde_json::{Value, json};

/// Longer than a lease: who held one is dead.
const LEASE_OVER: SignedDuration = SignedDuration::from_mins(16);
/// Longer than AWS Backup remembers an idempotency token.
const TOKEN_FORGOTTEN: SignedDuration = SignedDuration::from_mins(70);

/// A scene with a copy that lands: its event, and its validation's id.
async fn landing() -> (Scene, Value, String) {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let event = scene
        .world
        .copy_job_event(&scene.world.copy_job_of(&point).unwrap());
    let vault = scene.app.config.vault_arn(VAULT);
    let id = validation_id(PREFIX, &vault, &point, None);
    (scene, event, id)
}

/// A scene whose one validation is judged and cannot write its record yet: what it restored is there.
async fn judged(scene: Scene, point: &str) -> (Scene, String) {
    let denied = scene.world.faults().fail("S3.PutObject", denied());
    let id = scene.lands(point).await;
    // The world restores beside us, in real time.
    for _ in 0..100 {
        scene.deliver().await;
        if scene.item(&id)["stage"]["S"] == "checked" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(scene.item(&id)["stage"]["S"], "checked");
    scene.world.faults().remove(denied);
    (scene, id)
}

fn denied() -> Fault {
    Fault::error("AccessDenied", 403).times(Times::Forever)
}

/// Invokes the function, which dies at its next call of this operation.
async fn dies(scene: &Scene, payload: Value, operation: &str, after_effect: bool) {
    let mut hangs = Fault::once(FaultKind::Hang);
    if after_effect {
        hangs = hangs.after_effect();
    }
    let faults = scene.world.faults();
    faults.fail(operation, hangs);
    tokio::select! {
        ended = scene.try_invoke(payload) => panic!("it ended before {operation}: {ended:?}"),
        () = faults.hung() => {}
    }
}

fn advance(id: &str) -> Value {
    json!({ "advance": { "validation_id": id } })
}

/// How often an operation was called.
fn calls(scene: &Scene, name: &str) -> usize {
    let calls = scene.world.calls();
    calls.iter().filter(|call| call.name() == name).count()
}

/// Verdict and cleanup of a record.
fn outcome(record: &Value) -> (&str, &str) {
    let text = |column: &str| record[column].as_str().unwrap();
    (text("verdict"), text("cleanup"))
}

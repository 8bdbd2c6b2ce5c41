//! One writer at a time: the lease, the revision, the nonce; and as many restores as there are slots.

use std::time::Duration;

use restore_proof_core::validation::Stage;
use restore_proof_function::failure::Failure;
use restore_proof_function::ledger::{Lease, Taken};

use super::*;

/// Takes a lease as an invocation of this nonce.
async fn take(scene: &Scene, id: &str, nonce: &str) -> Option<Lease> {
    let now = scene.now();
    let until = now + SignedDuration::from_mins(15);
    match scene.app.ledger.take(id, nonce, now, until).await.unwrap() {
        Taken::Lease(lease) => Some(*lease),
        _ => None,
    }
}

#[tokio::test]
async fn who_comes_while_another_works_leaves() {
    let (scene, event, id) = landing().await;
    let hangs = Fault::once(FaultKind::Hang);
    let faults = scene.world.faults();
    faults.fail("Backup.StartRestoreJob", hangs);
    let mut first = Box::pin(scene.try_invoke(event.clone()));
    tokio::select! {
        ended = &mut first => panic!("it does not hang: {ended:?}"),
        () = faults.hung() => {}
    }
    for payload in [event, advance(&id), json!({ "sweep": "due" })] {
        scene.invoke(payload).await;
        scene.deliver().await;
    }
    assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 1);
}

/// No event comes any more: the lease ends, it is due by that, and the sweep goes on.
#[tokio::test]
async fn a_lease_ends_with_who_held_it() {
    let (scene, event, id) = landing().await;
    dies(&scene, event, "Backup.StartRestoreJob", false).await;
    scene.world.take_events();
    scene.sweep().await;
    assert!(
        scene.world.restore_jobs().is_empty(),
        "the lease still runs"
    );
    scene.pass(LEASE_OVER);
    scene.sweep().await;
    assert_eq!(scene.world.restore_jobs().len(), 1);
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
}

/// One that slept through the end of its lease wakes up: what it knows is old.
#[tokio::test]
async fn who_lost_the_lease_writes_nothing() {
    let (scene, event, id) = landing().await;
    scene.invoke(event).await;
    let mut sleeper = take(&scene, &id, "sleeper").await.unwrap();
    scene.pass(LEASE_OVER);
    let mut heir = take(&scene, &id, "heir").await.unwrap();
    heir.validation.stage = Stage::Recorded;
    scene.app.ledger.write(&mut heir).await.unwrap();

    sleeper.validation.stage = Stage::Restored;
    let written = scene.app.ledger.write(&mut sleeper).await;
    assert!(matches!(written, Err(Failure::LeaseLost(_))), "{written:?}");
    let given_back = scene.app.ledger.release(sleeper).await;
    assert!(
        matches!(given_back, Err(Failure::LeaseLost(_))),
        "{given_back:?}"
    );
    assert_eq!(scene.item(&id)["stage"]["S"], "recorded");
    assert_eq!(scene.item(&id)["lease_owner"]["S"], "heir");
}

/// Of each write the answer is lost once: the SDK writes again and meets what it has written.
#[tokio::test]
async fn a_write_whose_answer_was_lost_is_known_again() {
    let lost = |operation: &'static str, write: u32| async move {
        let (scene, event, id) = landing().await;
        let lost = Fault::once(FaultKind::Reset).after_effect().skip(write);
        scene.world.faults().fail(operation, lost);
        for payload in [event, advance(&id)] {
            let answer = scene.try_invoke(payload).await;
            let answer = answer.unwrap_or_else(|error| panic!("{operation} {write}: {error:#}"));
            assert_eq!(answer["validation_id"], *id);
            assert_ne!(answer["stage"], "landed", "{operation} {write}: {answer}");
            let owner = &scene.item(&id)["lease_owner"];
            assert!(owner.is_null(), "{operation} {write}: {owner} has gone");
        }
        let trouble = &scene.validation(&id)["trouble"];
        assert!(trouble.is_null(), "{operation} {write}: {trouble}");
        scene.world.faults().hits()
    };
    let (scene, event, id) = landing().await;
    scene.invoke(event).await;
    scene.invoke(advance(&id)).await;
    for (operation, least, which) in [
        ("DynamoDB.PutItem", 2, "opened, given back"),
        ("DynamoDB.UpdateItem", 2, "a slot, a lease"),
        ("DynamoDB.TransactWriteItems", 2, "planned, the job taken"),
    ] {
        let writes = calls(&scene, operation);
        assert!(writes >= least, "{operation}: {which}: {writes}");
        let each = (0..u32::try_from(writes).unwrap()).map(|write| lost(operation, write));
        let struck = futures_util::future::join_all(each).await;
        assert_eq!(struck, vec![1; writes]);
    }
}

#[tokio::test]
async fn no_two_invocations_write_under_one_nonce() {
    let (scene, event, id) = landing().await;
    let mut nonces = Vec::new();
    for payload in [event, advance(&id), advance(&id)] {
        scene.invoke(payload).await;
        let writer = scene.item(&id)["writer"]["S"].as_str().unwrap().to_owned();
        nonces.push(writer.split('/').next().unwrap().to_owned());
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 3, "{nonces:?}");
}

#[tokio::test]
async fn no_more_is_restored_at_a_time_than_there_are_slots() {
    let mut scene = Scene::set(UNCHECKED).await;
    scene.app.config.max_concurrent_restores = 1;
    let behaviour = || RestoreBehaviour::bare().taking(Duration::from_secs(600));
    let first = scene.backup("orders", behaviour());
    let second = scene.backup("invoices", behaviour());
    let first = scene.lands(&first).await;
    let second = scene.lands(&second).await;
    scene.sweep().await;
    assert_eq!(scene.world.restore_jobs().len(), 1);
    assert_eq!(
        outcome(&scene.close(&first).await),
        ("unchecked", "deleted")
    );
    assert_eq!(
        outcome(&scene.close(&second).await),
        ("unchecked", "deleted")
    );
    scene.assert_clean();
}

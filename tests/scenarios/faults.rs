//! Every call of a validation fails, one after the other: before its effect and after it, once and for all retries of the SDK.
//!
//! Whatever fails, the world must look the same in the end: one restore, one record, nothing left.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::{StreamExt, stream};
use restore_proof_local_aws::{Fault, FaultKind, RestoreBehaviour, Times};
use restore_proof_tests::{BUCKET, Scene, UNCHECKED, VAULT};
use serde_json::json;

/// How many runs are under way at once: most of their time they wait for the SDK to try again.
const AT_ONCE: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Strike {
    /// So many attempts pass first.
    after: u32,
    after_effect: bool,
    all_retries: bool,
}

impl Strike {
    fn fault(self) -> Fault {
        let kind = FaultKind::Error {
            code: "InternalFailure".to_owned(),
            status: 500,
        };
        let times = if self.all_retries {
            Times::OneCall
        } else {
            Times::Once
        };
        let fault = Fault::once(kind).times(times).skip(self.after);
        if self.after_effect {
            fault.after_effect()
        } else {
            fault
        }
    }
}

/// Validates one copy with this strike. Answers how many attempts at calls the world met.
async fn run(strike: Option<Strike>) -> usize {
    let scene = Scene::set(UNCHECKED).await;
    let takes = Duration::from_secs(60);
    let point = scene.backup("orders", RestoreBehaviour::bare().taking(takes));
    let event = scene
        .world
        .copy_job_event(&scene.world.copy_job_of(&point).unwrap());
    if let Some(strike) = strike {
        scene.world.faults().fail("*", strike.fault());
    }
    // Lambda delivers an event that failed twice more.
    for _ in 0..3 {
        if scene.try_invoke(event.clone()).await.is_ok() {
            break;
        }
    }
    let vault = scene.app.config.vault_arn(VAULT);
    let id = restore_proof_core::validation::validation_id(
        restore_proof_tests::PREFIX,
        &vault,
        &point,
        None,
    );
    let record = scene.close(&id).await;

    let said = format!("{strike:?}: {record:#}");
    assert_eq!(
        (&record["verdict"], &record["cleanup"]),
        (&json!("unchecked"), &json!("deleted")),
        "{said}"
    );
    assert_eq!(record["attempt"], 1, "{said}");
    assert_eq!(scene.world.restore_jobs().len(), 1, "one restore; {said}");
    let mut keys = scene.world.object_keys(BUCKET);
    keys.retain(|key| key.starts_with("records/"));
    assert_eq!(keys.len(), 1, "one record; {said}");
    assert!(!scene.world.messages().is_empty(), "a message; {said}");
    assert!(
        !scene.log_events("verdict", &id).is_empty(),
        "a log event; {said}"
    );
    let took_effect = |call: &restore_proof_local_aws::Call| call.reached && call.error.is_none();
    let calls = scene.world.calls();
    let recorded = calls
        .iter()
        .position(|call| call.name() == "S3.PutObject" && took_effect(call));
    let deleted = calls
        .iter()
        .position(|call| call.name() == "RDS.DeleteDBInstance" && call.reached);
    assert!(
        recorded.unwrap() < deleted.unwrap(),
        "recorded before deleted; {said}"
    );
    scene.assert_clean();
    assert_eq!(
        scene.world.faults().hits() > 0,
        strike.is_some(),
        "struck; {said}"
    );
    calls.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_there_is_one_restore_one_record_and_nothing_left() {
    let calls = u32::try_from(run(None).await).unwrap();
    assert!(
        calls > 30,
        "a validation takes some calls, this one {calls}"
    );
    let strikes = (0..calls).flat_map(|after| {
        [(false, false), (false, true), (true, false), (true, true)].map(
            |(after_effect, all_retries)| Strike {
                after,
                after_effect,
                all_retries,
            },
        )
    });
    stream::iter(strikes)
        .map(|strike| tokio::spawn(run(Some(strike))))
        .buffer_unordered(AT_ONCE)
        .for_each(|finished| async { assert!(finished.unwrap() > 0) })
        .await;
}

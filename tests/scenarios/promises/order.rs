//! Record before deletion, intent before effect, and the token that makes a repetition harmless.

use restore_proof_function::config::{LockMode, RecordsLock};

use super::*;

#[tokio::test]
async fn nothing_is_deleted_before_its_record_is_written() {
    let (scene, event, id) = landing().await;
    let refused = scene.world.faults().fail("S3.PutObject", denied());
    scene.invoke(event).await;
    for _ in 0..3 {
        scene.sweep().await;
    }
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 0);
    assert_eq!(scene.instances().len(), 1);
    scene.world.faults().remove(refused);
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
    let done = |name: &str| {
        let calls = scene.world.calls();
        calls
            .iter()
            .position(|call| call.name() == name && call.error.is_none())
    };
    assert!(done("S3.PutObject").unwrap() < done("RDS.DeleteDBInstance").unwrap());
    scene.assert_clean();
}

/// The function dies when AWS Backup has started the job and before it says so.
#[tokio::test]
async fn a_restore_that_nobody_knows_to_be_started_is_not_started_again() {
    let (scene, event, id) = landing().await;
    dies(&scene, event, "Backup.StartRestoreJob", true).await;
    scene.pass(LEASE_OVER);
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
    assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 2);
    assert_eq!(scene.world.restore_jobs().len(), 1);
    assert_eq!(scene.record(&id)["attempt"], 1);
    scene.assert_clean();
}

/// As above, and AWS Backup has forgotten the token when somebody looks again: the intent in the ledger tells the job.
#[tokio::test]
async fn a_restore_that_was_started_long_ago_is_found_by_its_intent() {
    let (scene, event, id) = landing().await;
    dies(&scene, event, "Backup.StartRestoreJob", true).await;
    scene.pass(TOKEN_FORGOTTEN);
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
    assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 1);
    assert_eq!(scene.world.restore_jobs().len(), 1);
    scene.assert_clean();
}

/// As above, and by now AWS Backup refuses the same request.
#[tokio::test]
async fn a_restore_that_is_refused_now_may_have_been_started_before() {
    let (scene, event, id) = landing().await;
    dies(&scene, event, "Backup.StartRestoreJob", true).await;
    scene
        .world
        .faults()
        .fail("Backup.StartRestoreJob", denied());
    scene.pass(LEASE_OVER);
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
    assert_eq!(scene.world.restore_jobs().len(), 1);
    scene.assert_clean();
}

#[tokio::test]
async fn a_restore_job_is_known_once_it_is_started() {
    let (scene, event, id) = landing().await;
    scene.invoke(event).await;
    let job = scene.world.restore_jobs().remove(0).id;
    assert_eq!(scene.validation(&id)["intent"]["restore_job_id"], *job);
    assert_eq!(scene.item(&format!("job#{job}"))["validation_id"]["S"], *id);
}

/// The function dies when RDS has taken the deletion and before it says so: it is ours all the same.
#[tokio::test]
async fn what_we_wished_to_delete_was_deleted_by_us() {
    let (scene, event, id) = landing().await;
    scene.invoke(event).await;
    scene.pass(SignedDuration::from_mins(1));
    dies(&scene, advance(&id), "RDS.DeleteDBInstance", true).await;
    scene.pass(LEASE_OVER);
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
    scene.assert_clean();
}

/// Written twice or more, and each version is locked on its own: what was said first stays, too.
#[tokio::test]
async fn every_version_of_a_record_is_locked_where_that_is_asked_for() {
    let days = 30;
    for (lock, word) in [
        (None, None),
        (Some(LockMode::Governance), Some("GOVERNANCE")),
        (Some(LockMode::Compliance), Some("COMPLIANCE")),
    ] {
        let (mut scene, event, id) = landing().await;
        scene.app.config.records_lock = lock.map(|mode| RecordsLock {
            lasts: SignedDuration::from_hours(24 * days),
            mode,
        });
        scene.invoke(event).await;
        assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
        let versions = scene.record_versions();
        assert!(versions.len() > 1, "{versions:?}");
        for version in versions {
            let kept = version.lock.as_ref().map(|(mode, _)| mode.as_str());
            assert_eq!(kept, word);
            if let Some((_, until)) = version.lock {
                let lasts = until.duration_since(version.at);
                let wanted = SignedDuration::from_hours(24 * days);
                assert!(
                    (wanted - lasts).abs() < SignedDuration::from_secs(2),
                    "{lasts}"
                );
            }
        }
        scene.assert_clean();
    }
}

//! Promise 1: nothing that is not ours is ever touched.
//!
//! For each leg of the ownership proof there is a foreign resource that meets all other legs. Each must survive without
//! one mutating call that names it; `tests/mutants` holds the patch that removes the leg and must be noticed here.

mod adoption;
mod machines;
mod volumes;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use restore_proof_core::validation::validation_id;
use restore_proof_local_aws::{
    DbInstance, Fault, RecoveryPoint, RestoreBehaviour, RestoreJob, Times,
};
use restore_proof_tests::{ACCOUNT, DAMAGED, REGION, RESTORE_ROLE, SUBNET_GROUP, Scene, UNCHECKED};
use serde_json::json;

const COLLEAGUES_ROLE: &str = "arn:aws:iam::111122223333:role/recovery";

fn db_arn(name: &str) -> String {
    format!("arn:aws:rds:{REGION}:{ACCOUNT}:db:{name}")
}

/// The name that the first attempt of a validation plans.
fn planned(id: &str) -> String {
    format!("restore-proof-r-{id}-1")
}

/// A foreign job that ended, and its instance, created a minute after it.
fn foreign_restore(scene: &Scene, point: &str, role: &str, name: &str) -> String {
    restored_as(scene, point, role, name, db_arn(name))
}

/// The same of a job that names what it made by this ARN.
fn restored_as(scene: &Scene, point: &str, role: &str, name: &str, arn: String) -> String {
    let created_at = scene.now();
    scene.world.add_db_instance(DbInstance {
        identifier: name.to_owned(),
        created_at: Some(created_at + SignedDuration::from_secs(1)),
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbInstance::default()
    });
    scene.world.add_restore_job(RestoreJob {
        recovery_point_arn: point.to_owned(),
        iam_role_arn: role.to_owned(),
        metadata: BTreeMap::from([("DBInstanceIdentifier".to_owned(), name.to_owned())]),
        created_at,
        completed_at: Some(created_at + SignedDuration::from_secs(2)),
        created_resource_arn: Some(arn),
        ..RestoreJob::default()
    })
}

fn completed(job: &str, point: &str, name: &str) -> serde_json::Value {
    json!({
        "version": "0", "id": "1", "detail-type": "Restore Job State Change", "source": "aws.backup",
        "account": ACCOUNT, "time": "2026-11-21T00:00:00Z", "region": REGION, "resources": [point],
        "detail": { "restoreJobId": job, "status": "COMPLETED", "recoveryPointArn": point,
                    "createdResourceArn": db_arn(name), "iamRoleArn": RESTORE_ROLE, "resourceType": "RDS" },
    })
}

/// A validation whose start of the restore was never answered, until its token is forgotten: the next run looks for the
/// job among those that are there.
async fn with_forgotten_token(scene: &Scene, point: &str) -> String {
    let never = Fault::error("ServiceUnavailableException", 500).times(Times::Forever);
    let fault = scene.world.faults().fail("Backup.StartRestoreJob", never);
    let job = scene.world.copy_job_of(point).unwrap();
    scene
        .try_invoke(scene.world.copy_job_event(&job))
        .await
        .unwrap_err();
    scene.world.faults().remove(fault);
    let id = scene
        .world
        .table_items(restore_proof_tests::LEDGER)
        .iter()
        .find(|item| item["stage"]["S"] == "restoring")
        .map(|item| item["id"]["S"].as_str().unwrap().to_owned())
        .unwrap();
    scene.pass(SignedDuration::from_mins(70));
    id
}

#[tokio::test]
async fn our_own_restore_is_deleted() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let record = scene.prove(&point).await;
    assert_eq!(record["cleanup"], "deleted");
    scene.assert_clean();
}

/// Leg 1: role, recovery point, planned name and order of time all hold, but the ledger's intent is for another job.
#[tokio::test]
async fn a_job_that_the_ledger_does_not_intend_is_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    let fails = RestoreBehaviour::fails(Duration::from_secs(60), DAMAGED);
    let point = scene.backup("orders", fails);
    let id = scene.lands(&point).await;
    let foreign = foreign_restore(&scene, &point, RESTORE_ROLE, &planned(&id));
    scene.pass(SignedDuration::from_secs(30));
    scene
        .invoke(completed(&foreign, &point, &planned(&id)))
        .await;
    scene.invoke(json!({ "sweep": "lost" })).await;
    scene.sweep().await;
    scene.sweep().await;
    scene.sweep().await;
    scene.assert_untouched(&planned(&id));
    let record = scene.record(&id);
    assert_eq!(record["verdict"], "restore_failed");
    assert_eq!(
        record["cleanup"], "left_behind",
        "it has our name, so people are told"
    );
}

/// Leg 2, the role: everything else fits an intent that lost its job.
#[tokio::test]
async fn a_job_under_another_role_is_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let id = with_forgotten_token(&scene, &point).await;
    foreign_restore(&scene, &point, COLLEAGUES_ROLE, &planned(&id));
    let record = scene.close(&id).await;
    scene.assert_untouched(&planned(&id));
    assert_eq!(
        (&record["attempt"], &record["cleanup"]),
        (&json!(2), &json!("deleted")),
        "restored anew under a new name"
    );
}

/// Leg 2, the recovery point: a job under our role with the planned name restores another one.
#[tokio::test]
async fn a_job_of_another_recovery_point_is_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let other = scene.backup("invoices", RestoreBehaviour::bare());
    let id = with_forgotten_token(&scene, &point).await;
    foreign_restore(&scene, &other, RESTORE_ROLE, &planned(&id));
    let record = scene.close(&id).await;
    scene.assert_untouched(&planned(&id));
    assert_eq!(
        (&record["attempt"], &record["cleanup"]),
        (&json!(2), &json!("deleted"))
    );
}

/// Leg 3, the planned name: a job under our role of this recovery point restores under another name.
#[tokio::test]
async fn a_job_with_another_name_is_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let id = with_forgotten_token(&scene, &point).await;
    foreign_restore(&scene, &point, RESTORE_ROLE, "anna-looks-for-lost-orders");
    let record = scene.close(&id).await;
    scene.assert_untouched("anna-looks-for-lost-orders");
    assert_eq!(
        (&record["attempt"], &record["cleanup"]),
        (&json!(2), &json!("deleted"))
    );
}

/// Leg 3, what the job names: our own job names an instance of another name, created after it.
#[tokio::test]
async fn an_instance_without_the_planned_name_is_left_alone_whatever_the_job_says() {
    let scene = Scene::set(UNCHECKED).await;
    let takes = Duration::from_secs(60);
    let point = scene.backup(
        "orders",
        RestoreBehaviour::names_existing("anna-1").taking(takes),
    );
    let id = scene.lands(&point).await;
    scene.world.add_db_instance(DbInstance {
        identifier: "anna-1".to_owned(),
        created_at: Some(scene.now() + SignedDuration::from_secs(30)),
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbInstance::default()
    });
    for _ in 0..4 {
        scene.sweep().await;
    }
    scene.assert_untouched("anna-1");
    let record = scene.record(&id);
    assert_eq!(
        (&record["verdict"], &record["cleanup"]),
        (&json!("inconclusive"), &json!("left_behind"))
    );
    assert!(
        record["cleanup_reason"]
            .as_str()
            .unwrap()
            .contains("was planned"),
        "{record:#}"
    );
}

/// Leg 3, what the job names: an instance has the planned name and is new, but our job, which failed, does not name it.
#[tokio::test]
async fn an_instance_that_the_job_does_not_name_is_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    let fails = RestoreBehaviour::fails(Duration::from_secs(60), DAMAGED);
    let point = scene.backup("orders", fails);
    let id = scene.lands(&point).await;
    scene.world.add_db_instance(DbInstance {
        identifier: planned(&id),
        created_at: Some(scene.now() + SignedDuration::from_secs(30)),
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbInstance::default()
    });
    for _ in 0..4 {
        scene.sweep().await;
    }
    scene.assert_untouched(&planned(&id));
    assert_eq!(scene.record(&id)["cleanup"], "left_behind");
}

/// Leg 3, what the job names: it names an instance of another Region, and here is one of the same name.
#[tokio::test]
async fn an_instance_of_the_same_name_as_what_the_job_names_elsewhere_is_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let id = with_forgotten_token(&scene, &point).await;
    let arn = db_arn(&planned(&id)).replace(REGION, "eu-west-1");
    restored_as(&scene, &point, RESTORE_ROLE, &planned(&id), arn);
    for _ in 0..4 {
        scene.sweep().await;
    }
    scene.assert_untouched(&planned(&id));
    let record = scene.record(&id);
    assert_eq!(record["cleanup"], "left_behind", "{record:#}");
    let reason = record["cleanup_reason"].as_str().unwrap();
    assert!(reason.contains("does not name"), "{reason}");
}

/// Leg 4: the ledger, role, recovery point, job and planned name all fit, but the instance existed before the job.
#[tokio::test]
async fn an_instance_older_than_the_job_is_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    // The id does not depend on time, so that the name is known before anything has started.
    let vault = scene.app.config.vault_arn(restore_proof_tests::VAULT);
    let id = validation_id(restore_proof_tests::PREFIX, &vault, &point, None);
    let names_it = RestoreBehaviour::names_existing(&planned(&id));
    scene
        .world
        .set_restore_behaviour(&point, names_it.taking(Duration::from_secs(60)));
    assert_eq!(scene.lands(&point).await, id);
    // AWS Backup would refuse a name in use at the start: it appears, with its age, while the job runs.
    scene.world.add_db_instance(DbInstance {
        identifier: planned(&id),
        created_at: Some(scene.now() - SignedDuration::from_hours(1)),
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbInstance::default()
    });
    for _ in 0..4 {
        scene.sweep().await;
    }
    scene.assert_untouched(&planned(&id));
    let record = scene.record(&id);
    assert_eq!(
        (&record["verdict"], &record["cleanup"]),
        (&json!("inconclusive"), &json!("left_behind"))
    );
    assert!(
        record["cleanup_reason"].as_str().unwrap().contains("older"),
        "{record:#}"
    );
}

/// What was ours when it was checked may be another's when it is to be deleted: the proof is made again.
#[tokio::test]
async fn ownership_is_proved_again_before_the_deletion() {
    let scene = Scene::set(&format!("{UNCHECKED}\n")).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let id = scene.lands(&point).await;
    scene.pass(SignedDuration::from_secs(5));
    // The record cannot be written, so that the validation stays between check and deletion.
    let out = Fault::error("InternalError", 500).times(Times::Forever);
    let fault = scene.world.faults().fail("S3.PutObject", out);
    scene.deliver().await;
    assert!(
        scene.instances().contains(&planned(&id)),
        "nothing is deleted without a record"
    );
    // Somebody deletes ours and creates one of the same name from elsewhere: its creation cannot be told from ours
    // by name; here it is dated before the job.
    scene.world.add_db_instance(DbInstance {
        identifier: planned(&id),
        created_at: Some(scene.now() - SignedDuration::from_hours(2)),
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbInstance::default()
    });
    let calls = scene.world.calls().len();
    scene.world.faults().remove(fault);
    for _ in 0..4 {
        scene.sweep().await;
    }
    scene.assert_untouched_after(calls, &planned(&id));
    assert_eq!(scene.record(&id)["cleanup"], "left_behind");
}

/// A colleague's restore, by hand, from a recovery point that is validated too.
#[tokio::test]
async fn a_colleagues_restore_is_never_looked_at() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let foreign = foreign_restore(
        &scene,
        &point,
        COLLEAGUES_ROLE,
        "anna-looks-for-lost-orders",
    );
    let answer = scene
        .invoke(completed(&foreign, &point, "anna-looks-for-lost-orders"))
        .await;
    assert!(answer["ignored"].is_string(), "{answer}");
    let record = scene.prove(&point).await;
    assert_eq!(record["cleanup"], "deleted");
    scene.assert_untouched("anna-looks-for-lost-orders");
    let named = scene
        .world
        .calls()
        .iter()
        .any(|call| call.mentions("anna-looks-for-lost-orders"));
    assert!(!named, "no call of any kind names it");
}

//! Which job an intent has started, when its answer was lost: a machine's job bears no name of ours, so that it is
//! recognised by role, recovery point and network, and by being nobody else's.

use restore_proof_local_aws::StartRestore;
use restore_proof_tests::VAULT;

use super::machines::{ANNAS, assert_left, like_ours, machine_backup};
use super::*;

/// A job like ours but for this change fits no intent: the restore is begun again, and what the job made is left alone.
async fn is_not_adopted(change: impl FnOnce(&mut RestoreJob, &str)) {
    let scene = Scene::set(UNCHECKED).await;
    let point = machine_backup(&scene, RestoreBehaviour::bare());
    let other = scene.add(RecoveryPoint {
        arn: format!("arn:aws:ec2:{REGION}::image/ami-00000000000000bad"),
        ..scene.machine_point("0bad", Default::default())
    });
    let id = with_forgotten_token(&scene, &point).await;
    let mut job = like_ours(&scene, &point);
    change(&mut job, &other);
    scene.world.add_restore_job(job);
    let record = scene.close(&id).await;
    scene.assert_untouched(ANNAS);
    assert_eq!(
        (&record["attempt"], &record["cleanup"]),
        (&json!(2), &json!("deleted")),
        "restored anew"
    );
    assert_ne!(record["restored_instance_id"], ANNAS);
    assert_eq!(scene.machines(), [ANNAS], "it alone is left");
}

/// Leg 2, the role.
#[tokio::test]
async fn a_machines_job_under_another_role_is_left_alone() {
    is_not_adopted(|job, _| job.iam_role_arn = COLLEAGUES_ROLE.to_owned()).await;
}

/// Leg 2, the recovery point.
#[tokio::test]
async fn a_machines_job_of_another_recovery_point_is_left_alone() {
    is_not_adopted(|job, other| job.recovery_point_arn = other.to_owned()).await;
}

/// A job under our role, for our recovery point, that no validation knows: it may be ours, and does not say so. It is left
/// alone, nothing is restored beside it, and people are told until it is gone.
async fn is_suspected(change: impl FnOnce(&mut RestoreJob)) {
    let scene = Scene::set(UNCHECKED).await;
    let point = machine_backup(&scene, RestoreBehaviour::bare());
    let id = with_forgotten_token(&scene, &point).await;
    let mut job = like_ours(&scene, &point);
    change(&mut job);
    scene.world.add_restore_job(job);
    for _ in 0..4 {
        scene.sweep().await;
    }
    assert_left(&scene, &id, ANNAS, "may be ours");
    assert_eq!(
        scene.world.restore_jobs().len(),
        1,
        "nothing is restored beside it"
    );

    // Anna ends it; the next day it is no longer spoken of.
    let anna = scene.app.aws.ec2.terminate_instances();
    anna.instance_ids(ANNAS).send().await.unwrap();
    scene.pass(SignedDuration::from_hours(24));
    let record = scene.close(&id).await;
    assert_eq!(record["cleanup"], "already_gone", "{record:#}");
}

/// Leg 3, what was planned: the subnet.
#[tokio::test]
async fn a_machines_job_into_another_subnet_is_left_alone() {
    is_suspected(|job| {
        let other = "subnet-0f00d0000000000bb".to_owned();
        job.metadata.insert("SubnetId".to_owned(), other);
    })
    .await;
}

/// Leg 3, what was planned: the security groups.
#[tokio::test]
async fn a_machines_job_behind_another_security_group_is_left_alone() {
    is_suspected(|job| {
        let other = json!(["sg-0f00d0000000000bb"]).to_string();
        job.metadata.insert("SecurityGroupIds".to_owned(), other);
    })
    .await;
}

/// A job that AWS Backup says nothing of the network of.
#[tokio::test]
async fn a_machines_job_without_metadata_is_left_alone() {
    is_suspected(|job| job.metadata.clear()).await;
}

/// AWS Backup may give a list back in its own spelling.
#[tokio::test]
async fn our_own_job_is_adopted_however_its_lists_are_written() {
    let scene = Scene::set(UNCHECKED).await;
    let point = machine_backup(&scene, RestoreBehaviour::bare());
    let id = with_forgotten_token(&scene, &point).await;
    let mut job = like_ours(&scene, &point);
    let spaced = format!("[ {} ]", json!(restore_proof_tests::MACHINE_SECURITY_GROUP));
    job.metadata.insert("SecurityGroupIds".to_owned(), spaced);
    scene.world.add_restore_job(job);
    let record = scene.close(&id).await;
    assert_eq!(
        (&record["attempt"], &record["cleanup"]),
        (&json!(1), &json!("deleted")),
        "{record:#}"
    );
    assert_eq!(scene.world.restore_jobs().len(), 1);
}

/// A job from before the intent.
#[tokio::test]
async fn a_machines_job_from_long_before_the_intent_is_left_alone() {
    is_not_adopted(|job, _| job.created_at -= SignedDuration::from_mins(76)).await;
}

/// The start takes effect and is never answered; AWS Backup forgets the token.
fn lose_the_answer(scene: &Scene) {
    let lost = Fault::error("ServiceUnavailableException", 500)
        .after_effect()
        .times(Times::OneCall);
    scene.world.faults().fail("Backup.StartRestoreJob", lost);
}

/// A second validation of the same recovery point: somebody's wish.
fn wish(point: &str) -> serde_json::Value {
    json!({ "validate": { "recovery_point_arn": point, "backup_vault_name": VAULT, "request_id": "again" } })
}

fn ids(scene: &Scene, point: &str) -> [String; 2] {
    let vault = scene.app.config.vault_arn(VAULT);
    let id = |wish| validation_id(restore_proof_tests::PREFIX, &vault, point, wish);
    [id(None), id(Some("again"))]
}

/// Both closed, each with a machine and a job of its own, and nothing left.
async fn assert_each_has_its_own(scene: &Scene, ids: [String; 2], attempts: [u32; 2]) {
    let first = scene.close(&ids[0]).await;
    let second = scene.close(&ids[1]).await;
    for (record, attempt) in [(&first, attempts[0]), (&second, attempts[1])] {
        assert_eq!(
            (&record["attempt"], &record["cleanup"]),
            (&json!(attempt), &json!("deleted")),
            "{record:#}"
        );
    }
    let machine = |record: &serde_json::Value| {
        let id = record["restored_instance_id"].as_str().unwrap();
        assert!(id.starts_with("i-"), "{id}");
        id.to_owned()
    };
    assert_ne!(machine(&first), machine(&second));
    assert_eq!(scene.world.restore_jobs().len(), 2);
    let ended = scene.world.deletions().into_iter().map(|one| one.id);
    assert_eq!(ended.filter(|id| id.starts_with("i-")).count(), 2);
    scene.assert_clean();
}

/// What makes the others here worth anything.
#[tokio::test]
async fn our_own_job_is_adopted() {
    let scene = Scene::set(UNCHECKED).await;
    let point = machine_backup(&scene, RestoreBehaviour::bare());
    lose_the_answer(&scene);
    let event = scene
        .world
        .copy_job_event(&scene.world.copy_job_of(&point).unwrap());
    scene.try_invoke(event).await.unwrap_err();
    scene.pass(SignedDuration::from_mins(70));
    let [id, _] = ids(&scene, &point);
    let record = scene.close(&id).await;
    assert_eq!(
        (&record["attempt"], &record["cleanup"]),
        (&json!(1), &json!("deleted"))
    );
    assert_eq!(scene.world.restore_jobs().len(), 1);
    scene.assert_clean();
}

/// Two jobs of ours fit, and one is known to be another validation's.
#[tokio::test]
async fn a_job_of_another_validation_is_not_adopted() {
    let scene = Scene::set(UNCHECKED).await;
    let point = machine_backup(&scene, RestoreBehaviour::bare());
    let ids = ids(&scene, &point);
    assert_eq!(scene.lands(&point).await, ids[0]);
    lose_the_answer(&scene);
    scene.try_invoke(wish(&point)).await.unwrap_err();
    scene.pass(SignedDuration::from_mins(70));
    assert_each_has_its_own(&scene, ids, [1, 1]).await;
}

/// A job was adopted before the one that had started it heard of it: it belongs to the first that takes it.
#[tokio::test]
async fn a_job_is_not_taken_by_two_validations() {
    let scene = Scene::set(UNCHECKED).await;
    let point = machine_backup(&scene, RestoreBehaviour::bare());
    let ids = ids(&scene, &point);
    let never = Fault::error("ServiceUnavailableException", 500).times(Times::Forever);
    let fault = scene.world.faults().fail("Backup.StartRestoreJob", never);
    scene.try_invoke(wish(&point)).await.unwrap_err();
    scene.world.faults().remove(fault);
    scene.pass(SignedDuration::from_mins(49));
    lose_the_answer(&scene);
    let event = scene
        .world
        .copy_job_event(&scene.world.copy_job_of(&point).unwrap());
    scene.try_invoke(event).await.unwrap_err();
    scene.pass(SignedDuration::from_mins(2));
    let adopts = json!({ "advance": { "validation_id": ids[1] } });
    scene.invoke(adopts).await;
    let intent = &scene.validation(&ids[1])["intent"];
    let only = &scene.world.restore_jobs()[0].id;
    assert_eq!(intent["restore_job_id"], only.as_str());
    assert_each_has_its_own(&scene, ids, [2, 1]).await;
}

/// Two jobs fit, and nobody knows either: they are nobody's, and people are told.
#[tokio::test]
async fn of_two_jobs_that_fit_neither_is_ours() {
    let scene = Scene::set(UNCHECKED).await;
    let point = machine_backup(&scene, RestoreBehaviour::bare());
    lose_the_answer(&scene);
    let event = scene
        .world
        .copy_job_event(&scene.world.copy_job_of(&point).unwrap());
    scene.try_invoke(event).await.unwrap_err();
    let ours = scene.world.restore_jobs().remove(0);
    scene
        .world
        .start_restore(StartRestore {
            recovery_point_arn: point.clone(),
            iam_role_arn: RESTORE_ROLE.to_owned(),
            metadata: ours.metadata,
            idempotency_token: None,
        })
        .unwrap();
    scene.pass(SignedDuration::from_mins(70));
    for _ in 0..4 {
        scene.sweep().await;
    }
    let machines = scene.machines();
    assert_eq!(machines.len(), 2);
    for machine in machines {
        scene.assert_untouched(&machine);
    }
    let [id, _] = ids(&scene, &point);
    let record = scene.record(&id);
    assert_eq!(
        (&record["verdict"], &record["cleanup"]),
        (&json!("inconclusive"), &json!("left_behind"))
    );
    for job in scene.world.restore_jobs() {
        let reason = record["cleanup_reason"].as_str().unwrap();
        assert!(reason.contains(&job.id), "{reason}");
    }
    assert!(scene.item("slots")["held"].is_null(), "a slot is held");
    let told = scene.world.messages();
    assert_eq!(
        told.len(),
        2,
        "of the verdict and of what is left, once each: {told:#?}"
    );
}

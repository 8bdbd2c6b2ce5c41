//! The other ways in: backups of the vaults that are named for it, vault notifications of which only the id of the job is
//! trusted, and the question how a validation is.

mod hearing;
mod vaults;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use restore_proof_local_aws::{
    BackupJob, CopyJob, DbInstance, EventDelivery, Fault, Notice, RecoveryPoint, RestoreBehaviour,
    RestoreJob, Times, Vault,
};
use restore_proof_tests::{
    ACCOUNT, BACKUP_JOB_VAULT, LEDGER, REGION, RESTORE_ROLE, SUBNET_GROUP, Scene, UNCHECKED, VAULT,
};
use serde_json::{Value, json};

/// A backup of a database of the backup account itself, in this vault. Answers its ARN.
fn backup_in(scene: &Scene, vault: &str, behaviour: RestoreBehaviour) -> String {
    scene.add(RecoveryPoint {
        arn: format!("arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:awsbackup:job-stock"),
        vault: vault.to_owned(),
        source_resource_arn: format!("arn:aws:rds:{REGION}:{ACCOUNT}:db:stock"),
        source_vault_arn: None,
        behaviour,
        ..scene.point("stock")
    })
}

/// The notification that AWS Backup's topic delivers.
fn notification(scene: &Scene, notice: impl Into<Notice>) -> Value {
    let topic = format!("arn:aws:sns:{REGION}:{ACCOUNT}:vaults");
    scene.world.vault_notification(&topic, &notice.into())
}

/// The one answer to a notification of one job.
async fn notify(scene: &Scene, notice: impl Into<Notice>) -> Value {
    let answer = scene.invoke(notification(scene, notice)).await;
    let jobs = answer["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 1, "{answer}");
    jobs[0].clone()
}

fn id(answer: &Value) -> &str {
    let id = answer["validation_id"].as_str();
    id.unwrap_or_else(|| panic!("no validation: {answer}"))
}

/// The answer says that nothing is done and why, and the ledger holds no validation.
fn assert_ignored(scene: &Scene, answer: &Value, why: &str) {
    let reason = answer["ignored"].as_str().unwrap_or_default();
    assert!(reason.contains(why), "{answer} lacks {why:?}");
    assert!(scene.world.table_items(LEDGER).is_empty());
    assert_nothing_changed(scene);
}

fn assert_nothing_changed(scene: &Scene) {
    let changed: Vec<_> = scene
        .world
        .calls()
        .iter()
        .filter(|call| call.mutating)
        .map(|call| call.name())
        .collect();
    assert!(changed.is_empty(), "{changed:?}");
}

#[tokio::test]
async fn a_backup_in_a_vault_named_for_it_is_validated_once() {
    let scene = Scene::set(UNCHECKED).await;
    let point = backup_in(&scene, BACKUP_JOB_VAULT, RestoreBehaviour::bare());
    let job = scene.world.backup_job_of(&point).unwrap();
    let event = scene.world.backup_job_event(&job);
    let answer = scene.invoke(event.clone()).await;
    let record = scene.close(id(&answer)).await;
    assert_eq!(record["verdict"], "unchecked");
    assert_eq!(record["cleanup"], "deleted");
    assert_eq!(record["recovery_point_arn"], point.as_str());
    assert_eq!(record["backup_vault_name"], BACKUP_JOB_VAULT);
    assert_eq!(record["source_account"], ACCOUNT);
    assert!(record["copy_job_id"].is_null(), "there is no copy");
    // The event again, its notification, and a wish: all find the same one.
    assert_eq!(id(&scene.invoke(event).await), id(&answer));
    scene.world.add_backup_job(job.clone());
    assert_eq!(id(&notify(&scene, &job).await), id(&answer));
    let wish = json!({ "recovery_point_arn": point, "backup_vault_name": BACKUP_JOB_VAULT });
    let wished = scene.invoke(json!({ "validate": wish })).await;
    assert_eq!(id(&wished), id(&answer));
    assert_eq!(scene.world.restore_jobs().len(), 1);
    assert_eq!(scene.records().len(), 1);
    scene.assert_clean();
}

/// A backup where copies land is validated like them; one elsewhere is validated as its copy.
#[tokio::test]
async fn a_backup_in_any_other_vault_is_ignored() {
    let scene = Scene::set(UNCHECKED).await;
    let point = backup_in(&scene, VAULT, RestoreBehaviour::bare());
    let job = scene.world.backup_job_of(&point).unwrap();
    let event = scene.world.backup_job_event(&job);
    assert_eq!(scene.prove_by(&event).await["verdict"], "unchecked");
    let mut forged = event.clone();
    forged["account"] = json!("999900001111");
    let scene = Scene::set(UNCHECKED).await;
    let answer = scene.invoke(forged).await;
    assert_ignored(&scene, &answer, "it is not believed");
    for vault in ["elsewhere"] {
        let scene = Scene::set(UNCHECKED).await;
        scene.world.add_vault(Vault {
            name: vault.to_owned(),
            ..Vault::default()
        });
        let point = backup_in(&scene, vault, RestoreBehaviour::bare());
        let job = scene.world.backup_job_of(&point).unwrap();
        let why = format!("this stack does not watch vault {vault}");
        let answer = scene.invoke(scene.world.backup_job_event(&job)).await;
        assert_ignored(&scene, &answer, &why);
        scene.world.add_backup_job(job.clone());
        assert_ignored(&scene, &notify(&scene, &job).await, &why);
    }
}

#[tokio::test]
async fn a_backup_that_left_nothing_is_ignored_and_part_of_one_is_recorded() {
    for state in ["FAILED", "ABORTED", "EXPIRED", "RUNNING"] {
        let scene = Scene::set(UNCHECKED).await;
        let job = BackupJob {
            id: "A827233A-D405-4A86-A440-759FA94F34DD".to_owned(),
            state: state.to_owned(),
            vault: BACKUP_JOB_VAULT.to_owned(),
            created_at: scene.now(),
            ..BackupJob::default()
        };
        let answer = scene.invoke(scene.world.backup_job_event(&job)).await;
        assert_ignored(&scene, &answer, state);
        scene.world.add_backup_job(job.clone());
        assert_ignored(&scene, &notify(&scene, &job).await, state);
    }
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.add(RecoveryPoint {
        vault: BACKUP_JOB_VAULT.to_owned(),
        status: "PARTIAL".to_owned(),
        ..scene.point("stock")
    });
    let job = BackupJob {
        state: "PARTIAL".to_owned(),
        ..scene.world.backup_job_of(&point).unwrap()
    };
    let answer = scene.invoke(scene.world.backup_job_event(&job)).await;
    let record = scene.close(id(&answer)).await;
    let reason = record["verdict_reason"].as_str().unwrap();
    assert!(reason.contains("the recovery point is PARTIAL"), "{reason}");
    assert_eq!(record["cleanup"], "nothing_to_delete");
}

#[tokio::test]
async fn completed_with_issues_is_a_finding() {
    let scene = Scene::set(UNCHECKED).await;
    let point = backup_in(&scene, BACKUP_JOB_VAULT, RestoreBehaviour::bare());
    let job = BackupJob {
        status_message: Some("Some attributes could not be backed up".to_owned()),
        ..scene.world.backup_job_of(&point).unwrap()
    };
    let answer = scene.invoke(scene.world.backup_job_event(&job)).await;
    let record = scene.close(id(&answer)).await;
    let findings = scene.validation(id(&answer))["findings"].to_string();
    assert!(
        findings.contains("Some attributes could not be backed up"),
        "{findings}"
    );
    assert_eq!(
        record["verdict"], "unchecked",
        "it is said, not held against"
    );

    let point = scene.backup("orders", RestoreBehaviour::bare());
    let job = CopyJob {
        status_message: Some("Some tags could not be copied".to_owned()),
        ..scene.world.copy_job_of(&point).unwrap()
    };
    let answer = scene.invoke(scene.world.copy_job_event(&job)).await;
    scene.close(id(&answer)).await;
    let findings = scene.validation(id(&answer))["findings"].to_string();
    assert!(
        findings.contains("Some tags could not be copied"),
        "{findings}"
    );
}

#[tokio::test]
async fn the_sweep_finds_backups_whose_events_were_lost() {
    let scene = Scene::set(UNCHECKED).await;
    scene.invoke(json!({ "sweep": "lost" })).await;
    scene.pass(SignedDuration::from_mins(30));
    let point = backup_in(&scene, BACKUP_JOB_VAULT, RestoreBehaviour::bare());
    let answer = scene.invoke(json!({ "sweep": "lost" })).await;
    assert_eq!(answer["opened"], 1);
    scene.deliver().await;
    let job = scene.world.backup_job_of(&point).unwrap();
    let late = scene.invoke(scene.world.backup_job_event(&job)).await;
    let record = scene.close(id(&late)).await;
    assert_eq!(record["verdict"], "unchecked");
    assert_eq!(scene.world.restore_jobs().len(), 1);
}

/// A vault may receive both: it is looked through once.
#[tokio::test]
async fn a_vault_of_copies_and_backups_is_swept_once() {
    let mut scene = Scene::set(UNCHECKED).await;
    scene.app.config.backup_job_vaults = vec![VAULT.to_owned(), BACKUP_JOB_VAULT.to_owned()];
    scene.invoke(json!({ "sweep": "lost" })).await;
    let listed = scene
        .world
        .calls()
        .iter()
        .filter(|call| call.name() == "Backup.ListRecoveryPointsByBackupVault")
        .count();
    assert_eq!(listed, 2);
}

#[tokio::test]
async fn a_notification_of_a_copy_is_as_good_as_its_event() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let job = scene.world.copy_job_of(&point).unwrap();
    scene.world.add_copy_job(job.clone());
    let told = notify(&scene, &job).await;
    let record = scene.close(id(&told)).await;
    assert_eq!(record["verdict"], "unchecked");
    assert_eq!(record["copy_job_id"], job.id.as_str());
    let event = scene.invoke(scene.world.copy_job_event(&job)).await;
    assert_eq!(id(&event), id(&told));
    assert_eq!(scene.records().len(), 1);
    scene.assert_clean();
}

#[tokio::test]
async fn a_notification_of_a_failed_copy_is_recorded_with_the_words_of_aws() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let job = CopyJob {
        state: "FAILED".to_owned(),
        destination_recovery_point_arn: None,
        status_message: Some("Access denied exception while trying to list tags".to_owned()),
        ..scene.world.copy_job_of(&point).unwrap()
    };
    scene.world.add_copy_job(job.clone());
    let told = notify(&scene, &job).await;
    let record = scene.close(id(&told)).await;
    assert_eq!(record["verdict"], "copy_failed");
    let reason = record["verdict_reason"].as_str().unwrap();
    assert!(reason.contains("list tags"), "{reason}");
}

/// What the message says besides is not believed: the job is what AWS Backup says it is.
#[tokio::test]
async fn only_the_id_of_a_notification_is_trusted() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let job = CopyJob {
        state: "RUNNING".to_owned(),
        destination_recovery_point_arn: None,
        completed_at: None,
        ..scene.world.copy_job_of(&point).unwrap()
    };
    scene.world.add_copy_job(job.clone());
    let mut said = Notice::from(&job);
    said.state = "COMPLETED".to_owned();
    said.message = format!("A copy was completed. Recovery point ARN: {point}");
    let answer = notify(&scene, said).await;
    assert_ignored(&scene, &answer, "the copy job has not ended: RUNNING");
}

#[tokio::test]
async fn a_notification_of_our_restore_moves_its_validation() {
    let scene = Scene::set(UNCHECKED).await;
    let lost = EventDelivery {
        lost: true,
        ..EventDelivery::default()
    };
    let point = scene.backup("orders", RestoreBehaviour::bare().with_events(lost));
    let validation = scene.lands(&point).await;
    scene.pass(SignedDuration::from_mins(30));
    assert_eq!(scene.item(&validation)["stage"]["S"], "restoring");
    let job = scene.world.restore_jobs().remove(0);
    assert_eq!(job.status, "COMPLETED");
    let answer = notify(&scene, &job).await;
    assert_eq!(id(&answer), validation);
    assert_ne!(answer["stage"], "restoring");
    let record = scene.close(&validation).await;
    assert_eq!(record["verdict"], "unchecked");
    scene.assert_clean();
}

/// Whoever may publish to the topic can name any job: a colleague's recovery stays what it is.
#[tokio::test]
async fn a_forged_notification_of_a_foreign_restore_touches_nothing() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let name = "anna-looks-for-lost-orders";
    let created_at = scene.now();
    scene.world.add_db_instance(DbInstance {
        identifier: name.to_owned(),
        created_at: Some(created_at + SignedDuration::from_secs(1)),
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbInstance::default()
    });
    let foreign = RestoreJob {
        recovery_point_arn: point,
        iam_role_arn: RESTORE_ROLE.to_owned(),
        metadata: BTreeMap::from([("DBInstanceIdentifier".to_owned(), name.to_owned())]),
        created_at,
        completed_at: Some(created_at + SignedDuration::from_secs(2)),
        created_resource_arn: Some(format!("arn:aws:rds:{REGION}:{ACCOUNT}:db:{name}")),
        ..RestoreJob::default()
    };
    let foreign = RestoreJob {
        id: scene.world.add_restore_job(foreign.clone()),
        ..foreign
    };
    let answer = notify(&scene, &foreign).await;
    assert_ignored(&scene, &answer, "is not one of ours");
    scene.assert_untouched(name);
    // Called something else, it is no other.
    for kind in ["COPY_JOB", "BACKUP_JOB"] {
        let mut forged = Notice::from(&foreign);
        forged.event_type = kind;
        let answer = notify(&scene, forged).await;
        assert_ignored(&scene, &answer, "AWS Backup knows no");
    }
    scene.sweep().await;
    scene.assert_untouched(name);
}

/// Copy jobs belong to the account they copy from, which the function cannot ask.
#[tokio::test]
async fn a_notification_of_an_unknown_job_is_ignored_and_the_sweep_finds_the_copy() {
    let scene = Scene::set(UNCHECKED).await;
    scene.app.ledger.installed_at(scene.now()).await.unwrap();
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let job = scene.world.copy_job_of(&point).unwrap();
    let answer = notify(&scene, &job).await;
    let reason = answer["ignored"].as_str().unwrap();
    assert!(reason.contains("the sweep finds the copy"), "{reason}");
    assert_eq!(scene.records().len(), 0);
    let answer = scene.invoke(json!({ "sweep": "lost" })).await;
    assert_eq!(answer["opened"], 1);
}

/// The error of one record is answered, so that the delivery is repeated; the others are not lost by it.
#[tokio::test]
async fn an_error_about_one_job_loses_no_other() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let copy = scene.world.copy_job_of(&point).unwrap();
    let stock = backup_in(&scene, BACKUP_JOB_VAULT, RestoreBehaviour::bare());
    let backup = scene.world.backup_job_of(&stock).unwrap();
    scene.world.add_copy_job(copy.clone());
    scene.world.add_backup_job(backup.clone());
    let mut several = notification(&scene, &copy);
    let second = notification(&scene, &backup)["Records"][0].clone();
    several["Records"].as_array_mut().unwrap().push(second);
    let silent = Fault::error("ServiceUnavailableException", 500).times(Times::Forever);
    let fault = scene.world.faults().fail("Backup.DescribeCopyJob", silent);
    let error = scene.try_invoke(several.clone()).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("backup:DescribeCopyJob"),
        "{error:#}"
    );
    scene.deliver().await;
    assert_eq!(
        scene.world.restore_jobs().len(),
        1,
        "the backup is on its way"
    );
    scene.world.faults().remove(fault);
    let answer = scene.invoke(several).await;
    for job in answer["jobs"].as_array().unwrap() {
        assert_eq!(scene.close(id(job)).await["verdict"], "unchecked");
    }
    assert_eq!(scene.world.restore_jobs().len(), 2);
    assert_eq!(scene.records().len(), 2);
}

#[tokio::test]
async fn show_tells_how_a_validation_is_and_changes_nothing() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let validation = scene.lands(&point).await;
    let before = (scene.item(&validation), scene.world.calls().len());
    let wish = json!({ "show": { "validation_id": validation } });
    let shown = scene.invoke(wish.clone()).await;
    assert_eq!(scene.item(&validation), before.0);
    let asked: Vec<_> = scene.world.calls()[before.1..]
        .iter()
        .map(|call| call.name())
        .collect();
    assert_eq!(asked, ["DynamoDB.GetItem"]);
    let job = scene.world.restore_jobs().remove(0);
    assert_eq!(shown["validation_id"], validation.as_str());
    assert_eq!(shown["stage"], "restoring");
    assert_eq!(shown["attempt"], 1);
    assert!(shown["verdict"].is_null());
    assert_eq!(shown["cleanup"], "pending");
    assert_eq!(shown["recovery_point_arn"], point.as_str());
    assert_eq!(shown["restore_job_id"], job.id.as_str());
    assert_eq!(
        shown["due_at"],
        scene.validation(&validation)["due_at"],
        "when it is looked at again"
    );
    assert_eq!(shown["checks"], json!([]));
    let metadata = scene.validation(&validation)["intent"]["metadata"].clone();
    for value in metadata.as_object().unwrap().values() {
        let value = value.as_str().unwrap();
        // `5432` and `true` are in other words too.
        assert!(
            value.len() < 8 || !shown.to_string().contains(value),
            "{value} is told: {shown}"
        );
    }

    let record = scene.close(&validation).await;
    let shown = scene.invoke(wish).await;
    assert_eq!(shown["stage"], "closed");
    assert_eq!(shown["verdict"], record["verdict"]);
    assert_eq!(shown["reason"], record["verdict_reason"]);
    assert_eq!(shown["cleanup"], "deleted");
    assert!(shown["due_at"].is_null());

    let nobody = json!({ "show": { "validation_id": "0123456789abcdef0123" } });
    let answer = scene.invoke(nobody).await;
    assert_eq!(answer["unknown"], true);
}

//! Patience with an end: what hangs or is refused for good ends `inconclusive` at its deadline, and what was or may have
//! been restored is found and deleted, however late.

use std::time::Duration;

use jiff::SignedDuration;
use restore_proof_core::validation::validation_id;
use restore_proof_local_aws::{
    DbInstance, Fault, FaultKind, Machine, RecoveryPoint, RestoreBehaviour, Times,
};
use restore_proof_tests::{BUCKET, DAMAGED, PREFIX, Scene, UNCHECKED, VAULT};
use serde_json::{Value, json};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An answer that the SDK takes for final, so that no test waits for its retries.
fn denied_for_good(code: &str) -> Fault {
    Fault::error(code, 400).times(Times::Forever)
}

/// A recovery point of a database, or of a machine.
fn backup(scene: &Scene, resource_type: &str, behaviour: RestoreBehaviour) -> String {
    let point = match resource_type {
        "RDS" => scene.point("orders"),
        _ => scene.machine_point("0150a9", Machine::default()),
    };
    scene.add(RecoveryPoint { behaviour, ..point })
}

/// Lets a copy land, whatever comes of it. Answers the validation's id.
async fn try_to_land(scene: &Scene, point: &str) -> String {
    let job = scene.world.copy_job_of(point).unwrap();
    let _ = scene.try_invoke(scene.world.copy_job_event(&job)).await;
    validation_id(PREFIX, &scene.app.config.vault_arn(VAULT), point, None)
}

/// Lets so many hours pass, with a sweep in each.
async fn hours(scene: &Scene, count: u32) {
    for _ in 0..count {
        scene.pass(HOUR - SignedDuration::from_mins(5));
        scene.sweep().await;
    }
}

/// Words in the text of a column, which must be there.
fn assert_says(record: &Value, column: &str, words: &str) {
    let text = record[column].as_str().unwrap_or_default();
    assert!(text.contains(words), "{column} lacks {words:?}: {record:#}");
}

fn outcome(record: &Value) -> (&str, &str) {
    (
        record["verdict"].as_str().unwrap(),
        record["cleanup"].as_str().unwrap(),
    )
}

/// How many messages of a kind were sent.
fn told(scene: &Scene, kind: &str) -> usize {
    let messages = scene.world.messages().into_iter();
    messages
        .filter(|message| message.attributes["kind"] == kind)
        .count()
}

fn assert_one_record(scene: &Scene) {
    let mut keys = scene.world.object_keys(BUCKET);
    keys.retain(|key| key.starts_with("records/"));
    assert_eq!(keys.len(), 1, "{keys:?}");
}

/// The call is refused for good from the landing on: the verdict comes after a day and names the call; what was restored
/// is deleted once AWS lets us again.
async fn ends_at_the_deadline(resource_type: &str, faults: &[(&str, &str)], named: &str) {
    let scene = Scene::set(UNCHECKED).await;
    let behaviour = RestoreBehaviour::bare().taking(Duration::from_secs(60));
    let point = backup(&scene, resource_type, behaviour);
    for (call, code) in faults {
        scene.world.faults().fail(call, denied_for_good(code));
    }
    let id = try_to_land(&scene, &point).await;
    hours(&scene, 23).await;
    let validation = scene.validation(&id);
    assert_eq!(
        validation["verdict"],
        Value::Null,
        "{named}: {validation:#}"
    );
    assert!(
        validation["trouble"]["words"]
            .as_str()
            .unwrap()
            .contains(named),
        "{named}: {validation:#}"
    );
    hours(&scene, 3).await;
    let record = scene.record(&id);
    assert_eq!(record["verdict"], "inconclusive", "{named}: {record:#}");
    assert_says(&record, "verdict_reason", named);
    assert_says(&record, "verdict_reason", "24 hours");
    assert_eq!(told(&scene, "verdict"), 1);

    scene.world.faults().clear();
    // What met errors for long is tried every hour, what is left behind every day.
    hours(&scene, 25).await;
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "inconclusive", "{named}");
    let cleanup = record["cleanup"].as_str().unwrap();
    let restored = !scene.world.restore_jobs().is_empty();
    let expected = if restored {
        "deleted"
    } else {
        "nothing_to_delete"
    };
    assert_eq!(cleanup, expected, "{named}: {record:#}");
    assert!(scene.world.restore_jobs().len() <= 1, "{named}");
    assert_eq!(told(&scene, "verdict"), 1);
    assert_one_record(&scene);
    scene.assert_clean();
}

#[tokio::test]
async fn what_is_denied_for_good_when_a_database_lands_ends_inconclusive() {
    for (call, named) in [
        (
            "Backup.DescribeRecoveryPoint",
            "backup:DescribeRecoveryPoint",
        ),
        ("RDS.DescribeDBSnapshots", "rds:DescribeDBSnapshots"),
        (
            "Backup.GetRecoveryPointRestoreMetadata",
            "backup:GetRecoveryPointRestoreMetadata",
        ),
    ] {
        ends_at_the_deadline("RDS", &[(call, "AccessDeniedException")], named).await;
    }
}

#[tokio::test]
async fn what_is_denied_for_good_while_a_database_is_restored_ends_inconclusive() {
    for (call, code, named) in [
        // Neither a refusal nor an answer.
        (
            "Backup.StartRestoreJob",
            "Weather",
            "backup:StartRestoreJob",
        ),
        (
            "Backup.DescribeRestoreJob",
            "AccessDeniedException",
            "backup:DescribeRestoreJob",
        ),
        // A job of ours that AWS Backup does not know is not believed to be none.
        (
            "Backup.DescribeRestoreJob",
            "ResourceNotFoundException",
            "does not know restore job",
        ),
        (
            "RDS.DescribeDBInstances",
            "AccessDenied",
            "rds:DescribeDBInstances",
        ),
    ] {
        ends_at_the_deadline("RDS", &[(call, code)], named).await;
    }
}

#[tokio::test]
async fn what_is_denied_for_good_with_a_machine_ends_inconclusive() {
    for (call, named) in [
        ("EC2.DescribeImages", "ec2:DescribeImages"),
        ("EC2.DescribeInstances", "ec2:DescribeInstances"),
        ("EC2.DescribeVolumes", "ec2:DescribeVolumes"),
    ] {
        ends_at_the_deadline("EC2", &[(call, "UnauthorizedOperation")], named).await;
    }
}

/// Nothing came of hours of errors but that they are over.
#[tokio::test]
async fn what_is_mended_in_time_leaves_no_trace() {
    for call in [
        "Backup.DescribeRecoveryPoint",
        "Backup.DescribeRestoreJob",
        "RDS.DescribeDBInstances",
    ] {
        let scene = Scene::set(UNCHECKED).await;
        let point = backup(&scene, "RDS", RestoreBehaviour::bare());
        scene
            .world
            .faults()
            .fail(call, denied_for_good("AccessDenied"));
        let id = try_to_land(&scene, &point).await;
        hours(&scene, 22).await;
        scene.world.faults().clear();
        let record = scene.close(&id).await;
        assert_eq!(outcome(&record), ("unchecked", "deleted"), "{call}");
        assert_eq!(record["findings"], json!([]), "{call}");
        assert_eq!(scene.validation(&id)["trouble"], Value::Null, "{call}");
        assert_one_record(&scene);
        scene.assert_clean();
    }
}

/// Errors with something done in between are no trouble without end.
#[tokio::test]
async fn trouble_is_counted_from_the_last_run_that_got_on() {
    let scene = Scene::set(UNCHECKED).await;
    let never = RestoreBehaviour::never_ends();
    let point = backup(&scene, "RDS", never);
    let id = try_to_land(&scene, &point).await;
    let describe = "Backup.DescribeRestoreJob";
    for _ in 0..2 {
        let denied = scene
            .world
            .faults()
            .fail(describe, denied_for_good("AccessDenied"));
        hours(&scene, 20).await;
        scene.world.faults().remove(denied);
        hours(&scene, 1).await;
        assert_eq!(scene.validation(&id)["trouble"], Value::Null);
    }
    assert_eq!(scene.validation(&id)["verdict"], Value::Null);
}

/// A function that ends at the same call in every run never says so itself.
#[tokio::test]
async fn what_ends_the_function_in_every_run_ends_inconclusive() {
    let scene = Scene::set(UNCHECKED).await;
    let point = backup(&scene, "RDS", RestoreBehaviour::bare());
    let hang = Fault::once(FaultKind::Hang).times(Times::Forever);
    scene
        .world
        .faults()
        .fail("Backup.DescribeRecoveryPoint", hang);
    let job = scene.world.copy_job_of(&point).unwrap();
    let event = scene.world.copy_job_event(&job);
    for _ in 0..27 {
        let run = scene.try_invoke(event.clone());
        let died = tokio::time::timeout(Duration::from_millis(50), run).await;
        if died.is_ok() {
            break;
        }
        scene.pass(HOUR);
    }
    let id = try_to_land(&scene, &point).await;
    let record = scene.record(&id);
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    assert_says(&record, "verdict_reason", "ended in the middle of a run");
    scene.assert_clean();
}

/// A restore that goes on for two days is given up; four days later it completes, or fails.
async fn is_given_up(resource_type: &str, behaviour: RestoreBehaviour) -> (Scene, String) {
    let scene = Scene::set(UNCHECKED).await;
    let point = backup(&scene, resource_type, behaviour);
    let id = try_to_land(&scene, &point).await;
    hours(&scene, 47).await;
    assert_eq!(scene.validation(&id)["verdict"], Value::Null);
    assert!(!scene.item("slots")["held"].is_null(), "it has its place");
    hours(&scene, 30).await;
    let record = scene.record(&id);
    assert_eq!(outcome(&record), ("inconclusive", "left_behind"));
    assert_says(&record, "verdict_reason", "had not ended after 48 hours");
    assert_says(&record, "cleanup_reason", "has not ended");
    assert_eq!(
        (told(&scene, "verdict"), told(&scene, "left_behind")),
        (1, 1)
    );
    assert!(
        scene.item("slots")["held"].is_null(),
        "its place is given back: others are to be tested"
    );
    (scene, id)
}

#[tokio::test]
async fn a_restore_that_completes_after_its_verdict_is_deleted() {
    for resource_type in ["RDS", "EC2"] {
        let (scene, id) =
            is_given_up(resource_type, RestoreBehaviour::bare().taking(DAY * 4)).await;
        hours(&scene, 24).await;
        let record = scene.close(&id).await;
        assert_eq!(outcome(&record), ("inconclusive", "deleted"), "{record:#}");
        assert_eq!(scene.world.restore_jobs().len(), 1);
        assert_eq!(
            (told(&scene, "verdict"), told(&scene, "left_behind")),
            (1, 1)
        );
        assert_one_record(&scene);
        scene.assert_clean();
    }
}

/// Its event is lost: the daily look finds the end.
#[tokio::test]
async fn a_late_end_that_no_event_tells_of_is_found_within_a_day() {
    let (scene, id) = is_given_up("RDS", RestoreBehaviour::bare().taking(DAY * 4)).await;
    scene.pass(SignedDuration::from_hours(48));
    scene.world.take_events();
    scene.sweep().await;
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("inconclusive", "deleted"), "{record:#}");
    scene.assert_clean();
}

#[tokio::test]
async fn a_restore_that_fails_after_its_verdict_leaves_nothing() {
    for resource_type in ["RDS", "EC2"] {
        let fails = RestoreBehaviour::fails(DAY * 4, DAMAGED);
        let (scene, id) = is_given_up(resource_type, fails).await;
        hours(&scene, 24).await;
        let record = scene.close(&id).await;
        assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
        assert_one_record(&scene);
        scene.assert_clean();
    }
}

/// It never ends: people hear of it once, the record says so for good, and every day AWS Backup is asked again.
#[tokio::test]
async fn a_restore_that_never_ends_stays_left_behind() {
    let (scene, id) = is_given_up("RDS", RestoreBehaviour::never_ends()).await;
    scene.world.clear_calls();
    hours(&scene, 72).await;
    let asked = scene.world.calls().into_iter();
    let asked = asked.filter(|call| call.name() == "Backup.DescribeRestoreJob");
    assert!((2..=4).contains(&asked.count()), "once a day");
    assert_eq!(scene.record(&id)["cleanup"], "left_behind");
    assert_eq!(
        (told(&scene, "verdict"), told(&scene, "left_behind")),
        (1, 1)
    );
}

/// The start is never answered, and the list of jobs cannot be had until long after the verdict.
#[tokio::test]
async fn a_job_of_which_nothing_was_heard_is_found_and_cleaned_up() {
    for resource_type in ["RDS", "EC2"] {
        let scene = Scene::set(UNCHECKED).await;
        let point = backup(&scene, resource_type, RestoreBehaviour::bare());
        let faults = scene.world.faults();
        faults.fail(
            "Backup.StartRestoreJob",
            denied_for_good("Weather").after_effect(),
        );
        faults.fail("Backup.ListRestoreJobs", denied_for_good("AccessDenied"));
        let id = try_to_land(&scene, &point).await;
        hours(&scene, 40).await;
        let record = scene.record(&id);
        assert_eq!(outcome(&record), ("inconclusive", "pending"));
        assert_says(&record, "verdict_reason", "backup:ListRestoreJobs");
        assert_says(&record, "cleanup_reason", "is not known yet");
        scene.world.faults().clear();
        hours(&scene, 2).await;
        let record = scene.close(&id).await;
        assert_eq!(outcome(&record), ("inconclusive", "deleted"), "{record:#}");
        assert_eq!(scene.world.restore_jobs().len(), 1);
        assert_one_record(&scene);
        scene.assert_clean();
    }
}

/// AWS Backup forgets a job of ours: what bears the planned name is not provably ours any more. It is left alone, and
/// people are told.
#[tokio::test]
async fn what_a_forgotten_job_may_have_left_is_left_behind() {
    let scene = Scene::set(UNCHECKED).await;
    let point = backup(&scene, "RDS", RestoreBehaviour::bare());
    let forgotten = denied_for_good("ResourceNotFoundException");
    scene
        .world
        .faults()
        .fail("Backup.DescribeRestoreJob", forgotten);
    let id = try_to_land(&scene, &point).await;
    hours(&scene, 26).await;
    let record = scene.record(&id);
    assert_eq!(outcome(&record), ("inconclusive", "left_behind"));
    assert_says(&record, "cleanup_reason", "is not provably ours");
    let name = format!("{PREFIX}-r-{id}-1");
    scene.assert_untouched(&name);
    assert_eq!(told(&scene, "left_behind"), 1);

    // Somebody deletes it; the next day it is no longer spoken of.
    let rds = &scene.app.aws.rds;
    let request = rds.delete_db_instance().db_instance_identifier(&name);
    request.skip_final_snapshot(true).send().await.unwrap();
    hours(&scene, 25).await;
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    scene.assert_clean();
}

/// RDS does not say since when it exists, so that it cannot be proved ours: that, too, has an end.
#[tokio::test]
async fn what_stays_in_creation_is_left_behind_until_it_can_be_deleted() {
    let scene = Scene::set(UNCHECKED).await;
    let takes = Duration::from_secs(60);
    let point = backup(&scene, "RDS", RestoreBehaviour::bare().taking(takes));
    let id = try_to_land(&scene, &point).await;
    scene.pass(SignedDuration::from_secs(30));
    scene.pass(SignedDuration::from_secs(31));
    let restored = scene.world.db_instances().remove(0);
    scene.world.add_db_instance(DbInstance {
        status: "creating".to_owned(),
        created_at: None,
        ..restored.clone()
    });
    hours(&scene, 11).await;
    let record = scene.record(&id);
    assert_eq!(outcome(&record), ("inconclusive", "left_behind"));
    assert_says(&record, "cleanup_reason", "still being created");
    scene.world.add_db_instance(restored);
    hours(&scene, 24).await;
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("inconclusive", "deleted"));
    scene.assert_clean();
}

#[tokio::test]
async fn a_recovery_point_that_is_never_complete_ends_inconclusive() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.add(RecoveryPoint {
        status: "CREATING".to_owned(),
        ..scene.point("orders")
    });
    let id = try_to_land(&scene, &point).await;
    hours(&scene, 7 * 24 - 1).await;
    assert_eq!(scene.validation(&id)["verdict"], Value::Null);
    hours(&scene, 2).await;
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    assert_says(&record, "verdict_reason", "CREATING after 7 days");
}

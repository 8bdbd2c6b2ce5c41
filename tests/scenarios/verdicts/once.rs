//! At least once in, once out: events that are doubled, late or lost, copies that compete, and wishes.

use restore_proof_local_aws::{EventDelivery, WorldOptions};

use super::*;

fn delivered(events: EventDelivery) -> RestoreBehaviour {
    RestoreBehaviour::bare().with_events(events)
}

#[tokio::test]
async fn doubled_events_cause_one_restore_one_record_and_one_deletion() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup(
        "orders",
        delivered(EventDelivery {
            doubled: true,
            ..EventDelivery::default()
        }),
    );
    let event = scene
        .world
        .copy_job_event(&scene.world.copy_job_of(&point).unwrap());
    let (first, second, third) = tokio::join!(
        scene.try_invoke(event.clone()),
        scene.try_invoke(event.clone()),
        scene.try_invoke(event.clone()),
    );
    let id = first.unwrap()["validation_id"].as_str().unwrap().to_owned();
    for answer in [second, third] {
        assert_eq!(answer.unwrap()["validation_id"], id.as_str());
    }
    scene.close(&id).await;
    scene.invoke(event).await;
    scene.invoke(json!({ "sweep": "lost" })).await;
    scene.sweep().await;
    let record = scene.record(&id);
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert_eq!(record["attempt"], 1);
    assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 1);
    assert_eq!(scene.world.restore_jobs().len(), 1);
    assert_eq!(record_keys(&scene).len(), 1);
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 1);
    assert_eq!(scene.world.messages().len(), 1);
    scene.assert_clean();
}

#[tokio::test]
async fn the_sweep_closes_what_the_event_of_the_restore_was_lost_for() {
    let scene = Scene::set(UNCHECKED).await;
    let lost = EventDelivery {
        lost: true,
        ..EventDelivery::default()
    };
    let point = scene.backup("orders", delivered(lost));
    let record = scene.prove(&point).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert!(scene.world.take_events().is_empty());
    scene.assert_clean();
}

#[tokio::test]
async fn an_event_that_comes_after_all_is_over_changes_nothing() {
    let scene = Scene::set(UNCHECKED).await;
    let late = EventDelivery {
        late: Duration::from_secs(5 * 3600),
        ..EventDelivery::default()
    };
    let point = scene.backup("orders", delivered(late));
    let record = scene.prove(&point).await;
    scene.pass(SignedDuration::from_hours(6));
    let events = scene.world.take_events();
    assert!(!events.is_empty());
    for event in events {
        scene.invoke(event).await;
    }
    assert_eq!(scene.records(), [record]);
    assert_eq!(scene.world.restore_jobs().len(), 1);
}

#[tokio::test]
async fn the_sweep_finds_copies_that_no_event_told_of_but_not_those_before_its_time() {
    let scene = Scene::set(UNCHECKED).await;
    scene.backup("before-our-time", RestoreBehaviour::bare());
    scene.pass(SignedDuration::from_secs(5));
    assert_eq!(
        scene.invoke(json!({ "sweep": "lost" })).await,
        json!({ "opened": 0, "unknown": 0, "unknown_jobs": 0, "vaults": 0 })
    );
    scene.pass(SignedDuration::from_mins(1));
    scene.backup("orders", RestoreBehaviour::bare());
    scene.add(RecoveryPoint {
        status: "CREATING".to_owned(),
        completed_at: None,
        ..scene.point("not-yet-whole")
    });
    assert_eq!(
        scene.invoke(json!({ "sweep": "lost" })).await,
        json!({ "opened": 1, "unknown": 0, "unknown_jobs": 0, "vaults": 0 })
    );
    scene.deliver().await;
    let ids: Vec<_> = scene
        .world
        .table_items(restore_proof_tests::LEDGER)
        .into_iter()
        .filter(|item| item["stage"].is_object())
        .map(|item| item["id"]["S"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    let record = scene.close(&ids[0]).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert_eq!(
        record["source_resource_arn"],
        "arn:aws:rds:eu-central-1:222233334444:db:orders"
    );
    // The event comes after all: it is the same validation.
    let point = record["recovery_point_arn"].as_str().unwrap().to_owned();
    assert_eq!(scene.lands(&point).await, ids[0]);
    scene.invoke(json!({ "sweep": "lost" })).await;
    assert_eq!(record_keys(&scene).len(), 1);
    assert_eq!(scene.world.restore_jobs().len(), 1);
}

/// A recovery point in an air-gapped vault: its ARN is the same for all types, which AWS Backup alone can tell.
#[tokio::test]
async fn the_type_of_a_recovery_point_is_what_aws_backup_says_not_its_arn() {
    for (resource_type, words) in [
        ("RDS", "air-gapped"),
        ("EC2", "air-gapped"),
        ("DynamoDB", "type DynamoDB are not validated"),
    ] {
        let scene = Scene::set(UNCHECKED).await;
        let point = scene.add(RecoveryPoint {
            arn: "arn:aws:backup:eu-central-1:111122223333:recovery-point:55555555-2222-3333-4444-555555555555"
                .to_owned(),
            resource_type: resource_type.to_owned(),
            ..scene.point("orders")
        });
        let event = scene.world.recovery_point_event(&point).unwrap();
        let id = scene.invoke(event).await["validation_id"].clone();
        let record = scene.close(id.as_str().unwrap()).await;
        assert_eq!(record["verdict"], "not_tested", "{record:#}");
        assert_eq!(record["resource_type"], resource_type);
        let reason = record["verdict_reason"].as_str().unwrap();
        assert!(reason.contains(words), "{reason}");
        assert!(scene.world.restore_jobs().is_empty());
    }
}

/// AWS Backup may name what it makes before it is made.
#[tokio::test]
async fn a_job_that_names_its_database_while_it_runs_is_waited_for() {
    let scene = Scene::set(UNCHECKED).await;
    let mut behaviour = RestoreBehaviour::bare().taking(Duration::from_secs(3600));
    behaviour.names_early = true;
    let id = scene.lands(&scene.backup("orders", behaviour)).await;
    for _ in 0..8 {
        scene.sweep().await;
    }
    let job = scene.world.restore_jobs().remove(0);
    assert_eq!(job.status, "RUNNING");
    assert!(job.created_resource_arn.is_some());
    assert_eq!(scene.validation(&id)["stage"], "restoring");
    assert_eq!(scene.instances().len(), 1, "and it is left alone");
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    let took = record["restore_duration"].as_f64().unwrap();
    assert!(took >= 59.9, "{took} minutes");
    scene.assert_clean();
}

/// However few the ledger looks up with one call, and however few AWS Backup lists.
#[tokio::test]
async fn the_sweep_tells_what_is_known_from_what_is_not() {
    let options = WorldOptions {
        page_size: 2,
        ..WorldOptions::default()
    };
    let mut scene = Scene::with_options(UNCHECKED, options).await;
    scene.app.config.max_concurrent_restores = 5;
    scene.invoke(json!({ "sweep": "lost" })).await;
    for database in ["a", "b", "c"] {
        scene
            .lands(&scene.backup(database, RestoreBehaviour::bare()))
            .await;
    }
    scene.pass(SignedDuration::from_mins(1));
    for database in ["d", "e"] {
        scene.backup(database, RestoreBehaviour::bare());
    }
    let swept = scene.invoke(json!({ "sweep": "lost" })).await;
    assert_eq!(swept["opened"], 2);
    scene.deliver().await;
    // Hours later all is known, and of the restore jobs all but somebody else's under our role.
    scene.pass(SignedDuration::from_hours(3));
    assert_eq!(scene.world.restore_jobs().len(), 5);
    let swept = scene.invoke(json!({ "sweep": "lost" })).await;
    assert_eq!(
        (&swept["opened"], &swept["unknown_jobs"]),
        (&json!(0), &json!(0))
    );
    let mut job = scene.world.restore_jobs().remove(0);
    job.id = "11111111-2222-3333-4444-555555555555".to_owned();
    scene.world.add_restore_job(job);
    let swept = scene.invoke(json!({ "sweep": "lost" })).await;
    assert_eq!(
        (&swept["opened"], &swept["unknown_jobs"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test]
async fn only_so_many_restores_exist_at_one_time_and_all_have_their_turn() {
    let mut scene = Scene::set(UNCHECKED).await;
    scene.app.config.max_concurrent_restores = 2;
    let takes = Duration::from_secs(12 * 60);
    let mut ids = Vec::new();
    for number in 1..=6 {
        let behaviour = RestoreBehaviour::bare().taking(takes);
        let point = scene.backup(&format!("orders-{number}"), behaviour);
        ids.push(scene.lands(&point).await);
    }
    assert_eq!(scene.world.restore_jobs().len(), 2);
    let mut most = 0;
    for _ in 0..40 {
        scene.sweep().await;
        let jobs = scene.world.restore_jobs();
        let running = jobs.iter().filter(|job| job.completed_at.is_none()).count();
        most = most.max(running).max(scene.instances().len());
        if ids
            .iter()
            .all(|id| scene.item(id)["stage"]["S"] == "closed")
        {
            break;
        }
    }
    assert_eq!(most, 2);
    for id in &ids {
        let record = scene.record(id);
        assert_eq!(outcome(&record), ("unchecked", "deleted"));
        // Our waiting is told apart and never charged to the backup.
        let restore = record["restore_duration"].as_f64().unwrap();
        assert!(restore < 16.0, "{record:#}");
        assert!(record["queue_duration"].is_number(), "{record:#}");
    }
    let waited = |id: &String| scene.record(id)["queue_duration"].as_f64().unwrap();
    assert!(ids.iter().map(waited).fold(0.0, f64::max) > 20.0);
    scene.assert_clean();
}

#[tokio::test]
async fn daily_means_one_copy_of_a_resource_a_day() {
    let policy = UNCHECKED.replace("every-copy", "daily");
    let scene = Scene::set(&policy).await;
    let again = |number: u32| RecoveryPoint {
        arn: format!(
            "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-orders-{number}"
        ),
        ..scene.point("orders")
    };
    // Away from midnight, so that the copies land on one day.
    let to_noon = 36 - i64::from(scene.now().to_zoned(jiff::tz::TimeZone::UTC).hour());
    scene.pass(SignedDuration::from_hours(to_noon));
    let first = scene.lands(&scene.add(again(1))).await;
    let second = scene.lands(&scene.add(again(2))).await;
    let other = scene
        .lands(&scene.backup("invoices", RestoreBehaviour::bare()))
        .await;
    assert_eq!(outcome(&scene.close(&first).await).0, "unchecked");
    let record = scene.close(&second).await;
    assert_eq!(outcome(&record), ("not_tested", "nothing_to_delete"));
    assert_says(&record, "verdict_reason", &first);
    assert_eq!(
        outcome(&scene.close(&other).await).0,
        "unchecked",
        "another resource"
    );
    scene.pass(SignedDuration::from_hours(24));
    let next_day = scene.lands(&scene.add(again(3))).await;
    assert_eq!(outcome(&scene.close(&next_day).await).0, "unchecked");
    assert_eq!(scene.world.restore_jobs().len(), 3);
}

#[tokio::test]
async fn a_day_whose_copy_could_not_be_judged_is_left_to_the_next_copy() {
    let policy = UNCHECKED.replace("every-copy", "weekly");
    let scene = Scene::set(&policy).await;
    let quota = RestoreBehaviour::fails(
        Duration::from_secs(4),
        "Cannot exceed quota for DBInstances (Service: AmazonRDS; Error Code: InstanceQuotaExceeded)",
    );
    let first = scene.prove(&scene.backup("orders", quota)).await;
    assert_eq!(outcome(&first).0, "inconclusive");
    let second = scene.add(RecoveryPoint {
        arn: "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-orders-2".to_owned(),
        ..scene.point("orders")
    });
    let record = scene.prove(&second).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
}

#[tokio::test]
async fn a_wish_is_one_validation_and_with_a_request_id_one_more() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let wish = |request: Option<&str>| json!({ "validate": { "recovery_point_arn": point, "backup_vault_name": "central", "request_id": request } });
    let first = scene.invoke(wish(None)).await;
    let id = first["validation_id"].as_str().unwrap().to_owned();
    scene.close(&id).await;
    let again = scene.invoke(wish(None)).await;
    assert_eq!(
        (&again["validation_id"], &again["verdict"]),
        (&json!(id), &json!("unchecked"))
    );
    assert_eq!(
        scene.lands(&point).await,
        id,
        "the copy's event finds the same"
    );
    assert_eq!(scene.world.restore_jobs().len(), 1);

    let repeated = scene.invoke(wish(Some("after the migration"))).await;
    let other = repeated["validation_id"].as_str().unwrap().to_owned();
    assert_ne!(other, id);
    let twice = scene.invoke(wish(Some("after the migration"))).await;
    assert_eq!(twice["validation_id"], other.as_str());
    assert_eq!(
        outcome(&scene.close(&other).await),
        ("unchecked", "deleted")
    );
    assert_eq!(scene.world.restore_jobs().len(), 2);
    assert_eq!(record_keys(&scene).len(), 2);
    scene.assert_clean();
}

#[tokio::test]
async fn an_unknown_validation_is_ignored() {
    let scene = Scene::set(UNCHECKED).await;
    let answer = scene
        .invoke(json!({ "advance": { "validation_id": "0123456789abcdef0123" } }))
        .await;
    assert!(answer["ignored"].is_string(), "{answer}");
}

//! Waiting for a slot: in order, free of cost, and handed on at once.

use restore_proof_local_aws::WorldOptions;
use restore_proof_tests::LEDGER;

use super::*;

/// How often each operation was called since the calls were cleared.
fn calls(scene: &Scene) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for call in scene.world.calls() {
        *calls.entry(call.name()).or_default() += 1;
    }
    calls
}

/// Invokes the sweep for what is due, and nothing that it calls. A restore that runs is due by then.
async fn only_sweep(scene: &Scene) -> BTreeMap<String, usize> {
    scene.pass(SignedDuration::from_mins(11));
    scene.world.clear_calls();
    scene.invoke(json!({ "sweep": "due" })).await;
    calls(scene)
}

/// A slot is taken by a restore that takes days, and so many more wait for it.
async fn crowd(waiting: u32) -> (Scene, Vec<String>) {
    let scene = scene("concurrent_restores = 1", 4).await;
    let long = RestoreBehaviour::bare().taking(Duration::from_secs(3 * 86_400));
    let first = scene.lands(&scene.backup("orders-0", long)).await;
    let mut ids = vec![first];
    ids.extend(databases(&scene, 1..waiting + 1).await);
    (scene, ids)
}

#[tokio::test]
async fn a_sweep_costs_the_same_however_many_wait() {
    let mut costs = Vec::new();
    for waiting in [5, 50] {
        let (scene, ids) = crowd(waiting).await;
        let mut sum: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..10 {
            for (name, count) in only_sweep(&scene).await {
                *sum.entry(name).or_default() += count;
            }
            // The restore that is running is asked how it is.
            scene.deliver().await;
        }
        // A day's first event costs a refusal and a new stream; midnight may lie among these sweeps.
        let streams = sum.remove("Logs.CreateLogStream").unwrap_or_default();
        *sum.entry("Logs.PutLogEvents".to_owned()).or_default() -= streams;
        assert_eq!(stages(&scene, &ids)["landed"], waiting as usize);
        costs.push(sum);
    }
    assert_eq!(costs[0], costs[1]);
    // What is open, and the one line in which somebody waits: what is measured is read off them.
    let wanted = [
        ("DynamoDB.GetItem", 10),
        ("DynamoDB.Query", 10 * 2),
        ("Lambda.Invoke", 10),
        ("Logs.PutLogEvents", 10),
        ("S3.GetObject", 10),
    ];
    let wanted: BTreeMap<String, usize> =
        wanted.map(|(name, count)| (name.to_owned(), count)).into();
    assert_eq!(
        costs[0], wanted,
        "the one invocation is that of the restore that runs"
    );
}

#[tokio::test]
async fn who_waits_is_not_looked_at_and_a_hint_costs_nothing_of_aws_backup() {
    let (scene, ids) = crowd(3).await;
    let waiting = &ids[2];
    let since = scene.item(waiting)["due_at"].clone();
    assert_eq!(partition(&scene, waiting).unwrap(), "waiting#RDS");
    for _ in 0..5 {
        scene.sweep().await;
    }
    scene.world.clear_calls();
    scene
        .invoke(json!({ "advance": { "validation_id": waiting } }))
        .await;
    // The lease, the slot that there is none of, and that somebody still waits.
    let cost: BTreeMap<String, usize> = [
        ("DynamoDB.PutItem", 1),
        ("DynamoDB.UpdateItem", 3),
        ("S3.GetObject", 1),
    ]
    .map(|(name, count)| (name.to_owned(), count))
    .into();
    assert_eq!(calls(&scene), cost);
    assert_eq!(partition(&scene, waiting).unwrap(), "waiting#RDS");
    assert_eq!(
        scene.item(waiting)["due_at"],
        since,
        "it keeps its place in the line"
    );
    // A copy that lands where there is no slot is only written down.
    scene.world.clear_calls();
    databases(&scene, 90..91).await;
    let landed = calls(&scene);
    assert_eq!(landed.values().sum::<usize>(), 4, "{landed:?}");
    assert!(
        landed
            .keys()
            .all(|name| name.starts_with("DynamoDB.") || name.starts_with("S3.")),
        "{landed:?}"
    );
}

#[tokio::test]
async fn a_slot_that_comes_free_is_the_longest_waiting_ones_without_a_sweep() {
    let scene = scene("concurrent_restores = 1", 4).await;
    let ids = databases(&scene, 1..6).await;
    let mut order = Vec::new();
    for _ in 0..200 {
        // Only what is due is called, as the sweep would; the lines are left alone.
        scene.pass(SignedDuration::from_mins(5));
        scene.deliver().await;
        let open = scene.app.ledger.open_page(None).await.unwrap().listed;
        for one in open.into_iter().filter(|one| one.at <= scene.now()) {
            scene
                .invoke(json!({ "advance": { "validation_id": one.id } }))
                .await;
        }
        for id in held(&scene, "held") {
            if !order.contains(&id) {
                order.push(id);
            }
        }
        if stages(&scene, &ids).keys().all(|stage| stage == "closed") {
            break;
        }
    }
    assert_eq!(order, ids, "the oldest first");
    assert!(ids.iter().all(|id| verdict(&scene, id) == "unchecked"));
    scene.assert_clean();
}

#[tokio::test]
async fn the_sweep_calls_the_longest_waiting_when_nobody_hands_on() {
    let (scene, ids) = crowd(6).await;
    // Another limit, and no validation that gives a slot back.
    scene.set_policy(&limited("concurrent_restores = 4"));
    let called = only_sweep(&scene).await;
    assert_eq!(
        called["Lambda.Invoke"], 4,
        "{called:?}: the one that runs, and three that wait"
    );
    scene.deliver().await;
    let mut holders = held(&scene, "held");
    holders.sort();
    let mut wanted = ids[..4].to_vec();
    wanted.sort();
    assert_eq!(holders, wanted);
    // The stack's limit is reached; a policy that allows more changes nothing.
    scene.set_policy(&limited("concurrent_restores = 40"));
    scene.sweep().await;
    assert_eq!(held(&scene, "held").len(), 4);
}

#[tokio::test]
async fn a_slot_that_is_not_needed_goes_to_the_next_at_once() {
    let policy = limited("concurrent_restores = 1").replace("every-copy", "weekly");
    let scene = Scene::set(&policy).await;
    // Away from Monday, so that all land in one week.
    let day = scene
        .now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .weekday()
        .to_monday_zero_offset();
    scene.pass(SignedDuration::from_hours(24 * (9 - i64::from(day))));
    let copy = |number: u32| RecoveryPoint {
        arn: format!(
            "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-orders-{number}"
        ),
        ..scene.point("orders")
    };
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(scene.lands(&scene.add(copy(number))).await);
        scene.pass(SignedDuration::from_secs(1));
    }
    let other = scene.lands(&scene.backup("invoices", slow())).await;
    assert_eq!(
        stages(&scene, &ids),
        [("restoring".to_owned(), 1), ("landed".to_owned(), 7)].into()
    );
    scene.close(&ids[0]).await;
    // In the one invocation that gave the slot back.
    assert_eq!(stages(&scene, &ids), [("closed".to_owned(), 8)].into());
    assert_eq!(
        stages(&scene, std::slice::from_ref(&other)),
        [("restoring".to_owned(), 1)].into()
    );
    assert!(
        ids[1..]
            .iter()
            .all(|id| verdict(&scene, id) == "not_tested")
    );
    scene.close(&other).await;
    scene.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_come_at_once_there_are_never_more_than_may_be() {
    let scene = scene(
        "concurrent_restores = 5\nconcurrent_restores_by_type = { RDS = 3 }",
        8,
    )
    .await;
    let databases = (0..16).map(|number| scene.backup(&format!("orders-{number}"), slow()));
    let mut points: Vec<_> = databases.collect();
    points.extend((1..17).map(|number| {
        scene.add(RecoveryPoint {
            behaviour: slow(),
            ..scene.machine_point(&format!("{number:x}"), Machine::default())
        })
    }));
    let events: Vec<_> = points
        .iter()
        .map(|point| {
            scene
                .world
                .copy_job_event(&scene.world.copy_job_of(point).unwrap())
        })
        .collect();
    let landed =
        futures_util::future::join_all(events.iter().map(|event| scene.invoke(event.clone())))
            .await;
    let ids: Vec<String> = landed
        .iter()
        .map(|answer| answer["validation_id"].as_str().unwrap().to_owned())
        .collect();
    for _ in 0..120 {
        assert!(
            scene
                .world
                .restore_jobs()
                .iter()
                .filter(|job| job.completed_at.is_none())
                .count()
                <= 5
        );
        assert!(scene.instances().len() <= 3 && restores(&scene) <= 5);
        assert!(held(&scene, "held").len() <= 5 && held(&scene, "held_RDS").len() <= 3);
        if stages(&scene, &ids).keys().all(|stage| stage == "closed") {
            break;
        }
        scene.pass(SignedDuration::from_mins(5));
        scene.invoke(json!({ "sweep": "due" })).await;
        // All that is there at once, and each twice.
        let mut arrived: Vec<Value> = scene.world.take_events();
        arrived.extend(
            scene
                .world
                .take_invocations()
                .into_iter()
                .map(|(_, payload)| payload),
        );
        let twice = arrived.iter().chain(&arrived);
        futures_util::future::join_all(twice.map(|payload| scene.try_invoke(payload.clone())))
            .await;
    }
    assert!(
        ids.iter().all(|id| verdict(&scene, id) == "unchecked"),
        "{:?}",
        stages(&scene, &ids)
    );
    assert_eq!(scene.world.restore_jobs().len(), 32, "each once");
    scene.assert_clean();
}

#[tokio::test]
async fn slots_of_the_closed_and_the_unknown_are_given_back() {
    let scene = scene("", 3).await;
    let running = databases(&scene, 1..2).await.remove(0);
    let closed = scene
        .prove(&scene.backup("invoices", RestoreBehaviour::bare()))
        .await;
    let closed = closed["validation_id"].as_str().unwrap().to_owned();
    for (id, resource_type) in [(closed.as_str(), "RDS"), ("0123456789abcdef0123", "EC2")] {
        assert!(
            scene
                .app
                .ledger
                .take_slot(id, resource_type, 3, 3, scene.now())
                .await
                .unwrap()
        );
    }
    let waiting = databases(&scene, 2..4).await;
    assert_eq!(stages(&scene, &waiting), [("landed".to_owned(), 2)].into());
    scene.sweep().await;
    assert_eq!(
        stages(&scene, &waiting),
        [("landed".to_owned(), 2)].into(),
        "the slots look taken"
    );
    scene.invoke(json!({ "sweep": "lost" })).await;
    assert_eq!(
        held(&scene, "held"),
        [running],
        "who restores keeps its slot"
    );
    assert!(held(&scene, "held_EC2").is_empty());
    scene.sweep().await;
    assert_eq!(
        stages(&scene, &waiting),
        [("restoring".to_owned(), 2)].into()
    );
}

#[tokio::test]
async fn slots_that_were_taken_before_there_were_types_are_kept_and_given_back() {
    let scene = scene("", 2).await;
    let ids = databases(&scene, 1..2).await;
    // As it was written by a version that knew no types.
    let before = json!({ "id": { "S": "slots" }, "held": { "SS": [ids[0]] } });
    scene.world.put_table_item(LEDGER, &before);
    let later = databases(&scene, 2..4).await;
    assert_eq!(
        stages(&scene, &later),
        [("restoring".to_owned(), 1), ("landed".to_owned(), 1)].into()
    );
    close_all(&scene, &[ids, later].concat()).await;
    scene.assert_clean();
}

#[tokio::test]
async fn too_many_calls_put_a_validation_off_and_cost_no_second_delivery() {
    for operation in ["Backup.DescribeRecoveryPoint", "Backup.StartRestoreJob"] {
        let scene = scene("concurrent_restores = 1", 4).await;
        let throttled = Fault::once(FaultKind::Throttle).times(Times::OneCall);
        scene.world.faults().fail(operation, throttled);
        let point = scene.backup("orders", RestoreBehaviour::bare());
        let id = scene.lands(&point).await;
        assert_eq!(partition(&scene, &id).unwrap(), "open", "{operation}");
        let due: jiff::Timestamp = scene.validation(&id)["due_at"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let away = due.duration_since(scene.now()).as_secs();
        assert!((50..=300).contains(&away), "{operation}: due in {away} s");
        // What has not been planned keeps nobody from going on.
        let holds = held(&scene, "held").len();
        assert_eq!(
            holds,
            usize::from(operation == "Backup.StartRestoreJob"),
            "{operation}"
        );
        let record = scene.close(&id).await;
        assert_eq!(record["verdict"], "unchecked", "{operation}");
        assert_eq!(scene.world.restore_jobs().len(), 1);
        scene.assert_clean();
    }
}

/// Of forty copies that land together each waits some seconds for its turn at AWS Backup, and none for the next sweep.
#[tokio::test]
async fn what_aws_backup_refuses_in_a_burst_is_asked_again_in_the_same_run() {
    for operation in ["Backup.DescribeRecoveryPoint", "Backup.StartRestoreJob"] {
        let scene = scene("", 4).await;
        let throttled = Fault::once(FaultKind::Throttle).times(Times::Count(6));
        scene.world.faults().fail(operation, throttled);
        let point = scene.backup("orders", RestoreBehaviour::bare());
        let id = scene.lands(&point).await;
        assert_eq!(scene.world.faults().hits(), 6);
        assert_eq!(scene.item(&id)["stage"]["S"], "restoring", "{operation}");
        assert_eq!(scene.world.restore_jobs().len(), 1, "{operation}");
        scene.close(&id).await;
        scene.assert_clean();
    }
}

#[tokio::test]
async fn those_put_off_come_back_at_different_times() {
    let scene = scene("", 20).await;
    let throttled = Fault::once(FaultKind::Throttle).times(Times::Forever);
    let fault = scene
        .world
        .faults()
        .fail("Backup.DescribeRecoveryPoint", throttled);
    let points: Vec<_> = (0..10)
        .map(|number| scene.backup(&format!("orders-{number}"), RestoreBehaviour::bare()))
        .collect();
    let ids = futures_util::future::join_all(points.iter().map(|point| scene.lands(point))).await;
    let due: std::collections::BTreeSet<_> = ids
        .iter()
        .map(|id| scene.item(id)["due_at"]["N"].to_string())
        .collect();
    assert!(due.len() > 7, "{due:?}");
    scene.world.faults().remove(fault);
    close_all(&scene, &ids).await;
    scene.assert_clean();
}

#[tokio::test]
async fn all_that_is_due_is_called_page_by_page() {
    let options = WorldOptions {
        page_size: 7,
        ..WorldOptions::default()
    };
    let mut scene = Scene::with_options(UNCHECKED, options).await;
    scene.app.config.max_concurrent_restores = 30;
    let ids = databases(&scene, 0..30).await;
    let swept = only_sweep(&scene).await;
    assert_eq!(swept["Lambda.Invoke"], 30, "{swept:?}");
    assert_eq!(swept["DynamoDB.Query"], 5, "five pages; {swept:?}");
    close_all(&scene, &ids).await;
    scene.assert_clean();
}

/// The attribute that names the line of databases.
fn named_since(scene: &Scene) -> Value {
    scene.item("slots")["came_RDS"].clone()
}

/// Who has just come to wait may lie in the line only when its invocation ends.
#[tokio::test]
async fn an_empty_line_is_named_as_long_as_somebody_may_be_on_the_way_to_it() {
    let scene = Scene::set(UNCHECKED).await;
    let ledger = &scene.app.ledger;
    ledger.note_waiting("RDS", scene.now()).await.unwrap();
    scene.sweep().await;
    scene.pass(SignedDuration::from_mins(15));
    scene.sweep().await;
    assert!(!named_since(&scene).is_null(), "after 25 minutes");
    // The line was found empty, and somebody has come since.
    scene.pass(SignedDuration::from_mins(10));
    let come = scene.now() - SignedDuration::from_mins(1);
    ledger.note_waiting("RDS", come).await.unwrap();
    ledger.strike_off("RDS", scene.now()).await.unwrap();
    assert!(!named_since(&scene).is_null(), "somebody has just come");
    scene.pass(SignedDuration::from_mins(30));
    scene.sweep().await;
    assert!(named_since(&scene).is_null(), "nobody has come for long");
}

#[tokio::test]
async fn a_line_that_is_not_named_is_found_by_the_hourly_sweep() {
    let (scene, ids) = crowd(1).await;
    let slots = json!({ "id": { "S": "slots" }, "held": { "SS": [ids[0]] }, "held_RDS": { "SS": [ids[0]] } });
    scene.world.put_table_item(LEDGER, &slots);
    scene.invoke(json!({ "sweep": "lost" })).await;
    assert!(!named_since(&scene).is_null());
    // Another limit: the sweep calls who waits in the lines that are named.
    scene.set_policy(&limited("concurrent_restores = 2"));
    scene.sweep().await;
    assert_eq!(held(&scene, "held").len(), 2);
}

/// Validates so many databases that land one after the other. Answers the calls of each, on average, without those of
/// the sweeps.
async fn calls_of_each(copies: u32, slots: u32) -> f64 {
    let mut scene = Scene::set(UNCHECKED).await;
    scene.app.config.max_concurrent_restores = slots;
    let ids = databases(&scene, 0..copies).await;
    let mut sweeps = 0;
    while stages(&scene, &ids).keys().any(|stage| stage != "closed") {
        scene.pass(SignedDuration::from_mins(5));
        let before = scene.world.calls().len();
        scene.invoke(json!({ "sweep": "due" })).await;
        sweeps += scene.world.calls().len() - before;
        scene.deliver().await;
    }
    assert_eq!(
        scene.world.restore_jobs().len(),
        copies as usize,
        "each once"
    );
    scene.assert_clean();
    (scene.world.calls().len() - sweeps) as f64 / f64::from(copies)
}

#[tokio::test]
async fn a_turn_that_is_waited_for_costs_a_few_calls_more_however_long_the_line() {
    let at_once = calls_of_each(8, 8).await;
    let short = calls_of_each(8, 2).await;
    let long = calls_of_each(32, 2).await;
    println!(
        "calls of a validation: {at_once:.1}; that waits with 6 others: {short:.1}; with 30: {long:.1}"
    );
    assert!(
        short > at_once && short < at_once + 15.0,
        "{at_once} {short}"
    );
    // The first two do not wait, which counts for less among more.
    assert!((long - short).abs() < 3.0, "{short} {long}");
}

//! One bad vault spoils no other; a vault that nobody names is reported; and the gauges that the alarms rest on.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use restore_proof_function::App;
use restore_proof_local_aws::alarm::{Alarm, AlarmState};
use restore_proof_local_aws::{
    DbSubnetGroup, Fault, RecoveryPoint, RestoreBehaviour, Table, Times, Vault,
};
use restore_proof_tests::{LEDGER, LOG_GROUP, PREFIX, Scene, UNCHECKED, VAULT, VPC, alarms, root};
use serde_json::{Value, json};

async fn sweep_lost(scene: &Scene) -> Value {
    let answer = scene.invoke(json!({ "sweep": "lost" })).await;
    scene.deliver().await;
    answer
}

/// So many hours in which nothing happens but the sweeps.
async fn hours(scene: &Scene, many: usize) {
    for _ in 0..many {
        scene.pass(SignedDuration::from_hours(1));
        scene.invoke(json!({ "sweep": "due" })).await;
        scene.deliver().await;
        sweep_lost(scene).await;
    }
}

/// A metric's values in the records log, without dimensions, and when each was measured.
fn measured(scene: &Scene, metric: &str) -> Vec<(Timestamp, f64)> {
    let events = scene.world.log_events(LOG_GROUP).into_iter();
    let values = events.filter_map(|logged| {
        let event: Value = serde_json::from_str(&logged.message).unwrap();
        let directives = event["_aws"]["CloudWatchMetrics"].as_array()?.clone();
        let is_told = directives.iter().any(|directive| {
            let mut metrics = directive["Metrics"].as_array().unwrap().iter();
            directive["Dimensions"] == json!([[]]) && metrics.any(|one| one["Name"] == metric)
        });
        let at = Timestamp::from_millisecond(logged.timestamp_ms).unwrap();
        event[metric]
            .as_f64()
            .filter(|_| is_told)
            .map(|value| (at, value))
    });
    values.collect()
}

fn last(scene: &Scene, metric: &str) -> f64 {
    let values = measured(scene, metric);
    values
        .last()
        .unwrap_or_else(|| panic!("{metric} is never measured"))
        .1
}

fn alarm(name: &str) -> Alarm {
    let mut all = alarms().into_iter();
    all.find(|alarm| alarm.name == name).unwrap()
}

/// On what an alarm rings between two points in time, as the scene's metrics are.
fn rings(scene: &Scene, name: &str, from: Timestamp) -> Vec<AlarmState> {
    let alarm = alarm(name);
    let points = measured(scene, &alarm.metric);
    let rings = alarm.rings(&points, from, scene.now());
    rings.into_iter().map(|(_, state)| state).collect()
}

/// The sweep measures that all is well, and no alarm that rests on it rings, from this point in time on.
pub(super) async fn assert_quiet(scene: &Scene, from: Timestamp) {
    scene.pass(SignedDuration::from_mins(5));
    sweep_lost(scene).await;
    for name in QUIET {
        let rung = rings(scene, name, from);
        assert!(
            rung.iter().all(|state| *state == AlarmState::Ok),
            "{name}: {rung:?}"
        );
    }
    assert_eq!(last(scene, "OldestWithoutVerdictHours"), 0.0);
    assert_eq!(last(scene, "UnreadableVaults"), 0.0);
    assert_eq!(told(scene).len(), 0);
}

/// The alarms on what the sweep sees of the vaults.
const QUIET: [&str; 4] = [
    "WithoutVerdictAlarm",
    "NothingLandsAlarm",
    "UnreadableVaultsAlarm",
    "UntestedAlarm",
];

/// The subjects of messages about vaults.
fn told(scene: &Scene) -> Vec<String> {
    let messages = scene.world.messages().into_iter();
    messages
        .filter(|message| message.attributes["kind"] == "vault")
        .map(|message| message.subject.unwrap())
        .collect()
}

/// A scene whose function watches one more vault.
async fn scene_watching(vault: &str) -> Scene {
    let mut scene = Scene::set(UNCHECKED).await;
    scene.app.config.vaults.push(vault.to_owned());
    sweep_lost(&scene).await;
    scene.pass(SignedDuration::from_mins(1));
    scene
}

fn refusing(name: &str) -> Vault {
    Vault {
        name: name.to_owned(),
        refuses: true,
        ..Vault::default()
    }
}

#[tokio::test]
async fn of_two_vaults_one_that_is_missing_or_refuses_spoils_nothing() {
    for (vault, words) in [
        ("centrall", "does not exist in this account and Region"),
        ("closed", "exists, and its access policy refuses"),
    ] {
        let started = Timestamp::now();
        let mut scene = Scene::set(UNCHECKED).await;
        scene.world.add_vault(refusing("closed"));
        scene.app.config.vaults.push(vault.to_owned());
        scene.app.config.unwatched_vaults.push("closed".to_owned());
        sweep_lost(&scene).await;
        scene.pass(SignedDuration::from_mins(1));
        scene.backup("orders", RestoreBehaviour::bare());
        let answer = sweep_lost(&scene).await;
        assert_eq!(
            (&answer["opened"], &answer["vaults"]),
            (&json!(1), &json!(1))
        );
        hours(&scene, 3).await;
        let record = scene.records().remove(0);
        assert_eq!(
            (scene.records().len(), &record["verdict"]),
            (1, &json!("unchecked"))
        );
        let told = told(&scene);
        assert_eq!(told.len(), 1, "once: {told:?}");
        assert!(
            told[0].starts_with(&format!("VAULT: {vault} {words}")),
            "{told:?}"
        );
        assert_eq!(last(&scene, "UnreadableVaults"), 1.0);
        let rung = rings(&scene, "UnreadableVaultsAlarm", started);
        assert_eq!(rung, [AlarmState::Ok, AlarmState::Alarm]);
        // Mended, the alarm ends.
        scene.app.config.vaults.retain(|name| name == VAULT);
        hours(&scene, 3).await;
        let rung = rings(&scene, "UnreadableVaultsAlarm", started);
        assert_eq!(rung.last(), Some(&AlarmState::Ok));
    }
}

/// Where the vaults cannot be listed, nothing tells whether a vault is missing or refuses, and that is an error of ours.
#[tokio::test]
async fn what_cannot_be_told_is_said_so() {
    let mut scene = Scene::set(UNCHECKED).await;
    scene.app.config.vaults.push("centrall".to_owned());
    let denied = Fault::error("AccessDeniedException", 403).times(Times::Forever);
    let faults = scene.world.faults();
    faults.fail("Backup.ListBackupVaults", denied.clone());
    let sweep = json!({ "sweep": "lost" });
    let error = scene.try_invoke(sweep.clone()).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("ListBackupVaults"),
        "{error:#}"
    );
    let told_of = told(&scene);
    assert_eq!(told_of.len(), 1);
    let words =
        "VAULT: centrall does not exist in this account and Region, or its access policy refuses";
    assert_eq!(told_of[0], words);
    assert!(
        measured(&scene, "UnnamedVaults").is_empty(),
        "it is not known"
    );
    assert_eq!(last(&scene, "UnreadableVaults"), 1.0);

    // What IAM refuses says nothing of the vault.
    let scene = Scene::set(UNCHECKED).await;
    let list = "Backup.ListRecoveryPointsByBackupVault";
    scene.world.faults().fail(list, denied);
    let error = scene.try_invoke(sweep).await.unwrap_err();
    assert!(!format!("{error:#}").contains("access policy"), "{error:#}");
    assert!(told(&scene).is_empty());
    assert_eq!(last(&scene, "UnreadableVaults"), 0.0);
}

/// A vault of which AWS Backup does not answer is an error, after all the rest was done.
#[tokio::test]
async fn a_vault_that_does_not_answer_keeps_no_other_waiting() {
    let scene = scene_watching("another").await;
    scene.world.add_vault(Vault {
        name: "another".to_owned(),
        ..Vault::default()
    });
    scene.backup("orders", RestoreBehaviour::bare());
    // The vaults are asked in the order of their names, and this is the first.
    let silent = Fault::error("ServiceUnavailableException", 500).times(Times::OneCall);
    let list = "Backup.ListRecoveryPointsByBackupVault";
    scene.world.faults().fail(list, silent);
    let error = scene
        .try_invoke(json!({ "sweep": "lost" }))
        .await
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("ListRecoveryPoints"),
        "{error:#}"
    );
    scene.deliver().await;
    assert_eq!(scene.world.restore_jobs().len(), 1, "of the other vault");
    assert_eq!(
        measured(&scene, "UnknownResources").len(),
        2,
        "the network was looked at"
    );
}

#[tokio::test]
async fn who_asks_for_a_validation_hears_at_once_that_the_vault_is_not_there() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    // What somebody typed, of a recovery point that is there.
    let case =
        std::fs::read_to_string(root().join("tests/cases/36-validate-vault-with-a-typo.json"));
    let mut wish: Value = serde_json::from_str(&case.unwrap()).unwrap();
    wish["validate"]["recovery_point_arn"] = json!(point);
    let answer = scene.invoke(wish).await;
    let why =
        "vault centrall does not exist in this account and Region, or its access policy refuses";
    super::assert_ignored(&scene, &answer, why);
    assert!(
        answer["ignored"]
            .as_str()
            .unwrap()
            .contains("Insufficient privileges")
    );
}

/// The event of a copy in a vault that refuses: its record says what is wrong, in words that lead somewhere.
#[tokio::test]
async fn a_copy_in_a_vault_that_refuses_ends_in_a_record_that_says_so() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let event = scene.world.recovery_point_event(&point).unwrap();
    scene.world.add_vault(refusing(VAULT));
    let error = scene.try_invoke(event).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("or its access policy refuses"),
        "{error:#}"
    );
    for _ in 0..40 {
        scene.pass(SignedDuration::from_mins(55));
        scene.sweep().await;
    }
    let record = scene.records().remove(0);
    assert_eq!(record["verdict"], "inconclusive");
    let reason = record["verdict_reason"].as_str().unwrap();
    assert!(reason.contains("vault central does not exist"), "{reason}");
}

#[tokio::test]
async fn a_vault_that_receives_points_and_that_nobody_names_is_told_of_once() {
    let mut scene = Scene::set(UNCHECKED).await;
    for name in ["forgotten", "empty", "old", "left-alone"] {
        scene.world.add_vault(Vault {
            name: name.to_owned(),
            ..Vault::default()
        });
    }
    scene.app.config.unwatched_vaults = vec!["left-alone".to_owned()];
    for (vault, days) in [("forgotten", 0), ("old", 9), ("left-alone", 0)] {
        scene.add(RecoveryPoint {
            vault: vault.to_owned(),
            created_at: scene.now() - SignedDuration::from_hours(24 * days + 1),
            ..scene.point(vault)
        });
    }
    for _ in 0..3 {
        assert_eq!(sweep_lost(&scene).await["vaults"], 1);
        assert_eq!(last(&scene, "UnnamedVaults"), 1.0);
        scene.pass(SignedDuration::from_hours(1));
    }
    assert_eq!(
        told(&scene),
        [
            "VAULT: forgotten received recovery points in the last seven days, and nobody validates them here"
        ]
    );
    assert!(scene.records().is_empty() && scene.world.restore_jobs().is_empty());
    // Its events are no business of this stack's either.
    let point = "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-forgotten";
    let copy = scene.world.copy_job_of(point).unwrap();
    for event in [
        scene.world.copy_job_event(&copy),
        scene.world.recovery_point_event(point).unwrap(),
    ] {
        let answer = scene.invoke(event).await;
        let why = answer["ignored"].as_str().unwrap();
        assert!(
            why.contains("this stack does not watch vault forgotten"),
            "{why}"
        );
    }
    assert!(scene.records().is_empty());
}

/// Two stacks, one's name the beginning of the other's, each with its own vault: all events reach both.
#[tokio::test]
async fn two_stacks_with_names_inside_one_another_share_nothing() {
    let mut scene = Scene::set(UNCHECKED).await;
    let theirs = format!("{PREFIX}-2");
    scene.world.add_vault(Vault {
        name: "second".to_owned(),
        created_at: Some(scene.now()),
        ..Vault::default()
    });
    scene.world.add_table(Table::ledger("ledger-2"));
    scene.world.add_function(&theirs);
    scene.world.add_db_subnet_group(DbSubnetGroup {
        name: "isolated-2".to_owned(),
        vpc_id: VPC.to_owned(),
    });
    let mut config = scene.app.config.clone();
    config.name_prefix.clone_from(&theirs);
    config.ledger_table = "ledger-2".to_owned();
    config.function_name.clone_from(&theirs);
    config.vaults = vec!["second".to_owned()];
    config.backup_job_vaults = Vec::new();
    config.unwatched_vaults = vec![VAULT.to_owned()];
    config.restore_role_arn.push_str("-2");
    config.network.db_subnet_group = "isolated-2".to_owned();
    config.subnets = vec!["subnet-0150ca7ed00000002".to_owned()];
    let world = scene.world.clone();
    let second = App::new(config, scene.app.aws.clone(), Arc::new(move || world.now()));
    scene.app.config.unwatched_vaults = vec!["second".to_owned()];
    for app in [&scene.app, &second] {
        invoke(&scene, app, json!({ "sweep": "lost" })).await;
    }
    scene.pass(SignedDuration::from_mins(1));
    let takes = RestoreBehaviour::bare().taking(Duration::from_secs(2 * 3600));
    for (name, vault) in [("orders", VAULT), ("stock", "second")] {
        let point = scene.add(RecoveryPoint {
            vault: vault.to_owned(),
            behaviour: takes.clone(),
            ..scene.point(name)
        });
        let copy = scene.world.copy_job_of(&point).unwrap();
        for event in [
            scene.world.copy_job_event(&copy),
            scene.world.recovery_point_event(&point).unwrap(),
        ] {
            for app in [&scene.app, &second] {
                invoke(&scene, app, event.clone()).await;
            }
        }
    }
    for _ in 0..8 {
        scene.pass(SignedDuration::from_mins(31));
        for sweep in ["due", "lost"] {
            for app in [&scene.app, &second] {
                invoke(&scene, app, json!({ "sweep": sweep })).await;
            }
            let invocations = scene.world.take_invocations();
            for (function, payload) in invocations {
                let app = if function == theirs {
                    &second
                } else {
                    &scene.app
                };
                invoke(&scene, app, payload).await;
            }
        }
        // Restore jobs' events reach both.
        for event in scene.world.take_events() {
            for app in [&scene.app, &second] {
                invoke(&scene, app, event.clone()).await;
            }
        }
    }
    let records = scene.records();
    assert_eq!(records.len(), 2, "one of each copy: {records:#?}");
    for record in &records {
        assert_eq!(record["verdict"], "unchecked", "{record:#}");
        assert_eq!(record["cleanup"], "deleted", "{record:#}");
    }
    assert_eq!(scene.world.restore_jobs().len(), 2);
    assert!(scene.instances().is_empty());
    let messages = scene.world.messages().into_iter();
    let strange = messages.filter(|message| message.attributes["kind"] != "verdict");
    assert_eq!(strange.count(), 0, "neither takes the other's for nobody's");
    for table in [LEDGER, "ledger-2"] {
        let items = scene.world.table_items(table);
        let validations = items.iter().filter(|item| !item["document"].is_null());
        assert_eq!(validations.count(), 1, "{table}");
    }
}

async fn invoke(scene: &Scene, app: &App, payload: Value) {
    let deadline = scene.now() + SignedDuration::from_mins(15);
    let answer = restore_proof_function::handle(app, &payload, deadline).await;
    scene.watch.answered(&answer);
    answer.unwrap();
}

#[tokio::test]
async fn nothing_rings_at_deployment_and_all_is_well_rings_nothing() {
    let started = Timestamp::now();
    for alarm in alarms() {
        let until = started + SignedDuration::from_hours(24);
        let rings = alarm.rings(&[], started, until).into_iter();
        // That all is well may be said.
        let mut rings = rings.filter(|(_, state)| *state != AlarmState::Ok);
        assert_eq!(rings.next(), None, "{} rings without data", alarm.name);
    }
    let scene = Scene::set(UNCHECKED).await;
    for vault in [VAULT, restore_proof_tests::BACKUP_JOB_VAULT] {
        scene.add(RecoveryPoint {
            vault: vault.to_owned(),
            ..scene.point(&format!("before-{vault}"))
        });
    }
    sweep_lost(&scene).await;
    for day in 0..3 {
        for database in ["a", "b", "c", "d", "e"] {
            let point = scene.backup(&format!("{database}{day}"), RestoreBehaviour::bare());
            scene.lands(&point).await;
            scene.add(RecoveryPoint {
                vault: restore_proof_tests::BACKUP_JOB_VAULT.to_owned(),
                ..scene.point(&format!("{database}{day}-local"))
            });
        }
        hours(&scene, 24).await;
    }
    for name in QUIET {
        let rung = rings(&scene, name, started);
        assert!(!rung.contains(&AlarmState::Alarm), "{name}");
        assert!(!rung.contains(&AlarmState::InsufficientData), "{name}");
        assert!(
            !measured(&scene, &alarm(name).metric).is_empty(),
            "{name} has its metric"
        );
    }
}

#[tokio::test]
async fn a_copy_without_a_verdict_rings_and_so_does_the_end_of_all_sweeps() {
    let started = Timestamp::now();
    let scene = Scene::set(UNCHECKED).await;
    sweep_lost(&scene).await;
    let takes = Duration::from_secs(30 * 3600);
    let point = scene.backup("orders", RestoreBehaviour::bare().taking(takes));
    let id = scene.lands(&point).await;
    hours(&scene, 22).await;
    assert_eq!(
        rings(&scene, "WithoutVerdictAlarm", started),
        [AlarmState::Ok]
    );
    assert!((21.9..22.5).contains(&last(&scene, "OldestWithoutVerdictHours")));
    hours(&scene, 5).await;
    let rung = rings(&scene, "WithoutVerdictAlarm", started);
    assert_eq!(rung, [AlarmState::Ok, AlarmState::Alarm]);
    hours(&scene, 5).await;
    scene.close(&id).await;
    hours(&scene, 3).await;
    assert_eq!(last(&scene, "OldestWithoutVerdictHours"), 0.0);
    scene.pass(SignedDuration::from_hours(6));
    let rung = rings(&scene, "WithoutVerdictAlarm", started);
    let expected = [
        AlarmState::Ok,
        AlarmState::Alarm,
        AlarmState::Ok,
        AlarmState::InsufficientData,
    ];
    assert_eq!(rung, expected, "no sweep runs any more");
}

/// A copy is dated by its source, however late it was made; and what waits for a slot may have landed long ago.
#[tokio::test]
async fn old_copies_are_found_when_they_land_and_counted_while_they_wait() {
    let mut scene = Scene::set(UNCHECKED).await;
    scene.app.config.max_concurrent_restores = 1;
    sweep_lost(&scene).await;
    scene.pass(SignedDuration::from_mins(1));
    let takes = RestoreBehaviour::bare().taking(Duration::from_secs(40 * 24 * 3600));
    for database in ["orders", "stock"] {
        scene.add(RecoveryPoint {
            created_at: scene.now() - SignedDuration::from_hours(20 * 24),
            completed_at: Some(scene.now()),
            behaviour: takes.clone(),
            ..scene.point(database)
        });
    }
    assert_eq!(sweep_lost(&scene).await["opened"], 2);
    hours(&scene, 2).await;
    // Longer than is looked back for what landed: only the line of those who wait tells.
    scene.pass(SignedDuration::from_hours(8 * 24));
    sweep_lost(&scene).await;
    let oldest = last(&scene, "OldestWithoutVerdictHours");
    assert!(oldest > 8.0 * 24.0, "{oldest} hours");
}

#[tokio::test]
async fn an_old_vault_in_which_nothing_ever_landed_is_as_old_as_is_looked_back() {
    let scene = Scene::set(UNCHECKED).await;
    scene.world.add_vault(Vault {
        name: VAULT.to_owned(),
        ..Vault::default()
    });
    sweep_lost(&scene).await;
    assert_eq!(last(&scene, "StalestVaultHours"), 168.0);
}

#[tokio::test]
async fn a_vault_in_which_nothing_lands_any_more_rings() {
    let started = Timestamp::now();
    let mut scene = Scene::set(UNCHECKED).await;
    scene.app.config.backup_job_vaults.clear();
    scene.world.add_vault(Vault {
        name: VAULT.to_owned(),
        created_at: Some(scene.now() - SignedDuration::from_hours(1)),
        ..Vault::default()
    });
    sweep_lost(&scene).await;
    let age = last(&scene, "StalestVaultHours");
    assert!(
        (0.9..1.2).contains(&age),
        "an empty vault is as old as it is: {age}"
    );
    let point = scene.backup("orders", RestoreBehaviour::bare());
    scene.lands(&point).await;
    hours(&scene, 47).await;
    assert_eq!(
        rings(&scene, "NothingLandsAlarm", started),
        [AlarmState::Ok]
    );
    hours(&scene, 4).await;
    let rung = rings(&scene, "NothingLandsAlarm", started);
    assert_eq!(rung, [AlarmState::Ok, AlarmState::Alarm]);
    let told_of = told(&scene);
    assert_eq!(told_of.len(), 1, "{told_of:?}");
    let words = format!("VAULT: {VAULT} has received no recovery point for 48 hours");
    assert_eq!(told_of[0], words);
    let point = scene.backup("stock", RestoreBehaviour::bare());
    scene.lands(&point).await;
    hours(&scene, 3).await;
    assert_eq!(
        rings(&scene, "NothingLandsAlarm", started).last(),
        Some(&AlarmState::Ok)
    );
    // Each vault has its own age, by its name.
    let events = scene.world.log_events(LOG_GROUP).into_iter();
    let of_vault = events
        .map(|event| serde_json::from_str::<Value>(&event.message).unwrap())
        .rfind(|event| event["event"] == "vault")
        .unwrap();
    assert_eq!(of_vault["vault"], VAULT);
    assert!(of_vault["NewestPointHours"].is_number());
    assert_eq!(
        of_vault["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
        json!([["vault"]])
    );
}

/// The policy loses its rule for databases: what landed before was tested, what lands now is not.
#[tokio::test]
async fn a_growing_share_of_untested_copies_rings() {
    let started = Timestamp::now();
    let scene = Scene::set(UNCHECKED).await;
    sweep_lost(&scene).await;
    for name in ["a", "b", "c", "d"] {
        let point = scene.backup(name, RestoreBehaviour::bare());
        scene.lands(&point).await;
    }
    hours(&scene, 20).await;
    assert!(
        measured(&scene, "UntestedGrowth").is_empty(),
        "there is nothing to compare with"
    );
    hours(&scene, 10).await;
    assert_eq!(last(&scene, "UntestedShare"), 0.0);
    scene.set_policy(&UNCHECKED.replace("match = {}", "match = { resource_type = \"EC2\" }"));
    for name in ["e", "f", "g", "h"] {
        let point = scene.backup(name, RestoreBehaviour::bare());
        scene.lands(&point).await;
    }
    hours(&scene, 3).await;
    assert_eq!(last(&scene, "UntestedShare"), 100.0);
    let rung = rings(&scene, "UntestedAlarm", started);
    assert_eq!(rung, [AlarmState::Ok, AlarmState::Alarm]);
    // A rule that asks for one a week leaves out the others, and that is no growth.
    let scene = Scene::set(&UNCHECKED.replace("every-copy", "weekly")).await;
    sweep_lost(&scene).await;
    for _ in 0..6 {
        let point = scene.add(RecoveryPoint {
            arn: format!(
                "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-{}",
                scene.records().len()
            ),
            ..scene.point("orders")
        });
        scene.prove(&point).await;
    }
    hours(&scene, 2).await;
    assert_eq!(scene.records().len(), 6);
    assert!(
        measured(&scene, "UntestedShare").is_empty(),
        "of one there is no share"
    );
}

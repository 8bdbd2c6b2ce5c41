//! `credentials = "reset"` where it must come to nothing: what is not provably ours gets no password, and where none can be set
//! the validation ends with the reason and the copy is deleted. What becomes of a password is tested on real engines.

use std::time::Duration;

use jiff::SignedDuration;
use restore_proof_core::validation::validation_id;
use restore_proof_local_aws::{
    DbInstance, Fault, RecoveryPoint, RestoreBehaviour, Secret, StatusPhase, Times,
};
use restore_proof_tests::{LEDGER, LOG_GROUP, PREFIX, SUBNET_GROUP, Scene, VAULT};
use serde_json::{Value, json};

const MODIFY: &str = "RDS.ModifyDBInstance";
const RESET_KEY_SECRET: &str = "restore-proof-reset-key";

const POLICY: &str = r#"
version = "test"
[[rules]]
name = "all"
match = {}
frequency = "every-copy"
credentials = "reset"
[[rules.checks]]
name = "orders are there"
kind = "sql"
query = "select count(*) from orders"
timeout = "2s"
expect = { min = 1 }
"#;

fn asked_for_passwords(scene: &Scene) -> usize {
    let calls = scene.world.calls();
    calls.iter().filter(|call| call.name() == MODIFY).count()
}

#[track_caller]
fn assert_cannot_tell(record: &Value, words: &[&str]) {
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    assert_eq!(record["cleanup"], "deleted");
    let check = &record["checks"][0];
    assert_eq!(check["outcome"], "errored");
    let detail = check["detail"].as_str().unwrap();
    for words in words {
        assert!(detail.contains(words), "{detail:?} lacks {words:?}");
    }
}

/// Validates a copy; answers the scene and the record.
async fn prove(change: impl FnOnce(&Scene)) -> (Scene, Value) {
    let scene = Scene::set(POLICY).await;
    change(&scene);
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let record = scene.prove(&point).await;
    scene.assert_clean();
    (scene, record)
}

fn key(value: &str) -> Secret {
    Secret {
        name: RESET_KEY_SECRET.to_owned(),
        value: value.to_owned(),
    }
}

#[tokio::test]
async fn rds_refuses_the_password() {
    for code in [
        "InvalidParameterValue",
        "InvalidParameterCombination",
        "AccessDenied",
    ] {
        let (scene, record) = prove(|scene| {
            let refused = Fault::error(code, 400).times(Times::Forever);
            scene.world.faults().fail(MODIFY, refused);
        })
        .await;
        assert_cannot_tell(&record, &["RDS refuses to set a master password", code]);
        assert_eq!(asked_for_passwords(&scene), 1, "once is enough");
    }
}

#[tokio::test]
async fn without_a_key_there_is_no_password() {
    let said = "the secret that passwords are derived from";
    let missing = Fault::error("ResourceNotFoundException", 400).times(Times::Forever);
    let denied = Fault::error("AccessDeniedException", 400).times(Times::Forever);
    let silent = Fault::error("InternalServiceError", 500).times(Times::OneCall);
    for (fault, words) in [
        (missing, "ResourceNotFoundException"),
        (denied, "AccessDeniedException"),
        (silent, "InternalServiceError"),
    ] {
        let (scene, record) = prove(|scene| {
            let faults = scene.world.faults();
            faults.fail("SecretsManager.GetSecretValue", fault);
        })
        .await;
        assert_cannot_tell(&record, &[said, "could not be read", words]);
        assert_eq!(asked_for_passwords(&scene), 0);
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_not_used_and_not_quoted() {
    for value in ["", "hunter2", "hunter2-and-some-more-but-short"] {
        let (scene, record) = prove(|scene| scene.world.add_secret(key(value))).await;
        assert_cannot_tell(&record, &["holds no text of 32 characters"]);
        assert_eq!(asked_for_passwords(&scene), 0);
        let everything = format!(
            "{:?} {:?} {:?} {:?}",
            scene.records(),
            scene.world.messages(),
            scene.world.log_events(LOG_GROUP),
            scene.world.table_items(LEDGER)
        );
        assert!(!everything.contains("hunter2"), "the key shows");
    }
}

/// Nothing logs in, so that nothing needs a password.
#[tokio::test]
async fn without_sql_checks_no_password_is_set() {
    let unchecked = POLICY.split("[[rules.checks]]").next().unwrap();
    let scene = Scene::set(unchecked).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let record = scene.prove(&point).await;
    assert_eq!(record["verdict"], "unchecked");
    assert_eq!(asked_for_passwords(&scene), 0);
}

#[tokio::test]
async fn what_is_not_isolated_gets_no_password() {
    type Spoil = fn(&mut DbInstance);
    let spoil: [(&str, Spoil); 4] = [
        ("publicly accessible", |db| db.publicly_accessible = true),
        ("subnet group", |db| db.subnet_group = "default".to_owned()),
        ("security group", |db| {
            db.security_groups.push("sg-of-somebody".to_owned());
        }),
        ("encrypted", |db| db.kms_key_arn = None),
    ];
    let key = "arn:aws:kms:eu-central-1:111122223333:key/ce27a100-0000-4000-8000-000000000001";
    for (words, change) in spoil {
        let scene = Scene::set(POLICY).await;
        let takes = Duration::from_secs(60);
        let point = scene.add(RecoveryPoint {
            kms_key_arn: Some(key.to_owned()),
            behaviour: RestoreBehaviour::bare().taking(takes),
            ..scene.point("orders")
        });
        let id = scene.lands(&point).await;
        scene.pass(SignedDuration::from_secs(61));
        let mut instance = scene.world.db_instances().remove(0);
        change(&mut instance);
        scene.world.add_db_instance(instance);
        let record = scene.close(&id).await;
        assert_eq!(record["verdict"], "inconclusive", "{words}");
        assert!(record["findings"].to_string().contains(words), "{record:#}");
        assert_eq!(asked_for_passwords(&scene), 0, "{words}");
        scene.assert_clean();
    }
}

/// What a job of ours names, and what was not made by it: whose name is not the planned one, or who is older than the job.
#[tokio::test]
async fn what_is_not_ours_gets_no_password() {
    for (own_name, age) in [
        (false, SignedDuration::from_secs(-30)),
        (true, SignedDuration::from_hours(1)),
    ] {
        let scene = Scene::set(POLICY).await;
        let point = scene.backup("orders", RestoreBehaviour::bare());
        let vault = scene.app.config.vault_arn(VAULT);
        let id = validation_id(PREFIX, &vault, &point, None);
        let name = if own_name {
            format!("{PREFIX}-r-{id}-1")
        } else {
            "anna-1".to_owned()
        };
        let behaviour = RestoreBehaviour::names_existing(&name).taking(Duration::from_secs(60));
        scene.world.set_restore_behaviour(&point, behaviour);
        assert_eq!(scene.lands(&point).await, id);
        scene.world.add_db_instance(DbInstance {
            identifier: name.clone(),
            status: "available".to_owned(),
            created_at: Some(scene.now() - age),
            subnet_group: SUBNET_GROUP.to_owned(),
            ..DbInstance::default()
        });
        for _ in 0..4 {
            scene.sweep().await;
        }
        scene.assert_untouched(&name);
        assert_eq!(asked_for_passwords(&scene), 0, "{name}");
        let record = scene.record(&id);
        assert_eq!(
            (&record["verdict"], &record["cleanup"]),
            (&json!("inconclusive"), &json!("left_behind"))
        );
    }
}

/// Between the write of the wish and the next run ours has become another's: it is looked at again before anything is asked.
#[tokio::test]
async fn what_is_no_longer_ours_gets_no_password() {
    let scene = Scene::set(POLICY).await;
    let busy = Fault::error("InvalidDBInstanceState", 400).times(Times::Forever);
    let fault = scene.world.faults().fail(MODIFY, busy);
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let id = scene.lands(&point).await;
    scene.deliver().await;
    let asked = asked_for_passwords(&scene);
    assert!(asked > 0, "ours was asked for");
    scene.world.faults().remove(fault);
    let mut instance = scene.world.db_instances().remove(0);
    let name = instance.identifier.clone();
    instance.created_at = Some(scene.now() - SignedDuration::from_hours(2));
    scene.world.add_db_instance(instance);
    for _ in 0..4 {
        scene.sweep().await;
    }
    assert_eq!(asked_for_passwords(&scene), asked);
    assert!(scene.instances().contains(&name), "{name} is gone");
    assert_eq!(scene.record(&id)["cleanup"], "left_behind");
}

/// A password that was asked for is asked for once, however long RDS is busy with it, and whatever is in its way.
#[tokio::test]
async fn a_busy_instance_is_asked_once() {
    let scene = Scene::set(POLICY).await;
    let mut behaviour = RestoreBehaviour::bare();
    behaviour.instance.statuses = vec![StatusPhase {
        status: "backing-up".to_owned(),
        lasts: Duration::from_secs(20 * 60),
    }];
    behaviour.instance.master_password.takes = Duration::from_secs(20 * 60);
    let point = scene.backup("orders", behaviour);
    let hurry = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            scene.pass(SignedDuration::from_secs(5));
        }
    };
    let record = tokio::select! {
        record = Box::pin(scene.prove(&point)) => record,
        () = hurry => unreachable!("time does not end"),
    };
    // There is no server behind it.
    assert_cannot_tell(&record, &[]);
    assert_eq!(asked_for_passwords(&scene), 1);
    let prepared = record["preparation_duration"].as_f64().unwrap();
    assert!(
        prepared < 5.0,
        "it answers while RDS backs it up: {prepared} minutes"
    );
    scene.assert_clean();
}

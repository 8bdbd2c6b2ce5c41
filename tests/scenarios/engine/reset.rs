//! `credentials = "reset"`: the restored copy gets a password of our own, and nobody's secret is read.

use restore_proof_core::ceiling::Ceiling;
use std::ops::RangeInclusive;

use restore_proof_core::expectation::{CheckOutcome, Clocks};
use restore_proof_core::policy::{self, Tls};
use restore_proof_function::check::{self, Access, Certificates, Login, Target};
use restore_proof_function::reset::password;
use restore_proof_local_aws::{
    Call, ClusterBehaviour, Fault, FaultKind, InstanceBehaviour, PasswordReset, Times,
};
use restore_proof_tests::{LEDGER, LOG_GROUP, RESET_KEY, canary};

use super::*;

const MODIFY: &str = "RDS.ModifyDBInstance";

/// The operation that sets a password in the databases of a shop.
fn modify(shop: &Shop) -> &'static str {
    if shop.kind.is_cluster() {
        "RDS.ModifyDBCluster"
    } else {
        MODIFY
    }
}

fn policy_of_reset(settings: &str, checks: &[(&str, &str)]) -> String {
    policy_with("\"reset\"", settings, checks)
}

/// A class of its own: then a cluster is modified for its password alone.
const WRITER: &str = "aurora = { instance_class = \"db.t4g.medium\" }";

/// A copy under it is kept, so that it can be looked at afterwards.
fn policy_that_keeps() -> String {
    let wrong = (
        "too many",
        "query = \"select count(*) from orders\"\nexpect = { max = 1 }",
    );
    policy_of_reset(&format!("keep_failed_for = \"4h\"\n{WRITER}"), &[wrong])
}

/// A backup whose copy gets its new password so.
fn backup_with(shop: &Shop, database: &str, master_password: PasswordReset) -> String {
    let behaviour = RestoreBehaviour {
        instance: InstanceBehaviour {
            master_password: master_password.clone(),
            ..InstanceBehaviour::default()
        },
        cluster: ClusterBehaviour {
            master_password,
            ..ClusterBehaviour::default()
        },
        ..RestoreBehaviour::database(shop.engine.fresh.clone())
    };
    shop.backup_that(database, behaviour)
}

fn calls(shop: &Shop, name: &str) -> Vec<Call> {
    let mut calls = shop.scene.world.calls();
    calls.retain(|call| call.name() == name);
    calls
}

/// The password that the first attempt of a validation sets.
fn derived(id: &str) -> String {
    password(RESET_KEY.as_bytes(), id, 1)
}

/// RDS was asked for a password so often, for our copy alone; and neither the password nor the key it is derived from is
/// shown by anything. (What is recorded of a call is what a log of AWS would show of it.)
#[track_caller]
fn assert_only_rds_was_told(shop: &Shop, id: &str, times: RangeInclusive<usize>) {
    let password = derived(id);
    let scene = &shop.scene;
    let told = calls(shop, modify(shop));
    assert!(times.contains(&told.len()), "{told:#?}");
    let copy = format!("restore-proof-r-{id}-1");
    assert!(told.iter().all(|call| call.mentions(&copy)), "{told:#?}");
    for call in scene.world.calls() {
        let name = call.name();
        assert!(!call.mentions(RESET_KEY), "{name} holds the key");
        assert!(!call.mentions(&password), "{name} holds the password");
        if name == "SecretsManager.GetSecretValue" {
            assert!(call.mentions("restore-proof-reset-key"), "{call:?}");
        }
    }
    let everything = format!(
        "{:?} {:?} {:?} {:?}",
        scene.records(),
        scene.world.messages(),
        scene.world.log_events(LOG_GROUP),
        scene.world.table_items(LEDGER)
    );
    for secret in [password.as_str(), RESET_KEY, PASSWORD] {
        assert!(!everything.contains(secret), "a secret shows");
    }
}

#[tokio::test]
async fn passes_without_anybodys_secret() {
    let _for_all_cases = engines().await;
    for (kind, database) in [
        (Kind::Postgres, "reset-pg"),
        (Kind::MySql, "reset-my"),
        (Kind::AuroraPostgres, "reset-aurora-pg"),
        (Kind::AuroraMySql, "reset-aurora-my"),
    ] {
        let settings = format!("{OBJECTIVES}\n{WRITER}");
        let shop = Shop::of(kind, &policy_of_reset(&settings, &[THERE, RECENT])).await;
        shop.set_secret("of production, and of no use here");
        let point = shop.backup(database, &shop.engine.fresh);
        let record = prove(&shop, &point).await;
        assert_eq!(outcome(&record), ("passed", "deleted"), "{record:#}");
        assert_about(&record["data_age"], DATA_AGE);
        let id = record["validation_id"].as_str().unwrap();
        assert_only_rds_was_told(&shop, id, 1..=1);
        let logged = canary::logged();
        let told = format!("step Password was taken on restore-proof-r-{id}-1");
        assert!(logged.contains(&told), "{logged}");
        for secret in [derived(id).as_str(), RESET_KEY] {
            assert!(!logged.contains(secret), "{logged}");
        }
        shop.scene.assert_clean();
    }
}

/// Whether this login gets in, in words.
async fn log_in(shop: &Shop, user: &str, password: &str) -> Result<(), String> {
    let instance = shop.scene.world.db_instances().remove(0);
    let target = Target::Database {
        host: instance.host.unwrap(),
        port: instance.port,
        engine: instance.engine,
        database: None,
        settings_differ: false,
    };
    let login = Login::new(
        user.to_owned(),
        password.to_owned(),
        Some(SAMPLE_DATABASE.to_owned()),
    );
    let certificates = Certificates::Pem(shop.engine.authority.clone().into_bytes());
    let access = Access::given(Some(login), Tls::Verify, certificates).unwrap();
    let now = Timestamp::now();
    let clocks = Clocks {
        recovery_point_created: now,
        now,
    };
    let policy = policy::parse(&policy("", &[THERE])).unwrap();
    let left = Duration::from_secs(20);
    let ran = check::run(&policy.rules[0], &target, &access, clocks, left).await;
    match ran.results[0].outcome {
        CheckOutcome::Passed => Ok(()),
        _ => Err(ran.results[0].detail.at(Ceiling::Text)),
    }
}

/// The master user's password of the source is none any more; other users' passwords are left as they are.
#[tokio::test]
async fn the_password_of_production_no_longer_works() {
    let _for_all_cases = engines().await;
    for (kind, database, code) in [
        (Kind::Postgres, "reset-kept-pg", "28P01"),
        (Kind::MariaDb, "reset-kept-my", "1045"),
        (Kind::AuroraPostgres, "reset-kept-aurora", "28P01"),
    ] {
        let shop = Shop::of(kind, &policy_that_keeps()).await;
        let point = shop.backup(database, &shop.engine.fresh);
        let id = shop.restores(&point).await;
        hurried(&shop, shop.scene.deliver()).await;
        let record = shop.scene.record(&id);
        assert_eq!(outcome(&record), ("failed", "kept_until"), "{record:#}");
        let refused = log_in(&shop, MASTER_USER, PASSWORD).await.unwrap_err();
        assert!(refused.contains(code), "{refused}");
        log_in(&shop, MASTER_USER, &derived(&id)).await.unwrap();
        log_in(&shop, READER_USER, PASSWORD).await.unwrap();
        shop.scene.pass(SignedDuration::from_hours(4));
        let record = Box::pin(shop.scene.close(&id)).await;
        assert_eq!(outcome(&record), ("failed", "deleted"));
        shop.scene.assert_clean();
    }
}

fn broken(times: Times) -> Fault {
    Fault::error("InternalFailure", 500).times(times)
}

/// How many writes to the ledger there are until RDS is asked for a password, the last of them the wish.
async fn writes_until_the_password(database: &str) -> u32 {
    let shop = Shop::of(Kind::MariaDb, &policy_of_reset("", &[THERE])).await;
    let point = shop.backup(database, &shop.engine.fresh);
    let record = prove(&shop, &point).await;
    assert_eq!(outcome(&record), ("passed", "deleted"));
    let calls = shop.scene.world.calls();
    let modify = calls.iter().position(|call| call.name() == MODIFY);
    let writes = calls[..modify.unwrap()]
        .iter()
        .filter(|call| call.name() == "DynamoDB.PutItem");
    u32::try_from(writes.count()).unwrap()
}

/// The function errs at every step of the way, and the copy gets the same password again.
#[tokio::test]
async fn whatever_fails_the_same_password_is_set_again() {
    let _for_all_cases = engines().await;
    let before = Box::pin(writes_until_the_password("reset-counted")).await;
    let wish = || broken(Times::OneCall).skip(before - 1);
    let set = || broken(Times::OneCall).skip(before);
    let put = "DynamoDB.PutItem";
    let key = "SecretsManager.GetSecretValue";
    // How often RDS is told: an attempt that fails is repeated by the SDK, twice, or by the next run.
    let cases = [
        (MODIFY, broken(Times::Once), 2..=2),
        // The SDK's second attempt may meet the work of the first, and be refused; then the next run asks.
        (MODIFY, broken(Times::Once).after_effect(), 2..=3),
        (MODIFY, broken(Times::OneCall), 4..=4),
        (MODIFY, broken(Times::OneCall).after_effect(), 4..=4),
        (put, wish(), 1..=1),
        (put, wish().after_effect(), 1..=1),
        (put, set(), 2..=2),
        (put, set().after_effect(), 1..=1),
        (key, broken(Times::Once), 1..=1),
    ];
    for (number, (operation, fault, times)) in cases.into_iter().enumerate() {
        let shop = Shop::of(Kind::MariaDb, &policy_of_reset("", &[THERE])).await;
        shop.scene.world.faults().fail(operation, fault.clone());
        let point = shop.backup(&format!("reset-fault-{number}"), &shop.engine.fresh);
        let record = prove(&shop, &point).await;
        let said = format!("{operation} {fault:?}: {record:#}");
        assert!(shop.scene.world.faults().hits() > 0, "struck; {said}");
        assert_eq!(outcome(&record), ("passed", "deleted"), "{said}");
        assert_eq!(record["attempt"], 1, "{said}");
        assert_only_rds_was_told(&shop, record["validation_id"].as_str().unwrap(), times);
        shop.scene.assert_clean();
    }
}

/// The function dies in the call, or in the write that follows: nothing of it goes on.
#[tokio::test]
async fn a_function_that_dies_sets_the_same_password_again() {
    let _for_all_cases = engines().await;
    let before = Box::pin(writes_until_the_password("reset-counted-too")).await;
    let hang = || Fault::once(FaultKind::Hang).times(Times::Once);
    let cases = [
        (MODIFY, hang(), 2..=2),
        (MODIFY, hang().after_effect(), 2..=2),
        ("DynamoDB.PutItem", hang().skip(before), 2..=2),
        (
            "DynamoDB.PutItem",
            hang().skip(before).after_effect(),
            1..=1,
        ),
    ];
    for (number, (operation, fault, times)) in cases.into_iter().enumerate() {
        let shop = Shop::of(Kind::MariaDb, &policy_that_keeps()).await;
        let scene = &shop.scene;
        scene.world.faults().fail(operation, fault.clone());
        let point = shop.backup(&format!("reset-death-{number}"), &shop.engine.fresh);
        let id = shop.restores(&point).await;
        let faults = scene.world.faults();
        tokio::select! {
            () = Box::pin(scene.deliver()) => panic!("it lives: {operation} {fault:?}"),
            () = faults.hung() => {}
        }
        // Its lease ends, and the sweep comes by.
        scene.pass(SignedDuration::from_mins(20));
        for _ in 0..3 {
            hurried(&shop, scene.sweep()).await;
        }
        let record = scene.record(&id);
        let said = format!("{operation} {fault:?}: {record:#}");
        assert_eq!(outcome(&record), ("failed", "kept_until"), "{said}");
        assert_eq!(record["checks"][0]["value"], "12000", "{said}");
        log_in(&shop, MASTER_USER, &derived(&id)).await.unwrap();
        assert_only_rds_was_told(&shop, &id, times);
        scene.pass(SignedDuration::from_hours(4));
        let record = Box::pin(scene.close(&id)).await;
        assert_eq!(outcome(&record), ("failed", "deleted"), "{said}");
        scene.assert_clean();
    }
}

/// RDS shows the change late, and takes long; the time is passed while the function waits. Nothing of it is charged to the
/// backup.
#[tokio::test]
async fn a_password_that_takes_long_is_waited_for() {
    let _for_all_cases = engines().await;
    let secs = Duration::from_secs;
    let cases = [
        ("reset-unseen", secs(45), secs(5), secs(30), 1),
        // More than one run of the function may wait.
        ("reset-pending", secs(20), secs(1500), secs(1200), 10),
    ];
    for (database, unseen_for, pending_for, takes, step) in cases {
        let shop = Shop::of(
            Kind::MariaDb,
            &policy_of_reset(OBJECTIVES, &[THERE, RECENT]),
        )
        .await;
        let scene = &shop.scene;
        let reset = PasswordReset {
            unseen_for,
            pending_for,
            takes,
            fails: false,
        };
        let point = backup_with(&shop, database, reset);
        let id = shop.restores(&point).await;
        let record = tokio::select! {
            record = Box::pin(scene.close(&id)) => record,
            () = hurry(&shop, SignedDuration::from_secs(step)) => unreachable!("time does not end"),
        };
        assert_eq!(outcome(&record), ("passed", "deleted"), "{record:#}");
        let value = |name: &str| record[name].as_f64().unwrap();
        assert!(value("preparation_duration") < 0.5, "{record:#}");
        assert!(value("recovery_time") < 3.0, "{record:#}");
        assert_eq!(record["recovery_time_objective"], "met");
        assert_only_rds_was_told(&shop, &id, 1..=1);
        scene.assert_clean();
    }
}

/// Does something while time passes faster: a function that misses the change waits for it a minute.
async fn hurried<T>(shop: &Shop, doing: impl Future<Output = T>) -> T {
    tokio::select! {
        done = Box::pin(doing) => done,
        () = hurry(shop, SignedDuration::from_millis(200)) => unreachable!("time does not end"),
    }
}

/// Lets a copy land and closes its validation, hurried. Answers the record.
async fn prove(shop: &Shop, point: &str) -> Value {
    let id = shop.restores(point).await;
    hurried(shop, shop.scene.close(&id)).await
}

/// Time passes faster once RDS was asked for the password: so much every hundredth of a second.
async fn hurry(shop: &Shop, step: SignedDuration) {
    loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if !calls(shop, modify(shop)).is_empty() {
            shop.scene.pass(step);
        }
    }
}

/// RDS was done with it, and the password is none: that says nothing of the backup.
#[tokio::test]
async fn a_password_that_was_not_set_is_inconclusive() {
    let _for_all_cases = engines().await;
    for (kind, database, code) in [
        (Kind::Postgres, "reset-fails-pg", "28P01"),
        (Kind::MySql, "reset-fails-my", "1045"),
        (Kind::AuroraMySql, "reset-fails-aurora", "1045"),
    ] {
        let shop = Shop::of(kind, &policy_of_reset(WRITER, &[THERE])).await;
        let reset = PasswordReset {
            fails: true,
            ..PasswordReset::default()
        };
        let point = backup_with(&shop, database, reset);
        let record = prove(&shop, &point).await;
        assert_eq!(outcome(&record), ("inconclusive", "deleted"));
        super::login::assert_cannot_tell(&record, code);
        assert_only_rds_was_told(&shop, record["validation_id"].as_str().unwrap(), 1..=1);
        shop.scene.assert_clean();
    }
}

/// RDS is busy with the instance and says so: the next run asks again.
#[tokio::test]
async fn a_state_in_which_no_password_can_be_set_is_waited_for() {
    let shop = Shop::of(Kind::MariaDb, &policy_of_reset("", &[THERE])).await;
    let busy = Fault::error("InvalidDBInstanceState", 400).times(Times::Count(2));
    shop.scene.world.faults().fail(MODIFY, busy);
    let point = shop.backup("reset-busy", &shop.engine.fresh);
    let record = prove(&shop, &point).await;
    assert_eq!(outcome(&record), ("passed", "deleted"));
    assert_only_rds_was_told(&shop, record["validation_id"].as_str().unwrap(), 3..=3);
    shop.scene.assert_clean();
}

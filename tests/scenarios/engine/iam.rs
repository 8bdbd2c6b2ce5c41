//! `credentials = "iam"`: checks log in by a token of IAM, which RDS verifies and nobody keeps.

use restore_proof_core::ceiling::Ceiling;
use restore_proof_core::expectation::Clocks;
use restore_proof_core::policy::{self, Tls};
use restore_proof_function::check::{self, Access, Certificates, Login, Target};
use restore_proof_local_aws::engine::IAM_USER;
use restore_proof_tests::{LEDGER, LOG_GROUP, canary};

use super::*;

const KEY: &str = "EnableIAMDatabaseAuthentication";
/// A part of every token.
const OF_A_TOKEN: &str = "X-Amz-Signature";

fn policy_of_iam(settings: &str) -> String {
    policy_with("\"iam\"", settings, &[THERE, RECENT])
}

/// What the restore job was asked for of logins by IAM.
fn asked(shop: &Shop) -> String {
    shop.scene.world.restore_jobs()[0].metadata[KEY].clone()
}

#[tokio::test]
async fn passes_by_a_token_and_no_secret_is_read() {
    let _for_all_cases = engines().await;
    for (kind, database, credentials) in [
        (Kind::Postgres, "iam-pg", "\"iam\"".to_owned()),
        (Kind::MySql, "iam-my", format!("{{ iam = \"{IAM_USER}\" }}")),
        (Kind::AuroraPostgres, "iam-aurora-pg", "\"iam\"".to_owned()),
        (Kind::AuroraMySql, "iam-aurora-my", "\"iam\"".to_owned()),
    ] {
        let shop = Shop::of(kind, &policy_with(&credentials, "", &[THERE, RECENT])).await;
        let point = shop.backup(database, &shop.engine.fresh);
        let record = shop.prove(&point).await;
        assert_eq!(outcome(&record), ("passed", "deleted"), "{record:#}");
        assert_eq!(record["checks"][0]["value"], "12000");
        assert_eq!(asked(&shop), "true");
        let calls = shop.scene.world.calls();
        let secret = calls
            .iter()
            .find(|call| call.name() == "SecretsManager.GetSecretValue");
        assert!(secret.is_none(), "{secret:?}");
        let everything = format!(
            "{:?} {:?} {:?} {:?} {calls:?} {}",
            shop.scene.records(),
            shop.scene.world.messages(),
            shop.scene.world.log_events(LOG_GROUP),
            shop.scene.world.table_items(LEDGER),
            canary::logged(),
        );
        assert!(!everything.contains(OF_A_TOKEN), "a token shows");
        shop.scene.assert_clean();
    }
}

/// A member of `rds_iam` has no password, and who has one needs no token.
#[tokio::test]
async fn a_user_of_the_other_kind_is_not_let_in_and_that_is_said() {
    let _for_all_cases = engines().await;
    for (kind, database) in [(Kind::Postgres, "not-iam-pg"), (Kind::MySql, "not-iam-my")] {
        let mut shop = Shop::of(kind, &policy_of_iam("")).await;
        shop.scene.app.config.iam_database_users = vec![READER_USER.to_owned()];
        let point = shop.backup(database, &shop.engine.fresh);
        let record = shop.prove(&point).await;
        assert_eq!(outcome(&record), ("inconclusive", "deleted"), "{record:#}");
        let detail = record["checks"][0]["detail"].as_str().unwrap();
        let said = "restore_check logs in so in the source, too";
        assert!(detail.contains(said), "{detail}");
        assert!(!detail.contains(OF_A_TOKEN), "{detail}");
        shop.scene.assert_clean();
    }
}

#[tokio::test]
async fn who_is_not_named_by_the_stack_is_told_before_a_restore_is_paid_for() {
    for (users, credentials, said) in [
        ("", "\"iam\"", "IamDatabaseUsers names no user"),
        ("one,two", "\"iam\"", "does not say for whom"),
        ("one,two", "{ iam = \"three\" }", "allows one, two"),
    ] {
        let mut shop = Shop::open(&policy_with(credentials, "", &[THERE])).await;
        shop.scene.app.config.iam_database_users = users
            .split(',')
            .filter(|user| !user.is_empty())
            .map(str::to_owned)
            .collect();
        let point = shop.backup("iam-nobody", &shop.engine.fresh);
        let id = Box::pin(shop.scene.lands(&point)).await;
        let record = Box::pin(shop.scene.close(&id)).await;
        assert_eq!(record["verdict"], "inconclusive", "{record:#}");
        assert_eq!(record["fault_class"], "request");
        let reason = record["verdict_reason"].as_str().unwrap();
        assert!(reason.contains(said), "{reason}");
        assert!(shop.scene.world.restore_jobs().is_empty());
    }
}

/// Where nobody logs in by a token, the copy takes none.
#[tokio::test]
async fn a_rule_without_it_leaves_it_off() {
    let shop = Shop::open(&policy("", &[THERE])).await;
    let point = shop.backup("iam-off", &shop.engine.fresh);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("passed", "deleted"), "{record:#}");
    assert_eq!(asked(&shop), "false");
}

/// The policy's reader refuses `tls = "off"` beside a token; this holds for whatever else may come to it.
#[tokio::test]
async fn a_token_is_not_sent_without_tls() {
    let mut login = Login::new(IAM_USER.to_owned(), "token".to_owned(), None);
    login.is_token = true;
    let access = Access::given(Some(login), Tls::Off, Certificates::BuiltIn).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let now = Timestamp::now();
    let clocks = Clocks {
        recovery_point_created: now,
        now,
    };
    let policy = policy::parse(&super::policy("", &[THERE])).unwrap();
    for engine in ["postgres", "mysql"] {
        let target = Target::Database {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            engine: engine.to_owned(),
            database: Some(SAMPLE_DATABASE.to_owned()),
            settings_differ: false,
        };
        let left = Duration::from_secs(20);
        let ran = check::run(&policy.rules[0], &target, &access, clocks, left).await;
        let detail = &ran.results[0].detail.at(Ceiling::Text);
        assert!(detail.contains("over TLS only"), "{detail}");
        assert!(listener.accept().is_err(), "nobody even connects");
    }
}

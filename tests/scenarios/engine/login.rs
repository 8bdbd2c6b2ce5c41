//! Logins and TLS: what goes wrong here says nothing of the backup, and no secret shows anywhere.

use restore_proof_local_aws::{Fault, Times};
use restore_proof_tests::{LEDGER, LOG_GROUP, root};

use super::*;

async fn prove(database: &str, settings: &str, change: impl FnOnce(&Shop)) -> Value {
    prove_on(Kind::Postgres, database, settings, change).await
}

/// Proves a good backup by one check under these circumstances; answers the record.
pub async fn prove_on(
    kind: Kind,
    database: &str,
    settings: &str,
    change: impl FnOnce(&Shop),
) -> Value {
    let shop = Shop::of(kind, &policy(settings, &[THERE])).await;
    change(&shop);
    let point = shop.backup(database, &shop.engine.fresh);
    let record = shop.prove(&point).await;
    assert_eq!(record["cleanup"], "deleted");
    shop.scene.assert_clean();
    let everything = format!(
        "{:?} {:?} {:?} {:?}",
        shop.scene.records(),
        shop.scene.world.messages(),
        shop.scene.world.log_events(LOG_GROUP),
        shop.scene.world.table_items(LEDGER)
    );
    for secret in [PASSWORD, "hunter2"] {
        assert!(!everything.contains(secret), "a password shows");
    }
    record
}

#[track_caller]
pub fn assert_cannot_tell(record: &Value, words: &str) {
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    let check = &record["checks"][0];
    assert_eq!(check["outcome"], "errored");
    let detail = check["detail"].as_str().unwrap();
    assert!(detail.contains(words), "{detail:?} lacks {words:?}");
}

#[tokio::test]
async fn a_wrong_password_is_inconclusive() {
    let record = prove("wrong-password", "", |shop| {
        shop.log_in_as(READER_USER, "hunter2");
    })
    .await;
    assert_cannot_tell(&record, "28P01");
}

#[tokio::test]
async fn an_unknown_user_is_inconclusive() {
    let record = prove("unknown-user", "", |shop| {
        shop.log_in_as("nobody", PASSWORD)
    })
    .await;
    assert_cannot_tell(&record, "28P01");
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_is_inconclusive() {
    let record = prove("denied-secret", "", |shop| {
        let denied = Fault::error("AccessDeniedException", 400).times(Times::Forever);
        let faults = shop.scene.world.faults();
        faults.fail("SecretsManager.GetSecretValue", denied);
    })
    .await;
    assert_cannot_tell(&record, "AccessDeniedException");
}

#[tokio::test]
async fn a_secret_of_another_layout_is_inconclusive_and_not_quoted() {
    let record = prove("odd-secret", "", |shop| {
        shop.set_secret("{\"user\": \"hunter2\"");
    })
    .await;
    assert_cannot_tell(&record, "the layout RDS uses");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_inconclusive() {
    let amazons = std::fs::read(root().join("crates/function/rds-root-certificates.pem")).unwrap();
    let change = |shop: &Shop| shop.scene.world.put_object(BUCKET, CA_KEY, amazons.clone());
    let record = prove("foreign-ca", "", change).await;
    assert_cannot_tell(&record, "certificate");
    assert_eq!(record["findings"], json!([]));

    // Without verification it is good enough, and the record shows it.
    let record = prove("any-ca", "tls = \"encrypt-only\"", change).await;
    assert_eq!(record["verdict"], "passed");
    assert!(record["findings"].to_string().contains("encrypt-only"));
}

#[tokio::test]
async fn a_bundle_that_is_none_is_inconclusive() {
    let record = prove("no-bundle", "", |shop| {
        shop.scene.world.put_object(BUCKET, CA_KEY, "hello");
    })
    .await;
    assert_cannot_tell(&record, "ca.pem");
}

#[tokio::test]
async fn a_server_that_demands_tls_is_not_spoken_to_without() {
    let record = prove("no-tls", "tls = \"off\"", |_| ()).await;
    assert_cannot_tell(&record, "no encryption");
    assert!(record["findings"].to_string().contains("off"));
}

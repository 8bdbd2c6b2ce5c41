//! Logins and TLS of MySQL and MariaDB: what goes wrong here says nothing of the backup, and no secret shows anywhere.

use restore_proof_tests::root;

use super::login::{assert_cannot_tell, prove_on};
use super::*;

#[tokio::test]
async fn who_may_not_log_in_cannot_tell() {
    let _for_all_cases = engines().await;
    let cases = [
        ("my-wrong-password", Kind::MySql, READER_USER, "hunter2"),
        ("my-unknown-user", Kind::MariaDb, "nobody", PASSWORD),
        ("my-no-password", Kind::MariaDb, READER_USER, ""),
    ];
    for (database, kind, user, password) in cases {
        let record = prove_on(kind, database, "", |shop| shop.log_in_as(user, password)).await;
        assert_cannot_tell(&record, "1045");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_inconclusive() {
    let _for_all_cases = engines().await;
    let amazons = std::fs::read(root().join("crates/function/rds-root-certificates.pem")).unwrap();
    let change = |shop: &Shop| shop.scene.world.put_object(BUCKET, CA_KEY, amazons.clone());
    let record = prove_on(Kind::MySql, "my-foreign-ca", "", change).await;
    assert_cannot_tell(&record, "certificate");
    assert_eq!(record["findings"], json!([]));

    // Without verification it is good enough, and the record shows it.
    let settings = "tls = \"encrypt-only\"";
    let record = prove_on(Kind::MySql, "my-any-ca", settings, change).await;
    assert_eq!(record["verdict"], "passed");
    assert!(record["findings"].to_string().contains("encrypt-only"));
}

#[tokio::test]
async fn a_server_that_demands_tls_is_not_spoken_to_without() {
    let record = prove_on(Kind::MariaDb, "my-no-tls", "tls = \"off\"", |_| ()).await;
    // Which of the two depends on MariaDB's version.
    let detail = record["checks"][0]["detail"].as_str().unwrap();
    let number = if detail.contains("3159") {
        "3159"
    } else {
        "1045"
    };
    assert_cannot_tell(&record, number);
    assert!(record["findings"].to_string().contains("off"));
}

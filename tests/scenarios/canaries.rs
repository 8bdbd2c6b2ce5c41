//! The search for secrets in what the function writes (`restore_proof_tests::canary`) finds what is planted, in every
//! channel and every form, and leaves alone what is meant for AWS.
//!
//! Each test here is named for what it plants; the report of a run (`test_canaries.py`) knows them by that.

use restore_proof_core::validation::Validation;
use restore_proof_function::failure::Failure;
use restore_proof_local_aws::{RestoreBehaviour, Secret};
use restore_proof_tests::{ACCOUNT, BUCKET, PREFIX, REGION, Scene, UNCHECKED, VAULT};
use serde_json::{Value, json};

const WITH_CREDENTIALS: &str = r#"
version = "test"
[[rules]]
name = "shop"
match = {}
frequency = "every-copy"
credentials = { secret = "restore-proof/shop" }
  [[rules.checks]]
  name = "orders are there"
  kind = "sql"
  query = "select count(*) from orders"
  expect = { min = 1 }
"#;

/// Ends the scene, in which this and nothing else must have been found.
#[track_caller]
fn assert_found(scene: Scene, places: &[&str]) {
    let found = scene.watch.end();
    assert_eq!(found.len(), places.len(), "{found:#?}");
    for (found, place) in found.iter().zip(places) {
        assert!(found.contains(place), "{found} lacks {place:?}");
    }
}

/// Writes an object as the function writes records.
async fn put(scene: &Scene, body: String) {
    let put = scene.app.aws.s3.put_object().bucket(BUCKET);
    let put = put.key("records/planted").body(body.into_bytes().into());
    put.send().await.unwrap();
}

#[tokio::test]
async fn planted_in_a_record_in_any_form() {
    type Form = fn(String) -> String;
    let forms: [(Form, &str); 6] = [
        (|text| format!("a{text} b"), "as it is (planted)"),
        (|text| text.to_ascii_uppercase(), "as it is"),
        (
            |text| text.bytes().map(|byte| format!("{byte:02X}")).collect(),
            "in hexadecimal digits",
        ),
        (|text| base64(format!("x{text}")), "in base64"),
        (|text| base64(format!("xy{text}")), "in base64"),
        (|text| base64(format!("xyz{text}")), "in base64"),
    ];
    for (form, place) in forms {
        let scene = Scene::set(UNCHECKED).await;
        put(&scene, form(scene.watch.canary("planted"))).await;
        assert_found(scene, &[&format!("a canary stands in PUT: {place}")]);
    }
}

fn base64(text: String) -> String {
    aws_smithy_types::base64::encode(text)
}

#[tokio::test]
async fn planted_in_an_answer_and_a_log_line() {
    let scene = Scene::set(UNCHECKED).await;
    let id = scene.watch.canary("planted");
    let answer = scene
        .invoke(json!({
            "version": "0", "id": "1", "detail-type": "Restore Job State Change", "source": "aws.backup",
            "account": ACCOUNT, "time": "2026-11-21T00:00:00Z", "region": REGION, "resources": [],
            "detail": { "restoreJobId": id, "status": "COMPLETED" },
        }))
        .await;
    assert!(answer["ignored"].is_string(), "{answer}");
    // What was asked for by this id is a request, too.
    let places = ["stands in GetItem", "stands in answer", "stands in log"];
    assert_found(scene, &places);
}

#[tokio::test]
async fn planted_in_an_error_and_a_panic() {
    let scene = Scene::set(UNCHECKED).await;
    let text = scene.watch.canary("planted");
    scene
        .watch
        .answered(&Err(Failure::Other(format!("it fails: {text}"))));
    let panics = text.clone();
    let panicked = tokio::spawn(async move { panic!("cause {panics}") });
    panicked.await.unwrap_err();
    assert_found(scene, &["stands in error", "stands in log and panics"]);
}

#[tokio::test]
async fn planted_in_the_ledger() {
    let scene = Scene::set(UNCHECKED).await;
    let vault = scene.app.config.vault_arn(VAULT);
    let mut validation = Validation::open(PREFIX, "arn:planted", &vault, None, scene.now());
    validation.find(scene.watch.canary("planted"));
    scene.app.ledger.open(&validation, "planted").await.unwrap();
    assert_found(scene, &["stands in PutItem: as it is (planted)"]);
}

#[tokio::test]
async fn planted_as_a_secret_that_was_read() {
    let scene = Scene::set(WITH_CREDENTIALS).await;
    let password = "p\"ss\\w o\u{fc}rd";
    scene.world.add_secret(Secret {
        name: "restore-proof/shop".to_owned(),
        value: json!({ "username": "who-reads-orders", "password": password }).to_string(),
    });
    let point = scene.backup("orders", RestoreBehaviour::bare());
    scene.prove(&point).await;
    let said = json!({ "said": json!({ "by": password }).to_string() });
    put(&scene, said.to_string()).await;
    assert_found(scene, &["the password of a secret stands in PUT: in JSON"]);
}

/// What a restore takes over from the backup is in its request and in the intent, and nowhere else.
#[tokio::test]
async fn planted_as_metadata_that_a_restore_takes_over() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let id = scene.lands(&point).await;
    let taken = scene.world.restore_jobs().remove(0).metadata["LicenseModel"].clone();
    assert!(taken.ends_with("metadataLicenseModel"), "{taken}");
    let intended = &scene.validation(&id)["intent"]["metadata"]["LicenseModel"];
    assert_eq!(*intended, Value::from(taken.clone()));
    scene.close(&id).await;
    put(&scene, taken).await;
    assert_found(scene, &["stands in PUT: as it is (metadataLicenseModel)"]);
}

/// The record of a restore tells what a recovery takes of the metadata, and nothing that is withheld.
#[tokio::test]
async fn planted_in_the_request_of_a_record() {
    let scene = Scene::set(UNCHECKED).await;
    let row = |key: &str| json!({ "key": key, "recovery": scene.watch.canary(&format!("metadata {key}")) });
    let told = row("MultiAZ");
    put(
        &scene,
        json!({ "restore_request": [told.clone()] }).to_string(),
    )
    .await;
    put(
        &scene,
        json!({ "restore_request": [row("UserData")] }).to_string(),
    )
    .await;
    put(&scene, json!({ "checks": [told] }).to_string()).await;
    let places = [
        "stands in PUT: as it is (metadataMultiAZ)",
        "stands in PUT: as it is (metadataUserData)",
    ];
    assert_found(scene, &places);
}

#[tokio::test]
async fn nothing_planted_nothing_found() {
    let scene = Scene::set(WITH_CREDENTIALS).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let record = scene.prove(&point).await;
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    assert_found(scene, &[]);
}

/// A test that ends its scene without looking fails all the same.
#[tokio::test]
#[should_panic(expected = "secrets show in")]
async fn planted_and_not_looked_for() {
    let scene = Scene::set(UNCHECKED).await;
    put(&scene, scene.watch.canary("planted")).await;
}

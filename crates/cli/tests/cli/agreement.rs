//! `policy explain` beside the whole function: what one says before is what the other records.

use restore_proof_local_aws::RecoveryPoint;
use restore_proof_tests::agreement::Case;
use restore_proof_tests::{Scene, UNCHECKED, VAULT};
use serde_json::{Value, json};

use crate::common::{file, root, run};

/// What both say: the outcome, and why nothing is restored.
type Said = (String, Option<String>);

/// What explain says of an event.
fn explained(policy: &str, event: &str, options: &[&str]) -> Said {
    let arguments = [
        &["policy", "explain", policy, "--event", event, "--json"],
        options,
    ]
    .concat();
    let document = run(&arguments).json();
    let text = |key: &str| document[key].as_str().map(str::to_owned);
    (text("outcome").unwrap(), text("left_out"))
}

/// What the function does about an event.
async fn recorded(scene: &Scene, event: Value) -> Said {
    let answer = scene.invoke(event).await;
    let text = |key: &str| answer[key].as_str().map(str::to_owned);
    match (text("verdict"), text("stage").as_deref()) {
        (None, Some("restoring")) => ("restored".to_owned(), None),
        (Some(verdict), _) => (verdict, text("reason")),
        other => panic!("{other:?}: {answer:#}"),
    }
}

fn case(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/cases").join(name)).unwrap()
}

/// A recovery point as a copy's event tells of it.
fn copied(scene: &Scene, event: &Value) -> RecoveryPoint {
    let detail = &event["detail"];
    let text = |key: &str| detail[key].as_str().unwrap().to_owned();
    let point = match text("resourceType").as_str() {
        "Aurora" => scene.cluster_point("shop"),
        "EC2" => scene.machine_point("1", restore_proof_local_aws::Machine::default()),
        _ => scene.point("shop"),
    };
    RecoveryPoint {
        arn: text("destinationRecoveryPointArn"),
        source_resource_arn: text("resourceArn"),
        resource_type: text("resourceType"),
        size_bytes: detail["backupSizeInBytes"].as_u64().unwrap(),
        ..point
    }
}

/// The events of people who do this, by a policy that restores everything.
#[tokio::test]
async fn of_the_cases_from_practice_both_say_the_same() {
    let policy = case("00-policy-catch-all.toml");
    for (name, outcome, reason) in [
        ("00-copy-event-rds.json", "restored", ""),
        ("00-copy-event-ec2.json", "restored", ""),
        (
            "16-copy-event-multi-az-cluster.json",
            "not_tested",
            "Multi-AZ DB clusters",
        ),
        ("17-copy-event-aurora.json", "restored", ""),
        (
            "18-copy-event-efs.json",
            "not_tested",
            "resources of type EFS",
        ),
        (
            "19-copy-event-dynamodb.json",
            "not_tested",
            "resources of type DynamoDB",
        ),
        (
            "29-copy-event-air-gapped-vault.json",
            "not_tested",
            "it lies in account 333344445555",
        ),
        (
            "30-validate-continuous.json",
            "not_tested",
            "a continuous backup",
        ),
    ] {
        let scene = Scene::set(&policy).await;
        let event: Value = serde_json::from_str(&case(name)).unwrap();
        if event["detail"].is_object() {
            scene.add(copied(&scene, &event));
        }
        let said = recorded(&scene, event).await;
        let asked = explained(
            "tests/cases/00-policy-catch-all.toml",
            &format!("tests/cases/{name}"),
            &[],
        );
        assert_eq!(asked, said, "{name}");
        assert_eq!(said.0, outcome, "{name}");
        let why = said.1.unwrap_or_default();
        assert!(why.starts_with(reason), "{name}: {why}");
    }
}

/// Some of those that the core's decision is compared with, through the whole function and the program itself.
#[tokio::test]
async fn of_recovery_points_by_chance_both_say_the_same() {
    let mut tested = 0;
    for number in 0..120 {
        let one = Case::of(number);
        // AWS Backup's imitation always tells a type, and no policy file can say that its rules restore nothing.
        if one.reads_only || one.resource_type.is_empty() {
            continue;
        }
        let mut scene = Scene::set(UNCHECKED).await;
        scene.set_policy(&one.policy);
        scene.app.config.types = one
            .types
            .iter()
            .filter_map(|name| restore_proof_core::resource_type::ResourceType::from_name(name))
            .collect();
        if one.vault_arn == scene.app.config.vault_arn(VAULT) {
            let detail = json!({ "detail": {
                "destinationRecoveryPointArn": one.arn, "resourceArn": one.source_arn,
                "resourceType": one.resource_type, "backupSizeInBytes": one.size,
            }});
            scene.add(RecoveryPoint {
                tags: one.tags.clone(),
                ..copied(&scene, &detail)
            });
        }
        let said = recorded(&scene, one.event.clone()).await;
        let policy = file(&format!("agreement-{number}.toml"), &one.policy);
        let event = file(&format!("agreement-{number}.json"), &one.event.to_string());
        let options: Vec<String> = one.options().into_iter().flatten().collect();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        assert_eq!(
            explained(&policy, &event, &options),
            said,
            "{number}: {one:#?}"
        );
        tested += 1;
    }
    assert!(tested > 80, "{tested}");
}

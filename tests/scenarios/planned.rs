//! What is asked of AWS for a recovery point, and what is told before anything is asked.

use std::time::Duration;

use restore_proof_local_aws::{
    Fault, Machine, RecoveryPoint, RestoreBehaviour, SourceDatabase, Times,
};
use restore_proof_tests::{Scene, UNCHECKED, root};
use serde_json::Value;

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/ce27a100-0000-4000-8000-000000000001";

/// How often an operation was called.
fn calls(scene: &Scene, name: &str) -> usize {
    let calls = scene.world.calls().into_iter();
    calls.filter(|call| call.name() == name).count()
}

fn case(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/cases").join(name)).unwrap()
}

fn text<'r>(record: &'r Value, column: &str) -> &'r str {
    record[column].as_str().unwrap_or_default()
}

/// An image of Graviton.
fn arm() -> Machine {
    Machine {
        instance_type: "m6g.large".to_owned(),
        architecture: "arm64".to_owned(),
        ..Machine::default()
    }
}

/// Case 23.
#[tokio::test]
async fn a_type_of_another_architecture_is_told_before_anything_is_restored() {
    let scene = Scene::set(&case("23-policy-wrong-architecture.toml")).await;
    let point = scene.add(scene.machine_point("0150a9", arm()));
    let record = scene.prove(&point).await;
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    assert_eq!(record["cleanup"], "nothing_to_delete");
    assert_eq!(record["fault_class"], "request");
    let reason = text(&record, "verdict_reason");
    assert!(
        reason.contains("rule \"other machines\"") && reason.contains("t3.small"),
        "{reason}"
    );
    assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 0);
    assert_eq!(calls(&scene, "EC2.DescribeInstanceTypes"), 1);
    scene.assert_clean();
}

#[tokio::test]
async fn a_type_that_cannot_boot_the_image_or_does_not_exist_is_told() {
    for (asked, words) in [
        ("t2.micro", "needs the boot mode uefi"),
        // One that EC2 has, and not in this world's Region.
        ("u-12tb1.112xlarge", "does not know in this Region"),
    ] {
        let scene = Scene::set(&format!(
            "{UNCHECKED}ec2 = {{ instance_type = \"{asked}\" }}\n"
        ))
        .await;
        let machine = Machine {
            boot_mode: Some("uefi".to_owned()),
            ..Machine::default()
        };
        let point = scene.add(scene.machine_point("0150a9", machine));
        let record = scene.prove(&point).await;
        let reason = text(&record, "verdict_reason");
        assert!(reason.contains(words), "{reason}");
        assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 0);
        scene.assert_clean();
    }
}

/// A plain validation asks nothing of the type that the source had.
#[tokio::test]
async fn a_type_is_asked_about_only_when_the_rule_names_it() {
    for (rule, asked) in [("", 0), ("ec2 = { instance_type = \"t4g.small\" }\n", 1)] {
        let scene = Scene::set(&format!("{UNCHECKED}{rule}")).await;
        let point = scene.add(scene.machine_point("0150a9", arm()));
        let record = scene.prove(&point).await;
        assert_eq!(record["verdict"], "unchecked", "{record:#}");
        assert_eq!(calls(&scene, "EC2.DescribeInstanceTypes"), asked, "{rule}");
        scene.assert_clean();
    }
}

/// The network's stack may be older than the function's, and its endpoint policy not let the call through.
#[tokio::test]
async fn where_ec2_may_not_be_asked_the_restore_is_tried_and_that_is_told() {
    let scene = Scene::set(&format!(
        "{UNCHECKED}ec2 = {{ instance_type = \"t4g.small\" }}\n"
    ))
    .await;
    let denied = Fault::error("UnauthorizedOperation", 403).times(Times::Forever);
    scene
        .world
        .faults()
        .fail("EC2.DescribeInstanceTypes", denied);
    let point = scene.add(scene.machine_point("0150a9", arm()));
    let record = scene.prove(&point).await;
    assert_eq!(record["verdict"], "unchecked", "{record:#}");
    let findings = record["findings"].to_string();
    assert!(
        findings.contains("was not compared with the image"),
        "{findings}"
    );
    scene.assert_clean();
}

/// The account has not accepted the product's terms: EC2's refusal is announced.
#[tokio::test]
async fn an_image_of_the_marketplace_is_told() {
    let scene = Scene::set(UNCHECKED).await;
    let machine = Machine {
        product_codes: vec!["aw0evgkw8e5c1q413zgy5pjce".to_owned()],
        ..Machine::default()
    };
    let point = scene.add(scene.machine_point("0150a9", machine));
    let record = scene.prove(&point).await;
    assert_ne!(record["verdict"], "unchecked", "EC2 refuses it");
    let findings = record["findings"].to_string();
    assert!(
        findings.contains("product of AWS Marketplace (aw0evg"),
        "{findings}"
    );
    scene.assert_clean();
}

#[tokio::test]
async fn an_engine_past_its_support_is_told_or_left_out_as_the_rule_says() {
    for (rule, verdict) in [
        ("", "unchecked"),
        ("rds = { extended_support = false }\n", "not_tested"),
    ] {
        let scene = Scene::set(&format!("{UNCHECKED}{rule}")).await;
        let mut point = scene.point("orders");
        point.database = SourceDatabase {
            engine_version: "12.19".to_owned(),
            option_group: "default:postgres-12".to_owned(),
            parameter_group: "default.postgres12".to_owned(),
            ..SourceDatabase::default()
        };
        let record = scene.prove(&scene.add(point)).await;
        assert_eq!(record["verdict"], verdict, "{record:#}");
        let told = format!("{} {}", record["findings"], record["verdict_reason"]);
        assert!(
            told.contains("standard support of postgres 12.19 ended on 2025-02-28"),
            "{told}"
        );
        let restores = usize::from(verdict == "unchecked");
        assert_eq!(calls(&scene, "Backup.StartRestoreJob"), restores);
        scene.assert_clean();
    }
}

/// AWS Backup may name its vault's key; the storage of a copy has the key of its snapshot.
#[tokio::test]
async fn the_encryption_is_compared_with_the_snapshots_own_key() {
    let another = KEY.replace("ce27a100", "0b5e0000");
    for (own, named) in [(Some(KEY), another.as_str()), (None, KEY)] {
        let scene = Scene::set(UNCHECKED).await;
        let point = scene.add(RecoveryPoint {
            kms_key_arn: own.map(str::to_owned),
            named_key_arn: Some(named.to_owned()),
            behaviour: RestoreBehaviour::bare().taking(Duration::from_secs(60)),
            ..scene.point("orders")
        });
        let record = scene.prove(&point).await;
        assert_eq!(record["verdict"], "unchecked", "{record:#}");
        scene.assert_clean();
    }
}

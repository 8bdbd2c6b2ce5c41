//! The runbook: what a record says of the restore that passed, where it may be told, and that a recovery by it is left alone.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use restore_proof_local_aws::{
    DbSubnetGroup, Fault, Machine, RecoveryPoint, RestoreBehaviour, SecurityGroup, StartRestore,
    Subnet, Times,
};
use restore_proof_tests::{
    ACCOUNT, BUCKET, MACHINE_SECURITY_GROUP, PREFIX, REGION, SECURITY_GROUP, SUBNET, SUBNET_GROUP,
    Scene, UNCHECKED,
};
use serde_json::{Value, json};

const POLICY: &str = r#"
version = "test"
[[rules]]
name = "shops"
match = {}
frequency = "every-copy"
ec2.boot_timeout = "1s"
  [[rules.checks]]
  name = "the shop answers"
  kind = "http"
  port = 8080
  timeout = "5s"
  steps = [ { name = "front page", path = "/", contains = "Welcome" } ]
"#;

fn machine(page: &str) -> Machine {
    Machine {
        ports: vec![8080],
        files: [("/index.html".to_owned(), page.to_owned())].into(),
        ..Machine::default()
    }
}

/// Backups of one machine, the later the younger.
fn backup(scene: &Scene, id: &str, page: &str) -> String {
    scene.add(RecoveryPoint {
        source_resource_arn: format!("arn:aws:ec2:{REGION}:222233334444:instance/i-0f00d"),
        ..scene.machine_point(id, machine(page))
    })
}

fn runbooks(scene: &Scene) -> Vec<String> {
    let keys = scene.world.object_keys(BUCKET).into_iter();
    keys.filter(|key| key.starts_with("runbooks/")).collect()
}

/// The line of the last message that leads to the runbook.
fn told(scene: &Scene) -> String {
    let message = scene.world.messages().pop().unwrap();
    let line = message
        .body
        .lines()
        .find(|line| line.starts_with("RUNBOOK: "));
    line.unwrap_or_else(|| panic!("{}", message.body))
        .to_owned()
}

/// The request of the proven restore is in the record in S3, and neither in the log nor in the message; its runbook is
/// written when a later backup is bad, and at no other time.
#[tokio::test]
async fn bad_news_brings_the_runbook_of_the_last_restore_that_passed() {
    let scene = Scene::set(POLICY).await;
    let good = backup(&scene, "0a1", "Welcome");
    let record = scene.prove(&good).await;
    assert_eq!(record["verdict"], "passed", "{record:#}");
    let rows = record["restore_request"].as_array().unwrap();
    let row = |key: &str| rows.iter().find(|row| row["key"] == key).unwrap();
    assert_eq!(row("SubnetId")["proved_with"], SUBNET);
    assert_eq!(row("SubnetId")["recovery"], "<subnet of the instance>");
    let sent = scene.world.restore_jobs().remove(0).metadata;
    for (key, value) in &sent {
        assert_eq!(row(key)["proved_with"], json!(value), "{key}");
    }
    let id = record["validation_id"].as_str().unwrap();
    for kind in ["verdict", "cleanup"] {
        let events = scene.log_events(kind, id);
        assert_eq!(events[0]["restore_request"], json!([]), "{kind}");
        for secret in ["SecurityGroupIds", "BlockDeviceMappings"] {
            assert!(!events[0].to_string().contains(secret), "{kind}: {secret}");
        }
    }
    let message = scene.world.messages().pop().unwrap();
    assert!(
        !message.body.contains("SecurityGroupIds"),
        "{}",
        message.body
    );
    assert!(!message.body.contains("RUNBOOK"), "{}", message.body);
    assert_eq!(
        runbooks(&scene),
        [""; 0],
        "a healthy validation writes none"
    );

    scene.pass(SignedDuration::from_hours(24));
    let bad = backup(&scene, "0a2", "Nothing here");
    let failed = scene.prove(&bad).await;
    assert_eq!(failed["verdict"], "failed", "{failed:#}");
    assert_eq!(failed["restore_request"], json!([]), "it is no proof");
    let [key] = runbooks(&scene).try_into().unwrap();
    let line = told(&scene);
    assert!(line.contains(&format!("s3://{BUCKET}/{key}")), "{line}");
    let console =
        format!("https://console.aws.amazon.com/s3/object/{BUCKET}?region={REGION}&prefix={key}");
    assert!(line.ends_with(&console), "{line}");
    let book = scene.world.object_versions(BUCKET, &key).pop().unwrap();
    let book = String::from_utf8(book.body.to_vec()).unwrap();
    assert!(book.contains(&good) && !book.contains(&bad), "{book}");
    assert!(book.contains(id), "{book}");
    let (_, request) = book.split_once("cat > restore.json").unwrap();
    let (request, _) = request.split_once("\nEND\n").unwrap();
    for ours in [SUBNET, MACHINE_SECURITY_GROUP, PREFIX] {
        assert!(!request.contains(ours), "{ours} is to be used: {request}");
    }
}

/// People hear of a bad backup whether the runbook can be made or not, and then how to make it.
#[tokio::test]
async fn a_runbook_that_cannot_be_made_keeps_no_message_back() {
    for (operation, skip) in [("S3.GetObject", 1), ("S3.PutObject", 1)] {
        let scene = Scene::set(POLICY).await;
        let record = scene.prove(&backup(&scene, "0a1", "Welcome")).await;
        assert_eq!(record["verdict"], "passed", "{record:#}");
        scene.pass(SignedDuration::from_hours(24));
        let bad = backup(&scene, "0a2", "Nothing here");
        let id = scene.lands(&bad).await;
        for _ in 0..20 {
            if scene.item(&id)["stage"]["S"] == "restoring" {
                break;
            }
            scene.sweep().await;
        }
        // Behind the record, which is written first; the policy is read no more.
        let skip = if operation == "S3.GetObject" {
            skip - 1
        } else {
            skip
        };
        let denied = Fault::error("AccessDenied", 403)
            .skip(skip)
            .times(Times::OneCall);
        scene.world.faults().fail(operation, denied);
        let failed = scene.close(&id).await;
        assert_eq!(failed["verdict"], "failed", "{failed:#}");
        assert_eq!(failed["cleanup"], "deleted", "{failed:#}");
        assert_eq!(runbooks(&scene), [""; 0], "{operation}");
        let line = told(&scene);
        assert!(
            line.starts_with("RUNBOOK: it could not be written: "),
            "{line}"
        );
        assert!(line.contains("AccessDenied"), "{operation}: {line}");
        // The day of the record of the restore that passed, not of this one.
        let day = &record["opened_time"].as_str().unwrap()[..10];
        let command = format!(
            "Make it with: restore-proof runbook --function {PREFIX} --since {day} arn:aws:ec2:{REGION}:222233334444:instance/i-0f00d"
        );
        assert!(line.ends_with(&command), "{line}");
    }
}

/// What an operator restores by the record's own words: their names, role and network, the source's settings.
fn by_hand(scene: &Scene, rows: &Value, name: &str) -> BTreeMap<String, String> {
    let rows = rows.as_array().unwrap().iter();
    let used = rows.filter_map(|row| {
        let mut value = row["recovery"].as_str()?.to_owned();
        // In a scene the source's settings are canaries, which AWS does not take.
        if value.contains(scene.watch.mark()) {
            return None;
        }
        // The defaults will do: a group is the operator's to make.
        if value.ends_with("of the source>") {
            return None;
        }
        for (placeholder, ours) in [
            ("<name of the restored database>", name),
            ("<name of the restored cluster>", name),
            ("<DB subnet group>", "production"),
            ("<security group of the database>", "sg-0f00dfeed"),
            ("<subnet of the instance>", "subnet-0f00dfeed"),
            ("<security group of the instance>", "sg-0f00dfeed"),
            ("<key pair>", "operators"),
            (
                "<ARN of the KMS key of its volumes>",
                "arn:aws:kms:eu-central-1:111122223333:key/5ea50000-0000-4000-8000-000000000001",
            ),
            ("<true or false>", "false"),
        ] {
            value = value.replace(placeholder, ours);
        }
        assert!(
            !value.contains('<'),
            "{row} has a placeholder that nobody fills"
        );
        for ours in [
            SUBNET,
            SUBNET_GROUP,
            SECURITY_GROUP,
            MACHINE_SECURITY_GROUP,
            PREFIX,
        ] {
            assert!(!value.contains(ours), "{row}");
        }
        Some((row["key"].as_str().unwrap().to_owned(), value))
    });
    used.collect()
}

#[tokio::test]
async fn three_sweeps_leave_a_recovery_by_the_runbook_alone() {
    for kind in ["RDS", "Aurora", "EC2"] {
        let scene = Scene::set(UNCHECKED).await;
        let world = &scene.world;
        world.add_db_subnet_group(DbSubnetGroup {
            name: "production".to_owned(),
            vpc_id: "vpc-0f00dfeed".to_owned(),
        });
        world.add_subnet(Subnet {
            id: "subnet-0f00dfeed".to_owned(),
            vpc_id: "vpc-0f00dfeed".to_owned(),
            cidr: "10.20.0.0/24".to_owned(),
        });
        world.add_security_group(SecurityGroup::closed("sg-0f00dfeed", "vpc-0f00dfeed"));
        world.add_key_pair("operators");
        let point = match kind {
            "RDS" => scene.backup("orders", RestoreBehaviour::bare()),
            "Aurora" => scene.add(scene.cluster_point("orders")),
            _ => scene.add(scene.machine_point("0a1", machine("Welcome"))),
        };
        let record = Box::pin(scene.prove(&point)).await;
        assert_eq!(record["cleanup"], "deleted", "{record:#}");
        // Nothing was checked, so that no record tells it; the request is the one that was made.
        let id = record["validation_id"].as_str().unwrap();
        let request = scene.validation(id)["recovery"].clone();
        let before = world.things().len();
        let job = world.start_restore(StartRestore {
            recovery_point_arn: point.clone(),
            iam_role_arn: format!("arn:aws:iam::{ACCOUNT}:role/operators"),
            metadata: by_hand(&scene, &request, "orders-again"),
            idempotency_token: None,
        });
        let job = job.unwrap();
        let calls = world.calls().len();
        let mut restored = Vec::new();
        for sweep in ["due", "lost", "lost", "lost"] {
            scene.pass(SignedDuration::from_hours(1));
            scene.invoke(json!({ "sweep": sweep })).await;
            scene.deliver().await;
            let made = [
                scene.instances(),
                scene.clusters(),
                scene.machines(),
                scene.volumes(),
            ];
            restored = made.concat();
        }
        let jobs = world.restore_jobs();
        let job = jobs.iter().find(|known| known.id == job).unwrap();
        assert_eq!(job.status, "COMPLETED", "{kind}: {job:?}");
        assert!(
            !restored.is_empty() && world.things().len() > before,
            "{kind}"
        );
        if kind != "EC2" {
            assert!(
                restored.contains(&"orders-again".to_owned()),
                "{restored:?}"
            );
        }
        for name in restored {
            scene.assert_untouched_after(calls, &name);
        }
    }
}

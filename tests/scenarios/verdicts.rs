//! Every verdict that needs no data, every cleanup, and the promises around them: once, told, nothing left running.
//!
//! The verdicts that rest on data are in `engine.rs`, on real PostgreSQL servers.

mod changes;
mod cleanup;
mod once;
pub(crate) mod retries;
mod telling;

use std::time::Duration;

use jiff::SignedDuration;
use restore_proof_core::resource_type::ResourceType;
use restore_proof_local_aws::{
    CopyJob, DbInstance, Fault, InstanceBehaviour, Machine, RecoveryPoint, RestoreBehaviour,
    RestoreOutcome, SecurityGroup, SourceDatabase, StatusPhase, Times,
};
use restore_proof_tests::{
    ACCOUNT, BUCKET, DAMAGED, NO_ROOM, POLICY_KEY, PREFIX, REGION, SECURITY_GROUP, Scene,
    UNCHECKED, VPC, urgent_topic,
};
use serde_json::{Value, json};

/// Verdict and cleanup of a record.
fn outcome(record: &Value) -> (&str, &str) {
    (
        record["verdict"].as_str().unwrap(),
        record["cleanup"].as_str().unwrap(),
    )
}

/// A column that must be text and hold these words.
fn assert_says(record: &Value, column: &str, words: &str) {
    let text = record[column].as_str().unwrap_or_default();
    assert!(text.contains(words), "{column} lacks {words:?}: {record:#}");
}

/// How often an operation was called.
fn calls(scene: &Scene, name: &str) -> usize {
    scene
        .world
        .calls()
        .iter()
        .filter(|call| call.name() == name)
        .count()
}

/// The keys of all records.
fn record_keys(scene: &Scene) -> Vec<String> {
    let mut keys = scene.world.object_keys(BUCKET);
    keys.retain(|key| key.starts_with("records/"));
    keys
}

/// A copy job of this recovery point that ended in this state, without a copy.
fn failed_copy(scene: &Scene, point: &str, state: &str) -> CopyJob {
    CopyJob {
        state: state.to_owned(),
        status_message: Some("Access denied exception while trying to list tags".to_owned()),
        destination_recovery_point_arn: None,
        ..scene.world.copy_job_of(point).unwrap()
    }
}

/// Lets a copy land whose restore takes a minute, and the restore complete; its event has not been delivered yet.
/// Answers the validation's id and the instance.
async fn restored(scene: &Scene, database: &str) -> (String, DbInstance) {
    let takes = Duration::from_secs(60);
    let point = scene.backup(database, RestoreBehaviour::bare().taking(takes));
    let id = scene.lands(&point).await;
    scene.pass(SignedDuration::from_secs(30));
    scene.pass(SignedDuration::from_secs(31));
    let planned = format!("restore-proof-r-{id}-1");
    let mut instances = scene.world.db_instances();
    instances.retain(|instance| instance.identifier == planned);
    (id, instances.remove(0))
}

#[tokio::test]
async fn unchecked_when_the_rule_has_no_checks() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let record = scene.prove(&point).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert_eq!(record["recovery_time"], Value::Null, "nothing was checked");
    scene.assert_clean();
}

/// What the backup says of its storage, option group and port would fail a restore that copies it.
#[tokio::test]
async fn a_request_fits_the_storage_that_is_asked_for_and_not_that_of_the_source() {
    let cheaper = "restore = { StorageType = \"gp3\" }";
    let scene = Scene::set(&format!("{UNCHECKED}{cheaper}\n")).await;
    let mut point = scene.point("orders");
    point.database = SourceDatabase {
        storage_type: "io1".to_owned(),
        allocated_storage: 100,
        iops: Some(5000),
        option_group: "orders-mysql".to_owned(),
        port: 0,
        ..SourceDatabase::mysql()
    };
    let takes = Duration::from_secs(60);
    point.behaviour = RestoreBehaviour::bare().taking(takes);
    let id = scene.lands(&scene.add(point)).await;
    scene.pass(SignedDuration::from_secs(30));
    scene.pass(SignedDuration::from_secs(31));
    let restored = scene.world.db_instances().remove(0);
    let storage = (restored.storage_type.as_str(), restored.allocated_storage);
    assert_eq!(storage, ("gp3", 100));
    assert_eq!((restored.iops, restored.port), (None, 3306));
    assert_eq!(restored.option_group, "default:mysql-8-4");
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
    let sent = &scene.world.restore_jobs()[0].metadata;
    for key in ["Iops", "StorageThroughput", "NetworkType", "Port"] {
        assert!(!sent.contains_key(key), "{key}");
    }
    scene.assert_clean();
}

#[tokio::test]
async fn a_disk_smaller_than_the_backups_is_told_before_anything_is_restored() {
    let smaller = "restore = { AllocatedStorage = \"20\" }";
    let scene = Scene::set(&format!("{UNCHECKED}{smaller}\n")).await;
    let mut point = scene.point("orders");
    point.database.allocated_storage = 100;
    let record = scene.prove(&scene.add(point)).await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    assert_says(
        &record,
        "verdict_reason",
        "rule \"all\": the policy's restore keys ask for AllocatedStorage = \"20\", less than the backup's",
    );
    assert_eq!(record["fault_class"], "request");
    assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 0);
    assert!(scene.world.messages()[0].body.contains("no smaller disk"));
    scene.assert_clean();
}

/// Nothing was started, which ListRestoreJobs shows, and the token of the refused request is not used again.
#[tokio::test]
async fn a_refused_start_is_inconclusive_and_asked_for_once() {
    let scene = Scene::set(UNCHECKED).await;
    let refused = RestoreBehaviour {
        refused: Some("Invalid restore metadata".to_owned()),
        ..RestoreBehaviour::bare()
    };
    let point = scene.backup("orders", refused);
    let record = scene.prove(&point).await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    assert_says(&record, "verdict_reason", "Invalid restore metadata");
    assert_eq!(record["fault_class"], "request");
    assert_eq!(
        record["attempts"],
        serde_json::json!([]),
        "no job was started"
    );
    assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 1);
    assert_eq!(calls(&scene, "Backup.ListRestoreJobs"), 1);
    assert!(scene.world.restore_jobs().is_empty());
    scene.assert_clean();
}

#[tokio::test]
async fn restore_failed_when_the_reason_lies_in_the_backup() {
    let scene = Scene::set(UNCHECKED).await;
    let fails = RestoreBehaviour::fails(Duration::from_secs(4), DAMAGED);
    let point = scene.backup("orders", fails);
    let record = scene.prove(&point).await;
    assert_eq!(outcome(&record), ("restore_failed", "nothing_to_delete"));
    assert_says(&record, "verdict_reason", DAMAGED);
    assert_eq!(record["fault_class"], "backup");
    assert_eq!(record["attempts"][0]["class"], "backup");
    assert_eq!(record["attempts"][0]["cleanup"], "nothing_to_delete");
    assert_says(&record["attempts"][0], "message", DAMAGED);
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 0);
    scene.assert_clean();
}

#[tokio::test]
async fn inconclusive_when_the_restore_failed_on_our_environment() {
    for (message, class) in [
        (
            "IAM Role arn:aws:iam::111122223333:role/x cannot be assumed by AWS Backup",
            "permission",
        ),
        (
            "Cannot exceed quota for DBInstances (Service: AmazonRDS; Error Code: InstanceQuotaExceeded)",
            "quota",
        ),
        (
            "No default subnet detected in VPC. Please contact AWS Support to recreate default Subnets.",
            "network",
        ),
    ] {
        let scene = Scene::set(UNCHECKED).await;
        let point = scene.backup(
            "orders",
            RestoreBehaviour::fails(Duration::from_secs(4), message),
        );
        let record = scene.prove(&point).await;
        assert_eq!(
            outcome(&record),
            ("inconclusive", "nothing_to_delete"),
            "{message}"
        );
        assert_says(&record, "verdict_reason", message);
        assert_eq!(record["fault_class"], class, "{message}");
        scene.assert_clean();
    }
}

#[tokio::test]
async fn inconclusive_when_somebody_aborts_the_restore() {
    let scene = Scene::set(UNCHECKED).await;
    let aborts = RestoreBehaviour {
        takes: Duration::from_secs(4),
        outcome: RestoreOutcome::Aborts {
            message: "stopped by an operator".to_owned(),
        },
        ..RestoreBehaviour::default()
    };
    let record = scene.prove(&scene.backup("orders", aborts)).await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    scene.assert_clean();
}

#[tokio::test]
async fn inconclusive_when_aws_refuses_to_start_the_restore() {
    let scene = Scene::set(UNCHECKED).await;
    let denied = Fault::error("AccessDeniedException", 403).times(Times::Forever);
    scene.world.faults().fail("Backup.StartRestoreJob", denied);
    let record = scene
        .prove(&scene.backup("orders", RestoreBehaviour::bare()))
        .await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    assert_says(&record, "verdict_reason", "AccessDeniedException");
    scene.assert_clean();
}

#[tokio::test]
async fn copy_failed_with_the_reason_of_aws_and_once() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    for state in ["FAILED", "PARTIAL"] {
        let event = scene
            .world
            .copy_job_event(&failed_copy(&scene, &point, state));
        let answer = scene.invoke(event.clone()).await;
        let record = scene.close(answer["validation_id"].as_str().unwrap()).await;
        assert_eq!(outcome(&record), ("copy_failed", "nothing_to_delete"));
        assert_says(&record, "verdict_reason", "trying to list tags");
        assert_eq!(
            record["source_resource_arn"], "arn:aws:rds:eu-central-1:222233334444:db:orders",
            "{state}"
        );
        scene.invoke(event).await;
    }
    assert_eq!(record_keys(&scene).len(), 2, "one for each copy job");
    assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 0);
}

#[tokio::test]
async fn copy_failed_when_the_recovery_point_is_partial() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.add(RecoveryPoint {
        status: "PARTIAL".to_owned(),
        ..scene.point("orders")
    });
    let record = scene.prove(&point).await;
    assert_eq!(outcome(&record), ("copy_failed", "nothing_to_delete"));
    assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 0);
}

#[tokio::test]
async fn not_tested_when_no_rule_matches() {
    let policy = UNCHECKED.replace("match = {}", "match = { source_arn = \"*:db:shop-*\" }");
    let scene = Scene::set(&policy).await;
    let record = scene
        .prove(&scene.backup("scratch", RestoreBehaviour::bare()))
        .await;
    assert_eq!(outcome(&record), ("not_tested", "nothing_to_delete"));
    assert_says(&record, "verdict_reason", "no rule");
    assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 0);
    assert!(scene.world.messages().is_empty(), "it would drown the rest");
}

#[tokio::test]
async fn not_tested_when_the_type_is_not_supported() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.add(RecoveryPoint {
        arn: "arn:aws:ec2:eu-central-1::snapshot/snap-0726fe70935586180".to_owned(),
        source_resource_arn: "arn:aws:ec2:eu-central-1:222233334444:volume/vol-1".to_owned(),
        resource_type: "EBS".to_owned(),
        ..scene.point("volume")
    });
    let record = scene.prove(&point).await;
    assert_eq!(outcome(&record), ("not_tested", "nothing_to_delete"));
    assert_says(&record, "verdict_reason", "EBS");
    assert_eq!(record["resource_type"], "EBS");
    assert_eq!(calls(&scene, "Backup.StartRestoreJob"), 0);
}

/// Without permissions and endpoints every call to a type's service would be an error, for a day each.
#[tokio::test]
async fn not_tested_and_not_asked_about_when_the_stack_is_not_for_the_type() {
    for (types, service) in [([ResourceType::Ec2], "RDS."), ([ResourceType::Rds], "EC2.")] {
        let mut scene = Scene::set(UNCHECKED).await;
        scene.app.config.types = types.into();
        let database = scene.point("orders");
        let machine = scene.machine_point("0150a9", Machine::default());
        let (named, other) = match service {
            "RDS." => (machine, database),
            _ => (database, machine),
        };
        let cluster = RecoveryPoint {
            arn: "arn:aws:rds:eu-central-1:111122223333:cluster-snapshot:awsbackup:copyjob-graph"
                .to_owned(),
            resource_type: "Neptune".to_owned(),
            ..scene.point("graph")
        };
        for (point, words) in [
            (other, "the stack's parameter Types does not name"),
            (cluster, "type Neptune are not validated"),
        ] {
            let record = scene.prove(&scene.add(point)).await;
            assert_eq!(outcome(&record), ("not_tested", "nothing_to_delete"));
            assert_says(&record, "verdict_reason", words);
            // Its tags are not known, so no rule was asked.
            assert_eq!(record["policy_rule"], Value::Null);
        }
        scene.invoke(json!({ "sweep": "lost" })).await;
        let asked: Vec<String> = scene.world.calls().iter().map(|call| call.name()).collect();
        let asked: Vec<&String> = asked
            .iter()
            .filter(|name| name.starts_with(service))
            .collect();
        assert!(asked.is_empty(), "{asked:?}");
        // A slot is nothing that it needs, and nothing keeps those of the stack's types from theirs.
        let record = scene.prove(&scene.add(named)).await;
        assert_eq!(outcome(&record), ("unchecked", "deleted"), "{record:#}");
    }
}

#[tokio::test]
async fn not_tested_when_the_recovery_point_is_gone_or_going() {
    let scene = Scene::set(UNCHECKED).await;
    for status in ["EXPIRED", "DELETING", "STOPPED"] {
        let point = scene.add(RecoveryPoint {
            status: status.to_owned(),
            ..scene.point(&status.to_lowercase())
        });
        let record = scene.prove(&point).await;
        assert_eq!(outcome(&record), ("not_tested", "nothing_to_delete"));
        assert_says(&record, "verdict_reason", status);
    }
    let gone = "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-gone";
    let wish =
        json!({ "validate": { "recovery_point_arn": gone, "backup_vault_name": "central" } });
    let answer = scene.invoke(wish).await;
    assert_eq!(
        answer["verdict"],
        Value::Null,
        "one \"not found\" means nothing: {answer}"
    );
    let record = scene.close(answer["validation_id"].as_str().unwrap()).await;
    assert_eq!(outcome(&record), ("not_tested", "nothing_to_delete"));
    assert_says(&record, "verdict_reason", "does not exist");
}

#[tokio::test]
async fn a_recovery_point_that_is_still_being_created_is_waited_for() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.add(RecoveryPoint {
        status: "CREATING".to_owned(),
        ..scene.point("orders")
    });
    let id = scene.lands(&point).await;
    scene.sweep().await;
    assert_eq!(scene.item(&id)["stage"]["S"], "landed");
    scene.add(scene.point("orders"));
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
}

#[tokio::test]
async fn a_broken_policy_is_inconclusive_and_planned_again_once_it_is_mended() {
    let scene = Scene::set("version = 7\n[[rules]]\nname =").await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let id = scene.lands(&point).await;
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    assert_says(&record, "verdict_reason", "policy/policy.toml");
    assert_eq!(scene.log_events("verdict", &id)[0]["PolicyErrors"], 1);

    scene.sweep().await;
    assert_eq!(scene.record(&id)["attempt"], 1, "it is as broken as before");

    scene.set_policy(UNCHECKED);
    scene.sweep().await;
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert_eq!(record["attempt"], 2);
    assert_eq!(record_keys(&scene).len(), 1, "one record all the same");
    let logged = scene.log_events("verdict", &id);
    assert_eq!((logged.len(), &logged[1]["PolicyErrors"]), (2, &json!(0)));
    assert_eq!(scene.world.restore_jobs().len(), 1);
    scene.assert_clean();
}

#[tokio::test]
async fn a_policy_that_may_not_be_read_is_a_broken_policy() {
    let scene = Scene::set(UNCHECKED).await;
    let denied = Fault::error("AccessDenied", 403).times(Times::Forever);
    let fault = scene.world.faults().fail("S3.GetObject", denied);
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let id = scene.lands(&point).await;
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    assert_says(&record, "verdict_reason", "may not be read");
    scene.world.faults().remove(fault);
    scene.world.put_object(BUCKET, POLICY_KEY, UNCHECKED);
    scene.sweep().await;
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
}

#[tokio::test]
async fn a_restore_with_a_message_is_a_finding() {
    let scene = Scene::set(UNCHECKED).await;
    let message = "Some objects were not restored";
    let point = scene.backup("orders", RestoreBehaviour::completes_with_message(message));
    let record = scene.prove(&point).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    let findings = record["findings"].to_string();
    assert!(findings.contains(message), "{findings}");
    assert!(scene.world.messages()[0].body.contains(message));
}

#[tokio::test]
async fn nothing_is_checked_in_a_restore_that_is_not_isolated() {
    type Spoil = fn(&mut DbInstance);
    let spoil: [(&str, Spoil); 6] = [
        ("publicly accessible", |db| db.publicly_accessible = true),
        ("subnet group", |db| db.subnet_group = "default".to_owned()),
        ("security group", |db| {
            db.security_groups.push("sg-of-somebody".to_owned());
        }),
        ("IPv6", |db| db.network_type = "DUAL".to_owned()),
        ("may act as role", |db| {
            let role = "arn:aws:iam::111122223333:role/export";
            db.associated_roles.push(role.to_owned());
        }),
        ("encrypted", |db| db.kms_key_arn = None),
    ];
    let key = "arn:aws:kms:eu-central-1:111122223333:key/ce27a100-0000-4000-8000-000000000001";
    for (words, change) in spoil {
        let scene = Scene::set(UNCHECKED).await;
        let takes = Duration::from_secs(60);
        let point = scene.add(RecoveryPoint {
            kms_key_arn: Some(key.to_owned()),
            behaviour: RestoreBehaviour::bare().taking(takes),
            ..scene.point("orders")
        });
        let id = scene.lands(&point).await;
        scene.pass(SignedDuration::from_secs(30));
        scene.pass(SignedDuration::from_secs(31));
        let mut instance = scene.world.db_instances().remove(0);
        assert_eq!(instance.kms_key_arn.as_deref(), Some(key));
        change(&mut instance);
        scene.world.add_db_instance(instance);
        let record = scene.close(&id).await;
        assert_eq!(outcome(&record), ("inconclusive", "deleted"), "{words}");
        let findings = record["findings"].to_string();
        assert!(findings.contains(words), "{findings} lacks {words:?}");
        scene.assert_clean();
    }
}

/// Somebody has opened our own security group since it was made.
#[tokio::test]
async fn nothing_is_checked_behind_a_security_group_that_lets_something_out() {
    for (protocol, to, words) in [
        ("-1", "0.0.0.0/0", "lets everything out to 0.0.0.0/0"),
        ("tcp", "::/0", "lets tcp 443 out to ::/0"),
        ("-1", "127.0.0.0/8", "out to 127.0.0.0/8"),
        ("tcp", "pl-6da54004", "lets tcp 443 out to pl-6da54004"),
        (
            "udp",
            "sg-0150ca7ed0000000f",
            "lets udp 443 out to sg-0150ca7ed0000000f",
        ),
    ] {
        let scene = Scene::set(UNCHECKED).await;
        let open = SecurityGroup::closed(SECURITY_GROUP, VPC).letting_out(protocol, to);
        scene.world.add_security_group(open);
        let point = scene.backup("orders", RestoreBehaviour::bare());
        let record = scene.prove(&point).await;
        assert_eq!(outcome(&record), ("inconclusive", "deleted"), "{words}");
        let findings = record["findings"].to_string();
        assert!(findings.contains(words), "{findings} lacks {words:?}");
        assert!(findings.contains(SECURITY_GROUP), "{findings}");
        scene.assert_clean();
    }
}

/// A group without a single rule lets nothing out either.
#[tokio::test]
async fn a_security_group_without_rules_is_closed() {
    let scene = Scene::set(UNCHECKED).await;
    scene.world.add_security_group(SecurityGroup {
        egress: vec![],
        ..SecurityGroup::closed(SECURITY_GROUP, VPC)
    });
    let point = scene.backup("orders", RestoreBehaviour::bare());
    assert_eq!(
        outcome(&scene.prove(&point).await),
        ("unchecked", "deleted")
    );
}

/// What could not be asked is no finding: it is asked again.
#[tokio::test]
async fn an_error_about_security_groups_is_no_finding() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let id = scene.lands(&point).await;
    let denied = Fault::error("UnauthorizedOperation", 403).times(Times::Forever);
    let fault = scene
        .world
        .faults()
        .fail("EC2.DescribeSecurityGroups", denied);
    for _ in 0..3 {
        scene.sweep().await;
    }
    let validation = scene.validation(&id);
    assert_eq!(
        validation["stage"], "restoring",
        "that it was restored is written with what follows"
    );
    assert_eq!(validation["verdict"], Value::Null);
    scene.world.faults().remove(fault);
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    assert_eq!(record["findings"], json!([]));
}

/// A continuous backup has one ARN for all its life, and needs a point in time to be restored to.
#[tokio::test]
async fn not_tested_when_the_backup_is_continuous() {
    let scene = Scene::set(UNCHECKED).await;
    let point = RecoveryPoint {
        arn: format!("arn:aws:backup:{REGION}:{ACCOUNT}:recovery-point:continuous:db-1a2b3c"),
        ..scene.point("orders")
    };
    let record = scene.prove(&scene.add(point)).await;
    assert_eq!(outcome(&record), ("not_tested", "nothing_to_delete"));
    let reason = record["verdict_reason"].as_str().unwrap();
    assert!(reason.contains("continuous"), "{record:#}");
}

/// Right after COMPLETED, RDS may answer "not found", and the instance is backing up or modifying itself.
#[tokio::test]
async fn an_instance_that_is_not_there_yet_is_waited_for() {
    let scene = Scene::set(UNCHECKED).await;
    let phase = |status: &str| StatusPhase {
        status: status.to_owned(),
        lasts: Duration::from_millis(1500),
    };
    let behaviour = RestoreBehaviour {
        instance: InstanceBehaviour {
            hidden_describes: 3,
            ..InstanceBehaviour::default()
        },
        ..RestoreBehaviour::bare()
    };
    let record = scene.prove(&scene.backup("hidden", behaviour)).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));

    let behaviour = RestoreBehaviour {
        instance: InstanceBehaviour {
            statuses: vec![phase("modifying"), phase("rebooting")],
            ..InstanceBehaviour::default()
        },
        ..RestoreBehaviour::bare()
    };
    let record = scene.prove(&scene.backup("busy", behaviour)).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"));
    let preparation = record["preparation_duration"].as_f64().unwrap();
    assert!(preparation >= 0.5 / 60.0, "{preparation} minutes");
    scene.assert_clean();
}

#[tokio::test]
async fn inconclusive_when_the_restored_database_does_not_come_up() {
    for status in [
        "failed",
        "incompatible-network",
        "inaccessible-encryption-credentials",
    ] {
        let scene = Scene::set(UNCHECKED).await;
        let (id, mut instance) = restored(&scene, "orders").await;
        instance.status = status.to_owned();
        scene.world.add_db_instance(instance);
        let record = scene.close(&id).await;
        assert_eq!(outcome(&record), ("inconclusive", "deleted"), "{status}");
        assert_says(&record, "verdict_reason", status);
        scene.assert_clean();
    }
}

/// `policy check` refuses it in the same words.
#[tokio::test]
async fn inconclusive_when_the_policy_is_too_large() {
    let scene = Scene::set(&format!("{UNCHECKED}# {}\n", "x".repeat(1 << 20))).await;
    let record = scene
        .prove(&scene.backup("orders", RestoreBehaviour::bare()))
        .await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    assert_says(
        &record,
        "verdict_reason",
        "more than the 1 MiB that a policy file may have",
    );
}

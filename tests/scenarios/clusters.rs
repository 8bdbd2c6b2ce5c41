//! Aurora: a cluster is restored without an instance, gets a writer, is looked into, and goes after its writer has gone.
//! What its data says is tested on real engines.

use std::time::Duration;

use jiff::SignedDuration;
use restore_proof_local_aws::{
    ClusterBehaviour, DbCluster, DbInstance, Fault, PasswordReset, RecoveryPoint, Refusal,
    RestoreBehaviour, RestoreOutcome, Times, WaysIn, WriterBehaviour,
};
use restore_proof_tests::{PREFIX, SUBNET_GROUP, Scene};
use serde_json::{Value, json};

/// Its check errors, since nothing listens in these worlds: whatever else is to be done is done.
const POLICY: &str = r#"
version = "test"
[[rules]]
name = "all"
match = {}
frequency = "every-copy"
credentials = { secret = "restore-proof/shop" }
[[rules.checks]]
name = "orders are there"
kind = "sql"
query = "select count(*) from orders"
timeout = "1s"
expect = { min = 1 }
"#;

const UNCHECKED: &str = r#"
version = "test"
rules = [{ name = "all", match = {}, frequency = "every-copy" }]
"#;

fn planned(record: &Value) -> String {
    format!("{PREFIX}-r-{}-1", record["validation_id"].as_str().unwrap())
}

/// The operations that changed something in RDS, in their order.
fn changes(scene: &Scene) -> Vec<String> {
    let calls = scene.world.calls().into_iter();
    let calls = calls.filter(|call| call.mutating && call.service == "RDS");
    calls.map(|call| call.name()).collect()
}

fn add(scene: &Scene, cluster: ClusterBehaviour) -> String {
    scene.add(RecoveryPoint {
        behaviour: RestoreBehaviour {
            cluster,
            ..RestoreBehaviour::bare()
        },
        ..scene.cluster_point("orders")
    })
}

async fn prove(policy: &str, cluster: ClusterBehaviour) -> (Scene, Value) {
    let scene = Scene::set(policy).await;
    let point = add(&scene, cluster);
    let record = Box::pin(scene.prove(&point)).await;
    (scene, record)
}

/// Closes the validation with runs so short that none waits for what is not ready: here only the world's time passes.
async fn close_unwaiting(scene: &Scene, id: &str) -> Value {
    for _ in 0..100 {
        scene.deliver_within(SignedDuration::from_secs(95)).await;
        if scene.item(id)["stage"]["S"] == "closed" {
            break;
        }
        sweeps_unwaiting(scene, 1).await;
    }
    scene.record(id)
}

/// So many sweeps, none of which waits for what is not ready.
async fn sweeps_unwaiting(scene: &Scene, count: usize) {
    let short = SignedDuration::from_secs(95);
    for _ in 0..count {
        scene.pass(SignedDuration::from_mins(5));
        let sweep = json!({ "sweep": "due" });
        let _ = scene.try_invoke_within(sweep, short).await;
        scene.deliver_within(short).await;
    }
}

async fn prove_unwaiting(policy: &str, cluster: ClusterBehaviour) -> (Scene, Value) {
    let scene = Scene::set(policy).await;
    let point = add(&scene, cluster);
    let id = scene.lands(&point).await;
    let record = Box::pin(close_unwaiting(&scene, &id)).await;
    (scene, record)
}

#[tokio::test]
async fn a_cluster_gets_a_range_and_a_writer_and_goes_after_it() {
    let (scene, record) = prove(POLICY, ClusterBehaviour::default()).await;
    assert_eq!(record["cleanup"], "deleted", "{record:#}");
    assert_eq!(record["checks"][0]["outcome"], "errored");
    let name = planned(&record);
    assert_eq!(record["restored_instance_id"], name);
    assert_eq!(record["restored_class"], "db.serverless");
    assert_eq!(
        changes(&scene),
        [
            "RDS.ModifyDBCluster",
            "RDS.CreateDBInstance",
            "RDS.AddTagsToResource",
            "RDS.DeleteDBInstance",
            "RDS.DeleteDBCluster",
        ]
    );
    let calls = scene.world.calls();
    let created = calls
        .iter()
        .find(|call| call.operation == "CreateDBInstance");
    assert!(created.unwrap().mentions(&format!("{name}-w")));
    scene.assert_clean();
}

/// A class of its own needs no range of capacity.
#[tokio::test]
async fn a_writer_of_a_class_needs_no_range() {
    let policy = POLICY.replace(
        "frequency",
        "aurora = { instance_class = \"db.t4g.medium\" }\nfrequency",
    );
    let (scene, record) = prove(&policy, ClusterBehaviour::default()).await;
    assert_eq!(record["cleanup"], "deleted", "{record:#}");
    assert_eq!(record["restored_class"], "db.t4g.medium");
    assert_eq!(changes(&scene)[0], "RDS.CreateDBInstance");
    scene.assert_clean();
}

/// Nobody would look into it: then it costs nothing but its storage.
#[tokio::test]
async fn without_checks_no_writer_is_paid_for() {
    let (scene, record) = prove(UNCHECKED, ClusterBehaviour::default()).await;
    assert_eq!(record["verdict"], "unchecked", "{record:#}");
    assert_eq!(record["cleanup"], "deleted");
    assert_eq!(changes(&scene), ["RDS.DeleteDBCluster"]);
    scene.assert_clean();
}

/// What RDS refuses for good ends the validation at once, and says so; there is nothing but the cluster to delete.
#[tokio::test]
async fn a_writer_that_is_refused_is_not_the_backups_fault() {
    let writer = WriterBehaviour {
        refused: Some(Refusal::new(
            "InvalidParameterCombination",
            "RDS does not support creating a DB instance with the following combination",
        )),
        ..WriterBehaviour::default()
    };
    let cluster = ClusterBehaviour {
        writer,
        ..ClusterBehaviour::default()
    };
    let (scene, record) = prove(POLICY, cluster).await;
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    let detail = record["checks"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("InvalidParameterCombination"), "{detail}");
    assert_eq!(record["cleanup"], "deleted");
    scene.assert_clean();
}

/// RDS has no room now: it is asked again, for as long as a writer may take.
#[tokio::test]
async fn a_writer_without_capacity_is_asked_for_again() {
    let refused = |times| ClusterBehaviour {
        writer: WriterBehaviour {
            refused: Some(Refusal {
                times,
                ..Refusal::no_capacity()
            }),
            ..WriterBehaviour::default()
        },
        ..ClusterBehaviour::default()
    };
    let (scene, record) = prove_unwaiting(POLICY, refused(3)).await;
    assert_eq!(record["restored_class"], "db.serverless", "{record:#}");
    scene.assert_clean();
    let (scene, record) = prove_unwaiting(POLICY, refused(u32::MAX)).await;
    assert_eq!(record["verdict"], "inconclusive");
    let detail = record["checks"][0]["detail"].as_str().unwrap();
    assert!(
        detail.contains("within 120 minutes") && detail.contains("InsufficientDBInstanceCapacity"),
        "{detail}"
    );
    assert_eq!(record["cleanup"], "deleted");
    scene.assert_clean();
}

#[tokio::test]
async fn a_writer_that_is_never_ready_is_not_waited_for_for_ever() {
    for (ends_in, words) in [
        ("creating", "within 120 minutes"),
        ("incompatible-network", "incompatible-network"),
        ("failed", "failed"),
    ] {
        let cluster = ClusterBehaviour {
            writer: WriterBehaviour {
                ends_in: Some(ends_in.to_owned()),
                ..WriterBehaviour::default()
            },
            ..ClusterBehaviour::default()
        };
        let (scene, record) = prove_unwaiting(POLICY, cluster).await;
        assert_eq!(record["verdict"], "inconclusive", "{ends_in}: {record:#}");
        let said = format!("{} {}", record["verdict_reason"], record["checks"]);
        assert!(said.contains(words), "{ends_in}: {said}");
        // Of an instance that never came to be RDS does not say since when it exists, so that it cannot be proved ours:
        // it and its cluster are left to people, who are told why.
        assert_eq!(record["cleanup"], "left_behind", "{ends_in}: {record:#}");
        let why = record["cleanup_reason"].as_str().unwrap();
        assert!(why.contains(&format!("{}-w", planned(&record))), "{why}");
        assert!(!changes(&scene).iter().any(|call| call.contains("Delete")));
    }
}

/// RDS refuses to delete a cluster while an instance is there: the instance goes first, and each is proved.
#[tokio::test]
async fn a_deletion_that_is_refused_is_tried_again_and_told() {
    let still_there = Refusal {
        times: 2,
        ..Refusal::new(
            "InvalidDBClusterStateFault",
            "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
        )
    };
    let cluster = ClusterBehaviour {
        deletion_refused: Some(still_there),
        ..ClusterBehaviour::default()
    };
    let scene = Scene::set(POLICY).await;
    let point = add(&scene, cluster);
    let id = scene.lands(&point).await;
    for _ in 0..12 {
        scene.sweep().await;
    }
    assert_eq!(scene.record(&id)["cleanup"], "left_behind");
    assert_eq!(scene.instances(), [""; 0], "the writer is gone");
    // Tried again each day.
    for _ in 0..3 {
        scene.pass(SignedDuration::from_hours(24));
        scene.sweep().await;
        scene.sweep().await;
    }
    let record = Box::pin(scene.close(&id)).await;
    assert_eq!(record["cleanup"], "deleted", "{record:#}");
    scene.assert_clean();
}

/// A colleague's cluster, with a name as ours in a subnet group as ours: looked at, and nothing more.
#[tokio::test]
async fn a_colleagues_cluster_survives() {
    let scene = Scene::set(POLICY).await;
    let annas = "restore-proof-r-annas-cluster";
    scene.world.add_db_cluster(DbCluster {
        identifier: annas.to_owned(),
        subnet_group: SUBNET_GROUP.to_owned(),
        created_at: scene.now(),
        ..DbCluster::default()
    });
    let behaviour = RestoreBehaviour {
        outcome: RestoreOutcome::NamesExisting {
            instance: annas.to_owned(),
        },
        ..RestoreBehaviour::bare()
    };
    let point = scene.add(RecoveryPoint {
        behaviour,
        ..scene.cluster_point("orders")
    });
    let id = scene.lands(&point).await;
    for _ in 0..6 {
        scene.sweep().await;
    }
    let record = scene.record(&id);
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    assert_eq!(record["cleanup"], "left_behind");
    scene.assert_untouched(annas);
}

/// A colleague adds an instance to our cluster: it is theirs, and so nothing of the cluster is deleted before they take
/// it out again.
#[tokio::test]
async fn a_colleagues_instance_in_our_cluster_survives() {
    let annas = "annas-reader";
    let cluster = ClusterBehaviour {
        joined_by: Some(annas.to_owned()),
        ..ClusterBehaviour::default()
    };
    let scene = Scene::set(POLICY).await;
    let point = add(&scene, cluster);
    let id = scene.lands(&point).await;
    for _ in 0..12 {
        scene.sweep().await;
    }
    let record = scene.record(&id);
    assert_eq!(record["cleanup"], "left_behind", "{record:#}");
    let why = record["cleanup_reason"].as_str().unwrap();
    assert!(why.contains(annas), "{why}");
    scene.assert_untouched(annas);
    assert!(!changes(&scene).iter().any(|call| call.contains("Delete")));
    scene.world.remove_db_instance(annas);
    scene.pass(SignedDuration::from_hours(24));
    let record = Box::pin(scene.close(&id)).await;
    assert_eq!(record["cleanup"], "deleted", "{record:#}");
    scene.assert_clean();
}

/// Each way into an "express" cluster beside its network keeps checks and passwords away from it.
#[tokio::test]
async fn a_cluster_that_can_be_reached_from_elsewhere_is_not_looked_into() {
    for (ways_in, words) in [
        (
            WaysIn {
                internet_access_gateway_enabled: Some(true),
                ..WaysIn::default()
            },
            "an internet gateway of its own",
        ),
        (
            WaysIn {
                vpc_networking_enabled: Some(false),
                ..WaysIn::default()
            },
            "in no VPC",
        ),
        (
            WaysIn {
                publicly_accessible: Some(true),
                ..WaysIn::default()
            },
            "publicly accessible",
        ),
        (
            WaysIn {
                http_endpoint_enabled: true,
                ..WaysIn::default()
            },
            "Data API",
        ),
    ] {
        let cluster = ClusterBehaviour {
            ways_in,
            ..ClusterBehaviour::default()
        };
        let (scene, record) = prove(POLICY, cluster).await;
        assert_eq!(record["verdict"], "inconclusive", "{record:#}");
        let reason = record["verdict_reason"].as_str().unwrap();
        assert!(reason.contains(words), "{reason}");
        assert_eq!(changes(&scene), ["RDS.DeleteDBCluster"], "{words}");
        scene.assert_clean();
    }
}

/// The writer's time belongs to the recovery, our password's does not.
#[tokio::test]
async fn the_writers_time_is_part_of_the_recovery() {
    let cluster = ClusterBehaviour {
        writer: WriterBehaviour {
            takes: Duration::from_secs(8 * 60),
            ..WriterBehaviour::default()
        },
        master_password: PasswordReset {
            takes: Duration::from_secs(20 * 60),
            ..PasswordReset::default()
        },
        ..ClusterBehaviour::default()
    };
    let policy = POLICY.replace("{ secret = \"restore-proof/shop\" }", "\"reset\"");
    let (scene, record) = prove_unwaiting(&policy, cluster).await;
    assert_eq!(record["cleanup"], "deleted", "{record:#}");
    let preparation = record["preparation_duration"].as_f64().unwrap();
    // Sweeps come every five minutes in this scene.
    assert!((3.0..14.0).contains(&preparation), "{preparation}");
    assert_eq!(
        changes(&scene)[..3],
        [
            "RDS.ModifyDBCluster",
            "RDS.CreateDBInstance",
            "RDS.ModifyDBCluster"
        ]
    );
    scene.assert_clean();
}

/// A restore that failed without naming what it made: people are told of the cluster with our name.
#[tokio::test]
async fn what_a_failed_restore_leaves_is_told() {
    let scene = Scene::set(POLICY).await;
    let behaviour = RestoreBehaviour {
        outcome: RestoreOutcome::FailsLeaving {
            message: "The DB cluster could not be restored".to_owned(),
            named: false,
        },
        ..RestoreBehaviour::bare()
    };
    let point = scene.add(RecoveryPoint {
        behaviour,
        ..scene.cluster_point("orders")
    });
    let id = scene.lands(&point).await;
    for _ in 0..6 {
        scene.sweep().await;
    }
    let record = scene.record(&id);
    assert_eq!(record["cleanup"], "left_behind", "{record:#}");
    let why = record["cleanup_reason"].as_str().unwrap();
    assert!(why.contains(&planned(&record)), "{why}");
    assert_eq!(changes(&scene), [""; 0]);
}

/// A writer of ours that somebody else has made before we wished for it is not ours.
#[tokio::test]
async fn a_writer_that_was_there_before_is_not_ours() {
    let scene = Scene::set(POLICY).await;
    let hang = Fault::error("InvalidDBClusterStateFault", 400).times(Times::Forever);
    let fault = scene.world.faults().fail("RDS.CreateDBInstance", hang);
    let point = add(&scene, ClusterBehaviour::default());
    let id = scene.lands(&point).await;
    sweeps_unwaiting(&scene, 1).await;
    let writer = format!("{PREFIX}-r-{id}-1-w");
    scene.world.add_db_instance(DbInstance {
        identifier: writer.clone(),
        cluster: Some(format!("{PREFIX}-r-{id}-1")),
        created_at: Some(scene.now() - SignedDuration::from_hours(2)),
        subnet_group: SUBNET_GROUP.to_owned(),
        engine: "aurora-postgresql".to_owned(),
        ..DbInstance::default()
    });
    scene.world.faults().remove(fault);
    sweeps_unwaiting(&scene, 30).await;
    let record = scene.record(&id);
    assert_eq!(record["cleanup"], "left_behind", "{record:#}");
    scene.assert_untouched_after(scene.world.calls().len(), &writer);
    assert!(!changes(&scene).iter().any(|call| call.contains("Delete")));
}

//! Gone is what is not found twice, minutes apart; nothing else is.

use restore_proof_local_aws::{Machine, WorldOptions};

use super::*;

/// Its check errors, since nothing listens here: what is looked into needs a writer.
const LOOKS_INTO: &str = r#"
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

fn not_found() -> Fault {
    Fault::error("DBInstanceNotFound", 404)
}

/// Moves the validation on while RDS does not find its instance for a moment.
async fn unseen(scene: &Scene, id: &str) {
    let faults = scene.world.faults();
    let struck = faults.hits();
    faults.fail("RDS.DescribeDBInstances", not_found());
    scene.invoke(advance(id)).await;
    assert_eq!(faults.hits(), struck + 1);
}

#[tokio::test]
async fn what_is_not_found_once_is_not_gone() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let (scene, id) = judged(scene, &point).await;
    scene.pass(SignedDuration::from_mins(1));
    unseen(&scene, &id).await;
    assert_eq!(scene.record(&id)["cleanup"], "pending", "once");
    scene.pass(SignedDuration::from_secs(60));
    unseen(&scene, &id).await;
    assert_eq!(scene.record(&id)["cleanup"], "pending", "not minutes apart");
    assert_eq!(scene.instances().len(), 1);
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
    scene.assert_clean();
}

#[tokio::test]
async fn what_was_seen_in_between_was_not_gone() {
    let options = WorldOptions {
        deletion_takes: std::time::Duration::from_secs(3600),
        ..WorldOptions::default()
    };
    let scene = Scene::with_options(UNCHECKED, options).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let (scene, id) = judged(scene, &point).await;
    scene.pass(SignedDuration::from_mins(1));
    unseen(&scene, &id).await;
    scene.pass(SignedDuration::from_mins(3));
    scene.invoke(advance(&id)).await;
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 1, "it was seen");
    scene.pass(SignedDuration::from_mins(1));
    unseen(&scene, &id).await;
    assert_eq!(scene.record(&id)["cleanup"], "pending");
    assert_eq!(scene.instances().len(), 1, "it is still being deleted");
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
}

/// Moves the validation on for a quarter of an hour in which AWS does not let us look, and then closes it.
async fn blind(scene: &Scene, id: &str, operation: &str) {
    let blind = scene.world.faults().fail(operation, denied());
    for _ in 0..3 {
        scene.sweep().await;
    }
    assert_eq!(scene.record(id)["cleanup"], "pending", "{operation}");
    scene.world.faults().remove(blind);
    let record = scene.close(id).await;
    assert_eq!(outcome(&record), ("unchecked", "deleted"), "{operation}");
    scene.assert_clean();
}

#[tokio::test]
async fn a_database_that_we_may_not_look_for_is_not_gone() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let (scene, id) = judged(scene, &point).await;
    scene.sweep().await;
    blind(&scene, &id, "RDS.DescribeDBInstances").await;
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 1);
}

#[tokio::test]
async fn a_machine_that_we_may_not_look_for_is_not_gone() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.add(scene.machine_point("0150a9", Machine::default()));
    let (scene, id) = judged(scene, &point).await;
    blind(&scene, &id, "EC2.DescribeInstances").await;
    assert_eq!(calls(&scene, "EC2.TerminateInstances"), 1);
}

/// The writer of a cluster is proved by its cluster, which must not be taken for ended meanwhile.
#[tokio::test]
async fn a_cluster_that_is_not_found_once_is_not_gone() {
    let scene = Scene::set(LOOKS_INTO).await;
    let point = scene.add(scene.cluster_point("orders"));
    let (scene, id) = judged(scene, &point).await;
    let faults = scene.world.faults();
    let struck = faults.hits();
    let not_found = Fault::error("DBClusterNotFoundFault", 404);
    faults.fail("RDS.DescribeDBClusters", not_found);
    scene.invoke(advance(&id)).await;
    assert_eq!(faults.hits(), struck + 1);
    assert_eq!(scene.record(&id)["cleanup"], "pending");
    assert_eq!(scene.instances().len(), 1, "its writer");
    assert_eq!(scene.close(&id).await["cleanup"], "deleted");
    assert_eq!(calls(&scene, "RDS.DeleteDBInstance"), 1);
    assert_eq!(calls(&scene, "RDS.DeleteDBCluster"), 1);
    scene.assert_clean();
}

/// A machine has been ended, and its volume is still there.
async fn left_its_volume() -> (Scene, String) {
    let scene = Scene::set(UNCHECKED).await;
    let leaves = Machine {
        volumes_stay: true,
        ..Machine::default()
    };
    let point = scene.add(scene.machine_point("0150a9", leaves));
    let (scene, id) = judged(scene, &point).await;
    scene.pass(SignedDuration::from_mins(2));
    scene.invoke(advance(&id)).await;
    assert_eq!(calls(&scene, "EC2.TerminateInstances"), 1);
    (scene, id)
}

#[tokio::test]
async fn a_volume_that_is_not_found_once_is_not_gone() {
    let (scene, id) = left_its_volume().await;
    scene.pass(SignedDuration::from_mins(2));
    let faults = scene.world.faults();
    let struck = faults.hits();
    let not_found = Fault::error("InvalidVolume.NotFound", 400);
    faults.fail("EC2.DescribeVolumes", not_found);
    scene.invoke(advance(&id)).await;
    assert_eq!(faults.hits(), struck + 1);
    assert_eq!(outcome(&scene.close(&id).await), ("unchecked", "deleted"));
    assert_eq!(calls(&scene, "EC2.DeleteVolume"), 1);
    scene.assert_clean();
}

#[tokio::test]
async fn a_volume_that_we_may_not_look_for_is_not_gone() {
    let (scene, id) = left_its_volume().await;
    blind(&scene, &id, "EC2.DescribeVolumes").await;
    assert_eq!(calls(&scene, "EC2.DeleteVolume"), 1);
}

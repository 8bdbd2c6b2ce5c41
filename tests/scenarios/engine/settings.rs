//! Databases as they are: those that RDS is busy with answer all the while.

use restore_proof_local_aws::{InstanceBehaviour, StatusPhase};

use super::*;

/// Case 07. RDS backs a restored instance up for hours; people find it and use it.
#[tokio::test]
async fn a_database_that_is_backed_up_for_hours_is_checked_at_once() {
    for status in ["backing-up", "storage-optimization"] {
        let shop = Shop::open(&policy(
            "objectives = { recovery_time = \"10m\" }",
            &[THERE],
        ))
        .await;
        let busy = StatusPhase {
            status: status.to_owned(),
            lasts: Duration::from_secs(3 * 60 * 60),
        };
        let behaviour = RestoreBehaviour {
            instance: InstanceBehaviour {
                statuses: vec![busy],
                ..InstanceBehaviour::default()
            },
            ..RestoreBehaviour::database(shop.engine.fresh.clone())
        };
        let point = shop.backup_that(&format!("busy-{status}"), behaviour);
        let record = shop.prove(&point).await;
        assert_eq!(outcome(&record), ("passed", "deleted"), "{record:#}");
        assert!(record["preparation_duration"].as_f64().unwrap() < 2.0);
        assert_eq!(record["recovery_time_objective"], "met");
        shop.scene.assert_clean();
    }
}

//! Databases as they are: those that RDS is busy with answer all the while, and a copy has not all settings of its source.

use restore_proof_local_aws::{InstanceBehaviour, StatusPhase};
use restore_proof_tests::root;

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

/// Case 06. The source had lower_case_table_names = 1 in a parameter group of its own, and its application writes `Orders`.
#[tokio::test]
async fn a_name_that_is_not_there_under_other_settings_is_errored_and_the_group_is_told() {
    let case = root().join("tests/cases/06-policy-mixed-case.toml");
    let policy = std::fs::read_to_string(case)
        .unwrap()
        .replace("restore-proof/shop", SECRET)
        // The servers here take no connection without TLS.
        .replace("tls = \"off\"", "tls = \"verify\"");
    // What is there in other letters proves nothing in any case; what is not there at all does under the same settings.
    for (name, group, table, verdict) in [
        ("own-group", "shop-prod-lowercase", "Orders", "inconclusive"),
        (
            "own-group-gone",
            "shop-prod-lowercase",
            "Wishes",
            "inconclusive",
        ),
        (
            "default-group",
            "default.mariadb10.11",
            "Orders",
            "inconclusive",
        ),
        (
            "default-group-gone",
            "default.mariadb10.11",
            "Wishes",
            "failed",
        ),
    ] {
        let policy = policy.replace("Orders", table);
        let shop = Shop::of(Kind::MariaDb, &policy).await;
        let mut point = Kind::MariaDb.point(&shop.scene, name);
        point.created_at = shop.engine.backup_at;
        point.behaviour = RestoreBehaviour::database(shop.engine.fresh.clone());
        point.database.parameter_group = group.to_owned();
        let point = shop.scene.add(point);
        let record = shop.prove(&point).await;
        assert_eq!(outcome(&record), (verdict, "deleted"), "{record:#}");
        let findings = record["findings"].to_string();
        let is_own = name.starts_with("own");
        assert_eq!(
            findings.contains("shop-prod-lowercase"),
            is_own,
            "{findings}"
        );
        let detail = record["checks"][0]["detail"].as_str().unwrap();
        assert_eq!(
            detail.contains("lower_case_table_names"),
            verdict == "inconclusive",
            "{detail}"
        );
        shop.scene.assert_clean();
    }
}

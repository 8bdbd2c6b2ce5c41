//! Aurora's data, on real engines: as that of a DB instance, once the cluster has its writer.

use restore_proof_local_aws::{ClusterBehaviour, WriterBehaviour};

use super::*;

#[tokio::test]
async fn passed_when_the_data_is_there_and_recent_and_the_writer_is_part_of_the_recovery() {
    let _for_all_cases = engines().await;
    for (kind, database) in [
        (Kind::AuroraPostgres, "aurora-healthy-pg"),
        (Kind::AuroraMySql, "aurora-healthy-my"),
    ] {
        let shop = Shop::of(kind, &policy(OBJECTIVES, &[THERE, RECENT])).await;
        let takes = Duration::from_secs(2);
        let behaviour = RestoreBehaviour {
            cluster: ClusterBehaviour {
                writer: WriterBehaviour {
                    takes,
                    ..WriterBehaviour::default()
                },
                ..ClusterBehaviour::default()
            },
            ..RestoreBehaviour::database(shop.engine.fresh.clone())
        };
        let point = shop.backup_that(database, behaviour);
        let record = shop.prove(&point).await;
        assert_eq!(outcome(&record), ("passed", "deleted"), "{record:#}");
        assert_eq!(record["resource_type"], "Aurora");
        assert_eq!(record["restored_class"], "db.serverless");
        assert_eq!(record["checks"][0]["value_number"], 12000.0);
        assert_about(&record["data_age"], DATA_AGE);
        assert_eq!(record["data_age_objective"], "met");
        assert_eq!(record["recovery_time_objective"], "met");
        let minutes = |name: &str| record[name].as_f64().unwrap();
        let writer = takes.as_secs_f64() / 60.0;
        assert!(minutes("preparation_duration") >= writer, "{record:#}");
        let without = minutes("restore_duration") + minutes("first_check_duration");
        assert!(
            minutes("recovery_time") >= without + writer - 1e-9,
            "{record:#}"
        );
        shop.scene.assert_clean();
    }
}

#[tokio::test]
async fn failed_when_the_data_is_stale() {
    let shop = Shop::of(Kind::AuroraMySql, &policy(OBJECTIVES, &[THERE, RECENT])).await;
    let point = shop.backup("aurora-stale", &shop.engine.stale);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("failed", "deleted"), "{record:#}");
    assert_eq!(record["checks"][0]["outcome"], "passed");
    assert_eq!(record["checks"][1]["outcome"], "failed");
    assert_about(&record["data_age"], 72 * 60 + DATA_AGE);
    assert_eq!(record["data_age_objective"], "missed");
    shop.scene.assert_clean();
}

#[tokio::test]
async fn failed_when_a_table_is_empty() {
    let shop = Shop::of(Kind::AuroraPostgres, &policy(OBJECTIVES, &[THERE, RECENT])).await;
    let point = shop.backup("aurora-emptied", &shop.engine.emptied);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("failed", "deleted"), "{record:#}");
    assert_eq!(record["checks"][0]["value_number"], 0.0);
    assert_eq!(record["data_age"], Value::Null, "there is no newest data");
    shop.scene.assert_clean();
}

/// Of a cluster that cannot be read nothing is known, least of all that it is damaged.
#[tokio::test]
async fn who_may_not_log_in_cannot_tell() {
    let record = super::login::prove_on(Kind::AuroraMySql, "aurora-denied", "", |shop| {
        shop.log_in_as(READER_USER, "hunter2");
    })
    .await;
    super::login::assert_cannot_tell(&record, "1045");
}

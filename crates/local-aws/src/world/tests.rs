#![allow(clippy::unwrap_used)]
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::engine::{Admin, Dump, MASTER_USER, MariaDb, Postgres};
use crate::process::{StateFolder, processes_in};
use crate::service::testing::*;
use crate::{Fault, SeedFile, SourceCluster, SourceDatabase, Times, serve};

/// Waits, by real time, until something is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "waited in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn quick_world(change: impl FnOnce(&mut RecoveryPoint)) -> World {
    let world = World::new(WorldOptions::default());
    world.add_db_subnet_group(DbSubnetGroup {
        name: "isolated".into(),
        vpc_id: "vpc-1".into(),
    });
    world.add_security_group(SecurityGroup::closed("sg-1", "vpc-1"));
    let mut point = RecoveryPoint {
        arn: POINT.into(),
        created_at: world.now(),
        ..RecoveryPoint::default()
    };
    change(&mut point);
    world.add_recovery_point(point);
    world
}

#[tokio::test]
async fn a_world_moves_by_itself() {
    let world = quick_world(|point| point.behaviour.takes = Duration::from_millis(100));
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let sink = Arc::clone(&seen);
    world.set_event_sink(Arc::new(move |event| lock(&sink).push(event)));
    start_restore(&world, good_metadata(), None);
    // No request, no settling by hand: the ticker does it.
    until("the completion event", || lock(&seen).len() == 3).await;
    assert_eq!(lock(&seen)[2]["detail"]["status"], "COMPLETED");
    until("the ticker's end", || !lock(&world.0.state).ticking).await;
}

#[tokio::test]
async fn a_restored_database_runs_until_it_is_deleted() {
    let state = StateFolder::create().unwrap();
    let postgres = Postgres::new(state.path()).await.unwrap();
    let server = postgres.start_server("source").await.unwrap();
    for sql in [
        "create role master login password 'm'",
        "create database shop owner master",
    ] {
        server.execute("postgres", sql).await.unwrap();
    }
    let dump = postgres.dump(&server, "shop").await.unwrap();
    server.stop().await;
    let world = quick_world(|point| {
        point.behaviour = RestoreBehaviour::database(dump);
        point.database.master_username = "master".into();
    });
    start_restore(&world, good_metadata(), None);
    until("the restore", || {
        world.restore_jobs()[0].status == "COMPLETED"
    })
    .await;
    let instance = world.db_instances().remove(0);
    assert_eq!(
        (instance.status.as_str(), instance.host.as_deref()),
        ("available", Some("localhost"))
    );
    assert!(
        tokio::net::TcpStream::connect(("localhost", instance.port))
            .await
            .is_ok()
    );
    query_call(
        &world,
        "rds",
        &[
            ("Action", "DeleteDBInstance"),
            ("DBInstanceIdentifier", "restore-proof-abc-1"),
            ("SkipFinalSnapshot", "true"),
        ],
    );
    assert_eq!(world.db_instances()[0].status, "deleting");
    until("the server's end", || processes_in(state.path()).is_empty()).await;
    until("the deletion", || world.db_instances().is_empty()).await;
}

/// From ModifyDBInstance to a server that has another password, and not before RDS says so.
async fn gets_a_new_password(dump: &Dump, database: SourceDatabase, fails: bool) {
    let world = quick_world(|point| {
        point.behaviour = RestoreBehaviour::database(dump.clone());
        point.behaviour.instance.master_password.fails = fails;
        point.database = database;
    });
    // Servers of one engine are called by their instances.
    let name = format!("restore-proof-abc-{}", u8::from(fails));
    let mut metadata = good_metadata();
    metadata["DBInstanceIdentifier"] = name.as_str().into();
    start_restore(&world, metadata, None);
    until("the restore", || {
        world.restore_jobs()[0].status == "COMPLETED"
    })
    .await;
    let hash = async || {
        let admin = world.with_state(|state| {
            let instance = &state.instances[&name];
            instance.server.as_ref().unwrap().admin()
        });
        match &admin {
            Admin::Postgres(_) => {
                let sql = "select rolpassword from pg_authid where rolname = 'shop_admin'";
                admin.execute("postgres", sql).await.unwrap()
            }
            Admin::MariaDb(_) => {
                let sql = "select authentication_string from mysql.user where user = 'shop_admin'";
                admin.execute("mysql", sql).await.unwrap()
            }
        }
    };
    let before = hash().await;
    let answer = query_call(
        &world,
        "rds",
        &[
            ("Action", "ModifyDBInstance"),
            ("DBInstanceIdentifier", &name),
            ("MasterUserPassword", "n3w'p\\assword"),
        ],
    );
    assert_eq!(answer.status, 200);
    assert_eq!(hash().await, before);
    let status = || world.db_instances()[0].status.clone();
    until("the reset", || status() == "resetting-master-credentials").await;
    until("the reset's end", || status() == "available").await;
    let after = hash().await;
    assert_eq!(after == before, fails, "{after}");
    assert!(!after.is_empty());
}

#[tokio::test]
async fn a_new_password_reaches_the_engine() {
    let state = StateFolder::create().unwrap();
    let postgres = Postgres::new(state.path()).await.unwrap();
    let mariadb = MariaDb::new(state.path(), &postgres.authority())
        .await
        .unwrap();
    let master = |database: SourceDatabase| SourceDatabase {
        master_username: MASTER_USER.to_owned(),
        ..database
    };
    let server = postgres.start_server("source").await.unwrap();
    for sql in [
        "create role shop_admin login password 'old-one'",
        "create database shop owner shop_admin",
    ] {
        server.execute("postgres", sql).await.unwrap();
    }
    let dump = postgres.dump(&server, "shop").await.unwrap();
    gets_a_new_password(&dump, master(SourceDatabase::default()), false).await;
    let server = mariadb.start_server("source").await.unwrap();
    let sql = "create database shop; create user shop_admin@'%' identified by 'old-one'";
    server.execute("mysql", sql).await.unwrap();
    let dump = mariadb.dump(server, "shop").await.unwrap();
    gets_a_new_password(&dump, master(SourceDatabase::mysql()), false).await;
    // One that the engine never gets to see.
    gets_a_new_password(&dump, master(SourceDatabase::mysql()), true).await;
}

/// A cluster's data becomes a server with its first instance, has the password that was asked for before, and rests again
/// with its last.
async fn a_cluster_becomes_a_server(dump: &Dump, source: SourceCluster, state: &StateFolder) {
    let world = quick_world(|point| {
        point.arn = CLUSTER_POINT.into();
        point.resource_type = "Aurora".into();
        point.behaviour = RestoreBehaviour::database(dump.clone());
        point.cluster = source.clone();
    });
    let name = "restore-proof-abc-1";
    let mut metadata = cluster_metadata();
    metadata["Engine"] = source.engine.as_str().into();
    start_cluster(&world, &metadata);
    let cluster = || world.db_clusters().remove(0);
    until("the restore", || {
        world.restore_jobs()[0].status == "COMPLETED"
    })
    .await;
    let (host, port) = (cluster().host, cluster().port);
    assert!(
        host.ends_with(".invalid") && port == source.port,
        "{host}:{port}"
    );
    assert!(processes_in(state.path()).is_empty());
    let modify = [
        ("DBClusterIdentifier", name),
        ("MasterUserPassword", "n3w'p\\assword"),
        ("ApplyImmediately", "true"),
    ];
    assert_eq!(rds(&world, "ModifyDBCluster", &modify).status, 200);
    until("the reset", || {
        cluster().status == "resetting-master-credentials"
    })
    .await;
    until("the reset's end", || cluster().status == "available").await;
    let writer = format!("{name}-w");
    let create = [
        ("DBClusterIdentifier", name),
        ("DBInstanceIdentifier", &writer),
        ("DBInstanceClass", "db.r6g.large"),
        ("Engine", &source.engine),
        ("PubliclyAccessible", "false"),
    ];
    assert_eq!(rds(&world, "CreateDBInstance", &create).status, 200);
    until("the writer", || {
        let writer = world.db_instances().remove(0);
        assert_eq!(writer.host.is_some(), writer.status == "available");
        writer.status == "available"
    })
    .await;
    let (host, port) = (cluster().host, cluster().port);
    assert_eq!(host, "localhost");
    assert!(
        tokio::net::TcpStream::connect((host.as_str(), port))
            .await
            .is_ok()
    );
    let admin = world.with_state(|state| match &state.clusters[name].data {
        aurora::Data::Running(_, server) => server.admin(),
        _ => panic!("the cluster has no server"),
    });
    let knows = match &admin {
        Admin::Postgres(_) => {
            let sql = "select rolpassword from pg_authid where rolname = 'shop_admin'";
            admin.execute("postgres", sql).await.unwrap()
        }
        Admin::MariaDb(_) => {
            let sql = "select authentication_string = password('n3w\\'p\\\\assword') from mysql.user \
                       where user = 'shop_admin'";
            admin.execute("mysql", sql).await.unwrap()
        }
    };
    assert!(
        knows == "1" || knows.starts_with("SCRAM-SHA-256$"),
        "{knows}"
    );
    let delete = [("DBInstanceIdentifier", writer.as_str())];
    assert_eq!(rds(&world, "DeleteDBInstance", &delete).status, 200);
    until("the server's end", || processes_in(state.path()).is_empty()).await;
    assert!(cluster().host.ends_with(".invalid"));
    let delete = [("DBClusterIdentifier", name), ("SkipFinalSnapshot", "true")];
    assert_eq!(rds(&world, "DeleteDBCluster", &delete).status, 200);
    until("the deletion", || world.db_clusters().is_empty()).await;
    assert!(world.db_instances().is_empty());
}

#[tokio::test]
async fn a_restored_cluster_runs_from_its_first_instance_to_its_last() {
    let state = StateFolder::create().unwrap();
    let postgres = Postgres::new(state.path()).await.unwrap();
    let mariadb = MariaDb::new(state.path(), &postgres.authority())
        .await
        .unwrap();
    let master = |source: SourceCluster| SourceCluster {
        master_username: MASTER_USER.to_owned(),
        ..source
    };
    let server = postgres.start_server("source").await.unwrap();
    for sql in [
        "create role shop_admin login",
        "create database shop owner shop_admin",
    ] {
        server.execute("postgres", sql).await.unwrap();
    }
    let dump = postgres.dump(&server, "shop").await.unwrap();
    server.stop().await;
    a_cluster_becomes_a_server(&dump, master(SourceCluster::default()), &state).await;
    let server = mariadb.start_server("source").await.unwrap();
    let sql = "create database shop; create user shop_admin@'%' identified by 'old-one'";
    server.execute("mysql", sql).await.unwrap();
    let dump = mariadb.dump(server, "shop").await.unwrap();
    a_cluster_becomes_a_server(&dump, master(SourceCluster::mysql()), &state).await;
}

#[tokio::test]
async fn faults_before_and_after_the_effect() {
    let world = quick_world(|_| ());
    world.faults().fail(
        "Backup.StartRestoreJob",
        Fault::error("ServiceUnavailableException", 500),
    );
    let refused = start_restore(&world, good_metadata(), None);
    assert_eq!((refused.status, world.restore_jobs().len()), (500, 0));
    world.faults().fail(
        "backup.*",
        Fault::error("ServiceUnavailableException", 500).after_effect(),
    );
    let refused = start_restore(&world, good_metadata(), None);
    assert_eq!((refused.status, world.restore_jobs().len()), (500, 1));
    let calls = world.calls();
    assert_eq!(
        (calls[0].reached, calls[1].reached, calls[1].injected),
        (false, true, true)
    );
    assert_eq!(
        calls[1].error.as_deref(),
        Some("ServiceUnavailableException")
    );
}

#[tokio::test]
async fn a_hanging_call_is_reported() {
    let world = quick_world(|_| ());
    world
        .faults()
        .fail("*", Fault::once(crate::FaultKind::Hang));
    let request = http::Request::get("/restore-jobs/x")
        .body(Bytes::new())
        .unwrap();
    assert_eq!(world.answer(request).err(), Some(NoAnswer::Hang));
    let faults = world.faults();
    let waiting = tokio::spawn(async move { faults.hung().await });
    tokio::task::yield_now().await;
    world.faults().report_hang();
    waiting.await.unwrap();
}

async fn raw(world: &crate::Server, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(world.address())
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn the_server_answers_records_and_breaks_off() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calls.jsonl");
    let world = quick_world(|_| ());
    world.record_to(&file).unwrap();
    let server = serve(world.clone(), ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let request = "GET /restore-jobs/?status=FAILED HTTP/1.1\r\nhost: x\r\nauthorization: secret\r\nconnection: close\r\n\r\n";
    let answer = raw(&server, request).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("{\"RestoreJobs\":[]}"),
        "{answer}"
    );
    let line: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(
        (line["operation"].as_str(), line["query"].as_str()),
        (Some("ListRestoreJobs"), Some("status=FAILED"))
    );
    assert_eq!(line["request_headers"].get("authorization"), None);
    world.faults().fail(
        "*",
        Fault::once(crate::FaultKind::Reset).times(Times::Forever),
    );
    assert_eq!(raw(&server, request).await, "");
}

#[test]
fn a_seed_file_makes_a_world() {
    let seed: SeedFile = serde_json::from_value(json!({
        "account": "333333333333",
        "recovery_points": [{
            "arn": POINT, "vault": "elsewhere", "created_at": "2026-11-21T00:00:00Z",
            "behaviour": {"takes": 0.5, "outcome": {"fails": {"message": "no"}}, "events": {"lost": true}},
        }],
        "restore_jobs": [{"recovery_point_arn": POINT, "created_at": "2026-11-20T00:00:00Z"}],
        "tables": [{"name": "t", "partition_key": {"name": "id", "type": "S"}}],
    }))
    .unwrap();
    let world = seed.into_world(WorldOptions::default());
    assert_eq!(world.options().account, "333333333333");
    assert_eq!(world.restore_jobs().len(), 1);
    let listed = rest_call(
        &world,
        "backup",
        "GET",
        "/backup-vaults/elsewhere/recovery-points/",
        "",
    );
    assert_eq!(listed.json()["RecoveryPoints"].as_array().unwrap().len(), 1);
    assert!(serde_json::from_value::<SeedFile>(json!({"recovery_pints": []})).is_err());
}

#[test]
fn a_world_of_backup_alone_plays_nothing_else() {
    let world = World::new(WorldOptions {
        rds_endpoint: Some("http://127.0.0.1:1".into()),
        ..WorldOptions::default()
    });
    let refused = query_call(
        &world,
        "rds",
        &[("Action", "DescribeDBInstances"), ("Version", "2014-10-31")],
    );
    assert_eq!(
        refused.element("Message").as_deref(),
        Some("local-aws does not play rds:DescribeDBInstances")
    );
}

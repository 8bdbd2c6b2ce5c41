#![allow(clippy::unwrap_used)]
use std::time::Duration;

use crate::service::testing::*;
use crate::{DbInstance, InstanceBehaviour, PasswordReset, SourceDatabase, StatusPhase, World};

fn describe(world: &World, identifier: &str) -> Answered {
    query_call(
        world,
        "rds",
        &[
            ("Action", "DescribeDBInstances"),
            ("Version", "2014-10-31"),
            ("DBInstanceIdentifier", identifier),
        ],
    )
}

fn delete(world: &World, identifier: &str, skip: bool) -> Answered {
    let skip = if skip { "true" } else { "false" };
    query_call(
        world,
        "rds",
        &[
            ("Action", "DeleteDBInstance"),
            ("Version", "2014-10-31"),
            ("DBInstanceIdentifier", identifier),
            ("SkipFinalSnapshot", skip),
            ("DeleteAutomatedBackups", "true"),
        ],
    )
}

fn code(answer: &Answered) -> (u16, String) {
    (answer.status, answer.element("Code").unwrap())
}

#[test]
fn a_restored_instance_settles_and_goes() {
    let (world, clock) = still_world(|point| {
        point.behaviour.instance = InstanceBehaviour {
            hidden_describes: 2,
            statuses: vec![
                StatusPhase {
                    status: "backing-up".into(),
                    lasts: Duration::from_secs(5),
                },
                StatusPhase {
                    status: "modifying".into(),
                    lasts: Duration::from_secs(5),
                },
            ],
            deletion_takes: Some(Duration::from_secs(30)),
            ..InstanceBehaviour::default()
        };
    });
    assert_eq!(start_restore(&world, good_metadata(), None).status, 200);
    let name = "restore-proof-abc-1";
    clock.ahead(2);
    let creating = describe(&world, name);
    assert_eq!(
        creating.element("DBInstanceStatus").as_deref(),
        Some("creating")
    );
    assert_eq!(
        (
            creating.element("Endpoint"),
            creating.element("InstanceCreateTime")
        ),
        (None, None)
    );
    assert_eq!(
        code(&delete(&world, name, true)),
        (400, "InvalidDBInstanceState".to_owned())
    );
    clock.ahead(58);
    assert_eq!(
        code(&describe(&world, name)),
        (404, "DBInstanceNotFound".to_owned())
    );
    assert_eq!(
        code(&describe(&world, name)),
        (404, "DBInstanceNotFound".to_owned())
    );
    let status = |world: &World| describe(world, name).element("DBInstanceStatus").unwrap();
    assert_eq!(status(&world), "backing-up");
    clock.ahead(5);
    assert_eq!(status(&world), "modifying");
    clock.ahead(5);
    let there = describe(
        &world,
        "arn:aws:rds:eu-central-1:111111111111:db:restore-proof-abc-1",
    );
    for (element, expected) in [
        ("DBInstanceStatus", "available"),
        (
            "DBInstanceArn",
            "arn:aws:rds:eu-central-1:111111111111:db:restore-proof-abc-1",
        ),
        ("InstanceCreateTime", "2026-11-21T01:41:00.000Z"),
        ("DBSubnetGroupName", "isolated"),
        ("VpcSecurityGroupId", "sg-1"),
        ("PubliclyAccessible", "false"),
        ("StorageEncrypted", "true"),
        ("KmsKeyId", "arn:aws:kms:eu-central-1:111111111111:key/k"),
    ] {
        assert_eq!(
            there.element(element).as_deref(),
            Some(expected),
            "{element}"
        );
    }
    let deleting = delete(&world, name, true);
    assert_eq!(
        (
            deleting.status,
            deleting.element("DBInstanceStatus").as_deref()
        ),
        (200, Some("deleting"))
    );
    assert_eq!(
        code(&delete(&world, name, true)),
        (400, "InvalidDBInstanceState".to_owned())
    );
    clock.ahead(29);
    assert_eq!(status(&world), "deleting");
    clock.ahead(1);
    assert_eq!(
        code(&describe(&world, name)),
        (404, "DBInstanceNotFound".to_owned())
    );
    assert_eq!(
        code(&delete(&world, name, true)),
        (404, "DBInstanceNotFound".to_owned())
    );
    let named: Vec<String> = world
        .calls()
        .iter()
        .filter(|call| call.mutating)
        .map(crate::Call::name)
        .collect();
    assert_eq!(named[0], "Backup.StartRestoreJob");
    assert_eq!(named.len(), 5);
    assert!(world.calls().last().unwrap().mentions(name));
}

#[test]
fn deletion_refuses() {
    let (world, _) = still_world(|_| ());
    world.add_db_instance(DbInstance {
        identifier: "guarded".into(),
        deletion_protection: true,
        ..DbInstance::default()
    });
    assert_eq!(
        code(&delete(&world, "guarded", true)),
        (400, "InvalidParameterCombination".to_owned())
    );
    assert_eq!(
        code(&delete(&world, "guarded", false)),
        (400, "InvalidParameterCombination".to_owned())
    );
    assert_eq!(
        code(&delete(&world, "nobody", true)),
        (404, "DBInstanceNotFound".to_owned())
    );
    assert_eq!(world.db_instances().len(), 1);
}

#[test]
fn snapshots_by_name_and_arn() {
    let (world, _) = still_world(|_| ());
    for id in [POINT, "awsbackup:copyjob-1"] {
        let answer = query_call(
            &world,
            "rds",
            &[
                ("Action", "DescribeDBSnapshots"),
                ("Version", "2014-10-31"),
                ("DBSnapshotIdentifier", id),
                ("SnapshotType", "awsbackup"),
            ],
        );
        assert_eq!(
            answer.element("OriginalSnapshotCreateTime").as_deref(),
            Some("2026-11-21T00:00:00.000Z")
        );
        assert_eq!(
            answer.element("SnapshotCreateTime").as_deref(),
            Some("2026-11-21T01:00:00.000Z")
        );
        assert_eq!(answer.element("DBSnapshotArn").as_deref(), Some(POINT));
    }
    let missing = query_call(
        &world,
        "rds",
        &[
            ("Action", "DescribeDBSnapshots"),
            ("DBSnapshotIdentifier", "nope"),
            ("SnapshotType", "awsbackup"),
        ],
    );
    assert_eq!(code(&missing), (404, "DBSnapshotNotFound".to_owned()));
    let other = query_call(
        &world,
        "rds",
        &[("Action", "CreateDBCluster"), ("Version", "2014-10-31")],
    );
    assert_eq!(
        other.element("Message").as_deref(),
        Some("local-aws does not play rds:CreateDBCluster")
    );
}

fn modify(world: &World, parameters: &[(&str, &str)]) -> Answered {
    let mut all = vec![
        ("Action", "ModifyDBInstance"),
        ("Version", "2014-10-31"),
        ("DBInstanceIdentifier", "db"),
        ("ApplyImmediately", "true"),
    ];
    all.extend(parameters);
    query_call(world, "rds", &all)
}

/// Status, and what is pending.
fn seen(world: &World) -> (String, Option<String>) {
    let shown = describe(world, "db");
    (
        shown.element("DBInstanceStatus").unwrap(),
        shown.element("MasterUserPassword"),
    )
}

fn world_with_db(engine: &str) -> (World, HandClock) {
    let (world, clock) = still_world(|_| ());
    world.add_db_instance(DbInstance {
        identifier: "db".into(),
        engine: engine.into(),
        behaviour: InstanceBehaviour {
            master_password: PasswordReset {
                unseen_for: Duration::from_secs(10),
                pending_for: Duration::from_secs(10),
                takes: Duration::from_secs(30),
                fails: false,
            },
            ..InstanceBehaviour::default()
        },
        ..DbInstance::default()
    });
    (world, clock)
}

#[test]
fn a_new_password_takes_its_time() {
    let (world, clock) = world_with_db("postgres");
    let secret = "Abcdefgh+1=&x";
    let asked = modify(&world, &[("MasterUserPassword", secret)]);
    assert_eq!(asked.status, 200);
    assert_eq!(asked.element("MasterUserPassword").as_deref(), Some("****"));
    let available = || "available".to_owned();
    let pending = || Some("****".to_owned());
    clock.ahead(9);
    assert_eq!(seen(&world), (available(), None));
    clock.ahead(1);
    assert_eq!(seen(&world), (available(), pending()));
    clock.ahead(10);
    let resetting = "resetting-master-credentials".to_owned();
    assert_eq!(seen(&world), (resetting.clone(), pending()));
    let refused = modify(&world, &[("MasterUserPassword", "another1")]);
    assert_eq!(code(&refused), (400, "InvalidDBInstanceState".to_owned()));
    clock.ahead(29);
    assert_eq!(seen(&world), (resetting, pending()));
    clock.ahead(1);
    assert_eq!(seen(&world), (available(), None));
    // Nobody can read it out of the calls.
    for words in [secret, "Abcdefgh", "%2B1%3D%26x"] {
        assert!(
            world.calls().iter().all(|call| !call.mentions(words)),
            "{words}"
        );
    }
    assert!(world.calls()[0].mentions("MasterUserPassword=****"));

    // One that is still pending gives way; a deletion ends it all.
    modify(&world, &[("MasterUserPassword", "first-one")]);
    clock.ahead(15);
    modify(&world, &[("MasterUserPassword", "second-one")]);
    clock.ahead(5);
    assert_eq!(seen(&world), (available(), None));
    delete(&world, "db", true);
    clock.ahead(0);
    assert_eq!(seen(&world), ("deleting".to_owned(), None));
}

#[test]
fn passwords_follow_the_engines_rules() {
    let long = |length: usize| "x".repeat(length);
    for (engine, longest) in [("postgres", 128), ("mysql", 41), ("mariadb", 41)] {
        let (world, _) = world_with_db(engine);
        let answer = |password: &str| modify(&world, &[("MasterUserPassword", password)]);
        assert_eq!(answer(&long(longest)).status, 200, "{engine}");
        assert_eq!(answer("'\\`;--!~").status, 200, "{engine}");
        let unfit = [
            &long(7),
            &long(longest + 1),
            "with/slash",
            "with\"quote",
            "with@sign",
            "with space",
            "with-\u{e4}",
            "with-\u{7f}",
        ];
        for password in unfit {
            let refused = answer(password);
            assert_eq!(
                code(&refused),
                (400, "InvalidParameterValue".to_owned()),
                "{engine} {password}"
            );
            assert!(!refused.text().contains(password));
        }
    }
}

#[test]
fn nothing_else_is_modified() {
    let (world, _) = world_with_db("postgres");
    let other = modify(&world, &[("DeletionProtection", "false")]);
    assert_eq!(code(&other), (501, "NotImplemented".to_owned()));
    let missing = query_call(
        &world,
        "rds",
        &[
            ("Action", "ModifyDBInstance"),
            ("DBInstanceIdentifier", "nobody"),
            ("MasterUserPassword", "long-enough"),
        ],
    );
    assert_eq!(code(&missing), (404, "DBInstanceNotFound".to_owned()));
}

#[test]
fn an_instance_says_what_engine_it_is_of() {
    let (world, clock) = still_world(|point| point.database = SourceDatabase::mysql());
    start_restore(&world, good_metadata(), None);
    clock.ahead(60);
    let shown = describe(&world, "restore-proof-abc-1");
    for (element, expected) in [
        ("Engine", "mysql"),
        ("EngineVersion", "8.4.3"),
        ("Port", "3306"),
        ("MasterUsername", "admin"),
        ("LicenseModel", "general-public-license"),
        ("DBParameterGroupName", "default.mysql8.4"),
        ("OptionGroupName", "default:mysql-8-4"),
    ] {
        assert_eq!(
            shown.element(element).as_deref(),
            Some(expected),
            "{element}"
        );
    }
}

/// RDS shows the snapshots of AWS Backup to those who ask for this type, and to nobody else.
#[test]
fn a_snapshot_of_aws_backup_is_found_by_its_type_alone() {
    let (world, _) = still_world(|_| ());
    let ask = |parameters: &[(&str, &str)]| {
        let mut all = vec![("Action", "DescribeDBSnapshots"), ("Version", "2014-10-31")];
        all.extend_from_slice(parameters);
        query_call(&world, "rds", &all)
    };
    for other in [
        &[][..],
        &[("SnapshotType", "manual")],
        &[("SnapshotType", "automated")],
    ] {
        let list = ask(other);
        assert_eq!(list.status, 200);
        assert_eq!(list.element("DBSnapshotArn"), None, "{other:?}");
        let mut by_name = other.to_vec();
        by_name.push(("DBSnapshotIdentifier", POINT));
        assert_eq!(
            code(&ask(&by_name)),
            (404, "DBSnapshotNotFound".to_owned()),
            "{other:?}"
        );
    }
    let list = ask(&[("SnapshotType", "awsbackup")]);
    assert_eq!(list.element("DBSnapshotArn").as_deref(), Some(POINT));
    assert_eq!(
        code(&ask(&[("SnapshotType", "all")])),
        (400, "InvalidParameterValue".to_owned())
    );
}

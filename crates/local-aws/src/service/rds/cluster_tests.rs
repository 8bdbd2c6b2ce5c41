#![allow(clippy::unwrap_used)]
use std::time::Duration;

use serde_json::{Value, json};

use crate::service::testing::*;
use crate::{
    ClusterBehaviour, DbCluster, DbInstance, InstanceBehaviour, PasswordReset, Refusal,
    StatusPhase, WaysIn, World, WriterBehaviour,
};

const NAME: &str = "restore-proof-abc-1";
const WRITER: &str = "restore-proof-abc-1-w";

fn describe(world: &World) -> Answered {
    rds(
        world,
        "DescribeDBClusters",
        &[("DBClusterIdentifier", NAME)],
    )
}

/// The cluster's status, or the error's code.
fn status(world: &World) -> String {
    let text = describe(world).text();
    // The status of the cluster itself stands after its members and roles, and before its storage.
    let own = text
        .rsplit_once("<Status>")
        .map(|(_, rest)| rest.split('<').next().unwrap().to_owned());
    let groups = text
        .split("</DBSubnetGroup>")
        .nth(1)
        .map(|rest| rest.to_owned());
    let found =
        groups.and_then(|rest| Some(rest.split_once("<Status>")?.1.split('<').next()?.to_owned()));
    found
        .or(own)
        .or_else(|| describe(world).element("Code"))
        .unwrap()
}

fn member_status(world: &World, name: &str) -> String {
    let found = rds(
        world,
        "DescribeDBInstances",
        &[("DBInstanceIdentifier", name)],
    );
    found
        .element("DBInstanceStatus")
        .or(found.element("Code"))
        .unwrap()
}

fn create(world: &World, change: &[(&str, &str)]) -> Answered {
    let mut parameters = vec![
        ("DBClusterIdentifier", NAME),
        ("DBInstanceIdentifier", WRITER),
        ("DBInstanceClass", "db.r6g.large"),
        ("Engine", "aurora-postgresql"),
        ("PubliclyAccessible", "false"),
    ];
    for (name, value) in change {
        parameters.retain(|(known, _)| known != name);
        if !value.is_empty() {
            parameters.push((name, value));
        }
    }
    rds(world, "CreateDBInstance", &parameters)
}

fn modify(world: &World, parameters: &[(&str, &str)]) -> Answered {
    let mut all = vec![("DBClusterIdentifier", NAME), ("ApplyImmediately", "true")];
    all.extend_from_slice(parameters);
    rds(world, "ModifyDBCluster", &all)
}

fn delete(world: &World) -> Answered {
    let skips = [("DBClusterIdentifier", NAME), ("SkipFinalSnapshot", "true")];
    rds(world, "DeleteDBCluster", &skips)
}

fn delete_member(world: &World, name: &str) -> Answered {
    rds(world, "DeleteDBInstance", &[("DBInstanceIdentifier", name)])
}

fn refusal(answer: &Answered) -> (u16, String, String) {
    (
        answer.status,
        answer.element("Code").unwrap(),
        answer.element("Message").unwrap(),
    )
}

/// A world with a restored cluster.
fn restored(behaviour: impl FnOnce(&mut ClusterBehaviour)) -> (World, HandClock) {
    let (world, clock) = aurora_world(|point| behaviour(&mut point.behaviour.cluster));
    start_cluster(&world, &cluster_metadata());
    clock.ahead(2);
    world.settle();
    clock.ahead(58);
    world.settle();
    (world, clock)
}

#[test]
fn a_restored_cluster_has_no_instance_until_one_is_made() {
    let (world, clock) = aurora_world(|point| {
        point.behaviour.cluster = ClusterBehaviour {
            hidden_describes: 1,
            statuses: vec![StatusPhase {
                status: "migrating".into(),
                lasts: Duration::from_secs(5),
            }],
            writer: WriterBehaviour {
                takes: Duration::from_secs(300),
                ..WriterBehaviour::default()
            },
            deletion_takes: Some(Duration::from_secs(30)),
            ..ClusterBehaviour::default()
        };
        point.behaviour.instance = InstanceBehaviour {
            statuses: vec![StatusPhase {
                status: "configuring-enhanced-monitoring".into(),
                lasts: Duration::from_secs(9),
            }],
            deletion_takes: Some(Duration::from_secs(60)),
            ..InstanceBehaviour::default()
        };
    });
    let job = start_cluster(&world, &cluster_metadata());
    clock.ahead(2);
    assert_eq!(status(&world), "creating");
    assert_eq!(
        describe(&world).element("ClusterCreateTime").unwrap(),
        "2026-11-21T01:40:01.000Z"
    );
    assert_eq!(
        create(&world, &[]).element("Code").unwrap(),
        "InvalidDBClusterStateFault"
    );
    assert_eq!(
        delete(&world).element("Code").unwrap(),
        "InvalidDBClusterStateFault"
    );
    clock.ahead(58);
    assert_eq!(
        describe(&world).element("Code").unwrap(),
        "DBClusterNotFoundFault"
    );
    assert_eq!(status(&world), "migrating");
    let job = restore_job(&world, &job);
    let arn = format!("arn:aws:rds:eu-central-1:111111111111:cluster:{NAME}");
    assert_eq!(
        (&job["Status"], &job["CreatedResourceArn"]),
        (&json!("COMPLETED"), &json!(arn))
    );
    assert_eq!(
        create(&world, &[]).element("Code").unwrap(),
        "InvalidDBClusterStateFault"
    );
    clock.ahead(5);
    assert_eq!(status(&world), "available");
    assert_eq!(world.db_instances().len(), 0);
    let there = describe(&world);
    for (element, expected) in [
        ("DBClusterArn", arn.as_str()),
        ("DBSubnetGroup", "isolated"),
        ("VpcSecurityGroupId", "sg-1"),
        ("StorageEncrypted", "true"),
        ("KmsKeyId", POINT_KEY),
        ("EngineMode", "provisioned"),
        ("DBClusterParameterGroup", "default.aurora-postgresql16"),
        ("DBClusterMembers", ""),
        ("HttpEndpointEnabled", "false"),
        ("DeletionProtection", "false"),
        ("Key", "env"),
    ] {
        assert_eq!(
            there.element(element).as_deref(),
            Some(expected),
            "{element}"
        );
    }
    for absent in [
        "PubliclyAccessible",
        "VPCNetworkingEnabled",
        "InternetAccessGatewayEnabled",
        "ServerlessV2ScalingConfiguration",
    ] {
        assert_eq!(there.element(absent), None, "{absent}");
    }

    let made = create(
        &world,
        &[("Tags.Tag.1.Key", "of"), ("Tags.Tag.1.Value", "us")],
    );
    assert_eq!(
        (made.status, made.element("DBInstanceStatus").unwrap()),
        (200, "creating".to_owned())
    );
    clock.ahead(299);
    let making = rds(
        &world,
        "DescribeDBInstances",
        &[("DBInstanceIdentifier", WRITER)],
    );
    assert_eq!(
        (
            making.element("Endpoint"),
            making.element("InstanceCreateTime")
        ),
        (None, None)
    );
    assert_eq!(making.element("DBClusterIdentifier").as_deref(), Some(NAME));
    clock.ahead(1);
    assert_eq!(
        member_status(&world, WRITER),
        "configuring-enhanced-monitoring"
    );
    clock.ahead(9);
    let ready = rds(
        &world,
        "DescribeDBInstances",
        &[("DBInstanceIdentifier", WRITER)],
    );
    for (element, expected) in [
        ("DBInstanceStatus", "available"),
        ("InstanceCreateTime", "2026-11-21T01:46:05.000Z"),
        ("PubliclyAccessible", "false"),
        ("VpcSecurityGroupId", "sg-1"),
        ("KmsKeyId", POINT_KEY),
        ("StorageType", "aurora"),
        ("Value", "us"),
    ] {
        assert_eq!(
            ready.element(element).as_deref(),
            Some(expected),
            "{element}"
        );
    }
    let members = describe(&world).element("DBClusterMembers").unwrap();
    assert!(
        members.contains(&format!("<DBInstanceIdentifier>{WRITER}<"))
            && members.contains("<IsClusterWriter>true<")
    );
    assert_eq!(
        describe(&world).element("Endpoint"),
        ready.element("Address")
    );

    // RDS tells which of the two goes first.
    let message =
        "Cluster cannot be deleted, it still contains DB instances in non-deleting state.";
    assert_eq!(
        refusal(&delete(&world)),
        (400, "InvalidDBClusterStateFault".into(), message.into())
    );
    assert_eq!(
        delete_member(&world, WRITER)
            .element("DBInstanceStatus")
            .unwrap(),
        "deleting"
    );
    assert_eq!(delete(&world).status, 200);
    assert_eq!(status(&world), "deleting");
    // It is not gone before its last instance.
    clock.ahead(30);
    assert_eq!(status(&world), "deleting");
    clock.ahead(30);
    assert_eq!(member_status(&world, WRITER), "DBInstanceNotFound");
    assert_eq!(status(&world), "DBClusterNotFoundFault");
}

#[test]
fn a_serverless_instance_needs_a_capacity_range_first() {
    let (world, clock) = restored(|cluster| cluster.modifying_takes = Duration::from_secs(20));
    let serverless = [("DBInstanceClass", "db.serverless")];
    let message = "Set the Serverless v2 scaling configuration on the parent DB cluster before creating a Serverless v2 DB \
                   instance.";
    assert_eq!(
        refusal(&create(&world, &serverless)),
        (400, "InvalidDBClusterStateFault".into(), message.into())
    );
    let range = |min, max| {
        modify(
            &world,
            &[
                ("ServerlessV2ScalingConfiguration.MinCapacity", min),
                ("ServerlessV2ScalingConfiguration.MaxCapacity", max),
            ],
        )
    };
    for (min, max) in [
        ("0.5", "0.5"),
        ("2", "1"),
        ("0.3", "1"),
        ("0.5", "257"),
        ("a", "1"),
    ] {
        assert_eq!(
            range(min, max).element("Code").unwrap(),
            "InvalidParameterValue",
            "{min} {max}"
        );
    }
    let half = modify(
        &world,
        &[("ServerlessV2ScalingConfiguration.MinCapacity", "0.5")],
    );
    assert_eq!(half.element("Code").unwrap(), "InvalidParameterCombination");
    let modified = range("0.5", "1");
    assert_eq!(
        modified
            .element("ServerlessV2ScalingConfiguration")
            .unwrap(),
        "<MaxCapacity>1.0</MaxCapacity><MinCapacity>0.5</MinCapacity>"
    );
    assert_eq!(status(&world), "modifying");
    let message = "DB cluster is not available for modification with status modifying";
    assert_eq!(
        refusal(&range("0.5", "1")),
        (400, "InvalidDBClusterStateFault".into(), message.into())
    );
    assert_eq!(
        create(&world, &serverless).element("Code").unwrap(),
        "InvalidDBClusterStateFault"
    );
    clock.ahead(20);
    assert_eq!(create(&world, &serverless).status, 200);
    assert_eq!(world.db_clusters()[0].serverless_v2.unwrap().max, 1.0);
}

#[test]
fn create_db_instance_refuses() {
    let (world, _) = restored(|_| ());
    world.add_db_instance(DbInstance {
        identifier: "taken".into(),
        ..DbInstance::default()
    });
    let member = |what: &str| {
        format!(
            "The requested DB Instance will be a member of a DB Cluster. Set {what} for the DB Cluster."
        )
    };
    for (change, code, message) in [
        (
            ("DBInstanceIdentifier", "Taken"),
            "DBInstanceAlreadyExists",
            "DB instance already exists".into(),
        ),
        (
            ("DBInstanceIdentifier", "1a"),
            "InvalidParameterValue",
            "is not a valid identifier".to_owned(),
        ),
        (
            ("DBInstanceIdentifier", ""),
            "InvalidParameterValue",
            "must be provided".to_owned(),
        ),
        (
            ("Engine", "aurora-mysql"),
            "InvalidParameterCombination",
            "doesn't match the engine name".into(),
        ),
        (
            ("EngineVersion", "15.1"),
            "InvalidParameterCombination",
            "Cannot find version 15.1".into(),
        ),
        (
            ("DBClusterIdentifier", "nobody"),
            "DBClusterNotFoundFault",
            "DBCluster nobody not found.".into(),
        ),
        (
            ("DBInstanceClass", "r6g.large"),
            "InvalidParameterValue",
            "Invalid DB Instance class".into(),
        ),
        (
            ("DBInstanceClass", "db.t3.micro"),
            "InvalidParameterCombination",
            "following combination".into(),
        ),
        (
            ("DBInstanceClass", "db.m6g.large"),
            "InvalidParameterCombination",
            "following combination".into(),
        ),
        (
            ("MasterUsername", "me"),
            "InvalidParameterCombination",
            member("master user name"),
        ),
        (
            ("MasterUserPassword", "long-enough"),
            "InvalidParameterCombination",
            member("master user password"),
        ),
        (
            ("AllocatedStorage", "20"),
            "InvalidParameterCombination",
            member("allocated storage"),
        ),
        (
            ("DBSubnetGroupName", "other"),
            "InvalidParameterCombination",
            "is different from subnet group".into(),
        ),
        (
            ("AvailabilityZone", "us-east-1a"),
            "InvalidParameterValue",
            "not a valid availability zone".into(),
        ),
        (
            ("Tags.Tag.1.Key", "aws:x"),
            "InvalidParameterValue",
            "reserved prefix".into(),
        ),
        (("Iops", "1000"), "NotImplemented", "with Iops".into()),
        (
            ("DBClusterIdentifier", ""),
            "NotImplemented",
            "without DBClusterIdentifier".into(),
        ),
    ] {
        let (_, got, words) = refusal(&create(&world, &[change]));
        assert_eq!(got, code, "{change:?}: {words}");
        assert!(words.contains(&message), "{change:?}: {words}");
    }
    assert_eq!(world.db_instances().len(), 1);
    // Whoever names neither a subnet group nor this gets an instance with a public address.
    let public = create(&world, &[("PubliclyAccessible", "")]);
    assert_eq!(
        public.element("PubliclyAccessible").as_deref(),
        Some("true")
    );
    let twice = create(&world, &[]);
    assert_eq!(twice.element("Code").unwrap(), "DBInstanceAlreadyExists");
}

#[test]
fn deletion_refuses() {
    let (world, clock) = restored(|cluster| {
        cluster.deletion_refused =
            Some(Refusal::new("InvalidDBClusterStateFault", "Not now.").times(2));
    });
    let call = |parameters: &[(&str, &str)]| {
        let mut all = vec![("DBClusterIdentifier", NAME)];
        all.extend_from_slice(parameters);
        refusal(&rds(&world, "DeleteDBCluster", &all)).1
    };
    assert_eq!(call(&[]), "InvalidParameterCombination");
    let both = [
        ("SkipFinalSnapshot", "true"),
        ("FinalDBSnapshotIdentifier", "last"),
    ];
    assert_eq!(call(&both), "InvalidParameterCombination");
    assert_eq!(
        call(&[("FinalDBSnapshotIdentifier", "last")]),
        "NotImplemented"
    );
    for _ in 0..2 {
        assert_eq!(refusal(&delete(&world)).2, "Not now.");
    }
    create(&world, &[]);
    let early = refusal(&delete_member(&world, WRITER));
    assert_eq!(early.1, "InvalidDBInstanceState");
    clock.ahead(1);
    let final_snapshot = [
        ("DBInstanceIdentifier", WRITER),
        ("FinalDBSnapshotIdentifier", "last"),
    ];
    let message = "FinalDBSnapshotIdentifier can not be specified when deleting a cluster instance";
    assert_eq!(
        refusal(&rds(&world, "DeleteDBInstance", &final_snapshot)),
        (400, "InvalidParameterCombination".into(), message.into())
    );
    let reset = [
        ("DBInstanceIdentifier", WRITER),
        ("MasterUserPassword", "long-enough"),
    ];
    let reset = refusal(&rds(&world, "ModifyDBInstance", &reset));
    assert!(
        reset.2.contains("using the ModifyDbCluster API"),
        "{reset:?}"
    );
    assert_eq!(delete_member(&world, WRITER).status, 200);
    assert_eq!(delete(&world).status, 200);
    let again = refusal(&delete(&world));
    assert_eq!(again.1, "InvalidDBClusterStateFault");
    world.add_db_cluster(DbCluster {
        identifier: NAME.into(),
        deletion_protection: true,
        ..DbCluster::default()
    });
    assert_eq!(
        refusal(&delete(&world)).2,
        "Cannot delete protected Cluster, please disable deletion protection and try again."
    );
}

#[test]
fn what_tests_can_set_of_a_cluster() {
    let (world, clock) = restored(|cluster| {
        cluster.ways_in = WaysIn::express();
        cluster.protects_itself = true;
        cluster.joined_by = Some("annas-reader".into());
        cluster.writer.refused = Some(Refusal::no_capacity().times(1));
    });
    let there = describe(&world);
    assert_eq!(
        there.element("InternetAccessGatewayEnabled").as_deref(),
        Some("true")
    );
    assert_eq!(
        there.element("VPCNetworkingEnabled").as_deref(),
        Some("false")
    );
    assert_eq!(there.element("DeletionProtection").as_deref(), Some("true"));
    assert_eq!(
        refusal(&create(&world, &[])).1,
        "InsufficientDBInstanceCapacity"
    );
    assert_eq!(create(&world, &[]).status, 200);
    clock.ahead(1);
    assert_eq!(member_status(&world, WRITER), "available");
    assert_eq!(member_status(&world, "annas-reader"), "available");
    let members = describe(&world).element("DBClusterMembers").unwrap();
    assert_eq!(members.matches("<IsClusterWriter>true<").count(), 1);
    assert!(
        !members.split(WRITER).next().unwrap().contains(">true<"),
        "{members}"
    );
    // The colleague's instance becomes the writer, and keeps the cluster.
    assert_eq!(delete_member(&world, WRITER).status, 200);
    clock.ahead(1);
    let members = describe(&world).element("DBClusterMembers").unwrap();
    assert!(
        members.contains(">annas-reader<") && members.contains(">true<"),
        "{members}"
    );

    let (world, clock) =
        restored(|cluster| cluster.writer.ends_in = Some("incompatible-network".into()));
    create(&world, &[]);
    clock.ahead(1);
    assert_eq!(member_status(&world, WRITER), "incompatible-network");
    clock.ahead(100_000);
    assert_eq!(member_status(&world, WRITER), "incompatible-network");
    assert_eq!(delete_member(&world, WRITER).status, 200);
}

#[test]
fn a_cluster_gets_a_new_password() {
    let (world, clock) = restored(|cluster| {
        cluster.master_password = PasswordReset {
            unseen_for: Duration::from_secs(2),
            pending_for: Duration::from_secs(3),
            takes: Duration::from_secs(5),
            fails: false,
        };
    });
    let short = modify(&world, &[("MasterUserPassword", "short")]);
    assert_eq!(short.element("Code").unwrap(), "InvalidParameterValue");
    let asked = modify(&world, &[("MasterUserPassword", "long-enough")]);
    assert_eq!(asked.element("MasterUserPassword").as_deref(), Some("****"));
    assert!(!world.calls().last().unwrap().mentions("long-enough"));
    let shown = |world: &World| {
        (
            status(world),
            describe(world).element("MasterUserPassword").is_some(),
        )
    };
    for (after, expected) in [
        (0, ("available", false)),
        (2, ("available", true)),
        (3, ("resetting-master-credentials", true)),
        (4, ("resetting-master-credentials", true)),
        (1, ("available", false)),
    ] {
        clock.ahead(after);
        assert_eq!(
            shown(&world),
            (expected.0.to_owned(), expected.1),
            "{after}"
        );
    }
}

#[test]
fn restore_metadata_is_taken_as_aws_takes_it() {
    let (world, _) = aurora_world(|_| ());
    let path = format!(
        "/backup-vaults/central/recovery-points/{}/restore-metadata",
        CLUSTER_POINT.replace(':', "%3A")
    );
    let metadata = rest_call(&world, "backup", "GET", &path, "").json()["RestoreMetadata"].clone();
    for (key, value) in [
        ("DBClusterIdentifier", "shop-main"),
        ("DBSnapshotIdentifier", "awsbackup:copyjob-1"),
        (
            "AvailabilityZones",
            "[\"eu-central-1a\",\"eu-central-1b\",\"eu-central-1c\"]",
        ),
        ("ScalingConfiguration", "null"),
        ("EngineMode", "provisioned"),
        ("Port", "5432"),
        ("DatabaseName", ""),
    ] {
        assert_eq!(metadata[key], value, "{key}");
    }
    let fate = |change: &[(&str, Option<&str>)]| {
        let (world, clock) = aurora_world(|_| ());
        world.add_cluster_parameter_group("ours");
        world.add_db_cluster(DbCluster {
            identifier: "taken".into(),
            ..DbCluster::default()
        });
        let mut metadata = cluster_metadata();
        for (key, value) in change {
            match value {
                Some(value) => metadata[*key] = json!(value),
                None => drop(metadata.as_object_mut().unwrap().remove(*key)),
            }
        }
        let job = start_cluster(&world, &metadata);
        for _ in 0..3 {
            clock.ahead(60);
            world.settle();
        }
        let job = restore_job(&world, &job);
        let made = world
            .db_clusters()
            .into_iter()
            .find(|cluster| cluster.identifier != "taken");
        assert_eq!(job["Status"] == "COMPLETED", made.is_some(), "{job}");
        made.ok_or_else(|| job["StatusMessage"].as_str().unwrap().to_owned())
    };
    for (key, value, part) in [
        (
            "DBSnapshotIdentifier",
            "awsbackup:job-1",
            "Unsupported metadata key: DBSnapshotIdentifier",
        ),
        ("aws:backup:request-id", "x", "Unsupported metadata key"),
        ("DeletionProtection", "false", "Unsupported metadata key"),
        (
            "ServerlessV2ScalingConfiguration",
            "{}",
            "Unsupported metadata key",
        ),
        (
            "DBClusterIdentifier",
            "taken",
            "DBClusterAlreadyExistsFault",
        ),
        ("DBClusterIdentifier", "a--b", "not a valid identifier"),
        ("Engine", "aurora-mysql", "isn't compatible"),
        ("EngineVersion", "17.1", "Cannot find version 17.1"),
        ("EngineMode", "serverless", "currently unavailable"),
        (
            "ScalingConfiguration",
            "{\"MinCapacity\":2}",
            "scaling configuration",
        ),
        (
            "DBSubnetGroupName",
            "production-aurora",
            "DBSubnetGroupNotFoundFault",
        ),
        ("DBSubnetGroupName", "", "No default subnet"),
        (
            "VpcSecurityGroupIds",
            "[\"sg-other\"]",
            "Database is in vpc-1, but Ec2 Security Group sg-other is in vpc-2",
        ),
        (
            "VpcSecurityGroupIds",
            "[\"sg-nobody\"]",
            "Invalid security group",
        ),
        ("VpcSecurityGroupIds", "sg-1", "JSON array"),
        (
            "DBClusterParameterGroupName",
            "theirs",
            "DBClusterParameterGroupNotFound",
        ),
        ("OptionGroupName", "theirs", "OptionGroupNotFoundFault"),
        (
            "KmsKeyId",
            "arn:aws:kms:eu-central-1:222222222222:key/x",
            "KMSKeyNotAccessibleFault",
        ),
        (
            "AvailabilityZones",
            "[\"us-east-1a\"]",
            "unavailable in this region",
        ),
        ("Port", "80", "Invalid port 80"),
        ("BacktrackWindow", "3600", "Backtrack is not enabled"),
        ("CopyTagsToSnapshot", "maybe", "must be true or false"),
    ] {
        let message = fate(&[(key, Some(value))]).unwrap_err();
        assert!(message.contains(part), "{key}={value}: {message}");
    }
    for missing in ["DBClusterIdentifier", "Engine"] {
        assert!(fate(&[(missing, None)]).unwrap_err().contains(missing));
    }
    let made = fate(&[
        ("dbclusterparametergroupname", Some("ours")),
        ("KmsKeyId", Some(OWN_KEY)),
        ("Port", Some("5433")),
        ("AvailabilityZones", Some("[\"eu-central-1b\"]")),
    ])
    .unwrap();
    assert_eq!(
        (made.parameter_group.as_str(), made.kms_key_arn.as_deref()),
        ("ours", Some(OWN_KEY))
    );
    assert_eq!((made.port, made.availability_zones.len()), (5433, 1));
    assert_eq!(made.tags, [("env".to_owned(), "prod".to_owned())].into());
}

#[test]
fn snapshots_of_clusters_are_shown_apart() {
    let (world, _) = aurora_world(|_| ());
    let of_backup = ("SnapshotType", "awsbackup");
    let shown = rds(&world, "DescribeDBClusterSnapshots", &[of_backup]);
    for (element, expected) in [
        ("DBClusterSnapshotArn", CLUSTER_POINT),
        ("DBClusterSnapshotIdentifier", "awsbackup:copyjob-1"),
        ("DBClusterIdentifier", "shop-main"),
        ("SnapshotCreateTime", "2026-11-21T01:00:00.000Z"),
        ("SnapshotType", "awsbackup"),
        ("Key", "aws:backup:x"),
    ] {
        assert_eq!(
            shown.element(element).as_deref(),
            Some(expected),
            "{element}"
        );
    }
    assert_eq!(
        rds(&world, "DescribeDBClusterSnapshots", &[])
            .element("DBClusterSnapshots")
            .as_deref(),
        Some("")
    );
    let named = ("DBClusterSnapshotIdentifier", CLUSTER_POINT);
    assert_eq!(
        rds(&world, "DescribeDBClusterSnapshots", &[of_backup, named]).status,
        200
    );
    let untyped = rds(&world, "DescribeDBClusterSnapshots", &[named]);
    assert_eq!(
        (untyped.status, untyped.element("Code").unwrap()),
        (404, "DBClusterSnapshotNotFoundFault".into())
    );
    let instances = rds(&world, "DescribeDBSnapshots", &[of_backup]).text();
    assert!(!instances.contains("cluster-snapshot") && instances.contains(POINT));
}

#[test]
fn clusters_and_instances_are_tagged() {
    let (world, clock) = restored(|_| ());
    create(&world, &[]);
    clock.ahead(1);
    let cluster = format!("arn:aws:rds:eu-central-1:111111111111:cluster:{NAME}");
    let instance = format!("arn:aws:rds:eu-central-1:111111111111:db:{WRITER}");
    for arn in [&cluster, &instance] {
        let tags = [
            ("ResourceName", arn.as_str()),
            ("Tags.Tag.1.Key", "validation"),
            ("Tags.Tag.1.Value", "v1"),
        ];
        let answer = rds(&world, "AddTagsToResource", &tags);
        assert_eq!(
            (answer.status, answer.element("AddTagsToResourceResult")),
            (200, None)
        );
        let listed = rds(&world, "ListTagsForResource", &[("ResourceName", arn)]).text();
        assert!(
            listed.contains("<Key>validation</Key><Value>v1</Value>"),
            "{listed}"
        );
    }
    assert_eq!(world.db_clusters()[0].tags.len(), 2);
    let call = |name: &str, key: &str| {
        let tags = [
            ("ResourceName", name),
            ("Tags.Tag.1.Key", key),
            ("Tags.Tag.1.Value", "v"),
        ];
        refusal(&rds(&world, "AddTagsToResource", &tags)).1
    };
    assert_eq!(call("nobody", "a"), "InvalidParameterValue");
    assert_eq!(
        call(&cluster.replace(NAME, "nobody"), "a"),
        "DBClusterNotFoundFault"
    );
    assert_eq!(
        call(&instance.replace(WRITER, "nobody"), "a"),
        "DBInstanceNotFound"
    );
    assert_eq!(call(&cluster, "aws:x"), "InvalidParameterValue");
    assert_eq!(
        refusal(&rds(
            &world,
            "AddTagsToResource",
            &[("ResourceName", &cluster)]
        ))
        .1,
        "InvalidParameterValue"
    );
}

#[test]
fn one_restore_is_counted_once() {
    let (world, clock) = aurora_world(|_| ());
    start_cluster(&world, &cluster_metadata());
    let mut counted = Vec::new();
    for seconds in [0, 2, 58] {
        clock.ahead(seconds);
        counted.push(world.restores_there_are());
    }
    create(&world, &[]);
    clock.ahead(1);
    counted.push(world.restores_there_are());
    assert_eq!(counted, [1, 1, 1, 1]);
    let events: Vec<Value> = world.take_events();
    let last = &events.last().unwrap()["detail"];
    assert_eq!(
        (&last["resourceType"], &last["status"]),
        (&json!("Aurora"), &json!("COMPLETED"))
    );
    assert!(
        last["createdResourceArn"]
            .as_str()
            .unwrap()
            .ends_with(":cluster:restore-proof-abc-1")
    );
}

#[test]
fn everything_that_exists_is_listed_with_what_it_belongs_to() {
    use crate::{Bucket, Ec2Instance, Thing, ThingKind, Volume};
    let (world, clock) = restored(|_| ());
    create(&world, &[]);
    clock.ahead(1);
    world.add_bucket(Bucket {
        name: "results".into(),
        versioned: true,
        object_lock: true,
    });
    world.add_table(crate::Table::ledger("ledger"));
    for (id, state) in [("i-1", "running"), ("i-2", "terminated")] {
        world.add_ec2_instance(Ec2Instance {
            id: id.into(),
            state: state.into(),
            ..Ec2Instance::default()
        });
    }
    world.add_volume(Volume {
        id: "vol-1".into(),
        attachment: Some(crate::Attachment {
            instance_id: "i-1".into(),
            device: "/dev/xvda".into(),
            delete_on_termination: true,
            attached_at: None,
        }),
        state: "in-use".into(),
        ..Volume::default()
    });
    let thing = |kind, id: &str, state: &str, of: Option<&str>| Thing {
        kind,
        id: id.into(),
        state: state.into(),
        belongs_to: of.map(str::to_owned),
    };
    assert_eq!(
        world.things(),
        [
            thing(ThingKind::DbInstance, WRITER, "available", Some(NAME)),
            thing(ThingKind::DbCluster, NAME, "available", None),
            thing(ThingKind::Ec2Instance, "i-1", "running", None),
            thing(ThingKind::Volume, "vol-1", "in-use", Some("i-1")),
            thing(ThingKind::Bucket, "results", "", None),
            thing(ThingKind::Table, "ledger", "ACTIVE", None),
        ]
    );
}

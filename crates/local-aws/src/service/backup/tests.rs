#![allow(clippy::unwrap_used)]
use std::time::Duration;

use serde_json::{Value, json};

use crate::service::testing::*;
use crate::{DbInstance, EventDelivery, RestoreBehaviour, RestoreJob, World};

fn get(world: &World, path: &str) -> Answered {
    rest_call(world, "backup", "GET", path, "")
}

fn job(world: &World, id: &str) -> Value {
    get(world, &format!("/restore-jobs/{id}")).json()
}

fn started(world: &World, metadata: Value) -> String {
    let answer = start_restore(world, metadata, None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["RestoreJobId"].as_str().unwrap().to_owned()
}

/// The way a job with this metadata ends.
fn ends(metadata: Value) -> (String, String) {
    ends_of(|_| (), metadata)
}

/// The same, of a changed recovery point.
fn ends_of(change: impl FnOnce(&mut crate::RecoveryPoint), metadata: Value) -> (String, String) {
    let (world, clock) = still_world(change);
    world.add_option_group("of-ours");
    world.add_option_group_of_vpc("of-vpc-1", "vpc-1");
    world.add_option_group_of_vpc("of-vpc-2", "vpc-2");
    world.add_db_instance(DbInstance {
        identifier: "taken".into(),
        ..DbInstance::default()
    });
    let id = started(&world, metadata);
    clock.ahead(61);
    world.settle();
    clock.ahead(1);
    let job = job(&world, &id);
    (
        job["Status"].as_str().unwrap().to_owned(),
        job["StatusMessage"].as_str().unwrap_or_default().to_owned(),
    )
}

fn with(key: &str, value: &str) -> Value {
    let mut metadata = good_metadata();
    metadata[key] = json!(value);
    metadata
}

#[test]
fn recovery_point_and_its_metadata() {
    let (world, _) = still_world(|_| ());
    let path = format!(
        "/backup-vaults/central/recovery-points/{}",
        POINT.replace(':', "%3A")
    );
    let point = get(&world, &path).json();
    assert_eq!(point["CreationDate"], json!(1_795_219_200.0));
    assert_eq!(point["Status"], "COMPLETED");
    assert_eq!(
        point["EncryptionKeyArn"],
        "arn:aws:kms:eu-central-1:111111111111:key/k"
    );
    let metadata =
        get(&world, &format!("{path}/restore-metadata")).json()["RestoreMetadata"].clone();
    assert_eq!(
        metadata["VpcSecurityGroupIds"],
        "[\"sg-0f00d0000000000aa\"]"
    );
    for troublesome in [
        "DBSnapshotIdentifier",
        "InformationalOnly:MasterUsername",
        "aws:backup:request-id",
        "AvailabilityZone",
    ] {
        assert!(metadata[troublesome].is_string(), "{troublesome}");
    }
    let missing = get(&world, "/backup-vaults/central/recovery-points/arn%3Anope");
    assert_eq!(
        (
            missing.status,
            missing.headers["x-amzn-errortype"].to_str().unwrap()
        ),
        (400, "ResourceNotFoundException")
    );
}

/// AWS Backup does not tell a vault that does not exist from one whose access policy refuses.
#[test]
fn a_vault_that_is_missing_or_refuses_denies_access() {
    let (world, _) = still_world(|point| point.vault = "closed".into());
    world.add_vault(crate::Vault {
        name: "closed".into(),
        refuses: true,
        ..crate::Vault::default()
    });
    let point = POINT.replace(':', "%3A");
    for vault in ["closed", "central", "mistyped"] {
        for path in [
            String::new(),
            format!("/{point}"),
            format!("/{point}/restore-metadata"),
        ] {
            let answer = get(
                &world,
                &format!("/backup-vaults/{vault}/recovery-points{path}"),
            );
            let kind = answer.headers["x-amzn-errortype"].to_str().unwrap();
            assert_eq!(
                (answer.status, kind),
                (403, "AccessDeniedException"),
                "{vault} {path}"
            );
            assert_eq!(
                answer.json()["Message"],
                "Insufficient privileges to perform this action."
            );
        }
    }
    let start = start_restore(&world, good_metadata(), None);
    let kind = start.headers["x-amzn-errortype"].to_str().unwrap();
    assert_eq!((start.status, kind), (403, "AccessDeniedException"));
    assert!(world.restore_jobs().is_empty());
}

#[test]
fn a_vault_shows_its_access_policy_lock_and_key() {
    let (world, _) = still_world(|_| ());
    let policy = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let key = "arn:aws:kms:eu-central-1:111111111111:key/5ea50000-0000-4000-8000-00000000000b";
    world.add_vault(crate::Vault {
        name: "locked".into(),
        access_policy: Some(policy.to_owned()),
        key_arn: Some(key.to_owned()),
        locked_days: Some(30),
        ..crate::Vault::default()
    });
    let shown = get(&world, "/backup-vaults/locked/access-policy").json();
    assert_eq!(shown["Policy"], policy);
    let none = get(&world, "/backup-vaults/central/access-policy");
    let kind = none.headers["x-amzn-errortype"].to_str().unwrap();
    assert_eq!((none.status, kind), (400, "ResourceNotFoundException"));
    let missing = get(&world, "/backup-vaults/mistyped/access-policy");
    assert_eq!(missing.status, 403);
    let vaults = get(&world, "/backup-vaults/").json()["BackupVaultList"].clone();
    let locked = &vaults[1];
    assert_eq!(locked["EncryptionKeyArn"], key);
    assert_eq!(
        (&locked["Locked"], &locked["MinRetentionDays"]),
        (&json!(true), &json!(30))
    );
    assert_eq!(vaults[0].get("MinRetentionDays"), None);
}

#[test]
fn a_region_says_which_types_are_opted_in() {
    let (world, _) = still_world(|_| ());
    world.opt_out("EC2");
    let settings = get(&world, "/account-settings").json();
    let opted_in = &settings["ResourceTypeOptInPreference"];
    assert_eq!(
        (&opted_in["RDS"], &opted_in["EC2"]),
        (&json!(true), &json!(false))
    );
}

#[test]
fn vaults_are_listed_also_those_that_refuse() {
    let (world, _) = still_world(|_| ());
    for (name, refuses) in [("airtight", true), ("empty", false)] {
        world.add_vault(crate::Vault {
            name: name.into(),
            created_at: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            refuses,
            ..crate::Vault::default()
        });
    }
    let vaults = get(&world, "/backup-vaults/").json()["BackupVaultList"].clone();
    let shown = vaults.as_array().unwrap().iter().map(|vault| {
        (
            vault["BackupVaultName"].as_str().unwrap(),
            vault["NumberOfRecoveryPoints"].as_u64().unwrap(),
            vault["CreationDate"].as_f64().unwrap(),
        )
    });
    let shown: Vec<_> = shown.collect();
    assert_eq!(
        shown,
        [
            ("airtight", 0, 1_767_225_600.0),
            ("central", 1, 1_763_689_200.0),
            ("empty", 0, 1_767_225_600.0),
        ]
    );
    let central = &vaults[1];
    for (key, expected) in [
        (
            "BackupVaultArn",
            json!("arn:aws:backup:eu-central-1:111111111111:backup-vault:central"),
        ),
        ("VaultType", json!("BACKUP_VAULT")),
        ("Locked", json!(false)),
    ] {
        assert_eq!(central[key], expected, "{key}");
    }
    let list = |query: &str| get(&world, &format!("/backup-vaults/?{query}")).json();
    let first = list("maxResults=2");
    assert_eq!(first["BackupVaultList"].as_array().unwrap().len(), 2);
    let token = first["NextToken"].as_str().unwrap();
    let last = list(&format!("maxResults=2&nextToken={token}"));
    assert_eq!(last["BackupVaultList"][0]["BackupVaultName"], "empty");
    assert!(last.get("NextToken").is_none());
    for none in ["vaultType=LOGICALLY_AIR_GAPPED_BACKUP_VAULT", "shared=true"] {
        assert_eq!(list(none)["BackupVaultList"], json!([]), "{none}");
    }
}

#[test]
fn recovery_point_events_have_the_documented_shape() {
    let (world, _) = still_world(|_| ());
    let event = world.recovery_point_event(POINT).unwrap();
    for (key, expected) in [
        ("detail-type", json!("Recovery Point State Change")),
        ("source", json!("aws.backup")),
        ("account", json!("111111111111")),
        ("region", json!("eu-central-1")),
        ("time", json!("2026-11-21T01:00:00Z")),
        ("resources", json!([POINT])),
    ] {
        assert_eq!(event[key], expected, "{key}");
    }
    let detail = &event["detail"];
    assert!(!detail.to_string().contains(POINT));
    for (key, expected) in [
        ("backupVaultName", json!("central")),
        (
            "backupVaultArn",
            json!("arn:aws:backup:eu-central-1:111111111111:backup-vault:central"),
        ),
        ("creationDate", json!("2026-11-21T00:00:00.000Z")),
        ("completionDate", json!("2026-11-21T01:00:00.000Z")),
        ("resourceType", json!("RDS")),
        (
            "resourceArn",
            json!("arn:aws:rds:eu-central-1:222222222222:db:orders-main"),
        ),
        ("status", json!("COMPLETED")),
        ("isEncrypted", json!("true")),
        ("storageClass", json!("WARM")),
        ("lifecycle", json!({"deleteAfterDays": 100})),
        (
            "calculatedLifeCycle",
            json!({"deleteAt": "2027-03-01T00:00:00.000Z"}),
        ),
    ] {
        assert_eq!(detail[key], expected, "{key}");
    }
    assert_eq!(world.recovery_point_event("arn:aws:nope"), None);

    let (world, _) = still_world(|point| {
        point.status = "CREATING".into();
        point.completed_at = None;
        point.kms_key_arn = None;
    });
    let detail = world.recovery_point_event(POINT).unwrap()["detail"].clone();
    assert_eq!(
        (&detail["status"], &detail["isEncrypted"]),
        (&json!("CREATING"), &json!("false"))
    );
    assert!(detail.get("completionDate").is_none());
}

/// A copy job belongs to who starts it: its event comes from there, and nobody else can describe it.
#[test]
fn a_copy_started_at_the_source_is_the_sources() {
    let (world, _) = still_world(|point| {
        point.source_vault_arn =
            Some("arn:aws:backup:eu-west-1:222222222222:backup-vault:theirs".into());
    });
    let own = world.copy_job_of(POINT).unwrap();
    let event = world.copy_job_event(&own);
    assert_eq!(
        (&event["account"], &event["region"]),
        (&json!("111111111111"), &json!("eu-central-1"))
    );
    let theirs = own.started_at_the_source();
    let event = world.copy_job_event(&theirs);
    assert_eq!(
        (&event["account"], &event["region"]),
        (&json!("222222222222"), &json!("eu-west-1"))
    );
    assert_eq!(event["detail"]["destinationRecoveryPointArn"], POINT);
    let id = world.add_copy_job(theirs);
    let missing = get(&world, &format!("/copy-jobs/{id}"));
    let kind = missing.headers["x-amzn-errortype"].to_str().unwrap();
    assert_eq!((missing.status, kind), (400, "ResourceNotFoundException"));
}

#[test]
fn a_restore_goes_its_way() {
    let (world, clock) = still_world(|point| point.behaviour.instance.statuses = vec![]);
    let id = started(&world, good_metadata());
    let pending = job(&world, &id);
    assert_eq!(
        (pending["Status"].as_str(), pending["PercentDone"].as_str()),
        (Some("PENDING"), Some("0.00%"))
    );
    assert!(pending["CreationDate"].is_f64() && pending.get("CreatedResourceArn").is_none());
    clock.ahead(2);
    assert_eq!(job(&world, &id)["Status"], "RUNNING");
    assert_eq!(world.db_instances()[0].status, "creating");
    clock.ahead(60);
    let done = job(&world, &id);
    assert_eq!(done["Status"], "COMPLETED");
    assert_eq!(
        done["CreatedResourceArn"],
        "arn:aws:rds:eu-central-1:111111111111:db:restore-proof-abc-1"
    );
    let metadata = get(&world, &format!("/restore-jobs/{id}/metadata")).json();
    assert_eq!(
        metadata["Metadata"]["DBInstanceIdentifier"],
        "restore-proof-abc-1"
    );
    let instance = &world.db_instances()[0];
    assert_eq!(
        (instance.status.as_str(), instance.subnet_group.as_str()),
        ("available", "isolated")
    );
    assert_eq!(instance.tags.get("env").map(String::as_str), Some("prod"));
    assert_eq!(instance.tags.len(), 1);

    let events = world.take_events();
    assert_eq!(events.len(), 3);
    let created = &events[0]["detail"];
    assert_eq!(
        (created["state"].as_str(), created.get("status")),
        (Some("CREATED"), None)
    );
    let completed = &events[2]["detail"];
    assert_eq!(completed["status"], "COMPLETED");
    assert_eq!(completed["backupSizeInBytes"], (20u64 << 30).to_string());
    assert_eq!(completed["createdResourceArn"], done["CreatedResourceArn"]);
    assert_eq!(completed["completionDate"], "2026-11-21T01:41:02.000Z");
}

#[test]
fn metadata_dooms_a_job_that_was_accepted() {
    assert_eq!(ends(good_metadata()).0, "COMPLETED");
    for (metadata, part) in [
        (
            with("DBSnapshotIdentifier", "awsbackup:job-1"),
            "DBSnapshotIdentifier",
        ),
        (
            with("InformationalOnly:VpcId", "vpc-1"),
            "InformationalOnly:VpcId",
        ),
        (with("aws:backup:request-id", "x"), "aws:backup:request-id"),
        (with("DBInstanceIdentifier", "taken"), "already exists"),
        (
            with("DBInstanceIdentifier", "ends-with-"),
            "not a valid identifier",
        ),
        (
            with("DBSubnetGroupName", "production-private"),
            "does not exist",
        ),
        (
            with("VpcSecurityGroupIds", "[\"sg-nope\"]"),
            "Invalid security group",
        ),
        (
            with("VpcSecurityGroupIds", "[\"sg-other\"]"),
            "different VPCs",
        ),
        (with("VpcSecurityGroupIds", "sg-1"), "JSON array"),
        (with("OptionGroupName", "theirs"), "OptionGroupNotFound"),
        (
            with("OptionGroupName", "default:mysql-8-4"),
            "OptionGroupNotFound",
        ),
        (
            with("OptionGroupName", "of-vpc-2"),
            "The option group of-vpc-2 is associated with a different VPC than the request. \
             (Service: Rds, Status Code: 400, Error Code: InvalidParameterCombination)",
        ),
        (with("NetworkType", "IPV4"), "NetworkType"),
        (with("StorageThroughput", "125"), "StorageThroughput"),
        (with("BackupRetentionPeriod", "0"), "BackupRetentionPeriod"),
        (with("DBName", "shop"), "DBName must be null"),
        (with("Port", "0"), "Invalid port 0. Must be 1150-65535"),
        (with("Port", "1149"), "Invalid port 1149"),
        (with("Port", "65536"), "Invalid port 65536"),
        (
            with("DBParameterGroupName", "theirs"),
            "DBParameterGroup not found",
        ),
        (
            with("AvailabilityZone", "us-east-1a"),
            "not a valid availability zone",
        ),
        (with("PubliclyAccessible", "no"), "true or false"),
        (json!({"DBInstanceIdentifier": "x"}), "No default subnet"),
        (json!({}), "must specify DBInstanceIdentifier"),
    ] {
        let (status, message) = ends(metadata.clone());
        assert_eq!(status, "FAILED", "{metadata}");
        assert!(message.contains(part), "{part}: {message}");
    }
    for good in [
        with("OptionGroupName", "default:postgres-15"),
        with("OptionGroupName", "of-ours"),
        with("OptionGroupName", "of-vpc-1"),
        with("Port", "1150"),
        with("DBName", ""),
    ] {
        assert_eq!(ends(good.clone()).0, "COMPLETED", "{good}");
    }
    let mut zone = with("AvailabilityZone", "eu-central-1b");
    assert_eq!(ends(zone.clone()).0, "COMPLETED");
    zone["MultiAZ"] = json!("true");
    assert!(ends(zone).1.contains("Multi-AZ"));
}

/// What the restore metadata of a recovery point says cannot be sent back as it is, nor may all of it be left out.
#[test]
fn what_is_stored_fails_a_job_that_copies_it() {
    let stored = |change: fn(&mut crate::RecoveryPoint), key: &str| {
        let (world, _) = still_world(change);
        let path = POINT.replace(':', "%3A");
        let path = format!("/backup-vaults/central/recovery-points/{path}/restore-metadata");
        get(&world, &path).json()["RestoreMetadata"][key].clone()
    };
    let own_group: fn(&mut crate::RecoveryPoint) = |point| {
        point.database.option_group = "prod-postgres".into();
    };
    let without_port: fn(&mut crate::RecoveryPoint) = |point| point.database.port = 0;
    assert_eq!(stored(own_group, "OptionGroupName"), "prod-postgres");
    assert_eq!(stored(without_port, "Port"), "0");
    assert_eq!(stored(|_| (), "Iops"), "3000", "also of gp3 below 400 GiB");
    assert_eq!(stored(|_| (), "StorageThroughput"), "125");

    // The snapshot's own option group, named or not.
    let copied = ends_of(own_group, with("OptionGroupName", "prod-postgres"));
    assert!(copied.1.contains("OptionGroupNotFound"), "{copied:?}");
    let (status, message) = ends_of(own_group, good_metadata());
    assert_eq!(status, "FAILED");
    assert!(
        message.contains("The option group prod-postgres is associated with a different VPC"),
        "{message}"
    );
    let default = with("OptionGroupName", "default:postgres-15");
    assert_eq!(ends_of(own_group, default).0, "COMPLETED");

    let (world, clock) = still_world(without_port);
    started(&world, good_metadata());
    clock.ahead(2);
    world.settle();
    assert_eq!(world.db_instances()[0].port, 5432, "the engine's own");
}

#[test]
fn rds_refuses_storage_in_its_own_words() {
    type Source = (&'static str, u32, Option<u32>);
    let ends = |(kind, gib, iops): Source, asked: &[(&str, &str)]| {
        let mut metadata = good_metadata();
        for (key, value) in asked {
            metadata[*key] = json!(value);
        }
        ends_of(
            |point| {
                point.database.storage_type = kind.into();
                (point.database.allocated_storage, point.database.iops) = (gib, iops);
            },
            metadata,
        )
    };
    let gp3: Source = ("gp3", 100, None);
    let striped: Source = ("gp3", 400, Some(12_000));
    let io1: Source = ("io1", 100, Some(5000));
    let small = "Invalid storage size for engine name postgres and storage type";
    let iops = "Invalid iops value for engine name postgres and storage type";
    let ratio = "Invalid iops to max storage (GB) ratio for engine name postgres and storage type";
    let below_400 = "You can't specify IOPS or storage throughput for engine postgres and a storage size less than 400.";
    for (source, asked, words) in [
        (
            gp3,
            &[("AllocatedStorage", "99")][..],
            format!("{small} gp3: 99"),
        ),
        (
            gp3,
            &[("AllocatedStorage", "65537")],
            format!("{small} gp3: 65537"),
        ),
        (
            ("gp3", 20, None),
            &[("StorageType", "io1"), ("Iops", "1000")],
            format!("{small} io1: 20"),
        ),
        (
            gp3,
            &[("StorageType", "standard"), ("AllocatedStorage", "3073")],
            format!("{small} standard: 3073"),
        ),
        (
            gp3,
            &[("StorageType", "gp9")],
            "Invalid storage type: gp9".to_owned(),
        ),
        (gp3, &[("Iops", "3000")], below_400.to_owned()),
        (
            io1,
            &[("StorageType", "gp3"), ("Iops", "5000")],
            below_400.to_owned(),
        ),
        (striped, &[("Iops", "3000")], format!("{iops} gp3: 3000")),
        (striped, &[("Iops", "64001")], format!("{iops} gp3: 64001")),
        (
            io1,
            &[("StorageType", "gp2"), ("Iops", "5000")],
            format!("{iops} gp2: 5000"),
        ),
        (io1, &[("Iops", "999")], format!("{iops} io1: 999")),
        (io1, &[("Iops", "5001")], format!("{ratio} io1: 50.0100")),
        (
            io1,
            &[("AllocatedStorage", "10000"), ("Iops", "3000")],
            format!("{ratio} io1: 0.3000"),
        ),
        (
            gp3,
            &[("StorageType", "io1")],
            "The storage type io1 requires iops to be specified.".to_owned(),
        ),
    ] {
        let (status, message) = ends(source, asked);
        assert_eq!(status, "FAILED", "{source:?} {asked:?}");
        assert!(message.starts_with(&words), "{words}: {message}");
        assert!(
            message.contains("(Service: Rds, Status Code: 400, Error Code: "),
            "{message}"
        );
    }
    for (source, asked) in [
        (gp3, &[("AllocatedStorage", "100")][..]),
        (
            gp3,
            &[("StorageType", "gp2"), ("AllocatedStorage", "65536")],
        ),
        (striped, &[("Iops", "12000")]),
        (gp3, &[("StorageType", "io2"), ("Iops", "100000")]),
        (io1, &[]),
        (io1, &[("StorageType", "gp3")]),
        (io1, &[("StorageType", "io2")]),
        (io1, &[("Iops", "1000")]),
    ] {
        assert_eq!(ends(source, asked).0, "COMPLETED", "{source:?} {asked:?}");
    }
}

#[test]
fn a_refused_start_uses_its_token_up() {
    let (world, clock) = still_world(|point| {
        point.behaviour.refused = Some("Invalid restore metadata".into());
    });
    let start = |token| {
        let answer = start_restore(&world, good_metadata(), Some(token));
        (
            answer.status,
            answer.json()["Message"].as_str().map(str::to_owned),
        )
    };
    let refused = (400, Some("Invalid restore metadata".to_owned()));
    assert_eq!(start("t"), refused);
    assert!(world.restore_jobs().is_empty());
    world.set_restore_behaviour(POINT, RestoreBehaviour::bare());
    assert_eq!(start("t"), refused, "whatever is asked with this token now");
    assert!(world.restore_jobs().is_empty());
    assert_eq!(start("u").0, 200, "another token is another request");
    clock.ahead(3601);
    assert_eq!(start("t").0, 200, "AWS Backup has forgotten it");
}

#[test]
fn what_is_not_said_is_inherited() {
    let (world, clock) = still_world(|point| {
        point.database.publicly_accessible = true;
        point.database.deletion_protection = true;
    });
    started(
        &world,
        json!({"DBInstanceIdentifier": "open", "DBSubnetGroupName": "isolated"}),
    );
    started(&world, good_metadata());
    clock.ahead(2);
    world.settle();
    let shown: Vec<_> = world
        .db_instances()
        .iter()
        .map(|db| {
            (
                db.identifier.clone(),
                db.publicly_accessible,
                db.deletion_protection,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("open".to_owned(), true, true),
            ("restore-proof-abc-1".to_owned(), false, false)
        ]
    );
}

#[test]
fn a_token_holds_for_an_hour() {
    let (world, clock) = still_world(|_| ());
    let start =
        |token| start_restore(&world, good_metadata(), Some(token)).json()["RestoreJobId"].clone();
    let first = start("t");
    clock.ahead(3599);
    assert_eq!(start("t"), first);
    let mut other = good_metadata();
    other["DBInstanceClass"] = "db.r6g.large".into();
    let refused = start_restore(&world, other, Some("t"));
    assert_eq!(refused.status, 400, "another request by the same token");
    assert_eq!(world.restore_jobs().len(), 1);
    clock.ahead(2);
    let second = start("t");
    assert_ne!(second, first);
    assert_ne!(start("u"), second);
    assert_eq!(world.restore_jobs().len(), 3);
}

#[test]
fn behaviours() {
    for (behaviour, status, message, named) in [
        (
            RestoreBehaviour::fails(Duration::from_secs(5), "Access denied to KMS key"),
            "FAILED",
            Some("Access denied to KMS key"),
            None,
        ),
        (
            RestoreBehaviour::completes_with_message("One or more"),
            "COMPLETED",
            Some("One or more"),
            Some("restore-proof-abc-1"),
        ),
        (
            RestoreBehaviour::names_existing("precious"),
            "COMPLETED",
            None,
            Some("precious"),
        ),
        (RestoreBehaviour::never_ends(), "RUNNING", None, None),
    ] {
        let (world, clock) = still_world(|point| point.behaviour = behaviour);
        world.add_db_instance(DbInstance {
            identifier: "precious".into(),
            ..DbInstance::default()
        });
        let id = started(&world, good_metadata());
        for _ in 0..3 {
            clock.ahead(1000);
            world.settle();
        }
        let job = job(&world, &id);
        assert_eq!(job["Status"], status);
        assert_eq!(job.get("StatusMessage").and_then(Value::as_str), message);
        let arn = named.map(|name| format!("arn:aws:rds:eu-central-1:111111111111:db:{name}"));
        assert_eq!(
            job.get("CreatedResourceArn").and_then(Value::as_str),
            arn.as_deref()
        );
        if status == "FAILED" {
            let events = world.take_events();
            let detail = &events.last().unwrap()["detail"];
            assert_eq!(detail["statusMessage"], "Access denied to KMS key");
            assert!(
                detail.get("createdResourceArn").is_none()
                    && detail.get("backupVaultArn").is_none()
            );
            assert_eq!(world.db_instances().len(), 1);
        }
    }
}

#[test]
fn events_are_lost_doubled_late() {
    let deliver = |delivery: EventDelivery| {
        let (world, clock) = still_world(|point| point.behaviour.events = Some(delivery));
        started(&world, good_metadata());
        clock.ahead(2);
        world.settle();
        clock.ahead(60);
        world.settle();
        (world, clock)
    };
    assert_eq!(
        deliver(EventDelivery {
            lost: true,
            ..EventDelivery::default()
        })
        .0
        .take_events()
        .len(),
        0
    );
    let doubled = deliver(EventDelivery {
        doubled: true,
        ..EventDelivery::default()
    })
    .0
    .take_events();
    assert_eq!(doubled.len(), 6);
    assert_eq!(doubled[4]["id"], doubled[5]["id"]);
    let (world, clock) = deliver(EventDelivery {
        late: Duration::from_secs(300),
        ..EventDelivery::default()
    });
    assert_eq!(world.take_events().len(), 0);
    clock.ahead(300);
    world.settle();
    assert_eq!(world.take_events().len(), 3);
}

#[test]
fn lists_filter_and_page() {
    let (world, clock) = still_world(|_| ());
    world.add_restore_job(RestoreJob {
        recovery_point_arn: POINT.into(),
        iam_role_arn: "arn:aws:iam::111111111111:role/colleague".into(),
        created_at: "2026-11-20T00:00:00Z".parse().unwrap(),
        created_resource_arn: Some("arn:aws:rds:eu-central-1:111111111111:db:theirs".into()),
        ..RestoreJob::default()
    });
    for _ in 0..3 {
        clock.ahead(10);
        start_restore(&world, good_metadata(), None);
    }
    let list = |query: &str| get(&world, &format!("/restore-jobs/?{query}")).json();
    assert_eq!(list("")["RestoreJobs"].as_array().unwrap().len(), 4);
    assert_eq!(
        list("createdAfter=2026-11-21T00%3A00%3A00Z")["RestoreJobs"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        list("status=COMPLETED")["RestoreJobs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let mut seen = Vec::new();
    let mut query = "maxResults=3".to_owned();
    loop {
        let page = list(&query);
        seen.extend(
            page["RestoreJobs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|job| job["RestoreJobId"].clone()),
        );
        match page.get("NextToken").and_then(Value::as_str) {
            Some(token) => query = format!("maxResults=3&nextToken={token}"),
            None => break,
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 4);
    let points = get(
        &world,
        "/backup-vaults/central/recovery-points/?createdAfter=2026-11-20T00%3A00%3A00Z",
    )
    .json();
    assert_eq!(points["RecoveryPoints"][0]["RecoveryPointArn"], POINT);
    assert_eq!(get(&world, "/restore-jobs/?maxResults=0").status, 400);
}

#[test]
fn other_operations_are_named() {
    let (world, _) = still_world(|_| ());
    let answer = rest_call(&world, "backup", "PUT", "/restore-jobs/x/validations", "{}");
    assert_eq!(
        (answer.status, answer.json()["Message"].as_str().unwrap()),
        (
            501,
            "local-aws does not play backup:PutRestoreValidationResult"
        )
    );
}

#[test]
fn copy_events_have_the_documented_shape() {
    let (world, _) = still_world(|_| ());
    let mut copy = world.copy_job_of(POINT).unwrap();
    let event = world.copy_job_event(&copy);
    assert_eq!(event["detail"]["destinationRecoveryPointArn"], POINT);
    assert!(event["detail"]["backupSizeInBytes"].is_u64());
    copy.state = "FAILED".into();
    copy.destination_recovery_point_arn = None;
    copy.status_message = Some("Access denied".into());
    let event = world.copy_job_event(&copy);
    assert_eq!(event["detail"]["destinationRecoveryPointArn"], json!({}));
    copy.state = "CREATED".into();
    assert_eq!(
        world.copy_job_event(&copy)["detail"]
            .as_object()
            .unwrap()
            .len(),
        4
    );
}

#[test]
fn backup_and_copy_jobs_are_described() {
    let (world, _) = still_world(|_| ());
    let backup = world.backup_job_of(POINT).unwrap();
    let id = world.add_backup_job(backup.clone());
    let described = get(&world, &format!("/backup-jobs/{id}")).json();
    for (key, expected) in [
        ("BackupJobId", json!(id)),
        ("State", json!("COMPLETED")),
        ("RecoveryPointArn", json!(POINT)),
        ("BackupVaultName", json!("central")),
        ("CompletionDate", json!(1_795_222_800.0)),
        ("BackupSizeInBytes", json!(20_u64 << 30)),
        ("PercentDone", json!("100.0")),
    ] {
        assert_eq!(described[key], expected, "{key}");
    }
    // A later state of the same job takes the place of the former.
    world.add_backup_job(crate::BackupJob {
        state: "FAILED".into(),
        recovery_point_arn: None,
        status_message: Some("Access denied".into()),
        ..backup
    });
    let failed = get(&world, &format!("/backup-jobs/{id}")).json();
    assert_eq!(failed["State"], "FAILED");
    assert_eq!(failed["StatusMessage"], "Access denied");
    assert!(failed.get("RecoveryPointArn").is_none());

    let copy = world.copy_job_of(POINT).unwrap();
    let id = world.add_copy_job(copy.clone());
    let described = get(&world, &format!("/copy-jobs/{id}")).json()["CopyJob"].clone();
    assert_eq!(described["CopyJobId"], json!(id));
    assert_eq!(described["DestinationRecoveryPointArn"], POINT);
    assert_eq!(
        described["DestinationBackupVaultArn"],
        json!(copy.destination_vault_arn)
    );
    assert_eq!(described["AccountId"], "111111111111");
    for path in ["/backup-jobs/nope", "/copy-jobs/nope"] {
        let missing = get(&world, path);
        let kind = missing.headers["x-amzn-errortype"].to_str().unwrap();
        assert_eq!((missing.status, kind), (400, "ResourceNotFoundException"));
    }
}

#[test]
fn backup_events_have_the_documented_shape() {
    let (world, _) = still_world(|_| ());
    let mut job = world.backup_job_of(POINT).unwrap();
    let event = world.backup_job_event(&job);
    assert_eq!(event["detail-type"], "Backup Job State Change");
    assert_eq!(event["resources"], json!([POINT]));
    let detail = &event["detail"];
    assert!(!detail.to_string().contains(POINT));
    for (key, expected) in [
        ("backupJobId", json!(job.id)),
        ("state", json!("COMPLETED")),
        ("backupVaultName", json!("central")),
        ("backupSizeInBytes", json!("21474836480")),
        ("bytesTransferred", json!("21474836480")),
        ("percentDone", json!(100)),
        ("creationDate", json!("2026-11-21T00:00:00.000Z")),
        ("completionDate", json!("2026-11-21T01:00:00.000Z")),
        ("startBy", json!("2026-11-21T08:00:00.000Z")),
    ] {
        assert_eq!(detail[key], expected, "{key}");
    }
    assert!(detail.get("statusMessage").is_none());
    job.status_message = Some("Completed with issues".into());
    let event = world.backup_job_event(&job);
    assert_eq!(event["detail"]["state"], "COMPLETED");
    assert_eq!(event["detail"]["statusMessage"], "Completed with issues");
    job.state = "RUNNING".into();
    (job.recovery_point_arn, job.completed_at) = (None, None);
    let event = world.backup_job_event(&job);
    assert_eq!(event["resources"], json!([]));
    assert_eq!(event["detail"]["backupSizeInBytes"], "0");
    assert!(event["detail"].get("completionDate").is_none());
}

#[test]
fn vault_notifications_have_the_documented_shape() {
    let (world, _) = still_world(|_| ());
    let topic = "arn:aws:sns:eu-central-1:111111111111:vaults";
    let backup = world.backup_job_of(POINT).unwrap();
    let told = world.vault_notification(topic, &crate::Notice::from(&backup));
    let record = &told["Records"][0];
    assert_eq!(record["EventSource"], "aws:sns");
    let message = &record["Sns"];
    assert_eq!(message["TopicArn"], topic);
    assert_eq!(message["Subject"], "Notification from AWS Backup");
    assert_eq!(
        message["Message"],
        format!(
            "An AWS Backup job was completed successfully. Recovery point ARN: {POINT}. Backed up Resource ARN : {}. \
             Backup Job Id : {}",
            backup.resource_arn, backup.id
        )
    );
    let attributes = &message["MessageAttributes"];
    let expected = json!({
        "EventType": {"Type": "String", "Value": "BACKUP_JOB"},
        "State": {"Type": "String", "Value": "COMPLETED"},
        "AccountId": {"Type": "String", "Value": "111111111111"},
        "Id": {"Type": "String", "Value": backup.id},
        "StartTime": {"Type": "String", "Value": "2026-11-21T00:00:00.000Z"},
    });
    assert_eq!(*attributes, expected);

    let copy = crate::CopyJob {
        state: "FAILED".into(),
        destination_recovery_point_arn: None,
        ..world.copy_job_of(POINT).unwrap()
    };
    let notice = crate::Notice::from(&copy);
    assert_eq!(
        (notice.event_type, notice.state.as_str()),
        ("COPY_JOB", "FAILED")
    );
    assert!(notice.message.contains("failed") && !notice.message.contains(POINT));
    let id = started(&world, good_metadata());
    let job = world.restore_jobs().remove(0);
    let notice = crate::Notice::from(&job);
    assert_eq!((notice.event_type, notice.id), ("RESTORE_JOB", id));
}

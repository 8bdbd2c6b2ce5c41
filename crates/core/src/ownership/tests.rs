use super::*;

const ROLE: &str = "arn:aws:iam::111122223333:role/restore-proof-restore";
const KEYS: &[&str] = &["DBInstanceIdentifier"];
const POINT: &str = "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a small number")
}

fn named(name: &str) -> BTreeMap<String, String> {
    [("DBInstanceIdentifier".to_owned(), name.to_owned())].into()
}

fn intent() -> Intent {
    Intent {
        attempt: 1,
        target_name: "rp-1-1".to_owned(),
        mark: Mark::Name("rp-1-1".to_owned()),
        idempotency_token: "t".to_owned(),
        metadata: named("rp-1-1"),
        planned_at: at(50),
        restore_job_id: Some("job-1".to_owned()),
    }
}

fn job() -> RestoreJob {
    RestoreJob {
        id: "job-1".to_owned(),
        recovery_point_arn: Some(POINT.to_owned()),
        role_arn: Some(ROLE.to_owned()),
        created_at: Some(at(100)),
        completed_at: Some(at(200)),
        status: "COMPLETED".to_owned(),
        status_message: None,
        created_resource_arn: Some("arn:aws:rds:eu-central-1:111122223333:db:rp-1-1".to_owned()),
        size_bytes: None,
    }
}

fn found() -> Found {
    Found {
        arn: "arn:aws:rds:eu-central-1:111122223333:db:rp-1-1".to_owned(),
        name: "rp-1-1".to_owned(),
        mark: Mark::Name("rp-1-1".to_owned()),
        created_at: Some(at(150)),
    }
}

#[test]
fn all_legs_hold() {
    let owned = prove(&intent(), POINT, ROLE, &job(), &found()).expect("ours");
    assert_eq!(owned.name(), "rp-1-1");
    assert!(adopts(
        &intent(),
        POINT,
        ROLE,
        &job(),
        KEYS,
        &named("rp-1-1")
    ));
}

#[test]
fn one_missing_leg_is_enough_to_keep_hands_off() {
    let refused = |intent: Intent, job: RestoreJob, found: Found, why: &str| {
        let error = prove(&intent, POINT, ROLE, &job, &found).expect_err(why);
        assert!(
            error.to_string().contains(why),
            "{error} should speak of {why}"
        );
    };
    refused(
        Intent {
            restore_job_id: None,
            ..intent()
        },
        job(),
        found(),
        "no intent",
    );
    refused(
        intent(),
        RestoreJob {
            id: "job-2".to_owned(),
            ..job()
        },
        found(),
        "no intent",
    );
    refused(
        intent(),
        RestoreJob {
            role_arn: None,
            ..job()
        },
        found(),
        "our role",
    );
    refused(
        intent(),
        RestoreJob {
            role_arn: Some(format!("{ROLE}2")),
            ..job()
        },
        found(),
        "our role",
    );
    refused(
        intent(),
        RestoreJob {
            recovery_point_arn: None,
            ..job()
        },
        found(),
        "another recovery point",
    );
    refused(
        intent(),
        RestoreJob {
            created_resource_arn: None,
            ..job()
        },
        found(),
        "does not name",
    );
    refused(
        intent(),
        job(),
        Found {
            arn: "arn:aws:rds:eu-central-1:1:db:rp-1-1".to_owned(),
            ..found()
        },
        "does not name",
    );
    refused(
        Intent {
            mark: Mark::Name("rp-2-1".to_owned()),
            ..intent()
        },
        job(),
        found(),
        "name rp-2-1 was planned",
    );
    refused(
        intent(),
        job(),
        Found {
            created_at: None,
            ..found()
        },
        "not known",
    );
    refused(
        intent(),
        RestoreJob {
            created_at: None,
            ..job()
        },
        found(),
        "not known",
    );
    refused(
        intent(),
        job(),
        Found {
            created_at: Some(at(99)),
            ..found()
        },
        "older",
    );
    refused(
        intent(),
        job(),
        Found {
            created_at: Some(at(100)),
            ..found()
        },
        "older",
    );
}

#[test]
fn adoption_wants_role_recovery_point_and_name() {
    let nothing = BTreeMap::new();
    let other_role = "arn:aws:iam::111122223333:role/admin";
    assert!(!adopts(&intent(), POINT, ROLE, &job(), KEYS, &nothing));
    assert!(!adopts(
        &intent(),
        POINT,
        ROLE,
        &job(),
        KEYS,
        &named("rp-1-2")
    ));
    assert!(!adopts(
        &intent(),
        POINT,
        ROLE,
        &job(),
        &[],
        &named("rp-1-1")
    ));
    assert!(!adopts(
        &intent(),
        POINT,
        other_role,
        &job(),
        KEYS,
        &named("rp-1-1")
    ));
    assert!(!adopts(
        &intent(),
        "arn:other",
        ROLE,
        &job(),
        KEYS,
        &named("rp-1-1")
    ));
}

fn volume() -> FoundPart {
    FoundPart {
        kind: PartKind::Volume,
        id: "vol-1".to_owned(),
        created_at: Some(at(150)),
        belongs_to: vec!["i-1".to_owned()],
        attached_at: Some(at(150)),
    }
}

#[test]
fn a_volume_is_ours_when_it_came_with_the_restore_and_nobody_else_uses_it() {
    let noted = [Part::new(PartKind::Volume, "vol-1", Origin::RestoreJob)];
    let prove = |noted: &[Part], found: FoundPart| {
        let whole = Whole::Ended("i-1");
        prove_part(noted, &BTreeMap::new(), whole, &job(), &found)
            .map(|owned| owned.id().to_owned())
    };
    assert_eq!(prove(&noted, volume()), Ok("vol-1".to_owned()));
    let free = FoundPart {
        belongs_to: vec![],
        ..volume()
    };
    assert_eq!(prove(&noted, free), Ok("vol-1".to_owned()));
    let lent = FoundPart {
        belongs_to: vec!["i-2".to_owned()],
        ..volume()
    };
    let made = |second: Option<i64>| FoundPart {
        created_at: second.map(at),
        ..volume()
    };
    let same_id = FoundPart {
        kind: PartKind::DbInstance,
        ..volume()
    };
    for (noted, found, why) in [
        (&noted[..0], volume(), "not noted"),
        (&noted, same_id, "not noted"),
        (&noted, made(Some(100)), "not made by"),
        (&noted, made(Some(201)), "not made by"),
        (&noted, made(None), "not made by"),
        (&noted, lent, "attached to i-2"),
    ] {
        let error = prove(noted, found).expect_err(why).to_string();
        assert!(error.contains(why), "{error} should speak of {why}");
    }
}

/// A writer: made by us for a cluster of ours, which nobody but the ledger can tell from a colleague's.
#[test]
fn a_writer_is_ours_when_we_wished_for_it_and_its_cluster_is_ours() {
    let cluster = prove(&intent(), POINT, ROLE, &job(), &found()).expect("ours");
    let noted: Vec<Part> = Step::Writer.makes("rp-1-1").into_iter().collect();
    assert_eq!(noted[0].id, "rp-1-1-w");
    let wished = |second| StepState {
        wished_at: at(second),
        done_at: None,
        seen: false,
    };
    let steps: BTreeMap<Step, StepState> = [(Step::Writer, wished(300))].into();
    let writer = || FoundPart {
        kind: PartKind::DbInstance,
        id: "rp-1-1-w".to_owned(),
        created_at: Some(at(301)),
        belongs_to: vec!["rp-1-1".to_owned()],
        attached_at: None,
    };
    let owned = prove_part(&noted, &steps, Whole::Proved(&cluster), &job(), &writer());
    let owned = owned.expect("ours");
    assert_eq!(
        (owned.kind(), owned.id()),
        (PartKind::DbInstance, "rp-1-1-w")
    );

    let colleagues = FoundPart {
        id: "annas-reader".to_owned(),
        ..writer()
    };
    let older = FoundPart {
        created_at: Some(at(300)),
        ..writer()
    };
    let unknown = FoundPart {
        created_at: None,
        ..writer()
    };
    let alone = FoundPart {
        belongs_to: vec![],
        ..writer()
    };
    let elsewhere = FoundPart {
        belongs_to: vec!["annas-cluster".to_owned()],
        ..writer()
    };
    let none = BTreeMap::new();
    let (whole, ended) = (Whole::Proved(&cluster), Whole::Ended("rp-1-1"));
    for (steps, whole, found, why) in [
        (&steps, whole, colleagues, "not noted"),
        (&steps, whole, older, "not made after we wished"),
        (&steps, whole, unknown, "not made after we wished"),
        (&none, whole, writer(), "not made after we wished"),
        (&steps, whole, alone, "does not belong to"),
        (&steps, whole, elsewhere, "attached to annas-cluster"),
        (&steps, ended, writer(), "has ended"),
    ] {
        let error = prove_part(&noted, steps, whole, &job(), &found);
        let error = error.expect_err(why).to_string();
        assert!(error.contains(why), "{error} should speak of {why}");
    }
}

#[test]
fn a_volume_that_somebody_attached_later_did_not_come_with_the_restore() {
    let volume = |created_at: Option<i64>, attached_at: Option<i64>| FoundPart {
        created_at: created_at.map(at),
        attached_at: attached_at.map(at),
        ..volume()
    };
    for (created_at, attached_at, is_of) in [
        (Some(101), Some(101), true),
        (Some(200), Some(200), true),
        (Some(150), Some(201), false),
        (Some(150), Some(100), false),
        (Some(150), None, false),
        (Some(100), Some(150), false),
        (Some(201), Some(150), false),
        (None, Some(150), false),
    ] {
        let found = volume(created_at, attached_at);
        assert_eq!(is_of_restore(&job(), &found), is_of, "{found:?}");
    }
    let running = RestoreJob {
        completed_at: None,
        ..job()
    };
    let unknown = RestoreJob {
        created_at: None,
        ..job()
    };
    for job in [running, unknown] {
        assert!(!is_of_restore(&job, &volume(Some(150), Some(150))));
    }
}

#[test]
fn adoption_compares_what_values_mean() {
    const NETWORK: &[&str] = &["SubnetId", "SecurityGroupIds"];
    let metadata = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let owned = |text: &str| text.to_owned();
        pairs.iter().map(|(k, v)| (owned(k), owned(v))).collect()
    };
    let subnet = ("SubnetId", "subnet-1");
    let intent = Intent {
        metadata: metadata(&[subnet, ("SecurityGroupIds", "[\"sg-1\",\"sg-2\"]")]),
        ..intent()
    };
    let fits =
        |pairs: &[(&str, &str)]| adopts(&intent, POINT, ROLE, &job(), NETWORK, &metadata(pairs));
    assert!(fits(&[
        ("subnetId", "subnet-1"),
        ("securityGroupIds", "[ \"sg-1\", \"sg-2\" ]")
    ]));
    assert!(!fits(&[subnet]));
    assert!(!fits(&[subnet, ("SecurityGroupIds", "[\"sg-1\"]")]));
    assert!(!fits(&[
        ("SubnetId", "subnet-2"),
        ("SecurityGroupIds", "[\"sg-1\",\"sg-2\"]")
    ]));
    // What was not planned is not alike because neither has it; text is compared as it stands.
    assert!(!adopts(
        &intent,
        POINT,
        ROLE,
        &job(),
        &["KeyName"],
        &metadata(&[subnet])
    ));
    assert_ne!(meaning("1"), meaning("1.0"));
    assert_ne!(meaning("1"), meaning(" 1"));
}

#[test]
fn what_was_created_is_called_what_its_arn_says() {
    let created = |arn: Option<&str>| {
        created_name(&RestoreJob {
            created_resource_arn: arn.map(str::to_owned),
            ..job()
        })
    };
    assert_eq!(created_name(&job()).as_deref(), Some("rp-1-1"));
    let machine = "arn:aws:ec2:eu-central-1:111122223333:instance/i-1";
    assert_eq!(created(Some(machine)).as_deref(), Some("i-1"));
    assert_eq!(created(Some("i-1")), None);
    assert_eq!(created(None), None);
}

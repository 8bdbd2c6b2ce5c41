//! Formats only grow: today's code reads what is kept of every version in `tests/formats`, and loses nothing of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use restore_proof_core::ceiling::{Ceiling, Datum};
use restore_proof_core::expectation::{CheckOutcome, Measurement};
use restore_proof_core::ownership::Mark;
use restore_proof_core::policy::{self, Frequency, Rule};
use restore_proof_core::record::{FORMAT, Record};
use restore_proof_core::resource_type::RequestedKey;
use restore_proof_core::validation::{
    CheckResult, Cleanup, CopyJob, Heard, Intent, Origin, Part, PartKind, PolicyUsed,
    RecoveryPoint, RestoreAttempt, RestoreJob, RestoredNetwork, Stage, Step, StepState, Trouble,
    Validation,
};
use restore_proof_core::verdict::{FaultClass, Verdict};
use restore_proof_function::ledger::Claim;
use restore_proof_local_aws::{Fault, Machine, RestoreBehaviour, Times};
use restore_proof_tests::{BUCKET, LEDGER, Scene, root};
use serde_json::{Value, json};

const POLICY: &str = r#"
version = "test"
[[rules]]
name = "machines"
match = { resource_type = "EC2" }
frequency = "daily"
ec2.boot_timeout = "1s"
  [[rules.checks]]
  name = "the shop answers"
  kind = "http"
  port = 8080
  steps = [ { name = "front page", path = "/", contains = "Welcome" } ]
[[rules]]
name = "databases"
match = {}
frequency = "daily"
credentials = "reset"
  [[rules.checks]]
  name = "orders are there"
  kind = "sql"
  query = "select count(*) from orders"
  expect = { min = 1 }
  timeout = "1s"
"#;

fn folder(version: u32) -> PathBuf {
    root().join("tests/formats").join(version.to_string())
}

/// What is kept of every version: the files whose names begin and end so, by path.
fn kept(begin: &str, end: &str) -> BTreeMap<String, String> {
    let files = (1..=FORMAT).flat_map(|version| {
        let files = std::fs::read_dir(folder(version)).unwrap();
        files.map(|file| file.unwrap().path())
    });
    let found: BTreeMap<String, String> = files
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(begin) && name.ends_with(end)
        })
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.display().to_string(), text)
        })
        .collect();
    assert!(!found.is_empty(), "nothing is kept of {begin}*{end}");
    found
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// All that was kept is in today's value, as it was; there may be more.
fn lost(kept: &Value, today: &Value, place: &str) -> Vec<String> {
    match (kept, today) {
        (Value::Object(kept), Value::Object(today)) => kept
            .iter()
            .flat_map(|(key, kept)| match today.get(key) {
                Some(today) => lost(kept, today, &format!("{place}.{key}")),
                None => vec![format!("{place}.{key} is gone")],
            })
            .collect(),
        (Value::Array(kept), Value::Array(today)) if kept.len() == today.len() => kept
            .iter()
            .zip(today)
            .enumerate()
            .flat_map(|(at, (kept, today))| lost(kept, today, &format!("{place}[{at}]")))
            .collect(),
        _ if kept == today => Vec::new(),
        _ => vec![format!("{place} was {kept} and is {today}")],
    }
}

#[track_caller]
fn assert_nothing_lost(file: &str, kept: &Value, today: &Value) {
    let lost = lost(kept, today, "");
    assert!(
        lost.is_empty(),
        "{file} was kept, and today's code loses of it:\n  {}",
        lost.join("\n  ")
    );
}

/// An attribute's value as DynamoDB writes it in JSON.
fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text(value)),
        "N" => AttributeValue::N(text(value)),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "SS" => AttributeValue::Ss(value.as_array().unwrap().iter().map(text).collect()),
        other => panic!("no item of ours has a value of type {other}"),
    }
}

/// Today's ledger reads every item: validations in every stage, and what stands beside them.
#[tokio::test]
async fn the_ledger_reads_what_was_kept_of_it() {
    for (file, text) in kept("ledger-", ".json") {
        let scene = Scene::set(POLICY).await;
        let items = json_of(&text);
        for item in items.as_array().unwrap() {
            let attributes = item.as_object().unwrap().iter();
            let attributes = attributes.map(|(name, value)| (name.clone(), attribute(value)));
            let put = scene.app.aws.dynamodb.put_item().table_name(LEDGER);
            put.set_item(Some(attributes.collect()))
                .send()
                .await
                .unwrap();
        }
        let ledger = &scene.app.ledger;
        let mut documents = items.as_array().unwrap().iter();
        let validation = documents.find_map(|item| item["document"]["S"].as_str());
        let validation: Validation = serde_json::from_str(validation.unwrap()).unwrap();
        for item in items.as_array().unwrap() {
            let id = item["id"]["S"].as_str().unwrap();
            match id.split_once('#') {
                Some(("heard", of)) => {
                    let today = ledger.heard(of).await.unwrap();
                    let kept = json_of(item["heard"]["S"].as_str().unwrap());
                    assert_nothing_lost(&file, &kept, &json!(today));
                }
                Some(("job", job)) => {
                    let of = ledger.validation_of_job(job).await.unwrap();
                    assert_eq!(of.as_deref(), item["validation_id"]["S"].as_str(), "{file}");
                }
                Some(("rule", _)) => {
                    let kept = json_of(item["rule"]["S"].as_str().unwrap());
                    let today: Rule = serde_json::from_value(kept.clone()).unwrap();
                    assert_nothing_lost(&file, &kept, &json!(today));
                }
                Some(("proved", _)) => {
                    let resource = validation.recovery_point.resource_arn.as_deref();
                    let point = ledger.proved(resource.unwrap()).await.unwrap().unwrap();
                    let text = |name: &str| item[name]["S"].as_str().map(str::to_owned);
                    let number =
                        |name: &str| item[name]["N"].as_str().unwrap().parse::<i64>().unwrap();
                    let today: [i64; 2] =
                        [point.created_at, point.proved_at].map(Timestamp::as_millisecond);
                    assert_eq!(today, ["created_at", "proved_at"].map(number), "{file}");
                    assert_eq!(Some(point.arn), text("recovery_point_arn"), "{file}");
                }
                Some(("told", what)) => assert!(ledger.was_told_of(what).await.unwrap(), "{file}"),
                _ if id == "slots" => {
                    let held = item["held"]["SS"].as_array().into_iter().flatten();
                    let held: Vec<_> = held.map(|id| id.as_str().unwrap()).collect();
                    let slots = ledger.slots().await.unwrap();
                    assert_eq!(Vec::from_iter(slots.holders()), held, "{file}");
                }
                _ if item["document"].is_object() => {
                    let today = ledger.find(id).await.unwrap().unwrap();
                    let kept = json_of(item["document"]["S"].as_str().unwrap());
                    assert_nothing_lost(&file, &kept, &json!(today));
                }
                Some(("tested", _)) => {
                    let claim = Claim::of(
                        Frequency::Daily,
                        validation.recovery_point.resource_arn.as_deref().unwrap(),
                        validation.opened_at,
                    );
                    let by = ledger.claim(&claim.unwrap(), "another", scene.now()).await;
                    assert_eq!(by.unwrap(), validation.id, "{file}: it has the day");
                }
                _ => panic!("{file}: nothing here reads {id}"),
            }
        }
    }
}

/// A validation with every field. It is written out, so that a new field is asked for here.
#[test]
fn validations_and_records_lose_no_field() {
    for (file, text) in kept("validation-", ".json") {
        let kept = json_of(&text);
        let read: Validation = serde_json::from_str(&text).unwrap();
        assert_nothing_lost(&file, &kept, &json!(read));
    }
    let everything = everything();
    let newest = folder(FORMAT).join("validation-everything.json");
    let newest = json_of(&std::fs::read_to_string(newest).unwrap());
    assert_eq!(
        newest,
        json!(everything),
        "a field was added: write the kept formats again (tests/formats/README.md)"
    );
    let mut places = BTreeMap::new();
    note_empty(&newest, "", &mut places);
    // A rule's are those of its type and kinds of checks.
    let empty: Vec<_> = places
        .iter()
        .filter(|(place, is_empty)| **is_empty && !place.starts_with(".rule."))
        .collect();
    assert!(
        empty.is_empty(),
        "every field has a value to be kept: {empty:?}"
    );

    for (file, text) in kept("record-", ".json") {
        let kept = json_of(&text);
        assert!(kept["format"].as_u64() <= Some(FORMAT.into()), "{file}");
    }
    for version in 1..=FORMAT {
        let file = folder(version).join("record-everything.json");
        let kept = json_of(&std::fs::read_to_string(&file).unwrap());
        let kept_from = folder(version).join("validation-everything.json");
        let kept_from: Validation =
            serde_json::from_str(&std::fs::read_to_string(kept_from).unwrap()).unwrap();
        let mut today = json!(Record::of(&kept_from, Ceiling::Text).unwrap());
        // What wrote it: the only columns that a newer version fills otherwise.
        for column in ["format", "function_version"] {
            assert!(today[column] != Value::Null, "{column}");
            today[column] = kept[column].clone();
        }
        assert_nothing_lost(&file.display().to_string(), &kept, &today);
    }
}

/// Where there is null or nothing.
fn note_empty(value: &Value, place: &str, found: &mut BTreeMap<String, bool>) {
    let is_empty = match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        other => other.is_null(),
    };
    // Of several in a list one with a value is enough.
    *found.entry(place.to_owned()).or_insert(true) &= is_empty;
    for (key, value) in value.as_object().into_iter().flatten() {
        note_empty(value, &format!("{place}.{key}"), found);
    }
    for value in value.as_array().into_iter().flatten() {
        note_empty(value, &format!("{place}[]"), found);
    }
}

/// Today's reader takes every policy, and makes of it the same rules.
#[test]
fn policies_mean_what_they_meant() {
    for (file, text) in kept("policy-", ".toml") {
        let read = policy::parse(&text).unwrap_or_else(|mistakes| panic!("{file}:\n{mistakes}"));
        let kept = std::fs::read_to_string(file.replace(".toml", ".rules.json")).unwrap();
        assert_nothing_lost(&file, &json_of(&kept), &json!(read.rules));
    }
}

/// The schema of policies keeps every key with its type and every word that a value may be, and asks for no new key.
#[test]
fn no_key_of_a_policy_is_lost() {
    for (file, text) in kept("policy-schema", ".json") {
        let kept = json_of(&text);
        let today = policy::schema();
        let mut wrong = Vec::new();
        narrowed(&kept, &today, "", &mut wrong);
        assert!(
            wrong.is_empty(),
            "{file} was kept:\n  {}",
            wrong.join("\n  ")
        );
    }
}

/// The policy that is kept has every key that there is.
#[test]
fn every_key_of_a_policy_is_kept() {
    let file = folder(FORMAT).join("policy-everything.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let mut keys = Vec::new();
    keys_in(&policy::schema(), &mut keys);
    keys.retain(|key| !text.contains(&format!("{key} = ")) && !text.contains(&format!("{key}]")));
    assert_eq!(keys, [""; 0], "missing in policy-everything.toml");
}

fn keys_in(schema: &Value, keys: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        keys.extend(properties.keys().cloned());
    }
    let children = schema
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, child)| child);
    for child in children.chain(schema.as_array().into_iter().flatten()) {
        keys_in(child, keys);
    }
}

/// What today's schema takes away.
fn narrowed(kept: &Value, today: &Value, place: &str, wrong: &mut Vec<String>) {
    for (key, kept) in kept.as_object().into_iter().flatten() {
        let (place, today) = (format!("{place}/{key}"), &today[key]);
        match key.as_str() {
            "required" if place.ends_with("properties/required") => {}
            "required" => {
                for asked in today.as_array().into_iter().flatten() {
                    if !kept.as_array().unwrap().contains(asked) {
                        wrong.push(format!("{place} asks for {asked}"));
                    }
                }
            }
            "enum" => {
                for word in kept.as_array().unwrap() {
                    if !today.as_array().is_some_and(|words| words.contains(word)) {
                        wrong.push(format!("{place} has {word} no more"));
                    }
                }
            }
            "type" if kept.is_string() && kept != today => {
                wrong.push(format!("{place} was {kept} and is {today}"));
            }
            _ if kept.is_object() && today.is_null() => wrong.push(format!("{place} is gone")),
            _ => narrowed(kept, today, &place, wrong),
        }
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn rules_of_everything() -> Vec<Rule> {
    let text = std::fs::read_to_string(folder(FORMAT).join("policy-everything.toml")).unwrap();
    policy::parse(&text).unwrap().rules
}

fn everything() -> Validation {
    let text = |text: &str| Some(text.to_owned());
    let job = "A1B2C3D4-0000-4000-8000-000000000001";
    Validation {
        id: "0123456789abcdef0123".to_owned(),
        opened_at: at(0),
        stage: Stage::Deleting,
        attempt: 2,
        recovery_point: RecoveryPoint {
            arn: "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-1".to_owned(),
            vault_arn: "arn:aws:backup:eu-central-1:111122223333:backup-vault:central".to_owned(),
            vault_name: "central".to_owned(),
            resource_type: text("RDS"),
            resource_arn: text("arn:aws:rds:eu-west-1:222233334444:db:orders"),
            created_at: Some(at(-600)),
            size_bytes: Some(21_474_836_480),
            encryption_key_arn: text("arn:aws:kms:eu-central-1:111122223333:key/1"),
            expires_at: Some(at(90_000)),
        },
        copy_job: Some(CopyJob {
            id: text("copy-1"),
            completed_at: Some(at(-10)),
            is_partial: true,
        }),
        policy: Some(PolicyUsed {
            version: text("2026-11-21"),
            version_id: text("3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH"),
            fingerprint: text("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        }),
        rule: rules_of_everything().into_iter().next(),
        queued_since: Some(at(1)),
        slot_taken_at: Some(at(60)),
        intent: Some(Intent {
            attempt: 2,
            target_name: "restore-proof-r-0123456789abcdef0123-2".to_owned(),
            mark: Mark::Name("restore-proof-r-0123456789abcdef0123-2".to_owned()),
            idempotency_token: "0123456789abcdef0123-2-0123456789abcdef".to_owned(),
            metadata: BTreeMap::from([("Port".to_owned(), "5432".to_owned())]),
            planned_at: at(61),
            restore_job_id: text(job),
        }),
        recovery: vec![RequestedKey {
            key: "MultiAZ".to_owned(),
            proved_with: text("false"),
            recovery: text("true"),
            why: "the source's setting".to_owned(),
        }],
        restore: Some(RestoreJob {
            id: job.to_owned(),
            recovery_point_arn: text(
                "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-1",
            ),
            role_arn: text("arn:aws:iam::111122223333:role/restore-proof-restore"),
            created_at: Some(at(62)),
            completed_at: Some(at(662)),
            status: "COMPLETED".to_owned(),
            status_message: text("One or more of the resources could not be tagged"),
            created_resource_arn: text(
                "arn:aws:rds:eu-central-1:111122223333:db:restore-proof-r-0123456789abcdef0123-2",
            ),
            size_bytes: Some(21_474_836_480),
        }),
        earlier_attempts: vec![RestoreAttempt {
            restore_job_id: "A1B2C3D4-0000-4000-8000-000000000000".to_owned(),
            started_at: Some(at(10)),
            ended_at: Some(at(20)),
            fault_class: Some(FaultClass::Capacity),
            message: text("InsufficientDBInstanceCapacity"),
            cleanup: Cleanup::NothingToDelete,
        }],
        fault_class: Some(FaultClass::Unknown),
        retry_at: Some(at(960)),
        source_class: text("db.m5.large"),
        settings_differ: true,
        restored_class: text("db.t4g.medium"),
        network: Some(RestoredNetwork {
            vpc: text("vpc-1"),
            subnets: vec!["subnet-1".to_owned()],
            groups: vec!["sg-1".to_owned()],
        }),
        restore_seen_at: Some(at(670)),
        preparation_minutes: Some(1.5),
        first_passed_check_minutes: Some(0.25),
        parts: vec![Part {
            kind: PartKind::DbInstance,
            id: "restore-proof-r-0123456789abcdef0123-2-w".to_owned(),
            origin: Origin::Step(Step::Writer),
            missing_since: Some(at(900)),
            gone_at: Some(at(1020)),
        }],
        steps: [Step::Capacity, Step::Writer, Step::Password]
            .map(|step| {
                let state = StepState {
                    wished_at: at(680),
                    done_at: Some(at(681)),
                    seen: true,
                };
                (step, state)
            })
            .into(),
        tagged: true,
        waiting_since: Some(at(690)),
        trouble: Some(Trouble {
            since: at(691),
            seen_at: at(692),
            words: "rds:DescribeDBInstances: Throttling".to_owned(),
        }),
        suspected_jobs: vec![job.to_owned()],
        check_runs: 1,
        checks: vec![
            CheckResult {
                name: "orders are there".to_owned(),
                kind: "sql".to_owned(),
                outcome: CheckOutcome::Failed,
                value: text("12"),
                value_number: Some(12.0),
                datum: Some(Datum::Number),
                is_expected: false,
                expectation: "at least 100".to_owned(),
                detail: "12 is less than 100".into(),
                duration_minutes: 0.01,
                age_at_backup_minutes: Some(3.5),
                age_against_now_minutes: Some(30.5),
                measured: vec![Measurement {
                    name: "front page, ms".to_owned(),
                    number: Some(12.5),
                    text: Some("status 200".into()),
                }],
                group: text("integrity"),
            },
            CheckResult {
                name: "a setting is there".to_owned(),
                kind: "sql".to_owned(),
                outcome: CheckOutcome::Passed,
                value: None,
                value_number: None,
                datum: Some(Datum::Credential),
                is_expected: false,
                expectation: "not empty".to_owned(),
                detail: "the value is text".into(),
                duration_minutes: 0.01,
                age_at_backup_minutes: None,
                age_against_now_minutes: None,
                measured: Vec::new(),
                group: None,
            },
        ],
        findings: vec!["the copy job is PARTIAL: no reason".to_owned()],
        verdict: Some(Verdict::Failed),
        verdict_reason: "1 of 1 checks failed".into(),
        verdict_at: Some(at(700)),
        cleanup: Cleanup::Deleted,
        cleanup_reason: text("it was protected against deletion"),
        cleanup_at: Some(at(1020)),
        kept_until: Some(at(800)),
        missing_since: Some(at(900)),
        snapshot_missing_since: Some(at(2)),
        deletion_asked_at: Some(at(801)),
        deletion_tried_since: Some(at(802)),
        verdict_logged: true,
        tells_change: Some(true),
        verdict_sent: true,
        left_behind_sent: true,
        left_out_by_rule: true,
        replan: true,
        due_at: Some(at(1021)),
    }
}

/// Writes what is kept of today's formats. Its files are read by everything above from then on.
#[tokio::test]
#[ignore = "writes tests/formats; see its README.md"]
async fn keep() {
    let write_text = |name: &str, text: &str| {
        std::fs::write(folder(FORMAT).join(name), text).unwrap();
    };
    let write = |name: &str, value: &Value| {
        let text = serde_json::to_string_pretty(value).unwrap();
        write_text(
            name,
            &format!(
                "{text}
"
            ),
        );
    };
    for (name, path) in [
        ("example", "examples/policy.toml"),
        ("demo", "crates/cli/src/demo/policy.toml"),
    ] {
        let to = folder(FORMAT).join(format!("policy-{name}.toml"));
        std::fs::copy(root().join(path), to).unwrap();
    }
    for name in ["example", "demo", "everything"] {
        let file = folder(FORMAT).join(format!("policy-{name}.toml"));
        let read = policy::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        write(&format!("policy-{name}.rules.json"), &json!(read.rules));
    }
    write("policy-schema.json", &policy::schema());
    write("validation-everything.json", &json!(everything()));
    let everything = Record::of(&everything(), Ceiling::Text).unwrap();
    write_text("record-everything.json", &everything.line());
    // What stops a validation in each stage.
    let none = "";
    for (resource_type, ready, delete) in [
        ("aurora", "RDS.CreateDBInstance", "RDS.DeleteDBCluster"),
        ("rds", "RDS.ModifyDBInstance", "RDS.DeleteDBInstance"),
        (
            "ec2",
            "EC2.DescribeSecurityGroups",
            "EC2.TerminateInstances",
        ),
    ] {
        for (stage, stopped_at) in [
            ("landed", "Backup.DescribeRecoveryPoint"),
            ("restoring", none),
            ("restored", ready),
            ("checked", "S3.PutObject"),
            ("recorded", delete),
            ("deleting", none),
            ("closed", none),
        ] {
            let scene = Scene::set(POLICY).await;
            if stopped_at != none {
                // What is in this state is waited for, whatever else would be refused for good.
                let code = match stopped_at {
                    "RDS.CreateDBInstance" => "InvalidDBClusterStateFault",
                    "RDS.ModifyDBInstance" => "InvalidDBInstanceState",
                    _ => "AccessDenied",
                };
                let denied = Fault::error(code, 400).times(Times::Forever);
                scene.world.faults().fail(stopped_at, denied);
            }
            let point = match resource_type {
                "aurora" => scene.add(scene.cluster_point("orders")),
                "rds" => scene.backup("orders", RestoreBehaviour::bare()),
                _ => scene.add(scene.machine_point("0150a9", shop())),
            };
            let id = validation_of(&scene, &point).await;
            let heard = Heard {
                copy_job: None,
                findings: vec!["noticed by an event".to_owned()],
            };
            let ledger = &scene.app.ledger;
            ledger.note_heard(&id, &heard, scene.now()).await.unwrap();
            ledger.remember_told_of("vault", scene.now()).await.unwrap();
            for _ in 0..100 {
                let is = scene.item(&id)["stage"]["S"].clone();
                if is == stage
                    && (stage != "restoring" || !scene.validation(&id)["intent"].is_null())
                {
                    break;
                }
                scene.deliver().await;
                if scene.item(&id)["stage"]["S"] != stage {
                    scene.sweep().await;
                }
            }
            assert_eq!(scene.item(&id)["stage"]["S"], stage, "{resource_type}");
            let items = scene.world.table_items(LEDGER);
            write(
                &format!("ledger-{resource_type}-{stage}.json"),
                &json!(items),
            );
            if stage == "closed" {
                let mut keys = scene.world.object_keys(BUCKET).into_iter();
                let key = keys.find(|key| key.contains(&id)).unwrap();
                let record = scene.world.object_versions(BUCKET, &key).pop().unwrap();
                let text = String::from_utf8(record.body.to_vec()).unwrap();
                write_text(&format!("record-{resource_type}.json"), &text);
            }
        }
    }
}

/// Lets a copy land. Its event may fail: then the sweep finds what it opened.
async fn validation_of(scene: &Scene, point: &str) -> String {
    let job = scene.world.copy_job_of(point).unwrap();
    let _ = scene.try_invoke(scene.world.copy_job_event(&job)).await;
    let items = scene.world.table_items(LEDGER);
    let mut ids = items.iter().filter(|item| item["document"].is_object());
    ids.next().unwrap()["id"]["S"].as_str().unwrap().to_owned()
}

fn shop() -> Machine {
    let page = ("/index.html".to_owned(), "<h1>Welcome</h1>".to_owned());
    Machine {
        ports: vec![8080],
        files: [page].into(),
        ..Machine::default()
    }
}

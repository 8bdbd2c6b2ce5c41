//! What people and queries get: records, log events, messages.

use restore_proof_local_aws::InstanceBehaviour;

use super::*;

/// `YYYY-MM-DD HH:MM:SS.fff`
fn is_athena_timestamp(text: &str) -> bool {
    let pattern = "dddd-dd-dd dd:dd:dd.ddd";
    text.len() == pattern.len()
        && text.chars().zip(pattern.chars()).all(|(c, p)| match p {
            'd' => c.is_ascii_digit(),
            p => c == p,
        })
}

/// A scene with a record of each of several outcomes.
async fn several() -> Scene {
    let policy = UNCHECKED.replace("match = {}", "match = { source_arn = \"*:db:orders*\" }")
        + "objectives = { recovery_time = \"1h\" }\n";
    let scene = Scene::set(&policy).await;
    scene
        .prove(&scene.backup("orders", RestoreBehaviour::bare()))
        .await;
    let fails = RestoreBehaviour::fails(Duration::from_secs(4), DAMAGED);
    scene.prove(&scene.backup("orders-damaged", fails)).await;
    scene
        .prove(&scene.backup("scratch", RestoreBehaviour::bare()))
        .await;
    let point = scene.backup("orders-uncopied", RestoreBehaviour::bare());
    let event = scene
        .world
        .copy_job_event(&failed_copy(&scene, &point, "FAILED"));
    scene.invoke(event).await;
    scene
}

#[tokio::test]
async fn every_record_has_all_columns_in_one_line_with_their_types() {
    let scene = several().await;
    let records = scene.records();
    assert_eq!(records.len(), 4);
    let columns =
        |record: &Value| -> Vec<String> { record.as_object().unwrap().keys().cloned().collect() };
    let wanted = columns(&records[0]);
    assert!(wanted.len() > 40, "{wanted:?}");
    for record in &records {
        assert_eq!(columns(record), wanted);
        for (name, value) in record.as_object().unwrap() {
            let fits = match name.as_str() {
                "attempts" | "checks" | "findings" | "restore_request" | "usage" => {
                    value.is_array()
                }
                "attempt" | "format" => value.is_u64(),
                "network" => value.is_object() || value.is_null(),
                "backup_size_bytes" | "restored_size_bytes" => value.is_u64() || value.is_null(),
                "recovery_time"
                | "recovery_time_target"
                | "data_age"
                | "data_age_target"
                | "age_latest_db_tx"
                | "copy_event_lag"
                | "restore_event_lag" => value.is_f64() || value.is_null(),
                name if name.ends_with("_duration") => value.is_f64() || value.is_null(),
                name if name.ends_with("_time")
                    || name == "kept_until"
                    || name == "recovery_point_created" =>
                {
                    value.is_null() || value.as_str().is_some_and(is_athena_timestamp)
                }
                _ => value.is_string() || value.is_null(),
            };
            assert!(fits, "{name} is {value}");
        }
        for name in [
            "validation_id",
            "verdict",
            "verdict_reason",
            "opened_time",
            "verdict_time",
            "cleanup",
            "function_version",
        ] {
            assert!(record[name].is_string(), "{name} of {record:#}");
        }
    }
    for key in record_keys(&scene) {
        let id = key
            .rsplit('/')
            .next()
            .unwrap()
            .strip_suffix(".json")
            .unwrap();
        let record = scene.record(id);
        let day = &record["opened_time"].as_str().unwrap()[..10];
        assert_eq!(key, format!("records/dt={day}/{id}.json"));
        for version in scene.world.object_versions(BUCKET, &key) {
            assert_eq!(version.content_type.as_deref(), Some("application/json"));
            let text = std::str::from_utf8(&version.body).unwrap();
            assert_eq!(text.matches('\n').count(), 1);
            assert!(text.ends_with("}\n"));
        }
    }
}

#[tokio::test]
async fn the_record_tells_the_whole_story() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let id = scene.lands(&point).await;
    let record = scene.close(&id).await;
    let job = scene.world.restore_jobs().remove(0);
    for (column, wanted) in [
        ("recovery_point_arn", point.as_str()),
        ("backup_vault_name", "central"),
        ("resource_type", "RDS"),
        ("source_account", "222233334444"),
        ("restore_job_id", &job.id),
        ("restored_instance_id", &format!("restore-proof-r-{id}-1")),
        ("policy_rule", "all"),
        ("policy_version", "test"),
        ("recovery_time_objective", "not_set"),
        ("data_age_objective", "not_set"),
    ] {
        assert_eq!(record[column], wanted, "{column}");
    }
    assert!(record["copy_job_id"].is_string());
    assert_eq!(record["policy_fingerprint"].as_str().unwrap().len(), 64);
    let read = scene.world.object_versions(BUCKET, POLICY_KEY).pop();
    assert_eq!(record["policy_version_id"], read.unwrap().version_id);
}

#[tokio::test]
async fn the_log_holds_one_verdict_with_metrics_and_one_cleanup_without() {
    let scene = several().await;
    for record in scene.records() {
        let id = record["validation_id"].as_str().unwrap();
        let verdicts = scene.log_events("verdict", id);
        let cleanups = scene.log_events("cleanup", id);
        assert_eq!((verdicts.len(), cleanups.len()), (1, 1), "{record:#}");
        let metrics = &verdicts[0]["_aws"]["CloudWatchMetrics"];
        assert_eq!(metrics[0]["Namespace"], format!("RestoreProof/{PREFIX}"));
        assert_eq!(verdicts[0]["verdict"], record["verdict"]);
        assert_eq!(verdicts[0]["Validations"], 1);
        // Each metric that is announced is there.
        for directive in metrics.as_array().unwrap() {
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                assert!(verdicts[0][name].is_number(), "{name}");
            }
        }
        assert_eq!(cleanups[0]["_aws"], Value::Null);
        assert_eq!(cleanups[0]["cleanup"], record["cleanup"]);
    }
}

#[tokio::test]
async fn messages_have_a_short_plain_subject_and_attributes_to_filter_by() {
    let scene = several().await;
    let messages = scene.world.messages();
    let kinds: Vec<_> = messages
        .iter()
        .map(|message| message.attributes["verdict"].as_str())
        .collect();
    assert_eq!(kinds, ["unchecked", "restore_failed", "copy_failed"]);
    // What somebody must look at goes to a topic of its own.
    let are_urgent: Vec<bool> = messages
        .iter()
        .map(|message| message.topic_arn == urgent_topic())
        .collect();
    assert_eq!(are_urgent, [false, true, true]);
    for message in &messages {
        let subject = message.subject.as_deref().unwrap();
        assert!(subject.len() < 100 && subject.is_ascii(), "{subject}");
        assert!(!subject.contains(['\n', '\r']), "{subject}");
        assert_eq!(message.attributes["kind"], "verdict");
        assert_eq!(message.attributes["resource_type"], "RDS");
        assert_eq!(message.attributes["source_account"], "222233334444");
        assert!(message.body.len() <= 262_144);
        assert!(message.body.contains("s3://results/records/dt="));
    }
    assert_eq!(messages[0].attributes["rule"], "all");
    assert!(
        !messages[2].attributes.contains_key("rule"),
        "no rule was asked"
    );
}

#[tokio::test]
async fn a_long_foreign_name_makes_no_bad_subject() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.add(RecoveryPoint {
        source_resource_arn: format!(
            "arn:aws:rds:eu-central-1:222233334444:db:ü\n{}",
            "lang".repeat(60)
        ),
        ..scene.point("orders")
    });
    scene.prove(&point).await;
    let subject = scene.world.messages().remove(0).subject.unwrap();
    assert!(
        subject.len() < 100 && subject.is_ascii() && !subject.contains('\n'),
        "{subject}"
    );
}

#[tokio::test]
async fn a_rule_may_ask_for_fewer_messages_but_not_about_what_is_left_behind() {
    for (notify, verdicts) in [("always", 1), ("problems", 1), ("changes", 1), ("never", 0)] {
        let scene = Scene::set(&format!("{UNCHECKED}notify = \"{notify}\"\n")).await;
        let behaviour = RestoreBehaviour {
            instance: InstanceBehaviour {
                protects_itself: true,
                ..InstanceBehaviour::default()
            },
            ..RestoreBehaviour::bare()
        };
        scene.lands(&scene.backup("orders", behaviour)).await;
        scene.sweep().await;
        let messages = scene.world.messages();
        let of = |kind: &str| {
            messages
                .iter()
                .filter(|message| message.attributes["kind"] == kind)
                .count()
        };
        assert_eq!(
            (of("verdict"), of("left_behind")),
            (verdicts, 1),
            "{notify}"
        );
    }
}

/// Also about what nobody is to hear of, what the policy leaves out and what was never copied.
#[tokio::test]
async fn every_verdict_is_an_event_for_programs() {
    let scene = several().await;
    let events = events(&scene);
    let records = scene.records();
    assert_eq!(events.len(), records.len());
    for record in &records {
        let about = |event: &&Value| event["validation_id"] == record["validation_id"];
        let event = events.iter().find(about).unwrap();
        for (name, value) in event.as_object().unwrap() {
            match name.as_str() {
                "event" => assert_eq!(value, "verdict"),
                "version" => assert_eq!(value, 1),
                "record_uri" => {
                    assert!(value.as_str().unwrap().starts_with("s3://results/records/"))
                }
                // What it became after the verdict.
                "cleanup" => {
                    assert!(["pending", "nothing_to_delete"].contains(&value.as_str().unwrap()))
                }
                name => assert_eq!(value, &record[name], "{name}"),
            }
        }
    }
    let verdicts: Vec<_> = events.iter().map(|event| &event["verdict"]).collect();
    assert_eq!(
        verdicts,
        ["unchecked", "restore_failed", "not_tested", "copy_failed"]
    );
    // One publish for each: what people hear of is not published twice.
    assert_eq!(calls(&scene, "SNS.Publish"), 4);
}

/// The details of all events that the stack's queue got.
pub(super) fn events(scene: &Scene) -> Vec<Value> {
    let queued = scene.world.queued(&["verdict", "left_behind"]);
    let details = queued.iter().map(|text| serde_json::from_str(text));
    details.collect::<Result<_, _>>().unwrap()
}

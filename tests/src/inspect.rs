//! What must be true of a world in the end, whatever happened in it. The world is asked, not the function.

use std::ops::RangeInclusive;

use restore_proof_local_aws::{Call, RestoreJob, World};
use serde_json::Value;

use crate::{BUCKET, LEDGER, LOG_GROUP, RESTORE_ROLE};

/// The validation whose record lay there before a run began.
pub const PROVED_BEFORE: &str = "proved-before";

/// The calls that delete what was restored.
const DELETIONS: [&str; 4] = [
    "RDS.DeleteDBCluster",
    "RDS.DeleteDBInstance",
    "EC2.TerminateInstances",
    "EC2.DeleteVolume",
];

/// What must have become of one validation.
#[derive(Clone, Debug)]
pub struct Expected {
    /// What people call it.
    pub name: String,
    /// The validation's id.
    pub id: String,
    /// ARN of what is restored; of no restore job when a copy failed.
    pub recovery_point_arn: String,
    /// The verdicts it may have.
    pub verdicts: Vec<&'static str>,
    /// The ways its cleanup may end.
    pub cleanups: Vec<&'static str>,
    /// How many restore jobs it may cause.
    pub restores: RangeInclusive<usize>,
}

/// Looks at a world in which these validations, and no others, are to be closed, and in which these resources
/// (names of databases, ids of machines and volumes) are somebody else's. Answers all that is not as it must be.
pub fn inspect(world: &World, expected: &[Expected], foreign: &[&str]) -> Vec<String> {
    let calls = world.calls();
    let jobs = world.restore_jobs();
    let items = world.table_items(LEDGER);
    let mut wrong = Vec::new();
    for one in expected {
        let ours = |job: &&RestoreJob| {
            job.iam_role_arn == RESTORE_ROLE && job.recovery_point_arn == one.recovery_point_arn
        };
        let jobs: Vec<_> = jobs.iter().filter(ours).collect();
        let problems = [
            ledger_problems(&items, one),
            restore_problems(&jobs, one),
            record_problems(world, one, &jobs, &calls),
            telling_problems(world, one),
        ];
        let named = |problem| format!("{} ({}): {problem}", one.name, one.id);
        wrong.extend(problems.into_iter().flatten().map(named));
    }
    let mut records = world.records();
    records.retain(|(_, record)| record["validation_id"] != PROVED_BEFORE);
    if records.len() != expected.len() {
        wrong.push(format!(
            "{} validations and {} records",
            expected.len(),
            records.len()
        ));
    }
    wrong.extend(deleted_unrecorded(world, &calls));
    wrong.extend(writer_problems(&calls));
    wrong.extend(left(world, &records, foreign));
    wrong.extend(held(&items));
    wrong.extend(foreign.iter().flat_map(|name| touched(world, &calls, name)));
    wrong
}

/// Slots and leases that the ledger holds for somebody.
pub fn held(items: &[Value]) -> Vec<String> {
    let attributes = items.iter().filter_map(Value::as_object).flatten();
    attributes
        .filter(|(name, _)| name.starts_with("held") || name.starts_with("lease_"))
        .map(|(name, value)| format!("the ledger has {name} {value}"))
        .collect()
}

/// Closed, and nobody comes by any more, unless something is left behind.
fn ledger_problems(items: &[Value], one: &Expected) -> Vec<String> {
    let Some(item) = items.iter().find(|item| item["id"]["S"] == one.id) else {
        return vec!["the ledger does not know it".to_owned()];
    };
    let (stage, due) = (&item["stage"]["S"], &item["due_at"]);
    let is_over = stage == "closed" && due.is_null();
    // Deletion is tried daily.
    let is_left = stage == "recorded" && one.cleanups.contains(&"left_behind");
    if is_over || is_left {
        return Vec::new();
    }
    vec![format!("it is {stage}, not closed, and due at {due}")]
}

fn restore_problems(jobs: &[&RestoreJob], one: &Expected) -> Vec<String> {
    let mut wrong = Vec::new();
    if !one.restores.contains(&jobs.len()) {
        let ids: Vec<_> = jobs.iter().map(|job| &job.id).collect();
        wrong.push(format!(
            "{} restore jobs, not {:?}: {ids:?}",
            jobs.len(),
            one.restores
        ));
    }
    let created = jobs
        .iter()
        .filter(|job| job.created_resource_arn.is_some() && !was_tried_again(job, jobs))
        .count();
    let created_too_few_or_many = match one.cleanups[..] {
        ["deleted"] => created != 1,
        ["nothing_to_delete"] => created != 0,
        _ => created > 1,
    };
    if created_too_few_or_many {
        wrong.push(format!("{created} restored resources"));
    }
    wrong
}

/// One record, as it must be, whose verdict never changed, and which was written before anything was deleted.
fn record_problems(
    world: &World,
    one: &Expected,
    jobs: &[&RestoreJob],
    calls: &[Call],
) -> Vec<String> {
    let mut keys = world.object_keys(BUCKET);
    keys.retain(|key| key.starts_with("records/") && key.contains(&one.id));
    let [key] = keys.as_slice() else {
        return vec![format!("{} records: {keys:?}", keys.len())];
    };
    let versions: Vec<Value> = world
        .object_versions(BUCKET, key)
        .iter()
        .map(|version| serde_json::from_slice(&version.body).unwrap_or_default())
        .collect();
    let Some(record) = versions.last() else {
        return vec![format!("{key} has no version")];
    };
    let text = |name: &str| record[name].as_str().unwrap_or_default();
    let (verdict, cleanup) = (text("verdict"), text("cleanup"));
    let mut wrong = Vec::new();
    if versions.iter().any(|version| version["verdict"] != verdict) {
        let verdicts: Vec<_> = versions.iter().map(|version| &version["verdict"]).collect();
        wrong.push(format!("the verdict changed: {verdicts:?}"));
    }
    if !one.verdicts.contains(&verdict) {
        wrong.push(format!(
            "the verdict is {verdict}, not {:?}: {}",
            one.verdicts, record["verdict_reason"]
        ));
    }
    if !one.cleanups.contains(&cleanup) {
        wrong.push(format!(
            "the cleanup is {cleanup}, not {:?}: {}",
            one.cleanups, record["cleanup_reason"]
        ));
    }
    let written = calls
        .iter()
        .position(|call| call.name() == "S3.PutObject" && took_effect(call) && call.mentions(key));
    if written.is_none() {
        wrong.push("nobody wrote its record".to_owned());
    }
    for job in jobs {
        let was_tried_again = was_tried_again(job, jobs);
        let Some(name) = restored(job) else { continue };
        if was_tried_again && job.created_resource_arn.is_none() {
            continue;
        }
        let deleted = calls.iter().position(|call| {
            call.reached && DELETIONS.contains(&&*call.name()) && call.mentions(name)
        });
        // A writer's deletion, whose name begins like its cluster's, is not the cluster's.
        let is_its = |call: &Call| call.resources.iter().any(|one| one == name);
        let deleted = deleted.filter(|_| {
            let mut calls = calls.iter();
            calls
                .any(|call| DELETIONS.contains(&&*call.name()) && took_effect(call) && is_its(call))
        });
        match deleted {
            None if cleanup == "deleted" => wrong.push(format!("nobody deleted {name}")),
            // What a failed attempt has left goes before the next: nobody looked into it.
            Some(_) if was_tried_again => {}
            Some(deleted) if written.is_none_or(|written| deleted < written) => {
                wrong.push(format!("{name} was deleted before it was recorded"));
            }
            _ => {}
        }
    }
    wrong
}

/// Whether a job failed and there was another attempt after it.
fn was_tried_again(job: &RestoreJob, jobs: &[&RestoreJob]) -> bool {
    job.status == "FAILED" && jobs.iter().any(|other| other.created_at > job.created_at)
}

/// The name or id of what a job has restored, or was to restore.
fn restored(job: &RestoreJob) -> Option<&str> {
    let named = job.created_resource_arn.as_deref();
    let name = named.and_then(|arn| arn.rsplit([':', '/']).next());
    let keys = ["DBInstanceIdentifier", "DBClusterIdentifier"];
    let planned = keys.iter().find_map(|key| job.metadata.get(*key));
    name.or(planned.map(String::as_str))
}

/// Verdict and cleanup in the log; a message at least, and one that says so when something is left behind.
fn telling_problems(world: &World, one: &Expected) -> Vec<String> {
    let mut wrong = Vec::new();
    let logged: Vec<Value> = world
        .log_events(LOG_GROUP)
        .iter()
        .filter_map(|event| serde_json::from_str(&event.message).ok())
        .filter(|event: &Value| event["validation_id"] == one.id)
        .collect();
    for kind in ["verdict", "cleanup"] {
        if !logged.iter().any(|event| event["event"] == kind) {
            wrong.push(format!("no log event tells its {kind}"));
        }
    }
    let mut messages = world.messages();
    messages.retain(|message| message.body.contains(&one.id));
    if messages.is_empty() {
        wrong.push("no message tells its verdict".to_owned());
    }
    // Programs hear of it, too, whoever else does.
    let events = world.queued(&["verdict", "left_behind"]);
    let events = events
        .iter()
        .filter_map(|event| serde_json::from_str(event).ok());
    let mut events = events.filter(|event: &Value| event["validation_id"] == one.id);
    let verdicts: Vec<_> = logged.iter().map(|event| &event["verdict"]).collect();
    if !events.any(|event| event["event"] == "verdict" && verdicts.contains(&&event["verdict"])) {
        wrong.push("no event tells its verdict".to_owned());
    }
    let is_left = logged.iter().any(|event| event["cleanup"] == "left_behind");
    let says_so = |text: &str| text.to_lowercase().contains("left behind");
    let told = messages
        .iter()
        .any(|message| says_so(&message.body) || message.subject.as_deref().is_some_and(says_so));
    if is_left && !told {
        wrong.push("it left something behind, and no message says so".to_owned());
    }
    wrong
}

/// A deletion, also of a volume that no restore job names, before anything was recorded; but for what a failed job names.
fn deleted_unrecorded(world: &World, calls: &[Call]) -> Option<String> {
    let mut jobs = world.restore_jobs();
    jobs.retain(|job| job.status == "FAILED");
    let of_failed = |name: &String| jobs.iter().any(|job| restored(job) == Some(name));
    let recorded = calls
        .iter()
        .position(|call| call.name() == "S3.PutObject" && took_effect(call));
    let deleted = calls.iter().position(|call| {
        let is_deletion = call.reached && DELETIONS.contains(&&*call.name());
        is_deletion && !call.resources.iter().all(of_failed)
    })?;
    recorded
        .is_none_or(|recorded| deleted < recorded)
        .then(|| "something was deleted before anything was recorded".to_owned())
}

/// Each cluster got one writer at most, which was deleted before it.
fn writer_problems(calls: &[Call]) -> Vec<String> {
    let taken = |name: &'static str| {
        let calls = calls.iter().enumerate();
        calls.filter(move |(_, call)| call.name() == name && took_effect(call))
    };
    let mut wrong = Vec::new();
    let mut writers: Vec<_> = taken("RDS.CreateDBInstance").collect();
    writers.sort_by(|(_, one), (_, other)| one.resources.cmp(&other.resources));
    for pair in writers.windows(2) {
        // What a fault has answered may have been refused underneath; then it is the same writer.
        if pair[0].1.resources == pair[1].1.resources && !pair[0].1.injected && !pair[1].1.injected
        {
            wrong.push(format!("{:?} was made twice", pair[0].1.resources));
        }
    }
    for (deleted, cluster) in taken("RDS.DeleteDBCluster") {
        for name in &cluster.resources {
            let is_in = |call: &Call| call.resources.contains(name);
            for (_, made) in writers.iter().filter(|(_, made)| is_in(made)) {
                let writer = made.resources.iter().find(|one| *one != name);
                let ended = taken("RDS.DeleteDBInstance")
                    .any(|(at, call)| at < deleted && call.resources.first() == writer);
                if !ended {
                    wrong.push(format!("{name} was deleted before its writer {writer:?}"));
                }
            }
        }
    }
    wrong
}

/// What was restored and still exists, unless a record says that it is left behind.
fn left(world: &World, records: &[(String, Value)], foreign: &[&str]) -> Vec<String> {
    let said: Vec<_> = records
        .iter()
        .filter(|(_, record)| record["cleanup"] == "left_behind")
        .map(|(_, record)| record.to_string())
        .collect();
    let mut things = world.things();
    // What is a part stays and goes with its whole.
    things.retain(|thing| thing.kind.is_restored() && thing.belongs_to.is_none());
    let names = things.into_iter().map(|thing| thing.id);
    names
        .filter(|name| !foreign.contains(&name.as_str()))
        .filter(|name| !said.iter().any(|record| record.contains(name.as_str())))
        .map(|name| format!("{name} is left, and no record says so"))
        .collect()
}

/// A foreign resource that a call named which changes something, or that is gone.
fn touched(world: &World, calls: &[Call], name: &str) -> Vec<String> {
    let by = calls.iter().filter(|call| {
        call.mutating && matches!(call.service, "RDS" | "EC2") && call.mentions(name)
    });
    let mut wrong: Vec<_> = by
        .map(|call| format!("{} names {name}, which is not ours", call.name()))
        .collect();
    let is_there = world.things().iter().any(|thing| thing.id == name);
    if !is_there {
        wrong.push(format!("{name}, which is not ours, is gone"));
    }
    wrong
}

/// Also when its answer was lost on purpose.
fn took_effect(call: &Call) -> bool {
    call.reached && (call.injected || call.error.is_none())
}

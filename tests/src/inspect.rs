//! What must be true of a world in the end, whatever happened in it.

use std::collections::BTreeMap;

use restore_proof_local_aws::{Call, RestoreJob, World};
use serde_json::Value;

use crate::{BUCKET, LEDGER, LOG_GROUP, RESTORE_ROLE};

/// The calls that delete what was restored.
const DELETES: [&str; 3] = [
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
    /// ARN of what is restored; empty when a copy failed.
    pub recovery_point_arn: String,
    /// The verdicts it may have.
    pub verdicts: Vec<&'static str>,
    /// How its cleanup ends.
    pub cleanup: &'static str,
    /// How many restore jobs it causes.
    pub restores: usize,
    /// How many of them restore something.
    pub restored: usize,
}

/// Looks at a world in which these validations, and no others, are to be closed, and in which these resources
/// (names of databases, ids of machines and volumes) are somebody else's. Answers all that is not as it must be.
pub fn inspect(world: &World, expected: &[Expected], foreign: &[&str]) -> Vec<String> {
    let calls = world.calls();
    let mut wrong = Vec::new();
    for one in expected {
        let problems = [
            ledger_problems(world, one),
            restore_problems(world, one),
            record_problems(world, one, &calls),
            telling_problems(world, one),
        ];
        let named = |problem| format!("{} ({}): {problem}", one.name, one.id);
        wrong.extend(problems.into_iter().flatten().map(named));
    }
    let records = keys_of_records(world, "").len();
    if records != expected.len() {
        wrong.push(format!(
            "{} validations and {records} records",
            expected.len()
        ));
    }
    wrong.extend(left(world, foreign));
    wrong.extend(foreign.iter().flat_map(|name| touched(world, &calls, name)));
    wrong
}

/// Closed, with no lease held and nothing due.
fn ledger_problems(world: &World, one: &Expected) -> Vec<String> {
    let items = world.table_items(LEDGER);
    let Some(item) = items.iter().find(|item| item["id"]["S"] == one.id) else {
        return vec!["the ledger does not know it".to_owned()];
    };
    let mut wrong = Vec::new();
    if item["stage"]["S"] != "closed" {
        wrong.push(format!("it is {}, not closed", item["stage"]["S"]));
    }
    for held in ["lease_owner", "lease_until", "due_at"] {
        if let Some(value) = item.get(held) {
            wrong.push(format!("its {held} is {value}"));
        }
    }
    wrong
}

/// One restore, under a name of its own for each attempt, and one restored resource.
fn restore_problems(world: &World, one: &Expected) -> Vec<String> {
    let mut jobs = world.restore_jobs();
    jobs.retain(|job| ours(job) && job.recovery_point_arn == one.recovery_point_arn);
    let ids: Vec<_> = jobs.iter().map(|job| job.id.as_str()).collect();
    let mut wrong = Vec::new();
    if jobs.len() != one.restores {
        wrong.push(format!("{} restore jobs: {ids:?}", jobs.len()));
    }
    let created = jobs
        .iter()
        .filter(|job| job.created_resource_arn.is_some())
        .count();
    if created != one.restored {
        wrong.push(format!("{created} restored resources, of {ids:?}"));
    }
    wrong
}

/// One record, as it must be, and written before anything was deleted.
fn record_problems(world: &World, one: &Expected, calls: &[Call]) -> Vec<String> {
    let keys = keys_of_records(world, &one.id);
    let [key] = keys.as_slice() else {
        return vec![format!("{} records: {keys:?}", keys.len())];
    };
    let records: BTreeMap<_, _> = world.records().into_iter().collect();
    let record = &records[key];
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let mut wrong = Vec::new();
    if !one.verdicts.contains(&text("verdict").as_str()) {
        wrong.push(format!(
            "the verdict is {}, not {:?}: {}",
            record["verdict"], one.verdicts, record["verdict_reason"]
        ));
    }
    if text("cleanup") != one.cleanup {
        wrong.push(format!(
            "the cleanup is {}, not {}: {}",
            record["cleanup"], one.cleanup, record["cleanup_reason"]
        ));
    }
    let written = calls.iter().position(|call| {
        call.name() == "S3.PutObject" && took_effect(call) && call.mentions(&one.id)
    });
    let restored = text("restored_instance_id");
    let deleted = calls.iter().position(|call| {
        DELETES.contains(&call.name().as_str()) && call.reached && call.mentions(&restored)
    });
    match (one.restored, written, deleted) {
        (_, None, _) => wrong.push("nobody wrote its record".to_owned()),
        (1.., _, None) => wrong.push(format!("nobody deleted {restored}")),
        (1.., Some(written), Some(deleted)) if deleted < written => {
            wrong.push(format!("{restored} was deleted before its record"));
        }
        _ => {}
    }
    wrong
}

/// The verdict's log event and the message about it, at least once.
fn telling_problems(world: &World, one: &Expected) -> Vec<String> {
    let mut wrong = Vec::new();
    let logged = world.log_events(LOG_GROUP);
    let mut logged = logged
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(&event.message).ok());
    if !logged.any(|event| event["event"] == "verdict" && event["validation_id"] == one.id) {
        wrong.push("no log event tells its verdict".to_owned());
    }
    let messages = world.messages();
    if !messages
        .iter()
        .any(|message| message.body.contains(&one.id))
    {
        wrong.push("no message tells its verdict".to_owned());
    }
    wrong
}

/// What was restored and still exists, and what the ledger still holds for it.
fn left(world: &World, foreign: &[&str]) -> Vec<String> {
    let instances = world.db_instances().into_iter().map(|db| db.identifier);
    let machines = world.ec2_instances().into_iter();
    let machines = machines.filter(|machine| machine.state != "terminated");
    let volumes = world.volumes().into_iter().map(|volume| volume.id);
    let mut wrong: Vec<_> = instances
        .chain(machines.map(|machine| machine.id))
        .chain(volumes)
        .filter(|name| !foreign.contains(&name.as_str()))
        .map(|name| format!("{name} is left"))
        .collect();
    for item in world.table_items(LEDGER) {
        if item["id"]["S"] == "slots" && !item["held"].is_null() {
            wrong.push(format!("slots are held: {}", item["held"]));
        }
    }
    wrong
}

/// A foreign resource that a call named which changes something, or that is gone.
fn touched(world: &World, calls: &[Call], name: &str) -> Vec<String> {
    let by = calls.iter().filter(|call| {
        call.mutating && matches!(call.service, "RDS" | "EC2") && call.mentions(name)
    });
    let mut wrong: Vec<_> = by
        .map(|call| format!("{} names {name}, which is not ours", call.name()))
        .collect();
    let is_there = world.db_instances().iter().any(|db| db.identifier == name)
        || world.volumes().iter().any(|volume| volume.id == name)
        || world
            .ec2_instances()
            .iter()
            .any(|machine| machine.id == name && machine.state != "terminated");
    if !is_there {
        wrong.push(format!("{name}, which is not ours, is gone"));
    }
    wrong
}

fn keys_of_records(world: &World, id: &str) -> Vec<String> {
    let mut keys = world.object_keys(BUCKET);
    keys.retain(|key| key.starts_with("records/") && key.contains(id));
    keys
}

fn ours(job: &RestoreJob) -> bool {
    job.iam_role_arn == RESTORE_ROLE
}

fn took_effect(call: &Call) -> bool {
    call.reached && call.error.is_none()
}

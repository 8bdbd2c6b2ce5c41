//! What must hold after a run, whatever was done to it. The world is asked, not the function.

use restore_proof_local_aws::{
    Attachment, Call, DbInstance, Ec2Instance, RestoreJob, Volume, World,
};
use serde_json::{Value, json};

use super::paths::{Case, db_arn, machine_arn};
use crate::{BUCKET, MACHINE_SECURITY_GROUP, PREFIX, RESTORE_ROLE, SUBNET, SUBNET_GROUP, Scene};

const ANNAS_DATABASE: &str = "anna-looks-for-lost-orders";
const ANNAS_MACHINE: &str = "i-0a22a000000000001";
const ANNAS_VOLUME: &str = "vol-0a22a000000000001";
const ANNAS_ROLE: &str = "arn:aws:iam::111122223333:role/anna";
const ANNAS: [&str; 3] = [ANNAS_DATABASE, ANNAS_MACHINE, ANNAS_VOLUME];

/// Calls that delete something which costs money.
const DELETIONS: [&str; 3] = [
    "RDS.DeleteDBInstance",
    "EC2.TerminateInstances",
    "EC2.DeleteVolume",
];

/// Gives a colleague, who recovers something by hand these days, what she has in the same network. Two of the recovery points
/// under test are hers too.
pub fn let_anna_in(scene: &Scene, cases: &[Case]) {
    let world = &scene.world;
    let soon = scene.now() + jiff::SignedDuration::from_secs(30);
    world.add_db_instance(DbInstance {
        identifier: ANNAS_DATABASE.to_owned(),
        created_at: Some(soon),
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbInstance::default()
    });
    world.add_ec2_instance(Ec2Instance {
        id: ANNAS_MACHINE.to_owned(),
        launched_at: soon,
        subnet_id: SUBNET.to_owned(),
        security_groups: vec![MACHINE_SECURITY_GROUP.to_owned()],
        ..Ec2Instance::default()
    });
    world.add_volume(Volume {
        id: ANNAS_VOLUME.to_owned(),
        state: "in-use".to_owned(),
        created_at: soon,
        attachment: Some(Attachment {
            attached_at: None,
            instance_id: ANNAS_MACHINE.to_owned(),
            device: "/dev/xvda".to_owned(),
            delete_on_termination: true,
        }),
        ..Volume::default()
    });
    for is_machine in [false, true] {
        let Some(case) = cases.iter().find(|case| case.path.is_machine == is_machine) else {
            continue;
        };
        let groups = json!([MACHINE_SECURITY_GROUP]).to_string();
        let (arn, metadata) = if is_machine {
            let network = [("SubnetId", SUBNET), ("SecurityGroupIds", &groups)];
            (machine_arn(ANNAS_MACHINE), network.to_vec())
        } else {
            let name = [("DBInstanceIdentifier", ANNAS_DATABASE)];
            (db_arn(ANNAS_DATABASE), name.to_vec())
        };
        world.add_restore_job(RestoreJob {
            recovery_point_arn: case.point_arn.clone(),
            iam_role_arn: ANNAS_ROLE.to_owned(),
            metadata: metadata
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            created_at: scene.now(),
            completed_at: Some(soon),
            created_resource_arn: Some(arn),
            resource_type: if is_machine { "EC2" } else { "RDS" }.to_owned(),
            ..RestoreJob::default()
        });
    }
}

/// How a colleague's things look.
pub fn annas(world: &World) -> String {
    let databases = world.db_instances().into_iter();
    let machines = world.ec2_instances().into_iter();
    let volumes = world.volumes().into_iter();
    format!(
        "{:?} {:?} {:?}",
        databases
            .filter(|one| one.identifier == ANNAS_DATABASE)
            .collect::<Vec<_>>(),
        machines
            .filter(|one| one.id == ANNAS_MACHINE)
            .collect::<Vec<_>>(),
        volumes
            .filter(|one| one.id == ANNAS_VOLUME)
            .collect::<Vec<_>>(),
    )
}

/// What was done to the run, as far as it says what may come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing that does not heal: everything ends as if nothing had been done.
    Heals,
    /// A verdict may be `inconclusive`, and something may be left behind for a day.
    MayCost,
}

/// Everything that does not hold, in words. `before` is what [`annas`] told before the run.
pub fn violations(scene: &Scene, cases: &[Case], before: &str, severity: Severity) -> Vec<String> {
    let mut found = Vec::new();
    let calls = scene.world.calls();
    let jobs = scene.world.restore_jobs();
    for case in cases {
        let mut told = Vec::new();
        of_case(scene, case, &jobs, &calls, severity, &mut told);
        found.extend(
            told.into_iter()
                .map(|what| format!("{}: {what}", case.path.name)),
        );
    }
    of_all(scene, cases, &calls, before, &mut found);
    found
}

fn of_case(
    scene: &Scene,
    case: &Case,
    jobs: &[RestoreJob],
    calls: &[Call],
    severity: Severity,
    found: &mut Vec<String>,
) {
    let id = &case.id;
    let ours = |job: &&RestoreJob| {
        job.iam_role_arn == RESTORE_ROLE && job.recovery_point_arn == case.point_arn
    };
    let ours: Vec<_> = jobs.iter().filter(ours).collect();
    if ours.len() > 1 {
        found.push(format!("{} restore jobs of one recovery point", ours.len()));
    }

    let mut keys = scene.world.object_keys(BUCKET);
    keys.retain(|key| key.contains(id.as_str()));
    let [key] = keys.as_slice() else {
        found.push(format!("records {keys:?}, not one of {id}"));
        return;
    };
    let versions: Vec<Value> = scene
        .world
        .object_versions(BUCKET, key)
        .iter()
        .map(|version| serde_json::from_slice(&version.body).unwrap_or_default())
        .collect();
    let Some(record) = versions.last() else {
        found.push("a record without a version".to_owned());
        return;
    };
    let verdict = record["verdict"].as_str().unwrap_or_default();
    let cleanup = record["cleanup"].as_str().unwrap_or_default();
    if versions.iter().any(|version| version["verdict"] != verdict) {
        let verdicts: Vec<_> = versions.iter().map(|version| &version["verdict"]).collect();
        found.push(format!("the verdict changed: {verdicts:?}"));
    }
    let reason = &record["verdict_reason"];
    let as_undisturbed = verdict == case.path.verdict;
    if !as_undisturbed && (severity == Severity::Heals || verdict != "inconclusive") {
        found.push(format!(
            "verdict {verdict}, not {}: {reason}",
            case.path.verdict
        ));
    }
    let final_ones = [
        case.path.cleanup,
        "deleted",
        "nothing_to_delete",
        "left_behind",
    ];
    let cleaned = match severity {
        Severity::Heals => cleanup == case.path.cleanup,
        Severity::MayCost => final_ones.contains(&cleanup),
    };
    if !cleaned {
        found.push(format!(
            "cleanup {cleanup}, not {}: {}",
            case.path.cleanup, record["cleanup_reason"]
        ));
    }
    if severity == Severity::Heals && record["attempt"] != 1 {
        found.push(format!("attempt {}", record["attempt"]));
    }

    for job in &ours {
        of_resource(scene, job, key, cleanup, calls, found);
    }
    let messages = scene.world.messages();
    if !messages
        .iter()
        .any(|message| message.body.contains(id.as_str()))
    {
        found.push("no message".to_owned());
    }
    if cleanup == "left_behind" {
        let says = |text: &str| text.to_lowercase().contains("left behind");
        let told = messages.iter().any(|message| {
            let subject = message.subject.as_deref().unwrap_or_default();
            message.body.contains(id.as_str()) && (says(subject) || says(&message.body))
        });
        if !told {
            found.push("left behind, and no message says so".to_owned());
        }
    }
    for kind in ["verdict", "cleanup"] {
        if scene.log_events(kind, id).is_empty() {
            found.push(format!("no {kind} in the log"));
        }
    }
}

/// What a restore job of ours made is gone or recorded, and was recorded before it was deleted.
fn of_resource(
    scene: &Scene,
    job: &RestoreJob,
    record_key: &str,
    cleanup: &str,
    calls: &[Call],
    found: &mut Vec<String>,
) {
    let named = job.created_resource_arn.as_deref();
    let name = named.and_then(|arn| arn.rsplit([':', '/']).next());
    let name = name.or_else(|| job.metadata.get("DBInstanceIdentifier").map(String::as_str));
    let Some(name) = name else { return };
    let there = [scene.instances(), scene.machines()].concat();
    if there.iter().any(|one| one == name) && cleanup != "left_behind" {
        found.push(format!("{name} is left, and its record says {cleanup}"));
    }
    let reached = |call: &Call| call.reached && (call.injected || call.error.is_none());
    let deleted = calls
        .iter()
        .position(|call| call.reached && DELETIONS.contains(&&*call.name()) && call.mentions(name));
    let recorded = calls.iter().position(|call| {
        call.name() == "S3.PutObject" && reached(call) && call.mentions(record_key)
    });
    match (recorded, deleted) {
        (_, None) => {}
        (Some(recorded), Some(deleted)) if recorded < deleted => {}
        _ => found.push(format!("{name} was deleted before it was recorded")),
    }
}

fn of_all(scene: &Scene, cases: &[Case], calls: &[Call], before: &str, found: &mut Vec<String>) {
    let world = &scene.world;
    let after = annas(world);
    if after != before {
        found.push(format!(
            "somebody else's things changed: {before} became {after}"
        ));
    }
    let changing = calls
        .iter()
        .filter(|call| call.mutating && matches!(call.service, "RDS" | "EC2"));
    for call in changing {
        if let Some(name) = ANNAS.iter().find(|name| call.mentions(name)) {
            found.push(format!("{} names {name}", call.name()));
        }
        let about_ours = call.service == "EC2"
            || call
                .resources
                .iter()
                .any(|name| name.starts_with(&format!("{PREFIX}-")));
        if !about_ours {
            found.push(format!("{} names {:?}", call.name(), call.resources));
        }
    }

    let records = scene.records();
    if records.len() != cases.len() {
        found.push(format!("{} records, not {}", records.len(), cases.len()));
    }
    let is_left = records
        .iter()
        .any(|record| record["cleanup"] == "left_behind");
    let left: Vec<_> = [scene.instances(), scene.machines(), scene.volumes()]
        .concat()
        .into_iter()
        .filter(|name| !ANNAS.contains(&name.as_str()))
        .collect();
    if !left.is_empty() && !is_left {
        found.push(format!("left and not recorded: {left:?}"));
    }
    let first_put = calls
        .iter()
        .position(|call| call.name() == "S3.PutObject" && call.reached);
    let first_deletion = calls
        .iter()
        .position(|call| call.reached && DELETIONS.contains(&&*call.name()));
    if first_deletion.is_some_and(|deletion| first_put.is_none_or(|put| put > deletion)) {
        found.push("something was deleted before anything was recorded".to_owned());
    }

    for item in world.table_items(crate::LEDGER) {
        if !item["held"].is_null() {
            found.push(format!("slots are held: {}", item["held"]));
        }
        if !item["lease_owner"].is_null() {
            found.push(format!("{} is leased", item["id"]));
        }
    }
}

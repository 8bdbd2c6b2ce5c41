//! Whether all of it is as it must be.

use std::collections::BTreeMap;

use restore_proof_local_aws::{Call, World, bystander};

use super::record::Record;
use super::stage::{LEDGER, Stage, is_our_name};
use super::story::Case;

/// What became of one case.
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// Its record; `None` when there is not exactly one.
    pub record: Option<Record>,
    /// How many restore jobs of ours there were.
    pub restores: usize,
    /// What is not as it must be.
    pub faults: Vec<String>,
}

impl Outcome {
    /// Of every case.
    pub fn all(world: &World, cases: &[Case]) -> Vec<Outcome> {
        let records = Record::all(world);
        cases
            .iter()
            .map(|case| Outcome::of(world, case, &records))
            .collect()
    }

    fn of(world: &World, case: &Case, records: &[Record]) -> Outcome {
        let mut faults = Vec::new();
        let name = case.name;
        let mine: Vec<&Record> = records.iter().filter(|record| record.is_of(case)).collect();
        let record = match *mine {
            [] => {
                faults.push(format!("{name}: there is no record"));
                None
            }
            [record] => Some(record.clone()),
            ref several => {
                faults.push(format!(
                    "{name}: there are {} records instead of one",
                    several.len()
                ));
                None
            }
        };
        if let Some(record) = &record {
            for (what, is, must_be) in [
                ("verdict", &record.verdict, case.verdict),
                ("cleanup", &record.cleanup, case.cleanup),
            ] {
                if is != must_be {
                    faults.push(format!("{name}: the {what} is {is} and must be {must_be}"));
                }
            }
        }
        let restores = case.restores_of_ours(world).len();
        if restores != case.restores {
            faults.push(format!(
                "{name}: there were {restores} restores of ours instead of {}",
                case.restores
            ));
        }
        Outcome {
            case: case.clone(),
            record,
            restores,
            faults,
        }
    }
}

/// What is not as it must be with the account as a whole; nothing, when the demo is a success.
pub fn faults(stage: &Stage, cases: usize) -> Vec<String> {
    let world = &stage.world;
    let mut faults = Vec::new();
    let records = Record::all(world).len();
    if records > cases {
        faults.push(format!("there are {records} records of {cases} copies"));
    }
    faults.extend(left_over(world));
    faults.extend(foreign(world));
    let mut errors: BTreeMap<String, usize> = BTreeMap::new();
    for error in stage.failures() {
        *errors.entry(error).or_default() += 1;
    }
    for (error, times) in errors {
        faults.push(format!("the function failed {times} times: {error}"));
    }
    faults
}

/// What we restored and did not delete.
fn left_over(world: &World) -> Vec<String> {
    let mut left = Vec::new();
    for instance in world.db_instances() {
        if is_our_name(&instance.identifier) {
            left.push(format!("{} ({})", instance.identifier, instance.status));
        }
    }
    for cluster in world.db_clusters() {
        left.push(format!("{} ({})", cluster.identifier, cluster.status));
    }
    for machine in world.ec2_instances() {
        if machine.id != bystander::MACHINE && machine.state != "terminated" {
            left.push(format!("{} ({})", machine.id, machine.state));
        }
    }
    for volume in world.volumes() {
        if volume.id != bystander::VOLUME {
            left.push(format!("{} ({})", volume.id, volume.state));
        }
    }
    let slots = world.table_items(LEDGER).into_iter();
    for item in slots.filter(|item| item["id"]["S"] == "slots" && !item["held"].is_null()) {
        left.push(format!("a slot of the ledger: {}", item["held"]));
    }
    left.into_iter()
        .map(|what| format!("left behind: {what}"))
        .collect()
}

/// The calls that change something and name what is the colleague's, but for those that tell people of it.
pub fn calls_that_touch(world: &World) -> Vec<Call> {
    let hers = bystander::THINGS;
    let mut calls = world.calls();
    calls.retain(|call| {
        call.mutating && hers.iter().any(|name| call.mentions(name)) && !tells_people(call)
    });
    calls
}

/// Whether a call tells people of something in the isolated network that no validation accounts for, or remembers that
/// they were told.
fn tells_people(call: &Call) -> bool {
    match call.name().as_str() {
        "Logs.PutLogEvents" | "SNS.Publish" => call.mentions("unknown_resource"),
        "DynamoDB.PutItem" => call.mentions("told#"),
        _ => false,
    }
}

/// How often people were told that the colleague's machine lies where machines are restored to.
pub fn told_of_machine(world: &World) -> usize {
    let calls = world.calls().into_iter();
    calls
        .filter(|call| call.name() == "SNS.Publish" && call.error.is_none())
        .filter(|call| call.mentions(bystander::MACHINE) && tells_people(call))
        .count()
}

/// Whether the colleague's things are as she left them.
fn foreign(world: &World) -> Vec<String> {
    let mut faults: Vec<String> = calls_that_touch(world)
        .iter()
        .map(|call| format!("{} named what is the colleague's", call.name()))
        .collect();
    match world
        .db_instances()
        .into_iter()
        .find(|instance| instance.identifier == bystander::DATABASE)
    {
        None => faults.push("the colleague's instance is gone".to_owned()),
        Some(instance) if instance.status != "available" => {
            faults.push(format!("the colleague's instance is {}", instance.status));
        }
        Some(instance) => {
            let host = instance.host.unwrap_or_default();
            if std::net::TcpStream::connect((host.as_str(), instance.port)).is_err() {
                faults.push("the colleague's database does not answer".to_owned());
            }
        }
    }
    let told = told_of_machine(world);
    if told != 1 {
        faults.push(format!(
            "people were told {told} times of the colleague's machine"
        ));
    }
    let runs = world
        .ec2_instances()
        .iter()
        .any(|machine| machine.id == bystander::MACHINE && machine.state == "running");
    if !runs {
        faults.push("the colleague's machine does not run any more".to_owned());
    }
    let kept = world.volumes().iter().any(|volume| {
        let attached = volume.attachment.as_ref();
        volume.id == bystander::VOLUME
            && attached.is_some_and(|to| to.instance_id == bystander::MACHINE)
    });
    if !kept {
        faults.push("the colleague's volume is not at her machine any more".to_owned());
    }
    faults
}

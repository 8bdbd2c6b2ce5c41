//! What must hold after a run, whatever was done to it.

use restore_proof_core::name::validation_named;
use restore_proof_core::resource_type::ResourceType;
use restore_proof_local_aws::{DbCluster, DbInstance, Ec2Instance, RestoreJob, World, bystander};
use serde_json::json;

use super::paths::{Case, JOINS, cluster_arn, db_arn, machine_arn};
use super::shop::PASSWORD;
use crate::inspect::{Expected, inspect};
use crate::{MACHINE_SECURITY_GROUP, PREFIX, RESET_KEY, SUBNET, SUBNET_GROUP, Scene};

/// Gives a colleague, who recovers something by hand these days, what she has in the same network. One of the recovery
/// points of each type under test is hers too.
pub fn let_bystander_in(scene: &Scene, cases: &[Case]) {
    let world = &scene.world;
    let soon = scene.now() + jiff::SignedDuration::from_secs(30);
    world.add_db_instance(DbInstance {
        identifier: bystander::DATABASE.to_owned(),
        created_at: Some(soon),
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbInstance::default()
    });
    let machine = Ec2Instance {
        launched_at: soon,
        subnet_id: SUBNET.to_owned(),
        security_groups: vec![MACHINE_SECURITY_GROUP.to_owned()],
        ..Ec2Instance::default()
    };
    bystander::has(world, machine);
    let cluster = DbCluster {
        created_at: soon,
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbCluster::default()
    };
    bystander::has_cluster(world, cluster);
    for resource_type in ResourceType::ALL {
        let mut cases = cases.iter();
        let Some(case) = cases.find(|case| case.path.resource_type == resource_type) else {
            continue;
        };
        let groups = json!([MACHINE_SECURITY_GROUP]).to_string();
        let (arn, metadata) = match resource_type {
            ResourceType::Aurora => {
                let name = [("DBClusterIdentifier", bystander::CLUSTER)];
                (cluster_arn(bystander::CLUSTER), name.to_vec())
            }
            ResourceType::Ec2 => {
                let network = [("SubnetId", SUBNET), ("SecurityGroupIds", &groups)];
                (machine_arn(bystander::MACHINE), network.to_vec())
            }
            ResourceType::Rds => {
                let name = [("DBInstanceIdentifier", bystander::DATABASE)];
                (db_arn(bystander::DATABASE), name.to_vec())
            }
        };
        world.add_restore_job(RestoreJob {
            recovery_point_arn: case.point_arn.clone(),
            iam_role_arn: bystander::ROLE.to_owned(),
            metadata: metadata
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            created_at: scene.now(),
            completed_at: Some(soon),
            created_resource_arn: Some(arn),
            resource_type: resource_type.name().to_owned(),
            ..RestoreJob::default()
        });
    }
}

/// What is hers from the beginning.
const FOREIGN: [&str; 5] = [
    bystander::DATABASE,
    bystander::MACHINE,
    bystander::VOLUME,
    bystander::CLUSTER,
    bystander::CLUSTER_INSTANCE,
];

/// How a colleague's things look.
pub fn bystanders(world: &World) -> String {
    let databases = world.db_instances().into_iter();
    let clusters = world.db_clusters().into_iter();
    let machines = world.ec2_instances().into_iter();
    let volumes = world.volumes().into_iter();
    format!(
        "{:?} {:?} {:?} {:?}",
        databases
            .filter(|one| FOREIGN.contains(&&*one.identifier))
            .collect::<Vec<_>>(),
        clusters
            .filter(|one| one.identifier == bystander::CLUSTER)
            .collect::<Vec<_>>(),
        machines
            .filter(|one| one.id == bystander::MACHINE)
            .collect::<Vec<_>>(),
        volumes
            .filter(|one| one.id == bystander::VOLUME)
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

impl Severity {
    fn expected(self, case: &Case) -> Expected {
        let path = case.path;
        let (mut verdicts, mut cleanups) = (vec![path.verdict], vec![path.cleanup]);
        let restores = path.restores as usize;
        if self == Severity::MayCost {
            verdicts.push("inconclusive");
            cleanups.extend(["deleted", "nothing_to_delete", "left_behind"]);
        }
        Expected {
            name: path.name.to_owned(),
            id: case.id.clone(),
            recovery_point_arn: case.point_arn.clone(),
            verdicts,
            cleanups,
            restores: match self {
                Severity::Heals => restores..=restores,
                Severity::MayCost => 0..=restores,
            },
        }
    }
}

/// What is hers in the end: also the instance that joined a cluster of ours, if it came to that.
fn foreign(world: &World) -> Vec<&'static str> {
    let joined = world
        .db_instances()
        .iter()
        .any(|one| one.identifier == JOINS);
    FOREIGN.into_iter().chain(joined.then_some(JOINS)).collect()
}

/// Everything that does not hold, in words. `before` is what [`bystanders`] told before the run.
pub fn violations(scene: &Scene, cases: &[Case], before: &str, severity: Severity) -> Vec<String> {
    let world = &scene.world;
    let expected: Vec<_> = cases.iter().map(|case| severity.expected(case)).collect();
    let mut found = inspect(world, &expected, &foreign(world));
    let after = bystanders(world);
    if after != before {
        found.push(format!(
            "somebody else's things changed: {before} became {after}"
        ));
    }
    // Whoever else's: a database's name must be one that we gave it.
    let calls = world.calls();
    let of_databases = calls
        .iter()
        .filter(|call| call.mutating && call.service == "RDS");
    for call in of_databases {
        // Tags are set on an ARN, which ends with the name. A cluster's writer is named after it.
        let is_ours = |name: &String| {
            let name = name.rsplit(':').next().unwrap_or_default();
            validation_named(PREFIX, name.strip_suffix("-w").unwrap_or(name)).is_some()
        };
        if call.resources.is_empty() || !call.resources.iter().all(is_ours) {
            found.push(format!("{} names {:?}", call.name(), call.resources));
        }
    }
    // What stands in tags and pages of what was backed up, and what the function reads of secrets.
    for secret in [scene.watch.mark(), PASSWORD, RESET_KEY] {
        let told = calls.iter().filter(|call| call.mentions(secret));
        found.extend(told.map(|call| format!("a secret stands in {}", call.name())));
    }
    for case in cases {
        let records = scene.records();
        let mut records = records.iter();
        let record = records.find(|record| record["validation_id"] == *case.id);
        let attempt = record.and_then(|record| record["attempt"].as_u64());
        let planned = u64::from(case.path.restores.max(1));
        if severity == Severity::Heals && attempt.is_some_and(|attempt| attempt != planned) {
            found.push(format!("{attempt:?} attempts, not {planned}"));
        }
    }
    found
}

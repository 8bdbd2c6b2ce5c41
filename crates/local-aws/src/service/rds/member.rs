//! CreateDBInstance, as far as it is played: an instance of an Aurora cluster.

use serde_json::json;

use crate::wire::{Request, ServiceError};
use crate::world::aurora;
use crate::world::metadata::{BAD_IDENTIFIER, is_identifier};
use crate::world::seed::DbInstance;
use crate::world::state::State;

use super::super::Answer;
use super::{bad_combination, bad_value, cluster, flag, instance_json, needed, only, reply, tags};

/// Settings that an instance has from its cluster, and what RDS calls them when one is given. The words of the first
/// two are seen (ansible-collections/community.aws #850); the others are built alike.
const OF_THE_CLUSTER: &[(&str, &str)] = &[
    ("MasterUserPassword", "master user password"),
    ("MasterUsername", "master user name"),
    ("AllocatedStorage", "allocated storage"),
    ("BackupRetentionPeriod", "backup retention period"),
    ("DBName", "database name"),
    ("DeletionProtection", "deletion protection"),
    ("KmsKeyId", "storage encryption"),
    ("Port", "port"),
    ("StorageEncrypted", "storage encryption"),
    (
        "VpcSecurityGroupIds.VpcSecurityGroupId.1",
        "vpc security group",
    ),
];

pub(super) fn create(state: &mut State, request: &Request) -> Answer {
    if request.param("DBClusterIdentifier").is_none() {
        return Err(ServiceError::new(
            "NotImplemented",
            501,
            "local-aws does not play rds:CreateDBInstance without DBClusterIdentifier",
        ));
    }
    let given = |name: &str| request.param(name).filter(|value| !value.is_empty());
    let cluster_id = cluster::identifier_of(needed(request, "DBClusterIdentifier")?);
    let identifier = needed(request, "DBInstanceIdentifier")?.to_ascii_lowercase();
    let class = needed(request, "DBInstanceClass")?;
    let engine = needed(request, "Engine")?;
    if !is_identifier(&identifier) {
        return Err(bad_value(&format!(
            "The parameter DBInstanceIdentifier {BAD_IDENTIFIER}"
        )));
    }
    let of_cluster = OF_THE_CLUSTER.iter();
    if let Some((_, what)) = of_cluster
        .clone()
        .find(|(name, _)| request.param(name).is_some())
    {
        return Err(bad_combination(&format!(
            "The requested DB Instance will be a member of a DB Cluster. Set {what} for the DB Cluster."
        )));
    }
    only(
        request,
        &[
            "DBClusterIdentifier",
            "DBInstanceIdentifier",
            "DBInstanceClass",
            "Engine",
            "EngineVersion",
            "DBSubnetGroupName",
            "AvailabilityZone",
            "PubliclyAccessible",
            "AutoMinorVersionUpgrade",
            "PromotionTier",
            "Tags.*",
        ],
    )?;
    let tags = tags::given(request)?;
    if state.instances.contains_key(&identifier) {
        return Err(ServiceError::new(
            "DBInstanceAlreadyExists",
            400,
            "DB instance already exists",
        ));
    }
    let now = state.now;
    let region = state.options.region.clone();
    let found = state.clusters.get_mut(&cluster_id);
    let found = found.ok_or_else(|| cluster::not_found(&cluster_id))?;
    let db = &found.db;
    if engine != db.engine {
        // Words: moto, for its issue #6993.
        return Err(bad_combination(&format!(
            "The engine name requested for your DB instance ({engine}) doesn't match the engine name of your DB cluster ({}).",
            db.engine
        )));
    }
    let version = given("EngineVersion").unwrap_or(&db.engine_version);
    if version != db.engine_version {
        // Words: terraform-provider-aws #4779.
        return Err(bad_combination(&format!(
            "Cannot find version {version} for {engine}"
        )));
    }
    check_class(class, engine, version)?;
    let subnet_group = given("DBSubnetGroupName").unwrap_or(&db.subnet_group);
    if subnet_group != db.subnet_group {
        // Words: cloudformation-coverage-roadmap #336.
        return Err(bad_combination(&format!(
            "Subnet group {subnet_group} is different from subnet group of cluster {cluster_id}"
        )));
    }
    let zone = given("AvailabilityZone").map_or_else(|| format!("{region}a"), str::to_owned);
    if !zone.starts_with(&region) {
        return Err(bad_value(&format!(
            "{zone} is not a valid availability zone."
        )));
    }
    // "You can create DB instances only after the RestoreDBClusterFromSnapshot operation has completed and the DB
    // cluster is available" (API reference); the words are those of other operations.
    if db.status != "available" {
        return Err(ServiceError::new(
            "InvalidDBClusterStateFault",
            400,
            &format!(
                "DbCluster {cluster_id} is in {} state but expected it to be one of available.",
                db.status
            ),
        ));
    }
    if class == "db.serverless" && db.serverless_v2.is_none() {
        // Words: cloudposse/terraform-aws-rds-cluster #181.
        return Err(ServiceError::new(
            "InvalidDBClusterStateFault",
            400,
            "Set the Serverless v2 scaling configuration on the parent DB cluster before creating a Serverless v2 DB \
             instance.",
        ));
    }
    if let Some(refusal) = &mut found.db.behaviour.writer.refused
        && refusal.strikes()
    {
        return Err(ServiceError::new(&refusal.code, 400, &refusal.message));
    }
    let db = &found.db;
    let instance = DbInstance {
        identifier: identifier.clone(),
        instance_class: class.to_owned(),
        availability_zone: zone,
        // Where neither it nor the subnet group is given, the default VPC decides, which has a way out (API reference,
        // CreateDBInstance).
        publicly_accessible: match request.param("PubliclyAccessible") {
            None => given("DBSubnetGroupName").is_none(),
            Some(_) => flag(request, "PubliclyAccessible"),
        },
        tags,
        behaviour: found.instance_behaviour.clone(),
        ..aurora::member(db)
    };
    aurora::add_member(state, instance, now);
    let instance = state.instances.get(&identifier);
    let shown = instance.map(|instance| instance_json(state, instance, false));
    Ok(reply(
        state,
        "CreateDBInstance",
        &json!({ "DBInstance": shown }),
    ))
}

/// The classes that Aurora has (Aurora user guide, "Supported DB engines for DB instance classes"): of the small
/// families only the larger sizes, none of general purpose.
fn check_class(class: &str, engine: &str, version: &str) -> Result<(), ServiceError> {
    let Some(kind) = class.strip_prefix("db.") else {
        return Err(bad_value(&format!("Invalid DB Instance class: {class}")));
    };
    let fits = match kind.split_once('.') {
        None => kind == "serverless" && cluster::has_serverless_v2(version),
        Some(("t3" | "t4g", size)) => matches!(size, "medium" | "large"),
        Some((family, size)) => {
            (family.starts_with('r') || family.starts_with("x2")) && size.ends_with("large")
        }
    };
    if fits {
        return Ok(());
    }
    let license = crate::world::metadata::license(engine);
    // Words: terraform-provider-aws #16054 and many alike.
    Err(bad_combination(&format!(
        "RDS does not support creating a DB instance with the following combination: DBInstanceClass={class}, \
         Engine={engine}, EngineVersion={version}, LicenseModel={license}. For supported combinations of instance class \
         and database engine version, see the documentation."
    )))
}

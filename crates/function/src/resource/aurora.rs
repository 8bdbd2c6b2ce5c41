//! Aurora clusters, which are restored without an instance: we add the one that writes.
//!
//! Sources: Aurora user guide, "Restoring from a DB cluster snapshot", "Using Aurora Serverless v2", "Deleting Aurora DB
//! clusters and DB instances" and "Viewing DB cluster status".

use aws_sdk_rds::types::{DbCluster, DbInstance, ServerlessV2ScalingConfiguration};
use restore_proof_core::name::validation_named;
use restore_proof_core::ownership::{Found, Mark, OwnedResource};
use restore_proof_core::resource_type::{Image, ResourceType};
use restore_proof_core::validation::{RecoveryPoint, RestoredNetwork, Stage, Step, Validation};

use super::rds::State;
use super::{
    BackedUp, Condition, Deletion, Master, Neighbour, Preparation, Prepared, Restored, SnapshotKey,
    rds, wants_password,
};
use crate::aws::{Aws, AwsError, call, failed, timestamp};
use crate::check::Target;
use crate::config::Config;

/// Describes a cluster as RDS does; none when it says that there is none of this name. An answer without the cluster is
/// an error too, never "gone".
async fn describe(aws: &Aws, name: &str) -> Result<Option<DbCluster>, AwsError> {
    const OPERATION: &str = "rds:DescribeDBClusters";
    let request = aws.rds.describe_db_clusters().db_cluster_identifier(name);
    let answer = match call(OPERATION, request.send()).await {
        Ok(answer) => answer,
        Err(error) if error.is(&["DBClusterNotFoundFault"]) => return Ok(None),
        Err(error) => return Err(error),
    };
    match answer.db_clusters() {
        [cluster] if cluster.db_cluster_identifier() == Some(name) => Ok(Some(cluster.clone())),
        _ => Err(AwsError {
            operation: OPERATION,
            code: None,
            message: "the answer does not hold the cluster asked for".to_owned(),
        }),
    }
}

/// Describes the cluster of this name that was restored for a validation, with the writer we gave it; none when RDS says
/// that there is none.
pub(super) async fn look(
    aws: &Aws,
    config: &Config,
    validation: &Validation,
    name: &str,
) -> Result<Option<Restored>, AwsError> {
    let writer_name = writer_of(name);
    let wished_for = validation.steps.contains_key(&Step::Writer);
    // The writer first: what the cluster shows of it is not older then. When it is to be deleted it is looked at by itself.
    let writer = match &writer_name {
        Some(writer) if wished_for && validation.stage == Stage::Restored => {
            rds::describe(aws, writer).await?
        }
        _ => None,
    };
    let cluster = describe(aws, name).await?;
    let Some(cluster) = cluster else {
        return Ok(None);
    };
    let Some(arn) = cluster.db_cluster_arn() else {
        return Err(AwsError {
            operation: "rds:DescribeDBClusters",
            code: None,
            message: "the answer holds a cluster without an ARN".to_owned(),
        });
    };
    let members = cluster.db_cluster_members().iter();
    let members = members.filter_map(|member| member.db_instance_identifier());
    let (ours, strangers): (Vec<&str>, Vec<&str>) =
        members.partition(|member| wished_for && Some(*member) == writer_name.as_deref());
    let network = network(&cluster, writer.as_ref());
    let status = cluster.status().unwrap_or_default();
    let mut isolation = isolation_problems(&cluster, config, &validation.recovery_point);
    if let Some(writer) = &writer
        && writer.publicly_accessible() == Some(true)
    {
        isolation.push("the restored cluster's writer is publicly accessible".to_owned());
    }
    isolation.extend(
        strangers
            .first()
            .map(|stranger| format!("DB instance {stranger} in the restored cluster is not ours")),
    );
    Ok(Some(Restored {
        found: Found {
            arn: arn.to_owned(),
            name: name.to_owned(),
            mark: Mark::Name(name.to_owned()),
            created_at: cluster.cluster_create_time().and_then(timestamp),
        },
        condition: condition(&cluster, writer.as_ref(), validation),
        // RDS lists a member for a while after it is gone.
        is_passing: State::of(status).passes() || !ours.is_empty(),
        isolation,
        network,
        class: writer
            .as_ref()
            .and_then(|writer| writer.db_instance_class().map(str::to_owned)),
        came_with: Vec::new(),
        used_by: strangers.first().map(|stranger| {
            format!(
                "DB instance {stranger}, which is not ours, is in the cluster; nothing of the cluster is deleted while it is there"
            )
        }),
        master: cluster.master_username().map(|user| Master {
            user: user.to_owned(),
            database: database(&cluster),
        }),
        engine: cluster.engine().map(str::to_owned),
        boot_timeout: None,
    }))
}

/// Where it lies. Only its instances say in which subnets that is; all are in its own group's.
fn network(cluster: &DbCluster, writer: Option<&DbInstance>) -> RestoredNetwork {
    let group = writer.and_then(DbInstance::db_subnet_group);
    let groups = cluster.vpc_security_groups().iter();
    let groups = groups.chain(writer.into_iter().flat_map(DbInstance::vpc_security_groups));
    let mut groups: Vec<String> = groups
        .filter_map(|group| group.vpc_security_group_id().map(str::to_owned))
        .collect();
    groups.sort();
    groups.dedup();
    RestoredNetwork {
        vpc: group.and_then(|group| group.vpc_id().map(str::to_owned)),
        subnets: group
            .map(|group| group.subnets())
            .unwrap_or_default()
            .iter()
            .filter_map(|subnet| subnet.subnet_identifier().map(str::to_owned))
            .collect(),
        groups,
    }
}

/// The name of the writer that a cluster of ours gets.
fn writer_of(cluster: &str) -> Option<String> {
    Step::Writer.makes(cluster).map(|part| part.id)
}

fn database(cluster: &DbCluster) -> Option<String> {
    let name = cluster.database_name().filter(|name| !name.is_empty());
    name.map(str::to_owned)
}

fn condition(
    cluster: &DbCluster,
    writer: Option<&DbInstance>,
    validation: &Validation,
) -> Condition {
    let status = cluster.status().unwrap_or_default();
    let state = State::of(status);
    if !state.answers() {
        return rds::not_answering(state, status);
    }
    let Some(rule) = &validation.rule else {
        return Condition::Changing;
    };
    // A cluster is changed in the state available only (ModifyDBCluster, InvalidDBClusterStateFault).
    let takes_steps = state == State::Available;
    let needs = |step| match takes_steps {
        true => Condition::Needs(step),
        false => Condition::Changing,
    };
    let has_range = cluster.serverless_v2_scaling_configuration().is_some();
    if rule.types.aurora.is_serverless() && !has_range {
        return match validation.done_at(Step::Capacity) {
            Some(_) => Condition::Changing,
            None => needs(Step::Capacity),
        };
    }
    if validation.done_at(Step::Writer).is_none() {
        return needs(Step::Writer);
    }
    let writes = |writer: &&DbInstance| {
        let mut members = cluster.db_cluster_members().iter();
        members.any(|member| {
            member.is_cluster_writer() == Some(true)
                && member.db_instance_identifier() == writer.db_instance_identifier()
        })
    };
    let status = writer.and_then(DbInstance::db_instance_status);
    let status = status.unwrap_or_default();
    match State::of(status) {
        state if state.answers() && writer.is_some_and(|writer| writes(&writer)) => {}
        State::Broken => {
            return Condition::Broken(format!(
                "of the cluster's writer: the restored database is {status}"
            ));
        }
        State::Available | State::Busy | State::Passing | State::Deleting | State::Unknown => {
            return Condition::Changing;
        }
    }
    if wants_password(rule) && validation.done_at(Step::Password).is_none() {
        return match takes_steps {
            true => Condition::Needs(Step::Password),
            false => Condition::Busy,
        };
    }
    let pending = cluster.pending_modified_values();
    if pending.is_some_and(|pending| pending.master_user_password().is_some()) {
        return Condition::Changing;
    }
    let port = cluster.port().and_then(|port| u16::try_from(port).ok());
    match (cluster.endpoint(), port) {
        (Some(host), Some(port)) => Condition::Ready(Target::Database {
            host: host.to_owned(),
            port,
            engine: cluster.engine().unwrap_or_default().to_owned(),
            database: database(cluster),
            settings_differ: validation.settings_differ,
        }),
        _ => Condition::Changing,
    }
}

/// What the plan asked for and what the metadata cannot force, asserted on the result.
fn isolation_problems(cluster: &DbCluster, config: &Config, point: &RecoveryPoint) -> Vec<String> {
    let mut problems = Vec::new();
    let network = &config.network;
    // "Express" clusters of Aurora PostgreSQL need no VPC and may have an internet gateway of their own.
    if cluster.vpc_networking_enabled() == Some(false) {
        problems.push("the restored cluster lies in no VPC".to_owned());
    }
    if cluster.internet_access_gateway_enabled() == Some(true) {
        problems.push("the restored cluster has an internet gateway of its own".to_owned());
    }
    if cluster.publicly_accessible() == Some(true) {
        problems.push("the restored cluster is publicly accessible".to_owned());
    }
    if cluster.http_endpoint_enabled() == Some(true) {
        problems.push("the restored cluster can be queried by RDS's Data API".to_owned());
    }
    if cluster.db_subnet_group() != Some(network.db_subnet_group.as_str()) {
        problems.push(format!(
            "the restored cluster lies in subnet group {}, not in {}",
            cluster.db_subnet_group().unwrap_or("(none)"),
            network.db_subnet_group
        ));
    }
    let groups = cluster.vpc_security_groups().iter();
    let groups: Vec<&str> = groups
        .filter_map(|one| one.vpc_security_group_id())
        .collect();
    let ours = &network.db_security_groups;
    let foreign = groups
        .iter()
        .find(|group| !ours.iter().any(|one| one == *group));
    if groups.is_empty() || foreign.is_some() {
        problems.push(format!(
            "the restored cluster is behind security group {}, not behind {}",
            foreign.copied().unwrap_or("(none)"),
            network.db_security_groups.join(", ")
        ));
    }
    if let Some(kind) = cluster.network_type()
        && kind != "IPV4"
    {
        problems.push(format!(
            "the restored cluster has addresses of IPv6 (network type {kind})"
        ));
    }
    for role in cluster.associated_roles() {
        let role = role.role_arn().unwrap_or_default();
        problems.push(format!("the restored cluster may act as role {role}"));
    }
    let encrypted = cluster.storage_encrypted().unwrap_or(false);
    let key = cluster.kms_key_id().filter(|_| encrypted);
    match (point.encryption_key_arn.as_deref(), key) {
        (Some(_), None) => {
            problems.push("the backup is encrypted, the restored cluster is not".to_owned());
        }
        (Some(wanted), Some(is)) if wanted != is => problems.push(format!(
            "the restored cluster is encrypted with {is}, the backup with {wanted}"
        )),
        _ => {}
    }
    problems
}

/// Takes a step on a cluster that is proved ours.
pub(super) async fn prepare(
    aws: &Aws,
    step: Step,
    of: Preparation<'_>,
) -> Result<Prepared, AwsError> {
    let (name, keys) = (of.owned.name(), &of.rule.types.aurora);
    let modify = || {
        let request = aws.rds.modify_db_cluster().db_cluster_identifier(name);
        request.apply_immediately(true)
    };
    match step {
        Step::Capacity => {
            let range = ServerlessV2ScalingConfiguration::builder()
                .min_capacity(keys.min_capacity)
                .max_capacity(keys.max_capacity)
                .build();
            let request = modify().serverless_v2_scaling_configuration(range).send();
            rds::taken(call("rds:ModifyDBCluster", request).await.map(drop))
        }
        Step::Writer => {
            let request = aws
                .rds
                .create_db_instance()
                .set_db_instance_identifier(writer_of(name))
                .db_cluster_identifier(name)
                .set_engine(of.restored.engine.clone())
                .db_instance_class(&keys.instance_class)
                .publicly_accessible(false)
                .auto_minor_version_upgrade(false)
                .send();
            match call("rds:CreateDBInstance", request).await {
                // Ours of an earlier request, whose answer was lost: it is proved before it is deleted.
                Err(error) if error.is(&["DBInstanceAlreadyExists"]) => Ok(Prepared::Asked),
                other => rds::taken(other.map(drop)),
            }
        }
        Step::Password => {
            let password = of.login.map(|login| login.password.clone());
            let request = modify().set_master_user_password(password).send();
            rds::password_taken(call("rds:ModifyDBCluster", request).await.map(drop))
        }
    }
}

/// Deletes a cluster that is proved to be ours, without a final snapshot and with its automated backups.
pub(super) async fn delete(aws: &Aws, owned: OwnedResource) -> Result<Deletion, AwsError> {
    let request = aws
        .rds
        .delete_db_cluster()
        .db_cluster_identifier(owned.name())
        .skip_final_snapshot(true)
        .delete_automated_backups(true)
        .send();
    match call("rds:DeleteDBCluster", request).await {
        Err(error) if error.is(&["DBClusterNotFoundFault"]) => Ok(Deletion::Asked),
        other => rds::asked(other.map(drop)),
    }
}

/// Describes the snapshot of a recovery point; none when RDS does not know it.
pub(super) async fn snapshot(aws: &Aws, name: &str) -> Result<Option<BackedUp>, AwsError> {
    let request = aws
        .rds
        .describe_db_cluster_snapshots()
        .db_cluster_snapshot_identifier(name)
        // Without it RDS returns automated and manual snapshots only (RDS API reference, DescribeDBClusterSnapshots).
        .snapshot_type("awsbackup")
        .send();
    let answer = match call("rds:DescribeDBClusterSnapshots", request).await {
        Ok(answer) => answer,
        Err(error) if error.is(&["DBClusterSnapshotNotFoundFault"]) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(answer
        .db_cluster_snapshots()
        .first()
        .map(|snapshot| BackedUp {
            created_at: snapshot.snapshot_create_time().and_then(timestamp),
            tags: rds::tags(snapshot.tag_list()),
            image: Image::default(),
            key: SnapshotKey::of(snapshot.storage_encrypted(), snapshot.kms_key_id()),
        }))
}

/// The clusters in our subnet group, or with a name as we give.
pub(super) async fn network_inventory(
    aws: &Aws,
    config: &Config,
) -> Result<Vec<Neighbour>, AwsError> {
    let mut pages = aws.rds.describe_db_clusters().into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("rds:DescribeDBClusters"))?;
        for cluster in page.db_clusters() {
            let (Some(arn), Some(name)) =
                (cluster.db_cluster_arn(), cluster.db_cluster_identifier())
            else {
                continue;
            };
            let in_our_group =
                cluster.db_subnet_group() == Some(config.network.db_subnet_group.as_str());
            let is_named_by_us = validation_named(&config.name_prefix, name).is_some();
            let is_ending = State::of(cluster.status().unwrap_or_default()) == State::Deleting;
            if (in_our_group || is_named_by_us) && !is_ending {
                found.push(Neighbour {
                    arn: arn.to_owned(),
                    name: name.to_owned(),
                    resource_type: ResourceType::Aurora,
                    created_at: cluster.cluster_create_time().and_then(timestamp),
                    image: None,
                });
            }
        }
    }
    Ok(found)
}

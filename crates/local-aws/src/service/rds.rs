//! RDS: describing, modifying and deleting DB instances, describing snapshots (query protocol, XML).

pub(crate) mod modify;

use crate::wire::reply::RDS_NAMESPACE;
use crate::wire::xml::Xml;
use crate::wire::{HIDDEN, Reply, Request, ServiceError};
use crate::world::events::millis;
use crate::world::seed::{DbInstance, RecoveryPoint};
use crate::world::state::State;
use crate::world::{metadata, restore};

use super::Answer;

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    match request.operation.as_str() {
        "DescribeDBInstances" => describe_instances(state, request),
        "DescribeDBSnapshots" => describe_snapshots(state, request),
        "ModifyDBInstance" => modify::modify(state, request),
        "DeleteDBInstance" => delete(state, request),
        _ => Err(ServiceError::not_played(request)),
    }
}

fn describe_instances(state: &mut State, request: &Request) -> Answer {
    refuse_filters(request)?;
    let mut shown: Vec<String> = Vec::new();
    match request.param("DBInstanceIdentifier") {
        Some(name) => {
            let identifier = identifier_of(name);
            let found = state
                .instances
                .get_mut(&identifier)
                .ok_or_else(|| not_found(&identifier))?;
            // Right after a restore a describe may still know nothing of it.
            if found.hidden_describes > 0 && found.db.created_at.is_some() {
                found.hidden_describes -= 1;
                return Err(not_found(&identifier));
            }
            shown.push(identifier);
        }
        None => shown.extend(state.instances.keys().cloned()),
    }
    let (page, marker) = page(state, request, shown)?;
    let request_id = state.new_uuid("request");
    Ok(Reply::query(
        "DescribeDBInstances",
        RDS_NAMESPACE,
        &request_id,
        |xml| {
            xml.element("DBInstances", |xml| {
                for identifier in &page {
                    if let Some(instance) = state.instances.get(identifier) {
                        let pending = instance.reset.as_ref().is_some_and(|r| r.shows(state.now));
                        write_instance(xml, state, &instance.db, pending);
                    }
                }
            });
            xml.optional("Marker", marker);
        },
    ))
}

fn delete(state: &mut State, request: &Request) -> Answer {
    let Some(name) = request.param("DBInstanceIdentifier") else {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            400,
            "The parameter DBInstanceIdentifier must be provided and must not be blank.",
        ));
    };
    let identifier = identifier_of(name);
    let flag = |name: &str| {
        request
            .param(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    };
    let skips = flag("SkipFinalSnapshot");
    let final_snapshot = request
        .param("FinalDBSnapshotIdentifier")
        .filter(|name| !name.is_empty());
    if !skips && final_snapshot.is_none() {
        return Err(ServiceError::new(
            "InvalidParameterCombination",
            400,
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
        ));
    }
    if skips && final_snapshot.is_some() {
        return Err(ServiceError::new(
            "InvalidParameterCombination",
            400,
            "FinalDBSnapshotIdentifier can not be specified when deleting an instance with SkipFinalSnapshot.",
        ));
    }
    if final_snapshot.is_some() {
        return Err(ServiceError::new(
            "NotImplemented",
            501,
            "local-aws does not play rds:DeleteDBInstance with a final snapshot",
        ));
    }
    let instance = state
        .instances
        .get(&identifier)
        .ok_or_else(|| not_found(&identifier))?;
    if matches!(instance.db.status.as_str(), "deleting" | "creating") {
        let message = match instance.db.status.as_str() {
            "deleting" => format!("Instance {identifier} is already being deleted."),
            status => {
                format!("Instance {identifier} is currently {status} - it can not be deleted.")
            }
        };
        return Err(ServiceError::new("InvalidDBInstanceState", 400, &message));
    }
    if instance.db.deletion_protection {
        return Err(ServiceError::new(
            "InvalidParameterCombination",
            400,
            "Cannot delete protected DB Instance, please disable deletion protection and try again.",
        ));
    }
    restore::begin_deletion(state, &identifier);
    let request_id = state.new_uuid("request");
    Ok(Reply::query(
        "DeleteDBInstance",
        RDS_NAMESPACE,
        &request_id,
        |xml| {
            if let Some(instance) = state.instances.get(&identifier) {
                write_instance(xml, state, &instance.db, false);
            }
        },
    ))
}

/// What a world holds are snapshots of AWS Backup. RDS returns them for `SnapshotType=awsbackup` alone: without a
/// type "both automated and manual snapshots are returned", and an identifier does not do without the type either
/// (RDS API reference, DescribeDBSnapshots: "the SnapshotType parameter must also be specified").
fn describe_snapshots(state: &mut State, request: &Request) -> Answer {
    refuse_filters(request)?;
    let of_backup = match request.param("SnapshotType") {
        Some("awsbackup") => true,
        None | Some("automated" | "manual" | "shared" | "public") => false,
        Some(other) => {
            let message = format!("Invalid snapshot type: {other}");
            return Err(ServiceError::new("InvalidParameterValue", 400, &message));
        }
    };
    let snapshots = state
        .recovery_points
        .iter()
        .filter(|point| of_backup && point.arn.contains(":snapshot:"));
    let wanted = request.param("DBSnapshotIdentifier");
    let by_instance = request.param("DBInstanceIdentifier");
    let found: Vec<String> = snapshots
        .filter(|point| {
            wanted.is_none_or(|wanted| wanted == point.arn || wanted == snapshot_name(point))
        })
        .filter(|point| by_instance.is_none_or(|wanted| wanted == source_name(point)))
        .map(|point| point.arn.clone())
        .collect();
    if let (Some(wanted), true) = (wanted, found.is_empty()) {
        return Err(ServiceError::new(
            "DBSnapshotNotFound",
            404,
            &format!("DBSnapshot {wanted} not found."),
        ));
    }
    let (page, marker) = page(state, request, found)?;
    let request_id = state.new_uuid("request");
    Ok(Reply::query(
        "DescribeDBSnapshots",
        RDS_NAMESPACE,
        &request_id,
        |xml| {
            xml.element("DBSnapshots", |xml| {
                for point in state
                    .recovery_points
                    .iter()
                    .filter(|point| page.contains(&point.arn))
                {
                    write_snapshot(xml, point);
                }
            });
            xml.optional("Marker", marker);
        },
    ))
}

/// An identifier may be given as name, in any case, or as ARN.
fn identifier_of(name: &str) -> String {
    name.rsplit_once(":db:")
        .map_or(name, |(_, name)| name)
        .to_ascii_lowercase()
}

fn not_found(identifier: &str) -> ServiceError {
    ServiceError::new(
        "DBInstanceNotFound",
        404,
        &format!("DBInstance {identifier} not found."),
    )
}

fn refuse_filters(request: &Request) -> Result<(), ServiceError> {
    if request
        .params
        .iter()
        .any(|(name, _)| name.starts_with("Filters."))
    {
        let message = format!(
            "local-aws does not play rds:{} with filters",
            request.operation
        );
        return Err(ServiceError::new("NotImplemented", 501, &message));
    }
    Ok(())
}

fn page(
    state: &State,
    request: &Request,
    found: Vec<String>,
) -> Result<(Vec<String>, Option<String>), ServiceError> {
    let invalid = |what: &str| {
        ServiceError::new(
            "InvalidParameterValue",
            400,
            &format!("Invalid value for {what}"),
        )
    };
    let start: usize = match request.param("Marker") {
        None => 0,
        Some(marker) => marker.parse().map_err(|_| invalid("Marker"))?,
    };
    let asked: usize = match request.param("MaxRecords") {
        None => 100,
        Some(text) => text
            .parse()
            .ok()
            .filter(|n| (20..=100).contains(n))
            .ok_or_else(|| invalid("MaxRecords"))?,
    };
    let end = start.saturating_add(asked.min(state.options.page_size).max(1));
    let marker = (end < found.len()).then(|| end.to_string());
    Ok((
        found.into_iter().skip(start).take(end - start).collect(),
        marker,
    ))
}

fn write_instance(xml: &mut Xml, state: &State, db: &DbInstance, password_pending: bool) {
    xml.element("DBInstance", |xml| {
        xml.text("DBInstanceIdentifier", &db.identifier);
        xml.text("DBInstanceClass", &db.instance_class);
        xml.text("Engine", &db.engine);
        xml.text("DBInstanceStatus", &db.status);
        xml.text("MasterUsername", &db.master_username);
        xml.optional(
            "DBName",
            Some(&db.database_name).filter(|name| !name.is_empty()),
        );
        if let Some(host) = &db.host {
            xml.element("Endpoint", |xml| {
                xml.text("Address", host)
                    .text("Port", db.port)
                    .text("HostedZoneId", "Z1RLNUO7B9Q6NB");
            });
        }
        xml.text("AllocatedStorage", db.allocated_storage);
        xml.optional("InstanceCreateTime", db.created_at.map(millis));
        xml.text("PreferredBackupWindow", "02:00-02:30");
        xml.text("BackupRetentionPeriod", db.backup_retention_days);
        xml.element("DBSecurityGroups", |_| ());
        xml.element("VpcSecurityGroups", |xml| {
            for group in &db.security_groups {
                xml.element("VpcSecurityGroupMembership", |xml| {
                    xml.text("VpcSecurityGroupId", group)
                        .text("Status", "active");
                });
            }
        });
        xml.element("DBParameterGroups", |xml| {
            xml.element("DBParameterGroup", |xml| {
                xml.text("DBParameterGroupName", &db.parameter_group)
                    .text("ParameterApplyStatus", "in-sync");
            });
        });
        xml.text("AvailabilityZone", &db.availability_zone);
        xml.element("DBSubnetGroup", |xml| {
            xml.text("DBSubnetGroupName", &db.subnet_group);
            xml.text("DBSubnetGroupDescription", &db.subnet_group);
            xml.optional("VpcId", state.subnet_groups.get(&db.subnet_group));
            xml.text("SubnetGroupStatus", "Complete");
            xml.element("Subnets", |xml| {
                let subnets = state.subnets_of_group.get(&db.subnet_group);
                for subnet in subnets.into_iter().flatten() {
                    xml.element("Subnet", |xml| {
                        xml.text("SubnetIdentifier", subnet)
                            .text("SubnetStatus", "Active");
                    });
                }
            });
        });
        xml.text("PreferredMaintenanceWindow", "sun:03:00-sun:03:30");
        xml.element("PendingModifiedValues", |xml| {
            xml.optional("MasterUserPassword", password_pending.then_some(HIDDEN));
        });
        xml.text("MultiAZ", db.multi_az);
        xml.text("EngineVersion", &db.engine_version);
        xml.text("AutoMinorVersionUpgrade", true);
        xml.element("ReadReplicaDBInstanceIdentifiers", |_| ());
        xml.text("LicenseModel", metadata::license(&db.engine));
        xml.element("OptionGroupMemberships", |xml| {
            xml.element("OptionGroupMembership", |xml| {
                xml.text("OptionGroupName", &db.option_group)
                    .text("Status", "in-sync");
            });
        });
        xml.text("PubliclyAccessible", db.publicly_accessible);
        xml.text("StorageType", &db.storage_type);
        xml.text("DbInstancePort", 0);
        xml.text("StorageEncrypted", db.kms_key_arn.is_some());
        xml.optional("KmsKeyId", db.kms_key_arn.as_ref());
        xml.text(
            "DbiResourceId",
            format!("db-{}", db.identifier.replace('-', "").to_uppercase()),
        );
        xml.text("CACertificateIdentifier", "rds-ca-rsa2048-g1");
        xml.element("DomainMemberships", |_| ());
        xml.text("CopyTagsToSnapshot", db.copy_tags_to_snapshot);
        xml.text("MonitoringInterval", 0);
        xml.text("DBInstanceArn", state.instance_arn(&db.identifier));
        xml.text("IAMDatabaseAuthenticationEnabled", false);
        xml.text("PerformanceInsightsEnabled", false);
        xml.element("EnabledCloudwatchLogsExports", |xml| {
            for log in &db.cloudwatch_exports {
                xml.text("member", log);
            }
        });
        xml.text("DeletionProtection", db.deletion_protection);
        xml.element("AssociatedRoles", |xml| {
            for role in &db.associated_roles {
                xml.element("DBInstanceRole", |xml| {
                    xml.text("RoleArn", role).text("Status", "ACTIVE");
                });
            }
        });
        write_tags(xml, &db.tags);
        xml.text("CustomerOwnedIpEnabled", false);
        xml.text("NetworkType", &db.network_type);
        xml.text("BackupTarget", "region");
    });
}

fn snapshot_name(point: &RecoveryPoint) -> &str {
    point
        .arn
        .split_once(":snapshot:")
        .map_or(point.arn.as_str(), |(_, name)| name)
}

fn source_name(point: &RecoveryPoint) -> &str {
    point
        .source_resource_arn
        .rsplit(':')
        .next()
        .unwrap_or_default()
}

fn write_snapshot(xml: &mut Xml, point: &RecoveryPoint) {
    let source = &point.database;
    xml.element("DBSnapshot", |xml| {
        xml.text("DBSnapshotIdentifier", snapshot_name(point));
        xml.text("DBInstanceIdentifier", source_name(point));
        xml.text(
            "SnapshotCreateTime",
            millis(point.completed_at.unwrap_or(point.created_at)),
        );
        xml.text("Engine", &source.engine);
        xml.text("AllocatedStorage", source.allocated_storage);
        xml.text("Status", "available");
        xml.text("Port", source.port);
        xml.text("AvailabilityZone", &source.availability_zone);
        xml.text("VpcId", &source.vpc_id);
        xml.text("InstanceCreateTime", "2024-03-01T09:00:00.000Z");
        xml.text("MasterUsername", &source.master_username);
        xml.text("EngineVersion", &source.engine_version);
        xml.text("LicenseModel", metadata::license(&source.engine));
        xml.text("SnapshotType", "awsbackup");
        xml.text("OptionGroupName", &source.option_group);
        xml.text("PercentProgress", 100);
        xml.text("StorageType", &source.storage_type);
        xml.text("Encrypted", point.kms_key_arn.is_some());
        xml.optional("KmsKeyId", point.kms_key_arn.as_ref());
        xml.text("DBSnapshotArn", &point.arn);
        xml.text("IAMDatabaseAuthenticationEnabled", false);
        xml.element("ProcessorFeatures", |_| ());
        write_tags(xml, &point.tags);
        xml.text(
            "OriginalSnapshotCreateTime",
            millis(point.original_created_at.unwrap_or(point.created_at)),
        );
        xml.text("SnapshotTarget", "region");
    });
}

fn write_tags(xml: &mut Xml, tags: &std::collections::BTreeMap<String, String>) {
    xml.element("TagList", |xml| {
        for (key, value) in tags {
            xml.element("Tag", |xml| {
                xml.text("Key", key).text("Value", value);
            });
        }
    });
}

#[cfg(test)]
mod tests;

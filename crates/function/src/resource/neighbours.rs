//! What lies in the isolated network, whoever made it: looked at, never touched.

use jiff::Timestamp;
use restore_proof_core::name::validation_named;

use crate::aws::{Aws, AwsError, failed, timestamp};
use crate::config::Config;

/// A database or machine in our network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its ARN.
    pub arn: String,
    /// Its name or id.
    pub name: String,
    /// AWS Backup's name of the resource type.
    pub resource_type: &'static str,
    /// When it was created, once that is known.
    pub created_at: Option<Timestamp>,
    /// The image a machine was launched from.
    pub image: Option<String>,
}

/// The databases in our subnets, or with a name as we give.
///
/// # Errors
/// When RDS refuses or does not answer.
pub async fn databases(aws: &Aws, config: &Config) -> Result<Vec<Neighbour>, AwsError> {
    let mut pages = aws.rds.describe_db_instances().into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("rds:DescribeDBInstances"))?;
        for instance in page.db_instances() {
            let (Some(arn), Some(name)) = (
                instance.db_instance_arn(),
                instance.db_instance_identifier(),
            ) else {
                continue;
            };
            let group = instance.db_subnet_group();
            let in_our_group = group.and_then(|group| group.db_subnet_group_name())
                == Some(config.network.db_subnet_group.as_str());
            // Anybody can make another group of our subnets.
            let in_our_subnets = group.is_some_and(|group| {
                let mut subnets = group.subnets().iter();
                subnets.any(|subnet| {
                    let id = subnet.subnet_identifier().unwrap_or_default();
                    config.subnets.iter().any(|ours| ours == id)
                })
            });
            let is_named_by_us = validation_named(&config.name_prefix, name).is_some();
            let is_ending = instance.db_instance_status() == Some("deleting");
            if (in_our_group || in_our_subnets || is_named_by_us) && !is_ending {
                found.push(Neighbour {
                    arn: arn.to_owned(),
                    name: name.to_owned(),
                    resource_type: "RDS",
                    created_at: instance.instance_create_time().and_then(timestamp),
                    image: None,
                });
            }
        }
    }
    Ok(found)
}

/// The machines with an interface in our subnets that have not ended.
///
/// # Errors
/// When EC2 refuses or does not answer.
pub async fn machines(aws: &Aws, config: &Config) -> Result<Vec<Neighbour>, AwsError> {
    let in_our_subnets = aws_sdk_ec2::types::Filter::builder()
        .name("network-interface.subnet-id")
        .set_values(Some(config.subnets.clone()))
        .build();
    let mut pages = aws
        .ec2
        .describe_instances()
        .filters(in_our_subnets)
        .into_paginator()
        .send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("ec2:DescribeInstances"))?;
        for reservation in page.reservations() {
            let owner = reservation.owner_id().unwrap_or_default();
            for instance in reservation.instances() {
                let state = instance.state().and_then(|state| state.name());
                let state = state.map_or("", |name| name.as_str());
                let Some(id) = instance.instance_id() else {
                    continue;
                };
                if matches!(state, "shutting-down" | "terminated") {
                    continue;
                }
                found.push(Neighbour {
                    arn: config.machine_arn(owner, id),
                    name: id.to_owned(),
                    resource_type: "EC2",
                    created_at: instance.launch_time().and_then(timestamp),
                    image: instance.image_id().map(str::to_owned),
                });
            }
        }
    }
    Ok(found)
}

//! EC2 instances, and the volumes that their termination leaves.
//!
//! A restored machine takes no name. It is ours when our restore job names it, it lies in our isolated subnet and
//! it was launched after the job began.

use aws_sdk_ec2::types::{Filter, InstanceType as TypeName, Tag};
use jiff::Timestamp;
use restore_proof_core::ownership::{Found, FoundPart, Mark, OwnedPart, OwnedResource};
use restore_proof_core::policy::Rule;
use restore_proof_core::resource_type::{Image, InstanceProfile, InstanceType, ResourceType};
use restore_proof_core::validation::{
    PartKind, RecoveryPoint, RestoredNetwork, VALIDATION_TAG, Validation,
};

use super::{BackedUp, Condition, Deletion, Neighbour, PartState, Restored, SeenPart, SnapshotKey};
use crate::aws::{Aws, AwsError, call, failed, timestamp};
use crate::check::Target;
use crate::config::Config;

/// A machine as EC2 describes it.
#[derive(Clone, Debug)]
struct Machine {
    /// What ownership is proved by.
    pub found: Found,
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping`, `stopped`.
    pub state: String,
    /// Why it is in that state, if EC2 says so.
    pub state_reason: Option<String>,
    /// Its address in its subnet.
    pub private_address: Option<std::net::IpAddr>,
    /// Its public address.
    pub public_address: Option<std::net::IpAddr>,
    /// All public addresses of all its network interfaces, secondary ones too.
    pub public_addresses: Vec<String>,
    /// All IPv6 addresses of its network interfaces.
    pub ipv6_addresses: Vec<String>,
    /// Whether each of its network interfaces takes only what is sent to or by itself.
    pub checks_source_and_destination: bool,
    /// For example `t3.small`.
    pub class: Option<String>,
    /// Id of its VPC.
    pub vpc: Option<String>,
    /// Ids of the security groups of all its network interfaces.
    pub security_groups: Vec<String>,
    /// Ids of the subnets of its network interfaces.
    pub interface_subnets: Vec<String>,
    /// ARN of its instance profile.
    pub instance_profile_arn: Option<String>,
    /// Whether its metadata service wants version 2 of the protocol.
    pub metadata_needs_token: bool,
    /// Volumes attached to it; none known once it is terminated.
    pub volumes: Vec<Volume>,
}

/// A volume as EC2 describes it.
#[derive(Clone, Debug)]
struct Volume {
    /// What ownership is proved by.
    pub found: FoundPart,
    /// `creating`, `available`, `in-use`, `deleting`, …
    pub state: String,
    /// Whether the termination of the machine it is attached to deletes it.
    pub goes_with_machine: bool,
    /// ARN of the key that encrypts it; none when it is not encrypted.
    pub key_arn: Option<String>,
}

impl Machine {
    fn condition(&self, config: &Config) -> Condition {
        match self.state.as_str() {
            "running" => Condition::Ready(Target::Machine {
                private: self.private_address,
                public: self.public_address,
                network: config.network_cidr,
            }),
            "stopping" | "stopped" => {
                let why = self
                    .state_reason
                    .as_deref()
                    .unwrap_or("EC2 does not say why");
                Condition::Broken(format!("the restored machine is {}: {why}", self.state))
            }
            "shutting-down" => Condition::Deleting,
            "terminated" => Condition::Gone,
            _ => Condition::Changing,
        }
    }

    /// States that a machine leaves by itself.
    fn is_passing(&self) -> bool {
        matches!(self.state.as_str(), "pending" | "stopping")
    }
}

/// Describes the machine of this id that was restored for a validation; none when EC2 says that there is none.
pub(super) async fn look(
    aws: &Aws,
    config: &Config,
    validation: &Validation,
    id: &str,
) -> Result<Option<Restored>, AwsError> {
    let Some(machine) = find(aws, config, id).await? else {
        return Ok(None);
    };
    let rule = validation.rule.as_ref();
    Ok(Some(Restored {
        condition: machine.condition(config),
        is_passing: machine.is_passing(),
        isolation: isolation_problems(&machine, config, rule, &validation.recovery_point),
        boot_timeout: rule.map(|rule| rule.types.ec2.boot_timeout),
        came_with: machine
            .volumes
            .into_iter()
            .filter(|volume| !volume.goes_with_machine)
            .map(|volume| volume.found)
            .collect(),
        found: machine.found,
        network: RestoredNetwork {
            vpc: machine.vpc,
            subnets: machine.interface_subnets,
            groups: machine.security_groups,
        },
        class: machine.class,
        used_by: None,
        engine: None,
        master: None,
    }))
}

/// Describes a machine by its id; none when EC2 says that there is none.
async fn find(aws: &Aws, config: &Config, id: &str) -> Result<Option<Machine>, AwsError> {
    const OPERATION: &str = "ec2:DescribeInstances";
    let result = call(
        OPERATION,
        aws.ec2.describe_instances().instance_ids(id).send(),
    )
    .await;
    let answer = match result {
        Ok(answer) => answer,
        Err(error) if error.is(&["InvalidInstanceID.NotFound"]) => return Ok(None),
        Err(error) => return Err(error),
    };
    let strange = |message: String| AwsError {
        operation: OPERATION,
        code: None,
        message,
    };
    let [reservation] = answer.reservations() else {
        let count = answer.reservations().len();
        return Err(strange(format!(
            "the answer holds {count} reservations, not the one asked for"
        )));
    };
    let [instance] = reservation.instances() else {
        let count = reservation.instances().len();
        return Err(strange(format!(
            "the answer holds {count} instances, not the one asked for"
        )));
    };
    if instance.instance_id() != Some(id) {
        return Err(strange("the answer names another instance".to_owned()));
    }
    let state = instance
        .state()
        .and_then(|state| state.name())
        .map_or("", |name| name.as_str())
        .to_owned();
    let address = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let interfaces = instance.network_interfaces();
    let mut security_groups: Vec<String> = instance
        .security_groups()
        .iter()
        .chain(interfaces.iter().flat_map(|interface| interface.groups()))
        .filter_map(|group| group.group_id().map(str::to_owned))
        .collect();
    security_groups.sort();
    security_groups.dedup();
    let mut interface_subnets: Vec<String> = interfaces
        .iter()
        .filter_map(|interface| interface.subnet_id().map(str::to_owned))
        .collect();
    interface_subnets.sort();
    interface_subnets.dedup();
    let associated = interfaces.iter().flat_map(|interface| {
        let own = interface.association().into_iter();
        let secondary = interface.private_ip_addresses().iter();
        own.chain(secondary.filter_map(|address| address.association()))
    });
    let mut public_addresses: Vec<String> = associated
        .filter_map(|association| association.public_ip().or(association.carrier_ip()))
        .chain(instance.public_ip_address())
        .map(str::to_owned)
        .collect();
    public_addresses.sort();
    public_addresses.dedup();
    let ipv6_addresses = interfaces
        .iter()
        .flat_map(|interface| interface.ipv6_addresses())
        .filter_map(|address| address.ipv6_address())
        .chain(instance.ipv6_address())
        .map(str::to_owned)
        .collect();
    let volumes = match state.as_str() {
        "terminated" => Vec::new(),
        _ => attached_volumes(aws, id).await?,
    };
    Ok(Some(Machine {
        found: Found {
            arn: config.machine_arn(reservation.owner_id().unwrap_or_default(), id),
            name: id.to_owned(),
            mark: Mark::Subnet(instance.subnet_id().unwrap_or_default().to_owned()),
            created_at: instance.launch_time().and_then(timestamp),
        },
        state,
        state_reason: instance
            .state_reason()
            .and_then(|reason| reason.message())
            .map(str::to_owned),
        private_address: address(instance.private_ip_address()),
        public_address: address(instance.public_ip_address()),
        public_addresses,
        ipv6_addresses,
        checks_source_and_destination: instance
            .source_dest_check()
            .into_iter()
            .chain(interfaces.iter().filter_map(|one| one.source_dest_check()))
            .all(|checks| checks),
        class: instance
            .instance_type()
            .map(|class| class.as_str().to_owned()),
        vpc: instance.vpc_id().map(str::to_owned),
        security_groups,
        interface_subnets,
        instance_profile_arn: instance
            .iam_instance_profile()
            .and_then(|profile| profile.arn())
            .map(str::to_owned),
        metadata_needs_token: instance
            .metadata_options()
            .and_then(|options| options.http_tokens())
            .is_some_and(|tokens| tokens.as_str() == "required"),
        volumes,
    }))
}

/// The machines of an image in our subnets that were launched after a point in time and have not ended. For a restore
/// that failed without naming what it made.
pub(super) async fn launched_from(
    aws: &Aws,
    config: &Config,
    image_id: &str,
    since: Timestamp,
) -> Result<Vec<String>, AwsError> {
    let filter = |name: &str, values: Vec<String>| {
        Filter::builder()
            .name(name)
            .set_values(Some(values))
            .build()
    };
    let mut pages = aws
        .ec2
        .describe_instances()
        .filters(filter("image-id", vec![image_id.to_owned()]))
        .filters(filter("subnet-id", config.machine_subnets.clone()))
        .into_paginator()
        .send();
    let mut ids = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("ec2:DescribeInstances"))?;
        let instances = page
            .reservations()
            .iter()
            .flat_map(|reservation| reservation.instances());
        ids.extend(
            instances
                .filter(|instance| {
                    let launched = instance.launch_time().and_then(timestamp);
                    let state = instance.state().and_then(|state| state.name());
                    launched.is_none_or(|at| at >= since)
                        && state.is_none_or(|state| state.as_str() != "terminated")
                })
                .filter_map(|instance| instance.instance_id().map(str::to_owned)),
        );
    }
    Ok(ids)
}

async fn attached_volumes(aws: &Aws, machine_id: &str) -> Result<Vec<Volume>, AwsError> {
    let filter = Filter::builder()
        .name("attachment.instance-id")
        .values(machine_id)
        .build();
    let mut pages = aws
        .ec2
        .describe_volumes()
        .filters(filter)
        .into_paginator()
        .send();
    let mut volumes = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("ec2:DescribeVolumes"))?;
        volumes.extend(
            page.volumes()
                .iter()
                .filter_map(|described| volume(described, Some(machine_id))),
        );
    }
    Ok(volumes)
}

/// Describes a volume by its id; none when EC2 says that there is none.
pub(super) async fn look_at_volume(aws: &Aws, id: &str) -> Result<Option<SeenPart>, AwsError> {
    const OPERATION: &str = "ec2:DescribeVolumes";
    let result = call(OPERATION, aws.ec2.describe_volumes().volume_ids(id).send()).await;
    let answer = match result {
        Ok(answer) => answer,
        Err(error) if error.is(&["InvalidVolume.NotFound"]) => return Ok(None),
        Err(error) => return Err(error),
    };
    let seen = match answer.volumes() {
        [described] if described.volume_id() == Some(id) => volume(described, None),
        _ => None,
    };
    let Some(seen) = seen else {
        return Err(AwsError {
            operation: OPERATION,
            code: None,
            message: "the answer does not hold the volume asked for".to_owned(),
        });
    };
    let state = match seen.state.as_str() {
        "deleting" => PartState::Deleting,
        // Termination has not let go of it yet.
        "in-use" => PartState::Passing,
        _ if !seen.found.belongs_to.is_empty() => PartState::Passing,
        _ => PartState::There,
    };
    Ok(Some(SeenPart {
        found: seen.found,
        state,
    }))
}

fn volume(described: &aws_sdk_ec2::types::Volume, machine_id: Option<&str>) -> Option<Volume> {
    let attachments = described.attachments();
    Some(Volume {
        found: FoundPart {
            kind: PartKind::Volume,
            id: described.volume_id()?.to_owned(),
            created_at: described.create_time().and_then(timestamp),
            belongs_to: attachments
                .iter()
                .filter_map(|attachment| attachment.instance_id().map(str::to_owned))
                .collect(),
            attached_at: attachments
                .iter()
                .find(|attachment| machine_id.is_some() && attachment.instance_id() == machine_id)
                .and_then(|attachment| attachment.attach_time().and_then(timestamp)),
        },
        state: described
            .state()
            .map_or("", |state| state.as_str())
            .to_owned(),
        goes_with_machine: attachments
            .iter()
            .filter(|attachment| machine_id.is_some() && attachment.instance_id() == machine_id)
            .any(|attachment| attachment.delete_on_termination().unwrap_or(false)),
        key_arn: described
            .kms_key_id()
            .filter(|_| described.encrypted().unwrap_or(false))
            .map(str::to_owned),
    })
}

fn isolation_problems(
    machine: &Machine,
    config: &Config,
    rule: Option<&Rule>,
    point: &RecoveryPoint,
) -> Vec<String> {
    let mut problems = Vec::new();
    let network = &config.network;
    let wants_public = |rule: &Rule| rule.checks.iter().any(|check| check.wants_public_address());
    if !rule.is_some_and(wants_public) {
        for address in &machine.public_addresses {
            problems.push(format!(
                "the restored machine has a public address, {address}"
            ));
        }
    }
    for address in &machine.ipv6_addresses {
        problems.push(format!(
            "the restored machine has an IPv6 address, {address}"
        ));
    }
    if !machine.checks_source_and_destination {
        let what =
            "the restored machine takes what is sent to others (no source/destination check)";
        problems.push(what.to_owned());
    }
    if machine.interface_subnets.is_empty() {
        problems.push("EC2 shows no network interface of the restored machine".to_owned());
    }
    if let Some(subnet) = machine
        .interface_subnets
        .iter()
        .find(|subnet| !config.machine_subnets.contains(subnet))
    {
        problems.push(format!(
            "the restored machine has an interface in subnet {subnet}, not in {}",
            config.machine_subnets.join(" or ")
        ));
    }
    let foreign = machine
        .security_groups
        .iter()
        .find(|group| !network.machine_security_groups.contains(group));
    if machine.security_groups.is_empty() || foreign.is_some() {
        problems.push(format!(
            "the restored machine is behind security group {}, not behind {}",
            foreign.map_or("(none)", String::as_str),
            network.machine_security_groups.join(", ")
        ));
    }
    if let Some(profile) = &machine.instance_profile_arn
        && rule.is_none_or(|rule| rule.types.ec2.instance_profile == InstanceProfile::None)
    {
        problems.push(format!(
            "the restored machine has instance profile {profile}"
        ));
    }
    if !machine.metadata_needs_token {
        problems.push("the restored machine's metadata service answers without a token".to_owned());
    }
    for volume in &machine.volumes {
        let id = &volume.found.id;
        match (&network.volume_key_arn, &volume.key_arn) {
            (Some(wanted), Some(is)) if wanted != is => problems.push(format!(
                "volume {id} is encrypted with {is}, not with {wanted}"
            )),
            (Some(_), None) => problems.push(format!("volume {id} is not encrypted")),
            (None, None) if point.encryption_key_arn.is_some() => {
                problems.push(format!("the backup is encrypted, volume {id} is not"))
            }
            _ => {}
        }
    }
    problems
}

/// Terminates a machine that is proved to be ours.
pub(super) async fn delete(aws: &Aws, owned: OwnedResource) -> Result<Deletion, AwsError> {
    let result = call(
        "ec2:TerminateInstances",
        aws.ec2
            .terminate_instances()
            .instance_ids(owned.name())
            .send(),
    )
    .await;
    asked(result.map(|_| ()), "InvalidInstanceID.NotFound")
}

/// Deletes a volume that is proved to have come with a machine of ours.
pub(super) async fn delete_volume(aws: &Aws, owned: OwnedPart) -> Result<Deletion, AwsError> {
    let result = call(
        "ec2:DeleteVolume",
        aws.ec2.delete_volume().volume_id(owned.id()).send(),
    )
    .await;
    asked(result.map(|_| ()), "InvalidVolume.NotFound")
}

fn asked(result: Result<(), AwsError>, gone: &str) -> Result<Deletion, AwsError> {
    match result {
        Ok(()) => Ok(Deletion::Asked),
        // Gone in between, or not let go of yet: what follows asks again.
        Err(error) if error.is(&[gone, "IncorrectState", "VolumeInUse"]) => Ok(Deletion::Asked),
        // Whatever else it answers, it will answer again.
        Err(error) if !error.may_pass() => Ok(Deletion::Blocked(error.message)),
        Err(error) => Err(error),
    }
}

/// Gives a machine of ours the tag of its validation.
pub(super) async fn tag(
    aws: &Aws,
    owned: &OwnedResource,
    validation_id: &str,
) -> Result<(), AwsError> {
    call(
        "ec2:CreateTags",
        aws.ec2
            .create_tags()
            .resources(owned.name())
            .tags(
                Tag::builder()
                    .key(VALIDATION_TAG)
                    .value(validation_id)
                    .build(),
            )
            .send(),
    )
    .await?;
    Ok(())
}

/// Describes the image that a recovery point is; none when EC2 does not know it.
pub(super) async fn image(aws: &Aws, id: &str) -> Result<Option<BackedUp>, AwsError> {
    let result = call(
        "ec2:DescribeImages",
        aws.ec2.describe_images().image_ids(id).send(),
    )
    .await;
    let answer = match result {
        Ok(answer) => answer,
        Err(error)
            if error.is(&[
                "InvalidAMIID.NotFound",
                "InvalidAMIID.Malformed",
                "InvalidAMIID.Unavailable",
            ]) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let Some(image) = answer.images().first() else {
        return Ok(None);
    };
    Ok(Some(BackedUp {
        // The image's own creation is that of the copy; AWS Backup knows that of the source.
        created_at: None,
        tags: image
            .tags()
            .iter()
            .filter_map(|tag| {
                Some((
                    tag.key()?.to_owned(),
                    tag.value().unwrap_or_default().to_owned(),
                ))
            })
            .collect(),
        image: Image {
            devices: image
                .block_device_mappings()
                .iter()
                .filter(|mapping| mapping.ebs().is_some())
                .filter_map(|mapping| mapping.device_name().map(str::to_owned))
                .collect(),
            architecture: image.architecture().map(|one| one.as_str().to_owned()),
            boot_mode: image.boot_mode().map(|mode| mode.as_str().to_owned()),
            product_codes: image
                .product_codes()
                .iter()
                .filter_map(|code| code.product_code_id().map(str::to_owned))
                .collect(),
        },
        // Each volume has a snapshot of its own, and DescribeImages does not name their keys.
        key: SnapshotKey::Unknown,
    }))
}

/// Describes an instance type, one that EC2 does not know among them.
pub(super) async fn instance_type(aws: &Aws, name: &str) -> Result<InstanceType, AwsError> {
    const OPERATION: &str = "ec2:DescribeInstanceTypes";
    let request = aws.ec2.describe_instance_types();
    let request = request.instance_types(TypeName::from(name)).send();
    let mut described = InstanceType {
        name: name.to_owned(),
        exists: true,
        architectures: Vec::new(),
        boot_modes: Vec::new(),
    };
    let answer = match call(OPERATION, request).await {
        Ok(answer) => answer,
        Err(error) if error.is(&["InvalidInstanceType"]) => {
            described.exists = false;
            return Ok(described);
        }
        Err(error) => return Err(error),
    };
    let mut all = answer.instance_types().iter();
    let Some(found) = all.find(|one| one.instance_type().is_some_and(|one| one.as_str() == name))
    else {
        return Err(AwsError {
            operation: OPERATION,
            code: None,
            message: "the answer does not hold the instance type asked for".to_owned(),
        });
    };
    let processor = found.processor_info();
    let architectures = processor.map(|processor| processor.supported_architectures());
    described.architectures = architectures
        .unwrap_or_default()
        .iter()
        .map(|one| one.as_str().to_owned())
        .collect();
    let boot_modes = found.supported_boot_modes().iter();
    described.boot_modes = boot_modes.map(|mode| mode.as_str().to_owned()).collect();
    Ok(described)
}

/// The machines with an interface in our subnets that have not ended.
pub(super) async fn network_inventory(
    aws: &Aws,
    config: &Config,
) -> Result<Vec<Neighbour>, AwsError> {
    let in_our_subnets = Filter::builder()
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
                    resource_type: ResourceType::Ec2,
                    created_at: instance.launch_time().and_then(timestamp),
                    image: instance.image_id().map(str::to_owned),
                });
            }
        }
    }
    Ok(found)
}

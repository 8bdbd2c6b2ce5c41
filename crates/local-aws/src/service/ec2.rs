//! EC2: describing and ending instances, volumes, and the images behind recovery points (EC2's own query protocol,
//! XML).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::wire::{Reply, Request, ServiceError};
use crate::world::ec2 as life;
use crate::world::ec2::metadata::{snapshot_id, zone_of};
use crate::world::ec2::types;
use crate::world::events::millis;
use crate::world::seed::{Attachment, Ec2Instance, RecoveryPoint, Volume};
use crate::world::state::State;

use super::Answer;

mod groups;
mod routes;

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    let dry = request.param("DryRun");
    if dry.is_some_and(|dry| dry.eq_ignore_ascii_case("true")) {
        return Err(not_played(request, "with DryRun"));
    }
    match request.operation.as_str() {
        "DescribeInstances" => describe_instances(state, request),
        "TerminateInstances" => terminate(state, request),
        "DescribeVolumes" => describe_volumes(state, request),
        "DeleteVolume" => delete_volume(state, request),
        "CreateTags" => create_tags(state, request),
        "DescribeImages" => describe_images(state, request),
        "DescribeInstanceTypes" => describe_instance_types(state, request),
        "DescribeRouteTables" => routes::describe(state, request),
        "DescribeSecurityGroups" => groups::describe(state, request),
        _ => Err(ServiceError::not_played(request)),
    }
}

fn describe_instances(state: &mut State, request: &Request) -> Answer {
    let filters = filters(request);
    if let Some((name, _)) = filters.iter().find(|(name, _)| {
        !matches!(
            name.as_str(),
            "image-id" | "subnet-id" | "network-interface.subnet-id"
        )
    }) {
        return Err(not_played(request, &format!("with filter {name}")));
    }
    let asked = instance_ids(state, request)?;
    for id in &asked {
        // Right after a restore a describe may still know nothing of it.
        if let Some(machine) = state.machines.get_mut(id)
            && machine.hidden_describes > 0
        {
            machine.hidden_describes -= 1;
            return Err(instance_not_found(id));
        }
    }
    let machines = state.machines.values().map(|machine| &machine.instance);
    let shown: Value = machines
        .filter(|instance| {
            // What is terminated has no place in a subnet any more.
            let placed = instance.state != "terminated";
            let passes = filters.iter().all(|(name, values)| match name.as_str() {
                "image-id" => values.contains(&instance.image_id),
                "network-interface.subnet-id" if placed => {
                    let further = instance.further_interfaces.iter();
                    let mut subnets = further
                        .map(|interface| &interface.subnet_id)
                        .chain([&instance.subnet_id]);
                    subnets.any(|subnet| values.contains(subnet))
                }
                _ => placed && values.contains(&instance.subnet_id),
            });
            passes && (asked.is_empty() || asked.contains(&instance.id))
        })
        .map(|instance| reservation_json(state, instance))
        .collect();
    let result = json!({ "Reservations": shown });
    Ok(reply(state, "DescribeInstances", &result))
}

/// An answer with what the operation results in.
fn reply(state: &mut State, operation: &str, result: &Value) -> Reply {
    let request_id = state.new_uuid("request");
    Reply::ec2(operation, &request_id, result)
}

fn terminate(state: &mut State, request: &Request) -> Answer {
    let asked = instance_ids(state, request)?;
    if asked.is_empty() {
        return Err(missing("InstanceId"));
    }
    // One that may not be terminated keeps all of them.
    let is_protected = |id: &&String| {
        state
            .machines
            .get(*id)
            .is_some_and(|machine| machine.instance.disable_api_termination)
    };
    if let Some(id) = asked.iter().find(is_protected) {
        let message = format!(
            "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and \
             try again."
        );
        return Err(ServiceError::new("OperationNotPermitted", 400, &message));
    }
    let state_of = |state: &State, id: &String| {
        let machine = state.machines.get(id);
        machine.map_or_else(String::new, |machine| machine.instance.state.clone())
    };
    let mut changes = Vec::new();
    for id in asked {
        let before = state_of(state, &id);
        life::terminate(state, &id, request.access_key());
        let now = state_of(state, &id);
        changes.push(json!({
            "InstanceId": id,
            "CurrentState": state_json(&now),
            "PreviousState": state_json(&before),
        }));
    }
    let result = json!({ "TerminatingInstances": changes });
    Ok(reply(state, "TerminateInstances", &result))
}

/// How many tags a resource may have (EC2 user guide, "Tag restrictions").
const MOST_TAGS: usize = 50;

fn create_tags(state: &mut State, request: &Request) -> Answer {
    let asked = numbered(request, "ResourceId");
    let tags: BTreeMap<String, String> = (1..)
        .map_while(|number| {
            let key = request.param(&format!("Tag.{number}.Key"))?;
            let value = request.param(&format!("Tag.{number}.Value"));
            Some((key.to_owned(), value.unwrap_or_default().to_owned()))
        })
        .collect();
    for (list, name) in [(asked.is_empty(), "ResourceId"), (tags.is_empty(), "Tag")] {
        if list {
            return Err(missing(name));
        }
    }
    let of_aws = |key: &&String| key.to_ascii_lowercase().starts_with("aws:");
    if let Some(key) = tags.keys().find(of_aws) {
        let message = format!("Tag keys starting with 'aws:' are reserved for internal use: {key}");
        return Err(ServiceError::new("InvalidParameterValue", 400, &message));
    }
    // All of them or none.
    for id in &asked {
        let known = match id.split('-').next() {
            Some("i") => state.machines.get(id).map(|machine| &machine.instance.tags),
            Some("vol") => Some(&volume(state, id)?.tags),
            _ => return Err(not_played(request, &format!("of {id}"))),
        };
        let known = known.ok_or_else(|| instance_not_found(id))?;
        let new = tags.keys().filter(|key| !known.contains_key(*key)).count();
        if known.len() + new > MOST_TAGS {
            let message = "The maximum number of Tags for a resource has been reached.";
            return Err(ServiceError::new("TagLimitExceeded", 400, message));
        }
    }
    for id in &asked {
        let machine = state.machines.get_mut(id);
        let of_machine = machine.map(|machine| &mut machine.instance.tags);
        let volume = state.volumes.get_mut(id);
        let of_volume = volume.map(|volume| &mut volume.volume.tags);
        for known in of_machine.into_iter().chain(of_volume) {
            known.extend(tags.clone());
        }
    }
    Ok(reply(state, "CreateTags", &json!({ "Return": true })))
}

fn describe_volumes(state: &mut State, request: &Request) -> Answer {
    let mut of_instances: Option<Vec<String>> = None;
    for (name, values) in filters(request) {
        if name != "attachment.instance-id" || of_instances.is_some() {
            return Err(not_played(request, &format!("with filter {name}")));
        }
        of_instances = Some(values);
    }
    let asked = numbered(request, "VolumeId");
    for id in &asked {
        volume(state, id)?;
    }
    let is_shown = |volume: &Volume| {
        let attached_to = volume.attachment.as_ref().map(|at| &at.instance_id);
        (asked.is_empty() || asked.contains(&volume.id))
            && of_instances
                .as_ref()
                .is_none_or(|wanted| attached_to.is_some_and(|id| wanted.contains(id)))
    };
    let volumes = state.volumes.values().map(|volume| &volume.volume);
    let shown: Value = volumes
        .filter(|volume| is_shown(volume))
        .map(|volume| volume_json(state, volume))
        .collect();
    let result = json!({ "Volumes": shown });
    Ok(reply(state, "DescribeVolumes", &result))
}

fn delete_volume(state: &mut State, request: &Request) -> Answer {
    let Some(id) = request.param("VolumeId") else {
        return Err(missing("VolumeId"));
    };
    let found = volume(state, id)?;
    if let Some(attachment) = &found.attachment {
        let message = format!(
            "Volume {id} is currently attached to {}",
            attachment.instance_id
        );
        return Err(ServiceError::new("VolumeInUse", 400, &message));
    }
    if !matches!(found.state.as_str(), "available" | "error") {
        let message = format!("The volume '{id}' is '{}'.", found.state);
        return Err(ServiceError::new("IncorrectState", 400, &message));
    }
    life::delete_volume(state, id, request.access_key());
    Ok(reply(state, "DeleteVolume", &json!({ "Return": true })))
}

fn describe_images(state: &mut State, request: &Request) -> Answer {
    if !filters(request).is_empty() {
        return Err(not_played(request, "with filters"));
    }
    let asked = numbered(request, "ImageId");
    if asked.is_empty() {
        return Err(not_played(request, "without image ids"));
    }
    let find = |id: &str| {
        let mut points = state.recovery_points.iter();
        points.find(|point| life::image_id(point) == Some(id))
    };
    let mut images = Vec::new();
    for id in &asked {
        if !is_id(id, "ami") {
            return Err(ServiceError::new(
                "InvalidAMIID.Malformed",
                400,
                &format!("Invalid id: \"{id}\""),
            ));
        }
        let image = find(id).ok_or_else(|| {
            ServiceError::new(
                "InvalidAMIID.NotFound",
                400,
                &format!("The image id '[{id}]' does not exist"),
            )
        })?;
        images.push(image_json(state, id, image));
    }
    Ok(reply(state, "DescribeImages", &json!({ "Images": images })))
}

fn describe_instance_types(state: &mut State, request: &Request) -> Answer {
    if !filters(request).is_empty() {
        return Err(not_played(request, "with filters"));
    }
    let asked = numbered(request, "InstanceType");
    if asked.is_empty() {
        return Err(not_played(request, "without instance types"));
    }
    let mut described = Vec::new();
    let mut unknown = Vec::new();
    for name in asked {
        match types::of(&name) {
            None => unknown.push(name),
            Some(kind) => described.push(json!({
                "InstanceType": name,
                "ProcessorInfo": {"SupportedArchitectures": [kind.architecture]},
                "SupportedBootModes": kind.boot_modes,
            })),
        }
    }
    if !unknown.is_empty() {
        // Code and words: scylladb/scylla-cluster-tests #12419.
        let message = format!(
            "The following supplied instance types do not exist: [{}]",
            unknown.join(", ")
        );
        return Err(ServiceError::new("InvalidInstanceType", 400, &message));
    }
    let result = json!({ "InstanceTypes": described });
    Ok(reply(state, "DescribeInstanceTypes", &result))
}

/// The values of a list parameter, by their numbers.
fn numbered(request: &Request, name: &str) -> Vec<String> {
    (1..)
        .map_while(|number| request.param(&format!("{name}.{number}")))
        .map(str::to_owned)
        .collect()
}

/// The filters of a request: names and values.
fn filters(request: &Request) -> Vec<(String, Vec<String>)> {
    (1..)
        .map_while(|number| {
            let name = request.param(&format!("Filter.{number}.Name"))?;
            let values = numbered(request, &format!("Filter.{number}.Value"));
            Some((name.to_owned(), values))
        })
        .collect()
}

/// The instances a request names, all of which exist.
fn instance_ids(state: &State, request: &Request) -> Result<Vec<String>, ServiceError> {
    let asked = numbered(request, "InstanceId");
    for id in &asked {
        if !is_id(id, "i") {
            return Err(ServiceError::new(
                "InvalidInstanceID.Malformed",
                400,
                &format!("Invalid id: \"{id}\""),
            ));
        }
        if !state.machines.contains_key(id) {
            return Err(instance_not_found(id));
        }
    }
    Ok(asked)
}

fn volume<'a>(state: &'a State, id: &str) -> Result<&'a Volume, ServiceError> {
    if !is_id(id, "vol") {
        return Err(ServiceError::new(
            "InvalidVolumeID.Malformed",
            400,
            &format!("Invalid id: \"{id}\""),
        ));
    }
    match state.volumes.get(id) {
        Some(found) => Ok(&found.volume),
        None => Err(ServiceError::new(
            "InvalidVolume.NotFound",
            400,
            &format!("The volume '{id}' does not exist."),
        )),
    }
}

/// Whether a text looks like an id of EC2: a prefix and 8 or 17 hexadecimal digits.
fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|digits| {
            matches!(digits.len(), 8 | 17)
                && digits
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
}

fn instance_not_found(id: &str) -> ServiceError {
    ServiceError::new(
        "InvalidInstanceID.NotFound",
        400,
        &format!("The instance ID '{id}' does not exist"),
    )
}

fn missing(parameter: &str) -> ServiceError {
    ServiceError::new(
        "MissingParameter",
        400,
        &format!("The request must contain the parameter {parameter}"),
    )
}

fn not_played(request: &Request, what: &str) -> ServiceError {
    let message = format!("local-aws does not play ec2:{} {what}", request.operation);
    ServiceError::new("NotImplemented", 501, &message)
}

fn state_json(state: &str) -> Value {
    let code = match state {
        "pending" => 0,
        "running" => 16,
        "shutting-down" => 32,
        "terminated" => 48,
        "stopping" => 64,
        _ => 80,
    };
    json!({"Code": code, "Name": state})
}

fn tags_json(tags: &BTreeMap<String, String>) -> Value {
    let tag = |(key, value): (&String, &String)| json!({"Key": key, "Value": value});
    tags.iter().map(tag).collect()
}

fn groups_json(groups: &[String]) -> Value {
    let group = |group: &String| json!({"GroupId": group, "GroupName": group});
    groups.iter().map(group).collect()
}

fn reservation_json(state: &State, instance: &Ec2Instance) -> Value {
    let number = instance.id.strip_prefix("i-").unwrap_or(&instance.id);
    json!({
        "ReservationId": format!("r-{number}"),
        "OwnerId": state.options.account,
        "Groups": [],
        "Instances": [instance_json(state, instance)],
    })
}

fn instance_json(state: &State, instance: &Ec2Instance) -> Value {
    // What is terminated has no place in a network any more, and nothing attached to it.
    let placed = Some(instance).filter(|instance| instance.state != "terminated");
    let mut attached: Vec<(&Volume, &Attachment)> = state
        .volumes
        .values()
        .filter_map(|volume| Some((&volume.volume, volume.volume.attachment.as_ref()?)))
        .filter(|(_, attachment)| attachment.instance_id == instance.id)
        .collect();
    // The root device's name sorts first: /dev/sda1 or /dev/xvda.
    attached.sort_by_key(|(_, attachment)| &attachment.device);
    let devices: Value = (attached.iter())
        .map(|(volume, attachment)| {
            let ebs = json!({
                "VolumeId": volume.id,
                "Status": "attached",
                "AttachTime": millis(attachment.attached_at.unwrap_or(volume.created_at)),
                "DeleteOnTermination": attachment.delete_on_termination,
            });
            json!({"DeviceName": attachment.device, "Ebs": ebs})
        })
        .collect();
    let ended = matches!(instance.state.as_str(), "shutting-down" | "terminated");
    let reason = match instance.state.as_str() {
        "shutting-down" | "terminated" => {
            Some("Client.UserInitiatedShutdown: User initiated shutdown")
        }
        "stopping" | "stopped" => {
            Some("Client.InstanceInitiatedShutdown: Instance initiated shutdown")
        }
        _ => None,
    };
    let reason = reason.map(|reason| {
        let code = reason.split(':').next().unwrap_or(reason);
        json!({"Code": code, "Message": reason})
    });
    let account = &state.options.account;
    let profile = instance.instance_profile.as_ref().map(|profile| {
        let arn = format!("arn:aws:iam::{account}:instance-profile/{profile}");
        json!({"Arn": arn, "Id": "AIPAJAWS0EXAMPLE00000"})
    });
    let monitoring = if instance.monitoring {
        "enabled"
    } else {
        "disabled"
    };
    let tokens = if instance.requires_imds_v2 {
        "required"
    } else {
        "optional"
    };
    json!({
        "InstanceId": instance.id,
        "ImageId": instance.image_id,
        "State": state_json(&instance.state),
        "PrivateDnsName": placed.map_or(String::new(), |instance| private_name(state, instance)),
        "PublicDnsName": "",
        "StateTransitionReason": if ended { "User initiated" } else { "" },
        "KeyName": instance.key_name,
        "AmiLaunchIndex": 0,
        "ProductCodes": [],
        "InstanceType": instance.instance_type,
        "LaunchTime": millis(instance.launched_at),
        "Placement": {"AvailabilityZone": zone_of(state), "GroupName": "", "Tenancy": "default"},
        "Monitoring": {"State": monitoring},
        "SubnetId": placed.map(|instance| &instance.subnet_id),
        "VpcId": placed.map(|instance| &instance.vpc_id),
        "PrivateIpAddress": placed.map(|instance| instance.private_address),
        "PublicIpAddress": placed.and_then(|instance| instance.public_address),
        "SourceDestCheck": placed.map(|instance| instance.source_dest_check),
        "SecurityGroups": groups_json(placed.map_or(&[], |instance| &instance.security_groups)),
        "StateReason": reason,
        "Architecture": instance.architecture,
        "RootDeviceType": "ebs",
        "RootDeviceName": attached.first().map(|(_, attachment)| &attachment.device),
        "BlockDeviceMappings": devices,
        "VirtualizationType": "hvm",
        "ClientToken": "",
        "Tags": tags_json(&instance.tags),
        "Hypervisor": "xen",
        "NetworkInterfaces": interfaces_json(state, placed),
        "IamInstanceProfile": profile,
        "EbsOptimized": instance.ebs_optimized,
        "EnaSupport": true,
        "HibernationOptions": {"Configured": false},
        "MetadataOptions": {
            "State": "applied",
            "HttpTokens": tokens,
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
        },
    })
}

/// `ip-10-0-0-7.eu-central-1.compute.internal`
fn private_name(state: &State, instance: &Ec2Instance) -> String {
    let address = instance.private_address.to_string().replace('.', "-");
    format!("ip-{address}.{}.compute.internal", state.options.region)
}

/// The network interfaces of an instance that has a place in a network.
fn interfaces_json(state: &State, placed: Option<&Ec2Instance>) -> Value {
    let further = placed.into_iter().flat_map(|instance| {
        instance
            .further_interfaces
            .iter()
            .map(|interface| Ec2Instance {
                network_interface_id: interface.id.clone(),
                subnet_id: interface.subnet_id.clone(),
                private_address: interface.private_address,
                security_groups: interface.security_groups.clone(),
                public_address: None,
                secondary_public_address: None,
                ipv6_addresses: Vec::new(),
                ..instance.clone()
            })
    });
    let all = placed.cloned().into_iter().chain(further);
    let numbered = all.enumerate();
    numbered
        .map(|(index, instance)| interface_json(state, &instance, index))
        .collect()
}

fn interface_json(state: &State, instance: &Ec2Instance, index: usize) -> Value {
    let name = private_name(state, instance);
    let association = |public: Option<Ipv4Addr>| {
        public
            .map(|address| json!({"PublicIp": address, "PublicDnsName": "", "IpOwnerId": "amazon"}))
    };
    let number = instance.network_interface_id.trim_start_matches("eni-");
    let second = Ipv4Addr::from(u32::from(instance.private_address) + 1);
    let addresses = [
        Some((instance.private_address, instance.public_address)),
        instance
            .secondary_public_address
            .map(|public| (second, Some(public))),
    ];
    let addresses: Value = (addresses.into_iter().flatten().enumerate())
        .map(|(number, (private, public))| {
            json!({
                "PrivateIpAddress": private,
                "PrivateDnsName": name,
                "Primary": number == 0,
                "Association": association(public),
            })
        })
        .collect();
    let ipv6: Value = (instance.ipv6_addresses.iter())
        .map(|address| json!({"Ipv6Address": address}))
        .collect();
    json!({
        "NetworkInterfaceId": instance.network_interface_id,
        "SubnetId": instance.subnet_id,
        "VpcId": instance.vpc_id,
        "Description": "",
        "OwnerId": state.options.account,
        "Status": "in-use",
        "MacAddress": "02:00:00:00:00:01",
        "PrivateIpAddress": instance.private_address,
        "PrivateDnsName": name,
        "SourceDestCheck": instance.source_dest_check,
        "Groups": groups_json(&instance.security_groups),
        "Attachment": {
            "AttachmentId": format!("eni-attach-{number}"),
            "DeviceIndex": index,
            "Status": "attached",
            "AttachTime": millis(instance.launched_at),
            "DeleteOnTermination": true,
        },
        "Association": association(instance.public_address),
        "PrivateIpAddresses": addresses,
        "Ipv6Addresses": ipv6,
        "InterfaceType": "interface",
    })
}

fn volume_json(state: &State, volume: &Volume) -> Value {
    let attachments: Value = (volume.attachment.iter())
        .map(|attachment| {
            json!({
                "VolumeId": volume.id,
                "InstanceId": attachment.instance_id,
                "Device": attachment.device,
                "State": "attached",
                "AttachTime": millis(attachment.attached_at.unwrap_or(volume.created_at)),
                "DeleteOnTermination": attachment.delete_on_termination,
            })
        })
        .collect();
    json!({
        "VolumeId": volume.id,
        "Size": volume.size_gib,
        "SnapshotId": volume.snapshot_id,
        "AvailabilityZone": zone_of(state),
        "State": volume.state,
        "CreateTime": millis(volume.created_at),
        "Attachments": attachments,
        "Tags": tags_json(&volume.tags),
        "VolumeType": volume.volume_type,
        "Iops": volume.iops,
        "Throughput": volume.throughput,
        "Encrypted": volume.kms_key_arn.is_some(),
        "KmsKeyId": volume.kms_key_arn,
        "MultiAttachEnabled": false,
    })
}

fn image_json(state: &State, id: &str, point: &RecoveryPoint) -> Value {
    let machine = point.machine.clone().unwrap_or_default();
    let (account, name) = (&state.options.account, format!("AwsBackup_{id}"));
    let devices: Value = (machine.devices.iter())
        .map(|device| {
            let ebs = json!({
                "SnapshotId": snapshot_id(point, &device.name),
                "VolumeSize": device.size_gib,
                "DeleteOnTermination": device.delete_on_termination,
                "VolumeType": device.volume_type,
                "Encrypted": device.encrypted,
            });
            json!({"DeviceName": device.name, "Ebs": ebs})
        })
        .collect();
    json!({
        "ImageId": id,
        "ImageLocation": format!("{account}/{name}"),
        "State": "available",
        "OwnerId": account,
        "CreationDate": millis(point.completed_at.unwrap_or(point.created_at)),
        "Public": false,
        "Architecture": machine.architecture,
        "BootMode": machine.boot_mode,
        "ProductCodes": machine.product_codes.iter()
            .map(|code| json!({"ProductCodeId": code, "ProductCodeType": "marketplace"}))
            .collect::<Value>(),
        "ImageType": "machine",
        "Name": name,
        "RootDeviceType": "ebs",
        "RootDeviceName": machine.devices.first().map(|device| &device.name),
        "BlockDeviceMappings": devices,
        "VirtualizationType": "hvm",
        "Tags": tags_json(&point.tags),
        "Hypervisor": "xen",
        "EnaSupport": true,
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
    })
}

#[cfg(test)]
mod tests;

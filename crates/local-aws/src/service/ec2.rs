//! EC2: describing and ending instances, volumes, and the images behind recovery points (EC2's own query protocol,
//! XML).

use std::net::Ipv4Addr;

use crate::wire::xml::Xml;
use crate::wire::{Reply, Request, ServiceError};
use crate::world::ec2 as life;
use crate::world::ec2::metadata::{snapshot_id, zone_of};
use crate::world::events::millis;
use crate::world::seed::{Ec2Instance, RecoveryPoint, Volume};
use crate::world::state::State;

use super::Answer;

mod groups;

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
        "DescribeImages" => describe_images(state, request),
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
    let request_id = state.new_uuid("request");
    Ok(Reply::ec2("DescribeInstances", &request_id, |xml| {
        xml.element("reservationSet", |xml| {
            for machine in state.machines.values() {
                let instance = &machine.instance;
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
                if passes && (asked.is_empty() || asked.contains(&instance.id)) {
                    write_reservation(xml, state, instance);
                }
            }
        });
    }))
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
        changes.push((id, before, now));
    }
    let request_id = state.new_uuid("request");
    Ok(Reply::ec2("TerminateInstances", &request_id, |xml| {
        list(xml, "instancesSet", changes, |xml, (id, before, now)| {
            xml.text("instanceId", id);
            write_state(xml, "currentState", &now);
            write_state(xml, "previousState", &before);
        });
    }))
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
    let request_id = state.new_uuid("request");
    Ok(Reply::ec2("DescribeVolumes", &request_id, |xml| {
        let shown = state.volumes.values().map(|volume| &volume.volume);
        list(
            xml,
            "volumeSet",
            shown.filter(|volume| is_shown(volume)),
            |xml, volume| write_volume(xml, state, volume),
        );
    }))
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
    let request_id = state.new_uuid("request");
    Ok(Reply::ec2("DeleteVolume", &request_id, |xml| {
        xml.text("return", true);
    }))
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
        images.push((id.clone(), image.clone()));
    }
    let request_id = state.new_uuid("request");
    Ok(Reply::ec2("DescribeImages", &request_id, |xml| {
        list(xml, "imagesSet", images, |xml, (id, point)| {
            write_image(xml, state, &id, &point);
        });
    }))
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

/// A list as EC2 writes it: each element in an `item`.
fn list<T>(
    xml: &mut Xml,
    name: &str,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Xml, T),
) {
    xml.element(name, |xml| {
        for item in items {
            xml.element("item", |xml| write(xml, item));
        }
    });
}

fn write_state(xml: &mut Xml, name: &str, state: &str) {
    let code = match state {
        "pending" => 0,
        "running" => 16,
        "shutting-down" => 32,
        "terminated" => 48,
        "stopping" => 64,
        _ => 80,
    };
    xml.element(name, |xml| {
        xml.text("code", code).text("name", state);
    });
}

fn write_tags(xml: &mut Xml, tags: &std::collections::BTreeMap<String, String>) {
    list(xml, "tagSet", tags, |xml, (key, value)| {
        xml.text("key", key).text("value", value);
    });
}

fn write_groups(xml: &mut Xml, groups: &[String]) {
    list(xml, "groupSet", groups, |xml, group| {
        xml.text("groupId", group).text("groupName", group);
    });
}

fn write_reservation(xml: &mut Xml, state: &State, instance: &Ec2Instance) {
    let number = instance.id.strip_prefix("i-").unwrap_or(&instance.id);
    xml.element("item", |xml| {
        xml.text("reservationId", format!("r-{number}"));
        xml.text("ownerId", &state.options.account);
        xml.element("groupSet", |_| ());
        list(xml, "instancesSet", [instance], |xml, instance| {
            write_instance(xml, state, instance);
        });
    });
}

fn write_instance(xml: &mut Xml, state: &State, instance: &Ec2Instance) {
    // What is terminated has no place in a network any more, and nothing attached to it.
    let is_terminated = instance.state == "terminated";
    let placed = (!is_terminated).then_some(instance);
    let mut attached: Vec<&Volume> = state
        .volumes
        .values()
        .map(|volume| &volume.volume)
        .filter(|volume| {
            let attachment = volume.attachment.as_ref();
            attachment.is_some_and(|attachment| attachment.instance_id == instance.id)
        })
        .collect();
    // The root device's name sorts first: /dev/sda1 or /dev/xvda.
    attached.sort_by_key(|volume| volume.attachment.as_ref().map(|at| &at.device));
    xml.text("instanceId", &instance.id);
    xml.text("imageId", &instance.image_id);
    write_state(xml, "instanceState", &instance.state);
    let name = private_name(state, instance);
    xml.text("privateDnsName", placed.map_or("", |_| name.as_str()));
    xml.text("dnsName", "");
    let ended = matches!(instance.state.as_str(), "shutting-down" | "terminated");
    xml.text("reason", if ended { "User initiated" } else { "" });
    xml.optional("keyName", instance.key_name.as_ref());
    xml.text("amiLaunchIndex", 0);
    xml.element("productCodes", |_| ());
    xml.text("instanceType", &instance.instance_type);
    xml.text("launchTime", millis(instance.launched_at));
    xml.element("placement", |xml| {
        xml.text("availabilityZone", zone_of(state))
            .text("groupName", "")
            .text("tenancy", "default");
    });
    xml.element("monitoring", |xml| {
        let monitoring = if instance.monitoring {
            "enabled"
        } else {
            "disabled"
        };
        xml.text("state", monitoring);
    });
    if let Some(instance) = placed {
        xml.text("subnetId", &instance.subnet_id);
        xml.text("vpcId", &instance.vpc_id);
        xml.text("privateIpAddress", instance.private_address);
        xml.optional("ipAddress", instance.public_address);
    }
    if placed.is_some() {
        xml.text("sourceDestCheck", instance.source_dest_check);
    }
    write_groups(
        xml,
        placed.map_or(&[], |instance| instance.security_groups.as_slice()),
    );
    let reason = match instance.state.as_str() {
        "shutting-down" | "terminated" => {
            Some("Client.UserInitiatedShutdown: User initiated shutdown")
        }
        "stopping" | "stopped" => {
            Some("Client.InstanceInitiatedShutdown: Instance initiated shutdown")
        }
        _ => None,
    };
    if let Some(reason) = reason {
        xml.element("stateReason", |xml| {
            let code = reason.split(':').next().unwrap_or(reason);
            xml.text("code", code).text("message", reason);
        });
    }
    xml.text("architecture", &instance.architecture);
    xml.text("rootDeviceType", "ebs");
    xml.optional(
        "rootDeviceName",
        attached
            .first()
            .and_then(|volume| volume.attachment.as_ref())
            .map(|attachment| &attachment.device),
    );
    list(xml, "blockDeviceMapping", attached, |xml, volume| {
        if let Some(attachment) = &volume.attachment {
            xml.text("deviceName", &attachment.device);
            xml.element("ebs", |xml| {
                xml.text("volumeId", &volume.id)
                    .text("status", "attached")
                    .text(
                        "attachTime",
                        millis(attachment.attached_at.unwrap_or(volume.created_at)),
                    )
                    .text("deleteOnTermination", attachment.delete_on_termination);
            });
        }
    });
    xml.text("virtualizationType", "hvm");
    xml.text("clientToken", "");
    write_tags(xml, &instance.tags);
    xml.text("hypervisor", "xen");
    xml.element("networkInterfaceSet", |xml| {
        if let Some(instance) = placed {
            xml.element("item", |xml| write_interface(xml, state, instance));
            for (index, interface) in (1..).zip(&instance.further_interfaces) {
                let further = Ec2Instance {
                    network_interface_id: interface.id.clone(),
                    subnet_id: interface.subnet_id.clone(),
                    private_address: interface.private_address,
                    security_groups: interface.security_groups.clone(),
                    public_address: None,
                    secondary_public_address: None,
                    ipv6_addresses: Vec::new(),
                    ..instance.clone()
                };
                xml.element("item", |xml| {
                    write_interface_at(xml, state, &further, index)
                });
            }
        }
    });
    if let Some(profile) = &instance.instance_profile {
        xml.element("iamInstanceProfile", |xml| {
            let account = &state.options.account;
            xml.text(
                "arn",
                format!("arn:aws:iam::{account}:instance-profile/{profile}"),
            );
            xml.text("id", "AIPAJAWS0EXAMPLE00000");
        });
    }
    xml.text("ebsOptimized", instance.ebs_optimized);
    xml.text("enaSupport", true);
    xml.element("hibernationOptions", |xml| {
        xml.text("configured", false);
    });
    xml.element("metadataOptions", |xml| {
        let tokens = if instance.requires_imds_v2 {
            "required"
        } else {
            "optional"
        };
        xml.text("state", "applied")
            .text("httpTokens", tokens)
            .text("httpPutResponseHopLimit", 1)
            .text("httpEndpoint", "enabled");
    });
}

/// `ip-10-0-0-7.eu-central-1.compute.internal`
fn private_name(state: &State, instance: &Ec2Instance) -> String {
    let address = instance.private_address.to_string().replace('.', "-");
    format!("ip-{address}.{}.compute.internal", state.options.region)
}

fn write_interface(xml: &mut Xml, state: &State, instance: &Ec2Instance) {
    write_interface_at(xml, state, instance, 0);
}

fn write_interface_at(xml: &mut Xml, state: &State, instance: &Ec2Instance, index: u32) {
    let name = private_name(state, instance);
    let association = |xml: &mut Xml, public: Option<Ipv4Addr>| {
        if let Some(address) = public {
            xml.element("association", |xml| {
                xml.text("publicIp", address)
                    .text("publicDnsName", "")
                    .text("ipOwnerId", "amazon");
            });
        }
    };
    xml.text("networkInterfaceId", &instance.network_interface_id);
    xml.text("subnetId", &instance.subnet_id);
    xml.text("vpcId", &instance.vpc_id);
    xml.text("description", "");
    xml.text("ownerId", &state.options.account);
    xml.text("status", "in-use");
    xml.text("macAddress", "02:00:00:00:00:01");
    xml.text("privateIpAddress", instance.private_address);
    xml.text("privateDnsName", &name);
    xml.text("sourceDestCheck", instance.source_dest_check);
    write_groups(xml, &instance.security_groups);
    xml.element("attachment", |xml| {
        let number = instance.network_interface_id.trim_start_matches("eni-");
        xml.text("attachmentId", format!("eni-attach-{number}"))
            .text("deviceIndex", index)
            .text("status", "attached")
            .text("attachTime", millis(instance.launched_at))
            .text("deleteOnTermination", true);
    });
    association(xml, instance.public_address);
    let second = std::net::Ipv4Addr::from(u32::from(instance.private_address) + 1);
    let addresses = [
        Some((instance.private_address, instance.public_address)),
        instance
            .secondary_public_address
            .map(|public| (second, Some(public))),
    ];
    let numbered = addresses.into_iter().flatten().enumerate();
    list(
        xml,
        "privateIpAddressesSet",
        numbered,
        |xml, (number, (private, public))| {
            xml.text("privateIpAddress", private)
                .text("privateDnsName", &name)
                .text("primary", number == 0);
            association(xml, public);
        },
    );
    list(
        xml,
        "ipv6AddressesSet",
        &instance.ipv6_addresses,
        |xml, address| {
            xml.text("ipv6Address", address);
        },
    );
    xml.text("interfaceType", "interface");
}

fn write_volume(xml: &mut Xml, state: &State, volume: &Volume) {
    xml.text("volumeId", &volume.id);
    xml.text("size", volume.size_gib);
    xml.text("snapshotId", &volume.snapshot_id);
    xml.text("availabilityZone", zone_of(state));
    xml.text("status", &volume.state);
    xml.text("createTime", millis(volume.created_at));
    list(
        xml,
        "attachmentSet",
        &volume.attachment,
        |xml, attachment| {
            xml.text("volumeId", &volume.id)
                .text("instanceId", &attachment.instance_id)
                .text("device", &attachment.device)
                .text("status", "attached")
                .text(
                    "attachTime",
                    millis(attachment.attached_at.unwrap_or(volume.created_at)),
                )
                .text("deleteOnTermination", attachment.delete_on_termination);
        },
    );
    write_tags(xml, &volume.tags);
    xml.text("volumeType", &volume.volume_type);
    xml.optional("iops", volume.iops);
    xml.optional("throughput", volume.throughput);
    xml.text("encrypted", volume.kms_key_arn.is_some());
    xml.optional("kmsKeyId", volume.kms_key_arn.as_ref());
    xml.text("multiAttachEnabled", false);
}

fn write_image(xml: &mut Xml, state: &State, id: &str, point: &RecoveryPoint) {
    let machine = point.machine.clone().unwrap_or_default();
    let (account, name) = (&state.options.account, format!("AwsBackup_{id}"));
    xml.text("imageId", id);
    xml.text("imageLocation", format!("{account}/{name}"));
    xml.text("imageState", "available");
    xml.text("imageOwnerId", account);
    xml.text(
        "creationDate",
        millis(point.completed_at.unwrap_or(point.created_at)),
    );
    xml.text("isPublic", false);
    xml.text("architecture", &machine.architecture);
    xml.text("imageType", "machine");
    xml.text("name", &name);
    xml.text("rootDeviceType", "ebs");
    xml.optional(
        "rootDeviceName",
        machine.devices.first().map(|device| &device.name),
    );
    list(
        xml,
        "blockDeviceMapping",
        &machine.devices,
        |xml, device| {
            xml.text("deviceName", &device.name);
            xml.element("ebs", |xml| {
                xml.text("snapshotId", snapshot_id(point, &device.name))
                    .text("volumeSize", device.size_gib)
                    .text("deleteOnTermination", device.delete_on_termination)
                    .text("volumeType", &device.volume_type)
                    .text("encrypted", device.encrypted);
            });
        },
    );
    xml.text("virtualizationType", "hvm");
    write_tags(xml, &point.tags);
    xml.text("hypervisor", "xen");
    xml.text("enaSupport", true);
    xml.text("platformDetails", "Linux/UNIX");
    xml.text("usageOperation", "RunInstances");
}

#[cfg(test)]
mod tests;

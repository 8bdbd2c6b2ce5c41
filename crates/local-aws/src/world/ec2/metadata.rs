//! Restore metadata of EC2: what AWS Backup gives for a recovery point, and what becomes of what it is given back.
//!
//! Sources: AWS Backup developer guide, "Restore an Amazon EC2 instance", and the error codes of the EC2 API.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::machine::Content;
use crate::world::metadata::{flag, get, json_list};
use crate::world::seed::{
    Attachment, Ec2Instance, ImageDevice, Machine, RecoveryPoint, Volume, WebBehaviour,
};
use crate::world::state::{State, hex};

use super::{PlannedMachine, image_id, ports_of, types};

/// Keys `StartRestoreJob` takes for EC2 (the developer guide's list; vpcId is for information only).
const ACCEPTED: &[&str] = &[
    "Architecture",
    "BlockDeviceMappings",
    "CapacityReservationSpecification",
    "CpuOptions",
    "CreditSpecification",
    "DisableApiTermination",
    "EbsOptimized",
    "ElasticGpuSpecification",
    "EnaSupport",
    "HibernationOptions",
    "IamInstanceProfileName",
    "InstanceInitiatedShutdownBehavior",
    "InstanceMarketOptions",
    "InstanceType",
    "KernelId",
    "KeyName",
    "LicenseSpecifications",
    "Monitoring",
    "NetworkInterfaces",
    "Placement",
    "Platform",
    "RamdiskId",
    "RequireIMDSv2",
    "RootDeviceType",
    "SecurityGroupIds",
    "SubnetId",
    "UserData",
    "VirtualizationType",
    "aws:backup:request-id",
    "vpcId",
];

/// The account's own default key for volumes: what encrypts them when encryption is asked for without a key.
const DEFAULT_KEY: &str = "key/eb500000-0000-4000-8000-000000000000";

/// A mapping as a request gives it. What AWS Backup does not know in it fails the job.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Mapping {
    device_name: String,
    #[serde(default)]
    ebs: Ebs,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
struct Ebs {
    delete_on_termination: Option<bool>,
    encrypted: Option<bool>,
    kms_key_id: Option<String>,
    volume_size: Option<u32>,
    volume_type: Option<String>,
    iops: Option<u32>,
    throughput: Option<u32>,
    snapshot_id: Option<Value>,
    outpost_arn: Option<Value>,
}

/// What GetRecoveryPointRestoreMetadata answers: the source as it was at backup time, with ids of the source
/// account and with keys that fail a restore when they are sent back.
pub(crate) fn of_recovery_point(point: &RecoveryPoint) -> BTreeMap<String, String> {
    let source = point.machine.clone().unwrap_or_default();
    let groups = json!(source.security_groups);
    let address = source.private_address.to_string();
    let interfaces = json!([{
        "AssociatePublicIpAddress": true, "DeleteOnTermination": true, "Description": "", "DeviceIndex": 0,
        "Groups": groups, "Ipv6AddressCount": 0, "Ipv6Addresses": [], "NetworkInterfaceId": "eni-0f00d0000000000cc",
        "PrivateIpAddress": address, "PrivateIpAddresses": [{ "Primary": true, "PrivateIpAddress": address }],
        "SecondaryPrivateIpAddressCount": 0, "SubnetId": source.subnet_id, "InterfaceType": "interface",
    }]);
    let mut metadata: BTreeMap<String, String> = [
        (
            "CapacityReservationSpecification",
            json!({ "CapacityReservationPreference": "open" }).to_string(),
        ),
        (
            "CpuOptions",
            json!({ "CoreCount": 1, "ThreadsPerCore": 2 }).to_string(),
        ),
        ("CreditSpecification", credits(&source).to_string()),
        (
            "DisableApiTermination",
            source.disable_api_termination.to_string(),
        ),
        ("EbsOptimized", "true".to_owned()),
        (
            "HibernationOptions",
            json!({ "Configured": false }).to_string(),
        ),
        ("InstanceInitiatedShutdownBehavior", "stop".to_owned()),
        ("InstanceType", source.instance_type),
        ("Monitoring", json!({ "State": "disabled" }).to_string()),
        ("NetworkInterfaces", interfaces.to_string()),
        (
            "Placement",
            json!({ "AvailabilityZone": "eu-central-1b", "GroupName": "", "Tenancy": "default" })
                .to_string(),
        ),
        ("RequireIMDSv2", source.requires_imds_v2.to_string()),
        ("SecurityGroupIds", groups.to_string()),
        ("SubnetId", source.subnet_id),
        ("VpcId", source.vpc_id),
        (
            "aws:backup:request-id",
            "6b8c6e0e-1f1b-4e0e-9d8a-2f7f2f0c6b12".to_owned(),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let named = [
        ("IamInstanceProfileName", source.instance_profile),
        ("KeyName", source.key_name),
    ];
    metadata.extend(
        named
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?))),
    );
    metadata
}

/// Only burstable types have credits.
fn credits(source: &Machine) -> Value {
    if source.instance_type.starts_with('t') {
        json!({ "CpuCredits": "unlimited" })
    } else {
        json!({})
    }
}

/// The machine a restore makes, or the message its job fails with.
pub(crate) fn plan(
    state: &mut State,
    point: &RecoveryPoint,
    metadata: &BTreeMap<String, String>,
) -> Result<PlannedMachine, String> {
    let Some(image) = image_id(point) else {
        return Err(format!("{} is no image", point.arn));
    };
    refuse_keys(metadata)?;
    let source = point.machine.clone().unwrap_or_default();
    let stored = point.restore_metadata.clone();
    let stored = stored.unwrap_or_else(|| of_recovery_point(point));
    let given = |key: &str| get(metadata, key).filter(|value| !value.is_empty());

    refuse_what_is_the_sources(state, metadata)?;
    let instance_profile = instance_profile(given("IamInstanceProfileName"), &stored)?;
    let security_groups = json_list(metadata, "SecurityGroupIds")?;
    // A world that plays AWS Backup only knows nothing of the network.
    let vpc_id = if state.options.ec2_endpoint.is_none() {
        check_network(state, given("SubnetId"), &security_groups)?
    } else {
        String::new()
    };
    let subnet_id = given("SubnetId").unwrap_or_default().to_owned();
    let instance_type = given("InstanceType").unwrap_or(&source.instance_type);
    types::check(
        instance_type,
        &source.architecture,
        source.boot_mode.as_deref(),
    )?;
    if !source.product_codes.is_empty() {
        // The terms of a product are accepted by account (EC2 user guide, "Paid AMIs in the AWS Marketplace").
        return Err(ec2_error(
            "In order to use this AWS Marketplace product you need to accept terms and subscribe. To do so please visit \
             https://aws.amazon.com/marketplace/pp?sku=EXAMPLE",
            "OptInRequired",
        ));
    }
    let shutdown_behaviour = given("InstanceInitiatedShutdownBehavior").unwrap_or("stop");
    if !matches!(shutdown_behaviour, "stop" | "terminate") {
        return Err(invalid_value(
            shutdown_behaviour,
            "instanceInitiatedShutdownBehavior",
        ));
    }

    let id = new_id(state, "i");
    let volumes = volumes(state, point, &source, metadata, &id)?;
    let private_address = match &source.web {
        WebBehaviour::External(address) => match address.ip() {
            IpAddr::V4(address) => address,
            IpAddr::V6(address) => {
                return Err(format!(
                    "local-aws gives machines no address like {address}"
                ));
            }
        },
        _ if state.options.ec2_endpoint.is_some() => Ipv4Addr::UNSPECIFIED,
        _ => free_address(state, &subnet_id)?,
    };
    let behaviour = &point.behaviour.instance;
    let instance = Ec2Instance {
        state: "pending".to_owned(),
        image_id: image.to_owned(),
        instance_type: instance_type.to_owned(),
        architecture: source.architecture,
        subnet_id,
        vpc_id,
        network_interface_id: new_id(state, "eni"),
        private_address,
        public_address: source.public_address,
        security_groups,
        instance_profile,
        key_name: given("KeyName").map(str::to_owned),
        requires_imds_v2: flag(metadata, "RequireIMDSv2")?.unwrap_or(source.requires_imds_v2),
        disable_api_termination: behaviour.protects_itself
            || flag(metadata, "DisableApiTermination")?.unwrap_or(false),
        shutdown_behaviour: shutdown_behaviour.to_owned(),
        monitoring: monitoring(metadata)?,
        ebs_optimized: flag(metadata, "EbsOptimized")?.unwrap_or(false),
        id,
        ..Ec2Instance::default()
    };
    Ok(PlannedMachine {
        instance,
        volumes,
        ports: ports_of(&source.web, &source.ports),
        content: Content {
            files: source.files,
            behaviour: source.web,
        },
        boot_takes: source.boot_takes,
    })
}

fn refuse_keys(metadata: &BTreeMap<String, String>) -> Result<(), String> {
    for key in metadata.keys() {
        let accepted = ACCEPTED.iter().any(|known| known.eq_ignore_ascii_case(key));
        if !accepted {
            return Err(format!(
                "Invalid restore metadata. Unsupported metadata key: {key}"
            ));
        }
    }
    Ok(())
}

/// What a backup stores and an account other than the source's cannot take.
fn refuse_what_is_the_sources(
    state: &State,
    metadata: &BTreeMap<String, String>,
) -> Result<(), String> {
    let interfaces = json_value(metadata, "NetworkInterfaces")?;
    for interface in interfaces.as_array().into_iter().flatten() {
        if let Some(id) = interface.get("NetworkInterfaceId").and_then(Value::as_str) {
            return Err(ec2_error(
                &format!("The networkInterface ID '{id}' does not exist"),
                "InvalidNetworkInterfaceID.NotFound",
            ));
        }
        if get(metadata, "SubnetId").is_some() {
            return Err(ec2_error(
                "Network interfaces and an instance-level subnet ID may not be specified on the same request",
                "InvalidParameterCombination",
            ));
        }
    }
    let cpu = json_value(metadata, "CpuOptions")?;
    if cpu.as_object().is_some_and(|cpu| !cpu.is_empty()) {
        return Err(invalid_value(&cpu.to_string(), "CpuOptions"));
    }
    let placement = json_value(metadata, "Placement")?;
    let zone = placement
        .get("AvailabilityZone")
        .and_then(Value::as_str)
        .filter(|zone| *zone != zone_of(state));
    if let Some(zone) = zone {
        return Err(ec2_error(
            &format!("Invalid availability zone: [{zone}]"),
            "InvalidParameterValue",
        ));
    }
    let reservation = json_value(metadata, "CapacityReservationSpecification")?
        .pointer("/CapacityReservationTarget/CapacityReservationId")
        .and_then(Value::as_str)
        .map(str::to_owned);
    if let Some(id) = reservation {
        return Err(ec2_error(
            &format!("The capacity reservation '{id}' does not exist."),
            "InvalidCapacityReservationId.NotFound",
        ));
    }
    let key_pair = get(metadata, "KeyName").filter(|name| !name.is_empty());
    match key_pair {
        Some(name) if state.options.ec2_endpoint.is_none() && !state.key_pairs.contains(name) => {
            Err(ec2_error(
                &format!("The key pair '{name}' does not exist"),
                "InvalidKeyPair.NotFound",
            ))
        }
        _ => Ok(()),
    }
}

/// The stored profile, or none. `UseBackedUpValue` is the word of AWS Backup's restore testing for the stored one.
fn instance_profile(
    given: Option<&str>,
    stored: &BTreeMap<String, String>,
) -> Result<Option<String>, String> {
    let stored = get(stored, "IamInstanceProfileName").filter(|name| !name.is_empty());
    match given {
        None => Ok(None),
        Some(name) if Some(name) == stored => Ok(Some(name.to_owned())),
        Some("UseBackedUpValue") if stored.is_some() => Ok(stored.map(str::to_owned)),
        // The words of a real event of a failed restore.
        Some(_) => Err(
            "AWS Backup does not permit attaching a new instance profile to an EC2 instance. Please restore using \
             the backed up instance profile."
                .to_owned(),
        ),
    }
}

/// The VPC a restore lands in.
fn check_network(
    state: &State,
    subnet: Option<&str>,
    security_groups: &[String],
) -> Result<String, String> {
    let Some(id) = subnet else {
        return Err(ec2_error(
            "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.",
            "VPCIdNotSpecified",
        ));
    };
    let Some(subnet) = state.subnets.get(id) else {
        return Err(ec2_error(
            &format!("The subnet ID '{id}' does not exist"),
            "InvalidSubnetID.NotFound",
        ));
    };
    for group in security_groups {
        match state.security_groups.get(group) {
            None => {
                return Err(ec2_error(
                    &format!("The security group '{group}' does not exist"),
                    "InvalidGroup.NotFound",
                ));
            }
            Some(found) if found.vpc_id != subnet.vpc_id => {
                return Err(ec2_error(
                    &format!(
                        "Security group {group} and subnet {id} belong to different networks."
                    ),
                    "InvalidParameter",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(subnet.vpc_id.clone())
}

/// One volume for each device of the image and for each further one that is asked for.
fn volumes(
    state: &mut State,
    point: &RecoveryPoint,
    source: &Machine,
    metadata: &BTreeMap<String, String>,
    instance_id: &str,
) -> Result<Vec<Volume>, String> {
    let mappings: Vec<Mapping> = match get(metadata, "BlockDeviceMappings") {
        None | Some("") => Vec::new(),
        Some(text) => serde_json::from_str(text).map_err(|error| {
            format!("Invalid restore metadata. BlockDeviceMappings cannot be read: {error}")
        })?,
    };
    let devices = &source.devices;
    let mut volumes = Vec::new();
    for device in devices {
        let asked = mappings
            .iter()
            .find(|mapping| mapping.device_name == device.name)
            .map(|mapping| &mapping.ebs);
        let volume = volume(state, point, Some(device), &device.name, asked)?;
        volumes.push(volume);
    }
    for mapping in &mappings {
        if !devices
            .iter()
            .any(|device| device.name == mapping.device_name)
        {
            let volume = volume(state, point, None, &mapping.device_name, Some(&mapping.ebs))?;
            volumes.push(volume);
        }
    }
    for volume in &mut volumes {
        if let Some(attachment) = &mut volume.attachment {
            attachment.instance_id = instance_id.to_owned();
            attachment.delete_on_termination &= !source.volumes_stay;
        }
    }
    Ok(volumes)
}

fn volume(
    state: &mut State,
    point: &RecoveryPoint,
    of_image: Option<&ImageDevice>,
    device: &str,
    asked: Option<&Ebs>,
) -> Result<Volume, String> {
    let unasked = Ebs::default();
    let asked = asked.unwrap_or(&unasked);
    let unsupported = [
        ("SnapshotId", &asked.snapshot_id),
        ("OutpostArn", &asked.outpost_arn),
    ];
    if let Some((name, _)) = unsupported.iter().find(|(_, value)| value.is_some()) {
        return Err(format!(
            "Invalid restore metadata. {name} is not supported in BlockDeviceMappings"
        ));
    }
    let snapshot_id = of_image.map(|device| snapshot_id(point, &device.name));
    let size_gib = match (asked.volume_size, of_image) {
        (Some(size), Some(device)) if size < device.size_gib => {
            return Err(ec2_error(
                &format!(
                    "Volume of size {size}GB is smaller than snapshot '{}', expect size >= {}GB",
                    snapshot_id.unwrap_or_default(),
                    device.size_gib
                ),
                "InvalidBlockDeviceMapping",
            ));
        }
        (Some(size), _) => size,
        (None, Some(device)) => device.size_gib,
        (None, None) => {
            return Err(ec2_error(
                "The request must contain the parameter size or snapshotId",
                "MissingParameter",
            ));
        }
    };
    let is_encrypted = of_image.is_some_and(|device| device.encrypted);
    if is_encrypted && asked.encrypted == Some(false) {
        return Err(ec2_error(
            "the encrypted flag cannot be false for a volume made from an encrypted snapshot",
            "InvalidBlockDeviceMapping",
        ));
    }
    let encrypted = is_encrypted || asked.encrypted == Some(true);
    if asked.kms_key_id.is_some() && !encrypted {
        return Err(ec2_error(
            "The parameter KmsKeyId requires the parameter Encrypted to be set.",
            "InvalidParameterDependency",
        ));
    }
    let of_snapshot = point.kms_key_arn.clone().filter(|_| is_encrypted);
    let default_key = || {
        let (region, account) = (&state.options.region, &state.options.account);
        format!("arn:aws:kms:{region}:{account}:{DEFAULT_KEY}")
    };
    let kms_key_arn = encrypted.then(|| {
        let key = asked.kms_key_id.clone().filter(|key| !key.is_empty());
        key.or(of_snapshot).unwrap_or_else(default_key)
    });
    let attachment = Attachment {
        attached_at: None,
        instance_id: String::new(),
        device: device.to_owned(),
        delete_on_termination: asked
            .delete_on_termination
            .unwrap_or_else(|| of_image.is_none_or(|device| device.delete_on_termination)),
    };
    let volume_type = asked
        .volume_type
        .clone()
        .or_else(|| of_image.map(|device| device.volume_type.clone()));
    Ok(Volume {
        id: new_id(state, "vol"),
        state: "in-use".to_owned(),
        size_gib,
        volume_type: volume_type.unwrap_or_else(|| "gp2".to_owned()),
        iops: asked.iops,
        throughput: asked.throughput,
        kms_key_arn,
        snapshot_id: snapshot_id.unwrap_or_default(),
        attachment: Some(attachment),
        ..Volume::default()
    })
}

/// The snapshot behind a device of an image. AWS gives it any id; here it follows from the two.
pub(crate) fn snapshot_id(point: &RecoveryPoint, device: &str) -> String {
    let digest = hex(&Sha256::digest(format!("{}/{device}", point.arn)));
    format!("snap-0{}", &digest[..16])
}

/// Detailed monitoring, as it is stored: `{"State":"disabled"}`.
fn monitoring(metadata: &BTreeMap<String, String>) -> Result<bool, String> {
    match json_value(metadata, "Monitoring")?.get("State") {
        None => Ok(false),
        Some(state) => match state.as_str() {
            Some("enabled") => Ok(true),
            Some("disabled") => Ok(false),
            _ => Err(invalid_value(&state.to_string(), "Monitoring")),
        },
    }
}

/// The zone of the world's subnets.
pub(crate) fn zone_of(state: &State) -> String {
    format!("{}a", state.options.region)
}

/// The next free address of a subnet. AWS keeps the first four and the last.
fn free_address(state: &State, subnet: &str) -> Result<Ipv4Addr, String> {
    let cidr = state
        .subnets
        .get(subnet)
        .map(|subnet| subnet.cidr.as_str())
        .unwrap_or_default();
    let parsed = cidr.split_once('/').and_then(|(base, bits)| {
        let bits: u32 = bits.parse().ok().filter(|bits| (16..=28).contains(bits))?;
        Some((
            u32::from(base.parse::<Ipv4Addr>().ok()?),
            1u32 << (32 - bits),
        ))
    });
    let Some((base, size)) = parsed else {
        return Err(format!(
            "local-aws cannot use {cidr:?} as a subnet's addresses"
        ));
    };
    let planned = state
        .jobs
        .iter()
        .filter(|job| !job.has_ended())
        .filter_map(|job| job.source.as_ref()?.machine.as_ref())
        .map(|planned| planned.instance.private_address);
    let taken: Vec<Ipv4Addr> = state
        .machines
        .values()
        .filter(|machine| machine.instance.state != "terminated")
        .map(|machine| machine.instance.private_address)
        .chain(planned)
        .collect();
    (4..size - 1)
        .map(|offset| Ipv4Addr::from((base & !(size - 1)) + offset))
        .find(|address| !taken.contains(address))
        .ok_or_else(|| {
            ec2_error(
                &format!("Insufficient free addresses in subnet '{subnet}'."),
                "InsufficientFreeAddressesInSubnet",
            )
        })
}

/// An id as EC2 makes them: 17 hexadecimal digits.
fn new_id(state: &mut State, prefix: &str) -> String {
    let uuid = state.new_uuid(prefix).replace('-', "");
    format!("{prefix}-0{}", &uuid[..16])
}

/// A JSON value inside a string; null when the key is not there or empty.
fn json_value(metadata: &BTreeMap<String, String>, key: &str) -> Result<Value, String> {
    match get(metadata, key) {
        None | Some("") => Ok(Value::Null),
        Some(text) => serde_json::from_str(text)
            .map_err(|_| format!("Invalid restore metadata. {key} must be JSON, not {text:?}")),
    }
}

fn invalid_value(value: &str, parameter: &str) -> String {
    ec2_error(
        &format!("Value ({value}) for parameter {parameter} is invalid."),
        "InvalidParameterValue",
    )
}

/// The way AWS Backup passes on an error of EC2.
pub(super) fn ec2_error(message: &str, code: &str) -> String {
    format!("{message} (Service: Ec2, Status Code: 400, Error Code: {code})")
}

//! Seeds of EC2: the network, machines as a backup holds them, and instances and volumes as they are.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::world::behaviour::seconds;

/// A subnet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    /// `subnet-…`.
    pub id: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its addresses, as in `10.255.0.0/26`. A machine without a server of its own gets one of them; one
    /// with a server has an address of 127.77.0.0/16 whatever this says.
    pub cidr: String,
}

/// The EC2 instance a recovery point was taken from, as it was at backup time, and what a restored one serves.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Machine {
    /// Instance type.
    pub instance_type: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// Boot mode of the image, `legacy-bios`, `uefi` or `uefi-preferred`; none: that of the instance type.
    pub boot_mode: Option<String>,
    /// Codes of the products of AWS Marketplace that it was made from, whose terms this account has not accepted.
    pub product_codes: Vec<String>,
    /// The image's devices, the root device first.
    pub devices: Vec<ImageDevice>,
    /// Name of its instance profile, which a restore may attach again; no other.
    pub instance_profile: Option<String>,
    /// Key pair of the source, which need not exist in this account.
    pub key_name: Option<String>,
    /// VPC of the source: it does not exist in the backup account.
    pub vpc_id: String,
    /// Subnet of the source: it does not exist in the backup account.
    pub subnet_id: String,
    /// Security groups of the source: they do not exist in the backup account.
    pub security_groups: Vec<String>,
    /// Address of the source.
    pub private_address: Ipv4Addr,
    /// Termination protection of the source. A restore does not inherit it: only `DisableApiTermination` of the
    /// request sets it.
    pub disable_api_termination: bool,
    /// Whether the source's metadata service wants tokens (IMDSv2).
    pub requires_imds_v2: bool,
    /// The volumes of a restored machine outlive it whatever the restore asked for, as when somebody changes that
    /// of an attached volume.
    pub volumes_stay: bool,
    /// Public address that a restored machine gets; nothing listens there.
    pub public_address: Option<Ipv4Addr>,
    /// The ports a restored machine serves HTTP on. With none, and without an external server, the machine exists
    /// in the API only.
    pub ports: Vec<u16>,
    /// What it serves: path (`/index.html`) → content. A path that ends with `/` means its `index.html`.
    pub files: BTreeMap<String, String>,
    /// From `running` to the first good answer, by the world's clock: for the first two thirds connections are
    /// refused, then every answer is 503. In JSON: seconds.
    #[serde(deserialize_with = "seconds")]
    pub boot_takes: Duration,
    /// How it answers.
    pub web: WebBehaviour,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine {
            instance_type: "m5.large".to_owned(),
            architecture: "x86_64".to_owned(),
            boot_mode: None,
            product_codes: Vec::new(),
            devices: vec![ImageDevice::default()],
            instance_profile: Some("shop-production".to_owned()),
            key_name: Some("operations".to_owned()),
            vpc_id: "vpc-0f00d0000000000aa".to_owned(),
            subnet_id: "subnet-0f00d0000000000aa".to_owned(),
            security_groups: vec!["sg-0f00d0000000000bb".to_owned()],
            private_address: Ipv4Addr::new(10, 20, 3, 17),
            disable_api_termination: false,
            requires_imds_v2: false,
            volumes_stay: false,
            public_address: None,
            ports: Vec::new(),
            files: BTreeMap::new(),
            boot_takes: Duration::ZERO,
            web: WebBehaviour::default(),
        }
    }
}

/// How a restored machine answers requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebBehaviour {
    /// With its files.
    #[default]
    Files,
    /// Every request is sent elsewhere (302).
    RedirectTo(String),
    /// It is a server that somebody else runs: its address is the machine's, and none is started.
    External(SocketAddr),
}

/// A device of an image.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageDevice {
    /// Device name.
    pub name: String,
    /// Whether the volume goes with the machine, unless a restore says otherwise.
    pub delete_on_termination: bool,
    /// Whether its snapshot is encrypted, which is then by the recovery point's key.
    pub encrypted: bool,
    /// Size in GiB.
    pub size_gib: u32,
    /// `gp2`, `gp3`, `io1`, …
    pub volume_type: String,
}

impl Default for ImageDevice {
    fn default() -> ImageDevice {
        ImageDevice {
            name: "/dev/xvda".to_owned(),
            delete_on_termination: true,
            encrypted: true,
            size_gib: 8,
            volume_type: "gp3".to_owned(),
        }
    }
}

/// An EC2 instance, both to seed (somebody else's) and to inspect.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ec2Instance {
    /// `i-…`.
    pub id: String,
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping`, `stopped`.
    pub state: String,
    /// `LaunchTime`.
    pub launched_at: Timestamp,
    /// Image.
    pub image_id: String,
    /// Instance type.
    pub instance_type: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// Subnet.
    pub subnet_id: String,
    /// VPC.
    pub vpc_id: String,
    /// Its first network interface, `eni-…`.
    pub network_interface_id: String,
    /// Its further network interfaces.
    pub further_interfaces: Vec<NetworkInterface>,
    /// Private address.
    pub private_address: Ipv4Addr,
    /// Public address.
    pub public_address: Option<Ipv4Addr>,
    /// Public address of a secondary private address.
    pub secondary_public_address: Option<Ipv4Addr>,
    /// IPv6 addresses of its first network interface.
    pub ipv6_addresses: Vec<Ipv6Addr>,
    /// Whether it takes only what is sent to or by itself.
    pub source_dest_check: bool,
    /// Security group ids.
    pub security_groups: Vec<String>,
    /// Name of its instance profile.
    pub instance_profile: Option<String>,
    /// Key pair.
    pub key_name: Option<String>,
    /// Whether its metadata service wants tokens (IMDSv2).
    pub requires_imds_v2: bool,
    /// Termination protection.
    pub disable_api_termination: bool,
    /// `stop` or `terminate`.
    pub shutdown_behaviour: String,
    /// Detailed monitoring.
    pub monitoring: bool,
    /// EBS-optimized.
    pub ebs_optimized: bool,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl Default for Ec2Instance {
    fn default() -> Ec2Instance {
        let source = Machine::default();
        Ec2Instance {
            id: String::new(),
            state: "running".to_owned(),
            launched_at: Timestamp::UNIX_EPOCH,
            image_id: "ami-0f00d0000000000aa".to_owned(),
            instance_type: source.instance_type,
            architecture: source.architecture,
            subnet_id: source.subnet_id,
            vpc_id: source.vpc_id,
            network_interface_id: "eni-0f00d0000000000aa".to_owned(),
            further_interfaces: Vec::new(),
            private_address: source.private_address,
            public_address: None,
            secondary_public_address: None,
            ipv6_addresses: Vec::new(),
            source_dest_check: true,
            security_groups: source.security_groups,
            instance_profile: None,
            key_name: None,
            requires_imds_v2: false,
            disable_api_termination: false,
            shutdown_behaviour: "stop".to_owned(),
            monitoring: false,
            ebs_optimized: false,
            tags: BTreeMap::new(),
        }
    }
}

/// A network interface beside the first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkInterface {
    /// `eni-…`.
    pub id: String,
    /// Subnet.
    pub subnet_id: String,
    /// Private address.
    pub private_address: Ipv4Addr,
    /// Security group ids.
    pub security_groups: Vec<String>,
}

/// An EBS volume, both to seed (somebody else's) and to inspect.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Volume {
    /// `vol-…`.
    pub id: String,
    /// `creating`, `available`, `in-use`, `deleting`, `error`.
    pub state: String,
    /// `CreateTime`.
    pub created_at: Timestamp,
    /// Size in GiB.
    pub size_gib: u32,
    /// `gp2`, `gp3`, `io1`, …
    pub volume_type: String,
    /// Provisioned operations per second, where they were asked for.
    pub iops: Option<u32>,
    /// Provisioned MiB per second, where they were asked for.
    pub throughput: Option<u32>,
    /// ARN of the key that encrypts it; `None`: not encrypted.
    pub kms_key_arn: Option<String>,
    /// Snapshot it was made from; empty: none.
    pub snapshot_id: String,
    /// How it is attached.
    pub attachment: Option<Attachment>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl Default for Volume {
    fn default() -> Volume {
        Volume {
            id: String::new(),
            state: "available".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            size_gib: 8,
            volume_type: "gp3".to_owned(),
            iops: None,
            throughput: None,
            kms_key_arn: None,
            snapshot_id: String::new(),
            attachment: None,
            tags: BTreeMap::new(),
        }
    }
}

/// A volume's place at an instance.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// `i-…`.
    pub instance_id: String,
    /// Device name.
    pub device: String,
    /// Whether the instance's termination deletes it.
    pub delete_on_termination: bool,
    /// When it was attached; `None`: when it was created.
    #[serde(default)]
    pub attached_at: Option<Timestamp>,
}

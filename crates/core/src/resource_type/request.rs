//! A restore request while it is planned.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::TypeKeys;

/// Where restores go: the isolated network of the stack.
#[derive(Clone, Debug)]
pub struct Network {
    /// Name of the DB subnet group.
    pub db_subnet_group: String,
    /// Ids of the security groups of restored databases; at least one.
    pub db_security_groups: Vec<String>,
    /// Id of the subnet of restored machines.
    pub machine_subnet: String,
    /// Ids of the security groups of restored machines; at least one.
    pub machine_security_groups: Vec<String>,
    /// Key that encrypts the volumes of restored machines; none for that of their snapshots.
    pub volume_key_arn: Option<String>,
}

/// What is known of a recovery point before its restore is planned.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Its restore metadata, as AWS Backup keeps it.
    pub metadata: BTreeMap<String, String>,
    /// What is known of the image of an EC2 instance; nothing of other types.
    pub image: Image,
    /// What EC2 says of the instance type that the rule asks for; none if the rule asks for none, or EC2 was not asked.
    pub chosen_type: Option<InstanceType>,
}

/// What EC2 says of an image (EC2 API reference, `Image`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Names of its block devices, for example `/dev/xvda`.
    pub devices: Vec<String>,
    /// `x86_64`, `arm64`, …
    pub architecture: Option<String>,
    /// `legacy-bios`, `uefi` or `uefi-preferred`; none if the instance type's default will do.
    pub boot_mode: Option<String>,
    /// Codes of the products of AWS Marketplace that it was made from.
    pub product_codes: Vec<String>,
}

/// What EC2 says of an instance type (EC2 API reference, `InstanceTypeInfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceType {
    /// Its name, for example `t3.small`.
    pub name: String,
    /// Whether EC2 knows it in this Region.
    pub exists: bool,
    /// The architectures it has; empty if EC2 does not say.
    pub architectures: Vec<String>,
    /// The boot modes it has, `legacy-bios` and `uefi`; empty if EC2 does not say.
    pub boot_modes: Vec<String>,
}

impl Source {
    /// What the backup says of a key; none if nothing.
    pub fn said(&self, key: &str) -> Option<&str> {
        look_up(&self.metadata, key).filter(|value| is_set(value))
    }
}

/// One key of a restore request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedKey {
    /// The value sent to AWS Backup; none when the key of the backup is left out.
    pub value: Option<String>,
    /// Why it is what it is.
    pub reason: &'static str,
}

/// A restore request while it is planned: what it is made of, and its keys so far.
#[derive(Debug)]
pub struct Request<'a> {
    /// What is known of the recovery point.
    pub source: &'a Source,
    /// What the rule that decides about it says with keys of the type.
    pub types: &'a TypeKeys,
    /// The rule's `restore` table: restore metadata that replaces what the backup says.
    pub overrides: &'a BTreeMap<String, String>,
    /// Whether the rule's checks log in by a token of IAM.
    pub logs_in_by_iam: bool,
    /// Whether it is of a recovery by hand: what that restores is to stay, unlike our copy.
    pub is_recovery: bool,
    /// Where it goes.
    pub network: &'a Network,
    /// The day it is, in UTC.
    pub today: Date,
    /// Every key that was looked at, those that are left out among them.
    pub keys: BTreeMap<String, PlannedKey>,
    /// What people are to be told of the restore, in words.
    pub findings: Vec<String>,
    /// Whether the source had a parameter group of its own that the copy does not get.
    pub settings_differ: bool,
    /// Why the rule leaves this backup out, by a key of the type; none if it does not.
    pub left_out: Option<String>,
}

impl<'a> Request<'a> {
    /// What the backup says of a key; empty if nothing.
    pub fn said(&self, key: &str) -> &'a str {
        self.source.said(key).unwrap_or_default()
    }

    /// What the rule's `restore` table asks of a key.
    pub fn asked(&self, key: &str) -> Option<&'a str> {
        look_up(self.overrides, key)
    }

    /// What the request says of a key so far; `key` is written as AWS Backup documents it.
    pub fn says(&self, key: &str) -> Option<&str> {
        self.keys.get(key)?.value.as_deref()
    }

    /// Sets a key, or leaves it out.
    pub fn set(&mut self, key: &str, value: Option<&str>, reason: &'static str) {
        let value = value.map(str::to_owned);
        self.keys
            .insert(key.to_owned(), PlannedKey { value, reason });
    }
}

/// Whether a value of restore metadata says anything: AWS Backup stores what is not set as empty text, `null`, or an
/// empty object or list.
pub fn is_set(value: &str) -> bool {
    !matches!(value, "" | "null" | "{}" | "[]")
}

/// The value of a key, whose case AWS Backup does not keep everywhere.
fn look_up<'m>(map: &'m BTreeMap<String, String>, wanted: &str) -> Option<&'m str> {
    let mut all = map.iter();
    all.find_map(|(key, value)| key.eq_ignore_ascii_case(wanted).then_some(value.as_str()))
}

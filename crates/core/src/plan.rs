//! From restore metadata to restore request, with a reason for every key.

mod rds;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::policy::Rule;

/// A resource type that is validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceType {
    /// An RDS DB instance.
    #[serde(rename = "RDS")]
    Rds,
}

impl ResourceType {
    /// From AWS Backup's name; none for types that are not validated yet. Events append `.FullyManaged` to
    /// some names.
    pub fn from_name(name: &str) -> Option<ResourceType> {
        match name {
            "RDS" => Some(ResourceType::Rds),
            _ => None,
        }
    }

    /// AWS Backup's name.
    pub fn name(self) -> &'static str {
        match self {
            ResourceType::Rds => "RDS",
        }
    }
}

/// Where restores go: the isolated network of the stack.
#[derive(Clone, Debug)]
pub struct Network {
    /// Name of the DB subnet group.
    pub db_subnet_group: String,
    /// Ids of the security groups of restored databases; at least one.
    pub db_security_groups: Vec<String>,
}

/// One key of a restore request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedKey {
    /// The value sent to AWS Backup; none when the key of the backup is left out.
    pub value: Option<String>,
    /// Why it is what it is.
    pub reason: &'static str,
}

/// What is sent to AWS Backup and why, by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Every key that was looked at, those that are left out among them.
    pub keys: BTreeMap<String, PlannedKey>,
}

impl Plan {
    /// The metadata of the restore request.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.keys
            .iter()
            .filter_map(|(key, planned)| Some((key.clone(), planned.value.clone()?)))
            .collect()
    }
}

/// Plans a restore: the allowed keys of the backup, then our network, then the rule's overrides, and the
/// target's name and the keys of safety last, so that nothing can undo them.
pub fn plan(
    resource_type: ResourceType,
    stored: &BTreeMap<String, String>,
    rule: &Rule,
    network: &Network,
    target_name: &str,
) -> Plan {
    match resource_type {
        ResourceType::Rds => rds::plan(stored, rule, network, target_name),
    }
}

/// The key of the restore metadata that names what is restored.
pub fn name_key(resource_type: ResourceType) -> &'static str {
    match resource_type {
        ResourceType::Rds => rds::NAME_KEY,
    }
}

/// What speaks against an override of restore metadata in a policy; none when it is fine.
///
/// Safety is not negotiable: an override that would make a restored copy public, protect it from deletion,
/// name it or take it out of the isolated network is a mistake of the policy.
pub fn override_problem(key: &str, value: &str) -> Option<String> {
    rds::override_problem(key, value)
}

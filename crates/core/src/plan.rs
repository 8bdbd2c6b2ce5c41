//! From restore metadata to restore request, with a reason for every key.

mod ec2;
mod rds;

use std::collections::BTreeMap;

pub(crate) use ec2::instance_type_problem;

use crate::ownership::Mark;
use crate::policy::Rule;
use crate::resource_type::{MarkedBy, ResourceType};

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
    /// Names of the block devices of a machine's image, for example `/dev/xvda`; empty for other types.
    pub devices: Vec<String>,
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
    /// What AWS is known to refuse of the policy's overrides for this very backup; none if nothing. It names no value
    /// of the backup but its storage type.
    pub problem: Option<String>,
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
    source: &Source,
    rule: &Rule,
    network: &Network,
    target_name: &str,
) -> Plan {
    match resource_type {
        ResourceType::Rds => rds::plan(&source.metadata, rule, network, target_name),
        ResourceType::Ec2 => ec2::plan(source, rule, network),
    }
}

/// By what a restored resource is known as the one that was planned.
pub fn mark(resource_type: ResourceType, network: &Network, target_name: &str) -> Mark {
    match resource_type.facts().marked_by {
        MarkedBy::Name => Mark::Name(target_name.to_owned()),
        MarkedBy::Subnet => Mark::Subnet(network.machine_subnet.clone()),
    }
}

/// The keys of a restore job's metadata by which it is recognised as the one an intent has started.
pub fn recognised_by(resource_type: ResourceType) -> &'static [&'static str] {
    match resource_type {
        ResourceType::Rds => &[rds::NAME_KEY],
        ResourceType::Ec2 => &ec2::NETWORK_KEYS,
    }
}

/// What speaks against an override of restore metadata in a policy; none when it is fine. Without a resource
/// type, the key must be one of any type and forbidden for none.
///
/// Safety is not negotiable: an override that would make a restored copy public, protect it from deletion,
/// name it or take it out of the isolated network is a mistake of the policy.
pub fn override_problem(
    resource_type: Option<ResourceType>,
    key: &str,
    value: &str,
) -> Option<String> {
    let types = match resource_type {
        Some(ResourceType::Rds) => &[ResourceType::Rds][..],
        Some(ResourceType::Ec2) => &[ResourceType::Ec2],
        None => &[ResourceType::Rds, ResourceType::Ec2],
    };
    if let Some((name, reason)) = types.iter().find_map(|one| {
        let forbidden = forbidden(*one);
        forbidden
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
    }) {
        return Some(format!("{name} cannot be overridden: {reason}"));
    }
    let known = types.iter().find_map(|one| {
        let name = overridable(*one)
            .iter()
            .find(|name| name.eq_ignore_ascii_case(key))?;
        Some((*one, *name))
    });
    match known {
        Some((_, name)) if value.is_empty() => Some(format!("{name} is empty")),
        Some((ResourceType::Rds, name)) => rds::value_problem(name, value),
        Some((ResourceType::Ec2, name)) => ec2::value_problem(name, value),
        None => {
            let names: Vec<&str> = types
                .iter()
                .flat_map(|one| overridable(*one))
                .copied()
                .collect();
            let of: Vec<&str> = types.iter().map(|one| one.name()).collect();
            Some(format!(
                "unknown restore metadata {key:?} of {}; known are {}",
                of.join(" and "),
                names.join(", ")
            ))
        }
    }
}

fn overridable(resource_type: ResourceType) -> &'static [&'static str] {
    match resource_type {
        ResourceType::Rds => &rds::OVERRIDABLE,
        ResourceType::Ec2 => &ec2::OVERRIDABLE,
    }
}

/// Keys that are safety's, with the reason why no policy may set them.
fn forbidden(resource_type: ResourceType) -> &'static [(&'static str, &'static str)] {
    match resource_type {
        ResourceType::Rds => &rds::FORBIDDEN,
        ResourceType::Ec2 => &ec2::FORBIDDEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [(&str, ResourceType); 2] =
        [("RDS", ResourceType::Rds), ("EC2", ResourceType::Ec2)];

    #[test]
    fn types_are_called_what_aws_backup_calls_them() {
        for (name, resource_type) in TYPES {
            assert_eq!(ResourceType::from_name(name), Some(resource_type));
            assert_eq!(resource_type.name(), name);
            assert_eq!(serde_json::json!(resource_type), name);
        }
        for other in ["", "rds", "Aurora", "EBS", "S3.FullyManaged"] {
            assert_eq!(ResourceType::from_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_restore_is_recognised_by_what_is_ours_alone() {
        let network = Network {
            db_subnet_group: "isolated".to_owned(),
            db_security_groups: vec!["sg-db".to_owned()],
            machine_subnet: "subnet-1".to_owned(),
            machine_security_groups: vec!["sg-1".to_owned()],
            volume_key_arn: None,
        };
        let mark = |resource_type| mark(resource_type, &network, "rp-1-1");
        assert_eq!(mark(ResourceType::Rds), Mark::Name("rp-1-1".to_owned()));
        assert_eq!(mark(ResourceType::Ec2), Mark::Subnet("subnet-1".to_owned()));
        assert_eq!(recognised_by(ResourceType::Rds), ["DBInstanceIdentifier"]);
        assert_eq!(
            recognised_by(ResourceType::Ec2),
            ["SubnetId", "SecurityGroupIds"]
        );
        // No policy can make another restore look like ours, or ours like another.
        for (_, resource_type) in TYPES {
            for key in recognised_by(resource_type) {
                let told = override_problem(Some(resource_type), key, "x").unwrap_or_default();
                assert!(told.contains("cannot be overridden"), "{key}: {told}");
            }
        }
    }

    #[test]
    fn without_a_type_a_key_must_be_one_of_any_and_forbidden_for_none() {
        let problem = |key: &str, value: &str| override_problem(None, key, value);
        assert_eq!(problem("Port", "5433"), None);
        assert_eq!(problem("InstanceType", "t3.small"), None);
        assert!(problem("SubnetId", "x").is_some());
        assert!(problem("MultiAZ", "true").is_some());
        let told = problem("Prot", "1").unwrap_or_default();
        assert!(
            told.starts_with("unknown restore metadata \"Prot\" of RDS and EC2; known are "),
            "{told}"
        );
        assert!(
            told.contains("DBInstanceClass") && told.ends_with("InstanceType"),
            "{told}"
        );
    }
}

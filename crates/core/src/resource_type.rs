//! The resource types that are validated, and what there is to know of each: one value for each type, in a file of its
//! own. Whatever lists types is derived from [`ResourceType::ALL`].

mod ec2;
mod rds;
mod request;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::arn::Arn;

pub(crate) use ec2::instance_type_problem;
pub(crate) use request::is_set;
pub use request::{Network, PlannedKey, Request, Source};

/// A resource type that is validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ResourceType {
    /// An EC2 instance.
    #[serde(rename = "EC2")]
    Ec2,
    /// An RDS DB instance.
    #[serde(rename = "RDS")]
    Rds,
}

impl ResourceType {
    /// Every type, by its name.
    pub const ALL: [ResourceType; 2] = [ResourceType::Ec2, ResourceType::Rds];

    /// What there is to know of it.
    pub fn facts(self) -> &'static Facts {
        match self {
            ResourceType::Ec2 => &ec2::FACTS,
            ResourceType::Rds => &rds::FACTS,
        }
    }

    /// From AWS Backup's name; none for types that are not validated yet.
    pub fn from_name(name: &str) -> Option<ResourceType> {
        let mut all = ResourceType::ALL.into_iter();
        all.find(|one| one.name() == name)
    }

    /// AWS Backup's name.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The name or id in the ARN of what a restore of this type made; none for the ARN of something else.
    pub fn created_name(self, arn: &str) -> Option<String> {
        let arn: Arn = arn.parse().ok()?;
        let shape = &self.facts().created;
        if arn.service != shape.service {
            return None;
        }
        let name = match shape.kind {
            None => Some(arn.resource.as_str()),
            Some(kind) => {
                let (is, name) = arn.resource.split_once(['/', ':'])?;
                (is == kind).then_some(name)
            }
        };
        name.filter(|name| !name.is_empty()).map(str::to_owned)
    }
}

/// What there is to know of a resource type.
#[derive(Debug)]
pub struct Facts {
    /// AWS Backup's name, for example `RDS`.
    pub name: &'static str,
    /// What people read, for example `database`.
    pub noun: &'static str,
    /// The ARN of what its restore makes.
    pub created: ArnShape,
    /// By what its restore is known as the one that was planned.
    pub marked_by: MarkedBy,
    /// What is deleted first, where it has parts.
    pub deletion: DeletionOrder,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What its restore request is made of.
    pub keys: Keys,
}

/// A key of restore metadata with the reason for what is done with it.
pub type Reason = (&'static str, &'static str);

/// The keys of a type's restore metadata, named as AWS Backup documents them; their case does not matter.
#[derive(Debug)]
pub struct Keys {
    /// Names the restored resource, with the reason; none where a restore takes no name.
    pub name: Option<Reason>,
    /// Says how large the source was; none where the type has no such key.
    pub class: Option<&'static str>,
    /// By which a restore job is recognised as the one that an intent has started. No policy can set them.
    pub recognised_by: &'static [&'static str],
    /// Taken over from the backup where it sets them. All others are left out.
    pub from_backup: &'static [Reason],
    /// Left out for a reason of their own.
    pub left_out: &'static [Reason],
    /// Why all others are left out.
    pub others_left_out: &'static str,
    /// What a policy may override, each with what speaks against a value that is not empty.
    pub overridable: &'static [(&'static str, ValueProblem)],
    /// What no policy may set, with the reason: most are safety's.
    pub forbidden: &'static [Reason],
    /// What tables cannot say: decides about keys that depend on others. Returns what AWS is known to refuse of the
    /// policy's overrides for this very backup.
    pub settle: fn(&mut Request<'_>) -> Option<String>,
    /// Where the restore goes, with the reason.
    pub network: &'static [(&'static str, fn(&Network) -> String, &'static str)],
    /// Set last, over everything else: key, value and reason.
    pub safety: &'static [(&'static str, &'static str, &'static str)],
}

/// What speaks against a value of a key that a policy may override; none if nothing. The key comes first.
pub type ValueProblem = fn(&str, &str) -> Option<String>;

/// Nothing speaks against any value.
fn anything(_: &str, _: &str) -> Option<String> {
    None
}

/// The ARNs of one kind of thing.
#[derive(Debug)]
pub struct ArnShape {
    /// Its service, for example `rds`.
    pub service: &'static str,
    /// What stands before its name, for example `db`; none where the name stands alone, as in `arn:aws:s3:::name`.
    pub kind: Option<&'static str>,
}

/// By what a restored resource is known as the one that was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkedBy {
    /// The name that we gave it.
    Name,
    /// The isolated subnet: its restore takes no name.
    Subnet,
}

/// What is deleted first of a resource and its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionOrder {
    /// The parts: the whole cannot be deleted while one of them is there.
    PartsFirst,
    /// The whole: it holds its parts as long as it is there.
    WholeFirst,
}

/// How long things may take of a resource type.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// A restore, from its intent.
    pub restored: SignedDuration,
    /// To be ready for checks, from our seeing the end of the restore.
    pub ready: SignedDuration,
    /// A deletion without progress, until what is left counts as left behind.
    pub without_progress: SignedDuration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_called_what_aws_backup_calls_them() {
        for (name, resource_type) in [("EC2", ResourceType::Ec2), ("RDS", ResourceType::Rds)] {
            assert_eq!(ResourceType::from_name(name), Some(resource_type));
            assert_eq!(resource_type.name(), name);
        }
        for one in ResourceType::ALL {
            assert_eq!(serde_json::json!(one), one.name());
        }
        for other in ["", "rds", "EBS", "S3.FullyManaged"] {
            assert_eq!(ResourceType::from_name(other), None, "{other}");
        }
        let names = ResourceType::ALL.map(ResourceType::name);
        assert!(names.is_sorted(), "{names:?}");
    }
}

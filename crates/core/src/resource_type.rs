//! The resource types that are validated, and what there is to know of each: one value for each type, in a file of its
//! own. Whatever lists types is derived from [`ResourceType::ALL`].

mod aurora;
mod ec2;
mod rds;
mod recovery;
mod request;

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::arn::Arn;
use crate::keys::Table;
use crate::reader::{Item, Section};

pub use aurora::{AuroraKeys, SERVERLESS};
pub use ec2::{Ec2Keys, InstanceProfile, LONGEST_BOOT_TIMEOUT};
pub use rds::RdsKeys;
pub(crate) use recovery::requested;
pub use recovery::{Afterwards, Decision, Recovery, RecoveryFacts, RequestedKey};
pub(crate) use request::is_set;
pub use request::{Image, InstanceType, Network, PlannedKey, Request, Source};

/// A resource type that is validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ResourceType {
    /// An Aurora cluster.
    Aurora,
    /// An EC2 instance.
    #[serde(rename = "EC2")]
    Ec2,
    /// An RDS DB instance.
    #[serde(rename = "RDS")]
    Rds,
}

impl ResourceType {
    /// Every type, by its name.
    pub const ALL: [ResourceType; 3] = [ResourceType::Aurora, ResourceType::Ec2, ResourceType::Rds];

    /// What there is to know of it.
    pub fn facts(self) -> &'static Facts {
        match self {
            ResourceType::Aurora => &aurora::FACTS,
            ResourceType::Ec2 => &ec2::FACTS,
            ResourceType::Rds => &rds::FACTS,
        }
    }

    /// AWS Backup's names of all of them.
    pub fn names() -> [&'static str; ResourceType::ALL.len()] {
        ResourceType::ALL.map(ResourceType::name)
    }

    /// The type of a recovery point, from AWS Backup's name of its type and the recovery point's ARN.
    ///
    /// # Errors
    /// Why it is not validated, as a sentence for its record.
    pub fn of(name: &str, recovery_point_arn: &str) -> Result<ResourceType, String> {
        let Some(resource_type) = ResourceType::from_name(name) else {
            let other = OTHERS.iter().find(|(other, _)| *other == name);
            let why = other.map_or("", |(_, why)| why);
            return Err(format!(
                "resources of type {name} are not validated by this version{why}"
            ));
        };
        let arn: Option<Arn> = recovery_point_arn.parse().ok();
        let resource = arn.map(|arn| arn.resource).unwrap_or_default();
        let mut others = resource_type.facts().not_this.iter();
        match others.find(|(beginning, _)| resource.starts_with(beginning)) {
            Some((_, what)) => Err(format!("{what} are not validated by this version")),
            None => Ok(resource_type),
        }
    }

    /// From AWS Backup's name; none for types that are not validated yet. [`ResourceType::of`] says why.
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

/// AWS Backup's names of the resource types that it restores and that are not validated yet, each with what more there
/// is to say of it.
///
/// Source: AWS Backup developer guide, "Restoring a backup", and the `ResourceType` values of the service's API.
const OTHERS: &[(&str, &str)] = &[
    (
        "CloudFormation",
        ": each resource of the stack has a recovery point of its own",
    ),
    ("DSQL", ""),
    (
        "DocumentDB",
        ": a restored DocumentDB cluster has no instance, and it speaks MongoDB's protocol, for which there is no check",
    ),
    ("DynamoDB", ""),
    ("EBS", ""),
    ("EFS", ""),
    ("EKS", ""),
    ("FSx", ""),
    (
        "Neptune",
        ": a restored Neptune cluster has no instance, and there is no check that speaks a graph's query language",
    ),
    ("Redshift", ""),
    ("S3", ""),
    ("SAP HANA on Amazon EC2", ""),
    ("Storage Gateway", ""),
    ("Timestream", ""),
    ("VirtualMachine", ""),
];

/// AWS Backup's names of all resource types that it restores, sorted.
pub fn known_names() -> Vec<&'static str> {
    let others = OTHERS.iter().map(|(name, _)| *name);
    let mut names: Vec<&str> = ResourceType::names().into_iter().chain(others).collect();
    names.sort_unstable();
    names
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
    /// Whether a restore is billed by the size of what it restores, so that another attempt costs as much as the first.
    pub restore_billed_by_size: bool,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What its restore request is made of.
    pub keys: Keys,
    /// What a recovery by hand takes of a restore that was proved.
    pub recovery: RecoveryFacts,
    /// The keys of a rule that it alone has.
    pub(crate) rule_keys: RuleKeys,
    /// What fits it of checks and of what they need.
    pub fits: Fits,
    /// Recovery points that AWS Backup calls so, and that are something else: how their ARN's resource begins, and what
    /// they are.
    pub not_this: &'static [Reason],
}

/// The keys of a rule that one type alone has: a table in the rule.
#[derive(Debug)]
pub(crate) struct RuleKeys {
    /// Name of the table, for example `rds`.
    pub(crate) name: &'static str,
    /// Its keys.
    pub(crate) table: &'static Table,
    /// Reads the table.
    pub(crate) read: fn(&Item<'_>, &mut TypeKeys) -> Option<()>,
    /// The key of the table that asks for a class, and the key of restore metadata that asks for the same, if there
    /// is one.
    pub(crate) class: (&'static str, Option<&'static str>),
    /// The class that a restore ends up with; none if neither rule nor backup names one.
    pub(crate) chosen_class: fn(&Request<'_>) -> Option<String>,
    /// What the table says, for people.
    pub(crate) told: fn(&TypeKeys) -> Vec<Told>,
}

/// What a rule says, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it is about, in a word.
    pub label: &'static str,
    /// What it says.
    pub words: String,
    /// Whether it weakens something that holds else.
    pub is_warning: bool,
}

/// What rules say with keys that one type alone has, by type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TypeKeys {
    /// Of Aurora clusters.
    pub aurora: AuroraKeys,
    /// Of EC2 instances.
    pub ec2: Ec2Keys,
    /// Of RDS DB instances.
    pub rds: RdsKeys,
}

impl TypeKeys {
    /// Reads the types' tables of a rule, which is about one type, by AWS Backup's name, or about any.
    pub(crate) fn read(rule: &mut Section<'_>, about: Option<&str>) -> Option<TypeKeys> {
        let mut keys = TypeKeys::default();
        let mut all_read = true;
        for one in ResourceType::ALL {
            let facts = one.facts();
            let Some(item) = rule.optional(facts.rule_keys.name) else {
                continue;
            };
            if let Some(about) = about.filter(|about| *about != facts.name) {
                item.mistake(format!(
                    "holds keys of {}, and this rule is about {about}",
                    facts.name
                ));
            }
            all_read &= (facts.rule_keys.read)(&item, &mut keys).is_some();
        }
        all_read.then_some(keys)
    }

    /// How long what was restored may take to boot, from the end of the restore: until then a check that does not pass
    /// says nothing and is tried again. None for types that do not boot.
    pub fn boot_timeout(&self, resource_type: ResourceType) -> Option<Duration> {
        (resource_type.facts().fits.boots)(self)
    }

    /// What a rule says with the keys of a type, for people.
    pub fn told(&self, resource_type: ResourceType) -> Vec<Told> {
        (resource_type.facts().rule_keys.told)(self)
    }
}

/// Whether something fits a type; if not, why, and what to write instead.
pub type Fit = Result<(), &'static str>;

/// What fits a type of checks, and of what they need.
#[derive(Debug)]
pub struct Fits {
    /// Checks of kind `sql`.
    pub sql: Fit,
    /// Checks of kind `http`.
    pub http: Fit,
    /// Checks of kind `connect`.
    pub connect: Fit,
    /// A `connect` check without a port: there is one that everybody knows of.
    pub no_port: bool,
    /// A public address.
    pub public_address: Fit,
    /// Credentials.
    pub credentials: Fit,
    /// How long it may take to boot; none where it does not boot.
    pub boots: fn(&TypeKeys) -> Option<Duration>,
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
    pub network: &'static [(&'static str, OfNetwork, &'static str)],
    /// Set last, over everything else: key, value and reason.
    pub safety: &'static [(&'static str, &'static str, &'static str)],
}

/// The value of a key that says where a restore goes.
pub type OfNetwork = fn(&Network) -> String;

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
        for (name, resource_type) in [
            ("Aurora", ResourceType::Aurora),
            ("EC2", ResourceType::Ec2),
            ("RDS", ResourceType::Rds),
        ] {
            assert_eq!(ResourceType::from_name(name), Some(resource_type));
            assert_eq!(resource_type.name(), name);
        }
        for one in ResourceType::ALL {
            assert_eq!(serde_json::json!(one), one.name());
        }
        for other in ["", "rds", "EBS", "S3.FullyManaged"] {
            assert_eq!(ResourceType::from_name(other), None, "{other}");
        }
        let names = ResourceType::names();
        assert!(names.is_sorted(), "{names:?}");
        let known = known_names();
        assert!(known.is_sorted_by(|a, b| a < b), "named twice: {known:?}");
    }

    #[test]
    fn what_is_not_validated_says_why() {
        let of = |name: &str, resource: &str| {
            let arn = format!("arn:aws:rds:eu-central-1:111122223333:{resource}");
            ResourceType::of(name, &arn)
        };
        assert_eq!(of("RDS", "snapshot:awsbackup:job-1"), Ok(ResourceType::Rds));
        assert_eq!(
            ResourceType::of("EC2", "arn:aws:ec2:eu-central-1::image/ami-1"),
            Ok(ResourceType::Ec2)
        );
        let why = |name: &str, resource: &str| of(name, resource).expect_err("not validated");
        let told = why("RDS", "cluster-snapshot:awsbackup:copyjob-1");
        assert!(told.starts_with("Multi-AZ DB clusters "), "{told}");
        for name in ["DocumentDB", "Neptune"] {
            let told = why(name, "cluster-snapshot:awsbackup:job-1");
            let start = format!(
                "resources of type {name} are not validated by this version: a restored {name} cluster"
            );
            assert!(told.starts_with(&start), "{told}");
        }
        for name in ["EFS", "Something New"] {
            let told = format!("resources of type {name} are not validated by this version");
            assert_eq!(why(name, ""), told);
        }
    }
}

//! From restore metadata to restore request, with a reason for every key. The facts of each type say which keys there
//! are ([`crate::resource_type`]); here is how they are walked.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::ownership::Mark;
use crate::policy::{Credentials, Limits, Rule};
use crate::resource_type::{
    Facts, MarkedBy, Reason, Request, ResourceType, TypeKeys, is_set, requested,
};

pub use crate::resource_type::{Image, InstanceType, Network, PlannedKey, RequestedKey, Source};

/// What is sent to AWS Backup and why, by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Every key that was looked at, those that are left out among them.
    pub keys: BTreeMap<String, PlannedKey>,
    /// What AWS is known to refuse of what the rule asks for with this very backup, or what the policy's limits do not
    /// allow, with the rule's name; none if nothing.
    pub problem: Option<String>,
    /// Why the rule leaves this backup out; none if it does not.
    pub left_out: Option<String>,
    /// What people are to be told of the restore, in words: what it does not take over of the source, and what it costs.
    pub findings: Vec<String>,
    /// Whether the source had a parameter group of its own that the copy does not get.
    pub settings_differ: bool,
    /// What a recovery by hand is to use in place of each key, should this restore be proved.
    pub recovery: Vec<RequestedKey>,
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

/// Plans a restore: the allowed keys of the backup, then the rule's overrides, then what depends on them, and our
/// network, the keys of safety and the target's name last, so that nothing can undo them. `today` is the day in UTC.
pub fn plan(
    resource_type: ResourceType,
    source: &Source,
    rule: &Rule,
    limits: &Limits,
    network: &Network,
    target_name: &str,
    today: Date,
) -> Plan {
    let request = Request {
        source,
        types: &rule.types,
        overrides: &rule.restore,
        logs_in_by_iam: matches!(rule.login(), Some(Credentials::Iam(_))),
        is_recovery: false,
        network,
        today,
        keys: BTreeMap::new(),
        findings: Vec::new(),
        settings_differ: false,
        left_out: None,
    };
    let (request, problem) = filled(resource_type, request, target_name);
    let class = (resource_type.facts().rule_keys.chosen_class)(&request);
    let problem = problem.or_else(|| class_problem(class.as_deref(), limits));
    let problem = problem.map(|problem| format!("rule {:?}: {problem}", rule.name));
    let plain = plain(resource_type, source, today);
    let facts = &resource_type.facts().recovery;
    Plan {
        recovery: requested(facts, source, &request.keys, &plain),
        keys: request.keys,
        problem,
        left_out: request.left_out,
        findings: request.findings,
        settings_differ: request.settings_differ,
    }
}

/// The keys of the request as a rule without wishes has them, with nothing of our network in them.
fn plain(
    resource_type: ResourceType,
    source: &Source,
    today: Date,
) -> BTreeMap<String, PlannedKey> {
    let source = Source {
        chosen_type: None,
        ..source.clone()
    };
    let nobodys = Network {
        db_subnet_group: String::new(),
        db_security_groups: Vec::new(),
        machine_subnet: String::new(),
        machine_security_groups: Vec::new(),
        volume_key_arn: Some("<ARN of the KMS key of its volumes>".to_owned()),
    };
    let request = Request {
        source: &source,
        types: &TypeKeys::default(),
        overrides: &BTreeMap::new(),
        logs_in_by_iam: false,
        is_recovery: true,
        network: &nobodys,
        today,
        keys: BTreeMap::new(),
        findings: Vec::new(),
        settings_differ: false,
        left_out: None,
    };
    filled(resource_type, request, "").0.keys
}

/// Fills a request. Returns it with what AWS is known to refuse of it.
fn filled<'a>(
    resource_type: ResourceType,
    mut request: Request<'a>,
    target_name: &str,
) -> (Request<'a>, Option<String>) {
    let facts = &resource_type.facts().keys;
    let (source, network) = (request.source, request.network);
    for (key, value) in &source.metadata {
        match (find(facts.from_backup, key), find(facts.left_out, key)) {
            (Some((name, reason)), _) if is_set(value) => request.set(name, Some(value), reason),
            (Some((name, _)), _) => request.set(name, None, "not set in the backup"),
            (None, Some((name, reason))) => request.set(name, None, reason),
            (None, None) => request.set(key, None, facts.others_left_out),
        }
    }
    // The policy was refused if it held any other key; this keeps a request safe even so.
    for (name, _) in facts.overridable {
        if let Some(value) = request.asked(name) {
            request.set(name, Some(value), "the policy's override");
        }
    }
    let problem = (facts.settle)(&mut request);
    for (name, value, reason) in facts.network {
        request.set(name, Some(&value(network)), reason);
    }
    for (name, value, reason) in facts.safety {
        request.set(name, Some(value), reason);
    }
    if let Some((name, reason)) = facts.name {
        request.set(name, Some(target_name), reason);
    }
    (request, problem)
}

/// What the policy's limits say against the class that a restore ends up with.
fn class_problem(class: Option<&str>, limits: &Limits) -> Option<String> {
    let (problem, choice) = match class {
        Some(class) if limits.allows_class(class) => return None,
        None if limits.classes_allowed.is_empty() => return None,
        Some(class) => (limits.disallowed(class), "or allow this one"),
        None => (
            "the backup names no class, and the policy has classes_allowed".to_owned(),
            "or take the limit away",
        ),
    };
    Some(format!(
        "{problem}. Let the rule ask for an allowed class, {choice}"
    ))
}

/// A key in a table; its case does not matter.
fn find(table: &'static [Reason], key: &str) -> Option<Reason> {
    let mut all = table.iter().copied();
    all.find(|(name, _)| name.eq_ignore_ascii_case(key))
}

/// By what a restored resource is known as the one that was planned.
pub fn mark(resource_type: ResourceType, network: &Network, target_name: &str) -> Mark {
    match resource_type.facts().marked_by {
        MarkedBy::Name => Mark::Name(target_name.to_owned()),
        MarkedBy::Subnet => Mark::Subnet(network.machine_subnet.clone()),
    }
}

/// The instance class or type that the source had; none if the backup does not say.
pub fn source_class(resource_type: ResourceType, source: &Source) -> Option<String> {
    let key = resource_type.facts().keys.class?;
    source.said(key).map(str::to_owned)
}

/// The keys of a restore job's metadata by which it is recognised as the one an intent has started.
pub fn recognised_by(resource_type: ResourceType) -> &'static [&'static str] {
    resource_type.facts().keys.recognised_by
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
    let all = ResourceType::ALL;
    let types = resource_type
        .as_ref()
        .map_or(&all[..], std::slice::from_ref);
    let facts = || types.iter().map(|one| one.facts());
    if let Some((name, reason)) = facts().find_map(|facts| find(facts.keys.forbidden, key)) {
        return Some(format!("{name} cannot be overridden: {reason}"));
    }
    let overridable = |facts: &'static Facts| facts.keys.overridable.iter();
    let known = facts()
        .flat_map(overridable)
        .find(|(name, _)| name.eq_ignore_ascii_case(key));
    match known {
        Some((name, _)) if value.is_empty() => Some(format!("{name} is empty")),
        Some((name, problem)) => problem(name, value),
        None => {
            let names: BTreeSet<&str> = facts()
                .flat_map(overridable)
                .map(|(name, _)| *name)
                .collect();
            let names: Vec<&str> = names.into_iter().collect();
            let of: Vec<&str> = types.iter().map(|one| one.name()).collect();
            Some(format!(
                "unknown restore metadata {key:?} of {}; known are {}",
                of.join(", "),
                names.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(mark(ResourceType::Aurora), Mark::Name("rp-1-1".to_owned()));
        assert_eq!(mark(ResourceType::Ec2), Mark::Subnet("subnet-1".to_owned()));
        assert_eq!(recognised_by(ResourceType::Rds), ["DBInstanceIdentifier"]);
        assert_eq!(
            recognised_by(ResourceType::Ec2),
            ["SubnetId", "SecurityGroupIds"]
        );
        // No policy can make another restore look like ours, or ours like another.
        for resource_type in ResourceType::ALL {
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
            told.starts_with("unknown restore metadata \"Prot\" of Aurora, EC2, RDS; known are "),
            "{told}"
        );
        assert!(
            told.contains("DBInstanceClass") && told.contains("InstanceType"),
            "{told}"
        );
    }

    #[test]
    fn a_backups_class_that_is_not_allowed_is_not_restored() {
        let policy = crate::policy::parse(
            "version = \"1\"\n[limits]\nclasses_allowed = [\"db.t4g.*\", \"t3.small\"]\n\
             [[rules]]\nname = \"r\"\nmatch = {}\nfrequency = \"daily\"\n",
        );
        let policy = policy.expect("a policy");
        let network = Network {
            db_subnet_group: "isolated".to_owned(),
            db_security_groups: vec!["sg-db".to_owned()],
            machine_subnet: "subnet-1".to_owned(),
            machine_security_groups: vec!["sg-1".to_owned()],
            volume_key_arn: None,
        };
        let problem = |resource_type, limits: &Limits, class: Option<(&str, &str)>| {
            let metadata = class.map(|(key, class)| (key.to_owned(), class.to_owned()));
            let source = Source {
                metadata: metadata.into_iter().collect(),
                ..Source::default()
            };
            let rule = &policy.rules[0];
            let today = jiff::civil::date(2026, 11, 28);
            plan(
                resource_type,
                &source,
                rule,
                limits,
                &network,
                "rp-1-1",
                today,
            )
            .problem
        };
        let (rds, ec2) = (ResourceType::Rds, ResourceType::Ec2);
        let fine = [
            (rds, "DBInstanceClass", "db.t4g.micro"),
            (ec2, "InstanceType", "t3.small"),
        ];
        for (resource_type, key, class) in fine {
            assert_eq!(
                problem(resource_type, &policy.limits, Some((key, class))),
                None
            );
        }
        let large = Some(("dbInstanceClass", "db.r6g.4xlarge"));
        assert_eq!(problem(rds, &Limits::default(), large), None);
        assert_eq!(problem(rds, &Limits::default(), None), None);
        let told = problem(rds, &policy.limits, large).unwrap_or_default();
        assert_eq!(
            told,
            "rule \"r\": the class db.r6g.4xlarge is none of the policy's classes_allowed, db.t4g.*, t3.small. \
             Let the rule ask for an allowed class, or allow this one"
        );
        let told = problem(ec2, &policy.limits, None).unwrap_or_default();
        assert!(told.contains("the backup names no class"), "{told}");
    }
}

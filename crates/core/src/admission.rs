//! Whether a recovery point is restored, by which rule, and if not, why.
//!
//! The function asks [`admit`] when a recovery point has landed, `policy explain` when a person wants to know beforehand.
//! What only the function can know is not decided here: whether AWS Backup still has the recovery point, whether another
//! copy is the one of the day or week, how long it has waited, and how full the month is.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::arn::Arn;
use crate::policy::{Policy, Rule, Sample, readable_size};
use crate::resource_type::ResourceType;
use crate::validation::{is_continuous, is_kept_by_aws_backup};

pub use rules::{Asked, Condition};

/// What of a stack's configuration decides. None is not known.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a> {
    /// The account that it validates (12 digits).
    pub account: Option<&'a str>,
    /// The Region that it validates.
    pub region: Option<&'a str>,
    /// The types that it has permissions for: its parameter `Types`.
    pub types: &'a BTreeSet<ResourceType>,
}

/// What is known of a recovery point. None is not known; what AWS was asked for and does not tell is empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candidate<'a> {
    /// Id of its validation.
    pub validation_id: Option<&'a str>,
    /// Its ARN.
    pub arn: Option<&'a str>,
    /// ARN of the vault it lies in.
    pub vault_arn: Option<&'a str>,
    /// Name of the vault it lies in.
    pub vault_name: Option<&'a str>,
    /// AWS Backup's name of the resource type, for example `RDS`.
    pub resource_type: Option<&'a str>,
    /// ARN of the resource that was backed up. Its account is the source's account.
    pub source_arn: Option<&'a str>,
    /// Its tags.
    pub tags: Option<&'a BTreeMap<String, String>>,
    /// How large it is.
    pub size: Size,
}

impl Candidate<'_> {
    /// Account of the resource that was backed up; empty if its ARN names none.
    pub fn account(&self) -> Option<String> {
        let arn = self.source_arn?.parse::<Arn>();
        Some(arn.map(|arn| arn.account).unwrap_or_default())
    }
}

/// How large a recovery point is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// Nobody has asked.
    #[default]
    Unknown,
    /// AWS Backup does not tell. It is not too large.
    NotTold,
    /// So many bytes.
    Bytes(u64),
}

impl Size {
    /// What AWS Backup answered.
    pub fn told(bytes: Option<u64>) -> Size {
        bytes.map_or(Size::NotTold, Size::Bytes)
    }
}

/// What the stack and the policy make of a recovery point.
#[derive(Debug)]
pub struct Admission<'p> {
    /// The rules in their order, as far as they were asked.
    pub asked: Vec<Asked<'p>>,
    /// The rule that decides, with its place in the policy, from 0; none if none does, or none was asked.
    pub rule: Option<(usize, &'p Rule)>,
    /// What comes of it.
    pub decision: Decision,
}

/// Whether a recovery point is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is restored as this type, as the rule says.
    Restored(ResourceType),
    /// It is not: the record says `not_tested`, and why.
    NotTested(Reason),
    /// That depends on these facts, which are not known.
    Undecided(Vec<Fact>),
}

/// A fact that a decision depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The recovery point's ARN.
    Arn,
    /// AWS Backup's name of the resource type.
    ResourceType,
    /// ARN of the resource that was backed up.
    SourceArn,
    /// Account of the resource that was backed up.
    Account,
    /// Name of the vault.
    Vault,
    /// The value of the tag of this key.
    Tag(String),
    /// How large it is.
    Size,
    /// Id of the validation, which is a hash of name prefix, vault and recovery point.
    ValidationId,
}

impl Fact {
    /// Its name: the key of a rule's `match` that asks for it, where there is one.
    pub fn name(&self) -> String {
        match self {
            Fact::Arn => "recovery_point".to_owned(),
            Fact::ResourceType => "resource_type".to_owned(),
            Fact::SourceArn => "source_arn".to_owned(),
            Fact::Account => "account".to_owned(),
            Fact::Vault => "vault".to_owned(),
            Fact::Tag(key) => format!("tags.{key}"),
            Fact::Size => "size".to_owned(),
            Fact::ValidationId => "validation_id".to_owned(),
        }
    }
}

/// Why a recovery point is not tested. Its words stand in the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its vault lies in another account or Region than the stack.
    Elsewhere {
        /// Account and Region of the vault.
        vault: (String, String),
        /// Account and Region of the stack; empty what is not known.
        stack: (String, String),
    },
    /// A continuous backup.
    Continuous,
    /// AWS Backup does not tell its type.
    TypeNotTold,
    /// This version restores no resource of its type. In words.
    TypeNotValidated(String),
    /// The stack has no permissions for its type.
    TypeNotInStack,
    /// AWS Backup calls it by the name of a type, and it is something else, such as a Multi-AZ DB cluster. In words.
    NotThatType(String),
    /// AWS Backup keeps it itself.
    KeptByAwsBackup,
    /// No rule of the policy matches it.
    NoRule,
    /// The rule that matches restores nothing.
    RuleRestoresNothing,
    /// It is larger than the policy allows.
    TooLarge {
        /// Its size, bytes.
        size: u64,
        /// The policy's `largest_size`, bytes.
        largest: u64,
    },
    /// The rule's sample does not draw it.
    NotDrawn(Sample),
}

impl Reason {
    /// Whether the rule left it out on purpose: that is what samples are for.
    pub fn is_by_rule(&self) -> bool {
        match self {
            Reason::NotDrawn(_) => true,
            Reason::Elsewhere { .. }
            | Reason::Continuous
            | Reason::TypeNotInStack
            | Reason::NoRule
            | Reason::RuleRestoresNothing
            | Reason::TypeNotTold
            | Reason::TypeNotValidated(_)
            | Reason::NotThatType(_)
            | Reason::KeptByAwsBackup
            | Reason::TooLarge { .. } => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Elsewhere { vault, stack } => write!(
                formatter,
                "it lies in account {} and Region {}; this function validates account {} in {}, and reads no vault \
                 that another account shares, such as a logically air-gapped one",
                vault.0, vault.1, stack.0, stack.1
            ),
            Reason::Continuous => formatter.write_str(
                "a continuous backup is restored to a point in time, which this version does not do",
            ),
            Reason::TypeNotInStack => formatter
                .write_str("the stack's parameter Types does not name this resource type"),
            Reason::NoRule => formatter.write_str("no rule of the policy matches"),
            Reason::RuleRestoresNothing => formatter.write_str("the rule restores nothing"),
            Reason::TypeNotTold => {
                formatter.write_str("AWS Backup does not tell the type of the resource")
            }
            Reason::TypeNotValidated(words) | Reason::NotThatType(words) => {
                formatter.write_str(words)
            }
            Reason::KeptByAwsBackup => formatter.write_str(
                "AWS Backup keeps it itself, as in a logically air-gapped vault; this version restores from snapshots and images",
            ),
            Reason::TooLarge { size, largest } => write!(
                formatter,
                "the recovery point has {size} bytes ({}), and the policy restores none above its largest_size, {}",
                readable_size(*size),
                readable_size(*largest)
            ),
            Reason::NotDrawn(sample) => write!(
                formatter,
                "not drawn: the rule's sample is {sample} of the recovery points it matches"
            ),
        }
    }
}

/// Why a recovery point is not restored, whatever the policy says; none if the policy decides, or too little is known.
pub fn without_policy(stack: &Stack<'_>, candidate: &Candidate<'_>) -> Option<Reason> {
    let arn = candidate.arn.unwrap_or_default();
    if let Some(elsewhere) = elsewhere(stack, candidate) {
        return Some(elsewhere);
    }
    if is_continuous(arn) {
        return Some(Reason::Continuous);
    }
    let name = candidate.resource_type?;
    if name.is_empty() {
        return Some(Reason::TypeNotTold);
    }
    let Some(named) = ResourceType::from_name(name) else {
        let why = ResourceType::of(name, arn).err().unwrap_or_default();
        return Some(Reason::TypeNotValidated(why));
    };
    if !stack.types.contains(&named) {
        return Some(Reason::TypeNotInStack);
    }
    if let Err(why) = ResourceType::of(name, arn) {
        return Some(Reason::NotThatType(why));
    }
    is_kept_by_aws_backup(arn).then_some(Reason::KeptByAwsBackup)
}

/// That its vault lies in another account or Region than the stack; none if it does not, or where is not known.
pub fn elsewhere(stack: &Stack<'_>, candidate: &Candidate<'_>) -> Option<Reason> {
    let vault: Arn = candidate.vault_arn?.parse().ok()?;
    let other = |is: &str, wanted: Option<&str>| wanted.is_some_and(|wanted| wanted != is);
    let is_elsewhere = other(&vault.account, stack.account) || other(&vault.region, stack.region);
    is_elsewhere.then(|| Reason::Elsewhere {
        vault: (vault.account, vault.region),
        stack: (
            stack.account.unwrap_or_default().to_owned(),
            stack.region.unwrap_or_default().to_owned(),
        ),
    })
}

/// Whether a recovery point is restored, and why not. It is undecided only as long as something is not known that matters.
pub fn admit<'p>(
    stack: &Stack<'_>,
    candidate: &Candidate<'_>,
    policy: &'p Policy,
) -> Admission<'p> {
    if let Some(reason) = without_policy(stack, candidate) {
        return Admission {
            asked: Vec::new(),
            rule: None,
            decision: Decision::NotTested(reason),
        };
    }
    let asked = rules::ask(policy, candidate);
    let (rule, decision) = match rules::answer(&asked) {
        Err(open) => (None, Decision::Undecided(open)),
        Ok(None) => (None, Decision::NotTested(Reason::NoRule)),
        Ok(Some((index, rule))) => {
            let decision = by_rule(candidate, policy, rule);
            (Some((index, rule)), decision)
        }
    };
    Admission {
        asked,
        rule,
        decision,
    }
}

/// What comes of the rule that decides.
fn by_rule(candidate: &Candidate<'_>, policy: &Policy, rule: &Rule) -> Decision {
    match admitted_by_rule(candidate, policy, rule) {
        Ok(resource_type) => Decision::Restored(resource_type),
        Err(decision) => decision,
    }
}

fn admitted_by_rule(
    candidate: &Candidate<'_>,
    policy: &Policy,
    rule: &Rule,
) -> Result<ResourceType, Decision> {
    let not_tested = |reason| Err(Decision::NotTested(reason));
    let open = |fact| Decision::Undecided(vec![fact]);
    if rule.frequency().is_none() {
        return not_tested(Reason::RuleRestoresNothing);
    }
    let resource_type = candidate.resource_type.and_then(ResourceType::from_name);
    let resource_type = resource_type.ok_or_else(|| open(Fact::ResourceType))?;
    if candidate.arn.is_none() {
        return Err(open(Fact::Arn));
    }
    match (policy.limits.largest_size, candidate.size) {
        (None, _) | (Some(_), Size::NotTold) => {}
        (Some(_), Size::Unknown) => return Err(open(Fact::Size)),
        (Some(largest), Size::Bytes(size)) if size > largest => {
            return not_tested(Reason::TooLarge { size, largest });
        }
        (Some(_), Size::Bytes(_)) => {}
    }
    if let Some(sample) = rule.sample {
        let id = candidate
            .validation_id
            .ok_or_else(|| open(Fact::ValidationId))?;
        if !sample.draws(id) {
            return not_tested(Reason::NotDrawn(sample));
        }
    }
    Ok(resource_type)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::policy;

    const VAULT: &str = "arn:aws:backup:eu-central-1:111122223333:backup-vault:central";
    const SNAPSHOT: &str = "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-1";
    const ID: &str = "0123456789abcdef";

    /// What a stack of RDS and EC2 makes of it by this policy.
    fn decision(candidate: &Candidate<'_>, policy: &str) -> Decision {
        let policy = policy::parse(&format!("version = \"1\"\n{policy}")).unwrap();
        let stack = Stack {
            account: Some("111122223333"),
            region: Some("eu-central-1"),
            types: &BTreeSet::from([ResourceType::Rds, ResourceType::Ec2]),
        };
        admit(&stack, candidate, &policy).decision
    }

    fn rule(more: &str) -> String {
        format!("[[rules]]\nname = \"all\"\nmatch = {{}}\nfrequency = \"daily\"\n{more}")
    }

    fn untested(candidate: &Candidate<'_>, policy: &str) -> Reason {
        match decision(candidate, policy) {
            Decision::NotTested(reason) => reason,
            other => panic!("{other:?} of {candidate:?}"),
        }
    }

    /// A database of which all is known.
    fn database<'a>(tags: &'a BTreeMap<String, String>) -> Candidate<'a> {
        Candidate {
            validation_id: Some(ID),
            arn: Some(SNAPSHOT),
            vault_arn: Some(VAULT),
            vault_name: Some("central"),
            resource_type: Some("RDS"),
            source_arn: Some("arn:aws:rds:eu-central-1:222233334444:db:orders"),
            tags: Some(tags),
            size: Size::Bytes(1 << 30),
        }
    }

    #[test]
    fn what_is_not_tested_has_its_reason() {
        let tags = BTreeMap::new();
        let known = database(&tags);
        let all = rule("");
        let own = "arn:aws:backup:eu-central-1:111122223333:recovery-point";
        let continuous = format!("{own}:continuous:db-1a2b");
        let kept = format!("{own}:44444444-2222-3333-4444-555555555555");
        let cluster = SNAPSHOT.replace(":snapshot:", ":cluster-snapshot:");
        let shared = VAULT.replace("111122223333", "333344445555");
        let dublin = VAULT.replace("eu-central-1", "eu-west-1");
        for (candidate, words) in [
            (
                Candidate {
                    vault_arn: Some(&shared),
                    ..known
                },
                "it lies in account 333344445555 and Region eu-central-1; this function validates account 111122223333 \
                 in eu-central-1",
            ),
            (
                Candidate {
                    vault_arn: Some(&dublin),
                    ..known
                },
                "and Region eu-west-1;",
            ),
            (
                Candidate {
                    arn: Some(&continuous),
                    ..known
                },
                "a continuous backup is",
            ),
            (
                Candidate {
                    resource_type: Some("Aurora"),
                    ..known
                },
                "the stack's parameter Types",
            ),
            (
                Candidate {
                    resource_type: Some(""),
                    ..known
                },
                "does not tell the type",
            ),
            (
                Candidate {
                    resource_type: Some("EFS"),
                    arn: Some(&kept),
                    ..known
                },
                "type EFS",
            ),
            (
                Candidate {
                    arn: Some(&cluster),
                    ..known
                },
                "Multi-AZ DB clusters",
            ),
            (
                Candidate {
                    arn: Some(&kept),
                    ..known
                },
                "AWS Backup keeps it itself",
            ),
        ] {
            let told = untested(&candidate, &all).to_string();
            assert!(told.contains(words), "{told}");
        }
        assert_eq!(
            decision(&known, &all),
            Decision::Restored(ResourceType::Rds)
        );
        let other = all.replace("{}", "{ resource_type = \"EC2\" }");
        assert_eq!(untested(&known, &other), Reason::NoRule);
    }

    /// A limit keeps it from being tested, drawn or not; a size that AWS Backup does not tell is not too large.
    #[test]
    fn what_is_too_large_or_not_drawn_is_left_out() {
        let tags = BTreeMap::new();
        let known = database(&tags);
        let policy = format!(
            "[limits]\nlargest_size = \"500 GiB\"\n{}",
            rule("sample = \"50%\"")
        );
        let sample: Sample = "50%".parse().unwrap();
        let ids: Vec<String> = (0..64).map(|number| format!("{number:020x}")).collect();
        let drawn = ids.iter().find(|id| sample.draws(id)).unwrap();
        let other = ids.iter().find(|id| !sample.draws(id)).unwrap();
        for id in [drawn, other] {
            let size = Size::Bytes((500 << 30) + 1);
            let large = Candidate {
                size,
                validation_id: Some(id),
                ..known
            };
            let reason = untested(&large, &policy);
            assert!(!reason.is_by_rule());
            assert!(
                reason.to_string().contains("largest_size, 500 GiB"),
                "{reason}"
            );
        }
        for size in [Size::Bytes(500 << 30), Size::NotTold] {
            let one = |id| Candidate {
                size,
                validation_id: Some(id),
                ..known
            };
            assert_eq!(
                decision(&one(drawn), &policy),
                Decision::Restored(ResourceType::Rds)
            );
            assert_eq!(untested(&one(other), &policy), Reason::NotDrawn(sample));
        }
        assert!(Reason::NotDrawn(sample).is_by_rule());
    }

    #[test]
    fn what_is_not_known_leaves_open_what_depends_on_it_alone() {
        let tags = BTreeMap::new();
        let known = database(&tags);
        let undecided = |candidate: &Candidate<'_>, policy: &str| match decision(candidate, policy)
        {
            Decision::Undecided(facts) => facts.iter().map(Fact::name).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let all = rule("");
        let tagged = all.replace("{}", "{ tags = { env = \"prod\" } }");
        let large = format!("[limits]\nlargest_size = \"500 GiB\"\n{all}");
        let unknown = |open: &[&str], candidate: Candidate<'_>, policy: &str| {
            assert_eq!(undecided(&candidate, policy), open);
        };
        unknown(
            &["tags.env"],
            Candidate {
                tags: None,
                ..known
            },
            &tagged,
        );
        unknown(
            &["resource_type"],
            Candidate {
                resource_type: None,
                ..known
            },
            &all,
        );
        unknown(&["recovery_point"], Candidate { arn: None, ..known }, &all);
        unknown(
            &["size"],
            Candidate {
                size: Size::Unknown,
                ..known
            },
            &large,
        );
        let sampled = rule("sample = \"50%\"");
        unknown(
            &["validation_id"],
            Candidate {
                validation_id: None,
                ..known
            },
            &sampled,
        );
        // Nothing of that matters to a continuous backup, nor to a type that nobody restores.
        let continuous = "arn:aws:backup:eu-central-1:111122223333:recovery-point:continuous:db-1";
        let only = Candidate {
            arn: Some(continuous),
            ..Candidate::default()
        };
        assert_eq!(untested(&only, &tagged), Reason::Continuous);
        let only = Candidate {
            resource_type: Some("EFS"),
            ..Candidate::default()
        };
        assert!(matches!(untested(&only, &all), Reason::TypeNotValidated(_)));
    }
}

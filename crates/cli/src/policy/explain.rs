//! `restore-proof policy explain`: what a policy makes of an event, and why.

#[cfg(test)]
mod agreement;
mod point;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use restore_proof_core::admission::{self, Admission, Decision, Reason, Stack};
use restore_proof_core::event;
use restore_proof_core::name;
use restore_proof_core::plan::{self, Image, Network, Plan, Source};
use restore_proof_core::policy::{Limits, Policy, Rule, parse_size};
use restore_proof_core::resource_type::ResourceType;
use serde_json::Value;

use crate::exit::{self, Problem};
use crate::output;
use point::{About, Point};

/// Options of `policy explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES, after_long_help = concat_help())]
pub(crate) struct Args {
    /// The policy file (TOML)
    #[arg(value_name = "FILE")]
    policy: PathBuf,
    /// The event (JSON): a copy or backup job event of EventBridge, a vault notification, or
    /// {"validate": …}; `-` reads standard input
    #[arg(long, value_name = "EVENT.json")]
    event: PathBuf,
    /// A tag of the recovery point; may be repeated. Given once, those given are all it has
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// The recovery point has no tags
    #[arg(long, conflicts_with = "tags")]
    no_tags: bool,
    /// AWS Backup's name of the resource type, for example RDS
    #[arg(long, value_name = "TYPE")]
    resource_type: Option<String>,
    /// ARN of the resource that was backed up
    #[arg(long, value_name = "ARN")]
    source_arn: Option<String>,
    /// Name of the vault it lies in
    #[arg(long, value_name = "NAME")]
    vault: Option<String>,
    /// How large it is, such as "20 GiB", or a number of bytes
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size: Option<u64>,
    /// The recovery point's restore metadata (JSON): what `aws backup
    /// get-recovery-point-restore-metadata` prints, or its RestoreMetadata alone
    #[arg(long, value_name = "METADATA.json")]
    metadata: Option<PathBuf>,
    /// A block device of a machine's image, for example /dev/xvda; may be repeated
    #[arg(long = "device", value_name = "NAME")]
    devices: Vec<String>,
    /// The stack's parameter NamePrefix
    #[arg(long, value_name = "WORD", default_value = "restore-proof")]
    name_prefix: String,
    /// The account the stack lies in; else that of the recovery point's ARN, or of its vault
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// The Region the stack lies in; else likewise
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The stack's parameter Types
    #[arg(long, value_name = "TYPES", value_delimiter = ',', default_values = ResourceType::names(), value_parser = stack_type)]
    types: Vec<ResourceType>,
    /// The stack's DB subnet group
    #[arg(
        long,
        value_name = "NAME",
        default_value = "<isolated DB subnet group>"
    )]
    db_subnet_group: String,
    /// The stack's subnet of restored machines
    #[arg(long, value_name = "ID", default_value = "<isolated subnet>")]
    subnet: String,
    /// The stack's security group of what is restored
    #[arg(long, value_name = "ID", default_value = "<isolated security group>")]
    security_group: String,
    /// The stack's parameter VolumeKeyArn
    #[arg(long, value_name = "ARN")]
    volume_key: Option<String>,
}

fn concat_help() -> String {
    format!(
        "An event tells a part of what rules ask for; the function looks the rest up, here it can be given. Rules whose \
         conditions cannot be told are named.\n\n{}\nHere: 0 explained, 2 unusable, 3 the event does not tell enough to decide.",
        exit::CODES
    )
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    text.parse().or_else(|_| parse_size(text))
}

fn stack_type(name: &str) -> Result<ResourceType, String> {
    let names = ResourceType::names().join(", ");
    ResourceType::from_name(name).ok_or_else(|| format!("Types may name {names}"))
}

/// All that is to be said.
struct Explanation<'p> {
    policy: &'p Policy,
    about: About,
    /// What is known of the recovery point, when the event is about one.
    point: Point,
    /// What the stack and the policy make of it; none when no policy decides about the event.
    admission: Option<Admission<'p>>,
    /// The restore, when there would be one.
    restore: Option<Restore>,
}

impl<'p> Explanation<'p> {
    /// The rule that decides.
    fn rule(&self) -> Option<&'p Rule> {
        Some(self.admission.as_ref()?.rule?.1)
    }

    /// Why nothing is restored; none when something is, or it cannot be told.
    fn left_out(&self) -> Option<&Reason> {
        match &self.admission.as_ref()?.decision {
            Decision::NotTested(reason) => Some(reason),
            Decision::Restored(_) | Decision::Undecided(_) => None,
        }
    }
}

/// The restore that would be asked for.
struct Restore {
    resource_type: ResourceType,
    target_name: String,
    plan: Plan,
    /// Whether the recovery point's restore metadata was given.
    metadata_given: bool,
    /// Whether the rule asks for an instance type, which EC2 is to be asked about.
    asks_for_type: bool,
    /// Whether its devices are still to be looked up.
    devices_unknown: bool,
    subnet: String,
    db_subnet_group: String,
}

/// Explains what the policy makes of the event.
///
/// # Errors
/// When a file cannot be used or the output cannot be written.
pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let policy = super::load(&args.policy)?;
    let payload = read_json(&args.event, "event")?;
    let (about, mut point) = point::of(&event::read(&payload));
    let metadata = match &args.metadata {
        Some(file) => Some(metadata(file, &mut point)?),
        None => None,
    };
    let explanation = explain(args, &policy, about, point, metadata);
    if json {
        output::say_json(&show::document(&explanation)?)?;
    } else {
        output::say(&show::text(&explanation))?;
    }
    let decision = explanation.admission.as_ref().map(|one| &one.decision);
    Ok(ExitCode::from(match decision {
        Some(Decision::Undecided(_)) => exit::CANNOT_TELL,
        Some(Decision::Restored(_) | Decision::NotTested(_)) | None => exit::FINE,
    }))
}

/// What the policy makes of what the event and the command line tell.
fn explain<'p>(
    args: &Args,
    policy: &'p Policy,
    about: About,
    mut point: Point,
    metadata: Option<BTreeMap<String, String>>,
) -> Explanation<'p> {
    point.given(args);
    let id = point.validation_id(&args.name_prefix);
    let admission = match about {
        About::RecoveryPoint(_) => {
            let types: BTreeSet<ResourceType> = args.types.iter().copied().collect();
            let stack = Stack {
                account: point.stack_account.as_deref(),
                region: point.stack_region.as_deref(),
                types: &types,
            };
            let candidate = point.candidate(id.as_deref());
            Some(admission::admit(&stack, &candidate, policy))
        }
        About::FailedCopy(_) | About::Nothing(_) => None,
    };
    let restore = admission.as_ref().and_then(|admission| {
        let Decision::Restored(resource_type) = admission.decision else {
            return None;
        };
        let (_, rule) = admission.rule?;
        let target = id.as_deref().unwrap_or("<validation id>");
        Some(restore(args, policy, resource_type, rule, target, metadata))
    });
    Explanation {
        policy,
        about,
        point,
        admission,
        restore,
    }
}

/// The restore of this validation by the rule that decides.
fn restore(
    args: &Args,
    policy: &Policy,
    resource_type: ResourceType,
    rule: &Rule,
    validation: &str,
    metadata: Option<BTreeMap<String, String>>,
) -> Restore {
    let network = Network {
        db_subnet_group: args.db_subnet_group.clone(),
        db_security_groups: vec![args.security_group.clone()],
        machine_subnet: args.subnet.clone(),
        machine_security_groups: vec![args.security_group.clone()],
        volume_key_arn: args.volume_key.clone(),
    };
    let target_name = name::target_name(&args.name_prefix, validation, 1);
    let metadata_given = metadata.is_some();
    // Without its metadata nobody knows the backup's class.
    let limits = Limits::default();
    let limits = if metadata_given {
        &policy.limits
    } else {
        &limits
    };
    let source = Source {
        metadata: metadata.unwrap_or_default(),
        image: Image {
            devices: args.devices.clone(),
            ..Image::default()
        },
        chosen_type: None,
    };
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let names_devices = source
        .metadata
        .keys()
        .any(|key| key.eq_ignore_ascii_case("BlockDeviceMappings"));
    Restore {
        asks_for_type: resource_type == ResourceType::Ec2
            && rule.types.ec2.asked_type(&rule.restore).is_some(),
        devices_unknown: resource_type == ResourceType::Ec2
            && args.devices.is_empty()
            && !names_devices,
        plan: plan::plan(
            resource_type,
            &source,
            rule,
            limits,
            &network,
            &target_name,
            today,
        ),
        resource_type,
        target_name,
        metadata_given,
        subnet: args.subnet.clone(),
        db_subnet_group: args.db_subnet_group.clone(),
    }
}

fn read_json(file: &Path, what: &str) -> Result<Value, Problem> {
    let name = super::name(file);
    let text = super::read(file)
        .map_err(|error| Problem::usage(format!("cannot read the {what} {name}: {error}")))?;
    serde_json::from_str(&text)
        .map_err(|error| Problem::usage(format!("the {what} {name} is not JSON: {error}")))
}

/// Restore metadata as AWS prints it. What stands beside it tells of the recovery point too.
fn metadata(file: &Path, point: &mut Point) -> Result<BTreeMap<String, String>, Problem> {
    let document = read_json(file, "metadata")?;
    let wrong = |why: &str| {
        Problem::usage(format!("the metadata {} {why}", super::name(file))).help(
            "it is what `aws backup get-recovery-point-restore-metadata` prints, or its RestoreMetadata alone",
        )
    };
    let map = match &document["RestoreMetadata"] {
        Value::Null => &document,
        inner => inner,
    };
    let told = |key: &str| document[key].as_str().map(str::to_owned);
    if let (Some(of), Some(wanted)) = (told("RecoveryPointArn"), &point.recovery_point_arn)
        && of != *wanted
    {
        return Err(wrong(&format!("is that of another recovery point, {of}")));
    }
    point.resource_type = point.resource_type.take().or(told("ResourceType"));
    let map = map.as_object().ok_or_else(|| wrong("is no JSON object"))?;
    map.iter()
        .map(|(key, value)| match value.as_str() {
            Some(value) => Ok((key.clone(), value.to_owned())),
            None => Err(wrong(&format!("holds {key}, which is no text"))),
        })
        .collect()
}

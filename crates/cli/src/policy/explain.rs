//! `restore-proof policy explain`: what a policy makes of an event, and why.

mod point;
mod rules;
mod show;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use restore_proof_core::event;
use restore_proof_core::name;
use restore_proof_core::plan::{self, Image, Network, Plan, Source};
use restore_proof_core::policy::{Limits, Policy, Rule};
use restore_proof_core::resource_type::ResourceType;
use restore_proof_core::validation;
use serde_json::Value;

use crate::exit::{self, Problem};
use crate::output;
use point::{About, Point};
use rules::{Answer, Asked};

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

/// All that is to be said.
struct Explanation<'p> {
    policy: &'p Policy,
    about: About,
    /// What is known of the recovery point, when the event is about one.
    point: Point,
    /// The rules in their order, as far as they were asked.
    asked: Vec<Asked<'p>>,
    answer: Answer<'p>,
    /// Why nothing is restored although a rule decides; none when something is, or it cannot be told.
    left_out: Option<String>,
    /// The restore, when there would be one.
    restore: Option<Restore>,
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
    point.given(args);
    let asked = match about {
        About::RecoveryPoint(_) => rules::ask(&policy, &point),
        About::FailedCopy(_) | About::Nothing(_) => Vec::new(),
    };
    let answer = rules::answer(&asked);
    let left_out = left_out(args, &policy, &point, &answer);
    let restore = match left_out {
        Some(_) => None,
        None => restore(args, &policy, &point, metadata, &answer),
    };
    let explanation = Explanation {
        policy: &policy,
        about,
        point,
        asked,
        answer,
        left_out,
        restore,
    };
    if json {
        output::say_json(&show::document(&explanation)?)?;
    } else {
        output::say(&show::text(&explanation))?;
    }
    let undecided = matches!(explanation.answer, Answer::Undecided(_));
    Ok(ExitCode::from(if undecided {
        exit::CANNOT_TELL
    } else {
        exit::FINE
    }))
}

/// Why this version, the policy's limits or the rule's sample leave the recovery point out. A validation's id draws the sample: a
/// stack of another name prefix draws others.
fn left_out(args: &Args, policy: &Policy, point: &Point, answer: &Answer<'_>) -> Option<String> {
    let Answer::Rule(_, rule) = answer else {
        return None;
    };
    let arn = point.recovery_point_arn.as_deref().unwrap_or_default();
    if validation::is_continuous(arn) {
        return Some(validation::CONTINUOUS.to_owned());
    }
    if let Some(name) = &point.resource_type {
        match ResourceType::of(name, arn) {
            Err(why) => return Some(why),
            Ok(_) if validation::is_kept_by_aws_backup(arn) => {
                return Some(validation::KEPT_BY_AWS_BACKUP.to_owned());
            }
            Ok(_) => {}
        }
    }
    let id = point.validation_id(&args.name_prefix);
    let whole = Rule {
        sample: rule.sample.filter(|_| id.is_some()),
        ..(*rule).clone()
    };
    let left_out = policy.leaves_out(&whole, &id.unwrap_or_default(), point.size_bytes);
    left_out.map(|left_out| left_out.reason)
}

/// The restore, when the rule that decides is known and of a type that is validated.
fn restore(
    args: &Args,
    policy: &Policy,
    point: &Point,
    metadata: Option<BTreeMap<String, String>>,
    answer: &Answer<'_>,
) -> Option<Restore> {
    let Answer::Rule(_, rule) = answer else {
        return None;
    };
    let resource_type = ResourceType::from_name(point.resource_type.as_deref()?)?;
    let network = Network {
        db_subnet_group: args.db_subnet_group.clone(),
        db_security_groups: vec![args.security_group.clone()],
        machine_subnet: args.subnet.clone(),
        machine_security_groups: vec![args.security_group.clone()],
        volume_key_arn: args.volume_key.clone(),
    };
    let validation = point.validation_id(&args.name_prefix);
    let validation = validation.as_deref().unwrap_or("<validation id>");
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
    Some(Restore {
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
    })
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

//! Settings, read once when the function starts. One that is missing or wrong stops the start.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use jiff::SignedDuration;
use restore_proof_core::arn::Arn;
use restore_proof_core::ceiling::{Ceiling, Ceilings};
use restore_proof_core::cidr::Cidr;
use restore_proof_core::name;
use restore_proof_core::plan::Network;
use restore_proof_core::policy::is_iam_user;
use restore_proof_core::resource_type::ResourceType;
use restore_proof_core::validation::Validation;

/// Where Lambda's Runtime API and the metadata services of EC2 and ECS listen.
const FORBIDDEN_ADDRESSES: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
];

/// How long apart two answers "not found" must be to mean gone, seconds. A deployment sets no other: the environment of a
/// function has 4 KB in all.
pub const CONFIRM_GONE_SECONDS: i64 = 120;

/// What may leave of the restored data where no setting says so.
const LEAVE_BY_DEFAULT: Ceilings = Ceilings::all(Ceiling::Numbers);

/// An object in S3, `s3://bucket/key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Uri {
    /// Name of the bucket.
    pub bucket: String,
    /// Key of the object.
    pub key: String,
}

impl fmt::Display for S3Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// How long nobody can delete or overwrite a record, by S3 Object Lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordsLock {
    /// From the writing of the record on.
    pub lasts: SignedDuration,
    /// Who can take it away before: whoever has a permission for that, or nobody.
    pub mode: LockMode,
}

/// S3's retention modes (Amazon S3 user guide, "Object Lock retention").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Whoever may `s3:BypassGovernanceRetention` can take it away.
    Governance,
    /// Nobody can, the account's root user among them.
    Compliance,
}

impl LockMode {
    /// S3's word.
    pub fn as_str(self) -> &'static str {
        match self {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        }
    }

    fn named(name: &str) -> Option<LockMode> {
        let mut all = [LockMode::Governance, LockMode::Compliance].into_iter();
        all.find(|mode| mode.as_str() == name)
    }
}

/// The function's settings. Their names and values come from `template.yaml`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the DynamoDB table (`LEDGER_TABLE`).
    pub ledger_table: String,
    /// Name of the bucket for records (`RESULTS_BUCKET`).
    pub results_bucket: String,
    /// The policy file (`POLICY_KEY` in the bucket of the results).
    pub policy: S3Uri,
    /// ARN of the SNS topic (`TOPIC_ARN`).
    pub topic_arn: String,
    /// The topic of what is urgent. It has a name of its own, `<prefix>-urgent`: the environment has no room for its ARN.
    pub urgent_topic_arn: String,
    /// The topic of events about verdicts of which people do not hear, `<prefix>-events`.
    pub events_topic_arn: String,
    /// Log group of verdicts and cleanups (`RECORDS_LOG_GROUP`).
    pub records_log_group: String,
    /// ARN of the role that restores run under, used by nobody else (`RESTORE_ROLE_ARN`).
    pub restore_role_arn: String,
    /// `aws`, `aws-cn`, … (from the role's ARN).
    pub partition: String,
    /// The account the function works in, 12 digits (from the role's ARN).
    pub account: String,
    /// The Region the function works in (`AWS_REGION`).
    pub region: String,
    /// Begins the names of restored resources (`NAME_PREFIX`).
    pub name_prefix: String,
    /// The resource types that this stack has permissions for (`TYPES`, separated by commas); at least one.
    pub types: BTreeSet<ResourceType>,
    /// Names of the vaults that the sweep looks through (`BACKUP_VAULT_NAMES`).
    pub vaults: Vec<String>,
    /// Names of the vaults whose backups are validated, besides the copies in [`Config::vaults`]
    /// (`BACKUP_JOB_VAULT_NAMES`); may be empty.
    pub backup_job_vaults: Vec<String>,
    /// Names of the vaults of this account that are meant to be nobody's business (`UNWATCHED_VAULT_NAMES`); may be empty.
    /// Any other vault that receives recovery points unnamed is reported.
    pub unwatched_vaults: Vec<String>,
    /// After how long without a recovery point a vault is reported (`HOURS_WITHOUT_POINT`); none for never.
    pub nothing_lands_after: Option<SignedDuration>,
    /// Where restores go (`DB_SUBNET_GROUP`, `DB_SECURITY_GROUP_IDS`, `EC2_SUBNET_IDS`, `EC2_SECURITY_GROUP_IDS`,
    /// `EC2_VOLUME_KEY_ARN`); of the subnets of machines the first, see [`Config::network_of`].
    pub network: Network,
    /// Ids of the subnets that machines are restored into (`EC2_SUBNET_IDS`, separated by commas); at least one.
    pub machine_subnets: Vec<String>,
    /// The addresses of that network (`NETWORK_CIDR`): checks connect to no private address outside of it.
    pub network_cidr: Cidr,
    /// Id of the isolated VPC (`VPC`).
    pub vpc: String,
    /// Ids of all subnets of the isolated network (`SUBNET_IDS`, separated by commas).
    pub subnets: Vec<String>,
    /// Name or ARN of the secret that passwords of restored copies are derived from (`RESET_KEY_SECRET`).
    pub reset_key_secret: String,
    /// What of the restored data may leave at most (`VALUES_LEAVE`: one word, or three for record, log event and message).
    pub values_leave: Ceilings,
    /// How records are locked (`RECORDS_LOCK`: days, 0 for not at all, and the mode); none if they are not.
    pub records_lock: Option<RecordsLock>,
    /// The database users whom checks may log in as by a token of IAM (`IAM_DATABASE_USERS`, separated by commas); may be
    /// empty.
    pub iam_database_users: Vec<String>,
    /// The most restores at one time (`MAX_CONCURRENT_RESTORES`).
    pub max_concurrent_restores: u32,
    /// Certificates that databases are verified by; none for those of Amazon RDS (`DATABASE_CA_BUNDLE_URI`).
    pub ca_bundle: Option<S3Uri>,
    /// How long apart two answers "not found" must be to mean gone (`CONFIRM_GONE_SECONDS`, where another time is wanted).
    pub confirm_gone: SignedDuration,
    /// The function's own name, to invoke itself (`AWS_LAMBDA_FUNCTION_NAME`).
    pub function_name: String,
}

/// All that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
#[error("the function cannot start: {}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

impl Config {
    /// Reads the settings; `variable` answers an environment variable by its name.
    ///
    /// # Errors
    /// Every variable that is missing or wrong, at once.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let mut wrong = Vec::new();
        let mut required = |name: &str| match variable(name).filter(|value| !value.is_empty()) {
            Some(value) => value,
            None => {
                wrong.push(format!("environment variable {name} is missing"));
                String::new()
            }
        };
        let ledger_table = required("LEDGER_TABLE");
        let results_bucket = required("RESULTS_BUCKET");
        let policy_key = required("POLICY_KEY");
        let topic_arn = required("TOPIC_ARN");
        let records_log_group = required("RECORDS_LOG_GROUP");
        let restore_role_arn = required("RESTORE_ROLE_ARN");
        let region = required("AWS_REGION");
        let name_prefix = required("NAME_PREFIX");
        let type_names = required("TYPES");
        let vaults = list(&required("BACKUP_VAULT_NAMES"));
        let db_subnet_group = required("DB_SUBNET_GROUP");
        let db_security_groups = list(&required("DB_SECURITY_GROUP_IDS"));
        let machine_subnets = list(&required("EC2_SUBNET_IDS"));
        let machine_security_groups = list(&required("EC2_SECURITY_GROUP_IDS"));
        let network_cidr = required("NETWORK_CIDR");
        let vpc = required("VPC");
        let subnets = list(&required("SUBNET_IDS"));
        let reset_key_secret = required("RESET_KEY_SECRET");
        let max_concurrent_restores = required("MAX_CONCURRENT_RESTORES");
        let function_name = required("AWS_LAMBDA_FUNCTION_NAME");
        let optional = |name: &str| variable(name).filter(|value| !value.is_empty());
        let confirm_gone = optional("CONFIRM_GONE_SECONDS");
        let ca_bundle = optional("DATABASE_CA_BUNDLE_URI");
        let volume_key_arn = optional("EC2_VOLUME_KEY_ARN");
        let backup_job_vaults = list(&optional("BACKUP_JOB_VAULT_NAMES").unwrap_or_default());
        let unwatched_vaults = list(&optional("UNWATCHED_VAULT_NAMES").unwrap_or_default());

        let mut iam_database_users = list(&optional("IAM_DATABASE_USERS").unwrap_or_default());
        iam_database_users.sort_unstable();
        iam_database_users.dedup();

        let records_lock = optional("RECORDS_LOCK");
        let values_leave = optional("VALUES_LEAVE");
        let hours_without_point = optional("HOURS_WITHOUT_POINT");

        let mut check = |fine: bool, message: String| {
            if !fine {
                wrong.push(message);
            }
        };
        check(
            name_prefix.is_empty() || name::is_prefix(&name_prefix),
            format!("NAME_PREFIX {name_prefix:?} must be {}", name::PREFIX_RULE),
        );
        let types = types_named(&type_names);
        check(
            type_names.is_empty() || types.is_some(),
            format!(
                "TYPES {type_names:?} must name one or more of {}, separated by commas",
                ResourceType::ALL.map(ResourceType::name).join(", ")
            ),
        );
        let role: Option<Arn> = restore_role_arn
            .parse()
            .ok()
            .filter(|role: &Arn| role.service == "iam");
        check(
            restore_role_arn.is_empty() || role.is_some(),
            format!("RESTORE_ROLE_ARN {restore_role_arn:?} is not a role's ARN"),
        );
        let max = max_concurrent_restores.parse().ok().filter(|max| *max > 0);
        check(
            max_concurrent_restores.is_empty() || max.is_some(),
            format!(
                "MAX_CONCURRENT_RESTORES {max_concurrent_restores:?} must be a positive whole number"
            ),
        );
        let confirm = match &confirm_gone {
            None => Some(CONFIRM_GONE_SECONDS),
            Some(seconds) => seconds.parse().ok().filter(|seconds| *seconds > 0),
        };
        check(
            confirm.is_some(),
            format!("CONFIRM_GONE_SECONDS {confirm_gone:?} must be a positive whole number"),
        );
        let cidr = network_cidr.parse::<Cidr>().ok();
        check(
            network_cidr.is_empty() || cidr.is_some(),
            format!("NETWORK_CIDR {network_cidr:?} must be a range such as 10.255.0.0/24"),
        );
        check(
            cidr.is_none_or(|cidr| !FORBIDDEN_ADDRESSES.iter().any(|ip| cidr.contains(*ip))),
            format!(
                "NETWORK_CIDR {network_cidr:?} holds the function's own address or that of the metadata service"
            ),
        );
        let hours = hours_without_point
            .as_deref()
            .map_or(Ok(0), str::parse::<u32>);
        check(
            hours.is_ok(),
            format!(
                "HOURS_WITHOUT_POINT {hours_without_point:?} must be a whole number, 0 for never"
            ),
        );
        let hours = hours.ok().filter(|hours| *hours > 0);
        let lock = records_lock.as_deref().map_or(Ok(None), lock_named);
        check(
            lock.is_ok(),
            format!(
                "RECORDS_LOCK {records_lock:?} must be a number of days, 0 for no lock, and GOVERNANCE or COMPLIANCE"
            ),
        );
        let leaves = values_leave
            .as_deref()
            .map_or(Ok(LEAVE_BY_DEFAULT), str::parse);
        check(
            leaves.is_ok(),
            format!(
                "VALUES_LEAVE {values_leave:?} must be none, numbers or text, or three of these: of record, log event and message"
            ),
        );
        for user in iam_database_users.iter().filter(|user| !is_iam_user(user)) {
            check(
                false,
                format!("IAM_DATABASE_USERS {user:?} is no name of a database user"),
            );
        }
        let ca_uri = ca_bundle.as_deref().and_then(s3_uri);
        check(
            ca_bundle.is_none() || ca_uri.is_some(),
            format!(
                "DATABASE_CA_BUNDLE_URI {:?} must be s3://bucket/key or empty",
                ca_bundle.unwrap_or_default()
            ),
        );

        let (
            Some(types),
            Some(role),
            Some(max_concurrent_restores),
            Some(confirm),
            Some(network_cidr),
            true,
        ) = (types, role, max, confirm, cidr, wrong.is_empty())
        else {
            return Err(ConfigError(wrong));
        };
        let topic_named = |name: &str| {
            let (partition, account) = (&role.partition, &role.account);
            format!("arn:{partition}:sns:{region}:{account}:{name_prefix}-{name}")
        };
        Ok(Config {
            ledger_table,
            policy: S3Uri {
                bucket: results_bucket.clone(),
                key: policy_key,
            },
            results_bucket,
            urgent_topic_arn: topic_named("urgent"),
            events_topic_arn: topic_named("events"),
            topic_arn,
            records_log_group,
            partition: role.partition,
            account: role.account,
            restore_role_arn,
            region,
            name_prefix,
            types,
            vaults,
            backup_job_vaults,
            unwatched_vaults,
            nothing_lands_after: hours.map(|hours| SignedDuration::from_hours(hours.into())),
            network: Network {
                db_subnet_group,
                db_security_groups,
                machine_subnet: machine_subnets.first().cloned().unwrap_or_default(),
                machine_security_groups,
                volume_key_arn,
            },
            machine_subnets,
            network_cidr,
            vpc,
            subnets,
            reset_key_secret,
            records_lock: lock.unwrap_or_default(),
            values_leave: leaves.unwrap_or(LEAVE_BY_DEFAULT),
            iam_database_users,
            max_concurrent_restores,
            ca_bundle: ca_uri,
            confirm_gone: SignedDuration::from_secs(confirm),
            function_name,
        })
    }

    /// The database user whom checks of a rule log in as by a token of IAM: the one that it names, or the stack's only one.
    ///
    /// # Errors
    /// Why the stack does not allow it, and what to do.
    pub fn iam_database_user<'u>(&'u self, named: Option<&'u str>) -> Result<&'u str, String> {
        let users = self.iam_database_users.as_slice();
        match (named, users) {
            (_, []) => Err(
                "the rule has credentials of IAM, and the stack's parameter IamDatabaseUsers names no user: name the \
                 database user there"
                    .to_owned(),
            ),
            (Some(user), users) if users.iter().any(|one| one == user) => Ok(user),
            (Some(user), users) => Err(format!(
                "the rule logs in as {user} by a token of IAM, and the stack's parameter IamDatabaseUsers allows {}: \
                 name the user there, or another in the rule",
                users.join(", ")
            )),
            (None, [one]) => Ok(one),
            (None, users) => Err(format!(
                "the rule has credentials of IAM and does not say for whom, and the stack's parameter IamDatabaseUsers \
                 names {}: write credentials = {{ iam = \"…\" }}",
                users.join(", ")
            )),
        }
    }

    /// Whether a type that is validated is RDS's: else the stack has neither permissions nor an endpoint for it.
    pub fn calls_rds(&self) -> bool {
        let mut types = self.types.iter();
        types.any(|one| one.facts().created.service == "rds")
    }

    /// The vaults this stack watches, each once: those of copies and those of backups, which may name the same.
    pub fn watched_vaults(&self) -> BTreeSet<&str> {
        let both = self.vaults.iter().chain(&self.backup_job_vaults);
        both.map(String::as_str).collect()
    }

    /// Where this attempt of a validation restores to. Where there are several subnets of machines each attempt has another,
    /// so that one zone without capacity does not stop all.
    pub fn network_of(&self, validation: &Validation) -> Network {
        let number = validation.id.bytes().map(usize::from).sum::<usize>();
        let number = number + validation.attempt as usize;
        let subnet = self
            .machine_subnets
            .get(number % self.machine_subnets.len().max(1));
        Network {
            machine_subnet: subnet.unwrap_or(&self.network.machine_subnet).clone(),
            ..self.network.clone()
        }
    }

    /// ARN of a vault of this account and Region.
    pub fn vault_arn(&self, name: &str) -> String {
        let Config {
            partition,
            region,
            account,
            ..
        } = self;
        format!("arn:{partition}:backup:{region}:{account}:backup-vault:{name}")
    }

    /// ARN of a machine of this Region. EC2 answers ids, restore jobs name ARNs.
    pub fn machine_arn(&self, owner: &str, id: &str) -> String {
        let Config {
            partition, region, ..
        } = self;
        format!("arn:{partition}:ec2:{region}:{owner}:instance/{id}")
    }
}

/// None if one is no type that this version validates, or there is none.
fn types_named(text: &str) -> Option<BTreeSet<ResourceType>> {
    let named: Option<BTreeSet<ResourceType>> = list(text)
        .iter()
        .map(|name| ResourceType::from_name(name))
        .collect();
    named.filter(|types| !types.is_empty())
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

fn s3_uri(text: &str) -> Option<S3Uri> {
    let (bucket, key) = text.strip_prefix("s3://")?.split_once('/')?;
    let complete = !bucket.is_empty() && !key.is_empty();
    complete.then(|| S3Uri {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
    })
}

/// `365 GOVERNANCE`; none for `0` of either. What is wrong is an error without words.
fn lock_named(text: &str) -> Result<Option<RecordsLock>, ()> {
    let (days, mode) = text.split_once(' ').ok_or(())?;
    let days: u32 = days.parse().map_err(|_| ())?;
    let mode = LockMode::named(mode).ok_or(())?;
    Ok((days > 0).then(|| RecordsLock {
        lasts: SignedDuration::from_hours(24 * i64::from(days)),
        mode,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn good(name: &str) -> Option<String> {
        let value = match name {
            "LEDGER_TABLE" => "ledger",
            "RESULTS_BUCKET" => "results",
            "POLICY_KEY" => "policy/policy.toml",
            "TOPIC_ARN" => "arn:aws:sns:eu-central-1:111122223333:t",
            "RECORDS_LOG_GROUP" => "records",
            "RESTORE_ROLE_ARN" => "arn:aws:iam::111122223333:role/restore",
            "AWS_REGION" => "eu-central-1",
            "NAME_PREFIX" => "restore-proof",
            "TYPES" => "Aurora,EC2,RDS",
            "BACKUP_VAULT_NAMES" => "central, other",
            "DB_SUBNET_GROUP" => "isolated",
            "DB_SECURITY_GROUP_IDS" => "sg-1",
            "EC2_SUBNET_IDS" => "subnet-1,subnet-2",
            "EC2_SECURITY_GROUP_IDS" => "sg-2",
            "NETWORK_CIDR" => "10.255.0.0/24",
            "VPC" => "vpc-1",
            "SUBNET_IDS" => "subnet-1,subnet-2",
            "RESET_KEY_SECRET" => "reset-key",
            "MAX_CONCURRENT_RESTORES" => "4",
            "AWS_LAMBDA_FUNCTION_NAME" => "restore-proof",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn good_settings_are_read() {
        let config = Config::read(good).unwrap();
        assert_eq!(config.account, "111122223333");
        assert_eq!(config.vaults, ["central", "other"]);
        assert_eq!(config.types, ResourceType::ALL.into());
        assert_eq!(config.policy.to_string(), "s3://results/policy/policy.toml");
        assert_eq!(
            config.vault_arn("v"),
            "arn:aws:backup:eu-central-1:111122223333:backup-vault:v"
        );
    }

    #[test]
    fn each_attempt_has_another_of_the_subnets_of_machines() {
        let config = Config::read(good).unwrap();
        let vault = config.vault_arn("central");
        let now = jiff::Timestamp::UNIX_EPOCH;
        let mut validation = Validation::open("restore-proof", "arn", &vault, None, now);
        let first = config.network_of(&validation).machine_subnet;
        assert_eq!(config.network_of(&validation).machine_subnet, first);
        validation.attempt += 1;
        let second = config.network_of(&validation).machine_subnet;
        let mut both = [first.as_str(), second.as_str()];
        both.sort_unstable();
        assert_eq!(both, ["subnet-1", "subnet-2"]);
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let error = Config::read(|name| match name {
            "LEDGER_TABLE" => None,
            "NAME_PREFIX" => Some("restore-proof-r".to_owned()),
            "TYPES" => Some("EC2,Redshift".to_owned()),
            "POLICY_KEY" => None,
            "CONFIRM_GONE_SECONDS" => Some("0".to_owned()),
            "HOURS_WITHOUT_POINT" => Some("two".to_owned()),
            "DATABASE_CA_BUNDLE_URI" => Some("/etc/ca.pem".to_owned()),
            "IAM_DATABASE_USERS" => Some("restore_check,all*".to_owned()),
            "RECORDS_LOCK" => Some("365 FOREVER".to_owned()),
            "VALUES_LEAVE" => Some("numbers text".to_owned()),
            "NETWORK_CIDR" => Some("127.0.0.0/8".to_owned()),
            other => good(other),
        })
        .unwrap_err()
        .to_string();
        for name in [
            "LEDGER_TABLE",
            "NAME_PREFIX \"restore-proof-r\"",
            "TYPES \"EC2,Redshift\"",
            "POLICY_KEY",
            "CONFIRM_GONE_SECONDS",
            "HOURS_WITHOUT_POINT",
            "DATABASE_CA_BUNDLE_URI",
            "IAM_DATABASE_USERS \"all*\"",
            "RECORDS_LOCK",
            "VALUES_LEAVE",
            "NETWORK_CIDR",
        ] {
            assert!(error.contains(name), "{error}");
        }
    }
    #[test]
    fn a_stack_without_types_does_not_start() {
        for empty in [None, Some(""), Some(" , ")] {
            let error = Config::read(|name| match name {
                "TYPES" => empty.map(str::to_owned),
                other => good(other),
            });
            let error = error.unwrap_err().to_string();
            assert!(error.contains("TYPES"), "{error}");
        }
    }
    /// Whoever adds a type gives it permissions, or the template does not allow it.
    #[test]
    fn the_template_allows_every_type_and_no_other() {
        let template = include_str!("../../../template.yaml");
        let (_, parameter) = template.split_once("\n  Types:\n").unwrap();
        let (parameter, _) = parameter.split_once("Description:").unwrap();
        let names = ResourceType::ALL.map(ResourceType::name);
        for line in [
            format!("    Default: {}\n", names.join(",")),
            format!("    AllowedValues: [{}]\n", names.join(", ")),
        ] {
            assert!(parameter.contains(&line), "{line:?} is not in {parameter}");
        }
    }

    #[test]
    fn records_are_locked_for_days_in_a_mode() {
        let lock = |days: i64, mode| {
            Ok(Some(RecordsLock {
                lasts: SignedDuration::from_hours(24 * days),
                mode,
            }))
        };
        for (text, wanted) in [
            ("0 GOVERNANCE", Ok(None)),
            ("0 COMPLIANCE", Ok(None)),
            ("1 GOVERNANCE", lock(1, LockMode::Governance)),
            ("36500 COMPLIANCE", lock(36500, LockMode::Compliance)),
            ("365", Err(())),
            ("-1 GOVERNANCE", Err(())),
            ("365 governance", Err(())),
        ] {
            assert_eq!(lock_named(text), wanted, "{text}");
        }
    }
}

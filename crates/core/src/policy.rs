//! The policy file: which recovery points are restored, how often, and what is checked in them.
//!
//! The file is TOML and written by people, so reading it answers *every* mistake at once, each with
//! its line and column. A policy that was read is complete: nothing in it can turn out to be wrong
//! later, and what a [`Rule`] holds can be frozen in the ledger as it is.

mod check;
pub mod data;
mod glob;
mod limits;
mod rule;
mod schema;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ceiling::Ceilings;
use crate::expectation::Expectation;
use crate::resource_type::TypeKeys;
use crate::wire;

pub use crate::reader::{
    Mistake, Mistakes, parse_duration, parse_latency, readable_duration, readable_latency,
};
pub use data::{DataCheck, ProfileCheck, Question, SchemaCheck};
pub use glob::Glob;
pub use limits::{Limits, Sample, parse_size, readable_size};
pub use rule::is_iam_user;
pub use schema::schema;

/// The largest policy file, bytes: the function reads no more of it.
pub const LARGEST_FILE: usize = 1 << 20;
/// What is wrong with a larger one.
pub const TOO_LARGE: &str = "it is more than the 1 MiB that a policy file may have";

/// The longest a restore whose verdict is `failed` may be kept: a forgotten one costs money.
pub const KEEP_FAILED_AT_MOST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long a check may take when it does not say so itself.
pub const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// The least and the most a check's `timeout` may be.
pub const CHECK_TIMEOUT_RANGE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(10 * 60));

/// The most restores that a policy may allow at one time: the most that the stack's parameter `MaxConcurrentRestores`
/// may say.
pub const MOST_CONCURRENT_RESTORES: u32 = 100;

/// How long a recovery point waits for a slot among the restores when the policy does not say so.
pub const DEFAULT_LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The least and the most the longest wait may be.
pub const LONGEST_WAIT_RANGE: (Duration, Duration) = (
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 24 * 60 * 60),
);

/// The most steps an `http` check may have.
pub const MOST_STEPS: usize = 20;

/// The most redirects an `http` check may follow.
pub const MOST_REDIRECTS: u8 = 5;

/// A policy file without mistakes.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What the file calls itself (`version`), free text, recorded with every validation.
    pub version: String,
    /// SHA-256 of the file's text, lower-case hexadecimal: which words exactly were in force.
    pub fingerprint: String,
    /// S3's id of the file's version; none if it does not come from a bucket with versions.
    pub version_id: Option<String>,
    /// What testing may take, over all rules.
    pub limits: Limits,
    /// The rules in the file's order. The first that matches decides.
    pub rules: Vec<Rule>,
}

/// Reads a policy file.
///
/// # Errors
/// Every mistake of the file, in the order of their lines. A file that is not TOML has one: where
/// the first thing that cannot be read stands. So has one of more than [`LARGEST_FILE`] bytes.
pub fn parse(text: &str) -> Result<Policy, Mistakes> {
    let (version, limits, rules) = rule::parse(text)?;
    Ok(Policy {
        version,
        fingerprint: fingerprint(text),
        version_id: None,
        limits,
        rules,
    })
}

/// SHA-256 of a policy file's text in lower-case hexadecimal, also of one with mistakes.
pub fn fingerprint(text: &str) -> String {
    use std::fmt::Write;

    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// The time zone of an IANA name such as `Europe/Berlin`, from the data built into this program:
/// a laptop that checks a policy and the function that obeys it know the same zones.
pub fn time_zone(name: &str) -> Option<jiff::tz::TimeZone> {
    jiff::tz::TimeZoneDatabase::bundled().get(name).ok()
}

/// A recovery point as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// AWS Backup's name of the resource type, for example `RDS`.
    pub resource_type: &'a str,
    /// ARN of the resource that was backed up.
    pub source_arn: &'a str,
    /// Account (12 digits) of the resource that was backed up.
    pub account: &'a str,
    /// Name of the vault the recovery point lies in.
    pub vault_name: &'a str,
    /// Tags of the recovery point.
    pub tags: &'a BTreeMap<String, String>,
}

/// What to do with the recovery points it matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Unique in its policy.
    pub name: String,
    /// Which recovery points the rule is about.
    pub matcher: Matcher,
    /// How a recovery point is tested, and how often; at least one, none twice.
    pub methods: Vec<Method>,
    /// Of the recovery points it matches, the share that is tested; all when it is not set.
    #[serde(default)]
    pub sample: Option<Sample>,
    /// What it says with keys that one resource type alone has.
    pub types: TypeKeys,
    /// Restore metadata that replaces what the backup says, by AWS Backup's keys.
    pub restore: BTreeMap<String, String>,
    /// What the validation is measured against.
    pub objectives: Objectives,
    /// How checks log in. Always there when a check needs it.
    pub credentials: Option<Credentials>,
    /// How strictly connections of checks are secured.
    pub tls: Tls,
    /// How long to keep a restore whose verdict is `failed`, for people to look at it.
    #[serde(with = "wire::optional_seconds")]
    pub keep_failed_for: Option<Duration>,
    /// Whether a restore that failed is tried again: always, where the fault may pass, or never; none when it is only tried
    /// again if that cannot cost much.
    #[serde(default)]
    pub retry: Option<bool>,
    /// When to send a message.
    pub notify: Notify,
    /// What of the restored data may leave at most; the stack's own ceilings hold in any case.
    #[serde(default)]
    pub values_leave: Ceilings,
    /// What is asserted about the restored data, in the file's order; none is allowed.
    pub checks: Vec<Check>,
}

impl Rule {
    /// How often a recovery point of one resource is restored; none if the rule restores nothing.
    pub fn frequency(&self) -> Option<Frequency> {
        let mut methods = self.methods.iter();
        let restore = methods.find(|one| one.method == MethodKind::Restore)?;
        Some(restore.frequency)
    }

    /// How its checks log in; none if none of them does.
    pub fn login(&self) -> Option<&Credentials> {
        let logs_in = self.checks.iter().any(Check::logs_in);
        self.credentials.as_ref().filter(|_| logs_in)
    }
}

/// A way to test recovery points, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// What is done.
    pub method: MethodKind,
    /// How often it is done with a recovery point of one resource.
    pub frequency: Frequency,
}

/// What is done to test a recovery point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodKind {
    /// It is restored, and what was restored is checked.
    Restore,
    /// It is read without a restore. No rule says so yet: no type is read.
    Read,
}

/// Which recovery points a rule is about. What is set must all hold; nothing set matches all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Matcher {
    /// One of [`crate::resource_type::known_names`].
    pub resource_type: Option<String>,
    /// The backed-up resource's ARN.
    pub source_arn: Option<Glob>,
    /// The backed-up resource's account, 12 digits.
    pub account: Option<String>,
    /// The name of the vault the recovery point lies in.
    pub vault: Option<Glob>,
    /// Tags the recovery point must carry.
    pub tags: BTreeMap<String, Glob>,
}

impl Matcher {
    /// Whether everything that is set holds for `subject`.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        let like = |wanted: &Option<Glob>, is: &str| wanted.as_ref().is_none_or(|w| w.matches(is));
        same(&self.resource_type, subject.resource_type)
            && like(&self.source_arn, subject.source_arn)
            && same(&self.account, subject.account)
            && like(&self.vault, subject.vault_name)
            && self
                .tags
                .iter()
                .all(|(key, wanted)| subject.tags.get(key).is_some_and(|is| wanted.matches(is)))
    }

    /// Whether no recovery point can escape it.
    pub fn matches_everything(&self) -> bool {
        let open = |glob: &Option<Glob>| glob.as_ref().is_none_or(Glob::matches_everything);
        self.resource_type.is_none()
            && self.account.is_none()
            && self.tags.is_empty()
            && open(&self.source_arn)
            && open(&self.vault)
    }
}

/// How often a recovery point of one resource is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frequency {
    /// Every copy that lands.
    EveryCopy,
    /// At most one a day for each resource.
    Daily,
    /// At most one a week for each resource.
    Weekly,
}

/// When to send a message about a validation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notify {
    /// About every verdict.
    #[default]
    Always,
    /// Only when something is not as it should be.
    Problems,
    /// When the verdicts on a resource change, and now and then while they stay bad ([`crate::message::Standing`]).
    Changes,
    /// Never.
    Never,
}

/// How strictly connections of checks are secured. Anything but [`Tls::Verify`] shows in the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Encrypted, with a certificate that the CA bundle vouches for and that names the host.
    #[default]
    Verify,
    /// Encrypted, with whatever certificate the server shows.
    EncryptOnly,
    /// Not encrypted.
    Off,
}

/// What a validation is measured against. Missing one never changes the verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objectives {
    /// The longest a recovery may take, from the restore job's creation to the first passed check.
    #[serde(with = "wire::optional_seconds")]
    pub recovery_time: Option<Duration>,
    /// The oldest the newest data may be, at the time of the backup.
    #[serde(with = "wire::optional_seconds")]
    pub data_age: Option<Duration>,
}

/// How checks log in to what was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credentials {
    /// Name or ARN of a Secrets Manager secret in the JSON layout of RDS (`username`, `password`, `dbname`).
    Secret(String),
    /// The master user of the restored copy, under a password that is set on the copy: no secret of the source is
    /// needed in this account.
    Reset,
    /// A database user that logs in by a token of IAM, a member of `rds_iam` for example. None: the one user that the stack
    /// may log in as.
    Iam(Option<String>),
}

/// One assertion about the restored data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Unique in its rule.
    pub name: String,
    /// A label of the policy's own for people who read results, at most 128 characters.
    #[serde(default)]
    pub group: Option<String>,
    /// The longest it may take.
    #[serde(with = "wire::seconds")]
    pub timeout: Duration,
    /// What is done.
    #[serde(flatten)]
    pub kind: CheckKind,
}

impl Check {
    /// Whether this check measures how old the newest data is. At most one check of a rule does.
    pub fn measures_data_age(&self) -> bool {
        match &self.kind {
            CheckKind::Sql(sql) => sql.data_age,
            CheckKind::Data(data) => match &data.question {
                Question::Freshness(fresh) => fresh.data_age,
                Question::RowCount(_)
                | Question::Missing(_)
                | Question::Duplicate(_)
                | Question::FailedRows(_)
                | Question::References(_)
                | Question::Manifest(_) => false,
            },
            CheckKind::Schema(_)
            | CheckKind::Profile(_)
            | CheckKind::Http(_)
            | CheckKind::Connect(_) => false,
        }
    }
}

impl Check {
    /// Whether it logs in to what was restored.
    pub fn logs_in(&self) -> bool {
        match self.kind {
            CheckKind::Sql(_)
            | CheckKind::Schema(_)
            | CheckKind::Profile(_)
            | CheckKind::Data(_) => true,
            CheckKind::Http(_) | CheckKind::Connect(_) => false,
        }
    }

    /// Whether it connects to the public address of a restored machine.
    pub fn wants_public_address(&self) -> bool {
        match &self.kind {
            CheckKind::Sql(_)
            | CheckKind::Schema(_)
            | CheckKind::Profile(_)
            | CheckKind::Data(_) => false,
            CheckKind::Http(http) => http.address == Address::Public,
            CheckKind::Connect(connect) => connect.address == Address::Public,
        }
    }
}

/// The kinds of checks, `kind` in the policy file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CheckKind {
    /// One query, one value, one expectation.
    Sql(SqlCheck),
    /// Requests to the restored machine, one after the other.
    Http(HttpCheck),
    /// A port of what was restored answers.
    Connect(ConnectCheck),
    /// What the schema of a database must have.
    Schema(SchemaCheck),
    /// What a database holds, in numbers.
    Profile(ProfileCheck),
    /// Tables and columns, a bound, and no SQL. Its question has kinds of its own, which stand in `kind`.
    #[serde(untagged)]
    Data(DataCheck),
}

impl CheckKind {
    /// The kind as the policy file and the record name it.
    pub fn name(&self) -> &'static str {
        match self {
            CheckKind::Sql(_) => "sql",
            CheckKind::Http(_) => "http",
            CheckKind::Connect(_) => "connect",
            CheckKind::Schema(_) => "schema",
            CheckKind::Profile(_) => "profile",
            CheckKind::Data(data) => data.question.name(),
        }
    }
}

/// A query whose one value is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SqlCheck {
    /// Database to connect to; otherwise the one the secret names, or the one that was made with the DB instance.
    pub database: Option<String>,
    /// The query, run read-only.
    pub query: String,
    /// What its first column of its first row must be.
    pub expect: Expectation,
    /// IANA name, known to [`time_zone`], in which timestamps without a zone are read.
    pub time_zone: String,
    /// Whether the value says how new the newest data is.
    pub data_age: bool,
}

/// Which address of a restored machine is connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Address {
    /// That of its interface in the isolated network.
    #[default]
    Private,
    /// Its public one, if it has one.
    Public,
}

/// How an `http` check connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Not encrypted.
    #[default]
    Http,
    /// Encrypted, as strictly as the rule's [`Tls`] says.
    Https,
}

/// Requests to a restored machine. The check passes when every step does; the first that does not decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// How to connect.
    pub scheme: Scheme,
    /// Port; 80 or 443 when the policy does not say.
    pub port: u16,
    /// The host that is asked for (`Host`, and the name in the certificate); otherwise the machine's address.
    pub host: Option<String>,
    /// Which address is connected to.
    pub address: Address,
    /// How many redirects are followed, and only to the same machine and port; 0 to [`MOST_REDIRECTS`].
    pub redirects: u8,
    /// In the file's order; 1 to [`MOST_STEPS`].
    pub steps: Vec<HttpStep>,
}

/// Method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// Reads.
    #[default]
    Get,
    /// Reads, without the body.
    Head,
    /// Sends a body. What it changes is gone with the restored machine.
    Post,
}

/// One request and what its answer must be. What is set must all hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpStep {
    /// Unique in its check; names the step in records and messages. The path when the policy gives none.
    pub name: String,
    /// Method.
    pub method: HttpMethod,
    /// Path and query; begins with `/`.
    pub path: String,
    /// Headers to send.
    pub headers: BTreeMap<String, String>,
    /// Body to send.
    pub body: Option<String>,
    /// Any of these statuses; 200 when the policy does not say.
    pub status: Vec<u16>,
    /// Text the body must hold.
    pub contains: Option<String>,
    /// A regular expression of which the body must hold a match.
    pub matches: Option<String>,
    /// What a value of the JSON body must be.
    pub json: Option<JsonExpectation>,
    /// The longest from request to complete answer.
    #[serde(with = "wire::optional_milliseconds")]
    pub within: Option<Duration>,
}

/// A value in a JSON body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JsonExpectation {
    /// JSON pointer (RFC 6901), for example `/status`; the empty text is the whole body.
    pub pointer: String,
    /// What the value must be.
    pub expect: Expectation,
}

/// A TCP connection, and what the other side says first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectCheck {
    /// Port; otherwise the one a restored database listens on.
    pub port: Option<u16>,
    /// Which address is connected to.
    pub address: Address,
    /// A regular expression of which the first bytes that the other side sends (as UTF-8, at most 1 KiB) must
    /// hold a match; otherwise nothing is read.
    pub greeting: Option<String>,
}

#[cfg(test)]
mod tests;

//! Reading the policy's rules.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use crate::ceiling::{Ceiling, Ceilings};
use crate::keys::{Key, Shape, Table, Words, key, needed};
use crate::plan::override_problem;
use crate::reader::{Item, Mistakes, Names, Notes, Section, hint, kind_of, optional};
use crate::resource_type::{ResourceType, TypeKeys, known_names};

use super::check;
use super::data::DEFAULT_LARGEST_SCAN;
use super::limits::{self, Limits};
use super::{
    Credentials, Frequency, Glob, KEEP_FAILED_AT_MOST, LARGEST_FILE, Matcher, Method, MethodKind,
    Notify, Objectives, Rule, TOO_LARGE, Tls,
};

/// The longest name, in characters: names stand in records, messages and metrics.
pub(super) const LONGEST_NAME: usize = 128;

/// The word for a password that is set on the restored copy.
pub(super) const RESET: &str = "reset";
/// The word for a token of IAM, and the key for the user that it is for.
pub(super) const IAM: &str = "iam";

/// The most a rule may take as JSON, in bytes. Each validation freezes its rule in the ledger, where an
/// item may have 400 KB (Amazon DynamoDB developer guide, quotas).
const LARGEST_RULE: usize = 100_000;

/// Version, limits and rules of a policy file.
pub(super) type Parts = (String, Limits, Vec<Rule>);

/// Reads a policy file.
pub(super) fn parse(text: &str) -> Result<Parts, Mistakes> {
    let notes = Notes::new(text);
    if text.len() > LARGEST_FILE {
        notes.mistake(0..0, "", TOO_LARGE);
        notes.into_mistakes()?;
        return Ok(Parts::default());
    }
    let read = read(text, &notes);
    // Whatever could not be read was noted; a reader that forgot to is not worth a panic either.
    if read.is_none() && notes.is_empty() {
        notes.mistake(0..0, "", "cannot be read");
    }
    notes.into_mistakes()?;
    Ok(read.unwrap_or_default())
}

/// Reads a policy file and notes its mistakes, and answers nothing when it has any.
pub(super) fn read(text: &str, notes: &Notes<'_>) -> Option<Parts> {
    match DeTable::parse(text) {
        Ok(tree) => read_policy(tree.get_ref(), notes),
        Err(error) => {
            // The parser goes on after a mistake, but what it finds then is mostly noise.
            let span = error.span().unwrap_or(0..0);
            notes.mistake(span, "", format!("not TOML: {}", error.message().trim()));
            None
        }
    }
}

fn read_policy<'t>(tree: &'t DeTable<'t>, notes: &'t Notes<'t>) -> Option<Parts> {
    let mut top = Section::new(tree, 0..0, String::new(), notes);
    let version = top
        .required(
            "version",
            "version = \"2026-11-21\", any words that tell this policy from the next",
        )
        .and_then(|item| Some(item.line(LONGEST_NAME)?.to_owned()));
    let limits = optional(top.optional("limits"), limits::read);
    let rules = top
        .required("rules", "[[rules]] and below it the first rule's keys")
        .and_then(|item| read_rules(&item, limits.as_ref().and_then(Option::as_ref)));
    top.finish();
    Some((version?, limits?.unwrap_or_default(), rules?))
}

fn read_rules(item: &Item<'_>, limits: Option<&Limits>) -> Option<Vec<Rule>> {
    let items = item.list()?;
    if items.is_empty() {
        item.mistake("must hold at least one rule; without one nothing is ever restored");
    }
    let mut names = Names::default();
    let mut earlier: Vec<(Matcher, String)> = Vec::new();
    let rules: Vec<Option<Rule>> = items
        .iter()
        .map(|item| read_rule(item.section()?, limits, &mut names, &mut earlier))
        .collect();
    rules.into_iter().collect()
}

fn read_rule<'t>(
    mut rule: Section<'t>,
    limits: Option<&Limits>,
    names: &mut Names,
    earlier: &mut Vec<(Matcher, String)>,
) -> Option<Rule> {
    let name = rule
        .required("name", "name = \"orders databases\"")
        .and_then(|item| names.take(item.line(LONGEST_NAME)?, &item));
    let matching = rule.required(
        "match",
        "match = { resource_type = \"RDS\" }, or match = {} for all",
    );
    let matcher = matching.as_ref().and_then(read_matcher);
    if let Some(item) = &matching {
        note_unreachable(item, matcher.as_ref(), earlier);
    }
    if let Some(matcher) = &matcher {
        earlier.push((matcher.clone(), rule.place.clone()));
    }
    let methods = read_methods(&mut rule);
    let sample = optional(rule.optional("sample"), limits::read_sample);
    let named = matching.as_ref().and_then(known_type);
    let about = named.and_then(ResourceType::from_name);
    let types = TypeKeys::read(&mut rule, named);
    let restore_item = rule.optional("restore");
    let restore = optional(restore_item.clone(), |item| read_overrides(item, about));
    if let Some(limits) = limits {
        note_classes(&rule, restore_item.as_ref(), limits);
    }
    let objectives_item = rule.optional("objectives");
    let objectives = optional(objectives_item.clone(), read_objectives);
    let credentials_item = rule.optional("credentials");
    let credentials = optional(credentials_item.clone(), read_credentials);
    let tls_item = rule.optional("tls");
    let tls = optional(tls_item.clone(), |item| {
        item.one_of(&[
            ("verify", Tls::Verify),
            ("encrypt-only", Tls::EncryptOnly),
            ("off", Tls::Off),
        ])
    });
    if let (Some(item), Some(Some(Tls::Off)), Some(Some(Credentials::Iam(_)))) =
        (&tls_item, &tls, &credentials)
    {
        item.mistake("must not be \"off\" with credentials of IAM: the token would be readable on the way, and RDS takes it over TLS only");
    }
    let keep_failed_for = optional(rule.optional("keep_failed_for"), |item| {
        let duration = item.duration()?;
        if duration > KEEP_FAILED_AT_MOST {
            item.mistake("a failed restore is kept for at most 7d: it costs money every hour");
            return None;
        }
        Some(duration)
    });
    let retry = optional(rule.optional("retry"), |item| item.boolean());
    let notify = optional(rule.optional("notify"), |item| {
        item.one_of(&[
            ("always", Notify::Always),
            ("problems", Notify::Problems),
            ("changes", Notify::Changes),
            ("never", Notify::Never),
        ])
    });
    let values_leave = optional(rule.optional("values_leave"), read_ceilings);
    let checks_item = rule.optional("checks");
    let drafts = match &checks_item {
        Some(item) => {
            let largest_scan = limits.and_then(|limits| limits.largest_scan);
            check::read_all(item, about, largest_scan.unwrap_or(DEFAULT_LARGEST_SCAN))
        }
        None => Some(Vec::new()),
    };
    let needs_credentials = drafts.iter().flatten().any(|draft| draft.needs_credentials);
    if needs_credentials && credentials_item.is_none() {
        rule.missing(
            "credentials",
            "is missing: checks of data must log in; write for example credentials = { secret = \"prod/orders-db\" }, credentials = \"reset\" for a password of the copy's own, or credentials = \"iam\" for a token of IAM",
        );
    }
    if let Some(item) = &credentials_item
        && let Some(Err(problem)) = about.map(|about| about.facts().fits.credentials)
    {
        item.mistake(problem);
    }
    note_unsupported(
        matching.as_ref(),
        drafts.as_ref().is_some_and(|drafts| !drafts.is_empty()),
    );
    let checks = drafts.and_then(|drafts| check::settle(drafts, objectives_item.as_ref()));
    let header = rule.header();
    rule.finish();

    let rule = Rule {
        name: name?.to_owned(),
        matcher: matcher?,
        methods: methods?,
        sample: sample?,
        types: types?,
        restore: restore?.unwrap_or_default(),
        objectives: objectives?.unwrap_or_default(),
        credentials: credentials?,
        tls: tls?.unwrap_or_default(),
        keep_failed_for: keep_failed_for?,
        retry: retry?,
        notify: notify?.unwrap_or_default(),
        values_leave: values_leave?.unwrap_or_default(),
        checks: checks?,
    };
    let size = serde_json::to_vec(&rule).map_or(0, |json| json.len());
    if size > LARGEST_RULE {
        header.mistake(format!(
            "the rule takes {size} bytes, but each validation keeps its rule and has room for {LARGEST_RULE}; shorten its queries"
        ));
        return None;
    }
    Some(rule)
}

/// A way to test recovery points.
pub(super) static METHODS: Table = Table {
    words: "What is done, and how often.",
    keys: &[&METHOD, &FREQUENCY],
};

static METHOD: Key<Words<MethodKind>> = needed(
    "method",
    "What is done: restore, or read, which no type is yet.",
    "method = \"restore\"",
    Words(&[("restore", MethodKind::Restore), ("read", MethodKind::Read)]),
);

static FREQUENCY: Key<Words<Frequency>> = needed(
    "frequency",
    "How often it is done with a recovery point of one resource.",
    "frequency = \"daily\"",
    FREQUENCIES,
);

const FREQUENCIES: Words<Frequency> = Words(&[
    ("every-copy", Frequency::EveryCopy),
    ("daily", Frequency::Daily),
    ("weekly", Frequency::Weekly),
]);

/// `methods`, or `frequency`, which is short for the method `restore`.
fn read_methods(rule: &mut Section<'_>) -> Option<Vec<Method>> {
    let Some(item) = rule.optional("methods") else {
        let frequency = rule.needed(
            "frequency",
            "is missing; write for example frequency = \"daily\"; restores cost money, so it has no default",
        )?;
        return Some(vec![Method {
            method: MethodKind::Restore,
            frequency: FREQUENCIES.read(&frequency)?,
        }]);
    };
    if let Some(item) = rule.optional("frequency") {
        item.mistake(
            "is short for a method, and methods say how often themselves; write one of both",
        );
    }
    let items = item.list()?;
    if items.is_empty() {
        item.mistake("is empty; write for example methods = [{ method = \"restore\", frequency = \"daily\" }]");
        return None;
    }
    let mut names = Names::default();
    let methods: Vec<Option<Method>> = items
        .iter()
        .map(|item| {
            let mut section = item.section()?;
            let method = section.find(&METHOD).and_then(|item| {
                let method = METHOD.shape.read(&item)?;
                if method == MethodKind::Read {
                    item.mistake(
                        "no type is read without a restore yet; write method = \"restore\"",
                    );
                    return None;
                }
                names.take(item.text()?, &item).map(|_| method)
            });
            let frequency = section.need(&FREQUENCY);
            section.finish();
            Some(Method {
                method: method?,
                frequency: frequency?,
            })
        })
        .collect();
    methods.into_iter().collect()
}

/// Notes the classes that a rule asks for and the limits do not allow.
fn note_classes(rule: &Section<'_>, overrides: Option<&Item<'_>>, limits: &Limits) {
    for one in ResourceType::ALL {
        let keys = &one.facts().rule_keys;
        let (key, metadata_key) = keys.class;
        let own = rule.quiet(keys.name).and_then(|table| table.quiet(key));
        let overridden = overrides.into_iter().filter_map(Item::quiet_entries);
        let overridden = overridden
            .flatten()
            .filter(|(name, _)| metadata_key.is_some_and(|key| name.eq_ignore_ascii_case(key)))
            .map(|(_, item)| item);
        for item in own.into_iter().chain(overridden) {
            if let Some(class) = item.quiet_text()
                && !limits.allows_class(class)
            {
                item.mistake(format!("{}; name another class", limits.disallowed(class)));
            }
        }
    }
}

/// The first rule that matches decides: a rule behind one that matches as much is never reached.
fn note_unreachable(item: &Item<'_>, matcher: Option<&Matcher>, earlier: &[(Matcher, String)]) {
    if let Some((_, place)) = earlier.iter().find(|(other, _)| other.matches_everything()) {
        item.mistake(format!(
            "this rule can never match: {place} before it matches every recovery point; move that one to the end"
        ));
    } else if let Some((_, place)) = earlier.iter().find(|(other, _)| Some(other) == matcher) {
        item.mistake(format!(
            "this rule can never match: {place} before it matches the same recovery points"
        ));
    }
}

fn note_unsupported(matching: Option<&Item<'_>>, has_checks: bool) {
    if let Some(item) = matching
        && has_checks
        && let Some(name) = known_type(item)
        && ResourceType::from_name(name).is_none()
        && let Some(named) = item.quiet("resource_type")
    {
        named.mistake(format!(
            "checks of {name} are not supported yet; this version checks {}",
            ResourceType::names().join(", ")
        ));
    }
}

/// The resource type a rule is about, when it names one that AWS Backup restores.
fn known_type<'t>(matching: &Item<'t>) -> Option<&'t str> {
    let name = matching.quiet("resource_type")?.quiet_text()?;
    known_names().contains(&name).then_some(name)
}

fn read_matcher(item: &Item<'_>) -> Option<Matcher> {
    let mut section = item.section()?;
    let resource_type = optional(section.optional("resource_type"), |item| {
        let name = item.text()?;
        let known = known_names();
        if known.contains(&name) {
            return Some(name.to_owned());
        }
        item.mistake(format!(
            "AWS Backup restores no resource type \"{name}\"; {}",
            hint(
                name,
                known.iter().copied(),
                &format!("known: {}", known.join(", "))
            )
        ));
        None
    });
    let source_arn = optional(section.optional("source_arn"), |item| {
        let glob = read_glob(item)?;
        if !glob.as_str().starts_with(['*', '?']) && !glob.as_str().starts_with("arn:") {
            item.mistake("matches no ARN: ARNs begin with \"arn:\"");
            return None;
        }
        Some(glob)
    });
    let account = optional(section.optional("account"), |item| {
        let account = item.text()?;
        if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) {
            return Some(account.to_owned());
        }
        item.mistake("must be an AWS account id: 12 digits in quotes");
        None
    });
    let vault = optional(section.optional("vault"), read_glob);
    let tags = optional(section.optional("tags"), |item| {
        let tags: Vec<Option<(String, Glob)>> = item
            .entries()?
            .into_iter()
            // A tag's value may be empty, unlike everything else that is matched.
            .map(|(key, item)| {
                let glob = if item.text()?.is_empty() {
                    Glob::default()
                } else {
                    read_glob(&item)?
                };
                Some((key.to_owned(), glob))
            })
            .collect();
        tags.into_iter().collect::<Option<BTreeMap<String, Glob>>>()
    });
    section.finish();
    Some(Matcher {
        resource_type: resource_type?,
        source_arn: source_arn?,
        account: account?,
        vault: vault?,
        tags: tags?.unwrap_or_default(),
    })
}

pub(super) fn read_glob(item: &Item<'_>) -> Option<Glob> {
    let text = item.text()?;
    if text.is_empty() {
        item.mistake("is empty and matches nothing; leave it out to match everything");
        return None;
    }
    Glob::new(text)
        .map_err(|problem| item.mistake(format!("this pattern {problem}")))
        .ok()
}

fn read_overrides(
    item: &Item<'_>,
    about: Option<ResourceType>,
) -> Option<BTreeMap<String, String>> {
    let overrides: Vec<Option<(String, String)>> = item
        .entries()?
        .into_iter()
        .map(|(key, item)| {
            let value = item.text()?;
            if let Some(problem) = override_problem(about, key, value) {
                item.mistake(problem);
                return None;
            }
            Some((key.to_owned(), value.to_owned()))
        })
        .collect();
    overrides.into_iter().collect()
}

fn read_objectives(item: &Item<'_>) -> Option<Objectives> {
    let mut section = item.section()?;
    let recovery_time = optional(section.optional("recovery_time"), Item::duration);
    let data_age = optional(section.optional("data_age"), Item::duration);
    section.finish();
    Some(Objectives {
        recovery_time: recovery_time?,
        data_age: data_age?,
    })
}

/// What may leave at most, in a word.
pub(super) const CEILINGS: Words<Ceiling> = Words(&[
    (Ceiling::None.as_str(), Ceiling::None),
    (Ceiling::Numbers.as_str(), Ceiling::Numbers),
    (Ceiling::Text.as_str(), Ceiling::Text),
]);

/// What may leave at most, for each way out.
pub(super) static EACH_CEILING: Table = Table {
    words: "For each way out. What is not named keeps the stack's ceiling.",
    keys: &[&RECORD_CEILING, &LOG_CEILING, &MESSAGE_CEILING],
};

static RECORD_CEILING: Key<Words<Ceiling>> = key("record", "Into the record in S3.", CEILINGS);
static LOG_CEILING: Key<Words<Ceiling>> =
    key("log", "Into the event in CloudWatch Logs.", CEILINGS);
static MESSAGE_CEILING: Key<Words<Ceiling>> =
    key("message", "Into the message through SNS.", CEILINGS);

fn read_ceilings(item: &Item<'_>) -> Option<Ceilings> {
    if !matches!(item.value, DeValue::Table(_)) {
        return CEILINGS.read(item).map(Ceilings::all);
    }
    let mut section = item.section()?;
    let none_lowered = Ceilings::default();
    let (record, log, message) = (
        section.get(&RECORD_CEILING),
        section.get(&LOG_CEILING),
        section.get(&MESSAGE_CEILING),
    );
    section.finish();
    Some(Ceilings {
        record: record?.unwrap_or(none_lowered.record),
        log: log?.unwrap_or(none_lowered.log),
        message: message?.unwrap_or(none_lowered.message),
    })
}

/// What a database user's name is like that logs in by a token of IAM.
const IAM_USER_RULE: &str = "must be a database user's name: up to 32 letters, digits, _ . and -, not beginning with . or -";
/// The same as a regular expression.
pub(super) const IAM_USER_PATTERN: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$";

/// Whether a database user of this name may log in by a token of IAM. Narrower than the engines: MySQL takes 32 characters,
/// PostgreSQL 63 bytes, but the environment of a function has room for 4 KB in all; in IAM's policy `*` and `?` would mean
/// others too; and in the token the name is not escaped.
#[must_use]
pub fn is_iam_user(name: &str) -> bool {
    let sound = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    name.len() <= 32 && name.bytes().all(sound) && !name.is_empty() && !name.starts_with(['.', '-'])
}

fn read_credentials(item: &Item<'_>) -> Option<Credentials> {
    if let DeValue::String(word) = item.value {
        match word.as_ref() {
            RESET => return Some(Credentials::Reset),
            IAM => return Some(Credentials::Iam(None)),
            _ => {}
        }
        item.mistake(format!(
            "must be \"{RESET}\", for a password that is set on the copy, \"{IAM}\", for a token of IAM, or name a secret: {{ secret = \"{}\" }}",
            if word.is_empty() { "prod/orders-db" } else { word }
        ));
        return None;
    }
    if !matches!(item.value, DeValue::Table(_)) {
        item.mistake(format!(
            "must be \"{RESET}\", \"{IAM}\" or a table such as {{ secret = \"prod/orders-db\" }}, not {}",
            kind_of(item.value)
        ));
        return None;
    }
    let mut section = item.section()?;
    let (secret, user) = (section.optional("secret"), section.optional(IAM));
    section.finish();
    match (secret, user) {
        (Some(secret), None) => read_secret(&secret).map(Credentials::Secret),
        (None, Some(user)) => {
            let name = user.text()?;
            if !is_iam_user(name) {
                user.mistake(IAM_USER_RULE);
                return None;
            }
            Some(Credentials::Iam(Some(name.to_owned())))
        }
        (None, None) => {
            item.mistake(format!(
                "must name a secret, {{ secret = \"prod/orders-db\" }}, or a database user, {{ {IAM} = \"restore_check\" }}"
            ));
            None
        }
        (Some(_), Some(user)) => {
            user.mistake("must not stand beside secret: checks log in by one of them");
            None
        }
    }
}

/// Source of the characters: AWS Secrets Manager API reference, `CreateSecret`, `Name`.
fn read_secret(item: &Item<'_>) -> Option<String> {
    let secret = item.line(2048)?;
    if secret.starts_with("arn:") {
        let parts: Vec<&str> = secret.split(':').collect();
        if parts.len() != 7 || parts[2] != "secretsmanager" || parts[5] != "secret" {
            item.mistake(
                "is not a secret's ARN (arn:aws:secretsmanager:region:account:secret:name-suffix)",
            );
            return None;
        }
    } else if secret.len() > 512
        || !secret
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b))
    {
        item.mistake("no secret has this name: names are up to 512 letters, digits and /_+=.@-");
        return None;
    }
    Some(secret.to_owned())
}

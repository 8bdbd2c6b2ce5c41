//! The policy file's JSON Schema, for editors: it completes keys and shows what they mean while people write.
//!
//! It tells less than the reader, which alone decides: whether a regex, a pattern or a time zone is one, whether names
//! are unique and rules are reached, is beyond a schema.

use serde_json::{Map, Value, json};

use super::check::data;
use super::rule::{CEILINGS, EACH_CEILING, IAM, IAM_USER_PATTERN, LONGEST_NAME, METHODS, RESET};
use super::{MOST_CONCURRENT_RESTORES, MOST_REDIRECTS, MOST_STEPS};
use crate::keys::Shape;
use crate::resource_type::{ResourceType, known_names};

/// The JSON Schema (draft 2020-12) of a policy file. Editors use it for TOML as they do for JSON.
pub fn schema() -> Value {
    let mut top = closed(
        "A policy of Restore Proof: which backups are restored, how often, and what must be true of them.",
        &["version", "rules"],
        vec![
            (
                "version",
                "Your words, which tell this policy from the next. Every record names them, beside a hash of the file.",
                line(LONGEST_NAME),
            ),
            (
                "limits",
                "What testing may take, over all rules.",
                reference("limits"),
            ),
            (
                "rules",
                "Tried from the first to the last; the first that matches a recovery point decides. What no rule matches is not restored.",
                json!({ "type": "array", "minItems": 1, "items": reference("rule") }),
            ),
        ],
    );
    top["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    top["title"] = json!("Restore Proof policy");
    top["$defs"] = json!({
        "limits": limits(),
        "rule": rule(),
        "match": matcher(),
        "check": check(),
        "sql": sql(),
        "http": http(),
        "step": step(),
        "connect": connect(),
        "expect": expect(),
        "duration": {
            "type": "string",
            "pattern": duration(&["d", "h", "m", "s"]),
            "examples": ["90s", "15m", "2h", "1d", "1h30m"],
        },
        "latency": {
            "type": "string",
            "pattern": duration(&["d", "h", "m", "s", "ms"]),
            "examples": ["500ms", "2s"],
        },
    });
    for (word, kind) in data::Kind::WORDS {
        top["$defs"][word] = data_kind(word, kind);
    }
    top
}

/// A share above zero and up to all, with at most two decimals.
const SHARE: &str =
    "^(0*100(\\.0{1,2})?|0*[1-9][0-9]?(\\.[0-9]{1,2})?|0+\\.([1-9][0-9]?|0[1-9]))%$";

/// A size.
const SIZE: &str = "^0*[1-9][0-9]* ?(MiB|GiB|TiB|MB|GB|TB)$";

fn limits() -> Value {
    let slots = || json!({ "type": "integer", "minimum": 1, "maximum": MOST_CONCURRENT_RESTORES });
    closed(
        "What testing may take, over all rules. What is not set does not limit.",
        &[],
        vec![
            (
                "concurrent_restores",
                "The most restores at one time. The stack's parameter MaxConcurrentRestores stays the ceiling.",
                slots(),
            ),
            (
                "concurrent_restores_by_type",
                "The most restores at one time of resources of a type, within all of them.",
                closed(
                    "Slots by type.",
                    &[],
                    ResourceType::names()
                        .map(|name| (name, "The most of this type at one time.", slots()))
                        .into(),
                ),
            ),
            (
                "largest_size",
                "A larger recovery point is not restored, and its record says not_tested; one of unknown size is.",
                json!({ "type": "string", "pattern": SIZE, "examples": ["500 GiB", "2 TiB"] }),
            ),
            (
                "largest_scan",
                "The largest table that a check reads whole; of a larger one it reads a sample. Default: 1 GiB.",
                json!({ "type": "string", "pattern": SIZE, "examples": ["1 GiB", "50 GiB"] }),
            ),
            (
                "longest_wait",
                "How long a recovery point waits for a slot among the restores, from 10m to 30d; then its record says not_tested. Default: 7d.",
                reference("duration"),
            ),
            (
                "restores_per_month",
                "The most restores in a calendar month, of all types.",
                json!({ "type": "integer", "minimum": 1 }),
            ),
            (
                "classes_allowed",
                "The classes that restores may ask for; they know * and ?. A rule that asks for another is a mistake, and a backup of another is not restored. Default: all.",
                json!({ "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 }, "examples": [["db.t4g.*", "t3.*"]] }),
            ),
        ],
    )
}

fn rule() -> Value {
    let mut keys = vec![
        (
            "name",
            "Unique in the file; stands in records and messages.",
            line(LONGEST_NAME),
        ),
        (
            "match",
            "Which recovery points the rule is about. Everything given must hold; {} matches all.",
            reference("match"),
        ),
        (
            "frequency",
            "How often a recovery point of one resource is restored: short for methods = [{ method = \"restore\", frequency = … }]. It has no default: every restore costs money.",
            words(&["every-copy", "daily", "weekly"]),
        ),
        (
            "methods",
            "How recovery points are tested, and how often; instead of frequency.",
            json!({ "type": "array", "minItems": 1, "items": METHODS.schema() }),
        ),
        (
            "sample",
            "Of the recovery points the rule matches, the share that is tested, beside frequency. The same one is always drawn the same way. Default: all.",
            json!({ "type": "string", "pattern": SHARE, "examples": ["20%", "0.5%"] }),
        ),
        (
            "restore",
            "Replaces values of AWS Backup's restore metadata. Keys that safety needs cannot be replaced.",
            json!({ "type": "object", "additionalProperties": { "type": "string", "minLength": 1 } }),
        ),
        (
            "objectives",
            "What the record measures against. Missing one never changes the verdict.",
            closed(
                "Targets.",
                &[],
                vec![
                    (
                        "recovery_time",
                        "The longest a recovery may take: restore, preparation and first passed check.",
                        reference("duration"),
                    ),
                    (
                        "data_age",
                        "The oldest the newest data may be when the backup is made. Needs a check with max_age, or with data_age = true.",
                        reference("duration"),
                    ),
                ],
            ),
        ),
        (
            "credentials",
            "Databases: how checks log in. \"reset\" sets a master password on the restored copy, so that no secret of production is needed here; \"iam\" takes a token of IAM, for a user that the stack's parameter IamDatabaseUsers names.",
            credentials(),
        ),
        (
            "tls",
            "How strictly connections of checks are secured. Default: verify.",
            words(&["verify", "encrypt-only", "off"]),
        ),
        (
            "keep_failed_for",
            "How long to keep a restore whose verdict is failed, for people to look at it, at most 7d. Default: it is deleted at once.",
            reference("duration"),
        ),
        (
            "retry",
            "Whether a restore whose fault may pass is tried again. Default: unless it ran for more than an hour, or is billed by size.",
            json!({ "type": "boolean" }),
        ),
        (
            "notify",
            "When to send a message: about every verdict, about problems, when the verdicts on a resource change (with a reminder about once a week while they stay bad), or never. Default: always.",
            words(&["always", "problems", "changes", "never"]),
        ),
        (
            "values_leave",
            "What of the restored data may leave at most: into record, log event and message alike, or into each apart. It lowers the stack's parameter ValuesLeave and never raises it.",
            json!({ "oneOf": [CEILINGS.schema(), EACH_CEILING.schema()] }),
        ),
        (
            "checks",
            "What must be true of the restored copy. Without checks the verdict is unchecked, never passed.",
            json!({ "type": "array", "items": reference("check") }),
        ),
    ];
    for one in ResourceType::ALL {
        let own = &one.facts().rule_keys;
        keys.push((own.name, own.table.words, own.table.schema()));
    }
    let mut rule = closed(
        "What to do with the recovery points it matches.",
        &["name", "match"],
        keys,
    );
    rule["oneOf"] = json!([{ "required": ["frequency"] }, { "required": ["methods"] }]);
    let about = |resource_type: &str, useless: &[&str], kinds: &[&str]| {
        let mut then: Map<String, Value> = useless
            .iter()
            .map(|key| ((*key).to_owned(), Value::Bool(false)))
            .collect();
        then.insert(
            "checks".to_owned(),
            json!({ "items": { "properties": { "kind": { "enum": kinds } } } }),
        );
        json!({
            "if": {
                "required": ["match"],
                "properties": { "match": {
                    "required": ["resource_type"],
                    "properties": { "resource_type": { "const": resource_type } },
                } },
            },
            "then": { "properties": then },
        })
    };
    let about = ResourceType::ALL.map(|one| {
        let fits = &one.facts().fits;
        let others = ResourceType::ALL.into_iter().filter(|other| *other != one);
        let mut useless: Vec<&str> = others.map(|other| other.facts().rule_keys.name).collect();
        if fits.credentials.is_err() {
            useless.push("credentials");
        }
        let kinds = [
            ("sql", fits.sql),
            ("http", fits.http),
            ("connect", fits.connect),
        ];
        let data = data::Kind::WORDS.map(|(kind, _)| (kind, fits.sql));
        let kinds: Vec<&str> = kinds
            .into_iter()
            .chain(data)
            .filter_map(|(kind, fit)| fit.is_ok().then_some(kind))
            .collect();
        about(one.name(), &useless, &kinds)
    });
    let mut conditions = about.to_vec();
    conditions.push(json!({
        "if": {
            "required": ["credentials"],
            "properties": { "credentials": { "anyOf": [{ "const": IAM }, { "required": [IAM], "type": "object" }] } },
        },
        "then": { "properties": { "tls": { "not": { "const": "off" } } } },
    }));
    rule["allOf"] = json!(conditions);
    rule
}

fn credentials() -> Value {
    let mut table = closed(
        "A secret of AWS Secrets Manager, or a database user that logs in by a token of IAM.",
        &[],
        vec![
            (
                "secret",
                "Name or ARN of a secret with username and password (and dbname) of a user that may read.",
                line(2048),
            ),
            (
                IAM,
                "The user's name, which the stack's parameter IamDatabaseUsers must name, too.",
                json!({ "type": "string", "pattern": IAM_USER_PATTERN }),
            ),
        ],
    );
    table["oneOf"] = json!([{ "required": ["secret"] }, { "required": [IAM] }]);
    json!({ "oneOf": [{ "const": RESET }, { "const": IAM }, table] })
}

fn matcher() -> Value {
    let glob = json!({ "type": "string", "minLength": 1 });
    closed(
        "Which recovery points a rule is about.",
        &[],
        vec![
            (
                "resource_type",
                "AWS Backup's name of the resource type.",
                words(&known_names()),
            ),
            (
                "source_arn",
                "ARN of the backed-up resource; * stands for any text and ? for one character.",
                json!({ "type": "string", "pattern": "^(arn:|[*?])" }),
            ),
            (
                "account",
                "Account of the backed-up resource, 12 digits in quotes.",
                json!({ "type": "string", "pattern": "^[0-9]{12}$" }),
            ),
            (
                "vault",
                "Name of the vault the recovery point lies in; knows * and ?.",
                glob,
            ),
            (
                "tags",
                "Tags the recovery point must carry; their values know * and ?.",
                json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            ),
        ],
    )
}

fn check() -> Value {
    let mut kinds = vec!["sql", "http", "connect"];
    kinds.extend(data::Kind::WORDS.map(|(word, _)| word));
    let branches: Vec<Value> = kinds
        .iter()
        .map(|kind| {
            json!({
                "if": { "required": ["kind"], "properties": { "kind": { "const": kind } } },
                "then": reference(kind),
            })
        })
        .collect();
    json!({
        "description": "One assertion about the restored copy.",
        "type": "object",
        "required": ["name", "kind"],
        "properties": { "kind": {
            "description": "What is done: a query to a database or a question without SQL about its data, requests to a machine, or a connection to a port.",
            "enum": kinds,
        } },
        "allOf": branches,
    })
}

/// The keys of a check of one kind: those of every check and its own.
fn kind(
    kind: &str,
    description: &str,
    required: &[&str],
    mut own: Vec<(&'static str, &'static str, Value)>,
) -> Value {
    let mut keys = vec![
        (
            "name",
            "Unique in its rule; stands in records and messages.",
            line(LONGEST_NAME),
        ),
        ("kind", "What is done.", json!({ "const": kind })),
        (
            "timeout",
            "The longest the check may take, from 1s to 10m. Default: 30s.",
            reference("duration"),
        ),
        (
            "group",
            "A label of your own for people who read results.",
            line(LONGEST_NAME),
        ),
    ];
    keys.append(&mut own);
    closed(description, &[&["name", "kind"], required].concat(), keys)
}

fn data_kind(word: &str, kind: data::Kind) -> Value {
    let table = kind.table();
    let required = table.keys.iter().filter(|key| key.must_be_there());
    let required: Vec<&str> = required.map(|key| key.name()).collect();
    let mut object = self::kind(word, table.words, &required, Vec::new());
    for key in table.keys {
        object["properties"][key.name()] = key.schema();
    }
    object
}

fn sql() -> Value {
    kind(
        "sql",
        "One query, one value, one expectation. It runs read-only.",
        &["query", "expect"],
        vec![
            (
                "database",
                "Database to connect to. Default: the secret's dbname, or the one that was made with the DB instance.",
                line(64),
            ),
            (
                "query",
                "Answers one value: the first column of the first row is judged.",
                json!({ "type": "string", "pattern": "\\S" }),
            ),
            ("expect", "What the value must be.", reference("expect")),
            (
                "time_zone",
                "IANA name of the time zone in which timestamps without one are read. Default: UTC.",
                json!({ "type": "string", "minLength": 1, "examples": ["UTC", "Europe/Berlin"] }),
            ),
            (
                "data_age",
                "Whether the value says how new the newest data is. Default: true for the rule's only check with max_age.",
                json!({ "type": "boolean" }),
            ),
        ],
    )
}

fn http() -> Value {
    kind(
        "http",
        "Requests to the restored machine, one after the other. The check passes when every step does.",
        &["steps"],
        vec![
            (
                "scheme",
                "Default: http. With https, the rule's tls says how strictly the certificate is looked at.",
                words(&["http", "https"]),
            ),
            ("port", "Default: 80 for http, 443 for https.", port()),
            (
                "host",
                "The host that is asked for, and the name in the certificate; the connection always goes to the machine. Default: its address.",
                json!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]+$", "maxLength": 253 }),
            ),
            ("address", ADDRESS, words(&["private", "public"])),
            (
                "redirects",
                "How many redirects are followed, only to the same machine and port. Default: 0, so that a redirect is an answer like any other.",
                json!({ "type": "integer", "minimum": 0, "maximum": MOST_REDIRECTS }),
            ),
            (
                "steps",
                "The requests, each with what its answer must be.",
                json!({ "type": "array", "minItems": 1, "maxItems": MOST_STEPS, "items": reference("step") }),
            ),
        ],
    )
}

fn step() -> Value {
    let status = json!({ "type": "integer", "minimum": 100, "maximum": 599 });
    let mut step = closed(
        "One request. What is given must all hold of its answer.",
        &["path"],
        vec![
            (
                "path",
                "Path and query.",
                json!({ "type": "string", "pattern": "^/[!$-;=?-\\[\\]_a-z~]*$", "maxLength": 2048 }),
            ),
            (
                "name",
                "Unique in its check; stands in records and messages. Default: the path.",
                line(LONGEST_NAME),
            ),
            ("method", "Default: GET.", words(&["GET", "HEAD", "POST"])),
            (
                "headers",
                "Headers to send. Host is a key of the check.",
                json!({
                    "type": "object",
                    "propertyNames": { "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" },
                    "additionalProperties": { "type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$" },
                }),
            ),
            (
                "body",
                "Body to send, with method POST.",
                json!({ "type": "string" }),
            ),
            (
                "status",
                "The status of the answer, or several that are right. Default: 200.",
                json!({ "oneOf": [status, { "type": "array", "minItems": 1, "items": status }] }),
            ),
            (
                "contains",
                "Text that the answer's body must hold.",
                json!({ "type": "string", "minLength": 1 }),
            ),
            (
                "matches",
                "A regular expression (syntax of Rust's regex crate) of which the answer's body must hold a match.",
                json!({ "type": "string", "minLength": 1 }),
            ),
            (
                "json",
                "JSON pointer to the value of the answer's body that expect judges; \"\" is the whole body.",
                json!({ "type": "string", "pattern": "^(/([^~]|~[01])*)?$", "examples": ["/status", "/items/0/name"] }),
            ),
            (
                "expect",
                "What the value at json must be.",
                reference("expect"),
            ),
            (
                "within",
                "The longest from request to complete answer; not longer than the check's timeout.",
                reference("latency"),
            ),
        ],
    );
    step["dependentRequired"] =
        json!({ "json": ["expect"], "expect": ["json"], "body": ["method"] });
    step["allOf"] = json!([
        {
            "if": { "required": ["method"], "properties": { "method": { "const": "HEAD" } } },
            "then": { "properties": { "body": false, "contains": false, "matches": false, "json": false } },
        },
        {
            "if": { "required": ["method"], "properties": { "method": { "const": "GET" } } },
            "then": { "properties": { "body": false } },
        },
    ]);
    step
}

fn connect() -> Value {
    kind(
        "connect",
        "A port answers, and says what it should.",
        &[],
        vec![
            (
                "port",
                "Default, in a rule about RDS: the one the restored database listens on.",
                port(),
            ),
            ("address", ADDRESS, words(&["private", "public"])),
            (
                "greeting",
                "A regular expression (syntax of Rust's regex crate) that must match what the other side says first. Default: nothing is read.",
                json!({ "type": "string", "minLength": 1, "examples": ["^SSH-2\\.0-"] }),
            ),
        ],
    )
}

const ADDRESS: &str = "Which address of the machine is connected to. Default: private.";

fn expect() -> Value {
    let number = json!({ "type": "number" });
    let mut expect = closed(
        "Exactly one expectation.",
        &[],
        vec![
            (
                "equals",
                "The very value: a text, a number, true or false.",
                json!({ "type": ["string", "number", "boolean"] }),
            ),
            ("min", "A number, not less than this.", number.clone()),
            ("max", "A number, not more than this.", number.clone()),
            (
                "between",
                "A number from the first to the second, both included.",
                json!({ "type": "array", "minItems": 2, "maxItems": 2, "items": number }),
            ),
            (
                "max_age",
                "A point in time, at most this long before the backup was made.",
                reference("duration"),
            ),
            (
                "not_empty",
                "A value that is neither NULL nor empty.",
                json!({ "const": true }),
            ),
            (
                "matches",
                "A value whose text holds a match of this regular expression (syntax of Rust's regex crate).",
                json!({ "type": "string", "minLength": 1 }),
            ),
        ],
    );
    expect["minProperties"] = json!(1);
    expect["maxProperties"] = json!(1);
    expect
}

/// An object that has no other keys.
fn closed(
    description: &str,
    required: &[&str],
    keys: Vec<(&'static str, &'static str, Value)>,
) -> Value {
    let properties: Map<String, Value> = keys
        .into_iter()
        .map(|(key, description, mut value)| {
            value["description"] = json!(description);
            (key.to_owned(), value)
        })
        .collect();
    let mut object = json!({
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{definition}") })
}

fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

/// One line of text with something in it.
pub(super) fn line(longest: usize) -> Value {
    json!({ "type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]*[^\\s\\x00-\\x1f\\x7f][^\\x00-\\x1f\\x7f]*$", "maxLength": longest })
}

fn port() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 65535 })
}

/// Durations with these units, the largest first, each at most once.
fn duration(units: &[&str]) -> String {
    let part = |unit: &&str| format!("[0-9]+{unit}");
    let beginnings: Vec<String> = (0..units.len())
        .map(|first| {
            let rest: String = units[first + 1..]
                .iter()
                .map(|unit| format!("( *{})?", part(unit)))
                .collect();
            part(&units[first]) + &rest
        })
        .collect();
    format!("^({})$", beginnings.join("|"))
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;

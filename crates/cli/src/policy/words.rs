//! What a rule says, in words.

use restore_proof_core::check::{expectation, schema};
use restore_proof_core::policy::{
    self, Address, Check, CheckKind, Credentials, DEFAULT_LONGEST_WAIT, Frequency, HttpCheck,
    HttpMethod, HttpStep, Limits, Matcher, MethodKind, Notify, Rule, Scheme, Tls, readable_size,
};
use restore_proof_core::resource_type::ResourceType;

use crate::output::{YELLOW, count, one_line, paint, printable, readable};

/// What testing may take, line by line; nothing where the policy does not limit it.
pub(crate) fn limits(limits: &Limits) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let by_type: Vec<String> = limits
        .concurrent_restores_by_type
        .iter()
        .map(|(name, most)| format!("{most} of type {name}"))
        .collect();
    let restores = match (limits.concurrent_restores, by_type.is_empty()) {
        (None, true) => None,
        (None, false) => Some(by_type.join(", ")),
        (Some(most), true) => Some(most.to_string()),
        (Some(most), false) => Some(format!("{most}, of which {}", by_type.join(", "))),
    };
    if let Some(restores) = restores {
        let words = format!("{restores}; never more than the stack's MaxConcurrentRestores");
        facts.push(("at one time", words));
    }
    if let Some(largest) = limits.largest_size {
        let words = format!(
            "a larger recovery point than {} is not tested",
            readable_size(largest)
        );
        facts.push(("size", words));
    }
    if let Some(largest) = limits.largest_scan {
        let words = format!(
            "of a larger table than {} checks read a sample",
            readable_size(largest)
        );
        facts.push(("scans", words));
    }
    if limits.longest_wait != DEFAULT_LONGEST_WAIT {
        let words = format!(
            "{} for a slot among the restores; after that a copy is not tested",
            readable(limits.longest_wait)
        );
        facts.push(("may wait", words));
    }
    if let Some(most) = limits.restores_per_month {
        facts.push(("in a month", format!("{most} restores at most")));
    }
    if !limits.classes_allowed.is_empty() {
        let globs: Vec<&str> = limits
            .classes_allowed
            .iter()
            .map(policy::Glob::as_str)
            .collect();
        facts.push(("classes", printable(&globs.join(", "))));
    }
    facts
}

/// What is to be said about a rule, line by line; a line without a label goes on with the one above.
pub(crate) fn facts(rule: &Rule) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("matches", matching(&rule.matcher)),
        ("restores", frequency(rule)),
    ];
    if let Some(other) = rule.matcher.resource_type.as_deref()
        && ResourceType::from_name(other).is_none()
    {
        let words = format!("{other} is not supported yet: nothing is restored");
        facts.push(("", paint(YELLOW, &words)));
    }
    for told in ResourceType::ALL
        .into_iter()
        .flat_map(|one| rule.types.told(one))
    {
        let words = printable(&told.words);
        let words = if told.is_warning {
            paint(YELLOW, &words)
        } else {
            words
        };
        facts.push((told.label, words));
    }
    if !rule.restore.is_empty() {
        let overrides: Vec<String> = rule
            .restore
            .iter()
            .map(|(key, value)| printable(&format!("{key} = {value}")))
            .collect();
        facts.push(("overrides", overrides.join(", ")));
    }
    let about = rule.matcher.resource_type.as_deref();
    let is_http = |check: &Check| matches!(check.kind, CheckKind::Http(_));
    for one in ResourceType::ALL {
        if let Some(boot_timeout) = rule.types.boot_timeout(one)
            && (about == Some(one.name()) || about.is_none() && rule.checks.iter().any(is_http))
        {
            let words = format!(
                "{}; until then checks are tried again",
                readable(boot_timeout)
            );
            facts.push(("may boot for", words));
        }
    }
    if let Some(objectives) = objectives(rule) {
        facts.push(("objectives", objectives));
    }
    match &rule.credentials {
        Some(Credentials::Secret(secret)) => facts.push(("secret", printable(secret))),
        Some(Credentials::Reset) => {
            facts.push(("password", "a new one, set on the restored copy".to_owned()));
        }
        Some(Credentials::Iam(user)) => {
            let whose = user
                .as_deref()
                .unwrap_or("the stack's one user of IamDatabaseUsers");
            facts.push(("token of IAM", whose.to_owned()));
        }
        None => {}
    }
    match rule.tls {
        Tls::Verify => {}
        Tls::EncryptOnly => {
            facts.push(("tls", paint(YELLOW, "encrypted, certificate not verified")))
        }
        Tls::Off => facts.push(("tls", paint(YELLOW, "off"))),
    }
    if let Some(keep) = rule.keep_failed_for {
        facts.push(("kept", format!("{} when its data is wrong", readable(keep))));
    }
    if let Some(retry) = rule.retry {
        let words = match retry {
            true => "a restore whose fault may pass, whatever it costs",
            false => "no restore",
        };
        facts.push(("tries again", words.to_owned()));
    }
    let messages = match rule.notify {
        Notify::Always => "about every verdict",
        Notify::Problems => "about problems only",
        Notify::Changes => {
            "when the verdicts on a resource change, and about once a week while they stay bad"
        }
        Notify::Never => "never",
    };
    facts.push(("messages", messages.to_owned()));
    if rule.checks.is_empty() {
        let words = "none: the verdict is `unchecked`, never `passed`";
        facts.push(("checks", paint(YELLOW, words)));
    }
    let longest = |text: fn(&Check) -> usize| rule.checks.iter().map(text).max().unwrap_or(0);
    let widest = longest(|check| check.name.chars().count());
    let kinds = longest(|check| check.kind.name().len());
    for (index, check) in rule.checks.iter().enumerate() {
        let label = if index == 0 { "checks" } else { "" };
        let (name, kind) = (printable(&check.name), check.kind.name());
        let words = format!("{name:<widest$}  {kind:<kinds$}  {}", summary(check));
        facts.push((label, words));
    }
    facts
}

/// A rule's objectives; none when it has none.
pub(crate) fn objectives(rule: &Rule) -> Option<String> {
    let time = rule.objectives.recovery_time;
    let age = rule.objectives.data_age;
    let words: Vec<String> = [
        time.map(|time| format!("recovered within {}", readable(time))),
        age.map(|age| format!("data at most {} old", readable(age))),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// What is matched.
fn matching(matcher: &Matcher) -> String {
    if matcher.matches_everything() {
        return "every recovery point".to_owned();
    }
    let glob = |glob: &policy::Glob| glob.as_str().to_owned();
    let mut parts = Vec::new();
    parts.extend(matcher.resource_type.clone());
    parts.extend(matcher.source_arn.as_ref().map(glob));
    parts.extend(
        matcher
            .account
            .as_ref()
            .map(|account| format!("account {account}")),
    );
    parts.extend(
        matcher
            .vault
            .as_ref()
            .map(|vault| format!("vault {}", vault.as_str())),
    );
    parts.extend(
        matcher
            .tags
            .iter()
            .map(|(key, glob)| format!("tag {key} = {}", glob.as_str())),
    );
    printable(&parts.join(", "))
}

/// How often.
pub(crate) fn frequency(rule: &Rule) -> String {
    let methods: Vec<String> = rule
        .methods
        .iter()
        .map(|one| {
            let how = match one.method {
                MethodKind::Restore => "",
                MethodKind::Read => "reads ",
            };
            let often = match one.frequency {
                Frequency::EveryCopy => "every copy",
                Frequency::Daily => "at most one copy a day of each resource",
                Frequency::Weekly => "at most one copy a week of each resource",
            };
            format!("{how}{often}")
        })
        .collect();
    let frequency = methods.join("; ");
    match rule.sample {
        Some(sample) => format!("{frequency}, of a sample of {sample}"),
        None => frequency,
    }
}

/// A check in one line.
fn summary(check: &Check) -> String {
    match &check.kind {
        CheckKind::Sql(sql) => {
            let age = if check.measures_data_age() {
                "; tells the data's age"
            } else {
                ""
            };
            format!("{}{age}", printable(&sql.expect.to_string()))
        }
        CheckKind::Schema(schema) => one_line(&schema::in_words(&schema.expect)),
        CheckKind::Profile(_) => one_line(&expectation(check)),
        CheckKind::Data(data) => {
            let age = if check.measures_data_age() {
                "; tells the data's age"
            } else {
                ""
            };
            let words = format!(
                "{}: {}{age}",
                data.question.subject(),
                data.in_words(&data.expect)
            );
            one_line(&words)
        }
        CheckKind::Http(http) => {
            let paths: Vec<_> = http.steps.iter().map(|step| step.path.as_str()).collect();
            let at = place(http);
            printable(&format!(
                "{} at {at}: {}",
                count(http.steps.len(), "step"),
                paths.join(", ")
            ))
        }
        CheckKind::Connect(_) => details(check).remove(0),
    }
}

/// What a check does and expects, line by line.
pub(crate) fn details(check: &Check) -> Vec<String> {
    let check_timeout = check.timeout;
    match &check.kind {
        CheckKind::Sql(sql) => {
            let mut lines = vec![one_line(&sql.query)];
            let mut words = format!("must be {}", sql.expect);
            if let Some(database) = &sql.database {
                words += &format!("; in database {database}");
            }
            if check.measures_data_age() {
                words += "; tells the data's age";
            }
            lines.push(printable(&format!(
                "{words}; within {}",
                readable(check.timeout)
            )));
            lines
        }
        CheckKind::Profile(profile) => {
            let tables: Vec<_> = profile.tables.iter().map(ToString::to_string).collect();
            let mut lines = Vec::new();
            if !tables.is_empty() {
                lines.push(one_line(&format!("rows of {}", tables.join(", "))));
            }
            let mut words = expectation(check);
            if let Some(database) = &profile.database {
                words += &format!("; in database {database}");
            }
            words += &format!("; within {}", readable(check.timeout));
            lines.push(printable(&words));
            lines
        }
        CheckKind::Schema(check) => {
            let facts = |facts: &[String], verb: &str| -> Vec<String> {
                let line = |fact: &String| one_line(&format!("{verb}: {fact}"));
                facts.iter().map(line).collect()
            };
            let mut lines = facts(&check.expect.has, "must have");
            lines.extend(facts(&check.expect.lacks, "must not have"));
            let mut words = format!("must be {}", schema::in_words(&check.expect));
            if let Some(warn) = &check.warn {
                words += &format!(", and should be {}", schema::in_words(warn));
            }
            if let Some(database) = &check.database {
                words += &format!("; in database {database}");
            }
            lines.push(printable(&format!(
                "{words}; within {}",
                readable(check_timeout)
            )));
            lines
        }
        CheckKind::Data(data) => {
            let mut words = format!("must be {}", data.in_words(&data.expect));
            if let Some(warn) = &data.warn {
                words += &format!(", and should be {}", data.in_words(warn));
            }
            if let Some(database) = &data.database {
                words += &format!("; in database {database}");
            }
            if check.measures_data_age() {
                words += "; tells the data's age";
            }
            words += &format!("; within {}", readable(check.timeout));
            vec![one_line(&data.question.subject()), printable(&words)]
        }
        CheckKind::Http(http) => {
            let mut lines: Vec<_> = http.steps.iter().map(step).collect();
            let mut words = format!("at {}", place(http));
            if let Some(host) = &http.host {
                words += &format!(", asked for {host}");
            }
            if http.redirects > 0 {
                let times = count(usize::from(http.redirects), "redirect");
                words += &format!("; follows {times} to the same machine");
            }
            lines.push(printable(&format!(
                "{words}; all within {}",
                readable(check.timeout)
            )));
            lines
        }
        CheckKind::Connect(connect) => {
            let port = connect
                .port
                .map_or_else(|| "the database's port".to_owned(), |p| format!("port {p}"));
            let greeting = connect.greeting.as_ref();
            let greets = greeting.map_or_else(String::new, |pattern| {
                format!(" and greets with text matching /{pattern}/")
            });
            vec![printable(&format!(
                "{port}{} takes connections{greets}; within {}",
                address(connect.address),
                readable(check.timeout)
            ))]
        }
    }
}

/// Where an `http` check goes.
fn place(http: &HttpCheck) -> String {
    let scheme = match http.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    format!("{scheme} port {}{}", http.port, address(http.address))
}

fn address(address: Address) -> &'static str {
    match address {
        Address::Private => "",
        Address::Public => " of the public address",
    }
}

/// A step in one line.
fn step(step: &HttpStep) -> String {
    let method = match step.method {
        HttpMethod::Get => "GET",
        HttpMethod::Head => "HEAD",
        HttpMethod::Post => "POST",
    };
    let mut words = format!("{method} {}", step.path);
    if step.name != step.path {
        words += &format!(" ({})", step.name);
    }
    let statuses: Vec<_> = step.status.iter().map(u16::to_string).collect();
    words += &format!(": status {}", statuses.join(" or "));
    if let Some(text) = &step.contains {
        words += &format!(", holds {text:?}");
    }
    if let Some(pattern) = &step.matches {
        words += &format!(", matches /{pattern}/");
    }
    if let Some(json) = &step.json {
        let pointer = if json.pointer.is_empty() {
            "the JSON"
        } else {
            &json.pointer
        };
        words += &format!(", {pointer} {}", json.expect);
    }
    if let Some(within) = step.within {
        words += &format!(", within {} ms", within.as_millis());
    }
    one_line(&words)
}

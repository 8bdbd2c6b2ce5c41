//! The policy file. The input is its text.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use libfuzzer_sys::{Corpus, fuzz_target};
use restore_proof_core::expectation::{Expectation, compile_regex};
use restore_proof_core::policy::{
    CHECK_TIMEOUT_RANGE, CheckKind, Glob, KEEP_FAILED_AT_MOST, LONGEST_WAIT_RANGE, Limits,
    MOST_CONCURRENT_RESTORES, MOST_REDIRECTS, MOST_STEPS, Mistakes, Policy, Rule, Subject,
    fingerprint, parse, parse_size, readable_size, time_zone,
};
use restore_proof_core::resource_type::{LONGEST_BOOT_TIMEOUT, ResourceType};
use toml::{Table, Value};

/// The longest path or message of a mistake, characters: the first one stands in the record.
const LONGEST_WORDS: usize = 1000;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    match parse(text) {
        Err(mistakes) => within_the_text(&mistakes, text),
        Ok(policy) => {
            complete(&policy, text);
            frozen(&policy.rules);
            matched(&policy.rules, text);
            closed(text);
        }
    }
    Corpus::Keep
});

/// Every mistake stands where the text has something, in order, in words that can be shown.
fn within_the_text(mistakes: &Mistakes, text: &str) {
    assert!(!mistakes.0.is_empty(), "refused without a mistake");
    let lines: Vec<&str> = text.split('\n').collect();
    let mut before = (1, 1);
    for mistake in &mistakes.0 {
        let place = (mistake.line, mistake.column);
        assert!(before <= place, "{mistake} stands before {before:?}");
        before = place;
        let line = lines[mistake.line - 1].trim_end_matches('\r');
        let length = line.chars().count();
        assert!(
            (1..=length + 2).contains(&mistake.column),
            "{mistake}: the line has {length}"
        );
        assert!(mistake.width >= 1, "{mistake}");
        assert!(
            mistake.width == 1 || mistake.column + mistake.width <= length + 2,
            "{mistake} is {} wide, the line {length}",
            mistake.width
        );
        for words in [&mistake.place, &mistake.message] {
            assert!(!words.is_empty(), "{mistake}");
            let length = words.chars().count();
            assert!(
                length <= LONGEST_WORDS,
                "{length} characters about a mistake"
            );
        }
    }
}

/// Nothing in a policy that was read can turn out to be wrong later.
fn complete(policy: &Policy, text: &str) {
    assert!(!policy.rules.is_empty() && !policy.version.is_empty());
    assert_eq!(policy.fingerprint, fingerprint(text));
    limited(&policy.limits);
    let mut names = Vec::new();
    for rule in &policy.rules {
        names.push(&rule.name);
        assert!(rule.types.ec2.boot_timeout <= LONGEST_BOOT_TIMEOUT);
        assert!(rule.frequency().is_some(), "nothing is restored");
        assert!(
            rule.keep_failed_for
                .is_none_or(|kept| kept <= KEEP_FAILED_AT_MOST)
        );
        assert!(
            rule.checks
                .iter()
                .filter(|check| check.measures_data_age())
                .count()
                <= 1
        );
        assert!(rule.credentials.is_some() || !rule.checks.iter().any(|check| check.logs_in()));
        let mut names: Vec<&str> = rule
            .checks
            .iter()
            .map(|check| check.name.as_str())
            .collect();
        names.sort_unstable();
        assert!(
            names.is_sorted_by(|a, b| a < b),
            "two checks of one name: {names:?}"
        );
        for check in &rule.checks {
            let (least, most) = CHECK_TIMEOUT_RANGE;
            assert!((least..=most).contains(&check.timeout));
            match &check.kind {
                CheckKind::Sql(sql) => {
                    assert!(!sql.query.trim().is_empty() && time_zone(&sql.time_zone).is_some());
                    compiles(&sql.expect);
                }
                CheckKind::Data(data) => {
                    assert!(time_zone(data.time_zone()).is_some());
                    assert!(!data.question.subject().trim().is_empty());
                }
                CheckKind::Profile(_) => {}
                CheckKind::Schema(schema) => {
                    assert!(schema.expect.has.iter().all(|fact| !fact.trim().is_empty()));
                }
                CheckKind::Http(http) => {
                    assert!((1..=MOST_STEPS).contains(&http.steps.len()));
                    assert!(http.redirects <= MOST_REDIRECTS && http.port > 0);
                    for step in &http.steps {
                        assert!(step.path.starts_with('/') && !step.status.is_empty());
                        assert!(step.within.is_none_or(|within| within <= check.timeout));
                        let pattern = step.matches.as_deref();
                        assert!(pattern.is_none_or(|pattern| compile_regex(pattern).is_ok()));
                        if let Some(json) = &step.json {
                            compiles(&json.expect);
                        }
                    }
                }
                CheckKind::Connect(connect) => {
                    assert!(connect.port != Some(0));
                    let pattern = connect.greeting.as_deref();
                    assert!(pattern.is_none_or(|pattern| compile_regex(pattern).is_ok()));
                }
            }
        }
    }
    names.sort_unstable();
    assert!(
        names.is_sorted_by(|a, b| a < b),
        "two rules of one name: {names:?}"
    );
}

/// What testing may take never goes beyond what the stack allows.
fn limited(limits: &Limits) {
    let (least, most) = LONGEST_WAIT_RANGE;
    assert!((least..=most).contains(&limits.longest_wait));
    for allowed in [1, 7, MOST_CONCURRENT_RESTORES] {
        assert!((1..=allowed).contains(&limits.slots(allowed)));
        for resource_type in ResourceType::names().into_iter().chain(["S3"]) {
            let slots = limits.slots_of(resource_type, allowed);
            assert!((1..=limits.slots(allowed)).contains(&slots));
        }
    }
    assert_ne!(limits.restores_per_month, Some(0));
    if let Some(largest) = limits.largest_size {
        // It was written in whole units, so that it is shown in them.
        assert_eq!(parse_size(&readable_size(largest)), Ok(largest));
    }
}

fn compiles(expect: &Expectation) {
    match expect {
        Expectation::Matches(pattern) => assert!(compile_regex(pattern).is_ok(), "{pattern}"),
        Expectation::Min(number) | Expectation::Max(number) => assert!(number.is_finite()),
        Expectation::Between(least, most) => assert!(least <= most),
        Expectation::MaxAge(age) => assert!(*age > Duration::ZERO),
        Expectation::Equals(_) | Expectation::NotEmpty => {}
    }
}

/// A validation keeps its rule as JSON in the ledger: it comes back as it was.
fn frozen(rules: &[Rule]) {
    for rule in rules {
        let json = serde_json::to_string(rule).expect("a rule is JSON");
        assert!(json.len() <= 100_000, "a rule of {} bytes", json.len());
        let back: Rule = serde_json::from_str(&json).expect("a frozen rule is read");
        assert_eq!(back, *rule);
    }
}

/// Rules match what their patterns say, told by another way to match.
fn matched(rules: &[Rule], text: &str) {
    let source_arn: String = text
        .chars()
        .rev()
        .filter(|c| !c.is_control())
        .take(60)
        .collect();
    let vault_name: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(20)
        .collect();
    let tags: BTreeMap<String, String> = rules
        .iter()
        .flat_map(|rule| rule.matcher.tags.keys())
        .map(|key| (key.clone(), source_arn.clone()))
        .collect();
    for resource_type in ["RDS", "EC2", ""] {
        let subject = Subject {
            resource_type,
            source_arn: &source_arn,
            account: "111122223333",
            vault_name: &vault_name,
            tags: &tags,
        };
        for rule in rules {
            let matcher = &rule.matcher;
            let like = |glob: &Option<Glob>, is: &str| glob.as_ref().is_none_or(|g| fits(g, is));
            let expected = matcher
                .resource_type
                .as_deref()
                .is_none_or(|t| t == resource_type)
                && like(&matcher.source_arn, &source_arn)
                && matcher
                    .account
                    .as_deref()
                    .is_none_or(|a| a == "111122223333")
                && like(&matcher.vault, &vault_name)
                && matcher
                    .tags
                    .iter()
                    .all(|(key, glob)| tags.get(key).is_some_and(|is| fits(glob, is)));
            assert_eq!(matcher.matches(&subject), expected, "{matcher:?}");
        }
    }
}

/// Whether a pattern fits a text: row by row, which beginnings of the pattern fit which of the text.
fn fits(glob: &Glob, text: &str) -> bool {
    let pattern: Vec<char> = glob.as_str().chars().collect();
    let text: Vec<char> = text.chars().collect();
    let mut above = vec![false; text.len() + 1];
    above[0] = true;
    for wanted in pattern {
        let mut row = vec![wanted == '*' && above[0]];
        for (index, is) in text.iter().enumerate() {
            row.push(match wanted {
                '*' => above[index + 1] || row[index],
                '?' => above[index],
                _ => above[index] && wanted == *is,
            });
        }
        above = row;
    }
    above[text.len()]
}

/// No table of the file takes a key that nobody knows. A few are tried, others for each text: a file has many.
fn closed(text: &str) {
    let tree: Table = text.parse().expect("TOML is TOML");
    let count = tables(&mut tree.clone(), &mut |_, _| {});
    let first = text.bytes().map(usize::from).sum::<usize>() % count;
    for chosen in (first..count).take(4) {
        let mut other = tree.clone();
        tables(&mut other, &mut |index, table| {
            if index == chosen {
                table.insert("nobody_knows".to_owned(), Value::Integer(1));
            }
        });
        let other = toml::to_string(&other).expect("a table is TOML");
        let mistakes = parse(&other).expect_err("an unknown key was taken");
        let about =
            |mistake: &restore_proof_core::policy::Mistake| mistake.place.contains("nobody_knows");
        assert!(mistakes.0.iter().any(about), "{mistakes}");
    }
}

/// Shows every table, with its number, and counts them.
fn tables(table: &mut Table, show: &mut dyn FnMut(usize, &mut Table)) -> usize {
    fn walk(table: &mut Table, count: &mut usize, show: &mut dyn FnMut(usize, &mut Table)) {
        for (_, value) in table.iter_mut() {
            inside(value, count, show);
        }
        show(*count, table);
        *count += 1;
    }
    fn inside(value: &mut Value, count: &mut usize, show: &mut dyn FnMut(usize, &mut Table)) {
        match value {
            Value::Table(table) => walk(table, count, show),
            Value::Array(list) => list.iter_mut().for_each(|value| inside(value, count, show)),
            _ => {}
        }
    }
    let mut count = 0;
    walk(table, &mut count, show);
    count
}

//! The policy files of this repository: the example people copy, and the one with twenty mistakes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use restore_proof_core::policy::{
    self, CheckKind, Credentials, Frequency, Notify, Policy, Subject, Tls,
};

const EXAMPLE: &str = include_str!("../../../examples/policy.toml");
const TWENTY: &str = include_str!("../../../tests/policy/twenty-mistakes.toml");

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn rule_name<'p>(
    policy: &'p Policy,
    resource_type: &str,
    source_arn: &str,
    account: &str,
    tags: &BTreeMap<String, String>,
) -> Option<&'p str> {
    let subject = Subject {
        resource_type,
        source_arn,
        account,
        vault_name: "central",
        tags,
    };
    let mut rules = policy.rules.iter();
    let rule = rules.find(|rule| rule.matcher.matches(&subject));
    rule.map(|rule| rule.name.as_str())
}

#[test]
fn the_example_is_a_good_policy_and_matches_what_it_says() {
    let policy = policy::parse(EXAMPLE).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(policy.version, "2026-11-21");
    assert_eq!(policy.fingerprint, policy::fingerprint(EXAMPLE));
    assert_eq!(policy.fingerprint.len(), 64);

    let prod = tags(&[("env", "prod"), ("team", "shop")]);
    let none = tags(&[]);
    let arn = |name: &str| format!("arn:aws:rds:eu-central-1:111122223333:db:{name}");
    let account = "111122223333";
    let name = |resource_type: &str, arn: String, account: &str, tags| {
        rule_name(&policy, resource_type, &arn, account, tags)
    };
    assert_eq!(
        name("RDS", arn("orders-7"), account, &prod),
        Some("orders databases")
    );
    assert_eq!(
        name("RDS", arn("orders-7"), account, &none),
        Some("other RDS databases")
    );
    assert_eq!(
        name("RDS", arn("crm-1"), account, &none),
        Some("crm databases")
    );
    assert_eq!(
        name("RDS", arn("crm-1"), "999900001111", &none),
        Some("other RDS databases")
    );
    let cluster = |name: &str| format!("arn:aws:rds:eu-central-1:111122223333:cluster:{name}");
    assert_eq!(
        name("Aurora", cluster("stock-1"), account, &none),
        Some("stock clusters")
    );
    assert_eq!(
        name("Aurora", cluster("orders-7"), account, &prod),
        Some("other Aurora clusters")
    );
    assert_eq!(name("EFS", arn("orders-7"), account, &prod), None);

    assert_eq!(
        name("RDS", arn("tickets-1"), account, &none),
        Some("ticket databases")
    );
    let machine = "arn:aws:ec2:eu-central-1:111122223333:instance/i-0123456789abcdef0";
    let shop = tags(&[("app", "shop")]);
    assert_eq!(
        name("EC2", machine.to_owned(), account, &shop),
        Some("shop machines")
    );
    assert_eq!(
        name("EC2", machine.to_owned(), account, &none),
        Some("other machines")
    );

    let [orders, crm, tickets, stock, shop, other, clusters, machines] = policy.rules.as_slice()
    else {
        panic!("eight rules")
    };
    assert_eq!(stock.credentials, Some(Credentials::Reset));
    assert!(clusters.checks.is_empty());
    assert_eq!(tickets.credentials, Some(Credentials::Reset));
    let kinds = |rule: &policy::Rule| -> Vec<&str> {
        rule.checks.iter().map(|check| check.kind.name()).collect()
    };
    assert_eq!(kinds(tickets), ["connect", "sql", "sql"]);
    assert_eq!(kinds(shop), ["http", "connect"]);
    let CheckKind::Http(http) = &shop.checks[0].kind else {
        panic!("the shop is asked over HTTP")
    };
    let steps: Vec<&str> = http.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(
        steps,
        ["home page", "stylesheet", "catalogue", "search", "health"]
    );
    assert!(machines.checks.is_empty());
    assert_eq!(
        (orders.frequency(), crm.frequency(), other.frequency()),
        (
            Some(Frequency::EveryCopy),
            Some(Frequency::Daily),
            Some(Frequency::Weekly)
        )
    );
    assert_eq!(
        (orders.tls, orders.notify, crm.notify),
        (Tls::Verify, Notify::Always, Notify::Problems)
    );
    assert_eq!(orders.objectives.data_age, Some(Duration::from_secs(900)));
    assert_eq!(orders.keep_failed_for, Some(Duration::from_secs(4 * 3600)));
    let measuring = |rule: &policy::Rule| {
        rule.checks
            .iter()
            .filter(|check| check.measures_data_age())
            .map(|check| check.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(measuring(orders), ["newest order is fresh"]);
    assert_eq!(measuring(crm), ["somebody worked yesterday"]);
    assert_eq!(measuring(tickets), ["newest ticket is fresh"]);
    assert!(other.checks.is_empty());
}

#[test]
fn a_rule_survives_being_frozen() {
    let policy = policy::parse(EXAMPLE).unwrap();
    for rule in &policy.rules {
        let frozen = serde_json::to_string(rule).unwrap();
        assert_eq!(
            &serde_json::from_str::<policy::Rule>(&frozen).unwrap(),
            rule,
            "{frozen}"
        );
    }
    let frozen = serde_json::to_value(&policy.rules[0]).unwrap();
    assert_eq!(frozen["keep_failed_for"], 14_400);
    assert_eq!(frozen["checks"][1]["kind"], "sql");
    assert_eq!(frozen["checks"][1]["expect"]["max_age"], 900);
}

#[test]
fn twenty_mistakes_are_told_at_once_with_their_places() {
    let mistakes = policy::parse(TWENTY).unwrap_err();
    let expected = [
        (3, 1, "colour", "unknown key"),
        (
            7,
            27,
            "rules[0].match.resource_type",
            "AWS Backup restores no resource type \"RSD\"; did you mean \"RDS\"?",
        ),
        (7, 44, "rules[0].match.account", "must be an AWS account id"),
        (
            7,
            61,
            "rules[0].match.vault",
            "this pattern knows only the wildcards",
        ),
        (
            8,
            13,
            "rules[0].frequency",
            "unknown value \"hourly\"; known: \"every-copy\"",
        ),
        (
            9,
            26,
            "rules[0].rds.instance_class",
            "must be a DB instance class",
        ),
        (
            10,
            16,
            "rules[0].objectives.recovery_tme",
            "unknown key; did you mean `recovery_time`?",
        ),
        (
            10,
            48,
            "rules[0].objectives.data_age",
            "`soon` is not a duration",
        ),
        (
            12,
            19,
            "rules[0].keep_failed_for",
            "a failed restore is kept for at most 7d",
        ),
        (
            13,
            10,
            "rules[0].notify",
            "must be a text in quotes, not true or false",
        ),
        (18, 11, "rules[0].checks[0].query", "must not be empty"),
        (
            19,
            12,
            "rules[0].checks[0].expect",
            "takes exactly one expectation, not min and max",
        ),
        (
            20,
            13,
            "rules[0].checks[0].timeout",
            "a check's timeout is between 1s and 10m",
        ),
        (
            26,
            24,
            "rules[0].checks[1].expect.matches",
            "bad regex: unclosed group",
        ),
        (
            27,
            15,
            "rules[0].checks[1].time_zone",
            "unknown time zone \"Europe/Berlín\"; did you mean",
        ),
        (
            30,
            10,
            "rules[0].checks[2].name",
            "the name \"state\" is already that of rules[0].checks[1]",
        ),
        (33, 24, "rules[0].checks[2].expect.between", "is impossible"),
        (35, 1, "rules[1].frequency", "is missing"),
        (
            41,
            9,
            "rules[2].match",
            "this rule can never match: rules[1]",
        ),
        (
            46,
            10,
            "rules[2].checks[0].kind",
            "unknown value \"sqll\"; did you mean \"sql\"?",
        ),
    ];
    let found: Vec<(usize, usize, &str)> = mistakes
        .0
        .iter()
        .map(|m| (m.line, m.column, m.place.as_str()))
        .collect();
    let places: Vec<(usize, usize, &str)> =
        expected.iter().map(|(l, c, p, _)| (*l, *c, *p)).collect();
    assert_eq!(found, places, "\n{mistakes}");
    for (mistake, (_, _, _, start)) in mistakes.0.iter().zip(expected) {
        assert!(mistake.message.starts_with(start), "{mistake}");
    }
    assert_eq!(mistakes.to_string().lines().count(), 20);
}

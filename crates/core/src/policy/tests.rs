//! One small policy per mistake.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::ceiling::Ceilings;
use crate::expectation::Constant;
use crate::resource_type::{InstanceProfile, ResourceType};

/// A rule with the given lines instead of, or beside, the usual ones.
fn rule(lines: &str) -> String {
    let mut text = "version = \"1\"\n[[rules]]\n".to_owned();
    for usual in ["name = \"r\"", "match = {}", "frequency = \"daily\""] {
        let key = usual.split('=').next().unwrap();
        let own = lines.split("[[").next().unwrap();
        if !own.lines().any(|line| line.starts_with(key)) {
            text += usual;
            text += "\n";
        }
    }
    text + lines + "\n"
}

/// A check with the given lines instead of, or beside, the usual ones.
fn check(lines: &str) -> String {
    let mut text = "[[rules.checks]]\n".to_owned();
    for usual in [
        "name = \"c\"",
        "kind = \"sql\"",
        "query = \"select max(at) from t\"",
        "expect = { min = 1 }",
    ] {
        let key = usual.split('=').next().unwrap();
        if !lines.lines().any(|line| line.starts_with(key)) {
            text += usual;
            text += "\n";
        }
    }
    text + lines + "\n"
}

fn rule_with_check(lines: &str) -> String {
    rule(&("credentials = { secret = \"s\" }\n".to_owned() + &check(lines)))
}

fn mistakes(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes
            .0
            .iter()
            .map(|mistake| format!("{}: {}", mistake.place, mistake.message))
            .collect(),
    }
}

/// The policy has exactly this mistake (its beginning).
#[track_caller]
fn one(text: &str, start: &str) {
    let found = mistakes(text);
    assert!(
        found.len() == 1 && found[0].starts_with(start),
        "expected {start:?}, found {found:#?} in\n{text}"
    );
}

#[track_caller]
fn fine(text: &str) -> Policy {
    parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}\nin\n{text}"))
}

#[track_caller]
fn sql(check: &Check) -> &SqlCheck {
    match &check.kind {
        CheckKind::Sql(sql) => sql,
        other => panic!("not of kind sql: {other:?}"),
    }
}

#[test]
fn what_is_not_toml_is_one_mistake() {
    let found = parse("version = \"1\"\n[[rules]\nname = = \n").unwrap_err();
    assert_eq!(found.0.len(), 1);
    assert_eq!((found.0[0].line, found.0[0].place.as_str()), (2, "policy"));
    one("a = 1\na = 2\n", "policy: not TOML: duplicate key");
    assert!(mistakes(&"[".repeat(100_000)).len() == 1);
    assert!(mistakes(&format!("a = {}", "[".repeat(100_000))).len() == 1);
}

#[test]
fn an_empty_file_lacks_everything() {
    assert_eq!(mistakes("").len(), 2);
    one(
        "version = \"1\"\nrules = []\n",
        "rules: must hold at least one rule",
    );
    one(
        "version = \"1\"\nrules = {}\n",
        "rules: must be a list, not a table",
    );
    one(
        "version = \"1\"\nrules = [1]\n",
        "rules[0]: must be a table, not a whole number",
    );
    one(
        &rule("").replace("\"1\"", "2026-11-21"),
        "version: must be a text in quotes, not a date",
    );
    one(
        &rule("").replace("\"1\"", "\" \""),
        "version: must not be empty",
    );
    one(
        &rule("").replace("\"1\"", "\"a\\nb\""),
        "version: must be one line",
    );
    one(
        &rule("").replace("version", "Version"),
        "Version: unknown key; did you mean `version`?",
    );
}

#[test]
fn mistakes_of_rules() {
    for (lines, start) in [
        ("name = \"\"", "rules[0].name: must not be empty"),
        (
            "match = { resource_type = \"rds\" }",
            "rules[0].match.resource_type: AWS Backup restores no resource type \"rds\"; did you mean \"RDS\"",
        ),
        (
            "match = { source_arn = \"rds:*\" }",
            "rules[0].match.source_arn: matches no ARN",
        ),
        (
            "match = { source_arn = \"\" }",
            "rules[0].match.source_arn: is empty",
        ),
        (
            "match = { vault = \"[ab]\" }",
            "rules[0].match.vault: this pattern knows only",
        ),
        (
            "match = { account = 111122223333 }",
            "rules[0].match.account: must be a text",
        ),
        (
            "match = { account = \"1111222233334\" }",
            "rules[0].match.account: must be an AWS account id",
        ),
        (
            "match = { account = \"１１１１２２２２３３３３\" }",
            "rules[0].match.account: must be an AWS account id",
        ),
        (
            "match = { tags = { env = true } }",
            "rules[0].match.tags.env: must be a text",
        ),
        (
            "match = { tags = { \"a b\" = \"{\" } }",
            "rules[0].match.tags.\"a b\": this pattern",
        ),
        (
            "match = { tag = {} }",
            "rules[0].match.tag: unknown key; did you mean `tags`?",
        ),
        ("match = \"all\"", "rules[0].match: must be a table"),
        (
            "frequency = \"every_copy\"",
            "rules[0].frequency: unknown value \"every_copy\"; did you mean \"every-copy\"?",
        ),
        (
            "rds = { instance_class = \"db.\" }",
            "rules[0].rds.instance_class: must be a DB instance class",
        ),
        (
            "rds = { instance_class = \"cache.t4g.small\" }",
            "rules[0].rds.instance_class: must be",
        ),
        (
            "restore = { Port = 5433 }",
            "rules[0].restore.Port: must be a text",
        ),
        (
            "objectives = { recovery_time = 7200 }",
            "rules[0].objectives.recovery_time: must be a text with a unit",
        ),
        (
            "objectives = { recovery_time = \"-2h\" }",
            "rules[0].objectives.recovery_time: `-2h` is not a duration",
        ),
        (
            "objectives = { recovery_time = \"0s\" }",
            "rules[0].objectives.recovery_time: `0s` is no time at all",
        ),
        (
            "objectives = { data_age = \"15m\" }",
            "rules[0].objectives.data_age: no check measures",
        ),
        (
            "ec2 = { boot_timeout = \"61m\" }",
            "rules[0].ec2.boot_timeout: a machine that has not booted after 1h",
        ),
        (
            "ec2.boot_timeout = 10",
            "rules[0].ec2.boot_timeout: must be a text with a unit",
        ),
        (
            "ec2.instance_type = \"db.t3.small\"",
            "rules[0].ec2.instance_type: an instance type looks like t3.small",
        ),
        (
            "ec2.instance_profile = \"orignal\"",
            "rules[0].ec2.instance_profile: unknown value \"orignal\"; did you mean \"original\"?",
        ),
        (
            "credentials = \"prod/orders-db\"",
            "rules[0].credentials: must be \"reset\", for a password that is set on the copy, \"iam\", for a token of IAM, or name a secret: { secret = \"prod/orders-db\" }",
        ),
        (
            "credentials = \"\"",
            "rules[0].credentials: must be \"reset\"",
        ),
        (
            "credentials = true",
            "rules[0].credentials: must be \"reset\", \"iam\" or a table such as { secret = \"prod/orders-db\" }, not true or false",
        ),
        (
            "credentials = {}",
            "rules[0].credentials: must name a secret, { secret = \"prod/orders-db\" }, or a database user",
        ),
        (
            "credentials = { secret = \"a b\" }",
            "rules[0].credentials.secret: no secret has this name",
        ),
        (
            "credentials = { secret = \"arn:aws:s3:::bucket\" }",
            "rules[0].credentials.secret: is not a secret's ARN",
        ),
        (
            "credentials = { iam = \"all*\" }",
            "rules[0].credentials.iam: must be a database user's name",
        ),
        (
            "credentials = { iam = \"a\", secret = \"s\" }",
            "rules[0].credentials.iam: must not stand beside secret",
        ),
        (
            "credentials = \"iam\"\ntls = \"off\"",
            "rules[0].tls: must not be \"off\" with credentials of IAM",
        ),
        (
            "credentials = { iam = \"a\" }\ntls = \"off\"",
            "rules[0].tls: must not be \"off\" with credentials of IAM",
        ),
        ("ec2 = true", "rules[0].ec2: must be a table"),
        (
            "rds = { instance_clas = \"db.t4g.small\" }",
            "rules[0].rds.instance_clas: unknown key; did you mean `instance_class`?",
        ),
        (
            "instance_class = \"db.t4g.small\"",
            "rules[0].instance_class: unknown key; known here: name, match",
        ),
        ("tls = \"none\"", "rules[0].tls: unknown value"),
        (
            "notify = \"problem\"",
            "rules[0].notify: unknown value \"problem\"; did you mean \"problems\"?",
        ),
        (
            "keep_failed_for = \"7d1s\"",
            "rules[0].keep_failed_for: a failed restore is kept for at most 7d",
        ),
        (
            "chekcs = []",
            "rules[0].chekcs: unknown key; did you mean `checks`?",
        ),
        ("checks = {}", "rules[0].checks: must be a list"),
    ] {
        one(&rule(lines), start);
    }
    one(
        &rule("").replace("frequency", "frequenzy"),
        "rules[0].frequenzy: unknown key; did you mean `frequency`?",
    );
    one(
        &rule("").replace("match = {}\n", ""),
        "rules[0].match: is missing",
    );
    one(
        &rule(&check("")),
        "rules[0].credentials: is missing: checks of data must log in",
    );
    fine(&rule("match = { tags = { env = \"\" } }"));
    fine(&rule(
        "credentials = { secret = \"arn:aws-us-gov:secretsmanager:us-gov-west-1:111122223333:secret:a/b-AbCdEf\" }",
    ));
}

#[test]
fn mistakes_of_checks() {
    for (lines, start) in [
        ("name = 7", ".name: must be a text"),
        (
            "kind = \"ping\"",
            ".kind: unknown value \"ping\"; known: \"sql\", \"http\", \"connect\"",
        ),
        (
            "kind = \"htpp\"\nurl = \"/\"",
            ".kind: unknown value \"htpp\"; did you mean \"http\"?",
        ),
        ("query = \"\"", ".query: must not be empty"),
        (
            "query = \"select '\\u0000'\"",
            ".query: must not hold a NUL",
        ),
        ("database = \"\"", ".database: must not be empty"),
        (
            "timeout = \"999s\"",
            ".timeout: a check's timeout is between",
        ),
        ("timeout = 30", ".timeout: must be a text with a unit"),
        ("time_zone = \"CEST\"", ".time_zone: unknown time zone"),
        ("data_age = \"yes\"", ".data_age: must be true or false"),
        (
            "data_age = true",
            ".data_age: this check cannot measure the data's age",
        ),
        (
            "expect = { matches = \"^2\" }\ndata_age = true",
            ".data_age: this check cannot measure",
        ),
        (
            "expect = {}",
            ".expect: is empty; write exactly one of equals, min",
        ),
        ("expect = 5", ".expect: must be a table"),
        (
            "expect = { minn = 5 }",
            ".expect.minn: unknown key; did you mean `min`?",
        ),
        (
            "expect = { min = 5, equals = 5 }",
            ".expect: takes exactly one expectation, not equals and min; write one check, or one step, for each",
        ),
        (
            "expect = { min = \"5\" }",
            ".expect.min: must be a number, not a text",
        ),
        (
            "expect = { max = nan }",
            ".expect.max: must be a number that can be compared",
        ),
        (
            "expect = { max = -inf }",
            ".expect.max: must be a number that can be compared",
        ),
        (
            "expect = { max = 1e999 }",
            ".expect.max: must be a number that can be compared",
        ),
        (
            "expect = { equals = 9223372036854775808 }",
            ".expect.equals: is a whole number beyond 64 bits",
        ),
        (
            "expect = { equals = [1, \"a\"] }",
            ".expect.equals: must be one text, number, true or false, not a list",
        ),
        (
            "expect = { equals = 2026-01-01 }",
            ".expect.equals: must be one text, number, true or false, not a date",
        ),
        (
            "expect = { between = [1] }",
            ".expect.between: must be two numbers",
        ),
        (
            "expect = { between = [5, 1] }",
            ".expect.between: is impossible",
        ),
        (
            "expect = { between = [1, \"b\"] }",
            ".expect.between[1]: must be a number",
        ),
        (
            "expect = { max_age = 15 }",
            ".expect.max_age: must be a text with a unit",
        ),
        (
            "expect = { max_age = \"0m\" }",
            ".expect.max_age: `0m` is no time at all",
        ),
        (
            "expect = { max_age = \"-1h\" }",
            ".expect.max_age: `-1h` is not a duration",
        ),
        (
            "expect = { not_empty = false }",
            ".expect.not_empty: can only be true",
        ),
        (
            "expect = { matches = \"\" }",
            ".expect.matches: an empty regex matches everything",
        ),
        (
            "expect = { matches = '(a{1000}){1000}' }",
            ".expect.matches: the regex is too large",
        ),
        (
            "query = \"SELECT\\n count (*) from t\"\nexpect = { not_empty = true }",
            ".expect: count() is never empty",
        ),
        (
            "query = \"select exists(select 1)\"\nexpect = { not_empty = true }",
            ".expect: exists() is never empty",
        ),
        (
            "query = \"select count(*) from t\"\nexpect = { max_age = \"1h\" }",
            ".expect: count() answers a number",
        ),
        ("quary = \"select 1\"", ".quary: unknown key; did you mean"),
    ] {
        let (text, place) = (rule_with_check(lines), format!("rules[0].checks[0]{start}"));
        if lines.starts_with("quary") {
            // Beside a query of its own it is only unknown.
            one(&text, "rules[0].checks[0].quary: unknown key");
        } else {
            one(&text, &place);
        }
    }
    let without = |line: &str| rule_with_check("").replace(&format!("{line}\n"), "");
    one(
        &without("kind = \"sql\""),
        "rules[0].checks[0].kind: is missing",
    );
    one(
        &without("expect = { min = 1 }"),
        "rules[0].checks[0].expect: is missing",
    );
    one(
        &rule_with_check("").replace("query", "quary"),
        "rules[0].checks[0].quary: unknown key; did you mean `query`?",
    );
}

#[test]
fn names_are_unique_where_they_must_be() {
    let two = rule("match = { vault = \"a\" }") + &rule("").replace("version = \"1\"\n", "");
    one(
        &two,
        "rules[1].name: the name \"r\" is already that of rules[0]",
    );
    let checks = rule_with_check("") + &check("");
    one(
        &checks,
        "rules[0].checks[1].name: the name \"c\" is already that of rules[0].checks[0]",
    );
}

#[test]
fn rules_that_are_never_reached() {
    let second =
        |lines: &str| rule(&format!("name = \"s\"\n{lines}")).replace("version = \"1\"\n", "");
    one(
        &(rule("") + &second("match = { vault = \"a\" }")),
        "rules[1].match: this rule can never match: rules[0] before it matches every",
    );
    one(
        &(rule("match = { vault = \"**\", source_arn = \"*\" }")
            + &second("match = { vault = \"a\" }")),
        "rules[1].match: this rule can never match",
    );
    one(
        &(rule("match = { vault = \"a\" }") + &second("match = { vault = \"a\" }")),
        "rules[1].match: this rule can never match: rules[0] before it matches the same",
    );
    fine(&(rule("match = { tags = { env = \"*\" } }") + &second("")));
}

#[test]
fn data_age_is_measured_by_one_check() {
    let age = |name: &str, more: &str| {
        check(&format!(
            "name = \"{name}\"\nexpect = {{ max_age = \"1h\" }}\n{more}"
        ))
    };
    let policy = |checks: &[String]| {
        rule(&format!(
            "credentials = {{ secret = \"s\" }}\nobjectives = {{ data_age = \"1h\" }}\n{}",
            checks.concat()
        ))
    };
    let measuring = |text: &str| {
        fine(text).rules[0]
            .checks
            .iter()
            .map(Check::measures_data_age)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        measuring(&policy(&[check(""), age("a", "")])),
        [false, true]
    );
    assert_eq!(
        measuring(&policy(&[age("a", ""), age("b", "data_age = true")])),
        [false, true]
    );
    assert_eq!(
        measuring(&policy(&[age("a", "data_age = false"), age("b", "")])),
        [false, true]
    );
    assert_eq!(
        measuring(&policy(&[
            check("expect = { not_empty = true }\ndata_age = true"),
            age("b", "")
        ])),
        [true, false]
    );
    one(
        &policy(&[age("a", ""), age("b", "")]),
        "rules[0].objectives.data_age: several checks could measure",
    );
    one(
        &policy(&[age("a", "data_age = false")]),
        "rules[0].objectives.data_age: no check measures",
    );
    one(
        &policy(&[age("a", "data_age = true"), age("b", "data_age = true")]),
        "rules[0].checks[1].data_age: only one check of a rule can measure the data's age, and rules[0].checks[0].data_age does already",
    );
}

/// A rule with one check of data.
fn data(lines: &str) -> String {
    rule(&format!(
        "credentials = \"reset\"\n[[rules.checks]]\nname = \"c\"\n{lines}\n"
    ))
}

#[test]
fn freshness_measures_the_age_of_the_data_as_max_age_does() {
    let fresh =
        "kind = \"freshness\"\ntable = \"t\"\ncolumn = \"c\"\nexpect = { max_age = \"1h\" }\n";
    let measuring = |text: &str| {
        fine(text).rules[0]
            .checks
            .iter()
            .map(Check::measures_data_age)
            .collect::<Vec<_>>()
    };
    assert_eq!(measuring(&data(fresh)), [true]);
    let two = |more: &str| {
        data(&format!(
            "{fresh}{more}\n[[rules.checks]]\nname = \"d\"\nkind = \"sql\"\nquery = \"select 1\"\nexpect = {{ max_age = \"1h\" }}"
        ))
    };
    assert_eq!(measuring(&two("")), [false, false]);
    assert_eq!(measuring(&two("data_age = true")), [true, false]);
    assert_eq!(measuring(&two("data_age = false")), [false, true]);
}

#[test]
fn checks_of_data_are_read_with_their_bounds() {
    let read = |lines: &str| match fine(&data(lines)).rules.remove(0).checks.remove(0).kind {
        CheckKind::Data(data) => data,
        other => panic!("{other:?}"),
    };
    let count = read("kind = \"row_count\"\ntable = \"orders\"");
    assert_eq!(count.expect, Expectation::Min(1.0));
    assert_eq!(count.largest_scan, 1 << 30);
    let missing = read("kind = \"missing\"\ntable = \"orders\"\ncolumn = \"email\"");
    assert_eq!(missing.expect, Expectation::Max(0.0));
    let references = read(
        "kind = \"relationships\"\ntable = \"lines\"\ncolumns = [\"o\"]\nto = \"orders\"\nto_columns = [\"id\"]",
    );
    assert_eq!(references.question.name(), "references");
    let limited = data("kind = \"row_count\"\ntable = \"t\"")
        .replace("[[rules]]", "[limits]\nlargest_scan = \"5 GiB\"\n[[rules]]");
    let CheckKind::Data(limited) = &fine(&limited).rules[0].checks[0].kind else {
        panic!("a check of data");
    };
    assert_eq!(limited.largest_scan, 5 << 30);
}

#[test]
fn mistakes_in_checks_of_data_are_named() {
    for (lines, start) in [
        (
            "kind = \"row_count\"",
            "rules[0].checks[0].table: is missing",
        ),
        (
            "kind = \"row_count\"\ntable = \"a.b.c\"",
            "rules[0].checks[0].table: `a.b.c` has more than two names",
        ),
        (
            "kind = \"row_count\"\ntable = \"t\"\nexpect = { not_empty = true }",
            "rules[0].checks[0].expect: is about a number of rows",
        ),
        (
            "kind = \"row_count\"\ntable = \"t\"\nexpect = { min = 5 }\nwarn = { min = 5 }",
            "rules[0].checks[0].warn: never warns",
        ),
        (
            "kind = \"row_count\"\ntable = \"t\"\ncolumn = \"c\"",
            "rules[0].checks[0].column: unknown key",
        ),
        (
            "kind = \"freshness\"\ntable = \"t\"\ncolumn = \"c\"",
            "rules[0].checks[0].expect: is missing",
        ),
        (
            "kind = \"freshness\"\ntable = \"t\"\ncolumn = \"c\"\nexpect = { min = 1 }",
            "rules[0].checks[0].expect: is about the age",
        ),
        (
            "kind = \"missing\"\ntable = \"t\"\ncolumn = \"c\\\\d\"",
            "rules[0].checks[0].column: must not hold control characters or a backslash",
        ),
        (
            "kind = \"missing\"\ntable = \"t\"\ncolumn = \"c\"\nexpect = { min = 1 }",
            "rules[0].checks[0].expect: says how many rows there may be at most",
        ),
        (
            "kind = \"missing\"\ntable = \"t\"\ncolumn = \"c\"\nunit = \"percent\"\nexpect = { max = 100 }",
            "rules[0].checks[0].expect: bounds nothing",
        ),
        (
            "kind = \"duplicate\"\ntable = \"t\"\ncolumns = []",
            "rules[0].checks[0].columns: must name 1 to 16 columns",
        ),
        (
            "kind = \"failed_rows\"\ntable = \"t\"\ncondition = \" \"",
            "rules[0].checks[0].condition: must not be empty",
        ),
        (
            "kind = \"references\"\ntable = \"t\"\ncolumns = [\"a\", \"b\"]\nto = \"o\"\nto_columns = [\"x\"]",
            "rules[0].checks[0].to_columns: must name as many columns as `columns` does: 2",
        ),
        (
            "kind = \"manifest\"\ntable = \"m\"\ncolumn = \"c\"\nexpect = { max_age = \"1h\" }\ntolerance = 1",
            "rules[0].checks[0].tolerance: says nothing without tables",
        ),
        (
            "kind = \"schema\"\nexpect = {}",
            "rules[0].checks[0].expect: is empty",
        ),
        (
            "kind = \"schema\"\nexpect = { fingerprint = \"x\" }",
            "rules[0].checks[0].expect.fingerprint: is no fingerprint",
        ),
        (
            "kind = \"profile\"\ntables = []",
            "rules[0].checks[0].tables: must name 1 to 100 tables",
        ),
        ("table = \"t\"", "rules[0].checks[0].kind: is missing"),
        (
            "kind = \"rowcount\"\ntable = \"t\"",
            "rules[0].checks[0].kind: unknown value \"rowcount\"; did you mean \"row_count\"?",
        ),
    ] {
        one(&data(lines), start);
    }
}

#[test]
fn other_types_are_matched_but_not_checked_yet() {
    let s3 = "match = { resource_type = \"S3\" }";
    fine(&rule(s3));
    one(
        &rule(&format!(
            "{s3}\ncredentials = {{ secret = \"s\" }}\n{}",
            check("")
        )),
        "rules[0].match.resource_type: checks of S3 are not supported yet; this version checks Aurora, EC2, RDS",
    );
}

/// A rule about one resource type.
fn about(resource_type: &str, lines: &str) -> String {
    rule(&format!(
        "match = {{ resource_type = \"{resource_type}\" }}\n{lines}"
    ))
}

#[test]
fn what_a_resource_type_has_no_use_for_is_a_mistake() {
    let http = web("", "{ path = \"/\" }");
    for (resource_type, lines, start) in [
        (
            "EC2",
            "rds.instance_class = \"db.t4g.small\"",
            "rules[0].rds: holds keys of RDS, and this rule is about EC2",
        ),
        (
            "EC2",
            "credentials = { secret = \"s\" }",
            "rules[0].credentials: is a database's",
        ),
        (
            "EC2",
            "credentials = \"reset\"",
            "rules[0].credentials: is a database's",
        ),
        (
            "EC2",
            &check(""),
            "rules[0].checks[0].kind: a restored EC2 instance is no database; check it with kind \"http\"",
        ),
        (
            "EC2",
            "[[rules.checks]]\nname = \"c\"\nkind = \"connect\"",
            "rules[0].checks[0].port: is missing",
        ),
        (
            "EC2",
            "restore = { Port = \"5433\" }",
            "rules[0].restore.Port: unknown restore metadata \"Port\" of EC2",
        ),
        (
            "RDS",
            "ec2 = { instance_type = \"t3.small\" }",
            "rules[0].ec2: holds keys of EC2, and this rule is about RDS",
        ),
        (
            "S3",
            "ec2 = {}",
            "rules[0].ec2: holds keys of EC2, and this rule is about S3",
        ),
        (
            "RDS",
            &http,
            "rules[0].checks[0].kind: a restored database answers no HTTP; check it with kind \"sql\"",
        ),
        (
            "RDS",
            "[[rules.checks]]\nname = \"c\"\nkind = \"connect\"\naddress = \"public\"",
            "rules[0].checks[0].address: a restored database has no public address",
        ),
        (
            "RDS",
            "restore = { CreditSpecification = \"x\" }",
            "rules[0].restore.CreditSpecification: unknown restore metadata",
        ),
    ] {
        one(&about(resource_type, lines), start);
    }
    // Whatever else is wrong with `match`, the type counts.
    let both = rule(&format!(
        "match = {{ resource_type = \"RDS\", account = \"1\" }}\n{http}"
    ));
    let found = mistakes(&both);
    assert_eq!(found.len(), 2, "{found:#?}");

    let connect = "[[rules.checks]]\nname = \"d\"\nkind = \"connect\"\n";
    fine(&about("RDS", connect));
    fine(&about(
        "EC2",
        &format!(
            "ec2 = {{ instance_type = \"t3.small\", instance_profile = \"original\", boot_timeout = \"1h\" }}\n{http}{connect}port = 22\naddress = \"public\"\n"
        ),
    ));
    // Without a type, a rule may be about all of them.
    fine(&rule(&format!(
        "ec2.instance_type = \"t3.small\"\nrds.instance_class = \"db.t4g.small\"\ncredentials = \"reset\"\nrestore = {{ Port = \"5433\" }}\n{http}{}",
        check("name = \"d\"")
    )));
    one(
        &rule(connect),
        "rules[0].checks[0].port: is missing; write for example port = 22",
    );
}

/// A check of kind `http` with more lines and these steps.
fn web(lines: &str, steps: &str) -> String {
    format!("[[rules.checks]]\nname = \"w\"\nkind = \"http\"\nsteps = [ {steps} ]\n{lines}\n")
}

#[test]
fn mistakes_of_http_checks() {
    for (lines, start) in [
        (
            "scheme = \"HTTPS\"",
            "scheme: unknown value \"HTTPS\"; did you mean \"https\"?",
        ),
        ("port = 0", "port: a port is a number from 1 to 65535"),
        ("port = 65536", "port: a port is"),
        ("port = \"80\"", "port: must be a whole number, not a text"),
        (
            "host = \"https://shop.example.com\"",
            "host: must be a name such as",
        ),
        (
            "host = \"shop.example.com:8443\"",
            "host: must be a name such as",
        ),
        ("host = \"shop..example\"", "host: must be a name such as"),
        ("host = \"größe.example\"", "host: must be a name such as"),
        ("host = \"a\\r\\nb\"", "host: must be one line"),
        (
            "address = \"10.0.0.1\"",
            "address: unknown value \"10.0.0.1\"; known: \"private\", \"public\"",
        ),
        ("redirects = 6", "redirects: is a number from 0 to 5"),
        ("redirects = -1", "redirects: is a number from 0 to 5"),
        ("redirects = true", "redirects: must be a whole number"),
        (
            "timeout = \"11m\"",
            "timeout: a check's timeout is between 1s and 10m",
        ),
        ("data_age = true", "data_age: unknown key"),
        (
            "adress = \"private\"",
            "adress: unknown key; did you mean `address`?",
        ),
        ("path = \"/\"", "path: unknown key"),
    ] {
        one(
            &rule(&web(lines, "{ path = \"/\" }")),
            &format!("rules[0].checks[0].{start}"),
        );
    }
    let without = "[[rules.checks]]\nname = \"w\"\nkind = \"http\"\n";
    one(
        &rule(without),
        "rules[0].checks[0].steps: is missing; write for example steps",
    );
    one(
        &rule(&web("", "")),
        "rules[0].checks[0].steps: must hold at least one step",
    );
    one(
        &rule(&web("", &"{ path = \"/\" },".repeat(21))),
        "rules[0].checks[0].steps: holds 21 steps; a check has at most 20",
    );
    // Without a kind it is read as what it looks like.
    one(
        &rule(&web("", "{ path = \"/\" }").replace("kind = \"http\"\n", "")),
        "rules[0].checks[0].kind: is missing",
    );
    one(
        &rule("[[rules.checks]]\nname = \"w\"\nport = 22\n"),
        "rules[0].checks[0].kind: is missing",
    );
}

#[test]
fn mistakes_of_steps() {
    for (step, start) in [
        ("path = \"\"", ".path: must not be empty"),
        ("path = \"health\"", ".path: must begin with \"/\""),
        ("path = \"http://a/\"", ".path: must begin with \"/\""),
        ("path = \"/a b\"", ".path: holds a space"),
        ("path = \"/a#b\"", ".path: holds a \"#\""),
        ("path = \"/a\\r\\nHost: b\"", ".path: must be one line"),
        ("path = \"/größe\"", ".path: holds a character beyond ASCII"),
        (
            "path = \"/{id}\"",
            ".path: holds a character that a URL cannot have",
        ),
        (
            "name = \"n\"",
            ".path: is missing; write for example path = \"/health\"",
        ),
        ("pth = \"/\"", ".pth: unknown key; did you mean `path`?"),
        ("path = \"/\", name = \"\"", ".name: must not be empty"),
        (
            "path = \"/\", method = \"get\"",
            ".method: unknown value \"get\"; did you mean \"GET\"?",
        ),
        (
            "path = \"/\", method = \"DELETE\"",
            ".method: unknown value \"DELETE\"; known: \"GET\"",
        ),
        (
            "path = \"/\", body = \"a\"",
            ".body: only a POST sends a body",
        ),
        (
            "path = \"/\", method = \"HEAD\", body = \"a\"",
            ".body: only a POST sends a body",
        ),
        (
            "path = \"/\", method = \"HEAD\", contains = \"a\"",
            ".contains: the answer to HEAD has no body",
        ),
        (
            "path = \"/\", method = \"HEAD\", matches = \"a\"",
            ".matches: the answer to HEAD has no body",
        ),
        (
            "path = \"/\", method = \"HEAD\", json = \"/a\", expect = { min = 1 }",
            ".json: the answer to HEAD has no body",
        ),
        (
            "path = \"/\", headers = { Host = \"a\" }",
            ".headers.Host: Host is a key of its own",
        ),
        (
            "path = \"/\", headers = { content-length = \"1\" }",
            ".headers.content-length: Content-Length follows from the body",
        ),
        (
            "path = \"/\", headers = { \"Transfer-Encoding\" = \"chunked\" }",
            ".headers.Transfer-Encoding: ",
        ),
        (
            "path = \"/\", headers = { connection = \"close\" }",
            ".headers.connection: Connection is the client's",
        ),
        (
            "path = \"/\", headers = { accept-encoding = \"gzip\" }",
            ".headers.accept-encoding: Accept-Encoding is the client's",
        ),
        (
            "path = \"/\", headers = { \"X: a\" = \"b\" }",
            ".headers.\"X: a\": no header has this name",
        ),
        (
            "path = \"/\", headers = { \"\" = \"b\" }",
            ".headers.\"\": no header has this name",
        ),
        (
            "path = \"/\", headers = { X = \"a\\r\\nY: b\" }",
            ".headers.X: must be one line",
        ),
        (
            "path = \"/\", headers = { X = \"é\" }",
            ".headers.X: must be ASCII",
        ),
        (
            "path = \"/\", headers = { X = \" a\" }",
            ".headers.X: begins or ends with a space",
        ),
        (
            "path = \"/\", headers = { X = 1 }",
            ".headers.X: must be a text",
        ),
        (
            "path = \"/\", headers = { X = \"a\", x = \"b\" }",
            ".headers.x: is the same header as X",
        ),
        (
            "path = \"/\", headers = [\"X\"]",
            ".headers: must be a table",
        ),
        (
            "path = \"/\", status = 99",
            ".status: a status is a number from 100 to 599",
        ),
        ("path = \"/\", status = 600", ".status: a status is"),
        (
            "path = \"/\", status = [200, 2000]",
            ".status[1]: a status is",
        ),
        (
            "path = \"/\", status = []",
            ".status: is empty, so that no answer is right",
        ),
        (
            "path = \"/\", status = \"200\"",
            ".status: must be a number or a list of numbers",
        ),
        (
            "path = \"/\", contains = \"\"",
            ".contains: is empty, and every answer holds that",
        ),
        (
            "path = \"/\", matches = \"\"",
            ".matches: an empty regex matches everything",
        ),
        ("path = \"/\", matches = '('", ".matches: bad regex"),
        (
            "path = \"/\", matches = '(a{1000}){1000}'",
            ".matches: the regex is too large",
        ),
        (
            "path = \"/\", json = \"/a\"",
            ".expect: is missing: what must the value at json be?",
        ),
        (
            "path = \"/\", json = \"/a\", expct = { min = 1 }",
            ".expct: unknown key; did you mean `expect`?",
        ),
        (
            "path = \"/\", expect = { min = 1 }",
            ".json: is missing: which value of the answer is judged?",
        ),
        (
            "path = \"/\", json = \"a\", expect = { min = 1 }",
            ".json: must begin with \"/\"",
        ),
        (
            "path = \"/\", json = \"$.a\", expect = { min = 1 }",
            ".json: must begin with \"/\"",
        ),
        (
            "path = \"/\", json = \"/a~b\", expect = { min = 1 }",
            ".json: holds a \"~\" alone",
        ),
        (
            "path = \"/\", json = \"/a~\", expect = { min = 1 }",
            ".json: holds a \"~\" alone",
        ),
        (
            "path = \"/\", json = \"/a\", expect = {}",
            ".expect: is empty; write exactly one of",
        ),
        (
            "path = \"/\", within = \"31s\"",
            ".within: is longer than the whole check may take, 30s",
        ),
        (
            "path = \"/\", within = 2",
            ".within: must be a text with a unit, such as \"500ms\"",
        ),
        (
            "path = \"/\", within = \"0ms\"",
            ".within: `0ms` is no time at all",
        ),
        (
            "path = \"/\", within = \"soon\"",
            ".within: `soon` is not a duration; write for example 500ms",
        ),
        ("path = \"/\", url = \"/\"", ".url: unknown key"),
    ] {
        one(
            &rule(&web("", &format!("{{ {step} }}"))),
            &format!("rules[0].checks[0].steps[0]{start}"),
        );
    }
    one(
        &rule(&web("", "{ path = \"/\" }, { path = \"/\" }")),
        "rules[0].checks[0].steps[1].path: a step without a name is called by its path, and rules[0].checks[0].steps[0] is called so already",
    );
    one(
        &rule(&web(
            "",
            "{ path = \"/\", name = \"n\" }, { path = \"/\", name = \"n\" }",
        )),
        "rules[0].checks[0].steps[1].name: the name \"n\" is already that of rules[0].checks[0].steps[0]",
    );
    let long = "a".repeat(128);
    one(
        &rule(&web("", &format!("{{ path = \"/{long}\" }}"))),
        "rules[0].checks[0].steps[0].path: is longer than 128 characters, too long to call the step by",
    );
    fine(&rule(&web(
        "",
        &format!("{{ path = \"/{long}\", name = \"n\" }}"),
    )));
    fine(&rule(&web(
        "",
        "{ path = \"/\" }, { path = \"/\", name = \"again\" }",
    )));
    // Numbers up to which all is well.
    fine(&rule(&web(
        "redirects = 5\nport = 65535\ntimeout = \"10m\"",
        "{ path = \"/\", within = \"10m\", status = [100, 599] }",
    )));
    fine(&rule(&web(
        "",
        &(0..20)
            .map(|i| format!("{{ path = \"/{i}\" }},"))
            .collect::<String>(),
    )));
}

#[test]
fn mistakes_of_connect_checks() {
    for (lines, start) in [
        ("port = 70000", ".port: a port is a number from 1 to 65535"),
        (
            "port = 22\ngreeting = \"\"",
            ".greeting: an empty regex matches everything; leave it out",
        ),
        ("port = 22\ngreeting = '['", ".greeting: bad regex"),
        (
            "port = 22\ntimeout = \"0s\"",
            ".timeout: `0s` is no time at all",
        ),
        (
            "port = 22\nadress = \"public\"",
            ".adress: unknown key; did you mean `address`?",
        ),
        ("prot = 22", ".prot: unknown key; did you mean `port`?"),
    ] {
        let check = format!("[[rules.checks]]\nname = \"c\"\nkind = \"connect\"\n{lines}\n");
        one(&rule(&check), &format!("rules[0].checks[0]{start}"));
    }
}

#[test]
fn everything_of_a_web_check_is_read() {
    let whole = |text: &str| fine(&rule(text)).rules[0].checks[0].clone();
    let read = |text: &str| whole(text).kind;
    let timeout = |text: &str| whole(text).timeout.as_secs();
    let full = web(
        "scheme = \"https\"\nhost = \"shop.example.com\"\naddress = \"public\"\nredirects = 2\ntimeout = \"1m\"",
        "{ path = \"/a?b=%20\", name = \"n\", method = \"POST\", headers = { X-A = \"b c\" }, body = \"d\", status = [200, 204], \
           contains = \"e\", matches = \"f\", json = \"/g/0/~1\", expect = { min = 1 }, within = \"1s 500ms\" }",
    );
    assert_eq!(
        read(&full),
        CheckKind::Http(HttpCheck {
            scheme: Scheme::Https,
            port: 443,
            host: Some("shop.example.com".into()),
            address: Address::Public,
            redirects: 2,
            steps: vec![HttpStep {
                name: "n".into(),
                method: HttpMethod::Post,
                path: "/a?b=%20".into(),
                headers: BTreeMap::from([("X-A".into(), "b c".into())]),
                body: Some("d".into()),
                status: vec![200, 204],
                contains: Some("e".into()),
                matches: Some("f".into()),
                json: Some(JsonExpectation {
                    pointer: "/g/0/~1".into(),
                    expect: Expectation::Min(1.0),
                }),
                within: Some(Duration::from_millis(1500)),
            }],
        })
    );
    assert_eq!(timeout(&full), 60);
    assert_eq!(timeout(&web("", "{ path = \"/\" }")), 30);
    assert_eq!(
        read(&web("", "{ path = \"/\" }")),
        CheckKind::Http(HttpCheck {
            scheme: Scheme::Http,
            port: 80,
            host: None,
            address: Address::Private,
            redirects: 0,
            steps: vec![HttpStep {
                name: "/".into(),
                method: HttpMethod::Get,
                path: "/".into(),
                headers: BTreeMap::new(),
                body: None,
                status: vec![200],
                contains: None,
                matches: None,
                json: None,
                within: None,
            }],
        })
    );
    let connect = |lines: &str| {
        read(&format!(
            "[[rules.checks]]\nname = \"c\"\nkind = \"connect\"\n{lines}\n"
        ))
    };
    assert_eq!(
        connect("port = 22\naddress = \"public\"\ngreeting = '^SSH-2\\.0-'\ntimeout = \"5s\""),
        CheckKind::Connect(ConnectCheck {
            port: Some(22),
            address: Address::Public,
            greeting: Some("^SSH-2\\.0-".into()),
        })
    );
    assert_eq!(
        connect("port = 22"),
        CheckKind::Connect(ConnectCheck {
            port: Some(22),
            address: Address::Private,
            greeting: None,
        })
    );
    // What is frozen in the ledger comes back as it was, milliseconds included.
    let rule = &fine(&rule(&full)).rules[0];
    let frozen = serde_json::to_string(rule).unwrap();
    assert_eq!(&serde_json::from_str::<Rule>(&frozen).unwrap(), rule);
}

#[test]
fn everything_of_a_machines_rule_is_read() {
    let policy = fine(&about(
        "EC2",
        "ec2 = { instance_type = \"t3.small\", instance_profile = \"original\", boot_timeout = \"5m\" }",
    ));
    let types = &policy.rules[0].types;
    assert_eq!(types.ec2.instance_type.as_deref(), Some("t3.small"));
    assert_eq!(types.ec2.instance_profile, InstanceProfile::Original);
    assert_eq!(
        types.boot_timeout(ResourceType::Ec2),
        Some(Duration::from_secs(300))
    );
    assert_eq!(types.boot_timeout(ResourceType::Rds), None);
    let policy = fine(&about("RDS", "credentials = \"reset\""));
    let rule = &policy.rules[0];
    assert_eq!(rule.credentials, Some(Credentials::Reset));
    assert_eq!(
        (rule.types.ec2.instance_profile, rule.types.ec2.boot_timeout),
        (InstanceProfile::None, Duration::from_secs(600))
    );
    fine(&about(
        "RDS",
        &format!("credentials = \"reset\"\n{}", check("")),
    ));
}

#[test]
fn a_token_of_iam_is_the_stacks_one_users_or_the_named_users() {
    for (said, user) in [
        ("\"iam\"", None),
        ("{ iam = \"restore_check\" }", Some("restore_check")),
        ("{ iam = \"Ops.Read-Only_1\" }", Some("Ops.Read-Only_1")),
    ] {
        let policy = fine(&rule(&format!(
            "credentials = {said}\ntls = \"encrypt-only\"\n{}",
            check("")
        )));
        let wanted = Credentials::Iam(user.map(str::to_owned));
        assert_eq!(policy.rules[0].login(), Some(&wanted));
        let policy = fine(&rule(&format!("credentials = {said}")));
        assert_eq!(policy.rules[0].login(), None, "nothing logs in");
    }
    let pattern = regex::Regex::new(super::rule::IAM_USER_PATTERN).unwrap();
    for good in ["a", "_a", "a.b-c_D9", &"a".repeat(32)] {
        assert!(is_iam_user(good) && pattern.is_match(good), "{good}");
    }
    for none in [
        "",
        "-a",
        ".a",
        "a b",
        "a/b",
        "a*",
        "a?",
        "a'",
        "ä",
        &"a".repeat(33),
    ] {
        assert!(!is_iam_user(none), "{none}");
        assert!(!pattern.is_match(none), "{none}: the schema agrees");
    }
}

#[test]
fn a_frequency_is_short_for_a_method() {
    let methods = |lines: &str| {
        let text = rule(lines).replace("frequency = \"daily\"\n", "");
        fine(&text).rules[0].methods.clone()
    };
    let restore = "methods = [{ method = \"restore\", frequency = \"weekly\" }]";
    let weekly = Method {
        method: MethodKind::Restore,
        frequency: Frequency::Weekly,
    };
    assert_eq!(methods(restore), [weekly]);
    let short = fine(&rule("frequency = \"weekly\""));
    assert_eq!(short.rules[0].methods, [weekly]);
    assert_eq!(short.rules[0].frequency(), Some(Frequency::Weekly));

    one(
        &rule(restore),
        "rules[0].frequency: is short for a method, and methods say how often themselves",
    );
    for (methods, start) in [
        ("[]", ": is empty; write for example"),
        ("\"restore\"", ": must be a list"),
        ("[\"restore\"]", "[0]: must be a table"),
        (
            "[{ method = \"restore\" }]",
            "[0].frequency: is missing; write for example frequency = \"daily\"",
        ),
        (
            "[{ frequency = \"daily\" }]",
            "[0].method: is missing; write for example method = \"restore\"",
        ),
        (
            "[{ method = \"read\", frequency = \"daily\" }]",
            "[0].method: no type is read without a restore yet",
        ),
        (
            "[{ method = \"restroe\", frequency = \"daily\" }]",
            "[0].method: unknown value \"restroe\"; did you mean \"restore\"?",
        ),
        (
            "[{ method = \"restore\", frequency = \"daily\" }, { method = \"restore\", frequency = \"weekly\" }]",
            "[1].method: the name \"restore\" is already that of rules[0].methods[0]",
        ),
    ] {
        let text = rule(&format!("methods = {methods}"));
        let text = text.replace("frequency = \"daily\"\nmethods", "methods");
        one(&text, &format!("rules[0].methods{start}"));
    }
}

#[test]
fn groups_are_labels_of_checks_of_every_kind() {
    let connect =
        "[[rules.checks]]\nname = \"c\"\nkind = \"connect\"\nport = 22\ngroup = \"reach\"\n";
    for (text, group) in [
        (rule_with_check("group = \"integrity\""), "integrity"),
        (rule(&web("group = \"shop\"", "{ path = \"/\" }")), "shop"),
        (rule(connect), "reach"),
    ] {
        let checks = &fine(&text).rules[0].checks;
        assert_eq!(checks[0].group.as_deref(), Some(group));
    }
    let long = "g".repeat(129);
    one(
        &rule_with_check(&format!("group = \"{long}\"")),
        "rules[0].checks[0].group: must not be longer than 128",
    );
}

#[test]
fn a_class_that_the_limits_do_not_allow_is_a_mistake_of_the_rule() {
    let with = |lines: &str| {
        let limits = "[limits]\nclasses_allowed = [\"db.t4g.*\", \"t3.small\"]\n[[rules]]";
        rule(lines).replacen("[[rules]]", limits, 1)
    };
    fine(&with(
        "rds.instance_class = \"db.t4g.small\"\nec2.instance_type = \"t3.small\"",
    ));
    fine(&with("restore = { DBInstanceClass = \"db.t4g.small\" }"));
    for (lines, start) in [
        (
            "rds.instance_class = \"db.r6g.large\"",
            "rules[0].rds.instance_class: the class db.r6g.large is none of the policy's classes_allowed, db.t4g.*, t3.small; name another",
        ),
        (
            "ec2.instance_type = \"t3.large\"",
            "rules[0].ec2.instance_type: the class t3.large is none of",
        ),
        (
            "restore = { dbInstanceClass = \"db.r6g.large\" }",
            "rules[0].restore.dbInstanceClass: the class db.r6g.large is none of",
        ),
    ] {
        one(&with(lines), start);
    }
}

#[test]
fn a_rule_fits_into_the_ledger() {
    let query = format!("query = \"select 1 /* {} */\"", "x".repeat(LARGEST_QUERY));
    one(&rule_with_check(&query), "rules[0]: the rule takes");
}

const LARGEST_QUERY: usize = 100_000;

#[test]
fn every_expectation_is_read() {
    let expect = |text: &str| {
        let policy = fine(&rule_with_check(&format!("expect = {{ {text} }}")));
        sql(&policy.rules[0].checks[0]).expect.clone()
    };
    assert_eq!(
        expect("equals = \"a\""),
        Expectation::Equals(Constant::Text("a".into()))
    );
    assert_eq!(
        expect("equals = 1_000"),
        Expectation::Equals(Constant::Integer(1000))
    );
    assert_eq!(
        expect("equals = 0xff"),
        Expectation::Equals(Constant::Integer(255))
    );
    assert_eq!(
        expect("equals = 1.5"),
        Expectation::Equals(Constant::Number(1.5))
    );
    assert_eq!(
        expect("equals = false"),
        Expectation::Equals(Constant::Boolean(false))
    );
    assert_eq!(expect("min = -1_0.5"), Expectation::Min(-10.5));
    assert_eq!(expect("max = 7"), Expectation::Max(7.0));
    assert_eq!(expect("between = [3, 3.0]"), Expectation::Between(3.0, 3.0));
    assert_eq!(
        expect("max_age = \"40d\""),
        Expectation::MaxAge(Duration::from_secs(40 * 86_400))
    );
    assert_eq!(expect("not_empty = true"), Expectation::NotEmpty);
    assert_eq!(
        expect("matches = '^a\\d$'"),
        Expectation::Matches("^a\\d$".into())
    );
}

#[test]
fn a_rule_lowers_what_may_leave() {
    let leaves = |lines: &str| fine(&rule(lines)).rules.remove(0).values_leave;
    let each = |words: &str| words.parse::<Ceilings>().unwrap();
    assert_eq!(leaves(""), each("text"));
    assert_eq!(leaves("values_leave = \"none\""), each("none"));
    assert_eq!(
        leaves("values_leave = { record = \"numbers\", message = \"none\" }"),
        each("numbers text none")
    );
    for (line, start) in [
        (
            "values_leave = \"all\"",
            "rules[0].values_leave: unknown value \"all\"",
        ),
        ("values_leave = 1", "rules[0].values_leave: must be"),
        (
            "values_leave = { mail = \"none\" }",
            "rules[0].values_leave.mail: unknown key",
        ),
        (
            "values_leave = { log = \"text only\" }",
            "rules[0].values_leave.log: unknown value",
        ),
    ] {
        one(&rule(line), start);
    }
}

#[test]
fn defaults_are_the_documented_ones() {
    let policy = fine(&rule_with_check(""));
    let rule = &policy.rules[0];
    assert_eq!(
        (rule.tls, rule.notify, rule.keep_failed_for),
        (Tls::Verify, Notify::Always, None)
    );
    let check = &rule.checks[0];
    let sql = sql(check);
    assert_eq!(
        (check.timeout, sql.time_zone.as_str(), &check.group),
        (Duration::from_secs(30), "UTC", &None)
    );
    assert_eq!((sql.database.as_deref(), sql.data_age), (None, false));
}

#[test]
fn mangled_policies_never_panic() {
    // Prefixes of a policy, and policies with one character changed to a nasty one.
    let text = include_str!("../../../../tests/policy/twenty-mistakes.toml");
    let starts: Vec<usize> = text.char_indices().map(|(index, _)| index).collect();
    for &cut in starts.iter().step_by(13) {
        let _ = parse(&text[..cut]).map_err(|mistakes| mistakes.to_string());
    }
    for nasty in ["\u{0}", "\"", "[", "{", "=", "\n", "é", "9", "\u{202e}"] {
        for &at in starts.iter().step_by(211) {
            let rest: String = text[at..].chars().skip(1).collect();
            let changed = format!("{}{nasty}{rest}", &text[..at]);
            if let Err(mistakes) = parse(&changed) {
                assert!(
                    mistakes
                        .0
                        .iter()
                        .all(|m| m.line > 0 && m.column > 0 && m.width > 0)
                );
            }
        }
    }
}

/// A policy with this table of limits.
fn limited(lines: &str) -> String {
    rule("").replacen("[[rules]]", &format!("[limits]\n{lines}\n[[rules]]"), 1)
}

#[test]
fn limits_are_read_and_absent_they_limit_nothing_but_the_wait() {
    let policy = fine(&limited(
        "concurrent_restores = 10\nconcurrent_restores_by_type = { RDS = 4, EC2 = 6 }\n\
         largest_size = \"500 GiB\"\nlargest_scan = \"50 GiB\"\nlongest_wait = \"24h\"\nrestores_per_month = 2000\n\
         classes_allowed = [\"db.t4g.*\", \"db.serverless\"]",
    ));
    let wanted = Limits {
        concurrent_restores: Some(10),
        concurrent_restores_by_type: [("EC2".to_owned(), 6), ("RDS".to_owned(), 4)].into(),
        largest_size: Some(500 << 30),
        largest_scan: Some(50 << 30),
        longest_wait: Duration::from_secs(86_400),
        restores_per_month: Some(2000),
        classes_allowed: ["db.t4g.*", "db.serverless"]
            .map(|glob| Glob::new(glob).unwrap())
            .into(),
    };
    assert_eq!(policy.limits, wanted);
    let seven_days = Duration::from_secs(7 * 86_400);
    for text in [limited(""), rule("")] {
        let policy = fine(&text);
        assert_eq!(policy.limits, Limits::default());
        assert_eq!(policy.limits.longest_wait, seven_days);
        assert_eq!(policy.rules[0].sample, None);
    }
}

#[test]
fn limits_that_cannot_be_are_refused() {
    let about = |lines: &str, start: &str| one(&limited(lines), &format!("limits.{start}"));
    about(
        "concurrent_restores = 0",
        "concurrent_restores: with 0 every",
    );
    about(
        "concurrent_restores = -1",
        "concurrent_restores: must be from 1 to 100",
    );
    about(
        "concurrent_restores = 101",
        "concurrent_restores: must be from 1 to 100",
    );
    about(
        "concurrent_restores = \"4\"",
        "concurrent_restores: must be a whole number",
    );
    about(
        "concurrent_restores = 4.0",
        "concurrent_restores: must be a whole number",
    );
    about(
        "concurrent_restore = 4",
        "concurrent_restore: unknown key; did you mean `concurrent_restores`?",
    );
    about(
        "concurrent_restores_by_type = 4",
        "concurrent_restores_by_type: must be a table",
    );
    about(
        "concurrent_restores_by_type = { RSD = 4 }",
        "concurrent_restores_by_type.RSD: unknown key; did you mean `RDS`?",
    );
    about(
        "concurrent_restores_by_type = { Timestream = 4 }",
        "concurrent_restores_by_type.Timestream: unknown key; known here: Aurora, EC2, RDS",
    );
    about(
        "concurrent_restores_by_type = { RDS = 0 }",
        "concurrent_restores_by_type.RDS: with 0",
    );
    about(
        "largest_size = 500",
        "largest_size: must be a text with a unit",
    );
    about(
        "largest_size = \"500\"",
        "largest_size: `500` is not a size",
    );
    about(
        "largest_size = \"0 GiB\"",
        "largest_size: `0 GiB` is below 1 MiB",
    );
    about(
        "largest_size = \"5000 TiB\"",
        "largest_size: `5000 TiB` is more than 1024 TiB",
    );
    about(
        "longest_wait = \"0s\"",
        "longest_wait: `0s` is no time at all",
    );
    about("longest_wait = \"9m\"", "longest_wait: must be from 10m");
    about("longest_wait = \"31d\"", "longest_wait: must be from 10m");
    for number in ["0", "-1", "4294967296"] {
        about(
            &format!("restores_per_month = {number}"),
            "restores_per_month: must be a positive whole number",
        );
    }
    about(
        "classes_allowed = []",
        "classes_allowed: is empty and allows nothing",
    );
    about(
        "classes_allowed = \"t3.*\"",
        "classes_allowed: must be a list",
    );
    about(
        "classes_allowed = [\"t3.*\", \"[ab]\"]",
        "classes_allowed[1]: this pattern knows only",
    );
    about(
        "longest_wait = 5",
        "longest_wait: must be a text with a unit",
    );
    one(
        &rule("").replace("[[rules]]", "limits = 4\n[[rules]]"),
        "limits: must be a table",
    );
    let text = limited("largest_size = \"0 GiB\"");
    let found = parse(&text).unwrap_err();
    assert_eq!((found.0[0].line, found.0[0].column), (3, 16), "{found}");
}

#[test]
fn a_sample_is_a_share_of_the_rule() {
    assert_eq!(
        fine(&rule("sample = \"12.5%\"")).rules[0].sample,
        Some("12.5%".parse().unwrap())
    );
    one(
        &rule("sample = 20"),
        "rules[0].sample: must be a text with a percent sign",
    );
    one(
        &rule("sample = \"20\""),
        "rules[0].sample: `20` is not a share",
    );
    one(
        &rule("sample = \"0%\""),
        "rules[0].sample: `0%` draws nothing",
    );
    one(
        &rule("sample = \"120%\""),
        "rules[0].sample: `120%` is more than all",
    );
    one(
        &rule("sample = \"0.125%\""),
        "rules[0].sample: `0.125%` is finer than",
    );
}

#[test]
fn a_rule_that_was_frozen_before_there_were_samples_is_whole() {
    let policy = fine(&limited("").replace("[[rules]]", "[[rules]]\nsample = \"50%\""));
    let mut frozen = serde_json::to_value(&policy.rules[0]).unwrap();
    assert_eq!(frozen["sample"], "50%");
    frozen.as_object_mut().unwrap().remove("sample");
    assert_eq!(serde_json::from_value::<Rule>(frozen).unwrap().sample, None);
}

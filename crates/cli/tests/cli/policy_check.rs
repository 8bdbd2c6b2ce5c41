//! `restore-proof policy check` as people run it.
use std::path::Path;
use std::process::{Command, Output};

use crate::common::root;

fn check(files: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_restore-proof"))
        .args(["policy", "check"])
        .args(files)
        .current_dir(root())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_good_policy_is_described() {
    let output = check(&["examples/policy.toml"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), err), (Some(0), ""));
    for part in [
        "examples/policy.toml: no mistakes. Version \"2026-11-21\", 8 rules, SHA-256 ",
        "Limits\n   at one time  10, of which 2 of type Aurora, 6 of type EC2, 6 of type RDS; never more than the stack's MaxConcurrentRestores\n   \
         size         a larger recovery point than 2 TiB is not tested\n   \
         scans        of a larger table than 5 GiB checks read a sample\n   \
         may wait     3d for a slot among the restores; after that a copy is not tested\n   \
         in a month   2000 restores at most\n   \
         classes      db.t4g.*, db.serverless, t3.*\n",
        "at most one copy a week of each resource, of a sample of 20%\n",
        "1. orders databases\n   matches      RDS, arn:aws:rds:*:*:db:orders-*, tag env = prod\n   restores     every copy\n",
        "objectives   recovered within 2h, data at most 15m old\n",
        "checks       orders are there                  sql          at least 10000\n",
        "newest order is fresh             sql          at most 15m old; tells the data's age\n",
        "customers are there               row_count    customers: at least 1000 rows\n",
        "newest payment is fresh           freshness    paid_at of payments: at most 1h old\n",
        "every order has its customer      references   customer_id of orders to id of customers: at most 0 rows\n",
        "tenants see their own rows        schema       with 2 facts, without `grant public.orders to PUBLIC`\n",
        "checks       the port answers        connect  the database's port takes connections; within 30s\n",
        "password     a new one, set on the restored copy\n",
        "type         t3.small\n   may boot for 15m; until then checks are tried again\n",
        "the shop works         http     5 steps at http port 8080: /, /assets/shop.css,",
        "checks       none: the verdict is `unchecked`",
    ] {
        assert!(out.contains(part), "{part:?} is missing in\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "no colours into a pipe");
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let file = "tests/policy/twenty-mistakes.toml";
    let output = check(&[file]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), out), (Some(1), ""));
    assert_eq!(
        err.lines().filter(|line| line.starts_with(file)).count(),
        20,
        "{err}"
    );
    assert!(err.ends_with("\n20 mistakes\n"), "{err}");
    let shown = "tests/policy/twenty-mistakes.toml:33:24: rules[0].checks[2].expect.between: is impossible: the first number is larger than the second
33 |   expect = { between = [10, 1] }                                        # 17 impossible
   |                        ^^^^^^^
";
    assert!(err.contains(shown), "{err}");
    // The caret counts characters, not bytes.
    let line = err
        .lines()
        .skip_while(|line| !line.contains(":27:15:"))
        .nth(2)
        .unwrap();
    assert_eq!(line, "   |               ^^^^^^^^^^^^^^^");
}

/// Statistics are no counts: that is no mistake, and said.
#[test]
fn queries_for_estimates_are_warned_of() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("estimates.toml");
    let policy = "version = \"1\"\n[[rules]]\nname = \"odd\"\nmatch = { resource_type = \"RDS\" }\nfrequency = \"daily\"\n\
        credentials = { secret = \"s\" }\n[[rules.checks]]\nname = \"rows by counters\"\nkind = \"sql\"\n\
        query = \"select sum(n_live_tup) from pg_stat_user_tables\"\nexpect = { min = 1 }\n";
    std::fs::write(&file, policy).unwrap();
    let file = file.to_str().unwrap();
    let output = check(&[file]);
    assert_eq!(output.status.code(), Some(0));
    let warning = "rule \"odd\", check \"rows by counters\": n_live_tup is an estimate";
    assert!(text(&output.stdout).contains("no mistakes"));
    let told = text(&output.stderr);
    assert!(told.starts_with(&format!("warning: {warning}")), "{told}");
    let output = check(&[file, "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = document["files"][0]["warnings"][0].as_str().unwrap();
    assert!(told.starts_with(warning), "{told}");
}

#[test]
fn of_a_policy_from_practice_the_estimates_are_warned_of_and_nothing_else() {
    let output = check(&["tests/cases/31-policy.toml", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let warnings = document["files"][0]["warnings"].as_array().unwrap();
    let told: Vec<&str> = warnings.iter().filter_map(|one| one.as_str()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("\"rows by counters\": n_live_tup"),
        "{told:?}"
    );
    assert!(
        told[1].contains("\"rows by estimate\": reltuples"),
        "{told:?}"
    );
}

#[test]
fn several_files_are_all_checked() {
    let output = check(&[
        "tests/policy/twenty-mistakes.toml",
        "nowhere.toml",
        "examples/policy.toml",
    ]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err.contains("error: cannot read nowhere.toml: No such file"),
        "{err}"
    );
    assert!(
        err.contains("20 mistakes\n") && out.contains("no mistakes"),
        "{err}{out}"
    );
}

#[test]
fn what_no_terminal_should_see_is_not_printed() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let nasty = folder.join("nasty.toml");
    std::fs::write(&nasty, "version = \"a\\u001b[2J\"\n\u{1b}[31m = 1\r\n").unwrap();
    let output = check(&[nasty.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.contains(&0x1b));

    let binary = folder.join("binary.toml");
    std::fs::write(&binary, b"version = \"\xff\"").unwrap();
    let output = check(&[binary.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("not UTF-8 text (byte 12 is not)"));
}

#[test]
fn without_a_file_there_is_help() {
    let output = check(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("Usage: restore-proof policy check <FILE>..."));
}

/// What the function would not read is not called good.
#[test]
fn a_policy_above_the_limit_is_refused_as_by_the_function() {
    let policy = "version = \"1\"\n[[rules]]\nname = \"all\"\nmatch = {}\nfrequency = \"daily\"\n#";
    for (bytes, code) in [(1 << 20, 0), ((1 << 20) + 1, 1)] {
        let text = format!("{policy}{}", "x".repeat(bytes - policy.len()));
        let file = crate::common::file(&format!("large-{code}.toml"), &text);
        let output = check(&[&file]);
        assert_eq!(output.status.code(), Some(code), "{}", text_of(&output));
        let is_refused =
            text_of(&output).contains("it is more than the 1 MiB that a policy file may have");
        assert_eq!(is_refused, code == 1, "{}", text_of(&output));
    }
}

fn text_of(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

//! Checks of data without SQL, on restored copies: what the record says of them.

use super::*;

/// A policy whose checks are given as a name and all the rest of their TOML.
fn policy_of(settings: &str, checks: &[(&str, &str)]) -> String {
    let mut text = policy(settings, &[]);
    for (name, rest) in checks {
        text += &format!("[[rules.checks]]\nname = \"{name}\"\n{rest}\n");
    }
    text
}

const CHECKS: &[(&str, &str)] = &[
    (
        "rows",
        "kind = \"row_count\"\ntable = \"orders\"\nexpect = { min = 10000 }\nwarn = { min = 20000 }",
    ),
    (
        "fresh",
        "kind = \"freshness\"\ntable = \"orders\"\ncolumn = \"created_at\"\nexpect = { max_age = \"15m\" }",
    ),
    (
        "emails",
        "kind = \"missing\"\ntable = \"customers\"\ncolumn = \"email\"",
    ),
    (
        "accounts",
        "kind = \"duplicate\"\ntable = \"customers\"\ncolumns = [\"email\"]",
    ),
    (
        "amounts",
        "kind = \"failed_rows\"\ntable = \"payments\"\ncondition = \"amount < 0\"",
    ),
    (
        "lines",
        "kind = \"references\"\ntable = \"order_lines\"\ncolumns = [\"order_id\"]\nto = \"orders\"\nto_columns = [\"id\"]",
    ),
    ("schema", "kind = \"schema\""),
    ("profile", "kind = \"profile\"\ntables = [\"orders\"]"),
];

#[tokio::test]
async fn a_healthy_copy_passes_and_its_record_says_what_was_looked_at() {
    for (kind, database) in [(Kind::Postgres, "data-pg"), (Kind::AuroraMySql, "data-my")] {
        let shop = Shop::of(kind, &policy_of(OBJECTIVES, CHECKS)).await;
        let point = shop.backup(database, &shop.engine.fresh);
        let record = shop.prove(&point).await;
        assert_eq!(outcome(&record), ("passed", "deleted"), "{record:#}");
        let checks = record["checks"].as_array().unwrap();
        let kinds: Vec<_> = checks
            .iter()
            .map(|check| check["kind"].as_str().unwrap())
            .collect();
        assert_eq!(
            kinds,
            [
                "row_count",
                "freshness",
                "missing",
                "duplicate",
                "failed_rows",
                "references",
                "schema",
                "profile"
            ]
        );
        assert_eq!(checks[0]["value_number"], 12000.0);
        assert_eq!(checks[0]["expectation"], "at least 10000 rows");
        assert_about(&record["data_age"], DATA_AGE);
        assert_eq!(record["data_age_objective"], "met");
        // The softer bound changes no verdict, and is told.
        let warning = "the check \"rows\" passed, and warns: it should be at least 20000 rows";
        assert!(
            record["findings"]
                .as_array()
                .unwrap()
                .contains(&json!(warning)),
            "{record:#}"
        );
        let measured = checks[2]["measured"].as_array().unwrap();
        assert_eq!(measured[0]["name"], "rows looked at");
        assert!(measured[0]["number"].as_f64().unwrap() > 1000.0);
        let scanned = &measured[1];
        assert!(
            scanned["name"]
                .as_str()
                .unwrap()
                .starts_with("scanned, MiB"),
            "{scanned}"
        );
        assert!(scanned["number"].as_f64().unwrap() > 0.0);
        assert_eq!(checks[6]["value"].as_str().unwrap().len(), 16);
        let profile = checks[7]["measured"].as_array().unwrap();
        assert_eq!(profile[0]["name"], "tables");
        assert!(profile[0]["number"].as_f64().unwrap() >= 22.0);
        let rows = &profile[4];
        assert_eq!(rows["name"], "rows of orders (exact)");
        assert_eq!(rows["number"], 12000.0);
        let used = record["usage"].as_array().unwrap();
        assert_eq!(used[1]["what"], "scanned_data");
        assert!(used[1]["amount"].as_f64().unwrap() > 0.1);
        shop.scene.assert_clean();
    }
}

#[tokio::test]
async fn an_emptied_copy_fails_by_its_rows_and_its_freshness_alone() {
    for (kind, database) in [
        (Kind::AuroraPostgres, "data-pg-empty"),
        (Kind::MariaDb, "data-my-empty"),
    ] {
        let shop = Shop::of(kind, &policy_of("", CHECKS)).await;
        let point = shop.backup(database, &shop.engine.emptied);
        let record = shop.prove(&point).await;
        assert_eq!(outcome(&record), ("failed", "deleted"));
        let outcomes: Vec<_> = record["checks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|check| check["outcome"].as_str().unwrap())
            .collect();
        assert_eq!(
            outcomes,
            [
                "failed", "failed", "passed", "passed", "passed", "passed", "passed", "passed"
            ],
            "{record:#}"
        );
        // That no row is bad is true of no rows.
        let findings = record["findings"].to_string();
        assert!(
            findings.contains("\\\"lines\\\" passed, and warns: it should be at least one row"),
            "{findings}"
        );
        shop.scene.assert_clean();
    }
}

/// Numbers obey the ceilings, wherever they stand.
#[tokio::test]
async fn under_no_values_no_number_leaves() {
    let shop = Shop::open(&policy_of("values_leave = \"none\"", CHECKS)).await;
    let point = shop.backup("data-none", &shop.engine.fresh);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("passed", "deleted"));
    for check in record["checks"].as_array().unwrap() {
        assert_eq!(check["value"], Value::Null, "{check:#}");
        for measured in check["measured"].as_array().unwrap() {
            assert_eq!(measured["number"], Value::Null, "{check:#}");
        }
        assert!(
            !check["detail"].as_str().unwrap().contains("12000"),
            "{check:#}"
        );
    }
    shop.scene.assert_clean();
}

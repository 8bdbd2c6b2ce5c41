//! What PostgreSQL can answer, and what that says of the backup. How cases are run, for other engines too.

use super::*;

/// A check, what must become of it, and words its detail must hold.
pub type Case = (&'static str, &'static str, &'static str, &'static str);

async fn run(database: &str, user: &str, cases: &[Case]) -> Value {
    run_on(Kind::Postgres, database, user, cases).await
}

/// Runs all cases as checks of one rule against one restored database.
pub async fn run_on(kind: Kind, database: &str, user: &str, cases: &[Case]) -> Value {
    let checks: Vec<_> = cases
        .iter()
        .map(|(name, rest, ..)| (*name, *rest))
        .collect();
    let shop = Shop::of(kind, &policy("", &checks)).await;
    shop.log_in_as(user, PASSWORD);
    let point = shop.backup(database, &shop.engine.fresh);
    let record = shop.prove(&point).await;
    let results = record["checks"].as_array().unwrap();
    assert_eq!(results.len(), cases.len());
    let mut wrong = Vec::new();
    for ((name, _, outcome, words), result) in cases.iter().zip(results) {
        assert_eq!(result["name"], *name);
        assert!(result["duration"].as_f64().unwrap() >= 0.0);
        let detail = result["detail"].as_str().unwrap();
        if result["outcome"] != *outcome || !detail.contains(words) {
            wrong.push(format!(
                "{name}: {} {detail:?}, not {outcome} {words:?}",
                result["outcome"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(record["cleanup"], "deleted");
    shop.scene.assert_clean();
    record
}

#[tokio::test]
async fn values_that_are_as_expected_pass() {
    let record = run(
        "as-expected",
        READER_USER,
        &[
            ("equals", "query = \"select count(*) from orders\"\nexpect = { equals = 12000 }", "passed", "12000"),
            ("ends with a semicolon", "query = \"select count(*) from orders ; \"\nexpect = { min = 1 }", "passed", ""),
            ("comment at the end", "query = \"select count(*) from orders -- all\"\nexpect = { min = 1 }", "passed", ""),
            ("comment behind the end", "query = \"select count(*) from orders; -- all\"\nexpect = { min = 1 }", "passed", ""),
            ("show", "query = \"show server_version\"\nexpect = { not_empty = true }", "passed", ""),
            ("between", "query = \"select avg(weight_g) from products\"\nexpect = { between = [50, 9050] }", "passed", ""),
            ("truth", "query = \"select count(*) > 5 from orders\"\nexpect = { equals = true }", "passed", ""),
            ("matches", "query = \"select string_agg(distinct currency, ',') from prices\"\nexpect = { matches = \"^EUR$\" }", "passed", ""),
            ("not empty", "query = \"select name from brands where id = 1\"\nexpect = { not_empty = true }", "passed", ""),
            ("another database", "database = \"postgres\"\nquery = \"select 1\"\nexpect = { equals = 1 }", "passed", ""),
            ("without zone", "query = \"select max(logged_at) from audit_log\"\nexpect = { max_age = \"15m\" }", "passed", "no time zone, read as UTC"),
            ("date", "query = \"select max(hired_on) from employees\"\nexpect = { max_age = \"60d\" }", "passed", "a date without a time"),
            ("beyond 35 days", "query = \"select max(valid_from) from prices\"\nexpect = { max_age = \"61d\" }", "passed", ""),
            ("numbers of many digits", "query = \"select 12345678901234567890123456789.5::numeric\"\nexpect = { min = 1 }", "passed", ""),
        ],
    )
    .await;
    assert_eq!(record["verdict"], "passed");
}

#[tokio::test]
async fn data_that_is_not_as_expected_fails() {
    let record = run(
        "not-as-expected",
        READER_USER,
        &[
            ("wrong number", "query = \"select count(*) from orders\"\nexpect = { equals = 12001 }", "failed", "12000"),
            ("missing table", "query = \"select count(*) from invoices\"\nexpect = { min = 0 }", "failed", "42P01"),
            ("missing column", "query = \"select max(paid_by) from payments\"\nexpect = { not_empty = true }", "failed", "42703"),
            ("missing schema", "query = \"select count(*) from old.orders\"\nexpect = { min = 0 }", "failed", "42P01"),
            ("missing database", "database = \"shop_eu\"\nquery = \"select 1\"\nexpect = { min = 0 }", "failed", "3D000"),
            ("null", "query = \"select max(created_at) from orders where id < 0\"\nexpect = { max_age = \"15m\" }", "failed", "NULL"),
            ("no row", "query = \"select id from orders where id < 0\"\nexpect = { min = 1 }", "failed", "no row"),
            ("years", "query = \"select timestamptz '1999-01-01'\"\nexpect = { max_age = \"35d\" }", "failed", "old when the backup was made"),
            ("centuries", "query = \"select timestamptz '0001-01-01 00:00:00+00'\"\nexpect = { max_age = \"35d\" }", "failed", "old when the backup was made"),
            ("a date of years ago", "query = \"select date '1970-01-01'\"\nexpect = { max_age = \"35d\" }", "failed", "a date without a time"),
            ("empty text", "query = \"select ''\"\nexpect = { not_empty = true }", "failed", "empty text"),
            ("other text", "query = \"select 'USD'\"\nexpect = { matches = \"^EUR$\" }", "failed", ""),
        ],
    )
    .await;
    assert_eq!(record["verdict"], "failed");
    let reason = record["verdict_reason"].as_str().unwrap();
    assert!(reason.contains("12 of 12 checks failed"), "{reason}");
}

#[tokio::test]
async fn what_cannot_be_told_is_errored_and_never_failed() {
    let record = run(
        "cannot-tell",
        READER_USER,
        &[
            ("syntax", "query = \"selec count(*) from orders\"\nexpect = { min = 1 }", "errored", "42601"),
            ("permission", "query = \"select pg_read_file('/etc/hostname')\"\nexpect = { not_empty = true }", "errored", "42501"),
            ("time-out", "query = \"select pg_sleep(60)::text\"\ntimeout = \"1s\"\nexpect = { not_empty = true }", "errored", ""),
            ("several rows", "query = \"select id from orders\"\nexpect = { min = 1 }", "errored", "several rows"),
            ("several columns", "query = \"select 1, 2\"\nexpect = { min = 1 }", "errored", "2 columns"),
            ("several statements", "query = \"select 1; select 2\"\nexpect = { min = 1 }", "errored", "42601"),
            ("not a query", "query = \"listen orders\"\nexpect = { not_empty = true }", "errored", "0 columns"),
            ("unlike type", "query = \"select name from brands limit 1\"\nexpect = { min = 1 }", "errored", "a number is needed"),
            ("not a time", "query = \"select 1\"\nexpect = { max_age = \"15m\" }", "errored", "a timestamp or a date is needed"),
            ("infinite", "query = \"select timestamptz 'infinity'\"\nexpect = { max_age = \"15m\" }", "errored", "infinite"),
            ("before Christ", "query = \"select timestamptz '0044-03-15 12:00:00+00 BC'\"\nexpect = { max_age = \"15m\" }", "errored", ""),
            ("year 294276", "query = \"select timestamp '294276-12-31'\"\nexpect = { max_age = \"15m\" }", "errored", ""),
            ("not a number", "query = \"select 'NaN'::float8\"\nexpect = { min = 1 }", "errored", "cannot be compared"),
            ("wrong zone", "query = \"select max(logged_at) from audit_log\"\ntime_zone = \"America/New_York\"\nexpect = { max_age = \"15m\" }", "errored", "is time_zone right?"),
            ("division by zero", "query = \"select 1 / (select count(*) from orders where id < 0)\"\nexpect = { min = 1 }", "errored", "22012"),
        ],
    )
    .await;
    assert_eq!(record["verdict"], "inconclusive");
    let slept = record["checks"][2]["duration"].as_f64().unwrap() * 60.0;
    assert!((0.9..10.0).contains(&slept), "{slept} s");
}

/// Even the master user changes nothing.
#[tokio::test]
async fn checks_cannot_write() {
    let record = run(
        "read-only",
        MASTER_USER,
        &[
            ("delete", "query = \"delete from reviews\"\nexpect = { min = 0 }", "errored", "0 columns"),
            ("delete and answer", "query = \"delete from reviews returning id\"\nexpect = { min = 0 }", "errored", ""),
            ("delete in a query", "query = \"with gone as (delete from reviews returning id) select count(*) from gone\"\nexpect = { min = 0 }", "errored", ""),
            ("by a function", "query = \"select setval('reviews_id_seq', 1)\"\nexpect = { min = 0 }", "errored", "25006"),
            ("out of the transaction", "query = \"select 1; commit; delete from reviews\"\nexpect = { min = 0 }", "errored", "42601"),
            ("out of the cursor", "query = \"select 1; commit; delete from reviews; select 1\"\nexpect = { min = 0 }", "errored", "42601"),
            ("read-write", "query = \"select set_config('transaction_read_only', 'off', false)\"\nexpect = { equals = \"off\" }", "errored", ""),
            ("still there", "query = \"select count(*) from reviews\"\nexpect = { equals = 3000 }", "passed", ""),
        ],
    )
    .await;
    assert_eq!(record["verdict"], "inconclusive");
}

/// Any failed check speaks against the data, whatever the others could not tell.
#[tokio::test]
async fn failed_outweighs_errored_and_errored_outweighs_passed() {
    let record = run(
        "mixed",
        READER_USER,
        &[
            (
                "errored",
                "query = \"selec 1\"\nexpect = { min = 1 }",
                "errored",
                "",
            ),
            (
                "failed",
                "query = \"select 0\"\nexpect = { min = 1 }",
                "failed",
                "",
            ),
            (
                "passed",
                "query = \"select 1\"\nexpect = { min = 1 }",
                "passed",
                "",
            ),
        ],
    )
    .await;
    assert_eq!(record["verdict"], "failed");
    assert!(record["recovery_time"].is_f64(), "one check passed");
}

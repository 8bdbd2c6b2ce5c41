//! What MySQL and MariaDB can answer, and what that says of the backup.

use jiff::tz::TimeZone;

use super::checks::{Case, run_on};
use super::*;

#[tokio::test]
async fn passed_when_the_data_is_there_and_recent() {
    let shop = Shop::of(Kind::MariaDb, &policy(OBJECTIVES, &[THERE, RECENT])).await;
    let point = shop.backup("my-healthy", &shop.engine.fresh);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("passed", "deleted"));
    assert_eq!(record["checks"][0]["value_number"], 12000.0);
    assert_about(&record["data_age"], DATA_AGE);
    assert_eq!(record["data_age_objective"], "met");
    assert_eq!(record["recovery_time_objective"], "met");
    shop.scene.assert_clean();
}

#[tokio::test]
async fn failed_when_the_data_is_stale() {
    let shop = Shop::of(Kind::MySql, &policy(OBJECTIVES, &[THERE, RECENT])).await;
    let point = shop.backup("my-stale", &shop.engine.stale);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("failed", "deleted"));
    assert_eq!(record["checks"][0]["outcome"], "passed");
    assert_eq!(record["checks"][1]["outcome"], "failed");
    assert_about(&record["data_age"], 72 * 60 + DATA_AGE);
    assert_eq!(record["data_age_objective"], "missed");
    shop.scene.assert_clean();
}

#[tokio::test]
async fn failed_when_a_table_is_empty() {
    let shop = Shop::of(Kind::MySql, &policy(OBJECTIVES, &[THERE, RECENT])).await;
    let point = shop.backup("my-emptied", &shop.engine.emptied);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("failed", "deleted"));
    assert_eq!(record["checks"][0]["value_number"], 0.0);
    assert!(
        record["checks"][1]["detail"]
            .as_str()
            .unwrap()
            .contains("NULL")
    );
    assert_eq!(record["data_age"], Value::Null, "there is no newest data");
    shop.scene.assert_clean();
}

/// A query for the newest entry of the log, which has no time zone, as it would be had it been written by clocks in Berlin.
fn newest_in_berlin() -> &'static str {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let ahead = berlin.to_offset(Timestamp::now()).seconds();
    format!(
        "query = \"select max(logged_at) + interval {ahead} second from audit_log\"\n\
         time_zone = \"Europe/Berlin\"\nexpect = {{ max_age = \"15m\" }}"
    )
    .leak()
}

#[tokio::test]
async fn values_that_are_as_expected_pass() {
    let cases: &[Case] = &[
        (
            "equals",
            "query = \"select count(*) from orders\"\nexpect = { equals = 12000 }",
            "passed",
            "12000",
        ),
        (
            "ends with semicolons",
            "query = \"select count(*) from orders ; ; \"\nexpect = { min = 1 }",
            "passed",
            "",
        ),
        (
            "comment at the end",
            "query = \"select count(*) from orders -- all\"\nexpect = { min = 1 }",
            "passed",
            "",
        ),
        (
            "comment of MySQL's",
            "query = \"select count(*) from orders # all\"\nexpect = { min = 1 }",
            "passed",
            "",
        ),
        (
            "between",
            "query = \"select avg(weight_g) from products\"\nexpect = { between = [50, 9050] }",
            "passed",
            "",
        ),
        (
            "truth is a number",
            "query = \"select count(*) > 5 from orders\"\nexpect = { equals = 1 }",
            "passed",
            "",
        ),
        (
            "tinyint(1)",
            "query = \"select active from suppliers where id = 1\"\nexpect = { equals = 1 }",
            "passed",
            "",
        ),
        (
            "bit(1)",
            "query = \"select visible from products where id = 50\"\nexpect = { equals = 0 }",
            "passed",
            "",
        ),
        (
            "bit(12)",
            "query = \"select flags from products where id = 300\"\nexpect = { equals = 300 }",
            "passed",
            "300",
        ),
        (
            "year",
            "query = \"select max(founded) from brands\"\nexpect = { equals = 2019 }",
            "passed",
            "2019",
        ),
        (
            "time of day",
            "query = \"select max(opens_at) from warehouses\"\nexpect = { equals = \"08:00:00\" }",
            "passed",
            "",
        ),
        (
            "decimal",
            "query = \"select cast(1234567890123456789.25 as decimal(30, 2))\"\nexpect = { min = 1 }",
            "passed",
            "1234567890123456789.25",
        ),
        (
            "price",
            "query = \"select amount from prices where product_id = 1 order by valid_from limit 1\"\nexpect = { equals = 6.16 }",
            "passed",
            "6.16",
        ),
        (
            "largest number",
            "query = \"select 18446744073709551615\"\nexpect = { min = 1 }",
            "passed",
            "18446744073709551615",
        ),
        (
            "float",
            "query = \"select 1.5e300\"\nexpect = { equals = 1.5e300 }",
            "passed",
            "",
        ),
        (
            "enum",
            "query = \"select state from orders where id = 1\"\nexpect = { equals = \"delivered\" }",
            "passed",
            "",
        ),
        (
            "json",
            "query = \"select attributes from products where id = 1\"\nexpect = { matches = '\"colour\": *\"white\"' }",
            "passed",
            "",
        ),
        (
            "json's value",
            "query = \"select json_value(attributes, '$.size') from products where id = 1\"\nexpect = { equals = \"31\" }",
            "passed",
            "",
        ),
        (
            "matches",
            "query = \"select group_concat(distinct currency) from prices\"\nexpect = { matches = \"^EUR$\" }",
            "passed",
            "",
        ),
        (
            "latin1",
            "query = \"select name from suppliers where id = 3\"\nexpect = { equals = \"Zulieferer Müller & Söhne 3\" }",
            "passed",
            "",
        ),
        (
            "latin1 matches",
            "query = \"select name from suppliers where id = 3\"\nexpect = { matches = \"M.ller & S[ö]hne\" }",
            "passed",
            "",
        ),
        (
            "latin1 in the query",
            "query = \"select count(*) from suppliers where name like '%Müller & Söhne%'\"\nexpect = { equals = 66 }",
            "passed",
            "",
        ),
        (
            "utf8mb4",
            "query = \"select name from customers where id = 7\"\nexpect = { equals = \"Customer 7 🛒\" }",
            "passed",
            "",
        ),
        (
            "utf8mb4 matches",
            "query = \"select name from customers where id = 7\"\nexpect = { matches = \"🛒$\" }",
            "passed",
            "",
        ),
        (
            "utf8mb4 in the query",
            "query = \"select count(*) from customers where name like '%🛒'\"\nexpect = { equals = 1142 }",
            "passed",
            "",
        ),
        (
            "bytes",
            "query = \"select unhex('ff00')\"\nexpect = { equals = \"0xFF00\" }",
            "passed",
            "",
        ),
        (
            "a view",
            "query = \"select count(*) from daily_revenue\"\nexpect = { min = 1 }",
            "passed",
            "",
        ),
        (
            "another database",
            "database = \"information_schema\"\nquery = \"select count(*) from tables where table_schema = 'shop'\"\nexpect = { equals = 23 }",
            "passed",
            "",
        ),
        (
            "an instant in Berlin",
            "query = \"select max(created_at) from orders\"\ntime_zone = \"Europe/Berlin\"\nexpect = { max_age = \"5m\" }",
            "passed",
            "4m",
        ),
        (
            "an instant in New York",
            "query = \"select max(shipped_at) from shipments\"\ntime_zone = \"America/New_York\"\nexpect = { max_age = \"60h\" }",
            "passed",
            "",
        ),
        (
            "without zone",
            "query = \"select max(logged_at) from audit_log\"\nexpect = { max_age = \"15m\" }",
            "passed",
            "no time zone, read as UTC",
        ),
        (
            "without zone, in Berlin",
            newest_in_berlin(),
            "passed",
            "no time zone, read as Europe/Berlin",
        ),
        (
            "datetime(3)",
            "query = \"select max(paid_at) from payments\"\nexpect = { max_age = \"15m\" }",
            "passed",
            "no time zone",
        ),
        (
            "datetime(6)",
            "query = \"select max(refunded_at) from refunds\"\nexpect = { max_age = \"7d\" }",
            "passed",
            "no time zone",
        ),
        (
            "date",
            "query = \"select max(hired_on) from employees\"\nexpect = { max_age = \"60d\" }",
            "passed",
            "a date without a time",
        ),
        (
            "date in Berlin",
            "query = \"select max(hired_on) from employees\"\ntime_zone = \"Europe/Berlin\"\nexpect = { max_age = \"60d\" }",
            "passed",
            "a date without a time",
        ),
        (
            "the newest visit, zeros aside",
            "query = \"select max(last_visited_at) from suppliers\"\nexpect = { max_age = \"2h\" }",
            "passed",
            "no time zone",
        ),
        (
            "a large value",
            "query = \"select repeat('ü', 8000000)\"\nexpect = { matches = \"^ü\" }",
            "passed",
            "",
        ),
    ];
    let record = run_on(Kind::MySql, "my-as-expected", READER_USER, cases).await;
    assert_eq!(record["verdict"], "passed");
    let large = record["checks"].as_array().unwrap().last().unwrap();
    assert_eq!(large["value"], Value::Null);
    assert_eq!(large["value_withheld"]["withheld"], "text");
}

#[tokio::test]
async fn data_that_is_not_as_expected_fails() {
    let cases: &[Case] = &[
        (
            "wrong number",
            "query = \"select count(*) from orders\"\nexpect = { equals = 12001 }",
            "failed",
            "12000",
        ),
        (
            "missing table",
            "query = \"select count(*) from invoices\"\nexpect = { min = 0 }",
            "failed",
            "1146",
        ),
        (
            "missing column",
            "query = \"select max(paid_by) from payments\"\nexpect = { not_empty = true }",
            "failed",
            "1054",
        ),
        (
            "missing database",
            "database = \"shop_eu\"\nquery = \"select 1\"\nexpect = { min = 0 }",
            "failed",
            "1049",
        ),
        (
            "missing database in the query",
            "query = \"select count(*) from shop_eu.orders\"\nexpect = { min = 0 }",
            "failed",
            "shop_eu",
        ),
        (
            "null",
            "query = \"select max(created_at) from orders where id < 0\"\nexpect = { max_age = \"15m\" }",
            "failed",
            "NULL",
        ),
        (
            "no row",
            "query = \"select id from orders where id < 0\"\nexpect = { min = 1 }",
            "failed",
            "no row",
        ),
        (
            "zero datetime",
            "query = \"select max(last_visited_at) from suppliers where id % 5 = 0\"\nexpect = { max_age = \"35d\" }",
            "failed",
            "zero date 0000-00-00 00:00:00",
        ),
        (
            "zero date",
            "query = \"select min(contract_until) from suppliers\"\nexpect = { max_age = \"35d\" }",
            "failed",
            "zero date 0000-00-00",
        ),
        (
            "zero date in Berlin",
            "query = \"select last_visited_at from suppliers where id = 5\"\ntime_zone = \"Europe/Berlin\"\nexpect = { max_age = \"35d\" }",
            "failed",
            "zero date",
        ),
        (
            "without zone, but it is UTC",
            "query = \"select max(logged_at) from audit_log\"\ntime_zone = \"Europe/Berlin\"\nexpect = { max_age = \"15m\" }",
            "failed",
            "no time zone, read as Europe/Berlin",
        ),
        (
            "years",
            "query = \"select cast('1999-01-01 00:00:00' as datetime)\"\nexpect = { max_age = \"35d\" }",
            "failed",
            "old when the backup was made",
        ),
        (
            "a date of years ago",
            "query = \"select date '1970-01-01'\"\nexpect = { max_age = \"35d\" }",
            "failed",
            "a date without a time",
        ),
        (
            "year 1",
            "query = \"select timestamp '0001-01-01 00:00:00'\"\nexpect = { max_age = \"35d\" }",
            "failed",
            "old when the backup was made",
        ),
        (
            "empty text",
            "query = \"select ''\"\nexpect = { not_empty = true }",
            "failed",
            "empty text",
        ),
        (
            "other text",
            "query = \"select 'USD'\"\nexpect = { matches = \"^EUR$\" }",
            "failed",
            "",
        ),
        (
            "other umlaut",
            "query = \"select name from suppliers where id = 3\"\nexpect = { equals = \"Zulieferer Muller & Sohne 3\" }",
            "failed",
            "",
        ),
        (
            "other emoji",
            "query = \"select name from customers where id = 7\"\nexpect = { equals = \"Customer 7 🚗\" }",
            "failed",
            "",
        ),
        (
            "bit",
            "query = \"select flags from products where id = 300\"\nexpect = { max = 299 }",
            "failed",
            "300",
        ),
    ];
    let count = cases.len();
    let record = run_on(Kind::MariaDb, "my-not-as-expected", MASTER_USER, cases).await;
    assert_eq!(record["verdict"], "failed");
    let reason = record["verdict_reason"].as_str().unwrap();
    let all = format!("{count} of {count} checks failed");
    assert!(reason.contains(&all), "{reason}");
}

#[tokio::test]
async fn what_cannot_be_told_is_errored_and_never_failed() {
    let cases: &[Case] = &[
        (
            "syntax",
            "query = \"selec count(*) from orders\"\nexpect = { min = 1 }",
            "errored",
            "1064",
        ),
        (
            "permission",
            "query = \"select count(*) from mysql.global_priv\"\nexpect = { min = 1 }",
            "errored",
            "1142",
        ),
        (
            "a database that may not be seen",
            "database = \"shop_eu\"\nquery = \"select 1\"\nexpect = { min = 0 }",
            "errored",
            "1044",
        ),
        (
            "several rows",
            "query = \"select id from orders\"\nexpect = { min = 1 }",
            "errored",
            "several rows",
        ),
        (
            "several columns",
            "query = \"select 1, 2\"\nexpect = { min = 1 }",
            "errored",
            "2 columns",
        ),
        (
            "several statements",
            "query = \"select 1; select 2\"\nexpect = { min = 1 }",
            "errored",
            "1064",
        ),
        (
            "not a query",
            "query = \"do 1\"\nexpect = { not_empty = true }",
            "errored",
            "0 columns",
        ),
        (
            "unlike type",
            "query = \"select name from brands limit 1\"\nexpect = { min = 1 }",
            "errored",
            "a number is needed",
        ),
        (
            "truth is a number",
            "query = \"select count(*) > 5 from orders\"\nexpect = { equals = true }",
            "errored",
            "true or false is needed",
        ),
        (
            "not a time",
            "query = \"select 1\"\nexpect = { max_age = \"15m\" }",
            "errored",
            "a timestamp or a date is needed",
        ),
        (
            "time of day",
            "query = \"select max(opens_at) from warehouses\"\nexpect = { max_age = \"15m\" }",
            "errored",
            "a timestamp or a date is needed",
        ),
        (
            "wrong zone",
            "query = \"select max(logged_at) from audit_log\"\ntime_zone = \"America/New_York\"\nexpect = { max_age = \"15m\" }",
            "errored",
            "is time_zone right?",
        ),
        (
            "words quote no data",
            "query = \"select exp(1000 + length(max(name))) from customers\"\nexpect = { min = 1 }",
            "errored",
            "1690",
        ),
        (
            "too large",
            "query = \"select repeat('x', 16777216)\"\nexpect = { not_empty = true }",
            "errored",
            "larger than 16 MiB",
        ),
        (
            "slow",
            "query = \"select sleep(30)\"\ntimeout = \"1s\"\nexpect = { equals = 0 }",
            "errored",
            "",
        ),
        (
            "busy",
            "query = \"select count(*) from order_lines a, order_lines b, order_lines c where a.quantity + b.quantity < c.quantity\"\ntimeout = \"1s\"\nexpect = { min = 0 }",
            "errored",
            "",
        ),
        (
            "a moment",
            "query = \"select sleep(0.5)\"\nexpect = { equals = 0 }",
            "passed",
            "",
        ),
        (
            "nothing goes on",
            "query = \"select count(*) from information_schema.processlist where id <> connection_id() and command <> 'Sleep'\"\nexpect = { equals = 0 }",
            "passed",
            "",
        ),
    ];
    let record = run_on(Kind::MySql, "my-cannot-tell", READER_USER, cases).await;
    assert_eq!(record["verdict"], "inconclusive");
    for result in record["checks"].as_array().unwrap() {
        let took = result["duration"].as_f64().unwrap() * 60.0;
        assert!(took < 5.0, "{took} s: {result:#}");
    }
}

/// A million rows of a kilobyte each: two are read, and what is on its way is not kept.
#[tokio::test]
async fn a_million_rows_take_neither_time_nor_memory() {
    let cases: &[Case] = &[
        (
            "all",
            "query = \"select o.id from orders o, orders p\"\nexpect = { min = 1 }",
            "errored",
            "several rows",
        ),
        (
            "a limit of one's own",
            "query = \"select repeat('x', 1000) from orders o, orders p limit 1000000\"\ntimeout = \"10s\"\nexpect = { not_empty = true }",
            "errored",
            "several rows",
        ),
        (
            "in parentheses",
            "query = \"(select o.id from orders o, orders p limit 1000000)\"\ntimeout = \"10s\"\nexpect = { min = 1 }",
            "errored",
            "several rows",
        ),
    ];
    let before = memory("VmRSS:");
    let record = run_on(Kind::MariaDb, "my-million", READER_USER, cases).await;
    let grown = memory("VmHWM:").saturating_sub(before);
    for result in record["checks"].as_array().unwrap() {
        let took = result["duration"].as_f64().unwrap() * 60.0;
        assert!(took < 5.0, "{took} s: {result:#}");
    }
    // A gigabyte would have come; other scenarios of this process run meanwhile.
    assert!(grown < 400 << 10, "{grown} KiB");
}

/// What the kernel says of this process's memory, KiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Even the master user changes nothing.
#[tokio::test]
async fn checks_cannot_write() {
    let cases: &[Case] = &[
        (
            "delete",
            "query = \"delete from reviews\"\nexpect = { min = 0 }",
            "errored",
            "1792",
        ),
        (
            "truncate",
            "query = \"truncate reviews\"\nexpect = { min = 0 }",
            "errored",
            "0 columns",
        ),
        (
            "drop",
            "query = \"drop table reviews\"\nexpect = { min = 0 }",
            "errored",
            "0 columns",
        ),
        (
            "delete and answer",
            "query = \"delete from reviews limit 1 returning id\"\nexpect = { min = 0 }",
            "errored",
            "1792",
        ),
        (
            "insert and answer",
            "query = \"insert into departments values (9, 'Ours') returning id\"\nexpect = { min = 0 }",
            "errored",
            "1792",
        ),
        (
            "create",
            "query = \"create table ours as select 1 as one\"\nexpect = { min = 0 }",
            "errored",
            "1792",
        ),
        (
            "repair",
            "query = \"optimize table reviews\"\nexpect = { min = 0 }",
            "errored",
            "4 columns",
        ),
        (
            "out of the transaction",
            "query = \"select 1; commit; delete from reviews\"\nexpect = { min = 0 }",
            "errored",
            "1064",
        ),
        (
            "in a comment",
            "query = \"select 1 /*! ; delete from reviews */\"\nexpect = { min = 0 }",
            "errored",
            "1064",
        ),
        (
            "in a block",
            "query = \"begin not atomic commit; delete from reviews; select 1; end\"\nexpect = { min = 0 }",
            "errored",
            "",
        ),
        (
            "at once",
            "query = \"execute immediate 'delete from reviews'\"\nexpect = { min = 0 }",
            "errored",
            "",
        ),
        (
            "read-write",
            "query = \"set session transaction read write\"\nexpect = { min = 0 }",
            "errored",
            "0 columns",
        ),
        (
            "into a file",
            "query = \"select 1 into outfile '/tmp/restore-proof-ours'\"\nexpect = { min = 0 }",
            "errored",
            "",
        ),
        (
            "from a file",
            "query = \"load data local infile '/etc/hostname' into table departments\"\nexpect = { min = 0 }",
            "errored",
            "",
        ),
        (
            "for update",
            "query = \"select id from reviews where id = 1 for update\"\nexpect = { equals = 1 }",
            "errored",
            "1792",
        ),
        (
            "still there",
            "query = \"select count(*) from reviews\"\nexpect = { equals = 3000 }",
            "passed",
            "",
        ),
        (
            "nothing else",
            "query = \"select count(*) from information_schema.tables where table_schema = 'shop'\"\nexpect = { equals = 23 }",
            "passed",
            "",
        ),
        (
            "nobody else",
            "query = \"select count(*) from departments\"\nexpect = { equals = 8 }",
            "passed",
            "",
        ),
    ];
    let record = run_on(Kind::MariaDb, "my-read-only", MASTER_USER, cases).await;
    assert_eq!(record["verdict"], "inconclusive");
}

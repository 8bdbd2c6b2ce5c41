//! PostgreSQL.

use super::CheckOutcome::{Errored, Failed, Passed};
use super::*;
use restore_proof_tests::root;

const SESSION: &str = "select pg_backend_pid()::text";

async fn start(name: &str) -> Database {
    Database::start(Kind::Postgres, name, "").await
}

#[tokio::test]
async fn checks_share_a_connection_until_one_errs() {
    let database = start("sql-pg-1").await;
    let values = database
        .values(&[
            SESSION,
            "select 1",
            SESSION,
            "select 1 / 0",
            SESSION,
            SESSION,
            "select repeat('x', 2000000)",
            SESSION,
        ])
        .await;
    assert_eq!(values[0], values[2]);
    assert!(values[3].contains("division_by_zero (22012)"), "{values:?}");
    assert_ne!(values[2], values[4], "after an error it is a new one");
    assert_eq!(values[4], values[5]);
    assert_ne!(values[5], values[7], "and after much was read");
    let results = database
        .ask_all(&[
            (SESSION, "not_empty = true"),
            ("select 0", "min = 1"),
            (SESSION, "not_empty = true"),
            ("select 'x'", "min = 1"),
            (SESSION, "not_empty = true"),
        ])
        .await;
    let value = |index: usize| results[index].value.as_deref();
    assert_eq!(results[1].outcome, Failed);
    assert_eq!(value(0), value(2), "wrong data is an answer");
    assert_eq!(results[3].outcome, Errored);
    assert_ne!(value(2), value(4));
}

#[tokio::test]
async fn each_check_begins_with_a_clean_session() {
    let database = start("sql-pg-2").await;
    database
        .execute(
            "create table orders as select generate_series(1, 10) as id; grant select on orders to restore_check; \
             create role other; grant other to restore_check;",
        )
        .await;
    let values = database
        .values(&[
            SESSION,
            "select set_config('statement_timeout', '1', false)",
            "select set_config('default_transaction_read_only', 'off', false)",
            "select set_config('search_path', 'nowhere', false)",
            "select set_config('row_security', 'on', false)",
            "select set_config('role', 'other', false)",
            "select set_config('timezone', 'Asia/Tokyo', false)",
            "select pg_advisory_lock(7)::text || 'locked'",
            "select current_setting('statement_timeout')",
            "select current_setting('transaction_read_only')",
            "select current_setting('row_security')",
            "select current_setting('timezone')",
            "select current_user || ' ' || count(*) from orders",
            "select 'locks: ' || count(*) from pg_locks where locktype = 'advisory'",
            SESSION,
        ])
        .await;
    assert_eq!(values[0], values[14], "{values:?}");
    assert_eq!(values[7], "locked");
    let clean = ["20s", "on", "off", "UTC", "restore_check 10", "locks: 0"];
    assert_eq!(values[8..14], clean, "{values:?}");
}

/// Types that the client looks up in the server are looked up again.
#[tokio::test]
async fn types_of_ones_own_are_known_in_each_session() {
    let database = start("sql-pg-3").await;
    database
        .execute(
            "create type state as enum ('open', 'paid'); create domain amount as numeric; \
             create type money_type as enum ('EUR');",
        )
        .await;
    database
        .assert_all(&[
            ("select 'paid'::state", "equals = 'paid'", Passed),
            ("select 'open'::state", "equals = 'open'", Passed),
            ("select 'EUR'::money_type", "equals = 'EUR'", Passed),
            ("select 12.5::amount", "min = 10", Passed),
        ])
        .await;
}

/// A connection that was closed while other checks ran says nothing of the next one.
#[tokio::test]
async fn a_connection_that_was_closed_between_two_checks_is_made_anew() {
    let database = start("sql-pg-4").await;
    database.execute("create database other").await;
    let other = Database {
        database: "other",
        ..database
    };
    other
        .execute(
            "create function end_others() returns text language plpgsql security definer as \
             'begin perform pg_terminate_backend(pid) from pg_stat_activity \
              where usename = ''restore_check'' and pid <> pg_backend_pid(); return ''ended''; end'",
        )
        .await;
    let database = Database {
        database: DATABASE,
        ..other
    };
    let results = database
        .ask_all(&[
            (SESSION, "not_empty = true"),
            (
                "select end_others()",
                "equals = \"ended\" }\ndatabase = \"other\"\n# {",
            ),
            (SESSION, "not_empty = true"),
        ])
        .await;
    let all = |result: &CheckResult| result.outcome == Passed;
    assert!(results.iter().all(all), "{results:#?}");
    assert_ne!(results[0].value, results[2].value);
}

/// A cursor forbids it, and so does a limit to the rows that are fetched.
#[tokio::test]
async fn statements_run_in_parallel() {
    let database = start("sql-pg-5").await;
    // It was renamed in PostgreSQL 16.
    database
        .execute(
            "do $$ begin execute format('alter role restore_check set %I = on', \
             (select name from pg_settings where name in ('force_parallel_mode', 'debug_parallel_query'))); end $$; \
             create function where_it_runs() returns text language plpgsql parallel safe as \
             'begin return pg_backend_pid(); end'",
        )
        .await;
    let values = database
        .values(&[SESSION, "select where_it_runs()", SESSION])
        .await;
    assert_eq!(values[0], values[2], "{values:?}");
    assert_ne!(values[0], values[1], "the query ran in a worker");
    values[1].parse::<u32>().unwrap();
}

#[tokio::test]
async fn statements_stay_as_they_are_written() {
    let database = start("sql-pg-6").await;
    database
        .execute(
            "create table t as select generate_series(1, 3) as id; grant select on t to restore_check",
        )
        .await;
    database
        .assert_all(&[
            ("select count(*) from t;", "equals = 3", Passed),
            ("select count(*) from t ; ; ", "equals = 3", Passed),
            (
                "select count(*) from t; -- all of them",
                "equals = 3",
                Passed,
            ),
            (
                "-- all of them\nselect count(*) /* ; */ from t -- really",
                "equals = 3",
                Passed,
            ),
            ("show server_version", "matches = '^[0-9]+'", Passed),
            ("show row_security;", "equals = 'off'", Passed),
            ("values (7)", "equals = 7", Passed),
            ("explain (format json) select 1", "not_empty = true", Passed),
            (
                "with a as (select 1 as n, 2 as n) select count(*) from a",
                "equals = 1",
                Passed,
            ),
            (
                "select count(*) from (select 1 as n, 2 as n) x",
                "equals = 1",
                Passed,
            ),
            (
                "select id from t where id = 1 limit 1",
                "equals = 1",
                Passed,
            ),
            ("select id from t where id = 9", "min = 1", Failed),
            ("select id from t", "min = 1", Errored),
            ("select count(*) from t; select 1", "min = 1", Errored),
            ("table t", "min = 1", Errored),
            ("-- nothing", "min = 1", Errored),
        ])
        .await;
}

/// Statements of more kinds answer a value than a cursor would take.
#[tokio::test]
async fn nothing_is_written() {
    let database = start("sql-pg-7").await;
    database
        .execute(
            "create table t (n int); insert into t values (1); grant all on t to restore_check; \
             create procedure gone(inout n int) language plpgsql as \
             'begin commit; delete from t; n := 1; end'; \
             create procedure gone_at_once(inout n int) language plpgsql as \
             'begin delete from t; n := 1; end';",
        )
        .await;
    let details = database
        .assert_all(&[
            ("delete from t returning n", "min = 0", Errored),
            (
                "with d as (delete from t returning n) select count(*) from d",
                "min = 0",
                Errored,
            ),
            (
                "explain (analyze, format json) delete from t",
                "not_empty = true",
                Errored,
            ),
            ("call gone(1)", "min = 0", Errored),
            ("call gone_at_once(1)", "min = 0", Errored),
            (
                "select set_config('transaction_read_only', 'off', false)",
                "not_empty = true",
                Errored,
            ),
            ("begin read write", "min = 0", Errored),
            ("copy t to stdout", "min = 0", Errored),
            ("select count(*) from t", "equals = 1", Passed),
        ])
        .await;
    assert!(
        details[0].contains("read_only_sql_transaction (25006)"),
        "{details:?}"
    );
}

/// With row level security a plain reader sees no rows, and no error, unless it asks for one.
#[tokio::test]
async fn rows_that_a_policy_hides_are_not_missing() {
    let database = start("sql-pg-8").await;
    // The server has its reader already.
    let case = root().join("tests/cases/10-row-level-security.sql");
    let case = std::fs::read_to_string(case).unwrap();
    let statements = case.lines().filter(|line| !line.starts_with("create role"));
    let statements: Vec<&str> = statements.collect();
    database.execute(&statements.join("\n")).await;
    database
        .execute(
            "create view all_orders as select * from tenant_orders; \
             grant select on all_orders to restore_check;",
        )
        .await;
    let details = database
        .assert_all(&[
            ("select count(*) from tenant_orders", "min = 10000", Errored),
            ("select count(*) from all_orders", "min = 10000", Passed),
        ])
        .await;
    let told = &details[0];
    assert!(told.contains("row level security hides rows"), "{told}");
    assert!(told.contains("insufficient_privilege (42501)"), "{told}");
    database.execute("alter role restore_check bypassrls").await;
    database
        .assert_all(&[(
            "select count(*) from tenant_orders",
            "equals = 12000",
            Passed,
        )])
        .await;
}

#[tokio::test]
async fn padding_is_compared_as_sql_does() {
    let database = start("sql-pg-9").await;
    database
        .execute(
            "create table t (c char(10), v varchar(10)); insert into t values ('EUR', 'EUR '); \
             grant select on t to restore_check",
        )
        .await;
    database
        .assert_all(&[
            ("select c from t", "equals = 'EUR'", Passed),
            ("select c from t", "matches = '^EUR$'", Passed),
            ("select c from t", "equals = 'EU'", Failed),
            ("select v from t", "equals = 'EUR'", Failed),
            ("select ' '::char(3)", "not_empty = true", Failed),
        ])
        .await;
}

#[tokio::test]
async fn text_that_cannot_be_read_is_told_with_the_encoding() {
    let database = start("sql-pg-10").await;
    database
        .execute("create database old encoding 'SQL_ASCII' template template0")
        .await;
    let old = Database {
        database: "old",
        ..database
    };
    old.execute(
        r"create table t as select convert_from('\x4dfc6c6c6572', 'SQL_ASCII') as name; grant select on t to restore_check",
    )
    .await;
    let details = old
        .assert_all(&[
            ("select name from t", "not_empty = true", Errored),
            (
                "select encode(convert_to(name, 'SQL_ASCII'), 'hex') from t",
                "equals = '4dfc6c6c6572'",
                Passed,
            ),
        ])
        .await;
    let named = "(server_encoding) is SQL_ASCII";
    assert!(details[0].contains(named), "{details:?}");
}

#[tokio::test]
async fn a_failed_estimate_is_called_one() {
    let database = start("sql-pg-11").await;
    let details = database
        .assert_all(&[
            (
                "select coalesce(sum(n_live_tup), 0) from pg_stat_user_tables",
                "min = 10000",
                Failed,
            ),
            (
                "select sum(reltuples)::bigint from pg_class",
                "not_empty = true",
                Passed,
            ),
        ])
        .await;
    let words = "n_live_tup is an estimate";
    assert!(details[0].contains(words), "{details:?}");
    assert!(!details[1].contains("estimate"), "{details:?}");
}

/// What has more rows than two is not left at work.
#[tokio::test]
async fn a_statement_that_is_read_no_further_is_stopped() {
    let database = start("sql-pg-12").await;
    // Rows go out in blocks of 8 KiB.
    let slow = "select repeat('x', 10000) from generate_series(1, 3) union all select 'y' from pg_sleep(15)";
    let details = database
        .assert_all(&[(slow, "not_empty = true", Errored)])
        .await;
    assert!(details[0].contains("several rows"), "{details:?}");
    let left = "select count(*) from pg_stat_activity where usename = 'restore_check' and state = 'active'";
    for _ in 0..30 {
        if database.execute(left).await == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the statement goes on");
}

//! MariaDB, which speaks MySQL's protocol.

use super::CheckOutcome::{Errored, Failed, Passed};
use super::*;

const SESSION: &str = "select concat('session ', connection_id())";

async fn start(name: &str) -> Database {
    Database::start(
        Kind::MariaDb,
        name,
        "grant select, execute on sessions.* to restore_check@'%'",
    )
    .await
}

#[tokio::test]
async fn checks_share_a_connection_until_one_errs() {
    let database = start("sql-my-1").await;
    let values = database
        .values(&[
            SESSION,
            "select 1",
            SESSION,
            "select missing()",
            SESSION,
            SESSION,
        ])
        .await;
    assert!(values[0].starts_with("session "), "{values:?}");
    assert_eq!(values[0], values[2]);
    assert_ne!(values[2], values[4], "after an error it is a new one");
    assert_eq!(values[4], values[5]);
}

#[tokio::test]
async fn each_check_begins_with_a_clean_session() {
    let database = start("sql-my-2").await;
    database
        .execute(
            "delimiter //\ncreate function unlimited() returns int deterministic begin \
             set session max_statement_time = 0; set session sql_select_limit = 1; \
             set session time_zone = '+09:00'; set names latin1; set @left = 1; return 1; end//",
        )
        .await;
    let values = database
        .values(&[
            SESSION,
            "select unlimited()",
            "select get_lock('ours', 0)",
            "select @@max_statement_time",
            "select @@sql_select_limit",
            "select @@time_zone",
            "select @@character_set_results",
            "select ifnull(@left, 'clean')",
            "select is_free_lock('ours')",
            "select @@tx_read_only",
            SESSION,
        ])
        .await;
    assert_eq!(values[0], values[10], "{values:?}");
    assert_eq!(values[1..3], ["1", "1"], "{values:?}");
    let clean = ["20.000000", "2", "+00:00", "utf8mb4", "clean", "1", "1"];
    assert_eq!(values[3..10], clean, "{values:?}");
}

#[tokio::test]
async fn statements_stay_as_they_are_written() {
    let database = start("sql-my-3").await;
    database
        .execute("create table t as select 1 as id union select 2 union select 3")
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
                "select count(*) from t;\n# all of them\n",
                "equals = 3",
                Passed,
            ),
            (
                "-- all of them\nselect count(*) /* ; */ from t # really",
                "equals = 3",
                Passed,
            ),
            (
                "select count(*) from (select 1 as a, 2 as b) x",
                "equals = 1",
                Passed,
            ),
            ("values (7)", "equals = 7", Passed),
            ("select id from t where id = 9", "min = 1", Failed),
            ("select id from t", "min = 1", Errored),
            ("select 1; select 2", "min = 1", Errored),
        ])
        .await;
}

#[tokio::test]
async fn padding_is_compared_as_sql_does() {
    let database = start("sql-my-4").await;
    database
        .execute(
            "create table t (c char(10), v varchar(10)); insert into t values ('EUR', 'EUR '); \
             set global sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'",
        )
        .await;
    database
        .assert_all(&[
            (
                "select concat('[', c, ']') from t",
                "equals = '[EUR       ]'",
                Passed,
            ),
            ("select c from t", "equals = 'EUR'", Passed),
            ("select c from t", "matches = '^EUR$'", Passed),
            ("select c from t", "equals = 'EU'", Failed),
            ("select v from t", "equals = 'EUR'", Failed),
        ])
        .await;
}

/// The source did not tell upper and lower case apart (its parameter group said so), and the restored server does.
#[tokio::test]
async fn a_name_in_other_letters_is_not_missing() {
    let database = start("sql-my-5").await;
    database
        .execute("create table orders as select 1 as id")
        .await;
    let details = database
        .assert_all(&[
            ("select count(*) from Orders", "min = 1", Errored),
            ("select max(O.id) from orders o", "min = 1", Errored),
            ("select count(*) from invoices", "min = 1", Failed),
            ("select max(o.paid) from orders o", "min = 1", Failed),
            ("select count(*) from orders", "min = 1", Passed),
        ])
        .await;
    let told = &details[0];
    let words = "there is no table sessions.Orders, but there is sessions.orders";
    assert!(told.contains(words), "{told}");
    assert!(told.contains("lower_case_table_names"), "{told}");
    assert!(
        details[2].contains("ER_NO_SUCH_TABLE (1146)"),
        "{details:?}"
    );

    database
        .execute("grant select on *.* to restore_check@'%'")
        .await;
    let elsewhere = Database {
        database: "Sessions",
        ..database
    };
    let details = elsewhere
        .assert_all(&[("select 1", "min = 1", Errored)])
        .await;
    let words = "there is no database Sessions, but there is sessions";
    assert!(details[0].contains(words), "{details:?}");
    let nowhere = Database {
        database: "shop_eu",
        ..elsewhere
    };
    nowhere.assert_all(&[("select 1", "min = 1", Failed)]).await;
}

#[tokio::test]
async fn a_failed_estimate_is_called_one() {
    let database = start("sql-my-6").await;
    let query = "select coalesce(sum(table_rows), 0) from information_schema.tables where table_schema = 'sessions'";
    let details = database.assert_all(&[(query, "min = 10000", Failed)]).await;
    let words = "table_rows is an estimate";
    assert!(details[0].contains(words), "{details:?}");
}

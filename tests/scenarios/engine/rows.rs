//! Errors of the engines that quote what they were reading: the record says that there was an error, and not what of.
//!
//! Every scene of a shop is searched for [`ROW`] when it ends; here are the queries that would put it into a message.

use super::checks::{Case, run_on};
use super::*;

#[tokio::test]
async fn no_error_of_postgresql_quotes_a_row() {
    let _for_all_cases = engines().await;
    let cases: &[Case] = &[
        // The data's own classes of errors.
        (
            "cast",
            "query = \"select email::int from customers limit 1\"\nexpect = { min = 1 }",
            "errored",
            "22P02",
        ),
        (
            "json",
            "query = \"select ('{' || email)::json from customers limit 1\"\nexpect = { not_empty = true }",
            "errored",
            "22P02",
        ),
        (
            "time",
            "query = \"select email::timestamptz from customers limit 1\"\nexpect = { max_age = \"1d\" }",
            "errored",
            "22007",
        ),
        (
            "regex",
            "query = \"select 'x' ~ ('(' || email) from customers limit 1\"\nexpect = { equals = true }",
            "errored",
            "2201B",
        ),
        (
            "search",
            "query = \"select to_tsquery(email || ' & & (') from customers limit 1\"\nexpect = { not_empty = true }",
            "errored",
            "42601",
        ),
        // Data that is taken for a name: errors about names quote the query, but for these.
        (
            "relation",
            "query = \"select email::regclass from customers limit 1\"\nexpect = { not_empty = true }",
            "failed",
            "3F000",
        ),
        (
            "quoted relation",
            "query = \"select quote_ident(email)::regclass from customers limit 1\"\nexpect = { not_empty = true }",
            "failed",
            "42P01",
        ),
        (
            "role",
            "query = \"select quote_ident(email)::regrole from customers limit 1\"\nexpect = { not_empty = true }",
            "errored",
            "42704",
        ),
        (
            "schema",
            "query = \"select (quote_ident(email) || '.x')::regclass from customers limit 1\"\nexpect = { not_empty = true }",
            "failed",
            "3F000",
        ),
        (
            "query in data",
            "query = \"select query_to_xml(email, true, true, '')::text from customers limit 1\"\nexpect = { not_empty = true }",
            "errored",
            "42601",
        ),
        (
            "setting",
            "query = \"select current_setting(email) from customers limit 1\"\nexpect = { not_empty = true }",
            "errored",
            "42",
        ),
        // What is read is not what is expected of it.
        (
            "several rows",
            "query = \"select email from customers limit 2\"\nexpect = { not_empty = true }",
            "errored",
            "several rows",
        ),
    ];
    run_on(Kind::Postgres, "rows-pg", READER_USER, cases).await;
}

#[tokio::test]
async fn no_error_of_mysql_or_mariadb_quotes_a_row() {
    let _for_all_cases = engines().await;
    for (kind, database) in [(Kind::MySql, "rows-my"), (Kind::MariaDb, "rows-maria")] {
        let cases: &[Case] = &[
            (
                "xpath",
                "query = \"select extractvalue('<a/>', concat('~', email)) from customers limit 1\"\nexpect = { not_empty = true }",
                "errored",
                "1105",
            ),
            (
                "overflow",
                "query = \"select exp(1000 + length(email)) from customers limit 1\"\nexpect = { min = 1 }",
                "errored",
                "1690",
            ),
            (
                "several rows",
                "query = \"select email from customers limit 2\"\nexpect = { not_empty = true }",
                "errored",
                "several rows",
            ),
        ];
        run_on(kind, database, READER_USER, cases).await;
    }
}

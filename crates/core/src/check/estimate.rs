//! Queries that ask for statistics where a count is meant.
//!
//! The numbers that a server keeps of its tables are estimates. After a restore, which to the server is a recovery from a crash,
//! PostgreSQL's counters begin at zero and `reltuples` is -1 until the table is analysed (PostgreSQL's manual, "The Cumulative
//! Statistics System" and "pg_class"); MySQL's `table_rows` may be off by half, stale, or NULL (MySQL's manual, "The
//! INFORMATION_SCHEMA TABLES Table").

use std::fmt;

/// Columns of statistics, and how the name of a relation that has them begins.
const STATISTICS: [(&str, &str); 12] = [
    ("reltuples", "pg_class"),
    ("relpages", "pg_class"),
    ("n_live_tup", "pg_stat_"),
    ("n_dead_tup", "pg_stat_"),
    ("n_tup_ins", "pg_stat_"),
    ("n_tup_upd", "pg_stat_"),
    ("n_tup_del", "pg_stat_"),
    ("table_rows", "tables"),
    ("table_rows", "partitions"),
    ("avg_row_length", "tables"),
    ("n_rows", "innodb_table_stats"),
    ("num_rows", "innodb_"),
];

/// A number that is an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    column: &'static str,
}

impl Estimate {
    /// The first statistic that a query asks for; none if it asks for none. Comments and texts of the query do not count.
    pub fn of(query: &str) -> Option<Estimate> {
        let names = names(query);
        let is_there = |word: &str| names.iter().any(|name| name == word);
        let begins = |start: &str| names.iter().any(|name| name.starts_with(start));
        STATISTICS
            .iter()
            .find(|(column, relation)| is_there(column) && begins(relation))
            .map(|(column, _)| Estimate { column })
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is an estimate, which a restore may set to 0, -1 or NULL; count the rows, as select count(*) from …",
            self.column
        )
    }
}

/// The names in a query, in lower case, quoted ones among them; neither its comments nor its texts.
fn names(query: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("--") || first == '#' {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.find("*/").map_or(rest.len(), |end| end + 4)
        } else if first == '\'' {
            rest[1..].find('\'').map_or(rest.len(), |end| end + 2)
        } else if is_of_name(first) {
            let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
            names.push(rest[..end].to_lowercase());
            end
        } else {
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    names
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_noticed() {
        for (query, column) in [
            (
                "select sum(n_live_tup) from pg_stat_user_tables",
                "n_live_tup",
            ),
            (
                "select coalesce(sum(s.n_live_tup), 0) from pg_catalog.pg_stat_all_tables s",
                "n_live_tup",
            ),
            (
                "SELECT sum(reltuples)::bigint FROM pg_class WHERE relkind = 'r'",
                "reltuples",
            ),
            (
                "select \"reltuples\" from pg_class where oid = 'shop.orders'::regclass",
                "reltuples",
            ),
            (
                "select sum(table_rows) from information_schema.tables where table_schema = 'shop'",
                "table_rows",
            ),
            (
                "select `TABLE_ROWS` from `INFORMATION_SCHEMA`.`TABLES` limit 1",
                "table_rows",
            ),
            (
                "select n_rows from mysql.innodb_table_stats where table_name = 'orders'",
                "n_rows",
            ),
        ] {
            assert_eq!(Estimate::of(query), Some(Estimate { column }), "{query}");
        }
    }

    #[test]
    fn counts_are_none() {
        for query in [
            "",
            "select count(*) from orders",
            "select count(*) from information_schema.tables where table_schema = 'shop'",
            "select count(*) from pg_class where relkind = 'r'",
            // Names of one's own.
            "select max(table_rows) from imports",
            "select count(*) from orders -- not n_live_tup of pg_stat_user_tables",
            "select count(*) from orders /* n_live_tup of pg_stat_user_tables */ where id > 0",
            "select count(*) from notes where text = 'reltuples of pg_class'",
            "select 'it''s' /* an open comment",
            "select 'an open text",
            "select 'ü' ü",
        ] {
            assert_eq!(Estimate::of(query), None, "{query}");
        }
    }
}

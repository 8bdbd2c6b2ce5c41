//! Names that do not exist in the letters they are written in.
//!
//! A server compares names of databases, tables and aliases letter by letter when its `lower_case_table_names` is 0, and
//! without regard to upper and lower case when it is 1 or 2 (MySQL's manual, "Identifier Case Sensitivity"). A copy is restored
//! with another parameter group than its source, and then a query that works there names what does not exist here. That is no
//! fault of the backup.

use super::{Trouble, overheard};

/// A name that a server says it does not have.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    name: String,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Database,
    /// With the name of its database.
    Table,
    /// A table or an alias of the query, which spells it otherwise elsewhere.
    Alias(String),
}

impl Missing {
    /// The name that an error of the server is about; none if it is about something else.
    pub fn of(code: u16, message: &str, query: &str) -> Option<Missing> {
        // `Table 'shop.Orders' doesn't exist`, `Unknown column 'O.id' in 'field list'`: the quotes are in every language.
        let name = message.split('\'').nth(1)?;
        let missing = |name: &str, kind| Missing {
            name: name.to_owned(),
            kind,
        };
        match code {
            1049 => Some(missing(name, Kind::Database)),
            1146 => Some(missing(name, Kind::Table)),
            1054 => {
                let (table, _) = name.rsplit_once('.')?;
                let (_, alias) = table.rsplit_once('.').unwrap_or(("", table));
                let other = words(query)
                    .find(|word| *word != alias && word.to_lowercase() == alias.to_lowercase())?;
                Some(missing(alias, Kind::Alias(other.to_owned())))
            }
            _ => None,
        }
    }

    /// What to ask the server, with [`Missing::parameter`]: a row of its setting and the name as it is stored.
    pub fn question(&self) -> &'static str {
        match self.kind {
            Kind::Database => {
                "select @@lower_case_table_names, schema_name from information_schema.schemata \
                 where lower(schema_name) = lower(?) limit 1"
            }
            Kind::Table => {
                "select @@lower_case_table_names, concat(table_schema, '.', table_name) from information_schema.tables \
                 where lower(concat(table_schema, '.', table_name)) = lower(?) limit 1"
            }
            Kind::Alias(_) => "select @@lower_case_table_names, ?",
        }
    }

    /// The question's parameter.
    pub fn parameter(&self) -> &str {
        match &self.kind {
            Kind::Database | Kind::Table => &self.name,
            Kind::Alias(other) => other,
        }
    }

    /// What the server's answer says: that it has the name in other letters, if so. `sent` is what we have sent.
    pub fn judge(&self, setting: u64, stored: &str, sent: &[&str]) -> Option<Trouble> {
        let Missing { name, kind } = self;
        if setting != 0 || stored == name {
            return None;
        }
        let (name, stored) = (overheard::name(name, sent), overheard::name(stored, sent));
        let what = match kind {
            Kind::Database => format!("there is no database {name}, but there is {stored}"),
            Kind::Table => format!("there is no table {name}, but there is {stored}"),
            Kind::Alias(_) => format!("the query calls a table {name} and {stored}"),
        };
        Some(Trouble::CannotTell(format!(
            "{what}: the restored server tells upper and lower case apart (lower_case_table_names = 0), and the source may not; \
             write the name as it is stored, or restore with the source's parameter group"
        )))
    }
}

/// The names in a query, each as it is spelled.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_in_other_letters_are_no_fault_of_the_backup() {
        for (code, message, query, stored) in [
            (
                1146,
                "Table 'shop.Orders' doesn't exist",
                "select count(*) from Orders",
                "shop.orders",
            ),
            (1049, "Unknown database 'Shop'", "select 1", "shop"),
            (
                1054,
                "Unknown column 'O.id' in 'field list'",
                "select max(O.id) from orders o",
                "o",
            ),
            (
                1054,
                "Unknown column 'shop.Orders.id' in 'SELECT'",
                "select max(shop.Orders.id) from shop.orders",
                "orders",
            ),
        ] {
            let missing = Missing::of(code, message, query).unwrap();
            match missing.judge(0, stored, &[query]) {
                Some(Trouble::CannotTell(words)) => {
                    assert!(words.contains("lower_case_table_names = 0"), "{words}");
                    assert!(words.contains(stored), "{words}");
                }
                other => panic!("{other:?}"),
            }
            // A server that does not tell them apart has no such name at all; nor is the same name another one.
            assert!(missing.judge(1, stored, &[]).is_none());
            assert!(missing.judge(0, &missing.name, &[]).is_none());
        }
    }

    #[test]
    fn what_is_missing_in_any_letters_is_missing() {
        for (code, message, query) in [
            (
                1054,
                "Unknown column 'paid_by' in 'field list'",
                "select paid_by from o",
            ),
            (
                1054,
                "Unknown column 'o.paid_by' in 'field list'",
                "select o.paid_by from orders o",
            ),
            (1142, "SELECT command denied for table 'Orders'", "select 1"),
            (1146, "no quotes", "select 1"),
        ] {
            assert_eq!(Missing::of(code, message, query), None, "{message}");
        }
    }
}

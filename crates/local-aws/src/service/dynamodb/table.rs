//! A table: items by key, and its indexes computed from them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

use super::invalid;
use super::value::{Attr, Item, item_bytes, item_json, parse_item};
use crate::wire::ServiceError;
use crate::world::seed::{Index, KeyAttribute, Table};

/// Largest item, bytes (DynamoDB quotas).
const LARGEST_ITEM: usize = 400 * 1024;

/// A table and its items.
pub(crate) struct TableState {
    pub table: Table,
    /// By the key values as JSON text.
    items: BTreeMap<Vec<String>, Item>,
}

/// The keys of a table or of one of its indexes.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub partition: &'a KeyAttribute,
    pub sort: Option<&'a KeyAttribute>,
}

impl TableState {
    pub fn new(table: Table) -> TableState {
        TableState {
            table,
            items: BTreeMap::new(),
        }
    }

    pub fn items_json(&self) -> Vec<Value> {
        self.items.values().map(item_json).collect()
    }

    pub fn keys(&self) -> Keys<'_> {
        Keys {
            partition: &self.table.partition_key,
            sort: self.table.sort_key.as_ref(),
        }
    }

    pub fn index(&self, name: &str) -> Option<&Index> {
        self.table.indexes.iter().find(|index| index.name == name)
    }

    fn key_attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.table.partition_key).chain(&self.table.sort_key)
    }

    pub fn is_key(&self, attribute: &str) -> bool {
        self.key_attributes().any(|key| key.name == attribute)
    }

    /// The key of a request's `Key` member, which must hold the key attributes and nothing else.
    pub fn exact_key(&self, given: &Item) -> Result<Vec<String>, ServiceError> {
        if given.len() != self.key_attributes().count() {
            return Err(invalid(
                "The provided key element does not match the schema",
            ));
        }
        self.key_of(given)
            .map_err(|_| invalid("The provided key element does not match the schema"))
    }

    /// The key inside an item.
    pub fn key_of(&self, item: &Item) -> Result<Vec<String>, ServiceError> {
        self.key_attributes()
            .map(|key| {
                let name = &key.name;
                let value = item.get(name).ok_or_else(|| {
                    invalid(&format!("One or more parameter values were invalid: Missing the key {name} in the item"))
                })?;
                check_key(key, value, "Key", "")?;
                Ok(value.to_json().to_string())
            })
            .collect()
    }

    pub fn get(&self, key: &[String]) -> Option<&Item> {
        self.items.get(key)
    }

    /// Stores an item that has passed [`TableState::check`].
    pub fn put(&mut self, key: Vec<String>, item: Item) -> Option<Item> {
        self.items.insert(key, item)
    }

    /// Stores an item in DynamoDB's JSON.
    pub fn put_json(&mut self, item: &Value) -> Result<(), ServiceError> {
        let item = parse_item(item)?;
        let key = self.key_of(&item)?;
        self.check(&item)?;
        self.put(key, item);
        Ok(())
    }

    pub fn remove(&mut self, key: &[String]) -> Option<Item> {
        self.items.remove(key)
    }

    /// Refuses items that are too large or whose index keys have the wrong type.
    pub fn check(&self, item: &Item) -> Result<(), ServiceError> {
        if item_bytes(item) > LARGEST_ITEM {
            return Err(invalid("Item size has exceeded the maximum allowed size"));
        }
        for index in &self.table.indexes {
            for key in std::iter::once(&index.partition_key).chain(&index.sort_key) {
                if let Some(value) = item.get(&key.name) {
                    check_key(
                        key,
                        value,
                        "Index Key",
                        &format!(" IndexName: {}", index.name),
                    )?;
                }
            }
        }
        Ok(())
    }

    /// The wanted items of an index (or the table), in the order a query walks them: by sort key, then by
    /// the table's own key.
    pub fn walk(&self, keys: Keys<'_>, wanted: impl Fn(&Item) -> bool) -> Vec<&Item> {
        let mut found: Vec<&Item> = self
            .items
            .values()
            .filter(|item| {
                item.contains_key(&keys.partition.name)
                    && keys.sort.is_none_or(|sort| item.contains_key(&sort.name))
                    && wanted(item)
            })
            .collect();
        found.sort_by(|a, b| self.order(keys, a, b));
        found
    }

    pub fn order(&self, keys: Keys<'_>, a: &Item, b: &Item) -> Ordering {
        let compare = |name: &str| match (a.get(name), b.get(name)) {
            (Some(a), Some(b)) => a.order(b).unwrap_or(Ordering::Equal),
            _ => Ordering::Equal,
        };
        compare(&keys.partition.name)
            .then_with(|| {
                keys.sort
                    .map_or(Ordering::Equal, |sort| compare(&sort.name))
            })
            .then_with(|| {
                self.key_attributes()
                    .map(|key| compare(&key.name))
                    .fold(Ordering::Equal, Ordering::then)
            })
    }

    /// The attributes that tell where a page ended: the keys walked by and the table's own.
    pub fn position(&self, keys: Keys<'_>, item: &Item) -> Item {
        let wanted = std::iter::once(keys.partition)
            .chain(keys.sort)
            .chain(self.key_attributes());
        wanted
            .filter_map(|key| Some((key.name.clone(), item.get(&key.name)?.clone())))
            .collect()
    }
}

fn check_key(
    key: &KeyAttribute,
    value: &Attr,
    what: &str,
    whose: &str,
) -> Result<(), ServiceError> {
    let (name, wanted, actual) = (&key.name, &key.kind, value.kind());
    if wanted != actual {
        return Err(invalid(&format!(
            "One or more parameter values were invalid: Type mismatch for {what} {name} expected: {wanted} actual: {actual}{whose}"
        )));
    }
    if matches!(value, Attr::S(text) | Attr::B(text) if text.is_empty()) {
        return Err(invalid(&format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: {name}"
        )));
    }
    Ok(())
}

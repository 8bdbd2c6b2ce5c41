//! A table: items by key, and its indexes computed from them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

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
    items: BTreeMap<Place, Item>,
    /// For each index, in the table's order of them: the place in it → the place in the table.
    indexed: Vec<BTreeMap<Place, Place>>,
}

/// The values of the keys that a table or index is walked by: its own, and for an index the table's after them.
pub(crate) type Place = Vec<KeyValue>;

/// The value of a key. Those of one key are of one kind, and so in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyValue(Attr);

impl Ord for KeyValue {
    fn cmp(&self, other: &KeyValue) -> Ordering {
        self.0.order(&other.0).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for KeyValue {
    fn partial_cmp(&self, other: &KeyValue) -> Option<Ordering> {
        Some(self.cmp(other))
    }
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
            indexed: table.indexes.iter().map(|_| BTreeMap::new()).collect(),
            table,
            items: BTreeMap::new(),
        }
    }

    pub fn items_json(&self) -> Vec<Value> {
        self.items.values().map(item_json).collect()
    }

    /// The items of an index in DynamoDB's JSON, in its order; none when there is no such index.
    pub fn indexed_json(&self, index: &str) -> Option<impl Iterator<Item = Value>> {
        let index = self.index(index)?;
        Some(self.walk(Some(index), None, None).map(item_json))
    }

    /// The item under a partition key that is a string, in DynamoDB's JSON.
    pub fn item_json(&self, key: &str) -> Option<Value> {
        let key = vec![KeyValue(Attr::S(key.to_owned()))];
        self.get(&key).map(item_json)
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
    pub fn exact_key(&self, given: &Item) -> Result<Place, ServiceError> {
        self.refuse_empty_keys(given)?;
        if given.len() != self.key_attributes().count() {
            return Err(invalid(
                "The provided key element does not match the schema",
            ));
        }
        self.key_of(given)
            .map_err(|_| invalid("The provided key element does not match the schema"))
    }

    /// The key inside an item.
    pub fn key_of(&self, item: &Item) -> Result<Place, ServiceError> {
        self.refuse_empty_keys(item)?;
        self.key_attributes()
            .map(|key| {
                let name = &key.name;
                let value = item.get(name).ok_or_else(|| {
                    invalid(&format!("One or more parameter values were invalid: Missing the key {name} in the item"))
                })?;
                check_key(key, value, "key", "")?;
                Ok(KeyValue(value.clone()))
            })
            .collect()
    }

    /// Refuses empty values of keys, of the table or an index.
    pub fn refuse_empty_keys(&self, item: &Item) -> Result<(), ServiceError> {
        let of_index = |index: &Index| [Some(index.partition_key.clone()), index.sort_key.clone()];
        let of_indexes = self.table.indexes.iter().flat_map(of_index).flatten();
        for key in self.key_attributes().cloned().chain(of_indexes) {
            let what = match item.get(&key.name) {
                Some(Attr::S(text)) if text.is_empty() => "string",
                Some(Attr::B(bytes)) if bytes.is_empty() => "binary",
                _ => continue,
            };
            return Err(invalid(&format!(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {what} value. Key: {}",
                key.name
            )));
        }
        Ok(())
    }

    pub fn get(&self, key: &Place) -> Option<&Item> {
        self.items.get(key)
    }

    /// Stores an item that has passed [`check_size`] and [`TableState::check_keys`].
    fn put(&mut self, key: Place, item: Item) -> Option<Item> {
        let old = self.remove(&key);
        for (index, places) in self.table.indexes.iter().zip(&mut self.indexed) {
            let keys = Keys::of_index(index);
            if let Some(place) = place_in(keys, &key, &item) {
                places.insert(place, key.clone());
            }
        }
        self.items.insert(key, item);
        old
    }

    /// Stores an item, or removes the one that is there.
    pub fn set(&mut self, key: Place, item: Option<Item>) {
        match item {
            Some(item) => self.put(key, item),
            None => self.remove(&key),
        };
    }

    /// Stores an item in DynamoDB's JSON.
    pub fn put_json(&mut self, item: &Value) -> Result<(), ServiceError> {
        let item = parse_item(item)?;
        let key = self.key_of(&item)?;
        check_size(&item, "Item size")?;
        self.check_keys(&item)?;
        self.put(key, item);
        Ok(())
    }

    fn remove(&mut self, key: &Place) -> Option<Item> {
        let old = self.items.remove(key)?;
        for (index, places) in self.table.indexes.iter().zip(&mut self.indexed) {
            if let Some(place) = place_in(Keys::of_index(index), key, &old) {
                places.remove(&place);
            }
        }
        Some(old)
    }

    /// Refuses items whose keys have the wrong type or are empty.
    pub fn check_keys(&self, item: &Item) -> Result<(), ServiceError> {
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
        self.refuse_empty_keys(item)
    }

    /// The items of the table, or of one of its indexes, in the order in which a query walks them: by partition, by sort
    /// key, then by the table's own key. From a place on when that is told, which need not be there and is itself left out.
    pub fn walk<'a>(
        &'a self,
        index: Option<&Index>,
        partition: Option<&Attr>,
        after: Option<Place>,
    ) -> Box<dyn Iterator<Item = &'a Item> + 'a> {
        let partition = partition.map(|value| KeyValue(value.clone()));
        let from = match (after, &partition) {
            (Some(place), _) => Bound::Excluded(place),
            // A place that begins so comes after the beginning alone.
            (None, Some(partition)) => Bound::Included(vec![partition.clone()]),
            (None, None) => Bound::Unbounded,
        };
        let within = move |place: &Place| {
            let partition = partition.as_ref();
            partition.is_none_or(|partition| place.first() == Some(partition))
        };
        let number = index.and_then(|index| {
            let mut indexes = self.table.indexes.iter();
            indexes.position(|known| known.name == index.name)
        });
        let range = (from, Bound::Unbounded);
        match number.map(|number| &self.indexed[number]) {
            None => {
                let items = self.items.range(range);
                Box::new(
                    items
                        .take_while(move |(place, _)| within(place))
                        .map(|(_, item)| item),
                )
            }
            Some(places) => {
                let places = places.range(range);
                let within = places.take_while(move |(place, _)| within(place));
                Box::new(within.filter_map(|(_, key)| self.items.get(key)))
            }
        }
    }

    /// The place that an `ExclusiveStartKey` names; none when a key is missing in it.
    pub fn place(&self, index: Option<&Index>, start: &Item) -> Option<Place> {
        let key = self.key_of(start).ok()?;
        match index {
            None => Some(key),
            Some(index) => place_in(Keys::of_index(index), &key, start),
        }
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

impl Keys<'_> {
    /// The keys of an index.
    pub fn of_index(index: &Index) -> Keys<'_> {
        Keys {
            partition: &index.partition_key,
            sort: index.sort_key.as_ref(),
        }
    }
}

/// Where an item with this key of the table stands in an index; none when it is not in it.
fn place_in(keys: Keys<'_>, key: &Place, item: &Item) -> Option<Place> {
    let value = |attribute: &KeyAttribute| item.get(&attribute.name).cloned().map(KeyValue);
    let own = std::iter::once(keys.partition).chain(keys.sort);
    let mut place = own.map(value).collect::<Option<Place>>()?;
    place.extend(key.iter().cloned());
    Some(place)
}

/// Refuses an item that is too large. AWS says "Item size" of a put, "Item size to update" of an update.
pub(super) fn check_size(item: &Item, what: &str) -> Result<(), ServiceError> {
    if item_bytes(item) > LARGEST_ITEM {
        return Err(invalid(&format!(
            "{what} has exceeded the maximum allowed size"
        )));
    }
    Ok(())
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
    Ok(())
}

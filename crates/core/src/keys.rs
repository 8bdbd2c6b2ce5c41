//! The keys of the policy file, each described once: its name, what it is for, what its value may be. Reading, the
//! JSON Schema and the tables of the README come from the description.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::reader::{Item, Section, optional};

/// What a value may be.
pub(crate) trait Shape: Sync {
    /// What is read from it.
    type Value;

    /// Reads it. What is wrong is noted at the item.
    fn read(&self, item: &Item<'_>) -> Option<Self::Value>;

    /// The JSON Schema of it.
    fn schema(&self) -> Value;
}

/// A key of a table.
pub(crate) struct Key<S> {
    pub(crate) name: &'static str,
    words: &'static str,
    /// How it is written, where it must be there.
    example: Option<&'static str>,
    pub(crate) shape: S,
}

/// A key that may be left out. `words` say what it is for, and what holds without it.
pub(crate) const fn key<S>(name: &'static str, words: &'static str, shape: S) -> Key<S> {
    Key {
        name,
        words,
        example: None,
        shape,
    }
}

/// A key that must be there; `example` shows how it is written.
pub(crate) const fn needed<S>(
    name: &'static str,
    words: &'static str,
    example: &'static str,
    shape: S,
) -> Key<S> {
    Key {
        name,
        words,
        example: Some(example),
        shape,
    }
}

/// What is said about a key, whatever its value is.
pub(crate) trait Described: Sync {
    fn name(&self) -> &'static str;
    fn must_be_there(&self) -> bool;
    fn schema(&self) -> Value;
}

impl<S: Shape> Described for Key<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn must_be_there(&self) -> bool {
        self.example.is_some()
    }

    fn schema(&self) -> Value {
        let mut schema = self.shape.schema();
        schema["description"] = json!(self.words);
        schema
    }
}

/// A table whose keys are known.
pub(crate) struct Table {
    /// What it is.
    pub(crate) words: &'static str,
    pub(crate) keys: &'static [&'static dyn Described],
}

impl Table {
    /// An object that has no other keys.
    pub(crate) fn schema(&self) -> Value {
        let keys = self.keys.iter();
        let properties: Map<String, Value> = keys
            .clone()
            .map(|key| (key.name().to_owned(), key.schema()))
            .collect();
        let required: Vec<&str> = keys
            .filter(|key| key.must_be_there())
            .map(|key| key.name())
            .collect();
        let mut object = json!({
            "description": self.words,
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        });
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        object
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words)
    }
}

impl<'t> Section<'t> {
    /// The value of a key: `Some(None)` where it is not there, `None` where it is wrong, or is not there and must be.
    pub(crate) fn get<S: Shape>(&mut self, key: &Key<S>) -> Option<Option<S::Value>> {
        match self.find(key) {
            None if key.example.is_some() => None,
            item => optional(item, |item| key.shape.read(item)),
        }
    }

    /// The value of a key that must be there.
    pub(crate) fn need<S: Shape>(&mut self, key: &Key<S>) -> Option<S::Value> {
        self.get(key)?
    }

    /// What stands at a key; that it is not there is noted where it must be.
    pub(crate) fn find<S: Shape>(&mut self, key: &Key<S>) -> Option<Item<'t>> {
        match key.example {
            Some(example) => self.required(key.name, example),
            None => self.optional(key.name),
        }
    }
}

/// One of some words, each with what it stands for.
pub(crate) struct Words<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Clone + Sync> Shape for Words<T> {
    type Value = T;

    fn read(&self, item: &Item<'_>) -> Option<T> {
        item.one_of(self.0)
    }

    fn schema(&self) -> Value {
        let words: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
        json!({ "enum": words })
    }
}

/// A duration within limits.
pub(crate) struct Span {
    pub(crate) range: RangeInclusive<Duration>,
    /// What is wrong with one beyond them.
    pub(crate) wrong: &'static str,
}

impl Shape for Span {
    type Value = Duration;

    fn read(&self, item: &Item<'_>) -> Option<Duration> {
        let duration = item.duration()?;
        if self.range.contains(&duration) {
            return Some(duration);
        }
        item.mistake(self.wrong);
        None
    }

    fn schema(&self) -> Value {
        json!({ "$ref": "#/$defs/duration" })
    }
}

/// A value with a reader and a schema of its own.
pub(crate) struct Own<T> {
    pub(crate) read: fn(&Item<'_>) -> Option<T>,
    pub(crate) schema: fn() -> Value,
}

impl<T> Shape for Own<T> {
    type Value = T;

    fn read(&self, item: &Item<'_>) -> Option<T> {
        (self.read)(item)
    }

    fn schema(&self) -> Value {
        (self.schema)()
    }
}

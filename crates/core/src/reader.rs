//! Walking a TOML tree whose every value knows where it stands.
//!
//! Reading never stops at a mistake: a value that is wrong is noted and answers `None`, and the walk
//! goes on, so that all mistakes of a file come out at once.

mod duration;
mod mistake;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use strsim::osa_distance;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) use duration::exact_duration;
pub use duration::{parse_duration, parse_latency, readable_duration, readable_latency};
pub(crate) use mistake::Notes;
#[cfg(test)]
pub(crate) use mistake::Seen;
pub use mistake::{Mistake, Mistakes};

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Item<'t> {
    pub(crate) value: &'t DeValue<'t>,
    pub(crate) span: Range<usize>,
    pub(crate) place: String,
    notes: &'t Notes<'t>,
}

impl<'t> Item<'t> {
    /// Notes a mistake about this value.
    pub(crate) fn mistake(&self, message: impl Into<String>) {
        self.notes.mistake(self.span.clone(), &self.place, message);
    }

    /// What the regular expressions read so far leave for others, compiled, bytes.
    pub(crate) fn regex_room(&self) -> &Cell<usize> {
        &self.notes.regex_room
    }

    /// How many more unknown time zones are compared with all that there are.
    pub(crate) fn zones_to_compare(&self) -> &Cell<u32> {
        &self.notes.zones_to_compare
    }

    fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        self.mistake(format!("must be {wanted}, not {}", kind_of(self.value)));
        None
    }

    /// A text.
    pub(crate) fn text(&self) -> Option<&'t str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type("a text in quotes"),
        }
    }

    /// A text of one to `longest` characters without control characters.
    pub(crate) fn line(&self, longest: usize) -> Option<&'t str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.mistake("must not be empty");
        } else if text.chars().count() > longest {
            self.mistake(format!("must not be longer than {longest} characters"));
        } else if text.chars().any(char::is_control) {
            self.mistake("must be one line, without control characters");
        } else {
            return Some(text);
        }
        None
    }

    /// One of the given words, each with what it stands for.
    pub(crate) fn one_of<T: Clone>(&self, words: &[(&'static str, T)]) -> Option<T> {
        #[cfg(test)]
        for (word, _) in words {
            self.notes.saw(&self.place, Seen::Word(word));
        }
        let text = self.text()?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(meaning.clone());
        }
        let list: Vec<String> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let hint = hint(
            text,
            words.iter().map(|(word, _)| *word),
            &format!("known: {}", list.join(", ")),
        );
        self.mistake(format!("unknown value \"{text}\"; {hint}"));
        None
    }

    /// A duration.
    pub(crate) fn duration(&self) -> Option<Duration> {
        match self.value {
            DeValue::Integer(_) | DeValue::Float(_) => {
                self.mistake(
                    "must be a text with a unit, such as \"90s\", \"15m\", \"2h\" or \"1d\"",
                );
                None
            }
            _ => parse_duration(self.text()?)
                .map_err(|problem| self.mistake(problem))
                .ok(),
        }
    }

    /// How long an answer may take: a duration with milliseconds.
    pub(crate) fn latency(&self) -> Option<Duration> {
        match self.value {
            DeValue::Integer(_) | DeValue::Float(_) => {
                self.mistake("must be a text with a unit, such as \"500ms\" or \"2s\"");
                None
            }
            _ => parse_latency(self.text()?)
                .map_err(|problem| self.mistake(problem))
                .ok(),
        }
    }

    /// True or false.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(truth) => Some(*truth),
            _ => self.wrong_type("true or false"),
        }
    }

    /// A number that can be compared.
    pub(crate) fn number(&self) -> Option<f64> {
        let number = match self.value {
            DeValue::Integer(_) => return self.integer().map(|number| number as f64),
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            _ => return self.wrong_type("a number"),
        };
        let finite = number.filter(|number| number.is_finite());
        if finite.is_none() {
            self.mistake("must be a number that can be compared, not infinity or nan");
        }
        finite
    }

    /// A whole number of 64 bits.
    pub(crate) fn integer(&self) -> Option<i64> {
        let DeValue::Integer(integer) = self.value else {
            return self.wrong_type("a whole number");
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        if number.is_none() {
            self.mistake("is a whole number beyond 64 bits");
        }
        number
    }

    /// The items of a list.
    pub(crate) fn list(&self) -> Option<Vec<Item<'t>>> {
        let DeValue::Array(list) = self.value else {
            return self.wrong_type("a list");
        };
        Some(
            list.iter()
                .enumerate()
                .map(|(index, value)| Item {
                    value: value.get_ref(),
                    span: value.span(),
                    place: format!("{}[{index}]", self.place),
                    notes: self.notes,
                })
                .collect(),
        )
    }

    /// A table whose keys are known.
    pub(crate) fn section(&self) -> Option<Section<'t>> {
        match self.value {
            DeValue::Table(table) => Some(Section::new(
                table,
                self.span.clone(),
                self.place.clone(),
                self.notes,
            )),
            _ => self.wrong_type("a table"),
        }
    }

    /// The value of a key when this is a table that has it; what is wrong is noted elsewhere.
    pub(crate) fn quiet(&self, key: &str) -> Option<Item<'t>> {
        match self.value {
            DeValue::Table(table) => table
                .get_key_value(key)
                .map(|(name, value)| item(&self.place, name, value, self.notes)),
            _ => None,
        }
    }

    /// The entries when this is a table; what is wrong is noted elsewhere.
    pub(crate) fn quiet_entries(&self) -> Option<Vec<(&'t str, Item<'t>)>> {
        match self.value {
            DeValue::Table(_) => self.entries(),
            _ => None,
        }
    }

    /// Whether it is a text.
    pub(crate) fn is_text(&self) -> bool {
        self.quiet_text().is_some()
    }

    /// The text when it is one; what is wrong is noted elsewhere.
    pub(crate) fn quiet_text(&self) -> Option<&'t str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// A table whose keys are the user's own.
    pub(crate) fn entries(&self) -> Option<Vec<(&'t str, Item<'t>)>> {
        match self.value {
            DeValue::Table(table) => Some(
                table
                    .iter()
                    .map(|(key, value)| {
                        (
                            key.get_ref().as_ref(),
                            item(&self.place, key, value, self.notes),
                        )
                    })
                    .collect(),
            ),
            _ => self.wrong_type("a table"),
        }
    }
}

/// A table whose keys are known: what was never asked for is an unknown key.
pub(crate) struct Section<'t> {
    table: &'t DeTable<'t>,
    header: Range<usize>,
    pub(crate) place: String,
    notes: &'t Notes<'t>,
    asked: Vec<&'static str>,
}

impl<'t> Section<'t> {
    pub(crate) fn new(
        table: &'t DeTable<'t>,
        header: Range<usize>,
        place: String,
        notes: &'t Notes<'t>,
    ) -> Section<'t> {
        Section {
            table,
            header,
            place,
            notes,
            asked: Vec::new(),
        }
    }

    /// The value of a key, if it is there.
    pub(crate) fn optional(&mut self, key: &'static str) -> Option<Item<'t>> {
        #[cfg(test)]
        self.notes.saw(&self.place, Seen::Key(key));
        self.asked.push(key);
        self.table
            .get_key_value(key)
            .map(|(name, value)| item(&self.place, name, value, self.notes))
    }

    /// The value of a key that must be there; `example` shows how it is written.
    pub(crate) fn required(&mut self, key: &'static str, example: &str) -> Option<Item<'t>> {
        #[cfg(test)]
        self.notes.saw(&self.place, Seen::Required(key));
        self.needed(key, format!("is missing; write for example {example}"))
    }

    /// Notes that something about a key that is not there is wrong, at the table's header.
    pub(crate) fn missing(&self, key: &str, message: impl Into<String>) {
        let place = path(&self.place, key);
        self.notes.mistake(self.header.clone(), &place, message);
    }

    /// The value of a key that must be there because of another one; `message` says why and what to write.
    pub(crate) fn needed(
        &mut self,
        key: &'static str,
        message: impl Into<String>,
    ) -> Option<Item<'t>> {
        let found = self.optional(key);
        if found.is_none() && !self.misspelled(key) {
            self.missing(key, message);
        }
        found
    }

    /// The value of a key, if it is there; it stays unknown.
    pub(crate) fn quiet(&self, key: &str) -> Option<Item<'t>> {
        self.table
            .get_key_value(key)
            .map(|(name, value)| item(&self.place, name, value, self.notes))
    }

    /// Whether a key stands in it; it stays unknown.
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether nothing stands in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The table's header, for mistakes about the table as a whole.
    pub(crate) fn header(&self) -> Header<'t> {
        Header {
            span: self.header.clone(),
            place: self.place.clone(),
            notes: self.notes,
        }
    }

    /// Whether the key is there under a name so near that the unknown key says it all.
    fn misspelled(&self, key: &str) -> bool {
        self.table
            .keys()
            .any(|name| nearest(name.get_ref(), [key].into_iter()).is_some())
    }

    /// Notes every key nobody asked for.
    pub(crate) fn finish(self) {
        for (key, value) in self.table.iter() {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let known = self
                .asked
                .iter()
                .copied()
                .filter(|known| !self.table.contains_key(*known));
            let hint = match nearest(name, known) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => format!("; known here: {}", self.asked.join(", ")),
            };
            let unknown = item(&self.place, key, value, self.notes);
            self.notes
                .mistake(key.span(), &unknown.place, format!("unknown key{hint}"));
        }
    }
}

/// Where a table begins.
pub(crate) struct Header<'t> {
    span: Range<usize>,
    place: String,
    notes: &'t Notes<'t>,
}

impl Header<'_> {
    /// Notes a mistake about the table as a whole.
    pub(crate) fn mistake(&self, message: impl Into<String>) {
        self.notes.mistake(self.span.clone(), &self.place, message);
    }
}

fn item<'t>(
    parent: &str,
    key: &Spanned<std::borrow::Cow<'t, str>>,
    value: &'t Spanned<DeValue<'t>>,
    notes: &'t Notes<'t>,
) -> Item<'t> {
    Item {
        value: value.get_ref(),
        span: value.span(),
        place: path(parent, key.get_ref()),
        notes,
    }
}

/// `parent.key`, the key in quotes when TOML would want them.
fn path(parent: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if bare {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if parent.is_empty() {
        key
    } else {
        format!("{parent}.{key}")
    }
}

/// What a value is, with its article.
pub(crate) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The known word that was probably meant, or else what `otherwise` says.
pub(crate) fn hint<'k>(
    word: &str,
    known: impl Iterator<Item = &'k str>,
    otherwise: &str,
) -> String {
    match nearest(word, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => otherwise.to_owned(),
    }
}

/// The known word a slip of the fingers away from `word`, if there is one.
pub(crate) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', ' '], "-");
    let wanted = plain(word);
    // A third of the word may be wrong; two letters of a word of three are not a slip.
    let allowed = (wanted.chars().count() / 3).clamp(1, 4);
    // What is much longer or shorter need not be compared: a key may have megabytes.
    let length = wanted.chars().count();
    known
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= allowed)
        .map(|candidate| (osa_distance(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What is not there is `Some(None)`, what is there and wrong is `None`.
pub(crate) fn optional<'t, T>(
    item: Option<Item<'t>>,
    read: impl FnOnce(&Item<'t>) -> Option<T>,
) -> Option<Option<T>> {
    match item {
        None => Some(None),
        Some(item) => read(&item).map(Some),
    }
}

/// Names that must be unique, with the place where each was first used.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    /// The place that has `name` already.
    pub(crate) fn owner(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Gives `name` back when it was not used before.
    pub(crate) fn take<'n>(&mut self, name: &'n str, item: &Item<'_>) -> Option<&'n str> {
        if let Some(first) = self.0.get(name) {
            item.mistake(format!("the name \"{name}\" is already that of {first}"));
            return None;
        }
        let owner = item.place.rsplit_once('.').map_or("", |(owner, _)| owner);
        self.0.insert(name.to_owned(), owner.to_owned());
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let keys = ["frequency", "notify", "max_age", "every-copy"];
        assert_eq!(nearest("frequencie", keys.into_iter()), Some("frequency"));
        assert_eq!(nearest("max-age", keys.into_iter()), Some("max_age"));
        assert_eq!(nearest("every_copy", keys.into_iter()), Some("every-copy"));
        assert_eq!(nearest("Notify", keys.into_iter()), Some("notify"));
        assert_eq!(nearest("colour", keys.into_iter()), None);
        assert_eq!(nearest("", keys.into_iter()), None);
    }

    #[test]
    fn odd_keys_are_quoted_in_paths() {
        assert_eq!(path("rules[0]", "name"), "rules[0].name");
        assert_eq!(path("", "a b"), "\"a b\"");
    }
}

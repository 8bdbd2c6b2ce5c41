//! What of the restored data may leave, and how far: into the record, the log event, the message.
//!
//! Values are compared whole. What is said of them afterwards is a [`Marked`], in which every stretch that comes from the
//! restored copy is marked as what it is; who writes it down says how much may be seen there. Whoever forgets to mark is found
//! by the scenarios that search all that leaves for planted data.

mod credentials;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use credentials::{looks_like_credential, without_credentials};

/// The longest number that leaves as it is, characters: the longest 64-bit floating point number has as many. Longer ones
/// carry text.
pub const LONGEST_NUMBER: usize = 24;
/// The longest time that leaves as it is, characters: `+294276-12-31 23:59:59.123456789+00:00`.
pub const LONGEST_TIME: usize = 38;

/// Where a marked stretch begins, where what is said in its stead ends, and where it ends.
const BEGIN: char = '\u{1}';
const INSTEAD: char = '\u{3}';
const END: char = '\u{2}';

/// How much of the restored data may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ceiling {
    /// No data. What became of each check is told all the same.
    None,
    /// Numbers, truths and times.
    Numbers,
    /// Text, too.
    Text,
}

impl Ceiling {
    /// All of them, the lowest first.
    pub const ALL: [Ceiling; 3] = [Ceiling::None, Ceiling::Numbers, Ceiling::Text];

    /// The word of the policy and of the template.
    pub const fn as_str(self) -> &'static str {
        match self {
            Ceiling::None => "none",
            Ceiling::Numbers => "numbers",
            Ceiling::Text => "text",
        }
    }

    /// Whether this may be seen under it.
    pub fn lets(self, datum: Datum) -> bool {
        match datum {
            Datum::Truth | Datum::Number | Datum::Time => self >= Ceiling::Numbers,
            Datum::Text => self >= Ceiling::Text,
            Datum::Credential => false,
        }
    }
}

impl FromStr for Ceiling {
    type Err = ();

    fn from_str(word: &str) -> Result<Ceiling, ()> {
        let named = |ceiling: &Ceiling| ceiling.as_str() == word;
        Ceiling::ALL.into_iter().find(named).ok_or(())
    }
}

/// The ceilings of the three ways out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Of the record in S3.
    pub record: Ceiling,
    /// Of the event in CloudWatch Logs.
    pub log: Ceiling,
    /// Of the message through SNS.
    pub message: Ceiling,
}

impl Default for Ceilings {
    /// Nothing is lowered.
    fn default() -> Ceilings {
        Ceilings::all(Ceiling::Text)
    }
}

impl Ceilings {
    /// One for all three.
    pub const fn all(ceiling: Ceiling) -> Ceilings {
        Ceilings {
            record: ceiling,
            log: ceiling,
            message: ceiling,
        }
    }

    /// Of each the lower: a rule may lower the stack's and never raise it.
    #[must_use]
    pub fn lowered_by(self, other: Ceilings) -> Ceilings {
        Ceilings {
            record: self.record.min(other.record),
            log: self.log.min(other.log),
            message: self.message.min(other.message),
        }
    }

    /// What may be seen somewhere; nothing more is kept.
    pub fn highest(self) -> Ceiling {
        self.record.max(self.log).max(self.message)
    }

    /// What may be seen everywhere.
    pub fn lowest(self) -> Ceiling {
        self.record.min(self.log).min(self.message)
    }
}

impl FromStr for Ceilings {
    type Err = ();

    /// One word for all, or three: of the record, of the log event and of the message.
    fn from_str(words: &str) -> Result<Ceilings, ()> {
        let ceilings: Vec<Ceiling> = words
            .split_ascii_whitespace()
            .map(str::parse)
            .collect::<Result<_, ()>>()?;
        match *ceilings {
            [ceiling] => Ok(Ceilings::all(ceiling)),
            [record, log, message] => Ok(Ceilings {
                record,
                log,
                message,
            }),
            _ => Err(()),
        }
    }
}

/// What kind of thing comes from the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Datum {
    /// True or false.
    Truth,
    /// A number of at most [`LONGEST_NUMBER`] characters.
    Number,
    /// A point in time or an age, of at most [`LONGEST_TIME`] characters.
    Time,
    /// Anything else.
    Text,
    /// What looks like a credential.
    Credential,
}

impl Datum {
    const ALL: [Datum; 5] = [
        Datum::Truth,
        Datum::Number,
        Datum::Time,
        Datum::Text,
        Datum::Credential,
    ];

    /// The word of the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Datum::Truth => "truth",
            Datum::Number => "number",
            Datum::Time => "time",
            Datum::Text => "text",
            Datum::Credential => "credential",
        }
    }

    fn mark(self) -> char {
        match self {
            Datum::Truth => 'b',
            Datum::Number => 'n',
            Datum::Time => 't',
            Datum::Text => 'x',
            Datum::Credential => 'c',
        }
    }

    /// What an unknown mark stands for is taken for text.
    fn of_mark(mark: char) -> Datum {
        let marked = |datum: &Datum| datum.mark() == mark;
        Datum::ALL.into_iter().find(marked).unwrap_or(Datum::Text)
    }
}

impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A number from the data, marked. One that is too long for a number is rounded to 64-bit floating point.
pub fn number(text: impl fmt::Display) -> String {
    let text = text.to_string();
    if text.len() <= LONGEST_NUMBER {
        return mark_as(Datum::Number, &text, "");
    }
    match text.parse::<f64>() {
        Ok(number) => mark_as(Datum::Number, &format!("{number:e}"), ""),
        Err(_) => mark_as(Datum::Text, &text, ""),
    }
}

/// A fingerprint of what was seen, marked: it is neither a name nor a row, and may be seen where numbers may.
pub fn fingerprint(digits: &str) -> String {
    let datum = if digits.len() <= LONGEST_NUMBER {
        Datum::Number
    } else {
        Datum::Text
    };
    mark_as(datum, digits, "")
}

/// A point in time or an age from the data, marked.
pub fn time(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let datum = if text.len() <= LONGEST_TIME {
        Datum::Time
    } else {
        Datum::Text
    };
    mark_as(datum, &text, "")
}

/// True or false from the data, marked.
pub fn truth(truth: bool) -> String {
    mark_as(Datum::Truth, if truth { "true" } else { "false" }, "")
}

/// Text from the restored copy, marked.
pub fn text(text: &str) -> String {
    mark_as(Datum::Text, text, "")
}

/// The same, with words of ours that stand there where it may not be seen.
pub fn text_or(text: &str, instead: &str) -> String {
    mark_as(Datum::Text, text, instead)
}

fn mark_as(datum: Datum, data: &str, instead: &str) -> String {
    // What comes from the copy cannot end its own mark.
    let tame = |text: &str| text.replace([BEGIN, INSTEAD, END], "\u{fffd}");
    let mut marked = String::from_iter([BEGIN, datum.mark()]);
    if !instead.is_empty() {
        marked += &tame(instead);
        marked.push(INSTEAD);
    }
    marked += &tame(data);
    marked.push(END);
    marked
}

/// Words in which what comes from the restored copy is marked. There is no way to see them but under a ceiling.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Marked(String);

impl Marked {
    /// The words, as they may be seen under this ceiling, and never with what looks like a credential.
    pub fn at(&self, ceiling: Ceiling) -> String {
        without_credentials(&self.read(ceiling, |_, data| data.to_owned())).into_owned()
    }

    /// The same words without what may not be seen under this ceiling: what is kept.
    #[must_use]
    pub fn lowered(&self, ceiling: Ceiling) -> Marked {
        Marked(self.read(ceiling, |datum, data| mark_as(datum, data, "")))
    }

    /// These words within others: marks stay what they are.
    pub fn within(&self, words: impl FnOnce(&str) -> String) -> Marked {
        Marked(words(&self.0))
    }

    fn read(&self, ceiling: Ceiling, shown: impl Fn(Datum, &str) -> String) -> String {
        let mut out = String::with_capacity(self.0.len());
        let mut rest = self.0.as_str();
        while let Some((before, marked)) = rest.split_once(BEGIN) {
            out += before;
            // Words that were cut may lack the end.
            let (stretch, after) = marked.split_once(END).unwrap_or((marked, ""));
            let mut characters = stretch.chars();
            let datum = characters.next().map_or(Datum::Text, Datum::of_mark);
            let stretch = characters.as_str();
            let (instead, data) = match stretch.split_once(INSTEAD) {
                Some((instead, data)) => (Some(instead), data),
                None => (None, stretch),
            };
            match instead {
                _ if ceiling.lets(datum) => out += &shown(datum, data),
                Some(instead) => out += instead,
                None => out += &format!("[{datum} withheld]"),
            }
            rest = after;
        }
        out + rest
    }
}

impl From<String> for Marked {
    fn from(words: String) -> Marked {
        Marked(words)
    }
}

impl From<&str> for Marked {
    fn from(words: &str) -> Marked {
        Marked(words.to_owned())
    }
}

/// Without the data: what is printed for debugging ends in logs.
impl fmt::Debug for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.at(Ceiling::None), f)
    }
}

/// Marked words, with all data.
#[cfg(test)]
pub(crate) fn seen(words: &str) -> String {
    Marked::from(words).at(Ceiling::Text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said() -> Marked {
        let words = format!(
            "the value is {} of {}, {}: {}",
            number(12),
            time("2026-11-21"),
            truth(true),
            text_or("Erika", "a name")
        );
        Marked::from(words)
    }

    #[test]
    fn words_are_seen_as_far_as_the_ceiling_lets_them() {
        for (ceiling, expected) in [
            (Ceiling::Text, "the value is 12 of 2026-11-21, true: Erika"),
            (
                Ceiling::Numbers,
                "the value is 12 of 2026-11-21, true: a name",
            ),
            (
                Ceiling::None,
                "the value is [number withheld] of [time withheld], [truth withheld]: a name",
            ),
        ] {
            assert_eq!(said().at(ceiling), expected);
            // What is kept under a ceiling says the same there, and no more anywhere else.
            let kept = said().lowered(ceiling);
            assert_eq!(kept.at(ceiling), expected);
            assert_eq!(kept.at(Ceiling::Text), expected);
            let again: Marked =
                serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
            assert_eq!(again, kept);
        }
        assert_eq!(
            format!("{:?}", said()),
            format!("{:?}", said().at(Ceiling::None))
        );
        assert_eq!(text("x"), "\u{1}xx\u{2}");
        assert_eq!(
            Marked::from(text("x")).at(Ceiling::Numbers),
            "[text withheld]"
        );
    }

    #[test]
    fn data_cannot_end_its_mark() {
        for data in ["a\u{2}b", "\u{1}n7\u{2}", "x\u{3}y", "\u{2}\u{2}secret"] {
            for said in [text(data), text_or("x", data), text_or(data, "y")] {
                let seen = Marked::from(format!("<{said}>")).at(Ceiling::Text);
                assert!(!seen.contains(['\u{1}', '\u{2}', '\u{3}']), "{seen:?}");
            }
            let seen = Marked::from(format!("<{}>", text(data))).at(Ceiling::Numbers);
            assert_eq!(seen, "<[text withheld]>");
        }
    }

    #[test]
    fn what_was_cut_within_data_is_data() {
        let whole = format!("the value is {}", text("Erika Mustermann"));
        for end in "the value is ".len()..whole.len() {
            let seen = Marked::from(&whole[..end]).at(Ceiling::Numbers);
            assert!(seen.starts_with("the value is "), "{seen}");
            assert!(!seen.contains("Er"), "{seen}");
        }
    }

    #[test]
    fn a_number_or_time_that_is_too_long_carries_text() {
        let digits = "7".repeat(400);
        let seen = |words: String| Marked::from(words).at(Ceiling::Numbers);
        assert_eq!(seen(number(&digits)), "inf");
        let digits = format!("0.{}", "7".repeat(40));
        assert_eq!(seen(number(&digits)), "7.777777777777778e-1");
        assert_eq!(seen(number("1".repeat(25) + "x")), "[text withheld]");
        assert_eq!(
            seen(number("-2.2250738585072014E-308")),
            "-2.2250738585072014E-308"
        );
        assert_eq!(seen(time("9".repeat(39))), "[text withheld]");
    }

    #[test]
    fn ceilings_are_one_word_or_three() {
        let apart = Ceilings {
            record: Ceiling::Text,
            log: Ceiling::Numbers,
            message: Ceiling::None,
        };
        assert_eq!("text numbers none".parse(), Ok(apart));
        assert_eq!("numbers".parse(), Ok(Ceilings::all(Ceiling::Numbers)));
        for bad in ["", "all", "text numbers", "text text text text", "Text"] {
            assert_eq!(bad.parse::<Ceilings>(), Err(()), "{bad}");
        }
        assert_eq!(
            (apart.highest(), apart.lowest()),
            (Ceiling::Text, Ceiling::None)
        );
        let numbers = Ceilings::all(Ceiling::Numbers);
        let lowered = apart.lowered_by(numbers);
        assert_eq!(lowered, numbers.lowered_by(apart));
        assert_eq!(Ok(lowered), "numbers numbers none".parse());
        for ceiling in Ceiling::ALL {
            assert_eq!(ceiling.as_str().parse(), Ok(ceiling));
        }
    }
}

//! What is wrong in a policy file, and where.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;

/// The longest path and the longest message of a mistake, characters: they may quote a file of any size, and stand in
/// records.
const LONGEST_WORDS: usize = 500;

/// The most that all regular expressions of a policy may take, compiled, bytes: reading it must end soon.
const REGEX_ROOM: usize = 32 << 20;

/// How many unknown time zones are compared with all that there are: reading a policy must end soon.
const MOST_ZONES_COMPARED: u32 = 50;

/// One mistake of a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line in the file, the first is 1.
    pub line: usize,
    /// Column in the line, in characters, the first is 1.
    pub column: usize,
    /// How many characters of the line the mistake covers, at least 1.
    pub width: usize,
    /// The path of the value, such as `rules[2].checks[0].expect.min`; `policy` for the file itself.
    pub place: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistake {
            line,
            column,
            place,
            message,
            ..
        } = self;
        write!(f, "{line}:{column}: {place}: {message}")
    }
}

/// All mistakes of a policy file in the order of their places, one a line when displayed. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Where mistakes are gathered while a file is walked.
pub(crate) struct Notes<'t> {
    text: &'t str,
    mistakes: RefCell<Vec<Noted>>,
    /// What the regular expressions read so far leave for others, compiled, bytes.
    pub(crate) regex_room: Cell<usize>,
    /// How many more unknown time zones are compared with all that there are.
    pub(crate) zones_to_compare: Cell<u32>,
    #[cfg(test)]
    seen: RefCell<Vec<(String, Seen)>>,
}

/// A mistake at a byte range of the text.
struct Noted {
    span: Range<usize>,
    place: String,
    message: String,
}

/// What the reader knows of a place, noted while it reads: the schema must say the same.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    /// It looks for this key.
    Key(&'static str),
    /// It insists on this key.
    Required(&'static str),
    /// It takes this word.
    Word(&'static str),
}

impl<'t> Notes<'t> {
    pub(crate) fn new(text: &'t str) -> Notes<'t> {
        Notes {
            text,
            mistakes: RefCell::new(Vec::new()),
            regex_room: Cell::new(REGEX_ROOM),
            zones_to_compare: Cell::new(MOST_ZONES_COMPARED),
            #[cfg(test)]
            seen: RefCell::new(Vec::new()),
        }
    }

    #[cfg(test)]
    pub(crate) fn saw(&self, place: &str, seen: Seen) {
        self.seen.borrow_mut().push((place.to_owned(), seen));
    }

    /// What the reader knows, with the place.
    #[cfg(test)]
    pub(crate) fn seen(&self) -> Vec<(String, Seen)> {
        self.seen.borrow().clone()
    }

    /// Notes a mistake at a byte range of the text.
    pub(crate) fn mistake(&self, span: Range<usize>, place: &str, message: impl Into<String>) {
        let start = self.text.floor_char_boundary(span.start);
        let end = self.text.floor_char_boundary(span.end.max(span.start));
        self.mistakes.borrow_mut().push(Noted {
            span: start..end,
            place: cut(if place.is_empty() { "policy" } else { place }.to_owned()),
            message: cut(message.into()),
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    /// All that was noted, in the order of the file.
    pub(crate) fn into_mistakes(self) -> Result<(), Mistakes> {
        let mut noted = self.mistakes.into_inner();
        if noted.is_empty() {
            return Ok(());
        }
        noted.sort_by_key(|noted| noted.span.start);
        let mut walk = Walk::new(self.text);
        let mistakes = noted.into_iter().map(|noted| {
            let (line, column, width) = walk.position(noted.span);
            Mistake {
                line,
                column,
                width,
                place: noted.place,
                message: noted.message,
            }
        });
        Err(Mistakes(mistakes.collect()))
    }
}

/// Words as far as they are kept.
fn cut(mut words: String) -> String {
    if let Some((end, _)) = words.char_indices().nth(LONGEST_WORDS) {
        words.truncate(end);
        words.push('…');
    }
    words
}

/// One way through a text from its beginning to its end, counting: a file may have as many mistakes as words.
struct Walk<'t> {
    text: &'t str,
    /// How far it has come, bytes.
    at: usize,
    /// Line and column there, from 1.
    line: usize,
    column: usize,
}

impl<'t> Walk<'t> {
    fn new(text: &'t str) -> Walk<'t> {
        Walk {
            text,
            at: 0,
            line: 1,
            column: 1,
        }
    }

    /// Line, column and width in characters of a byte range, which begins where the last one did or behind it; the
    /// width ends with the line.
    fn position(&mut self, span: Range<usize>) -> (usize, usize, usize) {
        let passed = &self.text[self.at..span.start];
        match passed.rfind('\n') {
            None => self.column += passed.chars().count(),
            Some(newline) => {
                self.line += passed.matches('\n').count();
                self.column = passed[newline + 1..].chars().count() + 1;
            }
        }
        self.at = span.start;
        let covered = self.text[span].lines().next().unwrap_or("");
        (self.line, self.column, covered.chars().count().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let text = "a = 1\r\nüü = \"x\ny\"\n";
        let at = text.find('"').expect("there is a quote");
        let positions = |text: &str, spans: &[Range<usize>]| {
            let notes = Notes::new(text);
            for span in spans {
                notes.mistake(span.clone(), "", "wrong");
            }
            let mistakes = notes.into_mistakes().expect_err("mistakes").0;
            let position = |mistake: &Mistake| (mistake.line, mistake.column, mistake.width);
            mistakes.iter().map(position).collect::<Vec<_>>()
        };
        let spans = [999..1000, at..text.len(), 0..1, 8..8, at..at + 1, 9..10];
        assert_eq!(
            positions(text, &spans),
            [
                (1, 1, 1),
                (2, 1, 1),
                (2, 2, 1),
                (2, 6, 2),
                (2, 6, 1),
                (4, 1, 1)
            ]
        );
        assert_eq!(positions("", std::slice::from_ref(&(0..0))), [(1, 1, 1)]);
    }

    #[test]
    fn mistakes_quote_no_more_than_is_read() {
        let long = "ä".repeat(1 << 17);
        let mistakes = crate::policy::parse(&format!(
            "version = \"1\"\n\"{long}\" = 1\nrules = \"{long}\"\n"
        ));
        let mistakes = mistakes.expect_err("mistakes").0;
        assert_eq!(mistakes.len(), 2);
        for mistake in mistakes {
            assert!(mistake.to_string().chars().count() < 1100, "{mistake}");
        }
    }

    #[test]
    fn as_many_mistakes_as_a_file_has_room_for_are_found_at_once() {
        let began = std::time::Instant::now();
        let text = format!("version = \"1\"\nrules = [{}]\n", "1,".repeat(500_000));
        let mistakes = crate::policy::parse(&text).expect_err("mistakes").0;
        assert_eq!(mistakes.len(), 500_000);
        let last = &mistakes[499_999];
        assert_eq!((last.line, last.column), (2, 10 + 999_998), "{last}");
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }
}

//! What is wrong in a policy file, and where.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

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
pub(super) struct Notes<'t> {
    text: &'t str,
    mistakes: RefCell<Vec<Mistake>>,
    #[cfg(test)]
    seen: RefCell<Vec<(String, Seen)>>,
}

/// What the reader knows of a place, noted while it reads: the schema must say the same.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    /// It looks for this key.
    Key(&'static str),
    /// It insists on this key.
    Required(&'static str),
    /// It takes this word.
    Word(&'static str),
}

impl<'t> Notes<'t> {
    pub(super) fn new(text: &'t str) -> Notes<'t> {
        Notes {
            text,
            mistakes: RefCell::new(Vec::new()),
            #[cfg(test)]
            seen: RefCell::new(Vec::new()),
        }
    }

    #[cfg(test)]
    pub(super) fn saw(&self, place: &str, seen: Seen) {
        self.seen.borrow_mut().push((place.to_owned(), seen));
    }

    /// What the reader knows, with the place.
    #[cfg(test)]
    pub(super) fn seen(&self) -> Vec<(String, Seen)> {
        self.seen.borrow().clone()
    }

    /// Notes a mistake at a byte range of the text.
    pub(super) fn mistake(&self, span: Range<usize>, place: &str, message: impl Into<String>) {
        let (line, column, width) = position(self.text, span);
        self.mistakes.borrow_mut().push(Mistake {
            line,
            column,
            width,
            place: if place.is_empty() { "policy" } else { place }.to_owned(),
            message: message.into(),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    /// All that was noted, in the order of the file.
    pub(super) fn into_mistakes(self) -> Result<(), Mistakes> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(Mistakes(mistakes))
        }
    }
}

/// Line, column and width in characters of a byte range; the width ends with the line.
fn position(text: &str, span: Range<usize>) -> (usize, usize, usize) {
    let floor = |index: usize| {
        let mut index = index.min(text.len());
        while !text.is_char_boundary(index) {
            index -= 1;
        }
        index
    };
    let (start, end) = (floor(span.start), floor(span.end.max(span.start)));
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let covered = text[start..end].lines().next().unwrap_or("");
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
        covered.chars().count().max(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let text = "a = 1\r\nüü = \"x\ny\"\n";
        let at = text.find('"').expect("there is a quote");
        assert_eq!(position(text, at..text.len()), (2, 6, 2));
        assert_eq!(position(text, 0..1), (1, 1, 1));
        assert_eq!(position(text, 8..8), (2, 1, 1));
        assert_eq!(position(text, 999..1000), (4, 1, 1));
        assert_eq!(position("", 0..0), (1, 1, 1));
    }
}

//! What all commands print with: colours by meaning, tables that fit the terminal, JSON.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style};
use jiff::SignedDuration;
use restore_proof_core::policy::readable_duration;
pub(crate) use restore_proof_report::words::{count, one_line, printable};
use serde_json::Value;

pub(crate) const PLAIN: Style = Style::new();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const BLUE: Style = AnsiColor::Blue.on_default();

/// The narrowest a column of a table gets.
const NARROWEST: usize = 12;

/// Writes a text at once. That nobody reads on, as behind `| head`, is no error.
pub(crate) fn print(mut to: impl Write, text: &str) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Writes a text to standard output; colours only where they are wanted.
pub(crate) fn say(text: &str) -> io::Result<()> {
    print(anstream::stdout(), text)
}

/// Writes a text to standard error, likewise.
pub(crate) fn warn(text: &str) -> io::Result<()> {
    print(anstream::stderr(), text)
}

/// Writes the one JSON document of a command to standard output.
pub(crate) fn say_json(document: &Value) -> io::Result<()> {
    print(io::stdout(), &format!("{document:#}\n"))
}

/// Writes one JSON document on a line of its own.
pub(crate) fn say_json_line(document: &Value) -> io::Result<()> {
    print(io::stdout(), &format!("{document}\n"))
}

/// A text in a style.
pub(crate) fn paint(style: Style, text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("{style}{text}{style:#}")
}

/// `15m`, `1h30m`.
pub(crate) fn readable(duration: Duration) -> String {
    readable_duration(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX))
}

/// How long something took, for people: `84 ms`, `2.1 s`.
pub(crate) fn took(minutes: f64) -> String {
    let seconds = minutes * 60.0;
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.1} s")
    }
}

/// Columns of the terminal on standard output; none when it is none.
pub(crate) fn width() -> Option<usize> {
    let out = io::stdout();
    let size = out
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&out));
    match size {
        Some(Ok(size)) if size.ws_col >= 40 => Some(usize::from(size.ws_col)),
        Some(_) => Some(100),
        None => None,
    }
}

/// A field of a table. Its text is made printable.
pub(crate) struct Cell(pub(crate) Style, pub(crate) String);

/// Nothing special.
pub(crate) fn cell(text: impl Into<String>) -> Cell {
    Cell(PLAIN, text.into())
}

/// Rows in columns, two spaces between them. In a terminal the widest columns give way until a row fits, and their
/// texts go on below; elsewhere a row is a line.
pub(crate) fn table(indent: usize, rows: &[Vec<Cell>]) -> String {
    lay_out(indent, rows, width())
}

fn lay_out(indent: usize, rows: &[Vec<Cell>], width: Option<usize>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..columns)
        .map(|column| {
            let texts = rows.iter().filter_map(|row| row.get(column));
            texts
                .map(|cell| cell.1.chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    if let Some(width) = width {
        let room = width.saturating_sub(indent + 2 * columns.saturating_sub(1));
        while widths.iter().sum::<usize>() > room {
            // The first column names the row: it gives way last.
            let widest = widths.iter_mut().skip(1).max();
            match widest {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => match widths.first_mut() {
                    Some(first) if *first > NARROWEST => *first -= 1,
                    _ => break,
                },
            }
        }
    }
    let mut out = String::new();
    for row in rows {
        let wrapped: Vec<Vec<String>> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| wrap(&printable(&cell.1), *width))
            .collect();
        let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let mut text = " ".repeat(indent);
            for (column, (cell, lines)) in row.iter().zip(&wrapped).enumerate() {
                let piece = lines.get(line).map_or("", String::as_str);
                text += &paint(cell.0, piece);
                if wrapped[column + 1..].iter().any(|later| later.len() > line) {
                    text += &" ".repeat(widths[column] + 2 - piece.chars().count());
                }
            }
            out += text.trim_end();
            out.push('\n');
        }
    }
    out
}

/// A text as lines of at most `width` characters, broken between words, and within words that are longer.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_inclusive(' ') {
        let letters = word.trim_end().chars().count();
        if length > 0 && length + letters > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        for letter in word.chars() {
            if length == 0 && letter == ' ' {
                continue;
            }
            // The space behind the last word of a line may hang over.
            if length >= width && letter != ' ' {
                lines.push(std::mem::take(&mut line));
                length = 0;
            }
            line.push(letter);
            length += 1;
        }
    }
    lines.push(line);
    lines
        .into_iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_in_long_ones() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), [""]);
        assert_eq!(wrap("unbreakable", 4), ["unbr", "eaka", "ble"]);
        assert_eq!(wrap("a unbreakable", 4), ["a", "unbr", "eaka", "ble"]);
        assert_eq!(wrap("exactly seven", 7), ["exactly", "seven"]);
    }

    #[test]
    fn the_widest_column_gives_way() {
        let row = |texts: [&str; 3]| texts.map(cell).into_iter().collect::<Vec<_>>();
        let rows = [
            row(["key", "a value of many words that is long", "why"]),
            row(["another", "short", "because"]),
        ];
        let wide = "  key      a value of many words that is long  why\n  another  short                               because\n";
        assert_eq!(lay_out(2, &rows, None), wide);
        let narrow = lay_out(2, &rows, Some(40));
        assert!(
            narrow.lines().all(|line| line.chars().count() <= 40),
            "{narrow}"
        );
        assert!(narrow.starts_with("  key      a value of many"), "{narrow}");
    }

    #[test]
    fn no_control_character_reaches_a_terminal() {
        assert!(
            !lay_out(0, &[vec![cell("a\u{1b}[2Jb")]], None).contains("\u{1b}[2J"),
            "the text keeps its escape sequence"
        );
    }
}

//! What the terminal can do: colours, its width, redrawing.

use std::io::{self, IsTerminal as _, Write as _};

/// Where the demo prints to.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    terminal: bool,
    colours: bool,
    silent: bool,
}

/// What a text means, from which its colour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// Of less interest.
    Dim,
    /// A heading.
    Strong,
    /// As it should be.
    Good,
    /// Bad news about a backup.
    Bad,
    /// Neither good nor bad, or not over yet.
    Open,
}

impl Screen {
    /// Standard output, as it is; `silent` prints nothing.
    pub fn new(silent: bool) -> Screen {
        let terminal = std::io::stdout().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        // https://no-color.org: any value but the empty one turns colours off.
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Screen {
            terminal,
            colours: terminal && !unwanted,
            silent,
        }
    }

    /// Prints a text and ends its line.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn say(self, text: &str) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// Whether nothing is printed.
    pub fn is_silent(self) -> bool {
        self.silent
    }

    /// Whether lines that were printed can be printed over.
    pub fn can_redraw(self) -> bool {
        self.terminal
    }

    /// Columns of the terminal; a readable width where there is none.
    pub fn width(self) -> usize {
        let size = self
            .terminal
            .then(|| rustix::termios::tcgetwinsize(std::io::stdout()));
        match size {
            Some(Ok(size)) if size.ws_col >= 40 => usize::from(size.ws_col),
            _ => 100,
        }
    }

    /// A text in the colour of its meaning.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Dim => "2",
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Open => "33",
        };
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A text filled with spaces to a width, or cut to it.
pub fn fit(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length > width {
        let kept: String = text.chars().take(width.saturating_sub(1)).collect();
        return format!("{kept}…");
    }
    format!("{text}{}", " ".repeat(width - length))
}

/// A text as lines of at most `width` characters, broken between words.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A line as lines of at most `width` characters: its own spaces stay, what goes on is indented by `indent`.
pub fn fold(line: &str, width: usize, indent: usize) -> Vec<String> {
    // Room for one character at least.
    let width = width.max(indent + 1);
    let mut lines = Vec::new();
    let mut rest: Vec<char> = line.chars().collect();
    while rest.len() > width {
        let room = &rest[..=width.min(rest.len() - 1)];
        // Not within the indentation, where breaking wins nothing.
        let space = room.iter().rposition(|c| *c == ' ');
        let at = space.filter(|at| *at > indent).unwrap_or(width);
        let tail: String = rest.split_off(at).into_iter().collect();
        lines.push(rest.into_iter().collect::<String>().trim_end().to_owned());
        rest = format!("{}{}", " ".repeat(indent), tail.trim_start())
            .chars()
            .collect();
    }
    lines.push(rest.into_iter().collect());
    lines
}

/// A number with commas between its thousands.
pub fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let mut groups: Vec<&str> = Vec::new();
    groups.extend((!head.is_empty()).then_some(head));
    groups.extend((0..tail.len()).step_by(3).map(|at| &tail[at..at + 3]));
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_filled_and_cut_by_characters() {
        assert_eq!(fit("Malmö", 7), "Malmö  ");
        assert_eq!(fit("Göteborg", 5), "Göte…");
    }

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 22, 999, 1000, 100_000, 1_234_567].map(thousands);
        assert_eq!(texts, ["0", "22", "999", "1,000", "100,000", "1,234,567"]);
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), Vec::<String>::new());
        assert_eq!(wrap("unbreakable", 4), ["unbreakable"]);
    }

    #[test]
    fn a_folded_line_keeps_its_spaces_and_loses_no_letter() {
        assert_eq!(fold("name    one two", 20, 8), ["name    one two"]);
        assert_eq!(
            fold("name    one two", 12, 8),
            ["name    one", "        two"]
        );
        assert_eq!(
            fold("name    onetwo", 12, 8),
            ["name    onet", "        wo"]
        );
        assert_eq!(fold("", 12, 8), [""]);
    }
}

//! The report as Markdown (GitHub's, for its tables).

use super::outline::{Outline, Section, Tone};
use crate::words::one_line;

pub(super) fn shown(outline: &Outline) -> String {
    let mut out = format!("# {}\n\n", escaped(&outline.title));
    for words in &outline.lead {
        out += &format!("{}\n\n", escaped(words));
    }
    out += "| | | |\n|---|---|---|\n";
    for figure in &outline.figures {
        out += &format!(
            "| {} | {} | {} |\n",
            escaped(figure.label),
            stressed(&figure.value, figure.tone),
            escaped(&figure.about)
        );
    }
    for section in &outline.sections {
        out += &of_section(section);
    }
    out
}

fn of_section(section: &Section) -> String {
    let mut out = format!("\n## {}\n\n", escaped(section.title));
    for words in &section.says {
        out += &format!("{}\n\n", escaped(words));
    }
    if section.columns.is_empty() {
        return out.trim_end().to_owned() + "\n";
    }
    if section.rows.is_empty() {
        return out + "None.\n";
    }
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let titles = section.columns.iter();
    out += &line(titles.map(|column| escaped(column.title)).collect());
    let rules = section.columns.iter();
    let rules = rules.map(|column| if column.is_number { "---:" } else { "---" });
    out += &format!("|{}|\n", rules.collect::<Vec<_>>().join("|"));
    for row in &section.rows {
        let cells = row.cells.iter();
        out += &line(
            cells
                .map(|cell| stressed(&cell.full(), cell.tone))
                .collect(),
        );
    }
    out
}

fn stressed(text: &str, tone: Tone) -> String {
    let text = escaped(text);
    match tone {
        Tone::Bad if !text.is_empty() => format!("**{text}**"),
        Tone::Bad | Tone::Plain | Tone::Good | Tone::Open => text,
    }
}

/// A text that is only text in Markdown: no markup, no HTML, no link, and on one line.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in one_line(text).chars() {
        match letter {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '!' | '|' | '~'
            | '$' => {
                out.push('\\');
                out.push(letter);
            }
            // GitHub makes links of what looks like an address or a name.
            '@' => out += "&#64;",
            letter => out.push(letter),
        }
    }
    out.replace("://", "&#58;//").replace("www.", "www&#46;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_says_is_text() {
        assert_eq!(escaped("a|b\n<img onerror>"), "a\\|b &lt;img onerror&gt;");
        assert_eq!(
            escaped("[x](javascript:y) ![z](https://e.example) @all"),
            "\\[x\\]\\(javascript:y\\) \\!\\[z\\]\\(https&#58;//e.example\\) &#64;all"
        );
    }
}

//! Mistakes of a policy file as a compiler would show them.

use std::fmt::Write as _;

use restore_proof_core::policy::{Mistake, Mistakes};

use crate::output::{BLUE, BOLD, RED, printable};

/// The mistakes with the lines they stand in.
pub(crate) fn told(file: &str, text: &str, mistakes: &Mistakes) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let digits = mistakes
        .0
        .iter()
        .map(|mistake| mistake.line)
        .max()
        .unwrap_or(1)
        .to_string()
        .len();
    let mut out = String::new();
    for mistake in &mistakes.0 {
        let Mistake {
            line,
            column,
            width,
            place,
            message,
        } = mistake;
        let source = lines.get(line.saturating_sub(1)).copied().unwrap_or("");
        // Tabs stay tabs, so that the caret stands below its place however wide they are.
        let indent: String = source
            .chars()
            .take(column - 1)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let carets = "^".repeat(*width);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "{BOLD}{file}:{line}:{column}:{BOLD:#} {BLUE}{}:{BLUE:#} {}\n\
             {BLUE}{line:>digits$} |{BLUE:#} {}\n\
             {BLUE}{:>digits$} |{BLUE:#} {indent}{RED}{carets}{RED:#}\n",
            printable(place),
            printable(message),
            printable(source),
            ""
        );
    }
    out
}

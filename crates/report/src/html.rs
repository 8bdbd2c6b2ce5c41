//! The report as one page that needs nothing else: no other file, no network, and no script to be read.

use askama::Template;
use sha2::{Digest as _, Sha256};

use restore_proof_core::report::Report;

use super::chart::{self, Chart, HEIGHT, LEFT, WIDTH};
use super::outline::{Cell, Outline, Tone};

/// What makes tables sortable and the like. The page's policy allows this script and this style, and no other.
const SCRIPT: &str = include_str!("../templates/report.js");
const STYLE: &str = include_str!("../templates/report.css");

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    outline: &'a Outline,
    verdicts: Option<Chart>,
    recovery_times: Option<Chart>,
    script_hash: String,
    style_hash: String,
}

/// The page.
pub(super) fn shown(report: &Report, outline: &Outline) -> String {
    let page = Page {
        outline,
        verdicts: (!report.days.is_empty()).then(|| chart::verdicts(report)),
        recovery_times: chart::recovery_times(report),
        script_hash: base64(&Sha256::digest(SCRIPT)),
        style_hash: base64(&Sha256::digest(STYLE)),
    };
    // Whoever prints the page on a terminal sends it no control sequence of a record.
    let is_harmless = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\t');
    page.render()
        .expect("a template is written to memory")
        .replace(|letter| !is_harmless(letter), "\u{fffd}")
}

impl Page<'_> {
    /// The chart that stands before the table of a section.
    fn chart(&self, id: &str) -> Option<&Chart> {
        match id {
            "totals" => self.verdicts.as_ref(),
            "recovery-time" => self.recovery_times.as_ref(),
            _ => None,
        }
    }
}

impl Tone {
    /// Its class in the page's style.
    fn class(self) -> &'static str {
        match self {
            Tone::Plain => "plain",
            Tone::Good => "good",
            Tone::Open => "open",
            Tone::Bad => "bad",
        }
    }
}

impl Cell {
    /// Whether it has a word so long that it has to be broken, such as an ARN.
    fn is_long(&self) -> bool {
        let text = self.full();
        text.split_whitespace()
            .any(|word| word.chars().count() > 20)
    }

    /// Whether it fits a line, such as a point in time or the id of a validation.
    fn is_short(&self) -> bool {
        self.full().chars().count() <= 20
    }
}

/// Base64 with padding (RFC 4648, section 4), as the page's policy wants hashes.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let number = three
            .iter()
            .fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        let number = number << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize];
            out.push(if place > three.len() {
                '='
            } else {
                letter.into()
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}

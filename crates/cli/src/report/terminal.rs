//! The report on a terminal.

use restore_proof_report::{Outline, Section, Tone};

use crate::output::{self, BOLD, Cell, DIM, GREEN, PLAIN, RED, YELLOW, cell, paint};

/// The widest that prose runs.
const PROSE: usize = 100;

pub(super) fn shown(outline: &Outline) -> String {
    let mut out = format!("{}\n", paint(BOLD, &outline.title));
    for words in &outline.lead {
        out += &prose(words);
    }
    out.push('\n');
    let figures: Vec<Vec<Cell>> = outline
        .figures
        .iter()
        .map(|figure| {
            vec![
                cell(figure.label),
                Cell(style(figure.tone), figure.value.clone()),
                Cell(DIM, figure.about.clone()),
            ]
        })
        .collect();
    out += &output::table(2, &figures);
    for section in &outline.sections {
        out += &of_section(section);
    }
    out
}

fn of_section(section: &Section) -> String {
    let mut out = format!("\n{}\n", paint(BOLD, section.title));
    for words in &section.says {
        out += &prose(words);
    }
    if section.rows.is_empty() {
        if !section.columns.is_empty() {
            out += &format!("  {}\n", paint(DIM, "none"));
        }
        return out;
    }
    let titles = section
        .columns
        .iter()
        .map(|column| Cell(DIM, column.title.to_owned()));
    let mut rows = vec![titles.collect::<Vec<_>>()];
    rows.extend(section.rows.iter().map(|row| {
        let cells = row.cells.iter();
        cells
            .map(|cell| Cell(style(cell.tone), output::one_line(&cell.full())))
            .collect::<Vec<_>>()
    }));
    out + &output::table(2, &rows)
}

fn prose(words: &str) -> String {
    let width = output::width().unwrap_or(PROSE).min(PROSE);
    output::wrap(&output::printable(words), width - 2)
        .iter()
        .map(|line| format!("  {}\n", paint(DIM, line)))
        .collect()
}

fn style(tone: Tone) -> clap::builder::styling::Style {
    match tone {
        Tone::Plain => PLAIN,
        Tone::Good => GREEN,
        Tone::Open => YELLOW,
        Tone::Bad => RED,
    }
}

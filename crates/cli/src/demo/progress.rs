//! One line per copy, from landing to closed, drawn while it happens.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use restore_proof_local_aws::World;

use super::record::Record;
use super::screen::{Screen, Tone, fit};
use super::story::Case;

/// The progress of all cases.
pub struct Progress {
    screen: Screen,
    began: Instant,
    lines: Vec<Line>,
    drawn: bool,
}

struct Line {
    case: Case,
    landed: Option<Instant>,
    step: Step,
    /// How long it took until it was closed.
    took: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
struct Step {
    text: String,
    tone: Tone,
    closed: bool,
}

impl Step {
    fn open(text: &str) -> Step {
        Step {
            text: text.to_owned(),
            tone: Tone::Open,
            closed: false,
        }
    }
}

impl Progress {
    /// Nothing has landed yet.
    pub fn new(screen: Screen, cases: Vec<Case>) -> Progress {
        let lines = cases
            .into_iter()
            .map(|case| Line {
                case,
                landed: None,
                step: Step::open("not yet there"),
                took: None,
            })
            .collect();
        Progress {
            screen,
            began: Instant::now(),
            lines,
            drawn: false,
        }
    }

    /// A case's copy has landed.
    pub fn landed(&mut self, name: &str) {
        for line in self.lines.iter_mut().filter(|line| line.case.name == name) {
            line.landed = Some(Instant::now());
        }
    }

    /// Looks at the world and draws what has changed.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn draw(&mut self, world: &World) -> io::Result<()> {
        let records = Record::all(world);
        let mut news = Vec::new();
        for (number, line) in self.lines.iter_mut().enumerate() {
            let step = step(&line.case, line.landed, world, &records);
            if step.closed && line.took.is_none() {
                line.took = line.landed.map(|at| at.elapsed());
            }
            if step != line.step {
                line.step = step;
                news.push(number);
            }
        }
        if self.screen.is_silent() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        if self.screen.can_redraw() {
            if self.drawn {
                write!(out, "\x1b[{}A", self.lines.len())?;
            }
            for line in &self.lines {
                writeln!(out, "\r{}\x1b[K", self.live(line))?;
            }
            self.drawn = true;
        } else {
            for line in news.into_iter().map(|number| &self.lines[number]) {
                let at = self.began.elapsed().as_secs_f64();
                writeln!(
                    out,
                    "  {at:5.1} s  {}  {}",
                    fit(line.case.name, 14),
                    line.step.text
                )?;
            }
        }
        out.flush()
    }

    /// Whether every case has its verdict and its final cleanup.
    pub fn all_closed(&self) -> bool {
        self.lines.iter().all(|line| line.step.closed)
    }

    /// The copies that are not closed, with the step they are in.
    pub fn unfinished(&self) -> Vec<String> {
        let open = self.lines.iter().filter(|line| !line.step.closed);
        open.map(|line| format!("{} ({})", line.case.name, line.step.text))
            .collect()
    }

    fn live(&self, line: &Line) -> String {
        let mark = match (line.step.closed, line.landed) {
            (true, _) => "●",
            (false, Some(_)) => {
                ["◐", "◓", "◑", "◒"][self.began.elapsed().as_millis() as usize / 150 % 4]
            }
            (false, None) => "·",
        };
        let elapsed = line.took.or_else(|| line.landed.map(|at| at.elapsed()));
        let elapsed =
            elapsed.map_or_else(String::new, |time| format!("{:.1} s", time.as_secs_f64()));
        // The last column stays free: a full line wraps on some terminals, and redrawing goes wrong.
        let width = self.screen.width().saturating_sub(1);
        let step = fit(&line.step.text, 34);
        let before = format!("  {mark} {}  ", fit(line.case.name, 14));
        let after = format!("  {elapsed:>7}  ");
        let room = width.saturating_sub(before.chars().count() + 34 + after.chars().count());
        let about = fit(line.case.about, room);
        let tone = if line.landed.is_none() {
            Tone::Dim
        } else {
            line.step.tone
        };
        format!(
            "{before}{}{after}{}",
            self.screen.paint(tone, &step),
            self.screen.paint(Tone::Dim, about.trim_end())
        )
    }
}

/// Where a case stands, by what AWS knows of it: its restore jobs and its record.
fn step(case: &Case, landed: Option<Instant>, world: &World, records: &[Record]) -> Step {
    let Some(landed) = landed else {
        return Step::open("not yet there");
    };
    if let Some(record) = records.iter().find(|record| record.is_of(case)) {
        let tone = match record.verdict.as_str() {
            "passed" => Tone::Good,
            "failed" | "restore_failed" | "copy_failed" => Tone::Bad,
            _ => Tone::Plain,
        };
        let (text, closed) = match record.cleanup.as_str() {
            "pending" => (format!("{}, deleting", record.verdict), false),
            cleanup => (
                format!("{}, {}", record.verdict, cleanup.replace('_', " ")),
                true,
            ),
        };
        return Step { text, tone, closed };
    }
    let restores = case.restores_of_ours(world);
    let ours = restores.last();
    Step::open(match ours.map(|job| job.status.as_str()) {
        // More restores at one time than the template allows: it waits for a slot.
        None if case.restores > 0 && landed.elapsed() > Duration::from_secs(1) => {
            "landed, waits for its turn"
        }
        None => "landed",
        Some("PENDING" | "RUNNING") => "restoring",
        Some("COMPLETED") => "restored, checking",
        Some(_) => "restore failed",
    })
}

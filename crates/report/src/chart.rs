//! The two charts of the page, as shapes: verdicts by day, and recovery times by day.

use jiff::ToSpan as _;
use jiff::civil::Date;
use restore_proof_core::report::{Day, Report};
use restore_proof_core::verdict::Verdict;

use super::outline::span;

/// Width and height of a chart; the page scales it.
pub(super) const WIDTH: f64 = 720.0;
pub(super) const HEIGHT: f64 = 220.0;
/// Room for the numbers at the left, also where a phone writes them large, and for the days below.
pub(super) const LEFT: f64 = 76.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 18.0;
/// The most columns: days of a longer period share one.
const COLUMNS: u32 = 92;

/// A chart.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// What is seen in it, for those who do not see it.
    pub(super) about: String,
    /// What the colours mean: class and words.
    pub(super) legend: Vec<(&'static str, String)>,
    pub(super) bars: Vec<Bar>,
    pub(super) dots: Vec<Dot>,
    /// Lines across, with their words.
    pub(super) scale: Vec<(String, String)>,
    /// Days below, with their places.
    pub(super) days: Vec<(String, String)>,
}

/// A rectangle.
pub(super) struct Bar {
    pub(super) class: &'static str,
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
    pub(super) words: String,
}

/// A circle.
pub(super) struct Dot {
    pub(super) class: &'static str,
    pub(super) x: String,
    pub(super) y: String,
    pub(super) words: String,
}

/// Verdicts in the order in which they are stacked, good ones below, and the class of each.
const STACK: [(Verdict, &str); 7] = [
    (Verdict::Passed, "passed"),
    (Verdict::NotTested, "not-tested"),
    (Verdict::Unchecked, "unchecked"),
    (Verdict::Inconclusive, "inconclusive"),
    (Verdict::CopyFailed, "copy-failed"),
    (Verdict::RestoreFailed, "restore-failed"),
    (Verdict::Failed, "failed"),
];

/// Days that are shown as one.
struct Column<'a> {
    first: Date,
    last: Date,
    days: Vec<&'a Day>,
}

impl Column<'_> {
    fn name(&self) -> String {
        if self.first == self.last {
            self.first.to_string()
        } else {
            format!("{} to {}", self.first, self.last)
        }
    }

    fn count(&self, verdict: Verdict) -> u64 {
        let of = |day: &&Day| day.verdicts.get(verdict.as_str()).copied();
        self.days.iter().filter_map(of).sum()
    }
}

fn columns(report: &Report) -> Vec<Column<'_>> {
    let days = report.period.days();
    let each = days.div_ceil(COLUMNS).max(1);
    let mut columns: Vec<Column<'_>> = (0..days.div_ceil(each))
        .filter_map(|number| {
            let first = report
                .period
                .from
                .checked_add(i64::from(number * each).days());
            let first = first.ok()?;
            let last = first.checked_add(i64::from(each - 1).days()).ok()?;
            Some(Column {
                first,
                last: last.min(report.period.to),
                days: Vec::new(),
            })
        })
        .collect();
    for day in &report.days {
        let since = (day.day - report.period.from).get_days();
        let at = usize::try_from(since)
            .ok()
            .map(|since| since / each as usize);
        if let Some(column) = at.and_then(|at| columns.get_mut(at)) {
            column.days.push(day);
        }
    }
    columns
}

/// Verdicts by day, one upon the other.
pub(super) fn verdicts(report: &Report) -> Chart {
    let columns = columns(report);
    let sum = |column: &Column<'_>| {
        STACK
            .iter()
            .map(|(verdict, _)| column.count(*verdict))
            .sum::<u64>()
    };
    let most = columns.iter().map(sum).max().unwrap_or(0).max(1);
    let scale = whole(most as f64);
    let top = scale.last().copied().unwrap_or(1.0);
    let step = (WIDTH - LEFT) / columns.len().max(1) as f64;
    let place = |count: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - count / top);
    let mut bars = Vec::new();
    for (number, column) in columns.iter().enumerate() {
        let mut below = 0;
        for (verdict, class) in STACK {
            let count = column.count(verdict);
            if count == 0 {
                continue;
            }
            let (from, to) = (place(below as f64), place((below + count) as f64));
            bars.push(Bar {
                class,
                x: at(LEFT + step * number as f64 + step * 0.1),
                y: at(to),
                width: at(step * 0.8),
                height: at(from - to),
                words: format!("{}: {count} {}", column.name(), verdict.as_str()),
            });
            below += count;
        }
    }
    let total = |verdict: Verdict| {
        columns
            .iter()
            .map(|column| column.count(verdict))
            .sum::<u64>()
    };
    let there = STACK.iter().filter(|(verdict, _)| total(*verdict) > 0);
    let legend: Vec<_> = there
        .map(|(verdict, class)| {
            (
                *class,
                format!("{} ({})", verdict.as_str(), total(*verdict)),
            )
        })
        .collect();
    let words: Vec<_> = legend.iter().map(|(_, words)| words.as_str()).collect();
    Chart {
        title: "Verdicts by day",
        about: format!("Verdicts by day: {}.", words.join(", ")),
        legend,
        bars,
        dots: Vec::new(),
        scale: scale
            .iter()
            .map(|value| (at(place(*value)), format!("{value:.0}")))
            .collect(),
        days: names(&columns, step),
    }
}

/// Median and worst recovery by day; on a logarithmic scale when they lie far apart.
pub(super) fn recovery_times(report: &Report) -> Option<Chart> {
    let times = report.recovery_time.as_ref()?;
    let columns = columns(report);
    let step = (WIDTH - LEFT) / columns.len().max(1) as f64;
    let least = report.days.iter().filter_map(|day| day.median);
    let least = least.fold(f64::INFINITY, f64::min).max(1.0 / 60.0);
    let most = times.longest.max(times.target.unwrap_or(0.0)).max(least);
    let is_wide = most / least > 50.0;
    let scale = if is_wide {
        marks(least, most)
    } else {
        spans(most)
    };
    let (low, high) = match (is_wide, scale.first(), scale.last()) {
        (true, Some(low), Some(high)) if high > low => (low.log10(), high.log10()),
        (_, _, high) => (0.0, high.copied().unwrap_or(1.0)),
    };
    let place = |minutes: f64| {
        let height = if is_wide {
            minutes.max(1.0 / 60.0).log10()
        } else {
            minutes
        };
        let share = ((height - low) / (high - low)).clamp(0.0, 1.0);
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share)
    };
    let mut bars = Vec::new();
    let mut dots = Vec::new();
    if let Some(target) = times.target {
        bars.push(Bar {
            class: "target",
            x: at(LEFT),
            y: at(place(target) - 1.0),
            width: at(WIDTH - LEFT),
            height: at(2.0),
            words: format!("the longest target: {}", span(target)),
        });
    }
    for (number, column) in columns.iter().enumerate() {
        let middle = LEFT + step * (number as f64 + 0.5);
        let worst = column.days.iter().filter_map(|day| day.longest);
        let Some(worst) = worst.reduce(f64::max) else {
            continue;
        };
        // Of several days the largest median: their values are not at hand here.
        let median = column
            .days
            .iter()
            .filter_map(|day| day.median)
            .reduce(f64::max);
        let median = median.unwrap_or(worst);
        bars.push(Bar {
            class: "reach",
            x: at(middle - 1.0),
            y: at(place(worst)),
            width: at(2.0),
            height: at(place(median) - place(worst)),
            words: String::new(),
        });
        for (class, minutes, what) in [("worst", worst, "worst"), ("median", median, "median")] {
            dots.push(Dot {
                class,
                x: at(middle),
                y: at(place(minutes)),
                words: format!("{}: {what} {}", column.name(), span(minutes)),
            });
        }
    }
    let mut legend = vec![
        ("median", "median".to_owned()),
        ("worst", "worst".to_owned()),
    ];
    legend.extend(
        times
            .target
            .map(|target| ("target", format!("longest target, {}", span(target)))),
    );
    Some(Chart {
        title: "Recovery time by day",
        about: format!(
            "Recovery time by day: average {}, median {}, worst {}.",
            span(times.average),
            span(times.median),
            span(times.longest)
        ),
        legend,
        bars,
        dots,
        scale: scale
            .iter()
            .map(|value| (at(place(*value)), round(*value)))
            .collect(),
        days: names(&columns, step),
    })
}

/// A length or a place, to a tenth.
fn at(value: f64) -> String {
    format!("{value:.1}")
}

/// Multiples of a step from 0 to one that is at least so large.
fn steps(step: f64, most: f64) -> Vec<f64> {
    let count = (most / step).ceil().max(1.0) as u32;
    (0..=count.min(10))
        .map(|number| f64::from(number) * step)
        .collect()
}

/// 1, 2 or 5 times a power of ten: the first that is at least so large.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let mut steps = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power);
    steps.find(|step| *step >= least).unwrap_or(least)
}

/// About five round counts.
fn whole(most: f64) -> Vec<f64> {
    steps(step((most / 4.0).max(1.0)), most)
}

/// A day, in minutes.
const DAY: f64 = 24.0 * 60.0;

/// About five round times, minutes.
fn spans(most: f64) -> Vec<f64> {
    const SECONDS: [f64; 5] = [1.0, 5.0, 10.0, 15.0, 30.0];
    const MINUTES: [f64; 11] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 180.0, 360.0, 720.0,
    ];
    let rough = most / 4.0;
    let seconds = SECONDS.into_iter().map(|seconds| seconds / 60.0);
    let known = seconds.chain(MINUTES).find(|step| *step >= rough);
    steps(
        known.unwrap_or_else(|| DAY * step((rough / DAY).max(1.0))),
        most,
    )
}

/// Round times around both, each some ten times the one before; about six of them.
fn marks(least: f64, most: f64) -> Vec<f64> {
    const FIRST: [f64; 6] = [1.0 / 60.0, 10.0 / 60.0, 1.0, 10.0, 60.0, 600.0];
    let days = std::iter::successors(Some(5.0 * DAY), |before| Some(before * 10.0));
    let all: Vec<f64> = FIRST
        .into_iter()
        .chain(days.take_while(|mark| mark.is_finite()))
        .collect();
    let low = all.iter().rposition(|mark| *mark <= least).unwrap_or(0);
    let high = all.iter().position(|mark| *mark >= most);
    let around = &all[low..=high.unwrap_or(all.len() - 1)];
    let Some((last, others)) = around.split_last() else {
        return Vec::new();
    };
    let step = (others.len() / 5).max(1);
    others.iter().step_by(step).chain([last]).copied().collect()
}

/// Minutes at a line of the scale, where a round number has no fraction: `30 s`, `10 min`, `1 h`, `5 days`.
fn round(minutes: f64) -> String {
    let words = match minutes {
        60.0..2880.0 => format!("{:.1} h", minutes / 60.0),
        minutes => span(minutes),
    };
    words.replace(".0 ", " ")
}

/// Some of the days, with their places.
fn names(columns: &[Column<'_>], step: f64) -> Vec<(String, String)> {
    let every = columns.len().div_ceil(6).max(1);
    columns
        .iter()
        .enumerate()
        .step_by(every)
        .map(|(number, column)| {
            let day = column.first.strftime("%b %-d").to_string();
            (at(LEFT + step * (number as f64 + 0.5)), day)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn scales_reach_over_what_they_show() {
        for (scale, least) in [(whole as fn(f64) -> Vec<f64>, 1.0), (spans, 0.02)] {
            for most in [least, 3.0, 7.0, 99.0, 1e4, 1e9] {
                let scale = scale(most);
                assert!(scale.len() >= 2 && scale.len() <= 11, "{most}: {scale:?}");
                assert!(*scale.last().unwrap() >= most, "{most}: {scale:?}");
            }
        }
        for most in [60.0, 1e300] {
            let scale = marks(0.5, most);
            assert!(scale.len() <= 12 && scale[0] <= 0.5, "{scale:?}");
            assert!(*scale.last().unwrap() >= most, "{scale:?}");
        }
    }

    #[test]
    fn a_scale_has_round_words_and_none_twice() {
        let words = |scale: Vec<f64>| scale.into_iter().map(round).collect::<Vec<_>>();
        assert_eq!(words(spans(155.0)), ["0 s", "1 h", "2 h", "3 h"]);
        assert_eq!(
            words(spans(50.0)),
            ["0 s", "15 min", "30 min", "45 min", "1 h"]
        );
        assert_eq!(
            words(spans(9000.0)),
            ["0 s", "2 days", "4 days", "6 days", "8 days"]
        );
        assert_eq!(
            words(marks(0.5, 9000.0)),
            [
                "10 s", "1 min", "10 min", "1 h", "10 h", "5 days", "50 days"
            ]
        );
        assert_eq!(whole(1.0), [0.0, 1.0]);
    }
}

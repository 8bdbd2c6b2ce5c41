//! Six copies land together and two may be restored at a time: how many were restored when.

use jiff::Timestamp;
use restore_proof_local_aws::World;

use super::record::Record;
use super::screen::{Screen, Tone, fit};
use super::story::{Case, RUSH_LIMIT};

/// What the rush was like.
pub struct Rush {
    /// When the copies landed.
    landed: Timestamp,
    /// Since when and until when there was a restore of each copy, by the world's books.
    spans: Vec<(&'static str, Option<Span>)>,
    /// The longest time that a record says a copy waited for its turn, seconds.
    pub longest_wait: f64,
}

/// From the start of a restore job to the end of what it made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    from: Timestamp,
    /// `None`: it has not ended.
    to: Option<Timestamp>,
}

impl Rush {
    /// Looks it up in the world.
    pub fn seen(world: &World, landed: Timestamp, cases: &[Case]) -> Rush {
        let waits = Record::all(world).into_iter().filter_map(|record| {
            let of_rush = cases.iter().any(|case| record.is_of(case));
            record.queue_minutes.filter(|_| of_rush)
        });
        let longest_wait = waits.fold(0.0, f64::max) * 60.0;
        Rush {
            landed,
            spans: cases
                .iter()
                .map(|case| (case.name, span(world, case)))
                .collect(),
            longest_wait,
        }
    }

    /// The most restores there were at one time.
    pub fn most_at_once(&self) -> usize {
        let spans: Vec<Span> = self.spans.iter().filter_map(|(_, span)| *span).collect();
        most_at_once(&spans)
    }

    /// What is not as it must be.
    pub fn faults(&self) -> Vec<String> {
        let most = self.most_at_once();
        let limit = RUSH_LIMIT as usize;
        if most == limit {
            return Vec::new();
        }
        vec![format!(
            "of the copies that landed together {most} were restored at one time, and it must be {limit}"
        )]
    }

    /// A line for each copy: when it waited, and when there was a restore of it.
    pub fn drawn(&self, screen: Screen) -> String {
        let room = screen.width().saturating_sub(36).clamp(20, 64);
        let ends = self.spans.iter().filter_map(|(_, span)| span.as_ref()?.to);
        let last = ends.max().unwrap_or(self.landed);
        let seconds = |at: Timestamp| at.duration_since(self.landed).as_secs_f64().max(0.0);
        let whole = seconds(last).max(0.1);
        // In 100 columns at most, so that no conversion loses anything.
        let column =
            |at: Timestamp| ((seconds(at) / whole * room as f64).round() as usize).min(room);
        let mut text = String::new();
        for (name, span) in &self.spans {
            let Some(span) = span else {
                text.push_str(&format!("  {}  never restored\n", fit(name, 8)));
                continue;
            };
            let from = column(span.from);
            let to = span.to.map_or(room, column).max(from + 1);
            let waits = screen.paint(Tone::Dim, &"·".repeat(from));
            let there = screen.paint(Tone::Good, &"█".repeat(to - from));
            let until = span.to.map_or("still there".to_owned(), |to| {
                format!("gone {:.1} s", seconds(to))
            });
            text.push_str(&format!(
                "  {}  {waits}{there}{}  {:>5.1} s  {until}\n",
                fit(name, 8),
                " ".repeat((room + 1).saturating_sub(to)),
                seconds(span.from),
            ));
        }
        text.push_str(&format!(
            "\n  {} copies landed together under MaxConcurrentRestores = {RUSH_LIMIT}: {} restores at one time at most,\n  \
             and the last copy waited {:.1} s for its turn.\n",
            self.spans.len(),
            self.most_at_once(),
            self.longest_wait,
        ));
        text
    }
}

/// When the first restore of a copy began, and when the machine it made was gone.
fn span(world: &World, case: &Case) -> Option<Span> {
    let jobs = case.restores_of_ours(world);
    let machines: Vec<&str> = jobs
        .iter()
        .filter_map(|job| job.created_resource_arn.as_deref()?.rsplit('/').next())
        .collect();
    // A termination is asked for, and takes its time.
    let takes = world.options().deletion_takes;
    let ends = world.deletions().into_iter().filter_map(|deletion| {
        machines
            .contains(&deletion.id.as_str())
            .then(|| deletion.at.checked_add(takes).ok())?
    });
    let all_ended = machines.len() == jobs.len();
    Some(Span {
        from: jobs.first()?.created_at,
        to: ends.max().filter(|_| all_ended),
    })
}

/// The most spans that have a moment in common.
fn most_at_once(spans: &[Span]) -> usize {
    let at = |moment: Timestamp| {
        spans
            .iter()
            .filter(|span| span.from <= moment && span.to.is_none_or(|to| moment < to))
            .count()
    };
    spans.iter().map(|span| at(span.from)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_ends_as_another_begins_does_not_overlap() {
        let span = |from, to: Option<i64>| Span {
            from: Timestamp::from_second(from).unwrap(),
            to: to.map(|to| Timestamp::from_second(to).unwrap()),
        };
        assert_eq!(most_at_once(&[]), 0);
        assert_eq!(most_at_once(&[span(0, Some(5)), span(5, Some(9))]), 1);
        assert_eq!(most_at_once(&[span(0, Some(6)), span(5, Some(9))]), 2);
        let three = [
            span(0, None),
            span(2, Some(9)),
            span(3, Some(4)),
            span(9, Some(10)),
        ];
        assert_eq!(most_at_once(&three), 3);
    }
}

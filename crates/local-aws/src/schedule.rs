//! EventBridge Scheduler: the function's schedules, faster than in life.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::task::JoinHandle;

use crate::runtime_api::Lambda;
use crate::template::Schedule;

const DAY: u64 = 24 * 60 * 60;

/// The time between two runs of a `rate(…)` expression, or of a `cron(…)` for an hour and minute of each day, or of one day of
/// the week ("Schedule types in EventBridge Scheduler", EventBridge Scheduler user guide). Which hour that is does not matter
/// here.
///
/// # Errors
/// When it is another one.
pub fn interval(expression: &str) -> Result<Duration> {
    if let Some(seconds) = cron(expression) {
        return Ok(Duration::from_secs(seconds));
    }
    let rate = expression
        .strip_prefix("rate(")
        .and_then(|rest| rest.strip_suffix(')'));
    let parsed = rate.and_then(|rate| {
        let (number, unit) = rate.trim().split_once(' ')?;
        let seconds = match unit.trim() {
            "minute" | "minutes" => 60,
            "hour" | "hours" => 60 * 60,
            "day" | "days" => DAY,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(seconds)
    });
    match parsed {
        Some(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => bail!(
            "the schedule `{expression}` is not known here: only rate(…) of minutes, hours or days is, and cron(…) for a minute of each day \
             or of a day of the week"
        ),
    }
}

/// None if it is none that is known here.
fn cron(expression: &str) -> Option<u64> {
    let fields = expression.strip_prefix("cron(")?.strip_suffix(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let [minute, hour, days @ ..] = fields.as_slice() else {
        return None;
    };
    let is_in = |field: &str, most: u8| field.parse().is_ok_and(|number: u8| number <= most);
    if !is_in(minute, 59) || !is_in(hour, 23) {
        return None;
    }
    match days {
        ["*", "*", "?", "*"] => Some(DAY),
        [
            "?",
            "*",
            "SUN" | "MON" | "TUE" | "WED" | "THU" | "FRI" | "SAT",
            "*",
        ] => Some(7 * DAY),
        _ => None,
    }
}

/// Running schedules. Dropping them stops them.
#[derive(Debug)]
pub struct Schedules {
    tasks: Vec<JoinHandle<()>>,
}

impl Schedules {
    /// Starts schedules that run `factor` times as often as they say, the first time after one interval.
    #[must_use]
    pub fn start(schedules: &[Schedule], factor: u32, lambda: &Lambda) -> Schedules {
        let tasks = schedules.iter().map(|schedule| {
            let (every, input, lambda) = (
                schedule.every / factor.max(1),
                schedule.input.clone(),
                lambda.clone(),
            );
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(every).await;
                    lambda.invoke_later(input.clone());
                }
            })
        });
        Schedules {
            tasks: tasks.collect(),
        }
    }
}

impl Drop for Schedules {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!(
            interval("rate(5 minutes)").unwrap(),
            Duration::from_secs(300)
        );
        assert_eq!(interval("rate(1 hour)").unwrap(), Duration::from_secs(3600));
        assert_eq!(
            interval("rate(2 days)").unwrap(),
            Duration::from_secs(172_800)
        );
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(interval("cron(0 6 * * ? *)").unwrap(), day);
        assert_eq!(interval("cron(59 23 ? * MON *)").unwrap(), 7 * day);
        for wrong in [
            "rate(0 minutes)",
            "rate(5)",
            "rate(5 fortnights)",
            "cron(0 1 * * * *)",
            "cron(0 24 * * ? *)",
            "cron(0/5 1 * * ? *)",
            "cron(0 1 1 * ? *)",
            "cron(0 1 ? * MON-FRI *)",
            "cron(0 1 * * ?)",
            "cron()",
            "5 minutes",
        ] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}

//! The message about a report that the function made: its key figures, and where it lies.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::chat::Chat;
use super::{Message, one_line, readable_minutes, subject};
use crate::report::{Period, Report, Rhythm};

/// The message about a report. `page_uri` is where its page lies, `s3://bucket/…/report.html`; `link` opens it in a browser,
/// where there is such a link.
pub fn of_report(rhythm: Rhythm, report: &Report, page_uri: &str, link: Option<&str>) -> Message {
    let Report {
        totals, coverage, ..
    } = report;
    let bad = totals.failed + totals.restore_failed + totals.copy_failed;
    let unproved = coverage.never_proved + coverage.never_landed;
    let of = of_period(rhythm, report.period);
    let headline = if totals.recovery_points == 0 {
        "nothing was validated".to_owned()
    } else {
        format!(
            "{} of {} resources proved, {bad} bad, {} inconclusive",
            coverage.proved_in_period, coverage.resources, totals.inconclusive
        )
    };
    let mut body = format!("REPORT: {of}: {headline}\n\n");
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(body, "{name:<16}{value}");
    };
    line(
        "validations",
        &format!(
            "{}: {} proved, {} failed, {} restore failed, {} copy failed, {} inconclusive, {} unchecked, {} not tested",
            totals.recovery_points,
            totals.proved,
            totals.failed,
            totals.restore_failed,
            totals.copy_failed,
            totals.inconclusive,
            totals.unchecked,
            totals.not_tested
        ),
    );
    let share = coverage
        .share
        .map_or_else(String::new, |share| format!(", {share:.1} %"));
    line(
        "coverage",
        &format!(
            "{} of {} resources proved in these days{share}; {} before, {unproved} never, {} overdue",
            coverage.proved_in_period, coverage.resources, coverage.proved_before, coverage.overdue
        ),
    );
    line(
        "recovery time",
        &report.recovery_time.as_ref().map_or_else(
            || "nothing was measured".to_owned(),
            |times| {
                format!(
                    "{} at worst, {} on average, {} missed their target",
                    readable_minutes(times.longest),
                    readable_minutes(times.average),
                    times.missed
                )
            },
        ),
    );
    line(
        "left behind",
        &match report.left_behind.count {
            0 => "nothing".to_owned(),
            left => format!("{left} restored and still there"),
        },
    );
    if report.read.unreadable > 0 {
        let places = report.read.unreadable_places.first();
        let first = places.map_or_else(String::new, |place| format!(", first {}", one_line(place)));
        line(
            "unreadable",
            &format!("{} of the records{first}", report.read.unreadable),
        );
    }
    if let Some(why) = &report.read.inventory_error {
        line(
            "inventory",
            &format!("could not be used: {}", one_line(why)),
        );
    }
    body.push('\n');
    if let Some(link) = link {
        let _ = writeln!(
            body,
            "{link}\n(the S3 console, for whoever may read the results bucket: sign in first, then choose Open)\n"
        );
    }
    let _ = writeln!(
        body,
        "{page_uri}\nBeside it: report.md, report.json and report.xml (JUnit)."
    );
    message(&format!("{of}: {headline}"), body)
}

/// The message that a report was not made, and why. Whoever has more records than the function can read makes it elsewhere.
pub fn of_report_not_made(rhythm: Rhythm, period: Period, why: &str, function: &str) -> Message {
    let of = of_period(rhythm, period);
    let body = format!(
        "REPORT: {of}: not made: {}\n\nMake it on another machine, which has the time and the memory for it:\n\n    \
         restore-proof report --function {function} --from {} --to {} --form html --output report.html\n",
        one_line(why),
        period.from,
        period.to
    );
    message(&format!("{of}: not made"), body)
}

/// `daily, 2026-11-28` or `weekly, 2026-11-22 to 2026-11-28`.
fn of_period(rhythm: Rhythm, Period { from, to }: Period) -> String {
    let rhythm = rhythm.as_str();
    if from == to {
        format!("{rhythm}, {to}")
    } else {
        format!("{rhythm}, {from} to {to}")
    }
}

fn message(about: &str, body: String) -> Message {
    let subject = subject(&format!("REPORT: {about}"));
    // The chat's title says what the text's first line does, and what a chat quotes is no link.
    let lines = body.lines().skip(1).map(str::trim);
    let lines = lines
        .filter(|line| !(line.is_empty() || line.starts_with("https://") || line.starts_with('(')));
    let mut chat = Chat::new("report", &subject, "reports");
    for line in lines {
        chat = match line.split_once("  ") {
            Some((name, value)) => chat.line_with(name, value),
            None if line.contains("://") => chat.line_with("report", line),
            None => chat.line(line),
        };
    }
    Message {
        subject,
        body,
        chat,
        // It is about no single validation.
        event: None,
        attributes: BTreeMap::from([("kind", "report".to_owned())]),
        // What is urgent was said when it happened.
        is_urgent: false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jiff::civil::date;

    use super::*;
    use crate::report::{Listed, Reckoning};

    const URI: &str = "s3://results/reports/weekly/2026-11-28/report.html";

    fn reckoning(inventory: Option<Vec<Listed>>) -> Reckoning {
        let period = Rhythm::Weekly.period(date(2026, 11, 29)).unwrap();
        Reckoning::new(period, Some(period.looked_from()), inventory)
    }

    /// A record of this resource and verdict, of the 25th.
    fn record(resource: &str, verdict: &str, minutes: f64) -> Vec<u8> {
        serde_json::json!({
            "validation_id": resource, "verdict": verdict, "proof": "restored", "recovery_point_arn": "arn:point", "source_resource_arn": resource,
            "opened_time": "2026-11-25 12:00:00.000", "verdict_time": "2026-11-25 12:30:00.000", "recovery_time": minutes,
            "recovery_time_objective": "missed", "restore_job_id": "job", "cleanup": if verdict == "failed" { "left_behind" } else { "deleted" }
        })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn the_key_figures_and_the_place_are_told() {
        let listed = Listed {
            arn: "crm".to_owned(),
            owner: None,
            target_days: Some(7),
        };
        let mut reckoning = reckoning(Some(vec![listed]));
        for (resource, verdict, minutes) in [
            ("orders", "passed", 12.5),
            ("billing", "passed", 90.0),
            ("stock", "failed", 5.0),
            ("hr", "inconclusive", 5.0),
        ] {
            reckoning.read(resource, &record(resource, verdict, minutes));
        }
        reckoning.read("records/x.json", b"no record\x07");
        let link =
            crate::console::object("aws", "eu-central-1", "results", "reports/x/report.html");
        let message = of_report(Rhythm::Weekly, &reckoning.finish(), URI, link.as_deref());
        assert_eq!(
            message.subject,
            "REPORT: weekly, 2026-11-22 to 2026-11-28: 2 of 5 resources proved, 1 bad, 1 inconclusive"
        );
        assert_eq!(
            message.attributes,
            BTreeMap::from([("kind", "report".to_owned())])
        );
        assert!(!message.is_urgent);
        for said in [
            "validations     4: 2 proved, 1 failed, 0 restore failed, 0 copy failed, 1 inconclusive, 0 unchecked, 0 not tested\n",
            "coverage        2 of 5 resources proved in these days, 40.0 %; 0 before, 3 never, 1 overdue\n",
            "recovery time   1h 30m at worst, 51m 15s on average, 2 missed their target\n",
            "left behind     1 restored and still there\n",
            "unreadable      1 of the records, first records/x.json, line 1: expected ident",
            "https://console.aws.amazon.com/s3/object/results?region=eu-central-1&prefix=reports/x/report.html\n",
            URI,
        ] {
            assert!(message.body.contains(said), "{said:?}: {}", message.body);
        }
        assert!(!message.body.contains("inventory"), "{}", message.body);
        let chat = message.chat.json();
        let description = chat["content"]["description"].as_str().unwrap();
        for said in [
            "coverage: `2 of 5 resources proved in these days, 40.0 %; 0 before, 3 never, 1 overdue`\n",
            &format!("report: `{URI}`\n"),
        ] {
            assert!(description.contains(said), "{said:?}: {description}");
        }
        assert!(!description.contains("console"), "{description}");
        assert!(message.event.is_none());
    }

    #[test]
    fn that_there_is_nothing_to_tell_is_told() {
        let mut reckoning = reckoning(None);
        reckoning.without_inventory("line 3: the ARN\nis missing");
        let message = of_report(Rhythm::Weekly, &reckoning.finish(), URI, None);
        assert_eq!(
            message.subject,
            "REPORT: weekly, 2026-11-22 to 2026-11-28: nothing was validated"
        );
        for said in [
            "inventory       could not be used: line 3: the ARN is missing\n",
            "recovery time   nothing was measured\n",
            "left behind     nothing\n",
        ] {
            assert!(message.body.contains(said), "{said:?}: {}", message.body);
        }
        assert!(!message.body.contains("https://"), "{}", message.body);
    }

    #[test]
    fn what_was_not_made_says_how_to_make_it() {
        let period = Rhythm::Daily.period(date(2026, 11, 29)).unwrap();
        let message = of_report_not_made(Rhythm::Daily, period, "too many records", "proof");
        assert_eq!(message.subject, "REPORT: daily, 2026-11-28: not made");
        for said in [
            "not made: too many records",
            "restore-proof report --function proof --from 2026-11-28 --to 2026-11-28 --form html",
        ] {
            assert!(message.body.contains(said), "{said:?}: {}", message.body);
        }
    }
}

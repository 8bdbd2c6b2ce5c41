//! How long RDS supports engines without a surcharge. Who restores a backup of an engine that is past it enrols the copy
//! in Amazon RDS Extended Support, which is billed by the vCPU-hour (serverless: by the ACU-hour).
//!
//! Sources, as of November 2026: RDS user guide, "Supported MySQL major versions on Amazon RDS" and "Amazon RDS Extended
//! Support charges"; "Release calendar for Amazon RDS for PostgreSQL"; Aurora user guide, "Amazon Aurora major versions".
//! AWS may move the days that are to come. A major version that is not named has no Extended Support, or is young.

use jiff::civil::{Date, date};

use crate::resource_type::Request;

/// The last day of standard support: engine, what its versions of one major version begin with, and the day.
const STANDARD_SUPPORT_ENDS: &[(&str, &str, Date)] = &[
    ("mysql", "5.7", date(2024, 2, 29)),
    ("mysql", "8.0", date(2026, 7, 31)),
    ("mysql", "8.4", date(2029, 7, 31)),
    ("postgres", "11", date(2024, 2, 29)),
    ("postgres", "12", date(2025, 2, 28)),
    ("postgres", "13", date(2026, 2, 28)),
    ("postgres", "14", date(2027, 2, 28)),
    ("postgres", "15", date(2028, 2, 29)),
    ("postgres", "16", date(2029, 2, 28)),
    // Aurora MySQL 2 and 3 are called by the version of MySQL that they are compatible with.
    ("aurora-mysql", "5.7", date(2024, 10, 31)),
    ("aurora-mysql", "8.0", date(2028, 4, 30)),
    ("aurora-postgresql", "11", date(2024, 2, 29)),
    ("aurora-postgresql", "12", date(2025, 2, 28)),
    ("aurora-postgresql", "13", date(2026, 2, 28)),
    ("aurora-postgresql", "14", date(2027, 2, 28)),
    ("aurora-postgresql", "15", date(2028, 2, 29)),
    ("aurora-postgresql", "16", date(2029, 2, 28)),
];

/// The last day of an engine's standard support, if it is over.
fn ended(engine: &str, version: &str, today: Date) -> Option<Date> {
    let is_of = |major: &str| {
        let rest = version.strip_prefix(major);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut all = STANDARD_SUPPORT_ENDS.iter();
    let known = all.find(|(known, major, _)| *known == engine && is_of(major));
    known.map(|(_, _, end)| *end).filter(|end| *end < today)
}

/// Notes that the copy of an engine past its standard support is billed for Extended Support, or that the rule does not
/// want it for that reason.
pub(in crate::resource_type) fn settle(request: &mut Request<'_>, is_wanted: bool) {
    let (engine, version) = (request.said("Engine"), request.said("EngineVersion"));
    let Some(end) = ended(engine, version, request.today) else {
        return;
    };
    let past = format!("the standard support of {engine} {version} ended on {end}");
    if is_wanted {
        request.findings.push(format!(
            "{past}: RDS bills the restored copy for Extended Support, a surcharge by the vCPU-hour, as long as it exists"
        ));
    } else {
        request.left_out = Some(format!(
            "{past}, and the rule restores nothing that RDS bills for Extended Support (extended_support = false)"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_past_its_support_from_the_day_after() {
        for (engine, version, day, past) in [
            ("mysql", "8.0.39", date(2026, 7, 31), false),
            ("mysql", "8.0.39", date(2026, 8, 1), true),
            ("mysql", "5.7.44", date(2026, 11, 28), true),
            ("mysql", "8.4.3", date(2026, 11, 28), false),
            ("postgres", "13.20", date(2026, 3, 1), true),
            ("postgres", "14.2", date(2026, 11, 28), false),
            ("postgres", "1", date(2026, 11, 28), false),
            ("postgres", "11", date(2026, 11, 28), true),
            ("postgres", "113.1", date(2026, 11, 28), false),
            ("mariadb", "10.5.1", date(2026, 11, 28), false),
            (
                "aurora-mysql",
                "5.7.mysql_aurora.2.11.3",
                date(2026, 11, 28),
                true,
            ),
            (
                "aurora-mysql",
                "8.0.mysql_aurora.3.05.2",
                date(2026, 11, 28),
                false,
            ),
            ("aurora-postgresql", "12.9", date(2026, 11, 28), true),
            ("", "", date(2026, 11, 28), false),
        ] {
            let is = ended(engine, version, day).is_some();
            assert_eq!(is, past, "{engine} {version} on {day}");
        }
    }
}

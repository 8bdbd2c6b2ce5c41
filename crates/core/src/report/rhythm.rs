//! The reports that the function makes by itself.

use jiff::civil::Date;
use serde::Deserialize;

use super::Period;

/// How often a report is made by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rhythm {
    /// Every day, over the day before.
    Daily,
    /// Every week, over the seven days before.
    Weekly,
}

impl Rhythm {
    /// Its word in wishes and keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Rhythm::Daily => "daily",
            Rhythm::Weekly => "weekly",
        }
    }

    /// What is reported on a day: whole days of UTC, the last one the day before. None if there is no such day.
    pub fn period(self, today: Date) -> Option<Period> {
        let days = match self {
            Rhythm::Daily => 1,
            Rhythm::Weekly => 7,
        };
        Period::last(days, today.yesterday().ok()?)
    }

    /// The folder in the results bucket that holds the report over a period, with a slash at its end: one for each last day.
    pub fn folder(self, period: Period) -> String {
        format!("reports/{}/{}/", self.as_str(), period.to)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jiff::civil::date;

    use super::*;

    #[test]
    fn whole_days_before_today_are_reported_over_the_ends_of_months_and_years() {
        let days = |from: [i16; 3], to: [i16; 3]| {
            let day = |[year, month, day]: [i16; 3]| date(year, month as i8, day as i8);
            Some(Period {
                from: day(from),
                to: day(to),
            })
        };
        for (today, daily, weekly) in [
            (date(2026, 11, 29), [2026, 11, 28], [2026, 11, 22]),
            (date(2026, 12, 1), [2026, 11, 30], [2026, 11, 24]),
            (date(2027, 1, 1), [2026, 12, 31], [2026, 12, 25]),
            (date(2027, 1, 4), [2027, 1, 3], [2026, 12, 28]),
            (date(2028, 3, 1), [2028, 2, 29], [2028, 2, 23]),
            (date(2027, 3, 1), [2027, 2, 28], [2027, 2, 22]),
        ] {
            assert_eq!(Rhythm::Daily.period(today), days(daily, daily), "{today}");
            assert_eq!(Rhythm::Weekly.period(today), days(weekly, daily), "{today}");
            assert_eq!(Rhythm::Weekly.period(today).unwrap().days(), 7);
        }
        assert_eq!(Rhythm::Daily.period(Date::MIN), None);
    }

    #[test]
    fn each_last_day_has_a_folder_of_its_own() {
        let period = Rhythm::Weekly.period(date(2027, 1, 4)).unwrap();
        assert_eq!(Rhythm::Weekly.folder(period), "reports/weekly/2027-01-03/");
        let period = Rhythm::Daily.period(date(2027, 1, 4)).unwrap();
        assert_eq!(Rhythm::Daily.folder(period), "reports/daily/2027-01-03/");
    }
}

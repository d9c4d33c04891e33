//! Hours, days, and ISO weeks in UTC, as small numbers.
//!
//! A start time is rounded down to its hour before it is kept anywhere, so no smaller unit exists here.

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::civil::{Date, date};
use jiff::{SignedDuration, ToSpan as _};

const HOUR_NANOS: u64 = 3_600_000_000_000;
const EPOCH: Date = date(1970, 1, 1);

/// Hours since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub u32);

/// Days since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

/// ISO weeks since the one that holds the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Week(pub u32);

impl Hour {
    /// The hour of a time in nanoseconds since the Unix epoch.
    pub fn of_unix_nano(nanos: u64) -> Self {
        // The largest `u64` is in the year 2554.
        Self((nanos / HOUR_NANOS) as u32)
    }

    /// The start of the hour, in nanoseconds since the Unix epoch.
    pub fn unix_nano(self) -> u64 {
        u64::from(self.0) * HOUR_NANOS
    }

    /// The day of the hour.
    pub fn day(self) -> Day {
        Day(self.0 / 24)
    }

    /// The ISO week of the hour.
    pub fn week(self) -> Week {
        self.day().week()
    }

    /// Reads `2026-11-28` or `2026-11-28T05:00`, in UTC.
    ///
    /// # Errors
    /// If it is no time since 1970, in words for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let time: Result<jiff::civil::DateTime, _> = text.parse();
        let seconds =
            time.ok().and_then(|time| Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()));
        let hours = seconds.and_then(|time| u32::try_from(time.as_second() / 3_600).ok());
        hours.map(Self).ok_or_else(|| "write a time in UTC such as 2026-11-28 or 2026-11-28T05:00".to_owned())
    }

    /// The hour in UTC for people, such as `2026-11-28T05:00`.
    pub fn text(self) -> String {
        format!("{}T{:02}:00", self.day(), self.0 % 24)
    }

    /// The hour of the system's clock. A clock before 1970 gives the epoch.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u32::try_from(since_epoch.as_secs() / 3_600).unwrap_or(u32::MAX))
    }
}

impl Day {
    /// The ISO week of the day.
    pub fn week(self) -> Week {
        // The epoch was a Thursday, three days after a Monday.
        Week((self.0 + 3) / 7)
    }

    fn date(self) -> Option<Date> {
        EPOCH.checked_add(SignedDuration::from_hours(24 * i64::from(self.0))).ok()
    }
}

impl Week {
    /// The Monday of the week. The week of the epoch itself begins before it, and gives the epoch.
    pub fn monday(self) -> Day {
        Day((self.0 * 7).saturating_sub(3))
    }

    /// The first hour of the week.
    pub fn first_hour(self) -> Hour {
        Hour(self.monday().0.saturating_mul(24))
    }

    /// Reads `2026-W48`.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, week) = text.split_once("-W")?;
        // Never before the epoch.
        let thursday = jiff::civil::ISOWeekDate::new(
            year.parse().ok()?,
            week.parse().ok()?,
            jiff::civil::Weekday::Thursday,
        );
        let days = (thursday.ok()?.date() - EPOCH).get_days();
        Some(Day(u32::try_from(days).ok()?).week())
    }
}

impl fmt::Display for Day {
    /// Writes `2026-11-28`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date() {
            Some(date) => write!(f, "{date}"),
            None => write!(f, "day {}", self.0),
        }
    }
}

impl fmt::Display for Week {
    /// Writes the ISO week, such as `2026-W48`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Thursday decides which year an ISO week belongs to, and it is never before the epoch.
        let thursday = EPOCH.checked_add((i64::from(self.0) * 7).days());
        match thursday {
            Ok(date) => {
                let week = date.iso_week_date();
                write!(f, "{}-W{:02}", week.year(), week.week())
            }
            Err(_) => write!(f, "week {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(text: &str) -> Hour {
        let timestamp: jiff::Timestamp = text.parse().unwrap();
        Hour::of_unix_nano(timestamp.as_nanosecond().try_into().unwrap())
    }

    #[test]
    fn weeks_are_those_of_iso_8601() {
        for (time, week) in [
            ("1970-01-01T00:00:00Z", "1970-W01"),
            ("1970-01-04T23:59:59Z", "1970-W01"),
            ("1970-01-05T00:00:00Z", "1970-W02"),
            ("2020-12-31T12:00:00Z", "2020-W53"),
            ("2021-01-03T23:59:59.999999999Z", "2020-W53"),
            ("2021-01-04T00:00:00Z", "2021-W01"),
            ("2026-11-28T10:00:00Z", "2026-W48"),
        ] {
            assert_eq!(hour(time).week().to_string(), week, "{time}");
            assert_eq!(Week::parse(week), Some(hour(time).week()), "{week}");
        }
    }

    #[test]
    fn the_monday_of_a_week_is_in_that_week_and_the_day_before_is_not() {
        for number in 1..4_000 {
            let week = Week(number);
            assert_eq!(week.monday().week(), week);
            assert_eq!(Day(week.monday().0 - 1).week(), Week(number - 1));
            assert_eq!(week.first_hour().week(), week);
        }
    }

    #[test]
    fn a_time_becomes_its_hour() {
        assert_eq!(hour("2026-11-28T10:59:59.999999999Z"), hour("2026-11-28T10:00:00Z"));
        assert_eq!(hour("2026-11-28T10:30:00Z").day().to_string(), "2026-11-28");
        assert_eq!(Hour::parse("2026-11-28T10:30"), Ok(hour("2026-11-28T10:00:00Z")));
        assert_eq!(Hour::parse("2026-11-28").unwrap().text(), "2026-11-28T00:00");
        assert!(Hour::parse("1969-11-28").is_err() && Hour::parse("yesterday").is_err());
        assert_eq!(Week::parse("2026-W54"), None);
        assert_eq!(Week::parse("x"), None);
    }
}

//! Periods on the calendar, in UTC.

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use tool_telemetry_definition::Period;

/// Days after the end of a period in which senders may still report it.
pub const DAYS_OPEN: i32 = 28;
const EPOCH: Date = date(1970, 1, 1);
const DAY: i64 = 24 * 60 * 60;

/// One period: a week, or four of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    start: Date,
    period: Period,
}

impl Interval {
    /// The period that begins on this day, if one does.
    pub fn new(start: Date, period: Period) -> Option<Self> {
        let seconds = u64::try_from((start - EPOCH).get_days()).ok()? * DAY as u64;
        (period.start(seconds) == seconds).then_some(Self { start, period })
    }

    /// Reads a start and a number of days, as a release has them.
    pub fn parse(start: &str, days: u32) -> Option<Self> {
        let (period, _) = Period::NAMED.into_iter().find(|(period, _)| days_in(*period) == days)?;
        Self::new(start.parse().ok()?, period)
    }

    /// The first period of this length that begins on a day or after it.
    pub fn at_or_after(day: Date, period: Period) -> Option<Self> {
        (0..28).find_map(|ahead| Self::new(day.checked_add(ahead.days()).ok()?, period))
    }

    /// Its first day, a Monday.
    pub fn start(self) -> Date {
        self.start
    }

    /// How long it is.
    pub fn period(self) -> Period {
        self.period
    }

    /// 7 or 28.
    pub fn days(self) -> u32 {
        days_in(self.period)
    }

    /// The first day after it.
    pub fn end(self) -> Date {
        self.start.saturating_add(i64::from(self.days()).days())
    }

    /// The day on which it closes.
    pub fn due(self) -> Date {
        self.end().saturating_add(DAYS_OPEN.days())
    }

    /// Whether they have a day in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }

    /// Its first second, since the Unix epoch.
    pub fn unix_seconds(self) -> i64 {
        i64::from((self.start - EPOCH).get_days()) * DAY
    }
}

fn days_in(period: Period) -> u32 {
    match period {
        Period::Week => 7,
        Period::FourWeeks => 28,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_on_their_mondays_also_across_new_year() {
        let weeks: Vec<String> = std::iter::successors(Interval::parse("2026-12-21", 7), |week| {
            Interval::new(week.end(), Period::Week)
        })
        .take(4)
        .map(|week| week.start().to_string())
        .collect();
        assert_eq!(weeks, ["2026-12-21", "2026-12-28", "2027-01-04", "2027-01-11"]);
        assert_eq!(Interval::parse("2026-12-22", 7), None);
        assert_eq!(Interval::parse("2026-12-21", 14), None);
        assert_eq!(Interval::parse("1969-12-29", 7), None);
    }

    #[test]
    fn four_weeks_are_due_four_weeks_after_their_end() {
        let found = Interval::at_or_after(date(2026, 11, 3), Period::FourWeeks).unwrap();
        assert_eq!(found.start().day_of_year() as i64 % 7, date(2026, 11, 2).day_of_year() as i64 % 7);
        assert_eq!((found.due() - found.start()).get_days(), 56);
        let week = Interval::parse("2026-11-23", 7).unwrap();
        assert_eq!(week.due().to_string(), "2026-12-28");
        assert!(!week.overlaps(Interval::parse("2026-11-30", 7).unwrap()));
    }
}

//! What is in effect of each period, after corrections and withdrawals.

use std::collections::BTreeMap;
use std::io;

use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::Value;

use super::{Site, invalid};
use crate::release::{Release, Withdrawal};

/// The periods that were ever released, oldest first.
#[derive(Debug)]
pub(super) struct Timeline<'a> {
    pub(super) periods: Vec<Period<'a>>,
}

/// One period.
#[derive(Debug)]
pub(super) struct Period<'a> {
    pub(super) start: Date,
    pub(super) days: u32,
    /// The release in effect. `None` if all were withdrawn.
    pub(super) release: Option<&'a Release>,
    pub(super) withdrawals: Vec<&'a Withdrawal>,
}

impl<'a> Timeline<'a> {
    pub(super) fn new(site: &Site<'a>) -> io::Result<Self> {
        let mut periods = BTreeMap::new();
        for withdrawal in site.withdrawals {
            let period = entry(&mut periods, &withdrawal.start, withdrawal.days)?;
            period.withdrawals.push(withdrawal);
        }
        for release in site.releases {
            check(site.tool, release)?;
            let period = entry(&mut periods, &release.start, release.days)?;
            let is_withdrawn =
                period.withdrawals.iter().any(|withdrawal| withdrawal.number == release.number);
            if !is_withdrawn && period.release.is_none_or(|other| other.number < release.number) {
                period.release = Some(release);
            }
        }
        let periods: Vec<Period<'_>> = periods.into_values().collect();
        for pair in periods.windows(2) {
            if pair[0].end() >= pair[1].start {
                return Err(invalid(format!(
                    "the periods of {} and {} overlap",
                    pair[0].start, pair[1].start
                )));
            }
        }
        Ok(Self { periods })
    }

    /// The newest period that shows anything.
    pub(super) fn newest(&self) -> Option<usize> {
        self.periods.iter().rposition(|period| period.release.is_some())
    }

    /// The releases in effect, oldest first, each with the position of its period.
    pub(super) fn releases(&self) -> impl DoubleEndedIterator<Item = (usize, &'a Release)> + '_ {
        self.periods.iter().enumerate().filter_map(|(position, period)| Some((position, period.release?)))
    }

    /// Whether a period begins where the one before it ended.
    pub(super) fn follows(&self, position: usize) -> bool {
        position > 0 && self.periods[position - 1].end().tomorrow().ok() == Some(self.periods[position].start)
    }
}

impl Period<'_> {
    /// The last day.
    pub(super) fn end(&self) -> Date {
        self.start.saturating_add((i64::from(self.days) - 1).days())
    }
}

fn entry<'m, 'a>(
    periods: &'m mut BTreeMap<Date, Period<'a>>,
    start: &str,
    days: u32,
) -> io::Result<&'m mut Period<'a>> {
    let date: Date =
        start.parse().map_err(|_| invalid(format!("a period starts on {start:?}, which is no date")))?;
    if !matches!(days, 7 | 28) {
        return Err(invalid(format!("the period of {start} has {days} days")));
    }
    let period =
        periods.entry(date).or_insert(Period { start: date, days, release: None, withdrawals: Vec::new() });
    if period.days != days {
        return Err(invalid(format!("the period of {start} has both {} and {days} days", period.days)));
    }
    Ok(period)
}

/// Texts reach CSV files, which spreadsheets read. A text of these characters is not a formula with an effect.
fn check(tool: &str, release: &Release) -> io::Result<()> {
    if release.tool != tool {
        return Err(invalid(format!(
            "the release of {} is of {:?}, not of {tool:?}",
            release.start, release.tool
        )));
    }
    for table in &release.tables {
        for key in &table.of {
            let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_');
            if key.is_empty() || !key.chars().all(is_word) || key.contains("..") {
                return Err(invalid(format!("the release of {} has the key {key:?}", release.start)));
            }
        }
        for cell in &table.cells {
            let is_admitted = |value: &Value| match value {
                Value::String(text) => {
                    text.chars().all(|c| c.is_ascii_alphanumeric() || "._+/-".contains(c)) && !text.is_empty()
                }
                Value::Number(number) => number.is_i64(),
                value => value.is_boolean(),
            };
            if cell.values.len() != table.of.len() || !cell.values.iter().all(is_admitted) {
                return Err(invalid(format!(
                    "the release of {} has the cell {:?}",
                    release.start, cell.values
                )));
            }
        }
    }
    Ok(())
}

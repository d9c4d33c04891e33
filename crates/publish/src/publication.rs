//! Closing periods, correcting one, and withdrawing one: each adds a file to the ledger.

use std::collections::HashMap;

use jiff::civil::Date;

use crate::calendar::Interval;
use crate::failure::Failure;
use crate::ledger::{self, Ledger};
use crate::plan::{Plan, PlannedTable, cell_text};
use crate::privacy::budget;
use crate::privacy::noise;
use crate::privacy::randomness::Randomness;
use crate::release::{Cell, Entry, Privacy, Release, Table, Withdrawal};
use crate::sources::{CountSource, InstallationCount, text};

/// Numbers are published as multiples of this.
pub const ROUNDING: i64 = 5;

/// Which of the due periods were closed.
#[derive(Debug, Default)]
pub struct Closing {
    /// The periods that are closed now, each with whether anything was counted in it.
    pub released: Vec<(Interval, bool)>,
    /// The first period that cannot be closed yet, and why.
    pub waiting: Option<(Interval, String)>,
}

/// Publishes one tool.
pub struct Publication<'a> {
    /// The tool.
    pub tool: &'a str,
    /// The day, in UTC.
    pub today: Date,
    /// What is published.
    pub plan: &'a Plan,
    /// Where it is published.
    pub ledger: &'a mut Ledger,
    /// The exact counts.
    pub source: &'a mut dyn CountSource,
    /// Where the noise comes from.
    pub randomness: &'a mut Randomness,
}

impl Publication<'_> {
    /// Closes the periods that are due, in order, and stops at the first that cannot be closed yet. An empty ledger begins
    /// with the period of the day `first`.
    ///
    /// # Errors
    /// If a count cannot be read or a file cannot be written. Periods that were closed before stay closed.
    pub fn close_due(&mut self, first: Option<Date>) -> Result<Closing, Failure> {
        let mut closing = Closing::default();
        while let Some(interval) = self.next_due(first) {
            if let Some(why) = self.source.waiting(self.tool, interval)? {
                closing.waiting = Some((interval, why));
                break;
            }
            let counted = self.source.counts(self.tool, interval)?;
            let release = self.release(interval, &counted, None)?;
            self.ledger.add(Entry::Release(release))?;
            closing.released.push((interval, !counted.is_empty()));
        }
        Ok(closing)
    }

    /// The next period to close, if it is due.
    pub fn next_due(&self, first: Option<Date>) -> Option<Interval> {
        let closed = ledger::closed(self.ledger.files());
        let from = closed.iter().map(|(interval, _)| interval.end()).max().or(first)?;
        Interval::at_or_after(from, self.plan.period).filter(|interval| interval.due() <= self.today)
    }

    /// Releases a closed period once more, with fresh noise.
    ///
    /// # Errors
    /// If the period is not closed or was corrected before, if its counts cannot be read, or if the file cannot be written.
    pub fn correct(&mut self, interval: Interval, reason: &str) -> Result<Privacy, Failure> {
        let numbers = self.numbers(interval)?;
        if numbers.contains(&2) {
            return Err(Failure::failed(format!(
                "the period of {} was corrected once already; another correction would spend more of its ε",
                interval.start()
            )));
        }
        if let Some(why) = self.source.waiting(self.tool, interval)? {
            return Err(Failure::failed(format!("{}: {why}", interval.start())));
        }
        let counted = self.source.counts(self.tool, interval)?;
        let release = self.release(interval, &counted, Some(reason))?;
        let privacy = release.privacy.clone();
        self.ledger.add(Entry::Release(release))?;
        Ok(privacy)
    }

    /// Withdraws the releases of a period that stand, and returns how many there were.
    ///
    /// # Errors
    /// If the period is not closed, or if a file cannot be written or deleted.
    pub fn withdraw(&mut self, interval: Interval, reason: &str) -> Result<usize, Failure> {
        self.numbers(interval)?;
        let start = interval.start().to_string();
        let standing: Vec<Withdrawal> = (self.ledger.files().iter())
            .filter_map(|file| Some((file, file.release()?)))
            .filter(|(_, release)| release.start == start && release.days == interval.days())
            .map(|(file, release)| Withdrawal {
                format: 1,
                tool: self.tool.to_owned(),
                start: start.clone(),
                days: release.days,
                number: release.number,
                reason: reason.to_owned(),
                rho: release.privacy.rho,
                withdrawn: self.today.to_string(),
                previous: None,
                file: file.name.clone(),
                sha256: file.sha256.clone(),
            })
            .collect();
        for withdrawal in &standing {
            self.ledger.add(Entry::Withdrawal(withdrawal.clone()))?;
        }
        Ok(standing.len())
    }

    /// The numbers of the releases of a closed period.
    fn numbers(&self, interval: Interval) -> Result<Vec<u32>, Failure> {
        let closed = ledger::closed(self.ledger.files()).into_iter();
        let numbers: Vec<u32> =
            closed.filter(|(known, _)| *known == interval).map(|(_, number)| number).collect();
        if numbers.is_empty() {
            return Err(Failure::usage(format!("the period of {} was never released", interval.start())));
        }
        Ok(numbers)
    }

    /// ρ that a period has spent.
    fn spent(&self, interval: Interval) -> f64 {
        let start = interval.start().to_string();
        let files = self.ledger.files();
        let standing = ledger::releases(files).filter(|release| release.start == start);
        let withdrawn = ledger::withdrawals(files).filter(|gone| gone.start == start);
        standing.map(|release| release.privacy.rho).chain(withdrawn.map(|gone| gone.rho)).sum()
    }

    fn release(
        &mut self,
        interval: Interval,
        counted: &[InstallationCount],
        correction: Option<&str>,
    ) -> Result<Release, Failure> {
        let plan = self.plan;
        let rho = plan.variance.rho(plan.counts);
        let spent = self.spent(interval);
        let epsilon = if spent > 0.0 { rounded_up(budget::epsilon(spent + rho)) } else { plan.epsilon };
        Ok(Release {
            format: 1,
            tool: self.tool.to_owned(),
            start: interval.start().to_string(),
            days: interval.days(),
            number: if correction.is_some() { 2 } else { 1 },
            correction: correction.map(str::to_owned),
            released: self.today.to_string(),
            previous: None,
            data_points: plan.hashes.clone(),
            privacy: Privacy {
                epsilon,
                delta: budget::DELTA,
                rho,
                counts_per_installation: plan.counts,
                sigma: (plan.variance.sigma() * 1e4).round() / 1e4,
                variance: plan.variance.number(),
            },
            rejected: magnitude(self.source.rejected(self.tool, interval)?),
            noise_is_known: self.randomness.is_known(),
            tables: self.draw(counted)?,
        })
    }

    /// The tables, with noise in each cell.
    fn draw(&mut self, counted: &[InstallationCount]) -> Result<Vec<Table>, Failure> {
        let exact = exact(self.plan, counted);
        let mut draw = |table: &PlannedTable| {
            let threshold = table.threshold(self.plan.variance);
            let cells = table.cells.iter().map(|values| {
                let key = (table_text(table.of.iter().copied()), cell_key(&table.of, values));
                let count = exact.get(&key).copied().unwrap_or_default();
                let noisy = count.saturating_add(noise::draw(self.plan.variance, self.randomness)?);
                Ok(Cell { values: values.clone(), installations: shown(noisy, threshold) })
            });
            Ok(Table {
                of: table.of.iter().map(|key| (*key).to_owned()).collect(),
                at_most: u32::from(table.at_most),
                threshold,
                cells: cells.collect::<Result<_, Failure>>()?,
            })
        };
        self.plan.tables.iter().map(&mut draw).collect()
    }
}

/// A cell of a table, whatever the order of its keys.
type CellKey = (String, String);

/// The exact counts of the versions that the plan knows.
pub fn exact(plan: &Plan, counted: &[InstallationCount]) -> HashMap<CellKey, i64> {
    let mut exact: HashMap<CellKey, i64> = HashMap::new();
    for cell in counted.iter().filter(|cell| plan.hashes.contains(&cell.hash)) {
        let keys: Vec<&str> = cell.keys.iter().map(String::as_str).collect();
        let key = (table_text(keys.iter().copied()), cell_key(&keys, &cell.values));
        let number = exact.entry(key).or_default();
        // Whoever can write into a store must not turn a large number into a small one.
        *number = number.saturating_add(cell.installations.max(0));
    }
    exact
}

/// The keys of a table as one text, in alphabetical order.
pub fn table_text<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let mut keys: Vec<&str> = keys.collect();
    keys.sort_unstable();
    keys.join(" and ")
}

/// The values of a cell as one text, in the alphabetical order of their keys.
pub fn cell_key(keys: &[&str], values: &[serde_json::Value]) -> String {
    let mut pairs: Vec<(&str, String)> = keys.iter().copied().zip(values.iter().map(text)).collect();
    pairs.sort_unstable();
    let values: Vec<serde_json::Value> = pairs.into_iter().map(|(_, value)| value.into()).collect();
    cell_text(&values)
}

/// A number as it is published: compared with the threshold first, then rounded.
fn shown(noisy: i64, threshold: u64) -> Option<u64> {
    let number = u64::try_from(noisy).ok().filter(|number| *number >= threshold)?;
    let step = ROUNDING.unsigned_abs();
    Some((number + step / 2) / step * step)
}

/// The greatest power of ten that is not above the number, such as 100 for 100 to 999.
fn magnitude(number: u64) -> u64 {
    number.checked_ilog10().map_or(0, |digits| 10_u64.pow(digits))
}

/// Rounded up to two decimal places, so that it promises no more than is true.
fn rounded_up(number: f64) -> f64 {
    (number * 100.0).ceil() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_before_they_are_rounded() {
        assert_eq!(
            [-7, 0, 59, 60, 62, 63].map(|noisy| shown(noisy, 60)),
            [None, None, None, Some(60), Some(60), Some(65)]
        );
        assert_eq!(shown(58, 58), Some(60));
        assert_eq!(shown(57, 57), Some(55));
    }

    #[test]
    fn large_counts_of_two_versions_do_not_become_a_small_one() {
        let plan = Plan {
            period: tool_telemetry_definition::Period::Week,
            epsilon: 2.0,
            counts: 1,
            variance: budget::Variance::at_rho(1, budget::rho(2.0)),
            hashes: vec!["a".to_owned(), "b".to_owned()],
            tables: Vec::new(),
        };
        let count = |hash: &str, installations| InstallationCount {
            hash: hash.to_owned(),
            keys: vec!["frob.command".to_owned()],
            values: vec!["build".into()],
            installations,
        };
        let counted = [count("a", i64::MAX), count("b", i64::MAX), count("unknown", 7), count("a", -5)];
        assert_eq!(exact(&plan, &counted).into_values().collect::<Vec<_>>(), [i64::MAX]);
    }

    #[test]
    fn a_magnitude_is_a_power_of_ten() {
        assert_eq!([0, 1, 9, 10, 99, 100, u64::MAX].map(magnitude), [0, 1, 1, 10, 10, 100, 10_u64.pow(19)]);
    }
}

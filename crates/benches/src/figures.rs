//! Medians, quartiles, and random order.

use std::time::{SystemTime, UNIX_EPOCH};

/// A median and the quartiles around it.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The minimum.
    pub min: f64,
    /// The first quartile.
    pub low: f64,
    /// The second quartile.
    pub median: f64,
    /// The third quartile.
    pub high: f64,
}

impl Spread {
    /// Returns nothing if there are no numbers.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let last = numbers.len().checked_sub(1)?;
        let at = |share: f64| numbers[(last as f64 * share).round() as usize];
        Some(Self { min: numbers[0], low: at(0.25), median: at(0.5), high: at(0.75) })
    }
}

/// Random numbers that are good enough for shuffling (xorshift64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Uses the time as the seed.
    #[expect(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
        Self(now | 1)
    }

    fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The Fisher-Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, (self.number() % (last as u64 + 1)) as usize);
        }
    }
}

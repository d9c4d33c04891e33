//! Quantiles of durations, from the exponential histograms in which they are counted.

use tool_telemetry_collect::cells::bucket_start;

/// How far a quantile may be from the exact one: a bucket ends at 2^(1/4) times its start, and the middle is reported.
pub const RELATIVE_ERROR: f64 = 0.0906;

/// How many durations each bucket has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram(std::collections::BTreeMap<u16, u64>);

impl Histogram {
    /// Adds durations of one bucket.
    pub fn add(&mut self, bucket: u16, number: u64) {
        *self.0.entry(bucket).or_default() += number;
    }

    /// How many durations there are.
    pub fn number(&self) -> u64 {
        self.0.values().sum()
    }

    /// The duration, in seconds, that this share of all is not longer than; 0.5 is the median. `None` without durations.
    ///
    /// ```
    /// use tool_telemetry_publish::report::durations::Histogram;
    ///
    /// let mut histogram = Histogram::default();
    /// assert_eq!(histogram.quantile(0.5), None);
    /// histogram.add(tool_telemetry_collect::cells::bucket(1_000_000_000), 3);
    /// assert!((histogram.quantile(0.5).unwrap() - 1.0).abs() < 0.1);
    /// ```
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = ((share * self.number() as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.0.iter().find(|(_, number)| {
            seen += **number;
            seen >= rank
        });
        bucket.map(|(bucket, _)| middle(*bucket) / 1e9)
    }
}

/// The geometric middle of a bucket, in nanoseconds.
fn middle(bucket: u16) -> f64 {
    if bucket == 0 { 0.0 } else { (bucket_start(bucket) * bucket_start(bucket + 1)).sqrt() }
}

#[cfg(test)]
mod tests {
    use tool_telemetry_collect::cells::bucket;

    use super::*;

    #[test]
    fn a_quantile_is_as_near_as_its_bucket_promises() {
        let durations: Vec<u64> = (1..2_000_u64).map(|number| number * number * 977).collect();
        let mut histogram = Histogram::default();
        durations.iter().for_each(|nanos| histogram.add(bucket(*nanos), 1));
        for share in [0.001, 0.1, 0.5, 0.95, 1.0] {
            let rank = ((share * durations.len() as f64).ceil() as usize).max(1);
            let exact = durations[rank - 1] as f64 / 1e9;
            let found = histogram.quantile(share).unwrap();
            assert!((found / exact).max(exact / found) <= 1.0 + RELATIVE_ERROR, "{share}: {found} {exact}");
        }
    }

    #[test]
    fn no_time_at_all_is_zero() {
        let mut histogram = Histogram::default();
        histogram.add(bucket(0), 1);
        assert_eq!(histogram.quantile(0.95), Some(0.0));
    }
}

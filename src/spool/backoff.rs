//! When to try again, and the largest request: a time and a size on disk that every process honours.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::clock::unix_seconds;
use crate::platform::{self, replace_file};

/// The first wait after a failure if the server requested no time.
pub(crate) const FIRST: Duration = Duration::from_secs(2);
/// The longest wait if the server requested no time.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(60 * 60);
/// The longest wait that a server may request. A later time on disk is ignored, because the clock must have been set
/// back.
pub(crate) const MAX_REQUESTED_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The wait and the limit that the last failures left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// Nothing is sent before this time, in seconds since the Unix epoch.
    until: u64,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Whether the server requested the wait. Then `flush` honours it too.
    pub(crate) is_requested: bool,
    /// The most spans in one request, if earlier requests were too large for the server.
    pub(crate) most_spans: Option<usize>,
}

/// Larger than anything we write.
const MAX_BYTES: u64 = 256;

impl Backoff {
    /// The wait after another failure. It is the requested one, or an exponential one with jitter from `random`.
    pub(crate) fn after_failure(
        before: Option<Self>,
        requested: Option<Duration>,
        now: SystemTime,
        random: u64,
    ) -> Self {
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let wait = match requested {
            Some(requested) => requested.min(MAX_REQUESTED_DELAY),
            None => {
                let ceiling = FIRST.saturating_mul(1 << (failures - 1).min(16)).min(MAX_DELAY);
                // The wait is between half of the ceiling and all of it, so that it grows despite the jitter.
                let half = ceiling / 2;
                half + half.mul_f64((random % 1024) as f64 / 1024.0)
            }
        };
        // Rounded up, so that it is never earlier than requested.
        let until = unix_seconds(now + wait) + 1;
        let most_spans = before.and_then(|before| before.most_spans);
        Self { until, failures, is_requested: requested.is_some(), most_spans }
    }

    /// The wait after an uploader did not finish while its command waited. It is at least 16 s, so that only one command of a
    /// job waits for an endpoint that never answers. If the uploader delivers later, it clears the wait.
    pub(crate) fn after_no_answer(before: Option<Self>, now: SystemTime, random: u64) -> Self {
        let before = before.unwrap_or(Self::NONE);
        let failures = before.failures.max(4);
        Self::after_failure(Some(Self { failures, ..before }), None, now, random)
    }

    pub(crate) fn with_most_spans(self, most_spans: Option<usize>) -> Self {
        Self { most_spans, ..self }
    }

    /// No wait and no limit. A missing file means the same.
    pub(crate) const NONE: Self = Self { until: 0, failures: 0, is_requested: false, most_spans: None };

    /// The rest of the wait.
    pub(crate) fn remaining(&self, now: SystemTime) -> Option<Duration> {
        let until = UNIX_EPOCH.checked_add(Duration::from_secs(self.until))?;
        let remaining = until.duration_since(now).ok()?;
        let most = if self.is_requested { MAX_REQUESTED_DELAY } else { MAX_DELAY } + Duration::from_secs(2);
        (!remaining.is_zero() && remaining <= most).then_some(remaining)
    }

    /// Reads the file. A missing or invalid file means no wait.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        use std::io::Read as _;

        let (mut file, metadata) = platform::open_own(path, false, false).ok()?;
        if metadata.len() > MAX_BYTES {
            return None;
        }
        let mut bytes = [0; MAX_BYTES as usize];
        let length = file.read(&mut bytes).ok()?;
        Self::parse(std::str::from_utf8(&bytes[..length]).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let until = words.next()?.strip_prefix("until=")?.parse().ok()?;
        let failures = words.next()?.strip_prefix("failures=")?.parse().ok()?;
        let is_requested = match words.next()? {
            "asked=yes" => true,
            "asked=no" => false,
            _ => return None,
        };
        let most_spans = match words.next() {
            Some(word) => Some(word.strip_prefix("most=")?.parse().ok().filter(|most| *most > 0)?),
            None => None,
        };
        words.next().is_none().then_some(Self { until, failures, is_requested, most_spans })
    }

    fn render(&self) -> String {
        let asked = if self.is_requested { "yes" } else { "no" };
        let most = self.most_spans.map_or(String::new(), |most| format!(" most={most}"));
        format!("until={} failures={} asked={asked}{most}\n", self.until, self.failures)
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        replace_file(path, self.render().as_bytes())
    }

    pub(crate) fn clear(path: &Path) {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn backoffs_round_trip(until: u64, failures: u32, is_requested: bool, most: Option<u32>) {
            let most_spans = most.map(|most| most.max(1) as usize);
            let backoff = Backoff { until, failures, is_requested, most_spans };
            prop_assert_eq!(Backoff::parse(&backoff.render()), Some(backoff));
            // This must not panic, whatever the time is.
            let _ = backoff.remaining(SystemTime::now());
        }
    }

    const NOW: SystemTime = UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn waits_grow_with_jitter_up_to_a_limit() {
        let mut backoff = None;
        let mut before = Duration::ZERO;
        for _ in 0..8 {
            let next = Backoff::after_failure(backoff, None, at(1_000_000), 0);
            let wait = next.remaining(at(1_000_000)).unwrap();
            assert!(wait > before);
            before = wait;
            backoff = Some(next);
        }
        let (low, high) = (
            Backoff::after_failure(backoff, None, at(1_000_000), 0),
            Backoff::after_failure(backoff, None, at(1_000_000), 1023),
        );
        assert_ne!(low.until, high.until);
        let many = Backoff { failures: u32::MAX - 1, ..Backoff::NONE };
        let wait = Backoff::after_failure(Some(many), None, at(1_000_000), 1023).remaining(at(1_000_000));
        assert!(wait.unwrap() <= MAX_DELAY + Duration::from_secs(1));
    }

    #[test]
    fn a_requested_wait_is_honoured_to_the_second() {
        let backoff = Backoff::after_failure(None, Some(Duration::from_secs(120)), at(1_000), 5);
        assert!(backoff.remaining(at(1_119)).is_some());
        assert!(backoff.remaining(at(1_121)).is_none());
    }

    #[test]
    fn a_time_too_far_ahead_is_ignored() {
        let backoff = Backoff::after_failure(None, None, at(1_000_000_000), 0);
        assert!(backoff.remaining(at(1_000)).is_none());
    }

    #[test]
    fn only_files_that_we_write_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("backoff");
        let backoff = Backoff::after_failure(None, Some(Duration::from_secs(9)), at(50), 0);
        for most_spans in [None, Some(7)] {
            let backoff = Backoff { most_spans, ..backoff };
            backoff.write(&path).unwrap();
            assert_eq!(Backoff::read(&path), Some(backoff));
            assert_eq!(Backoff::after_failure(Some(backoff), None, at(60), 0).most_spans, most_spans);
            assert_eq!(Backoff::after_no_answer(Some(backoff), at(60), 0).most_spans, most_spans);
        }
        for text in [
            "",
            "until=1",
            "until=1 failures=1 asked=maybe\n",
            "until=1 failures=1 asked=no x\n",
            "until=1 failures=1 asked=no most=0\n",
        ] {
            assert_eq!(Backoff::parse(text), None);
        }
    }
}

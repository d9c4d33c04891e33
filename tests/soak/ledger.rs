//! The counts of a spool in `telemetry status`.

use crate::test_user::TestUser;

/// What became of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub delivered: u64,
    pub pending: u64,
    pub dropped: u64,
    pub dropped_spans: u64,
    /// The whole text, for error messages.
    pub status: String,
}

impl Ledger {
    pub(crate) fn of(user: &TestUser) -> Self {
        let status = user.status();
        let number = |first: &str, last: &str| -> u64 {
            let words = status.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            words
                .filter(|words| words.first() == Some(&first) && words.len() > 1)
                .filter(|words| last.is_empty() || words.last() == Some(&last))
                .filter_map(|words| words[1].parse::<u64>().ok())
                .sum()
        };
        let dropped_spans = status
            .lines()
            .filter(|line| line.contains("spans dropped"))
            .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
            .sum();
        Self {
            delivered: number("delivered", ""),
            pending: number("pending", ""),
            dropped: number("dropped", ""),
            dropped_spans,
            status,
        }
    }

    /// All runs that are accounted for.
    pub(crate) fn total(&self) -> u64 {
        self.delivered + self.pending + self.dropped
    }
}

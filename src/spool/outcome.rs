//! Outcomes of runs, and the names of their files in `outcomes/`.

use super::directory::RunName;

/// What becomes of a run in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The receiver accepted it.
    Delivered,
    /// The receiver refused it for good.
    Refused,
    /// More bytes were waiting than the limit allows; the oldest go first.
    LimitBytes,
    /// More runs were waiting than the limit allows; the oldest go first.
    LimitRuns,
    /// It waited longer than the limit allows.
    LimitAge,
    /// The disk was full, or could not be written.
    Disk,
    /// Its file was damaged so that the run itself could not be read.
    Damaged,
    /// The person turned telemetry off before it was sent.
    OptedOut,
    /// The person had it deleted.
    Purged,
    /// The tool's author had it dropped, as for a command that logs in: [`Telemetry::discard`](crate::Telemetry::discard).
    Discarded,
    /// More commands of one process were open at once than the 64 that are recorded.
    LimitOpen,
}

impl Outcome {
    pub(crate) const ALL: [Outcome; 11] = [
        Outcome::Delivered,
        Outcome::Refused,
        Outcome::LimitBytes,
        Outcome::LimitRuns,
        Outcome::LimitAge,
        Outcome::Disk,
        Outcome::Damaged,
        Outcome::OptedOut,
        Outcome::Purged,
        Outcome::Discarded,
        Outcome::LimitOpen,
    ];

    /// The stable name, in file names and in `status --json`.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Refused => "refused",
            Outcome::LimitBytes => "limit_bytes",
            Outcome::LimitRuns => "limit_runs",
            Outcome::LimitAge => "limit_age",
            Outcome::Disk => "disk",
            Outcome::Damaged => "damaged",
            Outcome::OptedOut => "opted_out",
            Outcome::Purged => "purged",
            Outcome::Discarded => "discarded",
            Outcome::LimitOpen => "limit_open",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    pub(super) fn index(self) -> usize {
        Self::ALL.iter().position(|outcome| *outcome == self).unwrap_or_default()
    }

    pub(crate) fn file_name(self, run: RunName) -> String {
        format!("{run}.{}", self.name())
    }

    pub(crate) fn is_file_name(name: &str) -> bool {
        Self::of_file(name).is_some()
    }

    pub(super) fn of_file(name: &str) -> Option<(RunName, Self)> {
        let (stem, ending) = name.rsplit_once('.')?;
        RunName::parse(stem).zip(Self::from_name(ending))
    }
}

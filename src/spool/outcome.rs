//! Outcomes of runs, and the names of their files in `outcomes/`.

use super::directory::RunName;

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The receiver accepted it.
    Delivered,
    /// The receiver refused it permanently.
    Refused,
    /// It was dropped as the oldest run, because the pending runs exceeded the size limit.
    LimitBytes,
    /// It was dropped as the oldest run, because there were more pending runs than the limit.
    LimitRuns,
    /// It was pending for longer than the age limit.
    LimitAge,
    /// Its file could not be written, for example because the disk was full.
    Disk,
    /// Its file was damaged, and the run itself could not be read.
    Damaged,
    /// The user turned telemetry off before it was sent.
    OptedOut,
    /// The user deleted it.
    Purged,
    /// The tool discarded it with [`Telemetry::discard`](crate::Telemetry::discard).
    Discarded,
    /// It was not recorded, because its process already had 64 open commands.
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

    /// The stable name that file names and `status --json` use.
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

//! What became of runs: outcomes are renames into `outcomes/`, and are then folded into one file of counters.
//!
//! The file names the outcomes that it has counted. If a fold is killed before it has put them away, the next
//! one finds them there and does not count them again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::time::SystemTime;

use super::backoff::seconds;
use super::dir::{RunName, SpoolDir};
use super::limits::KEPT;
use crate::choice::replace_file;
use crate::platform;

/// What becomes of a run in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl Outcome {
    pub(crate) const ALL: [Outcome; 9] = [
        Outcome::Delivered,
        Outcome::Refused,
        Outcome::LimitBytes,
        Outcome::LimitRuns,
        Outcome::LimitAge,
        Outcome::Disk,
        Outcome::Damaged,
        Outcome::OptedOut,
        Outcome::Purged,
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
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|outcome| *outcome == self).unwrap_or_default()
    }

    pub(crate) fn file_name(self, run: RunName) -> String {
        format!("{run}.{}", self.name())
    }
}

/// How many runs came to which end, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counters {
    runs: [u64; Outcome::ALL.len()],
    /// Spans that a receiver rejected while it accepted the rest of the request.
    pub(crate) rejected_spans: u64,
    /// Spans of recorded runs that were too many or too large to write.
    pub(crate) dropped_spans: u64,
    /// Lines that could not be read and values that are not approved, left out of what was sent.
    pub(crate) left_out: u64,
    /// Seconds since the Unix epoch.
    pub(crate) last_delivery: Option<u64>,
    /// The kind of the last failure and its time; cleared by a delivery.
    pub(crate) last_failure: Option<(String, u64)>,
    /// The outcomes that are counted here and may still lie in their folder.
    folded: BTreeSet<String>,
}

/// Larger than the counters with the outcomes of a few full batches.
const LARGEST: u64 = 4 << 20;

impl Counters {
    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        self.runs[outcome.index()]
    }

    /// The counters with all outcomes that are not folded yet, without changing anything.
    pub(crate) fn look(spool: &SpoolDir) -> Self {
        let mut counters = Self::read(spool).unwrap_or_default();
        let waiting = outcomes_waiting(spool);
        counters.add(&waiting);
        counters
    }

    fn read(spool: &SpoolDir) -> Option<Self> {
        let (mut file, metadata) = platform::open_own(&spool.counters(), false, false).ok()?;
        if metadata.len() > LARGEST {
            return None;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut counters = Self::default();
        if !text.ends_with('\n') {
            return None;
        }
        for line in text.lines() {
            let (key, value) = line.split_once(' ')?;
            match key {
                "rejected_spans" => counters.rejected_spans = value.parse().ok()?,
                "dropped_spans" => counters.dropped_spans = value.parse().ok()?,
                "left_out" => counters.left_out = value.parse().ok()?,
                "last_delivery" => counters.last_delivery = Some(value.parse().ok()?),
                "last_failure" => {
                    let (kind, time) = value.rsplit_once(' ')?;
                    let known = kind.len() <= 40
                        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" _-".contains(&byte));
                    counters.last_failure = known.then(|| Some((kind.to_owned(), time.parse().ok()?)))?;
                }
                "folded" => {
                    counters.folded.insert(value.to_owned());
                }
                outcome => counters.runs[Outcome::from_name(outcome)?.index()] = value.parse().ok()?,
            }
        }
        Some(counters)
    }

    fn render(&self) -> String {
        let mut text = String::new();
        for outcome in Outcome::ALL {
            let _ = writeln!(text, "{} {}", outcome.name(), self.of(outcome));
        }
        let _ = writeln!(text, "rejected_spans {}", self.rejected_spans);
        let _ = writeln!(text, "dropped_spans {}", self.dropped_spans);
        let _ = writeln!(text, "left_out {}", self.left_out);
        if let Some(time) = self.last_delivery {
            let _ = writeln!(text, "last_delivery {time}");
        }
        if let Some((kind, time)) = &self.last_failure {
            let _ = writeln!(text, "last_failure {kind} {time}");
        }
        for name in &self.folded {
            let _ = writeln!(text, "folded {name}");
        }
        text
    }

    fn add(&mut self, waiting: &[Waiting]) {
        for waiting in waiting.iter().filter(|waiting| !self.folded.contains(&waiting.file_name)) {
            self.runs[waiting.outcome.index()] += 1;
            self.rejected_spans += u64::from(waiting.run.rejected_spans);
            self.dropped_spans += u64::from(waiting.run.dropped_spans);
        }
    }

    /// Counts all outcomes and puts their files away. Only for the holder of the uploader's lock.
    ///
    /// `note` adds what else is to be remembered in the same step.
    pub(crate) fn fold(spool: &SpoolDir, note: impl FnOnce(&mut Self)) -> io::Result<()> {
        let before = Self::read(spool).unwrap_or_default();
        let waiting = outcomes_waiting(spool);
        let mut after = before.clone();
        after.add(&waiting);
        after.folded = waiting.iter().map(|waiting| waiting.file_name.clone()).collect();
        note(&mut after);
        if after != before {
            replace_file(&spool.counters(), after.render().as_bytes())?;
        }
        put_away(spool, waiting)
    }
}

/// Keeps the newest delivered runs for `telemetry show`, and deletes the others.
fn put_away(spool: &SpoolDir, waiting: Vec<Waiting>) -> io::Result<()> {
    let (delivered, others): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|waiting| waiting.outcome == Outcome::Delivered);
    for other in others {
        std::fs::remove_file(spool.outcomes().join(other.file_name))?;
    }
    let mut delivered: Vec<_> = delivered
        .into_iter()
        .map(|waiting| {
            let path = spool.outcomes().join(&waiting.file_name);
            let modified = std::fs::symlink_metadata(&path).and_then(|metadata| metadata.modified());
            (modified.unwrap_or(SystemTime::UNIX_EPOCH), path, waiting.run)
        })
        .collect();
    delivered.sort_by_key(|(modified, _, run)| (*modified, *run));
    let over = delivered.len().saturating_sub(KEPT);
    for (position, (_, path, run)) in delivered.into_iter().enumerate() {
        if position < over {
            std::fs::remove_file(path)?;
        } else {
            let kept = RunName { rejected_spans: 0, ..run };
            std::fs::rename(path, spool.sent().join(kept.sealed()))?;
        }
    }
    Ok(())
}

/// Remembers a delivery.
pub(crate) fn note_delivery(now: SystemTime, left_out: u64) -> impl FnOnce(&mut Counters) {
    move |counters| {
        counters.last_delivery = Some(seconds(now));
        counters.last_failure = None;
        counters.left_out += left_out;
    }
}

/// Remembers a failure.
pub(crate) fn note_failure(now: SystemTime, kind: String) -> impl FnOnce(&mut Counters) {
    move |counters| counters.last_failure = Some((kind, seconds(now)))
}

struct Waiting {
    file_name: String,
    run: RunName,
    outcome: Outcome,
}

/// The outcomes in their folder, counted already or not.
fn outcomes_waiting(spool: &SpoolDir) -> Vec<Waiting> {
    let Ok(entries) = std::fs::read_dir(spool.outcomes()) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let file_name = entry.file_name().into_string().ok()?;
            let (stem, ending) = file_name.rsplit_once('.')?;
            let (run, outcome) = (RunName::parse(stem)?, Outcome::from_name(ending)?);
            Some(Waiting { file_name, run, outcome })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, SpoolDir) {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolDir::new(folder.path(), "tool", "maker");
        spool.create().unwrap();
        (folder, spool)
    }

    fn put(spool: &SpoolDir, random: u128, outcome: Outcome) {
        std::fs::write(spool.outcomes().join(outcome.file_name(RunName::new(random))), "").unwrap();
    }

    #[test]
    fn an_outcome_is_counted_once_however_often_the_fold_is_killed() {
        let (_folder, spool) = spool();
        put(&spool, 1, Outcome::Delivered);
        put(&spool, 2, Outcome::LimitAge);
        assert_eq!(Counters::look(&spool).of(Outcome::Delivered), 1);
        Counters::fold(&spool, |_| {}).unwrap();
        // As if the fold had been killed before it put them away.
        put(&spool, 1, Outcome::Delivered);
        put(&spool, 2, Outcome::LimitAge);
        for _ in 0..3 {
            Counters::fold(&spool, |_| {}).unwrap();
            let counters = Counters::look(&spool);
            assert_eq!((counters.of(Outcome::Delivered), counters.of(Outcome::LimitAge)), (1, 1));
        }
        assert!(outcomes_waiting(&spool).is_empty());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut counters =
            Counters { rejected_spans: 3, left_out: 1, last_delivery: Some(9), ..Counters::default() };
        counters.runs[1] = 4;
        counters.last_failure = Some(("http 503".to_owned(), 77));
        counters.folded.insert("run1-x.refused".to_owned());
        assert_eq!(Counters::parse(&counters.render()), Some(counters));
        for text in ["delivered", "delivered x\n", "unknown 1\n", "last_failure <html> 7\n"] {
            assert_eq!(Counters::parse(text), None, "{text:?}");
        }
    }
}

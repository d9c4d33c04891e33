//! The number of runs for each outcome. A rename into `outcomes/` records the outcome of a run. A *fold* then adds the
//! outcomes to one file of counters and archives their files.
//!
//! The file of counters names the outcome files that it has counted. If a fold is killed before it archives them, the next
//! fold does not count them again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::SystemTime;

use super::directory::{RunName, SpoolDirectory};
use super::outcome::Outcome;
use crate::model::clock::unix_seconds;
use crate::model::hex::checksum;
use crate::platform::{self, is_foreign, is_missing, replace_file};

/// How many delivered runs are kept for `telemetry show`.
pub(super) const MAX_KEPT: usize = 20;

/// The number of runs for each outcome, and the last delivery and failure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counters {
    runs: [u64; Outcome::ALL.len()],
    /// Spans that a receiver rejected while it accepted the rest of the request.
    pub(crate) rejected_spans: u64,
    /// Spans of recorded runs beyond a limit, and spans in incomplete lines.
    pub(crate) dropped_spans: u64,
    /// Unreadable lines and unapproved values that were not sent.
    pub(crate) left_out: u64,
    /// Seconds since the Unix epoch.
    pub(crate) last_delivery: Option<u64>,
    /// The latest time at which installations were counted, in seconds since the Unix epoch. The clock may have been set
    /// back since, and the state of the counts may be lost.
    pub(crate) counted_until: Option<u64>,
    /// The kind of the last failure and its time. A delivery clears it.
    pub(crate) last_failure: Option<(String, u64)>,
    /// When counting began again because the file was damaged. The damaged file is kept beside it.
    pub(crate) restarted: Option<u64>,
    /// Outcome files that are counted here and may still exist.
    folded: BTreeSet<String>,
    /// Lines that a newer version wrote. They are kept.
    unknown: Vec<String>,
}

/// What the counters' file contains.
#[derive(Debug, PartialEq, Eq)]
enum StoredCounters {
    Missing,
    Valid(Box<Counters>),
    /// We did not write this. It is moved aside and never read as zeros.
    Damaged,
}

/// Larger than the file can be. It lists the outcome files of one step of a fold.
const MAX_BYTES: u64 = 1 << 20;
/// Outcome files that are counted in one step, so that the counters' file stays small.
const FOLDED_AT_ONCE: usize = 1_000;
/// How often a reader retries while another process folds. A fold writes the file once for 1,000 outcomes.
const READ_ATTEMPTS: usize = 64;

impl Counters {
    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        self.runs[outcome.index()]
    }

    /// Reads the counters, including outcomes that are not folded yet, and whether the file is damaged. Changes nothing.
    ///
    /// A fold writes the counters before it archives outcome files. So if the counters are the same before and after the
    /// outcome files are listed, both belong together.
    pub(crate) fn read(spool: &SpoolDirectory) -> io::Result<(Self, bool)> {
        let mut before = StoredCounters::read(spool)?;
        for _ in 0..READ_ATTEMPTS {
            let unfolded = OutcomeFile::list(spool)?;
            let after = StoredCounters::read(spool)?;
            if before == after {
                let is_damaged = after == StoredCounters::Damaged;
                let mut counters = match after {
                    StoredCounters::Valid(counters) => *counters,
                    StoredCounters::Missing | StoredCounters::Damaged => Self::default(),
                };
                counters.add(&unfolded);
                return Ok((counters, is_damaged));
            }
            before = after;
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "the counters changed at every attempt"))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut counters = Self::default();
        let (text, check) = text.strip_suffix('\n')?.rsplit_once("check ")?;
        if check != checksum(text) {
            return None;
        }
        for line in text.lines() {
            let (key, value) = line.split_once(' ')?;
            match key {
                "rejected_spans" => counters.rejected_spans = value.parse().ok()?,
                "dropped_spans" => counters.dropped_spans = value.parse().ok()?,
                "left_out" => counters.left_out = value.parse().ok()?,
                "last_delivery" => counters.last_delivery = Some(value.parse().ok()?),
                "counted_until" => counters.counted_until = Some(value.parse().ok()?),
                "last_failure" => {
                    let (kind, time) = value.rsplit_once(' ')?;
                    counters.last_failure =
                        is_kind(kind).then(|| Some((kind.to_owned(), time.parse().ok()?)))?;
                }
                "restarted" => counters.restarted = Some(value.parse().ok()?),
                "folded" => {
                    counters.folded.insert(value.to_owned());
                }
                outcome => match Outcome::from_name(outcome) {
                    Some(outcome) => counters.runs[outcome.index()] = value.parse().ok()?,
                    // The checksum is right, so a newer version wrote this line.
                    None => counters.unknown.push(line.to_owned()),
                },
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
        if let Some(time) = self.counted_until {
            let _ = writeln!(text, "counted_until {time}");
        }
        if let Some((kind, time)) = &self.last_failure {
            let _ = writeln!(text, "last_failure {kind} {time}");
        }
        if let Some(time) = self.restarted {
            let _ = writeln!(text, "restarted {time}");
        }
        for line in &self.unknown {
            let _ = writeln!(text, "{line}");
        }
        for name in &self.folded {
            let _ = writeln!(text, "folded {name}");
        }
        let check = checksum(&text);
        let _ = writeln!(text, "check {check}");
        text
    }

    fn add(&mut self, files: &[OutcomeFile]) {
        for file in files.iter().filter(|file| !self.folded.contains(&file.name)) {
            for (sum, more) in [
                (&mut self.runs[file.outcome.index()], 1),
                (&mut self.rejected_spans, file.run.rejected_spans),
                (&mut self.dropped_spans, file.run.dropped_spans),
            ] {
                *sum = sum.saturating_add(more.into());
            }
        }
    }

    /// Counts all outcome files and archives them. `note` changes the counters in the same step. The caller must hold the
    /// uploader's lock.
    pub(crate) fn fold(spool: &SpoolDirectory, note: impl FnOnce(&mut Self)) -> io::Result<()> {
        let stored = StoredCounters::read(spool)?;
        let files = OutcomeFile::list(spool)?;
        let begin_again = || Self { restarted: Some(unix_seconds(SystemTime::now())), ..Self::default() };
        let (mut written, mut after) = match stored {
            StoredCounters::Valid(counters) => (Some((*counters).clone()), *counters),
            // An earlier fold moved damaged counters aside, and was killed before it wrote new ones.
            StoredCounters::Missing if spool.damaged_counters().exists() => (None, begin_again()),
            StoredCounters::Missing => (None, Self::default()),
            StoredCounters::Damaged => {
                platform::rename(spool.counters(), spool.damaged_counters())?;
                (None, begin_again())
            }
        };
        let (counted, uncounted): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| after.folded.contains(&file.name));
        after.folded = counted.iter().map(|file| file.name.clone()).collect();
        note(&mut after);
        // Files that an earlier fold counted and could not archive stay in the list until they are gone.
        let archived_before = archive(spool, counted);
        if archived_before.is_ok() {
            after.folded.clear();
        }
        let unarchived = after.folded.clone();
        let mut uncounted = uncounted.into_iter();
        loop {
            let step: Vec<OutcomeFile> = uncounted.by_ref().take(FOLDED_AT_ONCE).collect();
            let is_last = step.len() < FOLDED_AT_ONCE;
            after.add(&step);
            after.folded = unarchived.clone();
            after.folded.extend(step.iter().map(|file| file.name.clone()));
            if written.as_ref().map_or(after != Self::default(), |written| *written != after) {
                replace_file(&spool.counters(), after.render().as_bytes())?;
                written = Some(after.clone());
            }
            archive(spool, step)?;
            if is_last {
                return archived_before;
            }
        }
    }
}

impl StoredCounters {
    fn read(spool: &SpoolDirectory) -> io::Result<Self> {
        let (mut file, metadata) = match platform::open_own(&spool.counters(), false, false) {
            Ok(opened) => opened,
            Err(error) if is_missing(&error) => return Ok(Self::Missing),
            Err(error) if is_foreign(&error) => return Ok(Self::Damaged),
            Err(error) => return Err(error),
        };
        if metadata.len() > MAX_BYTES {
            return Ok(Self::Damaged);
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        file.read_to_end(&mut bytes)?;
        let counters = std::str::from_utf8(&bytes).ok().and_then(Counters::parse);
        Ok(counters.map_or(Self::Damaged, |counters| Self::Valid(Box::new(counters))))
    }
}

/// Keeps the newest delivered runs for `telemetry show`, and deletes the other outcome files. It tries all of them and
/// returns the last error.
fn archive(spool: &SpoolDirectory, files: Vec<OutcomeFile>) -> io::Result<()> {
    let mut result = Ok(());
    let mut remove = |path: PathBuf| match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
        _ => {}
    };
    let (delivered, others): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| file.outcome == Outcome::Delivered);
    for other in others {
        remove(spool.outcomes().join(other.name));
    }
    let mut delivered: Vec<_> = delivered
        .into_iter()
        .map(|file| {
            let path = spool.outcomes().join(&file.name);
            let modified = std::fs::symlink_metadata(&path).and_then(|metadata| metadata.modified());
            (modified.unwrap_or(SystemTime::UNIX_EPOCH), path, file.run)
        })
        .collect();
    delivered.sort_unstable_by_key(|(modified, _, run)| (*modified, *run));
    let over = delivered.len().saturating_sub(MAX_KEPT);
    for (position, (_, path, run)) in delivered.into_iter().enumerate() {
        let kept = spool.sent().join(RunName { rejected_spans: 0, ..run }.sealed());
        // A file that cannot be kept is deleted, or it would be counted for ever.
        if position < over || platform::rename(&path, kept).is_err() {
            remove(path);
        }
    }
    result
}

/// Notes in [`Counters::fold`] that installations are counted at this time, in seconds since the Unix epoch.
pub(crate) fn note_counted(time: u64) -> impl FnOnce(&mut Counters) {
    move |counters| counters.counted_until = counters.counted_until.max(Some(time))
}

/// Notes a delivery in [`Counters::fold`].
pub(crate) fn note_delivery(now: SystemTime, left_out: u64) -> impl FnOnce(&mut Counters) {
    move |counters| {
        counters.last_delivery = Some(unix_seconds(now));
        counters.last_failure = None;
        counters.left_out = counters.left_out.saturating_add(left_out);
    }
}

/// Notes a failure in [`Counters::fold`].
pub(crate) fn note_failure(now: SystemTime, kind: String) -> impl FnOnce(&mut Counters) {
    // With an invalid name the whole file would count as damaged.
    let kind = if is_kind(&kind) { kind } else { "unknown".to_owned() };
    move |counters| counters.last_failure = Some((kind, unix_seconds(now)))
}

/// The length of the longest name of a failure kind.
pub(crate) const MAX_FAILURE_NAME: usize = 48;

/// Whether a text may name a failure kind. It is a few words, and never a server's text.
fn is_kind(text: &str) -> bool {
    (1..=MAX_FAILURE_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" _-".contains(&byte))
}

/// A file in `outcomes/`.
struct OutcomeFile {
    name: String,
    run: RunName,
    outcome: Outcome,
}

impl OutcomeFile {
    fn list(spool: &SpoolDirectory) -> io::Result<Vec<Self>> {
        let entries = match std::fs::read_dir(spool.outcomes()) {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if let Some((run, outcome)) = Outcome::of_file(&name) {
                files.push(Self { name, run, outcome });
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(spool: &SpoolDirectory) -> Counters {
        Counters::read(spool).unwrap().0
    }

    fn put(spool: &SpoolDirectory, random: u128, outcome: Outcome) {
        std::fs::write(spool.outcomes().join(outcome.file_name(RunName::new(random))), "").unwrap();
    }

    #[test]
    fn an_outcome_is_counted_once_if_folds_are_killed() {
        let (_directory, spool) = SpoolDirectory::temporary();
        put(&spool, 1, Outcome::Delivered);
        put(&spool, 2, Outcome::LimitAge);
        assert_eq!(read(&spool).of(Outcome::Delivered), 1);
        Counters::fold(&spool, |_| {}).unwrap();
        // As if the fold had been killed before it archived them.
        put(&spool, 1, Outcome::Delivered);
        put(&spool, 2, Outcome::LimitAge);
        for _ in 0..3 {
            Counters::fold(&spool, |_| {}).unwrap();
            let counters = read(&spool);
            assert_eq!((counters.of(Outcome::Delivered), counters.of(Outcome::LimitAge)), (1, 1));
        }
        assert!(OutcomeFile::list(&spool).unwrap().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn counters_are_read_as_they_were_written(
            runs: [u64; Outcome::ALL.len()],
            spans: [u64; 3],
            times: [Option<u64>; 3],
            kind: Option<String>,
            folded: std::collections::BTreeSet<u128>,
        ) {
            let mut counters = Counters {
                runs,
                rejected_spans: spans[0],
                dropped_spans: spans[1],
                left_out: spans[2],
                last_delivery: times[0],
                restarted: times[1],
                counted_until: times[2],
                folded: folded.into_iter().map(|run| Outcome::Refused.file_name(RunName::new(run))).collect(),
                ..Counters::default()
            };
            if let Some(kind) = kind {
                note_failure(SystemTime::now(), kind)(&mut counters);
            }
            prop_assert_eq!(Counters::parse(&counters.render()), Some(counters));
        }

        #[test]
        fn an_outcomes_name_is_read_as_it_was_written(random: u128, dropped_spans: u32, at in 0..Outcome::ALL.len()) {
            let (run, outcome) = (RunName { dropped_spans, ..RunName::new(random) }, Outcome::ALL[at]);
            prop_assert_eq!(Outcome::of_file(&outcome.file_name(run)), Some((run, outcome)));
        }
    }

    #[test]
    fn other_lines_are_damage() {
        for text in ["delivered", "delivered x\n", "nothing\n", "last_failure <html> 7\n", ""] {
            let checked = format!("{text}check {}\n", checksum(text));
            assert_eq!(Counters::parse(text), None, "{text:?}");
            assert_eq!(Counters::parse(&checked).is_some(), text.is_empty(), "{checked:?}");
        }
    }

    #[test]
    fn counters_of_a_newer_version_are_kept() {
        let (_directory, spool) = SpoolDirectory::temporary();
        let text = "delivered 4\nlost_to_the_sea 2\n";
        std::fs::write(spool.counters(), format!("{text}check {}\n", checksum(text))).unwrap();
        put(&spool, 1, Outcome::Delivered);
        Counters::fold(&spool, |_| {}).unwrap();
        let written = std::fs::read_to_string(spool.counters()).unwrap();
        assert!(written.contains("delivered 5\n") && written.contains("lost_to_the_sea 2\n"), "{written}");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_change_until_when_installations_were_counted() {
        let mut counters = Counters::default();
        let until = [3, 9, 2, 10, 4].map(|time| {
            note_counted(time)(&mut counters);
            counters.counted_until
        });
        assert_eq!(until, [3, 9, 9, 10, 10].map(Some));
    }

    #[test]
    fn damage_is_never_read_as_zeros() {
        let mut counters = Counters { last_delivery: Some(9), ..Counters::default() };
        counters.runs[0] = 12;
        let whole = counters.render();
        for length in 0..whole.len() {
            assert_eq!(Counters::parse(&whole[..length]), None, "cut at {length}");
        }
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone().into_bytes();
                bytes[position] ^= 1 << bit;
                let parsed = std::str::from_utf8(&bytes).ok().and_then(Counters::parse);
                assert_eq!(parsed, None, "bit {bit} of byte {position}");
            }
        }
    }

    #[test]
    fn damaged_counters_are_moved_aside() {
        let (_directory, spool) = SpoolDirectory::temporary();
        std::fs::write(spool.counters(), "delivered 7\nche").unwrap();
        put(&spool, 1, Outcome::Delivered);
        let (counters, is_damaged) = Counters::read(&spool).unwrap();
        assert!(is_damaged);
        assert_eq!(counters.of(Outcome::Delivered), 1);
        Counters::fold(&spool, |_| {}).unwrap();
        assert_eq!(std::fs::read_to_string(spool.damaged_counters()).unwrap(), "delivered 7\nche");
        let counters = read(&spool);
        assert_eq!(counters.of(Outcome::Delivered), 1);
        assert!(counters.restarted.is_some());
    }

    #[test]
    fn outcomes_of_several_steps_are_counted_once() {
        let (_directory, spool) = SpoolDirectory::temporary();
        let many = 2 * FOLDED_AT_ONCE as u128 + 7;
        for random in 0..many {
            put(&spool, random, Outcome::Purged);
        }
        Counters::fold(&spool, |_| {}).unwrap();
        assert_eq!(u128::from(read(&spool).of(Outcome::Purged)), many);
        assert!(std::fs::metadata(spool.counters()).unwrap().len() < MAX_BYTES / 4);
        assert!(OutcomeFile::list(&spool).unwrap().is_empty());
    }

    #[test]
    fn outcomes_that_cannot_be_archived_are_counted_once() {
        let (_directory, spool) = SpoolDirectory::temporary();
        put(&spool, 1, Outcome::Delivered);
        // A directory can neither be deleted as a file nor replace one.
        std::fs::create_dir(spool.outcomes().join(Outcome::Purged.file_name(RunName::new(2)))).unwrap();
        for _ in 0..3 {
            assert!(Counters::fold(&spool, |_| {}).is_err());
            let counters = read(&spool);
            assert_eq!((counters.of(Outcome::Delivered), counters.of(Outcome::Purged)), (1, 1));
        }
    }

    #[test]
    fn counters_are_exact_during_a_fold() {
        let (_directory, spool) = SpoolDirectory::temporary();
        let written = std::sync::atomic::AtomicU64::new(0);
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for random in 0..1_500 {
                    put(&spool, random, Outcome::Refused);
                    written.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
                over.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::SeqCst) {
                    Counters::fold(&spool, |_| {}).unwrap();
                }
            });
            while !over.load(std::sync::atomic::Ordering::SeqCst) {
                let least = written.load(std::sync::atomic::Ordering::SeqCst);
                let seen = read(&spool).of(Outcome::Refused);
                let most = written.load(std::sync::atomic::Ordering::SeqCst) + 1;
                assert!((least..=most).contains(&seen), "{seen} is not in {least}..={most}");
            }
        });
    }
}

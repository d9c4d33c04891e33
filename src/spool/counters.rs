//! What became of runs: outcomes are renames into `outcomes/`, and are then folded into one file of counters.
//!
//! The file names the outcomes that it has counted. If a fold is killed before it has put them away, the next
//! one finds them there and does not count them again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::time::SystemTime;

use super::directory::{RunName, SpoolDirectory};
use super::outcome::Outcome;
use crate::model::clock::unix_seconds;
use crate::model::hex::checksum;
use crate::platform::{self, is_foreign, is_missing, replace_file};

/// How many delivered runs are kept for `telemetry show`.
pub(crate) const KEPT: usize = 20;

/// How many runs came to which end, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counters {
    runs: [u64; Outcome::ALL.len()],
    /// Spans that a receiver rejected while it accepted the rest of the request.
    pub(crate) rejected_spans: u64,
    /// Spans of recorded runs that were too many, too large to write, or torn off.
    pub(crate) dropped_spans: u64,
    /// Lines that could not be read and values that are not approved, left out of what was sent.
    pub(crate) left_out: u64,
    /// Seconds since the Unix epoch.
    pub(crate) last_delivery: Option<u64>,
    /// The kind of the last failure and its time; cleared by a delivery.
    pub(crate) last_failure: Option<(String, u64)>,
    /// When counting began again because the file was damaged; what it held lies beside it.
    pub(crate) restarted: Option<u64>,
    /// The outcomes that are counted here and may still lie in their folder.
    folded: BTreeSet<String>,
    /// Lines that a newer version wrote, kept as they are.
    unknown: Vec<String>,
}

/// The counters' file, looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CountersFile {
    Missing,
    Read(Box<Counters>),
    /// Not as we wrote it: to be put aside, never to be taken for zeros.
    Damaged,
}

/// Larger than the counters with the outcomes of one step of a fold.
const LARGEST: u64 = 1 << 20;
/// Outcomes that are counted in one step, so that the file stays small however many wait.
const FOLDED_AT_ONCE: usize = 1_000;
/// How often a reader looks again while somebody is folding. A fold writes the file once for 1,000 outcomes.
const LOOKS: usize = 64;

impl Counters {
    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        self.runs[outcome.index()]
    }

    /// The counters with all outcomes that are not folded yet, without changing anything; and whether the file is
    /// damaged.
    ///
    /// A fold may put outcomes away between a look at the file and one at the folder. It writes the file before
    /// that, so a file that is the same before and after goes with the folder that was seen in between.
    pub(crate) fn look(spool: &SpoolDirectory) -> io::Result<(Self, bool)> {
        let mut before = Self::read(spool)?;
        for _ in 0..LOOKS {
            let waiting = outcomes_waiting(spool)?;
            let after = Self::read(spool)?;
            if before == after {
                let is_damaged = after == CountersFile::Damaged;
                let mut counters = match after {
                    CountersFile::Read(counters) => *counters,
                    CountersFile::Missing | CountersFile::Damaged => Self::default(),
                };
                counters.add(&waiting);
                return Ok((counters, is_damaged));
            }
            before = after;
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "the counters changed at every look"))
    }

    fn read(spool: &SpoolDirectory) -> io::Result<CountersFile> {
        let (mut file, metadata) = match platform::open_own(&spool.counters(), false, false) {
            Ok(opened) => opened,
            Err(error) if is_missing(&error) => return Ok(CountersFile::Missing),
            // A link, a FIFO, a folder: whatever it is, we did not write it.
            Err(error) if is_foreign(&error) => return Ok(CountersFile::Damaged),
            Err(error) => return Err(error),
        };
        if metadata.len() > LARGEST {
            return Ok(CountersFile::Damaged);
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        file.read_to_end(&mut bytes)?;
        let counters = std::str::from_utf8(&bytes).ok().and_then(Self::parse);
        Ok(counters.map_or(CountersFile::Damaged, |counters| CountersFile::Read(Box::new(counters))))
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
                    // The sum is right: a newer version counts what we do not know.
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

    fn add(&mut self, waiting: &[Waiting]) {
        for waiting in waiting.iter().filter(|waiting| !self.folded.contains(&waiting.file_name)) {
            for (sum, more) in [
                (&mut self.runs[waiting.outcome.index()], 1),
                (&mut self.rejected_spans, waiting.run.rejected_spans),
                (&mut self.dropped_spans, waiting.run.dropped_spans),
            ] {
                *sum = sum.saturating_add(more.into());
            }
        }
    }

    /// Counts all outcomes and puts their files away. Only for the holder of the uploader's lock.
    ///
    /// `note` adds what else is to be remembered in the same step.
    pub(crate) fn fold(spool: &SpoolDirectory, note: impl FnOnce(&mut Self)) -> io::Result<()> {
        let found = Self::read(spool)?;
        let waiting = outcomes_waiting(spool)?;
        let before = match &found {
            CountersFile::Read(counters) => (**counters).clone(),
            // Missing because it was put aside, and then this process's predecessor was killed?
            CountersFile::Missing if spool.damaged_counters().exists() => {
                Self { restarted: Some(unix_seconds(SystemTime::now())), ..Self::default() }
            }
            CountersFile::Missing => Self::default(),
            CountersFile::Damaged => {
                // What was counted is not known any more. It is kept for whoever can read it, and `status` says so.
                std::fs::rename(spool.counters(), spool.damaged_counters())?;
                Self { restarted: Some(unix_seconds(SystemTime::now())), ..Self::default() }
            }
        };
        let (counted, new): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|waiting| before.folded.contains(&waiting.file_name));
        let mut after = before;
        after.folded = counted.iter().map(|waiting| waiting.file_name.clone()).collect();
        note(&mut after);
        // What an earlier fold counted and could not put away is named until it is gone.
        let put_away_before = put_away(spool, counted);
        if put_away_before.is_ok() {
            after.folded.clear();
        }
        let stuck = after.folded.clone();
        let mut written = match found {
            CountersFile::Read(counters) => Some(*counters),
            CountersFile::Missing | CountersFile::Damaged => None,
        };
        let mut new = new.into_iter();
        loop {
            let step: Vec<Waiting> = new.by_ref().take(FOLDED_AT_ONCE).collect();
            let is_last = step.len() < FOLDED_AT_ONCE;
            after.add(&step);
            after.folded = stuck.clone();
            after.folded.extend(step.iter().map(|waiting| waiting.file_name.clone()));
            let changes = written.as_ref() != Some(&after) && (written.is_some() || after != Self::default());
            if changes {
                replace_file(&spool.counters(), after.render().as_bytes())?;
                written = Some(after.clone());
            }
            put_away(spool, step)?;
            if is_last {
                return put_away_before;
            }
        }
    }
}

/// Keeps the newest delivered runs for `telemetry show`, and deletes the others. All of them are tried; the first
/// fault is told.
fn put_away(spool: &SpoolDirectory, waiting: Vec<Waiting>) -> io::Result<()> {
    let mut result = Ok(());
    let mut attempt = |attempted: io::Result<()>| match attempted {
        Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
        _ => {}
    };
    let (delivered, others): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|waiting| waiting.outcome == Outcome::Delivered);
    for other in others {
        attempt(std::fs::remove_file(spool.outcomes().join(other.file_name)));
    }
    let mut delivered: Vec<_> = delivered
        .into_iter()
        .map(|waiting| {
            let path = spool.outcomes().join(&waiting.file_name);
            let modified = std::fs::symlink_metadata(&path).and_then(|metadata| metadata.modified());
            (modified.unwrap_or(SystemTime::UNIX_EPOCH), path, waiting.run)
        })
        .collect();
    delivered.sort_unstable_by_key(|(modified, _, run)| (*modified, *run));
    let over = delivered.len().saturating_sub(KEPT);
    for (position, (_, path, run)) in delivered.into_iter().enumerate() {
        if position >= over {
            let kept = RunName { rejected_spans: 0, ..run };
            if std::fs::rename(&path, spool.sent().join(kept.sealed())).is_ok() {
                continue;
            }
        }
        // Too many, or it cannot be kept: then it must go all the same, or it would be counted for ever.
        attempt(std::fs::remove_file(path));
    }
    result
}

/// Remembers a delivery.
pub(crate) fn note_delivery(now: SystemTime, left_out: u64) -> impl FnOnce(&mut Counters) {
    move |counters| {
        counters.last_delivery = Some(unix_seconds(now));
        counters.last_failure = None;
        counters.left_out = counters.left_out.saturating_add(left_out);
    }
}

/// Remembers a failure.
pub(crate) fn note_failure(now: SystemTime, kind: String) -> impl FnOnce(&mut Counters) {
    // A name that would not be read again would make the whole file a damaged one.
    let kind = if is_kind(&kind) { kind } else { "unknown".to_owned() };
    move |counters| counters.last_failure = Some((kind, unix_seconds(now)))
}

/// The longest name of a kind of failure.
pub(crate) const LONGEST_FAILURE_NAME: usize = 48;

/// What may name a kind of failure: a few words, and never a server's text.
fn is_kind(text: &str) -> bool {
    (1..=LONGEST_FAILURE_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" _-".contains(&byte))
}

struct Waiting {
    file_name: String,
    run: RunName,
    outcome: Outcome,
}

/// The outcomes in their folder, counted already or not.
fn outcomes_waiting(spool: &SpoolDirectory) -> io::Result<Vec<Waiting>> {
    let entries = match std::fs::read_dir(spool.outcomes()) {
        Ok(entries) => entries,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut waiting = Vec::new();
    for entry in entries {
        let Ok(file_name) = entry?.file_name().into_string() else { continue };
        if let Some((run, outcome)) = Outcome::of_file(&file_name) {
            waiting.push(Waiting { file_name, run, outcome });
        }
    }
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spool() -> (tempfile::TempDir, SpoolDirectory) {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolDirectory::new(folder.path(), "tool", "maker");
        spool.create().unwrap();
        (folder, spool)
    }

    fn look(spool: &SpoolDirectory) -> Counters {
        Counters::look(spool).unwrap().0
    }

    fn put(spool: &SpoolDirectory, random: u128, outcome: Outcome) {
        std::fs::write(spool.outcomes().join(outcome.file_name(RunName::new(random))), "").unwrap();
    }

    #[test]
    fn an_outcome_is_counted_once_however_often_the_fold_is_killed() {
        let (_folder, spool) = spool();
        put(&spool, 1, Outcome::Delivered);
        put(&spool, 2, Outcome::LimitAge);
        assert_eq!(look(&spool).of(Outcome::Delivered), 1);
        Counters::fold(&spool, |_| {}).unwrap();
        // As if the fold had been killed before it put them away.
        put(&spool, 1, Outcome::Delivered);
        put(&spool, 2, Outcome::LimitAge);
        for _ in 0..3 {
            Counters::fold(&spool, |_| {}).unwrap();
            let counters = look(&spool);
            assert_eq!((counters.of(Outcome::Delivered), counters.of(Outcome::LimitAge)), (1, 1));
        }
        assert!(outcomes_waiting(&spool).unwrap().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn counters_are_read_as_they_were_written(
            runs: [u64; Outcome::ALL.len()],
            spans: [u64; 3],
            times: [Option<u64>; 2],
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
                folded: folded.into_iter().map(|run| Outcome::Refused.file_name(RunName::new(run))).collect(),
                ..Counters::default()
            };
            // Whatever a failure is called.
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
    fn what_is_not_a_counter_is_damage() {
        for text in ["delivered", "delivered x\n", "nothing\n", "last_failure <html> 7\n", ""] {
            let checked = format!("{text}check {}\n", checksum(text));
            assert_eq!(Counters::parse(text), None, "{text:?}");
            assert_eq!(Counters::parse(&checked).is_some(), text.is_empty(), "{checked:?}");
        }
    }

    #[test]
    fn what_a_newer_version_counts_is_kept() {
        let (_folder, spool) = spool();
        let text = "delivered 4\nlost_to_the_sea 2\n";
        std::fs::write(spool.counters(), format!("{text}check {}\n", checksum(text))).unwrap();
        put(&spool, 1, Outcome::Delivered);
        Counters::fold(&spool, |_| {}).unwrap();
        let written = std::fs::read_to_string(spool.counters()).unwrap();
        assert!(written.contains("delivered 5\n") && written.contains("lost_to_the_sea 2\n"), "{written}");
    }

    #[test]
    fn any_damage_is_noticed_and_never_taken_for_zeros() {
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
    fn damaged_counters_are_put_aside_and_counting_begins_again() {
        let (_folder, spool) = spool();
        std::fs::write(spool.counters(), "delivered 7\nche").unwrap();
        put(&spool, 1, Outcome::Delivered);
        let (counters, is_damaged) = Counters::look(&spool).unwrap();
        assert!(is_damaged);
        assert_eq!(counters.of(Outcome::Delivered), 1);
        Counters::fold(&spool, |_| {}).unwrap();
        assert_eq!(std::fs::read_to_string(spool.damaged_counters()).unwrap(), "delivered 7\nche");
        let counters = look(&spool);
        assert_eq!(counters.of(Outcome::Delivered), 1);
        assert!(counters.restarted.is_some());
    }

    #[test]
    fn more_outcomes_than_one_step_counts_are_all_counted_once() {
        let (_folder, spool) = spool();
        let many = 2 * FOLDED_AT_ONCE as u128 + 7;
        for random in 0..many {
            put(&spool, random, Outcome::Purged);
        }
        Counters::fold(&spool, |_| {}).unwrap();
        assert_eq!(u128::from(look(&spool).of(Outcome::Purged)), many);
        assert!(std::fs::metadata(spool.counters()).unwrap().len() < LARGEST / 4);
        assert!(outcomes_waiting(&spool).unwrap().is_empty());
    }

    #[test]
    fn outcomes_that_cannot_be_put_away_are_counted_once() {
        let (_folder, spool) = spool();
        put(&spool, 1, Outcome::Delivered);
        // Not to be deleted as a file, nor to be moved over a file.
        std::fs::create_dir(spool.outcomes().join(Outcome::Purged.file_name(RunName::new(2)))).unwrap();
        for _ in 0..3 {
            assert!(Counters::fold(&spool, |_| {}).is_err());
            let counters = look(&spool);
            assert_eq!((counters.of(Outcome::Delivered), counters.of(Outcome::Purged)), (1, 1));
        }
    }

    #[test]
    fn a_look_is_exact_while_outcomes_are_told_and_folded() {
        let (_folder, spool) = spool();
        let told = std::sync::atomic::AtomicU64::new(0);
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for random in 0..1_500 {
                    put(&spool, random, Outcome::Refused);
                    told.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
                over.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::SeqCst) {
                    Counters::fold(&spool, |_| {}).unwrap();
                }
            });
            while !over.load(std::sync::atomic::Ordering::SeqCst) {
                let least = told.load(std::sync::atomic::Ordering::SeqCst);
                let seen = look(&spool).of(Outcome::Refused);
                let most = told.load(std::sync::atomic::Ordering::SeqCst) + 1;
                assert!((least..=most).contains(&seen), "{seen} is not in {least}..={most}");
            }
        });
    }
}

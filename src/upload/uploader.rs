//! The uploader's loop: takes the lock, recovers what dead processes left, sends run after run in batches, tells
//! each run's outcome, and ends.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::answer::{Batch, DeliveryOutcome, Transport};
use super::detach::Purpose;
use super::failure::FailureKind;
use crate::model::allowlist::Allowlist;
use crate::model::data_points::Version;
use crate::model::settings::Limits;
use crate::model::span::{Ending, LineWriter, Span, Tool};
use crate::platform::{self, is_foreign, is_missing};
use crate::spool::backoff::Backoff;
use crate::spool::counters::{Counters, note_delivery, note_failure};
use crate::spool::directory::{RunName, RunState, SpoolDirectory};
use crate::spool::limits;
use crate::spool::listing::{SpooledRun, list};
use crate::spool::lock::UploaderLock;
use crate::spool::outcome::Outcome;
use crate::spool::read::{RecordedRun, read_run, spans_in};
use crate::spool::run_file::{LARGEST_RUN, claim_dead};

/// Runs in one request.
const MOST_RUNS: usize = 512;
/// Spans in one request, unless one run alone has more; what a request takes in memory follows from it.
const MOST_SPANS: usize = 4096;
/// So many refusals without a success in between end an uploader's work, so that a server which refuses everything gets
/// few requests; what was not tried waits.
const MOST_REFUSALS: u32 = 100;
/// A larger run file is not one of ours.
const LARGEST_FILE: u64 = LARGEST_RUN + (64 << 10);
/// How long an uploader that has nothing left waits for more, so that a script of 100 commands starts one.
const LINGER: Duration = Duration::from_millis(500);
/// The same where somebody waits for the uploader's own end: `strace -f`, a build sandbox.
const LINGER_WAITED_FOR: Duration = Duration::from_millis(50);
/// How often it looks meanwhile: one `stat` for more, one `unlink` for somebody who waits.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How long an uploader tries for the lock: another process's look at it lasts microseconds.
const LOCK_PATIENCE: Duration = Duration::from_millis(100);
const LOCK_EVERY: Duration = Duration::from_millis(5);
/// How often an uploader that could not write its backoff tries again.
const WRITE_EVERY: Duration = Duration::from_millis(250);

/// An uploader of one spool.
pub(crate) struct Uploader<'a> {
    pub(crate) spool: &'a SpoolDirectory,
    /// What may leave the machine now.
    pub(crate) allowlist: Allowlist,
    pub(crate) tool: &'a str,
    /// The tool's version. A run of a newer one that holds something unknown waits for an uploader of that version.
    pub(crate) version: &'a str,
    pub(crate) limits: Limits,
    pub(crate) purpose: Purpose,
    /// How long the command that it was started for waits, if one does.
    pub(crate) awaited_for: Duration,
    /// The process that started it.
    pub(crate) starter: Option<u32>,
    /// Asked before each request.
    pub(crate) may_send: &'a dyn Fn() -> bool,
}

/// Whether this process holds an uploader's lock.
static IS_AT_WORK: AtomicBool = AtomicBool::new(false);

/// A panic of the uploader is a failure like any other: it backs off, and `status` shows it. Called where the process
/// ends with it.
pub(crate) fn note_panic(spool: &SpoolDirectory) {
    let now = SystemTime::now();
    let before = Backoff::read(&spool.backoff());
    let _ =
        Backoff::after_failure(before, None, now, crate::platform::random_number()).write(&spool.backoff());
    // Counters are for who holds the lock.
    let is_at_work = IS_AT_WORK.load(Ordering::Relaxed);
    let lock = if is_at_work { None } else { UploaderLock::try_take(&spool.lock()).ok().flatten() };
    if is_at_work || lock.is_some() {
        let _ = Counters::fold(spool, note_failure(now, FailureKind::Panic.to_string()));
        // It has told its end, as in `UploaderLock::end`.
        let _ = platform::open_own(&spool.lock(), true, false).and_then(|(file, _)| file.set_len(0));
    }
}

/// How an uploader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing that could be delivered is left.
    NothingLeft,
    /// Something waits: for a time, for consent, or for another uploader.
    StillPending,
}

/// A run that was read.
struct Loaded {
    entry: SpooledRun,
    run: RecordedRun,
}

/// Why the work on a spool stops.
enum Stop {
    /// A wait is written to disk, or nothing can be seen or told.
    Later,
    /// This wait could not be written.
    Unwritten(Backoff),
    /// The person or the policy turned it off.
    Forbidden,
}

/// What an uploader learnt about its server.
#[derive(Debug, Default)]
struct Learnt {
    /// Since the last success.
    refusals: u32,
    /// Something was too large: only the next uploader tries larger requests again.
    is_too_large: bool,
    /// The spans of the largest request that was accepted.
    accepted: usize,
}

/// Runs that this uploader has tried, or cannot read or recover just now. What is still there under its name waits for
/// the next uploader: a run leaves its folder once, so whatever brings it back, nothing is sent in circles.
type LeftBehind = HashSet<u128>;

impl Uploader<'_> {
    /// Works until nothing is left, the way is closed for a time, or another uploader holds the lock for long.
    pub(crate) fn work(&self, deliver: &mut dyn Transport, life: Duration) -> End {
        let started = Instant::now();
        let mut left_behind = LeftBehind::new();
        loop {
            let patience = match self.purpose {
                Purpose::Detached => LOCK_PATIENCE,
                // Afterwards nobody waits, and who holds the lock looks for more before it ends.
                Purpose::Awaited => self.awaited_for.max(LOCK_PATIENCE),
                Purpose::Flush => life.saturating_sub(started.elapsed()),
            };
            let Some(lock) = self.take_lock(patience) else {
                return End::StillPending;
            };
            lock.begin();
            IS_AT_WORK.store(true, Ordering::Relaxed);
            let stopped = self.drain(deliver, &lock, &mut left_behind);
            if let Err(Stop::Unwritten(backoff)) = &stopped
                && self.purpose == Purpose::Detached
            {
                self.hold(backoff, life.saturating_sub(started.elapsed()));
            }
            lock.end();
            IS_AT_WORK.store(false, Ordering::Relaxed);
            drop(lock);
            // A command that found the lock held between our last look and now relies on us.
            if stopped.is_err() {
                return End::StillPending;
            }
            let listing = list(&self.spool.runs());
            let is_new = |entry: &&SpooledRun| !left_behind.contains(&entry.name.random);
            let more = listing.runs.iter().filter(is_new).any(|entry| entry.state == RunState::Sealed);
            let is_left = listing.runs.iter().any(|entry| !is_new(&entry));
            if listing.is_cut || (!more && is_left) {
                return End::StillPending;
            }
            if !more {
                return End::NothingLeft;
            }
        }
    }

    /// A wait that no file can tell is told by the lock: while it is held no command starts an uploader, or a
    /// thousand commands on a disk that cannot be written would start a thousand.
    fn hold(&self, backoff: &Backoff, most: Duration) {
        let asked = Instant::now();
        while asked.elapsed() < most
            && backoff.remaining(SystemTime::now()).is_some()
            && backoff.write(&self.spool.backoff()).is_err()
        {
            std::thread::sleep(WRITE_EVERY);
        }
    }

    fn take_lock(&self, patience: Duration) -> Option<UploaderLock> {
        let asked = Instant::now();
        let mut is_marked = false;
        let unmark = |is_marked: bool| {
            if is_marked {
                let _ = std::fs::remove_file(self.spool.waiter());
            }
        };
        loop {
            match UploaderLock::try_take(&self.spool.lock()) {
                Ok(Some(lock)) => {
                    unmark(is_marked);
                    return Some(lock);
                }
                Ok(None) if asked.elapsed() < patience => {
                    // Each time: who saw it may have found more to do at the last moment.
                    if self.purpose != Purpose::Detached {
                        is_marked |= platform::open_own(&self.spool.waiter(), true, true).is_ok();
                    }
                    std::thread::sleep(LOCK_EVERY);
                }
                _ => {
                    unmark(is_marked);
                    return None;
                }
            }
        }
    }

    fn drain(
        &self,
        deliver: &mut dyn Transport,
        lock: &UploaderLock,
        left_behind: &mut LeftBehind,
    ) -> Result<(), Stop> {
        // Where outcomes cannot be told nothing is sent, or it would be sent again and again.
        if self.spool.create().is_err() {
            return Err(self.back_off_from_the_disk());
        }
        let mut idle_since: Option<Instant> = None;
        let mut looked_at = None;
        let mut learnt = Learnt::default();
        loop {
            let changed = self.last_change();
            if changed.is_none() || changed != looked_at {
                looked_at = changed;
                if self.drain_once(deliver, lock, left_behind, &mut learnt)? {
                    idle_since = None;
                    continue;
                }
            }
            let idle_since = *idle_since.get_or_insert_with(Instant::now);
            if self.purpose != Purpose::Detached
                || idle_since.elapsed() >= LINGER
                || (idle_since.elapsed() >= LINGER_WAITED_FOR && platform::is_waited_for(self.starter))
                || std::fs::remove_file(self.spool.waiter()).is_ok()
            {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// When the folder of the runs last changed.
    fn last_change(&self) -> Option<SystemTime> {
        std::fs::metadata(self.spool.runs()).and_then(|metadata| metadata.modified()).ok()
    }

    /// Sends everything that lies there now; says whether there was anything.
    fn drain_once(
        &self,
        deliver: &mut dyn Transport,
        lock: &UploaderLock,
        left_behind: &mut LeftBehind,
        learnt: &mut Learnt,
    ) -> Result<bool, Stop> {
        let listing = limits::enforce(self.spool, &self.limits, SystemTime::now());
        if listing.is_cut {
            return Err(Stop::Later);
        }
        let mut waiting: VecDeque<SpooledRun> = VecDeque::with_capacity(listing.runs.len());
        for mut entry in listing.runs.into_iter().filter(SpooledRun::is_run) {
            match entry.state {
                RunState::Sealed if left_behind.contains(&entry.name.random) => {}
                RunState::Sealed => waiting.push_back(entry),
                RunState::Open => match self.recover(&mut entry) {
                    Ok(true) => waiting.push_back(entry),
                    Ok(false) => {}
                    Err(_) => {
                        left_behind.insert(entry.name.random);
                    }
                },
            }
        }
        // A run that is too large by itself must not hold up the others each time.
        if let Some(Backoff { failures, most_spans: Some(_), .. }) = Backoff::read(&self.spool.backoff())
            && !waiting.is_empty()
        {
            waiting.rotate_left(failures as usize % waiting.len());
        }
        let mut any = false;
        while !waiting.is_empty() {
            let most_spans = most_spans(Backoff::read(&self.spool.backoff()));
            let batch = self.load(&mut waiting, left_behind, most_spans)?;
            if batch.is_empty() {
                continue;
            }
            if !lock.is_named(&self.spool.lock()) {
                return Err(Stop::Later);
            }
            any = true;
            left_behind.extend(batch.iter().map(|loaded| loaded.entry.name.random));
            self.send(deliver, &batch, learnt)?;
        }
        let _ = Counters::fold(self.spool, |_| {});
        Ok(any)
    }

    /// Seals the run of a process that died. Says no if the process lives, or there is no run in the file.
    ///
    /// Each step can be the last one of this process and the first one of the next: what was torn is known from the
    /// file itself until its name tells it.
    fn recover(&self, entry: &mut SpooledRun) -> io::Result<bool> {
        let path = self.spool.runs().join(entry.name.open());
        let Some(mut file) = claim_dead(&path)? else {
            return Ok(false);
        };
        let length = file.metadata()?.len();
        let mut bytes = Vec::new();
        if length <= LARGEST_FILE {
            file.read_to_end(&mut bytes)?;
        }
        let Some(mut run) = read_run(&bytes, self.allowlist.data_points, self.tool) else {
            let damaged = self.spool.outcomes().join(Outcome::Damaged.file_name(entry.name));
            std::fs::rename(&path, damaged)?;
            return Ok(false);
        };
        let torn = bytes.len() - run.whole;
        if torn > 0 {
            // Lines of blanks in its place say how many spans were dropped, whoever reads the file next.
            // The line ends come first, so that a part of this write says it too.
            let mut blanks = vec![b' '; torn];
            let dropped = spans_in(&bytes[run.whole..]) as usize;
            blanks[..dropped - 1].fill(b'\n');
            blanks[torn - 1] = b'\n';
            file.seek(SeekFrom::Start(run.whole as u64))?;
            file.write_all(&blanks)?;
        }
        let torn_off = run.blank_lines.saturating_add(spans_in(&bytes[run.whole..]) as u32);
        entry.name.dropped_spans = entry.name.dropped_spans.saturating_add(torn_off);
        if run.ending() == Ending::Running {
            run.cut_off();
            let mut line = Vec::new();
            if let Some(root) = run.spans.first() {
                let tool = Tool { name: self.tool, version: &run.version };
                LineWriter::new(self.allowlist.data_points, tool).write(root, &mut line);
            }
            file.seek(SeekFrom::End(0))?;
            if let Err(error) = file.write_all(&line) {
                // A part of it would be taken for a span of the tool's.
                let _ = file.set_len(length);
                return Err(error);
            }
        }
        match std::fs::rename(&path, self.spool.runs().join(entry.name.sealed())) {
            Ok(()) => {
                entry.state = RunState::Sealed;
                Ok(true)
            }
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads runs of one version of the tool, oldest first; those of other versions stay in the queue.
    fn load(
        &self,
        waiting: &mut VecDeque<SpooledRun>,
        left_behind: &mut LeftBehind,
        most_spans: usize,
    ) -> Result<Vec<Loaded>, Stop> {
        let mut batch: Vec<Loaded> = Vec::new();
        let mut others = VecDeque::new();
        let mut spans = 0;
        while let Some(entry) = waiting.pop_front() {
            let Some(run) = self.read(&entry, left_behind)? else { continue };
            let fits = batch.is_empty() || spans + run.spans.len() <= most_spans;
            if batch.first().is_some_and(|first| first.run.version != run.version) {
                others.push_back(entry);
            } else if !fits {
                waiting.push_front(entry);
                break;
            } else {
                spans += run.spans.len();
                batch.push(Loaded { entry, run });
            }
            if batch.len() == MOST_RUNS || others.len() == MOST_RUNS {
                break;
            }
        }
        while let Some(other) = others.pop_back() {
            waiting.push_front(other);
        }
        Ok(batch)
    }

    /// Reads one run. One in which there is no run is put away; one that the system cannot give now is left behind.
    fn read(&self, entry: &SpooledRun, left_behind: &mut LeftBehind) -> Result<Option<RecordedRun>, Stop> {
        let path = self.spool.runs().join(entry.name.sealed());
        let content = platform::open_own(&path, false, false).and_then(|(mut file, metadata)| {
            let mut bytes = Vec::with_capacity(metadata.len().min(LARGEST_FILE) as usize);
            if metadata.len() <= LARGEST_FILE {
                file.read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        });
        let mut run = match content {
            Ok(bytes) => read_run(&bytes, self.allowlist.data_points, self.tool),
            // DeletedRuns meanwhile, by `telemetry off`.
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) if is_foreign(&error) => None,
            Err(_) => {
                left_behind.insert(entry.name.random);
                return Ok(None);
            }
        };
        match &mut run {
            // Not this version's to judge: a newer one of the tool knows what it is.
            Some(run) if run.left_out > 0 && self.is_newer(run) => {
                left_behind.insert(entry.name.random);
                return Ok(None);
            }
            Some(run) => {
                let before = run.left_out;
                run.keep_only(&self.allowlist);
                if run.left_out > before {
                    // So that what is withheld is gone, and `show` tells of a sent run what was sent.
                    let _ = self.rewrite(&path, run);
                }
            }
            None => {
                left_behind.insert(entry.name.random);
                self.put_away(entry.name, entry.name, Outcome::Damaged)?;
            }
        }
        Ok(run)
    }

    fn is_newer(&self, run: &RecordedRun) -> bool {
        let recorded_by = Version::parse(&run.version);
        Version::parse(self.version)
            .zip(recorded_by)
            .is_some_and(|(own, recorded_by)| own.is_before(&recorded_by))
    }

    fn rewrite(&self, path: &Path, run: &RecordedRun) -> io::Result<()> {
        let tool = Tool { name: self.tool, version: &run.version };
        let text = LineWriter::new(self.allowlist.data_points, tool).text(&run.spans);
        let temporary = self.spool.rewritten(crate::platform::random_number());
        platform::create_private(&temporary)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| std::fs::rename(&temporary, path))
            .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
    }

    /// Sends a batch and tells the outcomes; gives the number of runs that were refused. A batch that is refused is
    /// halved until the offending run is alone, and none is set aside that was not refused alone.
    fn send(
        &self,
        deliver: &mut dyn Transport,
        batch: &[Loaded],
        learnt: &mut Learnt,
    ) -> Result<usize, Stop> {
        let Some(first) = batch.first() else { return Ok(0) };
        if !(self.may_send)() {
            return Err(Stop::Forbidden);
        }
        let before = Backoff::read(&self.spool.backoff());
        // In CI the command that started this uploader gives up by writing a backoff for the commands after it: on a
        // busy machine before the first request, which is sent all the same.
        let waits = before.is_some_and(|backoff| {
            backoff.remaining(SystemTime::now()).is_some()
                && (backoff.asked || self.purpose == Purpose::Detached)
        });
        if waits {
            return Err(Stop::Later);
        }
        if batch.len() > 1 && spans_of(batch) > most_spans(before) {
            return self.send_halves(deliver, batch, learnt);
        }
        let spans: Vec<Span> = batch.iter().flat_map(|loaded| loaded.run.spans.iter().cloned()).collect();
        let tool = Tool { name: self.tool, version: &first.run.version };
        let answer = deliver.deliver(&Batch { data_points: self.allowlist.data_points, tool, spans: &spans });
        let now = SystemTime::now();
        match answer {
            DeliveryOutcome::Delivered { rejected, .. } => {
                // A server may claim more than it was sent.
                let rejected = rejected.min(spans.len() as u64);
                self.end_backoff(before, learnt, spans.len());
                let left_out =
                    batch.iter().fold(0_u64, |sum, loaded| sum.saturating_add(loaded.run.left_out));
                self.settle(batch, Outcome::Delivered, rejected)?;
                let _ = Counters::fold(self.spool, note_delivery(now, left_out));
                Ok(0)
            }
            DeliveryOutcome::Retry { after, kind } => {
                let before = if kind.may_be_the_size() { Some(smaller(before, batch)) } else { before };
                Err(self.back_off(before, after, kind, now))
            }
            DeliveryOutcome::Refused { kind } if !kind.is_about_content() => {
                // Any other request would be refused as well: this one is dropped, as OTLP demands, and the rest
                // waits.
                self.settle(batch, Outcome::Refused, 0)?;
                Err(self.back_off(before, None, kind, now))
            }
            // No more than was accepted before: it is not the size, but how much comes in a time.
            DeliveryOutcome::Refused { kind } if kind.may_be_the_size() && spans.len() <= learnt.accepted => {
                Err(self.back_off(Some(smaller(before, batch)), None, kind, now))
            }
            DeliveryOutcome::Refused { kind } => {
                learnt.refusals += 1;
                if batch.len() == 1 {
                    self.settle(batch, Outcome::Refused, 0)?;
                    let _ = Counters::fold(self.spool, note_failure(now, kind.to_string()));
                }
                if learnt.refusals >= MOST_REFUSALS {
                    return Err(self.back_off(Some(smaller(before, batch)), None, kind, now));
                }
                if batch.len() == 1 {
                    return Ok(1);
                }
                if kind == FailureKind::TooLarge {
                    self.send_less(before, batch, learnt);
                }
                let refused = self.send_halves(deliver, batch, learnt)?;
                let before = Backoff::read(&self.spool.backoff());
                if refused == 0 {
                    // Both halves went through, so it was the size.
                    self.send_less(before, batch, learnt);
                } else if refused == batch.len() && refused > 2 {
                    // Each of them is refused, so that most likely any is: one by one from now on.
                    self.send_less(before, &batch[..1], learnt);
                }
                Ok(refused)
            }
        }
    }

    fn send_halves(
        &self,
        deliver: &mut dyn Transport,
        batch: &[Loaded],
        learnt: &mut Learnt,
    ) -> Result<usize, Stop> {
        let (older, newer) = batch.split_at(batch.len() / 2);
        Ok(self.send(deliver, older, learnt)? + self.send(deliver, newer, learnt)?)
    }

    /// After a success nobody waits any more; and if requests were made smaller, they may grow again.
    fn end_backoff(&self, before: Option<Backoff>, learnt: &mut Learnt, spans: usize) {
        learnt.refusals = 0;
        learnt.accepted = learnt.accepted.max(spans);
        let most = before.and_then(|before| before.most_spans).map(|most| match learnt.is_too_large {
            true => most,
            false => most.max(spans).saturating_mul(2),
        });
        match most.filter(|most| *most < MOST_SPANS) {
            Some(most) => {
                let backoff = Backoff::NOTHING.with_most_spans(Some(most));
                if before != Some(backoff) {
                    let _ = backoff.write(&self.spool.backoff());
                }
            }
            // The command that waits for this may have given up meanwhile, and have told others not to wait.
            None if before.is_some() || self.purpose == Purpose::Awaited => {
                Backoff::clear(&self.spool.backoff());
            }
            None => {}
        }
    }

    /// From now on, also for other uploaders, half of this.
    fn send_less(&self, before: Option<Backoff>, batch: &[Loaded], learnt: &mut Learnt) {
        learnt.is_too_large = true;
        // Where it cannot be written each batch is halved anew.
        let _ = smaller(before, batch).write(&self.spool.backoff());
    }

    /// Tells the outcome of runs: of all of them, also if it cannot be told of one, so that no more than needs be
    /// is sent again.
    fn settle(&self, batch: &[Loaded], outcome: Outcome, rejected: u64) -> Result<(), Stop> {
        let mut result = Ok(());
        let mut rejected = u32::try_from(rejected).unwrap_or(u32::MAX);
        for loaded in batch {
            let told = RunName { rejected_spans: rejected, ..loaded.entry.name };
            match self.put_away(loaded.entry.name, told, outcome) {
                Ok(()) => rejected = 0,
                Err(stop) => result = Err(stop),
            }
        }
        result
    }

    /// Tells one outcome. If it cannot be told the work stops, or the run would be sent again and again.
    fn put_away(&self, run: RunName, told: RunName, outcome: Outcome) -> Result<(), Stop> {
        let from = self.spool.runs().join(run.sealed());
        let to = self.spool.outcomes().join(outcome.file_name(told));
        let moved = std::fs::rename(&from, &to).or_else(|error| {
            if !is_missing(&error) {
                return Err(error);
            }
            match std::fs::symlink_metadata(&from) {
                // DeletedRuns meanwhile, by `telemetry off`.
                Err(error) if is_missing(&error) => Ok(()),
                // It is the folder of the outcomes that is gone.
                _ => self.spool.create().and_then(|()| std::fs::rename(&from, &to)),
            }
        });
        moved.map_err(|_| self.back_off_from_the_disk())
    }

    fn back_off_from_the_disk(&self) -> Stop {
        let before = Backoff::read(&self.spool.backoff());
        self.back_off(before, None, FailureKind::Disk, SystemTime::now())
    }

    fn back_off(
        &self,
        before: Option<Backoff>,
        asked: Option<Duration>,
        kind: FailureKind,
        now: SystemTime,
    ) -> Stop {
        // The command that waited for this may have given up meanwhile.
        let most_spans = before.and_then(|before| before.most_spans);
        let before = Backoff::read(&self.spool.backoff())
            .map(|read| read.with_most_spans(most_spans.or(read.most_spans)))
            .or(before);
        let backoff = Backoff::after_failure(before, asked, now, crate::platform::random_number());
        let written = backoff.write(&self.spool.backoff());
        let _ = Counters::fold(self.spool, note_failure(now, kind.to_string()));
        match written {
            Ok(()) => Stop::Later,
            Err(_) => Stop::Unwritten(backoff),
        }
    }
}

/// The most spans for one request.
fn most_spans(backoff: Option<Backoff>) -> usize {
    backoff.and_then(|backoff| backoff.most_spans).unwrap_or(MOST_SPANS)
}

fn spans_of(batch: &[Loaded]) -> usize {
    batch.iter().map(|loaded| loaded.run.spans.len()).sum()
}

/// With room for either half of this batch.
fn smaller(before: Option<Backoff>, batch: &[Loaded]) -> Backoff {
    let before = before.unwrap_or(Backoff::NOTHING);
    let (older, newer) = batch.split_at(batch.len() / 2);
    let half = spans_of(older).max(spans_of(newer)).max(1);
    before.with_most_spans(Some(half.min(most_spans(Some(before)))))
}

impl FailureKind {
    /// Whether a refusal may be due to what was sent, so that sending less of it may help. A missing permission or a
    /// wrong address refuses everything alike.
    fn is_about_content(self) -> bool {
        match self {
            FailureKind::TooLarge => true,
            FailureKind::Http(status) => !matches!(status, 401..=406 | 415 | 426 | 501),
            // INVALID_ARGUMENT, RESOURCE_EXHAUSTED (too large), INTERNAL, UNKNOWN and the like; not PERMISSION_DENIED,
            // UNIMPLEMENTED and UNAUTHENTICATED.
            #[cfg(feature = "grpc")]
            FailureKind::Grpc(code) => !matches!(code, 7 | 12 | 16),
            _ => false,
        }
    }

    /// Whether less at once may go through: a limit of bytes in a time that is smaller than the request, or a request
    /// that takes too long.
    fn may_be_the_size(self) -> bool {
        match self {
            FailureKind::Timeout | FailureKind::Http(429 | 504) => true,
            // DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, OUT_OF_RANGE: what tonic says of a message over its limit.
            #[cfg(feature = "grpc")]
            FailureKind::Grpc(code) => matches!(code, 4 | 8 | 11),
            _ => false,
        }
    }
}

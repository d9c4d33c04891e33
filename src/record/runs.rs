//! The runs of this process, one for each command: their clock and ids, and which of them is whose.
//!
//! Most tools have one. A watcher or a shell has one after the other, a server several at once: they share a lock,
//! which a span takes when it closes, and when it opens only while several commands are open.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::run::{BegunRun, EndedRun, Run};
use super::{ParentSpan, RunId, fork};
use crate::model::allowlist::Allowlist;
use crate::model::data_points::{Kind, Value};
use crate::model::ids::Ids;
use crate::model::span::{Ending, LineWriter, Parent, Span, SpanId, Subject, Tool, TraceId};
use crate::record::open_span;
use crate::spool::directory::{RunName, SpoolDirectory};
use crate::spool::outcome::Outcome;
use crate::spool::run_file::{self, MOST_OPEN};

/// How long an exiting process waits for a thread that is writing a span.
const EXIT_PATIENCE: Duration = Duration::from_millis(10);

/// The runs that this process records.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) allowlist: Allowlist,
    clock: Clock,
    ids: Ids,
    tool: Tool<'static>,
    /// The run or span that started this process.
    parent: Option<(TraceId, SpanId)>,
    /// Nothing if the runs are only shown and never written.
    spool: Option<SpoolDirectory>,
    is_shown: bool,
    /// The number of the run that began last and is open, or of the first one before it begins; 0 if there is none.
    latest: AtomicU64,
    /// Whether more than one is open.
    are_several: AtomicBool,
    recording: Mutex<Recording>,
}

/// Wall-clock time that goes on by the monotonic clock, so that no span ends before it starts.
#[derive(Debug)]
struct Clock {
    /// Nanoseconds since the Unix epoch.
    started: AtomicU64,
    instant: Instant,
}

impl Clock {
    fn new() -> Self {
        Self { started: AtomicU64::new(wall_time()), instant: Instant::now() }
    }

    fn now(&self) -> u64 {
        self.started.load(Ordering::Relaxed).saturating_add(self.instant.elapsed().as_nanos() as u64)
    }

    /// Goes by the wall clock again, which may have been set since, and goes on while a machine sleeps.
    fn set(&self) {
        let started = wall_time().saturating_sub(self.instant.elapsed().as_nanos() as u64);
        self.started.store(started.max(1), Ordering::Relaxed);
    }
}

/// Nanoseconds since the Unix epoch; never 0, which means "not set" in OTLP.
fn wall_time() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::from_nanos(1));
    since_epoch.as_nanos().clamp(1, u64::MAX.into()) as u64
}

/// What changes while the process goes on.
#[derive(Debug)]
struct Recording {
    /// The runs whose command has begun and not ended, in the order in which they began.
    open: Vec<Run>,
    /// What was told before the next command begins: for the first one also the spans of the process so far.
    next: Option<Run>,
    /// A command has begun in this process.
    has_begun: bool,
    /// A process that ends without a command is no run, whatever its exit code is.
    needs_command: bool,
}

impl Recording {
    fn find(&mut self, id: RunId) -> Option<&mut Run> {
        let next = self.next.as_mut().filter(|next| next.id == id);
        self.open.iter_mut().rev().find(|run| run.id == id).or(next)
    }

    /// The run to which belongs what this thread does now, with this approved span above it.
    ///
    /// In a closure's thread all belongs to the closure's command. Else it follows the span above, on whichever thread;
    /// without one it belongs to the command that its thread began last, or else to the one that was begun last of all.
    fn current(&mut self, above: Option<ParentSpan>) -> Option<&mut Run> {
        if self.open.len() < 2 {
            return self.open.last_mut();
        }
        let own = Some(thread::current().id());
        let latest = self.open.iter().rposition(|run| run.thread == own).unwrap_or(self.open.len() - 1);
        let is_closures = self.open[latest].is_closure && self.open[latest].thread == own;
        let aboves = above.and_then(|above| self.open.iter().position(|run| run.id == above.run));
        self.open.get_mut(aboves.filter(|_| !is_closures).unwrap_or(latest))
    }
}

impl Runs {
    pub(crate) fn new(
        allowlist: Allowlist,
        tool: Tool<'static>,
        spool: Option<SpoolDirectory>,
        parent: Option<(TraceId, SpanId)>,
        is_shown: bool,
    ) -> Self {
        fork::watch();
        let recording = Recording { open: Vec::new(), next: None, has_begun: false, needs_command: false };
        let runs = Self {
            allowlist,
            clock: Clock::new(),
            ids: Ids::new(),
            tool,
            parent,
            spool,
            is_shown,
            latest: AtomicU64::new(0),
            are_several: AtomicBool::new(false),
            recording: Mutex::new(recording),
        };
        let first = runs.new_run(runs.clock.started.load(Ordering::Relaxed));
        runs.latest.store(first.id.number(), Ordering::Relaxed);
        runs.lock().next = Some(first);
        runs
    }

    fn new_run(&self, start: u64) -> Run {
        let trace_id = self.parent.map_or_else(|| self.ids.trace_id(), |(trace_id, _)| trace_id);
        let root = Span {
            trace_id,
            span_id: self.ids.span_id(),
            parent: self.parent.map(|(_, span_id)| Parent { span_id, remote: true }),
            subject: Subject::Run(Ending::Running),
            start,
            end: start,
            values: Vec::new(),
        };
        let lines = LineWriter::of_trace(self.allowlist.data_points, self.tool, trace_id);
        Run::new(root, lines, self.is_shown)
    }

    pub(crate) fn new_span_id(&self) -> SpanId {
        self.ids.span_id()
    }

    /// The id that stands in this process's runs for a span of another tracer's.
    #[cfg(feature = "sdk")]
    pub(crate) fn span_id_for(&self, foreign: &(TraceId, SpanId)) -> SpanId {
        self.ids.span_id_for(foreign)
    }

    /// Whether this is a child that was forked from the process of these runs.
    #[cfg(feature = "sdk")]
    pub(crate) fn is_forked_child(&self) -> bool {
        fork::is_child()
    }

    /// Nanoseconds since the Unix epoch.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called whenever the open runs are others. A thread that reads it a moment late has begun its span in the
    /// same moment.
    fn note_latest(&self, recording: &Recording) {
        let first = recording.next.as_ref().filter(|_| !recording.has_begun);
        let latest = recording.open.last().or(first).map_or(0, |run| run.id.number());
        self.latest.store(latest, Ordering::Relaxed);
        self.are_several.store(recording.open.len() > 1, Ordering::Relaxed);
    }

    /// Where a span hangs that is opened now, with this approved span above it. Nothing if it belongs to no run: no
    /// command is open.
    pub(crate) fn place(&self, above: Option<ParentSpan>) -> Option<ParentSpan> {
        if self.are_several.load(Ordering::Relaxed) {
            return self.place_among_several(above);
        }
        let run = RunId::from_number(self.latest.load(Ordering::Relaxed))?;
        // What is above may be left from a run that is over.
        Some(above.filter(|above| above.run == run).unwrap_or(ParentSpan::under(run)))
    }

    #[cold]
    fn place_among_several(&self, above: Option<ParentSpan>) -> Option<ParentSpan> {
        if fork::is_child() {
            return None;
        }
        let run = self.lock().current(above)?.id;
        above.filter(|above| above.run == run).or(Some(ParentSpan::under(run)))
    }

    /// The approved span that is entered in this thread, where it matters. To be asked for without the runs' lock:
    /// spans have locks of their own.
    fn entered_among_several(&self) -> Option<ParentSpan> {
        if self.are_several.load(Ordering::Relaxed) { open_span::entered() } else { None }
    }

    /// A command begins: from here on its run is on disk, if it may be recorded. `is_closure` says that it ends in
    /// this thread, and that all that the thread does meanwhile belongs to it.
    pub(crate) fn begin(
        &self,
        command: &str,
        is_closure: bool,
        may_record: bool,
        may_keep: impl Fn() -> bool,
    ) -> Option<BegunRun> {
        if fork::is_child() {
            return None;
        }
        let mut guard = self.lock();
        let recording = &mut *guard;
        let left = recording.open.pop_if(|run| run.left.is_some());
        let left = left.map(|run| {
            let ending = run.left.unwrap_or(Ending::CutOff);
            self.seal(run, ending, may_keep)
        });
        if recording.has_begun && recording.open.is_empty() {
            self.clock.set();
        }
        let next = recording.next.take();
        let mut run = next.unwrap_or_else(|| self.new_run(self.now()));
        if recording.has_begun {
            run.starts(self.now());
        }
        recording.has_begun = true;
        run.thread = Some(thread::current().id());
        run.is_closure = is_closure;
        let id = run.id;
        if may_record {
            if let Some((position, value)) = self.command(command) {
                run.set(position, value);
            }
            self.open(&mut run, recording.open.iter().filter(|run| !run.is_over()).count());
            run.flush();
        } else {
            run.give_up(Outcome::OptedOut);
        }
        recording.open.push(run);
        self.note_latest(recording);
        Some(BegunRun { run: id, should_check_limits: may_record && self.should_check_limits(), left })
    }

    /// The data point that the command's name is.
    fn command(&self, name: &str) -> Option<(u8, Value)> {
        let position =
            self.allowlist.data_points.command().filter(|position| self.allowlist.has(*position))?;
        let data_point = &self.allowlist.data_points.data_points[usize::from(position)];
        Some((position, data_point.admit_text(name)?))
    }

    /// Opens the run's file. Each takes a descriptor of the tool's.
    fn open(&self, run: &mut Run, others: usize) {
        let name = RunName::new(self.ids.file_name());
        if others < MOST_OPEN {
            run.open(self.spool.as_ref(), name);
        } else {
            if let Some(spool) = &self.spool {
                run_file::count(spool, name, Outcome::LimitOpen);
            }
            run.give_up(Outcome::LimitOpen);
        }
    }

    fn should_check_limits(&self) -> bool {
        self.ids.number().is_multiple_of(64)
    }

    /// Records a data point of the command's run; while none is open, of the next one's.
    pub(crate) fn record(
        &self,
        key: &str,
        admit: impl FnOnce(&crate::model::data_points::DataPoint) -> Option<Value>,
    ) {
        let data_points = self.allowlist.data_points;
        let Some(position) = data_points.key_among(data_points.on_run, key) else {
            return;
        };
        let data_point = &data_points.data_points[usize::from(position)];
        if !self.allowlist.has(position) || matches!(data_point.kind, Kind::ExitCode) || fork::is_child() {
            return;
        }
        if let Some(value) = admit(data_point) {
            let entered = self.entered_among_several();
            let mut recording = self.lock();
            match recording.current(entered) {
                Some(run) => run.set(position, value),
                None => recording.next.get_or_insert_with(|| self.new_run(self.now())).set(position, value),
            }
        }
    }

    /// An approved span of a run closed. Says whether it is recorded: not if its run is over.
    pub(crate) fn span_closed(&self, run: RunId, span: &mut Span) -> bool {
        if fork::is_child() {
            return false;
        }
        let mut recording = self.lock();
        let Some(run) = recording.find(run) else { return false };
        span.trace_id = run.root().trace_id;
        run.closed(span)
    }

    /// A span that is recorded has another parent than was known then.
    #[cfg(feature = "sdk")]
    pub(crate) fn span_moved(&self, run: RunId, span: &Span) {
        if fork::is_child() {
            return;
        }
        if let Some(run) = self.lock().find(run) {
            run.moved(span);
        }
    }

    /// When a run started, in nanoseconds since the Unix epoch; nothing if it is over.
    #[cfg(feature = "sdk")]
    pub(crate) fn started(&self, run: RunId) -> Option<u64> {
        if fork::is_child() {
            return None;
        }
        Some(self.lock().find(run)?.root().start)
    }

    /// The trace and the span under which a child process hangs: this span if its run is open, or else the current
    /// run; before the first command its run.
    pub(crate) fn context(&self, entered: Option<ParentSpan>) -> Option<(TraceId, SpanId)> {
        if fork::is_child() {
            return None;
        }
        let place = self.place(entered)?;
        let mut recording = self.lock();
        let run = recording.find(place.run).filter(|run| !run.is_over())?;
        Some((run.root().trace_id, place.span))
    }

    /// Nothing of the current run is kept; while no command is open, nothing of what was told so far.
    pub(crate) fn discard(&self) {
        if fork::is_child() {
            return;
        }
        let entered = self.entered_among_several();
        let mut recording = self.lock();
        if let Some(run) = recording.current(entered) {
            run.give_up(Outcome::Discarded);
            return;
        }
        recording.needs_command = true;
        recording.next = None;
        self.note_latest(&recording);
    }

    /// From here on a process that ends without a command is no run, whatever its exit code is.
    pub(crate) fn require_command(&self) {
        if !fork::is_child() {
            self.lock().needs_command = true;
        }
    }

    /// Nothing of any run that this process is writing is kept. Gives the bytes of each that had a file.
    pub(crate) fn discard_all(&self, outcome: Outcome) -> Vec<u64> {
        if fork::is_child() {
            return Vec::new();
        }
        let mut recording = self.lock();
        recording.next = None;
        let given_up = recording.open.iter_mut().filter_map(|run| run.give_up(outcome)).collect();
        self.note_latest(&recording);
        given_up
    }

    /// The command ended with this exit code: writes its run's last line and seals it. Only the first end counts.
    ///
    /// `may_keep` is asked once more whether the run may be kept.
    pub(crate) fn end(&self, run: RunId, exit_code: i64, may_keep: impl Fn() -> bool) -> EndedRun {
        if fork::is_child() {
            return EndedRun::default();
        }
        let mut recording = self.lock();
        let Some(position) = recording.open.iter().rposition(|open| open.id == run) else {
            return EndedRun::default();
        };
        let run = recording.open.remove(position);
        self.note_latest(&recording);
        self.seal(run, Ending::Exited(exit_code), may_keep)
    }

    /// Nobody is left who will tell how the command ended.
    ///
    /// The last one that is open is left to the end of the process, where the exit code is known. So is what another
    /// command finds when it begins; see [`BegunRun::left`].
    pub(crate) fn leave(&self, run: RunId, ending: Ending, may_keep: impl Fn() -> bool) -> EndedRun {
        if fork::is_child() {
            return EndedRun::default();
        }
        let mut recording = self.lock();
        let is_only = recording.open.len() == 1;
        let Some(position) = recording.open.iter().rposition(|open| open.id == run) else {
            return EndedRun::default();
        };
        if is_only {
            let run = &mut recording.open[position];
            (run.left, run.thread) = (Some(ending), None);
            return EndedRun::default();
        }
        let run = recording.open.remove(position);
        self.note_latest(&recording);
        self.seal(run, ending, may_keep)
    }

    /// The process exits with this code: ends all runs that are open. One that ends in error before any command
    /// began is a run; one that had nothing to do, as for `--version`, is none.
    ///
    /// Another thread may be anywhere: waits for it only a moment. Touches no `tracing` and no thread-local, which may
    /// be gone.
    pub(crate) fn end_at_exit(
        &self,
        exit_code: i64,
        may_record: impl FnOnce() -> bool,
        may_keep: impl Fn() -> bool,
    ) -> Vec<EndedRun> {
        if fork::is_child() {
            return Vec::new();
        }
        let asked = Instant::now();
        let mut guard = loop {
            match self.recording.try_lock() {
                Ok(recording) => break recording,
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                Err(TryLockError::WouldBlock) if asked.elapsed() < EXIT_PATIENCE => std::hint::spin_loop(),
                // Left open, and reported as cut off.
                Err(TryLockError::WouldBlock) => return Vec::new(),
            }
        };
        let recording = &mut *guard;
        if !recording.has_begun && !recording.needs_command && exit_code != 0 && may_record() {
            recording.has_begun = true;
            if let Some(mut run) = recording.next.take() {
                self.open(&mut run, 0);
                let mut ended = self.seal(run, Ending::Exited(exit_code), may_keep);
                if let Some(sealed) = &mut ended.sealed {
                    sealed.should_check_limits = self.should_check_limits();
                }
                return vec![ended];
            }
        }
        let open = std::mem::take(&mut recording.open);
        self.note_latest(recording);
        open.into_iter().map(|run| self.seal(run, Ending::Exited(exit_code), &may_keep)).collect()
    }

    /// Before another program takes this one's place: writes the end of all runs that are open. How that program will
    /// end is not known.
    #[cfg(unix)]
    pub(crate) fn end_for_now(&self, may_keep: impl Fn() -> bool) -> Vec<super::SealedRun> {
        if fork::is_child() {
            return Vec::new();
        }
        let now = self.now();
        let mut recording = self.lock();
        let end = |run: &mut Run| {
            run.end(None, now);
            run.may_be_sealed(&may_keep)
        };
        recording.open.iter_mut().filter_map(end).collect()
    }

    /// Seals them so that it can be taken back.
    #[cfg(unix)]
    pub(crate) fn seal_for_now(&self) {
        if !fork::is_child() {
            self.lock().open.iter_mut().for_each(Run::seal_for_now);
        }
    }

    #[cfg(unix)]
    pub(crate) fn unseal(&self) {
        if !fork::is_child() {
            self.lock().open.iter_mut().for_each(Run::unseal);
        }
    }

    fn seal(&self, mut run: Run, ending: Ending, may_keep: impl Fn() -> bool) -> EndedRun {
        if run.is_over() {
            return EndedRun::default();
        }
        let exit_code = self.allowlist.data_points.exit_code();
        let is_told = exit_code.is_some_and(|position| self.allowlist.has(position));
        let ending = Some(ending).filter(|ending| is_told || !matches!(ending, Ending::Exited(_)));
        run.end(ending, self.now());
        run.seal(may_keep)
    }
}

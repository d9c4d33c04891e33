//! The run of this process: its clock, its ids, its root span, and how it ends.
//!
//! The root span belongs to the run and not to `tracing`, so no filter of the tool's can hide that the command
//! ran. It is written when the command begins and once more at the end; in between, spans are written as they
//! close.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::fork;
use crate::allowlist::Allowlist;
use crate::data_points::{Kind, Value};
use crate::ids::Ids;
use crate::span::{self, Ending, LineWriter, Parent, Span, SpanId, Subject, Tool, TraceId};
use crate::spool::counters::Outcome;
use crate::spool::dir::{RunName, SpoolDir};
use crate::spool::run_file::{LARGEST_RUN, ROOM_FOR_THE_END, RunFile, WriteFault};

/// Spans that are written one by one; from then on they are written in batches.
const WRITTEN_AT_ONCE: u32 = 256;
/// A batch of lines.
const BATCH: usize = 64 << 10;
/// Spans in one line of a batch: what is torn off by a kill in the middle of a write is a line.
const IN_ONE_LINE: u32 = 8;
/// Spans in one run; the rest is counted.
const MOST_SPANS: u32 = 10_000;
/// How long an exiting process waits for a thread that is writing a span.
const EXIT_PATIENCE: Duration = Duration::from_millis(10);

/// The run that this process records.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) allowlist: Allowlist,
    clock: Clock,
    ids: Ids,
    trace_id: TraceId,
    root_id: SpanId,
    /// Nothing if the run is only shown and never written.
    spool: Option<SpoolDir>,
    recording: Mutex<Recording>,
}

/// Wall-clock time that goes on by the monotonic clock, so that no span ends before it starts.
#[derive(Debug)]
struct Clock {
    /// Nanoseconds since the Unix epoch.
    started: u64,
    instant: Instant,
}

impl Clock {
    fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::from_nanos(1));
        Self { started: since_epoch.as_nanos().clamp(1, u64::MAX.into()) as u64, instant: Instant::now() }
    }

    fn now(&self) -> u64 {
        self.started.saturating_add(self.instant.elapsed().as_nanos() as u64)
    }
}

/// What changes while the run goes on.
#[derive(Debug)]
struct Recording {
    stage: Stage,
    /// A command was named.
    has_begun: bool,
    root: Span,
    lines: LineWriter,
    /// Lines that are not written yet; empty between writes while few spans were written.
    buffer: Vec<u8>,
    /// Spans in the buffer's last line; 0 if it is the run's own, or there is none.
    in_last_line: u32,
    spans: u32,
    dropped_spans: u32,
    /// The spans once more, for a person who asked to see them.
    shown: Option<Vec<Span>>,
}

#[derive(Debug)]
enum Stage {
    /// No command has begun and no span was closed: there is no file yet.
    Before,
    /// There is a file.
    Open(RunFile),
    /// There is none and will be none: the run is only shown.
    Unwritten,
    /// Sealed, given up, or not to be recorded.
    Over,
}

/// What the end of a run left to do.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) sealed: Option<Sealed>,
    /// For a person who asked to see them; the run's own span first.
    pub(crate) shown: Option<Vec<Span>>,
}

/// A run that lies complete in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Bytes that the run added to the spool.
    pub(crate) bytes: u64,
    /// One in 64 of the runs that end without having begun, chosen by chance.
    pub(crate) is_one_in_64: bool,
}

impl Run {
    pub(crate) fn new(
        allowlist: Allowlist,
        tool: Tool<'_>,
        spool: Option<SpoolDir>,
        parent: Option<(TraceId, SpanId)>,
        is_shown: bool,
    ) -> Self {
        fork::watch();
        let clock = Clock::new();
        let ids = Ids::new();
        let trace_id = parent.map_or_else(|| ids.trace_id(), |(trace_id, _)| trace_id);
        let root_id = ids.span_id();
        let root = Span {
            trace_id,
            span_id: root_id,
            parent: parent.map(|(_, span_id)| Parent { span_id, remote: true }),
            subject: Subject::Run(Ending::Running),
            start: clock.started,
            end: clock.started,
            values: Vec::new(),
        };
        let recording = Recording {
            stage: Stage::Before,
            has_begun: false,
            root,
            lines: LineWriter::of_trace(allowlist.data_points, tool, trace_id),
            buffer: Vec::with_capacity(2048),
            in_last_line: 0,
            spans: 0,
            dropped_spans: 0,
            shown: is_shown.then(Vec::new),
        };
        Self { allowlist, clock, ids, trace_id, root_id, spool, recording: Mutex::new(recording) }
    }

    pub(crate) fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    pub(crate) fn root_id(&self) -> SpanId {
        self.root_id
    }

    pub(crate) fn new_span_id(&self) -> SpanId {
        self.ids.span_id()
    }

    /// The id that stands in this run for a span of another tracer's.
    #[cfg(feature = "sdk")]
    pub(crate) fn span_id_for(&self, foreign: &(TraceId, SpanId)) -> SpanId {
        self.ids.span_id_for(foreign)
    }

    /// Whether this process was forked from the one whose run it is: then no lock of the run's may be asked for.
    pub(crate) fn is_a_parents(&self) -> bool {
        fork::is_child()
    }

    /// When the run began: nanoseconds since the Unix epoch.
    #[cfg(feature = "sdk")]
    pub(crate) fn started(&self) -> u64 {
        self.clock.started
    }

    /// Nanoseconds since the Unix epoch.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The command begins: from here on the run is on disk. Says of one in 64 runs, chosen by chance, that it is to
    /// look at the limits of the spool.
    pub(crate) fn begin(&self, command: &str) -> bool {
        if fork::is_child() {
            return false;
        }
        let mut recording = self.lock();
        recording.has_begun = true;
        if let Some(position) = self.allowlist.data_points.command()
            && self.allowlist.has(position)
        {
            let data_point = &self.allowlist.data_points.data_points[usize::from(position)];
            if let Some(value) = data_point.admit_text(command) {
                recording.root.set(position, value);
            }
        }
        self.open(&mut recording);
        recording.push_root();
        recording.flush();
        self.is_one_in_64()
    }

    fn is_one_in_64(&self) -> bool {
        self.ids.number().is_multiple_of(64)
    }

    /// Records a data point of the run itself.
    pub(crate) fn record(
        &self,
        key: &str,
        admit: impl FnOnce(&crate::data_points::DataPoint) -> Option<Value>,
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
            self.lock().root.set(position, value);
        }
    }

    /// An approved span closed. Says whether it is recorded.
    pub(crate) fn span_closed(&self, span: &Span) -> bool {
        if fork::is_child() {
            return false;
        }
        let mut recording = self.lock();
        if matches!(recording.stage, Stage::Over) {
            return false;
        }
        if matches!(recording.stage, Stage::Before) {
            // It closed before the command began: the run's own line comes first all the same.
            self.open(&mut recording);
            recording.push_root();
        }
        if recording.is_full() || recording.spans == MOST_SPANS {
            recording.dropped_spans += 1;
            return false;
        }
        recording.spans += 1;
        if let Some(shown) = &mut recording.shown {
            shown.push(span.clone());
        }
        recording.push(span);
        if recording.spans <= WRITTEN_AT_ONCE || recording.buffer.len() >= BATCH {
            recording.flush();
        }
        true
    }

    /// A span that is recorded has another parent than was known then. Where there is no room for one more line,
    /// it stays where it is.
    #[cfg(feature = "sdk")]
    pub(crate) fn span_moved(&self, span: &Span) {
        if fork::is_child() {
            return;
        }
        let mut recording = self.lock();
        if matches!(recording.stage, Stage::Over) || recording.is_full() {
            return;
        }
        if let Some(shown) = &mut recording.shown
            && let Some(old) = shown.iter_mut().find(|old| old.span_id == span.span_id)
        {
            old.parent = span.parent;
        }
        recording.push(span);
        if recording.spans <= WRITTEN_AT_ONCE || recording.buffer.len() >= BATCH {
            recording.flush();
        }
    }

    /// Nothing of this process is to be recorded: it is one of the `telemetry` commands.
    pub(crate) fn abandon(&self) {
        if fork::is_child() {
            return;
        }
        let stage = std::mem::replace(&mut self.lock().stage, Stage::Over);
        // The tool began a command first, and only then came to know that it is one of ours.
        if let Stage::Open(file) = stage {
            file.give_up(Outcome::Purged);
        }
    }

    /// Opens the file if there is none yet. Without one nothing is recorded.
    fn open(&self, recording: &mut Recording) {
        if matches!(recording.stage, Stage::Before) {
            let Some(spool) = &self.spool else {
                recording.stage = Stage::Unwritten;
                return;
            };
            recording.stage = match RunFile::create(spool, RunName::new(self.ids.file_name())) {
                Ok(file) => Stage::Open(file),
                Err(_) if recording.shown.is_some() => Stage::Unwritten,
                Err(_) => Stage::Over,
            };
        }
    }

    /// The run ends with this exit code: writes its last line and seals it. Only the first end counts.
    ///
    /// `may_keep` is asked once more whether the run may be kept.
    pub(crate) fn end(&self, exit_code: i64, may_keep: impl FnOnce() -> bool) -> Ended {
        if fork::is_child() {
            return Ended::default();
        }
        self.seal(self.lock(), exit_code, may_keep)
    }

    /// The same while the process exits, when another thread may be anywhere: waits for it only a moment.
    /// Touches no `tracing` and no thread-local, which may be gone.
    pub(crate) fn end_at_exit(&self, exit_code: i64, may_keep: impl FnOnce() -> bool) -> Ended {
        if fork::is_child() {
            return Ended::default();
        }
        let asked = Instant::now();
        let recording = loop {
            match self.recording.try_lock() {
                Ok(recording) => break recording,
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                Err(TryLockError::WouldBlock) if asked.elapsed() < EXIT_PATIENCE => std::hint::spin_loop(),
                // Left open, and reported as cut off.
                Err(TryLockError::WouldBlock) => return Ended::default(),
            }
        };
        self.seal(recording, exit_code, may_keep)
    }

    fn seal(
        &self,
        mut recording: MutexGuard<'_, Recording>,
        exit_code: i64,
        may_keep: impl FnOnce() -> bool,
    ) -> Ended {
        if matches!(recording.stage, Stage::Over) {
            return Ended::default();
        }
        let tells_exit_code =
            self.allowlist.data_points.exit_code().is_some_and(|position| self.allowlist.has(position));
        if tells_exit_code {
            recording.root.subject = Subject::Run(Ending::Exited(exit_code));
        }
        recording.root.end = self.now();
        self.open(&mut recording);
        recording.push_root();
        recording.flush();
        let root = recording.root.clone();
        let shown = recording.shown.take().map(|spans| {
            let mut spans: Vec<Span> = [root].into_iter().chain(spans).collect();
            span::adopt_orphans(&mut spans);
            spans
        });
        let Stage::Open(file) = std::mem::replace(&mut recording.stage, Stage::Over) else {
            return Ended { sealed: None, shown };
        };
        if !may_keep() {
            file.give_up(Outcome::OptedOut);
            return Ended { sealed: None, shown };
        }
        let bytes = file.written();
        // Whoever has begun drew then, and does not look twice.
        let is_one_in_64 = !recording.has_begun && self.is_one_in_64();
        let sealed = file.seal(recording.dropped_spans).then_some(Sealed { bytes, is_one_in_64 });
        Ended { sealed, shown }
    }
}

impl Recording {
    /// Whether the file has no room for one more span.
    fn is_full(&self) -> bool {
        match &self.stage {
            Stage::Open(file) => {
                file.written() + self.buffer.len() as u64 + 2 * ROOM_FOR_THE_END > LARGEST_RUN
            }
            Stage::Before | Stage::Unwritten | Stage::Over => false,
        }
    }

    fn push(&mut self, span: &Span) {
        if self.in_last_line == 0 || self.in_last_line == IN_ONE_LINE {
            self.lines.write(span, &mut self.buffer);
            self.in_last_line = 1;
        } else {
            self.lines.write_into_last_line(span, &mut self.buffer);
            self.in_last_line += 1;
        }
    }

    fn push_root(&mut self) {
        self.lines.write(&self.root, &mut self.buffer);
        self.in_last_line = 0;
    }

    /// Writes what is buffered. A fault ends the recording; the tool never hears of it.
    fn flush(&mut self) {
        self.in_last_line = 0;
        let Stage::Open(file) = &mut self.stage else {
            self.buffer.clear();
            return;
        };
        if self.buffer.is_empty() {
            return;
        }
        let written = file.append(&self.buffer);
        self.buffer.clear();
        if let Err(fault) = written {
            let Stage::Open(file) = std::mem::replace(&mut self.stage, Stage::Over) else {
                return;
            };
            if fault == WriteFault::Disk {
                file.give_up(Outcome::Disk);
            }
        }
    }
}

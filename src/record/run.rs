//! One run: its root span, its file, and its end.
//!
//! The root span belongs to the run and not to `tracing`, so no filter in the tool can hide that the command ran. It is
//! written when the command begins, and again when it ends. Other spans are written as they close.

use std::thread::ThreadId;

use super::RunId;
use crate::model::coarse::coarse;
use crate::model::data_points::Value;
use crate::model::span::{self, Ending, LineWriter, Span};
use crate::spool::directory::{RunName, SpoolDirectory};
use crate::spool::outcome::Outcome;
use crate::spool::run_file::{MAX_RUN_BYTES, RESERVED_FOR_ROOT, RunFile, WriteError};

/// This many spans are written one by one. Later ones are written in batches.
const UNBATCHED_SPANS: u32 = 256;
/// The size of a batch in bytes.
const BATCH: usize = 64 << 10;
/// Spans in one line of a batch. A kill in the middle of a write loses at most one line.
const SPANS_PER_LINE: u32 = 8;
/// The most spans in one run. Further spans are counted, not written.
const MAX_SPANS: u32 = 10_000;
/// The buffer's initial size, which is enough for most runs.
const BUFFER_SIZE: usize = 2048;

/// A run, from before its command begins until it is sealed or discarded.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    phase: RunPhase,
    root: Span,
    /// The exact start, in nanoseconds since the Unix epoch. The spans have coarse times if `has_coarse_times`.
    started: u64,
    has_coarse_times: bool,
    lines: LineWriter,
    /// Lines that are not written yet.
    buffer: Vec<u8>,
    /// Spans in the buffer's last line, or 0 if that is the run's own line or missing.
    in_last_line: u32,
    spans: u32,
    dropped_spans: u32,
    /// A copy of the spans, for a preview.
    shown: Option<Vec<Span>>,
    /// The thread that began the command, unless the command was abandoned.
    pub(super) thread: Option<ThreadId>,
    /// Whether the command is a closure. Everything that its thread does until the closure returns belongs to the command.
    pub(super) is_closure: bool,
    /// The ending of an abandoned command, whose guard was dropped without an exit code.
    pub(super) abandoned: Option<Ending>,
}

#[derive(Debug)]
enum RunPhase {
    /// The command has not begun. There is no file yet, and spans are kept in memory.
    NotBegun,
    Open(RunFile),
    /// The run has no file, and is only previewed.
    PreviewOnly,
    /// The run is sealed, discarded, or not recorded.
    Over,
}

/// A run whose command began, and what is left to do.
#[derive(Debug)]
pub(crate) struct BegunRun {
    pub(crate) run: RunId,
    /// Whether to check the limits of the spool, which one in 64 random runs does.
    pub(crate) should_check_limits: bool,
    /// The ended run of a command that was abandoned.
    pub(crate) abandoned: Option<EndedRun>,
}

/// A run that ended, and what is left to do.
#[derive(Debug, Default)]
pub(crate) struct EndedRun {
    pub(crate) sealed: Option<SealedRun>,
    /// The spans for a preview. The run's own span comes first.
    pub(crate) shown: Option<Vec<Span>>,
}

/// A complete run in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedRun {
    /// Bytes that the run added to the spool.
    pub(crate) bytes: u64,
    /// Whether to check the limits of the spool, which one in 64 random runs without a command does.
    pub(crate) should_check_limits: bool,
    /// Whether the spool was created for this run.
    pub(crate) is_first: bool,
}

impl SealedRun {
    fn of(file: &RunFile) -> Self {
        Self { bytes: file.written(), should_check_limits: false, is_first: file.is_first() }
    }
}

impl Run {
    pub(super) fn new(root: Span, lines: LineWriter, has_coarse_times: bool, is_shown: bool) -> Self {
        let started = root.start;
        let mut run = Self {
            id: RunId::of_root(root.span_id),
            phase: RunPhase::NotBegun,
            root,
            started,
            has_coarse_times,
            lines,
            buffer: Vec::with_capacity(BUFFER_SIZE),
            in_last_line: 0,
            spans: 0,
            dropped_spans: 0,
            shown: is_shown.then(Vec::new),
            thread: None,
            is_closure: false,
            abandoned: None,
        };
        run.set_start(started);
        run
    }

    pub(super) fn root(&self) -> &Span {
        &self.root
    }

    pub(super) fn set(&mut self, position: u8, value: Value) {
        self.root.set(position, value);
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, RunPhase::Over)
    }

    pub(super) fn set_start(&mut self, now: u64) {
        self.started = now;
        let start = self.time(now);
        (self.root.start, self.root.end) = (start, start);
    }

    #[cfg(feature = "sdk")]
    pub(super) fn started(&self) -> u64 {
        self.started
    }

    /// The time as it is recorded.
    fn time(&self, exact: u64) -> u64 {
        if self.has_coarse_times { coarse(exact, self.started) } else { exact }
    }

    /// Opens the run's file. Earlier spans follow the run's own line.
    pub(super) fn open(&mut self, spool: Option<&SpoolDirectory>, name: RunName) {
        if !matches!(self.phase, RunPhase::NotBegun) {
            return;
        }
        self.phase = match spool {
            None => RunPhase::PreviewOnly,
            Some(spool) => match RunFile::create(spool, name) {
                Ok(file) => RunPhase::Open(file),
                Err(_) if self.shown.is_some() => RunPhase::PreviewOnly,
                Err(_) => RunPhase::Over,
            },
        };
        let earlier = std::mem::take(&mut self.buffer);
        self.push_root();
        self.buffer.extend_from_slice(&earlier);
    }

    /// Records a span that closed, with its exact times. Returns `false` if the run is over or full.
    pub(super) fn record_span(&mut self, span: &mut Span) -> bool {
        if self.is_over() {
            return false;
        }
        if self.is_full() || self.spans == MAX_SPANS {
            self.dropped_spans += 1;
            return false;
        }
        self.spans += 1;
        (span.start, span.end) = (self.time(span.start), self.time(span.end));
        if let Some(shown) = &mut self.shown {
            shown.push(span.clone());
        }
        self.push(span);
        self.flush_if_due();
        true
    }

    /// Writes a span again under its final parent. If there is no room, it keeps its first parent.
    #[cfg(feature = "sdk")]
    pub(super) fn move_span(&mut self, span: &Span) {
        if self.is_over() || self.is_full() {
            return;
        }
        if let Some(shown) = &mut self.shown
            && let Some(old) = shown.iter_mut().find(|old| old.span_id == span.span_id)
        {
            old.parent = span.parent;
        }
        self.push(span);
        self.flush_if_due();
    }

    /// Writes the run's last line.
    pub(super) fn end(&mut self, ending: Option<Ending>, now: u64) {
        self.root.subject = span::Subject::Run(ending);
        self.root.end = self.time(now).max(self.root.start);
        self.push_root();
        self.flush();
    }

    /// Seals the run if it may be kept, and discards it otherwise.
    pub(super) fn seal(mut self, may_keep: impl FnOnce() -> bool) -> EndedRun {
        let root = self.root;
        let shown = self.shown.take().map(|spans| {
            let mut spans: Vec<Span> = [root].into_iter().chain(spans).collect();
            span::adopt_orphans(&mut spans);
            spans
        });
        let mut sealed = None;
        if let RunPhase::Open(file) = self.phase {
            let run = SealedRun::of(&file);
            if !may_keep() {
                file.discard(Outcome::OptedOut);
            } else if file.seal(self.dropped_spans) {
                sealed = Some(run);
            }
        }
        EndedRun { sealed, shown }
    }

    /// The run as it will be sealed. Discards it if it may not be kept.
    #[cfg(unix)]
    pub(super) fn check_seal(&mut self, may_keep: impl FnOnce() -> bool) -> Option<SealedRun> {
        let RunPhase::Open(file) = &self.phase else { return None };
        let run = SealedRun::of(file);
        if may_keep() {
            return Some(run);
        }
        self.discard(Outcome::OptedOut);
        None
    }

    /// Seals the run so that [`Self::unseal`] can revert it.
    #[cfg(unix)]
    pub(super) fn seal_before_exec(&mut self) {
        if let RunPhase::Open(file) = &mut self.phase {
            file.seal_before_exec(self.dropped_spans);
        }
    }

    /// Continues the run, because the process continues. The run is over if an uploader has already sent it.
    #[cfg(unix)]
    pub(super) fn unseal(&mut self) {
        if let RunPhase::Open(file) = &mut self.phase
            && !file.unseal()
        {
            self.phase = RunPhase::Over;
        }
    }

    /// Deletes the run and records its outcome. Returns the size of its file, if it had one.
    pub(super) fn discard(&mut self, outcome: Outcome) -> Option<u64> {
        self.buffer = Vec::new();
        self.shown = None;
        match std::mem::replace(&mut self.phase, RunPhase::Over) {
            RunPhase::Open(file) => {
                let bytes = file.written();
                file.discard(outcome);
                Some(bytes)
            }
            RunPhase::NotBegun | RunPhase::PreviewOnly | RunPhase::Over => None,
        }
    }

    /// Whether there is no room for another span. Before the command begins, there is room for one batch.
    fn is_full(&self) -> bool {
        match &self.phase {
            RunPhase::NotBegun => self.spans == UNBATCHED_SPANS || self.buffer.len() >= BATCH,
            RunPhase::Open(file) => {
                file.written() + self.buffer.len() as u64 + 2 * RESERVED_FOR_ROOT > MAX_RUN_BYTES
            }
            RunPhase::PreviewOnly | RunPhase::Over => false,
        }
    }

    fn push(&mut self, span: &Span) {
        if self.in_last_line == 0 || self.in_last_line == SPANS_PER_LINE {
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

    fn flush_if_due(&mut self) {
        if self.spans <= UNBATCHED_SPANS || self.buffer.len() >= BATCH {
            self.flush();
        }
    }

    /// Writes the buffer. An error ends the run and is not reported to the tool.
    pub(super) fn flush(&mut self) {
        if matches!(self.phase, RunPhase::NotBegun) {
            return;
        }
        self.in_last_line = 0;
        let RunPhase::Open(file) = &mut self.phase else {
            self.buffer.clear();
            return;
        };
        if self.buffer.is_empty() {
            return;
        }
        let written = file.append(&self.buffer);
        self.buffer.clear();
        if let Err(error) = written {
            let RunPhase::Open(file) = std::mem::replace(&mut self.phase, RunPhase::Over) else {
                return;
            };
            if error == WriteError::Disk {
                file.discard(Outcome::Disk);
            }
        }
    }
}

//! One run: its root span, its file, and how it ends.
//!
//! The root span belongs to the run and not to `tracing`, so no filter of the tool's can hide that the command
//! ran. It is written when the command begins and once more at the end; in between, spans are written as they
//! close.

use std::thread::ThreadId;

use super::RunId;
use crate::model::data_points::Value;
use crate::model::span::{self, Ending, LineWriter, Span};
use crate::spool::directory::{RunName, SpoolDirectory};
use crate::spool::outcome::Outcome;
use crate::spool::run_file::{LARGEST_RUN, ROOM_FOR_THE_END, RunFile, WriteFault};

/// Spans that are written one by one; from then on they are written in batches.
const WRITTEN_AT_ONCE: u32 = 256;
/// A batch of lines.
const BATCH: usize = 64 << 10;
/// Spans in one line of a batch: what is torn off by a kill in the middle of a write is a line.
const IN_ONE_LINE: u32 = 8;
/// Spans in one run; the rest is counted.
const MOST_SPANS: u32 = 10_000;
/// What most runs need, and no more than what a thousand of them may take.
const ROOM: usize = 2048;

/// A run, from before its command begins until it is sealed or given up.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    stage: Stage,
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
    /// Who began the command; nobody if the command is not begun, or was left without being ended.
    pub(super) thread: Option<ThreadId>,
    /// The command is a closure: all that its thread does meanwhile belongs to it.
    pub(super) is_closure: bool,
    /// How the command was left, if its guard is gone without having been told how it ended.
    pub(super) left: Option<Ending>,
}

#[derive(Debug)]
enum Stage {
    /// The command has not begun: there is no file yet, and what is told is kept in memory.
    Before,
    /// There is a file.
    Open(RunFile),
    /// There is none and will be none: the run is only shown.
    Unwritten,
    /// SealedRun, given up, or not to be recorded.
    Over,
}

/// What the beginning of a command left to do.
#[derive(Debug)]
pub(crate) struct BegunRun {
    pub(crate) run: RunId,
    /// One in 64 runs, chosen by chance, looks at the limits of the spool.
    pub(crate) should_check_limits: bool,
    /// The run of a command that was left without being ended.
    pub(crate) left: Option<EndedRun>,
}

/// What the end of a run left to do.
#[derive(Debug, Default)]
pub(crate) struct EndedRun {
    pub(crate) sealed: Option<SealedRun>,
    /// For a person who asked to see them; the run's own span first.
    pub(crate) shown: Option<Vec<Span>>,
}

/// A run that lies complete in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedRun {
    /// Bytes that the run added to the spool.
    pub(crate) bytes: u64,
    /// One in 64 of the runs that end without having begun, chosen by chance.
    pub(crate) should_check_limits: bool,
    /// The spool was made for it.
    pub(crate) is_first: bool,
}

impl Run {
    pub(super) fn new(root: Span, lines: LineWriter, is_shown: bool) -> Self {
        Self {
            id: RunId::of_root(root.span_id),
            stage: Stage::Before,
            root,
            lines,
            buffer: Vec::with_capacity(ROOM),
            in_last_line: 0,
            spans: 0,
            dropped_spans: 0,
            shown: is_shown.then(Vec::new),
            thread: None,
            is_closure: false,
            left: None,
        }
    }

    pub(super) fn root(&self) -> &Span {
        &self.root
    }

    pub(super) fn set(&mut self, position: u8, value: Value) {
        self.root.set(position, value);
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// The command begins now, unless the run began with its process.
    pub(super) fn starts(&mut self, now: u64) {
        (self.root.start, self.root.end) = (now, now);
    }

    /// From here on the run is on disk. What was told before comes behind the run's own line.
    pub(super) fn open(&mut self, spool: Option<&SpoolDirectory>, name: RunName) {
        if !matches!(self.stage, Stage::Before) {
            return;
        }
        self.stage = match spool {
            None => Stage::Unwritten,
            Some(spool) => match RunFile::create(spool, name) {
                Ok(file) => Stage::Open(file),
                Err(_) if self.shown.is_some() => Stage::Unwritten,
                Err(_) => Stage::Over,
            },
        };
        let told = std::mem::take(&mut self.buffer);
        self.push_root();
        self.buffer.extend_from_slice(&told);
    }

    /// Writes the run's own line as it is now.
    pub(super) fn write_root(&mut self) {
        self.push_root();
        self.flush();
    }

    /// A span of this run closed. Says whether it is recorded.
    pub(super) fn closed(&mut self, span: &Span) -> bool {
        if self.is_over() {
            return false;
        }
        if self.is_full() || self.spans == MOST_SPANS {
            self.dropped_spans += 1;
            return false;
        }
        self.spans += 1;
        if let Some(shown) = &mut self.shown {
            shown.push(span.clone());
        }
        self.push(span);
        self.flush_if_due();
        true
    }

    /// A span that is recorded has another parent than was known then. Where there is no room for one more line,
    /// it stays where it is.
    #[cfg(feature = "sdk")]
    pub(super) fn moved(&mut self, span: &Span) {
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

    /// Writes the run's last line. Nothing if there is no run any more.
    pub(super) fn end(&mut self, ending: Option<Ending>, now: u64) {
        if let Some(ending) = ending {
            self.root.subject = span::Subject::Run(ending);
        }
        self.root.end = now.max(self.root.start);
        self.write_root();
    }

    /// Seals the run, if it may be kept, and says what is left to do.
    pub(super) fn seal(mut self, may_keep: impl FnOnce() -> bool) -> EndedRun {
        let root = self.root;
        let shown = self.shown.take().map(|spans| {
            let mut spans: Vec<Span> = [root].into_iter().chain(spans).collect();
            span::adopt_orphans(&mut spans);
            spans
        });
        let Stage::Open(file) = self.stage else { return EndedRun { sealed: None, shown } };
        if !may_keep() {
            file.give_up(Outcome::OptedOut);
            return EndedRun { sealed: None, shown };
        }
        let (bytes, is_first) = (file.written(), file.is_first());
        let sealed = file.seal(self.dropped_spans).then_some(SealedRun {
            bytes,
            should_check_limits: false,
            is_first,
        });
        EndedRun { sealed, shown }
    }

    /// Whether there is something to seal, and it may be kept.
    #[cfg(unix)]
    pub(super) fn may_be_sealed(&mut self, may_keep: impl FnOnce() -> bool) -> Option<SealedRun> {
        let Stage::Open(file) = &self.stage else { return None };
        let (bytes, is_first) = (file.written(), file.is_first());
        if !may_keep() {
            self.give_up(Outcome::OptedOut);
            return None;
        }
        Some(SealedRun { bytes, should_check_limits: false, is_first })
    }

    /// Seals the run so that it can be taken back.
    #[cfg(unix)]
    pub(super) fn seal_for_now(&mut self) {
        if let Stage::Open(file) = &mut self.stage {
            file.seal_for_now(self.dropped_spans);
        }
    }

    /// The process goes on, and the run with it, unless an uploader was faster: then the run is over as it is.
    #[cfg(unix)]
    pub(super) fn unseal(&mut self) {
        if let Stage::Open(file) = &mut self.stage
            && !file.unseal()
        {
            self.stage = Stage::Over;
        }
    }

    /// Nothing of this run is kept. Gives the bytes that were on disk, if there was a file.
    pub(super) fn give_up(&mut self, outcome: Outcome) -> Option<u64> {
        self.buffer = Vec::new();
        self.shown = None;
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Open(file) => {
                let bytes = file.written();
                file.give_up(outcome);
                Some(bytes)
            }
            Stage::Before | Stage::Unwritten | Stage::Over => None,
        }
    }

    /// Whether there is no room for one more span. Before the command begins a batch is all that is kept.
    fn is_full(&self) -> bool {
        match &self.stage {
            Stage::Before => self.spans == WRITTEN_AT_ONCE || self.buffer.len() >= BATCH,
            Stage::Open(file) => {
                file.written() + self.buffer.len() as u64 + 2 * ROOM_FOR_THE_END > LARGEST_RUN
            }
            Stage::Unwritten | Stage::Over => false,
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

    fn flush_if_due(&mut self) {
        if self.spans <= WRITTEN_AT_ONCE || self.buffer.len() >= BATCH {
            self.flush();
        }
    }

    /// Writes what is buffered. A fault ends the recording; the tool never hears of it.
    pub(super) fn flush(&mut self) {
        if matches!(self.stage, Stage::Before) {
            return;
        }
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

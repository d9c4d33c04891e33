//! The runs of this process, one for each command: their clock, their ids, and which span belongs to which run.
//!
//! Most tools have one run. A watcher or a shell has one after another, and a server several at once. They share a lock. A
//! span takes it when it closes. When it opens, it takes the lock only if several commands are open.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};

use super::run::{BegunRun, EndedRun, Run};
use super::run_clock::RunClock;
use super::{Omissions, ParentSpan, RunId, fork};
use crate::model::allowlist::Allowlist;
use crate::model::data_points::{Kind, Value};
use crate::model::field_value::{FieldValue, ValueType};
use crate::model::ids::Ids;
use crate::model::omission::OmissionReason;
use crate::model::span::{Ending, LineWriter, Parent, Span, SpanId, Subject, Tool, TraceId};
use crate::record::open_span;
use crate::spool::directory::{RunName, SpoolDirectory};
use crate::spool::outcome::Outcome;
use crate::spool::run_file::{self, MAX_OPEN_RUNS};

/// How long an exiting process waits for a thread that is writing a span.
const EXIT_PATIENCE: Duration = Duration::from_millis(10);

/// The runs that this process records.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) allowlist: Allowlist,
    clock: RunClock,
    ids: Ids,
    tool: Tool<'static>,
    /// The run or span that started this process.
    parent: Option<(TraceId, SpanId)>,
    /// `None` if the runs are only previewed and never written.
    spool: Option<SpoolDirectory>,
    is_shown: bool,
    /// The values that each run has from its beginning.
    initial_values: Vec<(u8, Value)>,
    /// What is not recorded, if that is to be explained.
    omissions: Option<Box<Omissions>>,
    /// Whether installations may be counted by these runs.
    pub(crate) are_countable: bool,
    /// The number of the open run that began last, or of the first run before it begins. 0 if there is none.
    latest: AtomicU64,
    /// Whether several runs are open.
    has_several: AtomicBool,
    table: Mutex<RunTable>,
}

/// The runs that have not ended.
#[derive(Debug)]
struct RunTable {
    /// The runs whose commands have begun, in the order in which they began.
    open: Vec<Run>,
    /// The run of the next command, if values were recorded for it. For the first command it also has the spans so far.
    next: Option<Run>,
    /// Whether a command has begun in this process.
    has_begun: bool,
    /// Whether only a command makes a run. Otherwise a process that fails before its first command is one too.
    needs_command: bool,
}

impl RunTable {
    fn find(&mut self, id: RunId) -> Option<&mut Run> {
        let next = self.next.as_mut().filter(|next| next.id == id);
        self.open.iter_mut().rev().find(|run| run.id == id).or(next)
    }

    /// The run that a span opened now on this thread belongs to. `ancestor` is its nearest approved ancestor.
    ///
    /// In a closure's thread it is the closure's run. Otherwise it is the ancestor's run. Without an ancestor it is the run
    /// that this thread began last, or else the run that began last.
    fn current(&mut self, ancestor: Option<ParentSpan>) -> Option<&mut Run> {
        if self.open.len() < 2 {
            return self.open.last_mut();
        }
        let own = Some(thread::current().id());
        let latest = self.open.iter().rposition(|run| run.thread == own).unwrap_or(self.open.len() - 1);
        let is_in_closure = self.open[latest].is_closure && self.open[latest].thread == own;
        let of_ancestor =
            ancestor.and_then(|ancestor| self.open.iter().position(|run| run.id == ancestor.run));
        self.open.get_mut(of_ancestor.filter(|_| !is_in_closure).unwrap_or(latest))
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
        let table = RunTable { open: Vec::new(), next: None, has_begun: false, needs_command: false };
        let mut runs = Self {
            allowlist,
            clock: RunClock::new(),
            ids: Ids::new(),
            tool,
            parent,
            spool,
            is_shown,
            initial_values: Vec::new(),
            omissions: None,
            are_countable: false,
            latest: AtomicU64::new(0),
            has_several: AtomicBool::new(false),
            table: Mutex::new(table),
        };
        let first = runs.new_run(runs.clock.started());
        runs.latest.store(first.id.number(), Ordering::Relaxed);
        runs.table.get_mut().unwrap_or_else(PoisonError::into_inner).next = Some(first);
        runs
    }

    /// Sets whether installations may be counted by these runs. By default they may not.
    pub(crate) fn with_countable(self, are_countable: bool) -> Self {
        Self { are_countable, ..self }
    }

    /// Gives each run these values. The author's code may record others for the same keys.
    pub(crate) fn with_initial_values(mut self, values: Vec<(u8, Value)>) -> Self {
        if let Some(first) = &mut self.table.get_mut().unwrap_or_else(PoisonError::into_inner).next {
            values.iter().for_each(|(position, value)| first.set(*position, *value));
        }
        self.initial_values = values;
        self
    }

    /// Collects what is not recorded.
    pub(crate) fn with_omissions(mut self) -> Self {
        self.omissions = Some(Box::new(Omissions::new(self.allowlist, self.tool)));
        self
    }

    /// What is not recorded, if it is collected.
    #[inline]
    pub(crate) fn omissions(&self) -> Option<&Omissions> {
        self.omissions.as_deref()
    }

    pub(crate) fn omit_span(&self, span: u8, reason: OmissionReason) {
        if let Some(omissions) = self.omissions() {
            omissions.add_span(span, reason);
        }
    }

    /// Whether the layer must see this span: an approved one, or any if omissions are collected.
    pub(super) fn must_see(&self, metadata: &Metadata<'_>) -> bool {
        self.allowlist.span(metadata).is_some() || self.omissions.is_some() && metadata.is_span()
    }

    /// The most verbose level of the spans that the layer must see.
    pub(super) fn level(&self) -> Option<Level> {
        if self.omissions.is_some() { Some(Level::TRACE) } else { self.allowlist.level() }
    }

    /// Whether a command has begun in this process. `None` if another thread has the lock.
    pub(crate) fn has_begun(&self) -> Option<bool> {
        self.table.try_lock().ok().map(|table| table.has_begun)
    }

    fn new_run(&self, start: u64) -> Run {
        let trace_id = self.parent.map_or_else(|| self.ids.trace_id(), |(trace_id, _)| trace_id);
        let root = Span {
            trace_id,
            span_id: self.ids.span_id(),
            parent: self.parent.map(|(_, span_id)| Parent { span_id, is_remote: true }),
            subject: Subject::Run(None),
            start,
            end: start,
            values: self.initial_values.clone(),
        };
        let lines = LineWriter::of_trace(self.allowlist.data_points, self.tool, trace_id);
        Run::new(root, lines, self.allowlist.has_coarse_times, self.is_shown)
    }

    pub(crate) fn new_span_id(&self) -> SpanId {
        self.ids.span_id()
    }

    /// The id that replaces that of another tracer's span.
    #[cfg(feature = "sdk")]
    pub(crate) fn span_id_for(&self, foreign: &(TraceId, SpanId)) -> SpanId {
        self.ids.span_id_for(foreign)
    }

    /// Whether this process was forked from the one that these runs belong to.
    #[cfg(feature = "sdk")]
    pub(crate) fn is_forked_child(&self) -> bool {
        fork::is_child()
    }

    /// Nanoseconds since the Unix epoch.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// The runs that have not ended. `None` in a forked child, which must not wait for the lock.
    fn lock(&self) -> Option<MutexGuard<'_, RunTable>> {
        (!fork::is_child()).then(|| self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Publishes the latest run. Call it after every change to the open runs. A thread that still reads the old value
    /// opened its span at the same moment, so both are right.
    fn publish_latest(&self, table: &RunTable) {
        let first = table.next.as_ref().filter(|_| !table.has_begun);
        let latest = table.open.last().or(first).map_or(0, |run| run.id.number());
        self.latest.store(latest, Ordering::Relaxed);
        self.has_several.store(table.open.len() > 1, Ordering::Relaxed);
    }

    /// The parent of a new span whose nearest approved ancestor is given. `None` if no command is open.
    pub(crate) fn parent_for(&self, ancestor: Option<ParentSpan>) -> Option<ParentSpan> {
        if self.has_several.load(Ordering::Relaxed) {
            return self.parent_among_several(ancestor);
        }
        let run = RunId::from_number(self.latest.load(Ordering::Relaxed))?;
        // The ancestor may belong to a run that is over.
        Some(ancestor.filter(|ancestor| ancestor.run == run).unwrap_or(ParentSpan::under(run)))
    }

    #[cold]
    fn parent_among_several(&self, ancestor: Option<ParentSpan>) -> Option<ParentSpan> {
        let run = self.lock()?.current(ancestor)?.id;
        ancestor.filter(|ancestor| ancestor.run == run).or(Some(ParentSpan::under(run)))
    }

    /// The approved span that this thread has entered, if several runs are open. The caller must not hold the runs' lock,
    /// because spans have locks too.
    fn entered_among_several(&self) -> Option<ParentSpan> {
        if self.has_several.load(Ordering::Relaxed) && !fork::is_child() {
            open_span::entered()
        } else {
            None
        }
    }

    /// Begins a command. Its run is on disk from now on, if it may be recorded. `is_closure` means that the command ends in
    /// this thread, and that everything the thread does until then belongs to it.
    pub(crate) fn begin(
        &self,
        command: &str,
        is_closure: bool,
        may_record: bool,
        may_keep: impl Fn() -> bool,
    ) -> Option<BegunRun> {
        let mut guard = self.lock()?;
        let table = &mut *guard;
        let abandoned = table.open.pop_if(|run| run.abandoned.is_some());
        let abandoned = abandoned.map(|run| {
            let ending = run.abandoned.unwrap_or(Ending::CutOff);
            self.seal(run, ending, may_keep)
        });
        if table.has_begun && table.open.is_empty() {
            self.clock.synchronise();
        }
        let next = table.next.take();
        let mut run = next.unwrap_or_else(|| self.new_run(self.now()));
        if table.has_begun {
            run.set_start(self.now());
        }
        table.has_begun = true;
        run.thread = Some(thread::current().id());
        run.is_closure = is_closure;
        let id = run.id;
        if may_record {
            if let Some((position, value)) = self.command(command) {
                run.set(position, value);
            }
            self.open(&mut run, table.open.iter().filter(|run| !run.is_over()).count());
            run.flush();
        } else {
            run.discard(Outcome::OptedOut);
        }
        table.open.push(run);
        self.publish_latest(table);
        Some(BegunRun { run: id, should_check_limits: may_record && self.should_check_limits(), abandoned })
    }

    /// The data point for the command's name. A command without a name has none.
    fn command(&self, name: &str) -> Option<(u8, Value)> {
        let position = self
            .allowlist
            .data_points
            .command()
            .filter(|position| !name.is_empty() && self.allowlist.has_data_point(*position))?;
        let data_point = &self.allowlist.data_points.data_points[usize::from(position)];
        let value = data_point.admit_text(name)?;
        if value == Value::Other {
            self.omit_value(data_point.key, ValueType::Text, Some(value));
        }
        Some((position, value))
    }

    /// Opens the run's file, unless too many are open. Each takes one of the tool's descriptors.
    fn open(&self, run: &mut Run, others: usize) {
        let name = RunName { is_countable: self.are_countable, ..RunName::new(self.ids.file_name()) };
        if others < MAX_OPEN_RUNS {
            run.open(self.spool.as_ref(), name);
        } else {
            if let Some(spool) = &self.spool {
                run_file::count_without_file(spool, name, Outcome::LimitOpen);
            }
            run.discard(Outcome::LimitOpen);
        }
    }

    fn should_check_limits(&self) -> bool {
        self.ids.number().is_multiple_of(64)
    }

    /// Records a data point of the current run, or of the next one if no command is open.
    pub(crate) fn record(&self, key: &str, value: &FieldValue<'_>) {
        let Some(offered) = value.value_type() else { return };
        let Some((position, admitted)) = self.admit(key, value) else {
            return self.omit_value(key, offered, None);
        };
        if admitted == Value::Other {
            self.omit_value(key, offered, Some(admitted));
        }
        let entered = self.entered_among_several();
        let Some(mut table) = self.lock() else { return };
        match table.current(entered) {
            Some(run) => run.set(position, admitted),
            None => table.next.get_or_insert_with(|| self.new_run(self.now())).set(position, admitted),
        }
    }

    /// The data point of a run with this key, and the value that it admits.
    fn admit(&self, key: &str, value: &FieldValue<'_>) -> Option<(u8, Value)> {
        let data_points = self.allowlist.data_points;
        let position = data_points.key_among(data_points.on_run, key)?;
        let data_point = &data_points.data_points[usize::from(position)];
        if !self.allowlist.has_data_point(position) || matches!(data_point.kind, Kind::ExitCode) {
            return None;
        }
        Some((position, value.admit(data_point)?))
    }

    fn omit_value(&self, key: &str, offered: ValueType, admitted: Option<Value>) {
        if let Some(omissions) = self.omissions() {
            omissions.add_value(None, key, offered, admitted);
        }
    }

    /// Records an approved span that closed. Returns `false` if its run is over or full.
    pub(crate) fn record_span(&self, run: RunId, span: &mut Span) -> bool {
        let Some(mut table) = self.lock() else { return false };
        let Some(run) = table.find(run) else { return false };
        span.trace_id = run.root().trace_id;
        run.record_span(span)
    }

    /// Moves a recorded span under its final parent.
    #[cfg(feature = "sdk")]
    pub(crate) fn move_span(&self, run: RunId, span: &Span) {
        if let Some(mut table) = self.lock()
            && let Some(run) = table.find(run)
        {
            run.move_span(span);
        }
    }

    /// The exact start of a run in nanoseconds since the Unix epoch, unless it is over.
    #[cfg(feature = "sdk")]
    pub(crate) fn started(&self, run: RunId) -> Option<u64> {
        Some(self.lock()?.find(run)?.started())
    }

    /// The trace and the parent span for a child process. The parent is the entered span if its run is open, and the current
    /// run otherwise. Before the first command it is the first command's run.
    pub(crate) fn context(&self, entered: Option<ParentSpan>) -> Option<(TraceId, SpanId)> {
        let parent = self.parent_for(entered)?;
        let mut table = self.lock()?;
        let run = table.find(parent.run).filter(|run| !run.is_over())?;
        Some((run.root().trace_id, parent.span))
    }

    /// Discards the current run, or everything recorded so far if no command is open.
    pub(crate) fn discard(&self) {
        let entered = self.entered_among_several();
        let Some(mut table) = self.lock() else { return };
        if let Some(run) = table.current(entered) {
            run.discard(Outcome::Discarded);
            return;
        }
        table.needs_command = true;
        table.next = None;
        self.publish_latest(&table);
    }

    /// From now on, a process that ends without a command is not a run, whatever its exit code is.
    pub(crate) fn require_command(&self) {
        if let Some(mut table) = self.lock() {
            table.needs_command = true;
        }
    }

    /// Discards all runs of this process. Returns the size of each run that had a file.
    pub(crate) fn discard_all(&self, outcome: Outcome) -> Vec<u64> {
        let Some(mut table) = self.lock() else { return Vec::new() };
        table.next = None;
        let discarded = table.open.iter_mut().filter_map(|run| run.discard(outcome)).collect();
        self.publish_latest(&table);
        discarded
    }

    /// Ends a command's run with an exit code, and seals it if `may_keep` still allows it. Only the first call has an effect.
    pub(crate) fn end(&self, run: RunId, exit_code: i64, may_keep: impl Fn() -> bool) -> EndedRun {
        let Some(table) = self.lock() else { return EndedRun::default() };
        self.end_open(table, run, Ending::Exited(exit_code), may_keep)
    }

    /// Ends a command's run whose exit code will not be reported.
    ///
    /// If it is the only open run, it stays open until the process exits, where the exit code is known, or until another
    /// command begins. See [`BegunRun::abandoned`].
    pub(crate) fn abandon(&self, run: RunId, ending: Ending, may_keep: impl Fn() -> bool) -> EndedRun {
        let Some(mut table) = self.lock() else { return EndedRun::default() };
        if let [only] = &mut *table.open {
            if only.id == run {
                (only.abandoned, only.thread) = (Some(ending), None);
            }
            return EndedRun::default();
        }
        self.end_open(table, run, ending, may_keep)
    }

    fn end_open(
        &self,
        mut table: MutexGuard<'_, RunTable>,
        run: RunId,
        ending: Ending,
        may_keep: impl Fn() -> bool,
    ) -> EndedRun {
        let Some(position) = table.open.iter().rposition(|open| open.id == run) else {
            return EndedRun::default();
        };
        let run = table.open.remove(position);
        self.publish_latest(&table);
        self.seal(run, ending, may_keep)
    }

    /// Ends all open runs when the process exits. A process that fails before a command begins is a run too, but one that
    /// succeeds without a command, for example for `--version`, is not.
    ///
    /// Another thread may have stopped anywhere, so this waits only briefly for the lock. It uses neither `tracing` nor a
    /// thread-local, which may be gone.
    pub(crate) fn end_at_exit(
        &self,
        exit_code: i64,
        may_record: impl FnOnce() -> bool,
        may_keep: impl Fn() -> bool,
    ) -> Vec<EndedRun> {
        if fork::is_child() {
            return Vec::new();
        }
        let started = Instant::now();
        let mut guard = loop {
            match self.table.try_lock() {
                Ok(table) => break table,
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                Err(TryLockError::WouldBlock) if started.elapsed() < EXIT_PATIENCE => std::hint::spin_loop(),
                // The runs stay open, and are reported as cut off.
                Err(TryLockError::WouldBlock) => return Vec::new(),
            }
        };
        let table = &mut *guard;
        if !table.has_begun && !table.needs_command && exit_code != 0 && may_record() {
            table.has_begun = true;
            if let Some(mut run) = table.next.take() {
                self.open(&mut run, 0);
                let mut ended = self.seal(run, Ending::Exited(exit_code), may_keep);
                if let Some(sealed) = &mut ended.sealed {
                    sealed.should_check_limits = self.should_check_limits();
                }
                return vec![ended];
            }
        }
        let open = std::mem::take(&mut table.open);
        self.publish_latest(table);
        open.into_iter().map(|run| self.seal(run, Ending::Exited(exit_code), &may_keep)).collect()
    }

    /// Writes the end of all open runs before `exec`. The exit code of the next program is unknown.
    #[cfg(unix)]
    pub(crate) fn end_before_exec(&self, may_keep: impl Fn() -> bool) -> Vec<super::SealedRun> {
        let now = self.now();
        let Some(mut table) = self.lock() else { return Vec::new() };
        let end = |run: &mut Run| {
            run.end(None, now);
            run.check_seal(&may_keep)
        };
        table.open.iter_mut().filter_map(end).collect()
    }

    /// Seals the open runs so that [`Self::unseal`] can revert it.
    #[cfg(unix)]
    pub(crate) fn seal_before_exec(&self) {
        if let Some(mut table) = self.lock() {
            table.open.iter_mut().for_each(Run::seal_before_exec);
        }
    }

    #[cfg(unix)]
    pub(crate) fn unseal(&self) {
        if let Some(mut table) = self.lock() {
            table.open.iter_mut().for_each(Run::unseal);
        }
    }

    fn seal(&self, mut run: Run, ending: Ending, may_keep: impl Fn() -> bool) -> EndedRun {
        if run.is_over() {
            return EndedRun::default();
        }
        let exit_code = self.allowlist.data_points.exit_code();
        let may_record = exit_code.is_some_and(|position| self.allowlist.has_data_point(position));
        let ending = Some(ending).filter(|ending| may_record || !matches!(ending, Ending::Exited(_)));
        run.end(ending, self.now());
        run.seal(may_keep)
    }
}

//! The recording of this process: each command's run, from its beginning to its delivery.

use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;

use super::foreign_span::ForeignSpan;
use super::preview::{self, Preview, PreviewedRun};
use super::program_trace::ProgramTrace;
use super::{explanation, standard};
use crate::consent::choice::{Choice, ChoiceFile};
use crate::consent::destination::Destination;
use crate::consent::notice::PendingNotice;
use crate::consent::preflight::Preflight;
use crate::consent::{Decision, Reason};
use crate::env::Environment;
use crate::model::allowlist::Allowlist;
use crate::model::chooser::Chooser;
use crate::model::data_points::{DataPoints, Version};
use crate::model::settings::Settings;
use crate::model::span::{Ending, Tool};
use crate::platform;
use crate::record::{EndedRun, Omissions, ParentSpan, RunId, Runs, SealedRun, open_span, trace_context};

use crate::spool::directory::SpoolDirectory;
use crate::spool::outcome::Outcome;
use crate::spool::program_file;
use crate::upload::schedule;

/// A process has one recording. If its start fails, a later one may succeed.
static RECORDING: OnceCell<Recording> = OnceCell::new();

/// The state of this process's recording. A run may end in the command, in the exit hook, or in a drop, and needs all of it.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) runs: Runs,
    settings: Settings,
    decision: Decision,
    /// `None` if runs are only shown.
    storage: Option<RunStorage>,
    destination: Option<Destination>,
    preview: Option<Preview>,
    /// The runs of a test.
    captured: Mutex<Vec<PreviewedRun>>,
    /// Whether a command waits for its uploader. It does so in CI and as process 1 of a container, where detached
    /// processes may be killed when this process ends.
    must_wait: bool,
    /// The notice for a CI log. Nothing is recorded unless it is printed.
    announcement: Option<PendingNotice>,
    is_announced: OnceLock<bool>,
    /// When the preflight ran.
    checked: Instant,
    /// The preflight may be outdated, so the next command runs it again.
    is_outdated: AtomicBool,
}

/// A process that takes longer to begin its first command waits for a user or for requests. The choice may have changed.
const MAX_PREFLIGHT_AGE: Duration = Duration::from_millis(500);

/// Where runs are stored.
#[derive(Debug)]
struct RunStorage {
    spool: SpoolDirectory,
    choice_file: PathBuf,
}

/// The exit hook: ends runs that no command ended, for example at `std::process::exit` or after a panic.
extern "C" fn end_at_exit(status: c_int, _argument: *mut c_void) {
    if let Some(recording) = RECORDING.get() {
        let may_record = || recording.has_announced();
        let ended =
            recording.runs.end_at_exit(i64::from(status & 0xff), may_record, || recording.may_store());
        recording.explain_missing_command(&ended);
        ended.into_iter().for_each(|ended| recording.deliver_or_show(ended));
    }
}

impl Recording {
    /// Returns the recording of this process and whether this call started it, or `None` if it could not start.
    pub(super) fn start(
        settings: &Settings,
        decision: &Decision,
        preflight: Preflight,
        preview: Option<Preview>,
        announcement: Option<PendingNotice>,
        environment: Environment<'_>,
    ) -> Option<&'static Self> {
        let mut is_first = false;
        let recording = RECORDING.get_or_try_init(|| {
            is_first = true;
            Self::new(settings, decision, preflight, preview, announcement, environment).ok_or(())
        });
        let recording = recording.ok().filter(|_| is_first)?;
        // A telemetry command that is misspelt or asks for help ends in the argument parser, and is not recorded.
        if !settings.is_telemetry_command() {
            platform::at_exit(end_at_exit);
        }
        Some(recording)
    }

    fn new(
        settings: &Settings,
        decision: &Decision,
        preflight: Preflight,
        preview: Option<Preview>,
        announcement: Option<PendingNotice>,
        environment: Environment<'_>,
    ) -> Option<Self> {
        let is_ci = preflight.is_ci;
        let must_wait = is_ci || std::process::id() == 1;
        let narrowed_to = preflight.policy.narrowed_to().map(<[String]>::to_vec);
        let destination = preflight.destination.ok().flatten();
        // A user who prints a run as a tree is its operator.
        let chosen_by = match (&destination, preview) {
            (_, Some(Preview::Tree)) => Chooser::Operator,
            (Some(destination), _) => destination.chosen_by,
            (None, _) => Chooser::Maker,
        };
        let is_stored = decision.is_on
            && match preview {
                None => true,
                Some(Preview::Otlp | Preview::Explanation | Preview::Capture) => false,
                Some(Preview::Tree) => {
                    destination.as_ref().is_some_and(|found| found.chosen_by == Chooser::Operator)
                }
            };
        let storage = match (is_stored, &destination, preflight.paths) {
            (true, Some(destination), Some(paths)) => Some(RunStorage {
                spool: SpoolDirectory::new(&paths.state_home, settings.name, &destination.directory_name()),
                choice_file: paths.choice_file,
            }),
            (true, ..) => return None,
            (false, ..) => None,
        };
        let version = Version::parse(settings.version);
        let notice = preflight.notice.as_ref().filter(|_| storage.is_some());
        let allowlist = Allowlist::new(
            settings.data_points?,
            chosen_by,
            version.as_ref(),
            notice,
            narrowed_to.as_deref(),
        );
        let content_hash = Some(allowlist.data_points.content_hash);
        let tool = Tool { name: settings.name, version: settings.version, content_hash };
        let parent = destination.as_ref().and_then(|found| trace_context::parent(environment, found));
        let spool = storage.as_ref().map(|storage| storage.spool.clone());
        // Variables alone decide, because the command makes no system call for it.
        let are_countable = chosen_by == Chooser::Maker
            && !allowlist.data_points.counts.is_empty()
            && !is_ci
            && !environment.is_in_container();
        let runs = Runs::new(allowlist, tool, spool, parent, preview.is_some())
            .with_countable(are_countable)
            .with_initial_values(standard::values(&allowlist, environment));
        let is_explained = preview == Some(Preview::Explanation);
        Some(Self {
            runs: if is_explained { runs.with_omissions() } else { runs },
            settings: settings.clone(),
            decision: decision.clone(),
            storage,
            destination,
            preview,
            captured: Mutex::default(),
            must_wait,
            announcement,
            is_announced: OnceLock::new(),
            checked: Instant::now(),
            is_outdated: AtomicBool::new(false),
        })
    }

    /// A recording for a test. Everything that the data points approve is recorded, and nothing is stored.
    pub(super) fn for_test(settings: &Settings, data_points: &'static DataPoints) -> Self {
        let allowlist = Allowlist::for_sending(data_points, Chooser::Operator, None);
        let content_hash = Some(data_points.content_hash);
        let tool = Tool { name: settings.name, version: settings.version, content_hash };
        Self {
            runs: Runs::new(allowlist, tool, None, None, true).with_omissions(),
            settings: settings.clone(),
            decision: Decision { is_on: true, reason: Reason::Default },
            storage: None,
            destination: None,
            preview: Some(Preview::Capture),
            captured: Mutex::default(),
            must_wait: false,
            announcement: None,
            is_announced: OnceLock::new(),
            checked: Instant::now(),
            is_outdated: AtomicBool::new(false),
        }
    }

    /// Takes the runs of a test.
    pub(crate) fn take_captured(&self) -> Vec<PreviewedRun> {
        std::mem::take(&mut self.captured.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The variables that put a child process into the run's trace. A run that is only shown has none.
    pub(crate) fn child_environment(&self) -> Vec<(&'static str, String)> {
        let (Some(_), Some(destination)) = (&self.storage, &self.destination) else { return Vec::new() };
        let Some((trace_id, span_id)) = self.runs.context(open_span::entered()) else {
            return Vec::new();
        };
        trace_context::for_child(Environment::process(), destination, trace_id, span_id, std::process::id())
    }

    /// The trace of a run for the program that it runs. A run that is only shown has none.
    pub(super) fn program_trace(&self, run: RunId) -> Option<ProgramTrace> {
        let destination = self.destination.as_ref().filter(|_| self.storage.is_some())?.clone();
        let (trace_id, span_id) = self.runs.context(Some(ParentSpan::under(run)))?;
        Some(ProgramTrace { destination, trace_id, span_id })
    }

    /// Begins a command. `is_closure` means that it ends in this thread.
    pub(crate) fn begin(&self, command: &str, is_closure: bool) -> Option<RunId> {
        if let Some(notice) = &self.announcement {
            self.is_announced.get_or_init(|| notice.announce(&self.settings));
        }
        platform::reap_children(Duration::ZERO);
        let may_record = self.may_record();
        let begun = self.runs.begin(command, is_closure, may_record, || self.may_store())?;
        if let Some(omissions) = self.runs.omissions() {
            omissions.ask_subscriber();
        }
        if let Some(abandoned) = begun.abandoned {
            self.deliver_or_show(abandoned);
        }
        if let (true, Some(storage), Some(program)) = (may_record, &self.storage, self.settings.program) {
            // Without it, the run waits for the next uploader that has one.
            let _ = program_file::store(&storage.spool, program);
        }
        // If every run of a tool is killed, no end of a run enforces the limits.
        if let Some(storage) = self.storage.as_ref().filter(|_| begun.should_check_limits) {
            schedule::enforce_limits(&self.settings, &storage.spool);
        }
        Some(begun.run)
    }

    /// Records an approved span that another process measured.
    pub(super) fn record_foreign(&self, run: RunId, span: &ForeignSpan<'_>) -> bool {
        let Some((trace_id, root)) = self.runs.context(Some(ParentSpan::under(run))) else { return false };
        let approved = span.approved(&self.runs.allowlist, trace_id, root);
        approved.is_some_and(|mut span| self.runs.record_span(run, &mut span))
    }

    /// Whether a run may begin. The preflight at the start of the process decides for a command that begins at once. A
    /// later command, perhaps after weeks, runs it again, because telemetry may be off or have another destination.
    fn may_record(&self) -> bool {
        if self.storage.is_none() {
            return true;
        }
        if !self.has_announced() {
            return false;
        }
        let is_outdated = self.is_outdated.swap(true, Ordering::Relaxed);
        if !is_outdated && self.checked.elapsed() < MAX_PREFLIGHT_AGE {
            return true;
        }
        let now = Preflight::run(&self.settings, Environment::process());
        let directory = now.destination().map(Destination::directory_name);
        now.recording_decision(&self.settings, Environment::process()).is_on
            && directory == self.destination.as_ref().map(Destination::directory_name)
    }

    /// Whether the CI log has its notice, if it needs one.
    fn has_announced(&self) -> bool {
        self.announcement.is_none() || self.is_announced.get() == Some(&true)
    }

    /// Whether a run may be stored. It may not if the user turned telemetry off in the meantime.
    ///
    /// A choice that cannot be read or found (no descriptor is left, or the process has changed its user or root) does not
    /// count. The run stays pending, and the uploader checks again before it sends.
    fn may_store(&self) -> bool {
        let Some(storage) = &self.storage else { return false };
        match Choice::read(&storage.choice_file) {
            ChoiceFile::Valid(choice) => choice.telemetry != Some(false),
            ChoiceFile::Missing | ChoiceFile::Invalid => true,
        }
    }

    /// Seals and delivers the run of a command that ended.
    pub(crate) fn end(&self, run: RunId, exit_code: i64) {
        if let Some(omissions) = self.runs.omissions() {
            omissions.ask_subscriber();
        }
        self.deliver_or_show(self.runs.end(run, exit_code, || self.may_store()));
    }

    /// Abandons a command that was dropped without an end, for example by a panic.
    pub(super) fn abandon(&self, run: RunId) {
        // The Rust runtime exits with 101 after an uncaught panic.
        let ending = if std::thread::panicking() { Ending::Exited(101) } else { Ending::CutOff };
        self.deliver_or_show(self.runs.abandon(run, ending, || self.may_store()));
    }

    /// Discards the runs that are being written. Returns the bytes of each.
    pub(crate) fn discard_all(&self, outcome: Outcome) -> Vec<u64> {
        self.is_outdated.store(true, Ordering::Relaxed);
        self.runs.discard_all(outcome)
    }

    /// Calls `exec`, which returns only on failure, while all runs are sealed.
    #[cfg(unix)]
    pub(super) fn sealed_during<R>(&self, exec: impl FnOnce() -> R) -> R {
        for sealed in self.runs.end_before_exec(|| self.may_store()) {
            // No wait, because the process continues as another program. The uploader starts before the runs are sealed
            // and lingers, so it cannot send them before `exec` may fail.
            self.deliver(sealed, None);
        }
        self.runs.seal_before_exec();
        let failed = exec();
        self.runs.unseal();
        failed
    }

    fn deliver_or_show(&self, ended: EndedRun) {
        let is_stored = ended.sealed.is_some();
        if let Some(sealed) = ended.sealed {
            self.deliver(sealed, self.must_wait.then_some(self.settings.ci_wait));
        }
        let Some(preview) = self.preview else { return };
        // A discarded run is explained, but not shown.
        let spans = match (preview, ended.shown) {
            (_, Some(spans)) => spans,
            (Preview::Explanation, None) => Vec::new(),
            (Preview::Otlp | Preview::Tree | Preview::Capture, None) => return,
        };
        let omissions = self.runs.omissions().map(Omissions::take).unwrap_or_default();
        let is_countable = self.runs.are_countable;
        let run = PreviewedRun { spans, omissions, is_stored, is_countable };
        if preview == Preview::Capture {
            self.captured.lock().unwrap_or_else(PoisonError::into_inner).push(run);
        } else {
            preview.show(&self.settings, &self.decision, self.destination.as_ref(), &run);
        }
    }

    /// A tool that never begins a command records nothing, which its author may not know.
    fn explain_missing_command(&self, ended: &[EndedRun]) {
        let is_missing = ended.is_empty() && self.runs.has_begun() == Some(false);
        if is_missing && self.preview == Some(Preview::Explanation) {
            let omissions = self.runs.omissions().map(Omissions::take).unwrap_or_default();
            preview::print(&explanation::without_command(&self.settings, &omissions));
        }
    }

    fn deliver(&self, sealed: SealedRun, wait: Option<Duration>) {
        if let (Some(storage), Some(destination)) = (&self.storage, &self.destination) {
            schedule::schedule_upload(&self.settings, &storage.spool, destination, sealed, wait);
        }
    }
}

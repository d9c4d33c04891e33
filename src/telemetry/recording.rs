//! The recording of this process: each command's run from its beginning to its delivery.

use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;

use super::{Builder, Telemetry};
use crate::consent::choice::{Choice, ChoiceFile};
use crate::consent::destination::Destination;
use crate::consent::notice::PendingNotice;
use crate::consent::preflight::Preflight;
use crate::consent::{Decision, Reason};
use crate::env::Environment;
use crate::model::allowlist::Allowlist;
use crate::model::chosen_by::ChosenBy;
use crate::model::data_points::Version;
use crate::model::settings::Settings;
use crate::model::span::{Ending, Tool};
use crate::platform;
use crate::record::trace_context;
use crate::record::{EndedRun, RunId, Runs, SealedRun};
use crate::spool::directory::SpoolDirectory;
use crate::spool::outcome::Outcome;
use crate::telemetry::preview::Preview;
#[cfg(feature = "sdk")]
use crate::upload::delivery::Transport;
use crate::upload::launch::{ProcessRole, UploadMode};
use crate::upload::{process, schedule};

/// A process has one recording. Its start can fail, and then a later one may succeed.
static RECORDING: OnceCell<Recording> = OnceCell::new();

/// What the end of a run needs, wherever it comes from.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) runs: Runs,
    settings: Settings,
    decision: Decision,
    /// Nothing if runs are only shown.
    kept: Option<RunStorage>,
    destination: Option<Destination>,
    preview: Option<Preview>,
    /// Whether what is detached may be ended with this process: in CI, and in a container's first process.
    must_wait: bool,
    /// The notice of a log in CI, and whether it was printed: without it nothing is recorded.
    announcement: Option<PendingNotice>,
    is_announced: OnceLock<bool>,
    /// When it was found out what decides about telemetry.
    found_out: Instant,
    /// What was found out when the process started may be otherwise by now: before the next command it is asked again.
    may_have_changed: AtomicBool,
}

/// A process that waits for longer before its first command is one that waits for a person, or for requests.
const SOON: Duration = Duration::from_millis(500);

/// Where runs are kept.
#[derive(Debug)]
struct RunStorage {
    spool: SpoolDirectory,
    choice_file: PathBuf,
}

/// Starts telemetry, or becomes the uploader and never returns.
pub(super) fn start(builder: Builder) -> Telemetry {
    let environment = Environment::process();
    match ProcessRole::of(environment, &mut std::env::args_os()) {
        ProcessRole::Tool => {}
        ProcessRole::Uploader(mode) => become_uploader(&builder, mode),
        ProcessRole::Inert => return Telemetry::off(builder.settings, Reason::Uploader),
    }
    let preflight = Preflight::run(&builder.settings, environment);
    let mut telemetry = Telemetry::off(builder.settings, Reason::Default);
    telemetry.decision = preflight.recording_decision(&telemetry.settings, environment);
    if preflight.decision.is_on {
        telemetry.notice = PendingNotice::check(&telemetry.settings, &preflight, environment);
    }
    let preview = Preview::of(preflight.mode_override);
    if preview.is_some() {
        // The person is looking already.
        telemetry.notice = None;
    }
    if !telemetry.decision.is_on && preview.is_none() {
        return telemetry;
    }
    let mut is_first = false;
    let recording = RECORDING.get_or_try_init(|| {
        is_first = true;
        Recording::new(&mut telemetry, preflight, preview, environment).ok_or(())
    });
    if recording.is_ok_and(|recording| recording.announcement.is_some()) {
        telemetry.notice = None;
    }
    match recording {
        Ok(recording) if is_first => {
            // `<tool> telemetry` ends in its argument parser when it is misspelt or asks for help, and is not to be
            // recorded then either.
            if !telemetry.settings.is_telemetry_command() {
                platform::at_exit(end_at_exit);
            }
            telemetry.recording = Some(recording);
        }
        _ => {
            let what = "telemetry was started twice in this process".to_owned();
            telemetry.decision = Decision { is_on: false, reason: Reason::InvalidSetup(what) };
        }
    }
    telemetry
}

fn become_uploader(builder: &Builder, mode: UploadMode) -> ! {
    #[cfg(feature = "sdk")]
    if let Some(factory) = &builder.exporter {
        let open_exporter = || Box::new(crate::sdk::ExporterTransport::open(factory)) as Box<dyn Transport>;
        process::run(&builder.settings, Some(&open_exporter), mode);
    }
    process::run(&builder.settings, None, mode)
}

/// Called while the process exits, with its exit code: for `std::process::exit`, a panic, and every tool that
/// ends in another way than by returning from its command.
extern "C" fn end_at_exit(status: c_int, _argument: *mut c_void) {
    if let Some(recording) = RECORDING.get() {
        let may_record = || recording.is_told();
        let ended = recording.runs.end_at_exit(i64::from(status & 0xff), may_record, || recording.may_keep());
        ended.into_iter().for_each(|ended| recording.after(ended));
    }
}

impl Recording {
    fn new(
        telemetry: &mut Telemetry,
        preflight: Preflight,
        preview: Option<Preview>,
        environment: Environment<'_>,
    ) -> Option<Self> {
        let settings = &telemetry.settings;
        let told = preflight.notice;
        let announcement = if preflight.is_ci { telemetry.notice.take() } else { None };
        let must_wait = preflight.is_ci || std::process::id() == 1;
        let narrowed_to = preflight.policy.narrowed_to().map(<[String]>::to_vec);
        let destination = preflight.destination.ok().flatten();
        // Who looks at a run on their own terminal is an operator of it.
        let chosen_by = match (&destination, preview) {
            (_, Some(Preview::Tree)) => ChosenBy::Operator,
            (Some(destination), _) => destination.chosen_by,
            (None, _) => ChosenBy::Maker,
        };
        let is_kept = telemetry.decision.is_on
            && match preview {
                None => true,
                Some(Preview::Otlp) => false,
                Some(Preview::Tree) => {
                    destination.as_ref().is_some_and(|found| found.chosen_by == ChosenBy::Operator)
                }
            };
        let kept = match (is_kept, &destination, preflight.paths) {
            (true, Some(destination), Some(paths)) => Some(RunStorage {
                spool: SpoolDirectory::new(&paths.state_home, settings.name, &destination.directory_name()),
                choice_file: paths.choice_file,
            }),
            (true, ..) => return None,
            (false, ..) => None,
        };
        let version = Version::parse(settings.version);
        let told = told.as_ref().filter(|_| kept.is_some());
        let allowlist =
            Allowlist::new(settings.data_points?, chosen_by, version.as_ref(), told, narrowed_to.as_deref());
        let tool = Tool { name: settings.name, version: settings.version };
        let parent = destination.as_ref().and_then(|found| trace_context::parent(environment, found));
        let spool = kept.as_ref().map(|kept| kept.spool.clone());
        Some(Self {
            runs: Runs::new(allowlist, tool, spool, parent, preview.is_some()),
            settings: settings.clone(),
            decision: telemetry.decision.clone(),
            kept,
            destination,
            preview,
            must_wait,
            announcement,
            is_announced: OnceLock::new(),
            found_out: Instant::now(),
            may_have_changed: AtomicBool::new(false),
        })
    }

    /// What puts a child of this process into the run's trace. Nothing for a run that is only shown.
    pub(crate) fn child_environment(&self) -> Vec<(&'static str, String)> {
        let (Some(_), Some(destination)) = (&self.kept, &self.destination) else { return Vec::new() };
        let Some((trace_id, span_id)) = self.runs.context(crate::record::open_span::entered()) else {
            return Vec::new();
        };
        trace_context::for_child(Environment::process(), destination, trace_id, span_id)
    }

    /// A command begins. `is_closure` says that it is one, and ends in this thread.
    pub(crate) fn begin(&self, command: &str, is_closure: bool) -> Option<RunId> {
        if let Some(due) = &self.announcement {
            self.is_announced.get_or_init(|| due.announce(&self.settings));
        }
        platform::reap_children(Duration::ZERO);
        let may_record = self.may_record();
        let begun = self.runs.begin(command, is_closure, may_record, || self.may_keep())?;
        if let Some(abandoned) = begun.abandoned {
            self.after(abandoned);
        }
        // A tool whose every run is killed never comes to an end that looks at the limits.
        if let Some(kept) = self.kept.as_ref().filter(|_| begun.should_check_limits) {
            schedule::enforce_limits(&self.settings, &kept.spool);
        }
        Some(begun.run)
    }

    /// Whether a run may begin. For a command that begins at once that was found out when the process started; a later
    /// one, hours or weeks after that, is not to be recorded if the person or the policy turned telemetry off meanwhile, or chose
    /// another destination.
    fn may_record(&self) -> bool {
        if self.kept.is_none() {
            return true;
        }
        if !self.is_told() {
            return false;
        }
        let is_next = self.may_have_changed.swap(true, Ordering::Relaxed);
        if !is_next && self.found_out.elapsed() < SOON {
            return true;
        }
        let now = Preflight::run(&self.settings, Environment::process());
        let directory = now.destination().map(Destination::directory_name);
        now.recording_decision(&self.settings, Environment::process()).is_on
            && directory == self.destination.as_ref().map(Destination::directory_name)
    }

    /// Whether the log of a build machine has its notice, where one is due.
    fn is_told(&self) -> bool {
        self.announcement.is_none() || self.is_announced.get() == Some(&true)
    }

    /// Whether a run may be kept: not if the person turned telemetry off while it went on.
    ///
    /// A choice that cannot be read, or not be found (no descriptor is left; the process has another user or root by
    /// now), is none: the run waits, and the uploader asks again before it sends.
    fn may_keep(&self) -> bool {
        let Some(kept) = &self.kept else { return false };
        match Choice::read(&kept.choice_file) {
            ChoiceFile::Valid(choice) => choice.telemetry != Some(false),
            ChoiceFile::Missing | ChoiceFile::Invalid => true,
        }
    }

    /// Seals the run of a command that ended, and sees to its delivery.
    pub(crate) fn end(&self, run: RunId, exit_code: i64) {
        self.after(self.runs.end(run, exit_code, || self.may_keep()));
    }

    /// A command was left without being ended, by a panic or by dropping it.
    pub(super) fn leave(&self, run: RunId) {
        // What the Rust runtime exits with after a panic that nobody caught.
        let ending = if std::thread::panicking() { Ending::Exited(101) } else { Ending::CutOff };
        self.after(self.runs.abandon(run, ending, || self.may_keep()));
    }

    /// The person had everything deleted, what is being written included. Gives the bytes of each run.
    pub(crate) fn discard_all(&self, outcome: Outcome) -> Vec<u64> {
        self.may_have_changed.store(true, Ordering::Relaxed);
        self.runs.discard_all(outcome)
    }

    /// Runs `exec`, which returns only if it fails, with all runs sealed.
    #[cfg(unix)]
    pub(super) fn sealed_during<R>(&self, exec: impl FnOnce() -> R) -> R {
        for sealed in self.runs.end_before_exec(|| self.may_keep()) {
            // Nobody is waited for: the process goes on, only as another program. The uploader starts before the seal
            // and waits for runs a moment: if it found one sealed it would send it before `exec` can fail.
            self.deliver(sealed, None);
        }
        self.runs.seal_before_exec();
        let failed = exec();
        self.runs.unseal();
        failed
    }

    fn after(&self, ended: EndedRun) {
        let is_kept = ended.sealed.is_some();
        if let Some(sealed) = ended.sealed {
            self.deliver(sealed, self.must_wait.then_some(self.settings.ci_wait));
        }
        if let (Some(preview), Some(spans)) = (self.preview, ended.shown) {
            preview.show(&self.settings, &self.decision, self.destination.as_ref(), &spans, is_kept);
        }
    }

    fn deliver(&self, sealed: SealedRun, wait: Option<Duration>) {
        if let (Some(kept), Some(destination)) = (&self.kept, &self.destination) {
            schedule::schedule_upload(&self.settings, &kept.spool, destination, sealed, wait);
        }
    }
}

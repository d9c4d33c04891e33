//! The recording of this process: begun when telemetry is on, ended with the process at the latest.

use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use once_cell::sync::OnceCell;

use super::{Builder, Telemetry};
use crate::allowlist::Allowlist;
use crate::choice::{Choice, ChoiceRead};
use crate::consent::{Decision, Reason};
use crate::context;
use crate::data_points::Version;
use crate::destination::{ChosenBy, Destination, Found};
use crate::env::Environment;
use crate::notice;
use crate::platform;
use crate::run::{Ended, Run};
use crate::sight::Sight;
use crate::span::Tool;
use crate::spool::dir::SpoolDir;
use crate::survey::Survey;
use crate::upload::detach::Role;

/// A process has one recording. Its start can fail, and then a later one may succeed.
static RECORDING: OnceCell<Recording> = OnceCell::new();

/// What the end of the run needs, wherever it comes from.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) run: Run,
    builder: Builder,
    decision: Decision,
    /// Nothing if the run is only shown.
    kept: Option<Kept>,
    destination: Option<Destination>,
    sight: Option<Sight>,
    /// Whether what is detached may be ended with this process: in CI, and in a container's first process.
    must_wait: bool,
    /// The notice of a log in CI, and whether it was printed: without it nothing is kept.
    announcement: Option<notice::Due>,
    is_announced: AtomicBool,
}

/// Where the run is kept.
#[derive(Debug)]
struct Kept {
    spool: SpoolDir,
    choice_file: PathBuf,
}

/// Starts telemetry, or becomes the uploader and never returns.
pub(super) fn start(builder: Builder) -> Telemetry {
    let environment = Environment::process();
    match Role::of(environment, &mut std::env::args_os()) {
        Role::Tool => {}
        Role::Uploader(purpose) => super::uploading::run(&builder, environment, purpose),
        Role::Inert => return Telemetry::off(builder, Reason::Uploader),
    }
    let survey = Survey::take(&builder, environment);
    let mut telemetry = Telemetry::off(builder, Reason::Default);
    telemetry.decision = survey.verdict(&telemetry.builder, environment);
    if survey.decision.on {
        telemetry.notice = notice::due(&telemetry.builder, &survey, environment);
    }
    let sight = Sight::asked_for(survey.wish);
    if sight.is_some() {
        // The person is looking already.
        telemetry.notice = None;
    }
    if !telemetry.decision.on && sight.is_none() {
        return telemetry;
    }
    let mut is_first = false;
    let recording = RECORDING.get_or_try_init(|| {
        is_first = true;
        Recording::new(&mut telemetry, survey, sight, environment).ok_or(())
    });
    if recording.is_ok_and(|recording| recording.announcement.is_some()) {
        telemetry.notice = None;
    }
    match recording {
        Ok(recording) if is_first => {
            // `<tool> telemetry` ends in its argument parser when it is misspelt or asks for help, and is not to be
            // recorded then either.
            if !telemetry.builder.is_about_telemetry() {
                platform::at_exit(end_at_exit);
            }
            telemetry.recording = Some(recording);
        }
        _ => {
            let what = "telemetry was started twice in this process".to_owned();
            telemetry.decision = Decision { on: false, reason: Reason::SetUp(what) };
        }
    }
    telemetry
}

/// Called while the process exits, with its exit code: for `std::process::exit`, a panic, and every tool that
/// ends in another way than by returning from its command.
extern "C" fn end_at_exit(status: c_int, _argument: *mut c_void) {
    if let Some(recording) = RECORDING.get() {
        let sealed = recording.run.end_at_exit(i64::from(status & 0xff), || recording.may_keep());
        recording.after(sealed);
    }
}

impl Recording {
    fn new(
        telemetry: &mut Telemetry,
        survey: Survey,
        sight: Option<Sight>,
        environment: Environment<'_>,
    ) -> Option<Self> {
        let builder = &telemetry.builder;
        let told = survey.notice;
        let announcement = if survey.is_ci { telemetry.notice.take() } else { None };
        let must_wait = survey.is_ci || std::process::id() == 1;
        let narrowed_to = survey.policy.narrowed_to().map(<[String]>::to_vec);
        let destination = match survey.found {
            Found::Destination(destination) => Some(destination),
            Found::None | Found::Unusable(_) => None,
        };
        // Who looks at a run on their own terminal is an operator of it.
        let chosen_by = match (&destination, sight) {
            (_, Some(Sight::Tree)) => ChosenBy::Operator,
            (Some(destination), _) => destination.chosen_by,
            (None, _) => ChosenBy::Maker,
        };
        let is_kept = telemetry.decision.on
            && match sight {
                None => true,
                Some(Sight::Otlp) => false,
                Some(Sight::Tree) => {
                    destination.as_ref().is_some_and(|found| found.chosen_by == ChosenBy::Operator)
                }
            };
        let kept = match (is_kept, &destination, survey.places) {
            (true, Some(destination), Some(places)) => Some(Kept {
                spool: SpoolDir::new(&places.state_home, builder.name, &destination.folder()),
                choice_file: places.choice_file,
            }),
            (true, ..) => return None,
            (false, ..) => None,
        };
        let version = Version::parse(builder.version);
        let told = told.as_ref().filter(|_| kept.is_some());
        let allowlist =
            Allowlist::new(builder.data_points?, chosen_by, version.as_ref(), told, narrowed_to.as_deref());
        let tool = Tool { name: builder.name, version: builder.version };
        let parent = destination.as_ref().and_then(|found| context::parent(environment, found));
        let spool = kept.as_ref().map(|kept| kept.spool.clone());
        Some(Self {
            run: Run::new(allowlist, tool, spool, parent, sight.is_some()),
            builder: builder.clone(),
            decision: telemetry.decision.clone(),
            kept,
            destination,
            sight,
            must_wait,
            announcement,
            is_announced: AtomicBool::new(false),
        })
    }

    /// What puts a child of this process into the run's trace. Nothing for a run that is only shown.
    pub(crate) fn child_environment(&self) -> Vec<(&'static str, String)> {
        let (Some(_), Some(destination)) = (&self.kept, &self.destination) else { return Vec::new() };
        let span_id = crate::open_span::entered().unwrap_or(self.run.root_id());
        context::for_child(Environment::process(), destination, self.run.trace_id(), span_id)
    }

    /// Prints the one line that is the notice in CI.
    pub(crate) fn announce(&self) {
        if let Some(due) = &self.announcement {
            let printed = notice::announce(&self.builder, due);
            self.is_announced.store(printed, Ordering::Relaxed);
        }
    }

    /// The command begins.
    pub(crate) fn begin(&self, command: &str) {
        let is_one_in_64 = self.run.begin(command);
        // A tool whose every run is killed never comes to an end that looks at the limits.
        if let Some(kept) = self.kept.as_ref().filter(|_| is_one_in_64) {
            super::uploading::enforce_limits(&self.builder, &kept.spool);
        }
    }

    /// Whether the person turned telemetry off while the run went on.
    fn may_keep(&self) -> bool {
        let Some(kept) = &self.kept else { return false };
        if self.announcement.is_some() && !self.is_announced.load(Ordering::Relaxed) {
            return false;
        }
        match Choice::read(&kept.choice_file) {
            ChoiceRead::Read(choice) => choice.telemetry != Some(false),
            // On a build machine it may never be there. Elsewhere it was when the run began.
            ChoiceRead::Missing => self.announcement.is_some(),
            ChoiceRead::Unreadable => false,
        }
    }

    /// Seals the run and sees to its delivery.
    pub(crate) fn end(&self, exit_code: i64) {
        self.after(self.run.end(exit_code, || self.may_keep()));
    }

    fn after(&self, ended: Ended) {
        let is_kept = ended.sealed.is_some();
        if let (Some(sealed), Some(kept), Some(destination)) = (ended.sealed, &self.kept, &self.destination) {
            let wait = self.must_wait.then_some(self.builder.wait_in_ci);
            super::uploading::after_seal(&self.builder, &kept.spool, destination, sealed, wait);
        }
        if let (Some(sight), Some(spans)) = (self.sight, ended.shown) {
            sight.show(&self.builder, &self.decision, self.destination.as_ref(), &spans, is_kept);
        }
    }
}

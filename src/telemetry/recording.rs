//! The recording of this process: begun when telemetry is on, ended with the process at the latest.

use std::ffi::{c_int, c_void};
use std::path::PathBuf;

use once_cell::sync::OnceCell;

use super::{Builder, Telemetry};
use crate::allowlist::Allowlist;
use crate::choice::{Choice, ChoiceRead};
use crate::consent::{Decision, Reason};
use crate::context;
use crate::data_points::Version;
use crate::destination::{Destination, Found};
use crate::env::Environment;
use crate::notice;
use crate::platform;
use crate::run::{Run, Sealed};
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
    spool: SpoolDir,
    destination: Destination,
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
    telemetry.decision = survey.decision.clone();
    if !survey.decision.on {
        return telemetry;
    }
    telemetry.notice = notice::due(&telemetry.builder, &survey, environment);
    if survey.choice().notice.is_none() {
        telemetry.decision = Decision {
            on: false,
            reason: Reason::NoticeNotShown,
        };
        return telemetry;
    }
    let mut is_first = false;
    let recording = RECORDING.get_or_try_init(|| {
        is_first = true;
        Recording::new(&telemetry.builder, &survey, environment).ok_or(())
    });
    match recording {
        Ok(recording) if is_first => {
            platform::at_exit(end_at_exit);
            telemetry.recording = Some(recording);
        }
        _ => {
            let what = "telemetry was started twice in this process".to_owned();
            telemetry.decision = Decision {
                on: false,
                reason: Reason::SetUp(what),
            };
        }
    }
    telemetry
}

/// Called while the process exits, with its exit code: for `std::process::exit`, a panic, and every tool that
/// ends in another way than by returning from its command.
extern "C" fn end_at_exit(status: c_int, _argument: *mut c_void) {
    if let Some(recording) = RECORDING.get() {
        let sealed = recording
            .run
            .end_at_exit(i64::from(status & 0xff), || recording.may_keep());
        recording.after(sealed);
    }
}

impl Recording {
    fn new(builder: &Builder, survey: &Survey, environment: Environment<'_>) -> Option<Self> {
        let (Found::Destination(destination), Some(places), Some(data_points)) =
            (&survey.found, &survey.places, builder.data_points)
        else {
            return None;
        };
        let told = survey.choice().notice;
        let version = Version::parse(builder.version);
        let allowlist = Allowlist::new(
            data_points,
            destination.chosen_by,
            version.as_ref(),
            told.as_ref(),
        );
        let spool = SpoolDir::new(&places.state_home, builder.name, &destination.folder());
        let tool = Tool {
            name: builder.name,
            version: builder.version,
        };
        let parent = context::parent(environment, destination.chosen_by);
        Some(Self {
            run: Run::new(allowlist, tool, spool.clone(), parent),
            builder: builder.clone(),
            spool,
            destination: destination.clone(),
            choice_file: places.choice_file.clone(),
        })
    }

    /// Whether the person turned telemetry off while the run went on.
    fn may_keep(&self) -> bool {
        match Choice::read(&self.choice_file) {
            ChoiceRead::Read(choice) => choice.telemetry != Some(false),
            // The file was there when the run began.
            ChoiceRead::Missing | ChoiceRead::Unreadable => false,
        }
    }

    /// Seals the run and sees to its delivery.
    pub(crate) fn end(&self, exit_code: i64) {
        let sealed = self.run.end(exit_code, || self.may_keep());
        self.after(sealed);
    }

    fn after(&self, sealed: Option<Sealed>) {
        if let Some(sealed) = sealed {
            super::uploading::after_seal(&self.builder, &self.spool, &self.destination, sealed);
        }
    }
}

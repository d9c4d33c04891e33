//! Reads everything that decides whether this process collects, once. Variables come first, because a user who opted
//! out with one must not cost a single system call.

use super::choice::{Choice, ChoiceFile};
use super::decide::ConsentInputs;
use super::decision::{Decision, Reason};
use super::destination::{Destination, DestinationSources, InvalidDestination};
use super::policy::{Policy, PolicyFile};
use super::user_paths::UserPaths;
use crate::env::{self, Environment, ModeOverride};
use crate::model::chooser::Chooser;
use crate::model::data_points::{DataPoints, Version};
use crate::model::settings::{CiPolicy, Settings};
use crate::platform::{self, has_broken_link};

/// The decision and what it is based on.
#[derive(Debug)]
pub(crate) struct Preflight {
    pub(crate) decision: Decision,
    /// The value of `<TOOL>_TELEMETRY`.
    pub(crate) mode_override: ModeOverride,
    pub(crate) is_ci: bool,
    pub(crate) policy: PolicyFile,
    pub(crate) choice: ChoiceFile,
    /// The version whose notice for this destination the user saw.
    pub(crate) notice: Option<Version>,
    /// `None` if the build or a variable decided, or there is no home directory.
    pub(crate) paths: Option<UserPaths>,
    pub(crate) destination: Result<Option<Destination>, InvalidDestination>,
}

/// Packagers build with `TOOL_TELEMETRY_BUILD=off` to turn telemetry off in every tool.
const IS_BUILT_OFF: bool = match option_env!("TOOL_TELEMETRY_BUILD") {
    Some(value) => is_built_off(value),
    None => false,
};

/// An unknown value stops the build, where the packager sees it.
const fn is_built_off(value: &str) -> bool {
    let value = value.as_bytes();
    if value.eq_ignore_ascii_case(b"off") {
        return true;
    }
    assert!(
        value.is_empty() || value.eq_ignore_ascii_case(b"on"),
        "TOOL_TELEMETRY_BUILD has an unknown value. Set it to `off` to build without telemetry, or to `on`."
    );
    false
}

impl Preflight {
    pub(crate) fn run(settings: &Settings, environment: Environment<'_>) -> Self {
        let tool_variable = env::tool_variable(settings.name);
        let mode_override = ModeOverride::read(environment, &tool_variable);
        let mut inputs = ConsentInputs {
            // The companion's build is not the tool's.
            is_built_off: IS_BUILT_OFF && !settings.is_companion,
            variable: opt_out_variable(settings, environment, &tool_variable, mode_override),
            policy: None,
            choice: ChoiceFile::Missing,
            requires_opt_in: settings.requires_opt_in,
        };
        let mut preflight = Self {
            decision: inputs.decide(),
            mode_override,
            is_ci: false,
            policy: PolicyFile::Missing,
            choice: ChoiceFile::Missing,
            notice: None,
            paths: None,
            destination: Ok(None),
        };
        if inputs.is_built_off || inputs.variable.is_some() {
            return preflight;
        }
        preflight.is_ci = environment.is_ci();
        preflight.policy = Policy::read(&platform::policy_file(), settings.name);
        inputs.policy = preflight.policy.off_reason();
        preflight.destination = preflight.find_destination(settings, environment);
        preflight.paths = UserPaths::find(settings.name, environment);
        let Some(paths) = &preflight.paths else {
            preflight.decision = Reason::NoHome.off();
            return preflight;
        };
        inputs.choice = Choice::read(&paths.choice_file);
        preflight.decision = inputs.decide();
        // The target of a broken link may come back, for example with a mount, and may contain `off`.
        if preflight.decision.is_on
            && inputs.choice == ChoiceFile::Missing
            && has_broken_link(&paths.choice_file)
        {
            inputs.choice = ChoiceFile::Invalid;
            preflight.decision = inputs.decide();
        }
        preflight.choice = inputs.choice;
        preflight.notice = match (&preflight.choice, preflight.destination()) {
            // The companion does not know the tool's destination.
            (ChoiceFile::Valid(choice), _) if settings.is_companion => choice.newest_notice(),
            (ChoiceFile::Valid(choice), Some(destination)) => choice.notice_for(destination),
            _ => None,
        };
        if let Some(reason) = preflight.destination_off_reason(settings).filter(|_| preflight.decision.is_on)
        {
            preflight.decision = reason.off();
        }
        preflight
    }

    /// Whether the build or a variable opts out. This makes no system call.
    pub(crate) fn is_opted_out(settings: &Settings, environment: Environment<'_>) -> bool {
        let tool_variable = env::tool_variable(settings.name);
        let mode_override = ModeOverride::read(environment, &tool_variable);
        IS_BUILT_OFF || opt_out_variable(settings, environment, &tool_variable, mode_override).is_some()
    }

    fn find_destination(
        &self,
        settings: &Settings,
        environment: Environment<'_>,
    ) -> Result<Option<Destination>, InvalidDestination> {
        let sources = DestinationSources {
            maker: settings.endpoint,
            publisher: settings.data_points.and_then(DataPoints::publisher).map(|publisher| publisher.name),
            policy: self.policy.endpoint(),
        };
        if settings.is_companion && sources.policy.is_none() {
            // A tool follows the variables only if its author named no endpoint. The companion does not know whether
            // the author did.
            return Ok(None);
        }
        Destination::find(environment, self.mode_override, &sources)
    }

    /// Why telemetry is off, if the destination turns it off.
    fn destination_off_reason(&self, settings: &Settings) -> Option<Reason> {
        match &self.destination {
            Ok(Some(destination)) => (self.is_ci
                && destination.chosen_by == Chooser::Maker
                && settings.ci_policy == CiPolicy::OperatorOnly
                && !self.is_author_chosen())
            .then_some(Reason::Ci),
            // The tool itself may have one.
            Ok(None) if settings.is_companion => None,
            Ok(None) => Some(Reason::NoDestination),
            Err(_) => Some(Reason::BadDestination),
        }
    }

    /// Whether the user's `on` applies to this author. After a fork or a sale of the tool it does not.
    fn is_author_chosen(&self) -> bool {
        self.decision.reason == Reason::UserChoice
            && (self.notice.is_some() || self.choice().newest_notice().is_none())
    }

    /// Whether a command that begins now is recorded. An uploader uses `decision` instead, because its runs were
    /// recorded after their notice.
    pub(crate) fn recording_decision(&self, settings: &Settings, environment: Environment<'_>) -> Decision {
        // In CI, a line in the log is the notice. It is printed when the command begins.
        let is_announced = || self.is_ci && !settings.is_notice_suppressed(environment);
        if self.decision.is_on && self.notice.is_none() && !is_announced() {
            return Reason::NoticeNotShown.off();
        }
        self.decision.clone()
    }

    /// Where this process's runs go, if anywhere.
    pub(crate) fn destination(&self) -> Option<&Destination> {
        self.destination.as_ref().ok()?.as_ref()
    }

    /// The user's choice, or the default if there is none that can be read.
    pub(crate) fn choice(&self) -> Choice {
        match &self.choice {
            ChoiceFile::Valid(choice) => choice.clone(),
            ChoiceFile::Missing | ChoiceFile::Invalid => Choice::default(),
        }
    }
}

/// The first variable that opts out.
fn opt_out_variable(
    settings: &Settings,
    environment: Environment<'_>,
    tool_variable: &str,
    mode_override: ModeOverride,
) -> Option<String> {
    if let Some(name) = settings.opt_out_vars.iter().find(|name| environment.is_truthy(name)) {
        return Some((*name).to_owned());
    }
    if matches!(mode_override, ModeOverride::Off | ModeOverride::Unrecognized) {
        return Some(tool_variable.to_owned());
    }
    if environment.is_truthy(env::DO_NOT_TRACK) {
        return Some(env::DO_NOT_TRACK.to_owned());
    }
    if environment.setting(env::OTEL_SDK_DISABLED).is_some_and(|value| value == "true") {
        return Some(env::OTEL_SDK_DISABLED.to_owned());
    }
    let exporters = environment.setting(env::OTEL_TRACES_EXPORTER)?;
    let is_off =
        exporters.split(',').map(str::trim).any(|exporter| exporter == "none" || env::is_no(exporter));
    is_off.then(|| env::OTEL_TRACES_EXPORTER.to_owned())
}

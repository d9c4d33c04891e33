//! Everything that decides whether this process collects, found out once: variables first, since a person who
//! opted out by one must not cost a single system call; then the files.

use std::path::PathBuf;

use crate::DataPoints;
use crate::consent::choice::{Choice, ChoiceFile};
use crate::consent::destination::{Destination, DestinationSources, InvalidDestination};
use crate::consent::policy::{Policy, PolicyFile};
use crate::consent::{self, ConsentInputs, Decision, Reason};
use crate::env::{self, Environment, ModeOverride};
use crate::model::chosen_by::ChosenBy;
use crate::model::data_points::Version;
use crate::model::settings::{CiPolicy, Settings};
use crate::platform::{self, has_broken_link};

/// What was found out.
#[derive(Debug)]
pub(crate) struct Preflight {
    pub(crate) decision: Decision,
    /// What `<TOOL>_TELEMETRY` asks for.
    pub(crate) mode_override: ModeOverride,
    pub(crate) is_ci: bool,
    pub(crate) policy: PolicyFile,
    pub(crate) choice: ChoiceFile,
    /// The version whose notice this person saw for the destination.
    pub(crate) notice: Option<Version>,
    /// Nothing if a variable decided, or there is no home folder.
    pub(crate) paths: Option<UserPaths>,
    pub(crate) destination: Result<Option<Destination>, InvalidDestination>,
}

/// Where this person's files are.
#[derive(Debug, Clone)]
pub(crate) struct UserPaths {
    pub(crate) state_home: PathBuf,
    pub(crate) choice_file: PathBuf,
}

/// Turned off for every tool built in an environment with `TOOL_TELEMETRY_BUILD=off`: for packagers.
const BUILT_OFF: bool = match option_env!("TOOL_TELEMETRY_BUILD") {
    Some(value) => is_built_off(value),
    None => false,
};

/// A value that is not understood stops the build, where a packager sees it. Each tool's person would have to find it out
/// otherwise.
const fn is_built_off(value: &str) -> bool {
    let value = value.as_bytes();
    if value.eq_ignore_ascii_case(b"off") {
        return true;
    }
    assert!(
        value.is_empty() || value.eq_ignore_ascii_case(b"on"),
        "TOOL_TELEMETRY_BUILD has a value that is not understood. Set it to `off` for a build without telemetry, or to `on`."
    );
    false
}

impl Preflight {
    pub(crate) fn run(settings: &Settings, environment: Environment<'_>) -> Self {
        let tool_variable = env::tool_variable(settings.name);
        let mode_override = ModeOverride::read(environment, &tool_variable);
        let mut preflight = Self {
            decision: Decision { is_on: false, reason: Reason::Build },
            mode_override,
            is_ci: false,
            policy: PolicyFile::Missing,
            choice: ChoiceFile::Missing,
            notice: None,
            paths: None,
            destination: Ok(None),
        };
        let mut facts = ConsentInputs {
            // How the companion was built says nothing of the tool.
            built_off: BUILT_OFF && !settings.is_companion,
            variable: opt_out_variable(settings, environment, &tool_variable, mode_override),
            policy: None,
            choice: ChoiceFile::Missing,
            requires_opt_in: settings.requires_opt_in,
        };
        if facts.built_off || facts.variable.is_some() {
            preflight.decision = consent::decide(&facts);
            return preflight;
        }
        preflight.is_ci = environment.is_ci();
        preflight.policy = Policy::read(&platform::policy_file(), settings.name);
        let mut named = DestinationSources {
            maker: settings.endpoint,
            publisher: settings.data_points.and_then(DataPoints::publisher).map(|publisher| publisher.name),
            policy: None,
        };
        facts.policy = preflight.policy.off_reason();
        if let PolicyFile::Valid(policy) = &preflight.policy {
            named.policy = policy.endpoint.clone().map(|endpoint| (endpoint, policy.settings.clone()));
        }
        preflight.destination = if settings.is_companion && named.policy.is_none() {
            // Whether a tool follows the variables depends on whether its author named an endpoint.
            Ok(None)
        } else {
            Destination::find(environment, mode_override, &named)
        };
        preflight.paths = UserPaths::find(settings.name, environment);
        let Some(paths) = &preflight.paths else {
            preflight.decision = Decision { is_on: false, reason: Reason::NoHome };
            return preflight;
        };
        facts.choice = Choice::read(&paths.choice_file);
        preflight.decision = consent::decide(&facts);
        if preflight.decision.is_on
            && facts.choice == ChoiceFile::Missing
            && has_broken_link(&paths.choice_file)
        {
            facts.choice = ChoiceFile::Invalid;
            preflight.decision = consent::decide(&facts);
        }
        preflight.choice = facts.choice;
        preflight.notice = match (&preflight.choice, preflight.destination()) {
            // Which receiver the tool has is not known there.
            (ChoiceFile::Valid(choice), _) if settings.is_companion => choice.newest_notice(),
            (ChoiceFile::Valid(choice), Some(destination)) => choice.notice_for(destination),
            _ => None,
        };
        if preflight.decision.is_on {
            match preflight.destination {
                Ok(Some(ref destination))
                    if preflight.is_ci
                        && destination.chosen_by == ChosenBy::Maker
                        && settings.ci_policy == CiPolicy::OperatorOnly
                        && !preflight.is_makers_chosen() =>
                {
                    preflight.decision = Decision { is_on: false, reason: Reason::Ci };
                }
                Ok(Some(_)) => {}
                // The tool may well know.
                Ok(None) if settings.is_companion => {}
                Ok(None) => preflight.decision = Decision { is_on: false, reason: Reason::NoDestination },
                Err(_) => preflight.decision = Decision { is_on: false, reason: Reason::BadDestination },
            }
        }
        preflight
    }

    /// Whether the person's `on` is about this maker: one who agreed with another, whose tool was forked or sold since,
    /// did not choose this one.
    fn is_makers_chosen(&self) -> bool {
        self.decision.reason == Reason::UserChoice
            && (self.notice.is_some() || self.choice().newest_notice().is_none())
    }

    /// Whether a command that begins now is recorded, and why: what every text tells. An uploader asks for the
    /// decision alone, since the run that it sends was recorded after its notice.
    pub(crate) fn verdict(&self, settings: &Settings, environment: Environment<'_>) -> Decision {
        // In CI a line in the log is the notice, printed when the command begins.
        let is_told = || self.is_ci && !settings.is_notice_suppressed(environment);
        if self.decision.is_on && self.notice.is_none() && !is_told() {
            return Decision { is_on: false, reason: Reason::NoticeNotShown };
        }
        self.decision.clone()
    }

    /// Where this process's runs go, if there is such a place.
    pub(crate) fn destination(&self) -> Option<&Destination> {
        self.destination.as_ref().ok()?.as_ref()
    }

    /// The person's choice, as far as it could be read.
    pub(crate) fn choice(&self) -> Choice {
        match &self.choice {
            ChoiceFile::Valid(choice) => choice.clone(),
            ChoiceFile::Missing | ChoiceFile::Invalid => Choice::default(),
        }
    }
}

impl UserPaths {
    /// Nothing where there is no home folder, or it is somebody else's: `sudo` may keep the caller's, and no
    /// file of root's is to be left there.
    pub(crate) fn find(tool: &str, environment: Environment<'_>) -> Option<Self> {
        if platform::has_elevated_rights() {
            return None;
        }
        let state_home = platform::state_home(environment)?;
        let config_home = platform::config_home(environment)?;
        if let Some(home) = environment.absolute_path(env::HOME) {
            std::fs::metadata(home).ok().filter(|home| home.is_dir() && platform::is_own(home))?;
        }
        Some(Self { state_home, choice_file: config_home.join(tool).join("telemetry.toml") })
    }
}

/// The first variable that opts out.
fn opt_out_variable(
    settings: &Settings,
    environment: Environment<'_>,
    tool_variable: &str,
    mode_override: ModeOverride,
) -> Option<String> {
    let by_author = settings.opt_out_vars.iter().copied().find(|name| environment.is_truthy(name));
    if let Some(name) = by_author {
        return Some(name.to_owned());
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

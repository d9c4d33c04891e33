//! `telemetry status`: whether telemetry is on and why, where runs go, and what happened to them.

#[cfg(feature = "clap")]
#[cfg(test)]
mod fixture;
mod json;
mod text;

use std::path::PathBuf;
use std::time::SystemTime;

use crate::consent::Decision;
use crate::consent::choice::ChoiceFile;
use crate::consent::destination::{Destination, InvalidDestination};
use crate::consent::policy::PolicyFile;
use crate::consent::preflight::Preflight;
use crate::consent::user_paths::UserPaths;
use crate::env::{self, Environment, ModeOverride};
use crate::model::chooser::Chooser;
use crate::model::clock::unix_seconds;
use crate::platform;
use crate::spool::backoff::Backoff;
use crate::spool::directory::SpoolDirectory;
use crate::spool::listing::count_open_runs;
use crate::spool::outcome::Outcome;
use crate::spool::snapshot::SpoolSnapshot;
use crate::spool::start_history::StartHistory;
use crate::telemetry::Telemetry;
use crate::upload::counts::{CountFile, PeriodCounts};
use crate::upload::{failure::FailureKind, failure_text::SettingNames};
#[cfg(any(feature = "http", feature = "grpc"))]
use crate::upload::{otlp_settings::OtlpSettings, tls};

/// The status of a tool's telemetry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The tool's name.
    pub tool: String,
    /// Whether telemetry is on, and why.
    pub decision: Decision,
    /// The origin of the destination of this process's runs, and who chose it.
    pub destination: Option<(String, Chooser)>,
    /// The site with what the tool's author publishes, if there is one.
    pub published_at: Option<String>,
    /// Settings that are ignored, and other problems.
    pub warnings: Vec<String>,
    /// The path of the machine's policy file, which may not exist.
    pub policy_file: PathBuf,
    /// The path of the file with the user's choice, which may not exist. `None` without a home directory.
    pub choice_file: Option<PathBuf>,
    /// The runs of each destination that ever had one.
    pub destinations: Vec<DestinationStatus>,
    /// The companion does not know the tool's destination.
    is_companion: bool,
}

/// The runs of one destination. `recorded = delivered + pending + dropped`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DestinationStatus {
    /// The name of its directory: who chose it, the publisher, and scheme, host, and port.
    pub name: String,
    /// Pending runs, including those that are being written.
    pub pending: u64,
    /// Pending runs that live processes write, and that cannot be sent yet.
    pub being_written: u64,
    /// Runs that the receiver accepted.
    pub delivered: u64,
    /// Dropped runs, by reason.
    pub dropped: Vec<(Outcome, u64)>,
    /// Spans that a receiver rejected when it accepted the others.
    pub rejected_spans: u64,
    /// Spans over the limits, or incomplete because their process died.
    pub dropped_spans: u64,
    /// Lines that cannot be read and values that are not approved, which were not sent.
    pub left_out: u64,
    /// Runs of a newer format, which a newer version of the tool can send.
    pub newer_runs: u64,
    /// Seconds since the Unix epoch.
    pub last_delivery: Option<u64>,
    /// The last failed delivery. `None` after a delivery.
    pub last_failure: Option<Failure>,
    /// Seconds until the next try.
    pub next_try_in: Option<u64>,
    /// Uploaders that never reported their end, since the last one that did.
    pub unreported_starts: u32,
    /// Why uploaders fail to run and what to do, if they fail.
    pub start_trouble: Option<String>,
    /// When counting began again because the counters were damaged, in seconds since the Unix epoch. `counters.damaged` has
    /// their old content.
    pub counting_since: Option<u64>,
    /// The counts of this installation. `None` if it never counted for this destination.
    pub counts: Option<CountStatus>,
}

/// The counts of this installation for one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CountStatus {
    /// What was counted in the current period.
    pub counted: u64,
    /// Counts that are not delivered yet, of every period. They leave with later commands.
    pub waiting: u64,
    /// Counts that were refused, or that waited for too long.
    pub lost: u64,
    /// When the next period begins in which more is counted, in seconds since the Unix epoch.
    pub next_period: u64,
}

/// A failed delivery.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// A stable name. Its first word is `connection`, `timeout`, `tls`, `http`, `grpc`, `not`, `too`, `proxy`, `exporter`,
    /// `settings`, or `disk`. Later versions may add others.
    pub kind: String,
    /// One sentence with the problem, its place, and the remedy. Empty for a kind of a newer version.
    pub text: String,
    /// Seconds since the Unix epoch.
    pub at: u64,
}

impl Telemetry {
    /// `telemetry status`. It changes nothing. The caller's own run continues, and counts as pending.
    pub fn status(&self) -> Status {
        let (settings, environment) = (self.settings(), Environment::process());
        let (tool, policy_file) = (settings.name, platform::policy_file());
        let preflight = Preflight::run(settings, environment);
        // A user who opted out with a variable, which reads no file, still wants to know what is stored.
        let paths = preflight.paths.clone().or_else(|| UserPaths::find(tool, environment));
        let names = SettingNames::in_force(&preflight, environment, &policy_file);
        let destination = preflight.destination();

        let mut warnings = match &preflight.destination {
            Ok(destination) => {
                destination.iter().flat_map(|found| found.warnings.clone()).collect::<Vec<_>>()
            }
            Err(InvalidDestination(why)) => vec![why.clone()],
        };
        warnings.extend(variable_warnings(tool, &preflight, environment));
        if let PolicyFile::Invalid(error) = &preflight.policy {
            let place = match error.line() {
                0 => format!("{} cannot be used", policy_file.display()),
                line => format!("{}, line {line} is not valid", policy_file.display()),
            };
            warnings
                .push(format!("{place}: {}. Telemetry stays off until that is corrected", error.message()));
        }
        if let (ChoiceFile::Invalid, Some(paths)) = (&preflight.choice, &paths) {
            let until = match (settings.command_line("on"), settings.command_line("off")) {
                (Some(on), Some(off)) => format!("`{on}` or `{off}` writes it again"),
                _ => "you delete it".to_owned(),
            };
            let file = paths.choice_file.display();
            warnings
                .push(format!("{file} cannot be read or is not valid; telemetry stays off until {until}"));
        }
        warnings.extend(destination.and_then(|destination| unusable_settings(destination, &names)));
        warnings.extend(destination.and_then(ignored_proxy));
        if let Some(variable) = environment.without_network() {
            let flush = settings.command_line("flush").map(|flush| format!("; `{flush}` tries anyway"));
            warnings.push(format!(
                "{variable} reports that there is no network: commands here start no uploader, and runs stay pending \
                 until a command outside sends them{}",
                flush.unwrap_or_default()
            ));
        }
        let current = destination.map(|destination| (destination.directory_name(), &names));
        let destinations =
            paths.as_ref().map(|paths| destinations(paths, tool, current, &mut warnings)).unwrap_or_default();
        Status {
            tool: tool.to_owned(),
            decision: preflight.recording_decision(settings, environment),
            destination: destination.map(|found| (found.origin(), found.chosen_by)),
            published_at: settings
                .data_points
                .and_then(|data_points| data_points.publisher()?.published_at)
                .map(str::to_owned),
            warnings,
            policy_file,
            choice_file: paths.map(|paths| paths.choice_file),
            destinations,
            is_companion: settings.is_companion,
        }
    }
}

/// The status of each destination. The names of the settings in force are those of the `current` one.
fn destinations(
    paths: &UserPaths,
    tool: &str,
    current: Option<(String, &SettingNames)>,
    warnings: &mut Vec<String>,
) -> Vec<DestinationStatus> {
    let mut destinations = Vec::new();
    for name in SpoolDirectory::destinations(&paths.state_home, tool) {
        let spool = SpoolDirectory::new(&paths.state_home, tool, &name);
        let names = current.as_ref().filter(|(current, _)| *current == name).map(|(_, names)| *names);
        match DestinationStatus::read(&spool, name) {
            Ok(mut status) => {
                if let Some(names) = names {
                    status.name_settings(names);
                }
                if status.counting_since.is_some() {
                    warnings.push(format!(
                        "{} was damaged: counting began again, and {} has its old content",
                        spool.counters().display(),
                        spool.damaged_counters().display()
                    ));
                }
                destinations.push(status);
            }
            Err(error) => warnings.push(format!("{}: {error}", spool.root().display())),
        }
    }
    // The directories above it are the same for every destination.
    let spool = SpoolDirectory::new(&paths.state_home, tool, "any");
    if let Err(error) = spool.check()
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warnings.push(format!("{}: {error}; nothing is recorded", spool.root().display()));
    }
    destinations
}

/// Warnings about variables with an unknown value. They do not repeat the value.
fn variable_warnings(tool: &str, preflight: &Preflight, environment: Environment<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    if preflight.mode_override == ModeOverride::Unrecognized {
        let variable = env::tool_variable(tool);
        warnings.push(format!(
            "{variable} has an unknown value, which means off; the values are {}",
            ModeOverride::WORDS
        ));
    }
    let disabled = environment.setting(env::OTEL_SDK_DISABLED);
    if disabled.is_some_and(|value| !["true", "false"].contains(&value.as_str())) {
        warnings.push(format!(
            "{} is neither true nor false, which OpenTelemetry treats as false; set it to true to turn telemetry off",
            env::OTEL_SDK_DISABLED
        ));
    }
    warnings
}

impl DestinationStatus {
    pub(super) fn read(spool: &SpoolDirectory, name: String) -> std::io::Result<Self> {
        let SpoolSnapshot { pending, newer, counters, is_damaged } = SpoolSnapshot::read(spool)?;
        let now = SystemTime::now();
        let starts = StartHistory::read(&spool.lock());
        Ok(Self {
            name,
            pending,
            being_written: count_open_runs(spool).min(pending),
            delivered: counters.of(Outcome::Delivered),
            dropped: Outcome::ALL
                .into_iter()
                .filter(|outcome| *outcome != Outcome::Delivered)
                .map(|outcome| (outcome, counters.of(outcome)))
                .filter(|(_, runs)| *runs > 0)
                .collect(),
            rejected_spans: counters.rejected_spans,
            dropped_spans: counters.dropped_spans,
            left_out: counters.left_out,
            newer_runs: newer,
            last_delivery: counters.last_delivery,
            last_failure: counters.last_failure.map(|(kind, at)| {
                let text = FailureKind::parse(&kind).map(|kind| kind.text(&SettingNames::default()));
                Failure { kind, text: text.unwrap_or_default(), at }
            }),
            next_try_in: Backoff::read(&spool.backoff())
                .and_then(|backoff| backoff.remaining(now))
                .map(|wait| wait.as_secs()),
            unreported_starts: starts.unreported,
            start_trouble: starts.explain(),
            counting_since: counters.restarted.or(is_damaged.then(|| unix_seconds(now))),
            counts: CountFile::read(spool)?.state.map(|state| {
                let PeriodCounts { counted, waiting, lost, next } = state.summary(unix_seconds(now));
                CountStatus { counted, waiting, lost, next_period: next }
            }),
        })
    }

    /// Makes the last failure name the settings that are in force now.
    fn name_settings(&mut self, names: &SettingNames) {
        if let Some(failure) = &mut self.last_failure
            && let Some(kind) = FailureKind::parse(&failure.kind)
        {
            failure.text = kind.text(names);
        }
    }
}

/// Why the settings of a destination cannot be used, checked before anything is sent.
#[cfg(any(feature = "http", feature = "grpc"))]
fn unusable_settings(destination: &Destination, names: &SettingNames) -> Option<String> {
    let checked = OtlpSettings::of(destination).and_then(|settings| match destination.endpoint.is_https {
        true => tls::check(&settings),
        false => Ok(0),
    });
    match checked {
        Ok(0) => None,
        Ok(unusable) => Some(names.unusable_roots(unusable)),
        Err(kind) => Some(kind.text(names)),
    }
}

#[cfg(not(any(feature = "http", feature = "grpc")))]
fn unusable_settings(_: &Destination, _: &SettingNames) -> Option<String> {
    None
}

/// A user who sets a proxy must know that gRPC does not use it.
#[cfg(all(feature = "http", feature = "grpc"))]
fn ignored_proxy(destination: &Destination) -> Option<String> {
    use crate::upload::{otlp_settings::Protocol, proxy};

    let settings =
        OtlpSettings::of(destination).ok().filter(|settings| settings.protocol == Protocol::Grpc)?;
    let endpoint = settings.endpoint.parse().ok()?;
    proxy::for_endpoint(&endpoint, &|name| std::env::var(name).ok())?;
    Some(
        "gRPC connects directly and ignores the proxy that the environment sets; use http/protobuf to go through it"
            .to_owned(),
    )
}

#[cfg(not(all(feature = "http", feature = "grpc")))]
fn ignored_proxy(_: &Destination) -> Option<String> {
    None
}

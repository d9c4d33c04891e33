//! `telemetry status`: on or off and why, where to, and what became of the runs.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::consent::choice::ChoiceFile;
use crate::consent::destination::{Destination, InvalidDestination};
use crate::consent::policy::PolicyFile;
use crate::consent::preflight::Preflight;
use crate::consent::user_paths::UserPaths;
use crate::consent::{Decision, Reason};
use crate::env::{self, Environment, ModeOverride};
use crate::model::chosen_by::ChosenBy;
use crate::model::clock::unix_seconds;
use crate::platform;
use crate::spool::backoff::Backoff;
use crate::spool::directory::SpoolDirectory;
use crate::spool::listing::count_open_runs;
use crate::spool::outcome::Outcome;
use crate::spool::snapshot::SpoolSnapshot;
use crate::spool::start_history::StartHistory;
use crate::telemetry::Telemetry;
use crate::upload::{failure::FailureKind, failure_text::SettingNames};
#[cfg(any(feature = "http", feature = "grpc"))]
use crate::upload::{otlp_settings::OtlpSettings, tls};

/// What `telemetry status` tells.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The tool's name.
    pub tool: String,
    /// On or off, and what decided it.
    pub decision: Decision,
    /// Where runs of this process would go, and who chose it.
    pub destination: Option<(String, ChosenBy)>,
    /// Settings that were ignored, and other things to know.
    pub warnings: Vec<String>,
    /// The administrator's policy file of this machine, whether it is there or not.
    pub policy_file: PathBuf,
    /// The file with the person's choice, whether it is there or not; nothing without a home folder.
    pub choice_file: Option<PathBuf>,
    /// What lies and what became of it, for each destination that there ever was.
    pub destinations: Vec<DestinationStatus>,
    /// Where the tool itself would send to is not known.
    is_companion: bool,
}

/// The spool of one destination. `recorded = delivered + pending + dropped`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DestinationStatus {
    /// Its directory: who chose it, the publisher, and scheme, host and port.
    pub name: String,
    /// Runs that wait, those that are being written included.
    pub pending: u64,
    /// Of the pending runs those that living processes write: nothing of them can be sent yet.
    pub being_written: u64,
    /// Runs that the receiver accepted.
    pub delivered: u64,
    /// Runs that were dropped, by reason.
    pub dropped: Vec<(Outcome, u64)>,
    /// Spans that a receiver rejected while it accepted the rest.
    pub rejected_spans: u64,
    /// Spans that were too many or too large to be recorded, or torn off when their process died.
    pub dropped_spans: u64,
    /// Lines that could not be read and values that are not approved, left out of what was sent.
    pub left_out: u64,
    /// Runs of a newer format, left for a newer version of the tool.
    pub newer_runs: u64,
    /// Seconds since the Unix epoch.
    pub last_delivery: Option<u64>,
    /// What failed the last time; nothing again after a delivery.
    pub last_failure: Option<Failure>,
    /// Seconds to wait before the next try.
    pub next_try_in: Option<u64>,
    /// Uploaders that were started since the last one that ended in order, and that never reported their end.
    pub unreported_starts: u32,
    /// Why uploaders do not come to send, and what to do, for people; nothing if they do.
    pub start_trouble: Option<String>,
    /// When counting began again because the counters' file was damaged: seconds since the Unix epoch. What it held
    /// lies beside it, in `counters.damaged`.
    pub counting_since: Option<u64>,
}

/// A failed delivery.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// A stable name. Its first word says what failed: `connection`, `timeout`, `tls`, `http`, `grpc`, `not`, `too`,
    /// `proxy`, `exporter`, `settings` or `disk`; more may come.
    pub kind: String,
    /// One sentence for people: what is wrong, where, and what to do. Empty for a kind of a newer version.
    pub text: String,
    /// Seconds since the Unix epoch.
    pub at: u64,
}

impl Telemetry {
    /// `telemetry status`. Reads only, and changes nothing: the run of a command that asks goes on, and is among those
    /// that wait.
    pub fn status(&self) -> Status {
        let settings = self.settings();
        let preflight = Preflight::run(settings, Environment::process());
        let decision = preflight.recording_decision(settings, Environment::process());
        let (destination, mut warnings) = match &preflight.destination {
            Ok(Some(found)) => (Some((found.origin(), found.chosen_by)), found.warnings.clone()),
            Ok(None) => (None, Vec::new()),
            Err(InvalidDestination(why)) => (None, vec![why.clone()]),
        };
        let (tool, policy_file) = (settings.name, platform::policy_file());
        warnings.extend(misspelt_variables(tool, &preflight, Environment::process()));
        if let PolicyFile::Invalid(fault) = &preflight.policy {
            let (file, what) = (policy_file.display(), fault.message());
            warnings.push(match fault.line() {
                0 => format!("{file} cannot be used: {what}. Telemetry stays off until that is put right"),
                line => format!(
                    "{file}, line {line} is not understood: {what}. Telemetry stays off until that is put right"
                ),
            });
        }
        // A person who opted out by a variable, where no file is looked at, asks what lies there all the same.
        let paths = preflight.paths.clone().or_else(|| UserPaths::find(tool, Environment::process()));
        if let (ChoiceFile::Invalid, Some(paths)) = (&preflight.choice, &paths) {
            let until = match (settings.typed("on"), settings.typed("off")) {
                (Some(on), Some(off)) => format!("`{on}` or `{off}` writes it anew"),
                _ => "somebody deletes it".to_owned(),
            };
            warnings.push(format!(
                "{} cannot be read, or is not as it was written: telemetry stays off until {until}",
                paths.choice_file.display()
            ));
        }
        let names = SettingNames::in_force(&preflight, Environment::process(), &policy_file);
        let current = preflight.destination();
        warnings.extend(current.and_then(|destination| unusable_settings(destination, &names)));
        warnings.extend(current.and_then(passed_proxy));
        let current = current.map(Destination::directory_name);
        if let Some(variable) = Environment::process().without_network() {
            warnings.push(format!(
                "{variable} says that there is no network: commands start no uploader here, and runs wait until one \
                 outside sends them; `{tool} telemetry flush` tries all the same"
            ));
        }
        let mut destinations = Vec::new();
        if let Some(paths) = &paths {
            for folder in SpoolDirectory::destinations(&paths.state_home, settings.name) {
                let spool = SpoolDirectory::new(&paths.state_home, settings.name, &folder);
                let is_current = current.as_ref() == Some(&folder);
                match DestinationStatus::of(&spool, folder) {
                    Ok(mut status) => {
                        if is_current {
                            status.name_settings(&names);
                        }
                        if status.counting_since.is_some() {
                            warnings.push(format!(
                                "{} was damaged: counting began again, and what it held lies in {}",
                                spool.counters().display(),
                                spool.damaged_counters().display()
                            ));
                        }
                        destinations.push(status);
                    }
                    Err(error) => warnings.push(format!("{}: {error}", spool.root().display())),
                }
            }
            // The directories above are those of every destination.
            let spool = SpoolDirectory::new(&paths.state_home, settings.name, "any");
            if let Err(error) = spool.check()
                && error.kind() != std::io::ErrorKind::NotFound
            {
                warnings.push(format!("{}: {error}; nothing is recorded", spool.root().display()));
            }
        }
        let choice_file = paths.map(|paths| paths.choice_file);
        Status {
            tool: tool.to_owned(),
            decision,
            destination,
            warnings,
            policy_file,
            choice_file,
            destinations,
            is_companion: settings.is_companion,
        }
    }
}

/// Variables with a value that means nothing to us. The value is not repeated.
fn misspelt_variables(tool: &str, preflight: &Preflight, environment: Environment<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    if preflight.mode_override == ModeOverride::Unrecognized {
        let variable = env::tool_variable(tool);
        warnings.push(format!(
            "{variable} has a value that is not understood, and that means off; the values are {}",
            ModeOverride::WORDS
        ));
    }
    let disabled = environment.setting(env::OTEL_SDK_DISABLED);
    if disabled.is_some_and(|value| !["true", "false"].contains(&value.as_str())) {
        warnings.push(format!(
            "{} is neither true nor false; OpenTelemetry has that mean false. Set it to true to turn telemetry off",
            env::OTEL_SDK_DISABLED
        ));
    }
    warnings
}

#[cfg(feature = "clap")]
impl Status {
    /// The same for programs: one JSON object on one line. Keys are only added; `format` is raised should one ever
    /// change its meaning. Times are whole seconds since the Unix epoch.
    ///
    /// | key | value |
    /// | --- | --- |
    /// | `format` | 1 |
    /// | `tool` | the tool's name |
    /// | `telemetry` | `on` or `off` |
    /// | `reason` | what decided it: `build`, `variable`, `policy`, `policy_unreadable`, `person`, `choice_unreadable`, `opt_in`, `default`, `notice_not_shown`, `no_destination`, `bad_destination`, `ci`, `no_home`, `uploader`, `set_up`; more may come |
    /// | `reason_text` | the same for people |
    /// | `variable` | the variable that decided, or null |
    /// | `policy_file`, `choice_file` | where these are looked for; `choice_file` is null without a home folder |
    /// | `destination` | null, or `origin` and `chosen_by` (`maker` or `operator`) |
    /// | `warnings` | texts for people |
    /// | `destinations` | one object for each destination that there ever was |
    ///
    /// Of a destination:
    ///
    /// | key | value |
    /// | --- | --- |
    /// | `name` | its directory: who chose it, the publisher, and scheme, host and port |
    /// | `pending`, `delivered` | runs |
    /// | `being_written` | of the pending runs those of processes that live |
    /// | `dropped` | runs by reason, each always there: `refused`, `limit_bytes`, `limit_runs`, `limit_age`, `disk`, `damaged`, `opted_out`, `purged`, `discarded`, `limit_open`; more may come |
    /// | `rejected_spans`, `dropped_spans` | spans |
    /// | `left_out` | lines and values left out of what was sent, since they were damaged or are not approved |
    /// | `newer_runs` | runs of a newer format, left alone |
    /// | `last_delivery` | a time, or null |
    /// | `last_failure` | null, or `kind`, `text` and `at` as in [`Failure`]; null again after a delivery |
    /// | `next_try_in` | seconds, or null |
    /// | `unreported_starts` | uploaders since the last one that ended in order, which never reported their end |
    /// | `start_trouble` | a text for people: why uploaders do not come to send; or null |
    /// | `counting_since` | when counting began again after damage, or null |
    pub fn to_json(&self) -> String {
        use serde_json::{Map, Value, json};

        let destinations: Vec<Value> = self
            .destinations
            .iter()
            .map(|destination| {
                let dropped: Map<String, Value> = Outcome::ALL
                    .into_iter()
                    .filter(|outcome| *outcome != Outcome::Delivered)
                    .map(|outcome| {
                        let runs = destination.dropped.iter().find(|(reason, _)| *reason == outcome);
                        (outcome.name().to_owned(), json!(runs.map_or(0, |(_, runs)| *runs)))
                    })
                    .collect();
                let failure = destination.last_failure.as_ref();
                json!({
                    "name": destination.name,
                    "pending": destination.pending,
                    "being_written": destination.being_written,
                    "delivered": destination.delivered,
                    "dropped": dropped,
                    "rejected_spans": destination.rejected_spans,
                    "dropped_spans": destination.dropped_spans,
                    "left_out": destination.left_out,
                    "newer_runs": destination.newer_runs,
                    "last_delivery": destination.last_delivery,
                    "last_failure": failure.map(|failure| json!({ "kind": failure.kind, "text": failure.text, "at": failure.at })),
                    "next_try_in": destination.next_try_in,
                    "unreported_starts": destination.unreported_starts,
                    "start_trouble": destination.start_trouble,
                    "counting_since": destination.counting_since,
                })
            })
            .collect();
        let reason = &self.decision.reason;
        let variable = match reason {
            Reason::Variable(name) => Some(name),
            _ => None,
        };
        let destination = self
            .destination
            .as_ref()
            .map(|(origin, chosen_by)| json!({ "origin": origin, "chosen_by": chosen_by.name() }));
        json!({
            "format": 1,
            "tool": self.tool,
            "telemetry": if self.decision.is_on { "on" } else { "off" },
            "reason": reason.name(),
            "reason_text": reason.to_string(),
            "variable": variable,
            "policy_file": self.policy_file.to_string_lossy(),
            "choice_file": self.choice_file.as_ref().map(|file| file.to_string_lossy()),
            "destination": destination,
            "warnings": self.warnings,
            "destinations": destinations,
        })
        .to_string()
    }
}

impl DestinationStatus {
    pub(super) fn of(spool: &SpoolDirectory, folder: String) -> std::io::Result<Self> {
        let SpoolSnapshot { pending, newer, counters, is_damaged } = SpoolSnapshot::read(spool)?;
        let now = SystemTime::now();
        let starts = StartHistory::read(&spool.lock());
        Ok(Self {
            name: folder,
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
        })
    }

    /// Has the last failure speak of the settings that are in force now.
    fn name_settings(&mut self, names: &SettingNames) {
        if let Some(failure) = &mut self.last_failure
            && let Some(kind) = FailureKind::parse(&failure.kind)
        {
            failure.text = kind.text(names);
        }
    }
}

/// What is wrong with the settings of a destination, before anything was sent with them.
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

/// gRPC knows no proxy: whoever set one must not believe that it is used.
#[cfg(all(feature = "http", feature = "grpc"))]
fn passed_proxy(destination: &Destination) -> Option<String> {
    use crate::upload::{otlp_settings::Protocol, proxy};

    let settings =
        OtlpSettings::of(destination).ok().filter(|settings| settings.protocol == Protocol::Grpc)?;
    let endpoint = settings.endpoint.parse().ok()?;
    proxy::for_endpoint(&endpoint, &|name| std::env::var(name).ok())?;
    Some(
        "gRPC goes straight to the collector, past the proxy that the environment names; to go through it, use the \
         protocol http/protobuf"
            .to_owned(),
    )
}

#[cfg(not(all(feature = "http", feature = "grpc")))]
fn passed_proxy(_: &Destination) -> Option<String> {
    None
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.decision.is_on { "on" } else { "off" };
        let reason = &self.decision.reason;
        let file = match (reason, &self.choice_file) {
            (Reason::Policy | Reason::PolicyUnreadable, _) => Some(&self.policy_file),
            (Reason::UserChoice | Reason::ChoiceUnreadable, choice_file) => choice_file.as_ref(),
            _ => None,
        };
        write!(f, "telemetry of {} is {state}: {reason}", self.tool)?;
        match file {
            Some(file) => writeln!(f, " ({})", file.display())?,
            None => writeln!(f)?,
        }
        let go = if self.decision.is_on { "go" } else { "would go" };
        match &self.destination {
            Some((origin, ChosenBy::Maker)) => writeln!(f, "runs {go} to {origin}, the maker's")?,
            Some((origin, ChosenBy::Operator)) => writeln!(f, "runs {go} to {origin}, set on this machine")?,
            None if self.is_companion => writeln!(
                f,
                "where runs go only the tool itself knows; a receiver that no notice has named gets nothing"
            )?,
            None => writeln!(f, "runs go nowhere")?,
        }
        let now = unix_seconds(SystemTime::now());
        for destination in &self.destinations {
            writeln!(f, "{}:", destination.name)?;
            match destination.being_written {
                0 => writeln!(f, "  pending    {}", destination.pending)?,
                living => writeln!(f, "  pending    {} ({living} being written)", destination.pending)?,
            }
            writeln!(f, "  delivered  {}", destination.delivered)?;
            for (outcome, runs) in &destination.dropped {
                writeln!(f, "  dropped    {runs} ({})", outcome.name())?;
            }
            for (spans, what) in [
                (destination.rejected_spans, "spans rejected by the receiver"),
                (destination.dropped_spans, "spans dropped: too many, too large, or torn off"),
                (
                    destination.left_out,
                    "lines and values left out of what was sent: damaged, or not approved",
                ),
                (destination.newer_runs, "runs of a newer version, left alone"),
            ] {
                if spans > 0 {
                    writeln!(f, "  {spans} {what}")?;
                }
            }
            if let Some(at) = destination.last_delivery {
                writeln!(f, "  last delivery: {}", ago(now, at))?;
            }
            if let Some(failure) = &destination.last_failure {
                writeln!(f, "  last failure: {}, {}", failure.kind, ago(now, failure.at))?;
                // A warning says it already.
                if !failure.text.is_empty() && !self.warnings.contains(&failure.text) {
                    writeln!(f, "    {}", failure.text)?;
                }
            }
            if let Some(trouble) = &destination.start_trouble {
                writeln!(f, "  {trouble}")?;
            }
            if let Some(seconds) = destination.next_try_in.filter(|_| self.decision.is_on) {
                writeln!(f, "  next try in {seconds} s")?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

/// How long ago a time was, in the largest unit that says something.
fn ago(now: u64, at: u64) -> String {
    match now.saturating_sub(at) {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(all(test, feature = "clap"))]
mod tests {
    use super::*;

    /// What a program reads and what Rust code reads have the same names.
    #[test]
    fn a_destination_has_the_same_words_in_json() {
        let destination = DestinationStatus {
            name: "maker".to_owned(),
            pending: 1,
            delivered: 2,
            dropped: Vec::new(),
            being_written: 0,
            left_out: 0,
            unreported_starts: 0,
            start_trouble: None,
            rejected_spans: 3,
            dropped_spans: 4,
            newer_runs: 5,
            last_delivery: Some(6),
            last_failure: None,
            next_try_in: Some(7),
            counting_since: Some(8),
        };
        let fields = format!("{destination:?}");
        let status = Status {
            tool: "frob".to_owned(),
            decision: Decision { is_on: true, reason: Reason::Default },
            destination: None,
            is_companion: false,
            warnings: Vec::new(),
            policy_file: PathBuf::new(),
            choice_file: None,
            destinations: vec![destination],
        };
        let json: serde_json::Value = serde_json::from_str(&status.to_json()).unwrap();
        let keys = json["destinations"][0].as_object().unwrap();
        assert_eq!(keys.len(), 15);
        for key in keys.keys() {
            assert!(fields.contains(&format!("{key}: ")), "{key} is no field: {fields}");
        }
    }
}

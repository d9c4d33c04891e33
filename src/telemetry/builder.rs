//! The builder for a tool's telemetry.

use std::ffi::OsString;
use std::time::Duration;

use super::handle::Telemetry;
use super::{explanation, preview, start};
use crate::consent::Reason;
use crate::consent::preflight::Preflight;
use crate::env::Environment;
use crate::model::data_points::DataPoints;
use crate::model::own_command::OwnCommand;
use crate::model::settings::{CiPolicy, Limits, Settings};
#[cfg(feature = "sdk")]
use crate::sdk::{ExporterFactory, ExporterTransport};
#[cfg(feature = "sdk")]
use crate::upload::delivery::Transport;

impl Telemetry {
    /// Returns a builder for the telemetry of a tool. The name is what users type: lower-case letters, digits, `-`, `_`, and
    /// `.`. Of the version, only up to three numbers and a pre-release stage are recorded and sent; `1.2.3-dev+abc` becomes
    /// `1.2.3`.
    pub fn builder(name: &'static str, version: &'static str) -> Builder {
        Builder::new(name, version)
    }
}

/// The settings of a tool's telemetry. Each method returns the changed builder, and [`Builder::start`] comes last.
///
/// | setting | default |
/// | --- | --- |
/// | [`data_points`](Builder::data_points) | none; required |
/// | [`opt_out_var`](Builder::opt_out_var) | only `<TOOL>_TELEMETRY`, `DO_NOT_TRACK`, and OpenTelemetry's variables |
/// | [`endpoint`](Builder::endpoint) | `OTEL_EXPORTER_OTLP_ENDPOINT`; without it, nothing is recorded |
/// | `deliver_to` (feature `sdk`) | OTLP |
/// | [`telemetry_command`](Builder::telemetry_command) | none, and no message names one |
/// | [`suppress_notice_var`](Builder::suppress_notice_var) | none |
/// | [`require_opt_in`](Builder::require_opt_in) | telemetry is on once the user has seen the notice |
/// | [`ci_policy`](Builder::ci_policy) | CI sends nothing to the author |
/// | [`ci_wait`](Builder::ci_wait) | 300 ms |
/// | [`limits`](Builder::limits) | 10 MiB, 1,000 runs, 28 days |
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `.start()`"]
pub struct Builder {
    pub(crate) settings: Settings,
    /// Delivers to the author's endpoint instead of OTLP.
    #[cfg(feature = "sdk")]
    pub(crate) exporter: Option<ExporterFactory>,
}

impl Builder {
    pub(crate) fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            settings: Settings::new(name, version),
            #[cfg(feature = "sdk")]
            exporter: None,
        }
    }

    /// Sets the approved data points, which [`data_points!`](crate::data_points!) makes.
    pub fn data_points(mut self, data_points: &'static DataPoints) -> Self {
        self.settings.data_points = Some(data_points);
        self
    }

    /// Sets the tool's own telemetry command, as users type it: `frob telemetry`, `cargo frob telemetry`, or
    /// `frob --telemetry` for a tool without subcommands. Its words are those of `TelemetryCommand` (feature `clap`): `on`,
    /// `off`, `status`, `show`, `flush`, and `purge`.
    ///
    /// The notice, `status`, and every error name it. `telemetry.toml` can also set it
    /// (`telemetry_command = "frob telemetry"`), and `tool-telemetry document` reads it there. If neither sets one, messages
    /// name a variable instead, and a first argument `telemetry` is the user's own, as in `just telemetry`. For such a tool,
    /// the companion program has `tool-telemetry off just`.
    pub fn telemetry_command(mut self, typed: &'static str) -> Self {
        self.settings.own_command = Some(OwnCommand(typed));
        self
    }

    /// Adds a variable that opts out with any value except an empty one, `0`, `false`, `no`, and `off`.
    pub fn opt_out_var(mut self, name: &'static str) -> Self {
        self.settings.opt_out_vars.push(name);
        self
    }

    /// Adds a variable that suppresses the first-run notice, for example `DOTNET_NOLOGO`. Telemetry stays off until the
    /// user sees the notice.
    pub fn suppress_notice_var(mut self, name: &'static str) -> Self {
        self.settings.suppress_notice_vars.push(name);
        self
    }

    /// Sets the author's endpoint, the whole address of the traces signal, for example
    /// `https://telemetry.example.com/v1/traces`. It must be https, except on loopback, and the data points must name a
    /// publisher.
    pub fn endpoint(mut self, address: &'static str) -> Self {
        self.settings.endpoint = Some(address);
        self
    }

    /// Records nothing until the user runs `telemetry on`.
    pub fn require_opt_in(mut self) -> Self {
        self.settings.requires_opt_in = true;
        self
    }

    /// Sets whether CI sends runs to the author. An operator's destination always gets them.
    pub fn ci_policy(mut self, ci_policy: CiPolicy) -> Self {
        self.settings.ci_policy = ci_policy;
        self
    }

    /// Sets how long a command waits for the delivery of its run in CI or as process 1 of a container, where detached
    /// processes are killed when the job ends.
    pub fn ci_wait(mut self, wait: Duration) -> Self {
        self.settings.ci_wait = wait;
        self
    }

    /// Sets the limits on pending runs.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Sets an uploader's lifetime. This crate's own tests cannot wait for a minute.
    #[doc(hidden)]
    pub fn uploader_life(mut self, life: Duration) -> Self {
        self.settings.uploader_life = life;
        self
    }

    /// Makes this the telemetry of a program that `tool-telemetry exec` runs. The text is what that program needs to become
    /// the uploader. It is kept beside the runs, and [`program_settings`](crate::command::program_settings) reads it.
    #[doc(hidden)]
    pub fn program(mut self, settings: &'static str) -> Self {
        self.settings.program = Some(settings);
        self
    }

    /// Whether a process with these arguments, its own name first, runs the tool's own telemetry command.
    #[doc(hidden)]
    pub fn is_telemetry_command(&self, arguments: impl IntoIterator<Item = OsString>) -> bool {
        self.settings.own_command().is_some_and(|command| command.is_called(arguments))
    }

    /// Whether a variable of this process opts out. This makes no system call.
    #[doc(hidden)]
    pub fn is_opted_out(&self) -> bool {
        Preflight::is_opted_out(&self.settings, Environment::process())
    }

    /// Validates what the compiler cannot. Call it from one of your tool's tests.
    ///
    /// # Errors
    ///
    /// A sentence with the problem and the remedy. [`Builder::start`] would leave telemetry off.
    ///
    /// ```
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// use tool_telemetry::Telemetry;
    ///
    /// assert!(Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).check().is_ok());
    /// assert!(Telemetry::builder("My Tool", "1.0.0").data_points(&DATA_POINTS).check().is_err());
    /// ```
    pub fn check(&self) -> Result<(), String> {
        self.settings.check()
    }

    /// Delivers to the author's [`endpoint`](Builder::endpoint) through this exporter instead of OTLP. The endpoint is still
    /// required, because messages name it.
    ///
    /// The uploader creates the exporter, once. The uploader has neither the user's `OTEL_*` variables nor the user's
    /// working directory, and its output is discarded. The exporter runs on its own thread without an asynchronous runtime;
    /// if it needs one, it must create it.
    ///
    /// `Ok` from the export and the following flush means that the runs are delivered. After anything else (an error, a
    /// panic, no answer within ten seconds, or an exporter that cannot be created), the uploader retries later, at growing
    /// intervals, until the runs are too old.
    ///
    /// An operator's destination still gets OTLP.
    ///
    /// ```
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// use tool_telemetry::Telemetry;
    ///
    /// let builder = Telemetry::builder("frob", "1.0.0")
    ///     .data_points(&DATA_POINTS)
    ///     .endpoint("https://spans.example.com/in")
    ///     .deliver_to(|| Ok(opentelemetry_stdout::SpanExporter::default()));
    /// ```
    #[cfg(feature = "sdk")]
    pub fn deliver_to<E: opentelemetry_sdk::trace::SpanExporter + 'static>(
        mut self,
        exporter: impl Fn() -> Result<E, Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        self.settings.has_exporter = true;
        self.exporter = Some(ExporterFactory::new(exporter));
        self
    }

    /// Starts telemetry. This must be the first statement of `main`, because the uploader is this same program and is
    /// recognised here.
    ///
    /// It never fails, and does nothing if telemetry is off; [`Telemetry::decision`] has the reason. Only the first call in
    /// a process has an effect.
    pub fn start(self) -> Telemetry {
        if let Err(what) = self.check() {
            if let Some(text) = explanation::of_invalid_setup(self.settings.name, &what) {
                preview::print(&text);
            }
            return Telemetry::off(self.settings, Reason::InvalidSetup(what));
        }
        #[cfg(feature = "sdk")]
        if let Some(factory) = &self.exporter {
            let open_exporter = || Box::new(ExporterTransport::open(factory)) as Box<dyn Transport>;
            return start::start(self.settings, Some(&open_exporter));
        }
        start::start(self.settings, None)
    }
}

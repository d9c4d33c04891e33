//! [`Telemetry`]: the handle of one tool.

use std::process::ExitCode;
use std::sync::Once;

use super::command_result::CommandResult;
use super::guard::CommandGuard;
use super::preview::PreviewedRun;
use super::recording::Recording;

use crate::consent::notice::PendingNotice;
use crate::consent::{Decision, Reason};
use crate::model::allowlist::Allowlist;
use crate::model::chooser::Chooser;
use crate::model::data_points::DataPoints;
use crate::model::field_value::FieldValue;
use crate::model::settings::Settings;
use crate::record::layer::TelemetryLayer;
use crate::spool::outcome::Outcome;

/// The telemetry of one tool, started once, as the first statement of `main`.
///
/// It never makes the tool fail, prints only the first-run notice, and opens no socket in the tool's process. When
/// telemetry is off, every method does nothing.
///
/// ```no_run
/// use std::process::ExitCode;
/// use tool_telemetry::{DataPoints, Telemetry};
///
/// static DATA_POINTS: DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
///
/// fn main() -> ExitCode {
///     let telemetry = Telemetry::builder("frob", env!("CARGO_PKG_VERSION"))
///         .data_points(&DATA_POINTS)
///         .opt_out_var("FROB_TELEMETRY_OPTOUT")
///         .start();
///     telemetry.command("build", || println!("building"))
/// }
/// ```
#[derive(Debug)]
pub struct Telemetry {
    pub(super) settings: Settings,
    pub(super) decision: Decision,
    pub(super) recording: Option<&'static Recording>,
    pub(super) notice: Option<PendingNotice>,
    notice_shown: Once,
}

impl Telemetry {
    /// Telemetry that records nothing.
    pub(crate) fn off(settings: Settings, reason: Reason) -> Self {
        let decision = Decision { is_on: false, reason };
        Self { settings, decision, recording: None, notice: None, notice_shown: Once::new() }
    }

    /// Telemetry that keeps runs for a test. It lives as long as the process, because layers refer to it.
    pub(crate) fn for_test(data_points: &'static DataPoints) -> Self {
        let newest = Allowlist::for_sending(data_points, Chooser::Operator, None).newest();
        let version = newest.map_or_else(|| "1.0.0".to_owned(), |version| version.to_string());
        let mut settings =
            Settings::new(data_points.tool.unwrap_or("tool"), Box::leak(version.into_boxed_str()));
        settings.data_points = Some(data_points);
        let recording: &'static Recording = Box::leak(Box::new(Recording::for_test(&settings, data_points)));
        let mut telemetry = Self::off(settings, Reason::Default);
        telemetry.decision.is_on = true;
        telemetry.recording = Some(recording);
        telemetry
    }

    /// Takes the runs of a test.
    pub(crate) fn take_captured(&self) -> Vec<PreviewedRun> {
        self.recording.map(Recording::take_captured).unwrap_or_default()
    }

    /// The layer that records approved spans from `tracing`.
    ///
    /// It can be placed anywhere among other layers, which see the same spans at the same cost. A *global* filter (an
    /// `EnvFilter` or `LevelFilter` added as a layer) hides spans from every layer, including this one, but the run itself
    /// is still recorded. To filter only the log, use `fmt::layer().with_filter(filter)`.
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// use tracing_subscriber::prelude::*;
    ///
    /// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    /// tracing_subscriber::registry().with(telemetry.layer()).init();
    /// ```
    pub fn layer<S>(&self) -> TelemetryLayer<S> {
        TelemetryLayer::new(self.recording.map(|recording| &recording.runs))
    }

    /// Runs one of the tool's commands and records it: its name (a data point of the kind `command`), its duration, and
    /// its exit code. Returns the exit code that the result has if `main` returns it; see [`CommandResult`]. If `main` returns
    /// a `Result`, use [`observe`](Self::observe).
    ///
    /// Each command is its own run with its own trace, and the run can be sent as soon as the command ends. A shell or a
    /// watcher therefore reports each of its commands. Up to 64 open commands are recorded at once, and more are counted.
    /// A process that shows the notice records nothing.
    ///
    /// | an approved span | belongs to |
    /// | --- | --- |
    /// | in the thread of a command's closure | that command, or the innermost of nested ones |
    /// | elsewhere, below an approved span of an open command | that span's command |
    /// | elsewhere | the command that its thread began last, or else the command that began last |
    /// | that closes before the first command | the first command, whose run starts with the process; 256 are kept |
    /// | that opens later, while no command is open | no run, so it is not recorded |
    /// | that closes after its command's end | no run, so it is not recorded |
    ///
    /// A process that exits with code 0 before any command began, for example for `--version`, `--help`, or shell
    /// completion, is not a run. One that exits with another code, for example after a usage error, is a run.
    ///
    /// A run can have 1 MiB, about 2,300 spans with one or two data points each. Further spans are counted, and
    /// `telemetry status` reports their number.
    pub fn command<R: CommandResult>(&self, name: &str, run: impl FnOnce() -> R) -> ExitCode {
        self.begin_command(name, true).end(run())
    }

    /// The same, but returns what the closure returns, for a `main` that returns a `Result`. It prints nothing, because
    /// `main` prints the error.
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// # fn build() -> Result<(), std::io::Error> { Ok(()) }
    /// fn main() -> Result<(), std::io::Error> {
    ///     let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    ///     telemetry.observe("build", || build())
    /// }
    /// ```
    ///
    /// [`command`](Self::command) there is a type error, because it returns an exit code:
    ///
    /// ```compile_fail,E0308
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// # fn build() -> Result<(), std::io::Error> { Ok(()) }
    /// fn main() -> Result<(), std::io::Error> {
    ///     let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    ///     telemetry.command("build", || build())
    /// }
    /// ```
    pub fn observe<R: CommandResult>(&self, name: &str, run: impl FnOnce() -> R) -> R {
        self.begin_command(name, true).end_with(run())
    }

    /// Begins a command that is not one closure, for example an asynchronous one.
    ///
    /// If several commands are open at once, open an approved span without a parent around the whole command first. Spans
    /// below it then belong to the command, on every thread.
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// # async fn build() -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn example() -> std::process::ExitCode {
    /// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    /// let command = telemetry.begin("build");
    /// command.end(build().await)
    /// # }
    /// ```
    pub fn begin(&self, name: &str) -> CommandGuard {
        self.begin_command(name, false)
    }

    fn begin_command(&self, name: &str, is_closure: bool) -> CommandGuard {
        if let Some(notice) = &self.notice {
            self.notice_shown.call_once(|| notice.show(&self.settings));
        }
        CommandGuard::begin(self.recording, name, is_closure)
    }

    /// Discards the current run. Nothing of it is sent, and `telemetry status` counts it as `discarded`. Use it for a
    /// private command, for example a login.
    ///
    /// If several commands are open, the current run is the one that a span opened here belongs to; see
    /// [`command`](Self::command). If none is open, everything recorded so far is dropped, and a process that ends without
    /// a command is not a run, whatever its exit code.
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// # fn log_in() {}
    /// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    /// let code = telemetry.command("login", || {
    ///     telemetry.discard();
    ///     log_in()
    /// });
    /// ```
    pub fn discard(&self) {
        if let Some(recording) = self.recording {
            recording.runs.discard();
        }
    }

    /// Replaces this process with another program, like
    /// [`CommandExt::exec`](std::os::unix::process::CommandExt::exec), and returns only on failure. It first seals the runs
    /// of open commands, without an exit code, because the other program's exit code stays unknown. Without this method,
    /// they are reported as cut off. On failure, the runs continue.
    ///
    /// The program gets [`child_environment`](Self::child_environment), so that its run belongs to this one.
    ///
    /// Only on Unix. On other systems, run the program inside the command with
    /// [`status`](std::process::Command::status), and return its exit code.
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    /// let code = telemetry.command("run", || {
    ///     let error = telemetry.exec(std::process::Command::new("cargo").arg("run"));
    ///     eprintln!("frob: cargo: {error}; install it, or add it to PATH");
    ///     127
    /// });
    /// ```
    #[cfg(unix)]
    pub fn exec(&self, program: &mut std::process::Command) -> std::io::Error {
        use std::os::unix::process::CommandExt as _;

        if let Some(recording) = self.recording {
            program.envs(recording.child_environment());
            return recording.sealed_during(|| program.exec());
        }
        program.exec()
    }

    /// Records a data point on the current run, if the key is approved and the value is allowed. If no command is open, it
    /// goes to the next command's run. [`FieldValue`] lists the types.
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    /// telemetry.record("frob.color", "auto");
    /// telemetry.record("frob.verbose", std::env::args().any(|argument| argument == "--verbose"));
    /// ```
    pub fn record<'a>(&self, key: &str, value: impl Into<FieldValue<'a>>) {
        if let Some(recording) = self.recording {
            recording.runs.record(key, &value.into());
        }
    }

    /// The spool as an exporter, for a program that already builds an `SdkTracerProvider`. It replaces the OTLP exporter.
    /// Use it instead of [`Telemetry::layer`], or spans are recorded twice.
    ///
    /// Add it as a *simple* exporter, because writing a line takes about a microsecond. A batch exporter keeps spans in
    /// memory, so shut the provider down before the command ends. A process that is killed or calls `std::process::exit`
    /// loses those spans.
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// use opentelemetry_sdk::trace::SdkTracerProvider;
    ///
    /// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    /// let provider = SdkTracerProvider::builder()
    ///     .with_simple_exporter(telemetry.span_exporter()) // was: .with_batch_exporter(otlp)
    ///     .build();
    /// ```
    #[cfg(feature = "sdk")]
    pub fn span_exporter(&self) -> crate::sdk::SpoolExporter {
        crate::sdk::SpoolExporter::new(self.recording.map(|recording| &recording.runs))
    }

    /// The environment variables that make a child process's run belong to this one, for `.envs(…)` of
    /// `std::process::Command` or tokio. The child's run hangs under the approved span that is entered now, or else under
    /// this run.
    ///
    /// | this run goes to | the variables |
    /// | --- | --- |
    /// | an operator's destination | `TRACEPARENT`. If `TRACESTATE` is set, it becomes empty, because it belongs to the parent that is replaced and is free text. |
    /// | the author | `TOOL_TELEMETRY_PARENT`, which tools with this crate read. Another program's `TRACEPARENT` stays. |
    /// | nowhere, because telemetry is off or the run is only shown | none |
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    /// let child = std::process::Command::new("cargo").arg("build").envs(telemetry.child_environment()).status();
    /// ```
    pub fn child_environment(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        self.recording.map(|recording| recording.child_environment()).unwrap_or_default().into_iter()
    }

    /// Whether telemetry is on in this process, and why.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    pub(crate) fn set_decision(&mut self, decision: Decision) {
        self.decision = decision;
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Marks this process as one that runs a telemetry command. If it ends without another command, it is not a run,
    /// whatever its exit code.
    pub(crate) fn require_command(&self) {
        if let Some(recording) = self.recording {
            recording.runs.require_command();
        }
    }

    /// Discards the runs that this process is writing. Returns the bytes of each.
    pub(crate) fn discard_all(&self, outcome: Outcome) -> Vec<u64> {
        self.recording.map(|recording| recording.discard_all(outcome)).unwrap_or_default()
    }
}

//! [`Telemetry`]: the one type that a tool author meets.

mod builder;
mod command_result;
mod preview;
mod recording;

pub use builder::Builder;
pub use command_result::CommandResult;

use std::process::ExitCode;

use crate::consent::Decision;
use crate::model::settings::Settings;
use crate::record::layer::TelemetryLayer;

/// Telemetry of one tool: made once, as the first statement of `main`.
///
/// It never fails the tool, prints nothing but the first-run notice, and opens no socket in the tool's process.
/// When telemetry is off everything here does nothing.
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
    settings: Settings,
    decision: Decision,
    recording: Option<&'static recording::Recording>,
    notice: Option<crate::consent::notice::PendingNotice>,
    is_notice_shown: std::sync::Once,
}

impl Telemetry {
    /// Begins to describe a tool's telemetry: the tool's name (as people type it; lower case letters, digits,
    /// `-` and `_`) and its version. Of the version only what every version consists of is recorded and sent: at most
    /// three numbers, and a stage before the release; of `1.2.3-dev+abc` it is `1.2.3`.
    pub fn builder(name: &'static str, version: &'static str) -> Builder {
        Builder::new(name, version)
    }

    /// The layer that takes approved spans from `tracing`.
    ///
    /// It can stand anywhere among other layers: they see the same spans at the same cost with it and without.
    /// A *global* filter (an `EnvFilter` or `LevelFilter` added as a layer) hides spans from every layer, this
    /// one included; the run itself is reported all the same. To filter only the log, put the filter on the log's
    /// own layer: `fmt::layer().with_filter(filter)`.
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

    /// Runs a command of the tool's and records it: its name (a data point of the kind `command`), how long it
    /// took and its exit code, which is returned.
    ///
    /// What the command returns becomes the exit code as it would when returned from `main`; see
    /// [`CommandResult`].
    ///
    /// Each command is a run of its own, with its own trace, which is on its way when the command ends: so a shell or
    /// a watcher reports each of its commands. Up to 64 that are open at once are recorded; more are counted. A process
    /// in which the notice was shown records nothing, however many commands follow.
    ///
    /// | an approved span | belongs to |
    /// | --- | --- |
    /// | in the thread of a command's closure | that command; the innermost one, if they are nested |
    /// | elsewhere, below an approved span of a command that is open | that span's command |
    /// | elsewhere | the command that its thread began last, or else the one that was begun last of all |
    /// | that closes before the first command | the first command, whose run starts with the process; 256 are kept |
    /// | that is opened while no command is open, later | none: it is not recorded |
    /// | that closes after its command's end | none: it is not recorded |
    ///
    /// A process that ends with exit code 0 before any command began, as for `--version`, `--help` or a shell's
    /// completion, is no run; one that ends with another code, as after a usage error, is one.
    ///
    /// A run grows to 1 MiB, about 2,300 spans with one or two data points each. The spans beyond that are counted, and
    /// `telemetry status` tells how many.
    pub fn command<R: CommandResult>(&self, name: &str, run: impl FnOnce() -> R) -> ExitCode {
        self.begin_one(name, true).end(run())
    }

    /// Begins a command whose end is told later, for commands that are not one closure: asynchronous ones, say.
    ///
    /// Where several are open at once, the first thing after this is an approved span without a parent around all that
    /// the command does: what is opened below it belongs to the command, on whichever thread.
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
    pub fn begin(&self, name: &str) -> CommandGuard<'_> {
        self.begin_one(name, false)
    }

    fn begin_one(&self, name: &str, is_closure: bool) -> CommandGuard<'_> {
        if let Some(due) = &self.notice {
            self.is_notice_shown.call_once(|| due.show(&self.settings));
        }
        let run = self.recording.and_then(|recording| recording.begin(name, is_closure));
        CommandGuard { telemetry: self, run }
    }

    /// Drops the current run: nothing of it is sent, and `telemetry status` counts it as `discarded`. For a command that
    /// is nobody's business, such as one that logs in. Where several are open it is the run to which a span would belong
    /// that is opened here: see [`command`](Self::command). While no command is open, what was told so far is dropped, and a
    /// process that ends without a command is no run, whatever its exit code is.
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

    /// Replaces this process by another program, and returns only if that fails: what
    /// [`CommandExt::exec`](std::os::unix::process::CommandExt::exec) does. The runs of the commands that are open are
    /// sealed before, without an exit code, since nobody learns how the other program ends; otherwise they would be
    /// reported as cut off. If it fails they go on.
    ///
    /// The program gets [`child_environment`](Self::child_environment), so that its run belongs to this one.
    ///
    /// Only on Unix. Elsewhere no process is replaced by another: start the program inside of the command with
    /// [`status`](std::process::Command::status), and return its exit code.
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    /// let code = telemetry.command("run", || {
    ///     let error = telemetry.exec(std::process::Command::new("cargo").arg("run"));
    ///     eprintln!("frob: cargo: {error}; install it, or name it in PATH");
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

    /// Records a data point of the current run itself, if it is approved and the value is admitted; while no command is
    /// open, of the next one's.
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    /// telemetry.record("frob.color", "auto");
    /// ```
    pub fn record(&self, key: &str, value: impl Into<FieldValue>) {
        if let Some(recording) = self.recording {
            let value = value.into();
            recording.runs.record(key, |data_point| match &value.0 {
                Field::Bool(flag) => data_point.admit_bool(*flag),
                Field::Integer(number) => data_point.admit_integer(*number),
                Field::Text(text) => data_point.admit_text(text),
            });
        }
    }

    /// The spool as an exporter, for a program that builds an `SdkTracerProvider` already: it stands in place of
    /// the OTLP exporter. Use it instead of [`Telemetry::layer`], not beside it, or spans are recorded twice.
    ///
    /// Give it to the provider as a *simple* exporter: writing a line takes about a microsecond. A batch exporter
    /// holds spans in memory, so the provider must be shut down before the command ends, and what it holds is lost
    /// with a process that is killed or calls `std::process::exit`.
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

    /// What a child process needs in its environment so that its run belongs to this one, for `.envs(…)` of
    /// `std::process::Command` and tokio's alike. The child hangs under the approved span that is entered now, or
    /// else under the run.
    ///
    /// | this run goes to | set |
    /// | --- | --- |
    /// | an operator's destination | `TRACEPARENT`; and `TRACESTATE` to nothing if it was set, since it belongs to the parent that is replaced, and may say anything |
    /// | the maker | `TOOL_TELEMETRY_PARENT`, which tools that use this crate understand; a `TRACEPARENT` of somebody else's stays as it is |
    /// | nowhere: telemetry is off, or the run is only shown | nothing; what was there stays as it is |
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    /// let child = std::process::Command::new("cargo").arg("build").envs(telemetry.child_environment()).status();
    /// ```
    pub fn child_environment(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        self.recording.map(|recording| recording.child_environment()).unwrap_or_default().into_iter()
    }

    /// Whether telemetry is on in this process, and what decided it.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    pub(crate) fn set_decision(&mut self, decision: Decision) {
        self.decision = decision;
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// This process does what the person asked of telemetry: if it ends without a command it is no run, whatever its
    /// exit code is.
    pub(crate) fn require_command(&self) {
        if let Some(recording) = self.recording {
            recording.runs.require_command();
        }
    }

    /// Nothing is kept of what this process is writing. Gives the bytes of each run.
    pub(crate) fn discard_all(&self, outcome: crate::Outcome) -> Vec<u64> {
        self.recording.map(|recording| recording.discard_all(outcome)).unwrap_or_default()
    }
}

/// A command that was begun by [`Telemetry::begin`].
///
/// Dropped without [`CommandGuard::end`], as by a panic, it is left to the end of the process: there the exit code is
/// known where the platform tells it. If the process goes on with another command, or other commands are open, the run
/// ends here: with exit code 101 after a panic, else as one that was cut off.
#[derive(Debug)]
#[must_use = "tell how the command ended with `.end(result)`"]
pub struct CommandGuard<'a> {
    telemetry: &'a Telemetry,
    run: Option<crate::record::RunId>,
}

impl CommandGuard<'_> {
    /// Records the exit code, seals the run and gives the exit code for `main` to return.
    pub fn end<R: CommandResult>(self, result: R) -> ExitCode {
        let code = result.exit_code();
        let mut command = self;
        command.finish(code);
        ExitCode::from(code)
    }

    fn finish(&mut self, code: u8) {
        if let (Some(recording), Some(run)) = (self.telemetry.recording, self.run.take()) {
            recording.end(run, i64::from(code));
        }
    }
}

impl Drop for CommandGuard<'_> {
    fn drop(&mut self) {
        // Where an exit hook tells the real code it has the last word, since the panic may be caught further out.
        if std::thread::panicking() && !crate::platform::HAS_EXIT_HOOK {
            self.finish(101);
        }
        if let (Some(recording), Some(run)) = (self.telemetry.recording, self.run) {
            recording.leave(run);
        }
    }
}

/// A value for [`Telemetry::record`]: a flag, a whole number or a text, all subject to the allowlist.
#[derive(Debug)]
pub struct FieldValue(Field);

#[derive(Debug)]
enum Field {
    Bool(bool),
    Integer(i64),
    Text(String),
}

impl From<bool> for FieldValue {
    fn from(flag: bool) -> Self {
        Self(Field::Bool(flag))
    }
}

impl From<i64> for FieldValue {
    fn from(number: i64) -> Self {
        Self(Field::Integer(number))
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self(Field::Text(text.to_owned()))
    }
}

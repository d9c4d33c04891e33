//! [`CommandGuard`]: a command between its beginning and its end.

use std::process::ExitCode;

use super::command_result::CommandResult;
use super::foreign_span::ForeignSpan;
use super::program_trace::ProgramTrace;
use super::recording::Recording;
use crate::platform;
use crate::record::RunId;

/// A command begun by [`Telemetry::begin`](crate::Telemetry::begin).
///
/// If it is dropped without a call to [`CommandGuard::end`], for example by a panic, the run is closed when the process
/// exits, with the exit code if the platform reports one. If the process continues with another command, or other
/// commands are open, the run ends at the drop: with exit code 101 after a panic, and otherwise as cut off.
#[derive(Debug)]
#[must_use = "report how the command ended with `.end(result)` or `.end_with(result)`"]
pub struct CommandGuard {
    recording: Option<&'static Recording>,
    run: Option<RunId>,
}

impl CommandGuard {
    pub(super) fn begin(recording: Option<&'static Recording>, name: &str, is_closure: bool) -> Self {
        Self { recording, run: recording.and_then(|recording| recording.begin(name, is_closure)) }
    }

    /// Records the exit code, seals the run, and returns the exit code for `main`.
    pub fn end<R: CommandResult>(self, result: R) -> ExitCode {
        result.print_error();
        ExitCode::from(self.end_with(result).exit_code())
    }

    /// Records the exit code that the result has if `main` returns it, seals the run, and returns the result. It prints
    /// nothing.
    ///
    /// ```no_run
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// # async fn build() -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn example() -> Result<(), std::io::Error> {
    /// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    /// let command = telemetry.begin("build");
    /// command.end_with(build().await)
    /// # }
    /// ```
    pub fn end_with<R: CommandResult>(mut self, result: R) -> R {
        self.finish(result.exit_code());
        result
    }

    /// Whether the command is a run.
    #[doc(hidden)]
    pub fn is_run(&self) -> bool {
        self.run.is_some()
    }

    /// The trace of the run, for a program that `tool-telemetry exec` runs. `None` if the run is not stored.
    #[doc(hidden)]
    pub fn program_trace(&self) -> Option<ProgramTrace> {
        self.recording?.program_trace(self.run?)
    }

    /// Records an approved span that another process measured. Returns whether it is approved and has a place in the run.
    #[doc(hidden)]
    pub fn record_span(&self, span: &ForeignSpan<'_>) -> bool {
        match (self.recording, self.run) {
            (Some(recording), Some(run)) => recording.record_foreign(run, span),
            _ => false,
        }
    }

    fn finish(&mut self, code: u8) {
        if let (Some(recording), Some(run)) = (self.recording, self.run.take()) {
            recording.end(run, i64::from(code));
        }
    }
}

impl Drop for CommandGuard {
    fn drop(&mut self) {
        // An exit hook reports the real code. The panic may still be caught further out.
        if std::thread::panicking() && !platform::HAS_EXIT_HOOK {
            self.finish(101);
        }
        if let (Some(recording), Some(run)) = (self.recording, self.run) {
            recording.abandon(run);
        }
    }
}

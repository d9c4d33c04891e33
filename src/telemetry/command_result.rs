//! The results that a command may return, and their exit codes.

use std::fmt;
use std::process::ExitCode;

/// A result that a command may return.
///
/// | type | exit code |
/// | --- | --- |
/// | `()` | 0 |
/// | `u8` | itself |
/// | `i32` | its low 8 bits, like the operating system |
/// | `ExitCode` | itself |
/// | `Result<T, E>` | that of `T`, or 1, like `main` |
///
/// A tool's own type implements it, so that its exit codes are recorded:
///
/// ```
/// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
/// use tool_telemetry::{CommandResult, testing};
///
/// enum Outcome {
///     UpToDate,
///     Outdated,
/// }
///
/// impl CommandResult for Outcome {
///     fn exit_code(&self) -> u8 {
///         match self {
///             Outcome::UpToDate => 0,
///             Outcome::Outdated => 3,
///         }
///     }
/// }
///
/// let run = testing::record(&DATA_POINTS, |telemetry| telemetry.command("check", || Outcome::Outdated));
/// assert_eq!(run.exit_code(), Some(3));
/// ```
///
/// Any other result is an error that says what a command may return:
///
/// ```compile_fail,E0277
/// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
/// let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
/// telemetry.command("build", || Some("binary"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the result of a command",
    label = "the command returns `{Self}`",
    note = "a command returns `()`, an exit code (`u8`, `i32`, or `ExitCode`), or a `Result` of one of them",
    note = "if the value is not needed for the exit code, end the closure with `;` or `.map(|_| ())`",
    note = "implement `CommandResult` for a type of your own"
)]
pub trait CommandResult {
    /// The exit code that the process has if `main` returns this result.
    fn exit_code(&self) -> u8;

    /// Prints an error as `main` would. [`Telemetry::command`](crate::Telemetry::command) calls it, because it returns only
    /// the exit code. By default it prints nothing.
    fn print_error(&self) {}
}

impl CommandResult for () {
    fn exit_code(&self) -> u8 {
        0
    }
}

impl CommandResult for u8 {
    fn exit_code(&self) -> u8 {
        *self
    }
}

impl CommandResult for i32 {
    fn exit_code(&self) -> u8 {
        (self & 0xff) as u8
    }
}

impl CommandResult for ExitCode {
    /// std has no way to read the number, but it can compare.
    fn exit_code(&self) -> u8 {
        (0..=u8::MAX).find(|code| ExitCode::from(*code) == *self).unwrap_or(1)
    }
}

impl<T: CommandResult, E: fmt::Debug> CommandResult for Result<T, E> {
    fn exit_code(&self) -> u8 {
        self.as_ref().map_or(1, T::exit_code)
    }

    #[expect(clippy::print_stderr, reason = "what std does with an error from `main`")]
    fn print_error(&self) {
        match self {
            Ok(value) => value.print_error(),
            Err(error) => eprintln!("Error: {error:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_the_exit_code_that_main_would_return() {
        assert_eq!(().exit_code(), 0);
        assert_eq!(7_u8.exit_code(), 7);
        assert_eq!((-1).exit_code(), 255);
        assert_eq!(256.exit_code(), 0);
        assert_eq!(ExitCode::from(42).exit_code(), 42);
        assert_eq!(ExitCode::SUCCESS.exit_code(), 0);
        assert_eq!(Ok::<(), ()>(()).exit_code(), 0);
        assert_eq!(Err::<(), _>("no").exit_code(), 1);
    }
}

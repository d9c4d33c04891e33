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
/// | `Result<T, E>` | that of `T`, or 1 after `Error: {error:?}` on stderr, like `main` |
pub trait CommandResult {
    /// Returns the exit code. An error is printed on stderr first.
    fn exit_code(self) -> u8;
}

impl CommandResult for () {
    fn exit_code(self) -> u8 {
        0
    }
}

impl CommandResult for u8 {
    fn exit_code(self) -> u8 {
        self
    }
}

impl CommandResult for i32 {
    fn exit_code(self) -> u8 {
        (self & 0xff) as u8
    }
}

impl CommandResult for ExitCode {
    /// std has no way to read the number, but it can compare.
    fn exit_code(self) -> u8 {
        (0..=u8::MAX).find(|code| ExitCode::from(*code) == self).unwrap_or(1)
    }
}

impl<T: CommandResult, E: fmt::Debug> CommandResult for Result<T, E> {
    #[expect(clippy::print_stderr, reason = "what std does with an error from `main`")]
    fn exit_code(self) -> u8 {
        match self {
            Ok(value) => value.exit_code(),
            Err(error) => {
                eprintln!("Error: {error:?}");
                1
            }
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

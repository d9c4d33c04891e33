//! Why something could not be done, in words for the person who runs a command, with the exit code.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// The command refuses or failed, or what it checked is wrong.
const FAILED: u8 = 1;
/// The command line is wrong, or a file cannot be read or written.
const USAGE: u8 = 2;

/// Why something could not be done.
#[derive(Debug)]
pub struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// The command refuses or failed: exit code 1.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: FAILED }
    }

    /// The command line is wrong, or a file cannot be used: exit code 2.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: USAGE }
    }

    /// A file cannot be `action`: read, written, or locked.
    pub fn file(action: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::usage(format!("{} cannot be {action}: {error}", path.display()))
    }

    /// Its exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

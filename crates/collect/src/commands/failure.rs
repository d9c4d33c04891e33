//! Why a command failed, and its exit code.

use std::io::Write as _;
use std::process::ExitCode;

use crate::server::StartError;
use crate::store::StoreError;

/// The command failed, or what it compared differs.
pub(super) const FAILED: u8 = 1;
/// The command line is wrong, or a file cannot be read or written.
pub(super) const USAGE: u8 = 2;

/// Why a command failed.
#[derive(Debug)]
pub(super) struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: USAGE }
    }

    pub(super) fn report(&self) -> ExitCode {
        let _ = writeln!(std::io::stderr(), "error: {}", self.text);
        ExitCode::from(self.code)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { text: error.to_string(), code: USAGE }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self { text: error.to_string(), code: USAGE }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { text: format!("the output cannot be written: {error}"), code: USAGE }
    }
}

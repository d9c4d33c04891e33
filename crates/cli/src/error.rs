//! Why a command failed, and what the user can do about it.

use std::fmt;
use std::path::Path;

use crate::exit_code;

/// Ends the program with a message and an exit code.
#[derive(Debug)]
pub(crate) struct Error {
    message: String,
    exit_code: u8,
}

impl Error {
    /// The command cannot do what its arguments request.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: format!("error: {}", message.into()), exit_code: exit_code::USAGE }
    }

    /// A file that the command reads has errors.
    pub(crate) fn content(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: exit_code::FAILURE }
    }

    /// No tool of this name has left any files on this machine.
    pub(crate) fn unknown_tool(tool: &str) -> Self {
        let message = format!(
            "error: no tool named {tool:?} has left any files on this machine. Check the name: it is the command that \
             you type. A tool leaves its first file when it shows its telemetry notice."
        );
        Self { message, exit_code: exit_code::UNKNOWN_TOOL }
    }

    /// A file cannot be `action`: read, written, or created.
    pub(crate) fn file(action: &str, path: &Path, error: &std::io::Error, advice: &str) -> Self {
        Self::usage(format!("{} cannot be {action}: {error}. {advice}", path.display()))
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

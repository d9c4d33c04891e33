//! Why a command gave no answer, and what to do.

use std::fmt;
use std::path::Path;

use crate::arguments::{FAULTS, NOTHING_HERE, USAGE};

/// Ends the program; its text says what to do.
#[derive(Debug)]
pub(crate) struct Fault {
    text: String,
    code: u8,
}

impl Fault {
    /// The command was asked for something that it cannot do.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { text: format!("error: {}", text.into()), code: USAGE }
    }

    /// What it was asked to read says something that must be put right.
    pub(crate) fn content(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: FAULTS }
    }

    /// The tool is not one that was ever seen here.
    pub(crate) fn nothing_here(tool: &str) -> Self {
        let text = format!(
            "error: no tool {tool:?} has left anything on this machine. Write its name as you type it; it leaves \
             something when it first says that it reports its use."
        );
        Self { text, code: NOTHING_HERE }
    }

    pub(crate) fn file(what: &str, path: &Path, error: &std::io::Error, advice: &str) -> Self {
        Self::usage(format!("{} cannot be {what}: {error}. {advice}", path.display()))
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

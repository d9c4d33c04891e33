//! Runs a program as a shell would have run it, or replaces this process by it.
//!
//! A program must not notice that it was started by this one. It has the same process group, terminal, and streams, and
//! inherits the same signal mask, the same ignored signals, and the same closed descriptors.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::Command;

use crate::exit_code::{NOT_EXECUTABLE, NOT_FOUND};

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod startup;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use other as system;
#[cfg(unix)]
use unix as system;

/// A program with its arguments.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// The program, then its arguments.
    pub(crate) words: &'a [OsString],
    /// Variables that the program does not get.
    pub(crate) removed: &'a [&'static str],
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgramEnd {
    Exited(i32),
    /// Killed by the signal of this number.
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has signals"))]
    Killed(i32),
}

impl ProgramEnd {
    /// The exit code that a shell would report.
    pub(crate) fn exit_code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => 128 + signal,
        }
    }

    /// Ends this process as the program ended.
    pub(crate) fn end_process(self) -> ! {
        if let Self::Killed(signal) = self {
            system::kill_self(signal);
        }
        std::process::exit(self.exit_code())
    }
}

impl Program<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        for name in self.removed {
            command.env_remove(name);
        }
        command
    }

    /// Replaces this process by the program. Returns only if the program cannot be run, with the exit code of a shell.
    pub(crate) fn replace_process(&self) -> u8 {
        system::replace_process(self)
    }

    /// Runs the program and waits for its end. `variables` returns further variables of the program's process, given by its
    /// id.
    pub(crate) fn run(&self, variables: impl Fn(u32) -> Vec<(&'static str, OsString)>) -> ProgramEnd {
        system::run(self, variables)
    }

    /// Reports that the program cannot be run, and returns the exit code of a shell.
    fn report(&self, error: &io::Error) -> u8 {
        let name = self.words[0].to_string_lossy();
        let _ = writeln!(io::stderr(), "tool-telemetry: cannot run {name:?}: {error}");
        if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
    }
}

//! Systems without Unix's signals, process groups, and `exec`.

use std::ffi::OsString;

use super::{Program, ProgramEnd};

/// There is no way to replace this process, so it waits.
pub(super) fn replace_process(program: &Program<'_>) -> u8 {
    match run(program, |_| Vec::new()) {
        // Not a `u8`, which would cut the code off.
        ended @ ProgramEnd::Exited(_) => ended.end_process(),
        ProgramEnd::Killed(_) => crate::exit_code::OWN_FAILURE,
    }
}

/// The id of the program is not known before it starts, so the variables are those of this process's children.
pub(super) fn run(
    program: &Program<'_>,
    variables: impl Fn(u32) -> Vec<(&'static str, OsString)>,
) -> ProgramEnd {
    match program.command().envs(variables(std::process::id())).status() {
        Ok(status) => ProgramEnd::Exited(status.code().unwrap_or(1)),
        Err(error) => ProgramEnd::Exited(i32::from(program.report(&error))),
    }
}

pub(super) fn kill_self(_signal: i32) {}

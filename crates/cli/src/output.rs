//! Writing to stdout and stderr.

use std::io::Write as _;

use crate::error::Error;

/// Prints a command's result. Not `print!`, which panics when a reader such as `head` has closed the pipe.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

pub(crate) fn print_error(error: &Error) {
    let _ = writeln!(std::io::stderr(), "{error}");
}

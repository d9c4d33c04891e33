//! The exit codes of `tool-telemetry`: a contract with scripts. A code never changes its meaning.

/// The command succeeded.
pub(crate) const SUCCESS: u8 = 0;
/// The command failed, the checked file has errors, or it collects more without notifying users.
pub(crate) const FAILURE: u8 = 1;
/// The arguments are wrong, or a file cannot be read or written.
pub(crate) const USAGE: u8 = 2;
/// `check --against`: more is collected than before, and users are notified of new spans and data points first.
pub(crate) const COLLECTS_MORE: u8 = 3;
/// `flush`: runs are still pending.
pub(crate) const STILL_PENDING: u8 = 3;
/// No tool of that name has left any files.
pub(crate) const UNKNOWN_TOOL: u8 = 4;

/// `exec` and `span` failed themselves, as with `env`, `nice`, and `timeout`. Any other code is that of their program.
pub(crate) const OWN_FAILURE: u8 = 125;
/// The program of `exec` or `span` exists and cannot be run, as in a shell.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// There is no such program, as in a shell.
pub(crate) const NOT_FOUND: u8 = 127;

/// Every code with its meaning, as the help and the README print them.
pub(crate) const MEANINGS: [(u8, &str); 10] = [
    (SUCCESS, "The command succeeded."),
    (FAILURE, "The command failed, or the checked file has errors."),
    (FAILURE, "`check --against`: more is collected, and users are not notified."),
    (USAGE, "The arguments are wrong, or a file cannot be read or written."),
    (
        COLLECTS_MORE,
        "`check --against`: more is collected, and users are notified of new spans and data points first.",
    ),
    (STILL_PENDING, "`flush`: runs are still pending."),
    (UNKNOWN_TOOL, "No tool of that name has left any files on this machine."),
    (OWN_FAILURE, "`exec` and `span`: their own arguments are wrong."),
    (NOT_EXECUTABLE, "`exec` and `span`: the program cannot be run."),
    (NOT_FOUND, "`exec` and `span`: there is no such program."),
];

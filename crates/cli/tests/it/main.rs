//! The program's tests. Each runs the program as a user does.

/// The reviewer's checks of a telemetry.toml and of a policy.
mod check;
/// The Collector's configuration and Weaver's registry.
mod configurations;
/// The documents, and the committed ones of the example.
mod document;
/// `exec` and `span` with real programs, signals, and terminals.
#[cfg(target_os = "linux")]
mod exec;
/// The exit codes and where they are documented.
mod exit_codes;
/// The JSON schemas against real output and real files.
mod schemas;
/// Help texts and other output, compared with files in `tests/cmd`.
mod snapshots;
/// `status`, `on`, `off`, `show`, `flush`, and `purge` for a tool without such commands of its own.
mod tool_commands;
/// The page as text. `.ci/page` tests it in a browser.
mod view;

/// Runs the program in a home directory of its own.
mod fixture;
/// Writes run files as the library writes them.
mod run_files;

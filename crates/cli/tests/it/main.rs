//! The tests of the companion program: each runs it as a person does.

/// What a reviewer is told, and the exit codes.
mod check;
/// The documents, and the example's committed ones.
mod document;
/// The Collector's configuration and Weaver's registry.
mod generated;
/// What a person asks of a tool that has no command for it.
mod person;
/// The command line itself.
mod usage;
/// The page, as text; `.ci/page` looks at it in a browser.
mod view;

/// Fixture: the program, a folder of its own and nothing of this machine's variables.
mod program;

//! The tests of the companion program: each runs it as a person does.

/// What a reviewer is told, and the exit codes.
mod check;
/// The documents, and the example's committed ones.
mod document;
/// The command line itself.
mod usage;

/// Fixture: the program, a folder of its own and nothing of this machine's variables.
mod program;

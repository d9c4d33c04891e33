//! The subcommands that concern a store, one file each, with their arguments and a function `run`.

mod collect;
mod demo;
mod export;
mod failure;
mod forget;
mod hold;
mod import;
mod mark;
mod recount;
mod status;

use std::process::ExitCode;

use clap::Subcommand;

pub use collect::CollectArguments;
pub use demo::DemoArguments;
pub use export::ExportArguments;
pub use forget::ForgetArguments;
pub use hold::HoldArguments;
pub use import::ImportArguments;
pub use mark::MarkArguments;
pub use recount::RecountArguments;
pub use status::StoreStatusArguments;

use failure::Failure;

/// A subcommand that concerns a store. [`StoreStatusArguments`] is one more, which another program may have under a
/// wider meaning.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Receive runs over OTLP, and keep each once
    Collect(CollectArguments),
    /// Print the runs of a store
    Export(ExportArguments),
    /// Add the runs of files to a store
    Import(ImportArguments),
    /// Count the cells of a store again from its runs
    Recount(RecountArguments),
    /// List the cells that jumped, and release them
    Hold(HoldArguments),
    /// Mark a cell in a span of time
    Mark(MarkArguments),
    /// Delete one run of a store
    Forget(ForgetArguments),
    /// Show it all on this machine: collect, 1,000 runs with planted secrets, two kills, and the counts
    Demo(DemoArguments),
}

impl StoreCommand {
    /// Runs it. Errors go to stderr.
    pub fn run(&self) -> ExitCode {
        let result = match self {
            Self::Collect(arguments) => collect::run(arguments),
            Self::Export(arguments) => export::run(arguments),
            Self::Import(arguments) => import::run(arguments),
            Self::Recount(arguments) => recount::run(arguments),
            Self::Hold(arguments) => hold::run(arguments),
            Self::Mark(arguments) => mark::run(arguments),
            Self::Forget(arguments) => forget::run(arguments),
            Self::Demo(arguments) => demo::run(arguments),
        };
        result.unwrap_or_else(|failure| failure.report())
    }
}

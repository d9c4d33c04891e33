//! The subcommands that publish, one file each, with their arguments and a function `run`.

mod day;
mod publish;
mod report;
mod source;
mod verify;
mod versions;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Subcommand;

pub use publish::PublishArguments;
pub use report::ReportArguments;
pub use verify::VerifyArguments;

/// A subcommand that concerns what is published.
#[derive(Debug, Subcommand)]
pub enum PublishCommand {
    /// Publish the counts of installations: close the periods that are due, and write the ledger and the site
    Publish(Box<PublishArguments>),
    /// Write exact numbers for the tool's author, marked as not for publication
    Report(Box<ReportArguments>),
    /// Check a published site, or a ledger
    Verify(VerifyArguments),
}

impl PublishCommand {
    /// Runs it. Errors go to stderr.
    pub fn run(&self) -> ExitCode {
        let result = match self {
            Self::Publish(arguments) => publish::run(arguments),
            Self::Report(arguments) => report::run(arguments),
            Self::Verify(arguments) => verify::run(arguments),
        };
        result.unwrap_or_else(|failure| {
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            failure.exit_code()
        })
    }
}

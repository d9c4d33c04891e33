//! The subcommands. Each file has the subcommand's `Arguments`, whose comments are its help text, and its `run`.

mod check;
mod collector_config;
mod document;
mod exec;
mod flush;
mod list;
mod off;
mod on;
mod purge;
mod registry;
mod show;
mod span;
mod status;
mod view;

use std::process::ExitCode;

use clap::Subcommand;
use tool_telemetry_collect::commands::StoreCommand;
use tool_telemetry_publish::commands::PublishCommand;

use crate::error::Error;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(list::Arguments),
    Status(status::Arguments),
    On(on::Arguments),
    Off(off::Arguments),
    Show(show::Arguments),
    Flush(flush::Arguments),
    Purge(purge::Arguments),
    View(view::Arguments),
    Exec(exec::Arguments),
    Span(span::Arguments),
    Check(check::Arguments),
    Document(document::Arguments),
    CollectorConfig(collector_config::Arguments),
    Registry(registry::Arguments),
    #[command(flatten)]
    Store(StoreCommand),
    #[command(flatten)]
    Publish(PublishCommand),
}

impl Command {
    pub(crate) fn run(&self) -> Result<ExitCode, Error> {
        match self {
            Self::List(arguments) => list::run(arguments),
            Self::Status(arguments) => status::run(arguments),
            Self::On(arguments) => on::run(arguments),
            Self::Off(arguments) => off::run(arguments),
            Self::Show(arguments) => show::run(arguments),
            Self::Flush(arguments) => flush::run(arguments),
            Self::Purge(arguments) => purge::run(arguments),
            Self::View(arguments) => view::run(arguments),
            Self::Exec(arguments) => Ok(exec::run(arguments)),
            Self::Span(arguments) => Ok(span::run(arguments)),
            Self::Check(arguments) => check::run(arguments),
            Self::Document(arguments) => document::run(arguments),
            Self::CollectorConfig(arguments) => collector_config::run(arguments),
            Self::Registry(arguments) => registry::run(arguments),
            Self::Store(command) => Ok(command.run()),
            Self::Publish(command) => Ok(command.run()),
        }
    }
}

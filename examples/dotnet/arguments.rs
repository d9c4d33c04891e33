//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tool_telemetry::command::TelemetryCommand;

pub(crate) const VERSION: &str = "1.0.0";

/// A small tool in the manner of .NET's, on projects that are described by a project.json.
#[derive(Parser)]
#[command(name = "dotnet", version = VERSION)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Project(ProjectCommand),
    /// What is collected, and whether
    #[command(subcommand)]
    Telemetry(TelemetryCommand),
}

#[derive(Subcommand)]
pub(crate) enum ProjectCommand {
    /// Write a new project.json
    New(Options),
    /// Fetch the packages that the project needs
    Restore(Options),
    /// Build the project
    Build(Options),
    /// Build the project and run a program
    Run(Options),
    /// Build the project and run its tests
    Test(Options),
    /// Build the project and gather what is needed to run it elsewhere
    Publish(Options),
    /// Build the project and make a package of it
    Pack(Options),
}

#[derive(Args)]
pub(crate) struct Options {
    /// The project's file, or the folder that holds its project.json [default: this folder]
    #[arg(long, value_name = "FILE-OR-FOLDER")]
    pub(crate) project: Option<PathBuf>,
    /// Only this target framework
    #[arg(long, value_name = "TFM")]
    pub(crate) framework: Option<String>,
    /// For `run`: the program and its arguments; the other commands make no use of them
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    pub(crate) program: Vec<OsString>,
}

impl ProjectCommand {
    /// As it is typed, and as `telemetry.toml` approves it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::New(_) => "new",
            Self::Restore(_) => "restore",
            Self::Build(_) => "build",
            Self::Run(_) => "run",
            Self::Test(_) => "test",
            Self::Publish(_) => "publish",
            Self::Pack(_) => "pack",
        }
    }
}

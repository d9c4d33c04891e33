//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tool_telemetry::command::TelemetryCommand;

pub(crate) const VERSION: &str = "1.0.0";

/// A small tool in the style of .NET's, for projects with a project.json
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
    /// Show and control telemetry
    #[command(subcommand)]
    Telemetry(TelemetryCommand),
}

#[derive(Subcommand)]
pub(crate) enum ProjectCommand {
    /// Write a new project.json
    New(Options),
    /// Fetch the project's packages
    Restore(Options),
    /// Build the project
    Build(Options),
    /// Build the project and run a program
    Run(Options),
    /// Build the project and run its tests
    Test(Options),
    /// Build the project and collect the files to deploy
    Publish(Options),
    /// Build the project and create a package
    Pack(Options),
}

#[derive(Args)]
pub(crate) struct Options {
    /// The project's file, or the directory with its project.json [default: the current directory]
    #[arg(long, value_name = "FILE-OR-DIRECTORY")]
    pub(crate) project: Option<PathBuf>,
    /// Build for this target framework only
    #[arg(long, value_name = "TFM")]
    pub(crate) framework: Option<String>,
    /// The program that `run` starts, and its arguments
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    pub(crate) program: Vec<OsString>,
}

impl ProjectCommand {
    /// The command as users type it, and as `telemetry.toml` approves it.
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

//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tool_telemetry::command::TelemetryCommand;

pub const VERSION: &str = "1.0.0";

/// A small tool in the manner of .NET's, on projects that are described by a project.json.
#[derive(Parser)]
#[command(name = "dotnet", version = VERSION)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    #[command(flatten)]
    Project(ProjectCommand),
    /// What is collected, and whether
    #[command(subcommand)]
    Telemetry(TelemetryCommand),
}

#[derive(Subcommand)]
pub enum ProjectCommand {
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
pub struct Options {
    /// The project's file, or the folder that holds its project.json [default: this folder]
    #[arg(long, value_name = "FILE-OR-FOLDER")]
    pub project: Option<PathBuf>,
    /// Only this target framework
    #[arg(long, value_name = "TFM")]
    pub framework: Option<String>,
    /// For `run`: the program and its arguments; the other commands make no use of them
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    pub program: Vec<OsString>,
}

impl ProjectCommand {
    /// As it is typed, and as `telemetry.toml` approves it.
    pub fn name(&self) -> &'static str {
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

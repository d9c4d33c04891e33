//! `tool-telemetry`: what a tool need not carry.
//!
//! A tool that reports its use carries `<tool> telemetry …`, or not even that. This program reads what such a tool left
//! on disk, and the `telemetry.toml` that says what it may report.
//!
//! # Code map
//! `arguments` is the command line. `data_points_file` reads a `telemetry.toml`, and `tables` makes of it what the
//! library reads run files with. `check`, `document`, `collector` and `registry` each turn a file into one answer;
//! `yaml` quotes for the last two. `person` is what a person asks of any tool: `off`, `status`. `view` reads the runs and writes the page.
//!
//! Nothing here opens a socket.

mod arguments;
mod check;
mod collector;
mod data_points_file;
mod document;
mod fault;
mod person;
mod registry;
mod tables;
mod view;
mod yaml;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use tool_telemetry::command::TelemetryCommand;

use arguments::{Arguments, Command};
use fault::Fault;
use person::Shown;

/// What a command has to say on stdout, and how it went.
struct Answer {
    text: String,
    code: u8,
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, code: arguments::FINE }
    }
}

fn main() -> ExitCode {
    let answer = match Arguments::parse().command {
        Command::Status(arguments) => {
            return said(person::run(&arguments.tool, &TelemetryCommand::Status { json: arguments.json }));
        }
        Command::On(arguments) => return said(person::run(&arguments, &TelemetryCommand::On)),
        Command::Off(arguments) => return said(person::run(&arguments, &TelemetryCommand::Off)),
        Command::Flush(arguments) => return said(person::run(&arguments, &TelemetryCommand::Flush)),
        Command::Purge(arguments) => return said(person::run(&arguments, &TelemetryCommand::Purge)),
        Command::Show(arguments) => match person::show(&arguments) {
            Ok(Shown::Said(code)) => return code,
            Ok(Shown::Text(answer)) => Ok(answer),
            Err(fault) => Err(fault),
        },
        Command::View(arguments) => view::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Document(arguments) => document::run(&arguments),
        Command::CollectorConfig(arguments) => collector::run(&arguments),
        Command::Registry(arguments) => registry::run(&arguments),
    };
    match answer {
        Ok(answer) => {
            // A reader that went away, as `head` does, has seen what it wanted.
            let _ = std::io::stdout().write_all(answer.text.as_bytes());
            ExitCode::from(answer.code)
        }
        Err(fault) => said(Err(fault)),
    }
}

/// The exit code of what has been told already, or of a fault.
fn said(result: Result<ExitCode, Fault>) -> ExitCode {
    result.unwrap_or_else(|fault| {
        let _ = writeln!(std::io::stderr(), "{fault}");
        ExitCode::from(fault.code())
    })
}

//! `tool-telemetry`: what a tool need not carry.
//!
//! A tool that reports its use carries `<tool> telemetry …` and nothing more. This program reads what such a tool left
//! on disk, and the `telemetry.toml` that says what it may report.
//!
//! # Code map
//! `arguments` is the command line. `data_points_file` reads a `telemetry.toml`, and `tables` makes of it what the
//! library reads run files with. `check`, `document`, `collector` and `registry` each turn a file into one answer;
//! `yaml` quotes for the last two. `view` reads the runs and writes the page.
//!
//! Nothing here opens a socket.

mod arguments;
mod check;
mod collector;
mod data_points_file;
mod document;
mod fault;
mod registry;
mod tables;
mod view;
mod yaml;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};

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
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "{fault}");
            ExitCode::from(fault.code())
        }
    }
}

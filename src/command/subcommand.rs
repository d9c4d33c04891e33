//! The `telemetry` subcommand for tools that parse their arguments with clap.

use std::process::ExitCode;

use super::Flushed;
use crate::error::Error;
use crate::spool::discard::Deleted;
use crate::telemetry::Telemetry;

/// `<tool> telemetry …`. Exit codes: 0 done; 1 it failed, and stderr says why and what to do; 3 (`flush`)
/// something waits still.
///
/// ```
/// #[derive(clap::Parser)]
/// struct Arguments {
///     #[command(subcommand)]
///     command: Command,
/// }
///
/// #[derive(clap::Subcommand)]
/// enum Command {
///     Build,
///     /// What is collected, and whether
///     #[command(subcommand)]
///     Telemetry(tool_telemetry::command::TelemetryCommand),
/// }
/// ```
#[derive(Debug, Clone, clap::Subcommand)]
#[non_exhaustive]
pub enum TelemetryCommand {
    /// Tell whether telemetry is on and why, where runs go, and what became of them
    Status,
    /// Turn telemetry on
    On,
    /// Turn telemetry off, and delete what waits and what is kept
    Off,
    /// Show the runs that wait and the last that were sent
    Show {
        /// Print the OTLP exactly as it is sent, JSON Lines
        #[arg(long)]
        json: bool,
    },
    /// Send what waits now, and wait until it is delivered
    Flush,
    /// Delete what waits and what is kept
    Purge,
}

impl TelemetryCommand {
    /// Does it, tells about it, and gives the exit code.
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command that a person ran")]
    pub fn run(&self, telemetry: &Telemetry) -> ExitCode {
        match self.answer(telemetry) {
            Ok((text, code)) => {
                print!("{text}");
                ExitCode::from(code)
            }
            Err(error) => {
                eprintln!("{}: {error}", telemetry.settings().name);
                ExitCode::FAILURE
            }
        }
    }

    fn answer(&self, telemetry: &Telemetry) -> Result<(String, u8), Error> {
        let name = telemetry.settings().name;
        Ok(match self {
            Self::Status => (telemetry.status().to_string(), 0),
            Self::On => {
                telemetry.turn_on()?;
                (format!("Telemetry of {name} is on. To see what is sent: `{name} telemetry show`.\n"), 0)
            }
            Self::Off => (format!("Telemetry of {name} is off. {}\n", told(telemetry.turn_off()?)), 0),
            Self::Show { json } => {
                let shown: String = telemetry
                    .runs()
                    .iter()
                    .map(|run| if *json { run.otlp_json() } else { format!("{}\n", run.tree()) })
                    .collect();
                match (shown.is_empty(), json) {
                    (true, false) => ("No run waits, and none was sent in the last days.\n".to_owned(), 0),
                    _ => (shown, 0),
                }
            }
            Self::Purge => (format!("{}\n", told(telemetry.purge()?)), 0),
            Self::Flush => match telemetry.flush()? {
                Flushed::NothingLeft => ("Nothing waits.\n".to_owned(), 0),
                Flushed::StillPending => {
                    (format!("Something waits still; `{name} telemetry status` tells what.\n"), 3)
                }
            },
        })
    }
}

fn told(deleted: Deleted) -> String {
    format!("Deleted {} waiting and {} kept runs, {} bytes.", deleted.pending, deleted.kept, deleted.bytes)
}

//! The `telemetry` subcommand for tools that parse their arguments with clap.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use super::{DestinationStatus, FlushOutcome, FlushProgress};
use crate::consent::Decision;
use crate::error::Error;
use crate::spool::discard::DeletedRuns;
use crate::telemetry::Telemetry;

/// `<tool> telemetry …`.
///
/// | exit code | means |
/// | --- | --- |
/// | 0 | done; `status` and `show` also when telemetry is off |
/// | 1 | it failed, and stderr says why and what to do; for `flush` also: telemetry is off, and nothing was sent |
/// | 2 | the arguments were not understood (clap's own) |
/// | 3 | `flush`: something waits still |
///
/// `status --json` is described at [`Status::to_json`](super::Status::to_json); `show --json` gives OTLP/JSON Lines.
///
/// The description names it, `.telemetry_command("frob telemetry")`, or no text does. A tool without subcommands has
/// [`TelemetryFlag`](super::TelemetryFlag).
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
    Status {
        /// Print it as one JSON object, with keys that stay as they are
        #[arg(long)]
        json: bool,
    },
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
    /// Does it, tells about it, and gives the exit code. Outside of [`Telemetry::command`] this is no run.
    pub fn run(&self, telemetry: &Telemetry) -> ExitCode {
        telemetry.require_command();
        // Not `print!`: it panics where a reader such as `head` has seen enough.
        match self.answer(telemetry) {
            Ok((text, code)) => {
                let _ = std::io::stdout().write_all(text.as_bytes());
                ExitCode::from(code)
            }
            Err(error) => {
                let settings = telemetry.settings();
                let name = if settings.is_companion { "tool-telemetry" } else { settings.name };
                let _ = writeln!(std::io::stderr(), "{name}: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn answer(&self, telemetry: &Telemetry) -> Result<(String, u8), Error> {
        let name = telemetry.settings().name;
        Ok(match self {
            Self::Status { json: false } => (telemetry.status().to_string(), 0),
            Self::Status { json: true } => (format!("{}\n", telemetry.status().to_json()), 0),
            Self::On => {
                telemetry.enable()?;
                // A variable or the policy may have the first word, and there may be nowhere to send to.
                let Decision { is_on, reason } = telemetry.status().decision;
                let told = match is_on {
                    true => format!("Telemetry of {name} is on.{}\n", to_see(telemetry)),
                    false => format!(
                        "Your choice is written down, but telemetry of {name} is off all the same: {reason}; {}.\n",
                        reason.remedy(telemetry.settings())
                    ),
                };
                (told, 0)
            }
            Self::Off => (format!("Telemetry of {name} is off. {}\n", told(telemetry.disable()?)), 0),
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
            Self::Flush => match flush(telemetry)? {
                // As `status` counts: what is being written waits too, for the end of its process.
                FlushOutcome::NothingLeft => {
                    let waits = telemetry.status().destinations;
                    let sum = |of: fn(&DestinationStatus) -> u64| waits.iter().map(of).sum::<u64>();
                    let living = sum(|destination| destination.being_written);
                    let others = sum(|destination| destination.pending) - living;
                    let told = match (living, others) {
                        (0, 0) => "Nothing waits.\n".to_owned(),
                        (living, 0) => format!("Nothing waits but {living} being written.\n"),
                        _ => match telemetry.settings().typed("status") {
                            Some(status) => format!(
                                "Nothing waits for this destination; `{status}` tells what waits for others.\n"
                            ),
                            None => "Nothing waits for this destination, but for others.\n".to_owned(),
                        },
                    };
                    (told, 0)
                }
                FlushOutcome::StillPending => {
                    // A refusal that would meet any request drops what it met, and ends the work.
                    let waits =
                        telemetry.status().destinations.iter().any(|destination| destination.pending > 0);
                    let (told, why) = match waits {
                        true => ("Something waits still", "what"),
                        false => ("Nothing waits, but not all was delivered", "why"),
                    };
                    match telemetry.settings().typed("status") {
                        Some(status) => (format!("{told}; `{status}` tells {why}.\n"), 3),
                        None => (format!("{told}.\n"), 3),
                    }
                }
            },
        })
    }
}

fn to_see(telemetry: &Telemetry) -> String {
    let show = telemetry.settings().typed("show");
    show.map_or_else(String::new, |show| format!(" To see what is sent: `{show}`."))
}

/// Sends, with a bar where somebody watches.
fn flush(telemetry: &Telemetry) -> Result<FlushOutcome, Error> {
    let mut stderr = std::io::stderr();
    let is_watched = stderr.is_terminal();
    let mut is_told = false;
    let flushed = telemetry.flush_with_progress(&mut |progress| {
        if is_watched {
            is_told = true;
            let _ = write!(stderr, "\r{}", bar(progress));
        }
    });
    if is_told {
        // Blanks, not an escape sequence: it works in every terminal.
        let _ = write!(std::io::stderr(), "\r{:LINE$}\r", "");
    }
    flushed
}

/// One length for every line, so that each covers the one before. Drawn by hand, since every tool would carry a crate
/// for it.
const LINE: usize = 52;

fn bar(progress: FlushProgress) -> String {
    const CELLS: u64 = 20;

    let sent = progress.most.saturating_sub(progress.waiting);
    let filled = (sent * CELLS / progress.most.max(1)) as usize;
    let bar = format!("Sending [{:<20}] {sent}/{}", "#".repeat(filled), progress.most);
    format!("{bar:LINE$}")
}

fn told(deleted: DeletedRuns) -> String {
    format!("Deleted {} waiting and {} kept runs, {} bytes.", deleted.pending, deleted.kept, deleted.bytes)
}

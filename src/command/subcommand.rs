//! The `telemetry` subcommand for tools that parse their arguments with clap.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use super::counts::WaitingCount;
use super::flush::{FlushOutcome, FlushProgress};
use super::show::StoredRun;
use super::status::DestinationStatus;
use crate::consent::Decision;
use crate::error::Error;
use crate::spool::discard::DeletedRuns;
use crate::telemetry::Telemetry;

/// `<tool> telemetry …`.
///
/// | exit code | meaning |
/// | --- | --- |
/// | 0 | done; for `status` and `show` also if telemetry is off |
/// | 1 | failed; stderr has the reason and the remedy. `flush` fails if telemetry is off. |
/// | 2 | the arguments are not valid (clap's code) |
/// | 3 | `flush`: some runs are still pending |
///
/// [`Status::to_json`](super::Status::to_json) describes `status --json`. `show --json` prints OTLP as JSON Lines.
///
/// Name the command in the builder, `.telemetry_command("frob telemetry")`, or no message names it. A tool without
/// subcommands uses [`TelemetryFlag`](super::TelemetryFlag).
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
///     /// Manage telemetry
///     #[command(subcommand)]
///     Telemetry(tool_telemetry::command::TelemetryCommand),
/// }
/// ```
#[derive(Debug, Clone, clap::Subcommand)]
#[non_exhaustive]
pub enum TelemetryCommand {
    /// Print whether telemetry is on and why, where runs go, and what happened to them
    Status {
        /// Print one JSON object with stable keys
        #[arg(long)]
        json: bool,
    },
    /// Turn telemetry on
    On,
    /// Turn telemetry off, and delete pending and sent runs
    Off,
    /// Print pending runs and the last sent runs
    Show {
        /// Print the runs exactly as they are sent, as OTLP in JSON Lines
        #[arg(long)]
        json: bool,
    },
    /// Send pending runs now, and wait until they are delivered
    Flush,
    /// Delete pending and sent runs
    Purge,
}

impl TelemetryCommand {
    /// Runs the command, prints the result, and returns the exit code. Outside [`Telemetry::command`], this is not a run.
    pub fn run(&self, telemetry: &Telemetry) -> ExitCode {
        telemetry.require_command();
        match self.execute(telemetry) {
            Ok((text, code)) => {
                // `print!` panics if a reader such as `head` closes the pipe.
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

    fn execute(&self, telemetry: &Telemetry) -> Result<(String, u8), Error> {
        let name = telemetry.settings().name;
        let text = match self {
            Self::Status { json: false } => telemetry.status().to_string(),
            Self::Status { json: true } => format!("{}\n", telemetry.status().to_json()),
            Self::On => {
                telemetry.enable()?;
                enabled(telemetry)
            }
            Self::Off => format!("Telemetry of {name} is off. {}\n", deleted(telemetry.disable()?)),
            Self::Show { json } => show(telemetry, *json),
            Self::Purge => format!("{}\n", deleted(telemetry.purge()?)),
            Self::Flush => return Ok(flushed(telemetry, flush(telemetry)?)),
        };
        Ok((text, 0))
    }
}

/// The runs, then the waiting counts.
fn show(telemetry: &Telemetry, is_json: bool) -> String {
    let (runs, counts) = (telemetry.runs(), telemetry.waiting_counts());
    if is_json {
        let runs = runs.iter().map(StoredRun::otlp_json);
        return runs.chain(counts.iter().map(WaitingCount::otlp_json)).collect();
    }
    if runs.is_empty() && counts.is_empty() {
        return "No runs are pending, and none were sent in the last 7 days.\n".to_owned();
    }
    let runs = runs.iter().map(|run| format!("{}\n", run.tree()));
    runs.chain(counts.iter().map(|count| format!("{}\n", count.text()))).collect()
}

/// The answer to `on`. A variable or the policy may still turn telemetry off, and a destination may be missing.
fn enabled(telemetry: &Telemetry) -> String {
    let settings = telemetry.settings();
    let Decision { is_on, reason } = telemetry.status().decision;
    if !is_on {
        let remedy = reason.remedy(settings);
        let name = settings.name;
        return format!("Your choice is saved, but telemetry of {name} is still off: {reason}; {remedy}.\n");
    }
    let show = settings.command_line("show");
    let show = show.map_or_else(String::new, |show| format!(" To see what is sent: `{show}`."));
    format!("Telemetry of {} is on.{show}\n", settings.name)
}

/// The answer to `flush`, and its exit code. Runs that are being written count as pending, as in `status`.
fn flushed(telemetry: &Telemetry, outcome: FlushOutcome) -> (String, u8) {
    let destinations = telemetry.status().destinations;
    let sum = |of: fn(&DestinationStatus) -> u64| destinations.iter().map(of).sum::<u64>();
    let being_written = sum(|destination| destination.being_written);
    let pending = sum(|destination| destination.pending);
    let (text, what, code) = match outcome {
        FlushOutcome::NothingLeft if pending == 0 => ("No runs are pending".to_owned(), None, 0),
        FlushOutcome::NothingLeft if pending == being_written => {
            (format!("No runs are pending except {being_written} being written"), None, 0)
        }
        FlushOutcome::NothingLeft => (
            "No runs are pending for this destination, but some are for others".to_owned(),
            Some("lists them"),
            0,
        ),
        // The receiver may have refused the request itself, which drops the runs and ends the work.
        FlushOutcome::StillPending if pending == 0 => {
            ("No runs are pending, but not all were delivered".to_owned(), Some("explains why"), 3)
        }
        FlushOutcome::StillPending => ("Some runs are still pending".to_owned(), Some("explains why"), 3),
    };
    let hint = match (what, telemetry.settings().command_line("status")) {
        (Some(what), Some(status)) => format!("; `{status}` {what}"),
        _ => String::new(),
    };
    (format!("{text}{hint}.\n"), code)
}

/// Flushes, with a progress bar on a terminal.
fn flush(telemetry: &Telemetry) -> Result<FlushOutcome, Error> {
    let mut stderr = std::io::stderr();
    let is_terminal = stderr.is_terminal();
    let mut has_bar = false;
    let outcome = telemetry.flush_with_progress(&mut |progress| {
        if is_terminal {
            has_bar = true;
            let _ = write!(stderr, "\r{}", bar(progress));
        }
    });
    if has_bar {
        // Blanks work in every terminal, unlike an escape sequence.
        let _ = write!(std::io::stderr(), "\r{:LINE$}\r", "");
    }
    outcome
}

/// All lines have this length, so that each covers the previous one. A crate for the bar would make every tool larger.
const LINE: usize = 52;

fn bar(progress: FlushProgress) -> String {
    const CELLS: u64 = 20;

    let sent = progress.most.saturating_sub(progress.pending);
    let filled = (sent * CELLS / progress.most.max(1)) as usize;
    let bar = format!("Sending [{:<20}] {sent}/{}", "#".repeat(filled), progress.most);
    format!("{bar:LINE$}")
}

fn deleted(runs: DeletedRuns) -> String {
    format!("Deleted {} pending and {} sent runs, {} bytes.", runs.pending, runs.kept, runs.bytes)
}

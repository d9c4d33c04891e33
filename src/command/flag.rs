//! The telemetry commands as a flag, for tools without subcommands.

use super::subcommand::TelemetryCommand;

/// `<tool> --telemetry …`, the [`TelemetryCommand`] of a tool without subcommands. Name it in the builder with
/// [`telemetry_command("frob --telemetry")`](crate::Builder::telemetry_command).
///
/// It must be the only argument. To allow it without the tool's required arguments, make their fields optional:
///
/// ```
/// use clap::Parser as _;
/// use tool_telemetry::command::{TelemetryCommand, TelemetryFlag};
///
/// #[derive(clap::Parser)]
/// struct Arguments {
///     #[command(flatten)]
///     telemetry: TelemetryFlag,
///     /// The pattern to search for
///     #[arg(required = true)]
///     pattern: Option<String>,
/// }
///
/// // In `main`: if let Some(command) = arguments.telemetry.command() { return command.run(&telemetry); }
/// let arguments = Arguments::parse_from(["frob", "--telemetry", "off"]);
/// assert!(matches!(arguments.telemetry.command(), Some(TelemetryCommand::Off)));
///
/// assert!(Arguments::parse_from(["frob", "telemetry"]).telemetry.command().is_none(), "a pattern");
/// assert!(Arguments::try_parse_from(["frob"]).is_err(), "no pattern");
/// assert!(Arguments::try_parse_from(["frob", "--telemetry", "off", "pattern"]).is_err());
/// ```
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct TelemetryFlag {
    /// Manage telemetry
    #[arg(long = "telemetry", id = "telemetry", value_name = "COMMAND", exclusive = true)]
    command: Option<FlagValue>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FlagValue {
    /// Print whether telemetry is on and why, where runs go, and what happened to them
    Status,
    /// Print the status as one JSON object with stable keys
    StatusJson,
    /// Turn telemetry on
    On,
    /// Turn telemetry off, and delete pending and sent runs
    Off,
    /// Print pending runs and the last sent runs
    Show,
    /// Print the runs exactly as they are sent, as OTLP in JSON Lines
    ShowJson,
    /// Send pending runs now, and wait until they are delivered
    Flush,
    /// Delete pending and sent runs
    Purge,
}

impl TelemetryFlag {
    /// The requested command, or `None` without the flag.
    pub fn command(&self) -> Option<TelemetryCommand> {
        Some(match self.command? {
            FlagValue::Status => TelemetryCommand::Status { json: false },
            FlagValue::StatusJson => TelemetryCommand::Status { json: true },
            FlagValue::On => TelemetryCommand::On,
            FlagValue::Off => TelemetryCommand::Off,
            FlagValue::Show => TelemetryCommand::Show { json: false },
            FlagValue::ShowJson => TelemetryCommand::Show { json: true },
            FlagValue::Flush => TelemetryCommand::Flush,
            FlagValue::Purge => TelemetryCommand::Purge,
        })
    }
}

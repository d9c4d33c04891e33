//! The same commands as a flag, for tools without subcommands.

use super::TelemetryCommand;

/// `<tool> --telemetry …`, for a tool without subcommands: what [`TelemetryCommand`] is for one that has them. Name it
/// in the description: [`telemetry_command("frob --telemetry")`](crate::Builder::telemetry_command).
///
/// It stands alone on the command line. Arguments that the tool requires are not required beside it, if their fields
/// have room for nothing:
///
/// ```
/// use clap::Parser as _;
/// use tool_telemetry::command::{TelemetryCommand, TelemetryFlag};
///
/// #[derive(clap::Parser)]
/// struct Arguments {
///     #[command(flatten)]
///     telemetry: TelemetryFlag,
///     /// What to look for
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
    /// What is collected, and whether
    #[arg(long = "telemetry", id = "telemetry", value_name = "WHAT", exclusive = true)]
    what: Option<FlagValue>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FlagValue {
    /// Tell whether telemetry is on and why, where runs go, and what became of them
    Status,
    /// The same as one JSON object, with keys that stay as they are
    StatusJson,
    /// Turn telemetry on
    On,
    /// Turn telemetry off, and delete what waits and what is kept
    Off,
    /// Show the runs that wait and the last that were sent
    Show,
    /// The OTLP exactly as it is sent, JSON Lines
    ShowJson,
    /// Send what waits now, and wait until it is delivered
    Flush,
    /// Delete what waits and what is kept
    Purge,
}

impl TelemetryFlag {
    /// What was asked for; nothing without the flag.
    pub fn command(&self) -> Option<TelemetryCommand> {
        Some(match self.what? {
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

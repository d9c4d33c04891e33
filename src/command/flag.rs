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
#[derive(Debug, Clone)]
pub struct TelemetryFlag(FlagArguments);

// A type of its own, because clap shows the documentation of a flattened type, which is Markdown for the tool's author, as
// the tool's.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
struct FlagArguments {
    /// Manage telemetry
    #[arg(long = "telemetry", id = "telemetry", value_name = "COMMAND", exclusive = true)]
    command: Option<FlagValue>,
}

impl clap::Args for TelemetryFlag {
    fn augment_args(command: clap::Command) -> clap::Command {
        FlagArguments::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        FlagArguments::augment_args_for_update(command)
    }
}

impl clap::FromArgMatches for TelemetryFlag {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        FlagArguments::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
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
        Some(match self.0.command? {
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

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser)]
    struct WithFlag {
        #[command(flatten)]
        telemetry: TelemetryFlag,
    }

    /// Searches for a pattern
    #[derive(Parser)]
    struct Documented {
        #[command(flatten)]
        telemetry: TelemetryFlag,
    }

    #[derive(Parser)]
    enum WithSubcommand {
        #[command(subcommand)]
        Telemetry(TelemetryCommand),
    }

    /// A tool that documents neither itself nor the command must not show ours, which is Markdown.
    #[test]
    fn help_has_no_documentation_of_the_library() {
        let mut subcommand = WithSubcommand::command();
        let telemetry = subcommand.find_subcommand_mut("telemetry").expect("the command");
        let helps = [
            telemetry.render_long_help().to_string(),
            telemetry.render_help().to_string(),
            WithFlag::command().render_long_help().to_string(),
            WithFlag::command().render_help().to_string(),
        ];
        for help in helps {
            assert!(
                !help.contains("| exit code") && !help.contains("```") && !help.contains("](crate"),
                "{help}"
            );
            assert!(!help.contains("<tool>"), "{help}");
        }
        assert!(Documented::command().render_long_help().to_string().starts_with("Searches for a pattern"));
    }
}

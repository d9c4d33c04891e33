//! The command line. The comments here are the help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// All is well.
pub(crate) const FINE: u8 = 0;
/// A file has faults, or collects more than people are told.
pub(crate) const FAULTS: u8 = 1;
/// The command line is wrong, or a file cannot be read or written.
pub(crate) const USAGE: u8 = 2;
/// More is collected than before, and people are told.
pub(crate) const WIDER: u8 = 3;
/// No tool of that name has left anything on this machine.
pub(crate) const NOTHING_HERE: u8 = 4;

/// See what a command-line tool reports about its use, review it, and document it.
#[derive(Debug, Parser)]
#[command(
    name = "tool-telemetry",
    version,
    arg_required_else_help = true,
    after_help = "A telemetry.toml is the file in a tool's source that approves what the tool may report. This program \
                  opens no network connection; `flush` starts the tool, which sends.\n\nExit codes: 0 fine; 1 a file \
                  has faults, or it failed; 2 usage, or a file that cannot be read or written; 3 `flush`: something \
                  waits still, `check --against`: more is collected; 4 no tool of that name has left anything here."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell whether a tool's telemetry is on and why, and what became of its runs
    Status(StatusArguments),
    /// Turn a tool's telemetry on
    ///
    /// It is your choice and no notice: what the tool collects, and you have not been told of, is recorded only after
    /// the tool has told you.
    On(ToolArguments),
    /// Turn a tool's telemetry off, and delete what waits and what is kept
    Off(ToolArguments),
    /// Show the runs of a tool that wait and the last that were sent
    Show(ShowArguments),
    /// Have a tool send what waits now, and wait until it is delivered
    ///
    /// Only the tool sends: it is started where a shell would find it.
    Flush(ToolArguments),
    /// Delete what waits and what is kept of a tool
    Purge(ToolArguments),
    View(ViewArguments),
    Check(CheckArguments),
    Document(DocumentArguments),
    CollectorConfig(CollectorArguments),
    Registry(RegistryArguments),
}

/// A tool on this machine.
#[derive(Debug, Args)]
pub(crate) struct ToolArguments {
    /// The tool, as you type it
    pub(crate) tool: String,
    /// A variable with which the tool is opted out, as its documentation names it; may be given more than once
    #[arg(long = "opt-out-var", value_name = "NAME", value_parser = variable)]
    pub(crate) opt_out_vars: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) tool: ToolArguments,
    /// Print it as one JSON object, with keys that stay as they are
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    pub(crate) tool: ToolArguments,
    /// The tool's data points: shows nothing that they do not approve [default: ./telemetry.toml if there is one;
    /// without any, what lies on disk as it is]
    #[arg(long, value_name = "FILE")]
    pub(crate) data_points: Option<PathBuf>,
    /// Print the OTLP, JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show the runs of a tool as a page in the browser
///
/// What waits, what was sent, what became of the rest, and whether telemetry is on and why. The page is one file that loads nothing and has no script. It goes to a private file of yours, which only you can
/// read, and replaces the one of last time.
#[derive(Debug, Args)]
pub(crate) struct ViewArguments {
    #[command(flatten)]
    pub(crate) tool: ToolArguments,
    /// The tool's data points: says what each value means, and shows nothing that it does not approve [default:
    /// ./telemetry.toml if there is one; without any, the page shows what lies on disk as it is]
    #[arg(long, value_name = "FILE")]
    pub(crate) data_points: Option<PathBuf>,
    /// Write the page and do not open it
    #[arg(long)]
    pub(crate) no_open: bool,
    /// Write the page here; `-` prints it [default: in your state folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Check a telemetry.toml, and tell what changed since an earlier one; or check a machine's policy
///
/// Each fault is told with its line and what to do. With --against, each difference is told: new, wider, narrower,
/// gone or reworded. A file that is called policy.toml is read as the policy of a machine, as every tool on it does.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:\n  \
    0  no fault, and nothing more is collected than before\n  \
    1  the file has faults, or something more is collected that nobody is told of: raise its `since`\n  \
    2  usage, or a file that cannot be read\n  \
    3  more is collected than before, and people are told before it is recorded: for a reviewer to approve")]
pub(crate) struct CheckArguments {
    /// The file to check
    pub(crate) file: PathBuf,
    /// An earlier version of it, such as that of the last release
    #[arg(long, value_name = "OLD", conflicts_with = "policy")]
    pub(crate) against: Option<PathBuf>,
    /// It is the policy of a machine, though it is not called policy.toml
    #[arg(long)]
    pub(crate) policy: bool,
}

/// Write a document about the data: a table, a privacy page, or a section of a licence
///
/// As Markdown, to stdout.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tool-telemetry document telemetry.toml privacy --tool frob --opt-out-var \
                        FROB_TELEMETRY_OPTOUT > PRIVACY.md"
)]
pub(crate) struct DocumentArguments {
    /// The data points
    pub(crate) file: PathBuf,
    /// What to write
    pub(crate) what: Document,
    /// The tool, as people type it
    #[arg(long, value_name = "NAME", required_if_eq_any([("what", "privacy"), ("what", "licence")]))]
    pub(crate) tool: Option<String>,
    /// A variable that opts out, besides those that every tool has; may be given more than once
    #[arg(long = "opt-out-var", value_name = "NAME", value_parser = variable)]
    pub(crate) opt_out_vars: Vec<String>,
    /// The tool's own endpoint, if it has one
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// The tool records nothing before somebody turns it on
    #[arg(long)]
    pub(crate) opt_in: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Document {
    /// What is collected, as a table
    Table,
    /// A whole PRIVACY.md
    Privacy,
    /// A section "Data" for the tool's licence or terms
    Licence,
}

/// Write an OpenTelemetry Collector configuration that lets only the approved data through
///
/// To stdout. It receives OTLP, drops spans and removes attributes that telemetry.toml does not approve, and batches.
/// Put your exporter in the place that is marked.
///
/// Needs a Collector 0.146 or later with the `filter` and `redaction` processors, such as the contrib distribution.
#[derive(Debug, Args)]
pub(crate) struct CollectorArguments {
    /// The data points
    pub(crate) file: PathBuf,
    /// The tool, as people type it: then only its runs pass, and not those of tools that report the same data points
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: Option<String>,
}

/// Write a semantic-convention registry for Weaver
///
/// In the format `definition/2`, so that `weaver registry live-check` can judge what arrives. A registry is a folder. Without --output the conventions alone go to stdout.
#[derive(Debug, Args)]
pub(crate) struct RegistryArguments {
    /// The data points
    pub(crate) file: PathBuf,
    /// The tool, as people type it
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: String,
    /// The folder to write `manifest.yaml` and `conventions.yaml` to; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// The address that names this registry and ends with its version
    #[arg(long, value_name = "URL", default_value = "https://example.com/schemas/0.1.0")]
    pub(crate) schema_url: String,
}

/// The name of an environment variable. It is printed in documents, so it must be no other text.
fn variable(name: &str) -> Result<String, String> {
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name {
        Ok(name.to_owned())
    } else {
        Err("an environment variable has letters, digits and `_`, and begins with no digit".to_owned())
    }
}

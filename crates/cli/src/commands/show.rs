//! `show`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use tool_telemetry::command::{SpoolInspector, TelemetryCommand, WaitingCount};

use crate::error::Error;
use crate::exit_code::SUCCESS;
use crate::run::Run;
use crate::tool::ToolArguments;
use crate::{definition_file, output, wording};

/// Print a tool's pending runs and its last sent runs
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tool: ToolArguments,
    /// The tool's telemetry.toml: only what it approves is printed [default: ./telemetry.toml if it exists; otherwise
    /// the files are printed as they are]
    #[arg(long, value_name = "FILE")]
    data_points: Option<PathBuf>,
    /// Print OTLP as JSON Lines
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let definition = definition_file::named_or_default(arguments.data_points.as_deref())?;
    let inspector = arguments.tool.inspect_known(definition)?;
    if definition.is_some() {
        return Ok(TelemetryCommand::Show { json: arguments.json }.run(inspector.telemetry()));
    }
    output::print(&unchecked_runs(&inspector, arguments));
    Ok(ExitCode::from(SUCCESS))
}

/// The unchanged run files and the counts, because no data points are known.
fn unchecked_runs(inspector: &SpoolInspector, arguments: &Arguments) -> String {
    let (runs, counts) = (inspector.runs().into_iter(), inspector.waiting_counts());
    if arguments.json {
        return runs.map(|run| run.lines).chain(counts.iter().map(WaitingCount::otlp_json)).collect();
    }
    let mut text = String::new();
    for run in runs.filter_map(Run::read) {
        write_tree(&mut text, &arguments.tool.name, &run);
    }
    for count in &counts {
        text.push_str(&count.text());
        text.push('\n');
    }
    text.push_str(if text.is_empty() {
        "There are no pending runs and no recently sent runs.\n"
    } else {
        "These are the files on disk as they are. The tool checks each value again before it sends a run. Use \
         --data-points with the tool's telemetry.toml to see only approved values.\n"
    });
    text
}

fn write_tree(text: &mut String, tool: &str, run: &Run) {
    let state = wording::state(run.state);
    let _ =
        writeln!(text, "{}  {tool} {}  {state}: {}", run.trace_id, printable(&run.version), run.destination);
    for row in &run.rows {
        let _ = write!(text, "{:1$}{2}", "", 2 * row.depth, printable(&row.name));
        for (key, value) in &row.values {
            let _ = write!(text, " {}={}", printable(key), printable(value));
        }
        let _ = writeln!(text, "  {}", wording::duration(row.duration));
    }
    if run.hidden_rows > 0 {
        let _ = writeln!(text, "  and {} more", run.hidden_rows);
    }
    text.push('\n');
}

/// Anyone may have written the file, so nothing in it may control the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

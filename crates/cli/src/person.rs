//! `on`, `off`, `status`, `show`, `flush` and `purge`: what a person asks of any tool's telemetry, without the tool.
//!
//! The library does it and tells about it, with the code of a tool's own `telemetry` command. Only a run whose data
//! points nobody gave is told here, as it lies on disk.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use tool_telemetry::command::{SpoolInspector, TelemetryCommand};

use crate::Answer;
use crate::arguments::{NOTHING_HERE, ShowArguments, ToolArguments};
use crate::data_points_file::usual_or_named;
use crate::fault::Fault;
use crate::tables::{tables, text, tool_name};
use crate::view::Run;

/// Has the library do it, and gives its exit code.
pub(crate) fn run(arguments: &ToolArguments, command: &TelemetryCommand) -> Result<ExitCode, Fault> {
    let look = look(arguments, None)?;
    let tool = &arguments.tool;
    if look.has_files() {
        return Ok(command.run(look.telemetry()));
    }
    match command {
        TelemetryCommand::On | TelemetryCommand::Off => {
            let code = command.run(look.telemetry());
            let note = format!(
                "No tool {tool} has left anything on this machine so far: is that how you type it?\n"
            );
            let _ = std::io::stdout().write_all(note.as_bytes());
            Ok(code)
        }
        TelemetryCommand::Status { .. } => {
            command.run(look.telemetry());
            let _ = writeln!(std::io::stderr(), "{}", Fault::nothing_here(tool));
            Ok(ExitCode::from(NOTHING_HERE))
        }
        _ => Err(Fault::nothing_here(tool)),
    }
}

pub(crate) fn show(arguments: &ShowArguments) -> Result<Shown, Fault> {
    let definition = usual_or_named(arguments.data_points.as_deref())?;
    let look = look(&arguments.tool, definition.as_ref().map(tables))?;
    if !look.has_files() {
        return Err(Fault::nothing_here(&arguments.tool.tool));
    }
    if definition.is_some() {
        return Ok(Shown::Said(TelemetryCommand::Show { json: arguments.json }.run(look.telemetry())));
    }
    let runs = look.runs();
    let mut text = String::new();
    if arguments.json {
        text.extend(runs.into_iter().map(|run| run.lines));
    } else {
        for run in runs.into_iter().filter_map(Run::read) {
            tell(&mut text, &arguments.tool.tool, &run);
        }
        text.push_str(if text.is_empty() {
            "No run waits, and none was sent in the last days.\n"
        } else {
            "This is what lies on disk, as it is; before anything is sent it is checked once more. With the tool's \
             telemetry.toml (--data-points) you see what it lets through.\n"
        });
    }
    Ok(Shown::Text(Answer::from(text)))
}

/// What `show` comes to.
pub(crate) enum Shown {
    /// The library has said it.
    Said(ExitCode),
    Text(Answer),
}

/// The tool of this name, if there is a place where it could have left anything.
pub(crate) fn look(
    arguments: &ToolArguments,
    data_points: Option<&'static tool_telemetry::DataPoints>,
) -> Result<SpoolInspector, Fault> {
    let variables: Vec<&'static str> = arguments.opt_out_vars.iter().map(|name| text(name)).collect();
    let look = SpoolInspector::open(tool_name(&arguments.tool)?, data_points, &variables);
    if !look.has_home() {
        return Err(Fault::usage(
            "there is no home folder that belongs to you, so there are no runs. Set HOME to yours, and run this as \
             yourself and not with sudo.",
        ));
    }
    Ok(look)
}

/// A run as a tree.
fn tell(text: &mut String, tool: &str, run: &Run) {
    let (state, _) = crate::view::words::state(run.state);
    let _ =
        writeln!(text, "{}  {tool} {}  {state}: {}", run.trace_id, printable(&run.version), run.destination);
    for row in &run.rows {
        let _ = write!(text, "{:1$}{2}", "", 2 * row.depth, printable(&row.name));
        for (key, value) in &row.values {
            let _ = write!(text, " {}={}", printable(key), printable(value));
        }
        let _ = writeln!(text, "  {}", crate::view::words::duration(row.duration));
    }
    if run.more_rows > 0 {
        let _ = writeln!(text, "  and {} more", run.more_rows);
    }
    text.push('\n');
}

/// What is on disk may be anybody's: nothing that a terminal obeys.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

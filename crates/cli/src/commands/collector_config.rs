//! `collector-config`
//!
//! No attribute processor removes events, links, a status message, or a trace state. This library never records any of
//! them, so a span that has one is dropped.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use askama::Template;
use tool_telemetry_definition::{Audience, DataPoint, DataPoints, Kind, OTHER};

use crate::definition_file::read_valid;
use crate::error::Error;
use crate::exit_code::SUCCESS;
use crate::output;
use crate::tool::tool_name;
use crate::yaml::quoted;

/// Write an OpenTelemetry Collector configuration that passes only approved data
///
/// The configuration goes to stdout. It receives OTLP, drops spans and removes attributes that telemetry.toml does
/// not approve, and batches the rest. Put your exporter in the marked place.
///
/// It needs a Collector 0.146 or later with the `filter` and `redaction` processors, for example the contrib
/// distribution.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The telemetry.toml of each tool; several must name their tools
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The tool, as users type it, if its only file does not name it: drops the runs of other tools, even if they report
    /// the same data points
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
}

/// The keys that the library itself sets on the resource and on the run.
const FIXED_KEYS: [&str; 10] = [
    "error.type",
    "process.executable.name",
    "service.name",
    "service.version",
    "telemetry.distro.name",
    "telemetry.distro.version",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
    "tool_telemetry.data_points",
];

#[derive(Debug, Template)]
#[template(path = "collector.yaml", escape = "none")]
struct Config {
    tools: String,
    keys: Vec<Key>,
    conditions: Vec<Condition>,
}

#[derive(Debug)]
struct Key {
    key: String,
    comment: String,
}

/// A condition that drops a span.
#[derive(Debug)]
struct Condition {
    comment: &'static str,
    condition: String,
}

/// A definition, and the tool that it belongs to. Only a single one may be that of an unknown tool.
struct ToolDefinition {
    tool: Option<String>,
    definition: &'static DataPoints,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let tools: Vec<ToolDefinition> =
        arguments.files.iter().map(|file| read_tool(file, arguments)).collect::<Result<_, _>>()?;
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool.tool.as_deref()).collect();
    let config = Config {
        tools: match &*names {
            [] => "a tool".to_owned(),
            [tool] => format!("the tool {tool}"),
            tools => format!("the tools {}", tools.join(", ")),
        },
        keys: keys(&tools),
        conditions: conditions(&tools, &names),
    };
    let text = config
        .render()
        .map_err(|error| Error::usage(format!("the configuration cannot be generated: {error}")))?;
    output::print(&format!("{}\n", text.trim_end()));
    Ok(ExitCode::from(SUCCESS))
}

fn read_tool(file: &Path, arguments: &Arguments) -> Result<ToolDefinition, Error> {
    let definition = read_valid(file)?;
    let file = file.display();
    let named = arguments.tool.as_deref().map(tool_name).transpose()?;
    let tool = match (definition.tool, named) {
        (Some(in_file), Some(named)) if in_file != named => {
            return Err(Error::usage(format!(
                "{file} is that of the tool {in_file:?}, not of {named:?}. Leave --tool out."
            )));
        }
        (None, _) if arguments.files.len() > 1 => {
            return Err(Error::usage(format!(
                "{file} does not tell which tool it belongs to, which several files must. Add `tool = \"…\"` to it."
            )));
        }
        (in_file, named) => in_file.or(named),
    };
    Ok(ToolDefinition { tool: tool.map(str::to_owned), definition })
}

/// The keys of all tools. A key that one of them approves passes for each.
fn keys(tools: &[ToolDefinition]) -> Vec<Key> {
    let mut keys: Vec<Key> =
        FIXED_KEYS.iter().map(|key| Key { key: quoted(key), comment: String::new() }).collect();
    for data_point in tools.iter().flat_map(|tool| tool.definition.data_points) {
        let key = quoted(data_point.key);
        if keys.iter().all(|known| known.key != key) {
            keys.push(Key { key, comment: comment(data_point) });
        }
    }
    keys
}

/// The data point's sentence, which is one line.
fn comment(data_point: &DataPoint) -> String {
    let audience = if data_point.audience == Audience::Operator { " (for operators)" } else { "" };
    format!("{}{audience}", data_point.sentence)
}

fn conditions(tools: &[ToolDefinition], names: &[&str]) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if !names.is_empty() {
        let others: Vec<String> =
            names.iter().map(|tool| format!("{SERVICE_NAME} != {}", ottl(tool))).collect();
        conditions.push(("Spans of another program.", others.join(" and ")));
    }
    for (number, tool) in tools.iter().enumerate() {
        let comment = if number == 0 { "Spans that are neither a run nor approved." } else { "" };
        let mut condition = unapproved(tool);
        if let [_, _, ..] = tools
            && let Some(name) = &tool.tool
        {
            condition = format!("{SERVICE_NAME} == {} and {condition}", ottl(name));
        }
        conditions.push((comment, condition));
    }
    conditions.extend([
        ("Spans of another library.", "instrumentation_scope.name != \"tool-telemetry\"".to_owned()),
        ("Fields that this library never sets.", "span.status.message != \"\"".to_owned()),
        ("", "span.trace_state != \"\"".to_owned()),
        ("", "Len(span.events) > 0".to_owned()),
        ("", "Len(span.links) > 0".to_owned()),
    ]);
    conditions
        .into_iter()
        .map(|(comment, condition)| Condition { comment, condition: quoted(&condition) })
        .collect()
}

/// The name of the tool, as a path in OTTL.
const SERVICE_NAME: &str = "resource.attributes[\"service.name\"]";

/// Holds for a span with a name that neither a run of the tool nor an approved span has. A run's name is the tool's, alone or
/// with a command. If the tool is not known here, the resource has its name.
fn unapproved(tool: &ToolDefinition) -> String {
    let definition = tool.definition;
    let command = definition.command().map(|position| definition.data_points[usize::from(position)].kind);
    let commands = match command {
        Some(Kind::Command(commands)) => [commands, &[OTHER]].concat(),
        _ => Vec::new(),
    };
    let run = |command: Option<&str>| match (&tool.tool, command) {
        (Some(tool), None) => ottl(tool),
        (Some(tool), Some(command)) => ottl(&format!("{tool} {command}")),
        (None, None) => SERVICE_NAME.to_owned(),
        (None, Some(command)) => format!("Concat([{SERVICE_NAME}, {}], \" \")", ottl(command)),
    };
    let mut spans: Vec<&str> = definition.spans.iter().map(|span| span.name).collect();
    spans.sort_unstable();
    spans.dedup();
    let runs = [run(None)].into_iter().chain(commands.iter().map(|command| run(Some(command))));
    let names = runs.chain(spans.into_iter().map(ottl));
    names.map(|name| format!("span.name != {name}")).collect::<Vec<_>>().join(" and ")
}

/// A string in OTTL, the Collector's condition language. Span and tool names have no quotes and no backslashes.
fn ottl(text: &str) -> String {
    format!("\"{text}\"")
}

//! `collector-config`
//!
//! No attribute processor removes events, links, a status message, or a trace state. This library never records any of
//! them, so a span that has one is dropped.

use std::path::PathBuf;
use std::process::ExitCode;

use askama::Template;
use tool_telemetry_definition::{Audience, DataPoint, DataPoints};

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
    /// The telemetry.toml
    file: PathBuf,
    /// The tool, as users type it: drops the runs of other tools, even if they report the same data points
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

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let definition = read_valid(&arguments.file)?;
    let tool = arguments.tool.as_deref().map(tool_name).transpose()?;
    let config = Config {
        tools: tool.map_or_else(|| "a tool".to_owned(), |tool| format!("the tool {tool}")),
        keys: keys(definition),
        conditions: conditions(definition, tool),
    };
    let text = config
        .render()
        .map_err(|error| Error::usage(format!("the configuration cannot be generated: {error}")))?;
    output::print(&format!("{}\n", text.trim_end()));
    Ok(ExitCode::from(SUCCESS))
}

fn keys(definition: &DataPoints) -> Vec<Key> {
    let fixed = FIXED_KEYS.iter().map(|key| Key { key: quoted(key), comment: String::new() });
    let approved = definition
        .data_points
        .iter()
        .map(|data_point| Key { key: quoted(data_point.key), comment: comment(data_point) });
    fixed.chain(approved).collect()
}

/// The data point's sentence, which is one line.
fn comment(data_point: &DataPoint) -> String {
    let audience = if data_point.audience == Audience::Operator { " (for operators)" } else { "" };
    format!("{}{audience}", data_point.sentence)
}

fn conditions(definition: &DataPoints, tool: Option<&str>) -> Vec<Condition> {
    // A run's root span has the tool's name. If the name is not known here, the resource has it.
    let run = match tool {
        Some(tool) => ottl(tool),
        None => "resource.attributes[\"service.name\"]".to_owned(),
    };
    let mut names: Vec<&str> = definition.spans.iter().map(|span| span.name).collect();
    names.sort_unstable();
    names.dedup();
    let approved = names.iter().map(|name| format!(" and span.name != {}", ottl(name))).collect::<String>();
    let mut conditions = vec![
        ("Spans that are neither a run nor approved.", format!("span.name != {run}{approved}")),
        ("Spans of another library.", "instrumentation_scope.name != \"tool-telemetry\"".to_owned()),
        ("Fields that this library never sets.", "span.status.message != \"\"".to_owned()),
        ("", "span.trace_state != \"\"".to_owned()),
        ("", "Len(span.events) > 0".to_owned()),
        ("", "Len(span.links) > 0".to_owned()),
    ];
    if let Some(tool) = tool {
        conditions.insert(
            0,
            ("Spans of another program.", format!("resource.attributes[\"service.name\"] != {}", ottl(tool))),
        );
    }
    conditions
        .into_iter()
        .map(|(comment, condition)| Condition { comment, condition: quoted(&condition) })
        .collect()
}

/// A string in OTTL, the Collector's condition language. Span and tool names have no quotes and no backslashes.
fn ottl(text: &str) -> String {
    format!("\"{text}\"")
}

//! `collector-config`
//!
//! | module | what it does |
//! | --- | --- |
//! | `filter` | the conditions that drop whole spans |
//! | `transform` | the statements that build the attributes anew from approved values |
//! | `values`, `spans` | what telemetry.toml approves, as conditions |
//! | `ottl` | texts of the Collector's language |
//! | `exporter` | the exporter that the pipelines end in |
//! | `clickhouse` | the one that writes into ClickHouse |
//!
//! Each tool has components of its own, so that one Collector can have the configurations of several tools. A pipeline
//! receives the spans of all tools, and its filter drops those of the others.

mod clickhouse;
mod exporter;
mod filter;
mod ottl;
mod spans;
mod transform;
mod values;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use askama::Template;
use tool_telemetry_publish::sources::Address;

use crate::definition_file::read_valid;
use crate::error::Error;
use crate::exit_code::SUCCESS;
use crate::output;
use crate::tool::tool_of;
use exporter::Exporter;
use ottl::Group;
use spans::ToolDefinition;

/// Write an OpenTelemetry Collector configuration that passes only approved data
///
/// The configuration goes to stdout. It receives OTLP, drops spans and removes attributes whose keys or values
/// telemetry.toml does not approve, and prints the rest. Put your exporter in the marked place, or in a second file: the
/// Collector accepts several `--config`, and a later one wins.
///
/// It needs a Collector 0.146 or later with the `filter` and `transform` processors, for example the contrib
/// distribution.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The telemetry.toml of each tool
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The tool, as users type it, if its only file does not name it
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Write into ClickHouse, https://HOST:PORT/DATABASE, for `publish --clickhouse`; the user and the password are those of
    /// the Collector's environment, CLICKHOUSE_USER and CLICKHOUSE_PASSWORD
    #[arg(long, value_name = "ADDRESS")]
    clickhouse: Option<Address>,
}

#[derive(Debug, Template)]
#[template(path = "collector.yaml", escape = "none")]
struct Config {
    title: String,
    tools: Vec<Components>,
    exporter: Exporter,
}

/// The components of one tool, whose IDs end with its name.
#[derive(Debug)]
struct Components {
    tool: &'static str,
    conditions: Vec<Group>,
    statements: Vec<Group>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let tools: Vec<ToolDefinition> =
        arguments.files.iter().map(|file| read_tool(file, arguments)).collect::<Result<_, _>>()?;
    let mut names: Vec<&str> = tools.iter().map(|tool| tool.tool).collect();
    let title = match &*names {
        [tool] => format!("the tool {tool}"),
        tools => format!("the tools {}", tools.join(", ")),
    };
    names.sort_unstable();
    if let Some([twice, _]) = names.array_windows().find(|[one, next]| one == next) {
        return Err(Error::usage(format!(
            "several files are those of the tool {twice:?}. Use the newest of them."
        )));
    }
    let components = |tool: &ToolDefinition| Components {
        tool: tool.tool,
        conditions: filter::conditions(tool),
        statements: statements(tool, arguments.clickhouse.is_some()),
    };
    let exporter = match &arguments.clickhouse {
        None => Exporter::debug(),
        Some(address) => clickhouse::exporter(address, &tools),
    };
    let config = Config { title, tools: tools.iter().map(components).collect(), exporter };
    let text = config
        .render()
        .map_err(|error| Error::usage(format!("the configuration cannot be generated: {error}")))?;
    output::print(&format!("{}\n", text.trim_end()));
    Ok(ExitCode::from(SUCCESS))
}

/// The statements of a tool. A table in ClickHouse would keep times to the nanosecond.
fn statements(tool: &ToolDefinition, has_whole_hours: bool) -> Vec<Group> {
    let mut groups = transform::statements(tool);
    if has_whole_hours && let Some(spans) = groups.iter_mut().find(|group| group.context == "span") {
        spans.lines.extend(clickhouse::whole_hours());
    }
    groups
}

/// Without the tool's name, any text could be one.
fn read_tool(file: &Path, arguments: &Arguments) -> Result<ToolDefinition, Error> {
    let definition = read_valid(file)?;
    if definition.tool.is_none() && arguments.files.len() > 1 {
        return Err(Error::usage(format!(
            "{} does not tell which tool it belongs to, which several files must. Add `tool = \"…\"` to it.",
            file.display()
        )));
    }
    let tool = tool_of(definition, file, arguments.tool.as_deref())?;
    Ok(ToolDefinition { tool, definition })
}

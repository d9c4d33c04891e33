//! `collector-config`: an OpenTelemetry Collector that lets only approved data through.
//!
//! What no attribute processor removes is handled by dropping what has it: a span with events, links, a status text or a
//! trace state was not made by this library, which has no room for them.

use askama::Template;
use tool_telemetry_definition::{Audience, DataPoint, Definition};

use crate::Answer;
use crate::arguments::CollectorArguments;
use crate::data_points_file::read_clean;
use crate::fault::Fault;
use crate::tables::tool_name;
use crate::yaml::quoted;

/// The keys that the library sets itself: of the resource, and of the run.
pub(crate) const FIXED_KEYS: [&str; 9] = [
    "error.type",
    "process.executable.name",
    "service.name",
    "service.version",
    "telemetry.distro.name",
    "telemetry.distro.version",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
];

#[derive(Debug, Template)]
#[template(path = "collector.yaml", escape = "none")]
struct Config {
    about: String,
    keys: Vec<Key>,
    conditions: Vec<Condition>,
}

#[derive(Debug)]
struct Key {
    key: String,
    about: String,
}

/// What is true of a span that is dropped.
#[derive(Debug)]
struct Condition {
    about: &'static str,
    condition: String,
}

pub(crate) fn run(arguments: &CollectorArguments) -> Result<Answer, Fault> {
    let definition = read_clean(&arguments.file)?;
    let tool = arguments.tool.as_deref().map(tool_name).transpose()?;
    let config = Config {
        about: tool.map_or_else(|| "a tool".to_owned(), |tool| format!("the tool {tool}")),
        keys: keys(&definition),
        conditions: conditions(&definition, tool),
    };
    let text = config
        .render()
        .map_err(|error| Fault::usage(format!("the configuration could not be made: {error}")))?;
    Ok(Answer::from(format!("{}\n", text.trim_end())))
}

fn keys(definition: &Definition) -> Vec<Key> {
    let fixed = FIXED_KEYS.iter().map(|key| Key { key: quoted(key), about: String::new() });
    let approved = definition
        .data_points
        .iter()
        .map(|data_point| Key { key: quoted(&data_point.key), about: comment(data_point) });
    fixed.chain(approved).collect()
}

/// The data point's sentence, which has one line.
fn comment(data_point: &DataPoint) -> String {
    let audience = if data_point.audience == Audience::Operator { " (for operators)" } else { "" };
    format!("{}{audience}", data_point.sentence)
}

fn conditions(definition: &Definition, tool: Option<&str>) -> Vec<Condition> {
    // A run's own span has the tool's name. Without a name to compare it with, it must be what the span itself and the
    // resource say.
    let run = match tool {
        Some(tool) => ottl(tool),
        None => "resource.attributes[\"service.name\"]".to_owned(),
    };
    let mut names: Vec<&str> = definition.spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let approved = names.iter().map(|name| format!(" and span.name != {}", ottl(name))).collect::<String>();
    let mut conditions = vec![
        ("A span that is neither a run nor approved.", format!("span.name != {run}{approved}")),
        ("A span of another library.", "instrumentation_scope.name != \"tool-telemetry\"".to_owned()),
        ("What a run of this library never has.", "span.status.message != \"\"".to_owned()),
        ("", "span.trace_state != \"\"".to_owned()),
        ("", "Len(span.events) > 0".to_owned()),
        ("", "Len(span.links) > 0".to_owned()),
    ];
    if let Some(tool) = tool {
        conditions.insert(
            0,
            (
                "A span of another program.",
                format!("resource.attributes[\"service.name\"] != {}", ottl(tool)),
            ),
        );
    }
    conditions
        .into_iter()
        .map(|(about, condition)| Condition { about, condition: quoted(&condition) })
        .collect()
}

/// A text in the Collector's language of conditions. Names of spans and tools have neither quotes nor backslashes.
fn ottl(text: &str) -> String {
    format!("\"{text}\"")
}

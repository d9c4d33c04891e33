//! The transform processor: statements that build the attributes anew from approved values.
//!
//! An attribute passes because a statement copies it. Removing those that are not approved would leave the second of two with
//! the same key.

use tool_telemetry_definition::{Audience, DataPoint, ERROR_TYPE};

use super::filter::CONTENT_HASH;
use super::ottl::{Group, Line, attribute, has_match, matches, or, string, version};
use super::spans::{EXECUTABLE_NAME, ToolDefinition, is_named};
use super::values::{is_admitted, is_error_type};

pub(super) fn statements(tool: &ToolDefinition) -> Vec<Group> {
    vec![
        Group { context: "resource", lines: resource(tool) },
        Group { context: "scope", lines: scope() },
        Group { context: "span", lines: spans(tool) },
    ]
}

fn resource(tool: &ToolDefinition) -> Vec<Line> {
    let is_text = |text: &'static str| move |path: &str| format!("{path} == {}", string(text));
    let is_version = |path: &str| matches(path, &version());
    let is_hash = |path: &str| matches(path, CONTENT_HASH.1);
    let copy = |key: &str, condition: &dyn Fn(&str) -> String| {
        copied("", "resource", key, &condition(&attribute("resource", key)))
    };
    let mut lines = vec![
        Line::new("", &format!("set(resource.cache[\"service.name\"], {})", string(tool.tool))),
        copy("service.version", &is_version),
        copy("telemetry.sdk.name", &is_text("opentelemetry")),
        copy("telemetry.sdk.language", &is_text("rust")),
        copy("telemetry.sdk.version", &is_version),
        copy("telemetry.distro.name", &is_text("tool-telemetry")),
        copy("telemetry.distro.version", &is_version),
        copy(CONTENT_HASH.0, &is_hash),
        Line::new("", "set(resource.attributes, resource.cache)"),
    ];
    lines.extend(without_schema("resource"));
    lines
}

fn scope() -> Vec<Line> {
    let is_version = has_match("scope.version", &version());
    let mut lines = vec![
        Line::new("", "set(scope.attributes, scope.cache)"),
        Line::new("", &format!("set(scope.version, \"\") where not {is_version}")),
    ];
    lines.extend(without_schema("scope"));
    lines
}

fn without_schema(context: &str) -> [Line; 2] {
    [
        Line::new("", &format!("set({context}.schema_url, \"\")")),
        Line::new("", &format!("set({context}.dropped_attributes_count, 0)")),
    ]
}

fn spans(tool: &ToolDefinition) -> Vec<Line> {
    let run = tool.is_run();
    let executable = attribute("span", EXECUTABLE_NAME);
    let mut lines = vec![
        copied("", "span", EXECUTABLE_NAME, &format!("{run} and {executable} == {}", string(tool.tool))),
        copied(
            "",
            "span",
            ERROR_TYPE,
            &format!("{run} and {}", is_error_type(&attribute("span", ERROR_TYPE))),
        ),
    ];
    for (position, data_point) in (0..).zip(tool.definition.data_points) {
        let is_on = |positions: &[u8]| positions.contains(&position);
        let runs = is_on(tool.definition.on_run).then(|| run.clone());
        let mut steps: Vec<&str> = tool
            .definition
            .spans
            .iter()
            .filter(|span| is_on(span.data_points))
            .map(|span| span.name)
            .collect();
        steps.sort_unstable();
        steps.dedup();
        let spans: Vec<String> = runs.into_iter().chain(steps.into_iter().map(is_named)).collect();
        let value = is_admitted(data_point, &attribute("span", data_point.key));
        let condition = format!("{} and {value}", or(&spans));
        lines.push(copied(&comment(data_point), "span", data_point.key, &condition));
    }
    lines.extend(counts(tool));
    lines.push(Line::new("", "set(span.attributes, span.cache)"));
    lines
}

/// The filter has judged the values of counts.
fn counts(tool: &ToolDefinition) -> Vec<Line> {
    let Some(is_count) = tool.is_count() else { return Vec::new() };
    let mut keys: Vec<&str> = tool.definition.counts.iter().flat_map(|table| table.of).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let comment = |number| if number == 0 { "The cell of a count." } else { "" };
    (0..)
        .zip(keys)
        .map(|(number, key)| {
            copied(comment(number), "span", key, &format!("{is_count} and {} != nil", attribute("span", key)))
        })
        .collect()
}

/// Copies an attribute to those that stay.
fn copied(comment: &str, context: &str, key: &str, condition: &str) -> Line {
    let statement =
        format!("set({context}.cache[{}], {}) where {condition}", string(key), attribute(context, key));
    Line::new(comment, &statement)
}

/// The data point's sentence, which is one line.
fn comment(data_point: &DataPoint) -> String {
    let audience = if data_point.audience == Audience::Operator { " (for operators)" } else { "" };
    format!("{}{audience}", data_point.sentence)
}

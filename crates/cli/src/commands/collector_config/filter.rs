//! The filter: conditions that drop what cannot be a run, an approved span, or a count.
//!
//! A span is dropped if it has a field that the library never sets. What can be taken out of it alone, an attribute or a
//! schema URL, is left to the transform processor.

use super::ottl::{Group, Line, and, attribute, matches, none, string};
use super::spans::{ToolDefinition, is_named};
use super::values::is_counted;

/// The content hash of a telemetry.toml, as a resource attribute and as a pattern.
pub(super) const CONTENT_HASH: (&str, &str) = ("tool_telemetry.data_points", "[0-9a-f]{32}");

/// W3C's sampled flag and OTLP's flag that it is known whether the parent is remote; and the same with a remote parent.
const FLAGS: [u32; 2] = [0x101, 0x301];
/// Monday, 5 January 1970, in nanoseconds since the Unix epoch. Periods of four weeks begin there.
const FIRST_MONDAY: u64 = 4 * 24 * 60 * 60 * 1_000_000_000;

pub(super) fn conditions(tool: &ToolDefinition) -> Vec<Group> {
    let resource = Line::new(
        "Another program.",
        &format!("{} != {}", attribute("resource", "service.name"), string(tool.tool)),
    );
    let scope = Line::new("Another library.", "scope.name != \"tool-telemetry\"");
    let mut spans = vec![unapproved(tool)];
    spans.extend(forged());
    if let Some(is_count) = tool.is_count() {
        spans.extend(wrong_counts(tool, &is_count));
    }
    vec![
        Group { context: "resource", lines: vec![resource] },
        Group { context: "scope", lines: vec![scope] },
        Group { context: "span", lines: spans },
    ]
}

fn unapproved(tool: &ToolDefinition) -> Line {
    let names =
        [tool.is_run()].into_iter().chain(tool.steps().into_iter().map(is_named)).chain(tool.is_count());
    let comment = match tool.is_count() {
        Some(_) => "Neither a run, nor an approved span, nor a count.",
        None => "Neither a run nor an approved span.",
    };
    Line::new(comment, &none(&names.collect::<Vec<_>>()))
}

/// Fields in which a span of the library always has the same few values.
fn forged() -> [Line; 10] {
    let [local, remote] = FLAGS;
    [
        Line::new("Fields that the library never sets so.", "span.kind != SPAN_KIND_INTERNAL"),
        Line::new("", &format!("span.flags != {local} and span.flags != {remote}")),
        Line::new("", "span.status.code != STATUS_CODE_UNSET and span.status.code != STATUS_CODE_ERROR"),
        Line::new("", "span.status.message != \"\""),
        Line::new("", "span.trace_state != \"\""),
        Line::new("", "Len(span.events) > 0"),
        Line::new("", "Len(span.links) > 0"),
        Line::new("", "span.dropped_attributes_count != 0"),
        Line::new("", "span.dropped_events_count != 0"),
        Line::new("", "span.dropped_links_count != 0"),
    ]
}

/// A count says which cell of which table occurred in which period, and nothing else.
fn wrong_counts(tool: &ToolDefinition, is_count: &str) -> Vec<Line> {
    let nanoseconds = tool.definition.period.map_or(1, |period| period.seconds() * 1_000_000_000);
    let start = "span.start_time_unix_nano";
    let (hash, digits) = CONTENT_HASH;
    let hash = matches(&attribute("resource", hash), digits);
    let cells = tool.definition.counts.iter().map(|table| {
        let keys =
            table.of.iter().map(|key| is_counted(table, tool.definition, key, &attribute("span", key)));
        and(&[format!("Len(span.attributes) == {}", table.of.len())]
            .into_iter()
            .chain(keys)
            .collect::<Vec<_>>())
    });
    let wrong = |comment, condition: &str| Line::new(comment, &format!("{is_count} and ({condition})"));
    vec![
        wrong(
            "A count whose resource or scope has more than a count's.",
            &format!("Len(resource.attributes) != 2 or not ({hash}) or scope.version != \"\""),
        ),
        wrong(
            "A count that has a parent, an end, or an error, or begins within a period.",
            &format!(
                "not IsRootSpan() or span.status.code != STATUS_CODE_UNSET or span.flags != {} \
                 or span.end_time_unix_nano != {start} \
                 or ({start} - {FIRST_MONDAY}) / {nanoseconds} * {nanoseconds} + {FIRST_MONDAY} != {start}",
                FLAGS[0]
            ),
        ),
        wrong("A count of something that telemetry.toml does not count.", &none(&cells.collect::<Vec<_>>())),
        Line::new(
            "A run in the resource of a count.",
            &format!("not ({is_count}) and Len(resource.attributes) == 2"),
        ),
    ]
}

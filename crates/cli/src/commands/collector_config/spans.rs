//! Which spans a tool may report, as conditions of OTTL.

use tool_telemetry_definition::{DataPoints, Kind, OTHER};

use super::ottl::{and, attribute, has_match, literal, one_of, string};

/// The attribute that a run has and a count does not.
pub(super) const EXECUTABLE_NAME: &str = "process.executable.name";
/// The name of a count.
const COUNT: &str = "count";

/// A telemetry.toml, and the tool that it belongs to.
#[derive(Debug)]
pub(super) struct ToolDefinition {
    pub(super) tool: &'static str,
    pub(super) definition: &'static DataPoints,
}

impl ToolDefinition {
    /// Holds for a span with the name of a run: the tool's, alone or with a command.
    pub(super) fn is_run(&self) -> String {
        let command = self.definition.command();
        let kind = command.map(|position| self.definition.data_points[usize::from(position)].kind);
        match kind {
            Some(Kind::Command(commands)) => {
                let commands = one_of(commands.iter().copied().chain([OTHER]));
                has_match("span.name", &format!("{}(?: (?:{commands}))?", literal(self.tool)))
            }
            _ => is_named(self.tool),
        }
    }

    /// The names of the approved spans, in alphabetical order.
    pub(super) fn steps(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = self.definition.spans.iter().map(|span| span.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Holds for a count. Nothing is one if telemetry.toml has no `[[count]]`.
    pub(super) fn is_count(&self) -> Option<String> {
        let is_run = (self.tool == COUNT).then(|| format!("{} == nil", attribute("span", EXECUTABLE_NAME)));
        let conditions: Vec<String> = [is_named(COUNT)].into_iter().chain(is_run).collect();
        (!self.definition.counts.is_empty()).then(|| and(&conditions))
    }
}

/// Holds for a span of this name.
pub(super) fn is_named(name: &str) -> String {
    format!("span.name == {}", string(name))
}

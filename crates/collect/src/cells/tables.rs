//! What cells depend on besides the traces: which tables a telemetry.toml asks for, and what a person left out.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use tool_telemetry_definition::{ERROR_TYPE, SERVICE_VERSION};

use crate::counts::to_json;
use crate::marks::{Mark, MarkState};
use crate::shape::ShapeContent;

/// What cells depend on besides the traces.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tables {
    /// The data point that holds each tool's command. Its cells are crossed with the outcome and the duration.
    pub commands: HashMap<String, String>,
    /// The crossings that each telemetry.toml asks for by a `[[count]]` of several keys, by its content hash. A run that
    /// carries no hash has none, so that a file that comes later changes no cell.
    pub crossings: HashMap<[u8; 16], Vec<Vec<String>>>,
    /// What does not count.
    pub left_out: Vec<Mark>,
}

impl Tables {
    /// Adds those of other files.
    pub fn extend(&mut self, other: Self) {
        self.commands.extend(other.commands);
        self.crossings.extend(other.crossings);
        self.left_out.extend(other.left_out);
    }

    /// Leaves out what an operator decided to leave out.
    #[must_use]
    pub fn without(mut self, marks: Vec<Mark>) -> Self {
        self.left_out.extend(marks.into_iter().filter(|mark| mark.state == MarkState::LeftOut));
        self
    }

    /// The crossings of a run, without those that are a table anyway.
    pub(super) fn crossings_of(&self, run: &ShapeContent<'_>) -> impl Iterator<Item = &Vec<String>> {
        let command = self.commands.get(run.tool());
        let is_there =
            move |of: &[String]| matches!(of, [key, other] if Some(key) == command && other == ERROR_TYPE);
        let asked_for = run.data_points().and_then(|hash| self.crossings.get(&hash));
        asked_for.into_iter().flatten().filter(move |of| !is_there(of))
    }
}

/// The values of a crossing: those of the run, and of one of its steps where the run has none. Nothing if one is missing,
/// or if the step adds nothing.
pub(super) fn crossed(
    of: &[String],
    run: &ShapeContent<'_>,
    step: Option<&ShapeContent<'_>>,
) -> Option<Vec<Json>> {
    let find = |content: &ShapeContent<'_>, key: &str| {
        content.attributes.iter().find(|(there, _)| *there == key).map(|(_, value)| to_json(*value))
    };
    let mut has_step = false;
    let values = of.iter().map(|key| match key.as_str() {
        SERVICE_VERSION => Some(json!(run.version())),
        key => find(run, key).or_else(|| {
            has_step = true;
            find(step?, key)
        }),
    });
    let values: Vec<Json> = values.collect::<Option<_>>()?;
    (has_step == step.is_some()).then_some(values)
}

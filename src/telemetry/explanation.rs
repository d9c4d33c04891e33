//! The text of `<TOOL>_TELEMETRY=explain`: what a run records, what it leaves out, and what to change.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::consent::Decision;
use crate::consent::destination::Destination;
use crate::env::{Environment, ModeOverride, tool_variable};
use crate::model::data_points::DataPoints;
use crate::model::omission::{Omission, OmissionReason};
use crate::model::settings::Settings;
use crate::model::span::Span;
use crate::model::tree;

/// What this run records and leaves out. There are no spans if the run was discarded.
pub(super) fn of_run(
    settings: &Settings,
    data_points: &'static DataPoints,
    spans: &[Span],
    omissions: &[Omission],
) -> String {
    let name = settings.name;
    let mut text = if spans.is_empty() {
        format!("{name} telemetry: this run was discarded\n")
    } else {
        format!("{name} telemetry: this run records\n{}", tree::render(spans, data_points, name, false))
    };
    push_omissions(omissions, &own_crates(name, data_points), &mut text);
    text
}

/// What a process leaves out that ends without a command.
pub(super) fn without_command(settings: &Settings, omissions: &[Omission]) -> String {
    let name = settings.name;
    let mut text = format!(
        "{name} telemetry: no command began, so this is no run. Wrap each of the tool's commands in\n    \
         telemetry.command(\"…\", || …)\n"
    );
    if let Some(data_points) = settings.data_points {
        push_omissions(omissions, &own_crates(name, data_points), &mut text);
    }
    text
}

/// Where the run would go without `explain`.
pub(super) fn push_destination(decision: &Decision, destination: Option<&Destination>, text: &mut String) {
    let _ = match destination.filter(|_| decision.is_on) {
        Some(destination) => {
            writeln!(text, "it is not sent now; without `explain` it would go to {}", destination.origin())
        }
        None => writeln!(text, "it is not sent now, nor without `explain`: {}", decision.reason),
    };
}

/// The reason why nothing can be recorded, if the user asked for an explanation.
pub(super) fn of_invalid_setup(name: &str, reason: &str) -> Option<String> {
    let mode = ModeOverride::read(Environment::process(), &tool_variable(name));
    (mode == ModeOverride::Explain).then(|| format!("{name} telemetry: nothing is recorded: {reason}\n"))
}

/// The crates whose spans are the tool's own: those that `telemetry.toml` names, that of the tool's name, and those that
/// begin with it.
fn own_crates(tool: &str, data_points: &DataPoints) -> Vec<String> {
    let targets = data_points.spans.iter().filter_map(|span| span.target.split("::").next());
    targets.map(str::to_owned).chain([tool.replace(['-', '.'], "_")]).collect()
}

fn is_own(omission: &Omission, own_crates: &[String]) -> bool {
    omission.crate_name().is_none_or(|name| {
        own_crates
            .iter()
            .any(|own| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
    })
}

fn push_omissions(omissions: &[Omission], own_crates: &[String], text: &mut String) {
    if omissions.is_empty() {
        text.push_str("and leaves out nothing\n");
        return;
    }
    text.push_str("and leaves out\n");
    let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for omission in omissions {
        match omission.crate_name().filter(|_| is_foreign(omission, own_crates)) {
            Some(name) => others.entry(name).or_default().push(omission.name()),
            None => {
                for (number, line) in omission.to_string().lines().enumerate() {
                    let _ = writeln!(text, "{}{line}", if number == 0 { "- " } else { "  " });
                }
            }
        }
    }
    for (name, spans) in others {
        let _ = writeln!(text, "- spans of the crate `{name}`: {}", spans.join(", "));
    }
}

/// Whether a span is of another crate and not approved. Each of a dependency's spans needs no advice of its own.
fn is_foreign(omission: &Omission, own_crates: &[String]) -> bool {
    matches!(omission.reason(), OmissionReason::NotApproved { similar: None })
        && !is_own(omission, own_crates)
}

//! The page's first section: whether telemetry is on and why, as far as this program knows without the tool.

use tool_telemetry::Reason;
use tool_telemetry::command::SpoolInspector;
use tool_telemetry::env::tool_variable;
use tool_telemetry_definition::DataPoints;

use crate::tool::ToolArguments;

#[derive(Debug)]
pub(super) struct Status {
    pub(super) is_on: bool,
    /// A sentence.
    pub(super) reason: String,
    pub(super) notes: Vec<String>,
    /// What the user may want, for example `To turn it off:`.
    pub(super) wish: &'static str,
    /// How the user gets it.
    pub(super) remedy: String,
}

impl Status {
    pub(super) fn new(
        tool: &ToolArguments,
        definition: Option<&DataPoints>,
        inspector: &SpoolInspector,
    ) -> Self {
        let decision = inspector.decision();
        let (wish, remedy) = match (decision.is_on, &decision.reason) {
            (true, _) => ("To turn it off:", opt_outs(tool)),
            (false, Reason::NoticeNotShown) => ("To keep it off:", opt_outs(tool)),
            (false, _) => ("To turn it on:", format!("{}.", inspector.remedy())),
        };
        Self {
            is_on: decision.is_on,
            reason: explain(&decision.reason, decision.is_on, inspector),
            notes: notes(decision.is_on, definition, inspector),
            wish,
            remedy,
        }
    }
}

fn explain(reason: &Reason, is_on: bool, inspector: &SpoolInspector) -> String {
    let choice_file = || inspector.choice_file().map(|path| path.display().to_string()).unwrap_or_default();
    match reason {
        Reason::UserChoice if is_on => format!("You turned it on. Your choice is in {}.", choice_file()),
        Reason::UserChoice => format!("You turned it off. Your choice is in {}.", choice_file()),
        Reason::ChoiceUnreadable => format!("The file with your choice cannot be read: {}.", choice_file()),
        Reason::Variable(name) => format!("The environment variable {name} is set in this terminal."),
        Reason::Default => {
            "Neither you nor an administrator has made a choice, so the tool's default applies. For most tools it is on."
                .to_owned()
        }
        Reason::NoticeNotShown => {
            "The tool has not shown you its telemetry notice yet. Nothing is recorded before that.".to_owned()
        }
        other => format!("Reason: {other}."),
    }
}

fn notes(is_on: bool, definition: Option<&DataPoints>, inspector: &SpoolInspector) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(version) = inspector.notice().filter(|_| is_on) {
        notes.push(format!(
            "The last telemetry notice that you saw was that of version {version}. A receiver that no notice has named \
             gets nothing."
        ));
    }
    let status = match definition.and_then(|definition| definition.telemetry_command) {
        Some(command) => format!(": run `{command} status`."),
        None => ".".to_owned(),
    };
    notes.push(format!(
        "This is based on the files on this machine and on the variables of this terminal. The tool itself may know \
         more{status}"
    ));
    notes
}

/// Every way to opt out that works without the tool's own telemetry command.
fn opt_outs(tool: &ToolArguments) -> String {
    let by_author = tool.opt_out_vars.iter().map(|name| format!("`{name}=1`"));
    let by_library = [format!("`{}=off`", tool_variable(&tool.name)), "`DO_NOT_TRACK=1`".to_owned()];
    let variables: Vec<String> = by_author.chain(by_library).collect();
    format!("`tool-telemetry off {}`, or set the variable {}", tool.name, variables.join(" or "))
}

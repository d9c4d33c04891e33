//! Whether telemetry is on, and what decided it, as far as that is known without asking the tool.

use tool_telemetry::Reason;
use tool_telemetry::command::SpoolInspector;
use tool_telemetry::env::tool_variable;

/// The top of the page.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) is_on: bool,
    /// What decided it, as a sentence.
    pub(super) why: String,
    /// What to know besides.
    pub(super) notes: Vec<String>,
    /// What a person can do about it: what for, and how.
    pub(super) aim: &'static str,
    pub(super) how: String,
}

impl Status {
    pub(super) fn of(
        tool: &str,
        own_command: Option<&str>,
        opt_out_vars: &[String],
        look: &SpoolInspector,
    ) -> Self {
        let decision = look.decision();
        let choice_file = look.choice_file().map(|path| path.display().to_string()).unwrap_or_default();
        let why = match &decision.reason {
            Reason::UserChoice if decision.is_on => format!("You turned it on. Your choice is in {choice_file}."),
            Reason::UserChoice => format!("You turned it off. Your choice is in {choice_file}."),
            Reason::ChoiceUnreadable => format!("The file with your choice cannot be read: {choice_file}."),
            Reason::Variable(name) => format!("The environment variable {name} is set in this terminal."),
            Reason::Default => "Neither you nor an administrator decided, so the tool's own default holds; for most tools that is on.".to_owned(),
            Reason::NoticeNotShown => {
                "The notice of what is collected has not been shown to you yet, and nothing is recorded before that."
                    .to_owned()
            }
            other => format!("What decided it: {other}."),
        };
        let mut notes = Vec::new();
        if let Some(version) = look.notice().filter(|_| decision.is_on) {
            notes.push(format!(
                "The notice of what is collected was shown to you, up to that of version {version}. A receiver that no \
                 notice has named gets nothing."
            ));
        }
        let asked = own_command.map_or(".".to_owned(), |typed| format!(": `{typed} status`."));
        notes.push(format!(
            "This is what the files on this machine and the variables of this terminal say. The tool itself may know \
             more{asked}"
        ));
        let is_coming = decision.reason == Reason::NoticeNotShown;
        let (aim, how) = if decision.is_on || is_coming {
            let aim = if decision.is_on { "To turn it off:" } else { "So that it stays off:" };
            (aim, ways_off(tool, opt_out_vars))
        } else {
            ("To have it on:", format!("{}.", look.remedy()))
        };
        Self { is_on: decision.is_on, why, notes, aim, how }
    }
}

/// This program is there, and the variables always are; of the tool's own command this page need not know.
fn ways_off(tool: &str, opt_out_vars: &[String]) -> String {
    let by_author = opt_out_vars.iter().map(|name| format!("`{name}=1`"));
    let variables: Vec<_> =
        by_author.chain([format!("`{}=off`", tool_variable(tool)), "`DO_NOT_TRACK=1`".to_owned()]).collect();
    format!("`tool-telemetry off {tool}`, or set the variable {}", variables.join(" or "))
}

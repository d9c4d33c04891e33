//! Whether telemetry is on, and what decided it, as far as that is known without asking the tool.

use tool_telemetry::Reason;
use tool_telemetry::command::Look;
use tool_telemetry::env::tool_variable;

/// The top of the page.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) is_on: bool,
    /// What decided it, as a sentence.
    pub(super) why: String,
    /// What to know besides.
    pub(super) notes: Vec<String>,
    /// What a person types to turn it off, or on again.
    pub(super) commands: Vec<String>,
}

impl Status {
    pub(super) fn of(tool: &str, opt_out_vars: &[&str], look: &Look) -> Self {
        let decision = look.decision();
        let choice_file = look.choice_file().map(|path| path.display().to_string()).unwrap_or_default();
        let why = match &decision.reason {
            Reason::Person if decision.on => format!("You turned it on. Your choice is in {choice_file}."),
            Reason::Person => format!("You turned it off. Your choice is in {choice_file}."),
            Reason::ChoiceUnreadable => format!("The file with your choice cannot be read: {choice_file}."),
            Reason::Variable(name) => format!("The environment variable {name} is set in this terminal."),
            Reason::Default => "Neither you nor an administrator decided, so the tool's own default holds; for most tools that is on.".to_owned(),
            other => format!("What decided it: {other}."),
        };
        let mut notes = Vec::new();
        if decision.on {
            notes.push(match look.notice() {
                Some(version) => format!("The notice of what is collected was shown to you, up to that of version {version}."),
                None if decision.reason == Reason::Default => {
                    "The notice of what is collected has not been shown to you yet. Nothing is recorded before that."
                        .to_owned()
                }
                None => "Whether the notice of what is collected was shown to you is not known.".to_owned(),
            });
        }
        notes.push(format!(
            "This is what the files on this machine and the variables of this terminal say. The tool itself may know \
             more: `{tool} telemetry status`."
        ));
        let commands = if decision.on {
            let by_author = opt_out_vars.iter().map(|name| format!("{name}=1"));
            [format!("{tool} telemetry off")]
                .into_iter()
                .chain(by_author)
                .chain([format!("{}=off", tool_variable(tool)), "DO_NOT_TRACK=1".to_owned()])
                .collect()
        } else {
            vec![format!("{tool} telemetry on")]
        };
        Self { is_on: decision.on, why, notes, commands }
    }
}

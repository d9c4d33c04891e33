//! May we collect, and why.

pub(crate) mod choice;
mod decide;
pub(crate) mod destination;
pub(crate) mod notice;
pub(crate) mod policy;
pub(crate) mod preflight;

pub(crate) use decide::{ConsentInputs, decide};

use std::fmt;

/// Whether telemetry may collect, and what decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Whether it may.
    pub is_on: bool,
    /// What decided it.
    pub reason: Reason,
}

/// What decided whether telemetry is on. New reasons may come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Built with `TOOL_TELEMETRY_BUILD=off`.
    Build,
    /// The environment variable of this name.
    Variable(String),
    /// The machine administrator's policy file.
    Policy,
    /// The policy file cannot be read or is not valid.
    PolicyUnreadable,
    /// The person said `telemetry on` or `telemetry off`.
    UserChoice,
    /// The file with the person's choice cannot be read or is not valid.
    ChoiceUnreadable,
    /// The tool asks first, and the person has not said `telemetry on`.
    OptIn,
    /// The tool's default, which is on.
    Default,
    /// The first-run notice has not been shown to this person.
    NoticeNotShown,
    /// Nobody named a place to send to.
    NoDestination,
    /// The endpoint that was named cannot be used.
    BadDestination,
    /// It runs in CI, where nothing goes to the maker unless somebody chose it.
    Ci,
    /// There is no home folder, or it is not this user's, or the process has foreign rights.
    NoHome,
    /// This process is an uploader or was started by one.
    Uploader,
    /// The author's own set-up is faulty; the text says what.
    InvalidSetup(String),
}

impl Reason {
    /// The stable name, as in `status --json`.
    pub fn name(&self) -> &'static str {
        match self {
            Reason::Build => "build",
            Reason::Variable(_) => "variable",
            Reason::Policy => "policy",
            Reason::PolicyUnreadable => "policy_unreadable",
            Reason::UserChoice => "person",
            Reason::ChoiceUnreadable => "choice_unreadable",
            Reason::OptIn => "opt_in",
            Reason::Default => "default",
            Reason::NoticeNotShown => "notice_not_shown",
            Reason::NoDestination => "no_destination",
            Reason::BadDestination => "bad_destination",
            Reason::Ci => "ci",
            Reason::NoHome => "no_home",
            Reason::Uploader => "uploader",
            Reason::InvalidSetup(_) => "set_up",
        }
    }

    /// What whoever wants telemetry on can do about it.
    pub(crate) fn remedy(&self, settings: &crate::model::settings::Settings) -> String {
        let command = |word| settings.typed(word).map(|typed| format!("`{typed}`"));
        // Where the tool has no command for it, what is always right: a file.
        let choice_file = || {
            let paths =
                crate::consent::preflight::UserPaths::find(settings.name, crate::env::Environment::process());
            paths.map_or_else(String::new, |paths| paths.choice_file.display().to_string())
        };
        let policy_file = || crate::platform::policy_file().display().to_string();
        match self {
            Reason::Variable(name) => format!("unset {name} to have it on"),
            Reason::Policy => "whoever administers this machine decides that".to_owned(),
            Reason::PolicyUnreadable => match command("status") {
                Some(status) => format!("{status} names the file and the line"),
                None => format!("whoever administers this machine must put {} right", policy_file()),
            },
            Reason::ChoiceUnreadable => match (command("on"), command("off")) {
                (Some(on), Some(off)) => format!("{on} or {off} writes it anew"),
                _ => format!("delete {} to choose anew", choice_file()),
            },
            Reason::NoDestination => format!("set {}ENDPOINT", crate::env::OTEL_EXPORTER_OTLP),
            Reason::BadDestination => match command("status") {
                Some(status) => format!("{status} says what is wrong with it"),
                None => format!(
                    "put {}ENDPOINT right, or the endpoint in {}",
                    crate::env::OTEL_EXPORTER_OTLP,
                    policy_file()
                ),
            },
            Reason::NoHome => "set HOME to a folder of your own".to_owned(),
            // Only the tool's own command can say that all of what it collects is wanted.
            Reason::NoticeNotShown if settings.is_companion || settings.own_command().is_none() => {
                format!("a command of {} in a terminal shows it", settings.name)
            }
            Reason::UserChoice | Reason::OptIn | Reason::Default | Reason::NoticeNotShown | Reason::Ci => {
                match command("on") {
                    Some(on) => format!("{on} turns it on"),
                    None => format!("write `telemetry = \"on\"` into {} to turn it on", choice_file()),
                }
            }
            Reason::Build => "only another build of the tool has it".to_owned(),
            Reason::Uploader => "run the command by itself".to_owned(),
            Reason::InvalidSetup(_) => "tell the makers of the tool".to_owned(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Build => f.write_str("turned off by whoever built this"),
            Reason::Variable(name) => write!(f, "the environment variable {name}"),
            Reason::Policy => f.write_str("the machine's policy"),
            Reason::PolicyUnreadable => f.write_str("the machine's policy file cannot be read or understood"),
            Reason::UserChoice => f.write_str("your own choice"),
            Reason::ChoiceUnreadable => f.write_str("the file with your choice cannot be read"),
            Reason::OptIn => f.write_str("it asks first, and nobody turned it on"),
            Reason::Default => f.write_str("the default"),
            Reason::NoticeNotShown => f.write_str("the notice has not been shown yet"),
            Reason::NoDestination => f.write_str("there is nowhere to send to"),
            Reason::BadDestination => f.write_str("the endpoint that was set cannot be used"),
            Reason::Ci => f.write_str("this is CI"),
            Reason::NoHome => f.write_str("there is no home folder that belongs to this user"),
            Reason::Uploader => f.write_str("this process is the uploader"),
            Reason::InvalidSetup(what) => write!(f, "the tool's own set-up is faulty: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::own_command::OwnCommand;
    use crate::model::settings::Settings;

    const REASONS: [Reason; 13] = [
        Reason::Build,
        Reason::Policy,
        Reason::PolicyUnreadable,
        Reason::UserChoice,
        Reason::ChoiceUnreadable,
        Reason::OptIn,
        Reason::Default,
        Reason::NoticeNotShown,
        Reason::NoDestination,
        Reason::BadDestination,
        Reason::Ci,
        Reason::NoHome,
        Reason::Uploader,
    ];

    #[test]
    fn a_remedy_names_no_command_that_the_tool_has_not() {
        for typed in [None, Some("frob telemetry"), Some("cargo frob telemetry"), Some("frob --telemetry")] {
            let mut tool = Settings::new("frob", "1.0.0");
            if let Some(typed) = typed {
                tool.own_command = Some(OwnCommand(typed));
            }
            for reason in REASONS {
                let remedy = reason.remedy(&tool);
                for code in remedy.split('`').skip(1).step_by(2).filter(|code| !code.contains(" = ")) {
                    let is_there = typed.is_some_and(|typed| code.starts_with(&format!("{typed} ")));
                    assert!(is_there, "{typed:?}, {reason:?}: {remedy}");
                }
                assert!(!remedy.is_empty() && !remedy.contains("  "), "{reason:?}: {remedy:?}");
            }
        }
    }
}

//! A decision about telemetry, and its reason.

use std::fmt;

use crate::consent::user_paths::UserPaths;
use crate::env::{self, Environment};
use crate::model::settings::Settings;
use crate::platform;

/// Whether telemetry may collect, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Whether telemetry is on.
    pub is_on: bool,
    /// The reason.
    pub reason: Reason,
}

/// Why telemetry is on or off. Later versions may add reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The tool was built with `TOOL_TELEMETRY_BUILD=off`.
    Build,
    /// The environment variable of this name is set.
    Variable(String),
    /// The machine's policy file turns telemetry off.
    Policy,
    /// The policy file cannot be read or is not valid.
    PolicyUnreadable,
    /// The user ran `telemetry on` or `telemetry off`.
    UserChoice,
    /// The file with the user's choice cannot be read or is not valid.
    ChoiceUnreadable,
    /// The tool requires `telemetry on`, and the user has not run it.
    OptIn,
    /// The tool's default, which is on.
    Default,
    /// The user has not seen the first-run notice.
    NoticeNotShown,
    /// No destination is set.
    NoDestination,
    /// The endpoint that is set cannot be used.
    BadDestination,
    /// The process runs in CI, where the author's endpoint gets nothing by default.
    Ci,
    /// The home directory is missing or belongs to another user, or the process has another user's rights.
    NoHome,
    /// This process is an uploader, or an uploader started it.
    Uploader,
    /// The author's settings are not valid, for the reason in the text.
    InvalidSetup(String),
}

impl Reason {
    pub(super) fn off(self) -> Decision {
        Decision { is_on: false, reason: self }
    }

    /// The stable name in `status --json`.
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

    /// What to do to turn telemetry on.
    pub(crate) fn remedy(&self, settings: &Settings) -> String {
        let command = |word| settings.command_line(word).map(|typed| format!("`{typed}`"));
        // A file always works, also where the tool has no telemetry command.
        let choice_file = || {
            let paths = UserPaths::find(settings.name, Environment::process());
            paths.map_or_else(String::new, |paths| paths.choice_file.display().to_string())
        };
        let policy_file = || platform::policy_file().display().to_string();
        match self {
            Reason::Variable(name) => format!("unset {name} to turn it on"),
            Reason::Policy => "only this machine's administrator can change that".to_owned(),
            Reason::PolicyUnreadable => match command("status") {
                Some(status) => format!("{status} names the file and the line"),
                None => format!("this machine's administrator must correct {}", policy_file()),
            },
            Reason::ChoiceUnreadable => match (command("on"), command("off")) {
                (Some(on), Some(off)) => format!("{on} or {off} writes it again"),
                _ => format!("delete {} to choose again", choice_file()),
            },
            Reason::NoDestination => format!("set {}ENDPOINT", env::OTEL_EXPORTER_OTLP),
            Reason::BadDestination => match command("status") {
                Some(status) => format!("{status} explains what is wrong"),
                None => {
                    format!(
                        "correct {}ENDPOINT, or the endpoint in {}",
                        env::OTEL_EXPORTER_OTLP,
                        policy_file()
                    )
                }
            },
            Reason::NoHome => "set HOME to a directory that you own".to_owned(),
            // Without the notice, only the tool's own command can show what the user agrees to.
            Reason::NoticeNotShown if settings.is_companion || settings.own_command().is_none() => {
                format!("run {} in a terminal to see it", settings.name)
            }
            Reason::UserChoice | Reason::OptIn | Reason::Default | Reason::NoticeNotShown | Reason::Ci => {
                match command("on") {
                    Some(on) => format!("{on} turns it on"),
                    None => format!("write `telemetry = \"on\"` into {} to turn it on", choice_file()),
                }
            }
            Reason::Build => "use a build of the tool that has telemetry".to_owned(),
            Reason::Uploader => "run the command outside the uploader".to_owned(),
            Reason::InvalidSetup(_) => "report this to the tool's author".to_owned(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Build => "this build has telemetry turned off",
            Reason::Variable(name) => return write!(f, "the environment variable {name}"),
            Reason::Policy => "the machine's policy",
            Reason::PolicyUnreadable => "the machine's policy file cannot be read or is not valid",
            Reason::UserChoice => "your choice",
            Reason::ChoiceUnreadable => "the file with your choice cannot be read",
            Reason::OptIn => "it stays off until you turn it on",
            Reason::Default => "the default",
            Reason::NoticeNotShown => "the notice has not been shown yet",
            Reason::NoDestination => "no destination is set",
            Reason::BadDestination => "the endpoint that is set cannot be used",
            Reason::Ci => "this process runs in CI",
            Reason::NoHome => "there is no home directory that belongs to this user",
            Reason::Uploader => "this process is the uploader",
            Reason::InvalidSetup(what) => {
                return write!(f, "the tool's telemetry setup is not valid: {what}");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::own_command::OwnCommand;

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
    fn a_remedy_names_only_commands_that_the_tool_has() {
        for typed in [None, Some("frob telemetry"), Some("cargo frob telemetry"), Some("frob --telemetry")] {
            let tool = Settings { own_command: typed.map(OwnCommand), ..Settings::new("frob", "1.0.0") };
            for reason in REASONS {
                let remedy = reason.remedy(&tool);
                for code in remedy.split('`').skip(1).step_by(2).filter(|code| !code.contains(" = ")) {
                    let is_known = typed.is_some_and(|typed| code.starts_with(&format!("{typed} ")));
                    assert!(is_known, "{typed:?}, {reason:?}: {remedy}");
                }
                assert!(!remedy.is_empty() && !remedy.contains("  "), "{reason:?}: {remedy:?}");
            }
        }
    }
}

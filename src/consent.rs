//! May we collect, and why.

#[cfg(feature = "spool")]
mod decide;
#[cfg(feature = "spool")]
pub(crate) use decide::{Facts, PolicySays, decide};

use std::fmt;

/// Whether telemetry may collect, and what decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub on: bool,
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
    Person,
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
    SetUp(String),
    /// The crate was built without the feature `spool`.
    NotCompiled,
}

impl Reason {
    /// The stable name, as in `status --json`.
    pub fn name(&self) -> &'static str {
        match self {
            Reason::Build => "build",
            Reason::Variable(_) => "variable",
            Reason::Policy => "policy",
            Reason::PolicyUnreadable => "policy_unreadable",
            Reason::Person => "person",
            Reason::ChoiceUnreadable => "choice_unreadable",
            Reason::OptIn => "opt_in",
            Reason::Default => "default",
            Reason::NoticeNotShown => "notice_not_shown",
            Reason::NoDestination => "no_destination",
            Reason::BadDestination => "bad_destination",
            Reason::Ci => "ci",
            Reason::NoHome => "no_home",
            Reason::Uploader => "uploader",
            Reason::SetUp(_) => "set_up",
            Reason::NotCompiled => "not_compiled",
        }
    }

    /// What whoever wants telemetry on can do about it.
    #[cfg(feature = "spool")]
    pub(crate) fn remedy(&self, tool: &str) -> String {
        match self {
            Reason::Variable(name) => format!("unset {name} to have it on"),
            Reason::Policy => "whoever administers this machine decides that".to_owned(),
            Reason::PolicyUnreadable => format!("`{tool} telemetry status` names the file and the line"),
            Reason::ChoiceUnreadable => format!("`{tool} telemetry on` or `off` writes it anew"),
            Reason::NoDestination => format!("set {}ENDPOINT", crate::env::OTEL_EXPORTER_OTLP),
            Reason::BadDestination => format!("`{tool} telemetry status` says what is wrong with it"),
            Reason::NoHome => "set HOME to a folder of your own".to_owned(),
            Reason::Person | Reason::OptIn | Reason::Default | Reason::NoticeNotShown | Reason::Ci => {
                format!("`{tool} telemetry on` turns it on")
            }
            Reason::Build | Reason::NotCompiled => "only another build of the tool has it".to_owned(),
            Reason::Uploader => "run the command by itself".to_owned(),
            Reason::SetUp(_) => "tell the makers of the tool".to_owned(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Build => f.write_str("turned off by whoever built this"),
            Reason::Variable(name) => write!(f, "the environment variable {name}"),
            Reason::Policy => f.write_str("the machine's policy"),
            Reason::PolicyUnreadable => f.write_str("the machine's policy file cannot be read"),
            Reason::Person => f.write_str("your own choice"),
            Reason::ChoiceUnreadable => f.write_str("the file with your choice cannot be read"),
            Reason::OptIn => f.write_str("it asks first, and nobody turned it on"),
            Reason::Default => f.write_str("the default"),
            Reason::NoticeNotShown => f.write_str("the notice has not been shown yet"),
            Reason::NoDestination => f.write_str("there is nowhere to send to"),
            Reason::BadDestination => f.write_str("the endpoint that was set cannot be used"),
            Reason::Ci => f.write_str("this is CI"),
            Reason::NoHome => f.write_str("there is no home folder that belongs to this user"),
            Reason::Uploader => f.write_str("this process is the uploader"),
            Reason::SetUp(what) => write!(f, "the tool's own set-up is faulty: {what}"),
            Reason::NotCompiled => f.write_str("the tool was built without telemetry"),
        }
    }
}

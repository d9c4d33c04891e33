//! The decision: a pure function of what was found out.

use super::{Decision, Reason};
use crate::choice::{Choice, ChoiceRead};

/// What decides, in this order. Each part can turn telemetry off; none turns on what one before it turned off.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The tool was built with `TOOL_TELEMETRY_BUILD=off`.
    pub(crate) built_off: bool,
    /// The variable that opted out.
    pub(crate) variable: Option<String>,
    pub(crate) policy: PolicySays,
    pub(crate) choice: ChoiceRead,
    /// The author chose that nothing happens before `telemetry on`.
    pub(crate) opt_in: bool,
}

/// What the machine's policy says about collecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolicySays {
    Nothing,
    Off,
    Unreadable,
}

/// Decides.
pub(crate) fn decide(facts: &Facts) -> Decision {
    let off = |reason| Decision { on: false, reason };
    if facts.built_off {
        return off(Reason::Build);
    }
    if let Some(variable) = &facts.variable {
        return off(Reason::Variable(variable.clone()));
    }
    match facts.policy {
        PolicySays::Off => return off(Reason::Policy),
        PolicySays::Unreadable => return off(Reason::PolicyUnreadable),
        PolicySays::Nothing => {}
    }
    let choice = match facts.choice {
        ChoiceRead::Unreadable => return off(Reason::ChoiceUnreadable),
        ChoiceRead::Missing => Choice::default(),
        ChoiceRead::Read(choice) => choice,
    };
    match choice.telemetry {
        Some(on) => Decision { on, reason: Reason::Person },
        None if facts.opt_in => off(Reason::OptIn),
        None => Decision { on: true, reason: Reason::Default },
    }
}

//! The decision: a pure function of what was found out.

use super::{Decision, Reason};
use crate::consent::choice::ChoiceRead;

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
    let said = match &facts.choice {
        ChoiceRead::Unreadable => return off(Reason::ChoiceUnreadable),
        ChoiceRead::Missing => None,
        ChoiceRead::Read(choice) => choice.telemetry,
    };
    match said {
        Some(on) => Decision { on, reason: Reason::Person },
        None if facts.opt_in => off(Reason::OptIn),
        None => Decision { on: true, reason: Reason::Default },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::choice::{Choice, Notice};
    use crate::model::data_points::Version;

    const ON: ChoiceRead = said(true);
    const OFF: ChoiceRead = said(false);

    const fn said(on: bool) -> ChoiceRead {
        ChoiceRead::Read(Choice { telemetry: Some(on), notices: Vec::new(), printed: None })
    }

    /// The columns: policy, choice, opt-in. Then what comes out without a variable that opts out: `on` or `off`, and
    /// the reason. With one it is off because of that variable, whatever stands in the other columns; and in a build
    /// that is off it is off because of that. A policy that names an endpoint or narrows the data points says nothing
    /// here.
    #[rustfmt::skip]
    const TABLE: [(PolicySays, ChoiceRead, bool, bool, Reason); 24] = [
        (PolicySays::Nothing,    ChoiceRead::Missing,    false, true,  Reason::Default),
        (PolicySays::Nothing,    ChoiceRead::Missing,    true,  false, Reason::OptIn),
        (PolicySays::Nothing,    ON,                     false, true,  Reason::Person),
        (PolicySays::Nothing,    ON,                     true,  true,  Reason::Person),
        (PolicySays::Nothing,    OFF,                    false, false, Reason::Person),
        (PolicySays::Nothing,    OFF,                    true,  false, Reason::Person),
        (PolicySays::Nothing,    ChoiceRead::Unreadable, false, false, Reason::ChoiceUnreadable),
        (PolicySays::Nothing,    ChoiceRead::Unreadable, true,  false, Reason::ChoiceUnreadable),
        (PolicySays::Off,        ChoiceRead::Missing,    false, false, Reason::Policy),
        (PolicySays::Off,        ChoiceRead::Missing,    true,  false, Reason::Policy),
        (PolicySays::Off,        ON,                     false, false, Reason::Policy),
        (PolicySays::Off,        ON,                     true,  false, Reason::Policy),
        (PolicySays::Off,        OFF,                    false, false, Reason::Policy),
        (PolicySays::Off,        OFF,                    true,  false, Reason::Policy),
        (PolicySays::Off,        ChoiceRead::Unreadable, false, false, Reason::Policy),
        (PolicySays::Off,        ChoiceRead::Unreadable, true,  false, Reason::Policy),
        (PolicySays::Unreadable, ChoiceRead::Missing,    false, false, Reason::PolicyUnreadable),
        (PolicySays::Unreadable, ChoiceRead::Missing,    true,  false, Reason::PolicyUnreadable),
        (PolicySays::Unreadable, ON,                     false, false, Reason::PolicyUnreadable),
        (PolicySays::Unreadable, ON,                     true,  false, Reason::PolicyUnreadable),
        (PolicySays::Unreadable, OFF,                    false, false, Reason::PolicyUnreadable),
        (PolicySays::Unreadable, OFF,                    true,  false, Reason::PolicyUnreadable),
        (PolicySays::Unreadable, ChoiceRead::Unreadable, false, false, Reason::PolicyUnreadable),
        (PolicySays::Unreadable, ChoiceRead::Unreadable, true,  false, Reason::PolicyUnreadable),
    ];

    #[test]
    fn every_combination_is_decided_as_written_here() {
        for (policy, choice, opt_in, on, reason) in TABLE {
            let facts = Facts { built_off: false, variable: None, policy, choice, opt_in };
            assert_eq!(decide(&facts), Decision { on, reason }, "{facts:?}");

            let facts = Facts { variable: Some("FROB_OFF".to_owned()), ..facts };
            let by_variable = Decision { on: false, reason: Reason::Variable("FROB_OFF".to_owned()) };
            assert_eq!(decide(&facts), by_variable, "{facts:?}");

            for variable in [None, Some("FROB_OFF".to_owned())] {
                let facts = Facts { built_off: true, variable, ..facts.clone() };
                assert_eq!(decide(&facts), Decision { on: false, reason: Reason::Build }, "{facts:?}");
            }
        }
    }

    #[test]
    fn a_notice_that_was_seen_is_no_choice() {
        let notice = Notice {
            destination: "operator+https-collector.example-443".to_owned(),
            version: Version::parse("1.0.0").expect("a version"),
        };
        let seen = Choice { telemetry: None, notices: vec![notice], printed: Some(1) };
        for (opt_in, on, reason) in [(false, true, Reason::Default), (true, false, Reason::OptIn)] {
            let facts = Facts {
                built_off: false,
                variable: None,
                policy: PolicySays::Nothing,
                choice: ChoiceRead::Read(seen.clone()),
                opt_in,
            };
            assert_eq!(decide(&facts), Decision { on, reason });
        }
    }
}

//! The decision: a pure function of what was found out.

use super::{Decision, Reason};
use crate::consent::choice::ChoiceFile;

/// What decides, in this order. Each part can turn telemetry off; none turns on what one before it turned off.
#[derive(Debug, Clone)]
pub(crate) struct ConsentInputs {
    /// The tool was built with `TOOL_TELEMETRY_BUILD=off`.
    pub(crate) built_off: bool,
    /// The variable that opted out.
    pub(crate) variable: Option<String>,
    /// Why the machine's policy turns telemetry off.
    pub(crate) policy: Option<Reason>,
    pub(crate) choice: ChoiceFile,
    /// The author chose that nothing happens before `telemetry on`.
    pub(crate) requires_opt_in: bool,
}

/// Decides.
pub(crate) fn decide(facts: &ConsentInputs) -> Decision {
    let off = |reason| Decision { is_on: false, reason };
    if facts.built_off {
        return off(Reason::Build);
    }
    if let Some(variable) = &facts.variable {
        return off(Reason::Variable(variable.clone()));
    }
    if let Some(reason) = &facts.policy {
        return off(reason.clone());
    }
    let said = match &facts.choice {
        ChoiceFile::Invalid => return off(Reason::ChoiceUnreadable),
        ChoiceFile::Missing => None,
        ChoiceFile::Valid(choice) => choice.telemetry,
    };
    match said {
        Some(on) => Decision { is_on: on, reason: Reason::UserChoice },
        None if facts.requires_opt_in => off(Reason::OptIn),
        None => Decision { is_on: true, reason: Reason::Default },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::choice::{Choice, Notice};
    use crate::model::data_points::Version;

    const NO_POLICY: Option<Reason> = None;
    const POLICY_OFF: Option<Reason> = Some(Reason::Policy);
    const BAD_POLICY: Option<Reason> = Some(Reason::PolicyUnreadable);
    const ON: ChoiceFile = said(true);
    const OFF: ChoiceFile = said(false);

    const fn said(on: bool) -> ChoiceFile {
        ChoiceFile::Valid(Choice { telemetry: Some(on), notices: Vec::new(), printed: None })
    }

    /// The columns: policy, choice, opt-in. Then what comes out without a variable that opts out: `on` or `off`, and
    /// the reason. With one it is off because of that variable, whatever stands in the other columns; and in a build
    /// that is off it is off because of that. A policy that names an endpoint or narrows the data points says nothing
    /// here.
    #[rustfmt::skip]
    const TABLE: [(Option<Reason>, ChoiceFile, bool, bool, Reason); 24] = [
        (NO_POLICY,    ChoiceFile::Missing,    false, true,  Reason::Default),
        (NO_POLICY,    ChoiceFile::Missing,    true,  false, Reason::OptIn),
        (NO_POLICY,    ON,                     false, true,  Reason::UserChoice),
        (NO_POLICY,    ON,                     true,  true,  Reason::UserChoice),
        (NO_POLICY,    OFF,                    false, false, Reason::UserChoice),
        (NO_POLICY,    OFF,                    true,  false, Reason::UserChoice),
        (NO_POLICY,    ChoiceFile::Invalid, false, false, Reason::ChoiceUnreadable),
        (NO_POLICY,    ChoiceFile::Invalid, true,  false, Reason::ChoiceUnreadable),
        (POLICY_OFF,        ChoiceFile::Missing,    false, false, Reason::Policy),
        (POLICY_OFF,        ChoiceFile::Missing,    true,  false, Reason::Policy),
        (POLICY_OFF,        ON,                     false, false, Reason::Policy),
        (POLICY_OFF,        ON,                     true,  false, Reason::Policy),
        (POLICY_OFF,        OFF,                    false, false, Reason::Policy),
        (POLICY_OFF,        OFF,                    true,  false, Reason::Policy),
        (POLICY_OFF,        ChoiceFile::Invalid, false, false, Reason::Policy),
        (POLICY_OFF,        ChoiceFile::Invalid, true,  false, Reason::Policy),
        (BAD_POLICY, ChoiceFile::Missing,    false, false, Reason::PolicyUnreadable),
        (BAD_POLICY, ChoiceFile::Missing,    true,  false, Reason::PolicyUnreadable),
        (BAD_POLICY, ON,                     false, false, Reason::PolicyUnreadable),
        (BAD_POLICY, ON,                     true,  false, Reason::PolicyUnreadable),
        (BAD_POLICY, OFF,                    false, false, Reason::PolicyUnreadable),
        (BAD_POLICY, OFF,                    true,  false, Reason::PolicyUnreadable),
        (BAD_POLICY, ChoiceFile::Invalid, false, false, Reason::PolicyUnreadable),
        (BAD_POLICY, ChoiceFile::Invalid, true,  false, Reason::PolicyUnreadable),
    ];

    #[test]
    fn every_combination_is_decided_as_written_here() {
        for (policy, choice, requires_opt_in, on, reason) in TABLE {
            let facts = ConsentInputs { built_off: false, variable: None, policy, choice, requires_opt_in };
            assert_eq!(decide(&facts), Decision { is_on: on, reason }, "{facts:?}");

            let facts = ConsentInputs { variable: Some("FROB_OFF".to_owned()), ..facts };
            let by_variable = Decision { is_on: false, reason: Reason::Variable("FROB_OFF".to_owned()) };
            assert_eq!(decide(&facts), by_variable, "{facts:?}");

            for variable in [None, Some("FROB_OFF".to_owned())] {
                let facts = ConsentInputs { built_off: true, variable, ..facts.clone() };
                assert_eq!(decide(&facts), Decision { is_on: false, reason: Reason::Build }, "{facts:?}");
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
        for (requires_opt_in, on, reason) in [(false, true, Reason::Default), (true, false, Reason::OptIn)] {
            let facts = ConsentInputs {
                built_off: false,
                variable: None,
                policy: NO_POLICY,
                choice: ChoiceFile::Valid(seen.clone()),
                requires_opt_in,
            };
            assert_eq!(decide(&facts), Decision { is_on: on, reason });
        }
    }
}

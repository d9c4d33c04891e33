//! The decision, as a pure function of what [`Preflight`](super::preflight::Preflight) read.

use super::choice::ChoiceFile;
use super::decision::{Decision, Reason};

/// What decides, in the order of the fields. Each can turn telemetry off, and none can undo an earlier one.
#[derive(Debug, Clone)]
pub(crate) struct ConsentInputs {
    /// The tool was built with `TOOL_TELEMETRY_BUILD=off`.
    pub(crate) is_built_off: bool,
    /// The variable that opts out.
    pub(crate) variable: Option<String>,
    /// Why the machine's policy turns telemetry off.
    pub(crate) policy: Option<Reason>,
    pub(crate) choice: ChoiceFile,
    /// The author requires `telemetry on` first.
    pub(crate) requires_opt_in: bool,
}

impl ConsentInputs {
    pub(crate) fn decide(&self) -> Decision {
        if self.is_built_off {
            return Reason::Build.off();
        }
        if let Some(variable) = &self.variable {
            return Reason::Variable(variable.clone()).off();
        }
        if let Some(reason) = &self.policy {
            return reason.clone().off();
        }
        let choice = match &self.choice {
            ChoiceFile::Invalid => return Reason::ChoiceUnreadable.off(),
            ChoiceFile::Missing => None,
            ChoiceFile::Valid(choice) => choice.telemetry,
        };
        match choice {
            Some(is_on) => Decision { is_on, reason: Reason::UserChoice },
            None if self.requires_opt_in => Reason::OptIn.off(),
            None => Decision { is_on: true, reason: Reason::Default },
        }
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
    const ON: ChoiceFile = choice(true);
    const OFF: ChoiceFile = choice(false);

    const fn choice(on: bool) -> ChoiceFile {
        ChoiceFile::Valid(Choice { telemetry: Some(on), notices: Vec::new(), printed: None })
    }

    /// The columns are policy, choice, and opt-in, then the decision and its reason. A variable that opts out, and a
    /// build that is off, override all of them. A policy that only names an endpoint or narrows the data points counts
    /// as none here.
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
    fn every_combination_gives_the_decision_in_the_table() {
        for (policy, choice, requires_opt_in, on, reason) in TABLE {
            let inputs =
                ConsentInputs { is_built_off: false, variable: None, policy, choice, requires_opt_in };
            assert_eq!(inputs.decide(), Decision { is_on: on, reason }, "{inputs:?}");

            let inputs = ConsentInputs { variable: Some("FROB_OFF".to_owned()), ..inputs };
            let by_variable = Decision { is_on: false, reason: Reason::Variable("FROB_OFF".to_owned()) };
            assert_eq!(inputs.decide(), by_variable, "{inputs:?}");

            for variable in [None, Some("FROB_OFF".to_owned())] {
                let inputs = ConsentInputs { is_built_off: true, variable, ..inputs.clone() };
                assert_eq!(inputs.decide(), Decision { is_on: false, reason: Reason::Build }, "{inputs:?}");
            }
        }
    }

    #[test]
    fn seeing_a_notice_is_not_a_choice() {
        let notice = Notice {
            destination: "operator+https-collector.example-443".to_owned(),
            version: Version::parse("1.0.0").expect("a version"),
        };
        let seen = Choice { telemetry: None, notices: vec![notice], printed: Some(1) };
        for (requires_opt_in, on, reason) in [(false, true, Reason::Default), (true, false, Reason::OptIn)] {
            let inputs = ConsentInputs {
                is_built_off: false,
                variable: None,
                policy: NO_POLICY,
                choice: ChoiceFile::Valid(seen.clone()),
                requires_opt_in,
            };
            assert_eq!(inputs.decide(), Decision { is_on: on, reason });
        }
    }
}

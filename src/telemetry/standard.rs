//! The values of the ready-made data points. Each is looked up only if its data point applies to the run.

use std::io::IsTerminal as _;

use crate::env::Environment;
use crate::model::allowlist::Allowlist;
use crate::model::data_points::{Value, standard};
use crate::model::field_value::FieldValue;
use crate::platform::{ContainerSigns, is_container};

/// The values of those that apply to a run of this process.
pub(super) fn values(allowlist: &Allowlist, environment: Environment<'_>) -> Vec<(u8, Value)> {
    let data_points = allowlist.data_points;
    let keys = standard::STANDARD.into_iter().map(|(_, key)| key);
    keys.filter_map(|key| {
        let position = data_points.key_among(data_points.on_run, key)?;
        if !allowlist.has_data_point(position) {
            return None;
        }
        Some((position, value(key, environment)?.admit(&data_points.data_points[usize::from(position)])?))
    })
    .collect()
}

fn value(key: &str, environment: Environment<'_>) -> Option<FieldValue<'static>> {
    match key {
        standard::OS => Some(operating_system().into()),
        standard::ARCHITECTURE => Some(architecture().into()),
        standard::CI => Some(environment.is_ci().into()),
        standard::CONTAINER => {
            Some(is_container(&ContainerSigns::read(environment.is_in_container())).into())
        }
        standard::TERMINAL => Some(std::io::stdout().is_terminal().into()),
        standard::LIBC => libc().map(Into::into),
        standard::AGENT => Some(agent(environment).into()),
        // The exit code is known at the end.
        _ => None,
    }
}

/// The name in OpenTelemetry's semantic conventions.
fn operating_system() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "dragonfly" => "dragonflybsd",
        other => other,
    }
}

/// The name in OpenTelemetry's semantic conventions.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        "powerpc" => "ppc32",
        other => other,
    }
}

fn libc() -> Option<&'static str> {
    if cfg!(target_os = "android") {
        Some("bionic")
    } else if cfg!(all(windows, target_env = "gnu")) {
        Some("mingw")
    } else if cfg!(target_env = "gnu") {
        Some("glibc")
    } else if cfg!(target_env = "musl") {
        Some("musl")
    } else if cfg!(target_env = "uclibc") {
        Some("uclibc")
    } else if cfg!(target_env = "msvc") {
        Some("msvc")
    } else {
        None
    }
}

/// The variables that coding agents set for the commands that they run, as their documentation and the command-line tools
/// that look for them name them (November 2026). A variable that an editor also sets in its user's terminal is not here.
const AGENT_VARIABLES: [(&str, &str); 17] = [
    ("CLAUDECODE", "claude-code"),
    ("CLAUDE_CODE", "claude-code"),
    ("CODEX_SANDBOX", "codex"),
    ("CODEX_CI", "codex"),
    ("CODEX_THREAD_ID", "codex"),
    ("CURSOR_AGENT", "cursor"),
    ("GEMINI_CLI", "gemini-cli"),
    ("COPILOT_CLI", "copilot"),
    ("COPILOT_AGENT_SESSION_ID", "copilot"),
    ("OPENCODE", "opencode"),
    ("OPENCODE_CLIENT", "opencode"),
    ("GOOSE_TERMINAL", "goose"),
    ("CLINE_ACTIVE", "cline"),
    ("AUGMENT_AGENT", "augment"),
    ("QWEN_CODE", "qwen-code"),
    ("TRAE_AI_SHELL_ID", "trae"),
    ("ANTIGRAVITY_AGENT", "antigravity"),
];

/// The variables with which any agent may name itself, and names that differ from the list's. The text is only compared.
const NAMING_VARIABLES: [&str; 2] = ["AI_AGENT", "AGENT"];
const NAMED_AGENTS: [(&str, &str); 18] = [
    ("claude", "claude-code"),
    ("codex", "codex"),
    ("cursor", "cursor"),
    ("gemini", "gemini-cli"),
    ("copilot", "copilot"),
    ("github-copilot", "copilot"),
    ("opencode", "opencode"),
    ("amp", "amp"),
    ("goose", "goose"),
    ("cline", "cline"),
    ("augment", "augment"),
    ("qwen", "qwen-code"),
    ("trae", "trae"),
    ("kiro", "kiro"),
    ("devin", "devin"),
    ("antigravity", "antigravity"),
    ("pi", "pi"),
    ("none", "none"),
];

/// The coding agent that runs this process: a name of the closed list, `other`, or `none`.
fn agent(environment: Environment<'_>) -> &'static str {
    let is_set = |(name, _): &&(&str, &str)| environment.is_truthy(name);
    if let Some((_, agent)) = AGENT_VARIABLES.iter().find(is_set) {
        return agent;
    }
    let text = |name: &str| environment.text(name).filter(|_| environment.is_truthy(name));
    if let Some(named) = NAMING_VARIABLES.iter().find_map(|name| named_agent(&text(name)?)) {
        return named;
    }
    // `AGENT` is also used for other things.
    if text(NAMING_VARIABLES[0]).is_some() { crate::OTHER } else { "none" }
}

/// The agent in `claude-code`, `claude-code_2-1-232_agent`, or `devin@1`.
fn named_agent(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    let begins = |(name, _): &&(&str, &str)| {
        text.strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    };
    NAMED_AGENTS.iter().find(begins).map(|(_, agent)| *agent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::chooser::Chooser;
    use crate::model::data_points::DataPoints;

    static ALL: DataPoints = crate::data_points!("tests/data/standard.toml");

    fn agent_with(name: &str, text: &str) -> &'static str {
        agent(Environment::new(&|wanted| (wanted == name).then(|| text.into())))
    }

    #[test]
    fn an_agent_is_named_by_its_variable() {
        assert_eq!(agent(Environment::new(&|_| None)), "none");
        for (variable, name) in AGENT_VARIABLES {
            assert_eq!(agent_with(variable, "1"), name, "{variable}");
            assert_eq!(agent_with(variable, "0"), "none", "{variable}");
        }
    }

    #[test]
    fn what_an_agent_calls_itself_is_only_compared() {
        for (text, name) in [
            ("claude-code_2-1-232_agent", "claude-code"),
            ("Claude", "claude-code"),
            ("devin@1", "devin"),
            ("pi", "pi"),
            ("pilot-of-anna", "other"),
            ("anna's agent", "other"),
            ("0", "none"),
        ] {
            assert_eq!(agent_with("AI_AGENT", text), name, "{text}");
        }
        assert_eq!(agent_with("AGENT", "amp"), "amp");
        assert_eq!(agent_with("AGENT", "/run/ssh-agent"), "none");
    }

    /// A name outside of the list would be recorded as `other`.
    #[test]
    fn every_value_is_in_the_closed_list() {
        let admits = |key: &str, text: &str| {
            let data_point = ALL.data_points.iter().find(|data_point| data_point.key == key).expect(key);
            let admitted = FieldValue::from(text).admit(data_point);
            admitted.is_some_and(|value| value != Value::Other)
        };
        let names = AGENT_VARIABLES.into_iter().chain(NAMED_AGENTS).map(|(_, name)| name);
        names.for_each(|name| assert!(admits(standard::AGENT, name), "{name}"));
        assert!(admits(standard::OS, operating_system()));
        assert!(admits(standard::ARCHITECTURE, architecture()));
        assert!(libc().is_none_or(|libc| admits(standard::LIBC, libc)));
    }

    #[test]
    fn only_what_is_approved_is_looked_up() {
        let keys = |data_points: &'static DataPoints| -> Vec<&str> {
            let allowlist = Allowlist::for_sending(data_points, Chooser::Operator, None);
            let values = values(&allowlist, Environment::new(&|_| None));
            values.iter().map(|(position, _)| data_points.data_points[usize::from(*position)].key).collect()
        };
        let others = standard::STANDARD.into_iter().map(|(_, key)| key).skip(1);
        let expected: Vec<&str> = others.filter(|key| *key != standard::LIBC || libc().is_some()).collect();
        assert_eq!(keys(&ALL), expected);
        static NONE: DataPoints = crate::data_points!("tests/data/telemetry.toml");
        assert_eq!(keys(&NONE), [""; 0]);
    }
}

//! The author's settings: plain data that starts nothing.

use std::time::Duration;

use super::data_points::{DataPoints, Version, is_tool_name};
use super::own_command::OwnCommand;
use crate::env::Environment;

/// Whether runs in CI are sent to the author's own endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CiPolicy {
    /// Only an operator's destination receives them, unless the user ran `telemetry on` there.
    OperatorOnly,
    /// The author's endpoint also receives them.
    IncludeMaker,
}

/// The limits of one spool. A single run is limited to 1 MiB, about 2,300 spans with one or two data points each; further
/// spans are dropped and counted.
///
/// ```
/// let mut limits = tool_telemetry::Limits::default();
/// limits.runs = 100;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of all pending runs together. The default is 10 MiB.
    pub bytes: u64,
    /// The number of pending runs. The default is 1,000.
    pub runs: usize,
    /// How long a run may be pending. The default is 28 days.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 10 << 20, runs: 1_000, age: Duration::from_secs(28 * 24 * 60 * 60) }
    }
}

/// The settings of one tool. The methods of [`Builder`](crate::Builder) document them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) data_points: Option<&'static DataPoints>,
    pub(crate) own_command: Option<OwnCommand>,
    pub(crate) opt_out_vars: Vec<&'static str>,
    pub(crate) suppress_notice_vars: Vec<&'static str>,
    pub(crate) endpoint: Option<&'static str>,
    pub(crate) requires_opt_in: bool,
    pub(crate) ci_policy: CiPolicy,
    pub(crate) ci_wait: Duration,
    /// The author's own exporter delivers to `endpoint` instead of OTLP.
    pub(crate) has_exporter: bool,
    /// Set by the program `tool-telemetry`, which does not know the tool's endpoint, its version, or whether it requires
    /// opting in.
    pub(crate) is_companion: bool,
    /// Set by the program `tool-telemetry` for a program that it runs: the settings, in a form of its own, that it needs to
    /// become the uploader.
    pub(crate) program: Option<&'static str>,
    pub(crate) limits: Limits,
    /// How long an uploader may live.
    pub(crate) uploader_life: Duration,
}

impl Settings {
    pub(crate) fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version: Version::longest_prefix(version).unwrap_or(version),
            data_points: None,
            own_command: None,
            opt_out_vars: Vec::new(),
            suppress_notice_vars: Vec::new(),
            endpoint: None,
            requires_opt_in: false,
            ci_policy: CiPolicy::OperatorOnly,
            ci_wait: Duration::from_millis(300),
            has_exporter: false,
            is_companion: false,
            program: None,
            limits: Limits::default(),
            uploader_life: Duration::from_secs(60),
        }
    }

    /// Checks what the compiler cannot. The error says what is wrong and what to do.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !is_tool_name(self.name) {
            return Err(format!(
                "the tool's name {:?} must consist of lowercase letters, digits, `-`, `_`, and `.`, because a directory \
                 and a variable are named after it",
                self.name
            ));
        }
        if Version::parse(self.version).is_none() {
            return Err(format!(
                "the tool's version {:?} must begin with one to three numbers of at most five digits, such as `1.2.3`",
                self.version
            ));
        }
        if let Some(own_command) = self.own_command.filter(|command| !command.is_valid()) {
            return Err(format!(
                "the telemetry command {:?} must be two or more words of letters, digits, `-`, `_`, and `.`, as users type \
                 them: `frob telemetry` or `frob --telemetry`",
                own_command.0
            ));
        }
        let in_file = self.data_points.and_then(DataPoints::telemetry_command);
        if let (Some(OwnCommand(named)), Some(in_file)) = (self.own_command, in_file)
            && named != in_file
        {
            return Err(format!(
                "the telemetry command is {named:?} here and {in_file:?} in telemetry.toml, from which documents are \
                 generated; name it only there"
            ));
        }
        let Some(data_points) = self.data_points else {
            return Err("no data points are approved; call `.data_points(&DATA_POINTS)`".to_owned());
        };
        if let Some(tool) = data_points.tool.filter(|tool| *tool != self.name) {
            return Err(format!(
                "telemetry.toml is that of the tool {tool:?}, but this tool is {:?}; use a file of its own, or change \
                 `tool` there",
                self.name
            ));
        }
        if self.endpoint.is_some() && data_points.publisher().is_none() {
            return Err("the endpoint needs a publisher; add a [publisher] to telemetry.toml".to_owned());
        }
        if self.has_exporter && self.endpoint.is_none() {
            return Err("the exporter needs an endpoint; call `.endpoint(address)`".to_owned());
        }
        Ok(())
    }

    /// The tool's own telemetry command, if it has one.
    pub(crate) fn own_command(&self) -> Option<OwnCommand> {
        self.own_command.or_else(|| self.data_points?.telemetry_command().map(OwnCommand))
    }

    /// The command line of a telemetry command such as `on`, `off`, or `show`, as a user types it. `None` if the tool has no
    /// telemetry command; messages then name a variable or a file, which always work. Only the program `tool-telemetry`
    /// names itself, because only its users are known to have it.
    pub(crate) fn command_line(&self, word: &str) -> Option<String> {
        match self.own_command().filter(|_| !self.is_companion) {
            Some(OwnCommand(typed)) => Some(format!("{typed} {word}")),
            None if self.is_companion || self.program.is_some() => {
                Some(format!("tool-telemetry {word} {}", self.name))
            }
            None => None,
        }
    }

    /// Whether this process runs the tool's own telemetry command.
    pub(crate) fn is_telemetry_command(&self) -> bool {
        self.own_command().is_some_and(|command| command.is_called(std::env::args_os()))
    }

    /// Whether a variable suppresses the notice.
    pub(crate) fn is_notice_suppressed(&self, environment: Environment<'_>) -> bool {
        self.suppress_notice_vars.iter().any(|name| environment.is_truthy(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NAMED: DataPoints = DataPoints { telemetry_command: Some("frob telemetry"), ..DataPoints::EMPTY };

    fn named(own_command: Option<&'static str>) -> Settings {
        let own_command = own_command.map(OwnCommand);
        Settings { data_points: Some(&NAMED), own_command, ..Settings::new("frob", "1.0.0") }
    }

    #[test]
    fn the_file_and_the_builder_name_the_same_command() {
        assert_eq!(named(None).own_command(), Some(OwnCommand("frob telemetry")), "the file alone is enough");
        assert!(named(Some("frob telemetry")).check().is_ok());
        let two_names = named(Some("frob --telemetry")).check().expect_err("two names");
        assert!(
            two_names.contains("\"frob --telemetry\" here and \"frob telemetry\" in telemetry.toml"),
            "{two_names}"
        );
    }

    #[test]
    fn another_tools_file_is_refused() {
        static FROB: DataPoints = DataPoints { tool: Some("frob"), ..DataPoints::EMPTY };
        let tool = |name| Settings { data_points: Some(&FROB), ..Settings::new(name, "1.0.0") };
        assert!(tool("frob").check().is_ok());
        let error = tool("weave").check().expect_err("another tool");
        assert!(error.contains("is that of the tool \"frob\", but this tool is \"weave\""), "{error}");
    }

    #[test]
    fn a_telemetry_command_has_two_words() {
        assert!(named(Some("telemetry")).check().is_err());
    }
}

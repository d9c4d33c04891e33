//! What a tool's author has set: plain data that starts nothing.

use std::time::Duration;

use super::data_points::{DataPoints, Version};
use super::own_command::OwnCommand;
use crate::env::Environment;

/// Whether runs in CI are sent to the author's own endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CiPolicy {
    /// Only an operator's destination gets them, unless the user said `telemetry on` there.
    OperatorOnly,
    /// The author's endpoint gets them too.
    IncludeMaker,
}

/// The limits of one spool. One run alone grows to 1 MiB, about 2,300 spans with one or two data points each; the spans
/// beyond that are counted.
///
/// ```
/// let mut limits = tool_telemetry::Limits::default();
/// limits.runs = 100;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of all pending runs together. Default 10 MiB.
    pub bytes: u64,
    /// The number of pending runs. Default 1,000.
    pub runs: usize,
    /// How long a run may be pending. Default 28 days.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 10 << 20, runs: 1_000, age: Duration::from_secs(28 * 24 * 60 * 60) }
    }
}

/// The settings of one tool, as [`Builder`](crate::Builder) collects them. Its methods document each.
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
    /// The author's own exporter delivers to `endpoint`, in place of OTLP.
    pub(crate) has_exporter: bool,
    /// Set by the program `tool-telemetry`, which knows neither the tool's endpoint nor its version, nor whether the
    /// tool asks first.
    pub(crate) is_companion: bool,
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
            limits: Limits::default(),
            uploader_life: Duration::from_secs(60),
        }
    }

    /// Checks what the compiler cannot. The error is a sentence that says what is wrong and what to do.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !is_tool_name(self.name) {
            return Err(format!(
                "the tool's name {:?} must be lower case letters, digits, `-`, `_` and `.`: it names a directory and a \
                 variable",
                self.name
            ));
        }
        if Version::parse(self.version).is_none() {
            return Err(format!(
                "the tool's version {:?} must begin with one to three numbers of at most five digits, as `1.2.3` does",
                self.version
            ));
        }
        if let Some(own_command) = self.own_command.filter(|command| !command.is_valid()) {
            return Err(format!(
                "the telemetry command {:?} must be what people type, such as `frob telemetry` or `frob --telemetry`: \
                 two or more words of letters, digits, `-`, `_` and `.`",
                own_command.0
            ));
        }
        let in_file = self.data_points.and_then(DataPoints::telemetry_command);
        if let (Some(OwnCommand(named)), Some(in_file)) = (self.own_command, in_file)
            && named != in_file
        {
            return Err(format!(
                "the telemetry command is {named:?} here and {in_file:?} in telemetry.toml, from which the tool's \
                 documents are made: name it in one place"
            ));
        }
        let Some(data_points) = self.data_points else {
            return Err("no data points are approved: call `.data_points(&DATA_POINTS)`".to_owned());
        };
        if self.endpoint.is_some() && data_points.publisher().is_none() {
            return Err("the maker has an endpoint but the data points name no [publisher]".to_owned());
        }
        if self.has_exporter && self.endpoint.is_none() {
            return Err(
                "an exporter is to deliver, but no endpoint is named: call `.endpoint(address)`".to_owned()
            );
        }
        Ok(())
    }

    /// The tool's own telemetry command, as people type it. Nothing if it has none.
    pub(crate) fn own_command(&self) -> Option<OwnCommand> {
        self.own_command.or_else(|| self.data_points?.telemetry_command().map(OwnCommand))
    }

    /// What a user types for `on`, `off`, `show` or another word of the tool's telemetry command. Nothing if the tool
    /// has no such command: a message then names a variable or a file, which always work. Only the program
    /// `tool-telemetry` names itself, because only its users are known to have it.
    pub(crate) fn typed(&self, word: &str) -> Option<String> {
        if self.is_companion {
            return Some(format!("tool-telemetry {word} {}", self.name));
        }
        self.own_command().map(|OwnCommand(typed)| format!("{typed} {word}"))
    }

    /// Whether this process was started for the tool's own telemetry command.
    pub(crate) fn is_telemetry_command(&self) -> bool {
        self.own_command().is_some_and(|command| command.is_called(std::env::args_os()))
    }

    /// Whether a variable suppresses the notice.
    pub(crate) fn is_notice_suppressed(&self, environment: Environment<'_>) -> bool {
        self.suppress_notice_vars.iter().any(|name| environment.is_truthy(name))
    }
}

/// Whether a text may be a tool's name, which names a directory and a variable.
pub fn is_tool_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    static NAMED: DataPoints = DataPoints {
        publisher: None,
        telemetry_command: Some("frob telemetry"),
        spans: &[],
        data_points: &[],
        on_run: &[],
    };

    fn named(own_command: Option<&'static str>) -> Settings {
        let own_command = own_command.map(OwnCommand);
        Settings { data_points: Some(&NAMED), own_command, ..Settings::new("frob", "1.0.0") }
    }

    #[test]
    fn the_documents_and_the_tool_name_the_same_command() {
        assert_eq!(named(None).own_command(), Some(OwnCommand("frob telemetry")), "the file is enough");
        assert!(named(Some("frob telemetry")).check().is_ok());
        let two_names = named(Some("frob --telemetry")).check().expect_err("two names");
        assert!(
            two_names.contains("\"frob --telemetry\" here and \"frob telemetry\" in telemetry.toml"),
            "{two_names}"
        );
    }

    #[test]
    fn a_telemetry_command_has_two_words() {
        assert!(named(Some("telemetry")).check().is_err());
    }
}

//! Every environment variable that this crate reads, and how.
//!
//! An empty value is an unset one (OpenTelemetry specification, "Environment variables"). Variables are read
//! through an [`Environment`], which a test replaces; nothing here ever sets one.

use std::ffi::OsString;
use std::path::PathBuf;

/// Set to anything but empty, `0`, `false`, `no` or `off`: telemetry is off, for every tool
/// (the "Console Do Not Track" proposal).
pub const DO_NOT_TRACK: &str = "DO_NOT_TRACK";
/// `true` in any case: telemetry is off (OpenTelemetry specification, "General SDK Configuration").
pub const OTEL_SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
/// `none`, in any case and also in a list, or `0`, `false`, `no`, `off`: telemetry is off. Every other value names an
/// exporter of somebody's application, and is ignored.
pub const OTEL_TRACES_EXPORTER: &str = "OTEL_TRACES_EXPORTER";

/// The prefix of OTLP's variables for all signals.
pub const OTEL_EXPORTER_OTLP: &str = "OTEL_EXPORTER_OTLP_";
/// The prefix of OTLP's variables for traces; one of these wins over the general one.
pub const OTEL_EXPORTER_OTLP_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_";

/// Where state lives on Unix; default `~/.local/state` (XDG Base Directory Specification).
pub const XDG_STATE_HOME: &str = "XDG_STATE_HOME";
/// Where choices live on Unix; default `~/.config` (XDG Base Directory Specification).
pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// The person's home folder on Unix.
pub const HOME: &str = "HOME";
/// The person's local application data on Windows.
pub const LOCALAPPDATA: &str = "LOCALAPPDATA";

/// The uploader's only argument. The word alone reaches the tool's own parser, and a test binary takes it for a name
/// filter that matches nothing, so a test suite never runs itself again.
pub(crate) const UPLOADER_ARGUMENT: &str = "__upload-telemetry";

/// Set by us for the uploader alone: the name of the destination's folder that it is to deliver.
pub const UPLOADER: &str = "TOOL_TELEMETRY_UPLOADER";
/// Set by us for the uploader alone: `detached`; `awaited` when a command waits a moment for the delivery, as in CI; or
/// `flush` when somebody waits for its exit code.
pub const UPLOADER_PURPOSE: &str = "TOOL_TELEMETRY_UPLOADER_PURPOSE";
/// Set by us for an uploader that somebody waits for: it is to tell its exit code in descriptor 3, a pipe.
pub const UPLOADER_TELLS: &str = "TOOL_TELEMETRY_UPLOADER_TELLS";
/// Set by us for the uploader alone: the process that started it.
pub const UPLOADER_STARTER: &str = "TOOL_TELEMETRY_UPLOADER_STARTER";
/// Set by the uploader for itself: it runs from a copy of the program in memory.
pub const UPLOADER_COPIED: &str = "TOOL_TELEMETRY_UPLOADER_COPIED";
/// The prefix under which the uploader gets its destination's own settings, so that no library finds and adds
/// `OTEL_*` variables which belong to somebody else.
pub const UPLOADER_OTLP: &str = "TOOL_TELEMETRY_OTLP_";
/// The run that started this process, when it was a run for the same maker: a W3C `traceparent`, the id of the
/// process that set it, and the receiver, with `;` between them. Only that process's own children follow it.
pub const PARENT: &str = "TOOL_TELEMETRY_PARENT";
/// The trace that this process belongs to: a W3C `traceparent` (OpenTelemetry specification, "Environment
/// Variables as Context Propagation Carriers"). Followed only to an operator's destination.
pub const TRACEPARENT: &str = "TRACEPARENT";

/// What somebody's tracing system wants to go with [`TRACEPARENT`]. Never read; emptied for a child that gets a
/// `TRACEPARENT` of ours.
pub const TRACESTATE: &str = "TRACESTATE";

/// A PEM file with the roots to trust instead of the system's, as OpenSSL has it.
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// Directories with PEM files of roots to trust instead of the system's, as OpenSSL has it.
pub const SSL_CERT_DIR: &str = "SSL_CERT_DIR";

/// Any of these set to anything but `0`, `false`, `no` or `off` means that this is CI.
pub const CI: [&str; 14] = [
    "CI",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "TF_BUILD",
    "JENKINS_URL",
    "TEAMCITY_VERSION",
    "BUILDKITE",
    "CIRCLECI",
    "TRAVIS",
    "APPVEYOR",
    "BITBUCKET_BUILD_NUMBER",
    "CODEBUILD_BUILD_ID",
    "BUILD_ID",
    "BUILD_NUMBER",
];

/// A sandbox says by one of these that it has no network (yes as for [`DO_NOT_TRACK`]): what tries all the same fails,
/// and may raise an alarm. Searched for in November 2026; no other sandbox was found to set one.
pub const NO_NETWORK: [&str; 1] = ["CODEX_SANDBOX_NETWORK_DISABLED"];

/// What opens the uploader's way to the network, passed on to it as it is.
pub(crate) const NETWORK: [&str; 11] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    SSL_CERT_FILE,
    SSL_CERT_DIR,
    // In a CGI program HTTP_PROXY is what a stranger sent as a header.
    "REQUEST_METHOD",
];

/// What the tool's own code is loaded with: it may need the libraries, and `torsocks` and the like are libraries that
/// send its connections through somebody else. The uploader goes the same way.
pub(crate) const LOADER: [&str; 4] =
    ["LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "DYLD_LIBRARY_PATH"];

/// What the libraries of [`LOADER`] are told: variables that begin so. Without its own a proxifier would connect
/// directly, and show the person's address.
const PRELOADED: [&str; 8] = [
    "TORSOCKS_",
    "PROXYCHAINS_",
    "PROXYBOUND_",
    "TSOCKS_",
    // Dante's socksify.
    "SOCKS_",
    "SOCKS4_",
    "SOCKS5_",
    // libfakeroot ends a process that it finds without its key.
    "FAKEROOTKEY",
];

/// OTLP's variables without their prefix.
pub(crate) const OTLP_SETTINGS: [&str; 9] = [
    "ENDPOINT",
    "PROTOCOL",
    "HEADERS",
    "COMPRESSION",
    "TIMEOUT",
    "CERTIFICATE",
    "CLIENT_KEY",
    "CLIENT_CERTIFICATE",
    "INSECURE",
];

/// Those of them that name files.
pub(crate) const OTLP_PATHS: [&str; 3] = ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"];

/// A path as it is meant where the tool runs, for the uploader, which runs in `/`. Asks the system only for one that is
/// relative.
pub(crate) fn absolute(path: String) -> String {
    match std::path::absolute(&path) {
        Ok(absolute) => absolute.into_os_string().into_string().unwrap_or(path),
        Err(_) => path,
    }
}

/// Where variables come from.
#[derive(Clone, Copy)]
pub(crate) struct Environment<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment(..)")
    }
}

impl Environment<'static> {
    /// This process's own.
    pub(crate) fn process() -> Self {
        Self(&|name| std::env::var_os(name))
    }
}

impl<'a> Environment<'a> {
    #[cfg(test)]
    pub(crate) fn new(look_up: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self(look_up)
    }

    /// The variable, unless it is unset or empty.
    pub(crate) fn raw(self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The variable as text. What is not Unicode reads as a text that means nothing we know.
    pub(crate) fn text(self, name: &str) -> Option<String> {
        self.raw(name).map(|value| value.to_string_lossy().trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The variable as a text in lower case, without the quotes that a file of variables for a container makes part of
    /// the value.
    pub(crate) fn setting(self, name: &str) -> Option<String> {
        self.text(name).map(|value| value.trim_matches(['"', '\'']).to_ascii_lowercase())
    }

    /// The variable as an absolute path; the XDG specification has relative ones ignored.
    pub(crate) fn absolute_path(self, name: &str) -> Option<PathBuf> {
        self.raw(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// Whether a variable says yes: any value but `0`, `false`, `no` and `off`, in any case. Who writes `yes` or
    /// `TRUE ` meant it.
    pub(crate) fn is_truthy(self, name: &str) -> bool {
        self.text(name).is_some_and(|value| !is_no(&value))
    }

    /// Whether this is a build machine.
    pub(crate) fn is_ci(self) -> bool {
        CI.iter().any(|name| self.is_truthy(name))
    }

    /// The variable by which a sandbox says that there is no network.
    pub(crate) fn without_network(self) -> Option<&'static str> {
        NO_NETWORK.into_iter().find(|name| self.is_truthy(name))
    }

    /// Whether the tool's code is loaded with something of the person's.
    pub(crate) fn is_loaded_with(self) -> bool {
        LOADER.iter().any(|name| self.raw(name).is_some())
    }

    /// One of OTLP's settings: the uploader's own, or the variable for traces, or the general one.
    pub(crate) fn otlp(self, prefixes: &[&str], setting: &str) -> Option<(String, String)> {
        prefixes.iter().find_map(|prefix| {
            // Not `format!`: 18 names are made at each start, and it took a fifth of that start's instructions.
            let name = [*prefix, setting].concat();
            let value = self.text(&name)?;
            Some((name, value))
        })
    }
}

/// This process's own variables that libraries of [`LOADER`] are told by.
pub(crate) fn for_preloaded() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| PRELOADED.iter().any(|start| name.starts_with(start)))
    })
}

/// `0`, `false`, `no` or `off`, in any case.
pub(crate) fn is_no(value: &str) -> bool {
    ["0", "false", "no", "off"].iter().any(|no| value.eq_ignore_ascii_case(no))
}

/// `1`, `true`, `yes` or `on`, in any case.
pub(crate) fn is_yes(value: &str) -> bool {
    ["1", "true", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// `<TOOL>_TELEMETRY`: the tool's name in capitals, with `_` for what a variable's name cannot have.
///
/// ```
/// assert_eq!(tool_telemetry::env::tool_variable("my-tool"), "MY_TOOL_TELEMETRY");
/// ```
pub fn tool_variable(tool: &str) -> String {
    let mut name: String =
        tool.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    name.push_str("_TELEMETRY");
    name
}

/// What `<TOOL>_TELEMETRY` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ModeOverride {
    /// Unset, or `1`, `true`, `yes`, `on`: nothing that is not so without it.
    #[default]
    None,
    /// `0`, `false`, `no`, `off`.
    Off,
    /// Any other value. Whoever wrote `disabled` or `fasle` meant off.
    Unrecognized,
    /// `log`: print what would be sent, and do nothing else.
    Log,
    /// `trace`: print the run as a tree when it ends.
    Trace,
    /// `otlp`: follow the `OTEL_*` variables though the author named an endpoint.
    Otlp,
}

impl ModeOverride {
    /// The values that `<TOOL>_TELEMETRY` has.
    pub(crate) const WORDS: &str = "off (or 0, false, no), on (or 1, true, yes), log, trace and otlp";

    pub(crate) fn read(environment: Environment<'_>, variable: &str) -> Self {
        match environment.text(variable) {
            None => ModeOverride::None,
            Some(value) if is_yes(&value) => ModeOverride::None,
            Some(value) if is_no(&value) => ModeOverride::Off,
            Some(value) if value.eq_ignore_ascii_case("log") => ModeOverride::Log,
            Some(value) if value.eq_ignore_ascii_case("trace") => ModeOverride::Trace,
            Some(value) if value.eq_ignore_ascii_case("otlp") => ModeOverride::Otlp,
            Some(_) => ModeOverride::Unrecognized,
        }
    }
}

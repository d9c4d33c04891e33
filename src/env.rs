//! Every environment variable that this crate reads, and its meaning.
//!
//! An empty variable counts as unset (OpenTelemetry specification, "Environment variables"). This crate reads variables
//! through an `Environment`, which tests replace, and never sets one.

use std::ffi::OsString;
use std::path::PathBuf;

pub use tool_telemetry_definition::tool_variable;

/// Turns telemetry off for every tool, with any value except an empty one, `0`, `false`, `no`, and `off` (the "Console Do
/// Not Track" proposal).
pub const DO_NOT_TRACK: &str = "DO_NOT_TRACK";
/// `true` in any case turns telemetry off (OpenTelemetry specification, "General SDK Configuration").
pub const OTEL_SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
/// `none`, in any case and also in a list, turns telemetry off. So do `0`, `false`, `no`, and `off`. Any other value names
/// an application's exporter and is ignored.
pub const OTEL_TRACES_EXPORTER: &str = "OTEL_TRACES_EXPORTER";

/// The prefix of OTLP's variables for all signals.
pub const OTEL_EXPORTER_OTLP: &str = "OTEL_EXPORTER_OTLP_";
/// The prefix of OTLP's variables for traces, which override the general ones.
pub const OTEL_EXPORTER_OTLP_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_";

/// The directory for state on Unix, by default `~/.local/state` (XDG Base Directory Specification).
pub const XDG_STATE_HOME: &str = "XDG_STATE_HOME";
/// The directory for choices on Unix, by default `~/.config` (XDG Base Directory Specification).
pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// The user's home directory on Unix.
pub const HOME: &str = "HOME";
/// The user's local application data on Windows.
pub const LOCALAPPDATA: &str = "LOCALAPPDATA";
/// The user's profile on Windows, in which the local application data usually is.
pub const USERPROFILE: &str = "USERPROFILE";
/// Where Windows is installed. Its network libraries do not load without it.
pub(crate) const SYSTEMROOT: &str = "SYSTEMROOT";

/// The uploader's only argument. Without the uploader's variables, the tool's own parser gets it. A test binary takes
/// it for a name filter that matches nothing, so a test suite never runs itself again.
pub(crate) const UPLOADER_ARGUMENT: &str = "__upload-telemetry";

/// Set only for the uploader: the name of its destination's directory.
pub const UPLOADER: &str = "TOOL_TELEMETRY_UPLOADER";
/// Set only for the uploader: `detached`, `awaited` if a command waits briefly for the delivery, for example in CI, or
/// `flush` if a command waits for the exit code.
pub const UPLOADER_PURPOSE: &str = "TOOL_TELEMETRY_UPLOADER_PURPOSE";
/// Set only for an uploader that a command waits for: it must write its exit code to descriptor 3, a pipe.
pub const UPLOADER_AWAITED: &str = "TOOL_TELEMETRY_UPLOADER_AWAITED";
/// Set only for the uploader: the id of the process that started it.
pub const UPLOADER_STARTER: &str = "TOOL_TELEMETRY_UPLOADER_STARTER";
/// Set only for the uploader: the command that started it runs in CI or in a container, so nothing is counted.
pub const UPLOADER_UNCOUNTED: &str = "TOOL_TELEMETRY_UPLOADER_UNCOUNTED";
/// Set by the uploader for itself if it runs from a copy of the program in memory.
pub const UPLOADER_COPIED: &str = "TOOL_TELEMETRY_UPLOADER_COPIED";
/// Set only for the uploader of a program that `tool-telemetry exec` runs: the name of the tool, whose settings are in a file
/// of its spool.
pub const PROGRAM: &str = "TOOL_TELEMETRY_PROGRAM";
/// Set by `tool-telemetry exec` for the program that it runs: the file to which the program appends data points, one
/// `key=value` on each line.
pub const POINTS: &str = "TOOL_TELEMETRY_POINTS";
/// Set by `tool-telemetry exec` and `tool-telemetry span` for the program that they run: the span that it is part of, as a
/// W3C `traceparent`.
pub const SPAN: &str = "TOOL_TELEMETRY_SPAN";
/// The prefix of the settings that the uploader gets for its destination. With it, no library finds `OTEL_*` variables of
/// another program and adds them.
pub const UPLOADER_OTLP: &str = "TOOL_TELEMETRY_OTLP_";
/// The run that started this process, if both have the same destination: a W3C `traceparent`, the id of the process that
/// set it, and the destination, separated by `;`. Only that process's own children use it.
pub const PARENT: &str = "TOOL_TELEMETRY_PARENT";
/// The trace that this process belongs to, as a W3C `traceparent` (OpenTelemetry specification, "Environment Variables as
/// Context Propagation Carriers"). Used only for an operator's destination.
pub const TRACEPARENT: &str = "TRACEPARENT";

/// Data of another tracing system that belongs to [`TRACEPARENT`]. Never read, and emptied for a child that gets our
/// `TRACEPARENT`.
pub const TRACESTATE: &str = "TRACESTATE";

/// A PEM file with the roots to trust instead of the system's, as in OpenSSL.
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// Directories of PEM files with the roots to trust instead of the system's, as in OpenSSL.
pub const SSL_CERT_DIR: &str = "SSL_CERT_DIR";

/// Any of these means CI, with any value except an empty one, `0`, `false`, `no`, and `off`.
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

/// Kubernetes sets it in each container.
pub const KUBERNETES_SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
/// Podman, LXC, and systemd-nspawn name themselves in it, in each of their containers (systemd, "Container Interface").
pub const CONTAINER: &str = "container";

/// A sandbox sets one of these, with a value as for [`DO_NOT_TRACK`], if it has no network. A connection would fail, and
/// could raise an alarm. In November 2026, we found no other sandbox that sets such a variable.
pub const NO_NETWORK: [&str; 1] = ["CODEX_SANDBOX_NETWORK_DISABLED"];

/// The variables for network access, which the uploader gets unchanged.
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
    // In a CGI program, HTTP_PROXY is a header of the request.
    "REQUEST_METHOD",
];

/// The variables of the dynamic loader. The uploader must load the same libraries, because the tool may need them, or one of
/// them may redirect its connections, as `torsocks` does.
pub(crate) const LOADER: [&str; 4] =
    ["LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "DYLD_LIBRARY_PATH"];

/// The prefixes of variables for the libraries that [`LOADER`] names. A proxifier without its variables would connect
/// directly and reveal the user's address.
const PRELOADED: [&str; 8] = [
    "TORSOCKS_",
    "PROXYCHAINS_",
    "PROXYBOUND_",
    "TSOCKS_",
    // Dante's socksify.
    "SOCKS_",
    "SOCKS4_",
    "SOCKS5_",
    // libfakeroot kills a process without its key.
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

/// The settings in [`OTLP_SETTINGS`] that name files.
pub(crate) const OTLP_PATHS: [&str; 3] = ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"];

/// Resolves a path for the uploader, which runs in `/`. Only a relative one needs a system call.
pub(crate) fn absolute(path: String) -> String {
    match std::path::absolute(&path) {
        Ok(absolute) => absolute.into_os_string().into_string().unwrap_or(path),
        Err(_) => path,
    }
}

/// The source of variables.
#[derive(Clone, Copy)]
pub(crate) struct Environment<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment(..)")
    }
}

impl Environment<'static> {
    /// The variables of this process.
    pub(crate) fn process() -> Self {
        Self(&|name| std::env::var_os(name))
    }
}

impl<'a> Environment<'a> {
    #[cfg(test)]
    pub(crate) fn new(look_up: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self(look_up)
    }

    /// The variable, or `None` if it is unset or empty.
    pub(crate) fn raw(self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The variable as text, trimmed. Anything that is not Unicode becomes U+FFFD, which no valid value contains.
    pub(crate) fn text(self, name: &str) -> Option<String> {
        self.raw(name).map(|value| value.to_string_lossy().trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The variable in lower case and without quotes. A container that reads it from a file keeps quotes as part of the
    /// value.
    pub(crate) fn setting(self, name: &str) -> Option<String> {
        self.text(name).map(|value| value.trim_matches(['"', '\'']).to_ascii_lowercase())
    }

    /// The variable as an absolute path. The XDG specification ignores relative ones.
    pub(crate) fn absolute_path(self, name: &str) -> Option<PathBuf> {
        self.raw(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// Whether a variable has any value except `0`, `false`, `no`, and `off`, in any case.
    pub(crate) fn is_truthy(self, name: &str) -> bool {
        self.text(name).is_some_and(|value| !is_no(&value))
    }

    /// Whether this process runs in CI.
    pub(crate) fn is_ci(self) -> bool {
        CI.iter().any(|name| self.is_truthy(name))
    }

    /// Whether a variable shows that this process runs in a container. Docker sets none.
    pub(crate) fn is_in_container(self) -> bool {
        [KUBERNETES_SERVICE_HOST, CONTAINER].into_iter().any(|name| self.raw(name).is_some())
    }

    /// The variable with which a sandbox reports that it has no network.
    pub(crate) fn without_network(self) -> Option<&'static str> {
        NO_NETWORK.into_iter().find(|name| self.is_truthy(name))
    }

    /// Whether a variable of [`LOADER`] is set.
    pub(crate) fn has_loader_variable(self) -> bool {
        LOADER.iter().any(|name| self.raw(name).is_some())
    }

    /// One of OTLP's settings and its variable, from the first prefix that has it.
    pub(crate) fn otlp(self, prefixes: &[&str], setting: &str) -> Option<(String, String)> {
        prefixes.iter().find_map(|prefix| {
            // A start builds 18 such names. With `format!`, that took a fifth of its instructions.
            let name = [*prefix, setting].concat();
            let value = self.text(&name)?;
            Some((name, value))
        })
    }
}

/// This process's variables for libraries of [`LOADER`].
pub(crate) fn for_preloaded() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| PRELOADED.iter().any(|start| name.starts_with(start)))
    })
}

/// `0`, `false`, `no`, or `off`, in any case.
pub(crate) fn is_no(value: &str) -> bool {
    ["0", "false", "no", "off"].iter().any(|no| value.eq_ignore_ascii_case(no))
}

/// `1`, `true`, `yes`, or `on`, in any case.
pub(crate) fn is_yes(value: &str) -> bool {
    ["1", "true", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// The value of `<TOOL>_TELEMETRY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ModeOverride {
    /// Unset, or `1`, `true`, `yes`, or `on`, which changes nothing.
    #[default]
    None,
    /// `0`, `false`, `no`, or `off`.
    Off,
    /// Any other value. A user who wrote `disabled` or `fasle` meant off.
    Unrecognized,
    /// `log`: print what would be sent, and do not send it.
    Log,
    /// `trace`: print the run as a tree when it ends.
    Trace,
    /// `explain`: print what the run would record and what it leaves out, and send nothing.
    Explain,
    /// `otlp`: use the `OTEL_*` variables even if the author set an endpoint.
    Otlp,
}

impl ModeOverride {
    /// The values of `<TOOL>_TELEMETRY`.
    pub(crate) const WORDS: &str =
        "off (or 0, false, no), on (or 1, true, yes), log, trace, explain, and otlp";

    pub(crate) fn read(environment: Environment<'_>, variable: &str) -> Self {
        match environment.text(variable) {
            None => ModeOverride::None,
            Some(value) if is_yes(&value) => ModeOverride::None,
            Some(value) if is_no(&value) => ModeOverride::Off,
            Some(value) if value.eq_ignore_ascii_case("log") => ModeOverride::Log,
            Some(value) if value.eq_ignore_ascii_case("trace") => ModeOverride::Trace,
            Some(value) if value.eq_ignore_ascii_case("explain") => ModeOverride::Explain,
            Some(value) if value.eq_ignore_ascii_case("otlp") => ModeOverride::Otlp,
            Some(_) => ModeOverride::Unrecognized,
        }
    }
}

//! The machine administrator's policy, one file for all tools. It can turn telemetry off, narrow it, and redirect it, but
//! it never turns on what a user turned off. `docs/policy.md` describes it.
//!
//! An error in the file means off for every tool that it may concern. A key or a value that is not valid in one tool's
//! table concerns that tool and tools with a similar name. Any other error concerns every tool.

mod reader;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;

use super::decision::Reason;
use super::destination::{COMPRESSIONS, PROTOCOLS, PolicyEndpoint};
use super::endpoint::Endpoint;

use crate::model::data_points::is_tool_name;
use crate::platform::{self, has_broken_link};

use reader::{TomlEntry, TomlReader, TomlValue, lines_with_control_characters};

/// The policy for one tool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Policy {
    pub(crate) is_off: bool,
    /// The settings have their names in [`crate::env::OTLP_SETTINGS`], or `HEADERS_FILE`.
    pub(crate) endpoint: Option<PolicyEndpoint>,
    /// The only data points that may be recorded.
    pub(crate) data_points: Option<Vec<String>>,
}

/// The file as it was read for one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PolicyFile {
    Missing,
    Valid(Policy),
    /// Telemetry is off because of this error.
    Invalid(PolicyError),
}

/// An error in a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyError {
    line: usize,
    /// The tool whose table has the error. `None`, which sorts first, concerns every tool.
    tool: Option<String>,
    what: Cow<'static, str>,
}

/// The result of checking a policy.
#[derive(Debug)]
#[non_exhaustive]
pub struct PolicyCheck {
    /// All errors, in the order of the file.
    pub errors: Vec<PolicyError>,
    /// The tools that have their own table.
    pub tools: Vec<String>,
    /// Whether it has a key that applies to every tool.
    pub is_for_all: bool,
}

/// Larger than any policy that an administrator writes.
const MAX_BYTES: u64 = 64 << 10;

/// The keys of a policy, as messages list them.
const KEYS: &str = "telemetry, endpoint, protocol, headers_file, compression, certificate, client_certificate, \
                    client_key, and data_points";

/// The keys that belong to an endpoint, with their names in [`crate::env::OTLP_SETTINGS`].
const ENDPOINT_KEYS: [(&str, &str); 6] = [
    ("protocol", "PROTOCOL"),
    ("headers_file", "HEADERS_FILE"),
    ("compression", "COMPRESSION"),
    ("certificate", "CERTIFICATE"),
    ("client_certificate", "CLIENT_CERTIFICATE"),
    ("client_key", "CLIENT_KEY"),
];

impl PolicyFile {
    /// Why telemetry is off, if the policy turns it off.
    pub(crate) fn off_reason(&self) -> Option<Reason> {
        match self {
            PolicyFile::Valid(policy) => policy.is_off.then_some(Reason::Policy),
            PolicyFile::Invalid(_) => Some(Reason::PolicyUnreadable),
            PolicyFile::Missing => None,
        }
    }

    pub(crate) fn endpoint(&self) -> Option<PolicyEndpoint> {
        match self {
            PolicyFile::Valid(policy) => policy.endpoint.clone(),
            PolicyFile::Missing | PolicyFile::Invalid(_) => None,
        }
    }

    /// The only data points that the policy allows, or `None` if it allows all.
    pub(crate) fn narrowed_to(&self) -> Option<&[String]> {
        match self {
            PolicyFile::Valid(policy) => policy.data_points.as_deref(),
            PolicyFile::Missing | PolicyFile::Invalid(_) => None,
        }
    }
}

impl PolicyError {
    fn new(line: usize, tool: Option<&str>, what: impl Into<Cow<'static, str>>) -> Self {
        Self { line, tool: tool.map(str::to_owned), what: what.into() }
    }

    /// The line, counted from 1, or 0 for the whole file.
    pub fn line(&self) -> usize {
        self.line
    }

    /// What is wrong and what to do. It repeats no value of the file.
    pub fn message(&self) -> &str {
        &self.what
    }

    fn concerns(&self, tool: &str) -> bool {
        self.tool.as_ref().is_none_or(|named| could_mean(named, tool))
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl Policy {
    pub(crate) fn read(path: &Path, tool: &str) -> PolicyFile {
        match text(path) {
            Ok(Some(text)) => Self::parse(&text, tool),
            Ok(None) => PolicyFile::Missing,
            Err(error) => PolicyFile::Invalid(error),
        }
    }

    fn parse(text: &str, tool: &str) -> PolicyFile {
        let PolicyTables { tables, errors } = PolicyTables::parse(text);
        if let Some(error) = errors.into_iter().find(|error| error.concerns(tool)) {
            return PolicyFile::Invalid(error);
        }
        let mut policy = Self::default();
        for table in tables {
            match table.tool {
                Some(named) if named == tool => {}
                Some(named) if could_mean(named, tool) => {
                    return PolicyFile::Invalid(PolicyError::new(
                        table.line,
                        None,
                        format!("the tool is called {tool}; write [tool.{tool}]"),
                    ));
                }
                Some(_) => continue,
                None => {}
            }
            policy.narrow(table);
        }
        PolicyFile::Valid(policy)
    }

    /// Applies a table. The one for all tools comes first, then the tool's own.
    fn narrow(&mut self, table: Table<'_>) {
        self.is_off |= table.is_off;
        if let Some((_, address)) = table.endpoint {
            // Settings of another endpoint do not apply to this one.
            let settings = table.settings.into_iter().map(|(_, name, value)| (name, value.to_owned()));
            self.endpoint = Some((address.to_owned(), settings.collect()));
        }
        if let Some(keys) = table.data_points {
            let allowed = |key: &&str| {
                self.data_points.as_ref().is_none_or(|allowed| allowed.iter().any(|other| other == key))
            };
            self.data_points = Some(keys.into_iter().filter(allowed).map(str::to_owned).collect());
        }
    }
}

/// Checks a policy for an administrator, as tools read it.
pub fn check(path: &Path) -> PolicyCheck {
    let read = text(path);
    let PolicyTables { tables, errors } = match &read {
        Ok(text) => PolicyTables::parse(text.as_deref().unwrap_or_default()),
        Err(error) => PolicyTables { tables: Vec::new(), errors: vec![error.clone()] },
    };
    PolicyCheck {
        errors,
        is_for_all: tables.iter().any(|table| table.tool.is_none() && !table.keys.is_empty()),
        tools: tables.iter().filter_map(|table| table.tool).map(str::to_owned).collect(),
    }
}

/// The file's text, or `None` if there is no file.
fn text(path: &Path) -> Result<Option<String>, PolicyError> {
    let whole_file = |what: String| PolicyError::new(0, None, what);
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    // Most machines have neither the file nor its directory, and then this is the only system call.
    if std::fs::read_link(platform::directory_of(path)).is_err_and(|error| is_missing(&error)) {
        return Ok(None);
    }
    let file = match platform::open_settings(path) {
        Ok(file) => file,
        Err(error) if is_missing(&error) && !has_broken_link(path) => return Ok(None),
        Err(error) if is_missing(&error) => {
            return Err(whole_file("it is a broken link".to_owned()));
        }
        Err(error) => return Err(whole_file(error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| whole_file(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(whole_file(format!("it is larger than {} KiB", MAX_BYTES >> 10)));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        PolicyError::new(line, None, "this is not UTF-8; save the file as UTF-8")
    })
}

/// Whether an administrator may have meant this tool: the names differ only in case, in punctuation, or in the `cargo-`
/// of a cargo subcommand.
fn could_mean(name: &str, tool: &str) -> bool {
    let folded = |name: &str| -> String {
        let fold = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        name.trim().chars().map(fold).collect()
    };
    let (name, tool) = (folded(name), folded(tool));
    name.strip_prefix("cargo_").unwrap_or(&name) == tool.strip_prefix("cargo_").unwrap_or(&tool)
}

/// The whole file.
#[derive(Debug, Default)]
struct PolicyTables<'a> {
    /// The table for all tools comes first.
    tables: Vec<Table<'a>>,
    errors: Vec<PolicyError>,
}

/// The keys above the first table, or in a table.
#[derive(Debug, Default)]
struct Table<'a> {
    /// `None` for the keys above the first table, which apply to all tools.
    tool: Option<&'a str>,
    line: usize,
    keys: Vec<&'a str>,
    is_off: bool,
    endpoint: Option<(usize, &'a str)>,
    settings: Vec<(usize, &'static str, &'a str)>,
    data_points: Option<Vec<&'a str>>,
}

impl<'a> PolicyTables<'a> {
    fn parse(text: &'a str) -> Self {
        let forbidden = lines_with_control_characters(text)
            .map(|line| PolicyError::new(line, None, "there is a control character; remove it"));
        let mut file = Self { tables: Vec::new(), errors: forbidden.collect() };
        let mut table = Table::default();
        for (line, entry) in TomlReader::new(text) {
            match entry {
                Err(what) => {
                    file.errors.push(PolicyError::new(line, None, what));
                    if what == reader::OTHER_TABLE {
                        // The keys below it belong to no earlier table.
                        file.end(std::mem::take(&mut table));
                    }
                }
                Ok(TomlEntry::Tool(name)) => {
                    file.end(table);
                    table = Table { tool: Some(name), line, ..Table::default() };
                    file.check_name(name, line);
                }
                Ok(TomlEntry::Setting(key, value)) => {
                    if table.keys.contains(&key) {
                        // TOML forbids a repeated key, and either value may be meant.
                        file.errors.push(PolicyError::new(line, None, "the table already has this key"));
                    }
                    table.keys.push(key);
                    if let Err(what) = table.set(line, key, value) {
                        file.errors.push(PolicyError::new(line, table.tool, what));
                    }
                }
            }
        }
        file.end(table);
        file.errors.sort();
        // One error for each line. The one that concerns more tools sorts first.
        file.errors.dedup_by_key(|error| error.line);
        file
    }

    fn check_name(&mut self, name: &str, line: usize) {
        let (tool, what) = if self.tables.iter().any(|table| table.tool == Some(name)) {
            (None, "the file already has this table")
        } else if is_tool_name(name) {
            return;
        } else if is_tool_name(&name.to_ascii_lowercase()) {
            (Some(name), "a tool's name is in lower case")
        } else {
            (None, "no tool can have this name; use lower-case letters, digits, `-`, `_`, and `.`")
        };
        self.errors.push(PolicyError::new(line, tool, what));
    }

    /// Checks and adds a complete table.
    fn end(&mut self, table: Table<'a>) {
        let mut error = |line, what: &'static str| self.errors.push(PolicyError::new(line, table.tool, what));
        let setting = |wanted: &str| table.settings.iter().find(|(_, name, _)| *name == wanted);
        match table.endpoint {
            Some((line, address)) => {
                let is_grpc = setting("PROTOCOL").is_some_and(|(_, _, protocol)| *protocol == "grpc");
                if Endpoint::parse(address, is_grpc, false).is_err() {
                    error(line, "the endpoint is not an http or https address");
                }
            }
            None => {
                if let Some((line, ..)) = table.settings.first() {
                    error(*line, "this key needs `endpoint` in the same table");
                }
            }
        }
        match (setting("CLIENT_CERTIFICATE"), setting("CLIENT_KEY")) {
            (Some((line, ..)), None) => {
                error(*line, "`client_certificate` needs `client_key` in the same table")
            }
            (None, Some((line, ..))) => {
                error(*line, "`client_key` needs `client_certificate` in the same table")
            }
            _ => {}
        }
        self.tables.push(table);
    }
}

impl<'a> Table<'a> {
    fn set(&mut self, line: usize, key: &'a str, value: TomlValue<'a>) -> Result<(), Cow<'static, str>> {
        let of_endpoint = ENDPOINT_KEYS.into_iter().find(|(known, _)| *known == key);
        match (key, of_endpoint, value) {
            ("telemetry", _, TomlValue::Text("off")) => self.is_off = true,
            ("telemetry", ..) => {
                return Err("`telemetry` can only be \"off\"; delete the line to allow telemetry".into());
            }
            ("data_points", _, TomlValue::List(keys)) => self.data_points = Some(keys),
            ("data_points", ..) => return Err("`data_points` must be a list of quoted strings".into()),
            ("endpoint", _, TomlValue::Text(address)) => self.endpoint = Some((line, address)),
            (_, Some((_, name)), TomlValue::Text(value)) => {
                check_setting(key, value)?;
                self.settings.push((line, name, value));
            }
            ("endpoint", ..) | (_, Some(_), _) => {
                return Err(format!("`{key}` must be a quoted string").into());
            }
            _ => return Err(format!("`{key}` is not a key of a policy; the keys are {KEYS}").into()),
        }
        Ok(())
    }
}

fn check_setting(key: &str, value: &str) -> Result<(), Cow<'static, str>> {
    match key {
        "protocol" if PROTOCOLS.contains(&value) => Ok(()),
        "protocol" => Err(format!("`protocol` must be one of {}", PROTOCOLS.join(", ")).into()),
        "compression" if COMPRESSIONS.contains(&value) => Ok(()),
        "compression" => Err(format!("`compression` must be one of {}", COMPRESSIONS.join(", ")).into()),
        // The uploader does not run in the tool's directory.
        _ if Path::new(value).is_absolute() => Ok(()),
        _ => Err(format!("`{key}` must be an absolute path").into()),
    }
}

#[cfg(test)]
mod tests;

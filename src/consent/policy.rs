//! The machine administrator's policy: one file for all tools. It can turn telemetry off, narrow it and redirect it; it
//! never turns on what a person turned off. `docs/policy.md` describes it.
//!
//! What is not understood means off for every tool that it could concern. That is every tool, unless the file is
//! well-formed and a key or a value in the table of one tool is not: then it concerns that tool, and those whose names
//! differ only in what is easily mistaken.

mod reader;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;

use crate::consent::Reason;
use crate::consent::destination;
use crate::platform::{self, has_broken_link};

use reader::{TomlEntry, TomlReader, TomlValue, lines_with_control_characters};

/// What the policy says about one tool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Policy {
    pub(crate) off: bool,
    pub(crate) endpoint: Option<String>,
    /// By their names in [`crate::env::OTLP_SETTINGS`], and `HEADERS_FILE`.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// The only data points that may be recorded.
    pub(crate) data_points: Option<Vec<String>>,
}

/// What a look at the file gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PolicyFile {
    /// There is no file.
    Missing,
    Valid(Policy),
    /// Telemetry is off because of this.
    Invalid(PolicyError),
}

/// One thing in a policy that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyError {
    line: usize,
    /// The tool whose table it is in; nothing, which is first in order, if it concerns every tool.
    tool: Option<String>,
    what: Cow<'static, str>,
}

/// What a check of a policy gave.
#[derive(Debug)]
#[non_exhaustive]
pub struct PolicyCheck {
    /// Everything that is not understood, in the order of the file.
    pub errors: Vec<PolicyError>,
    /// The tools that have a table of their own.
    pub tools: Vec<String>,
    /// Whether it says something about every tool.
    pub is_for_all: bool,
}

/// Larger than any policy for people to read.
const LARGEST: u64 = 64 << 10;

/// The keys of a policy, as messages list them.
const KEYS: &str = "telemetry, endpoint, protocol, headers_file, compression, certificate, client_certificate, \
                    client_key and data_points";

/// The keys that belong to an endpoint, with their names in [`crate::env::OTLP_SETTINGS`].
const OF_ENDPOINT: [(&str, &str); 6] = [
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
            PolicyFile::Valid(policy) => policy.off.then_some(Reason::Policy),
            PolicyFile::Invalid(_) => Some(Reason::PolicyUnreadable),
            PolicyFile::Missing => None,
        }
    }

    /// The only data points that the policy allows; nothing if it allows all.
    pub(crate) fn narrowed_to(&self) -> Option<&[String]> {
        match self {
            PolicyFile::Valid(policy) => policy.data_points.as_deref(),
            PolicyFile::Missing | PolicyFile::Invalid(_) => None,
        }
    }
}

impl PolicyError {
    fn of_file(line: usize, what: impl Into<Cow<'static, str>>) -> Self {
        Self { line, what: what.into(), tool: None }
    }

    /// The line, counted from 1; 0 if it is about the file as a whole.
    pub fn line(&self) -> usize {
        self.line
    }

    /// What is wrong and what to do. Never a value of the file.
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
        let File { tables, errors } = File::parse(text);
        if let Some(error) = errors.into_iter().find(|error| error.concerns(tool)) {
            return PolicyFile::Invalid(error);
        }
        let mut policy = Self::default();
        for table in tables {
            match table.tool {
                Some(named) if named == tool => {}
                Some(named) if could_mean(named, tool) => {
                    return PolicyFile::Invalid(PolicyError::of_file(
                        table.line,
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

    /// Adds what a table says: first that of all tools, then the tool's own.
    fn narrow(&mut self, table: Table<'_>) {
        self.off |= table.off;
        if let Some((_, endpoint)) = table.endpoint {
            // Nothing that belongs to another endpoint goes with it.
            self.endpoint = Some(endpoint.to_owned());
            self.settings =
                table.settings.into_iter().map(|(_, name, value)| (name, value.to_owned())).collect();
        }
        if let Some(keys) = table.data_points {
            let allowed = |key: &&str| {
                self.data_points.as_ref().is_none_or(|allowed| allowed.iter().any(|other| other == key))
            };
            self.data_points = Some(keys.into_iter().filter(allowed).map(str::to_owned).collect());
        }
    }
}

/// Checks a policy as every tool reads it; for a program that tells an administrator.
pub fn check(path: &Path) -> PolicyCheck {
    let read = text(path);
    let File { tables, errors } = match &read {
        Ok(text) => File::parse(text.as_deref().unwrap_or_default()),
        Err(error) => File { tables: Vec::new(), errors: vec![error.clone()] },
    };
    PolicyCheck {
        errors,
        is_for_all: tables.iter().any(|table| table.tool.is_none() && !table.keys.is_empty()),
        tools: tables.iter().filter_map(|table| table.tool).map(str::to_owned).collect(),
    }
}

/// The file's text; nothing if there is none.
fn text(path: &Path) -> Result<Option<String>, PolicyError> {
    let whole_file = |what: String| PolicyError::of_file(0, what);
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let folder = platform::directory_of(path);
    // On most machines this is the only call: neither the file nor its folder is there.
    if std::fs::read_link(folder).is_err_and(|error| is_missing(&error)) {
        return Ok(None);
    }
    let file = match platform::open_settings(path) {
        Ok(file) => file,
        Err(error) if is_missing(&error) && !has_broken_link(path) => return Ok(None),
        Err(error) if is_missing(&error) => {
            return Err(whole_file("it is a link that leads nowhere".to_owned()));
        }
        Err(error) => return Err(whole_file(error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| whole_file(error.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(whole_file(format!("it is larger than {} KiB", LARGEST >> 10)));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        PolicyError::of_file(line, "this is not UTF-8; save the file as UTF-8")
    })
}

/// Whether somebody who wrote this name may have meant the tool: the same but for case, for what stands between letters
/// and digits, and for the `cargo-` of a subcommand's program.
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
struct File<'a> {
    /// That of all tools comes first.
    tables: Vec<Table<'a>>,
    errors: Vec<PolicyError>,
}

/// What stands above the first table, or in one.
#[derive(Debug, Default)]
struct Table<'a> {
    /// Nothing for what stands above.
    tool: Option<&'a str>,
    line: usize,
    keys: Vec<&'a str>,
    off: bool,
    endpoint: Option<(usize, &'a str)>,
    settings: Vec<(usize, &'static str, &'a str)>,
    data_points: Option<Vec<&'a str>>,
}

impl<'a> File<'a> {
    fn parse(text: &'a str) -> Self {
        let forbidden = lines_with_control_characters(text)
            .map(|line| PolicyError::of_file(line, "there is a control character; remove it"));
        let mut file = Self { tables: Vec::new(), errors: forbidden.collect() };
        let mut table = Table::default();
        for (line, entry) in TomlReader::new(text) {
            match entry {
                Err(what) => {
                    file.errors.push(PolicyError::of_file(line, what));
                    if what == reader::OTHER_TABLE {
                        // The keys below belong to no table that came before.
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
                        // No TOML: any of the two may be the one that was meant.
                        file.errors.push(PolicyError::of_file(line, "the key stands twice in its table"));
                    }
                    table.keys.push(key);
                    if let Err(what) = table.set(line, key, value) {
                        file.errors.push(PolicyError { line, what, tool: table.tool.map(str::to_owned) });
                    }
                }
            }
        }
        file.end(table);
        file.errors.sort();
        // One a line, and the one that concerns more.
        file.errors.dedup_by_key(|error| error.line);
        file
    }

    fn check_name(&mut self, name: &str, line: usize) {
        let mut error = |what: &'static str, tool: Option<&str>| {
            self.errors.push(PolicyError { line, what: what.into(), tool: tool.map(str::to_owned) });
        };
        if self.tables.iter().any(|table| table.tool == Some(name)) {
            return error("the table stands twice in the file", None);
        }
        if crate::model::settings::is_tool_name(name) {
            return;
        }
        if crate::model::settings::is_tool_name(&name.to_ascii_lowercase()) {
            return error("a tool's name is in lower case", Some(name));
        }
        error("no tool can have this name: it is lower case letters, digits, `-`, `_` and `.`", None);
    }

    /// Checks a table that is complete.
    fn end(&mut self, table: Table<'a>) {
        let mut error = |line, what: &'static str| {
            let tool = table.tool.map(str::to_owned);
            self.errors.push(PolicyError { line, what: what.into(), tool });
        };
        let of = |wanted: &str| table.settings.iter().find(|(_, name, _)| *name == wanted);
        match table.endpoint {
            Some((line, address)) => {
                let is_grpc = of("PROTOCOL").is_some_and(|(_, _, protocol)| *protocol == "grpc");
                if !destination::is_address(address, is_grpc) {
                    error(line, "the endpoint is not an http or https address");
                }
            }
            None => {
                if let Some((line, ..)) = table.settings.first() {
                    error(*line, "this belongs to an endpoint; name the endpoint beside it");
                }
            }
        }
        match (of("CLIENT_CERTIFICATE"), of("CLIENT_KEY")) {
            (Some((line, ..)), None) => error(*line, "`client_certificate` needs `client_key` beside it"),
            (None, Some((line, ..))) => error(*line, "`client_key` needs `client_certificate` beside it"),
            _ => {}
        }
        self.tables.push(table);
    }
}

impl<'a> Table<'a> {
    fn set(&mut self, line: usize, key: &'a str, value: TomlValue<'a>) -> Result<(), Cow<'static, str>> {
        let of_endpoint = OF_ENDPOINT.into_iter().find(|(known, _)| *known == key);
        match (key, of_endpoint, value) {
            ("telemetry", _, TomlValue::Text("off")) => self.off = true,
            ("telemetry", ..) => {
                return Err("`telemetry` can only be \"off\"; leave the line out where it may be on".into());
            }
            ("data_points", _, TomlValue::List(keys)) => self.data_points = Some(keys),
            ("data_points", ..) => return Err("`data_points` must be a list of texts in quotes".into()),
            ("endpoint", _, TomlValue::Text(address)) => self.endpoint = Some((line, address)),
            (_, Some((_, name)), TomlValue::Text(value)) => {
                check_setting(key, value)?;
                self.settings.push((line, name, value));
            }
            ("endpoint", ..) | (_, Some(_), _) => {
                return Err(format!("`{key}` must be a text in quotes").into());
            }
            _ => return Err(format!("`{key}` is no key of a policy; the keys are {KEYS}").into()),
        }
        Ok(())
    }
}

fn check_setting(key: &str, value: &str) -> Result<(), Cow<'static, str>> {
    match key {
        "protocol" if destination::PROTOCOLS.contains(&value) => Ok(()),
        "protocol" => Err(format!("`protocol` must be one of {}", destination::PROTOCOLS.join(", ")).into()),
        "compression" if destination::COMPRESSIONS.contains(&value) => Ok(()),
        "compression" => {
            Err(format!("`compression` must be one of {}", destination::COMPRESSIONS.join(", ")).into())
        }
        // The uploader works in another folder than the tool.
        _ if Path::new(value).is_absolute() => Ok(()),
        _ => Err(format!("`{key}` must be an absolute path").into()),
    }
}

#[cfg(test)]
mod tests;

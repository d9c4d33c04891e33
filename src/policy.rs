//! The machine administrator's policy: one file for all tools. It can turn telemetry off, narrow it and redirect
//! it; it never turns on what a person turned off.
//!
//! ```toml
//! [tool.dotnet]
//! telemetry = "off"                                  # or leave it out
//! endpoint = "https://collector.example.com:4318"    # a base: v1/traces is added for HTTP
//! protocol = "http/protobuf"
//! headers_file = "/etc/tool-telemetry/headers"       # name=value,name=value as in OTEL_EXPORTER_OTLP_HEADERS
//! certificate = "/etc/ssl/collector-ca.pem"
//! data_points = ["process.exit.code"]                # only these
//! ```
//!
//! Every tool reads it on its way, so it is read without a TOML library: tables, and keys with a string, or with
//! an array of strings on one line. Anything else is not understood, and what is not understood means off.

use std::io::Read as _;
use std::path::Path;

use crate::choice::is_missing;
use crate::platform;

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
pub(crate) enum PolicyRead {
    /// There is no file, or nothing in it about this tool.
    Nothing,
    Policy(Policy),
    /// The line that is not understood; 0 if the file cannot be read.
    Unreadable {
        line: usize,
    },
}

impl PolicyRead {
    /// The only data points that the policy allows; nothing if it allows all.
    pub(crate) fn narrowed_to(&self) -> Option<&[String]> {
        match self {
            PolicyRead::Policy(policy) => policy.data_points.as_deref(),
            PolicyRead::Nothing | PolicyRead::Unreadable { .. } => None,
        }
    }
}

/// Larger than any policy for people to read.
const LARGEST: u64 = 64 << 10;

impl Policy {
    pub(crate) fn read(path: &Path, tool: &str) -> PolicyRead {
        let mut file = match platform::open_settings(path) {
            Ok((file, metadata)) if metadata.len() <= LARGEST => file,
            Err(error) if is_missing(&error) => return PolicyRead::Nothing,
            _ => return PolicyRead::Unreadable { line: 0 },
        };
        let mut text = String::new();
        match file.read_to_string(&mut text) {
            Ok(_) => Self::parse(&text, tool),
            Err(_) => PolicyRead::Unreadable { line: 0 },
        }
    }

    fn parse(text: &str, tool: &str) -> PolicyRead {
        let mut policy: Option<Self> = None;
        let mut is_ours = false;
        for (number, line) in text.lines().enumerate() {
            let understood = match Line::parse(line) {
                Some(Line::Empty) => true,
                Some(Line::Table(name)) => {
                    is_ours = name == tool;
                    !is_ours || policy.replace(Self::default()).is_none()
                }
                Some(Line::Key(key, value)) => match (&mut policy, is_ours) {
                    (Some(policy), true) => policy.set(key, value).is_some(),
                    // Another tool's: well-formed is enough.
                    _ => true,
                },
                None => false,
            };
            if !understood {
                return PolicyRead::Unreadable { line: number + 1 };
            }
        }
        policy.map_or(PolicyRead::Nothing, PolicyRead::Policy)
    }

    fn set(&mut self, key: &str, value: TomlValue) -> Option<()> {
        match (key, value) {
            ("telemetry", TomlValue::Text(text)) => match text.as_str() {
                "off" => self.off = true,
                _ => return None,
            },
            ("endpoint", TomlValue::Text(text)) => self.endpoint.replace(text).is_none().then_some(())?,
            ("data_points", TomlValue::List(keys)) => {
                self.data_points.replace(keys).is_none().then_some(())?
            }
            (key, TomlValue::Text(text)) => {
                let names = [
                    ("protocol", "PROTOCOL"),
                    ("headers_file", "HEADERS_FILE"),
                    ("compression", "COMPRESSION"),
                    ("certificate", "CERTIFICATE"),
                    ("client_certificate", "CLIENT_CERTIFICATE"),
                    ("client_key", "CLIENT_KEY"),
                ];
                let (_, name) = names.into_iter().find(|(known, _)| *known == key)?;
                if self.settings.iter().any(|(known, _)| *known == name) {
                    return None;
                }
                self.settings.push((name, text));
            }
            _ => return None,
        }
        Some(())
    }
}

enum Line<'a> {
    Empty,
    /// The tool's name in `[tool.NAME]`.
    Table(&'a str),
    Key(&'a str, TomlValue),
}

enum TomlValue {
    Text(String),
    List(Vec<String>),
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if is_end(line) {
            return Some(Self::Empty);
        }
        if let Some(table) = line.strip_prefix('[') {
            let (name, rest) = table.split_once(']')?;
            let name = name.trim().strip_prefix("tool.")?.trim();
            let name = match name.strip_prefix('"') {
                Some(quoted) => quoted.strip_suffix('"')?,
                None => name,
            };
            let is_name = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            return (is_name && is_end(rest)).then_some(Self::Table(name));
        }
        let (key, value) = line.split_once('=')?;
        let value = value.trim();
        let (value, rest) = match value.strip_prefix('[') {
            Some(list) => {
                let mut items = Vec::new();
                let mut rest = list.trim_start();
                while !rest.starts_with(']') {
                    let (item, after) = text(rest)?;
                    items.push(item);
                    rest = after.trim_start();
                    match rest.strip_prefix(',') {
                        Some(after) => rest = after.trim_start(),
                        None if rest.starts_with(']') => {}
                        None => return None,
                    }
                }
                (TomlValue::List(items), &rest[1..])
            }
            None => {
                let (text, rest) = text(value)?;
                (TomlValue::Text(text), rest)
            }
        };
        is_end(rest).then(|| Self::Key(key.trim(), value))
    }
}

/// A basic string without escapes, or a literal one; and what follows.
fn text(from: &str) -> Option<(String, &str)> {
    let quote = from.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (text, rest) = from[1..].split_once(quote)?;
    (!text.contains('\\') || quote == '\'').then(|| (text.to_owned(), rest))
}

fn is_end(rest: &str) -> bool {
    let rest = rest.trim();
    rest.is_empty() || rest.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_gets_its_own_table_only() {
        let text = "# all tools here\n[tool.other]\ntelemetry = \"off\"\nanything = 'at all'\n\n[tool.dotnet]  # ours\n\
                    endpoint = \"https://c:4318\" # a comment\nheaders_file='/etc/h'\ndata_points = [ \"a.b\", 'c', ]\n";
        let policy = Policy {
            off: false,
            endpoint: Some("https://c:4318".to_owned()),
            settings: vec![("HEADERS_FILE", "/etc/h".to_owned())],
            data_points: Some(vec!["a.b".to_owned(), "c".to_owned()]),
        };
        assert_eq!(Policy::parse(text, "dotnet"), PolicyRead::Policy(policy));
        assert_eq!(
            Policy::parse(text, "other"),
            PolicyRead::Unreadable { line: 4 },
            "an unknown key of our own is not passed over"
        );
        assert_eq!(Policy::parse(text, "third"), PolicyRead::Nothing);
    }

    #[test]
    fn what_is_not_understood_names_its_line() {
        for (text, line) in [
            ("[tool.dotnet]\ntelemetry = \"on\"\n", 2),
            ("[tool.dotnet]\ntelemetry = off\n", 2),
            ("[tool.dotnet]\nendpoint = \"a\\nb\"\n", 2),
            ("[tool.dotnet]\nendpoint = \"a\" \"b\"\n", 2),
            ("[tool.dotnet]\ndata_points = [\"a\"\n", 2),
            ("[tool.dotnet]\n[tool.dotnet]\n", 2),
            ("[server]\n", 1),
            ("garbage", 1),
        ] {
            assert_eq!(Policy::parse(text, "dotnet"), PolicyRead::Unreadable { line }, "{text:?}");
        }
    }
}

//! What a policy means, and whether our reader agrees with the `toml` crate.

use proptest::prelude::*;
use toml::de::{DeTable, DeValue};

use super::*;

fn policy(text: &str, tool: &str) -> Policy {
    match Policy::parse(text, tool) {
        PolicyFile::Valid(policy) => policy,
        other => panic!("{other:?}"),
    }
}

/// The line and the text of the error, if there is one.
fn error(text: &str, tool: &str) -> Option<(usize, String)> {
    match Policy::parse(text, tool) {
        PolicyFile::Invalid(error) => Some((error.line, error.what.into_owned())),
        _ => None,
    }
}

#[test]
fn keys_above_the_tables_apply_to_every_tool() {
    let text = "telemetry = \"off\"\n[tool.other]\nendpoint = \"https://c\"\n";
    assert!(policy(text, "dotnet").is_off && policy(text, "other").is_off);
}

#[test]
fn a_tools_own_endpoint_inherits_no_settings() {
    let text = "endpoint = \"https://all\"\nheaders_file = '/etc/h'\ncertificate = '/etc/c'\nprotocol = \"grpc\"\n\
                compression = \"gzip\"\n[tool.dotnet]\nendpoint = \"https://own\"\ncompression = \"none\"\n";
    let own = policy(text, "dotnet").endpoint;
    assert_eq!(own, Some(("https://own".to_owned(), vec![("COMPRESSION", "none".to_owned())])));
    let (address, settings) = policy(text, "other").endpoint.expect("the one for all");
    assert_eq!((&*address, settings.len()), ("https://all", 4));
}

#[test]
fn a_table_narrows_the_data_points_and_never_widens_them() {
    let text = "data_points = [\"a\", \"b\"]\n[tool.dotnet]\ndata_points = [\n  \"b\", # both\n  'c',\n]\n";
    assert_eq!(policy(text, "dotnet").data_points, Some(vec!["b".to_owned()]));
    assert_eq!(policy(text, "other").data_points, Some(vec!["a".to_owned(), "b".to_owned()]));
}

/// Files with an error that concerns every tool, and its line.
const ERRORS_FOR_ALL: [(&str, usize); 35] = [
    ("telemetry = \"on\"", 1),
    ("telemetry = \"OFF\"", 1),
    ("telemetry = \"off \"", 1),
    ("telemetry = off", 1),
    ("telemetry = false", 1),
    ("telemetry = 0", 1),
    ("telemetry = \"\"\"off\"\"\"", 1),
    ("telemetry = \"o\\u0066f\"", 1),
    ("telemetry = \"off", 1),
    ("telemetry \"off\"", 1),
    ("telemetry = \"off\" telemetry = \"off\"", 1),
    ("telemetry = \"off\"\ntelemetry = \"off\"", 2),
    ("[tool.x]\ntelemetry = \"off\"\ntelemetry = \"on\"", 3),
    ("telemetry = [\"off\"]", 1),
    ("Telemetry = \"off\"", 1),
    ("telemtry = \"off\"", 1),
    ("\"telemetry \" = \"off\"", 1),
    ("enabled = false", 1),
    ("tool.frob.telemetry = \"off\"", 1),
    ("tool = { frob = { telemetry = \"off\" } }", 1),
    ("[tool]\nfrob.telemetry = \"off\"", 1),
    ("[[tool]]\nname = \"frob\"", 1),
    ("[[tool.frob]]\ntelemetry = \"off\"", 1),
    ("[tools.frob]\ntelemetry = \"off\"", 1),
    ("[frob]\ntelemetry = \"off\"", 1),
    ("[tool.\"*\"]\ntelemetry = \"off\"", 1),
    ("[tool.frob.more]\ntelemetry = \"off\"", 1),
    ("[tool.frob", 1),
    ("[tool.x]\n[tool.x]\n", 2),
    ("[tool.x]\n[tool.\"x\"]\n", 2),
    ("\u{feff}telemetry = \"off\"", 1),
    ("# a\u{0}\n", 1),
    ("# a\rtelemetry = \"off\"\n", 1),
    ("\u{a0}\n", 1),
    ("data_points = [\"a\"\n\ntelemetry = \"off\"\n", 3),
];

#[test]
fn an_error_turns_every_tool_off_and_names_its_line() {
    for (text, line) in ERRORS_FOR_ALL {
        for tool in ["frob", "another"] {
            assert_eq!(error(text, tool).map(|(line, _)| line), Some(line), "{text:?}");
        }
    }
}

#[test]
fn an_error_never_repeats_a_value() {
    for setting in [
        "endpoint = \"c-secret:4318\"",
        "protocol = \"secret\"\nendpoint = \"http://c\"",
        "compression = \"secret\"\nendpoint = \"http://c\"",
        "headers_file = \"secret/h\"\nendpoint = \"http://c\"",
        "headers_file = \"/secret/h\"",
        "client_key = \"/secret/h\"\nendpoint = \"http://c\"",
        "data_points = \"secret\"",
        "endpoint = [\"secret\"]",
    ] {
        let (line, what) = error(setting, "frob").expect(setting);
        assert!(line == 1 && !what.contains("secret"), "{what}");
    }
}

#[test]
fn an_error_in_one_table_concerns_only_tools_of_similar_names() {
    let text = "[tool.my-frob]\nenabled = false\n";
    for (tool, is_off) in [("my-frob", true), ("my_frob", true), ("my.frob", true), ("myfrob", false)] {
        assert_eq!(error(text, tool).is_some(), is_off, "{tool}");
    }
}

#[test]
fn a_similar_tool_name_is_an_error() {
    for (name, tool) in
        [("Dotnet", "dotnet"), ("my_frob", "my-frob"), ("cargo-frob", "frob"), ("frob", "cargo-frob")]
    {
        let text = format!("endpoint = \"https://c\"\n[tool.{name}]\n");
        let (line, what) = error(&text, tool).expect(name);
        assert_eq!(line, 2, "{what}");
        assert_eq!(error(&text, "other"), None, "{name}");
    }
}

#[test]
fn a_check_reports_each_error_with_its_line() {
    let text = "telemtry = \"off\"\n[tool.Frob]\nendpoint = 7\n[server]\nport = 1\ndata_points = [1]\n";
    let lines: Vec<_> = PolicyTables::parse(text).errors.iter().map(PolicyError::line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5, 6]);
}

/// The policy as the `toml` crate reads it, by the rules of `docs/policy.md`.
fn as_toml_reads_it(text: &str, tool: &str) -> Option<Policy> {
    let file = DeTable::parse(text).ok()?;
    let mut policy = Policy::default();
    let mut own = None;
    let all: Vec<_> = file.get_ref().iter().filter(|(key, _)| *key.get_ref() != "tool").collect();
    if let Some(tools) = file.get_ref().get("tool") {
        for (name, table) in tools.get_ref().as_table()?.iter() {
            let name: &str = name.get_ref();
            let table: Vec<_> = table.get_ref().as_table()?.iter().collect();
            if !is_tool_name(&name.to_ascii_lowercase()) {
                return None;
            }
            match name == tool {
                true => own = Some(table),
                false if could_mean(name, tool) => return None,
                false => {}
            }
        }
    }
    for table in [Some(all), own].into_iter().flatten() {
        let (mut table_policy, mut endpoint, mut settings) = (Policy::default(), None, Vec::new());
        for (key, value) in table {
            let value = value.get_ref();
            match (key.get_ref().as_ref(), value) {
                ("telemetry", value) => table_policy.is_off = (value.as_str()? == "off").then_some(true)?,
                ("endpoint", value) => endpoint = Some(value.as_str()?.to_owned()),
                ("data_points", DeValue::Array(keys)) => {
                    let keys = keys.iter().map(|key| Some(key.get_ref().as_str()?.to_owned()));
                    table_policy.data_points = Some(keys.collect::<Option<_>>()?);
                }
                (key, value) => {
                    let (_, name) = ENDPOINT_KEYS.into_iter().find(|(known, _)| *known == key)?;
                    check_setting(key, value.as_str()?).ok()?;
                    settings.push((name, value.as_str()?.to_owned()));
                }
            }
        }
        let has = |wanted| settings.iter().any(|(name, _)| *name == wanted);
        if has("CLIENT_CERTIFICATE") != has("CLIENT_KEY") {
            return None;
        }
        policy.is_off |= table_policy.is_off;
        match endpoint {
            Some(address) => {
                let is_grpc = settings.contains(&("PROTOCOL", "grpc".to_owned()));
                Endpoint::parse(&address, is_grpc, false).ok()?;
                settings.sort();
                policy.endpoint = Some((address, settings));
            }
            None => settings.is_empty().then_some(())?,
        }
        policy.data_points = match (policy.data_points, table_policy.data_points) {
            (Some(top), Some(own)) => Some(own.into_iter().filter(|key| top.contains(key)).collect()),
            (top, own) => top.or(own),
        };
    }
    Some(policy)
}

/// Lines of valid policies, and of files that only resemble one.
const LINES: [&str; 56] = [
    "telemetry = \"off\"",
    "telemetry = 'off'",
    "\ttelemetry\t=\t\"off\"\t# comment",
    "\"telemetry\" = \"off\"",
    "'telemetry'=\"off\"",
    "telemetry = \"on\"",
    "telemetry = \"OFF\"",
    "telemetry = false",
    "telemetry = off",
    "telemetry.x = \"off\"",
    "endpoint = \"https://collector.example.com:4318\"",
    "endpoint = 'http://127.0.0.1:19'",
    "endpoint = \"c:4317\"",
    "endpoint = \"\"",
    "endpoint = \"https://c#d\" # e",
    "protocol = \"grpc\"",
    "protocol = \"http/protobuf\"",
    "protocol = \"http\"",
    "headers_file = \"/etc/tool-telemetry/headers\"",
    "headers_file = 'headers'",
    "compression = \"gzip\"",
    "compression = 'brotli'",
    "certificate = \"/etc/ssl/ca.pem\"",
    "certificate = 'C:\\ca.pem'",
    "certificate = \"C:\\\\ca.pem\"",
    "client_certificate = '/c'",
    "client_key = '/k'",
    "data_points = [\"a\", 'b']",
    "data_points = [ ]",
    "data_points = [\"a\",]",
    "data_points = [\n\"b\", # c\n\n  'c'\n]",
    "data_points = [,]",
    "data_points = [\"a\" \"b\"]",
    "data_points = [\"a\"",
    "data_points = [[\"a\"]]",
    "data_points = [1]",
    "]",
    "[tool.frob]",
    "[ tool . frob ] # ours",
    "[tool.\"frob\"]",
    "['tool'.'frob']",
    "[tool.Frob]",
    "[tool.fr_ob]",
    "[tool.other]",
    "[tool.other.more]",
    "[tool]",
    "[[tool]]",
    "[[tool.frob]]",
    "[frob]",
    "tool.frob.telemetry = \"off\"",
    "tool = { frob = { telemetry = \"off\" } }",
    "frob = { telemetry = \"off\" }",
    "unknown = \"\"\"\n[tool.frob]\ntelemetry = \"off\"\n\"\"\"",
    "number = 1_000",
    "# comment ä",
    "",
];

/// Texts that are inserted into a file, or replace a character.
const DAMAGE: [&str; 22] = [
    "", "\"", "'", "\\", "[", "]", "=", ".", ",", "#", "\n", "\r\n", "\r", "\u{0}", "\u{7f}", "\u{feff}",
    "\u{a0}", "\u{85}", " ", "\t", "{", "x",
];

/// Lines with either line ending, and some damage.
fn files() -> impl Strategy<Value = String> {
    let lines = prop::collection::vec(prop::sample::select(&LINES[..]), 0..8);
    let damage = (any::<prop::sample::Index>(), prop::sample::select(&DAMAGE[..]), any::<bool>());
    (lines, prop::sample::select(&["\n", "\r\n"][..]), prop::collection::vec(damage, 0..3)).prop_map(
        |(lines, newline, damage)| {
            let mut text: String = lines.iter().flat_map(|line| [*line, newline]).collect();
            for (at, with, replaces) in damage {
                let paths: Vec<_> = text.char_indices().map(|(at, c)| (at, c.len_utf8())).collect();
                let (at, length) = *at.get(&[paths, vec![(text.len(), 0)]].concat());
                text.replace_range(at..at + if replaces { length } else { 0 }, with);
            }
            text
        },
    )
}

/// A policy that we accept means the same to `toml`. We may refuse one that `toml` accepts.
fn agrees(text: &str) {
    for tool in ["frob", "fr-ob", "other", "third"] {
        if let PolicyFile::Valid(mut ours) = Policy::parse(text, tool) {
            if let Some((_, settings)) = &mut ours.endpoint {
                settings.sort();
            }
            assert_eq!(as_toml_reads_it(text, tool), Some(ours), "{tool}: {text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_policies_agree_with_toml(text in files()) {
        agrees(&text);
    }

    #[test]
    fn random_files_agree_with_toml(text in "([\\[\\]\"'=.,#a\\\\ \t\r\n\u{0}\u{7f}\u{85}ä0-9]|tool|frob|telemetry|off|endpoint){0,24}") {
        agrees(&text);
    }
}

#[test]
fn every_pair_of_lines_agrees_with_toml() {
    let mut accepted = 0;
    for first in LINES {
        for second in LINES {
            let text = format!("{first}\n{second}\n");
            agrees(&text);
            accepted += usize::from(matches!(Policy::parse(&text, "frob"), PolicyFile::Valid(_)));
        }
    }
    // With fewer, the comparison would show little.
    assert!(accepted > 200, "{accepted}");
}

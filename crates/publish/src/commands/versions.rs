//! A command's tool, and the versions of that tool.

use std::fs;
use std::path::PathBuf;

use tool_telemetry_collect::store::StoredDefinition;
use tool_telemetry_definition::DataPoints;

use crate::failure::Failure;

/// A tool and its telemetry.toml files, the newest last.
#[derive(Debug)]
pub(super) struct Versions {
    pub(super) tool: String,
    pub(super) all: Vec<&'static DataPoints>,
    /// The text of each.
    pub(super) texts: Vec<String>,
}

impl Versions {
    /// Those that a store was used with.
    pub(super) fn of_store(stored: &[StoredDefinition], tool: Option<&str>) -> Result<Self, Failure> {
        let mut tools: Vec<&str> = stored.iter().map(|version| version.tool.as_str()).collect();
        tools.sort_unstable();
        tools.dedup();
        let tool = match (tool, &tools[..]) {
            (Some(tool), _) if tools.contains(&tool) => tool,
            (Some(tool), _) => {
                return Err(Failure::usage(format!(
                    "the store knows no telemetry.toml of {tool:?}; it knows those of {}",
                    tools.join(", ")
                )));
            }
            (None, [tool]) => tool,
            (None, []) => return Err(Failure::usage("the store knows no telemetry.toml yet")),
            (None, _) => {
                return Err(Failure::usage(format!(
                    "the store has several tools; add --tool with one of {}",
                    tools.join(", ")
                )));
            }
        };
        let own = stored.iter().filter(|version| version.tool == tool);
        let texts: Vec<String> = own.map(|version| version.text.clone()).collect();
        let all = texts.iter().map(|text| parse("a telemetry.toml of the store", text));
        Ok(Self { tool: tool.to_owned(), all: all.collect::<Result<_, _>>()?, texts })
    }

    /// Those in files.
    pub(super) fn of_files(files: &[PathBuf], tool: Option<&str>) -> Result<Self, Failure> {
        let read =
            |file: &PathBuf| fs::read_to_string(file).map_err(|error| Failure::file("read", file, &error));
        let texts: Vec<String> = files.iter().map(read).collect::<Result<_, Failure>>()?;
        let parsed = files.iter().zip(&texts).map(|(file, text)| parse(&file.display().to_string(), text));
        let all: Vec<&'static DataPoints> = parsed.collect::<Result<_, Failure>>()?;
        let named = all.last().and_then(|newest| newest.tool);
        let tool = tool.or(named).ok_or_else(|| {
            Failure::usage("the newest telemetry.toml does not name its tool; add --tool NAME")
        })?;
        Ok(Self { tool: tool.to_owned(), all, texts })
    }

    /// The newest.
    pub(super) fn newest(&self) -> &'static DataPoints {
        self.all.last().copied().unwrap_or(&DataPoints::EMPTY)
    }
}

fn parse(what: &str, text: &str) -> Result<&'static DataPoints, Failure> {
    // What cannot be read may count more than what can, so nothing is published without it.
    DataPoints::parse(text).map_err(|errors| Failure::usage(format!("{what} cannot be read:\n{errors}")))
}

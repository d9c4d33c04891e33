//! The settings of a program that `exec` runs. They are kept with its runs, because this program is also their uploader.

use std::process::ExitCode;

use serde_json::{Value as Json, json};
use tool_telemetry::command::{program_settings, program_to_upload};
use tool_telemetry::{Builder, Telemetry};
use tool_telemetry_definition::DataPoints;

/// As the library's uploader: runs are still pending.
const STILL_PENDING: u8 = 3;

/// What the author of a program would have given to the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgramSettings {
    pub(crate) tool: String,
    pub(crate) version: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) opt_out_vars: Vec<String>,
    pub(crate) requires_opt_in: bool,
}

impl ProgramSettings {
    /// The telemetry of the program, which is not started. `definition` is the text of its telemetry.toml.
    pub(crate) fn builder(&self, data_points: &'static DataPoints, definition: &str) -> Builder {
        self.without_data_points().data_points(data_points).program(self.render(definition).leak())
    }

    /// Enough to tell whether a variable opts out.
    pub(crate) fn without_data_points(&self) -> Builder {
        let leak = |text: &str| -> &'static str { String::leak(text.to_owned()) };
        let mut builder = Telemetry::builder(leak(&self.tool), leak(&self.version));
        for name in &self.opt_out_vars {
            builder = builder.opt_out_var(leak(name));
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.endpoint(leak(endpoint));
        }
        if self.requires_opt_in {
            builder = builder.require_opt_in();
        }
        builder
    }

    fn render(&self, definition: &str) -> String {
        json!({
            "tool": self.tool,
            "version": self.version,
            "endpoint": self.endpoint,
            "opt_out_vars": self.opt_out_vars,
            "requires_opt_in": self.requires_opt_in,
            "definition": definition,
        })
        .to_string()
    }

    /// Reads the settings and the text of the telemetry.toml.
    pub(crate) fn parse(text: &str) -> Option<(Self, String)> {
        let json: Json = serde_json::from_str(text).ok()?;
        let text = |value: &Json| value.as_str().map(str::to_owned);
        let settings = Self {
            tool: text(json.get("tool")?)?,
            version: text(json.get("version")?)?,
            endpoint: json.get("endpoint").and_then(text),
            opt_out_vars: json.get("opt_out_vars")?.as_array()?.iter().filter_map(text).collect(),
            requires_opt_in: json.get("requires_opt_in")?.as_bool()?,
        };
        Some((settings, text(json.get("definition")?)?))
    }

    /// The settings that are kept with the runs of a tool for a destination, given by its directory.
    pub(crate) fn stored(tool: &str, destination: &str) -> Option<(Self, String)> {
        Self::parse(&program_settings(tool, destination)?).filter(|(settings, _)| settings.tool == tool)
    }
}

/// Uploads the runs of a program, if this process was started for that. The library does it, and ends the process.
pub(crate) fn upload() -> Option<ExitCode> {
    let (tool, destination) = program_to_upload()?;
    if let Some((settings, definition)) = ProgramSettings::stored(&tool, &destination)
        && let Ok(data_points) = DataPoints::parse(&definition)
    {
        let _ = settings.builder(data_points, &definition).start();
    }
    Some(ExitCode::from(STILL_PENDING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_file() {
        let settings = ProgramSettings {
            tool: "frob".to_owned(),
            version: "1.4.0".to_owned(),
            endpoint: None,
            opt_out_vars: vec!["FROB_NO_TELEMETRY".to_owned()],
            requires_opt_in: true,
        };
        let definition = "format = 1\n# \"quoted\" \u{1F980}\n";
        assert_eq!(
            ProgramSettings::parse(&settings.render(definition)),
            Some((settings, definition.to_owned()))
        );
        for text in ["", "{}", "[]", "{\"tool\":1}"] {
            assert_eq!(ProgramSettings::parse(text), None, "{text:?}");
        }
    }
}

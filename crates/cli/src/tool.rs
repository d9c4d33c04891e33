//! Opens the telemetry of one tool on this machine, without the tool. The library does the work.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use tool_telemetry::DataPoints;
use tool_telemetry::command::{SpoolInspector, TelemetryCommand};

use crate::error::Error;

// No doc comment: clap would print it in place of the subcommand's own.
#[derive(Debug, Args)]
pub(crate) struct ToolArguments {
    /// The tool, as you type it
    #[arg(value_name = "TOOL")]
    pub(crate) name: String,
    /// An environment variable that opts out of the tool's telemetry, from the tool's documentation; may be repeated
    #[arg(long = "opt-out-var", value_name = "NAME", value_parser = variable_name)]
    pub(crate) opt_out_vars: Vec<String>,
}

impl ToolArguments {
    /// A tool of [`known_tools`].
    pub(crate) fn for_known(name: &str) -> Self {
        Self { name: name.to_owned(), opt_out_vars: Vec::new() }
    }

    /// The tool's files, whether it has any or not.
    ///
    /// # Errors
    ///
    /// The name is not a tool's name, or this user has no home directory.
    pub(crate) fn inspect(&self, data_points: Option<&'static DataPoints>) -> Result<SpoolInspector, Error> {
        let variables: Vec<&'static str> = self.opt_out_vars.iter().map(|name| leak(name)).collect();
        let inspector = SpoolInspector::open(tool_name(&self.name)?, data_points, &variables);
        if !inspector.has_home() {
            return Err(Error::usage(
                "you have no home directory of your own, so there are no runs. Set HOME to your home directory, and \
                 do not use sudo.",
            ));
        }
        Ok(inspector)
    }

    /// The tool's files.
    ///
    /// # Errors
    ///
    /// The errors of [`inspect`](Self::inspect), and that the tool has left no files.
    pub(crate) fn inspect_known(
        &self,
        data_points: Option<&'static DataPoints>,
    ) -> Result<SpoolInspector, Error> {
        let inspector = self.inspect(data_points)?;
        match inspector.has_files() {
            true => Ok(inspector),
            false => Err(Error::unknown_tool(&self.name)),
        }
    }

    /// Runs a command of the library on a tool that has left files.
    pub(crate) fn run(&self, command: &TelemetryCommand) -> Result<ExitCode, Error> {
        Ok(command.run(self.inspect_known(None)?.telemetry()))
    }

    /// Runs `on` or `off`, which a user may choose before the tool first runs.
    pub(crate) fn choose(&self, command: &TelemetryCommand) -> Result<ExitCode, Error> {
        let inspector = self.inspect(None)?;
        let is_known = inspector.has_files();
        let code = command.run(inspector.telemetry());
        if !is_known {
            crate::output::print(&format!(
                "No tool named {} has left any files on this machine yet. Check that this is how you type it.\n",
                self.name
            ));
        }
        Ok(code)
    }
}

/// The tools that have left files of this user on this machine, sorted. A directory of another program is none.
pub(crate) fn known_tools() -> Vec<String> {
    let state = SpoolInspector::state_home().into_iter().flat_map(|home| children(&home));
    // The choice file of any tool is in the directory of all choices.
    let choices = SpoolInspector::open("tool-telemetry", None, &[])
        .choice_file()
        .and_then(|file| file.parent()?.parent().map(Path::to_owned))
        .into_iter()
        .flat_map(|home| children(&home));
    let mut names: Vec<String> = state.chain(choices).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| {
        tool_telemetry::__private::is_tool_name(name)
            && ToolArguments::for_known(name).inspect_known(None).is_ok()
    });
    names
}

fn children(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// A tool's name. It becomes part of a path and of a variable, so it is never a path itself.
pub(crate) fn tool_name(name: &str) -> Result<&'static str, Error> {
    if tool_telemetry::__private::is_tool_name(name) {
        Ok(leak(name))
    } else {
        Err(Error::usage(format!(
            "{name:?} is not a tool's name. Write it as you type it: lowercase letters, digits, `-`, `_`, and `.`."
        )))
    }
}

/// The tool that a telemetry.toml belongs to: the one that it names, or the one that the user names.
///
/// # Errors
///
/// Neither names one, they differ, or the name is not a tool's name.
pub(crate) fn tool_of(
    definition: &DataPoints,
    file: &Path,
    named: Option<&str>,
) -> Result<&'static str, Error> {
    let file = file.display();
    match (definition.tool, named.map(tool_name).transpose()?) {
        (Some(in_file), Some(named)) if in_file != named => Err(Error::usage(format!(
            "{file} is that of the tool {in_file:?}, not of {named:?}. Leave --tool out."
        ))),
        (in_file, named) => in_file.or(named).ok_or_else(|| {
            Error::usage(format!(
                "{file} does not tell which tool it belongs to. Add `tool = \"…\"` to it, or use --tool."
            ))
        }),
    }
}

/// The name of an environment variable. Documents print it, so it must not contain any other text.
pub(crate) fn variable_name(name: &str) -> Result<String, String> {
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name {
        Ok(name.to_owned())
    } else {
        Err("an environment variable has letters, digits, and `_`, and does not begin with a digit"
            .to_owned())
    }
}

/// A text that lives until the program ends, as the library's static names do.
fn leak(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

//! A person who uses the tool: with a home and variables of their own, and nothing of this machine's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;

use tempfile::TempDir;

use crate::Fault;

/// The variable of the example tool that opts out.
const OPT_OUT: &str = "DOTNET_CLI_TELEMETRY_OPTOUT";

pub(crate) struct Person {
    home: Rc<TempDir>,
    dotnet: PathBuf,
    endpoint: String,
    opted_out: bool,
}

impl Person {
    pub(crate) fn new(dotnet: PathBuf, endpoint: &str) -> Result<Self, Fault> {
        let home = tempfile::tempdir().map_err(|error| format!("no temporary folder can be had: {error}"))?;
        Ok(Self { home: Rc::new(home), dotnet, endpoint: endpoint.to_owned(), opted_out: false })
    }

    /// The same person, with the variable that opts out.
    pub(crate) fn opted_out(&self) -> Self {
        let (home, dotnet, endpoint) = (Rc::clone(&self.home), self.dotnet.clone(), self.endpoint.clone());
        Self { home, dotnet, endpoint, opted_out: true }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The tool in this person's environment. A variable from outside, such as `CI` or `DO_NOT_TRACK`, would change
    /// what is shown here.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.dotnet);
        command
            .args(arguments)
            .current_dir(self.home())
            .env_clear()
            .env("HOME", self.home())
            .env("XDG_STATE_HOME", self.home().join("state"))
            .env("XDG_CONFIG_HOME", self.home().join("config"))
            .env("LOCALAPPDATA", self.home().join("state"))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint);
        // Windows starts no program without it.
        if let Some(root) = std::env::var_os("SystemRoot") {
            command.env("SystemRoot", root);
        }
        if self.opted_out {
            command.env(OPT_OUT, "1");
        }
        command
    }

    /// Runs the tool with its log turned on, and it must end with this exit code.
    pub(crate) fn expect(&self, arguments: &[&str], exit_code: i32) -> Result<Output, Fault> {
        let shown = format!("dotnet {}", arguments.join(" "));
        let output = self
            .command(arguments)
            .env("DOTNET_LOG", "debug")
            .output()
            .map_err(|error| format!("`{shown}` does not start: {error}"))?;
        if output.status.code() != Some(exit_code) {
            let told = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`{shown}` ended with {}, not with {exit_code}: {told}", output.status));
        }
        Ok(output)
    }

    /// Every file of the tool's state and choices, by path.
    pub(crate) fn state(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>, Fault> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.home().join("state"), self.home().join("config")];
        let mut look = || -> std::io::Result<()> {
            while let Some(folder) = folders.pop() {
                for entry in std::fs::read_dir(folder)? {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() {
                        folders.push(entry.path());
                    } else {
                        files.insert(entry.path(), std::fs::read(entry.path())?);
                    }
                }
            }
            Ok(())
        };
        look().map_err(|error| format!("the tool's files cannot be read: {error}"))?;
        Ok(files)
    }
}

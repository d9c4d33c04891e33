//! A user of the tool, with a home directory and environment variables of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;

use tempfile::TempDir;

use crate::Failure;

/// The example tool's opt-out variable.
const OPT_OUT: &str = "DOTNET_CLI_TELEMETRY_OPTOUT";

pub(crate) struct TestUser {
    home: Rc<TempDir>,
    dotnet: PathBuf,
    endpoint: String,
    opted_out: bool,
}

impl TestUser {
    pub(crate) fn new(dotnet: PathBuf, endpoint: &str) -> Result<Self, Failure> {
        let home =
            tempfile::tempdir().map_err(|error| format!("no temporary directory can be created: {error}"))?;
        Ok(Self { home: Rc::new(home), dotnet, endpoint: endpoint.to_owned(), opted_out: false })
    }

    /// The same user with the opt-out variable set.
    pub(crate) fn opted_out(&self) -> Self {
        let (home, dotnet, endpoint) = (Rc::clone(&self.home), self.dotnet.clone(), self.endpoint.clone());
        Self { home, dotnet, endpoint, opted_out: true }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The tool in this user's environment. Variables of the real environment, for example `CI` or `DO_NOT_TRACK`,
    /// would change the results.
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
        // Windows cannot start a program without it.
        if let Some(root) = std::env::var_os("SystemRoot") {
            command.env("SystemRoot", root);
        }
        if self.opted_out {
            command.env(OPT_OUT, "1");
        }
        command
    }

    /// Runs the tool with its log turned on. Fails unless it ends with this exit code.
    pub(crate) fn expect(&self, arguments: &[&str], exit_code: i32) -> Result<Output, Failure> {
        let shown = format!("dotnet {}", arguments.join(" "));
        let output = self
            .command(arguments)
            .env("DOTNET_LOG", "debug")
            .output()
            .map_err(|error| format!("`{shown}` does not start: {error}"))?;
        if output.status.code() != Some(exit_code) {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`{shown}` ended with {}, not with {exit_code}: {stderr}", output.status));
        }
        Ok(output)
    }

    /// The content of the tool's state and configuration files, by path.
    pub(crate) fn state(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failure> {
        let mut files = BTreeMap::new();
        let mut directories = vec![self.home().join("state"), self.home().join("config")];
        let mut read = || -> std::io::Result<()> {
            while let Some(directory) = directories.pop() {
                for entry in std::fs::read_dir(directory)? {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() {
                        directories.push(entry.path());
                    } else {
                        files.insert(entry.path(), std::fs::read(entry.path())?);
                    }
                }
            }
            Ok(())
        };
        read().map_err(|error| format!("the tool's files cannot be read: {error}"))?;
        Ok(files)
    }
}

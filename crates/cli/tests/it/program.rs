use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A file with each kind once.
pub(crate) const GOOD: &str = r#"format = 1

[publisher]
name = "Example Tools"
contact = "privacy@example.com"
privacy = "https://example.com/privacy"
retention_days = 90
licence = "CC0-1.0"

[[span]]
name = "build step"
target = "frob"
sentence = "Each step of a build"
why = "To see which steps are slow."
audience = "maker"
since = "1.0.0"
until = "never"

[[span]]
name = "phase"
target = "frob"
sentence = "Each phase of a step"
why = "To find the slow part."
audience = "operator"
since = "1.0.0"
until = "never"

[[data_point]]
key = "frob.command"
on = ["run"]
sentence = "The command being used"
why = "To know which commands matter."
kind = "command"
values = ["build", "test"]
audience = "maker"
since = "1.0.0"
until = "never"

[[data_point]]
key = "process.exit.code"
on = ["run"]
sentence = "The exit code of the command"
why = "To know what fails."
kind = "exit_code"
audience = "maker"
since = "1.0.0"
until = "never"

[[data_point]]
key = "frob.color"
on = ["run", "build step"]
sentence = "Whether output is coloured"
why = "To choose a default."
kind = "set"
values = ["always", "never"]
audience = "maker"
since = "1.0.0"
until = "never"

[[data_point]]
key = "frob.number"
on = ["build step", "phase"]
sentence = "The number of the step"
why = "To tell the steps apart."
kind = "integer"
min = -1
max = 9998
audience = "operator"
since = "1.1.0"
until = "3.0.0"

[[data_point]]
key = "frob.cached"
on = ["build step"]
sentence = "Whether a step was cached"
why = "To know whether the cache helps."
kind = "bool"
audience = "maker"
since = "1.0.0"
until = "never"

[[data_point]]
key = "frob.compiler"
on = ["build step"]
sentence = "The version of the compiler"
why = "To drop old ones."
kind = "version"
audience = "maker"
since = "1.0.0"
until = "never"

[[data_point]]
key = "frob.framework"
on = ["phase"]
sentence = "The framework used"
why = "To know what to support."
kind = "moniker"
prefixes = ["net", "netcoreapp"]
suffixes = ["-windows"]
audience = "operator"
since = "1.0.0"
until = "never"
"#;

/// A person with an empty home, who has the program.
pub(crate) struct Person {
    home: TempDir,
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Person {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file into the person's home, which is where the program runs.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tool-telemetry"));
        command.env_clear().env("HOME", self.home()).env("TZ", "UTC").current_dir(self.home());
        command
    }

    pub(crate) fn says<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Said {
        self.program().args(arguments).output().expect("the program starts").into()
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

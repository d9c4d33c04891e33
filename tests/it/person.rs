//! Fixture: a person with a home of their own, who runs the tool of the tests (`tests/tool`).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tool_telemetry::receiver::Receiver;

/// Long enough for a loaded machine; nothing waits for it when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// An address where nobody listens: a port that the kernel gave and that was closed again would be given away, so
/// it is the discard port, which nothing on a test machine serves.
pub const NOBODY: &str = "http://127.0.0.1:9";

/// An example program of this package, built by `cargo test` before the tests run.
pub fn example(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("the test's own path");
    folder.pop();
    if folder.ends_with("deps") || folder.ends_with("examples") {
        folder.pop();
    }
    let program = folder.join("examples").join(name);
    assert!(program.is_file(), "{} is missing: run `cargo build --examples`", program.display());
    program
}

/// A person with an empty home and no variables.
pub struct Person {
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl Person {
    /// A person who has not seen the notice.
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a folder"), variables: Vec::new() }
    }

    /// A person who turned telemetry on, with this endpoint.
    pub fn sending_to(endpoint: &str) -> Self {
        let person = Self::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        person.frob(["telemetry", "on"]);
        person
    }

    /// What the tool's author wrote into its source: unlike a variable it is there for the uploader too.
    pub fn whose_tool_has(self, name: &str, value: &str) -> Self {
        let file = self.home().join("frob.settings");
        let mut settings = std::fs::read_to_string(&file).unwrap_or_default();
        settings.push_str(&format!("{name}={value}\n"));
        std::fs::write(file, settings).expect("the settings are written");
        self
    }

    /// The folder of one destination's spool.
    pub fn spool(&self, endpoint: &str) -> PathBuf {
        let folder = endpoint.replace("://", "-").replace(':', "-");
        self.home().join(".local/state/frob/telemetry").join(folder)
    }

    /// An uploader for one destination, as a command would start it, not yet started. `purpose` is `detached`,
    /// `awaited` or `flush`.
    pub fn uploader(&self, program: impl AsRef<OsStr>, endpoint: &str, purpose: &str) -> Command {
        let spool = self.spool(endpoint);
        let mut command = self.command(program);
        command
            .env("TOOL_TELEMETRY_UPLOADER", spool.file_name().expect("a name"))
            .env("TOOL_TELEMETRY_UPLOADER_PURPOSE", purpose)
            .env("TOOL_TELEMETRY_OTLP_ENDPOINT", format!("{endpoint}/v1/traces"));
        command
    }

    /// Sets a variable in everything that the person runs.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A program in this person's environment, and in nothing else of ours.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home());
        command
    }

    /// The tool, not yet started.
    pub fn frob_command<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = self.command(example("frob"));
        command.args(arguments);
        command
    }

    /// Runs the tool.
    pub fn frob<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Output {
        self.frob_command(arguments).output().expect("the tool starts")
    }

    /// Everything below the home, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.home().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(entry.path());
                }
                files.push(entry.path());
            }
        }
        files.sort();
        files
    }

    /// The run files that wait, sealed or not.
    pub fn waiting(&self) -> Vec<PathBuf> {
        self.files()
            .into_iter()
            .filter(|path| path.parent().is_some_and(|folder| folder.ends_with("runs")) && path.is_file())
            .collect()
    }

    /// `telemetry status`, as text.
    pub fn status(&self) -> String {
        String::from_utf8(self.frob(["telemetry", "status"]).stdout).expect("text")
    }

    /// The number behind a word in `telemetry status`; 0 if it does not stand there. All destinations together.
    pub fn count(&self, word: &str) -> u64 {
        let status = self.status();
        status
            .lines()
            .map(str::trim)
            .filter_map(|line| {
                let rest = line.strip_prefix(word)?.trim();
                rest.split(' ').next()?.parse::<u64>().ok()
            })
            .sum()
    }

    /// Dropped runs of one reason.
    pub fn dropped(&self, reason: &str) -> u64 {
        let marker = format!("({reason})");
        self.status()
            .lines()
            .filter(|line| line.trim().starts_with("dropped") && line.ends_with(&marker))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum()
    }

    /// Sends what waits and says whether nothing is left.
    pub fn flush(&self) -> bool {
        self.frob(["telemetry", "flush"]).status.success()
    }
}

/// The one trace that a receiver got, as a tree.
pub fn only_tree(receiver: &Receiver) -> String {
    let traces = receiver.wait_for(1, PATIENCE).expect("a trace arrives");
    assert_eq!(traces.len(), 1, "{}", receiver.tree());
    traces[0].tree()
}

/// Waits until something holds; for what no event tells of.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

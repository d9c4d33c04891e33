//! The tools. Each is a package of the workspace `crates/benches/tools` and is built alone.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The trivial tool with one telemetry library.
#[derive(Debug)]
pub struct Tool {
    /// The package's name.
    pub name: &'static str,
    /// The name in the tables.
    pub title: &'static str,
    /// How it sends.
    pub sends: SendMode,
    /// Whether it uses this crate.
    pub is_ours: bool,
}

/// How a tool sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendMode {
    /// Not at all.
    Nothing,
    /// OTLP over HTTP, as protobuf.
    Http,
    /// OTLP over HTTPS, as protobuf.
    Https,
    /// OTLP over gRPC.
    Grpc,
    /// The library's own protocol over HTTP.
    Events,
}

const fn tool(name: &'static str, title: &'static str, sends: SendMode) -> Tool {
    Tool { name, title, sends, is_ours: false }
}

const fn ours(name: &'static str, title: &'static str, sends: SendMode) -> Tool {
    Tool { name, title, sends, is_ours: true }
}

/// All tools.
pub const TOOLS: [Tool; 9] = [
    tool("bare", "bare", SendMode::Nothing),
    tool("tracing-only", "`tracing`, no subscriber", SendMode::Nothing),
    ours("spool-only", "**tool-telemetry**, spool only", SendMode::Nothing),
    ours("default-features", "**tool-telemetry**, HTTPS linked", SendMode::Http),
    tool("otlp-http", "`opentelemetry-otlp`, HTTP", SendMode::Http),
    tool("otlp-grpc", "`opentelemetry-otlp`, gRPC", SendMode::Grpc),
    tool("otlp-https", "`opentelemetry-otlp`, HTTPS", SendMode::Https),
    tool("with-telemetry-kit", "`telemetry-kit` 0.3", SendMode::Events),
    tool("with-rtb-telemetry", "`rtb-telemetry` 0.7, HTTP sink", SendMode::Events),
];

/// The executable of a tool.
#[derive(Debug)]
pub struct BuiltTool {
    /// The tool.
    pub tool: &'static Tool,
    /// The executable.
    pub path: PathBuf,
    /// The stripped size in bytes.
    pub size: u64,
    /// The number of dependencies, without the crate `work`.
    pub crates: usize,
    /// The duration of a clean build.
    pub clean_build: Option<Duration>,
}

/// The directory of the tools' workspace.
fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools"))
}

/// The target directory of the tools. Not this program's own, whose lock cargo may hold.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}

impl Tool {
    /// Builds the tool with additional features; `clean` builds in an empty directory.
    ///
    /// # Errors
    ///
    /// The build fails.
    pub fn build(&'static self, clean: bool, features: &[&str]) -> Result<BuiltTool, Box<dyn Error>> {
        let target = if clean { target().join("clean") } else { target() };
        if clean && target.exists() {
            std::fs::remove_dir_all(&target)?;
        }
        let started = Instant::now();
        let status = cargo()
            .args(["build", "--quiet", "--release", "--locked", "--package", self.name])
            .args(features.iter().flat_map(|feature| ["--features", feature]))
            .env("CARGO_TARGET_DIR", &target)
            .status()?;
        let elapsed = started.elapsed();
        if !status.success() {
            return Err("see cargo's output".into());
        }
        let path = self::target().join("built").join([&[self.name], features].concat().join("+"));
        std::fs::create_dir_all(path.with_file_name(""))?;
        std::fs::copy(target.join("release").join(self.name), &path)?;
        Ok(BuiltTool {
            tool: self,
            size: std::fs::metadata(&path)?.len(),
            path: std::path::absolute(path)?,
            crates: self.crates()?,
            clean_build: clean.then_some(elapsed),
        })
    }

    /// The crates that are linked into the tool. Build scripts and procedural macros are not counted.
    fn crates(&self) -> Result<usize, Box<dyn Error>> {
        let output = cargo()
            .args(["tree", "--locked", "--package", self.name, "--edges", "normal,build", "--prefix", "none"])
            .args(["--format", "{p}"])
            .stdout(Stdio::piped())
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let names: BTreeSet<_> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.split(' ');
                Some((words.next()?, words.next()?))
            })
            .filter(|(name, _)| !name.is_empty() && *name != self.name && *name != "work")
            .collect();
        Ok(names.len())
    }
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    // The outer cargo's settings must not affect the tools.
    cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    cargo
}

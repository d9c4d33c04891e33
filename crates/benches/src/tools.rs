//! The tools: each a package of the workspace `crates/benches/tools`, and built by itself.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A way of having telemetry.
#[derive(Debug)]
pub struct Tool {
    /// The package's name.
    pub name: &'static str,
    /// What the tables call it.
    pub title: &'static str,
    /// How it reaches its receiver.
    pub sends: Sends,
    /// Whether it is with this crate.
    pub is_ours: bool,
}

/// How a tool reaches its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sends {
    /// It sends nothing.
    Nothing,
    /// OTLP, as protobuf.
    Http,
    /// The same over TLS.
    Https,
    /// OTLP over gRPC.
    Grpc,
    /// A protocol of its own, over HTTP.
    Events,
}

const fn tool(name: &'static str, title: &'static str, sends: Sends) -> Tool {
    Tool { name, title, sends, is_ours: false }
}

const fn ours(name: &'static str, title: &'static str, sends: Sends) -> Tool {
    Tool { name, title, sends, is_ours: true }
}

/// All tools.
pub const TOOLS: [Tool; 9] = [
    tool("bare", "bare", Sends::Nothing),
    tool("tracing-only", "`tracing`, no subscriber", Sends::Nothing),
    ours("spool-only", "**tool-telemetry**, spool only", Sends::Nothing),
    ours("default-features", "**tool-telemetry**, HTTPS linked", Sends::Http),
    tool("otlp-http", "`opentelemetry-otlp`, HTTP", Sends::Http),
    tool("otlp-grpc", "`opentelemetry-otlp`, gRPC", Sends::Grpc),
    tool("otlp-https", "`opentelemetry-otlp`, HTTPS", Sends::Https),
    tool("with-telemetry-kit", "`telemetry-kit` 0.3", Sends::Events),
    tool("with-rtb-telemetry", "`rtb-telemetry` 0.7, HTTP sink", Sends::Events),
];

/// A tool that was built.
#[derive(Debug)]
pub struct Built {
    /// Which one.
    pub tool: &'static Tool,
    /// The executable.
    pub path: PathBuf,
    /// Bytes, stripped.
    pub size: u64,
    /// Crates besides the tool and the work.
    pub crates: usize,
    /// How long a build took in which nothing was there.
    pub clean_build: Option<Duration>,
}

/// The folder of the tools' workspace.
fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools"))
}

/// Where the tools are built: not where this program is, whose build may be waiting for a lock.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}

impl Tool {
    /// Builds it, with features of its own besides; in an empty folder if asked.
    ///
    /// # Errors
    ///
    /// If it does not build.
    pub fn build(&'static self, clean: bool, features: &[&str]) -> Result<Built, Box<dyn Error>> {
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
            return Err("cargo says why".into());
        }
        let path = self::target().join("built").join([&[self.name], features].concat().join("+"));
        std::fs::create_dir_all(path.with_file_name(""))?;
        std::fs::copy(target.join("release").join(self.name), &path)?;
        Ok(Built {
            tool: self,
            size: std::fs::metadata(&path)?.len(),
            path: std::path::absolute(path)?,
            crates: self.crates()?,
            clean_build: clean.then_some(elapsed),
        })
    }

    /// The crates that are built for it: not those that run while it is built, though they take their time.
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
    // What the outer cargo set for this program must not reach the tools.
    cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    cargo
}

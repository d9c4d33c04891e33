//! Builds the example tool `dotnet` with this program's profile, into the same directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

/// Cargo's directories. This program is `<target>/<profile>/examples/quickstart`.
struct Directories {
    target: PathBuf,
    profile: String,
    examples: PathBuf,
}

fn directories() -> Result<Directories, Failure> {
    let program =
        std::env::current_exe().map_err(|error| format!("the path of this program is unknown: {error}"))?;
    let find = || {
        let examples = program.parent()?;
        let profile = examples.parent()?;
        Some(Directories {
            target: profile.parent()?.to_owned(),
            profile: profile.file_name()?.to_str()?.to_owned(),
            examples: examples.to_owned(),
        })
    };
    find().ok_or_else(|| "run it with `cargo run --example quickstart`".to_owned())
}

/// Builds `dotnet` and returns its path.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    let directories = directories()?;
    let profile = if directories.profile == "debug" { "dev" } else { &directories.profile };
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--example", "dotnet", "--profile", profile, "--target-dir"])
        .arg(&directories.target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the example `dotnet` cannot be built:\n{stderr}"));
    }
    let dotnet = directories.examples.join(format!("dotnet{}", std::env::consts::EXE_SUFFIX));
    match dotnet.is_file() {
        true => Ok(dotnet),
        false => Err(format!("cargo did not create {}", dotnet.display())),
    }
}

/// A new file that remains until `cargo clean`.
pub(crate) fn file_to_keep() -> Result<PathBuf, Failure> {
    let directory = directories()?.target.join("quickstart");
    let create = || -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(&directory)?;
        let file = tempfile::Builder::new().prefix("received-").suffix(".jsonl").tempfile_in(&directory)?;
        Ok(file.keep()?.1)
    };
    create().map_err(|error| format!("no file can be created in {}: {error}", directory.display()))
}

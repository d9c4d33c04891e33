//! The example tool `dotnet`: built as this program was, and beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Fault;

/// Where cargo puts things: `<target>/<profile>/examples/quickstart` is this program.
struct Built {
    target: PathBuf,
    profile: String,
    examples: PathBuf,
}

fn built() -> Result<Built, Fault> {
    let program = std::env::current_exe().map_err(|error| format!("no path of its own: {error}"))?;
    let find = || {
        let examples = program.parent()?;
        let profile = examples.parent()?;
        Some(Built {
            target: profile.parent()?.to_owned(),
            profile: profile.file_name()?.to_str()?.to_owned(),
            examples: examples.to_owned(),
        })
    };
    find().ok_or_else(|| "run it with `cargo run --example quickstart`".to_owned())
}

/// Builds `dotnet` and gives its path.
pub(crate) fn build() -> Result<PathBuf, Fault> {
    let built = built()?;
    let profile = if built.profile == "debug" { "dev" } else { &built.profile };
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--example", "dotnet", "--profile", profile, "--target-dir"])
        .arg(&built.target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .map_err(|error| format!("cargo, which is to build `dotnet`, does not start: {error}"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the example `dotnet` could not be built:\n{told}"));
    }
    let dotnet = built.examples.join(format!("dotnet{}", std::env::consts::EXE_SUFFIX));
    match dotnet.is_file() {
        true => Ok(dotnet),
        false => Err(format!("cargo built no {}", dotnet.display())),
    }
}

/// A new file that stays after the end, until `cargo clean`.
pub(crate) fn file_to_keep() -> Result<PathBuf, Fault> {
    let folder = built()?.target.join("quickstart");
    let make = || -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(&folder)?;
        let file = tempfile::Builder::new().prefix("received-").suffix(".jsonl").tempfile_in(&folder)?;
        Ok(file.keep()?.1)
    };
    make().map_err(|error| format!("no file can be made in {}: {error}", folder.display()))
}

//! The page as a file that only its owner can read, and opening it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tool_telemetry::command::SpoolInspector;

use crate::fault::Fault;

/// Where the page of a tool goes if nobody says: never a folder that others can write to.
pub(super) fn usual_path(tool: &str) -> Result<PathBuf, Fault> {
    let state = SpoolInspector::state_home().ok_or_else(|| {
        Fault::usage("there is no home folder. Say where the page goes with --output FILE.")
    })?;
    let folder = state.join("tool-telemetry").join("view");
    private_folder(&folder).map_err(|error| {
        Fault::file("made", &folder, &error, "Say where the page goes with --output FILE.")
    })?;
    Ok(folder.join(format!("{tool}.html")))
}

/// Writes the page beside its place and renames it there: a browser that reads the old one is not disturbed, and what
/// had other rights before has them no more.
pub(super) fn write(path: &Path, html: &str) -> Result<(), Fault> {
    let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = private_file(&temporary)
        .and_then(|mut file| file.write_all(html.as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Fault::file("written", path, &error, "Say where the page goes with --output FILE.")
    })
}

/// Asks the desktop to open the page; what it starts outlives this program. Whether something could be asked.
pub(super) fn open(path: &Path) -> bool {
    let mut opener = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        Command::new("explorer")
    } else {
        Command::new("xdg-open")
    };
    // A relative path that begins with a dash would be read as an option.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    opener.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
}

#[cfg(unix)]
fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

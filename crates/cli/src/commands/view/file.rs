//! Writes the page to a file that only its owner can read, and opens it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tool_telemetry::command::SpoolInspector;

use crate::error::Error;

const ADVICE: &str = "Name another file with --output FILE.";

/// The file for a tool's page, in a directory that other users cannot write to.
pub(super) fn default_path(tool: &str) -> Result<PathBuf, Error> {
    let state = SpoolInspector::state_home()
        .ok_or_else(|| Error::usage(format!("you have no home directory. {ADVICE}")))?;
    let directory = state.join("tool-telemetry").join("view");
    create_private_directory(&directory)
        .map_err(|error| Error::file("created", &directory, &error, ADVICE))?;
    Ok(directory.join(format!("{tool}.html")))
}

/// Replaces the file by a rename. A browser that is reading the old page is not disturbed, and the permissions of the
/// old file do not remain.
pub(super) fn write(path: &Path, html: &str) -> Result<(), Error> {
    let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = create_private_file(&temporary)
        .and_then(|mut file| file.write_all(html.as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Error::file("written", path, &error, ADVICE)
    })
}

/// Opens the page in the desktop's browser, which outlives this program. Returns whether the opener started.
pub(super) fn open_in_browser(path: &Path) -> bool {
    let mut opener = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        Command::new("explorer")
    } else {
        Command::new("xdg-open")
    };
    // The opener would read a relative path that begins with `-` as an option.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    opener.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
}

#[cfg(unix)]
fn create_private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

#[cfg(unix)]
fn create_private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

//! The one error type of this crate. It is opaque. It gives the path that it concerns, and a sentence with the remedy.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a telemetry command failed. Recording never returns an error.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
}

/// The most files that one message names.
const MAX_NAMED: usize = 20;

#[derive(Debug)]
enum ErrorKind {
    /// A file cannot be read or written.
    File { what: &'static str, path: PathBuf, source: io::Error },
    /// Some files of runs cannot be deleted. The message begins with `prefix`.
    NotDeleted { prefix: &'static str, errors: Vec<(PathBuf, io::Error)> },
    /// There is no home directory that belongs to this user.
    NoHome,
    /// Telemetry is off, so there is nothing to send.
    Off { reason: String, remedy: String },
    /// The tool that should send is not in `PATH`.
    NoProgram { tool: &'static str, pending: u64 },
    /// The uploader does not start.
    Uploader(io::Error),
}

impl Error {
    pub(crate) fn file(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self { kind: ErrorKind::File { what, path: path.to_owned(), source } }
    }

    pub(crate) fn not_deleted(prefix: &'static str, errors: Vec<(PathBuf, io::Error)>) -> Self {
        Self { kind: ErrorKind::NotDeleted { prefix, errors } }
    }

    pub(crate) fn no_home() -> Self {
        Self { kind: ErrorKind::NoHome }
    }

    pub(crate) fn off(reason: String, remedy: String) -> Self {
        Self { kind: ErrorKind::Off { reason, remedy } }
    }

    pub(crate) fn no_program(tool: &'static str, pending: u64) -> Self {
        Self { kind: ErrorKind::NoProgram { tool, pending } }
    }

    pub(crate) fn uploader(source: io::Error) -> Self {
        Self { kind: ErrorKind::Uploader(source) }
    }

    /// Whether the command failed because telemetry is off.
    pub fn is_off(&self) -> bool {
        matches!(self.kind, ErrorKind::Off { .. })
    }

    /// Whether the command failed because a file cannot be read, written, or deleted.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, ErrorKind::File { .. } | ErrorKind::NotDeleted { .. })
    }

    /// The file or directory that the error concerns.
    pub fn path(&self) -> Option<&Path> {
        match &self.kind {
            ErrorKind::File { path, .. } => Some(path),
            ErrorKind::NotDeleted { errors, .. } => errors.first().map(|(path, _)| path.as_path()),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ErrorKind::File { what, path, source } => {
                let path = path.display();
                write!(f, "cannot {what} {path}: {source}; check who owns it and whether the disk is full")
            }
            ErrorKind::NotDeleted { prefix, errors } => {
                write!(f, "{prefix}{} could not be deleted:", counted(errors.len()))?;
                for (position, (path, source)) in errors.iter().take(MAX_NAMED).enumerate() {
                    let comma = if position > 0 { "," } else { "" };
                    write!(f, "{comma} {} ({source})", path.display())?;
                }
                let more = if errors.len() > MAX_NAMED { ", and more" } else { "" };
                write!(f, "{more}; delete them, or make them writable and try again")
            }
            ErrorKind::NoHome => f.write_str(
                "there is no home directory that belongs to this user; set HOME, or XDG_STATE_HOME and XDG_CONFIG_HOME",
            ),
            ErrorKind::Off { reason, remedy } => {
                write!(f, "nothing was sent, because telemetry is off: {reason}; {remedy}")
            }
            ErrorKind::NoProgram { tool, pending } => write!(
                f,
                "nothing was sent ({pending} pending): only the tool sends its runs, and no program {tool} is in PATH; add its \
                 directory to PATH"
            ),
            ErrorKind::Uploader(source) => {
                write!(f, "cannot start the uploader: {source}; pending runs are kept, so try again later")
            }
        }
    }
}

/// `1 file`, `2 files`.
fn counted(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::File { source, .. } | ErrorKind::Uploader(source) => Some(source),
            ErrorKind::NotDeleted { errors, .. } => errors.first().map(|(_, source)| source as _),
            ErrorKind::NoHome | ErrorKind::Off { .. } | ErrorKind::NoProgram { .. } => None,
        }
    }
}

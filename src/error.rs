//! The one error of this crate: opaque, with the path that it concerns and a sentence that says what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why something that the person asked for could not be done. Recording never gives one: it never fails a tool.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
}

/// Files that one message names.
const MOST_NAMED: usize = 20;

#[derive(Debug)]
enum ErrorKind {
    /// Something could not be read or written.
    File { what: &'static str, path: PathBuf, source: io::Error },
    /// Not everything that is kept of runs could be deleted.
    Remains { but: &'static str, remains: Vec<(PathBuf, io::Error)> },
    /// There is no home folder of this user's.
    NoHome,
    /// Telemetry is off, so the thing asked for has no meaning.
    Off { reason: String, remedy: String },
    /// A tool that is to send is not where a shell would find it.
    NoProgram { tool: &'static str, waiting: u64 },
    /// The uploader could not be started.
    Uploader(io::Error),
}

impl Error {
    pub(crate) fn file(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self { kind: ErrorKind::File { what, path: path.to_owned(), source } }
    }

    pub(crate) fn remains(but: &'static str, remains: Vec<(PathBuf, io::Error)>) -> Self {
        Self { kind: ErrorKind::Remains { but, remains } }
    }

    pub(crate) fn no_home() -> Self {
        Self { kind: ErrorKind::NoHome }
    }

    pub(crate) fn off(reason: String, remedy: String) -> Self {
        Self { kind: ErrorKind::Off { reason, remedy } }
    }

    pub(crate) fn no_program(tool: &'static str, waiting: u64) -> Self {
        Self { kind: ErrorKind::NoProgram { tool, waiting } }
    }

    pub(crate) fn uploader(source: io::Error) -> Self {
        Self { kind: ErrorKind::Uploader(source) }
    }

    /// Whether it failed because telemetry is off.
    pub fn is_off(&self) -> bool {
        matches!(self.kind, ErrorKind::Off { .. })
    }

    /// Whether it failed because a file could not be read or written.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, ErrorKind::File { .. } | ErrorKind::Remains { .. })
    }

    /// The file or folder that it concerns.
    pub fn path(&self) -> Option<&Path> {
        match &self.kind {
            ErrorKind::File { path, .. } => Some(path),
            ErrorKind::Remains { remains, .. } => remains.first().map(|(path, _)| path.as_path()),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ErrorKind::File { what, path, source } => {
                write!(f, "cannot {what} {}: {source}; check who owns it and whether the disk is full", path.display())
            }
            ErrorKind::Remains { but, remains } => {
                write!(f, "{but}{} could not be deleted:", remains.len())?;
                for (position, (path, source)) in remains.iter().take(MOST_NAMED).enumerate() {
                    let comma = if position > 0 { "," } else { "" };
                    write!(f, "{comma} {} ({source})", path.display())?;
                }
                let more = if remains.len() > MOST_NAMED { " and more" } else { "" };
                write!(f, "{more}; delete what is named here, or make it writable and try again")
            }
            ErrorKind::NoHome => f.write_str(
                "there is no home folder that belongs to this user; set HOME, or XDG_STATE_HOME and XDG_CONFIG_HOME",
            ),
            ErrorKind::Off { reason, remedy } => {
                write!(f, "nothing was sent, since telemetry is off: {reason}; {remedy}")
            }
            ErrorKind::NoProgram { tool, waiting } => write!(
                f,
                "nothing was sent, and pending are {waiting}: only the tool sends its runs, and no program {tool} is in \
                 PATH; add its folder to PATH"
            ),
            ErrorKind::Uploader(source) => write!(f, "cannot start the uploader: {source}; try again, and what waits is kept until then"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::File { source, .. } | ErrorKind::Uploader(source) => Some(source),
            ErrorKind::Remains { remains, .. } => remains.first().map(|(_, source)| source as _),
            ErrorKind::NoHome | ErrorKind::Off { .. } | ErrorKind::NoProgram { .. } => None,
        }
    }
}

//! Why a store could not do what it was to do.

use std::fmt;
use std::path::Path;

/// Why a store could not do what it was to do, in words for its operator. It never holds a value of a run.
#[derive(Debug)]
pub struct StoreError {
    kind: ErrorKind,
    text: String,
}

/// What an operator can do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no store.
    Missing,
    /// Another process uses it.
    InUse,
    /// A newer version of this program made it.
    Newer,
    /// An older version of this program wrote it last, and it can only be read once this one has opened it to write.
    Older,
    /// It does not hold what was written to it.
    Damaged,
    /// The disk is full.
    Full,
    /// The disk, or the file, cannot be written.
    ReadOnly,
    /// Anything else that the operating system reports.
    Other,
}

impl StoreError {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(crate) fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::ReadOnly
            }
            _ => ErrorKind::Other,
        };
        Self::new(kind, format!("{} cannot be {what}: {error}", path.display()))
    }

    /// What happened.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => ErrorKind::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => ErrorKind::ReadOnly,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Damaged,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::InUse,
            _ => ErrorKind::Other,
        };
        // SQLite's message names tables and files, never a value that was bound.
        Self::new(kind, format!("the store cannot be used: {error}"))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StoreError {}

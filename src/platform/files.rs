//! File-system helpers that are the same on every system.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::path::Path;

use super::{
    FileIdentity, create_private, has_other_names, identity_at, is_own, make_private_dirs, open_own, rename,
    sync_directory,
};

/// A random number for rare uses, such as a temporary name or jitter.
pub(crate) fn random_number() -> u64 {
    RandomState::new().hash_one(0)
}

/// Creates a private directory and its missing ancestors.
///
/// The nearest existing ancestor must belong to this user. `sudo -E` keeps the caller's `XDG_CONFIG_HOME`, and a
/// directory that root left there would lock the caller out.
///
/// # Errors
///
/// That ancestor belongs to another user, or the system refused.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut ancestor = path;
    let nearest = loop {
        match std::fs::metadata(ancestor) {
            Ok(metadata) => break metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                ancestor = ancestor.parent().ok_or(io::ErrorKind::NotFound)?;
            }
            Err(error) => return Err(error),
        }
    };
    if !nearest.is_dir() || !is_own(&nearest) {
        let what = format!("{} is not a directory of this user", ancestor.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    if ancestor == path { Ok(()) } else { make_private_dirs(path) }
}

/// The directory that contains a file.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Replaces a file in one step: a reader sees the old content or the new one. The new file is private.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{:016x}.tmp", random_number()));
    let temporary = path.with_file_name(name);
    let written = create_private(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Replaces a file as [`replace_file`] does, and returns when the new content survives a power cut. `may_replace` is asked
/// just before the replacement.
///
/// # Errors
///
/// The system refused, or `may_replace` did, which is [`io::ErrorKind::Interrupted`].
pub(crate) fn replace_file_durably(
    path: &Path,
    content: &[u8],
    may_replace: impl FnOnce() -> bool,
) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{:016x}.tmp", random_number()));
    let temporary = path.with_file_name(name);
    let written = create_private(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| if may_replace() { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) })
        .and_then(|()| rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_directory(directory_of(path)))
}

impl FileIdentity {
    /// Whether the path names this file.
    pub(crate) fn is_of(self, path: &Path) -> bool {
        identity_at(path).is_ok_and(|identity| identity == self)
    }
}

/// Empties a file. A file that a process still writes, or that has another hard link, is replaced instead.
pub(crate) fn empty_file(path: &Path, is_being_written: bool) -> io::Result<()> {
    let (file, metadata) = open_own(path, true, false)?;
    if is_being_written || has_other_names(&file, &metadata) {
        replace_file(path, b"")
    } else {
        file.set_len(0)
    }
}

/// Whether the error means that nothing exists at the path. A part of the path may also be a file.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether a path at which nothing exists is or contains a broken link. Its target may come back, for example when a
/// file system is mounted again.
pub(crate) fn has_broken_link(path: &Path) -> bool {
    for part in path.ancestors() {
        match std::fs::read_link(part) {
            Ok(_) => return !part.exists(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return false,
        }
    }
    false
}

/// Whether a path holds something that we never create: a link, a directory, a FIFO, or another user's file.
pub(crate) fn is_foreign(error: &io::Error) -> bool {
    #[cfg(unix)]
    let is_link = error.raw_os_error() == Some(libc::ELOOP);
    #[cfg(not(unix))]
    let is_link = false;
    // The refusal of `open_own` has no error number. The system's own refusal has one, and may be temporary.
    is_link || (error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none())
}

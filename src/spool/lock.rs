//! The uploader's lock: an operating-system lock, so that it ends with its owner.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::platform;

/// Held while it lives. The file is never deleted: whoever waits for it waits for this very file.
#[derive(Debug)]
pub(crate) struct UploaderLock {
    _file: File,
}

/// Whether an uploader is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uploader {
    AtWork,
    Absent,
}

impl UploaderLock {
    /// Takes the lock, or says that somebody holds it. Where the file system has no locks the caller goes on
    /// without one: sending twice is better than never.
    pub(crate) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let (file, _) = platform::open_own(path, true, true)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) if has_no_locks(&error) => Ok(Some(Self { _file: file })),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Looks whether an uploader is at work, by a shared lock that is given back at once. An uploader that
    /// starts in this moment tries again for 100 ms.
    pub(crate) fn probe(path: &Path) -> io::Result<Uploader> {
        let file = match platform::open_own(path, false, false) {
            Ok((file, _)) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Uploader::Absent),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Uploader::Absent),
            Err(TryLockError::WouldBlock) => Ok(Uploader::AtWork),
            Err(TryLockError::Error(error)) if has_no_locks(&error) => Ok(Uploader::Absent),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// NFS without its lock service, and some FUSE file systems.
pub(crate) fn has_no_locks(error: &io::Error) -> bool {
    if error.kind() == io::ErrorKind::Unsupported {
        return true;
    }
    #[cfg(unix)]
    {
        matches!(error.raw_os_error(), Some(libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL))
    }
    #[cfg(not(unix))]
    false
}

//! The uploader's lock: an operating-system lock, so that it ends with its owner.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::platform::{self, FileIdentity};

/// Held while it lives. The file is never deleted: whoever waits for it waits for this very file.
#[derive(Debug)]
pub(crate) struct UploaderLock {
    _file: File,
    identity: FileIdentity,
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
        let (file, metadata) = platform::open_own(path, true, true)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if !has_no_locks(&error) => return Err(error),
            _ => {}
        }
        Ok(Some(Self { _file: file, identity: platform::file_identity(&metadata) }))
    }

    /// Whether the path still leads to the file that is locked. If somebody deleted the spool, another uploader may
    /// hold another file's lock by now.
    pub(crate) fn is_named(&self, path: &Path) -> bool {
        std::fs::symlink_metadata(path).is_ok_and(|named| platform::file_identity(&named) == self.identity)
    }

    /// Looks whether an uploader is at work, by a shared lock that is given back at once. An uploader that
    /// starts in this moment tries again for 100 ms.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, made or locked: an uploader could not either, and would be started by every
    /// command anew.
    pub(crate) fn probe(path: &Path) -> io::Result<Uploader> {
        let (file, _) = platform::open_own(path, true, true)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_the_lock_and_others_see_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(UploaderLock::probe(&path).unwrap(), Uploader::Absent);
        let lock = UploaderLock::try_take(&path).unwrap().unwrap();
        assert!(UploaderLock::try_take(&path).unwrap().is_none());
        assert_eq!(UploaderLock::probe(&path).unwrap(), Uploader::AtWork);
        assert!(lock.is_named(&path));
        std::fs::remove_file(&path).unwrap();
        assert!(!lock.is_named(&path));
        let _another = UploaderLock::try_take(&path).unwrap().unwrap();
        assert!(!lock.is_named(&path));
    }

    #[test]
    fn where_no_uploader_could_lock_none_is_started() {
        let folder = tempfile::tempdir().unwrap();
        assert!(UploaderLock::probe(&folder.path().join("missing").join("lock")).is_err());
        assert!(UploaderLock::probe(folder.path()).is_err());
    }
}

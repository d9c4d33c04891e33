//! The uploader's lock. It is an operating-system lock, so it ends with its owner.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::start_history::{MAX_BYTES, StartEvent, StartHistory};
use crate::model::clock::age;
use crate::platform::{self, FileIdentity};

/// Holds the lock until it is dropped. The file is never deleted, because others may be waiting for its lock.
#[derive(Debug)]
pub(crate) struct UploaderLock {
    file: File,
    /// The substitute on a file system without locks.
    _lease: Option<LeaseFile>,
    identity: FileIdentity,
}

/// The result of an attempt to lock a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockAttempt {
    Acquired,
    Held,
    /// The file system has no locks.
    Unsupported,
}

/// Tries to take an operating-system lock: `flock`, or an OFD lock if the file system has no `flock`.
pub(super) fn try_lock(file: &File, is_shared: bool) -> io::Result<LockAttempt> {
    match platform::try_flock(file, is_shared) {
        Ok(()) => Ok(LockAttempt::Acquired),
        Err(TryLockError::WouldBlock) => Ok(LockAttempt::Held),
        Err(TryLockError::Error(error)) if has_no_locks(&error) => {
            Ok(match platform::try_ofd_lock(file, is_shared) {
                Ok(true) => LockAttempt::Acquired,
                Ok(false) => LockAttempt::Held,
                Err(_) => LockAttempt::Unsupported,
            })
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl UploaderLock {
    /// Takes the lock unless another process holds it. The file's modification time is the time at which the lock was taken.
    pub(crate) fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        let (file, _) = platform::open_own_to_append(path)?;
        let lease = match try_lock(&file, false)? {
            LockAttempt::Acquired => None,
            LockAttempt::Held => return Ok(None),
            LockAttempt::Unsupported => match LeaseFile::try_acquire(path)? {
                Some(lease) => Some(lease),
                None => return Ok(None),
            },
        };
        let identity = platform::identity_of_open(&file)?;
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(Self { file, _lease: lease, identity }))
    }

    /// Checks by a shared lock whether an uploader is running. An uploader that starts at this moment retries for
    /// 100 ms.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, created, or locked. An uploader could not lock it either, and every command would
    /// start another one.
    pub(crate) fn probe(path: &Path) -> io::Result<LockState> {
        let (mut file, metadata) = platform::open_own_to_append(path)?;
        let is_held = match try_lock(&file, true)? {
            LockAttempt::Acquired => {
                if platform::unlock(&file).is_err() {
                    // An OFD lock is released with its file.
                    file = platform::open_own_to_append(path)?.0;
                }
                false
            }
            LockAttempt::Held => true,
            LockAttempt::Unsupported => LeaseFile::is_held(path),
        };
        Ok(LockState { is_held, file, length: metadata.len(), modified: metadata.modified().ok() })
    }

    /// Whether the path still names the locked file. If the spool was deleted, another uploader may have locked a new
    /// file there.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.identity.is_of(path)
    }

    /// Whether the lock was taken longer ago than an uploader lives. If it is still held, its owner is frozen.
    pub(crate) fn is_older_than(path: &Path, life: Duration) -> bool {
        let taken = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
        taken.is_ok_and(|taken| age(taken, SystemTime::now()) > life)
    }

    /// Records that the uploader begins, so that one that never ends is noticed.
    pub(crate) fn record_begin(&self) {
        StartEvent::Begun.append_to(&self.file);
    }

    /// Records that the uploader ends in order.
    pub(crate) fn record_end(&self) {
        let _ = self.file.set_len(0);
    }
}

/// The lock's file as a command finds it.
#[derive(Debug)]
pub(crate) struct LockState {
    /// Whether an uploader is running.
    pub(crate) is_held: bool,
    file: File,
    length: u64,
    modified: Option<SystemTime>,
}

impl LockState {
    /// The starts since an uploader last ended in order. This costs nothing if the file is empty.
    pub(crate) fn history(&self) -> StartHistory {
        match self.modified {
            Some(modified) if self.length > 0 => {
                StartHistory::read_from(&self.file, modified).unwrap_or_default()
            }
            _ => StartHistory::default(),
        }
    }

    pub(crate) fn note(&self, event: StartEvent) {
        if self.length < MAX_BYTES {
            event.append_to(&self.file);
        }
    }

    /// Forgets the history, because every start was reported.
    pub(crate) fn clear(&self) {
        let _ = self.file.set_len(0);
    }
}

/// Replaces the lock on a file system without locks: a file that only one process can create. If its process dies, the
/// lease expires after [`LEASE`].
///
/// Two uploaders may hold it if one was frozen for longer than it lives. Sending a run twice is better than never.
#[derive(Debug)]
struct LeaseFile {
    path: PathBuf,
    identity: FileIdentity,
}

/// Longer than an uploader lives.
const LEASE: Duration = Duration::from_secs(75);

impl LeaseFile {
    fn path(lock: &Path) -> PathBuf {
        lock.with_extension("lease")
    }

    fn is_held(lock: &Path) -> bool {
        let metadata = std::fs::symlink_metadata(Self::path(lock));
        metadata
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|taken| age(taken, SystemTime::now()) < LEASE)
    }

    fn try_acquire(lock: &Path) -> io::Result<Option<Self>> {
        let path = Self::path(lock);
        match platform::create_private(&path) {
            Ok(file) => return Ok(Some(Self { identity: platform::identity_of_open(&file)?, path })),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if Self::is_held(lock) {
            return Ok(None);
        }
        // The next attempt creates the lease. Another process may have done so since the check, and then its lease is
        // put back.
        let Ok(expired) = platform::identity_at(&path) else { return Ok(None) };
        let aside = path.with_extension(format!("{:016x}.tmp", platform::random_number()));
        platform::rename(&path, &aside)?;
        if !expired.is_of(&aside) {
            let _ = std::fs::hard_link(&aside, &path);
        }
        std::fs::remove_file(&aside)?;
        Ok(None)
    }
}

impl Drop for LeaseFile {
    fn drop(&mut self) {
        if self.identity.is_of(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// NFS without its lock service, and some FUSE file systems.
fn has_no_locks(error: &io::Error) -> bool {
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
    fn only_one_process_holds_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        assert!(!UploaderLock::probe(&path).unwrap().is_held);
        let lock = UploaderLock::try_acquire(&path).unwrap().unwrap();
        assert!(UploaderLock::try_acquire(&path).unwrap().is_none());
        assert!(UploaderLock::probe(&path).unwrap().is_held);
        assert!(lock.is_at(&path));
        std::fs::remove_file(&path).unwrap();
        assert!(!lock.is_at(&path));
        let _other = UploaderLock::try_acquire(&path).unwrap().unwrap();
        assert!(!lock.is_at(&path));
    }

    #[test]
    fn a_lock_that_cannot_be_taken_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(UploaderLock::probe(&directory.path().join("missing").join("lock")).is_err());
        assert!(UploaderLock::probe(directory.path()).is_err());
    }
}

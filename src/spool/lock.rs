//! The uploader's lock: an operating-system lock, so that it ends with its owner.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::starts::{LARGEST, Line, Starts};
use crate::platform::{self, FileIdentity};

/// Held while it lives. The file is never deleted: whoever waits for it waits for this very file.
#[derive(Debug)]
pub(crate) struct UploaderLock {
    file: File,
    /// Where the file system has no locks.
    _lease: Option<Lease>,
    identity: FileIdentity,
}

/// Whether an uploader is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uploader {
    AtWork,
    Absent,
}

/// What a try for a lock gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Had,
    Held,
    /// The file system has none.
    Unknown,
}

/// Tries for an operating-system lock: `flock`, and where the file system has none an OFD lock.
pub(crate) fn try_lock(file: &File, is_shared: bool) -> io::Result<Lock> {
    match if is_shared { file.try_lock_shared() } else { file.try_lock() } {
        Ok(()) => Ok(Lock::Had),
        Err(TryLockError::WouldBlock) => Ok(Lock::Held),
        Err(TryLockError::Error(error)) if has_no_locks(&error) => {
            Ok(match platform::try_ofd_lock(file, is_shared) {
                Ok(true) => Lock::Had,
                Ok(false) => Lock::Held,
                Err(_) => Lock::Unknown,
            })
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl UploaderLock {
    /// Takes the lock, or says that somebody holds it. Its time tells since when.
    pub(crate) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let (file, metadata) = platform::open_own_to_append(path)?;
        let lease = match try_lock(&file, false)? {
            Lock::Had => None,
            Lock::Held => return Ok(None),
            Lock::Unknown => match Lease::try_take(path)? {
                Some(lease) => Some(lease),
                None => return Ok(None),
            },
        };
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(Self { file, _lease: lease, identity: platform::file_identity(&metadata) }))
    }

    /// Whether the path still leads to the file that is locked. If somebody deleted the spool, another uploader may
    /// hold another file's lock by now.
    pub(crate) fn is_named(&self, path: &Path) -> bool {
        std::fs::symlink_metadata(path).is_ok_and(|named| platform::file_identity(&named) == self.identity)
    }

    /// Whether the lock was taken longer ago than an uploader lives. If it is held all the same, its owner is frozen.
    pub(crate) fn is_older(path: &Path, life: Duration) -> bool {
        let taken = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
        taken.is_ok_and(|taken| distance(taken) > life)
    }

    /// An uploader begins: should it never end, this is seen.
    pub(crate) fn begin(&self) {
        Line::Begun.note(&self.file);
    }

    /// The uploader ends in order: every start has reported.
    pub(crate) fn end(&self) {
        let _ = self.file.set_len(0);
    }
}

/// The lock's file as a command finds it.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) uploader: Uploader,
    file: File,
    length: u64,
    modified: Option<SystemTime>,
}

impl Probe {
    /// Looks whether an uploader is at work, by a shared lock. An uploader that starts in this moment tries again
    /// for 100 ms.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, made or locked: an uploader could not either, and would be started by every
    /// command anew.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let (mut file, metadata) = platform::open_own_to_append(path)?;
        let uploader = match try_lock(&file, true)? {
            Lock::Had => {
                if file.unlock().is_err() {
                    // An OFD lock is given back with its file.
                    file = platform::open_own_to_append(path)?.0;
                }
                Uploader::Absent
            }
            Lock::Held => Uploader::AtWork,
            Lock::Unknown if Lease::is_held(path) => Uploader::AtWork,
            Lock::Unknown => Uploader::Absent,
        };
        Ok(Self { uploader, file, length: metadata.len(), modified: metadata.modified().ok() })
    }

    /// The starts that did not report. Costs nothing where all did.
    pub(crate) fn starts(&self) -> Starts {
        match self.modified {
            Some(modified) if self.length > 0 => Starts::read(&self.file, modified).unwrap_or_default(),
            _ => Starts::default(),
        }
    }

    /// Notes what became of a start.
    pub(crate) fn note(&self, line: Line) {
        if self.length < LARGEST {
            line.note(&self.file);
        }
    }

    /// All starts have reported.
    pub(crate) fn clear(&self) {
        let _ = self.file.set_len(0);
    }
}

/// The starts of a spool that nobody is to change: nothing where there is no lock.
pub(crate) fn starts_of(path: &Path) -> Starts {
    let read = || -> io::Result<Starts> {
        let (file, metadata) = platform::open_own(path, false, false)?;
        Starts::read(&file, metadata.modified()?)
    };
    read().unwrap_or_default()
}

/// Stands for the lock where there is none: a file beside it that only one process can create. One that was left by a
/// process that died is nobody's after [`LEASE`].
///
/// Two uploaders may hold it when one was frozen for longer than it lives: sending twice is better than never.
#[derive(Debug)]
struct Lease {
    path: PathBuf,
    identity: FileIdentity,
}

/// Longer than an uploader lives.
const LEASE: Duration = Duration::from_secs(75);

impl Lease {
    fn path(lock: &Path) -> PathBuf {
        lock.with_extension("lease")
    }

    fn is_held(lock: &Path) -> bool {
        let metadata = std::fs::symlink_metadata(Self::path(lock));
        metadata.and_then(|metadata| metadata.modified()).is_ok_and(|taken| distance(taken) < LEASE)
    }

    fn try_take(lock: &Path) -> io::Result<Option<Self>> {
        let path = Self::path(lock);
        match platform::create_private(&path) {
            Ok(file) => return Ok(Some(Self { identity: platform::identity_of_open(&file)?, path })),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if Self::is_held(lock) {
            return Ok(None);
        }
        // The next try creates it. Somebody else may have done so since we looked: that one is put back.
        let Ok(old) = std::fs::symlink_metadata(&path) else { return Ok(None) };
        let aside = path.with_extension(format!("{:016x}.tmp", crate::platform::random_number()));
        std::fs::rename(&path, &aside)?;
        let taken = std::fs::symlink_metadata(&aside)?;
        if platform::file_identity(&taken) != platform::file_identity(&old) {
            let _ = std::fs::hard_link(&aside, &path);
        }
        std::fs::remove_file(&aside)?;
        Ok(None)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let named = std::fs::symlink_metadata(&self.path);
        if named.is_ok_and(|named| platform::file_identity(&named) == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A time as far ahead is as old as one as far back: the clock has jumped.
fn distance(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_else(|ahead| ahead.duration())
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
    fn one_holds_the_lock_and_others_see_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(Probe::open(&path).unwrap().uploader, Uploader::Absent);
        let lock = UploaderLock::try_take(&path).unwrap().unwrap();
        assert!(UploaderLock::try_take(&path).unwrap().is_none());
        assert_eq!(Probe::open(&path).unwrap().uploader, Uploader::AtWork);
        assert!(lock.is_named(&path));
        std::fs::remove_file(&path).unwrap();
        assert!(!lock.is_named(&path));
        let _another = UploaderLock::try_take(&path).unwrap().unwrap();
        assert!(!lock.is_named(&path));
    }

    #[test]
    fn where_no_uploader_could_lock_none_is_started() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Probe::open(&folder.path().join("missing").join("lock")).is_err());
        assert!(Probe::open(folder.path()).is_err());
    }
}

//! Files: owners, identities, locks, limits, and opening them safely.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::platform::directory_of;

/// Whether the effective user owns the file.
pub(crate) fn is_own(metadata: &Metadata) -> bool {
    // SAFETY: geteuid only reads this process's id.
    metadata.uid() == unsafe { libc::geteuid() }
}

/// Whether only the owner can access the file or directory.
pub(crate) fn is_private(metadata: &Metadata) -> bool {
    metadata.mode() & 0o077 == 0
}

/// Tries to take an OFD lock and returns whether it was free. Like `flock`'s, it ends with the last descriptor of the
/// open file. Some file systems have it but no `flock`.
///
/// # Errors
///
/// The system or the file system has no such locks.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn try_ofd_lock(file: &File, is_shared: bool) -> io::Result<bool> {
    let kind = if is_shared { libc::F_RDLCK } else { libc::F_WRLCK };
    // SAFETY: zero is a valid value of every field. It means the whole file and no process.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the descriptor is open, and the call only reads the live value behind the pointer.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn try_ofd_lock(_file: &File, _is_shared: bool) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the file has more than one name.
pub(crate) fn has_other_names(_file: &File, metadata: &Metadata) -> bool {
    metadata.nlink() > 1
}

/// Identifies a file by its device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity(u64, u64);

/// The identity of the file at a path. Follows no link.
pub(crate) fn identity_at(path: &Path) -> io::Result<FileIdentity> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok(FileIdentity(metadata.dev(), metadata.ino()))
}

/// The identity of an open file. It uses `fstat` because it runs before each write, and the `statx` behind
/// `File::metadata` takes 0.15 µs longer.
pub(crate) fn identity_of_open(file: &File) -> io::Result<FileIdentity> {
    // On Linux, the variant whose inodes have 64 bits on every target.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    use libc::{fstat, stat};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    use libc::{fstat64 as fstat, stat64 as stat};

    let mut status = std::mem::MaybeUninit::<stat>::uninit();
    // SAFETY: the pointer leads to room for the structure, which the call fills if it returns 0.
    let status = unsafe {
        if fstat(file.as_raw_fd(), status.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        status.assume_init()
    };
    // The types differ between systems.
    Ok(FileIdentity(status.st_dev as u64, status.st_ino as u64))
}

pub(crate) use std::fs::rename;

/// Returns when the names in a directory survive a power cut.
pub(in crate::platform) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Tries to lock a file for as long as it is open.
pub(crate) fn try_flock(file: &File, is_shared: bool) -> Result<(), TryLockError> {
    if is_shared { file.try_lock_shared() } else { file.try_lock() }
}

pub(crate) fn unlock(file: &File) -> io::Result<()> {
    file.unlock()
}

/// Appends to a file that other processes may also append to.
pub(crate) fn append(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)
}

/// Creates a private file for appending. The file must not exist.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY)
        .open(path)
}

/// The largest file that this process may write without being killed (`RLIMIT_FSIZE`, `ulimit -f`).
pub(crate) fn file_size_limit() -> u64 {
    resource_limit(libc::RLIMIT_FSIZE)
}

/// A run is not recorded if it would leave the tool fewer descriptors.
const SPARE_DESCRIPTORS: u64 = 8;

/// Whether the tool has descriptors left after this file. The file got the lowest free number, so under `ulimit -n 4`
/// it has the last one.
pub(crate) fn has_spare_descriptors(file: &File) -> bool {
    (file.as_raw_fd() as u64).saturating_add(SPARE_DESCRIPTORS) < resource_limit(libc::RLIMIT_NOFILE)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
type Resource = std::ffi::c_int;

/// The limit of this process, or the highest number if it is unknown.
fn resource_limit(resource: Resource) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes the live value behind the pointer.
    let is_known = unsafe { libc::getrlimit(resource, &mut limit) } == 0;
    if is_known { limit.rlim_cur as _ } else { u64::MAX }
}

/// Opens a regular file of this user for reading and, if requested, for writing. Creates it if requested. Follows no
/// link and does not wait for a FIFO.
pub(crate) fn open_own(path: &Path, write: bool, create: bool) -> io::Result<(File, Metadata)> {
    open_own_with(OpenOptions::new().read(true).write(write).create(create), path)
}

/// Opens or creates a regular file of this user for reading and appending.
pub(crate) fn open_own_to_append(path: &Path) -> io::Result<(File, Metadata)> {
    open_own_with(OpenOptions::new().read(true).append(true).create(true), path)
}

fn open_own_with(options: &mut OpenOptions, path: &Path) -> io::Result<(File, Metadata)> {
    let file =
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && is_own(&metadata) {
        Ok((file, metadata))
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a regular file of this user"))
    }
}

/// Opens a regular file of any user. Does not wait for a FIFO.
///
/// # Errors
///
/// Anything but a regular file is [`io::ErrorKind::InvalidInput`].
#[cfg_attr(not(any(feature = "http", feature = "grpc")), allow(dead_code))]
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = open_without_waiting(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn open_without_waiting(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Opens a regular file that the administrator wrote. A file that another user may have written is refused, because it
/// decides where this user's data goes. A group may write it, because only root makes groups.
pub(crate) fn open_settings(path: &Path) -> io::Result<File> {
    let refuse = |what| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    let is_trusted = |metadata: &Metadata| metadata.uid() == 0 || is_own(metadata);
    let file = open_without_waiting(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return refuse("it is not a regular file");
    }
    if !is_trusted(&metadata) {
        return refuse("it belongs to neither root nor this user; give it to root");
    }
    if metadata.mode() & 0o002 != 0 {
        return refuse("everyone can write it; run `chmod o-w` on it");
    }
    let directory = std::fs::metadata(directory_of(path))?;
    let is_sticky = directory.mode() & 0o1000 != 0;
    if !is_trusted(&directory) || (directory.mode() & 0o002 != 0 && !is_sticky) {
        return refuse(
            "another user could replace the file; give its directory to root, and run `chmod o-w` on the directory",
        );
    }
    Ok(file)
}

/// Creates a directory and its missing ancestors with mode 0700.
pub(in crate::platform) fn make_private_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

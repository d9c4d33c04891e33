//! Files: owners, identities, locks, and opening them safely.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::windows::fs::{FileExt as _, OpenOptionsExt as _};
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::path::Path;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION, ERROR_SUCCESS, LocalFree,
};
use windows_sys::Win32::Security::Authorization::{GetSecurityInfo, SE_FILE_OBJECT};
use windows_sys::Win32::Security::{
    EqualSid, GetTokenInformation, IsWellKnownSid, OWNER_SECURITY_INFORMATION, PSID, TOKEN_QUERY, TOKEN_USER,
    TokenUser, WinBuiltinAdministratorsSid, WinLocalSystemSid,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT,
    GetFileInformationByHandle, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// Not checked, because everything below the user's profile is this user's by its inherited access list.
pub(crate) fn is_own(_metadata: &Metadata) -> bool {
    true
}

pub(crate) fn is_private(_metadata: &Metadata) -> bool {
    true
}

pub(crate) fn try_ofd_lock(_file: &File, _is_shared: bool) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A position that no file reaches. Windows enforces locks on every process, so a lock on the content would keep `status`
/// from reading a run that is being written.
const LOCKED_BYTE: u64 = 1 << 62;

fn locked_byte() -> OVERLAPPED {
    let mut position = OVERLAPPED::default();
    position.Anonymous.Anonymous.Offset = LOCKED_BYTE as u32;
    position.Anonymous.Anonymous.OffsetHigh = (LOCKED_BYTE >> 32) as u32;
    position
}

/// Does nothing: a directory cannot be opened to be synced, and NTFS writes its names to its journal in order.
pub(in crate::platform) fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

/// Tries to lock a file for as long as it is open.
pub(crate) fn try_flock(file: &File, is_shared: bool) -> Result<(), TryLockError> {
    let kind = if is_shared { 0 } else { LOCKFILE_EXCLUSIVE_LOCK };
    let mut position = locked_byte();
    // SAFETY: the handle is open, and the structure outlives the call, which does not wait.
    let result = unsafe {
        LockFileEx(file.as_raw_handle(), kind | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &raw mut position)
    };
    match last_error_unless(result) {
        Ok(()) => Ok(()),
        Err(error) if is_error(&error, ERROR_LOCK_VIOLATION) => Err(TryLockError::WouldBlock),
        Err(error) => Err(TryLockError::Error(error)),
    }
}

pub(crate) fn unlock(file: &File) -> io::Result<()> {
    let mut position = locked_byte();
    // SAFETY: as in `try_flock`.
    last_error_unless(unsafe { UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut position) })
}

pub(super) fn last_error_unless(result: windows_sys::core::BOOL) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn is_error(error: &io::Error, number: u32) -> bool {
    error.raw_os_error() == Some(number as i32)
}

/// Appends to a file that other processes may also append to.
pub(crate) fn append(file: &File, bytes: &[u8]) -> io::Result<()> {
    // The system writes at the end of the file, whatever its length is at that moment.
    const END: u64 = u64::MAX;
    if file.seek_write(bytes, END)? == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// How often a rename is retried, and the first pause. A scanner holds a new file for some milliseconds.
const RENAME_RETRIES: u32 = 5;
const RENAME_PAUSE: Duration = Duration::from_millis(1);

/// Renames a file. Waits for at most 31 ms if another program, such as a virus scanner, holds it.
pub(crate) fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let mut retries = 0;
    loop {
        match std::fs::rename(from, to) {
            Err(error)
                if retries < RENAME_RETRIES
                    && (is_error(&error, ERROR_SHARING_VIOLATION)
                        || is_error(&error, ERROR_ACCESS_DENIED)) =>
            {
                std::thread::sleep(RENAME_PAUSE * (1 << retries));
                retries += 1;
            }
            result => return result,
        }
    }
}

fn information(file: &File) -> io::Result<BY_HANDLE_FILE_INFORMATION> {
    let mut information = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open, and the call fills the structure behind the pointer.
    last_error_unless(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut information) })?;
    Ok(information)
}

/// Whether the file has more than one name.
pub(crate) fn has_other_names(file: &File, _metadata: &Metadata) -> bool {
    information(file).is_ok_and(|information| information.nNumberOfLinks > 1)
}

/// Identifies a file by its volume and index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity(u32, u64);

pub(crate) fn identity_of_open(file: &File) -> io::Result<FileIdentity> {
    let information = information(file)?;
    let index = u64::from(information.nFileIndexHigh) << 32 | u64::from(information.nFileIndexLow);
    Ok(FileIdentity(information.dwVolumeSerialNumber, index))
}

/// The identity of the file at a path. Follows no link.
pub(crate) fn identity_at(path: &Path) -> io::Result<FileIdentity> {
    identity_of_open(&without_links(&mut OpenOptions::new()).access_mode(0).open(path)?)
}

/// Opens a link or a directory itself, so that it can be refused.
fn without_links(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS)
}

/// Creates a private file. The file must not exist.
///
/// It is not opened for appending only, because such a file can be neither locked nor emptied.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

pub(crate) fn file_size_limit() -> u64 {
    u64::MAX
}

pub(crate) fn has_spare_descriptors(_file: &File) -> bool {
    true
}

/// Opens a regular file for reading and, if requested, for writing. Creates it if requested. Follows no link.
pub(crate) fn open_own(path: &Path, write: bool, create: bool) -> io::Result<(File, Metadata)> {
    let file = without_links(OpenOptions::new().read(true).write(write).create(create)).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a regular file"))
    }
}

/// Opens or creates a regular file for reading and for [`append`].
pub(crate) fn open_own_to_append(path: &Path) -> io::Result<(File, Metadata)> {
    open_own(path, true, true)
}

/// Opens a regular file of any user.
///
/// # Errors
///
/// Anything but a regular file is [`io::ErrorKind::InvalidInput`].
#[cfg_attr(not(any(feature = "http", feature = "grpc")), allow(dead_code))]
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Opens a regular file that the administrator wrote. Every user may create a file in `C:\ProgramData`, so a file of
/// another user is refused: it would decide where this user's data goes.
pub(crate) fn open_settings(path: &Path) -> io::Result<File> {
    let refuse = |what| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return refuse("it is not a regular file");
    }
    if !has_trusted_owner(&file)? {
        return refuse(
            "it belongs to neither the administrators nor this user; give it to the administrators",
        );
    }
    Ok(file)
}

/// Whether the administrators, the system, or this user own the file.
fn has_trusted_owner(file: &File) -> io::Result<bool> {
    let (mut owner, mut descriptor) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the handle is open, the two pointers lead to live values, and null requests nothing.
    let error = unsafe {
        GetSecurityInfo(
            file.as_raw_handle(),
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION,
            &raw mut owner,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if error != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(error as i32));
    }
    // SAFETY: the owner is a part of the descriptor, which is freed afterwards and only once.
    unsafe {
        let is_trusted = [WinBuiltinAdministratorsSid, WinLocalSystemSid]
            .into_iter()
            .any(|trusted| IsWellKnownSid(owner, trusted) != 0)
            || is_this_user(owner);
        LocalFree(descriptor);
        Ok(is_trusted)
    }
}

/// # Safety
///
/// The pointer must lead to a valid SID.
unsafe fn is_this_user(sid: PSID) -> bool {
    // The structure, and after it the SID that it points to, which has at most 68 bytes. Numbers of 64 bits align it.
    let mut buffer = [0_u64; 16];
    let (mut token, mut length) = (std::ptr::null_mut(), 0);
    // SAFETY: the call opens a handle for this process, which nothing else closes. The second call fills the buffer, whose
    // size is given, with the structure that is read afterwards.
    unsafe {
        if OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) == 0 {
            return false;
        }
        let token = OwnedHandle::from_raw_handle(token);
        let size = size_of_val(&buffer) as u32;
        let pointer = buffer.as_mut_ptr();
        GetTokenInformation(token.as_raw_handle(), TokenUser, pointer.cast(), size, &raw mut length) != 0
            && EqualSid(sid, (*pointer.cast::<TOKEN_USER>()).User.Sid) != 0
    }
}

pub(in crate::platform) fn make_private_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

//! The file of one run: appended to while its process lives, sealed by a rename.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};

use super::counters::Outcome;
use super::dir::{RunName, SpoolDir};
use super::lock::has_no_locks;
use crate::platform::{self, FileIdentity};

/// A run file grows to 1 MiB; what comes after is counted, not written.
pub(crate) const LARGEST_RUN: u64 = 1 << 20;
/// Kept free below [`LARGEST_RUN`] for the run's own last line.
pub(crate) const ROOM_FOR_THE_END: u64 = 4096;

/// The run file that this process writes.
#[derive(Debug)]
pub(crate) struct RunFile {
    /// Taken out when it is closed; see the destructor.
    file: Option<File>,
    identity: FileIdentity,
    /// The process that created the file; a forked child has another.
    process: u32,
    spool: SpoolDir,
    name: RunName,
    path: PathBuf,
    written: u64,
}

/// Why a line was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteFault {
    /// The descriptor or the process is not the one that it was: nothing of ours may be touched any more.
    NotOurs,
    /// The disk is full, or the like.
    Disk,
}

/// The descriptor of this process's run file, for a child after a fork: as long as a child keeps it, a dead
/// run looks alive.
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);

/// Runs in a child after a fork without exec: gives up the copy of the run file. Only what is allowed there: an
/// atomic and a close.
extern "C" fn close_in_child() {
    let descriptor = DESCRIPTOR.swap(-1, Ordering::Relaxed);
    if descriptor >= 0 {
        platform::close_descriptor(descriptor);
    }
}

impl RunFile {
    /// Creates the file and locks it, before the first byte. Creates the folders when they are missing.
    pub(crate) fn create(spool: &SpoolDir, name: RunName) -> io::Result<Self> {
        let path = spool.runs().join(name.open());
        let file = match spool.check().and_then(|()| platform::create_private(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                spool.create()?;
                platform::create_private(&path)?
            }
            other => other?,
        };
        let identity = file.metadata().map(|metadata| platform::file_identity(&metadata))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) if has_no_locks(&error) => {}
            Err(error) => {
                let _ = std::fs::remove_file(&path);
                return Err(error.into());
            }
        }
        close_in_children(&file);
        Ok(Self {
            file: Some(file),
            identity,
            process: std::process::id(),
            spool: spool.clone(),
            name,
            path,
            written: 0,
        })
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// The file, if this is the same process and the descriptor is still this file's: 0.5 µs, before each use.
    fn ours(&self) -> Option<&File> {
        self.file.as_ref().filter(|file| {
            self.process == std::process::id()
                && file.metadata().is_ok_and(|metadata| platform::file_identity(&metadata) == self.identity)
        })
    }

    /// Appends whole lines.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<(), WriteFault> {
        let mut file = self.ours().ok_or(WriteFault::NotOurs)?;
        file.write_all(lines).map_err(|_| WriteFault::Disk)?;
        self.written += lines.len() as u64;
        Ok(())
    }

    /// Seals the run. If the rename fails, the file stays behind and is recovered as it is.
    pub(crate) fn seal(mut self, dropped_spans: u32) -> bool {
        self.name.dropped_spans = dropped_spans;
        let sealed = self.path.with_file_name(self.name.sealed());
        self.ours().is_some() && std::fs::rename(&self.path, sealed).is_ok()
    }

    /// Gives the run up: its outcome is told by a rename, and nothing of it stays.
    pub(crate) fn give_up(self, outcome: Outcome) {
        let Some(file) = self.ours() else { return };
        if self.written == 0 {
            let _ = std::fs::remove_file(&self.path);
        } else {
            // In this order: a kill in between leaves a run that is counted, only not yet empty.
            let put_away = self.spool.outcomes().join(outcome.file_name(self.name));
            if std::fs::rename(&self.path, put_away).is_ok() {
                let _ = file.set_len(0);
            }
        }
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        let is_ours = self.ours().is_some();
        let Some(file) = self.file.take() else { return };
        if is_ours {
            DESCRIPTOR.store(-1, Ordering::Relaxed);
        } else {
            // The number may be that of a file of the tool's by now: closing it would close that one.
            std::mem::forget(file);
        }
    }
}

fn close_in_children(file: &File) {
    static HOOK: Once = Once::new();
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd as _;
        DESCRIPTOR.store(file.as_raw_fd(), Ordering::Relaxed);
    }
    #[cfg(not(unix))]
    let _ = file;
    HOOK.call_once(|| platform::at_fork_in_child(close_in_child));
}

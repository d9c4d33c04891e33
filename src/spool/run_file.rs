//! The file of one run. Its process appends to it, and seals it by a rename.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, SystemTime};

use super::directory::{RunName, SpoolDirectory};
use super::lock::{LockAttempt, try_lock};
use super::outcome::Outcome;
use crate::model::clock::age;
use crate::platform::{self, FileIdentity, is_missing};

/// A run file grows to 1 MiB. Later spans are counted, not written.
pub(crate) const MAX_RUN_BYTES: u64 = 1 << 20;
/// The bytes below [`MAX_RUN_BYTES`] that are reserved for the run's own last line.
pub(crate) const RESERVED_FOR_ROOT: u64 = 4096;

/// The most run files that one process writes at once. Each takes a descriptor, of which a process may have 1,024.
pub(crate) const MAX_OPEN_RUNS: usize = 64;

/// On a file system without locks, the process of a run counts as dead if it has written nothing for this long.
const SILENCE: Duration = Duration::from_secs(60 * 60);

/// A run file that this process writes.
#[derive(Debug)]
pub(crate) struct RunFile {
    /// `None` when it is closed. See the destructor.
    file: Option<File>,
    identity: FileIdentity,
    /// The process that created the file. A forked child has another id.
    process: u32,
    spool: SpoolDirectory,
    name: RunName,
    path: PathBuf,
    written: u64,
    /// The entry of [`DESCRIPTORS`].
    registered: Option<&'static AtomicI32>,
    /// Whether the spool was created for this run.
    is_first: bool,
}

/// Why lines were not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// The descriptor belongs to another file or process by now and must not be used.
    NotOurs,
    /// The system could not write, for example because the disk is full.
    Disk,
}

/// The descriptors of this process's run files. A forked child closes them, because a dead run looks alive while a child
/// has its file open.
static DESCRIPTORS: [AtomicI32; MAX_OPEN_RUNS] = [const { AtomicI32::new(NONE) }; MAX_OPEN_RUNS];
const NONE: i32 = -1;

/// Closes the copies of the run files in a child that was forked without `exec`. It only uses atomics and `close`, which
/// are allowed there.
extern "C" fn close_in_child() {
    for descriptor in &DESCRIPTORS {
        let descriptor = descriptor.swap(NONE, Ordering::Relaxed);
        if descriptor >= 0 {
            platform::close_descriptor(descriptor);
        }
    }
}

impl RunFile {
    /// Creates the file, and the directories if they are missing. Locks the file before the first byte.
    pub(crate) fn create(spool: &SpoolDirectory, name: RunName) -> io::Result<Self> {
        // A write beyond the limit on file sizes would kill the process with SIGXFSZ.
        if platform::file_size_limit() < MAX_RUN_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let path = spool.runs().join(name.open());
        let mut is_first = false;
        let file = match spool.check().and_then(|()| platform::create_private(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                spool.create()?;
                is_first = true;
                platform::create_private(&path)?
            }
            other => other?,
        };
        if !platform::has_spare_descriptors(&file) {
            let _ = std::fs::remove_file(&path);
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let identified = platform::identity_of_open(&file);
        let locked = match try_lock(&file, false) {
            Ok(LockAttempt::Held) => Err(io::ErrorKind::WouldBlock.into()),
            locked => locked.map(|_| ()),
        };
        let identity = match locked.and(identified) {
            Ok(identity) => identity,
            Err(error) => {
                let _ = std::fs::remove_file(&path);
                return Err(error);
            }
        };
        Ok(Self {
            registered: close_in_children(&file),
            file: Some(file),
            identity,
            process: std::process::id(),
            spool: spool.clone(),
            name,
            path,
            written: 0,
            is_first,
        })
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether the spool was created for this run.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }

    /// The file, if the process and the descriptor's file are still those of the run. Each use checks this, which takes
    /// 0.5 µs.
    fn ours(&self) -> Option<&File> {
        self.file.as_ref().filter(|file| {
            self.process == std::process::id()
                && platform::identity_of_open(file).is_ok_and(|identity| identity == self.identity)
        })
    }

    /// Appends whole lines.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<(), WriteError> {
        let mut file = self.ours().ok_or(WriteError::NotOurs)?;
        file.write_all(lines).map_err(|_| WriteError::Disk)?;
        self.written += lines.len() as u64;
        Ok(())
    }

    /// Seals the run. If the rename fails, the file stays and is recovered.
    pub(crate) fn seal(mut self, dropped_spans: u32) -> bool {
        let is_sealed = self.seal_before_exec(dropped_spans);
        if is_sealed {
            // The destructor would check again that the file is ours.
            self.close();
        }
        is_sealed
    }

    /// Seals the run, but keeps the file and its lock.
    pub(crate) fn seal_before_exec(&mut self, dropped_spans: u32) -> bool {
        self.name.dropped_spans = dropped_spans;
        let sealed = self.path.with_file_name(self.name.sealed());
        self.ours().is_some() && platform::rename(&self.path, sealed).is_ok()
    }

    /// Reverts the seal. Returns `false` if an uploader has already sent the run.
    ///
    /// An uploader that has just read the run may still send it, and it is sent again when it is sealed again. The ids are
    /// the same, so the receiver can drop the duplicate.
    #[cfg(unix)]
    pub(crate) fn unseal(&mut self) -> bool {
        let sealed = self.path.with_file_name(self.name.sealed());
        self.name.dropped_spans = 0;
        // The run still has its own name if it could not be sealed.
        self.ours().is_some() && (self.is_named() || platform::rename(sealed, &self.path).is_ok())
    }

    fn close(&mut self) {
        if let Some(entry) = self.registered.take() {
            entry.store(NONE, Ordering::Relaxed);
        }
        self.file = None;
    }

    /// Deletes the run's content, and records its outcome by a rename.
    pub(crate) fn discard(self, outcome: Outcome) {
        let Some(file) = self.ours() else { return };
        // The rename comes first. If the process is killed in between, the run is counted, but not yet empty.
        let archived = self.spool.outcomes().join(outcome.file_name(self.name));
        let mut renamed = platform::rename(&self.path, &archived);
        if renamed.is_err() && self.is_named() {
            // The directory of the outcomes may be missing.
            renamed = self.spool.create().and_then(|()| platform::rename(&self.path, &archived));
        }
        match renamed {
            Ok(()) => {
                let _ = file.set_len(0);
            }
            // Without a whole line there is no run to count.
            Err(_) if self.written == 0 => {
                let _ = std::fs::remove_file(&self.path);
            }
            // The user's choice is more important than the count.
            Err(_) if outcome == Outcome::OptedOut => {
                let _ = file.set_len(0);
                let _ = std::fs::remove_file(&self.path);
            }
            // The file stays, and is recovered later.
            Err(_) => {}
        }
    }

    /// Whether the path still names this file.
    fn is_named(&self) -> bool {
        self.identity.is_of(&self.path)
    }
}

/// Opens and locks the file of a run whose process died. Returns `None` if the process is alive or the file is gone.
///
/// # Errors
///
/// It is unknown whether the process is alive.
pub(crate) fn claim_dead(path: &Path) -> io::Result<Option<File>> {
    let (file, metadata) = match platform::open_own(path, true, false) {
        Ok(opened) => opened,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    match try_lock(&file, false)? {
        LockAttempt::Acquired => {}
        LockAttempt::Held => return Ok(None),
        LockAttempt::Unsupported => {
            if age(metadata.modified()?, SystemTime::now()) < SILENCE {
                return Ok(None);
            }
        }
    }
    // Its process may have sealed it before we took the lock.
    match platform::identity_at(path) {
        Ok(named) => Ok((named == platform::identity_of_open(&file)?).then_some(file)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        if self.file.is_none() {
            return;
        }
        if self.ours().is_some() {
            self.close();
        } else {
            // The descriptor may belong to a file of the tool by now. It must not be closed, not even in a child.
            if let Some(entry) = self.registered.take() {
                entry.store(NONE, Ordering::Relaxed);
            }
            std::mem::forget(self.file.take());
        }
    }
}

fn close_in_children(file: &File) -> Option<&'static AtomicI32> {
    static HOOK: Once = Once::new();

    HOOK.call_once(|| platform::at_fork_in_child(close_in_child));
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd as _;

        let descriptor = file.as_raw_fd();
        let take = |entry: &&AtomicI32| {
            entry.compare_exchange(NONE, descriptor, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        DESCRIPTORS.iter().find(take)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        None
    }
}

/// Counts a run that has no file.
pub(crate) fn count_without_file(spool: &SpoolDirectory, name: RunName, outcome: Outcome) {
    let counted = spool.outcomes().join(outcome.file_name(name));
    let _ = spool.check().and_then(|()| platform::create_private(&counted));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many outcome files there are with this outcome.
    fn count(spool: &SpoolDirectory, outcome: Outcome) -> usize {
        let names = std::fs::read_dir(spool.outcomes()).unwrap().map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| Outcome::of_file(name.to_str().unwrap()).is_some_and(|(_, of)| of == outcome))
            .count()
    }

    #[test]
    fn only_the_file_of_a_dead_process_can_be_claimed() {
        let (_directory, spool) = SpoolDirectory::temporary();
        let mut file = RunFile::create(&spool, RunName::new(1)).unwrap();
        file.append(b"line\n").unwrap();
        let path = spool.runs().join(RunName::new(1).open());
        assert!(claim_dead(&path).unwrap().is_none());
        drop(file);
        assert!(claim_dead(&path).unwrap().is_some());
        std::fs::remove_file(&path).unwrap();
        assert!(claim_dead(&path).unwrap().is_none());
    }

    #[test]
    fn a_discarded_run_is_counted_without_an_outcomes_directory() {
        let (_directory, spool) = SpoolDirectory::temporary();
        let mut file = RunFile::create(&spool, RunName::new(1)).unwrap();
        file.append(b"line\n").unwrap();
        std::fs::remove_dir(spool.outcomes()).unwrap();
        file.discard(Outcome::Disk);
        assert_eq!(count(&spool, Outcome::Disk), 1);
        let left = std::fs::metadata(spool.outcomes().join(Outcome::Disk.file_name(RunName::new(1))));
        assert_eq!(left.unwrap().len(), 0);
    }

    #[test]
    fn a_run_that_could_not_be_written_is_counted() {
        let (_directory, spool) = SpoolDirectory::temporary();
        RunFile::create(&spool, RunName::new(1)).unwrap().discard(Outcome::Disk);
        assert_eq!(count(&spool, Outcome::Disk), 1);
        assert_eq!(std::fs::read_dir(spool.runs()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_that_cannot_be_counted_stays_unless_the_user_opted_out() {
        for (outcome, stays) in [(Outcome::Disk, 1), (Outcome::OptedOut, 0)] {
            let (_directory, spool) = SpoolDirectory::temporary();
            let mut file = RunFile::create(&spool, RunName::new(1)).unwrap();
            file.append(b"line\n").unwrap();
            std::fs::remove_dir(spool.outcomes()).unwrap();
            std::fs::write(spool.outcomes(), "no directory").unwrap();
            file.discard(outcome);
            assert_eq!(std::fs::read_dir(spool.runs()).unwrap().count(), stays, "{outcome:?}");
        }
    }

    #[test]
    fn a_discarded_run_does_not_recreate_a_deleted_spool() {
        let (_directory, spool) = SpoolDirectory::temporary();
        let mut file = RunFile::create(&spool, RunName::new(1)).unwrap();
        file.append(b"line\n").unwrap();
        std::fs::remove_dir_all(spool.root()).unwrap();
        file.discard(Outcome::Disk);
        assert!(!spool.root().exists());
    }
}

//! The file of one run: appended to while its process lives, sealed by a rename.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, SystemTime};

use super::directory::{RunName, SpoolDirectory};
use super::lock::{Lock, try_lock};
use super::outcome::Outcome;
use crate::platform::{self, FileIdentity, is_missing};

/// A run file grows to 1 MiB; what comes after is counted, not written.
pub(crate) const LARGEST_RUN: u64 = 1 << 20;
/// Kept free below [`LARGEST_RUN`] for the run's own last line.
pub(crate) const ROOM_FOR_THE_END: u64 = 4096;

/// Run files that one process writes at once: each takes one of its descriptors, of which it may have 1,024.
pub(crate) const MOST_OPEN: usize = 64;

/// Where the file system has no locks it cannot be seen who writes: a run counts as dead when nothing came for so
/// long.
const SILENCE: Duration = Duration::from_secs(60 * 60);

/// The run file that this process writes.
#[derive(Debug)]
pub(crate) struct RunFile {
    /// Taken out when it is closed; see the destructor.
    file: Option<File>,
    identity: FileIdentity,
    /// The process that created the file; a forked child has another.
    process: u32,
    spool: SpoolDirectory,
    name: RunName,
    path: PathBuf,
    written: u64,
    /// Where the descriptor is noted for a child after a fork.
    noted: Option<&'static AtomicI32>,
    /// The spool was made for it.
    is_first: bool,
}

/// Why a line was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteFault {
    /// The descriptor or the process is not the one that it was: nothing of ours may be touched any more.
    NotOurs,
    /// The disk is full, or the like.
    Disk,
}

/// The descriptors of this process's run files, for a child after a fork: as long as a child keeps one, a dead run
/// looks alive.
static DESCRIPTORS: [AtomicI32; MOST_OPEN] = [const { AtomicI32::new(NONE) }; MOST_OPEN];
const NONE: i32 = -1;

/// Runs in a child after a fork without exec: gives up the copies of the run files. Only what is allowed there:
/// atomics and a close.
extern "C" fn close_in_child() {
    for descriptor in &DESCRIPTORS {
        let descriptor = descriptor.swap(NONE, Ordering::Relaxed);
        if descriptor >= 0 {
            platform::close_descriptor(descriptor);
        }
    }
}

impl RunFile {
    /// Creates the file and locks it, before the first byte. Creates the folders when they are missing.
    pub(crate) fn create(spool: &SpoolDirectory, name: RunName) -> io::Result<Self> {
        // A write beyond the process's limit on file sizes ends it with SIGXFSZ (`ulimit -f`): none is begun.
        if platform::largest_file() < LARGEST_RUN {
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
        if !platform::leaves_room(&file) {
            let _ = std::fs::remove_file(&path);
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let identified = platform::identity_of_open(&file);
        let locked = match try_lock(&file, false) {
            Ok(Lock::Held) => Err(io::ErrorKind::WouldBlock.into()),
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
            noted: close_in_children(&file),
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

    /// Whether the spool was made for this run.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }

    /// The file, if this is the same process and the descriptor is still this file's: 0.5 µs, before each use.
    fn ours(&self) -> Option<&File> {
        self.file.as_ref().filter(|file| {
            self.process == std::process::id()
                && platform::identity_of_open(file).is_ok_and(|identity| identity == self.identity)
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
        let is_sealed = self.ours().is_some() && std::fs::rename(&self.path, sealed).is_ok();
        if is_sealed {
            // It was ours a moment ago: the destructor need not ask again.
            self.close();
        }
        is_sealed
    }

    /// Seals the run, and keeps the file and its lock.
    #[cfg(unix)]
    pub(crate) fn seal_for_now(&mut self, dropped_spans: u32) {
        self.name.dropped_spans = dropped_spans;
        if self.ours().is_some() {
            let _ = std::fs::rename(&self.path, self.path.with_file_name(self.name.sealed()));
        }
    }

    /// Takes the seal back. Says no if the run is not there any more: an uploader sent it meanwhile.
    ///
    /// One that has just read it may still send it, and then it is sent once more when it is sealed again. Its ids are
    /// the same, and the receiver can drop the double.
    #[cfg(unix)]
    pub(crate) fn unseal(&mut self) -> bool {
        let sealed = self.path.with_file_name(self.name.sealed());
        self.name.dropped_spans = 0;
        // It was never sealed?
        self.ours().is_some() && (self.is_named() || std::fs::rename(sealed, &self.path).is_ok())
    }

    fn close(&mut self) {
        if let Some(noted) = self.noted.take() {
            noted.store(NONE, Ordering::Relaxed);
        }
        self.file = None;
    }

    /// Gives the run up: its outcome is told by a rename, and nothing of it stays.
    pub(crate) fn give_up(self, outcome: Outcome) {
        let Some(file) = self.ours() else { return };
        // In this order: a kill in between leaves a run that is counted, only not yet empty.
        let put_away = self.spool.outcomes().join(outcome.file_name(self.name));
        let mut told = std::fs::rename(&self.path, &put_away);
        if told.is_err() && self.is_named() {
            // The folder of the outcomes is gone?
            told = self.spool.create().and_then(|()| std::fs::rename(&self.path, &put_away));
        }
        match told {
            Ok(()) => {
                let _ = file.set_len(0);
            }
            // No whole line was written, so this is no run that anyone could miss.
            Err(_) if self.written == 0 => {
                let _ = std::fs::remove_file(&self.path);
            }
            // The person's word goes before the count: nothing of the run may stay.
            Err(_) if outcome == Outcome::OptedOut => {
                let _ = file.set_len(0);
                let _ = std::fs::remove_file(&self.path);
            }
            // It stays as it is, and is recovered when the disk is well again.
            Err(_) => {}
        }
    }

    /// Whether the path still leads to this file.
    fn is_named(&self) -> bool {
        std::fs::symlink_metadata(&self.path)
            .is_ok_and(|named| platform::file_identity(&named) == self.identity)
    }
}

/// Opens and locks the file of a run whose process died. Nothing if the process lives, or the file is not there any
/// more.
///
/// # Errors
///
/// It cannot be said whether the process lives.
pub(crate) fn claim_dead(path: &Path) -> io::Result<Option<File>> {
    let (file, metadata) = match platform::open_own(path, true, false) {
        Ok(opened) => opened,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    match try_lock(&file, false)? {
        Lock::Had => {}
        Lock::Held => return Ok(None),
        Lock::Unknown => {
            let (now, modified) = (SystemTime::now(), metadata.modified()?);
            // As far ahead is as old as as far back: the clock has jumped.
            let silent = now.duration_since(modified).unwrap_or_else(|ahead| ahead.duration());
            if silent < SILENCE {
                return Ok(None);
            }
        }
    }
    // Sealed by its process between the listing and our lock?
    match std::fs::symlink_metadata(path) {
        Ok(named) => {
            let is_same = platform::file_identity(&named) == platform::file_identity(&metadata);
            Ok(is_same.then_some(file))
        }
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
            // The number may be that of a file of the tool's by now: closing it would close that one, also in a child.
            if let Some(noted) = self.noted.take() {
                noted.store(NONE, Ordering::Relaxed);
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
        let take = |place: &&AtomicI32| {
            place.compare_exchange(NONE, descriptor, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        DESCRIPTORS.iter().find(take)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        None
    }
}

/// Counts a run that gets no file.
pub(crate) fn count(spool: &SpoolDirectory, name: RunName, outcome: Outcome) {
    let told = spool.outcomes().join(outcome.file_name(name));
    let _ = spool.check().and_then(|()| platform::create_private(&told));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, SpoolDirectory) {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolDirectory::new(folder.path(), "tool", "maker");
        (folder, spool)
    }

    /// How many outcome files there are with this outcome.
    fn count(spool: &SpoolDirectory, outcome: Outcome) -> usize {
        let names = std::fs::read_dir(spool.outcomes()).unwrap().map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| Outcome::of_file(name.to_str().unwrap()).is_some_and(|(_, of)| of == outcome))
            .count()
    }

    #[test]
    fn only_the_file_of_a_dead_process_can_be_claimed() {
        let (_folder, spool) = spool();
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
    fn a_run_that_is_given_up_is_counted_also_when_the_outcomes_have_no_folder() {
        let (_folder, spool) = spool();
        let mut file = RunFile::create(&spool, RunName::new(1)).unwrap();
        file.append(b"line\n").unwrap();
        std::fs::remove_dir(spool.outcomes()).unwrap();
        file.give_up(Outcome::Disk);
        assert_eq!(count(&spool, Outcome::Disk), 1);
        let left = std::fs::metadata(spool.outcomes().join(Outcome::Disk.file_name(RunName::new(1))));
        assert_eq!(left.unwrap().len(), 0);
    }

    #[test]
    fn a_run_of_which_nothing_could_be_written_is_counted() {
        let (_folder, spool) = spool();
        RunFile::create(&spool, RunName::new(1)).unwrap().give_up(Outcome::Disk);
        assert_eq!(count(&spool, Outcome::Disk), 1);
        assert_eq!(std::fs::read_dir(spool.runs()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_counted_stays_unless_the_person_said_off() {
        for (outcome, stays) in [(Outcome::Disk, 1), (Outcome::OptedOut, 0)] {
            let (_folder, spool) = spool();
            let mut file = RunFile::create(&spool, RunName::new(1)).unwrap();
            file.append(b"line\n").unwrap();
            std::fs::remove_dir(spool.outcomes()).unwrap();
            std::fs::write(spool.outcomes(), "no folder").unwrap();
            file.give_up(outcome);
            assert_eq!(std::fs::read_dir(spool.runs()).unwrap().count(), stays, "{outcome:?}");
        }
    }

    #[test]
    fn a_deleted_spool_is_not_made_again_by_a_run_that_is_given_up() {
        let (_folder, spool) = spool();
        let mut file = RunFile::create(&spool, RunName::new(1)).unwrap();
        file.append(b"line\n").unwrap();
        std::fs::remove_dir_all(spool.root()).unwrap();
        file.give_up(Outcome::Disk);
        assert!(!spool.root().exists());
    }
}

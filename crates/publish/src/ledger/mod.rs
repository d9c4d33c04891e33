//! The ledger: a directory of immutable files, each with the hash of the one before it.
//!
//! The ledger and not the store decides which periods are closed. A file is written and synced under the name `….new`, and
//! then renamed, so it always appears as a whole. If a killed process left a `….new` file, the next process keeps a complete
//! one, because its noise is drawn, and deletes an incomplete one, because nobody can have seen it.

mod chain;
mod file;
pub mod published;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use hmac_sha256::Hash;

use crate::calendar::Interval;
use crate::failure::Failure;
use crate::release::{Entry, Release, Withdrawal};

pub use chain::read;
pub use file::LedgerFile;

/// Held by the process that uses the ledger. Nobody deletes it.
const LOCK: &str = "lock";
/// What follows the name of a file that is being written.
const NEW: &str = ".new";

/// A ledger that this process alone uses.
#[derive(Debug)]
pub struct Ledger {
    directory: PathBuf,
    files: Vec<LedgerFile>,
    _lock: File,
}

impl Ledger {
    /// Opens the ledger in a directory, which is made if `is_first`.
    ///
    /// # Errors
    /// If another process uses it, it is damaged, it is missing, or `is_first` is set and there is one already.
    pub fn open(directory: &Path, is_first: bool) -> Result<Self, Failure> {
        if is_first {
            fs::create_dir_all(directory).map_err(|error| Failure::file("created", directory, &error))?;
        } else if !directory.is_dir() {
            return Err(missing(directory));
        }
        let lock = lock(directory)?;
        let mut ledger = Self { directory: directory.to_owned(), files: read(directory)?, _lock: lock };
        ledger.recover()?;
        match (ledger.files.is_empty(), is_first) {
            (true, false) => Err(missing(directory)),
            (false, true) => Err(Failure::usage(format!(
                "{} holds a ledger already; leave --first out",
                directory.display()
            ))),
            _ => Ok(ledger),
        }
    }

    /// Its files, in order, also those that were withdrawn.
    pub fn files(&self) -> &[LedgerFile] {
        &self.files
    }

    /// SHA-256 of the last file.
    pub fn head(&self) -> Option<String> {
        self.files.last().map(|file| file.sha256.clone())
    }

    /// Adds a file, durably. Its `previous` is set here.
    ///
    /// # Errors
    /// If it cannot be written. A file that was written as a whole is adopted the next time.
    pub fn add(&mut self, mut entry: Entry) -> Result<&LedgerFile, Failure> {
        entry.set_previous(self.head());
        let file = LedgerFile::new(self.files.len() + 1, entry);
        let new = self.directory.join(format!("{}{NEW}", file.name));
        write(&new, &file.bytes).map_err(|error| Failure::file("written", &new, &error))?;
        self.adopt(&new, file)?;
        self.delete_withdrawn()?;
        Ok(&self.files[self.files.len() - 1])
    }

    /// Finishes what a killed process began.
    fn recover(&mut self) -> Result<(), Failure> {
        for path in chain::list(&self.directory)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(NEW)) else {
                continue;
            };
            let bytes = fs::read(&path).map_err(|error| Failure::file("read", &path, &error))?;
            match self.whole(name, &bytes) {
                Some(file) => {
                    File::open(&path)
                        .and_then(|file| file.sync_all())
                        .map_err(|error| Failure::file("written", &path, &error))?;
                    self.adopt(&path, file)?;
                }
                None => fs::remove_file(&path).map_err(|error| Failure::file("removed", &path, &error))?,
            }
        }
        self.delete_withdrawn()
    }

    /// The next file, if these bytes are all of it.
    fn whole(&self, name: &str, bytes: &[u8]) -> Option<LedgerFile> {
        let file = LedgerFile::new(self.files.len() + 1, chain::parse(bytes)?);
        let follows = file.entry.as_ref()?.previous() == self.head().as_deref();
        (follows && file.bytes == bytes && file.name == name).then_some(file)
    }

    /// Gives a whole file its name.
    fn adopt(&mut self, new: &Path, file: LedgerFile) -> Result<(), Failure> {
        let path = self.directory.join(&file.name);
        // The lock keeps everyone else from making it in between.
        if path.exists() {
            return Err(Failure::failed(format!("{} exists already, and is not replaced", path.display())));
        }
        fs::rename(new, &path)
            .and_then(|()| sync_directory(&self.directory))
            .map_err(|error| Failure::file("written", &path, &error))?;
        self.files.push(file);
        Ok(())
    }

    /// Deletes the files that a withdrawal names.
    fn delete_withdrawn(&mut self) -> Result<(), Failure> {
        let withdrawn: Vec<String> = withdrawals(&self.files).map(|gone| gone.sha256.clone()).collect();
        for file in &mut self.files {
            if file.entry.is_some() && withdrawn.contains(&file.sha256) {
                let path = self.directory.join(&file.name);
                fs::remove_file(&path).map_err(|error| Failure::file("removed", &path, &error))?;
                file.withdraw();
            }
        }
        Ok(())
    }
}

/// The releases that were not withdrawn.
pub fn releases(files: &[LedgerFile]) -> impl Iterator<Item = &Release> {
    files.iter().filter_map(LedgerFile::release)
}

/// The withdrawals.
pub fn withdrawals(files: &[LedgerFile]) -> impl Iterator<Item = &Withdrawal> {
    files.iter().filter_map(|file| match &file.entry {
        Some(Entry::Withdrawal(withdrawal)) => Some(withdrawal),
        _ => None,
    })
}

/// The periods that are closed, in order, with the number of each of their releases, also withdrawn ones.
pub fn closed(files: &[LedgerFile]) -> Vec<(Interval, u32)> {
    let standing = releases(files).map(|release| (release.start.as_str(), release.days, release.number));
    let withdrawn = withdrawals(files).map(|gone| (gone.start.as_str(), gone.days, gone.number));
    let mut closed: Vec<(Interval, u32)> = standing
        .chain(withdrawn)
        .filter_map(|(start, days, number)| Some((Interval::parse(start, days)?, number)))
        .collect();
    closed.sort_unstable();
    closed
}

fn missing(directory: &Path) -> Failure {
    Failure::usage(format!(
        "there is no ledger in {}. Restore it: without it, noise would be drawn a second time. If this tool was never \
         published before, add `--first MONDAY`",
        directory.display()
    ))
}

fn lock(directory: &Path) -> Result<File, Failure> {
    let path = directory.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| Failure::file("opened", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::usage(format!("another process uses the ledger {}", directory.display())))
        }
        Err(TryLockError::Error(error)) => Err(Failure::file("locked", &path, &error)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Windows cannot open a directory as a file; NTFS logs the rename.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Hash::hash(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

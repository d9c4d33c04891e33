//! Reading a ledger's files, and checking that each follows the one before it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::LedgerFile;
use crate::failure::Failure;
use crate::release::Entry;

/// The paths in a directory, in order.
pub(super) fn list(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| Failure::file("read", directory, &error);
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(unreadable)?;
    paths.sort_unstable();
    Ok(paths)
}

/// What a file says, if it is whole.
pub(super) fn parse(bytes: &[u8]) -> Option<Entry> {
    serde_json::from_slice(bytes).ok()
}

/// Reads the files of a ledger. Nothing is changed.
///
/// # Errors
/// If one is missing that was not withdrawn, is not what this program writes, or does not follow the one before it.
pub fn read(directory: &Path) -> Result<Vec<LedgerFile>, Failure> {
    let mut found: BTreeMap<usize, LedgerFile> = BTreeMap::new();
    for path in list(directory)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(number) = LedgerFile::number(name) else { continue };
        let bytes = fs::read(&path).map_err(|error| Failure::file("read", &path, &error))?;
        let entry = parse(&bytes).ok_or_else(|| damaged(&path, "it is not a file of a ledger"))?;
        let file = LedgerFile::new(number, entry);
        if file.bytes != bytes || file.name != name {
            return Err(damaged(&path, "it was changed"));
        }
        if found.insert(number, file).is_some() {
            return Err(damaged(&path, "another file has its number"));
        }
    }
    chain(directory, found)
}

fn chain(directory: &Path, mut found: BTreeMap<usize, LedgerFile>) -> Result<Vec<LedgerFile>, Failure> {
    let present: Vec<LedgerFile> = found.values().cloned().collect();
    for withdrawal in super::withdrawals(&present) {
        if let Some(number) = LedgerFile::number(&withdrawal.file) {
            found.entry(number).or_insert_with(|| LedgerFile::withdrawn(withdrawal));
        }
    }
    let mut files: Vec<LedgerFile> = Vec::new();
    for (number, file) in found {
        let path = directory.join(&file.name);
        if number != files.len() + 1 {
            return Err(damaged(&path, "the file before it is missing"));
        }
        if let Some(entry) = &file.entry {
            if entry.previous() != files.last().map(|last| last.sha256.as_str()) {
                return Err(damaged(&path, "it does not follow the file before it"));
            }
            let tool = files.iter().find_map(|file| Some(file.entry.as_ref()?.tool()));
            if tool.is_some_and(|tool| tool != entry.tool()) {
                return Err(damaged(&path, "it is of another tool"));
            }
        }
        files.push(file);
    }
    Ok(files)
}

fn damaged(path: &Path, why: &str) -> Failure {
    Failure::failed(format!(
        "{}: {why}. Restore the ledger from a backup or from the published site",
        path.display()
    ))
}

//! One file of the ledger: its name and its bytes.

use super::sha256;
use crate::release::{Entry, Release, Withdrawal};

/// A file of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerFile {
    /// Its name, such as `000001-2026-11-23.json`. It begins with the file's number, which counts from 1.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its bytes. None, if it was withdrawn.
    pub bytes: Vec<u8>,
    /// What it says. `None` if it was withdrawn.
    pub entry: Option<Entry>,
}

impl LedgerFile {
    /// The file of an entry.
    pub fn new(number: usize, entry: Entry) -> Self {
        let (start, what) = match &entry {
            Entry::Release(release) if release.number == 1 => (&release.start, ""),
            Entry::Release(release) => (&release.start, "-correction"),
            Entry::Withdrawal(withdrawal) => (&withdrawal.start, "-withdrawal"),
        };
        let name = format!("{number:06}-{start}{what}.json");
        let mut bytes = serde_json::to_vec(&entry).unwrap_or_default();
        bytes.push(b'\n');
        Self { name, sha256: sha256(&bytes), bytes, entry: Some(entry) }
    }

    /// The place of a withdrawn file.
    pub(super) fn withdrawn(withdrawal: &Withdrawal) -> Self {
        let (name, sha256) = (withdrawal.file.clone(), withdrawal.sha256.clone());
        Self { name, sha256, bytes: Vec::new(), entry: None }
    }

    /// Forgets what it says.
    pub(super) fn withdraw(&mut self) {
        self.bytes.clear();
        self.entry = None;
    }

    /// The number at the front of its name.
    pub(super) fn number(name: &str) -> Option<usize> {
        let (number, _) = name.strip_suffix(".json")?.split_once('-')?;
        if number.len() == 6 { number.parse().ok() } else { None }
    }

    /// The release, if it is one that stands.
    pub fn release(&self) -> Option<&Release> {
        match &self.entry {
            Some(Entry::Release(release)) => Some(release),
            _ => None,
        }
    }
}

impl Entry {
    /// The tool.
    pub fn tool(&self) -> &str {
        match self {
            Self::Release(release) => &release.tool,
            Self::Withdrawal(withdrawal) => &withdrawal.tool,
        }
    }

    /// SHA-256 of the file before it.
    pub fn previous(&self) -> Option<&str> {
        match self {
            Self::Release(release) => release.previous.as_deref(),
            Self::Withdrawal(withdrawal) => withdrawal.previous.as_deref(),
        }
    }

    pub(super) fn set_previous(&mut self, hash: Option<String>) {
        match self {
            Self::Release(release) => release.previous = hash,
            Self::Withdrawal(withdrawal) => withdrawal.previous = hash,
        }
    }
}

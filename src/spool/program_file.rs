//! The settings of a program that `tool-telemetry exec` runs.
//!
//! A tool in Rust is its own uploader and has its settings in itself. The uploader of another program is `tool-telemetry`,
//! which finds the settings in this file. Its text is that program's own; this crate only keeps it. Like everything else
//! that is no counter, `purge` and `off` delete it.

use std::io::{self, Read as _};

use super::directory::SpoolDirectory;
use crate::platform;

/// Larger than any `telemetry.toml` that can be read.
const MAX_BYTES: u64 = 8 << 20;

/// Reads the settings.
pub(crate) fn read(spool: &SpoolDirectory) -> io::Result<String> {
    spool.check()?;
    let (file, _) = platform::open_own(&spool.program(), false, false)?;
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Keeps the settings, durably. Writes only if they changed.
pub(crate) fn store(spool: &SpoolDirectory, text: &str) -> io::Result<()> {
    if read(spool).is_ok_and(|stored| stored == text) {
        return Ok(());
    }
    platform::replace_file_durably(&spool.program(), text.as_bytes(), || true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_written_only_if_they_changed() {
        let (_directory, spool) = SpoolDirectory::temporary();
        let written = || platform::identity_at(&spool.program()).unwrap();
        store(&spool, "{}").unwrap();
        let first = written();
        store(&spool, "{}").unwrap();
        assert_eq!(written(), first);
        store(&spool, "[]").unwrap();
        assert_ne!(written(), first);
        assert_eq!(read(&spool).unwrap(), "[]");
    }

    #[test]
    fn without_a_spool_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let spool = SpoolDirectory::new(directory.path(), "frob", "maker");
        assert!(store(&spool, "{}").is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

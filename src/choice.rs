//! What the person chose for one tool: a small file that only we write, so it is read without a TOML library.
//!
//! It is valid TOML all the same. Whatever is not exactly what we write is unreadable, and unreadable means off.

use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::data_points::Version;
use crate::platform;

/// The file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Choice {
    /// `telemetry on` or `off`; nothing while the person has not said.
    pub(crate) telemetry: Option<bool>,
    /// The tool's version whose notice this person saw.
    pub(crate) notice: Option<Version>,
    /// When the notice was last printed to something that is not a terminal: seconds since the Unix epoch.
    pub(crate) printed: Option<u64>,
}

/// What a look at the file gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChoiceRead {
    /// There is no file.
    Missing,
    Read(Choice),
    /// There is one that we cannot read, or did not write: off.
    Unreadable,
}

/// Larger than anything we write.
const LARGEST: u64 = 4096;
/// A change takes microseconds; whoever holds the lock for longer prints a notice on a terminal that a person has
/// stopped.
const LOCK_PATIENCE: Duration = Duration::from_millis(100);
/// Longer than a change takes from its last look at the file to its end.
const MOMENT: Duration = Duration::from_millis(20);

/// What becomes of a change that does not get the lock in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unlocked {
    /// The person's word: it is written all the same, and stands.
    GoOn,
    /// Somebody else is about to do the same.
    GiveUp,
}

impl Choice {
    pub(crate) fn read(path: &Path) -> ChoiceRead {
        let mut file = match platform::open_own(path, false, false) {
            Ok((file, metadata)) if metadata.len() <= LARGEST => file,
            Ok(_) => return ChoiceRead::Unreadable,
            Err(error) if is_missing(&error) => return ChoiceRead::Missing,
            Err(_) => return ChoiceRead::Unreadable,
        };
        // One read is enough for a file of this size, and a short one fails the parse.
        let mut bytes = [0; LARGEST as usize];
        match file.read(&mut bytes) {
            Ok(length) => std::str::from_utf8(&bytes[..length])
                .ok()
                .and_then(Self::parse)
                .map_or(ChoiceRead::Unreadable, ChoiceRead::Read),
            Err(_) => ChoiceRead::Unreadable,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut choice = Self::default();
        if !text.ends_with('\n') {
            return None;
        }
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once('=')?;
            let value = value.trim();
            let quoted = || value.strip_prefix('"')?.strip_suffix('"');
            let fresh = match key.trim() {
                "telemetry" => {
                    let on = match quoted()? {
                        "on" => true,
                        "off" => false,
                        _ => return None,
                    };
                    choice.telemetry.replace(on).is_none()
                }
                "notice" => choice.notice.replace(Version::parse(quoted()?)?).is_none(),
                "printed" => choice.printed.replace(value.parse().ok()?).is_none(),
                _ => false,
            };
            if !fresh {
                return None;
            }
        }
        Some(choice)
    }

    fn render(&self, tool: &str) -> String {
        let mut text = format!("# Telemetry of {tool}: your choice, and which notice you saw.\n");
        if let Some(on) = self.telemetry {
            let _ = writeln!(text, "telemetry = \"{}\"", if on { "on" } else { "off" });
        }
        if let Some(notice) = self.notice {
            let _ = writeln!(text, "notice = \"{notice}\"");
        }
        if let Some(printed) = self.printed {
            let _ = writeln!(text, "printed = {printed}");
        }
        text
    }

    /// Replaces the file in one step by what `change` makes of it as it is then; says whether it gave anything.
    ///
    /// Who read the file earlier must look again here: `telemetry off` may have been said since, and is not to be
    /// written over by a notice.
    pub(crate) fn change(
        path: &Path,
        tool: &str,
        unlocked: Unlocked,
        change: impl FnOnce(ChoiceRead) -> Option<Self>,
    ) -> io::Result<bool> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        platform::create_private_dir(folder)?;
        // The folder is locked, since each change puts another file in the file's place. Where a folder cannot be
        // locked, two changes in the same microseconds may still meet.
        let lock = File::open(folder);
        let asked = Instant::now();
        let is_held =
            || lock.as_ref().is_ok_and(|folder| matches!(folder.try_lock(), Err(TryLockError::WouldBlock)));
        let mut is_late = false;
        while !is_late && is_held() {
            std::thread::sleep(Duration::from_millis(1));
            is_late = asked.elapsed() >= LOCK_PATIENCE;
        }
        if is_late && unlocked == Unlocked::GiveUp {
            return Ok(false);
        }
        let Some(choice) = change(Self::read(path)) else { return Ok(false) };
        replace_file(path, choice.render(tool).as_bytes())?;
        if is_late {
            // Whoever holds the lock may have looked just before.
            std::thread::sleep(MOMENT);
            if Self::read(path) != ChoiceRead::Read(choice) {
                replace_file(path, choice.render(tool).as_bytes())?;
            }
        }
        Ok(true)
    }

    /// Says `off` where the file could not be replaced: where it is, in the blocks that it has. What of it cannot be
    /// written leaves an empty file, and a choice that cannot be read is off.
    pub(crate) fn force_off(path: &Path, tool: &str) -> io::Result<()> {
        let off = Self { telemetry: Some(false), ..Self::default() };
        if Self::change(path, tool, Unlocked::GoOn, |_| Some(off)).is_ok() {
            return Ok(());
        }
        let (mut file, _) = platform::open_own(path, true, true)?;
        file.set_len(0)?;
        if file.write_all(off.render(tool).as_bytes()).is_err() {
            file.set_len(0)?;
        }
        Ok(())
    }
}

/// Writes a private file beside `path` and renames it there, so that a reader sees the old or the new one.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{:016x}.tmp", crate::ids::random_number()));
    let temporary = path.with_file_name(name);
    let written = platform::create_private(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// No such file, or no such folder because a part of the path is a file.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether a path at which nothing is found is, or goes through, a link that leads nowhere: what somebody put there may
/// come back, as with a file system that is not mounted.
pub(crate) fn leads_nowhere(path: &Path) -> bool {
    for part in path.ancestors() {
        match std::fs::read_link(part) {
            Ok(_) => return !part.exists(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return false,
        }
    }
    false
}

/// There is something under the name, and it is nothing that we could have put there: a link, a folder, a FIFO, or
/// somebody else's file.
pub(crate) fn is_foreign(error: &io::Error) -> bool {
    #[cfg(unix)]
    let is_link = error.raw_os_error() == Some(libc::ELOOP);
    #[cfg(not(unix))]
    let is_link = false;
    // Our own refusal has no code of the system's, whose own refusal may pass.
    is_link || (error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_again(
            telemetry: Option<bool>,
            notice in proptest::option::of("[0-9]{1,5}(\\.[0-9]{1,5}){0,2}(-(alpha|beta|preview|rc)(\\.[0-9]{1,5})?)?"),
            printed: Option<u64>,
        ) {
            let notice = notice.as_deref().and_then(Version::parse);
            let choice = Choice { telemetry, notice, printed };
            prop_assert_eq!(Choice::parse(&choice.render("dotnet")), Some(choice));
        }
    }

    #[test]
    fn anything_else_is_unreadable() {
        for text in [
            "telemetry = \"on\"",
            "telemetry = on\n",
            "telemetry = \"enabled\"\n",
            "telemetry = \"on\"\ntelemetry = \"off\"\n",
            "telemetry = \"on\"\nfuture = 1\n",
            "notice = \"everything\"\n",
            "garbage\n",
        ] {
            assert_eq!(Choice::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_unreadable_or_says_less_but_never_on() {
        let whole =
            Choice { telemetry: Some(false), notice: Version::parse("1.0.0"), printed: None }.render("t");
        for length in 0..whole.len() {
            let on = Choice::parse(&whole[..length]).and_then(|choice| choice.telemetry);
            assert_ne!(on, Some(true), "cut at {length}");
        }
    }
}

//! The user's choice for one tool. Only this crate writes the file, so reading it needs no TOML library.
//!
//! The file is valid TOML. Anything that differs from what we write makes it invalid, and that means off.

use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::consent::destination::Destination;
use crate::model::data_points::Version;
use crate::platform::{self, is_missing, replace_file};

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Choice {
    /// `telemetry on` or `off`, or `None` if the user ran neither.
    pub(crate) telemetry: Option<bool>,
    /// The notices that the user saw, in that order.
    pub(crate) notices: Vec<Notice>,
    /// When the notice was last printed, in seconds since the Unix epoch.
    pub(crate) printed: Option<u64>,
}

/// A notice that the user saw. It counts only for the destination that it named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The name of the destination's directory.
    pub(crate) destination: String,
    /// The version of the tool whose data points it listed.
    pub(crate) version: Version,
}

/// The file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChoiceFile {
    Missing,
    Valid(Choice),
    /// We cannot read it, or did not write it.
    Invalid,
}

/// Larger than anything we write.
const MAX_BYTES: u64 = 8192;
/// More destinations than this come from testing collectors.
const MAX_NOTICES: usize = 16;
/// A change takes microseconds. A process that holds the lock for longer is printing a notice on a stopped terminal.
const LOCK_PATIENCE: Duration = Duration::from_millis(100);
/// Longer than a change takes between reading and replacing the file.
const CHANGE_TIME: Duration = Duration::from_millis(20);

/// What to do if another process keeps the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockTimeout {
    /// The user decided, so write the file without the lock.
    WriteAnyway,
    /// The other process is about to make the same change.
    GiveUp,
}

impl Choice {
    pub(crate) fn read(path: &Path) -> ChoiceFile {
        let mut file = match platform::open_own(path, false, false) {
            Ok((file, metadata)) if metadata.len() <= MAX_BYTES => file,
            Ok(_) => return ChoiceFile::Invalid,
            Err(error) if is_missing(&error) => return ChoiceFile::Missing,
            Err(_) => return ChoiceFile::Invalid,
        };
        // One read is enough for this size, and a partial one does not parse.
        let mut bytes = [0; MAX_BYTES as usize];
        match file.read(&mut bytes) {
            Ok(length) => std::str::from_utf8(&bytes[..length])
                .ok()
                .and_then(Self::parse)
                .map_or(ChoiceFile::Invalid, ChoiceFile::Valid),
            Err(_) => ChoiceFile::Invalid,
        }
    }

    /// The version of the notice that counts for a destination.
    pub(crate) fn notice_for(&self, destination: &Destination) -> Option<Version> {
        let name = destination.directory_name();
        let own = self.notices.iter().find(|notice| notice.destination == name);
        // A destination that the user or the administrator set for us needs no notice of its own.
        let other = self.newest_notice().filter(|_| destination.is_set_for_us);
        own.map(|notice| notice.version).or(other)
    }

    /// The newest version whose notice the user saw, for any destination.
    pub(crate) fn newest_notice(&self) -> Option<Version> {
        self.notices.iter().map(|notice| notice.version).max()
    }

    /// Adds the notice of this version for a destination.
    pub(crate) fn with_notice(mut self, destination: &Destination, version: Version) -> Self {
        let destination = destination.directory_name();
        self.notices.retain(|notice| notice.destination != destination);
        self.notices.push(Notice { destination, version });
        let too_many = self.notices.len().saturating_sub(MAX_NOTICES);
        self.notices.drain(..too_many);
        self
    }

    fn parse(text: &str) -> Option<Self> {
        let mut choice = Self::default();
        if !text.ends_with('\n') {
            return None;
        }
        let mut in_notices = false;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line == "[notice]" && !in_notices {
                in_notices = true;
                continue;
            }
            let (key, value) = line.split_once('=')?;
            let value = value.trim();
            let quoted = || value.strip_prefix('"')?.strip_suffix('"');
            if in_notices {
                let destination = key.trim().strip_prefix('"')?.strip_suffix('"')?.to_owned();
                let is_new = choice.notices.iter().all(|notice| notice.destination != destination);
                let version = Version::parse(quoted()?)?;
                choice.notices.push(Notice { destination, version });
                if is_new && choice.notices.len() <= MAX_NOTICES {
                    continue;
                }
                return None;
            }
            let is_first = match key.trim() {
                "telemetry" => {
                    let on = match quoted()? {
                        "on" => true,
                        "off" => false,
                        _ => return None,
                    };
                    choice.telemetry.replace(on).is_none()
                }
                "printed" => choice.printed.replace(value.parse().ok()?).is_none(),
                _ => false,
            };
            if !is_first {
                return None;
            }
        }
        Some(choice)
    }

    fn render(&self, tool: &str) -> String {
        let mut text = format!("# Telemetry of {tool}: your choice, and the notices that you saw.\n");
        if let Some(on) = self.telemetry {
            let _ = writeln!(text, "telemetry = \"{}\"", if on { "on" } else { "off" });
        }
        if let Some(printed) = self.printed {
            let _ = writeln!(text, "printed = {printed}");
        }
        if !self.notices.is_empty() {
            text.push_str("\n# The destination and the version of each notice.\n[notice]\n");
        }
        for Notice { destination, version } in &self.notices {
            let _ = writeln!(text, "\"{destination}\" = \"{version}\"");
        }
        text
    }

    /// Replaces the file with what `change` returns for its current content, and reports whether it did.
    ///
    /// `change` must use only that content. With an earlier read, a notice could overwrite a `telemetry off` that came in
    /// between.
    pub(crate) fn change(
        path: &Path,
        tool: &str,
        on_timeout: LockTimeout,
        change: impl FnOnce(ChoiceFile) -> Option<Self>,
    ) -> io::Result<bool> {
        let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        platform::create_private_dir(directory)?;
        // The lock is on the directory, because each change replaces the file. On a file system without such locks, two
        // changes within microseconds may collide.
        let lock = File::open(directory);
        let is_held =
            || lock.as_ref().is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        let started = Instant::now();
        let mut is_late = false;
        while !is_late && is_held() {
            std::thread::sleep(Duration::from_millis(1));
            is_late = started.elapsed() >= LOCK_PATIENCE;
        }
        if is_late && on_timeout == LockTimeout::GiveUp {
            return Ok(false);
        }
        let Some(choice) = change(Self::read(path)) else { return Ok(false) };
        let text = choice.render(tool);
        replace_file(path, text.as_bytes())?;
        if is_late {
            // The lock's holder may have read the old file and may now overwrite ours.
            std::thread::sleep(CHANGE_TIME);
            if Self::read(path) != ChoiceFile::Valid(choice) {
                replace_file(path, text.as_bytes())?;
            }
        }
        Ok(true)
    }

    /// Writes `off`, on a full disk into the blocks of the existing file. If that fails too, an empty file is left,
    /// which is invalid and so means off.
    pub(crate) fn force_off(path: &Path, tool: &str) -> io::Result<()> {
        let off = Self { telemetry: Some(false), ..Self::default() };
        let Err(error) = Self::change(path, tool, LockTimeout::WriteAnyway, |_| Some(off.clone())) else {
            return Ok(());
        };
        // Never create the file, because the directory may belong to another user.
        let (mut file, _) = platform::open_own(path, true, false).map_err(|_| error)?;
        file.set_len(0)?;
        if file.write_all(off.render(tool).as_bytes()).is_err() {
            file.set_len(0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_written_choice_is_read_back(
            telemetry: Option<bool>,
            versions in proptest::collection::vec(
                "[0-9]{1,5}(\\.[0-9]{1,5}){0,2}(-(alpha|beta|preview|rc)(\\.[0-9]{1,5})?)?",
                0..=MAX_NOTICES,
            ),
            printed: Option<u64>,
        ) {
            let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
            let choice = Choice { telemetry, notices: notices(&versions), printed };
            prop_assert_eq!(Choice::parse(&choice.render("dotnet")), Some(choice));
        }
    }

    /// A notice of each version, each for another destination.
    fn notices(versions: &[&str]) -> Vec<Notice> {
        let notice = |(number, text): (usize, &&str)| {
            let destination = format!("operator+https-{number}.example-443");
            Version::parse(text).map(|version| Notice { destination, version })
        };
        versions.iter().enumerate().filter_map(notice).collect()
    }

    #[test]
    fn the_longest_choice_fits() {
        let notices: Vec<Notice> = (0..MAX_NOTICES)
            .map(|number| Notice {
                destination: format!("{number:0400}"),
                version: Version::parse("99999.99999.99999-preview.99999").expect("a version"),
            })
            .collect();
        let choice = Choice { telemetry: Some(false), notices, printed: Some(u64::MAX) };
        let text = choice.render("a-tool-with-a-name-of-sixty-four-letters-which-is-the-longest-one");
        assert!(text.len() as u64 <= MAX_BYTES, "{}", text.len());
        assert_eq!(Choice::parse(&text), Some(choice));
    }

    #[test]
    fn any_other_text_is_invalid() {
        for text in [
            "telemetry = \"on\"",
            "telemetry = on\n",
            "telemetry = \"enabled\"\n",
            "telemetry = \"on\"\ntelemetry = \"off\"\n",
            "telemetry = \"on\"\nfuture = 1\n",
            "notice = \"1.0.0\"\n",
            "[notice]\n\"somewhere\" = \"everything\"\n",
            "[notice]\nsomewhere = \"1.0.0\"\n",
            "[notice]\n\"somewhere\" = \"1.0.0\"\n\"somewhere\" = \"2.0.0\"\n",
            "[notice]\n[notice]\n",
            "garbage\n",
        ] {
            assert_eq!(Choice::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_truncated_file_never_means_on() {
        let whole = Choice { telemetry: Some(false), notices: notices(&["1.0.0", "2.0.0"]), printed: None }
            .render("t");
        for length in 0..whole.len() {
            let on = Choice::parse(&whole[..length]).and_then(|choice| choice.telemetry);
            assert_ne!(on, Some(true), "cut at {length}");
        }
    }
}

//! What the person chose for one tool: a small file that only we write, so it is read without a TOML library.
//!
//! It is valid TOML all the same. Whatever is not exactly what we write is unreadable, and unreadable means off.

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
    /// `telemetry on` or `off`; nothing while the person has not said.
    pub(crate) telemetry: Option<bool>,
    /// The notices that this person saw, the last one last.
    pub(crate) notices: Vec<Notice>,
    /// When the notice was last printed to something that is not a terminal: seconds since the Unix epoch.
    pub(crate) printed: Option<u64>,
}

/// A notice that was shown. It named one receiver, and says nothing about any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The name of the destination's directory.
    pub(crate) destination: String,
    /// The tool's version whose data points it told of.
    pub(crate) version: Version,
}

/// What a look at the file gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChoiceFile {
    /// There is no file.
    Missing,
    Valid(Choice),
    /// There is one that we cannot read, or did not write: off.
    Invalid,
}

/// Larger than anything we write.
const LARGEST: u64 = 8192;
/// The receivers whose notices are remembered. More of them than this are somebody's test of a collector.
const MOST_NOTICES: usize = 16;
/// A change takes microseconds; whoever holds the lock for longer prints a notice on a terminal that a person has
/// stopped.
const LOCK_PATIENCE: Duration = Duration::from_millis(100);
/// Longer than a change takes from its last look at the file to its end.
const MOMENT: Duration = Duration::from_millis(20);

/// What becomes of a change that does not get the lock in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockTimeout {
    /// The person's word: it is written all the same, and stands.
    WriteAnyway,
    /// Somebody else is about to do the same.
    GiveUp,
}

impl Choice {
    pub(crate) fn read(path: &Path) -> ChoiceFile {
        let mut file = match platform::open_own(path, false, false) {
            Ok((file, metadata)) if metadata.len() <= LARGEST => file,
            Ok(_) => return ChoiceFile::Invalid,
            Err(error) if is_missing(&error) => return ChoiceFile::Missing,
            Err(_) => return ChoiceFile::Invalid,
        };
        // One read is enough for a file of this size, and a short one fails the parse.
        let mut bytes = [0; LARGEST as usize];
        match file.read(&mut bytes) {
            Ok(length) => std::str::from_utf8(&bytes[..length])
                .ok()
                .and_then(Self::parse)
                .map_or(ChoiceFile::Invalid, ChoiceFile::Valid),
            Err(_) => ChoiceFile::Invalid,
        }
    }

    /// The version of the notice that named this destination.
    pub(crate) fn notice_for(&self, destination: &Destination) -> Option<Version> {
        let receiver = destination.directory_name();
        let its_own = self.notices.iter().find(|notice| notice.destination == receiver);
        // One that the user or the administrator chose by a setting of ours needs none of its own.
        let another = self.newest_notice().filter(|_| destination.is_set_for_us);
        its_own.map(|notice| notice.version).or(another)
    }

    /// The newest version whose notice was shown, whichever destination it named.
    pub(crate) fn newest_notice(&self) -> Option<Version> {
        self.notices.iter().map(|notice| notice.version).max()
    }

    /// Remembers that the notice of this version was shown for a destination.
    pub(crate) fn with_notice(mut self, destination: &Destination, version: Version) -> Self {
        let destination = destination.directory_name();
        self.notices.retain(|notice| notice.destination != destination);
        self.notices.push(Notice { destination, version });
        let too_many = self.notices.len().saturating_sub(MOST_NOTICES);
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
                if is_new && choice.notices.len() <= MOST_NOTICES {
                    continue;
                }
                return None;
            }
            let fresh = match key.trim() {
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
        if let Some(printed) = self.printed {
            let _ = writeln!(text, "printed = {printed}");
        }
        if !self.notices.is_empty() {
            text.push_str(
                "\n# The notices that were shown: to which receiver, and of which version.\n[notice]\n",
            );
        }
        for Notice { destination, version } in &self.notices {
            let _ = writeln!(text, "\"{destination}\" = \"{version}\"");
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
        unlocked: LockTimeout,
        change: impl FnOnce(ChoiceFile) -> Option<Self>,
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
        if is_late && unlocked == LockTimeout::GiveUp {
            return Ok(false);
        }
        let Some(choice) = change(Self::read(path)) else { return Ok(false) };
        let text = choice.render(tool);
        replace_file(path, text.as_bytes())?;
        if is_late {
            // Whoever holds the lock may have looked just before.
            std::thread::sleep(MOMENT);
            if Self::read(path) != ChoiceFile::Valid(choice) {
                replace_file(path, text.as_bytes())?;
            }
        }
        Ok(true)
    }

    /// Says `off` where the file could not be replaced: where it is, in the blocks that it has. What of it cannot be
    /// written leaves an empty file, and a choice that cannot be read is off.
    pub(crate) fn force_off(path: &Path, tool: &str) -> io::Result<()> {
        let off = Self { telemetry: Some(false), ..Self::default() };
        let Err(error) = Self::change(path, tool, LockTimeout::WriteAnyway, |_| Some(off.clone())) else {
            return Ok(());
        };
        // Not created: where the directory is another user's, nothing of this one is left in it.
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
        fn what_is_written_is_read_again(
            telemetry: Option<bool>,
            versions in proptest::collection::vec(
                "[0-9]{1,5}(\\.[0-9]{1,5}){0,2}(-(alpha|beta|preview|rc)(\\.[0-9]{1,5})?)?",
                0..=MOST_NOTICES,
            ),
            printed: Option<u64>,
        ) {
            let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
            let choice = Choice { telemetry, notices: notices(&versions), printed };
            prop_assert_eq!(Choice::parse(&choice.render("dotnet")), Some(choice));
        }
    }

    /// Notices of these versions, each for a destination of its own.
    fn notices(versions: &[&str]) -> Vec<Notice> {
        let notice = |(number, text): (usize, &&str)| {
            let destination = format!("operator+https-{number}.example-443");
            Version::parse(text).map(|version| Notice { destination, version })
        };
        versions.iter().enumerate().filter_map(notice).collect()
    }

    #[test]
    fn the_longest_is_read_again() {
        let notices: Vec<Notice> = (0..MOST_NOTICES)
            .map(|number| Notice {
                destination: format!("{number:0400}"),
                version: Version::parse("99999.99999.99999-preview.99999").expect("a version"),
            })
            .collect();
        let choice = Choice { telemetry: Some(false), notices, printed: Some(u64::MAX) };
        let text = choice.render("a-tool-with-the-longest-name-that-there-may-be");
        assert!(text.len() as u64 <= LARGEST, "{}", text.len());
        assert_eq!(Choice::parse(&text), Some(choice));
    }

    #[test]
    fn anything_else_is_unreadable() {
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
    fn a_file_cut_anywhere_is_unreadable_or_says_less_but_never_on() {
        let whole = Choice { telemetry: Some(false), notices: notices(&["1.0.0", "2.0.0"]), printed: None }
            .render("t");
        for length in 0..whole.len() {
            let on = Choice::parse(&whole[..length]).and_then(|choice| choice.telemetry);
            assert_ne!(on, Some(true), "cut at {length}");
        }
    }
}

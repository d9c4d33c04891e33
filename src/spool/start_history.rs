//! The uploaders that commands started and that never reported their end.
//!
//! The events are kept in the file of the uploader's lock, which a command opens anyway. A command adds a line for an
//! uploader that it starts, and an uploader that ends in order empties the file. An empty file therefore means that
//! every uploader reported its end, and its length is known once it is open. The lines of an uploader that crashed, was
//! killed with its command, or never reached our code stay, whatever ended it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::env::UPLOADER_ARGUMENT;
use crate::model::clock::age;
use crate::platform;

/// After this many unreported uploaders in a row the next command waits for its own.
pub(crate) const UNREPORTED_LIMIT: u32 = 2;
/// A longer file is not extended. A line has at most 20 bytes.
pub(super) const MAX_BYTES: u64 = 1 << 10;
/// Longer than an uploader lives. Until then, one whose process exists may still report.
const LIFE: Duration = Duration::from_secs(65);
/// An uploader needs some milliseconds from its start to the lock, and some hundred on a loaded machine.
const STARTING: Duration = Duration::from_secs(2);

/// A line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartEvent {
    /// A command started an uploader with this process id.
    Started(i32),
    /// A command could not start one, with this error number, or 0 if the program did not find itself.
    Failed(i32),
    /// An uploader took the lock.
    Begun,
}

impl StartEvent {
    pub(crate) fn of_error(error: &io::Error) -> Self {
        StartEvent::Failed(error.raw_os_error().unwrap_or_default())
    }

    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ') {
            Some(("started", process)) => Some(StartEvent::Started(process.parse().ok()?)),
            Some(("failed", error)) => Some(StartEvent::Failed(error.parse().ok()?)),
            None if line == "begun" => Some(StartEvent::Begun),
            _ => None,
        }
    }

    /// Appends the line. An error is ignored, because nothing else depends on the line.
    pub(super) fn append_to(self, file: &File) {
        let line = match self {
            StartEvent::Started(process) => format!("started {process}\n"),
            StartEvent::Failed(error) => format!("failed {error}\n"),
            StartEvent::Begun => "begun\n".to_owned(),
        };
        let _ = platform::append(file, line.as_bytes());
    }
}

/// The starts since an uploader last ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StartHistory {
    /// Uploaders that never reported their end.
    pub(crate) unreported: u32,
    /// Whether one of these took the lock.
    pub(crate) has_begun: bool,
    /// Whether one was started a moment ago and will take the lock.
    pub(crate) is_starting: bool,
    /// The error number of the last start, if it failed.
    pub(crate) failed: Option<i32>,
}

impl StartHistory {
    /// Reads the lock file without creating it. An unreadable file has no history.
    pub(crate) fn read(path: &Path) -> Self {
        let read = || -> io::Result<Self> {
            let (file, metadata) = platform::open_own(path, false, false)?;
            Self::read_from(&file, metadata.modified()?)
        };
        read().unwrap_or_default()
    }

    /// Reads the open lock file, whose last line was added at `modified`.
    pub(super) fn read_from(mut file: &File, modified: SystemTime) -> io::Result<Self> {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        let events: Vec<StartEvent> = text.lines().filter_map(StartEvent::parse).collect();
        let age = age(modified, SystemTime::now());
        let mut history =
            Self::of(&events, |process| age < LIFE && platform::is_running_with(process, UPLOADER_ARGUMENT));
        history.is_starting &= age < STARTING;
        Ok(history)
    }

    fn of(events: &[StartEvent], may_report: impl Fn(i32) -> bool) -> Self {
        let started = events.iter().filter_map(|event| match event {
            StartEvent::Started(process) => Some(*process),
            _ => None,
        });
        let (alive, gone): (Vec<i32>, Vec<i32>) = started.partition(|process| may_report(*process));
        // An uploader that a command waits for adds no line when it starts. Of those alive, one may have begun.
        let begun = events.iter().filter(|event| **event == StartEvent::Begun).count();
        let unreported = gone.len().max(begun - usize::from(begun > 0 && !alive.is_empty())) as u32;
        let failed = match events.last() {
            Some(StartEvent::Failed(error)) => Some(*error),
            _ => None,
        };
        Self { unreported, has_begun: begun > 0, is_starting: !alive.is_empty(), failed }
    }

    /// Explains to the user why nothing is sent and what to do, if something is wrong.
    pub(crate) fn explain(self) -> Option<String> {
        if let Some(error) = self.failed {
            let what = "the uploader could not be started";
            return Some(match error {
                0 => format!(
                    "{what}: the program does not find itself without /proc; mount it, or start the tool by its whole path"
                ),
                #[cfg(unix)]
                libc::EAGAIN => format!(
                    "{what}: no process is left for this user; see `ulimit -u`, or the limit of the container"
                ),
                error => format!("{what}: {}", io::Error::from_raw_os_error(error)),
            });
        }
        let Self { unreported, has_begun, .. } = self;
        (unreported >= UNREPORTED_LIMIT).then(|| {
            let how = if has_begun { "did not end in order" } else { "never reported" };
            format!(
                "the uploader was started {unreported} times and {how}: something ends it with the command (a container, \
                 a sandbox, a service), or it cannot be loaded; commands wait for it until one reports"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreported_starts_are_counted() {
        use StartEvent::{Begun, Failed, Started};

        let unreported = |events: &[StartEvent]| StartHistory::of(events, |process| process == 7).unreported;
        assert_eq!(unreported(&[]), 0);
        assert_eq!(unreported(&[Started(5)]), 1);
        assert_eq!(unreported(&[Started(5), Begun]), 1);
        // Process 7 is alive.
        assert_eq!(unreported(&[Started(5), Begun, Started(7)]), 1);
        assert_eq!(unreported(&[Started(7), Started(7), Begun, Started(7)]), 0);
        assert_eq!(unreported(&[Started(6), Started(5)]), 2);
        // Commands waited for these, and they crashed.
        assert_eq!(unreported(&[Begun, Begun]), 2);
        assert_eq!(StartHistory::of(&[Started(5), Failed(11)], |_| false).failed, Some(11));
        assert_eq!(StartHistory::of(&[Failed(11), Started(5)], |_| false).failed, None);
    }

    #[test]
    fn only_lines_that_we_write_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let file =
            File::options().create(true).append(true).read(true).open(directory.path().join("lock")).unwrap();
        for event in [StartEvent::Started(i32::MAX), StartEvent::Begun, StartEvent::Failed(11)] {
            event.append_to(&file);
        }
        let starts = StartHistory::read_from(&file, SystemTime::now()).unwrap();
        assert_eq!(
            starts,
            StartHistory { unreported: 1, has_begun: true, is_starting: false, failed: Some(11) }
        );
        for line in ["started", "started x", "begun 1", "failed ", "", "something else"] {
            assert_eq!(StartEvent::parse(line), None, "{line}");
        }
    }
}

//! What became of the uploaders that commands started, in the file of the uploader's lock, which a command opens anyway.
//!
//! A command adds a line when it has started one, and an uploader that ends in order empties the file. So the length of
//! an empty file, which is known from opening it, says that each start reported its end; and what is left behind by
//! uploaders that never came to our code, crashed, or were ended with the command stands there, whatever ended them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::time::{Duration, SystemTime};

use crate::env::UPLOADER_ARGUMENT;
use crate::platform;

/// So many uploaders in a row that never reported are no accident: the next command waits for its own.
pub(crate) const TOO_MANY: u32 = 2;
/// A file of more bytes is left as it is. A line is 20 at most.
pub(crate) const LARGEST: u64 = 1 << 10;
/// Longer than an uploader lives: one whose process is there may report still.
const LIFE: Duration = Duration::from_secs(65);
/// Between its start and the lock an uploader needs some milliseconds, on a loaded machine some hundred.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// A process was started, with this id where it was started.
    Started(i32),
    /// None could be started: the system's error number; 0 if the program does not find itself.
    Failed(i32),
    /// An uploader took the lock.
    Begun,
}

impl Line {
    pub(crate) fn of_error(error: &io::Error) -> Self {
        Line::Failed(error.raw_os_error().unwrap_or_default())
    }

    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ') {
            Some(("started", process)) => Some(Line::Started(process.parse().ok()?)),
            Some(("failed", error)) => Some(Line::Failed(error.parse().ok()?)),
            None if line == "begun" => Some(Line::Begun),
            _ => None,
        }
    }

    /// Adds the line to the file, which was opened for appending. What cannot be noted is not known later; nothing else
    /// depends on it.
    pub(crate) fn note(self, mut file: &File) {
        let line = match self {
            Line::Started(process) => format!("started {process}\n"),
            Line::Failed(error) => format!("failed {error}\n"),
            Line::Begun => "begun\n".to_owned(),
        };
        let _ = file.write_all(line.as_bytes());
    }
}

/// Starts since the last uploader that ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Starts {
    /// Uploaders that never reported how they ended.
    pub(crate) unreported: u32,
    /// Whether one of these took the lock.
    pub(crate) has_begun: bool,
    /// One was started a moment ago and will take the lock, and what lies there with it.
    pub(crate) is_on_its_way: bool,
    /// The last start failed, with this error number.
    pub(crate) failed: Option<i32>,
}

impl Starts {
    /// Reads the lock's file; `modified` is when the last line was added.
    pub(crate) fn read(mut file: &File, modified: SystemTime) -> io::Result<Self> {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(LARGEST).read_to_string(&mut text)?;
        let lines: Vec<Line> = text.lines().filter_map(Line::parse).collect();
        // As far ahead is as old as as far back: the clock has jumped.
        let age = SystemTime::now().duration_since(modified).unwrap_or_else(|ahead| ahead.duration());
        let mut starts =
            Self::of(&lines, |process| age < LIFE && platform::runs_with(process, UPLOADER_ARGUMENT));
        starts.is_on_its_way &= age < ON_ITS_WAY;
        Ok(starts)
    }

    fn of(lines: &[Line], may_report: impl Fn(i32) -> bool) -> Self {
        let started = lines.iter().filter_map(|line| match line {
            Line::Started(process) => Some(*process),
            _ => None,
        });
        let (alive, gone): (Vec<i32>, Vec<i32>) = started.partition(|process| may_report(*process));
        // One that somebody waits for leaves no line of its start; of those that are alive one may have begun.
        let begun = lines.iter().filter(|line| **line == Line::Begun).count();
        let unreported = gone.len().max(begun - usize::from(begun > 0 && !alive.is_empty())) as u32;
        let failed = match lines.last() {
            Some(Line::Failed(error)) => Some(*error),
            _ => None,
        };
        Self { unreported, has_begun: begun > 0, is_on_its_way: !alive.is_empty(), failed }
    }
}

impl Starts {
    /// Why nothing is sent, and what to do, for people; nothing if all is well.
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
        (unreported >= TOO_MANY).then(|| {
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
    fn a_start_counts_until_an_uploader_ends_in_order() {
        use Line::{Begun, Failed, Started};

        let unreported = |lines: &[Line]| Starts::of(lines, |process| process == 7).unreported;
        assert_eq!(unreported(&[]), 0);
        assert_eq!(unreported(&[Started(5)]), 1);
        assert_eq!(unreported(&[Started(5), Begun]), 1);
        // 7 is alive.
        assert_eq!(unreported(&[Started(5), Begun, Started(7)]), 1);
        assert_eq!(unreported(&[Started(7), Started(7), Begun, Started(7)]), 0);
        assert_eq!(unreported(&[Started(6), Started(5)]), 2);
        // Somebody waited for these, and they crashed.
        assert_eq!(unreported(&[Begun, Begun]), 2);
        assert_eq!(Starts::of(&[Started(5), Failed(11)], |_| false).failed, Some(11));
        assert_eq!(Starts::of(&[Failed(11), Started(5)], |_| false).failed, None);
    }

    #[test]
    fn what_is_noted_is_read_again_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let file =
            File::options().create(true).append(true).read(true).open(folder.path().join("lock")).unwrap();
        for line in [Line::Started(i32::MAX), Line::Begun, Line::Failed(11)] {
            line.note(&file);
        }
        let starts = Starts::read(&file, SystemTime::now()).unwrap();
        assert_eq!(starts, Starts { unreported: 1, has_begun: true, is_on_its_way: false, failed: Some(11) });
        for line in ["started", "started x", "begun 1", "failed ", "", "something else"] {
            assert_eq!(Line::parse(line), None, "{line}");
        }
    }
}

//! The file through which a program that `exec` runs adds data points and spans to its run.
//!
//! A file and not a pipe: any language can append to it, a process that outlives the run neither waits nor is killed when it
//! writes, and the lines of a program that was killed are still there. It is in memory where the system gives each user a
//! directory for that, because the program may write what is not approved.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use tool_telemetry::command::SpoolInspector;
use tool_telemetry::env;

/// More than the longest telemetry.toml allows in one run.
const MAX_BYTES: u64 = 1 << 20;

/// The beginning of the file's name.
const PREFIX: &str = "points-";

/// Marks a line that `span` wrote. No key of a data point begins like this.
const SPAN: &str = "@span ";
/// Marks a data point of the span whose line follows.
const SPAN_POINT: &str = "@point ";

/// The file, which is deleted when this is dropped.
#[derive(Debug)]
pub(crate) struct PointsFile {
    file: File,
    path: PathBuf,
}

impl PointsFile {
    /// Creates the file for a run of this tool, and deletes those of runs that were killed.
    pub(crate) fn create(tool: &str) -> io::Result<Self> {
        let directory = directory(tool);
        delete_abandoned(&directory);
        let path = directory.join(format!("{PREFIX}{:016x}", random_number()));
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        // It is locked for its whole life. On a file system without locks, no other run deletes it.
        let _ = file.try_lock();
        Ok(Self { file, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what the program wrote. An unfinished last line counts only if the program `has_ended` by itself.
    pub(crate) fn read(&mut self, has_ended: bool) -> Vec<Entry> {
        let mut bytes = Vec::new();
        let _ = self.file.rewind();
        let _ = (&self.file).take(MAX_BYTES).read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        parse(if has_ended { &text } else { text.rfind('\n').map_or("", |end| &text[..end]) })
    }
}

impl Drop for PointsFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The user's own directory in memory, or else the tool's private one. A run that is only shown may have neither.
fn directory(tool: &str) -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = SpoolInspector::state_home().map(|home| home.join(tool).join("telemetry"));
    runtime
        .into_iter()
        .chain(state)
        .find(|directory| is_private(directory))
        .unwrap_or_else(std::env::temp_dir)
}

#[cfg(unix)]
fn is_private(directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    // Another user could create nothing in it, so whoever owns it is this user or root.
    std::fs::symlink_metadata(directory)
        .is_ok_and(|metadata| metadata.is_dir() && metadata.mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(directory: &Path) -> bool {
    directory.is_dir()
}

/// Deletes the files that no process has locked. Between its creation and its lock, a file is empty, and is left alone.
fn delete_abandoned(directory: &Path) {
    let is_points = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with(PREFIX));
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|entry| is_points(&entry.file_name())) {
        let is_abandoned = entry.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
            && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_abandoned {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A random number that is not zero.
pub(crate) fn random_number() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};

    RandomState::new().hash_one(std::process::id()).max(1)
}

/// What a line of the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A data point of the run.
    Point {
        key: String,
        value: String,
    },
    Span(MeasuredSpan),
    /// Neither, with its number, counted from 1.
    Unreadable(usize),
}

/// A span that `span` measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeasuredSpan {
    pub(crate) name: String,
    pub(crate) id: u64,
    /// The span that it is part of.
    pub(crate) parent: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) start: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) end: u64,
    /// Its data points, unchecked.
    pub(crate) values: Vec<(String, String)>,
}

impl MeasuredSpan {
    /// Adds the span to a file that `exec` created. It is one write, so that lines of processes that write at once stay whole.
    pub(crate) fn write(&self, mut file: &File) -> io::Result<()> {
        let mut text = String::new();
        for (key, value) in &self.values {
            text.push_str(&format!("{SPAN_POINT}{:016x} {key}={value}\n", self.id));
        }
        let Self { id, parent, start, end, name, .. } = self;
        text.push_str(&format!("{SPAN}{id:016x} {parent:016x} {start} {end} {name}\n"));
        file.write_all(text.as_bytes())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(5, ' ');
        let mut hex = || u64::from_str_radix(words.next()?, 16).ok();
        let (id, parent) = (hex()?, hex()?);
        let mut number = || words.next()?.parse().ok();
        let (start, end) = (number()?, number()?);
        Some(Self { name: words.next()?.to_owned(), id, parent, start, end, values: Vec::new() })
    }
}

/// Opens the file that `exec` created for the program that this process belongs to.
pub(crate) fn open_inherited() -> Option<File> {
    let path = PathBuf::from(std::env::var_os(env::POINTS)?);
    let mut options = OpenOptions::new();
    options.append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path).ok()?;
    file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
}

fn parse(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut values: Vec<(u64, String, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = if let Some(rest) = line.strip_prefix(SPAN) {
            MeasuredSpan::parse(rest).map(|mut span| {
                let own = values.iter().filter(|(id, ..)| *id == span.id);
                span.values = own.map(|(_, key, value)| (key.clone(), value.clone())).collect();
                values.retain(|(id, ..)| *id != span.id);
                Entry::Span(span)
            })
        } else if let Some(rest) = line.strip_prefix(SPAN_POINT) {
            let point = rest.split_once(' ').and_then(|(id, point)| {
                let (key, value) = split_point(point)?;
                Some((u64::from_str_radix(id, 16).ok()?, key, value))
            });
            if let Some(point) = point {
                values.push(point);
                continue;
            }
            None
        } else {
            split_point(line).map(|(key, value)| Entry::Point { key, value })
        };
        entries.push(entry.unwrap_or(Entry::Unreadable(number)));
    }
    entries
}

/// Splits `key=value`.
pub(crate) fn split_point(point: &str) -> Option<(String, String)> {
    let (key, value) = point.split_once('=')?;
    Some((key.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_data_point_a_span_or_unreadable() {
        let span = MeasuredSpan {
            name: "build step".to_owned(),
            id: 7,
            parent: 1,
            start: 10,
            end: 20,
            values: vec![("frob.cached".to_owned(), "true".to_owned())],
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("points");
        span.write(&File::create(&path).unwrap()).unwrap();
        let text = format!(
            "# a comment\n\n frob.color = always \nfree text\n{}@span 1\n@point x",
            std::fs::read_to_string(&path).unwrap()
        );
        assert_eq!(
            parse(&text),
            [
                Entry::Point { key: "frob.color".to_owned(), value: "always".to_owned() },
                Entry::Unreadable(4),
                Entry::Span(span),
                Entry::Unreadable(7),
                Entry::Unreadable(8),
            ]
        );
    }
}

//! Inspects and prepares a tool's files on disk.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The home directory of one case.
#[derive(Debug)]
pub struct Home {
    /// Its path.
    pub path: PathBuf,
    /// Runs that `fill` created. They stay pending.
    prepared: BTreeSet<PathBuf>,
    /// Events in the database of `telemetry-kit` before the run.
    stored: usize,
}

impl Home {
    /// Creates the home directory of a user who has seen the notice for the collector at this endpoint.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn new(path: PathBuf, endpoint: &str) -> io::Result<Self> {
        let config = path.join("config/bench-tool");
        fs::create_dir_all(&config)?;
        fs::create_dir_all(path.join("state"))?;
        let origin = endpoint.replace("://", "-").replace(':', "-");
        fs::write(config.join("telemetry.toml"), format!("[notice]\n\"operator+{origin}\" = \"1.0.0\"\n"))?;
        Ok(Self { path, prepared: BTreeSet::new(), stored: 0 })
    }

    /// The destination's directory, if it exists.
    fn destination(&self) -> Option<PathBuf> {
        let directory = fs::read_dir(self.path.join("state/bench-tool/telemetry")).ok()?.flatten().next()?;
        Some(directory.path())
    }

    fn runs(&self) -> Option<PathBuf> {
        Some(self.destination()?.join("runs"))
    }

    fn sealed(&self) -> Vec<PathBuf> {
        let Some(entries) = self.runs().and_then(|runs| fs::read_dir(runs).ok()) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).collect()
    }

    /// Holds the uploader's lock, as a running uploader does.
    pub fn lock(&self) -> io::Result<File> {
        let directory = self.destination().ok_or(io::ErrorKind::NotFound)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join("uploader.lock"))?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(file)
    }

    /// Writes a backoff of one hour, as if the receiver had requested it.
    pub fn back_off(&self) -> io::Result<()> {
        let directory = self.destination().ok_or(io::ErrorKind::NotFound)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs();
        fs::write(directory.join("backoff"), format!("until={} failures=1 asked=yes\n", now + 3600))
    }

    /// Creates runs that stay pending: hard links to one recorded run.
    pub fn fill(&mut self, count: usize) -> io::Result<()> {
        let one = self.sealed().into_iter().next().ok_or(io::ErrorKind::NotFound)?;
        for number in 0..count {
            let path = one.with_file_name(format!("run1-{number:032x}.jsonl"));
            // ext4 allows 65,000 links to a file, and they need no space.
            fs::hard_link(&one, &path)?;
            self.prepared.insert(path);
        }
        fs::remove_file(one)
    }

    /// The pending spans of the last run, and the events that another library stored.
    pub fn pending(&self) -> io::Result<u64> {
        let mut spans = 0;
        for path in self.sealed().into_iter().filter(|path| !self.prepared.contains(path)) {
            let text = fs::read_to_string(path)?;
            // The root span has two lines.
            let ids: BTreeSet<_> =
                text.split("\"spanId\":\"").skip(1).filter_map(|rest| rest.get(..16)).collect();
            spans += ids.len() as u64;
        }
        Ok(spans + self.in_database().saturating_sub(self.stored) as u64)
    }

    fn in_database(&self) -> usize {
        let bytes = fs::read(self.path.join("telemetry.db")).unwrap_or_default();
        const EVENT: &[u8] = b"\"bench-event\"";
        bytes.windows(EVENT.len()).filter(|window| *window == EVENT).count()
    }

    /// Restores the state before the run: the directories exist, and only the prepared runs are pending.
    pub fn reset(&mut self) -> io::Result<()> {
        self.stored = self.in_database();
        let Some(directory) = self.destination() else { return Ok(()) };
        for path in [directory.join("backoff"), directory.join("counters")] {
            remove(&path)?;
        }
        for name in ["runs", "outcomes", "sent"] {
            for entry in fs::read_dir(directory.join(name))?.flatten() {
                if !self.prepared.contains(&entry.path()) {
                    remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Deletes the recorded runs, and ignores errors.
    pub fn clear(&self) {
        for path in self.sealed() {
            let _ = fs::remove_file(path);
        }
    }

    /// Creates runs for the uploader: copies of one recorded run, each with a trace ID of its own.
    ///
    /// # Errors
    ///
    /// No run is recorded, or a file cannot be written.
    pub fn copy(&mut self, count: usize) -> io::Result<()> {
        let one = self.sealed().into_iter().next().ok_or(io::ErrorKind::NotFound)?;
        let text = fs::read_to_string(&one)?;
        let trace = text.split("\"traceId\":\"").nth(1).and_then(|rest| rest.get(..32));
        let trace = trace.ok_or(io::ErrorKind::InvalidData)?.to_owned();
        for number in 1..=count {
            let path = one.with_file_name(format!("run1-{number:032x}.jsonl"));
            fs::write(path, text.replace(&trace, &format!("{number:08x}{}", &trace[8..])))?;
        }
        fs::remove_file(one)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Flushes the writes of earlier cases to disk, so that they do not slow a later one down.
pub fn flush_disk() {
    let _ = io::stderr().flush();
    let _ = std::process::Command::new("sync").status();
}

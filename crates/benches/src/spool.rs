//! What a tool leaves on disk for later, looked at from outside.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The home folder of one case.
#[derive(Debug)]
pub struct Home {
    /// The folder.
    pub path: PathBuf,
    /// Runs that lie there from the start and stay.
    waiting: BTreeSet<PathBuf>,
    /// Events in the database of `telemetry-kit` before the run.
    stored: usize,
}

impl Home {
    /// Makes one whose person saw the notice for the collector at this endpoint, and has not turned telemetry off.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn new(path: PathBuf, endpoint: &str) -> io::Result<Self> {
        let config = path.join("config/bench-tool");
        fs::create_dir_all(&config)?;
        fs::create_dir_all(path.join("state"))?;
        let origin = endpoint.replace("://", "-").replace(':', "-");
        fs::write(config.join("telemetry.toml"), format!("[notice]\n\"operator+{origin}\" = \"1.0.0\"\n"))?;
        Ok(Self { path, waiting: BTreeSet::new(), stored: 0 })
    }

    /// The folder of the destination, once there is one.
    fn destination(&self) -> Option<PathBuf> {
        let folder = fs::read_dir(self.path.join("state/bench-tool/telemetry")).ok()?.flatten().next()?;
        Some(folder.path())
    }

    fn runs(&self) -> Option<PathBuf> {
        Some(self.destination()?.join("runs"))
    }

    fn sealed(&self) -> Vec<PathBuf> {
        let Some(entries) = self.runs().and_then(|runs| fs::read_dir(runs).ok()) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).collect()
    }

    /// The uploader's lock, held: an uploader is at work.
    pub fn lock(&self) -> io::Result<File> {
        let folder = self.destination().ok_or(io::ErrorKind::NotFound)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join("uploader.lock"))?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(file)
    }

    /// An hour's backoff, as after a receiver asked for it.
    pub fn back_off(&self) -> io::Result<()> {
        let folder = self.destination().ok_or(io::ErrorKind::NotFound)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs();
        fs::write(folder.join("backoff"), format!("until={} failures=1 asked=yes\n", now + 3600))
    }

    /// Lays runs there that stay: as many names of one that was recorded.
    pub fn fill(&mut self, count: usize) -> io::Result<()> {
        let one = self.sealed().into_iter().next().ok_or(io::ErrorKind::NotFound)?;
        for number in 0..count {
            let path = one.with_file_name(format!("run1-{number:032x}.jsonl"));
            // A file may have 65,000 names on ext4, and all need the same place.
            fs::hard_link(&one, &path)?;
            self.waiting.insert(path);
        }
        fs::remove_file(one)
    }

    /// Spans that the last run left to be sent later, and events that another library stored.
    pub fn pending(&self) -> io::Result<u64> {
        let mut spans = 0;
        for path in self.sealed().into_iter().filter(|path| !self.waiting.contains(path)) {
            let text = fs::read_to_string(path)?;
            // The run's own span has two lines.
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

    /// As before the run: the folders are there and nothing waits, but what was laid there.
    pub fn reset(&mut self) -> io::Result<()> {
        self.stored = self.in_database();
        let Some(folder) = self.destination() else { return Ok(()) };
        for path in [folder.join("backoff"), folder.join("counters")] {
            remove(&path)?;
        }
        for name in ["runs", "outcomes", "sent"] {
            for entry in fs::read_dir(folder.join(name))?.flatten() {
                if !self.waiting.contains(&entry.path()) {
                    remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }
}

impl Home {
    /// Removes what was recorded; what cannot be removed stays.
    pub fn clear(&self) {
        for path in self.sealed() {
            let _ = fs::remove_file(path);
        }
    }

    /// Lays runs there for the uploader: copies of one that was recorded, each a trace of its own.
    ///
    /// # Errors
    ///
    /// If there is none, or a file cannot be written.
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

/// Writes everything that earlier cases left in memory to the disk, so that it is not written while a later one runs.
pub fn settle() {
    let _ = io::stderr().flush();
    let _ = std::process::Command::new("sync").status();
}

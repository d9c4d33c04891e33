//! The queue of pending runs, read into batches.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::state::{LoadedRun, MAX_FILE_BYTES, SkippedRuns, StopReason, Uploader};
use crate::model::data_points::Version;
use crate::platform::{self, is_foreign, is_missing, random_number};
use crate::spool::listing::SpooledRun;
use crate::spool::outcome::Outcome;
use crate::spool::read::{RecordedRun, read_run};

/// Runs in one request.
const MAX_RUNS: usize = 512;

impl Uploader<'_> {
    /// Reads the next runs that share a resource, oldest first. They are of one version of the tool and were recorded
    /// under one `telemetry.toml`, so a receiver that does not know this file refuses no other run. The other runs stay
    /// in the queue.
    pub(super) fn next_batch(
        &self,
        queue: &mut VecDeque<SpooledRun>,
        skipped: &mut SkippedRuns,
        max_spans: usize,
    ) -> Result<Vec<LoadedRun>, StopReason> {
        let mut batch: Vec<LoadedRun> = Vec::new();
        let mut others = VecDeque::new();
        let mut spans = 0;
        while let Some(entry) = queue.pop_front() {
            let Some(run) = self.read(&entry, skipped)? else { continue };
            let fits = batch.is_empty() || spans + run.spans.len() <= max_spans;
            if batch.first().is_some_and(|first| first.run.tool(self.tool) != run.tool(self.tool)) {
                others.push_back(entry);
            } else if !fits {
                queue.push_front(entry);
                break;
            } else {
                spans += run.spans.len();
                batch.push(LoadedRun { entry, run });
            }
            if batch.len() == MAX_RUNS || others.len() == MAX_RUNS {
                break;
            }
        }
        while let Some(other) = others.pop_back() {
            queue.push_front(other);
        }
        Ok(batch)
    }

    /// Reads a run. Archives a file that holds none, and skips one that cannot be read now.
    fn read(&self, entry: &SpooledRun, skipped: &mut SkippedRuns) -> Result<Option<RecordedRun>, StopReason> {
        let path = self.spool.runs().join(entry.name.sealed());
        let content = platform::open_own(&path, false, false).and_then(|(mut file, metadata)| {
            let mut bytes = Vec::with_capacity(metadata.len().min(MAX_FILE_BYTES) as usize);
            if metadata.len() <= MAX_FILE_BYTES {
                file.read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        });
        let mut run = match content {
            Ok(bytes) => read_run(&bytes, self.allowlist.data_points, self.tool),
            // `telemetry off` deleted it.
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) if is_foreign(&error) => None,
            Err(_) => {
                skipped.insert(entry.name.random);
                return Ok(None);
            }
        };
        match &mut run {
            // The newer version of the tool knows what this version would drop.
            Some(run) if run.left_out > 0 && self.is_newer(run) => {
                skipped.insert(entry.name.random);
                return Ok(None);
            }
            Some(run) => {
                if run.keep_only(&self.allowlist) {
                    // Deletes the withheld values from disk, so that `show` lists only sent values for a sent run.
                    let _ = self.rewrite(&path, run);
                }
            }
            None => {
                skipped.insert(entry.name.random);
                self.archive(entry.name, entry.name, Outcome::Damaged)?;
            }
        }
        Ok(run)
    }

    fn is_newer(&self, run: &RecordedRun) -> bool {
        Version::parse(self.version)
            .zip(Version::parse(&run.version))
            .is_some_and(|(own, recorded_by)| own < recorded_by)
    }

    fn rewrite(&self, path: &Path, run: &RecordedRun) -> io::Result<()> {
        let text = run.file(self.allowlist.data_points, self.tool);
        let temporary = self.spool.rewritten(random_number());
        platform::create_private(&temporary)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| platform::rename(&temporary, path))
            .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
    }
}

//! The file of an installation's counts for one destination.

use std::io::{self, Read as _};
use std::time::SystemTime;

use super::cells;
use super::state::{Clocks, CountState, RandomPart, is_plausible};
use crate::model::clock::unix_seconds;
use crate::model::data_points::{DataPoints, Period};
use crate::model::ids::Ids;
use crate::platform::{self, FileIdentity, is_foreign, is_missing, random_number};
use crate::spool::counters::{Counters, note_counted};
use crate::spool::directory::SpoolDirectory;
use crate::spool::read::RecordedRun;

/// Larger than the state of 16 periods with 25 cells each.
const LARGEST: u64 = 1 << 20;

/// The file as it is read.
#[derive(Debug)]
pub(crate) struct CountFile {
    /// `None` if there is none, or none that can be read.
    pub(crate) state: Option<CountState>,
    /// Identifies the file that was read.
    identity: Option<FileIdentity>,
}

impl CountFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// The system cannot read it now.
    pub(crate) fn read(spool: &SpoolDirectory) -> io::Result<Self> {
        let path = spool.counts();
        let (mut file, metadata) = match platform::open_own(&path, false, false) {
            Ok(opened) => opened,
            Err(error) if is_missing(&error) => return Ok(Self { state: None, identity: None }),
            Err(error) if is_foreign(&error) => {
                return Ok(Self { state: None, identity: platform::identity_at(&path).ok() });
            }
            Err(error) => return Err(error),
        };
        let identity = Some(platform::identity_of_open(&file)?);
        let mut text = String::new();
        if metadata.len() <= LARGEST {
            match file.read_to_string(&mut text) {
                Ok(_) => {}
                // Not text, so not ours.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => text.clear(),
                Err(error) => return Err(error),
            }
        }
        Ok(Self { state: CountState::parse(&text), identity })
    }

    /// Writes the state durably, unless the file was deleted or replaced since it was read.
    fn write(&self, spool: &SpoolDirectory, state: &CountState) -> io::Result<()> {
        let path = spool.counts();
        let is_unchanged = || platform::identity_at(&path).ok() == self.identity;
        platform::replace_file_durably(&path, state.render().as_bytes(), is_unchanged)
    }
}

/// Counts installations for one destination.
#[derive(Debug)]
pub(crate) struct InstallationCounter<'a> {
    pub(super) spool: &'a SpoolDirectory,
    pub(super) data_points: &'static DataPoints,
    period: Period,
    ids: Ids,
    /// The clock.
    pub(super) now: fn() -> SystemTime,
}

impl<'a> InstallationCounter<'a> {
    /// `None` if no `[[count]]` asks for counts.
    pub(crate) fn new(
        spool: &'a SpoolDirectory,
        data_points: &'static DataPoints,
        now: fn() -> SystemTime,
    ) -> Option<Self> {
        let period = data_points.period.filter(|_| !data_points.counts.is_empty())?;
        Some(Self { spool, data_points, period, ids: Ids::new(), now })
    }

    /// Seconds since the Unix epoch.
    pub(super) fn seconds(&self) -> u64 {
        unix_seconds((self.now)())
    }

    /// Counts the cells of runs that were delivered. If the state cannot be read or written, nothing is counted, and if it
    /// is missing, damaged, or of another period, it begins again. `may_send` tells whether telemetry is on.
    pub(crate) fn count(
        &self,
        runs: &[&RecordedRun],
        receiver_time: Option<SystemTime>,
        may_send: &dyn Fn() -> bool,
    ) {
        let clocks = Clocks { now: self.seconds(), receiver: receiver_time.map(unix_seconds) };
        let now = clocks.now;
        if runs.is_empty() || !is_plausible(now) {
            return;
        }
        let Ok(file) = CountFile::read(self.spool) else { return };
        let known = file.state.clone().filter(|state| state.is_of(self.period));
        let mut is_changed = known.is_none();
        let mut state = match known {
            Some(state) => state,
            None => {
                let Ok((counters, _)) = Counters::read(self.spool) else { return };
                let counted_until = counters.counted_until.unwrap_or_default();
                CountState::new(self.period, clocks.true_time().max(counted_until))
            }
        };
        is_changed |= state.forget_closed(now);
        let mut draw = || RandomPart::new(self.ids.trace_id(), self.ids.span_id(), random_number());
        for run in runs {
            let started = run.spans.first().map_or(0, |root| root.start / 1_000_000_000);
            let cells = cells::of_run(&run.version, &run.spans, self.data_points);
            is_changed |= state.count(self.data_points, cells, started, clocks, &mut draw);
        }
        // The counters are written first, because they must know the time if the state is lost.
        if is_changed
            && may_send()
            && Counters::fold(self.spool, note_counted(clocks.earliest())).is_ok()
            && file.write(self.spool, &state).is_ok()
            && !may_send()
        {
            // `off` deleted everything just before.
            let _ = std::fs::remove_file(self.spool.counts());
        }
    }

    /// Changes a state that exists.
    pub(super) fn update(&self, change: impl FnOnce(&mut CountState) -> bool) -> io::Result<()> {
        let file = CountFile::read(self.spool)?;
        let Some(mut state) = file.state.clone() else { return Ok(()) };
        if change(&mut state) { file.write(self.spool, &state) } else { Ok(()) }
    }
}

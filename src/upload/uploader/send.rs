//! Sending a batch, halving one that is refused, and recording the outcome of each run.

use std::time::{Duration, SystemTime};

use super::state::{CountingRole, LoadedRun, MAX_SPANS, ServerHistory, StopReason, Uploader, max_spans};
use crate::model::span::Span;
use crate::platform::{self, is_missing, random_number};
use crate::spool::backoff::Backoff;
use crate::spool::counters::{Counters, note_delivery, note_failure};
use crate::spool::directory::RunName;
use crate::spool::outcome::Outcome;
use crate::upload::delivery::{Batch, DeliveryOutcome, RunBatch, Transport};
use crate::upload::failure::FailureKind;
use crate::upload::launch::UploadMode;

/// Refusals without a success in between before an uploader stops, so that a server that refuses everything gets few
/// requests. Runs that were not tried stay pending.
const MAX_REFUSALS: u32 = 100;

impl Uploader<'_> {
    /// Sends a batch and records the outcomes. Returns the number of refused runs. A refused batch is halved until the
    /// offending run is alone, so that no run is dropped unless it was refused alone.
    pub(super) fn send(
        &self,
        transport: &mut dyn Transport,
        batch: &[LoadedRun],
        history: &mut ServerHistory,
    ) -> Result<usize, StopReason> {
        let Some(first) = batch.first() else { return Ok(0) };
        if !(self.may_send)() {
            return Err(StopReason::NotAllowed);
        }
        let before = Backoff::read(&self.spool.backoff());
        // In CI, the command that waits for this uploader may give up and write a backoff for the next commands, on a
        // busy machine even before the first request. This uploader sends anyway.
        let is_backing_off = before.is_some_and(|backoff| {
            backoff.remaining(SystemTime::now()).is_some()
                && (backoff.is_requested || self.mode == UploadMode::Detached)
        });
        if is_backing_off {
            return Err(StopReason::BackingOff);
        }
        if batch.len() > 1 && spans_of(batch) > max_spans(before) {
            return self.send_halves(transport, batch, history);
        }
        let spans: Vec<Span> = batch.iter().flat_map(|loaded| loaded.run.spans.iter().cloned()).collect();
        let tool = first.run.tool(self.tool);
        let data_points = self.allowlist.data_points;
        let request = Batch::Runs(RunBatch { data_points, tool, spans: &spans });
        let outcome = transport.deliver(&request);
        let now = SystemTime::now();
        match outcome {
            DeliveryOutcome::Delivered { rejected, .. } => {
                // A server may report more rejected spans than it got.
                let rejected = rejected.min(spans.len() as u64);
                self.end_backoff(before, history, spans.len());
                let left_out =
                    batch.iter().fold(0_u64, |sum, loaded| sum.saturating_add(loaded.run.left_out));
                // Before the runs leave the spool: if this process is killed, the next one counts them.
                if let CountingRole::Count(counting) = &self.counting {
                    let countable = batch.iter().filter(|loaded| loaded.entry.name.is_countable);
                    let runs: Vec<_> = countable.map(|loaded| &loaded.run).collect();
                    counting.count(&runs, transport.receiver_time(), self.may_send);
                }
                self.settle(batch, Outcome::Delivered, rejected)?;
                let _ = Counters::fold(self.spool, note_delivery(now, left_out));
                Ok(0)
            }
            DeliveryOutcome::Retry { after, kind } => {
                let before = if kind.may_depend_on_size() { Some(halved(before, batch)) } else { before };
                Err(self.back_off(before, after, kind, now))
            }
            DeliveryOutcome::Refused { kind } if !kind.may_depend_on_content() => {
                // The server would refuse every request. OTLP requires that this one is dropped. The other runs stay
                // pending.
                self.settle(batch, Outcome::Refused, 0)?;
                Err(self.back_off(before, None, kind, now))
            }
            // The server has accepted as many spans before, so it limits the rate and not the size.
            DeliveryOutcome::Refused { kind }
                if kind.may_depend_on_size() && spans.len() <= history.accepted =>
            {
                Err(self.back_off(Some(halved(before, batch)), None, kind, now))
            }
            DeliveryOutcome::Refused { kind } => self.divide(transport, batch, history, kind, before),
        }
    }

    /// Handles a refusal that may be due to a single run.
    fn divide(
        &self,
        transport: &mut dyn Transport,
        batch: &[LoadedRun],
        history: &mut ServerHistory,
        kind: FailureKind,
        before: Option<Backoff>,
    ) -> Result<usize, StopReason> {
        let now = SystemTime::now();
        history.refusals += 1;
        if batch.len() == 1 {
            self.settle(batch, Outcome::Refused, 0)?;
            let _ = Counters::fold(self.spool, note_failure(now, kind.to_string()));
        }
        if history.refusals >= MAX_REFUSALS {
            return Err(self.back_off(Some(halved(before, batch)), None, kind, now));
        }
        if batch.len() == 1 {
            return Ok(1);
        }
        if kind == FailureKind::TooLarge {
            self.send_less(before, batch, history);
        }
        let refused = self.send_halves(transport, batch, history)?;
        let before = Backoff::read(&self.spool.backoff());
        if refused == 0 {
            // The server accepted both halves, so the size was the reason.
            self.send_less(before, batch, history);
        } else if refused == batch.len() && refused > 2 {
            // The server refused each run, so it is likely to refuse all. Send them one by one from now on.
            self.send_less(before, &batch[..1], history);
        }
        Ok(refused)
    }

    fn send_halves(
        &self,
        transport: &mut dyn Transport,
        batch: &[LoadedRun],
        history: &mut ServerHistory,
    ) -> Result<usize, StopReason> {
        let (older, newer) = batch.split_at(batch.len() / 2);
        Ok(self.send(transport, older, history)? + self.send(transport, newer, history)?)
    }

    /// Ends the backoff after a success. Requests that were made smaller may grow again.
    fn end_backoff(&self, before: Option<Backoff>, history: &mut ServerHistory, spans: usize) {
        history.refusals = 0;
        history.accepted = history.accepted.max(spans);
        let limit = before.and_then(|before| before.most_spans).map(|limit| match history.is_too_large {
            true => limit,
            false => limit.max(spans).saturating_mul(2),
        });
        match limit.filter(|limit| *limit < MAX_SPANS) {
            Some(limit) => {
                let backoff = Backoff::NONE.with_most_spans(Some(limit));
                if before != Some(backoff) {
                    let _ = backoff.write(&self.spool.backoff());
                }
            }
            // The command that waits for this uploader may have given up in the meantime and written a backoff.
            None if before.is_some() || self.mode == UploadMode::Awaited => {
                Backoff::clear(&self.spool.backoff());
            }
            None => {}
        }
    }

    /// Halves the size of requests, also for later uploaders.
    fn send_less(&self, before: Option<Backoff>, batch: &[LoadedRun], history: &mut ServerHistory) {
        history.is_too_large = true;
        // If it cannot be written, each batch is halved again.
        let _ = halved(before, batch).write(&self.spool.backoff());
    }

    /// Records the outcome of all runs of a batch. It continues after an error, so that as few runs as possible are sent
    /// again.
    fn settle(&self, batch: &[LoadedRun], outcome: Outcome, rejected: u64) -> Result<(), StopReason> {
        let mut result = Ok(());
        let mut rejected = u32::try_from(rejected).unwrap_or(u32::MAX);
        for loaded in batch {
            let name = RunName { rejected_spans: rejected, ..loaded.entry.name };
            match self.archive(loaded.entry.name, name, outcome) {
                Ok(()) => rejected = 0,
                Err(stop) => result = Err(stop),
            }
        }
        result
    }

    /// Moves a run to the outcomes, under a name that holds its counts. The work stops if that fails, because the run
    /// would be sent again and again.
    pub(super) fn archive(&self, run: RunName, counted: RunName, outcome: Outcome) -> Result<(), StopReason> {
        let from = self.spool.runs().join(run.sealed());
        let to = self.spool.outcomes().join(outcome.file_name(counted));
        let moved = platform::rename(&from, &to).or_else(|error| {
            if !is_missing(&error) {
                return Err(error);
            }
            match std::fs::symlink_metadata(&from) {
                // `telemetry off` deleted it.
                Err(error) if is_missing(&error) => Ok(()),
                // The directory of the outcomes is missing.
                _ => self.spool.create().and_then(|()| platform::rename(&from, &to)),
            }
        });
        moved.map_err(|_| self.back_off_from_disk())
    }

    pub(super) fn back_off_from_disk(&self) -> StopReason {
        let before = Backoff::read(&self.spool.backoff());
        self.back_off(before, None, FailureKind::Disk, SystemTime::now())
    }

    fn back_off(
        &self,
        before: Option<Backoff>,
        requested: Option<Duration>,
        kind: FailureKind,
        now: SystemTime,
    ) -> StopReason {
        // The command that waited for this uploader may have written a backoff in the meantime.
        let most_spans = before.and_then(|before| before.most_spans);
        let before = Backoff::read(&self.spool.backoff())
            .map(|read| read.with_most_spans(most_spans.or(read.most_spans)))
            .or(before);
        let backoff = Backoff::after_failure(before, requested, now, random_number());
        let written = backoff.write(&self.spool.backoff());
        let _ = Counters::fold(self.spool, note_failure(now, kind.to_string()));
        match written {
            Ok(()) => StopReason::BackingOff,
            Err(_) => StopReason::UnsavedBackoff(backoff),
        }
    }
}

fn spans_of(batch: &[LoadedRun]) -> usize {
    batch.iter().map(|loaded| loaded.run.spans.len()).sum()
}

/// Limits requests to the larger half of this batch.
fn halved(before: Option<Backoff>, batch: &[LoadedRun]) -> Backoff {
    let before = before.unwrap_or(Backoff::NONE);
    let (older, newer) = batch.split_at(batch.len() / 2);
    let half = spans_of(older).max(spans_of(newer)).max(1);
    before.with_most_spans(Some(half.min(max_spans(Some(before)))))
}

//! Sending the counts that are due.

use std::time::Duration;

use super::file::{CountFile, InstallationCounter};
use crate::model::allowlist::Allowlist;
use crate::model::cell::CountSpan;
use crate::platform::random_number;
use crate::upload::delivery::{Batch, CountBatch, DeliveryOutcome, Transport};

/// How long counts wait after a failure if the receiver requested no time.
const DELAY_AFTER_FAILURE: Duration = Duration::from_secs(60 * 60);
/// The longest wait that a receiver may request.
const LONGEST_REQUESTED: Duration = Duration::from_secs(24 * 60 * 60);

impl InstallationCounter<'_> {
    /// Sends the counts that are due, in random order, until one is not delivered. A failure delays counts only, never
    /// runs. `may_send` is asked before each request.
    pub(crate) fn send(
        &self,
        transport: &mut dyn Transport,
        tool: &str,
        allowlist: &Allowlist,
        may_send: &dyn Fn() -> bool,
    ) {
        let mut due = self.due(allowlist);
        while !due.is_empty() {
            let count = due.swap_remove((random_number() % due.len() as u64) as usize);
            // `off` or `purge` may have deleted it.
            let still_waits = CountFile::read(self.spool)
                .is_ok_and(|file| file.state.is_some_and(|it| it.has_waiting(&count)));
            if !may_send() || !still_waits {
                return;
            }
            // A connection shows what belongs together.
            transport.disconnect();
            let data_points = self.data_points;
            let batch = Batch::Count(CountBatch { data_points, tool, count: &count });
            if !self.settle(&count, transport.deliver(&batch)) {
                return;
            }
        }
        // The runs of the next commands get a connection of their own too.
        transport.disconnect();
    }

    fn due(&self, allowlist: &Allowlist) -> Vec<CountSpan> {
        let Ok(CountFile { state: Some(state), .. }) = CountFile::read(self.spool) else { return Vec::new() };
        let mut due = state.due(self.seconds());
        due.retain(|count| count.cell.is_approved(allowlist));
        due
    }

    /// Notes what became of a count. Returns whether the next one may leave.
    fn settle(&self, count: &CountSpan, outcome: DeliveryOutcome) -> bool {
        let now = self.seconds();
        let (is_answered, is_lost, wait) = match outcome {
            DeliveryOutcome::Delivered { rejected, .. } => (true, rejected > 0, None),
            DeliveryOutcome::Retry { after, .. } => {
                (false, false, Some(after.map_or(DELAY_AFTER_FAILURE, |after| after.min(LONGEST_REQUESTED))))
            }
            DeliveryOutcome::Refused { .. } => (true, true, Some(DELAY_AFTER_FAILURE)),
        };
        let written = self.update(|state| {
            let is_answered = is_answered && state.answer(count, is_lost);
            wait.is_some_and(|wait| state.delay(now + wait.as_secs())) || is_answered
        });
        wait.is_none() && written.is_ok()
    }
}

//! What has arrived: requests, spans, and counts. One lock, one condition variable.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::Request;
use super::check::Content;
use super::generated::collector::trace::v1::ExportTracePartialSuccess;
use super::json;
use super::refusal::Refusal;
use super::script::{Answer, Script};
use super::spans::Span;
use super::wire::OutsideFields;

/// The most texts of violations that are kept. Further ones are only counted.
const MAX_VIOLATIONS: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct State {
    /// Grows with each change that a thread may be waiting for.
    version: u64,
    pub(super) requests: Vec<Request>,
    pub(super) spans: Vec<Span>,
    ids: HashSet<(String, String)>,
    pub(super) doubles: u64,
    pub(super) rejected: u64,
    pub(super) violations: Vec<String>,
    pub(super) outside: OutsideFields,
    pub(super) connections: Gauge,
    pub(super) overlaps: Gauge,
    file: Option<File>,
}

/// A number: in total, now, and at most at once.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Gauge {
    pub(super) total: u64,
    now: u64,
    pub(super) peak: u64,
}

/// What is shared between the receiver's thread and its owner.
#[derive(Debug, Default)]
pub(super) struct SharedState {
    state: Mutex<State>,
    changed: Condvar,
    script: Mutex<Script>,
    date: Mutex<DateHeader>,
}

/// The `Date` that answers have.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum DateHeader {
    /// This machine's clock.
    #[default]
    System,
    Fixed(SystemTime),
    Missing,
}

impl SharedState {
    pub(super) fn new(script: Script, file: Option<File>) -> Self {
        let state = State { file, ..State::default() };
        Self { state: Mutex::new(state), script: Mutex::new(script), ..Self::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Only a lack of memory causes a panic while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_date(&self, date: DateHeader) {
        *self.date.lock().unwrap_or_else(PoisonError::into_inner) = date;
    }

    /// The time that an answer tells.
    pub(super) fn date(&self) -> Option<SystemTime> {
        match *self.date.lock().unwrap_or_else(PoisonError::into_inner) {
            DateHeader::System => Some(SystemTime::now()),
            DateHeader::Fixed(time) => Some(time),
            DateHeader::Missing => None,
        }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        // Poisoned if a test's own function panicked. The next request calls it again.
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request and decides its answer. The request, its spans, and its violations become visible at once, so
    /// a caller that waits for one finds the others.
    pub(super) fn take(&self, mut request: Request, content: Result<Content, Refusal>) -> RequestOutcome {
        match &content {
            Ok(content) => request.spans.clone_from(&content.spans),
            Err(refusal) => request.error = Some(refusal.message.clone()),
        }
        let answer = self.script().next(&request);
        let mut state = self.state();
        state.requests.push(request);
        let outcome = content.and_then(|content| state.receive(content, &answer));
        state.version += 1;
        drop(state);
        self.changed.notify_all();
        RequestOutcome { answer, outcome }
    }

    /// Waits until `look` finds something, or `timeout` is over.
    pub(super) fn wait<T>(&self, timeout: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let end = Instant::now() + timeout;
        loop {
            let version = self.state().version;
            // Without the lock: it looks through the public accessors, which take it.
            if let Some(found) = look() {
                return Some(found);
            }
            let mut state = self.state();
            while state.version == version {
                let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
                let waited = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
                state = waited.0;
            }
        }
    }

    pub(super) fn count(self: &Arc<Self>, of: fn(&mut State) -> &mut Gauge) -> CountGuard {
        let mut state = self.state();
        let gauge = of(&mut state);
        gauge.total += 1;
        gauge.now += 1;
        gauge.peak = gauge.peak.max(gauge.now);
        state.version += 1;
        drop(state);
        self.changed.notify_all();
        CountGuard { shared: Arc::clone(self), of }
    }
}

/// The answer to a request, and the outcome of its content.
#[derive(Debug)]
pub(super) struct RequestOutcome {
    pub(super) answer: Answer,
    /// The partial success of an accepted request; `Ok(None)` also if the answer ignores the request.
    pub(super) outcome: Result<Option<ExportTracePartialSuccess>, Refusal>,
}

/// Counts down when it is dropped.
#[derive(Debug)]
pub(super) struct CountGuard {
    shared: Arc<SharedState>,
    of: fn(&mut State) -> &mut Gauge,
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        (self.of)(&mut state).now -= 1;
        state.version += 1;
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl State {
    fn receive(
        &mut self,
        mut content: Content,
        answer: &Answer,
    ) -> Result<Option<ExportTracePartialSuccess>, Refusal> {
        // Fields outside of the contract are counted, whatever the answer is.
        self.outside.merge(std::mem::take(&mut content.outside));
        self.rejected += content.violations.len() as u64;
        let room = MAX_VIOLATIONS.saturating_sub(self.violations.len());
        self.violations.extend(content.violations.iter().take(room).cloned());
        if !answer.accepts() {
            return Ok(None);
        }

        content.spans.truncate(content.spans.len().saturating_sub(answer.rejects()));
        let mut new_ids = HashSet::new();
        let received = content.spans.len();
        content.spans.retain(|span| {
            let id = (span.trace_id().to_owned(), span.span_id().to_owned());
            !self.ids.contains(&id) && new_ids.insert(id)
        });
        if let Some(file) = &mut self.file
            && !content.spans.is_empty()
        {
            // In one write, because only spans in the file count as received.
            file.write_all(json::line(&content.spans).as_bytes())
                .map_err(|error| Refusal::not_kept(&error))?;
        }
        self.doubles += (received - content.spans.len()) as u64;
        self.ids.extend(new_ids);
        self.spans.append(&mut content.spans);

        Ok(match answer {
            Answer::PartialSuccess { rejected, message } => Some(ExportTracePartialSuccess {
                rejected_spans: i64::from(*rejected),
                error_message: message.clone(),
            }),
            _ => content.violations.first().map(|first| ExportTracePartialSuccess {
                rejected_spans: content.violations.len() as i64,
                error_message: first.clone(),
            }),
        })
    }
}

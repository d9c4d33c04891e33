//! The thread that writes: one commit for all requests that wait, and maintenance in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::cells::Tables;
use crate::judge::JudgedRequest;
use crate::keeper::{Keeper, Outcome};
use crate::metrics::Metrics;
use crate::store::{ErrorKind, Store, StoreError, StoredDefinition};
use crate::time::{Day, Hour};

/// The most requests in the queue. The server lets fewer in.
const QUEUE: usize = 4_096;
/// Spans in one commit, unless one request alone has more: a larger one would hold up those behind it.
const SPANS_AT_ONCE: usize = 32_768;
/// While requests keep coming, maintenance gets a step this often.
const WORK_EVERY: Duration = Duration::from_millis(50);
/// Counters that nothing else writes are written this often, and an idle writer looks for work.
const IDLE: Duration = Duration::from_secs(1);
/// After an error, maintenance waits this long.
const AFTER_ERROR: Duration = Duration::from_secs(30);
/// The clock must have run evenly for this long before a week is closed, because a week never opens again.
const STEADY: Duration = Duration::from_secs(3_600);
/// A clock that differs more than this from the steady one was set.
const JUMP: Duration = Duration::from_secs(600);

/// One request's traces and counters.
#[derive(Debug)]
struct Job {
    judged: JudgedRequest,
    reply: oneshot::Sender<Result<Outcome, StoreUnavailable>>,
}

#[derive(Debug)]
enum Message {
    Job(Job),
    Configure(Configuration),
    Stop,
}

/// What the loaded telemetry.toml files say.
#[derive(Debug, Default)]
pub struct Configuration {
    /// What cells depend on.
    pub tables: Tables,
    /// Days that each tool's runs are kept.
    pub retention: HashMap<String, u32>,
    /// The files.
    pub definitions: Vec<StoredDefinition>,
}

/// The traces were not kept and may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreUnavailable;

/// The running writer.
#[derive(Debug)]
pub struct Writer {
    sender: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start<S: Store + 'static>(keeper: Keeper<S>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let state =
            State { keeper, metrics, receiver, clock: Clock::new(), last_day: None, pause_until: None };
        let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(move || state.run())?;
        Ok(Self { sender, thread: Some(thread) })
    }

    /// Keeps what is left of a request, durably.
    ///
    /// # Errors
    /// If they could not be kept.
    pub async fn keep(&self, judged: JudgedRequest) -> Result<Outcome, StoreUnavailable> {
        let (reply, answer) = oneshot::channel();
        match self.sender.try_send(Message::Job(Job { judged, reply })) {
            Ok(()) => answer.await.unwrap_or(Err(StoreUnavailable)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(StoreUnavailable),
        }
    }

    /// Replaces what the definitions say.
    pub fn configure(&self, configuration: Configuration) {
        let _ = self.sender.send(Message::Configure(configuration));
    }

    /// Keeps the requests in the queue, and ends the thread.
    pub fn stop(mut self) {
        let _ = self.sender.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct State<S> {
    keeper: Keeper<S>,
    metrics: Arc<Metrics>,
    receiver: Receiver<Message>,
    clock: Clock,
    last_day: Option<Day>,
    pause_until: Option<Instant>,
}

impl<S: Store> State<S> {
    fn run(mut self) {
        let mut last_work = Instant::now();
        let mut has_work = true;
        let mut is_running = true;
        while is_running {
            let wait = if has_work && self.may_work() { Duration::ZERO } else { IDLE };
            let first = match self.receiver.recv_timeout(wait) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let is_idle = first.is_none();
            if let Some(first) = first {
                is_running = self.take(first);
            }
            if (is_idle || last_work.elapsed() >= WORK_EVERY) && self.may_work() {
                let start = Instant::now();
                has_work = self.work();
                last_work = Instant::now();
                self.metrics.step(last_work - start);
            }
        }
        if let Err(error) = self.keeper.flush() {
            error!(%error, "the last counters could not be written");
        }
    }

    /// Handles a message and those behind it in the queue. Returns whether the writer goes on.
    fn take(&mut self, first: Message) -> bool {
        let mut jobs = Vec::new();
        let mut spans = 0;
        let mut next = Some(first);
        let mut is_running = true;
        while let Some(message) = next.take() {
            match message {
                Message::Job(job) => {
                    spans += job.judged.traces.iter().map(|trace| trace.spans.len()).sum::<usize>();
                    jobs.push(job);
                }
                Message::Configure(configuration) => self.configure(configuration),
                Message::Stop => is_running = false,
            }
            if spans < SPANS_AT_ONCE {
                next = self.receiver.try_recv().ok();
            }
        }
        if !jobs.is_empty() {
            self.commit(jobs, spans);
        }
        is_running
    }

    fn commit(&mut self, jobs: Vec<Job>, spans: usize) {
        let start = Instant::now();
        let mut batches = Vec::with_capacity(jobs.len());
        let mut replies = Vec::with_capacity(jobs.len());
        let mut traces = 0;
        for job in jobs {
            self.keeper.count_removed(&job.judged, Hour::now().week());
            traces += job.judged.traces.len();
            batches.push(job.judged.traces);
            replies.push(job.reply);
        }
        match self.keeper.commit(batches, Hour::now()) {
            Ok(outcomes) => {
                self.metrics.commit(start.elapsed());
                self.metrics.spans.fetch_add(spans as u64, Relaxed);
                self.metrics.traces.fetch_add(traces as u64, Relaxed);
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // A sender that went away will come again, and find its runs here.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(error) => {
                self.metrics.failed_commits.fetch_add(1, Relaxed);
                self.complain(&error);
                for reply in replies {
                    let _ = reply.send(Err(StoreUnavailable));
                }
            }
        }
    }

    fn configure(&mut self, configuration: Configuration) {
        if let Err(error) = self.keeper.keep_definitions(configuration.definitions) {
            self.complain(&error);
        }
        self.keeper.configure(configuration.tables, configuration.retention);
    }

    fn may_work(&self) -> bool {
        self.pause_until.is_none_or(|until| Instant::now() >= until)
    }

    fn work(&mut self) -> bool {
        let now = Hour::now();
        let result = self.daily(now).and_then(|()| self.keeper.work(now)).and_then(|has_work| {
            if !has_work {
                self.keeper.flush()?;
                let (traces, bytes) = self.keeper.index_size();
                self.metrics.index_traces.store(traces as u64, Relaxed);
                self.metrics.index_bytes.store(bytes as u64, Relaxed);
            }
            Ok(has_work)
        });
        result.unwrap_or_else(|error| {
            self.complain(&error);
            self.pause_until = Some(Instant::now() + AFTER_ERROR);
            true
        })
    }

    /// What is due once a day, as soon as the clock can be trusted.
    fn daily(&mut self, now: Hour) -> Result<(), StoreError> {
        if self.last_day == Some(now.day()) || !self.clock.is_steady() {
            return Ok(());
        }
        let jumps = self.keeper.mark_jumps()?;
        if jumps > 0 {
            warn!(jumps, "counts jumped; look at them with `tool-telemetry hold` before their period closes");
        }
        self.keeper.close_weeks(now)?;
        self.keeper.expire(now);
        self.last_day = Some(now.day());
        info!(closed_through = %self.keeper.closed(), "weeks are closed and old runs go");
        Ok(())
    }

    fn complain(&self, error: &StoreError) {
        match error.kind() {
            ErrorKind::Full => warn!(%error, "the disk is full; senders keep their runs and come again"),
            ErrorKind::ReadOnly => warn!(%error, "the store cannot be written; senders keep their runs"),
            _ => error!(%error, "the store failed; senders keep their runs"),
        }
    }
}

/// Whether the system's clock goes as evenly as the steady one.
struct Clock {
    checked: Instant,
    wall: SystemTime,
    steady_since: Instant,
}

impl Clock {
    fn new() -> Self {
        let now = Instant::now();
        Self { checked: now, wall: SystemTime::now(), steady_since: now }
    }

    fn is_steady(&mut self) -> bool {
        self.is_steady_at(Instant::now(), SystemTime::now())
    }

    fn is_steady_at(&mut self, now: Instant, wall: SystemTime) -> bool {
        let expected = self.wall + (now - self.checked);
        let difference = wall.duration_since(expected).unwrap_or_else(|error| error.duration());
        if difference > JUMP {
            self.steady_since = now;
        }
        (self.checked, self.wall) = (now, wall);
        now - self.steady_since >= STEADY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_not_trusted_for_an_hour() {
        let minutes = |number: u64| Duration::from_secs(60 * number);
        let (start, wall) = (Instant::now(), SystemTime::now());
        let mut clock = Clock { checked: start, wall, steady_since: start };
        assert!(!clock.is_steady_at(start + minutes(30), wall + minutes(30)));
        assert!(clock.is_steady_at(start + minutes(60), wall + minutes(60)));
        let year = minutes(60 * 24 * 365);
        assert!(!clock.is_steady_at(start + minutes(61), wall + minutes(61) + year));
        assert!(!clock.is_steady_at(start + minutes(90), wall + minutes(90) + year));
        // Back again.
        assert!(!clock.is_steady_at(start + minutes(121), wall + minutes(121)));
        assert!(!clock.is_steady_at(start + minutes(180), wall + minutes(180)));
        assert!(clock.is_steady_at(start + minutes(181), wall + minutes(181)));
    }
}

//! The uploader into any exporter.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::upload::delivery::Transport;
use crate::upload::delivery::{Batch, DeliveryOutcome, FailureKind};
use crate::upload::sdk_data;

/// For one batch, as long as OTLP's exporters take by default.
const PATIENCE: Duration = Duration::from_secs(10);
/// For what an exporter does when it is shut down.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

type Work = (Resource, Vec<SpanData>);

/// Starts an exporter and a thread that works for it.
#[derive(Clone)]
pub(crate) struct ExporterFactory(Arc<dyn Fn(Receiver<Work>, Sender<bool>) + Send + Sync>);

// A feature must not take from `Telemetry` what it has without: the closure is called in the uploader only, where no
// panic is ever caught.
impl std::panic::UnwindSafe for ExporterFactory {}
impl std::panic::RefUnwindSafe for ExporterFactory {}

impl fmt::Debug for ExporterFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExporterFactory(..)")
    }
}

impl ExporterFactory {
    pub(crate) fn new<E: SpanExporter + 'static>(
        exporter: impl Fn() -> Result<E, Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |work, answers| {
            if let Ok(exporter) = exporter() {
                serve(exporter, &work, &answers);
            }
        }))
    }
}

/// Works until nothing more comes. A panic closes the channels, and that is an answer, too.
fn serve(mut exporter: impl SpanExporter, work: &Receiver<Work>, answers: &Sender<bool>) {
    for (resource, spans) in work {
        exporter.set_resource(&resource);
        let exported = futures_executor::block_on(exporter.export(spans)).is_ok();
        let _ = answers.send(exported && exporter.force_flush().is_ok());
    }
    let _ = exporter.shutdown_with_timeout(LAST_PATIENCE);
}

/// The way to a destination that an exporter knows.
#[derive(Debug)]
pub(crate) struct ExporterTransport {
    /// Nothing once an answer did not come: a late one would be taken for the next batch's.
    channels: Option<(Sender<Work>, Receiver<bool>)>,
    pub(super) patience: Duration,
}

impl ExporterTransport {
    pub(crate) fn open(factory: &ExporterFactory) -> Self {
        let (work, to_do) = channel();
        let (answer, answers) = channel();
        let factory = factory.clone();
        let started = thread::Builder::new().spawn(move || factory.0(to_do, answer));
        Self { channels: started.is_ok().then_some((work, answers)), patience: PATIENCE }
    }
}

impl Transport for ExporterTransport {
    fn deliver(&mut self, batch: &Batch<'_>) -> DeliveryOutcome {
        let Some((work, answers)) = &self.channels else {
            return DeliveryOutcome::retry(FailureKind::Exporter);
        };
        let answer = match work.send((sdk_data::resource(batch.tool), sdk_data::spans(batch))) {
            Ok(()) => answers.recv_timeout(self.patience),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        };
        match answer {
            Ok(true) => DeliveryOutcome::DELIVERED,
            Ok(false) => DeliveryOutcome::retry(FailureKind::Exporter),
            Err(gone) => {
                self.channels = None;
                DeliveryOutcome::retry(match gone {
                    RecvTimeoutError::Timeout => FailureKind::Timeout,
                    RecvTimeoutError::Disconnected => FailureKind::Exporter,
                })
            }
        }
    }
}

impl Drop for ExporterTransport {
    /// Lets the exporter shut down, for a bounded time.
    fn drop(&mut self) {
        if let Some((work, answers)) = self.channels.take() {
            drop(work);
            let _ = answers.recv_timeout(LAST_PATIENCE);
        }
    }
}

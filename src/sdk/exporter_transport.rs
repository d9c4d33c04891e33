//! The transport to the author's own exporter.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use opentelemetry_sdk::trace::SpanExporter;

use crate::upload::delivery::{Batch, DeliveryOutcome, FailureKind, Transport};
use crate::upload::sdk_data::ExportRequest;

/// The time for one batch, which is the default of OTLP exporters.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The time for the exporter's shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates the author's exporter and serves it, on the thread that calls it.
#[derive(Clone)]
pub(crate) struct ExporterFactory(Arc<dyn Fn(Receiver<ExportRequest>, Sender<bool>) + Send + Sync>);

// A feature must not remove these traits from `Telemetry`. Only the uploader calls the closure, and it catches no panic.
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
        Self(Arc::new(move |requests, results| {
            if let Ok(exporter) = exporter() {
                serve(exporter, &requests, &results);
            }
        }))
    }
}

/// Exports until the channel closes. A panic closes both channels, which the transport reports as a failure.
fn serve(mut exporter: impl SpanExporter, requests: &Receiver<ExportRequest>, results: &Sender<bool>) {
    for request in requests {
        exporter.set_resource(&request.resource);
        let exported = futures_executor::block_on(exporter.export(request.spans)).is_ok();
        let _ = results.send(exported && exporter.force_flush().is_ok());
    }
    let _ = exporter.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
}

/// Delivers batches through the author's exporter, which knows its destination.
#[derive(Debug)]
pub(crate) struct ExporterTransport {
    /// `None` after a missing result, because a late one would be taken for the next batch's.
    channels: Option<(Sender<ExportRequest>, Receiver<bool>)>,
    pub(super) timeout: Duration,
}

impl ExporterTransport {
    pub(crate) fn open(factory: &ExporterFactory) -> Self {
        let (requests, to_export) = channel();
        let (result, results) = channel();
        let factory = factory.clone();
        let started = thread::Builder::new().spawn(move || factory.0(to_export, result));
        Self { channels: started.is_ok().then_some((requests, results)), timeout: TIMEOUT }
    }
}

impl Transport for ExporterTransport {
    fn deliver(&mut self, batch: &Batch<'_>) -> DeliveryOutcome {
        let Some((requests, results)) = &self.channels else {
            return DeliveryOutcome::retry(FailureKind::Exporter);
        };
        let result = match requests.send(ExportRequest::new(batch)) {
            Ok(()) => results.recv_timeout(self.timeout),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        };
        match result {
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
    /// Lets the exporter shut down within a bounded time.
    fn drop(&mut self) {
        if let Some((requests, results)) = self.channels.take() {
            drop(requests);
            let _ = results.recv_timeout(SHUTDOWN_TIMEOUT);
        }
    }
}

//! The allowlist in front of any exporter.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::ancestry::{Ancestry, Placement, SpanKey, SpanParent};
use super::approval;
use crate::model::allowlist::Allowlist;
use crate::model::chooser::Chooser;
use crate::model::data_points::{Audience, DataPoints, Version};
use crate::model::ids::Ids;
use crate::model::span::{Parent, Span, Subject, Tool};
use crate::upload::delivery::RunBatch;
use crate::upload::sdk_data;

/// How long an approved span waits for its ancestors: as long as a span waits in the SDK's batch processor
/// (`OTEL_BSP_SCHEDULE_DELAY`).
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Passes only approved spans and data points on to another exporter.
///
/// It only decides *what* is sent. It does not check consent, shows no notice, and writes nothing to disk, all of which
/// [`Telemetry`](crate::Telemetry) does.
///
/// | | default |
/// | --- | --- |
/// | [`audience`](Self::audience) | [`Audience::Maker`]: the smaller set, and new ids that cannot be traced back |
///
/// The inner exporter gets a resource with the names and versions of the tool, this crate, and the SDK. The provider's
/// resource, which may contain a host name and the text of `OTEL_RESOURCE_ATTRIBUTES`, is not passed on.
///
/// A span whose parent has not ended waits until its place is known, but for at most five seconds, and only until the
/// exporter is flushed or shut down. At most 2,048 spans wait. A span that leaves early keeps the id of its parent. If
/// that parent turns out not to be approved, the receiver never gets a span with that id.
///
/// ```
/// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
/// use opentelemetry_sdk::trace::SdkTracerProvider;
/// use tool_telemetry::sdk::AllowlistExporter;
///
/// let exporter = opentelemetry_stdout::SpanExporter::default();
/// let exporter = AllowlistExporter::new("frob", "1.0.0", &DATA_POINTS, exporter);
/// let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
/// # provider.shutdown().unwrap();
/// ```
#[derive(Debug)]
pub struct AllowlistExporter<E> {
    inner: E,
    tool: Tool<'static>,
    data_points: &'static DataPoints,
    allowlist: Allowlist,
    /// Whether trace ids and parents in other processes are passed on unchanged.
    keeps_ids: bool,
    ids: Ids,
    ancestry: Mutex<Ancestry>,
}

impl<E: SpanExporter> AllowlistExporter<E> {
    /// Puts the allowlist in front of an exporter. The spans carry the tool's name and version. The version also decides
    /// which data points have expired.
    pub fn new(
        name: &'static str,
        version: &'static str,
        data_points: &'static DataPoints,
        mut inner: E,
    ) -> Self {
        let version = Version::longest_prefix(version).unwrap_or("0");
        let tool = Tool { name, version, content_hash: Some(data_points.content_hash) };
        inner.set_resource(&sdk_data::resource(tool));
        Self {
            inner,
            tool,
            data_points,
            allowlist: allowlist(data_points, version, Chooser::Maker),
            keeps_ids: false,
            ids: Ids::new(),
            ancestry: Mutex::default(),
        }
    }

    /// Sets who receives the spans. For [`Audience::Operator`], trace ids, span ids, and a parent in another process stay
    /// unchanged, so that the spans fit into the operator's existing traces.
    #[must_use]
    pub fn audience(mut self, audience: Audience) -> Self {
        self.keeps_ids = audience == Audience::Operator;
        let chosen_by = if self.keeps_ids { Chooser::Operator } else { Chooser::Maker };
        self.allowlist = allowlist(self.data_points, self.tool.version, chosen_by);
        self
    }

    fn ancestry(&self) -> MutexGuard<'_, Ancestry> {
        self.ancestry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, ancestry: &mut Ancestry, data: &SpanData, out: &mut Vec<Span>) {
        let key = (data.span_context.trace_id().to_bytes(), data.span_context.span_id().to_bytes());
        let parent = SpanParent::of(data);
        let subject = approval::subject(&self.allowlist, data);
        if let Some(subject) = subject {
            let (trace_id, span_id) = self.mapped(key);
            let (start, end) = approval::times(data);
            let mut span = Span {
                trace_id,
                span_id,
                parent: None,
                subject: Subject::Approved(subject),
                start,
                end,
                values: approval::values(&self.allowlist, subject, data),
            };
            match ancestry.place(parent) {
                Placement::Known(parent) => {
                    span.parent = self.parent(parent);
                    out.push(span);
                }
                Placement::Provisional(parent) => {
                    span.parent = self.parent(SpanParent::Local(parent));
                    out.extend(ancestry.wait(parent, span));
                }
            }
        }
        for (mut span, parent) in ancestry.ended(key, parent, subject.is_some()) {
            span.parent = self.parent(parent);
            out.push(span);
        }
    }

    fn parent(&self, parent: SpanParent) -> Option<Parent> {
        match parent {
            SpanParent::Local(key) => Some(Parent { span_id: self.mapped(key).1, is_remote: false }),
            SpanParent::Remote(span_id) if self.keeps_ids => Some(Parent { span_id, is_remote: true }),
            SpanParent::Remote(_) | SpanParent::None => None,
        }
    }

    fn mapped(&self, key: SpanKey) -> SpanKey {
        if self.keeps_ids { key } else { (self.ids.trace_id_for(&key.0), self.ids.span_id_for(&key)) }
    }

    fn sdk_data(&self, spans: &[Span]) -> Vec<SpanData> {
        sdk_data::spans(&RunBatch { data_points: self.data_points, tool: self.tool, spans })
    }

    /// Exports the waiting spans at their provisional places.
    fn release(&self) -> OTelSdkResult {
        let waiting = self.ancestry().take_waiting(Duration::ZERO);
        let spans: Vec<Span> = waiting.into_iter().map(|(span, parent)| self.below(span, parent)).collect();
        if spans.is_empty() {
            return Ok(());
        }
        futures_executor::block_on(self.inner.export(self.sdk_data(&spans)))
    }

    fn below(&self, mut span: Span, parent: SpanKey) -> Span {
        span.parent = self.parent(SpanParent::Local(parent));
        span
    }
}

fn allowlist(data_points: &'static DataPoints, version: &str, chosen_by: Chooser) -> Allowlist {
    Allowlist::new(data_points, chosen_by, Version::parse(version).as_ref(), None, None)
}

impl<E: SpanExporter> SpanExporter for AllowlistExporter<E> {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let mut spans = Vec::new();
        {
            let mut ancestry = self.ancestry();
            for data in &batch {
                self.take(&mut ancestry, data, &mut spans);
            }
            let overdue = ancestry.take_waiting(MAX_WAIT);
            spans.extend(overdue.into_iter().map(|(span, parent)| self.below(span, parent)));
        }
        async move {
            if spans.is_empty() {
                return Ok(());
            }
            self.inner.export(self.sdk_data(&spans)).await
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let released = self.release();
        self.inner.shutdown_with_timeout(timeout).and(released)
    }

    fn force_flush(&self) -> OTelSdkResult {
        let released = self.release();
        self.inner.force_flush().and(released)
    }

    /// Sets the tool's own resource instead of the provider's.
    fn set_resource(&mut self, _resource: &Resource) {
        self.inner.set_resource(&sdk_data::resource(self.tool));
    }
}

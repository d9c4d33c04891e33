//! The allowlist around any exporter.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::ancestry::{Above, Ancestry, Key, Placement};
use super::approval;
use crate::model::allowlist::Allowlist;
use crate::model::chosen_by::ChosenBy;
use crate::model::data_points::{Audience, DataPoints, Version};
use crate::model::ids::Ids;
use crate::model::span::{Parent, Span, Subject, Tool};
use crate::upload::delivery::Batch;
use crate::upload::sdk_data;

/// How long an approved span is kept back for what is above it. As long as the SDK's batch processor lets a span
/// wait (`OTEL_BSP_SCHEDULE_DELAY`).
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Lets only approved spans and data points through to another exporter.
///
/// It decides *what* is sent, and nothing else: it asks nobody for consent, shows no notice and keeps nothing on
/// disk. All of that is [`Telemetry`](crate::Telemetry)'s.
///
/// | | default |
/// | --- | --- |
/// | [`audience`](Self::audience) | [`Audience::Maker`]: the smaller set, and ids that can be led back to nothing |
///
/// The resource that the inner exporter sees is the tool's name and version, this crate's and the SDK's; the
/// provider's own, with host names and what `OTEL_RESOURCE_ATTRIBUTES` says, is not passed on.
///
/// A span whose parent has not ended yet is kept back until its place is known: at most 2,048 spans, and at most
/// five seconds or until the exporter is flushed or shut down. One that goes out earlier than that has the id of
/// its parent, and if the parent turns out not to be approved, the receiver never gets a span of that id.
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
    /// Whether trace ids, and parents in other processes, are passed on as they are.
    keeps_ids: bool,
    ids: Ids,
    ancestry: Mutex<Ancestry>,
}

impl<E: SpanExporter> AllowlistExporter<E> {
    /// Puts the allowlist around an exporter. Name and version of the tool are what its spans say of it; what is
    /// approved until a version is judged by it, too.
    pub fn new(
        name: &'static str,
        version: &'static str,
        data_points: &'static DataPoints,
        mut inner: E,
    ) -> Self {
        let version = Version::longest_prefix(version).unwrap_or("0");
        let tool = Tool { name, version };
        inner.set_resource(&sdk_data::resource(tool));
        Self {
            inner,
            tool,
            data_points,
            allowlist: allowlist(data_points, version, ChosenBy::Maker),
            keeps_ids: false,
            ids: Ids::new(),
            ancestry: Mutex::default(),
        }
    }

    /// Who gets what goes through. For [`Audience::Operator`] trace ids, span ids and a parent in another process
    /// stay as they are, so that the spans fit into traces that the operator has already.
    #[must_use]
    pub fn audience(mut self, audience: Audience) -> Self {
        self.keeps_ids = audience == Audience::Operator;
        let chosen_by = if self.keeps_ids { ChosenBy::Operator } else { ChosenBy::Maker };
        self.allowlist = allowlist(self.data_points, self.tool.version, chosen_by);
        self
    }

    fn ancestry(&self) -> MutexGuard<'_, Ancestry> {
        self.ancestry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, ancestry: &mut Ancestry, data: &SpanData, out: &mut Vec<Span>) {
        let key = (data.span_context.trace_id().to_bytes(), data.span_context.span_id().to_bytes());
        let above = Above::of(data);
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
            match ancestry.place(above) {
                Placement::Known(above) => {
                    span.parent = self.parent(above);
                    out.push(span);
                }
                Placement::UntilItEnds(above) => {
                    span.parent = self.parent(Above::Span(above));
                    out.extend(ancestry.wait(above, span));
                }
            }
        }
        for (mut span, above) in ancestry.ended(key, above, subject.is_some()) {
            span.parent = self.parent(above);
            out.push(span);
        }
    }

    fn parent(&self, above: Above) -> Option<Parent> {
        match above {
            Above::Span(key) => Some(Parent { span_id: self.mapped(key).1, remote: false }),
            Above::Remote(span_id) if self.keeps_ids => Some(Parent { span_id, remote: true }),
            Above::Remote(_) | Above::Nothing => None,
        }
    }

    fn mapped(&self, key: Key) -> Key {
        if self.keeps_ids { key } else { (self.ids.trace_id_for(&key.0), self.ids.span_id_for(&key)) }
    }

    fn sdk_data(&self, spans: &[Span]) -> Vec<SpanData> {
        sdk_data::spans(&Batch { data_points: self.data_points, tool: self.tool, spans })
    }

    /// Sends what is kept back, with what is known of it.
    fn release(&self) -> OTelSdkResult {
        let waiting = self.ancestry().take_waiting(Duration::ZERO);
        let spans: Vec<Span> = waiting.into_iter().map(|(span, above)| self.below(span, above)).collect();
        if spans.is_empty() {
            return Ok(());
        }
        futures_executor::block_on(self.inner.export(self.sdk_data(&spans)))
    }

    fn below(&self, mut span: Span, above: Key) -> Span {
        span.parent = self.parent(Above::Span(above));
        span
    }
}

fn allowlist(data_points: &'static DataPoints, version: &str, chosen_by: ChosenBy) -> Allowlist {
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
            let overdue = ancestry.take_waiting(LONGEST_WAIT);
            spans.extend(overdue.into_iter().map(|(span, above)| self.below(span, above)));
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

    /// Not the provider's: the tool's own takes its place.
    fn set_resource(&mut self, _resource: &Resource) {
        self.inner.set_resource(&sdk_data::resource(self.tool));
    }
}

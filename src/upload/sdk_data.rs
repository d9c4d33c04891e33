//! The export request: the spans of a batch as the OpenTelemetry SDK's `SpanData`, with their resource.
//!
//! Every transport starts from [`ExportRequest::new`] and encodes it once. HTTP and gRPC use the same conversion of
//! `opentelemetry-proto`: over HTTP inside the exporter of `opentelemetry-otlp`, and over gRPC in
//! [`ExportRequest::into_message`]. A request has the same attributes, order, and flags as the lines on disk
//! ([`LineWriter`](crate::model::span::LineWriter)).
//!
//! The resource is built from nothing, because the SDK's default resource contains free text from
//! `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
#[cfg(any(feature = "grpc", all(test, feature = "http-json")))]
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::model::cell::{self, CellValue, CountSpan};
use crate::model::data_points::{DataPoints, Value};
use crate::model::span::{self, Ending, Span, Subject, Tool};
use crate::upload::delivery::{Batch, CountBatch, RunBatch};

/// A request for any `SpanExporter`.
#[derive(Debug)]
pub(crate) struct ExportRequest {
    pub(crate) resource: Resource,
    pub(crate) spans: Vec<SpanData>,
}

impl ExportRequest {
    pub(crate) fn new(batch: &Batch<'_>) -> Self {
        match batch {
            Batch::Runs(runs) => Self { resource: resource(runs.tool), spans: spans(runs) },
            Batch::Count(CountBatch { data_points, tool, count }) => Self {
                resource: resource_of(cell::resource(tool, Some(data_points.content_hash))),
                spans: vec![count_data(count)],
            },
        }
    }

    /// The message of OTLP's trace service.
    #[cfg(any(feature = "grpc", all(test, feature = "http-json")))]
    pub(crate) fn into_message(self) -> ExportTraceServiceRequest {
        use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;

        let resource_spans = group_spans_by_resource_and_scope(self.spans, &(&self.resource).into());
        ExportTraceServiceRequest { resource_spans }
    }
}

/// The resource of every span of this tool: [`span::resource`], and nothing from the environment.
pub(crate) fn resource(tool: Tool<'_>) -> Resource {
    resource_of(span::resource(tool))
}

fn resource_of<'a>(attributes: impl IntoIterator<Item = (&'static str, &'a str)>) -> Resource {
    let attributes = attributes.into_iter().map(|(key, value)| KeyValue::new(key, value.to_owned()));
    Resource::builder_empty().with_attributes(attributes).build()
}

/// The spans of a batch, in its order.
pub(crate) fn spans(batch: &RunBatch<'_>) -> Vec<SpanData> {
    let scope = InstrumentationScope::builder(span::SCOPE_NAME).with_version(span::SCOPE_VERSION).build();
    batch.spans.iter().map(|span| span_data(span, batch, &scope)).collect()
}

fn span_data(span: &Span, batch: &RunBatch<'_>, scope: &InstrumentationScope) -> SpanData {
    let mut name = String::new();
    let _ = span.write_name(batch.tool.name, batch.data_points, &mut name);
    let status = match span.subject {
        Subject::Run(ending) => status(ending),
        Subject::Approved(_) => Status::Unset,
    };
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(span.trace_id),
            SpanId::from_bytes(span.span_id),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: span.parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span_id)),
        parent_span_is_remote: span.parent.is_some_and(|parent| parent.is_remote),
        span_kind: SpanKind::Internal,
        name: Cow::Owned(name),
        start_time: time(span.start),
        end_time: time(span.end),
        attributes: attributes(span, batch.data_points, batch.tool),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status,
        instrumentation_scope: scope.clone(),
    }
}

/// A count as a span. Its scope has no version, which would divide the installations into classes.
fn count_data(count: &CountSpan) -> SpanData {
    let ids = (TraceId::from_bytes(count.trace_id), SpanId::from_bytes(count.span_id));
    let attribute = |(key, value): (&String, &CellValue)| match value {
        CellValue::Bool(flag) => KeyValue::new(key.clone(), *flag),
        CellValue::Integer(number) => KeyValue::new(key.clone(), *number),
        CellValue::Text(text) => KeyValue::new(key.clone(), text.clone()),
    };
    let start = time(count.start_nanoseconds());
    SpanData {
        span_context: SpanContext::new(ids.0, ids.1, TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: Cow::Borrowed(cell::COUNT),
        start_time: start,
        end_time: start,
        attributes: count.cell.0.iter().map(attribute).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder(span::SCOPE_NAME).build(),
    }
}

/// An error status has no description, because that would be free text.
fn status(ending: Option<Ending>) -> Status {
    if ending.and_then(Ending::error_type).is_some() { Status::error("") } else { Status::Unset }
}

fn time(nanoseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

fn attributes(span: &Span, data_points: &'static DataPoints, tool: Tool<'_>) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(span.values.len() + 3);
    if let Subject::Run(ending) = span.subject {
        attributes.push(KeyValue::new(span::EXECUTABLE_NAME, tool.name.to_owned()));
        if let (Some(Ending::Exited(code)), Some(position)) = (ending, data_points.exit_code()) {
            attributes.push(KeyValue::new(data_points.data_points[usize::from(position)].key, code));
        }
        if let Some(error_type) = ending.and_then(Ending::error_type) {
            attributes.push(KeyValue::new(span::ERROR_TYPE, error_type));
        }
    }
    for (position, value) in &span.values {
        let data_point = &data_points.data_points[usize::from(*position)];
        attributes.push(match value {
            Value::Bool(flag) => KeyValue::new(data_point.key, *flag),
            Value::Integer(number) => KeyValue::new(data_point.key, *number),
            text => {
                let mut rendered = String::new();
                let _ = data_point.render(text, &mut rendered);
                KeyValue::new(data_point.key, rendered)
            }
        });
    }
    attributes
}

#[cfg(all(test, feature = "http-json"))]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::TracesData;

    use super::*;
    use crate::fixtures;
    use crate::model::span::LineWriter;

    /// Sorts the resource's attributes, which the SDK keeps in a hash map.
    fn sorted(mut data: TracesData) -> TracesData {
        for resource_spans in &mut data.resource_spans {
            let resource = resource_spans.resource.as_mut().expect("a resource");
            resource.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        }
        data
    }

    #[test]
    fn a_request_equals_the_lines_on_disk() {
        let writer = LineWriter::new(&fixtures::DATA_POINTS, fixtures::TOOL);
        for span in fixtures::spans() {
            let line = writer.text([&span]);
            let recorded: TracesData = serde_json::from_str(&line).expect("a line of OTLP/JSON");
            let batch = fixtures::batch(std::slice::from_ref(&span));
            let exported = ExportRequest::new(&batch).into_message();
            let exported = TracesData { resource_spans: exported.resource_spans };
            assert_eq!(sorted(exported), sorted(recorded), "{line}");
        }
    }

    #[test]
    fn the_request_of_a_count_equals_its_line() {
        let count = fixtures::count();
        let recorded: TracesData =
            serde_json::from_str(&count.line("weave", Some(fixtures::DATA_POINTS.content_hash)))
                .expect("a line of OTLP/JSON");
        let batch = CountBatch { data_points: &fixtures::DATA_POINTS, tool: "weave", count: &count };
        let exported = ExportRequest::new(&Batch::Count(batch)).into_message();
        assert_eq!(sorted(TracesData { resource_spans: exported.resource_spans }), sorted(recorded));
    }

    #[test]
    fn the_resource_has_no_other_attribute() {
        let resource = resource(fixtures::TOOL);
        assert_eq!(resource.len(), span::resource(fixtures::TOOL).count());
        assert!(resource.schema_url().is_none());
    }
}

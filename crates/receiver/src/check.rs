//! From the messages of the wire contract to spans: what breaks the rules of OTLP is rejected here.
//!
//! A span is rejected by itself, and the rest of its request is accepted (a partial success): a receiver that
//! refused the whole request would let one span of one run hold up all the others.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::contract::Outside;
use super::generated::collector::trace::v1::ExportTraceServiceRequest;
use super::generated::common::v1::{KeyValue, any_value};
use super::generated::trace::v1 as wire;
use super::spans::{Record, Resource, Scope, Span, SpanKind, Status, Value};

/// The bits of the flags that have a meaning.
const FLAGS: u32 = 0x3ff;

/// A request that could be read.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The spans that obey the rules, in the order received.
    pub(super) spans: Vec<Span>,
    /// For each other span, why it does not.
    pub(super) violations: Vec<String>,
    pub(super) outside: Outside,
}

/// Checks every span.
pub(super) fn check(request: ExportTraceServiceRequest, outside: Outside) -> Content {
    let mut content = Content { spans: Vec::new(), violations: Vec::new(), outside };
    for resource_spans in request.resource_spans {
        let attributes = resource_spans.resource.map(|resource| resource.attributes).unwrap_or_default();
        let bad_resource = bad_keys(&attributes).map(|why| format!("resource: {why}"));
        let attributes = admit(attributes, "resource_spans.resource.attributes", &mut content.outside);
        let resource = Arc::new(Resource { attributes });
        for scope_spans in resource_spans.scope_spans {
            let scope = scope_spans.scope.unwrap_or_default();
            let scope = Arc::new(Scope { name: scope.name, version: scope.version });
            for span in scope_spans.spans {
                match bad_resource.clone().or_else(|| violation(&span)) {
                    Some(why) => content.violations.push(format!("span {:?}: {why}", span.name)),
                    None => {
                        let record = record(span, &resource, &scope, &mut content.outside);
                        content.spans.push(Span { record: Arc::new(record) });
                    }
                }
            }
        }
    }
    content
}

/// The first rule that the span breaks.
fn violation(span: &wire::Span) -> Option<String> {
    let is_id = |id: &[u8], length| id.len() == length && id.iter().any(|byte| *byte != 0);
    let why = if !is_id(&span.trace_id, 16) {
        "the trace id is not 16 bytes, or all zero"
    } else if !is_id(&span.span_id, 8) {
        "the span id is not 8 bytes, or all zero"
    } else if !span.parent_span_id.is_empty() && !is_id(&span.parent_span_id, 8) {
        "the parent's span id is not 8 bytes, or all zero"
    } else if span.parent_span_id == span.span_id {
        "it is its own parent"
    } else if span.name.is_empty() {
        "no name"
    } else if kind(span.kind).is_none() {
        "the kind is unspecified or unknown"
    } else if span.start_time_unix_nano == 0 {
        "no start time"
    } else if span.end_time_unix_nano < span.start_time_unix_nano {
        "it ends before it starts"
    } else if span.flags & !FLAGS != 0 {
        "reserved bits of the flags are set"
    } else if span.status.is_some_and(|status_| status(status_.code).is_none()) {
        "the status code is unknown"
    } else {
        return bad_keys(&span.attributes);
    };
    Some(why.to_owned())
}

fn bad_keys(attributes: &[KeyValue]) -> Option<String> {
    let mut keys = HashSet::new();
    for attribute in attributes {
        if attribute.key.is_empty() {
            return Some("an attribute without a key".to_owned());
        }
        if !keys.insert(attribute.key.as_str()) {
            return Some(format!("the attribute {:?} is there twice", attribute.key));
        }
    }
    None
}

/// An attribute without a value that the contract has room for is not kept.
fn admit(attributes: Vec<KeyValue>, path: &str, outside: &mut Outside) -> Vec<(String, Value)> {
    let mut admitted = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        let value = match attribute.value.and_then(|value| value.value) {
            Some(any_value::Value::StringValue(text)) => Value::String(text),
            Some(any_value::Value::BoolValue(flag)) => Value::Bool(flag),
            Some(any_value::Value::IntValue(number)) => Value::Int(number),
            None => {
                outside.add(format!("{path}.value (2, without a value of the contract)"), 1);
                continue;
            }
        };
        admitted.push((attribute.key, value));
    }
    admitted
}

fn record(span: wire::Span, resource: &Arc<Resource>, scope: &Arc<Scope>, outside: &mut Outside) -> Record {
    Record {
        resource: Arc::clone(resource),
        scope: Arc::clone(scope),
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_span_id: (!span.parent_span_id.is_empty()).then(|| hex(&span.parent_span_id)),
        flags: span.flags,
        name: span.name,
        kind: kind(span.kind).unwrap_or(SpanKind::Internal),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        attributes: admit(span.attributes, "resource_spans.scope_spans.spans.attributes", outside),
        status: span.status.and_then(|status_| status(status_.code)).unwrap_or(Status::Unset),
    }
}

fn kind(number: i32) -> Option<SpanKind> {
    match wire::span::SpanKind::try_from(number).ok()? {
        wire::span::SpanKind::Unspecified => None,
        wire::span::SpanKind::Internal => Some(SpanKind::Internal),
        wire::span::SpanKind::Server => Some(SpanKind::Server),
        wire::span::SpanKind::Client => Some(SpanKind::Client),
        wire::span::SpanKind::Producer => Some(SpanKind::Producer),
        wire::span::SpanKind::Consumer => Some(SpanKind::Consumer),
    }
}

fn status(number: i32) -> Option<Status> {
    match wire::status::StatusCode::try_from(number).ok()? {
        wire::status::StatusCode::Unset => Some(Status::Unset),
        wire::status::StatusCode::Ok => Some(Status::Ok),
        wire::status::StatusCode::Error => Some(Status::Error),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

//! Writes OTLP/JSON: spans as lines of a file, and answers. [`crate::wire`] reads it.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::generated::collector::trace::v1::ExportTracePartialSuccess;
use super::spans::{Span, SpanKind, Status, Value};

/// One `TracesData` in one line, the newline included: the OpenTelemetry file exporter's format. Consecutive spans with
/// the same resource and scope share an envelope.
pub(super) fn line(spans: &[Span]) -> String {
    let mut resource_spans = Vec::new();
    for same_resource in
        spans.chunk_by(|one, other| Arc::ptr_eq(&one.record.resource, &other.record.resource))
    {
        let mut scope_spans = Vec::new();
        for same_scope in
            same_resource.chunk_by(|one, other| Arc::ptr_eq(&one.record.scope, &other.record.scope))
        {
            let scope = &same_scope[0].record.scope;
            scope_spans.push(json!({
                "scope": { "name": scope.name, "version": scope.version },
                "spans": same_scope.iter().map(span_json).collect::<Vec<_>>(),
            }));
        }
        let resource = &same_resource[0].record.resource;
        resource_spans.push(json!({
            "resource": { "attributes": attributes_json(&resource.attributes) },
            "scopeSpans": scope_spans,
        }));
    }
    let mut line = json!({ "resourceSpans": resource_spans }).to_string();
    line.push('\n');
    line
}

fn span_json(span: &Span) -> Json {
    let record = &span.record;
    let mut json = json!({
        "traceId": record.trace_id,
        "spanId": record.span_id,
        "flags": record.flags,
        "name": record.name,
        "kind": match record.kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
        },
        "startTimeUnixNano": record.start.to_string(),
        "endTimeUnixNano": record.end.to_string(),
        "attributes": attributes_json(&record.attributes),
        "status": match record.status {
            Status::Unset => json!({}),
            Status::Ok => json!({ "code": 1 }),
            Status::Error => json!({ "code": 2 }),
        },
    });
    if let Some(parent) = &record.parent_span_id {
        json["parentSpanId"] = parent.as_str().into();
    }
    json
}

fn attributes_json(attributes: &[(String, Value)]) -> Vec<Json> {
    let value = |value: &Value| match value {
        Value::String(text) => json!({ "stringValue": text }),
        Value::Bool(flag) => json!({ "boolValue": flag }),
        Value::Int(number) => json!({ "intValue": number.to_string() }),
    };
    attributes.iter().map(|(key, held)| json!({ "key": key, "value": value(held) })).collect()
}

/// The body of a successful answer.
pub(super) fn success(partial: Option<&ExportTracePartialSuccess>) -> Vec<u8> {
    let json = match partial {
        None => json!({}),
        Some(partial) => {
            let mut fields = Map::new();
            if partial.rejected_spans != 0 {
                fields.insert("rejectedSpans".to_owned(), partial.rejected_spans.to_string().into());
            }
            if !partial.error_message.is_empty() {
                fields.insert("errorMessage".to_owned(), partial.error_message.as_str().into());
            }
            json!({ "partialSuccess": fields })
        }
    };
    json.to_string().into_bytes()
}

/// The body of a failure: a `google.rpc.Status`.
pub(super) fn failure(code: i32, message: &str) -> Vec<u8> {
    json!({ "code": code, "message": message }).to_string().into_bytes()
}

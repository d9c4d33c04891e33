//! OTLP/JSON, both ways: requests to the messages of the wire contract, spans to lines of a file, and answers.
//!
//! Read by hand, key by key, because the mapping is not that of any derive: ids are hexadecimal, enums are numbers
//! and never names, 64-bit integers are strings. `null` is an absent field. What a key holds must have its type,
//! or the whole request is refused; keys that the contract does not have are ignored here and counted by
//! `contract`.
//!
//! Known limit: of a key that is there twice in one object `serde_json` keeps the last, and the other is lost
//! without being counted.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::generated::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest};
use super::generated::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use super::generated::resource::v1::Resource;
use super::generated::trace::v1::{ResourceSpans, ScopeSpans, Span as WireSpan, Status as WireStatus};
use super::spans::{Span, SpanKind, Status, Value};

/// What could not be read, for the sender: never a value.
pub(super) type Unreadable = String;

/// Reads a request. Its depth is bounded twice: `serde_json` stops at 128 levels, and this walk at the contract's.
pub(super) fn decode(request: &Json) -> Result<ExportTraceServiceRequest, Unreadable> {
    let request = Object::of(request, "the request")?;
    Ok(ExportTraceServiceRequest { resource_spans: request.list("resourceSpans", resource_spans)? })
}

fn resource_spans(value: &Json) -> Result<ResourceSpans, Unreadable> {
    let object = Object::of(value, "an element of resourceSpans")?;
    Ok(ResourceSpans {
        resource: object.message("resource", |value| {
            let resource = Object::of(value, "resource")?;
            Ok(Resource { attributes: resource.list("attributes", key_value)? })
        })?,
        scope_spans: object.list("scopeSpans", scope_spans)?,
    })
}

fn scope_spans(value: &Json) -> Result<ScopeSpans, Unreadable> {
    let object = Object::of(value, "an element of scopeSpans")?;
    Ok(ScopeSpans {
        scope: object.message("scope", |value| {
            let scope = Object::of(value, "scope")?;
            Ok(InstrumentationScope { name: scope.text("name")?, version: scope.text("version")? })
        })?,
        spans: object.list("spans", span)?,
    })
}

fn span(value: &Json) -> Result<WireSpan, Unreadable> {
    let object = Object::of(value, "an element of spans")?;
    Ok(WireSpan {
        trace_id: object.id("traceId")?,
        span_id: object.id("spanId")?,
        parent_span_id: object.id("parentSpanId")?,
        flags: object.read("flags", "a 32-bit number", |value| value.as_u64()?.try_into().ok())?,
        name: object.text("name")?,
        kind: object.number("kind")?,
        start_time_unix_nano: object.read("startTimeUnixNano", UNSIGNED, unsigned)?,
        end_time_unix_nano: object.read("endTimeUnixNano", UNSIGNED, unsigned)?,
        attributes: object.list("attributes", key_value)?,
        status: object.message("status", |value| {
            Ok(WireStatus { code: Object::of(value, "status")?.number("code")? })
        })?,
    })
}

fn key_value(value: &Json) -> Result<KeyValue, Unreadable> {
    let object = Object::of(value, "an attribute")?;
    Ok(KeyValue { key: object.text("key")?, value: object.message("value", any_value)? })
}

fn any_value(value: &Json) -> Result<AnyValue, Unreadable> {
    let object = Object::of(value, "the value of an attribute")?;
    if object.fields.values().filter(|value| !value.is_null()).count() > 1 {
        return Err("the value of an attribute has several types".to_owned());
    }
    let text = object.read("stringValue", "a string", |value| Some(Some(value.as_str()?.to_owned())))?;
    let flag = object.read("boolValue", "true or false", |value| Some(Some(value.as_bool()?)))?;
    let number =
        object.read("intValue", "a 64-bit integer in a string", |value| Some(Some(signed(value)?)))?;
    let value = text
        .map(any_value::Value::StringValue)
        .or(flag.map(any_value::Value::BoolValue))
        .or(number.map(any_value::Value::IntValue));
    Ok(AnyValue { value })
}

const UNSIGNED: &str = "an unsigned 64-bit integer in a string";

/// A decimal string, or leniently a number (`contract` counts it).
fn unsigned(value: &Json) -> Option<u64> {
    match value {
        Json::String(text) if text.starts_with('+') => None,
        Json::String(text) => text.parse().ok(),
        other => other.as_u64(),
    }
}

fn signed(value: &Json) -> Option<i64> {
    match value {
        Json::String(text) if text.starts_with('+') => None,
        Json::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

/// A JSON object whose fields are read with a type.
struct Object<'a> {
    fields: &'a Map<String, Json>,
}

impl<'a> Object<'a> {
    fn of(value: &'a Json, what: &str) -> Result<Self, Unreadable> {
        let fields = value.as_object().ok_or_else(|| format!("{what} is not an object"))?;
        Ok(Self { fields })
    }

    fn get(&self, key: &str) -> Option<&'a Json> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    fn read<T: Default>(
        &self,
        key: &str,
        what: &str,
        read: impl FnOnce(&Json) -> Option<T>,
    ) -> Result<T, Unreadable> {
        match self.get(key) {
            None => Ok(T::default()),
            Some(value) => read(value).ok_or_else(|| format!("{key} is not {what}")),
        }
    }

    fn text(&self, key: &str) -> Result<String, Unreadable> {
        self.read(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    fn number(&self, key: &str) -> Result<i32, Unreadable> {
        self.read(key, "the number of an enum", |value| value.as_i64()?.try_into().ok())
    }

    /// Lengths are checked with the other rules, so that one bad span does not refuse the request.
    fn id(&self, key: &str) -> Result<Vec<u8>, Unreadable> {
        self.read(key, "an id in hexadecimal", |value| {
            let digits = value.as_str()?.as_bytes();
            let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
            let (pairs, rest) = digits.as_chunks::<2>();
            let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
            rest.is_empty().then(|| bytes.collect()).flatten()
        })
    }

    fn message<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Json) -> Result<T, Unreadable>,
    ) -> Result<Option<T>, Unreadable> {
        self.get(key).map(read).transpose()
    }

    fn list<T>(
        &self,
        key: &str,
        read: impl Fn(&Json) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, Unreadable> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Json::Array(elements)) => elements.iter().map(read).collect(),
            Some(_) => Err(format!("{key} is not a list")),
        }
    }
}

/// One `TracesData` in one line, the newline included: the OpenTelemetry file exporter's format. Neighbours of the
/// same resource and scope share an envelope.
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

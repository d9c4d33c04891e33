//! From what [`wire`] reads to the spans that the receiver keeps.

use std::fmt::Write as _;
use std::sync::Arc;

use super::spans::{Record, Resource, Scope, Span, SpanKind, Status, Value};
use super::wire::{self, OutsideFields};

/// A request that could be read.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The spans that obey the rules, in the order received.
    pub(super) spans: Vec<Span>,
    /// For each other span, why it does not.
    pub(super) violations: Vec<String>,
    pub(super) outside: OutsideFields,
}

impl From<wire::Request<'_>> for Content {
    fn from(request: wire::Request<'_>) -> Self {
        let resources: Vec<_> = (0..request.resources())
            .map(|position| Arc::new(Resource { attributes: attributes(request.resource(position)) }))
            .collect();
        let scope = |scope: &wire::Scope<'_>| {
            Arc::new(Scope { name: scope.name.to_owned(), version: scope.version.to_owned() })
        };
        let scopes: Vec<_> = request.scopes.iter().map(scope).collect();
        let span = |span: &wire::Span<'_>| {
            let record = Record {
                resource: Arc::clone(&resources[span.resource as usize]),
                scope: Arc::clone(&scopes[span.scope as usize]),
                trace_id: hex(&span.trace_id),
                span_id: hex(&span.span_id),
                parent_span_id: span.parent.map(|parent| hex(&parent)),
                flags: span.flags,
                name: span.name.to_owned(),
                kind: kind(span.kind),
                start: span.start,
                end: span.end,
                attributes: attributes(request.attributes(span)),
                status: status(span.status),
            };
            Span { record: Arc::new(record) }
        };
        let spans = request.spans.iter().map(span).collect();
        let violations = request.violations.iter().map(ToString::to_string).collect();
        Self { spans, violations, outside: request.outside }
    }
}

fn attributes(attributes: &[wire::Attribute<'_>]) -> Vec<(String, Value)> {
    let value = |value: wire::Value<'_>| match value {
        wire::Value::String(text) => Value::String(text.to_owned()),
        wire::Value::Bool(flag) => Value::Bool(flag),
        wire::Value::Int(number) => Value::Int(number),
    };
    attributes.iter().map(|(key, there)| ((*key).to_owned(), value(*there))).collect()
}

fn kind(kind: wire::Kind) -> SpanKind {
    match kind {
        wire::Kind::Internal => SpanKind::Internal,
        wire::Kind::Server => SpanKind::Server,
        wire::Kind::Client => SpanKind::Client,
        wire::Kind::Producer => SpanKind::Producer,
        wire::Kind::Consumer => SpanKind::Consumer,
    }
}

fn status(status: wire::Status) -> Status {
    match status {
        wire::Status::Unset => Status::Unset,
        wire::Status::Ok => Status::Ok,
        wire::Status::Error => Status::Error,
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

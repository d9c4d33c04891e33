//! Reads an OTLP trace request strictly, by the wire contract of `proto/`, in one pass.
//!
//! What the contract has room for is borrowed from the request; everything else is counted by its field and skipped.
//! The memory that it takes depends only on the size of the request. Empty messages take none, and [`Limits`] bound the
//! rest.
//!
//! ```
//! use tool_telemetry_receiver::wire::{Limits, read_json};
//!
//! let json = serde_json::json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [{
//!     "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "dotnet", "kind": 1,
//!     "startTimeUnixNano": "1", "endTimeUnixNano": "2", "links": [{}],
//! }] }] }] });
//! let request = read_json(&json, &Limits::NONE)?;
//! assert_eq!(request.spans[0].name, "dotnet");
//! assert_eq!(request.outside.paths(), ["resource_spans.scope_spans.spans.links (13)"]);
//! # Ok::<(), tool_telemetry_receiver::wire::ReadError>(())
//! ```

mod contract;
mod json;
mod protobuf;
mod rules;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

pub use contract::OutsideFields;
pub use json::read_json;
pub use protobuf::read_protobuf;
pub use rules::{Rule, Violation};

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value<'a> {
    /// A string.
    String(&'a str),
    /// A bool.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
}

/// A key and its value.
pub type Attribute<'a> = (&'a str, Value<'a>);

/// The kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Within the program.
    Internal = 1,
    /// The work of a server.
    Server = 2,
    /// A call of a server.
    Client = 3,
    /// The sending of a message.
    Producer = 4,
    /// The work on a message.
    Consumer = 5,
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nothing is reported.
    Unset = 0,
    /// Success.
    Ok = 1,
    /// Failure.
    Error = 2,
}

/// An instrumentation scope.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
}

/// A span that breaks no rule of OTLP.
#[derive(Debug, Clone)]
pub struct Span<'a> {
    /// The position of its resource, see [`Request::resource`].
    pub resource: u32,
    /// The position of its scope in [`Request::scopes`].
    pub scope: u32,
    /// Not all zero.
    pub trace_id: [u8; 16],
    /// Not all zero.
    pub span_id: [u8; 8],
    /// The parent, if it is no root.
    pub parent: Option<[u8; 8]>,
    /// W3C's flags, and the two bits of OTLP.
    pub flags: u32,
    /// Not empty.
    pub name: &'a str,
    /// Its kind.
    pub kind: Kind,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// Not before the start.
    pub end: u64,
    /// How it ended.
    pub status: Status,
    attributes: Range<u32>,
}

/// A request that could be read.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// The spans that break no rule, in the order received.
    pub spans: Vec<Span<'a>>,
    /// The scopes.
    pub scopes: Vec<Scope<'a>>,
    /// The other spans, each with the first rule that it breaks.
    pub violations: Vec<Violation<'a>>,
    /// What lies outside of the contract.
    pub outside: OutsideFields,
    resources: Vec<Range<u32>>,
    attributes: Vec<Attribute<'a>>,
}

impl<'a> Request<'a> {
    /// The attributes of a span, each key once.
    pub fn attributes(&self, span: &Span<'a>) -> &[Attribute<'a>] {
        self.slice(&span.attributes)
    }

    /// The attributes of a resource, each key once.
    pub fn resource(&self, position: u32) -> &[Attribute<'a>] {
        self.slice(&self.resources[position as usize])
    }

    /// The number of resources that have spans.
    pub fn resources(&self) -> u32 {
        self.resources.len() as u32
    }

    fn slice(&self, range: &Range<u32>) -> &[Attribute<'a>] {
        &self.attributes[range.start as usize..range.end as usize]
    }
}

/// The most that a request may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Spans in a request. A request with more is unreadable.
    pub spans: usize,
    /// Attributes of a span or a resource. A span with more is rejected, and a resource with more rejects its spans.
    pub attributes: usize,
}

impl Limits {
    /// No limits but that of the request's size.
    pub const NONE: Self = Self { spans: usize::MAX, attributes: usize::MAX };
}

/// Why a request cannot be read. It repeats no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    text: Cow<'static, str>,
    is_too_large: bool,
}

impl ReadError {
    fn malformed(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), is_too_large: false }
    }

    const TOO_MANY_SPANS: Self =
        Self { text: Cow::Borrowed("the request has too many spans"), is_too_large: true };

    /// Whether a smaller request could be read.
    pub fn is_too_large(&self) -> bool {
        self.is_too_large
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ReadError {}

/// A span as it is read, before the rules are checked.
#[derive(Default)]
struct RawSpan<'a> {
    trace_id: Id<16>,
    span_id: Id<8>,
    parent: Id<8>,
    flags: u32,
    name: &'a str,
    kind: i32,
    start: u64,
    end: u64,
    status: Option<i32>,
    attributes: Vec<RawAttribute<'a>>,
    has_too_many_attributes: bool,
}

/// A key, and the value if the contract has room for it.
type RawAttribute<'a> = (&'a str, Option<Value<'a>>);

/// An id as it is read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Id<const LENGTH: usize> {
    #[default]
    Absent,
    /// Of a wrong length, or all zero.
    Wrong,
    Right([u8; LENGTH]),
}

impl<const LENGTH: usize> Id<LENGTH> {
    fn of(bytes: &[u8]) -> Self {
        match <[u8; LENGTH]>::try_from(bytes) {
            _ if bytes.is_empty() => Self::Absent,
            Ok(id) if id != [0; LENGTH] => Self::Right(id),
            _ => Self::Wrong,
        }
    }
}

/// A request under construction.
struct Reader<'a> {
    request: Request<'a>,
    limits: Limits,
    /// Spans so far, rejected ones included.
    spans: usize,
    /// Reused from span to span.
    attributes: Vec<RawAttribute<'a>>,
}

/// The resource of the spans that are being read.
struct RawResource<'a> {
    attributes: Vec<RawAttribute<'a>>,
    has_too_many_attributes: bool,
}

const RESOURCE_ATTRIBUTES: &str = "resource_spans.resource.attributes";
const SPAN_ATTRIBUTES: &str = "resource_spans.scope_spans.spans.attributes";

impl<'a> Reader<'a> {
    fn new(limits: &Limits) -> Self {
        Self { request: Request::default(), limits: *limits, spans: 0, attributes: Vec::new() }
    }

    /// Begins the spans of a resource, and returns the rule that it breaks.
    fn begin_resource(&mut self, resource: &RawResource<'a>) -> Option<Rule<'a>> {
        let rule = rules::broken_by_attributes(&resource.attributes, resource.has_too_many_attributes);
        let range = self.admit(&resource.attributes, RESOURCE_ATTRIBUTES);
        // A resource without spans is dropped.
        let used = self.request.spans.last().map_or(0, |span| span.resource as usize + 1);
        self.request.resources.truncate(used);
        self.request.resources.push(range);
        rule.map(|rule| Rule::Resource(Box::new(rule)))
    }

    fn begin_scope(&mut self, scope: Scope<'a>) {
        let used = self.request.spans.last().map_or(0, |span| span.scope as usize + 1);
        self.request.scopes.truncate(used);
        self.request.scopes.push(scope);
    }

    /// Checks a span, and adds it to the request.
    fn add(&mut self, span: RawSpan<'a>, broken_by_resource: Option<&Rule<'a>>) -> Result<(), ReadError> {
        self.spans += 1;
        if self.spans > self.limits.spans {
            return Err(ReadError::TOO_MANY_SPANS);
        }
        let checked = match broken_by_resource {
            Some(rule) => Err(rule.clone()),
            None => rules::check(&span),
        };
        match checked {
            Err(rule) => self.request.violations.push(Violation { span: span.name, rule }),
            Ok(checked) => {
                let attributes = self.admit(&span.attributes, SPAN_ATTRIBUTES);
                self.request.spans.push(Span {
                    resource: self.request.resources.len() as u32 - 1,
                    scope: self.request.scopes.len() as u32 - 1,
                    attributes,
                    ..checked
                });
            }
        }
        self.attributes = span.attributes;
        Ok(())
    }

    /// An attribute without a value that the contract has room for is not kept.
    fn admit(&mut self, attributes: &[RawAttribute<'a>], path: &str) -> Range<u32> {
        let start = self.request.attributes.len() as u32;
        for (key, value) in attributes {
            match value {
                Some(value) => self.request.attributes.push((key, *value)),
                None => {
                    let path = format!("{path}.value (2, without a value of the contract)");
                    self.request.outside.add(path, 1);
                }
            }
        }
        start..self.request.attributes.len() as u32
    }

    /// An empty list whose memory is used again.
    fn empty_attributes(&mut self) -> Vec<RawAttribute<'a>> {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        attributes
    }
}

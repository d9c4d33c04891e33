//! The rules of OTLP that a span must keep.
//!
//! Only the span is rejected, and the rest of its request is accepted. Otherwise one span of one run would hold up all
//! the others.

use std::collections::HashSet;
use std::fmt;

use super::{Id, Kind, RawAttribute, RawSpan, Span, Status};

/// The bits of the flags that have a meaning.
const FLAGS: u32 = 0x3ff;
/// Up to this many keys, comparing each with each is faster than hashing.
const FEW: usize = 16;

/// A rule of OTLP that a span breaks. [`Rule::label`] repeats nothing of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule<'a> {
    /// The resource of the span breaks this rule.
    Resource(Box<Rule<'a>>),
    /// The trace id.
    TraceId,
    /// The span id.
    SpanId,
    /// The parent's span id.
    ParentId,
    /// A span is not its own parent.
    OwnParent,
    /// A span has a name.
    Name,
    /// A span has a kind.
    Kind,
    /// A span has a start.
    Start,
    /// A span does not end before it starts.
    End,
    /// Reserved bits are not set.
    Flags,
    /// The status is known.
    Status,
    /// An attribute has a key.
    EmptyKey,
    /// A key is there once.
    RepeatedKey(&'a str),
    /// There are not more attributes than the receiver's limit.
    TooManyAttributes,
}

impl Rule<'_> {
    /// What is wrong, in words that are the same for all requests.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Resource(rule) => rule.label(),
            Self::TraceId => "the trace id is not 16 bytes, or all zero",
            Self::SpanId => "the span id is not 8 bytes, or all zero",
            Self::ParentId => "the parent's span id is not 8 bytes, or all zero",
            Self::OwnParent => "it is its own parent",
            Self::Name => "no name",
            Self::Kind => "the kind is unspecified or unknown",
            Self::Start => "no start time",
            Self::End => "it ends before it starts",
            Self::Flags => "reserved bits of the flags are set",
            Self::Status => "the status code is unknown",
            Self::EmptyKey => "an attribute without a key",
            Self::RepeatedKey(_) => "an attribute is there twice",
            Self::TooManyAttributes => "too many attributes",
        }
    }
}

impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(rule) => write!(f, "resource: {rule}"),
            Self::RepeatedKey(key) => write!(f, "the attribute {key:?} is there twice"),
            rule => f.write_str(rule.label()),
        }
    }
}

/// A span that breaks a rule.
#[derive(Debug, Clone)]
pub struct Violation<'a> {
    /// The span's name.
    pub span: &'a str,
    /// The first rule that it breaks.
    pub rule: Rule<'a>,
}

impl fmt::Display for Violation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "span {:?}: {}", self.span, self.rule)
    }
}

/// The span, or the first rule that it breaks. Resource, scope and attributes are the caller's.
pub(super) fn check<'a>(span: &RawSpan<'a>) -> Result<Span<'a>, Rule<'a>> {
    let Id::Right(trace_id) = span.trace_id else { return Err(Rule::TraceId) };
    let Id::Right(span_id) = span.span_id else { return Err(Rule::SpanId) };
    let parent = match span.parent {
        Id::Absent => None,
        Id::Wrong => return Err(Rule::ParentId),
        Id::Right(parent) => Some(parent),
    };
    if parent == Some(span_id) {
        return Err(Rule::OwnParent);
    }
    if span.name.is_empty() {
        return Err(Rule::Name);
    }
    let kind = kind(span.kind).ok_or(Rule::Kind)?;
    if span.start == 0 {
        return Err(Rule::Start);
    }
    if span.end < span.start {
        return Err(Rule::End);
    }
    if span.flags & !FLAGS != 0 {
        return Err(Rule::Flags);
    }
    let status = status(span.status.unwrap_or_default()).ok_or(Rule::Status)?;
    match broken_by_attributes(&span.attributes, span.has_too_many_attributes) {
        Some(rule) => Err(rule),
        None => Ok(Span {
            resource: 0,
            scope: 0,
            trace_id,
            span_id,
            parent,
            flags: span.flags,
            name: span.name,
            kind,
            start: span.start,
            end: span.end,
            status,
            attributes: 0..0,
        }),
    }
}

pub(super) fn broken_by_attributes<'a>(
    attributes: &[RawAttribute<'a>],
    has_too_many: bool,
) -> Option<Rule<'a>> {
    if has_too_many {
        return Some(Rule::TooManyAttributes);
    }
    let mut keys = HashSet::new();
    for (place, (key, _)) in attributes.iter().enumerate() {
        if key.is_empty() {
            return Some(Rule::EmptyKey);
        }
        let is_repeated = if attributes.len() <= FEW {
            attributes[..place].iter().any(|(before, _)| before == key)
        } else {
            !keys.insert(*key)
        };
        if is_repeated {
            return Some(Rule::RepeatedKey(key));
        }
    }
    None
}

fn kind(number: i32) -> Option<Kind> {
    Some(match number {
        1 => Kind::Internal,
        2 => Kind::Server,
        3 => Kind::Client,
        4 => Kind::Producer,
        5 => Kind::Consumer,
        _ => return None,
    })
}

fn status(number: i32) -> Option<Status> {
    Some(match number {
        0 => Status::Unset,
        1 => Status::Ok,
        2 => Status::Error,
        _ => return None,
    })
}

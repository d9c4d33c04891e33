//! One request: which of its spans are kept, and with which attributes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use foldhash::quality::RandomState;
use tool_telemetry_definition::{Count, ERROR_TYPE, ERROR_TYPES, RUN};
use tool_telemetry_receiver::wire::{self, Kind, Request};

use super::{COUNT, JudgedRequest};
use crate::approvals::{Admission, Approvals};
use crate::shape::{Attributes, HASH_KEY, Role, Shape, ShapeContent, Status, Value};
use crate::time::Hour;
use crate::trace::{Span, Trace, TraceId};

/// The flags that are kept: sampled, and whether the parent is remote. The others could carry anything.
const FLAGS: u32 = 0x301;
/// A count that starts further ahead than this comes from a wrong clock.
const HOURS_AHEAD: u32 = 24;
const SECOND: u64 = 1_000_000_000;
/// A run's own name, which no count has.
const EXECUTABLE: &str = "process.executable.name";

/// Where a span comes from, and when it was received.
pub(super) struct Context<'a> {
    pub(super) approvals: &'a Approvals,
    pub(super) resource: &'a Attributes<'a>,
    pub(super) now: Hour,
}

/// A reason to reject a span: its name in counters, and words for the sender.
type Reason = (&'static str, &'static str);

/// Everything about a span that decides whether it is kept. Its ids and times do not.
#[derive(PartialEq, Eq, Hash)]
struct Likeness<'a> {
    resource: u32,
    flags: u32,
    kind: Kind,
    status: Status,
    name: &'a str,
    attributes: &'a [wire::Attribute<'a>],
}

/// Whether and how spans of one kind are kept.
#[derive(Clone)]
struct Judgement {
    shape: Arc<Shape>,
    unapproved_keys: u64,
    unapproved_values: u64,
}

#[derive(Default)]
pub(super) struct RequestJudge<'a> {
    spans: Vec<(TraceId, Span)>,
    shapes: HashSet<Arc<Shape>, RandomState>,
    /// Most spans of a request are like one that was judged before.
    judgements: HashMap<Likeness<'a>, Result<Judgement, Reason>, RandomState>,
    rejected: u64,
    reason: Option<&'static str>,
    counts: BTreeMap<&'static str, u64>,
    rejections: BTreeMap<(String, &'static str), u64>,
}

impl<'a> RequestJudge<'a> {
    pub(super) fn count(&mut self, name: &'static str, number: u64) {
        if number > 0 {
            *self.counts.entry(name).or_default() += number;
        }
    }

    pub(super) fn reject(&mut self, tool: &str, (name, words): Reason) {
        self.count(name, 1);
        *self.rejections.entry((tool.to_owned(), name)).or_default() += 1;
        self.rejected += 1;
        self.reason.get_or_insert(words);
    }

    pub(super) fn span(&mut self, request: &'a Request<'a>, span: &'a wire::Span<'a>, context: &Context<'_>) {
        if let Err(reason) = self.try_span(request, span, context) {
            self.reject(&context.approvals.tool, reason);
        }
    }

    fn try_span(
        &mut self,
        request: &'a Request<'a>,
        span: &'a wire::Span<'a>,
        context: &Context<'_>,
    ) -> Result<(), Reason> {
        let attributes = request.attributes(span);
        let is_count = is_count(span, attributes);
        let (duration, parent, shape) = if is_count {
            check_kind(span)?;
            (0, None, self.shape(&count_shape(span, attributes, context)?))
        } else {
            let Judgement { shape, unapproved_keys, unapproved_values } =
                self.judgement(span, attributes, context)?;
            self.count("attributes.unapproved_key", unapproved_keys);
            self.count("attributes.unapproved_value", unapproved_values);
            (span.end - span.start, span.parent, shape)
        };
        let hour = Hour::of_unix_nano(span.start);
        self.spans.push((span.trace_id, Span { id: span.span_id, parent, hour, duration, shape }));
        Ok(())
    }

    /// What becomes of a span that is no count.
    fn judgement(
        &mut self,
        span: &'a wire::Span<'a>,
        attributes: &'a [wire::Attribute<'a>],
        context: &Context<'_>,
    ) -> Result<Judgement, Reason> {
        let wire::Span { resource, flags, kind, status, name, .. } = *span;
        let likeness = Likeness { resource, flags, kind, status, name, attributes };
        if let Some(known) = self.judgements.get(&likeness) {
            return known.clone();
        }
        let judgement = self.judge(span, attributes, context);
        self.judgements.insert(likeness, judgement.clone());
        judgement
    }

    fn judge(
        &mut self,
        span: &wire::Span<'_>,
        attributes: &[wire::Attribute<'_>],
        context: &Context<'_>,
    ) -> Result<Judgement, Reason> {
        let approvals = context.approvals;
        let role = match span.name {
            name if approvals.is_run(name) => Role::Run,
            name if approvals.has_step(name) => Role::Step,
            _ => return Err(("spans.unapproved", "neither a run nor an approved span")),
        };
        check_kind(span)?;
        let mut admitted = Vec::with_capacity(attributes.len());
        let (mut unapproved_keys, mut unapproved_values) = (0, 0);
        for (key, value) in attributes {
            let value = value_of(value);
            let admission = match (role, *key) {
                (Role::Run, EXECUTABLE) => fixed(value, &[&approvals.tool]),
                (Role::Run, ERROR_TYPE) => fixed(value, &ERROR_TYPES),
                (Role::Run, _) => approvals.admits(RUN, key, value),
                _ => approvals.admits(span.name, key, value),
            };
            match admission {
                Admission::Admitted => admitted.push((*key, value)),
                Admission::UnknownKey => unapproved_keys += 1,
                Admission::UnknownValue => unapproved_values += 1,
            }
        }
        let shape = self.shape(&ShapeContent {
            resource: context.resource.clone(),
            role,
            status: span.status,
            flags: span.flags & FLAGS,
            name: span.name,
            attributes: admitted,
        });
        Ok(Judgement { shape, unapproved_keys, unapproved_values })
    }

    fn shape(&mut self, content: &ShapeContent<'_>) -> Arc<Shape> {
        let shape = Arc::new(Shape::new(content));
        if let Some(known) = self.shapes.get(&shape) {
            return Arc::clone(known);
        }
        self.shapes.insert(Arc::clone(&shape));
        shape
    }

    pub(super) fn finish(mut self) -> JudgedRequest {
        self.spans.sort_by_key(|(trace, _)| *trace);
        let mut traces: Vec<Trace> = Vec::new();
        let mut spans = std::mem::take(&mut self.spans).into_iter().peekable();
        while let Some((id, first)) = spans.next() {
            let mut own = vec![first];
            while let Some((_, span)) = spans.next_if(|(trace, _)| *trace == id) {
                own.push(span);
            }
            self.separate_counts(&mut own);
            if !own.is_empty() {
                traces.push(Trace::new(id, own));
            }
        }
        JudgedRequest {
            traces,
            rejected: self.rejected,
            reason: self.reason,
            counts: self.counts,
            rejections: self.rejections,
        }
    }

    /// Rejects counts that share a trace, because a count in the trace of a run would show which run it comes from.
    fn separate_counts(&mut self, spans: &mut Vec<Span>) {
        let first = spans[0].id;
        let is_alone = |spans: &[Span]| spans.iter().all(|span| span.id == first);
        if spans.len() == 1 || is_alone(spans) {
            return;
        }
        spans.retain(|span| {
            let content = span.shape.content();
            if content.role.is_count() {
                self.reject(content.tool(), ("counts.not_alone", "a count has a trace of its own"));
            }
            !content.role.is_count()
        });
    }
}

fn check_kind(span: &wire::Span<'_>) -> Result<(), Reason> {
    if span.kind == Kind::Internal {
        return Ok(());
    }
    Err(("spans.wrong_kind", "the span of a tool is of the kind INTERNAL"))
}

/// Whether a span is a count. A tool, or one of its steps, may have the same name.
fn is_count(span: &wire::Span<'_>, attributes: &[wire::Attribute<'_>]) -> bool {
    span.name == COUNT && span.parent.is_none() && attributes.iter().all(|(key, _)| *key != EXECUTABLE)
}

/// A count says which cell of which table of which telemetry.toml, in which period, and nothing else.
fn count_shape<'a>(
    span: &wire::Span<'_>,
    attributes: &[wire::Attribute<'a>],
    context: &Context<'a>,
) -> Result<ShapeContent<'a>, Reason> {
    let unapproved = ("counts.unapproved", "a count of something that its telemetry.toml does not ask for");
    let approvals = context.approvals;
    let is_kept = |(key, _): &&(&str, Value<'_>)| ["service.name", HASH_KEY].contains(key);
    let resource: Attributes<'_> = context.resource.iter().filter(is_kept).copied().collect();
    if resource.len() != 2 {
        return Err(("counts.no_data_points", "a count carries the content hash of its telemetry.toml"));
    }
    let table: &Count = approvals.table(attributes.iter().map(|(key, _)| *key)).ok_or(unapproved)?;
    let period = approvals.period().ok_or(unapproved)?;
    let counted =
        |(key, value): &wire::Attribute<'a>| Some((*key, approvals.counted(table, key, value_of(value))?));
    let mut admitted: Attributes<'_> =
        attributes.iter().map(counted).collect::<Option<_>>().ok_or(unapproved)?;
    admitted.sort_unstable_by_key(|(key, _)| *key);
    if period.start(span.start / SECOND) * SECOND != span.start || span.end != span.start {
        return Err(("counts.wrong_start", "a count starts and ends at the beginning of its period"));
    }
    if Hour::of_unix_nano(span.start).0 > context.now.0.saturating_add(HOURS_AHEAD) {
        return Err(("counts.ahead", "a count of a period that has not begun"));
    }
    Ok(ShapeContent {
        resource,
        role: Role::Count(period),
        status: Status::Unset,
        flags: 0,
        name: COUNT,
        attributes: admitted,
    })
}

fn value_of<'a>(value: &wire::Value<'a>) -> Value<'a> {
    match value {
        wire::Value::String(text) => Value::Text(text),
        wire::Value::Bool(flag) => Value::Bool(*flag),
        wire::Value::Int(number) => Value::Int(*number),
    }
}

fn fixed(value: Value<'_>, words: &[&str]) -> Admission {
    match value {
        Value::Text(text) if words.contains(&text) => Admission::Admitted,
        _ => Admission::UnknownValue,
    }
}

//! Spans as the receiver keeps them, and the trees they form.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The value of an attribute: all that the wire contract has room for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// A string.
    String(String),
    /// A bool.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Bool(flag)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl fmt::Display for Value {
    /// Writes the value as a tree shows it: a string that could be mistaken for something else is quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::String(text) if text == "true" || text == "false" || text.parse::<i64>().is_ok() => {
                write!(f, "{text:?}")
            }
            Value::String(text) => write!(f, "{}", Word(text)),
            Value::Bool(flag) => write!(f, "{flag}"),
            Value::Int(number) => write!(f, "{number}"),
        }
    }
}

/// A text that is quoted unless it is one plain word, so that a tree is never ambiguous and nothing that was
/// received can steer a terminal.
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'[' | b'\\');
        if !self.0.is_empty() && self.0.bytes().all(plain) {
            f.write_str(self.0)
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

/// The kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpanKind {
    /// Within the program, as all spans of a command-line tool are.
    Internal,
    /// The work of a server.
    Server,
    /// A call of a server.
    Client,
    /// The sending of a message.
    Producer,
    /// The work on a message.
    Consumer,
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Not set, which for a tool means success.
    Unset,
    /// Set to success.
    Ok,
    /// Set to failure.
    Error,
}

/// The attributes of a resource, shared by its spans.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) attributes: Vec<(String, Value)>,
}

/// An instrumentation scope, shared by its spans.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) name: String,
    pub(super) version: String,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) resource: Arc<Resource>,
    pub(super) scope: Arc<Scope>,
    pub(super) trace_id: String,
    pub(super) span_id: String,
    pub(super) parent_span_id: Option<String>,
    pub(super) flags: u32,
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Vec<(String, Value)>,
    pub(super) status: Status,
}

/// A span that was received and obeys the rules of OTLP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Span {
    pub(super) record: Arc<Record>,
}

impl Span {
    /// The name, never empty.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Whether it is a count of an installation: a root named `count` that is no run. A run has the attribute
    /// `process.executable.name`, because a tool may also be called `count`.
    pub fn is_count(&self) -> bool {
        let is_run = self.record.attributes.iter().any(|(key, _)| key == "process.executable.name");
        self.record.name == "count" && self.record.parent_span_id.is_none() && !is_run
    }

    /// 32 hexadecimal digits in lower case, not all zero.
    pub fn trace_id(&self) -> &str {
        &self.record.trace_id
    }

    /// 16 hexadecimal digits in lower case, not all zero.
    pub fn span_id(&self) -> &str {
        &self.record.span_id
    }

    /// The span id of the parent, whether it was received or not; `None` for a root.
    pub fn parent_span_id(&self) -> Option<&str> {
        self.record.parent_span_id.as_deref()
    }

    /// W3C's trace flags in the lowest byte. If bit 8 is set, bit 9 is known and means that the parent is remote.
    pub fn flags(&self) -> u32 {
        self.record.flags
    }

    /// The kind.
    pub fn kind(&self) -> SpanKind {
        self.record.kind
    }

    /// Nanoseconds since the Unix epoch.
    pub fn start_unix_nano(&self) -> u64 {
        self.record.start
    }

    /// Nanoseconds since the Unix epoch, not before the start.
    pub fn end_unix_nano(&self) -> u64 {
        self.record.end
    }

    /// From start to end.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.record.end - self.record.start)
    }

    /// How it ended.
    pub fn status(&self) -> Status {
        self.record.status
    }

    /// Keys and values, in the order received. No key is there twice.
    pub fn attributes(&self) -> &[(String, Value)] {
        &self.record.attributes
    }

    /// The value of one attribute.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        find(&self.record.attributes, key)
    }

    /// The attributes of the resource, in the order received. No key is there twice.
    pub fn resource_attributes(&self) -> &[(String, Value)] {
        &self.record.resource.attributes
    }

    /// The value of one attribute of the resource, such as `service.name`.
    pub fn resource_attribute(&self, key: &str) -> Option<&Value> {
        find(&self.record.resource.attributes, key)
    }

    /// The name of the instrumentation scope.
    pub fn scope_name(&self) -> &str {
        &self.record.scope.name
    }

    /// The version of the instrumentation scope.
    pub fn scope_version(&self) -> &str {
        &self.record.scope.version
    }

    /// Siblings are sorted by their starts. Names and ids make the order the same every time.
    fn order(&self) -> (u64, &str, &str, &str) {
        (self.record.start, self.name(), self.trace_id(), self.span_id())
    }
}

impl fmt::Display for Span {
    /// Writes the span as a line of a tree, without indentation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Word(self.name()))?;
        match self.status() {
            Status::Unset => {}
            Status::Ok => f.write_str(" [ok]")?,
            Status::Error => f.write_str(" [error]")?,
        }
        for (key, value) in self.attributes() {
            write!(f, " {}={value}", Word(key))?;
        }
        Ok(())
    }
}

fn find<'a>(attributes: &'a [(String, Value)], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// The spans of one trace id, as a tree: usually one run of a tool.
///
/// A span whose parent was not received stands at the top, so several runs in one trace (a script that set
/// `TRACEPARENT`) are several trees below each other.
///
/// The text of a tree has a line for each span: its name, then `[error]` or `[ok]` unless the status is unset, then
/// its attributes in the order received. Children are indented by two spaces, in the order of start time, then
/// name, then id. A name, key or string that is not one plain word is quoted, and so is a string that looks like
/// a number or a bool.
///
/// ```text
/// dotnet [error] process.executable.name=dotnet process.exit.code=1 error.type=_OTHER dotnet.command=build
///   target dotnet.framework=netcoreapp1.1
/// ```
#[derive(Debug, Clone)]
pub struct Trace {
    /// In the order of the tree, with the depth of each; never empty.
    spans: Vec<(usize, Span)>,
}

impl Trace {
    /// 32 hexadecimal digits in lower case.
    pub fn trace_id(&self) -> &str {
        self.root().trace_id()
    }

    /// The first span of the tree.
    pub fn root(&self) -> &Span {
        &self.spans[0].1
    }

    /// All spans, in the order of the tree.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().map(|(_, span)| span)
    }

    /// The first span of that name in the order of the tree.
    pub fn span(&self, name: &str) -> Option<&Span> {
        self.spans().find(|span| span.name() == name)
    }

    /// The number of spans.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Always false: a trace is known by its spans.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The text of the tree, each line ended by a newline.
    pub fn tree(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, span) in &self.spans {
            writeln!(f, "{:indent$}{span}", "", indent = 2 * depth)?;
        }
        Ok(())
    }
}

/// Sorts spans into traces, by the first start in each.
pub(super) fn traces(spans: &[Span]) -> Vec<Trace> {
    let mut spans: Vec<&Span> = spans.iter().collect();
    spans.sort_by(|one, other| one.order().cmp(&other.order()));
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut traces: Vec<Vec<&Span>> = Vec::new();
    for span in spans {
        let place = *places.entry(span.trace_id()).or_insert_with(|| {
            traces.push(Vec::new());
            traces.len() - 1
        });
        traces[place].push(span);
    }
    traces.iter().map(|spans| arrange(spans)).collect()
}

/// `spans` belong to one trace and are sorted. No recursion: a sender decides how deep a tree is.
fn arrange(spans: &[&Span]) -> Trace {
    let places: HashMap<&str, usize> =
        spans.iter().enumerate().map(|(i, span)| (span.span_id(), i)).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut tops = Vec::new();
    for (place, span) in spans.iter().enumerate() {
        match span.parent_span_id().and_then(|parent| places.get(parent)) {
            Some(parent) => children[*parent].push(place),
            None => tops.push(place),
        }
    }
    let mut arranged = Vec::with_capacity(spans.len());
    let mut seen = vec![false; spans.len()];
    // Spans that form a circle are below no top, so the earliest of them becomes one.
    for top in tops.into_iter().chain(0..spans.len()) {
        let mut open = vec![(0, top)];
        while let Some((depth, place)) = open.pop() {
            if !std::mem::replace(&mut seen[place], true) {
                arranged.push((depth, spans[place].clone()));
                open.extend(children[place].iter().rev().map(|child| (depth + 1, *child)));
            }
        }
    }
    Trace { spans: arranged }
}

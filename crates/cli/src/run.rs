//! Reads the OTLP/JSON lines of a run file into a tree of spans.
//!
//! With data points, the lines come from the library's strict reader and contain only approved keys and values. Without
//! data points, they are the file's own and may contain any text.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value as Json;
use tool_telemetry::command::{InspectedRun, RunStatus};

/// Rows of one run. A page with many longer runs would not open.
const MAX_ROWS: usize = 100;
/// The deepest indentation. Bounds the recursion too.
const MAX_DEPTH: usize = 8;

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) trace_id: String,
    pub(crate) version: String,
    pub(crate) destination: String,
    pub(crate) state: RunStatus,
    /// When the file was moved to its directory, in seconds since the Unix epoch.
    pub(crate) moved: Option<u64>,
    /// Nanoseconds since the Unix epoch.
    pub(crate) start: u64,
    /// Nanoseconds.
    pub(crate) duration: u64,
    pub(crate) ending: Ending,
    /// The run's root span, then its descendants.
    pub(crate) rows: Vec<Row>,
    /// Spans without a row.
    pub(crate) hidden_rows: usize,
    /// Unreadable lines and values that are not approved.
    pub(crate) left_out: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ending {
    /// The exit code as a number for sorting, if it is one, and as the file writes it.
    Exited(Option<i64>, String),
    CutOff,
    Unknown,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(_, code) => write!(f, "exit {code}"),
            Self::CutOff => f.write_str("cut off"),
            Self::Unknown => f.write_str("exit code unknown"),
        }
    }
}

impl Ending {
    pub(crate) fn is_failure(&self) -> bool {
        match self {
            Self::Exited(code, _) => *code != Some(0),
            Self::CutOff => true,
            Self::Unknown => false,
        }
    }
}

/// One span of the tree.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) depth: usize,
    /// Nanoseconds.
    pub(crate) duration: u64,
    /// Start and length as percentages of the run.
    pub(crate) bar: (f64, f64),
    pub(crate) values: Vec<(String, String)>,
}

struct Span {
    trace_id: String,
    id: String,
    parent: Option<String>,
    name: String,
    start: u64,
    end: u64,
    values: Vec<(String, String)>,
}

// The keys and values that the library sets itself.
const EXECUTABLE_NAME: &str = "process.executable.name";
const EXIT_CODE: &str = "process.exit.code";
const ERROR_TYPE: &str = "error.type";
const CUT_OFF: &str = "cut_off";

impl Run {
    /// Returns nothing if no line can be read.
    pub(crate) fn read(file: InspectedRun) -> Option<Self> {
        let mut left_out = file.left_out;
        let mut version = String::new();
        let mut spans: Vec<Span> = Vec::new();
        let mut positions: HashMap<String, usize> = HashMap::new();
        for line in file.lines.lines().filter(|line| !line.is_empty()) {
            let Some((line_version, span)) = read_line(line) else {
                left_out += 1;
                continue;
            };
            version = line_version;
            // The last line for a span wins.
            match positions.get(&span.id) {
                Some(position) => spans[*position] = span,
                None => {
                    positions.insert(span.id.clone(), spans.len());
                    spans.push(span);
                }
            }
        }
        let is_root = |span: &&Span| span.values.iter().any(|(key, _)| key == EXECUTABLE_NAME);
        let root = spans.iter().find(is_root).or_else(|| spans.first())?;
        let tree = Tree::of(root, &spans);
        let value =
            |key: &str| root.values.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str());
        Some(Self {
            trace_id: root.trace_id.clone(),
            version,
            destination: file.destination,
            state: file.state,
            moved: file
                .moved
                .and_then(|moved| moved.duration_since(std::time::SystemTime::UNIX_EPOCH).ok())
                .map(|moved| moved.as_secs()),
            start: root.start,
            duration: root.end.saturating_sub(root.start),
            ending: match (value(EXIT_CODE), value(ERROR_TYPE)) {
                (Some(code), _) => Ending::Exited(code.parse().ok(), code.to_owned()),
                (None, Some(CUT_OFF)) => Ending::CutOff,
                _ => Ending::Unknown,
            },
            hidden_rows: spans.len() - tree.rows.len(),
            rows: tree.rows,
            left_out,
        })
    }

    /// The value of a data point on the root span.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let root = self.rows.first()?;
        root.values.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }
}

/// Orders the spans: each below its parent, siblings by start time.
struct Tree<'a> {
    root: &'a Span,
    children: HashMap<&'a str, Vec<&'a Span>>,
    rows: Vec<Row>,
}

impl<'a> Tree<'a> {
    fn of(root: &'a Span, spans: &'a [Span]) -> Self {
        let mut children: HashMap<&str, Vec<&Span>> = HashMap::new();
        for span in spans.iter().filter(|span| !std::ptr::eq(*span, root)) {
            if let Some(parent) = &span.parent {
                children.entry(parent).or_default().push(span);
            }
        }
        for siblings in children.values_mut() {
            siblings.sort_by_key(|span| span.start);
        }
        let mut tree = Self { root, children, rows: Vec::new() };
        tree.add(root, 0);
        tree
    }

    /// In a damaged file two spans may be each other's parents, so children are removed from the map when they are
    /// added.
    fn add(&mut self, span: &Span, depth: usize) {
        if self.rows.len() == MAX_ROWS {
            return;
        }
        let whole = self.root.end.saturating_sub(self.root.start).max(1) as f64;
        let share =
            |time: u64| (100.0 * time.saturating_sub(self.root.start) as f64 / whole).clamp(0.0, 100.0);
        // Keeps short spans visible, even at the very end.
        let width = (share(span.end) - share(span.start)).max(0.5);
        self.rows.push(Row {
            name: span.name.clone(),
            depth: depth.min(MAX_DEPTH),
            duration: span.end.saturating_sub(span.start),
            bar: (share(span.start).min(100.0 - width), width),
            values: span.values.clone(),
        });
        if depth < 2 * MAX_DEPTH {
            for child in self.children.remove(span.id.as_str()).unwrap_or_default() {
                self.add(child, depth + 1);
            }
        }
    }
}

/// The tool's version and the one span of a line.
fn read_line(line: &str) -> Option<(String, Span)> {
    let json: Json = serde_json::from_str(line).ok()?;
    let resource = json.get("resourceSpans")?.get(0)?;
    let version = attributes(resource.get("resource")?).into_iter().find(|(key, _)| key == "service.version");
    let span = resource.get("scopeSpans")?.get(0)?.get("spans")?.get(0)?;
    let text = |key: &str| span.get(key).and_then(Json::as_str).map(str::to_owned);
    let time = |key: &str| span.get(key)?.as_str()?.parse::<u64>().ok();
    let read = Span {
        trace_id: text("traceId")?,
        id: text("spanId")?,
        parent: text("parentSpanId"),
        name: text("name")?,
        start: time("startTimeUnixNano")?,
        end: time("endTimeUnixNano")?,
        values: attributes(span),
    };
    Some((version.map(|(_, value)| value).unwrap_or_default(), read))
}

fn attributes(of: &Json) -> Vec<(String, String)> {
    let Some(attributes) = of.get("attributes").and_then(Json::as_array) else {
        return Vec::new();
    };
    attributes
        .iter()
        .filter_map(|attribute| {
            let key = attribute.get("key")?.as_str()?.to_owned();
            let value = attribute.get("value")?.as_object()?.values().next()?;
            let value = match value {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some((key, value))
        })
        .collect()
}

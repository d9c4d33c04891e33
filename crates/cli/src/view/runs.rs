//! Reads the OTLP/JSON lines of a run into what the page shows of it.
//!
//! With data points the lines come out of the library's strict reader, and hold approved keys and values only. Without,
//! they are a file's own: whatever is in it is a text, and is escaped by the page like every other.

use std::collections::HashMap;

use serde_json::Value as Json;
use tool_telemetry::command::{InspectedRun, RunStatus};

/// Rows of one waterfall. More of them nobody reads, and a page with many such runs would not open.
const MOST_ROWS: usize = 100;
/// Deeper than this the indentation stays the same, and so does the stack.
const DEEPEST: usize = 8;

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) trace_id: String,
    pub(crate) version: String,
    pub(crate) destination: String,
    pub(crate) state: RunStatus,
    /// Seconds since the Unix epoch at which the file came to where it is.
    pub(crate) moved: Option<u64>,
    /// Nanoseconds since the Unix epoch.
    pub(crate) start: u64,
    /// Nanoseconds.
    pub(crate) duration: u64,
    pub(crate) ending: Ending,
    /// The run first, then what is below it.
    pub(crate) rows: Vec<Row>,
    /// Spans that are not among the rows.
    pub(crate) more_rows: usize,
    /// Lines that could not be read and values that are not approved.
    pub(crate) left_out: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ending {
    /// The code as a number, for the order, and as it is written.
    Exited(Option<i64>, String),
    CutOff,
    Unknown,
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

/// One span in a waterfall.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) depth: usize,
    /// Nanoseconds.
    pub(crate) duration: u64,
    /// Where the bar begins and how long it is, in hundredths of the run.
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

/// The keys that the library sets itself.
const EXECUTABLE_NAME: &str = "process.executable.name";
const EXIT_CODE: &str = "process.exit.code";
const ERROR_TYPE: &str = "error.type";
const CUT_OFF: &str = "cut_off";

impl Run {
    /// Nothing if no line can be read.
    pub(crate) fn read(seen: InspectedRun) -> Option<Self> {
        let mut left_out = seen.left_out;
        let mut version = String::new();
        let mut spans: Vec<Span> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for line in seen.lines.lines().filter(|line| !line.is_empty()) {
            let Some((found, span)) = read_line(line) else {
                left_out += 1;
                continue;
            };
            version = found;
            // The last line of a span wins.
            match places.get(&span.id) {
                Some(place) => spans[*place] = span,
                None => {
                    places.insert(span.id.clone(), spans.len());
                    spans.push(span);
                }
            }
        }
        let is_run = |span: &&Span| span.values.iter().any(|(key, _)| key == EXECUTABLE_NAME);
        let run = spans.iter().find(is_run).or_else(|| spans.first())?;
        let waterfall = Waterfall::of(run, &spans);
        let value =
            |key: &str| run.values.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str());
        Some(Self {
            trace_id: run.trace_id.clone(),
            version,
            destination: seen.destination,
            state: seen.state,
            moved: seen
                .moved
                .and_then(|moved| moved.duration_since(std::time::SystemTime::UNIX_EPOCH).ok())
                .map(|moved| moved.as_secs()),
            start: run.start,
            duration: run.end.saturating_sub(run.start),
            ending: match (value(EXIT_CODE), value(ERROR_TYPE)) {
                (Some(code), _) => Ending::Exited(code.parse().ok(), code.to_owned()),
                (None, Some(CUT_OFF)) => Ending::CutOff,
                _ => Ending::Unknown,
            },
            more_rows: spans.len() - waterfall.rows.len(),
            rows: waterfall.rows,
            left_out,
        })
    }

    /// The value of a data point of the run itself.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let run = self.rows.first()?;
        run.values.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }
}

/// Puts the spans in order: each below its parent, in the order of their starts.
struct Waterfall<'a> {
    run: &'a Span,
    children: HashMap<&'a str, Vec<&'a Span>>,
    rows: Vec<Row>,
}

impl<'a> Waterfall<'a> {
    fn of(run: &'a Span, spans: &'a [Span]) -> Self {
        let mut children: HashMap<&str, Vec<&Span>> = HashMap::new();
        for span in spans.iter().filter(|span| !std::ptr::eq(*span, run)) {
            if let Some(parent) = &span.parent {
                children.entry(parent).or_default().push(span);
            }
        }
        for siblings in children.values_mut() {
            siblings.sort_by_key(|span| span.start);
        }
        let mut waterfall = Self { run, children, rows: Vec::new() };
        waterfall.add(run, 0);
        waterfall
    }

    /// Each span has one parent, but a damaged file may have them in a circle: a span's children are taken when they
    /// are added.
    fn add(&mut self, span: &Span, depth: usize) {
        if self.rows.len() == MOST_ROWS {
            return;
        }
        let whole = self.run.end.saturating_sub(self.run.start).max(1) as f64;
        let share =
            |time: u64| (100.0 * time.saturating_sub(self.run.start) as f64 / whole).clamp(0.0, 100.0);
        // Short ones are still to be seen, also at the very end.
        let width = (share(span.end) - share(span.start)).max(0.5);
        self.rows.push(Row {
            name: span.name.clone(),
            depth: depth.min(DEEPEST),
            duration: span.end.saturating_sub(span.start),
            bar: (share(span.start).min(100.0 - width), width),
            values: span.values.clone(),
        });
        if depth < 2 * DEEPEST {
            for child in self.children.remove(span.id.as_str()).unwrap_or_default() {
                self.add(child, depth + 1);
            }
        }
    }
}

/// The tool's version, and the one span of a line.
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

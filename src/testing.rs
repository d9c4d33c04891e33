//! What a command records, for the unit tests of a tool.
//!
//! ```
//! use tool_telemetry::{DataPoints, Telemetry, testing};
//!
//! static DATA_POINTS: DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
//!
//! /// A command of the tool.
//! fn build(telemetry: &Telemetry) {
//!     telemetry.record("frob.color", "never");
//!     tracing::info_span!(target: "frob", "frobnicate", frob.number = 3).in_scope(|| {});
//! }
//!
//! let run = testing::record(&DATA_POINTS, |telemetry| telemetry.command("build", || build(telemetry)));
//! assert_eq!(run.command(), Some("build"));
//! assert_eq!(run.exit_code(), Some(0));
//! assert_eq!(run.attribute("frob.color"), Some("never"));
//! assert_eq!(run.spans()[0].name(), "frobnicate");
//! assert_eq!(run.spans()[0].attributes(), [("frob.number", "3")]);
//! assert!(run.left_out().is_empty(), "{run}");
//! ```
//!
//! A test writes no file, reads no environment variable, and sends nothing, so tests can run at the same time. Everything
//! that `telemetry.toml` approves is recorded, as for an operator, whatever its `audience` and `until`.
//!
//! The telemetry layer is the default subscriber of the test's thread while the closure runs. Spans of other threads are
//! seen only if the closure passes its subscriber on, for example with `tracing`'s `WithSubscriber`.

use std::fmt;

use tracing_subscriber::layer::SubscriberExt as _;

use crate::model::data_points::DataPoints;
pub use crate::model::omission::{Omission, OmissionReason};
use crate::model::span::{self, Ending, Span, SpanId, Subject};
use crate::telemetry::{PreviewedRun, Telemetry};

/// Runs the closure, and returns the run of the only command in it.
///
/// A test process keeps some kilobytes for each call until it ends.
///
/// # Panics
///
/// If the closure begins no command, more than one, or one that is discarded. [`record_all`] allows this.
pub fn record<R>(data_points: &'static DataPoints, command: impl FnOnce(&Telemetry) -> R) -> TestRun {
    let mut runs = record_all(data_points, command);
    assert!(
        runs.len() < 2,
        "the closure began {} commands; use `testing::record_all`, which returns the run of each",
        runs.len()
    );
    let Some(run) = runs.pop() else {
        panic!("the closure recorded no run; call `telemetry.command(…)` in it");
    };
    run
}

/// Runs the closure, and returns the run of each command in it, in the order in which they ended. A discarded run is not
/// among them.
///
/// ```
/// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
/// use tool_telemetry::testing;
///
/// let runs = testing::record_all(&DATA_POINTS, |telemetry| {
///     telemetry.command("login", || telemetry.discard());
/// });
/// assert!(runs.is_empty());
/// ```
pub fn record_all<R>(
    data_points: &'static DataPoints,
    commands: impl FnOnce(&Telemetry) -> R,
) -> Vec<TestRun> {
    let telemetry = Telemetry::for_test(data_points);
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    tracing::subscriber::with_default(subscriber, || commands(&telemetry));
    let tool = telemetry.settings().name;
    telemetry.take_captured().into_iter().map(|run| TestRun::new(tool, data_points, run)).collect()
}

/// The run of one command, as it would be sent.
#[derive(Debug, Clone)]
pub struct TestRun {
    exit_code: Option<i64>,
    command: Option<usize>,
    /// The run itself.
    root: TestSpan,
    spans: Vec<TestSpan>,
    left_out: Vec<Omission>,
}

/// A span of a [`TestRun`].
#[derive(Debug, Clone)]
pub struct TestSpan {
    id: SpanId,
    parent: Option<SpanId>,
    name: String,
    /// Keys and rendered values, sorted by key.
    attributes: Vec<(&'static str, String)>,
}

impl TestRun {
    fn new(tool: &str, data_points: &'static DataPoints, run: PreviewedRun) -> Self {
        let PreviewedRun { spans, omissions, .. } = run;
        let mut spans: Vec<Span> = spans;
        // A span that was opened first may have closed last.
        spans[1..].sort_by_key(|span| span.start);
        let mut spans: Vec<TestSpan> =
            spans.iter().map(|span| TestSpan::new(tool, data_points, span)).collect();
        let root = spans.remove(0);
        let exit_code = data_points.exit_code().and_then(|position| {
            root.attribute(data_points.data_points[usize::from(position)].key)?.parse().ok()
        });
        let command =
            data_points.command().map(|position| data_points.data_points[usize::from(position)].key);
        let command = root.attributes.iter().position(|(key, _)| Some(*key) == command);
        Self { exit_code, command, root, spans, left_out: omissions }
    }

    /// The recorded name of the command: `other` if `telemetry.toml` does not list it, and `None` if it has no data point of
    /// the kind `command`.
    pub fn command(&self) -> Option<&str> {
        self.command.map(|position| self.root.attributes[position].1.as_str())
    }

    /// The recorded exit code. `None` if `telemetry.toml` has no data point of the kind `exit_code`.
    pub fn exit_code(&self) -> Option<i64> {
        self.exit_code
    }

    /// The keys and values of the run itself, sorted by key, with the command and the exit code. Values are texts, such as
    /// `true` and `3`.
    pub fn attributes(&self) -> Vec<(&str, &str)> {
        self.root.attributes()
    }

    /// The value of one key of the run itself.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.root.attribute(key)
    }

    /// The spans, in the order in which they were opened.
    pub fn spans(&self) -> &[TestSpan] {
        &self.spans
    }

    /// What was not recorded, or recorded as `other`, and why. Each has a text that says what to change.
    ///
    /// It also has the spans of dependencies, because the library cannot tell whose a crate is.
    pub fn left_out(&self) -> &[Omission] {
        &self.left_out
    }
}

impl TestSpan {
    fn new(tool: &str, data_points: &'static DataPoints, span: &Span) -> Self {
        let mut name = String::new();
        let _ = span.write_name(tool, data_points, &mut name);
        let mut attributes = Vec::new();
        for (position, value) in &span.values {
            let data_point = &data_points.data_points[usize::from(*position)];
            let mut text = String::new();
            let _ = data_point.render(value, &mut text);
            attributes.push((data_point.key, text));
        }
        if let (Subject::Run(Some(ending)), Some(position)) = (span.subject, data_points.exit_code()) {
            if let Ending::Exited(code) = ending {
                attributes.push((data_points.data_points[usize::from(position)].key, code.to_string()));
            }
            attributes.extend(ending.error_type().map(|error| (span::ERROR_TYPE, error.to_owned())));
        }
        attributes.sort();
        Self { id: span.span_id, parent: span.parent.map(|parent| parent.span_id), name, attributes }
    }

    /// The name of the span.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The recorded keys and values, sorted by key. Values are texts, such as `true` and `3`.
    pub fn attributes(&self) -> Vec<(&str, &str)> {
        self.attributes.iter().map(|(key, value)| (*key, value.as_str())).collect()
    }

    /// The value of one key.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for TestRun {
    /// A line for each span with its attributes, indented below its parent, and then what was left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_tree(f, &self.root, 0)?;
        for omission in &self.left_out {
            writeln!(f, "left out: {omission}")?;
        }
        Ok(())
    }
}

impl TestRun {
    fn write_tree(&self, f: &mut fmt::Formatter<'_>, span: &TestSpan, depth: usize) -> fmt::Result {
        write!(f, "{:indentation$}{}", "", span.name, indentation = 2 * depth)?;
        for (key, value) in &span.attributes {
            write!(f, " {key}={value}")?;
        }
        f.write_str("\n")?;
        for child in self.spans.iter().filter(|child| child.parent == Some(span.id)) {
            self.write_tree(f, child, depth + 1)?;
        }
        Ok(())
    }
}

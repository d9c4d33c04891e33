//! Numbers about the server for its operator, without a value, an address, or a tool in them.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The numbers. They begin at 0 when the server starts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections so far.
    pub connections: AtomicU64,
    /// Connections that are open.
    pub open_connections: AtomicU64,
    /// Connections that were closed because there were too many.
    pub refused_connections: AtomicU64,
    /// Bytes of bodies, as they came.
    pub body_bytes: AtomicU64,
    /// Spans that are kept.
    pub spans: AtomicU64,
    /// Traces that are kept or were there already.
    pub traces: AtomicU64,
    /// Changes of the store.
    pub commits: AtomicU64,
    commit_micros: AtomicU64,
    longest_commit_micros: AtomicU64,
    longest_step_micros: AtomicU64,
    /// Changes that failed.
    pub failed_commits: AtomicU64,
    /// How often the configuration was read again.
    pub reloads: AtomicU64,
    /// Traces that a repetition is compared with.
    pub index_traces: AtomicU64,
    /// Bytes of their ids in memory.
    pub index_bytes: AtomicU64,
    /// Requests by their outcome, spans and attributes by what was wrong with them.
    labelled: Mutex<Vec<(&'static str, &'static str, u64)>>,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Metrics {
    /// Counts a request by its outcome.
    pub fn request(&self, outcome: &'static str) {
        self.add("requests", outcome, 1);
    }

    /// Counts what was removed or rejected, by reason.
    pub fn removed(&self, reason: &'static str, number: u64) {
        self.add("removed", reason, number);
    }

    /// Counts a commit and how long it took.
    pub fn commit(&self, time: Duration) {
        self.commits.fetch_add(1, Relaxed);
        self.commit_micros.fetch_add(micros(time), Relaxed);
        self.longest_commit_micros.fetch_max(micros(time), Relaxed);
    }

    /// Records how long a step of maintenance took, for which requests had to wait.
    pub fn step(&self, time: Duration) {
        self.longest_step_micros.fetch_max(micros(time), Relaxed);
    }

    fn add(&self, name: &'static str, label: &'static str, number: u64) {
        let mut labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        match labelled.iter_mut().find(|(there, label_there, _)| (*there, *label_there) == (name, label)) {
            Some((_, _, count)) => *count += number,
            None => labelled.push((name, label, number)),
        }
    }

    /// The text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, help: &str, value: String| {
            let name = format!("tool_telemetry_collect_{name}");
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        let number = |number: &AtomicU64| number.load(Relaxed).to_string();
        put("connections_total", "counter", "Connections.", number(&self.connections));
        put("connections_open", "gauge", "Open connections.", number(&self.open_connections));
        put(
            "connections_refused_total",
            "counter",
            "Connections over the limit.",
            number(&self.refused_connections),
        );
        put("body_bytes_total", "counter", "Bytes of request bodies.", number(&self.body_bytes));
        put("spans_total", "counter", "Spans kept or known.", number(&self.spans));
        put("traces_total", "counter", "Traces kept or known.", number(&self.traces));
        put("commits_total", "counter", "Changes of the store.", number(&self.commits));
        let seconds = |micros: &AtomicU64| (micros.load(Relaxed) as f64 / 1e6).to_string();
        put("commit_seconds_total", "counter", "Time spent on them.", seconds(&self.commit_micros));
        let longest = seconds(&self.longest_commit_micros);
        put("commit_seconds_longest", "gauge", "The longest of them.", longest);
        let longest = seconds(&self.longest_step_micros);
        put(
            "maintenance_seconds_longest",
            "gauge",
            "The longest that maintenance held up requests.",
            longest,
        );
        put("commits_failed_total", "counter", "Changes that failed.", number(&self.failed_commits));
        put("reloads_total", "counter", "Times the configuration was read again.", number(&self.reloads));
        put("index_traces", "gauge", "Traces of open weeks.", number(&self.index_traces));
        put("index_bytes", "gauge", "Memory of their ids.", number(&self.index_bytes));
        let labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, help) in
            [("requests", "Requests by outcome."), ("removed", "What was not kept, by reason.")]
        {
            let name = format!("tool_telemetry_collect_{name}_total");
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for (there, label, count) in &labelled {
                if name == format!("tool_telemetry_collect_{there}_total") {
                    let _ = writeln!(text, "{name}{{kind=\"{label}\"}} {count}");
                }
            }
        }
        text
    }
}

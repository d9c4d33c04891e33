//! `span`

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tool_telemetry::env;

use crate::child::Program;
use crate::points::{self, MeasuredSpan};

/// Run a part of a program that `exec` runs, and record it as a span of the run
///
/// The telemetry.toml of the run approves the span by its name. Outside of a run, this process becomes the program.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The span's name
    name: String,
    /// A data point of the span; may be repeated
    #[arg(long = "point", value_name = "KEY=VALUE", value_parser = point)]
    points: Vec<(String, String)>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

fn point(text: &str) -> Result<(String, String), String> {
    points::split_point(text).ok_or_else(|| "a data point is written as KEY=VALUE".to_owned())
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let program = Program { words: &arguments.program, removed: &[] };
    let parent = std::env::var(env::SPAN).ok().and_then(|text| SpanContext::parse(&text));
    let (Some(parent), Some(file)) = (parent, points::open_inherited()) else {
        return ExitCode::from(program.replace_process());
    };
    let own = SpanContext { id: points::random_number(), ..parent.clone() };
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let begun = Instant::now();
    let ended = program.run(|process| own.variables(process));
    let span = MeasuredSpan {
        name: arguments.name.clone(),
        id: own.id,
        parent: parent.id,
        start,
        end: start.saturating_add(begun.elapsed().as_nanos() as u64),
        values: arguments.points.clone(),
    };
    // The run has ended, and nobody would read it.
    let _ = span.write(&file);
    ended.end_process()
}

/// A span of a run, as [`env::SPAN`] names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SpanContext {
    /// The version and the trace id of a W3C `traceparent`, which end with `-`.
    trace: String,
    id: u64,
}

impl SpanContext {
    fn parse(text: &str) -> Option<Self> {
        // `00-`, 32 digits, `-`, 16 digits, `-01`.
        let (trace, rest) = text.split_at_checked(36)?;
        let (id, rest) = rest.split_at_checked(16)?;
        let is_hex = id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u64::from_str_radix(id, 16).ok().filter(|_| is_hex && rest == "-01")?;
        Some(Self { trace: trace.to_owned(), id })
    }

    /// The variables that make a process part of this span. Those of another trace stay.
    fn variables(&self, process: u32) -> Vec<(&'static str, OsString)> {
        let own = format!("{}{:016x}-01", self.trace, self.id);
        let is_of_run = |value: &str| value.starts_with(&self.trace);
        let mut variables = vec![(env::SPAN, OsString::from(&own))];
        if std::env::var(env::TRACEPARENT).is_ok_and(|value| is_of_run(&value)) {
            variables.push((env::TRACEPARENT, OsString::from(&own)));
        }
        if let Ok(value) = std::env::var(env::PARENT)
            && is_of_run(&value)
            && let Some(receiver) = value.splitn(3, ';').nth(2)
        {
            variables.push((env::PARENT, OsString::from(format!("{own};{process};{receiver}"))));
        }
        variables
    }
}

//! `exec`

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use tool_telemetry::{Builder, CommandGuard, ForeignSpan, Telemetry, env};
use tool_telemetry_definition::{DataPoints, Kind};

use crate::child::{Program, ProgramEnd};
use crate::definition_file;
use crate::points::{Entry, MeasuredSpan, PointsFile};
use crate::program::ProgramSettings;
use crate::tool::variable_name;

/// Run a program in any language as a tool with telemetry
///
/// The run has the program's exit code and duration, the command, and what the program adds (see docs/any-language.md).
/// Consent, notice, and delivery are those of any tool. If telemetry is off, this process becomes the program.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The telemetry.toml that approves what may be recorded
    #[arg(long, value_name = "FILE")]
    data_points: PathBuf,
    /// The tool, as users type it
    #[arg(long, value_name = "NAME", value_parser = valid_tool)]
    tool: String,
    /// The tool's version
    #[arg(long, value_name = "VERSION")]
    tool_version: String,
    /// The command [default: the first of the program's arguments that the telemetry.toml lists as a command]
    #[arg(long, value_name = "NAME")]
    command: Option<String>,
    /// Where the tool's author receives runs: the whole https address [default: OTEL_EXPORTER_OTLP_ENDPOINT]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// An environment variable that opts out; may be repeated
    #[arg(long = "opt-out-var", value_name = "NAME", value_parser = variable_name)]
    opt_out_vars: Vec<String>,
    /// Record nothing before the user runs `tool-telemetry on`
    #[arg(long)]
    require_opt_in: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

fn valid_tool(name: &str) -> Result<String, String> {
    match tool_telemetry::__private::is_tool_name(name) {
        true => Ok(name.to_owned()),
        false => Err("a tool's name has lowercase letters, digits, `-`, `_`, and `.`".to_owned()),
    }
}

/// The variables of a run, which a program without a run must not use.
const RUN_VARIABLES: [&str; 2] = [env::POINTS, env::SPAN];

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let program = Program { words: &arguments.program, removed: &RUN_VARIABLES };
    let settings = ProgramSettings {
        tool: arguments.tool.clone(),
        version: arguments.tool_version.clone(),
        endpoint: arguments.endpoint.clone(),
        opt_out_vars: arguments.opt_out_vars.clone(),
        requires_opt_in: arguments.require_opt_in,
    };
    if settings.without_data_points().is_opted_out() {
        return ExitCode::from(program.replace_process());
    }
    let preview = Preview::of(&arguments.tool);
    // A tool works without its telemetry.toml, so what is wrong with it is reported only on request.
    let started = read(arguments, &settings).and_then(|(data_points, builder)| {
        match builder.is_telemetry_command(arguments.program.iter().cloned()) {
            true => Err("the program is called with its telemetry command, which is not a run".to_owned()),
            false => Ok((data_points, builder.start())),
        }
    });
    let (data_points, telemetry) = match started {
        Ok(started) => started,
        Err(reason) => {
            preview.report(&arguments.tool, &format!("nothing is recorded: {reason}"));
            return ExitCode::from(program.replace_process());
        }
    };
    let guard = telemetry.begin(&command(data_points, arguments));
    if !guard.is_run() {
        return ExitCode::from(program.replace_process());
    }
    record(&program, RecordedRun { telemetry, guard, data_points, tool: &arguments.tool, preview })
}

fn read(arguments: &Arguments, settings: &ProgramSettings) -> Result<(&'static DataPoints, Builder), String> {
    let path = &arguments.data_points;
    let text = definition_file::read_text(path).map_err(|error| error.to_string())?;
    let data_points =
        DataPoints::parse(&text).map_err(|errors| definition_file::diagnostics(path, &errors))?;
    let builder = settings.builder(data_points, &text);
    builder.check()?;
    Ok((data_points, builder))
}

/// The command that is recorded. Empty if there is none.
fn command(data_points: &DataPoints, arguments: &Arguments) -> String {
    if let Some(named) = &arguments.command {
        return named.clone();
    }
    let words = arguments.program[1..].iter().take_while(|word| *word != "--");
    let Some(Kind::Command(listed)) =
        data_points.command().map(|position| data_points.data_points[usize::from(position)].kind)
    else {
        return String::new();
    };
    let is_bare = arguments.program.len() == 1;
    let found = words.filter_map(|word| word.to_str()).find(|word| listed.contains(word));
    // Any text that is not in the list becomes `other`, and no argument may be passed on.
    found.unwrap_or(if is_bare { "" } else { tool_telemetry::OTHER }).to_owned()
}

/// A run that has begun, and what becomes of it.
struct RecordedRun<'a> {
    telemetry: Telemetry,
    guard: CommandGuard,
    data_points: &'static DataPoints,
    tool: &'a str,
    preview: Preview,
}

fn record(program: &Program<'_>, run: RecordedRun<'_>) -> ExitCode {
    let mut points = PointsFile::create(run.tool).ok();
    let trace = run.guard.program_trace();
    let ended = program.run(|process| {
        let trace = trace.iter().flat_map(|trace| trace.variables(process));
        let points = points.iter().map(|points| (env::POINTS, points.path().as_os_str().to_owned()));
        trace.map(|(name, value)| (name, OsString::from(value))).chain(points).collect()
    });
    if let Some(points) = &mut points {
        for entry in points.read(matches!(ended, ProgramEnd::Exited(_))) {
            if let Some(problem) = run.add(entry) {
                run.preview.report(run.tool, &problem);
            }
        }
    }
    drop(points);
    let _ = run.guard.end(ended.exit_code());
    ended.end_process()
}

impl RecordedRun<'_> {
    /// Adds an entry to the run, and returns why it was not added.
    fn add(&self, entry: Entry) -> Option<String> {
        match entry {
            Entry::Point { key, value } => {
                let position = self.data_points.key_among(self.data_points.on_run, &key);
                let Some(position) = position else {
                    return Some(format!("{key:?} is not a data point of the run, and is not recorded"));
                };
                let is_allowed =
                    self.data_points.data_points[usize::from(position)].admit_text(&value).is_some();
                self.telemetry.record(&key, value.as_str());
                (!is_allowed).then(|| format!("the value of {key} is not allowed, and is not recorded"))
            }
            Entry::Span(span) => {
                let is_recorded = self.guard.record_span(&foreign(&span));
                (!is_recorded)
                    .then(|| format!("the span {:?} is not approved, and is not recorded", span.name))
            }
            Entry::Unreadable(line) => {
                Some(format!("line {line} of {} is not `key=value`, and is not recorded", env::POINTS))
            }
        }
    }
}

fn foreign(span: &MeasuredSpan) -> ForeignSpan<'_> {
    ForeignSpan {
        name: &span.name,
        id: span.id.to_be_bytes(),
        parent: (span.parent != 0).then(|| span.parent.to_be_bytes()),
        start: span.start,
        end: span.end,
        values: &span.values,
    }
}

/// Whether the user wants to see what is recorded, and so also what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Preview(bool);

impl Preview {
    fn of(tool: &str) -> Self {
        let mode = std::env::var(env::tool_variable(tool)).unwrap_or_default();
        Self(["log", "trace", "explain"].iter().any(|word| mode.trim().eq_ignore_ascii_case(word)))
    }

    fn report(self, tool: &str, text: &str) {
        if self.0 {
            let _ = writeln!(std::io::stderr(), "{tool} telemetry: {text}");
        }
    }
}

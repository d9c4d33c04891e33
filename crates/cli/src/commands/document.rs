//! `document`: what a tool's author publishes about the data. The text is in `templates/`.

use std::path::PathBuf;
use std::process::ExitCode;

use askama::Template;
use clap::ValueEnum;
use tool_telemetry::env::tool_variable;
use tool_telemetry_definition::{ApprovedSpan, Audience, DataPoint, DataPoints, Period, Publisher, Times};

use crate::definition_file::read_valid;
use crate::error::Error;
use crate::exit_code::SUCCESS;
use crate::output;
use crate::tool::{tool_name, variable_name};
use crate::wording::values;

/// Write a document about the data: a table, a privacy page, or a section for a licence
///
/// The document is Markdown and goes to stdout.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  tool-telemetry document telemetry.toml privacy --tool frob --opt-out-var \
                        FROB_TELEMETRY_OPTOUT > PRIVACY.md"
)]
pub(crate) struct Arguments {
    /// The telemetry.toml
    file: PathBuf,
    /// The document to write
    document: Document,
    /// The tool, as users type it
    #[arg(long, value_name = "NAME", required_if_eq_any([("document", "privacy"), ("document", "licence")]))]
    tool: Option<String>,
    /// An environment variable that opts out, in addition to those that every tool has; may be repeated
    #[arg(long = "opt-out-var", value_name = "NAME", value_parser = variable_name)]
    opt_out_vars: Vec<String>,
    /// The tool's own endpoint, if it has one
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The tool records nothing until the user turns telemetry on
    #[arg(long)]
    opt_in: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Document {
    /// A table of the collected data
    Table,
    /// A complete PRIVACY.md
    Privacy,
    /// A "Data" section for the tool's licence or terms
    Licence,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let definition = read_valid(&arguments.file)?;
    let table = Table::new(definition);
    if arguments.document == Document::Table {
        return print(&table);
    }
    let tool = arguments.tool.as_deref().map(tool_name).transpose()?.unwrap_or_default();
    let publisher = definition.publisher.as_ref().ok_or_else(|| {
        Error::content(format!(
            "{} names no publisher, so nobody is responsible for the data. Add a [publisher] with name, contact, \
             privacy, retention_days, and licence.",
            arguments.file.display()
        ))
    })?;
    let endpoint = arguments.endpoint.as_deref().map(url).transpose()?;
    match arguments.document {
        Document::Privacy => print(&Privacy {
            tool,
            command: definition.telemetry_command,
            variables: arguments.opt_out_vars.iter().map(String::as_str).collect(),
            tool_variable: tool_variable(tool),
            opt_in: arguments.opt_in,
            endpoint,
            publisher: EscapedPublisher::new(publisher),
            table,
        }),
        _ => print(&Licence {
            tool,
            command: definition.telemetry_command,
            tool_variable: tool_variable(tool),
            publisher: EscapedPublisher::new(publisher),
            opt_in: arguments.opt_in,
            has_endpoint: endpoint.is_some(),
        }),
    }
}

fn print(document: &impl Template) -> Result<ExitCode, Error> {
    let text = document
        .render()
        .map_err(|error| Error::usage(format!("the document cannot be generated: {error}")))?;
    output::print(&format!("{}\n", text.trim_end()));
    Ok(ExitCode::from(SUCCESS))
}

/// A URL that needs no escaping in a document.
fn url(text: &str) -> Result<&str, Error> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\<>`|".contains(&byte));
    if is_plain && (text.starts_with("https://") || text.starts_with("http://")) {
        Ok(text)
    } else {
        Err(Error::usage(format!(
            "--endpoint {text:?} is not a URL; write it like `https://telemetry.example.com/v1/traces`"
        )))
    }
}

#[derive(Debug, Template)]
#[template(path = "table.md", escape = "none")]
struct Table {
    groups: Vec<Group>,
    has_operator_entries: bool,
    /// Runs for the tool's author start on the hour.
    has_coarse_times: bool,
    /// The length of a period, if installations are counted.
    count_period: Option<&'static str>,
    /// The most counts of one installation in a period.
    most_counts: u32,
}

/// The run, or one kind of span.
#[derive(Debug)]
struct Group {
    /// The span itself; the run needs no entry.
    span: Option<Entry>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: String,
    sentence: String,
    why: String,
    values: String,
    is_for_operators: bool,
    since: String,
    until: Option<String>,
}

impl Table {
    fn new(definition: &DataPoints) -> Self {
        let entries = |positions| definition.at(positions).map(Entry::from_data_point).collect();
        let run = Group { span: None, entries: entries(definition.on_run) };
        let spans = definition
            .spans
            .iter()
            .map(|span| Group { span: Some(Entry::from_span(span)), entries: entries(span.data_points) });
        let groups: Vec<_> = [run].into_iter().chain(spans).collect();
        let has_operator_entries = groups
            .iter()
            .any(|group| group.span.iter().chain(&group.entries).any(|entry| entry.is_for_operators));
        let has_coarse_times = definition.times == Times::Hour;
        let count_period =
            definition.period.filter(|_| !definition.counts.is_empty()).map(|period| match period {
                Period::Week => "week",
                Period::FourWeeks => "period of four weeks",
            });
        let most_counts = definition.counts.iter().map(|table| u32::from(table.at_most)).sum();
        Self { groups, has_operator_entries, has_coarse_times, count_period, most_counts }
    }
}

impl Entry {
    fn from_data_point(data_point: &DataPoint) -> Self {
        Self {
            key: data_point.key.to_string(),
            sentence: cell(data_point.sentence),
            why: cell(data_point.why),
            values: values(&data_point.kind),
            is_for_operators: data_point.audience == Audience::Operator,
            since: data_point.since.to_string(),
            until: data_point.until.map(|until| until.to_string()),
        }
    }

    fn from_span(span: &ApprovedSpan) -> Self {
        Self {
            key: cell(span.name),
            sentence: cell(span.sentence),
            why: cell(span.why),
            values: String::new(),
            is_for_operators: span.audience == Audience::Operator,
            since: span.since.to_string(),
            until: span.until.map(|until| until.to_string()),
        }
    }
}

/// Escapes a text for a cell of a Markdown table, so that it makes no column, line, HTML element, emphasis, link, or
/// image.
fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' => escaped.push(' '),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '[' | ']' | '*' | '\\' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The publisher, escaped for Markdown.
#[derive(Debug)]
struct EscapedPublisher {
    name: String,
    contact: String,
    privacy: String,
    retention_days: u32,
    licence: String,
    published_at: Option<&'static str>,
}

impl EscapedPublisher {
    fn new(publisher: &Publisher) -> Self {
        Self {
            name: cell(publisher.name),
            contact: cell(publisher.contact),
            // `DataPoints::parse` admits only plain https URLs, and only an identifier as the licence.
            privacy: publisher.privacy.to_string(),
            retention_days: publisher.retention_days,
            licence: publisher.licence.to_string(),
            published_at: publisher.published_at,
        }
    }
}

#[derive(Debug, Template)]
#[template(path = "privacy.md", escape = "none")]
struct Privacy<'a> {
    tool: &'a str,
    /// The tool's own telemetry command.
    command: Option<&'a str>,
    variables: Vec<&'a str>,
    tool_variable: String,
    opt_in: bool,
    endpoint: Option<&'a str>,
    publisher: EscapedPublisher,
    table: Table,
}

#[derive(Debug, Template)]
#[template(path = "licence.md", escape = "none")]
struct Licence<'a> {
    tool: &'a str,
    command: Option<&'a str>,
    tool_variable: String,
    publisher: EscapedPublisher,
    opt_in: bool,
    has_endpoint: bool,
}

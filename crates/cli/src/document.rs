//! `document`: what a tool's author publishes about the data. The texts are in `../templates/`.

use askama::Template;
use tool_telemetry::env::tool_variable;
use tool_telemetry_definition::{Audience, DataPoint, Definition, Kind, Publisher, RUN, Span};

use crate::Answer;
use crate::arguments::{Document, DocumentArguments};
use crate::data_points_file::read_clean;
use crate::fault::Fault;
use crate::tables::tool_name;

pub(crate) fn run(arguments: &DocumentArguments) -> Result<Answer, Fault> {
    let definition = read_clean(&arguments.file)?;
    let table = Table::of(&definition);
    if arguments.what == Document::Table {
        return rendered(&table);
    }
    let tool = arguments.tool.as_deref().map(tool_name).transpose()?.unwrap_or_default();
    let publisher = definition.publisher.as_ref().ok_or_else(|| {
        Fault::content(format!(
            "{} names no publisher, and nobody answers for the data. Add a [publisher] with name, contact, privacy, \
             retention_days and licence.",
            arguments.file.display()
        ))
    })?;
    let endpoint = arguments.endpoint.as_deref().map(address).transpose()?;
    match arguments.what {
        Document::Privacy => rendered(&Privacy {
            tool,
            command: definition.telemetry_command.as_deref(),
            variables: arguments.opt_out_vars.iter().map(String::as_str).collect(),
            tool_variable: tool_variable(tool),
            opt_in: arguments.opt_in,
            endpoint,
            publisher: Escaped::of(publisher),
            table,
        }),
        _ => rendered(&Licence {
            tool,
            command: definition.telemetry_command.as_deref(),
            tool_variable: tool_variable(tool),
            publisher: Escaped::of(publisher),
            opt_in: arguments.opt_in,
            has_endpoint: endpoint.is_some(),
        }),
    }
}

fn rendered(document: &impl Template) -> Result<Answer, Fault> {
    document
        .render()
        .map(|text| Answer::from(format!("{}\n", text.trim_end())))
        .map_err(|error| Fault::usage(format!("the document could not be made: {error}")))
}

/// An address that can stand in a document as it is.
fn address(text: &str) -> Result<&str, Fault> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\<>`|".contains(&byte));
    if is_plain && (text.starts_with("https://") || text.starts_with("http://")) {
        Ok(text)
    } else {
        Err(Fault::usage(format!(
            "--endpoint {text:?} is no address; write it like `https://telemetry.example.com/v1/traces`"
        )))
    }
}

#[derive(Debug, Template)]
#[template(path = "table.md", escape = "none")]
struct Table {
    groups: Vec<Group>,
    operators_only: bool,
}

/// What belongs to one kind of span.
#[derive(Debug)]
struct Group {
    /// Why the span is there; the run needs no reason.
    about: Option<Entry>,
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
    fn of(definition: &Definition) -> Self {
        let on = |name: &str| {
            definition
                .data_points
                .iter()
                .filter(|data_point| data_point.is_on(name))
                .map(Entry::of_data_point)
                .collect()
        };
        let run = Group { about: None, entries: on(RUN) };
        let spans = definition
            .spans
            .iter()
            .map(|span| Group { about: Some(Entry::of_span(span)), entries: on(&span.name) });
        let groups: Vec<_> = [run].into_iter().chain(spans).collect();
        let operators_only = groups
            .iter()
            .any(|group| group.about.iter().chain(&group.entries).any(|entry| entry.is_for_operators));
        Self { groups, operators_only }
    }
}

impl Entry {
    fn of_data_point(data_point: &DataPoint) -> Self {
        Self {
            key: data_point.key.clone(),
            sentence: cell(&data_point.sentence),
            why: cell(&data_point.why),
            values: values(&data_point.kind),
            is_for_operators: data_point.audience == Audience::Operator,
            since: data_point.since.to_string(),
            until: data_point.until.map(|until| until.to_string()),
        }
    }

    fn of_span(span: &Span) -> Self {
        Self {
            key: cell(&span.name),
            sentence: cell(&span.sentence),
            why: cell(&span.why),
            values: String::new(),
            is_for_operators: span.audience == Audience::Operator,
            since: span.since.to_string(),
            until: span.until.map(|until| until.to_string()),
        }
    }
}

/// What a value may be, in words.
pub(crate) fn values(kind: &Kind) -> String {
    let listed =
        |list: &[String]| list.iter().map(|member| format!("`{member}`")).collect::<Vec<_>>().join(", ");
    match kind {
        Kind::Bool => "yes or no".to_owned(),
        Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Kind::ExitCode => "the number that the command ends with".to_owned(),
        Kind::Command(members) | Kind::Set(members) => format!("{}, or `other`", listed(members)),
        Kind::Version => "a version such as `1.2.3` or `1.2.3-rc.1`, or `other`".to_owned(),
        Kind::Moniker { prefixes, suffixes } if suffixes.is_empty() => {
            format!("one of {}, then a version; or `other`", listed(prefixes))
        }
        Kind::Moniker { prefixes, suffixes } => {
            format!(
                "one of {}, then a version, then perhaps one of {}; or `other`",
                listed(prefixes),
                listed(suffixes)
            )
        }
    }
}

/// A text as it stands in a cell of a Markdown table: no text of the file makes a column, a line, an element, an
/// emphasis, a link or an image.
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

/// The publisher as it stands in a Markdown text.
#[derive(Debug)]
struct Escaped {
    name: String,
    contact: String,
    privacy: String,
    retention_days: u32,
    licence: String,
}

impl Escaped {
    fn of(publisher: &Publisher) -> Self {
        Self {
            name: cell(&publisher.name),
            contact: cell(&publisher.contact),
            // An https address without anything that Markdown reads, and an identifier.
            privacy: publisher.privacy.clone(),
            retention_days: publisher.retention_days,
            licence: publisher.licence.clone(),
        }
    }
}

#[derive(Debug, Template)]
#[template(path = "privacy.md", escape = "none")]
struct Privacy<'a> {
    tool: &'a str,
    /// The tool's own command about its telemetry.
    command: Option<&'a str>,
    variables: Vec<&'a str>,
    tool_variable: String,
    opt_in: bool,
    endpoint: Option<&'a str>,
    publisher: Escaped,
    table: Table,
}

#[derive(Debug, Template)]
#[template(path = "licence.md", escape = "none")]
struct Licence<'a> {
    tool: &'a str,
    command: Option<&'a str>,
    tool_variable: String,
    publisher: Escaped,
    opt_in: bool,
    has_endpoint: bool,
}

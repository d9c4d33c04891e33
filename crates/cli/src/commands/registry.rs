//! `registry`
//!
//! The registry depends on no other registry, so it contains only these attributes, and Weaver needs no network to
//! check it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use askama::Template;
use tool_telemetry_definition::{ApprovedSpan, Audience, DataPoint, DataPoints, Kind, OTHER};

use crate::definition_file::read_valid;
use crate::error::Error;
use crate::exit_code::SUCCESS;
use crate::output;
use crate::tool::tool_of;
use crate::yaml::quoted;

/// Write a semantic-convention registry for Weaver
///
/// The registry is in the format `definition/2`, which `weaver registry live-check` needs to check what a receiver
/// gets. A registry is a directory. Without --output, only the conventions are written, to stdout.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The telemetry.toml
    file: PathBuf,
    /// The tool, as users type it, if the file does not name it
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// The directory for `manifest.yaml` and `conventions.yaml`; created if it is missing
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
    /// The URL that identifies this registry; it ends with a version
    #[arg(long, value_name = "URL", default_value = "https://example.com/schemas/0.1.0")]
    schema_url: String,
}

const MANIFEST: &str = "manifest.yaml";
const CONVENTIONS: &str = "conventions.yaml";

#[derive(Debug, Template)]
#[template(path = "manifest.yaml", escape = "none")]
struct Manifest {
    schema_url: String,
    description: String,
}

#[derive(Debug, Template)]
#[template(path = "conventions.yaml", escape = "none")]
struct Conventions {
    attributes: Vec<Attribute>,
    spans: Vec<Span>,
}

/// All strings are quoted YAML.
#[derive(Debug)]
struct Attribute {
    key: String,
    value_type: Type,
    brief: String,
    note: Option<String>,
    examples: Option<String>,
}

#[derive(Debug)]
enum Type {
    Plain(&'static str),
    Members(Vec<String>),
}

#[derive(Debug)]
struct Span {
    span_type: String,
    name: String,
    brief: String,
    note: String,
    /// Keys and their requirement levels.
    attributes: Vec<(String, &'static str)>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let definition = read_valid(&arguments.file)?;
    let tool = tool_of(definition, &arguments.file, arguments.tool.as_deref())?;
    if !is_schema_url(&arguments.schema_url) {
        return Err(Error::usage(format!(
            "--schema-url {:?} is not a schema URL; write it like `https://example.com/schemas/{tool}/1.0.0`, with a \
             version at the end",
            arguments.schema_url
        )));
    }
    let conventions =
        render(&Conventions { attributes: attributes(definition, tool), spans: spans(definition, tool) })?;
    let Some(directory) = &arguments.output else {
        output::print(&conventions);
        return Ok(ExitCode::from(SUCCESS));
    };
    let manifest = render(&Manifest {
        schema_url: quoted(&arguments.schema_url),
        description: quoted(&format!("The data that runs of {tool} may report")),
    })?;
    std::fs::create_dir_all(directory).map_err(|error| unwritable(directory, &error))?;
    for (name, text) in [(MANIFEST, manifest), (CONVENTIONS, conventions)] {
        let path = directory.join(name);
        std::fs::write(&path, text).map_err(|error| unwritable(&path, &error))?;
        output::print(&format!("{}\n", path.display()));
    }
    Ok(ExitCode::from(SUCCESS))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::file("written", path, error, "Use --output with a directory that you may write to.")
}

fn render(file: &impl Template) -> Result<String, Error> {
    file.render()
        .map(|text| format!("{}\n", text.trim_end()))
        .map_err(|error| Error::usage(format!("the registry cannot be generated: {error}")))
}

/// `http[s]://server/path/<version>`, as the OpenTelemetry specification requires.
fn is_schema_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.and_then(|rest| rest.rsplit_once('/')).is_some_and(|(before, version)| {
        !before.is_empty() && version.starts_with(|first: char| first.is_ascii_digit())
    }) && url.bytes().all(|byte| byte.is_ascii_graphic())
}

fn attributes(definition: &DataPoints, tool: &str) -> Vec<Attribute> {
    let fixed = |key: &str, brief: &str, example: &str| Attribute {
        key: quoted(key),
        value_type: Type::Plain("string"),
        brief: quoted(brief),
        note: None,
        examples: Some(format!("[{}]", quoted(example))),
    };
    let mut attributes = vec![
        Attribute {
            value_type: Type::Members(members(&["_OTHER", "cut_off"])),
            examples: None,
            ..fixed(
                "error.type",
                "Why the run failed: a nonzero exit code, or a process that ended without an exit code",
                "",
            )
        },
        fixed("process.executable.name", "The tool's name, as its author set it", tool),
        fixed("service.name", "The tool's name", tool),
        fixed("service.version", "The tool's version", "1.0.0"),
        fixed("telemetry.distro.name", "The library that recorded the run", "tool-telemetry"),
        fixed("telemetry.distro.version", "The version of the recording library", "0.1.0"),
        fixed("telemetry.sdk.language", "The language of the sending SDK", "rust"),
        fixed("telemetry.sdk.name", "The sending SDK", "opentelemetry"),
        fixed("telemetry.sdk.version", "The version of the sending SDK", "0.33.1"),
        fixed(
            "tool_telemetry.data_points",
            "The content hash of the telemetry.toml that the run was recorded under, 32 hexadecimal digits",
            definition.content_hash,
        ),
    ];
    attributes.extend(definition.data_points.iter().map(attribute));
    attributes
}

fn attribute(data_point: &DataPoint) -> Attribute {
    let audience = match data_point.audience {
        Audience::Maker => "For the tool's author and for operators.",
        Audience::Operator => "For operators only.",
    };
    let until = data_point
        .until
        .map(|until| format!(" Not recorded in version {until} or later."))
        .unwrap_or_default();
    let (kind, examples) = match &data_point.kind {
        Kind::Bool => (Type::Plain("boolean"), None),
        Kind::Integer { min, max } => (Type::Plain("int"), Some(format!("[{min}, {max}]"))),
        Kind::ExitCode => (Type::Plain("int"), Some("[0, 1]".to_owned())),
        Kind::Command(list) | Kind::Set(list) => (Type::Members(members(&[*list, &[OTHER]].concat())), None),
        Kind::Version => (Type::Plain("string"), Some(format!("[\"1.2.3\", \"1.2.3-rc.1\", \"{OTHER}\"]"))),
        Kind::Moniker { prefixes, suffixes } => {
            let prefix = prefixes.first().copied().unwrap_or_default();
            let mut examples = vec![quoted(&format!("{prefix}1.0"))];
            examples.extend(suffixes.first().map(|suffix| quoted(&format!("{prefix}1.0{suffix}"))));
            examples.push(quoted(OTHER));
            (Type::Plain("string"), Some(format!("[{}]", examples.join(", "))))
        }
    };
    Attribute {
        key: quoted(data_point.key),
        value_type: kind,
        brief: quoted(data_point.sentence),
        note: Some(quoted(&format!(
            "{} {audience} Since version {}.{until}",
            data_point.why.replace('\n', " "),
            data_point.since
        ))),
        examples,
    }
}

/// The members of an enumeration, each an inline map with a unique id.
fn members(values: &[&str]) -> Vec<String> {
    let mut ids = Ids::default();
    values
        .iter()
        .map(|value| {
            format!("{{ id: {}, value: {}, stability: development }}", quoted(&ids.id(value)), quoted(value))
        })
        .collect()
}

/// Assigns each text a unique id of lowercase letters, digits, and `_`.
#[derive(Debug, Default)]
struct Ids(BTreeSet<String>);

impl Ids {
    fn id(&mut self, text: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let mut id: String = text.trim_start_matches('_').chars().map(plain).collect();
        if !id.starts_with(|first: char| first.is_ascii_alphabetic()) {
            id.insert_str(0, "v_");
        }
        let numbered = (2..).map(|number| format!("{id}_{number}"));
        let free = [id.clone()].into_iter().chain(numbered).find(|id| !self.0.contains(id)).unwrap_or(id);
        self.0.insert(free.clone());
        free
    }
}

fn spans(definition: &DataPoints, tool: &str) -> Vec<Span> {
    let mut ids = Ids::default();
    let keys = |positions| {
        let data_points = definition.at(positions);
        data_points.map(|data_point| (quoted(data_point.key), "recommended")).collect::<Vec<_>>()
    };
    let mut run_attributes =
        vec![(quoted("process.executable.name"), "required"), (quoted("error.type"), "recommended")];
    run_attributes.extend(keys(definition.on_run));
    let run_name = match definition.command() {
        Some(position) => format!("{tool} {{{}}}", definition.data_points[usize::from(position)].key),
        None => tool.to_owned(),
    };
    let run = Span {
        span_type: quoted(&format!("{}.run", ids.id(tool))),
        name: quoted(&run_name),
        brief: quoted("One run of the tool"),
        note: quoted("The span's name is the tool's name, and the command if the run has one."),
        attributes: run_attributes,
    };
    // A received span has a name but no target, so entries with the same name become one type.
    let mut by_name: BTreeMap<&str, Vec<&ApprovedSpan>> = BTreeMap::new();
    for span in definition.spans {
        by_name.entry(span.name).or_default().push(span);
    }
    let tool_id = Ids::default().id(tool);
    let mut ids = Ids(BTreeSet::from(["run".to_owned()]));
    let count = (!definition.counts.is_empty()).then(|| count(definition, &tool_id, &mut ids));
    let others = by_name.into_iter().map(|(name, entries)| {
        let joined = |field: fn(&ApprovedSpan) -> &str| {
            quoted(&entries.iter().map(|span| field(span).replace('\n', " ")).collect::<Vec<_>>().join(" "))
        };
        Span {
            span_type: quoted(&format!("{tool_id}.{}", ids.id(name))),
            name: quoted(name),
            brief: joined(|span| span.sentence),
            note: joined(|span| span.why),
            attributes: keys(entries[0].data_points),
        }
    });
    [run].into_iter().chain(others).chain(count).collect()
}

fn count(definition: &DataPoints, tool_id: &str, ids: &mut Ids) -> Span {
    let mut keys: Vec<&str> = definition.counts.iter().flat_map(|table| table.of).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    Span {
        span_type: quoted(&format!("{tool_id}.{}", ids.id("count"))),
        name: quoted("count"),
        brief: quoted("That something occurred on one installation in one period"),
        note: quoted(
            "Its attributes are those of one table of telemetry.toml. It starts and ends at the beginning of the period, \
             and a value that is counted against a list is a string.",
        ),
        attributes: keys.into_iter().map(|key| (quoted(key), "recommended")).collect(),
    }
}

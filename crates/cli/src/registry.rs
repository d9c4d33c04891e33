//! `registry`: a semantic-convention registry in Weaver's format `definition/2`, which says of each attribute that may
//! arrive what it is. It depends on no other registry, so that it holds these attributes and no other, and so that
//! checking needs no network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use askama::Template;
use tool_telemetry_definition::{Audience, DataPoint, Definition, Kind, OTHER, RUN};

use crate::Answer;
use crate::arguments::RegistryArguments;
use crate::data_points_file::read_clean;
use crate::fault::Fault;
use crate::tables::tool_name;
use crate::yaml::quoted;

/// The files of a registry.
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

/// All texts are quoted.
#[derive(Debug)]
struct Attribute {
    key: String,
    kind: Type,
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
    kind: String,
    name: String,
    brief: String,
    note: String,
    /// Keys, and whether each span of this type has them.
    attributes: Vec<(String, &'static str)>,
}

pub(crate) fn run(arguments: &RegistryArguments) -> Result<Answer, Fault> {
    let definition = read_clean(&arguments.file)?;
    let tool = tool_name(&arguments.tool)?;
    if !is_schema_url(&arguments.schema_url) {
        return Err(Fault::usage(format!(
            "--schema-url {:?} is no schema address; write it like `https://example.com/schemas/{tool}/1.0.0`, with a \
             version at the end",
            arguments.schema_url
        )));
    }
    let conventions =
        render(&Conventions { attributes: attributes(&definition, tool), spans: spans(&definition, tool) })?;
    let Some(folder) = &arguments.output else {
        return Ok(Answer::from(conventions));
    };
    let manifest = render(&Manifest {
        schema_url: quoted(&arguments.schema_url),
        description: quoted(&format!("What runs of {tool} may report")),
    })?;
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let mut told = String::new();
    for (name, text) in [(MANIFEST, manifest), (CONVENTIONS, conventions)] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| unwritable(&path, &error))?;
        told.push_str(&format!("{}\n", path.display()));
    }
    Ok(Answer::from(told))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::file("written", path, error, "Name a folder of yours with --output.")
}

fn render(file: &impl Template) -> Result<String, Fault> {
    file.render()
        .map(|text| format!("{}\n", text.trim_end()))
        .map_err(|error| Fault::usage(format!("the registry could not be made: {error}")))
}

/// `http[s]://server/path/<version>`, as the OpenTelemetry specification has it.
fn is_schema_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.and_then(|rest| rest.rsplit_once('/')).is_some_and(|(before, version)| {
        !before.is_empty() && version.starts_with(|first: char| first.is_ascii_digit())
    }) && url.bytes().all(|byte| byte.is_ascii_graphic())
}

fn attributes(definition: &Definition, tool: &str) -> Vec<Attribute> {
    let fixed = |key: &str, brief: &str, example: &str| Attribute {
        key: quoted(key),
        kind: Type::Plain("string"),
        brief: quoted(brief),
        note: None,
        examples: Some(format!("[{}]", quoted(example))),
    };
    let mut attributes = vec![
        Attribute {
            kind: Type::Members(members(&["_OTHER".to_owned(), "cut_off".to_owned()])),
            examples: None,
            ..fixed(
                "error.type",
                "That the run failed, or that its process ended without telling its exit code",
                "",
            )
        },
        fixed("process.executable.name", "The tool's name, as its author gave it", tool),
        fixed("service.name", "The tool's name", tool),
        fixed("service.version", "The tool's version", "1.0.0"),
        fixed("telemetry.distro.name", "The library that recorded the run", "tool-telemetry"),
        fixed("telemetry.distro.version", "The version of that library", "0.1.0"),
        fixed("telemetry.sdk.language", "The language of the SDK that sends", "rust"),
        fixed("telemetry.sdk.name", "The SDK that sends", "opentelemetry"),
        fixed("telemetry.sdk.version", "The version of that SDK", "0.33.1"),
    ];
    attributes.extend(definition.data_points.iter().map(attribute));
    attributes
}

fn attribute(data_point: &DataPoint) -> Attribute {
    let audience = match data_point.audience {
        Audience::Maker => "For the maker of the tool and for operators.",
        Audience::Operator => "For operators only.",
    };
    let until =
        data_point.until.map(|until| format!(" Not recorded from version {until} on.")).unwrap_or_default();
    let (kind, examples) = match &data_point.kind {
        Kind::Bool => (Type::Plain("boolean"), None),
        Kind::Integer { min, max } => (Type::Plain("int"), Some(format!("[{min}, {max}]"))),
        Kind::ExitCode => (Type::Plain("int"), Some("[0, 1]".to_owned())),
        Kind::Command(list) | Kind::Set(list) => {
            let all: Vec<String> = list.iter().cloned().chain([OTHER.to_owned()]).collect();
            (Type::Members(members(&all)), None)
        }
        Kind::Version => (Type::Plain("string"), Some(format!("[\"1.2.3\", \"1.2.3-rc.1\", \"{OTHER}\"]"))),
        Kind::Moniker { prefixes, suffixes } => {
            let prefix = prefixes.first().map_or("", String::as_str);
            let mut examples = vec![quoted(&format!("{prefix}1.0"))];
            examples.extend(suffixes.first().map(|suffix| quoted(&format!("{prefix}1.0{suffix}"))));
            examples.push(quoted(OTHER));
            (Type::Plain("string"), Some(format!("[{}]", examples.join(", "))))
        }
    };
    Attribute {
        key: quoted(&data_point.key),
        kind,
        brief: quoted(&data_point.sentence),
        note: Some(quoted(&format!(
            "{} {audience} Since version {}.{until}",
            data_point.why.replace('\n', " "),
            data_point.since
        ))),
        examples,
    }
}

/// The members of an enumeration, each an inline map with an id that no other has.
fn members(values: &[String]) -> Vec<String> {
    let mut ids = Ids::default();
    values
        .iter()
        .map(|value| {
            format!("{{ id: {}, value: {}, stability: development }}", quoted(&ids.id(value)), quoted(value))
        })
        .collect()
}

/// Gives each text an id of small letters, digits and `_` that no other has.
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

fn spans(definition: &Definition, tool: &str) -> Vec<Span> {
    let mut ids = Ids::default();
    let keys = |name: &str| {
        definition
            .data_points
            .iter()
            .filter(|data_point| data_point.is_on(name))
            .map(|data_point| (quoted(&data_point.key), "recommended"))
            .collect::<Vec<_>>()
    };
    let mut own =
        vec![(quoted("process.executable.name"), "required"), (quoted("error.type"), "recommended")];
    own.extend(keys(RUN));
    let run = Span {
        kind: quoted(&format!("{}.run", ids.id(tool))),
        name: quoted(tool),
        brief: quoted("One run of the tool"),
        note: quoted("Its span has the tool's name."),
        attributes: own,
    };
    // What arrives tells a span's name and not its target, so entries with one name are one type.
    let mut by_name: BTreeMap<&str, Vec<&tool_telemetry_definition::Span>> = BTreeMap::new();
    for span in &definition.spans {
        by_name.entry(&span.name).or_default().push(span);
    }
    let tool_id = Ids::default().id(tool);
    let mut ids = Ids(BTreeSet::from(["run".to_owned()]));
    let others = by_name.into_iter().map(|(name, entries)| {
        let said = |of: fn(&tool_telemetry_definition::Span) -> &str| {
            quoted(&entries.iter().map(|span| of(span).replace('\n', " ")).collect::<Vec<_>>().join(" "))
        };
        Span {
            kind: quoted(&format!("{tool_id}.{}", ids.id(name))),
            name: quoted(name),
            brief: said(|span| &span.sentence),
            note: said(|span| &span.why),
            attributes: keys(name),
        }
    });
    [run].into_iter().chain(others).collect()
}

//! `project.json`: JSON with comments, trailing commas, and byte-order marks, as in real projects.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

pub(crate) const FILE_NAME: &str = "project.json";

/// The parts of a project that the commands need.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Project {
    pub(crate) name: Option<String>,
    pub(crate) authors: Vec<String>,
    pub(crate) dependencies: Vec<String>,
    pub(crate) test_runner: Option<String>,
    /// In the order of the file.
    pub(crate) frameworks: Vec<String>,
    /// Whether the `runtimes` node names at least one.
    pub(crate) has_runtimes: bool,
}

/// The file that `--project` names. Without it, the one in the current directory.
pub(crate) fn file(project: Option<&Path>) -> PathBuf {
    let Some(path) = project else {
        return PathBuf::from(FILE_NAME);
    };
    let is_directory = path.is_dir() || (!path.exists() && path.extension().is_none_or(|it| it != "json"));
    if is_directory { path.join(FILE_NAME) } else { path.to_owned() }
}

/// Why a project cannot be used: the place, the problem, and a remedy.
#[derive(Debug)]
pub(crate) struct ProjectError {
    file: PathBuf,
    /// Line and column, from 1.
    place: Option<(usize, usize)>,
    what: String,
    advice: &'static str,
}

impl fmt::Display for ProjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ", line {line}, column {column}")?;
        }
        write!(f, ": {}; {}", self.what, self.advice)
    }
}

impl Project {
    pub(crate) fn read(file: &Path) -> Result<Self, ProjectError> {
        let fail = |place, what, advice| ProjectError { file: file.to_owned(), place, what, advice };
        let bytes = std::fs::read(file).map_err(|error| {
            let (what, advice) = match error.kind() {
                io::ErrorKind::NotFound => (
                    "no such project".to_owned(),
                    "create one with `dotnet new`, or name another with `--project`",
                ),
                _ => (format!("the project cannot be read: {error}"), "check that you may read it"),
            };
            fail(None, what, advice)
        })?;
        let text = str::from_utf8(&bytes).map_err(|_| {
            let what = "the project is not text in UTF-8".to_owned();
            fail(None, what, "save it as UTF-8 and try again")
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self::parse(text).map_err(|(place, what)| fail(Some(place), what, "correct it there and try again"))
    }

    fn parse(text: &str) -> Result<Self, ((usize, usize), String)> {
        // As lenient as the original parser of these files, which required commas.
        let lenient = ParseOptions { allow_missing_commas: false, ..ParseOptions::default() };
        let parsed = parse_to_ast(text, &CollectOptions::default(), &lenient).map_err(|error| {
            let place = (error.line_display(), error.column_display());
            (place, format!("this is not valid JSON ({})", error.kind()))
        })?;
        let unexpected = |value: &Value<'_>, what: &str| (place_of(text, value.start()), what.to_owned());
        let root = match &parsed.value {
            Some(Value::Object(root)) => root,
            Some(other) => return Err(unexpected(other, "a project is a JSON object")),
            None => return Err(((1, 1), "the file is empty, but a project is a JSON object".to_owned())),
        };

        let mut project = Self {
            name: last(root, "name").and_then(text_of),
            authors: match last(root, "authors") {
                Some(Value::Array(authors)) => authors.elements.iter().filter_map(text_of).collect(),
                _ => Vec::new(),
            },
            ..Self::default()
        };
        match last(root, "testRunner") {
            None | Some(Value::NullKeyword(_)) => {}
            Some(Value::StringLit(runner)) => project.test_runner = Some(runner.value.to_string()),
            Some(other) => return Err(unexpected(other, "`testRunner` is a string")),
        }
        for (key, names) in
            [("dependencies", &mut project.dependencies), ("frameworks", &mut project.frameworks)]
        {
            match last(root, key) {
                None | Some(Value::NullKeyword(_)) => {}
                Some(Value::Object(object)) => *names = names_in(object),
                Some(other) => return Err(unexpected(other, &format!("`{key}` is an object"))),
            }
        }
        match last(root, "runtimes") {
            None | Some(Value::NullKeyword(_)) => {}
            Some(Value::Object(object)) => project.has_runtimes = !object.properties.is_empty(),
            Some(other) => return Err(unexpected(other, "`runtimes` is an object")),
        }
        Ok(project)
    }
}

/// The value of a key. For a duplicate key, the last value counts, as in most JSON parsers.
fn last<'a, 'text>(object: &'a Object<'text>, key: &str) -> Option<&'a Value<'text>> {
    let properties = object.properties.iter().rev();
    properties
        .map(|property| (property.name.as_str(), &property.value))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
}

fn text_of(value: &Value<'_>) -> Option<String> {
    Some(value.as_string_lit()?.value.to_string())
}

/// The keys of an object without duplicates.
fn names_in(object: &Object<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for property in &object.properties {
        let name = property.name.as_str();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The line and column of a byte, both from 1.
fn place_of(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..byte];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

//! Imports go one way: between the rooms of `src` as ARCHITECTURE.md lists, and between the files of each crate without
//! circles.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The crates with more than a few files.
const CRATES: [&str; 6] = [
    "src",
    "crates/cli/src",
    "crates/collect/src",
    "crates/definition/src",
    "crates/publish/src",
    "crates/receiver/src",
];

/// Files in no room: `lib.rs`, and what only rustdoc, tests, and fuzz targets compile.
const OUTSIDE: [&str; 5] = ["_documentation.rs", "lib.rs", "main.rs", "fixtures.rs", "fuzzing.rs"];

/// A path as code writes it, one segment each.
type Segments = Vec<String>;

/// A file without comments, texts, and tests.
struct Source {
    /// Below the crate's `src`.
    name: String,
    /// Its module, without `crate`.
    module: Segments,
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        &self.module[0]
    }

    /// Whether it defines a public item of this name.
    fn defines(&self, item: &str) -> bool {
        self.code.lines().filter(|line| line.trim_start().starts_with("pub")).any(|line| {
            // A lifetime is no definition.
            let line = line.replace("'static", "");
            let words: Vec<&str> = line.split(|it: char| !it.is_alphanumeric() && it != '_').collect();
            let kinds = ["fn", "struct", "enum", "trait", "type", "const", "static", "union"];
            words.windows(2).any(|pair| kinds.contains(&pair[0]) && pair[1] == item)
        })
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(of_crate: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut directories = vec![root().join(of_crate)];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root().join(of_crate)).expect("below src").display().to_string();
            if path.is_dir() {
                directories.push(path);
            } else if !name.ends_with("tests.rs") && !OUTSIDE.contains(&name.as_str()) {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let module = name.trim_end_matches(".rs").trim_end_matches("/mod");
                let module = module.split('/').map(str::to_owned).collect();
                sources.push(Source { name, module, code: without_comments_and_texts(without_tests(&text)) });
            }
        }
    }
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    sources
}

/// Tests are the last module of a file.
fn without_tests(text: &str) -> &str {
    let mut end = 0;
    for (line, next) in text.lines().zip(text.lines().skip(1).chain([""])) {
        if line.starts_with("#[cfg(")
            && line.contains("test")
            && next.starts_with("mod ")
            && next.ends_with('{')
        {
            return &text[..end];
        }
        end += line.len() + 1;
    }
    text
}

fn without_comments_and_texts(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\") {
            rest[2..].find('\'').map_or(rest.len(), |end| end + 3)
        } else if next == '"' {
            end_of_text(rest)
        } else {
            0
        };
        if skipped == 0 {
            code.push(next);
        }
        rest = &rest[skipped.max(next.len_utf8())..];
    }
    code
}

/// The length of the quoted text at the beginning of `rest`.
fn end_of_text(rest: &str) -> usize {
    let mut is_escaped = true;
    for (position, next) in rest.char_indices() {
        if next == '"' && !is_escaped {
            return position + 1;
        }
        is_escaped = next == '\\' && !is_escaped;
    }
    rest.len()
}

/// Every path in the code; groups in braces are written out.
fn paths(code: &str) -> Vec<Segments> {
    let mut found = Vec::new();
    let mut words = Words { rest: code };
    while !words.rest.is_empty() {
        if !words.path(&Vec::new(), &mut found) {
            words.skip();
        }
    }
    found
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn skip(&mut self) {
        let length = self.rest.chars().next().map_or(0, char::len_utf8);
        self.rest = &self.rest[length..];
    }

    fn takes(&mut self, token: &str) -> bool {
        let trimmed = self.rest.trim_start();
        let rest = trimmed.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let end = rest.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        self.rest = &rest[end..];
        Some(&rest[..end])
    }

    /// Reads one path, or a group of them, below a prefix.
    fn path(&mut self, prefix: &Segments, found: &mut Vec<Segments>) -> bool {
        let Some(word) = self.word() else { return false };
        let mut path = prefix.clone();
        path.push(word.to_owned());
        while self.takes("::") {
            if self.takes("{") {
                while !self.takes("}") && !self.rest.is_empty() {
                    if !self.path(&path, found) {
                        self.skip();
                    }
                }
                return true;
            }
            match self.word() {
                Some(word) => path.push(word.to_owned()),
                None if self.takes("*") => path.push("*".to_owned()),
                // The parameters of a generic.
                None => break,
            }
        }
        found.push(path);
        true
    }
}

/// A path from the crate's root, if it leads into the crate.
fn absolute(source: &Source, path: &Segments, sources: &[Source]) -> Option<Segments> {
    // Not the word in `pub(super)`.
    if path.len() < 2 {
        return None;
    }
    let mut base = source.module.clone();
    let mut rest = path.as_slice();
    match path[0].as_str() {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        child => {
            let is_child = |it: &Source| {
                it.module.split_last().is_some_and(|(last, parent)| last == child && parent == base)
            };
            if !sources.iter().any(is_child) {
                return None;
            }
        }
    }
    Some(base.into_iter().chain(rest.iter().cloned()).collect())
}

/// The file with the definition that a path leads to, through re-exports.
fn target<'a>(path: &[String], sources: &'a [Source]) -> Option<&'a Source> {
    let of_module = |module: &[String]| sources.iter().find(|it| it.module == module);
    let module = (1..=path.len()).rev().find_map(|length| of_module(&path[..length]))?;
    let Some(item) = path.get(module.module.len()) else { return Some(module) };
    if module.defines(item) {
        return Some(module);
    }
    let below =
        |it: &&Source| it.module.len() == module.module.len() + 1 && it.module.starts_with(&module.module);
    sources.iter().filter(below).find(|it| it.defines(item)).or(Some(module))
}

/// The paths behind `crate::Name`, which `lib.rs` re-exports.
fn re_exports(of_crate: &str) -> BTreeMap<String, Segments> {
    let front = std::fs::read_to_string(root().join(of_crate).join("lib.rs")).unwrap_or_default();
    let front = without_comments_and_texts(&front);
    let uses = front.split("pub use ").skip(1).filter_map(|text| text.split_once(';'));
    uses.flat_map(|(text, _)| paths(text)).map(|path| (path[path.len() - 1].clone(), path)).collect()
}

/// Who imports whom, among files.
fn imports<'a>(of_crate: &str, sources: &'a [Source]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let re_exports = re_exports(of_crate);
    let mut imports = BTreeMap::new();
    for source in sources {
        let found: BTreeSet<&str> = paths(&code_without_re_exports(&source.code))
            .iter()
            .filter_map(|path| absolute(source, path, sources))
            .map(|path| path.first().and_then(|name| re_exports.get(name)).cloned().unwrap_or(path))
            .filter_map(|path| target(&path, sources))
            .map(|target| target.name.as_str())
            .filter(|target| *target != source.name)
            .collect();
        imports.insert(source.name.as_str(), found);
    }
    imports
}

/// A room's re-export of its own module is not an import.
fn code_without_re_exports(code: &str) -> String {
    let mut kept = String::new();
    let mut is_re_export = false;
    for line in code.lines() {
        let line_begins = |start: &str| line.starts_with(start) && !line.contains("crate::");
        is_re_export |=
            line_begins("pub use ") || line_begins("pub(crate) use ") || line_begins("pub(super) use ");
        if !is_re_export {
            kept.push_str(line);
            kept.push('\n');
        }
        is_re_export &= !line.ends_with(';');
    }
    kept
}

/// `room: the rooms that it may use`, as ARCHITECTURE.md lists them.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (_, list) = text.split_once("```text\nenv:").expect("the list of rooms, which begins with env");
    let list = format!("env:{}", list.split_once("```").expect("the end of the list").0);
    let rooms = list.lines().map(|line| line.split_once(':').expect("a room and a colon"));
    let names =
        |rooms: &str| rooms.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect();
    rooms.map(|(room, uses)| (room.to_owned(), names(uses))).collect()
}

#[test]
fn rooms_import_only_the_rooms_that_the_architecture_allows() {
    let (sources, allowed) = (sources("src"), allowed());
    let rooms: BTreeSet<&str> = sources.iter().map(Source::room).collect();
    assert_eq!(rooms, allowed.keys().map(String::as_str).collect(), "ARCHITECTURE.md lists each room");
    let room_of = |name: &str| sources.iter().find(|it| it.name == name).expect("a file").room();
    let imports = imports("src", &sources);
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 200, "the imports are found: {imports:#?}");
    for (file, targets) in imports {
        for target in targets {
            let (from, to) = (room_of(file), room_of(target));
            assert!(
                from == to || allowed[from].contains(to),
                "src/{file} imports src/{target}, but ARCHITECTURE.md does not let {from} use {to}"
            );
        }
    }
}

#[test]
fn the_allowed_imports_have_no_circle() {
    let mut allowed = allowed();
    while let Some(lowest) = allowed.iter().find(|(_, uses)| uses.is_empty()).map(|(room, _)| room.clone()) {
        allowed.remove(&lowest);
        allowed.values_mut().for_each(|uses| {
            uses.remove(&lowest);
        });
    }
    assert!(allowed.is_empty(), "rooms in a circle: {allowed:?}");
}

/// All files that a file imports, directly or not.
fn reached<'a>(from: &'a str, imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        next.extend(imports[file].iter().filter(|target| reached.insert(**target)));
    }
    reached
}

#[test]
fn files_do_not_import_each_other() {
    let mut circles = BTreeSet::new();
    for of_crate in CRATES {
        let sources = sources(of_crate);
        let mut imports = imports(of_crate, &sources);
        // A module's parts may use what the module's own file defines.
        let module = |name: &str| &sources.iter().find(|it| it.name == name).expect("a file").module;
        for (part, targets) in &mut imports {
            targets.retain(|target| !module(part).starts_with(module(target)));
        }
        assert!(imports.values().any(|targets| targets.len() > 1), "{of_crate}: the imports are found");
        for file in imports.keys() {
            let is_in_circle = |other: &&str| reached(other, &imports).contains(file);
            let circle: Vec<&str> = reached(file, &imports).into_iter().filter(is_in_circle).collect();
            if !circle.is_empty() {
                circles.insert(format!("{of_crate}: {}", circle.join(", ")));
            }
        }
    }
    assert!(circles.is_empty(), "files that import each other: {circles:#?}");
}

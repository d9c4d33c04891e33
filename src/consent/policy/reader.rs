//! Reads the part of TOML that a policy uses: `[tool.NAME]`, and keys with a string or a list of strings.
//!
//! Every tool reads the policy when it starts, so the reader is our own. For a policy of 10 lines, the first time in a
//! process and without reading the file (November 2026), the `toml` crate took 28 to 42 µs and 124 KiB of a stripped
//! program; `toml_parser`, which leaves the meaning to us, 14 to 18 µs and 58 KiB; and `Policy::parse` 8 to 14 µs (1.2
//! µs when warm) and 41 KiB, most of which a tool contains anyway. A test shows that each accepted file means the same
//! to the `toml` crate.

/// One entry of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TomlEntry<'a> {
    /// The name in `[tool.NAME]`.
    Tool(&'a str),
    Setting(&'a str, TomlValue<'a>),
}

/// A setting's value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TomlValue<'a> {
    Text(&'a str),
    List(Vec<&'a str>),
    /// `true`, `false`, or a number, which no key accepts.
    Other,
}

/// What is wrong. The rest of the file may mean something else than it seems to.
pub(super) type SyntaxError = &'static str;

/// Reads the entries, each with its line. After an error it continues with the next line, so that a check reports all.
#[derive(Debug)]
pub(super) struct TomlReader<'a> {
    rest: &'a str,
    line: usize,
}

/// A table that a policy cannot have.
pub(super) const OTHER_TABLE: SyntaxError = "the only tables are [tool.NAME]";

const SPACE: [char; 2] = [' ', '\t'];

impl<'a> TomlReader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }

    /// Consumes a text if the rest begins with it.
    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches(SPACE);
    }

    /// Skips the rest of the line.
    fn skip_line(&mut self) {
        match self.rest.split_once('\n') {
            Some((_, rest)) => {
                self.rest = rest;
                self.line += 1;
            }
            None => self.rest = "",
        }
    }

    /// Skips the rest of the line if it has only a comment, and returns whether it did.
    fn ends_line(&mut self) -> bool {
        self.skip_space();
        let ends =
            self.rest.is_empty() || self.rest.starts_with(['#', '\n']) || self.rest.starts_with("\r\n");
        if ends {
            self.skip_line();
        }
        ends
    }

    fn skip_empty_lines(&mut self) {
        while !self.rest.is_empty() && self.ends_line() {}
    }

    fn entry(&mut self) -> Result<TomlEntry<'a>, SyntaxError> {
        let entry = if self.take("[") { self.table()? } else { self.setting()? };
        if self.ends_line() { Ok(entry) } else { Err("there is text after the end of the entry") }
    }

    fn table(&mut self) -> Result<TomlEntry<'a>, SyntaxError> {
        self.skip_space();
        if self.key(OTHER_TABLE)? != "tool" {
            return Err(OTHER_TABLE);
        }
        self.skip_space();
        if !self.take(".") {
            return Err(OTHER_TABLE);
        }
        self.skip_space();
        let name = self.key(OTHER_TABLE)?;
        self.skip_space();
        if self.take("]") { Ok(TomlEntry::Tool(name)) } else { Err(OTHER_TABLE) }
    }

    fn setting(&mut self) -> Result<TomlEntry<'a>, SyntaxError> {
        if self.take("\u{feff}") {
            return Err("the file begins with a byte-order mark; save it as UTF-8 without one");
        }
        let key = self.key("this is neither `[tool.NAME]` nor `key = value`")?;
        self.skip_space();
        if self.rest.starts_with('.') {
            return Err("a key cannot have a dot; write [tool.NAME] on its own line, and the key below it");
        }
        if !self.take("=") {
            return Err("`=` is missing after the key");
        }
        self.skip_space();
        Ok(TomlEntry::Setting(key, self.value()?))
    }

    fn value(&mut self) -> Result<TomlValue<'a>, SyntaxError> {
        if self.rest.starts_with(['"', '\'']) {
            return Ok(TomlValue::Text(self.text()?));
        }
        if self.take("[") {
            return Ok(TomlValue::List(self.list()?));
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let is_number = word.len() <= 18
            && word.bytes().all(|byte| byte.is_ascii_digit())
            && (word == "0" || !word.starts_with('0'));
        if !word.is_empty() && (is_number || word == "true" || word == "false") {
            self.rest = rest;
            return Ok(TomlValue::Other);
        }
        Err("the value must be a quoted string, or a list of quoted strings in [ ]")
    }

    /// A list may span several lines, with comments.
    fn list(&mut self) -> Result<Vec<&'a str>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            self.skip_empty_lines();
            if self.take("]") {
                return Ok(items);
            }
            if !self.rest.starts_with(['"', '\'']) {
                return Err("the list must have quoted strings, and end with ]");
            }
            items.push(self.text()?);
            self.skip_empty_lines();
            if !self.take(",") && !self.rest.starts_with(']') {
                return Err("`,` or ] is missing in the list");
            }
        }
    }

    /// A bare or quoted key.
    fn key(&mut self, wanted: SyntaxError) -> Result<&'a str, SyntaxError> {
        if self.rest.starts_with(['"', '\'']) {
            return self.text();
        }
        let is_of_key = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let end = self.rest.find(|c| !is_of_key(c)).unwrap_or(self.rest.len());
        let (key, rest) = self.rest.split_at(end);
        self.rest = rest;
        if key.is_empty() { Err(wanted) } else { Ok(key) }
    }

    /// A string in quotes of either kind, on one line and without escapes.
    fn text(&mut self) -> Result<&'a str, SyntaxError> {
        let quote = if self.rest.starts_with('"') { '"' } else { '\'' };
        let inner = &self.rest[1..];
        let end = inner.find([quote, '\n']).unwrap_or(inner.len());
        let (text, rest) = inner.split_at(end);
        let Some(rest) = rest.strip_prefix(quote) else {
            return Err("the closing quote is missing");
        };
        if text.is_empty() && rest.starts_with(quote) {
            return Err("a string cannot have several lines; write it on one line in single quotes");
        }
        if quote == '"' && text.contains('\\') {
            return Err("a string in double quotes cannot have a backslash; use single quotes");
        }
        self.rest = rest;
        Ok(text)
    }
}

impl<'a> Iterator for TomlReader<'a> {
    type Item = (usize, Result<TomlEntry<'a>, SyntaxError>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_empty_lines();
        if self.rest.is_empty() {
            return None;
        }
        let first = self.line;
        let entry = self.entry();
        if entry.is_ok() {
            return Some((first, entry));
        }
        let line = self.line;
        self.skip_line();
        Some((line, entry))
    }
}

/// The lines with a character that TOML forbids everywhere: a control character other than a tab, or a carriage return
/// that does not end a line.
pub(super) fn lines_with_control_characters(text: &str) -> impl Iterator<Item = usize> {
    (1..).zip(text.split_inclusive('\n')).filter_map(|(number, line)| {
        let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t').then_some(number)
    })
}

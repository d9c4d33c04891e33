//! Reading the keys of one table: which are there, which are not known, and of what type they are.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fault::Report;

/// Something read from the file, and the byte where it begins there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: usize,
}

/// One table of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<'a> {
    /// As a message names it.
    name: &'static str,
    entries: &'a DeTable<'a>,
    /// Where its header is.
    pub(crate) at: usize,
}

/// What to write for a key that is missing.
const EXAMPLES: &[(&str, &str)] = &[
    ("audience", "\"maker\", or \"operator\""),
    ("contact", "\"privacy@example.com\""),
    ("format", "1"),
    ("key", "\"frob.command\""),
    ("kind", "\"bool\""),
    ("licence", "\"CC-BY-4.0\""),
    ("max", "100"),
    ("min", "0"),
    ("name", "\"…\""),
    ("on", "[\"run\"]"),
    ("prefixes", "[\"net\"]"),
    ("privacy", "\"https://example.com/privacy\""),
    ("retention_days", "365"),
    ("sentence", "\"The command being used\""),
    ("since", "\"1.0.0\""),
    ("target", "\"the_crate::that_makes_it\""),
    ("until", "\"never\", or the version from which on it is not recorded"),
    ("values", "[\"build\", \"run\"]"),
    ("why", "\"What you will decide with it.\""),
];

impl<'a> Table<'a> {
    pub(crate) fn new(name: &'static str, entries: &'a DeTable<'a>, at: usize) -> Self {
        Self { name, entries, at }
    }

    /// Notes a fault for each key that is not one of `known`.
    pub(crate) fn only(&self, known: &[&str], report: &mut Report<'_>) {
        for key in self.entries.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                report.fault(
                    key.span().start,
                    format!(
                        "`{}` is no key of {}; the keys are {}",
                        key.get_ref().escape_debug(),
                        self.name,
                        known.join(", ")
                    ),
                );
            }
        }
    }

    /// Where a key is written, if it is.
    pub(crate) fn key_at(&self, wanted: &str) -> Option<usize> {
        self.entries.keys().find(|key| key.get_ref() == wanted).map(|key| key.span().start)
    }

    pub(crate) fn optional(&self, wanted: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.entries.iter().find(|(key, _)| key.get_ref() == wanted).map(|(_, value)| value)
    }

    fn required(&self, key: &str, report: &mut Report<'_>) -> Option<&'a Spanned<DeValue<'a>>> {
        let value = self.optional(key);
        if value.is_none() {
            let example =
                EXAMPLES.iter().find(|(name, _)| *name == key).map_or("…", |(_, example)| example);
            report.fault(self.at, format!("{} has no `{key}`; add `{key} = {example}`", self.name));
        }
        value
    }

    /// A text that must be there.
    pub(crate) fn text(&self, key: &str, report: &mut Report<'_>) -> Option<Located<&'a str>> {
        let value = self.required(key, report)?;
        text_of(&format!("`{key}`"), value, report)
    }

    /// A text that must be there and pass a check, which says what is wrong with it.
    pub(crate) fn checked(
        &self,
        key: &str,
        check: fn(&str) -> Result<(), String>,
        report: &mut Report<'_>,
    ) -> Option<Located<&'a str>> {
        let text = self.text(key, report)?;
        match check(text.value) {
            Ok(()) => Some(text),
            Err(complaint) => {
                report.fault(text.at, format!("`{key}` {complaint}"));
                None
            }
        }
    }

    /// One word of a closed list, as its position there.
    pub(crate) fn word(&self, key: &str, words: &[&str], report: &mut Report<'_>) -> Option<Located<usize>> {
        let text = self.text(key, report)?;
        let position = words.iter().position(|word| *word == text.value);
        if position.is_none() {
            report.fault(
                text.at,
                format!("`{key}` is {:?}, which is no {key}; use one of {}", text.value, words.join(", ")),
            );
        }
        position.map(|value| Located { value, at: text.at })
    }

    /// A whole number that must be there.
    pub(crate) fn integer(&self, key: &str, report: &mut Report<'_>) -> Option<Located<i64>> {
        let value = self.required(key, report)?;
        let at = value.span().start;
        let Some(integer) = value.get_ref().as_integer() else {
            wrong_type(&format!("`{key}`"), value, "a whole number", report);
            return None;
        };
        let Ok(number) = i64::from_str_radix(integer.as_str(), integer.radix()) else {
            report.fault(at, format!("`{key}` does not fit into 64 bits; use a smaller number"));
            return None;
        };
        Some(Located { value: number, at })
    }

    /// A list of texts. Where it begins, and those members that are texts.
    pub(crate) fn texts(
        &self,
        key: &str,
        is_required: bool,
        report: &mut Report<'_>,
    ) -> Option<Located<Vec<Located<&'a str>>>> {
        let value = if is_required { self.required(key, report)? } else { self.optional(key)? };
        let Some(array) = value.get_ref().as_array() else {
            wrong_type(&format!("`{key}`"), value, "a list of texts", report);
            return None;
        };
        let member = format!("a member of `{key}`");
        Some(Located {
            at: value.span().start,
            value: array.iter().filter_map(|value| text_of(&member, value, report)).collect(),
        })
    }

    /// The tables of a list that may be missing.
    pub(crate) fn tables(&self, key: &str, name: &'static str, report: &mut Report<'_>) -> Vec<Table<'a>> {
        let Some(value) = self.optional(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let wanted = format!("a list of tables: write {name} for each one");
            wrong_type(&format!("`{key}`"), value, &wanted, report);
            return Vec::new();
        };
        array
            .iter()
            .filter_map(|value| match value.get_ref().as_table() {
                Some(entries) => Some(Table::new(name, entries, value.span().start)),
                None => {
                    wrong_type(&format!("a member of `{key}`"), value, "a table", report);
                    None
                }
            })
            .collect()
    }

    /// A table that may be missing.
    pub(crate) fn table(&self, key: &str, name: &'static str, report: &mut Report<'_>) -> Option<Table<'a>> {
        let value = self.optional(key)?;
        let entries = value.get_ref().as_table();
        if entries.is_none() {
            wrong_type(&format!("`{key}`"), value, &format!("a table: write {name}"), report);
        }
        Some(Table::new(name, entries?, value.span().start))
    }
}

fn text_of<'a>(
    what: &str,
    value: &'a Spanned<DeValue<'a>>,
    report: &mut Report<'_>,
) -> Option<Located<&'a str>> {
    let text = value.get_ref().as_str();
    if text.is_none() {
        wrong_type(what, value, "a text in quotes", report);
    }
    text.map(|text| Located { value: text, at: value.span().start })
}

fn wrong_type(what: &str, value: &Spanned<DeValue<'_>>, wanted: &str, report: &mut Report<'_>) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    report.fault(value.span().start, format!("{what} is {found}; it must be {wanted}"));
}

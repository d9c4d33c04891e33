//! Reads the keys of one table: missing ones, unknown ones, and their types.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::errors::Report;

/// A value from the file, and the byte at which it begins there.
#[derive(Debug, Clone, Copy)]
pub(super) struct PositionedValue<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

/// One table of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    /// The name in error messages.
    name: &'static str,
    entries: &'a DeTable<'a>,
    /// Where a key is looked for that the table does not have, in this order.
    fallbacks: [Option<&'a DeTable<'a>>; 2],
    /// The byte at which its header begins.
    pub(super) at: usize,
}

/// What to write for a missing key.
const EXAMPLES: &[(&str, &str)] = &[
    ("audience", "\"maker\"` or `audience = \"operator\""),
    ("at_most", "8"),
    ("contact", "\"privacy@example.com\""),
    ("format", "1"),
    ("key", "\"frob.command\""),
    ("kind", "\"bool\""),
    ("licence", "\"CC-BY-4.0\""),
    ("max", "100"),
    ("min", "0"),
    ("name", "\"…\""),
    ("of", "[\"frob.command\"]"),
    ("on", "[\"run\"]"),
    ("period", "\"week\""),
    ("prefixes", "[\"net\"]"),
    ("privacy", "\"https://example.com/privacy\""),
    ("releases", "[\"1.0.0\", \"1.1.0\"]"),
    ("retention_days", "365"),
    ("sentence", "\"The command being used\""),
    ("since", "\"1.0.0\""),
    ("target", "\"the_crate::that_makes_it\""),
    ("until", "\"never\"` or `until = \"2.0.0\""),
    ("values", "[\"build\", \"run\"]"),
    ("why", "\"What you will decide with it.\""),
];

impl<'a> Table<'a> {
    pub(super) fn new(name: &'static str, entries: &'a DeTable<'a>, at: usize) -> Self {
        Self { name, entries, fallbacks: [None; 2], at }
    }

    /// The same table, with values for keys that it does not have.
    pub(super) fn with_fallbacks(self, fallbacks: [Option<&'a DeTable<'a>>; 2]) -> Self {
        Self { fallbacks, ..self }
    }

    pub(super) fn entries(&self) -> &'a DeTable<'a> {
        self.entries
    }

    /// Reports each key that is not one of `known`.
    pub(super) fn allow_only(&self, known: &[&str], report: &mut Report<'_>) {
        for key in self.entries.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                report.error(
                    key.span().start,
                    format!(
                        "{} has an unknown key `{}`; the keys are {}",
                        self.name,
                        key.get_ref().escape_debug(),
                        known.join(", ")
                    ),
                );
            }
        }
    }

    /// The byte at which a key begins.
    pub(super) fn key_at(&self, wanted: &str) -> Option<usize> {
        self.entries.keys().find(|key| key.get_ref() == wanted).map(|key| key.span().start)
    }

    /// The byte at which a value begins, or the table if it has no such key.
    pub(super) fn value_at(&self, key: &str) -> usize {
        self.optional(key).map_or(self.at, |value| value.span().start)
    }

    pub(super) fn optional(&self, wanted: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        let tables = [Some(self.entries)].into_iter().chain(self.fallbacks).flatten();
        let mut values = tables.flat_map(DeTable::iter);
        values.find(|(key, _)| key.get_ref() == wanted).map(|(_, value)| value)
    }

    /// A string, if the value is one.
    pub(super) fn text(&self, wanted: &str) -> Option<&'a str> {
        self.optional(wanted).and_then(|value| value.get_ref().as_str())
    }

    fn required(&self, key: &str, report: &mut Report<'_>) -> Option<&'a Spanned<DeValue<'a>>> {
        let value = self.optional(key);
        if value.is_none() {
            let example =
                EXAMPLES.iter().find(|(name, _)| *name == key).map_or("…", |(_, example)| example);
            report.error(self.at, format!("{} has no `{key}`; add `{key} = {example}`", self.name));
        }
        value
    }

    /// A required string.
    pub(super) fn string(&self, key: &str, report: &mut Report<'_>) -> Option<PositionedValue<&'a str>> {
        let value = self.required(key, report)?;
        string_of(&format!("`{key}`"), value, report)
    }

    /// A required string that must pass a check, which returns the error.
    pub(super) fn checked(
        &self,
        key: &str,
        check: fn(&str) -> Result<(), String>,
        report: &mut Report<'_>,
    ) -> Option<PositionedValue<&'a str>> {
        let text = self.string(key, report)?;
        match check(text.value) {
            Ok(()) => Some(text),
            Err(complaint) => {
                report.error(text.at, format!("`{key}` {complaint}"));
                None
            }
        }
    }

    /// A required name from a closed list, as its position there.
    pub(super) fn one_of(
        &self,
        key: &str,
        names: &[&str],
        report: &mut Report<'_>,
    ) -> Option<PositionedValue<usize>> {
        let text = self.string(key, report)?;
        let position = names.iter().position(|name| *name == text.value);
        if position.is_none() {
            report.error(text.at, format!("`{key}` is {:?}; use one of {}", text.value, names.join(", ")));
        }
        position.map(|value| PositionedValue { value, at: text.at })
    }

    /// A required integer.
    pub(super) fn integer(&self, key: &str, report: &mut Report<'_>) -> Option<PositionedValue<i64>> {
        let value = self.required(key, report)?;
        let at = value.span().start;
        let Some(integer) = value.get_ref().as_integer() else {
            wrong_type(&format!("`{key}`"), value, "an integer", report);
            return None;
        };
        let Ok(number) = i64::from_str_radix(integer.as_str(), integer.radix()) else {
            report.error(at, format!("`{key}` does not fit into 64 bits; use a smaller number"));
            return None;
        };
        Some(PositionedValue { value: number, at })
    }

    /// A required number, with or without a decimal point.
    pub(super) fn number(&self, key: &str, report: &mut Report<'_>) -> Option<PositionedValue<f64>> {
        let value = self.required(key, report)?;
        let text = match value.get_ref() {
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            _ => {
                wrong_type(&format!("`{key}`"), value, "a number such as `2.0`", report);
                return None;
            }
        };
        text.parse().ok().map(|number| PositionedValue { value: number, at: value.span().start })
    }

    /// An array of strings: the byte at which it begins, and those items that are strings.
    pub(super) fn strings(
        &self,
        key: &str,
        is_required: bool,
        report: &mut Report<'_>,
    ) -> Option<PositionedValue<Vec<PositionedValue<&'a str>>>> {
        let value = if is_required { self.required(key, report)? } else { self.optional(key)? };
        let Some(array) = value.get_ref().as_array() else {
            wrong_type(&format!("`{key}`"), value, "an array of strings", report);
            return None;
        };
        let member = format!("an item of `{key}`");
        Some(PositionedValue {
            at: value.span().start,
            value: array.iter().filter_map(|value| string_of(&member, value, report)).collect(),
        })
    }

    /// The tables of an optional array.
    pub(super) fn tables(&self, key: &str, name: &'static str, report: &mut Report<'_>) -> Vec<Table<'a>> {
        let Some(value) = self.optional(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let wanted = format!("an array of tables: write {name} for each one");
            wrong_type(&format!("`{key}`"), value, &wanted, report);
            return Vec::new();
        };
        array
            .iter()
            .filter_map(|value| match value.get_ref().as_table() {
                Some(entries) => Some(Table::new(name, entries, value.span().start)),
                None => {
                    wrong_type(&format!("an item of `{key}`"), value, "a table", report);
                    None
                }
            })
            .collect()
    }

    /// An optional table.
    pub(super) fn table(&self, key: &str, name: &'static str, report: &mut Report<'_>) -> Option<Table<'a>> {
        let value = self.optional(key)?;
        let entries = value.get_ref().as_table();
        if entries.is_none() {
            wrong_type(&format!("`{key}`"), value, &format!("a table: write {name}"), report);
        }
        Some(Table::new(name, entries?, value.span().start))
    }
}

fn string_of<'a>(
    what: &str,
    value: &'a Spanned<DeValue<'a>>,
    report: &mut Report<'_>,
) -> Option<PositionedValue<&'a str>> {
    let text = value.get_ref().as_str();
    if text.is_none() {
        wrong_type(what, value, "a string in quotes", report);
    }
    text.map(|text| PositionedValue { value: text, at: value.span().start })
}

fn wrong_type(what: &str, value: &Spanned<DeValue<'_>>, wanted: &str, report: &mut Report<'_>) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    report.error(value.span().start, format!("{what} is {found}; it must be {wanted}"));
}

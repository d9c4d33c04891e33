//! Reads `[defaults]` and `standard`, and completes the entries with them.

use toml::de::DeTable;

use super::errors::Report;
use super::table::Table;
use super::{audience, versions};
use crate::standard::{ENTRIES, STANDARD};

/// What an entry may leave out, because the file or the library says it once.
#[derive(Debug)]
pub(super) struct Defaults<'a> {
    defaults: Option<&'a DeTable<'a>>,
    standard: Vec<Table<'a>>,
}

impl<'a> Defaults<'a> {
    pub(super) fn read(file: &Table<'a>, report: &mut Report<'_>) -> Self {
        let defaults = file.table("defaults", "`[defaults]`", report);
        if let Some(table) = &defaults {
            table.allow_only(&["audience", "since", "until"], report);
            if table.key_at("audience").is_some() {
                audience(table, report);
            }
            let has_both = ["since", "until"].iter().all(|key| table.key_at(key).is_some());
            if has_both {
                versions(table, report);
            }
        }
        Self { defaults: defaults.map(|table| table.entries()), standard: entries() }
    }

    /// A `[[span]]` with the file's defaults.
    pub(super) fn span(&self, table: Table<'a>) -> Table<'a> {
        table.with_fallbacks([self.defaults, None])
    }

    /// A `[[data_point]]` with the file's defaults, and with a ready-made entry if it has the key of one.
    pub(super) fn data_point(&self, table: Table<'a>) -> Table<'a> {
        let standard = table.text("key").and_then(|key| self.find(key));
        table.with_fallbacks([self.defaults, standard.map(|table| table.entries())])
    }

    fn find(&self, key: &str) -> Option<&Table<'a>> {
        self.standard.iter().find(|table| table.text("key") == Some(key))
    }

    /// The data points that `standard` names and that have no entry of their own.
    pub(super) fn included(
        &self,
        file: &Table<'a>,
        own: &[Table<'a>],
        report: &mut Report<'_>,
    ) -> Vec<Table<'a>> {
        let Some(names) = file.strings("standard", false, report) else { return Vec::new() };
        super::list("standard", &names, |_| Ok(()), str::eq, report);
        let mut included = Vec::new();
        for name in &names.value {
            let Some((_, key)) = STANDARD.iter().find(|(known, _)| *known == name.value) else {
                let known = STANDARD.map(|(known, _)| known).join(", ");
                report.error(name.at, format!("`standard` names {:?}; use some of {known}", name.value));
                continue;
            };
            if own.iter().any(|table| table.text("key") == Some(key)) {
                continue;
            }
            if let Some(table) = self.find(key) {
                let empty: &'static DeTable<'static> = Box::leak(Box::default());
                let entry = Table::new("`standard`", empty, name.at);
                included.push(entry.with_fallbacks([self.defaults, Some(table.entries())]));
            }
        }
        let has_since =
            self.defaults.is_some_and(|defaults| defaults.keys().any(|key| key.get_ref() == "since"));
        if !included.is_empty() && !has_since {
            report.error(names.at, "`standard` needs a version; add `[defaults]` with `since = \"1.0.0\"`");
            return Vec::new();
        }
        included
    }
}

/// The ready-made entries.
fn entries<'a>() -> Vec<Table<'a>> {
    let (root, _) = DeTable::parse_recoverable(ENTRIES);
    let root: &'static DeTable<'static> = Box::leak(Box::new(root.into_inner()));
    let mut report = Report::new(ENTRIES);
    Table::new("a ready-made entry", root, 0).tables("data_point", "`[[data_point]]`", &mut report)
}

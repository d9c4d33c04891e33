//! From TOML to a [`Definition`].

use toml::de::DeTable;

use crate::fault::{Faults, Report};
use crate::references::{self, DataPointEntry, SpanEntry};
use crate::table::{Located, Table};
use crate::text;
use crate::{
    Audience, DataPoint, Definition, Kind, Level, MAX_INTEGER_VALUES, MAX_MEMBERS, Publisher, Span, Version,
};

/// What the entries of spans and data points have in common.
const COMMON: [&str; 5] = ["sentence", "why", "audience", "since", "until"];

/// The keys of single kinds.
const KIND_KEYS: &[(&str, &[&str])] = &[
    ("min", &["integer"]),
    ("max", &["integer"]),
    ("values", &["command", "set"]),
    ("prefixes", &["moniker"]),
    ("suffixes", &["moniker"]),
];

impl Definition {
    /// Reads and checks the text of a `telemetry.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place and what to do. Is the text no TOML, then only that.
    ///
    /// # Examples
    /// ```
    /// use tool_telemetry_definition::Definition;
    ///
    /// assert!(Definition::parse("format = 1").unwrap().data_points.is_empty());
    ///
    /// let faults = Definition::parse("format = 1\n\n[publisher]\nname = 7\n").unwrap_err();
    /// assert!(faults.to_string().contains("line 4: `name` is a whole number; it must be a text in quotes"));
    /// ```
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut report = Report::new(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            report.fault(at, format!("this is not TOML: {}", error.message()));
        }
        report.one_a_line();
        let definition = if report.is_clean() {
            read(&Table::new("the file", root.get_ref(), 0), &mut report)
        } else {
            // What was recovered from broken TOML is not what the author wrote; checking it would mislead.
            Self::EMPTY
        };
        report.finish(definition)
    }

    const EMPTY: Self =
        Self { publisher: None, telemetry_command: None, spans: Vec::new(), data_points: Vec::new() };
}

// A faulty value is noted and replaced by one that raises no further fault: the definition is then discarded.

fn read(file: &Table<'_>, report: &mut Report<'_>) -> Definition {
    file.only(&["format", "telemetry_command", "publisher", "span", "data_point"], report);
    if let Some(format) = file.integer("format", report)
        && format.value != 1
    {
        report.fault(
            format.at,
            format!("`format` is {}; this version of tool-telemetry reads format 1", format.value),
        );
    }
    let telemetry_command = file
        .optional("telemetry_command")
        .and_then(|_| file.checked("telemetry_command", text::telemetry_command, report));
    let publisher = file.table("publisher", "`[publisher]`", report).map(|table| publisher(&table, report));
    let spans: Vec<SpanEntry> =
        file.tables("span", "`[[span]]`", report).iter().map(|table| span(table, report)).collect();
    let data_points: Vec<DataPointEntry> = file
        .tables("data_point", "`[[data_point]]`", report)
        .iter()
        .map(|table| data_point(table, report))
        .collect();
    references::check(&spans, &data_points, report);
    Definition {
        publisher,
        telemetry_command: telemetry_command.map(|text| text.value.to_owned()),
        spans: spans.into_iter().map(|entry| entry.span).collect(),
        data_points: data_points.into_iter().map(|entry| entry.data_point).collect(),
    }
}

fn publisher(table: &Table<'_>, report: &mut Report<'_>) -> Publisher {
    table.only(&["name", "contact", "privacy", "retention_days", "licence"], report);
    let retention_days = table.integer("retention_days", report).map_or(1, |days| {
        if !(1..=3650).contains(&days.value) {
            report.fault(days.at, format!("`retention_days` is {}; use 1 to 3650 days", days.value));
        }
        u32::try_from(days.value).unwrap_or(1)
    });
    Publisher {
        name: owned(table.checked("name", text::publisher_name, report)),
        contact: owned(table.checked("contact", text::contact, report)),
        privacy: owned(table.checked("privacy", text::https, report)),
        retention_days,
        licence: owned(table.checked("licence", text::licence, report)),
    }
}

fn owned(text: Option<Located<&str>>) -> String {
    text.map_or_else(String::new, |text| text.value.to_owned())
}

fn span(table: &Table<'_>, report: &mut Report<'_>) -> SpanEntry {
    let mut known = vec!["name", "target", "level"];
    known.extend(COMMON);
    table.only(&known, report);
    let level = table.optional("level").and_then(|_| {
        let words = Level::NAMED.map(|(_, word)| word);
        table.word("level", &words, report)
    });
    let (since, until) = times(table, report);
    SpanEntry {
        at: table.at,
        span: Span {
            name: owned(table.checked("name", text::span_name, report)),
            target: owned(table.checked("target", text::target, report)),
            level: level.map_or(Level::Info, |level| Level::NAMED[level.value].0),
            sentence: owned(table.checked("sentence", text::sentence, report)),
            why: owned(table.checked("why", text::prose, report)),
            audience: audience(table, report).map_or(Audience::Maker, |audience| audience.value),
            since,
            until,
        },
    }
}

fn data_point(table: &Table<'_>, report: &mut Report<'_>) -> DataPointEntry {
    let mut known = vec!["key", "on", "kind"];
    known.extend(KIND_KEYS.iter().map(|(key, _)| *key));
    known.extend(COMMON);
    table.only(&known, report);
    let on = table.texts("on", true, report);
    if let Some(on) = &on {
        list("on", on, |_| Ok(()), str::eq, report);
    }
    let on = on.map_or_else(Vec::new, |on| on.value);
    let key = table.checked("key", text::key, report);
    let audience = audience(table, report);
    let kind = kind(table, report);
    let (since, until) = times(table, report);
    DataPointEntry {
        at: table.at,
        key_at: key.map_or(table.at, |key| key.at),
        kind_at: kind.as_ref().map(|kind| kind.at),
        audience_at: audience.map_or(table.at, |audience| audience.at),
        on_at: on.iter().map(|name| name.at).collect(),
        data_point: DataPoint {
            key: owned(key),
            on: on.iter().map(|name| name.value.to_owned()).collect(),
            sentence: owned(table.checked("sentence", text::sentence, report)),
            why: owned(table.checked("why", text::prose, report)),
            kind: kind.map_or(Kind::Bool, |kind| kind.value),
            audience: audience.map_or(Audience::Operator, |audience| audience.value),
            since,
            until,
        },
    }
}

fn audience(table: &Table<'_>, report: &mut Report<'_>) -> Option<Located<Audience>> {
    let word = table.word("audience", &["maker", "operator"], report)?;
    Some(Located { value: if word.value == 0 { Audience::Maker } else { Audience::Operator }, at: word.at })
}

/// `since` and `until`.
fn times(table: &Table<'_>, report: &mut Report<'_>) -> (Version, Option<Version>) {
    let mut version = |key: &str, or_never: bool| {
        let text = table.text(key, report)?;
        if or_never && text.value == "never" {
            return None;
        }
        let version = Version::parse(text.value);
        if version.is_none() {
            let never = if or_never { ", or `never`" } else { "" };
            report.fault(
                text.at,
                format!(
                    "`{key}` is {:?}, which is no version; write one like `1.2.0` or `1.2.0-rc.1`{never}",
                    text.value
                ),
            );
        }
        version.map(|value| Located { value, at: text.at })
    };
    let since = version("since", false);
    let until = version("until", true);
    if let (Some(since), Some(until)) = (since, until)
        && until.value <= since.value
    {
        report.fault(
            until.at,
            format!(
                "`until` is {}, which is not after `since`, {}; use a later version, or `never`",
                until.value, since.value
            ),
        );
    }
    (since.map_or(Version::ZERO, |since| since.value), until.map(|until| until.value))
}

fn kind(table: &Table<'_>, report: &mut Report<'_>) -> Option<Located<Kind>> {
    let word = table.word("kind", &Kind::NAMES, report)?;
    let name = Kind::NAMES[word.value];
    for (key, kinds) in KIND_KEYS {
        if let Some(at) = table.key_at(key)
            && !kinds.contains(&name)
        {
            report.fault(
                at,
                format!(
                    "`{key}` belongs to the kind {}, and this one is {name}; remove it",
                    kinds.join(" or ")
                ),
            );
        }
    }
    let value = match name {
        "integer" => integer(table, report),
        "exit_code" => Kind::ExitCode,
        "command" => Kind::Command(members(table, "values", true, text::member, report)),
        "set" => Kind::Set(members(table, "values", true, text::member, report)),
        "version" => Kind::Version,
        "moniker" => Kind::Moniker {
            prefixes: members(table, "prefixes", true, text::prefix, report),
            suffixes: members(table, "suffixes", false, text::suffix, report),
        },
        _ => Kind::Bool,
    };
    Some(Located { value, at: word.at })
}

fn integer(table: &Table<'_>, report: &mut Report<'_>) -> Kind {
    let (Some(min), Some(max)) = (table.integer("min", report), table.integer("max", report)) else {
        return Kind::Integer { min: 0, max: 0 };
    };
    let (min, at, max) = (min.value, max.at, max.value);
    if min > max {
        report.fault(at, format!("`max` is {max} and `min` is {min}; `min` must not be greater"));
    } else if max.checked_sub(min).is_none_or(|span| span >= MAX_INTEGER_VALUES) {
        report.fault(
            at,
            format!(
                "{min} to {max} are more than {MAX_INTEGER_VALUES} values; use a narrower range, since many \
                 values tell persons apart"
            ),
        );
    }
    Kind::Integer { min, max }
}

fn members(
    table: &Table<'_>,
    key: &str,
    is_required: bool,
    check: fn(&str) -> Result<(), String>,
    report: &mut Report<'_>,
) -> Vec<String> {
    let Some(members) = table.texts(key, is_required, report) else {
        return Vec::new();
    };
    list(key, &members, check, str::eq_ignore_ascii_case, report);
    if let Some(first) = members.value.get(MAX_MEMBERS) {
        report.fault(
            first.at,
            format!(
                "`{key}` has more than {MAX_MEMBERS} members; leave out the rare ones, they become `other`"
            ),
        );
    }
    members.value.iter().map(|member| member.value.to_owned()).collect()
}

/// What holds for every list: not empty, each member in order, none twice.
fn list(
    key: &str,
    members: &Located<Vec<Located<&str>>>,
    check: impl Fn(&str) -> Result<(), String>,
    is_same: impl Fn(&str, &str) -> bool,
    report: &mut Report<'_>,
) {
    if members.value.is_empty() {
        report.fault(members.at, format!("`{key}` has no member; list at least one, or leave the entry out"));
    }
    for (position, member) in members.value.iter().enumerate() {
        if let Err(complaint) = check(member.value) {
            report.fault(member.at, format!("a member of `{key}` {complaint}"));
        } else if members.value[..position].iter().any(|earlier| is_same(earlier.value, member.value)) {
            report.fault(member.at, format!("`{key}` lists {:?} twice; remove one", member.value));
        }
    }
}

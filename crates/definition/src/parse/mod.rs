//! Parses TOML into [`DataPoints`]: `table` reads keys and types, `checks` checks single strings, `references` checks what
//! entries say about each other, `standard` completes entries with defaults, and `counts` reads what is counted.

mod checks;
mod counts;
mod errors;
mod references;
mod standard;
mod table;

use toml::de::DeTable;

use self::errors::Report;
pub use self::errors::{ParseError, ParseErrors};
use self::references::{DataPointEntry, SpanEntry};
use self::standard::Defaults;
use self::table::{PositionedValue, Table};
use crate::{
    ApprovedSpan, Audience, DEFAULT_EPSILON, DataPoint, DataPoints, Kind, Level, MAX_INTEGER_VALUES,
    MAX_MEMBERS, Publisher, RUN, Times, Version, content_hash,
};

/// The keys that spans and data points have in common.
const COMMON: [&str; 5] = ["sentence", "why", "audience", "since", "until"];

/// The keys and tables of a file.
const FILE_KEYS: [&str; 11] = [
    "format",
    "tool",
    "telemetry_command",
    "times",
    "standard",
    "defaults",
    "publisher",
    "span",
    "data_point",
    "publish",
    "count",
];

/// The keys of single kinds.
const KIND_KEYS: &[(&str, &[&str])] = &[
    ("min", &["integer"]),
    ("max", &["integer"]),
    ("values", &["command", "set"]),
    ("prefixes", &["moniker"]),
    ("suffixes", &["moniker"]),
];

impl DataPoints {
    /// Parses and checks the text of a `telemetry.toml`.
    ///
    /// The result is never freed, because a program parses a file or two and ends. It is as static as a tool's own tables.
    ///
    /// # Errors
    /// All errors, each with its line and what to do. If the text is not TOML, only the TOML errors.
    ///
    /// # Examples
    /// ```
    /// use tool_telemetry_definition::DataPoints;
    ///
    /// assert!(DataPoints::parse("format = 1").unwrap().data_points.is_empty());
    ///
    /// let errors = DataPoints::parse("format = 1\n\n[publisher]\nname = 7\n").unwrap_err();
    /// assert!(errors.to_string().contains("line 4: `name` is an integer; it must be a string in quotes"));
    /// ```
    pub fn parse(text: &str) -> Result<&'static Self, ParseErrors> {
        let mut report = Report::new(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            report.error(
                error.span().map_or(0, |span| span.start),
                format!("invalid TOML: {}", error.message()),
            );
        }
        report.keep_first_per_line();
        // What is recovered from broken TOML is not what the author wrote. Checking it would mislead.
        if report.is_clean() {
            let data_points = file(&Table::new("the file", root.get_ref(), 0), &mut report);
            let data_points = DataPoints { content_hash: String::leak(content_hash(text)), ..data_points };
            if report.is_clean() {
                return Ok(Box::leak(Box::new(data_points)));
            }
        }
        Err(report.finish())
    }
}

// After an error, parsing goes on with a value that causes no further error. The result is then discarded.

fn file(file: &Table<'_>, report: &mut Report<'_>) -> DataPoints {
    file.allow_only(&FILE_KEYS, report);
    if let Some(format) = file.integer("format", report)
        && format.value != 1
    {
        report.error(
            format.at,
            format!(
                "`format` is {}, but this version of tool-telemetry reads only format 1; upgrade it, or write `format = 1`",
                format.value
            ),
        );
    }
    let tool = file.optional("tool").and_then(|_| file.checked("tool", checks::tool, report));
    let telemetry_command = file
        .optional("telemetry_command")
        .and_then(|_| file.checked("telemetry_command", checks::telemetry_command, report));
    let times = file.optional("times").and_then(|_| {
        let names = Times::NAMED.map(|(_, name)| name);
        file.one_of("times", &names, report)
    });
    let publisher = file.table("publisher", "`[publisher]`", report).map(|table| publisher(&table, report));
    let defaults = Defaults::read(file, report);
    let spans: Vec<SpanEntry> = file
        .tables("span", "`[[span]]`", report)
        .into_iter()
        .map(|table| span(&defaults.span(table), report))
        .collect();
    let data_point_tables = file.tables("data_point", "`[[data_point]]`", report);
    let included = defaults.included(file, &data_point_tables, report);
    let own = data_point_tables.into_iter().map(|table| defaults.data_point(table));
    let data_points: Vec<DataPointEntry<'_>> =
        own.chain(included).map(|table| data_point(&table, report)).collect();
    references::check(&spans, &data_points, report);
    let (publication, counts) = counts::read(file, &spans, &data_points, report);
    let positions = |name: &str| {
        let on = data_points.iter().enumerate().filter(|(_, entry)| entry.is_on(name));
        leak(on.map(|(position, _)| position as u8))
    };
    DataPoints {
        tool: tool.map(|text| leak_text(text.value)),
        publisher,
        telemetry_command: telemetry_command.map(|text| leak_text(text.value)),
        times: times.map_or(Times::Hour, |times| Times::NAMED[times.value].0),
        on_run: positions(RUN),
        spans: leak(spans.into_iter().map(|SpanEntry { span, .. }| {
            let data_points = positions(span.name);
            ApprovedSpan { data_points, ..span }
        })),
        data_points: leak(data_points.iter().map(|entry| entry.data_point)),
        period: publication.map(|(period, _)| period),
        epsilon: publication.map_or(DEFAULT_EPSILON, |(_, epsilon)| epsilon),
        counts,
        ..DataPoints::EMPTY
    }
}

fn leak_text(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

fn leak<T>(items: impl Iterator<Item = T>) -> &'static [T] {
    Vec::leak(items.collect())
}

fn text(text: Option<PositionedValue<&str>>) -> &'static str {
    text.map_or("", |text| leak_text(text.value))
}

fn publisher(table: &Table<'_>, report: &mut Report<'_>) -> Publisher {
    table.allow_only(&["name", "contact", "privacy", "retention_days", "licence", "published_at"], report);
    let retention_days = table.integer("retention_days", report).map_or(1, |days| {
        if !(1..=3650).contains(&days.value) {
            report.error(days.at, format!("`retention_days` is {}; use 1 to 3650 days", days.value));
        }
        u32::try_from(days.value).unwrap_or(1)
    });
    let published_at =
        table.optional("published_at").and_then(|_| table.checked("published_at", checks::https, report));
    Publisher {
        name: text(table.checked("name", checks::sentence, report)),
        contact: text(table.checked("contact", checks::contact, report)),
        privacy: text(table.checked("privacy", checks::https, report)),
        retention_days,
        licence: text(table.checked("licence", checks::licence, report)),
        published_at: published_at.map(|url| leak_text(url.value)),
    }
}

fn span(table: &Table<'_>, report: &mut Report<'_>) -> SpanEntry {
    table.allow_only(&[&["name", "target", "level"], &COMMON[..]].concat(), report);
    let level = table.optional("level").and_then(|_| {
        let names = Level::NAMED.map(|(_, name)| name);
        table.one_of("level", &names, report)
    });
    let (since, until) = versions(table, report);
    SpanEntry {
        at: table.at,
        span: ApprovedSpan {
            name: text(table.checked("name", checks::span_name, report)),
            target: text(table.checked("target", checks::target, report)),
            level: level.map_or(Level::Info, |level| Level::NAMED[level.value].0),
            sentence: text(table.checked("sentence", checks::sentence, report)),
            why: text(table.checked("why", checks::prose, report)),
            audience: audience(table, report).map_or(Audience::Maker, |audience| audience.value),
            since,
            until,
            data_points: &[],
        },
    }
}

fn data_point<'a>(table: &Table<'a>, report: &mut Report<'_>) -> DataPointEntry<'a> {
    let kind_keys: Vec<&str> = KIND_KEYS.iter().map(|(key, _)| *key).collect();
    table.allow_only(&[&["key", "on", "kind"], &kind_keys[..], &COMMON].concat(), report);
    let on = table.strings("on", true, report);
    if let Some(on) = &on {
        list("on", on, |_| Ok(()), str::eq, report);
    }
    let key = table.checked("key", checks::key, report);
    let audience = audience(table, report);
    let kind = kind(table, report);
    let (since, until) = versions(table, report);
    // A default is at another place, and a ready-made entry even in another text.
    let own_at = |key: &str, at: Option<usize>| match table.key_at(key) {
        Some(_) => at.unwrap_or(table.at),
        None => table.at,
    };
    DataPointEntry {
        at: table.at,
        key_at: own_at("key", key.map(|key| key.at)),
        kind_at: kind.map(|kind| own_at("kind", Some(kind.at))),
        audience_at: own_at("audience", audience.map(|audience| audience.at)),
        on: on
            .into_iter()
            .flat_map(|on| on.value)
            .map(|name| PositionedValue { at: own_at("on", Some(name.at)), ..name })
            .collect(),
        data_point: DataPoint {
            key: text(key),
            sentence: text(table.checked("sentence", checks::sentence, report)),
            why: text(table.checked("why", checks::prose, report)),
            kind: kind.map_or(Kind::Bool, |kind| kind.value),
            audience: audience.map_or(Audience::Operator, |audience| audience.value),
            since,
            until,
        },
    }
}

fn audience(table: &Table<'_>, report: &mut Report<'_>) -> Option<PositionedValue<Audience>> {
    let name = table.one_of("audience", &["maker", "operator"], report)?;
    Some(PositionedValue {
        value: if name.value == 0 { Audience::Maker } else { Audience::Operator },
        at: name.at,
    })
}

/// `since` and `until`.
fn versions(table: &Table<'_>, report: &mut Report<'_>) -> (Version, Option<Version>) {
    let mut version = |key: &str, or_never: &str| {
        let text = table.string(key, report)?;
        if !or_never.is_empty() && text.value == "never" {
            return None;
        }
        let version = Version::parse(text.value);
        if version.is_none() {
            report.error(
                text.at,
                format!(
                    "`{key}` is {:?}, which is not a version; write one like `1.2.0` or `1.2.0-rc.1`{or_never}",
                    text.value
                ),
            );
        }
        version.map(|version| PositionedValue { value: version.with_three_numbers(), at: text.at })
    };
    let since = version("since", "");
    let until = version("until", ", or `never`");
    if let (Some(since), Some(until)) = (since, until)
        && until.value <= since.value
    {
        report.error(
            until.at,
            format!(
                "`until` is {}, which is not later than `since`, {}; use a later version, or `never`",
                until.value, since.value
            ),
        );
    }
    (since.map_or(Version::new(0, 0, 0), |since| since.value), until.map(|until| until.value))
}

fn kind(table: &Table<'_>, report: &mut Report<'_>) -> Option<PositionedValue<Kind>> {
    let position = table.one_of("kind", &Kind::NAMES, report)?;
    let name = Kind::NAMES[position.value];
    for (key, kinds) in KIND_KEYS {
        if let Some(at) = table.key_at(key)
            && !kinds.contains(&name)
        {
            report.error(
                at,
                format!(
                    "`{key}` is a key of the kind {}, but this data point has the kind {name}; remove it",
                    kinds.join(" or ")
                ),
            );
        }
    }
    let value = match name {
        "bool" => Kind::Bool,
        "integer" => integer(table, report),
        "exit_code" => Kind::ExitCode,
        "command" => Kind::Command(members(table, "values", true, checks::member, report)),
        "set" => Kind::Set(members(table, "values", true, checks::member, report)),
        "version" => Kind::Version,
        "moniker" => Kind::Moniker {
            prefixes: members(table, "prefixes", true, checks::prefix, report),
            suffixes: members(table, "suffixes", false, checks::suffix, report),
        },
        _ => unreachable!("`{name}` is one of `Kind::NAMES`"),
    };
    Some(PositionedValue { value, at: position.at })
}

fn integer(table: &Table<'_>, report: &mut Report<'_>) -> Kind {
    let (Some(min), Some(max)) = (table.integer("min", report), table.integer("max", report)) else {
        return Kind::Integer { min: 0, max: 0 };
    };
    let (min, at, max) = (min.value, max.at, max.value);
    if min > max {
        report.error(at, format!("`max` is {max}, which is less than `min`, {min}; use a greater number"));
    } else if max.checked_sub(min).is_none_or(|span| span >= MAX_INTEGER_VALUES) {
        report.error(
            at,
            format!(
                "{min} to {max} is a range of more than {MAX_INTEGER_VALUES} values, which could tell users apart; \
                 use a narrower one"
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
) -> &'static [&'static str] {
    let Some(members) = table.strings(key, is_required, report) else {
        return &[];
    };
    list(key, &members, check, str::eq_ignore_ascii_case, report);
    if let Some(first) = members.value.get(MAX_MEMBERS) {
        report.error(
            first.at,
            format!("`{key}` has more than {MAX_MEMBERS} items; remove rare ones, which are then recorded as `other`"),
        );
    }
    leak(members.value.iter().map(|member| leak_text(member.value)))
}

/// Checks that a list is not empty, that each item is valid, and that none is listed twice.
fn list(
    key: &str,
    items: &PositionedValue<Vec<PositionedValue<&str>>>,
    check: impl Fn(&str) -> Result<(), String>,
    is_same: impl Fn(&str, &str) -> bool,
    report: &mut Report<'_>,
) {
    if items.value.is_empty() {
        report.error(items.at, format!("`{key}` is empty; list at least one item, or remove the entry"));
    }
    for (position, item) in items.value.iter().enumerate() {
        if let Err(complaint) = check(item.value) {
            report.error(item.at, format!("an item of `{key}` {complaint}"));
        } else if items.value[..position].iter().any(|earlier| is_same(earlier.value, item.value)) {
            report.error(item.at, format!("`{key}` lists {:?} twice; remove one of the two", item.value));
        }
    }
}

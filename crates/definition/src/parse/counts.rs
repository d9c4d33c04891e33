//! Reads `[publish]` and `[[count]]`.

use super::errors::Report;
use super::references::{DataPointEntry, SpanEntry};
use super::table::{PositionedValue, Table};
use super::{leak, leak_text, list};
use crate::{
    Audience, Count, DEFAULT_EPSILON, DataPoint, EPSILONS, ERROR_TYPE, ERROR_TYPES, Kind, MAX_CELLS,
    MAX_COUNTS, MAX_MEMBERS, OTHER, Period, SERVICE_VERSION, Value, Version,
};

/// The name of the spans that are counts.
const COUNT: &str = "count";

/// The period with its ε, and the tables that are counted in it.
pub(super) fn read(
    file: &Table<'_>,
    spans: &[SpanEntry],
    data_points: &[DataPointEntry<'_>],
    report: &mut Report<'_>,
) -> (Option<(Period, f64)>, &'static [Count]) {
    let publish = file.table("publish", "`[publish]`", report);
    let tables = file.tables("count", "`[[count]]`", report);
    let publication = publish.as_ref().and_then(|table| publication(table, report));
    match (&publish, tables.first()) {
        (Some(publish), None) => {
            report.error(
                publish.at,
                "nothing is published without a `[[count]]`; add one, or remove `[publish]`",
            );
        }
        (None, Some(count)) => {
            report.error(count.at, "`[[count]]` needs a period; add `[publish]` with `period = \"week\"`");
        }
        _ => {}
    }
    // A receiver tells a count from a step by its name.
    if let Some(span) = spans.iter().find(|span| span.span.name == COUNT).filter(|_| !tables.is_empty()) {
        report.error(
            span.at,
            "a span is named `count`, as the counts of `[[count]]` are; give it another name",
        );
    }
    let mut counts: Vec<Count> = Vec::new();
    let mut sum = 0_u32;
    for table in &tables {
        let count = Reader { spans, data_points, table }.count(report);
        let keys = || count.of.iter().copied();
        if !count.of.is_empty() && counts.iter().any(|earlier| earlier.has_keys(keys())) {
            report.error(
                table.at,
                "another `[[count]]` has the same keys in `of`; remove one, because a count is told from others by its keys",
            );
        }
        let before = sum;
        sum += u32::from(count.at_most);
        let most = u32::from(MAX_COUNTS);
        if before <= most && sum > most {
            report.error(
                table.value_at("at_most"),
                format!("`at_most` of all tables together is more than {MAX_COUNTS} from here on; lower it in some"),
            );
        }
        counts.push(count);
    }
    (publication, leak(counts.into_iter()))
}

fn publication(table: &Table<'_>, report: &mut Report<'_>) -> Option<(Period, f64)> {
    table.allow_only(&["period", "epsilon"], report);
    let epsilon = table.optional("epsilon").and_then(|_| table.number("epsilon", report));
    if let Some(epsilon) = epsilon.filter(|epsilon| !EPSILONS.contains(&epsilon.value)) {
        report.error(
            epsilon.at,
            format!("`epsilon` is {}; use {} to {}", epsilon.value, EPSILONS.start(), EPSILONS.end()),
        );
    }
    let position = table.one_of("period", &Period::NAMED.map(|(_, name)| name), report)?;
    Some((Period::NAMED[position.value].0, epsilon.map_or(DEFAULT_EPSILON, |epsilon| epsilon.value)))
}

/// Reads one `[[count]]`.
struct Reader<'a> {
    spans: &'a [SpanEntry],
    data_points: &'a [DataPointEntry<'a>],
    table: &'a Table<'a>,
}

impl Reader<'_> {
    fn count(&self, report: &mut Report<'_>) -> Count {
        let table = self.table;
        table.allow_only(&["of", "at_most", "releases", "values"], report);
        let of = table.strings("of", true, report);
        if let Some(of) = &of {
            list("of", of, |_| Ok(()), str::eq, report);
        }
        let of = of.map_or_else(Vec::new, |of| of.value);
        let at_most = table.integer("at_most", report).map_or(1, |most| {
            if (1..=i64::from(MAX_COUNTS)).contains(&most.value) {
                return most.value as u8;
            }
            report.error(most.at, format!("`at_most` is {}; use 1 to {MAX_COUNTS}", most.value));
            1
        });
        for key in &of {
            self.check_key(key, report);
        }
        self.check_crossing(&of, report);
        let releases = self.releases(&of, report);
        let values = self.values(&of, report);
        self.check_size(&of, releases.len(), values.len(), report);
        Count { of: leak(of.iter().map(|key| leak_text(key.value))), at_most, releases, values }
    }

    fn entry(&self, key: &str) -> Option<&DataPointEntry<'_>> {
        self.data_points.iter().find(|entry| entry.data_point.key == key)
    }

    fn data_points_of(&self, of: &[PositionedValue<&str>]) -> impl Iterator<Item = &DataPointEntry<'_>> {
        of.iter().filter_map(|key| self.entry(key.value))
    }

    fn check_key(&self, key: &PositionedValue<&str>, report: &mut Report<'_>) {
        if [ERROR_TYPE, SERVICE_VERSION].contains(&key.value) {
            return;
        }
        match self.entry(key.value) {
            None => report.error(
                key.at,
                format!(
                    "`of` names {:?}, which is not a data point of this file; add a `[[data_point]]` for it, or use \
                     {ERROR_TYPE} or {SERVICE_VERSION}",
                    key.value
                ),
            ),
            Some(entry) if entry.data_point.audience == Audience::Operator => report.error(
                key.at,
                format!("`of` names {:?}, which only operators receive; count what the maker receives", key.value),
            ),
            Some(_) => {}
        }
    }

    /// A cell has attributes of the run, and of one span in it.
    fn check_crossing(&self, of: &[PositionedValue<&str>], report: &mut Report<'_>) {
        let is_for_maker = |span: &&SpanEntry| span.span.audience == Audience::Maker;
        let mut below = self.data_points_of(of).filter(|entry| !entry.is_on(crate::RUN)).peekable();
        if below.peek().is_none() || of.iter().any(|key| !self.is_countable(key.value)) {
            return;
        }
        let below: Vec<_> = below.collect();
        let has_all = |span: &SpanEntry| below.iter().all(|entry| entry.is_on(span.span.name));
        if !self.spans.iter().filter(is_for_maker).any(has_all) {
            report.error(
                self.table.value_at("of"),
                "`of` crosses data points that no single span has; name those of the run, and of one span that the maker \
                 receives",
            );
        }
    }

    fn is_countable(&self, key: &str) -> bool {
        [ERROR_TYPE, SERVICE_VERSION].contains(&key)
            || self.entry(key).is_some_and(|entry| entry.data_point.audience == Audience::Maker)
    }

    fn releases(&self, of: &[PositionedValue<&str>], report: &mut Report<'_>) -> &'static [&'static str] {
        let is_needed = of.iter().any(|key| key.value == SERVICE_VERSION);
        if !is_needed {
            self.refuse("releases", &format!("only {SERVICE_VERSION} is counted against releases"), report);
            return &[];
        }
        self.strings("releases", report, |text| {
            Version::parse(text)
                .map(|_| ())
                .ok_or_else(|| format!("is {text:?}, which is not a version; write one like `1.2.0`"))
        })
    }

    /// The values of the open data point, if there is one.
    fn values(&self, of: &[PositionedValue<&str>], report: &mut Report<'_>) -> &'static [&'static str] {
        let mut open = self.data_points_of(of).filter(|entry| entry.data_point.kind.is_open());
        let Some(first) = open.next() else {
            let reason = "every data point in `of` has a closed list, all of which is counted";
            self.refuse("values", reason, report);
            return &[];
        };
        if let Some(second) = open.next() {
            report.error(
                self.table.value_at("of"),
                format!(
                    "{} and {} both have no closed list, but a table has one list of `values`; count them in two tables",
                    first.data_point.key, second.data_point.key
                ),
            );
            return &[];
        }
        let data_point = first.data_point;
        self.strings("values", report, |text| {
            if is_value_of(&data_point, text) {
                return Ok(());
            }
            Err(format!("is {text:?}, which {} is never recorded as; write it as it is sent", data_point.key))
        })
    }

    fn strings(
        &self,
        key: &str,
        report: &mut Report<'_>,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> &'static [&'static str] {
        let Some(items) = self.table.strings(key, true, report) else { return &[] };
        list(key, &items, check, str::eq, report);
        if let Some(first) = items.value.get(MAX_MEMBERS) {
            let rest = "remove rare ones, which are then counted as `other`";
            report.error(first.at, format!("`{key}` has more than {MAX_MEMBERS} items; {rest}"));
        }
        leak(items.value.iter().map(|item| leak_text(item.value)))
    }

    fn refuse(&self, key: &str, reason: &str, report: &mut Report<'_>) {
        if let Some(at) = self.table.key_at(key) {
            report.error(at, format!("`{key}` has no use here, because {reason}; remove it"));
        }
    }

    fn check_size(
        &self,
        of: &[PositionedValue<&str>],
        releases: usize,
        values: usize,
        report: &mut Report<'_>,
    ) {
        let size = |key: &PositionedValue<&str>| match key.value {
            ERROR_TYPE => ERROR_TYPES.len(),
            SERVICE_VERSION => releases + 1,
            key => {
                let data_point = self.entry(key).map(|entry| entry.data_point);
                data_point.map_or(1, |data_point| data_point.kind.count_values().unwrap_or(values + 1))
            }
        };
        let cells = of.iter().map(size).fold(1, usize::saturating_mul);
        if cells > MAX_CELLS {
            report.error(
                self.table.value_at("of"),
                format!("this table has {cells} cells, but noise drowns more than {MAX_CELLS}; count fewer keys or values"),
            );
        }
    }
}

/// Whether a data point without a closed list is recorded as this text.
fn is_value_of(data_point: &DataPoint, text: &str) -> bool {
    if data_point.kind == Kind::ExitCode {
        // The exit codes of every platform, because the tool may run on another one.
        let range = i64::from(i32::MIN)..=i64::from(u32::MAX);
        return text.parse::<i64>().is_ok_and(|code| range.contains(&code) && code.to_string() == text);
    }
    let mut rendered = String::new();
    data_point.admit_text(text).is_some_and(|value| {
        value != Value::Other && data_point.render(&value, &mut rendered).is_ok() && rendered == text
    }) && text != OTHER
}

//! A section of the page: one table of the releases, with its charts.

use serde_json::Value;
use tool_telemetry_definition::{DataPoints, ERROR_TYPE, Kind, SERVICE_VERSION};

use super::chart::{self, Plot, Point, Unit};
use super::labels;
use super::series::{Number, Row, SeriesTable};
use super::timeline::Timeline;

/// Numbers on the page, about 10 bytes each. Older periods are only in the files.
const MAX_NUMBERS: usize = 11_000;

/// One table of the releases.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) slug: String,
    pub(super) title: String,
    pub(super) keys: Vec<String>,
    pub(super) why: Option<&'static str>,
    pub(super) at_most: u32,
    /// The newest period with this table, if that is not the newest of all.
    pub(super) ended: Option<String>,
    pub(super) charts: Vec<Chart>,
}

/// A chart, with the same numbers as a table.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) takeaway: String,
    pub(super) unit: Unit,
    pub(super) plot: Option<Plot>,
    pub(super) bars: Vec<Bar>,
    pub(super) more_lines: usize,
    pub(super) periods: Vec<GridRow>,
    pub(super) older: usize,
}

/// A value in the newest period.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    /// Percent of the greatest.
    pub(super) width: Option<f64>,
    pub(super) number: String,
    pub(super) detail: String,
    pub(super) small: Option<String>,
}

/// A period with one number for each bar, newest first.
#[derive(Debug)]
pub(super) struct GridRow {
    pub(super) days: String,
    pub(super) mark: &'static str,
    pub(super) numbers: Vec<String>,
}

/// One value over time, before it is drawn.
struct Series<'a> {
    name: String,
    points: Vec<Point>,
    detail: String,
    order: (bool, &'a [Value]),
}

/// All sections, in the order of the tables.
pub(super) fn sections(
    definition: &DataPoints,
    timeline: &Timeline<'_>,
    tables: &[SeriesTable],
) -> Vec<Section> {
    let columns: usize = tables.iter().map(|table| table.rows.len()).sum();
    let rows = (MAX_NUMBERS / columns.max(1)).max(13);
    tables.iter().map(|table| section(definition, timeline, tables, table, rows)).collect()
}

fn section(
    definition: &DataPoints,
    timeline: &Timeline<'_>,
    tables: &[SeriesTable],
    table: &SeriesTable,
    rows: usize,
) -> Section {
    let subject: Vec<&str> = table.of.iter().map(String::as_str).filter(|key| *key != ERROR_TYPE).collect();
    let whole = tables.iter().find(|whole| {
        table.of.contains(&ERROR_TYPE.to_owned())
            && whole.of.iter().map(String::as_str).eq(subject.iter().copied())
    });
    let context = Context { definition, timeline, rows, newest: table.newest };
    let title = match (whole, table.of.as_slice()) {
        (Some(_), _) => format!("How often it failed, by {}", words(&subject)),
        (None, [key]) => sentence(definition, key).to_owned(),
        (None, keys) => {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            format!("Installations by {}", words(&keys))
        }
    };
    let charts = match whole {
        Some(whole) => failures(&context, table, whole),
        None => vec![context.chart(&table.of, String::new(), Unit::Installations, counted(table))],
    };
    Section {
        slug: table.slug(),
        title,
        why: table.of.iter().find_map(|key| Some(definition.keyed(key)?.why)),
        keys: table.of.clone(),
        at_most: table.at_most,
        ended: (Some(table.newest) != timeline.newest())
            .then(|| labels::days(&timeline.periods[table.newest])),
        charts,
    }
}

/// What a key means, in one line.
fn sentence<'a>(definition: &DataPoints, key: &'a str) -> &'a str {
    let listed = definition.keyed(key).map(|data_point| data_point.sentence);
    listed.or_else(|| labels::library_sentence(key)).unwrap_or(key).trim_end_matches('.')
}

/// `command and version`
fn words(keys: &[&str]) -> String {
    keys.iter().map(|key| labels::key(key)).collect::<Vec<_>>().join(" and ")
}

fn counted(table: &SeriesTable) -> Vec<Series<'_>> {
    let series = table.rows.iter().map(|row| Series {
        name: name(&table.of, &row.values),
        points: row.numbers.iter().map(|number| point(*number)).collect(),
        detail: String::new(),
        order: (row.values.iter().any(labels::is_other), &row.values),
    });
    series.collect()
}

fn point(number: Number) -> Point {
    match number {
        Number::NotCounted => Point::Missing,
        Number::Below(threshold) => Point::Below(threshold as f64),
        Number::Shown(number) => Point::Shown(number as f64),
    }
}

fn name(keys: &[String], values: &[Value]) -> String {
    let names: Vec<String> = keys.iter().zip(values).map(|(key, value)| labels::value(key, value)).collect();
    names.join(" · ")
}

/// One chart for each way to fail: of the installations that did something, on how many it failed at least once.
fn failures(context: &Context<'_>, table: &SeriesTable, whole: &SeriesTable) -> Vec<Chart> {
    let at = table.of.iter().position(|key| key == ERROR_TYPE).unwrap_or_default();
    let mut kinds: Vec<&Value> = Vec::new();
    for row in &table.rows {
        if !kinds.contains(&&row.values[at]) {
            kinds.push(&row.values[at]);
        }
    }
    let charts = kinds.into_iter().map(|kind| {
        let of_kind = table.rows.iter().filter(|row| row.values[at] == *kind);
        let series = of_kind.filter_map(|failed| {
            let subject: Vec<Value> = failed
                .values
                .iter()
                .enumerate()
                .filter(|(key, _)| *key != at)
                .map(|(_, value)| value.clone())
                .collect();
            let all = whole.row(&subject)?;
            let shares = failed.numbers.iter().zip(&all.numbers).map(|(failed, all)| share(*failed, *all));
            Some(Series {
                name: name(&whole.of, &all.values),
                points: shares.collect(),
                detail: of_all(failed, all, context.newest),
                order: (all.values.iter().any(labels::is_other), &all.values),
            })
        });
        let kind = kind.as_str().unwrap_or_default();
        context.chart(&table.of, capitalised(labels::error_type(kind)), Unit::Percent, series.collect())
    });
    charts.collect()
}

/// Noise may make a part greater than the whole.
fn share(part: Number, whole: Number) -> Point {
    let percent = |part: u64, whole: u64| (part as f64 / whole as f64 * 100.0).min(100.0);
    match (part, whole) {
        (_, Number::NotCounted | Number::Below(_) | Number::Shown(0)) | (Number::NotCounted, _) => {
            Point::Missing
        }
        (Number::Below(part), Number::Shown(whole)) => Point::Below(percent(part, whole)),
        (Number::Shown(part), Number::Shown(whole)) => Point::Shown(percent(part, whole)),
    }
}

fn of_all(failed: &Row, all: &Row, newest: usize) -> String {
    let text = |number| match number {
        Number::NotCounted => "not counted".to_owned(),
        Number::Below(threshold) => format!("fewer than {}", labels::number(threshold)),
        Number::Shown(number) => labels::number(number),
    };
    format!("{} of {}", text(failed.numbers[newest]), text(all.numbers[newest]))
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// What all charts of a section have in common.
struct Context<'a> {
    definition: &'a DataPoints,
    timeline: &'a Timeline<'a>,
    rows: usize,
    newest: usize,
}

impl Context<'_> {
    fn chart(&self, of: &[String], title: String, unit: Unit, mut series: Vec<Series<'_>>) -> Chart {
        self.sort(of, &mut series);
        let newest = |series: &Series<'_>| series.points[self.newest];
        let greatest = series.iter().filter_map(|series| newest(series).shown()).fold(0.0, f64::max);
        let bars = series.iter().map(|series| Bar {
            name: series.name.clone(),
            width: newest(series).shown().filter(|_| greatest > 0.0).map(|value| value / greatest * 100.0),
            number: text(unit, newest(series)),
            detail: series.detail.clone(),
            small: chart::small(self.timeline, &series.points),
        });
        let with_line: Vec<(&str, &[Point])> = series
            .iter()
            .filter(|series| series.points.iter().any(|point| point.shown().is_some()))
            .map(|series| (series.name.as_str(), series.points.as_slice()))
            .collect();
        let plot = chart::plot(self.timeline, &with_line, unit);
        let all = self.timeline.periods.iter().enumerate().rev();
        let periods = all.take(self.rows).map(|(position, period)| GridRow {
            days: labels::day(period.start),
            mark: match period.release {
                None => "withdrawn",
                Some(release) if release.number > 1 => "corrected",
                Some(_) => "",
            },
            numbers: series.iter().map(|series| grid_text(unit, series.points[position])).collect(),
        });
        Chart {
            title,
            takeaway: self.takeaway(unit, &series),
            unit,
            plot,
            bars: bars.collect(),
            more_lines: with_line.len().saturating_sub(chart::MAX_LINES),
            periods: periods.collect(),
            older: self.timeline.periods.len().saturating_sub(self.rows),
        }
    }

    /// Versions, newest first; numbers, smallest first; all else by the newest number. `other` comes last.
    fn sort(&self, of: &[String], series: &mut [Series<'_>]) {
        let is_version = of.first().is_some_and(|key| {
            key == SERVICE_VERSION
                || self.definition.keyed(key).is_some_and(|data_point| data_point.kind == Kind::Version)
        });
        let is_integer = series.iter().all(|series| matches!(series.order.1, [Value::Number(_)]));
        if is_version {
            // Their list is from old to new.
            series.reverse();
            series.sort_by_key(|series| series.order.0);
        } else if is_integer {
            series.sort_by_key(|series| series.order.1[0].as_i64());
        } else {
            let rank = |series: &Series<'_>| match series.points[self.newest] {
                Point::Shown(value) => value,
                Point::Below(_) => -1.0,
                Point::Missing => -2.0,
            };
            series.sort_by(|a, b| a.order.0.cmp(&b.order.0).then_with(|| rank(b).total_cmp(&rank(a))));
        }
    }

    /// The newest period in one sentence.
    fn takeaway(&self, unit: Unit, series: &[Series<'_>]) -> String {
        let period = &self.timeline.periods[self.newest];
        let when = format!("in the {} of {}", labels::period_noun(period.days), labels::days(period));
        let greatest = series
            .iter()
            .filter(|series| !series.order.0)
            .filter_map(|series| Some((series.points[self.newest].shown()?, &series.name)))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((value, name)) = greatest else {
            return format!("Every number {when} was too small to be shown.");
        };
        let number = unit.label(value);
        match unit {
            Unit::Installations => format!("{name}: on {number} installations {when}, more than any other."),
            Unit::Percent => {
                format!(
                    "{name} most often: at least once on {number} of the installations that used it, {when}."
                )
            }
        }
    }
}

fn text(unit: Unit, point: Point) -> String {
    match point {
        Point::Missing => "not counted".to_owned(),
        Point::Below(bound) if unit == Unit::Installations => format!("fewer than {}", unit.label(bound)),
        Point::Below(bound) => format!("less than {}", unit.label(bound)),
        Point::Shown(value) => unit.label(value),
    }
}

fn grid_text(unit: Unit, point: Point) -> String {
    match point {
        Point::Missing => "–".to_owned(),
        Point::Below(bound) => format!("<{}", unit.label(bound)),
        Point::Shown(value) => unit.label(value),
    }
}

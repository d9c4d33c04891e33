//! The page. Its template escapes every text.

use std::io;

use askama::Template;
use jiff::civil::Date;
use tool_telemetry_definition::{Audience, DataPoint, DataPoints, Kind, Publisher, tool_variable};

use super::chart::Unit;
use super::data_table::DataTable;
use super::section::{Section, sections};
use super::series::SeriesTable;
use super::timeline::Timeline;
use super::{Site, invalid, labels, metadata};

/// Characters of a label at the end of a line. The table below the chart has the whole name.
const MAX_LABEL: usize = 19;

#[derive(Debug, Template)]
#[template(path = "site/index.html")]
struct Page<'a> {
    tool: &'a str,
    publisher: &'a Publisher,
    warning: Option<&'a str>,
    promise: &'a str,
    json_ld: &'a str,
    licence_url: String,
    credit: String,
    newest: Option<NewestRelease>,
    period_noun: &'static str,
    /// What the tables are about, in a few words.
    subjects: String,
    sections: Vec<Section>,
    groups: Vec<Group>,
    opt_outs: Vec<String>,
    telemetry_command: Option<&'a str>,
    events: Vec<Event>,
    files: Vec<DataFiles<'a>>,
    has_ledger: bool,
}

/// What the newest release says of itself.
#[derive(Debug)]
struct NewestRelease {
    days: String,
    noun: &'static str,
    released: String,
    first: String,
    periods: usize,
    threshold: String,
    /// Two standard deviations of the noise, and half of what rounding to 5 adds.
    deviation: String,
    counts_per_installation: u32,
    rejected: String,
}

/// A correction or a withdrawal.
#[derive(Debug)]
struct Event {
    period: String,
    what: &'static str,
    day: String,
    reason: String,
}

#[derive(Debug)]
struct DataFiles<'a> {
    name: &'a str,
    title: &'a str,
    rows: String,
}

/// Data points of the run, or of one kind of span.
#[derive(Debug)]
struct Group {
    title: String,
    why: Option<&'static str>,
    data_points: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: &'static str,
    sentence: &'static str,
    why: &'static str,
    values: String,
    use_of_it: &'static str,
}

pub(super) fn render(
    site: &Site<'_>,
    description: &metadata::Description<'_>,
    tables: &[SeriesTable],
    json_ld: &str,
) -> io::Result<String> {
    let timeline = description.timeline;
    let is_known = timeline.releases().any(|(_, release)| release.noise_is_known);
    let page = Page {
        tool: site.tool,
        publisher: description.publisher,
        warning: site.warning.or(is_known
            .then_some("The noise of these numbers is known. They are a test, and must not be published.")),
        promise: site.promise,
        json_ld,
        licence_url: metadata::licence_url(description.publisher.licence),
        credit: description.credit(),
        newest: newest(timeline),
        period_noun: timeline.periods.last().map_or("period", |period| labels::period_noun(period.days)),
        subjects: subjects(tables),
        sections: sections(site.definition, timeline, tables),
        groups: groups(site.definition),
        opt_outs: opt_outs(site),
        telemetry_command: site.definition.telemetry_command(),
        events: events(timeline),
        files: description.tables.iter().map(data_files).collect(),
        has_ledger: !site.ledger.is_empty(),
    };
    let text = page.render().map_err(|error| invalid(format!("the page: {error}")))?;
    // Lines that only held instructions of the template.
    Ok(text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect())
}

/// `command, failure, framework, and version`
fn subjects(tables: &[SeriesTable]) -> String {
    let mut words: Vec<String> = Vec::new();
    for key in tables.iter().flat_map(|table| &table.of) {
        let word = labels::key(key);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    match words.as_slice() {
        [first, second] => format!("{first} and {second}"),
        [rest @ .., last] if !rest.is_empty() => format!("{}, and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

fn newest(timeline: &Timeline<'_>) -> Option<NewestRelease> {
    let position = timeline.newest()?;
    let period = &timeline.periods[position];
    let release = period.release?;
    let thresholds = || release.tables.iter().map(|table| table.threshold);
    let (least, most) = (thresholds().min().unwrap_or_default(), thresholds().max().unwrap_or_default());
    Some(NewestRelease {
        days: labels::days(period),
        noun: labels::period_noun(period.days),
        released: day(&release.released),
        first: labels::day(timeline.periods.first()?.start),
        periods: timeline.releases().count(),
        threshold: if least == most { labels::number(least) } else { format!("{least} to {most}") },
        deviation: labels::number((2.0 * release.privacy.sigma + 2.5).round() as u64),
        counts_per_installation: release.privacy.counts_per_installation,
        rejected: labels::magnitude(release.rejected),
    })
}

/// A day of a release as the page writes it.
fn day(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), |date: Date| labels::day(date))
}

fn events(timeline: &Timeline<'_>) -> Vec<Event> {
    let mut events = Vec::new();
    for period in timeline.periods.iter().rev() {
        let days = labels::days(period);
        if let Some(release) = period.release
            && let Some(correction) = &release.correction
        {
            events.push(Event {
                period: days.clone(),
                what: "corrected",
                day: day(&release.released),
                reason: correction.clone(),
            });
        }
        events.extend(period.withdrawals.iter().map(|withdrawal| Event {
            period: days.clone(),
            what: if period.release.is_some() { "release withdrawn" } else { "withdrawn" },
            day: day(&withdrawal.withdrawn),
            reason: withdrawal.reason.clone(),
        }));
    }
    events
}

fn data_files(table: &DataTable) -> DataFiles<'_> {
    DataFiles { name: &table.name, title: &table.title, rows: labels::number(table.rows() as u64) }
}

fn opt_outs(site: &Site<'_>) -> Vec<String> {
    let own = site.opt_out_vars.iter().map(|name| format!("{name}=1"));
    own.chain([format!("{}=off", tool_variable(site.tool)), "DO_NOT_TRACK=1".to_owned()]).collect()
}

/// What the publisher may receive. What only an operator gets is none of the public's business.
fn groups(definition: &DataPoints) -> Vec<Group> {
    let entries = |positions| {
        let for_maker = definition.at(positions).filter(|data_point| data_point.audience == Audience::Maker);
        for_maker.map(|data_point| entry(definition, data_point)).collect()
    };
    let run = Group { title: "Of each run".to_owned(), why: None, data_points: entries(definition.on_run) };
    let for_maker = definition.spans.iter().filter(|span| span.audience == Audience::Maker);
    let spans = for_maker.map(|span| Group {
        title: span.sentence.to_owned(),
        why: Some(span.why),
        data_points: entries(span.data_points),
    });
    std::iter::once(run)
        .chain(spans)
        .filter(|group| group.why.is_some() || !group.data_points.is_empty())
        .collect()
}

fn entry(definition: &DataPoints, data_point: &'static DataPoint) -> Entry {
    let is_counted = definition.counts.iter().any(|count| count.of.contains(&data_point.key));
    Entry {
        key: data_point.key,
        sentence: data_point.sentence,
        why: data_point.why,
        values: values(&data_point.kind),
        use_of_it: if is_counted { "published here" } else { "for the publisher only, not published" },
    }
}

/// What a data point may be, for someone who does not program.
fn values(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "yes or no".to_owned(),
        Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Kind::ExitCode => "an exit code".to_owned(),
        Kind::Command(values) | Kind::Set(values) => format!("{}, or other", values.join(", ")),
        Kind::Version => "a version".to_owned(),
        Kind::Moniker { prefixes, .. } => format!("one of {}, with a version, or other", prefixes.join(", ")),
    }
}

/// A position in percent, to a tenth.
fn tenth(percent: &f64) -> String {
    let text = format!("{percent:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A name that fits at the end of a line.
fn clipped(name: &str) -> String {
    if name.chars().count() <= MAX_LABEL {
        return name.to_owned();
    }
    name.chars().take(MAX_LABEL - 1).chain(['…']).collect()
}

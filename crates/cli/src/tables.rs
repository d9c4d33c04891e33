//! A definition as the tables that the library reads run files with. In a tool they are static and made at compile
//! time; here they are made once and live as long as the program.

use tool_telemetry::__private::{ApprovedSpan, DataPoint, Kind, Level};
use tool_telemetry::{Audience, DataPoints, Publisher, Version};
use tool_telemetry_definition as definition;
use tool_telemetry_definition::{Definition, RUN};

/// The tables of a definition.
pub(crate) fn tables(definition: &Definition) -> &'static DataPoints {
    let publisher = definition.publisher.as_ref().map(|publisher| {
        Publisher::new(
            text(&publisher.name),
            text(&publisher.contact),
            text(&publisher.privacy),
            publisher.retention_days,
            text(&publisher.licence),
        )
    });
    let spans = definition.spans.iter().map(|span| ApprovedSpan {
        name: text(&span.name),
        target: text(&span.target),
        level: level(span.level),
        sentence: text(&span.sentence),
        why: text(&span.why),
        audience: audience(span.audience),
        since: version(span.since),
        until: span.until.map(version),
        data_points: positions(&definition.data_points, &span.name),
    });
    let data_points = definition.data_points.iter().map(|data_point| DataPoint {
        key: text(&data_point.key),
        sentence: text(&data_point.sentence),
        why: text(&data_point.why),
        kind: kind(&data_point.kind),
        audience: audience(data_point.audience),
        since: version(data_point.since),
        until: data_point.until.map(version),
    });
    Box::leak(Box::new(DataPoints {
        publisher,
        telemetry_command: definition.telemetry_command.as_deref().map(text),
        spans: list(spans),
        data_points: list(data_points),
        on_run: positions(&definition.data_points, RUN),
    }))
}

/// A text that lives as long as the program.
fn text(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

fn list<T>(entries: impl Iterator<Item = T>) -> &'static [T] {
    Vec::leak(entries.collect())
}

fn texts(members: &[String]) -> &'static [&'static str] {
    list(members.iter().map(|member| text(member)))
}

/// The positions of the data points that a span of this name may have. There are at most 64.
fn positions(data_points: &[definition::DataPoint], span: &str) -> &'static [u8] {
    let on = data_points.iter().enumerate().filter(|(_, data_point)| data_point.is_on(span));
    list(on.filter_map(|(position, _)| u8::try_from(position).ok()))
}

fn kind(kind: &definition::Kind) -> Kind {
    match kind {
        definition::Kind::Bool => Kind::Bool,
        definition::Kind::Integer { min, max } => Kind::Integer { min: *min, max: *max },
        definition::Kind::ExitCode => Kind::ExitCode,
        definition::Kind::Command(members) => Kind::Command(texts(members)),
        definition::Kind::Set(members) => Kind::Set(texts(members)),
        definition::Kind::Version => Kind::Version,
        definition::Kind::Moniker { prefixes, suffixes } => {
            Kind::Moniker { prefixes: texts(prefixes), suffixes: texts(suffixes) }
        }
    }
}

fn audience(audience: definition::Audience) -> Audience {
    match audience {
        definition::Audience::Maker => Audience::Maker,
        definition::Audience::Operator => Audience::Operator,
    }
}

fn level(level: definition::Level) -> Level {
    match level {
        definition::Level::Error => Level::ERROR,
        definition::Level::Warn => Level::WARN,
        definition::Level::Info => Level::INFO,
        definition::Level::Debug => Level::DEBUG,
        definition::Level::Trace => Level::TRACE,
    }
}

fn version(version: definition::Version) -> Version {
    let [major, minor, patch] = version.numbers();
    let numbers = Version::new(major, minor, patch);
    match version.stage() {
        None => numbers,
        Some((stage, number)) => numbers.before_release(stage as usize, number),
    }
}

//! The source of the tables that the library reads at run time.

use std::fmt::Write as _;

use tool_telemetry_definition::{Audience, DataPoint, Definition, Kind, Level, RUN, Span, Stage, Version};

/// A constant expression of the type `tool_telemetry::DataPoints`.
///
/// `file` is named in the source, so that the compiler knows that the result depends on it.
pub(crate) fn expression(definition: &Definition, file: &str) -> String {
    let publisher = definition.publisher.as_ref().map(|publisher| {
        format!(
            "::tool_telemetry::Publisher::new({:?}, {:?}, {:?}, {}, {:?})",
            publisher.name, publisher.contact, publisher.privacy, publisher.retention_days, publisher.licence
        )
    });
    let spans = list(&definition.spans, |entry| span(entry, &definition.data_points));
    let data_points = list(&definition.data_points, data_point);
    format!(
        "{{ const _: &str = ::core::include_str!({file:?});
        const DATA_POINTS: ::tool_telemetry::DataPoints = ::tool_telemetry::DataPoints {{
            publisher: {},
            telemetry_command: {},
            spans: {spans},
            data_points: {data_points},
            on_run: {},
        }};
        DATA_POINTS }}",
        option(publisher),
        option(definition.telemetry_command.as_ref().map(|typed| format!("{typed:?}"))),
        positions(&definition.data_points, RUN),
    )
}

fn span(span: &Span, data_points: &[DataPoint]) -> String {
    let level = match span.level {
        Level::Error => "ERROR",
        Level::Warn => "WARN",
        Level::Info => "INFO",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    };
    format!(
        "::tool_telemetry::__private::ApprovedSpan {{ name: {:?}, target: {:?}, \
         level: ::tool_telemetry::__private::Level::{level}, sentence: {:?}, why: {:?}, audience: {}, since: {}, \
         until: {}, data_points: {} }}",
        span.name,
        span.target,
        span.sentence,
        span.why,
        audience(span.audience),
        version(span.since),
        option(span.until.map(version)),
        positions(data_points, &span.name),
    )
}

fn data_point(data_point: &DataPoint) -> String {
    format!(
        "::tool_telemetry::__private::DataPoint {{ key: {:?}, sentence: {:?}, why: {:?}, kind: {}, audience: {}, \
         since: {}, until: {} }}",
        data_point.key,
        data_point.sentence,
        data_point.why,
        kind(&data_point.kind),
        audience(data_point.audience),
        version(data_point.since),
        option(data_point.until.map(version)),
    )
}

fn kind(kind: &Kind) -> String {
    let kind = match kind {
        Kind::Bool => "Bool".to_owned(),
        Kind::Integer { min, max } => format!("Integer {{ min: {min}, max: {max} }}"),
        Kind::ExitCode => "ExitCode".to_owned(),
        Kind::Command(values) => format!("Command(&{values:?})"),
        Kind::Set(values) => format!("Set(&{values:?})"),
        Kind::Version => "Version".to_owned(),
        Kind::Moniker { prefixes, suffixes } => {
            format!("Moniker {{ prefixes: &{prefixes:?}, suffixes: &{suffixes:?} }}")
        }
    };
    format!("::tool_telemetry::__private::Kind::{kind}")
}

fn audience(audience: Audience) -> &'static str {
    match audience {
        Audience::Maker => "::tool_telemetry::Audience::Maker",
        Audience::Operator => "::tool_telemetry::Audience::Operator",
    }
}

fn version(version: Version) -> String {
    let [major, minor, patch] = version.numbers();
    let mut source = format!("::tool_telemetry::Version::new({major}, {minor}, {patch})");
    if let Some((stage, number)) = version.stage() {
        let position = Stage::ALL.iter().position(|known| *known == stage).unwrap_or(0);
        let _ = write!(
            source,
            ".before_release({position}, {})",
            option(number.map(|number| number.to_string()))
        );
    }
    source
}

/// The positions of the data points that a span of this name may have.
fn positions(data_points: &[DataPoint], span: &str) -> String {
    let positions: Vec<usize> = data_points
        .iter()
        .enumerate()
        .filter(|(_, data_point)| data_point.is_on(span))
        .map(|(position, _)| position)
        .collect();
    format!("&{positions:?}")
}

fn option(source: Option<String>) -> String {
    source.map_or_else(
        || "::core::option::Option::None".to_owned(),
        |source| format!("::core::option::Option::Some({source})"),
    )
}

fn list<T>(entries: &[T], source: impl Fn(&T) -> String) -> String {
    let entries: Vec<String> = entries.iter().map(source).collect();
    format!("&[{}]", entries.join(", "))
}

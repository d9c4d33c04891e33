//! The source of a tool's static tables. Their types' `Debug` output is Rust source except for the paths and slices that
//! are written here.

use std::fmt::Debug;

use tool_telemetry_definition::{ApprovedSpan, Count, DataPoint, DataPoints, Kind, Version};

/// A constant expression of the type `tool_telemetry::DataPoints`.
///
/// It includes `file`, so that the compiler rebuilds the crate when the file changes.
pub(crate) fn expression(data_points: &DataPoints, file: &str) -> String {
    let publisher = data_points.publisher().map(|publisher| {
        format!(
            "Publisher::new({:?}, {:?}, {:?}, {}, {:?}, {:?})",
            publisher.name,
            publisher.contact,
            publisher.privacy,
            publisher.retention_days,
            publisher.licence,
            publisher.published_at
        )
    });
    format!(
        "{{
            const _: &str = ::core::include_str!({file:?});
            const DATA_POINTS: ::tool_telemetry::DataPoints = {{
                use ::tool_telemetry::__private::*;
                DataPoints {{
                    tool: {:?},
                    content_hash: {:?},
                    publisher: {},
                    telemetry_command: {:?},
                    times: Times::{:?},
                    spans: &[{}],
                    data_points: &[{}],
                    on_run: &{:?},
                    period: {},
                    epsilon: {:?},
                    counts: &[{}],
                }}
            }};
            DATA_POINTS
        }}",
        data_points.tool,
        data_points.content_hash,
        option(publisher),
        data_points.telemetry_command,
        data_points.times,
        data_points.spans.iter().map(span).collect::<String>(),
        data_points.data_points.iter().map(data_point).collect::<String>(),
        data_points.on_run,
        option(data_points.period.map(|period| format!("Period::{period:?}"))),
        data_points.epsilon,
        data_points.counts.iter().map(count).collect::<String>(),
    )
}

fn span(span: &ApprovedSpan) -> String {
    format!(
        "ApprovedSpan {{ name: {:?}, target: {:?}, level: Level::{:?}, {}, data_points: &{:?} }}, ",
        span.name,
        span.target,
        span.level,
        common(span.sentence, span.why, span.audience, span.since, span.until),
        span.data_points,
    )
}

fn data_point(data_point: &DataPoint) -> String {
    let kind = match data_point.kind {
        Kind::Command(values) => format!("Command(&{values:?})"),
        Kind::Set(values) => format!("Set(&{values:?})"),
        Kind::Moniker { prefixes, suffixes } => {
            format!("Moniker {{ prefixes: &{prefixes:?}, suffixes: &{suffixes:?} }}")
        }
        kind @ (Kind::Bool | Kind::Integer { .. } | Kind::ExitCode | Kind::Version) => format!("{kind:?}"),
    };
    let DataPoint { key, sentence, why, audience, since, until, .. } = *data_point;
    format!(
        "DataPoint {{ key: {key:?}, kind: Kind::{kind}, {} }}, ",
        common(sentence, why, audience, since, until)
    )
}

fn count(Count { of, at_most, releases, values }: &Count) -> String {
    format!("Count {{ of: &{of:?}, at_most: {at_most}, releases: &{releases:?}, values: &{values:?} }}, ")
}

fn common(sentence: &str, why: &str, audience: impl Debug, since: Version, until: Option<Version>) -> String {
    let version = |version: Version| format!("Version::parse({:?})", version.to_string());
    format!(
        "sentence: {sentence:?}, why: {why:?}, audience: Audience::{audience:?}, since: {}.unwrap(), until: {}",
        version(since),
        until.map_or_else(|| "None".to_owned(), version),
    )
}

fn option(source: Option<String>) -> String {
    source.map_or_else(|| "None".to_owned(), |source| format!("Some({source})"))
}

//! The approved parts of an SDK span.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::Value as SdkValue;
use opentelemetry_sdk::trace::SpanData;

use crate::model::allowlist::Allowlist;
use crate::model::data_points::{DataPoint, Level, Value};
use crate::model::field_value::ValueType;
use crate::record::Omissions;

/// The attributes that name a span's target, most reliable first: that of tracing-opentelemetry, then the current and
/// the former one of the semantic conventions.
const TARGETS: [&str; 3] = ["target", "code.module.name", "code.namespace"];

/// The position of the approved span with this name and target.
pub(super) fn subject(allowlist: &Allowlist, data: &SpanData) -> Option<u8> {
    allowlist.span_named(&data.name, target(data))
}

/// The first attribute of a name counts, because tracing-opentelemetry records the target before a span's own fields.
fn target(data: &SpanData) -> &str {
    let attribute = |wanted: &str| {
        data.attributes.iter().find(|attribute| attribute.key.as_str() == wanted).map(|found| &found.value)
    };
    match TARGETS.into_iter().find_map(attribute) {
        Some(SdkValue::String(target)) => target.as_str(),
        // Another attribute with that name.
        Some(_) => "",
        None => data.instrumentation_scope.name(),
    }
}

/// The admitted values of an approved span. The last value of a key wins.
pub(super) fn values(allowlist: &Allowlist, subject: u8, data: &SpanData) -> Vec<(u8, Value)> {
    let data_points = allowlist.data_points;
    let allowed = data_points.spans[usize::from(subject)].data_points;
    let mut values: Vec<(u8, Value)> = Vec::with_capacity(allowed.len());
    for attribute in &data.attributes {
        let Some(position) = data_points.key_among(allowed, attribute.key.as_str()) else { continue };
        if !allowlist.has_data_point(position) {
            continue;
        }
        let Some(value) = admit(&data_points.data_points[usize::from(position)], &attribute.value) else {
            continue;
        };
        match values.iter_mut().find(|(old, _)| *old == position) {
            Some((_, old)) => *old = value,
            None => values.push((position, value)),
        }
    }
    values
}

/// What the SDK and `tracing-opentelemetry` add to every span.
const ADDED: [&str; 5] = ["code.", "thread.", "target", "busy_ns", "idle_ns"];

/// Notes what of a span is not approved or not admitted.
pub(super) fn leave_out(omissions: &Omissions, allowlist: &Allowlist, subject: Option<u8>, data: &SpanData) {
    let Some(subject) = subject else {
        return omissions.add_unapproved_span(&data.name, target(data), Level::Info);
    };
    let data_points = allowlist.data_points;
    let allowed = data_points.spans[usize::from(subject)].data_points;
    for attribute in &data.attributes {
        let key = attribute.key.as_str();
        let position = data_points.key_among(allowed, key);
        if position.is_none() && ADDED.iter().any(|added| key.starts_with(added)) {
            continue;
        }
        let position = position.filter(|position| allowlist.has_data_point(*position));
        let data_point = position.map(|position| &data_points.data_points[usize::from(position)]);
        let admitted = data_point.and_then(|data_point| admit(data_point, &attribute.value));
        if admitted.is_none_or(|value| value == Value::Other) {
            omissions.add_value(Some(subject), key, value_type(&attribute.value), admitted);
        }
    }
}

fn value_type(value: &SdkValue) -> ValueType {
    match value {
        SdkValue::Bool(_) => ValueType::Bool,
        SdkValue::I64(_) => ValueType::Integer,
        SdkValue::F64(_) => ValueType::Fraction,
        _ => ValueType::Text,
    }
}

fn admit(data_point: &DataPoint, value: &SdkValue) -> Option<Value> {
    match value {
        SdkValue::Bool(flag) => data_point.admit_bool(*flag),
        SdkValue::I64(number) => data_point.admit_integer(*number),
        SdkValue::String(text) => data_point.admit_text(text.as_str()),
        // No kind of data point has fractions or lists.
        _ => None,
    }
}

/// Start and end in nanoseconds since the Unix epoch. The end is not before the start.
pub(super) fn times(data: &SpanData) -> (u64, u64) {
    let start = nanoseconds(data.start_time);
    (start, nanoseconds(data.end_time).max(start))
}

/// At least 1, because 0 means "not set" in OTLP.
fn nanoseconds(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX).max(1)
}

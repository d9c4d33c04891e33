//! The wire contract of `proto/` as tables, and what a request carries beyond it.
//!
//! Comparing the length of a request with that of its content would not find it. Other senders write default values and
//! over-long varints, which take bytes and carry nothing, so as many bytes with content could hide among them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// Distinct paths that are kept. A hostile request could make up millions of field numbers.
const MAX_PATHS: usize = 1_000;
/// Where further paths are counted.
const MORE_PATHS: &str = "and others";
/// Characters of an unknown JSON key that a path shows.
const MAX_KEY: usize = 64;

/// What lies outside of the contract, by path, and how often.
#[derive(Debug, Default, Clone)]
pub struct OutsideFields {
    paths: BTreeMap<String, u64>,
    /// Of further paths.
    others: u64,
}

impl OutsideFields {
    pub(crate) fn add(&mut self, path: String, times: u64) {
        if self.paths.len() < MAX_PATHS || self.paths.contains_key(&path) {
            *self.paths.entry(path).or_default() += times;
        } else {
            self.others += times;
        }
    }

    /// Adds what another request carried.
    pub fn merge(&mut self, other: OutsideFields) {
        for (path, times) in other.paths {
            self.add(path, times);
        }
        self.others += other.others;
    }

    /// Distinct paths in alphabetical order, such as `resource_spans.scope_spans.spans.events (11)`. The number is that
    /// of the field; an unknown key of JSON is quoted and has none. After 1,000 the rest is `and others`.
    pub fn paths(&self) -> Vec<String> {
        let others = (self.others > 0).then(|| MORE_PATHS.to_owned());
        self.paths.keys().cloned().chain(others).collect()
    }

    /// How often something lies outside.
    pub fn count(&self) -> u64 {
        self.paths.values().sum::<u64>() + self.others
    }
}

/// A field that OTLP knows.
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// In the contract: a message, at most one.
    One(&'static [Field]),
    /// In the contract: any number of messages.
    Many(&'static [Field]),
    /// In the contract: a string, bytes or a 32-bit number.
    Scalar,
    /// In the contract: a 64-bit integer, which OTLP/JSON writes as a string.
    Wide,
    /// In the contract: a bool.
    Flag,
    /// In the contract: an enum with the values 0 to this one.
    Enum(u64),
    /// Outside, and carries nothing while it has its default value.
    OutsideUnlessDefault,
    /// Outside even if it is empty: a repeated message (an empty event is still an event), or a member of a oneof.
    Outside,
}

const fn field(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind }
}

pub(super) const REQUEST: &[Field] = &[field(1, "resource_spans", Kind::Many(RESOURCE_SPANS))];

pub(super) const RESOURCE_SPANS: &[Field] = &[
    field(1, "resource", Kind::One(RESOURCE)),
    field(2, "scope_spans", Kind::Many(SCOPE_SPANS)),
    field(3, "schema_url", Kind::OutsideUnlessDefault),
];

pub(super) const RESOURCE: &[Field] = &[
    field(1, "attributes", Kind::Many(KEY_VALUE)),
    field(2, "dropped_attributes_count", Kind::OutsideUnlessDefault),
    field(3, "entity_refs", Kind::Outside),
];

pub(super) const SCOPE_SPANS: &[Field] = &[
    field(1, "scope", Kind::One(SCOPE)),
    field(2, "spans", Kind::Many(SPAN)),
    field(3, "schema_url", Kind::OutsideUnlessDefault),
];

pub(super) const SCOPE: &[Field] = &[
    field(1, "name", Kind::Scalar),
    field(2, "version", Kind::Scalar),
    field(3, "attributes", Kind::Outside),
    field(4, "dropped_attributes_count", Kind::OutsideUnlessDefault),
];

pub(super) const SPAN: &[Field] = &[
    field(1, "trace_id", Kind::Scalar),
    field(2, "span_id", Kind::Scalar),
    field(3, "trace_state", Kind::OutsideUnlessDefault),
    field(4, "parent_span_id", Kind::Scalar),
    field(5, "name", Kind::Scalar),
    field(6, "kind", Kind::Enum(5)),
    field(7, "start_time_unix_nano", Kind::Wide),
    field(8, "end_time_unix_nano", Kind::Wide),
    field(9, "attributes", Kind::Many(KEY_VALUE)),
    field(10, "dropped_attributes_count", Kind::OutsideUnlessDefault),
    field(11, "events", Kind::Outside),
    field(12, "dropped_events_count", Kind::OutsideUnlessDefault),
    field(13, "links", Kind::Outside),
    field(14, "dropped_links_count", Kind::OutsideUnlessDefault),
    field(15, "status", Kind::One(STATUS)),
    field(16, "flags", Kind::Scalar),
];

pub(super) const STATUS: &[Field] =
    &[field(2, "message", Kind::OutsideUnlessDefault), field(3, "code", Kind::Enum(2))];

pub(super) const KEY_VALUE: &[Field] = &[
    field(1, "key", Kind::Scalar),
    field(2, "value", Kind::One(ANY_VALUE)),
    field(3, "key_strindex", Kind::OutsideUnlessDefault),
];

pub(super) const ANY_VALUE: &[Field] = &[
    field(1, "string_value", Kind::Scalar),
    field(2, "bool_value", Kind::Flag),
    field(3, "int_value", Kind::Wide),
    field(4, "double_value", Kind::Outside),
    field(5, "array_value", Kind::Outside),
    field(6, "kvlist_value", Kind::Outside),
    field(7, "bytes_value", Kind::Outside),
    field(8, "string_value_strindex", Kind::Outside),
];

/// The field with this number, if OTLP knows it.
pub(super) fn field_of(fields: &'static [Field], number: u32) -> Option<&'static Field> {
    // In the order of their numbers, nearly without gaps.
    match fields.get(number.wrapping_sub(1) as usize) {
        Some(field) if field.number == number => Some(field),
        _ => fields.iter().find(|field| field.number == number),
    }
}

/// Walks a request in JSON.
pub(super) fn walk_json(request: &Json, outside: &mut OutsideFields) {
    walk_object(request, REQUEST, &mut Vec::new(), outside);
}

fn walk_object(
    object: &Json,
    fields: &'static [Field],
    path: &mut Vec<&'static str>,
    outside: &mut OutsideFields,
) {
    let Json::Object(object) = object else {
        return; // Decoding refuses it.
    };
    for (key, value) in object {
        let Some(field) = fields.iter().find(|field| is_json_name(field.name, key)) else {
            let key: String = key.chars().take(MAX_KEY).collect();
            outside.add(spell_key(path, &key), 1);
            continue;
        };
        match &field.kind {
            Kind::One(inner) => {
                path.push(field.name);
                walk_object(value, inner, path, outside);
                path.pop();
            }
            Kind::Many(inner) => {
                path.push(field.name);
                for element in value.as_array().into_iter().flatten() {
                    walk_object(element, inner, path, outside);
                }
                path.pop();
            }
            Kind::Enum(last)
                if value.as_i64().is_some_and(|number| u64::try_from(number).is_ok_and(|n| n <= *last)) => {}
            Kind::Enum(_) if !value.is_null() => {
                outside.add(spell(path, field.name, field.number, ", not a value of the enum"), 1);
            }
            Kind::Wide if value.is_number() => {
                outside.add(spell(path, field.name, field.number, ", a number instead of a string"), 1);
            }
            Kind::Scalar | Kind::Wide | Kind::Flag | Kind::Enum(_) => {}
            Kind::OutsideUnlessDefault if json_carries_nothing(value) => {}
            Kind::OutsideUnlessDefault => outside.add(spell(path, field.name, field.number, ""), 1),
            Kind::Outside => {
                let times = match value {
                    Json::Null => 0,
                    Json::Array(elements) => elements.len() as u64,
                    _ => 1,
                };
                if times > 0 {
                    outside.add(spell(path, field.name, field.number, ""), times);
                }
            }
        }
    }
}

fn json_carries_nothing(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Whether `key` is the lowerCamelCase form of a field's name.
fn is_json_name(name: &str, key: &str) -> bool {
    let mut key = key.chars();
    let mut upper = false;
    for letter in name.chars() {
        if letter == '_' {
            upper = true;
            continue;
        }
        let expected = if std::mem::take(&mut upper) { letter.to_ascii_uppercase() } else { letter };
        if key.next() != Some(expected) {
            return false;
        }
    }
    key.next().is_none()
}

fn spell(path: &[&str], name: &str, number: u32, remark: &str) -> String {
    let mut text = path.join(".");
    if !text.is_empty() {
        text.push('.');
    }
    text + &format!("{name} ({number}{remark})")
}

fn spell_key(path: &[&str], key: &str) -> String {
    let mut text = path.join(".");
    if !text.is_empty() {
        text.push('.');
    }
    text + &format!("{key:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_are_lower_camel_case() {
        assert!(is_json_name("start_time_unix_nano", "startTimeUnixNano"));
        assert!(is_json_name("name", "name"));
        for key in ["start_time_unix_nano", "StartTimeUnixNano", "startTimeUnixNan", "startTimeUnixNanos", ""]
        {
            assert!(!is_json_name("start_time_unix_nano", key), "{key}");
        }
    }

    #[test]
    fn distinct_paths_are_bounded_and_still_counted() {
        let mut outside = OutsideFields::default();
        for number in 0..2_000 {
            outside.add(format!("x ({number})"), 1);
        }
        assert_eq!(outside.count(), 2_000);
        assert_eq!(outside.paths().len(), MAX_PATHS + 1);
        let mut again = OutsideFields::default();
        again.merge(outside.clone());
        again.merge(outside);
        assert_eq!((again.count(), again.paths().len()), (4_000, MAX_PATHS + 1));
    }
}

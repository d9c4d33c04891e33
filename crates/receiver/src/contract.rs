//! What a request carries beyond the wire contract of `proto/`: a walk over the field numbers of the raw bytes,
//! or over the keys of the JSON.
//!
//! Decoding ignores what it does not know, as OTLP demands, so the decoded message cannot tell. Nor can its
//! length: other senders write default values and over-long varints, which take room and carry nothing, and could
//! hide as many bytes that do carry something.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// Distinct paths that are kept. A hostile request could make up millions of field numbers.
const MAX_PATHS: usize = 1_000;
/// Where further paths are counted.
const MORE_PATHS: &str = "and others";
/// Characters of an unknown JSON key that a path shows.
const MAX_KEY: usize = 64;
/// Nested groups (a construct of the 2000s that no OTLP sender uses) that are looked into; prost refuses deeper
/// ones before this walk begins.
const MAX_GROUPS: u32 = 100;

/// What lay outside, by path, and how often.
#[derive(Debug, Default, Clone)]
pub(super) struct Outside {
    paths: BTreeMap<String, u64>,
    /// Of further paths.
    others: u64,
}

impl Outside {
    pub(super) fn add(&mut self, path: String, times: u64) {
        if self.paths.len() < MAX_PATHS || self.paths.contains_key(&path) {
            *self.paths.entry(path).or_default() += times;
        } else {
            self.others += times;
        }
    }

    pub(super) fn merge(&mut self, other: Outside) {
        for (path, times) in other.paths {
            self.add(path, times);
        }
        self.others += other.others;
    }

    pub(super) fn paths(&self) -> Vec<String> {
        let others = (self.others > 0).then(|| MORE_PATHS.to_owned());
        self.paths.keys().cloned().chain(others).collect()
    }

    pub(super) fn count(&self) -> u64 {
        self.paths.values().sum::<u64>() + self.others
    }
}

/// A field that OTLP knows.
struct Field {
    number: u32,
    name: &'static str,
    kind: Kind,
}

enum Kind {
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
    /// Outside as soon as it is there: a repeated message (an empty event is still an event), or a member of a
    /// oneof.
    Outside,
}

const fn field(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind }
}

const REQUEST: &[Field] = &[field(1, "resource_spans", Kind::Many(RESOURCE_SPANS))];

const RESOURCE_SPANS: &[Field] = &[
    field(1, "resource", Kind::One(RESOURCE)),
    field(2, "scope_spans", Kind::Many(SCOPE_SPANS)),
    field(3, "schema_url", Kind::OutsideUnlessDefault),
];

const RESOURCE: &[Field] = &[
    field(1, "attributes", Kind::Many(KEY_VALUE)),
    field(2, "dropped_attributes_count", Kind::OutsideUnlessDefault),
    field(3, "entity_refs", Kind::Outside),
];

const SCOPE_SPANS: &[Field] = &[
    field(1, "scope", Kind::One(SCOPE)),
    field(2, "spans", Kind::Many(SPAN)),
    field(3, "schema_url", Kind::OutsideUnlessDefault),
];

const SCOPE: &[Field] = &[
    field(1, "name", Kind::Scalar),
    field(2, "version", Kind::Scalar),
    field(3, "attributes", Kind::Outside),
    field(4, "dropped_attributes_count", Kind::OutsideUnlessDefault),
];

const SPAN: &[Field] = &[
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

const STATUS: &[Field] = &[field(2, "message", Kind::OutsideUnlessDefault), field(3, "code", Kind::Enum(2))];

const KEY_VALUE: &[Field] = &[
    field(1, "key", Kind::Scalar),
    field(2, "value", Kind::One(ANY_VALUE)),
    field(3, "key_strindex", Kind::OutsideUnlessDefault),
];

const ANY_VALUE: &[Field] = &[
    field(1, "string_value", Kind::Scalar),
    field(2, "bool_value", Kind::Flag),
    field(3, "int_value", Kind::Wide),
    field(4, "double_value", Kind::Outside),
    field(5, "array_value", Kind::Outside),
    field(6, "kvlist_value", Kind::Outside),
    field(7, "bytes_value", Kind::Outside),
    field(8, "string_value_strindex", Kind::Outside),
];

/// Walks a request that prost has decoded, so its bytes are well-formed.
pub(super) fn walk_protobuf(request: &[u8]) -> Outside {
    let mut outside = Outside::default();
    // What is malformed was refused before. Should the two ever disagree, that is outside the contract too.
    if walk_message(request, REQUEST, &mut Vec::new(), &mut outside).is_none() {
        outside.add("malformed".to_owned(), 1);
    }
    outside
}

/// Walks a request in JSON.
pub(super) fn walk_json(request: &Json) -> Outside {
    let mut outside = Outside::default();
    walk_object(request, REQUEST, &mut Vec::new(), &mut outside);
    outside
}

/// A value as the wire gives it.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Group,
}

impl Wire<'_> {
    fn is_default(&self) -> bool {
        match self {
            Wire::Number(number) => *number == 0,
            Wire::Bytes(bytes) => bytes.is_empty(),
            Wire::Group => false,
        }
    }
}

/// `None` is malformed. The depth is that of the contract: what is unknown is never looked into.
fn walk_message(
    mut bytes: &[u8],
    fields: &'static [Field],
    path: &mut Vec<&'static str>,
    outside: &mut Outside,
) -> Option<()> {
    let mut seen = 0_u32;
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let number = u32::try_from(tag >> 3).ok()?;
        let value = wire_value(&mut bytes, number, tag & 7, 0)?;
        let Some(field) = fields.iter().find(|field| field.number == number) else {
            outside.add(spell(path, "unknown", number, ""), 1);
            continue;
        };
        // Only the last of several counts when a message is decoded, so the others are carried and lost.
        let again = seen & (1 << number) != 0;
        if again && !matches!(field.kind, Kind::Many(_) | Kind::Outside | Kind::OutsideUnlessDefault) {
            outside.add(spell(path, field.name, number, ", again"), 1);
        }
        // Of the members of a oneof only the last one counts, whichever they are.
        if std::ptr::eq(fields, ANY_VALUE) && seen & !(1 << number) != 0 {
            outside.add(spell(path, field.name, number, ", besides another"), 1);
        }
        seen |= 1 << number;
        match (&field.kind, value) {
            (Kind::One(inner) | Kind::Many(inner), Wire::Bytes(bytes)) => {
                path.push(field.name);
                walk_message(bytes, inner, path, outside)?;
                path.pop();
            }
            (Kind::One(_) | Kind::Many(_), _) => return None,
            (Kind::Enum(last), Wire::Number(number)) if number > *last => {
                outside.add(spell(path, field.name, field.number, ", not a value of the enum"), 1);
            }
            // The bits above the lowest would be lost.
            (Kind::Flag, Wire::Number(number)) if number > 1 => {
                outside.add(spell(path, field.name, field.number, ", not 0 or 1"), 1);
            }
            (Kind::Scalar | Kind::Wide | Kind::Flag | Kind::Enum(_), _) => {}
            (Kind::OutsideUnlessDefault, value) if value.is_default() => {}
            (Kind::OutsideUnlessDefault | Kind::Outside, _) => {
                outside.add(spell(path, field.name, number, ""), 1);
            }
        }
    }
    Some(())
}

fn wire_value<'a>(bytes: &mut &'a [u8], number: u32, wire_type: u64, depth: u32) -> Option<Wire<'a>> {
    match wire_type {
        0 => varint(bytes).map(Wire::Number),
        1 => bytes
            .split_off(..8)
            .map(|fixed| Wire::Number(u64::from_le_bytes(fixed.try_into().expect("8 bytes")))),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            bytes.split_off(..length).map(Wire::Bytes)
        }
        3 if depth < MAX_GROUPS => loop {
            let tag = varint(bytes)?;
            if tag & 7 == 4 {
                return (tag >> 3 == u64::from(number)).then_some(Wire::Group);
            }
            wire_value(bytes, u32::try_from(tag >> 3).ok()?, tag & 7, depth + 1)?;
        },
        5 => bytes
            .split_off(..4)
            .map(|fixed| Wire::Number(u32::from_le_bytes(fixed.try_into().expect("4 bytes")).into())),
        _ => None,
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn walk_object(object: &Json, fields: &'static [Field], path: &mut Vec<&'static str>, outside: &mut Outside) {
    let Json::Object(object) = object else {
        return; // Not this walk's business: decoding refuses it.
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
        let mut outside = Outside::default();
        for number in 0..2_000 {
            outside.add(format!("x ({number})"), 1);
        }
        assert_eq!(outside.count(), 2_000);
        assert_eq!(outside.paths().len(), MAX_PATHS + 1);
        let mut again = Outside::default();
        again.merge(outside.clone());
        again.merge(outside);
        assert_eq!((again.count(), again.paths().len()), (4_000, MAX_PATHS + 1));
    }

    #[test]
    fn every_truncation_of_a_group_is_malformed_and_ends() {
        // Field 99 as a group that holds a varint.
        let group = [0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06];
        assert!(walk_message(&group, REQUEST, &mut Vec::new(), &mut Outside::default()).is_some());
        for length in 1..group.len() {
            let cut = &group[..length];
            assert!(
                walk_message(cut, REQUEST, &mut Vec::new(), &mut Outside::default()).is_none(),
                "{length}"
            );
        }
    }
}

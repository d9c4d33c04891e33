//! Reads protobuf, and counts what lies outside of the contract in the same pass.
//!
//! As in every protobuf library, a repeated message is merged, and the last value of a repeated scalar wins. The
//! earlier values are lost, so they count as outside of the contract.

use super::contract::{
    self, ANY_VALUE, Field, KEY_VALUE, REQUEST, RESOURCE, RESOURCE_SPANS, SCOPE, SCOPE_SPANS, SPAN, STATUS,
};
use super::{
    Id, Limits, OutsideFields, RESOURCE_ATTRIBUTES, RawAttribute, RawResource, RawSpan, ReadError, Reader,
    Request, Rule, SPAN_ATTRIBUTES, Scope, Value,
};

/// Nested groups (a construct of the 2000s that no OTLP sender uses) that are skipped; deeper ones are refused, as by
/// every protobuf library.
const MAX_GROUPS: u32 = 100;
const MALFORMED: ReadError = ReadError {
    text: std::borrow::Cow::Borrowed("the body is not an ExportTraceServiceRequest"),
    is_too_large: false,
};

/// Reads an `ExportTraceServiceRequest` in protobuf.
///
/// # Errors
/// If it is malformed, or has more spans than allowed.
pub fn read_protobuf<'a>(body: &'a [u8], limits: &Limits) -> Result<Request<'a>, ReadError> {
    let mut reader = Reader::new(limits);
    let mut message = Message::new(body, REQUEST, "");
    while let Some((number, wire)) = message.next(&mut reader.request.outside)? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => reader.resource_spans(bytes)?,
            _ => return Err(MALFORMED),
        }
    }
    Ok(reader.request)
}

impl<'a> Reader<'a> {
    /// In two passes, because the resource may come behind its spans.
    fn resource_spans(&mut self, bytes: &'a [u8]) -> Result<(), ReadError> {
        let mut resource = RawResource { attributes: Vec::new(), has_too_many_attributes: false };
        let mut has_spans = false;
        let mut message = Message::new(bytes, RESOURCE_SPANS, "resource_spans");
        while let Some((number, wire)) = message.next(&mut self.request.outside)? {
            match (number, wire) {
                (1, Wire::Bytes(bytes)) => self.resource_message(bytes, &mut resource)?,
                (2, Wire::Bytes(_)) => has_spans = true,
                _ => return Err(MALFORMED),
            }
        }
        if !has_spans {
            return Ok(());
        }
        let rule = self.begin_resource(&resource);
        let mut message = Message::new(bytes, RESOURCE_SPANS, "resource_spans");
        while let Some((number, wire)) = message.next_again()? {
            if let (2, Wire::Bytes(bytes)) = (number, wire) {
                self.scope_spans(bytes, rule.as_ref())?;
            }
        }
        Ok(())
    }

    fn resource_message(&mut self, bytes: &'a [u8], resource: &mut RawResource<'a>) -> Result<(), ReadError> {
        let mut message = Message::new(bytes, RESOURCE, "resource_spans.resource");
        while let Some((number, wire)) = message.next(&mut self.request.outside)? {
            let (1, Wire::Bytes(bytes)) = (number, wire) else { return Err(MALFORMED) };
            let attribute = key_value(bytes, RESOURCE_ATTRIBUTES, &mut self.request.outside)?;
            if resource.attributes.len() < self.limits.attributes {
                resource.attributes.push(attribute);
            } else {
                resource.has_too_many_attributes = true;
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, bytes: &'a [u8], rule: Option<&Rule<'a>>) -> Result<(), ReadError> {
        let mut scope = Scope::default();
        let mut has_spans = false;
        let mut message = Message::new(bytes, SCOPE_SPANS, "resource_spans.scope_spans");
        while let Some((number, wire)) = message.next(&mut self.request.outside)? {
            match (number, wire) {
                (1, Wire::Bytes(bytes)) => {
                    let mut message = Message::new(bytes, SCOPE, "resource_spans.scope_spans.scope");
                    while let Some((number, wire)) = message.next(&mut self.request.outside)? {
                        match (number, wire) {
                            (1, Wire::Bytes(bytes)) => scope.name = text(bytes)?,
                            (2, Wire::Bytes(bytes)) => scope.version = text(bytes)?,
                            _ => return Err(MALFORMED),
                        }
                    }
                }
                (2, Wire::Bytes(_)) => has_spans = true,
                _ => return Err(MALFORMED),
            }
        }
        if !has_spans {
            return Ok(());
        }
        self.begin_scope(scope);
        let mut message = Message::new(bytes, SCOPE_SPANS, "resource_spans.scope_spans");
        while let Some((number, wire)) = message.next_again()? {
            if let (2, Wire::Bytes(bytes)) = (number, wire) {
                let span = self.span(bytes)?;
                self.add(span, rule)?;
            }
        }
        Ok(())
    }

    fn span(&mut self, bytes: &'a [u8]) -> Result<RawSpan<'a>, ReadError> {
        let mut span = RawSpan { attributes: self.empty_attributes(), ..RawSpan::default() };
        let mut message = Message::new(bytes, SPAN, "resource_spans.scope_spans.spans");
        while let Some((number, wire)) = message.next(&mut self.request.outside)? {
            match (number, wire) {
                (1, Wire::Bytes(bytes)) => span.trace_id = Id::of(bytes),
                (2, Wire::Bytes(bytes)) => span.span_id = Id::of(bytes),
                (4, Wire::Bytes(bytes)) => span.parent = Id::of(bytes),
                (5, Wire::Bytes(bytes)) => span.name = text(bytes)?,
                (6, Wire::Varint(number)) => span.kind = number as i32,
                (7, Wire::Fixed64(number)) => span.start = number,
                (8, Wire::Fixed64(number)) => span.end = number,
                (9, Wire::Bytes(bytes)) => {
                    let attribute = key_value(bytes, SPAN_ATTRIBUTES, &mut self.request.outside)?;
                    if span.attributes.len() < self.limits.attributes {
                        span.attributes.push(attribute);
                    } else {
                        span.has_too_many_attributes = true;
                    }
                }
                (15, Wire::Bytes(bytes)) => {
                    let code = span.status.get_or_insert_default();
                    let mut message = Message::new(bytes, STATUS, "resource_spans.scope_spans.spans.status");
                    while let Some((number, wire)) = message.next(&mut self.request.outside)? {
                        let (3, Wire::Varint(number)) = (number, wire) else { return Err(MALFORMED) };
                        *code = number as i32;
                    }
                }
                (16, Wire::Fixed32(number)) => span.flags = number,
                _ => return Err(MALFORMED),
            }
        }
        Ok(span)
    }
}

fn key_value<'a>(
    bytes: &'a [u8],
    path: &'static str,
    outside: &mut OutsideFields,
) -> Result<RawAttribute<'a>, ReadError> {
    let mut key = "";
    let mut value = None;
    let mut message = Message::new(bytes, KEY_VALUE, path);
    while let Some((number, wire)) = message.next(outside)? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?,
            (2, Wire::Bytes(bytes)) => {
                let mut message = Message::new(bytes, ANY_VALUE, path);
                message.below = ".value";
                while let Some((number, wire)) = message.next_of_oneof(outside)? {
                    value = Some(match (number, wire) {
                        (1, Wire::Bytes(bytes)) => Value::String(text(bytes)?),
                        (2, Wire::Varint(number)) => Value::Bool(number != 0),
                        (3, Wire::Varint(number)) => Value::Int(number.cast_signed()),
                        _ => return Err(MALFORMED),
                    });
                }
            }
            _ => return Err(MALFORMED),
        }
    }
    Ok((key, value))
}

fn text(bytes: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(bytes).map_err(|_| MALFORMED)
}

/// A value as the wire gives it.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Group,
}

impl Wire<'_> {
    fn number(&self) -> Option<u64> {
        match self {
            Wire::Varint(number) | Wire::Fixed64(number) => Some(*number),
            Wire::Fixed32(number) => Some(u64::from(*number)),
            Wire::Bytes(_) | Wire::Group => None,
        }
    }

    fn is_default(&self) -> bool {
        match self {
            Wire::Bytes(bytes) => bytes.is_empty(),
            other => other.number() == Some(0),
        }
    }
}

/// A message, field by field. What lies outside of the contract is counted and not returned.
struct Message<'a> {
    rest: &'a [u8],
    fields: &'static [Field],
    path: &'static str,
    below: &'static str,
    /// A bit for each number that the contract knows.
    seen: u32,
}

impl<'a> Message<'a> {
    fn new(bytes: &'a [u8], fields: &'static [Field], path: &'static str) -> Self {
        Self { rest: bytes, fields, path, below: "", seen: 0 }
    }

    /// The next field of the contract.
    fn next(&mut self, outside: &mut OutsideFields) -> Result<Option<(u32, Wire<'a>)>, ReadError> {
        while let Some((number, wire)) = self.next_again()? {
            let Some(field) = contract::field_of(self.fields, number) else {
                outside.add(self.spell("unknown", number, ""), 1);
                continue;
            };
            if self.is_inside(field, &wire, outside) {
                return Ok(Some((number, wire)));
            }
        }
        Ok(None)
    }

    /// The next member of a oneof that the contract knows. Of several only the last counts.
    fn next_of_oneof(&mut self, outside: &mut OutsideFields) -> Result<Option<(u32, Wire<'a>)>, ReadError> {
        while let Some((number, wire)) = self.next_again()? {
            let Some(field) = contract::field_of(self.fields, number) else {
                outside.add(self.spell("unknown", number, ""), 1);
                continue;
            };
            if self.seen & !(1 << number) != 0 {
                outside.add(self.spell(field.name, number, ", besides another"), 1);
            }
            if self.is_inside(field, &wire, outside) {
                return Ok(Some((number, wire)));
            }
        }
        Ok(None)
    }

    /// The next field, whatever it is, without counting anything.
    fn next_again(&mut self) -> Result<Option<(u32, Wire<'a>)>, ReadError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = tag(&mut self.rest).ok_or(MALFORMED)?;
        let wire = wire_value(&mut self.rest, number, wire_type, 0).ok_or(MALFORMED)?;
        Ok(Some((number, wire)))
    }

    #[inline]
    fn is_inside(&mut self, field: &Field, wire: &Wire<'_>, outside: &mut OutsideFields) -> bool {
        use contract::Kind;
        let bit = 1 << field.number;
        let is_again = self.seen & bit != 0;
        self.seen |= bit;
        let remark = match (&field.kind, wire.number()) {
            (Kind::OutsideUnlessDefault, _) => {
                if !wire.is_default() {
                    outside.add(self.spell(field.name, field.number, ""), 1);
                }
                return false;
            }
            (Kind::Outside, _) => {
                outside.add(self.spell(field.name, field.number, ""), 1);
                return false;
            }
            (Kind::Many(_), _) => return true,
            (Kind::Enum(last), Some(number)) if number > *last => ", not a value of the enum",
            // The bits above the lowest would be lost.
            (Kind::Flag, Some(number)) if number > 1 => ", not 0 or 1",
            _ => "",
        };
        if is_again {
            outside.add(self.spell(field.name, field.number, ", again"), 1);
        }
        if !remark.is_empty() {
            outside.add(self.spell(field.name, field.number, remark), 1);
        }
        true
    }

    #[cold]
    fn spell(&self, name: &str, number: u32, remark: &str) -> String {
        let (path, below) = (self.path, self.below);
        let dot = if path.is_empty() { "" } else { "." };
        format!("{path}{below}{dot}{name} ({number}{remark})")
    }
}

#[inline]
fn tag(bytes: &mut &[u8]) -> Option<(u32, u32)> {
    let tag = u32::try_from(varint(bytes)?).ok()?;
    (tag >> 3 != 0).then_some((tag >> 3, tag & 7))
}

#[inline]
fn wire_value<'a>(bytes: &mut &'a [u8], number: u32, wire_type: u32, depth: u32) -> Option<Wire<'a>> {
    match wire_type {
        0 => varint(bytes).map(Wire::Varint),
        1 => bytes.split_off(..8)?.first_chunk().map(|fixed| Wire::Fixed64(u64::from_le_bytes(*fixed))),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            bytes.split_off(..length).map(Wire::Bytes)
        }
        3 if depth < MAX_GROUPS => skip_group(bytes, number, depth),
        5 => bytes.split_off(..4)?.first_chunk().map(|fixed| Wire::Fixed32(u32::from_le_bytes(*fixed))),
        _ => None,
    }
}

#[cold]
fn skip_group<'a>(bytes: &mut &'a [u8], number: u32, depth: u32) -> Option<Wire<'a>> {
    loop {
        let (inner, wire_type) = tag(bytes)?;
        if wire_type == 4 {
            return (inner == number).then_some(Wire::Group);
        }
        wire_value(bytes, inner, wire_type, depth + 1)?;
    }
}

#[inline]
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    match bytes.first() {
        // Nearly all tags and lengths.
        Some(&byte) if byte < 0x80 => {
            *bytes = &bytes[1..];
            Some(u64::from(byte))
        }
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = *bytes.split_off_first()?;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_truncation_of_a_group_is_malformed() {
        // Field 99 as a group that holds a varint.
        let group = [0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06];
        assert!(read_protobuf(&group, &Limits::NONE).is_ok());
        for length in 1..group.len() {
            assert!(read_protobuf(&group[..length], &Limits::NONE).is_err(), "{length}");
        }
    }

    #[test]
    fn empty_messages_take_no_memory() {
        let many = [0x0a, 0x00].repeat(100_000);
        let request = read_protobuf(&many, &Limits::NONE).unwrap();
        assert_eq!((request.resources(), request.scopes.len(), request.spans.len()), (0, 0, 0));
    }

    #[test]
    fn more_spans_than_allowed_are_unreadable() {
        // Two empty spans.
        let request = [0x0a, 0x06, 0x12, 0x04, 0x12, 0x00, 0x12, 0x00];
        let limits = Limits { spans: 1, attributes: 1 };
        assert!(read_protobuf(&request, &limits).unwrap_err().is_too_large());
        let limits = Limits { spans: 2, attributes: 1 };
        assert_eq!(read_protobuf(&request, &limits).unwrap().violations.len(), 2);
    }
}

//! Reads OTLP/JSON key by key, because no derive has its mapping: ids are hexadecimal, enums are numbers and never
//! names, 64-bit integers are strings. `null` is an absent field. A key of the contract must hold its type, or the
//! whole request is refused; other keys are counted.
//!
//! Known limit: if an object has a key twice, `serde_json` keeps only the last one, and the other is not counted.

use serde_json::{Map, Value as Json};

use super::{
    Id, Limits, RawAttribute, RawResource, RawSpan, ReadError, Reader, Request, Scope, Value, contract,
};

/// Reads an `ExportTraceServiceRequest` in JSON.
///
/// Its depth is bounded twice: `serde_json` stops at 128 levels, and this walk at the contract's.
///
/// # Errors
/// If a key of the contract holds another type, or there are more spans than allowed.
pub fn read_json<'a>(request: &'a Json, limits: &Limits) -> Result<Request<'a>, ReadError> {
    let mut reader = Reader::new(limits);
    contract::walk_json(request, &mut reader.request.outside);
    for element in Object::of(request, "the request")?.list("resourceSpans")? {
        reader.resource_spans_json(element)?;
    }
    Ok(reader.request)
}

impl<'a> Reader<'a> {
    fn resource_spans_json(&mut self, value: &'a Json) -> Result<(), ReadError> {
        let object = Object::of(value, "an element of resourceSpans")?;
        let mut resource = RawResource { attributes: Vec::new(), has_too_many_attributes: false };
        if let Some(value) = object.get("resource") {
            let read =
                Object::of(value, "resource")?.attributes(&mut resource.attributes, self.limits.attributes);
            resource.has_too_many_attributes = read?;
        }
        let scopes = object.list("scopeSpans")?;
        let rule = self.begin_resource(&resource);
        for value in scopes {
            let object = Object::of(value, "an element of scopeSpans")?;
            let scope = match object.get("scope") {
                None => Scope::default(),
                Some(value) => {
                    let scope = Object::of(value, "scope")?;
                    Scope { name: scope.text("name")?, version: scope.text("version")? }
                }
            };
            self.begin_scope(scope);
            for value in object.list("spans")? {
                let span = self.span_json(value)?;
                self.add(span, rule.as_ref())?;
            }
        }
        Ok(())
    }

    fn span_json(&mut self, value: &'a Json) -> Result<RawSpan<'a>, ReadError> {
        let object = Object::of(value, "an element of spans")?;
        let mut attributes = self.empty_attributes();
        let has_too_many_attributes = object.attributes(&mut attributes, self.limits.attributes)?;
        Ok(RawSpan {
            trace_id: object.id("traceId")?,
            span_id: object.id("spanId")?,
            parent: object.id("parentSpanId")?,
            flags: object.read("flags", "a 32-bit number", |value| value.as_u64()?.try_into().ok())?,
            name: object.text("name")?,
            kind: object.number("kind")?,
            start: object.read("startTimeUnixNano", UNSIGNED, unsigned)?,
            end: object.read("endTimeUnixNano", UNSIGNED, unsigned)?,
            status: match object.get("status") {
                None => None,
                Some(value) => Some(Object::of(value, "status")?.number("code")?),
            },
            attributes,
            has_too_many_attributes,
        })
    }
}

fn key_value(value: &Json) -> Result<RawAttribute<'_>, ReadError> {
    let object = Object::of(value, "an attribute")?;
    Ok((object.text("key")?, object.get("value").map(any_value).transpose()?.flatten()))
}

fn any_value(value: &Json) -> Result<Option<Value<'_>>, ReadError> {
    let object = Object::of(value, "the value of an attribute")?;
    if object.fields.values().filter(|value| !value.is_null()).count() > 1 {
        return Err(ReadError::malformed("the value of an attribute has several types"));
    }
    let text = object.read("stringValue", "a string", |value| Some(Some(Value::String(value.as_str()?))))?;
    let flag =
        object.read("boolValue", "true or false", |value| Some(Some(Value::Bool(value.as_bool()?))))?;
    let number = object
        .read("intValue", "a 64-bit integer in a string", |value| Some(Some(Value::Int(signed(value)?))))?;
    Ok(text.or(flag).or(number))
}

const UNSIGNED: &str = "an unsigned 64-bit integer in a string";

/// A decimal string, or leniently a number (`contract` counts it).
fn unsigned(value: &Json) -> Option<u64> {
    match value {
        Json::String(text) if text.starts_with('+') => None,
        Json::String(text) => text.parse().ok(),
        other => other.as_u64(),
    }
}

fn signed(value: &Json) -> Option<i64> {
    match value {
        Json::String(text) if text.starts_with('+') => None,
        Json::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

/// A JSON object whose fields are read with a type.
struct Object<'a> {
    fields: &'a Map<String, Json>,
}

impl<'a> Object<'a> {
    fn of(value: &'a Json, what: &str) -> Result<Self, ReadError> {
        let fields =
            value.as_object().ok_or_else(|| ReadError::malformed(format!("{what} is not an object")))?;
        Ok(Self { fields })
    }

    fn get(&self, key: &str) -> Option<&'a Json> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    fn read<T: Default>(
        &self,
        key: &str,
        what: &str,
        read: impl FnOnce(&'a Json) -> Option<T>,
    ) -> Result<T, ReadError> {
        match self.get(key) {
            None => Ok(T::default()),
            Some(value) => read(value).ok_or_else(|| ReadError::malformed(format!("{key} is not {what}"))),
        }
    }

    fn text(&self, key: &str) -> Result<&'a str, ReadError> {
        self.read(key, "a string", Json::as_str)
    }

    fn number(&self, key: &str) -> Result<i32, ReadError> {
        self.read(key, "the number of an enum", |value| value.as_i64()?.try_into().ok())
    }

    /// Lengths are checked with the other rules, so that one bad span does not refuse the request.
    fn id<const LENGTH: usize>(&self, key: &str) -> Result<Id<LENGTH>, ReadError> {
        self.read(key, "an id in hexadecimal", |value| {
            let digits = value.as_str()?.as_bytes();
            let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
            let (pairs, rest) = digits.as_chunks::<2>();
            let mut bytes = Vec::with_capacity(LENGTH + 1);
            for [high, low] in pairs {
                let byte = digit(*high)? << 4 | digit(*low)?;
                // One byte too many is as wrong as a million.
                if bytes.len() <= LENGTH {
                    bytes.push(byte);
                }
            }
            rest.is_empty().then(|| Id::of(&bytes))
        })
    }

    /// Reads the attributes, and returns whether there are too many.
    fn attributes(&self, list: &mut Vec<RawAttribute<'a>>, limit: usize) -> Result<bool, ReadError> {
        let elements = self.list("attributes")?;
        for element in elements {
            let attribute = key_value(element)?;
            if list.len() < limit {
                list.push(attribute);
            }
        }
        Ok(elements.len() > limit)
    }

    fn list(&self, key: &str) -> Result<&'a [Json], ReadError> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Json::Array(elements)) => Ok(elements),
            Some(_) => Err(ReadError::malformed(format!("{key} is not a list"))),
        }
    }
}

//! The body of an answer over HTTP: is it OTLP's, and what does it say?
//!
//! A success is believed only if it looks like OTLP, since captive portals and misplaced servers answer 200 too.
//! Some receivers answer JSON with the content type of protobuf and the other way round, so the content type only
//! opens the door and what decodes decides. JSON is read here by hand: an answer has two fields, for which a build
//! without the feature `http-json` need not carry a JSON library.

use std::num::IntErrorKind;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;

use crate::upload::delivery::{DeliveryOutcome, FailureKind};

/// What a successful status with this body means.
///
/// Nothing at all, without a content type, is a success: no bytes are a complete protobuf answer, servers that store
/// nothing of their own to say send it, and a portal always has something to show.
pub(crate) fn of_success(content_type: Option<&str>, body: &[u8]) -> DeliveryOutcome {
    let says = match content_type {
        None if body.is_empty() => return DeliveryOutcome::DELIVERED,
        None => json_partial_success(body),
        Some(value) if is_otlp(value) => {
            protobuf_partial_success(body).or_else(|| json_partial_success(body))
        }
        Some(_) => None,
    };
    match says {
        Some(PartialSuccess { rejected, has_message }) => {
            DeliveryOutcome::from_partial_success(rejected, has_message)
        }
        None => DeliveryOutcome::retry(FailureKind::NotOtlp),
    }
}

/// Whether the content type is one of OTLP's, or the registered name of protobuf's.
pub(crate) fn is_otlp(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    ["application/x-protobuf", "application/json", "application/protobuf"]
        .iter()
        .any(|otlp| media_type.eq_ignore_ascii_case(otlp))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct PartialSuccess {
    rejected: i64,
    has_message: bool,
}

fn protobuf_partial_success(body: &[u8]) -> Option<PartialSuccess> {
    let response = ExportTraceServiceResponse::decode(body).ok()?;
    let partial_success = response.partial_success.unwrap_or_default();
    Some(PartialSuccess {
        rejected: partial_success.rejected_spans,
        has_message: !partial_success.error_message.is_empty(),
    })
}

fn json_partial_success(body: &[u8]) -> Option<PartialSuccess> {
    let mut json = Json { rest: std::str::from_utf8(body).ok()? };
    let mut says = PartialSuccess::default();
    json.object(0, &mut |json, key| {
        if !matches!(key, "partialSuccess" | "partial_success") || json.peek() != Some('{') {
            return json.skip(1);
        }
        json.object(1, &mut |json, key| {
            match (key, json.peek()) {
                ("rejectedSpans" | "rejected_spans", Some('"')) => says.rejected = count(json.string()?)?,
                ("rejectedSpans" | "rejected_spans", Some('-' | '0'..='9')) => {
                    says.rejected = count(json.literal()?)?;
                }
                ("errorMessage" | "error_message", Some('"')) => {
                    says.has_message = !json.string()?.is_empty()
                }
                _ => json.skip(2)?,
            }
            Some(())
        })
    })?;
    json.peek().is_none().then_some(says)
}

/// A whole number, as large as it can be if it is larger: what was accepted must not be sent again because of it.
fn count(text: &str) -> Option<i64> {
    match text.parse::<i64>() {
        Ok(count) => Some(count),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Some(i64::MAX),
        Err(error) if *error.kind() == IntErrorKind::NegOverflow => Some(i64::MIN),
        // A program that keeps every number as a float writes 2.0 or 1e3.
        Err(_) => text.parse::<f64>().ok().filter(|count| count.is_finite()).map(|count| count as i64),
    }
}

/// Objects nest no deeper in an answer; a server must not be able to exhaust our stack.
const MAX_DEPTH: usize = 32;

/// The rest of a JSON text. Every reader gives nothing at the first thing that is not JSON.
struct Json<'a> {
    rest: &'a str,
}

impl<'a> Json<'a> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        self.peek();
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    /// Hands each key to `field`, which reads the value.
    fn object(
        &mut self,
        depth: usize,
        field: &mut dyn FnMut(&mut Self, &'a str) -> Option<()>,
    ) -> Option<()> {
        self.list(depth, '{', '}', &mut |json| {
            let key = json.string()?;
            json.take(':')?;
            json.peek();
            field(json, key)
        })
    }

    fn list(
        &mut self,
        depth: usize,
        open: char,
        close: char,
        item: &mut dyn FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        if depth >= MAX_DEPTH {
            return None;
        }
        self.take(open)?;
        if self.take(close).is_some() {
            return Some(());
        }
        loop {
            self.peek();
            item(self)?;
            if self.take(close).is_some() {
                return Some(());
            }
            self.take(',')?;
        }
    }

    /// A string between its quotes, its escapes as they are written.
    fn string(&mut self) -> Option<&'a str> {
        self.take('"')?;
        let mut escaped = false;
        let end = self.rest.find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        })?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        (!text.contains(|character| character < ' ')).then_some(text)
    }

    /// A number, or one of the three words.
    fn literal(&mut self) -> Option<&'a str> {
        self.peek();
        let end = self.rest.find([',', '}', ']', ' ', '\t', '\n', '\r']).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        let is_word = matches!(text, "true" | "false" | "null");
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            && !text.contains(|character: char| character.is_ascii_alphabetic() && !"eE".contains(character))
            && text.parse::<f64>().is_ok();
        if !is_word && !is_number {
            return None;
        }
        self.rest = rest;
        Some(text)
    }

    /// Reads over a value.
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            '{' => self.object(depth, &mut |json, _| json.skip(depth + 1)),
            '[' => self.list(depth, '[', ']', &mut |json| json.skip(depth + 1)),
            '"' => self.string().map(|_| ()),
            _ => self.literal().map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOBUF: Option<&str> = Some("application/x-protobuf");
    const JSON: Option<&str> = Some("application/json; charset=utf-8");
    const NOT_OTLP: DeliveryOutcome = DeliveryOutcome::Retry { after: None, kind: FailureKind::NotOtlp };

    fn delivered(rejected: u64, warned: bool) -> DeliveryOutcome {
        DeliveryOutcome::Delivered { rejected, warned }
    }

    #[test]
    fn full_success_in_all_its_spellings() {
        for (content_type, body) in [
            (None, ""),
            (PROTOBUF, ""),
            (JSON, ""),
            (Some("APPLICATION/X-PROTOBUF"), ""),
            (Some("application/protobuf"), ""),
            // The Collector's.
            (PROTOBUF, "\n\0"),
            (JSON, r#"{"partialSuccess":{}}"#),
            // rotel's.
            (JSON, r#"{"partialSuccess":null}"#),
            (JSON, "{}"),
            (JSON, " {\r\n} \n"),
            (None, "{}"),
            // Each with the other's content type.
            (PROTOBUF, "{}"),
            (JSON, "\n\0"),
            (JSON, r#"{"partialSuccess":{"rejectedSpans":"0","errorMessage":""},"new":[1,{"a":[]},"\"]"]}"#),
        ] {
            assert_eq!(
                of_success(content_type, body.as_bytes()),
                DeliveryOutcome::DELIVERED,
                "{content_type:?} {body:?}"
            );
        }
    }

    #[test]
    fn partial_success_is_counted() {
        for (body, answer) in [
            (&b"\x0a\x02\x08\x03"[..], delivered(3, false)),
            (b"\x0a\x07\x08\x03\x12\x03bad", delivered(3, false)),
            (b"\x0a\x05\x12\x03hmm", delivered(0, true)),
            (br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"bad"}}"#, delivered(3, false)),
            (br#"{"partialSuccess":{"rejectedSpans":3}}"#, delivered(3, false)),
            (br#"{"partialSuccess":{"rejectedSpans":3.0}}"#, delivered(3, false)),
            (br#"{"partialSuccess":{"rejectedSpans":null,"errorMessage":null}}"#, DeliveryOutcome::DELIVERED),
            (br#"{"partialSuccess":{"rejectedSpans":"-9223372036854775809"}}"#, DeliveryOutcome::DELIVERED),
            (br#"{"partialSuccess":{"rejectedSpans":1e300}}"#, delivered(i64::MAX as u64, false)),
            (
                br#"{"partialSuccess":{"rejectedSpans":"9223372036854775808"}}"#,
                delivered(i64::MAX as u64, false),
            ),
            (b"\x0a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", delivered(i64::MAX as u64, false)),
            (b"\x0a\x0b\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", DeliveryOutcome::DELIVERED),
            (br#"{"partial_success":{"rejected_spans":3}}"#, delivered(3, false)),
            (br#"{"partialSuccess":{"errorMessage":"h\"m}"}}"#, delivered(0, true)),
        ] {
            assert_eq!(of_success(PROTOBUF, body), answer, "{body:?}");
            assert_eq!(of_success(JSON, body), answer, "{body:?}");
        }
    }

    #[test]
    fn a_portal_has_received_nothing() {
        let deep = "[".repeat(100_000);
        for (content_type, body) in [
            (Some("text/html"), "<html>Please log in</html>"),
            (Some("text/html"), ""),
            (Some("text/plain"), "OK"),
            (Some("text/plain"), "{}"),
            (None, "<html>Please log in</html>"),
            (None, "OK"),
            (None, "\n\0"),
            (JSON, "<html>Please log in</html>"),
            (PROTOBUF, "<html>Please log in</html>"),
            (JSON, "null"),
            (JSON, "[]"),
            (JSON, "{"),
            (JSON, "{}{}"),
            (JSON, "{} x"),
            (JSON, r#"{"a":NaN}"#),
            (JSON, r#"{"a":-inf}"#),
            (JSON, r#"{"a":1,}"#),
            (JSON, r#"{"partialSuccess":{"rejectedSpans":"many"}}"#),
            (JSON, &format!(r#"{{"a":{deep}"#)),
        ] {
            assert_eq!(of_success(content_type, body.as_bytes()), NOT_OTLP, "{content_type:?} {body:.40?}");
        }
    }

    #[test]
    fn no_answer_makes_it_panic() {
        let body =
            br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"h\"m\u00e9"},"x":[1.5,true,null]}"#;
        for length in 0..body.len() {
            assert_eq!(
                of_success(JSON, &body[..length]) == DeliveryOutcome::DELIVERED,
                length == 0,
                "{length}"
            );
            for byte in [0, b'"', b'\\', b'{', b']', 0xff] {
                let mut spoilt = body.to_vec();
                spoilt[length] = byte;
                let _ = of_success(JSON, &spoilt);
                let _ = of_success(PROTOBUF, &spoilt);
            }
        }
    }
}

//! The body of a successful HTTP response: whether it is OTLP, and how many spans the receiver rejected.
//!
//! Captive portals and wrong servers answer 200 too, so a success counts only if the body looks like OTLP. Some
//! receivers send JSON with the content type of protobuf, or protobuf with that of JSON. Either content type is
//! therefore enough to try both decoders.

use std::num::IntErrorKind;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use serde_json::Value;

use crate::upload::delivery::{DeliveryOutcome, FailureKind};

/// The outcome of a successful status with this body.
///
/// An empty body without a content type is a success: it is a complete protobuf response, which some receivers send,
/// while a portal always has a page to show.
pub(crate) fn outcome(content_type: Option<&str>, body: &[u8]) -> DeliveryOutcome {
    let outcome = match content_type {
        None if body.is_empty() => Some(DeliveryOutcome::DELIVERED),
        None => from_json(body),
        Some(value) if is_otlp(value) => from_protobuf(body).or_else(|| from_json(body)),
        Some(_) => None,
    };
    outcome.unwrap_or(DeliveryOutcome::retry(FailureKind::NotOtlp))
}

/// Whether the content type is one of OTLP's, or the registered one of protobuf.
pub(crate) fn is_otlp(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    ["application/x-protobuf", "application/json", "application/protobuf"]
        .iter()
        .any(|otlp| media_type.eq_ignore_ascii_case(otlp))
}

fn from_protobuf(body: &[u8]) -> Option<DeliveryOutcome> {
    let partial = ExportTraceServiceResponse::decode(body).ok()?.partial_success.unwrap_or_default();
    Some(DeliveryOutcome::from_partial_success(partial.rejected_spans, !partial.error_message.is_empty()))
}

fn from_json(body: &[u8]) -> Option<DeliveryOutcome> {
    let response: Value = serde_json::from_slice(body).ok()?;
    let response = response.as_object()?;
    let partial = response.get("partialSuccess").or_else(|| response.get("partial_success"));
    let field = |camel, snake| partial.and_then(|partial| partial.get(camel).or_else(|| partial.get(snake)));
    let rejected = match field("rejectedSpans", "rejected_spans") {
        Some(Value::String(count)) => parse_count(count)?,
        Some(Value::Number(count)) => parse_count(&count.to_string())?,
        _ => 0,
    };
    let message = field("errorMessage", "error_message").and_then(Value::as_str);
    Some(DeliveryOutcome::from_partial_success(rejected, message.is_some_and(|message| !message.is_empty())))
}

/// Parses a whole number and clamps one that does not fit, because the accepted spans must not be sent again.
fn parse_count(text: &str) -> Option<i64> {
    match text.parse::<i64>() {
        Ok(count) => Some(count),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Some(i64::MAX),
        Err(error) if *error.kind() == IntErrorKind::NegOverflow => Some(i64::MIN),
        // Programs that keep every number as a float write 2.0 or 1e3.
        Err(_) => text.parse::<f64>().ok().filter(|count| count.is_finite()).map(|count| count as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOBUF: Option<&str> = Some("application/x-protobuf");
    const JSON: Option<&str> = Some("application/json; charset=utf-8");
    const DELIVERED: DeliveryOutcome = DeliveryOutcome::DELIVERED;
    const NOT_OTLP: DeliveryOutcome = DeliveryOutcome::Retry { after: None, kind: FailureKind::NotOtlp };

    fn delivered(rejected: u64, warned: bool) -> DeliveryOutcome {
        DeliveryOutcome::Delivered { rejected, warned }
    }

    #[test]
    fn every_spelling_of_a_full_success_is_accepted() {
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
            assert_eq!(outcome(content_type, body.as_bytes()), DELIVERED, "{content_type:?} {body:?}");
        }
    }

    #[test]
    fn partial_success_is_counted() {
        for (body, expected) in [
            (&b"\x0a\x02\x08\x03"[..], delivered(3, false)),
            (b"\x0a\x07\x08\x03\x12\x03bad", delivered(3, false)),
            (b"\x0a\x05\x12\x03hmm", delivered(0, true)),
            (br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"bad"}}"#, delivered(3, false)),
            (br#"{"partialSuccess":{"rejectedSpans":3}}"#, delivered(3, false)),
            (br#"{"partialSuccess":{"rejectedSpans":3.0}}"#, delivered(3, false)),
            (br#"{"partialSuccess":{"rejectedSpans":1,"rejectedSpans":3}}"#, delivered(3, false)),
            (br#"{"partialSuccess":{"rejectedSpans":null,"errorMessage":null}}"#, DELIVERED),
            (br#"{"partialSuccess":{"rejectedSpans":"-9223372036854775809"}}"#, DELIVERED),
            (br#"{"partialSuccess":{"rejectedSpans":1e300}}"#, delivered(i64::MAX as u64, false)),
            (
                br#"{"partialSuccess":{"rejectedSpans":"9223372036854775808"}}"#,
                delivered(i64::MAX as u64, false),
            ),
            (b"\x0a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", delivered(i64::MAX as u64, false)),
            (b"\x0a\x0b\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", DELIVERED),
            (br#"{"partial_success":{"rejected_spans":3}}"#, delivered(3, false)),
            (br#"{"partialSuccess":{"errorMessage":"h\"m}"}}"#, delivered(0, true)),
        ] {
            assert_eq!(outcome(PROTOBUF, body), expected, "{body:?}");
            assert_eq!(outcome(JSON, body), expected, "{body:?}");
        }
    }

    #[test]
    fn a_body_that_is_not_otlp_delivers_nothing() {
        let open = "[".repeat(100_000);
        let closed = format!("{open}{}", "]".repeat(100_000));
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
            (JSON, &format!(r#"{{"a":{open}"#)),
            // Too deep for a parser on the stack.
            (JSON, &format!(r#"{{"a":{closed}}}"#)),
        ] {
            assert_eq!(outcome(content_type, body.as_bytes()), NOT_OTLP, "{content_type:?} {body:.40?}");
        }
    }

    #[test]
    fn a_corrupt_body_causes_no_panic() {
        let body =
            br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"h\"m\u00e9"},"x":[1.5,true,null]}"#;
        for length in 0..body.len() {
            assert_eq!(outcome(JSON, &body[..length]) == DELIVERED, length == 0, "{length}");
            for byte in [0, b'"', b'\\', b'{', b']', 0xff] {
                let mut corrupt = body.to_vec();
                corrupt[length] = byte;
                let _ = outcome(JSON, &corrupt);
                let _ = outcome(PROTOBUF, &corrupt);
            }
        }
    }
}

//! The encodings of HTTP bodies: gzip, and JSON without whitespace.

use std::borrow::Cow;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Whether the bytes are gzip. Neither protobuf (field 3 of wire type 7) nor JSON can begin with this magic number.
pub(crate) fn is_gzip(body: &[u8]) -> bool {
    body.starts_with(&[0x1f, 0x8b])
}

pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// The uncompressed body; nothing if it cannot be decompressed or has more than `limit` bytes.
pub(crate) fn uncompressed(body: &[u8], limit: u64) -> Option<Cow<'_, [u8]>> {
    if !is_gzip(body) {
        return Some(Cow::Borrowed(body));
    }
    let mut uncompressed = Vec::new();
    MultiGzDecoder::new(body).take(limit + 1).read_to_end(&mut uncompressed).ok()?;
    (uncompressed.len() as u64 <= limit).then_some(Cow::Owned(uncompressed))
}

/// Removes the whitespace between the tokens of a JSON text, because `opentelemetry-otlp` indents.
pub(crate) fn compact_json(json: &[u8]) -> Cow<'_, [u8]> {
    // If another crate enables the exporter's own compression, the environment can turn it on.
    if is_gzip(json) {
        return Cow::Borrowed(json);
    }
    let mut compact = Vec::with_capacity(json.len());
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        if in_string {
            in_string = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        compact.push(byte);
    }
    Cow::Owned(compact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compacting_keeps_strings() {
        let json = br#"{ "a b" : [ 1 ,	"c \" d" , "\\" , { } ] ,
            "e" : " " }"#;
        let compact = compact_json(json);
        assert_eq!(std::str::from_utf8(&compact), Ok(r#"{"a b":[1,"c \" d","\\",{}],"e":" "}"#));
        assert_eq!(compact_json(&compact), compact);
    }

    #[test]
    fn gzip_is_detected_and_decompressed_up_to_the_limit() {
        let body = b"spans ".repeat(100);
        let compressed = gzip(&body);
        assert!(is_gzip(&compressed) && !is_gzip(&body) && compressed.len() < body.len() / 5);
        assert_eq!(uncompressed(&compressed, 600).expect("gzip"), body);
        assert_eq!(uncompressed(&body, 0).expect("no gzip"), body);
        assert_eq!(uncompressed(&compressed, 599), None, "too large");
        assert_eq!(uncompressed(&compressed[..20], 600), None, "truncated");
    }
}

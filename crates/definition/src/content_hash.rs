//! The content hash, by which a receiver finds the `telemetry.toml` that a run was recorded under.

use std::fmt::Write as _;

use hmac_sha256::Hash;

/// The content hash of a `telemetry.toml`: the first 16 bytes of the SHA-256 of its text, as 32 hexadecimal digits. A
/// checkout with CRLF line ends has the same hash.
///
/// ```
/// use tool_telemetry_definition::content_hash;
///
/// assert_eq!(content_hash("format = 1\n"), content_hash("format = 1\r\n"));
/// assert_eq!(content_hash(""), "e3b0c44298fc1c149afbf4c8996fb924");
/// ```
pub fn content_hash(text: &str) -> String {
    let hash = Hash::hash(text.replace("\r\n", "\n").as_bytes());
    hash[..16].iter().fold(String::with_capacity(32), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

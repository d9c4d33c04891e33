//! Ids in lowercase hexadecimal, as in OTLP/JSON and the trace context, and the checksum of our own files.

/// The two digits of each byte.
static DIGITS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 0xf]];
        byte += 1;
    }
    pairs
};

/// Writes the digits of as many bytes as fit.
pub(crate) fn render(bytes: &[u8], digits: &mut [u8]) {
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&DIGITS[usize::from(*byte)]);
    }
}

/// Appends the digits of at most 16 bytes, the length of a trace id.
pub(crate) fn push<const LENGTH: usize>(bytes: &[u8; LENGTH], out: &mut Vec<u8>) {
    let mut digits = [0; 32];
    let digits = &mut digits[..2 * LENGTH];
    render(bytes, digits);
    out.extend_from_slice(digits);
}

/// The digits as a string.
pub(crate) fn text<const LENGTH: usize>(bytes: &[u8; LENGTH]) -> String {
    let mut digits = Vec::with_capacity(2 * LENGTH);
    push(bytes, &mut digits);
    digits.into_iter().map(char::from).collect()
}

/// FNV-1a, 64 bits. It detects a bad disk, a torn write, and a stray editor, but not a deliberate change.
pub(crate) fn checksum(text: &str) -> String {
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{sum:016x}")
}

/// Parses a text that has exactly the digits of `LENGTH` bytes.
pub(crate) fn parse<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * LENGTH {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_lowercase_and_parsed_back() {
        let bytes = [0x00, 0x9f, 0xa0, 0xff];
        assert_eq!(text(&bytes), "009fa0ff");
        assert_eq!(parse("009fa0ff"), Some(bytes));
    }

    #[test]
    fn anything_but_the_digits_is_refused() {
        for text in ["009FA0FF", "009fa0f", "009fa0ff0", "009fa0fg", "+09fa0ff", "009fa0é"] {
            assert_eq!(parse::<4>(text), None, "{text}");
        }
    }
}

//! Versions: that of the tool, those in `since` and `until`, and those that are values of data points.

use std::cmp::Ordering;
use std::fmt;

/// A version: one to three numbers of at most five digits, then optionally `alpha`, `beta`, `preview`, or `rc` with an
/// optional number. `1.0` and `1.0.0` are equal, but each is displayed as it was written.
///
/// ```
/// use tool_telemetry_definition::Version;
///
/// let preview = Version::parse("1.0.0-preview.4").unwrap();
/// assert!(preview < Version::parse("1.0").unwrap());
/// assert_eq!(preview.to_string(), "1.0.0-preview.4");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Version {
    numbers: [u32; 3],
    /// How many of `numbers` are displayed, 1 to 3.
    count: u8,
    stage: Stage,
    stage_number: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Alpha,
    Beta,
    Preview,
    Rc,
    Release,
}

const STAGES: [(Stage, &str); 4] =
    [(Stage::Alpha, "-alpha"), (Stage::Beta, "-beta"), (Stage::Preview, "-preview"), (Stage::Rc, "-rc")];

impl Version {
    /// `major.minor.patch`.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { numbers: [major, minor, patch], count: 3, stage: Stage::Release, stage_number: None }
    }

    /// Parses a version. Returns `None` if the text is anything else or has anything more.
    ///
    /// ```
    /// use tool_telemetry_definition::Version;
    ///
    /// assert_eq!(Version::parse("1.10.0-rc.2").unwrap().to_string(), "1.10.0-rc.2");
    /// assert!(Version::parse("192.168.1.10").is_none());
    /// assert!(Version::parse("1.0.0-anna").is_none());
    /// ```
    pub const fn parse(text: &str) -> Option<Self> {
        let mut version = Self::new(0, 0, 0);
        version.count = 0;
        let mut rest = text.as_bytes();
        while version.count < 3 {
            let Some((number, after)) = split_number(rest) else { return None };
            version.numbers[version.count as usize] = number;
            version.count += 1;
            rest = after;
            match rest {
                [b'.', after @ ..] if version.count < 3 => rest = after,
                _ => break,
            }
        }
        let mut position = 0;
        while position < STAGES.len() {
            let (stage, name) = STAGES[position];
            if let Some(after) = strip_prefix(rest, name.as_bytes()) {
                version.stage = stage;
                rest = after;
                break;
            }
            position += 1;
        }
        if !rest.is_empty() && position < STAGES.len() {
            let digits = if let [b'.', digits @ ..] = rest { digits } else { rest };
            let Some((number, after)) = split_number(digits) else { return None };
            version.stage_number = Some(number);
            rest = after;
        }
        if rest.is_empty() { Some(version) } else { None }
    }

    /// The longest prefix of a text that is a version and ends at a `.`, `-`, or `+`: `1.2.3` for `1.2.3-dev` and
    /// `1.2.3+git.abc`. The rest may be a name or a commit and is never sent.
    #[doc(hidden)]
    pub fn longest_prefix(text: &str) -> Option<&str> {
        // No version is longer than 40 bytes.
        let ends = (1..=text.len().min(40)).rev();
        let is_end = |at: &usize| matches!(text.as_bytes().get(*at), None | Some(b'.' | b'-' | b'+'));
        ends.filter(is_end).filter_map(|at| text.get(..at)).find(|prefix| Self::parse(prefix).is_some())
    }

    /// The same version, displayed with all three numbers.
    #[cfg(feature = "parse")]
    pub(crate) const fn with_three_numbers(self) -> Self {
        Self { count: 3, ..self }
    }
}

/// Splits a number off the front: at most five digits, without a leading zero, so that it is displayed as it was
/// written.
const fn split_number(text: &[u8]) -> Option<(u32, &[u8])> {
    let (mut number, mut digits, mut rest) = (0, 0, text);
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        if digits == 5 {
            return None;
        }
        number = number * 10 + (*digit - b'0') as u32;
        digits += 1;
        rest = after;
    }
    let has_leading_zero = digits > 1 && text[0] == b'0';
    if digits == 0 || has_leading_zero { None } else { Some((number, rest)) }
}

/// `<[u8]>::strip_prefix` for constant expressions.
const fn strip_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    if text.len() < prefix.len() {
        return None;
    }
    let (head, rest) = text.split_at(prefix.len());
    let mut position = 0;
    while position < head.len() {
        if head[position] != prefix[position] {
            return None;
        }
        position += 1;
    }
    Some(rest)
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = |version: &Self| (version.numbers, version.stage, version.stage_number);
        order(self).cmp(&order(other))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, number) in self.numbers[..usize::from(self.count)].iter().enumerate() {
            if position > 0 {
                f.write_str(".")?;
            }
            write!(f, "{number}")?;
        }
        if let Some((_, name)) = STAGES.iter().find(|(stage, _)| *stage == self.stage) {
            f.write_str(name)?;
        }
        match self.stage_number {
            Some(number) => write!(f, ".{number}"),
            None => Ok(()),
        }
    }
}

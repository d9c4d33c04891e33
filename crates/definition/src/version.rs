//! The versions that `since` and `until` name.

use std::cmp::Ordering;
use std::fmt;

/// A version: at most three numbers of at most five digits, then perhaps `alpha`, `beta`, `preview` or `rc` with a
/// number. `1.0` and `1.0.0` are the same.
///
/// ```
/// use tool_telemetry_definition::Version;
///
/// let preview = Version::parse("1.0.0-preview.4").unwrap();
/// assert!(preview < Version::parse("1.0").unwrap());
/// assert_eq!(preview.to_string(), "1.0.0-preview.4");
/// assert!(Version::parse("1.0.0.0").is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    numbers: [u32; 3],
    stage: Option<Stage>,
    stage_number: Option<u32>,
}

/// What comes before a release, in the order in which they follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// `alpha`
    Alpha,
    /// `beta`
    Beta,
    /// `preview`
    Preview,
    /// `rc`
    Rc,
}

impl Stage {
    /// All stages, in their order.
    pub const ALL: [Self; 4] = [Self::Alpha, Self::Beta, Self::Preview, Self::Rc];

    /// The word in a version.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Beta => "beta",
            Self::Preview => "preview",
            Self::Rc => "rc",
        }
    }
}

impl Version {
    /// Reads a version, or nothing if the text is more or other than one.
    pub fn parse(text: &str) -> Option<Self> {
        let (numbers_text, stage_text) = match text.split_once('-') {
            Some((numbers, stage)) => (numbers, Some(stage)),
            None => (text, None),
        };
        let mut numbers = [0; 3];
        for (position, part) in numbers_text.split('.').enumerate() {
            *numbers.get_mut(position)? = number(part)?;
        }
        let mut version = Self { numbers, stage: None, stage_number: None };
        if let Some(text) = stage_text {
            let (stage, rest) =
                Stage::ALL.into_iter().find_map(|stage| Some((stage, text.strip_prefix(stage.name())?)))?;
            version.stage = Some(stage);
            if !rest.is_empty() {
                version.stage_number = Some(number(rest.strip_prefix('.').unwrap_or(rest))?);
            }
        }
        Some(version)
    }

    /// Major, minor and patch.
    pub fn numbers(&self) -> [u32; 3] {
        self.numbers
    }

    /// What it is before the release, and the number of that, if one was written.
    pub fn stage(&self) -> Option<(Stage, Option<u32>)> {
        self.stage.map(|stage| (stage, self.stage_number))
    }

    pub(crate) const ZERO: Self = Self { numbers: [0; 3], stage: None, stage_number: None };
}

/// At most five digits, and no zero in front.
fn number(digits: &str) -> Option<u32> {
    let plausible = matches!(digits.len(), 1..=5)
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    if plausible { digits.parse().ok() } else { None }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        // A release comes after its stages, so it is not the `None` that would come first.
        let order =
            |version: &Self| (version.numbers, version.stage.is_none(), version.stage, version.stage_number);
        order(self).cmp(&order(other))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if let Some(stage) = self.stage {
            write!(f, "-{}", stage.name())?;
        }
        match self.stage_number {
            Some(number) => write!(f, ".{number}"),
            None => Ok(()),
        }
    }
}

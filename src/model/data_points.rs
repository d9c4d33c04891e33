//! The approved data points: static tables made from `telemetry.toml` at compile time, and the one funnel
//! ([`DataPoint::admit_text`] and its siblings) through which a value passes before it exists for us.
//!
//! An admitted [`Value`] has no room for text of the person's: it is a flag, a bounded number, a position in a
//! closed list, or a few small numbers of a version. What is written and sent is rendered from these again.

use std::fmt;

/// The approved data points of a tool, made by [`data_points!`](crate::model::data_points!) from its `telemetry.toml`.
///
/// ```
/// static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
///
/// assert!(DATA_POINTS.keys().any(|key| key == "process.exit.code"));
/// ```
#[derive(Debug)]
pub struct DataPoints {
    #[doc(hidden)]
    pub publisher: Option<Publisher>,
    #[doc(hidden)]
    pub telemetry_command: Option<&'static str>,
    /// At most [`MAX_SPANS`], so that a set of spans is one `u64`.
    #[doc(hidden)]
    pub spans: &'static [ApprovedSpan],
    /// At most [`MAX_DATA_POINTS`], so that a set of data points is one `u64`.
    #[doc(hidden)]
    pub data_points: &'static [DataPoint],
    /// Positions in `data_points` of those that the run itself may have.
    #[doc(hidden)]
    pub on_run: &'static [u8],
}

/// How many data points one file may approve.
pub const MAX_DATA_POINTS: usize = 64;
/// How many spans one file may approve.
pub const MAX_SPANS: usize = 64;
/// What a value becomes that is not in its closed list.
pub const OTHER: &str = "other";

/// Who answers for the data: the `[publisher]` of `telemetry.toml`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Publisher {
    /// Name of the organisation or person.
    pub name: &'static str,
    /// E-mail address or page for questions, and for reports of a data point that should not be there.
    pub contact: &'static str,
    /// The https address of the privacy page.
    pub privacy: &'static str,
    /// Days after which a run is deleted at the publisher's.
    pub retention_days: u32,
    /// The SPDX identifier of the licence under which aggregates are published.
    pub licence: &'static str,
}

impl Publisher {
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        contact: &'static str,
        privacy: &'static str,
        retention_days: u32,
        licence: &'static str,
    ) -> Self {
        Self { name, contact, privacy, retention_days, licence }
    }
}

/// Who may receive a span or a data point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The maker of the tool, and every operator.
    Maker,
    /// Only a destination that the person or the machine's administrator chose.
    Operator,
}

/// A span that may be recorded: by its name and by the crate or module that it comes from.
#[doc(hidden)]
#[derive(Debug)]
pub struct ApprovedSpan {
    pub name: &'static str,
    /// A crate or a module; modules below it count too.
    pub target: &'static str,
    pub level: tracing::Level,
    pub sentence: &'static str,
    pub why: &'static str,
    pub audience: Audience,
    pub since: Version,
    pub until: Option<Version>,
    /// Positions in [`DataPoints::data_points`] of those that this span may have.
    pub data_points: &'static [u8],
}

/// One approved data point: a key, and what its value may be.
#[doc(hidden)]
#[derive(Debug)]
pub struct DataPoint {
    pub key: &'static str,
    pub sentence: &'static str,
    pub why: &'static str,
    pub kind: Kind,
    pub audience: Audience,
    pub since: Version,
    pub until: Option<Version>,
}

/// What the value of a data point may be. There is no free text and no hash: a hash of a name is a name.
#[doc(hidden)]
#[derive(Debug)]
pub enum Kind {
    Bool,
    /// Both ends included; at most 10,000 values.
    Integer {
        min: i64,
        max: i64,
    },
    /// What the platform gives as a process's exit code.
    ExitCode,
    /// One of the tool's own commands.
    Command(&'static [&'static str]),
    /// One of a closed set.
    Set(&'static [&'static str]),
    Version,
    /// A prefix, a version and a suffix, such as `netcoreapp1.1` or `net8.0-windows`.
    Moniker {
        prefixes: &'static [&'static str],
        suffixes: &'static [&'static str],
    },
}

/// An admitted value. Positions are those in the data point's own lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    Bool(bool),
    Integer(i64),
    /// A member of the closed set.
    Member(u16),
    /// Something that is not in the closed list.
    Other,
    Version(Version),
    Moniker {
        prefix: u16,
        suffix: Option<u16>,
        version: Version,
    },
}

/// A version as a data point may have it: at most three numbers of at most five digits, then perhaps `alpha`,
/// `beta`, `preview` or `rc` with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    numbers: [u32; 3],
    /// How many of `numbers` were written, 1 to 3.
    count: u8,
    /// Ordered before the release itself; [`Stage::Release`] when there is none.
    stage: Stage,
    /// The number behind the stage, if one was written.
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

impl Stage {
    const NAMED: [(Stage, &'static str); 4] =
        [(Stage::Alpha, "alpha"), (Stage::Beta, "beta"), (Stage::Preview, "preview"), (Stage::Rc, "rc")];

    fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(stage, _)| *stage == self).map_or("", |(_, name)| name)
    }
}

impl Version {
    /// `major.minor.patch`, as the tables made by `data_points!` write it.
    #[doc(hidden)]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { numbers: [major, minor, patch], count: 3, stage: Stage::Release, stage_number: None }
    }

    /// The same version at a stage before its release, as the tables made by `data_points!` write it; `stage` is
    /// its position among alpha, beta, preview and rc.
    #[doc(hidden)]
    pub const fn before_release(mut self, stage: usize, number: Option<u32>) -> Self {
        self.stage = Stage::NAMED[stage].0;
        self.stage_number = number;
        self
    }

    /// Reads a version, or nothing if the text is more or other than one.
    ///
    /// ```
    /// use tool_telemetry::Version;
    ///
    /// assert_eq!(Version::parse("1.10.0-rc.2").unwrap().to_string(), "1.10.0-rc.2");
    /// assert!(Version::parse("192.168.1.10").is_none());
    /// assert!(Version::parse("1.0.0-anna").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let (numbers_text, stage_text) = match text.split_once('-') {
            Some((numbers, stage)) => (numbers, Some(stage)),
            None => (text, None),
        };
        let mut numbers = [0; 3];
        let mut count = 0;
        for part in numbers_text.split('.') {
            *numbers.get_mut(count)? = small_number(part)?;
            count += 1;
        }
        let (stage, stage_number) = match stage_text {
            None => (Stage::Release, None),
            Some(text) => {
                let (stage, rest) = Stage::NAMED
                    .into_iter()
                    .find_map(|(stage, name)| Some((stage, text.strip_prefix(name)?)))?;
                match rest.strip_prefix('.').unwrap_or(rest) {
                    "" if rest.is_empty() => (stage, None),
                    digits => (stage, Some(small_number(digits)?)),
                }
            }
        };
        Some(Self { numbers, count: count as u8, stage, stage_number })
    }

    /// The longest beginning of a text that is a version, up to where a part of it ends: of `1.2.3-dev` and
    /// `1.2.3+git.abc` it is `1.2.3`. What is behind it may be anything, a name or a commit, and is told to nobody.
    pub(crate) fn beginning_of(text: &str) -> Option<&str> {
        // No version is longer than 40 bytes.
        let ends = (1..=text.len().min(40)).rev();
        let is_end = |at: &usize| matches!(text.as_bytes().get(*at), None | Some(b'.' | b'-' | b'+'));
        ends.filter(is_end).filter_map(|at| text.get(..at)).find(|beginning| Self::parse(beginning).is_some())
    }

    fn order(&self) -> ([u32; 3], Stage, Option<u32>) {
        (self.numbers, self.stage, self.stage_number)
    }

    /// Whether this version comes before `other`; `1.0` and `1.0.0` are the same.
    pub(crate) fn is_before(&self, other: &Version) -> bool {
        self.order() < other.order()
    }
}

/// At most five digits, and no zero in front, so that rendering it gives the same text.
fn small_number(digits: &str) -> Option<u32> {
    let plausible = matches!(digits.len(), 1..=5)
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    if plausible { digits.parse().ok() } else { None }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, number) in self.numbers[..usize::from(self.count)].iter().enumerate() {
            if position > 0 {
                f.write_str(".")?;
            }
            write!(f, "{number}")?;
        }
        if self.stage != Stage::Release {
            write!(f, "-{}", self.stage.name())?;
            if let Some(number) = self.stage_number {
                write!(f, ".{number}")?;
            }
        }
        Ok(())
    }
}

impl DataPoints {
    /// The keys of all approved data points, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.data_points.iter().map(|data_point| data_point.key)
    }

    /// Who answers for the data, if the file says so.
    pub fn publisher(&self) -> Option<&Publisher> {
        self.publisher.as_ref()
    }

    /// The tool's own command about its telemetry, as people type it, if the file names it.
    pub fn telemetry_command(&self) -> Option<&'static str> {
        self.telemetry_command
    }

    /// The position of the approved span with this name that comes from this target.
    pub(crate) fn span(&self, name: &str, target: &str) -> Option<u8> {
        let position = self.spans.iter().position(|span| {
            span.name == name
                && target
                    .strip_prefix(span.target)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })?;
        Some(position as u8)
    }

    /// The position of an approved span with this name, whose target is not known: a run file and the wire tell only the
    /// name. Entries of one name have the same data points and differ in their audience. What lies in a folder of the
    /// maker's was recorded under an entry for the maker, and in an operator's either may be sent: so the one for the
    /// maker is taken, if there is one.
    pub(crate) fn span_in_file(&self, name: &str) -> Option<u8> {
        let named = || (0_u8..).zip(self.spans).filter(|(_, span)| span.name == name);
        let for_maker = named().find(|(_, span)| span.audience == Audience::Maker);
        for_maker.or_else(|| named().next()).map(|(position, _)| position)
    }

    /// The position of the data point with this key among those of `allowed`.
    pub(crate) fn key_among(&self, allowed: &[u8], key: &str) -> Option<u8> {
        allowed.iter().copied().find(|&position| self.data_points[usize::from(position)].key == key)
    }

    /// The position of the data point that holds the tool's command, if one is approved.
    pub(crate) fn command(&self) -> Option<u8> {
        self.run_data_point(|kind| matches!(kind, Kind::Command(_)))
    }

    /// The position of the data point that holds the exit code, if one is approved.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        self.run_data_point(|kind| matches!(kind, Kind::ExitCode))
    }

    fn run_data_point(&self, wanted: impl Fn(&Kind) -> bool) -> Option<u8> {
        self.on_run.iter().copied().find(|&position| wanted(&self.data_points[usize::from(position)].kind))
    }
}

impl DataPoint {
    /// Admits a text: `str` fields, and what a `%` or `?` field displays.
    pub(crate) fn admit_text(&self, text: &str) -> Option<Value> {
        let text = text.trim();
        match &self.kind {
            Kind::Bool => match text {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => None,
            },
            Kind::Integer { .. } | Kind::ExitCode => self.admit_integer(text.parse().ok()?),
            Kind::Command(members) | Kind::Set(members) => Some(member(members, text)),
            Kind::Version => Some(Version::parse(text).map_or(Value::Other, Value::Version)),
            Kind::Moniker { prefixes, suffixes } => Some(moniker(prefixes, suffixes, text)),
        }
    }

    /// Admits a whole number.
    pub(crate) fn admit_integer(&self, number: i64) -> Option<Value> {
        let (min, max) = match self.kind {
            Kind::Integer { min, max } => (min, max),
            // Windows has 32 bits, read as signed or unsigned; everything else has 8.
            Kind::ExitCode if cfg!(windows) => (i64::from(i32::MIN), i64::from(u32::MAX)),
            Kind::ExitCode => (0, 255),
            _ => return None,
        };
        (min..=max).contains(&number).then_some(Value::Integer(number))
    }

    /// Admits a flag.
    pub(crate) fn admit_bool(&self, flag: bool) -> Option<Value> {
        matches!(self.kind, Kind::Bool).then_some(Value::Bool(flag))
    }

    /// Writes the value of a text kind as it is sent.
    pub(crate) fn render(&self, value: &Value, out: &mut dyn fmt::Write) -> fmt::Result {
        let listed = |list: &'static [&'static str], position: u16| {
            list.get(usize::from(position)).copied().unwrap_or(OTHER)
        };
        match (value, &self.kind) {
            (Value::Bool(flag), _) => write!(out, "{flag}"),
            (Value::Integer(number), _) => write!(out, "{number}"),
            (Value::Version(version), _) => write!(out, "{version}"),
            (Value::Member(position), Kind::Command(members) | Kind::Set(members)) => {
                out.write_str(listed(members, *position))
            }
            (Value::Moniker { prefix, suffix, version }, Kind::Moniker { prefixes, suffixes }) => {
                out.write_str(listed(prefixes, *prefix))?;
                write!(out, "{version}")?;
                match suffix {
                    Some(suffix) => out.write_str(listed(suffixes, *suffix)),
                    None => Ok(()),
                }
            }
            _ => out.write_str(OTHER),
        }
    }
}

fn position_of(list: &[&str], text: &str) -> Option<u16> {
    // As a tool usually gives it: nothing to fold, and half the time.
    let exact = list.iter().position(|member| *member == text);
    let folded = || list.iter().position(|member| member.eq_ignore_ascii_case(text));
    exact.or_else(folded).map(|position| position as u16)
}

fn member(members: &[&str], text: &str) -> Value {
    position_of(members, text).map_or(Value::Other, Value::Member)
}

/// Tries every prefix, since one may begin another (`net` and `netcoreapp`).
fn moniker(prefixes: &[&str], suffixes: &[&str], text: &str) -> Value {
    for (position, prefix) in prefixes.iter().enumerate() {
        let Some((head, rest)) = text.split_at_checked(prefix.len()) else {
            continue;
        };
        if !head.eq_ignore_ascii_case(prefix) {
            continue;
        }
        let (version, suffix) = match Version::parse(rest) {
            Some(version) => (Some(version), None),
            None => split_suffix(suffixes, rest),
        };
        if let Some(version) = version {
            return Value::Moniker { prefix: position as u16, suffix, version };
        }
    }
    Value::Other
}

fn split_suffix(suffixes: &[&str], text: &str) -> (Option<Version>, Option<u16>) {
    for (position, suffix) in suffixes.iter().enumerate() {
        let Some((version, tail)) =
            text.len().checked_sub(suffix.len()).and_then(|at| text.split_at_checked(at))
        else {
            continue;
        };
        if tail.eq_ignore_ascii_case(suffix)
            && let Some(version) = Version::parse(version)
        {
            return (Some(version), Some(position as u16));
        }
    }
    (None, None)
}

#[cfg(test)]
mod tests;

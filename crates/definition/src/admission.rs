//! Admission of values. Every value passes [`DataPoint::admit_text`], `admit_integer`, or `admit_bool`.
//!
//! An admitted [`Value`] has no room for the user's text. It is a flag, a bounded integer, a position in a closed list,
//! or the few small numbers of a version. What is written and sent is rendered from these.

use std::fmt;

use crate::{DataPoint, Kind, OTHER, Version};

/// An admitted value. A position is that in the data point's own list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A flag.
    Bool(bool),
    /// An integer within the data point's range.
    Integer(i64),
    /// A member of the closed set.
    Member(u16),
    /// Anything that is not in the closed list.
    Other,
    /// A version.
    Version(Version),
    /// A prefix, a version, and optionally a suffix.
    Moniker {
        /// The position of the prefix.
        prefix: u16,
        /// The position of the suffix.
        suffix: Option<u16>,
        /// The version between them.
        version: Version,
    },
}

#[doc(hidden)]
impl DataPoint {
    /// Admits a text: a `str` field, or the output of a `%` or `?` field.
    pub fn admit_text(&self, text: &str) -> Option<Value> {
        let text = text.trim();
        match &self.kind {
            Kind::Bool => match text {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => None,
            },
            Kind::Integer { .. } | Kind::ExitCode => self.admit_integer(text.parse().ok()?),
            Kind::Command(members) | Kind::Set(members) => {
                Some(position_of(members, text).map_or(Value::Other, Value::Member))
            }
            Kind::Version => Some(Version::parse(text).map_or(Value::Other, Value::Version)),
            Kind::Moniker { prefixes, suffixes } => Some(moniker(prefixes, suffixes, text)),
        }
    }

    /// Admits an integer.
    #[inline]
    pub fn admit_integer(&self, number: i64) -> Option<Value> {
        let (min, max) = match self.kind {
            Kind::Integer { min, max } => (min, max),
            // Windows has 32 bits, read as signed or unsigned. Every other platform has 8.
            Kind::ExitCode if cfg!(windows) => (i64::from(i32::MIN), i64::from(u32::MAX)),
            Kind::ExitCode => (0, 255),
            Kind::Bool | Kind::Command(_) | Kind::Set(_) | Kind::Version | Kind::Moniker { .. } => {
                return None;
            }
        };
        (min..=max).contains(&number).then_some(Value::Integer(number))
    }

    /// Admits a flag.
    #[inline]
    pub fn admit_bool(&self, flag: bool) -> Option<Value> {
        matches!(self.kind, Kind::Bool).then_some(Value::Bool(flag))
    }

    /// Writes a value as it is sent.
    pub fn render(&self, value: &Value, out: &mut dyn fmt::Write) -> fmt::Result {
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
                suffix.map_or(Ok(()), |suffix| out.write_str(listed(suffixes, suffix)))
            }
            (Value::Other, _)
            // A value of another kind, which no caller has.
            | (
                Value::Member(_) | Value::Moniker { .. },
                Kind::Bool | Kind::Integer { .. } | Kind::ExitCode | Kind::Version,
            )
            | (Value::Member(_), Kind::Moniker { .. })
            | (Value::Moniker { .. }, Kind::Command(_) | Kind::Set(_)) => out.write_str(OTHER),
        }
    }
}

fn position_of(list: &[&str], text: &str) -> Option<u16> {
    // Most values are spelled as in the list. The exact comparison takes half the time.
    let exact = list.iter().position(|member| *member == text);
    let folded = || list.iter().position(|member| member.eq_ignore_ascii_case(text));
    exact.or_else(folded).map(|position| position as u16)
}

/// Tries every prefix, because one may begin another (`net` and `netcoreapp`).
fn moniker(prefixes: &[&str], suffixes: &[&str], text: &str) -> Value {
    for (prefix, rest) in (0..).zip(prefixes).filter_map(|(position, prefix)| {
        let (head, rest) = text.split_at_checked(prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then_some((position, rest))
    }) {
        if let Some(version) = Version::parse(rest) {
            return Value::Moniker { prefix, suffix: None, version };
        }
        if let Some((version, suffix)) = split_suffix(suffixes, rest) {
            return Value::Moniker { prefix, suffix: Some(suffix), version };
        }
    }
    Value::Other
}

fn split_suffix(suffixes: &[&str], text: &str) -> Option<(Version, u16)> {
    (0..).zip(suffixes).find_map(|(position, suffix)| {
        let (version, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
        tail.eq_ignore_ascii_case(suffix).then_some((Version::parse(version)?, position))
    })
}

//! What is wrong with a file, where, and what to do about it.

use std::error::Error;
use std::fmt;

/// One thing that is wrong with a `telemetry.toml`.
///
/// ```
/// use tool_telemetry_definition::Definition;
///
/// let faults = Definition::parse("format = 1\n[maker]").unwrap_err();
/// let fault = faults.iter().next().unwrap();
/// assert_eq!((fault.line(), fault.column()), (2, 2));
/// assert_eq!(
///     fault.to_string(),
///     "line 2: `maker` is no key of the file; the keys are format, telemetry_command, publisher, span, \
///      data_point"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    line: usize,
    column: usize,
    message: String,
}

impl Fault {
    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column, counted in characters from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong and what to do, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Everything that is wrong with a `telemetry.toml`, in the order of the file; at least one fault.
///
/// ```
/// let faults = tool_telemetry_definition::Definition::parse("format = 2\nspam = 1").unwrap_err();
/// assert_eq!(faults.iter().count(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// The faults in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl Error for Faults {}

/// Collects the faults while a file is read; reading goes on, so that an author sees all of them at once.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    text: &'a str,
    faults: Vec<Fault>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, faults: Vec::new() }
    }

    /// Notes a fault at a byte of the file.
    pub(crate) fn fault(&mut self, at: usize, message: impl Into<String>) {
        // The parser's places are between characters; one that is not must not panic.
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.faults.push(Fault {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        });
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// Keeps the first fault of each line: what the TOML parser says after it follows from it.
    pub(crate) fn one_a_line(&mut self) {
        self.faults.sort();
        self.faults.dedup_by_key(|fault| fault.line);
    }

    /// The value if there was no fault.
    pub(crate) fn finish<T>(mut self, value: T) -> Result<T, Faults> {
        if self.is_clean() {
            return Ok(value);
        }
        self.faults.sort();
        self.faults.dedup();
        Err(Faults(self.faults))
    }
}

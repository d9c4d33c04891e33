//! What is wrong with a file, where, and what to do about it.

use std::error::Error;
use std::fmt;

/// One error in a `telemetry.toml`.
///
/// ```
/// use tool_telemetry_definition::DataPoints;
///
/// let errors = DataPoints::parse("format = 1\n[maker]").unwrap_err();
/// let error = errors.iter().next().unwrap();
/// assert_eq!((error.line(), error.column()), (2, 2));
/// assert_eq!(
///     error.to_string(),
///     "line 2: the file has an unknown key `maker`; the keys are format, tool, telemetry_command, times, standard, defaults, publisher, span, data_point, \
///      publish, count"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParseError {
    line: usize,
    column: usize,
    message: String,
}

impl ParseError {
    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column, counted in characters from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong and what to do, without the line.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl Error for ParseError {}

/// All errors in a `telemetry.toml`, in the order of the file. There is at least one.
///
/// ```
/// let errors = tool_telemetry_definition::DataPoints::parse("format = 2\nspam = 1").unwrap_err();
/// assert_eq!(errors.iter().count(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseErrors(Vec<ParseError>);

impl ParseErrors {
    /// The errors in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, ParseError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ParseErrors {
    type Item = &'a ParseError;
    type IntoIter = std::slice::Iter<'a, ParseError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl Error for ParseErrors {}

/// Collects the errors. Parsing goes on after an error, so that an author sees all of them at once.
#[derive(Debug)]
pub(super) struct Report<'a> {
    text: &'a str,
    errors: Vec<ParseError>,
}

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, errors: Vec::new() }
    }

    /// Adds an error at a byte of the file.
    pub(super) fn error(&mut self, at: usize, message: impl Into<String>) {
        // The TOML parser's positions are between characters. One that is not must not panic.
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.errors.push(ParseError {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        });
    }

    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// Keeps the first error of each line: the TOML parser's later ones follow from it.
    pub(super) fn keep_first_per_line(&mut self) {
        self.errors.sort();
        self.errors.dedup_by_key(|error| error.line);
    }

    pub(super) fn finish(mut self) -> ParseErrors {
        self.errors.sort();
        self.errors.dedup();
        ParseErrors(self.errors)
    }
}

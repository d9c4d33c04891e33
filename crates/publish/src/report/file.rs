//! A file of a report.

/// A file of a report.
#[derive(Debug)]
pub(super) struct ReportFile {
    /// Relative to the report, with `/`.
    pub(super) path: String,
    pub(super) content: Vec<u8>,
}

impl ReportFile {
    pub(super) fn new(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), content: content.into() }
    }
}

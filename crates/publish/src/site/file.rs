//! [`File`]: a file of the site before it is written.

/// A file of the site.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to the site, with `/`.
    pub(super) path: String,
    pub(super) content: Vec<u8>,
}

impl File {
    pub(super) fn new(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), content: content.into() }
    }
}

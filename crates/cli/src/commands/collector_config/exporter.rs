//! The exporter that the pipelines end in.

/// An exporter of the configuration.
#[derive(Debug)]
pub(super) struct Exporter {
    /// The component's ID.
    pub(super) id: &'static str,
    /// What stands below the ID, with its indentation.
    pub(super) settings: String,
    /// What an operator should know.
    pub(super) comment: &'static str,
    /// The extensions that it needs, with their indentation: an ID and what stands below it.
    pub(super) extensions: Option<(&'static str, String)>,
}

impl Exporter {
    /// Prints the spans.
    pub(super) fn debug() -> Self {
        Self {
            id: "debug",
            settings: "    verbosity: detailed".to_owned(),
            comment: "Put your exporter here, and name it in each pipeline below. This one prints the spans.",
            extensions: None,
        }
    }
}

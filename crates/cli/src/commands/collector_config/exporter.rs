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
}

impl Exporter {
    /// Prints the spans.
    pub(super) fn debug() -> Self {
        Self {
            id: "debug",
            settings: "    verbosity: detailed".to_owned(),
            comment: "Put your exporter here, and name it in each pipeline below. This one prints the spans.",
        }
    }
}

//! Who chose a destination, which decides what it receives.

use crate::model::data_points::Audience;

/// Who chose a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chooser {
    /// The tool's author.
    Maker,
    /// The user or the machine's administrator.
    Operator,
}

impl Chooser {
    /// The word in a directory's name and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Chooser::Maker => "maker",
            Chooser::Operator => "operator",
        }
    }

    /// Who chose the destination of the runs in this directory. An operator receives more than the maker, so an unknown
    /// name counts as the maker's.
    pub(crate) fn from_directory_name(directory: &str) -> Self {
        match directory.split_once('+') {
            Some(("operator", _)) => Chooser::Operator,
            _ => Chooser::Maker,
        }
    }

    /// Whether a destination receives entries for this audience.
    pub(crate) fn receives(self, audience: Audience) -> bool {
        self == Chooser::Operator || audience == Audience::Maker
    }
}

//! Who chose a destination, which decides what it gets.

/// Who chose the destination. An operator gets what is meant for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenBy {
    /// The tool's author.
    Maker,
    /// The person, or the machine's administrator.
    Operator,
}

impl ChosenBy {
    /// The word in a directory's name and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ChosenBy::Maker => "maker",
            ChosenBy::Operator => "operator",
        }
    }

    /// Who chose the destination whose runs lie in the directory of this name. An operator gets more than the maker
    /// does, so a name that is not ours counts as the maker's.
    pub(crate) fn from_directory_name(folder: &str) -> Self {
        match folder.split_once('+') {
            Some(("operator", _)) => ChosenBy::Operator,
            _ => ChosenBy::Maker,
        }
    }
}

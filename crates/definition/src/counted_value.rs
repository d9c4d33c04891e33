//! Which of a data point's values a table of installations counts by name, and how many values a kind has.

use crate::counts::SERVICE_VERSION;
use crate::{Count, DataPoint, DataPoints, Kind, OTHER};

impl Count {
    /// The values of one of the table's keys that are counted by name, if the key has such a list.
    pub fn listed(&self, data_points: &DataPoints, key: &str) -> Option<&'static [&'static str]> {
        if key == SERVICE_VERSION {
            return Some(self.releases);
        }
        data_points.keyed(key).filter(|data_point| data_point.kind.is_open()).map(|_| self.values)
    }

    /// A value as the table counts it: the value itself, or `other` if it is not in the list of its key.
    pub fn counted<'a>(&self, data_points: &DataPoints, key: &str, value: &'a str) -> &'a str {
        match self.listed(data_points, key) {
            Some(list) if !list.contains(&value) => OTHER,
            _ => value,
        }
    }
}

impl Kind {
    /// Whether there are more values than a table can count, so that it counts against a list of them.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Version | Self::Moniker { .. } | Self::ExitCode => true,
            Self::Bool | Self::Integer { .. } | Self::Command(_) | Self::Set(_) => false,
        }
    }

    /// How many values a closed kind has, `other` included.
    #[cfg(feature = "parse")]
    pub(crate) fn count_values(&self) -> Option<usize> {
        match self {
            Self::Bool => Some(2),
            Self::Integer { min, max } => usize::try_from(max.checked_sub(*min)?).ok()?.checked_add(1),
            Self::Command(values) | Self::Set(values) => Some(values.len() + 1),
            Self::Version | Self::Moniker { .. } | Self::ExitCode => None,
        }
    }
}

impl DataPoints {
    /// The data point with this key.
    pub fn keyed(&self, key: &str) -> Option<&'static DataPoint> {
        self.data_points.iter().find(|data_point| data_point.key == key)
    }
}

//! Counts: what senders report for a whole installation, and all that is ever published.
//!
//! | a count says | it is kept as |
//! | --- | --- |
//! | "on one installation, in this period, this cell occurred" | one addition to a [`CountCell`] |
//!
//! A cell belongs to the telemetry.toml that asked for it. Two versions of a tool may ask for different tables, and what
//! a publisher may promise depends on what each of them asked for.

use serde_json::{Value as Json, json};

use crate::shape::{Attributes, Period, Role, ShapeContent, Value};
use crate::time::Week;
use crate::trace::weeks;

/// A cell of one table that one telemetry.toml asked for, in one period. Its number is that of the installations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountCell {
    /// `service.name`.
    pub tool: String,
    /// The last week of the period. When it is closed, the cell no longer changes.
    pub last_week: Week,
    /// How long the period is.
    pub period: Period,
    /// The content hash of the telemetry.toml.
    pub hash: [u8; 16],
    /// The keys of the table, in alphabetical order, as a JSON array.
    pub keys: String,
    /// A value for each key, as a JSON array. Where the table counts against a list, it is a text of that list or `other`.
    pub values: String,
}

impl CountCell {
    /// The cell that a count is one addition to, or nothing if it is no count.
    pub(crate) fn of(content: &ShapeContent<'_>, start: Week) -> Option<Self> {
        let Role::Count(period) = content.role else { return None };
        let mut attributes: Attributes<'_> = content.attributes.clone();
        attributes.sort_unstable_by_key(|(key, _)| *key);
        let keys: Vec<&str> = attributes.iter().map(|(key, _)| *key).collect();
        let values: Vec<Json> = attributes.iter().map(|(_, value)| to_json(*value)).collect();
        Some(Self {
            tool: content.tool().to_owned(),
            last_week: Week(start.0 + weeks(period) - 1),
            period,
            hash: content.data_points().unwrap_or_default(),
            keys: json!(keys).to_string(),
            values: json!(values).to_string(),
        })
    }

    /// The first week of the period.
    pub fn first_week(&self) -> Week {
        Week((self.last_week.0 + 1).saturating_sub(weeks(self.period)))
    }
}

/// A value of an attribute as it stands in a cell.
pub(crate) fn to_json(value: Value<'_>) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Status;

    #[test]
    fn a_cell_has_its_keys_in_alphabetical_order_and_its_period() {
        let hash = "0123456789abcdef0123456789abcdef";
        let content = ShapeContent {
            resource: vec![
                ("service.name", Value::Text("frob")),
                ("tool_telemetry.data_points", Value::Text(hash)),
            ],
            role: Role::Count(Period::FourWeeks),
            status: Status::Unset,
            flags: 0,
            name: "count",
            attributes: vec![
                ("frob.command", Value::Text("build")),
                ("error.type", Value::Text("_OTHER")),
                ("frob.cached", Value::Bool(true)),
            ],
        };
        let cell = CountCell::of(&content, Week(2_900)).unwrap();
        assert_eq!(cell.keys, r#"["error.type","frob.cached","frob.command"]"#);
        assert_eq!(cell.values, r#"["_OTHER",true,"build"]"#);
        assert_eq!((cell.first_week(), cell.last_week), (Week(2_900), Week(2_903)));
        assert_eq!(cell.hash[..3], [0x01, 0x23, 0x45]);
        assert_eq!(CountCell::of(&ShapeContent { role: Role::Run, ..content }, Week(2_900)), None);
    }
}

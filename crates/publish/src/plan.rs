//! What a period publishes: the tables and cells that the versions of a tool ask for together, and the noise that hides
//! one installation among them. Nothing here depends on a count.

use std::collections::HashSet;

use serde_json::{Value as Json, json};
use tool_telemetry_definition::{
    Count, DataPoints, ERROR_TYPE, ERROR_TYPES, Kind, MAX_CELLS, OTHER, Period, SERVICE_VERSION,
};

use crate::failure::Failure;
use crate::privacy::budget::{self, Variance};
use crate::sources::text;

/// What is published about a period.
#[derive(Debug)]
pub struct Plan {
    /// How long it is.
    pub period: Period,
    /// The smallest ε that one of the versions states.
    pub epsilon: f64,
    /// The most cells that one installation changes, even if it is updated from one version to another.
    pub counts: u32,
    /// The noise of each cell.
    pub variance: Variance,
    /// The content hashes of the versions, sorted.
    pub hashes: Vec<String>,
    /// The tables: those of the newest version in its order, then those that only older ones have.
    pub tables: Vec<PlannedTable>,
}

/// A table that is published.
#[derive(Debug)]
pub struct PlannedTable {
    /// Its keys, in the order of telemetry.toml.
    pub of: Vec<&'static str>,
    /// How many of its cells one installation counts at most.
    pub at_most: u8,
    /// Whether a key can have values that no closed list names. Its threshold is higher, because anyone can invent such values.
    pub is_open: bool,
    /// A value for each key.
    pub cells: Vec<Vec<Json>>,
}

impl Plan {
    /// The plan of the versions of a tool, the newest last. Those whose period is not the newest one's are left out.
    ///
    /// # Errors
    /// If the newest counts nothing, or if a table of all versions together is too large.
    pub fn new(versions: &[&'static DataPoints]) -> Result<Self, Failure> {
        let newest = versions.last().filter(|newest| !newest.counts.is_empty());
        let Some((newest, period)) = newest.and_then(|newest| newest.period.map(|period| (newest, period)))
        else {
            return Err(Failure::failed(
                "the newest telemetry.toml has no [[count]], so there is nothing to publish",
            ));
        };
        let versions: Vec<&'static DataPoints> =
            versions.iter().copied().filter(|version| version.period == Some(period)).collect();
        let mut tables: Vec<PlannedTable> = Vec::new();
        for version in versions.iter().rev() {
            for count in version.counts {
                match tables.iter_mut().find(|table| count.has_keys(table.of.iter().copied())) {
                    Some(table) => table.add(version, count)?,
                    None => {
                        let of = count.of.to_vec();
                        let mut table = PlannedTable { of, at_most: 0, is_open: false, cells: Vec::new() };
                        table.add(version, count)?;
                        tables.push(table);
                    }
                }
            }
        }
        let counts = tables.iter().map(|table| u32::from(table.at_most)).sum();
        let epsilon = versions.iter().map(|version| version.epsilon).fold(newest.epsilon, f64::min);
        let variance = Variance::at_rho(counts, budget::rho(epsilon));
        // What everything else relies on, computed the other way round.
        if budget::epsilon(variance.rho(counts)) > epsilon {
            return Err(Failure::failed(format!("no noise keeps {counts} counts within ε = {epsilon}")));
        }
        let mut hashes: Vec<String> =
            versions.iter().map(|version| version.content_hash.to_owned()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        Ok(Self { period, epsilon, counts, variance, hashes, tables })
    }
}

impl PlannedTable {
    /// Adds what a version counts in the table.
    fn add(&mut self, version: &DataPoints, count: &Count) -> Result<(), Failure> {
        self.at_most = self.at_most.max(count.at_most);
        self.is_open |= count.of.iter().any(|key| count.listed(version, key).is_some());
        let values: Vec<Vec<Json>> = self.of.iter().map(|key| values(version, count, key)).collect();
        let known: HashSet<String> = self.cells.iter().map(|cell| cell_text(cell)).collect();
        let new = product(&values).into_iter().filter(|cell| !known.contains(&cell_text(cell)));
        self.cells.extend(new);
        if self.cells.len() > MAX_CELLS {
            return Err(Failure::failed(format!(
                "the versions of the tool count {} cells of {} together, but a table has at most {MAX_CELLS}; leave old \
                 versions out with --data-points",
                self.cells.len(),
                self.of.join(" and ")
            )));
        }
        Ok(())
    }

    /// A number below this is not shown.
    pub fn threshold(&self, variance: Variance) -> u64 {
        variance.threshold(self.is_open)
    }
}

/// A cell as one text.
pub fn cell_text(values: &[Json]) -> String {
    json!(values.iter().map(text).collect::<Vec<_>>()).to_string()
}

/// The values that a key can have in a table.
fn values(version: &DataPoints, count: &Count, key: &str) -> Vec<Json> {
    let texts = |list: &[&str]| list.iter().map(|text| json!(text)).collect::<Vec<_>>();
    let and_other = |mut list: Vec<Json>| {
        list.push(json!(OTHER));
        list
    };
    if key == ERROR_TYPE {
        return texts(&ERROR_TYPES);
    }
    if key == SERVICE_VERSION {
        return and_other(texts(count.releases));
    }
    match version.keyed(key).map(|data_point| data_point.kind) {
        Some(Kind::Bool) => vec![json!(false), json!(true)],
        Some(Kind::Integer { min, max }) => (min..=max).map(|number| json!(number)).collect(),
        Some(Kind::Command(list) | Kind::Set(list)) => and_other(texts(list)),
        Some(Kind::Version | Kind::Moniker { .. } | Kind::ExitCode) => and_other(texts(count.values)),
        None => Vec::new(),
    }
}

fn product(values: &[Vec<Json>]) -> Vec<Vec<Json>> {
    let mut cells: Vec<Vec<Json>> = vec![Vec::new()];
    for values in values {
        let longer = |cell: &Vec<Json>| -> Vec<Vec<Json>> {
            values.iter().map(|value| cell.iter().chain([value]).cloned().collect()).collect()
        };
        cells = cells.iter().flat_map(longer).collect();
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(counts: &str, epsilon: &str) -> &'static DataPoints {
        let head = "format = 1\n[[data_point]]\nkey = 'frob.command'\non = ['run']\nsentence = 'The command'\nwhy = 'w'\n\
                    kind = 'command'\nvalues = ['build', 'run']\naudience = 'maker'\nsince = '1.0'\nuntil = 'never'\n";
        DataPoints::parse(&format!("{head}[publish]\nperiod = 'week'\nepsilon = {epsilon}\n{counts}"))
            .unwrap()
    }

    #[test]
    fn every_cell_of_a_closed_list_is_published() {
        let counts = "[[count]]\nof = ['frob.command', 'error.type']\nat_most = 3\n";
        let plan = Plan::new(&[version(counts, "2")]).unwrap();
        let cells: Vec<String> = plan.tables[0].cells.iter().map(|cell| cell_text(cell)).collect();
        let commands = ["build", "run", "other"];
        let expected: Vec<String> = (commands.iter())
            .flat_map(|command| ERROR_TYPES.map(|error| format!("[{command:?},{error:?}]")))
            .collect();
        assert_eq!(cells, expected);
        assert!(!plan.tables[0].is_open);
        assert_eq!(plan.counts, 3);
    }

    #[test]
    fn versions_together_have_the_smallest_epsilon_and_the_sum_of_their_tables() {
        let old = "[[count]]\nof = ['frob.command']\nat_most = 5\n[[count]]\nof = ['service.version']\n\
                   releases = ['1.0']\nat_most = 2\n";
        let new =
            "[[count]]\nof = ['frob.command']\nat_most = 3\n[[count]]\nof = ['error.type']\nat_most = 1\n";
        let plan = Plan::new(&[version(old, "1.5"), version(new, "2")]).unwrap();
        assert_eq!((plan.epsilon, plan.counts), (1.5, 5 + 1 + 2));
        let tables: Vec<_> =
            plan.tables.iter().map(|table| (table.of[0], table.at_most, table.is_open)).collect();
        assert_eq!(
            tables,
            [("frob.command", 5, false), ("error.type", 1, false), ("service.version", 2, true)]
        );
        let sigma = plan.variance.sigma();
        assert_eq!(plan.tables[0].threshold(plan.variance), (5.0 * sigma).ceil() as u64);
        assert_eq!(plan.tables[2].threshold(plan.variance), (6.0 * sigma).ceil() as u64);
    }
}

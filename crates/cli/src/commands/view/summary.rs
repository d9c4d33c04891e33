//! Counts the runs on the page by command.

use std::collections::BTreeMap;

use crate::run::{Ending, Run};

/// The runs of one command.
#[derive(Debug)]
pub(super) struct CommandSummary {
    pub(super) name: String,
    pub(super) runs: u64,
    pub(super) failed: u64,
    /// How often each ending occurred.
    pub(super) endings: Vec<(Ending, u64)>,
    /// Nanoseconds.
    pub(super) median_duration: u64,
    /// Runs as a percentage of the most frequent command's runs.
    pub(super) share: f64,
    pub(super) failed_share: f64,
}

/// One summary per command, the most frequent command first.
pub(super) fn by_command(runs: &[Run], command_key: Option<&str>) -> Vec<CommandSummary> {
    let mut by_name: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        by_name.entry(command_name(run, command_key)).or_default().push(run);
    }
    let most = by_name.values().map(Vec::len).max().unwrap_or(1);
    let mut summaries: Vec<_> =
        by_name.into_iter().map(|(name, runs)| CommandSummary::new(name, &runs, most)).collect();
    summaries.sort_by_key(|summary| std::cmp::Reverse(summary.runs));
    summaries
}

impl CommandSummary {
    fn new(name: &str, runs: &[&Run], most: usize) -> Self {
        let mut endings: BTreeMap<&Ending, u64> = BTreeMap::new();
        for run in runs {
            *endings.entry(&run.ending).or_default() += 1;
        }
        let mut durations: Vec<u64> = runs.iter().map(|run| run.duration).collect();
        durations.sort_unstable();
        let failed = runs.iter().filter(|run| run.ending.is_failure()).count() as u64;
        let share = |count: u64| 100.0 * count as f64 / most as f64;
        Self {
            name: name.to_owned(),
            runs: runs.len() as u64,
            failed,
            endings: endings.into_iter().map(|(ending, count)| (ending.clone(), count)).collect(),
            median_duration: durations.get(durations.len() / 2).copied().unwrap_or_default(),
            share: share(runs.len() as u64),
            failed_share: share(failed),
        }
    }
}

/// The name of runs that ended before a command began, for example after a usage error.
const NO_COMMAND: &str = "(no command)";

/// The run's command, or the name of its root span if no data point holds the command.
pub(super) fn command_name<'a>(run: &'a Run, command_key: Option<&str>) -> &'a str {
    match command_key {
        Some(key) => run.value(key).unwrap_or(NO_COMMAND),
        None => run.rows.first().map_or("", |row| row.name.as_str()),
    }
}

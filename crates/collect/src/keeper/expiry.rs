//! The end of what is too old: its cells are counted again, and then runs and cells go together.

use std::collections::HashMap;

use super::Keeper;
use crate::cell::Cell;
use crate::cells::{Changes, Tally};
use crate::counts::CountCell;
use crate::store::{Change, GroupEntry, GroupState, Store, StoreError};
use crate::time::{Day, Hour, Week};

/// An expiry that is under way.
#[derive(Debug)]
pub(super) struct Expiry {
    now: Hour,
    /// The groups that go, once they were looked for.
    groups: Option<Vec<GroupEntry>>,
    /// How many of them were counted.
    counted: usize,
    /// What was counted, less what the store says.
    cells: HashMap<Cell, i64>,
    counts: Vec<(CountCell, i64)>,
}

impl Expiry {
    pub(super) fn at(now: Hour) -> Self {
        Self { now, groups: None, counted: 0, cells: HashMap::new(), counts: Vec::new() }
    }
}

impl<S: Store> Keeper<S> {
    /// Does a small part of an expiry, and returns whether there is more to do.
    pub(super) fn expiry_step(&mut self, expiry: &mut Expiry) -> Result<bool, StoreError> {
        let first_kept: HashMap<String, Week> = self
            .retention
            .iter()
            .map(|(tool, days)| (tool.clone(), Day(expiry.now.day().0.saturating_sub(*days)).week()))
            .collect();
        let is_expired = |tool: &String, week: Week| first_kept.get(tool).is_some_and(|first| week < *first);
        let groups = expiry.groups.get_or_insert_with(|| {
            let is_live = |group: &&GroupEntry| group.state == GroupState::Live;
            let is_old =
                |group: &&GroupEntry| group.part.as_ref().is_some_and(|(tool, week)| is_expired(tool, *week));
            self.groups.values().filter(is_live).filter(is_old).cloned().collect()
        });
        if let Some(group) = groups.get(expiry.counted) {
            let id = group.id;
            let changes = self.count_group(id)?;
            expiry.counted += 1;
            for (cell, number) in changes.cells {
                *expiry.cells.entry(cell).or_default() += number;
            }
            expiry.counts.extend(changes.counts);
            return Ok(true);
        }
        let groups = std::mem::take(groups);
        let old_cells = self.store.cells()?.into_iter().filter(|(cell, _)| is_expired(&cell.tool, cell.week));
        for (cell, number) in old_cells {
            *expiry.cells.entry(cell).or_default() -= number;
        }
        let mut counts = std::collections::BTreeMap::new();
        for (cell, number) in expiry.counts.drain(..) {
            *counts.entry(cell).or_insert(0) += number;
        }
        for (cell, number) in self.store.count_cells()? {
            if is_expired(&cell.tool, cell.last_week) {
                *counts.entry(cell).or_insert(0) -= number;
            }
        }
        let wrong = expiry.cells.values().chain(counts.values()).filter(|number| **number != 0).count();
        self.count("cells.wrong_at_expiry", wrong as u64);
        self.delete(groups, first_kept)?;
        Ok(false)
    }

    /// The cells of a group's traces.
    fn count_group(&mut self, id: crate::index::Group) -> Result<Changes, StoreError> {
        let traces = self.read_group(id)?;
        let mut tally = Tally::new(&self.tables);
        traces.iter().for_each(|trace| tally.add(trace, 1));
        Ok(tally.changes())
    }

    fn delete(
        &mut self,
        groups: Vec<GroupEntry>,
        first_kept: HashMap<String, Week>,
    ) -> Result<(), StoreError> {
        let dead = |group| GroupEntry { state: GroupState::Dead, day: None, part: None, ..group };
        let groups = groups.into_iter().map(dead).collect();
        let change = Change { groups, expired_cells: first_kept.into_iter().collect(), ..Change::default() };
        self.store.apply(&change)?;
        for group in change.groups {
            self.groups.insert(group.id, group);
        }
        Ok(())
    }
}

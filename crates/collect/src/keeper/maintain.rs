//! Work that nobody waits for, in steps that hold up no request: merging days, closing weeks, deleting what is too old.

use std::collections::{BTreeMap, HashSet};

use super::expiry::Expiry;
use super::merge::Merge;
use super::{Keeper, OPEN_WEEKS};
use crate::index::{Group, TraceIndex};
use crate::marks::jumps;
use crate::store::{CLOSED, Change, GroupState, Store, StoreError, TidyProgress};
use crate::time::{Day, Hour, Week};

/// Rows that are deleted at once.
const ROWS_AT_ONCE: u32 = 16;
/// Buckets of the index that are looked through at once.
const BUCKETS_AT_ONCE: usize = 1 << 10;

/// A piece of work with a state.
#[derive(Debug)]
pub(super) enum Task {
    /// Deletes rows of dead groups.
    Sweep,
    /// Sorts the traces of a day that is over.
    Merge(Box<Merge>),
    /// Drops the ids of closed weeks, from this bucket on.
    DropIds(usize),
    /// Deletes what is too old.
    Expire(Box<Expiry>),
    /// Gives back the space that is free.
    Tidy,
}

impl<S: Store> Keeper<S> {
    /// Finds out what there is to do at this hour.
    pub(super) fn start_tasks(&mut self, now: Hour) {
        let mut days: BTreeMap<Day, Vec<Group>> = BTreeMap::new();
        for group in self.groups.values().filter(|group| group.state == GroupState::Live) {
            if let Some(day) = group.day.filter(|day| *day != now.day()) {
                days.entry(day).or_default().push(group.id);
            }
        }
        if self.groups.values().any(|group| group.state == GroupState::Dead) {
            self.tasks.push(Task::Sweep);
        }
        let merges: Vec<Task> = days.into_iter().map(|(day, sources)| self.merge_of(day, sources)).collect();
        if !merges.is_empty() {
            self.tasks.extend(merges);
            self.tasks.extend([Task::Sweep, Task::Tidy]);
        }
        if self.is_untidy && self.tasks.is_empty() {
            self.tasks.push(Task::Tidy);
        }
        // The last is the next.
        self.tasks.reverse();
    }

    fn merge_of(&self, day: Day, sources: Vec<Group>) -> Task {
        // A group has at most 4,096 spans, and each trace one at least.
        let traces = sources.len() * crate::row::SPANS_IN_ROW;
        Task::Merge(Box::new(Merge::of(day, sources, traces)))
    }

    /// Begins to delete the runs and cells that are older than their tool keeps them. [`Keeper::work`] does it.
    ///
    /// They are counted again before. If cells differ, the counter `cells.wrong_at_expiry` says how many; they go all the
    /// same, because they are to be kept for no longer.
    pub fn expire(&mut self, now: Hour) {
        self.tasks.splice(0..0, [Task::Tidy, Task::Sweep, Task::Expire(Box::new(Expiry::at(now)))]);
    }

    /// Does a small part of the work, and returns whether there is more to do.
    ///
    /// # Errors
    /// If the store cannot be read or written. The same step is tried again.
    pub fn work(&mut self, now: Hour) -> Result<bool, StoreError> {
        let Some(mut task) = self.tasks.pop() else {
            self.leave_yesterday(now)?;
            self.start_tasks(now);
            return Ok(!self.tasks.is_empty());
        };
        let more = match &mut task {
            Task::Sweep => self.store.sweep(ROWS_AT_ONCE).inspect(|more| {
                if !*more {
                    self.groups.retain(|_, group| group.state != GroupState::Dead);
                }
            }),
            Task::Merge(merge) => self.merge_step(merge),
            Task::DropIds(bucket) => Ok(self.drop_ids(bucket)),
            Task::Expire(expiry) => self.expiry_step(expiry),
            Task::Tidy => self.store.tidy().map(|progress| {
                self.is_untidy = progress == TidyProgress::LogInUse;
                progress == TidyProgress::More
            }),
        };
        match more {
            Ok(false) => {}
            Ok(true) | Err(_) => self.tasks.push(task),
        }
        more.map(|_| !self.tasks.is_empty())
    }

    /// Closes the group of the day that is over.
    fn leave_yesterday(&mut self, now: Hour) -> Result<(), StoreError> {
        let Some(open) = self.open.filter(|open| open.day != now.day()) else { return Ok(()) };
        let mut change = Change::default();
        self.compact(open, &mut change)?;
        if !change.is_empty() {
            self.store.apply(&change)?;
        }
        self.open = None;
        Ok(())
    }

    /// Closes the weeks that ended long enough ago. They take no more runs, and their ids leave the memory.
    ///
    /// A week that is closed stays closed, whatever the clock says later. The caller makes sure that the clock can be
    /// trusted.
    ///
    /// # Errors
    /// If the store cannot be written; nothing is closed then.
    pub fn close_weeks(&mut self, now: Hour) -> Result<(), StoreError> {
        let last = Week(now.week().0.saturating_sub(OPEN_WEEKS + 1));
        if last <= self.closed {
            return Ok(());
        }
        let change = Change { settings: vec![(CLOSED.to_owned(), last.0.to_string())], ..Change::default() };
        self.store.apply(&change)?;
        self.closed = last;
        self.tasks.insert(0, Task::DropIds(0));
        Ok(())
    }

    /// Marks the cells of installations that jump, so that an operator looks at them before their period closes. Returns the
    /// number of new marks.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn mark_jumps(&mut self) -> Result<usize, StoreError> {
        let known: HashSet<String> = self.store.marks()?.into_iter().map(|mark| mark.id).collect();
        let mut marks = jumps(&self.store.count_cells()?, self.closed);
        marks.retain(|mark| !known.contains(&mark.id));
        let change = Change { marks, ..Change::default() };
        if !change.is_empty() {
            self.store.apply(&change)?;
        }
        Ok(change.marks.len())
    }

    fn drop_ids(&mut self, bucket: &mut usize) -> bool {
        let closed: HashSet<Group> = self
            .groups
            .values()
            .filter(|group| group.part.as_ref().is_some_and(|(_, week)| *week <= self.closed))
            .map(|group| group.id)
            .collect();
        let end = *bucket + BUCKETS_AT_ONCE;
        self.index.retain(*bucket, end, |group| !closed.contains(&group));
        *bucket = end;
        end < TraceIndex::buckets()
    }
}

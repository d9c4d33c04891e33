//! The keeper: the one writer of a store. It keeps each trace once, counts it in its cells, and sees that what arrived
//! together is not kept together.
//!
//! # How a trace is kept once
//! The ids of the open weeks are in a [`TraceIndex`]. A trace that is not in it is new. A hit is compared with what the
//! group holds: a repeated delivery changes nothing, and a trace that says more than before is written again as a whole,
//! in the same change that marks the old copy as stale. So each trace is in exactly one row and not stale there.
//!
//! # How rows are kept apart from senders
//! A commit is one row, sorted by trace id. A group of small rows becomes one row when it is full. When a day is over,
//! [`merge`] sorts all of its traces into new rows by a secret hash. From then on nothing tells which traces arrived
//! together; before, rows do.

mod commit;
mod expiry;
mod maintain;
mod merge;

use std::collections::{HashMap, HashSet};

use crate::cells::Tables;
use crate::index::{GROUPS, Group, TraceIndex};
use crate::judge::{Catalog, JudgedRequest};
use crate::row::trace_ids;
use crate::store::{Change, GroupEntry, GroupState, Rejection, RowId, Store, StoreError, StoredDefinition};
use crate::time::{Day, Hour, Week};
use crate::trace::TraceId;

pub use commit::{Batch, Outcome};

use maintain::Task;

/// Weeks after its end that a week still takes runs: senders keep theirs for 28 days.
pub const OPEN_WEEKS: u32 = 4;

/// The one writer of a store.
#[derive(Debug)]
pub struct Keeper<S> {
    // Dependencies.
    store: S,
    // Configuration.
    tables: Tables,
    /// Days that each tool's runs are kept.
    retention: HashMap<String, u32>,
    // State, all of it rebuilt from the store.
    index: TraceIndex,
    groups: HashMap<Group, GroupEntry>,
    /// The group that new rows go to.
    open: Option<OpenGroup>,
    /// Where the search for a free group goes on.
    next_group: Group,
    /// The last week that takes no more runs.
    closed: Week,
    /// Counters that are not stored yet. The next change stores them.
    pending: HashMap<String, i64>,
    pending_rejections: HashMap<Rejection, i64>,
    tasks: Vec<Task>,
    /// Whether the log may still hold deleted rows, because another process reads it.
    is_untidy: bool,
    /// Rows that were put aside.
    damaged: usize,
}

/// The group that new rows go to.
#[derive(Debug, Clone, Copy)]
struct OpenGroup {
    id: Group,
    day: Day,
    rows: usize,
    spans: usize,
}

impl<S: Store> Keeper<S> {
    /// Takes over a store: reads its ids, puts damaged rows aside, and gives up a merge that did not end.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn open(mut store: S, now: Hour) -> Result<Self, StoreError> {
        merge::give_up_unfinished(&mut store)?;
        let closed = store.closed_through()?;
        // Also the runs of tools whose file is no longer loaded go in time.
        let catalog = Catalog::of_store(&store)?;
        let groups: HashMap<Group, GroupEntry> =
            store.groups()?.into_iter().map(|group| (group.id, group)).collect();
        let mut keeper = Self {
            tables: catalog.tables().without(store.marks()?),
            store,
            retention: catalog.retention(),
            index: TraceIndex::default(),
            next_group: groups.keys().max().map_or(0, |last| (last + 1) % GROUPS),
            groups,
            open: None,
            closed,
            pending: HashMap::new(),
            pending_rejections: HashMap::new(),
            tasks: Vec::new(),
            is_untidy: false,
            damaged: 0,
        };
        keeper.load_index()?;
        keeper.start_tasks(now);
        Ok(keeper)
    }

    /// Adds the loaded definitions to those of the store. They say what cells depend on, and for how many days each tool's
    /// runs are kept.
    pub fn configure(&mut self, tables: Tables, retention: HashMap<String, u32>) {
        self.tables.extend(tables);
        self.retention.extend(retention);
    }

    /// Keeps the texts of the definitions, so that what a value means is known as long as the value is.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn keep_definitions(&mut self, definitions: Vec<StoredDefinition>) -> Result<(), StoreError> {
        if self.store.definitions()?.ends_with(&definitions) {
            return Ok(());
        }
        self.store.apply(&Change { definitions, ..Change::default() })
    }

    /// The store, to read.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The last week that takes no more runs.
    pub fn closed(&self) -> Week {
        self.closed
    }

    /// Traces whose repetition would be noticed, and the memory that their ids take.
    pub fn index_size(&self) -> (usize, usize) {
        (self.index.len(), self.index.bytes())
    }

    /// Rows that were put aside because they did not hold what was written to them.
    pub fn damaged_rows(&self) -> usize {
        self.damaged
    }

    fn load_index(&mut self) -> Result<(), StoreError> {
        let mut stale: HashMap<Group, HashSet<TraceId>> = HashMap::new();
        let mut damaged: Vec<RowId> = Vec::new();
        let is_wanted = |group: Option<&GroupEntry>| {
            group.is_some_and(|group| {
                group.state == GroupState::Live
                    && group.part.as_ref().is_none_or(|(_, week)| *week > self.closed)
            })
        };
        for group in self.groups.values().filter(|group| is_wanted(Some(group))) {
            let ids = self.store.stale(group.id)?;
            if !ids.is_empty() {
                stale.insert(group.id, ids.into_iter().collect());
            }
        }
        let (index, groups) = (&mut self.index, &self.groups);
        self.store.each_ids(&mut |row, group, ids| {
            let Ok(ids) = trace_ids(ids) else {
                damaged.push(row);
                return;
            };
            if !is_wanted(groups.get(&group)) {
                return;
            }
            match stale.get(&group) {
                None => index.load(ids, group),
                Some(stale) => {
                    let fresh: Vec<TraceId> = ids.iter().filter(|id| !stale.contains(*id)).copied().collect();
                    index.load(&fresh, group);
                }
            }
        })?;
        self.index.finish();
        self.damaged = damaged.len();
        damaged.into_iter().try_for_each(|row| self.store.put_aside(row))
    }

    /// A group that is not in use. There are 16 million, of 4,096 spans each.
    fn free_group(&mut self) -> Group {
        while self.groups.contains_key(&self.next_group) {
            self.next_group = (self.next_group + 1) % GROUPS;
        }
        let group = self.next_group;
        self.next_group = (self.next_group + 1) % GROUPS;
        group
    }

    /// Moves the pending counters into a change. If the change fails, `put_back` returns them.
    fn take_pending(&mut self, change: &mut Change) {
        change.counters = self.pending.drain().filter(|(_, number)| *number != 0).collect();
        change.rejections = self.pending_rejections.drain().collect();
    }

    fn put_back(&mut self, change: Change) {
        for (name, number) in change.counters {
            *self.pending.entry(name).or_default() += number;
        }
        for (rejection, number) in change.rejections {
            *self.pending_rejections.entry(rejection).or_default() += number;
        }
    }

    /// Adds to a counter. It becomes durable with the next change, or with [`Keeper::flush`].
    pub fn count(&mut self, name: &str, number: u64) {
        if number > 0 {
            *self.pending.entry(name.to_owned()).or_default() += i64::try_from(number).unwrap_or(i64::MAX);
        }
    }

    /// Counts spans that were rejected. It becomes durable like other counters.
    pub fn reject(&mut self, tool: &str, week: Week, reason: &str, number: u64) {
        if number > 0 {
            let rejection = Rejection { tool: tool.to_owned(), week, reason: reason.to_owned() };
            *self.pending_rejections.entry(rejection).or_default() +=
                i64::try_from(number).unwrap_or(i64::MAX);
        }
    }

    /// Counts what was removed from a request, and what was rejected of it, in the week of its arrival.
    pub fn count_removed(&mut self, judged: &JudgedRequest, week: Week) {
        for (name, number) in &judged.counts {
            self.count(name, *number);
        }
        for ((tool, reason), number) in &judged.rejections {
            self.reject(tool, week, reason, *number);
        }
    }

    /// Makes the counters durable.
    ///
    /// # Errors
    /// If the store cannot be written. The counters stay pending.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        let mut change = Change::default();
        self.take_pending(&mut change);
        if change.is_empty() {
            return Ok(());
        }
        let result = self.store.apply(&change);
        if result.is_err() {
            self.put_back(change);
        }
        result
    }
}

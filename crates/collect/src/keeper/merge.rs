//! When a day is over: all of its traces in new rows, sorted by a secret hash.
//!
//! Until then a row tells which traces arrived in one commit, and at low load a commit is one sender. Afterwards a row
//! holds random traces of one tool and one week, sorted by trace id.
//!
//! The new groups are staged while commits go on. A trace whose old row was read and that has since been written again
//! is stale in the staged row from the start. The last step makes the staged groups live and the old ones dead, as one
//! change. A merge that did not end is given up when the store is opened, and starts again.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use super::Keeper;
use crate::index::Group;
use crate::row::{self, trace_ids};
use crate::store::{Change, GroupEntry, GroupState, NewRow, Store, StoreError};
use crate::time::{Day, Week};
use crate::trace::{Trace, TraceId};

/// Traces that are sorted in memory at once: some 30 MB.
const TRACES_AT_ONCE: usize = 250_000;

/// A merge that is under way.
#[derive(Debug)]
pub(super) struct Merge {
    day: Day,
    sources: Vec<Group>,
    staged: Vec<GroupEntry>,
    /// Decides which traces become neighbours. Nobody else knows it, and it is gone when the merge ends.
    secret: RandomState,
    /// The traces are sorted in this many parts, of which `part` is being read.
    parts: u64,
    part: u64,
    next_source: usize,
    /// The traces of the part, with the group that each is in now.
    read: Vec<(Trace, Group)>,
    ready: Vec<PendingRow>,
}

/// A row to write.
#[derive(Debug)]
struct PendingRow {
    tool: String,
    week: Week,
    traces: Vec<(Trace, Group)>,
}

impl Merge {
    pub(super) fn of(day: Day, sources: Vec<Group>, traces: usize) -> Self {
        Self {
            day,
            sources,
            staged: Vec::new(),
            secret: RandomState::new(),
            parts: traces.div_ceil(TRACES_AT_ONCE).max(1) as u64,
            part: 0,
            next_source: 0,
            read: Vec::new(),
            ready: Vec::new(),
        }
    }

    fn hash(&self, id: &TraceId) -> u64 {
        self.secret.hash_one(id)
    }
}

impl<S: Store> Keeper<S> {
    /// Does a small part of a merge, and returns whether there is more to do.
    pub(super) fn merge_step(&mut self, merge: &mut Merge) -> Result<bool, StoreError> {
        if let Some(ready) = merge.ready.last() {
            self.stage(ready, &mut merge.staged, merge.day)?;
            merge.ready.pop();
            return Ok(true);
        }
        if merge.part == merge.parts {
            self.switch(merge)?;
            return Ok(false);
        }
        match merge.sources.get(merge.next_source) {
            Some(&source) => {
                for trace in self.read_group(source)? {
                    if merge.hash(&trace.id) % merge.parts == merge.part {
                        merge.read.push((trace, source));
                    }
                }
                merge.next_source += 1;
            }
            None => {
                merge.part += 1;
                merge.next_source = 0;
                arrange(merge);
            }
        }
        Ok(true)
    }

    /// Writes a staged row, and lets the index point to it.
    fn stage(
        &mut self,
        ready: &PendingRow,
        staged: &mut Vec<GroupEntry>,
        day: Day,
    ) -> Result<(), StoreError> {
        let id = self.free_group();
        let part = Some((ready.tool.clone(), ready.week));
        let entry = GroupEntry { id, state: GroupState::Staged, day: Some(day), part };
        let is_current =
            |trace: &Trace, source: Group| self.index.find(&trace.id).any(|group| group == source);
        let is_closed = ready.week <= self.closed;
        let stale = ready
            .traces
            .iter()
            .filter(|(trace, source)| !is_closed && !is_current(trace, *source))
            .map(|(trace, _)| (id, trace.id))
            .collect();
        let traces: Vec<Trace> = ready.traces.iter().map(|(trace, _)| trace.clone()).collect();
        let spans = traces.iter().map(|trace| trace.spans.len()).sum();
        let row = NewRow { group: id, traces: traces.len(), spans, packed: row::pack(&traces) };
        let change = Change { groups: vec![entry.clone()], rows: vec![row], stale, ..Change::default() };
        self.store.apply(&change)?;
        for (trace, source) in &ready.traces {
            if is_closed {
                self.index.remove(&trace.id, *source);
            } else {
                self.index.relocate(&trace.id, *source, id);
            }
        }
        self.groups.insert(id, entry.clone());
        staged.push(entry);
        Ok(())
    }

    /// The staged groups become live, and those of the day dead.
    fn switch(&mut self, merge: &mut Merge) -> Result<(), StoreError> {
        let live = merge.staged.iter().map(|staged| GroupEntry {
            state: GroupState::Live,
            day: None,
            ..staged.clone()
        });
        let dead =
            merge.sources.iter().map(|&id| GroupEntry { id, state: GroupState::Dead, day: None, part: None });
        let groups: Vec<GroupEntry> = live.chain(dead).collect();
        let change = Change { groups, settled: merge.sources.clone(), ..Change::default() };
        self.store.apply(&change)?;
        for group in change.groups {
            self.groups.insert(group.id, group);
        }
        Ok(())
    }
}

/// Sorts what was read into rows of one tool and one week, each of neighbours by the secret hash.
fn arrange(merge: &mut Merge) {
    let mut parts: BTreeMap<(String, Week), Vec<(Trace, Group)>> = BTreeMap::new();
    for (trace, source) in std::mem::take(&mut merge.read) {
        let tool = trace.spans[0].shape.content().tool().to_owned();
        parts.entry((tool, trace.week())).or_default().push((trace, source));
    }
    for ((tool, week), mut traces) in parts {
        traces.sort_by_cached_key(|(trace, _)| merge.hash(&trace.id));
        let mut rest = &mut traces[..];
        while !rest.is_empty() {
            let mut spans = 0;
            let mut end = 0;
            while end < rest.len() && (end == 0 || spans + rest[end].0.spans.len() <= row::SPANS_IN_ROW) {
                spans += rest[end].0.spans.len();
                end += 1;
            }
            let (row, others) = rest.split_at_mut(end);
            let mut traces = row.to_vec();
            traces.sort_unstable_by_key(|(trace, _)| trace.id);
            merge.ready.push(PendingRow { tool: tool.clone(), week, traces });
            rest = others;
        }
    }
}

/// Deletes what an unfinished merge staged. A trace that was written again while the index already led to its staged
/// copy is stale there only, so the copy in the day's own groups is marked now.
pub(super) fn give_up_unfinished<S: Store>(store: &mut S) -> Result<(), StoreError> {
    let groups = store.groups()?;
    let mut change = Change::default();
    let mut stale: HashSet<TraceId> = HashSet::new();
    let mut days: HashSet<Day> = HashSet::new();
    for group in groups.iter().filter(|group| group.state == GroupState::Staged) {
        stale.extend(store.stale(group.id)?);
        days.extend(group.day);
        change.groups.push(GroupEntry { state: GroupState::Dead, day: None, part: None, ..group.clone() });
    }
    let is_source = |group: &&GroupEntry| {
        group.state == GroupState::Live && group.day.is_some_and(|day| days.contains(&day))
    };
    for source in groups.iter().filter(is_source).filter(|_| !stale.is_empty()) {
        for row in store.rows(source.id)? {
            let ids = trace_ids(&row.packed.ids).unwrap_or_default();
            change.stale.extend(ids.iter().filter(|id| stale.contains(*id)).map(|id| (source.id, *id)));
        }
    }
    if change.is_empty() { Ok(()) } else { store.apply(&change) }
}

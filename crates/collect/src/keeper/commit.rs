//! Keeping what arrived: one change for all requests that wait.

use std::collections::{HashMap, HashSet};

use super::{Keeper, OpenGroup};
use crate::cells::Tally;
use crate::index::Group;
use crate::row::{self, SPANS_IN_ROW};
use crate::store::{Change, GroupEntry, GroupState, NewRow, Store, StoreError};
use crate::time::{Day, Hour};
use crate::trace::{Trace, TraceId};

/// A start that is further ahead than this comes from a wrong clock.
const HOURS_AHEAD: u32 = 24;

/// Spans of a trace. A sender records at most 10,000 of a run; a trace that grew without end would be written again as a
/// whole each time.
const MAX_SPANS: usize = 16_384;

/// The traces of one request.
pub type Batch = Vec<Trace>;

/// What became of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Spans of weeks that take no more runs. They were not kept.
    pub late_spans: u64,
}

/// What becomes of a trace that arrived.
#[derive(Clone, Copy)]
enum Fate {
    /// It is new.
    New,
    /// It says more than the copy in this group.
    Again(Group),
    /// It says nothing new.
    Repeated,
}

/// Traces to write, sorted, each with the group of its old copy.
type ToWrite = (Vec<Trace>, Vec<Option<Group>>);

/// What a commit changes in memory once the store has it.
#[derive(Default)]
struct Consequences {
    /// Each trace that was written, the group of its old copy, and its own.
    written: Vec<(TraceId, Option<Group>, Group)>,
    groups: Vec<GroupEntry>,
    open: Option<OpenGroup>,
}

impl<S: Store> Keeper<S> {
    /// Keeps the traces of several requests, durably.
    ///
    /// # Errors
    /// None of them is kept. They may be sent again.
    pub fn commit(&mut self, batches: Vec<Batch>, now: Hour) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(batches.len());
        let mut traces = Vec::new();
        for batch in batches {
            outcomes.push(self.admit(batch, now, &mut traces));
        }
        let traces = unite(traces);
        let mut change = Change::default();
        let mut consequences = Consequences { open: self.open, ..Consequences::default() };
        let tables = std::mem::take(&mut self.tables);
        let mut tally = Tally::new(&tables);
        let compared = self.compare(traces, &mut change, &mut tally);
        let changes = tally.changes();
        (change.cells, change.count_cells) = (changes.cells, changes.counts);
        self.tables = tables;
        let (traces, old) = compared?;
        if traces.is_empty() {
            // All of it is in the store already. The counters can wait.
            return Ok(outcomes);
        }
        self.add_rows(&traces, old, now.day(), &mut change, &mut consequences)?;
        self.take_pending(&mut change);
        if let Err(error) = self.store.apply(&change) {
            self.put_back(change);
            return Err(error);
        }
        self.follow(consequences);
        Ok(outcomes)
    }

    /// Rejects traces of closed weeks, and moves starts in the future to the beginning of this week.
    fn admit(&mut self, batch: Batch, now: Hour, admitted: &mut Vec<Trace>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut ahead = 0;
        for mut trace in batch {
            // A count that lies ahead was rejected before.
            if !trace.is_count()
                && trace.spans.iter().any(|span| span.hour.0 > now.0.saturating_add(HOURS_AHEAD))
            {
                ahead += 1;
                for span in &mut trace.spans {
                    span.hour = now.week().first_hour();
                }
            }
            if trace.week() <= self.closed {
                let spans = trace.spans.len() as u64;
                outcome.late_spans += spans;
                self.reject(trace.spans[0].shape.content().tool(), now.week(), "spans.late", spans);
            } else {
                admitted.push(trace);
            }
        }
        self.count("spans.late", outcome.late_spans);
        self.count("traces.clock_ahead", ahead);
        outcome
    }

    /// Finds out what is there already.
    fn compare(
        &mut self,
        mut traces: Vec<Trace>,
        change: &mut Change,
        tally: &mut Tally<'_>,
    ) -> Result<ToWrite, StoreError> {
        let mut hits: HashMap<Group, Vec<usize>> = HashMap::new();
        for (place, trace) in traces.iter().enumerate() {
            for group in self.index.find(&trace.id) {
                hits.entry(group).or_default().push(place);
            }
        }
        let mut fates = vec![Fate::New; traces.len()];
        let mut beyond = 0;
        for (group, places) in hits {
            for before in self.read_group(group)? {
                let found = places.binary_search_by(|place| traces[*place].id.cmp(&before.id));
                let Ok(found) = found else { continue };
                let place = places[found];
                let arrived = std::mem::take(&mut traces[place].spans);
                let mut after = before.clone();
                let is_full = before.spans.len() + arrived.len() > MAX_SPANS;
                beyond += if is_full { arrived.len() as u64 } else { 0 };
                fates[place] = if !is_full && after.absorb(arrived) {
                    tally.add(&before, -1);
                    tally.add(&after, 1);
                    change.stale.push((group, before.id));
                    Fate::Again(group)
                } else {
                    Fate::Repeated
                };
                traces[place] = after;
            }
        }
        let mut old = Vec::with_capacity(traces.len());
        let mut repeated = 0;
        let mut fates = fates.into_iter();
        traces.retain(|trace| {
            match fates.next() {
                Some(Fate::New) => {
                    tally.add(trace, 1);
                    old.push(None);
                }
                Some(Fate::Again(group)) => old.push(Some(group)),
                Some(Fate::Repeated) | None => {
                    repeated += 1;
                    return false;
                }
            }
            true
        });
        self.count("traces.repeated", repeated);
        self.count("spans.beyond_trace", beyond);
        Ok((traces, old))
    }

    /// The traces of a group that are not stale, sorted. A row that cannot be read is put aside.
    pub(super) fn read_group(&mut self, group: Group) -> Result<Vec<Trace>, StoreError> {
        let mut traces = Vec::new();
        for stored in self.store.rows(group)? {
            match row::unpack(&stored.packed.ids, &stored.packed.data) {
                Ok(row) => traces.extend(row),
                Err(_) => {
                    self.store.put_aside(stored.id)?;
                    self.damaged += 1;
                }
            }
        }
        let stale = self.store.stale(group)?;
        if !stale.is_empty() {
            let stale: HashSet<TraceId> = stale.into_iter().collect();
            traces.retain(|trace| !stale.contains(&trace.id));
        }
        traces.sort_unstable_by_key(|trace| trace.id);
        Ok(traces)
    }

    /// Packs the traces into rows of the open group and of further ones.
    fn add_rows(
        &mut self,
        traces: &[Trace],
        old: Vec<Option<Group>>,
        today: Day,
        change: &mut Change,
        consequences: &mut Consequences,
    ) -> Result<(), StoreError> {
        let all: usize = traces.iter().map(|trace| trace.spans.len()).sum();
        if let Some(open) = consequences.open {
            // A group that holds an old copy cannot take the new one: it is by the group that they are told apart.
            let holds_old_copy = change.stale.iter().any(|(group, _)| *group == open.id);
            if open.day != today || open.spans + all > SPANS_IN_ROW || holds_old_copy {
                self.compact(open, change)?;
                consequences.open = None;
            }
        }
        let mut old = old.into_iter();
        for row in row::split(traces) {
            let spans = row.iter().map(|trace| trace.spans.len()).sum();
            let group = self.group_for(spans, today, change, consequences);
            consequences.written.extend(row.iter().zip(&mut old).map(|(trace, old)| (trace.id, old, group)));
            change.rows.push(NewRow { group, traces: row.len(), spans, packed: row::pack(row) });
        }
        Ok(())
    }

    fn group_for(
        &mut self,
        spans: usize,
        today: Day,
        change: &mut Change,
        consequences: &mut Consequences,
    ) -> Group {
        if let Some(open) = &mut consequences.open
            && open.spans + spans <= SPANS_IN_ROW
        {
            open.rows += 1;
            open.spans += spans;
            return open.id;
        }
        let id = self.free_group();
        let entry = GroupEntry { id, state: GroupState::Live, day: Some(today), part: None };
        change.groups.push(entry.clone());
        consequences.groups.push(entry);
        consequences.open = Some(OpenGroup { id, day: today, rows: 1, spans });
        id
    }

    /// Replaces the rows of a full group with one row.
    pub(super) fn compact(&self, full: OpenGroup, change: &mut Change) -> Result<(), StoreError> {
        if full.rows < 2 {
            return Ok(());
        }
        let stored = self.store.rows(full.id)?;
        let mut traces = Vec::with_capacity(full.spans);
        for row in &stored {
            match row::unpack(&row.packed.ids, &row.packed.data) {
                Ok(row) => traces.extend(row),
                // The rows stay as they are, for someone to look at.
                Err(_) => return Ok(()),
            }
        }
        let mut stale: HashSet<TraceId> = self.store.stale(full.id)?.into_iter().collect();
        stale.extend(change.stale.iter().filter(|(group, _)| *group == full.id).map(|(_, id)| *id));
        traces.retain(|trace| !stale.contains(&trace.id));
        traces.sort_unstable_by_key(|trace| trace.id);
        change.stale.retain(|(group, _)| *group != full.id);
        change.settled.push(full.id);
        change.removed_rows.extend(stored.iter().map(|row| row.id));
        let spans = traces.iter().map(|trace| trace.spans.len()).sum();
        let packed = row::pack(&traces);
        change.rows.push(NewRow { group: full.id, traces: traces.len(), spans, packed });
        Ok(())
    }

    fn follow(&mut self, consequences: Consequences) {
        for (id, old, group) in consequences.written {
            match old {
                None => self.index.insert(&id, group),
                Some(old) => drop(self.index.relocate(&id, old, group)),
            }
        }
        for group in consequences.groups {
            self.groups.insert(group.id, group);
        }
        self.open = consequences.open;
    }
}

/// Sorts traces by their ids, and joins those that came in several requests.
fn unite(mut traces: Vec<Trace>) -> Vec<Trace> {
    // Those of each request are sorted already, which the stable sort makes use of.
    traces.sort_by_key(|trace| u128::from_be_bytes(trace.id));
    traces.dedup_by(|later, kept| {
        let is_same = later.id == kept.id;
        if is_same {
            kept.absorb(std::mem::take(&mut later.spans));
        }
        is_same
    });
    traces
}

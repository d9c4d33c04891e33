//! What an installation has counted in each open period, and which counts are still waiting. Nothing here touches a file or a
//! clock.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::model::cell::{Cell, CountSpan};
use crate::model::data_points::{DataPoints, Period};
use crate::model::hex::{self, checksum};
use crate::model::span::{SpanId, TraceId};

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;
/// A period is open for this long after its end, because runs may be pending for as long.
const OPEN_AFTER_END: u64 = 28 * DAY;
/// More periods are only open on a machine whose clock jumps. It counts nothing in further ones.
const MAX_OPEN: usize = 16;
/// A count leaves at least this long after its run, so that it is not recognised by the time of its arrival,
const MIN_DELAY: u64 = HOUR;
/// and before this, so that an installation that is used once a week sends its counts a week later.
const MAX_DELAY: u64 = 49 * HOUR;
/// 1 November 2026. An earlier time is that of a machine whose clock is not set yet.
const EARLIEST: u64 = 1_793_491_200;
/// The format of the file.
const FORMAT: u64 = 1;

/// The state of one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CountState {
    period: Period,
    /// The start of the first period that may be counted.
    first: u64,
    /// Counts that were never delivered: refused, or too old.
    pub(crate) lost: u64,
    /// The cells of each open period, by its start.
    open: BTreeMap<u64, BTreeMap<Cell, Delivery>>,
}

/// How far the count of a cell has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    /// It leaves in the first pass at or after `due`, in seconds since the Unix epoch.
    Waiting { trace_id: TraceId, span_id: SpanId, due: u64 },
    /// The receiver has answered. Nothing remembers the ids.
    Answered,
}

/// What the clocks show, in seconds since the Unix epoch.
///
/// This machine's clock may run ahead. Then a period could be counted long before it begins, and again when it has begun,
/// if the state is lost in between. The spool's counters remember the time until which was counted. If they are lost too, a
/// receiver that tells the time prevents this: a period that has not begun by its clock is not counted, and a new state begins
/// after the period in which its clock is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    /// This machine's clock.
    pub(crate) now: u64,
    /// The receiver's clock, if its answer told it.
    pub(crate) receiver: Option<u64>,
}

impl Clocks {
    /// The time that both clocks have reached. No later period is counted.
    pub(super) fn earliest(self) -> u64 {
        self.receiver.map_or(self.now, |receiver| receiver.min(self.now))
    }

    /// The receiver's clock if it is known, and this machine's otherwise.
    pub(super) fn true_time(self) -> u64 {
        self.receiver.unwrap_or(self.now)
    }
}

/// The random part of a new count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RandomPart {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) delay: u64,
}

/// The counts of one destination, as `status` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeriodCounts {
    /// Cells that were counted in this period.
    pub(crate) counted: u64,
    /// Counts of any period that have not been delivered.
    pub(crate) waiting: u64,
    /// Counts that were never delivered.
    pub(crate) lost: u64,
    /// The start of the next period in which more is counted, in seconds since the Unix epoch.
    pub(crate) next: u64,
}

/// Whether a clock that shows this time may be right.
pub(super) fn is_plausible(now: u64) -> bool {
    now >= EARLIEST
}

impl CountState {
    /// The state of an installation that has none. It counts nothing before the period after the latest time at which something
    /// may have been counted.
    pub(crate) fn new(period: Period, latest: u64) -> Self {
        let first = period.start(latest) + period.seconds();
        Self { period, first, lost: 0, open: BTreeMap::new() }
    }

    /// Whether the state was kept for periods of this length. For others it begins again.
    pub(super) fn is_of(&self, period: Period) -> bool {
        self.period == period
    }

    /// Counts the cells of a run that began at `started`, as far as the tables and the sum of their `at_most` allow.
    /// Returns whether one was new.
    pub(crate) fn count(
        &mut self,
        data_points: &DataPoints,
        cells: Vec<Cell>,
        started: u64,
        clocks: Clocks,
        draw: &mut dyn FnMut() -> RandomPart,
    ) -> bool {
        let (start, now) = (self.period.start(started), clocks.now);
        if !self.may_count(start, clocks) {
            return false;
        }
        let at_most_together: usize = data_points.counts.iter().map(|table| usize::from(table.at_most)).sum();
        let mut is_changed = false;
        for cell in cells {
            let Some(table) = cell.table(data_points) else { continue };
            let known = self.open.get(&start);
            let of_table = |known: &BTreeMap<Cell, _>| {
                known.keys().filter(|known| table.has_keys(known.0.keys().map(String::as_str))).count()
            };
            let is_full = known.is_some_and(|known| {
                known.contains_key(&cell)
                    || known.len() >= at_most_together
                    || of_table(known) >= usize::from(table.at_most)
            });
            if !is_full {
                let RandomPart { trace_id, span_id, delay } = draw();
                let waiting = Delivery::Waiting { trace_id, span_id, due: now + delay };
                self.open.entry(start).or_default().insert(cell, waiting);
                is_changed = true;
            }
        }
        is_changed
    }

    /// Whether a run of the period that begins at `start` may be counted now. A run from the future is from a clock that
    /// was wrong, then or now.
    fn may_count(&self, start: u64, clocks: Clocks) -> bool {
        let now = clocks.now;
        let has_room = self.open.contains_key(&start) || self.open.len() < MAX_OPEN;
        is_plausible(now)
            && start >= self.first
            && start <= clocks.earliest()
            && now < self.end(start)
            && has_room
    }

    /// When the period that begins at `start` is no longer open.
    fn end(&self, start: u64) -> u64 {
        start + self.period.seconds() + OPEN_AFTER_END
    }

    /// Forgets periods that are no longer open. They are never counted again, whatever the clock shows later. Returns
    /// whether there were any.
    pub(crate) fn forget_closed(&mut self, now: u64) -> bool {
        let closed: Vec<u64> = self.open.keys().copied().filter(|start| now >= self.end(*start)).collect();
        for start in &closed {
            self.first = self.first.max(start + self.period.seconds());
            self.lost += self.open.remove(start).map_or(0, |cells| waiting(&cells));
        }
        !closed.is_empty()
    }

    /// The counts that are due. One that is due later than any could be is from before the clock was set back.
    pub(crate) fn due(&self, now: u64) -> Vec<CountSpan> {
        self.spans(|due| due <= now || due > now + MAX_DELAY)
    }

    /// All waiting counts.
    pub(crate) fn waiting(&self) -> Vec<CountSpan> {
        self.spans(|_| true)
    }

    fn spans(&self, is_wanted: impl Fn(u64) -> bool) -> Vec<CountSpan> {
        let of_period = |(start, cells): (&u64, &BTreeMap<Cell, Delivery>)| {
            let start = *start;
            cells
                .iter()
                .filter_map(|(cell, delivery)| match *delivery {
                    Delivery::Waiting { trace_id, span_id, due } if is_wanted(due) => {
                        Some(CountSpan { trace_id, span_id, start, cell: cell.clone() })
                    }
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
        self.open.iter().flat_map(of_period).collect()
    }

    /// Whether this count still waits. Somebody may have deleted it.
    pub(crate) fn has_waiting(&self, count: &CountSpan) -> bool {
        self.open.get(&count.start).and_then(|cells| cells.get(&count.cell)).is_some_and(
            |delivery| matches!(delivery, Delivery::Waiting { trace_id, .. } if *trace_id == count.trace_id),
        )
    }

    /// Notes the receiver's answer to a count, which may be lost all the same. Returns false if it did not wait.
    pub(crate) fn answer(&mut self, count: &CountSpan, is_lost: bool) -> bool {
        let is_waiting = self.has_waiting(count);
        if is_waiting && let Some(cells) = self.open.get_mut(&count.start) {
            cells.insert(count.cell.clone(), Delivery::Answered);
            self.lost += u64::from(is_lost);
        }
        is_waiting
    }

    /// Delays all counts that would leave before `until`.
    pub(crate) fn delay(&mut self, until: u64) -> bool {
        let mut is_changed = false;
        for delivery in self.open.values_mut().flat_map(BTreeMap::values_mut) {
            if let Delivery::Waiting { due, .. } = delivery
                && *due < until
            {
                *due = until;
                is_changed = true;
            }
        }
        is_changed
    }

    pub(crate) fn summary(&self, now: u64) -> PeriodCounts {
        let current = self.period.start(now);
        PeriodCounts {
            counted: self.open.get(&current).map_or(0, |cells| cells.len() as u64),
            waiting: self.open.values().map(waiting).sum(),
            lost: self.lost,
            next: self.first.max(current + self.period.seconds()),
        }
    }

    /// The state as JSON Lines: a head, each cell, and a checksum.
    pub(crate) fn render(&self) -> String {
        let head = json!({
            "counts": FORMAT, "period": self.period.to_string(), "first": self.first, "lost": self.lost,
        });
        let mut text = format!("{head}\n");
        for (start, cells) in &self.open {
            for (cell, delivery) in cells {
                let mut line = json!({ "start": start, "cell": cell.to_json() });
                if let Delivery::Waiting { trace_id, span_id, due } = delivery {
                    line["trace"] = hex::text(trace_id).into();
                    line["span"] = hex::text(span_id).into();
                    line["due"] = (*due).into();
                }
                text.push_str(&format!("{line}\n"));
            }
        }
        let check = json!({ "check": checksum(&text) });
        format!("{text}{check}\n")
    }

    /// Parses what [`render`](Self::render) wrote, and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let body = text.strip_suffix('\n')?;
        let (body, check) = body.split_at(body.rfind('\n')? + 1);
        let check: Json = serde_json::from_str(check).ok()?;
        if check.get("check")?.as_str()? != checksum(body) {
            return None;
        }
        let mut lines = body.lines().map(serde_json::from_str::<Json>);
        let head = lines.next()?.ok()?;
        if head.get("counts")?.as_u64()? != FORMAT {
            return None;
        }
        let period = head.get("period")?.as_str()?;
        let (period, _) = Period::NAMED.into_iter().find(|(_, name)| *name == period)?;
        let (first, lost) = (head.get("first")?.as_u64()?, head.get("lost")?.as_u64()?);
        let mut state = Self { period, first, lost, open: BTreeMap::new() };
        for line in lines {
            let line = line.ok()?;
            let start = line.get("start")?.as_u64().filter(|start| period.start(*start) == *start)?;
            let cell = Cell::from_json(line.get("cell")?.as_object()?)?;
            state.open.entry(start).or_default().insert(cell, Delivery::parse(&line)?);
        }
        Some(state)
    }
}

impl Delivery {
    fn parse(line: &Json) -> Option<Self> {
        let Some(trace) = line.get("trace") else { return Some(Self::Answered) };
        let trace_id = hex::parse(trace.as_str()?).filter(|id| *id != TraceId::default())?;
        let span_id = hex::parse(line.get("span")?.as_str()?).filter(|id| *id != SpanId::default())?;
        Some(Self::Waiting { trace_id, span_id, due: line.get("due")?.as_u64()? })
    }
}

impl RandomPart {
    /// A count with these ids, and with a delay that `random` chooses.
    pub(crate) fn new(trace_id: TraceId, span_id: SpanId, random: u64) -> Self {
        Self { trace_id, span_id, delay: MIN_DELAY + random % (MAX_DELAY - MIN_DELAY) }
    }
}

fn waiting(cells: &BTreeMap<Cell, Delivery>) -> u64 {
    cells.values().filter(|delivery| matches!(delivery, Delivery::Waiting { .. })).count() as u64
}

#[cfg(test)]
mod tests;

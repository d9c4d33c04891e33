//! The `tracing` subscriber for a tool that has no other layer: what [`TelemetryLayer`](crate::TelemetryLayer) on a
//! `Registry` records, without the registry.
//!
//! Only approved spans are kept, in one table. A span that is not approved gets the id of the nearest approved one
//! above it, marked as hidden: so it costs no entry, and whatever is opened below it, also with `parent: &hidden` and
//! on another thread, hangs where it belongs. It holds its ancestor open, as a child in a registry does.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::callsite::{Callsite, Identifier};
use tracing::field::FieldSet;
use tracing::level_filters::LevelFilter;
use tracing::metadata::Kind;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_core::span::Current;

use crate::call_sites::CallSites;
use crate::open_span::{OpenSpan, values};
use crate::run::{Place as RunPlace, Runs};

/// Records approved spans, and is all of `tracing` in this process. Made by
/// [`Telemetry::subscriber`](crate::Telemetry::subscriber); takes nothing when nothing is recorded.
pub struct TelemetrySubscriber {
    /// What tells its spans from those of another subscriber that this thread is in.
    number: u32,
    recording: Option<&'static Runs>,
    call_sites: CallSites,
    open: Mutex<OpenSpans>,
}

impl std::fmt::Debug for TelemetrySubscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TelemetrySubscriber")
            .field("recording", &self.recording.is_some())
            .finish_non_exhaustive()
    }
}

impl TelemetrySubscriber {
    pub(crate) fn new(recording: Option<&'static Runs>) -> Self {
        static SUBSCRIBERS: AtomicU32 = AtomicU32::new(0);

        let number = SUBSCRIBERS.fetch_add(1, Ordering::Relaxed);
        Self { number, recording, call_sites: CallSites::default(), open: Mutex::new(OpenSpans::default()) }
    }

    /// The runs, unless this is a child that was forked from their process: there another thread may have held the
    /// table, which nobody gives back.
    fn runs(&self) -> Option<&'static Runs> {
        self.recording.filter(|runs| !runs.are_a_parents())
    }

    /// The innermost span that this thread is in.
    fn entered(&self) -> Option<Handle> {
        let is_own = |(number, _): &&(u32, Handle)| *number == self.number;
        ENTERED.try_with(|entered| Some(entered.try_borrow().ok()?.iter().rev().find(is_own)?.1)).ok()?
    }

    fn open(&self) -> MutexGuard<'_, OpenSpans> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nearest approved span that is entered in this thread.
    #[cfg(feature = "spool")]
    pub(crate) fn entered_span(&self) -> Option<RunPlace> {
        let key = self.entered()?.key()?;
        self.runs()?;
        self.open().get(key).map(|entry| entry.span.place())
    }
}

impl Subscriber for TelemetrySubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.recording {
            Some(runs) if metadata.is_span() => {
                self.call_sites.find_or_add(&runs.allowlist, metadata);
                Interest::always()
            }
            _ => Interest::never(),
        }
    }

    /// Asked only of a call site that another thread is registering at this moment: what `new_span` relies on must be
    /// there before it.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match self.recording {
            Some(runs) if metadata.is_span() => {
                self.call_sites.find_or_add(&runs.allowlist, metadata);
                true
            }
            _ => false,
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let level = self.recording.and_then(|runs| runs.allowlist.level());
        Some(level.map_or(LevelFilter::OFF, LevelFilter::from_level))
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let above = match attributes.parent() {
            Some(parent) => Handle::of(parent).key(),
            None if attributes.is_contextual() => self.entered().and_then(Handle::key),
            None => None,
        };
        let call_site = self.call_sites.find(attributes.metadata());
        // Nothing is to be held open, so nothing is looked up.
        if call_site.is_none() && above.is_none() {
            return Handle::hidden_below(None).id();
        }
        let Some(runs) = self.runs() else { return Handle::hidden_below(None).id() };
        let above = above.and_then(|key| self.open().hold(key));
        match call_site {
            None => Handle::hidden_below(above.map(|(key, _)| key)).id(),
            Some(call_site) => {
                let (above, place) = above.unzip();
                let Some(span) = OpenSpan::new(runs, call_site, attributes, place) else {
                    return Handle::hidden_below(above).id();
                };
                let metadata = attributes.metadata();
                let key = self.open().insert(Entry { span, metadata, above, held: 1 });
                key.map_or_else(|| Handle::hidden_below(above), Handle::approved).id()
            }
        }
    }

    fn record(&self, span: &Id, record: &Record<'_>) {
        let handle = Handle::of(span);
        let (Some(key), false, Some(runs)) = (handle.key(), handle.is_hidden(), self.runs()) else { return };
        let Some(call_site) = self.open().get(key).map(|entry| entry.span.call_site()) else { return };
        // While the table is free.
        let values = values(runs, call_site, record);
        if let Some(entry) = self.open().get(key) {
            entry.span.set(values);
        }
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, _event: &Event<'_>) {}

    fn enter(&self, span: &Id) {
        let handle = Handle::of(span);
        // Gone only while the thread ends.
        let _ = ENTERED.try_with(|entered| {
            if let Ok(mut entered) = entered.try_borrow_mut() {
                entered.push((self.number, handle));
            }
        });
    }

    fn exit(&self, span: &Id) {
        let span = (self.number, Handle::of(span));
        let _ = ENTERED.try_with(|entered| {
            let Ok(mut entered) = entered.try_borrow_mut() else { return };
            if let Some(last) = entered.iter().rposition(|entered| *entered == span) {
                entered.remove(last);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        if let (Some(key), Some(_)) = (Handle::of(span).key(), self.runs()) {
            self.open().hold(key);
        }
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let Some(runs) = self.runs() else { return false };
        let mut let_go = Handle::of(&span).key();
        let mut is_closed = false;
        while let Some(key) = let_go {
            let Some(entry) = self.open().let_go(key) else { break };
            let_go = entry.above;
            entry.span.close(runs);
            is_closed = true;
        }
        is_closed
    }

    fn current_span(&self) -> Current {
        let Some(handle) = self.entered() else { return Current::none() };
        let hidden = || Current::new(handle.id(), &HIDDEN);
        match (handle.key(), handle.is_hidden(), self.runs()) {
            (Some(key), false, Some(_)) => match self.open().get(key) {
                Some(entry) => Current::new(handle.id(), entry.metadata),
                None => Current::none(),
            },
            _ => hidden(),
        }
    }
}

thread_local! {
    /// The spans that this thread is in, innermost last, with their subscriber's number.
    static ENTERED: RefCell<Vec<(u32, Handle)>> = const { RefCell::new(Vec::new()) };
    /// The hidden spans that this thread opened.
    static HIDDEN_SPANS: Cell<u64> = const { Cell::new(0) };
}

/// A place in the table, and how often it was taken before: of a span that is closed nothing is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    place: u32,
    taken: u32,
}

/// A span as `tracing` holds it.
///
/// | bits | |
/// | --- | --- |
/// | 0 to 23 | the place of an approved span, counted from 1: its own, or of the nearest one above if this one is hidden; 0 if there is none |
/// | 24 to 43 | how often that place was taken before |
/// | 44 to 62 | of a hidden span a number, so that a thread that is in several leaves the right one |
/// | 63 | hidden |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Handle(u64);

impl Handle {
    const HIDDEN: u64 = 1 << 63;
    const NUMBER: u32 = 44;
    const TAKEN: u32 = 24;
    const MOST_PLACES: usize = (1 << Self::TAKEN) - 1;
    const TAKEN_MASK: u32 = (1 << (Self::NUMBER - Self::TAKEN)) - 1;

    fn approved(key: Key) -> Self {
        Self(u64::from(key.taken) << Self::TAKEN | (u64::from(key.place) + 1))
    }

    fn hidden_below(above: Option<Key>) -> Self {
        let number = HIDDEN_SPANS.with(|opened| opened.replace(opened.get() + 1));
        let above = above.map_or(0, |key| Self::approved(key).0);
        Self(Self::HIDDEN | (number << Self::NUMBER) & !Self::HIDDEN | above)
    }

    fn of(id: &Id) -> Self {
        Self(id.into_u64())
    }

    fn id(self) -> Id {
        Id::from_u64(self.0)
    }

    fn is_hidden(self) -> bool {
        self.0 & Self::HIDDEN != 0
    }

    fn key(self) -> Option<Key> {
        let place = (self.0 as u32 & Self::MOST_PLACES as u32).checked_sub(1)?;
        Some(Key { place, taken: (self.0 >> Self::TAKEN) as u32 & Self::TAKEN_MASK })
    }
}

/// An approved span in the table.
struct Entry {
    span: OpenSpan,
    metadata: &'static Metadata<'static>,
    /// The approved span that it holds open.
    above: Option<Key>,
    /// By handles of its own, hidden spans below it and approved ones.
    held: usize,
}

/// The approved spans that are open.
#[derive(Default)]
struct OpenSpans {
    places: Vec<Place>,
    free: Vec<u32>,
}

struct Place {
    taken: u32,
    entry: Option<Entry>,
}

impl OpenSpans {
    /// Nothing when more spans are open than a handle can tell apart; a run has room for far fewer.
    fn insert(&mut self, entry: Entry) -> Option<Key> {
        if let Some(place) = self.free.pop() {
            let free = &mut self.places[place as usize];
            free.entry = Some(entry);
            return Some(Key { place, taken: free.taken });
        }
        let place = self.places.len();
        if place >= Handle::MOST_PLACES {
            return None;
        }
        self.places.push(Place { taken: 0, entry: Some(entry) });
        Some(Key { place: place as u32, taken: 0 })
    }

    fn get(&mut self, key: Key) -> Option<&mut Entry> {
        let place = self.places.get_mut(key.place as usize).filter(|place| place.taken == key.taken)?;
        place.entry.as_mut()
    }

    /// Holds a span open once more.
    fn hold(&mut self, key: Key) -> Option<(Key, RunPlace)> {
        let entry = self.get(key)?;
        entry.held += 1;
        Some((key, entry.span.place()))
    }

    /// Holds it once less; gives the entry when nobody holds it any more.
    fn let_go(&mut self, key: Key) -> Option<Entry> {
        let entry = self.get(key)?;
        entry.held -= 1;
        if entry.held > 0 {
            return None;
        }
        let place = &mut self.places[key.place as usize];
        place.taken = (place.taken + 1) & Handle::TAKEN_MASK;
        self.free.push(key.place);
        place.entry.take()
    }
}

/// What `Span::current()` tells of a hidden span: it has no field, so nothing can be recorded through it.
static HIDDEN: Metadata<'static> = Metadata::new(
    "hidden",
    "tool_telemetry",
    Level::TRACE,
    None,
    None,
    None,
    FieldSet::new(&[], Identifier(&Hidden)),
    Kind::SPAN,
);

struct Hidden;

impl Callsite for Hidden {
    fn set_interest(&self, _interest: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        &HIDDEN
    }
}

#[cfg(all(test, feature = "http", feature = "grpc"))]
mod tests;

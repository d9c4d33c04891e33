//! Collects what is not recorded, for `<TOOL>_TELEMETRY=explain` and for the author's tests. Otherwise it does not exist,
//! and costs one check of a pointer where something is left out.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::callsite::{Callsite, Identifier};
use tracing::field::FieldSet;
use tracing::level_filters::STATIC_MAX_LEVEL;
use tracing::metadata::Kind as MetadataKind;
use tracing::{Metadata, dispatcher};

use super::fork;
use crate::model::allowlist::Allowlist;
use crate::model::data_points::{ApprovedSpan, DataPoints, Kind, Level, Value, tracing_level};
use crate::model::field_value::ValueType;
use crate::model::omission::{Omission, OmissionReason, OmittedItem, most_similar};
use crate::model::span::Tool;

/// The most different omissions that are kept. A tool that has more learns of these first.
const MAX_OMISSIONS: usize = 256;

/// What was left out since the last run ended.
#[derive(Debug)]
pub(crate) struct Omissions {
    allowlist: Allowlist,
    tool: Tool<'static>,
    list: Mutex<Vec<Omission>>,
    /// A call site for each approved span, by position. Nothing in it changes, so a panic leaves it as it is.
    questions: AssertUnwindSafe<Vec<&'static Metadata<'static>>>,
    /// How many telemetry layers a subscriber has.
    layers: AtomicU32,
    /// Whether spans come from an exporter, and not from a layer.
    has_exporter: AtomicBool,
    /// One bit for each approved span that was opened, by position.
    seen: AtomicU64,
    /// The same for each that the current subscriber hides.
    hidden: AtomicU64,
}

impl Omissions {
    pub(crate) fn new(allowlist: Allowlist, tool: Tool<'static>) -> Self {
        Self {
            allowlist,
            tool,
            list: Mutex::default(),
            questions: AssertUnwindSafe(allowlist.data_points.spans.iter().map(question).collect()),
            layers: AtomicU32::new(0),
            has_exporter: AtomicBool::new(false),
            seen: AtomicU64::new(0),
            hidden: AtomicU64::new(0),
        }
    }

    fn data_points(&self) -> &'static DataPoints {
        self.allowlist.data_points
    }

    fn add(&self, item: OmittedItem, reason: OmissionReason) {
        // A thread of the parent may have held the lock during the fork.
        if fork::is_child() {
            return;
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = list.iter_mut().find(|known| known.item == item && known.reason == reason) {
            known.times = known.times.saturating_add(1);
        } else if list.len() < MAX_OMISSIONS {
            list.push(Omission::new(item, reason, self.tool.version));
        }
    }

    /// A layer has a subscriber that is in use.
    pub(super) fn add_layer(&self) {
        self.layers.fetch_add(1, Ordering::Relaxed);
    }

    /// Spans come from an exporter.
    #[cfg(feature = "sdk")]
    pub(crate) fn set_has_exporter(&self) {
        self.has_exporter.store(true, Ordering::Relaxed);
    }

    /// An approved span was opened, so nothing hides it.
    pub(super) fn saw(&self, span: u8) {
        self.seen.fetch_or(1 << span, Ordering::Relaxed);
    }

    /// A span that the allowlist does not contain.
    pub(super) fn add_unapproved(&self, metadata: &Metadata<'_>) {
        let level = Level::NAMED.into_iter().find(|(level, _)| tracing_level(*level) == *metadata.level());
        let level = level.map_or(Level::Info, |(level, _)| level);
        self.add_unapproved_span(metadata.name(), metadata.target(), level);
    }

    /// A span that the allowlist does not contain.
    pub(crate) fn add_unapproved_span(&self, name: &str, target: &str, level: Level) {
        let data_points = self.data_points();
        let same_name = || data_points.spans.iter().find(|span| span.name == name);
        let reason = match data_points.span(name, target) {
            Some(position) if self.allowlist.has_span(position) => OmissionReason::TooVerbose,
            Some(position) => {
                let span = &data_points.spans[usize::from(position)];
                OmissionReason::of_span(span, self.allowlist.is_for_operator, self.tool.version)
            }
            None => match same_name() {
                Some(span) => OmissionReason::OtherTarget { approved: span.target },
                None => OmissionReason::NotApproved {
                    similar: most_similar(name, data_points.spans.iter().map(|span| span.name)),
                },
            },
        };
        let (name, target) = (name.to_owned(), target.to_owned());
        self.add(OmittedItem::Span { name, target, level }, reason);
    }

    /// An approved span that has no run.
    pub(super) fn add_span(&self, span: u8, reason: OmissionReason) {
        let span = &self.data_points().spans[usize::from(span)];
        let (name, target) = (span.name.to_owned(), span.target.to_owned());
        self.add(OmittedItem::Span { name, target, level: span.level }, reason);
    }

    /// A value that was not admitted, or that became `other`. `span` is the approved span, or `None` for the run.
    pub(crate) fn add_value(&self, span: Option<u8>, key: &str, offered: ValueType, admitted: Option<Value>) {
        let data_points = self.data_points();
        let span = span.map(|span| &data_points.spans[usize::from(span)]);
        let allowed = span.map_or(data_points.on_run, |span| span.data_points);
        let reason = match data_points.key_among(allowed, key) {
            Some(position) => {
                let data_point = &data_points.data_points[usize::from(position)];
                if !self.allowlist.has_data_point(position) {
                    let is_for_operator = self.allowlist.is_for_operator;
                    OmissionReason::of_data_point(data_point, is_for_operator, self.tool.version)
                } else if matches!(data_point.kind, Kind::ExitCode) {
                    OmissionReason::SetByLibrary
                } else if admitted == Some(Value::Other) {
                    OmissionReason::Other { kind: data_point.kind.name() }
                } else {
                    OmissionReason::of_value(data_point, offered)
                }
            }
            None if data_points.keys().any(|known| known == key) => OmissionReason::NotOnSpan,
            None => OmissionReason::NotApproved { similar: most_similar(key, data_points.keys()) },
        };
        let span = span.map_or(tool_telemetry_definition::RUN, |span| span.name).to_owned();
        self.add(OmittedItem::Value { key: key.to_owned(), span, offered }, reason);
    }

    /// Asks the current subscriber whether it hides approved spans. It uses `tracing`, so an exiting process must not call
    /// it.
    ///
    /// The question is whether it is interested in such a call site. `Dispatch::enabled` would be the wrong one, because its
    /// answer decides which per-layer filters see the next span or event (tokio-rs/tracing#2519).
    pub(crate) fn ask_subscriber(&self) {
        if self.layers.load(Ordering::Relaxed) == 0 {
            return;
        }
        for (position, question) in (0_u8..).zip(self.questions.iter().copied()) {
            let is_hidden =
                dispatcher::get_default(|subscriber| subscriber.register_callsite(question).is_never());
            let bit = 1 << position;
            match is_hidden {
                true => self.hidden.fetch_or(bit, Ordering::Relaxed),
                false => self.hidden.fetch_and(!bit, Ordering::Relaxed),
            };
        }
    }

    /// Takes everything that was left out since the last call.
    pub(crate) fn take(&self) -> Vec<Omission> {
        self.add_hidden_spans();
        if fork::is_child() {
            return Vec::new();
        }
        std::mem::take(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add_hidden_spans(&self) {
        let (seen, hidden) = (self.seen.load(Ordering::Relaxed), self.hidden.load(Ordering::Relaxed));
        let layers = self.layers.load(Ordering::Relaxed);
        if self.has_exporter.load(Ordering::Relaxed) {
            return;
        }
        if layers > 1 {
            self.add(OmittedItem::Spans, OmissionReason::SeveralLayers);
        }
        for (position, span) in (0_u8..).zip(self.data_points().spans) {
            let has = |bits: u64| bits >> position & 1 == 1;
            if !self.allowlist.has_span(position) || has(seen) {
                continue;
            }
            if tracing_level(span.level) > STATIC_MAX_LEVEL {
                self.add_span(position, OmissionReason::HiddenByFeature);
            } else if layers == 0 {
                // One mistake, whatever the number of spans.
                return self.add(OmittedItem::Spans, OmissionReason::NoLayer);
            } else if has(hidden) {
                self.add_span(position, OmissionReason::HiddenByFilter);
            }
        }
    }
}

/// Call sites live as long as the program, as in `tracing`.
fn question(span: &ApprovedSpan) -> &'static Metadata<'static> {
    let fields = FieldSet::new(&[], Identifier(&CALL_SITE));
    let level = tracing_level(span.level);
    let kind = MetadataKind::SPAN;
    Box::leak(Box::new(Metadata::new(span.name, span.target, level, None, None, None, fields, kind)))
}

/// The call site of the questions, which no code runs.
struct QuestionCallSite;

static CALL_SITE: QuestionCallSite = QuestionCallSite;
static METADATA: Metadata<'static> = Metadata::new(
    "question",
    "tool_telemetry",
    tracing::Level::TRACE,
    None,
    None,
    None,
    FieldSet::new(&[], Identifier(&CALL_SITE)),
    MetadataKind::SPAN,
);

impl Callsite for QuestionCallSite {
    fn set_interest(&self, _interest: tracing::subscriber::Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        &METADATA
    }
}

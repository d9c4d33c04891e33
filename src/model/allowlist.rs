//! The approved spans and data points that apply to one run: by audience, by the tool's version, and by the notice that
//! the user saw.

use tracing::Metadata;

use crate::model::chooser::Chooser;
use crate::model::data_points::{Audience, DataPoints, Times, Version, tracing_level};

/// The spans and data points that this run may record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowlist {
    pub(crate) data_points: &'static DataPoints,
    /// Whether it is for a destination that an operator chose.
    pub(crate) is_for_operator: bool,
    /// One bit for each approved span, by position.
    spans: u64,
    /// One bit for each data point, by position.
    values: u64,
    /// Whether runs start on the hour.
    pub(crate) has_coarse_times: bool,
}

/// The fields of an entry that decide whether it applies.
struct EntryConditions {
    audience: Audience,
    since: Version,
    until: Option<Version>,
}

impl Allowlist {
    /// `tool` is the running version. `notice` is the version of the notice that the user saw, and `None` if no notice
    /// is needed. `policy_keys` are the only keys that the machine's policy allows, if it names any.
    pub(crate) fn new(
        data_points: &'static DataPoints,
        chosen_by: Chooser,
        tool: Option<&Version>,
        notice: Option<&Version>,
        policy_keys: Option<&[String]>,
    ) -> Self {
        Self::filter(data_points, chosen_by, policy_keys, |entry| {
            chosen_by.receives(entry.audience)
                && notice.is_none_or(|notice| *notice >= entry.since)
                // A tool without a valid version cannot be before `until`.
                && entry.until.is_none_or(|until| tool.is_some_and(|tool| *tool < until))
        })
    }

    /// The entries of recorded runs that may be sent now. It checks the audience and the machine's policy again,
    /// because both may have changed. It does not check `since` and `until`, which applied when the run was recorded.
    pub(crate) fn for_sending(
        data_points: &'static DataPoints,
        chosen_by: Chooser,
        policy_keys: Option<&[String]>,
    ) -> Self {
        Self::filter(data_points, chosen_by, policy_keys, |entry| chosen_by.receives(entry.audience))
    }

    fn filter(
        data_points: &'static DataPoints,
        chosen_by: Chooser,
        policy_keys: Option<&[String]>,
        applies: impl Fn(EntryConditions) -> bool,
    ) -> Self {
        let spans = bits(data_points.spans.iter().map(|span| {
            applies(EntryConditions { audience: span.audience, since: span.since, until: span.until })
        }));
        let values = bits(data_points.data_points.iter().map(|data_point| {
            policy_keys.is_none_or(|keys| keys.iter().any(|key| key == data_point.key))
                && applies(EntryConditions {
                    audience: data_point.audience,
                    since: data_point.since,
                    until: data_point.until,
                })
        }));
        let has_coarse_times = chosen_by == Chooser::Maker && data_points.times == Times::Hour;
        Self { data_points, is_for_operator: chosen_by == Chooser::Operator, spans, values, has_coarse_times }
    }

    /// The newest `since` among the entries that apply. A notice of this version announces them all.
    pub(crate) fn newest(&self) -> Option<Version> {
        let spans = (0..).zip(self.data_points.spans).filter(|(position, _)| self.has_span(*position));
        let values =
            (0..).zip(self.data_points.data_points).filter(|(position, _)| self.has_data_point(*position));
        spans.map(|(_, span)| span.since).chain(values.map(|(_, value)| value.since)).max()
    }

    /// The position of the approved span that this call site creates.
    pub(crate) fn span(&self, metadata: &Metadata<'_>) -> Option<u8> {
        if self.spans == 0 || !metadata.is_span() {
            return None;
        }
        let position = self.span_named(metadata.name(), metadata.target())?;
        let level = tracing_level(self.data_points.spans[usize::from(position)].level);
        (*metadata.level() <= level).then_some(position)
    }

    /// The position of the approved span with this name and target, at any level.
    pub(crate) fn span_named(&self, name: &str, target: &str) -> Option<u8> {
        self.data_points.span(name, target).filter(|position| self.has_span(*position))
    }

    /// Whether this approved span applies.
    pub(crate) fn has_span(&self, position: u8) -> bool {
        self.spans >> position & 1 == 1
    }

    /// Whether this data point applies.
    pub(crate) fn has_data_point(&self, position: u8) -> bool {
        self.values >> position & 1 == 1
    }

    /// The most verbose level at which a span is recorded.
    pub(crate) fn level(&self) -> Option<tracing::Level> {
        let spans = (0..).zip(self.data_points.spans).filter(|(position, _)| self.has_span(*position));
        spans.map(|(_, span)| tracing_level(span.level)).max()
    }
}

/// A bit for each position, set where `applies` is true.
fn bits(applies: impl Iterator<Item = bool>) -> u64 {
    applies.enumerate().fold(0, |bits, (position, applies)| bits | u64::from(applies) << position)
}

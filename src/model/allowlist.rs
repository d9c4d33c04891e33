//! What of the approved data points applies to this run: by audience, by the tool's version, and by what the
//! person has been told of.

use tracing::Metadata;

use crate::model::chosen_by::ChosenBy;
use crate::model::data_points::{Audience, DataPoints, Version};

/// The spans and data points that this run may record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowlist {
    pub(crate) data_points: &'static DataPoints,
    /// One bit for each approved span, by position.
    spans: u64,
    /// One bit for each data point, by position.
    values: u64,
}

/// What decides whether one entry of the file applies.
struct Terms<'a> {
    audience: Audience,
    since: &'a Version,
    until: Option<&'a Version>,
}

/// What is meant for operators goes only to a destination that one chose.
fn is_for(chosen_by: ChosenBy, audience: Audience) -> bool {
    chosen_by == ChosenBy::Operator || audience == Audience::Maker
}

impl Allowlist {
    /// `tool` is the running version; `told` is the version whose notice the person saw, or nothing if all of
    /// it counts as told; `narrowed_to` are the only keys that the machine's policy allows, if it says so.
    pub(crate) fn new(
        data_points: &'static DataPoints,
        chosen_by: ChosenBy,
        tool: Option<&Version>,
        told: Option<&Version>,
        narrowed_to: Option<&[String]>,
    ) -> Self {
        Self::of(data_points, narrowed_to, |terms| {
            is_for(chosen_by, terms.audience)
                && told.is_none_or(|told| !told.is_before(terms.since))
                && match (terms.until, tool) {
                    (Some(until), Some(tool)) => tool.is_before(until),
                    // A tool without a readable version cannot show that the time is not up.
                    (Some(_), None) => false,
                    (None, _) => true,
                }
        })
    }

    /// What of a run that was recorded earlier may leave the machine now: by audience and by the machine's policy,
    /// which may have changed meanwhile. The times are about recording.
    pub(crate) fn for_sending(
        data_points: &'static DataPoints,
        chosen_by: ChosenBy,
        narrowed_to: Option<&[String]>,
    ) -> Self {
        Self::of(data_points, narrowed_to, |terms| is_for(chosen_by, terms.audience))
    }

    fn of(
        data_points: &'static DataPoints,
        narrowed_to: Option<&[String]>,
        applies: impl Fn(Terms<'_>) -> bool,
    ) -> Self {
        let bits = |entries: &mut dyn Iterator<Item = Terms<'_>>| {
            entries
                .enumerate()
                .filter(|(_, terms)| applies(Terms { ..*terms }))
                .fold(0, |bits, (position, _)| bits | 1 << position)
        };
        let spans = bits(&mut data_points.spans.iter().map(|span| Terms {
            audience: span.audience,
            since: &span.since,
            until: span.until.as_ref(),
        }));
        let values = bits(&mut data_points.data_points.iter().map(|data_point| Terms {
            audience: data_point.audience,
            since: &data_point.since,
            until: data_point.until.as_ref(),
        }));
        let allowed = data_points.data_points.iter().enumerate().filter(|(_, data_point)| {
            narrowed_to.is_none_or(|keys| keys.iter().any(|key| key == data_point.key))
        });
        let values = values & allowed.fold(0, |bits, (position, _)| bits | 1 << position);
        Self { data_points, spans, values }
    }

    /// The newest `since` of what applies: what a notice must be of to tell of all.
    pub(crate) fn newest(&self) -> Option<Version> {
        let spans = (0..).zip(self.data_points.spans).filter(|(position, _)| self.has_span(*position));
        let values = (0..).zip(self.data_points.data_points).filter(|(position, _)| self.has(*position));
        let since = spans.map(|(_, span)| span.since).chain(values.map(|(_, value)| value.since));
        since.reduce(|newest, since| if newest.is_before(&since) { since } else { newest })
    }

    /// The position of the approved span that this call site makes, if it makes one.
    pub(crate) fn span(&self, metadata: &Metadata<'_>) -> Option<u8> {
        if self.spans == 0 || !metadata.is_span() {
            return None;
        }
        let position = self.span_named(metadata.name(), metadata.target())?;
        (*metadata.level() <= self.data_points.spans[usize::from(position)].level).then_some(position)
    }

    /// The same by name and target, at whatever level.
    pub(crate) fn span_named(&self, name: &str, target: &str) -> Option<u8> {
        self.data_points.span(name, target).filter(|position| self.spans >> position & 1 == 1)
    }

    /// Whether this approved span applies.
    pub(crate) fn has_span(&self, position: u8) -> bool {
        self.spans >> position & 1 == 1
    }

    /// Whether this data point applies.
    pub(crate) fn has(&self, position: u8) -> bool {
        self.values >> position & 1 == 1
    }

    /// The most verbose level at which a span is recorded.
    pub(crate) fn level(&self) -> Option<tracing::Level> {
        self.data_points
            .spans
            .iter()
            .enumerate()
            .filter(|(position, _)| self.spans >> position & 1 == 1)
            .map(|(_, span)| span.level)
            .max()
    }
}

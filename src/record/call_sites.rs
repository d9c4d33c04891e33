//! The approved call sites of this process: which approved span each makes, and which data point each of its fields
//! is. Found by name once, when `tracing` tells of the call site, and by position from then on.

use std::sync::OnceLock;

use tracing::Metadata;
use tracing::callsite::Identifier;
use tracing::field::Field;

use crate::model::allowlist::Allowlist;

/// No data point has this position: a span has at most 32 fields, and a tool at most 64 data points.
const NOT_APPROVED: u8 = u8::MAX;

/// A call site that makes approved spans.
#[derive(Debug)]
pub(crate) struct CallSite {
    identifier: Identifier,
    /// The approved span's position.
    pub(crate) span: u8,
    /// Positions of data points, by the fields' own order.
    fields: Box<[u8]>,
    next: OnceLock<&'static CallSite>,
}

impl CallSite {
    /// The data point that this field is, if it is one that applies. Never one for a field of another call site.
    pub(crate) fn data_point(&self, field: &Field) -> Option<u8> {
        let position = *self.fields.get(field.index())?;
        (position != NOT_APPROVED && field.callsite() == self.identifier).then_some(position)
    }
}

/// A list that only grows, by as many as the program has call sites of approved spans: reading takes no lock, and a
/// call site lives as long as the program, as it does in `tracing`.
#[derive(Debug, Default)]
pub(crate) struct CallSites {
    first: OnceLock<&'static CallSite>,
}

impl CallSites {
    /// The call site, if it is an approved one that was added.
    pub(crate) fn find(&self, metadata: &Metadata<'_>) -> Option<&'static CallSite> {
        let identifier = metadata.callsite();
        let mut next = self.first.get();
        while let Some(call_site) = next {
            if call_site.identifier == identifier {
                return Some(call_site);
            }
            next = call_site.next.get();
        }
        None
    }

    /// The call site, if it is an approved one.
    pub(crate) fn find_or_add(
        &self,
        allowlist: &Allowlist,
        metadata: &Metadata<'_>,
    ) -> Option<&'static CallSite> {
        if let Some(known) = self.find(metadata) {
            return Some(known);
        }
        let span = allowlist.span(metadata)?;
        let data_points = allowlist.data_points;
        let allowed = data_points.spans[usize::from(span)].data_points;
        let position = |field: Field| {
            let position = data_points.key_among(allowed, field.name());
            position.filter(|position| allowlist.has(*position)).unwrap_or(NOT_APPROVED)
        };
        let new: &'static CallSite = Box::leak(Box::new(CallSite {
            identifier: metadata.callsite(),
            span,
            fields: metadata.fields().iter().map(position).collect(),
            next: OnceLock::new(),
        }));
        // Two threads may add the same one at once: the second is never found, and does no harm.
        let mut place = &self.first;
        while place.set(new).is_err() {
            let Some(taken) = place.get() else { break };
            place = &taken.next;
        }
        Some(new)
    }
}

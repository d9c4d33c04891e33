//! The call sites of approved spans in this process, with the data point for each field. Names are resolved once for a call
//! site. After that, positions are used.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use tracing::Metadata;
use tracing::callsite::Identifier;
use tracing::field::Field;

use crate::model::allowlist::Allowlist;

/// No data point has this position, because a tool has at most 64 data points.
const NOT_APPROVED: u8 = u8::MAX;

/// A call site of approved spans.
#[derive(Debug)]
pub(crate) struct CallSite {
    identifier: Identifier,
    /// The position of the approved span.
    pub(crate) span: u8,
    /// The positions of the data points, in the order of the fields.
    fields: Box<[u8]>,
    next: OnceLock<&'static CallSite>,
}

impl CallSite {
    /// The data point for a field, if it may be recorded. A field of another call site has none.
    pub(crate) fn data_point(&self, field: &Field) -> Option<u8> {
        let position = *self.fields.get(field.index())?;
        (position != NOT_APPROVED && field.callsite() == self.identifier).then_some(position)
    }
}

/// A list that only grows and that is read without a lock. Call sites live as long as the program, as in `tracing`.
#[derive(Debug)]
pub(crate) struct CallSites {
    first: OnceLock<&'static CallSite>,
    /// A cache of call sites that are not approved, by their metadata's address.
    unapproved: [AtomicPtr<Metadata<'static>>; CACHE_SIZE],
}

const CACHE_SIZE: usize = 64;

impl CallSites {
    pub(crate) fn new() -> Self {
        Self {
            first: OnceLock::new(),
            unapproved: [const { AtomicPtr::new(std::ptr::null_mut()) }; CACHE_SIZE],
        }
    }

    fn cached(&self, metadata: &'static Metadata<'static>) -> &AtomicPtr<Metadata<'static>> {
        // The metadata of a call site has more than 64 bytes.
        &self.unapproved[std::ptr::from_ref(metadata).addr() / 64 % CACHE_SIZE]
    }

    /// Whether the call site is known not to be approved.
    pub(crate) fn is_unapproved(&self, metadata: &'static Metadata<'static>) -> bool {
        std::ptr::eq(self.cached(metadata).load(Ordering::Relaxed), metadata)
    }

    fn find(&self, metadata: &Metadata<'_>) -> Option<&'static CallSite> {
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

    /// The call site, if it is approved.
    pub(crate) fn find_or_add(
        &self,
        allowlist: &Allowlist,
        metadata: &'static Metadata<'static>,
    ) -> Option<&'static CallSite> {
        if self.is_unapproved(metadata) {
            return None;
        }
        if let Some(known) = self.find(metadata) {
            return Some(known);
        }
        let Some(span) = allowlist.span(metadata) else {
            self.cached(metadata).store(std::ptr::from_ref(metadata).cast_mut(), Ordering::Relaxed);
            return None;
        };
        let data_points = allowlist.data_points;
        let allowed = data_points.spans[usize::from(span)].data_points;
        let position = |field: Field| {
            let position = data_points.key_among(allowed, field.name());
            position.filter(|position| allowlist.has_data_point(*position)).unwrap_or(NOT_APPROVED)
        };
        let new: &'static CallSite = Box::leak(Box::new(CallSite {
            identifier: metadata.callsite(),
            span,
            fields: metadata.fields().iter().map(position).collect(),
            next: OnceLock::new(),
        }));
        // Two threads may add the same call site. The second one is never found.
        let mut end = &self.first;
        while end.set(new).is_err() {
            let Some(call_site) = end.get() else { break };
            end = &call_site.next;
        }
        Some(new)
    }
}

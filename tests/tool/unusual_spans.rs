//! Spans where people do not expect them.

use std::thread;

/// Spans on another thread, with an explicit parent and with none, recorded twice, never closed, closed in another
/// order than they were opened, and closed on another thread than they were opened on.
pub(crate) fn work() {
    let step = |number: u32| tracing::info_span!(target: "frob", "step", frob.number = number, frob.color = tracing::field::Empty);
    let outer = step(10);
    outer.record("frob.color", "never");
    outer.record("frob.color", "always");
    outer.record("frob.color", "anna's favourite");
    outer.record("frob.color", "never");
    outer.in_scope(|| {
        let parent = outer.clone();
        thread::scope(|scope| {
            scope.spawn(|| {
                // Another thread knows nothing of the current span of this one.
                tracing::info_span!(target: "frob", "inner", frob.number = 11_u32).in_scope(|| {});
                tracing::info_span!(target: "frob", parent: &parent, "inner", frob.number = 12_u32)
                    .in_scope(|| {});
                tracing::info_span!(target: "frob", parent: None, "inner", frob.number = 13_u32)
                    .in_scope(|| {});
            });
        });
        // Opened here, closed elsewhere.
        let moved = tracing::info_span!(target: "frob", "inner", frob.number = 14_u32);
        thread::scope(|scope| {
            scope.spawn(move || drop(moved));
        });
        let hidden = tracing::info_span!(target: "somebody", "hidden");
        tracing::info_span!(target: "frob", parent: &hidden, "inner", frob.number = 15_u32).in_scope(|| {});
    });
    // The parent is closed by its owner before its child is.
    let child = outer.in_scope(|| tracing::info_span!(target: "frob", "inner", frob.number = 16_u32));
    drop(outer);
    drop(child);
    // Never closed: it is not reported, and its children are, below it.
    let forgotten = step(17);
    forgotten.in_scope(|| tracing::info_span!(target: "frob", "inner", frob.number = 18_u32).in_scope(|| {}));
    std::mem::forget(forgotten);
}

//! Spans on other threads, with an explicit parent or none, recorded twice, or never closed.

use std::thread;

/// Opens them, and closes some in another order or on another thread.
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
                // Another thread does not have this thread's current span.
                tracing::info_span!(target: "frob", "inner", frob.number = 11_u32).in_scope(|| {});
                tracing::info_span!(target: "frob", parent: &parent, "inner", frob.number = 12_u32)
                    .in_scope(|| {});
                tracing::info_span!(target: "frob", parent: None, "inner", frob.number = 13_u32)
                    .in_scope(|| {});
            });
        });
        // Opened here, closed on another thread.
        let moved = tracing::info_span!(target: "frob", "inner", frob.number = 14_u32);
        thread::scope(|scope| {
            scope.spawn(move || drop(moved));
        });
        let hidden = tracing::info_span!(target: "somebody", "hidden");
        tracing::info_span!(target: "frob", parent: &hidden, "inner", frob.number = 15_u32).in_scope(|| {});
    });
    // The parent is closed before its child.
    let child = outer.in_scope(|| tracing::info_span!(target: "frob", "inner", frob.number = 16_u32));
    drop(outer);
    drop(child);
    // Never closed, so it is not reported; its children are.
    let forgotten = step(17);
    forgotten.in_scope(|| tracing::info_span!(target: "frob", "inner", frob.number = 18_u32).in_scope(|| {}));
    std::mem::forget(forgotten);
}

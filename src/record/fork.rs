//! A child that was forked without exec records nothing: the run is its parent's. It must not even ask for the
//! run's lock, which a thread of the parent may have held when the child was made and which nobody gives back there.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::platform;

static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Has every child marked that is forked from now on.
pub(super) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| platform::at_fork_in_child(mark));
}

extern "C" fn mark() {
    IS_CHILD.store(true, Ordering::Relaxed);
}

/// Whether this process was forked from the one whose run it is.
pub(super) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

//! A child that was forked without `exec` records nothing, because the run belongs to its parent. The child must not wait for
//! the lock of the runs either: if a thread of the parent held it during the fork, nothing releases it in the child.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::platform;

static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Marks every child that is forked from now on.
pub(super) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| platform::at_fork_in_child(mark));
}

extern "C" fn mark() {
    IS_CHILD.store(true, Ordering::Relaxed);
}

/// Whether this process was forked from the one that the runs belong to.
pub(super) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

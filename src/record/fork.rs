//! A child that was forked without `exec` records nothing, because the run belongs to its parent. It must not take the runs'
//! lock either. A thread of the parent may have held it during the fork, and then it is never released in the child.

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

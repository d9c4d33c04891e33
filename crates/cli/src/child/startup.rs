//! What this process inherited and Rust's runtime changed before `main`.
//!
//! The runtime ignores SIGPIPE and opens `/dev/null` as a standard stream that is closed. A program that is started from
//! here must find both as they were.

#![expect(
    unsafe_code,
    reason = "the runtime's changes can be seen only before it starts, and undone only by the system"
)]

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

static IGNORES_SIGPIPE: AtomicBool = AtomicBool::new(false);
static IS_CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

// SAFETY: the loader calls the functions of this section before `main`. This one uses nothing that the runtime prepares.
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static BEFORE_MAIN: extern "C" fn() = observe;

extern "C" fn observe() {
    IGNORES_SIGPIPE.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
    for (descriptor, is_closed) in (0..).zip(&IS_CLOSED) {
        // SAFETY: the call takes numbers.
        is_closed.store(unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1, Ordering::Relaxed);
    }
}

/// Whether this process ignores a signal.
pub(super) fn is_ignored(signal: c_int) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the null pointer changes nothing, and the call fills the structure, which is read only after success.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Undoes what the runtime changed, just before this process becomes another program.
pub(super) fn restore() {
    let action = if IGNORES_SIGPIPE.load(Ordering::Relaxed) { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither action runs code of ours, and nothing uses these streams any more.
    unsafe {
        libc::signal(libc::SIGPIPE, action);
        for (descriptor, is_closed) in (0..).zip(&IS_CLOSED) {
            if is_closed.load(Ordering::Relaxed) {
                libc::close(descriptor);
            }
        }
    }
}

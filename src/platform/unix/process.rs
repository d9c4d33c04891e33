//! This process and others: their rights, ids, and ends.

use std::ffi::{c_int, c_void};

/// Whether a program learns its exit code while it exits.
pub(crate) const HAS_EXIT_HOOK: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

/// The width of the terminal that stderr is connected to, in columns.
pub(crate) fn terminal_columns() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ fills the structure behind the pointer, which outlives the call.
    let result = unsafe { libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether the process has rights that its parent does not have, for example by set-user-id (`AT_SECURE`).
pub(crate) fn has_elevated_rights() -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: getauxval takes a number and reads a value that the kernel set when the process started.
        unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
    }
    #[cfg(not(target_os = "linux"))]
    {
        // SAFETY: these four calls only read this process's ids.
        unsafe { libc::geteuid() != libc::getuid() || libc::getegid() != libc::getgid() }
    }
}

/// The parent process. If it has ended, the process that adopted this one.
pub(crate) fn parent_process() -> Option<u32> {
    Some(std::os::unix::process::parent_id())
}

/// Calls `hook` with the exit code when the process exits.
pub(crate) fn at_exit(hook: extern "C" fn(c_int, *mut c_void)) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn on_exit(hook: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
        }
        // SAFETY: the function lives as long as the program, and the hook never reads the null pointer.
        unsafe { on_exit(hook, std::ptr::null_mut()) };
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = hook;
}

/// Ends the process at once. It skips exit handlers, because a handler may wait for ever.
pub(crate) fn exit_immediately(code: i32) -> ! {
    // SAFETY: _exit takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Calls `hook` in every child that is forked without `exec`.
pub(crate) fn at_fork_in_child(hook: unsafe extern "C" fn()) {
    // SAFETY: the function lives as long as the program. It only stores an atomic and closes a descriptor, which is
    // allowed after a fork.
    unsafe { libc::pthread_atfork(None, None, Some(hook)) };
}

/// Closes a descriptor in a child after a fork. It may be closed already.
pub(crate) fn close_descriptor(descriptor: i32) {
    // SAFETY: the caller owns the descriptor, which is the fork's copy of our own file's.
    unsafe { libc::close(descriptor) };
}

/// Whether a process with this id was started with this argument. The id alone may belong to another process by now, or
/// to one in a container.
pub(crate) fn is_running_with(process: i32, argument: &str) -> bool {
    if cfg!(target_os = "linux") {
        return std::fs::read(format!("/proc/{process}/cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()));
    }
    // SAFETY: the call takes numbers, and signal 0 sends nothing.
    process > 1 && unsafe { libc::kill(process, 0) } == 0
}

/// Sets the name that `ps` shows. A program that was started by `/proc/self/exe` would be called `exe`.
pub(crate) fn name_process(name: &str) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Ok(name) = std::ffi::CString::new(name) {
        // SAFETY: the kernel reads the text up to its null, and keeps 15 bytes of it.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = name;
}

//! This process and others: their ids, jobs, and ends.

use std::ffi::{c_int, c_void};
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};

use windows_sys::Wdk::System::Threading::{NtQueryInformationProcess, ProcessBasicInformation};
use windows_sys::Win32::Foundation::WAIT_TIMEOUT;
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, GetConsoleScreenBufferInfo, GetStdHandle, STD_ERROR_HANDLE,
};
use windows_sys::Win32::System::JobObjects::{
    JOB_OBJECT_LIMIT_BREAKAWAY_OK, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation, QueryInformationJobObject,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, OpenProcess, PROCESS_BASIC_INFORMATION, PROCESS_SYNCHRONIZE, TerminateProcess,
    WaitForSingleObject,
};

/// Whether a program learns its exit code while it exits.
pub(crate) const HAS_EXIT_HOOK: bool = false;

pub(crate) fn at_exit(_hook: extern "C" fn(c_int, *mut c_void)) {}

/// The width of the console that stderr is connected to, in columns.
pub(crate) fn terminal_columns() -> Option<usize> {
    let mut console = CONSOLE_SCREEN_BUFFER_INFO::default();
    // SAFETY: the call fills the structure behind the pointer. A handle that is no console is refused.
    let result = unsafe { GetConsoleScreenBufferInfo(GetStdHandle(STD_ERROR_HANDLE), &raw mut console) };
    let columns = i32::from(console.srWindow.Right) - i32::from(console.srWindow.Left) + 1;
    usize::try_from(columns).ok().filter(|columns| result != 0 && *columns > 1)
}

/// Windows has no set-user-id. A program that was started as administrator has another user's environment or this one's.
pub(crate) fn has_elevated_rights() -> bool {
    false
}

/// The process that started this one. If it has ended, its id may belong to another process by now.
pub(crate) fn parent_process() -> Option<u32> {
    // SAFETY: zero is a valid value of every field.
    let mut information: PROCESS_BASIC_INFORMATION = unsafe { std::mem::zeroed() };
    // SAFETY: the call fills the structure behind the pointer, whose size is given, and null requests no length.
    let status = unsafe {
        NtQueryInformationProcess(
            GetCurrentProcess(),
            ProcessBasicInformation,
            (&raw mut information).cast(),
            size_of::<PROCESS_BASIC_INFORMATION>() as u32,
            std::ptr::null_mut(),
        )
    };
    (status == 0).then_some(information.InheritedFromUniqueProcessId as u32)
}

/// Ends the process at once. Skips the handlers of the program and its libraries, because one may wait for ever.
pub(crate) fn exit_immediately(code: i32) -> ! {
    // SAFETY: the call takes the handle that stands for this process, and ends it.
    unsafe { TerminateProcess(GetCurrentProcess(), code as u32) };
    std::process::exit(code)
}

/// Whether a process with this id runs. Its arguments are unknown.
pub(crate) fn is_running_with(process: i32, _argument: &str) -> bool {
    // SAFETY: the call takes numbers.
    let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, process as u32) };
    if handle.is_null() {
        return false;
    }
    // SAFETY: the handle was just opened, and nothing else closes it.
    let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
    // SAFETY: the handle is open, and the call does not wait.
    unsafe { WaitForSingleObject(handle.as_raw_handle(), 0) == WAIT_TIMEOUT }
}

/// Whether this process is in a job that kills its processes when it is closed, and lets none leave. CI runners and some
/// terminals use one.
pub(crate) fn may_be_killed_with_command() -> bool {
    job_limits().is_some_and(|limits| {
        limits & JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE != 0
            && limits & (JOB_OBJECT_LIMIT_BREAKAWAY_OK | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK) == 0
    })
}

/// Whether a child stays in this process's job unless it asks to leave, and is allowed to leave.
pub(super) fn can_leave_job() -> bool {
    job_limits().is_some_and(|limits| limits & JOB_OBJECT_LIMIT_BREAKAWAY_OK != 0)
}

/// The limits of this process's job, if it is in one.
fn job_limits() -> Option<u32> {
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    // SAFETY: the null handle stands for this process's job. The call fills the structure, whose size is given.
    let result = unsafe {
        QueryInformationJobObject(
            std::ptr::null_mut(),
            JobObjectExtendedLimitInformation,
            (&raw mut limits).cast(),
            size_of::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>() as u32,
            std::ptr::null_mut(),
        )
    };
    (result != 0).then_some(limits.BasicLimitInformation.LimitFlags)
}

/// A process in a console of its own gets no signal of the user's.
pub(crate) fn ignore_terminal_signals() {}

pub(crate) fn name_process(_name: &str) {}

/// Windows has no `fork`.
pub(crate) fn at_fork_in_child(_hook: unsafe extern "C" fn()) {}

pub(crate) fn close_descriptor(_descriptor: i32) {}

pub(crate) fn re_exec_from_memory(_marker: &str) {}

pub(crate) fn has_waiting_parent(_parent: Option<u32>) -> bool {
    false
}

/// Windows reports the exit code.
pub(crate) fn report_exit(_code: i32) {}

/// Windows keeps nothing of a process that has ended and to which no handle is open.
pub(crate) fn reap_children(_within: std::time::Duration) -> bool {
    false
}

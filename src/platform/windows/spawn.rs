//! Starting the detached uploader, and waiting for it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::OsStrExt as _;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::path::Path;
use std::time::Duration;

use windows_sys::Win32::Foundation::WAIT_TIMEOUT;
use windows_sys::Win32::System::Threading::{
    CREATE_BREAKAWAY_FROM_JOB, CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, CREATE_UNICODE_ENVIRONMENT,
    CreateProcessW, GetExitCodeProcess, PROCESS_INFORMATION, STARTF_USESTDHANDLES, STARTUPINFOW,
    WaitForSingleObject,
};

use super::files::last_error_unless;
use super::process::can_leave_job;
use super::user_directories::windows_directory;

/// A text as the system takes it.
pub(crate) type NativeText = OsString;

pub(crate) fn native_text(text: &OsStr) -> io::Result<NativeText> {
    if text.encode_wide().any(|unit| unit == 0) {
        Err(io::ErrorKind::InvalidInput.into())
    } else {
        Ok(text.into())
    }
}

/// How to start this program again.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: NativeText,
    pub(crate) loader_arguments: Option<Vec<NativeText>>,
}

pub(crate) fn current_program(_is_loaded_with: bool) -> io::Result<Program> {
    Ok(Program { path: std::env::current_exe()?.into_os_string(), loader_arguments: None })
}

pub(crate) fn current_program_without_proc() -> io::Result<Program> {
    Err(io::ErrorKind::NotFound.into())
}

/// A program to start detached, with its arguments and environment.
#[derive(Debug)]
pub(crate) struct DetachedCommand {
    pub(crate) program: NativeText,
    /// All arguments. The first one is the program's own name, and the others contain no spaces or quotation marks.
    pub(crate) arguments: Vec<NativeText>,
    /// The whole environment, as `NAME=value`.
    pub(crate) environment: Vec<NativeText>,
    /// Starts it in this process's directory.
    pub(crate) keeps_directory: bool,
    #[allow(dead_code, reason = "the system reports the exit code of every process")]
    pub(crate) is_awaited: bool,
}

/// A process that was started detached.
#[derive(Debug)]
pub(crate) struct DetachedProcess {
    id: u32,
    process: OwnedHandle,
}

/// What is known about the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitReport {
    /// It ended with this exit code.
    Code(i32),
    /// It ended by an exception, and never reached its end.
    Missing,
}

impl DetachedProcess {
    pub(crate) fn id(&self) -> i32 {
        self.id as i32
    }

    /// Waits for the end. Returns `None` if the process still runs after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitReport>> {
        // The highest number means for ever.
        let limit = limit.as_millis().min(u128::from(u32::MAX - 1)) as u32;
        let mut code = 0;
        // SAFETY: the handle is open, and the call that takes the pointer writes one number.
        unsafe {
            match WaitForSingleObject(self.process.as_raw_handle(), limit) {
                0 => {}
                WAIT_TIMEOUT => return Ok(None),
                _ => return Err(io::Error::last_os_error()),
            }
            last_error_unless(GetExitCodeProcess(self.process.as_raw_handle(), &raw mut code))?;
        }
        // An exception, such as an access violation (0xC0000005) or a missing library.
        let code = code as i32;
        Ok(Some(if code < 0 { ExitReport::Missing } else { ExitReport::Code(code) }))
    }
}

/// Starts a program without a console window, in the system's directory, and with no handle of this process.
///
/// `Command` always lets a child inherit handles. A program that reads this process's output through a pipe would then
/// wait for the uploader. `DETACHED_PROCESS` would open a window for each process that an author's exporter starts.
pub(crate) fn spawn_detached(command: &DetachedCommand) -> io::Result<DetachedProcess> {
    let program = wide(&short_or_verbatim(&command.program));
    let mut line = command_line(&command.arguments);
    let mut environment = environment_block(&command.environment);
    let directory =
        windows_directory().filter(|_| !command.keeps_directory).map(|path| wide(path.as_os_str()));
    // With this flag, and null as each standard handle, the system does not look for handles to duplicate. Without it, Wine
    // gives the child this process's streams.
    let startup = STARTUPINFOW {
        cb: size_of::<STARTUPINFOW>() as u32,
        dwFlags: STARTF_USESTDHANDLES,
        ..STARTUPINFOW::default()
    };
    let mut started = PROCESS_INFORMATION::default();
    let flags = CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP | CREATE_UNICODE_ENVIRONMENT;
    let leave = if can_leave_job() { CREATE_BREAKAWAY_FROM_JOB } else { 0 };
    // SAFETY: all texts end with a null and outlive the call, as the structures do. The null pointers request defaults.
    last_error_unless(unsafe {
        CreateProcessW(
            program.as_ptr(),
            line.as_mut_ptr(),
            std::ptr::null(),
            std::ptr::null(),
            0,
            flags | leave,
            environment.as_mut_ptr().cast(),
            directory.as_ref().map_or(std::ptr::null(), |directory| directory.as_ptr()),
            &raw const startup,
            &raw mut started,
        )
    })?;
    // SAFETY: the call opened both handles for this process, and nothing else closes them.
    let (process, _thread) = unsafe {
        (OwnedHandle::from_raw_handle(started.hProcess), OwnedHandle::from_raw_handle(started.hThread))
    };
    Ok(DetachedProcess { id: started.dwProcessId, process })
}

/// The text with its terminating null.
fn wide(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}

/// The program's path. The system takes one of more than 260 characters only in its verbatim form (`\\?\`).
fn short_or_verbatim(program: &OsStr) -> OsString {
    const MAX_PATH: usize = 260;
    if program.encode_wide().count() < MAX_PATH {
        return program.to_owned();
    }
    std::fs::canonicalize(Path::new(program)).map_or_else(|_| program.to_owned(), Into::into)
}

/// The arguments in one line, as the C library's rules split it. The first one is in quotation marks, and cannot contain
/// any.
fn command_line(arguments: &[NativeText]) -> Vec<u16> {
    let quotation_mark = u16::from(b'"');
    let mut line = vec![quotation_mark];
    for (position, argument) in arguments.iter().enumerate() {
        if position > 0 {
            line.push(u16::from(b' '));
        }
        line.extend(argument.encode_wide().filter(|unit| *unit != quotation_mark));
        if position == 0 {
            line.push(quotation_mark);
        }
    }
    line.push(0);
    line
}

/// The environment in one text, sorted by name.
fn environment_block(variables: &[NativeText]) -> Vec<u16> {
    let mut sorted: Vec<&NativeText> = variables.iter().collect();
    sorted.sort_by_key(|variable| variable.to_ascii_uppercase());
    let mut block: Vec<u16> = sorted.into_iter().flat_map(|variable| wide(variable)).collect();
    block.push(0);
    block
}

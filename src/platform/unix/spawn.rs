//! Starting the detached uploader, waiting for it, and reaping it.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A text as the system takes it.
pub(crate) type NativeText = CString;

pub(crate) fn native_text(text: &OsStr) -> io::Result<NativeText> {
    Ok(CString::new(text.as_bytes())?)
}

/// A program to start detached, with its arguments and environment.
#[derive(Debug)]
pub(crate) struct DetachedCommand {
    pub(crate) program: CString,
    /// All arguments. The first one is the program's own name.
    pub(crate) arguments: Vec<CString>,
    /// The whole environment, as `NAME=value`.
    pub(crate) environment: Vec<CString>,
    /// Starts it in this process's directory instead of `/`.
    pub(crate) keeps_directory: bool,
    /// Gives it a pipe as descriptor 3, into which it reports its exit code. See [`DetachedProcess`].
    pub(crate) is_awaited: bool,
}

/// The descriptor into which an awaited process reports its exit code.
const REPORT: c_int = 3;

/// A process that was started detached.
///
/// It reports its end through a pipe. `waitpid` would report nothing if SIGCHLD is ignored or if another part of the
/// tool waits for every child.
#[derive(Debug)]
pub(crate) struct DetachedProcess {
    id: i32,
    report: Option<io::PipeReader>,
    code: Option<i32>,
}

/// What a process reported about its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitReport {
    /// It reported this exit code.
    Code(i32),
    /// It reported nothing, because it was killed or never reached our code.
    Missing,
}

impl DetachedProcess {
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Waits for the end. Returns `None` if the process still runs after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitReport>> {
        let Some(report) = &mut self.report else { return Err(io::ErrorKind::Unsupported.into()) };
        let started = Instant::now();
        loop {
            let left = limit.saturating_sub(started.elapsed());
            let left = left.as_millis().saturating_add(u128::from(!left.is_zero()));
            let mut polled = libc::pollfd { fd: report.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: the pointer leads to one structure, which outlives the call.
            match unsafe { libc::poll(&mut polled, 1, c_int::try_from(left).unwrap_or(c_int::MAX)) } {
                0 => return Ok(None),
                -1 => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => continue,
                    error => return Err(error),
                },
                _ => {}
            }
            let mut byte = [0];
            match report.read(&mut byte) {
                // The pipe ends with the process.
                Ok(0) => return Ok(Some(self.code.map_or(ExitReport::Missing, ExitReport::Code))),
                Ok(_) => self.code = Some(i32::from(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Reports the exit code of this process to the process that waits for it.
pub(crate) fn report_exit(code: i32) {
    let byte = [code as u8];
    // SAFETY: fstat fills the structure behind the pointer, and write reads one byte. If the descriptor is a pipe, it is
    // the one that the parent process passed.
    unsafe {
        let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
        if libc::fstat(REPORT, status.as_mut_ptr()) == 0
            && status.assume_init().st_mode & libc::S_IFMT == libc::S_IFIFO
        {
            libc::write(REPORT, byte.as_ptr().cast(), 1);
        }
    }
}

/// The processes that this process started and has not reaped, each with its start time unless it is awaited. A process
/// that runs several commands reaps them at the next command. Otherwise init does.
static STARTED: Mutex<Vec<(i32, Option<Instant>)>> = Mutex::new(Vec::new());

/// Reaps the processes that have ended. Returns whether one still runs that was started within this time.
pub(crate) fn reap_children(within: Duration) -> bool {
    // While the process exits, another thread may have been stopped with this lock held.
    let Ok(mut started) = STARTED.try_lock() else { return false };
    // SAFETY: the null pointer means that no status is requested, and WNOHANG returns at once. Each process leads its own
    // session. If one does not, the tool has reaped ours, and another process has its id.
    started.retain(|(process, _)| unsafe {
        libc::getsid(*process) == *process
            && libc::waitpid(*process, std::ptr::null_mut(), libc::WNOHANG) == 0
    });
    started.iter().any(|(_, since)| since.is_some_and(|since| since.elapsed() < within))
}

/// An awaited process has no start time, because it has ended when the next one is considered.
fn note_started(process: i32, is_awaited: bool) {
    if let Ok(mut started) = STARTED.try_lock() {
        started.push((process, (!is_awaited).then(Instant::now)));
    }
}

/// Starts a program in its own session, in `/`, with null stdio and no other descriptor.
///
/// This is one `posix_spawn`. `Command` with a hook for `setsid` would fork, which takes twice as long, grows with the
/// tool's memory, and leaves a moment in which Ctrl-C reaches the child.
pub(crate) fn spawn_detached(command: &DetachedCommand) -> io::Result<DetachedProcess> {
    let pointers = |texts: &[CString]| -> Vec<*mut c_char> {
        texts.iter().map(|text| text.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect()
    };
    let arguments = pointers(&command.arguments);
    let environment = pointers(&command.environment);
    let mut actions = FileActions::new()?;
    let pipe = if command.is_awaited { Some(io::pipe()?) } else { None };
    if let Some((_, writer)) = &pipe {
        // This comes first, because the next actions may use the writer's number.
        actions.copy(writer.as_raw_fd(), REPORT)?;
    }
    actions.open(0, libc::O_RDONLY)?;
    actions.open(1, libc::O_WRONLY)?;
    actions.open(2, libc::O_WRONLY)?;
    if !command.keeps_directory {
        actions.change_to_root()?;
    }
    actions.close_from(if pipe.is_some() { REPORT + 1 } else { REPORT })?;
    let attributes = Attributes::in_own_session()?;
    let mut child: libc::pid_t = 0;
    // SAFETY: all pointers lead to values that outlive the call, and both arrays end with null.
    let error = unsafe {
        libc::posix_spawn(
            &mut child,
            command.program.as_ptr(),
            &actions.0,
            &attributes.0,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    check(error)?;
    note_started(child, command.is_awaited);
    Ok(DetachedProcess { id: child, report: pipe.map(|(reader, _)| reader), code: None })
}

fn check(error: c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = std::mem::MaybeUninit::uninit();
        // SAFETY: init writes the whole value, which is read only after success.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: just initialised.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    fn open(&mut self, descriptor: c_int, flags: c_int) -> io::Result<()> {
        // SAFETY: the call copies the path, and the actions are initialised.
        check(unsafe {
            libc::posix_spawn_file_actions_addopen(&mut self.0, descriptor, c"/dev/null".as_ptr(), flags, 0)
        })
    }

    /// Gives the child a copy of a descriptor under this number.
    fn copy(&mut self, descriptor: c_int, number: c_int) -> io::Result<()> {
        // SAFETY: the actions are initialised, and the call takes numbers.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, descriptor, number) })
    }

    /// Starts the child in `/`, so that it keeps no directory busy. On a platform without this call the uploader changes
    /// its directory itself.
    fn change_to_root(&mut self) -> io::Result<()> {
        type AddAction = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, *const c_char) -> c_int;
        match look_up::<AddAction>(c"posix_spawn_file_actions_addchdir_np") {
            // SAFETY: the function has this type where it exists (glibc 2.29, musl 1.1.24, macOS 10.15).
            Some(add) => check(unsafe { add(&mut self.0, c"/".as_ptr()) }),
            None => Ok(()),
        }
    }

    /// Closes every descriptor from `first` on, so that another program that waits for the end of a pipe or for a lock
    /// does not wait for the uploader.
    fn close_from(&mut self, first: c_int) -> io::Result<()> {
        type AddAction = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, c_int) -> c_int;
        if let Some(add) = look_up::<AddAction>(c"posix_spawn_file_actions_addclosefrom_np") {
            // SAFETY: the function has this type where it exists (glibc 2.34).
            return check(unsafe { add(&mut self.0, first) });
        }
        let directory = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
        for entry in std::fs::read_dir(directory)?.flatten() {
            if let Some(descriptor) = entry.file_name().to_str().and_then(|name| name.parse().ok())
                && descriptor >= first
            {
                // SAFETY: the actions are initialised; closing a number that is not open is no error here.
                check(unsafe { libc::posix_spawn_file_actions_addclose(&mut self.0, descriptor) })?;
            }
        }
        Ok(())
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: it is initialised in `new`, and not used afterwards.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

/// Finds a function that not every version of the C library has.
fn look_up<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the name ends with null, and RTLD_DEFAULT only searches loaded libraries.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: the caller names the function's type, and a function pointer is as large as an address.
    (!address.is_null()).then(|| unsafe { std::mem::transmute_copy(&address) })
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// Its own session, default signals, and only a terminal's signals blocked. For some microseconds the child is still
    /// in the tool's process group, and a Ctrl-C stays pending until [`ignore_terminal_signals`] drops it.
    fn in_own_session() -> io::Result<Self> {
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: init writes the whole value, which is read only after success.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: just initialised.
        let mut attributes = Self(unsafe { attributes.assume_init() });
        let flags = POSIX_SPAWN_SETSID | libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK;
        let blocked = terminal_signals();
        // SAFETY: sigfillset initialises the set before it is read, and the attributes are initialised.
        unsafe {
            let mut all = std::mem::zeroed();
            libc::sigfillset(&mut all);
            check(libc::posix_spawnattr_setsigdefault(&mut attributes.0, &all))?;
            check(libc::posix_spawnattr_setsigmask(&mut attributes.0, &blocked))?;
            check(libc::posix_spawnattr_setflags(&mut attributes.0, flags as libc::c_short))?;
        }
        Ok(attributes)
    }
}

/// The signals that a terminal sends when it is closed, and for Ctrl-C, Ctrl-\, and Ctrl-Z.
const TERMINAL_SIGNALS: [c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP];

fn terminal_signals() -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set, which sigaddset then changes.
    unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&mut signals);
        for signal in TERMINAL_SIGNALS {
            libc::sigaddset(&mut signals, signal);
        }
        signals
    }
}

/// Makes this detached process ignore a terminal's signals, including those that are pending.
pub(crate) fn ignore_terminal_signals() {
    let blocked = terminal_signals();
    // SAFETY: SIG_IGN runs no code of ours, the set is initialised, and the null pointer requests no old mask.
    unsafe {
        for signal in TERMINAL_SIGNALS {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &blocked, std::ptr::null_mut());
    }
}

#[cfg(target_os = "linux")]
const POSIX_SPAWN_SETSID: c_int = libc::POSIX_SPAWN_SETSID as c_int;
/// From `spawn.h` of macOS. The `libc` crate does not have it.
#[cfg(not(target_os = "linux"))]
const POSIX_SPAWN_SETSID: c_int = 0x0400;

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: it is initialised in `in_own_session`, and not used afterwards.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::directory_of;
use crate::env::{self, Environment};

/// Whether a program learns its exit code while it exits.
pub(crate) const HAS_EXIT_HOOK: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

/// The folder in which tools keep state.
pub(crate) fn state_home(environment: Environment<'_>) -> Option<PathBuf> {
    environment.absolute_path(env::XDG_STATE_HOME).or_else(|| {
        let home = environment.absolute_path(env::HOME)?;
        Some(home.join(if cfg!(target_os = "macos") {
            "Library/Application Support"
        } else {
            ".local/state"
        }))
    })
}

/// The folder in which tools keep what the person chose.
pub(crate) fn config_home(environment: Environment<'_>) -> Option<PathBuf> {
    environment.absolute_path(env::XDG_CONFIG_HOME).or_else(|| {
        let home = environment.absolute_path(env::HOME)?;
        Some(home.join(if cfg!(target_os = "macos") { "Library/Preferences" } else { ".config" }))
    })
}

/// The machine administrator's policy for all tools.
pub(crate) fn policy_file() -> PathBuf {
    PathBuf::from("/etc/tool-telemetry/policy.toml")
}

/// The columns of the terminal that stderr is, if it is one and says so.
pub(crate) fn terminal_columns() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ fills the structure that the pointer leads to, which outlives the call.
    let told = unsafe { libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (told == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether the process has rights that its starter has not (set-user-id and the like): `AT_SECURE`.
pub(crate) fn has_elevated_rights() -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: getauxval reads a value that the kernel gave at the start of the process; no pointers.
        unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
    }
    #[cfg(not(target_os = "linux"))]
    {
        // SAFETY: these four calls only read this process's ids.
        unsafe { libc::geteuid() != libc::getuid() || libc::getegid() != libc::getgid() }
    }
}

/// Whether the effective user owns the file that `metadata` tells of.
pub(crate) fn is_own(metadata: &Metadata) -> bool {
    // SAFETY: geteuid only reads this process's id.
    metadata.uid() == unsafe { libc::geteuid() }
}

/// Whether nobody but the owner can reach what the file or folder holds.
pub(crate) fn is_private(metadata: &Metadata) -> bool {
    metadata.mode() & 0o077 == 0
}

/// Tries for an OFD lock, which ends with the last descriptor of an opened file as `flock`'s does, and which some file
/// systems have that have no `flock`. Says whether it was had.
///
/// # Errors
///
/// The system or the file system has none.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn try_ofd_lock(file: &File, is_shared: bool) -> io::Result<bool> {
    use std::os::fd::AsRawFd as _;

    let kind = if is_shared { libc::F_RDLCK } else { libc::F_WRLCK };
    // SAFETY: zero is a value of every field: from the start of the file to its end, and no process.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the descriptor is open, and the pointer is to a live value, which the call only reads.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn try_ofd_lock(_file: &File, _is_shared: bool) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the file has a second name somewhere.
pub(crate) fn has_other_names(metadata: &Metadata) -> bool {
    metadata.nlink() > 1
}

/// What tells one file from every other: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity(u64, u64);

pub(crate) fn file_identity(metadata: &Metadata) -> FileIdentity {
    FileIdentity(metadata.dev(), metadata.ino())
}

/// The same of an open file. `fstat`, which knows less than the `statx` behind `File::metadata` and takes 0.15 µs less:
/// it is asked before each write.
pub(crate) fn identity_of_open(file: &File) -> io::Result<FileIdentity> {
    // On Linux the one whose inodes have 64 bits everywhere.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    use libc::{fstat, stat};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    use libc::{fstat64 as fstat, stat64 as stat};

    let mut told = std::mem::MaybeUninit::<stat>::uninit();
    // SAFETY: the pointer is to room for the structure, which the call fills when it returns 0.
    let told = unsafe {
        if fstat(file.as_raw_fd(), told.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        told.assume_init()
    };
    // The types differ between systems.
    Ok(FileIdentity(told.st_dev as u64, told.st_ino as u64))
}

/// Creates a file that did not exist, for appending, for its owner alone.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY)
        .open(path)
}

/// The largest file that this process may write without being ended for it (`RLIMIT_FSIZE`, `ulimit -f`).
pub(crate) fn largest_file() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live value, which the call writes.
    let is_known = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } == 0;
    if is_known { limit.rlim_cur as _ } else { u64::MAX }
}

/// Descriptors that a run leaves to the tool: where fewer are free there is no run.
const LEFT_TO_THE_TOOL: u64 = 8;

/// Whether the tool has descriptors left beside this file's, by the file's own number, which was the lowest that was
/// free: under `ulimit -n 4` it is the last one.
pub(crate) fn leaves_room(file: &File) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live value, which the call writes.
    let is_known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0;
    let most: u64 = limit.rlim_cur as _;
    !is_known || (file.as_raw_fd() as u64).saturating_add(LEFT_TO_THE_TOOL) < most
}

/// Opens a regular file of ours for reading and, if asked, writing; creates it if asked. Follows no link and
/// waits for no FIFO.
pub(crate) fn open_own(path: &Path, write: bool, create: bool) -> io::Result<(File, Metadata)> {
    open_own_with(OpenOptions::new().read(true).write(write).create(create), path)
}

/// The same for reading and appending; creates it.
pub(crate) fn open_own_to_append(path: &Path) -> io::Result<(File, Metadata)> {
    open_own_with(OpenOptions::new().read(true).append(true).create(true), path)
}

fn open_own_with(options: &mut OpenOptions, path: &Path) -> io::Result<(File, Metadata)> {
    let file =
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && is_own(&metadata) {
        Ok((file, metadata))
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a regular file of this user"))
    }
}

/// Opens a regular file that somebody named, whoever wrote it. Waits for no FIFO; anything else but a file is
/// [`io::ErrorKind::InvalidInput`].
#[cfg_attr(not(any(feature = "http", feature = "grpc")), allow(dead_code))]
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Opens a regular file that the administrator wrote. What another user could have written is refused: it says where
/// this person's data go. A group may write, since root makes the groups.
pub(crate) fn open_settings(path: &Path) -> io::Result<File> {
    let refuse = |what| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    let is_trusted = |metadata: &Metadata| metadata.uid() == 0 || is_own(metadata);
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return refuse("it is no regular file");
    }
    if !is_trusted(&metadata) {
        return refuse("it belongs to neither root nor this user; give it to root");
    }
    if metadata.mode() & 0o002 != 0 {
        return refuse("anybody may write it; take that away with `chmod o-w`");
    }
    let folder = std::fs::metadata(directory_of(path))?;
    let is_sticky = folder.mode() & 0o1000 != 0;
    if !is_trusted(&folder) || (folder.mode() & 0o002 != 0 && !is_sticky) {
        return refuse("its directory is not root's alone; anybody could replace the file");
    }
    Ok(file)
}

/// Creates a directory, and the missing ones above it, with mode 0700.
pub(super) fn make_private_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The process that started this one, unless that one has ended.
pub(crate) fn parent_process() -> Option<u32> {
    Some(std::os::unix::process::parent_id())
}

/// Calls `hook` with the exit code while the process exits, wherever `exit` is called from.
pub(crate) fn at_exit(hook: extern "C" fn(c_int, *mut c_void)) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn on_exit(hook: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
        }
        // SAFETY: glibc keeps the function, which lives as long as the program, and passes on the null pointer,
        // which the hook never reads.
        unsafe { on_exit(hook, std::ptr::null_mut()) };
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = hook;
}

/// Ends the process at once, without asking anybody: what a program has registered for its exit may wait for ever.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Calls `hook` in every child that is forked without exec.
pub(crate) fn at_fork_in_child(hook: unsafe extern "C" fn()) {
    // SAFETY: the function lives as long as the program, and does only what is allowed after a fork: it stores
    // an atomic and closes a descriptor.
    unsafe { libc::pthread_atfork(None, None, Some(hook)) };
}

/// Closes a descriptor by its number, in a child after a fork. The number may have been closed before.
pub(crate) fn close_descriptor(descriptor: i32) {
    // SAFETY: the caller owns the number in this process: it is a copy, made by the fork, of our own file's.
    unsafe { libc::close(descriptor) };
}

/// What a program is started with.
#[derive(Debug)]
pub(crate) struct Start {
    /// The executable's path.
    pub(crate) program: CString,
    /// All arguments, the program's own name first.
    pub(crate) arguments: Vec<CString>,
    /// The whole environment, `NAME=value`.
    pub(crate) environment: Vec<CString>,
    /// Starts it in this process's folder instead of `/`.
    pub(crate) keeps_folder: bool,
    /// Gives it a pipe as descriptor 3, in which it tells its end: see [`Child`].
    pub(crate) is_awaited: bool,
}

/// The descriptor in which a process that somebody waits for tells its exit code.
const TELLS: c_int = 3;

/// A program that was started.
///
/// Its end is told by a pipe and not by `waitpid`: where SIGCHLD is ignored, or a part of the tool waits for every
/// child, nobody else learns how it ended.
#[derive(Debug)]
pub(crate) struct Child {
    process: i32,
    told: Option<io::PipeReader>,
    code: Option<i32>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    /// With the exit code that it told.
    Code(i32),
    /// Without a word: it was killed, or never came to our code.
    Untold,
}

impl Child {
    pub(crate) fn process(&self) -> i32 {
        self.process
    }

    /// Waits at most so long for the end; nothing if it runs still.
    pub(crate) fn wait(&mut self, most: Duration) -> io::Result<Option<ChildEnd>> {
        let Some(told) = &mut self.told else { return Err(io::ErrorKind::Unsupported.into()) };
        let asked = Instant::now();
        loop {
            let left = most.saturating_sub(asked.elapsed());
            let left = left.as_millis().saturating_add(u128::from(!left.is_zero()));
            let mut polled = libc::pollfd { fd: told.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: the pointer is to one structure, which outlives the call.
            match unsafe { libc::poll(&mut polled, 1, c_int::try_from(left).unwrap_or(c_int::MAX)) } {
                0 => return Ok(None),
                -1 => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => continue,
                    error => return Err(error),
                },
                _ => {}
            }
            let mut byte = [0];
            match told.read(&mut byte) {
                // The pipe ends with the process.
                Ok(0) => return Ok(Some(self.code.map_or(ChildEnd::Untold, ChildEnd::Code))),
                Ok(_) => self.code = Some(i32::from(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// For a process that [`start_detached`] started and somebody waits for: tells the end that is about to come.
pub(crate) fn tell_end(code: i32) {
    let byte = [code as u8];
    // SAFETY: fstat fills the structure that the pointer leads to; write reads one byte. The descriptor is the pipe that
    // the starter says it gave, if it is one at all.
    unsafe {
        let mut told = std::mem::MaybeUninit::<libc::stat>::uninit();
        if libc::fstat(TELLS, told.as_mut_ptr()) == 0
            && told.assume_init().st_mode & libc::S_IFMT == libc::S_IFIFO
        {
            libc::write(TELLS, byte.as_ptr().cast(), 1);
        }
    }
}

/// Whether a process of this id is there that was started with this argument. The number alone may be another's by now,
/// or that of a process in somebody's container.
pub(crate) fn runs_with(process: i32, argument: &str) -> bool {
    if cfg!(target_os = "linux") {
        return std::fs::read(format!("/proc/{process}/cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()));
    }
    // SAFETY: the signal 0 is none, and the call takes numbers.
    process > 1 && unsafe { libc::kill(process, 0) } == 0
}

/// The programs that this process started and has not reaped yet, each with its start time if nobody waits for it. A
/// process that runs many commands reaps at the next one; with a process of one command they end up with init.
static STARTED: Mutex<Vec<(i32, Option<Instant>)>> = Mutex::new(Vec::new());

/// Asks after those that have ended. Says whether one runs that was started within this time.
pub(crate) fn reap(within: Duration) -> bool {
    // A process that exits may have been in here with another thread.
    let Ok(mut started) = STARTED.try_lock() else { return false };
    // SAFETY: the status is not asked for; WNOHANG returns at once. Each leads a session of its own; one of that number
    // that does not is another process: the tool took the end of ours, and the number was given away again.
    started.retain(|(process, _)| unsafe {
        libc::getsid(*process) == *process
            && libc::waitpid(*process, std::ptr::null_mut(), libc::WNOHANG) == 0
    });
    started.iter().any(|(_, since)| since.is_some_and(|since| since.elapsed() < within))
}

/// One that is waited for has ended, or is about to, when the next is thought of.
fn note_started(process: i32, is_awaited: bool) {
    if let Ok(mut started) = STARTED.try_lock() {
        started.push((process, (!is_awaited).then(Instant::now)));
    }
}

/// Starts a program in a session of its own, in `/`, with null stdio and no other descriptor.
///
/// One raw `posix_spawn`: `Command` with a hook for `setsid` forks, which takes twice as long and grows with
/// the tool's memory, and leaves a moment in which Ctrl-C reaches the child.
pub(crate) fn start_detached(start: &Start) -> io::Result<Child> {
    let pointers = |texts: &[CString]| -> Vec<*mut c_char> {
        texts.iter().map(|text| text.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect()
    };
    let arguments = pointers(&start.arguments);
    let environment = pointers(&start.environment);
    let mut actions = FileActions::new()?;
    let pipe = if start.is_awaited { Some(io::pipe()?) } else { None };
    if let Some((_, writer)) = &pipe {
        // First: the next ones may take its number.
        actions.copy(writer.as_raw_fd(), TELLS)?;
    }
    actions.open(0, libc::O_RDONLY)?;
    actions.open(1, libc::O_WRONLY)?;
    actions.open(2, libc::O_WRONLY)?;
    if !start.keeps_folder {
        actions.change_to_root()?;
    }
    actions.close_from(if pipe.is_some() { TELLS + 1 } else { TELLS })?;
    let attributes = Attributes::in_own_session()?;
    let mut child: libc::pid_t = 0;
    // SAFETY: all pointers are to values that live until the call returns; both arrays end with null.
    let error = unsafe {
        libc::posix_spawn(
            &mut child,
            start.program.as_ptr(),
            &actions.0,
            &attributes.0,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    check(error)?;
    note_started(child, start.is_awaited);
    Ok(Child { process: child, told: pipe.map(|(reader, _)| reader), code: None })
}

fn check(error: c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = std::mem::MaybeUninit::uninit();
        // SAFETY: init writes the whole value, which is read only if it says so.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: just initialised.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    fn open(&mut self, descriptor: c_int, flags: c_int) -> io::Result<()> {
        // SAFETY: the path is a static string, copied by the call; the actions are initialised.
        check(unsafe {
            libc::posix_spawn_file_actions_addopen(&mut self.0, descriptor, c"/dev/null".as_ptr(), flags, 0)
        })
    }

    /// A descriptor that the child has under this number, and keeps.
    fn copy(&mut self, descriptor: c_int, number: c_int) -> io::Result<()> {
        // SAFETY: the actions are initialised, and take numbers.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, descriptor, number) })
    }

    /// So that the child keeps no folder busy. Where the platform lacks the call, the uploader does it itself.
    fn change_to_root(&mut self) -> io::Result<()> {
        type Add = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, *const c_char) -> c_int;
        match look_up::<Add>(c"posix_spawn_file_actions_addchdir_np") {
            // SAFETY: the function has this type where it exists (glibc 2.29, musl 1.1.24, macOS 10.15).
            Some(add) => check(unsafe { add(&mut self.0, c"/".as_ptr()) }),
            None => Ok(()),
        }
    }

    /// Closes every descriptor from `first` on, so that nobody who waits for the end of a pipe or for a lock
    /// waits for the uploader.
    fn close_from(&mut self, first: c_int) -> io::Result<()> {
        type Add = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, c_int) -> c_int;
        if let Some(add) = look_up::<Add>(c"posix_spawn_file_actions_addclosefrom_np") {
            // SAFETY: the function has this type where it exists (glibc 2.34).
            return check(unsafe { add(&mut self.0, first) });
        }
        let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
        for entry in std::fs::read_dir(folder)?.flatten() {
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
        // SAFETY: initialised in `new`, and not used afterwards.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

/// A function that not every version of the C library has.
fn look_up<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the name ends with null; RTLD_DEFAULT searches what is loaded already.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: the caller names the function's own type, and a function pointer is as large as an address.
    (!address.is_null()).then(|| unsafe { std::mem::transmute_copy(&address) })
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// A session of its own, default signals, and none blocked but those of a terminal: between its making and its
    /// own session the child is in the tool's process group for some microseconds, in which Ctrl-C waits for it. See
    /// [`ignore_terminal`].
    fn in_own_session() -> io::Result<Self> {
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: init writes the whole value, which is read only if it says so.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: just initialised.
        let mut attributes = Self(unsafe { attributes.assume_init() });
        let flags = POSIX_SPAWN_SETSID | libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK;
        let blocked = signals_of_a_terminal();
        // SAFETY: the set is initialised by sigfillset before it is read; the attributes are initialised.
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

/// Names the process for those who look at it with `ps`: a program that was started by `/proc/self/exe` is called `exe`.
pub(crate) fn name_process(name: &str) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Ok(name) = CString::new(name) {
        // SAFETY: the kernel reads the text, which ends with null, and keeps 15 bytes of it.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = name;
}

/// What a terminal sends: a closed one, Ctrl-C, Ctrl-\ and Ctrl-Z.
const OF_A_TERMINAL: [c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP];

fn signals_of_a_terminal() -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set, which the other calls only change.
    unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&mut signals);
        for signal in OF_A_TERMINAL {
            libc::sigaddset(&mut signals, signal);
        }
        signals
    }
}

/// For a process that [`start_detached`] started: no terminal's signal ends it, neither one that came already, which is
/// dropped by this, nor a later one.
pub(crate) fn ignore_terminal() {
    let blocked = signals_of_a_terminal();
    // SAFETY: no code of ours runs in a signal handler; the set is initialised and the old mask is not asked for.
    unsafe {
        for signal in OF_A_TERMINAL {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &blocked, std::ptr::null_mut());
    }
}

#[cfg(target_os = "linux")]
const POSIX_SPAWN_SETSID: c_int = libc::POSIX_SPAWN_SETSID as c_int;
/// `spawn.h` of macOS; the libc crate has no name for it.
#[cfg(not(target_os = "linux"))]
const POSIX_SPAWN_SETSID: c_int = 0x0400;

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `in_own_session`, and not used afterwards.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

//! Windows, and every other system that is not Unix.
//!
//! State is under `%LOCALAPPDATA%`, and there is no exit hook. A detached process gets no console window by
//! CREATE_NO_WINDOW. With DETACHED_PROCESS its own children would open one. Directories in the user's profile are private
//! by their inherited access lists.

use std::ffi::{CString, c_int, c_void};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::env::{self, Environment};

pub(crate) const HAS_EXIT_HOOK: bool = false;

pub(crate) fn state_home(environment: Environment<'_>) -> Option<PathBuf> {
    environment.absolute_path(env::XDG_STATE_HOME).or_else(|| environment.absolute_path(env::LOCALAPPDATA))
}

pub(crate) fn config_home(environment: Environment<'_>) -> Option<PathBuf> {
    environment.absolute_path(env::XDG_CONFIG_HOME).or_else(|| environment.absolute_path(env::LOCALAPPDATA))
}

pub(crate) fn policy_file() -> PathBuf {
    PathBuf::from(r"C:\ProgramData\tool-telemetry\policy.toml")
}

pub(crate) fn terminal_columns() -> Option<usize> {
    None
}

pub(crate) fn has_elevated_rights() -> bool {
    false
}

pub(crate) fn is_own(_metadata: &Metadata) -> bool {
    true
}

pub(crate) fn try_ofd_lock(_file: &File, _is_shared: bool) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn has_other_names(_metadata: &Metadata) -> bool {
    false
}

pub(crate) fn is_private(_metadata: &Metadata) -> bool {
    true
}

/// The creation time, because stable Rust has no file index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity(Option<std::time::SystemTime>);

pub(crate) fn file_identity(metadata: &Metadata) -> FileIdentity {
    FileIdentity(metadata.created().ok())
}

pub(crate) fn identity_of_open(file: &File) -> io::Result<FileIdentity> {
    file.metadata().map(|metadata| file_identity(&metadata))
}

pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).open(path)
}

pub(crate) fn file_size_limit() -> u64 {
    u64::MAX
}

pub(crate) fn has_spare_descriptors(_file: &File) -> bool {
    true
}

pub(crate) fn open_own(path: &Path, write: bool, create: bool) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).write(write).create(create).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a regular file"))
    }
}

pub(crate) fn open_own_to_append(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Unknown, so a process that has ended counts as alive for a minute.
pub(crate) fn is_running_with(_process: i32, _argument: &str) -> bool {
    true
}

#[cfg_attr(not(any(feature = "http", feature = "grpc")), allow(dead_code))]
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The owner is not checked, because stable Rust does not read access lists.
pub(crate) fn open_settings(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is no regular file"))
    }
}

pub(super) fn make_private_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// Unknown, so no run of this tool becomes a child of another.
pub(crate) fn parent_process() -> Option<u32> {
    None
}

pub(crate) fn at_exit(_hook: extern "C" fn(c_int, *mut c_void)) {}

pub(crate) fn exit_immediately(code: i32) -> ! {
    std::process::exit(code)
}

pub(crate) fn ignore_terminal_signals() {}

pub(crate) fn name_process(_name: &str) {}

pub(crate) fn at_fork_in_child(_hook: unsafe extern "C" fn()) {}

pub(crate) fn close_descriptor(_descriptor: i32) {}

#[derive(Debug)]
pub(crate) struct DetachedCommand {
    pub(crate) program: CString,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    #[allow(dead_code, reason = "on this platform the uploader changes its directory itself")]
    pub(crate) keeps_directory: bool,
    #[allow(dead_code, reason = "on this platform the system reports the uploader's end")]
    pub(crate) is_awaited: bool,
}

pub(crate) fn spawn_detached(command: &DetachedCommand) -> io::Result<DetachedProcess> {
    use std::process::{Command, Stdio};

    let DetachedCommand { program, arguments, environment, .. } = command;
    let text = |text: &CString| text.to_string_lossy().into_owned();
    let mut command = Command::new(text(program));
    command
        .args(arguments.iter().skip(1).map(text))
        .env_clear()
        .envs(environment.iter().filter_map(|variable| {
            text(variable).split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
        }))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    #[cfg(windows)]
    {
        use std::os::windows::process::CommandExt;
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
        command.creation_flags(CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP);
    }
    Ok(DetachedProcess(command.spawn()?))
}

/// A process that was started detached.
#[derive(Debug)]
pub(crate) struct DetachedProcess(std::process::Child);

/// What is known about the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitReport {
    /// It ended with this exit code.
    Code(i32),
    /// It has no exit code.
    Missing,
}

impl DetachedProcess {
    pub(crate) fn id(&self) -> i32 {
        self.0.id() as i32
    }

    /// Waits for the end. Returns `None` if the process still runs after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitReport>> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status.code().map_or(ExitReport::Missing, ExitReport::Code)));
            }
            if started.elapsed() >= limit {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

pub(crate) fn re_exec_from_memory(_marker: &str) {}

pub(crate) fn has_waiting_parent(_parent: Option<u32>) -> bool {
    false
}

pub(crate) fn may_be_killed_with_command() -> bool {
    false
}

pub(crate) fn current_program(_is_loaded_with: bool) -> io::Result<Program> {
    let path = std::env::current_exe()?;
    let path = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(Program { path: CString::new(path)?, loader_arguments: None })
}

/// How to start this program again.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: CString,
    pub(crate) loader_arguments: Option<Vec<CString>>,
}

pub(crate) fn current_program_without_proc() -> io::Result<Program> {
    Err(io::ErrorKind::NotFound.into())
}

pub(crate) fn report_exit(_code: i32) {}

pub(crate) fn reap_children(_within: Duration) -> bool {
    false
}

//! Windows and the rest, written from their documentation: state under `%LOCALAPPDATA%`, no exit hook, and a
//! detached process without a console window (CREATE_NO_WINDOW; with DETACHED_PROCESS its own children would
//! open one). Folders below the person's profile are private by their inherited access lists.

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

/// Not known here.
pub(crate) fn has_other_names(_metadata: &Metadata) -> bool {
    false
}

pub(crate) fn is_private(_metadata: &Metadata) -> bool {
    true
}

/// The time of creation: stable Rust tells no file index.
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

pub(crate) fn largest_file() -> u64 {
    u64::MAX
}

pub(crate) fn leaves_room(_file: &File) -> bool {
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

/// Not known: one that is gone looks alive for a minute.
pub(crate) fn runs_with(_process: i32, _argument: &str) -> bool {
    true
}

#[cfg_attr(not(any(feature = "http", feature = "grpc")), allow(dead_code))]
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Who may have written the file is not looked at here: stable Rust tells nothing of access lists.
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

/// Not known here: no run is followed to its maker.
pub(crate) fn parent_process() -> Option<u32> {
    None
}

pub(crate) fn at_exit(_hook: extern "C" fn(c_int, *mut c_void)) {}

pub(crate) fn exit_now(code: i32) -> ! {
    std::process::exit(code)
}

pub(crate) fn ignore_terminal() {}

pub(crate) fn name_process(_name: &str) {}

pub(crate) fn at_fork_in_child(_hook: unsafe extern "C" fn()) {}

pub(crate) fn close_descriptor(_descriptor: i32) {}

#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) program: CString,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    #[allow(dead_code, reason = "here the uploader leaves the directory itself")]
    pub(crate) keeps_folder: bool,
    #[allow(dead_code, reason = "here the system reports the uploader's end")]
    pub(crate) is_awaited: bool,
}

pub(crate) fn start_detached(start: &Start) -> io::Result<Child> {
    use std::process::{Command, Stdio};

    let text = |text: &CString| text.to_string_lossy().into_owned();
    let mut command = Command::new(text(&start.program));
    command
        .args(start.arguments.iter().skip(1).map(text))
        .env_clear()
        .envs(start.environment.iter().filter_map(|variable| {
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
    Ok(Child(command.spawn()?))
}

/// A program that was started.
#[derive(Debug)]
pub(crate) struct Child(std::process::Child);

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    /// With this exit code.
    Code(i32),
    /// Without one.
    Untold,
}

impl Child {
    pub(crate) fn process(&self) -> i32 {
        self.0.id() as i32
    }

    /// Waits at most so long for the end; nothing if it runs still.
    pub(crate) fn wait(&mut self, most: Duration) -> io::Result<Option<ChildEnd>> {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status.code().map_or(ChildEnd::Untold, ChildEnd::Code)));
            }
            if asked.elapsed() >= most {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

pub(crate) fn go_on_from_memory(_marker: &str) {}

pub(crate) fn is_waited_for(_starter: Option<u32>) -> bool {
    false
}

/// Nothing like it here.
pub(crate) fn may_end_with_others() -> bool {
    false
}

pub(crate) fn own_program(_is_loaded_with: bool) -> io::Result<Program> {
    let path = std::env::current_exe()?;
    let path = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(Program { path: CString::new(path)?, loaded: None })
}

/// How this program is started once more.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: CString,
    pub(crate) loaded: Option<Vec<CString>>,
}

pub(crate) fn own_program_without_proc() -> io::Result<Program> {
    Err(io::ErrorKind::NotFound.into())
}

pub(crate) fn tell_end(_code: i32) {}

pub(crate) fn reap(_within: Duration) -> bool {
    false
}

//! Runs a program and measures what it and its orphans cost.
#![allow(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the launcher prints its result")]

use std::ffi::{CString, OsString};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The hidden option that turns this program into a launcher.
pub const LAUNCH: &str = "--launch";
/// A program that takes longer is killed.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A program and its whole environment.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// All of its environment variables.
    pub environment: Vec<(String, OsString)>,
}

/// The cost of one process.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From the start until the process is reaped.
    pub wall: Duration,
    /// User and system time.
    pub cpu: Duration,
    /// Peak memory in KiB.
    pub peak: u64,
    /// The exit code; nothing if the process was killed.
    pub code: Option<i32>,
}

/// Makes orphaned descendants children of this process, so that it can wait for uploaders.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: sets a flag of this process and takes no pointers.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Program {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.environment.iter().cloned()).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs the program once.
    pub fn run(&self) -> io::Result<Cost> {
        let mut command = self.command(&self.path);
        let started = Instant::now();
        let child = command.spawn()?.id();
        let watchdog = Watchdog::start(child);
        let cost = wait(child as libc::pid_t, started)?.ok_or(io::ErrorKind::NotFound)?;
        drop(watchdog);
        Ok(cost)
    }

    /// The peak memory in KiB. A small launcher starts the program, because the kernel counts the parent's resident
    /// memory at the time of the fork, and this process is larger than the tools.
    pub fn peak(&self) -> io::Result<u64> {
        let mut command = self.command(&std::env::current_exe()?);
        command.arg(LAUNCH).arg(&self.path).stdout(Stdio::piped());
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse().map_err(|_| io::Error::other(format!("not a number: {text:?}")))
    }

    /// Runs the program with this variable set, and returns its standard output.
    pub fn output_with(&self, variable: &str) -> io::Result<String> {
        let mut command = self.command(&self.path);
        let mut child = command.env(variable, "1").stdout(Stdio::piped()).spawn()?;
        let watchdog = Watchdog::start(child.id());
        let mut text = String::new();
        if let Some(stdout) = &mut child.stdout {
            stdout.read_to_string(&mut text)?;
        }
        child.wait()?;
        drop(watchdog);
        Ok(text.trim().to_owned())
    }
}

/// Kills a program that takes longer than [`TIME_LIMIT`].
struct Watchdog(std::sync::mpsc::Sender<()>);

impl Watchdog {
    fn start(child: u32) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            if receiver.recv_timeout(TIME_LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                kill(child as libc::pid_t);
            }
        });
        Self(sender)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn kill(process: libc::pid_t) {
    // SAFETY: takes no pointers. The process is a child that has not been reaped, so its id is not reused.
    unsafe { libc::kill(process, libc::SIGKILL) };
}

/// Waits for this child, or for any child if it is -1. Returns nothing if there is no child.
fn wait(child: libc::pid_t, started: Instant) -> io::Result<Option<Cost>> {
    let mut status = 0;
    // SAFETY: all zeros are a valid value of this plain structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers point to live values.
    let waited = unsafe { libc::wait4(child, &mut status, 0, &mut usage) };
    let wall = started.elapsed();
    if waited < 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ECHILD) { Ok(None) } else { Err(error) };
    }
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    Ok(Some(Cost { wall, cpu, peak: usage.ru_maxrss as u64, code }))
}

/// Waits for all orphans and returns their costs; kills them first if requested.
pub fn orphans(kill_first: bool) -> io::Result<Vec<Cost>> {
    let started = Instant::now();
    let mut costs = Vec::new();
    if kill_first {
        for child in children()? {
            kill(child);
        }
    }
    let watchdogs: Vec<_> = children()?.into_iter().map(|child| Watchdog::start(child as u32)).collect();
    while let Some(cost) = wait(-1, started)? {
        costs.push(cost);
    }
    drop(watchdogs);
    Ok(costs)
}

/// The ids of all children of this process.
fn children() -> io::Result<Vec<libc::pid_t>> {
    let mut children = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task")? {
        let list = std::fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        children.extend(list.split_ascii_whitespace().filter_map(|id| id.parse::<libc::pid_t>().ok()));
    }
    Ok(children)
}

/// Forks a program, prints its peak memory in KiB, and exits.
pub fn launch(program: &str) -> ! {
    let Ok(path) = CString::new(program) else { std::process::exit(2) };
    let arguments = [path.as_ptr(), std::ptr::null()];
    // SAFETY: this process has one thread, so the child may call any function.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the array ends with null, its strings are alive, and descriptor 1 is open.
        unsafe {
            libc::close(1);
            libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY);
            libc::execv(path.as_ptr(), arguments.as_ptr());
            libc::_exit(127);
        }
    }
    match wait(child, Instant::now()) {
        Ok(Some(cost)) => println!("{}", cost.peak),
        _ => std::process::exit(2),
    }
    std::process::exit(0)
}

//! Fixture: traces the system calls of a program (`ptrace`). A test sees each call before it is made, and may
//! delay it, let it fail, or kill the process.
#![allow(unsafe_code, reason = "between `fork` and `exec` only `traceme` is called")]

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Output, Stdio};

pub(crate) use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use syscalls::Sysno;

/// One system call, before it is made or after.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// The index of its thread among all traced threads, from 0.
    pub(crate) thread: usize,
    /// The number of calls with this name in its thread so far, from 1.
    pub(crate) number: usize,
    /// The paths of its arguments: texts and descriptors, in their order.
    pub(crate) paths: Vec<String>,
    /// The kernel's result; an error is negative. `None` if the process ended first.
    pub(crate) result: Option<i64>,
    /// The number of entries that `getdents64` returned.
    pub(crate) entries: usize,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.paths.join(", "))?;
        match self.result {
            Some(error) if error < 0 => write!(f, " = {:?}", Errno::from_raw(-error as i32)),
            Some(_) => Ok(()),
            None => f.write_str(" = ?"),
        }
    }
}

/// What to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Continue,
    /// Kill the process before the call (SIGKILL).
    Kill,
    /// Do not make the call, and return this error.
    Fail(Errno),
}

/// A program that ran to its end.
#[derive(Debug)]
pub(crate) struct TracedProgram {
    /// From the first call after `execve`, in the order in which they began.
    pub(crate) calls: Vec<Call>,
    pub(crate) output: Output,
}

type Handler<'a> = dyn FnMut(&Call) -> Action + Send + 'a;

/// A program that is about to be run.
pub(crate) struct Tracer<'a> {
    command: Command,
    options: Options,
    handler: Box<Handler<'a>>,
}

impl<'a> Tracer<'a> {
    /// Traces all threads of the program, and no process that it starts.
    pub(crate) fn of(command: Command) -> Self {
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL
            // Processes are cloned with SIGCHLD, and are not traced.
            | Options::PTRACE_O_TRACECLONE;
        Self { command, options, handler: Box::new(|_| Action::Continue) }
    }

    /// Traces also the processes that it starts, even those that outlive it.
    pub(crate) fn following_children(mut self) -> Self {
        self.options |= Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
        self
    }

    /// Calls the handler before each system call.
    pub(crate) fn intercept(mut self, handler: impl FnMut(&Call) -> Action + Send + 'a) -> Self {
        self.handler = Box::new(handler);
        self
    }

    /// Runs until every traced process has ended.
    pub(crate) fn run(mut self) -> TracedProgram {
        // The kernel notifies the thread that started the program. It must have no other children.
        std::thread::scope(|scope| scope.spawn(|| self.run_here(scope)).join()).expect("the tracer")
    }

    #[expect(clippy::zombie_processes, reason = "`follow` waits for it, as for all that is traced")]
    fn run_here<'scope>(&mut self, scope: &'scope std::thread::Scope<'scope, '_>) -> TracedProgram {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: `traceme` is a single system call and allocates nothing.
        unsafe { self.command.pre_exec(|| Ok(ptrace::traceme()?)) };
        let mut program = self.command.spawn().expect("the program starts");
        let (stdout, stderr) = (program.stdout.take().expect("piped"), program.stderr.take().expect("piped"));
        let (stdout, stderr) = (scope.spawn(|| all(stdout)), scope.spawn(|| all(stderr)));

        let mut tracing = TraceState { first: Pid::from_raw(program.id() as i32), ..TraceState::default() };
        let status = tracing.follow(self.options, &mut *self.handler);
        let [stdout, stderr] = [stdout, stderr].map(|reader| reader.join().expect("the reader"));
        TracedProgram { calls: tracing.calls, output: Output { status, stdout, stderr } }
    }
}

fn all(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).expect("a pipe");
    bytes
}

struct TraceState {
    first: Pid,
    calls: Vec<Call>,
    threads: HashMap<Pid, Thread>,
    /// Including those that have ended.
    threads_seen: usize,
}

impl Default for TraceState {
    fn default() -> Self {
        Self { first: Pid::from_raw(0), calls: Vec::new(), threads: HashMap::new(), threads_seen: 0 }
    }
}

#[derive(Default)]
struct Thread {
    place: usize,
    /// Its first stop was seen.
    has_begun: bool,
    counts: HashMap<&'static str, usize>,
    /// The call in which it is, by its place among all calls.
    within: Option<usize>,
    /// The error that the call gets instead of being made.
    refused: Option<Errno>,
}

impl TraceState {
    fn follow(&mut self, options: Options, handler: &mut Handler<'_>) -> ExitStatus {
        let mut status = None;
        loop {
            let (process, signal) = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD))
            {
                Ok(WaitStatus::PtraceSyscall(process)) => {
                    self.at_call(process, handler);
                    (process, None)
                }
                Ok(WaitStatus::Stopped(process, signal)) => (process, self.signal(process, signal, options)),
                Ok(WaitStatus::PtraceEvent(process, _, event)) => {
                    // Register new threads here, in order: their own first stops come in any order.
                    let begins =
                        [libc::PTRACE_EVENT_CLONE, libc::PTRACE_EVENT_FORK, libc::PTRACE_EVENT_VFORK];
                    if begins.contains(&event)
                        && let Ok(new) = ptrace::getevent(process)
                    {
                        self.register(Pid::from_raw(new as i32));
                    }
                    (process, None)
                }
                Ok(WaitStatus::Exited(process, code)) => {
                    self.ended(process, code << 8, &mut status);
                    continue;
                }
                Ok(WaitStatus::Signaled(process, signal, _)) => {
                    self.ended(process, signal as i32, &mut status);
                    continue;
                }
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => return status.expect("the program has ended"),
                Err(error) => panic!("waitpid: {error}"),
            };
            // A process may be killed while it is stopped. Its end is reported next.
            match ptrace::syscall(process, signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => panic!("ptrace: {error}"),
            }
        }
    }

    /// The signal to deliver; none if it only announces a new process.
    fn signal(&mut self, process: Pid, signal: Signal, options: Options) -> Option<Signal> {
        self.register(process);
        if std::mem::replace(&mut self.threads.get_mut(&process).expect("it is registered").has_begun, true) {
            return Some(signal);
        }
        if process == self.first {
            ptrace::setoptions(process, options).expect("it is stopped, and ours");
        }
        None
    }

    fn register(&mut self, thread: Pid) {
        let place = self.threads_seen;
        self.threads.entry(thread).or_insert_with(|| {
            self.threads_seen += 1;
            Thread { place, ..Thread::default() }
        });
    }

    fn ended(&mut self, process: Pid, raw: i32, status: &mut Option<ExitStatus>) {
        self.threads.remove(&process);
        if process == self.first {
            *status = Some(ExitStatus::from_raw(raw));
        }
    }

    /// A process is stopped at the entry to a call, or at the exit from it.
    fn at_call(&mut self, process: Pid, handler: &mut Handler<'_>) {
        // The process was killed in the meantime.
        let Ok(mut registers) = ptrace::getregs(process) else { return };
        self.register(process);
        let state = self.threads.get_mut(&process).expect("it is registered");
        if let Some(within) = state.within.take() {
            if let Some(error) = state.refused.take() {
                registers.rax = -i64::from(error as i32) as u64;
                let _ = ptrace::setregs(process, registers);
            }
            let call = &mut self.calls[within];
            call.result = Some(registers.rax as i64);
            if call.name == "getdents64" && registers.rax as i64 > 0 {
                call.entries = entries(&memory(process, registers.rsi, registers.rax as usize));
            }
            return;
        }
        let name = Sysno::new(registers.orig_rax as usize).map_or("unknown", |number| number.name());
        let number = state.counts.entry(name).or_default();
        *number += 1;
        let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10];
        let paths = paths(process, name, arguments);
        let call = Call { name, thread: state.place, number: *number, paths, result: None, entries: 0 };
        match handler(&call) {
            Action::Continue => {}
            Action::Kill => kill(process, Signal::SIGKILL).expect("it is ours"),
            Action::Fail(error) => {
                // No system call has this number, so the kernel makes none.
                registers.orig_rax = u64::MAX;
                ptrace::setregs(process, registers).expect("it is stopped, and ours");
                state.refused = Some(error);
            }
        }
        state.within = Some(self.calls.len());
        self.calls.push(call);
    }
}

/// The paths of a call's arguments.
fn paths(process: Pid, name: &str, arguments: [u64; 4]) -> Vec<String> {
    let text = |at: usize| Some(string(process, arguments[at]));
    let descriptor = |at: usize| {
        // Not `AT_FDCWD`.
        let number = u32::try_from(arguments[at] as i32).ok()?;
        let path = std::fs::read_link(format!("/proc/{process}/fd/{number}")).ok()?;
        Some(path.to_string_lossy().into_owned())
    };
    let about = match name {
        "access" | "chdir" | "chmod" | "creat" | "execve" | "lstat" | "mkdir" | "open" | "readlink"
        | "rmdir" | "stat" | "statfs" | "truncate" | "unlink" => vec![text(0)],
        "link" | "rename" | "symlink" => vec![text(0), text(1)],
        "faccessat" | "faccessat2" | "fchmodat" | "mkdirat" | "newfstatat" | "openat" | "readlinkat"
        | "statx" | "unlinkat" | "utimensat" => vec![descriptor(0), text(1)],
        "linkat" | "renameat" | "renameat2" => vec![descriptor(0), text(1), descriptor(2), text(3)],
        "close" | "connect" | "dup" | "dup2" | "dup3" | "fchmod" | "fchown" | "fcntl" | "fdatasync"
        | "flock" | "fstat" | "fsync" | "ftruncate" | "getdents64" | "ioctl" | "lseek" | "pread64"
        | "pwrite64" | "read" | "recvfrom" | "recvmsg" | "sendmsg" | "sendto" | "write" | "writev" => {
            vec![descriptor(0)]
        }
        _ => Vec::new(),
    };
    about.into_iter().flatten().filter(|path| !path.is_empty()).collect()
}

fn memory(process: Pid, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    // Opened each time, because an open file shows the memory from before `execve`.
    let read = File::open(format!("/proc/{process}/mem")).and_then(|file| file.read_at(&mut bytes, address));
    bytes.truncate(read.unwrap_or(0));
    bytes
}

fn string(process: Pid, address: u64) -> String {
    let bytes = memory(process, address, 4_096);
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Counts `linux_dirent64` entries. Bytes 16 and 17 hold the length of each.
fn entries(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(length) = bytes.get(16..18) {
        bytes = &bytes[usize::from(u16::from_ne_bytes([length[0], length[1]])).min(bytes.len()).max(1)..];
        count += 1;
    }
    count
}

#[test]
fn calls_can_be_delayed_refused_or_fatal() {
    let cat = |file: &str, action: Action| {
        let mut command = Command::new("cat");
        command.arg(file).env_clear().env("PATH", "/usr/bin:/bin");
        let handler = |call: &Call| match call.name {
            "openat" if call.paths == [file] => action,
            _ => Action::Continue,
        };
        Tracer::of(command).intercept(handler).run()
    };
    let file = "/proc/version";
    let TracedProgram { calls, output } = cat(file, Action::Continue);
    assert_eq!(output.stdout, std::fs::read(file).expect("Linux"));
    assert!(calls.iter().all(|call| call.thread == 0), "it has one thread");
    let opened: Vec<_> = calls.iter().map(ToString::to_string).filter(|call| call.contains(file)).collect();
    assert_eq!(opened.first().map(String::as_str), Some("openat(/proc/version)"), "{opened:?}");

    let TracedProgram { calls, output } = cat(file, Action::Fail(Errno::EIO));
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Input/output error"), "{output:?}");
    assert!(calls.iter().any(|call| call.to_string() == "openat(/proc/version) = EIO"));

    let TracedProgram { calls, output } = cat(file, Action::Kill);
    assert_eq!((output.status.signal(), output.stderr), (Some(9), Vec::new()));
    assert_eq!(calls.last().map(ToString::to_string).as_deref(), Some("openat(/proc/version) = ?"));
}

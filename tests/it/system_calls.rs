//! Fixture: the system calls of a program, as the kernel tells them to a tracer (`ptrace`), and what becomes of one.
//!
//! A test sees every call before it is made, and may hold it up, refuse it, or end the process there.
#![allow(unsafe_code, reason = "between `fork` and `exec` nothing but the one call that asks to be traced")]

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
    /// The how-manieth of all threads that were traced makes it; the first is 0.
    pub(crate) thread: usize,
    /// The how-manieth of its name in its thread.
    pub(crate) number: usize,
    /// The paths that it names, and those of the descriptors that it works on, in the order of its arguments.
    pub(crate) paths: Vec<String>,
    /// What the kernel answered: an error is negative. Nothing if the process ended in it, or before it.
    pub(crate) result: Option<i64>,
    /// The names that `getdents64` gave.
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

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Make,
    /// The process ends (SIGKILL) before the call.
    Kill,
    /// The call is not made, and fails with this error.
    Refuse(Errno),
}

/// A program that ran to its end.
#[derive(Debug)]
pub(crate) struct Traced {
    /// From the first after its `execve`, in the order of their beginnings.
    pub(crate) calls: Vec<Call>,
    pub(crate) output: Output,
}

type Judge<'a> = dyn FnMut(&Call) -> Verdict + Send + 'a;

/// A program that is about to be run.
pub(crate) struct Tracer<'a> {
    command: Command,
    options: Options,
    judge: Box<Judge<'a>>,
}

impl<'a> Tracer<'a> {
    /// Of all threads of the program, and of no process that it starts.
    pub(crate) fn of(command: Command) -> Self {
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL
            // Not of what is cloned with SIGCHLD, as processes are.
            | Options::PTRACE_O_TRACECLONE;
        Self { command, options, judge: Box::new(|_| Verdict::Make) }
    }

    /// All processes that it starts too, also those that go on after it.
    pub(crate) fn with_all_that_it_starts(mut self) -> Self {
        self.options |= Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
        self
    }

    /// Asks before each call.
    pub(crate) fn judged(mut self, judge: impl FnMut(&Call) -> Verdict + Send + 'a) -> Self {
        self.judge = Box::new(judge);
        self
    }

    /// Runs the program until all that is traced has ended.
    pub(crate) fn run(mut self) -> Traced {
        // The kernel tells the thread that started the program, which must have no other children.
        std::thread::scope(|scope| scope.spawn(|| self.run_here(scope)).join()).expect("the tracer")
    }

    #[expect(clippy::zombie_processes, reason = "`follow` waits for it, as for all that is traced")]
    fn run_here<'scope>(&mut self, scope: &'scope std::thread::Scope<'scope, '_>) -> Traced {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: `traceme` is one system call and allocates nothing.
        unsafe { self.command.pre_exec(|| Ok(ptrace::traceme()?)) };
        let mut program = self.command.spawn().expect("the program starts");
        let (stdout, stderr) = (program.stdout.take().expect("piped"), program.stderr.take().expect("piped"));
        let (stdout, stderr) = (scope.spawn(|| all(stdout)), scope.spawn(|| all(stderr)));

        let mut tracing = Tracing { first: Pid::from_raw(program.id() as i32), ..Tracing::default() };
        let status = tracing.follow(self.options, &mut *self.judge);
        let [stdout, stderr] = [stdout, stderr].map(|reader| reader.join().expect("the reader"));
        Traced { calls: tracing.calls, output: Output { status, stdout, stderr } }
    }
}

fn all(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).expect("a pipe");
    bytes
}

struct Tracing {
    first: Pid,
    calls: Vec<Call>,
    threads: HashMap<Pid, Thread>,
    /// Those that have ended included.
    threads_seen: usize,
}

impl Default for Tracing {
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

impl Tracing {
    fn follow(&mut self, options: Options, judge: &mut Judge<'_>) -> ExitStatus {
        let mut status = None;
        loop {
            let (process, signal) = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD))
            {
                Ok(WaitStatus::PtraceSyscall(process)) => {
                    self.at_call(process, judge);
                    (process, None)
                }
                Ok(WaitStatus::Stopped(process, signal)) => (process, self.signal(process, signal, options)),
                Ok(WaitStatus::PtraceEvent(process, _, event)) => {
                    // Met here, in the order of their beginnings: the new ones themselves come in any order.
                    let begins =
                        [libc::PTRACE_EVENT_CLONE, libc::PTRACE_EVENT_FORK, libc::PTRACE_EVENT_VFORK];
                    if begins.contains(&event)
                        && let Ok(new) = ptrace::getevent(process)
                    {
                        self.meet(Pid::from_raw(new as i32));
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
            // A process may be killed while it is stopped: its end is told next.
            match ptrace::syscall(process, signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => panic!("ptrace: {error}"),
            }
        }
    }

    /// The signal that the process gets; nothing where the signal is only how the kernel tells of a new process.
    fn signal(&mut self, process: Pid, signal: Signal, options: Options) -> Option<Signal> {
        self.meet(process);
        if std::mem::replace(&mut self.threads.get_mut(&process).expect("it was met").has_begun, true) {
            return Some(signal);
        }
        if process == self.first {
            ptrace::setoptions(process, options).expect("it is stopped, and ours");
        }
        None
    }

    fn meet(&mut self, thread: Pid) {
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
    fn at_call(&mut self, process: Pid, judge: &mut Judge<'_>) {
        // Killed meanwhile.
        let Ok(mut registers) = ptrace::getregs(process) else { return };
        self.meet(process);
        let state = self.threads.get_mut(&process).expect("it was met");
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
        match judge(&call) {
            Verdict::Make => {}
            Verdict::Kill => kill(process, Signal::SIGKILL).expect("it is ours"),
            Verdict::Refuse(error) => {
                // There is no call of this number: the kernel makes none.
                registers.orig_rax = u64::MAX;
                ptrace::setregs(process, registers).expect("it is stopped, and ours");
                state.refused = Some(error);
            }
        }
        state.within = Some(self.calls.len());
        self.calls.push(call);
    }
}

/// What a call is about.
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
    // Opened each time: after an `execve` an open one shows what was there before.
    let read = File::open(format!("/proc/{process}/mem")).and_then(|file| file.read_at(&mut bytes, address));
    bytes.truncate(read.unwrap_or(0));
    bytes
}

fn string(process: Pid, address: u64) -> String {
    let bytes = memory(process, address, 4_096);
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// How many `linux_dirent64` there are: each tells its length in the bytes 16 and 17.
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
    let cat = |file: &str, verdict: Verdict| {
        let mut command = Command::new("cat");
        command.arg(file).env_clear().env("PATH", "/usr/bin:/bin");
        let judge = |call: &Call| match call.name {
            "openat" if call.paths == [file] => verdict,
            _ => Verdict::Make,
        };
        Tracer::of(command).judged(judge).run()
    };
    let file = "/proc/version";
    let Traced { calls, output } = cat(file, Verdict::Make);
    assert_eq!(output.stdout, std::fs::read(file).expect("Linux"));
    assert!(calls.iter().all(|call| call.thread == 0), "it has one thread");
    let told: Vec<_> = calls.iter().map(ToString::to_string).filter(|call| call.contains(file)).collect();
    assert_eq!(told.first().map(String::as_str), Some("openat(/proc/version)"), "{told:?}");

    let Traced { calls, output } = cat(file, Verdict::Refuse(Errno::EIO));
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Input/output error"), "{output:?}");
    assert!(calls.iter().any(|call| call.to_string() == "openat(/proc/version) = EIO"));

    let Traced { calls, output } = cat(file, Verdict::Kill);
    assert_eq!((output.status.signal(), output.stderr), (Some(9), Vec::new()));
    assert_eq!(calls.last().map(ToString::to_string).as_deref(), Some("openat(/proc/version) = ?"));
}

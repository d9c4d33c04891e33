//! Unix: `fork`, `exec`, and waiting.

#![expect(
    unsafe_code,
    reason = "std can neither wait for a stopped child nor keep the inherited signal mask"
)]

use std::ffi::{OsString, c_int};
use std::os::unix::process::CommandExt as _;

use super::signals::{HeldSignals, raise_default};
use super::{Program, ProgramEnd, startup};

pub(super) fn replace_process(program: &Program<'_>) -> u8 {
    let mut command = program.command();
    let held = HeldSignals::hold();
    // SAFETY: the closure makes system calls only. There is no other thread.
    unsafe {
        command.pre_exec(move || {
            startup::restore();
            held.restore();
            Ok(())
        });
    }
    program.report(&command.exec())
}

pub(super) fn run(
    program: &Program<'_>,
    variables: impl Fn(u32) -> Vec<(&'static str, OsString)>,
) -> ProgramEnd {
    let held = HeldSignals::hold();
    // If it stayed ignored, nothing would report how the program ended.
    let ignores_children = startup::is_ignored(libc::SIGCHLD);
    if ignores_children {
        // SAFETY: SIG_DFL runs no code of ours.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    }
    let parent = std::process::id();
    // SAFETY: this process has one thread, so its child may do everything that it may.
    match unsafe { libc::fork() } {
        -1 => ProgramEnd::Exited(i32::from(program.report(&std::io::Error::last_os_error()))),
        0 => {
            let mut command = program.command();
            command.envs(variables(std::process::id()));
            // SAFETY: as above. The closure makes system calls only.
            unsafe {
                command.pre_exec(move || {
                    if ignores_children {
                        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
                    }
                    startup::restore();
                    end_with_parent(parent);
                    held.restore();
                    Ok(())
                });
            }
            let code = program.report(&command.exec());
            // SAFETY: it takes a number. The exit handlers belong to the parent.
            unsafe { libc::_exit(i32::from(code)) }
        }
        child => wait(child, &held),
    }
}

/// Kills the program if this process is killed, because `kill -9` of the process that a user started must end the program.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn end_with_parent(parent: u32) {
    // SAFETY: the calls take numbers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if std::os::unix::process::parent_id() != parent {
            libc::raise(libc::SIGKILL);
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn end_with_parent(_parent: u32) {}

/// Waits for the program's end. Stops when it stops, so that the shell sees the job stop.
fn wait(program: libc::pid_t, held: &HeldSignals) -> ProgramEnd {
    loop {
        let signal = held.next();
        if signal.number != libc::SIGCHLD {
            if signal.is_for(program) {
                // SAFETY: it takes numbers. The program is not reaped yet, so no other process has its id.
                unsafe { libc::kill(program, signal.number) };
            }
            continue;
        }
        // As process 1 this process also reaps the program's orphans.
        while let Some((process, status)) = next_change() {
            if process != program {
                continue;
            }
            if libc::WIFSTOPPED(status) {
                raise_default(libc::WSTOPSIG(status));
            } else if libc::WIFEXITED(status) {
                return ProgramEnd::Exited(libc::WEXITSTATUS(status));
            } else if libc::WIFSIGNALED(status) {
                return ProgramEnd::Killed(libc::WTERMSIG(status));
            }
        }
    }
}

/// A child that stopped or ended.
fn next_change() -> Option<(libc::pid_t, c_int)> {
    let mut status = 0;
    // SAFETY: the pointer leads to a live value.
    let process = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG | libc::WUNTRACED) };
    (process > 0).then_some((process, status))
}

/// Kills this process by the signal that killed the program, because a shell that a user interrupts goes on with its script
/// unless the program died of the interrupt. Returns if the signal has no effect, as in process 1 of a container.
pub(super) fn kill_self(signal: c_int) {
    // The program has left its own memory, if any.
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer leads to a live value.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
    raise_default(signal);
}

//! Signals: which ones this process passes on to the program that it waits for.
//!
//! A terminal sends its signals to the whole process group, and thus also to the program. Those are not passed on, because
//! many programs take a second Ctrl-C for the wish to be killed at once. All others were sent to this process alone, whose id
//! the sender takes for the program's.

#![expect(unsafe_code, reason = "std has no signals")]

use std::ffi::c_int;

/// Signals that a fault of this process causes. They are not held back, or it would never end.
const FAULTS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// Signals that the kernel sends to all processes of a terminal's foreground group.
const TERMINAL: [c_int; 8] = [
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTSTP,
    libc::SIGHUP,
    libc::SIGWINCH,
    libc::SIGCONT,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReceivedSignal {
    pub(super) number: c_int,
    /// The process that sent it. `None` if the kernel did.
    pub(super) sender: Option<libc::pid_t>,
}

impl ReceivedSignal {
    /// Whether the program has not got it yet.
    pub(super) fn is_for(self, program: libc::pid_t) -> bool {
        match self.sender {
            // A program that signals its whole group, as `kill 0` does, already has it.
            Some(sender) => sender != program,
            None => !TERMINAL.contains(&self.number),
        }
    }
}

/// Signals that are held back until [`next`](Self::next) takes them.
#[derive(Debug)]
pub(super) struct HeldSignals {
    held: libc::sigset_t,
    before: libc::sigset_t,
}

impl HeldSignals {
    /// Holds back every signal that can be passed on.
    pub(super) fn hold() -> Self {
        // SAFETY: each set is initialised by its first call, and the pointers lead to live values. SIGCHLD, if ignored, would
        // make the kernel forget how the program ended.
        unsafe {
            let mut held = std::mem::zeroed();
            let mut before = std::mem::zeroed();
            libc::sigfillset(&mut held);
            for signal in FAULTS {
                libc::sigdelset(&mut held, signal);
            }
            libc::sigprocmask(libc::SIG_BLOCK, &held, &mut before);
            Self { held, before }
        }
    }

    /// Restores the mask of before, in a process that becomes another program.
    pub(super) fn restore(&self) {
        // SAFETY: the set is initialised, and the null pointer requests no old one.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }

    /// Waits for the next signal.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    pub(super) fn next(&self) -> ReceivedSignal {
        loop {
            // SAFETY: zero is a valid value of every field, the set is initialised, and the call fills the structure.
            let (number, info) = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                (libc::sigwaitinfo(&self.held, &mut info), info)
            };
            if number > 0 {
                // SAFETY: the field is valid for every signal that a process sent.
                let sender = (info.si_code <= 0).then(|| unsafe { info.si_pid() });
                return ReceivedSignal { number, sender };
            }
        }
    }

    /// Waits for the next signal. There is no way to learn its sender, so a terminal's signal counts as sent by one if this
    /// process is in the terminal's foreground group.
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    pub(super) fn next(&self) -> ReceivedSignal {
        let mut number = 0;
        // SAFETY: the set is initialised, the calls take numbers, and the pointer leads to a live value.
        let is_in_foreground = unsafe {
            while libc::sigwait(&self.held, &mut number) != 0 {}
            (0..3).any(|stream| libc::tcgetpgrp(stream) == libc::getpgrp())
        };
        let is_from_terminal = is_in_foreground && TERMINAL.contains(&number);
        ReceivedSignal { number, sender: (!is_from_terminal).then_some(0) }
    }
}

/// Does to this process what a signal does by default.
pub(super) fn raise_default(signal: c_int) {
    // SAFETY: SIG_DFL runs no code of ours, the set is initialised before it is read, and the calls take numbers.
    unsafe {
        let mut only = std::mem::zeroed();
        libc::sigemptyset(&mut only);
        libc::sigaddset(&mut only, signal);
        libc::signal(signal, libc::SIG_DFL);
        let mut before = std::mem::zeroed();
        libc::raise(signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &only, &mut before);
        // Continued.
        libc::sigprocmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminals_signals_and_the_programs_own_are_not_passed_on() {
        let received = |number, sender| ReceivedSignal { number, sender };
        assert!(!received(libc::SIGINT, None).is_for(7), "Ctrl-C has reached the program");
        assert!(received(libc::SIGINT, Some(1)).is_for(7), "`kill -INT` has not");
        assert!(received(libc::SIGTERM, Some(0)).is_for(7), "nor has a container's runtime");
        assert!(!received(libc::SIGTERM, Some(7)).is_for(7), "the program signals its group");
        assert!(received(libc::SIGALRM, None).is_for(7), "a timer from before `exec`");
    }
}

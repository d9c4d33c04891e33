//! Ends that play with processes and descriptors, as daemons do. What they need of the platform is `unsafe`: each block
//! is one call, in a program with one thread.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

/// Sends this process a signal.
pub(crate) fn send_to_itself(signal: &str) {
    let number = match signal {
        "HUP" => libc::SIGHUP,
        "INT" => libc::SIGINT,
        "KILL" => libc::SIGKILL,
        "QUIT" => libc::SIGQUIT,
        "SEGV" => libc::SIGSEGV,
        "TERM" => libc::SIGTERM,
        _ => panic!("no such signal: {signal}"),
    };
    if matches!(number, libc::SIGHUP | libc::SIGINT | libc::SIGTERM | libc::SIGQUIT) {
        // Whoever started the tests may have had it ignored, as `nohup` does.
        // SAFETY: the default action needs no handler of ours.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    // SAFETY: a process may always signal itself.
    assert_eq!(unsafe { libc::kill(libc::getpid(), number) }, 0);
}

/// Does what the end is called, and gives the exit code; nothing if it is no end of this kind.
pub(crate) fn end(end: &str) -> Option<u8> {
    Some(match end {
        // The child goes on as if it were the tool, and both end.
        "fork" => match fork() {
            0 => {
                crate::work(3);
                5
            }
            child => {
                wait_for(child);
                crate::work(1);
                0
            }
        },
        "fork-exit" => match fork() {
            0 => std::process::exit(5),
            child => {
                wait_for(child);
                std::process::exit(0)
            }
        },
        // A daemon: the child lives on, closes everything, and works with its own files.
        "daemon" => match fork() {
            0 => {
                replace_standard_streams();
                close_from(3);
                let mut log = own_file();
                crate::work(3);
                crate::hold("held");
                crate::work(1);
                writeln!(log, "mine too").expect("a line");
                0
            }
            _ => 0,
        },
        // The parent dies at once, and the child that holds copies of its descriptors lives on.
        "killed-with-child" => match fork() {
            0 => {
                replace_standard_streams();
                crate::hold("held");
                crate::work(1);
                0
            }
            _ => die(),
        },
        "own-file" => {
            drop(own_file());
            0
        }
        "close-all" => {
            close_from(3);
            let files = [own_file(), own_file(), own_file(), own_file()];
            crate::work(2);
            drop(files);
            4
        }
        // The tool takes every descriptor that there is.
        "takes-all" => {
            let files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
            assert!(!files.is_empty());
            std::mem::forget(files);
            3
        }
        // The process has another user or another root when it ends.
        "other-user" => {
            // SAFETY: setuid takes a number; the process has one thread.
            assert_eq!(unsafe { libc::setuid(65_534) }, 0, "this needs root");
            3
        }
        "other-root" => {
            std::os::unix::fs::chroot("/proc").expect("this needs root");
            3
        }
        // No number is ever free: each is the user's file all at once.
        "replace-all" => {
            let file = own_file();
            for number in 3..64 {
                if number != file.as_raw_fd() {
                    // SAFETY: dup2 takes numbers, and nothing here uses the files that it replaces.
                    unsafe { libc::dup2(file.as_raw_fd(), number) };
                }
            }
            crate::work(2);
            std::process::exit(4)
        }
        _ => return None,
    })
}

/// The child is made before any command begins and runs one; the parent dies when it has ended.
pub(crate) fn fork_first(telemetry: &tool_telemetry::Telemetry) -> std::process::ExitCode {
    match fork() {
        0 => telemetry.command("test", || 0_u8),
        child => {
            wait_for(child);
            die()
        }
    }
}

fn die() -> ! {
    // SAFETY: kill takes numbers.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("nobody survives this")
}

/// The file `mine` in the working directory, opened for appending, with a line of our own.
fn own_file() -> File {
    let mut file =
        File::options().append(true).create(true).open(PathBuf::from("mine")).expect("a file of the tool's");
    writeln!(file, "mine").expect("a line");
    file
}

fn fork() -> libc::pid_t {
    // SAFETY: the process has one thread, so the child finds no lock held.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    child
}

fn wait_for(child: libc::pid_t) {
    let mut status = 0;
    // SAFETY: the pointer is to a live integer.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
}

/// So that nobody who reads the parent's output waits for the child.
fn replace_standard_streams() {
    let null = File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
    for number in 0..3 {
        // SAFETY: dup2 takes numbers; the standard streams may be replaced at any time.
        unsafe { libc::dup2(null.as_raw_fd(), number) };
    }
}

fn close_from(first: i32) {
    for number in first..256 {
        // SAFETY: this tool has no file of its own open here, and a daemon closes what it does not know.
        unsafe { libc::close(number) };
    }
}

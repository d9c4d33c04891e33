//! Ends that fork, close descriptors, or change the user, as daemons do. Each `unsafe` block is one call, in a
//! program with one thread.
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
        // The parent of the tests may ignore the signal, for example `nohup`.
        // SAFETY: the default action needs no handler of ours.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    // SAFETY: a process may always signal itself.
    assert_eq!(unsafe { libc::kill(libc::getpid(), number) }, 0);
}

/// Runs the end with this name and returns the exit code; `None` if there is none.
pub(crate) fn end(end: &str) -> Option<u8> {
    Some(match end {
        "fork" => fork_and_work(),
        "fork-exit" => fork_and_exit(),
        "daemon" => daemon(),
        "killed-with-child" => killed_with_child(),
        "own-file" => {
            drop(own_file());
            0
        }
        "close-all" => close_all(),
        "takes-all" => take_all(),
        "other-user" => other_user(),
        "other-root" => other_root(),
        "replace-all" => replace_all(),
        _ => return None,
    })
}

/// The child continues as if it were the tool.
fn fork_and_work() -> u8 {
    match fork() {
        0 => {
            crate::work(3);
            5
        }
        child => {
            wait_for(child);
            crate::work(1);
            0
        }
    }
}

/// The child exits first.
fn fork_and_exit() -> ! {
    match fork() {
        0 => std::process::exit(5),
        child => {
            wait_for(child);
            std::process::exit(0)
        }
    }
}

/// The child lives on, closes all descriptors, and opens its own files.
fn daemon() -> u8 {
    if fork() == 0 {
        replace_standard_streams();
        close_from(3);
        let mut log = own_file();
        crate::work(3);
        crate::hold("held");
        crate::work(1);
        writeln!(log, "mine too").expect("a line");
    }
    0
}

/// The parent is killed, and the child lives on with copies of its descriptors.
fn killed_with_child() -> u8 {
    if fork() != 0 {
        die();
    }
    replace_standard_streams();
    crate::hold("held");
    crate::work(1);
    0
}

/// The tool closes every descriptor and opens its own files under the freed numbers.
fn close_all() -> u8 {
    close_from(3);
    let files = [own_file(), own_file(), own_file(), own_file()];
    crate::work(2);
    drop(files);
    4
}

/// The tool uses up all descriptors.
fn take_all() -> u8 {
    let files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!files.is_empty());
    std::mem::forget(files);
    3
}

fn other_user() -> u8 {
    // SAFETY: setuid takes a number; the process has one thread.
    assert_eq!(unsafe { libc::setuid(65_534) }, 0, "this needs root");
    3
}

fn other_root() -> u8 {
    std::os::unix::fs::chroot("/proc").expect("this needs root");
    3
}

/// Replaces each descriptor at once, so that no number is free.
fn replace_all() -> ! {
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

/// Forks before the first command. The child runs a command, and the parent is killed afterwards.
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
    unreachable!("SIGKILL ends the process")
}

/// Opens the file `mine` in the working directory for appending, and writes a line.
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

/// Frees the parent's output, so that its reader does not wait for the child.
fn replace_standard_streams() {
    let null = File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
    for number in 0..3 {
        // SAFETY: dup2 takes numbers; the standard streams may be replaced at any time.
        unsafe { libc::dup2(null.as_raw_fd(), number) };
    }
}

fn close_from(first: i32) {
    for number in first..256 {
        // SAFETY: the tool has no open file here, and a daemon closes unknown descriptors.
        unsafe { libc::close(number) };
    }
}

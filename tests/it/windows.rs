//! What only Windows has: inherited handles, directories in use, jobs, consoles, long paths, and reserved names.

#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::os::windows::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tool_telemetry_receiver::{Answer, Receiver};
use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_READ, FILE_SHARE_WRITE};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_BREAKAWAY_OK,
    JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JobObjectExtendedLimitInformation, SetInformationJobObject,
};
use windows_sys::Win32::System::Threading::CREATE_NO_WINDOW;

use crate::process_list::processes;
use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, copy_program, eventually, example};

/// A receiver that never answers, and a user whose uploader therefore works until it is ended.
fn hanging() -> (Receiver, TestUser) {
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    (receiver, user)
}

fn wait_for_request(receiver: &Receiver) {
    receiver.wait_until(|receiver| receiver.requests().len() == 1, TIMEOUT).expect("an uploader sends");
}

#[test]
fn pipes_close_when_the_tool_ends() {
    let (receiver, user) = hanging();
    let (mut read, write) = std::io::pipe().expect("a pipe");
    // `output` ends when nothing holds the standard output and errors any more.
    let output = user.frob_command(["build"]).stdin(Stdio::from(write)).output().expect("it starts");
    assert_eq!((&*output.stdout, &*output.stderr), (&b"working\n"[..], &b""[..]));
    let mut rest = Vec::new();
    assert_eq!(read.read_to_end(&mut rest).expect("the end of the pipe"), 0);
    wait_for_request(&receiver);
    assert_eq!(user.uploaders().len(), 1, "it is still working");
}

#[test]
fn the_users_directory_can_be_deleted_while_the_uploader_works() {
    let (receiver, user) = hanging();
    let project = user.home().join("project");
    fs::create_dir(&project).expect("a directory");
    let mut command = user.frob_command(["build"]);
    assert!(command.current_dir(&project).stdout(Stdio::null()).status().expect("it starts").success());
    wait_for_request(&receiver);
    fs::remove_dir(&project).expect("no process works in it");
    let uploader = user.uploaders()[0];
    let process = processes().into_iter().find(|process| process.id == uploader).expect("it is working");
    let home = user.home().to_str().expect("text").to_lowercase();
    assert!(!process.directory.to_lowercase().starts_with(&home), "{}", process.directory);
}

/// A job with these limits.
fn job(limits: u32) -> OwnedHandle {
    let mut information = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    information.BasicLimitInformation.LimitFlags = limits;
    let size = size_of_val(&information) as u32;
    // SAFETY: the first call opens a handle that nothing else closes. The second one reads the structure, whose size is
    // given.
    unsafe {
        let job = OwnedHandle::from_raw_handle(CreateJobObjectW(std::ptr::null(), std::ptr::null()));
        let pointer = (&raw const information).cast();
        let set =
            SetInformationJobObject(job.as_raw_handle(), JobObjectExtendedLimitInformation, pointer, size);
        assert_ne!(set, 0, "{}", std::io::Error::last_os_error());
        job
    }
}

/// Runs the tool in a job that is closed, and thereby ended, when the tool has ended.
fn run_in_job(user: &TestUser, limits: u32) {
    let job = job(limits);
    let command = &mut user.frob_command(["build", "--end", "wait-for-input"]);
    let mut tool = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    // SAFETY: both handles are open.
    assert_ne!(unsafe { AssignProcessToJobObject(job.as_raw_handle(), tool.as_raw_handle()) }, 0);
    end(&mut tool);
    drop(job);
}

/// Ends a tool that waits for input.
fn end(tool: &mut Child) {
    writeln!(tool.stdin.take().expect("a pipe")).expect("it reads");
    assert!(tool.wait().expect("it ends").success());
}

#[test]
fn the_uploader_leaves_a_job_that_allows_it() {
    let delay = Answer::Delay(Duration::from_secs(2));
    let receiver = Receiver::builder().always(delay).start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    run_in_job(&user, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_BREAKAWAY_OK);
    receiver.wait_for(1, TIMEOUT).expect("the run arrives after the job's end");
    eventually("it is counted", || user.count("delivered") == 1);
}

#[test]
fn the_first_run_in_a_job_that_ends_its_processes_waits_for_delivery() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint()).with_tool_setting("FROB_CI_WAIT_MS", "20000");
    run_in_job(&user, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE);
    assert_eq!(receiver.traces().len(), 1, "{}", user.status());
}

#[test]
fn a_run_whose_uploader_the_job_killed_is_sent_by_the_next_one() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    run_in_job(&user, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE);
    eventually("the uploader was killed with the job", || user.uploaders().is_empty());
    assert!(user.flush(), "{}", user.status());
    assert_eq!((user.count("delivered"), receiver.traces().len()), (1, 1));
}

/// The tool gets a console of its own, sends Ctrl-C and Ctrl-Break to all processes of it, and closes it.
#[test]
fn ctrl_c_and_the_end_of_the_console_do_not_reach_the_uploader() {
    let delay = Answer::Delay(Duration::from_secs(2));
    let receiver = Receiver::builder().always(delay).start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let mut command = user.frob_command(["storm"]);
    let output = command.creation_flags(CREATE_NO_WINDOW).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "storm\n");
    receiver.wait_for(1, TIMEOUT).expect("the run arrives after the storm");
    eventually("it is counted", || user.count("delivered") == 1);
}

#[test]
fn unusual_home_directories_work() {
    for name in ["Anna Maria", "Jürgen", "漢字 🙂", "100% & (x)", "dot."] {
        let receiver = Receiver::start().expect("a receiver");
        let user = TestUser::named(name).with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.http_endpoint());
        assert!(user.run_frob(["telemetry", "on"]).status.success(), "{name}");
        let program = user.home().join("frob tool.exe");
        copy_program(&example("frob"), &program);
        let ended = user.command(&program).arg("build").stdout(Stdio::null()).status();
        assert!(ended.expect("it starts").success(), "{name}");
        receiver.wait_for(1, TIMEOUT).unwrap_or_else(|error| panic!("{name}: {error}"));
        eventually("it is counted", || user.count("delivered") == 1);
    }
}

/// A directory whose path has more than 260 characters.
fn long_directory(user: &TestUser) -> PathBuf {
    let directory = user.home().join("long".repeat(40)).join("path".repeat(40));
    fs::create_dir_all(&directory).expect("a directory");
    directory
}

#[test]
fn paths_of_more_than_260_characters_work() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.http_endpoint());
    let directory = long_directory(&user);
    let text = directory.to_str().expect("text").to_owned();
    let user = user.with("XDG_STATE_HOME", &text).with("XDG_CONFIG_HOME", &text);
    assert!(user.run_frob(["telemetry", "on"]).status.success());
    let program = PathBuf::from(format!(r"\\?\{text}")).join("frob.exe");
    copy_program(&example("frob"), &program);
    for program in [example("frob"), program] {
        let ended = user.command(program).arg("build").stdout(Stdio::null()).status();
        assert!(ended.expect("it starts").success());
    }
    receiver.wait_for(2, TIMEOUT).expect("both arrive");
    assert!(user.flush());
    assert_eq!(user.count("delivered"), 2);
}

/// A command without the variables with which the other tests choose the directories.
fn with_usual_directories(user: &TestUser, arguments: [&str; 2]) -> Command {
    let mut command = user.frob_command(arguments);
    command.env_remove("XDG_STATE_HOME").env_remove("XDG_CONFIG_HOME");
    command
}

#[test]
fn files_are_in_the_local_application_data() {
    for redirected in [None, Some("another disk")] {
        let receiver = Receiver::start().expect("a receiver");
        let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.http_endpoint());
        let run = |arguments: [&str; 2]| {
            let mut command = with_usual_directories(&user, arguments);
            if let Some(directory) = redirected {
                command.env("LOCALAPPDATA", user.home().join(directory));
            }
            let output = command.output().expect("it starts");
            assert!(output.status.success(), "{output:?}");
        };
        run(["telemetry", "on"]);
        run(["build", "--spans"]);
        receiver.wait_for(1, TIMEOUT).expect("the uploader finds the same directory");
        let local = user.home().join(redirected.unwrap_or("AppData/Local")).join("frob");
        assert!(
            local.join("telemetry.toml").is_file() && local.join("telemetry").is_dir(),
            "{:?}",
            user.files()
        );
    }
}

#[test]
fn nothing_is_written_without_a_profile() {
    let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT).with("CI", "1");
    for local in ["", "relative", r"\\.\NUL", "NUL", r"C:\NUL", r"Q:\no such disk"] {
        let mut command = with_usual_directories(&user, ["build", "--spans"]);
        command.env_remove("USERPROFILE").env("LOCALAPPDATA", local);
        let output = command.output().expect("it starts");
        assert_eq!(
            (output.status.code(), &*output.stdout),
            (Some(0), &b"working\n"[..]),
            "{local}: {output:?}"
        );
        assert!(user.files().is_empty(), "{local}: {:?}", user.files());
    }
}

#[test]
fn a_certificate_with_a_reserved_name_is_named_and_blocks_sending() {
    for reserved in ["NUL", "CON", "COM1", "aux.pem"] {
        let receiver = Receiver::start().expect("a receiver");
        let endpoint = receiver.http_endpoint().replace("http://", "https://");
        let user = TestUser::sending_to(&endpoint).with("OTEL_EXPORTER_OTLP_CERTIFICATE", reserved);
        assert!(user.run_frob(["build"]).status.success(), "{reserved}");
        assert!(!user.flush(), "{reserved}");
        assert_eq!((user.count("pending"), receiver.requests().len()), (1, 0), "{reserved}");
        assert!(user.status().contains("OTEL_EXPORTER_OTLP_CERTIFICATE"), "{reserved}: {}", user.status());
    }
}

/// As a virus scanner does, which lets others neither rename nor delete a file for some milliseconds.
#[test]
fn a_scanner_that_holds_each_file_for_a_moment_costs_no_run() {
    const RUNS: u64 = 20;

    let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut options = fs::OpenOptions::new();
            options.read(true).share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE);
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let held: Vec<File> =
                    user.pending_runs().iter().filter_map(|run| options.open(run).ok()).collect();
                std::thread::sleep(Duration::from_millis(3));
                drop(held);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for _ in 0..RUNS {
            assert!(user.run_frob(["build", "--spans", "0"]).status.success());
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!((user.count("pending"), user.count("dropped")), (RUNS, 0), "{}", user.status());
}

/// A program can be renamed while it runs, which is how tools update themselves.
#[test]
fn a_tool_that_replaced_itself_loses_no_run() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let program = user.home().join("frob.exe");
    copy_program(&example("frob"), &program);
    let command = &mut user.command(&program);
    command.args(["build", "--end", "wait-for-input"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut tool = command.spawn().expect("it starts");
    eventually("it writes", || !user.pending_runs().is_empty());
    fs::rename(&program, program.with_extension("old")).expect("a running program can be renamed");
    copy_program(&example("frob"), &program);
    end(&mut tool);
    receiver.wait_for(1, TIMEOUT).expect("the new program sends it");
    assert_eq!(receiver.doubles(), 0);
}

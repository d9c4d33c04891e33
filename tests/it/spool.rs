//! The spool's own files: foreign names, edited content, and runs of a newer version.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tool_telemetry_receiver::Receiver;

use crate::recording_server::RecordingServer;
use crate::test_user::{TestUser, eventually};

/// A flush of two runs is faster than this. An uploader in a loop takes a minute.
const SOON: Duration = Duration::from_secs(15);

/// A user with one pending run.
fn user_with_a_run(receiver: &Receiver) -> (TestUser, PathBuf) {
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    user.run_frob(["build"]);
    let run = user.pending_runs().remove(0);
    (user, run)
}

#[test]
fn noncanonical_run_names_are_left_alone() {
    let receiver = Receiver::start().expect("a receiver");
    let (user, run) = user_with_a_run(&receiver);
    for strange in ["-d+5", "-r3-d5", "-d05", "-d5-d5", "-d"] {
        let name = run.file_stem().expect("a name").to_str().expect("text").to_owned() + strange;
        fs::copy(&run, run.with_file_name(name + ".jsonl")).expect("a copy");
    }
    let started = Instant::now();
    assert!(user.flush());
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert_eq!((user.pending_runs().len(), receiver.requests().len()), (5, 1));
    assert_eq!((user.count("pending"), user.count("delivered")), (0, 1));
}

#[test]
fn a_run_that_cannot_be_renamed_is_sent_once() {
    let receiver = Receiver::start().expect("a receiver");
    let (user, run) = user_with_a_run(&receiver);
    // `rename` does nothing and succeeds if both names are links to the same file.
    let outcome = run.with_extension("delivered");
    let outcome =
        user.spool(&receiver.http_endpoint()).join("outcomes").join(outcome.file_name().expect("a name"));
    fs::hard_link(&run, outcome).expect("a link");
    assert!(!user.flush());
    assert_eq!((user.pending_runs().len(), receiver.requests().len()), (1, 1));
}

#[test]
fn text_appended_to_a_version_is_not_sent() {
    let server = RecordingServer::start();
    let user = TestUser::sending_to(&server.endpoint()).backing_off(&server.endpoint());
    user.run_frob(["build"]);
    let run = user.pending_runs().remove(0);
    let text = fs::read_to_string(&run).expect("a run").replace(":\"1.0.0\"", ":\"1.0.0-john.doe\"");
    assert!(text.contains("john.doe"), "{text}");
    fs::write(&run, text).expect("it is ours");
    user.run_frob(["telemetry", "flush"]);
    let request = server.wait_for(1).remove(0);
    let has = |wanted: &[u8]| request.windows(wanted.len()).any(|part| part == wanted);
    assert!(has(b"service.version") && has(b"1.0.0") && !has(b"john"));
}

#[test]
fn a_run_of_a_newer_version_waits_for_an_uploader_that_knows_it() {
    let receiver = Receiver::start().expect("a receiver");
    let (user, run) = user_with_a_run(&receiver);
    let text = fs::read_to_string(&run).expect("a run");
    let text = text.replace(":\"1.0.0\"", ":\"1.1.0\"").replace("\"build\"", "\"deploy\"");
    fs::write(&run, text).expect("it is ours");
    assert!(!user.flush());
    assert_eq!((user.count("pending"), receiver.requests().len()), (1, 0), "{}", user.status());
    // If the version is not newer, no version knows the value, and `status` counts it as left out.
    let user = user.with_tool_setting("FROB_VERSION", "1.1.0");
    assert!(user.flush());
    assert_eq!((user.count("pending"), receiver.requests().len()), (0, 1), "{}", user.status());
    assert!(user.status().contains("values not sent"), "{}", user.status());
}

#[test]
fn status_show_and_flush_agree_on_running_and_killed_runs() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint()).backing_off(&receiver.http_endpoint());
    let printed = |arguments: &[&str]| String::from_utf8(user.run_frob(arguments).stdout).expect("text");
    let mut running = user.frob_command(["build", "--end", "wait"]);
    let mut running = running.stdout(std::process::Stdio::null()).spawn().expect("it starts");
    eventually("it writes", || printed(&["telemetry", "show"]).contains("(running)"));
    assert!(printed(&["telemetry", "show"]).contains("being written"));
    assert!(user.status().contains("pending    1 (1 being written)"), "{}", user.status());
    assert_eq!(printed(&["telemetry", "flush"]), "No runs are pending except 1 being written.\n");
    running.kill().expect("it runs");
    running.wait().expect("it ended");
    let shown = printed(&["telemetry", "show"]);
    assert!(shown.contains("pending") && shown.contains("cut_off") && !shown.contains("running"), "{shown}");
    assert!(user.status().contains("pending    1\n"), "{}", user.status());
    assert_eq!(printed(&["telemetry", "flush"]), "No runs are pending.\n");
    assert_eq!(receiver.traces().len(), 1);
}

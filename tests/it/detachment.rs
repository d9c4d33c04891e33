//! The uploader holds nothing of the tool's, survives its terminal, and leaves the tool's own files alone.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};

use tool_telemetry_receiver::{Answer, Receiver};

use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually, example, only_tree};

/// Runs a shell script in the user's home directory. `$FROB` is the tool.
fn shell(user: &TestUser, script: &str) -> Output {
    let output = user.command("sh").args(["-c", script]).env("FROB", example("frob")).output();
    output.expect("a shell")
}

#[test]
fn pipes_and_locks_are_released_when_the_tool_ends() {
    for script in [
        "x=$($FROB build); test \"$x\" = working",
        "x=$($FROB build 3>&1); test \"$x\" = working",
        "x=$($FROB build 3>&1 4>&1 27>&1 2>&1); test \"$x\" = working",
        "( flock 9; $FROB build ) 9>lock; flock -n lock true",
        "$FROB build | cat; $FROB build 2>&1 | cat",
    ] {
        let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
        let user = TestUser::sending_to(&receiver.http_endpoint());
        let output = shell(&user, script);
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        // The uploader was started and is still working.
        receiver.wait_until(|receiver| receiver.requests().len() == 1, TIMEOUT).expect("an uploader");
        // A second one finds the lock held and ends.
        eventually("one uploader works", || user.uploaders().len() == 1);
        assert_eq!(receiver.requests().len(), 1, "{script}");
    }
}

#[test]
fn the_uploader_holds_no_foreign_directory_or_file() {
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let output = shell(&user, "$FROB build 3>three 4<. 9>&1 </etc/passwd");
    assert!(output.status.success());
    receiver.wait_until(|receiver| receiver.requests().len() == 1, TIMEOUT).expect("an uploader");
    let uploader = user.uploaders()[0];
    let link = |name: String| std::fs::read_link(format!("/proc/{uploader}/{name}")).expect("a link");
    assert_eq!(link("cwd".to_owned()).to_str(), Some("/"));
    for entry in std::fs::read_dir(format!("/proc/{uploader}/fd")).expect("its files").flatten() {
        let number = entry.file_name().into_string().expect("a number");
        let file = link(format!("fd/{number}")).to_string_lossy().into_owned();
        let allowed = match number.as_str() {
            "0" | "1" | "2" => file == "/dev/null",
            _ => file.starts_with("socket:") || file.ends_with("/uploader.lock"),
        };
        assert!(allowed, "descriptor {number} is {file}");
    }
}

/// Runs it for twenty users, so that there are twenty uploaders.
fn twenty(receiver: &Receiver, run: impl Fn(&TestUser)) {
    let users: Vec<_> = (0..20).map(|_| TestUser::sending_to(&receiver.http_endpoint())).collect();
    users.iter().for_each(run);
    let traces = receiver.wait_for(20, TIMEOUT).expect("all are delivered");
    assert_eq!((traces.len(), receiver.doubles()), (20, 0));
}

#[test]
fn uploaders_survive_ctrl_c() {
    let receiver = Receiver::start().expect("a receiver");
    twenty(&receiver, |user| {
        // The process group gets Ctrl-C in a loop until the tool has ended. The tool ignores it; an uploader
        // starts with default signals.
        let mut group = user
            .command("sh")
            .args(["-c", "trap '' INT HUP QUIT; echo ready; read go; $FROB build; echo done; read end"])
            .env("FROB", example("frob"))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let lines = std::io::BufReader::new(group.stdout.take().expect("a pipe"));
        let mut lines = std::io::BufRead::lines(lines).map(|line| line.expect("a line"));
        let mut input = group.stdin.take().expect("a pipe");
        assert_eq!(lines.next().as_deref(), Some("ready"));
        let storm =
            format!("while kill -INT -{0} && kill -HUP -{0} && kill -QUIT -{0}; do :; done", group.id());
        let mut storm =
            Command::new("sh").args(["-c", &storm]).stderr(Stdio::null()).spawn().expect("a shell");
        std::io::Write::write_all(&mut input, b"go\n").expect("it reads");
        assert_eq!(lines.next().as_deref(), Some("working"));
        assert_eq!(lines.next().as_deref(), Some("done"));
        drop(input);
        group.wait().expect("it ends");
        storm.wait().expect("it ends with the group");
    });
}

#[test]
fn uploaders_survive_a_closed_terminal() {
    let receiver = Receiver::start().expect("a receiver");
    twenty(&receiver, |user| {
        // `script` provides a terminal and closes it when the tool ends.
        let frob = example("frob");
        let output = user
            .command("script")
            .args(["-qefc", &format!("{} build", frob.display()), "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .expect("`script` of util-linux");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}

/// The run of a tool with this end, and the content of the tool's own file.
fn ends(end: &str, code: i32) -> (String, String) {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let output = user.run_frob(["build", "--spans", "1", "--end", end]);
    assert_eq!(output.status.code(), Some(code), "{end}");
    assert!(output.stderr.is_empty(), "{end}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(user.flush(), "{end}");
    let mine = std::fs::read_to_string(user.home().join("mine")).unwrap_or_default();
    (only_tree(&receiver), mine)
}

#[test]
fn a_forked_child_leaves_its_parents_run_alone() {
    let root = "\"frob build\" process.executable.name=frob process.exit.code=0 frob.command=build\n";
    let step = "  step frob.number=0 frob.color=auto\n    inner frob.number=0\n";
    assert_eq!(ends("fork", 0).0, format!("{root}{step}{step}"));
    assert_eq!(ends("fork-exit", 0).0, format!("{root}{step}"));
}

#[test]
fn a_child_forked_before_the_command_records_nothing() {
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    assert_eq!(user.run_frob(["fork-first"]).status.code(), None);
    assert!(user.pending_runs().is_empty(), "{:?}", user.pending_runs());
}

#[test]
fn a_tool_that_replaces_its_descriptors_finds_its_files_unchanged() {
    let (tree, mine) = ends("close-all", 4);
    assert_eq!(mine, "mine\n".repeat(4));
    // Spans that were written before are on disk, and the run was cut off.
    assert!(tree.contains("error.type=cut_off") && tree.matches("step").count() == 1, "{tree}");
    let (tree, mine) = ends("replace-all", 4);
    assert_eq!(mine, "mine\n");
    assert!(tree.contains("error.type=cut_off") && tree.matches("step").count() == 1, "{tree}");
}

#[test]
fn a_daemon_is_reported_as_the_command_that_started_it() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let held = user.home().join("held");
    std::fs::write(&held, "").expect("a file");
    assert_eq!(user.run_frob(["build", "--spans", "1", "--end", "daemon"]).status.code(), Some(0));
    let tree = only_tree(&receiver);
    assert!(tree.contains("process.exit.code=0") && tree.matches("step").count() == 1, "{tree}");
    std::fs::remove_file(held).expect("it is there");
    let mine = user.home().join("mine");
    eventually("the daemon ends", || {
        std::fs::read_to_string(&mine).is_ok_and(|text| text.ends_with("too\n"))
    });
    assert_eq!(std::fs::read_to_string(mine).expect("its file"), "mine\nmine too\n");
    assert!(user.flush() && user.pending_runs().is_empty());
    assert_eq!(receiver.spans().len(), 3);
}

#[test]
fn a_dead_parents_run_is_recovered_while_its_child_lives() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let held = user.home().join("held");
    std::fs::write(&held, "").expect("a file");
    assert_eq!(user.run_frob(["build", "--spans", "1", "--end", "killed-with-child"]).status.code(), None);
    assert!(user.flush());
    assert!(only_tree(&receiver).contains("error.type=cut_off"));
    std::fs::remove_file(held).expect("it is there");
}

#[test]
fn scarce_descriptors_are_left_to_the_tool() {
    for (limit, recorded) in [(4, 0), (8, 0), (64, 1)] {
        let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
        let script = format!("ulimit -n {limit}; exec $FROB build --end own-file");
        let output = shell(&user, &script);
        assert!(output.status.success(), "{limit}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(user.pending_runs().len(), recorded, "{limit}");
    }
}

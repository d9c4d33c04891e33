//! Each command is a run, and everything outside of a command is not.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Duration;

use tool_telemetry_receiver::Receiver;

use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually, is_root, only_tree};

fn start() -> (Receiver, TestUser) {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    (receiver, user)
}

/// The trees of all traces, sorted.
fn trees(receiver: &Receiver, number: usize) -> Vec<String> {
    let traces = receiver.wait_for(number, TIMEOUT).expect("they arrive");
    let mut trees: Vec<String> = traces.iter().map(|trace| trace.tree()).collect();
    trees.sort();
    trees
}

/// The line of the root span.
fn root(command: &str, code: u8) -> String {
    let (mark, error) = if code == 0 { ("", "") } else { ("[error] ", " error.type=_OTHER") };
    format!(
        "\"frob {command}\" {mark}process.executable.name=frob process.exit.code={code}{error} frob.command={command}\n"
    )
}

const STEP: &str = "  step frob.number=0 frob.color=auto\n    inner frob.number=0\n";

#[test]
fn success_before_any_command_is_no_run() {
    let (receiver, user) = start();
    let before = user.files();
    for arguments in [&["--version"][..], &["no-command", "0"]] {
        assert!(user.run_frob(arguments).status.success());
        assert_eq!(user.files(), before, "{arguments:?}");
    }
    assert!(receiver.requests().is_empty());
}

#[test]
fn failure_before_any_command_is_a_run_with_its_spans() {
    let (receiver, user) = start();
    assert_eq!(user.run_frob(["no-command", "7"]).status.code(), Some(7));
    let expected =
        format!("{}{STEP}", root("", 7).replace("\"frob \"", "frob").replace(" frob.command=", ""));
    assert_eq!(only_tree(&receiver), expected);
}

#[test]
fn spans_between_commands_belong_to_no_run() {
    let (receiver, user) = start();
    assert!(user.run_frob(["around"]).status.success());
    let build = root("build", 0).replace(" frob.command", " frob.color=always frob.command");
    let test = root("test", 0).replace(" frob.command", " frob.color=never frob.command");
    assert_eq!(trees(&receiver, 2), [format!("{build}{STEP}"), test]);
}

#[test]
fn status_show_and_flush_within_a_command_change_nothing() {
    for word in ["status", "show", "flush"] {
        let (receiver, user) = start();
        assert!(user.run_frob(["asks", word]).status.success(), "{word}");
        assert_eq!(only_tree(&receiver), format!("{}{STEP}{STEP}", root("build", 0)), "{word}");
        eventually("it is counted", || user.count("delivered") == 1);
        assert_eq!(user.count("dropped"), 0, "{}", user.status());
    }
}

#[test]
fn deleting_runs_within_a_command_includes_its_own() {
    for (word, reason) in [("off", "opted_out"), ("purge", "purged"), ("login", "discarded")] {
        let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
        assert!(user.run_frob(["asks", word]).status.success(), "{word}");
        assert!(user.pending_runs().is_empty(), "{word}");
        assert_eq!(user.dropped(reason), 1, "{word}: {}", user.status());
        assert_eq!((user.count("dropped"), user.count("pending")), (1, 0), "{word}");
    }
}

#[test]
fn discard_before_any_command_prevents_a_run() {
    let (receiver, user) = start();
    let before = user.files();
    assert_eq!(user.run_frob(["discards-first"]).status.code(), Some(2));
    assert_eq!(user.files(), before);
    assert!(receiver.requests().is_empty());
}

#[test]
fn record_and_discard_apply_to_the_run_of_the_entered_span() {
    let (receiver, user) = start();
    assert!(user.run_frob(["discards-one"]).status.success());
    assert_eq!(only_tree(&receiver), root("build", 0));
    assert_eq!(user.dropped("discarded"), 1, "{}", user.status());
}

#[test]
fn commands_after_off_make_no_file() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    assert!(user.run_frob(["off-then-commands"]).status.success());
    assert!(user.pending_runs().is_empty());
    assert_eq!(user.count("dropped"), 0, "{}", user.status());
}

#[test]
fn off_before_the_first_command_makes_no_file() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    let mut shell = user.frob_command(["shell"]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut output = BufReader::new(shell.stdout.take().expect("a pipe")).lines();
    assert_eq!(output.next().expect("a line").expect("text"), "ready");
    // A first command that begins half a second after the start reads the choice again.
    std::thread::sleep(Duration::from_millis(600));
    assert!(user.run_frob(["telemetry", "off"]).status.success());
    let before = user.files();
    writeln!(shell.stdin.take().expect("a pipe"), "build 0").expect("it reads");
    assert!(shell.wait().expect("it ends").success());
    assert_eq!(user.files(), before);
    assert_eq!(user.count("dropped"), 0, "there was nothing to drop: {}", user.status());
}

#[test]
fn a_shell_reports_each_command_as_it_ends() {
    let (receiver, user) = start();
    let mut shell = user.frob_command(["shell"]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let mut lines = shell.stdin.take().expect("a pipe");
    writeln!(lines, "build 0").expect("it reads");
    assert_eq!(only_tree(&receiver), format!("{}{STEP}", root("build", 0)));
    writeln!(lines, "test 3").expect("it reads");
    let ids = receiver.wait_for(2, TIMEOUT).expect("while the shell is running");
    assert_ne!(ids[0].trace_id(), ids[1].trace_id());
    eventually("both are counted", || user.count("delivered") == 2);
    // `off` applies from the next command on, also in a process that is already running.
    assert!(user.run_frob(["telemetry", "off"]).status.success());
    writeln!(lines, "run 0").expect("it reads");
    drop(lines);
    assert!(shell.wait().expect("it ends").success());
    assert!(user.pending_runs().is_empty());
    assert_eq!(user.count("dropped"), 0, "{}", user.status());
    assert_eq!(
        trees(&receiver, 2),
        [format!("{}{STEP}", root("build", 0)), format!("{}{STEP}", root("test", 3))]
    );
}

#[test]
fn spans_belong_to_their_parents_run_or_the_threads_innermost_command() {
    let (receiver, user) = start();
    assert!(user.run_frob(["nested"]).status.success());
    let build = "  step frob.number=1\n    inner\n    step frob.number=3\n";
    let test = "  step frob.number=2\n";
    assert_eq!(
        trees(&receiver, 2),
        [format!("{}{build}", root("build", 0)), format!("{}{test}", root("test", 0))]
    );
}

#[test]
fn overlapping_commands_keep_their_own_spans() {
    let (receiver, user) = start();
    assert!(user.run_frob(["overlapping"]).status.success());
    let own = |number: u32| format!("  step frob.number={number}\n    inner\n");
    assert_eq!(
        trees(&receiver, 2),
        [format!("{}{}", root("build", 0), own(5)), format!("{}{}", root("test", 0), own(4))]
    );
}

#[test]
fn a_span_that_outlives_its_command_is_dropped_and_its_children_are_kept() {
    let (receiver, user) = start();
    assert!(user.run_frob(["late"]).status.success());
    assert_eq!(trees(&receiver, 2), [root("build", 0), format!("{}  step frob.number=2\n", root("test", 0))]);
}

#[test]
fn an_abandoned_command_is_reported_when_the_next_one_begins() {
    let (receiver, user) = start();
    assert!(user.run_frob(["left"]).status.success());
    let cut_off = root("test", 7).replace("process.exit.code=7 error.type=_OTHER", "error.type=cut_off");
    let mut expected = [root("build", 101), cut_off, root("run", 0)];
    expected.sort();
    assert_eq!(trees(&receiver, 3), expected);
}

#[test]
fn commands_over_the_concurrency_limit_are_counted() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    assert!(user.run_frob(["crowd", "70"]).status.success());
    assert_eq!((user.count("pending"), user.dropped("limit_open")), (65, 6), "{}", user.status());
}

#[cfg(target_os = "linux")]
#[test]
fn many_commands_use_bounded_memory_files_and_uploaders() {
    const MANY: u64 = 2_000;

    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint);
    std::fs::write(user.home().join(".frob-uploaders"), "").expect("a file");
    let run_many = |commands: u64| {
        String::from_utf8(user.run_frob(["many", &commands.to_string()]).stdout).expect("text")
    };
    let number_in = |printed: &str, name: &str| -> u64 {
        let line = printed.lines().find_map(|line| line.strip_prefix(name)).expect("the line is printed");
        line.split_whitespace().next().expect("a number").parse().expect("a number")
    };
    let (few, printed) = (run_many(10), run_many(MANY));
    let number = |name: &str| number_in(&printed, name);
    assert!(number("VmRSS:") < number_in(&few, "VmRSS:") + 4_000, "{few}\n{printed}");
    assert_eq!(number("more files:"), 0, "{printed}");
    assert!(number("children: ") <= 2, "{printed}");
    user.flush();
    let ended = user.count("delivered") + user.count("dropped") + user.count("pending");
    assert_eq!(ended, 10 + MANY, "{}", user.status());
    let uploaders = std::fs::read_to_string(user.home().join(".frob-uploaders")).expect("a file");
    assert!(uploaders.lines().count() < 100, "{} uploaders", uploaders.lines().count());
    eventually("they end", || user.uploaders().is_empty());
}

/// The zombies of a process.
#[cfg(target_os = "linux")]
fn ended_children(process: u32) -> usize {
    let is_one = |status: &String| {
        let fields: Vec<&str> = status.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
        // State, parent, and number of threads (proc_pid_stat(5)).
        fields.len() > 17 && (fields[0], fields[1], fields[17]) == ("Z", process.to_string().as_str(), "1")
    };
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    let statuses = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    statuses.filter(is_one).count()
}

#[cfg(target_os = "linux")]
#[test]
fn a_long_lived_process_leaves_at_most_one_zombie() {
    let (receiver, user) = start();
    let mut shell = user.frob_command(["shell"]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let mut lines = shell.stdin.take().expect("a pipe");
    for number in 1..=3 {
        writeln!(lines, "build 0").expect("it reads");
        receiver.wait_for(number, TIMEOUT).expect("it arrives");
        eventually("its uploader alone has ended", || ended_children(shell.id()) == 1);
    }
    drop(lines);
    assert!(shell.wait().expect("it ends").success());
}

#[cfg(unix)]
#[test]
fn exec_reports_the_run_and_nests_the_new_programs_run_under_it() {
    let (receiver, user) = start();
    let frob = crate::test_user::example("frob");
    let output = user.run_frob(["exec", frob.to_str().expect("text"), "test", "--spans", "0"]);
    assert_eq!(output.stdout, b"working\n");
    receiver.wait_until(|receiver| receiver.spans().len() == 4, TIMEOUT).expect("they arrive");
    let run = root("run", 0).replace("process.exit.code=0 ", "");
    let below = root("test", 0).lines().map(|line| format!("  {line}\n")).collect::<String>();
    assert_eq!(only_tree(&receiver), format!("{run}{STEP}{below}"));
}

#[cfg(unix)]
#[test]
fn a_failed_exec_continues_the_run() {
    // The backoff keeps an uploader from sending the run before `exec` fails.
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint()).backing_off(&receiver.http_endpoint());
    let output = user.run_frob(["exec", "/no/such/program"]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(127), &b"NotFound [Open]\n"[..]));
    assert!(user.flush());
    assert_eq!(only_tree(&receiver), format!("{}{STEP}{STEP}", root("run", 127)));
    assert_eq!((user.count("delivered"), user.count("pending")), (1, 0), "{}", user.status());
}

#[cfg(unix)]
#[test]
fn an_unreadable_choice_at_the_end_keeps_the_run() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    let ended = user.run_frob(["build", "--spans", "1", "--end", "takes-all"]);
    assert_eq!(ended.status.code(), Some(3));
    assert_eq!((user.count("pending"), user.count("dropped")), (1, 0), "{}", user.status());
    assert!(user.pending_runs().iter().all(|run| run.extension().is_some_and(|it| it == "jsonl")));
}

#[cfg(target_os = "linux")]
#[test]
fn changing_the_user_or_root_keeps_the_exit_code() {
    if !is_root("a process that changes its user or root") {
        return;
    }
    for end in ["other-user", "other-root"] {
        let (receiver, user) = start();
        assert_eq!(user.run_frob(["build", "--spans", "1", "--end", end]).status.code(), Some(3), "{end}");
        assert!(user.flush(), "{end}");
        assert_eq!(only_tree(&receiver), format!("{}{STEP}", root("build", 3)), "{end}");
        assert!(user.pending_runs().is_empty(), "{end}");
        assert_eq!(user.count("dropped"), 0, "{end}");
    }
}

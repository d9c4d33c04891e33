//! Each command is a run; what is none is not reported, and looking at runs changes nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Duration;

use tool_telemetry_receiver::Receiver;

use crate::person::{NOBODY, PATIENCE, Person, eventually, is_root, only_tree};

fn start() -> (Receiver, Person) {
    let receiver = Receiver::start().expect("a receiver");
    let person = Person::sending_to(&receiver.http_endpoint());
    (receiver, person)
}

/// The trees of all traces, sorted.
fn trees(receiver: &Receiver, number: usize) -> Vec<String> {
    let traces = receiver.wait_for(number, PATIENCE).expect("they arrive");
    let mut trees: Vec<String> = traces.iter().map(|trace| trace.tree()).collect();
    trees.sort();
    trees
}

/// The root span's line.
fn root(command: &str, code: u8) -> String {
    let (mark, error) = if code == 0 { ("", "") } else { ("[error] ", " error.type=_OTHER") };
    format!(
        "frob {mark}process.executable.name=frob process.exit.code={code}{error} frob.command={command}\n"
    )
}

const STEP: &str = "  step frob.number=0 frob.color=auto\n    inner frob.number=0\n";

#[test]
fn what_ends_well_before_any_command_is_no_run_and_leaves_no_file() {
    let (receiver, person) = start();
    let before = person.files();
    for arguments in [&["--version"][..], &["no-command", "0"]] {
        assert!(person.frob(arguments).status.success());
        assert_eq!(person.files(), before, "{arguments:?}");
    }
    assert!(receiver.requests().is_empty());
}

#[test]
fn what_ends_in_error_before_any_command_is_a_run_with_its_spans() {
    let (receiver, person) = start();
    assert_eq!(person.frob(["no-command", "7"]).status.code(), Some(7));
    let expected = format!("{}{STEP}", root("", 7).replace(" frob.command=", ""));
    assert_eq!(only_tree(&receiver), expected);
}

#[test]
fn what_is_told_before_a_command_belongs_to_it_and_spans_between_commands_to_none() {
    let (receiver, person) = start();
    assert!(person.frob(["around"]).status.success());
    let build = root("build", 0).replace(" frob.command", " frob.color=always frob.command");
    let test = root("test", 0).replace(" frob.command", " frob.color=never frob.command");
    assert_eq!(trees(&receiver, 2), [format!("{build}{STEP}"), test]);
}

#[test]
fn looking_at_runs_changes_nothing() {
    for word in ["status", "show", "flush"] {
        let (receiver, person) = start();
        assert!(person.frob(["asks", word]).status.success(), "{word}");
        assert_eq!(only_tree(&receiver), format!("{}{STEP}{STEP}", root("build", 0)), "{word}");
        eventually("it is counted", || person.count("delivered") == 1);
        assert_eq!(person.count("dropped"), 0, "{}", person.status());
    }
}

#[test]
fn what_is_deleted_within_a_command_is_its_own_run_too_under_the_true_reason() {
    for (word, reason) in [("off", "opted_out"), ("purge", "purged"), ("login", "discarded")] {
        let person = Person::sending_to(NOBODY).backing_off(NOBODY);
        assert!(person.frob(["asks", word]).status.success(), "{word}");
        assert!(person.waiting().is_empty(), "{word}");
        assert_eq!(person.dropped(reason), 1, "{word}: {}", person.status());
        assert_eq!((person.count("dropped"), person.count("pending")), (1, 0), "{word}");
    }
}

#[test]
fn what_the_author_discards_before_a_command_is_no_run_also_in_error() {
    let (receiver, person) = start();
    let before = person.files();
    assert_eq!(person.frob(["discards-first"]).status.code(), Some(2));
    assert_eq!(person.files(), before);
    assert!(receiver.requests().is_empty());
}

#[test]
fn what_a_thread_tells_and_discards_is_the_run_of_the_span_that_it_entered() {
    let (receiver, person) = start();
    assert!(person.frob(["discards-one"]).status.success());
    assert_eq!(only_tree(&receiver), root("build", 0));
    assert_eq!(person.dropped("discarded"), 1, "{}", person.status());
}

#[test]
fn after_off_no_command_of_the_process_makes_a_file() {
    let person = Person::sending_to(NOBODY).backing_off(NOBODY);
    assert!(person.frob(["off-then-commands"]).status.success());
    assert!(person.waiting().is_empty());
    assert_eq!(person.count("dropped"), 0, "{}", person.status());
}

#[test]
fn off_that_is_said_before_the_first_command_of_a_process_makes_no_file() {
    let person = Person::sending_to(NOBODY).backing_off(NOBODY);
    let mut shell = person.frob_command(["shell"]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut said = BufReader::new(shell.stdout.take().expect("a pipe")).lines();
    assert_eq!(said.next().expect("a line").expect("text"), "ready");
    // As long as a person needs: from half a second on the first command asks again.
    std::thread::sleep(Duration::from_millis(600));
    assert!(person.frob(["telemetry", "off"]).status.success());
    let before = person.files();
    writeln!(shell.stdin.take().expect("a pipe"), "build 0").expect("it reads");
    assert!(shell.wait().expect("it ends").success());
    assert_eq!(person.files(), before);
    assert_eq!(person.count("dropped"), 0, "there was nothing to drop: {}", person.status());
}

#[test]
fn a_shell_reports_each_command_when_it_ends() {
    let (receiver, person) = start();
    let mut shell = person.frob_command(["shell"]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let mut lines = shell.stdin.take().expect("a pipe");
    writeln!(lines, "build 0").expect("it reads");
    assert_eq!(only_tree(&receiver), format!("{}{STEP}", root("build", 0)));
    writeln!(lines, "test 3").expect("it reads");
    let ids = receiver.wait_for(2, PATIENCE).expect("while the shell goes on");
    assert_ne!(ids[0].trace_id(), ids[1].trace_id());
    eventually("both are counted", || person.count("delivered") == 2);
    // Off means off from the next command on, also in a process that started before.
    assert!(person.frob(["telemetry", "off"]).status.success());
    writeln!(lines, "run 0").expect("it reads");
    drop(lines);
    assert!(shell.wait().expect("it ends").success());
    assert!(person.waiting().is_empty());
    assert_eq!(person.count("dropped"), 0, "{}", person.status());
    assert_eq!(
        trees(&receiver, 2),
        [format!("{}{STEP}", root("build", 0)), format!("{}{STEP}", root("test", 3))]
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );
}

#[test]
fn spans_belong_to_the_innermost_command_of_their_thread_or_to_that_of_the_span_above() {
    let (receiver, person) = start();
    assert!(person.frob(["nested"]).status.success());
    let build = "  step frob.number=1\n    inner\n    step frob.number=3\n";
    let test = "  step frob.number=2\n";
    assert_eq!(
        trees(&receiver, 2),
        [format!("{}{build}", root("build", 0)), format!("{}{test}", root("test", 0))]
    );
}

#[test]
fn of_commands_that_overlap_each_has_its_own_spans() {
    let (receiver, person) = start();
    assert!(person.frob(["overlapping"]).status.success());
    let own = |number: u32| format!("  step frob.number={number}\n    inner\n");
    assert_eq!(
        trees(&receiver, 2),
        [format!("{}{}", root("build", 0), own(5)), format!("{}{}", root("test", 0), own(4))]
    );
}

#[test]
fn a_span_that_closes_after_its_command_is_in_no_run_and_what_is_below_it_in_the_one_of_then() {
    let (receiver, person) = start();
    assert!(person.frob(["late"]).status.success());
    assert_eq!(trees(&receiver, 2), [root("build", 0), format!("{}  step frob.number=2\n", root("test", 0))]);
}

#[test]
fn a_command_that_is_left_is_reported_when_the_next_one_begins() {
    let (receiver, person) = start();
    assert!(person.frob(["left"]).status.success());
    let cut_off = root("test", 7).replace("process.exit.code=7 error.type=_OTHER", "error.type=cut_off");
    let mut expected = [root("build", 101), cut_off, root("run", 0)];
    expected.sort();
    assert_eq!(trees(&receiver, 3), expected);
}

#[test]
fn more_commands_at_once_than_are_recorded_are_counted() {
    let person = Person::sending_to(NOBODY).backing_off(NOBODY);
    assert!(person.frob(["crowd", "70"]).status.success());
    assert_eq!((person.count("pending"), person.dropped("limit_open")), (65, 6), "{}", person.status());
}

#[test]
fn many_commands_of_one_process_take_bounded_memory_files_and_uploaders() {
    const MANY: u64 = 2_000;

    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint);
    std::fs::write(person.home().join(".frob-uploaders"), "").expect("a file");
    let ask =
        |commands: u64| String::from_utf8(person.frob(["many", &commands.to_string()]).stdout).expect("text");
    let number_in = |told: &str, name: &str| -> u64 {
        let line = told.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
        line.split_whitespace().next().expect("a number").parse().expect("a number")
    };
    let (few, told) = (ask(10), ask(MANY));
    let number = |name: &str| number_in(&told, name);
    assert!(number("VmRSS:") < number_in(&few, "VmRSS:") + 4_000, "{few}\n{told}");
    assert_eq!(number("more files:"), 0, "{told}");
    assert!(number("children: ") <= 2, "{told}");
    person.flush();
    let ended = person.count("delivered") + person.count("dropped") + person.count("pending");
    assert_eq!(ended, 10 + MANY, "{}", person.status());
    let uploaders = std::fs::read_to_string(person.home().join(".frob-uploaders")).expect("a file");
    assert!(uploaders.lines().count() < 100, "{} uploaders", uploaders.lines().count());
    eventually("they end", || person.uploaders().is_empty());
}

/// Children of a process that have ended, with all their threads, and that it has not asked after.
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

#[test]
fn a_process_that_goes_on_leaves_no_more_than_one_ended_uploader() {
    let (receiver, person) = start();
    let mut shell = person.frob_command(["shell"]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let mut lines = shell.stdin.take().expect("a pipe");
    for number in 1..=3 {
        writeln!(lines, "build 0").expect("it reads");
        receiver.wait_for(number, PATIENCE).expect("it arrives");
        eventually("its uploader alone has ended", || ended_children(shell.id()) == 1);
    }
    drop(lines);
    assert!(shell.wait().expect("it ends").success());
}

#[test]
fn a_tool_that_becomes_another_program_reports_its_run_and_the_child_belongs_to_it() {
    let (receiver, person) = start();
    let frob = crate::person::example("frob");
    let output = person.frob(["exec", frob.to_str().expect("text"), "test", "--spans", "0"]);
    assert_eq!(output.stdout, b"working\n");
    receiver.wait_until(|receiver| receiver.spans().len() == 4, PATIENCE).expect("they arrive");
    let run = root("run", 0).replace("process.exit.code=0 ", "");
    let below = root("test", 0).lines().map(|line| format!("  {line}\n")).collect::<String>();
    assert_eq!(only_tree(&receiver), format!("{run}{STEP}{below}"));
}

#[test]
fn a_tool_that_cannot_become_another_program_goes_on_and_so_does_its_run() {
    // No uploader is in the way: the moment in which it could be faster is as long as `exec` takes to fail.
    let receiver = Receiver::start().expect("a receiver");
    let person = Person::sending_to(&receiver.http_endpoint()).backing_off(&receiver.http_endpoint());
    let output = person.frob(["exec", "/no/such/program"]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(127), &b"NotFound [Open]\n"[..]));
    assert!(person.flush());
    assert_eq!(only_tree(&receiver), format!("{}{STEP}{STEP}", root("run", 127)));
    assert_eq!((person.count("delivered"), person.count("pending")), (1, 0), "{}", person.status());
}

#[test]
fn a_choice_that_cannot_be_read_when_the_run_ends_is_no_off_and_the_run_waits() {
    let person = Person::sending_to(NOBODY).backing_off(NOBODY);
    let ended = person.frob(["build", "--spans", "1", "--end", "takes-all"]);
    assert_eq!(ended.status.code(), Some(3));
    assert_eq!((person.count("pending"), person.count("dropped")), (1, 0), "{}", person.status());
    assert!(person.waiting().iter().all(|run| run.extension().is_some_and(|it| it == "jsonl")));
}

#[test]
fn a_process_that_changed_its_user_or_root_is_reported_with_its_exit_code() {
    if !is_root("a process that changes its user or root") {
        return;
    }
    for end in ["other-user", "other-root"] {
        let (receiver, person) = start();
        assert_eq!(person.frob(["build", "--spans", "1", "--end", end]).status.code(), Some(3), "{end}");
        assert!(person.flush(), "{end}");
        assert_eq!(only_tree(&receiver), format!("{}{STEP}", root("build", 3)), "{end}");
        assert!(person.waiting().is_empty(), "{end}");
        assert_eq!(person.count("dropped"), 0, "{end}");
    }
}

#[test]
fn what_waits_is_not_sent_while_the_choice_cannot_be_read() {
    let (receiver, person) = start();
    let person = person.backing_off(&receiver.http_endpoint());
    person.frob(["build"]);
    let choice = person.home().join(".config/frob/telemetry.toml");
    let said = std::fs::read(&choice).expect("a choice");
    std::fs::write(&choice, "telemetry = \"o").expect("it is ours");
    assert!(!person.flush());
    assert_eq!((person.count("pending"), person.count("dropped")), (1, 0), "{}", person.status());
    assert!(receiver.requests().is_empty());
    std::fs::write(&choice, said).expect("it is ours");
    assert!(person.flush());
    only_tree(&receiver);
}

//! Every wish, and what is observed of it: the files that a command leaves, the processes that it starts, the sockets that
//! it opens, and the calls that it makes more than a program which never calls this crate.

use crate::precedence::{SAW_NOTICE, under};
use crate::test_user::{DEAD_ENDPOINT, TestUser, example, is_root};

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
struct Observed {
    /// Files and directories in the home that were not there before.
    files: usize,
    /// Runs that wait.
    runs: usize,
    /// Programs that were started.
    processes: usize,
    /// Sockets that the command opened.
    sockets: usize,
    /// Sockets that what it started opened.
    sockets_elsewhere: usize,
    /// Calls of the command about files, descriptors, the network and processes, more than the bare program makes.
    /// Without `read`: the C library reads `/proc/self/maps`, which differs in each run, in more or fewer pieces.
    calls: usize,
}

/// How a wish is expressed.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Variable(&'static str, &'static str),
    Policy(&'static str),
    Choice(&'static str),
    /// Nothing was said: no notice has been shown, and nothing here is a terminal.
    NoTerminal,
}

/// What each row leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// Not one call more.
    Absent,
    /// It looked at files, and wrote nothing.
    NoTrace,
    /// A run, and an uploader is started.
    ARun,
}

const ON: &str = "telemetry = \"on\"\nSAW_NOTICE";

const TABLE: [(&str, Wish, Leaves); 18] = [
    ("the author's variable", Wish::Variable("FROB_TELEMETRY_OPTOUT", "1"), Leaves::Absent),
    ("the tool's variable", Wish::Variable("FROB_TELEMETRY", "off"), Leaves::Absent),
    ("the tool's variable, misspelt", Wish::Variable("FROB_TELEMETRY", "fasle"), Leaves::Absent),
    ("the variable of all tools", Wish::Variable("DO_NOT_TRACK", "1"), Leaves::Absent),
    ("OpenTelemetry's switch", Wish::Variable("OTEL_SDK_DISABLED", "true"), Leaves::Absent),
    ("OpenTelemetry's exporter", Wish::Variable("OTEL_TRACES_EXPORTER", "none"), Leaves::Absent),
    ("policy: off for all", Wish::Policy("telemetry = \"off\"\n"), Leaves::NoTrace),
    ("policy: off for the tool", Wish::Policy("[tool.frob]\ntelemetry = \"off\"\n"), Leaves::NoTrace),
    ("policy: misspelt key", Wish::Policy("telemtry = \"off\"\n"), Leaves::NoTrace),
    ("policy: misspelt name", Wish::Policy("[tool.Frob]\ntelemetry = \"off\"\n"), Leaves::NoTrace),
    ("policy: missing quote", Wish::Policy("telemetry = \"off\n"), Leaves::NoTrace),
    ("policy: about another tool", Wish::Policy("[tool.other]\ntelemetry = \"off\"\n"), Leaves::ARun),
    ("choice: off", Wish::Choice("telemetry = \"off\"\n"), Leaves::NoTrace),
    ("choice: damaged", Wish::Choice("telemetry = \"o"), Leaves::NoTrace),
    ("choice: on", Wish::Choice(ON), Leaves::ARun),
    ("choice: on, in CI", Wish::Variable("CI", "1"), Leaves::ARun),
    ("choice: on, a variable that says no", Wish::Variable("DO_NOT_TRACK", "0"), Leaves::ARun),
    ("no terminal, no notice yet", Wish::NoTerminal, Leaves::NoTrace),
];

/// Runs the tool once as it is after this wish, and counts.
fn observe(wish: Wish) -> Observed {
    let mut user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT);
    let mut choice = ON;
    let mut policy = "";
    match wish {
        Wish::Variable(name, value) => user = user.with(name, value),
        Wish::Policy(text) => policy = text,
        Wish::Choice(text) => choice = text,
        // The notice went into a pipe a moment ago, and is not due again.
        Wish::NoTerminal => choice = "",
    }
    let config = user.home().join(".config/frob");
    std::fs::create_dir_all(&config).expect("a folder");
    std::fs::write(config.join("telemetry.toml"), choice.replace("SAW_NOTICE", SAW_NOTICE)).expect("a file");
    if matches!(wish, Wish::NoTerminal) {
        std::fs::remove_file(config.join("telemetry.toml")).expect("it is there");
        user.run_frob(["build"]);
    }
    let list = tempfile::tempdir().expect("a folder");
    let trace = |telemetry: &str| {
        let list = list.path().join(telemetry);
        let command = format!(
            "strace -f -qq -e trace=%file,%desc,%network,%process -o {} {} stack before-plain --telemetry {telemetry} \
             >/dev/null",
            list.display(),
            example("frob").display()
        );
        under(policy, &user, &command);
        std::fs::read_to_string(&list).expect("the list")
    };
    let bare = trace("bare");
    let before = user.files().len();
    let with = trace("yes");
    let is_socket = |line: &&str| line.contains(" socket(");
    let own = |text: &str| -> Vec<String> {
        let id = text.split(' ').next().expect("an id");
        text.lines().filter(|line| line.starts_with(id)).map(str::to_owned).collect()
    };
    let calls = |text: &str| own(text).iter().filter(|line| !line.contains(" read(")).count();
    let sockets = own(&with).iter().filter(|line| is_socket(&line.as_str())).count();
    Observed {
        files: user.files().len() - before,
        runs: user.pending_runs().len(),
        processes: with.lines().filter(|line| line.contains(" execve(")).count() - 1,
        sockets,
        sockets_elsewhere: with.lines().filter(is_socket).count() - sockets,
        calls: calls(&with).saturating_sub(calls(&bare)),
    }
}

#[expect(clippy::print_stdout, reason = "the table is for people, with --nocapture")]
#[test]
fn every_setting_has_the_expected_effects() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    println!("| wish | files | runs | processes | its sockets | theirs | calls |\n|{}", " --- |".repeat(7));
    for (name, wish, leaves) in TABLE {
        let seen = observe(wish);
        println!(
            "| {name} | {} | {} | {} | {} | {} | +{} |",
            seen.files, seen.runs, seen.processes, seen.sockets, seen.sockets_elsewhere, seen.calls
        );
        assert_eq!(seen.sockets, 0, "{name}: no command opens one");
        let nothing = (seen.files, seen.runs, seen.processes, seen.sockets_elsewhere) == (0, 0, 0, 0);
        match leaves {
            Leaves::Absent => assert!(nothing && seen.calls == 0, "{name}: {seen:?}"),
            Leaves::NoTrace => assert!(nothing && seen.calls > 0, "{name}: {seen:?}"),
            Leaves::ARun => {
                assert!(seen.files > 0 && seen.runs == 1 && seen.processes == 1, "{name}: {seen:?}")
            }
        }
    }
}

//! What each setting leaves: files, processes, sockets, and system calls beyond those of a program that never
//! calls this crate.

use crate::precedence::{SAW_NOTICE, with_policy};
use crate::test_user::{DEAD_ENDPOINT, TestUser, example, is_root};

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
struct Effects {
    /// New files and directories in the home directory.
    files: usize,
    /// Pending runs.
    runs: usize,
    /// Started programs.
    processes: usize,
    /// Sockets opened by the command.
    sockets: usize,
    /// Sockets opened by the programs that it started.
    other_sockets: usize,
    /// The command's extra system calls about files, descriptors, the network, and processes. `read` is not
    /// counted, because the C library reads `/proc/self/maps` in a varying number of pieces.
    calls: usize,
}

/// How telemetry is set.
#[derive(Debug, Clone, Copy)]
enum Setting {
    Variable(&'static str, &'static str),
    Policy(&'static str),
    Choice(&'static str),
    /// Nothing is set, no notice has been shown, and there is no terminal.
    NoTerminal,
}

/// The expected effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// No extra system call.
    NoCall,
    /// Files are read, and nothing is written.
    NoTrace,
    /// A run is recorded, and an uploader starts.
    RecordedRun,
}

const ON: &str = "telemetry = \"on\"\nSAW_NOTICE";

const TABLE: [(&str, Setting, Effect); 18] = [
    ("the author's variable", Setting::Variable("FROB_TELEMETRY_OPTOUT", "1"), Effect::NoCall),
    ("the tool's variable", Setting::Variable("FROB_TELEMETRY", "off"), Effect::NoCall),
    ("the tool's variable, misspelt", Setting::Variable("FROB_TELEMETRY", "fasle"), Effect::NoCall),
    ("the variable of all tools", Setting::Variable("DO_NOT_TRACK", "1"), Effect::NoCall),
    ("OpenTelemetry's switch", Setting::Variable("OTEL_SDK_DISABLED", "true"), Effect::NoCall),
    ("OpenTelemetry's exporter", Setting::Variable("OTEL_TRACES_EXPORTER", "none"), Effect::NoCall),
    ("policy: off for all", Setting::Policy("telemetry = \"off\"\n"), Effect::NoTrace),
    ("policy: off for the tool", Setting::Policy("[tool.frob]\ntelemetry = \"off\"\n"), Effect::NoTrace),
    ("policy: misspelt key", Setting::Policy("telemtry = \"off\"\n"), Effect::NoTrace),
    ("policy: misspelt name", Setting::Policy("[tool.Frob]\ntelemetry = \"off\"\n"), Effect::NoTrace),
    ("policy: missing quote", Setting::Policy("telemetry = \"off\n"), Effect::NoTrace),
    (
        "policy: about another tool",
        Setting::Policy("[tool.other]\ntelemetry = \"off\"\n"),
        Effect::RecordedRun,
    ),
    ("choice: off", Setting::Choice("telemetry = \"off\"\n"), Effect::NoTrace),
    ("choice: damaged", Setting::Choice("telemetry = \"o"), Effect::NoTrace),
    ("choice: on", Setting::Choice(ON), Effect::RecordedRun),
    ("choice: on, in CI", Setting::Variable("CI", "1"), Effect::RecordedRun),
    ("choice: on, DO_NOT_TRACK=0", Setting::Variable("DO_NOT_TRACK", "0"), Effect::RecordedRun),
    ("no terminal, no notice yet", Setting::NoTerminal, Effect::NoTrace),
];

/// Runs the tool once with this setting, and counts.
fn observe(setting: Setting) -> Effects {
    let mut user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT);
    let mut choice = ON;
    let mut policy = "";
    match setting {
        Setting::Variable(name, value) => user = user.with(name, value),
        Setting::Policy(text) => policy = text,
        Setting::Choice(text) => choice = text,
        // The notice was printed to a pipe a moment ago, and is not due again.
        Setting::NoTerminal => choice = "",
    }
    let config = user.home().join(".config/frob");
    std::fs::create_dir_all(&config).expect("a directory");
    std::fs::write(config.join("telemetry.toml"), choice.replace("SAW_NOTICE", SAW_NOTICE)).expect("a file");
    if matches!(setting, Setting::NoTerminal) {
        std::fs::remove_file(config.join("telemetry.toml")).expect("it is there");
        user.run_frob(["build"]);
    }
    let list = tempfile::tempdir().expect("a directory");
    let trace = |telemetry: &str| {
        let list = list.path().join(telemetry);
        let command = format!(
            "strace -f -qq -e trace=%file,%desc,%network,%process -o {} {} stack before-plain --telemetry {telemetry} \
             >/dev/null",
            list.display(),
            example("frob").display()
        );
        with_policy(policy, &user, &command);
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
    Effects {
        files: user.files().len() - before,
        runs: user.pending_runs().len(),
        processes: with.lines().filter(|line| line.contains(" execve(")).count() - 1,
        sockets,
        other_sockets: with.lines().filter(is_socket).count() - sockets,
        calls: calls(&with).saturating_sub(calls(&bare)),
    }
}

#[expect(clippy::print_stdout, reason = "prints the table with --nocapture")]
#[test]
fn every_setting_has_the_expected_effects() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    println!(
        "| setting | files | runs | processes | its sockets | theirs | calls |\n|{}",
        " --- |".repeat(7)
    );
    for (name, setting, leaves) in TABLE {
        let seen = observe(setting);
        println!(
            "| {name} | {} | {} | {} | {} | {} | +{} |",
            seen.files, seen.runs, seen.processes, seen.sockets, seen.other_sockets, seen.calls
        );
        assert_eq!(seen.sockets, 0, "{name}: no command opens a socket");
        let nothing = (seen.files, seen.runs, seen.processes, seen.other_sockets) == (0, 0, 0, 0);
        match leaves {
            Effect::NoCall => assert!(nothing && seen.calls == 0, "{name}: {seen:?}"),
            Effect::NoTrace => assert!(nothing && seen.calls > 0, "{name}: {seen:?}"),
            Effect::RecordedRun => {
                assert!(seen.files > 0 && seen.runs == 1 && seen.processes == 1, "{name}: {seen:?}")
            }
        }
    }
}

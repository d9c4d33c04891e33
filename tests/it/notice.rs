//! The first-run notice. `script` of util-linux provides a terminal, and `stty` sets its width.

use std::process::Output;

use tool_telemetry_receiver::Receiver;

use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, example};

const AUTHOR: &str = "https://telemetry.example.com/v1/traces";
/// The directory of the author's runs, and the key of the notice.
const AUTHORS_DIRECTORY: &str = "maker+the-tests+https-telemetry.example.com-443";
const CHOICE: &str = ".config/frob/telemetry.toml";

/// The tool's own output.
const WORK: &str = "working\n";

/// The whole notice at 80 columns.
const NOTICE: &str = "\
From the next run on, frob reports how it is used. It sends only this:
  When a command was run and how long it took. The version of the tool. The
  command being used. The exit code of the command. Whether output is coloured.
  The number of the step. Whether a step was cached. Each step of the command.
It goes to The tests (https://telemetry.example.com). No name, no account, no
device id; the server can see your IP address and which runs arrive together.
To turn it off: `frob telemetry off`, or set FROB_TELEMETRY_OPTOUT=1.
To see what is sent: `frob telemetry show`. More: https://example.com/privacy
";

/// A user who has not seen the notice of a tool that reports to its author.
fn newcomer() -> TestUser {
    TestUser::new().with("FROB_AUTHOR_ENDPOINT", AUTHOR)
}

/// A user who has not seen the notice and sends to an operator.
fn operator() -> TestUser {
    TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT)
}

impl TestUser {
    /// Runs `frob build` on a terminal of this width. Returns its text, with Unix line ends.
    fn build_at_terminal(&self, columns: u32) -> String {
        self.run_frob_at_terminal(columns, "build").replace("\r\n", "\n")
    }

    /// Runs the tool on a terminal of this width. Returns the bytes that the terminal got.
    pub(crate) fn run_frob_at_terminal(&self, columns: u32, arguments: &str) -> String {
        self.run_at_terminal(columns, &format!("exec {} {arguments}", example("frob").display()))
    }

    /// Runs shell commands on a terminal of this width. Returns the bytes that the terminal got.
    pub(crate) fn run_at_terminal(&self, columns: u32, commands: &str) -> String {
        let run = format!("stty cols {columns} && {commands}");
        let output = self
            .command("script")
            .args(["--quiet", "--return", "--command", &run, "/dev/null"])
            .stdin(std::process::Stdio::null())
            .output()
            .expect("script starts; it is in util-linux");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn choice(&self) -> String {
        std::fs::read_to_string(self.home().join(CHOICE)).unwrap_or_default()
    }

    fn write_choice(&self, text: &str) {
        let path = self.home().join(CHOICE);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[cfg(target_os = "linux")]
#[test]
fn the_first_run_shows_it_and_the_second_is_recorded() {
    let user = newcomer();
    assert_eq!(user.build_at_terminal(80), format!("{NOTICE}{WORK}"));
    assert!(user.pending_runs().is_empty());
    assert_eq!(user.build_at_terminal(80), WORK);
    assert_eq!(user.pending_runs().len(), 1);
    assert!(NOTICE.lines().count() <= 12);
    assert!(NOTICE.lines().all(|line| line.len() <= 80));
}

#[cfg(target_os = "linux")]
#[test]
fn later_runs_need_no_terminal() {
    let user = newcomer();
    user.build_at_terminal(80);
    assert_eq!(stderr(&user.run_frob(["build"])), "");
    assert_eq!(user.pending_runs().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn it_has_no_colour() {
    for user in [newcomer(), newcomer().with("NO_COLOR", "1"), newcomer().with("TERM", "dumb")] {
        let shown = user.build_at_terminal(80);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert_eq!(shown, format!("{NOTICE}{WORK}"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_narrow_terminal_wraps_between_words() {
    let shown = newcomer().build_at_terminal(40);
    assert!(shown.lines().all(|line| line.len() <= 40), "{shown}");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&shown), words(&format!("{NOTICE}{WORK}")));
    assert!(shown.contains("`frob telemetry show`"), "commands are not wrapped: {shown}");
}

#[cfg(target_os = "linux")]
#[test]
fn in_a_pipe_it_is_printed_daily_and_does_not_count() {
    let user = newcomer();
    assert_eq!(stderr(&user.run_frob(["build"])), NOTICE);
    for _ in 0..3 {
        assert_eq!(stderr(&user.run_frob(["build"])), "");
    }
    assert!(user.pending_runs().is_empty());
    let off = "telemetry of frob is off: the notice has not been shown yet";
    assert!(user.status().starts_with(off), "{}", user.status());
    // After a day it is due again.
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    for (printed, is_due) in [(now - 86_300, false), (now - 86_500, true), (now + 86_500, true)] {
        user.write_choice(&format!("printed = {printed}\n"));
        assert_eq!(!stderr(&user.run_frob(["build"])).is_empty(), is_due, "{printed}");
    }
    assert!(user.pending_runs().is_empty());
    // On a terminal it is shown at once and counts.
    assert_eq!(user.build_at_terminal(80), format!("{NOTICE}{WORK}"));
    user.run_frob(["build"]);
    assert_eq!(user.pending_runs().len(), 1);
}

#[test]
fn one_of_many_concurrent_commands_prints_it_in_a_pipe() {
    let user = newcomer();
    let running: Vec<_> = (0..8)
        .map(|_| {
            let mut command = user.frob_command(["build"]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
            command.spawn().expect("it starts")
        })
        .collect();
    let printed: Vec<_> =
        running.into_iter().map(|running| stderr(&running.wait_with_output().expect("it ends"))).collect();
    assert_eq!(printed.iter().filter(|printed| !printed.is_empty()).count(), 1, "{printed:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn one_of_many_concurrent_commands_prints_it_on_a_terminal() {
    let user = newcomer();
    let frob = example("frob").display().to_string();
    let printed =
        user.run_at_terminal(80, &format!("for n in 1 2 3 4 5 6 7 8; do {frob} build & done; wait"));
    assert_eq!(printed.matches("reports how it is used").count(), 1, "{printed}");
    assert!(user.choice().contains("[notice]"), "{}", user.choice());
}

#[cfg(target_os = "linux")]
#[test]
fn a_new_destination_gets_nothing_before_its_notice() {
    for (before, after) in [
        // Another author's tool of the same name, a fork, or a sold tool.
        (("FROB_AUTHOR_ENDPOINT", AUTHOR), ("FROB_AUTHOR_ENDPOINT", "https://another.example/v1/traces")),
        // Another project's collector.
        (
            ("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:19"),
        ),
    ] {
        for turned_on in [false, true] {
            let user = TestUser::new().with(before.0, before.1);
            if turned_on {
                user.run_frob(["telemetry", "on"]);
            } else {
                user.build_at_terminal(80);
            }
            user.run_frob(["build"]);
            let for_the_first = user.pending_runs();
            assert_eq!(for_the_first.len(), 1);

            let user = user.with(after.0, after.1);
            user.run_frob(["build"]);
            assert!(user.status().contains("the notice has not been shown yet"), "{}", user.status());
            assert!(user.build_at_terminal(80).contains("From the next run on, frob reports how it is used"));
            assert_eq!(user.pending_runs(), for_the_first, "nothing was recorded or moved");
            assert_eq!(user.build_at_terminal(80), WORK);
            let directories: Vec<_> =
                user.pending_runs().iter().map(|run| run.parent().map(ToOwned::to_owned)).collect();
            assert_ne!(directories[0], directories[1]);

            // The notice for the first destination still counts.
            let user = user.with(before.0, before.1);
            assert_eq!(user.build_at_terminal(80), WORK);
            assert_eq!(user.pending_runs().len(), 3);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_explicitly_chosen_collector_needs_no_notice() {
    let user = newcomer();
    user.build_at_terminal(80);
    let user = user.with("FROB_TELEMETRY", "otlp").with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:19");
    assert_eq!(user.build_at_terminal(80), WORK);
    assert_eq!(user.pending_runs().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_suppressed_notice_keeps_telemetry_off() {
    let suppressed = newcomer().with("FROB_NOLOGO", "1");
    for _ in 0..2 {
        assert_eq!(suppressed.build_at_terminal(80), WORK);
        assert_eq!(stderr(&suppressed.run_frob(["build"])), "");
    }
    assert!(suppressed.files().is_empty());
    // The variable has no effect after the notice was shown.
    let shown = newcomer();
    shown.build_at_terminal(80);
    let shown = shown.with("FROB_NOLOGO", "1");
    assert_eq!(shown.build_at_terminal(80), WORK);
    assert_eq!(shown.pending_runs().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn an_opt_in_tool_records_nothing_before_on() {
    let user = newcomer().with_tool_setting("FROB_OPT_IN", "1");
    let before = user.files();
    for _ in 0..2 {
        assert_eq!(user.build_at_terminal(80), WORK);
        assert_eq!(stderr(&user.run_frob(["build"])), "");
    }
    assert_eq!(user.files(), before);
    assert!(user.status().contains("it stays off until you turn it on"), "{}", user.status());
    assert!(user.run_frob(["telemetry", "on"]).status.success());
    assert_eq!(user.build_at_terminal(80), WORK);
    assert_eq!(user.pending_runs().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn new_data_points_are_announced_before_they_are_recorded() {
    let new = "\
frob reports how it is used. From the next run on, it also sends:
  Whether a step was cached.
It goes to The tests (https://telemetry.example.com). No name, no account, no
device id; the server can see your IP address and which runs arrive together.
To turn it off: `frob telemetry off`, or set FROB_TELEMETRY_OPTOUT=1.
To see what is sent: `frob telemetry show`. More: https://example.com/privacy
";
    let user = newcomer().with("FROB_VERSION", "2.0.0").with("FROB_CACHED", "1");
    user.write_choice(&format!("[notice]\n\"{AUTHORS_DIRECTORY}\" = \"1.0.0\"\n"));
    let cached = |user: &TestUser| {
        let show = user.run_frob(["telemetry", "show"]).stdout;
        String::from_utf8(show).expect("text").matches("frob.cached").count()
    };
    // In a pipe, on a terminal, and afterwards.
    assert_eq!(stderr(&user.run_frob(["build"])), new);
    assert_eq!(stderr(&user.run_frob(["build"])), "");
    assert_eq!(user.build_at_terminal(80), format!("{new}{WORK}"));
    assert_eq!(
        (user.pending_runs().len(), cached(&user)),
        (3, 0),
        "the other data points are recorded in the meantime"
    );
    assert_eq!(user.build_at_terminal(80), WORK);
    assert_eq!((user.pending_runs().len(), cached(&user)), (4, 2));
}

#[test]
fn in_ci_it_is_one_line_and_the_run_is_recorded() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let operator = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).with("CI", "true");
    let line = format!(
        "frob reports how it is used to {endpoint} \
         (to see what: `frob telemetry show`; to turn it off: FROB_TELEMETRY_OPTOUT=1)\n"
    );
    assert_eq!(stderr(&operator.run_frob(["build"])), line);
    receiver.wait_for(1, TIMEOUT).expect("the run arrives");
    assert_eq!(stderr(&operator.run_frob(["build"])), "", "it is printed once");
    receiver.wait_for(2, TIMEOUT).expect("both arrive");
    // A run goes to the author only under `CiPolicy::IncludeMaker`.
    let author = TestUser::new()
        .with("CI", "1")
        .with_tool_setting("FROB_AUTHOR_ENDPOINT", &format!("{endpoint}/v1/traces"));
    assert_eq!(stderr(&author.run_frob(["build"])), "");
    assert!(author.pending_runs().is_empty());
    let author = author.with_tool_setting("FROB_CI_INCLUDES_MAKER", "1");
    assert_eq!(stderr(&author.run_frob(["build"])), line);
    receiver.wait_for(3, TIMEOUT).expect("the third arrives");
    // A suppressed notice keeps telemetry off.
    let suppressed = operator_in_ci_with_suppressed_notice(&endpoint);
    assert_eq!(stderr(&suppressed.run_frob(["build"])), "");
    assert!(suppressed.files().is_empty());
}

fn operator_in_ci_with_suppressed_notice(endpoint: &str) -> TestUser {
    TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).with("CI", "true").with("FROB_NOLOGO", "1")
}

#[cfg(target_os = "linux")]
#[test]
fn an_unreadable_choice_is_kept_and_means_off() {
    for damaged in ["", "telemetry = \"o", "telemetry = \"on\"\nfuture = 1\n", "\0\0\0\0"] {
        let user = operator();
        user.write_choice(if damaged.is_empty() { "x" } else { damaged });
        let before = user.choice();
        assert_eq!(user.build_at_terminal(80), WORK);
        let in_ci = user.frob_command(["build"]).env("CI", "1").output().expect("it starts");
        assert_eq!(stderr(&in_ci), "");
        assert_eq!(user.choice(), before, "{damaged:?}");
        assert!(user.pending_runs().is_empty(), "{damaged:?}");
        let status = user.status();
        assert!(status.contains("is off: the file with your choice cannot be read"), "{status}");
        assert!(
            status.contains(CHOICE) && status.contains("`frob telemetry on` or `frob telemetry off`"),
            "{status}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_notice_that_cannot_be_saved_is_not_printed() {
    let user = newcomer();
    std::fs::write(user.home().join(".config"), "in the way").expect("a file");
    for _ in 0..2 {
        assert_eq!(user.build_at_terminal(80), WORK);
        assert_eq!(stderr(&user.run_frob(["build"])), "");
    }
    assert!(user.pending_runs().is_empty());
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn a_concurrent_off_is_not_overwritten_by_the_notice() {
    use crate::system_calls::{Action, Tracer};

    // The tool has read the choice, and its first `mkdir` prepares to save the notice.
    let user = newcomer();
    let mut offs = 0;
    let traced = Tracer::of(user.frob_command(["build"]))
        .intercept(|call| {
            if call.name == "mkdir" && call.number == 1 {
                assert!(user.run_frob(["telemetry", "off"]).status.success());
                offs += 1;
            }
            Action::Continue
        })
        .run();
    assert_eq!(offs, 1);
    assert!(traced.output.status.success());
    assert_eq!(stderr(&traced.output), "", "no notice after `off`");
    assert!(user.choice().contains("telemetry = \"off\""), "{}", user.choice());
    user.run_frob(["build"]);
    assert!(user.pending_runs().is_empty());
}

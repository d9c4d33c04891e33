//! The first-run notice, on a terminal of its own: `script` of util-linux gives one, and `stty` its width.

use std::process::Output;

use tool_telemetry_receiver::Receiver;

use crate::person::{NOBODY, PATIENCE, Person, example};

const MAKER: &str = "https://telemetry.example.com/v1/traces";
/// The directory of its runs, and the key of its notice.
const MAKERS_DIRECTORY: &str = "maker+the-tests+https-telemetry.example.com-443";
const CHOICE: &str = ".config/frob/telemetry.toml";

/// What the tool itself says.
const WORK: &str = "working\n";

/// The whole notice of the tool of the tests, at 80 columns.
const NOTICE: &str = "\
frob reports how it is used, from the next run on. It sends this and no more:
  When a command was run and how long it took. The version of the tool. The
  command being used. The exit code of the command. Whether output is coloured.
  The number of the step. Whether a step was cached. Each step of the command.
It goes to The tests (https://telemetry.example.com). No name, no account, no
device id; the server can see your IP address, and which runs arrive together.
To turn it off: `frob telemetry off`, or set FROB_TELEMETRY_OPTOUT=1.
To see what is sent: `frob telemetry show`. More: https://example.com/privacy
";

/// A person who has not seen the notice of a tool that reports to its maker.
fn newcomer() -> Person {
    Person::new().with("FROB_MAKER", MAKER)
}

/// A person who has not seen the notice, and has their runs sent where nobody answers.
fn operator() -> Person {
    Person::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", NOBODY)
}

impl Person {
    /// Runs `frob build` on a terminal so many columns wide, and gives what stands on the screen.
    fn at_terminal(&self, columns: u32) -> String {
        self.frob_at_terminal(columns, "build").replace("\r\n", "\n")
    }

    /// Runs the tool on a terminal so many columns wide, and gives what the terminal got.
    pub(crate) fn frob_at_terminal(&self, columns: u32, arguments: &str) -> String {
        self.at_a_terminal(columns, &format!("exec {} {arguments}", example("frob").display()))
    }

    /// Runs shell commands on a terminal so many columns wide, and gives what the terminal got.
    pub(crate) fn at_a_terminal(&self, columns: u32, commands: &str) -> String {
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
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[test]
fn the_first_run_is_told_of_it_and_the_second_is_recorded() {
    let person = newcomer();
    assert_eq!(person.at_terminal(80), format!("{NOTICE}{WORK}"));
    assert!(person.waiting().is_empty());
    assert_eq!(person.at_terminal(80), WORK);
    assert_eq!(person.waiting().len(), 1);
    assert!(NOTICE.lines().count() <= 12);
    assert!(NOTICE.lines().all(|line| line.len() <= 80));
}

#[test]
fn what_is_recorded_afterwards_needs_no_terminal() {
    let person = newcomer();
    person.at_terminal(80);
    assert_eq!(said(&person.frob(["build"])), "");
    assert_eq!(person.waiting().len(), 1);
}

#[test]
fn there_is_no_colour_with_and_without_the_variable() {
    for person in [newcomer(), newcomer().with("NO_COLOR", "1"), newcomer().with("TERM", "dumb")] {
        let shown = person.at_terminal(80);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert_eq!(shown, format!("{NOTICE}{WORK}"));
    }
}

#[test]
fn a_narrow_terminal_breaks_between_words() {
    let shown = newcomer().at_terminal(40);
    assert!(shown.lines().all(|line| line.len() <= 40), "{shown}");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&shown), words(&format!("{NOTICE}{WORK}")));
    assert!(shown.contains("`frob telemetry show`"), "no command is torn apart: {shown}");
}

#[test]
fn into_a_pipe_it_is_printed_once_a_day_and_does_not_count() {
    let person = newcomer();
    assert_eq!(said(&person.frob(["build"])), NOTICE);
    for _ in 0..3 {
        assert_eq!(said(&person.frob(["build"])), "");
    }
    assert!(person.waiting().is_empty());
    let off = "telemetry of frob is off: the notice has not been shown yet";
    assert!(person.status().starts_with(off), "{}", person.status());
    // A day later.
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    for (printed, is_due) in [(now - 86_300, false), (now - 86_500, true), (now + 86_500, true)] {
        person.write_choice(&format!("printed = {printed}\n"));
        assert_eq!(!said(&person.frob(["build"])).is_empty(), is_due, "{printed}");
    }
    assert!(person.waiting().is_empty());
    // On a terminal it is shown at once, and counts.
    assert_eq!(person.at_terminal(80), format!("{NOTICE}{WORK}"));
    person.frob(["build"]);
    assert_eq!(person.waiting().len(), 1);
}

#[test]
fn of_many_commands_at_once_in_a_pipe_one_prints_it() {
    let person = newcomer();
    let running: Vec<_> = (0..8)
        .map(|_| {
            let mut command = person.frob_command(["build"]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
            command.spawn().expect("it starts")
        })
        .collect();
    let told: Vec<_> =
        running.into_iter().map(|running| said(&running.wait_with_output().expect("it ends"))).collect();
    assert_eq!(told.iter().filter(|told| !told.is_empty()).count(), 1, "{told:?}");
}

#[test]
fn of_many_commands_at_once_on_a_terminal_one_prints_it() {
    let person = newcomer();
    let frob = example("frob").display().to_string();
    let told = person.at_a_terminal(80, &format!("for n in 1 2 3 4 5 6 7 8; do {frob} build & done; wait"));
    assert_eq!(told.matches("reports how it is used").count(), 1, "{told}");
    assert!(person.choice().contains("[notice]"), "{}", person.choice());
}

#[test]
fn another_receiver_gets_nothing_before_a_notice_named_it() {
    for (before, after) in [
        // Another maker's tool of the same name, a fork, or a tool that was sold.
        (("FROB_MAKER", MAKER), ("FROB_MAKER", "https://another.example/v1/traces")),
        // The collector of another project.
        (("OTEL_EXPORTER_OTLP_ENDPOINT", NOBODY), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:19")),
    ] {
        for turned_on in [false, true] {
            let person = Person::new().with(before.0, before.1);
            if turned_on {
                person.frob(["telemetry", "on"]);
            } else {
                person.at_terminal(80);
            }
            person.frob(["build"]);
            let for_the_first = person.waiting();
            assert_eq!(for_the_first.len(), 1);

            let person = person.with(after.0, after.1);
            person.frob(["build"]);
            assert!(person.status().contains("the notice has not been shown yet"), "{}", person.status());
            assert!(person.at_terminal(80).contains("reports how it is used, from the next run on"));
            assert_eq!(person.waiting(), for_the_first, "nothing was recorded, and nothing moved");
            assert_eq!(person.at_terminal(80), WORK);
            let directories: Vec<_> =
                person.waiting().iter().map(|run| run.parent().map(ToOwned::to_owned)).collect();
            assert_ne!(directories[0], directories[1]);

            // The first one's notice still counts.
            let person = person.with(before.0, before.1);
            assert_eq!(person.at_terminal(80), WORK);
            assert_eq!(person.waiting().len(), 3);
        }
    }
}

#[test]
fn a_collector_that_was_set_for_telemetry_needs_no_notice_of_its_own() {
    let person = newcomer();
    person.at_terminal(80);
    let person =
        person.with("FROB_TELEMETRY", "otlp").with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:19");
    assert_eq!(person.at_terminal(80), WORK);
    assert_eq!(person.waiting().len(), 1);
}

#[test]
fn silenced_it_keeps_telemetry_off_until_it_was_shown() {
    let silenced = newcomer().with("FROB_NOLOGO", "1");
    for _ in 0..2 {
        assert_eq!(silenced.at_terminal(80), WORK);
        assert_eq!(said(&silenced.frob(["build"])), "");
    }
    assert!(silenced.files().is_empty());
    // Once shown, silence changes nothing.
    let shown = newcomer();
    shown.at_terminal(80);
    let shown = shown.with("FROB_NOLOGO", "1");
    assert_eq!(shown.at_terminal(80), WORK);
    assert_eq!(shown.waiting().len(), 1);
}

#[test]
fn a_tool_that_asks_first_does_nothing_before_it_was_turned_on() {
    let person = newcomer().whose_tool_has("FROB_OPT_IN", "1");
    let before = person.files();
    for _ in 0..2 {
        assert_eq!(person.at_terminal(80), WORK);
        assert_eq!(said(&person.frob(["build"])), "");
    }
    assert_eq!(person.files(), before);
    assert!(person.status().contains("it asks first, and nobody turned it on"), "{}", person.status());
    assert!(person.frob(["telemetry", "on"]).status.success());
    assert_eq!(person.at_terminal(80), WORK);
    assert_eq!(person.waiting().len(), 1);
}

#[test]
fn a_newer_data_point_is_announced_alone_before_it_is_recorded() {
    let new = "\
frob reports how it is used. New in what it sends, from the next run on:
  Whether a step was cached.
It goes to The tests (https://telemetry.example.com). No name, no account, no
device id; the server can see your IP address, and which runs arrive together.
To turn it off: `frob telemetry off`, or set FROB_TELEMETRY_OPTOUT=1.
To see what is sent: `frob telemetry show`. More: https://example.com/privacy
";
    let person = newcomer().with("FROB_VERSION", "2.0.0").with("FROB_CACHED", "1");
    person.write_choice(&format!("[notice]\n\"{MAKERS_DIRECTORY}\" = \"1.0.0\"\n"));
    let cached = |person: &Person| {
        let show = person.frob(["telemetry", "show"]).stdout;
        String::from_utf8(show).expect("text").matches("frob.cached").count()
    };
    // Into a pipe, on a terminal, and afterwards.
    assert_eq!(said(&person.frob(["build"])), new);
    assert_eq!(said(&person.frob(["build"])), "");
    assert_eq!(person.at_terminal(80), format!("{new}{WORK}"));
    assert_eq!((person.waiting().len(), cached(&person)), (3, 0), "the rest is recorded all the while");
    assert_eq!(person.at_terminal(80), WORK);
    assert_eq!((person.waiting().len(), cached(&person)), (4, 2));
}

#[test]
fn in_ci_it_is_one_line_and_the_run_is_recorded() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let operator = Person::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).with("CI", "true");
    let line = format!(
        "frob reports how it is used to {endpoint}; what: `frob telemetry show`, off: FROB_TELEMETRY_OPTOUT=1\n"
    );
    assert_eq!(said(&operator.frob(["build"])), line);
    receiver.wait_for(1, PATIENCE).expect("the run arrives");
    assert_eq!(said(&operator.frob(["build"])), "", "it is said once");
    receiver.wait_for(2, PATIENCE).expect("both arrive");
    // To the maker only where the author chose that.
    let maker = Person::new().with("CI", "1").whose_tool_has("FROB_MAKER", &format!("{endpoint}/v1/traces"));
    assert_eq!(said(&maker.frob(["build"])), "");
    assert!(maker.waiting().is_empty());
    let maker = maker.whose_tool_has("FROB_MAKER_IN_CI", "1");
    assert_eq!(said(&maker.frob(["build"])), line);
    receiver.wait_for(3, PATIENCE).expect("the third arrives");
    // Silenced it is not said, so nothing is recorded.
    let silenced = operator_in_ci_silenced(&endpoint);
    assert_eq!(said(&silenced.frob(["build"])), "");
    assert!(silenced.files().is_empty());
}

fn operator_in_ci_silenced(endpoint: &str) -> Person {
    Person::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).with("CI", "true").with("FROB_NOLOGO", "1")
}

#[test]
fn a_choice_that_cannot_be_read_is_left_as_it_is_and_means_off() {
    for damaged in ["", "telemetry = \"o", "telemetry = \"on\"\nfuture = 1\n", "\0\0\0\0"] {
        let person = operator();
        person.write_choice(if damaged.is_empty() { "x" } else { damaged });
        let before = person.choice();
        assert_eq!(person.at_terminal(80), WORK);
        let in_ci = person.frob_command(["build"]).env("CI", "1").output().expect("it starts");
        assert_eq!(said(&in_ci), "");
        assert_eq!(person.choice(), before, "{damaged:?}");
        assert!(person.waiting().is_empty(), "{damaged:?}");
        let status = person.status();
        assert!(status.contains("is off: the file with your choice cannot be read"), "{status}");
        assert!(
            status.contains(CHOICE) && status.contains("`frob telemetry on` or `frob telemetry off`"),
            "{status}"
        );
    }
}

#[test]
fn a_notice_that_cannot_be_remembered_is_not_printed() {
    let person = newcomer();
    std::fs::write(person.home().join(".config"), "in the way").expect("a file");
    for _ in 0..2 {
        assert_eq!(person.at_terminal(80), WORK);
        assert_eq!(said(&person.frob(["build"])), "");
    }
    assert!(person.waiting().is_empty());
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn off_said_while_the_notice_is_due_is_not_written_over() {
    use crate::system_calls::{Tracer, Verdict};

    // The tool has read the choice, and is about to remember the notice: this is its first step towards it.
    let person = newcomer();
    let mut offs = 0;
    let traced = Tracer::of(person.frob_command(["build"]))
        .judged(|call| {
            if call.name == "mkdir" && call.number == 1 {
                assert!(person.frob(["telemetry", "off"]).status.success());
                offs += 1;
            }
            Verdict::Make
        })
        .run();
    assert_eq!(offs, 1);
    assert!(traced.output.status.success());
    assert_eq!(said(&traced.output), "", "who said no is not told that it begins");
    assert!(person.choice().contains("telemetry = \"off\""), "{}", person.choice());
    person.frob(["build"]);
    assert!(person.waiting().is_empty());
}

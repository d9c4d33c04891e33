//! Telemetry commands for `jist`, a real program that has none of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tool_telemetry_receiver::Receiver;

use crate::fixture::{ProgramOutput, TestUser};

/// Nothing listens on this port.
const NO_RECEIVER: &str = "http://127.0.0.1:9";
const DEFINITION: &str = include_str!("../tool/telemetry.toml");
const CHOICE: &str = ".config/jist/telemetry.toml";

/// The tool, an example that `cargo test` builds.
fn jist() -> PathBuf {
    let mut directory = std::env::current_exe().expect("the test's own path");
    directory.pop();
    directory.pop();
    directory.join("examples/jist")
}

/// A user of jist.
pub(crate) struct JistUser {
    user: TestUser,
    endpoint: String,
}

impl JistUser {
    fn new(endpoint: &str) -> Self {
        Self { user: TestUser::new(), endpoint: endpoint.to_owned() }
    }

    /// Has seen the notice, and has run the tool once since.
    pub(crate) fn with_a_run(endpoint: &str) -> Self {
        let user = Self::new(endpoint);
        user.see_notice();
        user.run_jist();
        assert_eq!(user.pending(), 1);
        user
    }

    fn in_environment(&self, mut command: Command) -> Command {
        let directory = jist().parent().expect("a parent directory").to_owned();
        command
            .env_clear()
            .env("HOME", self.user.home())
            .env(
                "PATH",
                std::env::join_paths([directory, "/usr/bin".into(), "/bin".into()]).expect("no colon"),
            )
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint)
            .current_dir(self.user.home());
        command
    }

    fn run_jist(&self) -> ProgramOutput {
        let mut command = self.in_environment(Command::new(jist()));
        command.args(["telemetry", "off"]).output().expect("the tool starts").into()
    }

    /// Runs the tool in a terminal, and returns its output.
    fn see_notice(&self) -> String {
        let mut script = self.in_environment(Command::new("script"));
        script.args(["--quiet", "--return", "--command", "jist hello", "/dev/null"]).stdin(Stdio::null());
        ProgramOutput::from(script.output().expect("script starts; it is in util-linux")).stdout
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> ProgramOutput {
        let mut command = self.in_environment(self.user.command());
        command.args(arguments).output().expect("the program starts").into()
    }

    /// The content of all run files.
    pub(crate) fn run_files(&self) -> String {
        let telemetry = self.user.home().join(".local/state/jist/telemetry");
        let destinations = fs::read_dir(telemetry).expect("a directory").flatten();
        let runs = destinations.flat_map(|destination| fs::read_dir(destination.path().join("runs")));
        let files = runs.flatten().flatten().map(|file| fs::read_to_string(file.path()).expect("a run file"));
        files.collect()
    }

    /// Writes the tool's telemetry.toml into the current directory.
    pub(crate) fn write_definition(&self) {
        self.user.write("telemetry.toml", DEFINITION);
    }

    fn pending(&self) -> usize {
        self.count("runs")
    }

    fn count(&self, directory: &str) -> usize {
        let telemetry = self.user.home().join(".local/state/jist/telemetry");
        let destinations = fs::read_dir(telemetry).into_iter().flatten().flatten();
        destinations
            .flat_map(|destination| fs::read_dir(destination.path().join(directory)).into_iter().flatten())
            .count()
    }
}

#[test]
fn the_notice_of_a_tool_without_telemetry_commands_names_variables() {
    let user = JistUser::new(NO_RECEIVER);
    let notice = user.see_notice();
    assert!(notice.contains("To turn it off: set JIST_TELEMETRY=off."), "{notice}");
    assert!(notice.contains("set JIST_TELEMETRY=log."), "{notice}");
    assert!(!notice.contains("jist telemetry") && !notice.contains('`'), "{notice}");
    assert_eq!(user.run_jist().stdout, "recipe telemetry off\n");
    assert_eq!(user.pending(), 1);
}

#[test]
fn off_stops_recording_and_deletes_pending_runs() {
    let user = JistUser::with_a_run(NO_RECEIVER);
    let output = user.run(&["off", "jist"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert!(
        output.stdout.starts_with("Telemetry of jist is off. Deleted 1 pending and 0 sent runs"),
        "{}",
        output.stdout
    );
    assert_eq!(user.pending(), 0);
    user.run_jist();
    assert_eq!(user.pending(), 0);
    let status = user.run(&["status", "jist"]).stdout;
    assert!(status.starts_with("telemetry of jist is off: your choice ("), "{status}");
    assert!(status.contains("dropped    1 (opted_out)"), "{status}");
}

#[test]
fn on_does_not_replace_the_notice() {
    let user = JistUser::new(NO_RECEIVER);
    let output = user.run(&["on", "jist"]);
    assert_eq!(output.code, 0);
    assert!(output.stdout.contains("the notice has not been shown yet; run jist in a terminal to see it"));
    user.run_jist();
    assert_eq!(user.pending(), 0);
    let notice = user.see_notice();
    assert!(notice.contains("a recipe was run."), "{notice}");
    user.run_jist();
    assert_eq!(user.pending(), 1);
    assert!(user.run(&["status", "jist"]).stdout.starts_with("telemetry of jist is on: your choice"));
}

#[test]
fn on_keeps_the_record_of_seen_notices() {
    let user = JistUser::with_a_run(NO_RECEIVER);
    let output = user.run(&["on", "jist"]);
    assert_eq!(output.stdout, "Telemetry of jist is on. To see what is sent: `tool-telemetry show jist`.\n");
    let choice = fs::read_to_string(user.user.home().join(CHOICE)).expect("a choice file");
    let kept = "[notice]\n\"operator+http-127.0.0.1-9\" = \"1.0.0\"\n";
    assert!(choice.contains("telemetry = \"on\"\n") && choice.contains(kept), "{choice}");
    user.run_jist();
    assert_eq!(user.pending(), 2);
}

#[test]
fn show_prints_runs_with_and_without_data_points() {
    let user = JistUser::with_a_run(NO_RECEIVER);
    let raw = user.run(&["show", "jist"]).stdout;
    assert!(
        raw.contains("  pending: operator+http-127.0.0.1-9\njist recipe process.executable.name=jist"),
        "{raw}"
    );
    assert!(raw.contains("These are the files on disk as they are"), "{raw}");
    let line = user.run(&["show", "jist", "--json"]).stdout;
    assert!(line.starts_with("{\"resourceSpans\":"), "{line}");
    user.write_definition();
    let tree = user.run(&["show", "jist"]).stdout;
    assert!(
        tree.contains("pending: operator+http-127.0.0.1-9") && tree.contains("jist.command = recipe"),
        "{tree}"
    );
}

#[test]
fn purge_deletes_runs_and_keeps_telemetry_on() {
    let user = JistUser::with_a_run(NO_RECEIVER);
    assert!(user.run(&["purge", "jist"]).stdout.starts_with("Deleted 1 pending and 0 sent runs"));
    assert_eq!(user.pending(), 0);
    user.run_jist();
    assert_eq!(user.pending(), 1);
}

#[test]
fn flush_starts_the_tool_from_path() {
    let receiver = Receiver::start().expect("a receiver");
    let user = JistUser::with_a_run(NO_RECEIVER);
    assert_eq!(user.run(&["flush", "jist"]).code, 3);
    let user = JistUser::new(&receiver.http_endpoint());
    user.see_notice();
    // During a backoff, the run itself starts no uploader.
    let backoff = user.user.home().join(".local/state/jist/telemetry").join(destination(&user.endpoint));
    fs::create_dir_all(&backoff).expect("a directory");
    fs::set_permissions(
        backoff.parent().expect("a parent directory"),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .expect("new permissions");
    fs::write(backoff.join("backoff"), format!("until={} failures=1 asked=no\n", seconds_now() + 3_000))
        .expect("a written file");
    user.run_jist();
    assert_eq!((user.pending(), receiver.requests().len()), (1, 0));
    let output = user.run(&["flush", "jist"]);
    assert_eq!(
        (output.code, output.stdout.as_str(), output.stderr.as_str()),
        (0, "No runs are pending.\n", "")
    );
    assert_eq!((user.pending(), user.count("sent"), receiver.requests().len()), (0, 1, 1));
}

fn destination(endpoint: &str) -> String {
    format!("operator+{}", endpoint.replace("://", "-").replace(':', "-"))
}

fn seconds_now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
}

#[test]
fn flush_fails_if_the_tool_is_not_in_path() {
    let user = JistUser::with_a_run(NO_RECEIVER);
    let mut command = user.in_environment(user.user.command());
    let output = ProgramOutput::from(
        command.env("PATH", "/usr/bin").args(["flush", "jist"]).output().expect("it starts"),
    );
    assert_eq!((output.code, output.stdout.as_str()), (1, ""));
    assert!(
        output.stderr.contains("(1 pending)") && output.stderr.contains("no program jist is in PATH"),
        "{}",
        output.stderr
    );
    // A relative directory in PATH is ignored.
    fs::create_dir(user.user.home().join("bin")).expect("a directory");
    fs::copy(jist(), user.user.home().join("bin/jist")).expect("a copy");
    let mut command = user.in_environment(user.user.command());
    let output =
        ProgramOutput::from(command.env("PATH", "bin").args(["flush", "jist"]).output().expect("it starts"));
    assert_eq!(output.code, 1);
}

#[test]
fn flush_fails_if_telemetry_is_off() {
    let user = JistUser::with_a_run(NO_RECEIVER);
    user.run(&["off", "jist"]);
    let output = user.run(&["flush", "jist"]);
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("`tool-telemetry on jist` turns it on"), "{}", output.stderr);
}

#[test]
fn an_unknown_tool_exits_with_4() {
    let user = JistUser::new(NO_RECEIVER);
    for command in ["view", "status", "show", "flush", "purge"] {
        let output = user.run(&[command, "nosuch"]);
        assert_eq!(output.code, 4, "{command}");
        assert!(
            output.stderr.contains("no tool named \"nosuch\" has left any files on this machine"),
            "{}",
            output.stderr
        );
    }
    assert!(user.user.home().read_dir().expect("a home").next().is_none(), "no file is left behind");
    let output = user.run(&["off", "jist"]);
    assert_eq!(output.code, 0);
    assert!(
        output.stdout.contains("No tool named jist has left any files on this machine yet"),
        "{}",
        output.stdout
    );
    user.see_notice();
    user.run_jist();
    assert_eq!(user.pending(), 0, "telemetry is off from the first run on");
}

#[test]
fn the_page_and_status_agree() {
    let user = JistUser::new(NO_RECEIVER);
    let page = |user: &JistUser| user.run(&["view", "jist", "--output", "-"]).stdout;
    let status =
        |user: &JistUser| user.run(&["status", "jist"]).stdout.lines().next().unwrap_or_default().to_owned();
    // A notice that is written to a pipe does not count.
    user.run_jist();
    assert_eq!(status(&user), "telemetry of jist is off: the notice has not been shown yet");
    assert!(
        page(&user)
            .contains("Telemetry is off</h2>\n<p>The tool has not shown you its telemetry notice yet.")
    );
    user.see_notice();
    assert_eq!(status(&user), "telemetry of jist is on: the default");
    assert!(page(&user).contains("Telemetry is on</h2>"));
    user.run(&["off", "jist"]);
    assert!(status(&user).starts_with("telemetry of jist is off: your choice"));
    assert!(page(&user).contains("Telemetry is off</h2>\n<p>You turned it off."));
}

#[test]
fn the_page_names_only_commands_that_exist() {
    let user = JistUser::with_a_run(NO_RECEIVER);
    let codes = |page: &str| -> Vec<String> {
        let codes = page.split("<code>").skip(1).filter_map(|rest| rest.split("</code>").next());
        codes.filter(|code| code.contains(' ')).map(str::to_owned).collect()
    };
    let page = |user: &JistUser| user.run(&["view", "jist", "--output", "-"]).stdout;
    for command in ["status", "off", "on"] {
        user.run(&[command, "jist"]);
        for code in codes(&page(&user)) {
            // The name of the run, which is no command of this program.
            if code == "jist recipe" {
                continue;
            }
            assert!(code.starts_with("tool-telemetry ") && code.contains(" jist"), "{code}");
            assert!(user.run(&["help", code.split(' ').nth(1).expect("a word")]).code == 0, "{code}");
        }
    }
    let named = DEFINITION.replace("format = 1", "format = 1\ntelemetry_command = \"cargo jist telemetry\"");
    user.user.write("telemetry.toml", &named);
    assert!(codes(&page(&user)).contains(&"cargo jist telemetry status".to_owned()));
}

//! `tool-telemetry off jist`: a tool without a command about its telemetry, as a real process.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tool_telemetry_receiver::Receiver;

use crate::program::{Person, Said};

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9";
const CHOICE: &str = ".config/jist/telemetry.toml";

/// The tool, built by `cargo test` as an example.
fn jist() -> PathBuf {
    let mut folder = std::env::current_exe().expect("the test's own path");
    folder.pop();
    folder.pop();
    folder.join("examples/jist")
}

/// A person who has the tool and whose runs go there.
struct User {
    person: Person,
    endpoint: String,
}

impl User {
    fn of(endpoint: &str) -> Self {
        Self { person: Person::new(), endpoint: endpoint.to_owned() }
    }

    /// One who has seen the notice on a terminal, and then ran the tool once.
    fn with_a_run(endpoint: &str) -> Self {
        let user = Self::of(endpoint);
        user.sees_the_notice();
        user.jist();
        assert_eq!(user.waiting(), 1);
        user
    }

    fn in_environment(&self, mut command: Command) -> Command {
        let folder = jist().parent().expect("a folder").to_owned();
        command
            .env_clear()
            .env("HOME", self.person.home())
            .env("PATH", std::env::join_paths([folder, "/usr/bin".into(), "/bin".into()]).expect("no colon"))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint)
            .current_dir(self.person.home());
        command
    }

    fn jist(&self) -> Said {
        let mut command = self.in_environment(Command::new(jist()));
        command.args(["telemetry", "off"]).output().expect("the tool starts").into()
    }

    /// Runs the tool on a terminal, and gives what stands there.
    fn sees_the_notice(&self) -> String {
        let mut script = self.in_environment(Command::new("script"));
        script.args(["--quiet", "--return", "--command", "jist hello", "/dev/null"]).stdin(Stdio::null());
        Said::from(script.output().expect("script starts; it is in util-linux")).out
    }

    fn says(&self, arguments: &[&str]) -> Said {
        let mut command = self.in_environment(self.person.program());
        command.args(arguments).output().expect("the program starts").into()
    }

    fn waiting(&self) -> usize {
        self.kept("runs")
    }

    fn kept(&self, place: &str) -> usize {
        let telemetry = self.person.home().join(".local/state/jist/telemetry");
        let destinations = fs::read_dir(telemetry).into_iter().flatten().flatten();
        destinations.flat_map(|folder| fs::read_dir(folder.path().join(place)).into_iter().flatten()).count()
    }
}

#[test]
fn the_tool_runs_its_users_recipe_and_tells_of_variables() {
    let user = User::of(NOBODY);
    let notice = user.sees_the_notice();
    assert!(notice.contains("To turn it off: set JIST_TELEMETRY=off."), "{notice}");
    assert!(notice.contains("set JIST_TELEMETRY=log."), "{notice}");
    assert!(!notice.contains("jist telemetry") && !notice.contains('`'), "{notice}");
    assert_eq!(user.jist().out, "recipe telemetry off\n");
    assert_eq!(user.waiting(), 1, "and it is a run");
}

#[test]
fn off_stops_it_and_deletes_what_waits() {
    let user = User::with_a_run(NOBODY);
    let said = user.says(&["off", "jist"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(
        said.out.starts_with("Telemetry of jist is off. Deleted 1 waiting and 0 kept runs"),
        "{}",
        said.out
    );
    assert_eq!(user.waiting(), 0);
    user.jist();
    assert_eq!(user.waiting(), 0, "nothing is recorded any more");
    let status = user.says(&["status", "jist"]).out;
    assert!(status.starts_with("telemetry of jist is off: your own choice ("), "{status}");
    assert!(status.contains("dropped    1 (opted_out)"), "{status}");
}

#[test]
fn on_is_the_persons_choice_and_no_notice() {
    let user = User::of(NOBODY);
    let said = user.says(&["on", "jist"]);
    assert_eq!(said.code, 0);
    assert!(said.out.contains("the notice has not been shown yet; a command of jist in a terminal shows it"));
    user.jist();
    assert_eq!(user.waiting(), 0, "it was not told yet what is collected");
    let notice = user.sees_the_notice();
    assert!(notice.contains("a recipe was run."), "{notice}");
    user.jist();
    assert_eq!(user.waiting(), 1);
    assert!(user.says(&["status", "jist"]).out.starts_with("telemetry of jist is on: your own choice"));
}

#[test]
fn on_keeps_the_notice_that_was_seen() {
    let user = User::with_a_run(NOBODY);
    let said = user.says(&["on", "jist"]);
    assert_eq!(said.out, "Telemetry of jist is on. To see what is sent: `tool-telemetry show jist`.\n");
    let choice = fs::read_to_string(user.person.home().join(CHOICE)).expect("a choice");
    let kept = "[notice]\n\"operator+http-127.0.0.1-9\" = \"1.0.0\"\n";
    assert!(choice.contains("telemetry = \"on\"\n") && choice.contains(kept), "{choice}");
    user.jist();
    assert_eq!(user.waiting(), 2);
}

#[test]
fn show_has_the_runs_with_data_points_and_without() {
    let user = User::with_a_run(NOBODY);
    let raw = user.says(&["show", "jist"]).out;
    assert!(raw.contains("  waiting: operator+http-127.0.0.1-9\njist process.executable.name=jist"), "{raw}");
    assert!(raw.contains("This is what lies on disk, as it is"), "{raw}");
    let line = user.says(&["show", "jist", "--json"]).out;
    assert!(line.starts_with("{\"resourceSpans\":"), "{line}");
    user.person.file("telemetry.toml", include_str!("../tool/telemetry.toml"));
    let tree = user.says(&["show", "jist"]).out;
    assert!(
        tree.contains("pending: operator+http-127.0.0.1-9") && tree.contains("jist.command = recipe"),
        "{tree}"
    );
}

#[test]
fn purge_deletes_and_changes_nothing_else() {
    let user = User::with_a_run(NOBODY);
    assert!(user.says(&["purge", "jist"]).out.starts_with("Deleted 1 waiting and 0 kept runs"));
    assert_eq!(user.waiting(), 0);
    user.jist();
    assert_eq!(user.waiting(), 1);
}

#[test]
fn flush_starts_the_tool_where_a_shell_would_find_it() {
    let receiver = Receiver::start().expect("a receiver");
    let user = User::with_a_run(NOBODY);
    assert_eq!(user.says(&["flush", "jist"]).code, 3, "nobody answers");
    let user = User::of(&receiver.http_endpoint());
    user.sees_the_notice();
    // Our own failure was the last, so the run starts no uploader itself.
    let backoff = user.person.home().join(".local/state/jist/telemetry").join(folder(&user.endpoint));
    fs::create_dir_all(&backoff).expect("a folder");
    fs::set_permissions(backoff.parent().expect("ours"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("it is ours");
    fs::write(backoff.join("backoff"), format!("until={} failures=1 asked=no\n", seconds_now() + 3_000))
        .expect("a file");
    user.jist();
    assert_eq!((user.waiting(), receiver.requests().len()), (1, 0));
    let said = user.says(&["flush", "jist"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "Nothing waits.\n", ""));
    assert_eq!((user.waiting(), user.kept("sent"), receiver.requests().len()), (0, 1, 1));
}

fn folder(endpoint: &str) -> String {
    format!("operator+{}", endpoint.replace("://", "-").replace(':', "-"))
}

fn seconds_now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
}

#[test]
fn flush_says_what_waits_where_the_tool_is_not_found() {
    let user = User::with_a_run(NOBODY);
    let mut command = user.in_environment(user.person.program());
    let said =
        Said::from(command.env("PATH", "/usr/bin").args(["flush", "jist"]).output().expect("it starts"));
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(
        said.err.contains("pending are 1") && said.err.contains("no program jist is in PATH"),
        "{}",
        said.err
    );
    // A folder that is relative to where somebody happens to be is none of a shell's.
    fs::create_dir(user.person.home().join("bin")).expect("a folder");
    fs::copy(jist(), user.person.home().join("bin/jist")).expect("a copy");
    let mut command = user.in_environment(user.person.program());
    let said = Said::from(command.env("PATH", "bin").args(["flush", "jist"]).output().expect("it starts"));
    assert_eq!(said.code, 1);
}

#[test]
fn flush_sends_nothing_after_off() {
    let user = User::with_a_run(NOBODY);
    user.says(&["off", "jist"]);
    let said = user.says(&["flush", "jist"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("`tool-telemetry on jist` turns it on"), "{}", said.err);
}

#[test]
fn a_tool_that_was_never_here_is_told_of() {
    let user = User::of(NOBODY);
    for command in ["view", "status", "show", "flush", "purge"] {
        let said = user.says(&[command, "nosuch"]);
        assert_eq!(said.code, 4, "{command}");
        assert!(said.err.contains("no tool \"nosuch\" has left anything on this machine"), "{}", said.err);
    }
    assert!(user.person.home().read_dir().expect("a home").next().is_none(), "and nothing is left behind");
    let said = user.says(&["off", "jist"]);
    assert_eq!(said.code, 0);
    assert!(said.out.contains("No tool jist has left anything on this machine so far"), "{}", said.out);
    user.sees_the_notice();
    user.jist();
    assert_eq!(user.waiting(), 0, "off from its first run");
}

#[test]
fn the_page_and_status_say_the_same_of_on_and_off() {
    let user = User::of(NOBODY);
    let page = |user: &User| user.says(&["view", "jist", "--output", "-"]).out;
    let says = |user: &User| user.says(&["status", "jist"]).out.lines().next().unwrap_or_default().to_owned();
    // A notice into a pipe does not count.
    user.jist();
    assert_eq!(says(&user), "telemetry of jist is off: the notice has not been shown yet");
    assert!(
        page(&user).contains("Telemetry is off</h2>\n<p>The notice of what is collected has not been shown")
    );
    user.sees_the_notice();
    assert_eq!(says(&user), "telemetry of jist is on: the default");
    assert!(page(&user).contains("Telemetry is on</h2>"));
    user.says(&["off", "jist"]);
    assert!(says(&user).starts_with("telemetry of jist is off: your own choice"));
    assert!(page(&user).contains("Telemetry is off</h2>\n<p>You turned it off."));
}

#[test]
fn the_page_names_no_command_but_this_programs_and_one_that_the_tool_has() {
    let user = User::with_a_run(NOBODY);
    let codes = |page: &str| -> Vec<String> {
        let codes = page.split("<code>").skip(1).filter_map(|rest| rest.split("</code>").next());
        codes.filter(|code| code.contains(' ')).map(str::to_owned).collect()
    };
    let page = |user: &User| user.says(&["view", "jist", "--output", "-"]).out;
    for say in ["status", "off", "on"] {
        user.says(&[say, "jist"]);
        for code in codes(&page(&user)) {
            assert!(code.starts_with("tool-telemetry ") && code.contains(" jist"), "{code}");
            assert!(user.says(&["help", code.split(' ').nth(1).expect("a word")]).code == 0, "{code}");
        }
    }
    let named = include_str!("../tool/telemetry.toml")
        .replace("format = 1", "format = 1\ntelemetry_command = \"cargo jist telemetry\"");
    user.person.file("telemetry.toml", &named);
    assert!(codes(&page(&user)).contains(&"cargo jist telemetry status".to_owned()));
}

//! The example tool `dotnet`.

use std::process::Output;

use tool_telemetry_receiver::Receiver;

use crate::test_user::{TIMEOUT, TestUser, example, only_tree};

/// The first attribute of a run.
const TOOL: &str = "process.executable.name=dotnet";

const PROJECT: &str = r#"{
    // A comment, and trailing commas.
    "name": "Anna's project",
    "testRunner": "xunit",
    "dependencies": { "Anna.Private": "1.0.0", },
    "frameworks": { "net451": {}, "netcoreapp1.1": { "imports": "dnxcore50" }, },
    "runtimes": { "osx.10.11-x64": {} },
}"#;
const READ: &str = "\n  project dotnet.project.test_runner=xunit dotnet.project.runtimes=true";
const BUILT: &str = "\n  target dotnet.target.framework=net451\n    compile\
                     \n  target dotnet.target.framework=netcoreapp1.1\n    compile";

struct Fixture {
    receiver: Receiver,
    user: TestUser,
}

/// A user with this project in the working directory, and with telemetry on.
fn fixture(project: &str) -> Fixture {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.http_endpoint());
    std::fs::write(user.home().join("project.json"), project).expect("a project");
    let fixture = Fixture { receiver, user };
    assert_eq!(fixture.dotnet(["telemetry", "on"]).status.code(), Some(0));
    fixture
}

impl Fixture {
    fn dotnet<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        self.user.command(example("dotnet")).args(arguments).output().expect("the tool starts")
    }

    /// Runs the tool. Returns its exit code, its stderr, and the tree that arrived.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.dotnet(arguments.iter().copied());
        assert_eq!(self.dotnet(["telemetry", "flush"]).status.code(), Some(0));
        let tree = only_tree(&self.receiver);
        let stderr = String::from_utf8(output.stderr).expect("text");
        (output.status.code().expect("an exit code"), stderr, tree.trim_end().to_owned())
    }

    /// Runs the tool, which must succeed and be reported as a success.
    #[track_caller]
    fn succeeds(&self, arguments: &[&str], command: &str, spans: &str) {
        let expected =
            format!("\"dotnet {command}\" {TOOL} process.exit.code=0 dotnet.command={command}{spans}");
        assert_eq!(self.run(arguments), (0, String::new(), expected));
    }

    /// Runs the tool, which must fail with a message and be reported as a failure.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, says: &str, command: &str, spans: &str) {
        let (ended, stderr, tree) = self.run(arguments);
        assert_eq!(ended, code, "{stderr}");
        assert_eq!(stderr.trim_end(), says);
        let expected = format!(
            "\"dotnet {command}\" [error] {TOOL} process.exit.code={code} error.type=_OTHER dotnet.command={command}{spans}"
        );
        assert_eq!(tree, expected);
    }
}

#[test]
fn every_command_reports_what_it_read_and_built() {
    for command in ["build", "run", "test", "publish", "pack"] {
        fixture(PROJECT).succeeds(&[command], command, &format!("{READ}{BUILT}"));
    }
    fixture(PROJECT).succeeds(&["restore"], "restore", &format!("{READ}\n  restore"));
}

#[test]
fn new_writes_a_project_that_builds_and_never_overwrites() {
    let directory = fixture(PROJECT);
    directory.succeeds(&["new", "--project", "other/place"], "new", "");
    let built = directory.dotnet(["build", "--project", "other/place"]);
    assert_eq!(built.stdout, b"Built for netcoreapp1.1\n");

    let says = "dotnet: project.json: a project exists already; remove it first, or name another directory \
                with `--project`";
    let directory = fixture(PROJECT);
    directory.fails(&["new"], 1, says, "new", "");
    assert_eq!(
        std::fs::read_to_string(directory.user.home().join("project.json")).expect("the project"),
        PROJECT
    );
}

#[test]
fn only_the_chosen_framework_is_built() {
    let chosen = "\n  target dotnet.target.framework=net451\n    compile";
    fixture(PROJECT).succeeds(&["build", "--framework", "net451"], "build", &format!("{READ}{chosen}"));

    let says = "dotnet: the project is not for net46; choose one of: net451, netcoreapp1.1";
    fixture(PROJECT).fails(&["build", "--framework", "net46"], 1, says, "build", READ);
}

#[test]
fn unknown_values_become_other() {
    let project = r#"{ "testRunner": "Anna.Runner", "frameworks": { "anna-pc": {}, ".NETPortable,Version=v4.5": {} } }"#;
    let other = "\n  target dotnet.target.framework=other\n    compile";
    fixture(project).succeeds(
        &["test"],
        "test",
        &format!("\n  project dotnet.project.test_runner=other dotnet.project.runtimes=false{other}{other}"),
    );
}

#[test]
fn an_empty_runtimes_node_means_false() {
    for project in
        ["{}", r#"{ "runtimes": {} }"#, r#"{ "runtimes": null }"#, "\u{feff}// nothing\n{ /* */ }\r\n"]
    {
        fixture(project).succeeds(&["build"], "build", "\n  project dotnet.project.runtimes=false");
    }
}

#[test]
fn the_last_duplicate_key_wins() {
    let project = r#"{ "frameworks": { "net45": {} }, "frameworks": { "net46": {}, "net46": {} } }"#;
    let spans =
        "\n  project dotnet.project.runtimes=false\n  target dotnet.target.framework=net46\n    compile";
    fixture(project).succeeds(&["build"], "build", spans);
}

#[test]
fn a_missing_project_is_printed_and_reported() {
    let says = "dotnet: nowhere/project.json: no such project; create one with `dotnet new`, or name another \
                with `--project`";
    fixture(PROJECT).fails(&["build", "--project", "nowhere"], 1, says, "build", "\n  project");
}

#[test]
fn a_malformed_project_is_printed_with_its_position_and_reported() {
    let cases = [
        ("", "line 1, column 1: the file is empty, but a project is a JSON object"),
        ("[]", "line 1, column 1: a project is a JSON object"),
        (
            "{\n  \"name\" 1 }",
            "line 2, column 10: this is not valid JSON (Expected colon after the string or word in object \
             property)",
        ),
        ("{ \"a\": 1 \"b\": 2 }", "line 1, column 9: this is not valid JSON (Expected comma)"),
        ("{ \"frameworks\": { }", "line 1, column 1: this is not valid JSON (Unterminated object)"),
        ("{\n\n  \"testRunner\": 1 }", "line 3, column 17: `testRunner` is a string"),
        ("{ \"frameworks\": [\"net45\"] }", "line 1, column 17: `frameworks` is an object"),
        ("{ \"runtimes\": true }", "line 1, column 15: `runtimes` is an object"),
    ];
    for (project, what) in cases {
        let says = format!("dotnet: project.json, {what}; correct it there and try again");
        fixture(project).fails(&["test"], 1, &says, "test", "\n  project");
    }
}

#[test]
fn usage_errors_are_reported_with_their_exit_code() {
    for arguments in [&["rebuild"] as &[_], &["build", "--frobnicate"], &[]] {
        let (code, _, tree) = fixture(PROJECT).run(arguments);
        assert_eq!((code, tree), (2, format!("dotnet [error] {TOOL} process.exit.code=2 error.type=_OTHER")));
    }
}

#[cfg(unix)]
#[test]
fn run_exits_like_the_program_that_it_ran() {
    let programs: [(&[&str], i32, &str); 5] = [
        (&["sh", "-c", "exit 0"], 0, ""),
        (&["sh", "-c", "exit 7"], 7, ""),
        (&["sh", "-c", "kill -KILL $$"], 137, ""),
        (&["no-such-program-anna"], 127, "no such program; check its name and PATH"),
        (&["./project.json"], 126, "the program cannot be started: Permission denied (os error 13)"),
    ];
    for (program, code, says) in programs {
        let arguments = [&["run", "--"], program].concat();
        let spans = format!("{READ}{BUILT}");
        match (code, says) {
            (0, _) => fixture(PROJECT).succeeds(&arguments, "run", &spans),
            (_, "") => fixture(PROJECT).fails(&arguments, code, "", "run", &spans),
            _ => {
                let says = format!("dotnet: {}: {says}", program[0]);
                fixture(PROJECT).fails(&arguments, code, &says, "run", &spans);
            }
        }
    }
}

#[test]
fn a_child_tools_run_nests_under_its_parents_run() {
    let fixture = fixture(PROJECT);
    // The same tool, which runs another one.
    let dotnet = example("dotnet");
    let minimal = example("minimal");
    assert!(fixture.user.command(&minimal).args(["telemetry", "on"]).status().is_ok_and(|it| it.success()));
    let again = [dotnet.to_str().expect("text"), "run", "--", minimal.to_str().expect("text"), "hello"];
    fixture.dotnet(["run", "--"].into_iter().chain(again));
    fixture.receiver.wait_until(|seen| seen.spans().len() == 13, TIMEOUT).expect("all spans");
    let outer = format!("\"dotnet run\" {TOOL} process.exit.code=0 dotnet.command=run{READ}{BUILT}\n");
    let inner = format!(
        "{outer}  \"greet hello\" process.executable.name=greet process.exit.code=0 greet.command=hello\n"
    );
    let inner: String = inner.lines().map(|line| format!("  {line}\n")).collect();
    assert_eq!(only_tree(&fixture.receiver), outer + &inner);
}

#[test]
fn opting_out_leaves_no_file() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::new()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.http_endpoint())
        .with("DOTNET_CLI_TELEMETRY_OPTOUT", "1");
    let fixture = Fixture { receiver, user };
    for arguments in [&["build"] as &[_], &["rebuild"], &["run", "--", "true"]] {
        fixture.dotnet(arguments.iter().copied());
    }
    assert_eq!(fixture.user.files(), Vec::<std::path::PathBuf>::new());
    assert_eq!(fixture.receiver.connections(), 0);
}

#[test]
fn nothing_is_recorded_before_the_notice() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::new()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.http_endpoint())
        .with("DOTNET_NOLOGO", "1");
    let fixture = Fixture { receiver, user };
    assert_eq!(fixture.dotnet(["build"]).stderr.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(fixture.user.files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn telemetry_commands_are_never_recorded() {
    let fixture = fixture(PROJECT);
    for command in ["status", "show", "purge", "flush", "off", "on"] {
        assert_eq!(fixture.dotnet(["telemetry", command]).status.code(), Some(0), "{command}");
    }
    // They are not recorded if they end in the argument parser either.
    assert_eq!(fixture.dotnet(["telemetry", "bogus"]).status.code(), Some(2));
    assert_eq!(fixture.dotnet(["telemetry", "--help"]).status.code(), Some(0));
    fixture.dotnet(["build"]);
    assert_eq!(fixture.dotnet(["telemetry", "flush"]).status.code(), Some(0));
    let traces = fixture.receiver.wait_for(1, TIMEOUT).expect("the build arrives");
    assert_eq!(traces.len(), 1, "{}", fixture.receiver.tree());
}

#[test]
fn the_tools_log_keeps_what_telemetry_omits() {
    let fixture = fixture(PROJECT);
    assert_eq!(fixture.dotnet(["build"]).stderr, b"");
    let log = fixture.user.command(example("dotnet")).arg("build").env("DOTNET_LOG", "debug").output();
    let log = String::from_utf8(log.expect("the tool starts").stderr).expect("text");
    assert!(log.contains("Anna's project") && log.contains("Anna.Private"), "{log}");
    assert_eq!(fixture.dotnet(["telemetry", "flush"]).status.code(), Some(0));
    fixture.receiver.wait_for(2, TIMEOUT).expect("both arrive");
    assert!(!fixture.receiver.tree().contains("Anna"), "{}", fixture.receiver.tree());
}

//! A tool and its uploader, built with `panic = "abort"`.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tool_telemetry_receiver::Receiver;

use crate::Report;
use crate::test_user::{TestUser, only_tree};

const SIGABRT: i32 = 6;
const PROFILE: &str = "panic-abort";

/// Builds the tests' tool and its dependencies with the profile.
fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--locked", "--message-format=json-render-diagnostics", "--profile", PROFILE])
        .args(["--example", "frob"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo build: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "frob")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo reports no executable: {messages}"))
}

/// Checks that a panic, caught or not, ends the tool at once, and that its run is reported as cut off with
/// every closed span.
pub(crate) fn of_the_tool() -> Report {
    let program = build()?;
    for end in ["panic", "caught-panic"] {
        let receiver = Receiver::start().expect("a receiver");
        let with = TestUser::sending_to(&receiver.http_endpoint());
        let output = |user: &TestUser, program: &Path| {
            let arguments = ["build", "--spans", "1", "--end", end];
            user.command(program).args(arguments).output().expect("it runs")
        };
        let (with_it, without) = (output(&with, &program), output(&TestUser::new(), &program));
        if with_it.status.signal() != Some(SIGABRT) || with_it.status != without.status {
            return Err(format!("{end}: {} with telemetry, {} without", with_it.status, without.status));
        }
        if with_it.stdout != without.stdout {
            return Err(format!("{end}: the tool's output differs"));
        }
        if !with.flush() {
            return Err(format!("{end}: something is left\n{}", with.status()));
        }
        let (tree, expected) = (
            only_tree(&receiver),
            "\"frob build\" [error] process.executable.name=frob error.type=cut_off frob.command=build\n  \
             step frob.number=0 frob.color=auto\n    inner frob.number=0\n",
        );
        if tree != expected {
            return Err(format!("{end}: the receiver got\n{tree}"));
        }
    }
    Ok("a panic and a caught panic end the tool with SIGABRT and are reported as cut off, with every closed span".into())
}

/// Checks that a panic of the uploader loses nothing, and that the next uploader delivers.
pub(crate) fn of_the_uploader() -> Report {
    let program = build()?;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = format!("FROB_AUTHOR_ENDPOINT={}/v1/traces\n", receiver.http_endpoint());
    let user = TestUser::new();
    let settings = user.home().join(".frob-settings");
    let run = |arguments: &[&str]| user.command(&program).args(arguments).output().expect("it runs");
    std::fs::write(&settings, format!("{endpoint}FROB_EXPORTER_PANICS=1\n")).expect("a file");
    run(&["telemetry", "on"]);
    run(&["build"]);
    let flushed = run(&["telemetry", "flush"]);
    if flushed.status.code() != Some(3) || user.count("pending") != 1 {
        return Err(format!("a panic of the exporter: {flushed:?}\n{}", user.status()));
    }
    std::fs::write(&settings, endpoint).expect("a file");
    let flushed = run(&["telemetry", "flush"]);
    if !flushed.status.success() || receiver.traces().len() != 1 || receiver.doubles() > 0 {
        return Err(format!("the next uploader: {flushed:?}\n{}", user.status()));
    }
    Ok("an uploader that panics ends with SIGABRT, and the next one delivers its run once".into())
}

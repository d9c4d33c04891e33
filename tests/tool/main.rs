//! The tool that the tests run: it ends in every way in which a tool can end.
//!
//! `frob <build|test|run> [--spans N] [--end HOW]`, `frob usage-error` and `frob telemetry …`. What a tool author
//! would write into the source comes from variables here, so that one program serves all tests.

mod stacks;

use std::process::ExitCode;
use std::time::Duration;

use tool_telemetry::command::TelemetryCommand;
use tool_telemetry::{Builder, DataPoints, InCi, Limits, Telemetry};
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("tests/tool/telemetry.toml");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    if option("--telemetry").as_deref() == Some("bare") {
        // As if this crate did not exist.
        print!("{}", stacks::run(&arguments[1], None));
        return ExitCode::SUCCESS;
    }
    let telemetry = describe().start();
    let Some(command) = arguments.first() else {
        eprintln!("frob: which command?");
        std::process::exit(2);
    };
    if command == "telemetry" {
        return telemetry_command(&telemetry, arguments.get(1).map(String::as_str));
    }
    if command == "usage-error" {
        eprintln!("frob: no such option");
        std::process::exit(2);
    }
    if command == "stack" {
        let name = arguments.get(1).expect("a name");
        let ours = (option("--telemetry").as_deref() != Some("none")).then_some(&telemetry);
        return telemetry.command("run", || print!("{}", stacks::run(name, ours)));
    }
    tracing_subscriber::registry().with(telemetry.layer()).init();
    let spans = option("--spans").map_or(2, |spans| spans.parse().expect("a number"));
    let end = option("--end").unwrap_or_default();
    if end == "fork-child-exits" {
        return fork_then_end(&telemetry, command);
    }
    telemetry.command(command, || {
        println!("working");
        work(spans);
        finish(&end)
    })
}

fn describe() -> Builder {
    // From variables, and from a file for what must be the same in the uploader, whose environment has none of them.
    // Not looked for by who opted out: that is to cost no system call, and a test counts them.
    let settings = std::env::var("HOME")
        .ok()
        .filter(|_| std::env::var_os("DO_NOT_TRACK").is_none())
        .and_then(|home| std::fs::read_to_string(std::path::Path::new(&home).join("frob.settings")).ok())
        .unwrap_or_default();
    let variable = |name: &str| {
        let setting =
            || settings.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()));
        std::env::var(name).ok().or_else(setting)
    };
    let number = |name: &str| variable(name).map(|value| value.parse::<u64>().expect("a number"));
    let version = variable("FROB_VERSION").unwrap_or_else(|| "1.0.0".to_owned());
    let mut builder = Telemetry::builder("frob", Box::leak(version.into_boxed_str()))
        .data_points(&DATA_POINTS)
        .opt_out_var("FROB_TELEMETRY_OPTOUT")
        .silence_var("FROB_NOLOGO");
    if let Some(endpoint) = variable("FROB_MAKER") {
        builder = builder.endpoint(Box::leak(endpoint.into_boxed_str()));
    }
    if variable("FROB_OPT_IN").is_some() {
        builder = builder.opt_in();
    }
    if variable("FROB_MAKER_IN_CI").is_some() {
        builder = builder.in_ci(InCi::AlsoMaker);
    }
    let mut limits = Limits::default();
    limits.runs = number("FROB_LIMIT_RUNS").map_or(limits.runs, |runs| runs as usize);
    limits.bytes = number("FROB_LIMIT_BYTES").unwrap_or(limits.bytes);
    limits.age = number("FROB_LIMIT_AGE").map_or(limits.age, Duration::from_secs);
    builder.limits(limits)
}

fn telemetry_command(telemetry: &Telemetry, word: Option<&str>) -> ExitCode {
    let command = match word {
        Some("on") => TelemetryCommand::On,
        Some("off") => TelemetryCommand::Off,
        Some("status") => TelemetryCommand::Status,
        Some("show") => TelemetryCommand::Show { json: false },
        Some("flush") => TelemetryCommand::Flush,
        Some("purge") => TelemetryCommand::Purge,
        other => panic!("no such telemetry command: {other:?}"),
    };
    command.run(telemetry)
}

fn work(spans: u32) {
    for number in 0..spans {
        let step = tracing::info_span!(
            target: "frob",
            "step",
            frob.number = number,
            frob.color = "auto",
            path = "/home/anna/secret-project"
        );
        let _entered = step.enter();
        tracing::info!(target: "frob", "an event about anna@example.com");
        tracing::info_span!(target: "frob", "inner", frob.number = number).in_scope(|| {});
    }
}

fn finish(end: &str) -> u8 {
    if let Some(code) = end.strip_prefix("return=") {
        return code.parse().expect("a code");
    }
    if let Some(code) = end.strip_prefix("exit=") {
        std::process::exit(code.parse().expect("a code"));
    }
    match end {
        "" => 0,
        "panic" => panic!("anna's panic"),
        "abort" => std::process::abort(),
        "wait" => loop {
            std::thread::sleep(Duration::from_secs(60));
        },
        signal => {
            let signal = signal.strip_prefix("signal=").unwrap_or_else(|| panic!("no such end: {signal}"));
            let own = std::process::id().to_string();
            // More than once: Rust's own handler of SIGSEGV takes the first one for a fault that comes again.
            loop {
                let sent = std::process::Command::new("kill").args(["-s", signal, &own]).status();
                assert!(sent.is_ok_and(|sent| sent.success()));
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Placeholder for what needs the platform's `fork`; see the tests of forked children.
fn fork_then_end(telemetry: &Telemetry, command: &str) -> ExitCode {
    telemetry.command(command, || 0_u8)
}

//! The tool that the tests run. It can end in every way in which a tool can end.
//!
//! `frob <build|test|run> [--spans N] [--end HOW]`, `frob usage-error`, `frob stack …`, and `frob telemetry …`. The
//! author's settings come from variables, or from lines `NAME=value` of the file `.frob-settings` in the home
//! directory, so that one program serves all tests. The uploader sees only the file, because its environment starts
//! empty.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints to its user")]

mod command_sequences;
#[cfg(windows)]
mod console;
#[cfg(unix)]
mod descriptors;
mod mistakes;
mod stacks;
mod unusual_spans;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tool_telemetry::command::TelemetryCommand;
use tool_telemetry::{Builder, CiPolicy, DataPoints, Limits, Telemetry, Times};
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("tests/tool/telemetry.toml");
/// The same, with exact times for the tool's author.
static EXACT: DataPoints = DataPoints { times: Times::Exact, ..DATA_POINTS };

/// The ready-made data points.
static STANDARD: DataPoints = tool_telemetry::data_points!("tests/tool/standard.toml");

/// The same with `[[count]]` tables, and those of a later release.
static COUNTS: DataPoints = tool_telemetry::data_points!("tests/tool/counts.toml");
static COUNTS_2: DataPoints = tool_telemetry::data_points!("tests/tool/counts-2.toml");

/// Those of the example `dotnet`, which has no author's endpoint and therefore counts nothing.
static DOTNET: DataPoints = tool_telemetry::data_points!("examples/dotnet/telemetry.toml");

fn main() -> ExitCode {
    if setting(&settings(), "FROB_ASYNC").is_some() {
        // The expansion of `#[tokio::main]`.
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        return runtime.block_on(async { run() });
    }
    run()
}

fn run() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    let settings = settings();
    if option("--telemetry").as_deref() == Some("bare") {
        // Without a call of this crate.
        print!("{}", stacks::run(&arguments[1], None));
        return ExitCode::SUCCESS;
    }
    note_uploader();
    let telemetry = configure(&settings).start();
    let Some(command) = arguments.first() else {
        eprintln!("frob: which command?");
        std::process::exit(2);
    };
    if let Some(command) = telemetry_command(&typed(&settings), &arguments) {
        return command.run(&telemetry);
    }
    if command == "--version" {
        println!("frob 1.0.0");
        return ExitCode::SUCCESS;
    }
    if command == "usage-error" {
        eprintln!("frob: no such option");
        std::process::exit(2);
    }
    if command == "unknown-option" {
        // Like every tool with clap, it exits with 2 inside of the parser.
        clap::Command::new("frob").get_matches_from(["frob", "--no-such-option"]);
    }
    #[cfg(unix)]
    if command == "fork-first" {
        return descriptors::fork_first(&telemetry);
    }
    if command == "start-twice" {
        let second = configure(&settings).start();
        return second.command("build", || ());
    }
    if command == "stack" {
        let name = arguments.get(1).expect("a name");
        let ours = (option("--telemetry").as_deref() != Some("none")).then_some(&telemetry);
        return telemetry.command("run", || print!("{}", stacks::run(name, ours)));
    }
    tracing_subscriber::registry().with(telemetry.layer()).init();
    #[cfg(windows)]
    if command == "storm" {
        return console::storm(&telemetry);
    }
    if let Some(code) = command_sequences::run(&telemetry, command, &arguments[1..]) {
        return code;
    }
    let spans = option("--spans").map_or(2, |spans| spans.parse().expect("a number"));
    let end = option("--end").unwrap_or_default();
    telemetry.command(command, || {
        println!("working");
        work(spans);
        if command == "unusual-spans" {
            unusual_spans::work();
        }
        if setting(&settings, "FROB_NAME").as_deref() == Some("dotnet") {
            build_for_frameworks();
        }
        if arguments.iter().any(|argument| argument == "--mistakes") {
            mistakes::make(&telemetry);
        }
        #[cfg(unix)]
        let code = descriptors::end(&end).unwrap_or_else(|| finish(&end));
        #[cfg(not(unix))]
        let code = finish(&end);
        if let Some(file) = option("--hold") {
            hold(&file);
        }
        code
    })
}

/// Waits until a test removes the file, so that the test decides when the tool ends.
fn hold(file: &str) {
    while std::path::Path::new(file).exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Adds a line to `.frob-uploaders` in the home directory for each start as an uploader, if a test created that file.
fn note_uploader() {
    use std::io::Write as _;

    let is_set = |name: &str| std::env::var_os(name).is_some();
    // The uploader continues from a copy in memory, and gets here a second time.
    if !is_set("TOOL_TELEMETRY_UPLOADER") || is_set("TOOL_TELEMETRY_UPLOADER_COPIED") {
        return;
    }
    let file = home().map(|home| home.join(".frob-uploaders"));
    if let Some(mut file) = file.and_then(|file| std::fs::File::options().append(true).open(file).ok()) {
        let _ = writeln!(file, "{}", std::process::id());
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(PathBuf::from)
}

/// The settings that a test wrote for this tool.
fn settings() -> String {
    let file = home().map(|home| home.join(".frob-settings"));
    file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default()
}

/// The value of a variable, or else of a line of the settings.
fn setting(settings: &str, name: &str) -> Option<String> {
    let line = || settings.lines().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    std::env::var(name).ok().or_else(|| line().map(str::to_owned))
}

/// How the telemetry command is typed; `none` if the tool has none.
fn typed(settings: &str) -> String {
    setting(settings, "FROB_TELEMETRY_COMMAND").unwrap_or_else(|| "frob telemetry".to_owned())
}

fn configure(settings: &str) -> Builder {
    let variable = |name: &str| setting(settings, name);
    let number = |name: &str| variable(name).map(|value| value.parse::<u64>().expect("a number"));
    let version = variable("FROB_VERSION").unwrap_or_else(|| "1.0.0".to_owned());
    let data_points = match variable("FROB_COUNTS").as_deref() {
        None if variable("FROB_EXACT_TIMES").is_some() => &EXACT,
        None if variable("FROB_STANDARD").is_some() => &STANDARD,
        None => &DATA_POINTS,
        Some("2") => &COUNTS_2,
        Some("dotnet") => &DOTNET,
        Some(_) => &COUNTS,
    };
    let name = variable("FROB_NAME").unwrap_or_else(|| "frob".to_owned());
    let mut builder =
        Telemetry::builder(Box::leak(name.into_boxed_str()), Box::leak(version.into_boxed_str()))
            .data_points(data_points)
            .opt_out_var("FROB_TELEMETRY_OPTOUT")
            .suppress_notice_var("FROB_NOLOGO");
    let typed = typed(settings);
    if typed != "none" {
        builder = builder.telemetry_command(Box::leak(typed.into_boxed_str()));
    }
    if let Some(endpoint) = variable("FROB_AUTHOR_ENDPOINT") {
        builder = builder.endpoint(Box::leak(endpoint.into_boxed_str()));
    }
    if variable("FROB_OPT_IN").is_some() {
        builder = builder.require_opt_in();
    }
    if variable("FROB_CI_INCLUDES_MAKER").is_some() {
        builder = builder.ci_policy(CiPolicy::IncludeMaker);
    }
    if let Some(wait) = number("FROB_CI_WAIT_MS") {
        builder = builder.ci_wait(Duration::from_millis(wait));
    }
    if variable("FROB_EXPORTER_PANICS").is_some() {
        builder = builder.deliver_to(|| -> Result<opentelemetry_stdout::SpanExporter, _> {
            panic!("an exporter's panic")
        });
    }
    let mut limits = Limits::default();
    limits.runs = number("FROB_LIMIT_RUNS").map_or(limits.runs, |runs| runs as usize);
    limits.bytes = number("FROB_LIMIT_BYTES").unwrap_or(limits.bytes);
    limits.age = number("FROB_LIMIT_AGE").map_or(limits.age, Duration::from_secs);
    if let Some(life) = number("FROB_UPLOADER_LIFE_MS") {
        builder = builder.uploader_life(Duration::from_millis(life));
    }
    builder.limits(limits)
}

/// The telemetry command in the arguments: `frob telemetry off`, `cargo frob telemetry off`, `frob --telemetry
/// off`, or `frob ask off`, which messages do not know.
fn telemetry_command(typed: &str, arguments: &[String]) -> Option<TelemetryCommand> {
    let typed = if typed == "none" { "frob ask" } else { typed };
    let mut arguments = arguments.iter().map(String::as_str);
    for word in typed.split(' ').skip(1) {
        arguments.next().filter(|argument| *argument == word)?;
    }
    let word = arguments.next();
    let json = arguments.any(|argument| argument == "--json");
    Some(match word {
        Some("on") => TelemetryCommand::On,
        Some("off") => TelemetryCommand::Off,
        Some("status") => TelemetryCommand::Status { json },
        Some("show") => TelemetryCommand::Show { json },
        Some("flush") => TelemetryCommand::Flush,
        Some("purge") => TelemetryCommand::Purge,
        other => panic!("no such telemetry command: {other:?}"),
    })
}

/// The spans of a build of the example `dotnet`.
fn build_for_frameworks() {
    tracing::info_span!(target: "dotnet", "project", dotnet.project.test_runner = "xunit", dotnet.project.runtimes = false)
        .in_scope(|| {});
    for framework in ["netcoreapp1.1", "net451"] {
        tracing::info_span!(target: "dotnet", "target", dotnet.target.framework = framework)
            .in_scope(|| tracing::info_span!(target: "dotnet", "compile").in_scope(|| {}));
    }
}

fn work(spans: u32) {
    for number in 0..spans {
        let step = tracing::info_span!(
            target: "frob",
            "step",
            frob.number = number,
            frob.color = "auto",
            frob.cached = tracing::field::Empty,
            path = "/home/anna/secret-project"
        );
        // Version 2.0.0 of the tool records this too.
        if std::env::var_os("FROB_CACHED").is_some() {
            step.record("frob.cached", true);
        }
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
        // Like a build with `panic = "abort"`, without building everything again.
        "panic-aborts" => {
            std::panic::set_hook(Box::new(|_| std::process::abort()));
            panic!("anna's panic");
        }
        "caught-panic" => {
            let caught = std::panic::catch_unwind(|| panic!("anna's panic"));
            if caught.is_err() { 4 } else { 0 }
        }
        "abort" => std::process::abort(),
        // Waits for a line or the end of its input.
        "wait-for-input" => {
            let _ = std::io::stdin().read_line(&mut String::new());
            0
        }
        "wait" => loop {
            std::thread::sleep(Duration::from_secs(60));
        },
        #[cfg(unix)]
        signal if signal.starts_with("signal=") => {
            // Repeated, because Rust's handler of SIGSEGV restores the default and expects the signal again.
            loop {
                descriptors::send_to_itself(&signal["signal=".len()..]);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        other => panic!("no such end: {other}"),
    }
}

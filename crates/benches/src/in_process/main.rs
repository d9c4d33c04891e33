//! What one span, field, or event costs inside a process, in time and in instructions.
//!
//! ```text
//! cargo run --release -p tool-telemetry-benches --bin in_process [-- [--quick] [TEXT]]
//! ```
//!
//! Each case runs in processes of its own, because a process can set a global subscriber and start telemetry only once.
//! The time is the minimum and the median of 40 processes; the minimum is closest to the result of an idle machine.
//! Callgrind counts the program's instructions without the kernel's; that number does not vary. Without valgrind, the
//! column is empty.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

mod cases;

use std::error::Error;
use std::path::Path;
use std::process::{Command, Output};

use tool_telemetry_benches::figures::Spread;
use tool_telemetry_benches::spool::Home;
use tool_telemetry_benches::tools;

use cases::{CASES, Case};

/// The hidden option that runs one case. Its arguments are the name and the number of repetitions.
const CASE: &str = "--case";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [option, name, times] = arguments.as_slice()
        && option == CASE
    {
        let case = CASES.iter().find(|case| case.name == name).ok_or("no such case")?;
        println!("{}", (case.run)(times.parse()?));
        return Ok(());
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let only = arguments.iter().find(|argument| !argument.starts_with("--"));
    let root = tools::target().join(format!("in-process-{}", std::process::id()));
    let home = Home::new(std::path::absolute(&root)?, ENDPOINT)?;
    println!("| case | min ns | median ns | instructions |\n| --- | --- | --- | --- |");
    for case in CASES.iter().filter(|case| only.is_none_or(|text| case.name.contains(text.as_str()))) {
        eprint!("\r{:60}", case.name);
        let time = time(case, &home, if quick { 5 } else { 40 })?;
        let instructions = instructions(case, &home)
            .map_or_else(|_| String::new(), |instructions| format!("{instructions:.0}"));
        eprint!("\r{:60}\r", "");
        println!("| {} | {:.1} | {:.1} | {instructions} |", case.name, time.min, time.median);
    }
    let _ = std::fs::remove_dir_all(root);
    Ok(())
}

/// Runs are recorded only if there is an endpoint. Nothing is sent, because this program has no transport.
const ENDPOINT: &str = "http://127.0.0.1:9";

fn command(program: &Path, home: &Home) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", &home.path);
    command.env("XDG_STATE_HOME", home.path.join("state"));
    command.env("XDG_CONFIG_HOME", home.path.join("config"));
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT);
    command
}

/// The nanoseconds of one repetition.
fn time(case: &Case, home: &Home, processes: usize) -> Result<Spread, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..processes {
        let mut command = command(&std::env::current_exe()?, home);
        if case.opted_out {
            command.env("BENCH_TOOL_TELEMETRY", "off");
        }
        let output = command.args([CASE, case.name, &case.times.to_string()]).output()?;
        times.push(stdout(&output)?.parse::<f64>()? / case.times as f64);
        home.clear();
    }
    Spread::of(times).ok_or_else(|| "nothing was measured".into())
}

fn stdout(output: &Output) -> Result<String, Box<dyn Error>> {
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

/// The instructions of one repetition. Counted only inside `repeat` in [`cases`], because `fastrace` calibrates its
/// clock before `main` in a loop with a varying number of instructions.
fn instructions(case: &Case, home: &Home) -> Result<f64, Box<dyn Error>> {
    let times = case.times.min(1_000);
    let mut command = command(Path::new("valgrind"), home);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    if case.opted_out {
        command.env("BENCH_TOOL_TELEMETRY", "off");
    }
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.args(["--collect-atstart=no", "--toggle-collect=*cases::repeat*"]);
    command.arg(std::env::current_exe()?);
    let output = command.args([CASE, case.name, &times.to_string()]).output()?;
    home.clear();
    stdout(&output)?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let count = text.lines().find_map(|line| line.split_once("Collected : ")).ok_or("no count")?;
    Ok(count.1.trim().parse::<f64>()? / f64::from(times))
}

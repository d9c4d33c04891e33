//! The minimum: no argument parser, no asynchronous runtime, and no `tracing`.
//!
//! `cargo run --example minimal -- hello`; then `-- telemetry on`, `-- telemetry off`, or `-- telemetry status`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its result")]

use std::process::ExitCode;

use tool_telemetry::{DataPoints, Error, Telemetry};

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION"))
        .data_points(&DATA_POINTS)
        .telemetry_command("greet telemetry")
        .start();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["telemetry", word] => match telemetry_command(&telemetry, word) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("greet: {error}");
                ExitCode::FAILURE
            }
        },
        [name, ref people @ ..] => telemetry.command(name, || greet(name, people)),
        [] => telemetry.command("", || greet("", &[])),
    }
}

fn greet(name: &str, people: &[&str]) -> u8 {
    match name {
        "hello" => println!("Hello {}!", people.join(" and ")),
        "bye" => println!("Bye {}!", people.join(" and ")),
        _ => {
            eprintln!("greet: hello or bye?");
            return 2;
        }
    }
    0
}

fn telemetry_command(telemetry: &Telemetry, word: &str) -> Result<(), Error> {
    match word {
        "on" => telemetry.enable()?,
        "off" => drop(telemetry.disable()?),
        _ => print!("{}", telemetry.status()),
    }
    Ok(())
}

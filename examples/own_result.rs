//! A tool with a result type of its own, whose variants have exit codes.
//!
//! `cargo run --example own_result -- Anna`; without a name it ends with exit code 4.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its result")]

use std::process::{ExitCode, Termination};

use tool_telemetry::{CommandResult, DataPoints, Telemetry};

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

/// What a greeting came to.
enum Outcome {
    Greeted,
    NobodyThere,
}

impl CommandResult for Outcome {
    fn exit_code(&self) -> u8 {
        match self {
            Outcome::Greeted => 0,
            Outcome::NobodyThere => 4,
        }
    }
}

impl Termination for Outcome {
    fn report(self) -> ExitCode {
        ExitCode::from(self.exit_code())
    }
}

fn main() -> Outcome {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION")).data_points(&DATA_POINTS).start();
    telemetry.observe("hello", || hello(std::env::args().nth(1)))
}

fn hello(person: Option<String>) -> Outcome {
    let Some(person) = person else {
        eprintln!("greet: nobody to greet; name somebody");
        return Outcome::NobodyThere;
    };
    println!("Hello {person}!");
    Outcome::Greeted
}

//! The tool without telemetry.

use std::process::ExitCode;

fn main() -> ExitCode {
    work::Stopwatch::new().print();
    work::plain();
    ExitCode::from(work::EXIT_CODE)
}

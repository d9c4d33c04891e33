//! The tool with spans and without a subscriber.

use std::process::ExitCode;

fn main() -> ExitCode {
    work::Stopwatch::new().print();
    work::traced();
    ExitCode::from(work::EXIT_CODE)
}

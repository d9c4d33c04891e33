//! Spans that nobody takes.

use std::process::ExitCode;

fn main() -> ExitCode {
    work::Started::new().tell();
    work::traced();
    ExitCode::from(work::EXIT_CODE)
}

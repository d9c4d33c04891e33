//! Without telemetry.

use std::process::ExitCode;

fn main() -> ExitCode {
    work::Started::new().tell();
    work::plain();
    ExitCode::from(work::EXIT_CODE)
}

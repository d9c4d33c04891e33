//! The tool with this crate.

use std::process::ExitCode;

use tool_telemetry::{DataPoints, Telemetry};
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("../telemetry.toml");

fn main() -> ExitCode {
    let started = work::Stopwatch::new();
    let telemetry = Telemetry::builder(work::TOOL, env!("CARGO_PKG_VERSION")).data_points(&DATA_POINTS);
    #[cfg(feature = "raised-limits")]
    let telemetry = {
        let mut limits = tool_telemetry::Limits::default();
        limits.bytes = 1 << 30;
        limits.runs = 1_000_000;
        telemetry.limits(limits)
    };
    let telemetry = telemetry.start();
    tracing_subscriber::registry().with(telemetry.layer()).init();
    started.print();
    telemetry.command("build", || {
        // With the name and the exit code, the root span has 7 attributes.
        telemetry.record("tool.profile", "release");
        telemetry.record("tool.color", "auto");
        telemetry.record("tool.offline", false);
        telemetry.record("tool.jobs", 8);
        work::children();
        work::EXIT_CODE
    })
}

use std::process::ExitCode;

use tool_telemetry::{DataPoints, Telemetry};
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("telemetry.toml");

fn main() -> ExitCode {
    // The first statement, because the uploader is this same program.
    let telemetry = Telemetry::builder("frob", env!("CARGO_PKG_VERSION"))
        .data_points(&DATA_POINTS)
        .opt_out_var("FROB_TELEMETRY_OPTOUT")
        .start();
    tracing_subscriber::registry().with(telemetry.layer()).init();
    telemetry.command("build", || tracing::info_span!("compile").in_scope(|| println!("compiling")))
}

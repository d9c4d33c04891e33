//! The program with this crate. The measurement also needs `exit-cost-with on` and `exit-cost-with flush`.

use std::process::ExitCode;

use tool_telemetry::command::FlushOutcome;
use tool_telemetry::{DataPoints, Telemetry};
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("telemetry.toml");

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("exit-cost", "1.0.0").data_points(&DATA_POINTS).start();
    match std::env::args().nth(1).as_deref() {
        Some("on") => return ExitCode::from(u8::from(telemetry.enable().is_err())),
        Some("flush") => {
            let all_sent = matches!(telemetry.flush(), Ok(FlushOutcome::NothingLeft));
            return ExitCode::from(u8::from(!all_sent));
        }
        _ => {}
    }
    tracing_subscriber::registry().with(telemetry.layer()).init();
    telemetry.command("work", || {
        tool_telemetry_exit_cost::work();
        7_u8
    })
}

//! The tool with `telemetry-kit`: events go to SQLite and are synchronised at the end, as its `shutdown` does. The
//! library has no spans, so the run and each step are events. With `BENCH_STORE_ONLY`, nothing is synchronised.

use std::process::ExitCode;

use serde_json::json;
use telemetry_kit::prelude::*;
use telemetry_kit::sync::SyncConfig;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let started = work::Stopwatch::new();
    let id = "550e8400-e29b-41d4-a716-446655440000";
    let endpoint = std::env::var("BENCH_ENDPOINT").expect("BENCH_ENDPOINT");
    let sync = SyncConfig::builder()
        .endpoint(endpoint)
        .org_id(id)
        .and_then(|sync| sync.app_id(id))
        .and_then(|sync| sync.token("token").secret("secret").build())
        .expect("settings");
    let telemetry = TelemetryKit::builder()
        .service_name(work::TOOL)
        .and_then(|builder| {
            let database =
                std::path::PathBuf::from(std::env::var_os("HOME").expect("HOME")).join("telemetry.db");
            builder.service_version("1.0.0").db_path(database).sync(sync).auto_sync(false).build()
        })
        .expect("telemetry");
    started.print();
    for (position, step) in work::STEPS.into_iter().enumerate() {
        let event = json!({ "step.kind": step, "step.cached": true, "step.files": position });
        let _ = telemetry.track_custom("bench-event", event).await;
    }
    let run = json!({
        "process.executable.name": work::TOOL, "process.exit.code": work::EXIT_CODE, "tool.command": "build",
        "tool.profile": "release", "tool.color": "auto", "tool.offline": false, "tool.jobs": 8,
    });
    let _ = telemetry.track_custom("bench-event", run).await;
    if std::env::var_os("BENCH_STORE_ONLY").is_none() {
        let _ = telemetry.sync().await;
    }
    ExitCode::from(work::EXIT_CODE)
}

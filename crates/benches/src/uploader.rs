//! What it costs the uploader to deliver many pending runs: 10,000 runs of 5 spans, with raised limits.
//!
//! ```text
//! cargo run --release -p tool-telemetry-benches --bin uploader [-- RUNS]
//! ```

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::error::Error;
use std::time::Instant;

use tool_telemetry_benches::program::{self, Program};
use tool_telemetry_benches::spool::Home;
use tool_telemetry_benches::tools::{self, TOOLS};
use tool_telemetry_receiver::Receiver;

fn main() -> Result<(), Box<dyn Error>> {
    let runs: usize = std::env::args().nth(1).map_or(Ok(10_000), |runs| runs.parse())?;
    let tool = TOOLS.iter().find(|tool| tool.name == "default-features").ok_or("no such tool")?;
    let built = tool.build(false, &["raised-limits"])?;
    program::adopt_orphans()?;
    let receiver = Receiver::start()?;
    let root = std::path::absolute(tools::target().join(format!("uploader-{}", std::process::id())))?;
    let mut home = Home::new(root.clone(), &receiver.http_endpoint())?;
    let program = |endpoint: &str| Program {
        path: built.path.clone(),
        environment: vec![
            ("XDG_STATE_HOME".to_owned(), home.path.join("state").into_os_string()),
            ("XDG_CONFIG_HOME".to_owned(), home.path.join("config").into_os_string()),
            ("HOME".to_owned(), home.path.clone().into_os_string()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint.into()),
        ],
    };
    let program = program(&receiver.http_endpoint());
    // The first run creates the directories and is delivered. The second stays pending.
    program.run()?;
    program::orphans(false)?;
    let lock = home.lock()?;
    program.run()?;
    home.copy(runs)?;
    drop(lock);
    let before = (receiver.requests().len(), receiver.spans().len());
    let started = Instant::now();
    program.run()?;
    let uploader = program::orphans(false)?.pop().ok_or("no uploader started")?;
    println!("| runs | spans received | requests | wall s | CPU s | peak MiB | pending |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    println!(
        "| {} | {} | {} | {:.2} | {:.2} | {:.1} | {} |",
        runs + 1,
        receiver.spans().len() - before.1,
        receiver.requests().len() - before.0,
        started.elapsed().as_secs_f64(),
        uploader.cpu.as_secs_f64(),
        uploader.peak as f64 / 1024.0,
        home.pending()?,
    );
    std::fs::remove_dir_all(root)?;
    Ok(())
}

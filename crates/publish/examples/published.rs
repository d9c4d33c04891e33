//! Writes a site of synthetic numbers. `cargo run -p tool-telemetry-publish --example published` writes the example tool's
//! into `examples/dotnet/published`.
//!
//! `published DIRECTORY WEEKS TELEMETRY-TOML` writes another one. Both print how many seconds that took.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tool_telemetry_definition::DataPoints;
use tool_telemetry_publish::site;

#[path = "../tests/it/synthetic.rs"]
mod synthetic;

fn main() -> io::Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/dotnet");
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().map_or_else(|| example.join("published"), PathBuf::from);
    let weeks = arguments.next().and_then(|weeks| weeks.parse().ok()).unwrap_or(synthetic::WEEKS);
    let definition = arguments.next().map_or_else(|| example.join("telemetry.toml"), PathBuf::from);
    let text = std::fs::read_to_string(definition)?;
    let definition = DataPoints::parse(&text).map_err(|errors| io::Error::other(errors.to_string()))?;
    let ledger = synthetic::Ledger::new(definition, weeks);
    let started = Instant::now();
    ledger.site(definition, |site| site::write(site, &out))?;
    writeln!(io::stdout(), "{}: {:.3} s", out.display(), started.elapsed().as_secs_f64())
}

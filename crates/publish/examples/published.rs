//! Writes the site of the example tool from synthetic numbers: `cargo run -p tool-telemetry-publish --example published`.
//!
//! With a directory as its argument it writes there, and with a number as the second one it writes that many weeks.

use std::io;
use std::path::Path;

use tool_telemetry_definition::DataPoints;
use tool_telemetry_publish::site;

#[path = "../tests/it/synthetic.rs"]
mod synthetic;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/dotnet");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = arguments.first().map_or_else(|| root.join("published"), |out| out.into());
    let weeks = arguments.get(1).and_then(|weeks| weeks.parse().ok()).unwrap_or(synthetic::WEEKS);
    let text = std::fs::read_to_string(root.join("telemetry.toml"))?;
    let definition = DataPoints::parse(&text).map_err(|errors| io::Error::other(errors.to_string()))?;
    let releases = synthetic::releases("dotnet", definition, weeks);
    let releases: Vec<_> = releases.iter().collect();
    site::write(&synthetic::site(definition, &releases), &out)
}

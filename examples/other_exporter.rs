//! A tool whose author's backend does not use OTLP. The uploader delivers through the tool's own exporter, here to
//! Zipkin, over the tool's own HTTP client.
//!
//! `cargo run --example other_exporter`, with Zipkin at 127.94.11.1.

#![expect(clippy::print_stdout, reason = "a command prints its result")]
#![expect(deprecated, reason = "Zipkin also accepts OTLP today; it stands for any other protocol")]

use std::process::ExitCode;
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_zipkin::ZipkinExporter;
use tool_telemetry::{DataPoints, Telemetry};

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");
/// A loopback address does not need https.
const ZIPKIN: &str = "http://127.94.11.1:9411/api/v2/spans";

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION"))
        .data_points(&DATA_POINTS)
        .endpoint(ZIPKIN)
        .deliver_to(zipkin)
        .start();
    telemetry.command("hello", || println!("Hello!"))
}

/// The uploader calls this. The tool's own process never does.
fn zipkin() -> Result<ZipkinExporter, Box<dyn std::error::Error + Send + Sync>> {
    let agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(8))).build().new_agent();
    let exporter =
        ZipkinExporter::builder().with_collector_endpoint(ZIPKIN).with_http_client(Ureq(agent)).build()?;
    Ok(exporter)
}

#[derive(Debug)]
struct Ureq(ureq::Agent);

#[async_trait::async_trait]
impl HttpClient for Ureq {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut response = self.0.run(request.map(|body| body.to_vec()))?;
        let body = response.body_mut().read_to_vec()?;
        Ok(response.map(|_| body.into()))
    }
}

//! A maker whose backend speaks another protocol than OTLP: the uploader delivers through an exporter of the
//! program's own, here to Zipkin, over the program's own HTTP client.
//!
//! `cargo run --example other_exporter`, with a Zipkin at 127.94.11.1.

#![expect(clippy::print_stdout, reason = "a command speaks to people")]
#![expect(deprecated, reason = "Zipkin takes OTLP by now; it stands here for any protocol that is not OTLP")]

use std::process::ExitCode;
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_zipkin::ZipkinExporter;
use tool_telemetry::{DataPoints, Telemetry};

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");
/// Loopback may do without https.
const ZIPKIN: &str = "http://127.94.11.1:9411/api/v2/spans";

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION"))
        .data_points(&DATA_POINTS)
        .endpoint(ZIPKIN)
        .deliver_to(zipkin)
        .start();
    telemetry.command("hello", || println!("Hello!"))
}

/// Called in the uploader, never in the tool's own process.
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

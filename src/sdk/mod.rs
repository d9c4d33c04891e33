//! Parts of this crate for programs that already have an OpenTelemetry pipeline.
//!
//! | goal | use |
//! | --- | --- |
//! | spans on disk before the program ends, sent by the uploader | [`Telemetry::span_exporter`](crate::Telemetry::span_exporter) instead of the OTLP exporter |
//! | only approved data points through your own exporter | [`AllowlistExporter`] around it |
//! | the uploader with another protocol than OTLP | [`Builder::deliver_to`](crate::Builder::deliver_to) |
//!
//! Every span is rebuilt from its approved parts: the name, two times, admitted values, and the place in the tree. Its
//! events, links, status, trace state, instrumentation scope, resource, and kind are dropped.
//!
//! # The target of a span
//!
//! A span is approved by its name and its target. The target of an SDK span is the first of these that it has:
//!
//! 1. the attribute `target`, which tracing-opentelemetry records by default;
//! 2. the attribute `code.module.name` or `code.namespace`, the module that created the span;
//! 3. the name of its instrumentation scope, which is the name of the tracer.
//!
//! Leave tracing-opentelemetry's `with_target` on. Without targets and locations, spans of dependencies look like the
//! program's own, because all have the scope of the program's tracer.
//!
//! # Unapproved spans
//!
//! An unapproved span is dropped, and its approved children move to the nearest approved ancestor. An exporter receives
//! a span when it ends, and children end first. The place of a child may therefore become known later, or never if an
//! ancestor never ends. The two exporters describe what they do then.

mod allowlist_exporter;
mod ancestry;
mod approval;
mod exporter_transport;
mod spool_exporter;
#[cfg(all(test, feature = "http", feature = "grpc"))]
mod tests;

pub use allowlist_exporter::AllowlistExporter;
pub(crate) use exporter_transport::{ExporterFactory, ExporterTransport};
pub use spool_exporter::SpoolExporter;

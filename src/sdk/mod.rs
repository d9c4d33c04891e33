//! For programs that have an OpenTelemetry pipeline already: the parts of this crate as, around and behind the
//! SDK's `SpanExporter`.
//!
//! | you want | take |
//! | --- | --- |
//! | spans on disk before the program ends, sent by the uploader | [`Telemetry::span_exporter`](crate::Telemetry::span_exporter) in place of the OTLP exporter |
//! | your own exporter, but only approved data points through it | [`AllowlistExporter`] around it |
//! | the uploader, but another protocol than OTLP | [`Builder::deliver_to`](crate::Builder::deliver_to) |
//!
//! Whatever the SDK's spans carry, what goes on is built anew from approved parts: the name, two times, admitted
//! values, and the place in the tree. Events, links, the status and its text, the trace state, the instrumentation
//! scope, the resource and the kind of a span have no room in it.
//!
//! # Where a span comes from
//!
//! A span is approved by its name and its target. The target of a span of the SDK is the first of these that it has:
//! the attribute `target`, as tracing-opentelemetry records it unless told otherwise; `code.module.name` and
//! `code.namespace`, the module that made it; the name of its instrumentation scope, which is the name that was
//! given to the tracer. Leave tracing-opentelemetry's `with_target` on: without targets and locations every
//! dependency's spans have the scope of the program's tracer, and nobody can tell them from its own.
//!
//! # Unapproved spans
//!
//! They do not exist; their approved children hang under the nearest approved ancestor. Since an exporter hears of a
//! span when it ends, and children end first, a child's place may be known only later, and not at all if a span
//! above it never ends: see the two exporters.

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

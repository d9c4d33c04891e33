//! Everything that a tool's author may get wrong, so that it is not recorded.

use tool_telemetry::Telemetry;
use tracing::field::Empty;

/// Makes every mistake with a span or a value.
pub(crate) fn make(telemetry: &Telemetry) {
    // Spans that are not approved: another name, a typo, another target, and a more verbose level.
    for _ in 0..3 {
        tracing::info_span!(target: "frob::build", "compile", path = "/home/anna/secret").in_scope(|| {});
    }
    tracing::info_span!(target: "frob", "setp").in_scope(|| {});
    tracing::info_span!(target: "frob_core::engine", "step").in_scope(|| {});
    tracing::debug_span!(target: "frob", "step").in_scope(|| {});
    // Those of a dependency.
    tracing::trace_span!(target: "hyper::proto", "parse_headers").in_scope(|| {});
    tracing::trace_span!(target: "hyper::client", "connect").in_scope(|| {});

    // Keys: a typo, one that is not approved, and one that is approved on another span.
    let step = tracing::info_span!(
        target: "frob",
        "step",
        frob.nubmer = 4711,
        path = "/home/anna/secret",
        frob.command = "build",
        frob.number = 47_110,
        frob.color = "mauve",
        frob.compiler = "anna's compiler",
        frob.threads = 4711,
        ratio = 0.4711,
        never_recorded = Empty,
    );
    // Types that do not fit.
    step.record("frob.number", "4711 and more");
    step.record("frob.color", true);
    step.record("frob.compiler", 4711);
    drop(step);
    tracing::info_span!(target: "frob", "step", frob.number = 0.4711).in_scope(|| {});

    // The same on the run.
    telemetry.record("frob.colour", "auto");
    telemetry.record("frob.color", "mauve");
    telemetry.record("frob.color", 4711);
    telemetry.record("frob.number", 4711);
    telemetry.record("process.exit.code", 4711);
    telemetry.record("frob.threads", None::<u8>);
}

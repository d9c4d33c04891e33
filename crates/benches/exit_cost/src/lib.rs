//! The work of both programs: three spans, so that telemetry is most of the cost.

use tracing::info_span;

/// Creates three spans with one field each. Their target is this crate.
pub fn work() {
    for number in 0..3_u64 {
        let _step = info_span!("step", bench.number = number).entered();
    }
}

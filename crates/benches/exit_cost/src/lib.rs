//! What both programs do: little, in a few spans, so that what telemetry costs is most of what is left to measure.

use tracing::info_span;

/// Three spans with a field each. They come from this crate, which `telemetry.toml` names as their target.
pub fn work() {
    for number in 0..3_u64 {
        let _step = info_span!("step", bench.number = number).entered();
    }
}
